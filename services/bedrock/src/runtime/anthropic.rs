//! Bodies in the form of Anthropic's messages.
//!
//! Source: Bedrock User Guide, "Anthropic Claude Messages API".

use plane::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::dialect::Writer;
use super::exchange::{Answer, Stop};
use super::invoke::tool_input;
use super::prompt::{Mark, Part, Prompt, Turn};
use super::stream::{Ending, Step};
use crate::refusal::Refusal;
use crate::upstream::chat::{CalledFunction, ChatFunction, ChatRequest, ChatTool, ChatToolCall, ContentPart, Media};

/// The version that Bedrock knows.
const VERSION: &str = "bedrock-2023-05-31";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    anthropic_version: String,
    max_tokens: i64,
    messages: Vec<Message>,
    system: Option<Content>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
    #[serde(rename = "thinking")]
    _thinking: Option<Thinking>,
    stop_sequences: Option<Vec<String>>,
    tools: Option<Vec<Tool>>,
    tool_choice: Option<Choice>,
    /// For the provider's records only.
    #[serde(rename = "metadata")]
    _metadata: Option<Json>,
}

/// Whether the model thinks aloud first. No upstream of this server shows that, so it can only be told not to.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Thinking {
    Disabled,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Content,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Blocks(Vec<Block>),
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
        input: Json,
    },
    ToolResult {
        tool_use_id: String,
        content: Option<Content>,
        #[serde(default)]
        is_error: bool,
    },
    Image {
        source: Source,
    },
    Document {
        title: Option<String>,
        source: Source,
    },
    #[serde(other)]
    Unsupported,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Source {
    Base64 {
        media_type: String,
        data: String,
    },
    Text {
        data: String,
    },
    #[serde(other)]
    Unsupported,
}

fn medium(source: Source, name: String) -> Result<Media, Refusal> {
    match source {
        Source::Base64 { media_type, data } => Ok(Media { media_type, name, base64: data }),
        Source::Text { data } => {
            let base64 = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, data);
            Ok(Media { media_type: "text/plain".to_owned(), name, base64 })
        }
        Source::Unsupported => Err(Refusal::unsupported("a source that is neither base64 nor text")),
    }
}

