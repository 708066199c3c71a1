//! Bodies in Nova's form, which is that of `Converse` in JSON.
//!
//! Source: Amazon Nova User Guide, "Complete request schema".

use plane::ApiError;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::dialect::Writer;
use super::exchange::{Answer, Tokens};
use super::invoke::tool_input;
use super::prompt::{Mark, Part, Prompt, Turn};
use super::stream::{Ending, Step};
use crate::refusal::Refusal;
use crate::upstream::chat::{CalledFunction, ChatFunction, ChatRequest, ChatTool, ChatToolCall, ContentPart, Media};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    #[serde(rename = "schemaVersion")]
    _schema_version: Option<String>,
    messages: Vec<Message>,
    #[serde(default)]
    system: Vec<Text>,
    #[serde(default)]
    inference_config: Inference,
    tool_config: Option<ToolConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: Vec<Block>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Inference {
    #[serde(alias = "max_new_tokens")]
    max_tokens: Option<i64>,
    temperature: Option<f64>,
    #[serde(alias = "top_p")]
    top_p: Option<f64>,
    #[serde(alias = "top_k")]
    top_k: Option<i64>,
    stop_sequences: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig {
    tools: Vec<Json>,
    tool_choice: Option<Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Block {
    text: Option<String>,
    image: Option<Image>,
    tool_use: Option<ToolUse>,
    tool_result: Option<ToolResult>,
}

#[derive(Deserialize)]
struct Image {
    format: String,
    source: ImageSource,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ImageSource {
    bytes: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are the form's")]
struct ToolUse {
    tool_use_id: String,
    name: String,
    input: Json,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolResult {
    tool_use_id: String,
    content: Vec<Json>,
    status: Option<String>,
}

/// What a body asks.
pub(super) fn prompt(fields: Map<String, Json>) -> Result<Prompt, Refusal> {
    let body: Body =
        serde_json::from_value(Json::Object(fields)).map_err(|error| Refusal::invalid(format!("Malformed input request: {error}")))?;
    let (tools, tool_choice) = body.tool_config.map(tools).transpose()?.unwrap_or_default();
    let mut request = ChatRequest {
        max_tokens: body.inference_config.max_tokens,
        temperature: body.inference_config.temperature,
        top_p: body.inference_config.top_p,
        stop: body.inference_config.stop_sequences.filter(|stops| !stops.is_empty()),
        tools,
        tool_choice,
        ..ChatRequest::default()
    };
    if let Some(top_k) = body.inference_config.top_k {
        request.further.insert("top_k".to_owned(), json!(top_k));
    }
    let mut prompt = Prompt { request, ..Prompt::default() };
    for Text { text } in body.system {
        prompt.turns.push(Turn { role: "system", parts: vec![Part { text, mark: Mark::Exempt }], ..Turn::default() });
    }
    for message in body.messages {
        prompt.turns.extend(turns(message)?);
    }
    Ok(prompt)
}

type Tools = (Option<Vec<ChatTool>>, Option<Json>);

fn tools(config: ToolConfig) -> Result<Tools, Refusal> {
    let tool = |tool: Json| {
        let spec = tool.get("toolSpec").cloned().ok_or_else(|| Refusal::unsupported("a tool that is no `toolSpec`"))?;
        let text = |name: &str| spec.get(name).and_then(Json::as_str).map(str::to_owned);
        let function = ChatFunction {
            name: text("name").unwrap_or_default(),
            description: text("description"),
            parameters: spec.pointer("/inputSchema/json").cloned(),
            strict: None,
        };
        Ok(ChatTool { kind: "function".to_owned(), function })
    };
    let tools = config.tools.into_iter().map(tool).collect::<Result<Vec<_>, Refusal>>()?;
    let choice = config.tool_choice.map(|choice| match choice.pointer("/tool/name") {
        Some(name) => json!({ "type": "function", "function": { "name": name } }),
        None if choice.get("any").is_some() => json!("required"),
        None => json!("auto"),
    });
    Ok((Some(tools), choice))
}

fn turns(message: Message) -> Result<Vec<Turn>, Refusal> {
    let role = match message.role.as_str() {
        "user" => "user",
        "assistant" => "assistant",
        other => return Err(Refusal::invalid(format!("`{other}` is not a role."))),
    };
    let mut turn = Turn { role, ..Turn::default() };
    let mut results = Vec::new();
    for block in message.content {
        match block {
            Block { text: Some(text), .. } => turn.parts.push(Part { text, mark: Mark::Unmarked }),
            Block { image: Some(image), .. } => {
                let media_type = format!("image/{}", image.format);
                let media = Media { media_type, name: String::new(), base64: image.source.bytes };
                turn.media.push((turn.parts.len(), ContentPart::Image(media)));
            }
            Block { tool_use: Some(used), .. } => turn.tool_calls.push(ChatToolCall {
                id: used.tool_use_id,
                kind: "function".to_owned(),
                function: CalledFunction { name: used.name, arguments: used.input.to_string() },
            }),
            Block { tool_result: Some(result), .. } => {
                let said = |content: &Json| match content.get("text").and_then(Json::as_str) {
                    Some(text) => text.to_owned(),
                    None => content.get("json").unwrap_or(content).to_string(),
                };
                let text = result.content.iter().map(said).collect::<Vec<_>>().join("\n");
                let text = if result.status.as_deref() == Some("error") { format!("error: {text}") } else { text };
                let parts = vec![Part { text, mark: Mark::Exempt }];
                results.push(Turn { role: "tool", parts, tool_call_id: Some(result.tool_use_id), ..Turn::default() });
            }
            Block { .. } => return Err(Refusal::unsupported("a content block that is neither text, an image nor of a tool")),
        }
    }
    if results.is_empty() || !turn.parts.is_empty() || !turn.media.is_empty() {
        results.push(turn);
    }
    Ok(results)
}

fn usage(tokens: Tokens) -> Json {
    json!({
        "inputTokens": tokens.input, "outputTokens": tokens.output, "totalTokens": tokens.input.saturating_add(tokens.output),
    })
}

/// An answer as Nova's output.
pub(super) fn answer(answer: Answer) -> Result<Json, ApiError> {
    let inputs = tool_input(&answer)?;
    let mut content: Vec<Json> = answer.text.into_iter().map(|text| json!({ "text": text })).collect();
    let calls = answer.tool_calls.into_iter().zip(inputs);
    content.extend(calls.map(|(call, input)| json!({ "toolUse": { "toolUseId": call.id, "name": call.function.name, "input": input } })));
    Ok(json!({
        "output": { "message": { "role": "assistant", "content": content } },
        "stopReason": answer.stop.converse().as_str(),
        "usage": usage(answer.tokens),
    }))
}

/// Writes Nova's stream, which has the events of `ConverseStream`.
#[derive(Default)]
pub(super) struct Events {
    index: u32,
    /// `Some(true)`: a tool block is open; `Some(false)`: a text block.
    open: Option<bool>,
}

impl Events {
    fn close(&mut self, events: &mut Vec<Json>) {
        if self.open.take().is_some() {
            events.push(json!({ "contentBlockStop": { "contentBlockIndex": self.index } }));
            self.index += 1;
        }
    }
}

impl Writer for Events {
    fn begin(&mut self) -> Vec<Json> {
        vec![json!({ "messageStart": { "role": "assistant" } })]
    }

    fn step(&mut self, step: Step) -> Vec<Json> {
        let mut events = Vec::new();
        let delta = match step {
            Step::Text(text) => {
                if self.open == Some(true) {
                    self.close(&mut events);
                }
                self.open = Some(false);
                json!({ "text": text })
            }
            Step::ToolStart { id, name } => {
                self.close(&mut events);
                self.open = Some(true);
                let start = json!({ "toolUse": { "toolUseId": id, "name": name } });
                events.push(json!({ "contentBlockStart": { "start": start, "contentBlockIndex": self.index } }));
                return events;
            }
            Step::ToolInput(input) => json!({ "toolUse": { "input": input } }),
        };
        events.push(json!({ "contentBlockDelta": { "delta": delta, "contentBlockIndex": self.index } }));
        events
    }

    fn end(&mut self, ending: &Ending) -> Vec<Json> {
        let mut events = Vec::new();
        self.close(&mut events);
        events.push(json!({ "messageStop": { "stopReason": ending.stop.converse().as_str() } }));
        events.push(json!({ "metadata": { "usage": usage(ending.tokens), "metrics": {}, "trace": {} } }));
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_becomes_a_chat() {
        let body = json!({
            "schemaVersion": "messages-v1", "system": [{ "text": "s" }], "inferenceConfig": { "maxTokens": 7, "topK": 3 },
            "messages": [
                { "role": "user", "content": [{ "text": "a" }] },
                { "role": "assistant", "content": [{ "toolUse": { "toolUseId": "t", "name": "n", "input": {} } }] },
                { "role": "user", "content": [{ "toolResult": { "toolUseId": "t", "content": [{ "json": { "b": 1 } }] } }] },
            ],
        });
        let prompt = prompt(body.as_object().cloned().unwrap()).unwrap();
        let sent = serde_json::to_value(prompt.into_request(false)).unwrap();
        assert_eq!(sent.pointer("/messages/3/content"), Some(&json!("{\"b\":1}")));
        assert_eq!((sent.get("max_tokens"), sent.get("top_k")), (Some(&json!(7)), Some(&json!(3))));
        assert!(super::prompt(json!({ "messages": [], "other": 1 }).as_object().cloned().unwrap()).is_err());
    }
}
