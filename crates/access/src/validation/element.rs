//! The document as a whole: its elements, version, size and statements.

use policy::{Json, Node};

use super::{Report, Step, ValidatedType, statement};

const VERSIONS: [&str; 2] = ["2012-10-17", "2008-10-17"];

pub(super) fn document(report: &mut Report, root: &Node, text: &str) {
    let Some(members) = root.as_object() else {
        return report.error("DATA_TYPE_MISMATCH", root, "The text does not match the expected JSON data type Object.");
    };
    for (name, node) in members {
        if !matches!(name.as_str(), "Version" | "Id" | "Statement") {
            report.within(Step::Member(name.clone()), |report| {
                report.error("INVALID_POLICY_ELEMENT", node, format!("The policy element {name} is not valid."));
            });
        }
    }
    version(report, root);
    size(report, root, text);
    let variables = root.get("Version").and_then(Node::as_str) == Some("2012-10-17");
    let Some(statements) = root.get("Statement") else {
        return report.error("MISSING_STATEMENT", root, "Add a statement to the policy");
    };
    report.within(Step::Member("Statement".to_owned()), |report| {
        match &statements.value {
            Json::Array(items) if items.is_empty() => report.error("MISSING_STATEMENT", statements, "Add a statement to the policy"),
            Json::Array(_) | Json::Object(_) => {}
            _ => report.error("DATA_TYPE_MISMATCH", statements, "The text does not match the expected JSON data type Array."),
        }
        let mut sids: Vec<&str> = Vec::new();
        report.each(statements, |report, node| {
            statement::statement(report, node, variables);
            report.member(node, "Sid", |report, sid| unique_sid(report, sid, &mut sids));
        });
        redundant_statements(report, statements);
    });
}

fn version(report: &mut Report, root: &Node) {
    let Some(node) = root.get("Version") else {
        return report.warning(
            "MISSING_VERSION",
            root,
            "We recommend that you specify the Version element to help you with debugging permission issues.",
        );
    };
    report.within(Step::Member("Version".to_owned()), |report| match node.as_str() {
        None => report.error("DATA_TYPE_MISMATCH", node, "The text does not match the expected JSON data type String."),
        Some(text) if !VERSIONS.contains(&text) => {
            let list = VERSIONS.join(", ");
            report.error("INVALID_VERSION", node, format!("The version {text} is not valid. Use one of the following versions: {list}"));
        }
        Some("2008-10-17") => report.suggest(
            "OLDER_VERSION_ELEMENT",
            node,
            "The policy version is older than the current version 2012-10-17. We recommend that you update the Version element.",
        ),
        Some(_) => {}
    });
}

fn size(report: &mut Report, root: &Node, text: &str) {
    let dense = policy::characters_without_white_space(text);
    let all = text.chars().count();
    match report.kind {
        ValidatedType::Identity if dense > 10_240 => report.warning(
            "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA",
            root,
            format!(
                "The {dense} characters in the identity policy, excluding whitespace, exceed the character maximum for inline and managed policies. We recommend that you use multiple granular policies."
            ),
        ),
        ValidatedType::ServiceControl if all > 10_240 => report.error(
            "POLICY_SIZE_EXCEEDS_SCP_QUOTA",
            root,
            format!(
                "The {all} characters in the service control policy (SCP) exceed the 10240 character maximum for SCPs. We recommend that you use multiple granular policies."
            ),
        ),
        ValidatedType::ResourceControl if all > 5_120 => report.error(
            "POLICY_SIZE_EXCEEDS_RCP_QUOTA",
            root,
            format!(
                "The {all} characters in the resource control policy (RCP) exceed the 5120 character maximum for RCPs. We recommend that you use multiple granular policies."
            ),
        ),
        _ => {}
    }
}

fn unique_sid<'n>(report: &mut Report, node: &'n Node, sids: &mut Vec<&'n str>) {
    let Some(sid) = node.as_str() else {
        return report.error("DATA_TYPE_MISMATCH", node, "The text does not match the expected JSON data type String.");
    };
    let strict = matches!(report.kind, ValidatedType::Identity | ValidatedType::ServiceControl | ValidatedType::ResourceControl);
    if strict && !sid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        report.error(
            "UNSUPPORTED_SID",
            node,
            "Update the characters in the Sid element to use one of the following character types: [a-z, A-Z, 0-9]",
        );
    }
    if sid.is_empty() {
        return report.suggest("EMPTY_SID_VALUE", node, "Add a value to the empty string in the Sid element.");
    }
    if !sids.contains(&sid) {
        return sids.push(sid);
    }
    if strict {
        report.error("UNIQUE_SIDS_REQUIRED", node, "Duplicate statement IDs are not supported for this policy type. Update the Sid value.");
    } else {
        report.warning(
            "UNIQUE_SIDS_RECOMMENDED",
            node,
            "We recommend that you use statement IDs that are unique to your policy. Update the Sid value.",
        );
    }
}

/// Statements that say what another says, their `Sid` apart.
fn redundant_statements(report: &mut Report, statements: &Node) {
    let items = statements.one_or_many();
    for (at, item) in items.iter().enumerate() {
        let twin = items.iter().take(at).any(|earlier| same_but_sid(earlier, item));
        if twin {
            report.within(Step::Item(at), |report| {
                report.suggest(
                    "REDUNDANT_STATEMENT",
                    item,
                    "The statements are identical. We recommend that you remove the redundant statement.",
                );
            });
        }
    }
}

fn same_but_sid(left: &Node, right: &Node) -> bool {
    let (Some(left), Some(right)) = (left.as_object(), right.as_object()) else { return false };
    let plain = |members: &[(String, Node)]| -> Vec<(String, String)> {
        let mut members: Vec<(String, String)> =
            members.iter().filter(|(name, _)| name != "Sid").map(|(name, node)| (name.clone(), canonical(node))).collect();
        members.sort();
        members
    };
    plain(left) == plain(right)
}

/// The value as text, without its places.
pub(super) fn canonical(node: &Node) -> String {
    match &node.value {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(text) => text.clone(),
        Json::String(text) => format!("{text:?}"),
        Json::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Json::Object(members) => {
            format!("{{{}}}", members.iter().map(|(name, node)| format!("{name:?}:{}", canonical(node))).collect::<Vec<_>>().join(","))
        }
    }
}
