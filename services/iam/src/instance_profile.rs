//! Instance profiles: the name under which a machine gets a role.

use api_iam::{
    AddRoleToInstanceProfileInput, AddRoleToInstanceProfileOutput, CreateInstanceProfileInput, CreateInstanceProfileOutput,
    DeleteInstanceProfileInput, DeleteInstanceProfileOutput, GetInstanceProfileInput, GetInstanceProfileOutput, InstanceProfile,
    ListInstanceProfilesForRoleInput, ListInstanceProfilesForRoleOutput, ListInstanceProfilesInput, ListInstanceProfilesOutput,
    RemoveRoleFromInstanceProfileInput, RemoveRoleFromInstanceProfileOutput,
};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::account::{self, Counted};
use crate::entity::{self, Head, RoleRecord, tagged};
use crate::error::{IamError, delete_conflict, quota_exceeded};
use crate::{identifier, page, role, tags};

/// An instance profile. It holds at most one role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InstanceProfileRecord {
    pub head: Head,
    #[serde(default)]
    pub role_name: Option<String>,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Record for InstanceProfileRecord {
    const TABLE: Table = Table("iam.instance-profile");
    const SCOPE: Scope = Scope::Home;
}

tagged!(InstanceProfileRecord);

impl InstanceProfileRecord {
    pub(crate) fn arn(&self, account: &str) -> String {
        identifier::arn(account, "instance-profile", &self.head.path, &self.head.name)
    }
}

fn no_such_profile(name: &str) -> ApiError {
    IamError::NoSuchEntity(format!("Instance Profile {name} cannot be found.")).into()
}

pub(crate) async fn find(tx: &mut Transaction, account: &str, name: &str) -> Result<Option<InstanceProfileRecord>, ApiError> {
    let found = tx.get::<InstanceProfileRecord>(&entity::key(account, name)).await?;
    Ok(found.filter(|profile| profile.head.name == name))
}

pub(crate) async fn load(cx: &mut Call, name: &str) -> Result<InstanceProfileRecord, ApiError> {
    find(&mut cx.tx, &cx.account, name).await?.ok_or_else(|| no_such_profile(name))
}

pub(crate) fn save(cx: &mut Call, profile: &InstanceProfileRecord) -> Result<(), ApiError> {
    cx.tx.put(&entity::key(&cx.account, &profile.head.name), profile)
}

/// An instance profile as lists show it: without tags.
pub(crate) async fn summary(cx: &mut Call, profile: &InstanceProfileRecord) -> Result<InstanceProfile, ApiError> {
    let mut roles = Vec::new();
    if let Some(name) = &profile.role_name
        && let Some(record) = entity::find::<RoleRecord>(&mut cx.tx, &cx.account, name).await?
    {
        roles.push(role::summary(cx, &record).await?);
    }
    Ok(InstanceProfile {
        path: profile.head.path.clone(),
        instance_profile_name: profile.head.name.clone(),
        instance_profile_id: profile.head.id.clone(),
        arn: profile.arn(&cx.account),
        create_date: Timestamp(profile.head.created_ms),
        roles,
        tags: None,
    })
}

async fn output(cx: &mut Call, profile: &InstanceProfileRecord) -> Result<InstanceProfile, ApiError> {
    Ok(InstanceProfile { tags: tags::to_output(&profile.tags), ..summary(cx, profile).await? })
}

pub(crate) async fn create_instance_profile(
    cx: &mut Call,
    input: CreateInstanceProfileInput,
) -> Result<CreateInstanceProfileOutput, ApiError> {
    let tags = tags::from_input(input.tags)?;
    let name = input.instance_profile_name;
    if cx.tx.get::<InstanceProfileRecord>(&entity::key(&cx.account, &name)).await?.is_some() {
        return Err(IamError::EntityAlreadyExists(format!("Instance Profile {name} already exists.")).into());
    }
    let id = identifier::unique_id(cx.plane.randomness.as_ref(), identifier::INSTANCE_PROFILE)?;
    let head = Head { name, path: input.path.unwrap_or_else(|| "/".to_owned()), id, created_ms: cx.now.0 };
    let profile = InstanceProfileRecord { head, role_name: None, tags };
    account::count_up(&mut cx.tx, &cx.account, Counted::InstanceProfiles).await?;
    save(cx, &profile)?;
    let account = cx.account.clone();
    cx.touch("AWS::IAM::InstanceProfile", &profile.arn(&account), &account);
    Ok(CreateInstanceProfileOutput { instance_profile: output(cx, &profile).await? })
}

