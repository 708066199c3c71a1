//! Which managed policies are attached to whom, as permissions policy or as permissions boundary.
//!
//! The entity's record is the truth for decisions; an index by policy answers how often and to whom a policy is attached.

use std::collections::HashMap;

use api_iam::{
    AttachGroupPolicyInput, AttachGroupPolicyOutput, AttachRolePolicyInput, AttachRolePolicyOutput, AttachUserPolicyInput,
    AttachUserPolicyOutput, AttachedPermissionsBoundary, AttachedPolicy, DeleteRolePermissionsBoundaryInput,
    DeleteRolePermissionsBoundaryOutput, DeleteUserPermissionsBoundaryInput, DeleteUserPermissionsBoundaryOutput, DetachGroupPolicyInput,
    DetachGroupPolicyOutput, DetachRolePolicyInput, DetachRolePolicyOutput, DetachUserPolicyInput, DetachUserPolicyOutput, EntityType,
    ListAttachedGroupPoliciesInput, ListAttachedGroupPoliciesOutput, ListAttachedRolePoliciesInput, ListAttachedRolePoliciesOutput,
    ListAttachedUserPoliciesInput, ListAttachedUserPoliciesOutput, ListEntitiesForPolicyInput, ListEntitiesForPolicyOutput,
    PermissionsBoundaryAttachmentType, PolicyGroup, PolicyRole, PolicyUser, PutRolePermissionsBoundaryInput,
    PutRolePermissionsBoundaryOutput, PutUserPermissionsBoundaryInput, PutUserPermissionsBoundaryOutput,
};
use bytes::Bytes;
use plane::page::Page;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::entity::{self, Bounded, Entity, EntityKind, GroupRecord, RoleRecord, UserRecord};
use crate::error::{IamError, quota_exceeded};
use crate::identifier::IamArn;
use crate::{aws_managed, managed_policy, page, service_linked_role};

/// What a policy is attached as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Permissions,
    Boundary,
}

impl Usage {
    fn name(self) -> &'static str {
        match self {
            Self::Permissions => "permissions",
            Self::Boundary => "boundary",
        }
    }
}

/// A policy is attached to an entity; the entity's unique id is the last part of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct AttachmentRecord {
    kind: EntityKind,
}

impl Record for AttachmentRecord {
    const TABLE: Table = Table("iam.attachment");
    const SCOPE: Scope = Scope::Home;
}

fn prefix(account: &str, policy_arn: &str, usage: Usage) -> Key {
    Key::new(account, "").then(policy_arn).then(usage.name())
}

/// How often a policy is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub permissions: i32,
    pub boundaries: i32,
}

/// How often the policy is attached in an account.
pub async fn counts(tx: &mut Transaction, account: &str, policy_arn: &str) -> Result<Counts, ApiError> {
    let permissions = rows(tx, account, policy_arn, Usage::Permissions).await?.len();
    let boundaries = rows(tx, account, policy_arn, Usage::Boundary).await?.len();
    let count = |rows: usize| i32::try_from(rows).unwrap_or(i32::MAX);
    Ok(Counts { permissions: count(permissions), boundaries: count(boundaries) })
}

/// How often each policy that is attached in the account is, by its ARN.
pub async fn all_counts(tx: &mut Transaction, account: &str) -> Result<HashMap<String, Counts>, ApiError> {
    let whole = Key::new(account, "");
    let mut counts: HashMap<String, Counts> = HashMap::new();
    let mut after: Option<Bytes> = None;
    loop {
        let rows = tx.scan::<AttachmentRecord>(&whole, after.as_deref(), plane::transaction::SCAN_LIMIT).await?;
        let Some((last, _)) = rows.last() else { return Ok(counts) };
        after = Some(last.clone());
        for (key, _) in &rows {
            let mut parts = key.split(|byte| *byte == 0);
            let (Some(arn), Some(usage)) = (parts.next(), parts.next()) else { continue };
            let of_policy = counts.entry(String::from_utf8_lossy(arn).into_owned()).or_default();
            let count = if usage == Usage::Boundary.name().as_bytes() { &mut of_policy.boundaries } else { &mut of_policy.permissions };
            *count = count.saturating_add(1);
        }
    }
}

/// Unique ids and kinds of the entities that a policy is attached to.
async fn rows(tx: &mut Transaction, account: &str, policy_arn: &str, usage: Usage) -> Result<Vec<(String, EntityKind)>, ApiError> {
    let rows = tx.scan::<AttachmentRecord>(&prefix(account, policy_arn, usage), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(id, record)| (String::from_utf8_lossy(&id).into_owned(), record.kind)).collect())
}

