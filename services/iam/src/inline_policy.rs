//! Inline policies of users, groups and roles.

use api_iam::{
    DeleteGroupPolicyInput, DeleteGroupPolicyOutput, DeleteRolePolicyInput, DeleteRolePolicyOutput, DeleteUserPolicyInput,
    DeleteUserPolicyOutput, GetGroupPolicyInput, GetGroupPolicyOutput, GetRolePolicyInput, GetRolePolicyOutput, GetUserPolicyInput,
    GetUserPolicyOutput, ListGroupPoliciesInput, ListGroupPoliciesOutput, ListRolePoliciesInput, ListRolePoliciesOutput,
    ListUserPoliciesInput, ListUserPoliciesOutput, PolicyDetail, PutGroupPolicyInput, PutGroupPolicyOutput, PutRolePolicyInput,
    PutRolePolicyOutput, PutUserPolicyInput, PutUserPolicyOutput,
};
use plane::page::Page;
use plane::{ApiError, Call};

use crate::entity::{self, Entity, EntityKind, GroupRecord, Policies, RoleRecord, UserRecord};
use crate::error::IamError;
use crate::{document, page, service_linked_role};

/// Most characters of all inline policies of an entity together, white space apart.
///
/// Source: IAM User Guide, "IAM and AWS STS quotas".
pub(crate) fn quota(kind: EntityKind) -> usize {
    match kind {
        EntityKind::User => 2_048,
        EntityKind::Group => 5_120,
        EntityKind::Role => 10_240,
    }
}

async fn put<E: Entity>(cx: &mut Call, name: &str, policy_name: String, text: String) -> Result<(), ApiError> {
    let mut entity = entity::load::<E>(&mut cx.tx, &cx.account, name).await?;
    service_linked_role::check_modifiable(&entity)?;
    document::check_identity(&text)?;
    let inline = &mut entity.policies_mut().inline;
    inline.insert(policy_name, text);
    let characters: usize = inline.values().map(|text| policy::characters_without_white_space(text)).sum();
    if characters > quota(E::KIND) {
        let text = format!("Maximum policy size of {} bytes exceeded for {} {name}", quota(E::KIND), E::KIND.name());
        return Err(IamError::LimitExceeded(text).into());
    }
    entity::save(&mut cx.tx, &cx.account, &entity)
}

fn no_such_policy(kind: EntityKind, policy_name: &str) -> ApiError {
    IamError::NoSuchEntity(format!("The {} policy with name {policy_name} cannot be found.", kind.name())).into()
}

async fn get<E: Entity>(cx: &mut Call, name: &str, policy_name: &str) -> Result<String, ApiError> {
    let entity = entity::load::<E>(&mut cx.tx, &cx.account, name).await?;
    let text = entity.policies().inline.get(policy_name).ok_or_else(|| no_such_policy(E::KIND, policy_name))?;
    Ok(document::encoded(text))
}

async fn delete<E: Entity>(cx: &mut Call, name: &str, policy_name: &str) -> Result<(), ApiError> {
    let mut entity = entity::load::<E>(&mut cx.tx, &cx.account, name).await?;
    service_linked_role::check_modifiable(&entity)?;
    if entity.policies_mut().inline.remove(policy_name).is_none() {
        return Err(no_such_policy(E::KIND, policy_name));
    }
    entity::save(&mut cx.tx, &cx.account, &entity)
}

async fn list<E: Entity>(cx: &mut Call, name: &str, marker: Option<&str>, max_items: Option<i32>) -> Result<Page<String>, ApiError> {
    let entity = entity::load::<E>(&mut cx.tx, &cx.account, name).await?;
    let names = entity.policies().inline.keys().cloned().collect();
    page::cut(cx, names, String::clone, &entity.head().id, marker, max_items)
}

/// Inline policies as account details show them; none at all is no member.
pub(crate) fn details(policies: &Policies) -> Option<Vec<PolicyDetail>> {
    let detail =
        |(name, text): (&String, &String)| PolicyDetail { policy_name: Some(name.clone()), policy_document: Some(document::encoded(text)) };
    (!policies.inline.is_empty()).then(|| policies.inline.iter().map(detail).collect())
}

