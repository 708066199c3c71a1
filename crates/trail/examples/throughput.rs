//! Measures the trail: what an event costs, how fast the recorder and the ledger are, and how long lookups take.
//!
//! `cargo run --release -p trail --example throughput -- EVENTS FOLDER`

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss, clippy::indexing_slicing)]

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use keyring::{Domain, Keyring, SystemRandomness};
use serde_json::json;
use store::{RedbStore, Store};
use trail::tag::TagKey;
use trail::{Entry, EntryError, Filter, Ledger, Recorder, Sealer};

const ACCOUNT: &str = "111111111111";

struct OfKeyring(Keyring, OnceLock<TagKey>);

impl Sealer for OfKeyring {
    fn seal(&self, account: &str, header: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, EntryError> {
        self.0.seal(&Domain::new("trail", account, ""), header, plaintext).map_err(|error| EntryError::Seal(error.to_string()))
    }

    fn open(&self, account: &str, header: &[u8], sealed: &[u8]) -> Result<Vec<u8>, EntryError> {
        let opened = self.0.open_record(&Domain::new("trail", account, ""), header, sealed);
        opened.map(|plain| plain.to_vec()).map_err(|error| EntryError::Seal(error.to_string()))
    }

    fn tag_key(&self) -> Result<TagKey, EntryError> {
        Ok(*self.1.get_or_init(|| *self.0.fixed_key(&Domain::new("trail-tag", "", "")).unwrap().first_chunk().unwrap()))
    }
}

/// An identifier that no compression makes shorter than its bits, the same for the same number.
fn uuid(number: u64, kind: u64) -> String {
    let mix = |seed: u64| {
        let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    };
    let (high, low) = (mix(number * 4 + kind), mix(!(number * 4 + kind)));
    format!("{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}", high >> 32, high & 0xFFFF, (high >> 16) & 0xFFF, low >> 52, low & 0xFFFF_FFFF_FFFF)
}

/// As the plane makes them for a KMS call over TLS: about 1.2 KB of JSON.
fn entry(number: u64) -> Entry {
    let names = ["Decrypt", "Encrypt", "GenerateDataKey", "DescribeKey", "CreateAlias"];
    let user = number % 997;
    let record = json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole", "principalId": format!("AROAEXAMPLEEXAMPLE:{user}"),
            "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/service/{user}"), "accountId": ACCOUNT, "accessKeyId": format!("ASIAEXAMPLE{user}"),
            "sessionContext": {
                "sessionIssuer": { "type": "Role", "principalId": "AROAEXAMPLEEXAMPLE", "arn": format!("arn:aws:iam::{ACCOUNT}:role/service"),
                    "accountId": ACCOUNT, "userName": "service" },
                "attributes": { "creationDate": "2026-11-22T21:00:00Z", "mfaAuthenticated": "false" },
            },
        },
        "eventTime": format!("2026-11-22T{:02}:{:02}:{:02}Z", number / 3600 % 24, number / 60 % 60, number % 60), "eventSource": "kms.amazonaws.com", "eventName": names[(number % 5) as usize],
        "awsRegion": "us-east-1", "sourceIPAddress": format!("10.0.{}.{}", user % 7, user % 251),
        "userAgent": "Boto3/1.43.11 md/Botocore#1.43.11 ua/2.1 os/linux lang/python#3.13 md/pyimpl#CPython cfg/retry-mode#legacy",
        "requestParameters": { "keyId": format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/{:08x}", number % 50_000), "encryptionAlgorithm": "SYMMETRIC_DEFAULT" },
        "responseElements": null, "requestID": uuid(number, 0), "eventID": uuid(number, 1), "readOnly": number % 5 != 4,
        "resources": [{ "accountId": ACCOUNT, "type": "AWS::KMS::Key", "ARN": format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/{:08x}", number % 50_000) }],
        "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": ACCOUNT, "eventCategory": "Management",
        "tlsDetails": { "tlsVersion": "TLSv1.3", "cipherSuite": "TLS_AES_128_GCM_SHA256", "clientProvidedHostHeader": "kms.us-east-1.example.com" },
    });
    Entry {
        record: serde_json::from_value(record).unwrap(),
        decision: Some(Arc::new(json!({ "allowed": true, "by": "identity policy" }))),
        whole: None,
    }
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

/// Bytes that the file takes on the disk, and its length: redb makes a file longer by doubling it, and what was not written yet takes no room.
fn on_disk(path: &Path) -> (u64, u64) {
    let metadata = std::fs::metadata(path).unwrap();
    (metadata.blocks() * 512, metadata.len())
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let events: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(1_000_000);
    let folder = std::path::PathBuf::from(arguments.next().unwrap_or_else(|| ".".to_owned()));
    let sealer = Arc::new(OfKeyring(Keyring::ephemeral(Arc::new(SystemRandomness)).unwrap(), OnceLock::new()));
    let sample: Vec<Entry> = (0..2_000).map(entry).collect();
    let begin = cpu_seconds();
    for round in 0..50 {
        for entry in &sample {
            drop(entry.to_bytes(sealer.as_ref(), round).unwrap());
        }
    }
    println!("entry made and sealed: {:.2} us of CPU", (cpu_seconds() - begin) * 1e6 / (50.0 * 2_000.0));
    println!("record: {} bytes of JSON", sample[0].record.to_json().unwrap().len());
    let path = folder.join("throughput.redb");
    let store: Arc<dyn Store> = Arc::new(RedbStore::open(path.clone()).unwrap());
    let recorder = Recorder::start(Arc::clone(&store));
    let (begin, cpu, mut making) = (Instant::now(), cpu_seconds(), 0.0);
    for first in (0..events).step_by(4_096) {
        let made = cpu_seconds();
        let batch: Vec<_> = (first..(first + 4_096).min(events))
            .map(|number| entry(number).to_bytes(sealer.as_ref(), i64::try_from(number).unwrap()).unwrap())
            .collect();
        making += cpu_seconds() - made;
        for bytes in batch {
            recorder.record(bytes).await.unwrap();
        }
    }
    recorder.flush().await.unwrap();
    let (wall, cpu) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu - making);
    println!(
        "recorder: {events} events in {wall:.1} s ({:.0}/s), {:.2} us of CPU each in recorder and store",
        events as f64 / wall,
        cpu * 1e6 / events as f64
    );
    let before = on_disk(&path).0;
    let ledger = Ledger::new(Arc::clone(&store), Arc::clone(&sealer) as Arc<dyn Sealer>, "bench".to_owned());
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    ledger.advance().await.unwrap();
    let (wall, used) = (begin.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!("ledger: {:.0} leaves/s, {:.2} us of CPU each", events as f64 / wall, used * 1e6 / events as f64);
    let (begin, cpu) = (Instant::now(), cpu_seconds());
    while ledger.compact().await.unwrap() {}
    println!(
        "index joined in {:.1} s, {:.2} us of CPU per event",
        begin.elapsed().as_secs_f64(),
        (cpu_seconds() - cpu) * 1e6 / events as f64
    );
    let (after, length) = on_disk(&path);
    println!(
        "stored: {} bytes per event, of them {} for tree and index; the file's length is {} bytes per event",
        after / events,
        after.saturating_sub(before) / events,
        length / events
    );
    for (attribute, value) in [
        ("EventId", uuid(events / 3, 1)),
        ("Username", "500".to_owned()),
        ("ResourceName", "00001234".to_owned()),
        ("EventName", "CreateAlias".to_owned()),
        ("EventSource", "kms.amazonaws.com".to_owned()),
        ("AccessKeyId", "ASIAEXAMPLE500".to_owned()),
        ("ReadOnly", "false".to_owned()),
        ("ResourceType", "AWS::KMS::Key".to_owned()),
        ("EventId", "event-none".to_owned()),
    ] {
        let filter = Filter { account: ACCOUNT.to_owned(), attribute: Some((attribute.to_owned(), value.clone())), ..Filter::default() };
        let mut times = Vec::new();
        let mut found = 0;
        for _ in 0..20 {
            let begin = Instant::now();
            found = ledger.lookup(&filter, None, 50).await.unwrap().entries.len();
            times.push(begin.elapsed());
        }
        // Nothing of it was read before.
        let first = times[0];
        times.sort();
        println!("lookup {attribute}={value}: {found} events, median {:?}, first {first:?}", times[10]);
    }
    let begin = Instant::now();
    let note = ledger.checkpoint(0).await.unwrap();
    println!("checkpoint: {:?}, {} bytes", begin.elapsed(), note.to_note().len());
    std::fs::remove_file(path).unwrap();
}
