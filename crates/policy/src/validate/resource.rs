//! Policies with a principal: buckets, keys, roles' trust, endpoints, and whatever else has a policy.

use std::collections::HashSet;

use super::{Malformation, MalformedPolicy, action_problem, condition_has_shape, unspecific_text, values};
use crate::compile::{is_statement_element, principal_entries};
use crate::json::{Json, Node};
use crate::policy::{PolicyKind, ResourceKind};
use crate::principal::PrincipalEntry;
use crate::service_principal::is_service_principal;

/// The text for what is no JSON.
pub(super) fn text_of_bad_json(kind: PolicyKind) -> &'static str {
    match kind {
        PolicyKind::Resource(ResourceKind::S3Bucket) => "Policies must be valid JSON and the first byte must be '{'",
        PolicyKind::Trust | PolicyKind::KeyPolicy | PolicyKind::Resource(ResourceKind::Standard) | PolicyKind::VpcEndpoint => {
            "This policy contains invalid Json"
        }
        _ => unspecific_text(kind),
    }
}

pub(super) fn validate(root: &Node, kind: PolicyKind) -> Result<(), MalformedPolicy> {
    let Some(members) = root.as_object() else {
        return Err(MalformedPolicy::new(text_of_bad_json(kind)));
    };
    for (name, value) in members {
        match name.as_str() {
            "Version" if !matches!(value.as_str(), Some("2008-10-17" | "2012-10-17")) => {
                return Err(MalformedPolicy::new("The policy must contain a valid version string"));
            }
            "Id" if value.as_str().is_none() => {
                return Err(MalformedPolicy::unspecific(kind, "`Id` is not a string"));
            }
            "Version" | "Id" | "Statement" => {}
            _ => return Err(MalformedPolicy::new(format!("Unknown field {name}"))),
        }
    }
    let Some(statements) = root.get("Statement") else {
        return Err(missing("Statement"));
    };
    let statements = statements.one_or_many();
    if statements.is_empty() {
        return Err(MalformedPolicy::new("Could not parse the policy: Statement is empty!"));
    }
    let mut sids = HashSet::new();
    for statement in statements {
        validate_statement(statement, kind)?;
        if let Some(sid) = statement.get("Sid").and_then(Node::as_str)
            && !sid.is_empty()
            && !sids.insert(sid)
        {
            return Err(MalformedPolicy::new("Statement IDs (SID) in a single policy must be unique."));
        }
    }
    Ok(())
}

fn missing(name: &str) -> MalformedPolicy {
    MalformedPolicy::new(format!("Missing required field {name}"))
}

fn validate_statement(statement: &Node, kind: PolicyKind) -> Result<(), MalformedPolicy> {
    let members = statement.as_object().ok_or_else(|| MalformedPolicy::unspecific(kind, "a statement is not an object"))?;
    for (name, value) in members {
        if !is_statement_element(name) {
            return Err(MalformedPolicy::new(format!("Unknown field {name}")));
        }
        if name == "Sid" && value.as_str().is_none() {
            return Err(MalformedPolicy::unspecific(kind, "`Sid` is not a string"));
        }
    }
    match statement.get("Effect") {
        None => return Err(missing("Effect")),
        Some(effect) if !matches!(effect.as_str(), Some("Allow" | "Deny")) => {
            let written = effect.as_str().unwrap_or_default();
            return Err(MalformedPolicy::new(format!("Invalid effect: {written}")));
        }
        Some(_) => {}
    }
    check_principal(statement, kind)?;
    check_actions(statement, kind)?;
    check_resources(statement, kind)?;
    match statement.get("Condition") {
        Some(condition) if !condition_has_shape(condition) => Err(MalformedPolicy::unspecific(kind, "`Condition`")),
        _ => Ok(()),
    }
}

fn check_principal(statement: &Node, kind: PolicyKind) -> Result<(), MalformedPolicy> {
    let (element, negated) = match (statement.get("Principal"), statement.get("NotPrincipal")) {
        (None, None) => return Err(missing("Principal")),
        (Some(_), Some(_)) => {
            return Err(MalformedPolicy::unspecific(kind, "both `Principal` and `NotPrincipal`"));
        }
        (Some(element), None) => (element, false),
        (None, Some(element)) => (element, true),
    };
    if negated && kind == PolicyKind::Trust {
        return Err(MalformedPolicy::new("Has prohibited field NotPrincipal"));
    }
    if negated && statement.get("Effect").and_then(Node::as_str) != Some("Deny") {
        return Err(MalformedPolicy::new("Allow with NotPrincipal is not allowed."));
    }
    let entries = principal_entries(element).map_err(|problem| invalid_principal().with_detail(problem))?;
    if entries.is_empty() {
        return Err(invalid_principal());
    }
    match entries.iter().find_map(principal_problem) {
        None => Ok(()),
        Some((name, written)) if kind == PolicyKind::Trust => {
            let message = format!("{INVALID_PRINCIPAL}: \"{}\":\"{written}\"", name.to_uppercase());
            Err(MalformedPolicy { message, ..invalid_principal() })
        }
        Some((name, written)) => Err(invalid_principal().with_detail(format!("`{name}`: `{written}`"))),
    }
}

