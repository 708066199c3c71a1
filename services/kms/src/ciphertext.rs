//! The ciphertext blob: what `Encrypt` and the data key operations answer and `Decrypt` takes.
//!
//! Version 1: `version (1) | suite (1) | key id (16) | material id (16) | N (16) | IV (12) | ciphertext | tag (16)`, 78 bytes more than
//! the plaintext.
//!
//! * message key = KBKDF (SP 800-108r1, counter mode, HMAC-SHA256) of the key material with the info `LABEL | key id | N`: no AES key
//!   ever encrypts two messages, so random nonces set no limit on the number of messages under one KMS key.
//! * suite 1 = AES-256-GCM with the associated data `the first 34 bytes | lp(account) | lp(region) | encryption context`, where the
//!   context is the number of its pairs and each pair as `lp(key) | lp(value)` in the order of the keys' bytes; `lp(x)` = length (4) | x.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::kdf::{KbkdfCtrHmacAlgorithmId, get_kbkdf_ctr_hmac_algorithm, kbkdf_ctr_hmac};
use zeroize::Zeroizing;

const VERSION: u8 = 1;
const SUITE_AES_256_GCM: u8 = 1;
const LABEL: &[u8] = b"bailiwick kms message key v1";
const HEADER_BYTES: usize = 34;
const TAG_BYTES: usize = 16;

/// Largest blob that is looked at; the model has the same limit.
pub(crate) const BLOB_BYTES_MAX: usize = 6144;
/// Length of the N and IV that a message needs.
pub(crate) const RANDOM_BYTES: usize = 28;
/// Length of a key or material id in the blob.
pub(crate) const ID_BYTES: usize = 16;

/// Pairs of an encryption context, in the order of the keys' bytes.
pub(crate) type EncryptionContext = BTreeMap<String, String>;

/// The blob is not one of ours, damaged, or made for another key or context. Deliberately says no more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ciphertext does not open")]
pub(crate) struct NotAuthentic;

/// Where a message belongs: bound to it as associated data.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub account: &'a str,
    pub region: &'a str,
    pub context: &'a EncryptionContext,
}

/// A blob taken apart. Nothing of it is proved before [`Blob::open`].
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blob<'a> {
    header: &'a [u8; HEADER_BYTES],
    pub key_id: &'a [u8; ID_BYTES],
    pub material_id: &'a [u8; ID_BYTES],
    n: &'a [u8; 16],
    iv: &'a [u8; 12],
    sealed: &'a [u8],
}

impl<'a> Blob<'a> {
    /// Takes a blob apart. `None`: it has not the form of one.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() > BLOB_BYTES_MAX {
            return None;
        }
        let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>()?;
        let (n, rest) = rest.split_first_chunk()?;
        let (iv, sealed) = rest.split_first_chunk()?;
        let ([VERSION, SUITE_AES_256_GCM], ids) = header.split_first_chunk::<2>()? else {
            return None;
        };
        let (key_id, material_id) = ids.split_first_chunk()?;
        // An empty plaintext is never encrypted.
        (sealed.len() > TAG_BYTES).then_some(Self { header, key_id, material_id: material_id.first_chunk()?, n, iv, sealed })
    }

    /// The plaintext.
    pub(crate) fn open(&self, material: &[u8], place: Place<'_>) -> Result<Zeroizing<Vec<u8>>, NotAuthentic> {
        let key = message_key(material, self.key_id, self.n)?;
        let mut in_out = Zeroizing::new(self.sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*self.iv);
        let plaintext = key.open_in_place(nonce, Aad::from(associated_data(self.header, place)), &mut in_out).map_err(|_| NotAuthentic)?;
        let length = plaintext.len();
        in_out.truncate(length);
        Ok(in_out)
    }
}

