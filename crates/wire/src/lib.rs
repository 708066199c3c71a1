//! Codecs for the AWS wire protocols: bytes on one side, a [`Value`] checked against the facts on the other.
//!
//! Sans-I/O: no tokio, no sockets, no clock. One walk over shape and bytes does decoding and validation together; violations
//! come back in the words of the service's dialect. Both directions exist (server: decode input, encode output and errors;
//! client: encode input, decode output), so that every codec is proved by round trips and so that our own command line is an
//! ordinary client.
//!
//! Invariants: nothing panics on foreign bytes; depth, size and count are limited; an unknown member is ignored, a wrong type is not.

pub mod typed;
pub mod value;

pub use typed::{ApiInput, FromValue, IntoValue, Secret, ShapeError};
pub use value::{Struct, Timestamp, Value};
