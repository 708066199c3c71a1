//! What a witness checks before it cosigns, and how it is asked. Source: C2SP `tlog-witness`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::Checkpoint;
use crate::merkle::{self, Hash};
use crate::note::{NoteError, SignedNote, VerifierKey};

/// Most lines of proof that a request may have.
const PROOF_LIMIT: usize = 63;
/// Largest request that is read.
pub const REQUEST_LIMIT: usize = 64 * 1024;

/// A request to cosign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    pub old_size: u64,
    pub proof: Vec<Hash>,
    pub note: SignedNote,
}

impl AddCheckpoint {
    pub fn parse(body: &[u8]) -> Result<Self, NoteError> {
        if body.len() > REQUEST_LIMIT {
            return Err(NoteError::Note);
        }
        let text = std::str::from_utf8(body).map_err(|_| NoteError::Note)?;
        let (head, note) = text.split_once("\n\n").ok_or(NoteError::Note)?;
        let mut lines = head.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).ok_or(NoteError::Note)?;
        let plain = !old.is_empty() && old.bytes().all(|byte| byte.is_ascii_digit()) && (old == "0" || !old.starts_with('0'));
        let old_size = if plain { old.parse().map_err(|_| NoteError::Note)? } else { return Err(NoteError::Note) };
        let proof = lines
            .map(|line| STANDARD.decode(line).ok().and_then(|hash| hash.try_into().ok()).ok_or(NoteError::Note))
            .collect::<Result<Vec<Hash>, _>>()?;
        if proof.len() > PROOF_LIMIT {
            return Err(NoteError::Note);
        }
        Ok(Self { old_size, proof, note: SignedNote::parse(note)? })
    }

    pub fn to_body(&self) -> String {
        let mut body = format!("old {}\n", self.old_size);
        for hash in &self.proof {
            body.push_str(&STANDARD.encode(hash));
            body.push('\n');
        }
        body.push('\n');
        body.push_str(&self.note.to_note());
        body
    }
}

/// What a witness remembers of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub size: u64,
    pub root: Hash,
}

/// Why a witness does not cosign.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the request is malformed")]
    Malformed,
    #[error("the log is not known here")]
    UnknownLog,
    #[error("no trusted key has signed the checkpoint")]
    Unsigned,
    /// The size that was cosigned last.
    #[error("the last checkpoint that was cosigned has size `{0}`")]
    Conflict(u64),
    #[error("the log showed another tree of this size before")]
    OtherRoot(u64),
    #[error("the checkpoint is not a continuation of the last one")]
    Inconsistent,
}

impl Refusal {
    /// HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::UnknownLog => 404,
            Self::Unsigned => 403,
            Self::Conflict(_) | Self::OtherRoot(_) => 409,
            Self::Inconsistent => 422,
        }
    }
}

/// Checks a request against what was seen before; gives what is to be remembered, and cosigned.
pub fn check(request: &AddCheckpoint, keys: &[VerifierKey], seen: Option<&Seen>) -> Result<(Checkpoint, Seen), Refusal> {
    let checkpoint = Checkpoint::parse(&request.note.text).map_err(|_| Refusal::Malformed)?;
    request.note.verified_by(keys).map_err(|_| Refusal::Unsigned)?;
    if request.old_size > checkpoint.size {
        return Err(Refusal::Malformed);
    }
    let last = seen.map_or(0, |seen| seen.size);
    if request.old_size != last {
        return Err(Refusal::Conflict(last));
    }
    if let Some(seen) = seen {
        if seen.size == checkpoint.size && seen.root != checkpoint.root {
            return Err(Refusal::OtherRoot(last));
        }
        merkle::verify_consistency(&request.proof, seen.size, &seen.root, checkpoint.size, &checkpoint.root)
            .map_err(|_| Refusal::Inconsistent)?;
    } else if !request.proof.is_empty() {
        return Err(Refusal::Inconsistent);
    }
    let seen = Seen { size: checkpoint.size, root: checkpoint.root };
    Ok((checkpoint, seen))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::merkle::{leaf_hash, root};
    use crate::note::{Algorithm, NoteSigner};

    fn request(signer: &NoteSigner, old_size: u64, size: u64, root: Hash, proof: Vec<Hash>) -> AddCheckpoint {
        let text = Checkpoint::new("example.com/log", size, root).to_text();
        let signatures = vec![signer.sign(&text, 0).unwrap()];
        let request = AddCheckpoint { old_size, proof, note: SignedNote { text, signatures } };
        assert_eq!(AddCheckpoint::parse(request.to_body().as_bytes()).as_ref(), Ok(&request));
        request
    }

    #[test]
    fn a_log_may_only_grow() {
        let signer = NoteSigner::new("example.com/log", Algorithm::Ed25519, &NoteSigner::generate(Algorithm::Ed25519).unwrap()).unwrap();
        let keys = [signer.key.clone()];
        let (one, two) = (leaf_hash(b"1"), leaf_hash(b"2"));
        let (first, both) = (root([one]), root([one, two]));
        let (_, seen) = check(&request(&signer, 0, 1, first, Vec::new()), &keys, None).unwrap();
        let grown = check(&request(&signer, 1, 2, both, vec![two]), &keys, Some(&seen)).unwrap().1;
        assert_eq!(grown.size, 2);
        let refused = |request: &AddCheckpoint, seen| check(request, &keys, seen).unwrap_err();
        // Set back to one leaf; a stranger's signature; another tree of the same size; a proof that proves nothing.
        assert_eq!(refused(&request(&signer, 1, 1, first, Vec::new()), Some(&grown)), Refusal::Conflict(2));
        assert_eq!(refused(&request(&signer, 2, 1, first, Vec::new()), Some(&grown)), Refusal::Malformed);
        assert_eq!(refused(&request(&signer, 2, 2, first, Vec::new()), Some(&grown)), Refusal::OtherRoot(2));
        assert_eq!(refused(&request(&signer, 1, 2, both, vec![one]), Some(&seen)), Refusal::Inconsistent);
        assert_eq!(refused(&request(&signer, 0, 2, both, vec![two]), None), Refusal::Inconsistent);
        let stranger = NoteSigner::new("example.com/log", Algorithm::Ed25519, &NoteSigner::generate(Algorithm::Ed25519).unwrap()).unwrap();
        assert_eq!(refused(&request(&stranger, 0, 1, first, Vec::new()), None), Refusal::Unsigned);
    }
}
