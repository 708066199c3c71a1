//! `InvokeModelWithBidirectionalStream`: a conversation over one HTTP/2 stream, events in both directions.
//!
//! Source: Bedrock API reference, `InvokeModelWithBidirectionalStream`; Amazon Nova User Guide, "Handling input events with the bidirectional API" and "Handling
//! output events with the bidirectional API". Of Nova's events those are taken that carry text: a system prompt, a history, and what the
//! user writes. Audio and tools are refused with a `validationException`, which ends the stream. Each answer is a `ConverseStream` of its own by the caller,
//! through Bedrock: decided, guarded, limited, counted, logged and recorded like one.

use std::sync::Arc;
use std::time::Duration;

use api_bedrock_runtime::{ConverseStreamInput, InvokeModelWithBidirectionalStreamInput, InvokeModelWithBidirectionalStreamOutput};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::poll_fn;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use plane::body::{self, Body, BodyError};
use plane::service::Streaming;
use plane::{ApiError, Call, Plane, Principal};
use serde_json::{Map, Value as Json, json};
use tokio::sync::mpsc;
use wire::event_stream::{Decoder, Message};
use wire::{FromValue as _, Struct, Value};

use super::stream::Framer;
use crate::invocation_log::SERVICE_PRINCIPAL;
use crate::model;
use crate::refusal::Refusal;
use crate::upstream::fault::stream_error;

/// Frames that wait for a slow caller; then the upstream waits too.
const FRAMES: usize = 64;
/// Longest silence of a caller, and longest conversation. Source: Amazon Nova User Guide, connections of eight minutes.
const SILENCE: Duration = Duration::from_mins(1);
const CONVERSATION: Duration = Duration::from_mins(8);
/// Longest text of a conversation, bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;

fn invalid(message: impl Into<String>) -> ApiError {
    Refusal::invalid(message).into()
}

fn unsupported(what: &str) -> ApiError {
    Refusal::unsupported(what).into()
}

/// A text that is being written.
struct Content {
    name: String,
    role: Role,
    text: String,
    /// The model is to answer when it is whole.
    is_interactive: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    System,
    User,
    Assistant,
}

/// What an event means.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Nothing,
    /// The user has spoken.
    Turn,
    End,
}

/// A conversation so far.
#[derive(Default)]
struct Dialog {
    /// `None` before the session has begun.
    inference: Option<Map<String, Json>>,
    prompt_name: Option<String>,
    system: Vec<String>,
    turns: Vec<(Role, String)>,
    open: Option<Content>,
    bytes: usize,
}

fn text<'a>(body: &'a Json, name: &str) -> Result<&'a str, ApiError> {
    body.get(name).and_then(Json::as_str).ok_or_else(|| invalid(format!("An input event has no `{name}`.")))
}

impl Dialog {
    /// Takes an event of the caller's.
    fn hear(&mut self, event: &Json) -> Result<Heard, ApiError> {
        let malformed = || invalid("An input event must be an object with one event in it.");
        let members = event.get("event").and_then(Json::as_object).filter(|members| members.len() == 1).ok_or_else(malformed)?;
        let (kind, body) = members.iter().next().ok_or_else(malformed)?;
        match (kind.as_str(), &self.inference, &self.prompt_name) {
            ("sessionStart", None, _) => {
                let given = body.get("inferenceConfiguration").and_then(Json::as_object);
                let known = |name: &str| matches!(name, "maxTokens" | "topP" | "temperature");
                if let Some(other) = given.and_then(|given| given.keys().find(|name| !known(name))) {
                    return Err(unsupported(&format!("`{other}` in the inference configuration")));
                }
                self.inference = Some(given.cloned().unwrap_or_default());
            }
            ("sessionStart", ..) => return Err(invalid("The session has begun already.")),
            (_, None, _) => return Err(invalid("The first event must be `sessionStart`.")),
            ("sessionEnd", ..) => return Ok(Heard::End),
            ("promptStart", _, None) => self.start_prompt(body)?,
            ("promptStart", ..) => return Err(invalid("The prompt has begun already.")),
            ("audioInput", ..) => return Err(unsupported("audio")),
            (_, _, None) => return Err(invalid("The session has no prompt.")),
            (_, _, Some(name)) if text(body, "promptName")? != name => {
                return Err(invalid("The prompt of an event is not that of the session."));
            }
            ("contentStart", ..) => self.start_content(body)?,
            ("textInput", ..) => self.write(body)?,
            ("contentEnd", ..) => return self.end_content(body),
            ("promptEnd", ..) if self.open.is_none() => self.prompt_name = None,
            ("promptEnd", ..) => return Err(invalid("The prompt ends within a content.")),
            (other, ..) => return Err(unsupported(&format!("an input event `{other}`"))),
        }
        Ok(Heard::Nothing)
    }

