//! CloudTrail Lake's query language over events: SQL that is parsed, held against a whitelist, translated, and run on SQLite in memory.
//!
//! It is not a store: it keeps no event beyond the process, writes nothing to a disk, and knows no accounts. Whoever owns it fills its tables
//! from sealed bytes and throws it away.
//!
//! Invariants:
//! 1. Only text that [`plan()`] made reaches SQLite. Every name in it is from [`schema`], every literal is quoted anew; a keyword, function or
//!    operator that is not listed is refused as AWS refuses it.
//! 2. A query is bounded in time, memory and rows ([`Limits`]), and can be stopped from another thread.
//! 3. A table holds the columns that were asked for and no more: an event's other fields are not in memory.
//!
//! Source: CloudTrail User Guide, "CloudTrail Lake SQL constraints" and "Supported SQL schemas for event data stores"; Trino documentation,
//! "Functions and Operators", for what a function means.
//!
//! ## Differences from AWS
//! * Maps, arrays and structures are shown as JSON.
//! * Of Trino's functions those listed in [`function_list`] are known.
//! * A join needs an equality between its two sides.

mod basin;
mod clause;
mod column;
mod date_function;
mod expression;
mod function;
pub mod function_list;
mod plan;
mod render;
pub mod schema;
mod statement;
mod timestamp;

pub use basin::{Answer, Basin, BasinError, Limits, StopSignal};
pub use column::Column;
pub use plan::{OutputColumn, Plan, QueryError, Source, plan, stores_of};
pub use schema::{Kind, Schema};
