//! OpenAI's protocol: responses, chat completions, completions, embeddings and models. Other paths of it are refused in its own form.

use std::sync::Arc;

use http::HeaderMap;
use plane::ApiError;
use plane::door::{AnswerWriter, Door, DoorAnswer, DoorRequest, EventWriter, Meant};
use serde_json::{Map, Value as Json, json};
use wire::event_stream::Message;
use wire::{ErrorReply, Struct, Value};

use super::{EVENT_STREAM, METRICS, body_of, broken, chunk_of, exception_of, invocation, json_answer, object, responses, route};
use crate::RUNTIME;

const PREFIX: &str = "/openai";

pub(crate) struct OpenAi;

impl Door for OpenAi {
    fn takes(&self, path: &str, is_keyed: bool) -> bool {
        let is_messages = |rest: &str| rest == "messages" || rest.starts_with("messages/");
        // Paths of AWS Sign-In, which begin alike.
        if ["/v1/authorize", "/v1/introspect", "/v1/revoke", "/v1/token"].contains(&path) {
            return false;
        }
        match path.strip_prefix(PREFIX) {
            // A bucket may be called `openai`; no bucket is called `v1`.
            Some(rest) => is_keyed && rest.starts_with("/v1/"),
            None => path.strip_prefix("/v1/").is_some_and(|rest| !is_messages(rest)),
        }
    }

    fn read(&self, request: &DoorRequest<'_>) -> Option<Meant> {
        let rest = route(request.path, PREFIX)?;
        match (request.method, rest) {
            ("POST", "responses") => Some(responses::responses(request)),
            ("POST", "chat/completions") => Some(generation(request, false)),
            ("POST", "completions") => Some(generation(request, true)),
            ("POST", "embeddings") => Some(embeddings(request)),
            ("GET", "models") => Some(models(None)),
            ("GET", rest) => rest.strip_prefix("models/").filter(|id| !id.is_empty()).map(|id| models(Some(id.to_owned()))),
            _ => None,
        }
    }

    fn error(&self, error: &ErrorReply) -> DoorAnswer {
        let status = super::status(&error.code, error.status);
        let kind = match status {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            400..=499 => "invalid_request_error",
            _ => "server_error",
        };
        json_answer(status, &json!({ "error": { "message": error.message, "type": kind, "param": null, "code": error.code } }))
    }

    fn request_id_header(&self) -> &'static str {
        "x-request-id"
    }
}

/// The model of a body, which is a member here and a part of the path there.
fn model(fields: &Map<String, Json>) -> Result<String, ApiError> {
    let model = fields.get("model").and_then(Json::as_str).filter(|model| !model.is_empty());
    model.map(str::to_owned).ok_or_else(|| ApiError::new("ValidationException", "you must provide a model parameter").with_status(400))
}

fn input(headers: &HeaderMap, fields: Result<Map<String, Json>, ApiError>) -> Result<Value, ApiError> {
    let fields = fields?;
    let model = model(&fields)?;
    Ok(invocation(headers, &model, &Json::Object(fields)))
}

fn generation(request: &DoorRequest<'_>, is_text: bool) -> Meant {
    let mut fields = object(request.body);
    let streams = fields.as_ref().is_ok_and(|fields| fields.get("stream") == Some(&Json::Bool(true)));
    let options = fields.as_ref().ok().and_then(|fields| fields.get("stream_options").cloned()).unwrap_or_default();
    let counts = options.get("include_usage") == Some(&Json::Bool(true));
    if let Ok(fields) = &mut fields {
        let wanted = if is_text { "prompt" } else { "messages" };
        if is_text
            && let Some(Json::Array(prompts)) = fields.get_mut("prompt")
            && prompts.len() == 1
        {
            let only = prompts.remove(0);
            fields.insert("prompt".to_owned(), only);
        }
        // The body's form says what is asked; a body of another form at this path is not what it seems.
        if !fields.contains_key(wanted) {
            let message = format!("Missing required parameter: '{wanted}'.");
            return meant(streams, Err(ApiError::new("ValidationException", message).with_status(400)), counts);
        }
        for other in ["anthropic_version", "schemaVersion", "inferenceConfig", "inputText", "max_gen_len"] {
            if fields.contains_key(other) {
                let message = format!("Unknown parameter: '{other}'.");
                return meant(streams, Err(ApiError::new("ValidationException", message).with_status(400)), counts);
            }
        }
    }
    meant(streams, input(request.headers, fields), counts)
}

fn meant(streams: bool, input: Result<Value, ApiError>, counts: bool) -> Meant {
    let operation = if streams { "InvokeModelWithResponseStream" } else { "InvokeModel" };
    Meant { service: RUNTIME, operation, input, writer: Arc::new(Completion { counts }) }
}

fn embeddings(request: &DoorRequest<'_>) -> Meant {
    let fields = object(request.body).and_then(|fields| {
        let missing = || ApiError::new("ValidationException", "Missing required parameter: 'input'.").with_status(400);
        if fields.contains_key("input") && !fields.contains_key("messages") { Ok(fields) } else { Err(missing()) }
    });
    Meant {
        service: RUNTIME,
        operation: "InvokeModel",
        input: input(request.headers, fields),
        writer: Arc::new(Completion { counts: false }),
    }
}

