//! `LookupEvents`: the calls of the last 90 days, newest first.
//!
//! Source: CloudTrail API reference, `LookupEvents`.

use ::trail::lookup::resource_name;
use ::trail::{Entry, Filter};
use api_cloudtrail::{Event, LookupAttribute, LookupEventsInput, LookupEventsOutput, Resource};
use plane::{ApiError, Call, page};
use wire::Timestamp;

/// Events of one page, when the caller does not say.
const PAGE_LENGTH: usize = 50;
/// How far back events are found.
const HISTORY_MS: i64 = 90 * 24 * 3600 * 1000;

pub(crate) async fn lookup_events(cx: &mut Call, input: LookupEventsInput) -> Result<LookupEventsOutput, ApiError> {
    let insights = match input.event_category.as_deref() {
        None => false,
        Some("insight") => true,
        Some(_) => return Err(ApiError::new("InvalidEventCategoryException", "The event category is not valid.")),
    };
    let limit = match input.max_results.map(usize::try_from) {
        None => PAGE_LENGTH,
        Some(Ok(limit)) if (1..=PAGE_LENGTH).contains(&limit) => limit,
        Some(_) => return Err(ApiError::new("InvalidMaxResultsException", "The limit is a number from 1 to 50.")),
    };
    let (start, end) = (input.start_time.map(|time| time.0), input.end_time.map(|time| time.0));
    if let (Some(start), Some(end)) = (start, end)
        && start > end
    {
        return Err(ApiError::new("InvalidTimeRangeException", "Start time cannot be after end time."));
    }
    let attribute = attribute(input.lookup_attributes)?;
    let binding = format!("{start:?} {end:?} {attribute:?} {insights}");
    let earliest = cx.now.0.saturating_sub(HISTORY_MS);
    let filter = Filter {
        account: cx.account.clone(),
        start_ms: Some(start.unwrap_or(earliest).max(earliest)),
        end_ms: end,
        attribute,
        denied_only: false,
        insights,
    };
    let invalid_token = |_| ApiError::new("InvalidNextTokenException", "The token is not one that this lookup gave.");
    let after = match &input.next_token {
        Some(token) => Some(
            position(&page::open(cx, &cx.plane.keyring, &binding, token).map_err(invalid_token)?)
                .ok_or_else(|| invalid_token(page::InvalidToken))?,
        ),
        None => None,
    };
    if after.is_none() {
        // A caller sees its own last call, wherever the recorder is with it.
        cx.plane.flush().await?;
    }
    let region = cx.plane.regions.position(&cx.region).unwrap_or_default();
    let ledger = std::sync::Arc::clone(cx.plane.ledger(region)?);
    let found = ledger.lookup(&filter, after, limit).await.map_err(|error| ApiError::internal(&error))?;
    let next_token = found.next.map(|leaf| page::seal(cx, &cx.plane.keyring, &binding, &leaf.to_be_bytes())).transpose()?;
    let events = found.entries.iter().map(event).collect::<Result<_, _>>()?;
    Ok(LookupEventsOutput { events: Some(events), next_token })
}

/// The one attribute that a lookup may name.
fn attribute(attributes: Option<Vec<LookupAttribute>>) -> Result<Option<(String, String)>, ApiError> {
    let mut attributes = attributes.unwrap_or_default();
    if attributes.len() > 1 {
        return Err(ApiError::new("InvalidLookupAttributesException", "You can only specify one lookup attribute."));
    }
    Ok(attributes.pop().map(|attribute| (attribute.attribute_key.as_str().to_owned(), attribute.attribute_value)))
}

fn position(place: &[u8]) -> Option<u64> {
    place.try_into().ok().map(u64::from_be_bytes)
}

pub(crate) fn event(entry: &Entry) -> Result<Event, ApiError> {
    let record = &entry.record;
    let time: Option<Timestamp> = plane::clock::parse_iso8601(&record.event_time).map(Timestamp);
    let resources = record.resources.iter().map(|resource| Resource {
        resource_type: resource.resource_type.clone(),
        resource_name: Some(resource_name(&resource.arn).to_owned()),
    });
    Ok(Event {
        event_id: Some(record.event_id.clone()),
        event_name: Some(record.event_name.clone()),
        read_only: Some(record.read_only.to_string()),
        access_key_id: record.user_identity.access_key_id.clone(),
        event_time: time,
        event_source: Some(record.event_source.clone()),
        username: record.user_name().map(str::to_owned),
        resources: Some(resources.collect()),
        cloud_trail_event: Some(record.to_json()?),
    })
}
