//! Why a request was allowed or denied: every policy that was asked, every statement, every condition.
//!
//! Computed on demand by asking the same compiled policies again; the answer is for people and programs alike.

use std::collections::HashSet;
use std::fmt;

use crate::condition::Condition;
use crate::context::Context;
use crate::decision::{Decision, decide};
use crate::json::Span;
use crate::policy::Policy;
use crate::policy_set::{Attached, PolicySet, PolicySource, PolicyType};
use crate::principal::{GrantClass, Principal};
use crate::request::{Check, Key, Organization, Request};
use crate::scope::Scope;
use crate::statement::{Effect, Statement};

/// A decision with its reasons.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Explanation {
    /// Whether the request may go on.
    pub allowed: bool,
    /// As in [`Decision::explicit`].
    pub explicit: Option<bool>,
    /// As in [`Decision::denied_by`].
    pub denied_by: Vec<PolicyType>,
    /// The action that was asked for.
    pub action: String,
    /// The resource that was asked for.
    pub resource: String,
    /// One sentence.
    pub summary: String,
    /// Name of the [`crate::Rule`] that decided; `None` if all rules passed and so the request is allowed.
    pub rule: Option<&'static str>,
    /// The statement that denied, or one that allowed.
    pub deciding: Option<DecidingStatement>,
    /// Every policy that was considered, in the order in which denials are named.
    pub policies: Vec<PolicyTrace>,
}

/// The statement that decided, with its place.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct DecidingStatement {
    /// Type of the policy.
    pub policy_type: PolicyType,
    /// ARN or name of the policy.
    pub policy_id: String,
    /// Index from 0; `None` if the policy as a whole denies because it cannot be read.
    pub statement_index: Option<usize>,
    /// `Sid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Where it stands in its document.
    pub span: Option<Span>,
    /// The same as a JSON Pointer (RFC 6901).
    pub pointer: Option<String>,
}

impl DecidingStatement {
    fn of(decision: &Decision) -> Option<Self> {
        let deciding = decision.deciding.as_ref()?;
        Some(Self {
            policy_type: deciding.policy_type,
            policy_id: deciding.policy_id.to_string(),
            statement_index: deciding.statement_index,
            sid: deciding.sid().map(str::to_owned),
            span: deciding.span(),
            pointer: deciding.pointer(),
        })
    }
}

/// What one policy said.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct PolicyTrace {
    /// Type of the policy.
    pub policy_type: PolicyType,
    /// ARN or name.
    pub policy_id: String,
    /// Where it comes from.
    pub source: PolicySource,
    /// Level in the organization from the root (0); only for SCPs and RCPs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<usize>,
    /// What it said.
    pub outcome: PolicyOutcome,
    /// Why it has no say here, or why it denies as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Its statements.
    pub statements: Vec<StatementTrace>,
}

/// What a policy said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyOutcome {
    /// A statement denies.
    Denies,
    /// A statement allows and none denies.
    Allows,
    /// No statement matches.
    Silent,
    /// It does not bind this request.
    NotApplicable,
}

/// How one statement was matched.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct StatementTrace {
    /// Index from 0.
    pub index: usize,
    /// `Sid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Allow or Deny.
    pub effect: Effect,
    /// Where it stands.
    pub span: Span,
    /// The same as a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// Whether it matches the request.
    pub matched: bool,
    /// The first element that did not match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed: Option<Element>,
    /// How closely a matching statement names the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantClass>,
    /// Its conditions, if all other elements matched.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ConditionTrace>,
}

/// An element of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// `Action` or `NotAction`.
    Action,
    /// `Principal` or `NotPrincipal`.
    Principal,
    /// `Resource` or `NotResource`.
    Resource,
    /// `Condition`.
    Condition,
}

/// How one condition was tested.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ConditionTrace {
    /// Operator with prefix and suffix.
    pub operator: String,
    /// Key as the policy writes it.
    pub key: String,
    /// Where its values stand.
    pub span: Span,
    /// The same as a JSON Pointer (RFC 6901).
    pub pointer: String,
    /// Values of the policy.
    pub expected: Vec<String>,
    /// Values of the request; `None` if it does not have the key.
    pub actual: Option<Vec<String>>,
    /// Whether the condition holds.
    pub matched: bool,
}

