//! A full bundle as it is kept: the log entries as they are served, and where in the store's log each came from.
//!
//! Layout: `1 | length of the entries (4) | entries, each with its length (2) | places: distance to the row before, index in the row`.

use transparency::Hash;
use transparency::merkle::leaf_hash;
use transparency::tile::{push_entry, split_bundle};

use crate::leaf::Leaf;
use crate::varint;

const FORMAT: u8 = 1;

/// Where in the store's log an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub revision: u64,
    pub index: u32,
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bundle {
    /// As served.
    pub entries: Vec<u8>,
    pub places: Vec<Place>,
}

impl Bundle {
    pub(crate) fn new(leaves: impl Iterator<Item = (Leaf, Place)>) -> Self {
        let mut bundle = Self { entries: Vec::new(), places: Vec::new() };
        for (leaf, place) in leaves {
            // A leaf is at most 74 bytes long.
            push_entry(&mut bundle.entries, &leaf.to_bytes());
            bundle.places.push(place);
        }
        bundle
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend_from_slice(&u32::try_from(self.entries.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&self.entries);
        let mut last = 0;
        for place in &self.places {
            varint::push(&mut bytes, place.revision.saturating_sub(last));
            varint::push(&mut bytes, u64::from(place.index));
            last = place.revision;
        }
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (entries, places) = parts(bytes)?;
        let places = places_of(places)?;
        (split_bundle(entries).ok()?.len() == places.len()).then(|| Self { entries: entries.to_vec(), places })
    }

    /// The places alone: a lookup needs no more.
    pub(crate) fn places(bytes: &[u8]) -> Option<Vec<Place>> {
        places_of(parts(bytes)?.1)
    }

    pub(crate) fn leaf_hashes(&self) -> Vec<Hash> {
        split_bundle(&self.entries).unwrap_or_default().into_iter().map(leaf_hash).collect()
    }
}

/// Entries and places.
fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[FORMAT, a, b, c, d], rest) = bytes.split_first_chunk::<5>()? else { return None };
    rest.split_at_checked(usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?)
}

fn places_of(mut rest: &[u8]) -> Option<Vec<Place>> {
    let mut places = Vec::new();
    let mut last = 0_u64;
    while !rest.is_empty() {
        let (distance, after) = varint::take(rest)?;
        let (index, after) = varint::take(after)?;
        last = last.checked_add(distance)?;
        places.push(Place { revision: last, index: u32::try_from(index).ok()? });
        rest = after;
    }
    Some(places)
}
