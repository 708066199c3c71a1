//! What is asked, whichever operation asks it: turns of texts, each marked for the guardrail.

use guard::Qualifier;
use plane::ApiError;

use super::screen::{Screen, Screened};
use crate::refusal::Refusal;
use crate::upstream::chat::{ChatMessage, ChatRequest, ChatToolCall, StreamOptions};

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
}

/// The turns, and the parameters of the request that they go into.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Prompt {
    pub(crate) turns: Vec<Turn>,
    /// Everything but the messages.
    pub(crate) request: ChatRequest,
}

impl Prompt {
    /// A conversation begins with the user, and somebody says something.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        let first = self.turns.iter().find(|turn| turn.role != "system");
        match first.map(|turn| turn.role) {
            Some("user" | "tool") => Ok(()),
            Some(_) => Err(Refusal::invalid(
                "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
            )),
            None => Err(Refusal::invalid("The conversation has no messages.")),
        }
    }

    /// Runs the guardrails over the prompt and puts masks in place.
    pub(crate) fn screen(&mut self, screen: &Screen) -> Result<Screened, ApiError> {
        screen.prompt(self)
    }

    pub(crate) fn into_request(self, stream: bool) -> ChatRequest {
        let messages = self.turns.into_iter().map(|turn| {
            let texts: Vec<String> = turn.parts.into_iter().map(|part| part.text).collect();
            ChatMessage {
                role: turn.role.to_owned(),
                content: if texts.is_empty() && !turn.tool_calls.is_empty() { None } else { Some(texts.join("\n")) },
                tool_calls: turn.tool_calls,
                tool_call_id: turn.tool_call_id,
            }
        });
        ChatRequest {
            messages: messages.collect(),
            stream,
            stream_options: stream.then_some(StreamOptions { include_usage: true }),
            ..self.request
        }
    }
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
        prompt.into_request(false).messages.into_iter().filter_map(|message| message.content).collect()
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
