//! The checks.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;
use trail::statement::{Subject, subject};
use trail::{Leaf, Statement, StatementKind};
use transparency::merkle::sha256;
use transparency::{Checkpoint, Hash, SignedNote, VerifierKey};

use crate::bucket::{OpenFile, StoredFile, record_texts};
use crate::digest_file::{DigestFile, PublicKey};
use crate::finding::Finding;
use crate::log_view::{EvidenceError, LogView};

/// All that is looked at.
#[derive(Debug, Default)]
pub struct Evidence {
    pub log: LogView,
    /// Keys that the log's checkpoint must be signed with. Empty: it is not looked at.
    pub log_keys: Vec<VerifierKey>,
    /// Checkpoints that witnesses have cosigned, and the witnesses' keys.
    pub witnessed: Vec<SignedNote>,
    pub witness_keys: Vec<VerifierKey>,
    pub trail_arn: String,
    /// Region whose files are checked.
    pub region: String,
    pub bucket: String,
    /// Folder of the trail in the bucket, without `AWSLogs/`, with its slash at the end.
    pub prefix: String,
    pub files: Vec<StoredFile>,
    /// Keys of `ListPublicKeys`; `None`: not looked at.
    pub public_keys: Option<Vec<PublicKey>>,
}

/// What was checked and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub log_entries: usize,
    pub witnessed_size: Option<u64>,
    pub log_files: usize,
    pub digest_files: usize,
    pub records: usize,
    pub findings: Vec<Finding>,
}

/// Parts of a trail's ARN.
struct TrailName {
    account: String,
    home_region: String,
    name: String,
}

impl TrailName {
    fn parse(arn: &str) -> Result<Self, EvidenceError> {
        let invalid = || EvidenceError::TrailArn(arn.chars().take(200).collect());
        let parts: Vec<&str> = arn.split(':').collect();
        let ["arn", _, "cloudtrail", region, account, resource] = parts.as_slice() else { return Err(invalid()) };
        let name = resource.strip_prefix("trail/").ok_or_else(invalid)?;
        Ok(Self { account: (*account).to_owned(), home_region: (*region).to_owned(), name: name.to_owned() })
    }
}

/// A statement of the trail and where it stands in the log.
struct Stated {
    leaf: u64,
    statement: Statement,
}

/// Checks everything; findings come sorted, each once.
pub fn check(evidence: &Evidence) -> Result<Report, EvidenceError> {
    let trail = TrailName::parse(&evidence.trail_arn)?;
    let mut findings = BTreeSet::new();
    let witnessed_size = check_log(evidence, &mut findings);
    let wanted = subject(&evidence.trail_arn);
    let stated: Vec<Stated> = evidence
        .log
        .leaves
        .iter()
        .zip(0..)
        .filter_map(|(leaf, number)| match leaf {
            Leaf::Statement(statement) if [wanted, Subject::default()].contains(&statement.subject) => {
                Some(Stated { leaf: number, statement: *statement })
            }
            _ => None,
        })
        .collect();
    let events: HashSet<&Hash> = evidence
        .log
        .leaves
        .iter()
        .filter_map(|leaf| match leaf {
            Leaf::Event(hash) => Some(hash),
            Leaf::Statement(_) => None,
        })
        .collect();
    let mut report = Report { log_entries: evidence.log.leaves.len(), witnessed_size, ..Report::default() };
    let mut present = BTreeMap::new();
    let mut digests = BTreeMap::new();
    for file in &evidence.files {
        let open = match file.open() {
            Ok(open) => open,
            Err(cause) => {
                let name = format!("{}/{}", file.bucket, file.key);
                // It is there, though unreadable: that is one finding, not two.
                present.insert(sha256(name.as_bytes()), None);
                findings.insert(Finding::FileUnreadable { file: name, cause });
                continue;
            }
        };
        present.insert(sha256(open.name().as_bytes()), Some(open.content));
        check_file(&open, &stated, &mut findings);
        if is_digest(&open.key) {
            report.digest_files += 1;
            if let Some(digest) = DigestFile::parse(&open) {
                digests.insert(open.name(), (open, digest));
            }
        } else {
            report.log_files += 1;
            report.records += check_records(&open, &events, &mut findings);
        }
    }
    let digest_contents: BTreeMap<&String, String> = digests.iter().map(|(name, (open, _))| (name, hex::encode(open.content))).collect();
    for (name, (open, digest)) in &digests {
        check_digest(name, open, digest, (&digest_contents, &digests), evidence.public_keys.as_deref(), &mut findings);
    }
    check_missing(evidence, &trail, &stated, &present, &digests, &mut findings);
    check_keys(evidence, &stated, &mut findings);
    report.findings = findings.into_iter().collect();
    Ok(report)
}

