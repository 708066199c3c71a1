//! Bodies that are one text: Llama, Mistral, Titan, Cohere, and OpenAI's completions.
//!
//! A `prompt` is passed on as it stands, with whatever template its writer laid around it. Titan and Cohere's chat have none: their texts
//! are messages.

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};

use super::dialect::{Heading, Writer};
use super::exchange::{Answer, Stop, Tokens};
use super::prompt::{Mark, Part, Prompt, Turn};
use super::stream::{Ending, Step};
use crate::refusal::Refusal;
use crate::upstream::chat::ChatRequest;

/// Whose form it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextForm {
    Completions,
    Llama,
    Mistral,
    Titan,
    CohereChat,
    CohereText,
}

impl TextForm {
    pub(super) fn of(model_id: &str, fields: &Map<String, Json>) -> Option<Self> {
        let is_text = |name: &str| fields.get(name).is_some_and(Json::is_string);
        if is_text("inputText") {
            return Some(Self::Titan);
        }
        if is_text("message") {
            return Some(Self::CohereChat);
        }
        if !is_text("prompt") {
            return None;
        }
        let id = model_id.to_ascii_lowercase();
        Some(if fields.contains_key("max_gen_len") || id.contains("llama") {
            Self::Llama
        } else if id.contains("mistral") || id.contains("mixtral") {
            Self::Mistral
        } else if id.contains("cohere") {
            Self::CohereText
        } else {
            Self::Completions
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LlamaBody {
    prompt: String,
    max_gen_len: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MistralBody {
    prompt: String,
    max_tokens: Option<i64>,
    stop: Option<Vec<String>>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TitanBody {
    input_text: String,
    #[serde(default)]
    text_generation_config: TitanConfig,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TitanConfig {
    max_token_count: Option<i64>,
    stop_sequences: Option<Vec<String>>,
    temperature: Option<f64>,
    top_p: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CohereBody {
    message: Option<String>,
    prompt: Option<String>,
    #[serde(default)]
    chat_history: Vec<CohereTurn>,
    preamble: Option<String>,
    max_tokens: Option<i64>,
    temperature: Option<f64>,
    p: Option<f64>,
    k: Option<i64>,
    stop_sequences: Option<Vec<String>>,
    seed: Option<i64>,
    num_generations: Option<i64>,
}

#[derive(Deserialize)]
struct CohereTurn {
    role: String,
    message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompletionsBody {
    prompt: String,
    max_tokens: Option<i64>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    stop: Option<Json>,
    seed: Option<i64>,
    n: Option<i64>,
    echo: Option<bool>,
    presence_penalty: Option<f64>,
    frequency_penalty: Option<f64>,
    #[serde(rename = "model")]
    _model: Option<String>,
    #[serde(rename = "stream")]
    _stream: Option<bool>,
    #[serde(rename = "stream_options")]
    _stream_options: Option<Json>,
    #[serde(rename = "user")]
    _user: Option<String>,
}

fn body<T: serde::de::DeserializeOwned>(fields: Map<String, Json>) -> Result<T, Refusal> {
    serde_json::from_value(Json::Object(fields)).map_err(|error| Refusal::invalid(format!("Malformed input request: {error}")))
}

fn said(role: &'static str, text: String) -> Turn {
    let mark = if role == "system" { Mark::Exempt } else { Mark::Unmarked };
    Turn { role, parts: vec![Part { text, mark }], ..Turn::default() }
}

fn raw(text: String, request: ChatRequest) -> Prompt {
    Prompt { turns: vec![said("user", text)], request: ChatRequest { raw: true, ..request }, ..Prompt::default() }
}

fn further(pairs: [(&str, Json); 3]) -> Map<String, Json> {
    pairs.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn stops(stops: Option<Vec<String>>) -> Option<Vec<String>> {
    stops.filter(|stops| !stops.is_empty())
}

/// What a body asks.
pub(super) fn prompt(form: TextForm, fields: Map<String, Json>) -> Result<Prompt, Refusal> {
    match form {
        TextForm::Llama => {
            let body: LlamaBody = body(fields)?;
            let request =
                ChatRequest { max_tokens: body.max_gen_len, temperature: body.temperature, top_p: body.top_p, ..ChatRequest::default() };
            Ok(raw(body.prompt, request))
        }
        TextForm::Mistral => {
            let body: MistralBody = body(fields)?;
            let request = ChatRequest {
                max_tokens: body.max_tokens,
                temperature: body.temperature,
                top_p: body.top_p,
                stop: stops(body.stop),
                further: further([("top_k", json!(body.top_k)), ("", Json::Null), ("", Json::Null)]),
                ..ChatRequest::default()
            };
            Ok(raw(body.prompt, request))
        }
        TextForm::Titan => {
            let TitanBody { input_text, text_generation_config: config } = body(fields)?;
            let request = ChatRequest {
                max_tokens: config.max_token_count,
                temperature: config.temperature,
                top_p: config.top_p,
                stop: stops(config.stop_sequences),
                ..ChatRequest::default()
            };
            Ok(Prompt { turns: vec![said("user", input_text)], request, ..Prompt::default() })
        }
        TextForm::CohereChat | TextForm::CohereText => cohere(form, body(fields)?),
        TextForm::Completions => {
            let body: CompletionsBody = body(fields)?;
            if body.n.is_some_and(|count| count != 1) || body.echo == Some(true) {
                return Err(Refusal::unsupported("more than one answer (`n`) or `echo`"));
            }
            let stop = match body.stop {
                None | Some(Json::Null) => None,
                Some(Json::String(stop)) => Some(vec![stop]),
                Some(list) => {
                    Some(serde_json::from_value(list).map_err(|_| Refusal::invalid("`stop` must be a text or a list of texts."))?)
                }
            };
            let request = ChatRequest {
                max_tokens: body.max_tokens,
                temperature: body.temperature,
                top_p: body.top_p,
                stop: stops(stop),
                further: further([
                    ("seed", json!(body.seed)),
                    ("presence_penalty", json!(body.presence_penalty)),
                    ("frequency_penalty", json!(body.frequency_penalty)),
                ]),
                ..ChatRequest::default()
            };
            Ok(raw(body.prompt, request))
        }
    }
}

fn cohere(form: TextForm, body: CohereBody) -> Result<Prompt, Refusal> {
    if body.num_generations.is_some_and(|count| count != 1) {
        return Err(Refusal::unsupported("more than one generation (`num_generations`)"));
    }
    let request = ChatRequest {
        max_tokens: body.max_tokens,
        temperature: body.temperature,
        top_p: body.p,
        stop: stops(body.stop_sequences),
        further: further([("top_k", json!(body.k)), ("seed", json!(body.seed)), ("", Json::Null)]),
        ..ChatRequest::default()
    };
    if form == TextForm::CohereText {
        return Ok(raw(body.prompt.unwrap_or_default(), request));
    }
    let mut turns: Vec<Turn> = body.preamble.map(|text| said("system", text)).into_iter().collect();
    for turn in body.chat_history {
        let role = match turn.role.as_str() {
            "USER" => "user",
            "CHATBOT" => "assistant",
            "SYSTEM" => "system",
            other => return Err(Refusal::invalid(format!("`{other}` is not a role."))),
        };
        turns.push(said(role, turn.message));
    }
    turns.push(said("user", body.message.unwrap_or_default()));
    Ok(Prompt { turns, request, ..Prompt::default() })
}

/// Each family's word for the reason of the end.
fn reason(form: TextForm, stop: &Stop) -> &'static str {
    let words = match form {
        TextForm::Completions => ["stop", "length", "content_filter"],
        TextForm::Llama | TextForm::Mistral => ["stop", "length", "stop"],
        TextForm::Titan => ["FINISH", "LENGTH", "CONTENT_FILTERED"],
        TextForm::CohereChat | TextForm::CohereText => ["COMPLETE", "MAX_TOKENS", "ERROR_TOXIC"],
    };
    let [end, length, filtered] = words;
    match stop {
        Stop::MaxTokens => length,
        Stop::ContentFiltered | Stop::Guardrail => filtered,
        Stop::EndTurn | Stop::ToolUse | Stop::Sequence(_) => end,
    }
}

fn usage(tokens: Tokens) -> Json {
    json!({
        "prompt_tokens": tokens.input, "completion_tokens": tokens.output,
        "total_tokens": tokens.input.saturating_add(tokens.output),
    })
}

/// An answer in the family's form.
pub(super) fn answer(form: TextForm, answer: Answer, heading: &Heading) -> Json {
    let (reason, tokens) = (reason(form, &answer.stop), answer.tokens);
    let text = answer.text.unwrap_or_default();
    match form {
        TextForm::Completions => json!({
            "id": format!("cmpl-{}", heading.id), "object": "text_completion", "created": heading.created_s, "model": heading.model,
            "choices": [{ "index": 0, "text": text, "logprobs": null, "finish_reason": reason }], "usage": usage(tokens),
        }),
        TextForm::Llama => json!({
            "generation": text, "prompt_token_count": tokens.input, "generation_token_count": tokens.output, "stop_reason": reason,
        }),
        TextForm::Mistral => json!({ "outputs": [{ "text": text, "stop_reason": reason }] }),
        TextForm::Titan => json!({
            "inputTextTokenCount": tokens.input,
            "results": [{ "tokenCount": tokens.output, "outputText": text, "completionReason": reason }],
        }),
        TextForm::CohereChat => json!({
            "response_id": heading.id, "generation_id": heading.id, "text": text, "chat_history": [], "finish_reason": reason,
        }),
        TextForm::CohereText => json!({
            "id": heading.id, "prompt": "", "generations": [{ "id": heading.id, "text": text, "finish_reason": reason }],
        }),
    }
}

/// Writes the family's pieces.
pub(super) struct Events {
    form: TextForm,
    heading: Heading,
    /// Cohere repeats the whole text at the end.
    text: String,
}

impl Events {
    pub(super) fn new(form: TextForm, heading: Heading) -> Self {
        Self { form, heading, text: String::new() }
    }

    fn completion(&self, text: &str, reason: Json) -> Json {
        json!({
            "id": format!("cmpl-{}", self.heading.id), "object": "text_completion", "created": self.heading.created_s,
            "model": self.heading.model, "choices": [{ "index": 0, "text": text, "logprobs": null, "finish_reason": reason }],
        })
    }
}

impl Writer for Events {
    fn begin(&mut self) -> Vec<Json> {
        match self.form {
            TextForm::CohereChat => {
                vec![json!({ "event_type": "stream-start", "generation_id": self.heading.id, "is_finished": false })]
            }
            _ => Vec::new(),
        }
    }

    fn step(&mut self, step: Step) -> Vec<Json> {
        // There are no tools in these forms.
        let Step::Text(text) = step else { return Vec::new() };
        vec![match self.form {
            TextForm::Completions => self.completion(&text, Json::Null),
            TextForm::Llama => {
                json!({ "generation": text, "prompt_token_count": null, "generation_token_count": null, "stop_reason": null })
            }
            TextForm::Mistral => json!({ "outputs": [{ "text": text, "stop_reason": null }] }),
            TextForm::Titan => json!({
                "outputText": text, "index": 0, "totalOutputTextTokenCount": null, "completionReason": null, "inputTextTokenCount": null,
            }),
            TextForm::CohereChat => {
                self.text.push_str(&text);
                json!({ "event_type": "text-generation", "text": text, "is_finished": false })
            }
            TextForm::CohereText => json!({ "text": text, "is_finished": false, "index": 0 }),
        }]
    }

    fn end(&mut self, ending: &Ending) -> Vec<Json> {
        let (reason, tokens) = (reason(self.form, &ending.stop), ending.tokens);
        vec![match self.form {
            TextForm::Completions => {
                let mut last = self.completion("", json!(reason));
                if let Some(fields) = last.as_object_mut() {
                    fields.insert("usage".to_owned(), usage(tokens));
                }
                last
            }
            TextForm::Llama => json!({
                "generation": "", "prompt_token_count": tokens.input, "generation_token_count": tokens.output, "stop_reason": reason,
            }),
            TextForm::Mistral => json!({ "outputs": [{ "text": "", "stop_reason": reason }] }),
            TextForm::Titan => json!({
                "outputText": "", "index": 0, "totalOutputTextTokenCount": tokens.output, "completionReason": reason,
                "inputTextTokenCount": tokens.input,
            }),
            TextForm::CohereChat => json!({
                "event_type": "stream-end", "finish_reason": reason, "is_finished": true,
                "response": { "text": std::mem::take(&mut self.text), "generation_id": self.heading.id, "finish_reason": reason },
            }),
            TextForm::CohereText => json!({ "is_finished": true, "finish_reason": reason, "index": 0 }),
        }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: TextForm, body: Json) -> Result<Prompt, Refusal> {
        prompt(form, body.as_object().cloned().unwrap())
    }

    #[test]
    fn parameters_are_read_and_unknown_ones_refused() {
        let llama = read(TextForm::Llama, json!({ "prompt": "x", "max_gen_len": 5 })).unwrap();
        assert!(llama.request.raw && llama.request.max_tokens == Some(5));
        let titan = read(TextForm::Titan, json!({ "inputText": "x", "textGenerationConfig": { "maxTokenCount": 6 } })).unwrap();
        assert!(!titan.request.raw && titan.request.max_tokens == Some(6));
        let history = json!([{ "role": "USER", "message": "a" }, { "role": "CHATBOT", "message": "b" }]);
        let cohere = read(TextForm::CohereChat, json!({ "message": "c", "chat_history": history, "preamble": "p" })).unwrap();
        assert_eq!(cohere.turns.iter().map(|turn| turn.role).collect::<Vec<_>>(), ["system", "user", "assistant", "user"]);
        for form in [TextForm::Llama, TextForm::Mistral, TextForm::CohereText, TextForm::Completions] {
            assert!(read(form, json!({ "prompt": "x", "images": [] })).is_err(), "{form:?}");
        }
        assert!(read(TextForm::Completions, json!({ "prompt": "x", "n": 2 })).is_err());
    }

    #[test]
    fn each_family_says_how_it_ended() {
        let heading = Heading { id: "1".to_owned(), model: "m".to_owned(), created_s: 0 };
        let made = |form| {
            let answer = Answer {
                text: Some("hi".to_owned()),
                tool_calls: Vec::new(),
                stop: Stop::MaxTokens,
                tokens: Tokens { input: 1, output: 2 },
                intervened: false,
                trace: None,
            };
            answer_of(form, answer, &heading)
        };
        assert_eq!(made(TextForm::Llama).get("stop_reason"), Some(&json!("length")));
        assert_eq!(made(TextForm::Titan).pointer("/results/0/completionReason"), Some(&json!("LENGTH")));
        assert_eq!(made(TextForm::CohereChat).get("finish_reason"), Some(&json!("MAX_TOKENS")));
        assert_eq!(made(TextForm::Mistral).pointer("/outputs/0/text"), Some(&json!("hi")));
    }

    fn answer_of(form: TextForm, answer: Answer, heading: &Heading) -> Json {
        super::answer(form, answer, heading)
    }
}
