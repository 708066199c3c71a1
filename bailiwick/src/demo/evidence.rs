//! Step 6: every call is in the trail, and the last denial explains itself.

use std::collections::BTreeMap;

use wire::Value;

use super::lockdown;
use super::stage::{Stage, object, text, text_at};
use crate::command::explain::story;
use crate::command::{Failure, output};

/// Pages that are read at most.
const PAGES: usize = 100;

/// Finds every call of the demo through `LookupEvents`, by its request id and with its outcome.
pub async fn lookup(stage: &mut Stage) -> Result<(), Failure> {
    let made: Vec<(String, String, Option<String>)> =
        stage.calls.iter().map(|call| (call.request_id.clone(), call.event_name.clone(), call.error.clone())).collect();
    let administrator = stage.administrator.clone();
    let mut recorded: BTreeMap<(String, String), Option<String>> = BTreeMap::new();
    let mut token: Option<String> = None;
    for _ in 0..PAGES {
        let input = match &token {
            Some(token) => object([("NextToken", text(token))]),
            None => object([]),
        };
        let page = stage.call(&administrator, "cloudtrail", "LookupEvents", input).await?;
        if let Some(Value::List(events)) = page.member("Events") {
            for event in events {
                let record: serde_json::Value =
                    serde_json::from_str(&text_at(event, "CloudTrailEvent")).map_err(|error| Failure::general(error.to_string()))?;
                let member = |name: &str| record.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
                recorded.insert((member("requestID").unwrap_or_default(), text_at(event, "EventName")), member("errorCode"));
            }
        }
        token = Some(text_at(&page, "NextToken")).filter(|token| !token.is_empty());
        if token.is_none() {
            break;
        }
    }
    let missing: Vec<&str> = made
        .iter()
        .filter(|(id, name, error)| recorded.get(&(id.clone(), name.clone())) != Some(error))
        .map(|(_, name, _)| name.as_str())
        .collect();
    let refused = made.iter().filter(|(_, _, error)| error.is_some()).count();
    let evidence = if missing.is_empty() {
        format!("{} calls, {refused} of them refused; {} events in the trail", made.len(), recorded.len())
    } else {
        format!("not found: {}", missing.join(", "))
    };
    stage.prove("every call of this demo is found through LookupEvents, refused ones too", missing.is_empty(), evidence)
}

/// Prints the whole chain of the last denial.
pub async fn explain(stage: &mut Stage) -> Result<(), Failure> {
    let decision = lockdown::explain(stage, "last").await?;
    let story = story(&serde_json::Value::Null, &decision);
    for line in story.lines() {
        output::line(&format!("      {line}"))?;
    }
    let denied = decision.get("allowed") == Some(&serde_json::Value::Bool(false));
    let considered = decision.pointer("/explanation/policies").and_then(serde_json::Value::as_array).map_or(0, Vec::len);
    stage.prove(
        "`explain last` shows every policy that was considered",
        denied && considered > 0,
        format!("{considered} policies considered"),
    )
}
