//! The plane without a single service: what holds for every operation of every service.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "the whole binary is a test; clippy only knows the functions marked so"
)]

mod house;
mod sample;
mod walk;
