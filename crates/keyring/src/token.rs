//! Tokens that a client carries for us: pagination tokens, encoded authorization messages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::{Domain, Keyring, KeyringError};

/// Longest token that is looked at, in characters.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

impl Keyring {
    /// Seals `payload` into URL-safe text. `binding` (say caller, operation and filter) must be given again to open it.
    /// `expires_at_s` is in seconds since the Unix epoch; `u64::MAX` is never.
    pub fn seal_token(&self, purpose: &str, binding: &[u8], payload: &[u8], expires_at_s: u64) -> Result<String, KeyringError> {
        let purpose = format!("token/{purpose}");
        let plaintext = Zeroizing::new([expires_at_s.to_be_bytes().as_slice(), payload].concat());
        let sealed = self.seal(&Domain::new(&purpose, "", ""), binding, &plaintext)?;
        let token = URL_SAFE_NO_PAD.encode(sealed);
        if token.len() > MAX_TOKEN_BYTES {
            return Err(KeyringError::TooLong);
        }
        Ok(token)
    }

    /// The payload of a token that was sealed for this purpose and binding and is valid at `now_s`.
    pub fn open_token(&self, purpose: &str, binding: &[u8], token: &str, now_s: u64) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(KeyringError::NotAuthentic);
        }
        let purpose = format!("token/{purpose}");
        let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| KeyringError::NotAuthentic)?;
        let plaintext = self.open_record(&Domain::new(&purpose, "", ""), binding, &sealed)?;
        let (expires_at_s, payload) = plaintext.split_first_chunk::<8>().ok_or(KeyringError::NotAuthentic)?;
        if u64::from_be_bytes(*expires_at_s) <= now_s {
            return Err(KeyringError::Expired);
        }
        Ok(Zeroizing::new(payload.to_vec()))
    }
}
