//! Shapes: the types that an API speaks, with their constraints.

/// Index of a shape in its service's [`crate::Service::shapes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShapeId(pub u16);

/// A named type of one service.
#[derive(Debug)]
pub struct Shape {
    /// Name in the service model, for example `CreateAliasRequest`.
    pub name: &'static str,
    /// What it holds.
    pub kind: ShapeKind,
    /// Limits that an input must keep.
    pub constraints: Constraints,
    /// The content must never reach a log or an audit event.
    pub sensitive: bool,
    /// Set on error structures.
    pub error: Option<ErrorFacts>,
    /// XML namespace URI declared on the shape itself.
    pub xml_namespace: Option<&'static str>,
    /// Name that the XML root or list element takes instead of the shape's name.
    pub location_name: Option<&'static str>,
}

/// What a shape holds.
#[derive(Debug)]
pub enum ShapeKind {
    Structure {
        members: Vec<Member>,
        /// Index in `members` of the one member that is the whole HTTP body.
        payload: Option<u16>,
        /// Exactly one member may be set.
        union: bool,
        /// The structure is an event stream: its members are event types.
        event_stream: bool,
        /// The structure is one event of an event stream.
        event: bool,
        /// Free-form JSON (a `document` type).
        document: bool,
    },
    List {
        item: ShapeId,
        /// Element name of an item (default `member`).
        item_name: Option<&'static str>,
        flattened: bool,
    },
    Map {
        key: ShapeId,
        value: ShapeId,
        /// Element name of a key (default `key`).
        key_name: Option<&'static str>,
        /// Element name of a value (default `value`).
        value_name: Option<&'static str>,
        flattened: bool,
    },
    String,
    /// `streaming`: the bytes travel beside the value, not in it.
    Blob {
        streaming: bool,
    },
    Boolean,
    Integer,
    Long,
    Float,
    Double,
    Timestamp {
        format: Option<TimestampFormat>,
    },
}

/// Limits of a shape. Lengths count characters of strings, bytes of blobs, entries of lists and maps; for numbers they bound the value.
#[derive(Debug, Default)]
pub struct Constraints {
    pub min: Option<f64>,
    pub max: Option<f64>,
    /// A Java regular expression that the whole string must match.
    pub pattern: Option<&'static str>,
    /// Allowed values; empty when the shape is not an enumeration.
    pub values: Vec<&'static str>,
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// Name in the model, for example `KeyId`.
    pub name: &'static str,
    pub shape: ShapeId,
    pub required: bool,
    /// Where it travels in REST protocols.
    pub location: Location,
    /// Name on the wire: header, query parameter, XML element or JSON key; `None` means [`Member::name`].
    pub location_name: Option<&'static str>,
    /// `queryName` of ec2Query.
    pub query_name: Option<&'static str>,
    pub xml_namespace: Option<&'static str>,
    /// Prefix of `xml_namespace`, for example `xsi`.
    pub xml_namespace_prefix: Option<&'static str>,
    pub xml_attribute: bool,
    /// The member alone is flattened (its list or map shape may not be).
    pub flattened: bool,
    pub timestamp_format: Option<TimestampFormat>,
    pub idempotency_token: bool,
    /// JSON text inside a base64 header.
    pub json_value: bool,
    /// The member takes part in the host name.
    pub host_label: bool,
    pub event_payload: bool,
    pub event_header: bool,
    /// The member or its shape is sensitive.
    pub sensitive: bool,
}

impl Member {
    /// The name under which the member travels.
    pub fn wire_name(&self) -> &'static str {
        self.location_name.unwrap_or(self.name)
    }
}

/// Where a member travels in REST protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    Body,
    Header,
    /// All headers with the member's wire name as prefix form a map.
    Headers,
    QueryString,
    Uri,
    StatusCode,
}

/// How a timestamp is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampFormat {
    Iso8601,
    UnixTimestamp,
    Rfc822,
}

/// What an error structure says about itself.
#[derive(Debug, Clone)]
pub struct ErrorFacts {
    /// Code on the wire (`error.code` of the model, else the shape's name).
    pub code: &'static str,
    /// HTTP status, when the model or our overlay names one.
    pub status: Option<u16>,
    /// The fault is the sender's.
    pub sender_fault: bool,
    /// Header `x-amzn-query-error` of a service that left the query protocol.
    pub query_compatible_code: Option<&'static str>,
}
