//! One suite on every engine, and what is special to each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout, clippy::print_stderr)]

mod backup;
mod crash;
mod engines;
mod postgres;
mod random;
mod suite;
