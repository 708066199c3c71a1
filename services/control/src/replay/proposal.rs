//! A policy that is proposed, and where it would stand.

use std::sync::Arc;

use plane::{ApiError, Principal};
use policy::{Attached, Policy, PolicyKind, PolicySet, PolicySource, ResourceKind, ResourcePolicy};
use wire::Value;

use crate::text;

/// Where a proposed policy would stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    ServiceControl,
    ResourceControl,
    Boundary,
    Identity,
    Resource,
}

/// A proposed policy.
pub(super) struct Proposal {
    place: Place,
    /// Account for an SCP or RCP, ARN of a user or role, ARN of a resource; `*` for all.
    target: String,
    attached: Attached,
}

impl Proposal {
    pub(super) fn read(input: &Value) -> Result<Self, ApiError> {
        let invalid = |message: String| ApiError::new("ValidationException", message);
        let target = text(input, "Target");
        let (place, kind) = match text(input, "PolicyType").as_str() {
            "scp" => (Place::ServiceControl, PolicyKind::ServiceControl),
            "rcp" => (Place::ResourceControl, PolicyKind::ResourceControl),
            "boundary" => (Place::Boundary, PolicyKind::Boundary),
            "identity" => (Place::Identity, PolicyKind::Identity),
            _ if target.contains(":kms:") => (Place::Resource, PolicyKind::KeyPolicy),
            _ if target.contains(":iam:") => (Place::Resource, PolicyKind::Trust),
            _ => (Place::Resource, PolicyKind::Resource(ResourceKind::S3Bucket)),
        };
        let policy = Policy::parse_stored(&text(input, "Policy"), kind);
        if let Some(problem) = policy.problem() {
            return Err(invalid(format!("the proposed policy cannot be read: {problem}")));
        }
        Ok(Self { place, target, attached: Attached::new("proposed policy", PolicySource::None, Arc::new(policy)) })
    }

    /// Whether the proposal has a say in what this principal does to this resource.
    pub(super) fn concerns(&self, principal: &Principal, role_or_user: &str, resource: &str, owner: &str) -> bool {
        if self.target == "*" {
            return true;
        }
        match self.place {
            Place::ServiceControl => principal.account == self.target,
            Place::ResourceControl => owner == self.target,
            Place::Boundary | Place::Identity => self.target == role_or_user,
            Place::Resource => resource == self.target || resource.strip_prefix(&self.target).is_some_and(|rest| rest.starts_with('/')),
        }
    }

    /// Accounts of the caller's organization whose calls it is about, beside the caller's own.
    pub(super) fn is_about(&self, account: &str) -> bool {
        matches!(self.place, Place::ServiceControl | Place::ResourceControl) && (self.target == "*" || self.target == account)
    }

    pub(super) fn apply(&self, policies: &mut PolicySet, resource: &str) {
        match self.place {
            Place::ServiceControl => {
                if let Some(level) = policies.service_control.as_mut().and_then(|levels| levels.last_mut()) {
                    level.push(self.attached.clone());
                } else {
                    // Outside of an organization everything is allowed beside it.
                    let everything = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
                    let full = plane::authorize::compiled(PolicyKind::ServiceControl, everything);
                    let full = Attached::new("FullAWSAccess", PolicySource::None, full);
                    policies.service_control = Some(vec![vec![full, self.attached.clone()]]);
                }
            }
            Place::ResourceControl => policies.resource_control.push(vec![self.attached.clone()]),
            Place::Boundary => policies.boundary = Some(self.attached.clone()),
            Place::Identity => policies.identity = vec![self.attached.clone()],
            Place::Resource => {
                policies.resource = ResourcePolicy::new(Attached::new(resource, PolicySource::Resource, Arc::clone(&self.attached.policy)));
            }
        }
    }
}
