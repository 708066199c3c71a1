//! HTTP bindings of restJson and restXml: URI labels, query strings, headers, status codes and payload members.

use base64::Engine as _;
use bytes::Bytes;
use facts::{Location, Member, Operation, Service, Shape, ShapeId, ShapeKind, TimestampFormat};
use http::HeaderMap;

use crate::error::{DecodeError, Format};
use crate::form;
use crate::json;
use crate::limits;
use crate::route::Labels;
use crate::scalar::{self, BASE64};
use crate::value::{Struct, Value};
use crate::xml::{self, Writer};
use crate::xml_shape::{self, Direction, Encoder};
use crate::{Headers, RequestParts};

/// What the body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Json,
    Xml,
}

fn wrong(member: &Member, reason: impl Into<String>) -> DecodeError {
    DecodeError::Type { format: Format::Http, member: member.wire_name().to_owned(), reason: reason.into() }
}

/// Reads the input of a request.
pub(crate) fn decode_input(
    service: &'static Service,
    operation: &'static Operation,
    kind: Body,
    parts: &RequestParts<'_>,
    labels: &Labels,
    body: &[u8],
) -> Result<Value, DecodeError> {
    let Some(input) = operation.input else {
        return Ok(Value::Struct(Struct::new()));
    };
    let shape = service.shape(input);
    let mut fields = decode_body(service, input, kind, body, Some(operation))?;
    let query = form::parameters(parts.query)?;
    let lengths = NameLengths::of(parts.headers);
    for member in members_of(shape) {
        let value = match member.location {
            Location::Uri => label(service, member, labels)?,
            Location::QueryString => from_query(service, shape, member, &query)?,
            Location::Header => from_header(service, member, parts.headers, lengths)?,
            Location::Headers => from_headers(member, parts.headers)?,
            Location::Body | Location::StatusCode => None,
        };
        if let Some(value) = value {
            fields.set(member.name, value);
        }
    }
    Ok(Value::Struct(fields))
}

