//! SigV4 against published vectors, against botocore, and against itself.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "the whole binary is a test, also the functions that the tests share"
)]

mod botocore;
mod post_form;
mod replies;
mod round_trip;
mod vectors;

use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use sigv4::{RequestParts, parse_timestamp};

/// The key of the AWS signing test suite.
pub(crate) const SUITE_SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
/// The key of the S3 documentation's examples.
pub(crate) const S3_SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

pub(crate) fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

pub(crate) fn parts<'a>(method: &'a str, target: &'a str, headers: &'a HeaderMap) -> RequestParts<'a> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    RequestParts { method, path, query, headers, authority: None }
}

pub(crate) fn at(time: &str) -> Timestamp {
    parse_timestamp(time).unwrap()
}
