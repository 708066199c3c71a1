//! The decision: which actions on which resources a call needs, what joins the decision, and what is said when it is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use facts::{Binding, Protocol};
use keyring::Domain;
use policy::{Check, Decision, MapContext, Policy, PolicyKind, PolicySet, Resource, ResourcePolicy};
use serde::Serialize;
use serde_json::{Value as Json, json};
use wire::Value;

use crate::call::Call;
use crate::clock::iso8601_s;
use crate::condition::{RecordedKeys, RequestContext};
use crate::error::ApiError;
use crate::organization::ControlPolicies;
use crate::principal::{Principal, PrincipalAccess, PrincipalKind, Session};
use crate::service::{ResourceAccess, Target};
use crate::{bearer, binding, tag_policy};

/// Compiled policies kept, by their text.
const POLICIES: usize = 30_000;

/// Compiled policies by their text, for each kind: so a text that is known is found without a copy of it.
#[derive(Default)]
struct Compiled {
    policies: HashMap<PolicyKind, HashMap<Arc<str>, Arc<Policy>>>,
    count: usize,
}

/// The compiled form of a stored policy; a text is compiled once, whoever it is attached to. One that cannot be parsed denies; it never
/// allows.
pub fn compiled(kind: PolicyKind, text: &str) -> Arc<Policy> {
    // A pure function's memory: the same text gives the same policy in every plane of the process.
    static COMPILED: OnceLock<Mutex<Compiled>> = OnceLock::new();
    let memory = COMPILED.get_or_init(Mutex::default);
    let known = |memory: &Compiled| memory.policies.get(&kind)?.get(text).map(Arc::clone);
    if let Some(policy) = known(&memory.lock().unwrap_or_else(PoisonError::into_inner)) {
        return policy;
    }
    let policy = Arc::new(Policy::parse_stored(text, kind));
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    if memory.count >= POLICIES {
        *memory = Compiled::default();
    }
    if memory.policies.entry(kind).or_default().insert(Arc::from(text), Arc::clone(&policy)).is_none() {
        memory.count += 1;
    }
    policy
}

/// Passes when everything that the call needs is allowed; else gives the error that the caller gets.
pub(crate) async fn authorize(call: &mut Call, input: &Value) -> Result<(), ApiError> {
    refuse_suspended(call).await?;
    match call.operation.binding {
        Binding::Open => {
            call.decision = Some(noted(&json!({ "allowed": true, "reason": "the operation needs no permission" }))?);
            return if call.principal.is_anonymous() && !call.operation.unsigned { Err(anonymous(call)) } else { Ok(()) };
        }
        Binding::Unmapped => {
            let reason = "no action is known for the operation, so it is refused";
            call.decision = Some(noted(&json!({ "allowed": false, "reason": reason }))?);
            return Err(ApiError::new(
                denied_code(call.protocol),
                format!("the operation `{}` cannot be mapped to an action and is refused", call.operation.name),
            )
            .with_status(denied_status(call.protocol)));
        }
        Binding::Mapped | Binding::Service => {}
    }
    let mut targets = targets(call, input).await?;
    if call.request.bearer.is_some() && call.via.is_empty() {
        targets.insert(0, Target { action: bearer::ACTION.to_owned(), resource_arn: "*".to_owned() });
    }
    let access = access(call).await?;
    let mut service_keys = MapContext::new();
    if let Some(service) = call.plane.service(call.service.head.id).cloned() {
        service.condition_keys(call, input, &mut service_keys);
    }
    let tags = request_tags(call, input);
    let service = call.plane.service(call.service.head.id).cloned();
    let mut targets = targets.into_iter();
    while let Some(target) = targets.next() {
        let mut found = resource_access(call, &target.action, &target.resource_arn).await?;
        if let Some(service) = &service {
            service.narrow(call, input, &target, &mut found).await?;
        }
        // As a rule there is one target, and nothing to copy.
        let keys = if targets.len() == 0 { std::mem::take(&mut service_keys) } else { service_keys.clone() };
        let mut question = Question { found, input, keys, tags: tags.clone(), encryption_context: Vec::new(), target };
        if let Some(service) = &service {
            service.target_keys(call, input, &question.target, &mut question.keys);
            question.encryption_context = service.encryption_context(call, input, &question.target);
        }
        question.add_keys_of_resource();
        let owner = owner(call, &question.target.resource_arn, &question.found);
        note_resource(call, &question, &owner);
        let control = call.plane.control_policies(&call.account, &owner).await?;
        let verdict = decide(call, &question, &access, &owner, &control)?;
        if let Verdict::Refused(refusal, note) = verdict {
            let error = denied(call, &question.target, &refusal, &owner, &control, &note)?;
            call.decision = Some(noted(&if owner == call.account { note } else { without_foreign_policies(note) })?);
            if owner != call.account {
                // Who owns the resource, and whether it exists, is not the caller's to know.
                call.audit.resources.retain(|resource| resource.account_id.as_deref() == Some(&call.account));
            }
            return Err(error);
        }
        if let Verdict::Allowed(note) = verdict {
            match &mut call.decision {
                None => call.decision = Some(Arc::new(note)),
                Some(first) => Arc::make_mut(first).add(note),
            }
        }
    }
    let added = call.operation.request_tags.and_then(|path| binding::request_tags(input, path)).unwrap_or_default();
    tag_policy::check(call, &added).await
}

