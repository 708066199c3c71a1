//! `bailiwick up`: starts the server and serves until it is told to stop.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use plane::{Clock as _, SystemClock};
use tokio::sync::watch;

use super::output::{self, Format};
use super::running::{Running, write_credentials};
use super::{Failure, Settings};
use crate::client::Credentials;
use crate::config::Config;
use crate::server::assemble::{self, Assembly, Mode};
use crate::server::listener::Listener;
use crate::server::{Server, tls};

/// Connections may finish what they began for this long after a stop.
const GRACE: Duration = Duration::from_secs(5);

/// Start the server.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Up {
    #[command(flatten)]
    pub settings: Settings,
    /// Keep the state in a temporary folder that is gone at exit.
    #[arg(long)]
    pub ephemeral: bool,
    /// Where the root user's keys go at the first start (AWS shared-credentials format, mode 0600); otherwise they are printed once.
    #[arg(long, value_name = "FILE")]
    pub credentials_out: Option<PathBuf>,
    /// The clock can be moved forward through the API (with `--ephemeral`).
    #[arg(long)]
    pub manual_clock: bool,
}

/// Show every setting and where it came from.
#[derive(clap::Args)]
pub struct ShowConfig {
    #[command(flatten)]
    settings: Settings,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl ShowConfig {
    pub fn run(self) -> Result<(), Failure> {
        let config = self.settings.resolve()?;
        let rows: Vec<Vec<String>> = config
            .origins
            .iter()
            .map(|(name, (value, origin))| vec![(*name).to_owned(), value.clone(), origin.name().to_owned()])
            .collect();
        output::rows(self.output, &["setting", "value", "origin"], &rows)
    }
}

/// A server that serves, until it is stopped.
pub struct Serving {
    pub running: Running,
    pub server: Arc<Server>,
    /// Made by this start.
    pub root: Option<Credentials>,
    pub data_dir: PathBuf,
    pub authority_pem: String,
    stop: watch::Sender<bool>,
    listeners: tokio::task::JoinSet<()>,
    /// Held until the server is gone.
    _lock: std::fs::File,
    /// The folder of an ephemeral server.
    _temporary: Option<tempfile::TempDir>,
}

impl Up {
    pub async fn run(self) -> Result<(), Failure> {
        start_log();
        let credentials_out = self.credentials_out.clone();
        let serving = self.start().await?;
        announce(&serving, credentials_out.as_deref())?;
        stopped().await;
        serving.finish().await;
        Ok(())
    }

