//! What guardrails saw in a model call, put together from the events of its request id.

use plane::{ApiError, Call, Reply};
use serde_json::{Value as Json, json};
use trail::{Filter, lookup};
use wire::Value;

use crate::{reply, text};

/// Events of one request.
const EVENTS_MAX: usize = 50;
/// Under this name the events hold what was screened.
const SCREENINGS: &str = "guardrailScreenings";

/// The incident of a request of the caller's account.
pub(crate) async fn get_incident(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let request_id = text(&input, "RequestId");
    cx.plane.flush().await?;
    let filter = Filter { account: cx.account.clone(), attribute: Some(("RequestId".to_owned(), request_id.clone())), ..Filter::default() };
    let mut records = Vec::new();
    for region in cx.plane.regions.iter() {
        let page = lookup(region.store.as_ref(), &cx.plane.sealer(), &filter, None, EVENTS_MAX)
            .await
            .map_err(|error| ApiError::internal(&error))?;
        records.extend(page.entries.into_iter().map(|entry| entry.record));
    }
    // Newest first as they are found; a story is told from its beginning.
    records.reverse();
    let records = records.into_iter().map(|record| serde_json::to_value(&record)).collect::<Result<Vec<_>, _>>()?;
    let incident = incident(&request_id, &records).ok_or_else(|| {
        ApiError::new(
            "ResourceNotFoundException",
            format!("no call with the request id `{request_id}` is recorded in account `{}`", cx.account),
        )
    })?;
    Ok(reply([("Incident", Value::Document(incident))]))
}

fn incident(request_id: &str, records: &[Json]) -> Option<Json> {
    let main =
        records.iter().find(|record| record.get("eventSource").and_then(Json::as_str).is_some_and(|source| source.starts_with("bedrock")));
    let main = main.or_else(|| records.first())?;
    let screenings: Vec<Json> = records
        .iter()
        .flat_map(|record| {
            let list = record.pointer(&format!("/additionalEventData/{SCREENINGS}")).and_then(Json::as_array);
            list.into_iter().flatten().map(|screening| {
                let mut shown = screening.clone();
                if let Some(members) = shown.as_object_mut() {
                    members.insert("eventId".to_owned(), record.get("eventID").cloned().unwrap_or_default());
                }
                shown
            })
        })
        .collect();
    let has = |decision: &str| screenings.iter().any(|screening| screening.get("decision").and_then(Json::as_str) == Some(decision));
    let decision = match main.get("errorCode").and_then(Json::as_str) {
        Some(code) => code.to_owned(),
        None => ["BLOCKED", "HELD", "MASKED"].into_iter().find(|decision| has(decision)).unwrap_or("NONE").to_owned(),
    };
    let part = |pointer: &str| main.pointer(pointer).cloned().unwrap_or_default();
    Some(json!({
        "requestId": request_id,
        "time": part("/eventTime"),
        "principal": part("/userIdentity/arn"),
        "sourceIPAddress": part("/sourceIPAddress"),
        "operation": part("/eventName"),
        "model": part("/requestParameters/modelId"),
        "decision": decision,
        "screenings": screenings,
        "events": records.iter().map(|record| json!({
            "eventId": record.get("eventID"), "eventName": record.get("eventName"), "eventTime": record.get("eventTime"),
            "errorCode": record.get("errorCode"),
        })).collect::<Vec<_>>(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_decision_stands_for_the_call() {
        let event = |decisions: &[&str]| {
            let screenings: Vec<Json> = decisions.iter().map(|decision| json!({ "decision": decision })).collect();
            json!({ "eventSource": "bedrock.amazonaws.com", "eventID": "e", "additionalEventData": { SCREENINGS: screenings } })
        };
        let decided = |records: &[Json]| incident("r", records).unwrap().get("decision").cloned().unwrap();
        assert_eq!(decided(&[event(&["NONE", "MASKED"])]), "MASKED");
        assert_eq!(decided(&[event(&["NONE"]), event(&["BLOCKED", "MASKED"])]), "BLOCKED");
        assert_eq!(decided(&[event(&[])]), "NONE");
        assert_eq!(incident("r", &[]), None);
    }
}
