//! Why a request is not authenticated.

use jiff::Timestamp;

use crate::claim::Mismatch;
use crate::timestamp::format_timestamp;

/// Where the signature was carried; AWS words the same fault differently for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The `Authorization` header.
    Header,
    /// The query parameters of a presigned URL.
    Query,
    /// The fields of a POST form.
    Form,
}

/// A part of the credential scope that does not fit the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScopeFault {
    /// Another region.
    Region { given: String, expected: String },
    /// Another service.
    Service { given: String, expected: String },
    /// Not `aws4_request`.
    Terminator { given: String },
    /// Another day than the request's time.
    Date { given: String, request_date: String },
}

/// Why a request is not authenticated, one variant a reason. [`SignatureError::reply`] gives the answer in the caller's dialect.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SignatureError {
    #[error("the request carries no signature")]
    MissingToken,
    #[error("the request carries more than one signature")]
    SeveralMechanisms,
    #[error("the algorithm `{given}` is not supported")]
    UnsupportedAlgorithm { field: Field, given: String },
    #[error("a part of the authorization header has no equal-sign")]
    NotKeyValue { part: String, header_hash: String },
    #[error("the authorization header lacks {}", missing.join(", "))]
    IncompleteHeader { missing: Vec<&'static str>, header_hash: String },
    #[error("the signature's query parameters lack {}", missing.join(", "))]
    IncompleteQuery { missing: Vec<&'static str> },
    #[error("the credential is malformed")]
    MalformedCredential { field: Field, given: String },
    #[error("the date of the signature cannot be read")]
    InvalidDate { field: Field },
    #[error("the validity `{given}` is not a number")]
    ExpiresNotANumber { given: String },
    #[error("the validity is negative")]
    ExpiresNegative,
    #[error("the validity is longer than a week")]
    ExpiresTooLong,
    #[error("the credential scope does not fit the request")]
    Scope { field: Field, faults: Vec<ScopeFault>, time: String },
    #[error("the headers {} are not signed", names.join(", "))]
    HeadersNotSigned { names: Vec<String> },
    #[error("the access key `{access_key_id}` is unknown or inactive")]
    UnknownKey { access_key_id: String },
    #[error("the session token is not valid for this access key")]
    InvalidToken,
    #[error("the session token has expired")]
    ExpiredToken,
    #[error("the signature does not match the request")]
    Mismatch(Box<Mismatch>),
    #[error("the signature of {} is more than {skew_minutes} minutes old", format_timestamp(*time))]
    Expired { time: Timestamp, now: Timestamp, skew_minutes: i64 },
    #[error("the signature of {} is more than {skew_minutes} minutes in the future", format_timestamp(*time))]
    NotYetCurrent { time: Timestamp, now: Timestamp, skew_minutes: i64 },
    #[error("the presigned URL has expired")]
    PresignedExpired { time: Timestamp, expires_seconds: u32, now: Timestamp },
    #[error("the presigned URL is not yet valid")]
    PresignedNotYetValid { time: Timestamp, now: Timestamp },
    #[error("the payload hash is missing")]
    MissingPayloadHash,
    #[error("the payload hash is not valid")]
    InvalidPayloadHash { given: String },
    #[error("the body does not have the signed hash")]
    PayloadMismatch { declared: String, computed: String },
}

impl From<Mismatch> for SignatureError {
    fn from(mismatch: Mismatch) -> Self {
        Self::Mismatch(Box::new(mismatch))
    }
}