fn members_of(shape: &'static Shape) -> &'static [Member] {
    match &shape.kind {
        ShapeKind::Structure { members, .. } => members,
        _ => &[],
    }
}

fn payload_of(shape: &'static Shape) -> Option<&'static Member> {
    match &shape.kind {
        ShapeKind::Structure { members, payload, .. } => members.get(usize::from((*payload)?)),
        _ => None,
    }
}

/// The members that travel in the body: of an operation's input, or of any message with also the bytes of a streaming payload. An input in XML
/// must have the root element that the model names.
fn decode_body(
    service: &'static Service,
    id: ShapeId,
    kind: Body,
    body: &[u8],
    input_of: Option<&'static Operation>,
) -> Result<Struct, DecodeError> {
    let shape = service.shape(id);
    let Some(payload) = payload_of(shape) else {
        if !members_of(shape).iter().any(|member| member.location == Location::Body) {
            return Ok(Struct::new());
        }
        let value = match kind {
            Body::Json => json::decode(service, id, body)?,
            Body::Xml if body.trim_ascii().is_empty() => Value::Struct(Struct::new()),
            Body::Xml => {
                let root = xml::parse(body)?;
                if let Some(operation) = input_of {
                    expect_root(&root, operation.input_root.or(shape.location_name).unwrap_or(shape.name))?;
                }
                xml_shape::decode(service, id, &root)?
            }
        };
        return Ok(match value {
            Value::Struct(fields) => fields,
            _ => Struct::new(),
        });
    };
    let mut fields = Struct::new();
    let value = match &service.shape(payload.shape).kind {
        ShapeKind::Structure { event_stream: true, .. } => None,
        ShapeKind::Blob { streaming } if *streaming && input_of.is_some() => None,
        _ if body.is_empty() => None,
        ShapeKind::Blob { .. } => Some(Value::Bytes(Bytes::copy_from_slice(body))),
        ShapeKind::String => Some(Value::Str(String::from_utf8(body.to_vec()).map_err(|_| wrong(payload, "the text is not UTF-8"))?)),
        _ => match kind {
            Body::Json => Some(json::decode(service, payload.shape, body)?),
            Body::Xml => {
                let root = xml::parse(body)?;
                if input_of.is_some() {
                    expect_root(&root, payload_root(service, payload))?;
                }
                Some(xml_shape::decode(service, payload.shape, &root)?)
            }
        },
    };
    // botocore sends `{}` for a JSON payload that is absent.
    let is_absent = |value: &Value| match value {
        Value::Null => true,
        Value::Struct(fields) => kind == Body::Json && fields.is_empty() && !payload.required,
        _ => false,
    };
    if let Some(value) = value.filter(|value| !is_absent(value)) {
        fields.set(payload.name, value);
    }
    Ok(fields)
}

/// Name of the element that holds a payload member.
fn payload_root(service: &'static Service, member: &Member) -> &'static str {
    let shape = service.shape(member.shape);
    member.location_name.or(shape.location_name).unwrap_or(shape.name)
}

fn expect_root(root: &xml::Element, name: &str) -> Result<(), DecodeError> {
    if root.name == name {
        return Ok(());
    }
    let reason = format!("the root element is not `{name}`");
    Err(DecodeError::Syntax { format: Format::Xml, reason })
}

fn label(service: &'static Service, member: &Member, labels: &Labels) -> Result<Option<Value>, DecodeError> {
    let Some(raw) = labels.raw(member.wire_name()) else {
        return Ok(None);
    };
    let text = form::percent_decode(raw).ok_or_else(|| wrong(member, "the path is not UTF-8"))?;
    scalar::parse(service.shape(member.shape), &text).map(Some).map_err(|reason| wrong(member, reason))
}

fn from_query(
    service: &'static Service,
    input: &'static Shape,
    member: &Member,
    query: &[(String, String)],
) -> Result<Option<Value>, DecodeError> {
    let name = member.wire_name();
    let shape = service.shape(member.shape);
    let mut values = query.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str());
    match &shape.kind {
        ShapeKind::List { item, .. } => {
            let item = service.shape(*item);
            let list: Vec<Value> =
                values.map(|text| scalar::parse(item, text)).collect::<Result<_, _>>().map_err(|reason| wrong(member, reason))?;
            Ok((!list.is_empty()).then_some(Value::List(list)))
        }
        // All parameters that no other member is bound to.
        ShapeKind::Map { value: of, .. } => {
            let bound = |name: &str| {
                members_of(input)
                    .iter()
                    .any(|other| other.location == Location::QueryString && other.name != member.name && other.wire_name() == name)
            };
            let of = service.shape(*of);
            let mut entries: Vec<(String, Value)> = Vec::new();
            for (name, text) in query.iter().filter(|(name, _)| !bound(name)) {
                let text_value = |shape: &Shape| scalar::parse(shape, text).map_err(|reason| wrong(member, reason));
                match &of.kind {
                    ShapeKind::List { item, .. } => {
                        let value = text_value(service.shape(*item))?;
                        match entries.iter_mut().find(|(key, _)| key == name) {
                            Some((_, Value::List(list))) => list.push(value),
                            _ => entries.push((name.clone(), Value::List(vec![value]))),
                        }
                    }
                    _ => entries.push((name.clone(), text_value(of)?)),
                }
            }
            Ok((!entries.is_empty()).then(|| Value::Map(scalar::last_entries(entries))))
        }
        _ => values.next().map(|text| scalar::parse(shape, text)).transpose().map_err(|reason| wrong(member, reason)),
    }
}

fn header_text(member: &Member, headers: &HeaderMap, name: &str) -> Result<Option<String>, DecodeError> {
    let mut joined: Option<String> = None;
    for value in headers.get_all(name) {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| wrong(member, "the header is not UTF-8"))?;
        joined = Some(match joined {
            Some(so_far) => format!("{so_far},{text}"),
            None => text.to_owned(),
        });
    }
    Ok(joined)
}

/// The lengths that names of a message's headers have, a bit each. S3's operations have dozens of headers and requests a few, so most of them need not be
/// looked for: that costs a hundred times what this does.
#[derive(Clone, Copy)]
struct NameLengths(u64);

impl NameLengths {
    fn of(headers: &HeaderMap) -> Self {
        Self(headers.keys().fold(0, |lengths, name| lengths | Self::bit(name.as_str())))
    }

    /// Names that are longer than there are bits share the last one.
    fn bit(name: &str) -> u64 {
        1 << name.len().min(63)
    }

    /// Whether a header of this name may be there.
    fn may_have(self, name: &str) -> bool {
        self.0 & Self::bit(name) != 0
    }
}

fn from_header(
    service: &'static Service,
    member: &Member,
    headers: &HeaderMap,
    lengths: NameLengths,
) -> Result<Option<Value>, DecodeError> {
    if !lengths.may_have(member.wire_name()) {
        return Ok(None);
    }
    let Some(text) = header_text(member, headers, member.wire_name())? else {
        return Ok(None);
    };
    let shape = service.shape(member.shape);
    match &shape.kind {
        ShapeKind::List { item, .. } => {
            let item = service.shape(*item);
            let texts = if matches!(item.kind, ShapeKind::Timestamp { .. }) { split_dates(&text) } else { split_list(&text) };
            if texts.len() > limits::LIST_ENTRIES {
                return Err(DecodeError::Limit { format: Format::Http, what: "entries", maximum: limits::LIST_ENTRIES });
            }
            let list: Result<Vec<Value>, String> = texts.iter().map(|text| scalar::parse(item, text)).collect();
            list.map(|list| Some(Value::List(list))).map_err(|reason| wrong(member, reason))
        }
        ShapeKind::String if member.json_value => {
            let bytes = BASE64.decode(text.trim()).map_err(|_| wrong(member, "the header is not base64"))?;
            String::from_utf8(bytes).map(|text| Some(Value::Str(text))).map_err(|_| wrong(member, "the header is not UTF-8"))
        }
        _ => scalar::parse(shape, &text).map(Some).map_err(|reason| wrong(member, reason)),
    }
}

/// Items between commas; an item in quotes may hold commas, and quotes behind a backslash.
fn split_list(text: &str) -> Vec<String> {
    let mut items = Vec::new();
    let mut letters = text.chars().peekable();
    loop {
        while letters.next_if(|letter| matches!(letter, ' ' | '\t')).is_some() {}
        let mut item = String::new();
        if letters.next_if_eq(&'"').is_some() {
            while let Some(letter) = letters.next() {
                match letter {
                    '\\' => item.extend(letters.next_if(|next| matches!(next, '"' | '\\')).or(Some('\\'))),
                    '"' => break,
                    _ => item.push(letter),
                }
            }
            while letters.next_if(|letter| *letter != ',').is_some() {}
        } else {
            while let Some(letter) = letters.next_if(|letter| *letter != ',') {
                item.push(letter);
            }
            item.truncate(item.trim_end().len());
        }
        items.push(item);
        if letters.next().is_none() {
            return items;
        }
    }
}

/// HTTP dates hold one comma each.
fn split_dates(text: &str) -> Vec<String> {
    let parts: Vec<&str> = text.split(',').collect();
    if parts.iter().any(|part| part.contains('T') && part.contains('-')) || parts.len() == 1 {
        return parts.iter().map(|part| part.trim().to_owned()).collect();
    }
    parts.chunks(2).map(|pair| pair.join(",").trim().to_owned()).collect()
}

fn from_headers(member: &Member, headers: &HeaderMap) -> Result<Option<Value>, DecodeError> {
    let prefix = member.wire_name().to_ascii_lowercase();
    let mut entries = Vec::new();
    for name in headers.keys() {
        if let Some(key) = name.as_str().strip_prefix(&prefix) {
            let text = header_text(member, headers, name.as_str())?.unwrap_or_default();
            entries.push((key.to_owned(), Value::Str(text)));
        }
    }
    Ok((!entries.is_empty()).then_some(Value::Map(entries)))
}

/// Reads the output of an answer.
pub(crate) fn decode_output(
    service: &'static Service,
    operation: &'static Operation,
    kind: Body,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, DecodeError> {
    let Some(output) = operation.output else {
        return Ok(Value::Struct(Struct::new()));
    };
    decode_message(service, output, kind, status, headers, body)
}

/// Reads a structure from the parts of an answer: an output, or an error with headers of its own.
pub(crate) fn decode_message(
    service: &'static Service,
    id: ShapeId,
    kind: Body,
    status: u16,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Value, DecodeError> {
    let mut fields = decode_body(service, id, kind, body, None)?;
    let lengths = NameLengths::of(headers);
    for member in service.members(id) {
        let value = match member.location {
            Location::Header => from_header(service, member, headers, lengths)?,
            Location::Headers => from_headers(member, headers)?,
            Location::StatusCode => Some(Value::Int(i64::from(status))),
            Location::Body | Location::QueryString | Location::Uri => None,
        };
        if let Some(value) = value {
            fields.set(member.name, value);
        }
    }
    Ok(Value::Struct(fields))
}

/// Headers and body of a structure: the input of a client, the output of a server.
pub(crate) fn encode_message(
    service: &'static Service,
    id: ShapeId,
    kind: Body,
    direction: Direction,
    root: Option<(&str, Option<&str>)>,
    value: &Value,
) -> (Headers, Vec<u8>) {
    let mut headers = Headers::new();
    let mut body = Vec::new();
    let shape = service.shape(id);
    let none = Struct::new();
    let fields = value.as_struct().unwrap_or(&none);
    for (name, value) in fields.iter() {
        if let Some(member) = members_of(shape).iter().find(|member| member.name == name) {
            to_headers(&mut headers, service, member, value);
        }
    }
    let content_type = match payload_of(shape) {
        Some(member) => encode_payload(&mut body, service, member, kind, direction, fields.get(member.name)),
        None => encode_members(&mut body, service, id, kind, direction, root, value),
    };
    // Where the media type is a member, only that member (or the event stream) says it.
    let is_media_type = |name: &str| name.eq_ignore_ascii_case("content-type");
    let bound = members_of(shape).iter().any(|member| member.location == Location::Header && is_media_type(member.wire_name()));
    let said = headers.iter().any(|(name, _)| is_media_type(name));
    if let Some(content_type) = content_type.filter(|kind| !said && (!bound || *kind == EVENT_STREAM)) {
        headers.push(("content-type".into(), content_type.to_owned()));
    }
    (headers, body)
}

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

fn media_type(kind: Body) -> &'static str {
    match kind {
        Body::Json => "application/json",
        Body::Xml => "application/xml",
    }
}

fn encode_payload(
    body: &mut Vec<u8>,
    service: &'static Service,
    member: &'static Member,
    kind: Body,
    direction: Direction,
    value: Option<&Value>,
) -> Option<&'static str> {
    let shape = service.shape(member.shape);
    match (&shape.kind, value) {
        (ShapeKind::Structure { event_stream: true, .. }, _) => return Some(EVENT_STREAM),
        (_, None | Some(Value::Null)) => return None,
        (_, Some(Value::Bytes(bytes))) => {
            body.extend_from_slice(bytes);
            return Some("application/octet-stream");
        }
        (ShapeKind::String, Some(Value::Str(text))) => {
            body.extend_from_slice(text.as_bytes());
            return Some("text/plain");
        }
        (_, Some(value)) => match kind {
            Body::Json => json::encode(body, service, member.shape, value),
            Body::Xml => {
                let mut writer = Writer::document();
                let name = payload_root(service, member);
                let namespace = member.xml_namespace.or(shape.xml_namespace).or(service.xml_namespace);
                Encoder { service, direction, writer: &mut writer }.root(member.shape, name, namespace, value);
                *body = writer.finish();
            }
        },
    }
    Some(media_type(kind))
}

fn encode_members(
    body: &mut Vec<u8>,
    service: &'static Service,
    id: ShapeId,
    kind: Body,
    direction: Direction,
    root: Option<(&str, Option<&str>)>,
    value: &Value,
) -> Option<&'static str> {
    let shape = service.shape(id);
    let in_body = |name: &str| members_of(shape).iter().any(|member| member.name == name && member.location == Location::Body);
    match kind {
        Body::Json => {
            let needed = direction == Direction::Output || members_of(shape).iter().any(|member| member.location == Location::Body);
            if !needed {
                return None;
            }
            json::encode(body, service, id, value);
        }
        Body::Xml => {
            let declared = members_of(shape).iter().any(|member| member.location == Location::Body);
            let present = value.as_struct().is_some_and(|fields| fields.iter().any(|(name, _)| in_body(name)));
            let needed = present || (declared && direction == Direction::Output);
            if !needed {
                return None;
            }
            let mut writer = Writer::document();
            let (name, namespace) = root.unwrap_or((shape.location_name.unwrap_or(shape.name), None));
            let namespace = namespace.or(shape.xml_namespace).or(service.xml_namespace);
            Encoder { service, direction, writer: &mut writer }.root(id, name, namespace, value);
            *body = writer.finish();
        }
    }
    Some(media_type(kind))
}

