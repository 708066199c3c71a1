//! The policy simulator, on the engine that decides real calls.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api_iam::{
    AttachmentType, ContextEntry, ContextKeyTypeEnum, EvaluationResult, GetContextKeysForCustomPolicyInput,
    GetContextKeysForCustomPolicyOutput, GetContextKeysForPrincipalPolicyInput, GetContextKeysForPrincipalPolicyOutput,
    OrderedOrganizationPolicyType, OrganizationsDecisionDetail, PermissionsBoundaryDecisionDetail, PolicyEvaluationDecisionType,
    PolicyIdentifier, PolicyIdentifierPolicyType, PolicySourceType, Position, ResourceSpecificResult, SimulateCustomPolicyInput,
    SimulateCustomPolicyOutput, SimulatePrincipalPolicyInput, SimulatePrincipalPolicyOutput, Statement,
};
use plane::clock::iso8601_s;
use plane::{ApiError, Call};
use policy::{
    Attached, Check, Decision, Effect, Explanation, MapContext, Organization, Policy, PolicyKind, PolicySet, PolicySource, PolicyType,
    Principal, PrincipalKind, Resource, ResourceKind, ResourcePolicy,
};

use crate::directory;
use crate::entity::{self, Entity, GroupRecord, RoleRecord, UserRecord};
use crate::error::IamError;
use crate::identifier::{self, IamArn};
use crate::{group, managed_policy, page};

/// Most action and resource pairs of one simulation.
const PAIRS: usize = 10_000;

fn invalid(text: impl Into<String>) -> ApiError {
    IamError::InvalidInput(text.into()).into()
}

/// A policy of the principal, with whose it is: exclusions name both.
struct Owned {
    attached: Attached,
    owner_kind: AttachmentType,
    owner_name: String,
}

/// Everything that a simulation is asked with.
struct Simulation {
    principal: Principal,
    policies: PolicySet,
    organization: Option<Arc<Organization>>,
    context: MapContext,
    actions: Vec<String>,
    resources: Vec<String>,
    resource_account: String,
    /// The resources belong to one call together.
    is_scenario: bool,
}

fn parsed(texts: &[String], kind: PolicyKind, list: &str) -> Result<Vec<Attached>, ApiError> {
    let parse = |(at, text): (usize, &String)| {
        let policy = Policy::parse(text, kind).map_err(|error| invalid(error.message))?;
        Ok(Attached::new(format!("{list}.{}", at.saturating_add(1)), PolicySource::None, Arc::new(policy)))
    };
    texts.iter().enumerate().map(parse).collect()
}

/// The boundary that replaces the principal's own.
fn given_boundary(texts: Option<&Vec<String>>) -> Result<Option<Attached>, ApiError> {
    let texts = texts.map(Vec::as_slice).unwrap_or_default();
    if texts.len() > 1 {
        return Err(invalid("PermissionsBoundaryPolicyInputList can have one policy."));
    }
    Ok(parsed(texts, PolicyKind::Boundary, "PermissionsBoundaryPolicyInputList")?.pop())
}

fn levels(ordered: Option<&Vec<OrderedOrganizationPolicyType>>) -> Result<Option<Vec<Vec<Attached>>>, ApiError> {
    let Some(ordered) = ordered.filter(|ordered| !ordered.is_empty()) else { return Ok(None) };
    let level = |(at, level): (usize, &OrderedOrganizationPolicyType)| {
        let texts = level.service_control_policy_input_list.as_deref().unwrap_or_default();
        parsed(texts, PolicyKind::ServiceControl, &format!("OrderedOrganizationPolicyInputList.{}", at.saturating_add(1)))
    };
    ordered.iter().enumerate().map(level).collect::<Result<Vec<_>, _>>().map(Some)
}

/// What both simulations take beside the principal's policies.
struct Request<'a> {
    action_names: &'a [String],
    resource_arns: Option<&'a Vec<String>>,
    resource_policy: Option<&'a String>,
    resource_owner: Option<&'a String>,
    context_entries: Option<&'a Vec<ContextEntry>>,
    resource_handling_option: Option<&'a String>,
}

