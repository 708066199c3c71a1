//! Entries become gzip files of JSON lines in the account's bucket, put by the principal `bedrock.amazonaws.com`, and events of its log group.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use plane::{ApiError, PARTITION, Plane, ServiceCaller};
use serde_json::{Map, Value as Json, json};
use wire::{FromValue as _, Struct, Value};

use super::{LoggingConfiguration, Place, SERVICE_PRINCIPAL, Waiting, configuration_key, log_group};
use crate::data_subject;
use crate::runtime::State;

/// A body beyond this size is an object of its own. Source: as in [`super`].
const BODY_BYTES_MAX: usize = 100 * 1024;
/// Entries of one file.
const FILE_ENTRIES: usize = 1_000;
/// Parts of an entry that have bodies.
const PARTS: [&str; 2] = ["input", "output"];
/// Name of the object that shows that the bucket may be written to.
const CHECK: &str = "amazon-bedrock-logs-permission-check";

/// Bedrock as a caller, on behalf of an account.
pub(crate) fn caller(account: &str, region: &str) -> ServiceCaller {
    ServiceCaller {
        service: SERVICE_PRINCIPAL.into(),
        source_arn: format!("arn:{PARTITION}:bedrock:{region}:{account}:*"),
        source_account: account.to_owned(),
    }
}

async fn put(plane: &Arc<Plane>, account: &str, region: &str, bucket: &str, key: &str, body: Bytes, is_gzip: bool) -> Result<(), ApiError> {
    let mut input = Struct::new();
    let mut set = |name: &'static str, value: &str| input.set(name, Value::Str(value.to_owned()));
    set("Bucket", bucket);
    set("Key", key);
    if is_gzip {
        set("ContentType", "application/json");
        set("ContentEncoding", "gzip");
    }
    let input = api_s3::PutObjectInput::from_value(Value::Struct(input)).map_err(|error| ApiError::internal(&error))?;
    plane.call_as_service(&caller(account, region), region, input, Some(body)).await.map(drop)
}

/// Writes the object that shows that the log can be delivered.
pub(crate) async fn check(plane: &Arc<Plane>, account: &str, region: &str, place: &Place) -> Result<(), ApiError> {
    let key = format!("{}{CHECK}", place.folder(account, region));
    put(plane, account, region, &place.bucket, &key, Bytes::from_static(b""), false).await
}

/// Delivers what waits in a region. What a bucket refuses waits for the next round.
pub(crate) async fn deliver(plane: &Arc<Plane>, state: &State, position: usize) -> Result<(), ApiError> {
    let region = plane.regions.at(position)?.name.clone();
    let mut accounts: BTreeMap<String, Vec<Waiting>> = BTreeMap::new();
    for waiting in state.log.take(&region) {
        accounts.entry(waiting.account.clone()).or_default().push(waiting);
    }
    let mut failure = None;
    for (account, entries) in accounts {
        let key = configuration_key(&account, &region);
        // An account that logs no more gets nothing more.
        let Some(configuration) = plane.transaction(position).get::<LoggingConfiguration>(&key).await? else { continue };
        let mut entries = entries;
        let to_bucket = deliver_files(plane, (&account, position), &region, &configuration, &mut entries).await;
        let to_log_group = deliver_events(plane, (&account, position), &region, &configuration, &mut entries).await;
        for waiting in entries.into_iter().filter(|waiting| !waiting.in_bucket || !waiting.in_log_group) {
            state.log.push(waiting);
        }
        for error in [to_bucket, to_log_group].into_iter().filter_map(Result::err) {
            tracing::warn!(%error, account, region, "the delivery of the invocation log will be tried again");
            failure = Some(error);
        }
    }
    failure.map_or(Ok(()), Err)
}

async fn deliver_files(
    plane: &Arc<Plane>,
    (account, position): (&str, usize),
    region: &str,
    configuration: &LoggingConfiguration,
    entries: &mut [Waiting],
) -> Result<(), ApiError> {
    let place = configuration.place();
    let mut waiting: Vec<&mut Waiting> = entries.iter_mut().filter(|waiting| !waiting.in_bucket).collect();
    for entries in waiting.chunks_mut(FILE_ENTRIES) {
        if let Some(place) = &place {
            let file: Vec<&Waiting> = entries.iter().map(|waiting| &**waiting).collect();
            deliver_file(plane, (account, position), region, place, &file).await?;
        }
        for waiting in entries {
            waiting.in_bucket = true;
        }
    }
    Ok(())
}

