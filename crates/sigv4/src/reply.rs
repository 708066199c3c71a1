//! How a failed authentication is answered: AWS words and numbers the same fault differently by service and protocol.
//!
//! Sources: "Common Errors" of the IAM, STS, SQS and RDS API references; S3 API reference, "Error responses"; EC2 API reference, "Error codes";
//! IAM user guide, "Troubleshoot Signature Version 4"; recorded answers in public issue threads.

use jiff::{SignedDuration, Timestamp};

use crate::error::{Field, ScopeFault, SignatureError};
use crate::timestamp::{format_extended, format_timestamp};

/// The family of wire protocols, as far as errors differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// awsQuery (IAM, STS, SQS before JSON, …).
    Query,
    /// ec2Query.
    Ec2,
    /// awsJson 1.0 and 1.1, rpcv2Cbor.
    Json,
    /// restJson1.
    RestJson,
    /// restXml other than S3.
    RestXml,
}

/// An answer: code, HTTP status, message, and further fields of S3's error document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The error code.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The message.
    pub message: String,
    /// Further elements of S3's `<Error>`, in order.
    pub details: Vec<(&'static str, String)>,
}

const SIGNATURE_TEXT: &str = "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";
const S3_SIGNATURE_TEXT: &str =
    "The request signature we calculated does not match the signature you provided. Check your key and signing method.";

/// The groups that share a code outside S3.
#[derive(Clone, Copy)]
enum Group {
    Missing,
    Incomplete,
    Signature,
    UnknownKey,
    ExpiredToken,
}

fn code_of(group: Group, protocol: Protocol) -> (&'static str, u16) {
    use Protocol::{Ec2, Json, Query, RestJson, RestXml};
    match (group, protocol) {
        (Group::Missing, Query | RestXml | Ec2) => ("MissingAuthenticationToken", 403),
        (Group::Missing, Json) => ("MissingAuthenticationTokenException", 400),
        (Group::Missing, RestJson) => ("MissingAuthenticationTokenException", 403),
        (Group::Incomplete, Query | RestXml | Ec2) => ("IncompleteSignature", 400),
        (Group::Incomplete, Json) => ("IncompleteSignatureException", 400),
        (Group::Incomplete, RestJson) => ("IncompleteSignatureException", 403),
        (Group::Signature, Query | RestXml) => ("SignatureDoesNotMatch", 403),
        (Group::Signature | Group::UnknownKey, Ec2) => ("AuthFailure", 401),
        (Group::Signature, Json) => ("InvalidSignatureException", 400),
        (Group::Signature, RestJson) => ("InvalidSignatureException", 403),
        (Group::UnknownKey, Query | RestXml) => ("InvalidClientTokenId", 403),
        (Group::UnknownKey, Json) => ("UnrecognizedClientException", 400),
        (Group::UnknownKey, RestJson) => ("UnrecognizedClientException", 403),
        (Group::ExpiredToken, Query | RestXml) => ("ExpiredToken", 403),
        (Group::ExpiredToken, Ec2) => ("RequestExpired", 400),
        (Group::ExpiredToken, Json) => ("ExpiredTokenException", 400),
        (Group::ExpiredToken, RestJson) => ("ExpiredTokenException", 403),
    }
}

impl SignatureError {
    /// The answer to this failure. `service` is the signing name (`s3` has its own table), `protocol` the one of the operation.
    pub fn reply(&self, service: &str, protocol: Protocol) -> Reply {
        match service {
            "s3" | "s3express" | "s3-object-lambda" | "s3-outposts" => self.s3_reply(),
            _ => self.service_reply(protocol),
        }
    }

    fn service_reply(&self, protocol: Protocol) -> Reply {
        let (group, message) = self.service_text(protocol);
        let (code, status) = code_of(group, protocol);
        let message = match (protocol, group) {
            (Protocol::Ec2, Group::Signature | Group::UnknownKey) => {
                "AWS was not able to validate the provided access credentials".to_owned()
            }
            (Protocol::Ec2, Group::ExpiredToken) => "Request has expired.".to_owned(),
            _ => message,
        };
        Reply { code, status, message, details: Vec::new() }
    }