impl Simulation {
    fn new(
        cx: &Call,
        principal: Principal,
        policies: PolicySet,
        organization: Option<Arc<Organization>>,
        request: &Request<'_>,
    ) -> Result<Self, ApiError> {
        for action in request.action_names {
            if !action.contains(':') || action.contains(['*', '?']) {
                return Err(invalid(format!("Invalid action name: {action}")));
            }
        }
        let resources = match request.resource_arns {
            Some(arns) if !arns.is_empty() => arns.clone(),
            _ => vec!["*".to_owned()],
        };
        if request.action_names.len().saturating_mul(resources.len()) > PAIRS {
            return Err(invalid(format!("A simulation can have at most {PAIRS} pairs of action and resource.")));
        }
        let is_scenario = match request.resource_handling_option {
            Some(option) => {
                scenario(option, request.action_names, &resources)?;
                true
            }
            None => false,
        };
        let mut policies = policies;
        if let Some(text) = request.resource_policy {
            let texts = std::slice::from_ref(text);
            let mut attached = parsed(texts, PolicyKind::Resource(ResourceKind::Standard), "ResourcePolicy")?;
            policies.resource = attached.pop().map_or(ResourcePolicy::Absent, |attached| {
                ResourcePolicy::new(Attached { source: PolicySource::Resource, id: "ResourcePolicy".into(), ..attached })
            });
        }
        let given = organization;
        let organization = (given.is_none() && policies.service_control.is_some()).then(|| Organization {
            id: "o-simulation".to_owned(),
            management_account: String::new(),
            paths: HashMap::from([(principal.account.clone().unwrap_or_default(), "o-simulation/".to_owned())]),
            ..Organization::default()
        });
        let organization = given.or_else(|| organization.map(Arc::new));
        Ok(Self {
            resource_account: owner(request.resource_owner, &cx.account)?,
            context: context(cx, request.context_entries.map(Vec::as_slice).unwrap_or_default())?,
            actions: request.action_names.to_vec(),
            resources,
            principal,
            policies,
            organization,
            is_scenario,
        })
    }

    fn results(&self) -> Vec<EvaluationResult> {
        let each =
            |action: &String| -> Vec<EvaluationResult> { self.resources.iter().map(|resource| self.result(action, resource)).collect() };
        if self.is_scenario {
            return self.actions.iter().filter_map(|action| together(each(action))).collect();
        }
        self.actions.iter().flat_map(each).collect()
    }

    fn check(&self, action: &str, resource: &str) -> Check {
        let account = policy::account_of(resource).filter(|account| identifier::is_account_id(account));
        let account = account.unwrap_or(&self.resource_account).to_owned();
        Check::new(action, Resource { arn: resource.to_owned(), account: Some(account), ..Resource::default() })
    }

    fn decide(&self, check: &Check, policies: &PolicySet) -> Decision {
        policy::decide(&self.principal, check, policies, &self.context, self.organization.as_deref())
    }

    fn result(&self, action: &str, resource: &str) -> EvaluationResult {
        let check = self.check(action, resource);
        let decision = self.decide(&check, &self.policies);
        let explanation = policy::explain(&self.principal, &check, &self.policies, &self.context, self.organization.as_deref());
        let matched_statements = Some(matched(&decision, &explanation));
        let missing_context_values = Some(self.missing(&check));
        let permissions_boundary_decision_detail = self.boundary(&check);
        let eval_decision_details = self.sides(&check);
        let specific = ResourceSpecificResult {
            eval_resource_name: resource.to_owned(),
            eval_resource_decision: verdict(&decision),
            matched_statements: matched_statements.clone(),
            missing_context_values: missing_context_values.clone(),
            eval_decision_details: eval_decision_details.clone(),
            permissions_boundary_decision_detail: permissions_boundary_decision_detail.clone(),
        };
        EvaluationResult {
            eval_action_name: action.to_owned(),
            eval_resource_name: Some(resource.to_owned()),
            eval_decision: verdict(&decision),
            matched_statements,
            missing_context_values,
            organizations_decision_detail: self.organizations(&check),
            permissions_boundary_decision_detail,
            eval_decision_details,
            resource_specific_results: (resource != "*").then(|| vec![specific]),
        }
    }

