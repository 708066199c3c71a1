//! Authorization cases as JSON: one question with all its policies in, one verdict out.
//!
//! The engine's debugging door: it needs no server, and the same format serves the acceptance tests. A case has
//! `id`, `principal`, `policies`, `checks` and, where one matters, `org`. Unknown members (`title`, `expect`, …) are
//! ignored. See [`Case`] for the members that count.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::change::{Change, NoChange, smallest_change};
use crate::context::MapContext;
use crate::decision::{Decision, decide};
use crate::explain::{Explanation, explain};
use crate::kms_grant::KmsGrant;
use crate::policy::{Policy, PolicyKind, ResourceKind};
use crate::policy_set::{Attached, PolicySet, PolicySource, PolicyType, ResourcePolicy};
use crate::principal::{Credential, Principal, PrincipalKind};
use crate::request::{Check, Organization, Resource};

/// One case.
#[derive(Debug, Clone, Deserialize)]
pub struct Case {
    /// Name of the case.
    #[serde(default)]
    pub id: Value,
    principal: CasePrincipal,
    #[serde(default, deserialize_with = "null_is_default")]
    policies: CasePolicies,
    checks: Vec<CaseCheck>,
    org: Option<CaseOrganization>,
}

#[derive(Debug, Clone, Deserialize)]
struct CasePrincipal {
    kind: String,
    account: Option<String>,
    arn: Option<String>,
    role: Option<String>,
    user: Option<String>,
    service: Option<String>,
    provider: Option<String>,
    user_id: Option<String>,
    canonical_user_id: Option<String>,
    credential: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    tags: Map<String, Value>,
    #[serde(default, deserialize_with = "null_is_default")]
    service_linked: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    assumed_root: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct CasePolicies {
    #[serde(default)]
    identity: OneOrMany,
    boundary: Option<Value>,
    session: Option<OneOrMany>,
    vpc_endpoint: Option<Value>,
}

#[derive(Debug, Clone, Deserialize)]
struct CaseCheck {
    action: String,
    #[serde(default, deserialize_with = "null_is_default")]
    resource: CaseResource,
    resource_policy: Option<Value>,
    resource_policy_kind: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    context: Map<String, Value>,
    request_tags: Option<Map<String, Value>>,
    encryption_context: Option<Map<String, Value>>,
    kms_grants: Option<Vec<Value>>,
    #[serde(default, deserialize_with = "null_is_default")]
    s3_restrict_public_buckets: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct CaseResource {
    arn: Option<String>,
    account: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    tags: Map<String, Value>,
    #[serde(default, deserialize_with = "null_is_default")]
    aws_managed_key: bool,
}

#[derive(Debug, Clone, Deserialize)]
struct CaseOrganization {
    id: String,
    #[serde(default, deserialize_with = "null_is_default")]
    management: String,
    #[serde(default, deserialize_with = "null_is_default")]
    accounts: HashMap<String, CaseAccount>,
}

#[derive(Debug, Clone, Deserialize)]
struct CaseAccount {
    #[serde(default, deserialize_with = "null_is_default")]
    path: String,
    scps: Option<Vec<OneOrMany>>,
    #[serde(default, deserialize_with = "null_is_default")]
    rcps: Vec<OneOrMany>,
}

/// A list of policies; one policy stands for a list of one, null for an empty one.
#[derive(Debug, Clone, Default)]
struct OneOrMany(Vec<Value>);

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Null => Vec::new(),
            Value::Array(list) => list,
            one => vec![one],
        }))
    }
}

/// A member that is null counts as a member that is missing.
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The verdict on a case.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Name of the case.
    pub id: Value,
    /// `Allow` or `Deny`.
    pub decision: &'static str,
    /// For a denial: whether a policy denies explicitly; null if it cannot be told apart, or if allowed.
    pub explicit: Option<bool>,
    /// Policy types that stand in the way.
    pub denied_by: Vec<PolicyType>,
    /// The text of the denial as AWS words it; null if allowed.
    pub message: Option<String>,
    /// One explanation for each check that was decided, the deciding one last.
    pub explanation: Vec<Explanation>,
    /// The smallest change of policies that would let the refused check pass; null if allowed, or if there is none.
    pub smallest_change: Option<Change>,
    /// Why there is no such change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_change: Option<String>,
}

/// What a line that is no case is answered with.
#[derive(Debug, Serialize)]
struct Failure {
    id: Value,
    error: String,
}

