//! What both backends must do, and what is special to the local one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use object_store::memory::InMemory;
use objects::{LocalBackend, ObjectError, ObjectName, ObjectVault, RemoteBackend};

use crate::{CONTEXT, files, get, key, local, message, names, pieces, put};

async fn keeps_objects(vault: &ObjectVault) {
    let bytes = message(20 * 1024 * 1024 + 3);
    let large = put(vault, &bytes).await;
    let empty = put(vault, &Bytes::new()).await;
    assert!(get(vault, &large, 0..large.plaintext_length).await.unwrap() == bytes);
    assert_eq!(get(vault, &empty, 0..0).await.unwrap(), b"");
    let mut expected = vec![large.name.to_string(), empty.name.to_string()];
    expected.sort();
    assert_eq!(names(vault).await, expected);
    let listed: Vec<_> = vault.list().map(Result::unwrap).collect().await;
    assert!(listed.iter().any(|listed| listed.name == large.name && listed.length == large.ciphertext_length));
    assert!(vault.exists(&large.name).await.unwrap());
    vault.delete(&large.name).await.unwrap();
    vault.delete(&large.name).await.unwrap();
    assert!(!vault.exists(&large.name).await.unwrap());
    assert!(matches!(get(vault, &large, 0..1).await, Err(ObjectError::Missing(_))));
    assert_eq!(names(vault).await, [empty.name.to_string()]);
}

#[tokio::test]
async fn local_keeps_objects() {
    keeps_objects(&local().vault).await;
}

#[tokio::test]
async fn remote_keeps_objects() {
    keeps_objects(&ObjectVault::new(Arc::new(RemoteBackend::new(Arc::new(InMemory::new()), "some/prefix")))).await;
}

#[tokio::test]
async fn a_failing_source_leaves_nothing() {
    let local = local();
    let remote = ObjectVault::new(Arc::new(RemoteBackend::new(Arc::new(InMemory::new()), "")));
    for vault in [&local.vault, &remote] {
        let broken = pieces(&message(3_000_000), 100_000).chain(stream::iter([Err(std::io::Error::other("the client went away"))]));
        assert!(matches!(vault.put(&key(), CONTEXT, 0, broken).await, Err(ObjectError::Source(_))));
        assert_eq!(names(vault).await, [""; 0]);
    }
    assert_eq!(files(local.folder.path()).len(), 0);
}

#[tokio::test]
async fn a_put_that_is_given_up_leaves_nothing() {
    let local = local();
    let endless = pieces(&message(3_000_000), 100_000).chain(stream::pending());
    let key = key();
    let mut put = Box::pin(local.vault.put(&key, CONTEXT, 0, endless));
    // Polled until the source has nothing more to give, then dropped.
    while files(local.folder.path()).iter().map(|path| path.metadata().map_or(0, |metadata| metadata.len())).sum::<u64>() < 2_000_000 {
        assert!(tokio::time::timeout(std::time::Duration::from_millis(1), &mut put).await.is_err());
    }
    drop(put);
    assert_eq!(files(local.folder.path()).len(), 0);
}

#[tokio::test]
async fn staged_leftovers_of_a_crash_are_never_seen_and_go_away() {
    let local = local();
    let kept = put(&local.vault, &message(10)).await;
    let leftover = local.folder.path().join("staging").join("0123456789abcdef0123456789abcdef");
    std::fs::write(&leftover, b"half an object").unwrap();
    std::fs::write(local.folder.path().join("00").join("not-ours"), b"x").unwrap();
    assert_eq!(names(&local.vault).await, [kept.name.to_string()]);
    let vault = ObjectVault::new(Arc::new(LocalBackend::open(local.folder.path()).unwrap()));
    assert!(!leftover.exists());
    assert_eq!(get(&vault, &kept, 0..10).await.unwrap(), message(10));
}

#[tokio::test]
async fn a_read_under_way_survives_the_deletion() {
    let local = local();
    let bytes = message(3_000_000);
    let stored = put(&local.vault, &bytes).await;
    let mut stream =
        Box::pin(local.vault.get(&key(), CONTEXT, stored.source(), stored.plaintext_length, 0..stored.plaintext_length).await.unwrap());
    let mut read = stream.next().await.unwrap().unwrap().to_vec();
    local.vault.delete(&stored.name).await.unwrap();
    while let Some(piece) = stream.next().await {
        read.extend(piece.unwrap());
    }
    assert!(read == bytes);
}

#[test]
fn names_lead_nowhere_else() {
    for name in [
        "",
        "../../etc/passwd",
        "0123456789abcdef0123456789abcde",
        "0123456789ABCDEF0123456789abcdef",
        "0123456789abcdef0123456789abcdef0",
        "é123456789abcdef0123456789abcde",
    ] {
        assert!(matches!(ObjectName::parse(name), Err(ObjectError::Name(_))), "{name}");
    }
    assert!(ObjectName::parse("0123456789abcdef0123456789abcdef").is_ok());
}

#[cfg(unix)]
#[tokio::test]
async fn files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let local = local();
    put(&local.vault, &message(10)).await;
    for path in files(local.folder.path()) {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(path.parent().unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
}
