//! The command line. Exit codes: 0 fine, 1 failure, 2 usage, 3 findings or failed checks, 4 not reachable or not ready, 5 denied.

mod access;
pub mod backup;
mod credentials;
mod credentials_agent;
mod data_subject;
mod diff_access;
mod doctor;
mod env;
pub mod explain;
mod guardrail;
mod incident;
mod login;
mod login_cache;
mod model;
pub mod output;
mod policy;
mod policy_change;
mod policy_check;
mod policy_test;
mod replay;
mod report;
mod running;
mod trail;
mod trail_export;
mod trail_verify;
pub mod up;
mod upstream;
mod usage;
mod wait;
mod witness;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::client::ClientError;
use crate::config::{ConfigError, Layer};
use crate::server::assemble::StartError;

/// Bailiwick gives AI workloads the AWS security and governance stack on hardware that you control.
#[derive(Parser)]
#[command(name = "bailiwick", version, about)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server.
    Up(up::Up),
    /// Lock down a model end to end, printing what was proved.
    Demo(crate::demo::Demo),
    /// Print the environment that points AWS clients at the running server: `eval "$(bailiwick env)"`.
    Env(env::Env),
    /// Print credentials for other programs, or serve a role's.
    Credentials(credentials::Credentials),
    /// Sign in with a user's password, for programs that use an AWS SDK.
    Login(Box<login::LoginCommand>),
    /// Explain a decision: of a recorded request, of the last denial, or of a call that was not made.
    Explain(explain::Explain),
    /// Read the audit trail: list, follow, export, query, verify.
    Trail(Box<trail::Trail>),
    /// Show what guardrails saw in a request.
    Incident(incident::Incident),
    /// Try a guardrail's draft on logged prompts.
    #[command(subcommand)]
    Guardrail(guardrail::Guardrail),
    /// Who can do an action on a resource, and under which condition keys.
    WhoCan(access::WhoCan),
    /// What a user or role can do.
    WhatCan(access::WhatCan),
    /// Chains by which an identity could come to more: roles, policies, keys.
    Escalation(access::FindEscalation),
    /// What a policy allows that another does not: exact, with a request that proves it.
    DiffAccess(diff_access::DiffAccess),
    /// Which recorded calls a proposed policy would decide otherwise.
    Replay(replay::Replay),
    /// Decide, test, check and validate policies without a server.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Check settings, files and the running server.
    Doctor(doctor::Doctor),
    /// Write a consistent backup of the running server.
    Backup(backup::Backup),
    /// Make a data folder from a backup.
    Restore(backup::Restore),
    /// Cosign the checkpoints of logs that run elsewhere.
    Witness(witness::Witness),
    /// Models that run in the server's own process.
    #[command(subcommand)]
    Model(model::Model),
    /// Secrets of model servers.
    #[command(subcommand)]
    Upstream(upstream::Upstream),
    /// Persons that logged prompts and answers are about: erase one, open what is sealed.
    #[command(subcommand)]
    DataSubject(data_subject::DataSubject),
    /// What principals used of which models, with its cost.
    Usage(usage::Usage),
    /// Wait until the server is ready.
    Wait(wait::Wait),
    /// Give a sealed server its passphrase (read from standard input).
    Unseal(wait::Unseal),
    /// Show every setting and where it came from.
    Config(up::ShowConfig),
    /// Print completions for a shell.
    Completions { shell: clap_complete::Shell },
    /// Print the version.
    Version,
}

/// Settings that every command understands.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Settings {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "BAILIWICK_CONFIG")]
    pub config: Option<PathBuf>,
    /// Folder of all state.
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Folder of models that run in the server's own process; `models` in the data folder unless given.
    #[arg(long, value_name = "FOLDER")]
    pub models_dir: Option<PathBuf>,
    /// A region, the first is the home; repeatable.
    #[arg(long = "region", value_name = "REGION")]
    pub regions: Vec<String>,
    /// Account of the deployment, twelve digits.
    #[arg(long, value_name = "ID")]
    pub account_id: Option<String>,
    /// `https://ADDRESS:PORT` or, on loopback addresses, `http://ADDRESS:PORT`; repeatable.
    #[arg(long = "listen", value_name = "URL")]
    pub listen: Vec<String>,
    /// `redb`, `memory` or a `postgres://` URL.
    #[arg(long, value_name = "ENGINE")]
    pub store: Option<String>,
    /// What unseals the root key: `key-file`, `passphrase` or `environment`.
    #[arg(long, value_name = "SEAL")]
    pub seal: Option<String>,
    /// When events of reads are durable: `before-reply` or `interval` (100 ms).
    #[arg(long, value_name = "WHEN")]
    pub audit_reads: Option<String>,
    /// Whether calls are refused while the audit store takes no events: `refuse` or `continue` (which is recorded).
    #[arg(long, value_name = "WHAT")]
    pub audit_failure: Option<String>,
    /// How long events stay in the server's own log: `6-months`, `1-year`, `7-years`, `10-years` or `forever`. With `-compliance` behind it,
    /// no later start may shorten it. Hashes stay for ever.
    #[arg(long, value_name = "TIME")]
    pub audit_retention: Option<String>,
    /// Seconds between two rounds of background work, such as the delivery of trails.
    #[arg(long = "background-interval", value_name = "SECONDS")]
    pub background_interval_s: Option<u64>,
    /// OpenAI-compatible model server, for example `http://127.0.0.1:11434/v1`.
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// Host of an upstream that may have an internal address; repeatable.
    #[arg(long = "allow-internal", value_name = "HOST")]
    pub allow_internal: Vec<String>,
    /// Collector that takes the trail as OpenTelemetry logs, for example `http://127.0.0.1:4318/v1/logs`.
    #[arg(long, value_name = "URL")]
    pub otlp_logs_url: Option<String>,
    /// Member of `requestMetadata` that names the person a model call is about: bodies in the invocation log are sealed under a key of theirs.
    #[arg(long, value_name = "NAME")]
    pub data_subject_key: Option<String>,
    /// A witness that cosigns the trail's checkpoints, `NAME+ID+KEY@URL` (see `bailiwick witness`); repeatable.
    #[arg(long = "witness", value_name = "WITNESS")]
    pub witnesses: Vec<String>,
    /// How the outside reaches the server, for the issuer of its tokens; where it listens first, unless given.
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
}