    /// What each side says where caller and resource are of different accounts. Within one account the answer is empty, without a
    /// resource there is none.
    ///
    /// Source: IAM API Reference, EvaluationResult.
    fn sides(&self, check: &Check) -> Option<BTreeMap<String, PolicyEvaluationDecisionType>> {
        if check.resource.arn == "*" {
            return None;
        }
        let (caller, owner) = (self.principal.account.as_deref(), check.resource.account.as_deref());
        if caller == owner {
            return Some(BTreeMap::new());
        }
        let own = PolicySet { resource: ResourcePolicy::Absent, ..self.policies.clone() };
        let own_check = Check::new(check.action(), Resource { account: caller.map(str::to_owned), ..check.resource.clone() });
        let everything = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        let everything = plane::authorize::compiled(PolicyKind::Identity, everything);
        let other = PolicySet {
            identity: vec![Attached::new("everything", PolicySource::None, everything)],
            resource: self.policies.resource.clone(),
            ..PolicySet::default()
        };
        Some(BTreeMap::from([
            ("IAM Policy".to_owned(), verdict(&self.decide(&own_check, &own))),
            ("Resource Policy".to_owned(), verdict(&self.decide(check, &other))),
        ]))
    }

    /// Whether the boundary alone would allow it.
    fn boundary(&self, check: &Check) -> Option<PermissionsBoundaryDecisionDetail> {
        let boundary = self.policies.boundary.clone()?;
        let alone = PolicySet { identity: vec![boundary], ..PolicySet::default() };
        Some(PermissionsBoundaryDecisionDetail { allowed_by_permissions_boundary: Some(self.decide(check, &alone).allowed) })
    }

    /// Whether the service control policies let it through.
    fn organizations(&self, check: &Check) -> Option<OrganizationsDecisionDetail> {
        let levels = self.policies.service_control.clone()?;
        let alone = PolicySet { service_control: Some(levels), ..PolicySet::default() };
        let stopped = self.decide(check, &alone).denied_by.contains(&PolicyType::ServiceControl);
        Some(OrganizationsDecisionDetail { allowed_by_organizations: Some(!stopped) })
    }

    /// Keys that the policies ask for and nothing answers.
    fn missing(&self, check: &Check) -> Vec<String> {
        let keys = policy::missing_keys(&self.principal, check, &self.policies, &self.context, self.organization.as_deref());
        keys.into_iter().map(str::to_owned).collect()
    }
}

/// One result of the results for the resources of one call: allowed if all are.
fn together(results: Vec<EvaluationResult>) -> Option<EvaluationResult> {
    let rank = |decision: &PolicyEvaluationDecisionType| match decision {
        PolicyEvaluationDecisionType::Allowed => 0,
        PolicyEvaluationDecisionType::ImplicitDeny => 1,
        _ => 2,
    };
    let specific: Vec<ResourceSpecificResult> =
        results.iter().flat_map(|result| result.resource_specific_results.clone().unwrap_or_default()).collect();
    let mut missing: Vec<String> = results.iter().flat_map(|result| result.missing_context_values.clone().unwrap_or_default()).collect();
    missing.sort_unstable();
    missing.dedup();
    let worst = results.into_iter().max_by_key(|result| rank(&result.eval_decision))?;
    Some(EvaluationResult { missing_context_values: Some(missing), resource_specific_results: Some(specific), ..worst })
}

