//! What a request says about its signature, and whether it is true.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};

use crate::canonical::{PathStyle, RequestParts, canonical_request, percent_decode, string_to_sign};
use crate::chunked::{ChunkSeed, ChunkedForm};
use crate::credential::{Credential, Scope};
use crate::error::{Field, SignatureError};
use crate::event::{EventChain, SIGNED_EVENTS};
use crate::key::{Signature, SigningKey};
use crate::timestamp::{format_timestamp, parse_date_header, parse_timestamp};
use crate::{ALGORITHM, PRESIGNED_EXPIRES_MAX_SECONDS, UNSIGNED_PAYLOAD};

/// Longest `Authorization` header that is read, bytes.
const AUTHORIZATION_LENGTH_MAX: usize = 16 * 1024;
/// Most names in `SignedHeaders`.
const SIGNED_HEADERS_MAX: usize = 256;
/// A presigned URL may be this much ahead of our clock, minutes.
const PRESIGNED_SKEW_MINUTES: i64 = 15;
/// Validity of a presigned URL of other services than S3 when `X-Amz-Expires` is missing, seconds.
const PRESIGNED_DEFAULT_SECONDS: u32 = 900;

/// How the signature was carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In the `Authorization` header.
    Header,
    /// In the query, good for so many seconds from the claim's time.
    Presigned { expires_seconds: u32 },
}

/// What the request declares about its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: the server hashes the body and verifies with that.
    Undeclared,
    /// The body has this SHA-256. The signature covers the declaration; the body must still be compared.
    Digest([u8; 32]),
    /// The signature does not cover the body.
    Unsigned,
    /// An `aws-chunked` body.
    Chunked(ChunkedForm),
    /// A stream of events, each of which is signed.
    Events,
}

/// A signature that was read but not yet verified.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// Who signed, for when and where.
    pub credential: Credential<'a>,
    /// How the signature was carried.
    pub form: Form,
    /// The signed header names, separated by semicolons.
    pub signed_headers: Cow<'a, str>,
    /// When the request was signed.
    pub time: Timestamp,
    /// The session token of temporary credentials. It must be checked against the access key by whoever issued it.
    pub session_token: Option<Cow<'a, str>>,
    /// What the request says about its body.
    pub payload: Payload,
    payload_hash: Option<Cow<'a, str>>,
    time_text: Cow<'a, str>,
    signature_text: Cow<'a, str>,
    signature: Option<Signature>,
}

/// A signature that does not match, with what should have been signed. The texts hold what the caller sent (also its session token), so
/// they go back to the caller but not into a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The access key id.
    pub access_key_id: String,
    /// The signature as it was sent.
    pub signature_provided: String,
    /// What the server made of the request.
    pub canonical_request: String,
    /// What should have been signed.
    pub string_to_sign: String,
}

/// The raw texts of a header or query signature.
#[derive(Default)]
struct Raw<'a> {
    algorithm: Option<Cow<'a, str>>,
    credential: Option<Cow<'a, str>>,
    signed_headers: Option<Cow<'a, str>>,
    signature: Option<Cow<'a, str>>,
    date: Option<Cow<'a, str>>,
    expires: Option<Cow<'a, str>>,
    token: Option<Cow<'a, str>>,
    content_sha256: Option<Cow<'a, str>>,
}

fn header<'a>(parts: &RequestParts<'a>, name: &str) -> Option<&'a str> {
    parts.headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the query is signed as `aws s3 presign` of old did it.
fn has_version_2(query: &str) -> bool {
    let has = |wanted: &str| query.split('&').any(|pair| pair.split_once('=').is_some_and(|(name, _)| name == wanted));
    query.contains("AWSAccessKeyId=") && has("AWSAccessKeyId") && has("Signature")
}

