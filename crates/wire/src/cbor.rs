//! CBOR (RFC 8949), as far as Smithy's rpc-v2-cbor uses it, guided by shapes.
//!
//! Read: definite and indefinite lengths, half, single and double floats, tag 1 (epoch time; other tags are skipped), null and undefined.
//! Written: definite lengths only. <https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html>

use bytes::Bytes;
use facts::{Member, Service, Shape, ShapeId, ShapeKind};

use crate::error::{DecodeError, Format};
use crate::limits;
use crate::scalar;
use crate::timestamp;
use crate::value::{Struct, Value};

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;
const SIMPLE: u8 = 7;
const INDEFINITE: u8 = 31;
const BREAK: u8 = 0xFF;

/// Reads a body. An empty one is an empty structure.
pub(crate) fn decode(service: &'static Service, id: ShapeId, body: &[u8]) -> Result<Value, DecodeError> {
    if body.is_empty() {
        return Ok(Value::Struct(Struct::new()));
    }
    let mut reader = Reader { rest: body };
    let value = reader.value(service, service.shape(id), 0)?;
    if !reader.rest.is_empty() {
        return Err(syntax("data follows the value"));
    }
    Ok(value)
}

fn syntax(reason: &str) -> DecodeError {
    DecodeError::Syntax { format: Format::Cbor, reason: reason.to_owned() }
}

fn mismatch(shape: &Shape) -> DecodeError {
    DecodeError::Type { format: Format::Cbor, member: shape.name.to_owned(), reason: "Unexpected value type in payload".to_owned() }
}

struct Reader<'a> {
    rest: &'a [u8],
}