/// The scenarios of RunInstances, with the types of resources that each needs in `ResourceArns`.
///
/// Source: IAM API Reference, SimulateCustomPolicy, `ResourceHandlingOption`.
const SCENARIOS: [(&str, &[&str]); 6] = [
    ("EC2-Classic-InstanceStore", &["instance/", "image/", "security-group/"]),
    ("EC2-Classic-EBS", &["instance/", "image/", "security-group/", "volume/"]),
    ("EC2-VPC-InstanceStore", &["instance/", "image/", "security-group/", "network-interface/"]),
    ("EC2-VPC-InstanceStore-Subnet", &["instance/", "image/", "security-group/", "network-interface/", "subnet/"]),
    ("EC2-VPC-EBS", &["instance/", "image/", "security-group/", "network-interface/", "volume/"]),
    ("EC2-VPC-EBS-Subnet", &["instance/", "image/", "security-group/", "network-interface/", "subnet/", "volume/"]),
];

fn scenario(option: &str, actions: &[String], resources: &[String]) -> Result<(), ApiError> {
    let Some((_, needed)) = SCENARIOS.iter().find(|(name, _)| *name == option) else {
        return Err(invalid(format!("Invalid resource handling option: {option}")));
    };
    if !actions.iter().all(|action| action.eq_ignore_ascii_case("ec2:RunInstances")) {
        return Err(invalid("ResourceHandlingOption can be used with ec2:RunInstances only."));
    }
    let has = |kind: &str| resources.iter().any(|arn| policy::resource_of(arn).is_some_and(|resource| resource.starts_with(kind)));
    match needed.iter().find(|kind| !has(kind)) {
        Some(kind) => Err(invalid(format!("The scenario {option} needs a resource of type {}.", kind.trim_end_matches('/')))),
        None => Ok(()),
    }
}

fn verdict(decision: &Decision) -> PolicyEvaluationDecisionType {
    match (decision.allowed, decision.explicit) {
        (true, _) => PolicyEvaluationDecisionType::Allowed,
        (false, Some(true)) => PolicyEvaluationDecisionType::ExplicitDeny,
        (false, _) => PolicyEvaluationDecisionType::ImplicitDeny,
    }
}

/// The statements that made the decision: those that deny an explicit denial, those that allow what is allowed, none otherwise.
fn matched(decision: &Decision, explanation: &Explanation) -> Vec<Statement> {
    let effect = match verdict(decision) {
        PolicyEvaluationDecisionType::Allowed => Effect::Allow,
        PolicyEvaluationDecisionType::ExplicitDeny => Effect::Deny,
        _ => return Vec::new(),
    };
    let mut matched = Vec::new();
    for trace in &explanation.policies {
        for statement in trace.statements.iter().filter(|statement| statement.matched && statement.effect == effect) {
            matched.push(Statement {
                source_policy_id: Some(trace.policy_id.clone()),
                source_policy_type: Some(source_type(trace.source)),
                start_position: Some(position(statement.span.start)),
                end_position: Some(position(statement.span.end)),
            });
        }
    }
    matched
}

fn source_type(source: PolicySource) -> PolicySourceType {
    match source {
        PolicySource::User => PolicySourceType::User,
        PolicySource::Group => PolicySourceType::Group,
        PolicySource::Role => PolicySourceType::Role,
        PolicySource::AwsManaged => PolicySourceType::AwsManaged,
        PolicySource::UserManaged => PolicySourceType::UserManaged,
        PolicySource::Resource => PolicySourceType::Resource,
        PolicySource::None => PolicySourceType::None,
    }
}

fn position(position: policy::Position) -> Position {
    let number = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
    Position { line: Some(number(position.line)), column: Some(number(position.column)) }
}

/// Account of resources whose ARN names none.
fn owner(resource_owner: Option<&String>, own: &str) -> Result<String, ApiError> {
    let Some(text) = resource_owner else { return Ok(own.to_owned()) };
    let account = if identifier::is_account_id(text) { Some(text.as_str()) } else { policy::account_of(text) };
    account.map(str::to_owned).ok_or_else(|| invalid(format!("Invalid resource owner: {text}")))
}