fn noted(note: &Json) -> Result<Arc<trail::Decision>, ApiError> {
    Ok(Arc::new(trail::Decision::of(note)?))
}

/// The principals of a closed account can do nothing, whatever allows it.
async fn refuse_suspended(call: &mut Call) -> Result<(), ApiError> {
    let view = call.plane.organization(&call.account).await?;
    if !view.is_some_and(|view| view.suspended.contains(&call.account)) {
        return Ok(());
    }
    let message = format!("the account `{}` is suspended: its credentials open nothing", call.account);
    call.decision = Some(noted(&json!({ "allowed": false, "reason": message }))?);
    Err(ApiError::new(denied_code(call.protocol), message).with_status(denied_status(call.protocol)))
}

/// A refusal as the caller's account may see it when the resource is another's: its policies, and which of them decided, are left out.
fn without_foreign_policies(mut note: serde_json::Value) -> serde_json::Value {
    let is_foreign = |policy_type: Option<&serde_json::Value>| {
        policy_type
            .and_then(serde_json::Value::as_str)
            .is_some_and(|name| matches!(name, "resource-based policy" | "role trust policy" | "resource control policy"))
    };
    if is_foreign(note.pointer("/deciding/policyType"))
        && let Some(deciding) = note.get_mut("deciding")
    {
        *deciding = serde_json::Value::Null;
    }
    if let Some(policies) = note.pointer_mut("/explanation/policies").and_then(serde_json::Value::as_array_mut) {
        policies.retain(|policy| !is_foreign(policy.get("policy_type")));
    }
    if let Some(summary) = note.pointer_mut("/explanation/summary") {
        *summary = serde_json::Value::Null;
    }
    note
}

/// Whether the caller may also do something else: for answers that depend on it (a missing key is 404 to those who may list, 403 to
/// others; each key of a batch). It decides nothing about the call itself.
pub async fn allowed(call: &mut Call, action: &str, resource_arn: &str) -> Result<bool, ApiError> {
    check(call, action, resource_arn).await.map(|refusal| refusal.is_none())
}

/// As [`allowed`], with the error that a refused caller gets.
pub async fn check(call: &mut Call, action: &str, resource_arn: &str) -> Result<Option<ApiError>, ApiError> {
    // The input belongs to another question; what follows from the request itself holds for this one, too.
    check_with(call, action, resource_arn, &Value::Null).await
}

