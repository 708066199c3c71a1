//! What is asked, whichever operation asks it: turns of texts, each marked for the guardrail.

use guard::Qualifier;
use plane::ApiError;

use super::screen::{Screen, Screened};
use crate::invocation_log::entry::Replaced;
use crate::refusal::Refusal;
use crate::upstream::chat::{ChatMessage, ChatRequest, ChatToolCall, Content, ContentPart, StreamOptions};

/// Whether the guardrail looks at a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// When nothing in the messages is marked.
    Unmarked,
    /// Marked by the caller, with what it is for.
    Guarded(Vec<Qualifier>),
    /// Never: system prompts and results of tools, as on AWS, unless they are marked.
    Exempt,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) text: String,
    pub(crate) mark: Mark,
}

/// One message.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Turn {
    /// `system`, `user`, `assistant` or `tool`.
    pub(crate) role: &'static str,
    pub(crate) parts: Vec<Part>,
    pub(crate) tool_calls: Vec<ChatToolCall>,
    pub(crate) tool_call_id: Option<String>,
    /// Images and documents, each with the number of texts that stand before it.
    pub(crate) media: Vec<(usize, ContentPart)>,
}

/// Most images and documents of a request, and the most bytes of each. Source: Bedrock API reference, `Message`.
const IMAGES_MAX: usize = 20;
const IMAGE_BYTES_MAX: usize = 3_932_160;
const DOCUMENTS_MAX: usize = 5;
const DOCUMENT_BYTES_MAX: usize = 4_718_592;

/// The turns, and the parameters of the request that they go into.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Prompt {
    pub(crate) turns: Vec<Turn>,
    /// Everything but the messages.
    pub(crate) request: ChatRequest,
    /// What the guardrail replaced, for the invocation log.
    pub(crate) replaced: Replaced,
}

/// Parameters that model servers read as parts of the prompt, or as more answers than one, and that a call has members of its own for: what goes through
/// those is what guardrails see.
const SAID_ELSEWHERE: [&str; 14] = [
    "system",
    "instructions",
    "prompt",
    "input",
    "suffix",
    "echo",
    "documents",
    "functions",
    "function_call",
    "chat_template",
    "stop_sequences",
    "max_completion_tokens",
    "n",
    "best_of",
];
/// Longest name or id of a tool call. Source of the name: Bedrock API reference, `ToolUseBlock` (64); other servers' ids are longer.
const TOOL_NAME_LENGTH_MAX: usize = 128;

impl Prompt {
    /// Images and documents keep their limits; none goes past a guardrail, which would not look at it.
    pub(crate) fn check_media(&self, is_guarded: bool) -> Result<(), Refusal> {
        let media = || self.turns.iter().flat_map(|turn| &turn.media).map(|(_, part)| part);
        if is_guarded && media().next().is_some() {
            return Err(Refusal::unsupported("an image or a document in a guarded call"));
        }
        let of = |is_image: bool| {
            media().filter_map(move |part| match part {
                ContentPart::Image(image) if is_image => Some(image),
                ContentPart::Document(document) if !is_image => Some(document),
                _ => None,
            })
        };
        for (is_image, what, most, most_bytes) in
            [(true, "images", IMAGES_MAX, IMAGE_BYTES_MAX), (false, "documents", DOCUMENTS_MAX, DOCUMENT_BYTES_MAX)]
        {
            let count = of(is_image).count();
            if count > most {
                return Err(Refusal::invalid(format!("too many {what}: {count} > {most}")));
            }
            if of(is_image).any(|medium| medium.base64.len() / 4 * 3 > most_bytes.saturating_add(2)) {
                return Err(Refusal::invalid(format!("One of the {what} is larger than {most_bytes} bytes.")));
            }
        }
        Ok(())
    }