pub(crate) async fn put_user_policy(cx: &mut Call, input: PutUserPolicyInput) -> Result<PutUserPolicyOutput, ApiError> {
    put::<UserRecord>(cx, &input.user_name, input.policy_name, input.policy_document).await?;
    Ok(PutUserPolicyOutput {})
}

pub(crate) async fn put_group_policy(cx: &mut Call, input: PutGroupPolicyInput) -> Result<PutGroupPolicyOutput, ApiError> {
    put::<GroupRecord>(cx, &input.group_name, input.policy_name, input.policy_document).await?;
    Ok(PutGroupPolicyOutput {})
}

pub(crate) async fn put_role_policy(cx: &mut Call, input: PutRolePolicyInput) -> Result<PutRolePolicyOutput, ApiError> {
    put::<RoleRecord>(cx, &input.role_name, input.policy_name, input.policy_document).await?;
    Ok(PutRolePolicyOutput {})
}

pub(crate) async fn get_user_policy(cx: &mut Call, input: GetUserPolicyInput) -> Result<GetUserPolicyOutput, ApiError> {
    let policy_document = get::<UserRecord>(cx, &input.user_name, &input.policy_name).await?;
    Ok(GetUserPolicyOutput { user_name: input.user_name, policy_name: input.policy_name, policy_document })
}

pub(crate) async fn get_group_policy(cx: &mut Call, input: GetGroupPolicyInput) -> Result<GetGroupPolicyOutput, ApiError> {
    let policy_document = get::<GroupRecord>(cx, &input.group_name, &input.policy_name).await?;
    Ok(GetGroupPolicyOutput { group_name: input.group_name, policy_name: input.policy_name, policy_document })
}

pub(crate) async fn get_role_policy(cx: &mut Call, input: GetRolePolicyInput) -> Result<GetRolePolicyOutput, ApiError> {
    let policy_document = get::<RoleRecord>(cx, &input.role_name, &input.policy_name).await?;
    Ok(GetRolePolicyOutput { role_name: input.role_name, policy_name: input.policy_name, policy_document })
}

pub(crate) async fn delete_user_policy(cx: &mut Call, input: DeleteUserPolicyInput) -> Result<DeleteUserPolicyOutput, ApiError> {
    delete::<UserRecord>(cx, &input.user_name, &input.policy_name).await?;
    Ok(DeleteUserPolicyOutput {})
}

pub(crate) async fn delete_group_policy(cx: &mut Call, input: DeleteGroupPolicyInput) -> Result<DeleteGroupPolicyOutput, ApiError> {
    delete::<GroupRecord>(cx, &input.group_name, &input.policy_name).await?;
    Ok(DeleteGroupPolicyOutput {})
}

pub(crate) async fn delete_role_policy(cx: &mut Call, input: DeleteRolePolicyInput) -> Result<DeleteRolePolicyOutput, ApiError> {
    delete::<RoleRecord>(cx, &input.role_name, &input.policy_name).await?;
    Ok(DeleteRolePolicyOutput {})
}

pub(crate) async fn list_user_policies(cx: &mut Call, input: ListUserPoliciesInput) -> Result<ListUserPoliciesOutput, ApiError> {
    let page = list::<UserRecord>(cx, &input.user_name, input.marker.as_deref(), input.max_items).await?;
    Ok(ListUserPoliciesOutput { policy_names: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}

pub(crate) async fn list_group_policies(cx: &mut Call, input: ListGroupPoliciesInput) -> Result<ListGroupPoliciesOutput, ApiError> {
    let page = list::<GroupRecord>(cx, &input.group_name, input.marker.as_deref(), input.max_items).await?;
    Ok(ListGroupPoliciesOutput { policy_names: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}

pub(crate) async fn list_role_policies(cx: &mut Call, input: ListRolePoliciesInput) -> Result<ListRolePoliciesOutput, ApiError> {
    let page = list::<RoleRecord>(cx, &input.role_name, input.marker.as_deref(), input.max_items).await?;
    Ok(ListRolePoliciesOutput { policy_names: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}
