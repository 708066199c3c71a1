//! Tiles: 256 hashes, or 256 entries, that never change once they are full.
//!
//! Source: C2SP `tlog-tiles`.

use crate::merkle::{Hash, ProofError, Subtrees, node_hash};

/// Hashes of a full tile, entries of a full bundle.
pub const WIDTH: u64 = 256;
/// Levels of tree that one level of tiles stands for.
pub const HEIGHT: u32 = 8;
/// Highest tile level that a path may name.
const LEVEL_LIMIT: u8 = 63;
/// Digits of a tile number in a path: more than any log will have.
const NUMBER_DIGITS: usize = 18;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TilePath {
    /// `None`: an entry bundle.
    pub level: Option<u8>,
    pub number: u64,
    /// 1 to 256.
    pub width: u16,
}

/// A path or a bundle cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileError {
    #[error("`{0}` is not the path of a tile")]
    Path(String),
    #[error("the entry bundle is malformed")]
    Bundle,
    #[error("the tile is malformed")]
    Tile,
}

impl TilePath {
    /// `tile/0/x001/x234/067.p/12`, without a slash in front.
    pub fn to_path(&self) -> String {
        let mut number = format!("{:03}", self.number % 1000);
        let mut rest = self.number / 1000;
        while rest > 0 {
            number = format!("x{:03}/{number}", rest % 1000);
            rest /= 1000;
        }
        let level = self.level.map_or_else(|| "entries".to_owned(), |level| level.to_string());
        let partial = if u64::from(self.width) < WIDTH { format!(".p/{}", self.width) } else { String::new() };
        format!("tile/{level}/{number}{partial}")
    }

    pub fn parse(path: &str) -> Result<Self, TileError> {
        Self::read(path).ok_or_else(|| TileError::Path(path.chars().take(100).collect()))
    }

    fn read(path: &str) -> Option<Self> {
        let (level, rest) = path.strip_prefix("tile/")?.split_once('/')?;
        let level =
            if level == "entries" { None } else { Some(decimal(level)?).filter(|level| *level <= u64::from(LEVEL_LIMIT)).map(Some)? };
        let level = level.map(u8::try_from).transpose().ok()?;
        let (number, width) = match rest.split_once(".p/") {
            Some((number, width)) => (number, decimal(width).filter(|width| (1..WIDTH).contains(width))?),
            None => (rest, WIDTH),
        };
        let mut digits = String::new();
        let parts: Vec<&str> = number.split('/').collect();
        let (last, front) = parts.split_last()?;
        for part in front {
            digits.push_str(part.strip_prefix('x').filter(|part| three_digits(part))?);
        }
        digits.push_str(Some(*last).filter(|part| three_digits(part))?);
        // The first element of several is never `x000`.
        if digits.len() > NUMBER_DIGITS || (!front.is_empty() && digits.starts_with("000")) {
            return None;
        }
        Some(Self { level, number: digits.parse().ok()?, width: u16::try_from(width).ok()? })
    }
}

fn three_digits(part: &str) -> bool {
    part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// A decimal number without needless zeros.
fn decimal(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// Hashes that a level has in a tree of this size.
pub fn level_length(size: u64, level: u8) -> u64 {
    size.checked_shr(HEIGHT * u32::from(level)).unwrap_or(0)
}

/// Adds an entry to a bundle. `false`: it is too long for one.
pub fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> bool {
    let Ok(length) = u16::try_from(entry.len()) else { return false };
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    true
}

/// The entries of a bundle.
pub fn split_bundle(mut bundle: &[u8]) -> Result<Vec<&[u8]>, TileError> {
    let mut entries = Vec::new();
    while !bundle.is_empty() {
        let (length, rest) = bundle.split_first_chunk::<2>().ok_or(TileError::Bundle)?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))).ok_or(TileError::Bundle)?;
        entries.push(entry);
        bundle = rest;
        if entries.len() as u64 > WIDTH {
            return Err(TileError::Bundle);
        }
    }
    Ok(entries)
}

/// The hashes of a tile.
pub fn split_tile(tile: &[u8]) -> Result<Vec<Hash>, TileError> {
    let (hashes, rest) = tile.as_chunks::<32>();
    if rest.is_empty() && hashes.len() as u64 <= WIDTH { Ok(hashes.to_vec()) } else { Err(TileError::Tile) }
}

