//! Anthropic's protocol: messages and their count of tokens.

use std::sync::Arc;

use http::HeaderMap;
use plane::ApiError;
use plane::door::{AnswerWriter, Door, DoorAnswer, DoorRequest, EventWriter, Meant};
use serde_json::{Map, Value as Json, json};
use wire::event_stream::Message;
use wire::{ErrorReply, Struct, Value};

use super::{EVENT_STREAM, METRICS, body_of, broken, chunk_of, exception_of, invocation, json_answer, object, route};
use crate::RUNTIME;

const PREFIX: &str = "/anthropic";
/// The version of the body's form, which is a header in this protocol.
const VERSION: &str = "bedrock-2023-05-31";

pub(crate) struct Anthropic;

impl Door for Anthropic {
    fn takes(&self, path: &str, is_keyed: bool) -> bool {
        match path.strip_prefix(PREFIX) {
            Some(rest) => is_keyed && rest.starts_with("/v1/"),
            None => path == "/v1/messages" || path.starts_with("/v1/messages/"),
        }
    }

    fn read(&self, request: &DoorRequest<'_>) -> Option<Meant> {
        match (request.method, route(request.path, PREFIX)?) {
            ("POST", "messages") => Some(messages(request)),
            ("POST", "messages/count_tokens") => Some(count(request)),
            _ => None,
        }
    }

    fn error(&self, error: &ErrorReply) -> DoorAnswer {
        let status = super::status(&error.code, error.status);
        json_answer(status, &json!({ "type": "error", "error": { "type": kind(status), "message": error.message } }))
    }

    fn request_id_header(&self) -> &'static str {
        "request-id"
    }
}

fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// The model, and the body in the form that `InvokeModel` takes.
fn body(fields: Result<Map<String, Json>, ApiError>) -> Result<(String, Json), ApiError> {
    let mut fields = fields?;
    fields.remove("stream");
    let invalid = |message: &str| ApiError::new("ValidationException", message.to_owned()).with_status(400);
    let model = match fields.remove("model") {
        Some(Json::String(model)) if !model.is_empty() => model,
        _ => return Err(invalid("model: Field required")),
    };
    if !fields.contains_key("messages") {
        return Err(invalid("messages: Field required"));
    }
    // The tier is a wish about the service, not the model.
    match fields.remove("service_tier").as_ref().and_then(Json::as_str) {
        None | Some("auto" | "standard_only") => {}
        Some(other) => return Err(invalid(&format!("service_tier: `{other}` is not known"))),
    }
    fields.insert("anthropic_version".to_owned(), json!(VERSION));
    Ok((model, Json::Object(fields)))
}

fn messages(request: &DoorRequest<'_>) -> Meant {
    let fields = object(request.body);
    let streams = fields.as_ref().is_ok_and(|fields| fields.get("stream") == Some(&Json::Bool(true)));
    let operation = if streams { "InvokeModelWithResponseStream" } else { "InvokeModel" };
    let headers: &HeaderMap = request.headers;
    let input = body(fields).map(|(model, body)| invocation(headers, &model, &body));
    Meant { service: RUNTIME, operation, input, writer: Arc::new(Answer) }
}

fn count(request: &DoorRequest<'_>) -> Meant {
    let fields = object(request.body).map(|mut fields| {
        // The form wants a limit, which does not count.
        fields.entry("max_tokens").or_insert(json!(1));
        fields
    });
    let input = body(fields).map(|(model, body)| {
        let mut invoke = Struct::new();
        invoke.set("body", Value::Bytes(body.to_string().into()));
        let mut counted = Struct::new();
        counted.set("invokeModel", Value::Struct(invoke));
        let mut input = Struct::new();
        input.set("modelId", Value::Str(model));
        input.set("input", Value::Struct(counted));
        Value::Struct(input)
    });
    Meant { service: RUNTIME, operation: "CountTokens", input, writer: Arc::new(Answer) }
}

struct Answer;

impl AnswerWriter for Answer {
    fn answer(&self, output: &Value) -> DoorAnswer {
        if let Some(Value::Int(count)) = output.member("inputTokens") {
            return json_answer(200, &json!({ "input_tokens": count }));
        }
        match body_of(output) {
            Some(fields) => json_answer(200, &Json::Object(fields)),
            None => broken(),
        }
    }

    fn stream(&self) -> Box<dyn EventWriter> {
        Box::new(Events)
    }
}

struct Events;

fn event(kind: &str, json: &Json) -> Vec<u8> {
    format!("event: {kind}\ndata: {json}\n\n").into_bytes()
}

impl EventWriter for Events {
    fn content_type(&self) -> &'static str {
        EVENT_STREAM
    }

    fn event(&mut self, message: &Message) -> Vec<u8> {
        if let Some((code, text)) = exception_of(message) {
            let status = match code.as_str() {
                "throttlingException" => 429,
                "serviceUnavailableException" => 503,
                "validationException" => 400,
                _ => 500,
            };
            return event("error", &json!({ "type": "error", "error": { "type": kind(status), "message": text } }));
        }
        let Some(mut chunk) = chunk_of(message) else { return Vec::new() };
        chunk.remove(METRICS);
        let kind = chunk.get("type").and_then(Json::as_str).unwrap_or("ping").to_owned();
        event(&kind, &Json::Object(chunk))
    }

    fn end(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str, body: &str) -> Option<Meant> {
        Anthropic.read(&DoorRequest { method: "POST", path, query: "", headers: &HeaderMap::new(), body: body.as_bytes() })
    }

    #[test]
    fn a_request_means_an_operation() {
        let meant = read("/v1/messages", r#"{"model":"m","max_tokens":1,"messages":[],"stream":true}"#).unwrap();
        assert_eq!(meant.operation, "InvokeModelWithResponseStream");
        let input = meant.input.unwrap();
        let Some(Value::Bytes(bytes)) = input.member("body") else { panic!("a body is expected") };
        let body: Json = serde_json::from_slice(bytes).unwrap();
        assert_eq!(body, json!({ "max_tokens": 1, "messages": [], "anthropic_version": VERSION }));
        let counted = read("/anthropic/v1/messages/count_tokens", r#"{"model":"m","messages":[]}"#).unwrap();
        assert_eq!((counted.operation, counted.input.is_ok()), ("CountTokens", true));
        assert!(read("/v1/messages", "{}").unwrap().input.is_err());
        assert!(read("/v1/messages/batches", "{}").is_none());
    }
}
