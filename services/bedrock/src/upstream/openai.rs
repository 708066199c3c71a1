//! OpenAI's protocol: the one that our own requests are in, so there is little to translate.

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::chat::{
    ChatAnswer, ChatChoice, ChatChunk, ChatRequest, ChatResponse, ChunkChoice, ChunkDelta, Content, ContentPart, TextCompletion,
};
use super::fault::Failure;

/// Path and body of a request.
pub(super) fn encode(request: &ChatRequest) -> Result<(&'static str, Bytes), Failure> {
    if request.raw {
        return Ok(("/completions", Bytes::from(serde_json::to_vec(&completion(request))?)));
    }
    if !request.has_media() {
        return Ok(("/chat/completions", Bytes::from(serde_json::to_vec(request)?)));
    }
    let mut request = request.clone();
    for message in &mut request.messages {
        if let Some(Content::Parts(parts)) = &mut message.content {
            parts.iter_mut().for_each(inline_text);
        }
    }
    Ok(("/chat/completions", Bytes::from(serde_json::to_vec(&request)?)))
}

/// Few servers of this protocol read files; a document that is text can simply be said.
fn inline_text(part: &mut ContentPart) {
    if let ContentPart::Document(file) = part
        && let Some(text) = super::document_text(file)
    {
        *part = ContentPart::Text(format!("Document {}:\n{text}", file.name));
    }
}

fn completion(request: &ChatRequest) -> Json {
    let prompt = request.messages.first().and_then(|message| message.content.as_ref()).map(Content::text).unwrap_or_default();
    let mut body = request.further.clone();
    for (name, value) in [
        ("model", json!(request.model)),
        ("prompt", json!(prompt)),
        ("stream", json!(request.stream)),
        ("max_tokens", json!(request.max_tokens)),
        ("temperature", json!(request.temperature)),
        ("top_p", json!(request.top_p)),
        ("stop", json!(request.stop)),
        ("stream_options", json!(request.stream_options)),
    ] {
        if !value.is_null() {
            body.insert(name.to_owned(), value);
        }
    }
    Json::Object(body)
}

/// A whole answer.
pub(super) fn decode(request: &ChatRequest, body: &[u8]) -> Result<ChatResponse, Failure> {
    if !request.raw {
        return serde_json::from_slice(body).map_err(|_| Failure::unreadable());
    }
    let completion: TextCompletion = serde_json::from_slice(body).map_err(|_| Failure::unreadable())?;
    let choices = completion.choices.into_iter().map(|choice| ChatChoice {
        message: ChatAnswer { content: Some(choice.text), tool_calls: None },
        finish_reason: choice.finish_reason,
        stop_reason: choice.stop_reason,
    });
    Ok(ChatResponse { choices: choices.collect(), usage: completion.usage })
}

/// A piece of a text completion as a piece of a chat.
pub(super) fn chunk_of_text(piece: TextCompletion) -> ChatChunk {
    let choices = piece.choices.into_iter().map(|choice| ChunkChoice {
        delta: ChunkDelta { content: Some(choice.text), tool_calls: None },
        finish_reason: choice.finish_reason,
        stop_reason: choice.stop_reason,
    });
    ChatChunk { choices: choices.collect(), usage: piece.usage, error: piece.error }
}

#[cfg(test)]
mod tests {
    use super::super::chat::{ChatMessage, Media};
    use super::*;

    fn body(request: &ChatRequest) -> (&'static str, Json) {
        let (path, body) = encode(request).unwrap();
        (path, serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn a_raw_prompt_goes_to_completions() {
        let message = ChatMessage { role: "user".to_owned(), content: Some(Content::Text("Once".to_owned())), ..ChatMessage::default() };
        let request =
            ChatRequest { model: "m".to_owned(), messages: vec![message], raw: true, max_tokens: Some(3), ..ChatRequest::default() };
        assert_eq!(body(&request), ("/completions", json!({ "model": "m", "prompt": "Once", "stream": false, "max_tokens": 3 })));
        let answer = decode(&request, br#"{"choices":[{"text":" upon","finish_reason":"stop"}]}"#).unwrap();
        assert_eq!(answer.choices.first().unwrap().message.content.as_deref(), Some(" upon"));
    }

    #[test]
    fn images_are_data_urls_and_texts_are_said() {
        let media =
            |media_type: &str, base64: &str| Media { media_type: media_type.to_owned(), name: "d".to_owned(), base64: base64.to_owned() };
        let parts = vec![
            ContentPart::Text("see".to_owned()),
            ContentPart::Image(media("image/png", "eA==")),
            ContentPart::Document(media("text/plain", "aGk=")),
            ContentPart::Document(media("application/pdf", "JVBERg==")),
        ];
        let message = ChatMessage { role: "user".to_owned(), content: Some(Content::Parts(parts)), ..ChatMessage::default() };
        let (_, sent) = body(&ChatRequest { messages: vec![message], ..ChatRequest::default() });
        assert_eq!(
            sent.pointer("/messages/0/content").unwrap(),
            &json!([
                { "type": "text", "text": "see" },
                { "type": "image_url", "image_url": { "url": "data:image/png;base64,eA==" } },
                { "type": "text", "text": "Document d:\nhi" },
                { "type": "file", "file": { "filename": "d", "file_data": "data:application/pdf;base64,JVBERg==" } },
            ])
        );
    }
}
