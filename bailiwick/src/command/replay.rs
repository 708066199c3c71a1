//! `bailiwick replay`: recorded history under a proposed policy.

use std::path::PathBuf;

use serde_json::Value as Json;
use wire::{Struct, Value};

use super::diff_access::read_text;
use super::output::{self, Format};
use super::running::{CredentialsSource, Running};
use super::{Failure, Settings};
use crate::client::{Client, Credentials};

/// Where the proposed policy would stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Place {
    /// Beside the account's other service control policies.
    Scp,
    /// Beside the other resource control policies of the resource's account.
    Rcp,
    /// As permissions boundary.
    Boundary,
    /// In place of all identity-based policies.
    Identity,
    /// In place of the resource's policy.
    Resource,
}

/// Which recorded calls a proposed policy would decide otherwise.
///
/// Nothing is changed: it is the dry run of a policy. Exit code 0 if no call would be decided otherwise, 3 if one would.
#[derive(clap::Args)]
pub struct Replay {
    /// File of the proposed policy; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// Where it would stand.
    #[arg(long = "as", value_enum, value_name = "PLACE")]
    place: Place,
    /// Account of an SCP or RCP, ARN of a user, role or resource.
    #[arg(long, default_value = "*")]
    target: String,
    /// How far back: `30d`, `12h`, `45m`.
    #[arg(long, default_value = "30d", value_parser = duration_ms)]
    since: i64,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    credentials: CredentialsSource,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// What is shown of each call.
const COLUMNS: [&str; 8] = ["time", "principal", "action", "resource", "recorded", "now", "proposed", "because"];

/// Milliseconds of a number with `d`, `h`, `m` or `s` behind it.
pub fn duration_ms(text: &str) -> Result<i64, String> {
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).unwrap_or_default();
    let unit_ms: i64 = match unit {
        "d" => 86_400_000,
        "h" => 3_600_000,
        "m" => 60_000,
        "s" => 1_000,
        _ => return Err("give a number with `d`, `h`, `m` or `s` behind it".to_owned()),
    };
    let number: i64 = number.parse().map_err(|_| "give a whole number before the unit".to_owned())?;
    number.checked_mul(unit_ms).filter(|ms| *ms >= 0).ok_or_else(|| "that is too long ago".to_owned())
}

impl Replay {
    pub async fn run(self) -> Result<(), Failure> {
        let config = self.settings.resolve()?;
        let client = Running::read(&config.data_dir)?.client()?;
        let credentials = self.credentials.read()?;
        let place = match self.place {
            Place::Scp => "scp",
            Place::Rcp => "rcp",
            Place::Boundary => "boundary",
            Place::Identity => "identity",
            Place::Resource => "resource",
        };
        let mut input = Struct::new();
        input.set("Policy", Value::Str(read_text(&self.policy)?));
        input.set("PolicyType", Value::Str(place.to_owned()));
        input.set("Target", Value::Str(self.target.clone()));
        input.set("Since", Value::Int(since(self.since)));
        show(&client, &credentials, input, self.output).await
    }
}

/// When a stretch of time that ends now began.
pub fn since(ago_ms: i64) -> i64 {
    jiff::Timestamp::now().as_millisecond().saturating_sub(ago_ms)
}

/// Asks for a replay and shows it. It fails with code 3 if a call would be decided otherwise.
pub async fn show(client: &Client, credentials: &Credentials, input: Struct, format: Format) -> Result<(), Failure> {
    let answer = client.call_named(credentials, "bailiwick", "ReplayPolicy", &Value::Struct(input)).await?;
    let Some(Value::Document(replay)) = answer.member("Replay") else { return Err(Failure::general("the server gave no answer")) };
    print(format, replay)?;
    let changed = replay.get("changed").and_then(Json::as_u64).unwrap_or_default();
    if changed == 0 { Ok(()) } else { Err(Failure::general(String::new()).with_code(3)) }
}

fn print(format: Format, replay: &Json) -> Result<(), Failure> {
    if matches!(format, Format::Json | Format::Yaml) {
        return output::document(format, replay);
    }
    let cell = |call: &Json, column: &str| call.get(column).and_then(Json::as_str).unwrap_or_default().to_owned();
    let rows: Vec<Vec<String>> = replay
        .get("calls")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .map(|call| COLUMNS.iter().map(|column| cell(call, column)).collect())
        .collect();
    output::rows(format, &COLUMNS, &rows)?;
    if format != Format::Table {
        return Ok(());
    }
    let number = |name: &str| replay.get(name).and_then(Json::as_u64).unwrap_or_default();
    output::line(&format!(
        "{} decisions replayed: {} would change, {} of them newly allowed, {} newly denied",
        number("examined"),
        number("changed"),
        number("newlyAllowed"),
        number("newlyDenied")
    ))?;
    for undecided in replay.get("undecided").and_then(Json::as_array).into_iter().flatten() {
        let calls = undecided.get("calls").and_then(Json::as_u64).unwrap_or_default();
        output::line(&format!("not replayed: {calls}, because {}", cell(undecided, "reason")))?;
    }
    if replay.get("complete") == Some(&Json::Bool(false)) {
        output::line("older calls were left out: the stretch of time holds too many")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_of_time() {
        assert_eq!(duration_ms("30d"), Ok(2_592_000_000));
        assert_eq!(duration_ms("45m"), Ok(2_700_000));
        for text in ["", "d", "-1d", "1w", "9999999999999999999d", "é"] {
            assert!(duration_ms(text).is_err(), "{text}");
        }
    }
}