async fn deliver_events(
    plane: &Arc<Plane>,
    (account, position): (&str, usize),
    region: &str,
    configuration: &LoggingConfiguration,
    entries: &mut [Waiting],
) -> Result<(), ApiError> {
    let waiting: Vec<&mut Waiting> = entries.iter_mut().filter(|waiting| !waiting.in_log_group).collect();
    let (arrived, result) = match &configuration.log_group {
        None => (waiting.len(), Ok(())),
        Some(group) => {
            let mut messages = Vec::with_capacity(waiting.len());
            for waiting in &waiting {
                let folder = match &group.large_bodies {
                    Some(place) => Some((place, hour_folder(place, account, region, waiting.time_ms)?)),
                    None => None,
                };
                let entry = without_large_bodies(plane, (account, position), region, folder, waiting).await?;
                messages.push((waiting.time_ms, Json::Object(entry).to_string()));
            }
            log_group::put(plane, account, region, group, messages).await
        }
    };
    for waiting in waiting.into_iter().take(arrived) {
        waiting.in_log_group = true;
    }
    result
}

fn time_of(time_ms: i64) -> Result<jiff::Timestamp, ApiError> {
    jiff::Timestamp::from_millisecond(time_ms).map_err(|error| ApiError::internal(&error))
}

fn hour_folder(place: &Place, account: &str, region: &str, time_ms: i64) -> Result<String, ApiError> {
    Ok(format!("{}{}", place.folder(account, region), time_of(time_ms)?.strftime("%Y/%m/%d/%H/")))
}

/// The entry with its bodies sealed where it is about a data subject, and the large ones as objects of their own; without a folder for them they
/// are left out.
async fn without_large_bodies(
    plane: &Arc<Plane>,
    (account, position): (&str, usize),
    region: &str,
    folder: Option<(&Place, String)>,
    waiting: &Waiting,
) -> Result<Map<String, Json>, ApiError> {
    let mut entry = waiting.entry.clone();
    let is_sealed = seal(plane, (account, position), waiting, &mut entry).await?;
    for direction in PARTS {
        let Some(members) = entry.get_mut(direction).and_then(Json::as_object_mut) else { continue };
        let member = format!("{direction}{}", if is_sealed { "BodySealed" } else { "BodyJson" });
        let body = members.get(&member).map(Json::to_string).unwrap_or_default();
        if body.len() <= BODY_BYTES_MAX {
            continue;
        }
        members.remove(&member);
        if let Some((place, folder)) = &folder {
            let key = format!("{folder}data/{}_{direction}.json.gz", waiting.request_id);
            put(plane, account, region, &place.bucket, &key, gzip(&body)?, true).await?;
            members.insert(format!("{direction}BodyS3Path"), json!(format!("s3://{}/{key}", place.bucket)));
        }
    }
    Ok(entry)
}

async fn deliver_file(
    plane: &Arc<Plane>,
    (account, position): (&str, usize),
    region: &str,
    place: &Place,
    entries: &[&Waiting],
) -> Result<(), ApiError> {
    let Some(first) = entries.first() else { return Ok(()) };
    let folder = hour_folder(place, account, region, first.time_ms)?;
    let mut lines = String::new();
    for waiting in entries {
        let entry = without_large_bodies(plane, (account, position), region, Some((place, folder.clone())), waiting).await?;
        lines.push_str(&Json::Object(entry).to_string());
        lines.push('\n');
    }
    let mut random = [0_u8; 8];
    plane.randomness.fill(&mut random).map_err(|error| ApiError::internal(&error))?;
    let key = format!("{folder}{}_{}.json.gz", time_of(first.time_ms)?.strftime("%Y%m%dT%H%M%S%3fZ"), hex::encode(random));
    put(plane, account, region, &place.bucket, &key, gzip(&lines)?, true).await
}

/// Seals the bodies of an entry that is about a data subject, under the subject's key. `false`: it is about nobody that the server was told of.
async fn seal(
    plane: &Arc<Plane>,
    (account, position): (&str, usize),
    waiting: &Waiting,
    entry: &mut Map<String, Json>,
) -> Result<bool, ApiError> {
    let Some(subject) = &waiting.subject else { return Ok(false) };
    let id = data_subject::id(plane, account, subject)?;
    let key = data_subject::key(plane, position, account, &id).await?;
    for part in PARTS {
        let Some(members) = entry.get_mut(part).and_then(Json::as_object_mut) else { continue };
        if let Some(body) = members.remove(&format!("{part}BodyJson")) {
            let sealed = data_subject::seal(plane, &key, account, &waiting.request_id, part, &body.to_string())?;
            members.insert(format!("{part}BodySealed"), json!(sealed));
        }
    }
    entry.insert("dataSubjectId".to_owned(), json!(id));
    Ok(true)
}

fn gzip(text: &str) -> Result<Bytes, ApiError> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).map_err(|error| ApiError::internal(&error))?;
    encoder.finish().map(Bytes::from).map_err(|error| ApiError::internal(&error))
}
