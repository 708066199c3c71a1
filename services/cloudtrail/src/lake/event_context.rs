//! What the events of a store show beyond their records: tags and condition keys of the call (`eventContext`), and how large an event may be.
//!
//! The log's record is as every trail delivers it; a store adds to it when it reads. What a call's condition keys and tags were stands beside
//! the record, with the decision. An account sees of them what is its own: the caller's account its principal and request, the owner's account
//! the tags of its resources.
//!
//! Source: CloudTrail User Guide, "Enrich CloudTrail events by adding resource tag keys and IAM global condition keys", and in "CloudTrail
//! record contents" `eventContext` and "Field truncation order for maximum event size of 1 MB".

use ::trail::Entry;
use ::trail::event::Event;
use plane::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

const STANDARD_BYTES: usize = 256 * 1024;
const LARGE_BYTES: usize = 1024 * 1024;
/// What is left of a text that is cut because the event is too large.
const CUT_TEXT: usize = 256;
/// Resources that are left of an event that is still too large then.
const CUT_RESOURCES: usize = 100;

/// In which order an event that is too large loses what.
const CUT_ORDER: [&str; 10] = [
    "annotation",
    "requestID",
    "additionalEventData",
    "serviceEventDetails",
    "userAgent",
    "errorCode",
    "eventContext",
    "responseElements",
    "requestParameters",
    "errorMessage",
];

/// Condition keys that events here can show, lower case.
const CONDITION_KEYS: [&str; 28] = [
    "aws:calledvia",
    "aws:calledviafirst",
    "aws:calledvialast",
    "aws:currenttime",
    "aws:epochtime",
    "aws:federatedprovider",
    "aws:multifactorauthage",
    "aws:multifactorauthpresent",
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalisawsservice",
    "aws:principalservicename",
    "aws:principaltype",
    "aws:referer",
    "aws:requestedregion",
    "aws:resourceaccount",
    "aws:securetransport",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceidentity",
    "aws:sourceip",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:tokenissuetime",
    "aws:useragent",
    "aws:userid",
    "aws:username",
    "aws:viaawsservice",
];

/// The settings of `PutEventConfiguration` for a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventConfiguration {
    #[serde(default)]
    pub large: bool,
    /// Keys of tags of resources and principals.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Global condition keys.
    #[serde(default)]
    pub conditions: Vec<String>,
}

/// Whether events here can show a condition key.
pub(crate) fn is_known_key(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    lower.strip_prefix("aws:principaltag/").is_some_and(|tag| !tag.is_empty()) || CONDITION_KEYS.contains(&lower.as_str())
}

impl EventConfiguration {
    fn is_enriching(&self) -> bool {
        !self.tags.is_empty() || !self.conditions.is_empty()
    }

    /// The event as the store shows it.
    pub(crate) fn event(&self, entry: &Entry) -> Result<Json, ApiError> {
        let mut event = serde_json::to_value(&entry.record)?;
        let Json::Object(members) = &mut event else { return Ok(event) };
        if self.large
            && let Some(Json::Object(whole)) = &entry.whole
        {
            members.extend(whole.clone());
        }
        // Source: "CloudTrail record contents": enriched are management and data events.
        if self.is_enriching() && matches!(entry.record.event_category.as_str(), "Management" | "Data") {
            members.insert("eventContext".to_owned(), self.context(entry));
        }
        fit(members, if self.large { LARGE_BYTES } else { STANDARD_BYTES });
        Ok(event)
    }

    fn context(&self, entry: &Entry) -> Json {
        let record = &entry.record;
        let is_callers = record.user_identity.account_id.as_ref().is_none_or(|account| *account == record.recipient_account_id);
        let first = entry.decision.as_deref();
        let further = first.and_then(|first| first.get("further")).and_then(Json::as_array);
        let decisions: Vec<&Json> = first.into_iter().chain(further.into_iter().flatten()).collect();
        let mut request = Map::new();
        let mut principal = Map::new();
        if is_callers {
            let asked = first.and_then(|first| first.get("asked"));
            for key in &self.conditions {
                if let Some(value) = condition(key, record, asked) {
                    request.insert(key.clone(), Json::String(value));
                }
            }
            principal = self.principal_tags(asked);
        }
        let resources = decisions.into_iter().filter_map(|decision| self.resource_tags(record, decision)).collect::<Vec<_>>();
        json!({ "requestContext": request, "tagContext": { "resourceTags": resources, "principalTags": principal } })
    }

    fn principal_tags(&self, asked: Option<&Json>) -> Map<String, Json> {
        let named = |key: &str| {
            let of_condition =
                |condition: &String| condition.to_ascii_lowercase().strip_prefix("aws:principaltag/") == Some(&key.to_ascii_lowercase());
            self.tags.iter().any(|tag| tag == key) || self.conditions.iter().any(of_condition)
        };
        pairs(asked.and_then(|asked| asked.get("principalTags"))).filter(|(key, _)| named(key)).collect()
    }