    fn start_prompt(&mut self, body: &Json) -> Result<(), ApiError> {
        for (member, what) in
            [("audioOutputConfiguration", "audio"), ("toolConfiguration", "tools"), ("toolUseOutputConfiguration", "tools")]
        {
            if body.get(member).is_some() {
                return Err(unsupported(what));
            }
        }
        is_plain(body.pointer("/textOutputConfiguration/mediaType"))?;
        self.prompt_name = Some(text(body, "promptName")?.to_owned());
        Ok(())
    }

    fn start_content(&mut self, body: &Json) -> Result<(), ApiError> {
        if self.open.is_some() {
            return Err(invalid("A content begins within another one."));
        }
        match text(body, "type")? {
            "TEXT" => {}
            "AUDIO" => return Err(unsupported("audio")),
            other => return Err(unsupported(&format!("a content of the type `{other}`"))),
        }
        is_plain(body.pointer("/textInputConfiguration/mediaType"))?;
        let role = match text(body, "role")? {
            "SYSTEM" if self.turns.is_empty() => Role::System,
            "SYSTEM" => return Err(invalid("The system prompt must come before the conversation.")),
            "USER" => Role::User,
            "ASSISTANT" => Role::Assistant,
            other => return Err(unsupported(&format!("a content of the role `{other}`"))),
        };
        let is_interactive = body.get("interactive") != Some(&Json::Bool(false));
        self.open = Some(Content { name: text(body, "contentName")?.to_owned(), role, text: String::new(), is_interactive });
        Ok(())
    }

    fn open(&mut self, body: &Json) -> Result<&mut Content, ApiError> {
        let name = text(body, "contentName")?;
        let found = self.open.as_mut().filter(|content| content.name == name);
        found.ok_or_else(|| invalid(format!("The content `{name}` has not begun.")))
    }

    fn write(&mut self, body: &Json) -> Result<(), ApiError> {
        let more = text(body, "content")?;
        self.bytes = self.bytes.saturating_add(more.len());
        if self.bytes > TEXT_BYTES_MAX {
            return Err(invalid("The conversation is too long."));
        }
        self.open(body)?.text.push_str(more);
        Ok(())
    }

    fn end_content(&mut self, body: &Json) -> Result<Heard, ApiError> {
        self.open(body)?;
        let Some(content) = self.open.take() else { return Ok(Heard::Nothing) };
        match content.role {
            Role::System => self.system.push(content.text),
            role => self.say(role, content.text),
        }
        Ok(if content.role == Role::User && content.is_interactive { Heard::Turn } else { Heard::Nothing })
    }

    /// Adds to the conversation, in which the two take turns.
    fn say(&mut self, role: Role, text: String) {
        match self.turns.last_mut() {
            Some((last, said)) if *last == role => {
                said.push('\n');
                said.push_str(&text);
            }
            _ => self.turns.push((role, text)),
        }
    }

