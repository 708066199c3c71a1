//! The embedded responder: a deterministic stand-in for a model server, for first steps and tests. It is no model and says so in its name.
//!
//! The same request always gets the same answer. A token is four characters, begun ones count.
//!
//! * A question about a contact or billing is answered with an e-mail address and a test card number, to show masking.
//! * With tools, the one that `tool_choice` or the question names is called, with arguments made from the question.
//! * Else the last message of the user is repeated.
//! * An embedding is made of the hashes of the text's words: equal texts are equal, shared words bring texts nearer.

use serde_json::{Map, Value as Json, json};

use super::anthropic::said;
use super::chat::{
    CalledFunction, CalledFunctionDelta, ChatAnswer, ChatChoice, ChatChunk, ChatMessage, ChatRequest, ChatResponse, ChatTool, ChatToolCall,
    ChatUsage, ChunkChoice, ChunkDelta, Content, EmbeddingItem, EmbeddingRequest, EmbeddingResponse, ToolCallDelta,
};
use super::chunks::Chunks;
use super::fault::Failure;
use crate::refusal::Refusal;

/// The only model.
pub(crate) const MODEL: &str = "bailiwick.embedded-responder-v1";
pub(crate) const PROVIDER: &str = "Bailiwick (embedded deterministic responder)";
/// Most of a message that is repeated, characters.
const ECHO_LENGTH: usize = 2_000;
/// Length of a vector.
const DIMENSIONS: usize = 64;

fn made(request: &ChatRequest) -> Result<Made, Failure> {
    if request.has_media() {
        return Err(Failure::of_request(Refusal::invalid("This model doesn't support images and documents.").into()));
    }
    Ok(Made::of(request))
}

pub(super) fn chat(request: &ChatRequest) -> Result<ChatResponse, Failure> {
    Ok(made(request)?.whole())
}

pub(super) fn stream(request: &ChatRequest) -> Result<Chunks, Failure> {
    Ok(Chunks::ready(made(request)?.chunks()))
}

/// Tokens of a request.
pub(super) fn count(request: &ChatRequest) -> i64 {
    i64::try_from(prompt_tokens(request)).unwrap_or(i64::MAX)
}

fn prompt_tokens(request: &ChatRequest) -> usize {
    request.messages.iter().map(|message| tokens(&text_of(message))).sum()
}

fn text_of(message: &ChatMessage) -> String {
    message.content.as_ref().map(Content::text).unwrap_or_default()
}

/// Counts of the words' hashes, of length one.
pub(super) fn embed(request: &EmbeddingRequest) -> EmbeddingResponse {
    let dimensions = request.dimensions.and_then(|wanted| usize::try_from(wanted).ok()).unwrap_or(DIMENSIONS).clamp(1, 4_096);
    let item = |text: &String| {
        let mut vector = vec![0.0_f32; dimensions];
        for word in text.split_whitespace() {
            let hash = word.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
            let at = usize::try_from(hash % u64::try_from(dimensions).unwrap_or(1)).unwrap_or_default();
            if let Some(count) = vector.get_mut(at) {
                *count += 1.0;
            }
        }
        let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt().max(1.0);
        EmbeddingItem { embedding: vector.into_iter().map(|number| number / length).collect(), ..EmbeddingItem::default() }
    };
    let counted: usize = request.input.iter().map(|text| tokens(text)).sum();
    let usage = ChatUsage { prompt_tokens: i64::try_from(counted).unwrap_or(i64::MAX), completion_tokens: 0 };
    EmbeddingResponse { data: request.input.iter().map(item).collect(), usage: Some(usage) }
}

/// An answer.
#[derive(Debug, PartialEq)]
struct Made {
    text: Option<String>,
    /// Name and arguments.
    tool_call: Option<(String, String)>,
    finish_reason: &'static str,
    prompt_tokens: usize,
    completion_tokens: usize,
}

fn tokens(text: &str) -> usize {
    text.chars().count().div_ceil(4)
}

