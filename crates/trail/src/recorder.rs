//! Writes events that are not part of a commit: reads, refusals.
//!
//! Two ways, by setting: before the reply (the caller waits for the sync that many share), or by interval (the caller goes on; the
//! event is durable within [`INTERVAL`]). The queue is bounded: when the store cannot keep up, callers wait, and when it fails they are told.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use store::{Batch, CommitError, Revision, Store, StoreError};
use tokio::sync::{Notify, oneshot};

/// An event handed over is durable after this time at the latest.
pub const INTERVAL: Duration = Duration::from_millis(100);
/// Events that may wait for the writer.
const QUEUE_LENGTH: usize = 65_536;
/// Events that could not be written are tried again after this time.
const RETRY: Duration = Duration::from_millis(200);
/// Log rows looked through at a time, after a commit of which nobody knows whether it was written.
const ROWS: u32 = 256;
/// Events that are written at once.
const BATCH_LENGTH: usize = 4_096;
/// Bytes of a log row. A lookup whose events are far apart reads a row for each; and redb keeps a row in a power of two of bytes: this is just
/// under one.
const ROW_BYTES: usize = 16 * 1024 - 64;
/// What the store writes beside an entry.
const ENTRY_OVERHEAD_BYTES: usize = 4;

/// The event could not be made durable. The call must be refused: no record, no effect.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the audit trail cannot take events: {0}")]
pub struct RecorderError(pub String);

/// Handle to the writer task of one region's store.
#[derive(Clone)]
pub struct Recorder(Arc<Handle>);

/// Tells the writer when the last handle is gone.
struct Handle(Arc<Shared>);

/// What callers and writer share. Events are copied one behind the other into one buffer: the writer is woken once a batch and not once an
/// event, and no memory that a caller allocated is freed by another thread. Both cost more than the copy.
#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// There is something to do: a first event, a full batch, a flush, the end.
    work: Notify,
    /// The queue was emptied.
    space: Notify,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    /// Where each event ends in `bytes`.
    ends: Vec<usize>,
    flushes: Vec<oneshot::Sender<Result<(), RecorderError>>>,
    /// Why the last batch could not be written.
    failure: Option<RecorderError>,
    is_closed: bool,
}

impl Queue {
    /// A batch must not wait for the interval.
    fn is_pressing(&self) -> bool {
        self.is_closed || !self.flushes.is_empty() || self.ends.len() >= BATCH_LENGTH
    }

    /// Puts an event behind the others and gives their number; `None` where there is no room.
    fn push(&mut self, entry: &[u8], despite_failure: bool) -> Result<Option<usize>, RecorderError> {
        if let Some(failure) = self.failure.as_ref().filter(|_| !despite_failure) {
            return Err(failure.clone());
        }
        if self.ends.len() >= QUEUE_LENGTH {
            return Ok(None);
        }
        self.bytes.extend_from_slice(entry);
        self.ends.push(self.bytes.len());
        Ok(Some(self.ends.len()))
    }

    /// Takes all events, in order.
    fn take(&mut self) -> Vec<Bytes> {
        // The next batch is about as large.
        let (bytes, ends) = (Vec::with_capacity(self.bytes.len()), Vec::with_capacity(self.ends.len()));
        let (bytes, ends) = (Bytes::from(std::mem::replace(&mut self.bytes, bytes)), std::mem::replace(&mut self.ends, ends));
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(ends.iter().copied()).map(|(start, end)| bytes.slice(start..end)).collect()
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.queue().is_closed = true;
        self.0.work.notify_one();
    }
}

impl Recorder {
    /// Starts the writer on the current runtime. It ends when the last handle is dropped, after writing what it holds.
    pub fn start(store: Arc<dyn Store>) -> Self {
        let shared = Arc::new(Shared::default());
        tokio::spawn(write(store, Arc::clone(&shared)));
        Self(Arc::new(Handle(shared)))
    }

    /// Hands an event over; it will be durable within [`INTERVAL`]. Fails when the last batch could not be written (fail closed).
    pub async fn record(&self, entry: Bytes) -> Result<(), RecorderError> {
        self.hand_over(&entry, false).await
    }

    async fn hand_over(&self, entry: &[u8], despite_failure: bool) -> Result<(), RecorderError> {
        let shared = &self.0.0;
        loop {
            // Registered before the look at the queue, so that no room is missed.
            let space = shared.space.notified();
            if let Some(count) = shared.queue().push(entry, despite_failure)? {
                if count == 1 || count == BATCH_LENGTH {
                    shared.work.notify_one();
                }
                return Ok(());
            }
            space.await;
        }
    }

    /// As [`Recorder::record`], while the store fails: the event waits in memory until it recovers, with as many others as the queue holds.
    pub async fn keep(&self, entry: Bytes) -> Result<(), RecorderError> {
        self.hand_over(&entry, true).await
    }

