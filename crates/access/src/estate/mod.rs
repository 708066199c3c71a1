//! The identities of an account with everything attached to them, read from an export: who can do what, and who could come to.
//!
//! The export is the JSON of `aws iam get-account-authorization-details`. Three members of our own may stand beside it:
//! `ResourcePolicies` (`[{"Arn", "Account", "Policy"}]`), `ServiceControlPolicies` (levels from the root to the account, each a
//! list of `{"Id", "Policy"}`) and `AccountId`.

mod escalation;
mod reach;

use std::collections::HashMap;
use std::sync::Arc;

use policy::{Attached, Organization, Policy, PolicyKind, PolicySet, PolicySource, Principal, PrincipalKind, ResourceKind, ResourcePolicy};
use serde_json::Value as Json;

pub use escalation::{Escalation, EscalationStep, escalations};
pub use reach::{Ability, Access, Grant, what_can, who_can};

/// Identities of one export at most.
const IDENTITIES_MAX: usize = 100_000;

/// An export that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EstateError {
    /// It is not JSON.
    #[error("the export is not JSON: {0}")]
    Json(String),
    /// A member is missing or of another type.
    #[error("the export has no `{0}` where one is needed")]
    Member(&'static str),
    /// Too much.
    #[error("the export has more than {IDENTITIES_MAX} identities")]
    TooMany,
}

/// A user or role.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Its ARN.
    pub arn: String,
    /// `user` or `role`.
    pub kind: &'static str,
    principal: Principal,
    policies: PolicySet,
    /// ARNs of its groups, for users.
    groups: Vec<String>,
    /// Managed policies of the account that bind it, by ARN: those whose versions change what it may do.
    managed: Vec<String>,
}

/// What an account looks like.
#[derive(Debug, Clone, Default)]
pub struct Estate {
    /// The account.
    pub account: String,
    identities: Vec<Identity>,
    /// Policies of resources, trust policies of roles among them, by ARN, with their owner.
    resources: HashMap<String, (ResourcePolicy, String)>,
    organization: Option<Organization>,
}

impl Estate {
    /// Reads an export.
    pub fn parse(text: &str) -> Result<Self, EstateError> {
        let json: Json = serde_json::from_str(text).map_err(|error| EstateError::Json(error.to_string()))?;
        Self::from_json(&json)
    }

    /// Reads an export that is parsed already.
    pub fn from_json(json: &Json) -> Result<Self, EstateError> {
        let users = list(json, "UserDetailList");
        let roles = list(json, "RoleDetailList");
        if json.get("UserDetailList").is_none() && json.get("RoleDetailList").is_none() {
            return Err(EstateError::Member("UserDetailList"));
        }
        if users.len().saturating_add(roles.len()) > IDENTITIES_MAX {
            return Err(EstateError::TooMany);
        }
        let managed = managed_policies(json);
        let groups: HashMap<&str, &Json> =
            list(json, "GroupDetailList").iter().filter_map(|group| Some((text(group, "GroupName")?, group))).collect();
        let mut estate = Self::default();
        for user in users {
            estate.identities.push(user_identity(user, &groups, &managed)?);
        }
        for role in roles {
            let identity = role_identity(role, &managed)?;
            if let Some(trust) = role.get("AssumeRolePolicyDocument").and_then(document) {
                let attached = Attached::new(identity.arn.as_str(), PolicySource::Resource, parsed(&trust, PolicyKind::Trust));
                let owner = policy::account_of(&identity.arn).unwrap_or_default().to_owned();
                estate.resources.insert(identity.arn.clone(), (ResourcePolicy::Trust(attached), owner));
            }
            estate.identities.push(identity);
        }
        let first = estate.identities.first().and_then(|identity| policy::account_of(&identity.arn));
        estate.account = text(json, "AccountId").or(first).unwrap_or_default().to_owned();
        for resource in list(json, "ResourcePolicies") {
            let arn = text(resource, "Arn").ok_or(EstateError::Member("Arn"))?;
            let Some(policy) = resource.get("Policy").and_then(document) else { continue };
            let owner = text(resource, "Account").unwrap_or(&estate.account).to_owned();
            let attached = Attached::new(arn, PolicySource::Resource, parsed(&policy, kind_of(arn)));
            estate.resources.insert(arn.to_owned(), (ResourcePolicy::new(attached), owner));
        }
        estate.control(json);
        Ok(estate)
    }

