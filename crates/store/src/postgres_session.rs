//! A PostgreSQL connection with the statements of a store prepared on it, and the schema that they need.
//!
//! Prepared once a connection, a statement is sent whole the first time it is polled: polled in order, several make one round trip.

use bytes::Bytes;
use tokio_postgres::{Client, NoTls, Statement};

use crate::postgres::PostgresConfig;
use crate::{FORMAT_VERSION, KeyRange, LogRow, Revision, Row, StoreError, Table, encoding};

pub(crate) fn unavailable(message: impl Into<String>) -> StoreError {
    StoreError::Unavailable(message.into())
}

pub(crate) fn failed(error: tokio_postgres::Error) -> StoreError {
    // The server's message may quote a value: only its class is told.
    match error.as_db_error() {
        Some(server) => unavailable(format!("PostgreSQL answers {} ({})", server.code().code(), server.severity())),
        None => unavailable(format!("PostgreSQL: {error}")),
    }
}

pub(crate) fn revision_from(number: i64) -> Result<Revision, StoreError> {
    u64::try_from(number).map(Revision).map_err(|_| StoreError::Corrupt(format!("`{number}` is not a revision")))
}

pub(crate) fn revision_to(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// One scan, forward or reverse, with or without an end.
struct Scans {
    bounded: Statement,
    open: Statement,
}

pub(crate) struct Session {
    pub(crate) client: Client,
    head: Statement,
    lock: Statement,
    get: Statement,
    versions: Statement,
    forward: Scans,
    reverse: Scans,
    put: Statement,
    delete: Statement,
    append: Statement,
    raise: Statement,
    pub(crate) log_after: Statement,
    pub(crate) log_before: Statement,
    prune: Statement,
    rows_after: Statement,
}

async fn connect(config: &PostgresConfig) -> Result<Client, StoreError> {
    let (client, connection) = config.connection.connect(NoTls).await.map_err(failed)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(error = %failed(error), "a PostgreSQL connection ended");
        }
    });
    let settings = format!("SET search_path TO {}; SET synchronous_commit TO on", config.checked_schema()?);
    client.batch_execute(&settings).await.map_err(failed)?;
    Ok(client)
}

