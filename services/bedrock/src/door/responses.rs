//! OpenAI's responses: the newer form of the same conversation, as a codec over that of chat completions.
//!
//! Source: OpenAI API reference, "Responses" and "Streaming events". Nothing is kept between two calls: what would need it (`store`,
//! `previous_response_id`, `conversation`, `background`, references to items) is refused, and `store` is `false` where it is not given. Tools are functions.

use std::sync::Arc;

use plane::ApiError;
use plane::door::{AnswerWriter, DoorAnswer, DoorRequest, EventWriter, Meant};
use serde_json::{Map, Value as Json, json};
use wire::Value;
use wire::event_stream::Message;

use super::{EVENT_STREAM, METRICS, body_of, broken, chunk_of, exception_of, invocation, json_answer, object};
use crate::RUNTIME;

/// Members that mean the same in a chat's body, by their name there.
const SAME: [(&str, &str); 8] = [
    ("max_output_tokens", "max_tokens"),
    ("temperature", "temperature"),
    ("top_p", "top_p"),
    ("parallel_tool_calls", "parallel_tool_calls"),
    ("user", "user"),
    ("prompt_cache_key", "prompt_cache_key"),
    ("safety_identifier", "safety_identifier"),
    ("stream", "stream"),
];
/// Members that an answer repeats.
const REPEATED: [&str; 9] =
    ["instructions", "max_output_tokens", "metadata", "parallel_tool_calls", "temperature", "text", "tool_choice", "tools", "top_p"];

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message.into()).with_status(400)
}

fn unsupported(what: &str) -> ApiError {
    invalid(format!("Unsupported parameter: {what} is not supported by this server, so it is refused rather than ignored."))
}

/// What a request for a response means.
pub(super) fn responses(request: &DoorRequest<'_>) -> Meant {
    let fields = object(request.body);
    let streams = fields.as_ref().is_ok_and(|fields| fields.get("stream") == Some(&Json::Bool(true)));
    let repeated = fields.as_ref().map(repeated).unwrap_or_default();
    let input = fields.and_then(chat).map(|(model, body)| invocation(request.headers, &model, &body));
    let operation = if streams { "InvokeModelWithResponseStream" } else { "InvokeModel" };
    Meant { service: RUNTIME, operation, input, writer: Arc::new(Written { repeated }) }
}

fn repeated(fields: &Map<String, Json>) -> Map<String, Json> {
    let mut repeated: Map<String, Json> =
        REPEATED.iter().map(|name| ((*name).to_owned(), fields.get(*name).cloned().unwrap_or_default())).collect();
    for (name, usual) in [
        ("metadata", json!({})),
        ("parallel_tool_calls", json!(true)),
        ("text", json!({ "format": { "type": "text" } })),
        ("tool_choice", json!("auto")),
        ("tools", json!([])),
    ] {
        if repeated.get(name).is_none_or(Json::is_null) {
            repeated.insert(name.to_owned(), usual);
        }
    }
    repeated
}

