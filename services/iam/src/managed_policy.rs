//! Managed policies of the customer, with their versions.

use api_iam::{
    CreatePolicyInput, CreatePolicyOutput, CreatePolicyVersionInput, CreatePolicyVersionOutput, DeletePolicyInput, DeletePolicyOutput,
    DeletePolicyVersionInput, DeletePolicyVersionOutput, GetPolicyInput, GetPolicyOutput, GetPolicyVersionInput, GetPolicyVersionOutput,
    ListPoliciesInput, ListPoliciesOutput, ListPolicyVersionsInput, ListPolicyVersionsOutput, Policy, PolicyScopeType, PolicyUsageType,
    PolicyVersion, SetDefaultPolicyVersionInput, SetDefaultPolicyVersionOutput,
};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::account::{self, Counted};
use crate::attachment::{self, Usage};
use crate::aws_managed::{self, AwsManagedPolicy};
use crate::document;
use crate::entity::{self, Head, tagged};
use crate::error::IamError;
use crate::identifier::{self, IamArn};
use crate::{page, tags};

/// Versions of one policy. Source: IAM User Guide, "IAM and AWS STS quotas".
pub const VERSIONS: usize = 5;

/// A managed policy of the customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedPolicyRecord {
    pub head: Head,
    #[serde(default)]
    pub description: Option<String>,
    pub updated_ms: i64,
    /// Number of the version that is in force.
    pub default_version: u32,
    /// Numbers are never used again.
    pub last_version: u32,
    pub versions: Vec<VersionRecord>,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

/// A version of a managed policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRecord {
    pub number: u32,
    pub document: String,
    pub created_ms: i64,
}

impl Record for ManagedPolicyRecord {
    const TABLE: Table = Table("iam.policy");
    const SCOPE: Scope = Scope::Home;
}

tagged!(ManagedPolicyRecord);

impl ManagedPolicyRecord {
    pub fn arn(&self, account: &str) -> String {
        identifier::arn(account, "policy", &self.head.path, &self.head.name)
    }

    fn version(&self, number: u32) -> Option<&VersionRecord> {
        self.versions.iter().find(|version| version.number == number)
    }

    fn version_output(&self, version: &VersionRecord, with_document: bool) -> PolicyVersion {
        PolicyVersion {
            document: with_document.then(|| document::encoded(&version.document)),
            version_id: Some(version_id(version.number)),
            is_default_version: Some(version.number == self.default_version),
            create_date: Some(Timestamp(version.created_ms)),
        }
    }

    /// Newest first, as AWS lists them.
    pub fn version_outputs(&self, with_document: bool) -> Vec<PolicyVersion> {
        self.versions.iter().rev().map(|version| self.version_output(version, with_document)).collect()
    }
}

fn version_id(number: u32) -> String {
    format!("v{number}")
}

fn version_number(id: &str) -> Option<u32> {
    id.strip_prefix('v').and_then(|number| number.parse().ok())
}

/// Whether the ARN is one of a policy that AWS manages.
pub fn is_aws_managed(arn: &str) -> bool {
    IamArn::parse(arn).is_some_and(|arn| arn.account == "aws")
}

fn not_found(arn: &str) -> ApiError {
    IamError::NoSuchEntity(format!("Policy {arn} was not found.")).into()
}

/// The text of a policy that is to be attached and is not there.
pub fn not_attachable(arn: &str) -> ApiError {
    IamError::NoSuchEntity(format!("Policy {arn} does not exist or is not attachable.")).into()
}

fn invalid_arn(arn: &str) -> ApiError {
    IamError::InvalidInput(format!("ARN {arn} is not valid.")).into()
}

fn unchangeable(arn: &str) -> ApiError {
    IamError::InvalidInput(format!("Cannot perform this operation on an AWS managed policy: {arn}")).into()
}

/// The policy with this ARN, of whatever account.
pub async fn find(tx: &mut Transaction, arn: &str) -> Result<Option<ManagedPolicyRecord>, ApiError> {
    let Some(parsed) = IamArn::parse(arn).filter(|parsed| parsed.resource_type == "policy" && parsed.account != "aws") else {
        return Ok(None);
    };
    let found = tx.get::<ManagedPolicyRecord>(&entity::key(parsed.account, parsed.name)).await?;
    Ok(found.filter(|policy| policy.arn(parsed.account) == arn))
}

