//! Roles.

use api_iam::{
    CreateRoleInput, CreateRoleOutput, DeleteRoleInput, DeleteRoleOutput, GetRoleInput, GetRoleOutput, ListRolesInput, ListRolesOutput,
    Role, RoleLastUsed, UpdateAssumeRolePolicyInput, UpdateAssumeRolePolicyOutput, UpdateRoleDescriptionInput, UpdateRoleDescriptionOutput,
    UpdateRoleInput, UpdateRoleOutput,
};
use plane::{ApiError, Call};
use wire::Timestamp;

use crate::account::{self, Counted};
use crate::attachment::{boundary_output, set_boundary};
use crate::entity::{self, Entity, EntityKind, Head, Policies, RoleRecord};
use crate::error::{IamError, delete_conflict, entity_already_exists};
use crate::key_use::last_use;
use crate::{document, identifier, page, service_linked_role, tags, trust};

/// Session duration of a role that says nothing else, in seconds.
pub const DEFAULT_SESSION_DURATION_S: i32 = 3_600;

/// A role as lists show it: without boundary, tags and last use.
pub async fn summary(cx: &mut Call, role: &RoleRecord) -> Result<Role, ApiError> {
    let trust = plane::policy_principal::shown(cx, &role.trust).await?;
    Ok(Role {
        path: role.head.path.clone(),
        role_name: role.head.name.clone(),
        role_id: role.head.id.clone(),
        arn: role.arn(&cx.account),
        create_date: Timestamp(role.head.created_ms),
        assume_role_policy_document: Some(document::encoded(&trust)),
        description: role.description.clone(),
        max_session_duration: Some(role.max_session_duration_s),
        ..Role::default()
    })
}

/// When a role was last used; an empty structure when never.
pub async fn last_used(cx: &mut Call, role: &RoleRecord) -> Result<RoleLastUsed, ApiError> {
    let last = last_use(cx, &role.head.id).await?;
    Ok(last
        .map_or_else(RoleLastUsed::default, |last| RoleLastUsed { last_used_date: Some(Timestamp(last.at_ms)), region: Some(last.region) }))
}

async fn output(cx: &mut Call, role: &RoleRecord) -> Result<Role, ApiError> {
    Ok(Role {
        permissions_boundary: boundary_output(role.boundary.as_deref()),
        tags: tags::to_output(&role.tags),
        role_last_used: Some(last_used(cx, role).await?),
        ..summary(cx, role).await?
    })
}

pub async fn create_role(cx: &mut Call, input: CreateRoleInput) -> Result<CreateRoleOutput, ApiError> {
    if input.path.as_deref().is_some_and(service_linked_role::is_reserved) {
        return Err(IamError::InvalidInput("The path /aws-service-role/ is reserved for service-linked roles.".to_owned()).into());
    }
    let tags = tags::from_input(input.tags)?;
    if cx.tx.get::<RoleRecord>(&entity::key(&cx.account, &input.role_name)).await?.is_some() {
        return Err(entity_already_exists(EntityKind::Role, &input.role_name));
    }
    let id = identifier::unique_id(cx.plane.randomness.as_ref(), identifier::ROLE)?;
    let mut role = RoleRecord {
        head: Head { name: input.role_name, path: input.path.unwrap_or_else(|| "/".to_owned()), id, created_ms: cx.now.0 },
        policies: Policies::default(),
        tags,
        boundary: None,
        trust: trust::stored(cx, &input.assume_role_policy_document).await?,
        description: input.description,
        max_session_duration_s: input.max_session_duration.unwrap_or(DEFAULT_SESSION_DURATION_S),
        instance_profiles: Vec::new(),
    };
    if let Some(boundary) = input.permissions_boundary {
        set_boundary(cx, &mut role, Some(&boundary)).await?;
    }
    account::count_up(&mut cx.tx, &cx.account, Counted::Roles).await?;
    entity::save_id(&mut cx.tx, &cx.account, &role)?;
    entity::save(&mut cx.tx, &cx.account, &role)?;
    entity::note(cx, "AWS::IAM::Role", &role);
    Ok(CreateRoleOutput { role: Role { role_last_used: None, ..output(cx, &role).await? } })
}

pub async fn get_role(cx: &mut Call, input: GetRoleInput) -> Result<GetRoleOutput, ApiError> {
    let role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    Ok(GetRoleOutput { role: output(cx, &role).await? })
}

pub async fn list_roles(cx: &mut Call, input: ListRolesInput) -> Result<ListRolesOutput, ApiError> {
    let prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    let mut roles = entity::all::<RoleRecord>(&mut cx.tx, &cx.account).await?;
    roles.retain(|role| role.head.path.starts_with(&prefix));
    let place = |role: &RoleRecord| role.head.name.to_lowercase();
    let page = page::cut(cx, roles, place, &prefix, input.marker.as_deref(), input.max_items)?;
    let mut shown = Vec::with_capacity(page.items.len());
    for role in &page.items {
        shown.push(summary(cx, role).await?);
    }
    Ok(ListRolesOutput { roles: shown, is_truncated: Some(page.next.is_some()), marker: page.next })
}

/// A duration that is not given becomes the default one: the update sets both properties.
pub async fn update_role(cx: &mut Call, input: UpdateRoleInput) -> Result<UpdateRoleOutput, ApiError> {
    let mut role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    if input.description.is_some() {
        role.description = input.description;
    }
    if service_linked_role::is_service_linked(&role) && input.max_session_duration.is_some() {
        service_linked_role::check_modifiable(&role)?;
    }
    role.max_session_duration_s = input.max_session_duration.unwrap_or(DEFAULT_SESSION_DURATION_S);
    entity::save(&mut cx.tx, &cx.account, &role)?;
    Ok(UpdateRoleOutput {})
}

pub async fn update_role_description(cx: &mut Call, input: UpdateRoleDescriptionInput) -> Result<UpdateRoleDescriptionOutput, ApiError> {
    let mut role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    role.description = Some(input.description);
    entity::save(&mut cx.tx, &cx.account, &role)?;
    Ok(UpdateRoleDescriptionOutput { role: Some(summary(cx, &role).await?) })
}

pub async fn update_assume_role_policy(
    cx: &mut Call,
    input: UpdateAssumeRolePolicyInput,
) -> Result<UpdateAssumeRolePolicyOutput, ApiError> {
    let mut role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    service_linked_role::check_modifiable(&role)?;
    role.trust = trust::stored(cx, &input.policy_document).await?;
    entity::save(&mut cx.tx, &cx.account, &role)?;
    Ok(UpdateAssumeRolePolicyOutput {})
}

pub async fn delete_role(cx: &mut Call, input: DeleteRoleInput) -> Result<DeleteRoleOutput, ApiError> {
    let mut role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    service_linked_role::check_modifiable(&role)?;
    if !role.instance_profiles.is_empty() {
        return Err(delete_conflict("remove roles from instance profile"));
    }
    if !role.policies.attached.is_empty() {
        return Err(delete_conflict("detach all policies"));
    }
    if !role.policies.inline.is_empty() {
        return Err(delete_conflict("delete policies"));
    }
    set_boundary(cx, &mut role, None).await?;
    account::count_down(&mut cx.tx, &cx.account, Counted::Roles).await?;
    entity::remove(&mut cx.tx, &cx.account, &role);
    Ok(DeleteRoleOutput {})
}
