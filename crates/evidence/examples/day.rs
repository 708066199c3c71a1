//! How long it takes to verify one trail's day: `cargo run --release -p evidence --example day -- 1000000`.
//!
//! The day has that many events, in a log file every five minutes, and every one of them is a leaf of the log. One record is then changed and
//! one file left out, so that the figure is of a check that finds. Not a test: it judges nothing but that.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, reason = "a measurement for people")]

use std::io::Write as _;
use std::time::Instant;

use evidence::{Evidence, LogView, StoredFile, check};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use trail::statement::subject;
use trail::{Leaf, Statement, StatementKind};
use transparency::merkle::sha256;

const ARN: &str = "arn:aws:cloudtrail:eu-central-1:123456789012:trail/main";
const BUCKET: &str = "trail-bucket";
/// Files of a day, one for every five minutes.
const FILES: usize = 288;

/// About 1.2 KB, as a KMS call over TLS has.
fn record(number: usize) -> String {
    let user = number % 997;
    json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole", "principalId": format!("AROAEXAMPLEEXAMPLE:{user}"), "accountId": "123456789012",
            "arn": format!("arn:aws:sts::123456789012:assumed-role/service/{user}"), "accessKeyId": format!("ASIAEXAMPLE{user}"),
            "sessionContext": {
                "sessionIssuer": { "type": "Role", "principalId": "AROAEXAMPLEEXAMPLE", "arn": "arn:aws:iam::123456789012:role/service",
                    "accountId": "123456789012", "userName": "service" },
                "attributes": { "creationDate": "2026-11-22T21:00:00Z", "mfaAuthenticated": "false" },
            },
        },
        "eventTime": "2026-11-22T21:28:55Z", "eventSource": "kms.amazonaws.com", "eventName": "GenerateDataKey", "awsRegion": "eu-central-1",
        "sourceIPAddress": "10.0.0.7", "userAgent": "Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1 os/linux lang/python#3.13 cfg/retry-mode#legacy",
        "requestParameters": { "keyId": format!("arn:aws:kms:eu-central-1:123456789012:key/{:08x}", number % 50_000), "keySpec": "AES_256" },
        "responseElements": null, "requestID": format!("request-{number:016}"), "eventID": format!("event-{number:016}"), "readOnly": true,
        "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": "123456789012", "eventCategory": "Management",
        "tlsDetails": { "tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": "kms.example.com" },
    })
    .to_string()
}

fn pack(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(100_000);
    let mut evidence = Evidence {
        trail_arn: ARN.to_owned(),
        region: "eu-central-1".to_owned(),
        bucket: BUCKET.to_owned(),
        log: LogView::default(),
        ..Evidence::default()
    };
    let (mut plain_bytes, mut packed_bytes) = (0, 0);
    for file in 0..FILES {
        let records: Vec<String> = (file * count / FILES..(file + 1) * count / FILES).map(record).collect();
        let text = format!("{{\"Records\":[{}]}}", records.join(","));
        let minute = file * 5;
        let key = format!(
            "AWSLogs/123456789012/CloudTrail/eu-central-1/2026/11/22/123456789012_CloudTrail_eu-central-1_20261122T{:02}{:02}Z_{file:016}.json.gz",
            minute / 60,
            minute % 60
        );
        evidence.log.leaves.extend(records.iter().map(|record| Leaf::Event(sha256(record.as_bytes()))));
        let statement = Statement::new(StatementKind::LogFile, 0, subject(ARN), &format!("{BUCKET}/{key}"), sha256(text.as_bytes()));
        evidence.log.leaves.push(Leaf::Statement(statement));
        plain_bytes += text.len();
        let bytes = pack(&text);
        packed_bytes += bytes.len();
        evidence.files.push(StoredFile { bucket: BUCKET.to_owned(), key, bytes, signature: None });
    }
    println!("{count} events in {FILES} files: {plain_bytes} bytes, {packed_bytes} packed ({} a record)", packed_bytes / count.max(1));
    let began = Instant::now();
    let report = check(&evidence).unwrap();
    println!("verified in {:?}: {} records, {} findings", began.elapsed(), report.records, report.findings.len());
    assert!(report.findings.is_empty(), "the day is whole");
    let changed = record(0).replace("10.0.0.7", "10.0.0.8");
    let text = String::from_utf8(evidence::gunzip(&evidence.files[0].bytes).unwrap()).unwrap().replacen(&record(0), &changed, 1);
    evidence.files[0].bytes = pack(&text);
    evidence.files.pop();
    let began = Instant::now();
    let report = check(&evidence).unwrap();
    println!("one record changed, one file gone: {:?}", began.elapsed());
    report.findings.iter().for_each(|finding| println!("  {finding}"));
    assert!(report.findings.len() >= 2, "both are found");
}
