//! The one HTTP client for calls that leave the server: model servers, webhooks, remote destinations.
//!
//! What it is: HTTP/1.1 over TCP or TLS with pooled connections, limits on time and size, and a rule for the addresses that it may reach.
//! What it is not: it follows no redirect, keeps no cookie, reads no proxy from the environment and retries nothing that may have arrived.
//!
//! Invariants:
//! 1. An address that is not public (loopback, private, link-local, shared, reserved, multicast, in IPv4 or wrapped in IPv6) is reached
//!    only when the host or the address is on the configured list. What is checked is the address that the connection is then made to,
//!    so a name that resolves differently the second time gains nothing.
//! 2. Every wait has a limit: connecting, the head of the answer, each part of its body. So has the size of the answer.
//! 3. Certificates are always checked, against the trust store of the machine: whoever runs a private model server trusts its authority there.

mod address;
mod body;
mod client;
mod connector;
mod error;
mod tls;

pub use address::{AddressRule, AllowEntry, InvalidAllowEntry, is_public};
pub use body::ResponseBody;
pub use client::{Client, Limits};
pub use connector::{Resolve, SystemResolver};
pub use error::OutboundError;
