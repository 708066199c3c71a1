//! Signed notes: text with signatures under it, and the keys that make and check them.
//!
//! Source: C2SP `signed-note` and `tlog-cosignature`.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ML_DSA_44, ML_DSA_44_SIGNING, PqdsaKeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::checkpoint::Checkpoint;
use crate::merkle::sha256;

/// Largest note that is read.
pub const NOTE_LIMIT: usize = 128 * 1024;
/// Most signatures under a note.
const SIGNATURE_LIMIT: usize = 32;
const TIMESTAMP_LENGTH: usize = 8;
/// Bytes of an ML-DSA-44 signature.
const ML_DSA_44_LENGTH: usize = 2420;
const ED25519_PUBLIC_LENGTH: usize = 32;
const ML_DSA_44_PUBLIC_LENGTH: usize = 1312;

/// A note, key or checkpoint cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("the note is malformed")]
    Note,
    #[error("the checkpoint is malformed")]
    Checkpoint,
    #[error("`{0}` is not a verifier key (name+id+key)")]
    Key(String),
    #[error("the signing key cannot be used")]
    SigningKey,
    #[error("no known key has signed the note")]
    Unsigned,
}

/// Kinds of signatures, with the byte that stands for each in key ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Ed25519 over the text.
    Ed25519,
    /// Ed25519 over `cosignature/v1`, a time and the text.
    CosignatureV1,
    /// ML-DSA-44 over the `subtree/v1` statement of the checkpoint.
    MlDsa44,
}

impl Algorithm {
    pub fn byte(self) -> u8 {
        match self {
            Self::Ed25519 => 0x01,
            Self::CosignatureV1 => 0x04,
            Self::MlDsa44 => 0x06,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ed25519, Self::CosignatureV1, Self::MlDsa44].into_iter().find(|algorithm| algorithm.byte() == byte)
    }

    fn public_length(self) -> usize {
        if self == Self::MlDsa44 { ML_DSA_44_PUBLIC_LENGTH } else { ED25519_PUBLIC_LENGTH }
    }
}

fn key_id(name: &str, algorithm: Algorithm, public: &[u8]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), b"\n", &[algorithm.byte()], public].concat());
    hash.first_chunk().copied().unwrap_or_default()
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() < 256
        && !name.chars().any(|character| character.is_whitespace() || character.is_control() || character == '+')
}

/// A public key: `name+id+base64(algorithm | key)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifierKey {
    pub name: String,
    pub id: [u8; 4],
    pub algorithm: Algorithm,
    public: Vec<u8>,
}

impl VerifierKey {
    pub fn new(name: &str, algorithm: Algorithm, public: &[u8]) -> Result<Self, NoteError> {
        if !is_name(name) || public.len() != algorithm.public_length() {
            return Err(NoteError::Key(name.chars().take(100).collect()));
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, algorithm, public), algorithm, public: public.to_vec() })
    }

    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let invalid = || NoteError::Key(text.chars().take(100).collect());
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else { return Err(invalid()) };
        let key = STANDARD.decode(key).map_err(|_| invalid())?;
        let (algorithm, public) = key.split_first().ok_or_else(invalid)?;
        let algorithm = Algorithm::from_byte(*algorithm).ok_or_else(invalid)?;
        let parsed = Self::new(name, algorithm, public).map_err(|_| invalid())?;
        if hex::encode(parsed.id) == id.to_ascii_lowercase() { Ok(parsed) } else { Err(invalid()) }
    }

    /// Whether the signature is this key's over the text.
    fn verifies(&self, text: &str, signature: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Ed25519 => UnparsedPublicKey::new(&ED25519, &self.public).verify(text.as_bytes(), signature).is_ok(),
            Algorithm::CosignatureV1 => timestamped(signature).is_some_and(|(time_s, signature)| {
                UnparsedPublicKey::new(&ED25519, &self.public).verify(cosignature_message(text, time_s).as_bytes(), signature).is_ok()
            }),
            Algorithm::MlDsa44 => timestamped(signature).is_some_and(|(time_s, signature)| {
                Checkpoint::parse(text)
                    .ok()
                    .and_then(|checkpoint| subtree_message(&self.name, &checkpoint, time_s))
                    .is_some_and(|message| UnparsedPublicKey::new(&ML_DSA_44, &self.public).verify(&message, signature).is_ok())
            }),
        }
    }
}

impl std::fmt::Display for VerifierKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let key = STANDARD.encode([&[self.algorithm.byte()], self.public.as_slice()].concat());
        write!(formatter, "{}+{}+{key}", self.name, hex::encode(self.id))
    }
}

fn timestamped(signature: &[u8]) -> Option<(u64, &[u8])> {
    let (time_s, signature) = signature.split_first_chunk::<TIMESTAMP_LENGTH>()?;
    Some((u64::from_be_bytes(*time_s), signature))
}

