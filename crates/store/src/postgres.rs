//! The PostgreSQL engine: many nodes on one database.
//!
//! *Order.* Each node has one committer with a connection of its own. It drains its queue into one transaction of up to
//! [`GROUP_BATCHES`] batches: the first round trip locks the single row of `head` and reads what the batches expect (the lock comes first,
//! and under READ COMMITTED every later statement sees all that was committed before it was granted); the batches are then checked
//! here, each against its predecessors; the second round trip writes the outcome. The row lock gives one total order over all nodes.
//!
//! *Snapshots* are REPEATABLE READ, READ ONLY transactions on pooled connections, begun with the read of the revision, so that
//! revision and rows belong together. A dropped snapshot is rolled back in the background. When all connections of the pool are in
//! use, a snapshot waits, at most [`PostgresConfig::wait_timeout`].
//!
//! *Feed.* [`Store::head`] follows this node's commits at once and those of other nodes by a poll of one row. NOTIFY is not used: it takes
//! a database-wide lock at commit, and the distributed databases that speak this protocol do not have it.
//!
//! *Limits.* Connections are plain: a unix socket, or a network that is encrypted below. SQL errors are given without values.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::postgres_session::{Page, Session, create_schema, revision_to, unavailable};
use crate::{
    Batch, CommitError, Expect, KeyRange, LogRow, Revision, Row, Snapshot, Store, StoreError, Table, Versioned, Write, encoding,
    fingerprint, limits, redb_file,
};

/// Most batches that share one transaction.
const GROUP_BATCHES: usize = 512;
const QUEUE_BATCHES: usize = 4 * GROUP_BATCHES;
/// Rows fetched at a time for a backup.
const PAGE_ROWS: u32 = 1_000;

/// Where the database is, and how this node uses it.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// Connection string of tokio-postgres, `key=value` pairs or a URL. May hold a password: never logged.
    pub connection: tokio_postgres::Config,
    /// Schema of this store, made when it is missing. Lower-case letters, digits and `_`.
    pub schema: String,
    /// Connections for snapshots.
    pub max_snapshots: usize,
    /// How long a snapshot waits for a connection.
    pub wait_timeout: Duration,
    /// How often the head is polled for commits of other nodes.
    pub poll_interval: Duration,
}

impl PostgresConfig {
    pub fn new(connection: &str, schema: impl Into<String>) -> Result<Self, StoreError> {
        let connection = connection.parse().map_err(|_| unavailable("the PostgreSQL connection string cannot be read"))?;
        Ok(Self {
            connection,
            schema: schema.into(),
            max_snapshots: 16,
            wait_timeout: Duration::from_secs(10),
            poll_interval: Duration::from_millis(100),
        })
    }

    pub(crate) fn checked_schema(&self) -> Result<&str, StoreError> {
        let name = self.schema.as_str();
        let is_name = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.len() < 64
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if is_name { Ok(name) } else { Err(unavailable(format!("`{name}` is not a schema name of lower-case letters, digits and `_`"))) }
    }
}

struct Request {
    batch: Batch,
    answer: oneshot::Sender<Result<Revision, CommitError>>,
}

/// State in a PostgreSQL schema.
pub struct PostgresStore {
    pool: Arc<Pool>,
    queue: mpsc::Sender<Request>,
    head: watch::Sender<Revision>,
    poller: tokio::task::JoinHandle<()>,
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.poller.abort();
    }
}

impl PostgresStore {
    /// Connects, and makes the schema when it is missing.
    pub async fn connect(config: PostgresConfig) -> Result<Self, StoreError> {
        create_schema(&config).await?;
        let session = Session::open(&config).await?;
        let head = watch::Sender::new(session.read_head().await?);
        let (queue, requests) = mpsc::channel(QUEUE_BATCHES);
        let committer = Committer { config: config.clone(), session, head: head.clone() };
        tokio::spawn(committer.run(requests));
        let poller = tokio::spawn(poll(Session::open(&config).await?, config.clone(), head.clone()));
        Ok(Self { pool: Arc::new(Pool::new(config)), queue, head, poller })
    }

    /// Connects and loads a backup that any engine wrote into the store, which must be empty.
    pub async fn restore(config: PostgresConfig, backup: &Path) -> Result<Self, StoreError> {
        create_schema(&config).await?;
        let session = Session::open(&config).await?;
        session.begin("READ COMMITTED").await?;
        if session.lock_head().await? != Revision(0) {
            return Err(unavailable("the store is not empty"));
        }
        let (send, mut receive) = mpsc::channel(16);
        let backup = backup.to_owned();
        let reader = tokio::task::spawn_blocking(move || read_pages(&backup, &send));
        while let Some(page) = receive.recv().await {
            session.insert_rows(&page).await?;
            session.insert_log(&page).await?;
        }
        let head = reader.await.map_err(|error| unavailable(error.to_string()))??;
        session.raise_head(head).await?;
        session.commit().await?;
        Self::connect(config).await
    }
}

