//! The vault over both backends: ranges, tampering, durability of names, the public test vectors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::cast_possible_truncation)]

mod backends;
mod ranges;
mod tampering;
mod vectors;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use objects::{DataKey, LocalBackend, ObjectError, ObjectVault, Stored};

const CONTEXT: &[u8] = b"bucket/version/1";

fn key() -> DataKey {
    DataKey::new([7; 32])
}

/// Bytes that repeat nowhere near a chunk's length.
fn message(length: usize) -> Bytes {
    (0..length).map(|index| (index % 251) as u8 ^ (index / 16_384) as u8).collect()
}

fn pieces(bytes: &Bytes, piece: usize) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + use<> {
    let pieces: Vec<_> = bytes.chunks(piece.max(1)).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

/// A vault in a folder of its own.
struct Local {
    vault: ObjectVault,
    folder: tempfile::TempDir,
}

fn local() -> Local {
    let folder = tempfile::tempdir().unwrap();
    let vault = ObjectVault::new(Arc::new(LocalBackend::open(folder.path()).unwrap()));
    Local { vault, folder }
}

async fn put(vault: &ObjectVault, bytes: &Bytes) -> Stored {
    vault.put(&key(), CONTEXT, 0, pieces(bytes, 10_000)).await.unwrap()
}

async fn get(vault: &ObjectVault, stored: &Stored, range: std::ops::Range<u64>) -> Result<Vec<u8>, ObjectError> {
    get_with(vault, &key(), CONTEXT, stored, range).await
}

async fn get_with(
    vault: &ObjectVault,
    key: &DataKey,
    context: &[u8],
    stored: &Stored,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, ObjectError> {
    let stream = vault.get(key, context, stored.source(), stored.plaintext_length, range).await?;
    let pieces: Vec<Bytes> = stream.try_collect().await?;
    Ok(pieces.concat())
}

/// Every file under the folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

async fn names(vault: &ObjectVault) -> Vec<String> {
    let mut names: Vec<_> = vault.list().map(|listed| listed.unwrap().name.to_string()).collect().await;
    names.sort();
    names
}