/// Decides one case given as JSON text and answers with one line of JSON. Never panics; what is no case is
/// answered with `{"id": null, "error": …}`.
pub fn decide_line(line: &str) -> String {
    let value = match serde_json::from_str::<Value>(line) {
        Ok(value) => value,
        Err(error) => return failure(Value::Null, format!("the case is not JSON: {error}")),
    };
    let id = value.get("id").cloned().unwrap_or_default();
    let verdict =
        serde_json::from_value::<Case>(value).map_err(|error| format!("the case has another form: {error}")).and_then(|case| case.decide());
    match verdict {
        Ok(verdict) => {
            serde_json::to_string(&verdict).unwrap_or_else(|error| failure(id, format!("the verdict cannot be written: {error}")))
        }
        Err(error) => failure(id, error),
    }
}

fn failure(id: Value, error: String) -> String {
    serde_json::to_string(&Failure { id, error }).unwrap_or_default()
}

/// Reads cases from one JSON array, or from one JSON object a line.
pub fn parse(text: &str) -> Result<Vec<Case>, serde_json::Error> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text);
    }
    serde_json::Deserializer::from_str(text).into_iter::<Case>().collect()
}

/// What each check of a case is decided with.
struct Question<'a> {
    principal: &'a Principal,
    check: Check,
    policies: PolicySet,
    context: MapContext,
    organization: Option<&'a Organization>,
}

impl Question<'_> {
    fn decide(&self) -> Decision {
        decide(self.principal, &self.check, &self.policies, &self.context, self.organization)
    }

    fn explain(&self) -> Explanation {
        explain(self.principal, &self.check, &self.policies, &self.context, self.organization)
    }

    fn smallest_change(&self) -> Result<Change, NoChange> {
        smallest_change(self.principal, &self.check, &self.policies, &self.context, self.organization)
    }

    fn message(&self, decision: &Decision) -> String {
        let name = match &self.principal.kind {
            PrincipalKind::Service { name } => name,
            PrincipalKind::WebIdentity { provider } | PrincipalKind::Saml { provider } => provider,
            PrincipalKind::Anonymous => "anonymous",
            _ => &self.principal.arn,
        };
        decision.message(name, self.check.action(), &self.check.resource.arn)
    }
}

impl Case {
    /// Decides the checks in order; the first that fails decides the case.
    pub fn decide(&self) -> Result<Verdict, String> {
        let mut explanation = Vec::new();
        let refused = self.first_refusal(
            &mut Compiled::default(),
            |question| explanation.push(question.explain()),
            |question, decision| (question.message(&decision), question.smallest_change(), decision),
        )?;
        let Some((message, change, decision)) = refused else {
            let denied_by = Vec::new();
            return Ok(Verdict {
                id: self.id.clone(),
                decision: "Allow",
                explicit: None,
                denied_by,
                message: None,
                explanation,
                smallest_change: None,
                no_change: None,
            });
        };
        Ok(Verdict {
            id: self.id.clone(),
            decision: "Deny",
            explicit: decision.explicit,
            denied_by: decision.denied_by,
            message: Some(message),
            explanation,
            no_change: change.as_ref().err().map(ToString::to_string),
            smallest_change: change.ok(),
        })
    }

    /// As [`Case::decide`], with the decision of the first refused check alone; `None` if all checks pass.
    pub fn refusal(&self) -> Result<Option<Decision>, String> {
        self.refusal_with(&mut Compiled::default())
    }

    /// As [`Case::refusal`], with a memory of compiled policies.
    pub fn refusal_with(&self, compiled: &mut Compiled) -> Result<Option<Decision>, String> {
        self.first_refusal(compiled, |_| (), |_, decision| decision)
    }

