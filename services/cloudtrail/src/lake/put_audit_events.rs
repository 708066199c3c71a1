//! `PutAuditEvents`: events from outside, through a channel into its stores. The service `cloudtrail-data` is this operation alone.
//!
//! Source: CloudTrail Data Service API reference, `PutAuditEvents`; CloudTrail User Guide, "CloudTrail Lake integrations event schema".

use std::collections::BTreeSet;
use std::sync::Arc;

use api_cloudtrail_data::{AuditEvent, AuditEventResultEntry, PutAuditEventsInput, PutAuditEventsOutput, ResultErrorEntry};
use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plane::clock::iso8601_s;
use plane::{ApiError, Call, Handler, Service, handler};
use policy::MapContext;
use serde_json::{Map, Value as Json, json};
use wire::Value;

use super::channel::{self, Channel};
use super::engine::LakeEngine;
use super::event_data_store::{EventDataStore, Status};
use super::ingested::{self, IngestedBatch};
use crate::delivery::sha256_hex;

/// Bytes of all events of one call.
const REQUEST_BYTES_MAX: usize = 1024 * 1024;

/// The service, and what the process keeps for CloudTrail Lake.
#[derive(Default)]
pub struct CloudTrailData {
    engine: Arc<LakeEngine>,
}

impl CloudTrailData {
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Service for CloudTrailData {
    fn id(&self) -> &'static str {
        "cloudtrail-data"
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        &[handler!("PutAuditEvents", put_audit_events)]
    }

    fn condition_keys(&self, _call: &Call, input: &Value, keys: &mut MapContext) {
        if let Some(id) = input.member("externalId").and_then(Value::as_str) {
            keys.set("cloudtrail:ExternalId", id.to_owned());
        }
    }

    fn extension(&self) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        Some(Arc::clone(&self.engine) as Arc<dyn std::any::Any + Send + Sync>)
    }
}

