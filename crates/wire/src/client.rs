//! The client's side: inputs out, outputs in.

use facts::{Member, Operation, Protocol, Service};
use http::HeaderMap;

use crate::error::DecodeError;
use crate::query::Flavour;
use crate::rest::Body;
use crate::value::{Struct, Value};
use crate::xml_shape::Direction;
use crate::{Headers, cbor, json, query, rest, server, xml};

/// A request, ready to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedRequest {
    pub method: &'static str,
    /// Percent-encoded.
    pub path: String,
    /// Without the `?`.
    pub query: String,
    pub headers: Headers,
    pub body: Vec<u8>,
}

/// Encodes the input of an operation. S3's bucket stays in the path.
pub fn encode_input(protocol: Protocol, service: &'static Service, operation: &'static Operation, input: &Value) -> EncodedRequest {
    let mut request =
        EncodedRequest { method: "POST", path: "/".to_owned(), query: String::new(), headers: Headers::new(), body: Vec::new() };
    match protocol {
        Protocol::Query | Protocol::Ec2Query => {
            let flavour = if protocol == Protocol::Query { Flavour::Aws } else { Flavour::Ec2 };
            request.headers.push(("content-type".into(), "application/x-www-form-urlencoded; charset=utf-8".to_owned()));
            request.body = query::encode_input(service, operation, flavour, input);
        }
        Protocol::Json10 | Protocol::Json11 => {
            let target = format!("{}.{}", service.head.target_prefix.unwrap_or_default(), operation.name);
            request.headers.push(("x-amz-target".into(), target));
            request.headers.push(("content-type".into(), server::json_media_type(protocol).to_owned()));
            match operation.input {
                Some(id) => json::encode(&mut request.body, service, id, input),
                None => request.body.extend_from_slice(b"{}"),
            }
        }
        Protocol::RpcV2Cbor => {
            let name = service.head.rpc_name.or(service.head.target_prefix).unwrap_or(service.head.service_id);
            request.path = format!("/service/{name}/operation/{}", operation.name);
            request.headers.push(("smithy-protocol".into(), "rpc-v2-cbor".to_owned()));
            request.headers.push(("accept".into(), "application/cbor".to_owned()));
            if let Some(id) = operation.input {
                request.headers.push(("content-type".into(), "application/cbor".to_owned()));
                cbor::encode(&mut request.body, service, id, input);
            }
        }
        Protocol::RestJson | Protocol::RestXml => {
            request.method = operation.http_method;
            (request.path, request.query) = rest::encode_uri(service, operation, input);
            if let Some(id) = operation.input {
                let kind = if protocol == Protocol::RestJson { Body::Json } else { Body::Xml };
                let root = operation.input_root.map(|name| (name, operation.input_namespace));
                (request.headers, request.body) = rest::encode_message(service, id, kind, Direction::Input, root, input);
            }
        }
    }
    request
}

/// Decodes the output of an operation; streaming bytes are part of the value.
pub fn decode_output(
    protocol: Protocol,
    service: &'static Service,
    operation: &'static Operation,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, DecodeError> {
    let bare = server::bare_member(service, operation);
    let value = match (protocol, operation.output) {
        (Protocol::Query | Protocol::Ec2Query, _) => query::decode_output(service, operation, body)?,
        (Protocol::RestJson, _) => rest::decode_output(service, operation, Body::Json, status, headers, body)?,
        (Protocol::RestXml, Some(_)) if bare.is_some() => bare_output(bare, body)?,
        (Protocol::RestXml, _) => rest::decode_output(service, operation, Body::Xml, status, headers, body)?,
        (_, None) => Value::Null,
        (Protocol::Json10 | Protocol::Json11, Some(id)) => json::decode(service, id, body)?,
        (Protocol::RpcV2Cbor, Some(id)) => cbor::decode(service, id, body)?,
    };
    Ok(if value == Value::Null { Value::Struct(Struct::new()) } else { value })
}

fn bare_output(member: Option<&'static Member>, body: &[u8]) -> Result<Value, DecodeError> {
    let root = xml::parse(body)?;
    let mut fields = Struct::new();
    if let Some(member) = member.filter(|_| !root.text.is_empty()) {
        fields.set(member.name, Value::Str(root.text));
    }
    Ok(Value::Struct(fields))
}