/// A policy of the caller's account that can be changed.
pub async fn load_own(cx: &mut Call, arn: &str) -> Result<ManagedPolicyRecord, ApiError> {
    let parsed = IamArn::parse(arn).filter(|parsed| parsed.resource_type == "policy").ok_or_else(|| invalid_arn(arn))?;
    if parsed.account == "aws" {
        return Err(if aws_managed::find(arn).is_some() { unchangeable(arn) } else { not_found(arn) });
    }
    if parsed.account != cx.account {
        return Err(not_found(arn));
    }
    find(&mut cx.tx, arn).await?.ok_or_else(|| not_found(arn))
}

pub fn save(cx: &mut Call, policy: &ManagedPolicyRecord) -> Result<(), ApiError> {
    cx.tx.put(&entity::key(&cx.account, &policy.head.name), policy)
}

/// The document in force of a managed policy; `None` when there is no such policy.
pub async fn default_document(tx: &mut Transaction, arn: &str) -> Result<Option<String>, ApiError> {
    if let Some(policy) = aws_managed::find(arn) {
        return Ok(Some(policy.document().to_owned()));
    }
    let found = find(tx, arn).await?;
    Ok(found.and_then(|policy| policy.version(policy.default_version).map(|version| version.document.clone())))
}

/// Checks that a policy can be attached in an account, or set as a boundary or session policy.
pub async fn check_attachable(tx: &mut Transaction, account: &str, arn: &str) -> Result<(), ApiError> {
    let parsed = IamArn::parse(arn).filter(|parsed| parsed.resource_type == "policy").ok_or_else(|| invalid_arn(arn))?;
    if parsed.account != "aws" && parsed.account != account {
        return Err(not_attachable(arn));
    }
    match default_document(tx, arn).await? {
        Some(_) => Ok(()),
        None => Err(not_attachable(arn)),
    }
}

async fn output(cx: &mut Call, policy: &ManagedPolicyRecord) -> Result<Policy, ApiError> {
    let arn = policy.arn(&cx.account);
    let attachments = attachment::counts(&mut cx.tx, &cx.account, &arn).await?;
    Ok(Policy {
        policy_name: Some(policy.head.name.clone()),
        policy_id: Some(policy.head.id.clone()),
        arn: Some(arn),
        path: Some(policy.head.path.clone()),
        default_version_id: Some(version_id(policy.default_version)),
        attachment_count: Some(attachments.permissions),
        permissions_boundary_usage_count: Some(attachments.boundaries),
        is_attachable: Some(true),
        description: policy.description.clone(),
        create_date: Some(Timestamp(policy.head.created_ms)),
        update_date: Some(Timestamp(policy.updated_ms)),
        tags: tags::to_output(&policy.tags),
    })
}

/// AWS shows a description, too; it is not part of what is carried here.
fn aws_managed_output(policy: &AwsManagedPolicy, arn: String, attachments: attachment::Counts) -> Policy {
    Policy {
        policy_name: Some(policy.name.to_owned()),
        policy_id: Some(policy.id.to_owned()),
        arn: Some(arn),
        path: Some(policy.path.to_owned()),
        default_version_id: Some(version_id(policy.version)),
        attachment_count: Some(attachments.permissions),
        permissions_boundary_usage_count: Some(attachments.boundaries),
        is_attachable: Some(true),
        description: None,
        create_date: Some(Timestamp(policy.created_ms)),
        update_date: Some(Timestamp(policy.updated_ms)),
        tags: None,
    }
}

/// The one known version of a policy that AWS manages.
pub fn aws_managed_version(policy: &AwsManagedPolicy, with_document: bool) -> PolicyVersion {
    PolicyVersion {
        document: with_document.then(|| document::encoded(policy.document())),
        version_id: Some(version_id(policy.version)),
        is_default_version: Some(true),
        create_date: Some(Timestamp(policy.updated_ms)),
    }
}

pub async fn create_policy(cx: &mut Call, input: CreatePolicyInput) -> Result<CreatePolicyOutput, ApiError> {
    document::check_managed(&input.policy_document)?;
    let tags = tags::from_input(input.tags)?;
    if cx.tx.get::<ManagedPolicyRecord>(&entity::key(&cx.account, &input.policy_name)).await?.is_some() {
        let text = format!("A policy called {} already exists. Duplicate names are not allowed.", input.policy_name);
        return Err(IamError::EntityAlreadyExists(text).into());
    }
    let now_ms = cx.now.0;
    let id = identifier::unique_id(cx.plane.randomness.as_ref(), identifier::POLICY)?;
    let policy = ManagedPolicyRecord {
        head: Head { name: input.policy_name, path: input.path.unwrap_or_else(|| "/".to_owned()), id, created_ms: now_ms },
        description: input.description,
        updated_ms: now_ms,
        default_version: 1,
        last_version: 1,
        versions: vec![VersionRecord { number: 1, document: input.policy_document, created_ms: now_ms }],
        tags,
    };
    account::count_up(&mut cx.tx, &cx.account, Counted::Policies).await?;
    save(cx, &policy)?;
    let account = cx.account.clone();
    cx.touch("AWS::IAM::ManagedPolicy", &policy.arn(&account), &account);
    // The creation does not repeat the description.
    let output = output(cx, &ManagedPolicyRecord { description: None, ..policy }).await?;
    Ok(CreatePolicyOutput { policy: Some(output) })
}

