//! The words and numbers of refusals, per protocol.

use sigv4::{Claim, Protocol, SignatureError};

use crate::{at, headers, parts};

const GOOD: &str =
    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/iam/aws4_request, SignedHeaders=host;x-amz-date, Signature=00";

fn refusal(pairs: &[(&str, &str)], target: &str, now: &str, services: &[&str]) -> SignatureError {
    let mut all = vec![("host", "iam.test"), ("x-amz-date", "20261122T000000Z")];
    all.retain(|(name, _)| !pairs.iter().any(|(given, _)| given == name));
    all.extend(pairs.iter().filter(|(_, value)| !value.is_empty()));
    let map = headers(&all);
    let parts = parts("GET", target, &map);
    match Claim::parse(&parts) {
        Err(error) => error,
        Ok(claim) => claim.check(&parts, at(now), &["us-east-1"], services, if services == ["s3"] { 15 } else { 5 }).unwrap_err(),
    }
}

fn text(error: &SignatureError, service: &str, protocol: Protocol) -> String {
    let reply = error.reply(service, protocol);
    format!("{} {}: {}", reply.status, reply.code, reply.message)
}

const NOW: &str = "20261122T000000Z";

#[test]
fn scope_and_time_outside_s3() {
    let expired = refusal(&[("authorization", GOOD)], "/", "20261122T000501Z", &["iam"]);
    insta::assert_snapshot!(text(&expired, "iam", Protocol::Query), @"403 SignatureDoesNotMatch: Signature expired: 20261122T000000Z is now earlier than 20261122T000001Z (20261122T000501Z - 5 min.)");
    insta::assert_snapshot!(text(&expired, "kms", Protocol::Json), @"400 InvalidSignatureException: Signature expired: 20261122T000000Z is now earlier than 20261122T000001Z (20261122T000501Z - 5 min.)");
    let early = refusal(&[("authorization", GOOD)], "/", "20261121T235459Z", &["iam"]);
    insta::assert_snapshot!(text(&early, "bedrock", Protocol::RestJson), @"403 InvalidSignatureException: Signature not yet current: 20261122T000000Z is still later than 20261121T235959Z (20261121T235459Z + 5 min.)");
    let wrong = GOOD.replace("20261122/us-east-1/iam/aws4_request", "20261121/xx-1/ec2/aws3");
    let scope = refusal(&[("authorization", &wrong)], "/", NOW, &["iam"]);
    insta::assert_snapshot!(text(&scope, "iam", Protocol::Query), @"403 SignatureDoesNotMatch: Credential should be scoped to a valid Region, not 'xx-1'. Credential should be scoped to correct service: 'iam'. Credential should be scoped with a valid terminator: 'aws4_request', not 'aws3'. Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261121' != '20261122', from '20261122T000000Z'. ");
    let unsigned = refusal(&[("authorization", GOOD), ("x-amz-target", "X.Y")], "/", NOW, &["iam"]);
    insta::assert_snapshot!(text(&unsigned, "kms", Protocol::Json), @"400 InvalidSignatureException: 'x-amz-target' must be a 'SignedHeader' in the AWS Authorization.");
    let no_host = GOOD.replace("host;", "");
    let no_host = refusal(&[("authorization", &no_host)], "/", NOW, &["iam"]);
    insta::assert_snapshot!(text(&no_host, "kms", Protocol::Json), @"400 InvalidSignatureException: 'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.");
}

