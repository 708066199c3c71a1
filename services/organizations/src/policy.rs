//! Policies of an organization and where they are attached.

use api_organizations::{
    AttachPolicyInput, AttachPolicyOutput, CreatePolicyInput, CreatePolicyOutput, DeletePolicyInput, DeletePolicyOutput,
    DescribePolicyInput, DescribePolicyOutput, DetachPolicyInput, DetachPolicyOutput, DisablePolicyTypeInput, DisablePolicyTypeOutput,
    EnablePolicyTypeInput, EnablePolicyTypeOutput, ListPoliciesForTargetInput, ListPoliciesForTargetOutput, ListPoliciesInput,
    ListPoliciesOutput, ListTargetsForPolicyInput, ListTargetsForPolicyOutput, Policy as PolicyDescription, PolicySummary,
    PolicyTargetSummary, TargetType, UpdatePolicyInput, UpdatePolicyOutput,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::error::OrganizationError;
use crate::identifier::{self, TargetKind};
use crate::organization::{self, Organization};
use crate::policy_type::{FULL_AWS_ACCESS, PolicyKind, RCP_FULL_AWS_ACCESS};
use crate::{paged, tag, unit};

/// Policies of one type. Source: Organizations User Guide, "Quotas and service limits".
const POLICIES_LIMIT: usize = 10_000;
const FULL_ACCESS_CONTENT: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
const RCP_FULL_ACCESS_CONTENT: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OrganizationPolicy {
    pub id: String,
    pub name: String,
    pub description: String,
    pub kind: PolicyKind,
    pub content: String,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Record for OrganizationPolicy {
    const TABLE: Table = Table("organizations-policy");
    const SCOPE: Scope = Scope::Home;
}

fn prefix(organization: &Organization) -> Key {
    Key::new(&organization.management_account, "").then(&organization.id)
}

/// One of the two policies that AWS manages.
fn aws_managed(id: &str) -> Option<OrganizationPolicy> {
    let (name, kind, content) = match id {
        FULL_AWS_ACCESS => ("FullAWSAccess", PolicyKind::ServiceControl, FULL_ACCESS_CONTENT),
        RCP_FULL_AWS_ACCESS => ("RCPFullAWSAccess", PolicyKind::ResourceControl, RCP_FULL_ACCESS_CONTENT),
        _ => return None,
    };
    Some(OrganizationPolicy {
        id: id.to_owned(),
        name: name.to_owned(),
        description: if kind == PolicyKind::ServiceControl {
            "Allows access to every operation"
        } else {
            "Allows access to every resource"
        }
        .to_owned(),
        kind,
        content: content.to_owned(),
        tags: Vec::new(),
    })
}

impl OrganizationPolicy {
    pub(crate) fn is_aws_managed(&self) -> bool {
        self.id == FULL_AWS_ACCESS || self.id == RCP_FULL_AWS_ACCESS
    }

    pub(crate) fn arn(&self, organization: &Organization) -> String {
        if self.is_aws_managed() {
            return format!("arn:{}:organizations::aws:policy/{}/{}", plane::PARTITION, self.kind.in_arn(), self.id);
        }
        organization.arn_of("policy", &format!("{}/{}", self.kind.in_arn(), self.id))
    }

    pub(crate) fn put(&self, tx: &mut Transaction, organization: &Organization) -> Result<(), ApiError> {
        if self.is_aws_managed() {
            return Err(immutable().into());
        }
        tx.put(&prefix(organization).last(&self.id), self)
    }

    fn summary(&self, organization: &Organization) -> PolicySummary {
        PolicySummary {
            id: Some(self.id.clone()),
            arn: Some(self.arn(organization)),
            name: Some(self.name.clone()),
            description: Some(self.description.clone()),
            type_: Some(self.kind.to_api()),
            aws_managed: Some(self.is_aws_managed()),
        }
    }

    fn describe(&self, organization: &Organization) -> PolicyDescription {
        PolicyDescription { policy_summary: Some(self.summary(organization)), content: Some(self.content.clone()) }
    }
}

fn immutable() -> OrganizationError {
    OrganizationError::Input("IMMUTABLE_POLICY", "You specified a policy that is managed by AWS and can't be modified.")
}

/// The policy of an id.
pub(crate) async fn find(tx: &mut Transaction, organization: &Organization, id: &str) -> Result<Option<OrganizationPolicy>, ApiError> {
    match aws_managed(id) {
        Some(policy) => Ok(Some(policy)),
        None => tx.get(&prefix(organization).last(id)).await,
    }
}

pub(crate) async fn load(cx: &mut Call, organization: &Organization, id: &str) -> Result<OrganizationPolicy, ApiError> {
    find(&mut cx.tx, organization, id).await?.ok_or_else(|| OrganizationError::PolicyNotFound.into())
}

/// All policies of a type, AWS's own first.
async fn all(cx: &mut Call, organization: &Organization, kind: PolicyKind) -> Result<Vec<OrganizationPolicy>, ApiError> {
    let rows = cx.tx.scan::<OrganizationPolicy>(&prefix(organization), None, SCAN_LIMIT).await?;
    let own = rows.into_iter().map(|(_, policy)| policy).filter(|policy| policy.kind == kind);
    Ok(kind.full_access().and_then(aws_managed).into_iter().chain(own).collect())
}

pub(crate) async fn delete_all(cx: &mut Call, organization: &Organization) -> Result<(), ApiError> {
    for (id, _) in cx.tx.scan::<OrganizationPolicy>(&prefix(organization), None, SCAN_LIMIT).await? {
        cx.tx.delete::<OrganizationPolicy>(&prefix(organization).last(id));
    }
    Ok(())
}

/// Policies need all features.
fn check_features(organization: &Organization) -> Result<(), OrganizationError> {
    if organization.all_features { Ok(()) } else { Err(OrganizationError::TypeNotAvailable) }
}

pub(crate) async fn create_policy(cx: &mut Call, input: CreatePolicyInput) -> Result<CreatePolicyOutput, ApiError> {
    let organization = organization::load(cx).await?;
    check_features(&organization)?;
    let kind = PolicyKind::from_api(&input.type_)?;
    kind.check_content(&input.content)?;
    let tags = tag::checked(input.tags)?;
    let existing = all(cx, &organization, kind).await?;
    if existing.iter().any(|policy| policy.name == input.name) {
        return Err(OrganizationError::DuplicatePolicy.into());
    }
    if existing.len() >= POLICIES_LIMIT {
        return Err(OrganizationError::Constraint("POLICY_NUMBER_LIMIT_EXCEEDED", "You have exceeded the number of policies.").into());
    }
    let id = identifier::policy(cx)?;
    let policy = OrganizationPolicy { id, name: input.name, description: input.description, kind, content: input.content, tags };
    policy.put(&mut cx.tx, &organization)?;
    Ok(CreatePolicyOutput { policy: Some(policy.describe(&organization)) })
}

pub(crate) async fn update_policy(cx: &mut Call, input: UpdatePolicyInput) -> Result<UpdatePolicyOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let mut policy = load(cx, &organization, &input.policy_id).await?;
    if policy.is_aws_managed() {
        return Err(immutable().into());
    }
    if let Some(content) = input.content {
        policy.kind.check_content(&content)?;
        policy.content = content;
    }
    if let Some(name) = input.name {
        let others = all(cx, &organization, policy.kind).await?;
        if others.iter().any(|other| other.name == name && other.id != policy.id) {
            return Err(OrganizationError::DuplicatePolicy.into());
        }
        policy.name = name;
    }
    if let Some(description) = input.description {
        policy.description = description;
    }
    policy.put(&mut cx.tx, &organization)?;
    Ok(UpdatePolicyOutput { policy: Some(policy.describe(&organization)) })
}

pub(crate) async fn delete_policy(cx: &mut Call, input: DeletePolicyInput) -> Result<DeletePolicyOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let policy = load(cx, &organization, &input.policy_id).await?;
    if policy.is_aws_managed() {
        return Err(immutable().into());
    }
    if organization.attachments.values().any(|attached| attached.contains(&policy.id)) {
        return Err(OrganizationError::PolicyInUse.into());
    }
    cx.tx.delete::<OrganizationPolicy>(&prefix(&organization).last(&policy.id));
    Ok(DeletePolicyOutput {})
}

