//! Event stream frames: a prelude with two lengths and its checksum, typed headers, a payload, a checksum over all.
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>

use bytes::Bytes;

use crate::limits;

/// Lengths and checksum of the prelude, in bytes.
const PRELUDE_BYTES: usize = 12;
/// Prelude and final checksum, in bytes.
const FRAME_BYTES: usize = PRELUDE_BYTES + 4;

/// One frame.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Message {
    pub headers: Vec<(String, HeaderValue)>,
    pub payload: Bytes,
}

impl Message {
    pub fn header(&self, name: &str) -> Option<&HeaderValue> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// A header that is text, such as `:event-type`.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.header(name) {
            Some(HeaderValue::Str(text)) => Some(text),
            _ => None,
        }
    }
}

/// The value of a header.
#[derive(Clone, Debug, PartialEq)]
pub enum HeaderValue {
    Bool(bool),
    Byte(i8),
    Short(i16),
    Int(i32),
    Long(i64),
    Bytes(Bytes),
    Str(String),
    /// Milliseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    Uuid([u8; 16]),
}

/// Why bytes are no frame, or a message cannot become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {0} bytes is outside the limits")]
    Length(usize),
    #[error("the checksum of the {0} does not match")]
    Checksum(&'static str),
    #[error("the headers of a frame are malformed")]
    Headers,
}

/// Encodes a frame. Fails only where a header or the payload passes the limits of the format.
pub fn encode(message: &Message) -> Result<Vec<u8>, FrameError> {
    let mut headers = Vec::new();
    for (name, value) in &message.headers {
        let length = u8::try_from(name.len()).ok().filter(|length| *length > 0).ok_or(FrameError::Headers)?;
        headers.push(length);
        headers.extend_from_slice(name.as_bytes());
        encode_header(&mut headers, value)?;
    }
    let total = FRAME_BYTES + headers.len() + message.payload.len();
    if headers.len() > limits::EVENT_HEADER_BYTES || total > limits::EVENT_FRAME_BYTES {
        return Err(FrameError::Length(total));
    }
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&length_u32(total)?.to_be_bytes());
    out.extend_from_slice(&length_u32(headers.len())?.to_be_bytes());
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(&message.payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_be_bytes());
    Ok(out)
}

fn length_u32(length: usize) -> Result<u32, FrameError> {
    u32::try_from(length).map_err(|_| FrameError::Length(length))
}

fn encode_header(out: &mut Vec<u8>, value: &HeaderValue) -> Result<(), FrameError> {
    let sized = |out: &mut Vec<u8>, kind: u8, bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).ok().filter(|length| *length <= i16::MAX.unsigned_abs()).ok_or(FrameError::Headers)?;
        out.push(kind);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(bytes);
        Ok(())
    };
    let fixed = |out: &mut Vec<u8>, kind: u8, bytes: &[u8]| {
        out.push(kind);
        out.extend_from_slice(bytes);
        Ok(())
    };
    match value {
        HeaderValue::Bool(true) => fixed(out, 0, &[]),
        HeaderValue::Bool(false) => fixed(out, 1, &[]),
        HeaderValue::Byte(number) => fixed(out, 2, &number.to_be_bytes()),
        HeaderValue::Short(number) => fixed(out, 3, &number.to_be_bytes()),
        HeaderValue::Int(number) => fixed(out, 4, &number.to_be_bytes()),
        HeaderValue::Long(number) => fixed(out, 5, &number.to_be_bytes()),
        HeaderValue::Bytes(bytes) => sized(out, 6, bytes),
        HeaderValue::Str(text) => sized(out, 7, text.as_bytes()),
        HeaderValue::Timestamp(milliseconds) => fixed(out, 8, &milliseconds.to_be_bytes()),
        HeaderValue::Uuid(bytes) => fixed(out, 9, bytes),
    }
}

/// Decodes frames from bytes as they arrive. After an error the stream cannot be read on.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
}

impl Decoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a frame was begun and not ended: at the end of a stream, it was cut off.
    pub fn is_mid_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next whole frame, if it is there. Lengths are trusted only once the prelude's checksum holds.
    pub fn next_message(&mut self) -> Result<Option<Message>, FrameError> {
        let Some((prelude, _)) = self.buffer.split_first_chunk::<PRELUDE_BYTES>() else {
            return Ok(None);
        };
        let [t0, t1, t2, t3, h0, h1, h2, h3, c0, c1, c2, c3] = *prelude;
        if crc32fast::hash(&[t0, t1, t2, t3, h0, h1, h2, h3]) != u32::from_be_bytes([c0, c1, c2, c3]) {
            return Err(FrameError::Checksum("prelude"));
        }
        let total = usize::try_from(u32::from_be_bytes([t0, t1, t2, t3])).unwrap_or(usize::MAX);
        let headers = usize::try_from(u32::from_be_bytes([h0, h1, h2, h3])).unwrap_or(usize::MAX);
        if total > limits::EVENT_FRAME_BYTES || headers > limits::EVENT_HEADER_BYTES || total < headers.saturating_add(FRAME_BYTES) {
            return Err(FrameError::Length(total));
        }
        if self.buffer.len() < total {
            return Ok(None);
        }
        let rest = self.buffer.split_off(total);
        let frame = std::mem::replace(&mut self.buffer, rest);
        let (checked, checksum) = frame.split_last_chunk::<4>().ok_or(FrameError::Length(total))?;
        if crc32fast::hash(checked) != u32::from_be_bytes(*checksum) {
            return Err(FrameError::Checksum("message"));
        }
        let content = checked.get(PRELUDE_BYTES..).unwrap_or_default();
        let (headers, payload) = content.split_at_checked(headers).ok_or(FrameError::Length(total))?;
        Ok(Some(Message { headers: decode_headers(headers)?, payload: Bytes::copy_from_slice(payload) }))
    }
}

