//! The tree of RFC 6962, section 2.1, over SHA-256: hashes, proofs and their verification.

use aws_lc_rs::digest::{Context, Digest, SHA256, digest};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Most hashes that a proof can have for a tree of less than 2^64 leaves.
pub const PROOF_LIMIT: usize = 64;

/// A proof cannot be made or does not hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("a tree of size `{size}` has no proof for `{of}`")]
    Range { of: u64, size: u64 },
    #[error("the proof does not lead to the root")]
    Mismatch,
}

/// What of a leaf fits beside its first byte without a context: a hash, or a short text.
const SHORT_BYTES: usize = 127;

/// Plain SHA-256. Of bytes that stand together it is computed at once: a context of AWS-LC costs as much as a block, and each event has three.
pub fn sha256(bytes: &[u8]) -> Hash {
    hash_of(&digest(&SHA256, bytes))
}

fn hash_of(digest: &Digest) -> Hash {
    // The digest is as long as the hash; were it not, what is compared would simply differ.
    digest.as_ref().first_chunk().copied().unwrap_or_default()
}

/// Hash of a leaf.
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut short = [0; 1 + SHORT_BYTES];
    if let Some(bytes) = short.get_mut(..=entry.len())
        && let Some((_, behind)) = bytes.split_first_mut()
    {
        behind.copy_from_slice(entry);
        return sha256(bytes);
    }
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(entry);
    hash_of(&context.finish())
}

/// Hash of an inner node.
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    for (at, hash) in [(1, left), (33, right)] {
        if let Some(place) = bytes.get_mut(at..at + 32) {
            place.copy_from_slice(hash);
        }
    }
    sha256(&bytes)
}

/// Root of the tree without leaves.
pub fn empty_root() -> Hash {
    sha256(b"")
}

/// A tree that leaves are added to: the roots of its complete subtrees, largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompactTree {
    size: u64,
    subtrees: Vec<Hash>,
}

