//! Tables in memory, and queries over them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, params_from_iter};
use serde_json::Value as Json;

use crate::column::Column;
use crate::function;
use crate::plan::{Plan, identifier};
use crate::render;
use crate::timestamp;

/// SQLite asks after so many of its steps whether to go on.
const STEPS_BETWEEN_CHECKS: i32 = 20_000;
/// Columns of one table; a table with more is made anew with those that are asked for.
const COLUMNS_MAX: usize = 200;
/// Bytes of one cell that a query makes.
const CELL_MAX: i32 = 4 * 1024 * 1024;
const PAGE_BYTES: u64 = 4096;

/// What a query may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub time: Duration,
    pub rows: usize,
    /// Of all cells of the answer.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { time: Duration::from_mins(1), rows: 100_000, bytes: 32 * 1024 * 1024 }
    }
}

/// Stops a query from another thread.
#[derive(Clone, Debug, Default)]
pub struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The query did not come to its end, or a table could not be filled.
#[derive(Debug, thiserror::Error)]
pub enum BasinError {
    #[error("the query took longer than {0} seconds")]
    Time(u64),
    #[error("the query was cancelled")]
    Stopped,
    #[error("the query needs more memory than it may have: ask for fewer columns or a shorter time range")]
    Memory,
    #[error("the result has more than {0} rows")]
    Rows(usize),
    #[error("the result is larger than {0} bytes")]
    Bytes(usize),
    #[error("{0}")]
    Value(String),
    #[error("the query engine failed: {0}")]
    Engine(String),
}

/// What a query found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub columns: Vec<String>,
    /// `None` is `NULL`.
    pub rows: Vec<Vec<Option<String>>>,
    /// Events of the tables that were looked at.
    pub scanned_events: u64,
    /// JSON bytes of those events.
    pub scanned_bytes: u64,
    /// Events that the condition holds for; with more than one `SELECT`, the rows of the answer.
    pub matched_events: u64,
}

#[derive(Debug, Default)]
struct TableState {
    columns: Vec<Column>,
    events: u64,
    bytes: u64,
}

/// Tables of events in memory.
pub struct Basin {
    connection: Connection,
    tables: BTreeMap<String, TableState>,
    /// Bytes that the tables may take, all together.
    capacity: u64,
}

impl std::fmt::Debug for Basin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Basin").field("tables", &self.tables).finish_non_exhaustive()
    }
}