fn decode_headers(mut rest: &[u8]) -> Result<Vec<(String, HeaderValue)>, FrameError> {
    let mut headers = Vec::new();
    while !rest.is_empty() {
        let [length] = array::<1>(&mut rest)?;
        let name = text(take(&mut rest, usize::from(length))?)?;
        if name.is_empty() {
            return Err(FrameError::Headers);
        }
        headers.push((name, decode_header(&mut rest)?));
    }
    Ok(headers)
}

fn decode_header(rest: &mut &[u8]) -> Result<HeaderValue, FrameError> {
    let [kind] = array::<1>(rest)?;
    Ok(match kind {
        0 => HeaderValue::Bool(true),
        1 => HeaderValue::Bool(false),
        2 => HeaderValue::Byte(i8::from_be_bytes(array(rest)?)),
        3 => HeaderValue::Short(i16::from_be_bytes(array(rest)?)),
        4 => HeaderValue::Int(i32::from_be_bytes(array(rest)?)),
        5 => HeaderValue::Long(i64::from_be_bytes(array(rest)?)),
        6 | 7 => {
            let length = usize::from(u16::from_be_bytes(array(rest)?));
            let bytes = take(rest, length)?;
            if kind == 6 { HeaderValue::Bytes(Bytes::copy_from_slice(bytes)) } else { HeaderValue::Str(text(bytes)?) }
        }
        8 => HeaderValue::Timestamp(i64::from_be_bytes(array(rest)?)),
        9 => HeaderValue::Uuid(array(rest)?),
        _ => return Err(FrameError::Headers),
    })
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], FrameError> {
    let (taken, left) = rest.split_at_checked(count).ok_or(FrameError::Headers)?;
    *rest = left;
    Ok(taken)
}

fn array<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], FrameError> {
    let (taken, left) = rest.split_first_chunk::<N>().ok_or(FrameError::Headers)?;
    *rest = left;
    Ok(*taken)
}

fn text(bytes: &[u8]) -> Result<String, FrameError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| FrameError::Headers)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = HeaderValue> {
        prop_oneof![
            any::<bool>().prop_map(HeaderValue::Bool),
            any::<i8>().prop_map(HeaderValue::Byte),
            any::<i16>().prop_map(HeaderValue::Short),
            any::<i32>().prop_map(HeaderValue::Int),
            any::<i64>().prop_map(HeaderValue::Long),
            proptest::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| HeaderValue::Bytes(Bytes::from(bytes))),
            ".{0,20}".prop_map(HeaderValue::Str),
            any::<i64>().prop_map(HeaderValue::Timestamp),
            any::<[u8; 16]>().prop_map(HeaderValue::Uuid),
        ]
    }

    fn message() -> impl Strategy<Value = Message> {
        let headers = proptest::collection::vec((":?[a-z-]{1,20}", header()), 0..6);
        (headers, proptest::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(headers, payload)| Message { headers, payload: Bytes::from(payload) })
    }

    proptest! {
        #[test]
        fn frames_read_back_in_any_pieces(messages in proptest::collection::vec(message(), 0..4), piece in 1_usize..50) {
            let bytes: Vec<u8> = messages.iter().flat_map(|message| encode(message).unwrap()).collect();
            let mut decoder = Decoder::new();
            let mut found = Vec::new();
            for piece in bytes.chunks(piece) {
                decoder.push(piece);
                while let Some(message) = decoder.next_message().unwrap() {
                    found.push(message);
                }
            }
            prop_assert!(!decoder.is_mid_frame());
            prop_assert_eq!(found, messages);
        }

        #[test]
        fn a_changed_bit_is_noticed(message in message(), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut bytes = encode(&message).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            let mut decoder = Decoder::new();
            decoder.push(&bytes);
            prop_assert!(!matches!(decoder.next_message(), Ok(Some(_))));
        }

        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut decoder = Decoder::new();
            decoder.push(&bytes);
            let _ = decoder.next_message();
            let _ = decode_headers(&bytes);
        }
    }

    #[test]
    fn known_frame() {
        // The smallest frame there is: no headers, no payload.
        assert_eq!(hex(&encode(&Message::default()).unwrap()), "000000100000000005c248eb7d98c8ff");
        let message = Message {
            headers: vec![("event-type".to_owned(), HeaderValue::Str("r".to_owned()))],
            payload: Bytes::from_static(b"{'foo':'bar'}"),
        };
        // Checked with an independent implementation (Python's `struct` and `zlib.crc32`).
        insta::assert_snapshot!(hex(&encode(&message).unwrap()), @"0000002c0000000ff1ac00fd0a6576656e742d74797065070001727b27666f6f273a27626172277d8474371e");
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    }
}
