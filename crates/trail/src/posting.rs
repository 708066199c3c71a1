//! Posting blocks: for each tag, the leaves that have it.
//!
//! A run is the index of 256 * 16^level consecutive leaves; sixteen runs of a level become one of the next. A run is cut into blocks by the
//! tags' first bits, so that a lookup reads one block of each run.
//!
//! Block: for each tag in ascending order `tag (4) | length of the list | list`, where the list holds the distances between leaf numbers, the
//! first one counted from the run's beginning.

use std::collections::BTreeMap;

use crate::tag::Tag;
use crate::varint;

/// Runs of one level that become one of the next.
pub(crate) const FAN: usize = 16;
/// Highest level: a million leaves.
pub(crate) const TOP_LEVEL: u8 = 3;

/// First bits of a tag that say in which block of a run it is.
fn bits(level: u8) -> u32 {
    match level {
        0 => 0,
        1 => 3,
        2 => 7,
        _ => 10,
    }
}

/// Blocks of a run of this level.
pub(crate) fn block_count(level: u8) -> u32 {
    1 << bits(level)
}

/// The block that a tag is in.
pub(crate) fn block_of(level: u8, tag: Tag) -> u32 {
    tag.checked_shr(Tag::BITS - bits(level)).unwrap_or(0)
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

/// Joins the blocks of consecutive runs (with the runs' beginnings) into the blocks of a run of the next level that hold the same tags.
pub(crate) fn merge(blocks: &[(u64, Vec<u8>)], level: u8) -> BTreeMap<u32, Lists> {
    let mut merged: BTreeMap<u32, Lists> = BTreeMap::new();
    for (start, block) in blocks {
        for (tag, list) in entries(block) {
            merged.entry(block_of(level, tag)).or_default().entry(tag).or_default().extend(leaves(list, *start));
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            let merged = merge(&blocks, 1);
            for (tag, leaves) in &expected {
                let block = encode(merged.get(&block_of(1, *tag)).unwrap(), 0);
                prop_assert_eq!(find(&block, *tag, 0), leaves.iter().copied().collect::<Vec<_>>());
            }
        }

        #[test]
        fn a_damaged_block_is_no_panic(block in proptest::collection::vec(any::<u8>(), 0..200), tag in any::<u32>()) {
            let _ = find(&block, tag, 0);
            let _ = merge(&[(0, block)], 2);
        }
    }
}
