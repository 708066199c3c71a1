//! The rules of a decision, in their order, as data to be read beside the documentation of AWS.
//!
//! [`RULES`] is gone through from the first to the last. A rule ends the decision ([`Finding::Allow`],
//! [`Finding::Deny`], [`Finding::Limit`]), names a policy type whose allow is needed and missing, or passes. When the
//! last rule is through, the request is denied implicitly by the types that were named missing, or allowed if there
//! are none. Which sides must allow at all is a table of its own: [`SIDES`].

use std::cell::OnceCell;

use crate::opinion::Opinions;
use crate::policy_set::{PolicySet, PolicyType};
use crate::principal::{Credential, GrantClass, PrincipalKind};
use crate::request::{Key, Request};
use crate::scope::Scope;

/// One rule of the decision.
#[derive(Debug)]
pub struct Rule {
    /// Short name, as explanations give it.
    pub name: &'static str,
    /// What the rule says.
    pub says: &'static str,
    /// The pages of the AWS documentation that say so.
    pub source: &'static str,
    apply: fn(&Question<'_, '_>) -> Finding,
}

/// What a rule finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The rule does not speak about the request, or is met.
    Pass,
    /// The request is allowed, whatever else is said.
    Allow,
    /// Credentials of this kind cannot make the request.
    Limit(&'static str),
    /// Denied explicitly, by the types that the opinions name.
    Deny,
    /// Denied explicitly by S3 Block Public Access, in the name of the resource's policy.
    DenyPublic,
    /// An allow of this type is needed and missing.
    Missing(PolicyType),
}

/// The order of the decision.
///
/// Source of the order: IAM User Guide, "How AWS enforcement code logic evaluates requests to allow or deny access".
pub const RULES: [Rule; 10] = [
    Rule {
        name: "caller-identity",
        says: "GetCallerIdentity answers every signed caller; no policy can change that",
        source: "STS API Reference, GetCallerIdentity",
        apply: caller_identity,
    },
    Rule {
        name: "credential-limit",
        says: "some kinds of credentials cannot make some calls, whatever the policies say",
        source: "IAM User Guide, Compare AWS STS credentials; STS API Reference, GetSessionToken, GetFederationToken, AssumeRoot",
        apply: credential_limit,
    },
    Rule {
        name: "explicit-deny",
        says: "a matching Deny in any policy that binds the request ends it",
        source: "IAM User Guide, How AWS enforcement code logic evaluates requests to allow or deny access (deny evaluation)",
        apply: explicit_deny,
    },
    Rule {
        name: "public-access-block",
        says: "where public buckets are restricted, a public bucket policy lets in only its own account and AWS services",
        source: "S3 User Guide, Blocking public access to your Amazon S3 storage (RestrictPublicBuckets)",
        apply: public_access_block,
    },
    Rule {
        name: "service-control-policies",
        says: "every level from the root to the caller's account must have an SCP that allows",
        source: "Organizations User Guide, SCP evaluation",
        apply: service_control,
    },
    Rule {
        name: "vpc-endpoint-policy",
        says: "the policy of the endpoint that the request came through must allow",
        source: "PrivateLink Guide, Control access to VPC endpoints using endpoint policies",
        apply: vpc_endpoint,
    },
    Rule {
        name: "resource-policy",
        says: "where the resource's side must allow, its policy or a grant of the key must name the caller",
        source: "IAM User Guide, Cross-account policy evaluation logic; KMS Developer Guide, Key policies and Grants; IAM User Guide, Role trust policies",
        apply: resource,
    },
    Rule {
        name: "identity-policies",
        says: "where the caller's side must allow, an identity-based policy must; root users and GetSessionToken need none",
        source: "IAM User Guide, Policy evaluation for requests within a single account",
        apply: identity,
    },
    Rule {
        name: "permissions-boundary",
        says: "a boundary must allow too, unless the resource's policy names the very caller",
        source: "IAM User Guide, Permissions boundaries for IAM entities",
        apply: boundary,
    },
    Rule {
        name: "session-policies",
        says: "session policies must allow too, unless the resource's policy names the very caller; a federated user has nothing without them",
        source: "IAM User Guide, Policies and permissions in IAM (session policies)",
        apply: session,
    },
];

