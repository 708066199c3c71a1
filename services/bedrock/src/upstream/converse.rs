//! Bedrock's own `Converse` as an upstream's protocol: Amazon Bedrock, or another Bailiwick.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use plane::ApiError;
use serde_json::{Map, Value as Json, json};
use wire::event_stream;

use super::anthropic::said;
use super::chat::{
    CalledFunction, CalledFunctionDelta, ChatAnswer, ChatChoice, ChatChunk, ChatMessage, ChatRequest, ChatResponse, ChatToolCall,
    ChatUsage, ChunkChoice, ChunkDelta, Content, ContentPart, Media, ToolCallDelta,
};
use super::chunks::Decoded;
use super::fault::{Failure, stream_error, too_many_requests, unavailable};
use crate::refusal::Refusal;

/// Characters of a model's name that stay as they are in a path.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 8);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Path of an operation on a model.
pub(super) fn path(model: &str, operation: &str) -> String {
    format!("/model/{}/{operation}", escaped(model))
}

/// Body of a request.
pub(super) fn encode(request: &ChatRequest) -> Result<Bytes, Failure> {
    Ok(Bytes::from(serde_json::to_vec(&body(request)?)?))
}

/// The body of `CountTokens`.
pub(super) fn encode_count(request: &ChatRequest) -> Result<Bytes, Failure> {
    let mut body = body(request)?;
    body.remove("inferenceConfig");
    Ok(Bytes::from(serde_json::to_vec(&json!({ "input": { "converse": body } }))?))
}

fn body(request: &ChatRequest) -> Result<Map<String, Json>, Failure> {
    if request.response_format.is_some() {
        return Err(Failure::of_request(Refusal::unsupported("a response format with a model behind `Converse`").into()));
    }
    let mut system = Vec::new();
    let mut messages: Vec<(&'static str, Vec<Json>)> = Vec::new();
    for message in &request.messages {
        if message.role == "system" {
            system.extend(message.content.as_ref().map(|content| json!({ "text": content.text() })));
            continue;
        }
        let (role, blocks) = blocks(message).map_err(|refusal| Failure::of_request(refusal.into()))?;
        match messages.last_mut() {
            Some((last, together)) if *last == role => together.extend(blocks),
            _ => messages.push((role, blocks)),
        }
    }
    let messages: Vec<Json> = messages.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect();
    let mut body = Map::from_iter([("messages".to_owned(), json!(messages))]);
    if !system.is_empty() {
        body.insert("system".to_owned(), json!(system));
    }
    let inference = [
        ("maxTokens", json!(request.max_tokens)),
        ("temperature", json!(request.temperature)),
        ("topP", json!(request.top_p)),
        ("stopSequences", json!(request.stop)),
    ];
    let inference: Map<String, Json> =
        inference.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect();
    if !inference.is_empty() {
        body.insert("inferenceConfig".to_owned(), Json::Object(inference));
    }
    if !request.further.is_empty() {
        body.insert("additionalModelRequestFields".to_owned(), Json::Object(request.further.clone()));
    }
    if let Some(tools) = request.tools.as_ref().filter(|tools| !tools.is_empty()) {
        let tools: Vec<Json> = tools
            .iter()
            .map(|tool| {
                let schema = tool.function.parameters.clone().unwrap_or_else(|| json!({ "type": "object" }));
                let mut spec = json!({ "name": tool.function.name, "inputSchema": { "json": schema } });
                if let (Some(description), Some(spec)) = (&tool.function.description, spec.as_object_mut()) {
                    spec.insert("description".to_owned(), json!(description));
                }
                json!({ "toolSpec": spec })
            })
            .collect();
        let mut config = Map::from_iter([("tools".to_owned(), json!(tools))]);
        match request.tool_choice.as_ref().map(|choice| (choice.as_str(), choice)) {
            Some((Some("required"), _)) => drop(config.insert("toolChoice".to_owned(), json!({ "any": {} }))),
            Some((None, choice)) => {
                let name = json!({ "tool": { "name": choice.pointer("/function/name") } });
                config.insert("toolChoice".to_owned(), name);
            }
            _ => {}
        }
        body.insert("toolConfig".to_owned(), Json::Object(config));
    }
    Ok(body)
}

fn blocks(message: &ChatMessage) -> Result<(&'static str, Vec<Json>), Refusal> {
    if message.role == "tool" {
        let text = message.content.as_ref().map(Content::text).unwrap_or_default();
        let result = json!({ "toolResult": { "toolUseId": message.tool_call_id, "content": [{ "text": text }] } });
        return Ok(("user", vec![result]));
    }
    let mut blocks = match &message.content {
        None => Vec::new(),
        Some(Content::Text(text)) if text.is_empty() => Vec::new(),
        Some(Content::Text(text)) => vec![json!({ "text": text })],
        Some(Content::Parts(parts)) => parts
            .iter()
            .map(|part| match part {
                ContentPart::Text(text) => json!({ "text": text }),
                ContentPart::Image(image) => {
                    json!({ "image": { "format": subtype(image), "source": { "bytes": image.base64 } } })
                }
                ContentPart::Document(document) => {
                    let format = super::document_format(&document.media_type).unwrap_or("txt");
                    json!({ "document": { "format": format, "name": document.name, "source": { "bytes": document.base64 } } })
                }
            })
            .collect(),
    };
    for call in &message.tool_calls {
        let input: Json = serde_json::from_str(&call.function.arguments)
            .map_err(|_| Refusal::invalid("The arguments of a tool call in the conversation are not JSON."))?;
        blocks.push(json!({ "toolUse": { "toolUseId": call.id, "name": call.function.name, "input": input } }));
    }
    Ok((if message.role == "assistant" { "assistant" } else { "user" }, blocks))
}

fn subtype(media: &Media) -> &str {
    media.media_type.rsplit_once('/').map_or(media.media_type.as_str(), |(_, subtype)| subtype)
}

fn finish(reason: &str) -> &'static str {
    match reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "content_filtered" | "guardrail_intervened" => "content_filter",
        _ => "stop",
    }
}

