//! Keeps the ledgers up with their logs, and asks the witnesses.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use outbound::{AddressRule, AllowEntry, Client, Limits};
use plane::Plane;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use transparency::note::{NoteSignature, parse_signatures};
use transparency::witness::AddCheckpoint;
use transparency::{Checkpoint, SignedNote, VerifierKey};

use crate::config::WitnessSetting;

/// New events wait so long for others before the ledger takes them in.
const PAUSE: Duration = Duration::from_secs(1);
/// Largest answer of a witness.
const ANSWER_LIMIT_BYTES: u64 = 64 * 1024;
/// Questions to one witness in one round: the second one knows its size.
const QUESTIONS: usize = 3;

/// Follows every region's log until the plane is gone or the server stops.
pub fn start(plane: &Arc<Plane>, stopping: &watch::Receiver<bool>) -> Vec<JoinHandle<()>> {
    let mut tasks = Vec::new();
    for (position, region) in plane.regions.iter().enumerate() {
        let (weak, mut head, mut stopping) = (Arc::downgrade(plane), region.store.head(), stopping.clone());
        tasks.push(tokio::spawn(async move {
            loop {
                let news = async {
                    let changed = head.changed().await.is_ok();
                    tokio::time::sleep(PAUSE).await;
                    changed
                };
                tokio::select! {
                    _ = stopping.changed() => return,
                    changed = news => if !changed { return },
                }
                let Some(plane) = weak.upgrade() else { return };
                if let Err(error) = keep_up(&plane, position).await {
                    tracing::warn!(%error, "the ledger is behind its log; it will be tried again");
                }
            }
        }));
    }
    tasks
}

async fn keep_up(plane: &Plane, position: usize) -> Result<(), String> {
    let ledger = plane.ledger(position).map_err(|error| error.to_string())?;
    ledger.advance().await.map_err(|error| error.to_string())?;
    while ledger.compact().await.map_err(|error| error.to_string())? {}
    Ok(())
}

/// The witnesses of the settings, with the client that reaches them.
pub struct Witnesses {
    list: Vec<WitnessSetting>,
    client: Client,
}

impl Witnesses {
    pub fn new(list: Vec<WitnessSetting>, allow_internal: &[String]) -> Self {
        let entries: Vec<AllowEntry> = allow_internal.iter().filter_map(|entry| entry.parse().ok()).collect();
        let limits = Limits { head_timeout: Duration::from_secs(10), body_limit_bytes: ANSWER_LIMIT_BYTES, ..Limits::default() };
        Self { list, client: Client::new(AddressRule::new(entries), limits) }
    }

    /// Has the newest checkpoint of a region cosigned, unless that was done.
    pub async fn ask(&self, plane: &Plane, position: usize) -> Result<(), String> {
        if self.list.is_empty() {
            return Ok(());
        }
        let text = |error: &dyn std::fmt::Display| error.to_string();
        let ledger = plane.ledger(position).map_err(|error| text(&error))?;
        let now_s = u64::try_from(plane.now().0 / 1000).unwrap_or_default();
        let note = ledger.checkpoint(now_s).await.map_err(|error| text(&error))?;
        let last = ledger.cosigned().await.map_err(|error| text(&error))?;
        if last.as_ref().is_some_and(|last| last.text == note.text) {
            return Ok(());
        }
        let seen = last.and_then(|last| Checkpoint::parse(&last.text).ok()).map_or(0, |checkpoint| checkpoint.size);
        let mut cosignatures = Vec::new();
        for witness in &self.list {
            match self.cosign(ledger, witness, &note, seen).await {
                Ok(lines) => cosignatures.extend(lines),
                Err(error) => tracing::warn!(witness = witness.key.name, error, "a witness did not cosign"),
            }
        }
        if cosignatures.is_empty() {
            return Ok(());
        }
        ledger.keep_cosignatures(&note, cosignatures).await.map_err(|error| text(&error))
    }

    async fn cosign(
        &self,
        ledger: &trail::Ledger,
        witness: &WitnessSetting,
        note: &SignedNote,
        seen: u64,
    ) -> Result<Vec<NoteSignature>, String> {
        let checkpoint = Checkpoint::parse(&note.text).map_err(|error| error.to_string())?;
        let mut old_size = seen;
        for _ in 0..QUESTIONS {
            if old_size > checkpoint.size {
                return Err(format!("it has seen {old_size} entries of this log, which has {}: the log was set back", checkpoint.size));
            }
            let proof = ledger.consistency(old_size, checkpoint.size).await.map_err(|error| error.to_string())?;
            let body = AddCheckpoint { old_size, proof, note: note.clone() }.to_body();
            let request = http::Request::post(format!("{}/add-checkpoint", witness.url.trim_end_matches('/'))).body(Bytes::from(body));
            let response = self.client.send(request.map_err(|error| error.to_string())?).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let answer = response.into_body().collect().await.map_err(|error| error.to_string())?;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            match status.as_u16() {
                200 => return trusted(&answer, note, &witness.key),
                409 => {
                    let size = answer.trim().parse().map_err(|_| "its answer has no size".to_owned())?;
                    if size == old_size {
                        return Err("it saw another tree of this size".to_owned());
                    }
                    old_size = size;
                }
                status => return Err(format!("it answered {status}: {}", answer.chars().take(200).collect::<String>())),
            }
        }
        Err("it answers with another size each time".to_owned())
    }
}

/// The lines of the answer, if the witness that we know is among those who signed. Others are left out: nobody here knows them.
fn trusted(answer: &str, note: &SignedNote, key: &VerifierKey) -> Result<Vec<NoteSignature>, String> {
    let signatures = parse_signatures(answer).map_err(|error| error.to_string())?;
    let signatures: Vec<NoteSignature> =
        signatures.into_iter().filter(|signature| signature.name == key.name && signature.id == key.id).collect();
    let signed = SignedNote { text: note.text.clone(), signatures: signatures.clone() };
    signed.verified_by(std::slice::from_ref(key)).map_err(|_| "its signature does not hold".to_owned())?;
    Ok(signatures)
}
