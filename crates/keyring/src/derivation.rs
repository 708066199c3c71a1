//! Secrets of 32 bytes, key derivation from them and AES-256-GCM with them.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};
use zeroize::Zeroizing;

use crate::{KeyringError, Randomness};

pub(crate) const IV_BYTES: usize = 12;
pub(crate) const TAG_BYTES: usize = 16;

/// A key. Wiped when dropped, invisible to `Debug`.
#[derive(Clone)]
pub(crate) struct Secret(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret")
    }
}

impl Secret {
    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; 32]);
        if bytes.len() != key.len() {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    pub(crate) fn random(randomness: &dyn Randomness) -> Result<Self, KeyringError> {
        let mut key = Zeroizing::new([0; 32]);
        randomness.fill(key.as_mut())?;
        Ok(Self(key))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_ref()
    }

    /// SP 800-108r1 counter mode, HMAC-SHA256.
    pub(crate) fn derive(&self, info: &[u8]) -> Result<Self, KeyringError> {
        let mut key = Zeroizing::new([0; 32]);
        let algorithm = get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256).ok_or(KeyringError::NotAuthentic)?;
        kbkdf_ctr_hmac(algorithm, self.0.as_ref(), info, key.as_mut()).map_err(|_| KeyringError::NotAuthentic)?;
        Ok(Self(key))
    }

    fn aead(&self) -> Result<LessSafeKey, KeyringError> {
        let key = UnboundKey::new(&AES_256_GCM, self.0.as_ref()).map_err(|_| KeyringError::NotAuthentic)?;
        Ok(LessSafeKey::new(key))
    }

    /// Encrypts `in_out` in place. The caller makes sure that the key seals one message only.
    pub(crate) fn seal_in_place(
        &self,
        iv: [u8; IV_BYTES],
        associated_data: &[u8],
        in_out: &mut [u8],
    ) -> Result<[u8; TAG_BYTES], KeyringError> {
        let nonce = Nonce::assume_unique_for_key(iv);
        let tag = self.aead()?.seal_in_place_separate_tag(nonce, Aad::from(associated_data), in_out).map_err(|_| KeyringError::TooLong)?;
        tag.as_ref().try_into().map_err(|_| KeyringError::TooLong)
    }

    /// Decrypts `ciphertext | tag`.
    pub(crate) fn open(&self, iv: [u8; IV_BYTES], associated_data: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let mut in_out = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(iv);
        let plaintext =
            self.aead()?.open_in_place(nonce, Aad::from(associated_data), &mut in_out).map_err(|_| KeyringError::NotAuthentic)?;
        let length = plaintext.len();
        in_out.truncate(length);
        Ok(in_out)
    }
}