/// As [`check`], of what an input of its own says: one version of an object among many that a batch names.
pub async fn check_with(call: &mut Call, action: &str, resource_arn: &str, input: &Value) -> Result<Option<ApiError>, ApiError> {
    let mut found = resource_access(call, action, resource_arn).await?;
    let target = Target { action: action.to_owned(), resource_arn: resource_arn.to_owned() };
    let mut keys = MapContext::new();
    if let Some(service) = call.plane.service(call.service.head.id).cloned() {
        service.condition_keys(call, input, &mut keys);
        service.narrow(call, input, &target, &mut found).await?;
    }
    ask(call, Question { target, found, input: &Value::Null, keys, tags: None, encryption_context: Vec::new() }).await
}

/// Whether the caller would be allowed if the resource were as `access` says (a key policy that is about to be put).
pub async fn allowed_under(
    call: &mut Call,
    action: &str,
    resource_arn: &str,
    access: &ResourceAccess,
    keys: &MapContext,
) -> Result<bool, ApiError> {
    let target = Target { action: action.to_owned(), resource_arn: resource_arn.to_owned() };
    let question =
        Question { target, found: access.clone(), input: &Value::Null, keys: keys.clone(), tags: None, encryption_context: Vec::new() };
    ask(call, question).await.map(|refusal| refusal.is_none())
}

/// Decides a question beside the call's own.
async fn ask(call: &mut Call, mut question: Question<'_>) -> Result<Option<ApiError>, ApiError> {
    question.add_keys_of_resource();
    let access = access(call).await?;
    let owner = owner(call, &question.target.resource_arn, &question.found);
    let control = call.plane.control_policies(&call.account, &owner).await?;
    match decide(call, &question, &access, &owner, &control)? {
        Verdict::Allowed(_) => Ok(None),
        Verdict::Refused(refusal, note) => denied(call, &question.target, &refusal, &owner, &control, &note).map(Some),
    }
}

/// What a caller may do, kept for the questions that come up when the call has answered: decided by the policies as they were when it began.
pub struct Standing {
    call: Call,
    access: Arc<PrincipalAccess>,
    control: ControlPolicies,
}

impl Standing {
    /// The standing of a call's caller towards resources of its own account that have no policy.
    pub async fn of(call: &mut Call) -> Result<Self, ApiError> {
        let access = access(call).await?;
        let account = call.account.clone();
        let control = call.plane.control_policies(&account, &account).await?;
        Ok(Self { call: call.detached(), access, control })
    }

    /// Whether the caller is allowed an action on a resource of its account.
    pub fn allows(&self, action: &str, resource_arn: &str, keys: &MapContext) -> bool {
        let target = Target { action: action.to_owned(), resource_arn: resource_arn.to_owned() };
        let found = ResourceAccess { account: self.call.account.clone(), ..ResourceAccess::default() };
        let question = Question { target, found, input: &Value::Null, keys: keys.clone(), tags: None, encryption_context: Vec::new() };
        matches!(decide(&self.call, &question, &self.access, &self.call.account, &self.control), Ok(Verdict::Allowed(_)))
    }

    /// Records what was noted after the call's own event, as an event of the service with the same request id.
    pub fn record(
        &self,
        event_name: &str,
        notes: serde_json::Map<String, serde_json::Value>,
    ) -> impl Future<Output = Result<(), ApiError>> + Send + use<> {
        let plane = Arc::clone(&self.call.plane);
        let events = plane.events_afterwards(&self.call, event_name, &notes);
        async move { plane.record(events?).await }
    }
}

async fn targets(call: &mut Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    if call.operation.binding == Binding::Service
        && let Some(service) = call.plane.service(call.service.head.id).cloned()
        && let Some(targets) = service.targets(call, input).await?
    {
        return Ok(targets);
    }
    binding::targets(call, input)
}

fn request_tags(call: &Call, input: &Value) -> Option<Vec<(String, String)>> {
    let added = call.operation.request_tags.and_then(|path| binding::request_tags(input, path));
    let removed = call.operation.tag_keys.map(|path| binding::tag_keys(input, path)).unwrap_or_default();
    if added.is_none() && removed.is_empty() {
        return None;
    }
    let mut tags = added.unwrap_or_default();
    // Removal names keys only: they count for `aws:TagKeys`, with no value to ask for.
    tags.extend(removed.into_iter().map(|key| (key, String::new())));
    Some(tags)
}