fn to_headers(headers: &mut Headers, service: &'static Service, member: &'static Member, value: &Value) {
    match (member.location, value) {
        (Location::Header, Value::List(items)) => {
            let ShapeKind::List { item, .. } = service.shape(member.shape).kind else {
                return;
            };
            let item = service.shape(item);
            let texts = items.iter().filter_map(|value| {
                let text = bound_text(item, None, value, TimestampFormat::Rfc822)?;
                Some(if matches!(item.kind, ShapeKind::String) { quote(&text) } else { text })
            });
            let texts: Vec<String> = texts.collect();
            if !texts.is_empty() {
                headers.push((member.wire_name().into(), texts.join(",")));
            }
        }
        (Location::Header, Value::Str(text)) if member.json_value => {
            headers.push((member.wire_name().into(), BASE64.encode(text)));
        }
        (Location::Header, value) => {
            let text = bound_text(service.shape(member.shape), Some(member), value, TimestampFormat::Rfc822);
            headers.extend(text.map(|text| (member.wire_name().into(), text)));
        }
        (Location::Headers, Value::Map(entries)) => {
            for (key, value) in entries {
                let text = scalar::format(value, TimestampFormat::Rfc822);
                headers.extend(text.map(|text| (format!("{}{key}", member.wire_name()).into(), text)));
            }
        }
        _ => {}
    }
}

