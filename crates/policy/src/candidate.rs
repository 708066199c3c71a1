//! Edits that might take an obstacle away. Whether they do is for [`crate::change`] to decide.

use std::sync::Arc;

use crate::change::{EditKind, NoChange};
use crate::condition::{Condition, OperatorFamily};
use crate::decision::Decision;
use crate::document::{ConditionDocument, PolicyDocument, StatementDocument, Values};
use crate::place::Place;
use crate::policy::{Hit, Policy, PolicyKind};
use crate::policy_set::{PolicySet, PolicySource, PolicyType};
use crate::principal::{Principal, PrincipalElement, PrincipalEntry, PrincipalKind};
use crate::request::Request;
use crate::rule::Question;
use crate::statement::{Effect, Statement};

/// One edit of one policy.
#[derive(Clone)]
pub(crate) struct Candidate {
    pub(crate) kind: EditKind,
    pub(crate) place: Place,
    pub(crate) kind_of_policy: PolicyKind,
    pub(crate) source: Option<PolicySource>,
    pub(crate) statement_index: Option<usize>,
    pub(crate) before: Option<StatementDocument>,
    pub(crate) after: Option<StatementDocument>,
    /// Statements that would allow the request but for their conditions: what they guard is to be probed.
    pub(crate) guards: Vec<StatementDocument>,
    /// The policy with the edit; `None` if it goes as a whole.
    pub(crate) policy: Option<Arc<Policy>>,
}

/// A text as it has to be written to stand for itself.
fn literal(text: &str, variables: bool) -> String {
    if text == "*" || !variables || !text.contains(['*', '?', '$']) {
        return text.to_owned();
    }
    let mut escaped = String::new();
    for character in text.chars() {
        match character {
            '*' | '?' | '$' => escaped.extend(['$', '{', character, '}']),
            other => escaped.push(other),
        }
    }
    escaped
}

/// A policy of AWS itself, which nobody can edit.
fn is_fixed(place: Place, policies: &PolicySet) -> bool {
    place.get(policies).is_some_and(|attached| {
        attached.source == PolicySource::AwsManaged || attached.id.contains(":aws:policy/") || &*attached.id == "FullAWSAccess"
    })
}

/// Makes candidates of one policy.
struct Editor<'a> {
    place: Place,
    kind: PolicyKind,
    source: Option<PolicySource>,
    document: PolicyDocument,
    /// Whether the policy as it is would be accepted on write: then it must be after the edit, too.
    strict: bool,
    guards: &'a [StatementDocument],
}

impl<'a> Editor<'a> {
    fn new(place: Place, policies: &PolicySet, guards: &'a [StatementDocument]) -> Self {
        let attached = place.get(policies);
        let document = attached.map_or_else(PolicyDocument::empty, |attached| PolicyDocument::from(&*attached.policy));
        let kind = place.policy_kind(policies);
        let strict = document.statements.is_empty() || Policy::parse(&document.text(), kind).is_ok();
        Self { place, kind, source: attached.map(|attached| attached.source), document, strict, guards }
    }

    fn variables(&self) -> bool {
        self.document.variables
    }

    /// The edit that makes `after` of the statement at `at`; a new one has no index, one that goes no `after`.
    fn candidate(&self, kind: EditKind, at: Option<usize>, after: Option<StatementDocument>) -> Option<Candidate> {
        let mut document = self.document.clone();
        let before = at.and_then(|at| document.statements.get(at).cloned());
        match (at, &after) {
            (Some(at), Some(after)) => after.clone_into(document.statements.get_mut(at)?),
            (Some(at), None) => drop(document.statements.remove(at)),
            (None, Some(after)) => document.statements.push(after.clone()),
            (None, None) => return None,
        }
        let policy = if document.statements.is_empty() {
            None
        } else if self.strict {
            Some(Arc::new(Policy::parse(&document.text(), self.kind).ok()?))
        } else {
            Some(Arc::new(Policy::parse_stored(&document.text(), self.kind)))
        };
        let kind = if policy.is_none() { EditKind::RemovePolicy } else { kind };
        let guards = self.guards.to_vec();
        Some(Candidate {
            kind,
            place: self.place,
            kind_of_policy: self.kind,
            source: self.source,
            statement_index: at,
            before,
            after,
            guards,
            policy,
        })
    }