/// Explains the decision of one check. Takes the same arguments as [`decide`].
pub fn explain(
    principal: &Principal,
    check: &Check,
    policies: &PolicySet,
    context: &dyn Context,
    organization: Option<&Organization>,
) -> Explanation {
    let decision = decide(principal, check, policies, context, organization);
    let has_boundary = policies.boundary.is_some();
    let request = Request::new(principal, check, context, organization, has_boundary);
    Explanation {
        allowed: decision.allowed,
        explicit: decision.explicit,
        summary: summary(&decision, check, policies),
        rule: decision.rule,
        deciding: DecidingStatement::of(&decision),
        denied_by: decision.denied_by,
        action: check.action().to_owned(),
        resource: check.resource.arn.clone(),
        policies: traces(&request, policies),
    }
}

impl Explanation {
    /// The matching statements of the policies that bind the request, with their policies: MatchedStatements of
    /// the policy simulator.
    pub fn matched_statements(&self) -> impl Iterator<Item = (&PolicyTrace, &StatementTrace)> {
        self.policies
            .iter()
            .filter(|policy| policy.outcome != PolicyOutcome::NotApplicable)
            .flat_map(|policy| policy.statements.iter().map(move |statement| (policy, statement)))
            .filter(|(_, statement)| statement.matched)
    }
}

/// The condition keys that the policies mention and the request does not have: MissingContextValues of the policy
/// simulator. Each once, as it is first written.
pub fn missing_keys<'p>(
    principal: &Principal,
    check: &Check,
    policies: &'p PolicySet,
    context: &dyn Context,
    organization: Option<&Organization>,
) -> Vec<&'p str> {
    let has_boundary = policies.boundary.is_some();
    let request = Request::new(principal, check, context, organization, has_boundary);
    let mut seen = HashSet::new();
    policies
        .all()
        .flat_map(|attached| attached.policy.keys_mentioned())
        .filter(|name| seen.insert(name.to_lowercase()))
        .filter(|name| request.values(&Key::new(name)).is_none())
        .collect()
}

fn summary(decision: &Decision, check: &Check, policies: &PolicySet) -> String {
    let action = check.action();
    if let Some(limit) = decision.credential_limit {
        return format!("{action} is denied because {limit}");
    }
    let place = decision.deciding.as_ref().map(|deciding| {
        let statement = match (deciding.statement_index, deciding.sid()) {
            (None, _) => "which cannot be read".to_owned(),
            (Some(index), None) => format!("statement {index}"),
            (Some(index), Some(sid)) => format!("statement {index} (`{sid}`)"),
        };
        format!("{} `{}`, {statement}", deciding.policy_type, deciding.policy_id)
    });
    let names: Vec<&str> = decision.denied_by.iter().map(|denier| denier.name()).collect();
    match (decision.allowed, decision.explicit, place) {
        (true, _, Some(place)) => format!("{action} is allowed by {place}"),
        (true, _, None) => format!("{action} is allowed"),
        (false, Some(true), Some(place)) => format!("{action} is explicitly denied by {place}"),
        (false, Some(true), None) if policies.s3_restrict_public_buckets => {
            format!("{action} is denied because the bucket policy is public and public buckets are restricted")
        }
        _ => format!("{action} is denied because no {} allows it", names.join(" and no ")),
    }
}

fn traces(request: &Request<'_>, policies: &PolicySet) -> Vec<PolicyTrace> {
    let scope = Scope::new(request, policies);
    let mut traces = Vec::new();
    let mut add = |policy_type, attached: &Attached, level, note: Option<&str>| {
        traces.push(trace(request, policy_type, attached, level, note));
    };
    let scp_note =
        (!scope.service_control).then_some("SCPs do not bind this caller: management account, service-linked role, or no member account");
    for (level, list) in policies.service_control.iter().flatten().enumerate() {
        for attached in list {
            add(PolicyType::ServiceControl, attached, Some(level), scp_note);
        }
    }
    let rcp_note = (!scope.resource_control)
        .then_some("RCPs do not bind this request: service not on the list, no member account, or an exempt caller or key");
    for (level, list) in policies.resource_control.iter().enumerate() {
        for attached in list {
            add(PolicyType::ResourceControl, attached, Some(level), rcp_note);
        }
    }
    if let Some(attached) = &policies.vpc_endpoint {
        add(PolicyType::VpcEndpoint, attached, None, None);
    }
    if let Some(attached) = policies.resource.attached() {
        add(policies.resource.policy_type(), attached, None, None);
    }
    let caller_note = (!scope.caller).then_some("a caller without account has no policies of its own");
    for attached in &policies.identity {
        add(PolicyType::Identity, attached, None, caller_note);
    }
    if let Some(attached) = &policies.boundary {
        add(PolicyType::Boundary, attached, None, caller_note);
    }
    for attached in policies.session.iter().flatten() {
        add(PolicyType::Session, attached, None, caller_note);
    }
    traces
}