pub(crate) async fn describe_policy(cx: &mut Call, input: DescribePolicyInput) -> Result<DescribePolicyOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let policy = load(cx, &organization, &input.policy_id).await?;
    Ok(DescribePolicyOutput { policy: Some(policy.describe(&organization)) })
}

pub(crate) async fn list_policies(cx: &mut Call, input: ListPoliciesInput) -> Result<ListPoliciesOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let kind = PolicyKind::from_api(&input.filter)?;
    let mut policies = all(cx, &organization, kind).await?;
    policies.sort_unstable_by(|left, right| left.id.cmp(&right.id));
    let page = paged::cut(cx, policies, |policy| policy.id.clone(), kind.in_arn(), input.next_token, input.max_results)?;
    let shown = page.items.iter().map(|policy| policy.summary(&organization));
    Ok(ListPoliciesOutput { policies: Some(shown.collect()), next_token: page.next })
}

/// How many policies of a type a target has, `RCPFullAWSAccess` included.
async fn attached_of_kind(
    cx: &mut Call,
    organization: &Organization,
    target: &str,
    kind: PolicyKind,
) -> Result<Vec<OrganizationPolicy>, ApiError> {
    let mut found = Vec::new();
    let ids: Vec<String> = organization.attached(target).cloned().collect();
    for id in ids {
        found.extend(find(&mut cx.tx, organization, &id).await?.filter(|policy| policy.kind == kind));
    }
    if kind == PolicyKind::ResourceControl && organization.root.enabled.contains(&kind) {
        // It cannot be detached, so it is not written down for each target.
        found.extend(aws_managed(RCP_FULL_AWS_ACCESS));
    }
    Ok(found)
}

