//! JSON text, guided by shapes: bodies of awsJson and restJson, and payloads of events.

use std::fmt;

use base64::Engine as _;
use bytes::Bytes;
use facts::{Location, Member, Service, Shape, ShapeId, ShapeKind, TimestampFormat};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::error::{DecodeError, Format};
use crate::limits;
use crate::scalar::{self, BASE64};
use crate::timestamp;
use crate::value::{Struct, Timestamp, Value};

const STRUCTURE: &str = "Start of structure or map found where not expected.";
const LIST: &str = "Start of list found where not expected.";

/// Reads a body. An empty one is an empty structure.
pub(crate) fn decode(service: &'static Service, id: ShapeId, body: &[u8]) -> Result<Value, DecodeError> {
    if body.is_empty() {
        return Ok(Value::Struct(Struct::new()));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = Seed { service, shape: service.shape(id), depth: 0 }.deserialize(&mut reader).map_err(error)?;
    reader.end().map_err(error)?;
    Ok(value)
}

fn error(error: serde_json::Error) -> DecodeError {
    if error.is_data() {
        // The reader adds ` at line 1 column 2`, which AWS does not.
        let text = error.to_string();
        let reason = text.rsplit_once(" at line ").map_or(text.as_str(), |(reason, _)| reason).to_owned();
        return DecodeError::Type { format: Format::Json, member: "body".to_owned(), reason };
    }
    DecodeError::Syntax { format: Format::Json, reason: "Unexpected token received from parser".to_owned() }
}

#[derive(Clone, Copy)]
struct Seed {
    service: &'static Service,
    shape: &'static Shape,
    depth: usize,
}

impl Seed {
    fn inner<E: Error>(self, id: ShapeId) -> Result<Self, E> {
        if self.depth >= limits::DEPTH {
            return Err(E::custom("the value is nested too deeply"));
        }
        Ok(Self { service: self.service, shape: self.service.shape(id), depth: self.depth + 1 })
    }

    fn mismatch<E: Error>(self, token: &str) -> E {
        let wanted = match self.shape.kind {
            ShapeKind::Structure { .. } | ShapeKind::List { .. } | ShapeKind::Map { .. } => {
                return E::custom("Unexpected value type in payload");
            }
            ShapeKind::String => "a String",
            ShapeKind::Blob { .. } => "a ByteBuffer",
            ShapeKind::Boolean => "a Boolean",
            ShapeKind::Integer | ShapeKind::Long => scalar::integer_name(self.shape),
            ShapeKind::Float => "a Float",
            ShapeKind::Double => "a Double",
            ShapeKind::Timestamp { .. } => "a Timestamp",
        };
        E::custom(format!("{token} can not be converted to {wanted}"))
    }

    fn number<E: Error>(self, number: f64) -> Result<Value, E> {
        let value = match self.shape.kind {
            ShapeKind::Float | ShapeKind::Double => Some(Value::Float(number)),
            ShapeKind::Timestamp { .. } => timestamp::from_seconds(number).map(Value::Time),
            ShapeKind::Integer | ShapeKind::Long => scalar::whole(number).and_then(|whole| scalar::integer(self.shape, whole)),
            _ => None,
        };
        value.ok_or_else(|| self.mismatch("NUMBER_VALUE"))
    }
}

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if matches!(self.shape.kind, ShapeKind::Structure { document: true, .. }) {
            return serde::Deserialize::deserialize(deserializer).map(Value::Document);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.shape.name)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        match self.shape.kind {
            ShapeKind::Boolean => Ok(Value::Bool(flag)),
            _ => Err(self.mismatch(if flag { "TRUE_VALUE" } else { "FALSE_VALUE" })),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        match self.shape.kind {
            ShapeKind::Integer | ShapeKind::Long => scalar::integer(self.shape, number).ok_or_else(|| self.mismatch("NUMBER_VALUE")),
            #[expect(clippy::cast_precision_loss, reason = "a JSON number has no more precision than a double")]
            _ => self.number(number as f64),
        }
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            #[expect(clippy::cast_precision_loss, reason = "a JSON number has no more precision than a double")]
            Err(_) => self.number(number as f64),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        self.number(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        let value = match self.shape.kind {
            ShapeKind::String => Some(Value::Str(text.to_owned())),
            ShapeKind::Blob { .. } => BASE64.decode(text).ok().map(|bytes| Value::Bytes(Bytes::from(bytes))),
            ShapeKind::Timestamp { .. } => timestamp::parse(text).map(Value::Time),
            ShapeKind::Float | ShapeKind::Double if matches!(text, "NaN" | "Infinity" | "-Infinity") => {
                scalar::float(text).map(Value::Float)
            }
            _ => None,
        };
        value.ok_or_else(|| self.mismatch("STRING_VALUE"))
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Value, E> {
        match self.shape.kind {
            ShapeKind::String => Ok(Value::Str(text)),
            _ => self.visit_str(&text),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let ShapeKind::List { item, .. } = self.shape.kind else {
            return Err(Error::custom(LIST));
        };
        let seed = self.inner(item)?;
        let mut list = Vec::new();
        while let Some(value) = items.next_element_seed(seed)? {
            if list.len() >= limits::LIST_ENTRIES {
                return Err(Error::custom("the list has too many entries"));
            }
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        match &self.shape.kind {
            ShapeKind::Structure { members, .. } => {
                let mut fields = Struct::with_capacity(members.len().min(8));
                while let Some(member) = entries.next_key_seed(NameSeed { members })? {
                    let Some(member) = member else {
                        entries.next_value::<IgnoredAny>()?;
                        continue;
                    };
                    match entries.next_value_seed(self.inner(member.shape)?)? {
                        Value::Null => drop(fields.take(member.name)),
                        value => fields.set(member.name, value),
                    }
                }
                Ok(Value::Struct(fields))
            }
            ShapeKind::Map { value, .. } => {
                let seed = self.inner(*value)?;
                let mut map = Vec::new();
                while let Some(key) = entries.next_key::<String>()? {
                    if map.len() >= limits::LIST_ENTRIES {
                        return Err(Error::custom("the map has too many entries"));
                    }
                    map.push((key, entries.next_value_seed(seed)?));
                }
                Ok(Value::Map(scalar::last_entries(map)))
            }
            _ => Err(Error::custom(STRUCTURE)),
        }
    }
}

/// Finds the member behind a JSON key without copying the key.
struct NameSeed {
    members: &'static [Member],
}

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Option<&'static Member>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed {
    type Value = Option<&'static Member>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.members.iter().find(|member| member.location == Location::Body && member.wire_name() == name))
    }
}

/// Writes a value of a shape.
pub(crate) fn encode(out: &mut Vec<u8>, service: &'static Service, id: ShapeId, value: &Value) {
    write(out, service, service.shape(id), None, value);
}

fn write(out: &mut Vec<u8>, service: &'static Service, shape: &'static Shape, member: Option<&Member>, value: &Value) {
    match (&shape.kind, value) {
        (ShapeKind::Structure { members, document: false, .. }, Value::Struct(fields)) => {
            out.push(b'{');
            let mut comma = false;
            for (name, value) in fields.iter() {
                let Some(member) = members.iter().find(|member| member.name == name && member.location == Location::Body) else {
                    continue;
                };
                if *value == Value::Null {
                    continue;
                }
                separate(out, &mut comma);
                string(out, member.wire_name());
                out.push(b':');
                write(out, service, service.shape(member.shape), Some(member), value);
            }
            out.push(b'}');
        }
        (ShapeKind::List { item, .. }, Value::List(items)) => {
            let item = service.shape(*item);
            out.push(b'[');
            let mut comma = false;
            for value in items {
                separate(out, &mut comma);
                write(out, service, item, None, value);
            }
            out.push(b']');
        }
        (ShapeKind::Map { value: of, .. }, Value::Map(entries)) => {
            let of = service.shape(*of);
            out.push(b'{');
            let mut comma = false;
            for (key, value) in entries {
                separate(out, &mut comma);
                string(out, key);
                out.push(b':');
                write(out, service, of, None, value);
            }
            out.push(b'}');
        }
        (ShapeKind::Timestamp { format }, Value::Time(time)) => {
            write_time(out, *time, member.and_then(|member| member.timestamp_format).or(*format));
        }
        _ => write_free(out, value),
    }
}

fn write_time(out: &mut Vec<u8>, time: Timestamp, format: Option<TimestampFormat>) {
    match format.unwrap_or(TimestampFormat::UnixTimestamp) {
        TimestampFormat::UnixTimestamp => out.extend_from_slice(timestamp::format(time, TimestampFormat::UnixTimestamp).as_bytes()),
        format => string(out, &timestamp::format(time, format)),
    }
}

/// Writes a value without a shape: further members of errors, and scalars.
pub(crate) fn write_free(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Int(number) => out.extend_from_slice(number.to_string().as_bytes()),
        Value::Float(number) if number.is_finite() => {
            out.extend_from_slice(scalar::float_text(*number).as_bytes());
        }
        Value::Float(number) => string(out, &scalar::float_text(*number)),
        Value::Str(text) => string(out, text),
        Value::Bytes(bytes) => string(out, &BASE64.encode(bytes)),
        Value::Time(time) => write_time(out, *time, None),
        Value::Document(document) => out.extend_from_slice(document.to_string().as_bytes()),
        Value::List(items) => {
            out.push(b'[');
            let mut comma = false;
            for value in items {
                separate(out, &mut comma);
                write_free(out, value);
            }
            out.push(b']');
        }
        Value::Map(entries) => write_free_entries(out, entries.iter().map(|(key, value)| (key.as_str(), value))),
        Value::Struct(fields) => {
            write_free_entries(out, fields.iter().map(|(name, value)| -> (&str, &Value) { (name, value) }));
        }
    }
}

fn write_free_entries<'a>(out: &mut Vec<u8>, entries: impl Iterator<Item = (&'a str, &'a Value)>) {
    out.push(b'{');
    let mut comma = false;
    for (key, value) in entries {
        separate(out, &mut comma);
        string(out, key);
        out.push(b':');
        write_free(out, value);
    }
    out.push(b'}');
}

pub(crate) fn separate(out: &mut Vec<u8>, comma: &mut bool) {
    if std::mem::replace(comma, true) {
        out.push(b',');
    }
}

pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    // As a rule there is nothing to escape.
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
}
