//! `bailiwick policy`: the policy engine without a server.

use std::io::{BufRead as _, Write as _};

use super::Failure;

/// Decide authorization cases without a server.
#[derive(clap::Subcommand)]
pub enum Policy {
    /// Read one case a line (JSON) from standard input and print one verdict a line.
    Decide,
}

impl Policy {
    pub fn run(self) -> Result<(), Failure> {
        let Self::Decide = self;
        let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            if !line.trim().is_empty() {
                writeln!(stdout, "{}", ::policy::cases::decide_line(&line))?;
            }
        }
        stdout.flush().map_err(Failure::from)
    }
}
