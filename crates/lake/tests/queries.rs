//! Queries over a few events: what they find, and what is refused.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::collections::HashMap;
use std::time::Duration;

use lake::{Answer, Basin, BasinError, Limits, Plan, QueryError, Schema, StopSignal, plan};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const STORE: &str = "0a1b2c3d-0000-4000-8000-0123456789ab";
const OTHER: &str = "ffffffff-0000-4000-8000-0123456789ab";
const CHANNEL: &str = "cccccccc-0000-4000-8000-0123456789ab";
const NOW_MS: i64 = 1_796_000_000_000;

fn stores() -> HashMap<String, Schema> {
    HashMap::from([
        (STORE.to_owned(), Schema::CloudTrail),
        (OTHER.to_owned(), Schema::CloudTrail),
        (CHANNEL.to_owned(), Schema::ActivityAuditLog),
    ])
}

fn event(number: u32, name: &str, user: &str, error: Option<&str>) -> Json {
    let mut event = json!({
        "eventVersion": "1.11",
        "userIdentity": { "type": "IAMUser", "arn": format!("arn:aws:iam::111111111111:user/{user}"), "userName": user,
            "sessionContext": { "attributes": { "creationDate": "2026-11-28T09:00:00Z", "mfaAuthenticated": "false" } } },
        "eventTime": format!("2026-11-28T10:{:02}:{:02}Z", number / 60, number % 60),
        "eventSource": "iam.amazonaws.com", "eventName": name, "awsRegion": "us-east-1", "sourceIPAddress": "127.0.0.1",
        "userAgent": "Boto3/1.44", "requestParameters": { "userName": user, "tags": [{ "key": "a", "value": "b" }], "size": number },
        "responseElements": null, "requestID": format!("r{number}"), "eventID": format!("e{number}"), "readOnly": name.starts_with("Get"),
        "resources": [{ "ARN": format!("arn:aws:iam::111111111111:user/{user}"), "accountId": "111111111111", "type": "AWS::IAM::User" }],
        "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": "111111111111", "eventCategory": "Management",
        "tlsDetails": { "tlsVersion": "TLSv1.3", "cipherSuite": "x", "clientProvidedHostHeader": "iam" },
    });
    if let Some(error) = error {
        event["errorCode"] = json!(error);
    }
    event
}

fn events() -> Vec<Json> {
    vec![
        event(0, "CreateUser", "ann", None),
        event(1, "GetUser", "ann", None),
        event(2, "GetUser", "bob", Some("AccessDenied")),
        event(3, "DeleteUser", "bob", Some("AccessDenied")),
        event(65, "GetUser", "Cid", None),
    ]
}

fn planned(text: &str) -> Result<Plan, QueryError> {
    plan(&text.replace("$S", STORE).replace("$O", OTHER).replace("$C", CHANNEL), &[], &stores(), NOW_MS)
}

fn filled(plan: &Plan) -> Basin {
    let mut basin = Basin::new(64 * 1024 * 1024).unwrap();
    for (store, source) in &plan.sources {
        let events = if store == CHANNEL { channel_events() } else { events() };
        basin.begin(store, &source.columns).unwrap();
        basin.append(store, events.iter().map(|event| (event, 100))).unwrap();
    }
    basin
}

fn channel_events() -> Vec<Json> {
    vec![json!({ "eventVersion": "1.0", "eventCategory": "ActivityAuditLog", "eventID": "c1", "eventTime": "2026-11-28T10:00:00Z",
        "metadata": { "channelARN": "arn:x" },
        "eventData": { "version": "1", "eventName": "Generate", "userIdentity": { "type": "User", "principalId": "p", "details": { "team": "red" } },
            "additionalEventData": { "tokens": 12 } } })]
}