/// The model, and the body of a chat that asks the same.
fn chat(mut fields: Map<String, Json>) -> Result<(String, Json), ApiError> {
    fields.retain(|_, value| !value.is_null());
    let model = match fields.remove("model") {
        Some(Json::String(model)) if !model.is_empty() => model,
        _ => return Err(invalid("you must provide a model parameter")),
    };
    let mut chat = Map::new();
    let mut messages = Vec::new();
    match fields.remove("instructions") {
        None => {}
        Some(Json::String(text)) => messages.push(json!({ "role": "system", "content": text })),
        Some(_) => return Err(invalid("Invalid type for 'instructions': expected a string.")),
    }
    match fields.remove("input") {
        Some(Json::String(text)) => messages.push(json!({ "role": "user", "content": text })),
        Some(Json::Array(items)) => {
            for item in items {
                add_item(&mut messages, item)?;
            }
        }
        Some(_) => return Err(invalid("Invalid type for 'input': expected a string or a list.")),
        None => return Err(invalid("Missing required parameter: 'input'.")),
    }
    chat.insert("messages".to_owned(), Json::Array(messages));
    for (name, name_there) in SAME {
        if let Some(value) = fields.remove(name) {
            chat.insert(name_there.to_owned(), value);
        }
    }
    if let Some(tools) = fields.remove("tools") {
        let Json::Array(tools) = tools else { return Err(invalid("Invalid type for 'tools': expected a list.")) };
        let tools = tools.into_iter().map(tool).collect::<Result<Vec<_>, _>>()?;
        if !tools.is_empty() {
            chat.insert("tools".to_owned(), Json::Array(tools));
        }
    }
    if let Some(choice) = fields.remove("tool_choice") {
        chat.insert("tool_choice".to_owned(), tool_choice(choice)?);
    }
    if let Some(text) = fields.remove("text") {
        add_format(&mut chat, &text)?;
    }
    if let Some(reasoning) = fields.remove("reasoning") {
        for (name, value) in reasoning.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
            if name != "effort" {
                return Err(unsupported(&format!("'reasoning.{name}'")));
            }
            chat.insert("reasoning_effort".to_owned(), value.clone());
        }
    }
    // It is given back; it would be kept where responses are.
    fields.remove("metadata");
    for (name, harmless) in [
        ("store", vec![json!(false)]),
        ("background", vec![json!(false)]),
        ("truncation", vec![json!("disabled")]),
        ("service_tier", vec![json!("auto"), json!("default")]),
        ("include", vec![json!([])]),
    ] {
        match fields.remove(name) {
            Some(value) if !harmless.contains(&value) => return Err(unsupported(&format!("'{name}' with the value {value}"))),
            _ => {}
        }
    }
    match fields.keys().next() {
        Some(name) => Err(unsupported(&format!("'{name}'"))),
        None => Ok((model, Json::Object(chat))),
    }
}

fn text<'a>(item: &'a Json, name: &str) -> Result<&'a str, ApiError> {
    item.get(name).and_then(Json::as_str).ok_or_else(|| invalid(format!("Missing required parameter: '{name}' of an input item.")))
}

fn add_item(messages: &mut Vec<Json>, item: Json) -> Result<(), ApiError> {
    match item.get("type").and_then(Json::as_str).unwrap_or("message") {
        "message" => {
            let role = text(&item, "role")?;
            let content = match item.get("content") {
                Some(Json::String(text)) => json!(text),
                Some(Json::Array(parts)) => Json::Array(parts.iter().map(part).collect::<Result<_, _>>()?),
                _ => return Err(invalid("Missing required parameter: 'content' of an input item.")),
            };
            messages.push(json!({ "role": role, "content": content }));
        }
        "function_call" => {
            let function = json!({ "name": text(&item, "name")?, "arguments": text(&item, "arguments")? });
            let call = json!({ "id": text(&item, "call_id")?, "type": "function", "function": function });
            // Calls that were made together, and what was said with them, are one message.
            let last = messages.last_mut().filter(|last| last.get("role") == Some(&json!("assistant"))).and_then(Json::as_object_mut);
            match last {
                Some(last) => match last.entry("tool_calls").or_insert_with(|| json!([])) {
                    Json::Array(calls) => calls.push(call),
                    other => *other = json!([call]),
                },
                None => messages.push(json!({ "role": "assistant", "content": null, "tool_calls": [call] })),
            }
        }
        "function_call_output" => {
            let content = match item.get("output") {
                Some(Json::String(text)) => json!(text),
                Some(Json::Array(parts)) => Json::Array(parts.iter().map(part).collect::<Result<_, _>>()?),
                _ => return Err(invalid("Missing required parameter: 'output' of an input item.")),
            };
            messages.push(json!({ "role": "tool", "tool_call_id": text(&item, "call_id")?, "content": content }));
        }
        other => return Err(unsupported(&format!("an input item of the type '{other}'"))),
    }
    Ok(())
}

