//! One row for each operator and each way in which a key can be present, empty or absent.

use policy::cases::decide_line;
use serde_json::{Value, json};

/// Whether an Allow with this condition takes effect in this context.
fn holds(condition: &Value, context: &Value) -> bool {
    let case = json!({
        "id": "t",
        "principal": {
            "kind": "user", "account": "111111111111",
            "arn": "arn:aws:iam::111111111111:user/path/ana", "tags": {"Team": "nlp", "Star": "a*"},
        },
        "policies": {"identity": [{
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": condition}],
        }]},
        "checks": [{"action": "s3:GetObject", "resource": {"arn": "arn:aws:s3:::b/k"}, "context": context}],
    });
    let verdict: Value = serde_json::from_str(&decide_line(&case.to_string())).unwrap();
    match verdict["decision"].as_str() {
        Some("Allow") => true,
        Some("Deny") => {
            assert_eq!(verdict["explicit"], json!(false), "{verdict:#}");
            false
        }
        _ => panic!("{verdict:#}"),
    }
}

/// `operator`, policy values, value of the key in the request (null: absent), whether the condition holds.
fn check(rows: &[(&str, Value, Value, bool)]) {
    for (operator, wanted, actual, expected) in rows {
        let condition = json!({*operator: {"bw:key": wanted}});
        let context = if actual.is_null() { json!({}) } else { json!({"BW:Key": actual}) };
        assert_eq!(holds(&condition, &context), *expected, "{operator} {wanted} {actual}");
    }
}

#[test]
fn strings() {
    check(&[
        ("StringEquals", json!("a"), json!("a"), true),
        ("StringEquals", json!("a"), json!("A"), false),
        ("StringEquals", json!("a*"), json!("ab"), false),
        ("StringEquals", json!("a*"), json!("a*"), true),
        ("StringEquals", json!(["x", "a"]), json!("a"), true),
        ("StringEquals", json!([]), json!("a"), false),
        ("StringEquals", json!(""), json!(""), true),
        ("StringNotEquals", json!("a"), json!("b"), true),
        ("StringNotEquals", json!(["a", "b"]), json!("b"), false),
        ("StringNotEquals", json!([]), json!("b"), true),
        ("StringEqualsIgnoreCase", json!("Straße"), json!("STRAßE"), true),
        ("StringEqualsIgnoreCase", json!("a*"), json!("AB"), false),
        ("StringNotEqualsIgnoreCase", json!("ABC"), json!("abc"), false),
        ("StringLike", json!("a*c?"), json!("abbcd"), true),
        ("StringLike", json!("a*"), json!("Ab"), false),
        ("StringLike", json!("arn:aws:s3:*"), json!("arn:aws:s3:::b:c/d"), true),
        ("StringNotLike", json!(["a*", "b*"]), json!("bc"), false),
        ("StringNotLike", json!(["a*", "b*"]), json!("cc"), true),
    ]);
}

#[test]
fn numbers() {
    check(&[
        ("NumericEquals", json!("10"), json!("10.0"), true),
        ("NumericEquals", json!(10), json!(10), true),
        ("NumericEquals", json!("10"), json!("ten"), false),
        ("NumericNotEquals", json!("10"), json!("11"), true),
        ("NumericNotEquals", json!("10"), json!("ten"), true),
        ("NumericLessThan", json!("10"), json!("9"), true),
        ("NumericLessThan", json!("10"), json!("10"), false),
        ("NumericLessThanEquals", json!(["1", "10"]), json!("10"), true),
        ("NumericGreaterThan", json!("-3"), json!("-2.5"), true),
        ("NumericGreaterThanEquals", json!("10"), json!("9.99"), false),
        ("NumericLessThan", json!("${bw:key}"), json!("1"), false),
    ]);
}

