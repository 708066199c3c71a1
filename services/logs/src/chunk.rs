//! Events at rest: chunks of one batch that lie in one slot of time, so that slots can be read one after the other in either direction.

use std::collections::VecDeque;

use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::cursor::{Cursor, Direction};
use crate::encryption::{self, DataKey, Sealed};
use crate::log_group::LogGroupRecord;

/// Length of a slot.
const SLOT_MS: i64 = 10_000;
/// A chunk ends when its messages are this long together.
const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks read at a time.
const READ: u32 = 32;

/// An event as it is kept: time, place in its batch, message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept(pub i64, pub u32, pub String);

/// Events of one batch in one slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub ingested_ms: i64,
    content: Content,
    /// Size as it is counted for the group.
    pub stored_bytes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Content {
    Plain(Vec<Kept>),
    Sealed { data_key: usize, sealed: Sealed },
}

impl Record for Chunk {
    const TABLE: Table = Table("logs-chunk");
    const SCOPE: Scope = Scope::Region;
}

/// That a stream has events in a slot: what a search of the group goes by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SlotUse {}

impl Record for SlotUse {
    const TABLE: Table = Table("logs-slot");
    const SCOPE: Scope = Scope::Region;
}

/// Number of the slot of a time.
pub(crate) fn slot_of(time_ms: i64) -> u64 {
    u64::try_from(time_ms.max(0) / SLOT_MS).unwrap_or_default()
}

/// The first time behind a slot.
pub(crate) fn slot_end_ms(slot: u64) -> i64 {
    i64::try_from(slot).unwrap_or(i64::MAX).saturating_add(1).saturating_mul(SLOT_MS)
}

/// Chunks of a stream.
pub(crate) fn chunks(account: &str, region: &str, stream_id: &str) -> Key {
    Key::new(account, region).then(stream_id)
}

/// Slots of a group.
pub(crate) fn slots(account: &str, region: &str, group_id: &str) -> Key {
    Key::new(account, region).then(group_id)
}

/// The inner part of a chunk's key.
fn place(slot: u64, sequence: u64, part: u32) -> Vec<u8> {
    [&slot.to_be_bytes()[..], &sequence.to_be_bytes(), &part.to_be_bytes()].concat()
}

fn number(bytes: &[u8], from: usize) -> Option<u64> {
    bytes.get(from..from.checked_add(8)?).and_then(|part| part.try_into().ok()).map(u64::from_be_bytes)
}

/// Slot of a chunk or of a slot row, by the inner part of its key.
pub(crate) fn slot_in(place: &[u8]) -> u64 {
    number(place, 0).unwrap_or_default()
}

/// The stream's id in the inner part of a slot row's key.
pub(crate) fn stream_in(place: &[u8]) -> Option<&str> {
    place.get(8..).and_then(|id| std::str::from_utf8(id).ok())
}

pub(crate) fn slot_place(slot: u64, stream_id: &str) -> Vec<u8> {
    [&slot.to_be_bytes()[..], stream_id.as_bytes()].concat()
}

/// A batch that is written.
pub(crate) struct Batch<'a> {
    pub group_id: &'a str,
    pub stream_id: &'a str,
    pub sequence: u64,
    pub ingested_ms: i64,
    /// With the number that the group knows it by.
    pub data_key: Option<(usize, DataKey)>,
}

impl Batch<'_> {
    /// Writes events, which are in order of time.
    pub(crate) async fn write(&self, cx: &mut Call, events: Vec<Kept>) -> Result<(), ApiError> {
        let mut part = 0_u32;
        let mut open: Vec<Kept> = Vec::new();
        let mut bytes = 0_usize;
        for event in events {
            let slot = slot_of(event.0);
            if open.first().is_some_and(|first| slot_of(first.0) != slot) || bytes >= CHUNK_BYTES {
                self.put(cx, part, std::mem::take(&mut open)).await?;
                part = part.saturating_add(1);
                bytes = 0;
            }
            bytes = bytes.saturating_add(event.2.len());
            open.push(event);
        }
        self.put(cx, part, open).await
    }

    async fn put(&self, cx: &mut Call, part: u32, events: Vec<Kept>) -> Result<(), ApiError> {
        let Some(first) = events.first() else { return Ok(()) };
        let slot = slot_of(first.0);
        let stored_bytes = events.iter().map(|event| size(&event.2)).sum();
        let place = place(slot, self.sequence, part);
        let content = match &self.data_key {
            None => Content::Plain(events),
            Some((number, key)) => {
                let sealed = key.seal(&bound(self.stream_id, &place), serde_json::to_vec(&events)?)?;
                Content::Sealed { data_key: *number, sealed }
            }
        };
        let chunk = Chunk { ingested_ms: self.ingested_ms, content, stored_bytes };
        let (account, region) = (cx.account.clone(), cx.region.clone());
        cx.tx.put(&chunks(&account, &region, self.stream_id).last(&place), &chunk)?;
        let used = slots(&account, &region, self.group_id).last(slot_place(slot, self.stream_id));
        cx.tx.insert(&used, &SlotUse {}).await?;
        Ok(())
    }
}

/// What a message counts, with the overhead of an event.
pub(crate) fn size(message: &str) -> u64 {
    u64::try_from(message.len()).unwrap_or(u64::MAX).saturating_add(26)
}