fn time_text(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms).map_or_else(|_| time_ms.to_string(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The log by itself and against its witnesses. Gives the largest size that a witness saw.
fn check_log(evidence: &Evidence, findings: &mut BTreeSet<Finding>) -> Option<u64> {
    let size = evidence.log.leaves.len() as u64;
    let own = evidence.log.checkpoint();
    if let Some(note) = &evidence.log.checkpoint
        && (own.is_none() || (!evidence.log_keys.is_empty() && note.verified_by(&evidence.log_keys).is_err()))
    {
        findings.insert(Finding::LogUnsigned);
    }
    let mut seen: Vec<(Checkpoint, String)> = Vec::new();
    for note in &evidence.witnessed {
        let verified = note.verified_by(&evidence.witness_keys);
        let (Ok(keys), Ok(checkpoint)) = (verified, Checkpoint::parse(&note.text)) else {
            findings.insert(Finding::WitnessUnsigned);
            continue;
        };
        let times = note.signatures.iter().filter(|signature| keys.iter().any(|key| key.name == signature.name && key.id == signature.id));
        let time_s = times.filter_map(transparency::note::NoteSignature::time_s).max().unwrap_or_default();
        let time = time_text(i64::try_from(time_s).unwrap_or_default().saturating_mul(1000));
        if own.as_ref().is_some_and(|own| own.origin != checkpoint.origin) {
            findings.insert(Finding::OtherLog { origin: checkpoint.origin });
            continue;
        }
        seen.push((checkpoint, time));
    }
    let sizes: Vec<u64> = seen.iter().map(|(checkpoint, _)| checkpoint.size).chain(own.iter().map(|own| own.size)).collect();
    let roots: BTreeMap<u64, Hash> = evidence.log.roots(&sizes).into_iter().collect();
    if let Some(own) = &own
        && roots.get(&own.size) != Some(&own.root)
    {
        findings.insert(Finding::LogAltered { size: own.size });
    }
    for (checkpoint, time) in &seen {
        if checkpoint.size > size {
            findings.insert(Finding::LogSetBack {
                witnessed: checkpoint.size,
                size,
                last: checkpoint.size.saturating_sub(1),
                time: time.clone(),
            });
        } else if roots.get(&checkpoint.size) != Some(&checkpoint.root) {
            findings.insert(Finding::LogRewritten { witnessed: checkpoint.size, time: time.clone() });
        }
    }
    seen.iter().map(|(checkpoint, _)| checkpoint.size).max()
}

fn is_digest(key: &str) -> bool {
    key.contains("/CloudTrail-Digest/")
}

/// A file against what the log states of its name.
fn check_file(file: &OpenFile, stated: &[Stated], findings: &mut BTreeSet<Finding>) {
    let name_hash = sha256(file.name().as_bytes());
    let mut of_name = stated.iter().filter(|stated| stated.statement.name == name_hash).peekable();
    let Some(first) = of_name.peek().map(|stated| stated.leaf) else {
        findings.insert(Finding::FileUnknown { file: file.name() });
        return;
    };
    if !of_name.any(|stated| stated.statement.content == file.content) {
        findings.insert(Finding::FileChanged { file: file.name(), leaf: first });
    }
}

/// The records of a log file against the events of the log; gives how many there are.
fn check_records(file: &OpenFile, events: &HashSet<&Hash>, findings: &mut BTreeSet<Finding>) -> usize {
    let Some(records) = record_texts(&file.text) else {
        findings.insert(Finding::FileUnreadable { file: file.name(), cause: "it is not a log file".to_owned() });
        return 0;
    };
    for (record, number) in records.iter().zip(1..) {
        if !events.contains(&sha256(record)) {
            findings.insert(Finding::RecordUnknown { file: file.name(), number });
        }
    }
    records.len()
}

type Digests = BTreeMap<String, (OpenFile, DigestFile)>;

fn check_digest(
    name: &str,
    open: &OpenFile,
    digest: &DigestFile,
    (contents, digests): (&BTreeMap<&String, String>, &Digests),
    keys: Option<&[PublicKey]>,
    findings: &mut BTreeSet<Finding>,
) {
    if let Some(previous) = digest.previous_name()
        && let Some(content) = contents.get(&previous)
        && digest.previous_digest_hash_value.as_ref() != Some(content)
    {
        findings.insert(Finding::DigestChain { file: name.to_owned(), previous });
    }
    let Some(keys) = keys else { return };
    let Some(key) = keys.iter().find(|key| key.fingerprint == digest.digest_public_key_fingerprint) else {
        let fingerprint = digest.digest_public_key_fingerprint.clone();
        findings.insert(Finding::DigestKeyUnknown { file: name.to_owned(), fingerprint });
        return;
    };
    // A copy of a bucket may come without metadata: then the digest after this one has its signature.
    let of_next = || {
        let next = digests.values().find(|(_, next)| next.previous_name().as_deref() == Some(name));
        next.and_then(|(_, next)| next.previous_digest_signature.clone())
    };
    if let Some(signature) = open.signature.clone().or_else(of_next)
        && !digest.is_signed(&open.content, &signature, key)
    {
        findings.insert(Finding::DigestSignature { file: name.to_owned() });
    }
}

/// Files that the log states and the bucket does not have, by name where a digest still tells it.
fn check_missing(
    evidence: &Evidence,
    trail: &TrailName,
    stated: &[Stated],
    present: &BTreeMap<Hash, Option<Hash>>,
    digests: &Digests,
    findings: &mut BTreeSet<Finding>,
) {
    let mut names: BTreeMap<Hash, String> = BTreeMap::new();
    for (_, digest) in digests.values() {
        let listed = digest.log_files.iter().map(crate::digest_file::ListedFile::name);
        for name in listed.chain(digest.previous_name()) {
            names.insert(sha256(name.as_bytes()), name);
        }
    }
    for Stated { leaf, statement } in stated {
        if present.contains_key(&statement.name) {
            continue;
        }
        let (leaf, time, sha256) = (*leaf, time_text(statement.time_ms), hex::encode(statement.content));
        let finding = match statement.kind {
            StatementKind::SigningKey => continue,
            StatementKind::LogFile => match names.get(&statement.name) {
                Some(file) => Finding::LogFileMissing { file: file.clone(), time, leaf },
                None => Finding::UnnamedLogFileMissing { time, leaf, sha256 },
            },
            StatementKind::DigestFile => {
                let mut guesses = ["", "_backfill"].into_iter().filter_map(|kind| digest_name(evidence, trail, statement.time_ms, kind));
                let named = names.get(&statement.name).cloned();
                match named.or_else(|| guesses.find(|name| transparency::merkle::sha256(name.as_bytes()) == statement.name)) {
                    Some(file) => Finding::DigestFileMissing { file, time, leaf },
                    None => Finding::UnnamedDigestFileMissing { time, leaf, sha256 },
                }
            }
        };
        findings.insert(finding);
    }
}

/// The name of the digest that ends at this time: it follows from the trail. `kind` is `_backfill` for the one of late files.
fn digest_name(evidence: &Evidence, trail: &TrailName, end_ms: i64, kind: &str) -> Option<String> {
    let time = jiff::Timestamp::from_millisecond(end_ms).ok()?;
    let (folder, second) = (time.strftime("%Y/%m/%d"), time.strftime("%Y%m%dT%H%M%SZ"));
    let (bucket, prefix, region) = (&evidence.bucket, &evidence.prefix, &evidence.region);
    let TrailName { account, home_region, name } = trail;
    Some(format!(
        "{bucket}/{prefix}AWSLogs/{account}/CloudTrail-Digest/{region}/{folder}/{account}_CloudTrail-Digest_{region}_{name}_{home_region}_{second}{kind}.json.gz"
    ))
}

/// The keys that are shown against those that the log states.
fn check_keys(evidence: &Evidence, stated: &[Stated], findings: &mut BTreeSet<Finding>) {
    let Some(keys) = &evidence.public_keys else { return };
    let of_log: Vec<&Stated> = stated.iter().filter(|stated| stated.statement.kind == StatementKind::SigningKey).collect();
    for key in keys {
        let (name, content) = (sha256(key.fingerprint.as_bytes()), sha256(&key.der));
        let known = of_log.iter().any(|stated| stated.statement.name == name && stated.statement.content == content);
        if !known || !key.is_its_fingerprint() {
            findings.insert(Finding::KeyUnknown { fingerprint: key.fingerprint.clone() });
        }
    }
    for Stated { leaf, statement } in of_log {
        if !keys.iter().any(|key| sha256(key.fingerprint.as_bytes()) == statement.name) {
            findings.insert(Finding::KeyMissing { time: time_text(statement.time_ms), leaf: *leaf });
        }
    }
}