    /// What is asked now.
    fn request(&self, model_id: &str) -> Result<ConverseStreamInput, ApiError> {
        let structure = |fields: Vec<(&'static str, Value)>| {
            let mut made = Struct::new();
            for (name, value) in fields {
                made.set(name, value);
            }
            Value::Struct(made)
        };
        let said = |text: &str| Value::List(vec![structure(vec![("text", Value::Str(text.to_owned()))])]);
        let message = |(role, text): &(Role, String)| {
            let role = if *role == Role::User { "user" } else { "assistant" };
            structure(vec![("role", Value::Str(role.to_owned())), ("content", said(text))])
        };
        let mut inference = Vec::new();
        for (name, value) in self.inference.iter().flatten() {
            let wrong = || invalid(format!("`{name}` of the inference configuration must be a number."));
            match name.as_str() {
                "maxTokens" => inference.push(("maxTokens", Value::Int(value.as_i64().ok_or_else(wrong)?))),
                "topP" => inference.push(("topP", Value::Float(value.as_f64().ok_or_else(wrong)?))),
                _ => inference.push(("temperature", Value::Float(value.as_f64().ok_or_else(wrong)?))),
            }
        }
        let mut fields = vec![
            ("modelId", Value::Str(model_id.to_owned())),
            ("messages", Value::List(self.turns.iter().map(message).collect())),
            ("inferenceConfig", structure(inference)),
        ];
        if !self.system.is_empty() {
            let texts = self.system.iter().map(|text| structure(vec![("text", Value::Str(text.clone()))])).collect();
            fields.push(("system", Value::List(texts)));
        }
        ConverseStreamInput::from_value(structure(fields)).map_err(|error| invalid(error.to_string()))
    }
}

/// Whether a text's media type, if given, is the one that there is.
fn is_plain(media_type: Option<&Json>) -> Result<(), ApiError> {
    match media_type.and_then(Json::as_str) {
        None | Some("text/plain") => Ok(()),
        Some(other) => Err(unsupported(&format!("the media type `{other}`"))),
    }
}

/// The event in a frame of the caller's.
fn event_of(message: &Message) -> Result<Json, ApiError> {
    let malformed = || invalid("An input event is no `chunk` with JSON in its bytes.");
    if message.text(":event-type") != Some("chunk") {
        return Err(malformed());
    }
    let part: Json = serde_json::from_slice(&message.payload).map_err(|_| malformed())?;
    let bytes = part.get("bytes").and_then(Json::as_str).and_then(|bytes| STANDARD.decode(bytes).ok()).ok_or_else(malformed)?;
    serde_json::from_slice(&bytes).map_err(|_| malformed())
}

pub(crate) async fn invoke_model_with_bidirectional_stream(
    cx: &mut Call,
    input: InvokeModelWithBidirectionalStreamInput,
) -> Result<Streaming<InvokeModelWithBidirectionalStreamOutput>, ApiError> {
    let state = super::state(cx)?;
    model::resolve(cx, &state, &input.model_id).await?;
    let heard = cx.take_body().ok_or_else(|| invalid("The request has no stream of events."))?;
    let (sender, mut receiver) = mpsc::channel::<Bytes>(FRAMES);
    let conversation = Conversation {
        plane: Arc::clone(&cx.plane),
        principal: Arc::clone(&cx.principal),
        region: cx.region.clone(),
        model_id: input.model_id,
        session_id: cx.request_id.clone(),
        framer: Framer::of(cx)?,
        sender,
    };
    tokio::spawn(async move {
        let gone = conversation.sender.clone();
        tokio::select! {
            () = conversation.run(heard) => {}
            // Nobody listens any more.
            () = gone.closed() => {}
        }
    });
    let frames = poll_fn(move |context| receiver.poll_recv(context).map(|frame| frame.map(|bytes| Ok::<_, BodyError>(Frame::data(bytes)))));
    Ok(Streaming { output: InvokeModelWithBidirectionalStreamOutput {}, body: StreamBody::new(frames).boxed(), status: None })
}

/// One stream, from its first event to its last.
struct Conversation {
    plane: Arc<Plane>,
    principal: Arc<Principal>,
    region: String,
    model_id: String,
    session_id: String,
    framer: Framer,
    sender: mpsc::Sender<Bytes>,
}

impl Conversation {
    async fn run(self, heard: Body) {
        let ended = tokio::time::timeout(CONVERSATION, self.talk(heard)).await;
        let error = match ended {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error,
            Err(_) => ApiError::new("ModelTimeoutException", "The conversation lasted too long."),
        };
        if let Some(frame) = self.framer.exception(&error) {
            // The caller may have gone.
            let _ = self.sender.send(frame).await;
        }
    }

