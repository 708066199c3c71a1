//! `Converse`: the conversation in Bedrock's form, to and from the chat protocol.
//!
//! Source: Bedrock API reference, `Converse`. The result of a tool that failed is told to the model with the words `error: ` before it,
//! because the chat protocol has no status for it. Cache points are hints, and have no effect.

use api_bedrock_runtime::{
    ContentBlock, ConversationRole, ConverseInput, ConverseMetrics, ConverseOutput, ConverseOutputShape, ConverseTrace, DocumentBlock,
    DocumentSource, GuardrailConverseContentBlock, GuardrailConverseContentQualifier, GuardrailTrace, ImageBlock, ImageSource,
    InferenceConfiguration, Message, OutputConfig, OutputFormatStructure, PerformanceConfigLatency, PerformanceConfiguration, ServiceTier,
    ServiceTierType, SystemContentBlock, TokenUsage, Tool, ToolChoice, ToolConfiguration, ToolInputSchema, ToolResultBlock,
    ToolResultContentBlock, ToolResultStatus, ToolUseBlock,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use guard::Qualifier;
use plane::{ApiError, Call};
use serde_json::{Value as Json, json};
use wire::IntoValue as _;

use super::elapsed_ms;
use super::exchange::{Answer, Tokens};
use super::model_call::{ModelCall, plain};
use super::prompt::{Mark, Part, Prompt, Turn};
use super::screen::{Screen, Trace};
use crate::refusal::Refusal;
use crate::upstream::chat::{CalledFunction, ChatFunction, ChatRequest, ChatTool, ChatToolCall, ContentPart, Media};
use crate::upstream::document_media_type;

/// Members of a chat request that the call says elsewhere.
const OWN: [&str; 11] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "tools",
    "tool_choice",
    "response_format",
];

/// What `Converse` and `ConverseStream` have in common.
#[derive(Clone, Default)]
pub(super) struct Conversation {
    pub(super) messages: Option<Vec<Message>>,
    pub(super) system: Option<Vec<SystemContentBlock>>,
    pub(super) inference: Option<InferenceConfiguration>,
    pub(super) tools: Option<ToolConfiguration>,
    pub(super) further: Option<Json>,
    pub(super) response_paths: Option<Vec<String>>,
    pub(super) has_variables: bool,
    pub(super) performance: Option<PerformanceConfiguration>,
    pub(super) tier: Option<ServiceTier>,
    pub(super) output: Option<OutputConfig>,
}

/// Pairs as a JSON object.
pub(super) fn metadata(pairs: Option<wire::Secret<std::collections::BTreeMap<String, String>>>) -> Option<Json> {
    pairs.map(|pairs| json!(pairs.into_inner()))
}

pub(crate) async fn converse(cx: &mut Call, input: ConverseInput) -> Result<ConverseOutput, ApiError> {
    let start = std::time::Instant::now();
    let config = input.guardrail_config.unwrap_or_default();
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
    prompt.check_media(screen.as_ref().is_some_and(|screen| !screen.passes_images()))?;
    let asked = call.exchange(prompt, screen.as_ref()).await;
    let answered = asked.and_then(|answer| {
        let tokens = answer.tokens;
        output(answer, elapsed_ms(start)).map(|output| (output, tokens))
    });
    match answered {
        Ok((output, tokens)) => {
            call.end(Ok(tokens), || plain(output.clone().into_value(), false));
            Ok(ConverseOutput { performance_config, service_tier, ..output })
        }
        Err(error) => {
            call.end(Err(&error), || Json::Null);
            Err(error)
        }
    }
}

pub(super) fn trace_of(trace: Option<&GuardrailTrace>) -> Result<Trace, Refusal> {
    match trace {
        None | Some(GuardrailTrace::Disabled) => Ok(Trace::Disabled),
        Some(GuardrailTrace::Enabled) => Ok(Trace::Enabled),
        Some(GuardrailTrace::EnabledFull) => Ok(Trace::Full),
        Some(GuardrailTrace::Other(other)) => Err(Refusal::invalid(format!("`{other}` is not a trace setting."))),
    }
}

pub(super) fn token_usage(tokens: Tokens) -> TokenUsage {
    TokenUsage {
        input_tokens: tokens.input,
        output_tokens: tokens.output,
        total_tokens: tokens.input.saturating_add(tokens.output),
        ..TokenUsage::default()
    }
}

