//! Secrets of 32 bytes, key derivation from them and AES-256-GCM with them.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
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

/// A key that others are derived from, with the two blocks that HMAC makes of it computed already: every record has a key of its own.
/// AWS-LC wipes them when it is dropped; a derived key passes over the stack once, as the code that HMAC gives.
#[derive(Debug)]
pub(crate) struct DerivationKey(hmac::Key);

impl DerivationKey {
    /// As [`Secret::derive`]: 32 bytes are one block of the counter mode, which is `HMAC(key, 1 (4) | info)`.
    /// The info is given in parts.
    pub(crate) fn derive(&self, info: &[&[u8]]) -> Secret {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&1_u32.to_be_bytes());
        for part in info {
            context.update(part);
        }
        let mut key = Zeroizing::new([0; 32]);
        for (byte, derived) in key.iter_mut().zip(context.sign().as_ref()) {
            *byte = *derived;
        }
        Secret(key)
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

    /// The key as it is derived from many times.
    pub(crate) fn derivation_key(&self) -> DerivationKey {
        DerivationKey(hmac::Key::new(hmac::HMAC_SHA256, self.0.as_ref()))
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
        self.open_in_place(iv, associated_data, &mut in_out)?;
        Ok(in_out)
    }

    /// As [`Secret::open`], where the ciphertext stands.
    pub(crate) fn open_in_place(&self, iv: [u8; IV_BYTES], associated_data: &[u8], in_out: &mut Vec<u8>) -> Result<(), KeyringError> {
        let nonce = Nonce::assume_unique_for_key(iv);
        let plaintext = self.aead()?.open_in_place(nonce, Aad::from(associated_data), in_out).map_err(|_| KeyringError::NotAuthentic)?;
        let length = plaintext.len();
        in_out.truncate(length);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derivation_key_derives_what_the_secret_derives() {
        for number in 1..20_u8 {
            let secret = Secret::from_slice(&[number; 32]).unwrap();
            let info: Vec<u8> = (0..number * 9).collect();
            assert_eq!(secret.derivation_key().derive(&[&info[..3], &info[3..]]).bytes(), secret.derive(&info).unwrap().bytes());
        }
    }
}
