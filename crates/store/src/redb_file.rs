//! The embedded engine: one redb file, one committer thread.
//!
//! The committer drains a bounded queue into one write transaction of up to [`GROUP_BATCHES`] batches, checks each against its predecessors
//! and syncs once. redb's default one-phase commit is used: a commit is one sync, and a torn one is found by its checksum. Values are
//! ciphertext, so nobody can craft pages whose checksum matches.
//!
//! After a failed write (a full disk) redb refuses everything until the file is opened anew. That is done here, by the next one who needs it, as
//! often as it takes: a store goes on when its disk has room again. A commit that failed may turn out to have been written; whoever was told that
//! it failed does not know.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use redb::{Database, Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};
use tokio::sync::{mpsc, oneshot, watch};

use crate::recent::RecentChanges;
use crate::{
    Batch, ChangedRow, CommitError, Expect, FORMAT_VERSION, KeyRange, LogRow, Revision, Row, Snapshot, Store, StoreError, Table, Touched,
    Versioned, Write, encoding, fingerprint, limits, touched_in_log,
};

const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
const ROWS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("rows");
const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log");
const FORMAT: &str = "format";
const HEAD: &str = "head";

/// Most batches that share one sync.
const GROUP_BATCHES: usize = 512;
/// Batches that may wait for the committer before callers are held back.
const QUEUE_BATCHES: usize = 4 * GROUP_BATCHES;
/// Rows of the newest commit that are kept in memory, keys and values together.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// About what a map keeps beside a row: missing rows have no more.
const ROW_OVERHEAD_BYTES: usize = 128;
/// After an unclean stop redb walks the whole file. From this size on every commit also saves the allocator state (a second sync), so that
/// opening stays quick; below it the walk takes less than a few seconds.
const QUICK_REPAIR_FROM_BYTES: u64 = 1 << 30;

type RowGuards<'a> = (redb::AccessGuard<'a, &'static [u8]>, redb::AccessGuard<'a, &'static [u8]>);

/// Settings of a [`RedbStore`].
#[derive(Clone, Copy, Debug)]
pub struct RedbOptions {
    /// Memory for redb's page cache.
    pub cache_bytes: usize,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self { cache_bytes: 128 * 1024 * 1024 }
    }
}

/// State in one file of this machine. A file has one opener at a time.
#[derive(Debug)]
pub struct RedbStore {
    file: Arc<OpenFile>,
    queue: Option<mpsc::Sender<Request>>,
    committer: Option<JoinHandle<()>>,
}

/// The file as it is open now.
#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    options: RedbOptions,
    /// The newest commit as it is open for reading: opening it takes longer than reading a row, and nearly every call reads the same one. It goes before the
    /// database does.
    newest: RwLock<Option<Arc<View>>>,
    database: RwLock<Option<Arc<Database>>>,
    /// Nothing works until it is opened again.
    broken: AtomicBool,
    /// How often it was opened again.
    opened_again: AtomicU64,
    head: watch::Sender<Revision>,
    recent: RecentChanges,
}

/// A commit that is open for reading. While it is, the pages that it reads are not used again.
struct View {
    revision: Revision,
    rows: redb::ReadOnlyTable<&'static [u8], &'static [u8]>,
    /// Rows that were read of it: the calls between two commits read the same ones again and again.
    read: Mutex<ReadRows>,
}

/// Rows by their stored keys; `None` where there is none.
#[derive(Default)]
struct ReadRows {
    rows: HashMap<Vec<u8>, Option<Versioned>>,
    bytes: usize,
}

impl View {
    fn read_rows(&self) -> MutexGuard<'_, ReadRows> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        let key = encoding::row_key(table.0, key);
        if let Some(known) = self.read_rows().rows.get(&key) {
            return Ok(known.clone());
        }
        let row = self.rows.get(key.as_slice()).map_err(failed)?;
        let found = row.map(|row| encoding::versioned(row.value())).transpose()?;
        let bytes = ROW_OVERHEAD_BYTES + key.len() + found.as_ref().map_or(0, |found| found.value.len());
        let mut read = self.read_rows();
        if read.bytes.saturating_add(bytes) <= READ_BYTES_MAX {
            read.bytes += bytes;
            read.rows.insert(key, found.clone());
        }
        Ok(found)
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("View").field("revision", &self.revision).finish_non_exhaustive()
    }
}

