//! `bailiwick trail export`: events as files, on this machine or in a bucket in the layout of Security Lake.
//!
//! Source: Amazon Security Lake User Guide, "Collecting data from custom sources":
//! `ext/SOURCE/region=REGION/accountId=ACCOUNT/eventDay=YYYYMMDD/`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use columnar::{Field, Kind};
use ocsf::columns::Shape;
use ocsf::{Class, Version};
use serde_json::Value as Json;
use wire::{Struct, Value};

use super::trail::{Access, Caller, HEADERS, Selection, row, text, version};
use super::{Failure, output};
use crate::client;

/// Events of one export.
const EVENTS_MAX: usize = 1_000_000;

/// Write events to a file or a bucket.
#[derive(clap::Args)]
pub struct Export {
    #[command(flatten)]
    selection: Selection,
    /// Folder, or `s3://BUCKET/PREFIX` of the running server.
    #[arg(long, value_name = "PLACE")]
    to: String,
    #[arg(long, value_enum, default_value_t)]
    format: ExportFormat,
    /// Version of OCSF: `1.5.0` or `1.1.0` (Parquet), also `1.0.0-rc.2` (JSON).
    #[arg(long, value_name = "VERSION", default_value = "1.5.0", value_parser = version)]
    ocsf_version: Version,
    /// Name of the custom source in the layout of Security Lake.
    #[arg(long, value_name = "NAME", default_value = "bailiwick")]
    source: String,
    /// At most so many events.
    #[arg(long, value_name = "COUNT", default_value_t = EVENTS_MAX)]
    limit: usize,
    #[command(flatten)]
    access: Access,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum ExportFormat {
    /// OCSF, as Security Lake keeps it.
    #[default]
    Parquet,
    /// OCSF, one JSON object per line.
    Ocsf,
    /// Records as CloudTrail writes them, one per line.
    Json,
    /// A line per event, for auditors.
    Csv,
}

impl ExportFormat {
    fn extension(self) -> &'static str {
        match self {
            Self::Parquet => "gz.parquet",
            Self::Ocsf => "ocsf.json",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

/// Which file an event goes to: class (for OCSF), region, account, day.
type Partition = (Option<Class>, String, String, String);

impl Export {
    pub async fn run(self) -> Result<(), Failure> {
        if self.format == ExportFormat::Parquet && self.ocsf_version == Version::Rc2 {
            return Err(Failure::general("Parquet is written in OCSF 1.1.0 or 1.5.0").with_code(2));
        }
        if self.source.is_empty() || !self.source.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
            return Err(Failure::general("the name of a source has letters, digits, hyphens and underscores").with_code(2));
        }
        let caller = self.access.caller()?;
        let events = caller.events(&self.selection, self.selection.since, self.limit.min(EVENTS_MAX)).await?;
        let count = events.len();
        let files = self.files(&caller, events)?;
        for (path, body) in files {
            self.write(&caller, &path, body).await?;
            output::line(&path)?;
        }
        tracing::debug!(count, "events were exported");
        Ok(())
    }

    fn files(&self, caller: &Caller, events: Vec<Json>) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
        let is_ocsf = matches!(self.format, ExportFormat::Parquet | ExportFormat::Ocsf);
        let mut partitions: BTreeMap<Partition, Vec<Json>> = BTreeMap::new();
        // Oldest first, as logs are read.
        for record in events.into_iter().rev() {
            let day = text(&record, "/eventTime").get(..10).unwrap_or_default().replace('-', "");
            let place = (text(&record, "/awsRegion").to_owned(), text(&record, "/recipientAccountId").to_owned(), day);
            let (class, event) = if is_ocsf {
                let (class, event) = ocsf::map(&record, self.ocsf_version);
                (Some(class), event)
            } else {
                (None, record)
            };
            partitions.entry((class, place.0, place.1, place.2)).or_default().push(event);
        }
        let stamp = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let mut files = BTreeMap::new();
        for ((class, region, account, day), events) in partitions {
            let source = class.map_or_else(|| self.source.clone(), |class| format!("{}_{}", self.source, class.slug()));
            let name = format!("{}_{stamp}.{}", caller.running.account_id, self.format.extension());
            let path = format!("ext/{source}/region={region}/accountId={account}/eventDay={day}/{name}");
            files.insert(path, self.body(class, &events)?);
        }
        Ok(files)
    }

    fn body(&self, class: Option<Class>, events: &[Json]) -> Result<Vec<u8>, Failure> {
        match (self.format, class) {
            (ExportFormat::Parquet, Some(class)) => {
                let fields: Vec<Field> =
                    ocsf::columns::columns(class).into_iter().map(|(name, shape)| Field::new(name, kind(shape))).collect();
                columnar::write(&fields, events).map_err(|error| Failure::general(error.to_string()))
            }
            (ExportFormat::Csv, _) => {
                let line = |cells: &[String]| cells.iter().map(|cell| output::csv(cell)).collect::<Vec<_>>().join(",") + "\n";
                let headers = HEADERS.map(str::to_owned);
                Ok(std::iter::once(line(&headers)).chain(events.iter().map(|event| line(&row(event)))).collect::<String>().into_bytes())
            }
            _ => Ok(events.iter().flat_map(|event| [event.to_string(), "\n".to_owned()]).collect::<String>().into_bytes()),
        }
    }

    async fn write(&self, caller: &Caller, path: &str, body: Vec<u8>) -> Result<(), Failure> {
        let Some(place) = self.to.strip_prefix("s3://") else {
            let file = PathBuf::from(&self.to).join(path);
            if let Some(folder) = file.parent() {
                std::fs::create_dir_all(folder)?;
            }
            return std::fs::write(file, body).map_err(Failure::from);
        };
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let prefix = if prefix.is_empty() { String::new() } else { format!("{}/", prefix.trim_end_matches('/')) };
        let mut input = Struct::new();
        input.set("Bucket", Value::Str(bucket.to_owned()));
        input.set("Key", Value::Str(format!("{prefix}{path}")));
        let service = facts::catalog().service("s3").ok_or_else(|| Failure::general("the service `s3` is not known"))?;
        let operation = service.operation("PutObject").ok_or_else(|| Failure::general("the operation `PutObject` is not known"))?;
        let request = caller.client.prepare(service, operation, &Value::Struct(input), Bytes::from(body))?;
        let request = caller.client.sign(request, service, &caller.credentials, jiff::Timestamp::now())?;
        let answer = caller.client.send(request).await?;
        client::decode(service, operation, &answer).map(|_| ()).map_err(Failure::from)
    }
}

fn kind(shape: Shape) -> Kind {
    match shape {
        Shape::Text => Kind::Text,
        Shape::Integer => Kind::Int32,
        Shape::Long => Kind::Int64,
        Shape::Boolean => Kind::Boolean,
        Shape::TextMap => Kind::TextMap,
        Shape::List(item) => Kind::List(Box::new(kind(*item))),
        Shape::Group(fields) => Kind::Group(fields.into_iter().map(|(name, shape)| Field::new(name, kind(shape))).collect()),
    }
}
