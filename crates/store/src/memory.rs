//! The memory engine: persistent maps, so that a snapshot is one reference count. Nothing survives the process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::recent::RecentChanges;
use crate::tree::{Direction, Tree};
use crate::{
    Batch, ChangedRow, CommitError, Expect, KeyRange, LogRow, Revision, Row, Snapshot, Store, StoreError, Table, Touched, Versioned, Write,
    encoding, fingerprint, limits, redb_file, touched_in_log,
};

/// By their names.
type Tables = BTreeMap<Arc<str>, Tree<Versioned>>;

#[derive(Clone, Debug, Default)]
struct State {
    revision: Revision,
    /// Snapshots share these and not the log: what only appends to it copies nothing of what they see.
    tables: Arc<Tables>,
    log: Tree<Arc<LogRow>>,
}

/// A frozen state of a [`MemoryStore`]: taking and restoring one is a few reference counts.
#[derive(Clone, Debug)]
pub struct MemoryState(State);

/// State in memory, for tests and ephemeral servers.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    head: watch::Sender<Revision>,
    recent: RecentChanges,
}

struct MemorySnapshot {
    revision: Revision,
    tables: Arc<Tables>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    pub fn new() -> Self {
        Self::of(State::default())
    }

    fn of(state: State) -> Self {
        let head = watch::Sender::new(state.revision);
        Self { state: Mutex::new(state), head, recent: RecentChanges::default() }
    }

    /// Opens a backup that any engine wrote.
    pub fn restore(backup: &Path) -> Result<Self, StoreError> {
        let mut state = State::default();
        let mut tables = Tables::new();
        redb_file::read_backup(backup, &mut |item| {
            match item {
                redb_file::BackupItem::Head(revision) => state.revision = revision,
                redb_file::BackupItem::Row { table, key, version, value } => {
                    let versioned = Versioned { version, value: Bytes::copy_from_slice(value) };
                    tables.entry(Arc::from(table)).or_default().insert(Bytes::copy_from_slice(key), versioned);
                }
                redb_file::BackupItem::Log(row) => {
                    state.log.insert(log_key(row.revision), Arc::new(row));
                }
            }
            Ok(())
        })?;
        state.tables = Arc::new(tables);
        Ok(Self::of(state))
    }

    /// The whole state as it is now.
    pub fn clone_state(&self) -> MemoryState {
        MemoryState(self.lock().clone())
    }

    /// Puts an earlier state back. **Revisions go back too** and will be given out again for other commits: whoever caches by revision must
    /// drop its caches, and no transaction may be under way.
    pub fn restore_state(&self, state: &MemoryState) {
        let mut current = self.lock();
        *current = state.0.clone();
        self.recent.forget();
        self.head.send_replace(current.revision);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is replaced only after a batch was checked: a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_key(revision: Revision) -> Bytes {
    Bytes::copy_from_slice(&revision.0.to_be_bytes())
}

fn get<'t>(tables: &'t Tables, table: Table, key: &[u8]) -> Option<&'t Versioned> {
    tables.get(table.0)?.get(key)
}

fn scan(tables: &Tables, table: Table, range: &KeyRange, limit: u32, direction: Direction) -> Vec<Row> {
    let mut rows = Vec::new();
    let (Some(tree), Ok(limit)) = (tables.get(table.0), usize::try_from(limit)) else {
        return rows;
    };
    if limit == 0 {
        return rows;
    }
    tree.walk(&range.start, range.end.as_deref(), direction, &mut |key, versioned| {
        rows.push(Row { key: key.clone(), version: versioned.version, value: versioned.value.clone() });
        rows.len() < limit
    });
    rows
}

fn holds(tables: &Tables, expect: &Expect) -> bool {
    match expect {
        Expect::Version { table, key, version } => get(tables, *table, key).map(|versioned| versioned.version) == *version,
        Expect::Range { table, range, limit, fingerprint: expected } => {
            let rows = scan(tables, *table, range, *limit, Direction::Forward);
            fingerprint(rows.iter().map(|row| (row.key.as_ref(), row.version))) == *expected
        }
    }
}

impl State {
    fn apply(&mut self, batch: Batch) {
        self.revision = Revision(self.revision.0 + 1);
        let row = encoding::log_row(self.revision, &batch);
        self.log.insert(log_key(self.revision), Arc::new(row));
        if batch.writes.is_empty() {
            return;
        }
        let tables = Arc::make_mut(&mut self.tables);
        for write in batch.writes {
            let (Write::Put { table, .. } | Write::Delete { table, .. }) = &write;
            let tree = match tables.get_mut(table.0) {
                Some(tree) => tree,
                None => tables.entry(Arc::from(table.0)).or_default(),
            };
            match write {
                Write::Put { key, value, .. } => tree.insert(key, Versioned { version: self.revision, value }),
                Write::Delete { key, .. } => tree.remove(&key),
            }
        }
    }