    /// Joins the organization's policies.
    fn control(&mut self, json: &Json) {
        let levels = list(json, "ServiceControlPolicies");
        if levels.is_empty() {
            return;
        }
        let level = |level: &Json| -> Vec<Attached> {
            let policies = level.as_array().map_or(&[][..], Vec::as_slice);
            let read = |policy: &Json| {
                let text = policy.get("Policy").and_then(document)?;
                Some(Attached::new(
                    self::text(policy, "Id").unwrap_or("SCP"),
                    PolicySource::None,
                    parsed(&text, PolicyKind::ServiceControl),
                ))
            };
            policies.iter().filter_map(read).collect()
        };
        let levels: Vec<Vec<Attached>> = levels.iter().map(level).collect();
        for identity in &mut self.identities {
            identity.policies.service_control = Some(levels.clone());
        }
        self.organization = Some(Organization {
            id: text(json, "OrganizationId").unwrap_or("o-export").to_owned(),
            management_account: String::new(),
            paths: HashMap::from([(self.account.clone(), format!("{}/", text(json, "OrganizationId").unwrap_or("o-export")))]),
            ..Organization::default()
        });
    }

    /// The identities in the order of the export.
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// The identity with this ARN.
    pub fn identity(&self, arn: &str) -> Option<&Identity> {
        self.identities.iter().find(|identity| identity.arn == arn)
    }

    /// Gives a resource a policy, as read from a file. A policy that the export has is replaced.
    pub fn set_resource_policy(&mut self, arn: &str, text: &str) {
        let attached = Attached::new(arn, PolicySource::Resource, parsed(text, kind_of(arn)));
        let owner = policy::account_of(arn).map_or_else(|| self.account.clone(), str::to_owned);
        self.resources.insert(arn.to_owned(), (ResourcePolicy::new(attached), owner));
    }
}

/// What kind of policy a resource of this ARN has.
fn kind_of(arn: &str) -> PolicyKind {
    let mut parts = arn.split(':').skip(2);
    match (parts.next(), parts.nth(2)) {
        (Some("kms"), _) => PolicyKind::KeyPolicy,
        (Some("iam"), Some(resource)) if resource.starts_with("role/") => PolicyKind::Trust,
        (Some("s3"), _) => PolicyKind::Resource(ResourceKind::S3Bucket),
        _ => PolicyKind::Resource(ResourceKind::Standard),
    }
}

fn parsed(text: &str, kind: PolicyKind) -> Arc<Policy> {
    Arc::new(Policy::parse_stored(text, kind))
}

fn list<'j>(json: &'j Json, member: &str) -> &'j [Json] {
    json.get(member).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

fn text<'j>(json: &'j Json, member: &str) -> Option<&'j str> {
    json.get(member).and_then(Json::as_str)
}

/// A policy document: an object, or its text, which IAM encodes like a URL.
fn document(json: &Json) -> Option<String> {
    match json {
        Json::Object(_) => Some(json.to_string()),
        Json::String(text) if text.starts_with('%') => Some(decoded(text)),
        Json::String(text) => Some(text.clone()),
        _ => None,
    }
}