fn answer(text: &str) -> Answer {
    let plan = planned(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    filled(&plan).run(&plan, Limits::default(), &StopSignal::default()).unwrap_or_else(|error| panic!("{text}: {error}\n{}", plan.sql()))
}

/// Rows as text: cells with `|` between, `NULL` as `-`.
fn rows(text: &str) -> Vec<String> {
    let shown = |row: Vec<Option<String>>| row.into_iter().map(|cell| cell.unwrap_or_else(|| "-".to_owned())).collect::<Vec<_>>().join("|");
    answer(text).rows.into_iter().map(shown).collect()
}

#[test]
fn columns_conditions_and_order() {
    assert_eq!(
        rows("SELECT eventName, userIdentity.userName FROM $S WHERE errorCode IS NOT NULL ORDER BY eventTime"),
        ["GetUser|bob", "DeleteUser|bob"]
    );
    assert_eq!(rows("SELECT EVENTID FROM $S WHERE readonly = true AND eventTime > '2026-11-28 10:00:01' ORDER BY 1 DESC"), ["e65", "e2"]);
    assert_eq!(
        rows("SELECT eventID FROM $S WHERE eventTime BETWEEN '2026-11-28T10:00:03Z' AND timestamp '2026-11-28 10:01:05'"),
        ["e3", "e65"]
    );
    assert_eq!(rows("SELECT readOnly, managementEvent FROM $S WHERE eventid = 'e0'"), ["false|true"]);
    assert_eq!(rows("SELECT eventID FROM $S WHERE eventName LIKE 'get%'"), Vec::<String>::new());
    assert_eq!(rows("SELECT eventID FROM $S WHERE eventName NOT LIKE '%User' OR userIdentity.username IN ('Cid', 'x')"), ["e65"]);
    assert_eq!(rows("SELECT DISTINCT errorCode FROM $S ORDER BY errorCode DESC"), ["AccessDenied", "-"]);
    assert_eq!(rows("SELECT eventID FROM $S ORDER BY eventID LIMIT 2"), ["e0", "e1"]);
    assert_eq!(rows("SELECT errorCode IS NOT DISTINCT FROM NULL FROM $S WHERE eventID = 'e0'"), ["true"]);
    assert_eq!(
        rows(
            "SELECT t.eventID FROM $S AS t WHERE t.useridentity.sessioncontext.attributes.creationdate < t.eventtime AND t.eventID = 'e1'"
        ),
        ["e1"]
    );
}

#[test]
fn maps_arrays_and_json() {
    assert_eq!(rows("SELECT element_at(requestParameters, 'userName'), requestParameters['size'] FROM $S WHERE eventID = 'e2'"), ["bob|2"]);
    assert_eq!(rows("SELECT json_extract_scalar(eventJson, '$.requestParameters.tags[0].key') FROM $S WHERE eventID = 'e2'"), ["a"]);
    assert_eq!(
        rows("SELECT json_extract(element_at(requestParameters, 'tags'), '$[0]') FROM $S WHERE eventID = 'e2'"),
        [r#"{"key":"a","value":"b"}"#]
    );
    assert_eq!(
        rows("SELECT element_at(resources, 1).arn, resources[1].type, cardinality(resources) FROM $S WHERE eventID = 'e0'"),
        ["arn:aws:iam::111111111111:user/ann|AWS::IAM::User|1"]
    );
    assert_eq!(rows("SELECT map_keys(requestParameters) FROM $S WHERE eventID = 'e0'"), [r#"["userName","tags","size"]"#]);
    assert_eq!(rows("SELECT contains(split('a,b', ','), 'b'), array_join(split('a,b', ','), '-') FROM $S LIMIT 1"), ["true|a-b"]);
    assert_eq!(
        rows("SELECT tlsDetails FROM $S LIMIT 1"),
        [r#"{"tlsVersion":"TLSv1.3","cipherSuite":"x","clientProvidedHostHeader":"iam"}"#]
    );
    // Whole maps and events are not in memory when one value is asked for.
    let plan = planned("SELECT element_at(requestParameters, 'userName'), json_extract_scalar(eventjson, '$.eventID') FROM $S").unwrap();
    let names: Vec<&str> = plan.sources[STORE].columns.iter().map(lake::Column::name).collect();
    assert_eq!(names, ["eventtime", "json_extract_scalar:eventjson:$.eventID", "requestparameters['userName']"]);
}

#[test]
fn groups_and_aggregates() {
    assert_eq!(rows("SELECT eventName, COUNT(*) AS n FROM $S GROUP BY eventName HAVING COUNT(*) > 1 ORDER BY n DESC"), ["GetUser|3"]);
    assert_eq!(
        rows("SELECT userIdentity.userName, count(DISTINCT eventName), count_if(errorCode IS NOT NULL) FROM $S GROUP BY 1 ORDER BY 1"),
        ["Cid|1|0", "ann|2|0", "bob|2|2"]
    );
    assert_eq!(
        rows("SELECT date_trunc('hour', eventTime), count(*) FROM $S GROUP BY date_trunc('hour', eventTime)"),
        ["2026-11-28 10:00:00.000|5"]
    );
    assert_eq!(
        rows("SELECT day_of_week(eventTime) AS weekday, COUNT(*) FROM $S GROUP BY day_of_week(eventTime) ORDER BY day_of_week(eventTime)"),
        ["6|5"]
    );
    assert_eq!(
        rows("SELECT sum(CAST(requestParameters['size'] AS bigint)), avg(CAST(requestParameters['size'] AS double)) FROM $S"),
        ["71|14.2"]
    );
    assert_eq!(
        rows(
            "SELECT CASE WHEN errorCode IS NULL THEN 'ok' ELSE 'no' END AS outcome, count(*) FROM $S GROUP BY CASE WHEN errorCode IS NULL THEN 'ok' ELSE 'no' END ORDER BY outcome"
        ),
        ["no|2", "ok|3"]
    );
    assert_eq!(rows("SELECT count(*) FILTER (WHERE readonly) FROM $S"), ["3"]);
    assert_eq!(
        rows(
            "SELECT eventID FROM (SELECT eventID, row_number() OVER (PARTITION BY eventName ORDER BY eventTime DESC) AS place FROM $S) WHERE place = 1 ORDER BY eventID"
        ),
        ["e0", "e3", "e65"]
    );
}

#[test]
fn several_tables() {
    assert_eq!(rows("SELECT a.eventID FROM $S a INNER JOIN $O b ON a.eventID = b.eventID WHERE b.eventName = 'CreateUser'"), ["e0"]);
    assert_eq!(rows("SELECT a.eventID, b.eventID FROM $S a LEFT JOIN $C b ON a.eventID = b.eventID WHERE a.eventID = 'e0'"), ["e0|-"]);
    assert_eq!(rows("SELECT eventName FROM $S UNION SELECT eventName FROM $O ORDER BY eventName"), ["CreateUser", "DeleteUser", "GetUser"]);
    assert_eq!(rows("SELECT eventID FROM $S WHERE errorCode IS NULL EXCEPT SELECT eventID FROM $O WHERE readOnly"), ["e0"]);
    assert_eq!(
        rows(
            "WITH denied AS (SELECT userIdentity.arn AS who FROM $S WHERE errorCode = 'AccessDenied') SELECT who, count(*) FROM denied GROUP BY who"
        ),
        ["arn:aws:iam::111111111111:user/bob|2"]
    );
    assert_eq!(
        rows("SELECT eventID FROM $S WHERE eventName IN (SELECT eventName FROM $O WHERE errorCode IS NULL AND readOnly = false)"),
        ["e0"]
    );
    assert_eq!(
        rows("SELECT eventData.eventName, eventData.userIdentity.details['team'], eventData.additionalEventData['tokens'] FROM $C"),
        ["Generate|red|12"]
    );
}

#[test]
fn functions_of_texts_and_times() {
    for (expression, expected) in [
        ("upper('äb') || lower('C')", "ÄBc"),
        ("concat('a', 'b', 'c')", "abc"),
        ("substr('abc', 2)", "bc"),
        ("regexp_like('abc', '^a')", "true"),
        ("regexp_extract('user/ann', '/(.*)', 1)", "ann"),
        ("regexp_replace('a1b2', '[0-9]', '')", "ab"),
        ("split_part('a:b:c', ':', 2)", "b"),
        ("coalesce(NULL, 'x')", "x"),
        ("if(1 = 1, 'y', 'n')", "y"),
        ("greatest(1, 3, 2)", "3"),
        ("CAST(REPLACE('TLSv1.2', 'TLSv', '') AS DOUBLE)", "1.2"),
        ("date_add('day', -1, timestamp '2026-03-01 00:00:00')", "2026-02-28 00:00:00.000"),
        ("timestamp '2026-03-01 00:00:00' - interval '2' hour", "2026-02-28 22:00:00.000"),
        ("date_diff('day', date '2026-01-01', date '2026-01-31')", "30"),
        ("date_format(timestamp '2026-03-01 04:05:06', '%Y-%m-%d %H:%i:%s')", "2026-03-01 04:05:06"),
        ("date_parse('01.03.2026', '%d.%m.%Y')", "2026-03-01 00:00:00.000"),
        ("year(date '2026-03-01') + month(date '2026-03-01')", "2029"),
        ("extract(hour FROM timestamp '2026-03-01 04:05:06')", "4"),
        ("from_iso8601_timestamp('2026-03-01T04:05:06Z')", "2026-03-01 04:05:06.000"),
        ("to_unixtime(from_unixtime(1796000000))", "1796000000.0"),
        ("now() > timestamp '2026-11-01 00:00:00'", "true"),
        ("date_trunc('week', timestamp '2026-11-28 10:00:00')", "2026-11-23 00:00:00.000"),
        ("7 / 2", "3"),
        ("7 % 4", "3"),
        ("lpad('7', 3, '0')", "007"),
        ("url_extract_host('https://user@example.com:1/x')", "example.com"),
        ("json_array_length('[1,2]')", "2"),
        ("array_max(array_distinct(split('b,a,b', ',')))", "b"),
    ] {
        assert_eq!(rows(&format!("SELECT {expression} FROM $S LIMIT 1")), [expected], "{expression}");
    }
}

#[test]
fn parameters_take_the_place_of_marks() {
    let text = format!("SELECT eventID FROM {STORE} WHERE eventName = ? AND eventTime > ?");
    let parameters = ["CreateUser".to_owned(), "2026-01-01' OR '1'='1".to_owned()];
    let planned = plan(&text, &parameters, &stores(), NOW_MS).unwrap();
    assert!(filled(&planned).run(&planned, Limits::default(), &StopSignal::default()).unwrap().rows.is_empty());
    assert_eq!(plan(&text, &parameters[..1], &stores(), NOW_MS), Err(QueryError::ParameterMissing));
    assert_eq!(plan(&format!("SELECT eventID FROM {STORE}"), &parameters, &stores(), NOW_MS), Err(QueryError::ParameterLeft));
}

#[test]
fn numbers_of_an_answer() {
    let answer = answer("SELECT eventName, count(*) FROM $S WHERE errorCode IS NULL GROUP BY eventName");
    assert_eq!((answer.scanned_events, answer.scanned_bytes, answer.matched_events), (5, 500, 3));
    assert_eq!(answer.columns, ["eventName", "_col1"]);
    let plan =
        planned("SELECT eventID FROM $S WHERE eventTime >= '2026-11-28' AND (eventTime < '2026-11-29' AND errorCode IS NULL)").unwrap();
    let source = &plan.sources[STORE];
    assert_eq!((source.from_ms, source.to_ms), (Some(1_795_824_000_000), Some(1_795_910_400_000)));
}

#[test]
fn what_is_not_in_the_dialect_is_refused() {
    let cases = [
        "INSERT INTO $S VALUES (1)",
        "UPDATE $S SET eventName = 'x'",
        "DELETE FROM $S",
        "DROP TABLE $S",
        "CREATE TABLE t AS SELECT 1",
        "PRAGMA database_list",
        "ATTACH DATABASE '/tmp/x' AS y",
        "SELECT * INTO t FROM $S",
        "SELECT eventID FROM $S; DROP TABLE $S",
        "SELECT eventID FROM sqlite_master",
        "SELECT load_extension('x') FROM $S",
        "SELECT sqlite_version() FROM $S",
        "SELECT lake_element_at('x', 'y') FROM $S",
        "SELECT eventID FROM $S, $O",
        "SELECT a.eventID FROM $S a CROSS JOIN $O b",
        "SELECT a.eventID FROM $S a JOIN $O b ON 1 = 1",
        "SELECT a.eventID FROM $S a JOIN $O b ON a.eventID = a.requestID",
        "SELECT a.eventID FROM $S a JOIN $O b ON a.eventID <> b.eventID",
        "SELECT a.eventID FROM $S a NATURAL JOIN $O b",
        "SELECT eventID FROM $S a JOIN $O b ON a.eventID = b.eventID",
        "SELECT colour FROM $S",
        "SELECT userIdentity.colour FROM $S",
        "SELECT eventID, count(*) FROM $S",
        "SELECT eventID FROM $S GROUP BY eventName",
        "SELECT eventName FROM $S GROUP BY eventName ORDER BY eventTime",
        "SELECT eventName FROM $S WHERE count(*) > 1",
        "SELECT count(count(*)) FROM $S",
        "SELECT eventID FROM $S WHERE readOnly = 'true'",
        "SELECT eventID FROM $S WHERE eventName = 1",
        "SELECT eventID FROM $S WHERE eventName",
        "SELECT eventID FROM $S WHERE eventTime > 'yesterday'",
        "SELECT eventID FROM $S UNION SELECT eventID, eventName FROM $O",
        "WITH RECURSIVE t AS (SELECT 1) SELECT * FROM t",
        "SELECT substr(eventName) FROM $S",
        "SELECT sum(eventName) FROM $S",
        "SELECT eventID FROM 99999999-0000-4000-8000-0123456789ab",
        "SELECT 1",
        "SELECT eventID FROM $S LIMIT 'x'",
        "SELECT eventID FROM $S ORDER BY 7",
        "SELECT eventID COLLATE nocase FROM $S",
        "SELECT x'00' FROM $S",
        "VALUES (1)",
        "EXPLAIN SELECT eventID FROM $S",
        "SELECT eventID FROM $S FOR UPDATE",
    ];
    let refused: Vec<String> = cases
        .iter()
        .map(|text| match planned(text) {
            Ok(plan) => panic!("{text} became {}", plan.sql()),
            Err(error) => format!("{text}\n    {error}"),
        })
        .collect();
    insta::assert_snapshot!(refused.join("\n"));
}

#[test]
fn deep_statements_are_refused_and_not_a_crash() {
    for (start, part, end) in [
        ("SELECT 1", "+1", " FROM $S"),
        ("SELECT eventID FROM $S WHERE readOnly", " OR readOnly", ""),
        ("SELECT 'a'", "||'a'", " FROM $S"),
        ("SELECT eventID FROM $S WHERE ", "NOT ", "readOnly"),
        ("SELECT eventID FROM $S", " UNION SELECT eventID FROM $S", ""),
    ] {
        let room = 10_000 - start.len() - end.len() - 2 * STORE.len();
        let part_length = part.replace("$S", STORE).len();
        let text = format!("{start}{}{end}", part.repeat(room / part_length));
        assert!(
            matches!(planned(&text), Err(QueryError::TooDeep | QueryError::TooComplex | QueryError::Syntax(_))),
            "{part}: {:?}",
            planned(&text)
        );
    }
    assert!(planned(&format!("SELECT eventID FROM $S WHERE readOnly{}", " OR readOnly".repeat(100))).is_ok());
}

#[test]
fn a_query_is_bounded() {
    let wide =
        "SELECT a.eventID FROM $S a JOIN $O b ON a.awsRegion = b.awsRegion JOIN $S c ON c.awsRegion = b.awsRegion ORDER BY a.eventTime";
    let plan = planned(wide).unwrap();
    let mut basin = Basin::new(256 * 1024 * 1024).unwrap();
    let one = event(1, "GetUser", "ann", None);
    for (store, source) in &plan.sources {
        basin.begin(store, &source.columns).unwrap();
        basin.append(store, std::iter::repeat_n((&one, 100), 2_000)).unwrap();
    }
    let limits = Limits { time: Duration::from_millis(50), ..Limits::default() };
    assert!(matches!(basin.run(&plan, limits, &StopSignal::default()), Err(BasinError::Time(_))));
    let stop = StopSignal::default();
    stop.stop();
    assert!(matches!(basin.run(&plan, Limits::default(), &stop), Err(BasinError::Stopped)));
    let plan = planned("SELECT eventID FROM $S").unwrap();
    assert!(matches!(basin.run(&plan, Limits { rows: 10, ..Limits::default() }, &StopSignal::default()), Err(BasinError::Rows(10))));
    assert!(matches!(basin.run(&plan, Limits { bytes: 10, ..Limits::default() }, &StopSignal::default()), Err(BasinError::Bytes(10))));
}

#[test]
fn a_table_is_bounded_and_expires() {
    let plan = planned("SELECT eventJson FROM $S").unwrap();
    let mut basin = Basin::new(512 * 1024).unwrap();
    let columns = &plan.sources[STORE].columns;
    basin.begin(STORE, columns).unwrap();
    let one = event(1, "GetUser", "ann", None);
    assert!(matches!(basin.append(STORE, std::iter::repeat_n((&one, 100), 10_000)), Err(BasinError::Memory)));
    assert!(!basin.has(STORE, columns));
    basin.begin(STORE, columns).unwrap();
    basin.append(STORE, events().iter().map(|event| (event, 100))).unwrap();
    basin.expire(STORE, 1_795_860_003_000).unwrap();
    assert_eq!(basin.events(STORE), 2);
    assert!(basin.bytes() > 0);
}

#[test]
fn errors_of_values_are_told() {
    for text in
        ["SELECT date_trunc('aeon', eventTime) FROM $S", "SELECT regexp_like(eventName, '(') FROM $S", "SELECT json_parse('{') FROM $S"]
    {
        let plan = planned(text).unwrap();
        let error = filled(&plan).run(&plan, Limits::default(), &StopSignal::default()).unwrap_err();
        assert!(matches!(error, BasinError::Value(_) | BasinError::Engine(_)), "{text}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    /// What is planned runs: the translation makes no SQL that SQLite does not take.
    #[test]
    fn what_is_planned_runs(
        items in proptest::collection::vec("eventName|count\\(\\*\\)|userIdentity\\.arn|element_at\\(requestParameters, 'a'\\)|upper\\(eventID\\)|max\\(eventTime\\)|\\*|readOnly|1 \\+ 2|resources\\[1\\]\\.arn", 1..4),
        condition in proptest::option::of("eventName = 'x'|readOnly|eventTime > '2026-01-01'|NOT readOnly OR errorCode IS NULL|eventName IN \\('a', 'b'\\)|count\\(\\*\\) > 1"),
        group in proptest::option::of("eventName|1|userIdentity\\.arn"),
        order in proptest::option::of("1|eventName DESC|count\\(\\*\\)|eventTime NULLS FIRST"),
    ) {
        let mut text = format!("SELECT {} FROM {STORE}", items.join(", "));
        for (word, clause) in [("WHERE", condition), ("GROUP BY", group), ("ORDER BY", order)] {
            if let Some(clause) = clause {
                text.push_str(&format!(" {word} {clause}"));
            }
        }
        if let Ok(plan) = plan(&text, &[], &stores(), NOW_MS) {
            let ran = filled(&plan).run(&plan, Limits::default(), &StopSignal::default());
            prop_assert!(ran.is_ok(), "{} -> {}: {:?}", text, plan.sql(), ran);
        }
    }
}
