//! Other APIs' protocols in front of the runtime: OpenAI's and Anthropic's clients work unmodified.
//!
//! Each is a codec ([`plane::door`]) from its requests to `InvokeModel`, `CountTokens` or `ListFoundationModels` and back. On AWS the same
//! paths are served by the runtime's endpoint, with the same headers for guardrails.
//!
//! Source: Bedrock User Guide, "Inference using Chat Completions API" and "Use Anthropic Claude with the Messages API"; OpenAI and Anthropic
//! API references.

pub(crate) mod anthropic;
pub(crate) mod openai;
mod responses;

use bytes::Bytes;
use http::HeaderMap;
use plane::ApiError;
use plane::door::DoorAnswer;
use serde_json::{Map, Value as Json, json};
use wire::event_stream::Message;
use wire::{Struct, Value};

const JSON: &str = "application/json";
const EVENT_STREAM: &str = "text/event-stream";
/// Fields that Bedrock adds to a body and that these protocols do not have.
const METRICS: &str = "amazon-bedrock-invocationMetrics";

/// The path without the prefix that some clients put before it.
fn route<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    path.strip_prefix(prefix).unwrap_or(path).strip_prefix("/v1/")
}

/// A request's body as an object.
fn object(body: &[u8]) -> Result<Map<String, Json>, ApiError> {
    match serde_json::from_slice(body) {
        Ok(Json::Object(fields)) => Ok(fields),
        _ => Err(ApiError::new("ValidationException", "The body of the request is not a JSON object.").with_status(400)),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty())
}

/// The input of `InvokeModel` for a body, with the guardrail that the headers name.
fn invocation(headers: &HeaderMap, model: &str, body: &Json) -> Value {
    let mut input = Struct::new();
    input.set("modelId", Value::Str(model.to_owned()));
    input.set("contentType", Value::Str(JSON.to_owned()));
    input.set("accept", Value::Str(JSON.to_owned()));
    input.set("body", Value::Bytes(Bytes::from(body.to_string())));
    for (member, name) in [
        ("guardrailIdentifier", "x-amzn-bedrock-guardrailidentifier"),
        ("guardrailVersion", "x-amzn-bedrock-guardrailversion"),
        ("trace", "x-amzn-bedrock-trace"),
        ("requestMetadata", "x-amzn-bedrock-request-metadata"),
    ] {
        // Bedrock's documentation writes the two names with a hyphen, too.
        let spelled = name.replacen("guardrail", "guardrail-", 1);
        if let Some(value) = header(headers, name).or_else(|| header(headers, &spelled)) {
            input.set(member, Value::Str(value.to_owned()));
        }
    }
    Value::Struct(input)
}

/// The body that an output of `InvokeModel` bears.
fn body_of(output: &Value) -> Option<Map<String, Json>> {
    let Some(Value::Bytes(bytes)) = output.member("body") else { return None };
    match serde_json::from_slice(bytes) {
        Ok(Json::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// The body in a chunk of `InvokeModelWithResponseStream`.
fn chunk_of(message: &Message) -> Option<Map<String, Json>> {
    use base64::Engine as _;
    let part: Json = serde_json::from_slice(&message.payload).ok()?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(part.get("bytes")?.as_str()?).ok()?;
    match serde_json::from_slice(&bytes) {
        Ok(Json::Object(fields)) => Some(fields),
        _ => None,
    }
}

/// Code and message of a frame that is an exception.
fn exception_of(message: &Message) -> Option<(String, String)> {
    let code = message.text(":exception-type").or_else(|| message.text(":error-code"))?;
    let body: Json = serde_json::from_slice(&message.payload).unwrap_or_default();
    let text = body.get("message").and_then(Json::as_str).unwrap_or("the answer broke off");
    Some((code.to_owned(), text.to_owned()))
}

fn json_answer(status: u16, body: &Json) -> DoorAnswer {
    DoorAnswer { status, content_type: JSON, headers: Vec::new(), body: Bytes::from(body.to_string()) }
}

/// An output that cannot be read is our fault.
fn broken() -> DoorAnswer {
    json_answer(500, &json!({ "error": { "message": "the answer cannot be written", "type": "server_error" } }))
}

/// The status that clients of these protocols expect: who is not known is 401, who may not is 403.
fn status(code: &str, status: u16) -> u16 {
    const UNKNOWN: [&str; 9] = [
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "IncompleteSignatureException",
        "IncompleteSignature",
        "ExpiredTokenException",
        "SignatureDoesNotMatch",
    ];
    match code {
        // What the model server did wrong is no fault of the request, and clients may try again.
        "ModelErrorException" | "ModelStreamErrorException" => 502,
        "ModelTimeoutException" => 504,
        _ if UNKNOWN.contains(&code) => 401,
        _ => status,
    }
}