fn output(answer: Answer, latency_ms: i64) -> Result<ConverseOutput, ApiError> {
    let mut content: Vec<ContentBlock> = answer.text.into_iter().map(ContentBlock::Text).collect();
    for call in answer.tool_calls {
        let input = arguments(&call.function.arguments)?;
        content.push(ContentBlock::ToolUse(ToolUseBlock { tool_use_id: call.id, name: call.function.name, input, type_: None }));
    }
    Ok(ConverseOutput {
        output: ConverseOutputShape::Message(Message { role: ConversationRole::Assistant, content }),
        stop_reason: answer.stop.converse(),
        usage: token_usage(answer.tokens),
        metrics: ConverseMetrics { latency_ms },
        additional_model_response_fields: None,
        trace: answer.trace.map(|guardrail| ConverseTrace { guardrail: Some(guardrail), prompt_router: None }),
        performance_config: None,
        service_tier: None,
    })
}

/// A model writes the arguments of a call as a text, which may be no JSON.
pub(super) fn arguments(text: &str) -> Result<Json, ApiError> {
    if text.trim().is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_str(text)
        .map_err(|_| crate::upstream::fault::model_error(None, "the model called a tool with arguments that are not JSON"))
}

impl Conversation {
    /// The body of the log entry.
    pub(super) fn logged(self, images: bool) -> Json {
        let mut body = serde_json::Map::new();
        let mut set = |name: &str, value: Option<Json>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        let list = |values: Vec<wire::Value>| values.into_iter().map(|value| plain(value, images)).collect::<Json>();
        set("messages", self.messages.map(|messages| list(messages.into_iter().map(wire::IntoValue::into_value).collect())));
        set("system", self.system.map(|blocks| list(blocks.into_iter().map(wire::IntoValue::into_value).collect())));
        set("inferenceConfig", self.inference.map(|config| plain(config.into_value(), images)));
        set("toolConfig", self.tools.map(|config| plain(config.into_value(), images)));
        set("additionalModelRequestFields", self.further);
        Json::Object(body)
    }

    pub(super) fn into_prompt(self) -> Result<Prompt, Refusal> {
        self.check_supported()?;
        let mut prompt = Prompt { request: self.request()?, ..Prompt::default() };
        for block in self.system.into_iter().flatten() {
            let part = match block {
                SystemContentBlock::Text(text) => Part { text, mark: Mark::Exempt },
                SystemContentBlock::GuardContent(content) => guarded(content)?,
                SystemContentBlock::CachePoint(_) => continue,
                SystemContentBlock::Unknown => return Err(Refusal::invalid("A system content block is empty.")),
            };
            prompt.turns.push(Turn { role: "system", parts: vec![part], ..Turn::default() });
        }
        for message in self.messages.into_iter().flatten() {
            prompt.turns.extend(turns(message)?);
        }
        prompt.check()?;
        Ok(prompt)
    }

    fn check_supported(&self) -> Result<(), Refusal> {
        let performance = self.performance.as_ref().and_then(|performance| performance.latency.as_ref());
        let is_optimized = performance.is_some_and(|latency| *latency != PerformanceConfigLatency::Standard);
        let is_tiered = self.tier.as_ref().is_some_and(|tier| tier.type_ != ServiceTierType::Default);
        let has_effort = self.output.as_ref().is_some_and(|output| output.effort.is_some());
        for (given, what) in [
            (self.has_variables, "`promptVariables`"),
            (self.response_paths.as_ref().is_some_and(|paths| !paths.is_empty()), "`additionalModelResponseFieldPaths`"),
            (is_optimized, "`performanceConfig` other than standard"),
            (is_tiered, "`serviceTier` other than default"),
            (has_effort, "`outputConfig.effort`"),
        ] {
            if given {
                return Err(Refusal::unsupported(what));
            }
        }
        Ok(())
    }

    /// Parameters, without messages.
    fn request(&self) -> Result<ChatRequest, Refusal> {
        let inference = self.inference.clone().unwrap_or_default();
        let further = match &self.further {
            None | Some(Json::Null) => serde_json::Map::new(),
            Some(Json::Object(fields)) => fields.clone(),
            Some(_) => return Err(Refusal::invalid("`additionalModelRequestFields` must be an object.")),
        };
        if let Some(name) = further.keys().find(|name| OWN.contains(&name.as_str())) {
            return Err(Refusal::invalid(format!(
                "`additionalModelRequestFields` must not contain `{name}`, which the request says elsewhere."
            )));
        }
        let (tools, tool_choice) = self.tools.as_ref().map(tools).transpose()?.unwrap_or_default();
        Ok(ChatRequest {
            max_tokens: inference.max_tokens.map(i64::from),
            temperature: inference.temperature,
            top_p: inference.top_p,
            stop: inference.stop_sequences.filter(|stops| !stops.is_empty()),
            tools,
            tool_choice,
            response_format: self
                .output
                .as_ref()
                .and_then(|output| output.text_format.as_ref())
                .map(|format| response_format(&format.structure))
                .transpose()?,
            further,
            ..ChatRequest::default()
        })
    }
}

