//! What AWS refuses when somebody writes a policy, with its texts.
//!
//! The texts for identity-based policies are facts recorded at AWS (by the moto project among others): which
//! document earns which text, and in which order the checks go. Organizations has one text for everything.

use std::collections::HashSet;

use crate::compile::{is_statement_element, principal_entries};
use crate::condition::Operator;
use crate::json::{self, Json, Node, Position};
use crate::policy::PolicyKind;
use crate::principal::PrincipalEntry;

mod identity;
mod resource;

/// What is wrong with a document, as far as services answer differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Malformation {
    /// MalformedPolicyDocument and its like.
    Malformed,
    /// A principal can name nobody, or a service that does not exist.
    InvalidPrincipal,
    /// The document is longer than its kind allows (IAM: LimitExceeded).
    TooLong,
}

/// A refused document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct MalformedPolicy {
    /// What is wrong, for the choice of the error code.
    pub malformation: Malformation,
    /// The text of AWS.
    pub message: String,
    /// What AWS does not say: which element is wrong.
    pub detail: Option<String>,
    /// Where, if the document is no JSON.
    pub position: Option<Position>,
}

impl MalformedPolicy {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { malformation: Malformation::Malformed, message: message.into(), detail: None, position: None }
    }

    fn with_detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    /// The text of a kind for what has no text of its own.
    pub(crate) fn unspecific(kind: PolicyKind, detail: impl Into<String>) -> Self {
        Self::new(unspecific_text(kind)).with_detail(detail)
    }
}

fn unspecific_text(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Identity | PolicyKind::Boundary | PolicyKind::Session => "Syntax errors in policy.",
        PolicyKind::ServiceControl | PolicyKind::ResourceControl => {
            "The provided policy document does not meet the requirements of the specified policy type."
        }
        PolicyKind::Trust | PolicyKind::KeyPolicy | PolicyKind::Resource(_) | PolicyKind::VpcEndpoint => "Invalid policy syntax.",
    }
}

/// How long a document may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeLimit {
    /// Characters at most.
    pub characters_max: usize,
    /// Whether white space outside strings counts.
    pub counts_white_space: bool,
}

impl PolicyKind {
    /// The limit of a single document of the kind with the default quotas. Sums (all inline policies of a user,
    /// all session policies) are for the service to check.
    ///
    /// Source: IAM User Guide, "IAM and AWS STS quotas"; Organizations User Guide, "Quotas"; S3 User Guide,
    /// "Bucket policies"; PrivateLink Guide. An inline policy may have 10,240 characters on a role, a managed one
    /// 6,144: `Identity` takes the larger, `Boundary` is always managed.
    pub fn size_limit(self) -> SizeLimit {
        let (characters_max, counts_white_space) = match self {
            Self::Identity => (10_240, false),
            Self::Boundary => (6_144, false),
            Self::Session | Self::Trust => (2_048, false),
            Self::Resource(_) | Self::VpcEndpoint => (20_480, true),
            Self::KeyPolicy => (32_768, true),
            Self::ServiceControl => (10_240, true),
            Self::ResourceControl => (5_120, true),
        };
        SizeLimit { characters_max, counts_white_space }
    }
}

/// The length of a document as IAM counts it: without white space.
pub fn characters_without_white_space(text: &str) -> usize {
    text.chars().filter(|character| !character.is_whitespace()).count()
}

/// Checks a document that somebody wants to write and returns it parsed.
pub(crate) fn validate(text: &str, kind: PolicyKind) -> Result<Node, MalformedPolicy> {
    check_size(text, kind)?;
    if text.chars().any(|character| !is_allowed(character)) {
        return Err(MalformedPolicy::unspecific(kind, "a character outside of tab, LF, CR, U+0020 to U+00FF"));
    }
    let root = json::parse(text).map_err(|error| MalformedPolicy {
        position: Some(error.position),
        ..MalformedPolicy::new(resource::text_of_bad_json(kind)).with_detail(error.to_string())
    })?;
    match kind {
        PolicyKind::Identity | PolicyKind::Boundary | PolicyKind::Session => {
            identity::validate(&root)?;
        }
        PolicyKind::ServiceControl | PolicyKind::ResourceControl => {
            validate_organization_policy(&root, kind).map_err(|problem| MalformedPolicy::unspecific(kind, problem))?;
        }
        _ => resource::validate(&root, kind)?,
    }
    Ok(root)
}

fn is_allowed(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{ff}')
}