/// Makes a blob. `random` is N and IV and must be fresh.
pub(crate) fn seal(
    material: &[u8],
    key_id: &[u8; ID_BYTES],
    material_id: &[u8; ID_BYTES],
    place: Place<'_>,
    random: &[u8; RANDOM_BYTES],
    plaintext: &[u8],
) -> Result<Vec<u8>, NotAuthentic> {
    let (n, iv) = random.split_first_chunk::<16>().ok_or(NotAuthentic)?;
    let iv = iv.first_chunk::<12>().ok_or(NotAuthentic)?;
    let mut blob = Vec::with_capacity(HEADER_BYTES + RANDOM_BYTES + plaintext.len() + TAG_BYTES);
    blob.extend_from_slice(&[VERSION, SUITE_AES_256_GCM]);
    blob.extend_from_slice(key_id);
    blob.extend_from_slice(material_id);
    let associated_data = associated_data(&blob, place);
    blob.extend_from_slice(random);
    let key = message_key(material, key_id, n)?;
    let mut in_out = Zeroizing::new(plaintext.to_vec());
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(*iv), Aad::from(associated_data), &mut in_out)
        .map_err(|_| NotAuthentic)?;
    blob.extend_from_slice(&in_out);
    blob.extend_from_slice(tag.as_ref());
    Ok(blob)
}