    async fn talk(&self, mut heard: Body) -> Result<(), ApiError> {
        let (mut decoder, mut dialog) = (Decoder::new(), Dialog::default());
        let malformed = |_| invalid("The stream of events is malformed.");
        loop {
            while let Some(message) = decoder.next_message().map_err(malformed)? {
                match dialog.hear(&event_of(&message)?)? {
                    Heard::Nothing => {}
                    Heard::Turn => self.answer(&mut dialog).await?,
                    Heard::End => return Ok(()),
                }
            }
            match body::next(&mut heard, SILENCE).await {
                Ok(Some(bytes)) => decoder.push(&bytes),
                Ok(None) => return Ok(()),
                // A signature that does not hold.
                Err(BodyError::Rejected(error)) => return Err(invalid(error.message)),
                Err(BodyError::Timeout) => return Err(ApiError::new("ModelTimeoutException", "No event came for too long.")),
                Err(_) => return Err(invalid("The stream of events broke off.")),
            }
        }
    }

    async fn send(&self, kind: &str, fields: Json) -> Result<(), ApiError> {
        let event = json!({ "event": { kind: fields } });
        let (mut part, mut union) = (Struct::new(), Struct::new());
        part.set("bytes", Value::Bytes(Bytes::from(event.to_string())));
        union.set("chunk", Value::Struct(part));
        // A caller that has gone is noticed by the one who waits for it.
        let _ = self.sender.send(self.framer.event(&Value::Struct(union))?).await;
        Ok(())
    }

    /// Asks the model, and passes its answer on as it comes.
    async fn answer(&self, dialog: &mut Dialog) -> Result<(), ApiError> {
        let input = dialog.request(&self.model_id)?;
        let called = self.plane.call_as_principal(Arc::clone(&self.principal), SERVICE_PRINCIPAL, &self.region, input, None).await;
        let (_, streamed) = called.map_err(told)?;
        let mut streamed = streamed.ok_or_else(|| ApiError::internal(&"a streamed answer has no body"))?;
        let (completion_id, content_id) = (self.plane.random_uuid()?, self.plane.random_uuid()?);
        let with = |more: Json| {
            let mut fields = json!({
                "sessionId": self.session_id, "promptName": dialog.prompt_name, "completionId": completion_id,
            });
            if let (Json::Object(fields), Json::Object(more)) = (&mut fields, more) {
                fields.extend(more);
            }
            fields
        };
        self.send("completionStart", with(json!({}))).await?;
        let stage = json!({ "generationStage": "FINAL" }).to_string();
        let started = json!({
            "contentId": content_id, "type": "TEXT", "role": "ASSISTANT", "additionalModelFields": stage,
            "textOutputConfiguration": { "mediaType": "text/plain" },
        });
        self.send("contentStart", with(started)).await?;
        let (mut decoder, mut said, mut stop, mut usage) = (Decoder::new(), String::new(), None, Json::Null);
        loop {
            while let Some(message) = decoder.next_message().map_err(|error| ApiError::internal(&error))? {
                let fields: Json = serde_json::from_slice(&message.payload).unwrap_or_default();
                if let Some(kind) = message.text(":exception-type").or_else(|| message.text(":error-code")) {
                    return Err(exception(kind, &fields));
                }
                match message.text(":event-type") {
                    Some("contentBlockDelta") => {
                        let text = fields.pointer("/delta/text").and_then(Json::as_str).unwrap_or_default();
                        said.push_str(text);
                        let fields = json!({ "contentId": content_id, "content": text, "role": "ASSISTANT" });
                        self.send("textOutput", with(fields)).await?;
                    }
                    Some("messageStop") => stop = fields.get("stopReason").and_then(Json::as_str).map(str::to_uppercase),
                    Some("metadata") => usage = fields.get("usage").cloned().unwrap_or_default(),
                    _ => {}
                }
            }
            match body::next(&mut streamed, CONVERSATION).await {
                Ok(Some(bytes)) => decoder.push(&bytes),
                Ok(None) => break,
                Err(error) => return Err(stream_error(&error.to_string())),
            }
        }
        let stop = stop.ok_or_else(|| stream_error("the answer broke off"))?;
        let ended = json!({ "contentId": content_id, "type": "TEXT", "stopReason": stop });
        self.send("contentEnd", with(ended)).await?;
        let counts = json!({
            "totalInputTokens": usage.get("inputTokens"), "totalOutputTokens": usage.get("outputTokens"), "totalTokens": usage.get("totalTokens"),
        });
        self.send("usageEvent", with(counts)).await?;
        self.send("completionEnd", with(json!({ "stopReason": stop }))).await?;
        dialog.bytes = dialog.bytes.saturating_add(said.len());
        dialog.say(Role::Assistant, said);
        Ok(())
    }
}

