//! `bailiwick policy`: the policy engine without a server.

use std::io::{BufRead as _, Write as _};

use super::Failure;
use super::policy_check::{Check, Validate};
use super::policy_test::Test;

/// Decide, test, check and validate policies without a server.
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
}

impl Policy {
    pub fn run(self) -> Result<(), Failure> {
        match self {
            Self::Decide => decide(),
            Self::Test(command) => command.run(),
            Self::Validate(command) => command.run(),
            Self::Check(command) => command.run(),
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
