use super::*;
use crate::policy::{Policy, ResourceKind};

const IDENTITY: PolicyKind = PolicyKind::Identity;

fn message(text: &str, kind: PolicyKind) -> Option<String> {
    Policy::parse(text, kind).err().map(|error| error.message)
}

/// A policy of one statement with these members.
fn document(members: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{{members}}}]}}"#)
}

fn with_resource(resource: &str) -> String {
    document(&format!(r#""Effect":"Allow","Action":"s3:ListBucket","Resource":{resource}"#))
}

fn with_condition(condition: &str) -> String {
    document(&format!(r#""Effect":"Allow","Action":"s3:ListBucket","Resource":"*","Condition":{condition}"#))
}

const SYNTAX: &str = "Syntax errors in policy.";
const LEGACY: &str = "The policy failed legacy parsing";
const VENDOR: &str = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.";

#[test]
fn identity_policies_earn_the_recorded_texts() {
    let statement = |members: &str| document(members);
    for (text, expected) in [
        ("no json".to_owned(), SYNTAX),
        (r#"{"Version":"2012-10-17"}"#.to_owned(), SYNTAX),
        (r#"{"Version":"2012-10-17","Statement":[]}"#.to_owned(), SYNTAX),
        (r#"{"Version":"2012-10-17","Statement":["x"]}"#.to_owned(), SYNTAX),
        (r#"{"Version":"2013-10-17","Statement":[{}]}"#.to_owned(), SYNTAX),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"s3:x","Resource":"*"}}"#.to_owned(),
            "Policy document must be version 2012-10-17 or greater.",
        ),
        (
            r#"{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"s3:x","Resource":"*"}}"#.to_owned(),
            "Policy document must be version 2012-10-17 or greater.",
        ),
        (statement(r#""Effect":"Allow","Action":"s3:x","Resource":"*","Extra":"x""#), SYNTAX),
        (statement(r#""Effect":"Allow","Action":"s3:x","Action":"s3:y","Resource":"*""#), SYNTAX),
        (statement(r#""Effect":"Perhaps","Action":"s3:x","Resource":"*""#), SYNTAX),
        (statement(r#""Effect":"allow","Action":"s3:x","Resource":"*""#), LEGACY),
        (statement(r#""Action":"s3:x","Resource":"*""#), SYNTAX),
        (statement(r#""Effect":"Allow","Action":"x","Resource":"*""#), VENDOR),
        (statement(r#""Effect":"Allow","NotAction":"","Resource":"*""#), VENDOR),
        (statement(r#""Effect":"Allow","Action":"x""#), VENDOR),
        (statement(r#""Effect":"Allow","Action":"a a:x","Resource":"*""#), "Vendor a a is not valid"),
        (
            statement(r#""Effect":"Allow","Action":"s3:a:b","Resource":"*""#),
            "Actions/Condition can contain only one colon.",
        ),
        (statement(r#""Effect":"Allow""#), "Policy statement must contain actions."),
        (
            statement(r#""Effect":"Allow","Action":[],"Resource":"*""#),
            "Policy statement must contain actions.",
        ),
        (
            statement(r#""Effect":"Allow","Action":"s3:x""#),
            "Policy statement must contain resources.",
        ),
        (statement(r#""Effect":"Allow","Action":[[]],"Resource":"*""#), SYNTAX),
        (statement(r#""Effect":"Allow","Action":"s3:x","NotAction":"s3:y","Resource":"*""#), SYNTAX),
        (statement(r#""Sid":{},"Effect":"Allow","Action":"s3:x","Resource":"*""#), SYNTAX),
        (
            statement(r#""Sid":"a b","Effect":"Allow","Action":"s3:x","Resource":"*""#),
            "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
        ),
        (
            r#"{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Action":"s3:x","Resource":"*"},{"Sid":"a","Effect":"Allow"}]}"#.to_owned(),
            "Statement IDs (SID) in a single policy must be unique.",
        ),
        (
            statement(r#""Effect":"Allow","Principal":"*","Action":"s3:x","Resource":"*""#),
            "Policy document should not specify a principal.",
        ),
    ] {
        assert_eq!(message(&text, IDENTITY).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn resources_earn_the_recorded_texts() {
    for (resource, expected) in [
        (r#""invalid resource""#, "Resource invalid resource must be in ARN format or \"*\"."),
        (r#""""#, "Resource  must be in ARN format or \"*\"."),
        (r#"["adf"]"#, "Resource adf must be in ARN format or \"*\"."),
        (r#""a:bsdf""#, "Partition \"bsdf\" is not valid for resource \"arn:bsdf:*:*:*:*\"."),
        (r#""a:b:c""#, "Partition \"b\" is not valid for resource \"arn:b:c:*:*:*\"."),
        (r#""a:b:c:d:e:f:g:h""#, "Partition \"b\" is not valid for resource \"arn:b:c:d:e:f:g:h\"."),
        (r#""aws:s3:::b""#, "Partition \"s3\" is not valid for resource \"arn:s3:::b:*\"."),
        (r#"["arn:error:s3:::b","arn:error:s3::b"]"#, "Partition \"error\" is not valid for resource \"arn:error:s3:::b\"."),
        (r#""arn:aws""#, "Resource vendor must be fully qualified and cannot contain regexes."),
        (r#""arn:aws:s*:::b""#, "Resource vendor must be fully qualified and cannot contain regexes."),
        (r#""arn:aws:s3:us-east-1::b""#, "Resource arn:aws:s3:us-east-1::b can not contain region information."),
        (r#""arn:aws:iam:us-east-1::b""#, "IAM resource arn:aws:iam:us-east-1::b cannot contain region information."),
        (
            r#""arn:aws:iam:::b""#,
            "IAM resource path must either be \"*\" or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.",
        ),
        (r#""arn:aws:s3::b""#, LEGACY),
        (r#""arn:aws::::b""#, LEGACY),
        (r#""arn:aws::fdsasf""#, LEGACY),
        (r#"{"a":"b"}"#, SYNTAX),
        (r#"["a",{}]"#, SYNTAX),
    ] {
        let text = with_resource(resource);
        assert_eq!(message(&text, IDENTITY).as_deref(), Some(expected), "{resource}");
    }
    for resource in [
        r#""*""#,
        r#"["arn:aws:s3:::b","*"]"#,
        r#""arn:aws:iam:::user/b""#,
        r#""arn:aws:iam::*:*""#,
        r#""arn:aws:iam::*:root""#,
        r#""arn:aws:iam::*:user/${aws:username}""#,
        r#""arn:aws:fdsasf""#,
        r#""arn:aws-cn:s3:::b""#,
        r#""arn:aws:s3:eu-west-1:111111111111:accesspoint/a""#,
        r#""arn:aws:ec2:us-east-1::b""#,
    ] {
        assert_eq!(message(&with_resource(resource), IDENTITY), None, "{resource}");
    }
}

#[test]
fn conditions_are_checked() {
    for (condition, expected) in [
        ("[]", SYNTAX),
        (r#""a""#, SYNTAX),
        (r#"{"a":"b"}"#, SYNTAX),
        (r#"{"DateGreaterThan":"b"}"#, SYNTAX),
        (r#"{"DateGreaterThan":{"a":{}}}"#, SYNTAX),
        (r#"{"StringEquals":{"a":null}}"#, SYNTAX),
        (r#"{"x":{"a":"1"}}"#, SYNTAX),
        (r#"{"NullIfExists":{"a":"true"}}"#, SYNTAX),
        (r#"{"ForAnyValue::StringEqualsIfExists":{"a":"b"}}"#, SYNTAX),
        (r#"{"ForSomeValues:StringEquals":{"a":"b"}}"#, SYNTAX),
        (r#"{"DateGreaterThan":{"a":"sdfdsf"}}"#, LEGACY),
        (r#"{"DateLessThanEquals":{"a":"234-13"}}"#, LEGACY),
        (r#"{"DateLessThanEquals":{"a":"2016-12-13t2:00:00.593194+1"}}"#, LEGACY),
        (r#"{"DateLessThanEquals":{"a":"2016-12-13t2:00:00.1999999999+10:59"}}"#, LEGACY),
        (r#"{"DateLessThan":{"a":"9223372036854775808"}}"#, LEGACY),
    ] {
        let text = with_condition(condition);
        assert_eq!(message(&text, IDENTITY).as_deref(), Some(expected), "{condition}");
    }
    for condition in [
        "{}",
        r#"{"x":{},"y":{}}"#,
        r#"{"DateGreaterThan":{}}"#,
        r#"{"DateGreaterThan":{"a":[]}}"#,
        r#"{"DateGreaterThan":{"a":"01T"}}"#,
        r#"{"DateLessThanEquals":{"a":"2019-07-01T13:20:15Z"}}"#,
        r#"{"DateLessThanEquals":{"a":"2016-12-13T21:20:37.593194+00:00"}}"#,
        r#"{"DateLessThanEquals":{"a":"2016-12-13t2:00:00.593194+23"}}"#,
        r#"{"DateLessThan":{"a":"-292275054"}}"#,
        r#"{"ForAnyValue:StringEqualsIfExists":{"a":"b"}}"#,
        r#"{"NumericLessThan":{"s3:max-keys":10},"Bool":{"aws:SecureTransport":true}}"#,
    ] {
        assert_eq!(message(&with_condition(condition), IDENTITY), None, "{condition}");
    }
}

#[test]
fn trust_policies() {
    let trust = |members: &str| message(&document(members), PolicyKind::Trust);
    let good = r#""Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRole""#;
    assert_eq!(trust(good), None);
    for (members, expected) in [
        (format!(r#"{good},"Resource":"*""#), "Has prohibited field Resource"),
        (r#""Effect":"Allow","Action":"sts:AssumeRole""#.to_owned(), "Missing required field Principal"),
        (
            r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject""#.to_owned(),
            "AssumeRole policy may only specify STS AssumeRole actions.",
        ),
        (
            r#""Effect":"Allow","Principal":{"AWS":"nobody"},"Action":"sts:AssumeRole""#.to_owned(),
            "Invalid principal in policy: \"AWS\":\"nobody\"",
        ),
        (
            r#""Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com","nope.amazonaws.com"]},"Action":"sts:AssumeRole""#.to_owned(),
            "Invalid principal in policy: \"SERVICE\":\"nope.amazonaws.com\"",
        ),
        (
            r#""Effect":"Allow","Principal":{"Federated":"*"},"Action":"sts:AssumeRoleWithSAML""#.to_owned(),
            "Invalid principal in policy: \"FEDERATED\":\"*\"",
        ),
        (
            r#""Effect":"Deny","NotPrincipal":{"AWS":"111111111111"},"Action":"sts:AssumeRole""#.to_owned(),
            "Has prohibited field NotPrincipal",
        ),
    ] {
        assert_eq!(trust(&members).as_deref(), Some(expected), "{members}");
    }
    assert_eq!(message("{", PolicyKind::Trust).as_deref(), Some("This policy contains invalid Json"));
}

#[test]
fn bucket_and_key_policies() {
    let bucket = PolicyKind::Resource(ResourceKind::S3Bucket);
    let good = r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*""#;
    assert_eq!(message(&document(good), bucket), None);
    for (text, expected) in [
        ("x".to_owned(), "Policies must be valid JSON and the first byte must be '{'"),
        ("[]".to_owned(), "Policies must be valid JSON and the first byte must be '{'"),
        ("{}".to_owned(), "Missing required field Statement"),
        (r#"{"Statement":[]}"#.to_owned(), "Could not parse the policy: Statement is empty!"),
        (r#"{"Statement":[{}]}"#.to_owned(), "Missing required field Effect"),
        (document(&format!(r#"{good},"Foo":1"#)), "Unknown field Foo"),
        (
            document(r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:sqs:::b""#),
            "Policy has invalid resource",
        ),
        (
            document(
                r#""Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/*"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b""#,
            ),
            "Invalid principal in policy",
        ),
        (
            document(r#""Effect":"Allow","Principal":{"Service":"s3"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::b""#),
            "Invalid principal in policy",
        ),
        (document(r#""Effect":"Allow","Principal":"*","Action":"x","Resource":"arn:aws:s3:::b""#), "Policy has invalid action"),
        (document(r#""Effect":"Allow","Principal":"*","Action":"s3:GetObject""#), "Missing required field Resource"),
    ] {
        assert_eq!(message(&text, bucket).as_deref(), Some(expected), "{text}");
    }
    let key = r#""Sid":"Enable IAM policies","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"kms:*","Resource":"*""#;
    assert_eq!(message(&document(key), PolicyKind::KeyPolicy), None);
}

#[test]
fn organization_policies() {
    const REFUSED: &str = "The provided policy document does not meet the requirements of the specified policy type.";
    let scp = |members: &str| message(&document(members), PolicyKind::ServiceControl);
    let rcp = |members: &str| message(&document(members), PolicyKind::ResourceControl);
    assert_eq!(scp(r#""Effect":"Allow","Action":"*","Resource":"*""#), None);
    assert_eq!(
        scp(r#""Effect":"Allow","NotAction":"iam:*","Resource":"arn:aws:s3:::b","Condition":{"Bool":{"aws:SecureTransport":"true"}}"#),
        None
    );
    assert_eq!(scp(r#""Effect":"Deny","Principal":"*","Action":"*","Resource":"*""#).as_deref(), Some(REFUSED));
    assert_eq!(rcp(r#""Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*""#), None);
    for members in [
        r#""Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*""#,
        r#""Effect":"Deny","Principal":"*","Action":"*","Resource":"*""#,
        r#""Effect":"Deny","Principal":"*","NotAction":"s3:*","Resource":"*""#,
        r#""Effect":"Deny","Principal":{"AWS":"111111111111"},"Action":"s3:*","Resource":"*""#,
        r#""Effect":"Deny","NotPrincipal":"*","Action":"s3:*","Resource":"*""#,
        r#""Effect":"Deny","Action":"s3:*","Resource":"*""#,
    ] {
        assert_eq!(rcp(members).as_deref(), Some(REFUSED), "{members}");
    }
}

#[test]
fn sizes() {
    let padded = |count: usize, padding: char| {
        let mut text = with_resource(r#""*""#);
        text.extend(std::iter::repeat_n(padding, count));
        text
    };
    // White space does not count for IAM, but for Organizations and endpoints.
    assert_eq!(message(&padded(20_000, ' '), IDENTITY), None);
    let error = Policy::parse(&padded(20_000, ' '), PolicyKind::ServiceControl).unwrap_err();
    assert_eq!(error.malformation, Malformation::TooLong);
    let list = vec![r#""arn:aws:s3:::bucket""#; 400].join(",");
    let text = with_resource(&format!("[{list}]"));
    let error = Policy::parse(&text, PolicyKind::Boundary).unwrap_err();
    assert_eq!(error.malformation, Malformation::TooLong);
    assert_eq!(error.message, "Cannot exceed quota for PolicySize: 6144");
    assert_eq!(message(&text, IDENTITY), None);
    assert!(message("{\"Version\":\"\u{4e00}\"}", IDENTITY).is_some());
}
