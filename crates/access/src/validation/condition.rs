//! The `Condition` element: operators, keys, values, and what they do together.

use std::net::IpAddr;

use policy::{Json, Node, Operator, OperatorFamily, SetOperator};

use super::{Report, Step, has_wildcard, resource, variable};
use crate::vocabulary;

/// Condition keys of a statement, in lower case.
pub(super) fn keys(statement: &Node) -> Vec<String> {
    let operators = statement.get("Condition").and_then(Node::as_object).unwrap_or_default();
    operators.iter().filter_map(|(_, keys)| keys.as_object()).flatten().map(|(key, _)| key.to_lowercase()).collect()
}

/// Keys that are safer together with another.
const PAIRED: [(&str, &str); 3] = [
    ("aws:vpcsourceip", "aws:SourceVpc"),
    ("aws:ec2instancesourceprivateipv4", "aws:Ec2InstanceSourceVpc"),
    ("aws:sourcevpcarn", "aws:SourceAccount"),
];

pub(super) fn conditions(report: &mut Report, node: &Node, statement: &Node, variables: bool) {
    let Some(operators) = node.as_object() else {
        return report.error("DATA_TYPE_MISMATCH", node, "The text does not match the expected JSON data type Object.");
    };
    if operators.is_empty() {
        return report.suggest(
            "EMPTY_OBJECT_CONDITION",
            node,
            "This condition block is empty and it does not affect the policy. Specify conditions.",
        );
    }
    let present = keys(statement);
    for (name, keys) in operators {
        report.within(Step::Member(name.clone()), |report| block(report, name, keys, variables));
    }
    paired(report, node, &present);
}

fn paired(report: &mut Report, node: &Node, present: &[String]) {
    for (key, partner) in PAIRED {
        if present.iter().any(|known| known == key)
            && !present.iter().any(|known| *known == partner.to_lowercase())
            && key != "aws:sourcevpcarn"
        {
            report.security(
                "MISSING_PAIRED_CONDITION_KEYS",
                node,
                format!("Using the condition key {key} can be overly permissive without also using the following condition keys: {partner}. Condition keys like this one are more secure when paired with a related key. We recommend that you add the related condition keys to the same condition block."),
            );
        }
    }
}

fn block(report: &mut Report, name: &str, node: &Node, variables: bool) {
    let Some(operator) = Operator::parse(name) else {
        if name.ends_with("NullIfExists") {
            return report.error(
                "NULL_WITH_IF_EXISTS",
                node,
                "The Null condition operator cannot be used with the IfExists suffix. Update the operator or the suffix.",
            );
        }
        return report.error(
            "INVALID_CONDITION_OPERATOR",
            node,
            format!("The condition operator {name} is not valid. Use a valid condition operator."),
        );
    };
    let Some(keys) = node.as_object() else {
        return report.error("DATA_TYPE_MISMATCH", node, "The text does not match the expected JSON data type Object.");
    };
    if keys.is_empty() {
        return report.suggest(
            "EMPTY_OBJECT_CONDITION",
            node,
            "This condition block is empty and it does not affect the policy. Specify conditions.",
        );
    }
    for (at, (key, values)) in keys.iter().enumerate() {
        report.within(Step::Member(key.clone()), |report| {
            if keys.iter().take(at).any(|(earlier, _)| earlier.eq_ignore_ascii_case(key) && earlier != key) {
                report.error(
                    "DUPLICATE_KEYS_WITH_DIFFERENT_CASE",
                    values,
                    format!("The condition key {key} appears more than once with different capitalization in the same condition block. Remove the duplicate condition keys."),
                );
            }
            self::key(report, operator, name, key, values);
            list(report, operator, name, key, values, variables);
        });
    }
}

