//! Errors on the wire, both ways.

use std::borrow::Cow;

use facts::{ErrorFacts, Location, Member, Protocol, Service, Shape, ShapeId, ShapeKind, TimestampFormat};
use http::HeaderMap;

use crate::error::ErrorReply;
use crate::value::{Struct, Value};
use crate::xml::{Element, Writer};
use crate::xml_shape::{Direction, Encoder};
use crate::{Encoded, Headers, cbor, json, scalar, server, xml};

/// Encodes an error. An answer to `HEAD` carries status and headers alone: whoever sends it drops the body.
pub fn encode_error(protocol: Protocol, service: Option<&'static Service>, error: &ErrorReply, request_id: &str) -> Encoded {
    let modelled = service.and_then(|service| Modelled::find(service, &error.code));
    let mut headers = server::request_id_headers(protocol, service, request_id);
    if let Some(code) = modelled.as_ref().and_then(|modelled| modelled.facts.query_compatible_code)
        && matches!(protocol, Protocol::Json10 | Protocol::Json11 | Protocol::RpcV2Cbor)
    {
        headers.push(("x-amzn-query-error".into(), format!("{code};{}", fault(error))));
    }
    let body = match protocol {
        Protocol::Json10 | Protocol::Json11 => {
            headers.push(("content-type".into(), server::json_media_type(protocol).to_owned()));
            json_body(modelled.as_ref(), error, true)
        }
        Protocol::RestJson => {
            headers.push(("content-type".into(), "application/json".to_owned()));
            headers.push(("x-amzn-ErrorType".into(), error.code.clone()));
            headers.extend(header_members(modelled.as_ref(), error));
            json_body(modelled.as_ref(), error, false)
        }
        Protocol::RpcV2Cbor => {
            headers.push(("smithy-protocol".into(), "rpc-v2-cbor".to_owned()));
            headers.push(("content-type".into(), "application/cbor".to_owned()));
            cbor_body(service, modelled.as_ref(), error)
        }
        Protocol::RestXml if service.is_none_or(|service| service.head.id == "s3") => {
            headers.push(("content-type".into(), "application/xml".to_owned()));
            s3_body(modelled.as_ref(), error, request_id)
        }
        Protocol::RestXml | Protocol::Query => {
            headers.push(("content-type".into(), "text/xml".to_owned()));
            query_body(service, modelled.as_ref(), error, request_id)
        }
        Protocol::Ec2Query => {
            headers.push(("content-type".into(), "text/xml;charset=UTF-8".to_owned()));
            ec2_body(error, request_id)
        }
    };
    Encoded { status: error.status, headers, body }
}

fn fault(error: &ErrorReply) -> &'static str {
    if error.sender_fault { "Sender" } else { "Receiver" }
}

/// An error structure of the model.
struct Modelled {
    service: &'static Service,
    shape: &'static Shape,
    facts: &'static ErrorFacts,
}

impl Modelled {
    fn find(service: &'static Service, code: &str) -> Option<Self> {
        let of = |shape: &'static Shape| shape.error.as_ref().map(|facts| Self { service, shape, facts });
        let named = service.shapes.iter().find(|shape| shape.name == code && shape.error.is_some());
        let coded = || service.shapes.iter().find(|shape| shape.error.as_ref().is_some_and(|facts| facts.code == code));
        named.or_else(coded).and_then(of)
    }

    fn members(&self) -> &'static [Member] {
        match &self.shape.kind {
            ShapeKind::Structure { members, .. } => members,
            _ => &[],
        }
    }

    fn member(&self, name: &str) -> Option<&'static Member> {
        self.members().iter().find(|member| member.name == name)
    }
}

fn is_message(name: &str) -> bool {
    name.eq_ignore_ascii_case("message")
}

/// `message` or `Message`, as the error's structure has it.
fn message_name(modelled: Option<&Modelled>) -> &'static str {
    let found = modelled.and_then(|modelled| modelled.members().iter().find(|member| is_message(member.name)));
    found.map_or("message", Member::wire_name)
}

/// Services that left the query protocol put the name of the structure on the wire and the old code into a header.
fn wire_code<'a>(modelled: Option<&Modelled>, error: &'a ErrorReply) -> Cow<'a, str> {
    match modelled {
        Some(modelled) if modelled.facts.query_compatible_code.is_some() => Cow::Borrowed(modelled.shape.name),
        _ => Cow::Borrowed(&error.code),
    }
}

