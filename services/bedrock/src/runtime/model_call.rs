//! One model call, from its admission to its last token: what every operation that asks a model has in common.

use std::sync::Arc;

use plane::{ApiError, Call, Plane};
use serde_json::{Value as Json, json};

use super::State;
use super::admission::{Admission, estimate};
use super::exchange::{Answer, Tokens, exchange};
use super::prompt::Prompt;
use super::screen::Screen;
use crate::invocation_log::entry::{Draft, Facts};
use crate::model::{self, Resolved};
use crate::refusal::Refusal;
use crate::upstream::chat::ChatRequest;
use crate::upstream::chunks::Chunks;

/// A call that was let in.
pub(crate) struct ModelCall {
    pub(crate) state: Arc<State>,
    pub(crate) resolved: Resolved,
    plane: Arc<Plane>,
    admission: Admission,
    log: Option<Draft>,
    is_embedding: bool,
}

/// What is known of a call before its prompt is looked at.
pub(crate) struct Opening {
    pub(crate) model_id: String,
    pub(crate) request_metadata: Option<Json>,
    /// Tokens in and out, by estimate.
    pub(crate) estimate: (u64, u64),
    pub(crate) is_embedding: bool,
}

impl ModelCall {
    /// Resolves the model, admits the call and begins its log entry. `input` makes the logged body, with images or without.
    pub(crate) async fn open(cx: &mut Call, opening: Opening, input: impl FnOnce(bool) -> Json) -> Result<Self, ApiError> {
        let state = super::state(cx)?;
        let resolved = model::resolve(cx, &state, &opening.model_id).await?;
        let admission = Admission::of_call(cx, &state, &resolved, opening.estimate).await?;
        let Opening { model_id, request_metadata, is_embedding, .. } = opening;
        let facts = Facts { model_id: &model_id, request_metadata, is_embedding };
        let log = Draft::of_call(cx, facts, input).await?;
        Ok(Self { state, resolved, plane: Arc::clone(&cx.plane), admission, log, is_embedding })
    }

    /// As [`ModelCall::open`], for a prompt.
    pub(crate) async fn of_prompt(
        cx: &mut Call,
        model_id: &str,
        request_metadata: Option<Json>,
        prompt: &mut Prompt,
        input: impl FnOnce(bool) -> Json,
    ) -> Result<Self, ApiError> {
        // The texts are not in the request yet; their length is what matters here.
        let characters: usize = prompt.turns.iter().flat_map(|turn| &turn.parts).map(|part| part.text.chars().count()).sum();
        let (_, output) = estimate(&prompt.request);
        let input_tokens = u64::try_from(characters.div_ceil(4)).unwrap_or(u64::MAX);
        let opening = Opening { model_id: model_id.to_owned(), request_metadata, estimate: (input_tokens, output), is_embedding: false };
        let call = Self::open(cx, opening, input).await?;
        if let Some(log) = &call.log {
            prompt.replaced = log.replaced.clone();
        }
        prompt.request.model.clone_from(&call.resolved.model);
        Ok(call)
    }

    pub(crate) fn is_logged(&self) -> bool {
        self.log.is_some()
    }

    /// Asks for a whole answer.
    pub(crate) async fn exchange(&self, prompt: Prompt, screen: Option<&Screen>) -> Result<Answer, ApiError> {
        exchange(&self.state.gateway, self.plane.as_ref(), &self.resolved.route, prompt, screen).await
    }

    /// Asks for a streamed answer.
    pub(crate) async fn stream(&self, request: &ChatRequest) -> Result<Chunks, ApiError> {
        let asked = self.state.gateway.stream(self.plane.as_ref(), &self.resolved.route, request).await;
        asked.map(|(chunks, _)| chunks)
    }

    /// Asks for vectors.
    pub(crate) async fn embed(
        &self,
        request: &crate::upstream::chat::EmbeddingRequest,
    ) -> Result<crate::upstream::chat::EmbeddingResponse, ApiError> {
        let asked = self.state.gateway.embed(self.plane.as_ref(), &self.resolved.route, request).await;
        asked.map(|(answer, _)| answer)
    }

    /// Ends a call that failed in the middle, with what it had used.
    pub(crate) fn end_failed(self, tokens: Tokens, error: &ApiError) {
        if let Some(log) = self.log {
            log.end(&self.state.log, Err(error), self.is_embedding);
        }
        self.admission.settle(tokens);
    }

    /// Ends the call. `output` is made for the log only.
    pub(crate) fn end(self, outcome: Result<Tokens, &ApiError>, output: impl FnOnce() -> Json) {
        let tokens = outcome.as_ref().copied().unwrap_or_default();
        if let Some(log) = self.log {
            log.end(&self.state.log, outcome.map(|tokens| (tokens, output())), self.is_embedding);
        }
        self.admission.settle(tokens);
    }
}

/// `requestMetadata` as a header: a JSON object of texts.
pub(crate) fn metadata_of_header(text: Option<&str>) -> Result<Option<Json>, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    let invalid = || Refusal::invalid("The request metadata must be a JSON object of 1 to 16 texts.");
    let metadata: Json = serde_json::from_str(text).map_err(|_| invalid())?;
    let is_sound = metadata.as_object().is_some_and(|members| {
        (1..=16).contains(&members.len())
            && members.iter().all(|(name, value)| name.len() <= 256 && value.as_str().is_some_and(|text| text.len() <= 256))
    });
    if is_sound { Ok(Some(metadata)) } else { Err(invalid()) }
}

/// A value as JSON, for the log and for bodies that show Bedrock's own structures. `None` for bytes: they are left out.
pub(crate) fn plain(value: wire::Value, with_bytes: bool) -> Json {
    use base64::Engine as _;
    match value {
        wire::Value::Bytes(bytes) if with_bytes => json!(base64::engine::general_purpose::STANDARD.encode(bytes)),
        wire::Value::Null | wire::Value::Bytes(_) => Json::Null,
        wire::Value::Time(time) => json!(plane::clock::iso8601_s(time.0)),
        wire::Value::Bool(flag) => json!(flag),
        wire::Value::Int(number) => json!(number),
        wire::Value::Float(number) => json!(number),
        wire::Value::Str(text) => json!(text),
        wire::Value::Document(document) => document,
        wire::Value::List(items) => items.into_iter().map(|item| plain(item, with_bytes)).collect(),
        wire::Value::Map(entries) => Json::Object(entries.into_iter().map(|(key, value)| (key, plain(value, with_bytes))).collect()),
        wire::Value::Struct(fields) => Json::Object(
            fields
                .iter()
                .filter(|(_, value)| !matches!(value, wire::Value::Null))
                .map(|(name, value)| (name.to_owned(), plain(value.clone(), with_bytes)))
                .collect(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_a_small_object_of_texts() {
        assert_eq!(metadata_of_header(None), Ok(None));
        assert_eq!(metadata_of_header(Some(r#"{"team":"a"}"#)), Ok(Some(json!({ "team": "a" }))));
        for bad in ["{}", "[]", "x", r#"{"a":1}"#] {
            assert!(metadata_of_header(Some(bad)).is_err(), "{bad}");
        }
    }
}
