//! `bailiwick witness`: cosigns the checkpoints of logs, on another machine than theirs. It remembers the largest tree that it saw of each log,
//! so that whoever sets a log back or rewrites it is found out.
//!
//! It speaks C2SP `tlog-witness` (`POST /add-checkpoint`) and shows what it cosigned last (`GET /log/SHA-256-OF-THE-ORIGIN/checkpoint`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use plane::Clock as _;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, Semaphore};
use transparency::merkle::sha256;
use transparency::note::{Algorithm, NoteSignature};
use transparency::witness::{AddCheckpoint, REQUEST_LIMIT, Refusal, Seen, check};
use transparency::{Checkpoint, NoteSigner, SignedNote, VerifierKey};
use zeroize::Zeroizing;

use super::{Failure, output};

/// Connections at a time.
const CONNECTIONS: usize = 256;
/// A connection is closed after so long.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);
const TEXT: &str = "text/plain; charset=utf-8";

/// Cosign the checkpoints of logs that run elsewhere.
#[derive(clap::Args)]
pub struct Witness {
    /// Folder of the witness's keys and memory.
    #[arg(long, value_name = "FOLDER")]
    data_dir: PathBuf,
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4567")]
    listen: SocketAddr,
    /// Name under the cosignatures, for example `witness.example.com/audit`.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// A key of a log to cosign (`NAME+ID+KEY`, as `/_bailiwick/log/REGION/keys` shows them); repeatable.
    #[arg(long = "log-key", value_name = "KEY", required = true)]
    log_keys: Vec<String>,
}

/// A witness at work.
struct State {
    folder: PathBuf,
    signers: Vec<NoteSigner>,
    logs: HashMap<String, Vec<VerifierKey>>,
    /// One request at a time is checked, remembered and signed: what is remembered never goes back.
    turn: Mutex<()>,
}

impl Witness {
    pub async fn run(self) -> Result<(), Failure> {
        super::up::start_log();
        let mut logs: HashMap<String, Vec<VerifierKey>> = HashMap::new();
        for text in &self.log_keys {
            let key = VerifierKey::parse(text).map_err(|error| Failure::general(error.to_string()).with_code(2))?;
            logs.entry(key.name.clone()).or_default().push(key);
        }
        crate::server::assemble::private_folder(&self.data_dir)?;
        let signers = vec![
            signer(&self.data_dir, &self.name, Algorithm::CosignatureV1, "ed25519.key")?,
            signer(&self.data_dir, &self.name, Algorithm::MlDsa44, "ml-dsa-44.key")?,
        ];
        let listener = TcpListener::bind(self.listen).await?;
        let address = listener.local_addr()?;
        let keys: Vec<String> = signers.iter().map(|signer| signer.key.to_string()).collect();
        replace(&self.data_dir.join("witness.json"), &json!({ "url": format!("http://{address}"), "keys": keys }).to_string())?;
        output::line(&format!("the witness `{}` listens on http://{address}", self.name))?;
        for key in &keys {
            output::line(&format!("  key: {key}"))?;
        }
        let state = Arc::new(State { folder: self.data_dir, signers, logs, turn: Mutex::new(()) });
        serve(listener, state).await;
        Ok(())
    }
}