impl OpenFile {
    fn new(path: &Path, options: RedbOptions, database: Database, head: Revision) -> Self {
        Self {
            path: path.to_owned(),
            options,
            newest: RwLock::default(),
            database: RwLock::new(Some(Arc::new(database))),
            broken: AtomicBool::new(false),
            opened_again: AtomicU64::new(0),
            head: watch::Sender::new(head),
            recent: RecentChanges::default(),
        }
    }

    /// The newest commit, open for reading.
    fn view(&self) -> Result<Arc<View>, StoreError> {
        let head = *self.head.borrow();
        let is_broken = self.broken.load(Ordering::Acquire);
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(Arc::clone);
        if let Some(view) = newest.filter(|view| view.revision == head && !is_broken) {
            return Ok(view);
        }
        let opened_again = self.opened_again.load(Ordering::Acquire);
        let read = self.read()?;
        let revision = read_head(&read.open_table(META).map_err(failed)?)?;
        let view = Arc::new(View { revision, rows: read.open_table(ROWS).map_err(failed)?, read: Mutex::default() });
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        // A file that was opened again meanwhile must not be held open by what was read of the one before.
        let is_same_file = !self.broken.load(Ordering::Acquire) && self.opened_again.load(Ordering::Acquire) == opened_again;
        if is_same_file && newest.as_ref().is_none_or(|known| known.revision < revision) {
            *newest = Some(Arc::clone(&view));
        }
        Ok(view)
    }

    /// Lets go of the newest commit: there is a newer one, or its pages must be free.
    fn close_view(&self) {
        let view = self.newest.write().unwrap_or_else(PoisonError::into_inner).take();
        drop(view);
    }

    /// The open database; a broken one is opened again.
    fn database(&self) -> Result<Arc<Database>, StoreError> {
        if !self.broken.load(Ordering::Acquire)
            && let Some(database) = self.database.read().unwrap_or_else(PoisonError::into_inner).as_ref()
        {
            return Ok(Arc::clone(database));
        }
        let mut slot = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = slot.as_ref().filter(|_| !self.broken.load(Ordering::Acquire)) {
            return Ok(Arc::clone(database));
        }
        // The lock on the file is free when the last one who works with the old database has gone.
        self.opened_again.fetch_add(1, Ordering::AcqRel);
        self.close_view();
        self.recent.forget();
        *slot = None;
        if !self.path.exists() {
            return Err(unavailable(format!("`{}` is gone", self.path.display())));
        }
        let (database, head) = open_database(&self.path, self.options)?;
        tracing::warn!(path = %self.path.display(), "the store's file was opened again after a failure");
        let database = Arc::new(database);
        *slot = Some(Arc::clone(&database));
        self.broken.store(false, Ordering::Release);
        self.tell(head);
        Ok(database)
    }

    /// Notes a failure that only opening the file again can mend.
    fn failed(&self, error: impl Into<redb::Error>) -> StoreError {
        let error = error.into();
        if matches!(error, redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed) {
            self.broken.store(true, Ordering::Release);
        }
        failed(error)
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        self.database()?.begin_read().map_err(|error| self.failed(error))
    }

    fn tell(&self, head: Revision) {
        self.head.send_if_modified(|current| {
            let newer = *current < head;
            *current = (*current).max(head);
            newer
        });
    }
}

struct Request {
    batch: Batch,
    answer: oneshot::Sender<Result<Revision, CommitError>>,
}

pub(crate) fn unavailable(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::Corrupted(what) => StoreError::Corrupt(what),
        other => unavailable(other),
    }
}

/// Runs file work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, StoreError> + Send + 'static) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.map_err(unavailable)?
}

