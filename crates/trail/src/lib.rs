//! The audit trail: what an event is, how events reach the store's log, and how they are looked up.
//!
//! It is not a place where events are *made*: only the plane makes them, from the facts of a call.
//!
//! Invariants:
//! 1. An event of a call that changed something is an entry of the very commit that changed it (the plane passes it along with the batch).
//! 2. Every other event is written by the [`Recorder`], in batches that share one sync, at most [`recorder::INTERVAL`] after it was handed over.
//! 3. Entries are sealed; the store sees ciphertext, the account and the time.

pub mod entry;
pub mod event;
pub mod lookup;
pub mod recorder;

pub use entry::{Entry, EntryError, Sealer};
pub use event::{Event, EventResource, SessionContext, SessionIssuer, TlsDetails, UserIdentity};
pub use lookup::{Filter, LookupError, LookupPage, lookup};
pub use recorder::{Recorder, RecorderError};
