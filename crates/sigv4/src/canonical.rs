//! The canonical request: the same bytes on both sides, whatever proxies and libraries did to the spelling.

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;

/// What of an HTTP request a signature covers, as it stood on the wire.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// The method, as sent.
    pub method: &'a str,
    /// The path, percent-encoded as sent.
    pub path: &'a str,
    /// The query without the question mark, as sent; empty if there is none.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// HTTP/2's `:authority`, read as the `host` header when there is none.
    pub authority: Option<&'a str>,
}

/// How the path stands in the canonical request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathStyle {
    /// S3: encoded once, not normalised (a key may hold `//` and `..`).
    Once,
    /// All other services: dot segments and empty segments removed, what was sent encoded once more.
    NormalisedTwice,
}

impl PathStyle {
    /// The style of a signing name.
    pub fn of_service(service: &str) -> Self {
        match service {
            "s3" | "s3-object-lambda" | "s3-outposts" | "s3express" => Self::Once,
            _ => Self::NormalisedTwice,
        }
    }
}

/// The hex SHA-256 of a body.
pub fn sha256_hex(data: &[u8]) -> String {
    let mut text = Vec::with_capacity(64);
    push_hex(&mut text, digest(&SHA256, data).as_ref());
    String::from_utf8(text).unwrap_or_default()
}

const HEX_UPPER: [u8; 16] = *b"0123456789ABCDEF";
const HEX_LOWER: [u8; 16] = *b"0123456789abcdef";

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn hex_digit(digits: [u8; 16], value: u8) -> u8 {
    digits.get(usize::from(value & 15)).copied().unwrap_or(b'0')
}

fn push_encoded(out: &mut Vec<u8>, byte: u8) {
    if is_unreserved(byte) {
        out.push(byte);
    } else {
        out.extend_from_slice(&[b'%', hex_digit(HEX_UPPER, byte >> 4), hex_digit(HEX_UPPER, byte)]);
    }
}

/// Appends 32 bytes as 64 lower-case hex digits.
pub(crate) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend_from_slice(&[hex_digit(HEX_LOWER, byte >> 4), hex_digit(HEX_LOWER, *byte)]);
    }
}

/// Bytes of a percent-encoded text, each with whether it was encoded. A percent sign without two hex digits stands for itself.
fn decoded(text: &str) -> impl Iterator<Item = (u8, bool)> {
    let mut rest = text.as_bytes();
    std::iter::from_fn(move || {
        let (first, tail) = rest.split_first()?;
        if *first == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (char::from(*high).to_digit(16), char::from(*low).to_digit(16))
            && let Ok(byte) = u8::try_from(high * 16 + low)
        {
            rest = after;
            return Some((byte, true));
        }
        rest = tail;
        Some((*first, false))
    })
}

/// Percent-decodes into UTF-8, if it is any. A plus sign stays one.
pub(crate) fn percent_decode(text: &str) -> Option<std::borrow::Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text.into());
    }
    String::from_utf8(decoded(text).map(|(byte, _)| byte).collect()).ok().map(Into::into)
}

fn push_path(out: &mut Vec<u8>, path: &str, style: PathStyle) {
    match style {
        PathStyle::Once => {
            if path.is_empty() {
                out.push(b'/');
            }
            for (byte, was_encoded) in decoded(path) {
                if byte == b'/' && !was_encoded {
                    out.push(b'/');
                } else {
                    push_encoded(out, byte);
                }
            }
        }
        PathStyle::NormalisedTwice => push_normalised_path(out, path),
    }
}

fn push_normalised_path(out: &mut Vec<u8>, path: &str) {
    let start = out.len();
    out.push(b'/');
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                // Cut back to behind the slash before the last segment; at the root there is nothing to cut.
                while out.len() > start + 1 {
                    out.pop();
                    if out.last() == Some(&b'/') {
                        break;
                    }
                }
            }
            _ => {
                segment.bytes().for_each(|byte| push_encoded(out, byte));
                out.push(b'/');
            }
        }
    }
    if !path.ends_with('/') && out.len() > start + 1 {
        out.pop();
    }
}

/// Appends the parameters sorted by encoded name and value, leaving out those whose name is in `without`.
fn push_query(out: &mut Vec<u8>, query: &str, without: &[&str]) {
    if query.is_empty() {
        return;
    }
    let mut scratch = Vec::with_capacity(query.len() + 16);
    let mut pairs = Vec::with_capacity(8);
    for pair in query.split('&') {
        if pair.is_empty() {
            continue;
        }
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if without.iter().any(|left_out| decoded(name).map(|(byte, _)| byte).eq(left_out.bytes())) {
            continue;
        }
        let start = scratch.len();
        decoded(name).for_each(|(byte, _)| push_encoded(&mut scratch, byte));
        let middle = scratch.len();
        decoded(value).for_each(|(byte, _)| push_encoded(&mut scratch, byte));
        pairs.push((start..middle, middle..scratch.len()));
    }
    let text = |range: &std::ops::Range<usize>| scratch.get(range.clone()).unwrap_or_default();
    pairs.sort_by(|left, right| text(&left.0).cmp(text(&right.0)).then_with(|| text(&left.1).cmp(text(&right.1))));
    for (position, (name, value)) in pairs.iter().enumerate() {
        if position > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(text(name));
        out.push(b'=');
        out.extend_from_slice(text(value));
    }
}

