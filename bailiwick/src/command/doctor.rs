//! `bailiwick doctor`: checks settings, files and the running server, and says what to do.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::output::{self, Format};
use super::running::Running;
use super::wait::get;
use super::{Failure, Settings};
use crate::config::{Config, SealSetting};

/// Check settings, files and the running server. Exit code 3 when a check fails.
#[derive(clap::Args)]
pub struct Doctor {
    #[command(flatten)]
    settings: Settings,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Good,
    Warning,
    Bad,
}

struct Finding {
    check: &'static str,
    verdict: Verdict,
    detail: String,
}

impl Doctor {
    pub async fn run(self) -> Result<(), Failure> {
        let config = self.settings.resolve()?;
        let mut findings = vec![folder(&config.data_dir), keyring(&config), root_key(&config), listeners(&config)];
        findings.extend(server(&config).await);
        let rows: Vec<Vec<String>> = findings
            .iter()
            .map(|finding| {
                let verdict = match finding.verdict {
                    Verdict::Good => "ok",
                    Verdict::Warning => "warning",
                    Verdict::Bad => "failed",
                };
                vec![finding.check.to_owned(), verdict.to_owned(), finding.detail.clone()]
            })
            .collect();
        output::rows(self.output, &["check", "result", "detail"], &rows)?;
        if findings.iter().any(|finding| finding.verdict == Verdict::Bad) {
            return Err(Failure::general("a check failed").with_code(3));
        }
        Ok(())
    }
}

fn finding(check: &'static str, verdict: Verdict, detail: impl Into<String>) -> Finding {
    Finding { check, verdict, detail: detail.into() }
}

fn mode(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().map(|metadata| metadata.permissions().mode() & 0o777)
}

fn folder(path: &Path) -> Finding {
    match mode(path) {
        None => finding("data folder", Verdict::Warning, format!("`{}` does not exist yet; `bailiwick up` makes it", path.display())),
        Some(mode) if mode & 0o077 != 0 => {
            finding("data folder", Verdict::Bad, format!("`{}` has mode {mode:o}; others can read it: chmod 700", path.display()))
        }
        Some(_) => finding("data folder", Verdict::Good, path.display().to_string()),
    }
}

fn keyring(config: &Config) -> Finding {
    if !keyring::Keyring::exists(&config.data_dir) {
        return finding("keyring", Verdict::Warning, "not made yet; the first start makes it");
    }
    match keyring::SealedKeyring::load(&config.data_dir) {
        Ok(sealed) => finding("keyring", Verdict::Good, format!("sealed by {}", sealed.provider())),
        Err(error) => finding("keyring", Verdict::Bad, error.to_string()),
    }
}

fn root_key(config: &Config) -> Finding {
    if config.seal != SealSetting::KeyFile {
        return finding("root key", Verdict::Good, "not in a file");
    }
    match mode(&config.data_dir.join("root.key")) {
        None => finding("root key", Verdict::Warning, "no key file yet"),
        Some(0o600) => finding(
            "root key",
            Verdict::Warning,
            "a key file beside the data protects against lost backups and disks only: prefer a passphrase or a systemd credential",
        ),
        Some(mode) => finding("root key", Verdict::Bad, format!("the key file has mode {mode:o}: chmod 600")),
    }
}

fn listeners(config: &Config) -> Finding {
    let open: Vec<String> =
        config.listen.iter().filter(|listen| !listen.address.ip().is_loopback()).map(|listen| listen.address.to_string()).collect();
    if open.is_empty() {
        finding("listeners", Verdict::Good, "loopback only")
    } else {
        finding("listeners", Verdict::Good, format!("TLS on {}", open.join(", ")))
    }
}

async fn server(config: &Config) -> Vec<Finding> {
    let Ok(running) = Running::read(&config.data_dir) else {
        return vec![finding("server", Verdict::Warning, "not running")];
    };
    match get(&running, "/_bailiwick/health").await {
        Ok(answer) if answer.status == 200 => vec![finding("server", Verdict::Good, format!("answers at {}", running.endpoint()))],
        Ok(answer) => vec![finding(
            "server",
            Verdict::Warning,
            format!("answers with status {}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
        )],
        Err(error) => vec![finding("server", Verdict::Bad, error.to_string())],
    }
}
