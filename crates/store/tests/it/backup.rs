//! Backups between engines, format versions, the committed sample, and the memory engine's reset.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use store::{Batch, FORMAT_VERSION, KeyRange, MemoryStore, PostgresStore, RedbStore, Revision, Store, StoreError, Table, Write};

use crate::suite::{ITEMS, OTHERS, bytes, put};
use crate::{engines, postgres};

async fn fill(store: &dyn Store) {
    let other = Write::Put { table: OTHERS, key: Bytes::from_static(&[0, 1, 255]), value: Bytes::from_static(b"\0binary\xff") };
    store
        .commit(Batch { expect: vec![], writes: vec![put("a", "1"), put("b", "1"), other], log: vec![bytes("first"), bytes("second")] })
        .await
        .unwrap();
    store
        .commit(Batch { expect: vec![], writes: vec![put("a", "2"), Write::Delete { table: ITEMS, key: bytes("b") }], log: vec![] })
        .await
        .unwrap();
    store.commit(Batch { expect: vec![], writes: vec![], log: vec![bytes("denied")] }).await.unwrap();
}

/// Everything that can be read, as text.
async fn dump(store: &dyn Store) -> String {
    let snapshot = store.snapshot().await.unwrap();
    let mut out = format!("head {}\n", snapshot.revision().0);
    for table in [ITEMS, OTHERS] {
        for row in snapshot.scan(table, &KeyRange { start: Bytes::new(), end: None }, 100).await.unwrap() {
            out += &format!("{} {:?} @{} {:?}\n", table.0, row.key, row.version.0, row.value);
        }
    }
    for row in store.log_after(Revision(0), 100).await.unwrap() {
        out += &format!("log {} {:?} {:?}\n", row.revision.0, row.entries, row.changed);
    }
    out
}

async fn restored(backup: &Path, folder: &Path) {
    let original = MemoryStore::new();
    fill(&original).await;
    let expected = dump(&original).await;
    assert_eq!(dump(&MemoryStore::restore(backup).unwrap()).await, expected);
    let copy = RedbStore::restore(backup, &folder.join("copy.redb")).unwrap();
    assert_eq!(dump(&copy).await, expected);
    assert_eq!(copy.commit(Batch { writes: vec![put("c", "1")], ..Batch::default() }).await.unwrap(), Revision(4));
    // A backup is itself a store file.
    assert_eq!(dump(&RedbStore::open(backup).unwrap()).await, expected);
}

#[tokio::test]
async fn memory_backup() {
    let folder = tempfile::tempdir().unwrap();
    let (store, backup) = (MemoryStore::new(), folder.path().join("backup.redb"));
    fill(&store).await;
    assert_eq!(store.backup(&backup).await.unwrap(), Revision(3));
    assert!(store.backup(&backup).await.is_err(), "a backup never replaces a file");
    restored(&backup, folder.path()).await;
}

#[tokio::test]
async fn redb_backup_while_writing() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, backup) = (engines::redb(), folder.path().join("backup.redb"));
    fill(&*engine.store).await;
    engine.store.backup(&backup).await.unwrap();
    restored(&backup, folder.path()).await;

    // Under load the copy is some whole prefix of the history.
    let store = engine.store.clone();
    let writer = tokio::spawn(async move {
        for number in 0..60 {
            let keys = [put("left", &number.to_string()), put("right", &number.to_string())];
            store.commit(Batch { expect: vec![], writes: keys.to_vec(), log: vec![bytes("e")] }).await.unwrap();
        }
    });
    for number in 0..3 {
        let backup = folder.path().join(format!("{number}.redb"));
        let revision = engine.store.backup(&backup).await.unwrap();
        let copy = MemoryStore::restore(&backup).unwrap();
        let snapshot = copy.snapshot().await.unwrap();
        assert_eq!(snapshot.revision(), revision);
        assert_eq!(snapshot.get(ITEMS, b"left").await.unwrap(), snapshot.get(ITEMS, b"right").await.unwrap());
        assert_eq!(copy.log_before(None, 1).await.unwrap()[0].revision, revision);
    }
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_backup_and_restore() {
    let Some(cluster) = postgres::cluster() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let (store, backup) = (cluster.store("backup_from").await, folder.path().join("backup.redb"));
    fill(&store).await;
    store.backup(&backup).await.unwrap();
    restored(&backup, folder.path()).await;
    let expected = dump(&store).await;
    let copy = PostgresStore::restore(cluster.config("backup_to"), &backup).await.unwrap();
    assert_eq!(dump(&copy).await, expected);
    assert_eq!(copy.commit(Batch { writes: vec![put("c", "1")], ..Batch::default() }).await.unwrap(), Revision(4));
    assert!(PostgresStore::restore(cluster.config("backup_to"), &backup).await.is_err(), "a restore never replaces data");
}

