//! A server that is measured: started on a free port, watched through `/proc`, stopped at the end.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sigv4::{Secret, Signer};

use crate::Failure;

/// A server must be ready within this time.
const START_TIMEOUT: Duration = Duration::from_mins(3);
/// Between two looks whether it is. Also the resolution of the start-up time.
const PAUSE: Duration = Duration::from_millis(1);
/// Clock ticks a second in `/proc/PID/stat` (`USER_HZ`, the same on all Linux platforms).
const TICKS: u64 = 100;

/// Which store Bailiwick runs on.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Memory,
    Redb,
}

/// A running server with the credentials of somebody who may do everything.
pub(crate) struct Target {
    pub name: &'static str,
    pub address: SocketAddr,
    /// From the start of the process to the first answer.
    pub started_in: Duration,
    access_key_id: String,
    secret: String,
    process: Child,
    _folder: tempfile::TempDir,
}

impl Target {
    pub(crate) async fn bailiwick(binary: &Path, kind: Kind, more: &[&str]) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let address = free_address()?;
        let credentials = folder.path().join("credentials");
        let mut command = Command::new(binary);
        command.arg("up").arg("--data-dir").arg(folder.path().join("data")).arg("--credentials-out").arg(&credentials);
        command.arg("--listen").arg(format!("http://{address}")).args(more);
        let name = match kind {
            Kind::Memory => {
                command.arg("--ephemeral");
                "bailiwick, memory"
            }
            Kind::Redb => {
                command.args(["--store", "redb"]);
                "bailiwick, redb"
            }
        };
        let (process, started_in) = start(&mut command, address, "/_bailiwick/health/ready").await?;
        let text = std::fs::read_to_string(&credentials).map_err(|error| format!("the credentials cannot be read: {error}"))?;
        let value = |name: &str| {
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='));
            found.map(|value| value.trim().to_owned()).ok_or_else(|| format!("`{name}` is not in the credentials file"))
        };
        let (access_key_id, secret) = (value("aws_access_key_id")?, value("aws_secret_access_key")?);
        Ok(Self { name, address, started_in, access_key_id, secret, process, _folder: folder })
    }

    pub(crate) async fn moto(server: &Path) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let address = free_address()?;
        let mut command = Command::new(server);
        command.arg("-H").arg(address.ip().to_string()).arg("-p").arg(address.port().to_string()).current_dir(folder.path());
        let (process, started_in) = start(&mut command, address, "/moto-api/").await?;
        let (access_key_id, secret) = ("AKIAIOSFODNN7EXAMPLE".to_owned(), "bench".to_owned());
        Ok(Self { name: "moto", address, started_in, access_key_id, secret, process, _folder: folder })
    }

    /// This program as the bare HTTP stack, whose answers have this length.
    pub(crate) async fn bare(answer_bytes: usize) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe().map_err(|error| error.to_string())?);
        command.arg("bare").arg("--listen").arg(address.to_string()).arg("--answer-bytes").arg(answer_bytes.to_string());
        let (process, started_in) = start(&mut command, address, "/").await?;
        let (access_key_id, secret) = ("AKIAIOSFODNN7EXAMPLE".to_owned(), "bench".to_owned());
        Ok(Self { name: Self::BARE, address, started_in, access_key_id, secret, process, _folder: folder })
    }

    pub(crate) const BARE: &str = "bare HTTP stack";

    /// `LiteLLM`'s proxy in front of a model server, with the one key [`Self::LITELLM_KEY`].
    pub(crate) async fn litellm(server: &Path, upstream: &str) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let address = free_address()?;
        let config = folder.path().join("config.yaml");
        let text = serde_json::json!({
            "model_list": [{ "model_name": "bench", "litellm_params": { "model": "openai/bench", "api_base": upstream, "api_key": "none" } }],
            "general_settings": { "master_key": Self::LITELLM_KEY },
            "litellm_settings": { "num_retries": 0, "telemetry": false },
        });
        // JSON is YAML.
        std::fs::write(&config, text.to_string()).map_err(|error| error.to_string())?;
        let mut command = Command::new(server);
        command.arg("--config").arg(&config).args(["--host", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.args(["--num_workers", "1"]).env("LITELLM_LOCAL_MODEL_COST_MAP", "True").env("LITELLM_LOG", "ERROR");
        command.current_dir(folder.path());
        let (process, started_in) = start(&mut command, address, "/health/liveliness").await?;
        let (access_key_id, secret) = (String::new(), String::new());
        Ok(Self { name: "LiteLLM", address, started_in, access_key_id, secret, process, _folder: folder })
    }

    pub(crate) const LITELLM_KEY: &str = "sk-bench";

    /// Signs for a service of this server.
    pub(crate) fn signer(&self, service: &str) -> Signer {
        Signer {
            access_key_id: self.access_key_id.clone(),
            secret: Secret::new(self.secret.clone()),
            session_token: None,
            region: "us-east-1".to_owned(),
            service: service.to_owned(),
        }
    }

    /// Processor time of the server so far.
    pub(crate) fn cpu(&self) -> Result<Duration, Failure> {
        let stat = self.proc("stat")?;
        // The name of the program, in parentheses, may hold blanks.
        let fields: Vec<u64> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        match fields.as_slice() {
            [user, system] => Ok(Duration::from_millis((user + system) * 1000 / TICKS)),
            _ => Err("`/proc/PID/stat` has another form".to_owned()),
        }
    }

    /// Resident memory, KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64, Failure> {
        let status = self.proc("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).ok_or_else(|| "`/proc/PID/status` has another form".to_owned())
    }

    fn proc(&self, name: &str) -> Result<String, Failure> {
        let path = format!("/proc/{}/{name}", self.process.id());
        std::fs::read_to_string(&path).map_err(|error| format!("`{path}` cannot be read: {error}"))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Nobody listens there now. Somebody else may in a moment; then the start fails and says so.
fn free_address() -> Result<SocketAddr, Failure> {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).map_err(|error| error.to_string())
}

async fn start(command: &mut Command, address: SocketAddr, path: &str) -> Result<(Child, Duration), Failure> {
    let program = command.get_program().to_string_lossy().into_owned();
    let begun = Instant::now();
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut process = spawned.map_err(|error| format!("`{program}` cannot be started: {error}"))?;
    loop {
        if crate::load::answers(address, path).await {
            return Ok((process, begun.elapsed()));
        }
        if let Ok(Some(status)) = process.try_wait() {
            return Err(format!("`{program}` ended at its start: {status}"));
        }
        if begun.elapsed() > START_TIMEOUT {
            let _ = process.kill();
            return Err(format!("`{program}` is not ready after {} s", START_TIMEOUT.as_secs()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
