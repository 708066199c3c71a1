//! Every range of every length around the borders of chunks and windows.

use std::sync::Arc;

use futures_util::StreamExt as _;
use object_store::memory::InMemory;
use objects::{CHUNK_BYTES, HEADER_BYTES, ObjectError, ObjectVault, RemoteBackend, ciphertext_length, plaintext_length};
use proptest::prelude::*;

use crate::{CONTEXT, get, get_with, key, local, message, pieces, put};

/// Chunks read at a time, see the vault.
const WINDOW_BYTES: usize = 32 * CHUNK_BYTES;

/// Near a multiple of a chunk or of a window.
fn border() -> impl Strategy<Value = usize> {
    let near = |unit: usize, most: usize| (0..=most, 0..5usize).prop_map(move |(count, offset)| (count * unit + offset).saturating_sub(2));
    prop_oneof![near(CHUNK_BYTES, 4), near(WINDOW_BYTES, 3), 0..40usize]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_range_of_any_length(length in border(), ranges in proptest::collection::vec((border(), border()), 8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let vault = ObjectVault::new(Arc::new(RemoteBackend::new(Arc::new(InMemory::new()), "")));
            let bytes = message(length);
            let stored = put(&vault, &bytes).await;
            assert_eq!(stored.plaintext_length, length as u64);
            assert_eq!(Some(stored.ciphertext_length), ciphertext_length(length as u64));
            assert_eq!(plaintext_length(stored.ciphertext_length), Some(length as u64));
            assert_eq!(get(&vault, &stored, 0..length as u64).await.unwrap(), bytes);
            for (one, other) in ranges {
                let (start, end) = (one.min(other).min(length), one.max(other).min(length));
                assert_eq!(get(&vault, &stored, start as u64..end as u64).await.unwrap(), bytes[start..end], "{start}..{end} of {length}");
            }
        });
    }
}

#[test]
fn lengths_invert() {
    for ciphertext in 0..40_000u64 {
        if let Some(plaintext) = plaintext_length(ciphertext) {
            assert_eq!(ciphertext_length(plaintext), Some(ciphertext));
        }
    }
    assert_eq!(plaintext_length(u64::MAX), None);
    assert_eq!(ciphertext_length(u64::MAX), None);
    assert_eq!(plaintext_length(56), None);
    assert_eq!(plaintext_length(72), Some(0));
}

#[tokio::test]
async fn ranges_beyond_the_end_are_refused() {
    let local = local();
    let stored = put(&local.vault, &message(100)).await;
    #[expect(clippy::reversed_empty_ranges, reason = "what a hostile caller would ask for")]
    for range in [0..101, 101..101, 7..3, u64::MAX..0, 0..u64::MAX] {
        assert!(matches!(get(&local.vault, &stored, range).await, Err(ObjectError::Range { length: 100, .. })));
    }
}

#[tokio::test]
async fn large_reads_come_in_large_pieces() {
    let local = local();
    let stored = put(&local.vault, &message(3 * WINDOW_BYTES + 5)).await;
    let stream = local.vault.get(&key(), CONTEXT, stored.source(), stored.plaintext_length, 0..stored.plaintext_length).await.unwrap();
    let lengths: Vec<usize> = stream.map(|piece| piece.unwrap().len()).collect().await;
    assert_eq!(lengths, [WINDOW_BYTES, WINDOW_BYTES, WINDOW_BYTES, 5]);
}

#[tokio::test]
async fn small_objects_are_handed_back_and_read_as_any_other() {
    let local = local();
    for length in [0, 1, 100] {
        let bytes = message(length);
        let stored = local.vault.put(&key(), CONTEXT, 100, pieces(&bytes, 7)).await.unwrap();
        let sealed = stored.inline.clone().unwrap();
        assert_eq!(sealed.len() as u64, stored.ciphertext_length);
        assert!(length < 16 || !sealed.windows(16).any(|window| bytes.windows(16).any(|plain| plain == window)));
        assert_eq!(get(&local.vault, &stored, 0..length as u64).await.unwrap(), bytes);
        let half = length as u64 / 2;
        assert_eq!(get(&local.vault, &stored, half..length as u64).await.unwrap(), bytes[length / 2..]);
        assert!(matches!(get_with(&local.vault, &key(), b"another", &stored, 0..half).await, Err(ObjectError::WrongKey)));
        let open = |context: &[u8], sealed: &[u8], range| ObjectVault::open_inline(&key(), context, sealed, length as u64, range);
        assert_eq!(open(CONTEXT, &sealed, 0..length as u64).unwrap(), bytes);
        assert_eq!(open(CONTEXT, &sealed, half..length as u64).unwrap(), bytes[length / 2..]);
        assert!(matches!(open(b"another", &sealed, 0..half), Err(ObjectError::WrongKey)));
        assert!(matches!(open(CONTEXT, &sealed, 0..length as u64 + 1), Err(ObjectError::Range { .. })));
        assert!(matches!(open(CONTEXT, &sealed[1..], 0..half), Err(ObjectError::Length { .. })));
        assert!(matches!(open(CONTEXT, &sealed[..HEADER_BYTES - 1], 0..half), Err(ObjectError::Length { .. })));
        for at in 0..sealed.len() {
            let mut damaged = sealed.to_vec();
            damaged[at] ^= 1;
            let is_header = at < HEADER_BYTES;
            match open(CONTEXT, &damaged, 0..0) {
                Err(ObjectError::WrongKey) => assert!(is_header),
                Err(ObjectError::Damaged { chunk: 0 }) => assert!(!is_header),
                other => panic!("byte {at}: {other:?}"),
            }
        }
    }
    assert!(local.vault.list().next().await.is_none(), "the backend has a small object");
    let stored = local.vault.put(&key(), CONTEXT, 100, pieces(&message(101), 7)).await.unwrap();
    assert!(stored.inline.is_none() && local.vault.exists(&stored.name).await.unwrap());
}