/// Follows commits of other nodes.
async fn poll(mut session: Session, config: PostgresConfig, head: watch::Sender<Revision>) {
    loop {
        tokio::time::sleep(config.poll_interval).await;
        let polled = match session.read_head().await {
            Err(_) if session.client.is_closed() => match Session::open(&config).await {
                Ok(next) => {
                    session = next;
                    continue;
                }
                Err(error) => Err(error),
            },
            other => other,
        };
        match polled {
            Ok(revision) => raise(&head, revision),
            Err(error) => tracing::warn!(%error, "the head cannot be polled"),
        }
    }
}

fn raise(head: &watch::Sender<Revision>, revision: Revision) {
    head.send_if_modified(|current| {
        let newer = *current < revision;
        *current = revision.max(*current);
        newer
    });
}

/// Connections for reading.
struct Pool {
    config: PostgresConfig,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Session>>,
}

/// A connection out of the pool; it goes back when dropped.
struct Pooled {
    session: Option<Session>,
    in_transaction: bool,
    permit: Option<OwnedSemaphorePermit>,
    pool: Arc<Pool>,
}

impl Pool {
    fn new(config: PostgresConfig) -> Self {
        let permits = Arc::new(Semaphore::new(config.max_snapshots.max(1)));
        Self { config, permits, idle: Mutex::default() }
    }

    async fn take(self: &Arc<Self>) -> Result<Pooled, StoreError> {
        let permit = tokio::time::timeout(self.config.wait_timeout, self.permits.clone().acquire_owned()).await;
        let permit = permit.map_err(|_| unavailable("all connections are in use"))?.map_err(|error| unavailable(error.to_string()))?;
        let idle = self.idle().pop().filter(|session| !session.client.is_closed());
        let session = match idle {
            Some(session) => session,
            None => Session::open(&self.config).await?,
        };
        Ok(Pooled { session: Some(session), in_transaction: false, permit: Some(permit), pool: self.clone() })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pooled {
    fn session(&self) -> Result<&Session, StoreError> {
        self.session.as_ref().ok_or_else(|| unavailable("the connection is gone"))
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        let (permit, pool) = (self.permit.take(), self.pool.clone());
        if !self.in_transaction {
            pool.idle().push(session);
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            if session.rollback().await.is_ok() {
                pool.idle().push(session);
            }
            drop(permit);
        });
    }
}

/// What a batch's expectations stand on, read under the lock.
struct Facts {
    head: Revision,
    versions: HashMap<(&'static str, Bytes), Revision>,
    /// Rows seen per range expectation, in the order in which the group names them.
    ranges: Vec<Vec<(Bytes, Revision)>>,
}

struct Committer {
    config: PostgresConfig,
    session: Session,
    head: watch::Sender<Revision>,
}

impl Committer {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        while let Some(first) = requests.recv().await {
            let mut group = vec![first];
            while group.len() < GROUP_BATCHES
                && let Ok(next) = requests.try_recv()
            {
                group.push(next);
            }
            self.commit_group(group).await;
        }
    }

    async fn commit_group(&mut self, group: Vec<Request>) {
        match self.write_group(&group).await {
            Ok((head, outcomes)) => {
                raise(&self.head, head);
                for (request, outcome) in group.into_iter().zip(outcomes) {
                    let _ = request.answer.send(outcome.ok_or(CommitError::Conflict));
                }
            }
            Err(error) => {
                tracing::error!(%error, batches = group.len(), "a group of commits failed");
                self.recover().await;
                let message = error.to_string();
                for request in group {
                    let _ = request.answer.send(Err(unavailable(message.clone()).into()));
                }
            }
        }
    }

    /// Leaves no transaction open, on a new connection if need be. When that fails too, the next group finds it out.
    async fn recover(&mut self) {
        if !self.session.client.is_closed() && self.session.rollback().await.is_ok() {
            return;
        }
        match Session::open(&self.config).await {
            Ok(session) => self.session = session,
            Err(error) => tracing::error!(%error, "PostgreSQL cannot be reached"),
        }
    }

    async fn write_group(&self, group: &[Request]) -> Result<(Revision, Vec<Option<Revision>>), StoreError> {
        let facts = self.read_facts(group).await?;
        let mut overlay = Overlay::new(facts);
        let outcomes: Vec<_> = group.iter().map(|request| overlay.apply(&request.batch)).collect();
        if overlay.log.is_empty() {
            self.session.rollback().await?;
        } else {
            overlay.write(&self.session).await?;
        }
        Ok((overlay.facts.head, outcomes))
    }

