//! Services and operations.

use crate::authorization::{Authorization, Binding};
use crate::shape::{Member, Shape, ShapeId, ShapeKind};

/// A wire protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    Query,
    Ec2Query,
    Json10,
    Json11,
    RestJson,
    RestXml,
    RpcV2Cbor,
}

/// In which words and codes a service refuses malformed input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `N validation error(s) detected: Value ... failed to satisfy constraint: ...` with the given code, e.g. `ValidationException`.
    Classic(&'static str),
    /// Newer services: the message names the field; `fields` says that the error structure has `reason` and a field list member of that name.
    Framework { code: &'static str, fields: Option<&'static str> },
    /// `MissingParameter`, `InvalidParameterValue`, ...
    Ec2,
    /// `MalformedXML`, `InvalidArgument`, `InvalidBucketName`, ...
    S3,
}

/// What is known of a service before its shapes are loaded.
#[derive(Debug)]
pub struct ServiceHead {
    /// Directory name in botocore, for example `bedrock-runtime`.
    pub id: &'static str,
    /// Protocols in the order of the model's preference.
    pub protocols: Vec<Protocol>,
    /// Name in the credential scope.
    pub signing_name: &'static str,
    /// First label of the host name.
    pub endpoint_prefix: &'static str,
    /// Prefix of `X-Amz-Target` before the dot.
    pub target_prefix: Option<&'static str>,
    /// `Version` parameter of query protocols.
    pub api_version: &'static str,
    /// Service name as in `https://SERVICE_ID...`, e.g. `Bedrock Runtime`; also the rpcv2 service name.
    pub service_id: &'static str,
    /// Smithy service shape name used in rpcv2 paths `/service/NAME/operation/OP`.
    pub rpc_name: Option<&'static str>,
    /// IAM action prefix, for example `bedrock`.
    pub iam_prefix: &'static str,
    /// `eventSource` in audit events, for example `bedrock.amazonaws.com`.
    pub event_source: &'static str,
    /// One endpoint for the partition: state lives in the partition's home region.
    pub global: bool,
    /// Largest difference between the client's clock and ours, in seconds (300 or 900).
    pub clock_skew_s: u32,
}

/// A service with all it knows.
#[derive(Debug)]
pub struct Service {
    pub head: &'static ServiceHead,
    pub xml_namespace: Option<&'static str>,
    pub dialect: Dialect,
    /// Sorted by name.
    pub operations: Vec<Operation>,
    pub shapes: Vec<Shape>,
}

impl Service {
    pub fn operation(&'static self, name: &str) -> Option<&'static Operation> {
        self.operations.binary_search_by(|operation| operation.name.cmp(name)).ok().and_then(|at| self.operations.get(at))
    }

    /// The shape behind an id. Ids come from the same service; a foreign id gives an empty structure, never a panic.
    pub fn shape(&'static self, id: ShapeId) -> &'static Shape {
        static EMPTY: Shape = Shape {
            name: "",
            kind: ShapeKind::Structure { members: Vec::new(), payload: None, union: false, event_stream: false, event: false, document: false },
            constraints: crate::shape::Constraints { min: None, max: None, pattern: None, values: Vec::new() },
            sensitive: false,
            error: None,
            xml_namespace: None,
            location_name: None,
        };
        self.shapes.get(usize::from(id.0)).unwrap_or(&EMPTY)
    }

    pub fn shape_named(&'static self, name: &str) -> Option<&'static Shape> {
        self.shapes.iter().find(|shape| shape.name == name)
    }

    /// Members of a structure shape; empty for other kinds.
    pub fn members(&'static self, id: ShapeId) -> &'static [Member] {
        match &self.shape(id).kind {
            ShapeKind::Structure { members, .. } => members,
            _ => &[],
        }
    }
}

/// One API operation.
#[derive(Debug)]
pub struct Operation {
    pub name: &'static str,
    pub http_method: &'static str,
    /// URI template, e.g. `/{Bucket}/{Key+}?uploads`.
    pub http_uri: &'static str,
    /// Success status of REST protocols.
    pub response_status: u16,
    pub input: Option<ShapeId>,
    pub output: Option<ShapeId>,
    /// Element that wraps the output in query protocols (`CreateUserResult`).
    pub result_wrapper: Option<&'static str>,
    /// Root element of an XML input body, with namespace, where it is not the payload member.
    pub input_root: Option<&'static str>,
    pub input_namespace: Option<&'static str>,
    pub errors: Vec<ShapeId>,
    /// The call is made without a signature (`AssumeRoleWithWebIdentity`, `AssumeRoleWithSAML`).
    pub unsigned: bool,
    pub paginator: Option<Paginator>,
    /// Input member that carries the idempotency token.
    pub idempotency_token: Option<&'static str>,
    /// Changes nothing (Read or List access level); recorded as `readOnly`.
    pub read_only: bool,
    /// A handler exists.
    pub implemented: bool,
    /// Recorded as a data event (`eventCategory` `Data`) and not as a management event.
    pub data_event: bool,
    pub binding: Binding,
    /// All must pass; the first that fails decides. Empty unless `binding` is `Mapped`.
    pub authorizations: Vec<Authorization>,
    /// Host prefix template (`{AccountId}.`), informative only.
    pub host_prefix: Option<&'static str>,
    /// The input has a required checksum.
    pub checksum_required: bool,
}

/// How an operation pages.
#[derive(Debug)]
pub struct Paginator {
    /// Input member(s) with the token.
    pub input_token: Vec<&'static str>,
    /// Output member(s) with the next token.
    pub output_token: Vec<&'static str>,
    pub limit_key: Option<&'static str>,
    pub result_key: Vec<&'static str>,
    pub more_results: Option<&'static str>,
}

/// All services.
#[derive(Debug)]
pub struct Catalog {
    pub(crate) heads: Vec<ServiceHead>,
}

impl Catalog {
    pub fn heads(&'static self) -> &'static [ServiceHead] {
        &self.heads
    }
}

/// The catalog compiled into this binary.
pub fn catalog() -> &'static Catalog {
    static CATALOG: std::sync::OnceLock<Catalog> = std::sync::OnceLock::new();
    CATALOG.get_or_init(|| Catalog { heads: Vec::new() })
}
