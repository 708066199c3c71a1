//! The ledger against the plain walk over the log, over restarts, other nodes and stores that fail.

use trail::statement::subject;
use trail::{Leaf, Ledger, Statement, StatementKind};
use transparency::merkle::{leaf_hash, root, sha256, verify_consistency, verify_inclusion};
use transparency::{Checkpoint, Hash, TilePath};

use super::*;

fn ledger(store: &Arc<MemoryStore>) -> Ledger {
    Ledger::new(Arc::clone(store) as Arc<dyn Store>, Arc::new(Pad), "example.com/log".to_owned())
}

async fn fill(store: &MemoryStore, from: u32, count: u32) {
    for number in (from..from + count).step_by(3) {
        let name = ["CreateKey", "GetKeyPolicy", "DisableKey"][(number % 7 % 3) as usize];
        let account = if number % 11 == 0 { "222222222222" } else { ACCOUNT };
        let error = (number % 13 == 0).then_some("AccessDeniedException");
        let rows: Vec<(Entry, i64)> =
            (number..(number + 3).min(from + count)).map(|number| (entry(account, name, number, error), i64::from(number) * 10)).collect();
        commit(store, &rows).await;
    }
}

/// The leaves as the log has them, whatever the ledger thinks.
async fn leaves(store: &MemoryStore) -> Vec<Hash> {
    let rows = store.log_after(Revision(0), u32::MAX).await.unwrap();
    let of = |bytes: &bytes::Bytes| match Entry::record_hash(bytes) {
        Some(hash) => Leaf::Event(hash),
        None => Leaf::Statement(Statement::parse(bytes).unwrap()),
    };
    rows.iter().flat_map(|row| &row.entries).map(|bytes| of(bytes).hash()).collect()
}

async fn checkpoint(ledger: &Ledger) -> Checkpoint {
    let note = ledger.checkpoint(1_795_382_935).await.unwrap();
    assert_eq!(note.verified_by(&ledger.verifier_keys().await.unwrap()).unwrap().len(), 2, "Ed25519 and ML-DSA-44");
    Checkpoint::parse(&note.text).unwrap()
}

#[tokio::test]
async fn a_record_is_hashed_as_it_is_delivered() {
    let entry = entry(ACCOUNT, "CreateKey", 1, Some("AccessDenied"));
    let bytes = entry.to_bytes(&Pad, 5).unwrap();
    let open = Entry::open_whole(&bytes, &Pad).unwrap();
    assert_eq!(open.record_json, serde_json::to_string(&entry.record).unwrap());
    assert_eq!(Entry::record_hash(&bytes).unwrap(), sha256(open.record_json.as_bytes()));
    assert!(open.entry.is_denied());
}

#[tokio::test]
async fn every_entry_is_one_leaf_across_restarts_and_nodes() {
    let store = Arc::new(MemoryStore::new());
    let (mut first, second) = (ledger(&store), ledger(&store));
    let mut seen = Vec::new();
    for round in 0..6_u32 {
        fill(&store, round * 1000, 400).await;
        let statement = Statement::new(StatementKind::LogFile, 9, subject("arn"), "bucket/key", sha256(b"content"));
        store.commit(Batch { log: vec![statement.to_bytes()], ..Batch::default() }).await.unwrap();
        // A node that is killed forgets its tail; another one writes the same bundles.
        if round % 2 == 0 {
            first = ledger(&store);
        } else {
            second.advance().await.unwrap();
        }
        let point = checkpoint(&first).await;
        assert_eq!(point.size, u64::from(round + 1) * 401);
        seen.push(point);
    }
    let all = leaves(&store).await;
    for point in &seen {
        let size = usize::try_from(point.size).unwrap();
        assert_eq!(point.root, root(all.iter().copied().take(size)), "{size} leaves");
    }
    let last = seen.last().unwrap();
    assert_eq!(checkpoint(&second).await.root, last.root);
    for point in &seen {
        let proof = first.consistency(point.size, last.size).await.unwrap();
        verify_consistency(&proof, point.size, &point.root, last.size, &last.root).unwrap();
    }
    for leaf in [0, 255, 256, 2000, last.size - 1] {
        let proof = first.inclusion(leaf, last.size).await.unwrap();
        verify_inclusion(&proof, leaf, &all[usize::try_from(leaf).unwrap()], last.size, &last.root).unwrap();
    }
    assert!(first.inclusion(last.size, last.size + 1).await.is_err());
    // What is served is what the tree was made of.
    for (number, hashes) in all.chunks(256).enumerate() {
        let path = |level| TilePath { level, number: number as u64, width: u16::try_from(hashes.len()).unwrap() };
        let tile = first.file(path(Some(0))).await.unwrap().unwrap();
        assert_eq!(tile.bytes, hashes.concat());
        let bundle = first.file(path(None)).await.unwrap().unwrap();
        let entries = transparency::tile::split_bundle(&bundle.bytes).unwrap();
        assert_eq!(entries.into_iter().map(leaf_hash).collect::<Vec<_>>(), hashes);
    }
    assert_eq!(first.file(TilePath { level: Some(0), number: 999, width: 256 }).await.unwrap(), None);
    assert_eq!(first.file(TilePath { level: Some(3), number: 0, width: 1 }).await.unwrap(), None);
}

