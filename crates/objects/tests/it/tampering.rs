//! What an attacker with the disk can do: every change is noticed before a wrong byte comes out.

use std::path::PathBuf;

use bytes::Bytes;
use futures_util::StreamExt as _;
use objects::{CHUNK_BYTES, DataKey, HEADER_BYTES, ObjectError, Stored};

use crate::{CONTEXT, Local, files, get, get_with, key, local, message, pieces, put};

fn path(local: &Local, stored: &Stored) -> PathBuf {
    files(local.folder.path()).into_iter().find(|path| path.ends_with(stored.name.as_str())).unwrap()
}

async fn stored(length: usize) -> (Local, Stored, PathBuf) {
    let local = local();
    let stored = put(&local.vault, &message(length)).await;
    let path = path(&local, &stored);
    (local, stored, path)
}

#[tokio::test]
async fn wrong_keys_and_contexts_are_refused_before_the_stream() {
    let (local, stored, _) = stored(100_000).await;
    let all = 0..stored.plaintext_length;
    let wrong_key = local.vault.get(&DataKey::new([8; 32]), CONTEXT, stored.source(), stored.plaintext_length, all.clone()).await;
    assert!(matches!(wrong_key.err(), Some(ObjectError::WrongKey)));
    assert!(matches!(get_with(&local.vault, &key(), b"bucket/version/2", &stored, all.clone()).await, Err(ObjectError::WrongKey)));
    assert!(get(&local.vault, &stored, all).await.is_ok());
}

#[tokio::test]
async fn every_flipped_byte_is_refused() {
    for length in [0, 1, 100, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 77] {
        let (local, stored, path) = stored(length).await;
        let intact = std::fs::read(&path).unwrap();
        let all = 0..stored.plaintext_length;
        // All of the header and of the end, and a sample of the rest.
        let positions =
            (0..intact.len()).filter(|position| *position < HEADER_BYTES + 40 || intact.len() - position < 40 || position % 997 == 3);
        for position in positions {
            let mut changed = intact.clone();
            changed[position] ^= 1 << (position % 8);
            std::fs::write(&path, changed).unwrap();
            let expected_chunk = position.saturating_sub(HEADER_BYTES) / (CHUNK_BYTES + 16);
            match get(&local.vault, &stored, all.clone()).await {
                Err(ObjectError::WrongKey) => assert!(position < HEADER_BYTES),
                Err(ObjectError::Damaged { chunk }) => {
                    assert!(position >= HEADER_BYTES && chunk == expected_chunk as u64);
                }
                other => panic!("byte {position} of {length}: {other:?}"),
            }
        }
        std::fs::write(&path, intact).unwrap();
        assert!(get(&local.vault, &stored, all).await.is_ok());
    }
}

#[tokio::test]
async fn truncation_and_extension_are_refused() {
    let (local, stored, path) = stored(2 * CHUNK_BYTES + 10).await;
    let intact = std::fs::read(&path).unwrap();
    let all = 0..stored.plaintext_length;
    let sealed_chunk = CHUNK_BYTES + 16;
    let mut lengths: Vec<usize> = (0..intact.len()).step_by(1_009).collect();
    lengths.extend([
        intact.len() - 1,
        HEADER_BYTES,
        HEADER_BYTES + sealed_chunk,
        HEADER_BYTES + 2 * sealed_chunk,
        HEADER_BYTES + 2 * sealed_chunk + 16,
    ]);
    for length in lengths {
        std::fs::write(&path, &intact[..length]).unwrap();
        assert!(matches!(get(&local.vault, &stored, all.clone()).await, Err(ObjectError::Length { .. })), "cut to {length}");
    }
    for extra in [1, 16, sealed_chunk] {
        std::fs::write(&path, [intact.as_slice(), &intact[HEADER_BYTES..HEADER_BYTES + extra]].concat()).unwrap();
        assert!(matches!(get(&local.vault, &stored, all.clone()).await, Err(ObjectError::Length { .. })), "extended by {extra}");
    }
}

