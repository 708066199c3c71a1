//! What every engine must do.

use std::sync::Arc;

use bytes::Bytes;
use store::jobs::{JobError, Jobs, LEASES};
use store::{
    Batch, ChangedRow, CommitError, Expect, KeyRange, MAX_BATCH_ITEMS, MAX_KEY_BYTES, Revision, Row, Store, StoreError, Table, Write,
    fingerprint,
};

type AnyStore = Arc<dyn Store>;

pub(crate) const ITEMS: Table = Table("items");
pub(crate) const OTHERS: Table = Table("items.others");

pub(crate) fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub(crate) fn put(key: &str, value: &str) -> Write {
    Write::Put { table: ITEMS, key: bytes(key), value: bytes(value) }
}

fn delete(key: &str) -> Write {
    Write::Delete { table: ITEMS, key: bytes(key) }
}

fn writes(writes: Vec<Write>) -> Batch {
    Batch { writes, ..Batch::default() }
}

fn all() -> KeyRange {
    KeyRange { start: Bytes::new(), end: None }
}

fn range(start: &str, end: &str) -> KeyRange {
    KeyRange { start: bytes(start), end: Some(bytes(end)) }
}

fn keys(rows: &[Row]) -> Vec<&str> {
    rows.iter().map(|row| std::str::from_utf8(&row.key).unwrap()).collect()
}

fn expect_version(key: &str, version: Option<Revision>) -> Expect {
    Expect::Version { table: ITEMS, key: bytes(key), version }
}

async fn expect_range(store: &AnyStore, range: KeyRange, limit: u32) -> Expect {
    let rows = store.snapshot().await.unwrap().scan(ITEMS, &range, limit).await.unwrap();
    let fingerprint = fingerprint(rows.iter().map(|row| (row.key.as_ref(), row.version)));
    Expect::Range { table: ITEMS, range, limit, fingerprint }
}

pub(crate) async fn starts_empty(store: AnyStore) {
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.revision(), Revision(0));
    assert_eq!(*store.head().borrow(), Revision(0));
    assert_eq!(snapshot.get(ITEMS, b"a").await.unwrap(), None);
    assert_eq!(snapshot.scan(ITEMS, &all(), 10).await.unwrap(), []);
    assert_eq!(store.log_after(Revision(0), 10).await.unwrap(), []);
    assert_eq!(store.log_before(None, 10).await.unwrap(), []);
}

pub(crate) async fn reads_back_what_was_written(store: AnyStore) {
    let binary = Bytes::from((0..=255).collect::<Vec<u8>>());
    let first = store
        .commit(writes(vec![put("a", "1"), put("b", ""), Write::Put { table: ITEMS, key: binary.clone(), value: binary.clone() }]))
        .await
        .unwrap();
    let second = store.commit(writes(vec![put("a", "2"), delete("b"), delete("never")])).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!((first, second, snapshot.revision()), (Revision(1), Revision(2), Revision(2)));
    let a = snapshot.get(ITEMS, b"a").await.unwrap().unwrap();
    assert_eq!((a.version, a.value), (second, bytes("2")));
    assert_eq!(snapshot.get(ITEMS, b"b").await.unwrap(), None);
    let read = snapshot.get(ITEMS, &binary).await.unwrap().unwrap();
    assert_eq!((read.version, read.value), (first, binary));
    // The last write of a key in a batch counts.
    store.commit(writes(vec![put("c", "1"), delete("c"), put("c", "3"), put("d", "1"), delete("d")])).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.get(ITEMS, b"c").await.unwrap().unwrap().value, bytes("3"));
    assert_eq!(snapshot.get(ITEMS, b"d").await.unwrap(), None);
}

pub(crate) async fn snapshots_do_not_move(store: AnyStore) {
    store.commit(writes(vec![put("a", "old"), put("b", "old")])).await.unwrap();
    let before = store.snapshot().await.unwrap();
    store.commit(writes(vec![put("a", "new"), delete("b"), put("c", "new")])).await.unwrap();
    assert_eq!(before.revision(), Revision(1));
    assert_eq!(before.get(ITEMS, b"a").await.unwrap().unwrap().value, bytes("old"));
    assert_eq!(keys(&before.scan(ITEMS, &all(), 10).await.unwrap()), ["a", "b"]);
    let after = store.snapshot().await.unwrap();
    assert_eq!(keys(&after.scan(ITEMS, &all(), 10).await.unwrap()), ["a", "c"]);
}

