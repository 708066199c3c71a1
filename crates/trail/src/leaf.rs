//! Leaves of the log: a hash for each event, the whole statement for each statement.
//!
//! The events themselves are not in the log, so that it can be shown to anyone: `1 | SHA-256 of the record's JSON, as delivered`.
//! A statement is in it as it stands in the store.

use transparency::Hash;

use crate::entry::EntryError;
use crate::statement::{self, Statement};

const EVENT: u8 = 1;

/// One leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leaf {
    Event(Hash),
    Statement(Statement),
}

impl Leaf {
    /// The log entry.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Event(hash) => [&[EVENT], hash.as_slice()].concat(),
            Self::Statement(statement) => statement.to_bytes().to_vec(),
        }
    }

    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        match bytes.split_first() {
            Some((&EVENT, hash)) => hash.try_into().map(Self::Event).map_err(|_| EntryError::Malformed),
            Some((&statement::FORMAT, _)) => Statement::parse(bytes).map(Self::Statement),
            _ => Err(EntryError::Malformed),
        }
    }

    /// Its hash in the tree.
    pub fn hash(&self) -> Hash {
        transparency::merkle::leaf_hash(&self.to_bytes())
    }
}
