//! Detection Finding: Insights events, and calls that a guardrail stopped.

use serde_json::{Value as Json, json};

use crate::class;
use crate::common::Record;

/// Attributes of the class.
pub(crate) fn attributes(record: Record<'_>, mapped: &mut Vec<&str>) -> Vec<(&'static str, Json)> {
    let is_guardrail = class::is_guardrail_stop(record.0);
    let (title, kinds, analytic) = if is_guardrail {
        ("Guardrail intervened".to_owned(), json!(["AI guardrail"]), "Bedrock Guardrails")
    } else {
        mapped.extend(["insightDetails.insightType", "insightDetails.state", "insightDetails.eventName", "insightDetails.eventSource"]);
        let kind = record.text("/insightDetails/insightType").unwrap_or("Insight");
        (format!("{kind}: {}", record.text("/insightDetails/eventName").unwrap_or("-")), json!([kind]), "CloudTrail Insights")
    };
    let ended = record.text("/insightDetails/state") == Some("End");
    vec![
        (
            "finding_info",
            json!({
                "uid": record.text("/sharedEventID").or(record.text("/eventID")),
                "title": title,
                "types": kinds,
                "created_time": record.time("/eventTime"),
                "analytic": { "name": analytic, "type": "Rule", "type_id": 1 },
            }),
        ),
        ("is_alert", json!(true)),
        ("severity_id", json!(if is_guardrail { 3 } else { 2 })),
        ("severity", json!(if is_guardrail { "Medium" } else { "Low" })),
        ("status_id", json!(if ended { 4 } else { 1 })),
        ("status", json!(if ended { "Resolved" } else { "New" })),
        ("resources", crate::map::resources(record, crate::Version::V1_5)),
    ]
}
