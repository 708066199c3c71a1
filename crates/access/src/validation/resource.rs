//! The `Resource` and `NotResource` elements.

use policy::{Json, Node};

use super::{Report, has_wildcard, texts, variable};
use crate::vocabulary;

const PARTITIONS: [&str; 8] = ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-eusc"];
/// Services whose ARNs have neither region nor account.
const PLACELESS: [&str; 1] = ["s3"];
/// Services whose ARNs have no region.
const GLOBAL: [&str; 6] = ["iam", "sts", "organizations", "cloudfront", "waf", "globalaccelerator"];
/// Services whose ARNs have a region, always.
const REGIONAL: [&str; 10] = ["sqs", "sns", "lambda", "kms", "dynamodb", "logs", "events", "secretsmanager", "ssm", "kinesis"];

pub(super) fn resources(report: &mut Report, list: &Node, variables: bool) {
    if matches!(&list.value, Json::Array(items) if items.is_empty()) {
        return report.suggest(
            "EMPTY_ARRAY_RESOURCE",
            list,
            "This statement includes no resources and does not affect the policy. Specify resources.",
        );
    }
    let all: Vec<&str> = texts(Some(list)).collect();
    report.each(list, |report, node| match node.as_str() {
        Some(text) => {
            resource(report, node, text, variables);
            redundant(report, node, text, &all);
        }
        None => report.error("DATA_TYPE_MISMATCH", node, "The text does not match the expected JSON data type String."),
    });
}

fn redundant(report: &mut Report, node: &Node, text: &str, all: &[&str]) {
    let twice = all.iter().filter(|other| **other == text).count() > 1;
    if text != "*" && (all.contains(&"*") || twice) {
        let wider = if twice { text } else { "*" };
        report.suggest(
            "REDUNDANT_RESOURCE",
            node,
            format!(
                "The {} resource ARN(s) are redundant because they reference the same resource. Review the use of wildcards (*): {wider}",
                all.len()
            ),
        );
    }
}

fn resource(report: &mut Report, node: &Node, text: &str, variables: bool) {
    if text == "*" {
        return;
    }
    variable::check(report, node, text, variables);
    let Some(rest) = text.strip_prefix("arn:") else {
        if !has_wildcard(text.split(':').next().unwrap_or_default()) || !text.contains(':') {
            report.error("INVALID_ARN_PREFIX", node, "Add the required prefix (arn) to the resource ARN.");
        }
        return;
    };
    let fields: Vec<&str> = rest.splitn(5, ':').collect();
    let [partition, service, region, account, resource] = fields.as_slice() else {
        if !text.ends_with('*') {
            report.error(
                "MISSING_ARN_FIELD",
                node,
                "Resource ARNs must include at least 6 fields in the following structure: arn:partition:service:region:account:resource",
            );
        }
        return;
    };
    let open = |field: &str| has_wildcard(field) || field.contains("${");
    if !open(partition) && !PARTITIONS.contains(partition) {
        report.error(
            "INVALID_PARTITION",
            node,
            format!(
                "The resource ARN for the service {service} does not support the partition {partition}. Use the supported values: {}",
                PARTITIONS.join(", ")
            ),
        );
    }
    if service.chars().any(char::is_uppercase) {
        return report.error(
            "INVALID_ARN_SERVICE_CASE",
            node,
            format!("Update the service name {service} in the resource ARN to use all lowercase letters."),
        );
    }
    if has_wildcard(service) {
        report.suggest(
            "WILDCARD_IN_ARN_SERVICE",
            node,
            "Using a wildcard (*) in the service field of a resource ARN matches resources of several services. Name the service.",
        );
    } else if vocabulary::service(service).is_none()
        && !matches!(*service, "elasticloadbalancing" | "apigateway")
        && !is_arn_service(service)
    {
        report.error("INVALID_SERVICE", node, format!("The service {service} does not exist. Use a valid service name."));
    }
    let is_account = *account == "aws" || (account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()));
    if !account.is_empty() && !open(account) && !is_account {
        report.error(
            "INVALID_ARN_ACCOUNT",
            node,
            format!("The resource ARN account ID {account} is not valid. Provide a 12-digit account ID."),
        );
    }
    if PLACELESS.contains(service) && is_bucket_or_object(resource) {
        if !account.is_empty() && !open(account) {
            report.error(
                "ARN_ACCOUNT_NOT_ALLOWED",
                node,
                format!("The service {service} does not support specifying an account ID in the resource ARN."),
            );
        }
        if !region.is_empty() && !open(region) {
            report.error(
                "ARN_REGION_NOT_ALLOWED",
                node,
                format!("The service {service} does not support specifying a Region in the resource ARN."),
            );
        }
    }
    if GLOBAL.contains(service) && !region.is_empty() && *region != "*" {
        report.error(
            "ARN_REGION_NOT_ALLOWED",
            node,
            format!("The service {service} does not support specifying a Region in the resource ARN."),
        );
    }
    if REGIONAL.contains(service) && region.is_empty() {
        report.error("MISSING_ARN_REGION", node, format!("Add a Region to the {service} resource ARN."));
    }
    if !region.is_empty() && !open(region) && !is_region(region) {
        report.error(
            "INVALID_ARN_REGION",
            node,
            format!("The Region {region} is not valid for this resource. Update the resource ARN to include a supported Region."),
        );
    }
    if resource.is_empty() {
        report.error(
            "INVALID_ARN_RESOURCE",
            node,
            "Resource ARN does not match the expected ARN format. Update the resource portion of the ARN.",
        );
    }
}

/// Services that appear in ARNs under a name that is no prefix of actions.
fn is_arn_service(service: &str) -> bool {
    matches!(service, "aws-marketplace" | "catalog" | "cognito-identity" | "ses" | "states" | "mediaimport")
}

/// Whether the last field is a bucket or an object, not an access point or job.
fn is_bucket_or_object(resource: &str) -> bool {
    !["accesspoint/", "job/", "storage-lens/", "async-request/", "access-grants/"].iter().any(|kind| resource.starts_with(kind))
}

/// Whether it has the form of a region's name, such as `eu-central-1`.
pub(super) fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() >= 3
        && parts.last().is_some_and(|last| !last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit()))
        && parts
            .iter()
            .rev()
            .skip(1)
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
        && parts.first().is_some_and(|first| first.len() == 2 || *first == "eusc")
}
