//! Rotation: new material for the same key. Old material stays and decrypts what it encrypted.

use std::sync::Arc;

use api_kms::{
    DisableKeyRotationInput, DisableKeyRotationOutput, EnableKeyRotationInput, EnableKeyRotationOutput, GetKeyRotationStatusInput,
    GetKeyRotationStatusOutput, ListKeyRotationsInput, ListKeyRotationsOutput, RotateKeyOnDemandInput, RotateKeyOnDemandOutput,
    RotationsListEntry,
};
use plane::{ApiError, Call, Key, Plane};
use serde::{Deserialize, Serialize};
use serde_json::json;
use wire::Timestamp;

use crate::error::{KmsError, of_page};
use crate::key::{KeyLocation, KmsKey};
use crate::key_state::KeyState;
use crate::service_event::{self, ServiceEvent};
use crate::{material, resolve, scan};

pub(crate) const DAY_MS: i64 = 24 * 3600 * 1000;
/// Days between rotations when the caller does not say.
pub(crate) const DEFAULT_PERIOD_DAYS: i32 = 365;
/// Rotations on demand that a key gets in its life.
const ON_DEMAND_LIMIT: u32 = 25;
/// Items of a page when the caller does not say.
const LIST_DEFAULT: i32 = 100;

/// One material of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MaterialEntry {
    /// 64 hexadecimal digits.
    pub id: String,
    pub created_ms: i64,
    /// `None`: the first material.
    pub rotated_by: Option<RotatedBy>,
}

/// Why there is a newer material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RotatedBy {
    #[serde(rename = "AUTOMATIC")]
    Clock,
    #[serde(rename = "ON_DEMAND")]
    Demand,
}

/// The rotation schedule of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rotation {
    pub enabled: bool,
    /// Kept after rotation was disabled, without effect.
    pub period_days: i32,
    /// When rotation was enabled or the clock last rotated: the period counts from here.
    pub counted_from_ms: i64,
    pub on_demand_count: u32,
}

impl Rotation {
    /// Enables rotation, or changes its period: a running period keeps its beginning.
    pub(crate) fn enable(&mut self, period_days: i32, now_ms: i64) {
        if !self.enabled {
            self.counted_from_ms = now_ms;
        }
        self.enabled = true;
        self.period_days = period_days;
    }

    /// When the clock rotates next.
    pub(crate) fn next_ms(&self) -> Option<i64> {
        self.enabled.then(|| self.counted_from_ms.saturating_add(i64::from(self.period_days).saturating_mul(DAY_MS)))
    }
}

/// Whether the clock has to rotate the key: an enabled key whose period is over. Other keys wait until they are enabled again.
pub(crate) fn is_due(key: &KmsKey, now_ms: i64) -> bool {
    key.state == KeyState::Enabled && key.rotation.next_ms().is_some_and(|next_ms| next_ms <= now_ms)
}

/// Rotates a key that is due, in a commit of its own with its event. `Ok(false)`: there was nothing to do, or somebody else did it.
pub(crate) async fn rotate_if_due(plane: &Arc<Plane>, region: &str, account: &str, key_id: &str, now_ms: i64) -> Result<bool, ApiError> {
    let position = service_event::position(plane, region)?;
    let mut tx = plane.transaction(position);
    let Some(mut key) = tx.get::<KmsKey>(&KmsKey::place(account, region, key_id)).await? else { return Ok(false) };
    if !is_due(&key, now_ms) {
        return Ok(false);
    }
    let id = material::generate(plane, &mut tx, region, &key)?;
    key.materials.push(MaterialEntry { id, created_ms: now_ms, rotated_by: Some(RotatedBy::Clock) });
    key.rotation.counted_from_ms = now_ms;
    key.put(&mut tx, region)?;
    let details = json!({ "rotationType": "AUTOMATIC", "keyOrigin": "AWS_KMS", "keyId": key.id });
    let event = ServiceEvent { name: "RotateKey", key: &key, region, now_ms, details };
    service_event::commit(plane, tx, position, event).await
}

/// Rotates every key of a region whose period is over. For a periodic job; keys in use do not wait for it. Gives how many it rotated.
///
/// # Errors
/// When the store cannot answer.
pub async fn rotate_due(plane: &Arc<Plane>, region: &str) -> Result<u64, ApiError> {
    let now_ms = plane.clock.now_ms();
    let mut count = 0;
    for (key_id, account) in all_keys(plane, region).await? {
        count += u64::from(rotate_if_due(plane, region, &account, &key_id, now_ms).await?);
    }
    Ok(count)
}

/// Id and account of every key of a region.
pub(crate) async fn all_keys(plane: &Arc<Plane>, region: &str) -> Result<Vec<(String, String)>, ApiError> {
    let mut keys = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let mut tx = plane.transaction(service_event::position(plane, region)?);
        let rows = tx.scan::<KeyLocation>(&Key::new("", region), after.as_deref(), plane::transaction::SCAN_LIMIT).await?;
        let Some((last, _)) = rows.last() else { return Ok(keys) };
        after = Some(last.to_vec());
        keys.extend(rows.iter().map(|(id, location)| (String::from_utf8_lossy(id).into_owned(), location.account.clone())));
    }
}

/// A key that can rotate, in a state in which the operation works.
async fn rotating_key(cx: &mut Call, key_id: &str) -> Result<KmsKey, ApiError> {
    let key = resolve::key_to_change(cx, key_id).await?;
    check_spec(&key, &cx.region)?;
    Ok(key)
}

