//! A log entry: an event with what the decision was, sealed.
//!
//! Layout, format version 4:
//! `4 | account (12 ASCII digits) | time, ms since 1970, big-endian i64 | SHA-256 of the record | tags: count (1), 4 each | sealed, compressed JSON`.
//! Account, time and tags are outside the seal so that what a lookup does not want is skipped unopened; the hash, so that the log's tree can
//! be made, and checked in a backup, without a key. Everything before the seal is bound to it. How JSON is compressed is in `compression`.
//!
//! Format version 1 had neither hash nor tags, and version 2 sealed the JSON as it is. Format 3 is a [`crate::Statement`], which belongs to no
//! account.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use transparency::Hash;
use transparency::merkle::sha256;

use crate::compression;
use crate::decision::Decision;
use crate::event::Event;
use crate::json;
use crate::statement::{self, Statement};
use crate::tag::{Tag, TagKey, tags};

const FORMAT: u8 = 4;
const FORMAT_1: u8 = 1;
const FORMAT_2: u8 = 2;
const ACCOUNT_LENGTH: usize = 12;
const HEADER_1_LENGTH: usize = 1 + ACCOUNT_LENGTH + 8;
const TAGS_PLACE: usize = HEADER_1_LENGTH + 32;
/// What the sealed JSON begins with: the record stands first, so that its own bytes can be cut out.
const RECORD_PREFIX: &[u8] = b"{\"record\":";

/// Seals and opens entries. The plane implements it over the keyring.
pub trait Sealer: Send + Sync {
    fn seal(&self, account: &str, header: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, EntryError>;
    fn open(&self, account: &str, header: &[u8], sealed: &[u8]) -> Result<Vec<u8>, EntryError>;
    /// The secret that tags are made with. It never changes.
    fn tag_key(&self) -> Result<TagKey, EntryError>;
}

/// What is kept of one call for one account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub record: Event,
    /// How the call was decided: the explanation of a denial, the deciding statement of an allow. Ours, not part of the record. Shared: the call
    /// still has it, and so have the copies for other accounts.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "shared")]
    pub decision: Option<Arc<serde_json::Value>>,
    /// Elements of the record that were too large for it, by their names. Ours, not part of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<serde_json::Value>,
}

/// A shared value as the value itself.
mod shared {
    use super::{Arc, Deserialize, Serialize};

    #[expect(clippy::ref_option, reason = "serde gives it so")]
    pub(super) fn serialize<S: serde::Serializer>(value: &Option<Arc<serde_json::Value>>, serializer: S) -> Result<S::Ok, S::Error> {
        value.as_deref().serialize(serializer)
    }

    pub(super) fn deserialize<'a, D: serde::Deserializer<'a>>(deserializer: D) -> Result<Option<Arc<serde_json::Value>>, D::Error> {
        Option::deserialize(deserializer).map(|value| value.map(Arc::new))
    }
}

/// An entry cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error("the audit entry is malformed")]
    Malformed,
    #[error("the audit entry has format version `{0}`, newer than this program knows")]
    NewerFormat(u8),
    #[error("the audit entry is compressed with dictionary `{0}`, newer than this program knows")]
    NewerDictionary(u8),
    #[error("the audit entry cannot be sealed or opened: {0}")]
    Seal(String),
}

/// What an entry tells without being opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    /// Empty for a statement.
    pub account: String,
    pub time_ms: i64,
}

/// An opened entry with the record's JSON as it was written: what hashes are made of, and files are filled with.
#[derive(Clone, Debug)]
pub struct OpenEntry {
    pub entry: Entry,
    pub record_json: String,
}

impl Entry {
    /// A policy refused the call.
    pub fn is_denied(&self) -> bool {
        self.decision
            .as_ref()
            .and_then(|decision| decision.get("allowed"))
            .is_some_and(|allowed| *allowed == serde_json::Value::Bool(false))
    }

    /// Bytes for the store's log. `time_ms` is the event's time.
    pub fn to_bytes(&self, sealer: &dyn Sealer, time_ms: i64) -> Result<Bytes, EntryError> {
        let decision = self.decision.as_deref().map(Decision::of).transpose().map_err(|_| EntryError::Malformed)?;
        self.to_bytes_decided(sealer, time_ms, decision.as_ref())
    }

