//! Developer tasks: `cargo xtask TASK`.

mod codegen;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "xtask", about = "Developer tasks of Bailiwick")]
enum Task {
    /// Extract the facts and write the generated types.
    Codegen(codegen::Codegen),
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Codegen(task) => task.run().map_err(|error| error.to_string()),
    };
    match done {
        Ok(said) => {
            let _ = writeln!(std::io::stdout(), "{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::FAILURE
        }
    }
}