    fn service_text(&self, protocol: Protocol) -> (Group, String) {
        let hashed = "(hashed with SHA-256 and encoded with Base64)";
        match self {
            Self::MissingToken => (
                Group::Missing,
                match protocol {
                    Protocol::Json | Protocol::RestJson => "Missing Authentication Token".to_owned(),
                    _ => "Request is missing Authentication Token".to_owned(),
                },
            ),
            Self::SeveralMechanisms => {
                (Group::Incomplete, "Request must not contain both an 'Authorization' header and signature query parameters.".to_owned())
            }
            Self::UnsupportedAlgorithm { given, .. } => (Group::Incomplete, format!("Unsupported AWS 'algorithm': '{given}'.")),
            Self::NotKeyValue { part, header_hash } => (
                Group::Incomplete,
                format!("'{part}' not a valid key=value pair (missing equal-sign) in Authorization header {hashed}: '{header_hash}'."),
            ),
            Self::IncompleteHeader { missing, header_hash } => {
                let mut text = String::new();
                for name in missing {
                    text.push_str(&match *name {
                        "X-Amz-Date" => "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ".to_owned(),
                        name => format!("Authorization header requires '{name}' parameter. "),
                    });
                }
                text.push_str(&format!("{hashed} Authorization={header_hash}"));
                (Group::Incomplete, text)
            }
            Self::IncompleteQuery { missing } => {
                let names = missing.join("', '");
                (Group::Incomplete, format!("AWS query-string parameters must include '{names}'."))
            }
            Self::MalformedCredential { given, .. } => (
                Group::Incomplete,
                format!("Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, got '{given}'"),
            ),
            Self::InvalidDate { .. } => (Group::Incomplete, "Date must be in ISO-8601 'basic format'.".to_owned()),
            Self::ExpiresNotANumber { .. } => (Group::Incomplete, "X-Amz-Expires should be a number".to_owned()),
            Self::ExpiresNegative => (Group::Incomplete, "X-Amz-Expires must be non-negative".to_owned()),
            Self::ExpiresTooLong => (Group::Incomplete, EXPIRES_TOO_LONG.to_owned()),
            Self::Scope { faults, time, .. } => (Group::Signature, faults.iter().map(|fault| scope_text(fault, time)).collect()),
            Self::HeadersNotSigned { names } => (
                Group::Signature,
                names
                    .iter()
                    .map(|name| match name.as_str() {
                        "host" => "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization. ".to_owned(),
                        name => format!("'{name}' must be a 'SignedHeader' in the AWS Authorization. "),
                    })
                    .collect::<String>()
                    .trim_end()
                    .to_owned(),
            ),
            Self::UnknownKey { .. } | Self::InvalidToken => {
                (Group::UnknownKey, "The security token included in the request is invalid.".to_owned())
            }
            Self::ExpiredToken => (Group::ExpiredToken, "The security token included in the request is expired".to_owned()),
            Self::Mismatch(_) | Self::PayloadMismatch { .. } | Self::MissingPayloadHash | Self::InvalidPayloadHash { .. } => {
                (Group::Signature, SIGNATURE_TEXT.to_owned())
            }
            Self::Expired { time, now, skew_minutes } => (Group::Signature, expired_text(*time, *now, *skew_minutes)),
            Self::NotYetCurrent { time, now, skew_minutes } => (Group::Signature, not_yet_current_text(*time, *now, *skew_minutes)),
            Self::PresignedNotYetValid { time, now } => (Group::Signature, not_yet_current_text(*time, *now, 15)),
            Self::PresignedExpired { time, expires_seconds, now } => {
                let end = later(*time, SignedDuration::from_secs(i64::from(*expires_seconds)));
                let texts = (format_timestamp(end), format_timestamp(*now));
                (Group::Signature, format!("Signature expired: {} is now earlier than {}", texts.0, texts.1))
            }
        }
    }

