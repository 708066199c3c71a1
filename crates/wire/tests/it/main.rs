//! The codecs against every operation of every service: round trips, mutated bytes, botocore as the oracle.

mod arbitrary;
mod errors;
mod events;
mod foreign_bytes;
mod oracle;
mod patterns;
mod round_trip;
mod routes;
