//! `cargo xtask bench`: builds the release binary and the load generator, gives moto an environment of its own, and measures.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::{process, python};

#[derive(clap::Args)]
pub(crate) struct Bench {
    /// Measure Bailiwick only.
    #[arg(long)]
    without_moto: bool,
    /// Measure the policy engine beside Cedar, and nothing else.
    #[arg(long)]
    policy: bool,
    /// Measure the way to a model beside `LiteLLM`, and nothing else.
    #[arg(long)]
    models: bool,
    /// Measure the proofs about access over the AWS managed policies, and nothing else.
    #[arg(long)]
    access: bool,
    /// Measure recorder, log, lookups, queries and verification of the trail with this many events, and nothing else.
    #[arg(long, value_name = "EVENTS")]
    trail: Option<u64>,
    /// What the load generator gets besides, for example `-- --clients 16 --seconds 5`.
    #[arg(last = true, value_name = "ARGUMENT")]
    load: Vec<String>,
}

impl Bench {
    pub(crate) fn run(self) -> Result<String, String> {
        let target = process::target_folder()?;
        if self.policy {
            return policy_engine(&target);
        }
        if self.access {
            return access(&target);
        }
        if let Some(events) = self.trail {
            return trail(&target, events);
        }
        let built = process::show(process::cargo().args(["build", "--release", "-p", "bailiwick", "-p", "bench"]))?;
        if !built.success {
            return Err("the release build failed".to_owned());
        }
        let release = target.join("release");
        let mut command = Command::new(release.join("bench"));
        command.arg("--bailiwick").arg(release.join("bailiwick"));
        if self.models {
            let environment = target.join("litellm-venv");
            python::environment(&environment, &process::root().join("bench/requirements-models.txt"))?;
            command.arg("--models").arg("--litellm").arg(environment.join("bin/litellm"));
        } else if !self.without_moto {
            let environment = target.join("moto-venv");
            python::environment(&environment, &process::root().join("bench/requirements.txt"))?;
            command.arg("--moto").arg(environment.join("bin/moto_server"));
        }
        let ended = process::show(command.args(&self.load))?;
        if ended.success { Ok("measured".to_owned()) } else { Err("the measurement failed".to_owned()) }
    }
}

/// The decisions beside those of Cedar. Their crate is a workspace of its own, because Cedar takes minutes to compile.
fn policy_engine(target: &Path) -> Result<String, String> {
    let manifest = process::root().join("bench/policy/Cargo.toml");
    let target = target.join("policy-bench");
    let mut command = process::cargo();
    command.args(["run", "--release", "--manifest-path"]).arg(manifest).arg("--target-dir").arg(target);
    let ended = process::show(&mut command)?;
    if ended.success { Ok("measured".to_owned()) } else { Err("the measurement failed".to_owned()) }
}

/// `CheckNoNewAccess` over the managed policies, which the package moto carries.
fn access(target: &Path) -> Result<String, String> {
    let python = python::environment(&target.join("moto-venv"), &process::root().join("bench/requirements.txt"))?;
    let folder = target.join("managed-policies");
    process::output(Command::new(python).arg(process::root().join("bench/managed_policies.py")).arg(&folder))?;
    example("access", "corpus", &[folder.as_os_str()])
}

/// Recorder and log, the queries of Lake, and the verification of a day.
fn trail(target: &Path, events: u64) -> Result<String, String> {
    let (folder, events) = (target.join("trail-bench"), events.to_string());
    std::fs::create_dir_all(&folder).map_err(|error| format!("`{}` cannot be made: {error}", folder.display()))?;
    example("trail", "throughput", &[events.as_ref(), folder.as_os_str()])?;
    example("lake", "group_by", &[events.as_ref()])?;
    example("evidence", "day", &[events.as_ref()])
}

fn example(package: &str, name: &str, arguments: &[&OsStr]) -> Result<String, String> {
    let run = ["run", "--release", "-p", package, "--example", name, "--"];
    let ended = process::show(process::cargo().args(run).args(arguments))?;
    if ended.success { Ok("measured".to_owned()) } else { Err(format!("the example `{name}` of `{package}` failed")) }
}
