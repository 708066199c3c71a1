//! `InvokeModel`: bodies in the model's own form; see [`super::dialect`].
//!
//! Source: Bedrock API reference, `InvokeModel`; User Guide, "Use the InvokeModel operation with guardrails". The guardrail looks at the texts
//! of all messages, or, when some stand in `<amazon-bedrock-guardrails-guardContent_SUFFIX>` tags, at those. The tags do not reach the model.
//! Beyond AWS, the prompt-attack filter runs without tags too: a body without them must not be the way around it.

use api_bedrock_runtime::{
    InvokeModelInput, InvokeModelOutput, InvokeModelWithResponseStreamEvent, InvokeModelWithResponseStreamInput,
    InvokeModelWithResponseStreamOutput, PayloadPart, PerformanceConfigLatency, ServiceTierType, Trace as TraceSetting,
};
use bytes::Bytes;
use plane::service::Streaming;
use plane::{ApiError, Call};
use serde_json::{Map, Value as Json, json};
use wire::{IntoValue, Secret, Value};

use super::dialect::{Dialect, Heading, Writer};
use super::embedding::Embedding;
use super::exchange::{Answer, Tokens};
use super::model_call::{ModelCall, metadata_of_header, plain};
use super::prompt::{Mark, Part, Prompt};
use super::screen::{Screen, Trace};
use super::stream::{Ending, Script, Step, begin};
use super::{elapsed_ms, state};
use crate::refusal::Refusal;

const JSON: &str = "application/json";
/// Longest suffix of the tags.
const SUFFIX_LENGTH: usize = 20;

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
    metadata: Option<Secret<String>>,
}

/// A call that is checked and let in.
struct Ready {
    call: ModelCall,
    prompt: Prompt,
    dialect: Dialect,
    screen: Option<Screen>,
    heading: Heading,
}

impl Invocation {
    /// The fields of the body, once everything around it is checked.
    fn fields(&self) -> Result<Map<String, Json>, Refusal> {
        let is_json = |kind: &Option<String>| kind.as_deref().is_none_or(|kind| kind.starts_with(JSON) || kind == "*/*");
        if !is_json(&self.content_type) || !is_json(&self.accept) {
            return Err(Refusal::invalid("The content type and the accepted type must be application/json."));
        }
        if self.latency.as_ref().is_some_and(|latency| *latency != PerformanceConfigLatency::Standard) {
            return Err(Refusal::unsupported("a performance configuration other than standard"));
        }
        if self.tier.as_ref().is_some_and(|tier| *tier != ServiceTierType::Default) {
            return Err(Refusal::unsupported("a service tier other than default"));
        }
        let body = self.body.as_ref().map(|body| body.clone().into_inner()).unwrap_or_default();
        fields(&body)
    }

    async fn screen(&self, cx: &mut Call) -> Result<Option<Screen>, ApiError> {
        let trace = match &self.trace {
            None | Some(TraceSetting::Disabled) => Trace::Disabled,
            Some(TraceSetting::Enabled) => Trace::Enabled,
            Some(TraceSetting::EnabledFull) => Trace::Full,
            Some(TraceSetting::Other(other)) => return Err(Refusal::invalid(format!("`{other}` is not a trace setting.")).into()),
        };
        Screen::of_call(cx, self.guardrail_identifier.as_deref(), self.guardrail_version.as_deref(), trace).await
    }

    fn metadata(&self) -> Result<Option<Json>, Refusal> {
        metadata_of_header(self.metadata.as_ref().map(|metadata| metadata.clone().into_inner()).as_deref())
    }

    async fn ready(self, cx: &mut Call, fields: Map<String, Json>) -> Result<Ready, ApiError> {
        let logged = Json::Object(fields.clone());
        let is_async = is_asynchronous(&fields)?;
        let (dialect, mut prompt) = parse(&self.model_id, fields)?;
        let call = ModelCall::of_prompt(cx, &self.model_id, self.metadata()?, &mut prompt, |_| logged).await?;
        let screen = self.screen(cx).await?.map(|screen| screen.asynchronous(is_async));
        prompt.check_media(screen.as_ref().is_some_and(|screen| !screen.passes_images()))?;
        let heading = Heading { id: cx.random_uuid()?, model: call.resolved.model.clone(), created_s: cx.now.0 / 1_000 };
        Ok(Ready { call, prompt, dialect, screen, heading })
    }
}

/// A body as a JSON object.
fn fields(body: &[u8]) -> Result<Map<String, Json>, Refusal> {
    let body: Json =
        serde_json::from_slice(body).map_err(|_| Refusal::invalid("Malformed input request, please reformat your input and try again."))?;
    if let Json::Object(fields) = body { Ok(fields) } else { Err(Refusal::invalid("The body must be a JSON object.")) }
}

/// The prompt of a body, for who only counts it.
pub(super) fn prompt_of_body(model_id: &str, body: &[u8]) -> Result<Prompt, Refusal> {
    parse(model_id, fields(body)?).map(|(_, prompt)| prompt)
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
        latency: input.performance_config_latency.clone(),
        tier: input.service_tier.clone(),
        metadata: input.request_metadata,
    };
    let fields = invocation.fields()?;
    let body = answer(cx, invocation, fields).await?;
    Ok(InvokeModelOutput {
        body: Secret::new(Bytes::from(serde_json::to_vec(&body)?)),
        content_type: JSON.to_owned(),
        performance_config_latency: input.performance_config_latency,
        service_tier: input.service_tier,
    })
}