    /// A conversation begins with the user, and somebody says something.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let first = self.turns.iter().find(|turn| turn.role != "system");
        match first.map(|turn| turn.role) {
            Some("user" | "tool") => self.check_unseen(),
            Some(_) => Err(Refusal::invalid(
                "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
            )),
            None => Err(Refusal::invalid("The conversation has no messages.")),
        }
    }

    /// What no guardrail would see is refused: parts of the prompt in other places than their own, and sentences as names.
    fn check_unseen(&self) -> Result<(), Refusal> {
        if let Some(name) = self.request.further.keys().find(|name| SAID_ELSEWHERE.contains(&name.as_str())) {
            return Err(Refusal::invalid(format!(
                "The model parameter `{name}` is not passed on: what it says has a member of its own in the request."
            )));
        }
        let is_sign = |sign: u8| sign.is_ascii_alphanumeric() || b"_-.:/".contains(&sign);
        let is_name = |name: &str| !name.is_empty() && name.len() <= TOOL_NAME_LENGTH_MAX && name.bytes().all(is_sign);
        let calls = self.turns.iter().flat_map(|turn| &turn.tool_calls).flat_map(|call| [&call.id, &call.function.name]);
        let results = self.turns.iter().filter_map(|turn| turn.tool_call_id.as_ref());
        let choice = self.request.tool_choice.as_ref().and_then(|choice| choice.pointer("/function/name"));
        let chosen = choice.and_then(serde_json::Value::as_str);
        if calls.chain(results).map(String::as_str).chain(chosen).all(is_name) {
            return Ok(());
        }
        Err(Refusal::invalid("Names and ids of tool calls have 1 to 128 letters, digits, and the signs `_`, `-`, `.`, `:` and `/`."))
    }

    /// Runs the guardrails over the prompt and puts masks in place.
    pub(crate) fn screen(&mut self, screen: &Screen) -> Result<Screened, ApiError> {
        screen.prompt(self)
    }

    pub(crate) fn into_request(self, stream: bool) -> ChatRequest {
        let messages = self.turns.into_iter().map(|turn| {
            let has_texts = !turn.parts.is_empty();
            let content = if turn.media.is_empty() {
                let texts: Vec<String> = turn.parts.into_iter().map(|part| part.text).collect();
                (has_texts || turn.tool_calls.is_empty()).then(|| Content::Text(texts.join("\n")))
            } else {
                Some(Content::Parts(interleaved(turn.parts, turn.media)))
            };
            ChatMessage { role: turn.role.to_owned(), content, tool_calls: turn.tool_calls, tool_call_id: turn.tool_call_id }
        });
        ChatRequest {
            messages: messages.collect(),
            stream,
            stream_options: stream.then_some(StreamOptions { include_usage: true }),
            ..self.request
        }
    }
}

/// Texts and media in the order in which they were given.
fn interleaved(texts: Vec<Part>, media: Vec<(usize, ContentPart)>) -> Vec<ContentPart> {
    let mut parts = Vec::with_capacity(texts.len() + media.len());
    let mut media = media.into_iter().peekable();
    for (at, text) in texts.into_iter().enumerate() {
        while let Some((_, medium)) = media.next_if(|(before, _)| *before <= at) {
            parts.push(medium);
        }
        parts.push(ContentPart::Text(text.text));
    }
    parts.extend(media.map(|(_, medium)| medium));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guardrail::definition::tests::masking;
    use crate::runtime::screen::Trace;

    fn turn(role: &'static str, parts: &[(&str, Mark)]) -> Turn {
        let parts = parts.iter().map(|(text, mark)| Part { text: (*text).to_owned(), mark: mark.clone() }).collect();
        Turn { role, parts, ..Turn::default() }
    }

    fn texts(prompt: Prompt) -> Vec<String> {
        prompt.into_request(false).messages.into_iter().filter_map(|message| message.content).map(|content| content.text()).collect()
    }

    #[test]
    fn without_marks_all_messages_are_guarded_and_masked() {
        let screen = Screen::for_test(&masking(), Trace::Enabled);
        let mut prompt = Prompt {
            turns: vec![
                turn("system", &[("mail sys@example.com", Mark::Exempt)]),
                turn("user", &[("I am a@example.com", Mark::Unmarked), ("hi", Mark::Unmarked)]),
                turn("tool", &[("b@example.com", Mark::Exempt)]),
            ],
            ..Prompt::default()
        };
        let screened = prompt.screen(&screen).unwrap();
        assert!(screened.intervened() && !screened.assessment.is_blocked);
        assert_eq!(texts(prompt), ["mail sys@example.com", "I am {EMAIL}\nhi", "b@example.com"]);
    }

    #[test]
    fn with_marks_only_marked_texts_are_guarded() {
        let screen = Screen::for_test(&masking(), Trace::Enabled);
        let mut prompt = Prompt {
            turns: vec![turn("user", &[("a@example.com forbidden", Mark::Unmarked), ("b@example.com", Mark::Guarded(Vec::new()))])],
            ..Prompt::default()
        };
        let screened = prompt.screen(&screen).unwrap();
        assert!(!screened.assessment.is_blocked);
        assert_eq!(screened.assessment.coverage.guarded_characters, 13);
        assert_eq!(texts(prompt), ["a@example.com forbidden\n{EMAIL}"]);
    }

    #[test]
    fn a_conversation_begins_with_the_user() {
        let begins = |role| Prompt { turns: vec![turn(role, &[("x", Mark::Unmarked)])], ..Prompt::default() }.check();
        assert_eq!(begins("user"), Ok(()));
        assert!(begins("assistant").is_err());
        assert!(begins("system").is_err());
    }
}