impl RedbStore {
    /// Opens the store file, creating it (readable by its owner alone) when it is missing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::open_with(path, RedbOptions::default())
    }

    pub fn open_with(path: impl AsRef<Path>, options: RedbOptions) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let (database, head) = open_database(path, options)?;
        let file = Arc::new(OpenFile::new(path, options, database, head));
        let (queue, requests) = mpsc::channel(QUEUE_BATCHES);
        let committer = Committer { file: Arc::clone(&file) };
        let committer =
            std::thread::Builder::new().name("store-committer".to_owned()).spawn(move || committer.run(requests)).map_err(unavailable)?;
        Ok(Self { file, queue: Some(queue), committer: Some(committer) })
    }

    /// Copies a backup that any engine wrote to `path`, where no file may be, and opens it.
    pub fn restore(backup: &Path, path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            return Err(unavailable(format!("`{}` exists already", path.display())));
        }
        let mut writer = BackupWriter::create(path)?;
        let mut head = Revision(0);
        read_backup(backup, &mut |item| match item {
            BackupItem::Head(revision) => {
                head = revision;
                Ok(())
            }
            BackupItem::Row { table, key, version, value } => writer.row(table, key, version, value),
            BackupItem::Log(row) => writer.log_row(row.revision, &encoding::encode_log_row(&row)),
        })?;
        writer.finish(head)?;
        Self::open(path)
    }

    fn read_log(&self, range: std::ops::Range<u64>, limit: u32, reverse: bool) -> Result<Vec<LogRow>, StoreError> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let log = self.file.read()?.open_table(LOG).map_err(failed)?;
        let rows = log.range(range).map_err(failed)?;
        let decode = |row: Result<(redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>), redb::StorageError>| {
            let (revision, value) = row.map_err(failed)?;
            encoding::decode_log_row(Revision(revision.value()), value.value())
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if reverse { rows.rev().take(limit).map(decode).collect() } else { rows.take(limit).map(decode).collect() }
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // The queue closes, the committer finishes what waits in it, and the file lock is free when this returns.
        self.queue = None;
        if let Some(committer) = self.committer.take() {
            let _ = committer.join();
        }
    }
}

fn open_database(path: &Path, options: RedbOptions) -> Result<(Database, Revision), StoreError> {
    let is_new = create_private_file(path)?;
    let database = Database::builder().set_cache_size(options.cache_bytes).create(path).map_err(|error| match error {
        redb::DatabaseError::DatabaseAlreadyOpen => unavailable(format!("`{}` is open in another process", path.display())),
        redb::DatabaseError::Storage(redb::StorageError::Corrupted(what)) => StoreError::Corrupt(what),
        redb::DatabaseError::UpgradeRequired(found) => {
            StoreError::Corrupt(format!("`{}` has the old redb file version {found}", path.display()))
        }
        other => unavailable(format!("`{}`: {other}", path.display())),
    })?;
    let head = check_format(&database)?;
    if is_new {
        sync_parent(path)?;
    }
    Ok((database, head))
}

fn create_private_file(path: &Path) -> Result<bool, StoreError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(unavailable(format!("`{}`: {error}", path.display()))),
    }
}

/// A new name is durable when its directory is.
fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(parent).and_then(|directory| directory.sync_all()).map_err(unavailable)
}

/// The newest revision, after the format version was found readable. An empty file becomes an empty store.
fn check_format(database: &Database) -> Result<Revision, StoreError> {
    let read = database.begin_read().map_err(failed)?;
    match read.open_table(META) {
        Ok(meta) => return read_head(&meta),
        Err(TableError::TableDoesNotExist(_)) => {}
        Err(error) => return Err(failed(error)),
    }
    if read.list_tables().map_err(failed)?.next().is_some() {
        return Err(StoreError::Corrupt("the file is a redb database, but not a store".to_owned()));
    }
    let write = database.begin_write().map_err(failed)?;
    {
        let mut meta = write.open_table(META).map_err(failed)?;
        meta.insert(FORMAT, FORMAT_VERSION).map_err(failed)?;
        meta.insert(HEAD, 0).map_err(failed)?;
        write.open_table(ROWS).map_err(failed)?;
        write.open_table(LOG).map_err(failed)?;
    }
    write.commit().map_err(failed)?;
    Ok(Revision(0))
}

fn read_head(meta: &impl ReadableTable<&'static str, u64>) -> Result<Revision, StoreError> {
    let number = |name: &str| {
        let guard = meta.get(name).map_err(failed)?;
        guard.map(|guard| guard.value()).ok_or_else(|| StoreError::Corrupt(format!("the record `{name}` is missing")))
    };
    let found = number(FORMAT)?;
    if found > FORMAT_VERSION {
        return Err(StoreError::UnsupportedFormat { found, supported: FORMAT_VERSION });
    }
    number(HEAD).map(Revision)
}

