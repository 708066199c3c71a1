//! Export of the trail as OpenTelemetry logs (OTLP over HTTP, JSON), when an endpoint is set.
//!
//! What was sent is written down after the collector took it: an event is sent at least once, and what the collector refuses stays due.
//!
//! Source: OpenTelemetry Protocol specification, "OTLP/HTTP", "JSON Protobuf Encoding".

use std::sync::Arc;

use bytes::Bytes;
use outbound::{AddressRule, AllowEntry, Client, Limits};
use plane::{ApiError, Key, Plane, Record, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use store::{Revision, Table};
use trail::{Entry, Event};

use crate::config::{Config, ConfigError};

/// Log rows of one request, and requests of one round.
const ROWS: u32 = 256;
const REQUESTS: usize = 64;

/// How far the export has come in a region.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct ExportCursor {
    revision: u64,
}

impl Record for ExportCursor {
    const TABLE: Table = Table("log-export-cursor");
    const SCOPE: Scope = Scope::Region;
}

/// Sends events to a collector.
pub struct LogExport {
    client: Client,
    url: String,
}

impl LogExport {
    /// The export of the settings; `None` when no endpoint is set.
    pub fn of(config: &Config) -> Result<Option<Arc<Self>>, ConfigError> {
        let Some(url) = config.otlp_logs_url.clone() else { return Ok(None) };
        let entries = config.allow_internal.iter().map(|text| text.parse::<AllowEntry>()).collect::<Result<Vec<_>, _>>();
        let entries = entries.map_err(|error| ConfigError::Value {
            setting: "allow_internal",
            value: config.allow_internal.join(","),
            reason: error.to_string(),
        })?;
        Ok(Some(Arc::new(Self { client: Client::new(AddressRule::new(entries), Limits::default()), url })))
    }

    /// The last log row of a region that the collector has taken.
    pub async fn sent_to(&self, plane: &Arc<Plane>, position: usize) -> Result<u64, ApiError> {
        let key = Key::new("", &plane.regions.at(position)?.name);
        Ok(plane.transaction(position).get::<ExportCursor>(&key).await?.unwrap_or_default().revision)
    }

    /// Sends what is due in a region.
    pub async fn round(&self, plane: &Arc<Plane>, position: usize) -> Result<(), ApiError> {
        let region = plane.regions.at(position)?;
        let (store, name) = (Arc::clone(&region.store), region.name.clone());
        for _ in 0..REQUESTS {
            let key = Key::new("", &name);
            let mut tx = plane.transaction(position);
            let mut cursor = tx.get::<ExportCursor>(&key).await?.unwrap_or_default();
            let rows = store.log_after(Revision(cursor.revision), ROWS).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            let sealer = plane.sealer();
            let mut records = Vec::new();
            for bytes in rows.iter().flat_map(|row| &row.entries) {
                let header = Entry::header(bytes).map_err(|error| ApiError::internal(&error))?;
                if header.account.is_empty() {
                    // A statement about the log itself; it is no event.
                    continue;
                }
                let entry = Entry::open(bytes, &sealer).map_err(|error| ApiError::internal(&error))?;
                records.push(log_record(&entry.record, header.time_ms)?);
            }
            if !records.is_empty() {
                self.send(&name, records).await.map_err(|cause| ApiError::new("LogExportFailed", cause))?;
            }
            cursor.revision = last.revision.0;
            tx.put(&key, &cursor)?;
            // When somebody else was faster, they have sent the same.
            if tx.commit(Vec::new()).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn send(&self, region: &str, records: Vec<Json>) -> Result<(), String> {
        let body = json!({ "resourceLogs": [{
            "resource": { "attributes": [text("service.name", "bailiwick"), text("cloud.provider", "aws"), text("cloud.region", region)] },
            "scopeLogs": [{ "scope": { "name": "bailiwick.trail", "version": env!("CARGO_PKG_VERSION") }, "logRecords": records }],
        }] });
        let request = http::Request::post(&self.url)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(Bytes::from(body.to_string()))
            .map_err(|error| error.to_string())?;
        let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("the collector answered {status}")) }
    }
}

fn text(key: &str, value: &str) -> Json {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// An event as a log record: the record itself is the body, what is filtered by stands in attributes.
fn log_record(event: &Event, time_ms: i64) -> Result<Json, ApiError> {
    let mut attributes = vec![
        text("event.name", &event.event_name),
        text("aws.event.source", &event.event_source),
        text("aws.event.id", &event.event_id),
        text("cloud.account.id", &event.recipient_account_id),
        text("aws.request_id", &event.request_id),
        text("client.address", &event.source_ip_address),
    ];
    attributes.extend(event.user_identity.arn.as_deref().map(|arn| text("user.id", arn)));
    attributes.extend(event.error_code.as_deref().map(|code| text("error.type", code)));
    let (number, name) = if event.error_code.is_some() { (13, "WARN") } else { (9, "INFO") };
    Ok(json!({
        "timeUnixNano": format!("{}000000", time_ms.max(0)),
        "severityNumber": number,
        "severityText": name,
        "body": { "stringValue": serde_json::to_string(event)? },
        "attributes": attributes,
    }))
}
