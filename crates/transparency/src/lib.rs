//! Transparency logs: the Merkle tree of RFC 6962 over SHA-256, its tiles and proofs, signed notes, checkpoints, cosignatures and what a
//! witness must check. Formats are those of C2SP: `tlog-tiles`, `tlog-checkpoint`, `signed-note`, `tlog-cosignature`, `tlog-witness`.
//!
//! It is not a log: it keeps nothing, reads nothing, knows no time and no network. The trail keeps one, the command line verifies one.
//!
//! Invariants:
//! 1. Everything foreign (notes, proofs, bundles, paths) has limits on size and count, and an error instead of a panic.
//! 2. A proof that verifies here verifies for every other client of RFC 6962.

pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod tile;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use merkle::{CompactTree, Hash};
pub use note::{NoteSigner, SignedNote, VerifierKey};
pub use tile::TilePath;
