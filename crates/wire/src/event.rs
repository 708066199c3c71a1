//! Events of event streams, guided by the union that lists their types: values to frames and back.

use bytes::Bytes;
use facts::{Member, Operation, Protocol, Service, ShapeId, ShapeKind};

use crate::error::{DecodeError, ErrorReply, Format};
use crate::event_stream::{self, FrameError, HeaderValue, Message};
use crate::value::{Struct, Timestamp, Value};
use crate::xml::Writer;
use crate::xml_shape::{self, Direction, Encoder};
use crate::{cbor, json, xml};

/// Encodes an event: a [`Value::Struct`] with the one member of the union that names its type.
pub fn encode_event(protocol: Protocol, service: &'static Service, union: ShapeId, event: &Value) -> Result<Vec<u8>, FrameError> {
    let chosen = event.as_struct().and_then(|fields| fields.iter().next());
    let (name, value) = chosen.ok_or(FrameError::Headers)?;
    let member = service.members(union).iter().find(|member| member.name == name).ok_or(FrameError::Headers)?;
    let mut headers = message_headers("event", ":event-type", member.wire_name());
    let none = Struct::new();
    let fields = value.as_struct().unwrap_or(&none);
    let members = service.members(member.shape);
    for member in members.iter().filter(|member| member.event_header) {
        if let Some(value) = fields.get(member.name).and_then(|value| to_header(service, member, value)) {
            headers.push((member.wire_name().to_owned(), value));
        }
    }
    let (content_type, payload) = if let Some(member) = members.iter().find(|member| member.event_payload) {
        match fields.get(member.name) {
            Some(Value::Bytes(bytes)) => ("application/octet-stream", bytes.clone()),
            Some(Value::Str(text)) => ("text/plain", Bytes::copy_from_slice(text.as_bytes())),
            Some(value) => body(protocol, service, member.shape, member.wire_name(), value),
            None => (media_type(protocol), Bytes::new()),
        }
    } else {
        let mut rest = fields.clone();
        for member in members.iter().filter(|member| member.event_header) {
            rest.take(member.name);
        }
        if rest.is_empty() && protocol == Protocol::RestXml {
            (media_type(protocol), Bytes::new())
        } else {
            body(protocol, service, member.shape, member.wire_name(), &Value::Struct(rest))
        }
    };
    if !payload.is_empty() {
        headers.push((":content-type".to_owned(), HeaderValue::Str(content_type.to_owned())));
    }
    event_stream::encode(&Message { headers, payload })
}

/// Encodes the first frame of an answer in an RPC protocol: the members of the output beside the stream.
pub fn encode_initial_response(
    protocol: Protocol,
    service: &'static Service,
    operation: &'static Operation,
    output: &Value,
) -> Result<Vec<u8>, FrameError> {
    let mut headers = message_headers("event", ":event-type", "initial-response");
    headers.push((":content-type".to_owned(), HeaderValue::Str(media_type(protocol).to_owned())));
    let payload = match operation.output {
        Some(id) => body(protocol, service, id, operation.name, output).1,
        None => Bytes::new(),
    };
    event_stream::encode(&Message { headers, payload })
}

/// Encodes an error in the middle of a stream: an exception where the union lists it, an unmodelled error otherwise.
pub fn encode_exception(protocol: Protocol, service: &'static Service, union: ShapeId, error: &ErrorReply) -> Result<Vec<u8>, FrameError> {
    let listed = service.members(union).iter().find(|member| {
        let shape = service.shape(member.shape);
        member.name == error.code || (shape.error.is_some() && shape.name == error.code)
    });
    let Some(member) = listed else {
        let mut headers = message_headers("error", ":error-code", &error.code);
        headers.push((":error-message".to_owned(), HeaderValue::Str(error.message.clone())));
        return event_stream::encode(&Message { headers, payload: Bytes::new() });
    };
    let mut headers = message_headers("exception", ":exception-type", member.wire_name());
    headers.push((":content-type".to_owned(), HeaderValue::Str(media_type(protocol).to_owned())));
    let mut fields = Struct::new();
    for part in service.members(member.shape) {
        let value = if part.name.eq_ignore_ascii_case("message") {
            Some(Value::Str(error.message.clone()))
        } else {
            error.members.iter().find(|(name, _)| name == part.name).map(|(_, value)| value.clone())
        };
        if let Some(value) = value {
            fields.set(part.name, value);
        }
    }
    let payload = body(protocol, service, member.shape, member.wire_name(), &Value::Struct(fields)).1;
    event_stream::encode(&Message { headers, payload })
}

