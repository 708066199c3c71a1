//! Identity-based policies, boundaries and session policies: the checks of IAM in their order.

use std::collections::HashSet;

use super::{MalformedPolicy, action_problem, condition_has_shape, values};
use crate::compile::is_statement_element;
use crate::json::{Json, Node};

const SYNTAX: &str = "Syntax errors in policy.";
const LEGACY: &str = "The policy failed legacy parsing";

/// Resource paths of IAM that a `Resource` may name.
const IAM_PATHS: [&str; 13] = [
    "user/",
    "federated-user/",
    "role/",
    "group/",
    "instance-profile/",
    "mfa/",
    "server-certificate/",
    "policy/",
    "sms-mfa/",
    "saml-provider/",
    "oidc-provider/",
    "report/",
    "access-report/",
];

/// Paths of resources that came after the text was written: AWS's own policies name them, the text does not.
const LATER_IAM_PATHS: [&str; 2] = ["role-template/", "delegation-request/"];

pub(super) fn validate(root: &Node) -> Result<(), MalformedPolicy> {
    let statements = check_syntax(root)?;
    if root.get("Version").and_then(Node::as_str) != Some("2012-10-17") {
        return Err(MalformedPolicy::new("Policy document must be version 2012-10-17 or greater."));
    }
    check_legacy(statements)?;
    let resource_problem = check_resources(statements)?;
    check_sids(statements)?;
    for statement in statements {
        if is_missing(statement, "Action", "NotAction") {
            return Err(MalformedPolicy::new("Policy statement must contain actions."));
        }
    }
    if let Some(problem) = resource_problem {
        return Err(MalformedPolicy::new(problem));
    }
    for statement in statements {
        let actions = values(statement.get("Action")).chain(values(statement.get("NotAction")));
        if let Some(problem) = actions.into_iter().find_map(action_problem) {
            return Err(MalformedPolicy::new(problem));
        }
    }
    for statement in statements {
        if is_missing(statement, "Resource", "NotResource") {
            return Err(MalformedPolicy::new("Policy statement must contain resources."));
        }
    }
    Ok(())
}

/// Whether neither of two elements lists anything.
fn is_missing(statement: &Node, name: &str, negation: &str) -> bool {
    values(statement.get(name)).next().is_none() && values(statement.get(negation)).next().is_none()
}

fn syntax(detail: impl Into<String>) -> MalformedPolicy {
    MalformedPolicy::new(SYNTAX).with_detail(detail)
}

fn check_syntax(root: &Node) -> Result<&[Node], MalformedPolicy> {
    let members = root.as_object().ok_or_else(|| syntax("the document is not an object"))?;
    for (name, value) in members {
        let good = match name.as_str() {
            "Version" => matches!(value.as_str(), Some("2008-10-17" | "2012-10-17")),
            "Id" => value.as_str().is_some(),
            "Statement" => true,
            _ => false,
        };
        if !good {
            return Err(syntax(format!("element `{name}`")));
        }
    }
    let statements = root.get("Statement").ok_or_else(|| syntax("`Statement` is missing"))?.one_or_many();
    if statements.is_empty() {
        return Err(syntax("`Statement` is empty"));
    }
    for statement in statements {
        check_statement_syntax(statement)?;
    }
    Ok(statements)
}

fn check_statement_syntax(statement: &Node) -> Result<(), MalformedPolicy> {
    let members = statement.as_object().ok_or_else(|| syntax("a statement is not an object"))?;
    for (name, value) in members {
        if matches!(name.as_str(), "Principal" | "NotPrincipal") {
            return Err(MalformedPolicy::new("Policy document should not specify a principal."));
        }
        let good = is_statement_element(name)
            && match name.as_str() {
                "Sid" => value.as_str().is_some(),
                "Effect" => {
                    value.as_str().is_some_and(|effect| effect.eq_ignore_ascii_case("allow") || effect.eq_ignore_ascii_case("deny"))
                }
                "Condition" => condition_has_shape(value),
                _ => is_string_list(value),
            };
        if !good {
            return Err(syntax(format!("statement element `{name}`")));
        }
    }
    if statement.get("Effect").is_none() {
        return Err(syntax("`Effect` is missing"));
    }
    for (name, negation) in [("Action", "NotAction"), ("Resource", "NotResource")] {
        if statement.get(name).is_some() && statement.get(negation).is_some() {
            return Err(syntax(format!("both `{name}` and `{negation}`")));
        }
    }
    Ok(())
}

