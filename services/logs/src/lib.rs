//! CloudWatch Logs: log groups and streams, events that are put, read and searched, retention, keys, tags, resource policies.
//!
//! It is where trails and Bedrock's invocation log deliver to besides S3, and where programs put their own events. It is not a query engine:
//! Insights, subscriptions, exports, metric filters and anomaly detectors are recognised and answered as not implemented.
//!
//! Invariants:
//! 1. An event that `PutLogEvents` acknowledged is read until its retention is over or its stream is deleted, in the order of its time, then of
//!    its arrival.
//! 2. Messages are in no event of the trail. At rest they are sealed as every record is; those of a group with a KMS key are under that key
//!    besides, and cannot be read while the key cannot be used.
//! 3. An event whose retention is over is read by nobody, whether or not the background work has removed it.
//! 4. A search looks through a bounded part of a group per page.
//!
//! ## Recorded only
//! Nothing.
//!
//! ## Not as AWS does
//! * Log groups of the class `STANDARD` only; other classes are refused.
//! * The key of a group is asked for at each use, so a key that is disabled closes the group at once and not within minutes.
//! * `PutLogEvents` answers a given entity as rejected: there is nothing here that would show it.
//! * `storedBytes` is the size of messages and their overhead, not compressed, and up to date.

mod absent_settings;
mod chunk;
mod cursor;
mod encryption;
mod error;
mod filter_log_events;
mod filter_pattern;
mod get_log_events;
mod listing;
mod log_group;
mod log_stream;
mod put_log_events;
mod resource_policy;
mod retention;
mod service;
mod sweep;
mod tag;
mod test_metric_filter;

pub use encryption::service_principal;
pub use log_group::{group_arn, parse_group_arn};
pub use service::Logs;
pub use sweep::sweep;