    /// The edit of one statement by a closure.
    fn edit(&self, kind: EditKind, at: usize, change: impl FnOnce(&mut StatementDocument)) -> Option<Candidate> {
        let mut after = self.document.statements.get(at)?.clone();
        change(&mut after);
        self.candidate(kind, Some(at), Some(after))
    }
}

// ---- missing allows

/// Edits that might give the first missing allow.
pub(crate) fn for_allow(request: &Request<'_>, policies: &PolicySet, decision: &Decision) -> Vec<Candidate> {
    let Some(policy_type) = decision.denied_by.first() else { return Vec::new() };
    let places = places_for(*policy_type, request, policies);
    let guards: Vec<StatementDocument> = places
        .iter()
        .filter_map(|place| place.get(policies))
        .flat_map(|attached| attached.policy.statements())
        .filter(|statement| Misses::of(statement, request).is_guard())
        .map(StatementDocument::from)
        .collect();
    let mut candidates = Vec::new();
    let mut editable = false;
    for place in &places {
        if is_fixed(*place, policies) && !matches!(place, Place::Boundary | Place::VpcEndpoint) {
            continue;
        }
        editable = true;
        extend_existing(&Editor::new(*place, policies, &guards), request, policies, &mut candidates);
    }
    // A new policy of the caller's own opens nothing to others, as an edit of a shared one may.
    let wants_new = !editable || *policy_type == PolicyType::Identity;
    if wants_new && let Some(place) = new_place(*policy_type, request, policies) {
        let editor = Editor::new(place, policies, &guards);
        for statement in new_statements(&editor, request) {
            candidates.extend(editor.candidate(EditKind::AddPolicy, None, Some(statement)));
        }
    }
    candidates
}

/// The policies of the type that may give the allow. Of SCPs, those of the first level that has none.
fn places_for(policy_type: PolicyType, request: &Request<'_>, policies: &PolicySet) -> Vec<Place> {
    let silent = silent_level(request, policies);
    Place::all(policies)
        .filter(|place| place.policy_type(policies) == policy_type)
        .filter(|place| !matches!(place, Place::ServiceControl { level, .. } if Some(*level) != silent))
        .collect()
}

fn silent_level(request: &Request<'_>, policies: &PolicySet) -> Option<usize> {
    let levels = policies.service_control.as_deref().unwrap_or_default();
    levels.iter().position(|level| !level.iter().any(|attached| attached.policy.evaluate(request).allow.is_some()))
}

fn new_place(policy_type: PolicyType, request: &Request<'_>, policies: &PolicySet) -> Option<Place> {
    Some(match policy_type {
        PolicyType::Identity => Place::Identity(policies.identity.len()),
        PolicyType::Session => Place::Session(policies.session.as_ref().map_or(0, Vec::len)),
        PolicyType::Resource | PolicyType::Trust => Place::Resource,
        PolicyType::ServiceControl => {
            let level = silent_level(request, policies)?;
            Place::ServiceControl { level, at: policies.service_control.as_ref()?.get(level)?.len() }
        }
        PolicyType::Boundary | PolicyType::VpcEndpoint | PolicyType::ResourceControl => return None,
    })
}

/// What of an Allow does not match the request.
struct Misses<'s> {
    action: bool,
    principal: bool,
    resource: bool,
    conditions: Vec<(usize, &'s Condition)>,
    allows: bool,
}

