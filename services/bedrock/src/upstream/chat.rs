//! The chat protocol of OpenAI-compatible servers, as far as Bedrock's calls need it.
//!
//! Source: OpenAI API reference, "Chat Completions"; vLLM, Ollama and llama.cpp serve the same.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChatRequest {
    pub(crate) model: String,
    #[serde(skip_deserializing)]
    pub(crate) messages: Vec<ChatMessage>,
    /// A text to go on with, as it stands: no chat template is laid around it. Then there is exactly one message.
    #[serde(skip)]
    pub(crate) raw: bool,
    #[serde(default)]
    pub(crate) stream: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stream_options: Option<StreamOptions>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_tokens: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) temperature: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) top_p: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stop: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tools: Option<Vec<ChatTool>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tool_choice: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) response_format: Option<Json>,
    /// Parameters of the model's own.
    #[serde(flatten)]
    pub(crate) further: Map<String, Json>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StreamOptions {
    pub(crate) include_usage: bool,
}

impl ChatRequest {
    /// Characters of all texts, for upstreams that do not count tokens.
    pub(crate) fn characters(&self) -> usize {
        self.messages.iter().filter_map(|message| message.content.as_ref()).map(Content::characters).sum()
    }

    /// Whether a message carries an image or a document.
    pub(crate) fn has_media(&self) -> bool {
        let is_media = |part: &ContentPart| !matches!(part, ContentPart::Text(_));
        self.messages.iter().any(|message| matches!(&message.content, Some(Content::Parts(parts)) if parts.iter().any(is_media)))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct ChatMessage {
    pub(crate) role: String,
    pub(crate) content: Option<Content>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) tool_calls: Vec<ChatToolCall>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tool_call_id: Option<String>,
}

/// What a message says: a text, or parts when it carries more than text.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Content {
    Text(String),
    Parts(Vec<ContentPart>),
}

impl Content {
    pub(crate) fn characters(&self) -> usize {
        match self {
            Self::Text(text) => text.chars().count(),
            Self::Parts(parts) => {
                let texts = parts.iter().filter_map(|part| if let ContentPart::Text(text) = part { Some(text) } else { None });
                texts.map(|text| text.chars().count()).sum()
            }
        }
    }

    /// The texts alone, a line each.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Parts(parts) => {
                let texts = parts.iter().filter_map(|part| if let ContentPart::Text(text) = part { Some(text.as_str()) } else { None });
                texts.collect::<Vec<_>>().join("\n")
            }
        }
    }
}

/// One part of a message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ContentPart {
    Text(String),
    Image(Media),
    Document(Media),
}

/// An image or a document, in base64 as it travels.
#[derive(Clone, PartialEq)]
#[expect(clippy::struct_field_names, reason = "a media type is called so everywhere")]
pub(crate) struct Media {
    /// `image/png`, `application/pdf`.
    pub(crate) media_type: String,
    /// Name of a document.
    pub(crate) name: String,
    pub(crate) base64: String,
}

impl std::fmt::Debug for Media {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Media({}, {} bytes)", self.media_type, self.base64.len())
    }
}

impl Media {
    /// As a `data:` URL.
    pub(crate) fn url(&self) -> String {
        format!("data:{};base64,{}", self.media_type, self.base64)
    }
}

impl Serialize for ContentPart {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let json = match self {
            Self::Text(text) => serde_json::json!({ "type": "text", "text": text }),
            Self::Image(image) => serde_json::json!({ "type": "image_url", "image_url": { "url": image.url() } }),
            Self::Document(file) => {
                serde_json::json!({ "type": "file", "file": { "filename": file.name, "file_data": file.url() } })
            }
        };
        json.serialize(serializer)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChatTool {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) function: ChatFunction,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChatFunction {
    pub(crate) name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parameters: Option<Json>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) strict: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChatToolCall {
    pub(crate) id: String,
    /// Some servers leave it out.
    #[serde(rename = "type", default = "function")]
    pub(crate) kind: String,
    pub(crate) function: CalledFunction,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CalledFunction {
    #[serde(default)]
    pub(crate) name: String,
    /// JSON as a text. Some servers give the JSON itself.
    #[serde(default, deserialize_with = "text_of_json")]
    pub(crate) arguments: String,
}

fn function() -> String {
    "function".to_owned()
}

fn text_of_json<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(match Json::deserialize(deserializer)? {
        Json::String(text) => text,
        Json::Null => String::new(),
        other => other.to_string(),
    })
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChatResponse {
    #[serde(default)]
    pub(crate) choices: Vec<ChatChoice>,
    #[serde(default)]
    pub(crate) usage: Option<ChatUsage>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChatChoice {
    #[serde(default)]
    pub(crate) message: ChatAnswer,
    #[serde(default)]
    pub(crate) finish_reason: Option<String>,
    /// vLLM names the stop sequence that was met.
    #[serde(default)]
    pub(crate) stop_reason: Option<Json>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChatAnswer {
    #[serde(default)]
    pub(crate) content: Option<String>,
    #[serde(default)]
    pub(crate) tool_calls: Option<Vec<ChatToolCall>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ChatUsage {
    #[serde(default)]
    pub(crate) prompt_tokens: i64,
    #[serde(default)]
    pub(crate) completion_tokens: i64,
}

/// One event of a streamed answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChatChunk {
    #[serde(default)]
    pub(crate) choices: Vec<ChunkChoice>,
    #[serde(default)]
    pub(crate) usage: Option<ChatUsage>,
    /// Some servers tell of a failure inside the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Json>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChunkChoice {
    #[serde(default)]
    pub(crate) delta: ChunkDelta,
    #[serde(default)]
    pub(crate) finish_reason: Option<String>,
    #[serde(default)]
    pub(crate) stop_reason: Option<Json>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ChunkDelta {
    #[serde(default)]
    pub(crate) content: Option<String>,
    #[serde(default)]
    pub(crate) tool_calls: Option<Vec<ToolCallDelta>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ToolCallDelta {
    #[serde(default)]
    pub(crate) index: i32,
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) function: CalledFunctionDelta,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CalledFunctionDelta {
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) arguments: Option<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ModelList {
    #[serde(default)]
    pub(crate) data: Vec<ListedModel>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ListedModel {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) owned_by: Option<String>,
}

/// Texts to be embedded.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct EmbeddingRequest {
    pub(crate) model: String,
    pub(crate) input: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dimensions: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct EmbeddingResponse {
    #[serde(default)]
    pub(crate) data: Vec<EmbeddingItem>,
    #[serde(default)]
    pub(crate) usage: Option<ChatUsage>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct EmbeddingItem {
    #[serde(default)]
    pub(crate) embedding: Vec<f32>,
    /// Which of the texts it is of; where it is missing the order tells.
    #[serde(default)]
    pub(crate) index: usize,
}

/// The answer of `/completions`, whole or in pieces.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct TextCompletion {
    #[serde(default)]
    pub(crate) choices: Vec<TextChoice>,
    #[serde(default)]
    pub(crate) usage: Option<ChatUsage>,
    #[serde(default)]
    pub(crate) error: Option<Json>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct TextChoice {
    #[serde(default)]
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) finish_reason: Option<String>,
    #[serde(default)]
    pub(crate) stop_reason: Option<Json>,
}
