//! The smallest change of the policies that would allow a denied request.
//!
//! A change is found by search, not by rule of thumb: each candidate edit is applied to the policies and the request
//! is decided again. Of the edits that take an obstacle away, the one that opens least is taken, and of those the one
//! that writes least. What the finished change opens besides is decided as well: neighbouring requests (another
//! action, resource, caller or key value that the edited statements reach) are decided under the old policies and the
//! new ones. A warning therefore names a request that really becomes allowed; an absent warning says that none of the
//! neighbours does.

use std::fmt;
use std::sync::Arc;

use crate::candidate::{Candidate, for_allow, for_deny};
use crate::context::Context;
use crate::decision::{Decision, decide};
use crate::document::{PolicyDocument, StatementDocument};
use crate::place::Place;
use crate::policy::Policy;
use crate::policy_set::{Attached, PolicySet, PolicySource, PolicyType};
use crate::principal::Principal;
use crate::probe::{Probe, probes};
use crate::request::{Check, Organization, Request};

/// Most edits that a change may have. Each policy type and each level of SCPs may need one.
const EDITS_MAX: usize = 24;

/// A change that was decided to work.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Change {
    /// What to edit; all of it is needed.
    pub edits: Vec<Edit>,
    /// What becomes allowed besides the request that was asked about, one phrase each. Empty if nothing was found.
    pub also_opens: Vec<String>,
}

/// An edit of one policy.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Edit {
    /// What is done.
    pub kind: EditKind,
    /// Type of the policy.
    pub policy_type: PolicyType,
    /// ARN or name of the policy; empty for a new one.
    pub policy_id: String,
    /// Where the policy comes from.
    pub source: PolicySource,
    /// Level in the organization from the root (0); only for SCPs and RCPs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<usize>,
    /// Index of the edited statement from 0; `None` for a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement_index: Option<usize>,
    /// The statement as it is; `None` for a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<StatementDocument>,
    /// The statement as it has to be; `None` if it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<StatementDocument>,
    /// The edit of the document as a JSON Patch (RFC 6902); `null` where a policy is made or taken away as a whole.
    pub patch: serde_json::Value,
    /// What to mind when doing it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<&'static str>,
}

/// Kinds of edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EditKind {
    /// A statement is added to a policy.
    AddStatement,
    /// A policy with one statement is made and attached.
    AddPolicy,
    /// An action is added to an Allow.
    AddAction,
    /// A resource is added to an Allow.
    AddResource,
    /// A principal is added to an Allow.
    AddPrincipal,
    /// A value is added to a condition.
    AddConditionValue,
    /// An action is taken out of a Deny.
    ExceptAction,
    /// A resource is taken out of a Deny.
    ExceptResource,
    /// The caller is taken out of a Deny.
    ExceptPrincipal,
    /// A Deny is taken away.
    RemoveStatement,
    /// A policy that consists of one Deny is taken away.
    RemovePolicy,
}

/// Why no change of policies allows a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoChange {
    /// It is allowed already.
    #[error("the request is allowed already")]
    Allowed,
    /// Credentials of this kind cannot make it.
    #[error("{0}: no policy can change that")]
    CredentialLimit(&'static str),
    /// A policy cannot be read.
    #[error("a policy cannot be read and therefore denies everything: it must be put right first")]
    Unreadable,
    /// S3 restricts public buckets.
    #[error("the bucket policy is public and public buckets are restricted: the policy must name its principals, or the block be lifted")]
    PublicAccessBlock,
    /// The search found none.
    #[error("no change of single statements was found that allows the request")]
    NotFound,
}