/// Why one event does not come in: a code that the API lists, and words.
struct Refusal(&'static str, String);

/// A field of `eventData`: name, most characters, whether it must be there.
struct FieldRule(&'static str, usize, bool);

const TEXTS: [FieldRule; 10] = [
    FieldRule("version", 256, true),
    FieldRule("userAgent", 1024, false),
    FieldRule("eventSource", 256, true),
    FieldRule("eventName", 1024, true),
    FieldRule("eventTime", 128, true),
    FieldRule("UID", 1024, true),
    FieldRule("errorCode", 256, false),
    FieldRule("errorMessage", 256, false),
    FieldRule("sourceIPAddress", 1024, false),
    FieldRule("recipientAccountId", 12, true),
];

/// Objects, with the bytes that their JSON may have.
const OBJECTS: [FieldRule; 3] = [
    FieldRule("requestParameters", 100 * 1024, false),
    FieldRule("responseElements", 100 * 1024, false),
    FieldRule("additionalEventData", 28 * 1024, false),
];

pub(crate) async fn put_audit_events(cx: &mut Call, input: PutAuditEventsInput) -> Result<PutAuditEventsOutput, ApiError> {
    let bytes: usize = input.audit_events.iter().map(|event| event.event_data.len()).sum();
    if bytes > REQUEST_BYTES_MAX {
        return Err(ApiError::new("ValidationException", "The events of one request are at most 1 MB."));
    }
    let ids: BTreeSet<&str> = input.audit_events.iter().map(|event| event.id.as_str()).collect();
    if ids.len() != input.audit_events.len() {
        return Err(ApiError::new("DuplicatedAuditEventId", "Two events of the request have the same id."));
    }
    let mut channel = channel_of(cx, &input.channel_arn).await?;
    let mut output = PutAuditEventsOutput::default();
    let mut events = Vec::with_capacity(input.audit_events.len());
    for event in &input.audit_events {
        match checked(cx, &channel, event) {
            Ok(data) => {
                let event_id = cx.random_uuid()?;
                events.push(enveloped(cx, &channel, &event_id, data));
                output.successful.push(AuditEventResultEntry { event_id, id: event.id.clone() });
            }
            Err(Refusal(code, message)) => {
                output.failed.push(ResultErrorEntry { error_code: code.to_owned(), error_message: message, id: event.id.clone() });
            }
        }
    }
    note(cx, &mut channel, &output);
    channel.put(&mut cx.tx)?;
    if !events.is_empty() {
        into_stores(cx, &channel, events).await?;
    }
    Ok(output)
}

async fn channel_of(cx: &mut Call, reference: &str) -> Result<Channel, ApiError> {
    let missing = || ApiError::new("ChannelNotFound", "The channel could not be found.");
    let (account, id) = channel::place(cx, reference)
        .map_err(|_| ApiError::new("InvalidChannelARN", "The specified channel ARN is not a valid channel ARN."))?;
    let found = cx.tx.get::<Channel>(&Channel::key(&account, &cx.region.clone(), &id)).await?;
    found.ok_or_else(missing)
}

/// The event's data, when it is as the schema says.
fn checked(cx: &Call, channel: &Channel, event: &AuditEvent) -> Result<Map<String, Json>, Refusal> {
    if let Some(checksum) = &event.event_data_checksum {
        let computed = STANDARD.encode(digest(&SHA256, event.event_data.as_bytes()));
        if computed != *checksum {
            return Err(Refusal("InvalidChecksum", "The checksum does not match the event data.".to_owned()));
        }
    }
    let Ok(Json::Object(data)) = serde_json::from_str(&event.event_data) else {
        return Err(Refusal("InvalidData", "The event data is not a JSON object.".to_owned()));
    };
    let known = |name: &str| name == "userIdentity" || TEXTS.iter().chain(&OBJECTS).any(|rule| rule.0 == name);
    if let Some(unknown) = data.keys().find(|name| !known(name)) {
        return Err(Refusal("InvalidData", format!("The field {} is not in the schema.", cut(unknown))));
    }
    for FieldRule(name, most, required) in &TEXTS {
        text(&data, name, *most, *required)?;
    }
    for FieldRule(name, most, _) in &OBJECTS {
        object(&data, name, *most)?;
    }
    let Some(Json::Object(identity)) = data.get("userIdentity") else { return Err(missing("userIdentity")) };
    text(identity, "type", 128, true)?;
    text(identity, "principalId", 1024, true)?;
    object(identity, "details", 28 * 1024)?;
    if time_of(&data).is_none() {
        return Err(Refusal("InvalidData", "The field eventTime is not a time in the form yyyy-MM-DDTHH:mm:ss.".to_owned()));
    }
    if data.get("eventSource").and_then(Json::as_str).is_some_and(|source| source.ends_with(".amazonaws.com")) {
        return Err(Refusal("InvalidEventSource", "The event source names an AWS service.".to_owned()));
    }
    if data.get("recipientAccountId").and_then(Json::as_str) != Some(&channel.account) {
        return Err(Refusal("InvalidRecipient", format!("The recipient of the event is not the account {} of the channel.", cx.account)));
    }
    Ok(data)
}

fn missing(name: &str) -> Refusal {
    Refusal("FieldNotFound", format!("The field {name} is missing."))
}

fn cut(text: &str) -> String {
    text.chars().take(64).collect()
}

fn text(data: &Map<String, Json>, name: &str, most: usize, required: bool) -> Result<(), Refusal> {
    match data.get(name) {
        None | Some(Json::Null) if required => Err(missing(name)),
        Some(Json::String(text)) if text.chars().count() > most => {
            Err(Refusal("FieldTooLong", format!("The field {name} is longer than {most} characters.")))
        }
        Some(Json::String(text)) if required && text.is_empty() => Err(missing(name)),
        None | Some(Json::Null | Json::String(_)) => Ok(()),
        Some(_) => Err(Refusal("InvalidData", format!("The field {name} is not a string."))),
    }
}

fn object(data: &Map<String, Json>, name: &str, most: usize) -> Result<(), Refusal> {
    match data.get(name) {
        Some(value @ Json::Object(_)) if value.to_string().len() > most => {
            Err(Refusal("FieldTooLong", format!("The field {name} is larger than {most} bytes.")))
        }
        None | Some(Json::Null | Json::Object(_)) => Ok(()),
        Some(_) => Err(Refusal("InvalidData", format!("The field {name} is not an object."))),
    }
}

/// `yyyy-MM-DDTHH:mm:ss`, with or without a `Z`.
fn time_of(data: &Map<String, Json>) -> Option<i64> {
    let text = data.get("eventTime").and_then(Json::as_str)?;
    let zoned = if text.ends_with('Z') { text.to_owned() } else { format!("{text}Z") };
    plane::clock::parse_iso8601(&zoned)
}

/// What CloudTrail adds.
fn enveloped(cx: &Call, channel: &Channel, event_id: &str, data: Map<String, Json>) -> Json {
    let time_ms = time_of(&data).unwrap_or(cx.now.0);
    let mut event = json!({
        "eventVersion": "1.0",
        "eventCategory": "ActivityAuditLog",
        "eventType": "ActivityLog",
        "eventID": event_id,
        "eventTime": iso8601_s(time_ms),
        "awsRegion": cx.region,
        "recipientAccountId": channel.account,
        "metadata": { "ingestionTime": iso8601_s(cx.now.0), "channelARN": channel.arn() },
        "eventData": data,
    });
    let checksum = sha256_hex(event.to_string().as_bytes());
    if let Some(members) = event.as_object_mut() {
        members.insert("eventJsonChecksum".to_owned(), Json::String(checksum));
    }
    event
}

fn note(cx: &Call, channel: &mut Channel, output: &PutAuditEventsOutput) {
    let now_ms = cx.now.0;
    let ingestion = &mut channel.ingestion;
    if let Some(last) = output.successful.last() {
        ingestion.success_ms = Some(now_ms);
        ingestion.success_event = Some(last.event_id.clone());
        ingestion.attempt_event = Some(last.event_id.clone());
    }
    ingestion.attempt_ms = Some(now_ms);
    ingestion.error_code = output.failed.last().map(|failed| failed.error_code.clone());
}

async fn into_stores(cx: &mut Call, channel: &Channel, events: Vec<Json>) -> Result<(), ApiError> {
    let newest_ms =
        events.iter().filter_map(|event| event.get("eventTime").and_then(Json::as_str).and_then(plane::clock::parse_iso8601)).max();
    let batch = IngestedBatch { events, newest_ms: newest_ms.unwrap_or(cx.now.0) };
    for arn in &channel.stores {
        let id = arn.rsplit('/').next().unwrap_or_default();
        let key = EventDataStore::key(&channel.account, &channel.region, id);
        let Some(mut store) = cx.tx.get::<EventDataStore>(&key).await?.filter(|store| store.status == Status::Enabled) else { continue };
        ingested::add(&mut cx.tx, &mut store, &batch)?;
    }
    Ok(())
}