/// Members besides the message, with their member facts where the error is modelled.
fn further<'a>(
    modelled: Option<&'a Modelled>,
    error: &'a ErrorReply,
) -> impl Iterator<Item = (&'a str, Option<&'static Member>, &'a Value)> {
    let known = error.members.iter().filter(|(name, value)| !is_message(name) && *value != Value::Null);
    known.map(move |(name, value)| (name.as_str(), modelled.and_then(|modelled| modelled.member(name)), value))
}

fn json_body(modelled: Option<&Modelled>, error: &ErrorReply, with_type: bool) -> Vec<u8> {
    let mut body = vec![b'{'];
    let mut comma = false;
    let key = |body: &mut Vec<u8>, comma: &mut bool, name: &str| {
        json::separate(body, comma);
        json::string(body, name);
        body.push(b':');
    };
    if with_type {
        key(&mut body, &mut comma, "__type");
        json::string(&mut body, &wire_code(modelled, error));
    }
    key(&mut body, &mut comma, message_name(modelled));
    json::string(&mut body, &error.message);
    for (name, member, value) in further(modelled, error) {
        match (modelled, member) {
            (_, Some(member)) if member.location != Location::Body => {}
            (Some(modelled), Some(member)) => {
                key(&mut body, &mut comma, member.wire_name());
                json::encode(&mut body, modelled.service, member.shape, value);
            }
            _ => {
                key(&mut body, &mut comma, name);
                json::write_free(&mut body, value);
            }
        }
    }
    body.push(b'}');
    body
}

fn header_members(modelled: Option<&Modelled>, error: &ErrorReply) -> Headers {
    let in_headers = further(modelled, error).filter_map(|(_, member, value)| {
        let member = member.filter(|member| member.location == Location::Header)?;
        Some((member.wire_name().into(), scalar::format(value, TimestampFormat::Rfc822)?))
    });
    in_headers.collect()
}

fn cbor_body(service: Option<&'static Service>, modelled: Option<&Modelled>, error: &ErrorReply) -> Vec<u8> {
    let mut body = Vec::new();
    cbor::map_head(&mut body, 2 + further(modelled, error).count());
    cbor::string(&mut body, "__type");
    cbor::string(&mut body, &wire_code(modelled, error));
    cbor::string(&mut body, message_name(modelled));
    cbor::string(&mut body, &error.message);
    for (name, member, value) in further(modelled, error) {
        cbor::string(&mut body, member.map_or(name, |member| member.wire_name()));
        match service {
            Some(service) => cbor::write(&mut body, service, member.map(|member| service.shape(member.shape)), value),
            None => cbor::string(&mut body, &scalar::format(value, TimestampFormat::Iso8601).unwrap_or_default()),
        }
    }
    body
}

fn s3_body(modelled: Option<&Modelled>, error: &ErrorReply, request_id: &str) -> Vec<u8> {
    let mut writer = Writer::document();
    writer.open("Error");
    writer.leaf("Code", &error.code);
    writer.leaf("Message", &error.message);
    xml_members(&mut writer, modelled, error);
    writer.leaf("RequestId", request_id);
    writer.leaf("HostId", &server::host_id(request_id));
    writer.close("Error");
    writer.finish()
}

fn query_body(service: Option<&'static Service>, modelled: Option<&Modelled>, error: &ErrorReply, request_id: &str) -> Vec<u8> {
    let mut writer = Writer::document();
    let namespace: Vec<_> =
        service.and_then(|service| service.xml_namespace).map(|uri| ("xmlns".to_owned(), uri.to_owned())).into_iter().collect();
    writer.open_with("ErrorResponse", &namespace);
    writer.open("Error");
    writer.leaf("Type", fault(error));
    writer.leaf("Code", &error.code);
    writer.leaf("Message", &error.message);
    xml_members(&mut writer, modelled, error);
    writer.close("Error");
    writer.leaf("RequestId", request_id);
    writer.close("ErrorResponse");
    writer.finish()
}

fn ec2_body(error: &ErrorReply, request_id: &str) -> Vec<u8> {
    let mut writer = Writer::document();
    writer.open("Response");
    writer.open("Errors");
    writer.open("Error");
    writer.leaf("Code", &error.code);
    writer.leaf("Message", &error.message);
    xml_members(&mut writer, None, error);
    writer.close("Error");
    writer.close("Errors");
    writer.leaf("RequestID", request_id);
    writer.close("Response");
    writer.finish()
}