fn usage(usage: Option<&Json>) -> Option<ChatUsage> {
    let usage = usage?;
    let count = |name: &str| usage.get(name).and_then(Json::as_i64).unwrap_or_default();
    Some(ChatUsage { prompt_tokens: count("inputTokens"), completion_tokens: count("outputTokens") })
}

/// A whole answer.
pub(super) fn decode(body: &[u8]) -> Result<ChatResponse, Failure> {
    let answer: Json = serde_json::from_slice(body).map_err(|_| Failure::unreadable())?;
    let content = answer.pointer("/output/message/content").and_then(Json::as_array).ok_or_else(Failure::unreadable)?;
    let mut text = String::new();
    let mut calls = Vec::new();
    for block in content {
        if let Some(said) = block.get("text").and_then(Json::as_str) {
            text.push_str(said);
        }
        if let Some(used) = block.get("toolUse") {
            let member = |name: &str| used.get(name).and_then(Json::as_str).unwrap_or_default().to_owned();
            let arguments = used.get("input").map(Json::to_string).unwrap_or_default();
            let function = CalledFunction { name: member("name"), arguments };
            calls.push(ChatToolCall { id: member("toolUseId"), kind: "function".to_owned(), function });
        }
    }
    let reason = answer.get("stopReason").and_then(Json::as_str).map(|reason| finish(reason).to_owned());
    let message = ChatAnswer { content: Some(text), tool_calls: (!calls.is_empty()).then_some(calls) };
    Ok(ChatResponse { choices: vec![ChatChoice { message, finish_reason: reason, stop_reason: None }], usage: usage(answer.get("usage")) })
}

/// Reads the frames of `ConverseStream`.
#[derive(Default)]
pub(super) struct Stream {
    frames: event_stream::Decoder,
    calls: i32,
}

impl Stream {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Decoded, ApiError> {
        self.frames.push(bytes);
        let mut decoded = Decoded::default();
        while let Some(message) = self.frames.next_message().map_err(|_| stream_error("a frame of the model server cannot be read"))? {
            if let Some(exception) = message.text(":exception-type") {
                return Err(match exception {
                    "throttlingException" => too_many_requests(),
                    "serviceUnavailableException" => unavailable("it says so inside its stream"),
                    _ => stream_error("the model server broke the answer off"),
                });
            }
            let event: Json =
                serde_json::from_slice(&message.payload).map_err(|_| stream_error("an event of the model server cannot be read"))?;
            let kind = message.text(":event-type").unwrap_or_default();
            decoded.is_done |= kind == "metadata";
            decoded.chunks.extend(self.read(kind, &event));
        }
        Ok(decoded)
    }

