//! AWS's own pairs of CloudTrail records and Security Lake rows (MIT-0, see NOTICE): the same row comes out here, every field of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use ocsf::columns::{Shape, columns};
use ocsf::{Class, Version, map};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

/// Members without a value say nothing: a Parquet row has them all.
fn without_nulls(value: Json) -> Json {
    match value {
        Json::Object(members) => {
            let kept = members.into_iter().map(|(name, value)| (name, without_nulls(value)));
            Json::Object(
                kept.filter(|(_, value)| !value.is_null() && value.as_object().is_none_or(|members| !members.is_empty())).collect(),
            )
        }
        Json::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

#[test]
fn pairs_are_reproduced() {
    let mut seen = 0;
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pairs")).unwrap() {
        let path = entry.unwrap().path();
        let pair: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let (_, event) = map(&pair["record"], Version::Rc2);
        assert_eq!(event, without_nulls(pair["expected"].clone()), "{}", path.display());
        seen += 1;
    }
    assert_eq!(seen, 9);
}

fn record(source: &str, name: &str) -> Json {
    json!({ "eventVersion": "1.11", "eventID": "e", "eventTime": "2026-11-28T10:00:00Z", "eventSource": source, "eventName": name,
        "awsRegion": "us-east-1", "recipientAccountId": "111111111111", "eventCategory": "Management", "readOnly": false,
        "sourceIPAddress": "127.0.0.1", "userAgent": "x", "requestParameters": { "userName": "ann" },
        "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::111111111111:user/ann", "accountId": "111111111111" } })
}

#[test]
fn classes_of_later_versions() {
    for (source, name, class, class_uid, activity) in [
        ("s3.amazonaws.com", "GetObject", Class::ApiActivity, 6003, 2),
        ("kms.amazonaws.com", "Decrypt", Class::ApiActivity, 6003, 99),
        ("iam.amazonaws.com", "CreateUser", Class::AccountChange, 3001, 1),
        ("iam.amazonaws.com", "ListUsers", Class::ApiActivity, 6003, 2),
        ("sts.amazonaws.com", "AssumeRole", Class::Authentication, 3002, 1),
        ("signin.amazonaws.com", "ConsoleLogin", Class::Authentication, 3002, 1),
        ("sts.amazonaws.com", "GetCallerIdentity", Class::ApiActivity, 6003, 2),
    ] {
        for version in [Version::V1_1, Version::V1_5] {
            let (found, event) = map(&record(source, name), version);
            assert_eq!((found, &event["class_uid"], &event["activity_id"]), (class, &json!(class_uid), &json!(activity)), "{name}");
            assert_eq!(event["type_uid"], json!(class_uid * 100 + activity));
            assert_eq!(event["metadata"]["version"], json!(version.name()));
            assert_eq!(event["cloud"]["account"]["uid"], json!("111111111111"));
        }
    }
}

#[test]
fn findings() {
    let mut insight = record("ec2.amazonaws.com", "RunInstances");
    insight["eventCategory"] = json!("Insight");
    insight["insightDetails"] = json!({ "state": "End", "eventName": "RunInstances", "insightType": "ApiCallRateInsight" });
    let (class, event) = map(&insight, Version::V1_5);
    assert_eq!((class, &event["class_uid"], &event["status"]), (Class::DetectionFinding, &json!(2004), &json!("Resolved")));
    let mut stopped = record("bedrock.amazonaws.com", "ApplyGuardrail");
    stopped["responseElements"] = json!({ "action": "GUARDRAIL_INTERVENED" });
    let (class, event) = map(&stopped, Version::V1_5);
    assert_eq!((class, &event["finding_info"]["title"]), (Class::DetectionFinding, &json!("Guardrail intervened")));
}

#[test]
fn a_refusal_is_a_failure() {
    let mut denied = record("s3.amazonaws.com", "GetObject");
    denied["errorCode"] = json!("AccessDenied");
    let (_, event) = map(&denied, Version::V1_5);
    assert_eq!(
        (&event["status"], &event["status_code"], &event["api"]["response"]["error"]),
        (&json!("Failure"), &json!("AccessDenied"), &json!("AccessDenied"))
    );
}

/// Whether everything in the value has a place in the shape.
fn fits(value: &Json, shape: &Shape) -> bool {
    match (value, shape) {
        (Json::String(_), Shape::Text) | (Json::Bool(_), Shape::Boolean) | (Json::Number(_), Shape::Integer | Shape::Long) => true,
        (Json::Object(members), Shape::TextMap) => members.values().all(Json::is_string),
        (Json::Array(items), Shape::List(item)) => items.iter().all(|value| fits(value, item)),
        (Json::Object(members), Shape::Group(fields)) => {
            members.iter().all(|(name, value)| fields.iter().any(|(field, shape)| field == name && fits(value, shape)))
        }
        _ => false,
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        "[a-z]{0,6}".prop_map(Json::from)
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::btree_map(
                "eventName|eventSource|userIdentity|resources|requestParameters|arn|type|[a-z]{1,4}",
                inner,
                0..5
            )
            .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a record is, its event is one of the schema: nothing falls out of a file.
    #[test]
    fn every_event_fits_its_columns(record in any_json()) {
        for version in [Version::V1_1, Version::V1_5] {
            let (class, event) = map(&record, version);
            let shape = Shape::Group(columns(class));
            prop_assert!(fits(&event, &shape), "{}", event);
        }
        let _ = map(&record, Version::Rc2);
    }
}
