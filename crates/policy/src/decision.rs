//! The decision: from all policies to allowed or denied, and by what.
//!
//! Source: IAM User Guide, "How AWS enforcement code logic evaluates requests to allow or deny access",
//! "Cross-account policy evaluation logic"; Organizations User Guide, "SCP evaluation" and "RCP evaluation"; KMS
//! Developer Guide, "Determining access to AWS KMS keys".

use std::sync::Arc;

use crate::context::Context;
use crate::json::Span;
use crate::policy::{Hit, Outcome, Policy};
use crate::policy_set::{Attached, PolicySet, PolicySource, PolicyType};
use crate::principal::{Credential, GrantClass, Principal, PrincipalKind};
use crate::request::{Check, Organization, Request};

/// Service prefixes whose resources RCPs bind, in ascending order.
///
/// Source: Organizations User Guide, "List of AWS services that support RCPs", as of autumn 2026.
pub const RCP_SERVICES: [&str; 62] = [
    "aoss",
    "appconfig",
    "appstream",
    "autoscaling",
    "autoscaling-plans",
    "budgets",
    "clouddirectory",
    "cloudfront",
    "cloudsearch",
    "cloudtrail-data",
    "codeartifact",
    "codebuild",
    "codecommit",
    "codepipeline",
    "cognito-identity",
    "cognito-idp",
    "comprehend",
    "comprehendmedical",
    "compute-optimizer",
    "cost-optimization-hub",
    "dax",
    "dsql",
    "dynamodb",
    "ecr",
    "ecr-public",
    "events",
    "firehose",
    "fis",
    "fms",
    "gamelift",
    "health",
    "inspector-scan",
    "kendra",
    "kinesisvideo",
    "kms",
    "logs",
    "memorydb",
    "networkmonitor",
    "notifications",
    "opensearch",
    "pca-connector-ad",
    "personalize",
    "polly",
    "pricing",
    "resource-groups",
    "rolesanywhere",
    "s3",
    "secretsmanager",
    "servicediscovery",
    "signin",
    "sqs",
    "sts",
    "support",
    "swf",
    "textract",
    "timestream-influxdb",
    "transcribe",
    "transfer",
    "translate",
    "wafv2",
    "workspaces",
    "xray",
];

/// Whether RCPs bind the resources of a service.
pub fn supports_resource_control(service: &str) -> bool {
    RCP_SERVICES.binary_search(&service).is_ok()
}

/// The answer to one check.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Whether the request may go on.
    pub allowed: bool,
    /// For a denial: `Some(true)` if a policy denies it, `Some(false)` if none allows it, `None` if the kind of
    /// credentials rules it out. `None` for an allowed request.
    pub explicit: Option<bool>,
    /// The policy types that stand in the way; messages name the first.
    pub denied_by: Vec<PolicyType>,
    /// The statement that denied, or one that allowed.
    pub deciding: Option<StatementRef>,
    /// Why credentials of this kind cannot make the request, whatever the policies say.
    pub credential_limit: Option<&'static str>,
}

/// A statement of an attached policy.
#[derive(Debug, Clone, PartialEq)]
pub struct StatementRef {
    /// Type of the policy.
    pub policy_type: PolicyType,
    /// ARN or name of the policy.
    pub policy_id: Arc<str>,
    /// Where the policy comes from.
    pub source: PolicySource,
    /// Index of the statement from 0; `None` if the policy denies as a whole because it cannot be read.
    pub statement_index: Option<usize>,
    policy: Arc<Policy>,
}

impl StatementRef {
    fn new(policy_type: PolicyType, attached: &Attached, statement_index: Option<usize>) -> Self {
        Self {
            policy_type,
            policy_id: Arc::clone(&attached.id),
            source: attached.source,
            statement_index,
            policy: Arc::clone(&attached.policy),
        }
    }

    fn statement(&self) -> Option<&crate::statement::Statement> {
        self.policy.statements().get(self.statement_index?)
    }

    /// The `Sid` of the statement.
    pub fn sid(&self) -> Option<&str> {
        self.statement()?.sid()
    }

    /// Where the statement stands in its document.
    pub fn span(&self) -> Option<Span> {
        self.statement().map(crate::statement::Statement::span)
    }
}