fn key(report: &mut Report, operator: Operator, name: &str, key: &str, node: &Node) {
    let lower = key.to_lowercase();
    let Some((prefix, _)) = lower.split_once(':') else {
        return report.error(
            "INVALID_CONDITION_KEY_FORMAT",
            node,
            format!("The condition key format {key} is not valid. Use the format service:keyname."),
        );
    };
    if lower == "aws:arn" {
        return report.error(
            "UNSUPPORTED_GLOBAL_CONDITION_KEY",
            node,
            "The condition key aws:ARN is not supported. Use aws:PrincipalArn or aws:SourceArn instead.",
        );
    }
    if vocabulary::TAG_KEYS.iter().any(|family| lower == *family || lower == format!("{family}/")) {
        return report.error(
            "MISSING_TAG_KEY_IN_CONDITION",
            node,
            format!("The condition key {key} must include a tag key to control access based on tags. Use the format {}/tag-key and specify a key name for tag-key.", key.trim_end_matches('/')),
        );
    }
    let Some(kind) = vocabulary::key_type(key) else {
        let details = match prefix {
            "aws" => {
                return report.error(
                    "INVALID_GLOBAL_CONDITION_KEY",
                    node,
                    format!("The condition key {key} does not exist. Use a valid condition key."),
                );
            }
            _ if vocabulary::service(prefix).is_none() && !is_identity_provider(prefix) => {
                return report.error("INVALID_SERVICE", node, format!("The service {prefix} does not exist. Use a valid service name."));
            }
            _ if is_identity_provider(prefix) => return,
            _ => format!("The condition key {key} does not exist in the service {prefix}. Use a valid condition key."),
        };
        return report.error("INVALID_SERVICE_CONDITION_KEY", node, details);
    };
    let many = kind.starts_with("ArrayOf");
    match operator.set {
        None if many && operator.family != OperatorFamily::Null => report.error(
            "MISSING_QUALIFIER",
            node,
            format!("The request context key {key} has multiple values. Use the ForAllValues or ForAnyValue condition key qualifiers in your policy."),
        ),
        Some(SetOperator::ForAllValues) if !many => report.security(
            "FORALLVALUES_WITH_SINGLE_VALUED_KEY",
            node,
            format!("Using ForAllValues qualifier with the single-valued condition key {key} can be overly permissive. We recommend that you remove ForAllValues:."),
        ),
        _ => {}
    }
    if let Some(expected) = mismatch(operator.family, kind.trim_start_matches("ArrayOf")) {
        report.warning(
            "TYPE_MISMATCH",
            node,
            format!("Use the operator type {expected} instead of operator {name} for the condition key {key}."),
        );
    }
}

/// Web identity providers have keys under their own host names.
fn is_identity_provider(prefix: &str) -> bool {
    prefix.contains('.') || matches!(prefix, "saml" | "codebuild" | "identitystore")
}

/// The type of operators that a key wants, if this one is not of it. Texts may be compared by string operators whatever they are.
fn mismatch(family: OperatorFamily, kind: &str) -> Option<&'static str> {
    let is_text = matches!(family, OperatorFamily::StringEquals | OperatorFamily::StringEqualsIgnoreCase | OperatorFamily::StringLike);
    match (kind, family) {
        (_, OperatorFamily::Null) => None,
        ("Bool", family) if family != OperatorFamily::Bool && !is_text => Some("Boolean"),
        ("Numeric", family) if !matches!(family, OperatorFamily::Numeric(_)) && !is_text => Some("Numeric"),
        ("Date", family) if !matches!(family, OperatorFamily::Date(_) | OperatorFamily::Numeric(_)) => Some("Date"),
        ("IPAddress", family) if family != OperatorFamily::IpAddress => Some("IP Address"),
        ("String", OperatorFamily::Numeric(_) | OperatorFamily::Date(_) | OperatorFamily::Bool | OperatorFamily::IpAddress) => {
            Some("String")
        }
        ("ARN", family) if !is_text && family != OperatorFamily::Arn => Some("ARN"),
        _ => None,
    }
}

