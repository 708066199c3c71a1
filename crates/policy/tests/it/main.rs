//! Integration tests of the policy engine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may fail loudly; clippy spares only functions marked as tests"
)]

mod cases;
mod changes;
mod conditions;
mod differential;
mod documents;
mod explanations;
mod hostile;
mod operators;
mod reference;
mod rules;
