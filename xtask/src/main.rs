//! Developer tasks: `cargo xtask TASK`.

mod bench;
mod codegen;
mod process;
mod python;
mod test;
mod tidy;
mod train;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "xtask", about = "Developer tasks of Bailiwick")]
enum Task {
    /// Run every check there is: formatting, lints, tidiness, generated files, Rust tests, client tests, the demo.
    Test(test::Test),
    /// Check what no compiler checks: file sizes, names, licences, duplicates, the README's tables.
    Tidy(tidy::Tidy),
    /// Extract the facts and write the generated types.
    Codegen(codegen::Codegen),
    /// Measure the release binary, beside moto where both do the same thing.
    Bench(bench::Bench),
    /// Train or measure the models of the guardrails.
    Train(train::Train),
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Test(task) => task.run(),
        Task::Tidy(task) => task.run(),
        Task::Codegen(task) => task.run().map_err(|error| error.to_string()),
        Task::Bench(task) => task.run(),
        Task::Train(task) => task.run(),
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