/// The first byte of an item and the number behind it.
#[derive(Clone, Copy)]
struct Head {
    major: u8,
    /// `None`: indefinite length (or break).
    argument: Option<u64>,
    /// Low five bits of the first byte.
    info: u8,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| syntax("the data ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self, bytes: usize) -> Result<u64, DecodeError> {
        Ok(self.take(bytes)?.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn head(&mut self) -> Result<Head, DecodeError> {
        let first = *self.take(1)?.first().unwrap_or(&BREAK);
        let (major, info) = (first >> 5, first & 31);
        let argument = match info {
            0..24 => Some(u64::from(info)),
            24 => Some(self.number(1)?),
            25 => Some(self.number(2)?),
            26 => Some(self.number(4)?),
            27 => Some(self.number(8)?),
            INDEFINITE => None,
            _ => return Err(syntax("a length is reserved")),
        };
        Ok(Head { major, argument, info })
    }

    /// Consumes the end mark of an indefinite item, when it is next.
    fn at_break(&mut self) -> bool {
        if let Some((&BREAK, rest)) = self.rest.split_first() {
            self.rest = rest;
            return true;
        }
        false
    }

    /// The head of the next item that is no tag, and the last tag before it.
    fn untagged_head(&mut self) -> Result<(Head, Option<u64>), DecodeError> {
        let mut tag = None;
        for _ in 0..limits::DEPTH {
            let head = self.head()?;
            if head.major != TAG {
                return Ok((head, tag));
            }
            tag = head.argument;
        }
        Err(syntax("too many tags"))
    }

    fn value(&mut self, service: &'static Service, shape: &'static Shape, depth: usize) -> Result<Value, DecodeError> {
        if depth > limits::DEPTH {
            return Err(DecodeError::Limit { format: Format::Cbor, what: "levels", maximum: limits::DEPTH });
        }
        let (head, _tag) = self.untagged_head()?;
        if head.major == SIMPLE && matches!(head.info, 22 | 23) {
            return Ok(Value::Null);
        }
        match (&shape.kind, head.major) {
            (ShapeKind::Structure { members, .. }, MAP) => self.structure(service, members, head, depth),
            (ShapeKind::Map { value, .. }, MAP) => {
                let of = service.shape(*value);
                let mut entries = Vec::new();
                self.each(head, |reader| {
                    let key = reader.text()?;
                    entries.push((key, reader.value(service, of, depth + 1)?));
                    Ok(())
                })?;
                Ok(Value::Map(scalar::last_entries(entries)))
            }
            (ShapeKind::List { item, .. }, ARRAY) => {
                let item = service.shape(*item);
                let mut items = Vec::new();
                self.each(head, |reader| {
                    items.push(reader.value(service, item, depth + 1)?);
                    Ok(())
                })?;
                Ok(Value::List(items))
            }
            (ShapeKind::String, TEXT) => self.text_of(head).map(Value::Str),
            (ShapeKind::Blob { .. }, BYTES) => self.bytes_of(head, BYTES).map(|bytes| Value::Bytes(Bytes::from(bytes))),
            (ShapeKind::Boolean, SIMPLE) if matches!(head.info, 20 | 21) => Ok(Value::Bool(head.info == 21)),
            (ShapeKind::Integer | ShapeKind::Long, _) => {
                let number = self.integer(head).or_else(|| self.float(head).and_then(scalar::whole));
                number.and_then(|number| scalar::integer(shape, number)).ok_or_else(|| mismatch(shape))
            }
            (ShapeKind::Float | ShapeKind::Double, _) => self.real(head).map(Value::Float).ok_or_else(|| mismatch(shape)),
            (ShapeKind::Timestamp { .. }, _) => {
                self.real(head).and_then(timestamp::from_seconds).map(Value::Time).ok_or_else(|| mismatch(shape))
            }
            _ => Err(mismatch(shape)),
        }
    }

    fn structure(&mut self, service: &'static Service, members: &'static [Member], head: Head, depth: usize) -> Result<Value, DecodeError> {
        let mut fields = Struct::with_capacity(members.len().min(8));
        self.each(head, |reader| {
            let name = reader.text()?;
            let Some(member) = members.iter().find(|member| member.wire_name() == name) else {
                return reader.skip(depth + 1);
            };
            match reader.value(service, service.shape(member.shape), depth + 1)? {
                Value::Null => drop(fields.take(member.name)),
                value => fields.set(member.name, value),
            }
            Ok(())
        })?;
        Ok(Value::Struct(fields))
    }

    /// Calls back for every entry of an array or map.
    fn each(&mut self, head: Head, mut entry: impl FnMut(&mut Self) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
        let mut count = 0_usize;
        loop {
            match head.argument {
                Some(length) if u64::try_from(count).is_ok_and(|count| count >= length) => {
                    return Ok(());
                }
                None if self.at_break() => return Ok(()),
                _ => {}
            }
            if count >= limits::LIST_ENTRIES {
                return Err(DecodeError::Limit { format: Format::Cbor, what: "entries", maximum: limits::LIST_ENTRIES });
            }
            entry(self)?;
            count += 1;
        }
    }

    fn text(&mut self) -> Result<String, DecodeError> {
        let head = self.head()?;
        if head.major != TEXT {
            return Err(syntax("a map key is no text"));
        }
        self.text_of(head)
    }

    fn text_of(&mut self, head: Head) -> Result<String, DecodeError> {
        String::from_utf8(self.bytes_of(head, TEXT)?).map_err(|_| syntax("a text is not UTF-8"))
    }

    fn bytes_of(&mut self, head: Head, major: u8) -> Result<Vec<u8>, DecodeError> {
        if let Some(length) = head.argument {
            let length = usize::try_from(length).map_err(|_| syntax("a length is too large"))?;
            return self.take(length).map(<[u8]>::to_vec);
        }
        let mut out = Vec::new();
        while !self.at_break() {
            let chunk = self.head()?;
            let length = chunk.argument.filter(|_| chunk.major == major).ok_or_else(|| syntax("a chunk is of another type"))?;
            let length = usize::try_from(length).map_err(|_| syntax("a length is too large"))?;
            out.extend_from_slice(self.take(length)?);
        }
        Ok(out)
    }

    #[expect(clippy::unused_self, reason = "reads beside `float` and `real`, which share its form")]
    fn integer(&self, head: Head) -> Option<i64> {
        let number = i64::try_from(head.argument?).ok()?;
        match head.major {
            UNSIGNED => Some(number),
            NEGATIVE => Some(-1 - number),
            _ => None,
        }
    }

    #[expect(clippy::unused_self, reason = "reads beside `integer` and `real`, which share its form")]
    fn float(&self, head: Head) -> Option<f64> {
        let bits = head.argument.filter(|_| head.major == SIMPLE)?;
        match head.info {
            25 => u16::try_from(bits).ok().map(half),
            26 => u32::try_from(bits).ok().map(|bits| f64::from(f32::from_bits(bits))),
            27 => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    fn real(&self, head: Head) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "an integer in a float's place is read as the nearest float")]
        self.float(head).or_else(|| self.integer(head).map(|number| number as f64))
    }

    /// Skips one item of any type.
    fn skip(&mut self, depth: usize) -> Result<(), DecodeError> {
        if depth > limits::DEPTH {
            return Err(DecodeError::Limit { format: Format::Cbor, what: "levels", maximum: limits::DEPTH });
        }
        let (head, _) = self.untagged_head()?;
        match head.major {
            BYTES | TEXT => self.bytes_of(head, head.major).map(drop),
            ARRAY => self.each(head, |reader| reader.skip(depth + 1)),
            MAP => self.each(head, |reader| {
                reader.skip(depth + 1)?;
                reader.skip(depth + 1)
            }),
            _ if head.argument.is_none() => Err(syntax("an end mark stands where a value belongs")),
            _ => Ok(()),
        }
    }
}

/// The text entries of a map, for errors whose shape is not known yet.
pub(crate) fn texts(body: &[u8]) -> Vec<(String, String)> {
    let mut reader = Reader { rest: body };
    let mut found = Vec::new();
    if let Ok(head) = reader.head()
        && head.major == MAP
    {
        // What was read before a fault is still worth showing.
        let _ = reader.each(head, |reader| {
            let key = reader.text()?;
            if reader.rest.first().is_some_and(|first| first >> 5 == TEXT) {
                found.push((key, reader.text()?));
                return Ok(());
            }
            reader.skip(1)
        });
    }
    found
}

/// IEEE 754 half precision.
fn half(bits: u16) -> f64 {
    let exponent = i32::from(bits >> 10 & 31);
    let fraction = f64::from(bits & 1023);
    let magnitude = match exponent {
        0 => fraction * 2_f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f64.powi(exponent - 15),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// Writes a value of a shape.
pub(crate) fn encode(out: &mut Vec<u8>, service: &'static Service, id: ShapeId, value: &Value) {
    write(out, service, Some(service.shape(id)), value);
}

/// Writes a value, with a shape where there is one.
pub(crate) fn write(out: &mut Vec<u8>, service: &'static Service, shape: Option<&'static Shape>, value: &Value) {
    match value {
        Value::Null => out.push(0xF6),
        Value::Bool(flag) => out.push(if *flag { 0xF5 } else { 0xF4 }),
        Value::Int(number) => match u64::try_from(*number) {
            Ok(number) => head(out, UNSIGNED, number),
            Err(_) => head(out, NEGATIVE, (-1 - number).unsigned_abs()),
        },
        Value::Float(number) => float(out, *number),
        Value::Str(text) => string(out, text),
        Value::Bytes(bytes) => {
            count(out, BYTES, bytes.len());
            out.extend_from_slice(bytes);
        }
        Value::Time(time) => {
            head(out, TAG, 1);
            if time.0.rem_euclid(1000) == 0 {
                write(out, service, None, &Value::Int(time.0.div_euclid(1000)));
            } else {
                float(out, timestamp::to_seconds(*time));
            }
        }
        Value::List(items) => {
            let item = match shape.map(|shape| &shape.kind) {
                Some(ShapeKind::List { item, .. }) => Some(service.shape(*item)),
                _ => None,
            };
            count(out, ARRAY, items.len());
            for value in items {
                write(out, service, item, value);
            }
        }
        Value::Map(entries) => {
            let of = match shape.map(|shape| &shape.kind) {
                Some(ShapeKind::Map { value, .. }) => Some(service.shape(*value)),
                _ => None,
            };
            count(out, MAP, entries.len());
            for (key, value) in entries {
                string(out, key);
                write(out, service, of, value);
            }
        }
        Value::Struct(fields) => {
            let members: &[Member] = match shape.map(|shape| &shape.kind) {
                Some(ShapeKind::Structure { members, .. }) => members,
                _ => &[],
            };
            let present: Vec<_> = fields.iter().filter(|(_, value)| **value != Value::Null).collect();
            count(out, MAP, present.len());
            for (name, value) in present {
                let member = members.iter().find(|member| member.name == name);
                string(out, member.map_or(name, Member::wire_name));
                write(out, service, member.map(|member| service.shape(member.shape)), value);
            }
        }
        // No CBOR service has documents; JSON text loses nothing.
        Value::Document(document) => string(out, &document.to_string()),
    }
}

pub(crate) fn map_head(out: &mut Vec<u8>, entries: usize) {
    count(out, MAP, entries);
}

pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    count(out, TEXT, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn count(out: &mut Vec<u8>, major: u8, length: usize) {
    head(out, major, u64::try_from(length).unwrap_or(u64::MAX));
}

fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let [_, _, _, _, b3, b2, b1, b0] = argument.to_be_bytes();
    let major = major << 5;
    match argument {
        0..24 => out.push(major | b0),
        24..0x100 => out.extend_from_slice(&[major + 24, b0]),
        0x100..0x1_0000 => out.extend_from_slice(&[major + 25, b1, b0]),
        0x1_0000..0x1_0000_0000 => out.extend_from_slice(&[major + 26, b3, b2, b1, b0]),
        _ => {
            out.push(major + 27);
            out.extend_from_slice(&argument.to_be_bytes());
        }
    }
}

fn float(out: &mut Vec<u8>, number: f64) {
    out.push((SIMPLE << 5) + 27);
    out.extend_from_slice(&number.to_bits().to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        assert_eq!(half(0x3C00).to_bits(), 1.0_f64.to_bits());
        assert_eq!(half(0xC000).to_bits(), (-2.0_f64).to_bits());
        assert_eq!(half(0x7C00).to_bits(), f64::INFINITY.to_bits());
        assert_eq!(half(0xFC00).to_bits(), f64::NEG_INFINITY.to_bits());
        assert!(half(0x7E00).is_nan());
        assert_eq!(half(0x0001).to_bits(), 2_f64.powi(-24).to_bits());
    }
}
