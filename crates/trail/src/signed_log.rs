//! The ledger as a C2SP log: checkpoints with the log's signatures and the witnesses' under them, tiles, entry bundles and proofs.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::{Batch, CommitError, Expect, Write};
use transparency::merkle::{self, Hash};
use transparency::note::{Algorithm, NoteSignature};
use transparency::tile::{WIDTH, level_length};
use transparency::{Checkpoint, NoteSigner, SignedNote, TilePath, VerifierKey};
use zeroize::Zeroizing;

use crate::bundle::Bundle;
use crate::ledger::{Ledger, LedgerError, STATE};

const KEYS_KEY: &[u8] = b"log-keys";
const COSIGNED_KEY: &[u8] = b"cosigned";

/// The log's own signing keys.
pub(crate) struct LogKeys {
    signers: Vec<NoteSigner>,
}

/// PKCS#8, hexadecimal. Sealed in the store.
#[derive(Serialize, Deserialize)]
struct StoredKeys {
    ed25519: Zeroizing<String>,
    ml_dsa_44: Zeroizing<String>,
}

/// The newest checkpoint that witnesses have cosigned.
#[derive(Serialize, Deserialize)]
struct Cosigned {
    size: u64,
    note: String,
}

/// A file of the log, as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    pub bytes: Bytes,
    /// It will never change.
    pub immutable: bool,
}

