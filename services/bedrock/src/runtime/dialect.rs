//! The forms that bodies of `InvokeModel` have, by model family, and which one a body is in.
//!
//! Source: Bedrock User Guide, "Inference request parameters and response fields for foundation models". On AWS the model decides the form.
//! Here any model may stand behind a name, so the body decides; the name helps where forms look alike.

use plane::ApiError;
use serde_json::{Map, Value as Json};

use super::exchange::Answer;
use super::prompt::Prompt;
use super::stream::{Ending, Step};
use super::text_form::TextForm;
use super::{anthropic, nova, openai, text_form};
use crate::refusal::Refusal;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Anthropic,
    OpenAi,
    Nova,
    Text(TextForm),
}

/// Writes the events of a stream in a form of its own.
pub(super) trait Writer: Send {
    fn begin(&mut self) -> Vec<Json>;
    fn step(&mut self, step: Step) -> Vec<Json>;
    fn end(&mut self, ending: &Ending) -> Vec<Json>;
}

/// What an answer is called, and when it was made.
#[derive(Clone, Debug)]
pub(super) struct Heading {
    pub(super) id: String,
    pub(super) model: String,
    /// Seconds since 1970.
    pub(super) created_s: i64,
}

impl Dialect {
    /// The form of a body.
    pub(super) fn of(model_id: &str, fields: &Map<String, Json>) -> Result<Self, Refusal> {
        let has = |name: &str| fields.contains_key(name);
        if has("anthropic_version") {
            return Ok(Self::Anthropic);
        }
        if let Some(Json::Array(messages)) = fields.get("messages") {
            let is_untyped =
                |content: &Json| content.as_array().and_then(|blocks| blocks.first()).is_some_and(|block| block.get("type").is_none());
            let is_nova = has("schemaVersion")
                || has("inferenceConfig")
                || messages.iter().filter_map(|message| message.get("content")).any(is_untyped);
            return Ok(if is_nova { Self::Nova } else { Self::OpenAi });
        }
        TextForm::of(model_id, fields).map(Self::Text).ok_or_else(|| {
            Refusal::invalid("Malformed input request: the body has neither `messages` nor `prompt`, `inputText` or `message`")
        })
    }

    /// What a body asks.
    pub(super) fn prompt(self, fields: Map<String, Json>) -> Result<Prompt, Refusal> {
        match self {
            Self::Anthropic => anthropic::prompt(fields),
            Self::OpenAi => openai::prompt(fields),
            Self::Nova => nova::prompt(fields),
            Self::Text(form) => text_form::prompt(form, fields),
        }
    }

    /// An answer as a body.
    pub(super) fn answer(self, answer: Answer, heading: &Heading) -> Result<Json, ApiError> {
        match self {
            Self::Anthropic => anthropic::answer(answer, &heading.id, &heading.model),
            Self::OpenAi => Ok(openai::answer(answer, heading)),
            Self::Nova => nova::answer(answer),
            Self::Text(form) => Ok(text_form::answer(form, answer, heading)),
        }
    }

    pub(super) fn writer(self, heading: Heading) -> Box<dyn Writer> {
        match self {
            Self::Anthropic => Box::new(anthropic::Events::new(heading.id, heading.model)),
            Self::OpenAi => Box::new(openai::Events::new(heading)),
            Self::Nova => Box::new(nova::Events::default()),
            Self::Text(form) => Box::new(text_form::Events::new(form, heading)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bodies_tell_their_form() {
        let of = |model: &str, body: Json| Dialect::of(model, body.as_object().unwrap()).ok();
        let messages = json!([{ "role": "user", "content": "x" }]);
        assert_eq!(of("m", json!({ "anthropic_version": "v", "messages": messages })), Some(Dialect::Anthropic));
        assert_eq!(of("m", json!({ "messages": messages })), Some(Dialect::OpenAi));
        assert_eq!(of("m", json!({ "messages": [{ "role": "user", "content": [{ "text": "x" }] }] })), Some(Dialect::Nova));
        assert_eq!(of("m", json!({ "prompt": "x" })), Some(Dialect::Text(TextForm::Completions)));
        assert_eq!(of("meta.llama3", json!({ "prompt": "x" })), Some(Dialect::Text(TextForm::Llama)));
        assert_eq!(of("mistral.7b", json!({ "prompt": "x" })), Some(Dialect::Text(TextForm::Mistral)));
        assert_eq!(of("cohere.command", json!({ "prompt": "x" })), Some(Dialect::Text(TextForm::CohereText)));
        assert_eq!(of("m", json!({ "message": "x" })), Some(Dialect::Text(TextForm::CohereChat)));
        assert_eq!(of("m", json!({ "inputText": "x" })), Some(Dialect::Text(TextForm::Titan)));
        assert_eq!(of("m", json!({})), None);
    }
}
