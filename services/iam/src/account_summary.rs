//! What an account has, in numbers and in full: `GetAccountSummary` and `GetAccountAuthorizationDetails`.

use std::collections::BTreeMap;

use api_iam::{
    EntityType, GetAccountAuthorizationDetailsInput, GetAccountAuthorizationDetailsOutput, GetAccountSummaryInput, GetAccountSummaryOutput,
    GroupDetail, ManagedPolicyDetail, RoleDetail, UserDetail,
};
use plane::{ApiError, Call};
use wire::Timestamp;

use crate::account::{self, Counted};
use crate::attachment::{self, boundary_output};
use crate::aws_managed::{self, AwsManagedPolicy};
use crate::entity::{self, Entity, EntityKind, GroupRecord, RoleRecord, UserRecord};
use crate::managed_policy::{self, ManagedPolicyRecord};
use crate::{
    access_key, document, group, inline_policy, instance_profile, login_profile, mfa_device, oidc_provider, page, role, saml_provider,
    server_certificate, signing_certificate, tags,
};

pub(crate) async fn get_account_summary(cx: &mut Call, _input: GetAccountSummaryInput) -> Result<GetAccountSummaryOutput, ApiError> {
    let tx = &mut cx.tx;
    let account = account::load(tx, &cx.account).await?;
    let policies = managed_policy::all(tx, &cx.account).await?;
    let providers = oidc_provider::all(tx, &cx.account).await?.len().saturating_add(saml_provider::all(tx, &cx.account).await?.len());
    let devices = mfa_device::all(tx, &cx.account).await?;
    let root_password = login_profile::root_may_sign_in(tx, &cx.account).await?;
    let versions: usize = policies.iter().map(|policy| policy.versions.len()).sum();
    let mut numbers: Vec<(&str, usize)> = vec![
        ("AccountMFAEnabled", usize::from(devices.iter().any(|device| device.owner_id.as_ref() == Some(&account.id)))),
        ("AccountPasswordPresent", usize::from(root_password)),
        ("AccountSigningCertificatesPresent", 0),
        ("MFADevices", devices.len()),
        ("MFADevicesInUse", devices.iter().filter(|device| device.owner_id.is_some()).count()),
        ("Providers", providers),
        ("ServerCertificates", server_certificate::all(tx, &cx.account).await?.len()),
        ("ServerCertificatesQuota", server_certificate::PER_ACCOUNT),
        ("SigningCertificatesPerUserQuota", signing_certificate::PER_USER),
        ("AccountAccessKeysPresent", usize::from(!account.access_key_ids.is_empty())),
        ("AccessKeysPerUserQuota", access_key::PER_USER),
        ("GroupsPerUserQuota", group::PER_USER),
        ("AttachedPoliciesPerUserQuota", attachment::quota(EntityKind::User)),
        ("AttachedPoliciesPerGroupQuota", attachment::quota(EntityKind::Group)),
        ("AttachedPoliciesPerRoleQuota", attachment::quota(EntityKind::Role)),
        ("UserPolicySizeQuota", inline_policy::quota(EntityKind::User)),
        ("GroupPolicySizeQuota", inline_policy::quota(EntityKind::Group)),
        ("RolePolicySizeQuota", inline_policy::quota(EntityKind::Role)),
        ("AssumeRolePolicySizeQuota", document::TRUST_CHARACTERS),
        ("PolicySizeQuota", document::MANAGED_CHARACTERS),
        ("VersionsPerPolicyQuota", managed_policy::VERSIONS),
        ("PolicyVersionsInUse", versions),
        ("GlobalEndpointTokenVersion", 2),
    ];
    for (name, quota, counted) in [
        ("Users", "UsersQuota", Counted::Users),
        ("Groups", "GroupsQuota", Counted::Groups),
        ("Roles", "RolesQuota", Counted::Roles),
        ("Policies", "PoliciesQuota", Counted::Policies),
        ("InstanceProfiles", "InstanceProfilesQuota", Counted::InstanceProfiles),
    ] {
        numbers.push((name, account::count(tx, &cx.account, counted).await?));
        numbers.push((quota, counted.quota()));
    }
    let number = |value: usize| i32::try_from(value).unwrap_or(i32::MAX);
    let map: BTreeMap<String, i32> = numbers.into_iter().map(|(name, value)| (name.to_owned(), number(value))).collect();
    Ok(GetAccountSummaryOutput { summary_map: Some(map) })
}

