//! The measurements of `BENCHMARKS.md`: the same signed load against Bailiwick and against moto, and the two hot paths alone.
//!
//! `cargo xtask bench` builds what is needed and runs this. It is not a test: it asserts nothing about speed. It does stop at the first
//! answer that is not a success, because a number for failed calls would be worth nothing.

mod bare;
mod gateway;
mod keep_alive;
mod load;
mod micro;
mod report;
mod scenario;
mod target;
mod upstream;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

/// What went wrong, for a person.
type Failure = String;

/// As Bailiwick's: the bare HTTP stack is to have what it has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(clap::Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The release binary.
    #[arg(long, required = true)]
    bailiwick: Option<PathBuf>,
    /// `moto_server`; without it Bailiwick is measured alone.
    #[arg(long)]
    moto: Option<PathBuf>,
    /// Measure the way to a model instead of the services.
    #[arg(long)]
    models: bool,
    /// `LiteLLM`'s proxy, to measure beside; with `--models`.
    #[arg(long)]
    litellm: Option<PathBuf>,
    /// Connections that call at the same time.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Measure only the rows whose names begin so: for a profile. Of the others each client calls once, because some rows read what others wrote.
    #[arg(long, default_value = "")]
    only: String,
    /// Length of each measurement.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// What else this program is.
#[derive(clap::Subcommand)]
enum Role {
    /// The server that the others are compared with: the HTTP stack without anything behind it.
    Bare {
        #[arg(long)]
        listen: SocketAddr,
        /// Length of each answer's body.
        #[arg(long)]
        answer_bytes: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "error: {failure}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    if let Some(Role::Bare { listen, answer_bytes }) = arguments.role {
        return bare::serve(listen, answer_bytes).await;
    }
    let bailiwick = arguments.bailiwick.ok_or("`--bailiwick` says which binary to measure")?;
    let pace = load::Pace { clients: arguments.clients, time: Duration::from_secs(arguments.seconds) };
    if arguments.models {
        let text = gateway::measure(&bailiwick, arguments.litellm.as_deref(), &pace).await?;
        return writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string());
    }
    let size = std::fs::metadata(&bailiwick).map_err(|error| format!("the binary cannot be read: {error}"))?.len();
    let mut sections = Vec::new();
    for kind in [target::Kind::Memory, target::Kind::Redb] {
        sections.push(measure(target::Target::bailiwick(&bailiwick, kind, &[]).await?, &pace, &arguments.only).await?);
    }
    if let Some(moto) = &arguments.moto {
        sections.push(measure(target::Target::moto(moto).await?, &pace, &arguments.only).await?);
    }
    if let Some(section) = bare_stack(sections.first(), &pace).await? {
        sections.push(section);
    }
    let text = report::report(&sections, size, &pace, &micro::measure()?);
    writeln!(std::io::stdout(), "{text}").map_err(|error| error.to_string())
}

/// The bare HTTP stack under the same requests, with answers as long as those of the first section.
async fn bare_stack(first: Option<&report::Section>, pace: &load::Pace) -> Result<Option<report::Section>, Failure> {
    let mut section: Option<report::Section> = None;
    for (name, like) in first.map(|section| section.rows.as_slice()).unwrap_or_default() {
        let Some(scenario) = scenario::ALL.iter().find(|scenario| scenario.name == *name) else { continue };
        let target = target::Target::bare(like.answer_bytes).await?;
        let idle_kib = target.resident_kib()?;
        let measured = tokio::task::block_in_place(|| load::run(&target, scenario, pace))
            .map_err(|error| format!("{name} on {}: {error}", target.name))?;
        let start = target.started_in;
        let section = section.get_or_insert_with(|| report::Section { name: target::Target::BARE, start, idle_kib, rows: Vec::new() });
        section.rows.push((*name, measured));
    }
    Ok(section)
}

async fn measure(target: target::Target, pace: &load::Pace, only: &str) -> Result<report::Section, Failure> {
    let mut section = report::Section { name: target.name, start: target.started_in, idle_kib: target.resident_kib()?, rows: Vec::new() };
    scenario::furnish(&target).await?;
    for scenario in scenario::ALL {
        let is_wanted = scenario.name.starts_with(only);
        let pace = load::Pace { time: if is_wanted { pace.time } else { Duration::ZERO }, ..*pace };
        let measured = tokio::task::block_in_place(|| load::run(&target, scenario, &pace))
            .map_err(|error| format!("{} on {}: {error}", scenario.name, target.name))?;
        if is_wanted {
            section.rows.push((scenario.name, measured));
        }
    }
    Ok(section)
}
