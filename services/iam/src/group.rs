//! Groups and who is in them.

use api_iam::{
    AddUserToGroupInput, AddUserToGroupOutput, CreateGroupInput, CreateGroupOutput, DeleteGroupInput, DeleteGroupOutput, GetGroupInput,
    GetGroupOutput, Group, ListGroupsForUserInput, ListGroupsForUserOutput, ListGroupsInput, ListGroupsOutput, RemoveUserFromGroupInput,
    RemoveUserFromGroupOutput, UpdateGroupInput, UpdateGroupOutput,
};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::account::{self, Counted};
use crate::entity::{self, Entity, EntityKind, GroupRecord, Head, Policies, UserRecord};
use crate::error::{IamError, delete_conflict, entity_already_exists, quota_exceeded};
use crate::{identifier, page, user};

/// Groups that one user may be in. Source: IAM User Guide, "IAM and AWS STS quotas".
pub(crate) const PER_USER: usize = 10;

/// A user is in a group: the index that answers who is in a group. The user's record is the truth for decisions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct MemberRecord {
    added_ms: i64,
}

impl Record for MemberRecord {
    const TABLE: Table = Table("iam.group-member");
    const SCOPE: Scope = Scope::Home;
}

fn members(account: &str, group_id: &str) -> Key {
    Key::new(account, "").then(group_id)
}

/// A group as outputs show it.
pub(crate) fn output(account: &str, group: &GroupRecord) -> Group {
    Group {
        path: group.head.path.clone(),
        group_name: group.head.name.clone(),
        group_id: group.head.id.clone(),
        arn: group.arn(account),
        create_date: Timestamp(group.head.created_ms),
    }
}

pub(crate) async fn by_id(tx: &mut Transaction, account: &str, id: &str) -> Result<Option<GroupRecord>, ApiError> {
    match entity::by_id(tx, id).await? {
        Some(owner) => entity::find::<GroupRecord>(tx, account, &owner.name).await,
        None => Ok(None),
    }
}

pub(crate) async fn create_group(cx: &mut Call, input: CreateGroupInput) -> Result<CreateGroupOutput, ApiError> {
    if cx.tx.get::<GroupRecord>(&entity::key(&cx.account, &input.group_name)).await?.is_some() {
        return Err(entity_already_exists(EntityKind::Group, &input.group_name));
    }
    let id = identifier::unique_id(cx.plane.randomness.as_ref(), identifier::GROUP)?;
    let group = GroupRecord {
        head: Head { name: input.group_name, path: input.path.unwrap_or_else(|| "/".to_owned()), id, created_ms: cx.now.0 },
        policies: Policies::default(),
    };
    account::count_up(&mut cx.tx, &cx.account, Counted::Groups).await?;
    entity::save_id(&mut cx.tx, &cx.account, &group)?;
    entity::save(&mut cx.tx, &cx.account, &group)?;
    entity::note(cx, "AWS::IAM::Group", &group);
    Ok(CreateGroupOutput { group: output(&cx.account, &group) })
}

/// Users of a group, in order of their unique ids.
async fn users_of(cx: &mut Call, group: &GroupRecord) -> Result<Vec<UserRecord>, ApiError> {
    let prefix = members(&cx.account, &group.head.id);
    let rows = cx.tx.scan::<MemberRecord>(&prefix, None, plane::transaction::SCAN_LIMIT).await?;
    let mut users = Vec::new();
    for (id, _) in rows {
        let Some(owner) = entity::by_id(&mut cx.tx, &String::from_utf8_lossy(&id)).await? else { continue };
        users.extend(entity::find::<UserRecord>(&mut cx.tx, &cx.account, &owner.name).await?);
    }
    Ok(users)
}

pub(crate) async fn get_group(cx: &mut Call, input: GetGroupInput) -> Result<GetGroupOutput, ApiError> {
    let group = entity::load::<GroupRecord>(&mut cx.tx, &cx.account, &input.group_name).await?;
    let users = users_of(cx, &group).await?;
    let place = |user: &UserRecord| user.head.id.clone();
    let page = page::cut(cx, users, place, &group.head.id, input.marker.as_deref(), input.max_items)?;
    let users = page.items.iter().map(|user| user::summary(&cx.account, user)).collect();
    Ok(GetGroupOutput { group: output(&cx.account, &group), users, is_truncated: Some(page.next.is_some()), marker: page.next })
}

