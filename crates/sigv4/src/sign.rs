//! The client's side: signing requests. Used by our own command line and demo, and by the tests.

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use crate::canonical::{PathStyle, RequestParts, canonical_request, string_to_sign};
use crate::chunked::ChunkSeed;
use crate::error::SignatureError;
use crate::key::{Signature, SigningKey};
use crate::timestamp::format_timestamp;
use crate::{ALGORITHM, PRESIGNED_EXPIRES_MAX_SECONDS, UNSIGNED_PAYLOAD};

/// A secret access key. It is not shown by `Debug` and wiped when dropped (as far as the compiler lets it).
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

/// Signs requests for one region and service.
#[derive(Clone, Debug)]
pub struct Signer {
    /// The access key id.
    pub access_key_id: String,
    /// The secret access key.
    pub secret: Secret,
    /// The session token of temporary credentials.
    pub session_token: Option<String>,
    /// The region.
    pub region: String,
    /// The service's signing name.
    pub service: String,
}

/// Headers that are never signed because libraries and proxies change them.
const UNSIGNED_HEADERS: [&str; 8] =
    ["authorization", "connection", "expect", "te", "transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id"];

fn header_value(text: &str) -> Result<HeaderValue, SignatureError> {
    HeaderValue::from_str(text).map_err(|_| SignatureError::InvalidToken)
}

/// Percent-encodes all but the unreserved characters.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

impl Signer {
    fn key(&self, date: &str) -> SigningKey {
        SigningKey::derive(&self.secret.0, date, &self.region, &self.service)
    }

    fn scope(&self, date: &str) -> String {
        format!("{date}/{}/{}/aws4_request", self.region, self.service)
    }

    /// Adds `x-amz-date`, `x-amz-security-token`, for S3 `x-amz-content-sha256`, and `authorization` to the headers. `host` must be among
    /// them. `payload_hash` is the hex SHA-256 of the body or one of the marks such as [`UNSIGNED_PAYLOAD`].
    /// Returns what chunk signatures chain from.
    ///
    /// # Errors
    /// [`SignatureError::InvalidToken`] if the credential cannot stand in a header.
    pub fn sign(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &mut HeaderMap,
        payload_hash: &str,
        now: Timestamp,
    ) -> Result<ChunkSeed, SignatureError> {
        let time = format_timestamp(now);
        let date = time.get(..8).unwrap_or_default();
        let style = PathStyle::of_service(&self.service);
        headers.remove("authorization");
        headers.insert("x-amz-date", header_value(&time)?);
        if style == PathStyle::Once {
            headers.insert("x-amz-content-sha256", header_value(payload_hash)?);
        }
        if let Some(token) = &self.session_token {
            headers.insert("x-amz-security-token", header_value(token)?);
        }
        let signed_headers = signed_header_names(headers);
        let parts = RequestParts { method, path, query, headers, authority: None };
        let canonical = canonical_request(&parts, style, &signed_headers, &[], payload_hash);
        let (key, scope) = (self.key(date), self.scope(date));
        let signature = key.sign(&string_to_sign(&time, &scope, &canonical));
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={}",
            self.access_key_id,
            signature.to_hex()
        );
        headers.insert("authorization", header_value(&authorization)?);
        Ok(ChunkSeed { key, time, scope, signature })
    }

    /// Makes the query of a presigned URL: the given query with the signature's parameters behind it. `headers` are those that the later
    /// request must carry (at least `host`).
    ///
    /// # Errors
    /// [`SignatureError::ExpiresTooLong`] beyond a week.
    pub fn presign(
        &self,
        method: &str,
        path: &str,
        query: &str,
        headers: &HeaderMap,
        expires_seconds: u32,
        now: Timestamp,
    ) -> Result<String, SignatureError> {
        if expires_seconds > PRESIGNED_EXPIRES_MAX_SECONDS {
            return Err(SignatureError::ExpiresTooLong);
        }
        let time = format_timestamp(now);
        let date = time.get(..8).unwrap_or_default();
        let scope = self.scope(date);
        let signed_headers = signed_header_names(headers);
        let mut full = String::from(query);
        let mut add = |name: &str, value: &str| {
            if !full.is_empty() {
                full.push('&');
            }
            full.push_str(&format!("{name}={}", encoded(value)));
        };
        add("X-Amz-Algorithm", ALGORITHM);
        add("X-Amz-Credential", &format!("{}/{scope}", self.access_key_id));
        add("X-Amz-Date", &time);
        add("X-Amz-Expires", &expires_seconds.to_string());
        add("X-Amz-SignedHeaders", &signed_headers);
        if let Some(token) = &self.session_token {
            add("X-Amz-Security-Token", token);
        }
        let style = PathStyle::of_service(&self.service);
        let payload_hash = if style == PathStyle::Once { UNSIGNED_PAYLOAD } else { crate::EMPTY_PAYLOAD_SHA256 };
        let parts = RequestParts { method, path, query: &full, headers, authority: None };
        let canonical = canonical_request(&parts, style, &signed_headers, &[], payload_hash);
        let signature = self.key(date).sign(&string_to_sign(&time, &scope, &canonical));
        full.push_str(&format!("&X-Amz-Signature={}", signature.to_hex()));
        Ok(full)
    }

    /// Signs a base64 POST policy; the form carries it as `x-amz-signature`. The policy must name the credential of the same `date`.
    pub fn sign_policy(&self, policy_base64: &str, date: &str) -> Signature {
        self.key(date).sign(policy_base64.as_bytes())
    }

    /// The credential for a date (`YYYYMMDD`), as it stands in a POST form.
    pub fn credential(&self, date: &str) -> String {
        format!("{}/{}", self.access_key_id, self.scope(date))
    }
}

fn signed_header_names(headers: &HeaderMap) -> String {
    let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).filter(|name| !UNSIGNED_HEADERS.contains(name)).collect();
    names.sort_unstable();
    names.join(";")
}
