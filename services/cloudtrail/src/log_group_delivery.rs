//! Delivery to a trail's log group: each event as one message, in the order of the log.
//!
//! The place in the log is written down after each batch that CloudWatch Logs has taken; what it refuses is tried again, later and later, from
//! there. A crash between the two brings one batch twice.

use std::sync::Arc;

use ::trail::Entry;
use api_logs::{InputLogEvent, PutLogEventsInput};
use plane::{ApiError, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::{Revision, Table};

use crate::delivery::{Course, IDLE_ROWS, ROWS, retry_wait_ms, settle};
use crate::destination;
use crate::log_group::{LogGroup, stream_name};

/// Bytes and events of a batch, with room below what CloudWatch Logs takes; the overhead of an event.
const BATCH_BYTES: usize = 1_000_000;
const BATCH_EVENTS: usize = 5_000;
const EVENT_OVERHEAD: usize = 26;
/// Times of one batch.
const SPAN_MS: i64 = 20 * 60 * 60 * 1000;
/// Batches of one trail in one round; the rest waits for the next.
const ROUND_BATCHES: usize = 64;

/// How far a trail's delivery to its log group has come, in one region, for one account.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LogGroupDelivery {
    /// For which setting: another group begins anew.
    group: Option<LogGroup>,
    /// Everything in the log up to here is delivered, or not the trail's.
    cursor: u64,
    /// A later row of the log of which the first entries are, too, and how many.
    #[serde(default)]
    within: Option<(u64, usize)>,
    /// The newest time of an event up to there.
    #[serde(default)]
    newest_ms: Option<i64>,
    #[serde(default)]
    pub delivered_ms: Option<i64>,
    /// Error code of the last attempt, when it failed.
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    retry_ms: i64,
}

impl Record for LogGroupDelivery {
    const TABLE: Table = Table("cloudtrail-log-group-delivery");
    const SCOPE: Scope = Scope::Region;
}

impl LogGroupDelivery {
    /// The last log row that a log group needs no more. `None`: the delivery is to a group that is none of these, and will never go on.
    pub(crate) fn read_to(&self, groups: &[LogGroup]) -> Option<u64> {
        self.group.as_ref().filter(|group| groups.contains(group)).map(|_| self.cursor)
    }
}

/// Events for one call.
#[derive(Default)]
struct Batch {
    /// Last log row that was looked at whole.
    to: u64,
    /// A row that a batch ended in, and how many of its entries were looked at.
    within: Option<(u64, usize)>,
    /// Newest time of anything up to there.
    newest_ms: Option<i64>,
    events: Vec<InputLogEvent>,
    bytes: usize,
    first_ms: Option<i64>,
}

impl Batch {
    /// Whether an event of this time and length still fits.
    fn takes(&self, time_ms: i64, length: usize) -> bool {
        self.events.is_empty()
            || (self.events.len() < BATCH_EVENTS
                && self.bytes.saturating_add(length) <= BATCH_BYTES
                && self.first_ms.is_none_or(|first| time_ms.abs_diff(first) <= SPAN_MS.unsigned_abs() / 2))
    }

    /// How many entries of a row were looked at already: a row may hold more than one call takes.
    fn done_in(&self, revision: u64) -> usize {
        self.within.filter(|(within, _)| *within == revision).map_or(0, |(_, done)| done)
    }

    /// Takes an entry of the log with its event, if it has one for the group. `false`: the batch is full and ends before it.
    fn offer(&mut self, place: (u64, usize), newest_ms: i64, event: Option<(i64, String)>) -> bool {
        if let Some((time_ms, message)) = event {
            if !self.takes(time_ms, message.len().saturating_add(EVENT_OVERHEAD)) {
                self.within = Some(place);
                return false;
            }
            self.add(time_ms, message);
        }
        self.newest_ms = Some(newest_ms);
        true
    }

    fn end_row(&mut self, revision: u64) {
        self.to = revision;
        self.within = None;
    }

