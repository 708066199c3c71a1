//! Posting blocks: for each tag, the leaves that have it.
//!
//! A run is the index of 256 * 16^level consecutive leaves; sixteen runs of a level become one of the next. A run is cut into blocks by the
//! tags' first bits, so that a lookup reads one block of each run.
//!
//! Block: for each tag in ascending order `tag (4) | length of the list | list`, where the list holds the distances between leaf numbers, the
//! first one counted from the run's beginning.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::tag::Tag;
use crate::varint;

/// Runs of one level that become one of the next.
pub(crate) const FAN: usize = 16;
/// Highest level: a million leaves.
pub(crate) const TOP_LEVEL: u8 = 3;

/// How runs are cut into blocks. Those that were written in an older way stay as they are until they are joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Cut {
    /// Blocks of 40 KB: each run that a lookup looks through cost it a quarter of a millisecond.
    #[default]
    Coarse,
    /// Blocks of about a page of the store.
    Fine,
}

impl Cut {
    /// First bits of a tag that say in which block of a run it is.
    pub(crate) fn bits(self, level: u8) -> u32 {
        match (self, level) {
            (_, 0) => 0,
            (Self::Coarse, 1) => 3,
            (Self::Coarse, 2) => 7,
            (Self::Coarse, _) => 10,
            (Self::Fine, 1) => 5,
            (Self::Fine, 2) => 9,
            (Self::Fine, _) => 13,
        }
    }

    /// The block that a tag is in.
    pub(crate) fn block_of(self, level: u8, tag: Tag) -> u32 {
        tag.checked_shr(Tag::BITS - self.bits(level)).unwrap_or(0)
    }

    /// Blocks of a run of this level.
    pub(crate) fn block_count(self, level: u8) -> u32 {
        1 << self.bits(level)
    }
}

/// Leaves of a run of this level.
pub(crate) fn run_length(level: u8) -> u64 {
    transparency::tile::WIDTH << (4 * u32::from(level))
}

/// Lists by tag, leaf numbers ascending.
pub(crate) type Lists = BTreeMap<Tag, Vec<u64>>;

pub(crate) fn encode(lists: &Lists, start: u64) -> Vec<u8> {
    let mut block = Vec::new();
    for (tag, leaves) in lists {
        let mut list = Vec::with_capacity(leaves.len() + 4);
        let mut last = start;
        for leaf in leaves {
            varint::push(&mut list, leaf.saturating_sub(last));
            last = *leaf;
        }
        block.extend_from_slice(&tag.to_be_bytes());
        varint::push(&mut block, list.len() as u64);
        block.extend_from_slice(&list);
    }
    block
}

/// Tag and encoded list, one after the other. Ends early where the block is damaged.
fn entries(block: &[u8]) -> impl Iterator<Item = (Tag, &[u8])> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let (tag, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = varint::take(after)?;
        let (list, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
        rest = after;
        Some((Tag::from_be_bytes(*tag), list))
    })
}

fn leaves(mut list: &[u8], start: u64) -> Vec<u64> {
    let mut found = Vec::with_capacity(list.len());
    let mut last = start;
    while let Some((distance, rest)) = varint::take(list) {
        last = last.saturating_add(distance);
        found.push(last);
        list = rest;
    }
    found
}

/// The leaves that have the tag, ascending.
pub(crate) fn find(block: &[u8], tag: Tag, start: u64) -> Vec<u64> {
    entries(block)
        .take_while(|(found, _)| *found <= tag)
        .find(|(found, _)| *found == tag)
        .map_or_else(Vec::new, |(_, list)| leaves(list, start))
}

