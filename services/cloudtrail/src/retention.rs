//! Retention of the server's own log: what no trail, no event data store and no export needs any more, and is older than the server keeps events,
//! is taken out of the log. The hashes stay ([`trail::Ledger::prune`] says exactly what), so proofs hold.
//!
//! A log is pruned from its beginning: one store that keeps events for ten years keeps those of every account. It happens once a day, and each
//! time that something went the trail says so.

use std::sync::Arc;

use ::store::{Revision, Table};
use plane::audit::ServiceEvent;
use plane::clock::iso8601_s;
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Key, Plane, Record, Scope};
use serde::{Deserialize, Serialize};

use crate::delivery::{Delivery, settle};
use crate::lake::event_data_store::{self, Content};
use crate::lake::round;
use crate::log_group_delivery::LogGroupDelivery;
use crate::trail;

const DAY_MS: i64 = 24 * 3_600_000;

/// When a region's log was last pruned.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct LastPruning {
    at_ms: i64,
}

impl Record for LastPruning {
    const TABLE: Table = Table("cloudtrail-last-pruning");
    const SCOPE: Scope = Scope::Region;
}

/// How long the log's events are held in compliance mode: a promise that later starts of the server are bound by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HeldRetention {
    /// `None`: for ever.
    keep_days: Option<i64>,
}

impl Record for HeldRetention {
    const TABLE: Table = Table("cloudtrail-held-retention");
    const SCOPE: Scope = Scope::Home;
}

/// Whether events that are kept so long are kept as long as was promised.
fn keeps(keep_days: Option<i64>, held_days: Option<i64>) -> bool {
    keep_days.is_none_or(|keep| held_days.is_some_and(|held| keep >= held))
}

/// Checks the setting of a start against what earlier ones promised, and, with `compliance`, promises it from now on.
/// `keep_days`: how long events stay in the log, if not for ever.
///
/// # Errors
/// When the setting is shorter than what is held.
pub async fn hold(plane: &Arc<Plane>, keep_days: Option<i64>, compliance: bool) -> Result<(), ApiError> {
    let key = Key::shared().last("log");
    let mut tx = plane.transaction(0);
    let held = tx.get::<HeldRetention>(&key).await?;
    if let Some(HeldRetention { keep_days: held_days }) = &held
        && !keeps(keep_days, *held_days)
    {
        let held = held_days.map_or("for ever".to_owned(), |days| format!("for {days} days"));
        return Err(ApiError::new(
            "InvalidAuditRetention",
            format!("the log's events are held in compliance mode {held}: `audit_retention` may be longer, and not shorter"),
        ));
    }
    let promise = HeldRetention { keep_days };
    if !compliance || held.as_ref() == Some(&promise) {
        return Ok(());
    }
    tx.put(&key, &promise)?;
    // Another node that starts at the same time promises the same, or something else that this one must be checked against.
    if settle(tx).await? { Ok(()) } else { Err(ApiError::internal(&"another node sets the log's retention")) }
}

/// Prunes a region's log of events that are older than so many days, unless that was done today. `exported_to`: the last log row that an export
/// has taken, if there is one. Gives the rows that went.
pub async fn prune(plane: &Arc<Plane>, position: usize, keep_days: i64, exported_to: Option<u64>) -> Result<u64, ApiError> {
    let region = plane.regions.at(position)?.name.clone();
    let now_ms = plane.clock.now_ms();
    let key = Key::new("", &region);
    let mut tx = plane.transaction(position);
    let last = tx.get::<LastPruning>(&key).await?.unwrap_or_default();
    if now_ms.saturating_sub(last.at_ms) < DAY_MS {
        return Ok(0);
    }
    tx.put(&key, &LastPruning { at_ms: now_ms })?;
    if !settle(tx).await? {
        return Ok(0);
    }
    let before_ms = oldest_needed_ms(plane, &region, now_ms.saturating_sub(keep_days.saturating_mul(DAY_MS))).await?;
    let keep_from = first_needed(plane, position, &region, exported_to).await?;
    let pruned = plane.ledger(position)?.prune(before_ms, keep_from).await.map_err(|error| ApiError::internal(&error))?;
    if pruned.rows > 0 {
        tell(plane, region, now_ms, before_ms, pruned.first_leaf).await?;
    }
    Ok(pruned.rows)
}

/// Events from this time on are needed: by the server's own retention, or by a store's.
async fn oldest_needed_ms(plane: &Arc<Plane>, region: &str, own_ms: i64) -> Result<i64, ApiError> {
    let now_ms = plane.clock.now_ms();
    let mut oldest_ms = own_ms;
    for (position, place) in plane.regions.iter().enumerate() {
        for account in round::accounts(plane, position, &place.name).await? {
            let mut tx = plane.transaction(position);
            let stores = event_data_store::of_account(&mut tx, &account, &place.name).await?;
            let follows = |store: &event_data_store::EventDataStore| {
                matches!(store.content, Content::Events(_)) && (store.multi_region || store.region == region)
            };
            for store in stores.iter().filter(|store| follows(store)) {
                let Some(first) = store.periods.first() else { continue };
                oldest_ms = oldest_ms.min(store.oldest_ms(now_ms).max(first.start_ms));
            }
        }
    }
    Ok(oldest_ms)
}

/// The first log row that something still has to read.
async fn first_needed(plane: &Arc<Plane>, position: usize, region: &str, exported_to: Option<u64>) -> Result<Revision, ApiError> {
    let mut read_to = exported_to.unwrap_or(u64::MAX);
    let mut tx = plane.transaction(position);
    for (_, delivery) in tx.scan::<Delivery>(&Key::new("", region), None, SCAN_LIMIT).await? {
        read_to = read_to.min(delivery.cursor);
    }
    let mut home = plane.transaction(0);
    let mut groups = Vec::new();
    for trail in trail::all(&mut home).await?.into_iter().filter(|trail| trail.covers(region) && !trail.periods.is_empty()) {
        // A trail whose delivery has not begun begins with what the log has.
        if tx.get::<Delivery>(&Delivery::key(region, &trail.id)).await?.is_none() {
            read_to = 0;
        }
        groups.extend(trail.log_group);
    }
    for (_, delivery) in tx.scan::<LogGroupDelivery>(&Key::new("", region), None, SCAN_LIMIT).await? {
        read_to = read_to.min(delivery.read_to(&groups).unwrap_or(u64::MAX));
    }
    Ok(Revision(read_to.saturating_add(1)))
}

async fn tell(plane: &Arc<Plane>, region: String, now_ms: i64, before_ms: i64, first_leaf: u64) -> Result<(), ApiError> {
    let (position, entry) = plane.service_event(ServiceEvent {
        source: "bailiwick.internal",
        actor: "bailiwick.internal",
        name: "PruneAuditLog",
        account: plane.home_account().to_owned(),
        region,
        now_ms,
        additional: None,
        details: Some(serde_json::json!({ "eventsBefore": iso8601_s(before_ms), "firstLeafKept": first_leaf })),
        resources: Vec::new(),
    })?;
    let recorder = &plane.regions.at(position)?.recorder;
    recorder.record(entry).await.map_err(|error| ApiError::unrecordable(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_may_grow() {
        assert!(keeps(Some(366), Some(366)) && keeps(Some(367), Some(366)) && keeps(None, Some(366)) && keeps(None, None));
        assert!(!keeps(Some(365), Some(366)) && !keeps(Some(9999), None));
    }
}