#[derive(Deserialize)]
struct Tool {
    name: String,
    description: Option<String>,
    input_schema: Option<Json>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Choice {
    Auto,
    Any,
    None,
    Tool { name: String },
}

/// What a body asks.
pub(super) fn prompt(fields: Map<String, Json>) -> Result<Prompt, Refusal> {
    let body: Body =
        serde_json::from_value(Json::Object(fields)).map_err(|error| Refusal::invalid(format!("Malformed input request: {error}")))?;
    if body.anthropic_version != VERSION {
        return Err(Refusal::invalid(format!("anthropic_version: Input should be '{VERSION}'")));
    }
    let mut prompt = Prompt {
        request: ChatRequest {
            max_tokens: Some(body.max_tokens),
            temperature: body.temperature,
            top_p: body.top_p,
            stop: body.stop_sequences.filter(|stops| !stops.is_empty()),
            tools: body.tools.map(|tools| tools.into_iter().map(tool).collect::<Result<_, _>>()).transpose()?,
            tool_choice: body.tool_choice.map(|choice| match choice {
                Choice::Auto => json!("auto"),
                Choice::Any => json!("required"),
                Choice::None => json!("none"),
                Choice::Tool { name } => json!({ "type": "function", "function": { "name": name } }),
            }),
            further: body.top_k.map(|count| ("top_k".to_owned(), json!(count))).into_iter().collect(),
            ..ChatRequest::default()
        },
        ..Prompt::default()
    };
    if let Some(system) = body.system {
        let parts = texts(system)?.into_iter().map(|text| Part { text, mark: Mark::Exempt }).collect();
        prompt.turns.push(Turn { role: "system", parts, ..Turn::default() });
    }
    for message in body.messages {
        prompt.turns.extend(turns(message)?);
    }
    Ok(prompt)
}

fn tool(tool: Tool) -> Result<ChatTool, Refusal> {
    let parameters = tool.input_schema.ok_or_else(|| Refusal::unsupported(format!("the tool `{}` without an input schema", tool.name)))?;
    let function = ChatFunction { name: tool.name, description: tool.description, parameters: Some(parameters), strict: None };
    Ok(ChatTool { kind: "function".to_owned(), function })
}

fn texts(content: Content) -> Result<Vec<String>, Refusal> {
    match content {
        Content::Text(text) => Ok(vec![text]),
        Content::Blocks(blocks) => blocks
            .into_iter()
            .map(
                |block| {
                    if let Block::Text { text } = block { Ok(text) } else { Err(Refusal::unsupported("a content block that is no text")) }
                },
            )
            .collect(),
    }
}

fn turns(message: Message) -> Result<Vec<Turn>, Refusal> {
    let role = match message.role.as_str() {
        "user" => "user",
        "assistant" => "assistant",
        other => return Err(Refusal::invalid(format!("`{other}` is not a role."))),
    };
    let blocks = match message.content {
        Content::Text(text) => vec![Block::Text { text }],
        Content::Blocks(blocks) => blocks,
    };
    let mut turn = Turn { role, ..Turn::default() };
    let mut results = Vec::new();
    for block in blocks {
        match block {
            Block::Text { text } => turn.parts.push(Part { text, mark: Mark::Unmarked }),
            Block::ToolUse { id, name, input } if role == "assistant" => turn.tool_calls.push(ChatToolCall {
                id,
                kind: "function".to_owned(),
                function: CalledFunction { name, arguments: input.to_string() },
            }),
            Block::ToolResult { tool_use_id, content, is_error } if role == "user" => {
                let text = content.map(texts).transpose()?.unwrap_or_default().join("\n");
                let text = if is_error { format!("error: {text}") } else { text };
                let parts = vec![Part { text, mark: Mark::Exempt }];
                results.push(Turn { role: "tool", parts, tool_call_id: Some(tool_use_id), ..Turn::default() });
            }
            Block::Image { source } if role == "user" => {
                turn.media.push((turn.parts.len(), ContentPart::Image(medium(source, String::new())?)));
            }
            Block::Document { source, title } if role == "user" => {
                let name = title.unwrap_or_else(|| "document".to_owned());
                turn.media.push((turn.parts.len(), ContentPart::Document(medium(source, name)?)));
            }
            Block::ToolUse { .. } | Block::ToolResult { .. } | Block::Image { .. } | Block::Document { .. } => {
                return Err(Refusal::invalid(format!("A message of the role `{role}` cannot contain this block.")));
            }
            Block::Unsupported => return Err(Refusal::unsupported("a content block that is neither text nor of a tool")),
        }
    }
    if results.is_empty() || !turn.parts.is_empty() || !turn.media.is_empty() {
        results.push(turn);
    }
    Ok(results)
}

/// `stop_reason` and `stop_sequence`. A guardrail's doing is told beside the message, in fields of Bedrock's own.
fn stop(stop: &Stop) -> (&'static str, Json) {
    match stop {
        Stop::EndTurn | Stop::Guardrail => ("end_turn", Json::Null),
        Stop::ToolUse => ("tool_use", Json::Null),
        Stop::MaxTokens => ("max_tokens", Json::Null),
        Stop::Sequence(text) => ("stop_sequence", json!(text)),
        Stop::ContentFiltered => ("refusal", Json::Null),
    }
}

/// An answer as a message.
pub(super) fn answer(answer: Answer, id: &str, model: &str) -> Result<Json, ApiError> {
    let inputs = tool_input(&answer)?;
    let (stop_reason, stop_sequence) = stop(&answer.stop);
    let mut content: Vec<Json> = answer.text.into_iter().map(|text| json!({ "type": "text", "text": text })).collect();
    let calls = answer.tool_calls.into_iter().zip(inputs);
    content.extend(calls.map(|(call, input)| json!({ "type": "tool_use", "id": call.id, "name": call.function.name, "input": input })));
    Ok(json!({
        "id": format!("msg_bdrk_{id}"), "type": "message", "role": "assistant", "model": model,
        "content": content, "stop_reason": stop_reason, "stop_sequence": stop_sequence,
        "usage": { "input_tokens": answer.tokens.input, "output_tokens": answer.tokens.output },
    }))
}

/// Writes Anthropic's stream events.
pub(super) struct Events {
    id: String,
    model: String,
    index: u32,
    /// `Some(true)`: a tool block is open; `Some(false)`: a text block.
    open: Option<bool>,
}

impl Events {
    pub(super) fn new(id: String, model: String) -> Self {
        Self { id, model, index: 0, open: None }
    }

    fn close(&mut self, events: &mut Vec<Json>) {
        if self.open.take().is_some() {
            events.push(json!({ "type": "content_block_stop", "index": self.index }));
            self.index += 1;
        }
    }