fn cosignature_message(text: &str, time_s: u64) -> String {
    format!("cosignature/v1\ntime {time_s}\n{text}")
}

/// The statement that ML-DSA-44 signs: the whole tree of the checkpoint.
fn subtree_message(cosigner: &str, checkpoint: &Checkpoint, time_s: u64) -> Option<Vec<u8>> {
    let mut message = b"subtree/v1\n\0".to_vec();
    message.push(u8::try_from(cosigner.len()).ok()?);
    message.extend_from_slice(cosigner.as_bytes());
    message.extend_from_slice(&time_s.to_be_bytes());
    message.push(u8::try_from(checkpoint.origin.len()).ok()?);
    message.extend_from_slice(checkpoint.origin.as_bytes());
    message.extend_from_slice(&0_u64.to_be_bytes());
    message.extend_from_slice(&checkpoint.size.to_be_bytes());
    message.extend_from_slice(&checkpoint.root);
    Some(message)
}

enum Secret {
    Ed25519(Box<Ed25519KeyPair>),
    MlDsa44(Box<PqdsaKeyPair>),
}

/// A key that signs notes.
pub struct NoteSigner {
    pub key: VerifierKey,
    secret: Secret,
}

impl std::fmt::Debug for NoteSigner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "NoteSigner({})", self.key.name)
    }
}

impl NoteSigner {
    /// A new private key in PKCS#8 form.
    pub fn generate(algorithm: Algorithm) -> Result<Zeroizing<Vec<u8>>, NoteError> {
        let failed = |_| NoteError::SigningKey;
        let document = match algorithm {
            Algorithm::Ed25519 | Algorithm::CosignatureV1 => Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(failed)?,
            Algorithm::MlDsa44 => PqdsaKeyPair::generate(&ML_DSA_44_SIGNING).and_then(|pair| pair.to_pkcs8v1()).map_err(failed)?,
        };
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    pub fn new(name: &str, algorithm: Algorithm, pkcs8: &[u8]) -> Result<Self, NoteError> {
        let failed = |_| NoteError::SigningKey;
        let (secret, public) = match algorithm {
            Algorithm::Ed25519 | Algorithm::CosignatureV1 => {
                let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(failed)?;
                let public = pair.public_key().as_ref().to_vec();
                (Secret::Ed25519(Box::new(pair)), public)
            }
            Algorithm::MlDsa44 => {
                let pair = PqdsaKeyPair::from_pkcs8(&ML_DSA_44_SIGNING, pkcs8).map_err(failed)?;
                let public = pair.public_key().as_ref().to_vec();
                (Secret::MlDsa44(Box::new(pair)), public)
            }
        };
        Ok(Self { key: VerifierKey::new(name, algorithm, &public)?, secret })
    }

    /// A signature line over a checkpoint's text. `time_s` (seconds since 1970) stands in the kinds that carry a time.
    pub fn sign(&self, text: &str, time_s: u64) -> Result<NoteSignature, NoteError> {
        let stamped = |signature: &[u8]| [&time_s.to_be_bytes(), signature].concat();
        let bytes = match (&self.secret, self.key.algorithm) {
            (Secret::Ed25519(pair), Algorithm::CosignatureV1) => stamped(pair.sign(cosignature_message(text, time_s).as_bytes()).as_ref()),
            (Secret::Ed25519(pair), _) => pair.sign(text.as_bytes()).as_ref().to_vec(),
            (Secret::MlDsa44(pair), _) => {
                let message = subtree_message(&self.key.name, &Checkpoint::parse(text)?, time_s).ok_or(NoteError::Checkpoint)?;
                let mut signature = vec![0; ML_DSA_44_LENGTH];
                pair.sign(&message, &mut signature).map_err(|_| NoteError::SigningKey)?;
                stamped(&signature)
            }
        };
        Ok(NoteSignature { name: self.key.name.clone(), id: self.key.id, bytes })
    }
}

/// One line under a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    pub name: String,
    pub id: [u8; 4],
    pub bytes: Vec<u8>,
}

impl NoteSignature {
    /// With its newline.
    pub fn to_line(&self) -> String {
        format!("— {} {}\n", self.name, STANDARD.encode([self.id.as_slice(), &self.bytes].concat()))
    }

    fn parse(line: &str) -> Option<Self> {
        let (name, signature) = line.strip_prefix("— ")?.split_once(' ')?;
        let signature = STANDARD.decode(signature).ok()?;
        let (id, bytes) = signature.split_first_chunk::<4>()?;
        if !is_name(name) || bytes.is_empty() {
            return None;
        }
        Some(Self { name: name.to_owned(), id: *id, bytes: bytes.to_vec() })
    }

