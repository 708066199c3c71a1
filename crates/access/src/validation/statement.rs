//! One statement: its elements, its actions, its principal, and combinations of them.

use policy::{Glob, Json, Node};

use super::{Report, Step, ValidatedType, condition, has_wildcard, resource, texts, variable};
use crate::vocabulary;

const ELEMENTS: [&str; 9] = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
const PAIRS: [(&str, &str); 3] = [("Action", "NotAction"), ("Principal", "NotPrincipal"), ("Resource", "NotResource")];

pub(super) fn statement(report: &mut Report, node: &Node, variables: bool) {
    let Some(members) = node.as_object() else {
        return report.error("DATA_TYPE_MISMATCH", node, "The text does not match the expected JSON data type Object.");
    };
    for (name, member) in members {
        if !ELEMENTS.contains(&name.as_str()) {
            report.within(Step::Member(name.clone()), |report| {
                report.error("INVALID_POLICY_ELEMENT", member, format!("The policy element {name} is not valid."));
            });
        }
    }
    for (left, right) in PAIRS {
        if node.get(left).is_some() && node.get(right).is_some() {
            report.error(
                "UNSUPPORTED_ELEMENT_COMBINATION",
                node,
                format!("The policy elements {left} and {right} can not be used in the same statement. Remove one of these elements."),
            );
        }
    }
    effect(report, node);
    principal(report, node);
    for name in ["Action", "NotAction"] {
        report.member(node, name, actions);
    }
    if node.get("Action").is_none() && node.get("NotAction").is_none() {
        report.error("MISSING_ACTION", node, "Add an Action or NotAction element to the policy statement.");
    }
    for name in ["Resource", "NotResource"] {
        report.member(node, name, |report, list| resource::resources(report, list, variables));
    }
    resource_presence(report, node);
    report.member(node, "Condition", |report, conditions| condition::conditions(report, conditions, node, variables));
    organization_rules(report, node);
    passing_roles(report, node);
}

fn effect(report: &mut Report, node: &Node) {
    let Some(effect) = node.get("Effect") else {
        return report.error("MISSING_EFFECT", node, "Add an Effect element to the policy statement with a value of Allow or Deny.");
    };
    report.within(Step::Member("Effect".to_owned()), |report| match effect.as_str() {
        Some("Allow" | "Deny") => {}
        Some(text) => report.error("INVALID_EFFECT", effect, format!("The effect {text} is not valid. Use Allow or Deny.")),
        None => report.error("DATA_TYPE_MISMATCH", effect, "The text does not match the expected JSON data type String."),
    });
}

fn is_allow(node: &Node) -> bool {
    node.get("Effect").and_then(Node::as_str) == Some("Allow")
}

fn actions(report: &mut Report, list: &Node) {
    if matches!(&list.value, Json::Array(items) if items.is_empty()) {
        return report.suggest(
            "EMPTY_ARRAY_ACTION",
            list,
            "This statement includes no actions and does not affect the policy. Specify actions.",
        );
    }
    let all: Vec<&str> = texts(Some(list)).collect();
    report.each(list, |report, node| match node.as_str() {
        Some(text) => action(report, node, text),
        None => report.error("DATA_TYPE_MISMATCH", node, "The text does not match the expected JSON data type String."),
    });
    report.each(list, |report, node| {
        let Some(text) = node.as_str() else { return };
        let lower = text.to_lowercase();
        let wider = all.iter().find(|other| {
            let other_lower = other.to_lowercase();
            other_lower != lower && has_wildcard(other) && !has_wildcard(text) && Glob::new(&other_lower).matches(&lower)
        });
        if let Some(wider) = wider {
            report.suggest(
                "REDUNDANT_ACTION",
                node,
                format!("The action {text} is redundant because it's already provided by {wider}. We recommend that you remove the redundant action."),
            );
        } else if all.iter().filter(|other| other.eq_ignore_ascii_case(text)).count() > 1 {
            report.suggest(
                "REDUNDANT_ACTION",
                node,
                format!("The {} action(s) are redundant because they provide similar permissions. Update the policy to remove the redundant action such as: {text}.", all.len()),
            );
        }
    });
}