impl Rule {
    /// The rule of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.name == name)
    }

    pub(crate) fn apply(&self, question: &Question<'_, '_>) -> Finding {
        (self.apply)(question)
    }
}

/// Where the caller stands to the resource: what decides which sides must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// A service, an anonymous or a federated caller: it has no policies of its own.
    NoAccount,
    /// Caller and resource belong to different accounts.
    OtherAccount,
    /// Same account, and the resource's side names the caller this closely.
    SameAccount(Option<GrantClass>),
    /// Same account, not named by a trust or key policy, which is no partner of identity-based policies.
    SameAccountUnnamed,
}

/// Which sides must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    /// The policy of the resource, or a grant.
    pub resource: bool,
    /// The caller's identity-based policies.
    pub identity: bool,
    /// The caller's boundary and session policies, where it has any.
    pub bounds: bool,
}

const RESOURCE_ALONE: Sides = Sides { resource: true, identity: false, bounds: false };
const RESOURCE_AND_BOUNDS: Sides = Sides { resource: true, identity: false, bounds: true };
const CALLER_ALONE: Sides = Sides { resource: false, identity: true, bounds: true };
const BOTH: Sides = Sides { resource: true, identity: true, bounds: true };

/// Which sides must allow in each standing, with the page that says so.
pub const SIDES: [(Standing, Sides, &str); 7] = [
    (Standing::NoAccount, RESOURCE_ALONE, "IAM User Guide, AWS JSON policy elements: Principal (AWS service principals, all principals)"),
    (Standing::OtherAccount, BOTH, "IAM User Guide, Cross-account policy evaluation logic"),
    (
        Standing::SameAccount(Some(GrantClass::Direct)),
        RESOURCE_ALONE,
        "IAM User Guide, How AWS enforcement code logic evaluates requests (IAM user, role session, federated user)",
    ),
    (
        Standing::SameAccount(Some(GrantClass::Role)),
        RESOURCE_AND_BOUNDS,
        "IAM User Guide, How AWS enforcement code logic evaluates requests (IAM role, user behind a federated session)",
    ),
    (
        Standing::SameAccount(Some(GrantClass::Account)),
        BOTH,
        "IAM User Guide, AWS JSON policy elements: Principal (AWS account principals)",
    ),
    (Standing::SameAccount(None), CALLER_ALONE, "IAM User Guide, Policy evaluation for requests within a single account"),
    (Standing::SameAccountUnnamed, RESOURCE_ALONE, "KMS Developer Guide, Default key policy; IAM User Guide, Role trust policies"),
];

impl Standing {
    fn of(class: Option<GrantClass>, policies: &PolicySet, scope: Scope) -> Self {
        if !scope.caller {
            return Self::NoAccount;
        }
        if !scope.same_account {
            return Self::OtherAccount;
        }
        if class.is_none() && policies.resource.must_allow() {
            return Self::SameAccountUnnamed;
        }
        Self::SameAccount(class)
    }

    /// Which sides must allow.
    pub fn sides(self) -> Sides {
        SIDES.iter().find(|(standing, ..)| *standing == self).map_or(BOTH, |(_, sides, _)| *sides)
    }
}

/// One request with the policies that bind it. What they say is asked only when a rule wants to know.
pub(crate) struct Question<'q, 'a> {
    pub(crate) request: &'q Request<'q>,
    pub(crate) policies: &'a PolicySet,
    pub(crate) scope: Scope,
    opinions: OnceCell<(Opinions<'a>, Sides)>,
}

impl<'q, 'a> Question<'q, 'a> {
    pub(crate) fn new(request: &'q Request<'q>, policies: &'a PolicySet) -> Self {
        Self { request, policies, scope: Scope::new(request, policies), opinions: OnceCell::new() }
    }

    fn asked(&self) -> &(Opinions<'a>, Sides) {
        self.opinions.get_or_init(|| {
            let opinions = Opinions::collect(self.request, self.policies, self.scope);
            let sides = Standing::of(opinions.grant_class, self.policies, self.scope).sides();
            (opinions, sides)
        })
    }

    pub(crate) fn opinions(&self) -> &Opinions<'a> {
        &self.asked().0
    }

    fn sides(&self) -> Sides {
        self.asked().1
    }
}