/// The smallest change that would allow a denied request. Takes the same arguments as [`decide`]; far slower than
/// it, as it decides again and again.
pub fn smallest_change(
    principal: &Principal,
    check: &Check,
    policies: &PolicySet,
    context: &dyn Context,
    organization: Option<&Organization>,
) -> Result<Change, NoChange> {
    let ask = |policies: &PolicySet| decide(principal, check, policies, context, organization);
    let mut changed = policies.clone();
    let mut chosen: Vec<Candidate> = Vec::new();
    let mut decision = ask(&changed);
    if decision.allowed {
        return Err(NoChange::Allowed);
    }
    while !decision.allowed {
        if chosen.len() >= EDITS_MAX {
            return Err(NoChange::NotFound);
        }
        let request = Request::new(principal, check, context, organization, changed.boundary.is_some());
        let (next, candidate) = next_edit(&request, &changed, &decision)?;
        chosen.push(candidate);
        changed = next;
        decision = ask(&changed);
    }
    let mut also_opens: Vec<String> = Vec::new();
    let asked = Request::new(principal, check, context, organization, policies.boundary.is_some());
    for probe in chosen.iter().flat_map(|candidate| probes(&asked, candidate)) {
        if !also_opens.contains(&probe.says)
            && !probe.decide(policies, organization).allowed
            && probe.decide(&changed, organization).allowed
        {
            also_opens.push(probe.says);
        }
    }
    Ok(Change { edits: chosen.iter().map(|candidate| candidate.edit(policies)).collect(), also_opens })
}

/// The edit that takes the first obstacle away and opens least, with the policies after it.
fn next_edit(request: &Request<'_>, policies: &PolicySet, decision: &Decision) -> Result<(PolicySet, Candidate), NoChange> {
    if let Some(limit) = decision.credential_limit {
        return Err(NoChange::CredentialLimit(limit));
    }
    let candidates = match decision.explicit {
        Some(true) if decision.rule == Some("public-access-block") => return Err(NoChange::PublicAccessBlock),
        Some(true) => for_deny(request, policies, decision)?,
        _ => for_allow(request, policies, decision),
    };
    let before = obstacles(request, policies);
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let applied = candidate.apply(policies)?;
            (obstacles(request, &applied) < before).then(|| {
                let opened = opened(request, &candidate, policies);
                ((opened, candidate.size()), applied, candidate)
            })
        })
        .min_by_key(|(rank, ..)| *rank)
        .map(|(_, applied, candidate)| (applied, candidate))
        .ok_or(NoChange::NotFound)
}

/// How much stands in the way: statements that deny count before allows that are missing, as those show only when no
/// deny is left.
fn obstacles(request: &Request<'_>, policies: &PolicySet) -> (usize, usize) {
    let question = crate::rule::Question::new(request, policies);
    let denying = Place::all(policies)
        .filter(|place| place.binds(question.scope))
        .filter_map(|place| place.get(policies))
        .map(|attached| attached.policy.denying_statements(request))
        .sum();
    let missing = crate::rule::RULES.iter().filter(|rule| matches!(rule.apply(&question), crate::rule::Finding::Missing(_))).count();
    let levels =
        policies.service_control.iter().flatten().filter(|level| {
            question.scope.service_control && !level.iter().any(|attached| attached.policy.evaluate(request).allow.is_some())
        });
    (denying, missing + levels.count())
}

/// How many neighbouring requests the edit alone lets through, as far as its own policy is concerned.
fn opened(request: &Request<'_>, candidate: &Candidate, policies: &PolicySet) -> usize {
    let old = candidate.place.get(policies).map(|attached| Arc::clone(&attached.policy));
    let lets = |policy: Option<&Policy>, probe: &Probe| {
        let Some(policy) = policy else { return (true, false) };
        let outcome = probe.evaluate(policy, request);
        (outcome.deny.is_none(), outcome.allow.is_some())
    };
    probes(request, candidate)
        .iter()
        .filter(|probe| {
            let (before, after) = (lets(old.as_deref(), probe), lets(candidate.policy.as_deref(), probe));
            (after.0 && !before.0) || (after.1 && !before.1)
        })
        .count()
}

impl Candidate {
    /// How much is written or taken away, in characters of JSON.
    fn size(&self) -> usize {
        let text = |statement: &Option<StatementDocument>| {
            statement.as_ref().map_or_else(String::new, |s| serde_json::to_string(s).unwrap_or_default())
        };
        let (before, after) = (text(&self.before).len(), text(&self.after).len());
        let new_policy = if self.kind == EditKind::AddPolicy { PolicyDocument::empty().text().len() } else { 0 };
        before.abs_diff(after) + new_policy
    }

