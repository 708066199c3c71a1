//! `bailiwick data-subject`: persons that logged prompts and answers are about. Names and log files are read from standard input.

use std::io::Read as _;

use clap::Subcommand;
use serde_json::{Value as Json, json};
use wire::{Struct, Value};

use super::running::CredentialsSource;
use super::upstream::call;
use super::{Failure, Settings, output};

/// Largest name, and largest log file, that is read.
const NAME_BYTES: u64 = 8 * 1024;
const LOG_BYTES: u64 = 1024 * 1024 * 1024;

/// Data subjects of the invocation log.
#[derive(Subcommand)]
pub enum DataSubject {
    /// Forget the key of a person: nobody can read any more what it sealed. The name is read from standard input.
    Erase {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        credentials: CredentialsSource,
    },
    /// Open the sealed bodies of a log file (JSON lines, unpacked), from standard input. Bodies of erased persons stay `null`.
    Open {
        #[command(flatten)]
        settings: Settings,
        #[command(flatten)]
        credentials: CredentialsSource,
    },
}

impl DataSubject {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Erase { settings, credentials } => {
                let name = read(NAME_BYTES)?;
                let mut input = Struct::new();
                input.set("DataSubject", Value::Str(name.trim_end_matches(['\r', '\n']).to_owned()));
                let answer = call(&settings, &credentials, "EraseDataSubject", input).await?;
                let id = answer.member("DataSubjectId").and_then(Value::as_str).unwrap_or_default();
                let was_there = matches!(answer.member("Erased"), Some(Value::Bool(true)));
                output::line(&format!("{id}: {}", if was_there { "erased" } else { "there is no key" }))
            }
            Self::Open { settings, credentials } => {
                for line in read(LOG_BYTES)?.lines().filter(|line| !line.trim().is_empty()) {
                    let mut entry: Json = serde_json::from_str(line).map_err(|error| Failure::general(error.to_string()))?;
                    for part in ["input", "output"] {
                        open(&settings, &credentials, &mut entry, part).await?;
                    }
                    output::line(&entry.to_string())?;
                }
                Ok(())
            }
        }
    }
}

fn read(limit: u64) -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().lock().take(limit).read_to_string(&mut text)?;
    Ok(text)
}

/// Puts the opened body of a part in the place of the sealed one.
async fn open(settings: &Settings, credentials: &CredentialsSource, entry: &mut Json, part: &str) -> Result<(), Failure> {
    let text = |value: Option<&Json>| value.and_then(Json::as_str).unwrap_or_default().to_owned();
    let sealed = format!("{part}BodySealed");
    let Some(body) = entry.get(part).and_then(|members| members.get(&sealed)) else { return Ok(()) };
    let mut input = Struct::new();
    input.set("Sealed", Value::Str(text(Some(body))));
    input.set("DataSubjectId", Value::Str(text(entry.get("dataSubjectId"))));
    input.set("RequestId", Value::Str(text(entry.get("requestId"))));
    input.set("Part", Value::Str(part.to_owned()));
    let opened = match call(settings, credentials, "OpenLoggedBody", input).await {
        Ok(answer) => match answer.member("Body") {
            Some(Value::Document(body)) => body.clone(),
            _ => Json::Null,
        },
        Err(error) if error.message.contains("ResourceNotFoundException") => Json::Null,
        Err(error) => return Err(error),
    };
    if let Some(members) = entry.get_mut(part).and_then(Json::as_object_mut) {
        members.remove(&sealed);
        members.insert(format!("{part}BodyJson"), json!(opened));
    }
    Ok(())
}