#[test]
fn malformed_headers() {
    let parts = refusal(&[("authorization", "AWS4-HMAC-SHA256 Credential=a"), ("x-amz-date", "")], "/", NOW, &["iam"]);
    insta::assert_snapshot!(text(&parts, "iam", Protocol::Query), @r#"400 IncompleteSignature: Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. (hashed with SHA-256 and encoded with Base64) Authorization=520Nq5bS80gLhTcgcZzjkP74XCXMcdxItgMCiiN4K6U="#);
    let equal = refusal(&[("authorization", "AWS4-HMAC-SHA256 Credential")], "/", NOW, &["iam"]);
    insta::assert_snapshot!(text(&equal, "kms", Protocol::Json), @r#"400 IncompleteSignatureException: 'Credential' not a valid key=value pair (missing equal-sign) in Authorization header (hashed with SHA-256 and encoded with Base64): 'KfSoC26UaBDGXxo5AUFS45c1cmAbyLKDOxOTKcZYWt4='."#);
    let algorithm = refusal(&[("authorization", "AWS4-HMAC-SHA512 Credential=a")], "/", NOW, &["iam"]);
    insta::assert_snapshot!(text(&algorithm, "kms", Protocol::Json), @r#"400 IncompleteSignatureException: Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'."#);
    insta::assert_snapshot!(text(&algorithm, "s3", Protocol::RestXml), @r#"400 InvalidRequest: The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256."#);
    let credential = GOOD.replace("us-east-1/", "");
    let credential = refusal(&[("authorization", &credential)], "/", NOW, &["iam"]);
    insta::assert_snapshot!(text(&credential, "kms", Protocol::Json), @r#"400 IncompleteSignatureException: Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got 'AKIDEXAMPLE/20261122/iam/aws4_request'"#);
    insta::assert_snapshot!(text(&credential, "s3", Protocol::RestXml), @r#"400 AuthorizationHeaderMalformed: The authorization header is malformed; the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request"."#);
    let none = refusal(&[], "/", NOW, &["iam"]);
    insta::assert_snapshot!(text(&none, "kms", Protocol::Json), @r#"400 MissingAuthenticationTokenException: Missing Authentication Token"#);
    insta::assert_snapshot!(text(&none, "iam", Protocol::Query), @r#"403 MissingAuthenticationToken: Request is missing Authentication Token"#);
    let both = refusal(&[("authorization", GOOD)], "/?X-Amz-Algorithm=AWS4-HMAC-SHA256", NOW, &["iam"]);
    insta::assert_snapshot!(text(&both, "s3", Protocol::RestXml), @r#"400 InvalidArgument: Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified"#);
}

#[test]
fn s3_refusals() {
    let header = GOOD.replace("/iam/", "/s3/").replace("us-east-1", "eu-west-1");
    let hash = ("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    let region = refusal(&[("authorization", &header), hash], "/", NOW, &["s3"]);
    insta::assert_snapshot!(text(&region, "s3", Protocol::RestXml), @r#"400 AuthorizationHeaderMalformed: The authorization header is malformed; the region 'eu-west-1' is wrong; expecting 'us-east-1'"#);
    assert_eq!(region.reply("s3", Protocol::RestXml).details, [("Region", "us-east-1".to_owned())]);
    let header = GOOD.replace("/iam/", "/s3/");
    let skewed = refusal(&[("authorization", &header), hash], "/", "20261122T001501Z", &["s3"]);
    insta::assert_debug_snapshot!(skewed.reply("s3", Protocol::RestXml), @r#"
    Reply {
        code: "RequestTimeTooSkewed",
        status: 403,
        message: "The difference between the request time and the current time is too large.",
        details: [
            (
                "RequestTime",
                "20261122T000000Z",
            ),
            (
                "ServerTime",
                "2026-11-22T00:15:01Z",
            ),
            (
                "MaxAllowedSkewMilliseconds",
                "900000",
            ),
        ],
    }
    "#);
    let unsigned = refusal(&[("authorization", &header), hash, ("x-amz-acl", "private")], "/", NOW, &["s3"]);
    insta::assert_debug_snapshot!(unsigned.reply("s3", Protocol::RestXml), @r#"
    Reply {
        code: "AccessDenied",
        status: 403,
        message: "There were headers present in the request which were not signed",
        details: [
            (
                "HeadersNotSigned",
                "x-amz-acl",
            ),
        ],
    }
    "#);
    let no_hash = refusal(&[("authorization", &header)], "/", NOW, &["s3"]);
    insta::assert_snapshot!(text(&no_hash, "s3", Protocol::RestXml), @r#"400 InvalidRequest: Missing required header for this request: x-amz-content-sha256"#);
    let bad_hash = refusal(&[("authorization", &header), ("x-amz-content-sha256", "abc")], "/", NOW, &["s3"]);
    insta::assert_snapshot!(text(&bad_hash, "s3", Protocol::RestXml), @r#"400 InvalidArgument: x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value."#);
}

#[test]
fn s3_presigned_refusals() {
    let target = |expires: &str| {
        format!(
            "/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F20261122%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20261122T000000Z{expires}&X-Amz-SignedHeaders=host&X-Amz-Signature=00"
        )
    };
    let no_date = ("x-amz-date", "");
    let reply = |expires: &str, now: &str| text(&refusal(&[no_date], &target(expires), now, &["s3"]), "s3", Protocol::RestXml);
    insta::assert_snapshot!(reply("", NOW), @r#"400 AuthorizationQueryParametersError: Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."#);
    insta::assert_snapshot!(reply("&X-Amz-Expires=x", NOW), @r#"400 AuthorizationQueryParametersError: X-Amz-Expires should be a number"#);
    insta::assert_snapshot!(reply("&X-Amz-Expires=-1", NOW), @r#"400 AuthorizationQueryParametersError: X-Amz-Expires must be non-negative"#);
    insta::assert_snapshot!(reply("&X-Amz-Expires=604801", NOW), @r#"400 AuthorizationQueryParametersError: X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds"#);
    insta::assert_snapshot!(reply("&X-Amz-Expires=60", "20261122T000101Z"), @r#"403 AccessDenied: Request has expired"#);
    insta::assert_snapshot!(reply("&X-Amz-Expires=60", "20261121T234459Z"), @r#"403 AccessDenied: Request is not yet valid"#);
}

#[test]
fn keys_and_tokens() {
    let unknown = SignatureError::UnknownKey { access_key_id: "AKIAX".to_owned() };
    let table = [
        (&unknown, "iam", Protocol::Query, 403, "InvalidClientTokenId"),
        (&unknown, "kms", Protocol::Json, 400, "UnrecognizedClientException"),
        (&unknown, "bedrock", Protocol::RestJson, 403, "UnrecognizedClientException"),
        (&unknown, "s3", Protocol::RestXml, 403, "InvalidAccessKeyId"),
        (&unknown, "ec2", Protocol::Ec2, 401, "AuthFailure"),
        (&SignatureError::ExpiredToken, "sts", Protocol::Query, 403, "ExpiredToken"),
        (&SignatureError::ExpiredToken, "kms", Protocol::Json, 400, "ExpiredTokenException"),
        (&SignatureError::ExpiredToken, "s3", Protocol::RestXml, 400, "ExpiredToken"),
        (&SignatureError::InvalidToken, "s3", Protocol::RestXml, 400, "InvalidToken"),
        (&SignatureError::InvalidToken, "iam", Protocol::Query, 403, "InvalidClientTokenId"),
    ];
    for (error, service, protocol, status, code) in table {
        let reply = error.reply(service, protocol);
        assert_eq!((reply.status, reply.code), (status, code), "{error:?} {protocol:?}");
    }
}
