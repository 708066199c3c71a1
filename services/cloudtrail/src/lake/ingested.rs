//! Events that came into a store from elsewhere: by import or through a channel.

use plane::{ApiError, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use store::Table;

use super::event_data_store::EventDataStore;

/// Batches read at a time.
pub(crate) const BATCHES: u32 = 64;

/// Events that came in together, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct IngestedBatch {
    pub events: Vec<Json>,
    /// Time of its newest event, so that a batch that is wholly out of retention can go.
    pub newest_ms: i64,
}

impl Record for IngestedBatch {
    const TABLE: Table = Table("cloudtrail-lake-event");
    const SCOPE: Scope = Scope::Region;
}

pub(crate) fn batches(store: &EventDataStore) -> Key {
    Key::new(&store.account, &store.region).then(&store.id)
}

/// Adds a batch; the store's record, which counts them, is written too.
pub(crate) fn add(tx: &mut Transaction, store: &mut EventDataStore, batch: &IngestedBatch) -> Result<(), ApiError> {
    tx.put(&batches(store).last(store.next_batch.to_be_bytes()), batch)?;
    store.next_batch = store.next_batch.saturating_add(1);
    store.put(tx)
}

/// Batches from this number on, and the number behind the last one that was given.
pub(crate) async fn from(tx: &mut Transaction, store: &EventDataStore, first: u64) -> Result<(Vec<IngestedBatch>, u64), ApiError> {
    let rows = tx.scan_from::<IngestedBatch>(&batches(store), &first.to_be_bytes(), BATCHES).await?;
    let mut next = first;
    let mut found = Vec::with_capacity(rows.len());
    for (key, batch) in rows {
        let number = <[u8; 8]>::try_from(key.as_ref()).map_or(next, u64::from_be_bytes);
        next = number.saturating_add(1);
        found.push(batch);
    }
    Ok((found, next))
}