fn scan_rows(
    rows: &impl ReadableTable<&'static [u8], &'static [u8]>,
    table: Table,
    range: &KeyRange,
    limit: u32,
    reverse: bool,
) -> Result<Vec<Row>, StoreError> {
    let start = encoding::row_key(table.0, &range.start);
    let end = range.end.as_ref().map_or_else(|| encoding::table_end(table.0), |end| encoding::row_key(table.0, end));
    if start >= end {
        return Ok(Vec::new());
    }
    let found = rows.range::<&[u8]>(start.as_slice()..end.as_slice()).map_err(failed)?;
    let decode = |row: Result<RowGuards<'_>, redb::StorageError>| {
        let (key, value) = row.map_err(failed)?;
        let key = Bytes::copy_from_slice(encoding::split_row_key(key.value())?.1);
        let Versioned { version, value } = encoding::versioned(value.value())?;
        Ok(Row { key, version, value })
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if reverse { found.rev().take(limit).map(decode).collect() } else { found.take(limit).map(decode).collect() }
}

fn holds(rows: &impl ReadableTable<&'static [u8], &'static [u8]>, expect: &Expect) -> Result<bool, StoreError> {
    match expect {
        Expect::Version { table, key, version } => {
            let row = rows.get(encoding::row_key(table.0, key).as_slice()).map_err(failed)?;
            let found = row.map(|row| encoding::split_row_value(row.value()).map(|(version, _)| version)).transpose()?;
            Ok(found == *version)
        }
        Expect::Range { table, range, limit, fingerprint: expected } => {
            let rows = scan_rows(rows, *table, range, *limit, false)?;
            Ok(fingerprint(rows.iter().map(|row| (row.key.as_ref(), row.version))) == *expected)
        }
    }
}

/// A write that is durable when it is committed.
fn begin_write(database: &Database, path: &Path) -> Result<WriteTransaction, StoreError> {
    let mut write = database.begin_write().map_err(failed)?;
    write.set_durability(Durability::Immediate).map_err(unavailable)?;
    let file_bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    write.set_quick_repair(file_bytes >= QUICK_REPAIR_FROM_BYTES);
    Ok(write)
}

/// The thread that writes.
struct Committer {
    file: Arc<OpenFile>,
}

impl Committer {
    fn run(self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.blocking_recv() {
            let mut group = vec![first];
            while group.len() < GROUP_BATCHES
                && let Ok(next) = requests.try_recv()
            {
                group.push(next);
            }
            self.commit_group(group);
        }
    }

    fn commit_group(&self, group: Vec<Request>) {
        match self.write_group(&group) {
            Ok((head, outcomes)) => {
                self.file.close_view();
                for (request, revision) in group.iter().zip(&outcomes) {
                    if let Some(revision) = revision.filter(|_| request.batch.has_effect()) {
                        self.file.recent.add(revision, &request.batch);
                    }
                }
                self.file.tell(head);
                for (request, outcome) in group.into_iter().zip(outcomes) {
                    let _ = request.answer.send(outcome.ok_or(CommitError::Conflict));
                }
            }
            Err(error) => {
                // Whatever it was: a database that could not commit is opened anew before it is written again.
                self.file.broken.store(true, Ordering::Release);
                tracing::error!(%error, batches = group.len(), "a group of commits failed");
                let message = error.to_string();
                for request in group {
                    let _ = request.answer.send(Err(StoreError::Unavailable(message.clone()).into()));
                }
            }
        }
    }

    /// One transaction for the group: the new head, and for each batch its revision or `None` for a conflict.
    fn write_group(&self, group: &[Request]) -> Result<(Revision, Vec<Option<Revision>>), StoreError> {
        let database = self.file.database()?;
        let write = begin_write(&database, &self.file.path)?;
        let mut head = *self.file.head.borrow();
        let before = head;
        let outcomes = {
            // Opened for the whole group: that takes as long as writing a row.
            let mut rows = write.open_table(ROWS).map_err(failed)?;
            let mut log = write.open_table(LOG).map_err(failed)?;
            let written = group.iter().map(|request| write_batch(&mut rows, &mut log, &request.batch, &mut head));
            written.collect::<Result<Vec<_>, _>>()?
        };
        if head == before {
            write.abort().map_err(failed)?;
        } else {
            write.open_table(META).map_err(failed)?.insert(HEAD, head.0).map_err(failed)?;
            write.commit().map_err(failed)?;
        }
        Ok((head, outcomes))
    }
}