/// Everything attached to the caller, from the cache or the directory.
async fn access(call: &mut Call) -> Result<Arc<PrincipalAccess>, ApiError> {
    let plane = Arc::clone(&call.plane);
    let key = call.principal.access_key_id.clone();
    let at = plane.refresh_identities().await?;
    if let Some(access) = key.as_deref().and_then(|key| plane.identities.access(key)) {
        return Ok(access);
    }
    if call.principal.is_anonymous() || call.principal.is_federated_caller() || matches!(call.principal.kind, PrincipalKind::Service { .. })
    {
        // A service that acts on a proof (a certificate) has what the proof says as its tags.
        let tags = call.principal.session.as_ref().map(|session| session.tags.clone()).unwrap_or_default();
        return Ok(Arc::new(PrincipalAccess { tags, ..PrincipalAccess::default() }));
    }
    // Read apart from the call's transaction: what a call may do does not conflict with what it does.
    let mut tx = call.tx.renew();
    let access = Arc::new(plane.directory.access(&mut tx, &call.principal).await?);
    if let Some(key) = &key {
        plane.identities.keep_access(at, key, &access);
    }
    Ok(access)
}

/// One thing to decide, with all that is known of it.
struct Question<'i> {
    target: Target,
    found: ResourceAccess,
    /// What the call was given, for the condition keys that say what a member says; null for questions beside the call's own.
    input: &'i Value,
    /// Condition keys that the service gave.
    keys: MapContext,
    tags: Option<Vec<(String, String)>>,
    encryption_context: Vec<(String, String)>,
}

impl Question<'_> {
    /// What follows from the resource itself wins over what the request says.
    fn add_keys_of_resource(&mut self) {
        for (name, values) in &self.found.context {
            match values.as_slice() {
                [value] => self.keys.set(name, value.clone()),
                many => self.keys.set_many(name, many.iter().cloned()),
            };
        }
    }
}

/// What was decided, with what is noted of it for the audit entry and `explain`.
enum Verdict {
    Allowed(trail::Decision),
    Refused(Decision, Json),
}

fn decide(
    call: &Call,
    question: &Question<'_>,
    access: &PrincipalAccess,
    owner: &str,
    control: &ControlPolicies,
) -> Result<Verdict, ApiError> {
    let Question { target, found, .. } = question;
    let resource = Resource {
        arn: target.resource_arn.clone(),
        account: (!owner.is_empty()).then(|| owner.to_owned()),
        tags: found.tags.clone(),
        aws_managed_key: found.aws_managed_key,
    };
    let mut check = Check::new(&target.action, resource);
    check.request_tags.clone_from(&question.tags);
    check.encryption_context.clone_from(&question.encryption_context);
    let policies = PolicySet {
        identity: access.identity.clone(),
        boundary: access.boundary.clone(),
        session: access.session.clone(),
        service_control: control.service_control.clone(),
        resource_control: control.resource_control.clone(),
        resource: resource_policy(&found.policy, &target.action),
        kms_grants: found.grants.clone(),
        s3_restrict_public_buckets: found.restrict_public_buckets,
        // The network of the first call is not that of those that services make for the caller.
        vpc_endpoint: call
            .request
            .origin
            .vpc_endpoint
            .as_ref()
            .filter(|_| call.via.is_empty())
            .and_then(|endpoint| endpoint.policy.clone()),
    };
    let principal = policy_principal(&call.principal, access);
    let context = RequestContext::new(call, question.input, &question.keys).in_organizations(control);
    let organization = control.organization.as_deref();
    let decision = policy::decide(&principal, &check, &policies, &context, organization);
    let asked = Asked::new(&context, &check, access, call.principal.session.as_ref());
    if decision.allowed {
        // Every call comes by here: it is written at once, and never a tree of values.
        let note = AllowedNote {
            allowed: true,
            action: &target.action,
            resource: &target.resource_arn,
            deciding: decision.deciding.as_ref().map(DecidingNote::new),
            asked,
        };
        return Ok(Verdict::Allowed(trail::Decision::allowed(&note)?));
    }
    let note = json!({
        "allowed": false,
        "principal": call.principal.arn,
        "action": target.action,
        "resource": target.resource_arn,
        "explicit": decision.explicit,
        "deniedBy": decision.denied_by,
        "deciding": decision.deciding.as_ref().map(DecidingNote::new),
        "credentialLimit": decision.credential_limit,
        "conditionKeys": mentioned_keys(&principal, &check, &policies, &context, organization),
        "asked": asked,
        "explanation": policy::explain(&principal, &check, &policies, &context, organization),
    });
    Ok(Verdict::Refused(decision, note))
}

