//! Sealed records. The layout is in the crate documentation.

use zeroize::Zeroizing;

use crate::derivation::{DerivationKey, IV_BYTES, Secret, TAG_BYTES};
use crate::{Domain, Keyring, KeyringError};

const RECORD_VERSION: u8 = 1;
const HEADER_BYTES: usize = 3;
const N_BYTES: usize = 16;

/// How much longer a sealed record is than its plaintext.
pub const SEALED_OVERHEAD_BYTES: usize = HEADER_BYTES + N_BYTES + IV_BYTES + TAG_BYTES;

/// A sealed record begins with this many bytes that no other one begins with: version, and random bytes that are drawn for each.
pub const RECORD_NAME_BYTES: usize = HEADER_BYTES + N_BYTES + IV_BYTES;

fn header(root_version: u16) -> [u8; HEADER_BYTES] {
    let [high, low] = root_version.to_be_bytes();
    [RECORD_VERSION, high, low]
}

fn message_key(domain_key: &DerivationKey, n: &[u8; N_BYTES]) -> Secret {
    domain_key.derive(&[b"bailiwick message key v1", n])
}

impl Keyring {
    /// Seals a record. `associated_data` (say table and key) must be given again to open it.
    pub fn seal(&self, domain: &Domain<'_>, associated_data: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let (version, domain_key) = self.domain_key(domain, None)?;
        let header = header(version);
        let random: [u8; N_BYTES + IV_BYTES] = self.random()?;
        let (n, iv) = split_random(&random).ok_or(KeyringError::Randomness)?;
        let mut out = Vec::with_capacity(plaintext.len() + SEALED_OVERHEAD_BYTES);
        out.extend_from_slice(&header);
        out.extend_from_slice(&random);
        out.extend_from_slice(plaintext);
        let body = out.get_mut(HEADER_BYTES + random.len()..).unwrap_or_default();
        let tag = message_key(&domain_key, n).seal_in_place(*iv, &[&header, associated_data].concat(), body)?;
        out.extend_from_slice(&tag);
        Ok(out)
    }

    /// Opens a record sealed by [`Keyring::seal`] under any root key version of this keyring.
    pub fn open_record(&self, domain: &Domain<'_>, associated_data: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let mut plaintext = Zeroizing::new(Vec::new());
        self.open_into(domain, associated_data, sealed, &mut plaintext)?;
        Ok(plaintext)
    }

    /// As [`Keyring::open_record`], for what is no secret (a setting, another ciphertext): it is not wiped, which takes longer than opening it.
    pub fn open_unwiped(&self, domain: &Domain<'_>, associated_data: &[u8], sealed: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let mut plaintext = Vec::new();
        self.open_into(domain, associated_data, sealed, &mut plaintext)?;
        Ok(plaintext)
    }

    fn open_into(&self, domain: &Domain<'_>, associated_data: &[u8], sealed: &[u8], out: &mut Vec<u8>) -> Result<(), KeyringError> {
        let (header, rest) = sealed.split_first_chunk::<HEADER_BYTES>().ok_or(KeyringError::NotAuthentic)?;
        let (random, body) = rest.split_first_chunk::<{ N_BYTES + IV_BYTES }>().ok_or(KeyringError::NotAuthentic)?;
        let (n, iv) = split_random(random).ok_or(KeyringError::NotAuthentic)?;
        let [RECORD_VERSION, high, low] = *header else {
            return Err(KeyringError::NotAuthentic);
        };
        let (_, domain_key) = self.domain_key(domain, Some(u16::from_be_bytes([high, low])))?;
        out.extend_from_slice(body);
        message_key(&domain_key, n).open_in_place(*iv, &[header, associated_data].concat(), out)
    }
}

fn split_random(random: &[u8; N_BYTES + IV_BYTES]) -> Option<(&[u8; N_BYTES], &[u8; IV_BYTES])> {
    let (n, rest) = random.split_first_chunk()?;
    Some((n, rest.first_chunk()?))
}