    /// The time that a cosignature carries, seconds since 1970.
    pub fn time_s(&self) -> Option<u64> {
        timestamped(&self.bytes).map(|(time_s, _)| time_s)
    }
}

/// Signature lines, one below the other.
pub fn parse_signatures(text: &str) -> Result<Vec<NoteSignature>, NoteError> {
    if text.len() > NOTE_LIMIT {
        return Err(NoteError::Note);
    }
    let lines: Vec<&str> = text.strip_suffix('\n').ok_or(NoteError::Note)?.split('\n').collect();
    if lines.len() > SIGNATURE_LIMIT {
        return Err(NoteError::Note);
    }
    lines.into_iter().map(|line| NoteSignature::parse(line).ok_or(NoteError::Note)).collect()
}

/// Text with the signatures under it. The text counts only when [`SignedNote::verified_by`] gives a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedNote {
    pub text: String,
    pub signatures: Vec<NoteSignature>,
}

impl SignedNote {
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > NOTE_LIMIT || note.chars().any(|character| character.is_ascii_control() && character != '\n') {
            return Err(NoteError::Note);
        }
        let place = note.rfind("\n\n").ok_or(NoteError::Note)?;
        let (text, signatures) = (note.get(..=place).ok_or(NoteError::Note)?, note.get(place + 2..).ok_or(NoteError::Note)?);
        Ok(Self { text: text.to_owned(), signatures: parse_signatures(signatures)? })
    }

    pub fn to_note(&self) -> String {
        let mut note = format!("{}\n", self.text);
        self.signatures.iter().for_each(|signature| note.push_str(&signature.to_line()));
        note
    }

    /// The keys, among those that are known, whose signatures hold. A known key whose signature does not hold makes the note void.
    pub fn verified_by<'a>(&self, keys: &'a [VerifierKey]) -> Result<Vec<&'a VerifierKey>, NoteError> {
        let mut found = Vec::new();
        for signature in &self.signatures {
            let known = keys.iter().find(|key| key.name == signature.name && key.id == signature.id);
            let Some(key) = known else { continue };
            if !key.verifies(&self.text, &signature.bytes) {
                return Err(NoteError::Unsigned);
            }
            if !found.contains(&key) {
                found.push(key);
            }
        }
        if found.is_empty() { Err(NoteError::Unsigned) } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EXAMPLE: &str = "example.com/log\n12\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn signer(name: &str, algorithm: Algorithm) -> NoteSigner {
        NoteSigner::new(name, algorithm, &NoteSigner::generate(algorithm).unwrap()).unwrap()
    }

    #[test]
    fn every_kind_of_signature_holds_and_no_changed_text() {
        let signers = [
            signer("example.com/log", Algorithm::Ed25519),
            signer("example.com/log", Algorithm::MlDsa44),
            signer("witness.example/w", Algorithm::CosignatureV1),
        ];
        let signatures = signers.iter().map(|signer| signer.sign(EXAMPLE, 1_679_315_147).unwrap()).collect();
        let note = SignedNote { text: EXAMPLE.to_owned(), signatures };
        let read = SignedNote::parse(&note.to_note()).unwrap();
        assert_eq!(read, note);
        let keys: Vec<VerifierKey> = signers.iter().map(|signer| VerifierKey::parse(&signer.key.to_string()).unwrap()).collect();
        assert_eq!(read.verified_by(&keys).unwrap().len(), 3);
        for key in &keys {
            assert!(read.verified_by(std::slice::from_ref(key)).is_ok());
            let changed = SignedNote { text: EXAMPLE.replace("12", "13"), ..read.clone() };
            assert_eq!(changed.verified_by(std::slice::from_ref(key)), Err(NoteError::Unsigned));
        }
        let stranger = signer("example.com/log", Algorithm::Ed25519);
        assert_eq!(read.verified_by(&[stranger.key]), Err(NoteError::Unsigned));
        assert_eq!(read.signatures.last().unwrap().time_s(), Some(1_679_315_147));
    }

    /// A vkey and a note of Go's `golang.org/x/mod/sumdb/note` documentation.
    #[test]
    fn keys_of_other_programs_are_read() {
        let key = VerifierKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let note = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        assert_eq!(SignedNote::parse(note).unwrap().verified_by(&[key]).unwrap().len(), 1);
        for wrong in ["", "a+b", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "x+00000000+////"] {
            assert!(VerifierKey::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_note_or_refused(text in "[a-z0-9+/=— \n]{0,300}") {
            if let Ok(note) = SignedNote::parse(&text) {
                prop_assert_eq!(note.to_note(), text.clone());
            }
            let _ = Checkpoint::parse(&text);
            let _ = VerifierKey::parse(&text);
            let _ = crate::witness::AddCheckpoint::parse(text.as_bytes());
        }
    }
}
