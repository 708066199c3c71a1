//! `InvokeModel`: bodies in the model's own form, here Anthropic's messages (with `anthropic_version`) or OpenAI's chat.
//!
//! Source: Bedrock API reference, `InvokeModel`; User Guide, "Use the InvokeModel operation with guardrails". The guardrail looks at the texts
//! of all messages, or, when some stand in `<amazon-bedrock-guardrails-guardContent_SUFFIX>` tags, at those. The tags do not reach the model.
//! Beyond AWS, the prompt-attack filter runs without tags too: a body without them must not be the way around it.

use std::sync::Arc;

use api_bedrock_runtime::{
    InvokeModelInput, InvokeModelOutput, InvokeModelWithResponseStreamEvent, InvokeModelWithResponseStreamInput,
    InvokeModelWithResponseStreamOutput, PayloadPart, PerformanceConfigLatency, ServiceTierType, Trace as TraceSetting,
};
use bytes::Bytes;
use plane::service::Streaming;
use plane::{ApiError, Call};
use serde_json::{Map, Value as Json, json};
use wire::{IntoValue, Secret, Value};

use super::exchange::{Answer, Tokens, exchange};
use super::prompt::{Mark, Part, Prompt};
use super::screen::{Screen, Trace};
use super::stream::{Ending, Script, Step, begin};
use super::{State, anthropic, elapsed_ms, openai, state};
use crate::refusal::Refusal;

const JSON: &str = "application/json";
/// Longest suffix of the tags.
const SUFFIX_LENGTH: usize = 20;

/// The form of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Anthropic,
    OpenAi,
}

/// What both operations have in common.
struct Invocation {
    body: Option<Secret<Bytes>>,
    content_type: Option<String>,
    accept: Option<String>,
    model_id: String,
    trace: Option<TraceSetting>,
    guardrail_identifier: Option<String>,
    guardrail_version: Option<String>,
    latency: Option<PerformanceConfigLatency>,
    tier: Option<ServiceTierType>,
}

/// Everything that is needed to ask.
struct Ready {
    state: Arc<State>,
    prompt: Prompt,
    dialect: Dialect,
    screen: Option<Screen>,
    model: String,
}

impl Invocation {
    async fn ready(self, cx: &mut Call) -> Result<Ready, ApiError> {
        let is_json = |kind: &Option<String>| kind.as_deref().is_none_or(|kind| kind.starts_with(JSON) || kind == "*/*");
        if !is_json(&self.content_type) || !is_json(&self.accept) {
            return Err(Refusal::invalid("The content type and the accepted type must be application/json.").into());
        }
        if self.latency.is_some_and(|latency| latency != PerformanceConfigLatency::Standard) {
            return Err(Refusal::unsupported("a performance configuration other than standard").into());
        }
        if self.tier.is_some_and(|tier| tier != ServiceTierType::Default) {
            return Err(Refusal::unsupported("a service tier other than default").into());
        }
        let body = self.body.map(Secret::into_inner).unwrap_or_default();
        let malformed = |_| Refusal::invalid("Malformed input request, please reformat your input and try again.");
        let body: Json = serde_json::from_slice(&body).map_err(malformed)?;
        let (dialect, mut prompt) = parse(body)?;
        let state = state(cx)?;
        let model = state.model(&cx.region, &self.model_id).await?;
        prompt.request.model.clone_from(&model);
        let trace = match self.trace {
            None | Some(TraceSetting::Disabled) => Trace::Disabled,
            Some(TraceSetting::Enabled) => Trace::Enabled,
            Some(TraceSetting::EnabledFull) => Trace::Full,
            Some(TraceSetting::Other(other)) => return Err(Refusal::invalid(format!("`{other}` is not a trace setting.")).into()),
        };
        let screen = Screen::of_call(cx, self.guardrail_identifier.as_deref(), self.guardrail_version.as_deref(), trace).await?;
        Ok(Ready { state, prompt, dialect, screen, model })
    }
}

pub(crate) async fn invoke_model(cx: &mut Call, input: InvokeModelInput) -> Result<InvokeModelOutput, ApiError> {
    let invocation = Invocation {
        body: input.body,
        content_type: input.content_type,
        accept: input.accept,
        model_id: input.model_id,
        trace: input.trace,
        guardrail_identifier: input.guardrail_identifier,
        guardrail_version: input.guardrail_version,
        latency: input.performance_config_latency,
        tier: input.service_tier,
    };
    let ready = invocation.ready(cx).await?;
    let id = cx.random_uuid()?;
    let answer = exchange(&ready.state.upstream, ready.prompt, ready.screen.as_ref()).await?;
    let (intervened, trace) = (answer.intervened, answer.trace.clone());
    let mut body = match ready.dialect {
        Dialect::Anthropic => anthropic::answer(answer, &id, &ready.model)?,
        Dialect::OpenAi => openai::answer(answer, &id, &ready.model),
    };
    if ready.screen.is_some() {
        add_guardrail(&mut body, intervened, trace);
    }
    Ok(InvokeModelOutput {
        body: Secret::new(Bytes::from(serde_json::to_vec(&body)?)),
        content_type: JSON.to_owned(),
        performance_config_latency: None,
        service_tier: None,
    })
}