/// Context keys of the request; the time is known without being told.
fn context(cx: &Call, entries: &[ContextEntry]) -> Result<MapContext, ApiError> {
    let mut context = MapContext::new();
    context.set("aws:CurrentTime", iso8601_s(cx.now.0));
    context.set("aws:EpochTime", (cx.now.0 / 1000).to_string());
    for entry in entries {
        let name = entry.context_key_name.as_deref().ok_or_else(|| invalid("ContextKeyName is missing."))?;
        let values = entry.context_key_values.clone().unwrap_or_default();
        check_values(name, entry.context_key_type.as_ref(), &values)?;
        let kind = entry.context_key_type.as_ref().unwrap_or(&ContextKeyTypeEnum::String);
        if kind.as_str().ends_with("List") {
            context.set_many(name, values);
            continue;
        }
        match values.as_slice() {
            [value] => context.set(name, value.clone()),
            _ => return Err(invalid(format!("The context key {name} of type {kind} needs exactly one value."))),
        };
    }
    Ok(context)
}

/// Values of a context key must be of the type that is said.
fn check_values(name: &str, kind: Option<&ContextKeyTypeEnum>, values: &[String]) -> Result<(), ApiError> {
    let fits: fn(&str) -> bool = match kind {
        Some(ContextKeyTypeEnum::Numeric | ContextKeyTypeEnum::NumericList) => {
            |value| value.trim().parse::<f64>().is_ok_and(f64::is_finite)
        }
        Some(ContextKeyTypeEnum::Boolean | ContextKeyTypeEnum::BooleanList) => {
            |value| value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
        }
        Some(ContextKeyTypeEnum::Date | ContextKeyTypeEnum::DateList) => |value| policy::parse_date(value).is_some(),
        Some(ContextKeyTypeEnum::Ip | ContextKeyTypeEnum::IpList) => {
            |value| value.split('/').next().is_some_and(|address| address.parse::<std::net::IpAddr>().is_ok())
        }
        _ => |_| true,
    };
    match values.iter().find(|value| !fits(value)) {
        Some(value) => Err(invalid(format!("Invalid value for the context key {name}: {value}"))),
        None => Ok(()),
    }
}

fn invalid_entity(arn: &str) -> ApiError {
    invalid(format!("Invalid Entity Arn: {arn} does not clearly define entity type and name."))
}

/// The user that a simulation takes as its caller.
fn caller(arn: &str) -> Result<Principal, ApiError> {
    let parsed = IamArn::parse(arn).filter(|parsed| parsed.resource_type == "user").ok_or_else(|| invalid_entity(arn))?;
    Ok(Principal::new(PrincipalKind::User, parsed.account, arn))
}

/// Somebody of the account of whom nothing else is known.
fn nobody(account: &str) -> Principal {
    Principal::new(PrincipalKind::User, account, "")
}

pub(crate) async fn simulate_custom_policy(
    cx: &mut Call,
    input: SimulateCustomPolicyInput,
) -> Result<SimulateCustomPolicyOutput, ApiError> {
    if input.resource_policy.is_some() && input.caller_arn.is_none() {
        return Err(invalid("CallerArn is needed with ResourcePolicy."));
    }
    let policies = PolicySet {
        identity: parsed(&input.policy_input_list, PolicyKind::Identity, "PolicyInputList")?,
        boundary: given_boundary(input.permissions_boundary_policy_input_list.as_ref())?,
        service_control: levels(input.ordered_organization_policy_input_list.as_ref())?,
        ..PolicySet::default()
    };
    let principal = input.caller_arn.as_deref().map_or_else(|| Ok(nobody(&cx.account)), caller)?;
    let request = Request {
        action_names: &input.action_names,
        resource_arns: input.resource_arns.as_ref(),
        resource_policy: input.resource_policy.as_ref(),
        resource_owner: input.resource_owner.as_ref(),
        context_entries: input.context_entries.as_ref(),
        resource_handling_option: input.resource_handling_option.as_ref(),
    };
    let simulation = Simulation::new(cx, principal, policies, None, &request)?;
    let page = cut(cx, &simulation, input.marker.as_deref(), input.max_items)?;
    Ok(SimulateCustomPolicyOutput { evaluation_results: Some(page.items), is_truncated: Some(page.next.is_some()), marker: page.next })
}

