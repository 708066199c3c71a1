//! botocore as the oracle: what it sends we read, what we answer it reads, for every operation of every service.
//!
//! Needs a Python with botocore in `BAILIWICK_PYTHON` (`cargo xtask` sets it); without one the test says that it was skipped.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use facts::{Location, Operation, Protocol, Service, ShapeKind};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value as Json, json};
use wire::{Encoded, ErrorReply, RequestParts, Value};

use crate::arbitrary::{messages, protocols, services};
use crate::round_trip::{AMBIGUOUS, is_rest, labels, report, sorted, with_status};

/// Operations that the SDK models leave out, so that botocore has no opinion on them: a certificate signs the call, no SDK makes it.
const UNKNOWN_TO_BOTOCORE: [(&str, &str); 3] =
    [("rolesanywhere", "CreateSession"), ("signin", "AuthorizeOAuth2Access"), ("signin", "ConsoleLogin")];
/// Values per operation.
const ROUNDS: u64 = 2;

fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Query => "query",
        Protocol::Ec2Query => "ec2",
        Protocol::Json10 | Protocol::Json11 => "json",
        Protocol::RestJson => "rest-json",
        Protocol::RestXml => "rest-xml",
        Protocol::RpcV2Cbor => "smithy-rpc-v2-cbor",
    }
}

fn tagged(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Str(text) => json!(text),
        Value::Bytes(bytes) => json!({ "$bytes": STANDARD.encode(bytes) }),
        Value::Time(time) => json!({ "$time": time.0 / 1000 }),
        Value::List(items) => items.iter().map(tagged).collect(),
        Value::Map(entries) => Json::Object(entries.iter().map(|(key, value)| (key.clone(), tagged(value))).collect()),
        Value::Struct(fields) => Json::Object(fields.iter().map(|(name, value)| (name.to_owned(), tagged(value))).collect()),
        Value::Document(document) => document.clone(),
    }
}

/// Whether botocore's view is our value. It gives text for the bytes of a payload, and numbers of either kind.
fn same(value: &Value, found: &Json) -> bool {
    match (value, found) {
        (Value::Bytes(bytes), Json::String(text)) => bytes == text.as_bytes(),
        (Value::Time(time), Json::Object(object)) => {
            let seconds = i32::try_from(time.0 / 1000)
                .map_or_else(|_| f64::from(u32::try_from(time.0 / 1000).expect("a time of the generator")), f64::from);
            object.get("$time").and_then(Json::as_f64) == Some(seconds)
        }
        (Value::Float(number), found) => found.as_f64() == Some(*number),
        (Value::List(items), Json::Array(found)) => {
            items.len() == found.len() && items.iter().zip(found).all(|(item, found)| same(item, found))
        }
        (Value::Map(entries), Json::Object(found)) => {
            entries.len() == found.len() && entries.iter().all(|(key, value)| found.get(key).is_some_and(|found| same(value, found)))
        }
        (Value::Struct(fields), Json::Object(found)) => {
            fields.len() == found.len() && fields.iter().all(|(name, value)| found.get(name).is_some_and(|found| same(value, found)))
        }
        (value, found) => tagged(value) == *found,
    }
}

fn answer(encoded: &Encoded) -> Json {
    let headers: Vec<Json> = encoded.headers.iter().map(|(name, value)| json!([name, value])).collect();
    json!({ "status": encoded.status, "headers": headers, "body": STANDARD.encode(&encoded.body) })
}

fn has_event_stream(service: &'static Service, operation: &'static Operation) -> bool {
    let members = operation.output.map(|id| service.members(id)).unwrap_or_default();
    members.iter().any(|member| matches!(service.shape(member.shape).kind, ShapeKind::Structure { event_stream: true, .. }))
}

struct Call {
    operation: &'static Operation,
    input: Value,
    output: Value,
    answer: Option<Encoded>,
    error: ErrorReply,
}

impl Call {
    fn new(service: &'static Service, protocol: Protocol, operation: &'static Operation, round: u64) -> Self {
        let (mut input, mut output) = messages(service, protocol, operation, round);
        // botocore's model has a timestamp where S3 takes and gives any text; our facts have the text.
        for message in [&mut input, &mut output] {
            if let (Value::Struct(fields), "s3") = (message, service.head.id) {
                fields.take("Expires");
            }
        }
        // botocore reads the bodies of streams through an object of its own, and S3's bare root in a handler of its own.
        let skip = has_event_stream(service, operation) || operation.name == "GetBucketLocation";
        let answer = (!skip).then(|| wire::encode_output(protocol, service, operation, &output, "request-1"));
        let output = match &answer {
            Some(answer) => with_status(service, operation, protocol, &output, answer.status),
            None => output,
        };
        let modelled = operation.errors.first().and_then(|id| service.shape(*id).error.as_ref());
        let code = modelled.map_or("AccessDenied", |facts| facts.code).to_owned();
        let error = ErrorReply { code, message: "no <way> & \"é\"".to_owned(), status: 400, sender_fault: true, members: Vec::new() };
        Self { operation, input, output, answer, error }
    }

    fn question(&self, service: &'static Service, protocol: Protocol) -> Json {
        let error = wire::encode_error(protocol, Some(service), &self.error, "request-1");
        json!({
            "operation": self.operation.name,
            "input": tagged(&self.input),
            "answer": self.answer.as_ref().map(answer),
            "error": answer(&error),
        })
    }