#[tokio::test]
async fn pruning_takes_bodies_and_leaves_every_proof() {
    let store = Arc::new(MemoryStore::new());
    let index = ledger(&store);
    fill(&store, 0, 3000).await;
    let statement = Statement::new(StatementKind::LogFile, 9, subject("arn"), "bucket/key", sha256(b"content"));
    store.commit(Batch { log: vec![statement.to_bytes()], ..Batch::default() }).await.unwrap();
    fill(&store, 3000, 600).await;
    index.advance().await.unwrap();
    while index.compact().await.unwrap() {}
    let before = checkpoint(&index).await;
    let all = leaves(&store).await;
    // Events 0 to 1999 are older; whole bundles go, 7 of them, up to the row that the next one begins in.
    let pruned = index.prune(20_000, Revision(u64::MAX)).await.unwrap();
    assert_eq!(pruned.first_leaf, 7 * 256 - 1);
    assert_eq!(leaves(&store).await.len(), 3601 - (7 * 256 - 1));
    assert_eq!(index.prune(20_000, Revision(u64::MAX)).await.unwrap().rows, 0, "once is enough");
    for ledger in [index, ledger(&store)] {
        let after = checkpoint(&ledger).await;
        assert_eq!((after.size, after.root), (before.size, before.root));
        for leaf in [0, 255, 256, 1500, 2500, before.size - 1] {
            let proof = ledger.inclusion(leaf, before.size).await.unwrap();
            verify_inclusion(&proof, leaf, &all[usize::try_from(leaf).unwrap()], before.size, &before.root).unwrap();
        }
        let proof = ledger.consistency(300, before.size).await.unwrap();
        verify_consistency(&proof, 300, &root(all.iter().copied().take(300)), before.size, &before.root).unwrap();
        assert!(ledger.file(TilePath { level: None, number: 0, width: 256 }).await.unwrap().is_some());
        // Lookups find what is left, and nothing else.
        for filter in [filter(None), filter(Some(("EventName", "CreateKey"))), filter(Some(("EventId", "event-5")))] {
            let walked = lookup(store.as_ref(), &Pad, &filter, None, usize::MAX).await.unwrap();
            let expected: Vec<String> = walked.entries.into_iter().map(|entry| entry.record.event_id).collect();
            assert_eq!(ids(&ledger, &filter, 50).await, expected, "{filter:?}");
        }
    }
    let known: Vec<Hash> = trail::all_leaves(store.as_ref()).await.unwrap().iter().map(Leaf::hash).collect();
    assert_eq!(known, all);
}

#[tokio::test]
async fn pruning_stops_at_what_is_still_needed() {
    let store = Arc::new(MemoryStore::new());
    let index = ledger(&store);
    fill(&store, 0, 1200).await;
    assert_eq!(index.prune(i64::MAX, Revision(5)).await.unwrap().rows, 4);
    assert_eq!(store.log_after(Revision(0), 1).await.unwrap().first().unwrap().revision, Revision(5));
    // Leaves that are in no full bundle keep their rows: the tree's tail is made of them.
    index.prune(i64::MAX, Revision(u64::MAX)).await.unwrap();
    let size = checkpoint(&index).await.size;
    fill(&store, 1200, 300).await;
    assert_eq!(checkpoint(&ledger(&store)).await.root, checkpoint(&index).await.root);
    assert_eq!(checkpoint(&index).await.size, size + 300);
}