pub(crate) async fn list_groups(cx: &mut Call, input: ListGroupsInput) -> Result<ListGroupsOutput, ApiError> {
    let prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    let mut groups = entity::all::<GroupRecord>(&mut cx.tx, &cx.account).await?;
    groups.retain(|group| group.head.path.starts_with(&prefix));
    let page = page::cut(cx, groups, place, &prefix, input.marker.as_deref(), input.max_items)?;
    let groups = page.items.iter().map(|group| output(&cx.account, group)).collect();
    Ok(ListGroupsOutput { groups, is_truncated: Some(page.next.is_some()), marker: page.next })
}

fn place(group: &GroupRecord) -> String {
    group.head.name.to_lowercase()
}

pub(crate) async fn list_groups_for_user(cx: &mut Call, input: ListGroupsForUserInput) -> Result<ListGroupsForUserOutput, ApiError> {
    let user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, &input.user_name).await?;
    let mut groups = groups_of(cx, &user).await?;
    groups.sort_by_key(place);
    let page = page::cut(cx, groups, place, &user.head.id, input.marker.as_deref(), input.max_items)?;
    let groups = page.items.iter().map(|group| output(&cx.account, group)).collect();
    Ok(ListGroupsForUserOutput { groups, is_truncated: Some(page.next.is_some()), marker: page.next })
}

/// The groups of a user, in the order in which it joined them.
pub(crate) async fn groups_of(cx: &mut Call, user: &UserRecord) -> Result<Vec<GroupRecord>, ApiError> {
    let mut groups = Vec::new();
    for id in &user.group_ids {
        groups.extend(by_id(&mut cx.tx, &cx.account, id).await?);
    }
    Ok(groups)
}

pub(crate) async fn update_group(cx: &mut Call, input: UpdateGroupInput) -> Result<UpdateGroupOutput, ApiError> {
    let mut group = entity::load::<GroupRecord>(&mut cx.tx, &cx.account, &input.group_name).await?;
    if let Some(path) = input.new_path {
        group.head.path = path;
    }
    if let Some(name) = input.new_group_name.filter(|name| *name != group.head.name) {
        entity::rename(cx, &mut group, name).await?;
    }
    entity::save(&mut cx.tx, &cx.account, &group)?;
    Ok(UpdateGroupOutput {})
}

pub(crate) async fn delete_group(cx: &mut Call, input: DeleteGroupInput) -> Result<DeleteGroupOutput, ApiError> {
    let group = entity::load::<GroupRecord>(&mut cx.tx, &cx.account, &input.group_name).await?;
    let prefix = members(&cx.account, &group.head.id);
    if !cx.tx.scan::<MemberRecord>(&prefix, None, 1).await?.is_empty() {
        return Err(delete_conflict("remove users from group"));
    }
    if !group.policies.attached.is_empty() {
        return Err(delete_conflict("detach all policies"));
    }
    if !group.policies.inline.is_empty() {
        return Err(delete_conflict("delete policies"));
    }
    account::count_down(&mut cx.tx, &cx.account, Counted::Groups).await?;
    entity::remove(&mut cx.tx, &cx.account, &group);
    Ok(DeleteGroupOutput {})
}

/// Adding a member again changes nothing.
pub(crate) async fn add_user_to_group(cx: &mut Call, input: AddUserToGroupInput) -> Result<AddUserToGroupOutput, ApiError> {
    let group = entity::load::<GroupRecord>(&mut cx.tx, &cx.account, &input.group_name).await?;
    let mut user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, &input.user_name).await?;
    if user.group_ids.contains(&group.head.id) {
        return Ok(AddUserToGroupOutput {});
    }
    if user.group_ids.len() >= PER_USER {
        return Err(quota_exceeded("GroupsPerUser", PER_USER));
    }
    user.group_ids.push(group.head.id.clone());
    let added_ms = cx.now.0;
    cx.tx.put(&members(&cx.account, &group.head.id).last(&user.head.id), &MemberRecord { added_ms })?;
    entity::save(&mut cx.tx, &cx.account, &user)?;
    Ok(AddUserToGroupOutput {})
}

pub(crate) async fn remove_user_from_group(cx: &mut Call, input: RemoveUserFromGroupInput) -> Result<RemoveUserFromGroupOutput, ApiError> {
    let group = entity::load::<GroupRecord>(&mut cx.tx, &cx.account, &input.group_name).await?;
    let mut user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, &input.user_name).await?;
    if !user.group_ids.contains(&group.head.id) {
        return Err(IamError::NoSuchEntity(format!("User {} not in group {}", input.user_name, input.group_name)).into());
    }
    user.group_ids.retain(|id| *id != group.head.id);
    cx.tx.delete::<MemberRecord>(&members(&cx.account, &group.head.id).last(&user.head.id));
    entity::save(&mut cx.tx, &cx.account, &user)?;
    Ok(RemoveUserFromGroupOutput {})
}
