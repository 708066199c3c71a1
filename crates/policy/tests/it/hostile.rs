//! Input made to hurt: nothing panics, nothing takes long, nothing unreadable allows.

use policy::cases::decide_line;
use policy::{Malformation, Policy, PolicyKind, ResourceKind};
use proptest::prelude::*;
use serde_json::{Value, json};

fn decide_with(statement: &Value, action: &str, resource: &str) -> Value {
    let case = json!({
        "principal": {"kind": "user", "account": "111111111111", "arn": "arn:aws:iam::111111111111:user/ana"},
        "policies": {"identity": [
            {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},
            {"Version": "2012-10-17", "Statement": [statement]},
        ]},
        "checks": [{"action": action, "resource": {"arn": resource}}],
    });
    serde_json::from_str(&decide_line(&case.to_string())).unwrap()
}

#[test]
fn globs_made_to_explode_do_not() {
    let pattern = "*a".repeat(5_000) + "b";
    let statement = json!({"Effect": "Deny", "Action": "s3:*", "Resource": format!("arn:aws:s3:::{pattern}")});
    let resource = format!("arn:aws:s3:::{}", "a".repeat(20_000));
    assert_eq!(decide_with(&statement, "s3:GetObject", &resource)["decision"], "Allow");
    let action = format!("s3:{}", "a".repeat(20_000));
    let statement = json!({"Effect": "Deny", "Action": format!("s3:{pattern}"), "Resource": "*"});
    assert_eq!(decide_with(&statement, &action, "*")["decision"], "Allow");
}

#[test]
fn what_cannot_be_read_denies() {
    for statement in [
        json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Conditions": {}}),
        json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringMatches": {"a": "b"}}}),
        json!({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": {"StringEquals": {"a": {}}}}),
        json!({"Effect": "allow", "Action": "*", "Resource": "*"}),
        json!({"Effect": "Allow", "Action": "*"}),
        json!({"Effect": "Allow", "Resource": "*"}),
        json!({"Effect": "Allow", "Action": "*", "NotAction": "s3:*", "Resource": "*"}),
        json!({"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}),
        json!({"Effect": "Allow", "Action": [["*"]], "Resource": "*"}),
        json!("Allow"),
    ] {
        let verdict = decide_with(&statement, "s3:GetObject", "arn:aws:s3:::b/k");
        assert_eq!(verdict["decision"], "Deny", "{statement}");
        assert_eq!(verdict["explicit"], true, "{statement}");
        assert_eq!(verdict["denied_by"], json!(["identity-based policy"]), "{statement}");
    }
    for text in ["", "nothing", "[]", "{}", "{\"Statement\":1}"] {
        assert!(Policy::parse_stored(text, PolicyKind::Identity).problem().is_some(), "{text}");
    }
    let twice = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}]}"#;
    assert!(Policy::parse_stored(twice, PolicyKind::Identity).problem().is_some());
    let deep = "[".repeat(100_000);
    assert!(Policy::parse_stored(&deep, PolicyKind::Identity).problem().is_some());
}

#[test]
fn allow_with_not_principal_allows_nobody() {
    let text =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"222222222222"},"Action":"*","Resource":"*"}]}"#;
    let case = json!({
        "principal": {"kind": "anonymous"}, "policies": {},
        "checks": [{"action": "s3:GetObject", "resource": {"arn": "arn:aws:s3:::b/k", "account": "111111111111"},
            "resource_policy": serde_json::from_str::<Value>(text).unwrap()}],
    });
    let verdict: Value = serde_json::from_str(&decide_line(&case.to_string())).unwrap();
    assert_eq!(verdict["decision"], "Deny");
    assert_eq!(verdict["explicit"], false);
}

