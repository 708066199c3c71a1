//! The way to a model: the same prompt straight to a model server that answers at once, through Bailiwick with and without a guardrail, and
//! through `LiteLLM`'s proxy. What a gateway adds is its time less that of the straight way.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use sigv4::Signer;

use crate::Failure;
use crate::load::{self, Caller, Connection, Measured, Pace, Wire};
use crate::target::{Kind, Target};
use crate::upstream::{CHUNKS, HOLD, Upstream};

/// Characters of the prompt.
const PROMPT_LENGTH: usize = 1_000;
/// Streams that are open at the same time.
const STREAMS: usize = 2_000;
const STREAMS_TIMEOUT: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(5);
/// Streams that are read for the time of a chunk.
const ROUNDS: u32 = 20;

/// One way to the model.
#[derive(Clone)]
struct Door {
    name: &'static str,
    address: SocketAddr,
    path: &'static str,
    headers: HeaderMap,
    body: Value,
    signer: Option<Signer>,
}

/// A caller at a door.
struct Client {
    door: Door,
    wire: Wire,
}

impl Client {
    async fn open(door: &Door) -> Result<Self, Failure> {
        Ok(Self { door: door.clone(), wire: Wire::open(door.address).await? })
    }

    async fn answer(&mut self) -> Result<Bytes, Failure> {
        let Door { address, path, headers, body, signer, .. } = &self.door;
        let request = load::request(*address, &Method::POST, path, headers.clone(), body.to_string().into(), signer.as_ref())?;
        self.wire.send(request).await
    }
}

impl Caller for Client {
    async fn call(&mut self) -> Result<(), Failure> {
        self.answer().await.map(drop)
    }
}

/// A prompt as people write them, of some length.
fn prompt() -> String {
    let text = "Please read the notes of yesterday's meeting below and tell me which of the open questions are for my team, who offered to look \
        into the delivery times, and by when the budget for the next quarter has to be agreed. ";
    text.chars().cycle().take(PROMPT_LENGTH).collect()
}

fn headers(list: &[(&'static str, &str)]) -> Result<HeaderMap, Failure> {
    let mut all = HeaderMap::new();
    all.insert("content-type", HeaderValue::from_static("application/json"));
    for (name, value) in list {
        all.insert(HeaderName::from_static(name), HeaderValue::from_str(value).map_err(|error| error.to_string())?);
    }
    Ok(all)
}

fn openai(name: &'static str, address: SocketAddr, more: &[(&'static str, &str)]) -> Result<Door, Failure> {
    let body = json!({ "model": "bench", "messages": [{ "role": "user", "content": prompt() }] });
    Ok(Door { name, address, path: "/v1/chat/completions", headers: headers(more)?, body, signer: None })
}

/// What the administrator of the bench made.
struct Furnished {
    /// Of a user who may ask models.
    key: String,
    /// With words, personal data and prompt attacks.
    guardrail: String,
}

const FORM: &[(&str, &str)] = &[("content-type", "application/x-www-form-urlencoded")];

async fn furnish(target: &Target) -> Result<Furnished, Failure> {
    let mut connection = Connection::open(target, 0).await?;
    let policy = "%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22bedrock%3A%2A%22%2C%22Resource%22%3A%22%2A%22%7D%7D";
    let mut key = String::new();
    for call in [
        "Action=CreateUser&UserName=bench".to_owned(),
        format!("Action=PutUserPolicy&UserName=bench&PolicyName=models&PolicyDocument={policy}"),
        "Action=CreateServiceSpecificCredential&UserName=bench&ServiceName=bedrock.amazonaws.com".to_owned(),
    ] {
        let answer = connection.send("iam", &Method::POST, "/", FORM, format!("{call}&Version=2010-05-08").into()).await?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let secret = answer.split_once("<ServiceCredentialSecret>").and_then(|(_, rest)| rest.split_once('<'));
        key = secret.map(|(secret, _)| secret.to_owned()).unwrap_or(key);
    }
    let guardrail = json!({
        "name": "bench", "blockedInputMessaging": "Blocked.", "blockedOutputsMessaging": "Blocked.",
        "wordPolicyConfig": { "wordsConfig": [{ "text": "project nightingale" }], "managedWordListsConfig": [{ "type": "PROFANITY" }] },
        "sensitiveInformationPolicyConfig": { "piiEntitiesConfig": [
            { "type": "EMAIL", "action": "ANONYMIZE" }, { "type": "PHONE", "action": "ANONYMIZE" }, { "type": "NAME", "action": "ANONYMIZE" },
            { "type": "CREDIT_DEBIT_CARD_NUMBER", "action": "BLOCK" },
        ] },
        "contentPolicyConfig": { "filtersConfig": [{ "type": "PROMPT_ATTACK", "inputStrength": "HIGH", "outputStrength": "NONE" }] },
    });
    let json_type = [("content-type", "application/json")];
    let answer = connection.send("bedrock", &Method::POST, "/guardrails", &json_type, guardrail.to_string().into()).await?;
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| error.to_string())?;
    let guardrail = answer.get("guardrailId").and_then(Value::as_str).ok_or("CreateGuardrail gave no guardrail")?.to_owned();
    if key.is_empty() { Err("there is no key".to_owned()) } else { Ok(Furnished { key, guardrail }) }
}