impl Decision {
    fn allow(deciding: Option<StatementRef>) -> Self {
        Self { allowed: true, explicit: None, denied_by: Vec::new(), deciding, credential_limit: None }
    }

    fn deny(explicit: bool, denied_by: Vec<PolicyType>, deciding: Option<StatementRef>) -> Self {
        Self { allowed: false, explicit: Some(explicit), denied_by, deciding, credential_limit: None }
    }

    /// The text of the denial in the words of AWS (IAM User Guide, "Troubleshoot access denied error messages").
    /// Services may leave out `on resource: …`: pass an empty resource for that.
    pub fn message(&self, principal_arn: &str, action: &str, resource: &str) -> String {
        let mut text = format!("User: {principal_arn} is not authorized to perform: {action}");
        if !resource.is_empty() {
            text.push_str(&format!(" on resource: {resource}"));
        }
        let Some(policy_type) = self.denied_by.first() else {
            return text;
        };
        if self.explicit != Some(true) {
            text.push_str(&format!(" because no {policy_type} allows the {action} action"));
            return text;
        }
        let article = policy_type.article();
        text.push_str(&format!(" with an explicit deny in {article} {policy_type}"));
        if let Some(deciding) = &self.deciding
            && policy_type.names_policy_arn()
            && deciding.policy_id.starts_with("arn:")
        {
            text.push_str(&format!(": {}", deciding.policy_id));
        }
        text
    }
}

/// Decides one check. Pure: the same arguments give the same answer.
///
/// `organization` gives the ids and paths and says who is a member; where it is `None`, SCPs and RCPs of the set
/// bind every account.
pub fn decide(
    principal: &Principal,
    check: &Check,
    policies: &PolicySet,
    context: &dyn Context,
    organization: Option<&Organization>,
) -> Decision {
    let has_boundary = policies.boundary.is_some();
    let request = Request::new(principal, check, context, organization, has_boundary);
    if is_always_allowed(&request) {
        return Decision::allow(None);
    }
    if let Some(limit) = credential_limit(&request) {
        return Decision { credential_limit: Some(limit), explicit: None, ..Decision::deny(false, Vec::new(), None) };
    }
    let scope = Scope::new(&request, policies);
    let opinions = Opinions::collect(&request, policies, scope);
    if let Some(denial) = opinions.explicit_denial() {
        return denial;
    }
    let missing = opinions.missing_allows(&request, policies, scope);
    if !missing.is_empty() {
        return Decision::deny(false, missing, None);
    }
    Decision::allow(opinions.allowing())
}

/// GetCallerIdentity answers every signed caller; no policy can change that.
fn is_always_allowed(request: &Request<'_>) -> bool {
    request.check.action_lower() == "sts:getcalleridentity" && request.principal.is_signed()
}

/// What credentials of a kind can never do (IAM User Guide, "Compare AWS STS credentials").
fn credential_limit(request: &Request<'_>) -> Option<&'static str> {
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
        PrincipalKind::User if request.principal.credential == Credential::SessionToken => {
            // Tagging a session and setting its source identity belong to AssumeRole.
            let assume_role = matches!(name, "assumerole" | "tagsession" | "setsourceidentity");
            if sts && !assume_role {
                return Some("session tokens can call only AssumeRole and GetCallerIdentity of STS");
            }
            let mfa = crate::request::Key::new("aws:MultiFactorAuthPresent");
            let present = request.values(&mfa).is_some_and(|values| values.iter().any(|value| value.eq_ignore_ascii_case("true")));
            (service == "iam" && !present).then_some("session tokens can call IAM only if they were made with MFA")
        }
        _ => None,
    }
}

/// Which of the policies bind this request at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    /// The caller's own policies (identity, boundary, session) exist.
    pub(crate) caller: bool,
    pub(crate) service_control: bool,
    pub(crate) resource_control: bool,
    /// Denies of the bucket policy bind; not for the bucket owner's root and the calls that repair the policy.
    pub(crate) resource_denies: bool,
    pub(crate) same_account: bool,
}