pub async fn get_policy(cx: &mut Call, input: GetPolicyInput) -> Result<GetPolicyOutput, ApiError> {
    let policy = if let Some(policy) = aws_managed::find(&input.policy_arn) {
        let arn = policy.arn();
        let attachments = attachment::counts(&mut cx.tx, &cx.account, &arn).await?;
        aws_managed_output(policy, arn, attachments)
    } else {
        let policy = load_own(cx, &input.policy_arn).await?;
        output(cx, &policy).await?
    };
    Ok(GetPolicyOutput { policy: Some(policy) })
}

/// The order of policies in lists: by name without case; the ARN tells those of AWS and of the customer apart.
fn place(policy: &Policy) -> String {
    let text = |member: &Option<String>| member.clone().unwrap_or_default();
    format!("{}\0{}", text(&policy.policy_name).to_lowercase(), text(&policy.arn))
}

pub async fn list_policies(cx: &mut Call, input: ListPoliciesInput) -> Result<ListPoliciesOutput, ApiError> {
    let scope = input.scope.unwrap_or(PolicyScopeType::All);
    let mut policies = Vec::new();
    if scope != PolicyScopeType::Local {
        let counts = attachment::all_counts(&mut cx.tx, &cx.account).await?;
        policies.extend(aws_managed::all().iter().map(|policy| {
            let arn = policy.arn();
            let attachments = counts.get(&arn).copied().unwrap_or_default();
            aws_managed_output(policy, arn, attachments)
        }));
    }
    if scope != PolicyScopeType::Aws {
        for policy in all(&mut cx.tx, &cx.account).await? {
            // Lists show neither description nor tags.
            policies.push(output(cx, &ManagedPolicyRecord { description: None, tags: Vec::new(), ..policy }).await?);
        }
    }
    let prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    let only_attached = input.only_attached.unwrap_or(false);
    let usage = input.policy_usage_filter;
    policies.retain(|policy| {
        let boundaries = policy.permissions_boundary_usage_count.unwrap_or_default();
        let permissions = policy.attachment_count.unwrap_or_default();
        let used = match usage {
            Some(PolicyUsageType::PermissionsBoundary) => boundaries > 0,
            Some(PolicyUsageType::PermissionsPolicy) => permissions > 0,
            _ => true,
        };
        used && policy.path.as_deref().is_some_and(|path| path.starts_with(&prefix)) && (!only_attached || permissions > 0)
    });
    policies.sort_by_key(place);
    let filter = format!("{scope} {only_attached} {prefix} {}", usage.map(|usage| usage.to_string()).unwrap_or_default());
    let page = page::cut(cx, policies, place, &filter, input.marker.as_deref(), input.max_items)?;
    Ok(ListPoliciesOutput { policies: Some(page.items), is_truncated: Some(page.next.is_some()), marker: page.next })
}

/// All policies of the customer, in order of their lower-case names.
pub async fn all(tx: &mut Transaction, account: &str) -> Result<Vec<ManagedPolicyRecord>, ApiError> {
    let rows = tx.scan::<ManagedPolicyRecord>(&Key::new(account, ""), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, policy)| policy).collect())
}

pub async fn delete_policy(cx: &mut Call, input: DeletePolicyInput) -> Result<DeletePolicyOutput, ApiError> {
    let policy = load_own(cx, &input.policy_arn).await?;
    let attachments = attachment::counts(&mut cx.tx, &cx.account, &input.policy_arn).await?;
    if attachments.permissions > 0 || attachments.boundaries > 0 {
        return Err(IamError::DeleteConflict("Cannot delete a policy attached to entities.".to_owned()).into());
    }
    if policy.versions.len() > 1 {
        let text = "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default \
                    version is deleted with the policy.";
        return Err(IamError::DeleteConflict(text.to_owned()).into());
    }
    account::count_down(&mut cx.tx, &cx.account, Counted::Policies).await?;
    cx.tx.delete::<ManagedPolicyRecord>(&entity::key(&cx.account, &policy.head.name));
    Ok(DeletePolicyOutput {})
}