/// The text behind percent signs; what is no such code stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = if *first == b'%' { after.get(..2).and_then(|code| std::str::from_utf8(code).ok()) } else { None };
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            bytes.push(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Default versions of managed policies by ARN.
fn managed_policies(json: &Json) -> HashMap<String, Arc<Policy>> {
    let mut policies = HashMap::new();
    for policy in list(json, "Policies") {
        let Some(arn) = text(policy, "Arn") else { continue };
        let default = list(policy, "PolicyVersionList").iter().find(|version| version.get("IsDefaultVersion") == Some(&Json::Bool(true)));
        if let Some(text) = default.and_then(|version| version.get("Document")).and_then(document) {
            policies.insert(arn.to_owned(), parsed(&text, PolicyKind::Identity));
        }
    }
    policies
}

/// Inline and managed policies of a user, group or role. A managed policy that the export lacks denies everything, as its
/// words are not known.
fn attached(json: &Json, inline: &str, source: PolicySource, managed: &HashMap<String, Arc<Policy>>) -> (Vec<Attached>, Vec<String>) {
    let mut policies = Vec::new();
    for policy in list(json, inline) {
        if let Some(text) = policy.get("PolicyDocument").and_then(document) {
            let name = self::text(policy, "PolicyName").unwrap_or_default();
            policies.push(Attached::new(name, source, parsed(&text, PolicyKind::Identity)));
        }
    }
    let mut arns = Vec::new();
    for policy in list(json, "AttachedManagedPolicies") {
        let Some(arn) = text(policy, "PolicyArn") else { continue };
        let document = managed.get(arn).cloned().unwrap_or_else(|| parsed("", PolicyKind::Identity));
        let source = if arn.contains(":aws:policy/") { PolicySource::AwsManaged } else { PolicySource::UserManaged };
        policies.push(Attached::new(arn, source, document));
        arns.push(arn.to_owned());
    }
    (policies, arns)
}

fn boundary(json: &Json, managed: &HashMap<String, Arc<Policy>>) -> Option<Attached> {
    let arn = json.get("PermissionsBoundary").and_then(|boundary| text(boundary, "PermissionsBoundaryArn"))?;
    let policy = managed.get(arn).cloned().unwrap_or_else(|| parsed("", PolicyKind::Boundary));
    Some(Attached::new(arn, PolicySource::UserManaged, policy))
}

fn tags(json: &Json) -> Vec<(String, String)> {
    let pair = |tag: &Json| Some((text(tag, "Key")?.to_owned(), text(tag, "Value")?.to_owned()));
    list(json, "Tags").iter().filter_map(pair).collect()
}

fn user_identity(user: &Json, groups: &HashMap<&str, &Json>, managed: &HashMap<String, Arc<Policy>>) -> Result<Identity, EstateError> {
    let arn = text(user, "Arn").ok_or(EstateError::Member("Arn"))?;
    let account = policy::account_of(arn).ok_or(EstateError::Member("Arn"))?;
    let (mut policies, mut arns) = attached(user, "UserPolicyList", PolicySource::User, managed);
    let mut group_arns = Vec::new();
    for name in list(user, "GroupList").iter().filter_map(Json::as_str) {
        let Some(group) = groups.get(name) else { continue };
        let (more, more_arns) = attached(group, "GroupPolicyList", PolicySource::Group, managed);
        policies.extend(more);
        arns.extend(more_arns);
        group_arns.extend(text(group, "Arn").map(str::to_owned));
    }
    let mut principal = Principal::new(PrincipalKind::User, account, arn);
    principal.user_id = text(user, "UserId").map(str::to_owned);
    principal.tags = tags(user);
    Ok(Identity {
        arn: arn.to_owned(),
        kind: "user",
        principal,
        policies: PolicySet { identity: policies, boundary: boundary(user, managed), ..PolicySet::default() },
        groups: group_arns,
        managed: arns,
    })
}

fn role_identity(role: &Json, managed: &HashMap<String, Arc<Policy>>) -> Result<Identity, EstateError> {
    let arn = text(role, "Arn").ok_or(EstateError::Member("Arn"))?;
    let account = policy::account_of(arn).ok_or(EstateError::Member("Arn"))?;
    let (policies, arns) = attached(role, "RolePolicyList", PolicySource::Role, managed);
    let name = arn.rsplit('/').next().unwrap_or_default();
    let session = format!("arn:aws:sts::{account}:assumed-role/{name}/session");
    let mut principal = Principal::new(PrincipalKind::RoleSession { role_arn: arn.to_owned() }, account, session);
    principal.user_id = text(role, "RoleId").map(|id| format!("{id}:session"));
    principal.tags = tags(role);
    principal.service_linked = arn.contains(":role/aws-service-role/");
    Ok(Identity {
        arn: arn.to_owned(),
        kind: "role",
        principal,
        policies: PolicySet { identity: policies, boundary: boundary(role, managed), ..PolicySet::default() },
        groups: Vec::new(),
        managed: arns,
    })
}

#[cfg(test)]
mod tests;
