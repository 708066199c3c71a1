//! The object format. The layout is in the crate documentation.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hkdf;
use bytes::{Bytes, BytesMut};
use zeroize::Zeroizing;

use crate::ObjectError;

/// Plaintext bytes of every chunk but the last.
pub const CHUNK_BYTES: usize = 16 * 1024;
const TAG_BYTES: usize = 16;
const SALT_BYTES: usize = 24;
const COMMITMENT_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;
/// Salt and commitment.
pub const HEADER_BYTES: usize = SALT_BYTES + COMMITMENT_BYTES;
const MAX_CHUNKS: u64 = 1 << 38;
const SEALED_CHUNK_BYTES: usize = CHUNK_BYTES + TAG_BYTES;
const CHUNK: u64 = CHUNK_BYTES as u64;
const SEALED_CHUNK: u64 = SEALED_CHUNK_BYTES as u64;
const HEADER: u64 = HEADER_BYTES as u64;

/// Bytes on disk of an object with this plaintext length; `None` over 4 PiB.
pub fn ciphertext_length(plaintext_length: u64) -> Option<u64> {
    let chunks = plaintext_length / CHUNK + 1;
    (chunks <= MAX_CHUNKS).then(|| HEADER + plaintext_length + chunks * TAG_BYTES as u64)
}

/// Plaintext length of an object with so many bytes on disk; `None` when no object has that length.
pub fn plaintext_length(ciphertext_length: u64) -> Option<u64> {
    let body = ciphertext_length.checked_sub(HEADER)?;
    let full_chunks = body / SEALED_CHUNK;
    let last = (body % SEALED_CHUNK).checked_sub(TAG_BYTES as u64)?;
    (full_chunks < MAX_CHUNKS).then(|| full_chunks * CHUNK + last)
}

/// Where chunk `chunk` begins on disk.
pub(crate) fn chunk_offset(chunk: u64) -> u64 {
    HEADER + chunk * SEALED_CHUNK
}

/// The 32-byte key that one or more objects are encrypted under (each with its own salt). Wiped when dropped.
#[derive(Clone)]
pub struct DataKey(Zeroizing<[u8; 32]>);

impl DataKey {
    /// `bytes` must be uniformly random.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        (bytes.len() == key.len()).then(|| {
            key.copy_from_slice(bytes);
            Self(key)
        })
    }
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DataKey")
    }
}

/// Key and nonces of one object.
struct MessageKey {
    key: LessSafeKey,
    base_nonce: [u8; NONCE_BYTES],
    commitment: [u8; COMMITMENT_BYTES],
}

struct OutputLength;

impl hkdf::KeyType for OutputLength {
    fn len(&self) -> usize {
        32 + NONCE_BYTES + COMMITMENT_BYTES
    }
}

