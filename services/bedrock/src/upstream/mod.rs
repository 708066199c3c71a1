//! The model servers behind the runtime.
//!
//! Every call is put in the words of the chat protocol ([`chat`]) first; each kind of server has a file that translates from there. The
//! [`gateway`] chooses the server; nothing here knows who calls.

pub(crate) mod anthropic;
pub(crate) mod chat;
pub(crate) mod chunks;
pub(crate) mod converse;
pub(crate) mod fault;
pub(crate) mod gateway;
pub(crate) mod local;
mod openai;
pub(crate) mod responder;
pub(crate) mod server;
pub mod settings;
pub(crate) mod sse;

use chat::Media;

/// A model.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) id: String,
    pub(crate) provider: String,
}

/// Formats of documents: Bedrock's name, media type, and whether it is text.
const DOCUMENT_FORMATS: [(&str, &str, bool); 9] = [
    ("pdf", "application/pdf", false),
    ("csv", "text/csv", true),
    ("doc", "application/msword", false),
    ("docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", false),
    ("xls", "application/vnd.ms-excel", false),
    ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", false),
    ("html", "text/html", true),
    ("txt", "text/plain", true),
    ("md", "text/markdown", true),
];

/// The media type of a document format.
pub(crate) fn document_media_type(format: &str) -> Option<&'static str> {
    DOCUMENT_FORMATS.iter().find(|(name, ..)| *name == format).map(|(_, media_type, _)| *media_type)
}

/// Bedrock's name of a document's media type.
pub(crate) fn document_format(media_type: &str) -> Option<&'static str> {
    DOCUMENT_FORMATS.iter().find(|(_, known, _)| *known == media_type).map(|(name, ..)| *name)
}

/// What a document says, when it is text.
pub(crate) fn document_text(document: &Media) -> Option<String> {
    let is_text = DOCUMENT_FORMATS.iter().any(|(_, known, is_text)| *is_text && *known == document.media_type);
    if !is_text {
        return None;
    }
    String::from_utf8(converse::bytes(document)?).ok()
}

/// No secrets at all, for tests.
#[cfg(test)]
pub(crate) struct NoSecrets;

#[cfg(test)]
#[async_trait::async_trait]
impl server::Secrets for NoSecrets {
    async fn secret(&self, _: &str) -> Result<Option<zeroize::Zeroizing<String>>, plane::ApiError> {
        Ok(None)
    }
}
