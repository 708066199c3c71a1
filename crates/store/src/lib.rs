//! Transactional state: an ordered key-value store with optimistic batch commits, a log and a change feed.
//!
//! Values are opaque: they are sealed by the caller. The seam is [`Store`]; engines are memory, redb (embedded default) and
//! PostgreSQL, and one suite runs on each.
//!
//! Invariants:
//! 1. A commit is all or nothing, and durable before it answers.
//! 2. Revisions are gap-free and totally ordered; the log entries of a batch stand in the same commit as its writes.
//! 3. Many callers share one sync (group commit); a batch whose expectations fail is rejected alone.

use async_trait::async_trait;
use bytes::Bytes;

/// A named table. Names are short, constant and never reused for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Table(pub &'static str);

/// Number of a commit; 0 is the empty store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Revision(pub u64);

/// A value with the revision that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    pub version: Revision,
    pub value: Bytes,
}

/// A row of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: Bytes,
    pub version: Revision,
    pub value: Bytes,
}

/// Half-open key range `start..end`; `end` of `None` is the end of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    pub start: Bytes,
    pub end: Option<Bytes>,
}

/// What must still hold at commit time for a batch to apply.
#[derive(Clone, Debug)]
pub enum Expect {
    /// The key has this version; `None`: it is absent.
    Version { table: Table, key: Bytes, version: Option<Revision> },
    /// No key of the range was written or deleted after this revision... proved by the fingerprint of (key, version) pairs that a scan
    /// with this limit saw (see [`fingerprint`]).
    Range { table: Table, range: KeyRange, limit: u32, fingerprint: u64 },
}

#[derive(Clone, Debug)]
pub enum Write {
    Put { table: Table, key: Bytes, value: Bytes },
    Delete { table: Table, key: Bytes },
}

/// One optimistic transaction.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    pub expect: Vec<Expect>,
    pub writes: Vec<Write>,
    /// Appended to the log in the same commit (sealed audit events).
    pub log: Vec<Bytes>,
}

/// A log row: what one commit appended and which keys it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    pub revision: Revision,
    pub entries: Vec<Bytes>,
    /// Table name and key of each write, in order.
    pub changed: Vec<(String, Bytes)>,
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// An expectation no longer holds: run the transaction again.
    #[error("the transaction conflicts with a later commit")]
    Conflict,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The store cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    #[error("the store is damaged: {0}")]
    Corrupt(String),
}

/// The seam. See the crate documentation for its invariants.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// A consistent view of the newest commit.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError>;
    /// Checks `expect`, applies `writes`, appends `log`; answers when it is durable.
    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError>;
    /// Log rows with `after < revision`, oldest first, at most `limit`.
    async fn log_after(&self, after: Revision, limit: u32) -> Result<Vec<LogRow>, StoreError>;
    /// Log rows with `revision < before`, newest first, at most `limit`. `None`: from the head.
    async fn log_before(&self, before: Option<Revision>, limit: u32) -> Result<Vec<LogRow>, StoreError>;
    /// The newest revision, and a way to wait for a newer one.
    fn head(&self) -> tokio::sync::watch::Receiver<Revision>;
    /// Writes a consistent copy that [`Store`]'s engine can open, while serving.
    async fn backup(&self, to: &std::path::Path) -> Result<Revision, StoreError>;
}

/// A consistent view at one revision.
#[async_trait]
pub trait Snapshot: Send + Sync {
    fn revision(&self) -> Revision;
    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Versioned>, StoreError>;
    /// Rows of the range in key order, at most `limit`.
    async fn scan(&self, table: Table, range: &KeyRange, limit: u32) -> Result<Vec<Row>, StoreError>;
    /// Rows of the range in reverse key order, at most `limit`.
    async fn scan_reverse(&self, table: Table, range: &KeyRange, limit: u32) -> Result<Vec<Row>, StoreError>;
}

/// Fingerprint of what a forward scan saw: keys and versions in order (64-bit, keyed by nothing, collision-resistant enough to detect change).
pub fn fingerprint<'a>(rows: impl Iterator<Item = (&'a [u8], Revision)>) -> u64 {
    rows.fold(0xcbf2_9ce4_8422_2325, |hash, (key, version)| {
        key.iter().chain(version.0.to_be_bytes().iter()).fold(hash ^ 0x9e37_79b9_7f4a_7c15, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    })
}