    /// One round trip, and one more for each range expectation but the first: the statements are sent before the first answer is awaited, and
    /// the server runs them in the order of the polls.
    async fn read_facts(&self, group: &[Request]) -> Result<Facts, StoreError> {
        let session = &self.session;
        let (mut places, mut scans) = (Vec::new(), Vec::new());
        for expect in group.iter().flat_map(|request| &request.batch.expect) {
            match expect {
                Expect::Version { table, key, .. } => places.push((table.0, key.clone())),
                Expect::Range { table, range, limit, .. } => scans.push((*table, range, *limit)),
            }
        }
        let (names, keys): (Vec<&str>, Vec<&[u8]>) = places.iter().map(|(name, key)| (*name, key.as_ref())).unzip();
        let (begin, head) = (session.begin("READ COMMITTED"), session.lock_head());
        let versions = session.versions(&names, &keys);
        let ranges = async {
            let mut rows = Vec::new();
            for (table, range, limit) in &scans {
                rows.push(session.scan(*table, range, *limit, false).await?.into_iter().map(|row| (row.key, row.version)).collect());
            }
            Ok(rows)
        };
        // `biased`: the lock must be sent before what is read under it.
        let ((), head, versions, ranges) = tokio::try_join!(biased; begin, head, versions, ranges)?;
        let found = versions.into_iter().filter_map(|(place, version)| Some((places.get(place)?.clone(), version)));
        Ok(Facts { head, versions: found.collect(), ranges })
    }
}

/// The group's effect so far, over what the database holds.
struct Overlay {
    facts: Facts,
    next_range: usize,
    /// Newest write of each key: its revision and value, or `None` for a deletion.
    writes: HashMap<(&'static str, Bytes), Option<(Revision, Bytes)>>,
    log: Vec<LogRow>,
}

impl Overlay {
    fn new(facts: Facts) -> Self {
        Self { facts, next_range: 0, writes: HashMap::new(), log: Vec::new() }
    }

    fn apply(&mut self, batch: &Batch) -> Option<Revision> {
        // Every range expectation is counted, also of a batch that has failed already.
        let held: Vec<bool> = batch.expect.iter().map(|expect| self.holds(expect)).collect();
        if held.contains(&false) {
            return None;
        }
        if batch.writes.is_empty() && batch.log.is_empty() {
            return Some(self.facts.head);
        }
        let revision = Revision(self.facts.head.0 + 1);
        self.facts.head = revision;
        for write in &batch.writes {
            match write {
                Write::Put { table, key, value } => self.writes.insert((table.0, key.clone()), Some((revision, value.clone()))),
                Write::Delete { table, key } => self.writes.insert((table.0, key.clone()), None),
            };
        }
        self.log.push(encoding::log_row(revision, batch));
        Some(revision)
    }

    fn holds(&mut self, expect: &Expect) -> bool {
        match expect {
            Expect::Version { table, key, version } => {
                let place = (table.0, key.clone());
                let found = match self.writes.get(&place) {
                    Some(write) => write.as_ref().map(|(revision, _)| *revision),
                    None => self.facts.versions.get(&place).copied(),
                };
                found == *version
            }
            Expect::Range { table, range, limit, fingerprint: expected } => {
                let rows = self.facts.ranges.get(self.next_range).map(Vec::as_slice).unwrap_or_default();
                self.next_range += 1;
                fingerprint(rows.iter().map(|(key, version)| (key.as_ref(), *version))) == *expected
                    && !self.disturbs(*table, range, *limit, rows)
            }
        }
    }

    /// Whether a predecessor in the group changed what this scan sees: put a key up to where the scan ends, or deleted one that it saw.
    fn disturbs(&self, table: Table, range: &KeyRange, limit: u32, rows: &[(Bytes, Revision)]) -> bool {
        let is_full = usize::try_from(limit).is_ok_and(|limit| rows.len() >= limit);
        let last = rows.last().filter(|_| is_full).map(|(key, _)| key);
        let seen: HashSet<&Bytes> = rows.iter().map(|(key, _)| key).collect();
        self.writes.iter().any(|((name, key), write)| {
            let within = *name == table.0 && *key >= range.start && range.end.as_ref().is_none_or(|end| key < end);
            within && limit > 0 && last.is_none_or(|last| key <= last) && (write.is_some() || seen.contains(key))
        })
    }