/// A scalar outside the body; its own timestamp format wins over the location's.
fn bound_text(shape: &Shape, member: Option<&Member>, value: &Value, default: TimestampFormat) -> Option<String> {
    let own = match shape.kind {
        ShapeKind::Timestamp { format } => format,
        _ => None,
    };
    scalar::format(value, member.and_then(|member| member.timestamp_format).or(own).unwrap_or(default))
}

fn quote(text: &str) -> String {
    if text.contains(['"', ',']) { format!("\"{}\"", text.replace('"', "\\\"")) } else { text.to_owned() }
}

/// Path and query string of a request.
pub(crate) fn encode_uri(service: &'static Service, operation: &'static Operation, input: &Value) -> (String, String) {
    let members = operation.input.map(|id| service.members(id)).unwrap_or_default();
    let (template, literals) = operation.http_uri.split_once('?').unwrap_or((operation.http_uri, ""));
    let mut path = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        let (label, after) = after.split_once('}').unwrap_or((after, ""));
        let greedy = label.ends_with('+');
        let name = label.trim_end_matches('+');
        let member = members.iter().find(|member| member.location == Location::Uri && member.wire_name() == name);
        if let Some((member, value)) = member.and_then(|member| Some((member, input.member(member.name)?))) {
            let text = bound_text(service.shape(member.shape), Some(member), value, TimestampFormat::Iso8601).unwrap_or_default();
            form::percent_encode(&mut path, &text, if greedy { b"/" } else { b"" });
        }
        rest = after;
    }
    path.push_str(rest);
    (path, encode_query(service, members, literals, input))
}