    /// Returns when everything handed over before is durable.
    pub async fn flush(&self) -> Result<(), RecorderError> {
        let (done, wait) = oneshot::channel();
        self.0.0.queue().flushes.push(done);
        self.0.0.work.notify_one();
        wait.await.map_err(|_| RecorderError("the writer has stopped".to_owned()))?
    }
}

async fn write(store: Arc<dyn Store>, shared: Arc<Shared>) {
    // Entries that could not be written stay here and go first next time: nothing is lost while the process lives.
    let mut entries: Vec<Bytes> = Vec::new();
    let mut doubt = None;
    loop {
        wait(&shared, !entries.is_empty()).await;
        let (flushes, is_closed) = {
            let mut queue = shared.queue();
            // While the store fails, no more than the queue holds is taken out of it: memory stays bounded.
            if entries.len() < QUEUE_LENGTH || queue.is_closed {
                entries.append(&mut queue.take());
            }
            (std::mem::take(&mut queue.flushes), queue.is_closed)
        };
        shared.space.notify_waiters();
        let result = commit(store.as_ref(), &mut entries, &mut doubt).await;
        shared.queue().failure = result.clone().err();
        if let (true, Err(error)) = (is_closed, &result) {
            tracing::error!(%error, lost = entries.len(), "audit events could not be written at shutdown");
        }
        for done in flushes {
            // A caller that no longer waits needs no answer.
            let _ = done.send(result.clone());
        }
        if is_closed {
            return;
        }
    }
}

/// Waits until a batch is to be written: half the interval after its first event, or at once when it presses. Events that wait for another
/// try do so for [`RETRY`] at most.
async fn wait(shared: &Shared, has_failed: bool) {
    if has_failed {
        // Time is up, or there is more to do: either way the events that wait are tried again.
        let _ = tokio::time::timeout(RETRY, shared.work.notified()).await;
        return;
    }
    loop {
        let (is_empty, is_pressing) = {
            let queue = shared.queue();
            (queue.ends.is_empty(), queue.is_pressing())
        };
        if is_pressing {
            return;
        }
        if !is_empty {
            break;
        }
        shared.work.notified().await;
    }
    let deadline = tokio::time::sleep(INTERVAL / 2);
    tokio::pin!(deadline);
    while !shared.queue().is_pressing() {
        tokio::select! {
            () = shared.work.notified() => {}
            () = &mut deadline => return,
        }
    }
}

/// `doubt`: the newest revision before a commit that failed. It may have been written all the same, so the log is looked through before the same
/// events are written again: none must be there twice.
async fn commit(store: &dyn Store, entries: &mut Vec<Bytes>, doubt: &mut Option<Revision>) -> Result<(), RecorderError> {
    if let Some(before) = *doubt {
        drop_written(store, entries, before).await.map_err(|error| RecorderError(error.to_string()))?;
    }
    while !entries.is_empty() {
        let count = entries.len().min(BATCH_LENGTH);
        let before = *store.head().borrow();
        let rows = rows(entries.drain(..count));
        // Handed over together, in order: they share a sync.
        let commits = rows.iter().map(|row| store.commit(Batch { log: row.clone(), ..Batch::default() }));
        let results = futures_util::future::join_all(commits).await;
        let failed: Vec<(Vec<Bytes>, CommitError)> =
            rows.into_iter().zip(results).filter_map(|(row, result)| Some((row, result.err()?))).collect();
        let error = failed.first().map(|(_, error)| RecorderError(error.to_string()));
        let waiting: Vec<Bytes> = failed.into_iter().flat_map(|(row, _)| row).collect();
        entries.splice(..0, waiting);
        if let Some(error) = error {
            doubt.get_or_insert(before);
            tracing::error!(%error, waiting = entries.len(), "audit events cannot be written");
            return Err(error);
        }
    }
    *doubt = None;
    Ok(())
}

/// Events in order, as many in a row as its bytes allow.
fn rows(entries: impl Iterator<Item = Bytes>) -> Vec<Vec<Bytes>> {
    let (mut rows, mut length) = (Vec::<Vec<Bytes>>::new(), 0);
    for entry in entries {
        let more = entry.len() + ENTRY_OVERHEAD_BYTES;
        match rows.last_mut() {
            Some(row) if length + more <= ROW_BYTES => {
                length += more;
                row.push(entry);
            }
            _ => {
                length = more;
                rows.push(vec![entry]);
            }
        }
    }
    rows
}

/// Drops the events that the log has after a revision. They are sealed, so no two are alike.
async fn drop_written(store: &dyn Store, entries: &mut Vec<Bytes>, mut after: Revision) -> Result<(), StoreError> {
    let mut waiting: HashSet<Bytes> = entries.iter().cloned().collect();
    while !waiting.is_empty() {
        let rows = store.log_after(after, ROWS).await?;
        let Some(last) = rows.last() else { break };
        after = last.revision;
        for entry in rows.iter().flat_map(|row| &row.entries) {
            waiting.remove(entry);
        }
    }
    entries.retain(|entry| waiting.contains(entry));
    Ok(())
}