    /// The second round trip. A statement that fails turns the COMMIT behind it into a rollback.
    async fn write(&self, session: &Session) -> Result<(), StoreError> {
        let (mut page, mut names, mut keys) = (Page::default(), Vec::new(), Vec::new());
        for ((name, key), write) in &self.writes {
            if let Some((revision, value)) = write {
                page.row(name, key, *revision, value);
            } else {
                names.push(*name);
                keys.push(key.as_ref());
            }
        }
        for row in &self.log {
            page.log(row);
        }
        let (rows, log, delete) = (session.insert_rows(&page), session.insert_log(&page), session.delete(&names, &keys));
        let (raise, commit) = (session.raise_head(self.facts.head), session.commit());
        tokio::try_join!(biased; rows, log, delete, raise, commit).map(|_| ())
    }
}

fn read_pages(backup: &Path, send: &mpsc::Sender<Page>) -> Result<Revision, StoreError> {
    let (mut head, mut page) = (Revision(0), Page::default());
    let deliver = |page: Page| send.blocking_send(page).map_err(|_| unavailable("the restore was given up"));
    redb_file::read_backup(backup, &mut |item| {
        match item {
            redb_file::BackupItem::Head(revision) => head = revision,
            redb_file::BackupItem::Row { table, key, version, value } => page.row(table, key, version, value),
            redb_file::BackupItem::Log(row) => page.log(&row),
        }
        if page.len() >= 1_000 { deliver(std::mem::take(&mut page)) } else { Ok(()) }
    })?;
    deliver(page)?;
    Ok(head)
}

struct PostgresSnapshot {
    pooled: Pooled,
    revision: Revision,
}

impl PostgresSnapshot {
    async fn begin(pool: &Arc<Pool>) -> Result<Self, StoreError> {
        let mut pooled = pool.take().await?;
        pooled.in_transaction = true;
        let session = pooled.session()?;
        // The first read, sent behind BEGIN, fixes what the transaction sees.
        let ((), revision) = tokio::try_join!(biased; session.begin("REPEATABLE READ READ ONLY"), session.read_head())?;
        Ok(Self { pooled, revision })
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn get(&self, table: Table, key: &[u8]) -> Result<Option<Versioned>, StoreError> {
        let found = self.pooled.session()?.get(table, key).await?;
        Ok(found.map(|(version, value)| Versioned { version, value }))
    }

    async fn scan(&self, table: Table, range: &KeyRange, limit: u32) -> Result<Vec<Row>, StoreError> {
        self.pooled.session()?.scan(table, range, limit, false).await
    }

    async fn scan_reverse(&self, table: Table, range: &KeyRange, limit: u32) -> Result<Vec<Row>, StoreError> {
        self.pooled.session()?.scan(table, range, limit, true).await
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        Ok(Box::new(PostgresSnapshot::begin(&self.pool).await?))
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        limits::check(&batch)?;
        let stopped = || CommitError::Store(unavailable("the committer has stopped"));
        let (answer, outcome) = oneshot::channel();
        self.queue.send(Request { batch, answer }).await.map_err(|_| stopped())?;
        outcome.await.map_err(|_| stopped())?
    }

    async fn log_after(&self, after: Revision, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        let pooled = self.pool.take().await?;
        let session = pooled.session()?;
        session.log(&session.log_after, revision_to(after), limit).await
    }

    async fn log_before(&self, before: Option<Revision>, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        let before = before.map_or(i64::MAX, revision_to);
        let pooled = self.pool.take().await?;
        let session = pooled.session()?;
        session.log(&session.log_before, before, limit).await
    }

    async fn prune_log(&self, before: Revision, limit: u32) -> Result<u64, StoreError> {
        let end = before.min(*self.head.borrow());
        let pooled = self.pool.take().await?;
        pooled.session()?.prune_log(revision_to(end), limit).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.head.subscribe()
    }

    async fn backup(&self, to: &Path) -> Result<Revision, StoreError> {
        let snapshot = PostgresSnapshot::begin(&self.pool).await?;
        let session = snapshot.pooled.session()?;
        let to = to.to_owned();
        let mut writer = redb_file::blocking(move || redb_file::BackupWriter::create(&to)).await?;
        let (mut name, mut key) = (String::new(), Bytes::new());
        loop {
            let rows = session.rows_after(&name, &key, PAGE_ROWS).await?;
            for (table, row) in &rows {
                writer.row(table, &row.key, row.version, &row.value)?;
            }
            let Some((last_name, last)) = rows.into_iter().next_back() else {
                break;
            };
            (name, key) = (last_name, last.key);
        }
        let mut after = Revision(0);
        loop {
            let rows = session.log(&session.log_after, revision_to(after), PAGE_ROWS).await?;
            for row in &rows {
                writer.log_row(row.revision, &encoding::encode_log_row(row))?;
            }
            let Some(last) = rows.last() else { break };
            after = last.revision;
        }
        let revision = snapshot.revision;
        redb_file::blocking(move || writer.finish(revision)).await?;
        Ok(revision)
    }
}
