//! The codecs against every operation of every service: round trips, mutated bytes, botocore as the oracle.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "the whole binary is a test; clippy only knows the functions marked so"
)]

mod arbitrary;
mod errors;
mod events;
mod foreign_bytes;
mod oracle;
mod patterns;
mod round_trip;
mod routes;