/// A document of exactly so many characters that count, made long by its resources.
fn document_of(kind: PolicyKind, characters: usize) -> String {
    let principal = if matches!(kind, PolicyKind::Identity | PolicyKind::Boundary | PolicyKind::Session | PolicyKind::ServiceControl) {
        ""
    } else {
        r#""Principal":"*","#
    };
    let (effect, action) = match kind {
        PolicyKind::ResourceControl => ("Deny", "s3:GetObject"),
        PolicyKind::Trust => ("Allow", "sts:AssumeRole"),
        _ => ("Allow", "s3:GetObject"),
    };
    let head = format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"{effect}",{principal}"Action":"{action}""#);
    // A role has no resource: there a condition makes the length.
    let (open, close) = if kind == PolicyKind::Trust {
        (r#","Condition":{"StringEquals":{"sts:ExternalId":""#, r#""}}}]}"#)
    } else {
        (r#","Resource":"arn:aws:s3:::"#, r#""}]}"#)
    };
    let rest = characters - head.len() - open.len() - close.len();
    format!("{head}{open}{}{close}", "x".repeat(rest))
}

#[test]
fn documents_at_and_over_their_limits() {
    for kind in [
        PolicyKind::Identity,
        PolicyKind::Boundary,
        PolicyKind::Session,
        PolicyKind::Trust,
        PolicyKind::KeyPolicy,
        PolicyKind::VpcEndpoint,
        PolicyKind::ServiceControl,
        PolicyKind::ResourceControl,
        PolicyKind::Resource(ResourceKind::S3Bucket),
    ] {
        let limit = kind.size_limit();
        let full = document_of(kind, limit.characters_max);
        assert_eq!(Policy::parse(&full, kind).err(), None, "{kind:?}");
        let over = document_of(kind, limit.characters_max + 1);
        assert_eq!(Policy::parse(&over, kind).unwrap_err().malformation, Malformation::TooLong, "{kind:?}");
        // White space counts in some kinds only.
        let spaced = format!("{full}\n   ");
        assert_eq!(Policy::parse(&spaced, kind).is_err(), limit.counts_white_space, "{kind:?}");
    }
}

#[test]
fn characters_that_deceive_are_refused() {
    for (name, text) in [
        ("right-to-left override", "s3:GetObject\u{202e}"),
        ("zero width", "s3:Get\u{200b}Object"),
        ("Cyrillic letter", "s3:G\u{435}tObject"),
        ("full-width star", "s3:\u{ff0a}"),
        ("control character", "s3:Get\u{7}Object"),
    ] {
        let document = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": text, "Resource": "*"}]}).to_string();
        // As a client writes it that escapes nothing.
        let raw = document.replace("\\u0007", "\u{7}");
        let refused = Policy::parse(&raw, PolicyKind::Identity).unwrap_err();
        assert_eq!(refused.message, "Syntax errors in policy.", "{name}");
        // In a stored policy it is another action than the one that it looks like.
        let verdict = decide_with(&json!({"Effect": "Deny", "Action": text, "Resource": "*"}), "s3:GetObject", "arn:aws:s3:::b/k");
        assert_eq!(verdict["decision"], "Allow", "{name}");
    }
}

#[test]
fn nesting_repetition_and_the_unknown_are_refused() {
    let condition = |inside: &str| {
        format!(r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":"s3:*","Resource":"*","Condition":{inside}}}]}}"#)
    };
    let deep = format!("{}1{}", r#"{"a":"#.repeat(1_000), "}".repeat(1_000));
    for text in [
        condition(&deep),
        condition(r#"{"StringEquals":{"a":{"b":"c"}}}"#),
        condition(r#"{"StringEquals":{"a":"b"},"StringEquals":{"a":"c"}}"#),
        condition(r#"{"StringEquals":{"a":"b","a":"c"}}"#),
        condition(r#"{"StringSounds":{"a":"b"}}"#),
        condition(r#"{"ForSomeValues:StringEquals":{"a":"b"}}"#),
        condition(r#"{"NullIfExists":{"a":"true"}}"#),
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*","Reason":"x"}]}"#.to_owned(),
        r#"{"Version":"2012-10-17","Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}"#.to_owned(),
    ] {
        let refused = Policy::parse(&text, PolicyKind::Identity).unwrap_err();
        assert_eq!(refused.message, "Syntax errors in policy.", "{}", &text[..text.len().min(160)]);
        assert!(Policy::parse_stored(&text, PolicyKind::Identity).problem().is_some());
    }
}

#[test]
fn ten_thousand_wildcards_are_matched_in_bounded_time() {
    let patterns: Vec<String> = (0..10_000).map(|at| format!("arn:aws:s3:::*{at}*a*b*c*d*e*f*")).collect();
    let statement = json!({"Effect": "Deny", "Action": "s3:*", "Resource": patterns});
    let resource = format!("arn:aws:s3:::{}", "abcdef".repeat(300));
    assert_eq!(decide_with(&statement, "s3:GetObject", &resource)["decision"], "Allow");
}

#[test]
fn lines_that_are_no_cases_are_answered() {
    for line in ["", "{", "1", "{}", "[]", r#"{"id":7,"principal":{"kind":"ghost"},"checks":[]}"#] {
        let answer: Value = serde_json::from_str(&decide_line(line)).unwrap();
        assert!(answer["error"].is_string(), "{line}: {answer}");
        assert_eq!(answer.get("decision"), None);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,200}") {
        let _ = Policy::parse(&text, PolicyKind::Identity);
        prop_assert!(Policy::parse_stored(&text, PolicyKind::Trust).problem().is_some());
        let _ = decide_line(&text);
    }

    #[test]
    fn broken_documents_are_read_without_panic(cut in 0usize..400, insert in "[\\[\\]{}\",:*0-9a-z]{0,6}") {
        let text = r#"{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Principal":{"AWS":["111111111111"]},"Action":["s3:Get*"],"Resource":["arn:aws:s3:::b/${aws:username}"],"Condition":{"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"},"IpAddress":{"aws:SourceIp":["10.0.0.0/8"]}}}]}"#;
        let cut = cut.min(text.len());
        let broken = format!("{}{insert}{}", &text[..cut], &text[cut..]);
        for kind in [PolicyKind::Identity, PolicyKind::Trust, PolicyKind::KeyPolicy, PolicyKind::ServiceControl, PolicyKind::ResourceControl] {
            let _ = Policy::parse(&broken, kind);
            let _ = Policy::parse_stored(&broken, kind);
        }
    }

    /// What is accepted on write can also be read back.
    #[test]
    fn accepted_policies_can_be_stored(action in "[a-z0-9*:-]{1,12}", resource in "(\\*|arn:aws:[a-z0-9*]{1,4}:[a-z0-9]{0,3}:[0-9]{0,2}:[a-z/*$\\{\\}]{0,9})") {
        let text = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": action, "Resource": resource}}).to_string();
        if Policy::parse(&text, PolicyKind::Identity).is_ok() {
            let stored = Policy::parse_stored(&text, PolicyKind::Identity);
            prop_assert_eq!(stored.problem(), None);
        }
    }
}

#[test]
fn null_members_count_as_missing() {
    let case = json!({
        "id": null, "principal": {"kind": "root", "account": "111111111111", "arn": "arn:aws:iam::111111111111:root", "tags": null},
        "policies": null, "org": null,
        "checks": [{"action": "s3:GetObject", "resource": {"arn": "arn:aws:s3:::b/k", "account": null, "tags": null},
            "resource_policy": null, "context": null, "request_tags": null, "kms_grants": null}],
    });
    let verdict: Value = serde_json::from_str(&decide_line(&case.to_string())).unwrap();
    assert_eq!(verdict["decision"], "Allow", "{verdict:#}");
}
