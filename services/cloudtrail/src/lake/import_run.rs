//! Running an import: files are read in the role that the caller named, and each file's events and the place behind it are one commit.

use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use ::trail::Event;
use bytes::Bytes;
use flate2::read::GzDecoder;
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Key, Plane, body};
use serde_json::{Value as Json, json};
use wire::{Struct, Value};

use super::engine;
use super::event_data_store::{Content, EventDataStore, Status};
use super::import::{Import, OpenImport, Progress};
use super::ingested::{self, IngestedBatch};
use crate::delivery::settle;
use crate::destination;

/// Compressed and plain bytes of one file.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
const PLAIN_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Events of one batch.
const BATCH_EVENTS: usize = 500;
const KEYS: i32 = 500;
const READ_TIMEOUT: Duration = Duration::from_mins(1);
/// The call that makes an import commits after its handler.
const LOOKS: u32 = 100;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Runs an import in the background.
pub(crate) fn start(plane: &Arc<Plane>, region: &str, account: &str, id: &str) {
    let Some(engine) = engine::of(plane) else { return };
    let (plane, region, account, id) = (Arc::clone(plane), region.to_owned(), account.to_owned(), id.to_owned());
    tokio::spawn(async move {
        if engine.begin(&id).is_none() {
            return;
        }
        if let Err(error) = run(&plane, &region, &account, &id).await {
            tracing::warn!(%error, import = id, "an import will be tried again");
        }
        engine.end(&id);
    });
}

/// Runs imports that were left open.
pub(crate) async fn resume(plane: &Arc<Plane>, position: usize, region: &str) -> Result<(), ApiError> {
    let mut tx = plane.transaction(position);
    for (_, open) in tx.scan::<OpenImport>(&Key::new("", region), None, SCAN_LIMIT).await? {
        start(plane, region, &open.account, &open.id);
    }
    Ok(())
}