const IDENTIFIER: &str = "x-amzn-bedrock-guardrailidentifier";
const VERSION: &str = "x-amzn-bedrock-guardrailversion";

fn ours(target: &Target, furnished: &Furnished) -> Result<Vec<Door>, Failure> {
    let bearer = format!("Bearer {}", furnished.key);
    let guarded = [("authorization", bearer.as_str()), (IDENTIFIER, &furnished.guardrail), (VERSION, "DRAFT")];
    let converse = json!({
        "messages": [{ "role": "user", "content": [{ "text": prompt() }] }],
        "guardrailConfig": { "guardrailIdentifier": furnished.guardrail, "guardrailVersion": "DRAFT" },
    });
    Ok(vec![
        openai("Bailiwick, API key", target.address, &[("authorization", &bearer)])?,
        openai("Bailiwick, API key, guardrail", target.address, &guarded)?,
        Door {
            name: "Bailiwick, signed Converse, guardrail",
            address: target.address,
            path: "/model/bench/converse",
            headers: headers(&[])?,
            body: converse,
            signer: Some(target.signer("bedrock")),
        },
    ])
}

/// One way's results.
struct Row {
    name: &'static str,
    alone: Measured,
    together: Measured,
    /// Of one chunk of a stream, where it streams.
    chunk: Option<Duration>,
}

async fn row(target: &Target, door: &Door, pace: &Pace) -> Result<Row, Failure> {
    let told = |error: Failure| format!("{}: {error}", door.name);
    let mut measured = Vec::new();
    for clients in [1, pace.clients] {
        let mut callers = Vec::with_capacity(clients);
        for _ in 0..clients {
            let mut client = Client::open(door).await?;
            client.call().await.map_err(told)?;
            callers.push(client);
        }
        measured.push(load::measure(target, callers, pace.time).await.map_err(told)?);
    }
    let chunk = if door.signer.is_none() { Some(chunk_time(door).await.map_err(told)?) } else { None };
    let (Some(together), Some(alone)) = (measured.pop(), measured.pop()) else { return Err("nothing was measured".to_owned()) };
    Ok(Row { name: door.name, alone, together, chunk })
}

/// The door with a streamed answer to a text.
fn streaming(door: &Door, text: &str) -> Door {
    let body = json!({ "model": "bench", "messages": [{ "role": "user", "content": text }], "stream": true });
    Door { body, ..door.clone() }
}

async fn chunk_time(door: &Door) -> Result<Duration, Failure> {
    let mut client = Client::open(&streaming(door, &prompt())).await?;
    client.call().await?;
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        let answer = client.answer().await?;
        if !String::from_utf8_lossy(&answer).contains("[DONE]") {
            return Err("a stream has no end".to_owned());
        }
    }
    Ok(begun.elapsed() / (ROUNDS * CHUNKS))
}