impl Made {
    fn of(request: &ChatRequest) -> Self {
        let prompt_tokens = prompt_tokens(request);
        let question = request.messages.iter().rev().find(|message| message.role == "user").map(text_of).unwrap_or_default();
        let answers_tool = request.messages.last().is_some_and(|message| message.role == "tool");
        if !answers_tool && let Some(tool) = chosen_tool(request, &question) {
            let arguments = arguments(tool, &question).to_string();
            let completion_tokens = tokens(&arguments);
            let tool_call = Some((tool.function.name.clone(), arguments));
            return Self { text: None, tool_call, finish_reason: "tool_calls", prompt_tokens, completion_tokens };
        }
        let (text, finish_reason) = limited(text(request.messages.last(), &question), request);
        let completion_tokens = tokens(&text);
        Self { text: Some(text), tool_call: None, finish_reason, prompt_tokens, completion_tokens }
    }

    fn usage(&self) -> ChatUsage {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        ChatUsage { prompt_tokens: count(self.prompt_tokens), completion_tokens: count(self.completion_tokens) }
    }

    fn whole(self) -> ChatResponse {
        let usage = self.usage();
        let tool_calls = self.tool_call.map(|(name, arguments)| {
            vec![ChatToolCall { id: format!("call_{name}"), kind: "function".to_owned(), function: CalledFunction { name, arguments } }]
        });
        let message = ChatAnswer { content: self.text, tool_calls };
        let choice = ChatChoice { message, finish_reason: Some(self.finish_reason.to_owned()), stop_reason: None };
        ChatResponse { choices: vec![choice], usage: Some(usage) }
    }

    fn chunks(self) -> Vec<ChatChunk> {
        let mut chunks: Vec<ChatChunk> = self.text.iter().flat_map(|text| pieces(text)).map(|piece| said(piece.to_owned())).collect();
        if let Some((name, arguments)) = &self.tool_call {
            let call = |id: Option<String>, function| {
                let calls = Some(vec![ToolCallDelta { index: 0, id, function }]);
                let choice = ChunkChoice { delta: ChunkDelta { content: None, tool_calls: calls }, ..ChunkChoice::default() };
                ChatChunk { choices: vec![choice], ..ChatChunk::default() }
            };
            chunks.push(call(Some(format!("call_{name}")), CalledFunctionDelta { name: Some(name.clone()), arguments: None }));
            let more = |piece: &str| call(None, CalledFunctionDelta { name: None, arguments: Some(piece.to_owned()) });
            chunks.extend(pieces(arguments).map(more));
        }
        let last = ChunkChoice { finish_reason: Some(self.finish_reason.to_owned()), ..ChunkChoice::default() };
        chunks.push(ChatChunk { choices: vec![last], usage: Some(self.usage()), error: None });
        chunks
    }
}

/// Words with the spaces before them, as models give them.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = rest.char_indices().skip(1).find(|(_, character)| *character == ' ').map_or(rest.len(), |(at, _)| at);
        let (piece, after) = rest.split_at_checked(end)?;
        rest = after;
        Some(piece)
    })
}

fn text(last: Option<&ChatMessage>, question: &str) -> String {
    if let Some(result) = last.filter(|message| message.role == "tool") {
        return format!("The tool answered: {}", text_of(result).chars().take(ECHO_LENGTH).collect::<String>());
    }
    let lower = question.to_lowercase();
    if lower.contains("contact") || lower.contains("billing") {
        return "You can reach our billing contact Jane at jane.doe@example.com. The card on file is 4111 1111 1111 1111. \
                This is a canned answer of the embedded responder."
            .to_owned();
    }
    let echo: String = question.chars().take(ECHO_LENGTH).collect();
    format!("This is the embedded deterministic responder, not a model. You said: {echo}")
}

/// Ends a text at the first stop sequence and at `max_tokens`.
fn limited(mut text: String, request: &ChatRequest) -> (String, &'static str) {
    let stops = request.stop.iter().flatten().filter(|stop| !stop.is_empty());
    if let Some(at) = stops.filter_map(|stop| text.find(stop.as_str())).min() {
        text.truncate(at);
    }
    let most = request.max_tokens.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    if tokens(&text) <= most {
        return (text, "stop");
    }
    (text.chars().take(most.saturating_mul(4)).collect(), "length")
}

