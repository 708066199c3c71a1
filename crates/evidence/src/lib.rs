//! Checks what a trail left behind: log files, digest files and keys against the signed log, and the log against what witnesses saw.
//!
//! It reads no network and no clock: the command line brings the files. It trusts nothing but the keys that it is given: not the bucket, not the
//! server, not its own product's store.
//!
//! What it finds, and AWS's `validate-logs` does not: the newest digests deleted together with their logs, all of them deleted, a signing key
//! replaced, a store set back to an earlier state.
//!
//! Invariants:
//! 1. No finding means: every file that the log states for this trail is there, unchanged; every record in them is a leaf of the log; the log
//!    continues every checkpoint that a witness has cosigned.
//! 2. Everything read has limits; a malformed input is a finding or an error, not a panic.

mod bucket;
mod check;
mod digest_file;
mod finding;
mod log_view;

pub use bucket::{StoredFile, gunzip, record_texts};
pub use check::{Evidence, Report, check};
pub use digest_file::{PublicKey, parse_public_keys};
pub use finding::Finding;
pub use log_view::{EvidenceError, LogView};