/// Also when the attacker makes the recorded length fit: a chunk that was in the middle is none at the end.
#[tokio::test]
async fn a_cut_at_a_chunk_border_with_a_forged_length_is_refused() {
    let (local, mut stored, path) = stored(3 * CHUNK_BYTES).await;
    let intact = std::fs::read(&path).unwrap();
    let forged = CHUNK_BYTES + 100;
    std::fs::write(&path, &intact[..HEADER_BYTES + forged + 32]).unwrap();
    stored.plaintext_length = forged as u64;
    assert!(matches!(get(&local.vault, &stored, 0..forged as u64).await, Err(ObjectError::Damaged { chunk: 1 })));
}

#[tokio::test]
async fn swapped_chunks_and_objects_are_refused() {
    let (local, stored, path) = stored(3 * CHUNK_BYTES).await;
    let intact = std::fs::read(&path).unwrap();
    let sealed_chunk = CHUNK_BYTES + 16;
    let (header, chunks) = intact.split_at(HEADER_BYTES);
    let (first, rest) = chunks.split_at(sealed_chunk);
    let (second, rest) = rest.split_at(sealed_chunk);
    std::fs::write(&path, [header, second, first, rest].concat()).unwrap();
    assert!(matches!(get(&local.vault, &stored, 0..10).await, Err(ObjectError::Damaged { chunk: 0 })));
    // Another object of the same key and length, put under this name, opens only with its own context.
    let other = local.vault.put(&key(), b"bucket/version/2", 0, pieces(&message(3 * CHUNK_BYTES), 9_999)).await.unwrap();
    std::fs::copy(self::path(&local, &other), &path).unwrap();
    assert!(matches!(get(&local.vault, &stored, 0..10).await, Err(ObjectError::WrongKey)));
}

#[tokio::test]
async fn nothing_of_a_bad_window_comes_out_and_the_stream_ends() {
    let (local, stored, path) = stored(100 * CHUNK_BYTES).await;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[HEADER_BYTES + 40 * (CHUNK_BYTES + 16)] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let stream = local.vault.get(&key(), CONTEXT, stored.source(), stored.plaintext_length, 0..stored.plaintext_length).await.unwrap();
    let pieces: Vec<_> = stream.collect().await;
    assert_eq!(pieces.len(), 2);
    assert_eq!(pieces[0].as_ref().unwrap(), &message(100 * CHUNK_BYTES)[..32 * CHUNK_BYTES]);
    assert!(matches!(pieces[1], Err(ObjectError::Damaged { chunk: 40 })));
    // Other chunks are as good as ever.
    assert!(get(&local.vault, &stored, 0..30).await.is_ok());
    assert!(get(&local.vault, &stored, (50 * CHUNK_BYTES) as u64..stored.plaintext_length).await.is_ok());
}

#[tokio::test]
async fn no_plaintext_and_no_key_on_disk() {
    let local = local();
    let canary = b"canary-5f2b8c71";
    let bytes = Bytes::from(canary.repeat(20_000));
    put(&local.vault, &bytes).await;
    put(&local.vault, &Bytes::from_static(canary)).await;
    let files = files(local.folder.path());
    assert_eq!(files.len(), 2);
    for path in files {
        let found = std::fs::read(path).unwrap();
        assert!(!found.windows(canary.len()).any(|window| window == canary));
        assert!(!found.windows(32).any(|window| window == [7; 32]));
    }
}

#[tokio::test]
async fn equal_objects_are_different_on_disk() {
    let local = local();
    let bytes = message(1_000);
    let (one, other) = (put(&local.vault, &bytes).await, put(&local.vault, &bytes).await);
    assert_ne!(one.name, other.name);
    assert_ne!(std::fs::read(path(&local, &one)).unwrap(), std::fs::read(path(&local, &other)).unwrap());
}