fn trace(
    request: &Request<'_>,
    policy_type: PolicyType,
    attached: &Attached,
    level: Option<usize>,
    not_applicable: Option<&str>,
) -> PolicyTrace {
    let policy = &attached.policy;
    let statements: Vec<StatementTrace> =
        policy.statements().iter().enumerate().map(|(index, statement)| trace_statement(request, policy, index, statement)).collect();
    let matched = |effect| statements.iter().any(|statement| statement.matched && statement.effect == effect);
    let outcome = if not_applicable.is_some() {
        PolicyOutcome::NotApplicable
    } else if policy.problem().is_some() || matched(Effect::Deny) {
        PolicyOutcome::Denies
    } else if matched(Effect::Allow) {
        PolicyOutcome::Allows
    } else {
        PolicyOutcome::Silent
    };
    PolicyTrace {
        policy_type,
        policy_id: attached.id.to_string(),
        source: attached.source,
        level,
        outcome,
        note: not_applicable.map(str::to_owned).or_else(|| policy.problem().map(|problem| format!("cannot be read: {problem}"))),
        statements,
    }
}

fn trace_statement(request: &Request<'_>, policy: &Policy, index: usize, statement: &Statement) -> StatementTrace {
    let pointer = policy.statement_pointer(index);
    let mut trace = StatementTrace {
        index,
        sid: statement.sid().map(str::to_owned),
        effect: statement.effect(),
        span: statement.span(),
        pointer,
        matched: false,
        failed: None,
        grant: None,
        conditions: Vec::new(),
    };
    if !statement.actions.matches(request.check.action_lower()) {
        trace.failed = Some(Element::Action);
        return trace;
    }
    let class = statement.principal.class(request.principal, request.has_boundary);
    if class.is_none() {
        trace.failed = Some(Element::Principal);
        return trace;
    }
    if !statement.resources.matches(request) {
        trace.failed = Some(Element::Resource);
        return trace;
    }
    trace.conditions = statement.conditions.iter().map(|condition| trace_condition(request, &trace.pointer, condition)).collect();
    if trace.conditions.iter().all(|condition| condition.matched) {
        trace.matched = true;
        trace.grant = class;
    } else {
        trace.failed = Some(Element::Condition);
    }
    trace
}

fn trace_condition(request: &Request<'_>, statement_pointer: &str, condition: &Condition) -> ConditionTrace {
    let actual = request.values(&condition.key);
    ConditionTrace {
        operator: condition.operator_name.to_string(),
        key: condition.key.name.to_string(),
        span: condition.span,
        pointer: format!(
            "{statement_pointer}/Condition/{}/{}",
            pointer_token(&condition.operator_name),
            pointer_token(&condition.key.name)
        ),
        expected: condition.written.iter().map(ToString::to_string).collect(),
        matched: condition.matches_values(actual.as_ref(), request),
        actual: actual.map(|values| values.iter().map(str::to_owned).collect()),
    }
}

/// A member name as a token of a JSON Pointer.
fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl fmt::Display for Explanation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{} on {}", self.summary, self.resource)?;
        for policy in &self.policies {
            write!(formatter, "{policy}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PolicyTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            PolicyOutcome::Denies => "denies",
            PolicyOutcome::Allows => "allows",
            PolicyOutcome::Silent => "says nothing",
            PolicyOutcome::NotApplicable => "does not apply",
        };
        write!(formatter, "  {} `{}` {outcome}", self.policy_type, self.policy_id)?;
        match &self.note {
            Some(note) => writeln!(formatter, " ({note})")?,
            None => writeln!(formatter)?,
        }
        for statement in &self.statements {
            write!(formatter, "{statement}")?;
        }
        Ok(())
    }
}

impl fmt::Display for StatementTrace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.sid.as_ref().map(|sid| format!(" `{sid}`")).unwrap_or_default();
        let result = match self.failed {
            None => "matches",
            Some(Element::Action) => "does not match the action",
            Some(Element::Principal) => "does not name the principal",
            Some(Element::Resource) => "does not match the resource",
            Some(Element::Condition) => "has a condition that does not hold",
        };
        writeln!(
            formatter,
            "    statement {}{name} ({:?}, line {}, column {}) {result}",
            self.index, self.effect, self.span.start.line, self.span.start.column
        )?;
        for condition in &self.conditions {
            let holds = if condition.matched { "holds" } else { "fails" };
            let actual = match &condition.actual {
                None => "is missing from the request".to_owned(),
                Some(values) => format!("was `{}`", values.join("`, `")),
            };
            writeln!(
                formatter,
                "      {} {} [`{}`] {holds}: the key {actual}",
                condition.operator,
                condition.key,
                condition.expected.join("`, `")
            )?;
        }
        Ok(())
    }
}