/// Decodes a frame as an event of the union. An event of an unknown type is an empty structure.
pub fn decode_event(protocol: Protocol, service: &'static Service, union: ShapeId, message: &Message) -> Result<Value, DecodeError> {
    let kind = message.text(":event-type").or_else(|| message.text(":exception-type")).unwrap_or_default();
    let mut event = Struct::new();
    let Some(member) = service.members(union).iter().find(|member| member.wire_name() == kind) else {
        return Ok(Value::Struct(event));
    };
    let members = service.members(member.shape);
    let mut fields = match members.iter().find(|member| member.event_payload) {
        Some(part) => {
            let mut fields = Struct::new();
            if let Some(value) = payload_member(protocol, service, part, &message.payload)? {
                fields.set(part.name, value);
            }
            fields
        }
        None => match read_body(protocol, service, member.shape, &message.payload)? {
            Value::Struct(fields) => fields,
            _ => Struct::new(),
        },
    };
    for part in members.iter().filter(|member| member.event_header) {
        if let Some(value) = message.header(part.wire_name()).and_then(|value| from_header(service, part, value)) {
            fields.set(part.name, value);
        }
    }
    event.set(member.name, Value::Struct(fields));
    Ok(Value::Struct(event))
}

fn message_headers(kind: &str, name: &str, value: &str) -> Vec<(String, HeaderValue)> {
    let text = |text: &str| HeaderValue::Str(text.to_owned());
    vec![(":message-type".to_owned(), text(kind)), (name.to_owned(), text(value))]
}

fn media_type(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::RestXml | Protocol::Query | Protocol::Ec2Query => "text/xml",
        Protocol::RpcV2Cbor => "application/cbor",
        Protocol::RestJson => "application/json",
        Protocol::Json10 => "application/x-amz-json-1.0",
        Protocol::Json11 => "application/x-amz-json-1.1",
    }
}

fn body(protocol: Protocol, service: &'static Service, id: ShapeId, name: &str, value: &Value) -> (&'static str, Bytes) {
    let mut out = Vec::new();
    match protocol {
        Protocol::RestXml | Protocol::Query | Protocol::Ec2Query => {
            let mut writer = Writer::document();
            Encoder { service, direction: Direction::Output, writer: &mut writer }.root(id, name, None, value);
            out = writer.finish();
        }
        Protocol::RpcV2Cbor => cbor::encode(&mut out, service, id, value),
        Protocol::RestJson | Protocol::Json10 | Protocol::Json11 => {
            json::encode(&mut out, service, id, value);
        }
    }
    (media_type(protocol), Bytes::from(out))
}

fn read_body(protocol: Protocol, service: &'static Service, id: ShapeId, payload: &Bytes) -> Result<Value, DecodeError> {
    match protocol {
        Protocol::RestXml | Protocol::Query | Protocol::Ec2Query if payload.is_empty() => Ok(Value::Struct(Struct::new())),
        Protocol::RestXml | Protocol::Query | Protocol::Ec2Query => xml_shape::decode(service, id, &xml::parse(payload)?),
        Protocol::RpcV2Cbor => cbor::decode(service, id, payload),
        Protocol::RestJson | Protocol::Json10 | Protocol::Json11 => json::decode(service, id, payload),
    }
}

fn payload_member(protocol: Protocol, service: &'static Service, member: &Member, payload: &Bytes) -> Result<Option<Value>, DecodeError> {
    match service.shape(member.shape).kind {
        ShapeKind::Blob { .. } => Ok(Some(Value::Bytes(payload.clone()))),
        ShapeKind::String => String::from_utf8(payload.to_vec()).map(|text| Some(Value::Str(text))).map_err(|_| DecodeError::Type {
            format: Format::Http,
            member: member.name.to_owned(),
            reason: "the text is not UTF-8".to_owned(),
        }),
        _ if payload.is_empty() => Ok(None),
        _ => read_body(protocol, service, member.shape, payload).map(Some),
    }
}

fn to_header(service: &'static Service, member: &Member, value: &Value) -> Option<HeaderValue> {
    Some(match value {
        Value::Bool(flag) => HeaderValue::Bool(*flag),
        Value::Int(number) => match (&service.shape(member.shape).kind, i32::try_from(*number)) {
            (ShapeKind::Integer, Ok(number)) => HeaderValue::Int(number),
            _ => HeaderValue::Long(*number),
        },
        Value::Bytes(bytes) => HeaderValue::Bytes(bytes.clone()),
        Value::Str(text) => HeaderValue::Str(text.clone()),
        Value::Time(time) => HeaderValue::Timestamp(time.0),
        _ => return None,
    })
}

fn from_header(service: &'static Service, member: &Member, value: &HeaderValue) -> Option<Value> {
    let number = match value {
        HeaderValue::Byte(number) => Some(i64::from(*number)),
        HeaderValue::Short(number) => Some(i64::from(*number)),
        HeaderValue::Int(number) => Some(i64::from(*number)),
        HeaderValue::Long(number) => Some(*number),
        _ => None,
    };
    match (&service.shape(member.shape).kind, value) {
        (ShapeKind::Boolean, HeaderValue::Bool(flag)) => Some(Value::Bool(*flag)),
        (ShapeKind::Integer | ShapeKind::Long, _) => number.map(Value::Int),
        (ShapeKind::Blob { .. }, HeaderValue::Bytes(bytes)) => Some(Value::Bytes(bytes.clone())),
        (ShapeKind::String, HeaderValue::Str(text)) => Some(Value::Str(text.clone())),
        (ShapeKind::Timestamp { .. }, HeaderValue::Timestamp(milliseconds)) => Some(Value::Time(Timestamp(*milliseconds))),
        _ => None,
    }
}