/// Every condition key that a policy of the decision mentions, with its values in this request; null if the request does not have it.
fn mentioned_keys(
    principal: &policy::Principal,
    check: &Check,
    policies: &PolicySet,
    context: &dyn policy::Context,
    organization: Option<&policy::Organization>,
) -> serde_json::Map<String, serde_json::Value> {
    let mut keys = serde_json::Map::new();
    for name in policies.all().flat_map(|attached| attached.policy.keys_mentioned()) {
        if keys.contains_key(name) {
            continue;
        }
        let values = policy::key_values(name, principal, check, context, organization);
        keys.insert(name.to_owned(), values.map_or(serde_json::Value::Null, |values| values.iter().collect()));
    }
    keys
}

/// A list that is left out where it is empty.
type Pairs<'a> = &'a [(String, String)];

/// What a policy may ask about the request, so that the decision can be taken again under other policies.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    context: RecordedKeys<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    resource_tags: Pairs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_tags: Option<Pairs<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    encryption_context: Pairs<'a>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    principal_tags: Pairs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session: Option<SessionNote<'a>>,
}

/// What limits a session by itself.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SessionNote<'a> {
    issuer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    policy_arns: &'a [String],
}

impl<'a> Asked<'a> {
    fn new(context: &'a RequestContext<'a>, check: &'a Check, access: &'a PrincipalAccess, session: Option<&'a Session>) -> Self {
        Self {
            context: RecordedKeys(context),
            owner: check.resource.account.as_deref(),
            resource_tags: &check.resource.tags,
            request_tags: check.request_tags.as_deref(),
            encryption_context: &check.encryption_context,
            principal_tags: &access.tags,
            session: session.map(|session| SessionNote {
                issuer: &session.issuer_operation,
                policy: session.policy.as_deref(),
                policy_arns: &session.policy_arns,
            }),
        }
    }
}

/// What is noted of an allowed question.
#[derive(Serialize)]
struct AllowedNote<'a> {
    allowed: bool,
    action: &'a str,
    resource: &'a str,
    deciding: Option<DecidingNote<'a>>,
    asked: Asked<'a>,
}

/// The statement that decided, as `explain` shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DecidingNote<'a> {
    policy_type: policy::PolicyType,
    policy_id: &'a str,
    statement_index: Option<usize>,
    sid: Option<&'a str>,
    span: Option<policy::Span>,
    pointer: Option<String>,
}

impl<'a> DecidingNote<'a> {
    fn new(statement: &'a policy::StatementRef) -> Self {
        Self {
            policy_type: statement.policy_type,
            policy_id: &statement.policy_id,
            statement_index: statement.statement_index,
            sid: statement.sid(),
            span: statement.span(),
            pointer: statement.pointer(),
        }
    }
}

/// A role's trust policy says who may assume it; it has no say in what is done to the role itself.
pub fn resource_policy(policy: &ResourcePolicy, action: &str) -> ResourcePolicy {
    match policy {
        ResourcePolicy::Trust(_) | ResourcePolicy::TrustMissing if !action.starts_with("sts:") => ResourcePolicy::Absent,
        policy => policy.clone(),
    }
}

/// What the owning service knows of a resource; nothing for `*` and for services without handlers.
pub async fn resource_access(call: &mut Call, action: &str, arn: &str) -> Result<ResourceAccess, ApiError> {
    let Some(prefix) = arn.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(1)) else {
        return Ok(ResourceAccess::default());
    };
    let plane = Arc::clone(&call.plane);
    for service in plane.services_of(prefix) {
        if let Some(found) = service.resource_for(&mut call.tx, &call.region, action, arn).await? {
            return Ok(found);
        }
    }
    Ok(ResourceAccess::default())
}