pub(crate) async fn scans_in_order_within_bounds(store: AnyStore) {
    store.commit(writes(["b", "a", "d", "c", "ab", "\u{ff}"].map(|key| put(key, "x")).to_vec())).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    let forward = async |range: KeyRange, limit| snapshot.scan(ITEMS, &range, limit).await.unwrap();
    let reverse = async |range: KeyRange, limit| snapshot.scan_reverse(ITEMS, &range, limit).await.unwrap();
    assert_eq!(keys(&forward(all(), 100).await), ["a", "ab", "b", "c", "d", "\u{ff}"]);
    assert_eq!(keys(&forward(range("ab", "d"), 100).await), ["ab", "b", "c"]);
    assert_eq!(keys(&forward(range("ab", "d"), 2).await), ["ab", "b"]);
    assert_eq!(keys(&reverse(range("ab", "d"), 2).await), ["c", "b"]);
    assert_eq!(keys(&reverse(all(), 100).await), ["\u{ff}", "d", "c", "b", "ab", "a"]);
    assert_eq!(keys(&forward(all(), 0).await), [""; 0]);
    assert_eq!(keys(&forward(range("b", "b"), 9).await), [""; 0]);
    assert_eq!(keys(&forward(range("c", "a"), 9).await), [""; 0]);
    assert_eq!(keys(&reverse(range("c", "a"), 9).await), [""; 0]);
}

pub(crate) async fn refuses_stale_versions_whole(store: AnyStore) {
    let first = store.commit(writes(vec![put("a", "1")])).await.unwrap();
    let guarded = |version| Batch {
        expect: vec![expect_version("a", version)],
        writes: vec![put("a", "2"), put("b", "2")],
        log: vec![bytes("event")],
    };
    for wrong in [None, Some(Revision(0)), Some(Revision(first.0 + 1))] {
        assert!(matches!(store.commit(guarded(wrong)).await, Err(CommitError::Conflict)));
    }
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.revision(), first);
    assert_eq!(keys(&snapshot.scan(ITEMS, &all(), 9).await.unwrap()), ["a"]);
    assert_eq!(store.log_after(first, 9).await.unwrap(), []);
    drop(snapshot);
    store.commit(guarded(Some(first))).await.unwrap();
    assert!(matches!(store.commit(guarded(Some(first))).await, Err(CommitError::Conflict)));
    let absent = Batch { expect: vec![expect_version("new", None)], writes: vec![put("new", "1")], log: vec![] };
    store.commit(absent.clone()).await.unwrap();
    assert!(matches!(store.commit(absent).await, Err(CommitError::Conflict)));
}

pub(crate) async fn range_expectations_see_inserts_changes_and_deletions(store: AnyStore) {
    store.commit(writes(vec![put("a", "1"), put("c", "1"), put("x", "1")])).await.unwrap();
    for (change, disturbs) in
        [(put("b", "1"), true), (put("a", "2"), true), (delete("c"), true), (put("y", "1"), false), (delete("zz"), false)]
    {
        let expect = expect_range(&store, range("a", "d"), 100).await;
        let probe = Batch { expect: vec![expect], writes: vec![put("probe", "1")], log: vec![] };
        store.commit(probe.clone()).await.unwrap();
        store.commit(writes(vec![change.clone()])).await.unwrap();
        assert_eq!(matches!(store.commit(probe).await, Err(CommitError::Conflict)), disturbs, "{change:?}");
    }
}

pub(crate) async fn a_full_scan_is_not_disturbed_behind_its_end(store: AnyStore) {
    store.commit(writes(vec![put("a", "1"), put("b", "1"), put("c", "1")])).await.unwrap();
    let expect = expect_range(&store, all(), 2).await;
    let probe = |key: &str| Batch { expect: vec![expect.clone()], writes: vec![put(key, "1")], log: vec![] };
    store.commit(writes(vec![delete("c"), put("d", "1")])).await.unwrap();
    store.commit(probe("zz")).await.unwrap();
    store.commit(writes(vec![put("aa", "1")])).await.unwrap();
    assert!(matches!(store.commit(probe("zz")).await, Err(CommitError::Conflict)));
}