    /// The wanted tags of a resource in the event's region that belongs to the account whose event it is.
    fn resource_tags(&self, record: &Event, decision: &Json) -> Option<Json> {
        let asked = decision.get("asked")?;
        let arn = decision.get("resource")?.as_str()?;
        if asked.get("owner").and_then(Json::as_str).is_some_and(|owner| owner != record.recipient_account_id) {
            return None;
        }
        if arn.split(':').nth(3).is_none_or(|region| !region.is_empty() && region != record.aws_region) {
            return None;
        }
        let tags: Map<String, Json> = pairs(asked.get("resourceTags")).filter(|(key, _)| self.tags.contains(key)).collect();
        (!tags.is_empty()).then(|| json!({ "arn": arn, "tags": tags }))
    }
}

/// Tags as a decision's note has them: pairs.
fn pairs(tags: Option<&Json>) -> impl Iterator<Item = (String, Json)> {
    tags.and_then(Json::as_array).into_iter().flatten().filter_map(|pair| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.clone())))
}

/// The value of a condition key of the call; several are joined by commas.
fn condition(key: &str, record: &Event, asked: Option<&Json>) -> Option<String> {
    let lower = key.to_ascii_lowercase();
    let identity = &record.user_identity;
    let is_service = identity.identity_type == "AWSService";
    match lower.as_str() {
        "aws:currenttime" => Some(record.event_time.clone()),
        "aws:epochtime" => plane::clock::parse_iso8601(&record.event_time).map(|time_ms| (time_ms / 1000).to_string()),
        "aws:useragent" => Some(record.user_agent.clone()),
        "aws:principalaccount" => identity.account_id.clone(),
        "aws:principalarn" => principal_arn(record),
        "aws:principalisawsservice" => Some(is_service.to_string()),
        "aws:principalservicename" => identity.invoked_by.clone().filter(|_| is_service),
        "aws:principaltype" => principal_type(&identity.identity_type).map(str::to_owned),
        "aws:userid" => identity.principal_id.clone(),
        "aws:username" => identity.user_name.clone().filter(|_| identity.identity_type == "IAMUser"),
        "aws:resourceaccount" => asked?.get("owner")?.as_str().map(str::to_owned),
        recorded => {
            let values = asked?.get("context")?.get(recorded)?.as_array()?;
            Some(values.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(","))
        }
    }
}

/// Source: IAM User Guide, "AWS global condition context keys", `aws:PrincipalArn`: the role's ARN for a session of it.
fn principal_arn(record: &Event) -> Option<String> {
    let identity = &record.user_identity;
    let issuer = identity.session_context.as_ref().and_then(|context| context.session_issuer.as_ref());
    match issuer.filter(|_| identity.identity_type == "AssumedRole") {
        Some(role) => Some(role.arn.clone()),
        None => identity.arn.clone(),
    }
}

fn principal_type(identity_type: &str) -> Option<&'static str> {
    match identity_type {
        "Root" => Some("Account"),
        "IAMUser" => Some("User"),
        "AssumedRole" => Some("AssumedRole"),
        "FederatedUser" => Some("FederatedUser"),
        "Unknown" => Some("Anonymous"),
        _ => None,
    }
}

fn size(members: &Map<String, Json>) -> usize {
    serde_json::to_string(members).map_or(usize::MAX, |text| text.len())
}