fn is_string_list(node: &Node) -> bool {
    match &node.value {
        Json::String(_) => true,
        Json::Array(items) => items.iter().all(|item| item.as_str().is_some()),
        _ => false,
    }
}

fn check_legacy(statements: &[Node]) -> Result<(), MalformedPolicy> {
    for statement in statements {
        let effect = statement.get("Effect").and_then(Node::as_str);
        if !matches!(effect, Some("Allow" | "Deny")) {
            return Err(MalformedPolicy::new(LEGACY).with_detail("`Effect` is case-sensitive"));
        }
        let operators = statement.get("Condition").and_then(Node::as_object);
        for (operator, keys) in operators.unwrap_or_default() {
            let bare = operator.trim_start_matches("ForAnyValue:").trim_start_matches("ForAllValues:");
            if !bare.starts_with("Date") {
                continue;
            }
            for (_, list) in keys.as_object().unwrap_or_default() {
                if let Some(bad) = values(Some(list)).find(|text| !is_legacy_date(text)) {
                    return Err(MalformedPolicy::new(LEGACY).with_detail(format!("date `{bad}`")));
                }
            }
        }
    }
    Ok(())
}

/// The dates that IAM lets through on write. It is more generous than evaluation: some of these match nothing.
fn is_legacy_date(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if !lower.contains('t') && !lower.contains('-') {
        return lower.parse::<i64>().is_ok_and(|seconds| seconds >= 0);
    }
    let (date, time) = lower.split_once('t').unwrap_or((&lower, ""));
    let mut parts = date.strip_prefix('-').unwrap_or(date).split('-');
    let in_range =
        |part: Option<&str>, low: u32, high: u32| part.is_none_or(|text| text.parse().is_ok_and(|number| (low..=high).contains(&number)));
    in_range(parts.next(), 0, 292_278_993)
        && in_range(parts.next(), 1, 12)
        && in_range(parts.next(), 1, 31)
        && parts.next().is_none()
        && is_legacy_time(time)
}

fn is_legacy_time(text: &str) -> bool {
    if text.is_empty() {
        return true;
    }
    let in_range = |text: &str, high: u32| text.parse::<u32>().is_ok_and(|number| number <= high);
    let mut parts = text.splitn(3, ':');
    let hours = parts.next().is_some_and(|part| in_range(part, 23));
    let minutes = parts.next().is_none_or(|part| in_range(part, 59));
    let seconds = parts.next().is_none_or(|part| {
        let (seconds, zone) = match part.split_once('z') {
            Some((seconds, rest)) => (seconds, rest.is_empty()),
            None => match part.split_once('+') {
                Some((seconds, zone)) => (seconds, is_legacy_zone(zone)),
                None => (part, true),
            },
        };
        let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
        zone && in_range(whole, 59) && in_range(fraction, 999_999_999)
    });
    hours && minutes && seconds
}

fn is_legacy_zone(zone: &str) -> bool {
    let (hours, minutes) = zone.split_once(':').unwrap_or((zone, "00"));
    let two_digits = |text: &str, high: u32| text.len() == 2 && text.parse::<u32>().is_ok_and(|number| number <= high);
    two_digits(hours, 23) && two_digits(minutes, 59)
}

