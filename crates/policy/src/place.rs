//! Places in a set of policies, so that a policy can be found again and replaced.

use crate::policy::{PolicyKind, ResourceKind};
use crate::policy_set::{Attached, PolicySet, PolicyType, ResourcePolicy};
use crate::scope::Scope;

/// Where a policy stands in a set. An index that is the length of its list means a new policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Identity(usize),
    Boundary,
    Session(usize),
    VpcEndpoint,
    ServiceControl { level: usize, at: usize },
    ResourceControl { level: usize, at: usize },
    Resource,
}

impl Place {
    /// The places of all policies of the set, in the order in which denials are named.
    pub(crate) fn all(policies: &PolicySet) -> impl Iterator<Item = Self> {
        let levels = |levels: &[Vec<Attached>], make: fn(usize, usize) -> Self| -> Vec<Self> {
            let lengths = levels.iter().map(Vec::len).enumerate();
            lengths.flat_map(|(level, length)| (0..length).map(move |at| make(level, at))).collect()
        };
        let service_control = policies.service_control.as_deref().unwrap_or_default();
        let mut places = levels(service_control, |level, at| Self::ServiceControl { level, at });
        places.extend(levels(&policies.resource_control, |level, at| Self::ResourceControl { level, at }));
        places.extend(policies.vpc_endpoint.iter().map(|_| Self::VpcEndpoint));
        places.extend(policies.resource.attached().map(|_| Self::Resource));
        places.extend((0..policies.identity.len()).map(Self::Identity));
        places.extend(policies.boundary.iter().map(|_| Self::Boundary));
        places.extend((0..policies.session.as_ref().map_or(0, Vec::len)).map(Self::Session));
        places.into_iter()
    }

    pub(crate) fn get(self, policies: &PolicySet) -> Option<&Attached> {
        match self {
            Self::Identity(at) => policies.identity.get(at),
            Self::Boundary => policies.boundary.as_ref(),
            Self::Session(at) => policies.session.as_ref()?.get(at),
            Self::VpcEndpoint => policies.vpc_endpoint.as_ref(),
            Self::ServiceControl { level, at } => policies.service_control.as_ref()?.get(level)?.get(at),
            Self::ResourceControl { level, at } => policies.resource_control.get(level)?.get(at),
            Self::Resource => policies.resource.attached(),
        }
    }

    /// Puts a policy in this place.
    pub(crate) fn put(self, policies: &mut PolicySet, attached: Attached) -> Option<()> {
        let list = match self {
            Self::Boundary => return policies.boundary.replace(attached).map(|_| ()),
            Self::VpcEndpoint => return policies.vpc_endpoint.replace(attached).map(|_| ()),
            Self::Resource => {
                policies.resource = ResourcePolicy::new(attached);
                return Some(());
            }
            Self::Identity(_) => &mut policies.identity,
            Self::Session(_) => policies.session.get_or_insert_default(),
            Self::ServiceControl { level, .. } => policies.service_control.as_mut()?.get_mut(level)?,
            Self::ResourceControl { level, .. } => policies.resource_control.get_mut(level)?,
        };
        match list.get_mut(self.index()) {
            Some(slot) => *slot = attached,
            None => list.push(attached),
        }
        Some(())
    }

    /// Takes the policy away. `None` where it cannot be: a boundary or an endpoint policy without statements is no
    /// policy, and the policy of a key or role is not to be missing.
    pub(crate) fn remove(self, policies: &mut PolicySet) -> Option<()> {
        let list = match self {
            Self::Boundary | Self::VpcEndpoint => return None,
            Self::Resource => {
                let ResourcePolicy::Standard(_) = policies.resource else { return None };
                policies.resource = ResourcePolicy::Absent;
                return Some(());
            }
            Self::Identity(_) => &mut policies.identity,
            Self::Session(_) => policies.session.as_mut()?,
            Self::ServiceControl { level, .. } => policies.service_control.as_mut()?.get_mut(level)?,
            Self::ResourceControl { level, .. } => policies.resource_control.get_mut(level)?,
        };
        (self.index() < list.len()).then(|| drop(list.remove(self.index())))
    }

    fn index(self) -> usize {
        match self {
            Self::Identity(at) | Self::Session(at) | Self::ServiceControl { at, .. } | Self::ResourceControl { at, .. } => at,
            Self::Boundary | Self::VpcEndpoint | Self::Resource => 0,
        }
    }

    pub(crate) fn level(self) -> Option<usize> {
        match self {
            Self::ServiceControl { level, .. } | Self::ResourceControl { level, .. } => Some(level),
            _ => None,
        }
    }

    pub(crate) fn policy_type(self, policies: &PolicySet) -> PolicyType {
        match self {
            Self::Identity(_) => PolicyType::Identity,
            Self::Boundary => PolicyType::Boundary,
            Self::Session(_) => PolicyType::Session,
            Self::VpcEndpoint => PolicyType::VpcEndpoint,
            Self::ServiceControl { .. } => PolicyType::ServiceControl,
            Self::ResourceControl { .. } => PolicyType::ResourceControl,
            Self::Resource => policies.resource.policy_type(),
        }
    }

    /// The kind of policy that belongs here.
    pub(crate) fn policy_kind(self, policies: &PolicySet) -> PolicyKind {
        match self {
            Self::Identity(_) => PolicyKind::Identity,
            Self::Boundary => PolicyKind::Boundary,
            Self::Session(_) => PolicyKind::Session,
            Self::VpcEndpoint => PolicyKind::VpcEndpoint,
            Self::ServiceControl { .. } => PolicyKind::ServiceControl,
            Self::ResourceControl { .. } => PolicyKind::ResourceControl,
            Self::Resource => match &policies.resource {
                ResourcePolicy::Trust(_) | ResourcePolicy::TrustMissing => PolicyKind::Trust,
                ResourcePolicy::Key(_) | ResourcePolicy::KeyWithoutPolicy => PolicyKind::KeyPolicy,
                ResourcePolicy::Standard(attached) => attached.policy.kind(),
                ResourcePolicy::Absent => PolicyKind::Resource(ResourceKind::Standard),
            },
        }
    }

    /// Whether policies in this place have a say in a request of this scope.
    pub(crate) fn binds(self, scope: Scope) -> bool {
        match self {
            Self::Identity(_) | Self::Boundary | Self::Session(_) => scope.caller,
            Self::VpcEndpoint => true,
            Self::ServiceControl { .. } => scope.service_control,
            Self::ResourceControl { .. } => scope.resource_control,
            Self::Resource => scope.resource_denies,
        }
    }
}