impl Scope {
    pub(crate) fn new(request: &Request<'_>, policies: &PolicySet) -> Self {
        let principal = request.principal;
        let caller = principal.is_account_identity();
        let same_account = principal.account.as_deref() == request.resource_account() || is_root_session_of_member(request);
        Self {
            caller,
            service_control: caller
                && !principal.service_linked
                && policies.service_control.is_some()
                && binds(request.organization, principal.account.as_deref()),
            resource_control: !principal.service_linked
                && !request.check.resource.aws_managed_key
                && request.check.action_lower() != "kms:retiregrant"
                && supports_resource_control(request.check.service_and_name().0)
                && binds(request.organization, request.resource_account()),
            resource_denies: !(principal.kind == PrincipalKind::Root
                && same_account
                && matches!(request.check.action_lower(), "s3:getbucketpolicy" | "s3:putbucketpolicy" | "s3:deletebucketpolicy")),
            same_account,
        }
    }
}

/// AssumeRoot reaches into member accounts: being the organization's management account is their consent (IAM User
/// Guide, "Centralize root access for member accounts").
fn is_root_session_of_member(request: &Request<'_>) -> bool {
    let Some(organization) = request.organization else {
        return false;
    };
    request.check.action_lower() == "sts:assumeroot"
        && request.principal.account.as_deref() == Some(&*organization.management_account)
        && binds(request.organization, request.resource_account())
}

/// Whether organization policies bind an account. Without facts about the organization whatever policies were
/// handed over do: leaving the facts out must not switch policies off.
fn binds(organization: Option<&Organization>, account: Option<&str>) -> bool {
    organization.is_none_or(|organization| account.is_some_and(|account| organization.binds(account)))
}

/// What each policy type says. Holds references only: an allowed request allocates nothing here.
#[derive(Default)]
struct Opinions<'a> {
    identity: Opinion<'a>,
    boundary: Opinion<'a>,
    session: Opinion<'a>,
    /// Whether every level of SCPs has an allow.
    service_control_allows: bool,
    service_control: Opinion<'a>,
    resource_control: Opinion<'a>,
    vpc_endpoint: Opinion<'a>,
    resource: Opinion<'a>,
    resource_type: Option<PolicyType>,
    grant_class: Option<GrantClass>,
    /// S3 cuts the caller off a public policy.
    public_access_blocked: bool,
}