/// An error of a turn, as this stream can tell it: it has no exceptions for denials and for what is missing.
fn told(error: ApiError) -> ApiError {
    match error.code.as_ref() {
        "AccessDeniedException" | "ResourceNotFoundException" | "ServiceQuotaExceededException" => invalid(error.message),
        _ => error,
    }
}

/// An exception of the answer's stream, as an error of this one.
fn exception(kind: &str, fields: &Json) -> ApiError {
    let mut code = kind.to_owned();
    if let Some(first) = code.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    ApiError::new(code, fields.get("message").and_then(Json::as_str).unwrap_or("the answer broke off"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear_all(dialog: &mut Dialog, events: &[Json]) -> Result<Vec<Heard>, String> {
        events.iter().map(|event| dialog.hear(&json!({ "event": event })).map_err(|error| error.message)).collect()
    }

    fn beginning() -> Vec<Json> {
        vec![
            json!({ "sessionStart": { "inferenceConfiguration": { "maxTokens": 9 } } }),
            json!({ "promptStart": { "promptName": "p", "textOutputConfiguration": { "mediaType": "text/plain" } } }),
        ]
    }

    fn said(role: &str, text: &str) -> Vec<Json> {
        vec![
            json!({ "contentStart": { "promptName": "p", "contentName": text, "type": "TEXT", "role": role, "interactive": role == "USER" } }),
            json!({ "textInput": { "promptName": "p", "contentName": text, "content": text } }),
            json!({ "contentEnd": { "promptName": "p", "contentName": text } }),
        ]
    }

    #[test]
    fn a_users_text_is_a_turn() {
        let mut dialog = Dialog::default();
        let events = [beginning(), said("SYSTEM", "s"), said("ASSISTANT", "a"), said("USER", "u")].concat();
        let heard = hear_all(&mut dialog, &events).unwrap();
        assert_eq!(heard.iter().filter(|heard| **heard == Heard::Turn).count(), 1);
        assert_eq!(heard.last(), Some(&Heard::Turn));
        assert_eq!(dialog.turns, [(Role::Assistant, "a".to_owned()), (Role::User, "u".to_owned())]);
        assert_eq!(dialog.system, ["s"]);
        assert!(dialog.request("m").is_ok());
        let ends = [json!({ "promptEnd": { "promptName": "p" } }), json!({ "sessionEnd": {} })];
        assert_eq!(hear_all(&mut dialog, &ends).unwrap(), [Heard::Nothing, Heard::End]);
    }

    #[test]
    fn what_is_out_of_order_or_no_text_is_refused() {
        let content =
            |kind: &str, role: &str| json!({ "contentStart": { "promptName": "p", "contentName": "c", "type": kind, "role": role } });
        for (events, words) in [
            (vec![json!({ "promptStart": {} })], "sessionStart"),
            (vec![json!({ "sessionStart": {} }), json!({ "sessionStart": {} })], "begun already"),
            (vec![json!({ "sessionStart": { "inferenceConfiguration": { "colour": 1 } } })], "colour"),
            (vec![json!({ "sessionStart": {} }), json!({ "promptStart": { "promptName": "p", "audioOutputConfiguration": {} } })], "audio"),
            ([beginning(), vec![content("AUDIO", "USER")]].concat(), "audio"),
            ([beginning(), vec![json!({ "audioInput": { "promptName": "p" } })]].concat(), "audio"),
            ([beginning(), vec![content("TOOL", "TOOL")]].concat(), "TOOL"),
            ([beginning(), vec![content("TEXT", "USER"), content("TEXT", "USER")]].concat(), "within another"),
            ([beginning(), vec![json!({ "textInput": { "promptName": "p", "contentName": "x", "content": "x" } })]].concat(), "not begun"),
            ([beginning(), vec![json!({ "contentEnd": { "promptName": "q", "contentName": "x" } })]].concat(), "not that of the session"),
            (vec![json!({ "sessionStart": {}, "sessionEnd": {} })], "one event"),
        ] {
            let refused = hear_all(&mut Dialog::default(), &events).unwrap_err();
            assert!(refused.contains(words), "{refused}");
        }
    }
}
