//! CloudTrail records as events of the Open Cybersecurity Schema Framework.
//!
//! API Activity (6003; 3005 in 1.0.0-rc.2), Account Change (3001), Authentication (3002), and Detection Finding (2004) for Insights events
//! and for calls that a guardrail stopped. It is not a validator of OCSF and knows no other sources.
//!
//! Invariants:
//! 1. Nothing of a record is lost: what has no attribute of its own stands in `unmapped`, flattened.
//! 2. The mapping is a function of the record and the version alone.
//!
//! Sources: the OCSF schema (classes, enumerations); for 1.0.0-rc.2 the shape is that of AWS's own pairs of CloudTrail records and Security
//! Lake rows (`tests/pairs`).

mod class;
pub mod columns;
mod common;
mod finding;
mod flat;
mod map;

pub use class::Class;
pub use map::{Version, map};
