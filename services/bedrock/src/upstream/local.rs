//! Models inside this process: no port that somebody could call past the plane.

use std::sync::Arc;

use plane::ApiError;
use tokio::sync::mpsc;

use super::anthropic::said;
use super::chat::{ChatAnswer, ChatChoice, ChatChunk, ChatRequest, ChatResponse, ChatUsage, ChunkChoice, Content};
use super::chunks::Chunks;
use super::fault::{Failure, model_error, too_many_requests};
use crate::refusal::Refusal;

/// Pieces that wait for a slow reader.
const PIECES: usize = 16;

/// One message for a local model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    pub text: String,
}

/// What a local model is asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocalRequest {
    pub messages: Vec<LocalMessage>,
    /// The one message is a text to go on with, without a template around it.
    pub raw: bool,
    pub max_tokens: Option<usize>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub seed: Option<u64>,
    pub stop: Vec<String>,
}

/// How a local model ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalEnding {
    pub input_tokens: usize,
    pub output_tokens: usize,
    /// It stopped because `max_tokens` or its context was used up.
    pub is_cut: bool,
    /// The stop sequence that was met.
    pub stop: Option<String>,
}

/// Why a local model does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalFailure {
    /// The request cannot be answered by this model.
    #[error("{0}")]
    Request(String),
    /// All its places are taken.
    #[error("the model is busy")]
    Busy,
    #[error("{0}")]
    Failed(String),
}

/// A model that runs in this process. Its calls block, so they run on threads of their own.
pub trait LocalModel: Send + Sync + 'static {
    /// The identifier that callers use; it says what the model is.
    fn id(&self) -> String;
    fn provider(&self) -> String;
    fn count_tokens(&self, request: &LocalRequest) -> Result<usize, LocalFailure>;
    /// Answers, giving each piece to `piece`; `false` from it ends the answer.
    fn generate(&self, request: &LocalRequest, piece: &mut dyn FnMut(&str) -> bool) -> Result<LocalEnding, LocalFailure>;
}

/// A local model with what the gateway adds.
#[derive(Clone)]
pub(crate) struct Local(pub(crate) Arc<dyn LocalModel>);

fn failure(failure: LocalFailure) -> ApiError {
    match failure {
        LocalFailure::Request(message) => Refusal::invalid(message).into(),
        LocalFailure::Busy => too_many_requests(),
        LocalFailure::Failed(cause) => {
            tracing::error!(%cause, "a local model failed");
            model_error(None, "the model failed")
        }
    }
}

fn request(request: &ChatRequest) -> Result<LocalRequest, Failure> {
    let refused = |message: &str| Failure::of_request(Refusal::invalid(message).into());
    if request.tools.as_ref().is_some_and(|tools| !tools.is_empty()) {
        return Err(refused("This model doesn't support tool use."));
    }
    if request.has_media() {
        return Err(refused("This model doesn't support images and documents."));
    }
    if request.response_format.is_some() {
        return Err(refused("This model doesn't support a response format."));
    }
    if let Some(name) = request.further.keys().find(|name| name.as_str() != "seed") {
        return Err(refused(&format!("This model doesn't support the parameter `{name}`.")));
    }
    let message = |message: &super::chat::ChatMessage| LocalMessage {
        // The model knows no results of tools; there can be none without tools.
        role: if message.role == "tool" { "user".to_owned() } else { message.role.clone() },
        text: message.content.as_ref().map(Content::text).unwrap_or_default(),
    };
    Ok(LocalRequest {
        messages: request.messages.iter().map(message).collect(),
        raw: request.raw,
        max_tokens: request.max_tokens.map(|most| usize::try_from(most).unwrap_or_default()),
        temperature: request.temperature,
        top_p: request.top_p,
        seed: request.further.get("seed").and_then(serde_json::Value::as_u64),
        stop: request.stop.clone().unwrap_or_default(),
    })
}

fn usage(ending: &LocalEnding) -> ChatUsage {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    ChatUsage { prompt_tokens: count(ending.input_tokens), completion_tokens: count(ending.output_tokens) }
}

fn finish(ending: &LocalEnding) -> (Option<String>, Option<serde_json::Value>) {
    let reason = if ending.is_cut { "length" } else { "stop" };
    (Some(reason.to_owned()), ending.stop.clone().map(serde_json::Value::String))
}

impl Local {
    pub(crate) async fn chat(&self, asked: &ChatRequest) -> Result<ChatResponse, Failure> {
        let (model, asked) = (Arc::clone(&self.0), request(asked)?);
        let generating = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            let ending = model.generate(&asked, &mut |piece| {
                text.push_str(piece);
                true
            })?;
            Ok::<_, LocalFailure>((text, ending))
        });
        let broken = |error: tokio::task::JoinError| Failure::of_request(ApiError::internal(&error));
        let (text, ending) = generating.await.map_err(broken)?.map_err(|error| Failure::of_request(failure(error)))?;
        let (finish_reason, stop_reason) = finish(&ending);
        let message = ChatAnswer { content: Some(text), tool_calls: None };
        Ok(ChatResponse { choices: vec![ChatChoice { message, finish_reason, stop_reason }], usage: Some(usage(&ending)) })
    }

    pub(crate) async fn stream(&self, asked: &ChatRequest) -> Result<Chunks, Failure> {
        let (model, asked) = (Arc::clone(&self.0), request(asked)?);
        let (sender, receiver) = mpsc::channel(PIECES);
        tokio::task::spawn_blocking(move || {
            let ending = model.generate(&asked, &mut |piece| sender.blocking_send(Ok(said(piece.to_owned()))).is_ok());
            let last = ending.map_err(failure).map(|ending| {
                let (finish_reason, stop_reason) = finish(&ending);
                let choice = ChunkChoice { finish_reason, stop_reason, ..ChunkChoice::default() };
                ChatChunk { choices: vec![choice], usage: Some(usage(&ending)), error: None }
            });
            // The reader may have gone.
            let _ = sender.blocking_send(last);
        });
        Ok(Chunks::local(receiver))
    }

    pub(crate) async fn count_tokens(&self, asked: &ChatRequest) -> Result<i64, Failure> {
        let (model, asked) = (Arc::clone(&self.0), request(asked)?);
        let counting = tokio::task::spawn_blocking(move || model.count_tokens(&asked));
        let broken = |error: tokio::task::JoinError| Failure::of_request(ApiError::internal(&error));
        let count = counting.await.map_err(broken)?.map_err(|error| Failure::of_request(failure(error)))?;
        Ok(i64::try_from(count).unwrap_or(i64::MAX))
    }
}
