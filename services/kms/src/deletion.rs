//! Deletion of keys: scheduled, waited for, then done for good.

use std::sync::Arc;

use api_kms::{CancelKeyDeletionInput, CancelKeyDeletionOutput, ScheduleKeyDeletionInput, ScheduleKeyDeletionOutput};
use plane::{ApiError, Call, Plane, Transaction};
use serde_json::json;
use wire::Timestamp;

use crate::alias::Alias;
use crate::error::KmsError;
use crate::key::{KeyLocation, KmsKey, location};
use crate::key_state::KeyState;
use crate::rotation::{DAY_MS, all_keys};
use crate::service_event::{self, ServiceEvent};
use crate::{grant, material, resolve};

/// Days of waiting: the least, the most, and what is taken when the caller does not say.
const WINDOW_DAYS_MIN: i32 = 7;
const WINDOW_DAYS_MAX: i32 = 30;
pub(crate) const WINDOW_DAYS_DEFAULT: i32 = 30;

/// Whether the waiting time of a key is over: nobody sees the key any more, even before it is deleted.
pub(crate) fn is_due(key: &KmsKey, now_ms: i64) -> bool {
    key.state == KeyState::PendingDeletion && key.deletion_ms.is_some_and(|deletion_ms| deletion_ms <= now_ms)
}

pub(crate) async fn schedule_key_deletion(cx: &mut Call, input: ScheduleKeyDeletionInput) -> Result<ScheduleKeyDeletionOutput, ApiError> {
    let window_days = input.pending_window_in_days.unwrap_or(WINDOW_DAYS_DEFAULT);
    if !(WINDOW_DAYS_MIN..=WINDOW_DAYS_MAX).contains(&window_days) {
        return Err(KmsError::Validation(format!("PendingWindowInDays must be between {WINDOW_DAYS_MIN} and {WINDOW_DAYS_MAX}")).into());
    }
    let mut key = resolve::key_to_change(cx, &input.key_id).await?;
    let deletion_ms = cx.now.0.saturating_add(i64::from(window_days) * DAY_MS);
    key.state = KeyState::PendingDeletion;
    key.deletion_ms = Some(deletion_ms);
    key.put(&mut cx.tx, &cx.region)?;
    Ok(ScheduleKeyDeletionOutput {
        key_id: Some(key.arn(&cx.region)),
        deletion_date: Some(Timestamp(deletion_ms)),
        key_state: Some(key.state.name().into()),
        pending_window_in_days: Some(window_days),
    })
}

pub(crate) async fn cancel_key_deletion(cx: &mut Call, input: CancelKeyDeletionInput) -> Result<CancelKeyDeletionOutput, ApiError> {
    let mut key = resolve::key_to_change(cx, &input.key_id).await?;
    // A rescued key is not used again before somebody enables it.
    key.state = KeyState::Disabled;
    key.deletion_ms = None;
    key.put(&mut cx.tx, &cx.region)?;
    Ok(CancelKeyDeletionOutput { key_id: Some(key.arn(&cx.region)) })
}

/// Deletes a key whose time is over, met by a call: in a commit of its own, because the call itself fails for the missing key.
pub(crate) async fn delete_now(cx: &Call, key: &KmsKey) -> Result<(), ApiError> {
    delete_if_due(&cx.plane, &cx.region, &key.account, &key.id, cx.now.0).await.map(|_| ())
}

async fn delete_if_due(plane: &Arc<Plane>, region: &str, account: &str, key_id: &str, now_ms: i64) -> Result<bool, ApiError> {
    let position = service_event::position(plane, region)?;
    let mut tx = plane.transaction(position);
    let Some(key) = tx.get::<KmsKey>(&KmsKey::place(account, region, key_id)).await? else { return Ok(false) };
    if !is_due(&key, now_ms) {
        return Ok(false);
    }
    delete(&mut tx, region, &key).await?;
    let event = ServiceEvent { name: "DeleteKey", key: &key, region, now_ms, details: json!({ "keyId": key.id }) };
    service_event::commit(plane, tx, position, event).await
}

/// The key with its material, aliases and grants.
async fn delete(tx: &mut Transaction, region: &str, key: &KmsKey) -> Result<(), ApiError> {
    material::delete(tx, region, key);
    for grant in grant::of_key(tx, region, key).await? {
        grant.delete(tx, region);
    }
    for alias in &key.aliases {
        tx.delete::<Alias>(&Alias::place(&key.account, region, alias));
    }
    tx.delete::<KeyLocation>(&location(region, &key.id));
    tx.delete::<KmsKey>(&KmsKey::place(&key.account, region, &key.id));
    Ok(())
}

/// Deletes every key of a region whose waiting time is over. For a periodic job; such keys cannot be used before it runs either.
/// Gives how many it deleted.
///
/// # Errors
/// When the store cannot answer.
pub async fn delete_due(plane: &Arc<Plane>, region: &str) -> Result<u64, ApiError> {
    let now_ms = plane.clock.now_ms();
    let mut count = 0;
    for (key_id, account) in all_keys(plane, region).await? {
        count += u64::from(delete_if_due(plane, region, &account, &key_id, now_ms).await?);
    }
    Ok(count)
}
