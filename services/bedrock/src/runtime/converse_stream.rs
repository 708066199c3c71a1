//! `ConverseStream`: the answer while it is written.
//!
//! Source: Bedrock API reference, `ConverseStream`. With `streamProcessingMode` `async` less is held back: see
//! [`guard::StreamPace`].

use api_bedrock_runtime::{
    ContentBlockDelta, ContentBlockDeltaEvent, ContentBlockStart, ContentBlockStartEvent, ContentBlockStopEvent, ConversationRole,
    ConverseStreamEvent, ConverseStreamInput, ConverseStreamMetadataEvent, ConverseStreamMetrics, ConverseStreamOutput,
    ConverseStreamTrace, GuardrailStreamProcessingMode, MessageStartEvent, MessageStopEvent, PerformanceConfiguration, ServiceTier,
    ToolUseBlockDelta, ToolUseBlockStart,
};
use plane::service::Streaming;
use plane::{ApiError, Call};
use serde_json::{Value as Json, json};
use wire::{IntoValue as _, Value};

use super::converse::{Conversation, metadata, token_usage, trace_of};
use super::elapsed_ms;
use super::model_call::{ModelCall, plain};
use super::screen::Screen;
use super::stream::{Ending, Script, Step, begin};
use crate::refusal::Refusal;

pub(crate) async fn converse_stream(cx: &mut Call, input: ConverseStreamInput) -> Result<Streaming<ConverseStreamOutput>, ApiError> {
    let start = std::time::Instant::now();
    let config = input.guardrail_config.unwrap_or_default();
    if let Some(GuardrailStreamProcessingMode::Other(other)) = &config.stream_processing_mode {
        return Err(Refusal::invalid(format!("`{other}` is not a stream processing mode.")).into());
    }
    let conversation = Conversation {
        messages: input.messages,
        system: input.system,
        inference: input.inference_config,
        tools: input.tool_config,
        further: input.additional_model_request_fields,
        response_paths: input.additional_model_response_field_paths,
        has_variables: input.prompt_variables.is_some(),
        performance: input.performance_config,
        tier: input.service_tier,
        output: input.output_config,
    };
    let logged = conversation.clone();
    let (performance_config, service_tier) = (conversation.performance.clone(), conversation.tier.clone());
    let mut prompt = conversation.into_prompt()?;
    let call =
        ModelCall::of_prompt(cx, &input.model_id, metadata(input.request_metadata), &mut prompt, |images| logged.logged(images)).await?;
    let trace = trace_of(config.trace.as_ref())?;
    let screen = Screen::of_call(cx, config.guardrail_identifier.as_deref(), config.guardrail_version.as_deref(), trace).await?;
    let is_async = config.stream_processing_mode == Some(GuardrailStreamProcessingMode::Async);
    let screen = screen.map(|screen| screen.asynchronous(is_async));
    prompt.check_media(screen.as_ref().is_some_and(|screen| !screen.passes_images()))?;
    let script = Events { start, index: 0, open: Open::Nothing, performance_config, service_tier };
    let body = begin(cx, call, prompt, screen, script).await?;
    Ok(Streaming { output: ConverseStreamOutput {}, body, status: None })
}

/// The content block that is being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    Text,
    Tool,
}

/// Writes the events of `ConverseStream`.
struct Events {
    start: std::time::Instant,
    index: i32,
    open: Open,
    performance_config: Option<PerformanceConfiguration>,
    service_tier: Option<ServiceTier>,
}

impl Events {
    fn close(&mut self, events: &mut Vec<Value>) {
        if self.open != Open::Nothing {
            let stop = ContentBlockStopEvent { content_block_index: self.index };
            events.push(ConverseStreamEvent::ContentBlockStop(stop).into_value());
            self.index = self.index.saturating_add(1);
            self.open = Open::Nothing;
        }
    }

    fn delta(&self, delta: ContentBlockDelta) -> Value {
        ConverseStreamEvent::ContentBlockDelta(ContentBlockDeltaEvent { delta, content_block_index: self.index }).into_value()
    }
}

impl Script for Events {
    fn begin(&mut self) -> Vec<Value> {
        vec![ConverseStreamEvent::MessageStart(MessageStartEvent { role: ConversationRole::Assistant }).into_value()]
    }

    fn step(&mut self, step: Step) -> Vec<Value> {
        let mut events = Vec::new();
        match step {
            Step::Text(text) => {
                if self.open == Open::Tool {
                    self.close(&mut events);
                }
                self.open = Open::Text;
                events.push(self.delta(ContentBlockDelta::Text(text)));
            }
            Step::ToolStart { id, name } => {
                self.close(&mut events);
                self.open = Open::Tool;
                let start = ContentBlockStart::ToolUse(ToolUseBlockStart { tool_use_id: id, name, type_: None });
                let start = ContentBlockStartEvent { start, content_block_index: self.index };
                events.push(ConverseStreamEvent::ContentBlockStart(start).into_value());
            }
            Step::ToolInput(input) => events.push(self.delta(ContentBlockDelta::ToolUse(ToolUseBlockDelta { input }))),
        }
        events
    }