/// The tool that must be called, or whose name stands in the question.
fn chosen_tool<'a>(request: &'a ChatRequest, question: &str) -> Option<&'a ChatTool> {
    let tools = request.tools.as_deref().unwrap_or_default();
    match &request.tool_choice {
        Some(Json::String(choice)) if choice == "required" => tools.first(),
        Some(Json::String(choice)) if choice == "none" => None,
        Some(Json::Object(choice)) => {
            let name = choice.get("function").and_then(|function| function.get("name")).and_then(Json::as_str)?;
            tools.iter().find(|tool| tool.function.name == name)
        }
        _ => tools.iter().find(|tool| !tool.function.name.is_empty() && question.contains(&tool.function.name)),
    }
}

/// A value of the right type for each property of the tool's schema.
fn arguments(tool: &ChatTool, question: &str) -> Json {
    let properties = tool.function.parameters.as_ref().and_then(|schema| schema.get("properties")).and_then(Json::as_object);
    let value = |schema: &Json| match schema.get("type").and_then(Json::as_str) {
        Some("string") => Some(json!(question.chars().take(64).collect::<String>())),
        Some("integer" | "number") => Some(json!(1)),
        Some("boolean") => Some(json!(true)),
        _ => None,
    };
    let made: Map<String, Json> =
        properties.into_iter().flatten().filter_map(|(name, schema)| Some((name.clone(), value(schema)?))).collect();
    Json::Object(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(question: &str) -> ChatRequest {
        let message = ChatMessage { role: "user".to_owned(), content: Some(Content::Text(question.to_owned())), ..ChatMessage::default() };
        ChatRequest { model: MODEL.to_owned(), messages: vec![message], ..ChatRequest::default() }
    }

    #[test]
    fn the_last_message_is_repeated_within_the_limits() {
        let made = Made::of(&ask("hello there"));
        assert_eq!(made.text.as_deref(), Some("This is the embedded deterministic responder, not a model. You said: hello there"));
        assert_eq!((made.finish_reason, made.prompt_tokens), ("stop", 3));
        let short = Made::of(&ChatRequest { max_tokens: Some(2), ..ask("hello") });
        assert_eq!((short.text.as_deref(), short.finish_reason, short.completion_tokens), (Some("This is "), "length", 2));
        let stopped = Made::of(&ChatRequest { stop: Some(vec![" deterministic".to_owned()]), ..ask("hello") });
        assert_eq!(stopped.text.as_deref(), Some("This is the embedded"));
    }

    #[test]
    fn a_tool_is_called_and_its_result_told() {
        let schema = json!({ "type": "object", "properties": { "city": { "type": "string" }, "days": { "type": "integer" } } });
        let function = super::super::chat::ChatFunction { name: "weather".to_owned(), parameters: Some(schema), ..Default::default() };
        let tools = Some(vec![ChatTool { kind: "function".to_owned(), function }]);
        let made = Made::of(&ChatRequest { tools: tools.clone(), ..ask("use weather") });
        assert_eq!(made.tool_call, Some(("weather".to_owned(), r#"{"city":"use weather","days":1}"#.to_owned())));
        assert_eq!(made.finish_reason, "tool_calls");
        let mut request = ChatRequest { tools, ..ask("use weather") };
        request.messages.push(ChatMessage {
            role: "tool".to_owned(),
            content: Some(Content::Text("sunny".to_owned())),
            ..ChatMessage::default()
        });
        assert_eq!(Made::of(&request).text.as_deref(), Some("The tool answered: sunny"));
    }

    #[test]
    fn pieces_are_the_text() {
        for text in ["", " ", "a b  c ", "ä ö"] {
            assert_eq!(pieces(text).collect::<String>(), text);
        }
    }

    #[test]
    fn equal_texts_have_equal_vectors() {
        let input = ["a b".to_owned(), "b a".to_owned(), "c".to_owned()].to_vec();
        let embedded = embed(&EmbeddingRequest { input, dimensions: Some(8), ..EmbeddingRequest::default() });
        let vectors: Vec<&Vec<f32>> = embedded.data.iter().map(|item| &item.embedding).collect();
        assert!(vectors[0] == vectors[1] && vectors[0] != vectors[2] && vectors[0].len() == 8);
    }
}