fn encode_query(service: &'static Service, members: &'static [Member], literals: &str, input: &Value) -> String {
    let mut query = literals.to_owned();
    let mut pair = |name: &str, text: &str| {
        if !query.is_empty() {
            query.push('&');
        }
        form::percent_encode(&mut query, name, b"");
        query.push('=');
        form::percent_encode(&mut query, text, b"");
    };
    for member in members.iter().filter(|member| member.location == Location::QueryString) {
        let shape = service.shape(member.shape);
        match (&shape.kind, input.member(member.name)) {
            (_, None | Some(Value::Null)) => {}
            (ShapeKind::List { item, .. }, Some(Value::List(items))) => {
                for value in items {
                    pair(member.wire_name(), &bound_text(service.shape(*item), None, value, TimestampFormat::Iso8601).unwrap_or_default());
                }
            }
            (_, Some(Value::Map(entries))) => {
                for (key, value) in entries {
                    let values = match value {
                        Value::List(items) => items.as_slice(),
                        single => std::slice::from_ref(single),
                    };
                    for value in values {
                        pair(key, &scalar::format(value, TimestampFormat::Iso8601).unwrap_or_default());
                    }
                }
            }
            (_, Some(value)) => {
                pair(member.wire_name(), &bound_text(shape, Some(member), value, TimestampFormat::Iso8601).unwrap_or_default());
            }
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_headers() {
        assert_eq!(split_list("a, b ,c"), ["a", "b", "c"]);
        assert_eq!(split_list(r#""a,b","c\"d", e"#), ["a,b", "c\"d", "e"]);
        assert_eq!(split_list(""), [""]);
        let dates = "Tue, 29 Apr 2014 18:30:38 GMT, Wed, 30 Apr 2014 18:30:38 GMT";
        assert_eq!(split_dates(dates), ["Tue, 29 Apr 2014 18:30:38 GMT", "Wed, 30 Apr 2014 18:30:38 GMT"]);
        assert_eq!(split_list(&quote("a,\"b\"")), ["a,\"b\""]);
    }
}