    /// As [`Entry::to_bytes`], with a decision that was not opened yet in place of the entry's own.
    pub fn to_bytes_decided(&self, sealer: &dyn Sealer, time_ms: i64, decision: Option<&Decision>) -> Result<Bytes, EntryError> {
        let account = &self.record.recipient_account_id;
        if account.len() != ACCOUNT_LENGTH || !account.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(EntryError::Malformed);
        }
        let (json, hash) = self.json(decision).map_err(|_| EntryError::Malformed)?;
        let plaintext = compression::pack(&json);
        let mut bytes = Vec::with_capacity(plaintext.len() + 256);
        bytes.push(FORMAT);
        bytes.extend_from_slice(account.as_bytes());
        bytes.extend_from_slice(&time_ms.to_be_bytes());
        bytes.extend_from_slice(&hash);
        let mut tags = tags(&sealer.tag_key()?, &self.record, decision.is_some_and(Decision::is_denied));
        tags.truncate(usize::from(u8::MAX));
        bytes.push(u8::try_from(tags.len()).map_err(|_| EntryError::Malformed)?);
        for tag in tags {
            bytes.extend_from_slice(&tag.to_be_bytes());
        }
        let sealed = sealer.seal(account, &bytes, &plaintext)?;
        bytes.extend_from_slice(&sealed);
        Ok(bytes.into())
    }

    /// The entry's JSON, and the hash of the record in it.
    fn json(&self, decision: Option<&Decision>) -> Result<(Vec<u8>, Hash), serde_json::Error> {
        let mut json = Vec::with_capacity(2048);
        json.extend_from_slice(RECORD_PREFIX);
        self.record.write_json(&mut json)?;
        let hash = sha256(json.get(RECORD_PREFIX.len()..).unwrap_or_default());
        if let Some(decision) = decision {
            json.extend_from_slice(b",\"decision\":");
            decision.write(&mut json);
        }
        if let Some(whole) = &self.whole {
            json.extend_from_slice(b",\"whole\":");
            json::write(&mut json, whole)?;
        }
        json.push(b'}');
        Ok((json, hash))
    }

    pub fn header(bytes: &[u8]) -> Result<EntryHeader, EntryError> {
        if bytes.first() == Some(&statement::FORMAT) {
            return Ok(EntryHeader { account: String::new(), time_ms: Statement::parse(bytes)?.time_ms });
        }
        let (head, _) = split(bytes)?;
        let account = head.get(1..=ACCOUNT_LENGTH).and_then(|account| std::str::from_utf8(account).ok()).ok_or(EntryError::Malformed)?;
        let time = head.get(1 + ACCOUNT_LENGTH..HEADER_1_LENGTH).and_then(|time| <[u8; 8]>::try_from(time).ok());
        Ok(EntryHeader { account: account.to_owned(), time_ms: i64::from_be_bytes(time.ok_or(EntryError::Malformed)?) })
    }

    /// SHA-256 of the record's JSON, where the header has it (from format 2 on).
    pub fn record_hash(bytes: &[u8]) -> Option<Hash> {
        if !has_full_header(bytes) {
            return None;
        }
        bytes.get(HEADER_1_LENGTH..TAGS_PLACE)?.try_into().ok()
    }

    /// The tags of the header (from format 2 on).
    pub fn header_tags(bytes: &[u8]) -> Option<Vec<Tag>> {
        let (head, _) = split(bytes).ok().filter(|_| has_full_header(bytes))?;
        Some(head.get(TAGS_PLACE + 1..)?.as_chunks::<4>().0.iter().map(|tag| Tag::from_be_bytes(*tag)).collect())
    }

    pub fn open(bytes: &[u8], sealer: &dyn Sealer) -> Result<Self, EntryError> {
        let plaintext = Self::plaintext(bytes, sealer)?;
        serde_json::from_slice(&plaintext).map_err(|_| EntryError::Malformed)
    }

    /// As [`Entry::open`], with the record's own bytes.
    pub fn open_whole(bytes: &[u8], sealer: &dyn Sealer) -> Result<OpenEntry, EntryError> {
        let plaintext = Self::plaintext(bytes, sealer)?;
        let entry = serde_json::from_slice(&plaintext).map_err(|_| EntryError::Malformed)?;
        let rest = plaintext.strip_prefix(RECORD_PREFIX).ok_or(EntryError::Malformed)?;
        let (record, _) = first_json(rest).ok_or(EntryError::Malformed)?;
        let record_json = std::str::from_utf8(record).map_err(|_| EntryError::Malformed)?.to_owned();
        Ok(OpenEntry { entry, record_json })
    }

    fn plaintext(bytes: &[u8], sealer: &dyn Sealer) -> Result<Vec<u8>, EntryError> {
        let header = Self::header(bytes)?;
        if header.account.is_empty() {
            return Err(EntryError::Malformed);
        }
        let (head, sealed) = split(bytes)?;
        let plaintext = sealer.open(&header.account, head, sealed)?;
        if bytes.first() == Some(&FORMAT) { compression::unpack(plaintext) } else { Ok(plaintext) }
    }
}

/// The first JSON value of the text, and what follows it.
pub fn first_json(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<serde::de::IgnoredAny>();
    values.next()?.ok()?;
    text.split_at_checked(values.byte_offset())
}

/// The header has a hash and tags.
fn has_full_header(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(&(FORMAT | FORMAT_2)))
}

/// Header and sealed part.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), EntryError> {
    match bytes.first() {
        Some(&(FORMAT | FORMAT_2)) => {
            let count = bytes.get(TAGS_PLACE).ok_or(EntryError::Malformed)?;
            bytes.split_at_checked(TAGS_PLACE + 1 + 4 * usize::from(*count)).ok_or(EntryError::Malformed)
        }
        Some(&FORMAT_1) => bytes.split_at_checked(HEADER_1_LENGTH).ok_or(EntryError::Malformed),
        Some(&newer) => Err(EntryError::NewerFormat(newer)),
        None => Err(EntryError::Malformed),
    }
}