    fn end(&mut self, ending: Ending) -> Vec<Value> {
        let mut events = Vec::new();
        self.close(&mut events);
        let stop = MessageStopEvent { stop_reason: ending.stop.converse(), additional_model_response_fields: None };
        events.push(ConverseStreamEvent::MessageStop(stop).into_value());
        let metadata = ConverseStreamMetadataEvent {
            usage: token_usage(ending.tokens),
            metrics: ConverseStreamMetrics { latency_ms: elapsed_ms(self.start) },
            trace: ending.trace.map(|guardrail| ConverseStreamTrace { guardrail: Some(guardrail), prompt_router: None }),
            performance_config: self.performance_config.take(),
            service_tier: self.service_tier.take(),
        };
        events.push(ConverseStreamEvent::Metadata(metadata).into_value());
        events
    }

    /// The message that the events make together, as `Converse` would have given it.
    fn logged(events: Vec<Value>) -> Json {
        let mut content: Vec<Json> = Vec::new();
        let mut body = serde_json::Map::new();
        for event in events.into_iter().map(|event| plain(event, false)) {
            if let Some(start) = event.pointer("/contentBlockStart/start/toolUse") {
                content.push(json!({ "toolUse": start, "input": "" }));
            }
            if let Some(text) = event.pointer("/contentBlockDelta/delta/text").and_then(Json::as_str) {
                match content.last_mut().and_then(|last| last.get_mut("text")) {
                    Some(Json::String(said)) => said.push_str(text),
                    _ => content.push(json!({ "text": text })),
                }
            }
            if let Some(input) = event.pointer("/contentBlockDelta/delta/toolUse/input").and_then(Json::as_str)
                && let Some(Json::String(said)) = content.last_mut().and_then(|last| last.get_mut("input"))
            {
                said.push_str(input);
            }
            if let Some(reason) = event.pointer("/messageStop/stopReason") {
                body.insert("stopReason".to_owned(), reason.clone());
            }
            for name in ["usage", "metrics", "trace"] {
                if let Some(part) = event.pointer(&format!("/metadata/{name}")) {
                    body.insert(name.to_owned(), part.clone());
                }
            }
        }
        body.insert("output".to_owned(), json!({ "message": { "role": "assistant", "content": content } }));
        Json::Object(body)
    }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::{Stop, Tokens};
    use super::*;

    #[test]
    fn blocks_open_and_close_in_order() {
        let mut script =
            Events { start: std::time::Instant::now(), index: 0, open: Open::Nothing, performance_config: None, service_tier: None };
        let mut events = script.begin();
        for step in [
            Step::Text("a".to_owned()),
            Step::Text("b".to_owned()),
            Step::ToolStart { id: "t".to_owned(), name: "n".to_owned() },
            Step::ToolInput("{}".to_owned()),
        ] {
            events.extend(script.step(step));
        }
        events.extend(script.end(Ending { stop: Stop::ToolUse, tokens: Tokens::default(), intervened: false, trace: None }));
        let names: Vec<String> = events
            .iter()
            .map(|event| {
                let (name, content) = event.as_struct().unwrap().iter().next().unwrap();
                match content.member("contentBlockIndex") {
                    Some(Value::Int(index)) => format!("{name} {index}"),
                    _ => name.to_owned(),
                }
            })
            .collect();
        assert_eq!(
            names,
            [
                "messageStart",
                "contentBlockDelta 0",
                "contentBlockDelta 0",
                "contentBlockStop 0",
                "contentBlockStart 1",
                "contentBlockDelta 1",
                "contentBlockStop 1",
                "messageStop",
                "metadata",
            ]
        );
    }

    /// The bytes of a guarded stream; `tests/client/test_guardrail_stream.py` reads the same file with botocore.
    #[test]
    fn golden_frames() {
        let service = facts::catalog().service("bedrock-runtime").unwrap();
        let output = service.operation("ConverseStream").unwrap().output.unwrap();
        let is_stream = |id| matches!(service.shape(id).kind, facts::ShapeKind::Structure { event_stream: true, .. });
        let union = service.members(output).iter().find(|member| is_stream(member.shape)).unwrap().shape;
        let mut script =
            Events { start: std::time::Instant::now(), index: 0, open: Open::Nothing, performance_config: None, service_tier: None };
        let mut events = script.begin();
        events.extend(script.step(Step::Text("Write to {EMAIL}, é 😀.".to_owned())));
        events.extend(script.step(Step::ToolStart { id: "t1".to_owned(), name: "send".to_owned() }));
        events.extend(script.step(Step::ToolInput("{\"to\":\"{EMAIL}\"}".to_owned())));
        events.extend(script.end(Ending { stop: Stop::Guardrail, tokens: Tokens { input: 3, output: 4 }, intervened: true, trace: None }));
        // The last event tells the time that passed.
        events.pop();
        let frame = |event: &Value| hex::encode(wire::event::encode_event(facts::Protocol::RestJson, service, union, event).unwrap());
        let mut lines: Vec<String> = events.iter().map(frame).collect();
        let refusal = wire::ErrorReply {
            code: "ValidationException".to_owned(),
            message: "The guardrail cannot assess the content.".to_owned(),
            status: 400,
            sender_fault: true,
            members: Vec::new(),
        };
        lines.push(hex::encode(wire::event::encode_exception(facts::Protocol::RestJson, service, union, &refusal).unwrap()));
        insta::assert_snapshot!(lines.join("\n"));
    }
}
