//! X.509 certificates and keys as identities: read, compared with a private key, and followed to a trust anchor.
//!
//! It is not a TLS stack: it checks no host names and fetches nothing. Who asks gives the time and the revocation lists.
//!
//! Invariants:
//! 1. Every input is foreign: sizes and counts have limits, and nothing panics.
//! 2. A chain is good only if each link is signed by the next with a key of adequate strength, valid at the given time, allowed to sign
//!    certificates, and ends at an anchor that was given. Signatures over MD5 and SHA-1 are never good.
//!
//! Source: RFC 5280; IAM Roles Anywhere User Guide, "Signature verification" and "Trust model".

mod certificate;
mod chain;
mod key_pair;
mod name;
mod pem;
mod public_key;
mod revocation;

pub use certificate::{AlternativeName, Certificate};
pub use chain::{ChainError, verify_chain};
pub use key_pair::{PrivateKey, key_pair_matches};
pub use name::Name;
pub use pem::{PemBlock, blocks as pem_blocks, encode as pem_encode};
pub use public_key::{Digest, PublicKey};
pub use revocation::RevocationList;

/// What is wrong with a certificate, key or list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("the text holds no PEM block of the kind `{0}`")]
    NoBlock(&'static str),
    #[error("the PEM text is malformed: {0}")]
    Pem(&'static str),
    #[error("the certificate cannot be read: {0}")]
    Certificate(String),
    #[error("the revocation list cannot be read: {0}")]
    RevocationList(String),
    #[error("the public key is of a kind that is not supported")]
    UnsupportedKey,
    #[error("the private key cannot be read")]
    PrivateKey,
    #[error("more than {0} certificates were given")]
    TooMany(usize),
}
