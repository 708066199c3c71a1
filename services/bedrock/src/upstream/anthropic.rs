//! Anthropic's messages as an upstream's protocol.
//!
//! Source: Anthropic API reference, "Create a Message" and "Streaming messages".

use bytes::Bytes;
use plane::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::chat::{
    CalledFunction, CalledFunctionDelta, ChatAnswer, ChatChoice, ChatChunk, ChatMessage, ChatRequest, ChatResponse, ChatToolCall,
    ChatUsage, ChunkChoice, ChunkDelta, Content, ContentPart, Media, ToolCallDelta,
};
use super::fault::{Failure, stream_error};
use crate::refusal::Refusal;

/// The protocol wants a limit; this one stands for a caller who gave none.
const MAX_TOKENS: i64 = 4_096;

/// Body of a request.
pub(super) fn encode(request: &ChatRequest) -> Result<Bytes, Failure> {
    Ok(Bytes::from(serde_json::to_vec(&body(request)?)?))
}

/// The body that counts tokens: the same without what only generation needs.
pub(super) fn encode_count(request: &ChatRequest) -> Result<Bytes, Failure> {
    let mut body = body(request)?;
    for name in ["max_tokens", "stream", "temperature", "top_p", "stop_sequences"] {
        body.remove(name);
    }
    Ok(Bytes::from(serde_json::to_vec(&body)?))
}