fn action(report: &mut Report, node: &Node, text: &str) {
    if text == "*" {
        return;
    }
    if text.contains("${") {
        return report.error(
            "VARIABLE_UNSUPPORTED_IN_ELEMENT",
            node,
            "Policy variables are supported in the Resource and Condition elements. Remove the policy variable from this element.",
        );
    }
    let Some((prefix, name)) = text.split_once(':') else {
        return report.error(
            "MISSING_ACTION_SERVICE_PREFIX",
            node,
            format!("The action {text} does not exist. Use the format service:action."),
        );
    };
    let lower = prefix.to_lowercase();
    if prefix == "*" || has_wildcard(prefix) {
        if report.kind == ValidatedType::ResourceControl {
            report.error(
                "RCP_SYNTAX_ERROR_ACTION_WILDCARD",
                node,
                "RCP actions must name a service. Replace the wildcard in the service prefix.",
            );
        }
        return;
    }
    let Some(service) = vocabulary::service(&lower) else {
        return report.error("INVALID_SERVICE_IN_ACTION", node, format!("The service {prefix} specified in the action does not exist."));
    };
    let wanted = name.to_lowercase();
    let matched = if has_wildcard(name) {
        let glob = Glob::new(&wanted);
        service.actions.iter().any(|action| glob.matches(&action.to_lowercase()))
    } else {
        service.actions.iter().any(|action| action.eq_ignore_ascii_case(name))
    };
    if !matched {
        let hint = service.actions.iter().find(|action| is_near(&action.to_lowercase(), &wanted));
        let hint = hint.map(|action| format!(" Did you mean {lower}:{action}?")).unwrap_or_default();
        report.error("INVALID_ACTION", node, format!("The action {text} does not exist.{hint}"));
    }
}

/// Whether two names differ in one character at most, or one is the other in the plural.
fn is_near(left: &str, right: &str) -> bool {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let start = left.iter().zip(&right).take_while(|(left, right)| left == right).count();
    let end = left.iter().rev().zip(right.iter().rev()).take_while(|(left, right)| left == right).count();
    let longest = left.len().max(right.len());
    left.len().abs_diff(right.len()) <= 1 && start + end + 1 >= longest
}

fn resource_presence(report: &mut Report, node: &Node) {
    let has = node.get("Resource").is_some() || node.get("NotResource").is_some();
    match report.kind {
        ValidatedType::Trust if has => report.error(
            "UNSUPPORTED_ELEMENT_IN_TRUST_POLICY",
            node,
            "The policy type does not support the Resource element. Remove the Resource element.",
        ),
        ValidatedType::Trust | ValidatedType::Resource => {}
        _ if !has => report.error("MISSING_RESOURCE", node, "Add a Resource or NotResource element to the policy statement."),
        _ => {}
    }
}

fn principal(report: &mut Report, node: &Node) {
    let kind = report.kind;
    for name in ["Principal", "NotPrincipal"] {
        report.member(node, name, |report, principal| match kind {
            ValidatedType::Identity => report.error(
                "UNSUPPORTED_PRINCIPAL",
                principal,
                "The policy type IDENTITY_POLICY does not support the Principal element. Remove the Principal element.",
            ),
            ValidatedType::ServiceControl => report.error(
                "SCP_SYNTAX_ERROR_PRINCIPAL",
                principal,
                "SCPs do not support specifying principals. Remove the Principal or NotPrincipal element.",
            ),
            _ => principal_values(report, principal),
        });
    }
    if !kind.has_principal() {
        return;
    }
    if node.get("Principal").is_none() && node.get("NotPrincipal").is_none() {
        report.error("MISSING_PRINCIPAL", node, "Add a Principal element to the policy statement.");
    }
    if is_allow(node) {
        report.member(node, "NotPrincipal", |report, principal| {
            report.security(
                "ALLOW_WITH_NOT_PRINCIPAL",
                principal,
                "Using Allow with NotPrincipal can be overly permissive. We recommend that you use Principal instead.",
            );
        });
    }
    if kind == ValidatedType::Trust {
        mismatched_action(report, node);
    }
}

fn principal_values(report: &mut Report, principal: &Node) {
    let Some(members) = principal.as_object() else {
        if principal.as_str() != Some("*") {
            report.error(
                "INVALID_PRINCIPAL_FORMAT",
                principal,
                "The Principal element contents are not valid. Specify a key-value pair in the Principal element.",
            );
        }
        return;
    };
    if members.is_empty() {
        return report.suggest(
            "EMPTY_OBJECT_PRINCIPAL",
            principal,
            "This statement includes no principals and does not affect the policy. Specify principals.",
        );
    }
    for (key, list) in members {
        report.within(Step::Member(key.clone()), |report| {
            if !matches!(key.as_str(), "AWS" | "Service" | "Federated" | "CanonicalUser") {
                return report.error("INVALID_PRINCIPAL_KEY", list, format!("The principal key {key} is not valid."));
            }
            if matches!(&list.value, Json::Array(items) if items.is_empty()) {
                return report.suggest(
                    "EMPTY_ARRAY_PRINCIPAL",
                    list,
                    "This statement includes no principals and does not affect the policy. Specify principals.",
                );
            }
            report.each(list, |report, node| match node.as_str() {
                Some(text) => principal_value(report, node, key, text),
                None => report.error("DATA_TYPE_MISMATCH", node, "The text does not match the expected JSON data type String."),
            });
        });
    }
}

