//! Finds and deletes bytes that nothing uses: of deleted and overwritten objects, and those that a crash left between vault and record.
//!
//! Two steps with time between them: a blob without a record is first noted as unused, and deleted when it is still unused after
//! [`UNUSED_MS`]. So a read under way ends well, and a write whose record is about to be committed loses nothing.

use futures_util::TryStreamExt as _;
use objects::ObjectName;
use plane::transaction::{Abort, SCAN_LIMIT, Transaction};
use plane::{ApiError, Plane};

use crate::record::{UnusedBlob, UsedBlob};

/// How long a blob must be unused before it is deleted.
pub const UNUSED_MS: i64 = 60 * 60 * 1000;
/// Notes written in one transaction.
const BATCH: usize = 500;

/// What one sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    pub noted: u64,
    pub deleted: u64,
}

/// Sweeps a region (by its position). To be run from time to time by one node; running it twice at once does no harm.
pub async fn sweep_orphans(plane: &Plane, region: usize) -> Result<Swept, ApiError> {
    let deleted = delete_unused(plane, region).await?;
    let noted = note_unknown(plane, region).await?;
    Ok(Swept { noted, deleted })
}

async fn delete_unused(plane: &Plane, region: usize) -> Result<u64, ApiError> {
    let state = plane.regions.at(region)?;
    let now_ms = plane.clock.now_ms();
    let mut deleted = 0;
    let mut after: Option<bytes::Bytes> = None;
    loop {
        let mut tx = plane.transaction(region);
        let rows = tx.scan::<UnusedBlob>(&UnusedBlob::prefix(&state.name), after.as_deref(), SCAN_LIMIT).await?;
        after = rows.last().map(|(blob, _)| blob.clone());
        let is_last = rows.len() < SCAN_LIMIT as usize;
        for (blob, unused) in rows {
            let blob = String::from_utf8_lossy(&blob).into_owned();
            if now_ms.saturating_sub(unused.since_ms) < UNUSED_MS {
                continue;
            }
            let mut tx = plane.transaction(region);
            if tx.get::<UsedBlob>(&UsedBlob::key(&state.name, &blob)).await?.is_none() {
                let name = ObjectName::parse(&blob).map_err(|error| ApiError::internal(&error))?;
                state.vault.delete(&name).await.map_err(|error| ApiError::internal(&error))?;
                deleted += 1;
            }
            tx.delete::<UnusedBlob>(&UnusedBlob::key(&state.name, &blob));
            commit(tx).await?;
        }
        if is_last {
            return Ok(deleted);
        }
    }
}

async fn note_unknown(plane: &Plane, region: usize) -> Result<u64, ApiError> {
    let state = plane.regions.at(region)?;
    let now_ms = plane.clock.now_ms();
    let mut listed = state.vault.list();
    let mut noted = 0;
    let mut tx = plane.transaction(region);
    let mut in_batch = 0;
    while let Some(found) = listed.try_next().await.map_err(|error| ApiError::internal(&error))? {
        let blob = found.name.as_str();
        let unused = UnusedBlob::key(&state.name, blob);
        if tx.get::<UsedBlob>(&UsedBlob::key(&state.name, blob)).await?.is_some() || tx.get::<UnusedBlob>(&unused).await?.is_some() {
            continue;
        }
        tx.put(&unused, &UnusedBlob { since_ms: now_ms })?;
        noted += 1;
        in_batch += 1;
        if in_batch == BATCH {
            commit(std::mem::replace(&mut tx, plane.transaction(region))).await?;
            in_batch = 0;
        }
    }
    if in_batch > 0 {
        commit(tx).await?;
    }
    Ok(noted)
}

/// A conflict means that somebody else did something with the blob: the next sweep looks again.
async fn commit(tx: Transaction) -> Result<(), ApiError> {
    match tx.commit(Vec::new()).await {
        Ok(()) | Err(Abort::Conflict) => Ok(()),
        Err(Abort::Failed(error)) => Err(error),
    }
}