/// Cuts an event that is too large, in AWS's order; at last the list of its resources.
fn fit(members: &mut Map<String, Json>, limit: usize) {
    let mut bytes = size(members);
    for name in CUT_ORDER {
        if bytes <= limit {
            return;
        }
        let Some(value) = members.get_mut(name) else { continue };
        match value {
            Json::String(text) => *text = text.chars().take(CUT_TEXT).collect(),
            Json::Object(_) | Json::Array(_) => {
                let was = value.to_string().len();
                *value = json!({ "omitted": true, "originalSize": was, "reason": format!("{name} too large") });
            }
            _ => {}
        }
        bytes = size(members);
    }
    if bytes > limit
        && let Some(Json::Array(resources)) = members.get_mut("resources")
    {
        resources.truncate(CUT_RESOURCES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        serde_json::from_value(json!({
            "record": {
                "eventVersion": "1.11", "eventTime": "2026-11-28T10:00:00Z", "awsRegion": "us-east-1", "eventID": "e", "eventType": "AwsApiCall",
                "recipientAccountId": "111122223333", "eventCategory": "Management", "userAgent": "agent",
                "userIdentity": { "type": "AssumedRole", "principalId": "AROA1:s", "accountId": "111122223333", "sessionContext": {
                    "sessionIssuer": { "type": "Role", "principalId": "AROA1", "arn": "arn:aws:iam::111122223333:role/r", "accountId": "111122223333", "userName": "r" },
                    "attributes": { "creationDate": "2026-11-28T09:00:00Z", "mfaAuthenticated": "false" } } },
                "requestParameters": { "omitted": true },
            },
            "decision": {
                "resource": "arn:aws:kms:us-east-1:111122223333:key/k",
                "asked": {
                    "context": { "aws:sourceip": ["10.0.0.1"], "aws:calledvia": ["a", "b"] }, "owner": "111122223333",
                    "resourceTags": [["team", "red"], ["secret", "x"]], "principalTags": [["team", "blue"], ["cost", "1"]],
                },
                "further": [{ "resource": "arn:aws:kms:eu-west-1:111122223333:key/far", "asked": { "resourceTags": [["team", "far"]] } }],
            },
            "whole": { "requestParameters": { "text": "long" } },
        }))
        .unwrap()
    }

    fn configuration(tags: &[&str], conditions: &[&str]) -> EventConfiguration {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        EventConfiguration { large: true, tags: owned(tags), conditions: owned(conditions) }
    }

    #[test]
    fn an_event_shows_what_was_asked_for_and_no_more() {
        let keys = ["aws:SourceIp", "aws:CalledVia", "aws:PrincipalArn", "aws:PrincipalType", "aws:UserName", "aws:PrincipalTag/cost"];
        let event = configuration(&["team"], &keys).event(&entry()).unwrap();
        assert_eq!(
            event["eventContext"],
            json!({
                "requestContext": {
                    "aws:SourceIp": "10.0.0.1", "aws:CalledVia": "a,b", "aws:PrincipalArn": "arn:aws:iam::111122223333:role/r",
                    "aws:PrincipalType": "AssumedRole",
                },
                "tagContext": {
                    "resourceTags": [{ "arn": "arn:aws:kms:us-east-1:111122223333:key/k", "tags": { "team": "red" } }],
                    "principalTags": { "team": "blue", "cost": "1" },
                },
            })
        );
        assert_eq!(event["requestParameters"], json!({ "text": "long" }));
        let plain = EventConfiguration::default().event(&entry()).unwrap();
        assert_eq!(plain, serde_json::to_value(&entry().record).unwrap());
    }

    #[test]
    fn the_owners_copy_shows_nothing_of_the_caller() {
        let mut entry = entry();
        entry.record.recipient_account_id = "444455556666".to_owned();
        let event = configuration(&["team"], &["aws:SourceIp"]).event(&entry).unwrap();
        assert_eq!(event["eventContext"], json!({ "requestContext": {}, "tagContext": { "resourceTags": [], "principalTags": {} } }));
        std::sync::Arc::make_mut(entry.decision.as_mut().unwrap())["asked"]["owner"] = json!("444455556666");
        let event = configuration(&["team"], &["aws:SourceIp"]).event(&entry).unwrap();
        assert_eq!(event["eventContext"]["tagContext"]["resourceTags"][0]["tags"], json!({ "team": "red" }));
        assert_eq!(event["eventContext"]["tagContext"]["principalTags"], json!({}));
    }

    #[test]
    fn events_of_the_network_are_not_enriched() {
        let mut entry = entry();
        entry.record.event_category = "NetworkActivity".to_owned();
        assert!(configuration(&["team"], &[]).event(&entry).unwrap().get("eventContext").is_none());
    }

    #[test]
    fn events_are_cut_in_order_until_they_fit() {
        let object = |length: usize| json!({ "text": "x".repeat(length) });
        let event = json!({
            "additionalEventData": object(20_000), "responseElements": object(90_000), "requestParameters": object(90_000),
            "resources": (0..200).map(|_| json!({ "ARN": "a".repeat(500) })).collect::<Vec<_>>(),
        });
        let mut members = event.as_object().unwrap().clone();
        fit(&mut members, STANDARD_BYTES);
        assert_eq!(members["additionalEventData"]["omitted"], json!(true));
        assert_eq!(members["responseElements"]["omitted"], json!(true));
        assert!(members["requestParameters"].get("omitted").is_none() && size(&members) <= STANDARD_BYTES);
        let mut members = event.as_object().unwrap().clone();
        fit(&mut members, LARGE_BYTES);
        assert_eq!(Json::Object(members), event);
        let mut members = event.as_object().unwrap().clone();
        fit(&mut members, 80_000);
        assert!(size(&members) <= 80_000);
    }

    #[test]
    fn keys() {
        assert!(is_known_key("aws:SourceIp") && is_known_key("aws:PrincipalTag/team"));
        assert!(!is_known_key("s3:prefix") && !is_known_key("aws:PrincipalTag/") && !is_known_key("aws:Colour"));
        assert!(CONDITION_KEYS.is_sorted());
    }
}
