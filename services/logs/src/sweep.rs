//! Background work: events whose retention is over, and what deleted groups and streams left behind.

use std::sync::Arc;

use plane::transaction::Abort;
use plane::{ApiError, Key, Plane, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::chunk::{self, Chunk, SlotUse};
use crate::listing;
use crate::log_group::{self, GroupLocation, LogGroupRecord};
use crate::log_stream::{self, LogStreamRecord};

/// Rows that one transaction deletes, about.
const ROWS: u32 = 500;
/// Transactions for one group in one round; the rest waits for the next.
const ROUNDS: usize = 200;

/// A group or a stream that is deleted, with rows that are not yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Doomed {
    pub account: String,
    pub group_id: String,
    pub stream_id: Option<String>,
}

impl Record for Doomed {
    const TABLE: Table = Table("logs-doomed");
    const SCOPE: Scope = Scope::Region;
}

impl Doomed {
    pub(crate) fn key(region: &str, id: &str) -> Key {
        Key::new("", region).last(id)
    }
}

async fn settle(tx: Transaction) -> Result<(), ApiError> {
    match tx.commit(Vec::new()).await {
        // Somebody else was faster; the next round sees what is left.
        Ok(()) | Err(Abort::Conflict) => Ok(()),
        Err(Abort::Failed(error)) => Err(error),
    }
}

/// Removes what nobody can read any more; gives how many rows.
///
/// # Errors
/// When the store cannot answer.
pub async fn sweep(plane: &Arc<Plane>, position: usize) -> Result<usize, ApiError> {
    let region = plane.regions.at(position)?.name.clone();
    let mut count = 0;
    let doomed = listing::rows::<Doomed>(&mut plane.transaction(position), &Key::new("", &region)).await?;
    for (id, doomed) in doomed {
        count += bury(plane, position, &region, &id, &doomed).await?;
    }
    let groups = listing::all::<GroupLocation>(&mut plane.transaction(position), &Key::new("", &region)).await?;
    for location in groups {
        for _ in 0..ROUNDS {
            let removed = expire(plane, position, &region, &location).await?;
            count += removed;
            if removed == 0 {
                break;
            }
        }
    }
    Ok(count)
}

/// Removes chunks and slot rows of a stream; `true` when nothing is left.
async fn bury_stream(
    plane: &Arc<Plane>,
    position: usize,
    (account, region): (&str, &str),
    (group_id, stream_id): (&str, &str),
    count: &mut usize,
) -> Result<bool, ApiError> {
    for _ in 0..ROUNDS {
        let mut tx = plane.transaction(position);
        let prefix = chunk::chunks(account, region, stream_id);
        let rows = tx.scan::<Chunk>(&prefix, None, ROWS).await?;
        if rows.is_empty() {
            return Ok(true);
        }
        for (place, _) in &rows {
            tx.delete::<Chunk>(&prefix.clone().last(place));
            let slot = chunk::slot_place(chunk::slot_in(place), stream_id);
            tx.delete::<SlotUse>(&chunk::slots(account, region, group_id).last(slot));
        }
        *count += rows.len();
        settle(tx).await?;
    }
    Ok(false)
}

async fn bury(plane: &Arc<Plane>, position: usize, region: &str, id: &[u8], doomed: &Doomed) -> Result<usize, ApiError> {
    let place = (doomed.account.as_str(), region);
    let mut count = 0;
    let mut done = true;
    if let Some(stream_id) = &doomed.stream_id {
        done = bury_stream(plane, position, place, (&doomed.group_id, stream_id), &mut count).await?;
    } else {
        let prefix = log_stream::prefix(&doomed.account, region, &doomed.group_id);
        let streams = plane.transaction(position).scan::<LogStreamRecord>(&prefix, None, ROWS).await?;
        done &= streams.len() < ROWS as usize;
        for (key, stream) in streams {
            if !bury_stream(plane, position, place, (&doomed.group_id, &stream.id), &mut count).await? {
                done = false;
                continue;
            }
            let mut tx = plane.transaction(position);
            tx.delete::<LogStreamRecord>(&prefix.clone().last(&key));
            settle(tx).await?;
        }
    }
    if done {
        let mut tx = plane.transaction(position);
        tx.delete::<Doomed>(&Key::new("", region).last(id));
        settle(tx).await?;
    }
    Ok(count)
}

/// Removes chunks whose slots are over; gives how many.
async fn expire(plane: &Arc<Plane>, position: usize, region: &str, location: &GroupLocation) -> Result<usize, ApiError> {
    let mut tx = plane.transaction(position);
    let account = location.account.as_str();
    let Some(group) = log_group::find(&mut tx, account, region, &location.name).await? else { return Ok(0) };
    let kept_since_ms = group.kept_since_ms(plane.now().0);
    let prefix = chunk::slots(account, region, &group.id);
    let slots = if group.retention_days.is_some() { tx.scan::<SlotUse>(&prefix, None, ROWS).await? } else { Vec::new() };
    let over: Vec<_> = slots.iter().filter(|(place, _)| chunk::slot_end_ms(chunk::slot_in(place)) <= kept_since_ms).collect();
    if over.is_empty() {
        return Ok(0);
    }
    let mut streams = streams_by_id(&mut tx, account, region, &group).await?;
    let mut count = 0;
    for (place, _) in over {
        tx.delete::<SlotUse>(&prefix.clone().last(place));
        let Some(stream_id) = chunk::stream_in(place) else { continue };
        let inside = chunk::chunks(account, region, stream_id).last(chunk::slot_in(place).to_be_bytes());
        for (rest, chunk) in listing::rows::<Chunk>(&mut tx, &inside).await? {
            tx.delete::<Chunk>(&inside.clone().last(rest));
            count += 1;
            if let Some(stream) = streams.get_mut(stream_id) {
                stream.stored_bytes = stream.stored_bytes.saturating_sub(chunk.stored_bytes);
                stream.first_ms = stream.first_ms.map(|first| first.max(kept_since_ms)).filter(|first| Some(*first) <= stream.last_ms);
                tx.put(&log_stream::key(account, region, &group.id, &stream.name), stream)?;
            }
        }
    }
    settle(tx).await?;
    // A slot row whose stream is gone counts, too: the next call must look behind it.
    Ok(count.max(1))
}

async fn streams_by_id(
    tx: &mut Transaction,
    account: &str,
    region: &str,
    group: &LogGroupRecord,
) -> Result<std::collections::BTreeMap<String, LogStreamRecord>, ApiError> {
    let streams = listing::all::<LogStreamRecord>(tx, &log_stream::prefix(account, region, &group.id)).await?;
    Ok(streams.into_iter().map(|stream| (stream.id.clone(), stream)).collect())
}