/// Most managed policies on one entity. Source: IAM User Guide, "IAM and AWS STS quotas".
pub fn quota(kind: EntityKind) -> usize {
    match kind {
        EntityKind::User | EntityKind::Group => 10,
        EntityKind::Role => 20,
    }
}

fn index(tx: &mut Transaction, account: &str, policy_arn: &str, usage: Usage, id: &str, kind: EntityKind) -> Result<(), ApiError> {
    tx.put(&prefix(account, policy_arn, usage).last(id), &AttachmentRecord { kind })
}

fn unindex(tx: &mut Transaction, account: &str, policy_arn: &str, usage: Usage, id: &str) {
    tx.delete::<AttachmentRecord>(&prefix(account, policy_arn, usage).last(id));
}

async fn attach<E: Entity>(cx: &mut Call, name: &str, policy_arn: &str) -> Result<(), ApiError> {
    let mut entity = entity::load::<E>(&mut cx.tx, &cx.account, name).await?;
    service_linked_role::check_modifiable(&entity)?;
    managed_policy::check_attachable(&mut cx.tx, &cx.account, policy_arn).await?;
    let attached = &mut entity.policies_mut().attached;
    if attached.iter().any(|arn| arn == policy_arn) {
        return Ok(());
    }
    if attached.len() >= quota(E::KIND) {
        return Err(quota_exceeded(&format!("PoliciesPer{}", E::KIND.title()), quota(E::KIND)));
    }
    attached.push(policy_arn.to_owned());
    index(&mut cx.tx, &cx.account, policy_arn, Usage::Permissions, &entity.head().id, E::KIND)?;
    entity::save(&mut cx.tx, &cx.account, &entity)
}

/// Saves a new role with the managed policy `AdministratorAccess`.
pub(crate) fn attach_administrator(tx: &mut Transaction, account: &str, mut role: RoleRecord) -> Result<(), ApiError> {
    let arn = format!("arn:{}:iam::aws:policy/AdministratorAccess", plane::PARTITION);
    index(tx, account, &arn, Usage::Permissions, &role.head.id, EntityKind::Role)?;
    role.policies.attached.push(arn);
    entity::save(tx, account, &role)
}

async fn detach<E: Entity>(cx: &mut Call, name: &str, policy_arn: &str) -> Result<(), ApiError> {
    let mut entity = entity::load::<E>(&mut cx.tx, &cx.account, name).await?;
    service_linked_role::check_modifiable(&entity)?;
    if IamArn::parse(policy_arn).is_none_or(|arn| arn.resource_type != "policy") {
        return Err(IamError::InvalidInput(format!("ARN {policy_arn} is not valid.")).into());
    }
    let attached = &mut entity.policies_mut().attached;
    let before = attached.len();
    attached.retain(|arn| arn != policy_arn);
    if attached.len() == before {
        return Err(IamError::NoSuchEntity(format!("Policy {policy_arn} was not found.")).into());
    }
    unindex(&mut cx.tx, &cx.account, policy_arn, Usage::Permissions, &entity.head().id);
    entity::save(&mut cx.tx, &cx.account, &entity)
}

/// Attached policies as outputs show them.
pub fn to_output(arns: &[String]) -> Vec<AttachedPolicy> {
    arns.iter()
        .map(|arn| AttachedPolicy { policy_name: IamArn::parse(arn).map(|arn| arn.name.to_owned()), policy_arn: Some(arn.clone()) })
        .collect()
}

