//! Writes events that are not part of a commit: reads, refusals.
//!
//! Two ways, by setting: before the reply (the caller waits for the sync that many share), or by interval (the caller goes on; the
//! event is durable within [`INTERVAL`]). The queue is bounded: when the store cannot keep up, callers wait, and when it fails they are told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use store::{Batch, Store};
use tokio::sync::{mpsc, oneshot};

/// An event handed over is durable after this time at the latest.
pub const INTERVAL: Duration = Duration::from_millis(100);
/// Events that may wait for the writer.
const QUEUE_LENGTH: usize = 65_536;
/// Events that could not be written are tried again after this time.
const RETRY: Duration = Duration::from_millis(200);
/// Events in one commit.
const BATCH_LENGTH: usize = 4_096;

/// The event could not be made durable. The call must be refused: no record, no effect.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the audit trail cannot take events: {0}")]
pub struct RecorderError(pub String);

enum Message {
    Event(Bytes),
    Flush(oneshot::Sender<Result<(), RecorderError>>),
}

/// Handle to the writer task of one region's store.
#[derive(Clone)]
pub struct Recorder {
    queue: mpsc::Sender<Message>,
    failure: Arc<std::sync::Mutex<Option<RecorderError>>>,
}

impl Recorder {
    /// Starts the writer on the current runtime. It ends when the last handle is dropped, after writing what it holds.
    pub fn start(store: Arc<dyn Store>) -> Self {
        let (queue, inbox) = mpsc::channel(QUEUE_LENGTH);
        let failure = Arc::new(std::sync::Mutex::new(None));
        tokio::spawn(write(store, inbox, Arc::clone(&failure)));
        Self { queue, failure }
    }

    /// Hands an event over; it will be durable within [`INTERVAL`]. Fails when the last batch could not be written (fail closed).
    pub async fn record(&self, entry: Bytes) -> Result<(), RecorderError> {
        self.check()?;
        self.queue.send(Message::Event(entry)).await.map_err(|_| stopped())
    }

    /// As [`Recorder::record`], while the store fails: the event waits in memory until it recovers, with as many others as the queue holds.
    pub async fn keep(&self, entry: Bytes) -> Result<(), RecorderError> {
        self.queue.send(Message::Event(entry)).await.map_err(|_| stopped())
    }

    /// Returns when everything handed over before is durable.
    pub async fn flush(&self) -> Result<(), RecorderError> {
        let (done, wait) = oneshot::channel();
        self.queue.send(Message::Flush(done)).await.map_err(|_| stopped())?;
        wait.await.map_err(|_| stopped())?
    }

    fn check(&self) -> Result<(), RecorderError> {
        let failure = self.failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        failure.clone().map_or(Ok(()), Err)
    }
}

fn stopped() -> RecorderError {
    RecorderError("the writer has stopped".to_owned())
}

async fn write(store: Arc<dyn Store>, mut inbox: mpsc::Receiver<Message>, failure: Arc<std::sync::Mutex<Option<RecorderError>>>) {
    let mut messages = Vec::new();
    // Entries that could not be written stay here and go first next time: nothing is lost while the process lives.
    let mut entries: Vec<Bytes> = Vec::new();
    while receive(&mut inbox, &mut messages, !entries.is_empty()).await {
        let mut waiting = Vec::new();
        for message in messages.drain(..) {
            match message {
                Message::Event(entry) => entries.push(entry),
                Message::Flush(done) => waiting.push(done),
            }
        }
        if waiting.is_empty() {
            waiting = gather(&mut inbox, &mut entries).await;
        }
        let result = commit(store.as_ref(), &mut entries).await;
        *failure.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = result.clone().err();
        for done in waiting {
            // A caller that no longer waits needs no answer.
            let _ = done.send(result.clone());
        }
    }
    if let Err(error) = commit(store.as_ref(), &mut entries).await {
        tracing::error!(%error, lost = entries.len(), "audit events could not be written at shutdown");
    }
}

/// Waits for messages; while events wait for another try, not longer than [`RETRY`]. `false`: there are no senders any more.
async fn receive(inbox: &mut mpsc::Receiver<Message>, messages: &mut Vec<Message>, has_waiting: bool) -> bool {
    if !has_waiting {
        return inbox.recv_many(messages, BATCH_LENGTH).await > 0;
    }
    // Time is up: the events that wait are tried again.
    tokio::time::timeout(RETRY, inbox.recv_many(messages, BATCH_LENGTH)).await.map_or(true, |received| received > 0)
}

/// Collects more entries until the interval ends, a batch is full or somebody wants a flush.
async fn gather(inbox: &mut mpsc::Receiver<Message>, entries: &mut Vec<Bytes>) -> Vec<oneshot::Sender<Result<(), RecorderError>>> {
    let deadline = tokio::time::sleep(INTERVAL / 2);
    tokio::pin!(deadline);
    while entries.len() < BATCH_LENGTH {
        tokio::select! {
            biased;
            message = inbox.recv() => match message {
                Some(Message::Event(entry)) => entries.push(entry),
                Some(Message::Flush(done)) => return vec![done],
                None => break,
            },
            () = &mut deadline => break,
        }
    }
    Vec::new()
}

async fn commit(store: &dyn Store, entries: &mut Vec<Bytes>) -> Result<(), RecorderError> {
    while !entries.is_empty() {
        let count = entries.len().min(BATCH_LENGTH);
        let log: Vec<Bytes> = entries.iter().take(count).cloned().collect();
        store.commit(Batch { log, ..Batch::default() }).await.map_err(|error| {
            tracing::error!(%error, waiting = entries.len(), "audit events cannot be written");
            RecorderError(error.to_string())
        })?;
        entries.drain(..count);
    }
    Ok(())
}
