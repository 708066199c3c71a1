//! Answers that are known.

use policy::{Policy, PolicyKind, ResourceKind};

fn identity(statements: &str) -> Policy {
    let policy = Policy::parse_stored(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#), PolicyKind::Identity);
    assert_eq!(policy.problem(), None);
    policy
}

fn resource(statements: &str) -> Policy {
    let kind = PolicyKind::Resource(ResourceKind::Standard);
    let policy = Policy::parse_stored(&format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#), kind);
    assert_eq!(policy.problem(), None);
    policy
}

/// `=` nothing new, `+` new access, `?` undecided.
fn sign(analysis: &access::Analysis) -> char {
    match (analysis.findings.is_empty(), analysis.undecided.is_empty()) {
        (false, _) => '+',
        (true, false) => '?',
        (true, true) => '=',
    }
}

#[test]
fn new_access() {
    let allow = |action: &str, resource: &str| format!(r#"{{"Effect":"Allow","Action":{action},"Resource":"{resource}"}}"#);
    let when =
        |action: &str, condition: &str| format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"*","Condition":{condition}}}"#);
    let deny = |action: &str| format!(r#"{{"Effect":"Deny","Action":"{action}","Resource":"*"}}"#);
    let everything = allow(r#""*""#, "*");
    for (new, old, expected) in [
        (allow(r#""s3:GetObject""#, "arn:aws:s3:::b/*"), allow(r#""s3:Get*""#, "arn:aws:s3:::*"), '='),
        (allow(r#""s3:Get*""#, "*"), allow(r#""s3:GetObject""#, "*"), '+'),
        (
            allow(r#"["s3:GetObject","s3:PutObject"]"#, "*"),
            format!("{},{}", allow(r#""s3:GetObject""#, "*"), allow(r#""s3:PutObject""#, "*")),
            '=',
        ),
        (format!("{everything},{}", deny("s3:*")), r#"{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}"#.to_owned(), '='),
        (everything.clone(), format!("{everything},{}", deny("iam:PassRole")), '+'),
        (format!("{everything},{}", deny("iam:*")), format!("{everything},{}", deny("iam:PassRole")), '='),
        (
            when("s3:*", r#"{"NumericLessThan":{"s3:max-keys":"10"}}"#),
            when("s3:*", r#"{"NumericLessThanEquals":{"s3:max-keys":"10"}}"#),
            '=',
        ),
        (
            when("s3:*", r#"{"NumericLessThanEquals":{"s3:max-keys":"10"}}"#),
            when("s3:*", r#"{"NumericLessThan":{"s3:max-keys":"10"}}"#),
            '+',
        ),
        (
            when("s3:*", r#"{"IpAddress":{"aws:SourceIp":"10.1.0.0/16"}}"#),
            when("s3:*", r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}"#),
            '=',
        ),
        (
            when("s3:*", r#"{"IpAddress":{"aws:SourceIp":"10.0.0.0/7"}}"#),
            when("s3:*", r#"{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","11.0.0.0/8"]}}"#),
            '=',
        ),
        (
            when("s3:*", r#"{"Bool":{"aws:SecureTransport":"true"}}"#),
            when("s3:*", r#"{"BoolIfExists":{"aws:SecureTransport":"true"}}"#),
            '=',
        ),
        (
            when("s3:*", r#"{"BoolIfExists":{"aws:SecureTransport":"true"}}"#),
            when("s3:*", r#"{"Bool":{"aws:SecureTransport":"true"}}"#),
            '=',
        ),
        (
            when("s3:*", r#"{"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}}"#),
            when("s3:*", r#"{"Bool":{"aws:MultiFactorAuthPresent":"true"}}"#),
            '+',
        ),
        (when("s3:*", r#"{"StringLike":{"aws:SourceVpc":"vpc-1*"}}"#), when("s3:*", r#"{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#), '='),
        (when("s3:*", r#"{"StringNotEquals":{"aws:SourceVpc":"a"}}"#), when("s3:*", r#"{"Null":{"aws:SourceVpc":"false"}}"#), '+'),
        (
            when("s3:*", r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["a"]}}"#),
            when("s3:*", r#"{"ForAllValues:StringEquals":{"aws:TagKeys":["a","b"]}}"#),
            '=',
        ),
        (
            when("s3:*", r#"{"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}"#),
            when("s3:*", r#"{"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:01Z"}}"#),
            '=',
        ),
        (allow(r#""s3:*""#, "arn:aws:s3:::b/${aws:username}/*"), allow(r#""s3:*""#, "arn:aws:s3:::b/*"), '='),
        (allow(r#""s3:*""#, "arn:aws:s3:::b/${aws:username}/*"), allow(r#""s3:*""#, "arn:aws:s3:::b/${aws:username}/*"), '='),
        (allow(r#""s3:*""#, "arn:aws:s3:::b/*"), allow(r#""s3:*""#, "arn:aws:s3:::b/${aws:username}/*"), '+'),
        (allow(r#""s3:*""#, "arn:aws:s3:::b/${aws:username}/*"), allow(r#""s3:*""#, "arn:aws:s3:::b/${aws:username}/a*"), '+'),
    ] {
        let analysis = access::new_access(&identity(&new), &identity(&old), &[]);
        assert_eq!(sign(&analysis), expected, "{new}\n{old}\n{analysis:?}");
    }
}

#[test]
fn a_text_that_is_a_boolean_too() {
    let when = |condition: &str| format!(r#"{{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{condition}}}"#);
    let both =
        |texts: &str| when(&format!(r#"{{"ForAllValues:StringLike":{{"aws:SourceVpc":[{texts}]}},"Bool":{{"aws:SourceVpc":"true"}}}}"#));
    let if_exists =
        |texts: &str| when(&format!(r#"{{"StringLike":{{"aws:SourceVpc":[{texts}]}},"BoolIfExists":{{"aws:SourceVpc":"false"}}}}"#));
    let not = |texts: &str| when(&format!(r#"{{"StringNotLike":{{"aws:SourceVpc":[{texts}]}},"Bool":{{"aws:SourceVpc":"false"}}}}"#));
    for (new, old, expected) in [
        // No network is called like a boolean: both grant nothing with a value.
        (both(r#""vpc-1*","vpc-2*""#), both(r#""vpc-1*""#), '='),
        (both(r#""vpc-1*""#), both(r#""vpc-1*","vpc-2*""#), '='),
        (both(r#""vpc-1*","t*""#), both(r#""vpc-1*""#), '+'),
        (both(r#""vpc-1*","T*""#), both(r#""vpc-1*","t*""#), '+'),
        (both(r#""tr*""#), both(r#""t*""#), '='),
        (both(r#""TRUE""#), both(r#""TR*""#), '='),
        (if_exists(r#""f*""#), if_exists(r#""*""#), '='),
        (if_exists(r#""*""#), if_exists(r#""f*","F*""#), '='),
        (if_exists(r#""*""#), if_exists(r#""f*""#), '+'),
        (not(r#""f*""#), not(r#""fa*""#), '='),
        (not(r#""fa*""#), not(r#""f*""#), '+'),
        (not(r#""x*""#), not(r#""f*""#), '+'),
        (when(r#"{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#), both(r#""*""#), '+'),
    ] {
        let analysis = access::new_access(&identity(&new), &identity(&old), &[]);
        assert_eq!(sign(&analysis), expected, "{new}\n{old}\n{analysis:?}");
    }
}

#[test]
fn undecided_is_said() {
    let new = identity(r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"s3:max-keys":"1*"}}}"#);
    let old =
        identity(r#"{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{"NumericLessThan":{"s3:max-keys":"99999999999"}}}"#);
    assert_eq!(sign(&access::new_access(&new, &old, &[])), '?');
}

#[test]
fn callers() {
    let allow = |principal: &str, condition: &str| {
        format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"s3:GetObject","Resource":"*","Condition":{condition}}}"#)
    };
    let account = r#"{"AWS":"111111111111"}"#;
    for (new, old, expected) in [
        (allow(r#"{"AWS":"arn:aws:iam::111111111111:user/ana"}"#, "{}"), allow(account, "{}"), '='),
        (allow(account, "{}"), allow(r#"{"AWS":"arn:aws:iam::111111111111:user/ana"}"#, "{}"), '+'),
        (allow(r#""*""#, r#"{"StringEquals":{"aws:PrincipalAccount":"111111111111"}}"#), allow(account, "{}"), '='),
        (allow(account, "{}"), allow(r#""*""#, r#"{"StringEquals":{"aws:PrincipalAccount":"111111111111"}}"#), '='),
        (allow(r#""*""#, r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111111111111:role/*"}}"#), allow(account, "{}"), '='),
        (allow(r#"{"AWS":"*"}"#, "{}"), allow(r#""*""#, "{}"), '='),
        (allow(r#""*""#, "{}"), allow(r#"{"AWS":"*"}"#, "{}"), '+'),
        (
            allow(r#"{"Service":"sns.amazonaws.com"}"#, "{}"),
            allow(r#"{"AWS":"*"}"#, r#"{"Bool":{"aws:PrincipalIsAWSService":"true"}}"#),
            '=',
        ),
        (
            allow(r#"{"AWS":"arn:aws:sts::111111111111:assumed-role/r/s"}"#, "{}"),
            allow(r#"{"AWS":"arn:aws:iam::111111111111:role/r"}"#, "{}"),
            '+',
        ),
    ] {
        let analysis = access::new_access(&resource(&new), &resource(&old), &[]);
        assert_eq!(sign(&analysis), expected, "{new}\n{old}\n{analysis:?}");
    }
}

#[test]
fn granted() {
    let policy = identity(
        r#"{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::b/*"},{"Effect":"Deny","Action":"s3:Delete*","Resource":"*"}"#,
    );
    for (actions, resources, expected) in [
        (vec!["s3:GetObject"], vec![], '+'),
        (vec!["s3:DeleteObject"], vec![], '='),
        (vec!["iam:*", "s3:Delete*"], vec![], '='),
        (vec!["s3:*"], vec!["arn:aws:s3:::c/*"], '='),
        (vec!["s3:*"], vec!["arn:aws:s3:::c/*", "arn:aws:s3:::b/x"], '+'),
        (vec![], vec!["arn:aws:s3:::b/x"], '+'),
    ] {
        assert_eq!(sign(&access::granted_access(&policy, &actions, &resources, &[])), expected, "{actions:?} {resources:?}");
    }
}

#[test]
fn public() {
    let allow = |principal: &str, condition: &str| {
        format!(r#"{{"Effect":"Allow","Principal":{principal},"Action":"s3:GetObject","Resource":"*","Condition":{condition}}}"#)
    };
    let deny =
        r#",{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-1"}}}"#;
    for (statements, expected) in [
        (allow(r#""*""#, "{}"), '+'),
        (allow(r#"{"AWS":"*"}"#, "{}"), '+'),
        (allow(r#"{"AWS":"111111111111"}"#, "{}"), '='),
        (allow(r#"{"Service":"sns.amazonaws.com"}"#, "{}"), '='),
        (allow(r#""*""#, r#"{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}"#), '='),
        (allow(r#""*""#, r#"{"StringNotEquals":{"aws:PrincipalOrgID":"o-1"}}"#), '+'),
        (allow(r#""*""#, r#"{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-1"}}"#), '+'),
        (allow(r#""*""#, r#"{"StringLike":{"aws:SourceVpc":"vpc-*"}}"#), '+'),
        (allow(r#""*""#, r#"{"StringEquals":{"aws:SourceVpc":"vpc-1"}}"#), '='),
        (allow(r#""*""#, r#"{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}"#), '='),
        (allow(r#""*""#, r#"{"IpAddress":{"aws:SourceIp":"0.0.0.0/0"}}"#), '+'),
        (allow(r#""*""#, r#"{"StringEquals":{"aws:UserAgent":"x"}}"#), '+'),
        (allow(r#""*""#, r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::111111111111:role/*"}}"#), '='),
        (allow(r#""*""#, r#"{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/x"}}"#), '+'),
        (format!("{}{deny}", allow(r#""*""#, "{}")), '='),
    ] {
        let analysis = access::public_access(&resource(&statements), &[]);
        assert_eq!(sign(&analysis), expected, "{statements}\n{analysis:?}");
    }
}

#[test]
fn hostile_policies_end_soon() {
    let stars = "*a".repeat(400);
    let many: Vec<String> =
        (0..100).map(|n| format!(r#"{{"Effect":"Allow","Action":"s3:*{n}*x*","Resource":"arn:aws:s3:::{stars}{n}*"}}"#)).collect();
    let new = identity(&many.join(","));
    let old = identity(&many.iter().rev().skip(1).cloned().collect::<Vec<_>>().join(","));
    // What it answers does not matter, only that it does, and honestly.
    let analysis = access::new_access(&new, &old, &[]);
    for finding in analysis.findings {
        assert!(finding.witness.is_allowed_by(&new) && !finding.witness.is_allowed_by(&old));
    }
}