    fn read(&mut self, kind: &str, event: &Json) -> Option<ChatChunk> {
        let text = |path: &str| event.pointer(path).and_then(Json::as_str).map(str::to_owned);
        match kind {
            "contentBlockStart" => {
                let name = text("/start/toolUse/name")?;
                self.calls += 1;
                let function = CalledFunctionDelta { name: Some(name), arguments: None };
                Some(self.call(text("/start/toolUse/toolUseId"), function))
            }
            "contentBlockDelta" => match text("/delta/toolUse/input") {
                Some(arguments) => Some(self.call(None, CalledFunctionDelta { name: None, arguments: Some(arguments) })),
                None => text("/delta/text").map(said),
            },
            "messageStop" => {
                let finish_reason = text("/stopReason").map(|reason| finish(&reason).to_owned());
                Some(ChatChunk { choices: vec![ChunkChoice { finish_reason, ..ChunkChoice::default() }], ..ChatChunk::default() })
            }
            "metadata" => Some(ChatChunk { usage: usage(event.get("usage")), ..ChatChunk::default() }),
            _ => None,
        }
    }

    fn call(&self, id: Option<String>, function: CalledFunctionDelta) -> ChatChunk {
        let call = ToolCallDelta { index: self.calls - 1, id, function };
        let delta = ChunkDelta { content: None, tool_calls: Some(vec![call]) };
        ChatChunk { choices: vec![ChunkChoice { delta, ..ChunkChoice::default() }], ..ChatChunk::default() }
    }
}

/// Bytes of a medium, if its base64 is sound.
pub(super) fn bytes(media: &Media) -> Option<Vec<u8>> {
    STANDARD.decode(&media.base64).ok()
}

#[cfg(test)]
mod tests {
    use wire::event_stream::{HeaderValue, Message, encode as encode_frame};

    use super::*;

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(path("anthropic.claude-3:0", "converse"), "/model/anthropic.claude-3%3A0/converse");
    }

    #[test]
    fn a_chat_becomes_a_conversation() {
        let message = |role: &str, text: &str| ChatMessage {
            role: role.to_owned(),
            content: Some(Content::Text(text.to_owned())),
            ..ChatMessage::default()
        };
        let request = ChatRequest {
            messages: vec![message("system", "Be brief."), message("user", "a"), message("user", "b")],
            max_tokens: Some(9),
            ..ChatRequest::default()
        };
        assert_eq!(
            Json::Object(body(&request).unwrap()),
            json!({
                "messages": [{ "role": "user", "content": [{ "text": "a" }, { "text": "b" }] }],
                "system": [{ "text": "Be brief." }],
                "inferenceConfig": { "maxTokens": 9 },
            })
        );
    }

    #[test]
    fn frames_become_chunks_in_any_split() {
        let frame = |kind: &str, payload: Json| {
            let header = |name: &str, value: &str| (name.to_owned(), HeaderValue::Str(value.to_owned()));
            let headers = vec![header(":event-type", kind), header(":message-type", "event")];
            encode_frame(&Message { headers, payload: Bytes::from(payload.to_string()) }).unwrap()
        };
        let stream = [
            frame("messageStart", json!({ "role": "assistant" })),
            frame("contentBlockDelta", json!({ "delta": { "text": "hi" }, "contentBlockIndex": 0 })),
            frame("contentBlockStart", json!({ "start": { "toolUse": { "toolUseId": "t", "name": "n" } }, "contentBlockIndex": 1 })),
            frame("contentBlockDelta", json!({ "delta": { "toolUse": { "input": "{}" } }, "contentBlockIndex": 1 })),
            frame("messageStop", json!({ "stopReason": "tool_use" })),
            frame("metadata", json!({ "usage": { "inputTokens": 1, "outputTokens": 2 } })),
        ]
        .concat();
        let mut whole = Stream::default();
        let decoded = whole.push(&stream).unwrap();
        assert!(decoded.is_done && decoded.chunks.len() == 5);
        let mut pieces = Stream::default();
        let mut chunks = Vec::new();
        for byte in &stream {
            chunks.extend(pieces.push(&[*byte]).unwrap().chunks);
        }
        assert_eq!(chunks, decoded.chunks);
        assert_eq!(chunks.last().unwrap().usage, Some(ChatUsage { prompt_tokens: 1, completion_tokens: 2 }));
        assert!(Stream::default().push(&[0; 64]).is_err());
    }
}
