//! The decision: from all policies to allowed or denied, and by what.
//!
//! Source: IAM User Guide, "How AWS enforcement code logic evaluates requests to allow or deny access",
//! "Cross-account policy evaluation logic"; Organizations User Guide, "SCP evaluation" and "RCP evaluation"; KMS
//! Developer Guide, "Determining access to AWS KMS keys".

use std::sync::Arc;

use crate::context::Context;
use crate::json::Span;
use crate::opinion::{Opinion, Opinions};
use crate::policy::{Hit, Policy};
use crate::policy_set::{Attached, PolicySet, PolicySource, PolicyType};
use crate::principal::Principal;
use crate::request::{Check, Organization, Request};
use crate::rule::{Finding, Question, RULES};

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
    /// Name of the [`crate::Rule`] that decided; `None` if all rules passed and so the request is allowed.
    pub rule: Option<&'static str>,
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

    /// The JSON Pointer of the statement in its document.
    pub fn pointer(&self) -> Option<String> {
        self.statement_index.map(|index| self.policy.statement_pointer(index))
    }

    /// Where the statement stands in its document.
    pub fn span(&self) -> Option<Span> {
        self.statement().map(crate::statement::Statement::span)
    }
}

impl Decision {
    fn allow(rule: Option<&'static str>, deciding: Option<StatementRef>) -> Self {
        Self { allowed: true, explicit: None, denied_by: Vec::new(), deciding, credential_limit: None, rule }
    }

    fn deny(rule: &'static str, explicit: bool, denied_by: Vec<PolicyType>, deciding: Option<StatementRef>) -> Self {
        Self { allowed: false, explicit: Some(explicit), denied_by, deciding, credential_limit: None, rule: Some(rule) }
    }

    fn limited(rule: &'static str, limit: &'static str) -> Self {
        Self { credential_limit: Some(limit), explicit: None, ..Self::deny(rule, false, Vec::new(), None) }
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
/// bind every account. The rules and their order are in [`crate::RULES`].
pub fn decide(
    principal: &Principal,
    check: &Check,
    policies: &PolicySet,
    context: &dyn Context,
    organization: Option<&Organization>,
) -> Decision {
    let request = Request::new(principal, check, context, organization, policies.boundary.is_some());
    let question = Question::new(&request, policies);
    let resource_type = policies.resource.policy_type();
    let mut missing: Option<(&'static str, Vec<PolicyType>)> = None;
    for rule in &RULES {
        match rule.apply(&question) {
            Finding::Pass => {}
            Finding::Allow => return Decision::allow(Some(rule.name), None),
            Finding::Limit(limit) => return Decision::limited(rule.name, limit),
            Finding::Deny => return explicit_denial(rule.name, question.opinions(), resource_type),
            Finding::DenyPublic => return Decision::deny(rule.name, true, vec![PolicyType::Resource], None),
            Finding::Missing(policy_type) => missing.get_or_insert_with(|| (rule.name, Vec::new())).1.push(policy_type),
        }
    }
    match missing {
        Some((rule, types)) => Decision::deny(rule, false, types, None),
        None => Decision::allow(None, allowing(question.opinions(), resource_type)),
    }
}

fn explicit_denial(rule: &'static str, opinions: &Opinions<'_>, resource_type: PolicyType) -> Decision {
    let mut denied_by = Vec::new();
    let mut deciding = None;
    for (policy_type, opinion) in opinions.by_type(resource_type) {
        let Some((attached, hit)) = opinion.deny else { continue };
        let at = match hit {
            Hit::Statement(at) => Some(at),
            Hit::Unreadable => None,
        };
        deciding.get_or_insert_with(|| StatementRef::new(policy_type, attached, at));
        denied_by.push(policy_type);
    }
    Decision::deny(rule, true, denied_by, deciding)
}

fn allowing(opinions: &Opinions<'_>, resource_type: PolicyType) -> Option<StatementRef> {
    let reference = |policy_type, opinion: &Opinion<'_>| {
        let (attached, at, _) = opinion.allow?;
        Some(StatementRef::new(policy_type, attached, Some(at)))
    };
    reference(PolicyType::Identity, &opinions.identity)
        .or_else(|| reference(resource_type, &opinions.resource))
        .or_else(|| reference(PolicyType::Session, &opinions.session))
}
