//! Background work: key rotation and deletion that have come due, object bytes that nothing names any more, last-used times.
//!
//! Of all nodes on one store one at a time does it, by a lease. Each piece is a transaction of its own and does nothing when it is done
//! twice, so a lease that changes hands half way does no harm.

use std::sync::Arc;
use std::time::Duration;

use plane::{ApiError, Plane};
use store::jobs::Jobs;

/// Between two rounds.
const PERIOD: Duration = Duration::from_mins(1);
/// A node that does not come back is followed by another after this time, in milliseconds.
const LEASE_MS: u64 = 5 * 60 * 1000;
/// Name of the lease.
const MAINTENANCE: &str = "maintenance";

/// Works until the plane is gone.
pub fn start(plane: &Arc<Plane>) {
    let plane = Arc::downgrade(plane);
    tokio::spawn(async move {
        let mut rounds = tokio::time::interval(PERIOD);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick comes at once; a start is busy enough.
        rounds.tick().await;
        loop {
            rounds.tick().await;
            let Some(plane) = plane.upgrade() else { return };
            for position in 0..plane.regions.iter().count() {
                if let Err(error) = round(&plane, position).await {
                    tracing::warn!(%error, position, "background work will be tried again");
                }
            }
        }
    });
}

async fn round(plane: &Arc<Plane>, position: usize) -> Result<(), ApiError> {
    let region = plane.regions.at(position)?;
    let holder = format!("{}-{}", std::process::id(), plane.random_uuid()?);
    let jobs = Jobs::new(Arc::clone(&region.store), holder, LEASE_MS);
    let now_ms = u64::try_from(plane.now().0).unwrap_or_default();
    let Some(lease) = jobs.acquire(MAINTENANCE, now_ms).await.map_err(|error| ApiError::internal(&error))? else { return Ok(()) };
    let done = work(plane, position, &region.name).await;
    if let Err(error) = jobs.release(lease).await {
        tracing::debug!(%error, "a lease was not given back; it ends by itself");
    }
    done
}

async fn work(plane: &Arc<Plane>, position: usize, region: &str) -> Result<(), ApiError> {
    let rotated = kms::rotate_due(plane, region).await?;
    let deleted = kms::delete_due(plane, region).await?;
    let swept = s3::sweep_orphans(plane, position).await?;
    tracing::debug!(region, rotated, deleted, swept.noted, swept.deleted, "background work is done");
    if position == 0 { flush_key_use(plane).await } else { Ok(()) }
}

/// Writes when access keys were last used.
pub async fn flush_key_use(plane: &Arc<Plane>) -> Result<(), ApiError> {
    match plane.extension::<iam::Directory>("iam") {
        Some(directory) => directory.flush(plane).await,
        None => Ok(()),
    }
}