    fn first_refusal<T>(
        &self,
        compiled: &mut Compiled,
        mut each: impl FnMut(&Question<'_>),
        refused: impl FnOnce(&Question<'_>, Decision) -> T,
    ) -> Result<Option<T>, String> {
        let principal = self.principal.build()?;
        let organization = self.org.as_ref().map(CaseOrganization::build);
        for case_check in &self.checks {
            let check = case_check.build();
            let question = Question {
                principal: &principal,
                policies: self.policy_set(case_check, &check, &principal, compiled)?,
                check,
                context: context(&case_check.context),
                organization: organization.as_ref(),
            };
            each(&question);
            let decision = question.decide();
            if !decision.allowed {
                return Ok(Some(refused(&question, decision)));
            }
        }
        Ok(None)
    }

    fn policy_set(
        &self,
        case_check: &CaseCheck,
        check: &Check,
        principal: &Principal,
        compiled: &mut Compiled,
    ) -> Result<PolicySet, String> {
        let policies = &self.policies;
        let own = principal.account.as_deref();
        let account = |number: Option<&str>| {
            let organization = self.org.as_ref()?;
            organization.accounts.get(number?)
        };
        Ok(PolicySet {
            identity: compiled.attach_all("identity", &policies.identity, PolicyKind::Identity),
            boundary: compiled.optional("boundary", policies.boundary.as_ref(), PolicyKind::Boundary),
            session: policies
                .session
                .as_ref()
                .map(|list| compiled.attach_all("session", list, PolicyKind::Session))
                .or_else(|| principal.assumed_root.then(implied_task_policy)),
            vpc_endpoint: compiled.optional("vpc_endpoint", policies.vpc_endpoint.as_ref(), PolicyKind::VpcEndpoint),
            service_control: account(own)
                .and_then(|account| account.scps.as_ref())
                .map(|levels| compiled.attach_levels("scp", levels, PolicyKind::ServiceControl)),
            resource_control: account(check.resource.account.as_deref().or(own))
                .map(|account| compiled.attach_levels("rcp", &account.rcps, PolicyKind::ResourceControl))
                .unwrap_or_default(),
            resource: case_check.resource_policy(compiled)?,
            kms_grants: case_check.kms_grants.iter().flatten().map(kms_grant).collect::<Result<_, _>>()?,
            s3_restrict_public_buckets: case_check.s3_restrict_public_buckets,
        })
    }
}

impl CasePrincipal {
    fn build(&self) -> Result<Principal, String> {
        let kind = self.kind()?;
        let arn = self.arn.clone().unwrap_or_default();
        let account = self.account.clone().or_else(|| crate::arn::account_of(&arn).map(str::to_owned));
        Ok(Principal {
            account,
            arn,
            user_id: self.user_id.clone(),
            canonical_user_id: self.canonical_user_id.clone(),
            tags: pairs(&self.tags),
            service_linked: self.service_linked,
            assumed_root: self.assumed_root,
            credential: match self.credential.as_deref() {
                Some("session-token") => Credential::SessionToken,
                _ => Credential::Ordinary,
            },
            ..Principal::unaccounted(kind)
        })
    }

    fn kind(&self) -> Result<PrincipalKind, String> {
        let need =
            |name: &str, value: &Option<String>| value.clone().ok_or_else(|| format!("a principal of kind `{}` needs `{name}`", self.kind));
        Ok(match self.kind.as_str() {
            "user" => PrincipalKind::User,
            "role-session" => PrincipalKind::RoleSession { role_arn: need("role", &self.role)? },
            "federated-user" => PrincipalKind::FederatedUser { user_arn: need("user", &self.user)? },
            "root" => PrincipalKind::Root,
            "service" => PrincipalKind::Service { name: need("service", &self.service)? },
            "anonymous" => PrincipalKind::Anonymous,
            "web-identity" => PrincipalKind::WebIdentity { provider: need("provider", &self.provider)? },
            "saml" => PrincipalKind::Saml { provider: need("provider", &self.provider)? },
            other => return Err(format!("unknown kind of principal `{other}`")),
        })
    }
}

impl CaseCheck {
    fn build(&self) -> Check {
        let resource = &self.resource;
        let mut check = Check::new(
            &self.action,
            Resource {
                arn: resource.arn.clone().unwrap_or_else(|| "*".to_owned()),
                account: resource.account.clone(),
                tags: pairs(&resource.tags),
                aws_managed_key: resource.aws_managed_key,
            },
        );
        check.request_tags = self.request_tags.as_ref().map(pairs);
        check.encryption_context = self.encryption_context.as_ref().map(pairs).unwrap_or_default();
        check
    }

    fn resource_policy(&self, compiled: &mut Compiled) -> Result<ResourcePolicy, String> {
        let kind = match self.resource_policy_kind.as_deref() {
            None | Some("standard") => PolicyKind::Resource(ResourceKind::Standard),
            Some("trust") => PolicyKind::Trust,
            Some("kms") => PolicyKind::KeyPolicy,
            Some(other) => return Err(format!("unknown kind of resource policy `{other}`")),
        };
        let document = self.resource_policy.as_ref();
        Ok(match compiled.optional("resource", document, kind) {
            Some(attached) => ResourcePolicy::new(attached),
            None if kind == PolicyKind::KeyPolicy => ResourcePolicy::KeyWithoutPolicy,
            None if kind == PolicyKind::Trust => ResourcePolicy::TrustMissing,
            None => ResourcePolicy::Absent,
        })
    }
}

impl CaseOrganization {
    fn build(&self) -> Organization {
        Organization {
            id: self.id.clone(),
            management_account: self.management.clone(),
            paths: self.accounts.iter().map(|(number, account)| (number.clone(), account.path.clone())).collect(),
            ..Organization::default()
        }
    }
}

/// `FullAWSAccess` and `RCPFullAWSAccess` stand for the policies of that name.
const FULL_AWS_ACCESS: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
const RCP_FULL_AWS_ACCESS: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;

/// Compiled policies by their kind and text, for those who decide many cases with the same ones.
#[derive(Debug, Default)]
pub struct Compiled(HashMap<(PolicyKind, String), Arc<Policy>>);

impl Compiled {
    fn policy(&mut self, kind: PolicyKind, text: String) -> Arc<Policy> {
        let compile = |key: &(PolicyKind, String)| Arc::new(Policy::parse_stored(&key.1, kind));
        Arc::clone(self.0.entry((kind, text)).or_insert_with_key(compile))
    }

    fn attach(&mut self, id: String, document: &Value, kind: PolicyKind) -> Attached {
        let (id, text) = match document.as_str() {
            Some(name @ "FullAWSAccess") => (name.to_owned(), FULL_AWS_ACCESS.to_owned()),
            Some(name @ "RCPFullAWSAccess") => (name.to_owned(), RCP_FULL_AWS_ACCESS.to_owned()),
            Some(text) => (id, text.to_owned()),
            None => (id, document.to_string()),
        };
        Attached::new(id, PolicySource::None, self.policy(kind, text))
    }

    fn attach_all(&mut self, name: &str, documents: &OneOrMany, kind: PolicyKind) -> Vec<Attached> {
        documents.0.iter().enumerate().map(|(at, document)| self.attach(format!("{name}[{at}]"), document, kind)).collect()
    }

    fn attach_levels(&mut self, name: &str, levels: &[OneOrMany], kind: PolicyKind) -> Vec<Vec<Attached>> {
        levels.iter().enumerate().map(|(level, documents)| self.attach_all(&format!("{name}[{level}]"), documents, kind)).collect()
    }

    fn optional(&mut self, name: &str, document: Option<&Value>, kind: PolicyKind) -> Option<Attached> {
        let document = document.filter(|document| !document.is_null())?;
        Some(self.attach(name.to_owned(), document, kind))
    }
}

/// A case that leaves out the task policy of an AssumeRoot session is about something else.
fn implied_task_policy() -> Vec<Attached> {
    let policy = Policy::parse_stored(FULL_AWS_ACCESS, PolicyKind::Session);
    vec![Attached::new("task policy", PolicySource::AwsManaged, Arc::new(policy))]
}

/// The text of a JSON value: strings as they are, everything else as JSON writes it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn pairs(map: &Map<String, Value>) -> Vec<(String, String)> {
    map.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn context(entries: &Map<String, Value>) -> MapContext {
    let mut context = MapContext::new();
    for (name, value) in entries {
        match value {
            Value::Null => {}
            Value::Array(list) => {
                context.set_many(name, list.iter().map(text));
            }
            other => {
                context.set(name, text(other));
            }
        }
    }
    context
}

/// Reads a grant with the member names of the KMS API or their snake_case forms, the constraints inside of
/// `constraints` or beside the other members.
fn kms_grant(value: &Value) -> Result<KmsGrant, String> {
    let mut members: HashMap<String, &Value> = HashMap::new();
    collect_members(value, &mut members);
    let one = |names: &[&str]| names.iter().find_map(|name| members.get(*name)?.as_str().map(str::to_owned));
    let map = |names: [&str; 3]| names.iter().find_map(|name| members.get(*name)?.as_object().map(pairs));
    let grantee =
        one(&["granteeprincipal", "granteeserviceprincipal", "grantee", "principal"]).ok_or("a grant needs `grantee_principal`")?;
    let operations = match members.get("operations") {
        Some(Value::Array(list)) => list.iter().map(text).collect(),
        Some(Value::String(one)) => vec![one.clone()],
        _ => return Err("a grant needs `operations`".to_owned()),
    };
    Ok(KmsGrant {
        id: one(&["grantid", "id"]).unwrap_or_default(),
        grantee,
        operations,
        encryption_context_subset: map(["encryptioncontextsubset", "contextsubset", "subset"]),
        encryption_context_equals: map(["encryptioncontextequals", "contextequals", "equals"]),
        source_arn: one(&["sourcearn"]),
        retiring_principal: one(&["retiringprincipal", "retiringserviceprincipal"]),
        ..KmsGrant::default()
    })
}

fn collect_members<'a>(value: &'a Value, members: &mut HashMap<String, &'a Value>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let plain = name.replace('_', "").to_lowercase();
        if plain == "constraints" {
            collect_members(value, members);
        } else {
            members.insert(plain, value);
        }
    }
}
