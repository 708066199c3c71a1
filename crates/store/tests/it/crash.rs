//! kill -9 under concurrent load: the test binary runs itself as the victim.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use store::{Batch, CommitError, Expect, KeyRange, RedbStore, Revision, Store, Table, Write};

const VICTIM: &str = "BAILIWICK_CRASH_VICTIM";
const LEFT: Table = Table("left");
const RIGHT: Table = Table("right");
const REFUSED: Table = Table("refused");
const WRITERS: u64 = 16;

/// Writes until it is killed: each batch puts one key into two tables and logs it; each is acknowledged on standard output once durable.
/// Every third batch carries a false expectation and must leave nothing.
#[test]
fn victim() {
    let Some(path) = std::env::var_os(VICTIM) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(RedbStore::open(path).unwrap());
        let round = store.head().borrow().0;
        let writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write_forever(store.clone(), format!("{round}.{writer}")))).collect();
        for writer in writers {
            writer.await.unwrap();
        }
    });
}

async fn write_forever(store: Arc<RedbStore>, writer: String) {
    for number in 0u64.. {
        let key = Bytes::from(format!("{writer}.{number}"));
        let put = |table| Write::Put { table, key: key.clone(), value: key.clone() };
        store.commit(Batch { expect: vec![], writes: vec![put(LEFT), put(RIGHT)], log: vec![key.clone()] }).await.unwrap();
        println!("acknowledged {}", std::str::from_utf8(&key).unwrap());
        if number % 3 == 0 {
            let expect = vec![Expect::Version { table: LEFT, key: key.clone(), version: None }];
            let refused = store.commit(Batch { expect, writes: vec![put(REFUSED)], log: vec![Bytes::from_static(b"refused")] }).await;
            assert!(matches!(refused, Err(CommitError::Conflict)));
        }
    }
}

#[tokio::test]
async fn acknowledged_commits_survive_kill_9() {
    let kills: usize = std::env::var("BAILIWICK_KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let mut acknowledged = BTreeSet::new();
    for kill in 0..kills {
        // Killed at another moment each time: after so many acknowledgements, with many commits in flight.
        acknowledged.extend(run_and_kill(&path, 1 + (kill * 37) % 150));
        check(&path, &acknowledged).await;
    }
    assert!(acknowledged.len() >= kills);
}

fn run_and_kill(path: &Path, after: usize) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::victim", "--exact", "--nocapture", "--test-threads=1"])
        .env(VICTIM, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut acknowledged = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        acknowledged.extend(line.rsplit_once("acknowledged ").map(|(_, key)| key.to_owned()));
        if acknowledged.len() == after {
            child.kill().unwrap();
            // What was acknowledged before the kill still comes out of the pipe, and counts.
        }
    }
    assert!(!child.wait().unwrap().success(), "the victim ended by itself");
    acknowledged
}

async fn check(path: &Path, acknowledged: &BTreeSet<String>) {
    let store = RedbStore::open(path).unwrap();
    let snapshot = store.snapshot().await.unwrap();
    let all = KeyRange { start: Bytes::new(), end: None };
    let read = async |table| {
        let rows = snapshot.scan(table, &all, u32::MAX).await.unwrap();
        rows.into_iter().map(|row| (String::from_utf8(row.key.to_vec()).unwrap(), row.version)).collect::<BTreeSet<_>>()
    };
    let (left, right) = (read(LEFT).await, read(RIGHT).await);
    assert_eq!(left, right, "a batch was torn");
    let keys: BTreeSet<String> = left.iter().map(|(key, _)| key.clone()).collect();
    let lost: Vec<_> = acknowledged.difference(&keys).collect();
    assert!(lost.is_empty(), "acknowledged but lost: {lost:?}");
    assert_eq!(read(REFUSED).await.len(), 0);

    let log = store.log_after(Revision(0), u32::MAX).await.unwrap();
    assert_eq!(log.len() as u64, snapshot.revision().0);
    assert!(log.iter().zip(1u64..).all(|(row, number)| row.revision.0 == number), "revisions have gaps");
    let logged: BTreeSet<_> = log.iter().map(|row| (String::from_utf8(row.entries[0].to_vec()).unwrap(), row.revision)).collect();
    assert_eq!(logged, left, "writes and log entries of a batch are not together");
}
