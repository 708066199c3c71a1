//! The log as it was fetched, mirrored or taken out of a backup.

use trail::Leaf;
use transparency::merkle::leaf_hash;
use transparency::{Checkpoint, CompactTree, Hash, SignedNote};

/// What is to be checked cannot even be read.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("the log cannot be read: {0}")]
    Log(String),
    #[error("the public keys cannot be read: {0}")]
    Keys(String),
    #[error("`{0}` is not the ARN of a trail")]
    TrailArn(String),
}

/// Entries and checkpoint of a log.
#[derive(Clone, Debug, Default)]
pub struct LogView {
    /// `None`: a store's backup has no signature over its log, but witnesses may have one.
    pub checkpoint: Option<SignedNote>,
    pub leaves: Vec<Leaf>,
}

impl LogView {
    /// Takes log entries, as bundles hold them.
    pub fn push_entry(&mut self, entry: &[u8]) -> Result<(), EvidenceError> {
        self.leaves.push(Leaf::parse(entry).map_err(|error| EvidenceError::Log(error.to_string()))?);
        Ok(())
    }

    /// Roots at the sizes that are asked for, in one walk. Sizes that the log does not have are left out.
    pub(crate) fn roots(&self, sizes: &[u64]) -> Vec<(u64, Hash)> {
        let mut wanted: Vec<u64> = sizes.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let mut roots = Vec::new();
        let mut tree = CompactTree::default();
        let mut leaves = self.leaves.iter();
        for size in wanted.into_iter().filter(|size| *size <= self.leaves.len() as u64) {
            while tree.size() < size {
                let Some(leaf) = leaves.next() else { break };
                tree.push(leaf_hash(&leaf.to_bytes()));
            }
            roots.push((size, tree.root()));
        }
        roots
    }

    pub(crate) fn checkpoint(&self) -> Option<Checkpoint> {
        Checkpoint::parse(&self.checkpoint.as_ref()?.text).ok()
    }
}
