//! Bailiwick: the AWS security, compliance and governance stack for AI workloads, on hardware that you control.
//!
//! This is the roof: command line, settings and wiring. What the server *does* stands in the services and in the plane.

#![allow(unreachable_pub, reason = "a binary has no outside: `pub` says what a module offers to its neighbours")]

mod client;
mod command;
mod config;
mod demo;
mod local_model;
mod server;
mod upstream;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = command::Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return command::Failure::general(format!("the runtime cannot start: {error}")).exit(),
    };
    runtime.block_on(command::run(arguments))
}