pub(crate) async fn logs_in_the_same_commit(store: AnyStore) {
    store.commit(Batch { expect: vec![], writes: vec![put("a", "1"), delete("b")], log: vec![bytes("one"), bytes("")] }).await.unwrap();
    store.commit(Batch { expect: vec![], writes: vec![], log: vec![bytes("denied")] }).await.unwrap();
    store.commit(writes(vec![put("c", "1")])).await.unwrap();
    let rows = store.log_after(Revision(0), 10).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.revision.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(rows[0].entries, [bytes("one"), bytes("")]);
    assert_eq!(rows[0].changed, [("items".to_owned(), bytes("a")), ("items".to_owned(), bytes("b"))]);
    assert_eq!((rows[1].entries.clone(), rows[1].changed.len()), (vec![bytes("denied")], 0));
    assert_eq!(rows[2].entries.len(), 0);
    assert_eq!(store.log_after(Revision(1), 1).await.unwrap(), rows[1..2]);
    for (after, limit) in [(0, 10), (0, 2), (1, 1), (2, 9), (3, 9), (u64::MAX, 9)] {
        let rows = store.log_after(Revision(after), limit).await.unwrap().into_iter().map(ChangedRow::from);
        assert_eq!(store.changes_after(Revision(after), limit).await.unwrap(), rows.collect::<Vec<_>>(), "after {after}");
    }
    let touched = async |after, table| {
        let touched = store.touched_after(Revision(after), &[&[Table("other")], &[Table(table)]]).await.unwrap();
        (touched.revision.0, touched.is_touched)
    };
    assert_eq!((touched(0, "items").await, touched(2, "items").await, touched(3, "items").await), ((3, true), (3, true), (3, false)));
    assert_eq!((touched(0, "item").await, touched(1, "other").await), ((3, false), (3, false)));
    let entry = async |revision, index| store.log_entry(Revision(revision), index).await.unwrap();
    assert_eq!((entry(1, 0).await, entry(1, 1).await, entry(2, 0).await), (Some(bytes("one")), Some(bytes("")), Some(bytes("denied"))));
    assert_eq!((entry(1, 2).await, entry(3, 0).await, entry(0, 0).await, entry(9, 0).await), (None, None, None, None));
    assert_eq!(store.log_after(Revision(3), 9).await.unwrap(), []);
    assert_eq!(store.log_after(Revision(u64::MAX), 9).await.unwrap(), []);
    let newest: Vec<u64> = store.log_before(None, 2).await.unwrap().iter().map(|row| row.revision.0).collect();
    assert_eq!(newest, [3, 2]);
    assert_eq!(store.log_before(Some(Revision(2)), 9).await.unwrap(), rows[..1]);
    assert_eq!(store.log_before(Some(Revision(0)), 9).await.unwrap(), []);
}

pub(crate) async fn prunes_its_log_from_the_beginning(store: AnyStore) {
    for number in 0..10 {
        store.commit(Batch { expect: vec![], writes: vec![put(&number.to_string(), "1")], log: vec![bytes("e")] }).await.unwrap();
    }
    let left = async || store.log_after(Revision(0), 100).await.unwrap().iter().map(|row| row.revision.0).collect::<Vec<_>>();
    assert_eq!(store.prune_log(Revision(0), 100).await.unwrap(), 0);
    assert_eq!(store.prune_log(Revision(6), 2).await.unwrap(), 2);
    assert_eq!(left().await, [3, 4, 5, 6, 7, 8, 9, 10]);
    assert_eq!(store.prune_log(Revision(6), 100).await.unwrap(), 3);
    // The newest row stays whatever is asked for, and rows of tables are not touched.
    assert_eq!(store.prune_log(Revision(u64::MAX), 100).await.unwrap(), 4);
    assert_eq!(left().await, [10]);
    assert_eq!((*store.head().borrow(), store.newest()), (Revision(10), Revision(10)));
    assert_eq!(store.snapshot().await.unwrap().scan(ITEMS, &all(), 100).await.unwrap().len(), 10);
    assert_eq!(store.commit(writes(vec![put("z", "1")])).await.unwrap(), Revision(11));
    assert_eq!(store.log_before(None, 9).await.unwrap().len(), 2);
}

pub(crate) async fn numbers_commits_without_gaps(store: AnyStore) {
    let tasks = (0..40).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            store.commit(Batch { expect: vec![], writes: vec![put(&task.to_string(), "1")], log: vec![bytes("e")] }).await.unwrap().0
        })
    });
    let mut revisions = Vec::new();
    for task in tasks.collect::<Vec<_>>() {
        revisions.push(task.await.unwrap());
    }
    revisions.sort_unstable();
    assert_eq!(revisions, (1..=40).collect::<Vec<_>>());
    let logged: Vec<u64> = store.log_after(Revision(0), 100).await.unwrap().iter().map(|row| row.revision.0).collect();
    assert_eq!(logged, revisions);
}

