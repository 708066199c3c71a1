//! What the policies of each type say about a request, before anything is decided.

use crate::policy::{Hit, Outcome};
use crate::policy_set::{Attached, PolicySet, PolicyType};
use crate::principal::{GrantClass, PrincipalKind};
use crate::request::Request;
use crate::scope::Scope;

/// What each policy type says. Holds references only: an allowed request allocates nothing here.
#[derive(Default)]
pub(crate) struct Opinions<'a> {
    pub(crate) identity: Opinion<'a>,
    pub(crate) boundary: Opinion<'a>,
    pub(crate) session: Opinion<'a>,
    /// Whether every level of SCPs has an allow.
    pub(crate) service_control_allows: bool,
    pub(crate) service_control: Opinion<'a>,
    pub(crate) resource_control: Opinion<'a>,
    pub(crate) vpc_endpoint: Opinion<'a>,
    pub(crate) resource: Opinion<'a>,
    /// How closely the resource's side names the caller: its policy, or a grant of the KMS key.
    pub(crate) grant_class: Option<GrantClass>,
    /// S3 cuts the caller off a public policy.
    pub(crate) public_access_blocked: bool,
}

/// What the policies of one type say together.
#[derive(Default)]
pub(crate) struct Opinion<'a> {
    pub(crate) deny: Option<(&'a Attached, Hit)>,
    pub(crate) allow: Option<(&'a Attached, usize, GrantClass)>,
}

impl<'a> Opinion<'a> {
    fn of(policies: impl IntoIterator<Item = &'a Attached>, request: &Request<'_>) -> Self {
        let mut opinion = Self::default();
        for attached in policies {
            let Outcome { deny, allow } = attached.policy.evaluate(request);
            if let Some(hit) = deny {
                opinion.deny.get_or_insert((attached, hit));
            }
            if let Some((at, class)) = allow
                && opinion.allow.is_none_or(|(_, _, best)| class > best)
            {
                opinion.allow = Some((attached, at, class));
            }
        }
        opinion
    }

    pub(crate) fn allows(&self) -> bool {
        self.allow.is_some()
    }
}

impl<'a> Opinions<'a> {
    pub(crate) fn collect(request: &Request<'_>, policies: &'a PolicySet, scope: Scope) -> Self {
        let mut opinions = Self { service_control_allows: true, ..Self::default() };
        if scope.caller {
            opinions.identity = Opinion::of(&policies.identity, request);
            opinions.boundary = Opinion::of(&policies.boundary, request);
            opinions.session = Opinion::of(policies.session.iter().flatten(), request);
        }
        if scope.service_control {
            for level in policies.service_control.iter().flatten() {
                let opinion = Opinion::of(level, request);
                opinions.service_control_allows &= opinion.allows();
                opinions.service_control.deny = opinions.service_control.deny.or(opinion.deny);
            }
        }
        if scope.resource_control {
            opinions.resource_control = Opinion::of(policies.resource_control.iter().flatten(), request);
        }
        opinions.vpc_endpoint = Opinion::of(&policies.vpc_endpoint, request);
        opinions.collect_resource(request, policies, scope);
        opinions
    }

    fn collect_resource(&mut self, request: &Request<'_>, policies: &'a PolicySet, scope: Scope) {
        self.resource = Opinion::of(policies.resource.attached(), request);
        if !scope.resource_denies {
            self.resource.deny = None;
        }
        let stated = self.resource.allow.map(|(_, _, class)| class);
        let granted = policies.kms_grants.iter().filter_map(|grant| grant.class(request)).max();
        self.grant_class = stated.max(granted);
        let outsider = match request.principal.kind {
            PrincipalKind::Service { .. } => false,
            PrincipalKind::Anonymous => true,
            _ => !scope.same_account,
        };
        self.public_access_blocked = policies.s3_restrict_public_buckets
            && outsider
            && policies.resource.attached().is_some_and(|attached| attached.policy.is_public());
    }

    /// The types in the order in which a denial is laid to them.
    pub(crate) fn by_type(&self, resource_type: PolicyType) -> [(PolicyType, &Opinion<'a>); 7] {
        [
            (PolicyType::ServiceControl, &self.service_control),
            (PolicyType::ResourceControl, &self.resource_control),
            (PolicyType::VpcEndpoint, &self.vpc_endpoint),
            (resource_type, &self.resource),
            (PolicyType::Identity, &self.identity),
            (PolicyType::Boundary, &self.boundary),
            (PolicyType::Session, &self.session),
        ]
    }
}
