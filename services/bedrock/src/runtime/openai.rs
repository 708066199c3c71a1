//! Bodies in the form of OpenAI's chat.
//!
//! Source: Bedrock User Guide, "OpenAI models", which take the body of Chat Completions.

use serde_json::{Map, Value as Json, json};

use super::exchange::{Answer, Stop};
use super::prompt::{Mark, Part, Prompt, Turn};
use super::stream::{Ending, Step};
use crate::refusal::Refusal;
use crate::upstream::chat::{ChatRequest, ChatToolCall};

/// What a body asks. The model is that of the call, whatever the body says.
pub(super) fn prompt(mut fields: Map<String, Json>) -> Result<Prompt, Refusal> {
    let malformed = |error: serde_json::Error| Refusal::invalid(format!("Malformed input request: {error}"));
    let missing = || Refusal::invalid("Malformed input request: the body has neither `anthropic_version` nor `messages`");
    let Some(Json::Array(messages)) = fields.remove("messages") else { return Err(missing()) };
    for name in ["model", "stream", "stream_options"] {
        fields.remove(name);
    }
    if let Some(limit) = fields.remove("max_completion_tokens") {
        fields.entry("max_tokens").or_insert(limit);
    }
    if fields.get("n").is_some_and(|count| *count != json!(1)) {
        return Err(Refusal::unsupported("more than one answer (`n`)"));
    }
    if let Some(stop) = fields.get_mut("stop")
        && stop.is_string()
    {
        *stop = Json::Array(vec![stop.take()]);
    }
    fields.insert("model".to_owned(), json!(""));
    fields.insert("messages".to_owned(), json!([]));
    let request: ChatRequest = serde_json::from_value(Json::Object(fields)).map_err(malformed)?;
    let turns = messages.into_iter().map(turn).collect::<Result<_, _>>()?;
    Ok(Prompt { turns, request })
}

fn turn(message: Json) -> Result<Turn, Refusal> {
    let invalid = || Refusal::invalid("Malformed input request: a message has no known role or no content");
    let (role, mark) = match message.get("role").and_then(Json::as_str).ok_or_else(invalid)? {
        "system" | "developer" => ("system", Mark::Exempt),
        "user" => ("user", Mark::Unmarked),
        "assistant" => ("assistant", Mark::Unmarked),
        "tool" => ("tool", Mark::Exempt),
        _ => return Err(invalid()),
    };
    let tool_calls: Vec<ChatToolCall> = match message.get("tool_calls") {
        None | Some(Json::Null) => Vec::new(),
        Some(calls) => serde_json::from_value(calls.clone()).map_err(|_| invalid())?,
    };
    let texts = match message.get("content") {
        None | Some(Json::Null) if !tool_calls.is_empty() => Vec::new(),
        Some(Json::String(text)) => vec![text.clone()],
        Some(Json::Array(parts)) => parts.iter().map(text_of).collect::<Result<_, _>>()?,
        _ => return Err(invalid()),
    };
    let parts = texts.into_iter().map(|text| Part { text, mark: mark.clone() }).collect();
    let tool_call_id = message.get("tool_call_id").and_then(Json::as_str).map(str::to_owned);
    Ok(Turn { role, parts, tool_calls, tool_call_id })
}

fn text_of(part: &Json) -> Result<String, Refusal> {
    let text = part.get("text").and_then(Json::as_str).filter(|_| part.get("type").and_then(Json::as_str) == Some("text"));
    text.map(str::to_owned).ok_or_else(|| Refusal::unsupported("a content part that is no text"))
}

fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::EndTurn | Stop::Sequence(_) => "stop",
        Stop::ToolUse => "tool_calls",
        Stop::MaxTokens => "length",
        Stop::ContentFiltered | Stop::Guardrail => "content_filter",
    }
}

fn usage(tokens: super::exchange::Tokens) -> Json {
    json!({
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input.saturating_add(tokens.output),
    })
}

/// An answer as a completion.
pub(super) fn answer(answer: Answer, id: &str, model: &str) -> Json {
    let mut message = Map::from_iter([("role".to_owned(), json!("assistant")), ("content".to_owned(), json!(answer.text))]);
    if !answer.tool_calls.is_empty() {
        message.insert("tool_calls".to_owned(), json!(answer.tool_calls));
    }
    json!({
        "id": format!("chatcmpl-{id}"), "object": "chat.completion", "model": model,
        "choices": [{ "index": 0, "message": message, "finish_reason": finish_reason(&answer.stop) }],
        "usage": usage(answer.tokens),
    })
}

/// Writes chunks of a completion.
pub(super) struct Events {
    id: String,
    model: String,
    /// Position of the tool call that is being written, and whether there was one.
    calls: u32,
}

impl Events {
    pub(super) fn new(id: String, model: String) -> Self {
        Self { id, model, calls: 0 }
    }

    fn chunk(&self, delta: Json, finish_reason: Json) -> Json {
        json!({
            "id": format!("chatcmpl-{}", self.id), "object": "chat.completion.chunk", "model": self.model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }],
        })
    }

    pub(super) fn begin(&mut self) -> Vec<Json> {
        vec![self.chunk(json!({ "role": "assistant", "content": "" }), Json::Null)]
    }

    pub(super) fn step(&mut self, step: Step) -> Vec<Json> {
        let delta = match step {
            Step::Text(text) => json!({ "content": text }),
            Step::ToolStart { id, name } => {
                self.calls += 1;
                let function = json!({ "name": name, "arguments": "" });
                json!({ "tool_calls": [{ "index": self.calls - 1, "id": id, "type": "function", "function": function }] })
            }
            Step::ToolInput(input) => {
                json!({ "tool_calls": [{ "index": self.calls.saturating_sub(1), "function": { "arguments": input } }] })
            }
        };
        vec![self.chunk(delta, Json::Null)]
    }

    pub(super) fn end(&mut self, ending: &Ending) -> Vec<Json> {
        let mut last = self.chunk(json!({}), json!(finish_reason(&ending.stop)));
        if let Some(fields) = last.as_object_mut() {
            fields.insert("usage".to_owned(), usage(ending.tokens));
        }
        vec![last]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_and_its_model_ignored() {
        let body = json!({
            "model": "another", "stream": true, "stop": "END", "max_completion_tokens": 3, "seed": 1,
            "messages": [
                { "role": "developer", "content": "s" },
                { "role": "user", "content": [{ "type": "text", "text": "a" }, { "type": "text", "text": "b" }] },
            ],
        });
        let prompt = prompt(body.as_object().cloned().unwrap()).unwrap();
        let request = serde_json::to_value(prompt.into_request(false)).unwrap();
        assert_eq!(
            request,
            json!({
                "model": "", "stream": false, "max_tokens": 3, "stop": ["END"], "seed": 1,
                "messages": [{ "role": "system", "content": "s" }, { "role": "user", "content": "a\nb" }],
            })
        );
    }

    #[test]
    fn malformed_messages_are_refused() {
        for message in [
            json!("x"),
            json!({ "role": "robot", "content": "x" }),
            json!({ "role": "user" }),
            json!({ "role": "user", "content": [{ "type": "image_url", "image_url": {} }] }),
        ] {
            assert!(turn(message).is_err());
        }
    }
}
