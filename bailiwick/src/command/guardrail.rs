//! `bailiwick guardrail replay`: what a draft would have said to yesterday's prompts.
//!
//! The prompts come from the invocation log in the account's bucket; each is put to `ApplyGuardrail` twice, with the version that is compared and with
//! the draft. Only the caller's own rights are used, and nothing but the verdicts is printed.

use std::io::Read as _;

use jiff::Timestamp;
use serde_json::Value as Json;
use wire::{Struct, Value};

use super::output::{self, Format};
use super::running::{CredentialsSource, Running};
use super::{Failure, Settings};
use crate::client::{Client, Credentials};

/// Files and prompts of one replay.
const FILES_MAX: usize = 10_000;
const PROMPTS_MAX: usize = 100_000;
/// Unpacked size of a log file.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Work with guardrails.
#[derive(clap::Subcommand)]
pub enum Guardrail {
    /// Run logged prompts against a draft and show which verdicts change.
    Replay(Replay),
}

/// Run logged prompts against a draft.
#[derive(clap::Args)]
pub struct Replay {
    /// The guardrail whose draft is tried: id or ARN.
    #[arg(long, value_name = "GUARDRAIL")]
    draft: String,
    /// How far back: `90m`, `24h`, `7d`.
    #[arg(long, default_value = "7d", value_name = "AGE")]
    since: String,
    /// The version that the draft is compared with: a number, `latest`, or `none` for no guardrail.
    #[arg(long, default_value = "latest", value_name = "VERSION")]
    against: String,
    /// Show also the prompts whose verdict stays.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    credentials: CredentialsSource,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Guardrail {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Replay(command) => command.run().await,
        }
    }
}

/// A logged prompt.
#[derive(Debug, PartialEq, Eq)]
struct Prompt {
    time: String,
    request_id: String,
    model: String,
    texts: Vec<String>,
}

/// The caller with the server that is called.
struct Caller {
    client: Client,
    credentials: Credentials,
}

