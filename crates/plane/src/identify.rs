//! Which service and operation a request means: by target header, RPC path, form action, credential scope, host, method and path.

use facts::{Operation, Protocol, Service, ServiceHead, catalog};
use http::HeaderMap;
use wire::{Labels, RequestParts};

/// The names that a request itself gives, before anything is believed.
#[derive(Clone, Debug, Default)]
pub struct Hints {
    /// Service of the credential scope, from the header, the query or the form.
    pub signing_name: Option<String>,
    /// Region of the credential scope.
    pub region: Option<String>,
}

/// What a request means.
#[derive(Debug)]
pub struct Identified {
    pub service: &'static Service,
    pub operation: &'static Operation,
    pub protocol: Protocol,
    pub labels: Labels,
    /// Bucket that came as the first label of the host.
    pub host_label: Option<String>,
    /// Region by credential scope, else by host.
    pub region: Option<String>,
}

/// The request means nothing that we know. It answers in the protocol that it seems to speak.
#[derive(Debug)]
pub struct Unidentified {
    pub service: Option<&'static Service>,
    pub protocol: Protocol,
    pub code: &'static str,
    pub message: String,
    pub status: u16,
    pub region: Option<String>,
    /// Name for the audit event.
    pub operation: String,
}

/// What the host name says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct HostFacts {
    pub bucket: Option<String>,
    pub endpoint_prefix: Option<String>,
    pub region: Option<String>,
}

/// Reads `bucket.s3.REGION.anything`, `SERVICE.REGION.anything`, `bucket.s3-REGION...`; ports and case do not matter.
pub fn host_facts(host: &str, is_region: impl Fn(&str) -> bool) -> HostFacts {
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(name, _)| name);
    if name.parse::<std::net::Ipv4Addr>().is_ok() {
        // An address names no service; labels of digits are none of a name's.
        return HostFacts::default();
    }
    let name = name.to_ascii_lowercase();
    let labels: Vec<&str> = name.split('.').collect();
    let region = labels.iter().find(|label| is_region(label)).map(|label| (*label).to_owned());
    // The last `s3` label with something before it: bucket names may hold dots, and even a label `s3`.
    let s3 = labels.iter().rposition(|label| *label == "s3" || label.strip_prefix("s3-").is_some_and(&is_region));
    match s3 {
        Some(0) => HostFacts { bucket: None, endpoint_prefix: Some("s3".to_owned()), region },
        Some(at) => {
            let bucket = labels.get(..at).map(|labels| labels.join("."));
            HostFacts { bucket, endpoint_prefix: Some("s3".to_owned()), region }
        }
        None => HostFacts { bucket: None, endpoint_prefix: endpoint_prefix(&labels), region },
    }
}

/// The first label, or the first two of services whose names have two (`runtime.sagemaker`).
fn endpoint_prefix(labels: &[&str]) -> Option<String> {
    let two = labels.get(..2).map(|two| two.join(".")).filter(|two| catalog().by_endpoint_prefix(two).is_some());
    two.or_else(|| labels.first().map(|label| (*label).to_owned()))
}

/// Gives the request its meaning. `form` is the body of a form-encoded request (query protocols).
pub fn identify(
    parts: &RequestParts<'_>,
    host: Option<&str>,
    hints: &Hints,
    form: Option<&[u8]>,
    is_region: impl Fn(&str) -> bool,
) -> Result<Identified, Unidentified> {
    let host = host.map(|host| host_facts(host, is_region)).unwrap_or_default();
    let region = hints.region.clone().or_else(|| host.region.clone()).or_else(|| region_in_link(parts.query));
    let found = Found { host_label: None, region };
    if let Some(rest) = parts.path.strip_prefix("/service/")
        && header(parts.headers, "smithy-protocol") == Some("rpc-v2-cbor")
    {
        return rpc_v2(rest, found);
    }
    if let Some(target) = header(parts.headers, "x-amz-target") {
        return json_target(target, parts, hints, found);
    }
    if let Some(action) = form_value(parts.query.as_bytes(), "Action").or_else(|| form.and_then(|form| form_value(form, "Action"))) {
        let version = form_value(parts.query.as_bytes(), "Version").or_else(|| form.and_then(|form| form_value(form, "Version")));
        if let Some(result) = query(&action, version.as_deref(), hints, &host, &found) {
            return result;
        }
    }
    rest(parts, hints, &host, found)
}

/// The region in the ARN that a link without signature names (`?Action=ConfirmSubscription&TopicArn=...`).
fn region_in_link(query: &str) -> Option<String> {
    form_value(query.as_bytes(), "Action")?;
    let arn = ["TopicArn", "SubscriptionArn"].iter().find_map(|name| form_value(query.as_bytes(), name))?;
    arn.strip_prefix("arn:").and_then(|rest| rest.split(':').nth(2)).map(str::to_owned)
}

struct Found {
    host_label: Option<String>,
    region: Option<String>,
}