/// Checks everything before the first write, so that a refused batch leaves nothing in the group's transaction.
fn write_batch(
    rows: &mut redb::Table<'_, &'static [u8], &'static [u8]>,
    log: &mut redb::Table<'_, u64, &'static [u8]>,
    batch: &Batch,
    head: &mut Revision,
) -> Result<Option<Revision>, StoreError> {
    for expect in &batch.expect {
        if !holds(rows, expect)? {
            return Ok(None);
        }
    }
    if !batch.has_effect() {
        return Ok(Some(*head));
    }
    *head = Revision(head.0 + 1);
    for change in &batch.writes {
        match change {
            Write::Put { table, key, value } => {
                let (key, value) = (encoding::row_key(table.0, key), encoding::row_value(*head, value));
                rows.insert(key.as_slice(), value.as_slice()).map_err(failed)?;
            }
            Write::Delete { table, key } => {
                rows.remove(encoding::row_key(table.0, key).as_slice()).map_err(failed)?;
            }
        }
    }
    let row = encoding::encode_log_row(&encoding::log_row(*head, batch));
    log.insert(head.0, row.as_slice()).map_err(failed)?;
    Ok(Some(*head))
}

#[async_trait]
impl Store for RedbStore {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(Box::new(RedbSnapshot(self.file.view()?)))
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        limits::check(&batch)?;
        let stopped = || CommitError::Store(unavailable("the committer has stopped"));
        let (answer, outcome) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send(Request { batch, answer }).await.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }

    async fn log_after(&self, after: Revision, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        self.read_log(after.0.saturating_add(1)..u64::MAX, limit, false)
    }

    async fn changes_after(&self, after: Revision, limit: u32) -> Result<Vec<ChangedRow>, StoreError> {
        if let Some(rows) = self.file.recent.after(after, *self.file.head.borrow(), limit) {
            return Ok(rows);
        }
        Ok(self.log_after(after, limit).await?.into_iter().map(ChangedRow::from).collect())
    }

    async fn touched_after(&self, after: Revision, tables: &[&[Table]]) -> Result<Touched, StoreError> {
        let revision = *self.file.head.borrow();
        if let Some(is_touched) = self.file.recent.touch(after, revision, tables) {
            return Ok(Touched { revision, is_touched });
        }
        touched_in_log(self, after, tables).await
    }

    async fn log_before(&self, before: Option<Revision>, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        self.read_log(0..before.map_or(u64::MAX, |before| before.0), limit, true)
    }

    async fn log_entry(&self, revision: Revision, index: u32) -> Result<Option<Bytes>, StoreError> {
        let log = self.file.read()?.open_table(LOG).map_err(failed)?;
        let row = log.get(revision.0).map_err(failed)?;
        row.map_or(Ok(None), |row| encoding::log_row_entry(revision, row.value(), index))
    }

    async fn prune_log(&self, before: Revision, limit: u32) -> Result<u64, StoreError> {
        let file = Arc::clone(&self.file);
        file.close_view();
        let end = before.min(*file.head.borrow()).0;
        // redb has one writer at a time: the committer waits for this transaction, or this one for the committer's.
        blocking(move || {
            let database = file.database()?;
            let write = begin_write(&database, &file.path)?;
            let mut gone = 0;
            {
                let mut log = write.open_table(LOG).map_err(failed)?;
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                let found: Vec<u64> = log
                    .range(..end)
                    .map_err(failed)?
                    .take(limit)
                    .map(|row| row.map(|(key, _)| key.value()).map_err(failed))
                    .collect::<Result<_, _>>()?;
                for revision in found {
                    log.remove(revision).map_err(failed)?;
                    gone += 1;
                }
            }
            write.commit().map_err(|error| file.failed(error))?;
            Ok(gone)
        })
        .await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.file.head.subscribe()
    }

    fn newest(&self) -> Revision {
        *self.file.head.borrow()
    }

    async fn backup(&self, to: &Path) -> Result<Revision, StoreError> {
        let (read, to) = (self.file.read()?, to.to_owned());
        blocking(move || {
            let mut writer = BackupWriter::create(&to)?;
            let mut head = Revision(0);
            read_items(&read, &mut |item| match item {
                BackupItem::Head(revision) => {
                    head = revision;
                    Ok(())
                }
                BackupItem::Row { table, key, version, value } => writer.row(table, key, version, value),
                BackupItem::Log(row) => writer.log_row(row.revision, &encoding::encode_log_row(&row)),
            })?;
            writer.finish(head)?;
            Ok(head)
        })
        .await
    }
}