#[test]
fn dates() {
    let noon = "2026-11-22T12:00:00Z";
    check(&[
        ("DateEquals", json!(noon), json!("1795348800"), true),
        ("DateEquals", json!(noon), json!("2026-11-22T13:00:00+01:00"), true),
        ("DateNotEquals", json!(noon), json!(noon), false),
        ("DateLessThan", json!("2027-01-01"), json!(noon), true),
        ("DateLessThan", json!(1_795_348_801), json!(noon), true),
        ("DateLessThanEquals", json!(noon), json!(noon), true),
        ("DateGreaterThan", json!("2026"), json!(noon), true),
        ("DateGreaterThan", json!(noon), json!("2026-11-22T11:59:59.999Z"), false),
        ("DateGreaterThanEquals", json!("yesterday"), json!(noon), false),
    ]);
}

#[test]
fn booleans_bytes_and_addresses() {
    check(&[
        ("Bool", json!("true"), json!("true"), true),
        ("Bool", json!(false), json!("false"), true),
        ("Bool", json!("true"), json!("false"), false),
        ("Bool", json!("true"), json!("yes"), false),
        ("BinaryEquals", json!("QmluYXJ5"), json!("QmluYXJ5"), true),
        ("BinaryEquals", json!("QmluYXJ5"), json!("AAAA"), false),
        ("BinaryEquals", json!("=="), json!("=="), false),
        ("IpAddress", json!("203.0.113.0/24"), json!("203.0.113.9"), true),
        ("IpAddress", json!(["10.0.0.0/8", "2001:DB8::/32"]), json!("2001:db8::1"), true),
        ("IpAddress", json!("203.0.113.9"), json!("203.0.113.10"), false),
        ("IpAddress", json!("0.0.0.0/0"), json!("::1"), false),
        ("NotIpAddress", json!("203.0.113.0/24"), json!("198.51.100.1"), true),
        ("NotIpAddress", json!("203.0.113.0/24"), json!("203.0.113.1"), false),
        ("NotIpAddress", json!("203.0.113.0/24"), Value::Null, true),
    ]);
}

#[test]
fn arns() {
    let topic = "arn:aws:sns:eu-central-1:111111111111:t";
    check(&[
        ("ArnEquals", json!("arn:aws:sns:*:111111111111:*"), json!(topic), true),
        ("ArnLike", json!("arn:aws:sns:*:t"), json!(topic), false),
        ("ArnLike", json!("*"), json!(topic), true),
        ("ArnLike", json!("arn:aws:SNS:*:*:*"), json!(topic), false),
        ("ArnEquals", json!("no arn"), json!("no arn"), false),
        ("ArnNotEquals", json!("arn:aws:sns:*:*:t"), json!(topic), false),
        ("ArnNotLike", json!("arn:aws:sqs:*:*:t"), json!(topic), true),
        ("ArnNotLike", json!("arn:aws:sqs:*:*:t"), Value::Null, true),
    ]);
}

#[test]
fn absent_keys() {
    check(&[
        ("StringEquals", json!("a"), Value::Null, false),
        ("StringNotEquals", json!("a"), Value::Null, true),
        ("StringEqualsIfExists", json!("a"), Value::Null, true),
        ("StringEqualsIfExists", json!("a"), json!("b"), false),
        ("StringNotEqualsIfExists", json!("a"), Value::Null, true),
        ("StringNotEqualsIfExists", json!("a"), json!("a"), false),
        ("Bool", json!("false"), Value::Null, false),
        ("NumericLessThan", json!("1"), Value::Null, false),
        ("NumericNotEquals", json!("1"), Value::Null, true),
        ("ForAllValues:StringEquals", json!("a"), Value::Null, true),
        ("ForAllValues:StringNotEquals", json!("a"), Value::Null, true),
        ("ForAnyValue:StringEquals", json!("a"), Value::Null, false),
        ("ForAnyValue:StringNotEquals", json!("a"), Value::Null, false),
        ("ForAnyValue:StringEqualsIfExists", json!("a"), Value::Null, true),
        ("Null", json!("true"), Value::Null, true),
        ("Null", json!("false"), Value::Null, false),
        ("Null", json!("true"), json!("x"), false),
        ("Null", json!(false), json!("x"), true),
        ("Null", json!("false"), json!([]), false),
        ("Null", json!("maybe"), Value::Null, false),
    ]);
}

