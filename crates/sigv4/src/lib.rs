//! AWS Signature Version 4: verifying and signing, without I/O.
//!
//! What it is: the `AWS4-HMAC-SHA256` algorithm in all its carriers (the `Authorization` header, presigned URLs, the browser POST
//! form, the `aws-chunked` bodies with and without chunk signatures and trailers, and signed events), with AWS' own error texts.
//! What it is not: it does not look up secrets, read clocks, route requests or judge permissions.
//!
//! A caller goes in two steps, because the secret may have to be fetched in between:
//! [`Claim::parse`] reads who claims to have signed what; [`Claim::verify`] checks it with a [`SigningKey`].
//!
//! Invariants:
//! * Nothing here panics or allocates without bound on foreign input: every part has a limit.
//! * Signatures are compared in constant time.
//! * No secret and no derived key is in an error, in `Debug` output or in the [`KeyCache`]'s keys.
//! * A signature is bound to the body through the payload hash. A header signature can be replayed unchanged within the allowed skew: so it
//!   is at AWS; what must fail, and does, is the same signature with another body.
//!
//! Source: IAM user guide, "Create a signed AWS API request"; S3 API reference, "Authenticating Requests (AWS Signature Version 4)".
//! Version 4A (`AWS4-ECDSA-P256-SHA256`) is recognised and refused.

mod canonical;
mod chunked;
mod claim;
mod credential;
mod error;
mod event;
mod key;
mod key_cache;
mod post_form;
mod reply;
mod sign;
mod timestamp;

pub use canonical::{PathStyle, RequestParts, canonical_request_of, sha256_hex};
pub use chunked::{ChunkError, ChunkLimits, ChunkSeed, ChunkedDecoder, ChunkedEncoder, ChunkedForm};
pub use claim::{Claim, Form, Mismatch, Payload};
pub use credential::{Credential, Scope};
pub use error::{Field, ScopeFault, SignatureError};
pub use event::{EventChain, EventError, SIGNED_EVENTS};
pub use key::{Signature, SigningKey};
pub use key_cache::{CacheTicket, KeyCache};
pub use post_form::{PolicyDenial, PostForm, PostPolicy};
pub use reply::{Protocol, Reply};
pub use sign::{Secret, Signer};
pub use timestamp::{format_timestamp, parse_timestamp};

/// The only algorithm that is verified.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// The payload hash of a body that is not covered by the signature.
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";
/// The payload hash of an empty body.
pub const EMPTY_PAYLOAD_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// Longest validity of a presigned URL, seconds (seven days).
pub const PRESIGNED_EXPIRES_MAX_SECONDS: u32 = 604_800;