fn check_spec(key: &KmsKey, region: &str) -> Result<(), KmsError> {
    if key.spec.is_symmetric_encryption() {
        return Ok(());
    }
    Err(KmsError::Unsupported(format!("{} key spec is {} which is not valid for this operation.", key.arn(region), key.spec.name())))
}

pub(crate) async fn enable_key_rotation(cx: &mut Call, input: EnableKeyRotationInput) -> Result<EnableKeyRotationOutput, ApiError> {
    let mut key = rotating_key(cx, &input.key_id).await?;
    key.rotation.enable(input.rotation_period_in_days.unwrap_or(DEFAULT_PERIOD_DAYS), cx.now.0);
    key.put(&mut cx.tx, &cx.region)?;
    Ok(EnableKeyRotationOutput {})
}

pub(crate) async fn disable_key_rotation(cx: &mut Call, input: DisableKeyRotationInput) -> Result<DisableKeyRotationOutput, ApiError> {
    let mut key = rotating_key(cx, &input.key_id).await?;
    key.rotation.enabled = false;
    key.put(&mut cx.tx, &cx.region)?;
    Ok(DisableKeyRotationOutput {})
}

pub(crate) async fn get_key_rotation_status(
    cx: &mut Call,
    input: GetKeyRotationStatusInput,
) -> Result<GetKeyRotationStatusOutput, ApiError> {
    let key = resolve::key(cx, &input.key_id).await?;
    check_spec(&key, &cx.region)?;
    // A key that waits for its deletion does not rotate; its schedule comes back when the deletion is cancelled.
    let enabled = key.rotation.enabled && key.state != KeyState::PendingDeletion;
    Ok(GetKeyRotationStatusOutput {
        key_rotation_enabled: Some(enabled),
        key_id: Some(key.id.clone()),
        rotation_period_in_days: enabled.then_some(key.rotation.period_days),
        next_rotation_date: key.rotation.next_ms().filter(|_| enabled).map(Timestamp),
        on_demand_rotation_start_date: None,
    })
}

pub(crate) async fn rotate_key_on_demand(cx: &mut Call, input: RotateKeyOnDemandInput) -> Result<RotateKeyOnDemandOutput, ApiError> {
    let region = cx.region.clone();
    let mut key = rotating_key(cx, &input.key_id).await?;
    if key.rotation.on_demand_count >= ON_DEMAND_LIMIT {
        return Err(KmsError::Limit(format!(
            "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this key: {}",
            key.arn(&region)
        ))
        .into());
    }
    let id = material::generate(&cx.plane, &mut cx.tx, &region, &key)?;
    key.materials.push(MaterialEntry { id, created_ms: cx.now.0, rotated_by: Some(RotatedBy::Demand) });
    key.rotation.on_demand_count += 1;
    key.put(&mut cx.tx, &region)?;
    Ok(RotateKeyOnDemandOutput { key_id: Some(key.id) })
}

pub(crate) async fn list_key_rotations(cx: &mut Call, input: ListKeyRotationsInput) -> Result<ListKeyRotationsOutput, ApiError> {
    let key = resolve::key(cx, &input.key_id).await?;
    check_spec(&key, &cx.region)?;
    let with_first = input.include_key_material.is_some_and(|include| include.as_str() == "ALL_KEY_MATERIAL");
    let current = key.materials.len().saturating_sub(1);
    let entries: Vec<(usize, RotationsListEntry)> = key
        .materials
        .iter()
        .enumerate()
        .filter(|(_, material)| with_first || material.rotated_by.is_some())
        .map(|(at, material)| (at, entry(&key.id, material, at == current)))
        .collect();
    let filter = format!("{} {with_first}", key.id);
    let page = cx
        .page(entries, |(at, _)| format!("{at:010}"), &filter, input.marker.as_deref(), scan::limit(input.limit, LIST_DEFAULT))
        .map_err(of_page)?;
    let rotations = page.items.into_iter().map(|(_, entry)| entry).collect();
    Ok(ListKeyRotationsOutput { rotations: Some(rotations), truncated: Some(page.next.is_some()), next_marker: page.next })
}

fn entry(key_id: &str, material: &MaterialEntry, is_current: bool) -> RotationsListEntry {
    RotationsListEntry {
        key_id: Some(key_id.to_owned()),
        key_material_id: Some(material.id.clone()),
        key_material_state: Some(if is_current { "CURRENT" } else { "NON_CURRENT" }.into()),
        rotation_date: material.rotated_by.map(|_| Timestamp(material.created_ms)),
        rotation_type: material.rotated_by.map(|by| {
            match by {
                RotatedBy::Clock => "AUTOMATIC",
                RotatedBy::Demand => "ON_DEMAND",
            }
            .into()
        }),
        ..RotationsListEntry::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_counts_from_enabling_and_keeps_its_beginning() {
        let mut rotation = Rotation::default();
        assert_eq!(rotation.next_ms(), None);
        rotation.enable(90, 1_000);
        assert_eq!(rotation.next_ms(), Some(1_000 + 90 * DAY_MS));
        rotation.enable(100, 50 * DAY_MS);
        assert_eq!(rotation.next_ms(), Some(1_000 + 100 * DAY_MS));
        rotation.enabled = false;
        assert_eq!(rotation.next_ms(), None);
        rotation.enable(90, 60 * DAY_MS);
        assert_eq!(rotation.next_ms(), Some(150 * DAY_MS));
    }
}