impl MessageKey {
    fn derive(data_key: &DataKey, salt: &[u8; SALT_BYTES], context: &[u8]) -> Result<Self, ObjectError> {
        let failed = |_| ObjectError::WrongKey;
        let prk = hkdf::Prk::new_less_safe(hkdf::HKDF_SHA512, data_key.0.as_ref());
        let info = [b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0".as_slice(), salt, context];
        let mut output = Zeroizing::new([0u8; 32 + NONCE_BYTES + COMMITMENT_BYTES]);
        prk.expand(&info, OutputLength).and_then(|okm| okm.fill(output.as_mut())).map_err(failed)?;
        let (key, rest) = output.split_first_chunk::<32>().ok_or(ObjectError::WrongKey)?;
        let (base_nonce, rest) = rest.split_first_chunk().ok_or(ObjectError::WrongKey)?;
        let commitment = rest.first_chunk().ok_or(ObjectError::WrongKey)?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).map_err(failed)?);
        Ok(Self { key, base_nonce: *base_nonce, commitment: *commitment })
    }

    /// One nonce a chunk: the base nonce is random per object, the counter never repeats within it.
    fn nonce(&self, chunk: u64) -> Nonce {
        let mut nonce = self.base_nonce;
        for (byte, counter) in nonce.iter_mut().rev().zip(chunk.to_be_bytes().iter().rev()) {
            *byte ^= counter;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Encrypts one object. Push all its bytes, then finish; what comes out, concatenated, is the object.
pub struct Encryptor {
    message_key: MessageKey,
    /// Sealed chunks, and behind `open_from` the plaintext of the chunk under way.
    buffer: BytesMut,
    open_from: usize,
    chunk: u64,
    plaintext_length: u64,
}

impl Encryptor {
    /// `salt` must never be used again with the same data key: take it from a random source.
    pub fn new(data_key: &DataKey, salt: [u8; SALT_BYTES], context: &[u8]) -> Result<Self, ObjectError> {
        let message_key = MessageKey::derive(data_key, &salt, context)?;
        let mut buffer = BytesMut::new();
        buffer.extend_from_slice(&salt);
        buffer.extend_from_slice(&message_key.commitment);
        Ok(Self { message_key, open_from: buffer.len(), buffer, chunk: 0, plaintext_length: 0 })
    }

    /// Plaintext bytes pushed so far.
    pub fn plaintext_length(&self) -> u64 {
        self.plaintext_length
    }

    /// Takes plaintext in; every chunk that becomes full is sealed at once, in place.
    pub fn push(&mut self, mut plaintext: &[u8]) -> Result<(), ObjectError> {
        while !plaintext.is_empty() {
            let room = CHUNK_BYTES - (self.buffer.len() - self.open_from);
            let (head, tail) = plaintext.split_at(room.min(plaintext.len()));
            self.buffer.reserve(head.len() + TAG_BYTES);
            self.buffer.extend_from_slice(head);
            self.plaintext_length += head.len() as u64;
            plaintext = tail;
            if self.buffer.len() - self.open_from == CHUNK_BYTES {
                self.seal_chunk()?;
            }
        }
        Ok(())
    }

    /// The sealed bytes so far, once there are at least `at_least`.
    pub fn take(&mut self, at_least: usize) -> Option<Bytes> {
        (self.open_from > 0 && self.open_from >= at_least).then(|| {
            let sealed = self.buffer.split_to(self.open_from);
            self.open_from = 0;
            sealed.freeze()
        })
    }

    /// Seals the last chunk and gives out what is left.
    pub fn finish(mut self) -> Result<Bytes, ObjectError> {
        self.seal_chunk()?;
        Ok(self.buffer.freeze())
    }

    fn seal_chunk(&mut self) -> Result<(), ObjectError> {
        if self.chunk >= MAX_CHUNKS {
            return Err(ObjectError::TooLong);
        }
        let nonce = self.message_key.nonce(self.chunk);
        let body = self.buffer.get_mut(self.open_from..).unwrap_or_default();
        let tag = self.message_key.key.seal_in_place_separate_tag(nonce, Aad::empty(), body).map_err(|_| ObjectError::TooLong)?;
        self.buffer.extend_from_slice(tag.as_ref());
        self.open_from = self.buffer.len();
        self.chunk += 1;
        Ok(())
    }
}

/// Decrypts any chunks of one object.
pub struct Decryptor {
    message_key: MessageKey,
}

impl Decryptor {
    /// Checks the key commitment in the object's first [`HEADER_BYTES`].
    pub fn new(data_key: &DataKey, header: &[u8], context: &[u8]) -> Result<Self, ObjectError> {
        let (salt, commitment) = header.split_first_chunk::<SALT_BYTES>().ok_or(ObjectError::WrongKey)?;
        let message_key = MessageKey::derive(data_key, salt, context)?;
        verify_slices_are_equal(&message_key.commitment, commitment).map_err(|_| ObjectError::WrongKey)?;
        Ok(Self { message_key })
    }

    /// Decrypts consecutive sealed chunks in place, `first` being the number of the first; plaintext replaces them without gaps. All are
    /// authenticated, or none is given out.
    pub fn open(&self, first: u64, mut sealed: Vec<u8>) -> Result<Vec<u8>, ObjectError> {
        let mut written = 0;
        let mut from = 0;
        let mut chunk = first;
        while from < sealed.len() {
            let to = (from + SEALED_CHUNK_BYTES).min(sealed.len());
            let damaged = ObjectError::Damaged { chunk };
            let body = sealed.get_mut(from..to).unwrap_or_default();
            let Ok(plaintext) = self.message_key.key.open_in_place(self.message_key.nonce(chunk), Aad::empty(), body) else {
                return Err(damaged);
            };
            let length = plaintext.len();
            // A move within the first-level cache, so that the caller gets one piece.
            sealed.copy_within(from..from + length, written);
            written += length;
            from = to;
            chunk += 1;
        }
        sealed.truncate(written);
        Ok(sealed)
    }
}
