//! XML elements guided by shapes: bodies of restXml, answers of awsQuery and ec2Query, payloads of S3 events.

use facts::{Location, Member, Service, Shape, ShapeId, ShapeKind, TimestampFormat};

use crate::error::{DecodeError, Format};
use crate::limits;
use crate::scalar;
use crate::value::{Struct, Value};
use crate::xml::{Element, Writer};

/// Who writes the document: clients and servers name the items of a flattened list differently where the model gives both names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Input,
    Output,
}

/// Reads an element as a value of the shape. Members of a structure that travel in the body only.
pub(crate) fn decode(service: &'static Service, id: ShapeId, element: &Element) -> Result<Value, DecodeError> {
    let shape = service.shape(id);
    match &shape.kind {
        ShapeKind::Structure { members, .. } => structure(service, members, element),
        ShapeKind::List { item, item_name, .. } => items(service, *item, element.children_named(item_name.unwrap_or("member"))),
        ShapeKind::Map { .. } => entries(service, shape, element.children_named("entry")),
        _ => text(shape, element),
    }
}

fn text(shape: &'static Shape, element: &Element) -> Result<Value, DecodeError> {
    scalar::parse(shape, &element.text).map_err(|reason| DecodeError::Type { format: Format::Xml, member: element.name.clone(), reason })
}

fn structure(service: &'static Service, members: &'static [Member], element: &Element) -> Result<Value, DecodeError> {
    let mut fields = Struct::with_capacity(element.children.len().min(members.len()));
    for member in members.iter().filter(|member| member.location == Location::Body) {
        if let Some(value) = member_value(service, member, element)? {
            fields.set(member.name, value);
        }
    }
    Ok(Value::Struct(fields))
}

fn member_value(service: &'static Service, member: &'static Member, parent: &Element) -> Result<Option<Value>, DecodeError> {
    let shape = service.shape(member.shape);
    let name = member.wire_name();
    if member.xml_attribute {
        let Some((_, value)) = parent.attributes.iter().find(|(attribute, _)| attribute == name) else {
            return Ok(None);
        };
        return scalar::parse(shape, value).map(Some).map_err(|reason| DecodeError::Type {
            format: Format::Xml,
            member: member.name.to_owned(),
            reason,
        });
    }
    match &shape.kind {
        ShapeKind::List { item, item_name, flattened } if *flattened || member.flattened => {
            let other = item_name.unwrap_or(name);
            let mut found = parent.children.iter().filter(|child| child.name == name || child.name == other).peekable();
            if found.peek().is_none() {
                return Ok(None);
            }
            items(service, *item, found).map(Some)
        }
        ShapeKind::Map { flattened, .. } if *flattened || member.flattened => {
            let mut found = parent.children_named(name).peekable();
            if found.peek().is_none() {
                return Ok(None);
            }
            entries(service, shape, found).map(Some)
        }
        _ => parent.child(name).map(|child| decode(service, member.shape, child)).transpose(),
    }
}

fn items<'a>(service: &'static Service, item: ShapeId, found: impl Iterator<Item = &'a Element>) -> Result<Value, DecodeError> {
    let mut list = Vec::new();
    for element in found {
        if list.len() >= limits::LIST_ENTRIES {
            return Err(DecodeError::Limit { format: Format::Xml, what: "entries", maximum: limits::LIST_ENTRIES });
        }
        list.push(decode(service, item, element)?);
    }
    Ok(Value::List(list))
}

fn entries<'a>(service: &'static Service, shape: &'static Shape, found: impl Iterator<Item = &'a Element>) -> Result<Value, DecodeError> {
    let ShapeKind::Map { value, key_name, value_name, .. } = &shape.kind else {
        return Ok(Value::Map(Vec::new()));
    };
    let missing = |what: &str, element: &Element| DecodeError::Type {
        format: Format::Xml,
        member: element.name.clone(),
        reason: format!("an entry has no {what}"),
    };
    let mut map = Vec::new();
    for element in found {
        if map.len() >= limits::LIST_ENTRIES {
            return Err(DecodeError::Limit { format: Format::Xml, what: "entries", maximum: limits::LIST_ENTRIES });
        }
        let key = element.child(key_name.unwrap_or("key")).ok_or_else(|| missing("key", element))?;
        let of = element.child(value_name.unwrap_or("value")).ok_or_else(|| missing("value", element))?;
        map.push((key.text.clone(), decode(service, *value, of)?));
    }
    Ok(Value::Map(scalar::last_entries(map)))
}

/// Writes values as elements.
pub(crate) struct Encoder<'a> {
    pub(crate) service: &'static Service,
    pub(crate) direction: Direction,
    pub(crate) writer: &'a mut Writer,
}