    /// Opens everything and begins to listen.
    pub async fn start(self) -> Result<Serving, Failure> {
        let mut config = self.settings.resolve()?;
        let mode = Mode { ephemeral: self.ephemeral, manual_clock: self.manual_clock };
        if self.manual_clock && !self.ephemeral {
            return Err(Failure::general("`--manual-clock` works with `--ephemeral` only").with_code(2));
        }
        let temporary = self.ephemeral.then(|| tempfile::Builder::new().prefix("bailiwick-").tempdir()).transpose()?;
        // An ephemeral server keeps its state apart; its listening place is still told in the folder that the user named.
        let told_in = config.data_dir.clone();
        if let Some(folder) = &temporary {
            config.data_dir = folder.path().to_owned();
        }
        assemble::private_folder(&config.data_dir)?;
        let lock = lock(&config.data_dir)?;
        let (server, root, keyring_tls) = open(&config, mode).await?;
        let data_dir = if self.settings.data_dir.is_some() || temporary.is_none() { told_in } else { config.data_dir.clone() };
        assemble::private_folder(&data_dir)?;
        let authority = data_dir.join("authority.pem");
        if let Some(tls) = &keyring_tls {
            std::fs::write(&authority, &tls.authority_pem)?;
        }
        let (stop, stopping) = watch::channel(false);
        let mut listeners = tokio::task::JoinSet::new();
        let mut endpoints = Vec::new();
        let ordinary = config.listen.iter().map(|listen| (listen, None));
        let private = config.private_endpoints.iter().map(|private| (&private.listen, Some(private.endpoint.clone())));
        for (listen, endpoint) in ordinary.chain(private) {
            let tls = keyring_tls.as_ref().filter(|_| listen.tls).map(|tls| Arc::clone(&tls.config));
            if listen.tls && tls.is_none() {
                return Err(Failure::general("a sealed server has no TLS certificate")
                    .with_hint("listen on a plain loopback address as well, or give the passphrase in BAILIWICK_PASSPHRASE"));
            }
            let listener = Listener::bind(listen.address, tls)
                .await
                .map_err(|error| Failure::general(format!("`{}` cannot be listened on: {error}", listen.address)))?;
            endpoints.push(format!("{}://{}", if listen.tls { "https" } else { "http" }, listener.address));
            listeners.spawn(listener.of_endpoint(endpoint).serve(Arc::clone(&server), stopping.clone()));
        }
        if let Some(first) = endpoints.first() {
            config.public_url.settle(first);
        }
        let running = Running {
            endpoints,
            region: config.regions.first().cloned().unwrap_or_default(),
            account_id: config.account_id.clone(),
            authority,
            process_id: std::process::id(),
        };
        running.write(&data_dir)?;
        let root = root.map(|keys| Credentials {
            access_key_id: keys.access_key_id,
            secret_access_key: keys.secret_access_key,
            session_token: None,
        });
        if let (Some(path), Some(root)) = (&self.credentials_out, &root) {
            write_credentials(path, root)?;
        }
        let authority_pem = keyring_tls.map(|tls| tls.authority_pem).unwrap_or_default();
        Ok(Serving { running, server, root, data_dir, authority_pem, stop, listeners, _lock: lock, _temporary: temporary })
    }
}

impl Serving {
    /// Stops listening, lets connections finish, and writes what the trail still holds.
    pub async fn finish(mut self) {
        let _ = self.stop.send(true);
        let _ = tokio::time::timeout(GRACE, async { while self.listeners.join_next().await.is_some() {} }).await;
        self.server.finish_background(GRACE).await;
        if let Some(plane) = self.server.plane() {
            if let Err(error) = crate::server::jobs::flush_key_use(plane).await {
                tracing::warn!(%error, "the last use of access keys could not be written");
            }
            if let Err(error) = bedrock::flush_usage(plane).await {
                tracing::warn!(%error, "the last use of models could not be written");
            }
            for position in 0..plane.regions.iter().count() {
                if let Err(error) = bedrock::deliver(plane, position).await {
                    tracing::warn!(%error, "the last entries of the invocation log could not be delivered");
                }
            }
            if let Err(error) = plane.flush().await {
                tracing::error!(%error, "the last events could not be written");
            }
        }
        Running::remove(&self.data_dir);
    }
}

type Opened = (Arc<Server>, Option<control::AccountKeys>, Option<tls::Tls>);

async fn open(config: &Config, mode: Mode) -> Result<Opened, Failure> {
    let addresses: Vec<std::net::IpAddr> = config
        .listen
        .iter()
        .chain(config.private_endpoints.iter().map(|private| &private.listen))
        .map(|listen| listen.address.ip())
        .chain([std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()])
        .collect();
    if assemble::starts_sealed(config, mode) {
        return Ok((Arc::new(sealed(config.clone(), mode)), None, None));
    }
    let keyring = assemble::open_keyring(config, mode, None)?;
    let tls = if config.listen.iter().any(|listen| listen.tls) || config.private_endpoints.iter().any(|private| private.listen.tls) {
        let prepared = tls::prepare(&config.data_dir, &keyring, &addresses, &config.regions, SystemClock.now_ms());
        Some(prepared.map_err(|error| Failure::general(error.to_string()))?)
    } else {
        None
    };
    let Assembly { plane, root_keys, background } = assemble::assemble(config, mode, keyring).await?;
    Ok((Arc::new(Server::open(plane, background, mode.ephemeral)), root_keys, tls))
}

fn sealed(config: Config, mode: Mode) -> Server {
    Server::sealed(Box::new(move |passphrase| {
        let config = config.clone();
        Box::pin(async move {
            let keyring = {
                let config = config.clone();
                // Argon2id takes a while and much memory: not on the threads that answer.
                let opened = tokio::task::spawn_blocking(move || assemble::open_keyring(&config, mode, Some(passphrase))).await;
                opened.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?
            };
            let Assembly { plane, background, .. } = assemble::assemble(&config, mode, keyring).await.map_err(|error| error.to_string())?;
            Ok((plane, background))
        })
    }))
}

/// Two servers on one folder would damage it.
fn lock(data_dir: &std::path::Path) -> Result<std::fs::File, Failure> {
    let file = std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(data_dir.join("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Failure::general(format!("another server uses `{}`", data_dir.display()))
            .with_hint("stop it first, or use another `--data-dir`")),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

fn announce(serving: &Serving, credentials_out: Option<&std::path::Path>) -> Result<(), Failure> {
    let running = &serving.running;
    output::line(&format!("bailiwick {} serves account {} in {}", env!("CARGO_PKG_VERSION"), running.account_id, running.region))?;
    for endpoint in &running.endpoints {
        output::line(&format!("  {endpoint}"))?;
    }
    if serving.server.plane().is_none() {
        output::line("  sealed: give the passphrase with `bailiwick unseal`")?;
    }
    match (&serving.root, credentials_out) {
        (Some(_), Some(path)) => output::line(&format!("  root credentials are in {}", path.display()))?,
        (Some(root), None) => {
            output::line("  root credentials, shown this once and stored nowhere:")?;
            output::line(&format!("    AWS_ACCESS_KEY_ID={}", root.access_key_id))?;
            output::line(&format!("    AWS_SECRET_ACCESS_KEY={}", root.secret_access_key.as_str()))?;
        }
        (None, _) => {}
    }
    output::line(&format!("  clients: eval \"$(bailiwick env --data-dir {})\"", serving.data_dir.display()))
}

/// Waits for an interrupt or a termination signal.
async fn stopped() {
    let mut terminate = match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(terminate) => terminate,
        Err(error) => {
            tracing::warn!(%error, "the termination signal cannot be watched");
            let _ = tokio::signal::ctrl_c().await;
            return;
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Logs go to standard error: JSON unless it is a terminal. `BAILIWICK_LOG` sets the filter.
pub fn start_log() {
    use std::io::IsTerminal as _;
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("BAILIWICK_LOG").unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A log that cannot be written (its disk is full) must not be the end of whoever wanted to log: the complaint about it would panic.
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).log_internal_errors(false);
    // A second call in one process keeps the first log.
    let _ = if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
}