impl CompactTree {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds the hash of a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.subtrees.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.subtrees.push(hash);
        self.size = self.size.saturating_add(1);
    }

    pub fn root(&self) -> Hash {
        let mut subtrees = self.subtrees.iter().rev();
        let Some(last) = subtrees.next() else { return empty_root() };
        subtrees.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// Root over the hashes of leaves.
pub fn root(leaves: impl IntoIterator<Item = Hash>) -> Hash {
    let mut tree = CompactTree::default();
    leaves.into_iter().for_each(|leaf| tree.push(leaf));
    tree.root()
}

/// Where the roots of complete subtrees come from.
pub trait Subtrees {
    type Error: From<ProofError>;
    /// Root over the leaves `index * 2^height .. (index + 1) * 2^height`.
    fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// The largest power of two below `size`, for `size > 1`.
fn split(size: u64) -> u64 {
    1 << size.saturating_sub(1).max(1).ilog2()
}

/// Root over the leaves `start..end`, where `start` is a multiple of the range's rounded-up length (as in the ranges that RFC 6962 makes).
pub fn range_root<S: Subtrees>(source: &mut S, start: u64, end: u64) -> Result<Hash, S::Error> {
    let length = end.saturating_sub(start);
    if length == 0 {
        return Ok(empty_root());
    }
    if length.is_power_of_two() && start.is_multiple_of(length) {
        return source.subtree(length.ilog2(), start / length);
    }
    let middle = start.saturating_add(split(length));
    Ok(node_hash(&range_root(source, start, middle)?, &range_root(source, middle, end)?))
}

/// `PATH(leaf, D[size])`: from the leaf's sibling up.
pub fn inclusion_proof<S: Subtrees>(source: &mut S, leaf: u64, size: u64) -> Result<Vec<Hash>, S::Error> {
    if leaf >= size {
        return Err(ProofError::Range { of: leaf, size }.into());
    }
    let mut proof = Vec::new();
    let (mut start, mut end) = (0, size);
    while end - start > 1 {
        let middle = start + split(end - start);
        if leaf < middle {
            proof.push(range_root(source, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(source, start, middle)?);
            start = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// `PROOF(old, D[size])`. Empty when the sizes are equal or the old one is zero.
pub fn consistency_proof<S: Subtrees>(source: &mut S, old: u64, size: u64) -> Result<Vec<Hash>, S::Error> {
    if old > size {
        return Err(ProofError::Range { of: old, size }.into());
    }
    if old == size || old == 0 {
        return Ok(Vec::new());
    }
    let mut proof = Vec::new();
    let (mut start, mut end, mut whole) = (0, size, true);
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            proof.push(range_root(source, middle, end)?);
            end = middle;
        } else {
            proof.push(range_root(source, start, middle)?);
            start = middle;
            whole = false;
        }
    }
    if !whole {
        proof.push(range_root(source, start, end)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks that a leaf is in the tree. Source: RFC 9162, section 2.1.3.2.
pub fn verify_inclusion(proof: &[Hash], leaf: u64, leaf_hash: &Hash, size: u64, root: &Hash) -> Result<(), ProofError> {
    if leaf >= size {
        return Err(ProofError::Range { of: leaf, size });
    }
    let (mut node, mut last, mut hash) = (leaf, size - 1, *leaf_hash);
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Mismatch);
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && hash == *root { Ok(()) } else { Err(ProofError::Mismatch) }
}

/// Checks that the tree of the old size is a beginning of the new one. Source: RFC 9162, section 2.1.4.2.
pub fn verify_consistency(proof: &[Hash], old: u64, old_root: &Hash, size: u64, root: &Hash) -> Result<(), ProofError> {
    if old > size {
        return Err(ProofError::Range { of: old, size });
    }
    if old == 0 || old == size {
        let same = old == 0 || old_root == root;
        return if proof.is_empty() && same { Ok(()) } else { Err(ProofError::Mismatch) };
    }
    let mut path = proof.iter();
    let first = if old.is_power_of_two() { *old_root } else { *path.next().ok_or(ProofError::Mismatch)? };
    let (mut node, mut last) = (old - 1, size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let (mut old_hash, mut hash) = (first, first);
    for sibling in path {
        if last == 0 {
            return Err(ProofError::Mismatch);
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last == 0 && old_hash == *old_root && hash == *root { Ok(()) } else { Err(ProofError::Mismatch) }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leaves_and_nodes_are_hashed_behind_their_first_byte() {
        for length in [0, 1, 32, SHORT_BYTES - 1, SHORT_BYTES, SHORT_BYTES + 1, 1000] {
            let entry = vec![7; length];
            assert_eq!(leaf_hash(&entry), sha256(&[&[0], entry.as_slice()].concat()), "{length}");
        }
        let (left, right) = (sha256(b"left"), sha256(b"right"));
        assert_eq!(node_hash(&left, &right), sha256(&[&[1], left.as_slice(), right.as_slice()].concat()));
    }

    /// Leaves in memory.
    struct Leaves(Vec<Hash>);

    impl Subtrees for Leaves {
        type Error = ProofError;
        fn subtree(&mut self, height: u32, index: u64) -> Result<Hash, ProofError> {
            let (start, length) = (usize::try_from(index << height).unwrap(), 1_usize << height);
            Ok(root(self.0[start..start + length].iter().copied()))
        }
    }

    fn leaves(count: usize) -> Vec<Hash> {
        (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect()
    }

    /// Hashes that the CT reference implementations publish for these eight inputs.
    #[test]
    fn roots_of_the_reference_tree() {
        let inputs = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
        let roots = [
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (5, "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        let hashes: Vec<Hash> = inputs.iter().map(|input| leaf_hash(&hex::decode(input).unwrap())).collect();
        for (size, expected) in roots {
            assert_eq!(hex::encode(root(hashes[..size].iter().copied())), expected, "{size} leaves");
        }
        assert_eq!(hex::encode(empty_root()), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    proptest! {
        #[test]
        fn every_proof_verifies_and_no_changed_one(size in 1_u64..200, picks in any::<(u64, u64, u8)>()) {
            let all = leaves(usize::try_from(size).unwrap());
            let whole = root(all.iter().copied());
            let (leaf, old) = (picks.0 % size, picks.1 % (size + 1));
            let mut source = Leaves(all.clone());
            let proof = inclusion_proof(&mut source, leaf, size).unwrap();
            let hash = all[usize::try_from(leaf).unwrap()];
            prop_assert!(verify_inclusion(&proof, leaf, &hash, size, &whole).is_ok());
            prop_assert!(verify_inclusion(&proof, leaf, &leaf_hash(b"other"), size, &whole).is_err());
            let before = root(all.iter().copied().take(usize::try_from(old).unwrap()));
            let proof = consistency_proof(&mut source, old, size).unwrap();
            prop_assert!(verify_consistency(&proof, old, &before, size, &whole).is_ok());
            if old > 0 {
                prop_assert!(verify_consistency(&proof, old, &leaf_hash(b"other"), size, &whole).is_err());
            }
            if !proof.is_empty() {
                let mut changed = proof.clone();
                let place = usize::from(picks.2) % changed.len();
                changed[place][3] ^= 1;
                prop_assert!(verify_consistency(&changed, old, &before, size, &whole).is_err());
                changed.pop();
                prop_assert!(verify_consistency(&changed, old, &before, size, &whole).is_err());
            }
        }

        #[test]
        fn foreign_proofs_are_refused_without_a_panic(
            proof in proptest::collection::vec(any::<[u8; 32]>(), 0..70), numbers in any::<(u64, u64)>(), root in any::<[u8; 32]>(),
        ) {
            let _ = verify_inclusion(&proof, numbers.0, &root, numbers.1, &root);
            let _ = verify_consistency(&proof, numbers.0, &root, numbers.1, &root);
        }
    }
}