/// An item of the details, before it is written out: only those of the page are.
enum Item {
    User(Box<UserRecord>),
    Group(Box<GroupRecord>),
    Role(Box<RoleRecord>),
    Policy(Box<ManagedPolicyRecord>),
    AwsManaged(&'static AwsManagedPolicy),
}

impl Item {
    /// Users first, then groups, roles and policies, each in order of their names.
    fn place(&self) -> String {
        let (rank, name) = match self {
            Self::User(user) => (0, &user.head.name),
            Self::Group(group) => (1, &group.head.name),
            Self::Role(role) => (2, &role.head.name),
            Self::Policy(policy) => (3, &policy.head.name),
            Self::AwsManaged(policy) => return format!("4{}", policy.name.to_lowercase()),
        };
        format!("{rank}{}", name.to_lowercase())
    }
}

async fn items(cx: &mut Call, filter: &[EntityType]) -> Result<Vec<Item>, ApiError> {
    let wants = |entity: EntityType| filter.is_empty() || filter.contains(&entity);
    let (tx, account) = (&mut cx.tx, &cx.account);
    let mut items = Vec::new();
    if wants(EntityType::User) {
        items.extend(entity::all::<UserRecord>(tx, account).await?.into_iter().map(|user| Item::User(Box::new(user))));
    }
    if wants(EntityType::Group) {
        items.extend(entity::all::<GroupRecord>(tx, account).await?.into_iter().map(|group| Item::Group(Box::new(group))));
    }
    if wants(EntityType::Role) {
        items.extend(entity::all::<RoleRecord>(tx, account).await?.into_iter().map(|role| Item::Role(Box::new(role))));
    }
    if wants(EntityType::LocalManagedPolicy) {
        items.extend(managed_policy::all(tx, account).await?.into_iter().map(|policy| Item::Policy(Box::new(policy))));
    }
    if wants(EntityType::AWSManagedPolicy) {
        let counts = attachment::all_counts(tx, account).await?;
        // Without a filter only those in use are shown, as AWS does.
        let shown = aws_managed::all().iter().filter(|policy| !filter.is_empty() || counts.contains_key(&policy.arn()));
        items.extend(shown.map(Item::AwsManaged));
    }
    Ok(items)
}

pub(crate) async fn get_account_authorization_details(
    cx: &mut Call,
    input: GetAccountAuthorizationDetailsInput,
) -> Result<GetAccountAuthorizationDetailsOutput, ApiError> {
    let filter = input.filter.unwrap_or_default();
    let items = items(cx, &filter).await?;
    let page = page::cut(cx, items, Item::place, &format!("{filter:?}"), input.marker.as_deref(), input.max_items)?;
    let (mut users, mut groups, mut roles, mut policies) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for item in &page.items {
        match item {
            Item::User(user) => users.push(user_detail(cx, user).await?),
            Item::Group(group) => groups.push(group_detail(&cx.account, group)),
            Item::Role(role) => roles.push(role_detail(cx, role).await?),
            Item::Policy(policy) => policies.push(policy_detail(cx, policy).await?),
            Item::AwsManaged(policy) => policies.push(aws_managed_detail(cx, policy).await?),
        }
    }
    Ok(GetAccountAuthorizationDetailsOutput {
        user_detail_list: Some(users),
        group_detail_list: Some(groups),
        role_detail_list: Some(roles),
        policies: Some(policies),
        is_truncated: Some(page.next.is_some()),
        marker: page.next,
    })
}

async fn user_detail(cx: &mut Call, user: &UserRecord) -> Result<UserDetail, ApiError> {
    let groups = group::groups_of(cx, user).await?;
    Ok(UserDetail {
        path: Some(user.head.path.clone()),
        user_name: Some(user.head.name.clone()),
        user_id: Some(user.head.id.clone()),
        arn: Some(user.arn(&cx.account)),
        create_date: Some(Timestamp(user.head.created_ms)),
        user_policy_list: inline_policy::details(&user.policies),
        group_list: Some(groups.into_iter().map(|group| group.head.name).collect()),
        attached_managed_policies: Some(attachment::to_output(&user.policies.attached)),
        permissions_boundary: boundary_output(user.boundary.as_deref()),
        tags: tags::to_output(&user.tags),
    })
}

fn group_detail(account: &str, group: &GroupRecord) -> GroupDetail {
    GroupDetail {
        path: Some(group.head.path.clone()),
        group_name: Some(group.head.name.clone()),
        group_id: Some(group.head.id.clone()),
        arn: Some(group.arn(account)),
        create_date: Some(Timestamp(group.head.created_ms)),
        group_policy_list: inline_policy::details(&group.policies),
        attached_managed_policies: Some(attachment::to_output(&group.policies.attached)),
    }
}

async fn role_detail(cx: &mut Call, record: &RoleRecord) -> Result<RoleDetail, ApiError> {
    let mut profiles = Vec::new();
    for profile in instance_profile::of_role(cx, record).await? {
        profiles.push(instance_profile::summary(cx, &profile).await?);
    }
    let trust = plane::policy_principal::shown(cx, &record.trust).await?;
    Ok(RoleDetail {
        path: Some(record.head.path.clone()),
        role_name: Some(record.head.name.clone()),
        role_id: Some(record.head.id.clone()),
        arn: Some(record.arn(&cx.account)),
        create_date: Some(Timestamp(record.head.created_ms)),
        assume_role_policy_document: Some(document::encoded(&trust)),
        instance_profile_list: Some(profiles),
        role_policy_list: inline_policy::details(&record.policies),
        attached_managed_policies: Some(attachment::to_output(&record.policies.attached)),
        permissions_boundary: boundary_output(record.boundary.as_deref()),
        tags: tags::to_output(&record.tags),
        role_last_used: Some(role::last_used(cx, record).await?),
    })
}

async fn policy_detail(cx: &mut Call, policy: &ManagedPolicyRecord) -> Result<ManagedPolicyDetail, ApiError> {
    let arn = policy.arn(&cx.account);
    let counts = attachment::counts(&mut cx.tx, &cx.account, &arn).await?;
    Ok(ManagedPolicyDetail {
        policy_name: Some(policy.head.name.clone()),
        policy_id: Some(policy.head.id.clone()),
        arn: Some(arn),
        path: Some(policy.head.path.clone()),
        default_version_id: Some(format!("v{}", policy.default_version)),
        attachment_count: Some(counts.permissions),
        permissions_boundary_usage_count: Some(counts.boundaries),
        is_attachable: Some(true),
        description: policy.description.clone(),
        create_date: Some(Timestamp(policy.head.created_ms)),
        update_date: Some(Timestamp(policy.updated_ms)),
        policy_version_list: Some(policy.version_outputs(true)),
    })
}

async fn aws_managed_detail(cx: &mut Call, policy: &AwsManagedPolicy) -> Result<ManagedPolicyDetail, ApiError> {
    let counts = attachment::counts(&mut cx.tx, &cx.account, &policy.arn()).await?;
    let version = managed_policy::aws_managed_version(policy, true);
    Ok(ManagedPolicyDetail {
        policy_name: Some(policy.name.to_owned()),
        policy_id: Some(policy.id.to_owned()),
        arn: Some(policy.arn()),
        path: Some(policy.path.to_owned()),
        default_version_id: version.version_id.clone(),
        attachment_count: Some(counts.permissions),
        permissions_boundary_usage_count: Some(counts.boundaries),
        is_attachable: Some(true),
        description: None,
        create_date: Some(Timestamp(policy.created_ms)),
        update_date: Some(Timestamp(policy.updated_ms)),
        policy_version_list: Some(vec![version]),
    })
}