    /// The policies with the edit.
    fn apply(&self, policies: &PolicySet) -> Option<PolicySet> {
        let mut changed = policies.clone();
        match &self.policy {
            None => self.place.remove(&mut changed),
            Some(policy) => {
                let (id, source) = self
                    .place
                    .get(policies)
                    .map_or_else(|| (Arc::from("new policy"), PolicySource::None), |attached| (Arc::clone(&attached.id), attached.source));
                self.place.put(&mut changed, Attached::new(id, source, Arc::clone(policy)))
            }
        }?;
        Some(changed)
    }

    fn edit(&self, policies: &PolicySet) -> Edit {
        let attached = self.place.get(policies);
        Edit {
            kind: self.kind,
            policy_type: self.place.policy_type(policies),
            policy_id: attached.map(|attached| attached.id.to_string()).unwrap_or_default(),
            source: attached.map(|attached| attached.source).unwrap_or_default(),
            level: self.place.level(),
            statement_index: self.statement_index,
            before: self.before.clone(),
            after: self.after.clone(),
            patch: self.patch(attached.map(|attached| &*attached.policy)),
            note: self.note(policies),
        }
    }

    fn patch(&self, policy: Option<&Policy>) -> serde_json::Value {
        let (Some(policy), Some(changed)) = (policy, &self.policy) else {
            return serde_json::Value::Null;
        };
        if policy.has_single_statement() {
            let statements = PolicyDocument::from(&**changed).statements;
            return serde_json::json!([{ "op": "replace", "path": "/Statement", "value": statements }]);
        }
        let operation = match (self.statement_index, &self.after) {
            (Some(at), Some(after)) => serde_json::json!({ "op": "replace", "path": format!("/Statement/{at}"), "value": after }),
            (Some(at), None) => serde_json::json!({ "op": "remove", "path": format!("/Statement/{at}") }),
            (None, after) => serde_json::json!({ "op": "add", "path": "/Statement/-", "value": after }),
        };
        serde_json::json!([operation])
    }

    fn note(&self, policies: &PolicySet) -> Option<&'static str> {
        let source = self.place.get(policies).map(|attached| attached.source);
        match self.place.policy_type(policies) {
            PolicyType::Session => Some("session policies are passed when the session is made: make a new session with the changed policy"),
            _ if source == Some(PolicySource::AwsManaged) => {
                Some("a policy that AWS manages cannot be edited: attach a copy of it with this change instead")
            }
            _ => None,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for edit in &self.edits {
            write!(formatter, "{edit}")?;
        }
        for opened in &self.also_opens {
            writeln!(formatter, "  warning: it also opens {opened}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Edit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            EditKind::AddStatement => "add a statement to",
            EditKind::AddPolicy => "attach a new",
            EditKind::AddAction => "add the action in",
            EditKind::AddResource => "add the resource in",
            EditKind::AddPrincipal => "add the principal in",
            EditKind::AddConditionValue => "add the value in a condition of",
            EditKind::ExceptAction => "take the action out of a deny of",
            EditKind::ExceptResource => "take the resource out of a deny of",
            EditKind::ExceptPrincipal => "take the caller out of a deny of",
            EditKind::RemoveStatement => "take a deny out of",
            EditKind::RemovePolicy => "detach",
        };
        write!(formatter, "  {what} {}", self.policy_type)?;
        if !self.policy_id.is_empty() {
            write!(formatter, " `{}`", self.policy_id)?;
        }
        if let Some(at) = self.statement_index {
            write!(formatter, ", statement {at}")?;
        }
        if let Some(level) = self.level {
            write!(formatter, ", level {level} from the root")?;
        }
        writeln!(formatter)?;
        for (sign, statement) in [('-', &self.before), ('+', &self.after)] {
            if let Some(statement) = statement {
                writeln!(formatter, "    {sign} {}", serde_json::to_string(statement).unwrap_or_default())?;
            }
        }
        match self.note {
            Some(note) => writeln!(formatter, "    note: {note}"),
            None => Ok(()),
        }
    }
}
