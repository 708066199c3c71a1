//! CloudTrail Lake: event data stores, SQL over them, imports, channels and dashboards.
//!
//! A store of CloudTrail events keeps no copy of them: it is a view of the region's own sealed log (and, when it is multi-Region, of every
//! configured region's), through its selectors, its times of ingestion and its retention. What comes from elsewhere (imports, channels) is
//! kept in records of the store. Queries read both into tables in memory ([`::lake::Basin`]) that follow the log.
//!
//! Invariants:
//! 1. Nothing of an event is on a disk outside a sealed record, a sealed log row or a customer's bucket.
//! 2. A query that was accepted ends: finished, failed, cancelled or timed out, also after a crash (it is run again).
//! 3. A store under a customer's key is read only while CloudTrail may use that key.

pub(crate) mod channel;
pub(crate) mod channel_operations;
pub(crate) mod dashboard;
pub(crate) mod dashboard_operations;
pub(crate) mod dashboard_refresh;
pub(crate) mod engine;
pub(crate) mod error;
pub(crate) mod event_context;
pub(crate) mod event_data_store;
pub(crate) mod event_data_store_operations;
pub(crate) mod federation;
pub(crate) mod import;
pub(crate) mod import_operations;
pub(crate) mod import_run;
pub(crate) mod ingested;
pub(crate) mod put_audit_events;
pub(crate) mod query;
pub(crate) mod query_delivery;
pub(crate) mod query_operations;
pub(crate) mod query_run;
pub(crate) mod resource_policy;
pub(crate) mod round;
pub(crate) mod sample_query;
pub(crate) mod tag;
pub(crate) mod target;