fn list(report: &mut Report, operator: Operator, name: &str, key: &str, node: &Node, variables: bool) {
    if let Json::Array(items) = &node.value {
        if items.is_empty() {
            return empty(report, operator, node, key);
        }
        let kinds = |node: &Node| std::mem::discriminant(&node.value);
        if items.iter().any(|item| items.first().is_some_and(|first| kinds(first) != kinds(item))) {
            report.error(
                "INVALID_CONDITION_DATA_TYPE",
                node,
                "The condition value data types do not match. Use condition values of the same JSON data type.",
            );
        }
        if operator.family == OperatorFamily::Bool && items.len() > 1 {
            report.error(
                "INVALID_CONDITION_MULTIPLE_BOOLEAN",
                node,
                format!("The condition key {key} does not support multiple Boolean values. Use a single Boolean value."),
            );
        }
    }
    let texts: Vec<String> = node.one_or_many().iter().filter_map(text_of).collect();
    report.each(node, |report, item| match text_of(item) {
        None => report.error("DATA_TYPE_MISMATCH", item, "The text does not match the expected JSON data type String."),
        Some(text) => {
            value(report, operator, name, key, item, &text, variables);
            if texts.iter().filter(|other| **other == text).count() > 1 {
                report.suggest(
                    "REDUNDANT_CONDITION_VALUE_NUM",
                    item,
                    format!("Multiple values in {name} are redundant. Replace with the single condition value {text}."),
                );
            }
        }
    });
    if operator.family == OperatorFamily::IpAddress && key.eq_ignore_ascii_case("aws:SourceIp") {
        private_addresses(report, operator, node, &texts);
    }
}

fn text_of(node: &Node) -> Option<String> {
    match &node.value {
        Json::String(text) | Json::Number(text) => Some(text.clone()),
        Json::Bool(value) => Some(value.to_string()),
        _ => None,
    }
}

fn empty(report: &mut Report, operator: Operator, node: &Node, key: &str) {
    let test_null = "To determine if the request context is empty, we recommend that you use the Null condition operator with the value of true instead.";
    match (operator.set, operator.if_exists) {
        (Some(SetOperator::ForAllValues), _) => report.suggest(
            "EMPTY_ARRAY_CONDITION_FORALLVALUES",
            node,
            format!("The ForAllValues prefix with an empty condition key matches only if the key {key} is missing from the request context. {test_null}"),
        ),
        (Some(SetOperator::ForAnyValue), _) => report.suggest(
            "EMPTY_ARRAY_CONDITION_FORANYVALUE",
            node,
            format!("The ForAnyValue prefix with an empty condition key {key} never matches the request context and it does not affect the policy. Specify conditions."),
        ),
        (None, true) => report.suggest(
            "EMPTY_ARRAY_CONDITION_IFEXISTS",
            node,
            format!("The IfExists suffix with an empty condition key matches only if the key {key} is missing from the request context. {test_null}"),
        ),
        (None, false) => report.suggest(
            "EMPTY_ARRAY_CONDITION",
            node,
            format!("There are no values for the condition key {key} and it does not affect the policy. Specify conditions."),
        ),
    }
}