    fn log(&self, start: Revision, end: Option<Revision>, limit: u32, direction: Direction) -> Vec<LogRow> {
        let mut rows = Vec::new();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if limit == 0 {
            return rows;
        }
        let end = end.map(log_key);
        self.log.walk(&log_key(start), end.as_deref(), direction, &mut |_, row| {
            rows.push(LogRow::clone(row));
            rows.len() < limit
        });
        rows
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        let state = self.lock();
        Ok(Box::new(MemorySnapshot { revision: state.revision, tables: Arc::clone(&state.tables) }))
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        limits::check(&batch)?;
        let mut state = self.lock();
        if !batch.expect.iter().all(|expect| holds(&state.tables, expect)) {
            return Err(CommitError::Conflict);
        }
        if batch.has_effect() {
            self.recent.add(Revision(state.revision.0 + 1), &batch);
            state.apply(batch);
            self.head.send_replace(state.revision);
        }
        Ok(state.revision)
    }

    async fn log_after(&self, after: Revision, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        let Some(start) = after.0.checked_add(1) else {
            return Ok(Vec::new());
        };
        Ok(self.clone_state().0.log(Revision(start), None, limit, Direction::Forward))
    }

    async fn changes_after(&self, after: Revision, limit: u32) -> Result<Vec<ChangedRow>, StoreError> {
        if let Some(rows) = self.recent.after(after, self.newest(), limit) {
            return Ok(rows);
        }
        Ok(self.log_after(after, limit).await?.into_iter().map(ChangedRow::from).collect())
    }

    async fn touched_after(&self, after: Revision, tables: &[&[Table]]) -> Result<Touched, StoreError> {
        let revision = self.newest();
        if let Some(is_touched) = self.recent.touch(after, revision, tables) {
            return Ok(Touched { revision, is_touched });
        }
        touched_in_log(self, after, tables).await
    }

    async fn log_before(&self, before: Option<Revision>, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        Ok(self.clone_state().0.log(Revision(0), before, limit, Direction::Reverse))
    }

    async fn log_entry(&self, revision: Revision, index: u32) -> Result<Option<Bytes>, StoreError> {
        let state = self.clone_state();
        let row = state.0.log.get(&log_key(revision));
        Ok(row.and_then(|row| row.entries.get(usize::try_from(index).ok()?).cloned()))
    }

    async fn prune_log(&self, before: Revision, limit: u32) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let before = before.min(state.revision);
        let gone = state.log(Revision(0), Some(before), limit, Direction::Forward);
        for row in &gone {
            state.log.remove(&log_key(row.revision));
        }
        Ok(gone.len() as u64)
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.head.subscribe()
    }

    fn newest(&self) -> Revision {
        *self.head.borrow()
    }

    async fn backup(&self, to: &Path) -> Result<Revision, StoreError> {
        let (state, to) = (self.clone_state().0, to.to_owned());
        redb_file::blocking(move || {
            let mut backup = redb_file::BackupWriter::create(&to)?;
            let mut failed = None;
            for (table, tree) in state.tables.as_ref() {
                tree.walk(&[], None, Direction::Forward, &mut |key, versioned| {
                    failed = backup.row(table, key, versioned.version, &versioned.value).err();
                    failed.is_none()
                });
                if let Some(error) = failed {
                    return Err(error);
                }
            }
            state.log.walk(&[], None, Direction::Forward, &mut |_, row| {
                failed = backup.log_row(row.revision, &encoding::encode_log_row(row)).err();
                failed.is_none()
            });
            failed.map_or(Ok(()), Err)?;
            backup.finish(state.revision)?;
            Ok(state.revision)
        })
        .await
    }
}

#[async_trait]
impl Snapshot for MemorySnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        Ok(get(&self.tables, table, key).cloned())
    }

    async fn scan(&self, table: Table, range: &KeyRange, limit: u32) -> Result<Vec<Row>, StoreError> {
        Ok(scan(&self.tables, table, range, limit, Direction::Forward))
    }

    async fn scan_reverse(&self, table: Table, range: &KeyRange, limit: u32) -> Result<Vec<Row>, StoreError> {
        Ok(scan(&self.tables, table, range, limit, Direction::Reverse))
    }
}