    fn add(&mut self, time_ms: i64, message: String) {
        self.bytes = self.bytes.saturating_add(message.len()).saturating_add(EVENT_OVERHEAD);
        self.first_ms.get_or_insert(time_ms);
        self.events.push(InputLogEvent { timestamp: time_ms, message });
    }
}

impl Course<'_> {
    fn log_group_key(&self) -> Key {
        let kind = if self.insights { "/insight" } else { "" };
        LogGroupDelivery::key(self.region, &format!("{}/{}{kind}", self.trail.id, self.account))
    }

    /// Delivers what the trail's log group has not got yet.
    pub(crate) async fn deliver_to_log_group(&self) -> Result<(), ApiError> {
        let Some(group) = &self.trail.log_group else { return Ok(()) };
        // What the delivery itself causes waits for the next round.
        let end = self.plane.regions.at(self.position)?.store.head().borrow().0;
        for _ in 0..ROUND_BATCHES {
            if !self.deliver_batch(group, end).await? {
                break;
            }
        }
        Ok(())
    }

    /// Delivers the next batch. `false`: there is none, or it must wait.
    async fn deliver_batch(&self, group: &LogGroup, end: u64) -> Result<bool, ApiError> {
        let key = self.log_group_key();
        let mut tx = self.plane.transaction(self.position);
        let known = tx.get::<LogGroupDelivery>(&key).await?.filter(|state| state.group.as_ref() == Some(group));
        let mut state = match known {
            Some(state) => state,
            None => LogGroupDelivery {
                group: Some(group.clone()),
                cursor: self.row_before(group.since_ms).await?,
                ..LogGroupDelivery::default()
            },
        };
        if state.retry_ms > self.now_ms() && !self.now_please {
            return Ok(false);
        }
        let batch = self.collect_batch(group, &state, end).await?;
        if batch.events.is_empty() {
            if batch.to.saturating_sub(state.cursor) >= IDLE_ROWS {
                state.cursor = batch.to;
                state.within = batch.within;
                state.newest_ms = batch.newest_ms;
                tx.put(&key, &state)?;
                settle(tx).await?;
            }
            return Ok(false);
        }
        let (to, within, newest_ms) = (batch.to, batch.within, batch.newest_ms);
        let delivered = match self.put_batch(group, batch).await {
            Ok(()) => {
                state.cursor = to;
                state.within = within;
                state.newest_ms = newest_ms;
                state.delivered_ms = Some(self.now_ms());
                state.error = None;
                state.failures = 0;
                state.retry_ms = 0;
                true
            }
            Err(error) => {
                state.error = Some(error.code.to_string());
                state.retry_ms = self.now_ms().saturating_add(retry_wait_ms(state.failures));
                state.failures = state.failures.saturating_add(1);
                false
            }
        };
        tx.put(&key, &state)?;
        settle(tx).await?;
        Ok(delivered)
    }

    async fn put_batch(&self, group: &LogGroup, mut batch: Batch) -> Result<(), ApiError> {
        let stream = stream_name(self.trail.organization.as_deref(), self.account, self.region);
        let caller = destination::caller(&self.trail.arn(), &self.trail.account);
        batch.events.sort_by_key(|event| event.timestamp);
        let input = PutLogEventsInput {
            log_group_name: group.name().to_owned(),
            log_stream_name: stream.clone(),
            log_events: batch.events,
            sequence_token: None,
            entity: None,
        };
        let put = self.plane.call_in_role(&caller, &group.session_arn(), group.region(), input.clone()).await;
        let answer = match put {
            Err(error) if error.code == "ResourceNotFoundException" => {
                group.create_stream(self.plane, &caller, &stream).await?;
                self.plane.call_in_role(&caller, &group.session_arn(), group.region(), input).await?.0
            }
            other => other?.0,
        };
        if answer.rejected_log_events_info.is_some() {
            tracing::warn!(trail = self.trail.arn(), "events are older than a log group takes; the trail's bucket has them");
        }
        Ok(())
    }

    /// Events for the group in the log rows that are not delivered yet, up to `end`, as many as a batch holds. An event is in time by its own
    /// time or, when the clock stepped back, by the newest that the log had before it.
    async fn collect_batch(&self, group: &LogGroup, state: &LogGroupDelivery, end: u64) -> Result<Batch, ApiError> {
        let store = Arc::clone(&self.plane.regions.at(self.position)?.store);
        let sealer = self.plane.sealer();
        let mut batch = Batch { to: state.cursor, within: state.within, newest_ms: state.newest_ms, ..Batch::default() };
        let in_time = |time_ms: i64| time_ms >= group.since_ms && self.trail.logged_at(time_ms);
        while batch.to < end {
            let rows = store.log_after(Revision(batch.to), ROWS).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                if row.revision.0 > end {
                    return Ok(batch);
                }
                for (index, bytes) in row.entries.iter().enumerate().skip(batch.done_in(row.revision.0)) {
                    let header = Entry::header(bytes).map_err(|error| ApiError::internal(&error))?;
                    let newest = batch.newest_ms.map_or(header.time_ms, |newest| newest.max(header.time_ms));
                    let mut event = None;
                    if header.account == self.account && (in_time(header.time_ms) || in_time(newest)) {
                        let open = Entry::open_whole(bytes, &sealer).map_err(|error| ApiError::internal(&error))?;
                        event = self.is_for_trail(&open.entry.record).then_some((header.time_ms, open.record_json));
                    }
                    if !batch.offer((row.revision.0, index), newest, event) {
                        return Ok(batch);
                    }
                }
                batch.end_row(row.revision.0);
            }
        }
        Ok(batch)
    }
}

