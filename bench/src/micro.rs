//! The two hot paths alone: a decision, and the verification of a signature with a known key. Best of several rounds, so that what the
//! machine does beside falls out.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue};
use policy::{Attached, Check, MapContext, Policy, PolicyKind, PolicySet, PolicySource, Principal, PrincipalKind, Resource};
use serde_json::json;
use sigv4::{Claim, RequestParts, Secret, Signer, SigningKey};

use crate::Failure;

const ROUNDS: u32 = 20;
const CALLS: u32 = 5_000;
/// Attached policies of the principal; the one that allows comes last.
const POLICIES: usize = 10;

/// Name and time of one call.
pub(crate) fn measure() -> Result<Vec<(&'static str, Duration)>, Failure> {
    Ok(vec![("authorization, 10 attached policies", authorization()?), ("SigV4 verification, key known", verification()?)])
}

fn best(mut call: impl FnMut()) -> Duration {
    let round = |_| {
        let begun = Instant::now();
        (0..CALLS).for_each(|_| call());
        begun.elapsed() / CALLS
    };
    (0..ROUNDS).map(round).min().unwrap_or_default()
}

fn authorization() -> Result<Duration, Failure> {
    let mut identity = Vec::with_capacity(POLICIES);
    for number in 1..=POLICIES {
        let name = if number == POLICIES { "models".to_owned() } else { format!("team-{number}") };
        let text = json!({ "Version": "2012-10-17", "Statement": [
            { "Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket"], "Resource": [format!("arn:aws:s3:::{name}"), format!("arn:aws:s3:::{name}/*")],
              "Condition": { "StringEquals": { "aws:RequestedRegion": "us-east-1" } } },
            { "Effect": "Deny", "Action": "s3:Delete*", "Resource": "*", "Condition": { "Bool": { "aws:SecureTransport": "false" } } },
        ]});
        let policy =
            Policy::parse(&text.to_string(), PolicyKind::Identity).map_err(|error| format!("the policy is not valid: {error:?}"))?;
        identity.push(Attached::new(name, PolicySource::User, Arc::new(policy)));
    }
    let policies = PolicySet { identity, ..PolicySet::default() };
    let principal = Principal::new(PrincipalKind::User, "111122223333", "arn:aws:iam::111122223333:user/bench");
    let resource = Resource { arn: "arn:aws:s3:::models/weights/part-0001".to_owned(), ..Resource::default() };
    let check = Check::new("s3:GetObject", resource);
    let mut context = MapContext::new();
    context.set("aws:RequestedRegion", "us-east-1".to_owned()).set("aws:SecureTransport", "true".to_owned());
    if !policy::decide(&principal, &check, &policies, &context, None).allowed {
        return Err("the measured decision is not the one that was meant".to_owned());
    }
    Ok(best(|| {
        black_box(policy::decide(black_box(&principal), black_box(&check), black_box(&policies), &context, None));
    }))
}

fn verification() -> Result<Duration, Failure> {
    let (secret, date) = ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20261122");
    let now: jiff::Timestamp = "2026-11-22T12:00:00Z".parse().map_err(|error: jiff::Error| error.to_string())?;
    let body = br#"{"KeyId":"alias/bench","KeySpec":"AES_256"}"#;
    let hash = sigv4::sha256_hex(body);
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("host", "127.0.0.1:4566"), ("content-type", "application/x-amz-json-1.1"), ("x-amz-target", "TrentService.GenerateDataKey")]
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let signer = Signer {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        secret: Secret::new(secret),
        session_token: None,
        region: "us-east-1".to_owned(),
        service: "kms".to_owned(),
    };
    signer.sign("POST", "/", "", &mut headers, &hash, now).map_err(|error| error.to_string())?;
    let parts = RequestParts { method: "POST", path: "/", query: "", headers: &headers, authority: None };
    let key = SigningKey::derive(secret, date, "us-east-1", "kms");
    let verified = || {
        let claim = Claim::parse(&parts).ok()?;
        claim.check(&parts, now, &["us-east-1"], &["kms"], 5).ok()?;
        claim.verify(&parts, &key, &sigv4::sha256_hex(body)).ok()
    };
    verified().ok_or("the measured signature does not verify")?;
    Ok(best(|| {
        black_box(verified());
    }))
}
