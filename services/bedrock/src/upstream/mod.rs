//! The model server behind the runtime.

pub(crate) mod chat;
mod responder;
pub(crate) mod sse;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use outbound::{AddressRule, AllowEntry, Client, Limits, OutboundError, ResponseBody};
use plane::ApiError;
use serde_json::Value as Json;
use tokio::sync::OnceCell;
use wire::Value;

use chat::{ChatRequest, ChatResponse, ModelList};

/// How long the upstream's list of models is believed.
const MODELS_LIFETIME: Duration = Duration::from_secs(30);
/// Most of an upstream's error text that is passed on, characters.
const ERROR_LENGTH: usize = 500;

/// Where model calls go.
#[derive(Clone, Debug)]
pub enum Upstream {
    /// A small deterministic responder inside this process, which is no model and says so.
    Embedded,
    /// A server that speaks OpenAI's chat protocol.
    OpenAiCompatible {
        /// Up to before `/chat/completions`, for example `http://127.0.0.1:11434/v1`. Its host may be internal: who configures it means it.
        base_url: String,
        /// Further internal hosts, addresses and networks that may be reached.
        allow_internal: Vec<String>,
    },
}

/// A model of the upstream.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) provider: String,
}

/// The upstream, ready to be called.
pub(crate) struct Gateway {
    client: Client,
    base: Base,
    models: Mutex<Option<(Instant, Arc<Vec<Model>>)>>,
}

enum Base {
    Configured(String),
    /// Started with the first call.
    Embedded(OnceCell<String>),
}

impl Gateway {
    pub(crate) fn new(upstream: Upstream) -> Self {
        let (base, names) = match upstream {
            Upstream::Embedded => (Base::Embedded(OnceCell::new()), vec!["127.0.0.1".to_owned()]),
            Upstream::OpenAiCompatible { base_url, mut allow_internal } => {
                allow_internal.extend(base_url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)));
                (Base::Configured(base_url.trim_end_matches('/').to_owned()), allow_internal)
            }
        };
        let entries = names.iter().filter_map(|name| match name.parse::<AllowEntry>() {
            Ok(entry) => Some(entry),
            Err(error) => {
                // Left out, so that less is reached and not more.
                tracing::error!(%error, "an entry of the list of allowed internal hosts is not used");
                None
            }
        });
        let client = Client::new(AddressRule::new(entries.collect()), Limits::default());
        Self { client, base, models: Mutex::new(None) }
    }

    async fn base(&self) -> Result<&str, ApiError> {
        match &self.base {
            Base::Configured(url) => Ok(url),
            Base::Embedded(cell) => {
                let started = cell.get_or_try_init(responder::start).await;
                Ok(started.map_err(|error| unavailable(&format!("the embedded responder cannot start: {error}")))?)
            }
        }
    }

    async fn send(&self, method: Method, path: &str, body: Bytes, accept: &str) -> Result<Response<ResponseBody>, ApiError> {
        let url = format!("{}{path}", self.base().await?);
        let request = Request::builder().method(method).uri(url).header(CONTENT_TYPE, "application/json").header(ACCEPT, accept);
        let request = request.body(body).map_err(|error| unavailable(&error.to_string()))?;
        self.client.send(request).await.map_err(|error| outbound_error(&error))
    }

    /// The models that the upstream offers, as of at most half a minute ago.
    pub(crate) async fn models(&self) -> Result<Arc<Vec<Model>>, ApiError> {
        if let Some((at, models)) = self.models.lock().unwrap_or_else(PoisonError::into_inner).as_ref()
            && at.elapsed() < MODELS_LIFETIME
        {
            return Ok(Arc::clone(models));
        }
        // Asked without the lock: callers must not wait for each other when the upstream does not answer.
        let answer = self.send(Method::GET, "/models", Bytes::new(), "application/json").await?;
        if !answer.status().is_success() {
            return Err(unavailable(&format!("it answers {} when asked for its models", answer.status())));
        }
        let body = answer.into_body().collect().await.map_err(|error| outbound_error(&error))?;
        let list: ModelList = serde_json::from_slice(&body).map_err(|_| unavailable("its list of models cannot be read"))?;
        let provider = |owner: Option<String>| owner.filter(|owner| !owner.is_empty()).unwrap_or_else(|| "upstream".to_owned());
        let models = list.data.into_iter().map(|model| Model { id: model.id, provider: provider(model.owned_by) }).collect();
        let models = Arc::new(models);
        *self.models.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&models)));
        Ok(models)
    }

    /// Whether the upstream offers a model of this name.
    pub(crate) async fn offers(&self, name: &str) -> Result<bool, ApiError> {
        Ok(self.models().await?.iter().any(|model| model.id == name))
    }

    /// A whole answer.
    pub(crate) async fn chat(&self, request: &ChatRequest) -> Result<ChatResponse, ApiError> {
        let body = Bytes::from(serde_json::to_vec(request)?);
        let answer = succeeded(self.send(Method::POST, "/chat/completions", body, "application/json").await?).await?;
        let body = answer.into_body().collect().await.map_err(|error| outbound_error(&error))?;
        serde_json::from_slice(&body).map_err(|_| model_error(None, "the model server's answer cannot be read"))
    }

    /// The head of a streamed answer; its body is a stream of events.
    pub(crate) async fn chat_stream(&self, request: &ChatRequest) -> Result<ResponseBody, ApiError> {
        let body = Bytes::from(serde_json::to_vec(request)?);
        let answer = succeeded(self.send(Method::POST, "/chat/completions", body, "text/event-stream").await?).await?;
        Ok(answer.into_body())
    }
}

