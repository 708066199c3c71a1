//! Measures a group-by over many events: `cargo run --release -p lake --example group_by -- 1000000`.
//!
//! Prints the time to fill the table, its size, and the time of each query. Not a test: it judges nothing.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing, reason = "a measurement for people")]

use std::collections::HashMap;
use std::time::Instant;

use lake::{Basin, Limits, Schema, StopSignal, plan};
use serde_json::{Value as Json, json};

const STORE: &str = "0a1b2c3d-0000-4000-8000-0123456789ab";
const SOURCES: [&str; 6] = ["s3", "kms", "iam", "bedrock", "sts", "cloudtrail"];
const BATCH: usize = 10_000;

fn event(number: usize) -> Json {
    let user = number % 500;
    json!({
        "eventVersion": "1.11", "eventID": format!("{number:032x}"), "eventTime": format!("2026-11-28T{:02}:{:02}:{:02}Z", number / 3600 % 24, number / 60 % 60, number % 60),
        "eventSource": format!("{}.amazonaws.com", SOURCES[number % SOURCES.len()]), "eventName": format!("Operation{}", number % 120),
        "awsRegion": "us-east-1", "sourceIPAddress": format!("10.0.{}.{}", user / 256, user % 256), "userAgent": "aws-cli/2.0 Python/3.11 Linux/6.1",
        "userIdentity": { "type": "IAMUser", "arn": format!("arn:aws:iam::111111111111:user/user-{user}"), "userName": format!("user-{user}") },
        "requestParameters": { "bucketName": format!("bucket-{}", number % 50), "key": format!("object/{number}") }, "responseElements": null,
        "errorCode": number.is_multiple_of(20).then_some("AccessDenied"), "readOnly": !number.is_multiple_of(3), "managementEvent": true, "eventType": "AwsApiCall",
        "recipientAccountId": "111111111111", "eventCategory": "Management",
    })
}

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let stores = HashMap::from([(STORE.to_owned(), Schema::CloudTrail)]);
    let queries = [
        "SELECT eventSource, eventName, COUNT(*) AS calls FROM $S GROUP BY eventSource, eventName ORDER BY calls DESC",
        "SELECT userIdentity.arn, COUNT(*) AS denied FROM $S WHERE errorCode = 'AccessDenied' GROUP BY userIdentity.arn ORDER BY denied DESC",
        "SELECT element_at(requestParameters, 'bucketName') AS bucket, COUNT(*) FROM $S WHERE readOnly = false GROUP BY element_at(requestParameters, 'bucketName')",
        "SELECT date_trunc('hour', eventTime) AS hour, COUNT(*) FROM $S GROUP BY date_trunc('hour', eventTime)",
        "SELECT COUNT(DISTINCT sourceIPAddress) FROM $S WHERE eventTime > '2026-11-28 12:00:00'",
    ];
    let plans: Vec<_> = queries.iter().map(|query| plan(&query.replace("$S", STORE), &[], &stores, 0).unwrap()).collect();
    let columns = plans.iter().flat_map(|plan| plan.sources[STORE].columns.clone()).collect();
    let mut basin = Basin::new(2 * 1024 * 1024 * 1024).unwrap();
    basin.begin(STORE, &columns).unwrap();
    let started = Instant::now();
    let mut json_bytes = 0;
    for start in (0..count).step_by(BATCH) {
        let events: Vec<(Json, usize)> = (start..count.min(start + BATCH))
            .map(event)
            .map(|event| {
                let size = event.to_string().len();
                (event, size)
            })
            .collect();
        json_bytes += events.iter().map(|(_, size)| size).sum::<usize>();
        basin.append(STORE, events.iter().map(|(event, size)| (event, *size))).unwrap();
    }
    println!(
        "{count} events of {} bytes: made and filled in {:?}, {} bytes in memory per event",
        json_bytes / count.max(1),
        started.elapsed(),
        basin.bytes() / count.max(1) as u64
    );
    for (query, plan) in queries.iter().zip(&plans) {
        let started = Instant::now();
        let answer = basin.run(plan, Limits::default(), &StopSignal::default()).unwrap();
        println!("{:>10.3?}  {} rows  {query}", started.elapsed(), answer.rows.len());
    }
}