pub(crate) async fn invoke_model_with_response_stream(
    cx: &mut Call,
    input: InvokeModelWithResponseStreamInput,
) -> Result<Streaming<InvokeModelWithResponseStreamOutput>, ApiError> {
    let start = std::time::Instant::now();
    let invocation = Invocation {
        body: input.body,
        content_type: input.content_type,
        accept: input.accept,
        model_id: input.model_id,
        trace: input.trace,
        guardrail_identifier: input.guardrail_identifier,
        guardrail_version: input.guardrail_version,
        latency: input.performance_config_latency,
        tier: input.service_tier,
    };
    let ready = invocation.ready(cx).await?;
    let writer = match ready.dialect {
        Dialect::Anthropic => Writer::Anthropic(anthropic::Events::new(cx.random_uuid()?, ready.model)),
        Dialect::OpenAi => Writer::OpenAi(openai::Events::new(cx.random_uuid()?, ready.model)),
    };
    let script = Chunks { start, writer, is_guarded: ready.screen.is_some() };
    let body = begin(cx, &ready.state, ready.prompt, ready.screen, script).await?;
    let output =
        InvokeModelWithResponseStreamOutput { content_type: JSON.to_owned(), performance_config_latency: None, service_tier: None };
    Ok(Streaming { output, body, status: None })
}

/// The form of a body and what it asks.
fn parse(body: Json) -> Result<(Dialect, Prompt), Refusal> {
    let Json::Object(mut fields) = body else { return Err(Refusal::invalid("The body must be a JSON object.")) };
    let config = fields.remove("amazon-bedrock-guardrailConfig");
    let suffix = suffix(config)?;
    let (dialect, mut prompt) = if fields.contains_key("anthropic_version") {
        (Dialect::Anthropic, anthropic::prompt(fields)?)
    } else {
        (Dialect::OpenAi, openai::prompt(fields)?)
    };
    if let Some(suffix) = suffix {
        for turn in prompt.turns.iter_mut().filter(|turn| turn.role != "tool") {
            turn.parts = std::mem::take(&mut turn.parts).into_iter().flat_map(|part| split_tagged(part, &suffix)).collect();
        }
    }
    prompt.check()?;
    Ok((dialect, prompt))
}

/// The suffix of the tags that a body uses.
fn suffix(config: Option<Json>) -> Result<Option<String>, Refusal> {
    let Some(config) = config else { return Ok(None) };
    let suffix = config.get("tagSuffix").and_then(Json::as_str).map(str::to_owned);
    let is_valid = |suffix: &String| (1..=SUFFIX_LENGTH).contains(&suffix.len()) && suffix.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if suffix.as_ref().is_some_and(|suffix| !is_valid(suffix)) {
        return Err(Refusal::invalid("`tagSuffix` must have 1 to 20 letters and digits."));
    }
    Ok(suffix)
}

/// The parts of a text inside and outside the tags. A tag that is not closed guards the rest.
fn split_tagged(part: Part, suffix: &str) -> Vec<Part> {
    let open = format!("<amazon-bedrock-guardrails-guardContent_{suffix}>");
    let close = format!("</amazon-bedrock-guardrails-guardContent_{suffix}>");
    let mut parts = Vec::new();
    let mut push = |text: &str, mark: Mark| {
        if !text.is_empty() {
            parts.push(Part { text: text.to_owned(), mark });
        }
    };
    let mut rest = part.text.as_str();
    while let Some((before, after)) = rest.split_once(&open) {
        push(before, part.mark.clone());
        let (inside, behind) = after.split_once(&close).unwrap_or((after, ""));
        push(inside, Mark::Guarded(Vec::new()));
        rest = behind;
    }
    push(rest, part.mark.clone());
    parts
}

/// What a body tells of the guardrail.
fn add_guardrail(body: &mut Json, intervened: bool, trace: Option<api_bedrock_runtime::GuardrailTraceAssessment>) {
    let Some(fields) = body.as_object_mut() else { return };
    fields.insert("amazon-bedrock-guardrailAction".to_owned(), json!(if intervened { "INTERVENED" } else { "NONE" }));
    let Some(trace) = trace else { return };
    let mut shown = Map::new();
    if let Some(output) = trace.model_output {
        shown.insert("modelOutput".to_owned(), json!(output));
    }
    if let Some(input) = trace.input_assessment {
        shown.insert("input".to_owned(), plain(input.into_value()));
    }
    if let Some(outputs) = trace.output_assessments {
        let each =
            outputs.into_iter().flat_map(|(id, list)| list.into_iter().map(move |one| json!({ id.clone(): plain(one.into_value()) })));
        shown.insert("outputs".to_owned(), each.collect());
    }
    if let Some(reason) = trace.action_reason {
        shown.insert("actionReason".to_owned(), json!(reason));
    }
    fields.insert("amazon-bedrock-trace".to_owned(), json!({ "guardrail": shown }));
}