pub(crate) async fn attach_policy(cx: &mut Call, input: AttachPolicyInput) -> Result<AttachPolicyOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    let policy = load(cx, &organization, &input.policy_id).await?;
    let target = input.target_id;
    if !organization.has_target(&target) {
        return Err(OrganizationError::TargetNotFound.into());
    }
    if !organization.root.enabled.contains(&policy.kind) {
        return Err(OrganizationError::TypeNotEnabled.into());
    }
    let attached = attached_of_kind(cx, &organization, &target, policy.kind).await?;
    if attached.iter().any(|other| other.id == policy.id) {
        return Err(OrganizationError::DuplicateAttachment.into());
    }
    if attached.len() >= policy.kind.attachments_limit() {
        return Err(OrganizationError::Constraint(
            "MAX_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED",
            "You have attached the maximum number of policies of this type to the target.",
        )
        .into());
    }
    organization.attach(&target, &policy.id);
    organization.put(&mut cx.tx)?;
    Ok(AttachPolicyOutput {})
}

pub(crate) async fn detach_policy(cx: &mut Call, input: DetachPolicyInput) -> Result<DetachPolicyOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    let policy = load(cx, &organization, &input.policy_id).await?;
    let target = input.target_id;
    if !organization.has_target(&target) {
        return Err(OrganizationError::TargetNotFound.into());
    }
    if policy.id == RCP_FULL_AWS_ACCESS {
        return Err(immutable().into());
    }
    if !organization.attached(&target).any(|id| *id == policy.id) {
        return Err(OrganizationError::NotAttached.into());
    }
    let enabled = organization.root.enabled.contains(&policy.kind);
    if policy.kind == PolicyKind::ServiceControl && enabled && attached_of_kind(cx, &organization, &target, policy.kind).await?.len() == 1 {
        return Err(OrganizationError::Constraint(
            "MIN_POLICY_TYPE_ATTACHMENT_LIMIT_EXCEEDED",
            "You cannot remove the last policy attached to the specified target. You must have at least one attached at all times.",
        )
        .into());
    }
    if let Some(attached) = organization.attachments.get_mut(&target) {
        attached.remove(&policy.id);
    }
    organization.put(&mut cx.tx)?;
    Ok(DetachPolicyOutput {})
}

