//! Any text as the query and the authorization header of a request.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let (query, authorization) = text.split_once('\n').unwrap_or((&text, ""));
    let mut headers = http::HeaderMap::new();
    if let Ok(value) = http::HeaderValue::from_str(authorization)
        && !authorization.is_empty()
    {
        headers.insert("authorization", value);
    }
    headers.insert("x-amz-date", http::HeaderValue::from_static("20261122T000000Z"));
    let parts = sigv4::RequestParts { method: "GET", path: "/a/../b%2f", query, headers: &headers, authority: None };
    if let Ok(claim) = sigv4::Claim::parse(&parts) {
        let _ = claim.check(&parts, jiff::Timestamp::UNIX_EPOCH, &["us-east-1"], &["s3"], 15);
        let key = sigv4::SigningKey::derive("secret", "20261122", "us-east-1", "s3");
        let _ = claim.verify(&parts, &key, "UNSIGNED-PAYLOAD");
    }
});