impl Ledger {
    async fn keys(&self) -> Result<Arc<LogKeys>, LedgerError> {
        let mut kept = self.signing.lock().await;
        if let Some(keys) = kept.as_ref() {
            return Ok(Arc::clone(keys));
        }
        let damaged = || LedgerError::Damaged("the log's signing keys cannot be read".to_owned());
        let stored = loop {
            let row = self.store.snapshot().await?.get(STATE, KEYS_KEY).await?;
            if let Some(row) = row {
                let plain = Zeroizing::new(self.sealer.open("", KEYS_KEY, &row.value)?);
                break serde_json::from_slice::<StoredKeys>(&plain).map_err(|_| damaged())?;
            }
            let new = StoredKeys {
                ed25519: Zeroizing::new(hex::encode(NoteSigner::generate(Algorithm::Ed25519)?.as_slice())),
                ml_dsa_44: Zeroizing::new(hex::encode(NoteSigner::generate(Algorithm::MlDsa44)?.as_slice())),
            };
            let plain = Zeroizing::new(serde_json::to_vec(&new).map_err(|_| damaged())?);
            let value = self.sealer.seal("", KEYS_KEY, &plain)?.into();
            let key = Bytes::from_static(KEYS_KEY);
            let batch = Batch {
                expect: vec![Expect::Version { table: STATE, key: key.clone(), version: None }],
                writes: vec![Write::Put { table: STATE, key, value }],
                log: Vec::new(),
            };
            match self.store.commit(batch).await {
                Ok(_) => break new,
                // Another node was faster: take its keys.
                Err(CommitError::Conflict) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        };
        let signer = |algorithm, pkcs8: &str| {
            let pkcs8 = Zeroizing::new(hex::decode(pkcs8).map_err(|_| damaged())?);
            NoteSigner::new(&self.origin, algorithm, &pkcs8).map_err(LedgerError::from)
        };
        let signers = vec![signer(Algorithm::Ed25519, &stored.ed25519)?, signer(Algorithm::MlDsa44, &stored.ml_dsa_44)?];
        let keys = Arc::new(LogKeys { signers });
        *kept = Some(Arc::clone(&keys));
        Ok(keys)
    }

    /// The keys that checkpoints are signed with.
    pub async fn verifier_keys(&self) -> Result<Vec<VerifierKey>, LedgerError> {
        Ok(self.keys().await?.signers.iter().map(|signer| signer.key.clone()).collect())
    }

    /// The newest checkpoint. `now_s` (seconds since 1970) stands in the ML-DSA signature.
    pub async fn checkpoint(&self, now_s: u64) -> Result<SignedNote, LedgerError> {
        // The order of locks: state, then keys, then the last note.
        let mut state = self.state.lock().await;
        self.catch_up(&mut state).await?;
        let size = state.size();
        let keys = self.keys().await?;
        let mut last = self.last_signed.lock().await;
        if let Some((_, note)) = last.as_ref().filter(|(signed, _)| *signed == size) {
            return Ok(note.clone());
        }
        let root = self.over_tiles(&state, |tiles| merkle::range_root(tiles, 0, size)).await?;
        let text = Checkpoint::new(self.origin.clone(), size, root).to_text();
        let mut signatures = keys.signers.iter().map(|signer| signer.sign(&text, now_s)).collect::<Result<Vec<_>, _>>()?;
        if let Some(cosigned) = self.cosigned().await?.filter(|note| note.text == text) {
            signatures.extend(cosigned.signatures.into_iter().filter(|signature| signature.name != self.origin));
        }
        let note = SignedNote { text, signatures };
        *last = Some((size, note.clone()));
        Ok(note)
    }

    /// The newest checkpoint that a witness has cosigned.
    pub async fn cosigned(&self) -> Result<Option<SignedNote>, LedgerError> {
        let Some(row) = self.store.snapshot().await?.get(STATE, COSIGNED_KEY).await? else { return Ok(None) };
        let damaged = |_| LedgerError::Damaged("the cosigned checkpoint cannot be read".to_owned());
        let cosigned: Cosigned = serde_json::from_slice(&row.value).map_err(damaged)?;
        Ok(Some(SignedNote::parse(&cosigned.note)?))
    }

    /// Keeps what witnesses have put under a checkpoint of this log.
    pub async fn keep_cosignatures(&self, note: &SignedNote, cosignatures: Vec<NoteSignature>) -> Result<(), LedgerError> {
        let checkpoint = Checkpoint::parse(&note.text)?;
        let mut note = note.clone();
        for cosignature in cosignatures {
            note.signatures.retain(|known| (&known.name, known.id) != (&cosignature.name, cosignature.id));
            note.signatures.push(cosignature);
        }
        let cosigned = Cosigned { size: checkpoint.size, note: note.to_note() };
        let value = serde_json::to_vec(&cosigned).map_err(|error| LedgerError::Damaged(error.to_string()))?;
        let write = Write::Put { table: STATE, key: Bytes::from_static(COSIGNED_KEY), value: value.into() };
        self.store.commit(Batch { writes: vec![write], ..Batch::default() }).await.map_err(|error| match error {
            CommitError::Conflict => LedgerError::Damaged("a write without a condition was refused".to_owned()),
            CommitError::Store(error) => error.into(),
        })?;
        *self.last_signed.lock().await = None;
        Ok(())
    }

    /// Proof that the tree of `old` leaves is the beginning of the one of `size` leaves.
    pub async fn consistency(&self, old: u64, size: u64) -> Result<Vec<Hash>, LedgerError> {
        let state = self.state.lock().await;
        if size > state.size() {
            return Err(LedgerError::Outside);
        }
        self.over_tiles(&state, |tiles| merkle::consistency_proof(tiles, old, size)).await
    }

    /// Proof that a leaf is in the tree of `size` leaves.
    pub async fn inclusion(&self, leaf: u64, size: u64) -> Result<Vec<Hash>, LedgerError> {
        let state = self.state.lock().await;
        if size > state.size() {
            return Err(LedgerError::Outside);
        }
        self.over_tiles(&state, |tiles| merkle::inclusion_proof(tiles, leaf, size)).await
    }

    /// A tile or an entry bundle by its path. `None`: there is none.
    pub async fn file(&self, path: TilePath) -> Result<Option<LogFile>, LedgerError> {
        let state = self.state.lock().await;
        let level = path.level.unwrap_or(0);
        let length = level_length(state.size(), level).saturating_sub(path.number.saturating_mul(WIDTH));
        let width = u64::from(path.width);
        // Partial tiles of earlier sizes are the beginnings of what there is now.
        if width > length.min(WIDTH) {
            return Ok(None);
        }
        let snapshot = self.store.snapshot().await?;
        let wanted = usize::from(path.width);
        let bytes = if path.level.is_some() {
            let hashes = self.tile(&state, snapshot.as_ref(), level, path.number).await?;
            hashes.iter().take(wanted).flatten().copied().collect::<Vec<u8>>()
        } else {
            let entries = if path.number < state.written.size / WIDTH {
                self.bundle(snapshot.as_ref(), path.number).await?.entries
            } else {
                Bundle::new(state.tail.iter().map(|leaf| (leaf.leaf, leaf.place))).entries
            };
            let split = transparency::tile::split_bundle(&entries).map_err(|error| LedgerError::Damaged(error.to_string()))?;
            let mut bundle = Vec::new();
            for entry in split.into_iter().take(wanted) {
                transparency::tile::push_entry(&mut bundle, entry);
            }
            bundle
        };
        Ok(Some(LogFile { bytes: bytes.into(), immutable: true }))
    }
}
