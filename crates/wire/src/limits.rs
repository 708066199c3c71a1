//! Limits on foreign bytes. The caller enforces the body sizes before it buffers; the codecs enforce the rest.

use facts::Protocol;

/// Deepest nesting of any value, in levels.
pub const DEPTH: usize = 64;
/// Most entries of one list or map.
pub const LIST_ENTRIES: usize = 100_000;
/// Most parameters of a form or a query string.
pub const FORM_PARAMETERS: usize = 10_000;
/// Most elements of one XML document.
pub const XML_ELEMENTS: usize = 500_000;
/// Most attributes of one XML element.
pub const XML_ATTRIBUTES: usize = 64;
/// Most violations that are collected before validation stops.
pub const VIOLATIONS: usize = 20;
/// Longest input value that an error message repeats, in characters.
pub const ECHO_CHARACTERS: usize = 2_048;
/// Largest event stream frame in bytes: 16 MiB of payload, 128 KiB of headers, and the frame itself.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html>
pub const EVENT_FRAME_BYTES: usize = 16 * 1024 * 1024 + EVENT_HEADER_BYTES + 16;
/// Largest header block of an event stream frame in bytes.
pub const EVENT_HEADER_BYTES: usize = 128 * 1024;

/// Largest body in bytes that may be buffered for decoding. Streaming members do not count: they are never buffered.
pub const fn body_bytes(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Query | Protocol::Ec2Query => 2 * 1024 * 1024,
        Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor | Protocol::RestXml => 8 * 1024 * 1024,
        // `InvokeModel` takes 25 MB.
        Protocol::RestJson => 32 * 1024 * 1024,
    }
}
