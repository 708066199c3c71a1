//! Bearer keys of Bedrock: who sent a request that bears `Authorization: Bearer ...` (or, where a door takes it, `x-api-key`).
//!
//! Two kinds. A *long-term* key (`ABSK...`) is a service-specific credential of a user; the [`Directory`](crate::Directory) opens it. A
//! *short-term* key (`bedrock-api-key-...`) is a presigned request for `CallWithBearerToken` in base64: whoever could sign it is the
//! caller, for as long as the signature and its session last, and in the region that it was signed for.
//!
//! A bearer key proves who calls and nothing else. Each call that comes by one needs `bedrock:CallWithBearerToken` besides its own action,
//! with `bedrock:bearerTokenType` in the context.
//!
//! Source: Amazon Bedrock User Guide, "API keys" and "Control permissions for generating and using Amazon Bedrock API keys"; the form of
//! short-term keys as AWS's token generators make them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::{alphabet, engine::DecodePaddingMode};
use http::HeaderMap;
use sigv4::{Claim, Form, RequestParts, SignatureError};

use crate::authenticate::{self, Rejected};
use crate::error::ApiError;
use crate::pipeline::Plane;
use crate::principal::Principal;

/// Permission that every call by a bearer key needs besides its own.
pub const ACTION: &str = "bedrock:CallWithBearerToken";
/// Prefix of the ids of service-specific credentials.
pub const CREDENTIAL_ID_PREFIX: &str = "ACCA";
/// Longest key that is looked at: a session token stands in it, twice encoded.
const LENGTH_LIMIT: usize = 32 * 1024;
const LONG_TERM_PREFIX: &str = "ABSK";
const SHORT_TERM_PREFIX: &str = "bedrock-api-key-";
/// Follows the signed query.
const VERSION: &str = "&Version=1";
/// Twelve hours.
const SHORT_TERM_SECONDS_MAX: u32 = 43_200;
/// Minutes that a signer's clock may be ahead.
const SKEW_MINUTES: i64 = 5;
/// Operations of the services below that take signatures only.
const SIGNED_ONLY: [&str; 1] = ["InvokeModelWithBidirectionalStream"];
/// Signing name of the services below.
pub(crate) const SIGNING_NAME: &str = "bedrock";
/// Services, by their id in the facts, that take bearer keys.
const SERVICES: [&str; 2] = ["bedrock", "bedrock-runtime"];

const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// The kind of a bearer key, as `bedrock:bearerTokenType` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BearerTokenType {
    ShortTerm,
    LongTerm,
}

impl BearerTokenType {
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortTerm => "SHORT_TERM",
            Self::LongTerm => "LONG_TERM",
        }
    }
}

/// A caller who proved itself by a bearer key.
#[derive(Clone, Debug)]
pub struct Bearer {
    pub principal: Arc<Principal>,
    pub token_type: BearerTokenType,
    /// When a short-term key was signed, milliseconds since 1970.
    pub signed_ms: Option<i64>,
}

/// Why a bearer key opens nothing, and whose it would have been.
#[derive(Debug)]
pub struct BearerFailure {
    pub error: ApiError,
    /// Nobody, in the account of the key; set when the key is one that the account had or has.
    pub principal: Option<Arc<Principal>>,
}

/// The key of an `Authorization: Bearer` header.
pub fn token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The key of an `x-api-key` header: for doors whose clients send it there. The AWS door does not look at it.
pub fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-api-key")?.to_str().ok().map(str::trim)
}

/// Whether the id is that of a service-specific credential and not of an access key.
pub(crate) fn is_credential_id(id: &str) -> bool {
    id.starts_with(CREDENTIAL_ID_PREFIX)
}

/// Whether an operation takes bearer keys.
pub(crate) fn takes(service: &str, operation: &str) -> bool {
    SERVICES.contains(&service) && !SIGNED_ONLY.contains(&operation)
}

/// The region that a short-term key was signed for; read and not yet believed.
pub fn region_of(token: &str) -> Option<String> {
    let signed = Signed::read(token)?;
    Claim::parse(&signed.parts()).ok().map(|claim| claim.scope().region.to_owned())
}

fn invalid() -> ApiError {
    ApiError::new("AccessDeniedException", "Authentication failed: Please make sure your API Key is valid.").with_status(403)
}

fn expired() -> ApiError {
    ApiError::new("AccessDeniedException", "Bearer Token has expired").with_status(403)
}

fn unknown(error: ApiError) -> BearerFailure {
    BearerFailure { error, principal: None }
}

fn of_account(error: ApiError, principal: &Principal) -> BearerFailure {
    let nobody = Principal { account: principal.account.clone(), access_key_id: principal.access_key_id.clone(), ..Principal::anonymous() };
    BearerFailure { error, principal: Some(Arc::new(nobody)) }
}

/// Proves who bears the key. `region` is the one that the call works in: a short-term key is good in its own only.
///
/// # Errors
/// `AccessDeniedException` with status 403 for a key that is unknown, altered, inactive, expired or of another region.
pub async fn authenticate(plane: &Plane, token: &str, region: &str) -> Result<Bearer, BearerFailure> {
    if token.len() > LENGTH_LIMIT {
        return Err(unknown(invalid()));
    }
    if token.starts_with(LONG_TERM_PREFIX) {
        return long_term(plane, token).await;
    }
    short_term(plane, token, region).await
}

