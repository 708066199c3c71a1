//! What is recorded of a screening: which guardrail, what it looked at by hash, what it found by place, what followed. Never a text.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use guard::{Assessment, Direction, FindingAction, Place, Segment, WordSource};
use plane::ApiError;
use plane::authorize::Standing;
use serde_json::{Map, Value as Json, json};

use super::Applied;
use crate::guardrail::definition::category_name;
use crate::guardrail::enforcement::Origin;

/// Findings of one screening that are recorded; how many there were is always told.
const FINDINGS_MAX: usize = 100;
/// Texts whose hashes are recorded.
const HASHES_MAX: usize = 64;

pub(super) fn action_name(action: FindingAction) -> &'static str {
    match action {
        FindingAction::Blocked => "BLOCKED",
        FindingAction::Anonymized => "ANONYMIZED",
        FindingAction::None => "NONE",
    }
}

pub(super) fn origin_name(origin: Origin) -> &'static str {
    match origin {
        Origin::Request => "REQUEST",
        Origin::Account => "ACCOUNT_ENFORCED",
        Origin::Organization => "ORGANIZATION_ENFORCED",
    }
}

fn finding(policy: &str, kind: &str, place: Option<&Place>, action: FindingAction) -> Json {
    let span = place.map(|place| json!({ "segment": place.segment, "begin": place.bytes.start, "end": place.bytes.end }));
    json!({ "policy": policy, "type": kind, "action": action_name(action), "span": span })
}

/// The findings of an assessment, by filter and place.
fn findings(found: &Assessment) -> Vec<Json> {
    let words = found.words.iter().map(|word| {
        let kind = if word.source == WordSource::Custom { "CUSTOM" } else { "PROFANITY" };
        finding("word", kind, Some(&word.place), word.action)
    });
    let entities =
        found.entities.iter().map(|entity| finding("sensitiveInformation", entity.kind.name(), Some(&entity.place), entity.action));
    let patterns = found.patterns.iter().map(|pattern| finding("regex", &pattern.name, Some(&pattern.place), pattern.action));
    let content = found.content.iter().filter(|content| content.detected).map(|content| {
        let mut shown = finding("content", category_name(content.category), content.place.as_ref(), content.action);
        if let Some(members) = shown.as_object_mut() {
            members.insert("confidence".to_owned(), json!(format!("{:?}", content.confidence).to_uppercase()));
            members.insert("score".to_owned(), json!(content.score));
        }
        shown
    });
    // The name of a topic is part of the definition, which its owner may hide: its place in the list tells enough.
    let topics =
        found.topics.iter().filter(|topic| topic.detected).map(|topic| finding("topic", "DENY", topic.place.as_ref(), topic.action));
    let grounding = found.grounding.iter().filter(|grounding| grounding.detected).map(|grounding| {
        let kind = format!("{:?}", grounding.kind).to_uppercase();
        json!({ "policy": "contextualGrounding", "type": kind, "action": action_name(grounding.action), "score": grounding.score })
    });
    words.chain(entities).chain(patterns).chain(content).chain(topics).chain(grounding).collect()
}

/// SHA-256 of a text, hexadecimal.
pub(super) fn hash(text: &str) -> String {
    hex::encode(digest(&SHA256, text.as_bytes()))
}

pub(super) fn screening(
    applied: &Applied,
    direction: Direction,
    segments: &[Segment<'_>],
    found: &Assessment,
    reasoned: &[(String, ::reasoning::Finding)],
) -> Json {
    let decision = match (found.is_blocked, found.action) {
        (true, _) => "BLOCKED",
        (false, guard::Action::Intervened) => "MASKED",
        (false, guard::Action::None) => "NONE",
    };
    let all = findings(found);
    let hashes: Vec<String> =
        segments.iter().filter(|segment| segment.is_guarded()).take(HASHES_MAX).map(|segment| hash(segment.text)).collect();
    json!({
        "guardrailArn": applied.arn,
        "guardrailVersion": applied.version,
        "origins": applied.origins.iter().map(|origin| origin_name(*origin)).collect::<Vec<_>>(),
        "direction": if direction == Direction::Input { "INPUT" } else { "OUTPUT" },
        "decision": decision,
        "guardedCharacters": found.coverage.guarded_characters,
        "totalCharacters": found.coverage.total_characters,
        "contentSha256": hashes,
        "findingCount": all.len(),
        "findings": all.into_iter().take(FINDINGS_MAX).collect::<Vec<_>>(),
        "reasoning": reasoned.iter().map(|(arn, finding)| json!({ "policyArn": arn, "result": format!("{:?}", finding.verdict()) })).collect::<Vec<_>>(),
    })
}

/// Writes late notes as an event.
pub(super) async fn write(standing: &Mutex<Option<Standing>>, notes: Map<String, Json>) -> Result<(), ApiError> {
    // The lock is not held over the write.
    let writing =
        standing.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|standing| standing.record("GuardrailStreamScreening", notes));
    match writing {
        Some(writing) => writing.await,
        None => Ok(()),
    }
}