async fn run(plane: &Arc<Plane>, region: &str, account: &str, id: &str) -> Result<(), ApiError> {
    let position = plane.regions.position(region).unwrap_or_default();
    let key = Import::key(account, region, id);
    for _ in 0..LOOKS {
        let mut tx = plane.transaction(position);
        if tx.get::<Import>(&key).await?.is_some() {
            break;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    loop {
        let mut tx = plane.transaction(position);
        let Some(mut import) = tx.get::<Import>(&key).await?.filter(|import| import.status.is_open()) else { return Ok(()) };
        import.updated_ms = plane.clock.now_ms();
        let keys = match list(plane, &import).await {
            Ok(keys) => keys,
            Err(error) if error.internal => return Err(error),
            Err(error) => {
                let (prefix, now_ms) = (import.prefix.clone(), import.updated_ms);
                import.fail(&prefix, &error.code, error.message.clone(), now_ms);
                import.status = Progress::Failed;
                import.put(&mut tx)?;
                if settle(tx).await? {
                    return Ok(());
                }
                continue;
            }
        };
        if keys.is_empty() {
            import.status = Progress::Completed;
            import.put(&mut tx)?;
            if settle(tx).await? {
                return Ok(());
            }
            continue;
        }
        for file in keys {
            if !take_file(plane, position, &key, &file).await? {
                break;
            }
        }
    }
}

/// The next files, in order.
async fn list(plane: &Arc<Plane>, import: &Import) -> Result<Vec<String>, ApiError> {
    let input = api_s3::ListObjectsV2Input {
        bucket: import.bucket.clone(),
        prefix: (!import.prefix.is_empty()).then(|| import.prefix.clone()),
        start_after: import.cursor.clone(),
        max_keys: Some(KEYS),
        ..empty::<api_s3::ListObjectsV2Input>(&[("Bucket", &import.bucket)])?
    };
    let (found, _) = in_role(plane, import, input).await?;
    Ok(found.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect())
}

fn empty<T: wire::FromValue>(members: &[(&'static str, &str)]) -> Result<T, ApiError> {
    let mut input = Struct::new();
    for (name, value) in members {
        input.set(name, Value::Str((*value).to_owned()));
    }
    T::from_value(Value::Struct(input)).map_err(|error| ApiError::internal(&error))
}

async fn in_role<I: wire::ApiInput>(plane: &Arc<Plane>, import: &Import, input: I) -> Result<(I::Output, Option<body::Body>), ApiError> {
    let caller = destination::caller(&import.store_arn, &import.account);
    let role = import.role_arn.rsplit('/').next().unwrap_or_default();
    let session = format!("arn:{}:sts::{}:assumed-role/{role}/CloudTrailImport", plane::PARTITION, import.account);
    plane.call_in_role(&caller, &session, &import.bucket_region, input).await
}

/// Whether the object is a log file of a trail, and not a digest or something else.
fn is_log_file(key: &str) -> bool {
    key.ends_with(".json.gz") && !key.contains("/CloudTrail-Digest/") && !key.contains("/CloudTrail-Insight/")
}

/// Imports one file. `false`: the import has ended or somebody else was faster.
async fn take_file(plane: &Arc<Plane>, position: usize, key: &Key, file: &str) -> Result<bool, ApiError> {
    let mut tx = plane.transaction(position);
    let Some(mut import) = tx.get::<Import>(key).await?.filter(|import| import.status.is_open()) else { return Ok(false) };
    let now_ms = plane.clock.now_ms();
    import.status = Progress::Running;
    import.updated_ms = now_ms;
    import.cursor = Some(file.to_owned());
    if is_log_file(file) {
        let id = import.store_arn.rsplit('/').next().unwrap_or_default().to_owned();
        let store = tx.get::<EventDataStore>(&EventDataStore::key(&import.account, &import.region, &id)).await?;
        let Some(mut store) = store.filter(|store| store.status != Status::PendingDeletion) else {
            import.fail(file, "EventDataStoreNotFoundException", "The event data store is gone.".to_owned(), now_ms);
            import.status = Progress::Failed;
            import.put(&mut tx)?;
            settle(tx).await?;
            return Ok(false);
        };
        match events(plane, &import, file).await {
            Ok(records) => add(&mut tx, &mut import, &mut store, records)?,
            Err(error) if error.internal => return Err(error),
            Err(error) => import.fail(file, &error.code, error.message, now_ms),
        }
    }
    import.put(&mut tx)?;
    settle(tx).await
}

async fn events(plane: &Arc<Plane>, import: &Import, file: &str) -> Result<Vec<Json>, ApiError> {
    let input = empty::<api_s3::GetObjectInput>(&[("Bucket", &import.bucket), ("Key", file)])?;
    let (_, body) = in_role(plane, import, input).await?;
    let invalid = |message: String| ApiError::new("InvalidFile", message);
    let body = body.ok_or_else(|| invalid("The object has no body.".to_owned()))?;
    let compressed = body::collect(body, FILE_BYTES_MAX, READ_TIMEOUT).await.map_err(|error| invalid(error.to_string()))?;
    tokio::task::spawn_blocking(move || records(&compressed)).await.map_err(|error| ApiError::internal(&error))?.map_err(invalid)
}

/// The records of a log file.
fn records(compressed: &Bytes) -> Result<Vec<Json>, String> {
    let mut plain = Vec::new();
    let read = GzDecoder::new(compressed.as_ref())
        .take(PLAIN_BYTES_MAX + 1)
        .read_to_end(&mut plain)
        .map_err(|_| "The file is not gzip.".to_owned())?;
    if u64::try_from(read).unwrap_or(u64::MAX) > PLAIN_BYTES_MAX {
        return Err("The file is too large.".to_owned());
    }
    let mut json: Json = serde_json::from_slice(&plain).map_err(|_| "The file is not JSON.".to_owned())?;
    match json.get_mut("Records").map(Json::take) {
        Some(Json::Array(records)) => Ok(records),
        _ => Err("The file has no records.".to_owned()),
    }
}

fn add(tx: &mut plane::Transaction, import: &mut Import, store: &mut EventDataStore, records: Vec<Json>) -> Result<(), ApiError> {
    let mut chosen: Vec<(i64, Json)> = Vec::with_capacity(records.len());
    let mut unreadable = 0_u64;
    for record in records {
        let Some((time_ms, event)) = selectable(&record) else {
            unreadable += 1;
            continue;
        };
        let in_range = import.start_ms.is_none_or(|start| time_ms >= start) && import.end_ms.is_none_or(|end| time_ms <= end);
        if in_range && matches!(&store.content, Content::Events(selectors) if selectors.select(&event)) {
            chosen.push((time_ms, record));
        }
    }
    if unreadable > 0 {
        let file = import.cursor.clone().unwrap_or_default();
        let at_ms = import.updated_ms;
        import.fail(&file, "InvalidRecord", format!("{unreadable} records are not events."), at_ms);
    }
    import.files = import.files.saturating_add(1);
    import.events = import.events.saturating_add(u64::try_from(chosen.len()).unwrap_or_default());
    let mut chosen = chosen.into_iter().peekable();
    while chosen.peek().is_some() {
        let part: Vec<(i64, Json)> = chosen.by_ref().take(BATCH_EVENTS).collect();
        let newest_ms = part.iter().map(|(time_ms, _)| *time_ms).max().unwrap_or_default();
        ingested::add(tx, store, &IngestedBatch { events: part.into_iter().map(|(_, event)| event).collect(), newest_ms })?;
    }
    Ok(())
}

/// The event in the form that selectors look at. Older records lack fields; the record itself stays as it is.
fn selectable(record: &Json) -> Option<(i64, Event)> {
    let time_ms = record.get("eventTime").and_then(Json::as_str).and_then(plane::clock::parse_iso8601)?;
    record.get("eventID").and_then(Json::as_str)?;
    let mut record = record.clone();
    let members = record.as_object_mut()?;
    let is_data =
        members.get("eventCategory").and_then(Json::as_str) == Some("Data") || members.get("managementEvent") == Some(&json!(false));
    let defaults = [
        ("eventVersion", json!("")),
        ("eventSource", json!("")),
        ("eventName", json!("")),
        ("awsRegion", json!("")),
        ("sourceIPAddress", json!("")),
        ("userAgent", json!("")),
        ("requestParameters", Json::Null),
        ("responseElements", Json::Null),
        ("requestID", json!("")),
        ("readOnly", json!(false)),
        ("eventType", json!("AwsApiCall")),
        ("managementEvent", json!(!is_data)),
        ("recipientAccountId", json!("")),
        ("eventCategory", json!(if is_data { "Data" } else { "Management" })),
    ];
    for (name, value) in defaults {
        if members.get(name).is_none_or(Json::is_null) {
            members.insert(name.to_owned(), value);
        }
    }
    let identity = members.get("userIdentity").cloned().unwrap_or_default();
    let identity_text = |name: &str| identity.get(name).and_then(Json::as_str).map(str::to_owned);
    members.insert("userIdentity".to_owned(), json!({ "type": identity_text("type").unwrap_or_default(), "arn": identity_text("arn") }));
    members.remove("tlsDetails");
    let event = serde_json::from_value(record).ok()?;
    Some((time_ms, event))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(text: &str) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn files_are_read_or_refused() {
        assert_eq!(records(&gzip(r#"{"Records":[{"a":1}]}"#)).unwrap().len(), 1);
        for wrong in [Bytes::from_static(b"no gzip"), gzip("no json"), gzip("{}"), gzip(r#"{"Records":{}}"#)] {
            assert!(records(&wrong).is_err());
        }
        assert!(is_log_file("AWSLogs/1/CloudTrail/us-east-1/2026/11/28/x.json.gz"));
        assert!(!is_log_file("AWSLogs/1/CloudTrail-Digest/us-east-1/2026/11/28/x.json.gz"));
    }

    #[test]
    fn old_records_are_events_too() {
        let old = json!({ "eventVersion": "1.03", "eventTime": "2016-04-01T15:31:48Z", "eventID": "e", "eventSource": "s3.amazonaws.com",
            "userIdentity": { "type": "IAMUser", "arn": "arn:x", "sessionContext": {} } });
        let (time_ms, event) = selectable(&old).unwrap();
        assert_eq!((time_ms, event.event_category.as_str(), event.management_event), (1_459_524_708_000, "Management", true));
        assert!(selectable(&json!({ "eventTime": "soon", "eventID": "e" })).is_none());
        assert!(selectable(&json!([])).is_none());
    }
}