/// The key in the file, made when there is none.
fn signer(folder: &Path, name: &str, algorithm: Algorithm, file: &str) -> Result<NoteSigner, Failure> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.join(file);
    let unusable = |cause: &dyn std::fmt::Display| Failure::general(format!("the key `{}` cannot be used: {cause}", path.display()));
    let pkcs8 = match std::fs::read_to_string(&path) {
        Ok(text) => Zeroizing::new(hex::decode(Zeroizing::new(text).trim()).map_err(|error| unusable(&error))?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let new = NoteSigner::generate(algorithm).map_err(|error| unusable(&error))?;
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&path)?;
            std::io::Write::write_all(&mut file, Zeroizing::new(hex::encode(new.as_slice())).as_bytes())?;
            file.sync_all()?;
            new
        }
        Err(error) => return Err(unusable(&error)),
    };
    NoteSigner::new(name, algorithm, &pkcs8).map_err(|error| unusable(&error))
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection cannot be taken");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let state = Arc::clone(&state);
                async move { Ok::<_, std::convert::Infallible>(state.answer(request).await) }
            });
            let mut builder = Builder::new(TokioExecutor::new());
            builder.http1().timer(TokioTimer::new()).header_read_timeout(CONNECTION_TIMEOUT);
            // A connection that takes longer is closed; a log comes again.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, builder.serve_connection(TokioIo::new(stream), service)).await;
            drop(permit);
        });
    }
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(kind));
    response
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        if request.method() == Method::POST && path == "/add-checkpoint" {
            let Ok(body) = Limited::new(request.into_body(), REQUEST_LIMIT).collect().await else {
                return answer(StatusCode::PAYLOAD_TOO_LARGE, TEXT, "the request is too large\n".to_owned());
            };
            return match self.cosign(&body.to_bytes()).await {
                Ok(lines) => answer(StatusCode::OK, TEXT, lines),
                Err(Unsigned::Refused(refusal)) => {
                    let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
                    match refusal {
                        Refusal::Conflict(size) | Refusal::OtherRoot(size) => answer(status, "text/x.tlog.size", format!("{size}\n")),
                        _ => answer(status, TEXT, format!("{refusal}\n")),
                    }
                }
                Err(Unsigned::Failed(cause)) => {
                    tracing::error!(cause, "a checkpoint cannot be cosigned");
                    answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "the witness cannot remember\n".to_owned())
                }
            };
        }
        let id = path.strip_prefix("/log/").and_then(|rest| rest.strip_suffix("/checkpoint"));
        let id = id.filter(|id| id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match id.map(|id| std::fs::read_to_string(self.folder.join(format!("{id}.checkpoint")))) {
            Some(Ok(note)) if request.method() == Method::GET => answer(StatusCode::OK, TEXT, note),
            _ => answer(StatusCode::NOT_FOUND, TEXT, "not found\n".to_owned()),
        }
    }

    async fn cosign(&self, body: &[u8]) -> Result<String, Unsigned> {
        let request = AddCheckpoint::parse(body).map_err(|_| Unsigned::Refused(Refusal::Malformed))?;
        let origin = request.note.text.lines().next().unwrap_or_default();
        let keys = self.logs.get(origin).ok_or(Unsigned::Refused(Refusal::UnknownLog))?;
        let path = self.folder.join(format!("{}.checkpoint", hex::encode(sha256(origin.as_bytes()))));
        let _turn = self.turn.lock().await;
        let seen = remembered(&path)?;
        let (checkpoint, _) = check(&request, keys, seen.as_ref()).map_err(Unsigned::Refused)?;
        // Only the three lines that a witness vouches for; extensions are the log's own.
        let failed = |error: &dyn std::fmt::Display| Unsigned::Failed(error.to_string());
        let now_s = u64::try_from(plane::SystemClock.now_ms() / 1000).unwrap_or_default();
        let text = request.note.text.clone();
        let signed: Result<Vec<NoteSignature>, _> = self.signers.iter().map(|signer| signer.sign(&text, now_s)).collect();
        let signed = signed.map_err(|error| failed(&error))?;
        let mut kept = request.note.clone();
        kept.signatures.retain(|signature| keys.iter().any(|key| key.name == signature.name && key.id == signature.id));
        kept.signatures.extend(signed.iter().cloned());
        replace(&path, &kept.to_note()).map_err(|error| failed(&error))?;
        tracing::info!(origin = checkpoint.origin, size = checkpoint.size, "cosigned");
        Ok(signed.iter().map(NoteSignature::to_line).collect())
    }
}

enum Unsigned {
    Refused(Refusal),
    Failed(String),
}

/// What was cosigned last. A memory that cannot be read is no memory of nothing: then nothing is signed.
fn remembered(path: &Path) -> Result<Option<Seen>, Unsigned> {
    let failed = |error: &dyn std::fmt::Display| Unsigned::Failed(format!("`{}`: {error}", path.display()));
    let note = match std::fs::read_to_string(path) {
        Ok(note) => note,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(&error)),
    };
    let checkpoint = SignedNote::parse(&note).and_then(|note| Checkpoint::parse(&note.text)).map_err(|error| failed(&error))?;
    Ok(Some(Seen { size: checkpoint.size, root: checkpoint.root }))
}

/// Writes a file so that a crash leaves the old or the new one, durably.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = std::fs::File::create(&partial)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&partial, path)?;
    match path.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
