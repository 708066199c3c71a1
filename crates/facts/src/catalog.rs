//! Services and operations.

use std::collections::HashMap;
use std::sync::OnceLock;

use crate::authorization::{Authorization, Binding};
use crate::shape::{Member, Shape, ShapeId, ShapeKind};
use crate::{embedded, load};

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
            kind: ShapeKind::Structure {
                members: Vec::new(),
                payload: None,
                union: false,
                event_stream: false,
                event: false,
                document: false,
            },
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

    /// The error structure with this wire code.
    pub fn error(&'static self, code: &str) -> Option<&'static Shape> {
        self.shapes.iter().find(|shape| shape.error.as_ref().is_some_and(|error| error.code == code))
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
    /// The output has one member and no element around it: the root element is the member itself, of this name
    /// (`LocationConstraint` of `s3:GetBucketLocation`).
    pub output_root: Option<&'static str>,
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
    /// All must pass; the first that fails decides. Empty when `binding` is `Open` or `Unmapped`; when it is `Service`, these are
    /// the actions with their mechanical targets, and the service's resolver names the resources.
    pub authorizations: Vec<Authorization>,
    /// Host prefix template (`{AccountId}.`), informative only.
    pub host_prefix: Option<&'static str>,
    /// The input has a required checksum.
    pub checksum_required: bool,
    /// Path of the input member that sets tags: a map, a list of structures with a key and a value member, or
    /// (`s3` header `Tagging`) a string in query-string form. `aws:RequestTag` and `aws:TagKeys` come from it.
    pub request_tags: Option<&'static str>,
    /// Path of the input member that lists tag keys to remove. `aws:TagKeys` comes from it.
    pub tag_keys: Option<&'static str>,
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
    heads: Vec<ServiceHead>,
    /// Same order as `heads`; parsed on first use.
    services: Vec<OnceLock<Option<&'static Service>>>,
    /// Positions of the services that sign with a name. Every request is looked up by one of these two.
    signing_names: HashMap<&'static str, Vec<usize>>,
    /// Position of the first service with a target prefix, also without the name spaces before it.
    target_prefixes: HashMap<&'static str, usize>,
}

impl Catalog {
    /// Sorted by id.
    pub fn heads(&'static self) -> &'static [ServiceHead] {
        &self.heads
    }

    pub fn head(&'static self, id: &str) -> Option<&'static ServiceHead> {
        self.position(id).and_then(|at| self.heads.get(at))
    }

    /// The service with all its shapes. The first call for a service parses its facts (a few milliseconds).
    pub fn service(&'static self, id: &str) -> Option<&'static Service> {
        let at = self.position(id)?;
        let head = self.heads.get(at)?;
        *self.services.get(at)?.get_or_init(|| {
            let file = embedded::file(head.id)?;
            // The tests of this crate parse every embedded file, so `None` does not happen in a tested build.
            load::service(head, file).ok().map(|service| &*Box::leak(Box::new(service)))
        })
    }

    /// Services whose `X-Amz-Target` begins with `prefix` (the part before the last dot). SDKs that are made from Smithy models send the service's own
    /// name without the name space that botocore puts before it (`CloudTrail_20131101`).
    pub fn by_target_prefix(&'static self, prefix: &str) -> Option<&'static ServiceHead> {
        self.heads.get(*self.target_prefixes.get(prefix)?)
    }

    /// Services that sign with this name in the credential scope; several share one (`bedrock`, `s3`, `sagemaker`).
    pub fn by_signing_name(&'static self, name: &str) -> impl Iterator<Item = &'static ServiceHead> {
        self.signing_names.get(name).into_iter().flatten().filter_map(|at| self.heads.get(*at))
    }

    /// The query-protocol service with this signing name and `Version` parameter.
    pub fn by_query_version(&'static self, signing_name: &str, version: &str) -> Option<&'static ServiceHead> {
        let speaks_query =
            |head: &ServiceHead| head.protocols.iter().any(|protocol| matches!(protocol, Protocol::Query | Protocol::Ec2Query));
        self.heads.iter().find(|head| head.signing_name == signing_name && head.api_version == version && speaks_query(head))
    }

    /// The service whose host name begins with this label (`api.ecr` has two).
    pub fn by_endpoint_prefix(&'static self, prefix: &str) -> Option<&'static ServiceHead> {
        self.heads.iter().find(|head| head.endpoint_prefix == prefix)
    }

    /// The service whose rpcv2 path is `/service/NAME/operation/...`.
    pub fn by_rpc_name(&'static self, name: &str) -> Option<&'static ServiceHead> {
        self.heads.iter().find(|head| head.rpc_name == Some(name))
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.heads.binary_search_by(|head| head.id.cmp(id)).ok()
    }
}

/// A name, and what is left of it without each of the name spaces before it.
fn without_name_spaces(name: &'static str) -> impl Iterator<Item = &'static str> {
    let spaces = name.match_indices('.').filter_map(move |(at, _)| name.get(at + 1..));
    std::iter::once(name).chain(spaces).filter(|name| !name.is_empty())
}

/// The catalog compiled into this binary.
pub fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| {
        // The tests of this crate parse the embedded index, so the default does not happen in a tested build.
        let mut heads = load::heads(embedded::INDEX).unwrap_or_default();
        heads.extend(load::heads(embedded::OWN_INDEX).unwrap_or_default());
        heads.sort_unstable_by_key(|head| head.id);
        let services = heads.iter().map(|_| OnceLock::new()).collect();
        let (mut signing_names, mut target_prefixes) = (HashMap::<_, Vec<usize>>::new(), HashMap::new());
        for (at, head) in heads.iter().enumerate() {
            signing_names.entry(head.signing_name).or_default().push(at);
            for name in head.target_prefix.into_iter().flat_map(without_name_spaces) {
                target_prefixes.entry(name).or_insert(at);
            }
        }
        Catalog { heads, services, signing_names, target_prefixes }
    })
}