fn cut(
    cx: &Call,
    simulation: &Simulation,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<plane::page::Page<EvaluationResult>, ApiError> {
    let filter = format!("{:?} {:?}", simulation.actions, simulation.resources);
    let numbered: Vec<_> = simulation.results().into_iter().enumerate().collect();
    let page = page::cut(cx, numbered, |(at, _)| format!("{at:08}"), &filter, marker, max_items)?;
    Ok(plane::page::Page { items: page.items.into_iter().map(|(_, result)| result).collect(), next: page.next })
}

/// A principal of the account, with its policies.
struct Source {
    principal: Principal,
    policies: Vec<Owned>,
    boundary: Option<Attached>,
}

async fn owned<E: Entity>(cx: &mut Call, entity: &E, owner_kind: &AttachmentType) -> Result<Vec<Owned>, ApiError> {
    let attached = directory::attached(&mut cx.tx, entity).await?;
    let owner_name = &entity.head().name;
    Ok(attached.into_iter().map(|attached| Owned { attached, owner_kind: owner_kind.clone(), owner_name: owner_name.clone() }).collect())
}

async fn boundary(cx: &mut Call, arn: Option<&String>) -> Result<Option<Attached>, ApiError> {
    match arn {
        Some(arn) => directory::managed(&mut cx.tx, arn, PolicyKind::Boundary).await.map(Some),
        None => Ok(None),
    }
}

async fn source(cx: &mut Call, arn: &str) -> Result<Source, ApiError> {
    let parsed = IamArn::parse(arn).ok_or_else(|| invalid_entity(arn))?;
    if parsed.account != cx.account {
        return Err(invalid_entity(arn));
    }
    match parsed.resource_type {
        "user" => {
            let user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, parsed.name).await?;
            let mut policies = owned(cx, &user, &AttachmentType::User).await?;
            for group in group::groups_of(cx, &user).await? {
                policies.extend(owned(cx, &group, &AttachmentType::Group).await?);
            }
            let mut principal = Principal::new(PrincipalKind::User, cx.account.clone(), user.arn(&cx.account));
            principal.user_id = Some(user.head.id.clone());
            principal.tags = user.tags;
            Ok(Source { principal, policies, boundary: boundary(cx, user.boundary.as_ref()).await? })
        }
        "role" => {
            let role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, parsed.name).await?;
            let policies = owned(cx, &role, &AttachmentType::Role).await?;
            let kind = PrincipalKind::RoleSession { role_arn: role.arn(&cx.account) };
            let session = identifier::assumed_role_arn(&cx.account, &role.head.name, "simulation");
            let mut principal = Principal::new(kind, cx.account.clone(), session);
            principal.user_id = Some(format!("{}:simulation", role.head.id));
            principal.tags = role.tags;
            Ok(Source { principal, policies, boundary: boundary(cx, role.boundary.as_ref()).await? })
        }
        "group" => {
            let group = entity::load::<GroupRecord>(&mut cx.tx, &cx.account, parsed.name).await?;
            let policies = owned(cx, &group, &AttachmentType::Group).await?;
            Ok(Source { principal: nobody(&cx.account), policies, boundary: None })
        }
        _ => Err(invalid_entity(arn)),
    }
}

/// Whether an exclusion names this policy.
fn excludes(exclusion: &PolicyIdentifier, owned: &Owned) -> bool {
    let is_managed = owned.attached.id.starts_with("arn:");
    match exclusion {
        PolicyIdentifier::PolicyType(PolicyIdentifierPolicyType::Inline) => !is_managed,
        PolicyIdentifier::PolicyType(PolicyIdentifierPolicyType::AwsManaged) => managed_policy::is_aws_managed(&owned.attached.id),
        PolicyIdentifier::PolicyType(PolicyIdentifierPolicyType::UserManaged) => {
            is_managed && !managed_policy::is_aws_managed(&owned.attached.id)
        }
        PolicyIdentifier::PolicyArn(arn) => is_managed && *owned.attached.id == **arn,
        PolicyIdentifier::InlinePolicyIdentifier(inline) => {
            !is_managed
                && inline.attachment_type == owned.owner_kind
                && inline.attachment_name == owned.owner_name
                && *owned.attached.id == *inline.policy_name
        }
        PolicyIdentifier::PolicyType(_) | PolicyIdentifier::Unknown => false,
    }
}