fn value(report: &mut Report, operator: Operator, name: &str, key: &str, node: &Node, text: &str, variables: bool) {
    let takes_variables = matches!(
        operator.family,
        OperatorFamily::StringEquals
            | OperatorFamily::StringEqualsIgnoreCase
            | OperatorFamily::StringLike
            | OperatorFamily::Arn
            | OperatorFamily::Bool
    );
    if text.contains("${") {
        if takes_variables {
            variable::check(report, node, text, variables);
        } else {
            report.error("INVALID_VARIABLE_FOR_OPERATOR", node, "Policy variables can only be used with String and ARN operators.");
        }
        return;
    }
    match operator.family {
        OperatorFamily::StringEquals | OperatorFamily::StringEqualsIgnoreCase if has_wildcard(text) => report.warning(
            "WILDCARD_WITHOUT_LIKE_OPERATOR",
            node,
            "Your condition value includes a * or ? character. If you meant to use a wildcard (*, ?), update the condition operator to include Like.",
        ),
        OperatorFamily::Numeric(_) if text.trim().parse::<f64>().is_err() => {
            report.warning("TYPE_MISMATCH_NUMBER", node, format!("Add a valid numeric value for the condition operator {name}."));
        }
        OperatorFamily::Bool | OperatorFamily::Null if !text.eq_ignore_ascii_case("true") && !text.eq_ignore_ascii_case("false") => {
            report.warning("TYPE_MISMATCH_BOOLEAN", node, format!("Add a valid Boolean value (true or false) for the condition operator {name}."));
        }
        OperatorFamily::Date(_) if policy::parse_date(text).is_none() => report.warning(
            "TYPE_MISMATCH_DATE",
            node,
            "The date condition operator is used with an invalid value. Specify a valid date using YYYY-MM-DD or other ISO 8601 date/time format.",
        ),
        OperatorFamily::Date(_) if text.bytes().all(|byte| byte.is_ascii_digit()) => report.warning(
            "INVALID_DATE_VALUE",
            node,
            format!("The date {text} might not resolve as expected. We recommend that you use the YYYY-MM-DD format."),
        ),
        OperatorFamily::IpAddress if block_of(text).is_none() => report.warning(
            "TYPE_MISMATCH_IP_RANGE",
            node,
            format!("The condition operator {name} is used with an invalid IP range value. Specify the IP range in standard CIDR format."),
        ),
        OperatorFamily::Arn if text != "*" && text.matches(':').count() < 5 && !text.ends_with('*') => {
            report.warning("TYPE_MISMATCH_ARN_PREFIX", node, format!("The condition operator {name} is used with a value that is no ARN. Specify an ARN."));
        }
        _ => {}
    }
    let lower = key.to_lowercase();
    if lower == "aws:requestedregion" && !has_wildcard(text) && !resource::is_region(text) {
        report.error("INVALID_REGION", node, format!("The Region {text} is not valid. Update the condition value to a suported Region."));
    }
    if matches!(lower.as_str(), "aws:principalservicename" | "iam:passedtoservice" | "kms:viaservice")
        && !has_wildcard(text)
        && !text.contains(".amazonaws.com")
    {
        report.error(
            "INVALID_SERVICE_PRINCIPAL_FORMAT",
            node,
            "The service principal does not match the expected format. Use the format service-name.amazonaws.com.",
        );
    }
}

fn block_of(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.trim().parse().ok()?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(width), |bits| bits.trim().parse().ok())?;
    (bits <= width).then_some((address, bits))
}

fn private_addresses(report: &mut Report, operator: Operator, node: &Node, texts: &[String]) {
    let is_private = |text: &String| match block_of(text) {
        Some((IpAddr::V4(address), bits)) => (address.is_private() && bits >= 8) || address.is_loopback() || address.is_link_local(),
        Some((IpAddr::V6(address), _)) => address.is_unique_local() || address.is_loopback(),
        None => false,
    };
    if texts.is_empty() || !texts.iter().any(is_private) {
        return;
    }
    let all = texts.iter().all(is_private);
    match (all, operator.negated) {
        (true, false) => report.error(
            "PRIVATE_IP_ADDRESS",
            node,
            "aws:SourceIp works only for public IP address ranges. The values for condition key aws:SourceIp include only private IP addresses and will not have the desired effect. Update the value to include only public IP addresses.",
        ),
        (true, true) => report.error(
            "PRIVATE_NOT_IP_ADDRESS",
            node,
            "The values for condition key aws:SourceIp include only private IP addresses and has no effect. aws:SourceIp works only for public IP address ranges. Update the value to include only public IP addresses.",
        ),
        (false, _) => report.suggest(
            "PRIVATE_IP_ADDRESS_IN_LIST",
            node,
            "The values for condition key aws:SourceIp include a mix of private and public IP addresses. The private addresses will not have the desired effect. aws:SourceIp works only for public IP address ranges. Update the value to include only public IP addresses.",
        ),
    }
}