async fn list<E: Entity>(
    cx: &mut Call,
    name: &str,
    path_prefix: Option<String>,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<AttachedPolicy>, ApiError> {
    let entity = entity::load::<E>(&mut cx.tx, &cx.account, name).await?;
    let path_prefix = path_prefix.unwrap_or_else(|| "/".to_owned());
    let mut arns = entity.policies().attached.clone();
    arns.retain(|arn| IamArn::parse(arn).is_some_and(|arn| arn.path.starts_with(&path_prefix)));
    arns.sort();
    let filter = format!("{} {path_prefix}", entity.head().id);
    let place = |policy: &AttachedPolicy| policy.policy_arn.clone().unwrap_or_default();
    page::cut(cx, to_output(&arns), place, &filter, marker, max_items)
}

pub async fn attach_user_policy(cx: &mut Call, input: AttachUserPolicyInput) -> Result<AttachUserPolicyOutput, ApiError> {
    attach::<UserRecord>(cx, &input.user_name, &input.policy_arn).await?;
    Ok(AttachUserPolicyOutput {})
}

pub async fn attach_group_policy(cx: &mut Call, input: AttachGroupPolicyInput) -> Result<AttachGroupPolicyOutput, ApiError> {
    attach::<GroupRecord>(cx, &input.group_name, &input.policy_arn).await?;
    Ok(AttachGroupPolicyOutput {})
}

pub async fn attach_role_policy(cx: &mut Call, input: AttachRolePolicyInput) -> Result<AttachRolePolicyOutput, ApiError> {
    attach::<RoleRecord>(cx, &input.role_name, &input.policy_arn).await?;
    Ok(AttachRolePolicyOutput {})
}

pub async fn detach_user_policy(cx: &mut Call, input: DetachUserPolicyInput) -> Result<DetachUserPolicyOutput, ApiError> {
    detach::<UserRecord>(cx, &input.user_name, &input.policy_arn).await?;
    Ok(DetachUserPolicyOutput {})
}

pub async fn detach_group_policy(cx: &mut Call, input: DetachGroupPolicyInput) -> Result<DetachGroupPolicyOutput, ApiError> {
    detach::<GroupRecord>(cx, &input.group_name, &input.policy_arn).await?;
    Ok(DetachGroupPolicyOutput {})
}

pub async fn detach_role_policy(cx: &mut Call, input: DetachRolePolicyInput) -> Result<DetachRolePolicyOutput, ApiError> {
    detach::<RoleRecord>(cx, &input.role_name, &input.policy_arn).await?;
    Ok(DetachRolePolicyOutput {})
}

pub async fn list_attached_user_policies(
    cx: &mut Call,
    input: ListAttachedUserPoliciesInput,
) -> Result<ListAttachedUserPoliciesOutput, ApiError> {
    let page = list::<UserRecord>(cx, &input.user_name, input.path_prefix, input.marker.as_deref(), input.max_items).await?;
    Ok(ListAttachedUserPoliciesOutput { attached_policies: Some(page.items), is_truncated: Some(page.next.is_some()), marker: page.next })
}

pub async fn list_attached_group_policies(
    cx: &mut Call,
    input: ListAttachedGroupPoliciesInput,
) -> Result<ListAttachedGroupPoliciesOutput, ApiError> {
    let page = list::<GroupRecord>(cx, &input.group_name, input.path_prefix, input.marker.as_deref(), input.max_items).await?;
    Ok(ListAttachedGroupPoliciesOutput { attached_policies: Some(page.items), is_truncated: Some(page.next.is_some()), marker: page.next })
}

pub async fn list_attached_role_policies(
    cx: &mut Call,
    input: ListAttachedRolePoliciesInput,
) -> Result<ListAttachedRolePoliciesOutput, ApiError> {
    let page = list::<RoleRecord>(cx, &input.role_name, input.path_prefix, input.marker.as_deref(), input.max_items).await?;
    Ok(ListAttachedRolePoliciesOutput { attached_policies: Some(page.items), is_truncated: Some(page.next.is_some()), marker: page.next })
}

/// An entity that a policy is attached to, in a list.
struct Attachee {
    kind: EntityKind,
    name: String,
    id: String,
}

pub async fn list_entities_for_policy(cx: &mut Call, input: ListEntitiesForPolicyInput) -> Result<ListEntitiesForPolicyOutput, ApiError> {
    let arn = &input.policy_arn;
    if aws_managed::find(arn).is_none() {
        managed_policy::load_own(cx, arn).await?;
    }
    let usages = match managed_policy::usage(input.policy_usage_filter.as_ref()) {
        Some(usage) => vec![usage],
        None => vec![Usage::Permissions, Usage::Boundary],
    };
    let path_prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    let mut attachees: Vec<Attachee> = Vec::new();
    for usage in usages {
        for (id, kind) in rows(&mut cx.tx, &cx.account, arn, usage).await? {
            let wanted = match &input.entity_filter {
                Some(EntityType::User) => kind == EntityKind::User,
                Some(EntityType::Group) => kind == EntityKind::Group,
                Some(EntityType::Role) => kind == EntityKind::Role,
                _ => true,
            };
            if !wanted || attachees.iter().any(|known| known.id == id) {
                continue;
            }
            if let Some((name, path)) = name_and_path(cx, &id, kind).await?
                && path.starts_with(&path_prefix)
            {
                attachees.push(Attachee { kind, name, id });
            }
        }
    }
    let place = |attachee: &Attachee| attachee.id.clone();
    attachees.sort_by_key(place);
    let filter = format!("{arn} {path_prefix} {:?} {:?}", input.entity_filter, input.policy_usage_filter);
    let page = page::cut(cx, attachees, place, &filter, input.marker.as_deref(), input.max_items)?;
    let mut output = ListEntitiesForPolicyOutput { is_truncated: Some(page.next.is_some()), marker: page.next, ..Default::default() };
    let (mut users, mut groups, mut roles) = (Vec::new(), Vec::new(), Vec::new());
    for Attachee { kind, name, id } in page.items {
        match kind {
            EntityKind::User => users.push(PolicyUser { user_name: Some(name), user_id: Some(id) }),
            EntityKind::Group => groups.push(PolicyGroup { group_name: Some(name), group_id: Some(id) }),
            EntityKind::Role => roles.push(PolicyRole { role_name: Some(name), role_id: Some(id) }),
        }
    }
    output.policy_users = Some(users);
    output.policy_groups = Some(groups);
    output.policy_roles = Some(roles);
    Ok(output)
}

async fn name_and_path(cx: &mut Call, id: &str, kind: EntityKind) -> Result<Option<(String, String)>, ApiError> {
    let Some(owner) = entity::by_id(&mut cx.tx, id).await? else { return Ok(None) };
    let (tx, account, name) = (&mut cx.tx, &cx.account, &owner.name);
    let head = match kind {
        EntityKind::User => entity::find::<UserRecord>(tx, account, name).await?.map(|user| user.head),
        EntityKind::Group => entity::find::<GroupRecord>(tx, account, name).await?.map(|group| group.head),
        EntityKind::Role => entity::find::<RoleRecord>(tx, account, name).await?.map(|role| role.head),
    };
    Ok(head.map(|head| (head.name, head.path)))
}

/// A permissions boundary as outputs show it.
pub fn boundary_output(boundary: Option<&str>) -> Option<AttachedPermissionsBoundary> {
    boundary.map(|arn| AttachedPermissionsBoundary {
        permissions_boundary_type: Some(PermissionsBoundaryAttachmentType::PermissionsBoundaryPolicy),
        permissions_boundary_arn: Some(arn.to_owned()),
    })
}

/// Sets, replaces or (with `None`) removes the boundary of an entity that is not written yet.
pub async fn set_boundary<E: Bounded>(cx: &mut Call, entity: &mut E, arn: Option<&str>) -> Result<(), ApiError> {
    if let Some(arn) = arn {
        managed_policy::check_attachable(&mut cx.tx, &cx.account, arn).await.map_err(|error| match error.code.as_ref() {
            "NoSuchEntity" => IamError::NoSuchEntity(format!("Scope ARN: {arn} does not exist or is not attachable.")).into(),
            _ => error,
        })?;
    }
    let id = entity.head().id.clone();
    let old = std::mem::replace(entity.boundary_mut(), arn.map(str::to_owned));
    if let Some(old) = old {
        unindex(&mut cx.tx, &cx.account, &old, Usage::Boundary, &id);
    }
    match arn {
        Some(arn) => index(&mut cx.tx, &cx.account, arn, Usage::Boundary, &id, E::KIND),
        None => Ok(()),
    }
}

async fn change_boundary<E: Bounded>(cx: &mut Call, name: &str, arn: Option<&str>) -> Result<(), ApiError> {
    let mut entity = entity::load::<E>(&mut cx.tx, &cx.account, name).await?;
    set_boundary(cx, &mut entity, arn).await?;
    entity::save(&mut cx.tx, &cx.account, &entity)
}

pub async fn put_user_permissions_boundary(
    cx: &mut Call,
    input: PutUserPermissionsBoundaryInput,
) -> Result<PutUserPermissionsBoundaryOutput, ApiError> {
    change_boundary::<UserRecord>(cx, &input.user_name, Some(&input.permissions_boundary)).await?;
    Ok(PutUserPermissionsBoundaryOutput {})
}

pub async fn put_role_permissions_boundary(
    cx: &mut Call,
    input: PutRolePermissionsBoundaryInput,
) -> Result<PutRolePermissionsBoundaryOutput, ApiError> {
    change_boundary::<RoleRecord>(cx, &input.role_name, Some(&input.permissions_boundary)).await?;
    Ok(PutRolePermissionsBoundaryOutput {})
}

pub async fn delete_user_permissions_boundary(
    cx: &mut Call,
    input: DeleteUserPermissionsBoundaryInput,
) -> Result<DeleteUserPermissionsBoundaryOutput, ApiError> {
    change_boundary::<UserRecord>(cx, &input.user_name, None).await?;
    Ok(DeleteUserPermissionsBoundaryOutput {})
}

pub async fn delete_role_permissions_boundary(
    cx: &mut Call,
    input: DeleteRolePermissionsBoundaryInput,
) -> Result<DeleteRolePermissionsBoundaryOutput, ApiError> {
    change_boundary::<RoleRecord>(cx, &input.role_name, None).await?;
    Ok(DeleteRolePermissionsBoundaryOutput {})
}
