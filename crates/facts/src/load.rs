//! Turns the committed JSON into [`Service`]s.
//!
//! The files are part of the binary and are checked by the tests of this crate, so a file that does not parse cannot reach a
//! release; nevertheless nothing here panics: a broken file gives an error that names it.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};

use crate::authorization::{AccessLevel, ArnTemplate, Authorization, Binding, ResourceBinding, VariableBinding};
use crate::catalog::{Dialect, Operation, Paginator, Protocol, Service, ServiceHead};
use crate::shape::{Constraints, ErrorFacts, Location, Member, Shape, ShapeId, ShapeKind, TimestampFormat};

/// A facts file that does not say what it should.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("the facts of `{service}` do not parse: {source}")]
    Syntax { service: &'static str, source: serde_json::Error },
    #[error("the facts of `{service}` name the unknown {what} `{name}`")]
    Dangling { service: &'static str, what: &'static str, name: &'static str },
    #[error("the facts of `{service}` have more shapes than a shape id can count")]
    TooManyShapes { service: &'static str },
}

/// Text that lives as long as the process: borrowed from the unpacked file, leaked where the file escapes a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Text(&'static str);

impl<'de: 'static> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de: 'static> Visitor<'de> for TextVisitor {
            type Value = Text;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text, E> {
                Ok(Text(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(Box::leak(Box::from(text))))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// A JSON object in the order of the file.
#[derive(Debug)]
struct Entries<T>(Vec<(Text, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'static, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EntriesVisitor<T>(std::marker::PhantomData<T>);
        impl<'de: 'static, T: Deserialize<'de>> Visitor<'de> for EntriesVisitor<T> {
            type Value = Entries<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(EntriesVisitor(std::marker::PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"), deny_unknown_fields)]
struct RawHead {
    id: Text,
    protocols: Vec<RawProtocol>,
    signing_name: Text,
    endpoint_prefix: Text,
    target_prefix: Option<Text>,
    api_version: Text,
    service_id: Text,
    rpc_name: Option<Text>,
    iam_prefix: Text,
    event_source: Text,
    #[serde(default)]
    global: bool,
    clock_skew_s: u32,
}

#[derive(Clone, Copy, Deserialize)]
enum RawProtocol {
    #[serde(rename = "query")]
    Query,
    #[serde(rename = "ec2")]
    Ec2,
    #[serde(rename = "json-1.0")]
    Json10,
    #[serde(rename = "json-1.1")]
    Json11,
    #[serde(rename = "rest-json")]
    RestJson,
    #[serde(rename = "rest-xml")]
    RestXml,
    #[serde(rename = "rpc-v2-cbor")]
    RpcV2Cbor,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"), deny_unknown_fields)]
struct RawService {
    xml_namespace: Option<Text>,
    dialect: RawDialect,
    #[serde(default)]
    condition_keys: Entries<Vec<Text>>,
    #[serde(default)]
    resource_types: Entries<RawResourceType>,
    operations: Entries<RawOperation>,
    shapes: Entries<RawShape>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"), deny_unknown_fields)]
struct RawDialect {
    kind: RawDialectKind,
    code: Option<Text>,
    fields: Option<Text>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawDialectKind {
    Classic,
    Framework,
    Ec2,
    S3,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"), deny_unknown_fields)]
struct RawResourceType {
    arn: Text,
    keys: Option<usize>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"), deny_unknown_fields)]
struct RawOperation {
    method: Option<Text>,
    uri: Option<Text>,
    status: Option<u16>,
    #[serde(rename = "in")]
    input: Option<Text>,
    #[serde(rename = "out")]
    output: Option<Text>,
    wrapper: Option<Text>,
    root: Option<Text>,
    ns: Option<Text>,
    output_root: Option<Text>,
    #[serde(default)]
    errors: Vec<Text>,
    #[serde(default)]
    unsigned: bool,
    pages: Option<RawPaginator>,
    idempotency: Option<Text>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    implemented: bool,
    #[serde(default)]
    data_event: bool,
    #[serde(default)]
    binding: RawBinding,
    #[serde(default)]
    auth: Vec<RawAuthorization>,
    host: Option<Text>,
    #[serde(default)]
    checksum: bool,
    request_tags: Option<Text>,
    tag_keys: Option<Text>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"), deny_unknown_fields)]
struct RawPaginator {
    #[serde(rename = "in", default)]
    input: Vec<Text>,
    #[serde(rename = "out", default)]
    output: Vec<Text>,
    limit: Option<Text>,
    #[serde(default)]
    result: Vec<Text>,
    more: Option<Text>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawBinding {
    #[default]
    Mapped,
    Service,
    Open,
    Unmapped,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"), deny_unknown_fields)]
struct RawAuthorization {
    action: Text,
    level: RawLevel,
    keys: Option<usize>,
    #[serde(default)]
    resources: Vec<RawResource>,
    when_present: Option<Text>,
    when_absent: Option<Text>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawLevel {
    List,
    Read,
    Tagging,
    Write,
    Permissions,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"), deny_unknown_fields)]
struct RawResource {
    #[serde(rename = "type")]
    kind: Text,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    variables: Entries<Text>,
    keys: Option<usize>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"), deny_unknown_fields)]
struct RawShape {
    kind: RawKind,
    #[serde(default)]
    sensitive: bool,
    name: Option<Text>,
    ns: Option<Text>,
    error: Option<RawError>,
    min: Option<f64>,
    max: Option<f64>,
    pattern: Option<Text>,
    #[serde(rename = "enum", default)]
    values: Vec<Text>,
    #[serde(default)]
    members: Entries<RawMember>,
    #[serde(default)]
    required: Vec<Text>,
    payload: Option<Text>,
    #[serde(default)]
    flags: Vec<RawFlag>,
    of: Option<Text>,
    key: Option<Text>,
    item_name: Option<Text>,
    key_name: Option<Text>,
    #[serde(default)]
    flattened: bool,
    #[serde(default)]
    streaming: bool,
    format: Option<RawFormat>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawKind {
    Structure,
    List,
    Map,
    #[serde(alias = "character")]
    String,
    Blob,
    Boolean,
    Integer,
    Long,
    Float,
    Double,
    Timestamp,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"), deny_unknown_fields)]
struct RawError {
    code: Text,
    status: Option<u16>,
    #[serde(default)]
    server: bool,
    query_code: Option<Text>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawFlag {
    Union,
    EventStream,
    Event,
    Document,
    Attribute,
    Flattened,
    Idempotency,
    Json,
    Host,
    EventPayload,
    EventHeader,
    Sensitive,
}

#[derive(Clone, Copy, Deserialize)]
enum RawFormat {
    #[serde(rename = "iso8601")]
    Iso8601,
    #[serde(rename = "unixTimestamp")]
    UnixTimestamp,
    #[serde(rename = "rfc822")]
    Rfc822,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum RawLocation {
    Header,
    Headers,
    Querystring,
    Uri,
    StatusCode,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "'de: 'static"), deny_unknown_fields)]
struct RawTraits {
    shape: Text,
    at: Option<RawLocation>,
    name: Option<Text>,
    query: Option<Text>,
    ns: Option<Text>,
    ns_prefix: Option<Text>,
    format: Option<RawFormat>,
    #[serde(default)]
    flags: Vec<RawFlag>,
}

/// A member without traits is just the name of its shape.
struct RawMember(RawTraits);

impl<'de: 'static> Deserialize<'de> for RawMember {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MemberVisitor;
        impl<'de: 'static> Visitor<'de> for MemberVisitor {
            type Value = RawMember;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a shape name or an object")
            }

            fn visit_borrowed_str<E>(self, shape: &'de str) -> Result<RawMember, E> {
                Ok(RawMember(RawTraits {
                    shape: Text(shape),
                    at: None,
                    name: None,
                    query: None,
                    ns: None,
                    ns_prefix: None,
                    format: None,
                    flags: Vec::new(),
                }))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawMember, A::Error> {
                RawTraits::deserialize(MapAccessDeserializer::new(map)).map(RawMember)
            }
        }
        deserializer.deserialize_any(MemberVisitor)
    }
}

fn text(text: Option<Text>) -> Option<&'static str> {
    text.map(|text| text.0)
}

fn texts(list: &[Text]) -> Vec<&'static str> {
    list.iter().map(|text| text.0).collect()
}

/// The heads of all services, in the order of `index.json` (sorted by id).
pub(crate) fn heads(index: &'static str) -> Result<Vec<ServiceHead>, LoadError> {
    let raw: Vec<RawHead> = serde_json::from_str(index).map_err(|source| LoadError::Syntax { service: "index", source })?;
    Ok(raw.into_iter().map(head).collect())
}

fn head(raw: RawHead) -> ServiceHead {
    ServiceHead {
        id: raw.id.0,
        protocols: raw.protocols.into_iter().map(protocol).collect(),
        signing_name: raw.signing_name.0,
        endpoint_prefix: raw.endpoint_prefix.0,
        target_prefix: text(raw.target_prefix),
        api_version: raw.api_version.0,
        service_id: raw.service_id.0,
        rpc_name: text(raw.rpc_name),
        iam_prefix: raw.iam_prefix.0,
        event_source: raw.event_source.0,
        global: raw.global,
        clock_skew_s: raw.clock_skew_s,
    }
}

fn protocol(raw: RawProtocol) -> Protocol {
    match raw {
        RawProtocol::Query => Protocol::Query,
        RawProtocol::Ec2 => Protocol::Ec2Query,
        RawProtocol::Json10 => Protocol::Json10,
        RawProtocol::Json11 => Protocol::Json11,
        RawProtocol::RestJson => Protocol::RestJson,
        RawProtocol::RestXml => Protocol::RestXml,
        RawProtocol::RpcV2Cbor => Protocol::RpcV2Cbor,
    }
}

/// Parses one service.
pub(crate) fn service(head: &'static ServiceHead, file: &'static str) -> Result<Service, LoadError> {
    let raw: RawService = serde_json::from_str(file).map_err(|source| LoadError::Syntax { service: head.id, source })?;
    Loader::new(head, &raw)?.service(raw)
}

struct Loader {
    head: &'static ServiceHead,
    shapes: HashMap<&'static str, ShapeId>,
    /// By shape id: the shape is sensitive.
    sensitive: Vec<bool>,
    condition_keys: Vec<Vec<&'static str>>,
    resource_types: HashMap<&'static str, (&'static str, Option<usize>)>,
}

impl Loader {
    fn new(head: &'static ServiceHead, raw: &RawService) -> Result<Self, LoadError> {
        let mut shapes = HashMap::with_capacity(raw.shapes.0.len());
        for (at, (name, _)) in raw.shapes.0.iter().enumerate() {
            let id = u16::try_from(at).map_err(|_| LoadError::TooManyShapes { service: head.id })?;
            shapes.insert(name.0, ShapeId(id));
        }
        Ok(Self {
            head,
            shapes,
            sensitive: raw.shapes.0.iter().map(|(_, shape)| shape.sensitive).collect(),
            condition_keys: raw.condition_keys.0.iter().map(|(_, keys)| texts(keys)).collect(),
            resource_types: raw.resource_types.0.iter().map(|(name, kind)| (name.0, (kind.arn.0, kind.keys))).collect(),
        })
    }

    fn service(&self, raw: RawService) -> Result<Service, LoadError> {
        let operations =
            raw.operations.0.into_iter().map(|(name, operation)| self.operation(name.0, operation)).collect::<Result<_, _>>()?;
        let shapes = raw.shapes.0.into_iter().map(|(name, shape)| self.shape(name.0, shape)).collect::<Result<_, _>>()?;
        let code = text(raw.dialect.code).unwrap_or("ValidationException");
        let dialect = match raw.dialect.kind {
            RawDialectKind::Classic => Dialect::Classic(code),
            RawDialectKind::Framework => Dialect::Framework { code, fields: text(raw.dialect.fields) },
            RawDialectKind::Ec2 => Dialect::Ec2,
            RawDialectKind::S3 => Dialect::S3,
        };
        Ok(Service { head: self.head, xml_namespace: text(raw.xml_namespace), dialect, operations, shapes })
    }

    fn dangling(&self, what: &'static str, name: &'static str) -> LoadError {
        LoadError::Dangling { service: self.head.id, what, name }
    }

    fn id(&self, name: Text) -> Result<ShapeId, LoadError> {
        self.shapes.get(name.0).copied().ok_or_else(|| self.dangling("shape", name.0))
    }

    fn needed(&self, name: Option<Text>, owner: &'static str) -> Result<ShapeId, LoadError> {
        self.id(name.ok_or_else(|| self.dangling("element of", owner))?)
    }

    fn keys(&self, of: Option<usize>) -> Vec<&'static str> {
        of.and_then(|at| self.condition_keys.get(at)).cloned().unwrap_or_default()
    }

    fn operation(&self, name: &'static str, raw: RawOperation) -> Result<Operation, LoadError> {
        Ok(Operation {
            name,
            http_method: text(raw.method).unwrap_or("POST"),
            http_uri: text(raw.uri).unwrap_or("/"),
            response_status: raw.status.unwrap_or(200),
            input: raw.input.map(|shape| self.id(shape)).transpose()?,
            output: raw.output.map(|shape| self.id(shape)).transpose()?,
            result_wrapper: text(raw.wrapper),
            input_root: text(raw.root),
            input_namespace: text(raw.ns),
            output_root: text(raw.output_root),
            errors: raw.errors.into_iter().map(|shape| self.id(shape)).collect::<Result<_, _>>()?,
            unsigned: raw.unsigned,
            paginator: raw.pages.map(paginator),
            idempotency_token: text(raw.idempotency),
            read_only: raw.read_only,
            implemented: raw.implemented,
            data_event: raw.data_event,
            binding: match raw.binding {
                RawBinding::Mapped => Binding::Mapped,
                RawBinding::Service => Binding::Service,
                RawBinding::Open => Binding::Open,
                RawBinding::Unmapped => Binding::Unmapped,
            },
            authorizations: raw.auth.into_iter().map(|entry| self.authorization(entry)).collect::<Result<_, _>>()?,
            host_prefix: text(raw.host),
            checksum_required: raw.checksum,
            request_tags: text(raw.request_tags),
            tag_keys: text(raw.tag_keys),
        })
    }

    fn authorization(&self, raw: RawAuthorization) -> Result<Authorization, LoadError> {
        Ok(Authorization {
            action: raw.action.0,
            access_level: match raw.level {
                RawLevel::List => AccessLevel::List,
                RawLevel::Read => AccessLevel::Read,
                RawLevel::Tagging => AccessLevel::Tagging,
                RawLevel::Write => AccessLevel::Write,
                RawLevel::Permissions => AccessLevel::PermissionsManagement,
            },
            resources: raw.resources.into_iter().map(|resource| self.resource(resource)).collect::<Result<_, _>>()?,
            condition_keys: self.keys(raw.keys),
            when_present: text(raw.when_present),
            when_absent: text(raw.when_absent),
        })
    }

    fn resource(&self, raw: RawResource) -> Result<ResourceBinding, LoadError> {
        let (arn, type_keys) = *self.resource_types.get(raw.kind.0).ok_or_else(|| self.dangling("resource type", raw.kind.0))?;
        let mut condition_keys = self.keys(raw.keys);
        condition_keys.extend(self.keys(type_keys));
        condition_keys.sort_unstable();
        condition_keys.dedup();
        let arn = ArnTemplate { text: arn };
        let given: HashMap<&str, &'static str> = raw.variables.0.iter().map(|(variable, path)| (variable.0, path.0)).collect();
        let variables = arn
            .variables()
            .map(|variable| {
                let path = given.get(variable).copied().unwrap_or_default();
                let member = path.strip_suffix('?').unwrap_or(path);
                VariableBinding { variable, member, may_be_arn: member.len() != path.len() }
            })
            .collect();
        Ok(ResourceBinding { resource_type: raw.kind.0, arn, required: raw.required, condition_keys, variables })
    }

    fn shape(&self, name: &'static str, raw: RawShape) -> Result<Shape, LoadError> {
        let kind = match raw.kind {
            RawKind::Structure => self.structure(&raw)?,
            RawKind::List => ShapeKind::List { item: self.needed(raw.of, name)?, item_name: text(raw.item_name), flattened: raw.flattened },
            RawKind::Map => ShapeKind::Map {
                key: self.needed(raw.key, name)?,
                value: self.needed(raw.of, name)?,
                key_name: text(raw.key_name),
                value_name: text(raw.item_name),
                flattened: raw.flattened,
            },
            RawKind::String => ShapeKind::String,
            RawKind::Blob => ShapeKind::Blob { streaming: raw.streaming },
            RawKind::Boolean => ShapeKind::Boolean,
            RawKind::Integer => ShapeKind::Integer,
            RawKind::Long => ShapeKind::Long,
            RawKind::Float => ShapeKind::Float,
            RawKind::Double => ShapeKind::Double,
            RawKind::Timestamp => ShapeKind::Timestamp { format: raw.format.map(format) },
        };
        Ok(Shape {
            name,
            kind,
            constraints: Constraints { min: raw.min, max: raw.max, pattern: text(raw.pattern), values: texts(&raw.values) },
            sensitive: raw.sensitive,
            error: raw.error.map(|error| ErrorFacts {
                code: error.code.0,
                status: error.status,
                sender_fault: !error.server,
                query_compatible_code: text(error.query_code),
            }),
            xml_namespace: text(raw.ns),
            location_name: text(raw.name),
        })
    }

    fn structure(&self, raw: &RawShape) -> Result<ShapeKind, LoadError> {
        let members = raw
            .members
            .0
            .iter()
            .map(|(name, member)| self.member(name.0, &member.0, raw.required.contains(name)))
            .collect::<Result<Vec<_>, _>>()?;
        let payload = raw.payload.and_then(|payload| members.iter().position(|member| member.name == payload.0));
        let has = |flag| raw.flags.contains(&flag);
        Ok(ShapeKind::Structure {
            members,
            payload: payload.and_then(|at| u16::try_from(at).ok()),
            union: has(RawFlag::Union),
            event_stream: has(RawFlag::EventStream),
            event: has(RawFlag::Event),
            document: has(RawFlag::Document),
        })
    }

    fn member(&self, name: &'static str, raw: &RawTraits, required: bool) -> Result<Member, LoadError> {
        let shape = self.id(raw.shape)?;
        let has = |flag| raw.flags.contains(&flag);
        Ok(Member {
            name,
            shape,
            required,
            location: match raw.at {
                None => Location::Body,
                Some(RawLocation::Header) => Location::Header,
                Some(RawLocation::Headers) => Location::Headers,
                Some(RawLocation::Querystring) => Location::QueryString,
                Some(RawLocation::Uri) => Location::Uri,
                Some(RawLocation::StatusCode) => Location::StatusCode,
            },
            location_name: text(raw.name),
            query_name: text(raw.query),
            xml_namespace: text(raw.ns),
            xml_namespace_prefix: text(raw.ns_prefix),
            xml_attribute: has(RawFlag::Attribute),
            flattened: has(RawFlag::Flattened),
            timestamp_format: raw.format.map(format),
            idempotency_token: has(RawFlag::Idempotency),
            json_value: has(RawFlag::Json),
            host_label: has(RawFlag::Host),
            event_payload: has(RawFlag::EventPayload),
            event_header: has(RawFlag::EventHeader),
            sensitive: has(RawFlag::Sensitive) || self.sensitive.get(usize::from(shape.0)).copied().unwrap_or_default(),
        })
    }
}

fn paginator(raw: RawPaginator) -> Paginator {
    Paginator {
        input_token: texts(&raw.input),
        output_token: texts(&raw.output),
        limit_key: text(raw.limit),
        result_key: texts(&raw.result),
        more_results: text(raw.more),
    }
}

fn format(raw: RawFormat) -> TimestampFormat {
    match raw {
        RawFormat::Iso8601 => TimestampFormat::Iso8601,
        RawFormat::UnixTimestamp => TimestampFormat::UnixTimestamp,
        RawFormat::Rfc822 => TimestampFormat::Rfc822,
    }
}

/// Every embedded file parses; a failure names the place.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_file_parses() {
        let heads: &'static [ServiceHead] = Box::leak(heads(crate::embedded::INDEX).expect("index").into_boxed_slice());
        let ids: Vec<_> = crate::embedded::FILES.iter().map(|(id, _)| *id).collect();
        assert_eq!(heads.iter().map(|head| head.id).collect::<Vec<_>>(), ids);
        for head in heads {
            let text = crate::embedded::file(head.id).expect("unpacked");
            if let Err(error) = service(head, text) {
                panic!("{error}");
            }
        }
    }
}