/// What the ciphertext of a chunk is bound to.
fn bound(stream_id: &str, place: &[u8]) -> Vec<u8> {
    [stream_id.as_bytes(), &[0], place].concat()
}

/// An event that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub at: Cursor,
    pub ingested_ms: i64,
    pub message: String,
}

/// Events of a chunk in a group.
async fn open(cx: &mut Call, group: &LogGroupRecord, stream_id: &str, place: &[u8], chunk: Chunk) -> Result<Vec<Event>, ApiError> {
    let kept = match chunk.content {
        Content::Plain(events) => events,
        Content::Sealed { data_key, sealed } => {
            let key = encryption::open(cx, group, data_key).await?;
            serde_json::from_slice(&key.open(&bound(stream_id, place), &sealed)?)?
        }
    };
    let sequence = number(place, 8).unwrap_or_default();
    let ingested_ms = chunk.ingested_ms;
    let event = |Kept(time_ms, index, message)| Event { at: Cursor { time_ms, sequence, index }, ingested_ms, message };
    Ok(kept.into_iter().map(event).collect())
}

/// Events of a stream in one slot, in order.
pub(crate) async fn in_slot(cx: &mut Call, group: &LogGroupRecord, stream_id: &str, slot: u64) -> Result<Vec<Event>, ApiError> {
    let prefix = chunks(&cx.account, &cx.region, stream_id).last(slot.to_be_bytes());
    let mut events = Vec::new();
    for (rest, chunk) in crate::listing::rows::<Chunk>(&mut cx.tx, &prefix).await? {
        let place = [&slot.to_be_bytes()[..], &rest].concat();
        events.extend(open(cx, group, stream_id, &place, chunk).await?);
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

/// Reads a stream slot by slot.
pub(crate) struct Reader<'a> {
    group: &'a LogGroupRecord,
    stream_id: &'a str,
    direction: Direction,
    /// Slots beyond it are not read.
    last_slot: u64,
    /// Where the next rows are: behind this key, or before it.
    bound: Option<Vec<u8>>,
    rows: VecDeque<(Vec<u8>, Chunk)>,
    ended: bool,
}

impl<'a> Reader<'a> {
    /// Reads from the slot of one time to the slot of another, both with their slots.
    pub(crate) fn new(group: &'a LogGroupRecord, stream_id: &'a str, direction: Direction, (from_ms, to_ms): (i64, i64)) -> Self {
        let bound = match direction {
            Direction::Forward => slot_of(from_ms).to_be_bytes().to_vec(),
            Direction::Backward => slot_of(from_ms).saturating_add(1).to_be_bytes().to_vec(),
        };
        Self { group, stream_id, direction, last_slot: slot_of(to_ms), bound: Some(bound), rows: VecDeque::new(), ended: false }
    }

    /// Events of the next slot that has some, in the order of the direction.
    pub(crate) async fn next_slot(&mut self, cx: &mut Call) -> Result<Option<Vec<Event>>, ApiError> {
        let mut events = Vec::new();
        let mut slot = None;
        loop {
            if self.rows.is_empty() && !self.ended {
                self.fill(&mut cx.tx, &chunks(&cx.account, &cx.region, self.stream_id)).await?;
            }
            let Some((place, _)) = self.rows.front() else { break };
            let is_beyond = match self.direction {
                Direction::Forward => slot_in(place) > self.last_slot,
                Direction::Backward => slot_in(place) < self.last_slot,
            };
            if is_beyond {
                break;
            }
            if *slot.get_or_insert(slot_in(place)) != slot_in(place) {
                break;
            }
            if let Some((place, chunk)) = self.rows.pop_front() {
                events.extend(open(cx, self.group, self.stream_id, &place, chunk).await?);
            }
        }
        events.sort_by_key(|event: &Event| event.at);
        if self.direction == Direction::Backward {
            events.reverse();
        }
        Ok(slot.map(|_| events))
    }

    async fn fill(&mut self, tx: &mut Transaction, prefix: &Key) -> Result<(), ApiError> {
        let bound = self.bound.take().unwrap_or_default();
        let rows = match self.direction {
            Direction::Forward => tx.scan_from::<Chunk>(prefix, &bound, READ).await?,
            Direction::Backward => tx.scan_reverse::<Chunk>(prefix, &bound, READ).await?,
        };
        self.ended = rows.len() < READ as usize;
        self.bound = rows.last().map(|(key, _)| match self.direction {
            Direction::Forward => [key.as_ref(), &[0]].concat(),
            Direction::Backward => key.to_vec(),
        });
        self.rows.extend(rows.into_iter().map(|(key, chunk)| (key.to_vec(), chunk)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_in_the_order_of_slots_then_batches() {
        let places = [place(1, 9, 0), place(2, 1, 0), place(2, 1, 1), place(2, 2, 0), place(256, 0, 0)];
        assert!(places.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!((slot_in(&places[1]), number(&places[3], 8)), (2, Some(2)));
        assert_eq!((slot_in(&slot_place(7, "id")), stream_in(&slot_place(7, "id"))), (7, Some("id")));
    }

    #[test]
    fn slots_follow_each_other() {
        assert_eq!((slot_of(-5), slot_of(0), slot_of(9_999), slot_of(10_000)), (0, 0, 0, 1));
        assert_eq!(slot_end_ms(0), 10_000);
        assert!(slot_end_ms(u64::MAX) > 0);
    }
}
