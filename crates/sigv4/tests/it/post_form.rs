//! POST policies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sigv4::{PolicyDenial, PostForm, Secret, Signer, SigningKey};

use crate::at;

fn signer() -> Signer {
    Signer {
        access_key_id: "AKIAEXAMPLE".to_owned(),
        secret: Secret::new("secret"),
        session_token: None,
        region: "us-east-1".to_owned(),
        service: "s3".to_owned(),
    }
}

fn form(conditions: &str, extra: &[(&str, &str)]) -> Vec<(String, String)> {
    let credential = signer().credential("20261122");
    let policy = format!(
        r#"{{"expiration":"2026-11-22T13:00:00.000Z","conditions":[{{"bucket":"b"}},["starts-with","$key","user/"],{{"x-amz-credential":"{credential}"}},{{"x-amz-algorithm":"AWS4-HMAC-SHA256"}},{{"x-amz-date":"20261122T120000Z"}}{conditions}]}}"#
    );
    let policy = STANDARD.encode(policy);
    let signature = signer().sign_policy(&policy, "20261122").to_hex();
    let mut fields = vec![
        ("key", "user/photo"),
        ("X-Amz-Credential", &credential),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"),
        ("X-Amz-Date", "20261122T120000Z"),
        ("Policy", &policy),
        ("X-Amz-Signature", &signature),
    ];
    fields.extend_from_slice(extra);
    fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn check(fields: &[(String, String)], now: &str, size: u64) -> Result<(), PolicyDenial> {
    let form = PostForm::parse(fields).unwrap().unwrap();
    let key = SigningKey::derive("secret", "20261122", "us-east-1", "s3");
    form.verify(&key).unwrap();
    form.check_scope(&["us-east-1"], &["s3"]).unwrap();
    let policy = form.policy()?;
    policy.check(fields, "b", at(now))?;
    policy.check_length(size)
}

#[test]
fn forms_within_their_policy_pass() {
    let fields = form(
        r#",["starts-with","$Content-Type","image/"],["content-length-range",1,10],{"acl":"private"}"#,
        &[("content-type", "image/png, image/gif"), ("acl", "private"), ("x-ignore-note", "1"), ("file", "")],
    );
    assert_eq!(check(&fields, "20261122T125959Z", 10), Ok(()));
}

#[test]
fn forms_outside_their_policy_are_denied_in_s3s_words() {
    let message = |fields: &[(String, String)], now: &str, size: u64| {
        let reply = check(fields, now, size).unwrap_err().reply();
        format!("{} {} {}", reply.status, reply.code, reply.message)
    };
    let plain = form("", &[]);
    assert_eq!(message(&plain, "20261122T130000Z", 1), "403 AccessDenied Invalid according to Policy: Policy expired.");
    let extra = form("", &[("acl", "public-read")]);
    assert_eq!(message(&extra, "20261122T120000Z", 1), "403 AccessDenied Invalid according to Policy: Extra input fields: acl");
    let twice = form("", &[("KEY", "user/other")]);
    assert_eq!(message(&twice, "20261122T120000Z", 1), "403 AccessDenied Invalid according to Policy: Extra input fields: key");
    let missing = form(r#",{"acl":"public-read"}"#, &[]);
    assert_eq!(
        message(&missing, "20261122T120000Z", 1),
        r#"403 AccessDenied Invalid according to Policy: Policy Condition failed: ["eq", "$acl", "public-read"]"#
    );
    let kind = form(r#",["starts-with","$content-type","image/"]"#, &[("content-type", "image/png,text/html")]);
    assert_eq!(
        message(&kind, "20261122T120000Z", 1),
        r#"403 AccessDenied Invalid according to Policy: Policy Condition failed: ["starts-with", "$content-type", "image/"]"#
    );
    let range = form(r#",["content-length-range",2,10]"#, &[]);
    assert_eq!(message(&range, "20261122T120000Z", 11), "400 EntityTooLarge Your proposed upload exceeds the maximum allowed size");
    assert_eq!(message(&range, "20261122T120000Z", 1), "400 EntityTooSmall Your proposed upload is smaller than the minimum allowed size");
    let broken = form(r#",["matches","$acl","x"]"#, &[]);
    assert_eq!(message(&broken, "20261122T120000Z", 1), "400 InvalidPolicyDocument Invalid Policy: Invalid Condition: unknown operator.");
}

#[test]
fn changed_policies_are_refused() {
    let mut fields = form("", &[]);
    let policy = fields.iter_mut().find(|(name, _)| name == "Policy").unwrap();
    policy.1.replace_range(0..1, "f");
    let form = PostForm::parse(&fields).unwrap().unwrap();
    assert!(form.verify(&SigningKey::derive("secret", "20261122", "us-east-1", "s3")).is_err());
    assert!(PostForm::parse(&[("key".to_owned(), "x".to_owned())]).unwrap().is_none(), "an anonymous form");
    assert!(PostForm::parse(&[("policy".to_owned(), "x".to_owned())]).is_err(), "a policy without a signature");
}