impl<'a> Claim<'a> {
    /// Reads the signature of a request, from the header or the query.
    ///
    /// # Errors
    /// [`SignatureError::MissingToken`] when there is none (the request is anonymous), else what is wrong with its form.
    pub fn parse(parts: &RequestParts<'a>) -> Result<Self, SignatureError> {
        let mut headers = parts.headers.get_all("authorization").iter();
        let authorization = headers.next();
        let query = Self::read_query(parts.query);
        match (authorization, query) {
            // A version 2 signature is one that is not supported, and not none.
            (None, None) if has_version_2(parts.query) => {
                Err(SignatureError::UnsupportedAlgorithm { field: Field::Header, given: "AWS2".to_owned() })
            }
            (None, None) => Err(SignatureError::MissingToken),
            (Some(_), Some(_)) => Err(SignatureError::SeveralMechanisms),
            (Some(_), None) if headers.next().is_some() => Err(SignatureError::SeveralMechanisms),
            (Some(value), None) => Self::from_header(parts, value.as_bytes()),
            (None, Some(raw)) => Self::from_query(parts, raw),
        }
    }

    fn read_query(query: &'a str) -> Option<Raw<'a>> {
        if !query.contains("X-Amz-") {
            return None;
        }
        let mut raw = Raw::default();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "X-Amz-Algorithm" => &mut raw.algorithm,
                "X-Amz-Credential" => &mut raw.credential,
                "X-Amz-SignedHeaders" => &mut raw.signed_headers,
                "X-Amz-Signature" => &mut raw.signature,
                "X-Amz-Date" => &mut raw.date,
                "X-Amz-Expires" => &mut raw.expires,
                "X-Amz-Security-Token" => &mut raw.token,
                "X-Amz-Content-Sha256" => &mut raw.content_sha256,
                _ => continue,
            };
            if slot.is_none() {
                *slot = Some(percent_decode(value).unwrap_or_default());
            }
        }
        (raw.algorithm.is_some() || raw.credential.is_some() || raw.signature.is_some()).then_some(raw)
    }

    fn from_header(parts: &RequestParts<'a>, value: &'a [u8]) -> Result<Self, SignatureError> {
        let header_hash = || STANDARD.encode(digest(&SHA256, value));
        let text = std::str::from_utf8(value).ok().filter(|text| text.len() <= AUTHORIZATION_LENGTH_MAX);
        let text = text.map(str::trim).unwrap_or_default();
        let (algorithm, rest) = text.split_once(' ').unwrap_or((text, ""));
        if algorithm != ALGORITHM {
            let given: String = algorithm.chars().take(64).collect();
            return Err(SignatureError::UnsupportedAlgorithm { field: Field::Header, given });
        }
        let mut raw = Raw::default();
        for part in rest.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((name, value)) = part.split_once('=') else {
                let part = part.chars().take(128).collect();
                return Err(SignatureError::NotKeyValue { part, header_hash: header_hash() });
            };
            match name {
                "Credential" => raw.credential = Some(value.into()),
                "SignedHeaders" => raw.signed_headers = Some(value.into()),
                "Signature" => raw.signature = Some(value.into()),
                _ => {}
            }
        }
        let amz_date = header(parts, "x-amz-date");
        let date = amz_date.or_else(|| header(parts, "date"));
        let (Some(credential), Some(signature), Some(signed_headers), Some(date)) =
            (&raw.credential, &raw.signature, &raw.signed_headers, date)
        else {
            let missing = [
                ("Credential", raw.credential.is_none()),
                ("Signature", raw.signature.is_none()),
                ("SignedHeaders", raw.signed_headers.is_none()),
                ("X-Amz-Date", date.is_none()),
            ];
            let missing = missing.into_iter().filter_map(|(name, lacks)| lacks.then_some(name)).collect();
            return Err(SignatureError::IncompleteHeader { missing, header_hash: header_hash() });
        };
        let credential = Credential::parse(credential.clone())
            .ok_or_else(|| SignatureError::MalformedCredential { field: Field::Header, given: shortened(credential) })?;
        let time = match amz_date {
            Some(text) => parse_timestamp(text).or_else(|| parse_date_header(text)),
            None => parse_date_header(date),
        };
        let time = time.ok_or(SignatureError::InvalidDate { field: Field::Header })?;
        let token = header(parts, "x-amz-security-token").map(Cow::Borrowed);
        let time_text = if parse_timestamp(date).is_some() { Cow::Borrowed(date) } else { format_timestamp(time).into() };
        let payload_hash = header(parts, "x-amz-content-sha256").map(Cow::Borrowed);
        if payload_hash.is_none() && PathStyle::of_service(credential.scope().service) == PathStyle::Once {
            return Err(SignatureError::MissingPayloadHash);
        }
        let (signature_text, signed_headers) = (signature.clone(), signed_headers.clone());
        Self::new(credential, Form::Header, signed_headers, signature_text, (time, time_text), token, payload_hash)
    }

    fn from_query(parts: &RequestParts<'a>, raw: Raw<'a>) -> Result<Self, SignatureError> {
        let field = Field::Query;
        if let Some(given) = raw.algorithm.as_deref().filter(|given| *given != ALGORITHM) {
            return Err(SignatureError::UnsupportedAlgorithm { field, given: shortened(given) });
        }
        let present = [
            ("X-Amz-Algorithm", raw.algorithm.is_some()),
            ("X-Amz-Credential", raw.credential.is_some()),
            ("X-Amz-Signature", raw.signature.is_some()),
            ("X-Amz-Date", raw.date.is_some()),
            ("X-Amz-SignedHeaders", raw.signed_headers.is_some()),
        ];
        let (Some(credential), Some(signature), Some(date), Some(signed_headers), Some(_)) =
            (raw.credential, raw.signature, raw.date, raw.signed_headers, raw.algorithm)
        else {
            let missing = present.into_iter().filter_map(|(name, is_there)| (!is_there).then_some(name)).collect();
            return Err(SignatureError::IncompleteQuery { missing });
        };
        let given = shortened(&credential);
        let credential = Credential::parse(credential).ok_or(SignatureError::MalformedCredential { field, given })?;
        let is_s3 = PathStyle::of_service(credential.scope().service) == PathStyle::Once;
        let expires_seconds = match raw.expires {
            Some(text) => parse_expires(&text)?,
            None if is_s3 => {
                return Err(SignatureError::IncompleteQuery { missing: vec!["X-Amz-Expires"] });
            }
            None => PRESIGNED_DEFAULT_SECONDS,
        };
        let time = parse_timestamp(&date).ok_or(SignatureError::InvalidDate { field })?;
        let signed = |name: &str| signed_headers.split(';').any(|signed| signed == name);
        let payload_hash = match raw.content_sha256 {
            Some(text) => Some(text),
            None if signed("x-amz-content-sha256") => header(parts, "x-amz-content-sha256").map(Cow::Borrowed),
            None if is_s3 => Some(Cow::Borrowed(UNSIGNED_PAYLOAD)),
            None => None,
        };
        let form = Form::Presigned { expires_seconds };
        Self::new(credential, form, signed_headers, signature, (time, date), raw.token, payload_hash)
    }

    fn new(
        credential: Credential<'a>,
        form: Form,
        signed_headers: Cow<'a, str>,
        signature_text: Cow<'a, str>,
        (time, time_text): (Timestamp, Cow<'a, str>),
        session_token: Option<Cow<'a, str>>,
        payload_hash: Option<Cow<'a, str>>,
    ) -> Result<Self, SignatureError> {
        if signed_headers.split(';').count() > SIGNED_HEADERS_MAX {
            return Err(SignatureError::HeadersNotSigned { names: vec!["host".to_owned()] });
        }
        let payload = match payload_hash.as_deref() {
            None => Payload::Undeclared,
            Some(text) => parse_payload(text).ok_or_else(|| SignatureError::InvalidPayloadHash { given: shortened(text) })?,
        };
        let signature = Signature::parse(&signature_text);
        Ok(Self { credential, form, signed_headers, time, session_token, payload, payload_hash, time_text, signature_text, signature })
    }

    /// The access key id.
    pub fn access_key_id(&self) -> &str {
        self.credential.access_key_id()
    }

    /// The credential scope.
    pub fn scope(&self) -> Scope<'_> {
        self.credential.scope()
    }

    /// How this claim's paths are written, from its signing name.
    pub fn path_style(&self) -> PathStyle {
        PathStyle::of_service(self.scope().service)
    }

    /// The declared payload hash as text (the value of `x-amz-content-sha256`).
    pub fn payload_hash(&self) -> Option<&str> {
        self.payload_hash.as_deref()
    }

    fn field(&self) -> Field {
        match self.form {
            Form::Header => Field::Header,
            Form::Presigned { .. } => Field::Query,
        }
    }

    /// All checks that need no secret: scope, signed headers, time. `regions` and `services` are the ones that this endpoint answers for; the
    /// first of each is named in the error. `skew_minutes` is how far a header signature's time may be off.
    pub fn check(
        &self,
        parts: &RequestParts<'_>,
        now: Timestamp,
        regions: &[&str],
        services: &[&str],
        skew_minutes: i64,
    ) -> Result<(), SignatureError> {
        self.check_scope(regions, services)?;
        self.check_signed_headers(parts)?;
        self.check_time(now, skew_minutes)
    }

    /// Compares the credential scope with the endpoint.
    pub fn check_scope(&self, regions: &[&str], services: &[&str]) -> Result<(), SignatureError> {
        let date = self.time_text.get(..8).unwrap_or_default();
        let faults = self.credential.check_scope(date, regions, services);
        if faults.is_empty() {
            return Ok(());
        }
        Err(SignatureError::Scope { field: self.field(), faults, time: self.time_text.clone().into_owned() })
    }

    /// `host` and every `x-amz-*` header must be signed, else they could be changed on the way. Three exceptions lose nothing:
    /// `x-amz-content-sha256` (its value is in the canonical request by itself or is not used), and outside S3 `x-amz-security-token`
    /// (a token is good for one access key only; the signing test suite has the case).
    pub fn check_signed_headers(&self, parts: &RequestParts<'_>) -> Result<(), SignatureError> {
        let signed = |name: &str| self.signed_headers.split(';').any(|signed| signed == name);
        let token_may_be_unsigned = self.path_style() == PathStyle::NormalisedTwice;
        let mut names = Vec::new();
        if !signed("host") && !signed(":authority") {
            names.push("host".to_owned());
        }
        for name in parts.headers.keys().map(http::HeaderName::as_str) {
            let tolerated = name == "x-amz-content-sha256" || (name == "x-amz-security-token" && token_may_be_unsigned);
            if name.starts_with("x-amz-") && !tolerated && !signed(name) {
                names.push(name.to_owned());
            }
        }
        if names.is_empty() {
            return Ok(());
        }
        names.sort_unstable();
        Err(SignatureError::HeadersNotSigned { names })
    }

    /// Refuses a signature outside its time: a header signature more than `skew_minutes` off (AWS allows 15 for S3, STS and IAM, 5 for most
    /// others), a presigned URL before its time (15 minutes
    /// tolerance) or after its end.
    pub fn check_time(&self, now: Timestamp, skew_minutes: i64) -> Result<(), SignatureError> {
        let age = now.duration_since(self.time);
        let time = self.time;
        match self.form {
            Form::Header => {
                let skew = SignedDuration::from_mins(skew_minutes);
                if age > skew {
                    return Err(SignatureError::Expired { time, now, skew_minutes });
                }
                if age < -skew {
                    return Err(SignatureError::NotYetCurrent { time, now, skew_minutes });
                }
            }
            Form::Presigned { expires_seconds } => {
                if age > SignedDuration::from_secs(i64::from(expires_seconds)) {
                    return Err(SignatureError::PresignedExpired { time, expires_seconds, now });
                }
                if age < -SignedDuration::from_mins(PRESIGNED_SKEW_MINUTES) {
                    return Err(SignatureError::PresignedNotYetValid { time, now });
                }
            }
        }
        Ok(())
    }

    /// Verifies the signature. `payload_hash` is the text that stands in the canonical request: [`Claim::payload_hash`] when the request
    /// declares one that counts (S3), else the hex SHA-256 of the body as received.
    ///
    /// # Errors
    /// What should have been signed.
    pub fn verify(&self, parts: &RequestParts<'_>, key: &SigningKey, payload_hash: &str) -> Result<(), Mismatch> {
        let without: &[&str] = match self.form {
            Form::Header => &[],
            Form::Presigned { .. } => &["X-Amz-Signature"],
        };
        let style = self.path_style();
        let canonical = canonical_request(parts, style, &self.signed_headers, without, payload_hash);
        let to_sign = string_to_sign(&self.time_text, self.credential.scope_text(), &canonical);
        if self.signature == Some(key.sign(&to_sign)) {
            return Ok(());
        }
        if matches!(self.form, Form::Presigned { .. }) && self.session_token.is_some() && style == PathStyle::NormalisedTwice {
            // Some services have the token appended to the URL after signing.
            let without = ["X-Amz-Signature", "X-Amz-Security-Token"];
            let other = canonical_request(parts, style, &self.signed_headers, &without, payload_hash);
            let other = string_to_sign(&self.time_text, self.credential.scope_text(), &other);
            if self.signature == Some(key.sign(&other)) {
                return Ok(());
            }
        }
        Err(Mismatch {
            access_key_id: self.access_key_id().to_owned(),
            signature_provided: shortened(&self.signature_text),
            canonical_request: String::from_utf8_lossy(&canonical).into_owned(),
            string_to_sign: String::from_utf8_lossy(&to_sign).into_owned(),
        })
    }

    /// What the chunk signatures of an `aws-chunked` body chain from. Only after [`Claim::verify`] has succeeded is the seed worth anything.
    pub fn chunk_seed(&self, key: &SigningKey) -> ChunkSeed {
        ChunkSeed {
            key: key.clone(),
            time: self.time_text.clone().into_owned(),
            scope: self.credential.scope_text().to_owned(),
            signature: self.signature.unwrap_or(Signature([0; 32])),
        }
    }

    /// What the signatures of a stream's events chain from, worth as much as [`Claim::chunk_seed`].
    pub fn event_chain(&self, key: &SigningKey) -> EventChain {
        EventChain::new(self.chunk_seed(key))
    }

    /// Compares a body's SHA-256 with the declared one; declarations without a digest pass.
    pub fn check_payload(&self, computed: &[u8; 32]) -> Result<(), SignatureError> {
        match self.payload {
            Payload::Digest(declared) if declared != *computed => {
                Err(SignatureError::PayloadMismatch { declared: hex::encode(declared), computed: hex::encode(computed) })
            }
            _ => Ok(()),
        }
    }
}

