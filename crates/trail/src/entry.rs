//! A log entry: an event with what the decision was, sealed.
//!
//! Layout, format version 1: `1 | account (12 ASCII digits) | time, ms since 1970, big-endian i64 | sealed JSON`.
//! Account and time are outside the seal so that another account's entries are skipped unopened.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::event::Event;

const FORMAT: u8 = 1;
const ACCOUNT_LENGTH: usize = 12;
const HEADER_LENGTH: usize = 1 + ACCOUNT_LENGTH + 8;

/// Seals and opens entries. The plane implements it over the keyring.
pub trait Sealer: Send + Sync {
    fn seal(&self, account: &str, header: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, EntryError>;
    fn open(&self, account: &str, header: &[u8], sealed: &[u8]) -> Result<Vec<u8>, EntryError>;
}

/// What is kept of one call for one account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    pub record: Event,
    /// How the call was decided: the explanation of a denial, the deciding statement of an allow. Ours, not part of the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<serde_json::Value>,
}

/// An entry cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    #[error("the audit entry is malformed")]
    Malformed,
    #[error("the audit entry has format version `{0}`, newer than this program knows")]
    NewerFormat(u8),
    #[error("the audit entry cannot be sealed or opened: {0}")]
    Seal(String),
}

/// What an entry tells without being opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryHeader {
    pub account: String,
    pub time_ms: i64,
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
        let account = &self.record.recipient_account_id;
        let mut bytes = header_bytes(account, time_ms)?;
        let plaintext = serde_json::to_vec(self).map_err(|_| EntryError::Malformed)?;
        let sealed = sealer.seal(account, &bytes, &plaintext)?;
        bytes.extend_from_slice(&sealed);
        Ok(bytes.into())
    }

    pub fn header(bytes: &[u8]) -> Result<EntryHeader, EntryError> {
        let (head, _) = split(bytes)?;
        let account = head.get(1..=ACCOUNT_LENGTH).and_then(|account| std::str::from_utf8(account).ok()).ok_or(EntryError::Malformed)?;
        let time = head.get(1 + ACCOUNT_LENGTH..).and_then(|time| <[u8; 8]>::try_from(time).ok()).ok_or(EntryError::Malformed)?;
        Ok(EntryHeader { account: account.to_owned(), time_ms: i64::from_be_bytes(time) })
    }

    pub fn open(bytes: &[u8], sealer: &dyn Sealer) -> Result<Self, EntryError> {
        let header = Self::header(bytes)?;
        let (head, sealed) = split(bytes)?;
        let plaintext = sealer.open(&header.account, head, sealed)?;
        serde_json::from_slice(&plaintext).map_err(|_| EntryError::Malformed)
    }
}

fn header_bytes(account: &str, time_ms: i64) -> Result<Vec<u8>, EntryError> {
    if account.len() != ACCOUNT_LENGTH || !account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EntryError::Malformed);
    }
    let mut bytes = Vec::with_capacity(1024);
    bytes.push(FORMAT);
    bytes.extend_from_slice(account.as_bytes());
    bytes.extend_from_slice(&time_ms.to_be_bytes());
    Ok(bytes)
}

fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), EntryError> {
    match bytes.first() {
        Some(&FORMAT) => bytes.split_at_checked(HEADER_LENGTH).ok_or(EntryError::Malformed),
        Some(&newer) => Err(EntryError::NewerFormat(newer)),
        None => Err(EntryError::Malformed),
    }
}