/// SP 800-108r1 counter mode with HMAC-SHA256: 32 bytes.
pub(crate) fn derive(material: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, NotAuthentic> {
    let mut key = Zeroizing::new([0; 32]);
    let algorithm = get_kbkdf_ctr_hmac_algorithm(KbkdfCtrHmacAlgorithmId::Sha256).ok_or(NotAuthentic)?;
    kbkdf_ctr_hmac(algorithm, material, info, key.as_mut()).map_err(|_| NotAuthentic)?;
    Ok(key)
}

fn message_key(material: &[u8], key_id: &[u8; ID_BYTES], n: &[u8; 16]) -> Result<LessSafeKey, NotAuthentic> {
    let key = derive(material, &[LABEL, key_id, n].concat())?;
    UnboundKey::new(&AES_256_GCM, key.as_ref()).map(LessSafeKey::new).map_err(|_| NotAuthentic)
}

fn associated_data(header: &[u8], place: Place<'_>) -> Vec<u8> {
    let mut data = header.to_vec();
    for part in [place.account, place.region] {
        push(&mut data, part);
    }
    data.extend_from_slice(&length(place.context.len()));
    for (key, value) in place.context {
        push(&mut data, key);
        push(&mut data, value);
    }
    data
}

fn push(data: &mut Vec<u8>, part: &str) {
    data.extend_from_slice(&length(part.len()));
    data.extend_from_slice(part.as_bytes());
}

/// Lengths are bounded by the size of a request body, far below the limit of the type.
fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: [u8; 16] = [0x11; 16];
    const MATERIAL_ID: [u8; 16] = [0x22; 16];
    const MATERIAL: [u8; 32] = [0x33; 32];
    const RANDOM: [u8; RANDOM_BYTES] = [0x44; RANDOM_BYTES];

    fn context(pairs: &[(&str, &str)]) -> EncryptionContext {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn place(context: &EncryptionContext) -> Place<'_> {
        Place { account: "111111111111", region: "eu-central-1", context }
    }

    fn sealed(context: &EncryptionContext, plaintext: &[u8]) -> Vec<u8> {
        seal(&MATERIAL, &KEY, &MATERIAL_ID, place(context), &RANDOM, plaintext).unwrap()
    }

    fn open(blob: &[u8], material: &[u8], place: Place<'_>) -> Option<Vec<u8>> {
        Blob::parse(blob)?.open(material, place).ok().map(|plaintext| plaintext.to_vec())
    }

    #[test]
    fn blobs_open_again_and_are_78_bytes_longer() {
        let context = context(&[("app", "chat"), ("tenant", "7")]);
        let blob = sealed(&context, b"attack at dawn");
        assert_eq!(blob.len(), 14 + 78);
        assert_eq!(open(&blob, &MATERIAL, place(&context)).as_deref(), Some(&b"attack at dawn"[..]));
        assert!(!blob.windows(6).any(|window| window == b"attack"));
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let context = context(&[("app", "chat")]);
        let blob = sealed(&context, b"attack at dawn");
        for at in 0..blob.len() {
            for bit in 0..8 {
                let mut damaged = blob.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(open(&damaged, &MATERIAL, place(&context)), None, "byte {at} bit {bit}");
            }
        }
        for length in 0..blob.len() {
            assert_eq!(open(&blob[..length], &MATERIAL, place(&context)), None, "cut to {length}");
        }
        assert_eq!(open(&[blob.as_slice(), b"x"].concat(), &MATERIAL, place(&context)), None);
    }

    #[test]
    fn another_context_account_region_or_key_is_refused() {
        let right = context(&[("a", "b"), ("c", "d")]);
        let blob = sealed(&right, b"x");
        for pairs in [
            &[][..],
            &[("a", "b")],
            &[("a", "b"), ("c", "D")],
            &[("A", "b"), ("c", "d")],
            &[("a", "d"), ("c", "b")],
            &[("a", "b"), ("c", "d"), ("e", "")],
            &[("ab", ""), ("c", "d")],
        ] {
            assert_eq!(open(&blob, &MATERIAL, place(&context(pairs))), None, "{pairs:?}");
        }
        assert_eq!(open(&blob, &MATERIAL, Place { account: "222222222222", ..place(&right) }), None);
        assert_eq!(open(&blob, &MATERIAL, Place { region: "eu-west-1", ..place(&right) }), None);
        assert_eq!(open(&blob, &[0x34; 32], place(&right)), None);
        assert!(open(&blob, &MATERIAL, place(&right)).is_some());
    }

    #[test]
    fn each_message_has_a_key_of_its_own() {
        let context = context(&[]);
        let mut other = RANDOM;
        other[0] ^= 1;
        let first = sealed(&context, &[0; 32]);
        let second = seal(&MATERIAL, &KEY, &MATERIAL_ID, place(&context), &other, &[0; 32]).unwrap();
        // Same IV, other N: another key stream.
        assert_ne!(first[62..94], second[62..94]);
    }

    /// Made in November 2026 by an independent program (Python's `hmac` and `cryptography`): version 1 must stay readable for ever.
    const SAMPLE: &str = include_str!("../samples/ciphertext-v1.hex");

    #[test]
    fn sample_of_version_1_opens() {
        let blob = hex::decode(SAMPLE.trim()).unwrap();
        let context = context(&[("purpose", "sample"), ("tenant", "seven")]);
        assert_eq!(open(&blob, &MATERIAL, place(&context)).as_deref(), Some(&b"version 1 stays readable"[..]));
        assert_eq!(sealed(&context, b"version 1 stays readable"), blob);
    }

    proptest! {
        #[test]
        fn the_parser_never_panics_and_never_opens_noise(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(open(&bytes, &MATERIAL, place(&context(&[]))), None);
        }

        #[test]
        fn noise_behind_a_right_header_is_refused(tail in proptest::collection::vec(any::<u8>(), 0..300)) {
            let blob = [&[VERSION, SUITE_AES_256_GCM][..], &KEY, &MATERIAL_ID, &tail].concat();
            prop_assert_eq!(open(&blob, &MATERIAL, place(&context(&[]))), None);
        }

        #[test]
        fn any_message_in_any_context_round_trips(
            plaintext in proptest::collection::vec(any::<u8>(), 1..4097),
            context in proptest::collection::btree_map(".{0,20}", ".{0,20}", 0..6),
        ) {
            let blob = sealed(&context, &plaintext);
            prop_assert!(blob.len() <= BLOB_BYTES_MAX);
            prop_assert_eq!(open(&blob, &MATERIAL, place(&context)), Some(plaintext));
        }
    }
}