pub(crate) async fn an_empty_batch_has_no_revision(store: AnyStore) {
    assert_eq!(store.commit(Batch::default()).await.unwrap(), Revision(0));
    let first = store.commit(writes(vec![put("a", "1")])).await.unwrap();
    let check = |version| Batch { expect: vec![expect_version("a", version)], ..Batch::default() };
    assert_eq!(store.commit(check(Some(first))).await.unwrap(), first);
    assert!(matches!(store.commit(check(None)).await, Err(CommitError::Conflict)));
    assert_eq!(store.log_after(Revision(0), 9).await.unwrap().len(), 1);
}

pub(crate) async fn the_head_can_be_awaited(store: AnyStore) {
    let mut head = store.head();
    let waiter = tokio::spawn(async move { head.wait_for(|head| *head >= Revision(2)).await.map(|head| *head).unwrap() });
    store.commit(writes(vec![put("a", "1")])).await.unwrap();
    store.commit(writes(vec![put("a", "2")])).await.unwrap();
    assert_eq!(waiter.await.unwrap(), Revision(2));
    assert_eq!(*store.head().borrow(), Revision(2));
}

pub(crate) async fn refuses_what_is_over_the_limits(store: AnyStore) {
    let long = Bytes::from(vec![7; MAX_KEY_BYTES + 1]);
    let longest = Bytes::from((0..MAX_KEY_BYTES).map(|index| u8::try_from(index * 7919 % 251).unwrap()).collect::<Vec<_>>());
    let over = [
        writes(vec![Write::Put { table: ITEMS, key: long.clone(), value: Bytes::new() }]),
        writes(vec![Write::Delete { table: ITEMS, key: long.clone() }]),
        writes(vec![Write::Delete { table: Table("with\0zero"), key: Bytes::new() }]),
        writes(vec![Write::Delete { table: Table(""), key: Bytes::new() }]),
        writes(vec![delete("a"); MAX_BATCH_ITEMS + 1]),
        Batch { expect: vec![Expect::Version { table: ITEMS, key: long, version: None }], ..Batch::default() },
    ];
    for batch in over {
        assert!(matches!(store.commit(batch).await, Err(CommitError::Store(StoreError::Limit(_)))));
    }
    store.commit(writes(vec![Write::Put { table: ITEMS, key: longest.clone(), value: Bytes::new() }])).await.unwrap();
    assert!(store.snapshot().await.unwrap().get(ITEMS, &longest).await.unwrap().is_some());
}

pub(crate) async fn tables_do_not_touch(store: AnyStore) {
    let other = |key: &str| Write::Put { table: OTHERS, key: bytes(key), value: bytes("other") };
    store.commit(writes(vec![put("a", "1"), put("", "empty key"), other("a"), other("b")])).await.unwrap();
    store.commit(writes(vec![delete("a")])).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(keys(&snapshot.scan(ITEMS, &all(), 9).await.unwrap()), [""]);
    assert_eq!(keys(&snapshot.scan(OTHERS, &all(), 9).await.unwrap()), ["a", "b"]);
    assert_eq!(keys(&snapshot.scan_reverse(OTHERS, &all(), 9).await.unwrap()), ["b", "a"]);
}