const INVALID_PRINCIPAL: &str = "Invalid principal in policy";

fn invalid_principal() -> MalformedPolicy {
    MalformedPolicy { malformation: Malformation::InvalidPrincipal, ..MalformedPolicy::new(INVALID_PRINCIPAL) }
}

/// The kind and text of an entry that can name nobody.
fn principal_problem(entry: &PrincipalEntry) -> Option<(&'static str, &str)> {
    let wild = |text: &str| text.contains(['*', '?']);
    match entry {
        PrincipalEntry::Arn(arn) if wild(arn) || crate::arn::account_of(arn).is_none() => Some(("AWS", arn)),
        PrincipalEntry::UniqueId(id) if !is_unique_id(id) => Some(("AWS", id)),
        PrincipalEntry::Service(name) if !is_service_principal(name) => Some(("Service", name)),
        PrincipalEntry::Federated(name) if wild(name) || name.is_empty() => Some(("Federated", name)),
        PrincipalEntry::CanonicalUser(id) if wild(id) || id.is_empty() => Some(("CanonicalUser", id)),
        _ => None,
    }
}

/// `AIDA…`, `AROA…`, and with the name of a session behind it: the stored form of a role session.
fn is_unique_id(text: &str) -> bool {
    let (id, session_name) = text.split_once(':').unwrap_or((text, "session"));
    let in_session_name = |character: char| character.is_ascii_alphanumeric() || "_+=,.@-".contains(character);
    id.len() >= 16
        && id.chars().all(|character| character.is_ascii_alphanumeric())
        && !session_name.is_empty()
        && session_name.chars().all(in_session_name)
}

fn check_actions(statement: &Node, kind: PolicyKind) -> Result<(), MalformedPolicy> {
    let element = match (statement.get("Action"), statement.get("NotAction")) {
        (None, None) => return Err(missing("Action")),
        (Some(_), Some(_)) => {
            return Err(MalformedPolicy::unspecific(kind, "both `Action` and `NotAction`"));
        }
        (Some(element), None) | (None, Some(element)) => element,
    };
    if !element.one_or_many().iter().all(|item| matches!(item.value, Json::String(_))) || values(Some(element)).next().is_none() {
        return Err(MalformedPolicy::unspecific(kind, "`Action`"));
    }
    if kind == PolicyKind::Trust {
        let sts = |action: &str| action.get(..4).is_some_and(|vendor| vendor.eq_ignore_ascii_case("sts:"));
        if !values(Some(element)).all(sts) {
            return Err(MalformedPolicy::new("AssumeRole policy may only specify STS AssumeRole actions."));
        }
    }
    match values(Some(element)).find_map(action_problem) {
        None => Ok(()),
        Some(problem) if kind == PolicyKind::Resource(ResourceKind::S3Bucket) => {
            Err(MalformedPolicy::new("Policy has invalid action").with_detail(problem))
        }
        Some(problem) => Err(MalformedPolicy::new(problem)),
    }
}

fn check_resources(statement: &Node, kind: PolicyKind) -> Result<(), MalformedPolicy> {
    let element = match (statement.get("Resource"), statement.get("NotResource")) {
        (Some(_), Some(_)) => {
            return Err(MalformedPolicy::unspecific(kind, "both `Resource` and `NotResource`"));
        }
        (Some(_), None) if kind == PolicyKind::Trust => {
            return Err(MalformedPolicy::new("Has prohibited field Resource"));
        }
        (None, Some(_)) if kind == PolicyKind::Trust => {
            return Err(MalformedPolicy::new("Has prohibited field NotResource"));
        }
        (None, None) => {
            let optional = matches!(kind, PolicyKind::Trust | PolicyKind::Resource(ResourceKind::Standard));
            return if optional { Ok(()) } else { Err(missing("Resource")) };
        }
        (Some(element), None) | (None, Some(element)) => element,
    };
    let all_strings = element.one_or_many().iter().all(|item| matches!(item.value, Json::String(_)));
    if !all_strings || values(Some(element)).next().is_none() {
        return Err(MalformedPolicy::unspecific(kind, "`Resource`"));
    }
    let good = |resource: &str| match kind {
        PolicyKind::Resource(ResourceKind::S3Bucket) => {
            resource == "*" || (resource.starts_with("arn:") && resource.split(':').nth(2) == Some("s3"))
        }
        _ => resource == "*" || resource.starts_with("arn:"),
    };
    if values(Some(element)).all(good) {
        return Ok(());
    }
    Err(MalformedPolicy::new("Policy has invalid resource"))
}