fn structure(members: &[(&'static str, &str)]) -> Value {
    let mut made = Struct::new();
    for (name, text) in members {
        made.set(name, Value::Str((*text).to_owned()));
    }
    Value::Struct(made)
}

impl Caller {
    async fn call(&self, service: &str, operation: &str, input: &Value) -> Result<Value, Failure> {
        Ok(self.client.call_named(&self.credentials, service, operation, input).await?)
    }

    /// The bytes of an object.
    async fn object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, Failure> {
        let unknown = || Failure::general("the operation `GetObject` is not known");
        let service = facts::catalog().service("s3").ok_or_else(unknown)?;
        let operation = service.operation("GetObject").ok_or_else(unknown)?;
        let request = self.client.prepare(service, operation, &structure(&[("Bucket", bucket), ("Key", key)]), bytes::Bytes::new())?;
        let request = self.client.sign(request, service, &self.credentials, Timestamp::now())?;
        let answer = self.client.send(request).await?;
        if answer.status >= 300 {
            crate::client::decode(service, operation, &answer)?;
        }
        Ok(answer.body.to_vec())
    }

    /// Keys of log files that are not older than `since`, oldest first.
    async fn files(&self, bucket: &str, folder: &str, since: Timestamp) -> Result<Vec<String>, Failure> {
        let mut keys = Vec::new();
        let mut token: Option<String> = None;
        // Folders are named by the hour, so the first hour's name is where reading begins.
        let start = format!("{folder}{}", since.strftime("%Y/%m/%d/%H"));
        loop {
            let mut members = vec![("Bucket", bucket), ("Prefix", folder)];
            match &token {
                Some(token) => members.push(("ContinuationToken", token)),
                None => members.push(("StartAfter", &start)),
            }
            let page = self.call("s3", "ListObjectsV2", &structure(&members)).await?;
            if let Some(Value::List(objects)) = page.member("Contents") {
                keys.extend(
                    objects
                        .iter()
                        .filter_map(|object| object.member("Key").and_then(Value::as_str))
                        .filter(|key| is_log_file(key))
                        .map(str::to_owned),
                );
            }
            token = page.member("NextContinuationToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() || keys.len() > FILES_MAX {
                break;
            }
        }
        if keys.len() > FILES_MAX {
            return Err(Failure::general(format!("there are more than {FILES_MAX} log files: use a later `--since`")));
        }
        Ok(keys)
    }

    /// What a version says to a prompt: the action and the filters that detected something.
    async fn verdict(&self, guardrail: &str, version: &str, prompt: &Prompt) -> Result<(String, String), Failure> {
        let block = |text: &String| {
            let mut inner = Struct::new();
            inner.set("text", Value::Str(text.clone()));
            let mut outer = Struct::new();
            outer.set("text", Value::Struct(inner));
            Value::Struct(outer)
        };
        let mut input = Struct::new();
        input.set("guardrailIdentifier", Value::Str(guardrail.to_owned()));
        input.set("guardrailVersion", Value::Str(version.to_owned()));
        input.set("source", Value::Str("INPUT".to_owned()));
        input.set("content", Value::List(prompt.texts.iter().map(block).collect()));
        let answer = self.call("bedrock-runtime", "ApplyGuardrail", &Value::Struct(input)).await?;
        let reason = answer.member("actionReason").and_then(Value::as_str).unwrap_or_default();
        let action = match reason {
            "Guardrail blocked." => "BLOCKED",
            "Guardrail masked." => "MASKED",
            _ => "NONE",
        };
        let mut found = Vec::new();
        if let Some(Value::List(assessments)) = answer.member("assessments") {
            for assessment in assessments {
                detected(assessment, &mut found);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok((action.to_owned(), found.join(" ")))
    }
}

/// Names of what detected something, wherever in an assessment it stands.
fn detected(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::List(items) => items.iter().for_each(|item| detected(item, found)),
        Value::Struct(members) => {
            if members.get("detected") == Some(&Value::Bool(true)) {
                let name = ["name", "type"].iter().find_map(|name| members.get(name).and_then(Value::as_str));
                found.push(name.unwrap_or("CUSTOM_WORD").replace(' ', "_"));
            }
            members.iter().for_each(|(_, member)| detected(member, found));
        }
        _ => {}
    }
}

impl Replay {
    async fn run(self) -> Result<(), Failure> {
        let config = self.settings.resolve()?;
        let running = Running::read(&config.data_dir)?;
        let caller = Caller { client: running.client()?, credentials: self.credentials.read()? };
        let since = age(&self.since).and_then(|age| Timestamp::now().checked_sub(age).ok());
        let since = since.ok_or_else(|| Failure::general(format!("`{}` is not an age such as `7d`", self.since)).with_code(2))?;
        let before = self.version_before(&caller).await?;
        let prompts = prompts(&caller, &running.region, since).await?;
        let mut rows = Vec::new();
        let mut changed = 0;
        for prompt in &prompts {
            let (was, was_found) = match &before {
                Some(version) => caller.verdict(&self.draft, version, prompt).await?,
                None => ("NONE".to_owned(), String::new()),
            };
            let (is, is_found) = caller.verdict(&self.draft, "DRAFT", prompt).await?;
            changed += usize::from(was != is);
            if self.all || was != is {
                rows.push(vec![prompt.time.clone(), prompt.request_id.clone(), prompt.model.clone(), was, is, was_found, is_found]);
            }
        }
        output::rows(self.output, &["TIME", "REQUEST", "MODEL", "BEFORE", "DRAFT", "FOUND BEFORE", "FOUND BY DRAFT"], &rows)?;
        if self.output == Format::Table {
            output::line(&format!("{changed} of {} verdicts change", prompts.len()))?;
        }
        Ok(())
    }

    /// The version to compare with; `None` for no guardrail.
    async fn version_before(&self, caller: &Caller) -> Result<Option<String>, Failure> {
        match self.against.as_str() {
            "none" => return Ok(None),
            "latest" => {}
            version => return Ok(Some(version.to_owned())),
        }
        let listed = caller.call("bedrock", "ListGuardrails", &structure(&[("guardrailIdentifier", &self.draft)])).await?;
        let Some(Value::List(versions)) = listed.member("guardrails") else { return Ok(None) };
        let numbers = versions.iter().filter_map(|version| version.member("version").and_then(Value::as_str)?.parse::<u32>().ok());
        Ok(numbers.max().map(|number| number.to_string()))
    }
}

/// A span of time: a number and `m`, `h` or `d`.
fn age(text: &str) -> Option<jiff::SignedDuration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: i64 = number.parse().ok().filter(|number| (0..=100_000).contains(number))?;
    let minutes = match unit {
        "m" => number,
        "h" => number * 60,
        "d" => number * 60 * 24,
        _ => return None,
    };
    Some(jiff::SignedDuration::from_mins(minutes))
}

fn is_log_file(key: &str) -> bool {
    key.ends_with(".json.gz") && !key.contains("/data/")
}

/// The prompts of the invocation log.
async fn prompts(caller: &Caller, region: &str, since: Timestamp) -> Result<Vec<Prompt>, Failure> {
    let configuration = caller.call("bedrock", "GetModelInvocationLoggingConfiguration", &structure(&[])).await?;
    let place = |name: &str| configuration.path(&format!("loggingConfig.s3Config.{name}")).and_then(Value::as_str).map(str::to_owned);
    let bucket = place("bucketName").ok_or_else(|| {
        Failure::general("the account logs no model calls to a bucket")
            .with_hint("switch it on with `aws bedrock put-model-invocation-logging-configuration`")
    })?;
    let prefix = place("keyPrefix").filter(|prefix| !prefix.is_empty()).map(|prefix| format!("{}/", prefix.trim_end_matches('/')));
    let identity = caller.call("sts", "GetCallerIdentity", &structure(&[])).await?;
    let account = identity.member("Account").and_then(Value::as_str).unwrap_or_default().to_owned();
    let folder = format!("{}AWSLogs/{account}/BedrockModelInvocationLogs/{region}/", prefix.unwrap_or_default());
    let mut found = Vec::new();
    for key in caller.files(&bucket, &folder, since).await? {
        let packed = caller.object(&bucket, &key).await?;
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed.as_slice())
            .take(FILE_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| Failure::general(format!("the log file `{key}` cannot be read: {error}")))?;
        for line in text.lines() {
            let Ok(entry) = serde_json::from_str::<Json>(line) else { continue };
            let is_recent = entry
                .get("timestamp")
                .and_then(Json::as_str)
                .and_then(|time| time.parse::<Timestamp>().ok())
                .is_some_and(|time| time >= since);
            if let Some(prompt) = prompt(&entry).filter(|_| is_recent) {
                found.push(prompt);
            }
            if found.len() > PROMPTS_MAX {
                return Err(Failure::general(format!("there are more than {PROMPTS_MAX} prompts: use a later `--since`")));
            }
        }
    }
    Ok(found)
}

/// The prompt of a log entry; `None` when it has no text (the log leaves texts out, or the body is an object of its own).
fn prompt(entry: &Json) -> Option<Prompt> {
    let body = entry.pointer("/input/inputBodyJson")?;
    let mut texts = Vec::new();
    for name in ["messages", "prompt", "inputText", "message"] {
        if let Some(part) = body.get(name) {
            collect(part, &mut texts, 0);
        }
    }
    let member = |name: &str| entry.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
    (!texts.is_empty()).then(|| Prompt { time: member("timestamp"), request_id: member("requestId"), model: member("modelId"), texts })
}

/// Texts of messages in any of the body shapes: a text itself, or the members `content` and `text` of what is nested.
fn collect(value: &Json, texts: &mut Vec<String>, depth: usize) {
    if depth > 8 {
        return;
    }
    match value {
        Json::String(text) if !text.is_empty() => texts.push(text.clone()),
        Json::Array(items) => items.iter().for_each(|item| collect(item, texts, depth + 1)),
        Json::Object(members) => {
            for name in ["content", "text", "guardContent"] {
                if let Some(member) = members.get(name) {
                    collect(member, texts, depth + 1);
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prompts_are_read_from_every_body_shape() {
        let entry = |body: Json| json!({ "timestamp": "t", "requestId": "r", "modelId": "m", "input": { "inputBodyJson": body } });
        let texts = |body: Json| prompt(&entry(body)).map(|prompt| prompt.texts);
        let converse =
            json!({ "messages": [{ "role": "user", "content": [{ "text": "a" }, { "guardContent": { "text": { "text": "b" } } }] }] });
        assert_eq!(texts(converse), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(texts(json!({ "messages": [{ "role": "user", "content": "a" }] })), Some(vec!["a".to_owned()]));
        assert_eq!(texts(json!({ "inputText": "a" })), Some(vec!["a".to_owned()]));
        assert_eq!(texts(json!({ "messages": [] })), None);
        assert_eq!(prompt(&json!({ "input": {} })), None);
    }

    #[test]
    fn ages_are_numbers_with_a_unit() {
        assert_eq!(age("7d"), Some(jiff::SignedDuration::from_hours(168)));
        assert_eq!(age("90m"), Some(jiff::SignedDuration::from_mins(90)));
        for wrong in ["", "d", "7", "-1d", "7w", "1é"] {
            assert_eq!(age(wrong), None, "{wrong}");
        }
    }
}
