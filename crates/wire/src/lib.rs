//! Codecs for the AWS wire protocols: bytes on one side, a [`Value`] checked against the facts on the other.
//!
//! Sans-I/O: no tokio, no sockets, no clock. Decoding is guided by the shapes of the operation and ends with the check of all
//! constraints; violations come back in the words of the service's dialect. Both directions exist (server: decode input, encode
//! output and errors; client: encode input, decode output and errors), so that every codec is proved by round trips and so that
//! our own command line is an ordinary client.
//!
//! A server calls [`route_rest`] (REST protocols only), [`decode_input`], then [`encode_output`] or [`encode_error`]; event streams
//! go through [`event`] and [`event_stream`]. A client calls [`encode_input`], then [`decode_output`] or [`decode_error`].
//!
//! It is not: authentication (`sigv4`), identification of the service, chunked transfer, checksums.
//!
//! Invariants:
//! 1. Nothing panics on foreign bytes; depth, size and count are limited ([`limits`]).
//! 2. An unknown member is ignored, a wrong type is not.
//! 3. Bytes of streaming members are never part of a decoded input.
//! 4. The content of a sensitive shape never appears in an error.

use std::borrow::Cow;

mod cbor;
mod client;
mod constraint;
mod dialect;
pub mod error;
pub mod event;
pub mod event_stream;
mod fault;
#[cfg(test)]
mod fixture;
mod form;
mod json;
pub mod limits;
pub mod pattern;
mod query;
mod rest;
mod route;
mod scalar;
mod server;
mod timestamp;
pub mod typed;
pub mod value;
mod xml;
mod xml_shape;

pub use client::{EncodedRequest, decode_output, encode_input};
pub use constraint::violations;
pub use error::{DecodeError, ErrorReply, Format, Rule, Step, Violation};
pub use fault::{decode_error, encode_error};
pub use form::percent_encoded;
pub use route::{Labels, route_rest};
pub use server::{decode_input, encode_output, parse_input};
pub use typed::{ApiInput, FromValue, IntoValue, Secret, ShapeError};
pub use value::{Struct, Timestamp, Value};

/// Header names and values, in the order in which they are sent. Values may hold any text: whoever writes them to a connection
/// refuses control characters.
pub type Headers = Vec<(Cow<'static, str>, String)>;

/// A request without its body.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    pub method: &'a str,
    /// Raw, percent-encoded, beginning with `/`.
    pub path: &'a str,
    /// Raw, without the `?`.
    pub query: &'a str,
    pub headers: &'a http::HeaderMap,
    /// The bucket (or other first label) that came by virtual host, already removed from the host.
    pub host_label: Option<&'a str>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    pub status: u16,
    pub headers: Headers,
    pub body: Vec<u8>,
}
