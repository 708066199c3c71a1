//! Entries, the recorder and lookups, over the memory store.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use store::{Batch, CommitError, LogRow, MemoryStore, Revision, Snapshot, Store, StoreError};
use tokio::sync::watch;
use trail::{Entry, EntryError, Filter, Recorder, Sealer, lookup};

/// Seals by a fixed pad, so that the form of entries can be tested apart from the keyring.
struct Pad;

impl Sealer for Pad {
    fn seal(&self, account: &str, header: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, EntryError> {
        let tag = header.iter().chain(account.as_bytes()).fold(0_u8, |tag, byte| tag.wrapping_add(*byte));
        Ok(std::iter::once(tag).chain(plaintext.iter().map(|byte| byte ^ 0x5A)).collect())
    }

    fn open(&self, account: &str, header: &[u8], sealed: &[u8]) -> Result<Vec<u8>, EntryError> {
        let (tag, body) = sealed.split_first().ok_or(EntryError::Malformed)?;
        let expected = header.iter().chain(account.as_bytes()).fold(0_u8, |tag, byte| tag.wrapping_add(*byte));
        if *tag != expected {
            return Err(EntryError::Seal("the header was changed".to_owned()));
        }
        Ok(body.iter().map(|byte| byte ^ 0x5A).collect())
    }

    fn tag_key(&self) -> Result<trail::tag::TagKey, EntryError> {
        Ok([7; 16])
    }
}

const ACCOUNT: &str = "111111111111";

fn entry(account: &str, name: &str, number: u32, error: Option<&str>) -> Entry {
    let record = json!({
        "eventVersion": "1.11",
        "userIdentity": { "type": "IAMUser", "userName": "ana", "accessKeyId": "AKIAEXAMPLE", "arn": format!("arn:aws:iam::{account}:user/ana") },
        "eventTime": "2026-11-22T21:28:55Z",
        "eventSource": "kms.amazonaws.com",
        "eventName": name,
        "awsRegion": "us-east-1",
        "sourceIPAddress": "127.0.0.1",
        "userAgent": "test",
        "errorCode": error,
        "requestParameters": null,
        "responseElements": null,
        "requestID": format!("request-{number}"),
        "eventID": format!("event-{number}"),
        "readOnly": name.starts_with("Get"),
        "resources": [{ "accountId": account, "type": "AWS::KMS::Key", "ARN": format!("arn:aws:kms:us-east-1:{account}:key/{number}") }],
        "eventType": "AwsApiCall",
        "managementEvent": true,
        "recipientAccountId": account,
        "eventCategory": "Management",
    });
    Entry { record: serde_json::from_value(record).unwrap(), decision: error.map(|_| Arc::new(json!({ "allowed": false }))), whole: None }
}

async fn commit(store: &dyn Store, entries: &[(Entry, i64)]) {
    let log = entries.iter().map(|(entry, time_ms)| entry.to_bytes(&Pad, *time_ms).unwrap()).collect();
    store.commit(Batch { log, ..Batch::default() }).await.unwrap();
}

async fn names(store: &dyn Store, filter: &Filter) -> Vec<String> {
    let page = lookup(store, &Pad, filter, None, 100).await.unwrap();
    page.entries.into_iter().map(|entry| entry.record.event_name).collect()
}

fn filter(attribute: Option<(&str, &str)>) -> Filter {
    let attribute = attribute.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Filter { account: ACCOUNT.to_owned(), attribute, ..Filter::default() }
}

#[test]
fn an_entry_reads_back_and_keeps_its_form() {
    let entry = entry(ACCOUNT, "CreateKey", 1, None);
    let bytes = entry.to_bytes(&Pad, 1_795_382_935_000).unwrap();
    assert_eq!(bytes[..13], *b"\x04111111111111");
    assert_eq!(bytes[13..21], 1_795_382_935_000_i64.to_be_bytes());
    let header = Entry::header(&bytes).unwrap();
    assert_eq!((header.account.as_str(), header.time_ms), (ACCOUNT, 1_795_382_935_000));
    let read = Entry::open(&bytes, &Pad).unwrap();
    assert_eq!(serde_json::to_value(&read.record).unwrap(), serde_json::to_value(&entry.record).unwrap());
}

#[test]
fn an_entry_is_shorter_than_its_record() {
    let entry = entry(ACCOUNT, "CreateKey", 1, None);
    let (bytes, json) = (entry.to_bytes(&Pad, 5).unwrap(), entry.record.to_json().unwrap());
    assert!(bytes.len() < json.len() / 2, "{} of {}", bytes.len(), json.len());
}

/// Format version 1, as it stands in stores: it must stay readable.
#[test]
fn a_stored_entry_of_version_1_stays_readable() {
    let sample = include_bytes!("../data/entry-v1.bin");
    let entry = Entry::open(sample, &Pad).unwrap();
    assert_eq!(entry.record.event_name, "DisableKey");
    assert_eq!(entry.record.event_id, "event-7");
    assert!(entry.is_denied());
}

#[test]
fn a_changed_header_and_foreign_bytes_are_refused() {
    let mut bytes = entry(ACCOUNT, "CreateKey", 1, None).to_bytes(&Pad, 5).unwrap().to_vec();
    bytes[20] ^= 1;
    assert!(matches!(Entry::open(&bytes, &Pad), Err(EntryError::Seal(_))));
    assert!(matches!(Entry::header(&[5; 40]), Err(EntryError::NewerFormat(5))));
    assert!(matches!(Entry::header(&[1, b'1']), Err(EntryError::Malformed)));
    assert!(matches!(Entry::header(&[]), Err(EntryError::Malformed)));
}

proptest! {
    #[test]
    fn any_bytes_are_an_entry_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Entry::open(&bytes, &Pad);
    }
}