struct RedbSnapshot(Arc<View>);

#[async_trait]
impl Snapshot for RedbSnapshot {
    fn revision(&self) -> Revision {
        self.0.revision
    }

    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        self.0.get(table, key)
    }

    async fn scan(&self, table: Table, range: &KeyRange, limit: u32) -> Result<Vec<Row>, StoreError> {
        scan_rows(&self.0.rows, table, range, limit, false)
    }

    async fn scan_reverse(&self, table: Table, range: &KeyRange, limit: u32) -> Result<Vec<Row>, StoreError> {
        scan_rows(&self.0.rows, table, range, limit, true)
    }
}

/// One item of a backup, in the order head, rows, log.
pub(crate) enum BackupItem<'a> {
    Head(Revision),
    Row { table: &'a str, key: &'a [u8], version: Revision, value: &'a [u8] },
    Log(LogRow),
}

/// Reads a backup from front to end.
pub(crate) fn read_backup(path: &Path, visit: &mut dyn FnMut(BackupItem<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
    let database = redb::Builder::new().open_read_only(path).map_err(|error| unavailable(format!("`{}`: {error}", path.display())))?;
    read_items(&database.begin_read().map_err(failed)?, visit)
}

fn read_items(read: &ReadTransaction, visit: &mut dyn FnMut(BackupItem<'_>) -> Result<(), StoreError>) -> Result<(), StoreError> {
    visit(BackupItem::Head(read_head(&read.open_table(META).map_err(failed)?)?))?;
    for row in read.open_table(ROWS).map_err(failed)?.iter().map_err(failed)? {
        let (key, value) = row.map_err(failed)?;
        let (table, key) = encoding::split_row_key(key.value())?;
        let (version, value) = encoding::split_row_value(value.value())?;
        visit(BackupItem::Row { table, key, version, value })?;
    }
    for row in read.open_table(LOG).map_err(failed)?.iter().map_err(failed)? {
        let (revision, value) = row.map_err(failed)?;
        visit(BackupItem::Log(encoding::decode_log_row(Revision(revision.value()), value.value())?))?;
    }
    Ok(())
}

/// Writes a backup beside its final name and gives it that name when it is whole and durable.
pub(crate) struct BackupWriter {
    database: Database,
    write: WriteTransaction,
    partial: PathBuf,
    path: PathBuf,
}

impl BackupWriter {
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        if path.exists() {
            return Err(unavailable(format!("`{}` exists already", path.display())));
        }
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(unavailable(error));
            }
            _ => {}
        }
        let (database, _) = open_database(&partial, RedbOptions::default())?;
        let write = database.begin_write().map_err(failed)?;
        Ok(Self { database, write, partial, path: path.to_owned() })
    }

    pub(crate) fn row(&mut self, table: &str, key: &[u8], version: Revision, value: &[u8]) -> Result<(), StoreError> {
        let mut rows = self.write.open_table(ROWS).map_err(failed)?;
        rows.insert(encoding::row_key(table, key).as_slice(), encoding::row_value(version, value).as_slice()).map_err(failed)?;
        Ok(())
    }

    pub(crate) fn log_row(&mut self, revision: Revision, row: &[u8]) -> Result<(), StoreError> {
        self.write.open_table(LOG).map_err(failed)?.insert(revision.0, row).map_err(failed)?;
        Ok(())
    }

    pub(crate) fn finish(self, head: Revision) -> Result<(), StoreError> {
        self.write.open_table(META).map_err(failed)?.insert(HEAD, head.0).map_err(failed)?;
        self.write.commit().map_err(failed)?;
        drop(self.database);
        std::fs::rename(&self.partial, &self.path).map_err(unavailable)?;
        sync_parent(&self.path)
    }
}
