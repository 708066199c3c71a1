//! The embedded responder: a deterministic stand-in for a model server, for first steps and tests.
//!
//! It speaks the same protocol over loopback HTTP as a real server does, so that nothing behind it is different. The same request always
//! gets the same answer. A token is four characters, begun ones count.
//!
//! * A question about a contact or billing is answered with an e-mail address and a test card number, to show masking.
//! * With tools, the one that `tool_choice` or the question names is called, with arguments made from the question.
//! * Else the last message of the user is repeated.

use std::convert::Infallible;
use std::net::Ipv4Addr;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Map, Value as Json, json};
use tokio::net::TcpListener;

use super::chat::{ChatMessage, ChatRequest, ChatTool};

/// The only model.
pub(crate) const MODEL: &str = "bailiwick.embedded-responder-v1";
const PROVIDER: &str = "Bailiwick (embedded deterministic responder)";
/// Largest request.
const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Most of a message that is repeated, characters.
const ECHO_LENGTH: usize = 2_000;

/// Starts the responder and gives its base URL. It lives as long as the process.
pub(super) async fn start() -> std::io::Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let base = format!("http://{}/v1", listener.local_addr()?);
    tokio::spawn(async move {
        loop {
            // A failed accept (no file descriptor left) must not end the responder.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            tokio::spawn(async move {
                let serving = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
                if let Err(error) = serving.await {
                    tracing::debug!(%error, "a connection to the embedded responder ended");
                }
            });
        }
    });
    Ok(base)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_chat = request.method() == Method::POST && request.uri().path() == "/v1/chat/completions";
    if request.method() == Method::GET && request.uri().path() == "/v1/models" {
        let list = json!({ "object": "list", "data": [{ "id": MODEL, "object": "model", "created": 0, "owned_by": PROVIDER }] });
        return Ok(reply(StatusCode::OK, "application/json", list.to_string()));
    }
    if !is_chat {
        return Ok(refusal(StatusCode::NOT_FOUND, "there is no such path"));
    }
    let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
        return Ok(refusal(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large"));
    };
    let Ok(request) = serde_json::from_slice::<ChatRequest>(&body.to_bytes()) else {
        return Ok(refusal(StatusCode::BAD_REQUEST, "the request is not a chat request"));
    };
    if request.model != MODEL {
        return Ok(refusal(StatusCode::NOT_FOUND, "there is no such model"));
    }
    let made = Made::of(&request);
    Ok(if request.stream {
        reply(StatusCode::OK, "text/event-stream", made.events())
    } else {
        reply(StatusCode::OK, "application/json", made.whole().to_string())
    })
}

fn reply(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(content_type));
    response
}

fn refusal(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    reply(status, "application/json", json!({ "error": { "message": message } }).to_string())
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
        let prompt_tokens = request.messages.iter().filter_map(|message| message.content.as_deref()).map(tokens).sum();
        let question = request.messages.iter().rev().find(|message| message.role == "user");
        let question = question.and_then(|message| message.content.as_deref()).unwrap_or_default();
        let answers_tool = request.messages.last().is_some_and(|message| message.role == "tool");
        if !answers_tool && let Some(tool) = chosen_tool(request, question) {
            let arguments = arguments(tool, question).to_string();
            let completion_tokens = tokens(&arguments);
            let tool_call = Some((tool.function.name.clone(), arguments));
            return Self { text: None, tool_call, finish_reason: "tool_calls", prompt_tokens, completion_tokens };
        }
        let (text, finish_reason) = limited(text(request.messages.last(), question), request);
        let completion_tokens = tokens(&text);
        Self { text: Some(text), tool_call: None, finish_reason, prompt_tokens, completion_tokens }
    }

    fn usage(&self) -> Json {
        json!({
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
        })
    }

    fn whole(&self) -> Json {
        let calls = self.tool_call.iter().map(|(name, arguments)| call(name, arguments)).collect::<Vec<_>>();
        let mut message = json!({ "role": "assistant", "content": self.text });
        if let (false, Some(message)) = (calls.is_empty(), message.as_object_mut()) {
            message.insert("tool_calls".to_owned(), Json::Array(calls));
        }
        json!({
            "id": "chatcmpl-embedded", "object": "chat.completion", "created": 0, "model": MODEL,
            "choices": [{ "index": 0, "message": message, "finish_reason": self.finish_reason }],
            "usage": self.usage(),
        })
    }

    fn events(&self) -> String {
        let chunk = |choices: Json, usage: Json| json!({ "id": "chatcmpl-embedded", "object": "chat.completion.chunk", "created": 0, "model": MODEL, "choices": choices, "usage": usage });
        let delta = |delta: Json, finish: Json| chunk(json!([{ "index": 0, "delta": delta, "finish_reason": finish }]), Json::Null);
        let mut events = vec![delta(json!({ "role": "assistant", "content": "" }), Json::Null)];
        if let Some(text) = &self.text {
            events.extend(pieces(text).map(|piece| delta(json!({ "content": piece }), Json::Null)));
        }
        if let Some((name, arguments)) = &self.tool_call {
            let mut begun = call(name, "");
            if let Some(begun) = begun.as_object_mut() {
                begun.insert("index".to_owned(), json!(0));
            }
            events.push(delta(json!({ "tool_calls": [begun] }), Json::Null));
            let more = |piece: &str| json!({ "tool_calls": [{ "index": 0, "function": { "arguments": piece } }] });
            events.extend(pieces(arguments).map(|piece| delta(more(piece), Json::Null)));
        }
        events.push(delta(json!({}), json!(self.finish_reason)));
        events.push(chunk(json!([]), self.usage()));
        let events = events.iter().map(Json::to_string).chain(["[DONE]".to_owned()]);
        events.flat_map(|event| ["data: ".to_owned(), event, "\n\n".to_owned()]).collect()
    }
}

fn call(name: &str, arguments: &str) -> Json {
    json!({ "id": format!("call_{name}"), "type": "function", "function": { "name": name, "arguments": arguments } })
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
        return format!(
            "The tool answered: {}",
            result.content.as_deref().unwrap_or_default().chars().take(ECHO_LENGTH).collect::<String>()
        );
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
        let message = ChatMessage { role: "user".to_owned(), content: Some(question.to_owned()), ..ChatMessage::default() };
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
        request.messages.push(ChatMessage { role: "tool".to_owned(), content: Some("sunny".to_owned()), ..ChatMessage::default() });
        assert_eq!(Made::of(&request).text.as_deref(), Some("The tool answered: sunny"));
    }

    #[test]
    fn pieces_are_the_text() {
        for text in ["", " ", "a b  c ", "ä ö"] {
            assert_eq!(pieces(text).collect::<String>(), text);
        }
    }
}
