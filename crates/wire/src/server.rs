//! The server's side: inputs in, outputs out.

use facts::{Dialect, Member, Operation, Protocol, Service};

use crate::error::DecodeError;
use crate::query::Flavour;
use crate::rest::Body;
use crate::route::Labels;
use crate::value::{Struct, Value};
use crate::xml::Writer;
use crate::xml_shape::Direction;
use crate::{Encoded, Headers, RequestParts, cbor, constraint, json, query, rest};

/// Decodes and validates an input. The result is a [`Value::Struct`] without streaming members.
/// `labels` are those of [`crate::route_rest`]; other protocols have none.
pub fn decode_input(
    protocol: Protocol,
    service: &'static Service,
    operation: &'static Operation,
    parts: &RequestParts<'_>,
    labels: &Labels,
    body: &[u8],
) -> Result<Value, DecodeError> {
    let value = parse_input(protocol, service, operation, parts, labels, body)?;
    let violations = operation.input.map(|input| constraint::violations(service, input, &value)).unwrap_or_default();
    if violations.is_empty() { Ok(value) } else { Err(DecodeError::Validation(violations)) }
}

/// Decodes an input without checking its constraints: types alone. A server wants [`decode_input`].
pub fn parse_input(
    protocol: Protocol,
    service: &'static Service,
    operation: &'static Operation,
    parts: &RequestParts<'_>,
    labels: &Labels,
    body: &[u8],
) -> Result<Value, DecodeError> {
    let value = match (protocol, operation.input) {
        (Protocol::Query, _) => query::decode_input(service, operation, Flavour::Aws, parts.query, body),
        (Protocol::Ec2Query, _) => query::decode_input(service, operation, Flavour::Ec2, parts.query, body),
        (Protocol::RestJson, _) => rest::decode_input(service, operation, Body::Json, parts, labels, body),
        (Protocol::RestXml, _) => rest::decode_input(service, operation, Body::Xml, parts, labels, body),
        (_, None) => Ok(Value::Struct(Struct::new())),
        (Protocol::Json10 | Protocol::Json11, Some(input)) => json::decode(service, input, body),
        (Protocol::RpcV2Cbor, Some(input)) => cbor::decode(service, input, body),
    }?;
    // A body of `null` is a structure without members.
    Ok(if value == Value::Null { Value::Struct(Struct::new()) } else { value })
}

/// Encodes an output. Bytes of a streaming payload are written when the value holds them; otherwise the caller sends them itself.
pub fn encode_output(
    protocol: Protocol,
    service: &'static Service,
    operation: &'static Operation,
    output: &Value,
    request_id: &str,
) -> Encoded {
    let mut headers = request_id_headers(protocol, Some(service), request_id);
    let mut status = 200;
    let body = match protocol {
        Protocol::Query | Protocol::Ec2Query => {
            let flavour = if protocol == Protocol::Query { Flavour::Aws } else { Flavour::Ec2 };
            headers.push(("content-type".into(), "text/xml;charset=UTF-8".to_owned()));
            query::encode_output(service, operation, flavour, output, request_id)
        }
        Protocol::Json10 | Protocol::Json11 => {
            headers.push(("content-type".into(), json_media_type(protocol).to_owned()));
            let mut body = Vec::new();
            match operation.output {
                Some(id) => json::encode(&mut body, service, id, output),
                None => body.extend_from_slice(b"{}"),
            }
            body
        }
        Protocol::RpcV2Cbor => {
            headers.push(("smithy-protocol".into(), "rpc-v2-cbor".to_owned()));
            let mut body = Vec::new();
            if let Some(id) = operation.output {
                headers.push(("content-type".into(), "application/cbor".to_owned()));
                cbor::encode(&mut body, service, id, output);
            }
            body
        }
        Protocol::RestJson | Protocol::RestXml => {
            status = status_of(service, operation, output);
            let (more, body) = rest_output(protocol, service, operation, output);
            headers.extend(more);
            body
        }
    };
    Encoded { status, headers, body }
}

pub(crate) fn json_media_type(protocol: Protocol) -> &'static str {
    if protocol == Protocol::Json10 { "application/x-amz-json-1.0" } else { "application/x-amz-json-1.1" }
}

/// S3 names the request in two headers of its own.
pub(crate) fn request_id_headers(protocol: Protocol, service: Option<&'static Service>, request_id: &str) -> Headers {
    if protocol == Protocol::RestXml && service.is_none_or(|service| service.dialect == Dialect::S3) {
        return vec![("x-amz-request-id".into(), request_id.to_owned()), ("x-amz-id-2".into(), host_id(request_id))];
    }
    vec![("x-amzn-RequestId".into(), request_id.to_owned())]
}

/// S3's second, opaque name of a request.
pub(crate) fn host_id(request_id: &str) -> String {
    use base64::Engine as _;
    crate::scalar::BASE64.encode(request_id)
}

fn status_of(service: &'static Service, operation: &'static Operation, output: &Value) -> u16 {
    let members = operation.output.map(|id| service.members(id)).unwrap_or_default();
    let bound = members.iter().find(|member| member.location == facts::Location::StatusCode);
    match bound.and_then(|member| output.member(member.name)) {
        Some(Value::Int(status)) => u16::try_from(*status).unwrap_or(operation.response_status),
        _ => operation.response_status,
    }
}

fn rest_output(protocol: Protocol, service: &'static Service, operation: &'static Operation, output: &Value) -> (Headers, Vec<u8>) {
    let Some(id) = operation.output else {
        return (Headers::new(), Vec::new());
    };
    if let Some(member) = bare_member(service, operation) {
        return (vec![("content-type".into(), "application/xml".to_owned())], bare_body(service, member, output));
    }
    let root = operation.output_root.map(|name| (name, None));
    let kind = if protocol == Protocol::RestJson { Body::Json } else { Body::Xml };
    let (headers, body) = rest::encode_message(service, id, kind, Direction::Output, root, output);
    if matches!(status_of(service, operation, output), 204 | 304) {
        return (headers.into_iter().filter(|(name, _)| name != "content-type").collect(), Vec::new());
    }
    (headers, body)
}

/// The one member that is the whole answer without a structure around it (`LocationConstraint` of `s3:GetBucketLocation`).
pub(crate) fn bare_member(service: &'static Service, operation: &'static Operation) -> Option<&'static Member> {
    let root = operation.output_root?;
    match service.members(operation.output?) {
        [only] if only.wire_name() == root => Some(only),
        _ => None,
    }
}

fn bare_body(service: &'static Service, member: &'static Member, output: &Value) -> Vec<u8> {
    let mut writer = Writer::document();
    let namespace: Vec<_> = service.xml_namespace.map(|uri| ("xmlns".to_owned(), uri.to_owned())).into_iter().collect();
    writer.open_with(member.wire_name(), &namespace);
    writer.text(output.member(member.name).and_then(Value::as_str).unwrap_or_default());
    writer.close(member.wire_name());
    writer.finish()
}