#[test]
fn sets() {
    check(&[
        ("ForAllValues:StringEquals", json!(["a", "b"]), json!(["a", "b"]), true),
        ("ForAllValues:StringEquals", json!(["a", "b"]), json!(["a", "c"]), false),
        ("ForAllValues:StringEquals", json!("a"), json!([]), true),
        ("ForAllValues:StringEquals", json!("a"), json!(""), true),
        ("ForAllValues:StringNotEquals", json!(["a", "b"]), json!(["c", "d"]), true),
        ("ForAllValues:StringNotEquals", json!(["a", "b"]), json!(["c", "a"]), false),
        ("ForAllValues:StringLike", json!("a*"), json!(["ab", "ac"]), true),
        ("ForAllValues:StringEqualsIfExists", json!("a"), json!(["b"]), false),
        ("ForAnyValue:StringEquals", json!(["a", "b"]), json!(["c", "a"]), true),
        ("ForAnyValue:StringEquals", json!("a"), json!([]), false),
        ("ForAnyValue:StringNotEquals", json!(["a", "b"]), json!(["a", "c"]), true),
        ("ForAnyValue:StringNotEquals", json!(["a", "b"]), json!(["a", "b"]), false),
        ("ForAnyValue:ArnLike", json!("arn:aws:s3:::b*"), json!(["arn:aws:s3:::c", "arn:aws:s3:::b1"]), true),
        ("ForAllValues:Bool", json!("true"), json!(["true", "false"]), false),
        ("StringEquals", json!("a"), json!(["b", "a"]), true),
        ("StringNotEquals", json!("a"), json!(["b", "a"]), false),
    ]);
}

#[test]
fn variables() {
    check(&[
        ("StringEquals", json!("${aws:username}"), json!("ana"), true),
        ("StringEquals", json!("${aws:PrincipalTag/team}"), json!("nlp"), true),
        ("StringEquals", json!("${aws:PrincipalTag/none}"), json!("x"), false),
        ("StringNotEquals", json!("${aws:PrincipalTag/none}"), json!("x"), true),
        ("StringEquals", json!("${aws:PrincipalTag/none, 'x'}"), json!("x"), true),
        ("StringLike", json!("home/${aws:username}/*"), json!("home/ana/f"), true),
        ("StringLike", json!("${aws:PrincipalTag/star}"), json!("ab"), false),
        ("StringLike", json!("${aws:PrincipalTag/star}"), json!("a*"), true),
        ("StringLike", json!("a${*}*"), json!("a*b"), true),
        ("StringLike", json!("a${?}"), json!("ab"), false),
        ("StringEquals", json!("${$}{x}"), json!("${x}"), true),
        ("Bool", json!("${bw:key}"), json!("true"), true),
        ("ArnLike", json!("arn:aws:iam::${aws:PrincipalAccount}:role/*"), json!("arn:aws:iam::111111111111:role/r"), true),
        ("ArnEquals", json!("${aws:PrincipalArn}"), json!("arn:aws:iam::111111111111:user/path/ana"), true),
    ]);
}

#[test]
fn blocks_and_keys_are_anded() {
    let both = json!({"StringEquals": {"bw:a": "1", "bw:b": "2"}, "Null": {"bw:c": "true"}});
    assert!(holds(&both, &json!({"bw:a": "1", "bw:b": "2"})));
    assert!(!holds(&both, &json!({"bw:a": "1", "bw:b": "3"})));
    assert!(!holds(&both, &json!({"bw:a": "1", "bw:b": "2", "bw:c": "x"})));
    assert!(holds(&json!({}), &json!({})));
}
