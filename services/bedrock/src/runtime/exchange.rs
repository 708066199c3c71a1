//! Prompt to answer: screen, ask, screen.

use api_bedrock_runtime::{GuardrailTraceAssessment, StopReason};
use plane::ApiError;

use super::prompt::Prompt;
use super::screen::{Screen, Screened};
use crate::upstream::chat::{ChatChoice, ChatToolCall, ChatUsage};
use crate::upstream::fault::model_error;
use crate::upstream::gateway::{Gateway, Route};
use crate::upstream::server::Secrets;

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    EndTurn,
    ToolUse,
    MaxTokens,
    /// A stop sequence was met; which one, when the upstream says so.
    Sequence(String),
    ContentFiltered,
    Guardrail,
}

impl Stop {
    /// From the upstream's reason.
    pub(crate) fn of(finish_reason: Option<&str>, stop_reason: Option<&serde_json::Value>) -> Self {
        match finish_reason {
            Some("length") => Self::MaxTokens,
            Some("tool_calls" | "function_call") => Self::ToolUse,
            Some("content_filter") => Self::ContentFiltered,
            _ => stop_reason.and_then(|reason| reason.as_str()).map_or(Self::EndTurn, |text| Self::Sequence(text.to_owned())),
        }
    }

    pub(crate) fn converse(&self) -> StopReason {
        match self {
            Self::EndTurn => StopReason::EndTurn,
            Self::ToolUse => StopReason::ToolUse,
            Self::MaxTokens => StopReason::MaxTokens,
            Self::Sequence(_) => StopReason::StopSequence,
            Self::ContentFiltered => StopReason::ContentFiltered,
            Self::Guardrail => StopReason::GuardrailIntervened,
        }
    }
}

/// Tokens of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) input: i32,
    pub(crate) output: i32,
}

impl Tokens {
    /// As the upstream counted.
    pub(crate) fn counted(usage: ChatUsage) -> Self {
        let count = |number: i64| i32::try_from(number.max(0)).unwrap_or(i32::MAX);
        Self { input: count(usage.prompt_tokens), output: count(usage.completion_tokens) }
    }

    /// Of an upstream that does not count: four characters are a token.
    pub(crate) fn estimated(input_characters: usize, output_characters: usize) -> Self {
        let count = |characters: usize| i32::try_from(characters.div_ceil(4)).unwrap_or(i32::MAX);
        Self { input: count(input_characters), output: count(output_characters) }
    }
}

/// What comes back.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) text: Option<String>,
    pub(crate) tool_calls: Vec<ChatToolCall>,
    pub(crate) stop: Stop,
    pub(crate) tokens: Tokens,
    /// The guardrail stepped in, at the prompt or at the answer.
    pub(crate) intervened: bool,
    pub(crate) trace: Option<GuardrailTraceAssessment>,
}

impl Answer {
    /// The answer to a blocked prompt. The model was not asked.
    pub(crate) fn blocked(screen: &Screen, input: &Screened) -> Self {
        Self {
            text: input.assessment.outputs.first().cloned(),
            tool_calls: Vec::new(),
            stop: Stop::Guardrail,
            tokens: Tokens::default(),
            intervened: true,
            trace: screen.trace(Some(input), None, None),
        }
    }
}

/// The whole exchange.
pub(crate) async fn exchange(
    gateway: &Gateway,
    secrets: &dyn Secrets,
    route: &Route,
    mut prompt: Prompt,
    screen: Option<&Screen>,
) -> Result<Answer, ApiError> {
    let input = screen.map(|screen| prompt.screen(screen)).transpose()?;
    if let (Some(screen), Some(input)) = (screen, &input)
        && input.assessment.is_blocked
    {
        return Ok(Answer::blocked(screen, input));
    }
    let request = prompt.into_request(false);
    let asked = request.characters();
    let (response, _) = gateway.chat(secrets, route, &request).await?;
    let choice = response.choices.into_iter().next().ok_or_else(|| model_error(None, "the model gave no answer"))?;
    let mut answer = answer(choice);
    let said = answer.text.as_ref().map_or(0, |text| text.chars().count());
    answer.tokens = response.usage.map_or_else(|| Tokens::estimated(asked, said), Tokens::counted);
    match (screen, input) {
        (Some(screen), Some(input)) => screen.answer(answer, &input),
        _ => Ok(answer),
    }
}