fn models(id: Option<String>) -> Meant {
    match id {
        None => Meant {
            service: "bedrock",
            operation: "ListFoundationModels",
            input: Ok(Value::Struct(Struct::new())),
            writer: Arc::new(Models),
        },
        Some(id) => {
            let mut input = Struct::new();
            // Identifiers have colons, which clients escape.
            input.set("modelIdentifier", Value::Str(id.replace("%3A", ":").replace("%3a", ":").replace("%2F", "/")));
            Meant { service: "bedrock", operation: "GetFoundationModel", input: Ok(Value::Struct(input)), writer: Arc::new(Models) }
        }
    }
}

struct Completion {
    /// The caller wants a chunk with the usage at the end of the stream.
    counts: bool,
}

impl AnswerWriter for Completion {
    fn answer(&self, output: &Value) -> DoorAnswer {
        match body_of(output) {
            Some(fields) => json_answer(200, &Json::Object(fields)),
            None => broken(),
        }
    }

    fn stream(&self) -> Box<dyn EventWriter> {
        Box::new(Chunks { counts: self.counts, failed: false })
    }
}

struct Chunks {
    counts: bool,
    failed: bool,
}

fn data(json: &Json) -> Vec<u8> {
    format!("data: {json}\n\n").into_bytes()
}

impl EventWriter for Chunks {
    fn content_type(&self) -> &'static str {
        EVENT_STREAM
    }

    fn event(&mut self, message: &Message) -> Vec<u8> {
        if let Some((code, text)) = exception_of(message) {
            self.failed = true;
            return data(&json!({ "error": { "message": text, "type": "server_error", "param": null, "code": code } }));
        }
        let Some(mut chunk) = chunk_of(message) else { return Vec::new() };
        chunk.remove(METRICS);
        let Some(usage) = chunk.remove("usage") else { return data(&Json::Object(chunk)) };
        let mut written = data(&Json::Object(chunk.clone()));
        if self.counts {
            chunk.insert("choices".to_owned(), json!([]));
            chunk.insert("usage".to_owned(), usage);
            written.extend(data(&Json::Object(chunk)));
        }
        written
    }

    fn end(&mut self) -> Vec<u8> {
        // A client that saw an error must not take what it has for whole.
        if self.failed { Vec::new() } else { b"data: [DONE]\n\n".to_vec() }
    }
}

struct Models;

fn listed(summary: &Value) -> Json {
    let text = |name: &str| summary.member(name).and_then(Value::as_str).unwrap_or_default();
    json!({ "id": text("modelId"), "object": "model", "created": 0, "owned_by": text("providerName") })
}

impl AnswerWriter for Models {
    fn answer(&self, output: &Value) -> DoorAnswer {
        if let Some(details) = output.member("modelDetails") {
            return json_answer(200, &listed(details));
        }
        let Some(Value::List(summaries)) = output.member("modelSummaries") else { return broken() };
        json_answer(200, &json!({ "object": "list", "data": summaries.iter().map(listed).collect::<Vec<_>>() }))
    }

    fn stream(&self) -> Box<dyn EventWriter> {
        Box::new(Chunks { counts: false, failed: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(method: &str, path: &str, body: &str) -> Option<Meant> {
        OpenAi.read(&DoorRequest { method, path, query: "", headers: &HeaderMap::new(), body: body.as_bytes() })
    }

    #[test]
    fn paths_are_this_doors_or_not() {
        assert!(OpenAi.takes("/v1/chat/completions", false) && OpenAi.takes("/v1/responses", false));
        assert!(!OpenAi.takes("/v1/messages", true) && !OpenAi.takes("/bucket/v1/models", true));
        assert!(OpenAi.takes("/openai/v1/models", true) && !OpenAi.takes("/openai/v1/models", false));
    }

    #[test]
    fn a_request_means_an_operation() {
        let chat = read("POST", "/v1/chat/completions", r#"{"model":"m","messages":[],"stream":true}"#).unwrap();
        assert_eq!(chat.operation, "InvokeModelWithResponseStream");
        assert_eq!(chat.input.unwrap().member("modelId").and_then(Value::as_str), Some("m"));
        for body in ["", "[]", r#"{"messages":[]}"#, r#"{"model":"m"}"#, r#"{"model":"m","messages":[],"anthropic_version":"x"}"#] {
            assert!(read("POST", "/v1/chat/completions", body).unwrap().input.is_err(), "{body}");
        }
        let one = read("GET", "/openai/v1/models/llama3.2%3A3b", "").unwrap();
        assert_eq!(one.input.unwrap().member("modelIdentifier").and_then(Value::as_str), Some("llama3.2:3b"));
        assert!(read("POST", "/v1/responses", "{}").unwrap().input.is_err());
        assert!(read("GET", "/v1/responses/resp_1", "").is_none());
    }

    #[test]
    fn usage_is_a_chunk_of_its_own_when_it_is_wanted() {
        use base64::Engine as _;
        let chunk = json!({ "choices": [{ "delta": {}, "finish_reason": "stop" }], "usage": { "total_tokens": 3 }, METRICS: {} });
        let bytes = base64::engine::general_purpose::STANDARD.encode(chunk.to_string());
        let message = Message { headers: Vec::new(), payload: json!({ "bytes": bytes }).to_string().into() };
        let written = |counts| String::from_utf8(Chunks { counts, failed: false }.event(&message)).unwrap();
        assert_eq!(written(false), "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
        assert!(written(true).ends_with("data: {\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\n"));
    }
}
