//! The plane: the one door that every call passes, also a call that one service makes for a caller.
//!
//! listener facts → identify → authenticate → decode → authorize → handle → record → encode
//!
//! Protocols that are not AWS's ([`door`]) differ in how they name the operation, decode and encode; nothing between is theirs.
//!
//! It is not a service: it knows no resource of its own. Services (floor 3) give it handlers, resolvers of resources and their policies,
//! and condition keys; the plane decides, records and encodes.
//!
//! Invariants:
//! 1. Authorization, audit, paging, idempotency, tagging and redaction happen here, never in a handler. No handler checks a policy or writes an event.
//! 2. Every call leaves exactly one event for each account it concerns, refused ones too. The event of a call that changed something stands in
//!    the same commit as the change.
//! 3. An operation whose action is not known is refused. There is no identity that skips the decision.
//! 4. A handler runs in an optimistic transaction and may run again after a conflict: it has no effect outside the transaction, except
//!    what it declares with [`Call::remember`].

mod binding;
mod cache;
mod child_call;
mod condition_member;
mod post_form;
mod service_event;

pub mod audit;
pub mod authenticate;
pub mod authorize;
pub mod bearer;
pub mod body;
pub mod call;
pub mod clock;
pub mod condition;
pub mod door;
pub mod error;
mod head;
pub mod idempotency;
pub mod identify;
pub mod organization;
pub mod origin;
pub mod page;
pub mod pipeline;
pub mod policy_principal;
pub mod principal;
pub mod public_url;
pub mod record;
mod record_cache;
pub mod region;
mod rehearsal;
mod reply;
pub mod service;
pub mod service_call;
pub mod session;
pub mod tag;
mod tag_policy;
pub mod transaction;

pub use call::Call;
pub use clock::{Clock, ManualClock, SystemClock};
pub use error::ApiError;
pub use organization::{OrganizationView, Organizations};
pub use origin::Origin;
pub use pipeline::{Plane, PlaneSettings};
pub use principal::{Credential, Directory, Principal, PrincipalAccess, PrincipalKind, SignIn, SignInAttempt, SignedIn};
pub use public_url::PublicUrl;
pub use record::{Key, Record, Scope};
pub use region::{RegionState, Regions};
pub use service::{Handler, HandlerFuture, Reply, Service, Target};
pub use service_call::ServiceCaller;
pub use transaction::Transaction;

/// The one partition that we serve.
pub const PARTITION: &str = "aws";