fn part(part: &Json) -> Result<Json, ApiError> {
    match part.get("type").and_then(Json::as_str).unwrap_or_default() {
        "input_text" | "output_text" | "text" => Ok(json!({ "type": "text", "text": text(part, "text")? })),
        "refusal" => Ok(json!({ "type": "text", "text": text(part, "refusal")? })),
        "input_image" => Ok(json!({ "type": "image_url", "image_url": { "url": text(part, "image_url")? } })),
        "input_file" => Ok(json!({ "type": "file", "file": { "filename": part.get("filename"), "file_data": text(part, "file_data")? } })),
        other => Err(unsupported(&format!("a content part of the type '{other}'"))),
    }
}

fn tool(tool: Json) -> Result<Json, ApiError> {
    let Json::Object(mut function) = tool else { return Err(invalid("Invalid type for 'tools': expected objects.")) };
    match function.remove("type").as_ref().and_then(Json::as_str) {
        Some("function") => {
            function.retain(|_, value| !value.is_null());
            Ok(json!({ "type": "function", "function": function }))
        }
        other => Err(unsupported(&format!("a tool of the type '{}'", other.unwrap_or_default()))),
    }
}

fn tool_choice(choice: Json) -> Result<Json, ApiError> {
    match choice.get("type").and_then(Json::as_str) {
        None if choice.is_string() => Ok(choice),
        Some("function") => Ok(json!({ "type": "function", "function": { "name": text(&choice, "name")? } })),
        other => Err(unsupported(&format!("a tool choice of the type '{}'", other.unwrap_or_default()))),
    }
}

/// The form that the answer's text is to have.
fn add_format(chat: &mut Map<String, Json>, text: &Json) -> Result<(), ApiError> {
    for (name, value) in text.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        match (name.as_str(), value.get("type").and_then(Json::as_str)) {
            ("format", Some("text")) => {}
            ("format", Some("json_object")) => {
                chat.insert("response_format".to_owned(), json!({ "type": "json_object" }));
            }
            ("format", Some("json_schema")) => {
                let mut schema = value.as_object().cloned().unwrap_or_default();
                schema.remove("type");
                chat.insert("response_format".to_owned(), json!({ "type": "json_schema", "json_schema": schema }));
            }
            _ => return Err(unsupported(&format!("'text.{name}'"))),
        }
    }
    Ok(())
}

struct Written {
    repeated: Map<String, Json>,
}

/// The part of a chat's id that is its own.
fn own_id(chat: &Map<String, Json>) -> String {
    let id = chat.get("id").and_then(Json::as_str).unwrap_or_default();
    id.strip_prefix("chatcmpl-").unwrap_or(id).replace('-', "")
}

fn response(id: &str, chat: &Map<String, Json>, repeated: &Map<String, Json>, status: &str, output: Vec<Json>) -> Map<String, Json> {
    let mut response = Map::from_iter([
        ("id".to_owned(), json!(format!("resp_{id}"))),
        ("object".to_owned(), json!("response")),
        ("created_at".to_owned(), chat.get("created").cloned().unwrap_or_default()),
        ("status".to_owned(), json!(status)),
        ("background".to_owned(), json!(false)),
        ("error".to_owned(), Json::Null),
        ("incomplete_details".to_owned(), Json::Null),
        ("model".to_owned(), chat.get("model").cloned().unwrap_or_default()),
        ("output".to_owned(), Json::Array(output)),
        ("previous_response_id".to_owned(), Json::Null),
        ("store".to_owned(), json!(false)),
        ("truncation".to_owned(), json!("disabled")),
        ("usage".to_owned(), Json::Null),
    ]);
    response.extend(repeated.clone());
    response
}

/// How a response ends: its status, and why it is not whole.
fn ending(finish_reason: &str) -> (&'static str, Json) {
    match finish_reason {
        "length" => ("incomplete", json!({ "reason": "max_output_tokens" })),
        "content_filter" => ("incomplete", json!({ "reason": "content_filter" })),
        _ => ("completed", Json::Null),
    }
}