async fn succeeded(answer: Response<ResponseBody>) -> Result<Response<ResponseBody>, ApiError> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let body = answer.into_body().collect().await.unwrap_or_default();
    Err(status_error(status, &error_text(&body)))
}

/// The message in an error body, whichever of the usual forms it has.
fn error_text(body: &[u8]) -> String {
    let json: Json = serde_json::from_slice(body).unwrap_or_default();
    let message = ["/error/message", "/message", "/error", "/detail"].into_iter().find_map(|path| json.pointer(path)?.as_str());
    message.unwrap_or_default().chars().take(ERROR_LENGTH).collect()
}

/// An error status of the upstream in Bedrock's terms.
fn status_error(status: StatusCode, message: &str) -> ApiError {
    match status.as_u16() {
        408 | 504 => timed_out(),
        429 => ApiError::new("ThrottlingException", "Too many requests, please wait before trying again."),
        503 => unavailable("it answers 503"),
        400 | 404 | 413 | 422 => ApiError::new("ValidationException", format!("The model returned the following errors: {message}")),
        other => model_error(Some(other), "the model server failed"),
    }
}

/// A call that did not come through, in Bedrock's terms.
pub(crate) fn outbound_error(error: &OutboundError) -> ApiError {
    tracing::warn!(%error, "the model server did not answer");
    match error {
        OutboundError::HeadTimeout(_) | OutboundError::BodyTimeout(_) => timed_out(),
        OutboundError::TooLarge(_) | OutboundError::Broken(_) => model_error(None, "the model server's answer broke off"),
        OutboundError::ConnectTimeout(_)
        | OutboundError::Url(_)
        | OutboundError::Internal { .. }
        | OutboundError::Resolve { .. }
        | OutboundError::Connect { .. }
        | OutboundError::Tls { .. } => unavailable("it cannot be reached"),
    }
}

fn timed_out() -> ApiError {
    ApiError::new("ModelTimeoutException", "Model has timed out in processing the request. Try your request again.").with_status(408)
}

fn unavailable(cause: &str) -> ApiError {
    tracing::warn!(%cause, "the model server is not available");
    ApiError::new("ServiceUnavailableException", format!("The model server is not available: {cause}")).with_status(503)
}

pub(crate) fn model_error(original_status: Option<u16>, message: &str) -> ApiError {
    let error = ApiError::new("ModelErrorException", message).with_status(424);
    match original_status {
        Some(status) => error.with_member("originalStatusCode", Value::Int(status.into())),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::chat::ChatMessage;
    use super::*;

    #[test]
    fn failures_of_the_upstream_have_bedrock_codes() {
        let code = |status: u16| status_error(StatusCode::from_u16(status).unwrap(), "text").code.into_owned();
        assert_eq!(code(429), "ThrottlingException");
        assert_eq!(code(500), "ModelErrorException");
        assert_eq!(code(503), "ServiceUnavailableException");
        assert_eq!(code(504), "ModelTimeoutException");
        assert_eq!(code(400), "ValidationException");
        let refused = OutboundError::Connect { host: "h".to_owned(), cause: "c".to_owned() };
        assert_eq!(outbound_error(&refused).code, "ServiceUnavailableException");
        assert_eq!(outbound_error(&OutboundError::HeadTimeout(1)).code, "ModelTimeoutException");
        assert_eq!(outbound_error(&OutboundError::HeadTimeout(1)).status, Some(408));
        assert_eq!(error_text(br#"{"error":{"message":"too long"}}"#), "too long");
        assert_eq!(error_text(br#"{"error":"no such model"}"#), "no such model");
        assert_eq!(error_text(b"<html>"), "");
    }

    #[tokio::test]
    async fn the_embedded_responder_lists_and_answers() {
        let gateway = Gateway::new(Upstream::Embedded);
        let models = gateway.models().await.unwrap();
        let [model] = models.as_slice() else { panic!("one model is expected") };
        assert_eq!(model.id, responder::MODEL);
        assert!(model.provider.contains("deterministic"));
        let message =
            ChatMessage { role: "user".to_owned(), content: Some("Who is the billing contact?".to_owned()), ..ChatMessage::default() };
        let request = ChatRequest { model: model.id.clone(), messages: vec![message], ..ChatRequest::default() };
        let answer = gateway.chat(&request).await.unwrap();
        let text = answer.choices.first().unwrap().message.content.clone().unwrap();
        assert!(text.contains("jane.doe@example.com") && text.contains("4111 1111 1111 1111"), "{text}");
        let streamed = gateway.chat_stream(&ChatRequest { stream: true, ..request }).await.unwrap().collect().await.unwrap();
        let events = sse::EventParser::default().push(&streamed).unwrap();
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
        let pieces = events.iter().filter_map(|event| serde_json::from_str::<chat::ChatChunk>(event).ok());
        let joined: String = pieces.filter_map(|chunk| chunk.choices.into_iter().next()?.delta.content).collect();
        assert_eq!(joined, text);
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unavailable() {
        let upstream = Upstream::OpenAiCompatible { base_url: "http://127.0.0.1:1/v1".to_owned(), allow_internal: Vec::new() };
        let error = Gateway::new(upstream).models().await.unwrap_err();
        assert_eq!((error.code.as_ref(), error.status), ("ServiceUnavailableException", Some(503)));
    }
}
