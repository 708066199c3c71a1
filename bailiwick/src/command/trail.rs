//! `bailiwick trail`: the audit trail for people and their tools: listed, followed, exported, queried.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::Duration;

use ocsf::Version;
use serde_json::Value as Json;
use wire::{Struct, Timestamp, Value};

use super::output::{self, Format};
use super::running::{CredentialsSource, Running};
use super::trail_export::Export;
use super::trail_verify::Verify;
use super::{Failure, Settings};
use crate::client::{Client, Credentials};

/// Events of one page of `LookupEvents`.
const PAGE: i64 = 50;
/// Between two looks when following, and while a query runs.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How long a query is waited for.
const QUERY_TIMEOUT: Duration = Duration::from_mins(10);
/// Identifiers of events that were shown, kept to show none twice while following.
const SEEN_MAX: usize = 100_000;

/// Read the audit trail.
#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Trail {
    #[command(subcommand)]
    command: Option<TrailCommand>,
    #[command(flatten)]
    list: List,
}

#[derive(clap::Subcommand)]
enum TrailCommand {
    /// List events, newest first (also without this word).
    List(List),
    /// Write events to a file or a bucket.
    Export(Export),
    /// Run a CloudTrail Lake query and print its rows.
    Query(Query),
    /// Check a trail's files and the signed log; exit code 3 when something was found.
    Verify(Box<Verify>),
}

/// Which events.
#[derive(clap::Args, Clone)]
pub struct Selection {
    /// Only calls of this user, role session or `root`.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Only calls of this service: `s3`, or `s3.amazonaws.com`.
    #[arg(long, value_name = "SERVICE")]
    pub service: Option<String>,
    /// Only this operation.
    #[arg(long, value_name = "OPERATION")]
    pub name: Option<String>,
    /// Only calls that were refused.
    #[arg(long)]
    pub denied: bool,
    /// From this time on: `90d`, `12h`, `30m`, or `2026-11-28T10:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<i64>,
}

/// List events.
#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    selection: Selection,
    /// Go on with new events as they come, until interrupted or the limit is reached.
    #[arg(short, long)]
    follow: bool,
    /// At most so many events.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    limit: usize,
    #[arg(short, long, value_enum, default_value_t)]
    output: TrailFormat,
    /// Version of OCSF: `1.5.0`, `1.1.0` or `1.0.0-rc.2`.
    #[arg(long, value_name = "VERSION", default_value = "1.5.0", value_parser = version)]
    ocsf_version: Version,
    #[command(flatten)]
    access: Access,
}

/// Run a query.
#[derive(clap::Args)]
pub struct Query {
    /// SQL, with the id of an event data store as the table.
    statement: String,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    access: Access,
}

/// Where the server is and who asks.
#[derive(clap::Args)]
pub struct Access {
    #[command(flatten)]
    pub settings: Settings,
    #[command(flatten)]
    pub credentials: CredentialsSource,
}

/// How events are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum TrailFormat {
    #[default]
    Table,
    /// Records as CloudTrail writes them.
    Json,
    Yaml,
    /// A line per event, for auditors.
    Csv,
    /// Events of the Open Cybersecurity Schema Framework, one JSON object per line.
    Ocsf,
}

/// A version of OCSF.
pub fn version(text: &str) -> Result<Version, String> {
    Version::parse(text).ok_or_else(|| format!("the versions are {}", Version::ALL.map(Version::name).join(", ")))
}

/// A time, or how long ago; milliseconds since 1970.
fn since(text: &str) -> Result<i64, String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Ok(time.as_millisecond());
    }
    let wrong = || "use a number with `d`, `h` or `m`, or a time such as `2026-11-28T10:00:00Z`".to_owned();
    let unit_ms = match text.chars().last() {
        Some('d') => 86_400_000,
        Some('h') => 3_600_000,
        Some('m') => 60_000,
        _ => return Err(wrong()),
    };
    let count: i64 = text.get(..text.len() - 1).and_then(|count| count.parse().ok()).filter(|count| *count >= 0).ok_or_else(wrong)?;
    let ago = count.checked_mul(unit_ms).ok_or_else(wrong)?;
    Ok(jiff::Timestamp::now().as_millisecond().saturating_sub(ago))
}