async fn answer(cx: &mut Call, invocation: Invocation, fields: Map<String, Json>) -> Result<Json, ApiError> {
    let gives_vectors = state(cx)?.gateway.declared(&invocation.model_id).is_some_and(|model| model.embeddings);
    if let Some(embedding) = Embedding::parse(&invocation.model_id, gives_vectors, &fields) {
        let (screen, metadata) = (invocation.screen(cx).await?, invocation.metadata()?);
        let id = cx.random_uuid()?;
        return embedding?.invoke(cx, &invocation.model_id, metadata, screen, &id).await;
    }
    let Ready { call, prompt, dialect, screen, heading } = invocation.ready(cx, fields).await?;
    let asked = call.exchange(prompt, screen.as_ref()).await;
    let answered = asked.and_then(|answer| {
        let (intervened, trace, tokens) = (answer.intervened, answer.trace.clone(), answer.tokens);
        let mut body = dialect.answer(answer, &heading)?;
        if screen.is_some() {
            add_guardrail(&mut body, intervened, trace);
        }
        Ok((body, tokens))
    });
    match answered {
        Ok((body, tokens)) => {
            call.end(Ok(tokens), || body.clone());
            Ok(body)
        }
        Err(error) => {
            call.end(Err(&error), || Json::Null);
            Err(error)
        }
    }
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
        latency: input.performance_config_latency.clone(),
        tier: input.service_tier.clone(),
        metadata: input.request_metadata,
    };
    let fields = invocation.fields()?;
    let Ready { call, prompt, dialect, screen, heading } = invocation.ready(cx, fields).await?;
    let script = Chunks { start, writer: dialect.writer(heading), is_guarded: screen.is_some() };
    let body = begin(cx, call, prompt, screen, script).await?;
    let output = InvokeModelWithResponseStreamOutput {
        content_type: JSON.to_owned(),
        performance_config_latency: input.performance_config_latency,
        service_tier: input.service_tier,
    };
    Ok(Streaming { output, body, status: None })
}

/// The form of a body and what it asks.
fn parse(model_id: &str, mut fields: Map<String, Json>) -> Result<(Dialect, Prompt), Refusal> {
    let suffix = suffix(fields.remove("amazon-bedrock-guardrailConfig"))?;
    let dialect = Dialect::of(model_id, &fields)?;
    let mut prompt = dialect.prompt(fields)?;
    if let Some(suffix) = suffix {
        for turn in prompt.turns.iter_mut().filter(|turn| turn.role != "tool") {
            turn.parts = std::mem::take(&mut turn.parts).into_iter().flat_map(|part| split_tagged(part, &suffix)).collect();
        }
    }
    prompt.check()?;
    Ok((dialect, prompt))
}

/// Whether the body wants its answer before the guardrail is done with it.
fn is_asynchronous(fields: &Map<String, Json>) -> Result<bool, Refusal> {
    let mode = fields.get("amazon-bedrock-guardrailConfig").and_then(|config| config.get("streamProcessingMode"));
    match mode.map(Json::as_str) {
        None | Some(Some("SYNCHRONOUS")) => Ok(false),
        Some(Some("ASYNCHRONOUS")) => Ok(true),
        Some(_) => Err(Refusal::invalid("`streamProcessingMode` must be SYNCHRONOUS or ASYNCHRONOUS.")),
    }
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
        shown.insert("input".to_owned(), plain(input.into_value(), false));
    }
    if let Some(outputs) = trace.output_assessments {
        let each = outputs
            .into_iter()
            .flat_map(|(id, list)| list.into_iter().map(move |one| json!({ id.clone(): plain(one.into_value(), false) })));
        shown.insert("outputs".to_owned(), each.collect());
    }
    if let Some(reason) = trace.action_reason {
        shown.insert("actionReason".to_owned(), json!(reason));
    }
    fields.insert("amazon-bedrock-trace".to_owned(), json!({ "guardrail": shown }));
}

/// Writes the model's own events into chunks.
struct Chunks {
    start: std::time::Instant,
    writer: Box<dyn Writer>,
    is_guarded: bool,
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
        Self::wrap(self.writer.begin())
    }

    fn step(&mut self, step: Step) -> Vec<Value> {
        Self::wrap(self.writer.step(step))
    }

    /// The last event bears what the guardrail did and what the call cost.
    fn end(&mut self, ending: Ending) -> Vec<Value> {
        let mut events = self.writer.end(&ending);
        if let Some(last) = events.last_mut() {
            if self.is_guarded {
                add_guardrail(last, ending.intervened, ending.trace);
            }
            add_metrics(last, ending.tokens, elapsed_ms(self.start));
        }
        Self::wrap(events)
    }

    /// The chunks, as the model's form has them.
    fn logged(events: Vec<Value>) -> Json {
        let chunk = |event: Value| match event.path("chunk.bytes") {
            Some(Value::Bytes(bytes)) => serde_json::from_slice::<Json>(bytes).ok(),
            _ => None,
        };
        events.into_iter().filter_map(chunk).collect()
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
    fn bodies_that_ask_nothing_are_refused() {
        let read = |body: Json| serde_json::to_vec(&body).map(|bytes| prompt_of_body("m", &bytes)).unwrap();
        let messages = json!([{ "role": "user", "content": "hi" }]);
        assert_eq!(read(json!({ "messages": messages, "temperature": 1 })).unwrap().request.temperature, Some(1.0));
        for body in [json!([]), json!({}), json!({ "prompt": 1 }), json!({ "messages": [] })] {
            assert!(read(body).is_err());
        }
    }
}
