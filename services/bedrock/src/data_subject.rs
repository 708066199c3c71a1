//! Data subjects: bodies of the invocation log under a key of each person that they are about, so that they can be erased where files cannot.
//!
//! Which member of a request's metadata names the person is a setting of the server (`data_subject_key`). The prompt and the answer of such a
//! request are sealed before they leave the server, and the name itself is not written. Erasing a person is deleting the key: log files under
//! a retention, their hashes in the signed log, digests, all stay as they are, and nobody can read the bodies any more. Backups hold keys:
//! whoever restores one made before the erasure must erase again.
//!
//! The key is kept by a keyed hash of the name, which also stands in the log's entries as `dataSubjectId`.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyring::Domain;
use plane::transaction::Abort;
use plane::{ApiError, Key, Plane, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use zeroize::Zeroizing;

/// Attempts to make a key while another node makes it.
const ATTEMPTS: u32 = 8;
/// Characters of an id, out of the hash's 64.
const ID_LENGTH: usize = 32;

/// The key of one data subject of an account, in all regions, hexadecimal.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SubjectKey {
    key: Zeroizing<String>,
}

impl Record for SubjectKey {
    const TABLE: Table = Table("bedrock-data-subject");
    const SCOPE: Scope = Scope::Home;
}

/// A body as it stands in a log entry.
#[derive(Clone, Debug)]
pub struct SealedBody {
    pub data_subject_id: String,
    pub request_id: String,
    /// `input` or `output`.
    pub part: String,
    /// Base64.
    pub sealed: String,
}

/// The id of a data subject: who has it learns nothing of the name.
pub(crate) fn id(plane: &Plane, account: &str, subject: &str) -> Result<String, ApiError> {
    let secret = plane.keyring.fixed_key(&Domain::new("data-subject", account, "")).map_err(|error| ApiError::internal(&error))?;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_slice()), subject.as_bytes());
    Ok(hex::encode(tag).chars().take(ID_LENGTH).collect())
}

fn key_of(account: &str, id: &str) -> Key {
    Key::new(account, "").last(id)
}

fn cipher(key: &SubjectKey) -> Result<LessSafeKey, ApiError> {
    let bytes = Zeroizing::new(hex::decode(key.key.as_str()).map_err(|error| ApiError::internal(&error))?);
    UnboundKey::new(&AES_256_GCM, &bytes).map(LessSafeKey::new).map_err(|error| ApiError::internal(&error))
}

/// What a sealed body is bound to: it cannot be passed off as another one.
fn bound(account: &str, request_id: &str, part: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("{account}\n{request_id}\n{part}").into_bytes())
}

/// The key of a data subject; made when there is none.
pub(crate) async fn key(plane: &Arc<Plane>, position: usize, account: &str, id: &str) -> Result<SubjectKey, ApiError> {
    let place = key_of(account, id);
    for _ in 0..ATTEMPTS {
        let mut tx = plane.transaction(position);
        if let Some(key) = tx.get::<SubjectKey>(&place).await? {
            return Ok(key);
        }
        let mut bytes = Zeroizing::new([0_u8; 32]);
        plane.randomness.fill(bytes.as_mut_slice()).map_err(|error| ApiError::internal(&error))?;
        let key = SubjectKey { key: Zeroizing::new(hex::encode(bytes.as_slice())) };
        tx.put(&place, &key)?;
        match tx.commit(Vec::new()).await {
            Ok(()) => return Ok(key),
            Err(Abort::Conflict) => {}
            Err(Abort::Failed(error)) => return Err(error),
        }
    }
    Err(ApiError::internal(&"the key of a data subject could not be made"))
}

/// Seals a body: nonce, ciphertext and tag, base64.
pub(crate) fn seal(plane: &Plane, key: &SubjectKey, account: &str, request_id: &str, part: &str, body: &str) -> Result<String, ApiError> {
    let mut nonce = [0_u8; NONCE_LEN];
    plane.randomness.fill(&mut nonce).map_err(|error| ApiError::internal(&error))?;
    let mut sealed = body.as_bytes().to_vec();
    cipher(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound(account, request_id, part), &mut sealed)
        .map_err(|error| ApiError::internal(&error))?;
    Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
}

/// Forgets the key of a data subject: what it sealed is gone. Gives the subject's id, and whether there was a key.
pub async fn erase_data_subject(
    plane: &Arc<Plane>,
    tx: &mut Transaction,
    account: &str,
    subject: &str,
) -> Result<(String, bool), ApiError> {
    let id = id(plane, account, subject)?;
    let place = key_of(account, &id);
    let was_there = tx.get::<SubjectKey>(&place).await?.is_some();
    tx.delete::<SubjectKey>(&place);
    // What waits for its delivery was said before the erasure, too.
    let runtime =
        plane.extension::<crate::runtime::State>(crate::RUNTIME).ok_or_else(|| ApiError::internal(&"the Bedrock runtime is not there"))?;
    runtime.log.forget(account, subject);
    Ok((id, was_there))
}

/// Opens a body of a log entry. `None`: the key is gone, or never was.
pub async fn open_logged_body(tx: &mut Transaction, account: &str, body: &SealedBody) -> Result<Option<String>, ApiError> {
    let Some(key) = tx.get::<SubjectKey>(&key_of(account, &body.data_subject_id)).await? else { return Ok(None) };
    let malformed = || ApiError::new("ValidationException", "The body is not one that this key has sealed.");
    let sealed = STANDARD.decode(&body.sealed).map_err(|_| malformed())?;
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(malformed)?;
    let mut sealed = sealed.to_vec();
    let opened = cipher(&key)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), bound(account, &body.request_id, &body.part), &mut sealed)
        .map_err(|_| malformed())?;
    String::from_utf8(opened.to_vec()).map(Some).map_err(|_| malformed())
}