impl Found {
    fn to(self, service: &'static Service, operation: &'static Operation, protocol: Protocol, labels: Labels) -> Identified {
        Identified { service, operation, protocol, labels, host_label: self.host_label, region: self.region }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn rpc_v2(rest: &str, found: Found) -> Result<Identified, Unidentified> {
    let (name, operation) = rest.split_once("/operation/").unwrap_or((rest, ""));
    let service = catalog()
        .heads()
        .iter()
        .find(|head| head.rpc_name == Some(name) && head.protocols.contains(&Protocol::RpcV2Cbor))
        .and_then(|head| catalog().service(head.id));
    match service.and_then(|service| service.operation(operation).map(|operation| (service, operation))) {
        Some((service, operation)) => Ok(found.to(service, operation, Protocol::RpcV2Cbor, Labels::default())),
        None => Err(unknown(service, Protocol::RpcV2Cbor, "UnknownOperationException", String::new(), 404, operation, found.region)),
    }
}

fn json_target(target: &str, parts: &RequestParts<'_>, hints: &Hints, found: Found) -> Result<Identified, Unidentified> {
    let (prefix, name) = target.rsplit_once('.').unwrap_or((target, ""));
    let by_target = catalog().by_target_prefix(prefix);
    // One target prefix may serve several signing names; the signature decides.
    let head = by_target.filter(|head| hints.signing_name.as_deref() == Some(head.signing_name)).or(by_target);
    let service = head.and_then(|head| catalog().service(head.id));
    let protocol = match header(parts.headers, "content-type") {
        Some(kind) if kind.starts_with("application/x-amz-json-1.0") => Protocol::Json10,
        _ => Protocol::Json11,
    };
    match service.and_then(|service| service.operation(name).map(|operation| (service, operation))) {
        Some((service, operation)) => Ok(found.to(service, operation, protocol, Labels::default())),
        None => Err(unknown(service, protocol, "UnknownOperationException", String::new(), 400, name, found.region)),
    }
}

fn query(action: &str, version: Option<&str>, hints: &Hints, host: &HostFacts, found: &Found) -> Option<Result<Identified, Unidentified>> {
    let is_query =
        |head: &&'static ServiceHead| head.protocols.iter().any(|protocol| matches!(protocol, Protocol::Query | Protocol::Ec2Query));
    let heads = || catalog().heads().iter().filter(is_query);
    let head = match hints.signing_name.as_deref() {
        // A service that is not here: its clients read errors in XML.
        Some(name) if catalog().by_signing_name(name).next().is_none() => {
            return Some(Err(unknown_query(None, Protocol::Query, action, version, found.region.clone())));
        }
        Some(name) => catalog().by_signing_name(name).find(is_query),
        None => heads()
            .find(|head| host.endpoint_prefix.as_deref() == Some(head.endpoint_prefix))
            .or_else(|| heads().find(|head| version == Some(head.api_version))),
    }?;
    let service = catalog().service(head.id)?;
    let protocol = *head.protocols.iter().find(|protocol| matches!(protocol, Protocol::Query | Protocol::Ec2Query))?;
    let found = Found { host_label: None, region: found.region.clone() };
    Some(match service.operation(action) {
        Some(operation) if version.is_none_or(|version| version == head.api_version) || protocol == Protocol::Ec2Query => {
            Ok(found.to(service, operation, protocol, Labels::default()))
        }
        _ => Err(unknown_query(Some(service), protocol, action, version, found.region)),
    })
}

fn unknown_query(
    service: Option<&'static Service>,
    protocol: Protocol,
    action: &str,
    version: Option<&str>,
    region: Option<String>,
) -> Unidentified {
    let message = format!("Could not find operation {action} for version {}", version.unwrap_or("NO_VERSION_SPECIFIED"));
    unknown(service, protocol, "InvalidAction", message, 400, action, region)
}

fn rest(parts: &RequestParts<'_>, hints: &Hints, host: &HostFacts, mut found: Found) -> Result<Identified, Unidentified> {
    if hints.signing_name.is_none()
        && host.bucket.is_none()
        && is_no_bucket(parts.path)
        && let Some(identified) = by_path(parts, &found)
    {
        return Ok(identified);
    }
    // Our own paths need no scope to be known: no bucket's name begins with an underscore.
    let own = parts.path.starts_with("/_bailiwick/").then_some("bailiwick");
    let name = hints
        .signing_name
        .as_deref()
        .or(own)
        .or(host.endpoint_prefix.as_deref().filter(|prefix| catalog().by_endpoint_prefix(prefix).is_some()))
        .unwrap_or("s3");
    let mut heads: Vec<&'static ServiceHead> = catalog().by_signing_name(name).collect();
    if heads.is_empty() {
        heads.extend(catalog().by_endpoint_prefix(name));
    }
    heads.retain(|head| head.protocols.iter().any(|protocol| matches!(protocol, Protocol::RestJson | Protocol::RestXml)));
    // The host's own service first, then those whose paths are fixed; S3 takes any path, so it comes last.
    heads.sort_by_key(|head| (head.id == "s3", host.endpoint_prefix.as_deref() != Some(head.endpoint_prefix)));
    for head in &heads {
        let Some(service) = catalog().service(head.id) else { continue };
        let Some(protocol) = head.protocols.iter().find(|protocol| matches!(protocol, Protocol::RestJson | Protocol::RestXml)) else {
            continue;
        };
        if head.id == "s3control" && !parts.path.starts_with("/v20180820/") {
            continue;
        }
        let bucket = if head.id == "s3" { host.bucket.as_deref() } else { None };
        let with_host =
            RequestParts { method: parts.method, path: parts.path, query: parts.query, headers: parts.headers, host_label: bucket };
        if let Some((operation, labels)) = wire::route_rest(service, &with_host) {
            found.host_label = bucket.map(str::to_owned);
            return Ok(found.to(service, operation, *protocol, labels));
        }
    }
    let service = heads.last().and_then(|head| catalog().service(head.id));
    if service.is_some_and(|service| service.head.id == "s3") {
        if percent_decode(parts.path.as_bytes()).is_none() {
            return Err(unknown(
                service,
                Protocol::RestXml,
                "InvalidURI",
                "Couldn't parse the specified URI.".to_owned(),
                400,
                "",
                found.region,
            ));
        }
        if hints.signing_name.is_none()
            && let Some(identified) = by_path(parts, &found)
        {
            return Ok(identified);
        }
        let message = "The specified method is not allowed against this resource.".to_owned();
        return Err(unknown(service, Protocol::RestXml, "MethodNotAllowed", message, 405, parts.method, found.region));
    }
    Err(unknown(service, Protocol::RestJson, "UnknownOperationException", String::new(), 404, parts.method, found.region))
}

/// The path begins with what no bucket can be called (`/v1/token`): names of buckets have three characters at least.
fn is_no_bucket(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    matches!(first.len(), 1 | 2)
}

/// An unsigned request without a telling host: the REST service that has such a path. It goes no further than the error that asks for a
/// signature, in that service's words.
fn by_path(parts: &RequestParts<'_>, found: &Found) -> Option<Identified> {
    let rest_json = catalog().heads().iter().filter(|head| head.protocols.contains(&Protocol::RestJson));
    rest_json.filter_map(|head| catalog().service(head.id)).find_map(|service| {
        let (operation, labels) = wire::route_rest(service, parts)?;
        Some(Found { host_label: None, region: found.region.clone() }.to(service, operation, Protocol::RestJson, labels))
    })
}

fn unknown(
    service: Option<&'static Service>,
    protocol: Protocol,
    code: &'static str,
    message: String,
    status: u16,
    operation: &str,
    region: Option<String>,
) -> Unidentified {
    // Foreign text goes into the audit event as a name: short and plain.
    let operation: String = operation.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    Unidentified { service, protocol, code, message, status, region, operation }
}

/// First value of a form parameter, percent-decoded.
pub fn form_value(form: &[u8], name: &str) -> Option<String> {
    form.split(|byte| *byte == b'&').find_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        let (key, value) = pair.split_at_checked(at)?;
        (key == name.as_bytes()).then(|| percent_decode(value.get(1..).unwrap_or_default()))?
    })
}