impl Basin {
    /// An empty basin whose tables take at most `capacity` bytes.
    pub fn new(capacity: u64) -> Result<Self, BasinError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(":memory:", flags).map_err(engine)?;
        // Nothing goes to a disk: sorts stay in memory, too.
        let settings = format!(
            "PRAGMA temp_store = MEMORY; PRAGMA journal_mode = MEMORY; PRAGMA case_sensitive_like = ON; PRAGMA trusted_schema = OFF; \
             PRAGMA page_size = {PAGE_BYTES}; PRAGMA max_page_count = {};",
            (capacity / PAGE_BYTES).max(16)
        );
        connection.execute_batch(&settings).map_err(engine)?;
        // Of the whole process: a sort in memory that nothing else bounds ends here. Twice the tables, as a sort may copy them.
        let heap = capacity.saturating_mul(2).saturating_add(64 * 1024 * 1024);
        let set: i64 = connection.query_row(&format!("PRAGMA hard_heap_limit = {heap}"), [], |row| row.get(0)).map_err(engine)?;
        debug_assert!(set > 0, "the memory limit is set");
        for (limit, value) in [
            (Limit::SQLITE_LIMIT_LENGTH, CELL_MAX),
            (Limit::SQLITE_LIMIT_ATTACHED, 0),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, 400),
            (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 10_000),
            (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
        ] {
            connection.set_limit(limit, value).map_err(engine)?;
        }
        function::register(&connection).map_err(engine)?;
        connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).map_err(engine)?;
        Ok(Self { connection, tables: BTreeMap::new(), capacity })
    }

    /// Bytes that the tables take now.
    pub fn bytes(&self) -> u64 {
        let pages: i64 = self
            .connection
            .query_row("SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count", [], |row| row.get(0))
            .unwrap_or_default();
        u64::try_from(pages).unwrap_or_default().saturating_mul(PAGE_BYTES)
    }

    /// Whether there is a table of this store with these columns. Without one, [`Basin::begin`] makes it.
    pub fn has(&self, store: &str, columns: &BTreeSet<Column>) -> bool {
        self.tables.get(store).is_some_and(|table| columns.iter().all(|column| table.columns.contains(column)))
    }

    /// Events in the store's table.
    pub fn events(&self, store: &str) -> u64 {
        self.tables.get(store).map_or(0, |table| table.events)
    }

    /// Makes the store's table anew, empty, with these columns and those that it had.
    pub fn begin(&mut self, store: &str, columns: &BTreeSet<Column>) -> Result<(), BasinError> {
        let mut wanted: Vec<Column> = columns.iter().cloned().collect();
        if let Some(old) = self.tables.get(store) {
            wanted.extend(
                old.columns.iter().filter(|column| !columns.contains(column)).take(COLUMNS_MAX.saturating_sub(columns.len())).cloned(),
            );
        }
        self.make(store, wanted)
    }

    /// As [`Basin::begin`], with these columns alone.
    pub fn begin_narrow(&mut self, store: &str, columns: &BTreeSet<Column>) -> Result<(), BasinError> {
        self.make(store, columns.iter().cloned().collect())
    }

    fn make(&mut self, store: &str, mut columns: Vec<Column>) -> Result<(), BasinError> {
        self.drop_table(store)?;
        let time = Column::event_time();
        columns.retain(|column| *column != time);
        columns.insert(0, time);
        let names: Vec<String> = columns.iter().map(|column| identifier(column.name())).collect();
        let name = identifier(store);
        self.connection
            .execute_batch(&format!("DROP TABLE IF EXISTS {name}; CREATE TABLE {name} ({})", names.join(", ")))
            .map_err(engine)?;
        self.tables.insert(store.to_owned(), TableState { columns, events: 0, bytes: 0 });
        Ok(())
    }

    /// Takes the store's table away.
    pub fn drop_table(&mut self, store: &str) -> Result<(), BasinError> {
        self.tables.remove(store);
        self.connection.execute_batch(&format!("DROP TABLE IF EXISTS {}", identifier(store))).map_err(engine)
    }

    /// Adds events, each with the length of its JSON. On an error the table is gone: half a batch is no table.
    pub fn append<'e>(&mut self, store: &str, events: impl IntoIterator<Item = (&'e Json, usize)>) -> Result<(), BasinError> {
        let appended = self.append_rows(store, events);
        if appended.is_err() {
            // What cannot be dropped is not looked at any more either.
            let _ = self.connection.execute_batch("ROLLBACK");
            let _ = self.drop_table(store);
        }
        appended
    }

    fn append_rows<'e>(&mut self, store: &str, events: impl IntoIterator<Item = (&'e Json, usize)>) -> Result<(), BasinError> {
        let table = self.tables.get_mut(store).ok_or_else(|| BasinError::Engine("the table is missing".to_owned()))?;
        let marks = vec!["?"; table.columns.len()].join(", ");
        self.connection.execute_batch("BEGIN").map_err(engine)?;
        let mut insert = self.connection.prepare(&format!("INSERT INTO {} VALUES ({marks})", identifier(store))).map_err(engine)?;
        for (event, bytes) in events {
            insert.execute(params_from_iter(table.columns.iter().map(|column| column.cell(event)))).map_err(engine)?;
            table.events += 1;
            table.bytes += u64::try_from(bytes).unwrap_or_default();
        }
        drop(insert);
        self.connection.execute_batch("COMMIT").map_err(engine)
    }

    /// Takes away events before this time.
    pub fn expire(&mut self, store: &str, before_ms: i64) -> Result<(), BasinError> {
        let Some(table) = self.tables.get_mut(store) else { return Ok(()) };
        let name = identifier(store);
        let gone = self
            .connection
            .execute(&format!("DELETE FROM {name} WHERE \"eventtime\" < ?1"), [timestamp::text(before_ms)])
            .map_err(engine)?;
        let gone = u64::try_from(gone).unwrap_or_default();
        table.bytes = table.bytes.saturating_sub(table.bytes / table.events.max(1) * gone);
        table.events = table.events.saturating_sub(gone);
        Ok(())
    }

    /// Runs a plan over the tables that are there.
    pub fn run(&mut self, plan: &Plan, limits: Limits, stop: &StopSignal) -> Result<Answer, BasinError> {
        let deadline = Instant::now() + limits.time;
        let signal = stop.clone();
        self.connection
            .progress_handler(STEPS_BETWEEN_CHECKS, Some(move || signal.is_stopped() || Instant::now() > deadline))
            .map_err(engine)?;
        self.connection.authorizer(Some(only_reading)).map_err(engine)?;
        let answer = self.answer(plan, limits);
        self.connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).map_err(engine)?;
        self.connection.progress_handler(0, None::<fn() -> bool>).map_err(engine)?;
        match answer {
            Err(_) if stop.is_stopped() => Err(BasinError::Stopped),
            Err(BasinError::Time(_)) => Err(BasinError::Time(limits.time.as_secs())),
            other => other,
        }
    }

    fn answer(&self, plan: &Plan, limits: Limits) -> Result<Answer, BasinError> {
        let mut answer = Answer { columns: plan.columns.iter().map(|column| column.name.clone()).collect(), ..Answer::default() };
        for store in plan.sources.keys() {
            let table = self.tables.get(store).ok_or_else(|| BasinError::Engine(format!("the table of `{store}` is missing")))?;
            answer.scanned_events += table.events;
            answer.scanned_bytes += table.bytes;
        }
        let mut statement = self.connection.prepare(&plan.sql).map_err(engine)?;
        if !statement.readonly() {
            return Err(BasinError::Engine("the statement is not one that reads".to_owned()));
        }
        let mut rows = statement.query([]).map_err(engine)?;
        let mut bytes = 0;
        while let Some(row) = rows.next().map_err(engine)? {
            if answer.rows.len() == limits.rows {
                return Err(BasinError::Rows(limits.rows));
            }
            let mut cells = Vec::with_capacity(plan.columns.len());
            for (at, column) in plan.columns.iter().enumerate() {
                let cell = render::text(row.get_ref(at).map_err(engine)?, column.kind);
                bytes += cell.as_ref().map_or(0, String::len) + 16;
                cells.push(cell);
            }
            if bytes > limits.bytes {
                return Err(BasinError::Bytes(limits.bytes));
            }
            answer.rows.push(cells);
        }
        answer.matched_events = match &plan.matched_sql {
            Some(sql) => {
                let count: i64 = self.connection.query_row(sql, [], |row| row.get(0)).map_err(engine)?;
                u64::try_from(count).unwrap_or_default()
            }
            None => u64::try_from(answer.rows.len()).unwrap_or_default(),
        };
        Ok(answer)
    }

    /// Bytes that the tables may take.
    pub fn capacity(&self) -> u64 {
        self.capacity
    }
}

/// The second line of defence: a statement that does more than read is not even prepared.
fn only_reading(context: AuthContext<'_>) -> Authorization {
    match context.action {
        AuthAction::Select | AuthAction::Read { .. } | AuthAction::Function { .. } | AuthAction::Recursive => Authorization::Allow,
        _ => Authorization::Deny,
    }
}

fn engine(error: rusqlite::Error) -> BasinError {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => return BasinError::Time(0),
        Some(ErrorCode::OutOfMemory | ErrorCode::DiskFull | ErrorCode::TooBig) => return BasinError::Memory,
        _ => {}
    }
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => BasinError::Value(message),
        other => BasinError::Engine(other.to_string()),
    }
}