fn usage(chat: &Json) -> Json {
    let count = |name: &str| chat.get(name).and_then(Json::as_i64).unwrap_or_default();
    json!({
        "input_tokens": count("prompt_tokens"),
        "input_tokens_details": { "cached_tokens": 0, "cache_write_tokens": 0 },
        "output_tokens": count("completion_tokens"),
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": count("total_tokens"),
    })
}

fn said(text: &str) -> Json {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

fn message(id: &str, status: &str, content: Vec<Json>) -> Json {
    json!({ "id": id, "type": "message", "status": status, "role": "assistant", "content": content })
}

fn function_call(id: &str, status: &str, call_id: &str, name: &str, arguments: &str) -> Json {
    json!({ "id": id, "type": "function_call", "status": status, "call_id": call_id, "name": name, "arguments": arguments })
}

impl AnswerWriter for Written {
    fn answer(&self, output: &Value) -> DoorAnswer {
        let Some(mut chat) = body_of(output) else { return broken() };
        let choice = chat.get("choices").and_then(|choices| choices.get(0)).cloned().unwrap_or_default();
        let id = own_id(&chat);
        let (status, details) = ending(choice.get("finish_reason").and_then(Json::as_str).unwrap_or_default());
        let mut items = Vec::new();
        if let Some(text) = choice.pointer("/message/content").and_then(Json::as_str) {
            items.push(message(&format!("msg_{id}0"), status, vec![said(text)]));
        }
        for call in choice.pointer("/message/tool_calls").and_then(Json::as_array).into_iter().flatten() {
            let of = |path: &str| call.pointer(path).and_then(Json::as_str).unwrap_or_default();
            let item_id = format!("fc_{id}{}", items.len());
            items.push(function_call(&item_id, "completed", of("/id"), of("/function/name"), of("/function/arguments")));
        }
        let mut response = response(&id, &chat, &self.repeated, status, items);
        response.insert("incomplete_details".to_owned(), details);
        response.insert("usage".to_owned(), usage(chat.get("usage").unwrap_or(&Json::Null)));
        chat.retain(|name, _| name.starts_with("amazon-bedrock-") && name != METRICS);
        response.extend(chat);
        json_answer(200, &Json::Object(response))
    }

    fn stream(&self) -> Box<dyn EventWriter> {
        Box::new(Events { repeated: self.repeated.clone(), ..Events::default() })
    }
}

/// An item that is being written.
enum Open {
    Message { id: String, text: String },
    Call { id: String, call_id: String, name: String, arguments: String },
}

#[derive(Default)]
struct Events {
    repeated: Map<String, Json>,
    /// What the chunks have in common, from the first one.
    heading: Map<String, Json>,
    id: String,
    sequence: u64,
    done: Vec<Json>,
    open: Option<Open>,
    is_over: bool,
}

impl Events {
    fn write(&mut self, written: &mut Vec<u8>, kind: &str, fields: Json) {
        let mut event = Map::from_iter([("type".to_owned(), json!(kind)), ("sequence_number".to_owned(), json!(self.sequence))]);
        self.sequence = self.sequence.saturating_add(1);
        if let Json::Object(fields) = fields {
            event.extend(fields);
        }
        written.extend(format!("event: {kind}\ndata: {}\n\n", Json::Object(event)).into_bytes());
    }

    fn response(&self, status: &str) -> Map<String, Json> {
        response(&self.id, &self.heading, &self.repeated, status, self.done.clone())
    }

    fn begin(&mut self, written: &mut Vec<u8>, chunk: &Map<String, Json>) {
        if !self.heading.is_empty() {
            return;
        }
        self.heading =
            chunk.iter().filter(|(name, _)| matches!(name.as_str(), "created" | "model")).map(|(n, v)| (n.clone(), v.clone())).collect();
        self.id = own_id(chunk);
        for kind in ["response.created", "response.in_progress"] {
            let response = self.response("in_progress");
            self.write(written, kind, json!({ "response": response }));
        }
    }

    fn text(&mut self, written: &mut Vec<u8>, delta: &str) {
        let at = self.done.len();
        if !matches!(self.open, Some(Open::Message { .. })) {
            self.close(written, "completed");
            let (at, id) = (self.done.len(), format!("msg_{}{}", self.id, self.done.len()));
            self.write(
                written,
                "response.output_item.added",
                json!({ "output_index": at, "item": message(&id, "in_progress", Vec::new()) }),
            );
            let fields = json!({ "item_id": id, "output_index": at, "content_index": 0, "part": said("") });
            self.write(written, "response.content_part.added", fields);
            self.open = Some(Open::Message { id, text: String::new() });
            return self.text(written, delta);
        }
        let Some(Open::Message { id, text }) = &mut self.open else { return };
        text.push_str(delta);
        let fields = json!({ "item_id": id, "output_index": at, "content_index": 0, "delta": delta, "logprobs": [] });
        self.write(written, "response.output_text.delta", fields);
    }

    fn call(&mut self, written: &mut Vec<u8>, delta: &Json) {
        let of = |path: &str| delta.pointer(path).and_then(Json::as_str).unwrap_or_default();
        if delta.get("id").is_some_and(Json::is_string) {
            self.close(written, "completed");
            let (at, id) = (self.done.len(), format!("fc_{}{}", self.id, self.done.len()));
            let item = function_call(&id, "in_progress", of("/id"), of("/function/name"), "");
            self.write(written, "response.output_item.added", json!({ "output_index": at, "item": item }));
            let (call_id, name) = (of("/id").to_owned(), of("/function/name").to_owned());
            self.open = Some(Open::Call { id, call_id, name, arguments: String::new() });
        }
        let more = of("/function/arguments");
        let at = self.done.len();
        if let Some(Open::Call { id, arguments, .. }) = &mut self.open
            && !more.is_empty()
        {
            arguments.push_str(more);
            let fields = json!({ "item_id": id, "output_index": at, "delta": more });
            self.write(written, "response.function_call_arguments.delta", fields);
        }
    }

    /// Ends the item that is being written.
    fn close(&mut self, written: &mut Vec<u8>, status: &str) {
        let at = self.done.len();
        let item = match self.open.take() {
            None => return,
            Some(Open::Message { id, text }) => {
                let place = json!({ "item_id": id, "output_index": at, "content_index": 0 });
                let with = |name: &str, value: Json| {
                    let mut fields = place.clone();
                    if let Some(fields) = fields.as_object_mut() {
                        fields.insert(name.to_owned(), value);
                    }
                    fields
                };
                let mut whole = with("text", json!(text));
                if let Some(fields) = whole.as_object_mut() {
                    fields.insert("logprobs".to_owned(), json!([]));
                }
                self.write(written, "response.output_text.done", whole);
                self.write(written, "response.content_part.done", with("part", said(&text)));
                message(&id, status, vec![said(&text)])
            }
            Some(Open::Call { id, call_id, name, arguments }) => {
                let fields = json!({ "item_id": id, "output_index": at, "name": name, "arguments": arguments });
                self.write(written, "response.function_call_arguments.done", fields);
                function_call(&id, "completed", &call_id, &name, &arguments)
            }
        };
        self.write(written, "response.output_item.done", json!({ "output_index": at, "item": item }));
        self.done.push(item);
    }
}

impl EventWriter for Events {
    fn content_type(&self) -> &'static str {
        EVENT_STREAM
    }

    fn event(&mut self, message: &Message) -> Vec<u8> {
        let mut written = Vec::new();
        if let Some((code, text)) = exception_of(message) {
            self.is_over = true;
            let code = if code.starts_with("throttling") { "rate_limit_exceeded" } else { "server_error" };
            let mut response = self.response("failed");
            response.insert("error".to_owned(), json!({ "code": code, "message": text }));
            self.write(&mut written, "response.failed", json!({ "response": response }));
            return written;
        }
        let Some(chunk) = chunk_of(message).filter(|_| !self.is_over) else { return written };
        self.begin(&mut written, &chunk);
        let choice = chunk.get("choices").and_then(|choices| choices.get(0)).cloned().unwrap_or_default();
        if let Some(delta) = choice.pointer("/delta/content").and_then(Json::as_str).filter(|delta| !delta.is_empty()) {
            self.text(&mut written, delta);
        }
        for call in choice.pointer("/delta/tool_calls").and_then(Json::as_array).into_iter().flatten() {
            self.call(&mut written, call);
        }
        if let Some(reason) = choice.get("finish_reason").and_then(Json::as_str) {
            self.is_over = true;
            let (status, details) = ending(reason);
            self.close(&mut written, status);
            let mut response = self.response(status);
            response.insert("incomplete_details".to_owned(), details);
            response.insert("usage".to_owned(), usage(chunk.get("usage").unwrap_or(&Json::Null)));
            response.extend(chunk.into_iter().filter(|(name, _)| name.starts_with("amazon-bedrock-") && name != METRICS));
            self.write(&mut written, &format!("response.{status}"), json!({ "response": response }));
        }
        written
    }

    fn end(&mut self) -> Vec<u8> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(body: Json) -> Result<Json, String> {
        chat(body.as_object().cloned().unwrap()).map(|(_, chat)| chat).map_err(|error| error.message)
    }

    #[test]
    fn a_request_is_a_chat() {
        let asked = json!({
            "model": "m", "instructions": "Be brief.", "max_output_tokens": 5, "store": false, "previous_response_id": null,
            "metadata": { "a": "b" }, "tool_choice": { "type": "function", "name": "f" },
            "tools": [{ "type": "function", "name": "f", "parameters": {}, "strict": null }],
            "text": { "format": { "type": "json_schema", "name": "n", "schema": {} } },
            "input": [
                { "role": "user", "content": [{ "type": "input_text", "text": "hi" }, { "type": "input_image", "image_url": "data:x" }] },
                { "type": "message", "role": "assistant", "content": [{ "type": "output_text", "text": "calling" }] },
                { "type": "function_call", "call_id": "1", "name": "f", "arguments": "{}" },
                { "type": "function_call", "call_id": "2", "name": "f", "arguments": "{}" },
                { "type": "function_call_output", "call_id": "1", "output": "done" },
            ],
        });
        let call = |id: &str| json!({ "id": id, "type": "function", "function": { "name": "f", "arguments": "{}" } });
        assert_eq!(
            translated(asked).unwrap(),
            json!({
                "messages": [
                    { "role": "system", "content": "Be brief." },
                    { "role": "user", "content": [{ "type": "text", "text": "hi" }, { "type": "image_url", "image_url": { "url": "data:x" } }] },
                    { "role": "assistant", "content": [{ "type": "text", "text": "calling" }], "tool_calls": [call("1"), call("2")] },
                    { "role": "tool", "tool_call_id": "1", "content": "done" },
                ],
                "max_tokens": 5,
                "tools": [{ "type": "function", "function": { "name": "f", "parameters": {} } }],
                "tool_choice": { "type": "function", "function": { "name": "f" } },
                "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": {} } },
            })
        );
    }

    #[test]
    fn what_would_be_kept_or_is_not_known_is_refused() {
        for (more, words) in [
            (json!({ "store": true }), "'store'"),
            (json!({ "previous_response_id": "resp_1" }), "'previous_response_id'"),
            (json!({ "conversation": "c" }), "'conversation'"),
            (json!({ "background": true }), "'background'"),
            (json!({ "truncation": "auto" }), "'truncation'"),
            (json!({ "tools": [{ "type": "web_search" }] }), "web_search"),
            (json!({ "input": [{ "type": "item_reference", "id": "x" }] }), "item_reference"),
            (json!({ "input": 1 }), "'input'"),
            (json!({ "input": null }), "'input'"),
            (json!({ "reasoning": { "summary": "auto" } }), "reasoning.summary"),
            (json!({ "text": { "verbosity": "low" } }), "text.verbosity"),
            (json!({ "model": "" }), "model"),
        ] {
            let mut body = json!({ "model": "m", "input": "x" });
            body.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            let refused = translated(body).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