async fn ids(ledger: &Ledger, filter: &Filter, page: usize) -> Vec<String> {
    let (mut found, mut before) = (Vec::new(), None);
    loop {
        let events = ledger.lookup(filter, before, page).await.unwrap();
        assert!(events.entries.len() <= page);
        found.extend(events.entries.into_iter().map(|entry| entry.record.event_id));
        before = events.next;
        if before.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn the_index_finds_what_a_walk_finds() {
    let store = Arc::new(MemoryStore::new());
    let index = ledger(&store);
    for round in 0..3_u32 {
        fill(&store, round * 10_000, 1500).await;
        index.advance().await.unwrap();
        while index.compact().await.unwrap() {}
    }
    let filters = [
        filter(None),
        filter(Some(("EventName", "CreateKey"))),
        filter(Some(("EventId", "event-10007"))),
        filter(Some(("RequestId", "request-20002"))),
        filter(Some(("ReadOnly", "TRUE"))),
        filter(Some(("Username", "ana"))),
        filter(Some(("ResourceType", "AWS::KMS::Key"))),
        filter(Some(("ResourceName", "1400"))),
        filter(Some(("ResourceName", "arn:aws:kms:us-east-1:111111111111:key/1400"))),
        filter(Some(("EventSource", "kms.amazonaws.com"))),
        filter(Some(("EventSource", "iam.amazonaws.com"))),
        filter(Some(("AccessKeyId", "AKIAEXAMPLE"))),
        filter(Some(("Unknown", "x"))),
        Filter { denied_only: true, ..filter(None) },
        Filter { insights: true, ..filter(None) },
        Filter { start_ms: Some(12_000), end_ms: Some(101_000), ..filter(Some(("EventName", "DisableKey"))) },
        Filter { start_ms: Some(201_000), ..filter(None) },
        Filter { account: "222222222222".to_owned(), ..filter(None) },
        Filter { account: "333333333333".to_owned(), ..filter(None) },
    ];
    for filter in &filters {
        let walked = lookup(store.as_ref(), &Pad, filter, None, usize::MAX).await.unwrap();
        let expected: Vec<String> = walked.entries.into_iter().map(|entry| entry.record.event_id).collect();
        assert_eq!(ids(&index, filter, 50).await, expected, "{filter:?}");
        assert_eq!(ids(&ledger(&store), filter, 333).await, expected, "after a restart: {filter:?}");
    }
}

#[tokio::test]
async fn a_store_that_is_set_back_is_read_anew() {
    let store = Arc::new(MemoryStore::new());
    let ledger = ledger(&store);
    fill(&store, 0, 300).await;
    let state = store.clone_state();
    ledger.advance().await.unwrap();
    fill(&store, 1000, 600).await;
    assert_eq!(checkpoint(&ledger).await.size, 900);
    store.restore_state(&state);
    ledger.forget();
    assert_eq!(checkpoint(&ledger).await.size, 300);
    assert_eq!(checkpoint(&ledger).await.root, root(leaves(&store).await));
}

#[tokio::test]
async fn entries_of_version_1_become_leaves_too() {
    let store = Arc::new(MemoryStore::new());
    let old = bytes::Bytes::from_static(include_bytes!("../data/entry-v1.bin"));
    store.commit(Batch { log: vec![old.clone()], ..Batch::default() }).await.unwrap();
    let ledger = ledger(&store);
    let open = Entry::open_whole(&old, &Pad).unwrap();
    let leaf = Leaf::Event(sha256(open.record_json.as_bytes()));
    assert_eq!(checkpoint(&ledger).await.root, leaf.hash());
    assert_eq!(ids(&ledger, &filter(Some(("EventName", "DisableKey"))), 10).await, ["event-7"]);
}

/// A store as an older program left it: entries of format 2, 300 in a row, and an index in coarse blocks.
#[tokio::test]
async fn a_store_with_an_older_index_goes_on() {
    let sample = zstd::bulk::decompress(include_bytes!("../data/ledger-v1.redb.zst"), 8 << 20).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.redb");
    std::fs::write(&path, sample).unwrap();
    let store = Arc::new(MemoryStore::restore(&path).unwrap());
    let index = ledger(&store);
    let before = checkpoint(&index).await;
    assert_eq!(before.size, 4500);
    assert_eq!(before.root, root(leaves(&store).await));
    let found = async || {
        for filter in
            [filter(Some(("EventId", "event-7"))), filter(Some(("ResourceName", "4099"))), filter(Some(("EventName", "DisableKey")))]
        {
            let walked = lookup(store.as_ref(), &Pad, &filter, None, usize::MAX).await.unwrap();
            let expected: Vec<String> = walked.entries.into_iter().map(|entry| entry.record.event_id).collect();
            assert!(!expected.is_empty());
            assert_eq!(ids(&index, &filter, 50).await, expected, "{filter:?}");
        }
    };
    found().await;
    // Runs of both cuts become one.
    let rows: Vec<Vec<(Entry, i64)>> = (0..62)
        .map(|row| (0..1000).map(|number| (entry(ACCOUNT, "GetKeyPolicy", 10_000 + row * 1000 + number, None), 50_000)).collect())
        .collect();
    for row in &rows {
        commit(store.as_ref(), row).await;
    }
    index.advance().await.unwrap();
    while index.compact().await.unwrap() {}
    found().await;
    assert_eq!(ids(&index, &filter(Some(("EventId", "event-71999"))), 50).await, ["event-71999"]);
    let proof = index.consistency(before.size, checkpoint(&index).await.size).await.unwrap();
    verify_consistency(&proof, before.size, &before.root, checkpoint(&index).await.size, &checkpoint(&index).await.root).unwrap();
}