/// What the policies of one type say together.
#[derive(Default)]
struct Opinion<'a> {
    deny: Option<(&'a Attached, Hit)>,
    allow: Option<(&'a Attached, usize, GrantClass)>,
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

    fn allows(&self) -> bool {
        self.allow.is_some()
    }
}

impl<'a> Opinions<'a> {
    fn collect(request: &Request<'_>, policies: &'a PolicySet, scope: Scope) -> Self {
        let mut opinions = Self::default();
        if scope.caller {
            opinions.identity = Opinion::of(&policies.identity, request);
            opinions.boundary = Opinion::of(&policies.boundary, request);
            opinions.session = Opinion::of(policies.session.iter().flatten(), request);
        }
        opinions.service_control_allows = true;
        if scope.service_control {
            for level in policies.service_control.iter().flatten() {
                let opinion = Opinion::of(level, request);
                opinions.service_control_allows &= opinion.allows();
                opinions.service_control.deny = opinions.service_control.deny.or(opinion.deny);
            }
        }
        if scope.resource_control {
            let all = policies.resource_control.iter().flatten();
            opinions.resource_control = Opinion::of(all, request);
        }
        opinions.vpc_endpoint = Opinion::of(&policies.vpc_endpoint, request);
        opinions.collect_resource(request, policies, scope);
        opinions
    }

    fn collect_resource(&mut self, request: &Request<'_>, policies: &'a PolicySet, scope: Scope) {
        self.resource_type = Some(policies.resource.policy_type());
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
    fn by_type(&self) -> [(PolicyType, &Opinion<'a>); 7] {
        [
            (PolicyType::ServiceControl, &self.service_control),
            (PolicyType::ResourceControl, &self.resource_control),
            (PolicyType::VpcEndpoint, &self.vpc_endpoint),
            (self.resource_type.unwrap_or(PolicyType::Resource), &self.resource),
            (PolicyType::Identity, &self.identity),
            (PolicyType::Boundary, &self.boundary),
            (PolicyType::Session, &self.session),
        ]
    }

    fn explicit_denial(&self) -> Option<Decision> {
        let mut denied_by = Vec::new();
        let mut deciding = None;
        for (policy_type, opinion) in self.by_type() {
            if let Some((attached, hit)) = opinion.deny {
                let at = match hit {
                    Hit::Statement(at) => Some(at),
                    Hit::Unreadable => None,
                };
                deciding.get_or_insert_with(|| StatementRef::new(policy_type, attached, at));
                denied_by.push(policy_type);
            }
        }
        if self.public_access_blocked && !denied_by.contains(&PolicyType::Resource) {
            denied_by.push(PolicyType::Resource);
        }
        (!denied_by.is_empty()).then(|| Decision::deny(true, denied_by, deciding))
    }

    /// The policy types whose allow is needed and missing.
    fn missing_allows(&self, request: &Request<'_>, policies: &PolicySet, scope: Scope) -> Vec<PolicyType> {
        let mut missing = Vec::new();
        if !self.service_control_allows {
            missing.push(PolicyType::ServiceControl);
        }
        if policies.vpc_endpoint.is_some() && !self.vpc_endpoint.allows() {
            missing.push(PolicyType::VpcEndpoint);
        }
        let needs = Needs::new(self.grant_class, policies, scope);
        if needs.resource && self.grant_class.is_none() {
            missing.push(policies.resource.policy_type());
        }
        let caller = CallerSide::new(request.principal, policies);
        if needs.identity && caller.needs_identity && !self.identity.allows() && !needs_no_permission(request) {
            missing.push(PolicyType::Identity);
        }
        if needs.bounds && policies.boundary.is_some() && !self.boundary.allows() {
            missing.push(PolicyType::Boundary);
        }
        let needs_session = (needs.bounds && caller.needs_session) || request.principal.assumed_root;
        if needs_session && !self.session.allows() {
            missing.push(PolicyType::Session);
        }
        missing
    }

    fn allowing(&self) -> Option<StatementRef> {
        let resource_type = self.resource_type.unwrap_or(PolicyType::Resource);
        let reference = |policy_type, opinion: &Opinion<'_>| {
            let (attached, at, _) = opinion.allow?;
            Some(StatementRef::new(policy_type, attached, Some(at)))
        };
        reference(PolicyType::Identity, &self.identity)
            .or_else(|| reference(resource_type, &self.resource))
            .or_else(|| reference(PolicyType::Session, &self.session))
    }
}

/// Which sides must allow, from where the caller stands and how closely the resource's side names it.
struct Needs {
    resource: bool,
    identity: bool,
    /// Boundary and session policies.
    bounds: bool,
}

impl Needs {
    const RESOURCE_ALONE: Self = Self { resource: true, identity: false, bounds: false };
    const BOTH_SIDES: Self = Self { resource: true, identity: true, bounds: true };

    fn new(class: Option<GrantClass>, policies: &PolicySet, scope: Scope) -> Self {
        if !scope.caller {
            // Services, anonymous and federated callers have no policies of their own.
            return Self::RESOURCE_ALONE;
        }
        if !scope.same_account {
            // Across accounts both sides must allow, however the caller is named.
            return Self::BOTH_SIDES;
        }
        match class {
            Some(GrantClass::Direct) => Self::RESOURCE_ALONE,
            Some(GrantClass::Role) => Self { identity: false, ..Self::BOTH_SIDES },
            Some(GrantClass::Account) => Self::BOTH_SIDES,
            // Trust and key policies are no partners: without them the caller's own policies give nothing.
            None if policies.resource.must_allow() => Self::RESOURCE_ALONE,
            None => Self { resource: false, ..Self::BOTH_SIDES },
        }
    }
}

/// What the caller's side consists of.
struct CallerSide {
    needs_identity: bool,
    needs_session: bool,
}

impl CallerSide {
    fn new(principal: &Principal, policies: &PolicySet) -> Self {
        let session = policies.session.is_some();
        match &principal.kind {
            PrincipalKind::Root => Self { needs_identity: false, needs_session: session || principal.assumed_root },
            // A federated session is the intersection of its user with its session policies; a root user behind
            // it has everything.
            PrincipalKind::FederatedUser { user_arn } => Self { needs_identity: !user_arn.ends_with(":root"), needs_session: true },
            _ => Self { needs_identity: true, needs_session: session },
        }
    }
}

/// GetSessionToken proves who the user is; it needs no permission (STS API Reference, "GetSessionToken").
fn needs_no_permission(request: &Request<'_>) -> bool {
    request.check.action_lower() == "sts:getsessiontoken"
}