/// Owner of a resource: as its service says, else the account in the ARN, else the caller's.
pub fn owner(call: &Call, arn: &str, found: &ResourceAccess) -> String {
    if !found.account.is_empty() {
        return found.account.clone();
    }
    let in_arn = arn.split(':').nth(4).filter(|account| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()));
    in_arn.map_or_else(|| call.account.clone(), str::to_owned)
}

fn note_resource(call: &mut Call, question: &Question<'_>, owner: &str) {
    let Some(resource_type) = question.found.resource_type else { return };
    let arn = question.target.resource_arn.clone();
    call.touch(resource_type, &arn, owner);
    if owner != call.account && !call.audit.other_accounts.iter().any(|account| account == owner) {
        call.audit.other_accounts.push(owner.to_owned());
    }
}

/// The caller in the policy engine's terms.
pub fn policy_principal(principal: &Principal, access: &PrincipalAccess) -> policy::Principal {
    use policy::PrincipalKind as Kind;
    let kind = match &principal.kind {
        PrincipalKind::Root => Kind::Root,
        PrincipalKind::User { .. } => Kind::User,
        PrincipalKind::AssumedRole { role_arn, .. } => Kind::RoleSession { role_arn: role_arn.clone() },
        PrincipalKind::FederatedUser { user_arn, .. } => Kind::FederatedUser { user_arn: user_arn.clone() },
        PrincipalKind::Service { name } => {
            let mut made = policy::Principal::unaccounted(Kind::Service { name: name.clone() });
            made.tags.clone_from(&access.tags);
            return made;
        }
        PrincipalKind::WebIdentity { provider, .. } => {
            return policy::Principal::unaccounted(Kind::WebIdentity { provider: provider.clone() });
        }
        PrincipalKind::Saml { provider, .. } => return policy::Principal::unaccounted(Kind::Saml { provider: provider.clone() }),
        PrincipalKind::Anonymous => return policy::Principal::anonymous(),
    };
    let mut made = policy::Principal::new(kind, principal.account.clone(), principal.arn.clone());
    made.user_id = Some(principal.principal_id.clone());
    made.tags.clone_from(&access.tags);
    made.service_linked = access.service_linked;
    made.assumed_root = principal.session.as_ref().is_some_and(|session| session.issuer_operation == "AssumeRoot");
    if principal.session.as_ref().is_some_and(|session| session.issuer_operation == "GetSessionToken") {
        made.credential = policy::Credential::SessionToken;
    }
    made
}

fn denied_code(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Query | Protocol::RestXml => "AccessDenied",
        Protocol::Ec2Query => "UnauthorizedOperation",
        Protocol::Json10 | Protocol::Json11 | Protocol::RestJson | Protocol::RpcV2Cbor => "AccessDeniedException",
    }
}

fn denied_status(protocol: Protocol) -> u16 {
    match protocol {
        Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor => 400,
        Protocol::Query | Protocol::RestXml | Protocol::Ec2Query | Protocol::RestJson => 403,
    }
}

/// A call without credentials to an operation that has no resource policy to allow it.
pub(crate) fn anonymous(call: &Call) -> ApiError {
    crate::authenticate::reply(&sigv4::SignatureError::MissingToken, call.service, call.protocol)
}

