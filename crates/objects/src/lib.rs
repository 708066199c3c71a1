//! Objects: bytes of any length, encrypted while they stream in, authenticated while they stream out, kept by a backend that sees ciphertext.
//!
//! An object is immutable and has a random name; what it is called, whom it belongs to and how long it is stands in the store, sealed. An
//! object that no record names is an orphan and is swept by [`ObjectVault::list`] and [`ObjectVault::delete`].
//!
//! # Invariants
//! 1. [`ObjectVault::put`] answers after the bytes are durable (file and directory synced), under a name that no other object ever had; or it
//!    hands the ciphertext of a small object back, which its owner then commits with the record that names it.
//! 2. No plaintext byte is given out before its chunk is authenticated; the key commitment and the length are checked before any chunk.
//! 3. No plaintext byte and no key is ever on disk.
//!
//! # Object format: C2SP chunked-encryption, Cobblestone-256
//! <https://c2sp.org/chunked-encryption>, instantiated with SHA-512 and `AEAD_AES_256_GCM`:
//! `salt (24) | commitment (32) | chunk*`, a chunk being the AES-256-GCM ciphertext and tag (16) of 16 384 plaintext bytes, the last chunk of
//! fewer (also none).
//! * `key (32) | base nonce (12) | commitment (32) = HKDF-Expand-SHA-512(data key, "c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM" | 0x00 | salt | context)`
//! * the nonce of chunk `k` is the base nonce XOR `k` as a 96-bit big-endian number; there is no associated data; fewer than 2^38 chunks.
//! * chunk `k` begins at `56 + k * 16 400`.
//!
//! Conformance: all 35 public vectors (Project Wycheproof) and a sample of pyca/cryptography 50 are in the tests.

mod backend;
mod cobblestone;
mod local;
mod remote;
mod vault;

pub use backend::{Backend, Listed, ObjectName, Reader, Upload};
pub use cobblestone::{CHUNK_BYTES, DataKey, Decryptor, Encryptor, HEADER_BYTES, ciphertext_length, plaintext_length};
pub use local::LocalBackend;
pub use remote::RemoteBackend;
pub use vault::{FillRandom, ObjectVault, Source, Stored};

/// Why an object cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    #[error("there is no object `{0}`")]
    Missing(String),
    /// The key or the context is not the one that the object was encrypted with.
    #[error("the key does not open this object")]
    WrongKey,
    /// Some byte of the chunk was changed.
    #[error("chunk `{chunk}` of the object is damaged")]
    Damaged { chunk: u64 },
    /// The object was truncated or extended.
    #[error("the object has `{found}` bytes on disk instead of `{expected}`")]
    Length { expected: u64, found: u64 },
    #[error("the range `{start}..{end}` is not within the object's `{length}` bytes")]
    Range { start: u64, end: u64, length: u64 },
    #[error("the object is longer than 4 PiB")]
    TooLong,
    #[error("`{0}` is not an object name")]
    Name(String),
    #[error("the object's bytes stopped coming: {0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
    #[error("the object backend is unavailable: {0}")]
    Unavailable(String),
    #[error("the system has no randomness")]
    Randomness,
}