fn answer(choice: ChatChoice) -> Answer {
    let tool_calls = choice.message.tool_calls.unwrap_or_default();
    let stop = match Stop::of(choice.finish_reason.as_deref(), choice.stop_reason.as_ref()) {
        // Some servers say `stop` even when they call a tool.
        Stop::EndTurn if !tool_calls.is_empty() => Stop::ToolUse,
        stop => stop,
    };
    let text = choice.message.content.filter(|text| !text.is_empty());
    Answer { text, tool_calls, stop, tokens: Tokens::default(), intervened: false, trace: None }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::guardrail::definition::tests::masking;
    use crate::runtime::prompt::{Mark, Part, Turn};
    use crate::runtime::screen::Trace;
    use crate::upstream::chat::ChatRequest;
    use crate::upstream::settings::{ModelSettings, UpstreamSettings};
    use crate::upstream::{NoSecrets, responder};

    async fn ask(gateway: &Gateway, prompt: Prompt, screen: &Screen) -> Answer {
        let route = gateway.route(&NoSecrets, responder::MODEL).await.unwrap().unwrap();
        exchange(gateway, &NoSecrets, &route, prompt, Some(screen)).await.unwrap()
    }

    fn embedded() -> Gateway {
        Gateway::new(ModelSettings::default(), Vec::new())
    }

    fn prompt(text: &str) -> Prompt {
        let part = Part { text: text.to_owned(), mark: Mark::Unmarked };
        Prompt {
            turns: vec![Turn { role: "user", parts: vec![part], ..Turn::default() }],
            request: ChatRequest { model: "bailiwick.embedded-responder-v1".to_owned(), ..ChatRequest::default() },
            ..Prompt::default()
        }
    }

    #[tokio::test]
    async fn an_answer_is_masked_and_traced() {
        let gateway = embedded();
        let screen = Screen::for_test(&masking(), Trace::Enabled);
        let answer = ask(&gateway, prompt("Who is the billing contact?"), &screen).await;
        let text = answer.text.unwrap();
        assert!(text.contains("{EMAIL}") && text.contains("{CREDIT_DEBIT_CARD_NUMBER}") && !text.contains("4111"), "{text}");
        assert_eq!((answer.stop, answer.intervened), (Stop::Guardrail, true));
        let trace = answer.trace.unwrap();
        assert_eq!(trace.action_reason.as_deref(), Some("Guardrail masked."));
        assert!(trace.model_output.unwrap().first().unwrap().contains("jane.doe@example.com"));
        let outputs = trace.output_assessments.unwrap();
        let assessment = outputs.get("abc123").and_then(|list| list.first()).unwrap();
        assert_eq!(assessment.sensitive_information_policy.as_ref().unwrap().pii_entities.len(), 2);
    }

    #[tokio::test]
    async fn a_blocked_prompt_never_reaches_the_model() {
        // Nobody listens there: asking would fail.
        let upstream = UpstreamSettings { models: vec![responder::MODEL.to_owned()], ..UpstreamSettings::at("http://127.0.0.1:1/v1") };
        let gateway = Gateway::new(ModelSettings { upstreams: vec![upstream], ..ModelSettings::default() }, Vec::new());
        let screen = Screen::for_test(&masking(), Trace::Disabled);
        let answer = ask(&gateway, prompt("a forbidden word"), &screen).await;
        assert_eq!(answer.text.as_deref(), Some("in"));
        assert_eq!((answer.stop, answer.tokens, answer.trace), (Stop::Guardrail, Tokens::default(), None));
    }

    #[tokio::test]
    async fn a_blocked_answer_is_replaced() {
        let gateway = embedded();
        let mut definition = masking();
        definition = serde_json::from_value(json!({
            "words": [{ "text": "deterministic", "input_action": "NONE" }],
            "profanity": null, "entities": [], "regexes": [], "filters": [], "content_tier": null,
            "blocked_input_messaging": definition.blocked_input_messaging,
            "blocked_outputs_messaging": definition.blocked_outputs_messaging,
        }))
        .unwrap();
        let screen = Screen::for_test(&definition, Trace::Disabled);
        let answer = ask(&gateway, prompt("hello"), &screen).await;
        assert_eq!((answer.text.as_deref(), answer.stop), (Some("out"), Stop::Guardrail));
        assert!(answer.tokens.output > 0);
    }

    #[test]
    fn reasons_to_stop_are_translated() {
        assert_eq!(Stop::of(Some("stop"), None), Stop::EndTurn);
        assert_eq!(Stop::of(Some("length"), None), Stop::MaxTokens);
        assert_eq!(Stop::of(Some("tool_calls"), None), Stop::ToolUse);
        assert_eq!(Stop::of(Some("stop"), Some(&json!("END"))), Stop::Sequence("END".to_owned()));
        assert_eq!(Stop::of(None, None), Stop::EndTurn);
    }
}
