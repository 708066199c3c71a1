//! Writes events that are not part of a commit: reads, refusals.
//!
//! Two ways, by setting: before the reply (the caller waits for the sync that many share), or by interval (the caller goes on; the
//! event is durable within [`INTERVAL`]). The queue is bounded: when the store cannot keep up, callers wait, and when it fails they are told.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use store::{Batch, Revision, Store, StoreError};
use tokio::sync::{Notify, oneshot};

/// An event handed over is durable after this time at the latest.
pub const INTERVAL: Duration = Duration::from_millis(100);
/// Events that may wait for the writer.
const QUEUE_LENGTH: usize = 65_536;
/// Events that could not be written are tried again after this time.
const RETRY: Duration = Duration::from_millis(200);
/// Log rows looked through at a time, after a commit of which nobody knows whether it was written.
const ROWS: u32 = 256;
/// Events in one commit.
const BATCH_LENGTH: usize = 4_096;

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
        let log: Vec<Bytes> = entries.iter().take(count).cloned().collect();
        let before = *store.head().borrow();
        store.commit(Batch { log, ..Batch::default() }).await.map_err(|error| {
            doubt.get_or_insert(before);
            tracing::error!(%error, waiting = entries.len(), "audit events cannot be written");
            RecorderError(error.to_string())
        })?;
        entries.drain(..count);
    }
    *doubt = None;
    Ok(())
}

/// Drops the events that the log has after a revision. They are sealed, so no two are alike; and they were written in order, if at all.
async fn drop_written(store: &dyn Store, entries: &mut Vec<Bytes>, mut after: Revision) -> Result<(), StoreError> {
    while !entries.is_empty() {
        let rows = store.log_after(after, ROWS).await?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = last.revision;
        for row in &rows {
            if row.entries.first().is_some_and(|first| entries.first() == Some(first)) {
                let same = row.entries.iter().zip(entries.iter()).take_while(|(written, waiting)| written == waiting).count();
                entries.drain(..same);
            }
        }
    }
    Ok(())
}