fn missing_if(missing: bool, policy_type: PolicyType) -> Finding {
    if missing { Finding::Missing(policy_type) } else { Finding::Pass }
}

fn caller_identity(question: &Question<'_, '_>) -> Finding {
    let request = question.request;
    if request.check.action_lower() == "sts:getcalleridentity" && request.principal.is_signed() {
        return Finding::Allow;
    }
    Finding::Pass
}

fn credential_limit(question: &Question<'_, '_>) -> Finding {
    limit(question.request).map_or(Finding::Pass, Finding::Limit)
}

fn limit(request: &Request<'_>) -> Option<&'static str> {
    let (service, name) = request.check.service_and_name();
    let sts = service == "sts";
    match &request.principal.kind {
        PrincipalKind::Root if sts && matches!(name, "assumerole" | "assumeroot") => {
            Some("a root user cannot assume roles or root sessions")
        }
        PrincipalKind::RoleSession { .. } if sts && matches!(name, "getsessiontoken" | "getfederationtoken") => {
            Some("a role session cannot request session or federation tokens")
        }
        PrincipalKind::FederatedUser { .. } if sts || service == "iam" => {
            Some("a federated user session can call neither IAM nor STS, but for GetCallerIdentity")
        }
        PrincipalKind::User | PrincipalKind::Root if request.principal.credential == Credential::SessionToken => {
            // Tagging a session and setting its source identity belong to AssumeRole.
            let assume_role = matches!(name, "assumerole" | "tagsession" | "setsourceidentity");
            if sts && !assume_role {
                return Some("session tokens can call only AssumeRole and GetCallerIdentity of STS");
            }
            let mfa = Key::new("aws:MultiFactorAuthPresent");
            let present = request.values(&mfa).is_some_and(|values| values.iter().any(|value| value.eq_ignore_ascii_case("true")));
            (service == "iam" && !present).then_some("session tokens can call IAM only if they were made with MFA")
        }
        _ => None,
    }
}

fn explicit_deny(question: &Question<'_, '_>) -> Finding {
    let resource_type = question.policies.resource.policy_type();
    let denied = question.opinions().by_type(resource_type).iter().any(|(_, opinion)| opinion.deny.is_some());
    if denied { Finding::Deny } else { Finding::Pass }
}

fn public_access_block(question: &Question<'_, '_>) -> Finding {
    if question.opinions().public_access_blocked { Finding::DenyPublic } else { Finding::Pass }
}

fn service_control(question: &Question<'_, '_>) -> Finding {
    missing_if(!question.opinions().service_control_allows, PolicyType::ServiceControl)
}

fn vpc_endpoint(question: &Question<'_, '_>) -> Finding {
    let attached = question.policies.vpc_endpoint.is_some();
    missing_if(attached && !question.opinions().vpc_endpoint.allows(), PolicyType::VpcEndpoint)
}

fn resource(question: &Question<'_, '_>) -> Finding {
    let missing = question.sides().resource && question.opinions().grant_class.is_none();
    missing_if(missing, question.policies.resource.policy_type())
}

fn identity(question: &Question<'_, '_>) -> Finding {
    let has_everything = match &question.request.principal.kind {
        PrincipalKind::Root => true,
        // A root user behind a federated session has everything.
        PrincipalKind::FederatedUser { user_arn } => user_arn.ends_with(":root"),
        // It proves who the user is and needs no permission (STS API Reference, GetSessionToken).
        _ => question.request.check.action_lower() == "sts:getsessiontoken",
    };
    missing_if(question.sides().identity && !has_everything && !question.opinions().identity.allows(), PolicyType::Identity)
}

fn boundary(question: &Question<'_, '_>) -> Finding {
    let bound = question.sides().bounds && question.policies.boundary.is_some();
    missing_if(bound && !question.opinions().boundary.allows(), PolicyType::Boundary)
}

fn session(question: &Question<'_, '_>) -> Finding {
    let principal = question.request.principal;
    let federated = matches!(principal.kind, PrincipalKind::FederatedUser { .. });
    let bound = question.sides().bounds && (question.policies.session.is_some() || federated);
    // A root session has its task policy and nothing else.
    missing_if((bound || principal.assumed_root) && !question.opinions().session.allows(), PolicyType::Session)
}