    fn s3_reply(&self) -> Reply {
        let mut details = Vec::new();
        let (code, status, message) = match self {
            Self::MissingToken => ("AccessDenied", 403, "Access Denied".to_owned()),
            Self::SeveralMechanisms => (
                "InvalidArgument",
                400,
                "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter or the Authorization header should be specified".to_owned(),
            ),
            Self::UnsupportedAlgorithm { field: Field::Query, .. } => (
                "AuthorizationQueryParametersError",
                400,
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and AWS4-ECDSA-P256-SHA256\"".to_owned(),
            ),
            Self::UnsupportedAlgorithm { .. } => (
                "InvalidRequest",
                400,
                "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.".to_owned(),
            ),
            Self::NotKeyValue { .. } | Self::IncompleteHeader { .. } if self.lacks_date() => (
                "AccessDenied",
                403,
                "AWS authentication requires a valid Date or x-amz-date header".to_owned(),
            ),
            Self::NotKeyValue { .. } | Self::IncompleteHeader { .. } => (
                "AuthorizationHeaderMalformed",
                400,
                "The authorization header is malformed; the authorization header requires three components: Credential, SignedHeaders, and Signature.".to_owned(),
            ),
            Self::IncompleteQuery { .. } => (
                "AuthorizationQueryParametersError",
                400,
                "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.".to_owned(),
            ),
            Self::MalformedCredential { field, .. } => {
                s3_credential(*field, "the Credential is mal-formed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\".")
            }
            Self::InvalidDate { field: Field::Query } => (
                "AuthorizationQueryParametersError",
                400,
                "X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"".to_owned(),
            ),
            Self::InvalidDate { .. } => {
                ("AccessDenied", 403, "AWS authentication requires a valid Date or x-amz-date header".to_owned())
            }
            Self::ExpiresNotANumber { .. } => {
                ("AuthorizationQueryParametersError", 400, "X-Amz-Expires should be a number".to_owned())
            }
            Self::ExpiresNegative => ("AuthorizationQueryParametersError", 400, "X-Amz-Expires must be non-negative".to_owned()),
            Self::ExpiresTooLong => ("AuthorizationQueryParametersError", 400, EXPIRES_TOO_LONG.to_owned()),
            Self::Scope { field, faults, time } => {
                let first = faults.first();
                if let Some(ScopeFault::Region { expected, .. }) = first {
                    details.push(("Region", expected.clone()));
                }
                s3_credential(*field, &first.map(|fault| s3_scope_text(fault, time)).unwrap_or_default())
            }
            Self::HeadersNotSigned { names } => {
                details.push(("HeadersNotSigned", names.join(", ")));
                ("AccessDenied", 403, "There were headers present in the request which were not signed".to_owned())
            }
            Self::UnknownKey { access_key_id } => {
                details.push(("AWSAccessKeyId", access_key_id.clone()));
                ("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records.".to_owned())
            }
            Self::InvalidToken => ("InvalidToken", 400, "The provided token is malformed or otherwise invalid.".to_owned()),
            Self::ExpiredToken => ("ExpiredToken", 400, "The provided token has expired.".to_owned()),
            Self::Mismatch(mismatch) => {
                details.push(("AWSAccessKeyId", mismatch.access_key_id.clone()));
                details.push(("StringToSign", mismatch.string_to_sign.clone()));
                details.push(("SignatureProvided", mismatch.signature_provided.clone()));
                details.push(("StringToSignBytes", spaced_hex(&mismatch.string_to_sign)));
                details.push(("CanonicalRequest", mismatch.canonical_request.clone()));
                details.push(("CanonicalRequestBytes", spaced_hex(&mismatch.canonical_request)));
                ("SignatureDoesNotMatch", 403, S3_SIGNATURE_TEXT.to_owned())
            }
            Self::Expired { time, now, skew_minutes } | Self::NotYetCurrent { time, now, skew_minutes } => {
                details.push(("RequestTime", format_timestamp(*time)));
                details.push(("ServerTime", format_extended(*now)));
                details.push(("MaxAllowedSkewMilliseconds", (skew_minutes * 60_000).to_string()));
                (
                    "RequestTimeTooSkewed",
                    403,
                    "The difference between the request time and the current time is too large.".to_owned(),
                )
            }
            Self::PresignedExpired { time, expires_seconds, now } => {
                let end = later(*time, SignedDuration::from_secs(i64::from(*expires_seconds)));
                details.push(("X-Amz-Expires", expires_seconds.to_string()));
                details.push(("Expires", format_extended(end)));
                details.push(("ServerTime", format_extended(*now)));
                ("AccessDenied", 403, "Request has expired".to_owned())
            }
            Self::PresignedNotYetValid { time, now } => {
                details.push(("X-Amz-Date", format_timestamp(*time)));
                details.push(("ServerTime", format_extended(*now)));
                ("AccessDenied", 403, "Request is not yet valid".to_owned())
            }
            Self::MissingPayloadHash => {
                ("InvalidRequest", 400, "Missing required header for this request: x-amz-content-sha256".to_owned())
            }
            Self::InvalidPayloadHash { given } => {
                details.push(("ArgumentName", "x-amz-content-sha256".to_owned()));
                details.push(("ArgumentValue", given.clone()));
                (
                    "InvalidArgument",
                    400,
                    "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.".to_owned(),
                )
            }
            Self::PayloadMismatch { declared, computed } => {
                details.push(("ClientComputedContentSHA256", declared.clone()));
                details.push(("S3ComputedContentSHA256", computed.clone()));
                (
                    "XAmzContentSHA256Mismatch",
                    400,
                    "The provided 'x-amz-content-sha256' header does not match what was computed.".to_owned(),
                )
            }
        };
        Reply { code, status, message, details }
    }