    fn start(&mut self, is_tool: bool, block: &Json, events: &mut Vec<Json>) {
        self.close(events);
        self.open = Some(is_tool);
        events.push(json!({ "type": "content_block_start", "index": self.index, "content_block": block }));
    }
}

impl Writer for Events {
    fn begin(&mut self) -> Vec<Json> {
        vec![json!({ "type": "message_start", "message": {
            "id": format!("msg_bdrk_{}", self.id), "type": "message", "role": "assistant", "model": self.model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": { "input_tokens": 0, "output_tokens": 0 },
        } })]
    }

    fn step(&mut self, step: Step) -> Vec<Json> {
        let mut events = Vec::new();
        let delta = match step {
            Step::Text(text) => {
                if self.open != Some(false) {
                    self.start(false, &json!({ "type": "text", "text": "" }), &mut events);
                }
                json!({ "type": "text_delta", "text": text })
            }
            Step::ToolStart { id, name } => {
                self.start(true, &json!({ "type": "tool_use", "id": id, "name": name, "input": {} }), &mut events);
                return events;
            }
            Step::ToolInput(input) => json!({ "type": "input_json_delta", "partial_json": input }),
        };
        events.push(json!({ "type": "content_block_delta", "index": self.index, "delta": delta }));
        events
    }

    fn end(&mut self, ending: &Ending) -> Vec<Json> {
        let mut events = Vec::new();
        self.close(&mut events);
        let (stop_reason, stop_sequence) = stop(&ending.stop);
        events.push(json!({
            "type": "message_delta", "delta": { "stop_reason": stop_reason, "stop_sequence": stop_sequence },
            "usage": { "input_tokens": ending.tokens.input, "output_tokens": ending.tokens.output },
        }));
        events.push(json!({ "type": "message_stop" }));
        events
    }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::Tokens;
    use super::*;

    fn fields(body: Json) -> Map<String, Json> {
        body.as_object().cloned().unwrap()
    }

    #[test]
    fn a_body_becomes_a_chat() {
        let prompt = prompt(fields(json!({
            "anthropic_version": VERSION, "max_tokens": 10, "system": "Be brief.",
            "messages": [
                { "role": "user", "content": [{ "type": "text", "text": "Weather?" }] },
                { "role": "assistant", "content": [{ "type": "tool_use", "id": "t1", "name": "weather", "input": {} }] },
                { "role": "user", "content": [{ "type": "tool_result", "tool_use_id": "t1", "content": "sunny" }] },
            ],
        })))
        .unwrap();
        let messages = serde_json::to_value(prompt.into_request(false)).unwrap();
        assert_eq!(
            messages.get("messages").cloned().unwrap(),
            json!([
                { "role": "system", "content": "Be brief." },
                { "role": "user", "content": "Weather?" },
                { "role": "assistant", "content": null, "tool_calls": [{ "id": "t1", "type": "function", "function": { "name": "weather", "arguments": "{}" } }] },
                { "role": "tool", "content": "sunny", "tool_call_id": "t1" },
            ])
        );
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let base = || fields(json!({ "anthropic_version": VERSION, "max_tokens": 1, "messages": [{ "role": "user", "content": "x" }] }));
        assert!(prompt(base()).is_ok());
        for (name, value) in [
            ("anthropic_version", json!("1")),
            ("thinking", json!({ "type": "enabled" })),
            ("messages", json!([{ "role": "user", "content": [{ "type": "image", "source": { "type": "url", "url": "http://x" } }] }])),
            ("messages", json!([{ "role": "system", "content": "x" }])),
        ] {
            let mut body = base();
            body.insert(name.to_owned(), value);
            assert!(prompt(body).is_err(), "{name}");
        }
    }

    #[test]
    fn a_stream_has_anthropics_order() {
        let mut script = Events::new("1".to_owned(), "m".to_owned());
        let mut events = script.begin();
        events.extend(script.step(Step::Text("a".to_owned())));
        events.extend(script.step(Step::ToolStart { id: "t".to_owned(), name: "n".to_owned() }));
        events.extend(script.step(Step::ToolInput("{}".to_owned())));
        events.extend(script.end(&Ending { stop: Stop::ToolUse, tokens: Tokens::default(), intervened: false, trace: None }));
        let kinds: Vec<&str> = events.iter().filter_map(|event| event.get("type")?.as_str()).collect();
        assert_eq!(
            kinds,
            [
                "message_start",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "content_block_start",
                "content_block_delta",
                "content_block_stop",
                "message_delta",
                "message_stop",
            ]
        );
    }
}