impl LogGroupDelivery {
    pub(crate) fn key(region: &str, place: &str) -> Key {
        Key::new("", region).last(place)
    }

    /// The state of a trail's own account, for its status.
    pub(crate) fn status_key(region: &str, trail_id: &str, account: &str) -> Key {
        Self::key(region, &format!("{trail_id}/{account}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_ends_by_size_count_and_span() {
        let mut batch = Batch::default();
        assert!(batch.takes(0, usize::MAX), "the first event is always taken");
        batch.add(1_000, "x".repeat(900_000));
        assert!(batch.takes(1_000, 50_000) && !batch.takes(1_000, 150_000));
        assert!(!batch.takes(1_000 + SPAN_MS, 1));
        for _ in 1..BATCH_EVENTS {
            batch.events.push(InputLogEvent { timestamp: 1, message: String::new() });
        }
        assert!(!batch.takes(1_000, 1));
    }

    /// A row that is larger than a call takes comes in several, each event once.
    #[test]
    fn a_batch_may_end_within_a_row() {
        let (mut from, mut delivered, mut batches) = (Batch::default(), Vec::new(), 0);
        while from.to < 2 {
            let mut batch = Batch { to: from.to, within: from.within, ..Batch::default() };
            'rows: for revision in batch.to + 1..=2 {
                for index in batch.done_in(revision)..3_000 {
                    // Every third entry is another account's.
                    let event = (index % 3 > 0).then(|| (7, format!("{revision}/{index}/{}", "x".repeat(1_000))));
                    if !batch.offer((revision, index), 7, event) {
                        break 'rows;
                    }
                }
                batch.end_row(revision);
            }
            assert!(batch.bytes <= BATCH_BYTES && !batch.events.is_empty());
            delivered.extend(batch.events.iter().map(|event| event.message.trim_end_matches('x').to_owned()));
            batches += 1;
            from = batch;
        }
        let expected =
            (1..=2).flat_map(|revision| (0..3_000).filter(|index| index % 3 > 0).map(move |index| format!("{revision}/{index}/")));
        assert_eq!(delivered, expected.collect::<Vec<_>>());
        assert_eq!(batches, 5);
    }
}