/// A value as JSON. In assessments there is nothing that JSON has no form for.
fn plain(value: Value) -> Json {
    match value {
        Value::Null | Value::Bytes(_) | Value::Time(_) => Json::Null,
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Str(text) => json!(text),
        Value::Document(document) => document,
        Value::List(items) => items.into_iter().map(plain).collect(),
        Value::Map(entries) => Json::Object(entries.into_iter().map(|(key, value)| (key, plain(value))).collect()),
        Value::Struct(fields) => Json::Object(fields.iter().map(|(name, value)| (name.to_owned(), plain(value.clone()))).collect()),
    }
}

/// Writes the model's own events into chunks.
struct Chunks {
    start: std::time::Instant,
    writer: Writer,
    is_guarded: bool,
}

enum Writer {
    Anthropic(anthropic::Events),
    OpenAi(openai::Events),
}

impl Chunks {
    fn wrap(events: Vec<Json>) -> Vec<Value> {
        let chunk = |event: Json| {
            let part = PayloadPart { bytes: Some(Secret::new(Bytes::from(event.to_string()))) };
            InvokeModelWithResponseStreamEvent::Chunk(Secret::new(part)).into_value()
        };
        events.into_iter().map(chunk).collect()
    }
}

impl Script for Chunks {
    fn begin(&mut self) -> Vec<Value> {
        Self::wrap(match &mut self.writer {
            Writer::Anthropic(events) => events.begin(),
            Writer::OpenAi(events) => events.begin(),
        })
    }

    fn step(&mut self, step: Step) -> Vec<Value> {
        Self::wrap(match &mut self.writer {
            Writer::Anthropic(events) => events.step(step),
            Writer::OpenAi(events) => events.step(step),
        })
    }

    /// The last event bears what the guardrail did and what the call cost.
    fn end(&mut self, ending: Ending) -> Vec<Value> {
        let mut events = match &mut self.writer {
            Writer::Anthropic(events) => events.end(&ending),
            Writer::OpenAi(events) => events.end(&ending),
        };
        if let Some(last) = events.last_mut() {
            if self.is_guarded {
                add_guardrail(last, ending.intervened, ending.trace);
            }
            add_metrics(last, ending.tokens, elapsed_ms(self.start));
        }
        Self::wrap(events)
    }
}

fn add_metrics(event: &mut Json, tokens: Tokens, latency_ms: i64) {
    if let Some(fields) = event.as_object_mut() {
        let metrics = json!({ "inputTokenCount": tokens.input, "outputTokenCount": tokens.output, "invocationLatency": latency_ms });
        fields.insert("amazon-bedrock-invocationMetrics".to_owned(), metrics);
    }
}

/// Arguments of a tool call, for dialects that want them as JSON.
pub(super) fn tool_input(answer: &Answer) -> Result<Vec<Json>, ApiError> {
    answer.tool_calls.iter().map(|call| super::converse::arguments(&call.function.arguments)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(text: &str) -> Part {
        Part { text: text.to_owned(), mark: Mark::Unmarked }
    }

    #[test]
    fn tags_mark_what_is_guarded_and_go() {
        let text = "a <amazon-bedrock-guardrails-guardContent_x1>b</amazon-bedrock-guardrails-guardContent_x1> c";
        let guarded = Part { text: "b".to_owned(), mark: Mark::Guarded(Vec::new()) };
        assert_eq!(split_tagged(part(text), "x1"), [part("a "), guarded.clone(), part(" c")]);
        assert_eq!(split_tagged(part("<amazon-bedrock-guardrails-guardContent_x1>b"), "x1"), [guarded]);
        assert_eq!(split_tagged(part("<amazon-bedrock-guardrails-guardContent_x2>b"), "x1").len(), 1);
        assert!(suffix(Some(json!({ "tagSuffix": "a b" }))).is_err());
        assert_eq!(suffix(Some(json!({ "streamProcessingMode": "SYNCHRONOUS" }))), Ok(None));
    }

    #[test]
    fn the_form_of_a_body_is_known() {
        let messages = json!([{ "role": "user", "content": "hi" }]);
        let (dialect, _) = parse(json!({ "anthropic_version": "bedrock-2023-05-31", "max_tokens": 5, "messages": messages })).unwrap();
        assert_eq!(dialect, Dialect::Anthropic);
        let (dialect, prompt) = parse(json!({ "messages": messages, "temperature": 1 })).unwrap();
        assert_eq!((dialect, prompt.request.temperature), (Dialect::OpenAi, Some(1.0)));
        for body in [json!([]), json!({}), json!({ "prompt": "x" }), json!({ "messages": [] })] {
            assert!(parse(body).is_err());
        }
    }
}
