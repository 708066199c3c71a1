//! Transactional state: an ordered key-value store with optimistic batch commits, a log and a change feed.
//!
//! Values are opaque: they are sealed by the caller. The seam is [`Store`]; engines are memory, redb (embedded default) and
//! PostgreSQL, and one suite runs on each.
//!
//! Invariants:
//! 1. A commit is all or nothing, and durable before it answers.
//! 2. Revisions are gap-free and totally ordered; the log entries of a batch stand in the same commit as its writes.
//! 3. Many callers share one sync (group commit); a batch whose expectations fail is rejected alone.
//! 4. A batch that neither writes nor logs is validated, gets no revision of its own and answers with the newest one.
//! 5. [`StoreError::Unavailable`] from a commit means *unknown*: the batch may or may not have become durable.
//! 6. Every engine writes the same backup, a redb store file of [`FORMAT_VERSION`], and every engine reads it back.
//!
//! What it is not: a query engine, a cache, or a place for bulk bytes (those are in `objects`).
//!
//! # File format, version 1 (redb store files and backups)
//! One redb file with three tables, big-endian numbers throughout:
//! * `meta`: text -> u64: `format` (the version, 1) and `head` (newest revision).
//! * `rows`: `table name | 0x00 | key` -> `version (8) | value`.
//! * `log`: revision (u64) -> log row: `0x01 | entries (4) | { length (4) | bytes }* | changes (4) | { length (1) | table | length (4) | key }*`.
//!
//! PostgreSQL holds the same three in the relations `head`, `rows` and `log` of one schema, the log row in the same encoding.

mod encoding;
pub mod jobs;
mod limits;
mod memory;
mod postgres;
mod postgres_session;
mod recent;
mod redb_file;
mod tree;

pub use limits::{MAX_BATCH_ITEMS, MAX_KEY_BYTES, MAX_TABLE_NAME_BYTES, MAX_VALUE_BYTES};
pub use memory::{MemoryState, MemoryStore};
pub use postgres::{PostgresConfig, PostgresStore};
pub use redb_file::{RedbOptions, RedbStore};

/// Version of the stored format that this program writes; it reads this one and older ones.
pub const FORMAT_VERSION: u64 = 1;

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
    /// A forward scan of the range with this limit sees the same keys at the same versions as before, proved by their fingerprint (see
    /// [`fingerprint`]). A write behind the last row of a full scan does not disturb it.
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

impl Batch {
    /// It gets a revision and a log row.
    pub(crate) fn has_effect(&self) -> bool {
        !self.writes.is_empty() || !self.log.is_empty()
    }
}

/// A log row: what one commit appended and which keys it changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRow {
    pub revision: Revision,
    pub entries: Vec<Bytes>,
    /// Table name and key of each write, in order.
    pub changed: Vec<(String, Bytes)>,
}

/// A log row without its entries: which keys one commit changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedRow {
    pub revision: Revision,
    /// As in [`LogRow`].
    pub changed: Vec<(String, Bytes)>,
}

/// See [`Store::touched_after`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Touched {
    pub revision: Revision,
    pub is_touched: bool,
}

/// Log rows read at a time to see what they changed.
const TOUCHED_ROWS: u32 = 512;

impl From<LogRow> for ChangedRow {
    fn from(row: LogRow) -> Self {
        Self { revision: row.revision, changed: row.changed }
    }
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
    /// A key, value or batch is over a limit; nothing was written.
    #[error("the batch is over a limit: {0}")]
    Limit(String),
    /// The store was written by a newer program.
    #[error("the store has format version `{found}`, but this program reads versions up to `{supported}`: use a newer program")]
    UnsupportedFormat { found: u64, supported: u64 },
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
    /// As [`Store::log_after`], without the entries: for those who follow what changed. Most rows changed nothing, and are all entries.
    async fn changes_after(&self, after: Revision, limit: u32) -> Result<Vec<ChangedRow>, StoreError> {
        Ok(self.log_after(after, limit).await?.into_iter().map(ChangedRow::from).collect())
    }
    /// Whether a commit after `after` changed one of the tables, and the newest commit that this is known of. A gap in the log counts as a change.
    async fn touched_after(&self, after: Revision, tables: &[&[Table]]) -> Result<Touched, StoreError> {
        touched_in_log(self, after, tables).await
    }
    /// One entry of a log row, without what stands beside it; `None` where there is no such row or entry.
    async fn log_entry(&self, revision: Revision, index: u32) -> Result<Option<Bytes>, StoreError> {
        let rows = self.log_after(Revision(revision.0.saturating_sub(1)), 1).await?;
        let row = rows.into_iter().find(|row| row.revision == revision);
        Ok(row.and_then(|row| row.entries.get(usize::try_from(index).ok()?).cloned()))
    }
    /// Log rows with `revision < before`, newest first, at most `limit`. `None`: from the head.
    async fn log_before(&self, before: Option<Revision>, limit: u32) -> Result<Vec<LogRow>, StoreError>;
    /// Takes away the oldest log rows with `revision < before`, at most `limit`, and never the newest row of all; gives how many went. Revisions
    /// stay as they are: whoever reads on from a place that is gone continues with the oldest row that is left.
    async fn prune_log(&self, before: Revision, limit: u32) -> Result<u64, StoreError>;
    /// The newest revision, and a way to wait for a newer one.
    fn head(&self) -> tokio::sync::watch::Receiver<Revision>;
    /// The newest revision alone: every call asks for it several times.
    fn newest(&self) -> Revision {
        *self.head().borrow()
    }
    /// Writes a consistent copy that [`Store`]'s engine can open, while serving.
    async fn backup(&self, to: &std::path::Path) -> Result<Revision, StoreError>;
}

/// [`Store::touched_after`] by reading the log.
async fn touched_in_log<S: Store + ?Sized>(store: &S, after: Revision, tables: &[&[Table]]) -> Result<Touched, StoreError> {
    let is_watched = |name: &str| tables.iter().copied().flatten().any(|table| table.0 == name);
    let head = store.newest();
    let mut touched = Touched { revision: after, is_touched: false };
    while touched.revision < head {
        let rows = store.changes_after(touched.revision, TOUCHED_ROWS).await?;
        let Some(last) = rows.last() else { break };
        // Revisions have no gaps: what is missing was pruned before it was seen.
        touched.is_touched |= rows.first().is_some_and(|row| row.revision.0 != touched.revision.0.saturating_add(1));
        touched.is_touched |= rows.iter().any(|row| row.changed.iter().any(|(table, _)| is_watched(table)));
        touched.revision = last.revision;
    }
    Ok(touched)
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
        key.iter()
            .chain(version.0.to_be_bytes().iter())
            .fold(hash ^ 0x9e37_79b9_7f4a_7c15, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
    })
}