/// The sample was written by the first version of this code. It must stay readable for ever: never write it again.
#[tokio::test]
async fn format_version_1_stays_readable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/format-1.redb");
    if !sample.exists() && std::env::var_os("BAILIWICK_WRITE_SAMPLE").is_some() {
        let store = MemoryStore::new();
        fill(&store).await;
        store.backup(&sample).await.unwrap();
    }
    std::fs::copy(&sample, &path).unwrap();
    let store = RedbStore::open(&path).unwrap();
    insta::assert_snapshot!(dump(&store).await, @r#"
    head 3
    items b"a" @2 b"2"
    items.others b"\0\x01\xff" @1 b"\0binary\xff"
    log 1 [b"first", b"second"] [("items", b"a"), ("items", b"b"), ("items.others", b"\0\x01\xff")]
    log 2 [] [("items", b"a"), ("items", b"b")]
    log 3 [b"denied"] []
    "#);
    assert_eq!(store.commit(Batch { writes: vec![put("c", "1")], ..Batch::default() }).await.unwrap(), Revision(4));
}

#[tokio::test]
async fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    drop(RedbStore::open(&path).unwrap());
    let database = redb::Database::open(&path).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<&str, u64>::new("meta")).unwrap().insert("format", FORMAT_VERSION + 1).unwrap();
    write.commit().unwrap();
    drop(database);
    assert!(matches!(MemoryStore::restore(&path), Err(StoreError::UnsupportedFormat { found: 2, supported: 1 })));
    insta::assert_snapshot!(RedbStore::open(&path).err().unwrap(), @"the store has format version `2`, but this program reads versions up to `1`: use a newer program");
}

#[tokio::test]
async fn foreign_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(&text, "not a database, but long enough to look at".repeat(300)).unwrap();
    assert!(RedbStore::open(&text).is_err());
    let foreign = folder.path().join("foreign.redb");
    let database = redb::Database::create(&foreign).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(redb::TableDefinition::<&str, u64>::new("something")).unwrap();
    write.commit().unwrap();
    drop(database);
    assert!(matches!(RedbStore::open(&foreign), Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn a_store_file_has_one_opener_and_private_mode() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let store = RedbStore::open(&path).unwrap();
    assert!(matches!(RedbStore::open(&path), Err(StoreError::Unavailable(_))));
    store.commit(Batch { writes: vec![put("a", "1")], ..Batch::default() }).await.unwrap();
    drop(store);
    assert_eq!(*RedbStore::open(&path).unwrap().head().borrow(), Revision(1));
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
}

#[tokio::test]
async fn memory_goes_back_to_an_earlier_state() {
    let store = Arc::new(MemoryStore::new());
    for number in 0..2_000 {
        store.commit(Batch { expect: vec![], writes: vec![put(&number.to_string(), "1")], log: vec![bytes("boot")] }).await.unwrap();
    }
    let state = store.clone_state();
    let expected = dump(&*store).await;
    let old = store.snapshot().await.unwrap();
    for number in 0..500 {
        store
            .commit(Batch { expect: vec![], writes: vec![put(&number.to_string(), "2"), put(&format!("new {number}"), "2")], log: vec![] })
            .await
            .unwrap();
    }
    assert_ne!(dump(&*store).await, expected);
    store.restore_state(&state);
    assert_eq!(dump(&*store).await, expected);
    assert_eq!(old.get(ITEMS, b"7").await.unwrap().unwrap().value, bytes("1"));
    assert_eq!(*store.head().borrow(), Revision(2_000));
    assert_eq!(store.commit(Batch { writes: vec![put("again", "1")], ..Batch::default() }).await.unwrap(), Revision(2_001));
    assert!(store.snapshot().await.unwrap().get(Table("items"), b"new 7").await.unwrap().is_none());
}