/// The error of a denial, in AWS's words: who, action, resource, which policy type, explicit or implicit.
///
/// Source: IAM User Guide, "Troubleshoot access denied error messages"; S3 User Guide, "Troubleshoot access denied (403 Forbidden) errors", for
/// its shorter form to callers of other organizations, and to all callers of other accounts where an endpoint's policy is in the way.
fn denied(
    call: &Call,
    target: &Target,
    decision: &Decision,
    owner: &str,
    control: &ControlPolicies,
    explanation: &serde_json::Value,
) -> Result<ApiError, ApiError> {
    if call.principal.is_anonymous() && call.service.head.id != "s3" {
        return Ok(anonymous(call));
    }
    let is_s3 = call.service.head.iam_prefix == "s3";
    let own_code = call.plane.service(call.service.head.id).and_then(|service| service.denied_code());
    let (code, status) = (own_code.unwrap_or(denied_code(call.protocol)), denied_status(call.protocol));
    let by_endpoint = decision.denied_by.first() == Some(&policy::PolicyType::VpcEndpoint);
    let stranger = owner != call.account && (by_endpoint || !control.are_together(&call.account, owner));
    if call.principal.is_anonymous() || (is_s3 && stranger) {
        return Ok(ApiError::new(code, "Access Denied").with_status(status));
    }
    let own_words = call.plane.service(call.service.head.id).and_then(|service| service.denied_message(call, target, owner));
    let mut message = if let Some(message) = own_words {
        message
    } else if is_s3 {
        decision.message(&call.principal.arn, &target.action, &format!("\"{}\"", target.resource_arn))
    } else {
        decision.message(&call.principal.arn, &target.action, &target.resource_arn)
    };
    if call.protocol == Protocol::Ec2Query {
        let encoded = encode_message(call, explanation)?;
        message = format!("You are not authorized to perform this operation. {message}. Encoded authorization failure message: {encoded}");
    }
    Ok(ApiError::new(code, message).with_status(status))
}

fn message_domain() -> Domain<'static> {
    Domain::new("authorization-message", "", "")
}

/// An authorization failure, sealed for `sts:DecodeAuthorizationMessage`.
fn encode_message(call: &Call, explanation: &serde_json::Value) -> Result<String, ApiError> {
    use base64::Engine as _;
    let part = |name: &str| explanation.get(name).cloned().unwrap_or_default();
    let content = json!({
        "allowed": false,
        "explicitDeny": part("explicit"),
        "matchedStatements": { "items": explanation.get("deciding").and_then(matched_statement).into_iter().collect::<Vec<_>>() },
        "failures": { "items": [] },
        "context": {
            "principal": { "id": call.principal.principal_id, "arn": call.principal.arn },
            "action": part("action"),
            "resource": part("resource"),
            "conditions": { "items": condition_items(explanation) },
        },
        "time": iso8601_s(call.now.0),
        "explanation": part("explanation"),
    });
    let sealed = call
        .plane
        .keyring
        .seal(&message_domain(), call.account.as_bytes(), content.to_string().as_bytes())
        .map_err(|error| ApiError::internal(&error))?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sealed))
}

/// The statement that denied, with its place.
fn matched_statement(deciding: &serde_json::Value) -> Option<serde_json::Value> {
    let policy_type = deciding.get("policyType").filter(|name| name.is_string())?;
    Some(json!({
        "statementId": deciding.get("sid").and_then(serde_json::Value::as_str).unwrap_or_default(),
        "effect": "DENY",
        "policyType": policy_type,
        "policyId": deciding.get("policyId").cloned().unwrap_or_default(),
        "pointer": deciding.get("pointer").cloned().unwrap_or_default(),
    }))
}

/// The condition keys of the request as the message lists them: those with a value.
fn condition_items(explanation: &serde_json::Value) -> Vec<serde_json::Value> {
    let keys = explanation.get("conditionKeys").and_then(serde_json::Value::as_object);
    let items = keys.into_iter().flatten().filter_map(|(key, values)| {
        let values: Vec<_> = values.as_array()?.iter().map(|value| json!({ "value": value })).collect();
        Some(json!({ "key": key, "values": { "items": values } }))
    });
    items.collect()
}

/// Opens what [`encode_message`] sealed for this caller's account. `None`: it is not such a message.
pub fn decode_message(call: &Call, encoded: &str) -> Option<String> {
    use base64::Engine as _;
    let sealed = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let plain = call.plane.keyring.open_record(&message_domain(), call.account.as_bytes(), &sealed).ok()?;
    String::from_utf8(plain.to_vec()).ok()
}