impl<'s> Misses<'s> {
    fn of(statement: &'s Statement, request: &Request<'_>) -> Self {
        let conditions = statement.conditions.iter().enumerate().filter(|(_, condition)| !condition.matches(request));
        Self {
            action: !statement.actions.matches(request.check.action_lower()),
            principal: statement.principal.class(request.principal, request.has_boundary).is_none(),
            resource: !statement.resources.matches(request),
            conditions: conditions.collect(),
            allows: statement.effect == Effect::Allow,
        }
    }

    /// Whether only conditions keep the statement from allowing the request.
    fn is_guard(&self) -> bool {
        self.allows && !self.action && !self.principal && !self.resource && !self.conditions.is_empty()
    }
}

fn extend_existing(editor: &Editor<'_>, request: &Request<'_>, policies: &PolicySet, candidates: &mut Vec<Candidate>) {
    let statements = editor.place.get(policies).map(|attached| attached.policy.statements()).unwrap_or_default();
    for (at, statement) in statements.iter().enumerate() {
        let misses = Misses::of(statement, request);
        if !misses.allows {
            continue;
        }
        let elements = [misses.action, misses.principal, misses.resource].iter().filter(|missed| **missed).count();
        match (elements, misses.conditions.as_slice()) {
            (1, []) => candidates.extend(extend_element(editor, at, &misses, request)),
            (0, [(which, condition)]) => {
                if let Some(value) = addable_value(condition, request, editor.variables()) {
                    candidates.extend(editor.edit(EditKind::AddConditionValue, at, |after| {
                        if let Some(condition) = after.conditions.get_mut(*which) {
                            condition.values.push(value);
                        }
                    }));
                }
            }
            _ => {}
        }
    }
    for statement in new_statements(editor, request) {
        candidates.extend(editor.candidate(EditKind::AddStatement, None, Some(statement)));
    }
}

/// The one element that does not match gets the value of the request.
fn extend_element(editor: &Editor<'_>, at: usize, misses: &Misses<'_>, request: &Request<'_>) -> Option<Candidate> {
    let add = |values: &mut Values, value: String| {
        if values.negated {
            values.list.retain(|listed| *listed != value);
        } else {
            values.list.push(value);
        }
    };
    if misses.action {
        return editor.edit(EditKind::AddAction, at, |after| add(&mut after.actions, request.check.action().to_owned()));
    }
    if misses.resource {
        let arn = literal(&request.check.resource.arn, editor.variables());
        return editor.edit(EditKind::AddResource, at, |after| {
            if let Some(resources) = &mut after.resources {
                add(resources, arn);
            }
        });
    }
    let entry = naming(request.principal)?;
    editor.edit(EditKind::AddPrincipal, at, |after| {
        if let PrincipalElement::Only(entries) = &after.principal {
            after.principal = PrincipalElement::Only(entries.iter().cloned().chain([entry]).collect());
        }
    })
}

/// The value that makes a positive comparison hold: that of the request.
fn addable_value(condition: &Condition, request: &Request<'_>, variables: bool) -> Option<String> {
    let operator = condition.operator();
    let is_text = matches!(
        operator.family,
        OperatorFamily::StringEquals | OperatorFamily::StringEqualsIgnoreCase | OperatorFamily::StringLike | OperatorFamily::Arn
    );
    let typed = matches!(operator.family, OperatorFamily::IpAddress | OperatorFamily::Bool | OperatorFamily::Null);
    if operator.negated || !(is_text || typed) {
        return None;
    }
    let values = request.values(&condition.key);
    if operator.family == OperatorFamily::Null {
        return Some(values.is_none_or(|values| values.is_null()).to_string());
    }
    let values = values?;
    let unmatched = values.iter().find(|value| !condition.lists(value, request))?;
    Some(if is_text { literal(unmatched, variables) } else { unmatched.to_owned() })
}