fn response_format(structure: &OutputFormatStructure) -> Result<Json, Refusal> {
    let OutputFormatStructure::JsonSchema(schema) = structure else {
        return Err(Refusal::invalid("The structure of the text format must be a JSON schema."));
    };
    let parsed: Json =
        serde_json::from_str(&schema.schema).map_err(|_| Refusal::invalid("The JSON schema of the text format is not JSON."))?;
    let name = schema.name.as_deref().unwrap_or("answer");
    Ok(json!({ "type": "json_schema", "json_schema": { "name": name, "description": schema.description, "schema": parsed } }))
}

type Tools = (Option<Vec<ChatTool>>, Option<Json>);

fn tools(config: &ToolConfiguration) -> Result<Tools, Refusal> {
    let mut tools = Vec::new();
    for tool in &config.tools {
        match tool {
            Tool::ToolSpec(spec) => {
                let ToolInputSchema::Json(schema) = &spec.input_schema else {
                    return Err(Refusal::invalid(format!("The tool `{}` has no input schema.", spec.name)));
                };
                let function = ChatFunction {
                    name: spec.name.clone(),
                    description: spec.description.clone(),
                    parameters: Some(schema.clone()),
                    strict: spec.strict,
                };
                tools.push(ChatTool { kind: "function".to_owned(), function });
            }
            Tool::CachePoint(_) => {}
            Tool::SystemTool(_) => return Err(Refusal::unsupported("a system tool")),
            Tool::Unknown => return Err(Refusal::invalid("A tool is empty.")),
        }
    }
    let choice = match &config.tool_choice {
        None => None,
        Some(ToolChoice::Auto(_)) => Some(json!("auto")),
        Some(ToolChoice::Any(_)) => Some(json!("required")),
        Some(ToolChoice::Tool(tool)) => Some(json!({ "type": "function", "function": { "name": tool.name } })),
        Some(ToolChoice::Unknown) => return Err(Refusal::invalid("The tool choice is empty.")),
    };
    Ok((Some(tools), choice))
}

fn guarded(content: GuardrailConverseContentBlock) -> Result<Part, Refusal> {
    match content {
        GuardrailConverseContentBlock::Text(block) => {
            let qualifiers = block.qualifiers.unwrap_or_default().iter().map(qualifier).collect::<Result<_, _>>()?;
            Ok(Part { text: block.text, mark: Mark::Guarded(qualifiers) })
        }
        GuardrailConverseContentBlock::Image(_) => Err(Refusal::unsupported("an image in `guardContent`")),
        GuardrailConverseContentBlock::Unknown => Err(Refusal::invalid("A `guardContent` block is empty.")),
    }
}

fn qualifier(qualifier: &GuardrailConverseContentQualifier) -> Result<Qualifier, Refusal> {
    match qualifier {
        GuardrailConverseContentQualifier::GroundingSource => Ok(Qualifier::GroundingSource),
        GuardrailConverseContentQualifier::Query => Ok(Qualifier::Query),
        GuardrailConverseContentQualifier::GuardContent => Ok(Qualifier::GuardContent),
        GuardrailConverseContentQualifier::Other(other) => Err(Refusal::invalid(format!("`{other}` is not a qualifier."))),
    }
}