    fn check_request(&self, service: &'static Service, protocol: Protocol, reply: &Json) -> Result<(), String> {
        let request = &reply["request"];
        let text = |name: &str| request[name].as_str().ok_or_else(|| request.to_string());
        let mut headers = HeaderMap::new();
        for pair in request["headers"].as_array().ok_or_else(|| request.to_string())? {
            let name = HeaderName::try_from(pair[0].as_str().unwrap()).map_err(|error| error.to_string())?;
            let value = HeaderValue::from_bytes(pair[1].as_str().unwrap().as_bytes()).map_err(|error| error.to_string())?;
            headers.append(name, value);
        }
        let parts =
            RequestParts { method: text("method")?, path: text("path")?, query: text("query")?, headers: &headers, host_label: None };
        let body = STANDARD.decode(text("body")?).unwrap();
        let shown = || format!("{request} {}", String::from_utf8_lossy(&body));
        let labels = labels(service, protocol, self.operation, &parts).map_err(|error| format!("{error}: {}", shown()))?;
        let mut found = wire::parse_input(protocol, service, self.operation, &parts, &labels, &body)
            .map_err(|error| format!("{error}: {}", shown()))?;
        // Whoever sends a body says its length.
        if let (Value::Struct(fields), None) = (&mut found, self.input.member("ContentLength")) {
            fields.take("ContentLength");
        }
        if sorted(&found) == sorted(&self.input) {
            Ok(())
        } else {
            Err(format!("{:?}\n  became {found:?}\n  over {}", self.input, shown()))
        }
    }

    fn check_output(&self, service: &'static Service, protocol: Protocol, reply: &Json) -> Result<(), String> {
        let Some(answer) = &self.answer else {
            return Ok(());
        };
        let mut found = reply["output"].clone();
        let object = found.as_object_mut().ok_or("no output")?;
        let request_id = object.get("ResponseMetadata").and_then(|metadata| metadata.get("RequestId")).cloned();
        object.remove("ResponseMetadata");
        // botocore makes something of absent header maps and of absent payloads.
        let members = self.operation.output.map(|id| service.members(id)).unwrap_or_default();
        for member in members {
            let invented = is_rest(protocol)
                && self.output.member(member.name).is_none()
                && object.get(member.name).is_some_and(|value| *value == json!({}) || *value == json!(""))
                && (member.location == Location::Headers || member.location == Location::Body);
            if invented {
                object.remove(member.name);
            }
        }
        if request_id != Some(json!("request-1")) && !object.is_empty() {
            return Err(format!("the request id became {request_id:?}"));
        }
        if same(&self.output, &found) {
            return Ok(());
        }
        Err(format!("{:?}\n  was read as {found}\n  over {:?} {}", self.output, answer.headers, String::from_utf8_lossy(&answer.body)))
    }

    fn check_error(&self, reply: &Json) -> Result<(), String> {
        let error = &reply["error"]["Error"];
        let code = if error["QueryErrorCode"].is_null() { &error["Code"] } else { &error["QueryErrorCode"] };
        let good =
            (*code == json!(self.error.code) || error["Code"] == json!(self.error.code)) && error["Message"] == json!(self.error.message);
        if good { Ok(()) } else { Err(format!("{:?} was read as {}", self.error, reply["error"])) }
    }
}

fn ask(python: &str, question: &Json) -> Vec<Json> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/oracle/botocore_oracle.py");
    let mut child = Command::new(python).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python starts");
    child.stdin.take().unwrap().write_all(question.to_string().as_bytes()).expect("the question is read");
    let output = child.wait_with_output().expect("python ends");
    assert!(output.status.success(), "the oracle failed for {}", question["service"]);
    serde_json::from_slice(&output.stdout).expect("the oracle answers in JSON")
}

#[test]
fn botocore_agrees() {
    let Ok(python) = std::env::var("BAILIWICK_PYTHON") else {
        println!("skipped: BAILIWICK_PYTHON names no Python with botocore");
        return;
    };
    let mut count = 0;
    let mut failures = Vec::new();
    // Our own control service is not Amazon's.
    for service in services().filter(|service| service.head.id != "bailiwick") {
        for protocol in protocols(service) {
            let is_known = |name: &str| !UNKNOWN_TO_BOTOCORE.contains(&(service.head.id, name));
            let operations = service.operations.iter().filter(|operation| !AMBIGUOUS.contains(&operation.name) && is_known(operation.name));
            let calls: Vec<Call> =
                operations.flat_map(|operation| (0..ROUNDS).map(move |round| Call::new(service, protocol, operation, round))).collect();
            let questions: Vec<Json> = calls.iter().map(|call| call.question(service, protocol)).collect();
            let question = json!({ "service": service.head.id, "protocol": protocol_name(protocol), "calls": questions });
            let replies = ask(&python, &question);
            assert_eq!(replies.len(), calls.len());
            for (call, reply) in calls.iter().zip(&replies) {
                count += 1;
                let checks = [
                    ("request", call.check_request(service, protocol, reply)),
                    ("output", call.check_output(service, protocol, reply)),
                    ("error", call.check_error(reply)),
                ];
                for (what, result) in checks {
                    if let Err(error) = result {
                        failures.push(format!("{} {protocol:?} {} {what}: {error}", service.head.id, call.operation.name));
                    }
                }
            }
        }
    }
    report("calls", count, &failures);
}