/// How a policy names the caller: a session by its role.
fn naming(principal: &Principal) -> Option<PrincipalEntry> {
    Some(match &principal.kind {
        PrincipalKind::User | PrincipalKind::FederatedUser { .. } => PrincipalEntry::Arn(principal.arn.as_str().into()),
        PrincipalKind::RoleSession { role_arn } => PrincipalEntry::Arn(role_arn.as_str().into()),
        PrincipalKind::Root => PrincipalEntry::Account(principal.account.as_deref()?.into()),
        PrincipalKind::Service { name } => PrincipalEntry::Service(name.as_str().into()),
        PrincipalKind::WebIdentity { provider } | PrincipalKind::Saml { provider } => PrincipalEntry::Federated(provider.as_str().into()),
        PrincipalKind::Anonymous => PrincipalEntry::Everybody,
    })
}

/// The statements that would allow just this: one for all circumstances, and for each guarded statement one that
/// keeps its conditions as far as they hold, with the values of this request where they do not.
fn new_statements(editor: &Editor<'_>, request: &Request<'_>) -> Vec<StatementDocument> {
    let arn = literal(&request.check.resource.arn, editor.variables());
    let mut conditions = Vec::new();
    let principal = match editor.kind {
        PolicyKind::Resource(_) | PolicyKind::KeyPolicy | PolicyKind::Trust => match naming(request.principal) {
            Some(entry) => PrincipalElement::Only([entry].into()),
            None => return Vec::new(),
        },
        PolicyKind::VpcEndpoint => {
            conditions.extend(caller_condition("ArnEquals", "StringEquals", request.principal));
            PrincipalElement::Only([PrincipalEntry::Everybody].into())
        }
        _ => PrincipalElement::Implied,
    };
    let resources = match editor.kind {
        PolicyKind::Trust => None,
        PolicyKind::KeyPolicy => Some(Values::only("*")),
        _ => Some(Values::only(arn)),
    };
    let plain = StatementDocument {
        sid: None,
        effect: Effect::Allow,
        principal,
        actions: Values::only(request.check.action()),
        resources,
        conditions,
    };
    let guarded = editor.guards.iter().filter_map(|guard| {
        let guarded = guard.conditions.iter().map(|condition| holding(condition, request, editor.variables()));
        let conditions = guarded.collect::<Option<Vec<_>>>()?;
        Some(StatementDocument { conditions: plain.conditions.iter().cloned().chain(conditions).collect(), ..plain.clone() })
    });
    let mut statements: Vec<_> = guarded.collect();
    statements.push(plain);
    statements
}

/// The condition as it is if it holds, else with the value of the request.
fn holding(condition: &ConditionDocument, request: &Request<'_>, variables: bool) -> Option<ConditionDocument> {
    let operator = crate::condition::Operator::parse(&condition.operator)?;
    let span = crate::json::Span::default();
    let compiled = Condition::new(&condition.operator, operator, &condition.key, condition.values.clone(), variables, span);
    if compiled.matches(request) {
        return Some(condition.clone());
    }
    let value = addable_value(&compiled, request, variables)?;
    Some(ConditionDocument { values: vec![value], ..condition.clone() })
}

/// A condition on who calls.
fn caller_condition(arn_operator: &str, name_operator: &str, principal: &Principal) -> Option<ConditionDocument> {
    let (operator, key, value) = match &principal.kind {
        PrincipalKind::RoleSession { role_arn } => (arn_operator, "aws:PrincipalArn", role_arn),
        PrincipalKind::User | PrincipalKind::FederatedUser { .. } | PrincipalKind::Root => {
            (arn_operator, "aws:PrincipalArn", &principal.arn)
        }
        PrincipalKind::Service { name } => (name_operator, "aws:PrincipalServiceName", name),
        _ => return None,
    };
    Some(ConditionDocument { operator: operator.to_owned(), key: key.to_owned(), values: vec![value.clone()] })
}

// ---- denies

