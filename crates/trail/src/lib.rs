//! The audit trail: what an event is, how events reach the store's log, and how they are looked up.
//!
//! It is not a place where events are *made*: only the plane makes them, from the facts of a call.
//!
//! Invariants:
//! 1. An event of a call that changed something is an entry of the very commit that changed it (the plane passes it along with the batch).
//! 2. Every other event is written by the [`Recorder`], in batches that share one sync, at most [`recorder::INTERVAL`] after it was handed over.
//! 3. Entries are sealed; the store sees ciphertext, the account, the time, a hash and keyed tags.
//! 4. Every entry is one leaf of the [`Ledger`]'s Merkle tree, in the order of the log; a crash neither repeats nor drops one.
//! 5. Retention ([`Ledger::prune`]) takes bodies of events away and never a hash: proofs of every size hold afterwards.

mod bundle;
mod compression;
mod decision;
mod indexed_lookup;
mod json;
mod ledger;
mod posting;
mod signed_log;
mod varint;

pub mod entry;
pub mod event;
pub mod leaf;
pub mod lookup;
pub mod recorder;
pub mod statement;
pub mod tag;

pub use bundle::Place;
pub use decision::Decision;
pub use entry::{Entry, EntryError, OpenEntry, Sealer};
pub use event::{Event, EventResource, SessionContext, SessionIssuer, TlsDetails, UserIdentity};
pub use indexed_lookup::FoundEvents;
pub use leaf::Leaf;
pub use ledger::{Ledger, LedgerError, Pruned, all_leaves};
pub use lookup::{Filter, LookupError, LookupPage, lookup};
pub use recorder::{Recorder, RecorderError};
pub use signed_log::LogFile;
pub use statement::{Statement, StatementKind};