/// The turns of a message: results of tools are turns of their own, before what the user says.
fn turns(message: Message) -> Result<Vec<Turn>, Refusal> {
    let (role, mark) = match &message.role {
        ConversationRole::User => ("user", Mark::Unmarked),
        ConversationRole::Assistant => ("assistant", Mark::Unmarked),
        ConversationRole::System => ("system", Mark::Exempt),
        ConversationRole::Other(other) => return Err(Refusal::invalid(format!("`{other}` is not a role."))),
    };
    let mut turn = Turn { role, ..Turn::default() };
    let mut results = Vec::new();
    for block in message.content {
        match block {
            ContentBlock::Text(text) => turn.parts.push(Part { text, mark: mark.clone() }),
            ContentBlock::GuardContent(content) => turn.parts.push(guarded(content)?),
            ContentBlock::ToolUse(used) if role == "assistant" => turn.tool_calls.push(ChatToolCall {
                id: used.tool_use_id,
                kind: "function".to_owned(),
                function: CalledFunction { name: used.name, arguments: used.input.to_string() },
            }),
            ContentBlock::ToolResult(result) if role == "user" => results.push(tool_turn(result)?),
            ContentBlock::CachePoint(_) => {}
            ContentBlock::Image(image) if role == "user" => turn.media.push((turn.parts.len(), picture(image)?)),
            ContentBlock::Document(document) if role == "user" => turn.media.push((turn.parts.len(), paper(document)?)),
            ContentBlock::Unknown => return Err(Refusal::invalid("A content block is empty.")),
            ContentBlock::ToolUse(_) | ContentBlock::ToolResult(_) | ContentBlock::Image(_) | ContentBlock::Document(_) => {
                return Err(Refusal::invalid(format!("A message of the role `{role}` cannot contain this block.")));
            }
            other => return Err(Refusal::unsupported(format!("a content block of the type `{}`", other.member()))),
        }
    }
    if results.is_empty() || !turn.parts.is_empty() || !turn.media.is_empty() {
        results.push(turn);
    }
    Ok(results)
}

fn medium(media_type: String, name: String, bytes: &Bytes) -> Media {
    Media { media_type, name, base64: STANDARD.encode(bytes) }
}

fn picture(block: ImageBlock) -> Result<ContentPart, Refusal> {
    match block.source.into_inner() {
        ImageSource::Bytes(bytes) => Ok(ContentPart::Image(medium(format!("image/{}", block.format.as_str()), String::new(), &bytes))),
        ImageSource::S3Location(_) => Err(Refusal::unsupported("an image by its S3 location")),
        ImageSource::Unknown => Err(Refusal::invalid("The source of an image is empty.")),
    }
}

fn paper(block: DocumentBlock) -> Result<ContentPart, Refusal> {
    if block.citations.as_ref().is_some_and(|citations| citations.enabled) {
        return Err(Refusal::unsupported("a document with citations"));
    }
    let format = block.format.as_ref().map_or("txt", |format| format.as_str());
    let media_type = document_media_type(format).ok_or_else(|| Refusal::invalid(format!("`{format}` is not a document format.")))?;
    let bytes = match block.source {
        DocumentSource::Bytes(bytes) => bytes,
        DocumentSource::Text(text) => Bytes::from(text),
        other => return Err(Refusal::unsupported(format!("a document whose source is `{}`", other.member()))),
    };
    Ok(ContentPart::Document(medium(media_type.to_owned(), block.name, &bytes)))
}

fn tool_turn(result: ToolResultBlock) -> Result<Turn, Refusal> {
    let mut texts = Vec::new();
    for content in result.content {
        texts.push(match content {
            ToolResultContentBlock::Text(text) => text,
            ToolResultContentBlock::Json(json) => json.to_string(),
            ToolResultContentBlock::Unknown => return Err(Refusal::invalid("The content of a tool result is empty.")),
            other => return Err(Refusal::unsupported(format!("a tool result of the type `{}`", other.member()))),
        });
    }
    let failed = result.status == Some(ToolResultStatus::Error);
    let text = format!("{}{}", if failed { "error: " } else { "" }, texts.join("\n"));
    Ok(Turn { role: "tool", parts: vec![Part { text, mark: Mark::Exempt }], tool_call_id: Some(result.tool_use_id), ..Turn::default() })
}

#[cfg(test)]
mod tests {
    use super::super::exchange::Stop;
    use super::*;
    use wire::{FromValue as _, Value};

    fn conversation(messages: Vec<Message>) -> Conversation {
        Conversation { messages: Some(messages), ..Conversation::default() }
    }

    fn message(role: ConversationRole, content: Vec<ContentBlock>) -> Message {
        Message { role, content }
    }