/// Edits that might take the first explicit deny away.
pub(crate) fn for_deny(request: &Request<'_>, policies: &PolicySet, decision: &Decision) -> Result<Vec<Candidate>, NoChange> {
    let scope = Question::new(request, policies).scope;
    let denying = Place::all(policies)
        .filter(|place| place.binds(scope) && decision.denied_by.contains(&place.policy_type(policies)))
        .find_map(|place| Some((place, place.get(policies)?.policy.evaluate(request).deny?)));
    let Some((place, hit)) = denying else { return Ok(Vec::new()) };
    let Hit::Statement(at) = hit else { return Err(NoChange::Unreadable) };
    let editor = Editor::new(place, policies, &[]);
    let Some(statement) = place.get(policies).and_then(|attached| attached.policy.statements().get(at)) else {
        return Ok(Vec::new());
    };
    let mut candidates = Vec::new();
    candidates.extend(except_action(&editor, at, request));
    candidates.extend(except_resource(&editor, at, request));
    candidates.extend(except_principal(&editor, at, request));
    for (which, condition) in statement.conditions.iter().enumerate() {
        candidates.extend(except_value(&editor, at, which, condition, request));
    }
    candidates.extend(editor.candidate(EditKind::RemoveStatement, Some(at), None));
    Ok(candidates)
}

/// Takes a value out of a list of what is denied; of everything by turning it into what is not denied.
fn except(values: &Values, wanted: &str, same: impl Fn(&str) -> bool) -> Option<Values> {
    if values.is_everything() {
        return (wanted != "*").then(|| Values::except(wanted));
    }
    let mut list = values.list.clone();
    if values.negated {
        list.push(wanted.to_owned());
    } else {
        list.retain(|listed| !same(listed));
        if list.is_empty() || list.len() == values.list.len() {
            return None;
        }
    }
    Some(Values { negated: values.negated, list })
}

fn except_action(editor: &Editor<'_>, at: usize, request: &Request<'_>) -> Option<Candidate> {
    let action = request.check.action();
    let actions = except(&editor.document.statements.get(at)?.actions, action, |listed| listed.eq_ignore_ascii_case(action))?;
    editor.edit(EditKind::ExceptAction, at, |after| after.actions = actions)
}

fn except_resource(editor: &Editor<'_>, at: usize, request: &Request<'_>) -> Option<Candidate> {
    let arn = literal(&request.check.resource.arn, editor.variables());
    let resources = except(editor.document.statements.get(at)?.resources.as_ref()?, &arn, |listed| listed == arn)?;
    editor.edit(EditKind::ExceptResource, at, |after| after.resources = Some(resources))
}

/// Spares the caller by a condition, as AWS recommends in place of `NotPrincipal`. Policies that are attached to the
/// caller alone have no use for it.
fn except_principal(editor: &Editor<'_>, at: usize, request: &Request<'_>) -> Option<Candidate> {
    if matches!(editor.source, Some(PolicySource::User | PolicySource::Role)) || matches!(editor.place, Place::Session(_)) {
        return None;
    }
    let spared = caller_condition("ArnNotEquals", "StringNotEqualsIfExists", request.principal)?;
    editor.edit(EditKind::ExceptPrincipal, at, |after| {
        let same = |condition: &&mut ConditionDocument| {
            condition.key.eq_ignore_ascii_case(&spared.key)
                && matches!(&*condition.operator, "ArnNotEquals" | "ArnNotLike" | "StringNotEqualsIfExists")
        };
        match after.conditions.iter_mut().find(same) {
            Some(condition) => condition.values.extend(spared.values),
            None => after.conditions.push(spared),
        }
    })
}

/// A negated condition that holds gets the value of the request, so that it holds no more.
fn except_value(editor: &Editor<'_>, at: usize, which: usize, condition: &Condition, request: &Request<'_>) -> Option<Candidate> {
    let operator = condition.operator();
    if !operator.negated || condition.key_lower().starts_with("aws:principal") {
        return None;
    }
    let values = request.values(&condition.key)?;
    let value = values.iter().next()?;
    let value = if operator.family == OperatorFamily::IpAddress { value.to_owned() } else { literal(value, editor.variables()) };
    editor.edit(EditKind::AddConditionValue, at, |after| {
        if let Some(condition) = after.conditions.get_mut(which) {
            condition.values.push(value);
        }
    })
}