pub(crate) async fn increment(store: &AnyStore, key: &str) {
    loop {
        let found = store.snapshot().await.unwrap().get(ITEMS, key.as_bytes()).await.unwrap();
        let count: u64 = found.as_ref().map_or(0, |row| std::str::from_utf8(&row.value).unwrap().parse().unwrap());
        let expect = vec![expect_version(key, found.map(|row| row.version))];
        match store.commit(Batch { expect, writes: vec![put(key, &(count + 1).to_string())], log: vec![bytes(key)] }).await {
            Ok(_) => return,
            Err(CommitError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(crate) async fn counts_exactly_under_concurrency(store: AnyStore) {
    const TASKS: usize = 64;
    const ROUNDS: usize = 5;
    let counters = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    increment(&store, counters[(task + round) % counters.len()]).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let snapshot = store.snapshot().await.unwrap();
    let rows = snapshot.scan(ITEMS, &all(), 100).await.unwrap();
    let total: usize = rows.iter().map(|row| std::str::from_utf8(&row.value).unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(total, TASKS * ROUNDS);
    assert_eq!(snapshot.revision().0, (TASKS * ROUNDS) as u64);
    assert_eq!(store.log_after(Revision(0), 10_000).await.unwrap().len(), TASKS * ROUNDS);
}

/// All in flight at once: most of them are judged against predecessors of the same group.
pub(crate) async fn racing_inserts_have_one_winner(store: AnyStore) {
    let empty = fingerprint(std::iter::empty());
    let guards =
        [expect_version("prize", None), Expect::Range { table: ITEMS, range: range("prize", "prizf"), limit: 1, fingerprint: empty }];
    for (round, guard) in guards.into_iter().enumerate() {
        store.commit(writes(vec![delete("prize")])).await.unwrap();
        let tasks: Vec<_> = (0..32)
            .map(|task| {
                let (store, guard) = (store.clone(), guard.clone());
                let mine = format!("{round}/{task}");
                tokio::spawn(async move {
                    store.commit(Batch { expect: vec![guard], writes: vec![put("prize", &mine)], log: vec![] }).await.ok().map(|_| mine)
                })
            })
            .collect();
        let mut winners = Vec::new();
        for task in tasks {
            winners.extend(task.await.unwrap());
        }
        let prize = store.snapshot().await.unwrap().get(ITEMS, b"prize").await.unwrap().unwrap();
        assert_eq!(winners, [std::str::from_utf8(&prize.value).unwrap()]);
    }
}

pub(crate) async fn leases_have_one_holder(store: AnyStore) {
    let tasks: Vec<_> = (0..10)
        .map(|node| {
            let store = store.clone();
            tokio::spawn(async move { Jobs::new(store, format!("node-{node}"), 1_000).acquire("rotate", 5_000).await.unwrap() })
        })
        .collect();
    let mut held = Vec::new();
    for task in tasks {
        held.extend(task.await.unwrap());
    }
    assert_eq!(held.len(), 1);
    let lease = held.pop().unwrap();
    assert_eq!((lease.token, lease.expires_at_ms), (1, 6_000));
    let jobs = Jobs::new(store.clone(), "late", 1_000);
    assert!(jobs.acquire("rotate", 5_999).await.unwrap().is_none());
    assert!(jobs.acquire("another", 5_999).await.unwrap().is_some());
    jobs.release(lease).await.unwrap();
    assert_eq!(jobs.acquire("rotate", 5_999).await.unwrap().unwrap().token, 2);
}

pub(crate) async fn a_stale_lease_commits_nothing(store: AnyStore) {
    let (slow, quick) = (Jobs::new(store.clone(), "slow", 1_000), Jobs::new(store.clone(), "quick", 1_000));
    let mut stale = slow.acquire("scan", 0).await.unwrap().unwrap();
    let current = quick.acquire("scan", 1_000).await.unwrap().unwrap();
    assert!(current.token > stale.token);
    let head = *store.head().borrow();
    assert!(matches!(slow.commit_fenced(&stale, writes(vec![put("result", "stale")])).await, Err(JobError::Lost(_))));
    assert!(matches!(slow.renew(&mut stale, 1_001).await, Err(JobError::Lost(_))));
    assert!(matches!(slow.complete(stale.clone(), writes(vec![put("result", "stale")])).await, Err(JobError::Lost(_))));
    assert!(matches!(slow.release(stale).await, Err(JobError::Lost(_))));
    assert_eq!(*store.head().borrow(), head);
    let conflict = Batch { expect: vec![expect_version("result", Some(Revision(9)))], ..Batch::default() };
    assert!(matches!(quick.commit_fenced(&current, conflict).await, Err(JobError::Commit(CommitError::Conflict))));
    quick.complete(current, writes(vec![put("result", "good")])).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.get(ITEMS, b"result").await.unwrap().unwrap().value, bytes("good"));
    assert_eq!(snapshot.scan(LEASES, &all(), 9).await.unwrap().len(), 2);
    assert_eq!(slow.acquire("scan", 1_002).await.unwrap().unwrap().token, 3);
}

pub(crate) async fn a_renewal_does_not_disturb_the_work(store: AnyStore) {
    let jobs = Jobs::new(store.clone(), "node", 1_000);
    let mut lease = jobs.acquire("scan", 0).await.unwrap().unwrap();
    let prepared = Batch { expect: vec![lease.fence()], writes: vec![put("step", "1")], log: vec![] };
    jobs.renew(&mut lease, 900).await.unwrap();
    assert_eq!(lease.expires_at_ms, 1_900);
    store.commit(prepared).await.unwrap();
    assert!(Jobs::new(store, "other", 1_000).acquire("scan", 1_500).await.unwrap().is_none());
}
