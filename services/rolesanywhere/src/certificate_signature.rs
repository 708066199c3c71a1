//! The signature of a request that a certificate's key made.
//!
//! It is Signature Version 4 with another algorithm name, the certificate's serial number in place of an access key id, and the certificate
//! in a signed header.
//!
//! Source: IAM Roles Anywhere User Guide, "The IAM Roles Anywhere authentication process".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certificate::{Certificate, Digest};
use http::HeaderMap;
use sigv4::RequestParts;

use crate::error::RolesAnywhereError;

/// Certificates of a chain header.
const CHAIN: usize = 5;
/// Headers that must be signed.
const SIGNED: [&str; 3] = ["host", "x-amz-date", "x-amz-x509"];
/// By how many milliseconds clocks may differ.
const SKEW_MS: i64 = 5 * 60 * 1000;

/// What a request says and proves: the certificate, whose key signed it, and what was sent along to follow it to an anchor.
#[derive(Clone, Debug)]
pub(crate) struct SignedBy {
    pub certificate: Certificate,
    pub intermediates: Vec<Certificate>,
}

fn denied(text: &str) -> RolesAnywhereError {
    RolesAnywhereError::AccessDenied(text.to_owned())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn decode(text: &str) -> Option<Certificate> {
    Certificate::from_der(&STANDARD.decode(text.trim()).ok()?).ok()
}

/// One parameter of the `Authorization` header.
fn parameter<'a>(rest: &'a str, name: &str) -> Option<&'a str> {
    rest.split(',').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Proves that the certificate's key signed this request, for this region, now.
pub(crate) fn verify(parts: &RequestParts<'_>, body: &[u8], region: &str, now_ms: i64) -> Result<SignedBy, RolesAnywhereError> {
    let missing = || denied("Missing or malformed certificate signature");
    let authorization = header(parts.headers, "authorization").ok_or_else(missing)?;
    let (algorithm, rest) = authorization.split_once(' ').ok_or_else(missing)?;
    let rsa = match algorithm {
        "AWS4-X509-RSA-SHA256" => true,
        "AWS4-X509-ECDSA-SHA256" => false,
        _ => return Err(missing()),
    };
    let credential = parameter(rest, "Credential").ok_or_else(missing)?;
    let signed_headers = parameter(rest, "SignedHeaders").ok_or_else(missing)?;
    let signature = parameter(rest, "Signature").and_then(|text| hex::decode(text).ok()).ok_or_else(missing)?;
    let certificate = header(parts.headers, "x-amz-x509").and_then(decode).ok_or_else(missing)?;
    let chain: Vec<&str> = header(parts.headers, "x-amz-x509-chain").map(|chain| chain.split(',').collect()).unwrap_or_default();
    if chain.len() > CHAIN {
        return Err(missing());
    }
    let intermediates = chain.into_iter().map(decode).collect::<Option<Vec<_>>>().ok_or_else(missing)?;
    let names: Vec<&str> = signed_headers.split(';').collect();
    let has_chain = parts.headers.contains_key("x-amz-x509-chain");
    if !SIGNED.iter().all(|name| names.contains(name)) || (has_chain && !names.contains(&"x-amz-x509-chain")) {
        return Err(denied("There were headers present in the request which were not signed"));
    }
    let (serial, scope) = credential.split_once('/').ok_or_else(missing)?;
    let time = header(parts.headers, "x-amz-date").ok_or_else(missing)?;
    let signed_ms = sigv4::parse_timestamp(time).ok_or_else(missing)?.as_millisecond();
    let date = time.get(..8).unwrap_or_default();
    if scope != format!("{date}/{region}/rolesanywhere/aws4_request") || serial != certificate.serial_decimal() {
        return Err(denied("Credential scope does not match the request"));
    }
    if signed_ms.abs_diff(now_ms) > SKEW_MS.unsigned_abs() {
        return Err(denied("Signature expired or not yet current"));
    }
    if certificate.public_key.is_rsa() != rsa {
        return Err(missing());
    }
    let canonical = sigv4::canonical_request_of(parts, signed_headers, &sigv4::sha256_hex(body));
    let to_sign = format!("{algorithm}\n{time}\n{scope}\n{}", sigv4::sha256_hex(&canonical));
    if !certificate.public_key.verifies(Digest::Sha256, to_sign.as_bytes(), &signature) {
        return Err(denied("The request signature we calculated does not match the signature you provided"));
    }
    Ok(SignedBy { certificate, intermediates })
}