pub async fn create_policy_version(cx: &mut Call, input: CreatePolicyVersionInput) -> Result<CreatePolicyVersionOutput, ApiError> {
    document::check_managed(&input.policy_document)?;
    let mut policy = load_own(cx, &input.policy_arn).await?;
    if policy.versions.len() >= VERSIONS {
        let text = format!(
            "A managed policy can have up to {VERSIONS} versions. Before you create a new version, you must delete an existing version."
        );
        return Err(IamError::LimitExceeded(text).into());
    }
    let number = policy.last_version.saturating_add(1);
    let version = VersionRecord { number, document: input.policy_document, created_ms: cx.now.0 };
    policy.versions.push(version.clone());
    policy.last_version = number;
    policy.updated_ms = cx.now.0;
    if input.set_as_default == Some(true) {
        policy.default_version = number;
    }
    save(cx, &policy)?;
    Ok(CreatePolicyVersionOutput { policy_version: Some(policy.version_output(&version, false)) })
}

fn no_such_version(arn: &str, version_id: &str) -> ApiError {
    IamError::NoSuchEntity(format!("Policy {arn} version {version_id} does not exist or is not attachable.")).into()
}

pub async fn get_policy_version(cx: &mut Call, input: GetPolicyVersionInput) -> Result<GetPolicyVersionOutput, ApiError> {
    let missing = || no_such_version(&input.policy_arn, &input.version_id);
    let number = version_number(&input.version_id).ok_or_else(missing)?;
    if let Some(policy) = aws_managed::find(&input.policy_arn) {
        let version = (number == policy.version).then(|| aws_managed_version(policy, true)).ok_or_else(missing)?;
        return Ok(GetPolicyVersionOutput { policy_version: Some(version) });
    }
    let policy = load_own(cx, &input.policy_arn).await?;
    let version = policy.version(number).ok_or_else(missing)?;
    Ok(GetPolicyVersionOutput { policy_version: Some(policy.version_output(version, true)) })
}

pub async fn list_policy_versions(cx: &mut Call, input: ListPolicyVersionsInput) -> Result<ListPolicyVersionsOutput, ApiError> {
    let versions = match aws_managed::find(&input.policy_arn) {
        Some(policy) => vec![aws_managed_version(policy, false)],
        None => load_own(cx, &input.policy_arn).await?.version_outputs(false),
    };
    // Newest first: the place is what is left to the largest number.
    let place = |version: &PolicyVersion| {
        let number = version.version_id.as_deref().and_then(version_number).unwrap_or_default();
        format!("{:010}", u32::MAX.saturating_sub(number))
    };
    let page = page::cut(cx, versions, place, &input.policy_arn, input.marker.as_deref(), input.max_items)?;
    Ok(ListPolicyVersionsOutput { versions: Some(page.items), is_truncated: Some(page.next.is_some()), marker: page.next })
}

pub async fn delete_policy_version(cx: &mut Call, input: DeletePolicyVersionInput) -> Result<DeletePolicyVersionOutput, ApiError> {
    let mut policy = load_own(cx, &input.policy_arn).await?;
    let number = version_number(&input.version_id)
        .filter(|number| policy.version(*number).is_some())
        .ok_or_else(|| no_such_version(&input.policy_arn, &input.version_id))?;
    if number == policy.default_version {
        return Err(IamError::DeleteConflict("Cannot delete the default version of a policy.".to_owned()).into());
    }
    policy.versions.retain(|version| version.number != number);
    save(cx, &policy)?;
    Ok(DeletePolicyVersionOutput {})
}

pub async fn set_default_policy_version(
    cx: &mut Call,
    input: SetDefaultPolicyVersionInput,
) -> Result<SetDefaultPolicyVersionOutput, ApiError> {
    let mut policy = load_own(cx, &input.policy_arn).await?;
    policy.default_version = version_number(&input.version_id)
        .filter(|number| policy.version(*number).is_some())
        .ok_or_else(|| no_such_version(&input.policy_arn, &input.version_id))?;
    policy.updated_ms = cx.now.0;
    save(cx, &policy)?;
    Ok(SetDefaultPolicyVersionOutput {})
}

/// A policy's usage as lists of entities ask for it.
pub fn usage(filter: Option<&PolicyUsageType>) -> Option<Usage> {
    match filter {
        Some(PolicyUsageType::PermissionsPolicy) => Some(Usage::Permissions),
        Some(PolicyUsageType::PermissionsBoundary) => Some(Usage::Boundary),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_ids_are_numbers_behind_a_v() {
        assert_eq!(version_number("v12"), Some(12));
        assert_eq!(version_number("12"), None);
        assert_eq!(version_number("v"), None);
        assert_eq!(version_id(3), "v3");
    }
}
