//! `bailiwick wait` and `bailiwick unseal`.

use std::io::Read as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::running::Running;
use super::{Failure, Settings, output};
use crate::client::{Answer, ClientError};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Wait until the server is ready.
#[derive(clap::Args)]
pub struct Wait {
    #[command(flatten)]
    settings: Settings,
    /// Give up after so many seconds.
    #[arg(long, default_value_t = 30)]
    timeout: u64,
}

impl Wait {
    pub async fn run(self) -> Result<(), Failure> {
        let config = self.settings.resolve()?;
        let deadline = Instant::now() + Duration::from_secs(self.timeout);
        loop {
            if let Ok(running) = Running::read(&config.data_dir)
                && let Ok(answer) = get(&running, "/_bailiwick/health/ready").await
                && answer.status == 200
            {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Failure::general(format!(
                    "the server on `{}` is not ready after {} s",
                    config.data_dir.display(),
                    self.timeout
                ))
                .with_code(4));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// An unsigned GET.
pub async fn get(running: &Running, path: &str) -> Result<Answer, ClientError> {
    exchange(running, "GET", path, Bytes::new()).await
}

async fn exchange(running: &Running, method: &str, path: &str, body: Bytes) -> Result<Answer, ClientError> {
    let client = running.client().map_err(|failure| ClientError::Request(failure.message))?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", &client.authority)
        .header("content-length", body.len())
        .body(Full::new(body))
        .map_err(|error| ClientError::Request(error.to_string()))?;
    client.send(request).await
}

/// Give a sealed server its passphrase.
#[derive(clap::Args)]
pub struct Unseal {
    #[command(flatten)]
    settings: Settings,
}

impl Unseal {
    pub async fn run(self) -> Result<(), Failure> {
        let config = self.settings.resolve()?;
        let running = Running::read(&config.data_dir)?;
        let mut passphrase = zeroize::Zeroizing::new(String::new());
        std::io::stdin().lock().take(4096).read_to_string(&mut passphrase)?;
        let body = Bytes::copy_from_slice(passphrase.trim_end_matches(['\r', '\n']).as_bytes());
        let answer = exchange(&running, "POST", "/_bailiwick/unseal", body).await?;
        let message = serde_json::from_slice::<serde_json::Value>(&answer.body)
            .ok()
            .and_then(|json| json.get("message")?.as_str().map(str::to_owned))
            .unwrap_or_default();
        if answer.status == 200 { output::line(&message) } else { Err(Failure::general(message).with_code(5)) }
    }
}