async fn long_term(plane: &Plane, token: &str) -> Result<Bearer, BearerFailure> {
    let at = plane.refresh_identities().await.map_err(unknown)?;
    let credential = if let Some(credential) = plane.identities.credential(token) {
        credential
    } else {
        let mut tx = plane.transaction(0);
        let found = plane.directory().bearer(&mut tx, token).await.map_err(unknown)?;
        let credential = Arc::new(found.ok_or_else(|| unknown(invalid()))?);
        plane.identities.keep_credential(at, token, &credential);
        credential
    };
    if credential.expires_ms.is_some_and(|expires_ms| expires_ms <= plane.clock.now_ms()) {
        return Err(of_account(expired(), &credential.principal));
    }
    Ok(Bearer { principal: Arc::clone(&credential.principal), token_type: BearerTokenType::LongTerm, signed_ms: None })
}

async fn short_term(plane: &Plane, token: &str, region: &str) -> Result<Bearer, BearerFailure> {
    let signed = Signed::read(token).ok_or_else(|| unknown(invalid()))?;
    let parts = signed.parts();
    let claim = Claim::parse(&parts).map_err(|_| unknown(invalid()))?;
    let lasts_s = match claim.form {
        Form::Presigned { expires_seconds } => expires_seconds,
        Form::Header => return Err(unknown(invalid())),
    };
    let now_ms = plane.clock.now_ms();
    let found = authenticate::credential(plane, claim.access_key_id(), claim.session_token.as_deref(), now_ms).await;
    let credential = found.map_err(|rejected| match rejected {
        Rejected::Signature(SignatureError::ExpiredToken) => unknown(expired()),
        Rejected::Signature(_) => unknown(invalid()),
        Rejected::Failed(error) => unknown(error),
    })?;
    let refuse = |error: ApiError| of_account(error, &credential.principal);
    let key = authenticate::signing_key(plane, &claim.credential, &credential);
    // Nothing is told of a key that nobody of ours signed, so the signature comes before its times.
    let hashes = [sigv4::EMPTY_PAYLOAD_SHA256, sigv4::UNSIGNED_PAYLOAD];
    if !hashes.iter().any(|hash| claim.verify(&parts, &key, hash).is_ok()) {
        return Err(refuse(invalid()));
    }
    let now = jiff::Timestamp::from_millisecond(now_ms).map_err(|error| unknown(ApiError::internal(&error)))?;
    if lasts_s > SHORT_TERM_SECONDS_MAX
        || claim.check_scope(&[region], &[SIGNING_NAME]).is_err()
        || claim.check_signed_headers(&parts).is_err()
    {
        return Err(refuse(invalid()));
    }
    claim.check_time(now, SKEW_MINUTES).map_err(|_| refuse(expired()))?;
    Ok(Bearer {
        principal: Arc::clone(&credential.principal),
        token_type: BearerTokenType::ShortTerm,
        signed_ms: Some(claim.time.as_millisecond()),
    })
}

/// The presigned request in a short-term key.
struct Signed {
    path: String,
    query: String,
    headers: HeaderMap,
}

impl Signed {
    /// `None`: it has not the form of such a key.
    fn read(token: &str) -> Option<Self> {
        let encoded = token.strip_prefix(SHORT_TERM_PREFIX).filter(|_| token.len() <= LENGTH_LIMIT)?;
        let url = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
        let url = url.strip_prefix("https://").unwrap_or(&url).strip_suffix(VERSION)?;
        let (host, rest) = url.split_once('/')?;
        let (path, query) = rest.split_once('?')?;
        let names_action = query.split('&').any(|pair| pair == "Action=CallWithBearerToken");
        if !path.is_empty() || !names_action {
            return None;
        }
        let mut headers = HeaderMap::new();
        headers.insert(http::header::HOST, http::HeaderValue::from_str(host).ok()?);
        Some(Self { path: "/".to_owned(), query: query.to_owned(), headers })
    }

    fn parts(&self) -> RequestParts<'_> {
        RequestParts { method: "POST", path: &self.path, query: &self.query, headers: &self.headers, authority: None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(url: &str) -> String {
        format!("{SHORT_TERM_PREFIX}{}", BASE64.encode(url))
    }

    #[test]
    fn a_short_term_key_is_taken_apart() {
        let signed = Signed::read(&encoded("bedrock.amazonaws.com/?Action=CallWithBearerToken&X-Amz-Date=1&Version=1")).unwrap();
        assert_eq!(signed.query, "Action=CallWithBearerToken&X-Amz-Date=1");
        assert_eq!(signed.headers["host"], "bedrock.amazonaws.com");
        for wrong in [
            "bedrock.amazonaws.com/?Action=CallWithBearerToken",
            "bedrock.amazonaws.com/?Action=ListFoundationModels&Version=1",
            "bedrock.amazonaws.com/model/?Action=CallWithBearerToken&Version=1",
            "Version=1",
        ] {
            assert!(Signed::read(&encoded(wrong)).is_none(), "{wrong}");
        }
        assert!(Signed::read("bedrock-api-key-").is_none());
    }

    #[test]
    fn the_scheme_is_read_without_case() {
        let mut headers = HeaderMap::new();
        assert_eq!(token(&headers), None);
        headers.insert("authorization", http::HeaderValue::from_static("bearer  ABSKx "));
        assert_eq!(token(&headers), Some("ABSKx"));
        headers.insert("authorization", http::HeaderValue::from_static("AWS4-HMAC-SHA256 Credential=x"));
        assert_eq!(token(&headers), None);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,200}", raw in "[ -~]{0,200}") {
            let _ = region_of(&text);
            let _ = region_of(&encoded(&raw));
        }
    }
}