/// Joins the blocks of consecutive runs (with the runs' beginnings) into the finely cut blocks of the run of the next level that begins at
/// `start` and holds the same tags, in their order.
///
/// Most tags are of one event, so that each list is handled as the bytes it is: only its first distance changes.
pub(crate) fn merge(blocks: &[(u64, Vec<u8>)], level: u8, start: u64) -> Vec<(u32, Vec<u8>)> {
    let mut all: Vec<(Tag, u64, &[u8])> = Vec::new();
    for (run, block) in blocks {
        all.extend(entries(block).map(|(tag, list)| (tag, *run, list)));
    }
    // Stable: the lists of one tag stay in the order of their runs.
    all.sort_by_key(|(tag, ..)| *tag);
    let (mut merged, mut list) = (Vec::<(u32, Vec<u8>)>::new(), Vec::new());
    for same in all.chunk_by(|(left, ..), (right, ..)| left == right) {
        let Some((tag, ..)) = same.first() else { continue };
        list.clear();
        let mut last = start;
        for (_, run, piece) in same {
            last = append(&mut list, last, piece, *run);
        }
        let number = Cut::Fine.block_of(level, *tag);
        if merged.last().is_none_or(|(open, _)| *open != number) {
            merged.push((number, Vec::new()));
        }
        if let Some((_, block)) = merged.last_mut() {
            block.extend_from_slice(&tag.to_be_bytes());
            varint::push(block, list.len() as u64);
            block.extend_from_slice(&list);
        }
    }
    merged
}

/// Puts a list that counts from its run's beginning behind another one that ends in `last`; gives its own last leaf.
fn append(list: &mut Vec<u8>, last: u64, piece: &[u8], run: u64) -> u64 {
    let Some((distance, rest)) = varint::take(piece) else { return last };
    let first = run.saturating_add(distance);
    varint::push(list, first.saturating_sub(last));
    list.extend_from_slice(rest);
    let (mut end, mut left) = (first, rest);
    while let Some((distance, rest)) = varint::take(left) {
        end = end.saturating_add(distance);
        left = rest;
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs become one in a single commit: the new blocks and the deletion of the old ones.
    #[test]
    fn joined_runs_fit_into_a_commit() {
        for level in 1..=TOP_LEVEL {
            let deleted = u32::try_from(FAN).unwrap() * Cut::Fine.block_count(level - 1).max(Cut::Coarse.block_count(level - 1));
            assert!(usize::try_from(Cut::Fine.block_count(level) + deleted).unwrap() < store::MAX_BATCH_ITEMS, "{level}");
        }
    }

    proptest! {
        #[test]
        fn what_is_put_into_runs_is_found_in_the_merged_one(pairs in proptest::collection::vec((any::<u8>(), 0_u64..4096), 0..400)) {
            let mut runs: BTreeMap<u64, Lists> = BTreeMap::new();
            let mut expected: BTreeMap<Tag, std::collections::BTreeSet<u64>> = BTreeMap::new();
            for (tag, leaf) in pairs {
                let tag = Tag::from(tag).rotate_right(5);
                expected.entry(tag).or_default().insert(leaf);
            }
            for (tag, leaves) in &expected {
                for leaf in leaves {
                    runs.entry(leaf / 256 * 256).or_default().entry(*tag).or_default().push(*leaf);
                }
            }
            let blocks: Vec<(u64, Vec<u8>)> = runs.iter().map(|(start, lists)| (*start, encode(lists, *start))).collect();
            let merged: BTreeMap<u32, Vec<u8>> = merge(&blocks, 1, 0).into_iter().collect();
            for (tag, leaves) in &expected {
                let block = merged.get(&Cut::Fine.block_of(1, *tag)).unwrap();
                prop_assert_eq!(find(block, *tag, 0), leaves.iter().copied().collect::<Vec<_>>());
            }
            let tags: usize = merged.values().map(|block| entries(block).count()).sum();
            prop_assert_eq!(tags, expected.len());
        }

        #[test]
        fn a_damaged_block_is_no_panic(block in proptest::collection::vec(any::<u8>(), 0..200), tag in any::<u32>()) {
            let _ = find(&block, tag, 0);
            let _ = merge(&[(0, block)], 2, 0);
        }
    }
}
