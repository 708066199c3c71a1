//! Digest files whose signatures the aws CLI has found valid (6 of 6, with 12 log files), and what tampering with them leads to.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use evidence::{Evidence, Finding, LogView, StoredFile, check, gunzip, parse_public_keys};
use serde_json::Value as Json;
use trail::statement::subject;
use trail::{Leaf, Statement, StatementKind};
use transparency::merkle::sha256;

const ARN: &str = "arn:aws:cloudtrail:eu-central-1:123456789012:trail/main";
const BUCKET: &str = "trail-bucket";

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/digest-vectors")
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { walk(&path, found) } else { found.push(path) }
    }
}

fn files() -> Vec<StoredFile> {
    let metadata: Json = serde_json::from_slice(&std::fs::read(vectors().join("object-metadata.json")).unwrap()).unwrap();
    let root = vectors().join("objects");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let key = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let signature = metadata[&key]["signature"].as_str().map(str::to_owned);
        StoredFile { bucket: BUCKET.to_owned(), bytes: std::fs::read(path).unwrap(), signature, key }
    };
    paths.into_iter().map(read).collect()
}

/// The log that a server would have kept of these files.
fn log(files: &[StoredFile]) -> LogView {
    let mut leaves = Vec::new();
    for file in files {
        let text = gunzip(&file.bytes).unwrap();
        let is_digest = file.key.contains("-Digest/");
        if !is_digest {
            leaves.extend(evidence::record_texts(&text).unwrap().into_iter().map(|record| Leaf::Event(sha256(record))));
        }
        let kind = if is_digest { StatementKind::DigestFile } else { StatementKind::LogFile };
        let name = format!("{BUCKET}/{}", file.key);
        // A digest's name ends with the time that it reaches to.
        let time_ms = file.key.rsplit('_').next().and_then(|end| end.strip_suffix(".json.gz")).map_or(0, |end| {
            jiff::fmt::strtime::parse("%Y%m%dT%H%M%SZ", end)
                .and_then(|time| time.to_datetime())
                .map_or(0, |time| time.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp().as_millisecond())
        });
        leaves.push(Leaf::Statement(Statement::new(kind, time_ms, subject(ARN), &name, sha256(&text))));
    }
    for key in parse_public_keys(&std::fs::read(vectors().join("list-public-keys-response.json")).unwrap()).unwrap() {
        let statement =
            Statement::new(StatementKind::SigningKey, 0, trail::statement::Subject::default(), &key.fingerprint, sha256(&key.der));
        leaves.push(Leaf::Statement(statement));
    }
    LogView { checkpoint: None, leaves }
}

fn evidence() -> Evidence {
    let files = files();
    Evidence {
        log: log(&files),
        trail_arn: ARN.to_owned(),
        region: "eu-central-1".to_owned(),
        bucket: BUCKET.to_owned(),
        files,
        public_keys: Some(parse_public_keys(&std::fs::read(vectors().join("list-public-keys-response.json")).unwrap()).unwrap()),
        ..Evidence::default()
    }
}

fn findings(evidence: &Evidence) -> Vec<Finding> {
    check(evidence).unwrap().findings
}

#[test]
fn the_vectors_verify() {
    let report = check(&evidence()).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.digest_files, report.log_files), (6, 12));
    assert!(report.records >= 12);
}

#[test]
fn a_signature_of_another_file_does_not_hold() {
    let mut evidence = evidence();
    let digests: Vec<usize> = (0..evidence.files.len()).filter(|at| evidence.files[*at].signature.is_some()).collect();
    let other = evidence.files[digests[1]].signature.clone();
    evidence.files[digests[0]].signature = other;
    let file = format!("{BUCKET}/{}", evidence.files[digests[0]].key);
    assert_eq!(findings(&evidence), [Finding::DigestSignature { file }]);
}

#[test]
fn without_metadata_the_next_digest_has_the_signature() {
    let mut evidence = evidence();
    evidence.files.iter_mut().for_each(|file| file.signature = None);
    assert_eq!(findings(&evidence), []);
    let digest = evidence.files.iter_mut().find(|file| file.key.contains("-Digest/")).unwrap();
    let text = String::from_utf8(gunzip(&digest.bytes).unwrap()).unwrap().replacen("oldestEventTime", "oldesteventtime", 1);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    digest.bytes = encoder.finish().unwrap();
    let found = findings(&evidence);
    assert!(found.iter().any(|finding| matches!(finding, Finding::FileChanged { .. })), "{found:?}");
    assert!(found.iter().any(|finding| matches!(finding, Finding::DigestSignature { .. })), "{found:?}");
    assert!(found.iter().any(|finding| matches!(finding, Finding::DigestChain { .. })), "{found:?}");
}

#[test]
fn every_missing_digest_is_named_also_when_none_is_left() {
    let mut evidence = evidence();
    let mut gone: Vec<String> =
        evidence.files.iter().filter(|file| file.key.contains("-Digest/")).map(|file| format!("{BUCKET}/{}", file.key)).collect();
    evidence.files.retain(|file| !file.key.contains("-Digest/"));
    let mut named: Vec<String> = findings(&evidence)
        .into_iter()
        .map(|finding| match finding {
            Finding::DigestFileMissing { file, .. } => file,
            other => panic!("{other}"),
        })
        .collect();
    gone.sort();
    named.sort();
    assert_eq!(named, gone);
}

#[test]
fn a_damaged_file_is_one_finding() {
    let mut evidence = evidence();
    evidence.files[0].bytes = b"no gzip".to_vec();
    let found = findings(&evidence);
    assert!(matches!(found.as_slice(), [Finding::FileUnreadable { .. }]), "{found:?}");
    evidence.trail_arn = "arn:aws:s3:::bucket".to_owned();
    assert!(check(&evidence).is_err());
}
