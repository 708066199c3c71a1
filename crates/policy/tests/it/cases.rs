//! The published examples of the authorization cases, each with its expectation.

use serde_json::Value;

const CASES: &str = include_str!("data/authorization-cases.jsonl");

#[test]
fn the_examples_are_decided_as_documented() {
    let mut count = 0;
    for line in CASES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let verdict: Value = serde_json::from_str(&policy::cases::decide_line(line)).unwrap();
        let expect = &case["expect"];
        let id = &case["id"];
        assert_eq!(verdict["id"], *id);
        assert_eq!(verdict["decision"], expect["decision"], "{id}: {verdict:#}");
        if expect["decision"] == "Deny" {
            assert_eq!(verdict["explicit"], expect["explicit"], "{id}: {verdict:#}");
            if let Some(expected) = expect["denied_by"].as_array() {
                let named = &verdict["denied_by"];
                assert!(!named.as_array().unwrap().is_empty(), "{id}: {verdict:#}");
                for name in named.as_array().unwrap() {
                    assert!(expected.contains(name), "{id}: {verdict:#}");
                }
            }
        }
        count += 1;
    }
    assert_eq!(count, 26);
}