mod ledger;

#[tokio::test]
async fn lookups_go_by_account_time_and_attribute_newest_first() {
    let store = MemoryStore::new();
    commit(&store, &[(entry(ACCOUNT, "CreateKey", 1, None), 100), (entry(ACCOUNT, "GetKeyPolicy", 2, None), 200)]).await;
    commit(&store, &[(entry("222222222222", "CreateKey", 3, None), 300)]).await;
    commit(&store, &[(entry(ACCOUNT, "DisableKey", 4, Some("AccessDeniedException")), 400)]).await;
    assert_eq!(names(&store, &filter(None)).await, ["DisableKey", "GetKeyPolicy", "CreateKey"]);
    assert_eq!(names(&store, &Filter { account: "222222222222".to_owned(), ..Filter::default() }).await, ["CreateKey"]);
    assert_eq!(names(&store, &Filter { start_ms: Some(200), end_ms: Some(399), ..filter(None) }).await, ["GetKeyPolicy"]);
    assert_eq!(names(&store, &Filter { denied_only: true, ..filter(None) }).await, ["DisableKey"]);
    for (key, value, expected) in [
        ("EventName", "CreateKey", 1),
        ("EventId", "event-4", 1),
        ("RequestId", "request-2", 1),
        ("ReadOnly", "true", 1),
        ("ReadOnly", "false", 2),
        ("Username", "ana", 3),
        ("Username", "Ana", 0),
        ("ResourceType", "AWS::KMS::Key", 3),
        ("ResourceName", "2", 1),
        ("ResourceName", "arn:aws:kms:us-east-1:111111111111:key/2", 1),
        ("EventSource", "kms.amazonaws.com", 3),
        ("AccessKeyId", "AKIAEXAMPLE", 3),
        ("Unknown", "x", 0),
    ] {
        assert_eq!(names(&store, &filter(Some((key, value)))).await.len(), expected, "{key}={value}");
    }
}

