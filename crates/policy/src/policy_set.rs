//! All policies that may speak about a request, each with where it comes from.

use std::fmt;
use std::sync::Arc;

use crate::kms_grant::KmsGrant;
use crate::policy::{Policy, PolicyKind};

/// The policy types that a denial can be laid to, in the words of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum PolicyType {
    /// Attached to a user, group or role.
    #[serde(rename = "identity-based policy")]
    Identity,
    /// Attached to a resource, KMS keys included.
    #[serde(rename = "resource-based policy")]
    Resource,
    /// Of the role that is assumed.
    #[serde(rename = "role trust policy")]
    Trust,
    /// Permissions boundary of the user or role.
    #[serde(rename = "permissions boundary")]
    Boundary,
    /// Passed when the session was made.
    #[serde(rename = "session policy")]
    Session,
    /// Of the caller's organization.
    #[serde(rename = "service control policy")]
    ServiceControl,
    /// Of the resource's organization.
    #[serde(rename = "resource control policy")]
    ResourceControl,
    /// Of the endpoint that the request came through.
    #[serde(rename = "VPC endpoint policy")]
    VpcEndpoint,
}

impl PolicyType {
    /// The name of the type in messages, such as `identity-based policy`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity-based policy",
            Self::Resource => "resource-based policy",
            Self::Trust => "role trust policy",
            Self::Boundary => "permissions boundary",
            Self::Session => "session policy",
            Self::ServiceControl => "service control policy",
            Self::ResourceControl => "resource control policy",
            Self::VpcEndpoint => "VPC endpoint policy",
        }
    }

    /// The article before the name in the phrase of an explicit denial.
    pub(crate) fn article(self) -> &'static str {
        match self {
            Self::Identity => "an",
            Self::Trust => "the",
            _ => "a",
        }
    }

    /// Whether AWS names the ARN of a policy of this type behind an explicit denial.
    pub(crate) fn names_policy_arn(self) -> bool {
        !matches!(self, Self::Resource | Self::Trust | Self::VpcEndpoint)
    }
}

impl fmt::Display for PolicyType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Where an attached policy comes from; the values are those of `SourcePolicyType` in the policy simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicySource {
    /// Inline policy of a user.
    User,
    /// Inline policy of a group.
    Group,
    /// Inline policy of a role.
    Role,
    /// Managed by AWS.
    AwsManaged,
    /// Managed by the customer.
    UserManaged,
    /// Of a resource.
    Resource,
    /// None of these.
    #[default]
    None,
}

/// A policy with the name under which it is attached.
#[derive(Debug, Clone, PartialEq)]
pub struct Attached {
    /// ARN of a managed or organization policy, name of an inline one.
    pub id: Arc<str>,
    /// Where it comes from.
    pub source: PolicySource,
    /// The compiled policy.
    pub policy: Arc<Policy>,
}

impl Attached {
    /// An attached policy.
    pub fn new(id: impl Into<Arc<str>>, source: PolicySource, policy: Arc<Policy>) -> Self {
        Self { id: id.into(), source, policy }
    }
}

/// The policies of a request. An absent policy is not the same as an empty one: no boundary bounds nothing, and
/// session policies that are present but allow nothing leave nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicySet {
    /// Identity-based policies of the caller, with those of its groups.
    pub identity: Vec<Attached>,
    /// Permissions boundary of the caller.
    pub boundary: Option<Attached>,
    /// Session policies; `None` if the session was made without any.
    pub session: Option<Vec<Attached>>,
    /// Policy of the VPC endpoint that the request came through.
    pub vpc_endpoint: Option<Attached>,
    /// SCPs from root to account of the caller's account; `None` outside an organization or where SCPs are off.
    pub service_control: Option<Vec<Vec<Attached>>>,
    /// RCPs from root to account of the resource's account, without the implied RCPFullAWSAccess.
    pub resource_control: Vec<Vec<Attached>>,
    /// Whether the resource is of a kind whose policy must allow by itself, and what is attached to it.
    pub resource: ResourcePolicy,
    /// Grants of the KMS key.
    pub kms_grants: Vec<KmsGrant>,
    /// Whether S3 Block Public Access restricts public buckets here (`RestrictPublicBuckets`).
    pub s3_restrict_public_buckets: bool,
}

impl PolicySet {
    /// All policies of the set.
    pub fn all(&self) -> impl Iterator<Item = &Attached> {
        let organization = self.service_control.iter().flatten().chain(&self.resource_control);
        organization
            .flatten()
            .chain(&self.vpc_endpoint)
            .chain(self.resource.attached())
            .chain(&self.identity)
            .chain(&self.boundary)
            .chain(self.session.iter().flatten())
    }
}

/// The policy of the resource.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ResourcePolicy {
    /// The resource has none, or cannot have one.
    #[default]
    Absent,
    /// Attached to an ordinary resource: a partner of the identity-based policies.
    Standard(Attached),
    /// Trust policy of the role to be assumed; nothing goes without it.
    Trust(Attached),
    /// Policy of the KMS key; nothing goes without it.
    Key(Attached),
    /// A KMS key without policy: only grants can allow.
    KeyWithoutPolicy,
    /// A role whose trust policy is missing: nobody can assume it.
    TrustMissing,
}

impl ResourcePolicy {
    /// Wraps a policy by its kind.
    pub fn new(attached: Attached) -> Self {
        match attached.policy.kind() {
            PolicyKind::Trust => Self::Trust(attached),
            PolicyKind::KeyPolicy => Self::Key(attached),
            _ => Self::Standard(attached),
        }
    }

    /// The attached policy.
    pub fn attached(&self) -> Option<&Attached> {
        match self {
            Self::Standard(attached) | Self::Trust(attached) | Self::Key(attached) => Some(attached),
            Self::Absent | Self::KeyWithoutPolicy | Self::TrustMissing => None,
        }
    }

    pub(crate) fn policy_type(&self) -> PolicyType {
        match self {
            Self::Trust(_) | Self::TrustMissing => PolicyType::Trust,
            _ => PolicyType::Resource,
        }
    }

    /// Whether identity-based policies alone cannot allow.
    pub(crate) fn must_allow(&self) -> bool {
        !matches!(self, Self::Absent | Self::Standard(_))
    }
}
