//! awsQuery and ec2Query: form-encoded input, XML output.

use std::borrow::Cow;

use facts::{Member, Operation, Service, ShapeId, ShapeKind, TimestampFormat};

use crate::error::{DecodeError, Format};
use crate::form::{self, Node};
use crate::limits;
use crate::scalar;
use crate::value::{Struct, Value};
use crate::xml::{self, Writer};
use crate::xml_shape::{self, Direction, Encoder};

/// The two forms of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flavour {
    Aws,
    Ec2,
}

/// Reads the input from the form in the body and the query string (`GET` carries everything there).
pub(crate) fn decode_input(
    service: &'static Service,
    operation: &'static Operation,
    flavour: Flavour,
    query: &str,
    body: &[u8],
) -> Result<Value, DecodeError> {
    let body =
        std::str::from_utf8(body).map_err(|_| DecodeError::Syntax { format: Format::Form, reason: "the text is not UTF-8".to_owned() })?;
    let mut parameters = form::parameters(query)?;
    parameters.extend(form::parameters(body.trim_ascii_end())?);
    let tree = Node::tree(parameters)?;
    let decoder = Decoder { service, flavour };
    match operation.input {
        Some(input) => decoder.structure(service.members(input), &tree).map(Value::Struct),
        None => Ok(Value::Struct(Struct::new())),
    }
}

struct Decoder {
    service: &'static Service,
    flavour: Flavour,
}

impl Decoder {
    fn structure(&self, members: &'static [Member], node: &Node) -> Result<Struct, DecodeError> {
        let mut fields = Struct::with_capacity(node.children.len().min(members.len()));
        for member in members {
            if let Some(child) = node.children.get(&*member_name(self.service, self.flavour, member)) {
                fields.set(member.name, self.value(member.shape, member.flattened, member.name, child)?);
            }
        }
        Ok(fields)
    }

    fn value(&self, id: ShapeId, flat: bool, member: &str, node: &Node) -> Result<Value, DecodeError> {
        let shape = self.service.shape(id);
        match &shape.kind {
            ShapeKind::Structure { members, .. } => self.structure(members, node).map(Value::Struct),
            ShapeKind::List { item, item_name, flattened } => {
                let holder = if flat || *flattened || self.flavour == Flavour::Ec2 {
                    Some(node)
                } else {
                    node.children.get(item_name.unwrap_or("member"))
                };
                let nodes = holder.map(Node::numbered).unwrap_or_default();
                check_count(nodes.len())?;
                nodes.into_iter().map(|node| self.value(*item, false, member, node)).collect::<Result<_, _>>().map(Value::List)
            }
            ShapeKind::Map { value, key_name, value_name, flattened, .. } => {
                let holder = if flat || *flattened { Some(node) } else { node.children.get("entry") };
                let nodes = holder.map(Node::numbered).unwrap_or_default();
                check_count(nodes.len())?;
                let mut entries = Vec::with_capacity(nodes.len());
                for node in nodes {
                    let part = |name: &str| {
                        node.children.get(name).ok_or_else(|| DecodeError::Type {
                            format: Format::Form,
                            member: member.to_owned(),
                            reason: format!("an entry has no {name}"),
                        })
                    };
                    let key = part(key_name.unwrap_or("key"))?.value.clone().unwrap_or_default();
                    entries.push((key, self.value(*value, false, member, part(value_name.unwrap_or("value"))?)?));
                }
                Ok(Value::Map(scalar::last_entries(entries)))
            }
            _ => {
                let wrong = |reason| DecodeError::Type { format: Format::Form, member: member.to_owned(), reason };
                let text = node.value.as_deref().ok_or_else(|| wrong("Start of structure or map found where not expected.".to_owned()))?;
                scalar::parse(shape, text).map_err(wrong)
            }
        }
    }
}

fn check_count(entries: usize) -> Result<(), DecodeError> {
    if entries > limits::LIST_ENTRIES {
        return Err(DecodeError::Limit { format: Format::Form, what: "entries", maximum: limits::LIST_ENTRIES });
    }
    Ok(())
}

fn member_name(service: &'static Service, flavour: Flavour, member: &'static Member) -> Cow<'static, str> {
    match flavour {
        Flavour::Ec2 => match (member.query_name, member.location_name) {
            (Some(name), _) => Cow::Borrowed(name),
            (None, Some(name)) => {
                let mut letters = name.chars();
                Cow::Owned(letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default())
            }
            (None, None) => Cow::Borrowed(member.name),
        },
        Flavour::Aws => match &service.shape(member.shape).kind {
            // A flattened list goes by the name of its items.
            ShapeKind::List { item_name: Some(name), flattened, .. } if *flattened || member.flattened => Cow::Borrowed(name),
            _ => Cow::Borrowed(member.wire_name()),
        },
    }
}