pub(crate) async fn list_policies_for_target(
    cx: &mut Call,
    input: ListPoliciesForTargetInput,
) -> Result<ListPoliciesForTargetOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let kind = PolicyKind::from_api(&input.filter)?;
    if !organization.has_target(&input.target_id) {
        return Err(OrganizationError::TargetNotFound.into());
    }
    let mut policies = attached_of_kind(cx, &organization, &input.target_id, kind).await?;
    policies.sort_unstable_by(|left, right| left.id.cmp(&right.id));
    let filter = format!("{} {}", input.target_id, kind.in_arn());
    let page = paged::cut(cx, policies, |policy| policy.id.clone(), &filter, input.next_token, input.max_results)?;
    let shown = page.items.iter().map(|policy| policy.summary(&organization));
    Ok(ListPoliciesForTargetOutput { policies: Some(shown.collect()), next_token: page.next })
}

pub(crate) async fn list_targets_for_policy(
    cx: &mut Call,
    input: ListTargetsForPolicyInput,
) -> Result<ListTargetsForPolicyOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let policy = load(cx, &organization, &input.policy_id).await?;
    let everywhere = policy.id == RCP_FULL_AWS_ACCESS && organization.root.enabled.contains(&PolicyKind::ResourceControl);
    let targets: Vec<String> = if everywhere {
        std::iter::once(&organization.root.id).chain(organization.units.keys()).chain(organization.accounts.keys()).cloned().collect()
    } else {
        organization.attachments.iter().filter(|(_, attached)| attached.contains(&policy.id)).map(|(target, _)| target.clone()).collect()
    };
    let mut targets = targets;
    targets.sort_unstable();
    let page = paged::cut(cx, targets, Clone::clone, &policy.id, input.next_token, input.max_results)?;
    let shown = page.items.iter().map(|target| describe_target(&organization, target));
    Ok(ListTargetsForPolicyOutput { targets: Some(shown.collect()), next_token: page.next })
}

fn describe_target(organization: &Organization, id: &str) -> PolicyTargetSummary {
    let (kind, name) = match TargetKind::of(id) {
        TargetKind::Root => (TargetType::Root, Some("Root".to_owned())),
        TargetKind::Unit => (TargetType::OrganizationalUnit, organization.units.get(id).map(|unit| unit.name.clone())),
        TargetKind::Account => (TargetType::Account, organization.accounts.get(id).map(|account| account.name.clone())),
    };
    PolicyTargetSummary { target_id: Some(id.to_owned()), arn: Some(organization.target_arn(id)), name, type_: Some(kind) }
}

pub(crate) async fn enable_policy_type(cx: &mut Call, input: EnablePolicyTypeInput) -> Result<EnablePolicyTypeOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    check_features(&organization)?;
    if organization.root.id != input.root_id {
        return Err(OrganizationError::RootNotFound.into());
    }
    let kind = PolicyKind::from_api(&input.policy_type)?;
    let is_new = organization.root.enabled.insert(kind);
    let is_first = kind == PolicyKind::ServiceControl && std::mem::take(&mut organization.root.enabled_with_features);
    if !is_new && !is_first {
        return Err(OrganizationError::TypeAlreadyEnabled.into());
    }
    if kind == PolicyKind::ServiceControl && is_new {
        // Nothing is locked out by the switch: every target begins with FullAWSAccess again.
        let targets: Vec<String> =
            std::iter::once(&organization.root.id).chain(organization.units.keys()).chain(organization.accounts.keys()).cloned().collect();
        for target in targets {
            organization.attach(&target, FULL_AWS_ACCESS);
        }
    }
    organization.put(&mut cx.tx)?;
    Ok(EnablePolicyTypeOutput { root: Some(unit::describe_root(&organization)) })
}

/// The policies of the type are detached everywhere, as on AWS.
pub(crate) async fn disable_policy_type(cx: &mut Call, input: DisablePolicyTypeInput) -> Result<DisablePolicyTypeOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    if organization.root.id != input.root_id {
        return Err(OrganizationError::RootNotFound.into());
    }
    let kind = PolicyKind::from_api(&input.policy_type)?;
    if !organization.root.enabled.remove(&kind) {
        return Err(OrganizationError::TypeNotEnabled.into());
    }
    if kind == PolicyKind::ServiceControl {
        organization.root.enabled_with_features = false;
    }
    let policies = all(cx, &organization, kind).await?;
    for attached in organization.attachments.values_mut() {
        attached.retain(|id| !policies.iter().any(|policy| policy.id == *id));
    }
    organization.put(&mut cx.tx)?;
    Ok(DisablePolicyTypeOutput { root: Some(unit::describe_root(&organization)) })
}