impl Trail {
    pub async fn run(self) -> Result<(), Failure> {
        match self.command {
            None => self.list.run().await,
            Some(TrailCommand::List(list)) => list.run().await,
            Some(TrailCommand::Export(export)) => export.run().await,
            Some(TrailCommand::Query(query)) => query.run().await,
            Some(TrailCommand::Verify(verify)) => verify.run().await,
        }
    }
}

/// A client with who calls.
pub struct Caller {
    pub client: Client,
    pub credentials: Credentials,
    pub running: Running,
}

impl Access {
    pub fn caller(&self) -> Result<Caller, Failure> {
        let config = self.settings.resolve()?;
        let running = Running::read(&config.data_dir)?;
        Ok(Caller { client: running.client()?, credentials: self.credentials.read()?, running })
    }
}

impl Caller {
    pub async fn call(&self, service: &str, operation: &str, members: Vec<(&'static str, Value)>) -> Result<Value, Failure> {
        let mut input = Struct::new();
        for (name, value) in members {
            input.set(name, value);
        }
        Ok(self.client.call_named(&self.credentials, service, operation, &Value::Struct(input)).await?)
    }

    /// Records that the selection chooses, newest first, at most `limit`.
    pub async fn events(&self, selection: &Selection, start_ms: Option<i64>, limit: usize) -> Result<Vec<Json>, Failure> {
        let mut found = Vec::new();
        let mut token: Option<String> = None;
        while found.len() < limit {
            let mut input = vec![("MaxResults", Value::Int(PAGE))];
            if let Some((key, value)) = selection.attribute() {
                let mut attribute = Struct::new();
                attribute.set("AttributeKey", Value::Str(key.to_owned()));
                attribute.set("AttributeValue", Value::Str(value));
                input.push(("LookupAttributes", Value::List(vec![Value::Struct(attribute)])));
            }
            if let Some(start_ms) = start_ms {
                input.push(("StartTime", Value::Time(Timestamp(start_ms))));
            }
            if let Some(token) = token.take() {
                input.push(("NextToken", Value::Str(token)));
            }
            let page = self.call("cloudtrail", "LookupEvents", input).await?;
            let events = match page.member("Events") {
                Some(Value::List(events)) => events.as_slice(),
                _ => &[],
            };
            let records = events.iter().filter_map(|event| event.member("CloudTrailEvent").and_then(Value::as_str));
            found.extend(records.filter_map(|text| serde_json::from_str(text).ok()).filter(|record| selection.chooses(record)));
            token = page.member("NextToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}

/// The text at a JSON pointer.
pub fn text<'r>(record: &'r Json, pointer: &str) -> &'r str {
    record.pointer(pointer).and_then(Json::as_str).unwrap_or_default()
}

impl Selection {
    fn source(&self) -> Option<String> {
        self.service.as_ref().map(|service| if service.contains('.') { service.clone() } else { format!("{service}.amazonaws.com") })
    }

    /// The one attribute that the server looks for; the rest is chosen here.
    fn attribute(&self) -> Option<(&'static str, String)> {
        let name = self.name.clone().map(|name| ("EventName", name));
        let user = self.user.clone().map(|user| ("Username", user));
        user.or(name).or_else(|| self.source().map(|source| ("EventSource", source)))
    }

    fn chooses(&self, record: &Json) -> bool {
        self.name.as_ref().is_none_or(|name| text(record, "/eventName") == name)
            && self.source().is_none_or(|source| text(record, "/eventSource") == source)
            && (!self.denied || is_denied(record))
    }
}

/// A policy, or the lack of one, refused the call.
fn is_denied(record: &Json) -> bool {
    let code = text(record, "/errorCode");
    code.starts_with("AccessDenied") || code.ends_with("UnauthorizedOperation") || code.ends_with("AuthorizationError")
}

/// Columns for people and for auditors.
pub const HEADERS: [&str; 12] = [
    "eventTime",
    "eventSource",
    "eventName",
    "user",
    "userType",
    "sourceIPAddress",
    "awsRegion",
    "errorCode",
    "errorMessage",
    "readOnly",
    "resources",
    "eventID",
];
/// Of those, what a table on a screen has room for.
const TABLE: [usize; 6] = [0, 1, 2, 3, 7, 5];

/// The cells of a record under [`HEADERS`].
pub fn row(record: &Json) -> Vec<String> {
    let identity = ["/userIdentity/arn", "/userIdentity/invokedBy", "/userIdentity/principalId"];
    let user = identity.into_iter().map(|pointer| text(record, pointer)).find(|text| !text.is_empty()).unwrap_or_default();
    let resources = record.get("resources").and_then(Json::as_array).into_iter().flatten().map(|resource| text(resource, "/ARN"));
    let read_only = record.get("readOnly").and_then(Json::as_bool).map(|value| value.to_string()).unwrap_or_default();
    vec![
        text(record, "/eventTime").to_owned(),
        text(record, "/eventSource").to_owned(),
        text(record, "/eventName").to_owned(),
        user.to_owned(),
        text(record, "/userIdentity/type").to_owned(),
        text(record, "/sourceIPAddress").to_owned(),
        text(record, "/awsRegion").to_owned(),
        text(record, "/errorCode").to_owned(),
        text(record, "/errorMessage").to_owned(),
        read_only,
        resources.collect::<Vec<_>>().join(" "),
        text(record, "/eventID").to_owned(),
    ]
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let caller = self.access.caller()?;
        if self.follow {
            return self.follow(&caller).await;
        }
        let events = caller.events(&self.selection, self.selection.since, self.limit).await?;
        self.print(&events)
    }

    fn print(&self, events: &[Json]) -> Result<(), Failure> {
        match self.output {
            TrailFormat::Json => output::document(Format::Json, &Json::Array(events.to_vec())),
            TrailFormat::Yaml => output::document(Format::Yaml, &Json::Array(events.to_vec())),
            TrailFormat::Csv => output::rows(Format::Csv, &HEADERS, &events.iter().map(row).collect::<Vec<_>>()),
            TrailFormat::Ocsf => events.iter().try_for_each(|event| output::line(&ocsf::map(event, self.ocsf_version).1.to_string())),
            TrailFormat::Table => {
                let headers: Vec<&str> = TABLE.iter().filter_map(|at| HEADERS.get(*at).copied()).collect();
                let short = |event: &Json| {
                    let cells = row(event);
                    TABLE.iter().filter_map(|at| cells.get(*at).cloned()).collect::<Vec<_>>()
                };
                output::rows(Format::Table, &headers, &events.iter().map(short).collect::<Vec<_>>())
            }
        }
    }

    /// Prints events one by one, oldest first.
    async fn follow(&self, caller: &Caller) -> Result<(), Failure> {
        let mut start_ms = self.selection.since.unwrap_or_else(|| jiff::Timestamp::now().as_millisecond());
        let mut seen = BTreeSet::new();
        let mut printed = 0;
        while printed < self.limit {
            let mut events = caller.events(&self.selection, Some(start_ms), usize::MAX).await?;
            events.reverse();
            for event in events {
                if printed == self.limit || !seen.insert(text(&event, "/eventID").to_owned()) {
                    continue;
                }
                if let Ok(time) = text(&event, "/eventTime").parse::<jiff::Timestamp>() {
                    start_ms = start_ms.max(time.as_millisecond());
                }
                self.print_one(&event)?;
                printed += 1;
            }
            if seen.len() > SEEN_MAX {
                seen.clear();
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_AGAIN) => {}
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        }
        Ok(())
    }

    fn print_one(&self, event: &Json) -> Result<(), Failure> {
        match self.output {
            TrailFormat::Json => output::line(&event.to_string()),
            TrailFormat::Ocsf => output::line(&ocsf::map(event, self.ocsf_version).1.to_string()),
            TrailFormat::Yaml => output::document(Format::Yaml, &Json::Array(vec![event.clone()])),
            TrailFormat::Csv => {
                let mut cells = row(event).into_iter();
                let quoted: Vec<String> = cells.by_ref().map(|cell| output::csv(&cell)).collect();
                output::line(&quoted.join(","))
            }
            TrailFormat::Table => {
                let cells = row(event);
                output::line(&TABLE.iter().filter_map(|at| cells.get(*at).map(String::as_str)).collect::<Vec<_>>().join("  "))
            }
        }?;
        std::io::stdout().flush().map_err(Failure::from)
    }
}

impl Query {
    async fn run(self) -> Result<(), Failure> {
        let caller = self.access.caller()?;
        let started = caller.call("cloudtrail", "StartQuery", vec![("QueryStatement", Value::Str(self.statement.clone()))]).await?;
        let id = started.member("QueryId").and_then(Value::as_str).unwrap_or_default().to_owned();
        tokio::time::timeout(QUERY_TIMEOUT, ended(&caller, &id)).await.map_err(|_| Failure::general("the query takes too long"))??;
        let mut headers: Vec<String> = Vec::new();
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let mut input = vec![("QueryId", Value::Str(id.clone()))];
            input.extend(token.take().map(|token| ("NextToken", Value::Str(token))));
            let page = caller.call("cloudtrail", "GetQueryResults", input).await?;
            for row in list(page.member("QueryResultRows")) {
                let cells: Vec<(String, String)> = list(Some(row)).iter().flat_map(pairs).collect();
                if headers.is_empty() {
                    headers = cells.iter().map(|(name, _)| name.clone()).collect();
                }
                rows.push(cells.into_iter().map(|(_, value)| value).collect());
            }
            token = page.member("NextToken").and_then(Value::as_str).map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        output::rows(self.output, &headers.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn pairs(value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Map(entries) => entries.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect(),
        _ => Vec::new(),
    }
}

async fn ended(caller: &Caller, id: &str) -> Result<(), Failure> {
    loop {
        let query = caller.call("cloudtrail", "DescribeQuery", vec![("QueryId", Value::Str(id.to_owned()))]).await?;
        match query.member("QueryStatus").and_then(Value::as_str) {
            Some("FINISHED") => return Ok(()),
            Some("QUEUED" | "RUNNING") => tokio::time::sleep(LOOK_AGAIN / 5).await,
            other => {
                let message = query.member("ErrorMessage").and_then(Value::as_str).unwrap_or_default();
                return Err(Failure::general(format!("the query ended as {}: {message}", other.unwrap_or("UNKNOWN"))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times() {
        assert_eq!(since("2026-11-28T10:00:00Z"), Ok(1_795_860_000_000));
        let day = since("1d").unwrap();
        assert!(since("2d").unwrap() < day && day < since("1h").unwrap());
        for wrong in ["", "d", "-1d", "1w", "soon", "99999999999999999d", "é"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn selections() {
        let selection =
            Selection { user: None, service: Some("s3".to_owned()), name: Some("GetObject".to_owned()), denied: true, since: None };
        assert_eq!(selection.attribute(), Some(("EventName", "GetObject".to_owned())));
        let mut record = json!({ "eventName": "GetObject", "eventSource": "s3.amazonaws.com", "errorCode": "AccessDenied" });
        assert!(selection.chooses(&record));
        record["errorCode"] = Json::Null;
        assert!(!selection.chooses(&record));
        assert_eq!(row(&record).len(), HEADERS.len());
    }
}
