//! Encode as the client, decode as the server, and back: the same value comes out, for every operation there is.

use facts::{Operation, Protocol, Service};
use http::{HeaderMap, HeaderName, HeaderValue};
use wire::{EncodedRequest, Headers, Labels, RequestParts, Struct, Value};

use crate::arbitrary::{messages, operations};

/// Values per operation.
const ROUNDS: u64 = 3;

pub(crate) fn header_map(headers: &Headers) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::try_from(name.as_ref()).expect(name);
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect(value));
    }
    map
}

pub(crate) fn is_rest(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::RestJson | Protocol::RestXml)
}

/// Operations that share method and URI with a newer one, which gets their calls; and the S3 callback with a host of its own.
const SHADOWED: [&str; 5] =
    ["GetBucketLifecycle", "GetBucketNotification", "ListDirectoryBuckets", "PutBucketLifecycle", "PutBucketNotification"];

pub(crate) fn labels(
    service: &'static Service,
    protocol: Protocol,
    operation: &'static Operation,
    parts: &RequestParts<'_>,
) -> Result<Labels, String> {
    if !is_rest(protocol) {
        return Ok(Labels::default());
    }
    let (found, labels) = wire::route_rest(service, parts).ok_or("no route")?;
    if found.name != operation.name && !SHADOWED.contains(&operation.name) {
        return Err(format!("routed to {}", found.name));
    }
    Ok(labels)
}

fn parse(service: &'static Service, protocol: Protocol, operation: &'static Operation, request: &EncodedRequest) -> Result<Value, String> {
    let headers = header_map(&request.headers);
    let parts = RequestParts { method: request.method, path: &request.path, query: &request.query, headers: &headers, host_label: None };
    let labels = labels(service, protocol, operation, &parts)?;
    wire::parse_input(protocol, service, operation, &parts, &labels, &request.body).map_err(|error| error.to_string())
}

/// Members in one order at every level: the order of members means nothing.
pub(crate) fn sorted(value: &Value) -> Value {
    match value {
        Value::Struct(fields) => {
            let mut members: Vec<_> = fields.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            let mut out = Struct::new();
            for (name, value) in members {
                out.set(name, sorted(value));
            }
            Value::Struct(out)
        }
        Value::List(items) => Value::List(items.iter().map(sorted).collect()),
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::Map(entries)
        }
        other => other.clone(),
    }
}

/// Two members of these deprecated operations (`Event` and `Events`) share one element name: S3 fills either, no codec can tell.
pub(crate) const AMBIGUOUS: [&str; 2] = ["GetBucketNotification", "PutBucketNotification"];

#[test]
fn inputs_read_back() {
    let mut count = 0;
    let mut failures = Vec::new();
    for (service, protocol, operation) in operations().filter(|(_, _, operation)| !AMBIGUOUS.contains(&operation.name)) {
        for round in 0..ROUNDS {
            let (input, _) = messages(service, protocol, operation, round);
            let request = wire::encode_input(protocol, service, operation, &input);
            let result = parse(service, protocol, operation, &request);
            if result.as_ref().map(sorted) != Ok(sorted(&input)) {
                failures.push(format!(
                    "{} {protocol:?} {} round {round}: {input:?}\n  became {result:?}\n  over {} {}?{} {:?} {}",
                    service.head.id,
                    operation.name,
                    request.method,
                    request.path,
                    request.query,
                    request.headers,
                    String::from_utf8_lossy(&request.body)
                ));
            }
            count += 1;
        }
    }
    report("inputs", count, &failures);
}

#[test]
fn outputs_read_back() {
    let mut count = 0;
    let mut failures = Vec::new();
    for (service, protocol, operation) in operations().filter(|(_, _, operation)| !AMBIGUOUS.contains(&operation.name)) {
        for round in 0..ROUNDS {
            let (_, output) = messages(service, protocol, operation, round);
            let answer = wire::encode_output(protocol, service, operation, &output, "request-1");
            let headers = header_map(&answer.headers);
            let result = wire::decode_output(protocol, service, operation, answer.status, &headers, &answer.body);
            let want = with_status(service, operation, protocol, &output, answer.status);
            if result.as_ref().map(sorted).ok() != Some(sorted(&want)) {
                failures.push(format!(
                    "{} {protocol:?} {} round {round}: {output:?}\n  became {result:?}\n  over {} {:?} {}",
                    service.head.id,
                    operation.name,
                    answer.status,
                    answer.headers,
                    String::from_utf8_lossy(&answer.body)
                ));
            }
            count += 1;
        }
    }
    report("outputs", count, &failures);
}

/// A member bound to the status is always there once the answer was sent.
pub(crate) fn with_status(
    service: &'static Service,
    operation: &'static Operation,
    protocol: Protocol,
    output: &Value,
    status: u16,
) -> Value {
    let members = operation.output.map(|id| service.members(id)).unwrap_or_default();
    let mut fields = output.as_struct().cloned().unwrap_or_default();
    for member in members.iter().filter(|member| member.location == facts::Location::StatusCode && is_rest(protocol)) {
        fields.set(member.name, Value::Int(i64::from(status)));
    }
    Value::Struct(fields)
}

/// Fails with the first few failures; a run that covered nothing fails too.
pub(crate) fn report(what: &str, count: usize, failures: &[String]) {
    assert!(count > 1000, "only {count} {what} were tried");
    let shown: Vec<&str> = failures.iter().take(8).map(String::as_str).collect();
    assert!(failures.is_empty(), "{} of {count} {what} failed:\n{}", failures.len(), shown.join("\n"));
}