fn percent_decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digit = |byte: Option<&u8>| byte.and_then(|byte| char::from(*byte).to_digit(16));
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                bytes.push(u8::try_from(high * 16 + low).ok()?);
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(host: &str) -> HostFacts {
        host_facts(host, |label| label == "eu-central-1")
    }

    #[test]
    fn a_bucket_may_stand_in_the_host_name() {
        assert_eq!(facts("models.s3.eu-central-1.localhost:4566").bucket.as_deref(), Some("models"));
        assert_eq!(facts("a.b.s3.localhost").bucket.as_deref(), Some("a.b"));
        assert_eq!(facts("models.s3-eu-central-1.amazonaws.com").bucket.as_deref(), Some("models"));
        assert_eq!(facts("s3.eu-central-1.amazonaws.com").bucket, None);
        assert_eq!(
            facts("kms.eu-central-1.localhost:4566"),
            HostFacts { bucket: None, endpoint_prefix: Some("kms".to_owned()), region: Some("eu-central-1".to_owned()) }
        );
        assert_eq!(facts("runtime.sagemaker.eu-central-1.localhost").endpoint_prefix.as_deref(), Some("runtime.sagemaker"));
        assert_eq!(facts("127.0.0.1:4566").bucket, None);
    }

    #[test]
    fn a_link_names_its_region() {
        let link = "Action=Unsubscribe&SubscriptionArn=arn%3Aaws:sns:eu-central-1:1:t:id";
        assert_eq!(region_in_link(link).as_deref(), Some("eu-central-1"));
        for other in ["SubscriptionArn=arn:aws:sns:eu-central-1:1:t:id", "Action=Unsubscribe", "Action=x&TopicArn=t"] {
            assert_eq!(region_in_link(other), None, "{other}");
        }
    }

    #[test]
    fn form_values_are_decoded() {
        assert_eq!(form_value(b"Action=GetUser&Version=2010-05-08", "Version").as_deref(), Some("2010-05-08"));
        assert_eq!(form_value(b"A=%zz", "A"), None);
        assert_eq!(form_value(b"", "A"), None);
    }
}