/// Tiles at hand; a subtree that needs another one says which.
pub struct TileSubtrees<'a> {
    /// Hashes of a tile by level and number; `None`: not at hand.
    pub tile: &'a (dyn Fn(u8, u64) -> Option<std::sync::Arc<Vec<Hash>>> + Sync),
}

/// Why a subtree of tiles has no root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TileGap {
    /// Fetch it and ask again.
    #[error("the tile `{1}` of level `{0}` is not at hand")]
    Missing(u8, u64),
    #[error("the tree has no such node")]
    Outside,
    #[error(transparent)]
    Proof(#[from] ProofError),
}

impl Subtrees for TileSubtrees<'_> {
    type Error = TileGap;

    fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, TileGap> {
        let level = u8::try_from(height / HEIGHT).map_err(|_| TileGap::Outside)?;
        let inside = height % HEIGHT;
        let first = index.checked_shl(inside).ok_or(TileGap::Outside)?;
        let (number, offset) = (first / WIDTH, usize::try_from(first % WIDTH).map_err(|_| TileGap::Outside)?);
        let tile = (self.tile)(level, number).ok_or(TileGap::Missing(level, number))?;
        let mut hashes: Vec<Hash> = tile.get(offset..offset + (1 << inside)).ok_or(TileGap::Outside)?.to_vec();
        while hashes.len() > 1 {
            hashes = hashes.as_chunks::<2>().0.iter().map(|[left, right]| node_hash(left, right)).collect();
        }
        hashes.first().copied().ok_or(TileGap::Outside)
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::merkle;

    #[test]
    fn paths() {
        for (path, level, number, width) in [
            ("tile/0/000", Some(0), 0, 256),
            ("tile/1/x001/x234/067", Some(1), 1_234_067, 256),
            ("tile/entries/x001/000.p/7", None, 1000, 7),
        ] {
            let parsed = TilePath::parse(path).unwrap();
            assert_eq!(parsed, TilePath { level, number, width }, "{path}");
            assert_eq!(parsed.to_path(), path);
        }
        for wrong in [
            "",
            "tile/0",
            "tile/0/1",
            "tile/00/001",
            "tile/64/001",
            "tile/0/x000/001",
            "tile/0/001.p/0",
            "tile/0/001.p/256",
            "tile/0/001.p/01",
            "tile/0/x01/001",
            "tile/0/-01",
        ] {
            assert!(TilePath::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused(path in "[tile/0-9xpentris.]{0,40}") {
            if let Ok(parsed) = TilePath::parse(&path) {
                prop_assert_eq!(parsed.to_path(), path);
            }
        }

        #[test]
        fn any_bytes_are_a_bundle_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(entries) = split_bundle(&bytes) {
                let mut again = Vec::new();
                for entry in entries {
                    prop_assert!(push_entry(&mut again, entry));
                }
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn roots_out_of_tiles_are_those_out_of_leaves() {
        let size = 70_000_u64;
        let leaves: Vec<Hash> = (0..size).map(|number| merkle::leaf_hash(&number.to_be_bytes())).collect();
        let mut tiles: HashMap<(u8, u64), Arc<Vec<Hash>>> = HashMap::new();
        let mut level_hashes = leaves.clone();
        for level in 0..3_u8 {
            assert_eq!(level_hashes.len() as u64, level_length(size, level));
            let mut above = Vec::new();
            for (number, tile) in level_hashes.chunks(256).enumerate() {
                tiles.insert((level, number as u64), Arc::new(tile.to_vec()));
                if tile.len() == 256 {
                    above.push(merkle::root(tile.iter().copied()));
                }
            }
            level_hashes = above;
        }
        let find = |level, number| tiles.get(&(level, number)).cloned();
        let mut source = TileSubtrees { tile: &find };
        let root = merkle::root(leaves.iter().copied());
        assert_eq!(merkle::range_root(&mut source, 0, size).unwrap(), root);
        let proof = merkle::inclusion_proof(&mut source, 69_999, size).unwrap();
        assert!(merkle::verify_inclusion(&proof, 69_999, &leaves[69_999], size, &root).is_ok());
        let nothing = |_, _| None;
        let mut empty = TileSubtrees { tile: &nothing };
        assert_eq!(merkle::range_root(&mut empty, 0, 65_536), Err(TileGap::Missing(2, 0)));
    }
}