impl Encoder<'_> {
    /// The root element of a body with what is in it.
    pub(crate) fn root(&mut self, id: ShapeId, name: &str, namespace: Option<&str>, value: &Value) {
        let mut attributes: Vec<(String, String)> = namespace.map(|uri| ("xmlns".to_owned(), uri.to_owned())).into_iter().collect();
        let shape = self.service.shape(id);
        attributes.extend(Self::attributes(shape, value));
        self.writer.open_with(name, &attributes);
        self.content(shape, None, value);
        self.writer.close(name);
    }

    /// The members of a structure without an element around them.
    pub(crate) fn members(&mut self, id: ShapeId, value: &Value) {
        self.content(self.service.shape(id), None, value);
    }

    fn attributes(shape: &'static Shape, value: &Value) -> Vec<(String, String)> {
        let (ShapeKind::Structure { members, .. }, Value::Struct(fields)) = (&shape.kind, value) else {
            return Vec::new();
        };
        members
            .iter()
            .filter(|member| member.xml_attribute)
            .filter_map(|member| {
                let text = scalar::format(fields.get(member.name)?, TimestampFormat::Iso8601)?;
                Some((member.wire_name().to_owned(), text))
            })
            .collect()
    }

    fn content(&mut self, shape: &'static Shape, member: Option<&'static Member>, value: &Value) {
        match (&shape.kind, value) {
            (ShapeKind::Structure { members, .. }, Value::Struct(fields)) => {
                for (name, value) in fields.iter() {
                    let member = members.iter().find(|member| member.name == name);
                    if let Some(member) = member.filter(|member| member.location == Location::Body && !member.xml_attribute) {
                        self.member(member, value);
                    }
                }
            }
            (ShapeKind::List { item, item_name, .. }, Value::List(items)) => {
                for value in items {
                    self.element(item_name.unwrap_or("member"), self.service.shape(*item), None, value);
                }
            }
            (ShapeKind::Map { .. }, Value::Map(entries)) => self.entries("entry", shape, entries),
            (ShapeKind::Timestamp { format }, value) => {
                let format = member.and_then(|member| member.timestamp_format).or(*format).unwrap_or(TimestampFormat::Iso8601);
                self.writer.text(&scalar::format(value, format).unwrap_or_default());
            }
            (_, Value::Str(text)) => self.writer.text(text),
            (_, value) => self.writer.text(&scalar::format(value, TimestampFormat::Iso8601).unwrap_or_default()),
        }
    }

    fn member(&mut self, member: &'static Member, value: &Value) {
        if *value == Value::Null {
            return;
        }
        let shape = self.service.shape(member.shape);
        let name = member.wire_name();
        match (&shape.kind, value) {
            (ShapeKind::List { item, item_name, flattened }, Value::List(items)) if *flattened || member.flattened => {
                let name = match self.direction {
                    Direction::Output => item_name.unwrap_or(name),
                    Direction::Input => name,
                };
                for value in items {
                    self.element(name, self.service.shape(*item), None, value);
                }
            }
            (ShapeKind::Map { flattened, .. }, Value::Map(entries)) if *flattened || member.flattened => {
                self.entries(name, shape, entries);
            }
            _ => self.element(name, shape, Some(member), value),
        }
    }

    fn element(&mut self, name: &str, shape: &'static Shape, member: Option<&'static Member>, value: &Value) {
        let mut attributes = Self::attributes(shape, value);
        let uri = member.and_then(|member| member.xml_namespace).or(shape.xml_namespace);
        // `xsi:type` needs its prefix declared on the same element.
        let prefix = member
            .and_then(|member| member.xml_namespace_prefix)
            .or_else(|| attributes.iter().find_map(|(name, _)| name.split_once(':').map(|(prefix, _)| prefix)))
            .map(str::to_owned);
        match (prefix, uri) {
            (Some(prefix), uri) => {
                let uri = uri.unwrap_or("http://www.w3.org/2001/XMLSchema-instance");
                attributes.insert(0, (format!("xmlns:{prefix}"), uri.to_owned()));
            }
            (None, Some(uri)) => attributes.insert(0, ("xmlns".to_owned(), uri.to_owned())),
            (None, None) => {}
        }
        self.writer.open_with(name, &attributes);
        self.content(shape, member, value);
        self.writer.close(name);
    }

    fn entries(&mut self, name: &str, shape: &'static Shape, entries: &[(String, Value)]) {
        let ShapeKind::Map { value: of, key_name, value_name, .. } = &shape.kind else {
            return;
        };
        let of = self.service.shape(*of);
        for (key, value) in entries {
            self.writer.open(name);
            self.writer.leaf(key_name.unwrap_or("key"), key);
            self.element(value_name.unwrap_or("value"), of, None, value);
            self.writer.close(name);
        }
    }
}
