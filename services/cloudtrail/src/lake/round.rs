//! Background work of CloudTrail Lake in one region: queries that were left open, imports, dashboards that are due, stores and answers whose
//! time is over.

use std::sync::Arc;

use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Key, Plane};

use super::event_data_store::{EventDataStore, RESTORABLE_MS, Status};
use super::ingested::{self, IngestedBatch};
use super::query::{Chunk, KEPT_MS, OpenQuery, Query, open_queries};
use super::{dashboard_refresh, import_run, query_run, resource_policy};
use crate::delivery::settle;

/// Rows that one round takes away of each kind.
const SWEEP_ROWS: u32 = 1_000;

/// Does what is due. Each piece is a transaction of its own.
pub async fn lake_round(plane: &Arc<Plane>, position: usize) -> Result<(), ApiError> {
    let region = plane.regions.at(position)?.name.clone();
    let mut tx = plane.transaction(position);
    for (_, open) in tx.scan::<OpenQuery>(&open_queries(&region), None, SCAN_LIMIT).await? {
        query_run::start(plane, &region, &open.account, &open.id);
    }
    import_run::resume(plane, position, &region).await?;
    dashboard_refresh::refresh_due(plane, position, &region).await?;
    sweep(plane, position, &region).await
}

/// Accounts that have something of Lake in the region.
pub(crate) async fn accounts(plane: &Arc<Plane>, position: usize, region: &str) -> Result<Vec<String>, ApiError> {
    let mut tx = plane.transaction(position);
    let rows = tx.scan::<LakeAccount>(&Key::new("", region), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, account)| account.account).collect())
}

/// Says that an account has something of Lake in a region.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct LakeAccount {
    pub account: String,
}

impl plane::Record for LakeAccount {
    const TABLE: store::Table = store::Table("cloudtrail-lake-account");
    const SCOPE: plane::Scope = plane::Scope::Region;
}

/// Notes that the caller's account has something of Lake here.
pub(crate) async fn note_account(cx: &mut plane::Call) -> Result<(), ApiError> {
    let key = Key::new("", &cx.region).last(&cx.account);
    let record = LakeAccount { account: cx.account.clone() };
    cx.tx.insert(&key, &record).await.map(|_| ())
}

async fn sweep(plane: &Arc<Plane>, position: usize, region: &str) -> Result<(), ApiError> {
    let now_ms = plane.clock.now_ms();
    for account in accounts(plane, position, region).await? {
        let mut tx = plane.transaction(position);
        let stores = tx.scan::<EventDataStore>(&Key::new(&account, region), None, SCAN_LIMIT).await?;
        for (_, store) in stores {
            let is_over = store.status == Status::PendingDeletion
                && store.deleted_ms.is_some_and(|deleted_ms| deleted_ms.saturating_add(RESTORABLE_MS) <= now_ms);
            sweep_store(plane, position, &store, if is_over { i64::MAX } else { store.oldest_ms(now_ms) }, is_over).await?;
        }
        sweep_queries(plane, position, &account, region, now_ms).await?;
    }
    Ok(())
}

/// Takes away batches whose events are all older than this, and the store itself when it is over and empty.
async fn sweep_store(plane: &Arc<Plane>, position: usize, store: &EventDataStore, before_ms: i64, is_over: bool) -> Result<(), ApiError> {
    let mut tx = plane.transaction(position);
    let batches = tx.scan::<IngestedBatch>(&ingested::batches(store), None, SWEEP_ROWS).await?;
    for (key, _) in batches.iter().filter(|(_, batch)| batch.newest_ms < before_ms) {
        tx.delete::<IngestedBatch>(&ingested::batches(store).last(key));
    }
    if is_over && batches.len() < SWEEP_ROWS as usize {
        tx.delete::<EventDataStore>(&EventDataStore::key(&store.account, &store.region, &store.id));
        resource_policy::forget(&mut tx, &store.arn());
    }
    settle(tx).await.map(|_| ())
}

async fn sweep_queries(plane: &Arc<Plane>, position: usize, account: &str, region: &str, now_ms: i64) -> Result<(), ApiError> {
    let mut tx = plane.transaction(position);
    let queries = tx.scan::<Query>(&Key::new(account, region), None, SCAN_LIMIT).await?;
    let over = queries
        .into_iter()
        .map(|(_, query)| query)
        .filter(|query| !query.state.is_open() && query.created_ms.saturating_add(KEPT_MS) <= now_ms);
    for query in over {
        let mut tx = plane.transaction(position);
        for (key, _) in tx.scan::<Chunk>(&query.chunks(), None, SWEEP_ROWS).await? {
            tx.delete::<Chunk>(&query.chunks().last(key));
        }
        tx.delete::<Query>(&Query::key(account, region, &query.id));
        settle(tx).await?;
    }
    Ok(())
}