/// Appends a header value without outer blanks and with inner runs of blanks reduced to one.
fn push_header_value(out: &mut Vec<u8>, value: &[u8]) {
    let value = value.trim_ascii();
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let is_plain = |pair: &[u8]| !matches!(pair, [b'\t' | b'\n' | b'\r', _] | [b' ', b' ' | b'\t' | b'\n' | b'\r']);
    if value.windows(2).all(is_plain) {
        out.extend_from_slice(value);
        return;
    }
    let mut blank = false;
    let start = out.len();
    for byte in value {
        if is_blank(byte) {
            blank = true;
            continue;
        }
        if blank && out.len() > start {
            out.push(b' ');
        }
        blank = false;
        out.push(*byte);
    }
}

fn push_header(out: &mut Vec<u8>, parts: &RequestParts<'_>, name: &str) {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut first = true;
    for value in parts.headers.get_all(name) {
        if !first {
            out.push(b',');
        }
        first = false;
        push_header_value(out, value.as_bytes());
    }
    if first
        && name == "host"
        && let Some(authority) = parts.authority
    {
        out.extend_from_slice(authority.as_bytes());
    }
    out.push(b'\n');
}

/// Builds the canonical request. `signed_headers` is the list as it stands in the claim (`host;x-amz-date`).
pub(crate) fn canonical_request(
    parts: &RequestParts<'_>,
    style: PathStyle,
    signed_headers: &str,
    without_parameters: &[&str],
    payload_hash: &str,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512 + parts.path.len() + parts.query.len());
    out.extend_from_slice(parts.method.as_bytes());
    out.push(b'\n');
    push_path(&mut out, parts.path, style);
    out.push(b'\n');
    push_query(&mut out, parts.query, without_parameters);
    out.push(b'\n');
    for name in signed_headers.split(';') {
        push_header(&mut out, parts, name);
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash.as_bytes());
    out
}

/// Builds the string to sign from a canonical request. `time` is in the basic form.
/// The canonical request of a service other than S3 with its signature in a header, for signatures that other keys make.
pub fn canonical_request_of(parts: &RequestParts<'_>, signed_headers: &str, payload_hash: &str) -> Vec<u8> {
    canonical_request(parts, PathStyle::NormalisedTwice, signed_headers, &[], payload_hash)
}

pub(crate) fn string_to_sign(time: &str, scope: &str, canonical_request: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(200);
    for line in [crate::ALGORITHM, time, scope] {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    push_hex(&mut out, digest(&SHA256, canonical_request).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str, style: PathStyle) -> String {
        let mut out = Vec::new();
        push_path(&mut out, text, style);
        String::from_utf8(out).unwrap()
    }

    fn query(text: &str) -> String {
        let mut out = Vec::new();
        push_query(&mut out, text, &["X-Amz-Signature"]);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn s3_paths_are_encoded_once_and_kept() {
        assert_eq!(path("/a//b/../c", PathStyle::Once), "/a//b/../c");
        assert_eq!(path("/a%20b%2fc(1)+%7e", PathStyle::Once), "/a%20b%2Fc%281%29%2B~");
        assert_eq!(path("", PathStyle::Once), "/");
        assert_eq!(path("/50%", PathStyle::Once), "/50%25");
    }

    #[test]
    fn other_paths_are_normalised_and_encoded_again() {
        assert_eq!(path("//a//b/../c/", PathStyle::NormalisedTwice), "/a/c/");
        assert_eq!(path("/a%20b", PathStyle::NormalisedTwice), "/a%2520b");
        assert_eq!(path("", PathStyle::NormalisedTwice), "/");
        assert_eq!(path("/../..", PathStyle::NormalisedTwice), "/");
        assert_eq!(path("/a/..", PathStyle::NormalisedTwice), "/");
        assert_eq!(path("/a/b/..", PathStyle::NormalisedTwice), "/a");
    }

    #[test]
    fn queries_are_sorted_after_encoding() {
        assert_eq!(query("b=2&a=%7e&a=/&X-Amz-Signature=1&c"), "a=%2F&a=~&b=2&c=");
        assert_eq!(query("X-Amz%2dSignature=1"), "", "an encoded name is the same name");
        assert_eq!(query("&&"), "");
        assert_eq!(query("a=b=c&x+y=1"), "a=b%3Dc&x%2By=1");
    }

    #[test]
    fn header_values_lose_needless_blanks() {
        let mut out = Vec::new();
        push_header_value(&mut out, b"  a   \"b \t c\" ");
        assert_eq!(out, b"a \"b c\"");
    }
}