#[tokio::test]
async fn pages_give_every_event_once_also_while_more_arrive() {
    let store = MemoryStore::new();
    for number in 0..10 {
        let first = (entry(ACCOUNT, "CreateKey", number * 2, None), 1);
        commit(&store, &[first, (entry(ACCOUNT, "CreateKey", number * 2 + 1, None), 1)]).await;
    }
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = lookup(&store, &Pad, &filter(None), after, 3).await.unwrap();
        seen.extend(page.entries.into_iter().map(|entry| entry.record.event_id));
        commit(&store, &[(entry(ACCOUNT, "CreateKey", 99, None), 1)]).await;
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<String> = (0..20).rev().map(|number| format!("event-{number}")).collect();
    assert_eq!(seen, expected);
}

/// A store that can be made to fail.
struct Failing {
    inner: MemoryStore,
    fails: AtomicBool,
    /// What fails is written all the same.
    writes_all_the_same: bool,
}

#[async_trait]
impl Store for Failing {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.inner.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        if self.fails.load(Ordering::SeqCst) {
            if self.writes_all_the_same {
                self.inner.commit(batch).await?;
            }
            return Err(StoreError::Unavailable("disk full".to_owned()).into());
        }
        self.inner.commit(batch).await
    }

    async fn log_after(&self, after: Revision, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        self.inner.log_after(after, limit).await
    }

    async fn log_before(&self, before: Option<Revision>, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        self.inner.log_before(before, limit).await
    }

    async fn prune_log(&self, before: Revision, limit: u32) -> Result<u64, StoreError> {
        self.inner.prune_log(before, limit).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.inner.head()
    }

    async fn backup(&self, to: &Path) -> Result<Revision, StoreError> {
        self.inner.backup(to).await
    }
}

fn bytes(number: u32) -> bytes::Bytes {
    entry(ACCOUNT, "GetKeyPolicy", number, None).to_bytes(&Pad, 1).unwrap()
}

#[tokio::test]
async fn what_was_handed_over_is_there_after_a_flush() {
    let store = Arc::new(MemoryStore::new());
    let recorder = Recorder::start(Arc::clone(&store) as Arc<dyn Store>);
    for number in 0..100 {
        recorder.record(bytes(number)).await.unwrap();
    }
    recorder.flush().await.unwrap();
    assert_eq!(names(store.as_ref(), &filter(None)).await.len(), 100);
    assert!(store.head().borrow().0 < 100, "many events share a commit");
}

#[tokio::test]
async fn a_store_that_fails_refuses_calls_and_loses_nothing() {
    let store = Arc::new(Failing { inner: MemoryStore::new(), fails: AtomicBool::new(true), writes_all_the_same: false });
    let recorder = Recorder::start(Arc::clone(&store) as Arc<dyn Store>);
    recorder.record(bytes(1)).await.unwrap();
    recorder.flush().await.unwrap_err();
    let refused = recorder.record(bytes(2)).await.unwrap_err();
    assert!(refused.to_string().contains("disk full"), "{refused}");
    store.fails.store(false, Ordering::SeqCst);
    // It recovers by itself: nobody could hand an event over to wake it.
    let mut head = store.head();
    head.wait_for(|revision| revision.0 > 0).await.unwrap();
    recorder.flush().await.unwrap();
    recorder.record(bytes(3)).await.unwrap();
    recorder.flush().await.unwrap();
    let ids: Vec<Json> = lookup(store.as_ref(), &Pad, &filter(None), None, 10)
        .await
        .unwrap()
        .entries
        .iter()
        .map(|entry| json!(entry.record.event_id))
        .collect();
    assert_eq!(ids, [json!("event-3"), json!("event-1")]);
}