    fn lacks_date(&self) -> bool {
        matches!(self, Self::IncompleteHeader { missing, .. } if missing.as_slice() == ["X-Amz-Date"])
    }
}

const EXPIRES_TOO_LONG: &str =
    "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than 604800 seconds";

fn s3_credential(field: Field, text: &str) -> (&'static str, u16, String) {
    match field {
        Field::Header => ("AuthorizationHeaderMalformed", 400, format!("The authorization header is malformed; {text}")),
        Field::Query => ("AuthorizationQueryParametersError", 400, format!("Error parsing the X-Amz-Credential parameter; {text}")),
        Field::Form => ("InvalidArgument", 400, format!("Error parsing the x-amz-credential field; {text}")),
    }
}

fn s3_scope_text(fault: &ScopeFault, time: &str) -> String {
    match fault {
        ScopeFault::Region { given, expected } => {
            format!("the region '{given}' is wrong; expecting '{expected}'")
        }
        ScopeFault::Service { given, expected } => {
            format!("incorrect service \"{given}\". This endpoint belongs to \"{expected}\".")
        }
        ScopeFault::Terminator { given } => {
            format!("incorrect terminal \"{given}\". This endpoint uses \"aws4_request\".")
        }
        ScopeFault::Date { given, .. } => {
            format!("Invalid credential date \"{given}\". This date is not the same as X-Amz-Date: \"{}\".", time.get(..8).unwrap_or(time))
        }
    }
}

/// Each sentence ends in a blank: so the services send it.
fn scope_text(fault: &ScopeFault, time: &str) -> String {
    match fault {
        ScopeFault::Region { given, .. } => {
            format!("Credential should be scoped to a valid Region, not '{given}'. ")
        }
        ScopeFault::Service { expected, .. } => {
            format!("Credential should be scoped to correct service: '{expected}'. ")
        }
        ScopeFault::Terminator { given } => {
            format!("Credential should be scoped with a valid terminator: 'aws4_request', not '{given}'. ")
        }
        ScopeFault::Date { given, request_date } => format!(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{given}' != '{request_date}', from '{time}'. "
        ),
    }
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(time)
}

fn expired_text(time: Timestamp, now: Timestamp, skew_minutes: i64) -> String {
    let earliest = later(now, SignedDuration::from_mins(-skew_minutes));
    let texts = (format_timestamp(time), format_timestamp(earliest), format_timestamp(now));
    format!("Signature expired: {} is now earlier than {} ({} - {skew_minutes} min.)", texts.0, texts.1, texts.2)
}

fn not_yet_current_text(time: Timestamp, now: Timestamp, skew_minutes: i64) -> String {
    let latest = later(now, SignedDuration::from_mins(skew_minutes));
    let texts = (format_timestamp(time), format_timestamp(latest), format_timestamp(now));
    format!("Signature not yet current: {} is still later than {} ({} + {skew_minutes} min.)", texts.0, texts.1, texts.2)
}

fn spaced_hex(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&hex::encode([byte]));
    }
    out
}