fn xml_members(writer: &mut Writer, modelled: Option<&Modelled>, error: &ErrorReply) {
    for (name, member, value) in further(modelled, error) {
        match (modelled, member) {
            (Some(modelled), Some(member)) => {
                let mut encoder = Encoder { service: modelled.service, direction: Direction::Output, writer };
                encoder.root(member.shape, member.wire_name(), None, value);
            }
            _ => writer.leaf(name, &scalar::format(value, TimestampFormat::Iso8601).unwrap_or_default()),
        }
    }
}

/// Decodes an error. What cannot be read leaves the status as the code, as SDKs do it.
pub fn decode_error(protocol: Protocol, service: &'static Service, status: u16, headers: &HeaderMap, body: &[u8]) -> ErrorReply {
    let mut error = match protocol {
        Protocol::Json10 | Protocol::Json11 | Protocol::RestJson => from_json(service, headers, body),
        Protocol::RpcV2Cbor => from_cbor(service, body),
        Protocol::Query | Protocol::Ec2Query | Protocol::RestXml => from_xml(body),
    };
    if error.code.is_empty() {
        error.code = status.to_string();
    }
    error.status = status;
    error.sender_fault = status < 500;
    error
}

/// `namespace#Code:http://...` without what surrounds the code.
fn plain_code(text: &str) -> String {
    let text = text.split_once(':').map_or(text, |(code, _)| code);
    text.rsplit_once('#').map_or(text, |(_, code)| code).to_owned()
}

fn from_json(service: &'static Service, headers: &HeaderMap, body: &[u8]) -> ErrorReply {
    let free: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| free.get(name).and_then(serde_json::Value::as_str);
    let header = headers.get("x-amzn-errortype").and_then(|value| value.to_str().ok());
    let code = header.or_else(|| text("__type")).or_else(|| text("code")).or_else(|| text("Code")).map(plain_code).unwrap_or_default();
    let message = text("message").or_else(|| text("Message")).unwrap_or_default().to_owned();
    let modelled = Modelled::find(service, &code);
    let members = match modelled.and_then(|modelled| json::decode(service, shape_id(service, modelled.shape)?, body).ok()) {
        Some(Value::Struct(fields)) => named(&fields),
        _ => Vec::new(),
    };
    ErrorReply { code, message, members, ..ErrorReply::default() }
}

fn from_cbor(service: &'static Service, body: &[u8]) -> ErrorReply {
    let head = cbor::texts(body);
    let text = |name: &str| head.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let code = text("__type").map(plain_code).unwrap_or_default();
    let message = text("message").or_else(|| text("Message")).unwrap_or_default().to_owned();
    let modelled = Modelled::find(service, &code);
    let members = match modelled.and_then(|modelled| cbor::decode(service, shape_id(service, modelled.shape)?, body).ok()) {
        Some(Value::Struct(fields)) => named(&fields),
        _ => Vec::new(),
    };
    ErrorReply { code, message, members, ..ErrorReply::default() }
}

fn shape_id(service: &'static Service, shape: &'static Shape) -> Option<ShapeId> {
    let at = service.shapes.iter().position(|other| std::ptr::eq(other, shape))?;
    u16::try_from(at).ok().map(ShapeId)
}

fn named(fields: &Struct) -> Vec<(String, Value)> {
    fields.iter().filter(|(name, _)| !is_message(name)).map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

fn from_xml(body: &[u8]) -> ErrorReply {
    let Ok(root) = xml::parse(body) else {
        return ErrorReply::default();
    };
    let inner = root.child("Error").or_else(|| root.child("Errors").and_then(|errors| errors.child("Error")));
    let element: &Element = inner.unwrap_or(&root);
    let text = |name: &str| element.child(name).map(|child| child.text.clone()).unwrap_or_default();
    let known = ["Code", "Message", "Type", "RequestId", "HostId"];
    let others = element.children.iter().filter(|child| !known.contains(&child.name.as_str()) && child.children.is_empty());
    ErrorReply {
        code: text("Code"),
        message: text("Message"),
        members: others.map(|child| (child.name.clone(), Value::Str(child.text.clone()))).collect(),
        ..ErrorReply::default()
    }
}
