//! The names of AWS services as principals. AWS refuses a policy that names a service it does not know; it publishes no
//! list, so ours is what public sources name (`NOTICE`): better one name too many than one too few.
//!
//! Source: IAM User Guide, "AWS JSON policy elements: Principal", AWS service principals.

use std::collections::HashSet;
use std::sync::LazyLock;

static KNOWN: LazyLock<HashSet<&'static str>> = LazyLock::new(|| include_str!("../data/service_principals.txt").lines().collect());

/// Whether it is the name of an AWS service, also with a Region (`logs.eu-central-1.amazonaws.com`) or in the form of the
/// partition in China. A part of a known service (`logging.s3.amazonaws.com`) passes, and a name under `aws.internal`: no
/// source tells them all.
pub fn is_service_principal(name: &str) -> bool {
    let name = name.strip_suffix(".cn").filter(|rest| rest.ends_with(".amazonaws.com")).unwrap_or(name);
    if KNOWN.contains(name) {
        return true;
    }
    if let Some(service) = name.strip_suffix(".aws.internal") {
        return !service.is_empty() && !service.contains('/');
    }
    let Some(rest) = name.strip_suffix(".amazonaws.com") else { return false };
    let service = rest.rsplit_once('.').map_or(rest, |(service, region)| if is_region(region) { service } else { rest });
    let (part, whole) = service.rsplit_once('.').map_or(("", service), |(part, whole)| (part, whole));
    let has_form =
        |label: &str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (service == whole || part.split('.').all(has_form)) && KNOWN.contains(format!("{whole}.amazonaws.com").as_str())
}

/// The form of a Region's name: `eu-central-1`, `us-gov-west-1`.
fn is_region(text: &str) -> bool {
    let mut parts = text.rsplit('-');
    let number = parts.next().is_some_and(|part| part.len() == 1 && part.bytes().all(|byte| byte.is_ascii_digit()));
    let words: Vec<&str> = parts.collect();
    let is_word = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
    number && (2..=3).contains(&words.len()) && words.iter().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_known_by_their_names() {
        for name in [
            "ec2.amazonaws.com",
            "bedrock.amazonaws.com",
            "logs.eu-central-1.amazonaws.com",
            "delivery.logs.us-gov-west-1.amazonaws.com",
            "ec2.amazonaws.com.cn",
            "member.org.stacksets.cloudformation.amazonaws.com",
            "logging.s3.amazonaws.com",
            "alexa-appkit.amazon.com",
            "builder.aws.internal",
        ] {
            assert!(is_service_principal(name), "{name}");
        }
        for name in [
            "nope.amazonaws.com",
            "ec2.amazonaws.com.de",
            "ec2.amazon.com",
            "ec2",
            "EC2.amazonaws.com",
            ".amazonaws.com",
            "amazonaws.com",
            "eu-central-1.amazonaws.com",
            "ec2.eu-central-99.amazonaws.com",
            "ec2.x-y.amazonaws.com",
            "a..s3.amazonaws.com",
            ".s3.amazonaws.com",
            "*.s3.amazonaws.com",
            ".aws.internal",
            "",
        ] {
            assert!(!is_service_principal(name), "{name}");
        }
    }

    #[test]
    fn the_list_is_sorted_and_plain() {
        let lines: Vec<&str> = include_str!("../data/service_principals.txt").lines().collect();
        assert!(lines.is_sorted() && lines.len() == KNOWN.len());
        let plain = |line: &&str| line.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
        assert!(lines.iter().all(plain));
    }
}
