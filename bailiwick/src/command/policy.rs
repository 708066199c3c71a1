//! `bailiwick policy`: the policy engine without a server, and changes of policies on one.

use std::io::{BufRead as _, Write as _};

use super::Failure;
use super::policy_change::{Attach, Delete, Detach, Put};
use super::policy_check::{Check, Validate};
use super::policy_test::Test;

/// Decide, test, check and validate policies without a server; change those of a server.
#[derive(clap::Subcommand)]
pub enum Policy {
    /// Read one case a line (JSON) from standard input and print one verdict a line.
    Decide,
    /// Decide requests under policies and compare with what is expected.
    Test(Test),
    /// Look for errors, risks and needless parts in policies.
    Validate(Validate),
    /// Prove that a policy does not give some access.
    #[command(subcommand)]
    Check(Check),
    /// Write a policy, or show what that would do to past calls.
    #[command(subcommand)]
    Put(Put),
    Attach(Attach),
    Detach(Detach),
    #[command(subcommand)]
    Delete(Delete),
}

impl Policy {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Decide => decide(),
            Self::Test(command) => command.run(),
            Self::Validate(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::Put(command) => command.run().await,
            Self::Attach(command) => command.run().await,
            Self::Detach(command) => command.run().await,
            Self::Delete(command) => command.run().await,
        }
    }
}

fn decide() -> Result<(), Failure> {
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        if !line.trim().is_empty() {
            writeln!(stdout, "{}", ::policy::cases::decide_line(&line))?;
        }
    }
    stdout.flush().map_err(Failure::from)
}