    #[test]
    fn a_conversation_with_tools_becomes_a_chat() {
        let used = ToolUseBlock { tool_use_id: "t1".to_owned(), name: "weather".to_owned(), input: json!({ "city": "Bern" }), type_: None };
        let result = ToolResultBlock {
            tool_use_id: "t1".to_owned(),
            content: vec![ToolResultContentBlock::Json(json!({ "sky": "blue" })), ToolResultContentBlock::Text("mild".to_owned())],
            status: Some(ToolResultStatus::Error),
            type_: None,
        };
        let mut conversation = conversation(vec![
            message(ConversationRole::User, vec![ContentBlock::Text("Weather?".to_owned())]),
            message(ConversationRole::Assistant, vec![ContentBlock::ToolUse(used)]),
            message(ConversationRole::User, vec![ContentBlock::Text("And?".to_owned()), ContentBlock::ToolResult(result)]),
        ]);
        conversation.system = Some(vec![SystemContentBlock::Text("Be brief.".to_owned())]);
        conversation.inference = Some(InferenceConfiguration {
            max_tokens: Some(9),
            temperature: Some(0.5),
            top_p: None,
            stop_sequences: Some(vec!["END".to_owned()]),
        });
        conversation.further = Some(json!({ "seed": 7 }));
        conversation.tools = Some(ToolConfiguration {
            tools: vec![Tool::ToolSpec(api_bedrock_runtime::ToolSpecification {
                name: "weather".to_owned(),
                description: None,
                input_schema: ToolInputSchema::Json(json!({ "type": "object" })),
                strict: None,
            })],
            tool_choice: Some(ToolChoice::from_value(Value::Struct(wire::Struct::new())).unwrap()),
        });
        assert!(conversation.request().is_err());
        conversation.tools.as_mut().unwrap().tool_choice = Some(ToolChoice::Any(api_bedrock_runtime::AnyToolChoice::default()));
        let mut prompt = conversation.into_prompt().unwrap();
        prompt.request.model = "m".to_owned();
        let request = prompt.into_request(true);
        let json = serde_json::to_value(&request).unwrap();
        assert_eq!(
            json,
            json!({
                "model": "m",
                "messages": [
                    { "role": "system", "content": "Be brief." },
                    { "role": "user", "content": "Weather?" },
                    { "role": "assistant", "content": null, "tool_calls": [
                        { "id": "t1", "type": "function", "function": { "name": "weather", "arguments": "{\"city\":\"Bern\"}" } },
                    ] },
                    { "role": "tool", "content": "error: {\"sky\":\"blue\"}\nmild", "tool_call_id": "t1" },
                    { "role": "user", "content": "And?" },
                ],
                "stream": true, "stream_options": { "include_usage": true },
                "max_tokens": 9, "temperature": 0.5, "stop": ["END"],
                "tools": [{ "type": "function", "function": { "name": "weather", "parameters": { "type": "object" } } }],
                "tool_choice": "required",
                "seed": 7,
            })
        );
    }

    #[test]
    fn what_cannot_be_passed_on_is_refused() {
        let image = ContentBlock::from_value(Value::Struct(wire::Struct::new())).unwrap();
        let refused = |content| conversation(vec![message(ConversationRole::User, vec![content])]).into_prompt().unwrap_err().to_string();
        assert_eq!(refused(image), "A content block is empty.");
        let citations = ContentBlock::CitationsContent(api_bedrock_runtime::CitationsContentBlock::default());
        assert!(refused(citations).starts_with("a content block of the type `citationsContent` is not supported"));
        let mut taken = conversation(vec![message(ConversationRole::User, vec![ContentBlock::Text("x".to_owned())])]);
        taken.further = Some(json!({ "messages": [] }));
        assert!(taken.into_prompt().is_err());
        let first = conversation(vec![message(ConversationRole::Assistant, vec![ContentBlock::Text("x".to_owned())])]);
        assert!(first.into_prompt().unwrap_err().to_string().starts_with("A conversation must start with a user message."));
    }

    #[test]
    fn an_answer_becomes_an_output() {
        let call = ChatToolCall {
            id: "t1".to_owned(),
            kind: "function".to_owned(),
            function: CalledFunction { name: "weather".to_owned(), arguments: "{\"city\":\"Bern\"}".to_owned() },
        };
        let answer = |arguments: &str| Answer {
            text: Some("Let me look.".to_owned()),
            tool_calls: vec![ChatToolCall {
                function: CalledFunction { arguments: arguments.to_owned(), ..call.function.clone() },
                ..call.clone()
            }],
            stop: Stop::ToolUse,
            tokens: Tokens { input: 3, output: 4 },
            intervened: false,
            trace: None,
        };
        let output = output(answer("{\"city\":\"Bern\"}"), 12).unwrap();
        let ConverseOutputShape::Message(message) = output.output else { panic!("a message is expected") };
        assert_eq!(message.content.len(), 2);
        assert_eq!(output.usage.total_tokens, 7);
        assert_eq!(output.stop_reason.as_str(), "tool_use");
        assert_eq!(super::output(answer("{"), 12).unwrap_err().code, "ModelErrorException");
    }
}
