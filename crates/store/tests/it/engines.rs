//! A fresh store of each engine, and the suite on it.

use std::sync::Arc;

use store::{MemoryStore, RedbStore, Store};

use crate::{postgres, suite};

/// A store and what must live as long as it.
pub(crate) struct Engine {
    pub store: Arc<dyn Store>,
    _folder: Option<tempfile::TempDir>,
}

pub(crate) fn memory() -> Engine {
    Engine { store: Arc::new(MemoryStore::new()), _folder: None }
}

pub(crate) fn redb() -> Engine {
    let folder = tempfile::tempdir().unwrap();
    let store = RedbStore::open(folder.path().join("state.redb")).unwrap();
    Engine { store: Arc::new(store), _folder: Some(folder) }
}

macro_rules! suite {
    ($($case:ident),* $(,)?) => {
        mod memory_engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::suite::$case(super::memory().store).await;
            })*
        }
        mod redb_engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let engine = super::redb();
                super::suite::$case(engine.store.clone()).await;
            })*
        }
        mod postgres_engine {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some(cluster) = super::postgres::cluster() else { return };
                super::suite::$case(std::sync::Arc::new(cluster.store(stringify!($case)).await)).await;
            })*
        }
    };
}

suite!(
    prunes_its_log_from_the_beginning,
    starts_empty,
    reads_back_what_was_written,
    snapshots_do_not_move,
    scans_in_order_within_bounds,
    refuses_stale_versions_whole,
    range_expectations_see_inserts_changes_and_deletions,
    a_full_scan_is_not_disturbed_behind_its_end,
    logs_in_the_same_commit,
    numbers_commits_without_gaps,
    an_empty_batch_has_no_revision,
    the_head_can_be_awaited,
    refuses_what_is_over_the_limits,
    tables_do_not_touch,
    counts_exactly_under_concurrency,
    racing_inserts_have_one_winner,
    leases_have_one_holder,
    a_stale_lease_commits_nothing,
    a_renewal_does_not_disturb_the_work,
);
