//! Background work: delivery of trails, key rotation and deletion that have come due, object bytes that nothing names any more, log
//! events whose retention is over, last-used times, findings of analyzers.
//!
//! Of all nodes on one store one at a time does it, by a lease. Each piece is a transaction of its own and does nothing when it is done
//! twice, so a lease that changes hands half way does no harm.

use std::sync::Arc;
use std::time::Duration;

use plane::{ApiError, Plane};
use store::jobs::{Jobs, Lease};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::ledgers::Witnesses;
use super::log_export::LogExport;

/// A node that does not come back is followed by another after this time, in milliseconds.
const LEASE_MS: u64 = 5 * 60 * 1000;
/// Delivery goes on soon after a node is gone. Two nodes that deliver at once do no harm: what one has put, the other finds done.
const DELIVERY_LEASE_MS: u64 = 10_000;
/// Names of the leases.
const MAINTENANCE: &str = "maintenance";
const DELIVERY: &str = "trail-delivery";

/// Tasks that work until the server stops.
pub struct Background {
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Background {
    /// Lets each task end what it is at, for so long: what is cut off within the runtime's own end fails for no reason of its own, and keeps its lease.
    pub async fn finish(self, grace: Duration) {
        let _ = self.stop.send(true);
        let end = tokio::time::Instant::now() + grace;
        for mut task in self.tasks {
            if tokio::time::timeout_at(end, &mut task).await.is_err() {
                task.abort();
                let _ = task.await;
            }
        }
    }
}

/// Works until the plane is gone or [`Background::finish`] ends it.
/// `keep_days`: how long events stay in the log, if not for ever.
pub fn start(
    plane: &Arc<Plane>,
    period: Duration,
    witnesses: Witnesses,
    export: Option<Arc<LogExport>>,
    keep_days: Option<i64>,
) -> Background {
    let (stop, mut stopping) = watch::channel(false);
    let mut tasks = super::ledgers::start(plane, &stopping);
    let plane = Arc::downgrade(plane);
    tasks.push(tokio::spawn(async move {
        let mut rounds = tokio::time::interval(period);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick comes at once; a start is busy enough.
        rounds.tick().await;
        loop {
            tokio::select! {
                _ = stopping.changed() => return,
                _ = rounds.tick() => {}
            }
            let Some(plane) = plane.upgrade() else { return };
            for position in 0..plane.regions.iter().count() {
                if *stopping.borrow() {
                    return;
                }
                if let Err(error) = round(&plane, position, export.as_deref(), keep_days).await {
                    tracing::warn!(%error, position, "background work will be tried again");
                }
                if let Err(error) = witnesses.ask(&plane, position).await {
                    tracing::warn!(error, position, "the witnesses will be asked again");
                }
            }
        }
    }));
    Background { stop, tasks }
}

async fn round(plane: &Arc<Plane>, position: usize, export: Option<&LogExport>, keep_days: Option<i64>) -> Result<(), ApiError> {
    if let Some((jobs, lease)) = acquire(plane, position, DELIVERY, DELIVERY_LEASE_MS).await? {
        let done = cloudtrail::deliver(plane, position, false).await;
        if let Some(export) = export
            && let Err(error) = export.round(plane, position).await
        {
            tracing::warn!(%error, position, "the export of the trail will be tried again");
        }
        release(&jobs, lease).await;
        done?;
    }
    // What this process counted and collected is its own: no lease.
    for done in [bedrock::flush_usage(plane).await, bedrock::deliver(plane, position).await] {
        if let Err(error) = done {
            // One bucket that takes nothing must not keep the rest from being done.
            tracing::warn!(%error, position, "what Bedrock has to write will be tried again");
        }
    }
    if let Some((jobs, lease)) = acquire(plane, position, MAINTENANCE, LEASE_MS).await? {
        let done = match work(plane, position).await {
            Ok(()) => prune(plane, position, export, keep_days).await,
            failed => failed,
        };
        release(&jobs, lease).await;
        done?;
    }
    Ok(())
}

/// The lease, when no other node has it.
async fn acquire(plane: &Arc<Plane>, position: usize, name: &str, duration_ms: u64) -> Result<Option<(Jobs, Lease)>, ApiError> {
    let holder = format!("{}-{}", std::process::id(), plane.random_uuid()?);
    let jobs = Jobs::new(Arc::clone(&plane.regions.at(position)?.store), holder, duration_ms);
    let now_ms = u64::try_from(plane.now().0).unwrap_or_default();
    let lease = jobs.acquire(name, now_ms).await.map_err(|error| ApiError::internal(&error))?;
    Ok(lease.map(|lease| (jobs, lease)))
}

async fn release(jobs: &Jobs, lease: Lease) {
    if let Err(error) = jobs.release(lease).await {
        tracing::debug!(%error, "a lease was not given back; it ends by itself");
    }
}

async fn work(plane: &Arc<Plane>, position: usize) -> Result<(), ApiError> {
    let region = &plane.regions.at(position)?.name;
    let rotated = kms::rotate_due(plane, region).await?;
    let deleted = kms::delete_due(plane, region).await?;
    let swept = s3::sweep_orphans(plane, position).await?;
    let log_rows = logs::sweep(plane, position).await?;
    cloudtrail::lake_round(plane, position).await?;
    let analyzers = accessanalyzer::work(plane, position).await?;
    tracing::debug!(region, rotated, deleted, swept.noted, swept.deleted, log_rows, analyzers, "background work is done");
    if position == 0 { flush_key_use(plane).await } else { Ok(()) }
}

/// Takes what is past its retention out of the log.
async fn prune(plane: &Arc<Plane>, position: usize, export: Option<&LogExport>, keep_days: Option<i64>) -> Result<(), ApiError> {
    let Some(keep_days) = keep_days else { return Ok(()) };
    let exported_to = match export {
        Some(export) => Some(export.sent_to(plane, position).await?),
        None => None,
    };
    let rows = cloudtrail::prune(plane, position, keep_days, exported_to).await?;
    if rows > 0 {
        tracing::info!(position, rows, "events past their retention went out of the log");
    }
    Ok(())
}

/// Writes when access keys were last used.
pub async fn flush_key_use(plane: &Arc<Plane>) -> Result<(), ApiError> {
    match plane.extension::<iam::Directory>("iam") {
        Some(directory) => directory.flush(plane).await,
        None => Ok(()),
    }
}