pub(crate) async fn get_instance_profile(cx: &mut Call, input: GetInstanceProfileInput) -> Result<GetInstanceProfileOutput, ApiError> {
    let profile = load(cx, &input.instance_profile_name).await?;
    Ok(GetInstanceProfileOutput { instance_profile: output(cx, &profile).await? })
}

fn place(profile: &InstanceProfileRecord) -> String {
    profile.head.name.to_lowercase()
}

pub(crate) async fn list_instance_profiles(
    cx: &mut Call,
    input: ListInstanceProfilesInput,
) -> Result<ListInstanceProfilesOutput, ApiError> {
    let prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    let rows = cx.tx.scan::<InstanceProfileRecord>(&Key::new(&cx.account, ""), None, plane::transaction::SCAN_LIMIT).await?;
    let profiles = rows.into_iter().map(|(_, profile)| profile).filter(|profile| profile.head.path.starts_with(&prefix)).collect();
    let page = page::cut(cx, profiles, place, &prefix, input.marker.as_deref(), input.max_items)?;
    let mut instance_profiles = Vec::with_capacity(page.items.len());
    for profile in &page.items {
        instance_profiles.push(summary(cx, profile).await?);
    }
    Ok(ListInstanceProfilesOutput { instance_profiles, is_truncated: Some(page.next.is_some()), marker: page.next })
}

/// The instance profiles that hold a role, in order of their names.
pub(crate) async fn of_role(cx: &mut Call, role: &RoleRecord) -> Result<Vec<InstanceProfileRecord>, ApiError> {
    let mut profiles = Vec::new();
    for name in &role.instance_profiles {
        profiles.extend(cx.tx.get::<InstanceProfileRecord>(&entity::key(&cx.account, name)).await?);
    }
    profiles.sort_by_key(place);
    Ok(profiles)
}

pub(crate) async fn list_instance_profiles_for_role(
    cx: &mut Call,
    input: ListInstanceProfilesForRoleInput,
) -> Result<ListInstanceProfilesForRoleOutput, ApiError> {
    let role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    let profiles = of_role(cx, &role).await?;
    let page = page::cut(cx, profiles, place, &role.head.id, input.marker.as_deref(), input.max_items)?;
    let mut instance_profiles = Vec::with_capacity(page.items.len());
    for profile in &page.items {
        instance_profiles.push(summary(cx, profile).await?);
    }
    Ok(ListInstanceProfilesForRoleOutput { instance_profiles, is_truncated: Some(page.next.is_some()), marker: page.next })
}

pub(crate) async fn delete_instance_profile(
    cx: &mut Call,
    input: DeleteInstanceProfileInput,
) -> Result<DeleteInstanceProfileOutput, ApiError> {
    let profile = load(cx, &input.instance_profile_name).await?;
    if profile.role_name.is_some() {
        return Err(delete_conflict("remove roles from instance profile"));
    }
    account::count_down(&mut cx.tx, &cx.account, Counted::InstanceProfiles).await?;
    cx.tx.delete::<InstanceProfileRecord>(&entity::key(&cx.account, &profile.head.name));
    Ok(DeleteInstanceProfileOutput {})
}

pub(crate) async fn add_role_to_instance_profile(
    cx: &mut Call,
    input: AddRoleToInstanceProfileInput,
) -> Result<AddRoleToInstanceProfileOutput, ApiError> {
    let mut profile = load(cx, &input.instance_profile_name).await?;
    let mut role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    if profile.role_name.is_some() {
        return Err(quota_exceeded("InstanceSessionsPerInstanceProfile", 1));
    }
    profile.role_name = Some(role.head.name.clone());
    role.instance_profiles.push(place(&profile));
    entity::save(&mut cx.tx, &cx.account, &role)?;
    save(cx, &profile)?;
    Ok(AddRoleToInstanceProfileOutput {})
}

pub(crate) async fn remove_role_from_instance_profile(
    cx: &mut Call,
    input: RemoveRoleFromInstanceProfileInput,
) -> Result<RemoveRoleFromInstanceProfileOutput, ApiError> {
    let mut profile = load(cx, &input.instance_profile_name).await?;
    let mut role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    if profile.role_name.as_deref() != Some(&role.head.name) {
        return Err(crate::error::no_such_entity(entity::EntityKind::Role, &input.role_name));
    }
    profile.role_name = None;
    role.instance_profiles.retain(|name| *name != place(&profile));
    entity::save(&mut cx.tx, &cx.account, &role)?;
    save(cx, &profile)?;
    Ok(RemoveRoleFromInstanceProfileOutput {})
}