fn principal_value(report: &mut Report, node: &Node, key: &str, text: &str) {
    variable::unsupported(report, node, text);
    if text == "*" {
        return;
    }
    if has_wildcard(text) {
        return report.error(
            "UNSUPPORTED_WILDCARD_IN_PRINCIPAL",
            node,
            format!("Wildcards (*, ?) are not supported with the principal key {key}. Replace the wildcard with a valid principal value."),
        );
    }
    match key {
        "AWS" if text.starts_with("AROA") => report.warning(
            "INVALID_ROLE_REFERENCE",
            node,
            format!("The Principal element includes the IAM role ID {text}. We recommend that you use a role ARN instead."),
        ),
        "AWS" if text.starts_with("AIDA") => report.warning(
            "INVALID_USER_REFERENCE",
            node,
            format!("The Principal element includes the IAM user ID {text}. We recommend that you use a user ARN instead."),
        ),
        "AWS" if !is_account(text) && !text.starts_with("arn:") => report.error(
            "INVALID_PRINCIPAL_FORMAT",
            node,
            "The Principal element contents are not valid. Specify a key-value pair in the Principal element.",
        ),
        "Service" if !text.contains(".amazonaws.com") && !text.ends_with(".aws.internal") => report.error(
            "INVALID_SERVICE_PRINCIPAL_FORMAT",
            node,
            "The service principal does not match the expected format. Use the format service-name.amazonaws.com.",
        ),
        _ => {}
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A trust policy whose action does not fit the kind of its principal.
fn mismatched_action(report: &mut Report, node: &Node) {
    let Some(members) = node.get("Principal").and_then(Node::as_object) else { return };
    let federated: Vec<&str> = members.iter().filter(|(key, _)| key == "Federated").flat_map(|(_, list)| texts(Some(list))).collect();
    let others = members.iter().any(|(key, _)| key != "Federated");
    let listed: Vec<String> = texts(node.get("Action")).map(str::to_lowercase).collect();
    let saml = federated.iter().any(|provider| provider.contains(":saml-provider/"));
    let oidc = federated.iter().any(|provider| !provider.contains(":saml-provider/"));
    let wrong = listed.iter().find(|action| match action.as_str() {
        "sts:assumerolewithsaml" => !saml || others,
        "sts:assumerolewithwebidentity" => !oidc || others,
        "sts:assumerole" => !federated.is_empty(),
        _ => false,
    });
    if let Some(action) = wrong {
        report.member(node, "Action", |report, list| {
            report.error(
                "MISMATCHED_ACTION_FOR_PRINCIPAL",
                list,
                format!("The {action} action is invalid with the following principal(s): {}. Use a SAML provider principal with the sts:AssumeRoleWithSAML action or use an OIDC provider principal with the sts:AssumeRoleWithWebIdentity action. Ensure the provider is Federated if you use either of the two options.", federated.join(", ")),
            );
        });
    }
}

/// What Organizations refuses in resource control policies.
fn organization_rules(report: &mut Report, node: &Node) {
    if report.kind != ValidatedType::ResourceControl {
        return;
    }
    if is_allow(node) {
        report.member(node, "Effect", |report, effect| {
            report.error(
                "RCP_SYNTAX_ERROR_ALLOW",
                effect,
                "RCPs only support specifying all principals, all resources, and no conditions in the policy with effect Allow.",
            );
        });
    }
    report.member(node, "NotAction", |report, list| {
        report.error("RCP_SYNTAX_ERROR_NOTACTION", list, "RCPs do not support the NotAction element. Update to use the Action element.");
    });
    report.member(node, "NotPrincipal", |report, list| {
        report.error(
            "RCP_SYNTAX_ERROR_PRINCIPAL",
            list,
            "The Principal element contents are not valid. RCPs only support specifying all principals (*) in the Principal element.",
        );
    });
    report.member(node, "Action", |report, list| {
        report.each(list, |report, item| {
            if item.as_str() == Some("*") {
                report.error(
                    "RCP_SYNTAX_ERROR_ACTION_WILDCARD",
                    item,
                    "RCPs do not support using a wildcard (*) alone in the Action element.",
                );
            }
        });
    });
}

/// Grants to pass any role, or to create any service-linked role.
fn passing_roles(report: &mut Report, node: &Node) {
    if !is_allow(node) || report.kind.has_principal() {
        return;
    }
    let not_action = node.get("NotAction").is_some();
    let not_resource = node.get("NotResource").is_some();
    let star_resource = texts(node.get("Resource")).any(|text| text == "*" || is_any_role(text));
    let keys: Vec<String> = condition::keys(node);
    for (action, word, severity_is_security) in [("iam:passrole", "PASS_ROLE", true), ("iam:createservicelinkedrole", "CREATE_SLR", false)]
    {
        let listed = |list: Option<&Node>| texts(list).map(str::to_lowercase).collect::<Vec<_>>();
        let allowed = listed(node.get("Action"));
        let exact = allowed.iter().any(|listed| listed == action);
        let by_star = allowed.iter().any(|listed| has_wildcard(listed) && Glob::new(listed).matches(action));
        let by_not = not_action && !listed(node.get("NotAction")).iter().any(|listed| Glob::new(listed).matches(action));
        if severity_is_security && keys.iter().any(|key| key == "iam:passedtoservice") && !not_resource {
            continue;
        }
        if !severity_is_security && keys.iter().any(|key| key == "iam:awsservicename") {
            continue;
        }
        let found = match (exact, by_star, by_not, not_resource, star_resource) {
            (true, _, _, true, _) => Some(RoleRisk::NotResource),
            (_, true, _, true, _) => Some(RoleRisk::StarInActionAndNotResource),
            (_, _, true, true, _) => Some(RoleRisk::NotActionAndNotResource),
            (true, _, _, _, true) => Some(RoleRisk::StarInResource),
            (_, true, _, _, true) => Some(RoleRisk::StarInActionAndResource),
            (_, _, true, _, true) => Some(RoleRisk::StarInResourceAndNotAction),
            _ => None,
        };
        if let Some(risk) = found {
            risk.add(report, node, word == "PASS_ROLE");
        }
    }
}

/// Whether an ARN with wildcards stands for all roles.
fn is_any_role(text: &str) -> bool {
    text.strip_prefix("arn:").is_some() && (text.ends_with(":role/*") || text.ends_with(":*"))
}

#[derive(Debug, Clone, Copy)]
enum RoleRisk {
    NotResource,
    StarInActionAndNotResource,
    NotActionAndNotResource,
    StarInResource,
    StarInActionAndResource,
    StarInResourceAndNotAction,
}

impl RoleRisk {
    fn add(self, report: &mut Report, node: &Node, passes: bool) {
        let action = if passes { "iam:PassRole" } else { "iam:CreateServiceLinkedRole" };
        let (pass_code, create_code, start) = match self {
            Self::NotResource => {
                ("PASS_ROLE_WITH_NOT_RESOURCE", "CREATE_SLR_WITH_NOT_RESOURCE", format!("Using the {action} action with NotResource"))
            }
            Self::StarInActionAndNotResource => (
                "PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE",
                "CREATE_SLR_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE",
                if passes {
                    "Using an action with a wildcard (*) and NotResource".to_owned()
                } else {
                    "Using an action with a wildcard(*) and NotResource".to_owned()
                },
            ),
            Self::NotActionAndNotResource => (
                "PASS_ROLE_WITH_NOT_ACTION_AND_NOT_RESOURCE",
                "CREATE_SLR_WITH_NOT_ACTION_AND_NOT_RESOURCE",
                "Using NotAction with NotResource".to_owned(),
            ),
            Self::StarInResource => (
                "PASS_ROLE_WITH_STAR_IN_RESOURCE",
                "CREATE_SLR_WITH_STAR_IN_RESOURCE",
                format!("Using the {action} action with wildcards (*) in the resource"),
            ),
            Self::StarInActionAndResource => (
                "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE",
                "CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE",
                "Using wildcards (*) in the action and the resource".to_owned(),
            ),
            Self::StarInResourceAndNotAction => (
                "PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION",
                "CREATE_SLR_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION",
                "Using a resource with wildcards (*) and NotAction".to_owned(),
            ),
        };
        let scope = match self {
            Self::StarInActionAndResource | Self::StarInResourceAndNotAction => "all",
            _ => "multiple",
        };
        let verb = match self {
            Self::StarInResource | Self::StarInActionAndResource | Self::StarInResourceAndNotAction => "allows",
            _ => "can allow",
        };
        if passes {
            let advice = match self {
                Self::StarInResource | Self::StarInActionAndResource | Self::StarInResourceAndNotAction => {
                    "We recommend that you specify resource ARNs or add the iam:PassedToService condition key to your statement."
                }
                _ => "We recommend that you specify resource ARNs instead.",
            };
            let details =
                format!("{start} can be overly permissive because it {verb} iam:PassRole permissions on {scope} resources. {advice}");
            return report.security(pass_code, node, details);
        }
        let reason = match self {
            Self::NotResource => " for multiple resources".to_owned(),
            Self::StarInResource => String::new(),
            Self::NotActionAndNotResource => format!(" because it allows iam:CreateServiceLinkedRole permissions on {scope} resources"),
            _ => format!(" because it {verb} iam:CreateServiceLinkedRole permissions on {scope} resources"),
        };
        let details = format!(
            "{start} can allow creation of unintended service-linked roles{reason}. We recommend that you specify resource ARNs instead."
        );
        report.warning(create_code, node, details);
    }
}
