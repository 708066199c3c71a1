//! Neighbours of a request: what an edit of a policy might open besides.

use crate::candidate::Candidate;
use crate::context::{Context, Values};
use crate::decision::{Decision, decide};
use crate::document::StatementDocument;
use crate::place::Place;
use crate::policy::{Outcome, Policy, PolicyKind};
use crate::policy_set::PolicySet;
use crate::principal::{Principal, PrincipalKind};
use crate::request::{Check, Organization, Request};
use crate::template::{PatternPart, pattern_parts};

/// Most neighbours of one edit.
const PROBES_MAX: usize = 64;

/// A request that differs from the one asked about in one respect.
pub(crate) struct Probe<'a> {
    /// What it stands for, as a phrase.
    pub(crate) says: String,
    principal: Principal,
    check: Check,
    context: Overlay<'a>,
}

/// The context of the request with one key that is absent or has another value.
struct Overlay<'a> {
    inner: &'a dyn Context,
    /// The key in lower case, and its value.
    differs: Option<(String, Option<String>)>,
}

impl Context for Overlay<'_> {
    fn key(&self, lower_name: &str) -> Option<Values<'_>> {
        match &self.differs {
            Some((name, value)) if name == lower_name => value.as_deref().map(Values::one),
            _ => self.inner.key(lower_name),
        }
    }
}

impl Probe<'_> {
    pub(crate) fn decide(&self, policies: &PolicySet, organization: Option<&Organization>) -> Decision {
        decide(&self.principal, &self.check, policies, &self.context, organization)
    }

    /// What one policy says about it.
    pub(crate) fn evaluate(&self, policy: &Policy, asked: &Request<'_>) -> Outcome {
        policy.evaluate(&Request::new(&self.principal, &self.check, &self.context, asked.organization, asked.has_boundary))
    }
}

/// The neighbours that the statements of an edit reach.
pub(crate) fn probes<'a>(request: &Request<'a>, candidate: &Candidate) -> Vec<Probe<'a>> {
    let mut probes = Vec::new();
    let statements = [&candidate.before, &candidate.after];
    for statement in statements.into_iter().flatten().chain(&candidate.guards) {
        other_actions(request, statement, &mut probes);
        // The only resource that a key policy speaks about is its key.
        if candidate.kind_of_policy != PolicyKind::KeyPolicy {
            other_resources(request, statement, &mut probes);
        }
        other_values(request, statement, &mut probes);
    }
    other_callers(request, candidate, &mut probes);
    let mut seen = std::collections::HashSet::new();
    probes.retain(|probe| seen.insert(probe.says.clone()));
    probes.truncate(PROBES_MAX);
    probes
}

fn plain<'a>(request: &Request<'a>) -> Overlay<'a> {
    Overlay { inner: request.context, differs: None }
}

/// A text that the pattern matches, with `other` for each star.
fn example(pattern: &str, variables: bool, other: &str) -> String {
    let parts = pattern_parts(pattern, variables);
    parts
        .iter()
        .map(|part| match part {
            PatternPart::Literal(text) => text.as_str(),
            PatternPart::One => "x",
            PatternPart::Many | PatternPart::Variable { .. } => other,
        })
        .collect()
}

fn other_actions<'a>(request: &Request<'a>, statement: &StatementDocument, probes: &mut Vec<Probe<'a>>) {
    let asked = request.check.action();
    let mut add = |action: &str, says: String| {
        if !action.eq_ignore_ascii_case(asked) {
            let check = request.check.neighbour(action, &request.check.resource.arn);
            probes.push(Probe { says, principal: request.principal.clone(), check, context: plain(request) });
        }
    };
    if statement.actions.negated {
        return add("other:Action", "actions that the statement does not list, on the same resource".to_owned());
    }
    for pattern in &statement.actions.list {
        match pattern.as_str() {
            "*" => add("other:Action", "all other actions on the same resource".to_owned()),
            pattern if pattern.contains(['*', '?']) => {
                add(&example(pattern, false, "Other"), format!("other actions that match `{pattern}` on the same resource"));
            }
            exact => add(exact, format!("`{exact}` on the same resource")),
        }
    }
}