fn body(request: &ChatRequest) -> Result<Map<String, Json>, Failure> {
    let mut body = request.further.clone();
    let mut system = Vec::new();
    let mut messages: Vec<(&'static str, Vec<Json>)> = Vec::new();
    for message in &request.messages {
        if message.role == "system" {
            system.extend(message.content.as_ref().map(Content::text));
            continue;
        }
        let (role, blocks) = blocks(message).map_err(|refusal| Failure::of_request(refusal.into()))?;
        match messages.last_mut() {
            // Roles take turns: what one says in several messages is one message.
            Some((last, together)) if *last == role => together.extend(blocks),
            _ => messages.push((role, blocks)),
        }
    }
    let messages: Vec<Json> = messages.into_iter().map(|(role, content)| json!({ "role": role, "content": content })).collect();
    let mut set = |name: &str, value: Json| {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    };
    set("model", json!(request.model));
    set("messages", json!(messages));
    set("max_tokens", json!(request.max_tokens.unwrap_or(MAX_TOKENS)));
    set("stream", json!(request.stream));
    set("temperature", json!(request.temperature));
    set("top_p", json!(request.top_p));
    set("stop_sequences", json!(request.stop));
    if !system.is_empty() {
        set("system", json!(system.join("\n")));
    }
    if request.response_format.is_some() {
        return Err(Failure::of_request(Refusal::unsupported("a response format with a model of Anthropic's protocol").into()));
    }
    if let Some(tools) = request.tools.as_ref().filter(|tools| !tools.is_empty()) {
        let tool = |tool: &super::chat::ChatTool| {
            json!({ "name": tool.function.name, "description": tool.function.description.clone().unwrap_or_default(),
                "input_schema": tool.function.parameters.clone().unwrap_or_else(|| json!({ "type": "object" })) })
        };
        set("tools", tools.iter().map(tool).collect());
        set("tool_choice", request.tool_choice.as_ref().map(choice).unwrap_or_default());
    }
    Ok(body)
}

fn choice(choice: &Json) -> Json {
    match choice.as_str() {
        Some("required") => json!({ "type": "any" }),
        Some(other) => json!({ "type": other }),
        None => json!({ "type": "tool", "name": choice.pointer("/function/name") }),
    }
}

fn blocks(message: &ChatMessage) -> Result<(&'static str, Vec<Json>), Refusal> {
    let text = |text: &str| json!({ "type": "text", "text": text });
    if message.role == "tool" {
        let content = message.content.as_ref().map(Content::text).unwrap_or_default();
        let result = json!({ "type": "tool_result", "tool_use_id": message.tool_call_id, "content": content });
        return Ok(("user", vec![result]));
    }
    let mut blocks = match &message.content {
        None => Vec::new(),
        Some(Content::Text(said)) if said.is_empty() => Vec::new(),
        Some(Content::Text(said)) => vec![text(said)],
        Some(Content::Parts(parts)) => parts
            .iter()
            .map(|part| match part {
                ContentPart::Text(said) => text(said),
                ContentPart::Image(image) => json!({ "type": "image", "source": source(image) }),
                ContentPart::Document(document) => match super::document_text(document) {
                    Some(said) => json!({ "type": "document", "title": document.name,
                        "source": { "type": "text", "media_type": "text/plain", "data": said } }),
                    None => json!({ "type": "document", "title": document.name, "source": source(document) }),
                },
            })
            .collect(),
    };
    for call in &message.tool_calls {
        let input: Json = serde_json::from_str(&call.function.arguments)
            .map_err(|_| Refusal::invalid("The arguments of a tool call in the conversation are not JSON."))?;
        blocks.push(json!({ "type": "tool_use", "id": call.id, "name": call.function.name, "input": input }));
    }
    Ok((if message.role == "assistant" { "assistant" } else { "user" }, blocks))
}

fn source(media: &Media) -> Json {
    json!({ "type": "base64", "media_type": media.media_type, "data": media.base64 })
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    content: Vec<Block>,
    stop_reason: Option<String>,
    stop_sequence: Option<String>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    ToolUse {
        id: String,
        name: String,
        #[serde(default)]
        input: Json,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Usage {
    #[serde(default)]
    input_tokens: Option<i64>,
    #[serde(default)]
    output_tokens: Option<i64>,
}

/// Their reason to stop in the chat protocol's words.
fn finish(reason: &str) -> &'static str {
    match reason {
        "max_tokens" => "length",
        "tool_use" => "tool_calls",
        "refusal" => "content_filter",
        _ => "stop",
    }
}

/// A whole answer.
pub(super) fn decode(body: &[u8]) -> Result<ChatResponse, Failure> {
    let message: Message = serde_json::from_slice(body).map_err(|_| Failure::unreadable())?;
    let mut texts = String::new();
    let mut calls = Vec::new();
    for block in message.content {
        match block {
            Block::Text { text } => texts.push_str(&text),
            Block::ToolUse { id, name, input } => calls.push(ChatToolCall {
                id,
                kind: "function".to_owned(),
                function: CalledFunction { name, arguments: input.to_string() },
            }),
            Block::Unknown => {}
        }
    }
    let choice = ChatChoice {
        message: ChatAnswer { content: Some(texts), tool_calls: (!calls.is_empty()).then_some(calls) },
        finish_reason: message.stop_reason.as_deref().map(finish).map(str::to_owned),
        stop_reason: message.stop_sequence.map(Json::String),
    };
    let usage = ChatUsage {
        prompt_tokens: message.usage.input_tokens.unwrap_or_default(),
        completion_tokens: message.usage.output_tokens.unwrap_or_default(),
    };
    Ok(ChatResponse { choices: vec![choice], usage: Some(usage) })
}

/// The count in an answer to a request for it.
pub(super) fn decode_count(body: &[u8]) -> Result<i64, Failure> {
    let json: Json = serde_json::from_slice(body).map_err(|_| Failure::unreadable())?;
    json.get("input_tokens").or_else(|| json.get("inputTokens")).and_then(Json::as_i64).ok_or_else(Failure::unreadable)
}

/// What is known in the middle of a stream.
#[derive(Default)]
pub(super) struct Stream {
    input_tokens: i64,
    /// Tool calls are numbered among themselves, blocks among all.
    calls: i32,
}

impl Stream {
    /// What an event tells, and whether it is the last.
    pub(super) fn read(&mut self, event: &str) -> Result<(Option<ChatChunk>, bool), ApiError> {
        let event: Json = serde_json::from_str(event).map_err(|_| stream_error("an event of the model server cannot be read"))?;
        let text = |path: &str| event.pointer(path).and_then(Json::as_str).map(str::to_owned);
        let number = |path: &str| event.pointer(path).and_then(Json::as_i64);
        let chunk = match event.get("type").and_then(Json::as_str).unwrap_or_default() {
            "message_start" => {
                self.input_tokens = number("/message/usage/input_tokens").unwrap_or_default();
                None
            }
            "content_block_start" if text("/content_block/type").as_deref() == Some("tool_use") => {
                self.calls += 1;
                let function = CalledFunctionDelta { name: text("/content_block/name"), arguments: None };
                Some(self.call(text("/content_block/id"), function))
            }
            "content_block_start" => text("/content_block/text").filter(|text| !text.is_empty()).map(said),
            "content_block_delta" => match text("/delta/type").as_deref() {
                Some("text_delta") => text("/delta/text").map(said),
                Some("input_json_delta") => {
                    Some(self.call(None, CalledFunctionDelta { name: None, arguments: text("/delta/partial_json") }))
                }
                _ => None,
            },
            "message_delta" => {
                let usage = ChatUsage {
                    prompt_tokens: number("/usage/input_tokens").filter(|count| *count > 0).unwrap_or(self.input_tokens),
                    completion_tokens: number("/usage/output_tokens").unwrap_or_default(),
                };
                let choice = ChunkChoice {
                    finish_reason: text("/delta/stop_reason").map(|reason| finish(&reason).to_owned()),
                    stop_reason: text("/delta/stop_sequence").map(Json::String),
                    ..ChunkChoice::default()
                };
                Some(ChatChunk { choices: vec![choice], usage: Some(usage), error: None })
            }
            "message_stop" => return Ok((None, true)),
            "error" => return Err(stream_error("the model server broke the answer off")),
            _ => None,
        };
        Ok((chunk, false))
    }

    fn call(&self, id: Option<String>, function: CalledFunctionDelta) -> ChatChunk {
        let call = ToolCallDelta { index: self.calls - 1, id, function };
        let delta = ChunkDelta { content: None, tool_calls: Some(vec![call]) };
        ChatChunk { choices: vec![ChunkChoice { delta, ..ChunkChoice::default() }], ..ChatChunk::default() }
    }
}

/// A piece that is text.
pub(super) fn said(text: String) -> ChatChunk {
    let delta = ChunkDelta { content: Some(text), tool_calls: None };
    ChatChunk { choices: vec![ChunkChoice { delta, ..ChunkChoice::default() }], ..ChatChunk::default() }
}

#[cfg(test)]
mod tests {
    use super::super::chat::{ChatFunction, ChatTool};
    use super::*;

    fn message(role: &str, text: &str) -> ChatMessage {
        ChatMessage { role: role.to_owned(), content: Some(Content::Text(text.to_owned())), ..ChatMessage::default() }
    }

    #[test]
    fn a_chat_becomes_messages_that_take_turns() {
        let function = CalledFunction { name: "weather".to_owned(), arguments: "{\"city\":\"Bern\"}".to_owned() };
        let call = ChatToolCall { id: "t1".to_owned(), kind: "function".to_owned(), function };
        let tool = ChatFunction { name: "weather".to_owned(), ..ChatFunction::default() };
        let request = ChatRequest {
            model: "claude".to_owned(),
            messages: vec![
                message("system", "Be brief."),
                message("user", "Weather?"),
                ChatMessage { role: "assistant".to_owned(), tool_calls: vec![call], ..ChatMessage::default() },
                ChatMessage { tool_call_id: Some("t1".to_owned()), ..message("tool", "sunny") },
                message("user", "And?"),
            ],
            stop: Some(vec!["END".to_owned()]),
            tools: Some(vec![ChatTool { kind: "function".to_owned(), function: tool }]),
            tool_choice: Some(json!("required")),
            ..ChatRequest::default()
        };
        assert_eq!(
            Json::Object(body(&request).unwrap()),
            json!({
                "model": "claude", "max_tokens": 4096, "stream": false, "stop_sequences": ["END"], "system": "Be brief.",
                "messages": [
                    { "role": "user", "content": [{ "type": "text", "text": "Weather?" }] },
                    { "role": "assistant", "content": [{ "type": "tool_use", "id": "t1", "name": "weather", "input": { "city": "Bern" } }] },
                    { "role": "user", "content": [
                        { "type": "tool_result", "tool_use_id": "t1", "content": "sunny" },
                        { "type": "text", "text": "And?" },
                    ] },
                ],
                "tools": [{ "name": "weather", "description": "", "input_schema": { "type": "object" } }],
                "tool_choice": { "type": "any" },
            })
        );
    }

    #[test]
    fn a_stream_of_messages_becomes_a_stream_of_chat() {
        let mut stream = Stream::default();
        let mut chunks = Vec::new();
        for event in [
            json!({ "type": "message_start", "message": { "usage": { "input_tokens": 7 } } }),
            json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "hi" } }),
            json!({ "type": "content_block_start", "index": 1, "content_block": { "type": "tool_use", "id": "t", "name": "n", "input": {} } }),
            json!({ "type": "content_block_delta", "index": 1, "delta": { "type": "input_json_delta", "partial_json": "{}" } }),
            json!({ "type": "message_delta", "delta": { "stop_reason": "tool_use" }, "usage": { "output_tokens": 3 } }),
        ] {
            let (chunk, is_done) = stream.read(&event.to_string()).unwrap();
            assert!(!is_done);
            chunks.extend(chunk);
        }
        assert_eq!(chunks.len(), 4);
        assert_eq!(chunks[1].choices[0].delta.tool_calls.as_ref().unwrap()[0].index, 0);
        assert_eq!(chunks[3].usage, Some(ChatUsage { prompt_tokens: 7, completion_tokens: 3 }));
        assert_eq!(chunks[3].choices[0].finish_reason.as_deref(), Some("tool_calls"));
        assert!(stream.read(r#"{"type":"message_stop"}"#).unwrap().1);
        assert_eq!(stream.read(r#"{"type":"error"}"#).unwrap_err().code, "ModelStreamErrorException");
    }

    #[test]
    fn an_answer_is_read() {
        let answer = decode(
            br#"{"content":[{"type":"thinking","thinking":"x"},{"type":"text","text":"a"}],"stop_reason":"stop_sequence","stop_sequence":"END","usage":{"input_tokens":1,"output_tokens":2}}"#,
        )
        .unwrap();
        let choice = &answer.choices[0];
        assert_eq!((choice.message.content.as_deref(), choice.finish_reason.as_deref()), (Some("a"), Some("stop")));
        assert_eq!(choice.stop_reason, Some(json!("END")));
        assert!(decode(b"<html>").is_err());
    }
}