/// The first 256 characters: errors quote what was sent, but not without bound.
fn shortened(text: &str) -> String {
    text.chars().take(256).collect()
}

fn parse_expires(text: &str) -> Result<u32, SignatureError> {
    let number: i64 = text.parse().map_err(|_| SignatureError::ExpiresNotANumber { given: shortened(text) })?;
    if number < 0 {
        return Err(SignatureError::ExpiresNegative);
    }
    u32::try_from(number).ok().filter(|seconds| *seconds <= PRESIGNED_EXPIRES_MAX_SECONDS).ok_or(SignatureError::ExpiresTooLong)
}

fn parse_payload(text: &str) -> Option<Payload> {
    match text {
        UNSIGNED_PAYLOAD => Some(Payload::Unsigned),
        SIGNED_EVENTS => Some(Payload::Events),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => Some(Payload::Chunked(ChunkedForm::Signed)),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => Some(Payload::Chunked(ChunkedForm::SignedTrailer)),
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => Some(Payload::Chunked(ChunkedForm::UnsignedTrailer)),
        // Event-stream bodies (Transcribe, Lex) sign each event; the services with them are not served here.
        _ => {
            let mut value = [0; 32];
            hex::decode_to_slice(text, &mut value).ok()?;
            Some(Payload::Digest(value))
        }
    }
}