#[tokio::test]
async fn what_a_failed_commit_wrote_all_the_same_is_not_written_twice() {
    let store = Arc::new(Failing { inner: MemoryStore::new(), fails: AtomicBool::new(true), writes_all_the_same: true });
    let recorder = Recorder::start(Arc::clone(&store) as Arc<dyn Store>);
    recorder.record(bytes(1)).await.unwrap();
    recorder.record(bytes(2)).await.unwrap();
    recorder.flush().await.unwrap_err();
    store.fails.store(false, Ordering::SeqCst);
    recorder.keep(bytes(3)).await.unwrap();
    recorder.flush().await.unwrap();
    let rows = store.log_after(Revision(0), 10).await.unwrap();
    let logged: Vec<bytes::Bytes> = rows.into_iter().flat_map(|row| row.entries).collect();
    assert_eq!(logged, [bytes(1), bytes(2), bytes(3)]);
}

/// A store that fails one commit of those that it is handed together.
struct FailingOnce {
    inner: Failing,
    commits: std::sync::atomic::AtomicU32,
}

#[async_trait]
impl Store for FailingOnce {
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, StoreError> {
        self.inner.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, CommitError> {
        self.inner.fails.store(self.commits.fetch_add(1, Ordering::SeqCst) == 1, Ordering::SeqCst);
        self.inner.commit(batch).await
    }

    async fn log_after(&self, after: Revision, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        self.inner.log_after(after, limit).await
    }

    async fn log_before(&self, before: Option<Revision>, limit: u32) -> Result<Vec<LogRow>, StoreError> {
        self.inner.log_before(before, limit).await
    }

    async fn prune_log(&self, before: Revision, limit: u32) -> Result<u64, StoreError> {
        self.inner.prune_log(before, limit).await
    }

    fn head(&self) -> watch::Receiver<Revision> {
        self.inner.head()
    }

    async fn backup(&self, to: &Path) -> Result<Revision, StoreError> {
        self.inner.backup(to).await
    }
}

/// Rows are handed over together; one may fail while the next ones are written, and may be written all the same.
#[tokio::test]
async fn a_batch_of_which_one_row_failed_is_there_once() {
    for writes_all_the_same in [false, true] {
        let inner = Failing { inner: MemoryStore::new(), fails: AtomicBool::new(false), writes_all_the_same };
        let store = Arc::new(FailingOnce { inner, commits: std::sync::atomic::AtomicU32::new(0) });
        let recorder = Recorder::start(Arc::clone(&store) as Arc<dyn Store>);
        for number in 0..400 {
            recorder.record(bytes(number)).await.unwrap();
        }
        recorder.flush().await.unwrap_err();
        recorder.flush().await.unwrap();
        let rows = store.log_after(Revision(0), 1000).await.unwrap();
        assert!(rows.len() > 3, "{} rows", rows.len());
        assert!(rows.iter().all(|row| row.entries.iter().map(bytes::Bytes::len).sum::<usize>() < 16 * 1024));
        let mut logged: Vec<bytes::Bytes> = rows.into_iter().flat_map(|row| row.entries).collect();
        let mut expected: Vec<bytes::Bytes> = (0..400).map(bytes).collect();
        logged.sort_unstable();
        expected.sort_unstable();
        assert!(logged == expected, "{} events", logged.len());
    }
}

/// Format version 2, before entries were compressed.
#[test]
fn a_stored_entry_of_version_2_stays_readable() {
    let sample = include_bytes!("../data/entry-v2.bin");
    let open = Entry::open_whole(sample, &Pad).unwrap();
    assert_eq!((open.entry.record.event_name.as_str(), open.entry.record.event_id.as_str()), ("DisableKey", "event-7"));
    assert!(open.entry.is_denied());
    assert_eq!(Entry::record_hash(sample).unwrap(), transparency::merkle::sha256(open.record_json.as_bytes()));
    assert_eq!(
        Entry::header_tags(sample),
        Entry::header_tags(&entry(ACCOUNT, "DisableKey", 7, Some("AccessDenied")).to_bytes(&Pad, 1).unwrap())
    );
}
