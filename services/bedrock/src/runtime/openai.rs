//! Bodies in the form of OpenAI's chat.
//!
//! Source: Bedrock User Guide, "OpenAI models", which take the body of Chat Completions.

use serde_json::{Map, Value as Json, json};

use super::dialect::{Heading, Writer};
use super::exchange::{Answer, Stop};
use super::prompt::{Mark, Part, Prompt, Turn};
use super::stream::{Ending, Step};
use crate::refusal::Refusal;
use crate::upstream::chat::{ChatRequest, ChatToolCall, ContentPart, Media};

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
    fields.remove("n");
    if let Some(stop) = fields.get_mut("stop")
        && stop.is_string()
    {
        *stop = Json::Array(vec![stop.take()]);
    }
    fields.insert("model".to_owned(), json!(""));
    let request: ChatRequest = serde_json::from_value(Json::Object(fields)).map_err(malformed)?;
    let turns = messages.into_iter().map(turn).collect::<Result<_, _>>()?;
    Ok(Prompt { turns, request, ..Prompt::default() })
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
    let mut turn = Turn { role, tool_calls, ..Turn::default() };
    turn.tool_call_id = message.get("tool_call_id").and_then(Json::as_str).map(str::to_owned);
    let say = |turn: &mut Turn, text: &str| turn.parts.push(Part { text: text.to_owned(), mark: mark.clone() });
    match message.get("content") {
        None | Some(Json::Null) if !turn.tool_calls.is_empty() => {}
        Some(Json::String(text)) => say(&mut turn, text),
        Some(Json::Array(parts)) => {
            for part in parts {
                match content_part(part)? {
                    ContentPart::Text(text) => say(&mut turn, &text),
                    medium if role == "user" => turn.media.push((turn.parts.len(), medium)),
                    _ => return Err(Refusal::unsupported(format!("a content part that is no text in a message of the role `{role}`"))),
                }
            }
        }
        _ => return Err(invalid()),
    }
    Ok(turn)
}

fn content_part(part: &Json) -> Result<ContentPart, Refusal> {
    let text = |path: &str| part.pointer(path).and_then(Json::as_str);
    match (text("/type"), text("/text"), text("/image_url/url"), text("/file/file_data")) {
        (Some("text"), Some(said), ..) => Ok(ContentPart::Text(said.to_owned())),
        (Some("image_url"), _, Some(url), _) => data_url(url, String::new()).map(ContentPart::Image),
        (Some("file"), _, _, Some(url)) => {
            data_url(url, text("/file/filename").unwrap_or("document").to_owned()).map(ContentPart::Document)
        }
        _ => Err(Refusal::unsupported("a content part that is neither text nor an image or a file in itself")),
    }
}

/// What a `data:` URL holds. Other URLs are not followed: the call must not make servers fetch what it names.
fn data_url(url: &str, name: String) -> Result<Media, Refusal> {
    let held = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
    let (media_type, base64) = held.ok_or_else(|| Refusal::unsupported("an image or a file by a URL that is no `data:` URL in base64"))?;
    Ok(Media { media_type: media_type.to_owned(), name, base64: base64.to_owned() })
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
pub(super) fn answer(answer: Answer, heading: &Heading) -> Json {
    let mut message = Map::from_iter([("role".to_owned(), json!("assistant")), ("content".to_owned(), json!(answer.text))]);
    if !answer.tool_calls.is_empty() {
        message.insert("tool_calls".to_owned(), json!(answer.tool_calls));
    }
    json!({
        "id": format!("chatcmpl-{}", heading.id), "object": "chat.completion", "created": heading.created_s, "model": heading.model,
        "choices": [{ "index": 0, "message": message, "finish_reason": finish_reason(&answer.stop) }],
        "usage": usage(answer.tokens),
    })
}

/// Writes chunks of a completion.
pub(super) struct Events {
    heading: Heading,
    /// Position of the tool call that is being written, and whether there was one.
    calls: u32,
}

impl Events {
    pub(super) fn new(heading: Heading) -> Self {
        Self { heading, calls: 0 }
    }

    fn chunk(&self, delta: Json, finish_reason: Json) -> Json {
        json!({
            "id": format!("chatcmpl-{}", self.heading.id), "object": "chat.completion.chunk", "created": self.heading.created_s,
            "model": self.heading.model,
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish_reason }],
        })
    }
}

impl Writer for Events {
    fn begin(&mut self) -> Vec<Json> {
        vec![self.chunk(json!({ "role": "assistant", "content": "" }), Json::Null)]
    }

    fn step(&mut self, step: Step) -> Vec<Json> {
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

    fn end(&mut self, ending: &Ending) -> Vec<Json> {
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
