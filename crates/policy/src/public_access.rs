//! When S3 calls a bucket policy public.
//!
//! Source: S3 User Guide, "Blocking public access to your Amazon S3 storage", section "The meaning of public": a
//! policy is public unless every Allow names fixed principals, or limits everybody to fixed values of certain keys.

use crate::condition::{Condition, OperatorFamily, SetOperator};
use crate::policy::Policy;
use crate::principal::{PrincipalElement, PrincipalEntry};
use crate::statement::{Effect, Statement};

/// Keys whose fixed values make a statement for everybody non-public, in lower case.
const LIMITING_KEYS: [&str; 15] = [
    "aws:principalarn",
    "aws:principalaccount",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:principalservicename",
    "aws:sourcearn",
    "aws:sourcevpc",
    "aws:sourcevpcarn",
    "aws:sourcevpce",
    "aws:sourceowner",
    "aws:sourceaccount",
    "aws:sourceorgid",
    "aws:userid",
    "s3:x-amz-server-side-encryption-aws-kms-key-id",
    "s3:dataaccesspointaccount",
];

impl Policy {
    /// Whether the policy grants access that S3 Block Public Access calls public.
    pub fn is_public(&self) -> bool {
        self.statements().iter().any(is_public)
    }
}

fn is_public(statement: &Statement) -> bool {
    statement.effect == Effect::Allow && names_everybody(&statement.principal) && !statement.conditions.iter().any(limits)
}

fn names_everybody(principal: &PrincipalElement) -> bool {
    match principal {
        PrincipalElement::Implied => false,
        PrincipalElement::Only(entries) => entries.iter().any(PrincipalEntry::is_wildcard),
        PrincipalElement::Except(_) => true,
    }
}

/// Whether the condition limits everybody to fixed values of a key that S3 accepts for that.
fn limits(condition: &Condition) -> bool {
    let operator = condition.operator;
    if operator.negated || operator.if_exists || operator.set == Some(SetOperator::ForAllValues) {
        return false;
    }
    match operator.family {
        OperatorFamily::IpAddress => *condition.key.lower == *"aws:sourceip" && !covers_all(condition),
        OperatorFamily::StringEquals | OperatorFamily::StringEqualsIgnoreCase | OperatorFamily::StringLike | OperatorFamily::Arn => {
            let key = &*condition.key.lower;
            (LIMITING_KEYS.contains(&key) && condition.has_fixed_values())
                || (key == ACCESS_POINT_KEY && condition.written.iter().all(|arn| is_of_account(arn)))
        }
        _ => false,
    }
}

/// Its ARN may have wildcards in the access point's name: the account is what counts.
const ACCESS_POINT_KEY: &str = "s3:dataaccesspointarn";

/// Whether the account of an access point's ARN is fixed.
fn is_of_account(arn: &str) -> bool {
    crate::arn::account_of(arn).is_some_and(crate::principal::is_account_id)
}

/// Whether a list of address blocks has one that S3 takes for the whole Internet: wider than /8, for IPv6 wider
/// than /32.
fn covers_all(condition: &Condition) -> bool {
    condition.written.is_empty()
        || condition.written.iter().any(|block| {
            let width = match block.split_once('/') {
                Some((_, bits)) => bits.trim().parse::<u32>().unwrap_or(0),
                None => return false,
            };
            width < if block.contains(':') { 32 } else { 8 }
        })
}

#[cfg(test)]
mod tests {
    use crate::policy::{Policy, PolicyKind, ResourceKind};

    fn is_public(principal: &str, condition: &str) -> bool {
        let text = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Principal":{principal},
            "Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*","Condition":{condition}}}]}}"#
        );
        let policy = Policy::parse_stored(&text, PolicyKind::Resource(ResourceKind::S3Bucket));
        assert_eq!(policy.problem(), None);
        policy.is_public()
    }

    #[test]
    fn the_meaning_of_public() {
        for (principal, condition, expected) in [
            (r#""*""#, "{}", true),
            (r#"{"AWS":"*"}"#, "{}", true),
            (r#"{"AWS":"111111111111"}"#, "{}", false),
            (r#""*""#, r#"{"StringEquals":{"aws:SourceVpc":"vpc-91237329"}}"#, false),
            (r#""*""#, r#"{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#, true),
            (r#""*""#, r#"{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}"#, false),
            (r#""*""#, r#"{"StringNotEquals":{"aws:PrincipalOrgID":"o-1"}}"#, true),
            (r#""*""#, r#"{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-1"}}"#, true),
            (r#""*""#, r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#, false),
            (r#""*""#, r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}"#, true),
            (r#""*""#, r#"{"StringEquals":{"aws:UserAgent":"x"}}"#, true),
            (r#""*""#, r#"{"StringLike":{"s3:DataAccessPointArn":"arn:aws:s3:eu-west-1:123456789012:accesspoint/*"}}"#, false),
            (r#""*""#, r#"{"StringLike":{"s3:DataAccessPointArn":"arn:aws:s3:eu-west-1:*:accesspoint/*"}}"#, true),
            (r#""*""#, r#"{"StringLike":{"aws:userid":"AROAEXAMPLE:*"}}"#, true),
            (r#""*""#, r#"{"StringEquals":{"aws:userid":"AIDAEXAMPLE"}}"#, false),
        ] {
            assert_eq!(is_public(principal, condition), expected, "{principal} {condition}");
        }
    }
}
