//! Vectors of texts, by `InvokeModel`: bodies of Titan, Cohere and OpenAI.
//!
//! The guardrail of the call looks at the texts as at a prompt; a blocked text fails the call, because a vector has no place for a message.

use plane::{ApiError, Call};
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::exchange::Tokens;
use super::model_call::{ModelCall, Opening};
use super::prompt::{Mark, Part, Prompt, Turn};
use super::screen::Screen;
use crate::refusal::Refusal;
use crate::upstream::chat::{EmbeddingRequest, EmbeddingResponse};

/// Most texts of a call, and the longest. Source: Bedrock User Guide, "Cohere Embed models".
const TEXTS_MAX: usize = 2_048;

/// Whose form it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Titan,
    Cohere,
    OpenAi,
}

/// A body that asks for vectors.
#[derive(Debug)]
pub(super) struct Embedding {
    form: Form,
    texts: Vec<String>,
    dimensions: Option<i64>,
    normalize: bool,
    /// OpenAI's clients ask for base64 of little-endian floats.
    is_base64: bool,
    logged: Json,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TitanBody {
    input_text: String,
    dimensions: Option<i64>,
    normalize: Option<bool>,
    embedding_types: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CohereBody {
    texts: Vec<String>,
    #[serde(rename = "input_type")]
    _input_type: String,
    #[serde(rename = "truncate")]
    truncate: Option<String>,
    embedding_types: Option<Vec<String>>,
    output_dimension: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenAiBody {
    input: Json,
    dimensions: Option<i64>,
    encoding_format: Option<String>,
    #[serde(rename = "model")]
    _model: Option<String>,
    #[serde(rename = "user")]
    _user: Option<String>,
}

impl Embedding {
    /// The body, when it asks for vectors.
    pub(super) fn parse(model_id: &str, gives_vectors: bool, fields: &Map<String, Json>) -> Option<Result<Self, Refusal>> {
        let is_titan = fields.contains_key("inputText")
            && !fields.contains_key("textGenerationConfig")
            && (gives_vectors || model_id.contains("embed") || fields.contains_key("dimensions") || fields.contains_key("normalize"));
        if is_titan {
            return Some(Self::titan(fields));
        }
        if fields.contains_key("texts") {
            return Some(Self::cohere(fields));
        }
        (fields.contains_key("input") && !fields.contains_key("messages")).then(|| Self::openai(fields))
    }

    fn new(form: Form, texts: Vec<String>, fields: &Map<String, Json>) -> Result<Self, Refusal> {
        if texts.is_empty() || texts.len() > TEXTS_MAX || texts.iter().any(String::is_empty) {
            return Err(Refusal::invalid(format!("There must be 1 to {TEXTS_MAX} texts, none of them empty.")));
        }
        Ok(Self { form, texts, dimensions: None, normalize: false, is_base64: false, logged: Json::Object(fields.clone()) })
    }

    fn titan(fields: &Map<String, Json>) -> Result<Self, Refusal> {
        let body: TitanBody = body(fields)?;
        if body.embedding_types.is_some_and(|types| types != ["float"]) {
            return Err(Refusal::unsupported("embeddings of a type other than `float`"));
        }
        let made = Self::new(Form::Titan, vec![body.input_text], fields)?;
        Ok(Self { dimensions: body.dimensions, normalize: body.normalize.unwrap_or(true), ..made })
    }

    fn cohere(fields: &Map<String, Json>) -> Result<Self, Refusal> {
        let body: CohereBody = body(fields)?;
        if body.embedding_types.is_some_and(|types| types != ["float"]) {
            return Err(Refusal::unsupported("embeddings of a type other than `float`"));
        }
        if body.truncate.is_some_and(|truncate| truncate != "NONE") {
            return Err(Refusal::unsupported("truncation of texts"));
        }
        Ok(Self { dimensions: body.output_dimension, ..Self::new(Form::Cohere, body.texts, fields)? })
    }

    fn openai(fields: &Map<String, Json>) -> Result<Self, Refusal> {
        let body: OpenAiBody = body(fields)?;
        let texts = match body.input {
            Json::String(text) => vec![text],
            list => {
                serde_json::from_value(list).map_err(|_| Refusal::unsupported("an input that is neither a text nor a list of texts"))?
            }
        };
        let is_base64 = match body.encoding_format.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(other) => return Err(Refusal::invalid(format!("`{other}` is not an encoding format."))),
        };
        Ok(Self { dimensions: body.dimensions, is_base64, ..Self::new(Form::OpenAi, texts, fields)? })
    }

    /// Asks for the vectors and writes the body.
    pub(super) async fn invoke(
        self,
        cx: &mut Call,
        model_id: &str,
        request_metadata: Option<Json>,
        screen: Option<Screen>,
        id: &str,
    ) -> Result<Json, ApiError> {
        let characters: usize = self.texts.iter().map(|text| text.chars().count()).sum();
        let estimate = (u64::try_from(characters.div_ceil(4)).unwrap_or(u64::MAX), 0);
        let opening = Opening { model_id: model_id.to_owned(), request_metadata, estimate, is_embedding: true };
        let logged = self.logged.clone();
        let call = ModelCall::open(cx, opening, |_| logged).await?;
        let answered = match screened(&self.texts, screen.as_ref()) {
            Ok(input) => {
                let request = EmbeddingRequest { model: call.resolved.model.clone(), input, dimensions: self.dimensions };
                call.embed(&request).await
            }
            Err(error) => Err(error),
        };
        match answered {
            Ok(answer) => {
                let tokens = answer.usage.map_or_else(|| Tokens::estimated(characters, 0), Tokens::counted);
                let body = self.body(answer, tokens, id, &call.resolved.model);
                let logged = body.clone();
                call.end(Ok(tokens), || logged);
                Ok(body)
            }
            Err(error) => {
                call.end(Err(&error), || Json::Null);
                Err(error)
            }
        }
    }

    fn body(&self, mut answer: EmbeddingResponse, tokens: Tokens, id: &str, model: &str) -> Json {
        answer.data.sort_by_key(|item| item.index);
        let vectors: Vec<Vec<f32>> =
            answer.data.into_iter().map(|item| if self.normalize { normalized(item.embedding) } else { item.embedding }).collect();
        match self.form {
            Form::Titan => {
                let vector = vectors.into_iter().next().unwrap_or_default();
                json!({ "embedding": vector, "embeddingsByType": { "float": vector }, "inputTextTokenCount": tokens.input })
            }
            Form::Cohere => json!({ "id": id, "response_type": "embeddings_floats", "embeddings": vectors, "texts": self.texts }),
            Form::OpenAi => {
                let item = |(index, vector): (usize, Vec<f32>)| {
                    let embedding = if self.is_base64 { json!(base64_of(&vector)) } else { json!(vector) };
                    json!({ "object": "embedding", "index": index, "embedding": embedding })
                };
                json!({
                    "object": "list", "model": model, "data": vectors.into_iter().enumerate().map(item).collect::<Vec<_>>(),
                    "usage": { "prompt_tokens": tokens.input, "total_tokens": tokens.input },
                })
            }
        }
    }
}

fn body<T: serde::de::DeserializeOwned>(fields: &Map<String, Json>) -> Result<T, Refusal> {
    serde_json::from_value(Json::Object(fields.clone())).map_err(|error| Refusal::invalid(format!("Malformed input request: {error}")))
}

/// The texts as the guardrail lets them through.
fn screened(texts: &[String], screen: Option<&Screen>) -> Result<Vec<String>, ApiError> {
    let Some(screen) = screen else { return Ok(texts.to_vec()) };
    let parts = texts.iter().map(|text| Part { text: text.clone(), mark: Mark::Unmarked }).collect();
    let mut prompt = Prompt { turns: vec![Turn { role: "user", parts, ..Turn::default() }], ..Prompt::default() };
    let input = prompt.screen(screen)?;
    if input.assessment.is_blocked {
        let message = input.assessment.outputs.first().cloned().unwrap_or_default();
        return Err(Refusal::invalid(format!("The guardrail blocked the text: {message}")).into());
    }
    Ok(prompt.turns.into_iter().flat_map(|turn| turn.parts).map(|part| part.text).collect())
}

fn normalized(vector: Vec<f32>) -> Vec<f32> {
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length > 0.0 { vector.into_iter().map(|number| number / length).collect() } else { vector }
}

fn base64_of(vector: &[f32]) -> String {
    use base64::Engine as _;
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: Json) -> Option<Result<Embedding, Refusal>> {
        Embedding::parse("amazon.titan-embed-text-v2:0", false, body.as_object().unwrap())
    }

    #[test]
    fn bodies_that_ask_for_vectors_are_known() {
        let form = |body| parse(body).and_then(Result::ok).map(|embedding| embedding.form);
        assert_eq!(form(json!({ "inputText": "x" })), Some(Form::Titan));
        assert_eq!(form(json!({ "texts": ["x"], "input_type": "search_query" })), Some(Form::Cohere));
        assert_eq!(form(json!({ "input": ["x"], "encoding_format": "base64" })), Some(Form::OpenAi));
        assert!(parse(json!({ "inputText": "x", "textGenerationConfig": {} })).is_none());
        assert!(parse(json!({ "texts": [], "input_type": "x" })).unwrap().is_err());
        assert!(parse(json!({ "input": [1, 2] })).unwrap().is_err());
    }

    #[test]
    fn floats_travel_as_little_endian_base64() {
        assert_eq!(base64_of(&[1.0]), "AACAPw==");
        assert_eq!(normalized(vec![3.0, 4.0]), [0.6, 0.8]);
    }
}