/// Resident KiB of the server with many streams open that wait for their model.
async fn many_streams(target: &Target, door: &Door, upstream: &Upstream) -> Result<u64, Failure> {
    let door = streaming(door, &format!("{HOLD} {}", prompt()));
    let mut callers = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        let mut client = Client::open(&door).await?;
        callers.push(tokio::spawn(async move { client.call().await }));
    }
    let begun = Instant::now();
    while upstream.held() < STREAMS {
        if begun.elapsed() > STREAMS_TIMEOUT || callers.iter().any(tokio::task::JoinHandle::is_finished) {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let (held, resident) = (upstream.held(), target.resident_kib()?);
    upstream.release();
    for caller in callers {
        caller.await.map_err(|error| error.to_string())??;
    }
    if held < STREAMS { Err(format!("only {held} of {STREAMS} streams were open")) } else { Ok(resident) }
}

/// Measures all ways; gives Markdown.
pub(crate) async fn measure(bailiwick: &Path, litellm: Option<&Path>, pace: &Pace) -> Result<String, Failure> {
    let upstream = Upstream::start()?;
    let url = upstream.url();
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let config = folder.path().join("bailiwick.toml");
    let text = format!("[[upstreams]]\nname = \"bench\"\nkind = \"openai\"\nurl = \"{url}\"\nconcurrency = {}\n", 2 * STREAMS);
    std::fs::write(&config, text).map_err(|error| error.to_string())?;
    let config = config.to_string_lossy();
    let target = Target::bailiwick(bailiwick, Kind::Redb, &["--config", &config, "--allow-internal", "127.0.0.1"]).await?;
    let furnished = furnish(&target).await?;
    let doors = ours(&target, &furnished)?;
    let mut rows = vec![row(&target, &openai("straight to the model server", upstream.address, &[])?, pace).await?];
    for door in &doors {
        rows.push(row(&target, door, pace).await?);
    }
    if let Some(litellm) = litellm {
        let peer = Target::litellm(litellm, &url).await?;
        let bearer = format!("Bearer {}", Target::LITELLM_KEY);
        rows.push(row(&peer, &openai("LiteLLM, master key", peer.address, &[("authorization", &bearer)])?, pace).await?);
    }
    let idle = target.resident_kib()?;
    let guarded = doors.get(1).ok_or("there is no door")?;
    let resident = many_streams(&target, guarded, &upstream).await?;
    let mut text = report(&rows, pace);
    let _ = writeln!(
        text,
        "\n{STREAMS} streams open at once behind the guardrail: {} MiB resident ({} MiB before).",
        resident / 1024,
        idle / 1024
    );
    Ok(text)
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

fn report(rows: &[Row], pace: &Pace) -> String {
    let straight = rows.first();
    let peer = rows.last().filter(|row| row.name.starts_with("LiteLLM")).map(|row| row.together.cpu.as_secs_f64());
    let mut text = format!("Prompts of {PROMPT_LENGTH} characters, {} s a row; streams of {CHUNKS} chunks.\n\n", pace.time.as_secs());
    let _ = writeln!(
        text,
        "| way | p50 ms | adds ms | p99 ms | adds a chunk ms | calls/s, {} clients | server CPU µs/call | times LiteLLM per core |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|",
        pace.clients
    );
    for (number, row) in rows.iter().enumerate() {
        let adds = straight.map_or_else(String::new, |first| milliseconds(row.alone.median.saturating_sub(first.alone.median)));
        let chunk = row
            .chunk
            .zip(straight.and_then(|first| first.chunk))
            .map_or_else(|| "-".to_owned(), |(own, first)| format!("{:.3}", own.saturating_sub(first).as_secs_f64() * 1e3));
        let cpu = row.together.cpu;
        let ratio = peer.map_or_else(|| "-".to_owned(), |peer| format!("{:.0}", peer / cpu.as_secs_f64()));
        // The model server has no process of its own to be measured.
        let (cpu, ratio) = if number == 0 { ("-".to_owned(), "-".to_owned()) } else { (cpu.as_micros().to_string(), ratio) };
        let _ = writeln!(
            text,
            "| {} | {} | {adds} | {} | {chunk} | {:.0} | {cpu} | {ratio} |",
            row.name,
            milliseconds(row.alone.median),
            milliseconds(row.alone.p99),
            row.together.calls_per_second
        );
    }
    text
}