fn check_size(text: &str, kind: PolicyKind) -> Result<(), MalformedPolicy> {
    let limit = kind.size_limit();
    let counted = if limit.counts_white_space { text.chars().count() } else { characters_without_white_space(text) };
    let maximum = limit.characters_max;
    if counted <= maximum && text.len() <= json::DOCUMENT_BYTES_MAX {
        return Ok(());
    }
    let message = match kind {
        PolicyKind::Trust => format!("Cannot exceed quota for ACLSizePerRole: {maximum}"),
        _ => format!("Cannot exceed quota for PolicySize: {maximum}"),
    };
    Err(MalformedPolicy {
        malformation: Malformation::TooLong,
        ..MalformedPolicy::new(message).with_detail(format!("the document has {counted} characters"))
    })
}

/// The rules of SCPs and RCPs (Organizations User Guide, "SCP syntax", "RCP syntax"); the result names the rule.
fn validate_organization_policy(root: &Node, kind: PolicyKind) -> Result<(), String> {
    if root.get("Version").and_then(Node::as_str).is_none() {
        return Err("`Version` is missing".to_owned());
    }
    let statements = root.get("Statement").map_or(&[][..], Node::one_or_many);
    if statements.is_empty() {
        return Err("`Statement` is missing or empty".to_owned());
    }
    let mut sids = HashSet::new();
    for statement in statements {
        if let Some(sid) = statement.get("Sid").and_then(Node::as_str)
            && !sids.insert(sid)
        {
            return Err(format!("`Sid` `{sid}` occurs twice"));
        }
        if kind == PolicyKind::ResourceControl {
            validate_rcp_statement(statement)?;
        }
        check_element_names(statement)?;
        check_actions(statement)?;
    }
    Ok(())
}

fn validate_rcp_statement(statement: &Node) -> Result<(), String> {
    if statement.get("Effect").and_then(Node::as_str) != Some("Deny") {
        return Err("a customer RCP can only deny".to_owned());
    }
    if statement.get("NotAction").is_some() || statement.get("NotPrincipal").is_some() {
        return Err("`NotAction` and `NotPrincipal` are not supported in an RCP".to_owned());
    }
    let everybody = statement.get("Principal").is_some_and(|principal| {
        principal_entries(principal).is_ok_and(|entries| !entries.is_empty() && entries.iter().all(PrincipalEntry::is_wildcard))
    });
    if !everybody {
        return Err("`Principal` of an RCP can only be `*`".to_owned());
    }
    for action in values(statement.get("Action")) {
        let service = action.split(':').next().unwrap_or_default();
        if service.contains(['*', '?']) {
            return Err(format!("action `{action}` does not name a service"));
        }
    }
    Ok(())
}

fn check_element_names(statement: &Node) -> Result<(), String> {
    let members = statement.as_object().ok_or("a statement is not an object")?;
    match members.iter().find(|(name, _)| !is_statement_element(name)) {
        Some((name, _)) => Err(format!("unknown statement element `{name}`")),
        None => Ok(()),
    }
}

fn check_actions(statement: &Node) -> Result<(), String> {
    let listed = || values(statement.get("Action")).chain(values(statement.get("NotAction")));
    if listed().next().is_none() {
        return Err("no action is listed".to_owned());
    }
    match listed().find_map(action_problem) {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}

/// The strings of an element that holds one or a list.
fn values(element: Option<&Node>) -> impl Iterator<Item = &str> {
    element.map_or(&[][..], Node::one_or_many).iter().filter_map(Node::as_str)
}

/// AWS' text for an action that is none.
fn action_problem(action: &str) -> Option<String> {
    if action == "*" {
        return None;
    }
    let Some((vendor, name)) = action.split_once(':') else {
        return Some("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.".to_owned());
    };
    if name.contains(':') {
        return Some("Actions/Condition can contain only one colon.".to_owned());
    }
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '.');
    if vendor == "*" || vendor.chars().all(plain) {
        return None;
    }
    Some(format!("Vendor {vendor} is not valid"))
}

/// Whether the `Condition` element has the shape that it must have: operators, keys, values.
fn condition_has_shape(element: &Node) -> bool {
    element.as_object().is_some_and(|operators| {
        operators.iter().all(|(operator, keys)| {
            keys.as_object().is_some_and(|keys| {
                keys.iter().all(|(_, list)| is_condition_value_list(list)) && (keys.is_empty() || Operator::parse(operator).is_some())
            })
        })
    })
}

fn is_condition_value_list(node: &Node) -> bool {
    node.one_or_many().iter().all(|item| matches!(item.value, Json::String(_) | Json::Number(_) | Json::Bool(_)))
}

#[cfg(test)]
mod tests;