fn other_resources<'a>(request: &Request<'a>, statement: &StatementDocument, probes: &mut Vec<Probe<'a>>) {
    let asked = &request.check.resource.arn;
    let mut add = |arn: &str, says: String| {
        if arn != asked {
            let check = request.check.neighbour(request.check.action(), arn);
            probes.push(Probe { says, principal: request.principal.clone(), check, context: plain(request) });
        }
    };
    let Some(resources) = &statement.resources else { return };
    if resources.negated {
        return add("arn:aws:other:::other", "the same action on resources that the statement does not list".to_owned());
    }
    for pattern in &resources.list {
        match pattern.as_str() {
            "*" => add("arn:aws:other:::other", "the same action on all other resources".to_owned()),
            pattern if pattern.contains(['*', '?']) || pattern.contains("${") => {
                add(&example(pattern, true, "other"), format!("the same action on other resources that match `{pattern}`"));
            }
            exact => add(exact, format!("the same action on `{exact}`")),
        }
    }
}

fn other_values<'a>(request: &Request<'a>, statement: &StatementDocument, probes: &mut Vec<Probe<'a>>) {
    for condition in &statement.conditions {
        let lower = condition.key.to_lowercase();
        // Who calls is probed by other callers.
        if lower.starts_with("aws:principal") {
            continue;
        }
        let cases = [(Some("another value".to_owned()), "with another value of"), (None, "without")];
        for (value, how) in cases {
            probes.push(Probe {
                says: format!("the same request {how} `{}`", condition.key),
                principal: request.principal.clone(),
                check: request.check.clone(),
                context: Overlay { inner: request.context, differs: Some((lower.clone(), value)) },
            });
        }
    }
}

/// Other callers that the policy speaks about: with the same policies of their own, so that the edit alone decides.
fn other_callers<'a>(request: &Request<'a>, candidate: &Candidate, probes: &mut Vec<Probe<'a>>) {
    use crate::policy_set::PolicySource as Source;
    let mut add = |principal: Principal, says: &str| {
        probes.push(Probe { says: says.to_owned(), principal, check: request.check.clone(), context: plain(request) });
    };
    let colleague = colleague(request.principal);
    match candidate.place {
        // What is known of no source counts as the caller's own.
        Place::Identity(_) if matches!(candidate.source, Some(Source::User | Source::Role | Source::None) | None) => {}
        Place::Identity(_) | Place::Boundary => {
            if let Some(colleague) = colleague {
                add(colleague, "the same request to every other identity that the policy is attached to");
            }
        }
        Place::Session(_) => {}
        Place::ServiceControl { .. } => {
            if let Some(colleague) = colleague {
                add(colleague, "the same request to other callers of the account, where their own policies allow it");
            }
        }
        Place::VpcEndpoint | Place::ResourceControl { .. } | Place::Resource => {
            if let Some(colleague) = colleague {
                add(colleague, "the same request to other callers of the account");
            }
            let stranger = Principal::new(PrincipalKind::User, "000000000000", "arn:aws:iam::000000000000:user/other");
            add(stranger, "the same request to callers of other accounts");
            add(Principal::anonymous(), "the same request to everybody, without credentials");
        }
    }
}

/// Another caller of the same kind and account.
fn colleague(principal: &Principal) -> Option<Principal> {
    let account = principal.account.as_deref()?;
    let arn = format!("arn:aws:iam::{account}:role/other-than-asked");
    let session = format!("arn:aws:sts::{account}:assumed-role/other-than-asked/session");
    let kind = PrincipalKind::RoleSession { role_arn: arn };
    Some(Principal { tags: principal.tags.clone(), ..Principal::new(kind, account, session) })
}