pub(crate) async fn simulate_principal_policy(
    cx: &mut Call,
    input: SimulatePrincipalPolicyInput,
) -> Result<SimulatePrincipalPolicyOutput, ApiError> {
    let mut source = source(cx, &input.policy_source_arn).await?;
    let exclusions = input.policy_exclusion_list.unwrap_or_default();
    source.policies.retain(|owned| !exclusions.iter().any(|exclusion| excludes(exclusion, owned)));
    let without_boundary = PolicyIdentifier::PolicyType(PolicyIdentifierPolicyType::PermissionBoundary);
    if exclusions.contains(&without_boundary) {
        source.boundary = None;
    }
    let mut identity: Vec<Attached> = source.policies.into_iter().map(|owned| owned.attached).collect();
    let more = input.policy_input_list.unwrap_or_default();
    identity.extend(parsed(&more, PolicyKind::Identity, "PolicyInputList")?);
    let boundary = given_boundary(input.permissions_boundary_policy_input_list.as_ref())?.or(source.boundary);
    let mut principal = source.principal;
    if let Some(arn) = input.caller_arn.as_deref().filter(|arn| *arn != principal.arn) {
        principal = caller(arn)?;
    } else if input.resource_policy.is_some() && principal.arn.is_empty() {
        return Err(invalid("CallerArn is needed with ResourcePolicy."));
    }
    let request = Request {
        action_names: &input.action_names,
        resource_arns: input.resource_arns.as_ref(),
        resource_policy: input.resource_policy.as_ref(),
        resource_owner: input.resource_owner.as_ref(),
        context_entries: input.context_entries.as_ref(),
        resource_handling_option: input.resource_handling_option.as_ref(),
    };
    let control = cx.plane.control_policies(&cx.account, &cx.account).await?;
    let excluded = |kind| exclusions.contains(&PolicyIdentifier::PolicyType(kind));
    let policies = PolicySet {
        identity,
        boundary,
        service_control: control.service_control.filter(|_| !excluded(PolicyIdentifierPolicyType::Scp)),
        resource_control: if excluded(PolicyIdentifierPolicyType::Rcp) { Vec::new() } else { control.resource_control },
        ..PolicySet::default()
    };
    let simulation = Simulation::new(cx, principal, policies, control.organization, &request)?;
    let page = cut(cx, &simulation, input.marker.as_deref(), input.max_items)?;
    Ok(SimulatePrincipalPolicyOutput { evaluation_results: Some(page.items), is_truncated: Some(page.next.is_some()), marker: page.next })
}

/// The keys that policies mention, each once.
fn mentioned<'a>(policies: impl IntoIterator<Item = &'a Attached>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in policies.into_iter().flat_map(|attached| attached.policy.keys_mentioned()) {
        if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            names.push(name.to_owned());
        }
    }
    names
}

pub(crate) async fn get_context_keys_for_custom_policy(
    _cx: &mut Call,
    input: GetContextKeysForCustomPolicyInput,
) -> Result<GetContextKeysForCustomPolicyOutput, ApiError> {
    let policies = parsed(&input.policy_input_list, PolicyKind::Identity, "PolicyInputList")?;
    Ok(GetContextKeysForCustomPolicyOutput { context_key_names: Some(mentioned(&policies)) })
}

pub(crate) async fn get_context_keys_for_principal_policy(
    cx: &mut Call,
    input: GetContextKeysForPrincipalPolicyInput,
) -> Result<GetContextKeysForPrincipalPolicyOutput, ApiError> {
    let source = source(cx, &input.policy_source_arn).await?;
    let more = parsed(&input.policy_input_list.unwrap_or_default(), PolicyKind::Identity, "PolicyInputList")?;
    let names = mentioned(source.policies.iter().map(|owned| &owned.attached).chain(&more));
    Ok(GetContextKeysForPrincipalPolicyOutput { context_key_names: Some(names) })
}