/// Makes the schema once; several nodes may start together.
pub(crate) async fn create_schema(config: &PostgresConfig) -> Result<(), StoreError> {
    let (client, schema) = (connect(config).await?, config.checked_schema()?);
    let sql = "SELECT 1 FROM information_schema.tables WHERE table_schema = $1 AND table_name = 'head'";
    if client.query_opt(sql, &[&schema]).await.map_err(failed)?.is_some() {
        return Ok(());
    }
    let statements = format!(
        "BEGIN;
         SELECT pg_advisory_xact_lock(hashtext('bailiwick {schema}'));
         CREATE SCHEMA IF NOT EXISTS {schema};
         CREATE TABLE IF NOT EXISTS {schema}.rows (
             name text COLLATE \"C\" NOT NULL, key bytea NOT NULL, version bigint NOT NULL, value bytea NOT NULL, PRIMARY KEY (name, key));
         CREATE TABLE IF NOT EXISTS {schema}.log (revision bigint PRIMARY KEY, entry bytea NOT NULL);
         CREATE TABLE IF NOT EXISTS {schema}.head (
             id boolean PRIMARY KEY DEFAULT true CHECK (id), format bigint NOT NULL, revision bigint NOT NULL);
         INSERT INTO {schema}.head (format, revision) VALUES ({FORMAT_VERSION}, 0) ON CONFLICT DO NOTHING;
         COMMIT"
    );
    client.batch_execute(&statements).await.map_err(failed)
}

impl Session {
    pub(crate) async fn open(config: &PostgresConfig) -> Result<Self, StoreError> {
        let client = connect(config).await?;
        let session = Self::prepare(client).await.map_err(failed)?;
        // The format is checked on every connection: the store may have been upgraded meanwhile.
        session.read_head().await?;
        Ok(session)
    }

    async fn prepare(client: Client) -> Result<Self, tokio_postgres::Error> {
        let scan = async |direction: &str| {
            let bounded = format!(
                "SELECT key, version, value FROM rows WHERE name = $1 AND key >= $2 AND key < $3 ORDER BY key {direction} LIMIT $4"
            );
            let open = format!("SELECT key, version, value FROM rows WHERE name = $1 AND key >= $2 ORDER BY key {direction} LIMIT $3");
            Ok(Scans { bounded: client.prepare(&bounded).await?, open: client.prepare(&open).await? })
        };
        Ok(Self {
            head: client.prepare("SELECT format, revision FROM head").await?,
            lock: client.prepare("SELECT revision FROM head FOR UPDATE").await?,
            get: client.prepare("SELECT version, value FROM rows WHERE name = $1 AND key = $2").await?,
            versions: client
                .prepare(
                    "SELECT asked.place, rows.version FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY AS asked (name, key, place)
                     JOIN rows ON rows.name = asked.name COLLATE \"C\" AND rows.key = asked.key",
                )
                .await?,
            forward: scan("ASC").await?,
            reverse: scan("DESC").await?,
            put: client
                .prepare(
                    "INSERT INTO rows (name, key, version, value) SELECT * FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::bytea[])
                     ON CONFLICT (name, key) DO UPDATE SET version = excluded.version, value = excluded.value",
                )
                .await?,
            delete: client
                .prepare(
                    "DELETE FROM rows USING unnest($1::text[], $2::bytea[]) AS gone (name, key)
                     WHERE rows.name = gone.name COLLATE \"C\" AND rows.key = gone.key",
                )
                .await?,
            append: client.prepare("INSERT INTO log (revision, entry) SELECT * FROM unnest($1::bigint[], $2::bytea[])").await?,
            raise: client.prepare("UPDATE head SET revision = $1").await?,
            log_after: client.prepare("SELECT revision, entry FROM log WHERE revision > $1 ORDER BY revision LIMIT $2").await?,
            log_before: client.prepare("SELECT revision, entry FROM log WHERE revision < $1 ORDER BY revision DESC LIMIT $2").await?,
            prune: client
                .prepare("DELETE FROM log WHERE revision IN (SELECT revision FROM log WHERE revision < $1 ORDER BY revision LIMIT $2)")
                .await?,
            rows_after: client
                .prepare("SELECT name, key, version, value FROM rows WHERE (name, key) > ($1, $2) ORDER BY name, key LIMIT $3")
                .await?,
            client,
        })
    }

    pub(crate) async fn begin(&self, mode: &str) -> Result<(), StoreError> {
        self.client.batch_execute(&format!("BEGIN ISOLATION LEVEL {mode}")).await.map_err(failed)
    }

    pub(crate) async fn rollback(&self) -> Result<(), StoreError> {
        self.client.batch_execute("ROLLBACK").await.map_err(failed)
    }

    pub(crate) async fn commit(&self) -> Result<(), StoreError> {
        self.client.batch_execute("COMMIT").await.map_err(failed)
    }

    pub(crate) async fn read_head(&self) -> Result<Revision, StoreError> {
        let row = self.client.query_one(&self.head, &[]).await.map_err(failed)?;
        let found = revision_from(row.get(0))?.0;
        if found > FORMAT_VERSION {
            return Err(StoreError::UnsupportedFormat { found, supported: FORMAT_VERSION });
        }
        revision_from(row.get(1))
    }

    /// The head, locked until the transaction ends: whoever holds it is the only one that commits, on all nodes.
    pub(crate) async fn lock_head(&self) -> Result<Revision, StoreError> {
        revision_from(self.client.query_one(&self.lock, &[]).await.map_err(failed)?.get(0))
    }

    pub(crate) async fn raise_head(&self, head: Revision) -> Result<(), StoreError> {
        self.client.execute(&self.raise, &[&revision_to(head)]).await.map(|_| ()).map_err(failed)
    }

    pub(crate) async fn get(&self, table: Table, key: &[u8]) -> Result<Option<(Revision, Bytes)>, StoreError> {
        let row = self.client.query_opt(&self.get, &[&table.0, &key]).await.map_err(failed)?;
        row.map(|row| Ok((revision_from(row.get(0))?, Bytes::copy_from_slice(row.get(1))))).transpose()
    }

    /// The versions of the keys that exist, each with its index in `keys`.
    pub(crate) async fn versions(&self, names: &[&str], keys: &[&[u8]]) -> Result<Vec<(usize, Revision)>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.client.query(&self.versions, &[&names, &keys]).await.map_err(failed)?;
        let decode = |row: &tokio_postgres::Row| {
            let place = usize::try_from(row.get::<_, i64>(0) - 1).map_err(|_| StoreError::Corrupt("a row has no place".to_owned()))?;
            Ok((place, revision_from(row.get(1))?))
        };
        rows.iter().map(decode).collect()
    }

    pub(crate) async fn scan(&self, table: Table, range: &KeyRange, limit: u32, reverse: bool) -> Result<Vec<Row>, StoreError> {
        let scans = if reverse { &self.reverse } else { &self.forward };
        let (start, limit) = (range.start.as_ref(), i64::from(limit));
        let rows = match range.end.as_deref() {
            Some(end) => self.client.query(&scans.bounded, &[&table.0, &start, &end, &limit]).await,
            None => self.client.query(&scans.open, &[&table.0, &start, &limit]).await,
        };
        let decode = |row: tokio_postgres::Row| {
            let (key, value) = (Bytes::copy_from_slice(row.get(0)), Bytes::copy_from_slice(row.get(2)));
            Ok(Row { key, version: revision_from(row.get(1))?, value })
        };
        rows.map_err(failed)?.into_iter().map(decode).collect()
    }

    pub(crate) async fn delete(&self, names: &[&str], keys: &[&[u8]]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        self.client.execute(&self.delete, &[&names, &keys]).await.map(|_| ()).map_err(failed)
    }

    pub(crate) async fn insert_rows(&self, page: &Page) -> Result<(), StoreError> {
        if page.names.is_empty() {
            return Ok(());
        }
        let columns: [&(dyn tokio_postgres::types::ToSql + Sync); 4] = [&page.names, &page.keys, &page.versions, &page.values];
        self.client.execute(&self.put, &columns).await.map(|_| ()).map_err(failed)
    }

    pub(crate) async fn insert_log(&self, page: &Page) -> Result<(), StoreError> {
        if page.revisions.is_empty() {
            return Ok(());
        }
        self.client.execute(&self.append, &[&page.revisions, &page.entries]).await.map(|_| ()).map_err(failed)
    }

    /// Log rows beyond `bound`, by one of the two log statements.
    pub(crate) async fn log(&self, statement: &Statement, bound: i64, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        let rows = self.client.query(statement, &[&bound, &i64::from(limit)]).await.map_err(failed)?;
        rows.iter().map(|row| encoding::decode_log_row(revision_from(row.get(0))?, row.get(1))).collect()
    }

    /// Takes away the oldest log rows below `bound`, at most `limit`.
    pub(crate) async fn prune_log(&self, bound: i64, limit: u32) -> Result<u64, StoreError> {
        self.client.execute(&self.prune, &[&bound, &i64::from(limit)]).await.map_err(failed)
    }

    /// Rows of all tables behind the place, in order.
    pub(crate) async fn rows_after(&self, name: &str, key: &[u8], limit: u32) -> Result<Vec<(String, Row)>, StoreError> {
        let rows = self.client.query(&self.rows_after, &[&name, &key, &i64::from(limit)]).await.map_err(failed)?;
        let decode = |row: tokio_postgres::Row| {
            let (key, value) = (Bytes::copy_from_slice(row.get(1)), Bytes::copy_from_slice(row.get(3)));
            Ok((row.get(0), Row { key, version: revision_from(row.get(2))?, value }))
        };
        rows.into_iter().map(decode).collect()
    }
}

/// Rows and log rows to insert, by column.
#[derive(Default)]
pub(crate) struct Page {
    names: Vec<String>,
    keys: Vec<Vec<u8>>,
    versions: Vec<i64>,
    values: Vec<Vec<u8>>,
    revisions: Vec<i64>,
    entries: Vec<Vec<u8>>,
}

impl Page {
    pub(crate) fn row(&mut self, name: &str, key: &[u8], version: Revision, value: &[u8]) {
        self.names.push(name.to_owned());
        self.keys.push(key.to_vec());
        self.versions.push(revision_to(version));
        self.values.push(value.to_vec());
    }

    pub(crate) fn log(&mut self, row: &LogRow) {
        self.revisions.push(revision_to(row.revision));
        self.entries.push(encoding::encode_log_row(row));
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len() + self.revisions.len()
    }
}