impl Settings {
    fn flags(&self) -> Layer {
        let list = |values: &[String]| (!values.is_empty()).then(|| values.to_vec());
        Layer {
            data_dir: self.data_dir.clone(),
            models_dir: self.models_dir.clone(),
            regions: list(&self.regions),
            account_id: self.account_id.clone(),
            listen: list(&self.listen),
            store: self.store.clone(),
            seal: self.seal.clone(),
            audit_reads: self.audit_reads.clone(),
            audit_failure: self.audit_failure.clone(),
            audit_retention: self.audit_retention.clone(),
            background_interval_s: self.background_interval_s,
            upstream: self.upstream.clone(),
            allow_internal: list(&self.allow_internal),
            otlp_logs_url: self.otlp_logs_url.clone(),
            data_subject_key: self.data_subject_key.clone(),
            witnesses: list(&self.witnesses),
            public_url: self.public_url.clone(),
            ..Layer::default()
        }
    }

    /// Flags over environment over file over defaults.
    pub fn resolve(&self) -> Result<crate::config::Config, ConfigError> {
        let file = self.config.as_deref().map(crate::config::file).transpose()?.unwrap_or_default();
        crate::config::Config::resolve(self.flags(), crate::config::environment(), file)
    }
}

/// A command that did not succeed: what to say and how to end.
#[derive(Debug)]
pub struct Failure {
    pub code: u8,
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl Failure {
    pub fn general(message: impl Into<String>) -> Self {
        Self { code: 1, message: message.into(), hint: None }
    }

    pub fn with_code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub fn exit(&self) -> ExitCode {
        let mut stderr = std::io::stderr();
        // Standard error may be closed; the exit code still tells.
        if !self.message.is_empty() {
            let _ = writeln!(stderr, "error: {}", self.message);
        }
        if let Some(hint) = &self.hint {
            let _ = writeln!(stderr, "hint: {hint}");
        }
        ExitCode::from(self.code)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::general(error.to_string()).with_code(2)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::general(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::general(error.to_string())
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match &error {
            ClientError::Unreachable(..) => 4,
            ClientError::Service { code, .. } if code.starts_with("AccessDenied") => 5,
            _ => 1,
        };
        let failure = Self::general(error.to_string()).with_code(code);
        if code == 4 {
            failure.with_hint("start the server with `bailiwick up`, or name its data folder with `--data-dir`")
        } else {
            failure
        }
    }
}

/// Runs one command.
pub async fn run(arguments: Arguments) -> ExitCode {
    let result = match arguments.command {
        Command::Up(command) => command.run().await,
        Command::Demo(command) => command.run().await,
        Command::Env(command) => command.run(),
        Command::Credentials(command) => command.run().await,
        Command::Login(command) => command.run().await,
        Command::Explain(command) => command.run().await,
        Command::Trail(command) => command.run().await,
        Command::Incident(command) => command.run().await,
        Command::Guardrail(command) => command.run().await,
        Command::WhoCan(command) => command.run().await,
        Command::WhatCan(command) => command.run().await,
        Command::Escalation(command) => command.run().await,
        Command::DiffAccess(command) => command.run(),
        Command::Replay(command) => command.run().await,
        Command::Policy(command) => command.run().await,
        Command::Doctor(command) => command.run().await,
        Command::Backup(command) => command.run().await,
        Command::Restore(command) => command.run(),
        Command::Witness(command) => command.run().await,
        Command::Model(command) => command.run().await,
        Command::Upstream(command) => command.run().await,
        Command::DataSubject(command) => command.run().await,
        Command::Usage(command) => command.run().await,
        Command::Wait(command) => command.run().await,
        Command::Unseal(command) => command.run().await,
        Command::Config(command) => command.run(),
        Command::Completions { shell } => completions(shell),
        Command::Version => output::line(&format!("bailiwick {}", env!("CARGO_PKG_VERSION"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "bailiwick", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}