fn check_sids(statements: &[Node]) -> Result<(), MalformedPolicy> {
    let mut seen = HashSet::new();
    for sid in statements.iter().filter_map(|statement| statement.get("Sid")?.as_str()) {
        if !sid.chars().all(|character| character.is_ascii_alphanumeric()) {
            return Err(MalformedPolicy::new(
                "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
            ));
        }
        if !sid.is_empty() && !seen.insert(sid) {
            return Err(MalformedPolicy::new("Statement IDs (SID) in a single policy must be unique."));
        }
    }
    Ok(())
}

/// The first thing wrong with a resource, in AWS' words. What the old parser refuses is refused at once, unless
/// something else was found before it.
fn check_resources(statements: &[Node]) -> Result<Option<String>, MalformedPolicy> {
    let mut problem = None;
    for statement in statements {
        for name in ["Resource", "NotResource"] {
            let mut list: Vec<&str> = values(statement.get(name)).collect();
            // AWS reports the first in the order of text, not of the document.
            list.sort_unstable();
            for resource in &list {
                problem = problem.or_else(|| resource_problem(resource));
            }
            if problem.is_none() && list.iter().any(|resource| fails_legacy_parsing(resource)) {
                return Err(MalformedPolicy::new(LEGACY).with_detail("an ARN with too few segments"));
            }
        }
    }
    Ok(problem)
}

fn fails_legacy_parsing(resource: &str) -> bool {
    let too_few = resource.matches(':').count() < 5 && resource.contains("::");
    let no_vendor = resource.split(':').nth(2).is_some_and(str::is_empty);
    resource != "*" && (too_few || no_vendor)
}

fn resource_problem(resource: &str) -> Option<String> {
    if resource == "*" {
        return None;
    }
    let Some((_, rest)) = resource.split_once(':') else {
        return Some(format!("Resource {resource} must be in ARN format or \"*\"."));
    };
    let (partition, rest) = match rest.split_once(':') {
        Some((partition, rest)) => (partition, Some(rest)),
        None => (rest, None),
    };
    if !is_partition(partition) {
        return Some(partition_problem(partition, rest));
    }
    let (vendor, rest) = match rest {
        None => ("*", ""),
        Some(rest) => rest.split_once(':').unwrap_or((rest, "")),
    };
    if vendor.contains(['*', '?']) {
        return Some("Resource vendor must be fully qualified and cannot contain regexes.".to_owned());
    }
    let mut parts = rest.splitn(3, ':');
    let region = parts.next().unwrap_or_default();
    let account = parts.next().unwrap_or_default();
    let path = parts.next().unwrap_or_default();
    match vendor {
        "iam" if !region.is_empty() => Some(format!("IAM resource {resource} cannot contain region information.")),
        // Access points have region and account; buckets and objects have neither.
        "s3" if !region.is_empty() && account.is_empty() => Some(format!("Resource {resource} can not contain region information.")),
        "iam" if !is_iam_path(path) => Some(format!("IAM resource path must either be \"*\" or start with {}.", IAM_PATHS.join(", "))),
        _ => None,
    }
}

fn is_partition(text: &str) -> bool {
    text == "*" || text == "aws" || text.starts_with("aws-")
}

fn partition_problem(partition: &str, rest: Option<&str>) -> String {
    let mut parts = rest.unwrap_or("*").splitn(4, ':');
    let mut next = || parts.next().unwrap_or("*");
    let (vendor, region, account, path) = (next(), next(), next(), next());
    format!("Partition \"{partition}\" is not valid for resource \"arn:{partition}:{vendor}:{region}:{account}:{path}\".")
}

/// Whether what stands before the first wildcard can be the start of an IAM resource. The account's root is one
/// since AssumeRoot names it.
fn is_iam_path(path: &str) -> bool {
    let literal = path.split(['*', '?', '$']).next().unwrap_or_default();
    let open = literal.len() < path.len();
    path == "root"
        || IAM_PATHS.iter().chain(&LATER_IAM_PATHS).any(|start| literal.starts_with(start) || (open && start.starts_with(literal)))
}
