//! Leases for background work: of all nodes on one store, one at a time does a job.
//!
//! A job has two rows in [`LEASES`]: the *token* row, written only when the job changes hands, and the *heartbeat* row, written by every
//! renewal. Work is committed with [`Lease::fence`], an expectation on the token row: whoever lost the job cannot commit any more, however
//! late it wakes up, and a renewal does not disturb a commit that is under way. Time comes from the caller; clocks of the nodes may
//! differ: a wrong clock makes a job change hands early, never lets two holders commit.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{Batch, CommitError, Expect, Revision, Store, StoreError, Table, Versioned, Write};

/// Rows of leases: `job name | 0x00 | "token" or "heartbeat"`, values in JSON (no customer's data is in them).
pub const LEASES: Table = Table("lease");

/// Why a job could not be acquired, renewed or completed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Another holder took the job; drop all work of this lease.
    #[error("the lease of job `{0}` is lost")]
    Lost(String),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The right to do one job until `expires_at_ms`, proved by its fencing token.
#[derive(Clone, Debug)]
pub struct Lease {
    pub job: String,
    /// Grows with every change of hands.
    pub token: u64,
    /// Milliseconds since the Unix epoch, by the holder's clock.
    pub expires_at_ms: u64,
    token_version: Revision,
}

/// The jobs that one node contends for.
pub struct Jobs {
    store: Arc<dyn Store>,
    holder: String,
    duration_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct TokenRecord {
    token: u64,
    holder: String,
}

#[derive(Serialize, Deserialize)]
struct HeartbeatRecord {
    token: u64,
    expires_at_ms: u64,
}

fn row_key(job: &str, row: &str) -> Bytes {
    [job.as_bytes(), &[0], row.as_bytes()].concat().into()
}

fn put(job: &str, row: &str, record: &impl Serialize) -> Result<Write, StoreError> {
    let value = serde_json::to_vec(record).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok(Write::Put { table: LEASES, key: row_key(job, row), value: value.into() })
}

fn decode<'a, T: Deserialize<'a>>(row: Option<&'a Versioned>) -> Result<Option<T>, StoreError> {
    row.map(|row| serde_json::from_slice(&row.value).map_err(|error| StoreError::Corrupt(format!("a lease cannot be read: {error}"))))
        .transpose()
}

fn expect(job: &str, row: &str, version: Option<Revision>) -> Expect {
    Expect::Version { table: LEASES, key: row_key(job, row), version }
}

impl Lease {
    /// Put this into every batch that the job commits.
    pub fn fence(&self) -> Expect {
        expect(&self.job, "token", Some(self.token_version))
    }
}

impl Jobs {
    /// `holder` names this node in the records; a lease lasts `duration_ms` from its last renewal.
    pub fn new(store: Arc<dyn Store>, holder: impl Into<String>, duration_ms: u64) -> Self {
        Self { store, holder: holder.into(), duration_ms }
    }

    /// Takes the job when nobody holds it or its lease has run out; `None` when it is held.
    pub async fn acquire(&self, job: &str, now_ms: u64) -> Result<Option<Lease>, JobError> {
        let snapshot = self.store.snapshot().await?;
        let token_row = snapshot.get(LEASES, &row_key(job, "token")).await?;
        let heartbeat_row = snapshot.get(LEASES, &row_key(job, "heartbeat")).await?;
        drop(snapshot);
        let last: Option<TokenRecord> = decode(token_row.as_ref())?;
        let heartbeat: Option<HeartbeatRecord> = decode(heartbeat_row.as_ref())?;
        if heartbeat.is_some_and(|heartbeat| heartbeat.expires_at_ms > now_ms) {
            return Ok(None);
        }
        let token = last.map_or(0, |last| last.token) + 1;
        let expires_at_ms = now_ms.saturating_add(self.duration_ms);
        let batch = Batch {
            expect: vec![
                expect(job, "token", token_row.map(|row| row.version)),
                expect(job, "heartbeat", heartbeat_row.map(|row| row.version)),
            ],
            writes: vec![
                put(job, "token", &TokenRecord { token, holder: self.holder.clone() })?,
                put(job, "heartbeat", &HeartbeatRecord { token, expires_at_ms })?,
            ],
            log: Vec::new(),
        };
        match self.store.commit(batch).await {
            Ok(token_version) => Ok(Some(Lease { job: job.to_owned(), token, expires_at_ms, token_version })),
            Err(CommitError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Extends the lease by its duration from `now_ms`, also after it ran out if nobody took the job meanwhile.
    pub async fn renew(&self, lease: &mut Lease, now_ms: u64) -> Result<(), JobError> {
        let expires_at_ms = now_ms.saturating_add(self.duration_ms);
        let heartbeat = put(&lease.job, "heartbeat", &HeartbeatRecord { token: lease.token, expires_at_ms })?;
        self.commit_fenced(lease, Batch { writes: vec![heartbeat], ..Batch::default() }).await?;
        lease.expires_at_ms = expires_at_ms;
        Ok(())
    }

    /// Gives the job back; another node can take it at once.
    pub async fn release(&self, lease: Lease) -> Result<(), JobError> {
        self.complete(lease, Batch::default()).await.map(|_| ())
    }

    /// Commits a step of the work, if the job is still held. [`CommitError::Conflict`] when another expectation of the
    /// batch no longer holds.
    pub async fn commit_fenced(&self, lease: &Lease, mut batch: Batch) -> Result<Revision, JobError> {
        batch.expect.push(lease.fence());
        match self.store.commit(batch).await {
            Err(CommitError::Conflict) if self.is_lost(lease).await? => Err(JobError::Lost(lease.job.clone())),
            outcome => Ok(outcome?),
        }
    }

    /// Commits the last step of the work and gives the job back in the same commit.
    pub async fn complete(&self, lease: Lease, mut batch: Batch) -> Result<Revision, JobError> {
        batch.writes.push(put(&lease.job, "heartbeat", &HeartbeatRecord { token: lease.token, expires_at_ms: 0 })?);
        self.commit_fenced(&lease, batch).await
    }

    async fn is_lost(&self, lease: &Lease) -> Result<bool, StoreError> {
        let row = self.store.snapshot().await?.get(LEASES, &row_key(&lease.job, "token")).await?;
        Ok(row.is_none_or(|row| row.version != lease.token_version))
    }
}