/// The form of a request.
pub(crate) fn encode_input(service: &'static Service, operation: &'static Operation, flavour: Flavour, input: &Value) -> Vec<u8> {
    let mut encoder = FormEncoder { service, flavour, out: String::new() };
    encoder.pair("Action", operation.name);
    encoder.pair("Version", service.head.api_version);
    if let (Some(id), Value::Struct(fields)) = (operation.input, input) {
        encoder.structure("", service.members(id), fields);
    }
    encoder.out.into_bytes()
}

struct FormEncoder {
    service: &'static Service,
    flavour: Flavour,
    out: String,
}

impl FormEncoder {
    fn pair(&mut self, name: &str, value: &str) {
        if !self.out.is_empty() {
            self.out.push('&');
        }
        form::percent_encode(&mut self.out, name, b"");
        self.out.push('=');
        form::percent_encode(&mut self.out, value, b"");
    }

    fn structure(&mut self, prefix: &str, members: &'static [Member], fields: &Struct) {
        for (name, value) in fields.iter() {
            let Some(member) = members.iter().find(|member| member.name == name) else {
                continue;
            };
            let name = member_name(self.service, self.flavour, member);
            let path = if prefix.is_empty() { name.into_owned() } else { format!("{prefix}.{name}") };
            self.value(&path, member.shape, Some(member), value);
        }
    }

    fn value(&mut self, path: &str, id: ShapeId, member: Option<&'static Member>, value: &Value) {
        let shape = self.service.shape(id);
        let flat = member.is_some_and(|member| member.flattened);
        match (&shape.kind, value) {
            (_, Value::Null) => {}
            (ShapeKind::Structure { members, .. }, Value::Struct(fields)) => {
                self.structure(path, members, fields);
            }
            (ShapeKind::List { item, item_name, flattened }, Value::List(items)) => {
                if items.is_empty() && self.flavour == Flavour::Aws {
                    self.pair(path, "");
                }
                let prefix = if flat || *flattened || self.flavour == Flavour::Ec2 {
                    path.to_owned()
                } else {
                    format!("{path}.{}", item_name.unwrap_or("member"))
                };
                for (at, value) in items.iter().enumerate() {
                    self.value(&format!("{prefix}.{}", at + 1), *item, None, value);
                }
            }
            (ShapeKind::Map { value: of, key_name, value_name, flattened, .. }, Value::Map(entries)) => {
                let prefix = if flat || *flattened { path.to_owned() } else { format!("{path}.entry") };
                for (at, (key, value)) in entries.iter().enumerate() {
                    self.pair(&format!("{prefix}.{}.{}", at + 1, key_name.unwrap_or("key")), key);
                    self.value(&format!("{prefix}.{}.{}", at + 1, value_name.unwrap_or("value")), *of, None, value);
                }
            }
            (kind, value) => {
                let own = match kind {
                    ShapeKind::Timestamp { format } => *format,
                    _ => None,
                };
                let format = member.and_then(|member| member.timestamp_format).or(own).unwrap_or(TimestampFormat::Iso8601);
                if let Some(text) = scalar::format(value, format) {
                    self.pair(path, &text);
                }
            }
        }
    }
}

/// The XML answer of an operation.
pub(crate) fn encode_output(
    service: &'static Service,
    operation: &'static Operation,
    flavour: Flavour,
    output: &Value,
    request_id: &str,
) -> Vec<u8> {
    let mut writer = Writer::document();
    let root = format!("{}Response", operation.name);
    let namespace: Vec<(String, String)> = match (flavour, service.xml_namespace) {
        (_, Some(uri)) => vec![("xmlns".to_owned(), uri.to_owned())],
        (Flavour::Ec2, None) => vec![("xmlns".to_owned(), format!("http://ec2.amazonaws.com/doc/{}/", service.head.api_version))],
        (Flavour::Aws, None) => Vec::new(),
    };
    writer.open_with(&root, &namespace);
    if flavour == Flavour::Ec2 {
        writer.leaf("requestId", request_id);
    }
    if let Some(id) = operation.output {
        if let Some(wrapper) = operation.result_wrapper {
            writer.open(wrapper);
        }
        Encoder { service, direction: Direction::Output, writer: &mut writer }.members(id, output);
        if let Some(wrapper) = operation.result_wrapper {
            writer.close(wrapper);
        }
    }
    if flavour == Flavour::Aws {
        writer.open("ResponseMetadata");
        writer.leaf("RequestId", request_id);
        writer.close("ResponseMetadata");
    }
    writer.close(&root);
    writer.finish()
}

/// Reads the XML answer of an operation.
pub(crate) fn decode_output(service: &'static Service, operation: &'static Operation, body: &[u8]) -> Result<Value, DecodeError> {
    let Some(output) = operation.output else {
        return Ok(Value::Struct(Struct::new()));
    };
    let root = xml::parse(body)?;
    let start = match operation.result_wrapper {
        Some(wrapper) => root.child(wrapper).ok_or_else(|| DecodeError::Type {
            format: Format::Xml,
            member: wrapper.to_owned(),
            reason: "the element is missing".to_owned(),
        })?,
        None => &root,
    };
    xml_shape::decode(service, output, start)
}
