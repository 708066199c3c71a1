//! Streamed answers: the upstream's events in, the caller's frames out, with the guardrail between them.

use api_bedrock_runtime::GuardrailTraceAssessment;
use bytes::Bytes;
use facts::{Protocol, Service, ShapeId, ShapeKind};
use futures_util::stream::poll_fn;
use guard::{Direction, Segment};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use plane::body::{Body, BodyError};
use plane::{ApiError, Call};
use serde_json::Value as Json;
use tokio::sync::mpsc;
use wire::{ErrorReply, Value};

use super::exchange::{Answer, Stop, Tokens};
use super::model_call::ModelCall;
use super::prompt::Prompt;
use super::screen::{AnswerGuard, Screen, Screened, too_long};
use crate::upstream::chat::{CalledFunction, ChatChunk, ChatToolCall, ChatUsage, ToolCallDelta};
use crate::upstream::chunks::Chunks;
use crate::upstream::fault::stream_error;

/// Frames that wait for a slow caller; then the upstream waits too.
const FRAMES: usize = 64;
/// Most of a stream's events that are kept for the invocation log.
const LOGGED_EVENTS_MAX: usize = 50_000;

/// A step of an answer that may be shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Text(String),
    ToolStart { id: String, name: String },
    ToolInput(String),
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ending {
    pub(crate) stop: Stop,
    pub(crate) tokens: Tokens,
    pub(crate) intervened: bool,
    pub(crate) trace: Option<GuardrailTraceAssessment>,
}

/// Writes steps in the form of an operation. Each value is an event of the operation's union.
pub(crate) trait Script: Send + 'static {
    fn begin(&mut self) -> Vec<Value>;
    fn step(&mut self, step: Step) -> Vec<Value>;
    fn end(&mut self, ending: Ending) -> Vec<Value>;
    /// The body of the log entry of a stream that had these events.
    fn logged(events: Vec<Value>) -> Json;
}

/// Makes steps of the upstream's chunks. Text goes through the guard first; tool calls that must be screened are put together before.
pub(crate) struct Reader<'g> {
    screen: Option<&'g Screen>,
    guard: Option<AnswerGuard<'g>>,
    /// What the model wrote, and what of it is shown.
    written: String,
    shown: String,
    blocked: bool,
    /// Number and id of the tool call that is being written.
    in_tool: Option<(i32, String)>,
    /// A tool call that is not shown before it is whole.
    held: Option<ChatToolCall>,
    /// What was found in tool calls.
    tools: Screened,
    /// What was found in the whole answer, and how long that was.
    whole: Option<(usize, Screened)>,
    called_tool: bool,
    stop: Option<Stop>,
    usage: Option<ChatUsage>,
}

/// Longest arguments of a tool call that is held, bytes.
const ARGUMENTS_BYTES_MAX: usize = 1 << 20;

impl<'g> Reader<'g> {
    pub(crate) fn new(screen: Option<&'g Screen>) -> Self {
        Self {
            screen,
            guard: screen.map(Screen::answer_guard),
            written: String::new(),
            shown: String::new(),
            blocked: false,
            in_tool: None,
            held: None,
            tools: Screened::default(),
            whole: None,
            called_tool: false,
            stop: None,
            usage: None,
        }
    }

    /// Whether the guardrail has ended the answer.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    pub(crate) fn read(&mut self, chunk: ChatChunk) -> Result<Vec<Step>, ApiError> {
        let mut steps = Vec::new();
        if chunk.error.is_some() {
            return Err(stream_error("the model server broke the answer off"));
        }
        self.usage = chunk.usage.or(self.usage);
        let Some(choice) = chunk.choices.into_iter().next() else { return Ok(steps) };
        if let Some(text) = choice.delta.content.filter(|text| !text.is_empty()) {
            self.text(&text, &mut steps)?;
        }
        for call in choice.delta.tool_calls.into_iter().flatten() {
            self.tool(call, &mut steps)?;
        }
        if choice.finish_reason.is_some() {
            self.stop = Some(Stop::of(choice.finish_reason.as_deref(), choice.stop_reason.as_ref()));
        }
        Ok(steps)
    }

    fn text(&mut self, text: &str, steps: &mut Vec<Step>) -> Result<(), ApiError> {
        self.end_tool(steps)?;
        if self.blocked {
            return Ok(());
        }
        self.in_tool = None;
        let Some(screen) = self.screen else {
            self.shown.push_str(text);
            steps.push(Step::Text(text.to_owned()));
            return Ok(());
        };
        self.written.push_str(text);
        let step = self.guard.get_or_insert_with(|| screen.answer_guard()).push(text)?;
        self.show(step, steps);
        Ok(())
    }

    fn tool(&mut self, call: ToolCallDelta, steps: &mut Vec<Step>) -> Result<(), ApiError> {
        // Servers of one kind number all calls of an answer with 0, and tell them apart by their ids.
        let is_next =
            |(index, id): &(i32, String)| *index != call.index || call.id.as_ref().is_some_and(|next| !next.is_empty() && next != id);
        if self.in_tool.as_ref().is_none_or(is_next) {
            self.end_tool(steps)?;
            self.release(steps)?;
            if self.blocked {
                return Ok(());
            }
            let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{}", call.index));
            self.in_tool = Some((call.index, id.clone()));
            self.called_tool = true;
            let name = call.function.name.unwrap_or_default();
            if self.screen.is_some_and(Screen::holds_tools) {
                let function = CalledFunction { name, arguments: String::new() };
                self.held = Some(ChatToolCall { id, kind: "function".to_owned(), function });
            } else {
                steps.push(Step::ToolStart { id, name });
            }
        }
        let Some(input) = call.function.arguments.filter(|input| !input.is_empty()) else { return Ok(()) };
        match &mut self.held {
            Some(held) if held.function.arguments.len() + input.len() > ARGUMENTS_BYTES_MAX => {
                let bytes = held.function.arguments.len() + input.len();
                return Err(too_long(&guard::InputTooLong { bytes, limit_bytes: ARGUMENTS_BYTES_MAX }));
            }
            Some(held) => held.function.arguments.push_str(&input),
            None if self.blocked => {}
            None => steps.push(Step::ToolInput(input)),
        }
        Ok(())
    }

    /// Screens the tool call that was held, and shows it if it passes.
    fn end_tool(&mut self, steps: &mut Vec<Step>) -> Result<(), ApiError> {
        let (Some(mut call), Some(screen)) = (self.held.take(), self.screen) else { return Ok(()) };
        if self.blocked {
            return Ok(());
        }
        let found = screen.tool_call(&mut call)?;
        if found.assessment.is_blocked {
            self.blocked = true;
            let message = found.assessment.outputs.first().cloned().unwrap_or_default();
            self.shown.push_str(&message);
            steps.push(Step::Text(message));
        } else {
            steps.push(Step::ToolStart { id: call.id, name: call.function.name });
            if !call.function.arguments.is_empty() {
                steps.push(Step::ToolInput(call.function.arguments));
            }
        }
        self.tools.join(found);
        Ok(())
    }

    fn show(&mut self, step: guard::StreamStep, steps: &mut Vec<Step>) {
        self.blocked |= step.is_blocked;
        if !step.text.is_empty() {
            self.shown.push_str(&step.text);
            steps.push(Step::Text(step.text));
        }
    }

    /// Everything that the guard still holds.
    fn release(&mut self, steps: &mut Vec<Step>) -> Result<(), ApiError> {
        if let Some(guard) = self.guard.take()
            && !self.blocked
        {
            let step = match self.refusal_of_the_whole()? {
                Some(message) => guard::StreamStep { message_bytes: message.len(), text: message, is_blocked: true },
                None => guard.finish()?,
            };
            self.show(step, steps);
        }
        Ok(())
    }

    /// What is said in place of an answer that was held because it can only be judged whole, if it does not pass.
    fn refusal_of_the_whole(&mut self) -> Result<Option<String>, ApiError> {
        let Some(screen) = self.screen.filter(|screen| screen.holds_answers() && !self.written.is_empty()) else { return Ok(None) };
        let found = screen.run(Direction::Output, &[Segment::of(&self.written)])?;
        let message = found.assessment.is_blocked.then(|| found.assessment.outputs.first().cloned().unwrap_or_default());
        self.whole = Some((self.written.len(), found));
        Ok(message)
    }

    /// What was used so far.
    pub(crate) fn tokens(&self, asked: usize) -> Tokens {
        let said = self.written.chars().count().max(self.shown.chars().count());
        self.usage.map_or_else(|| Tokens::estimated(asked, said), Tokens::counted)
    }

    /// Ends the answer. `asked` is the length of the prompt, for upstreams that do not count; `input` what the guardrail said about it.
    pub(crate) fn finish(mut self, asked: usize, input: Option<&Screened>) -> Result<(Vec<Step>, Ending), ApiError> {
        let mut steps = Vec::new();
        self.end_tool(&mut steps)?;
        self.release(&mut steps)?;
        let tokens = self.tokens(asked);
        let changed = self.screen.is_some() && (self.shown != self.written || self.tools.intervened());
        let stop = match self.stop {
            _ if self.blocked || (changed && !self.called_tool) => Stop::Guardrail,
            Some(Stop::EndTurn) | None if self.called_tool => Stop::ToolUse,
            Some(stop) => stop,
            None => Stop::EndTurn,
        };
        let mut found = match self.screen {
            Some(_) if self.whole.as_ref().is_some_and(|(length, _)| *length == self.written.len()) => {
                self.whole.take().map(|(_, found)| found)
            }
            Some(screen) if !self.written.is_empty() => Some(screen.run(Direction::Output, &[Segment::of(&self.written)])?),
            _ => None,
        };
        if self.called_tool && self.screen.is_some() {
            found.get_or_insert_default().join(std::mem::take(&mut self.tools));
        }
        let trace = self.screen.and_then(|screen| {
            let written = Some(self.written.as_str()).filter(|written| changed && !written.is_empty());
            screen.trace(input, found.as_ref(), written)
        });
        let intervened = self.blocked || changed || input.is_some_and(Screened::intervened);
        Ok((steps, Ending { stop, tokens, intervened, trace }))
    }
}

/// Encodes events as frames.
#[derive(Clone, Copy)]
pub(crate) struct Framer {
    protocol: Protocol,
    service: &'static Service,
    union: ShapeId,
}

impl Framer {
    pub(crate) fn of(cx: &Call) -> Result<Self, ApiError> {
        let missing = || ApiError::internal(&"the operation has no event stream");
        let output = cx.operation.output.ok_or_else(missing)?;
        let is_stream = |id: ShapeId| matches!(cx.service.shape(id).kind, ShapeKind::Structure { event_stream: true, .. });
        let member = cx.service.members(output).iter().find(|member| is_stream(member.shape)).ok_or_else(missing)?;
        Ok(Self { protocol: cx.protocol, service: cx.service, union: member.shape })
    }

    pub(crate) fn event(self, event: &Value) -> Result<Bytes, ApiError> {
        let frame = wire::event::encode_event(self.protocol, self.service, self.union, event);
        frame.map(Bytes::from).map_err(|error| ApiError::internal(&error))
    }

    pub(crate) fn exception(self, error: &ApiError) -> Option<Bytes> {
        // Inside a stream only these can be told; others are the nearest of them.
        let code = match error.code.as_ref() {
            "ModelTimeoutException" if self.knows("ModelTimeoutException") => "ModelTimeoutException",
            "ModelErrorException" | "ModelStreamErrorException" | "ModelTimeoutException" => "ModelStreamErrorException",
            "ValidationException" => "ValidationException",
            "ThrottlingException" => "ThrottlingException",
            "ServiceUnavailableException" => "ServiceUnavailableException",
            _ => "InternalServerException",
        };
        let reply = ErrorReply {
            code: code.to_owned(),
            message: error.message.clone(),
            status: error.status.unwrap_or(400),
            sender_fault: code == "ValidationException",
            members: Vec::new(),
        };
        wire::event::encode_exception(self.protocol, self.service, self.union, &reply).ok().map(Bytes::from)
    }

    fn knows(self, shape: &str) -> bool {
        self.service.members(self.union).iter().any(|member| self.service.shape(member.shape).name == shape)
    }
}

/// Begins a streamed exchange. What fails before the upstream begins its answer is an error of the call; later it is an event of the stream.
pub(crate) async fn begin<S: Script>(
    cx: &Call,
    call: ModelCall,
    mut prompt: Prompt,
    screen: Option<Screen>,
    mut script: S,
) -> Result<Body, ApiError> {
    let framer = Framer::of(cx)?;
    let input = match screen.as_ref().map(|screen| prompt.screen(screen)).transpose() {
        Ok(input) => input,
        Err(error) => return Err(failed(call, error)),
    };
    if let (Some(screen), Some(input)) = (&screen, &input)
        && input.assessment.is_blocked
    {
        let events = blocked(&mut script, Answer::blocked(screen, input));
        let frames = events.iter().map(|event| framer.event(event)).collect::<Result<Vec<_>, _>>()?;
        call.end(Ok(Tokens::default()), || S::logged(events));
        return Ok(plane::body::full(frames.concat()));
    }
    let request = prompt.into_request(true);
    let asked = request.characters();
    let chunks = match call.stream(&request).await {
        Ok(chunks) => chunks,
        Err(error) => return Err(failed(call, error)),
    };
    let (sender, mut receiver) = mpsc::channel::<Bytes>(FRAMES);
    tokio::spawn(async move {
        let mut outlet = Outlet { framer, sender, events: call.is_logged().then(Vec::new) };
        let mut reader = Reader::new(screen.as_ref());
        let gone = outlet.sender.clone();
        let ended = {
            let running = run(chunks, &mut reader, &mut script, &mut outlet);
            tokio::select! {
                ended = running => ended,
                // Nobody listens any more: the upstream's answer is dropped, and with it the connection. What was made is counted.
                () = gone.closed() => Ok(()),
            }
        };
        // The stream of who has gone is closed as that of who stays; sending finds nobody, which is no error.
        let ended = match ended {
            Ok(()) => finish(reader, asked, input.as_ref(), &mut script, &mut outlet).await,
            Err(error) => Err((reader.tokens(asked), error)),
        };
        match ended {
            Ok(tokens) => call.end(Ok(tokens), || S::logged(outlet.events.take().unwrap_or_default())),
            Err((tokens, error)) => {
                outlet.exception(&error).await;
                call.end_failed(tokens, &error);
            }
        }
        if let Some(screen) = &screen {
            screen.record_rest().await;
        }
    });
    let frames = poll_fn(move |context| receiver.poll_recv(context).map(|frame| frame.map(|bytes| Ok::<_, BodyError>(Frame::data(bytes)))));
    Ok(StreamBody::new(frames).boxed())
}

/// Ends a call that failed before its stream began.
fn failed(call: ModelCall, error: ApiError) -> ApiError {
    call.end(Err(&error), || Json::Null);
    error
}

/// Where the events of a stream go.
struct Outlet {
    framer: Framer,
    sender: mpsc::Sender<Bytes>,
    /// For the invocation log.
    events: Option<Vec<Value>>,
}

impl Outlet {
    async fn send(&mut self, events: Vec<Value>) -> Result<(), ApiError> {
        for event in events {
            let frame = self.framer.event(&event)?;
            if let Some(kept) = self.events.as_mut().filter(|kept| kept.len() < LOGGED_EVENTS_MAX) {
                kept.push(event);
            }
            // A caller that has gone is noticed by the one who waits for it.
            let _ = self.sender.send(frame).await;
        }
        Ok(())
    }

    async fn exception(&self, error: &ApiError) {
        if let Some(frame) = self.framer.exception(error) {
            // The caller may have gone.
            let _ = self.sender.send(frame).await;
        }
    }
}

/// The events of an answer that is the blocked message.
fn blocked(script: &mut impl Script, answer: Answer) -> Vec<Value> {
    let mut events = script.begin();
    events.extend(script.step(Step::Text(answer.text.unwrap_or_default())));
    events.extend(script.end(Ending { stop: answer.stop, tokens: answer.tokens, intervened: true, trace: answer.trace }));
    events
}

/// Passes the upstream's pieces on until the answer or the guardrail ends it.
async fn run(mut chunks: Chunks, reader: &mut Reader<'_>, script: &mut impl Script, outlet: &mut Outlet) -> Result<(), ApiError> {
    outlet.send(script.begin()).await?;
    while let Some(chunk) = chunks.next().await? {
        for step in reader.read(chunk)? {
            outlet.send(script.step(step)).await?;
        }
        if reader.is_blocked() {
            break;
        }
    }
    Ok(())
}

/// Releases what is held and writes the end. An error comes with what was used all the same.
async fn finish(
    reader: Reader<'_>,
    asked: usize,
    input: Option<&Screened>,
    script: &mut impl Script,
    outlet: &mut Outlet,
) -> Result<Tokens, (Tokens, ApiError)> {
    let so_far = reader.tokens(asked);
    let (steps, ending) = reader.finish(asked, input).map_err(|error| (so_far, error))?;
    let tokens = ending.tokens;
    for step in steps {
        outlet.send(script.step(step)).await.map_err(|error| (tokens, error))?;
    }
    outlet.send(script.end(ending)).await.map_err(|error| (tokens, error))?;
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guardrail::definition::tests::masking;
    use crate::runtime::screen::Trace;
    use crate::upstream::chat::{CalledFunctionDelta, ChunkChoice, ChunkDelta, ToolCallDelta};

    fn text_chunk(text: &str) -> ChatChunk {
        let delta = ChunkDelta { content: Some(text.to_owned()), tool_calls: None };
        ChatChunk { choices: vec![ChunkChoice { delta, ..ChunkChoice::default() }], ..ChatChunk::default() }
    }

    fn read_all(screen: Option<&Screen>, chunks: Vec<ChatChunk>) -> (Vec<Step>, Ending) {
        let mut reader = Reader::new(screen);
        let mut steps = Vec::new();
        for chunk in chunks {
            steps.extend(reader.read(chunk).unwrap());
            if reader.is_blocked() {
                break;
            }
        }
        let (rest, ending) = reader.finish(8, None).unwrap();
        steps.extend(rest);
        (steps, ending)
    }

    fn joined(steps: &[Step]) -> String {
        steps.iter().map(|step| if let Step::Text(text) = step { text.as_str() } else { "" }).collect()
    }

    #[test]
    fn without_a_guardrail_text_passes_at_once() {
        let mut last = text_chunk("b");
        last.choices[0].finish_reason = Some("length".to_owned());
        last.usage = Some(ChatUsage { prompt_tokens: 5, completion_tokens: 6 });
        let (steps, ending) = read_all(None, vec![text_chunk("a"), last]);
        assert_eq!(steps, [Step::Text("a".to_owned()), Step::Text("b".to_owned())]);
        assert_eq!(ending, Ending { stop: Stop::MaxTokens, tokens: Tokens { input: 5, output: 6 }, intervened: false, trace: None });
    }

    #[test]
    fn held_text_comes_before_a_tool_call() {
        let screen = Screen::for_test(&masking(), Trace::Enabled);
        let call = |id: Option<&str>, arguments: &str| ChatChunk {
            choices: vec![ChunkChoice {
                delta: ChunkDelta {
                    content: None,
                    tool_calls: Some(vec![ToolCallDelta {
                        index: 0,
                        id: id.map(str::to_owned),
                        function: CalledFunctionDelta { name: id.map(|_| "weather".to_owned()), arguments: Some(arguments.to_owned()) },
                    }]),
                },
                ..ChunkChoice::default()
            }],
            ..ChatChunk::default()
        };
        let (steps, ending) = read_all(Some(&screen), vec![text_chunk("I ask a@example.com"), call(Some("t1"), ""), call(None, "{}")]);
        assert_eq!(
            steps,
            [
                Step::Text("I ask {EMAIL}".to_owned()),
                Step::ToolStart { id: "t1".to_owned(), name: "weather".to_owned() },
                Step::ToolInput("{}".to_owned()),
            ]
        );
        assert_eq!((ending.stop, ending.intervened), (Stop::ToolUse, true));
    }

    #[test]
    fn a_blocked_stream_ends_with_the_message() {
        let screen = Screen::for_test(&masking(), Trace::Enabled);
        let (steps, ending) = read_all(Some(&screen), vec![text_chunk("this is forbid"), text_chunk("den, and more")]);
        assert_eq!(joined(&steps), "out");
        assert_eq!((ending.stop, ending.intervened), (Stop::Guardrail, true));
        assert_eq!(ending.trace.unwrap().model_output, Some(vec!["this is forbidden, and more".to_owned()]));
    }

    #[test]
    fn an_error_inside_the_stream_is_one() {
        let chunk = ChatChunk { error: Some(serde_json::json!({ "message": "x" })), ..ChatChunk::default() };
        assert_eq!(Reader::new(None).read(chunk).unwrap_err().code, "ModelStreamErrorException");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn masking_in_pieces_is_masking_as_a_whole(
            words in proptest::collection::vec(
                prop_oneof![
                    Just("plain"), Just("words, and"), Just("jane.doe@example.com"), Just("4111 1111 1111 1111"), Just("é😀"), Just("card:"), Just("x@y"),
                ],
                0..120,
            ),
            cuts in proptest::collection::vec(0usize..2000, 0..20),
        ) {
            let text = words.join(" ");
            let screen = Screen::for_test(&masking(), Trace::Disabled);
            let whole = screen.run(Direction::Output, &[Segment::of(&text)]).unwrap();
            let whole = whole.assessment.outputs.first().cloned().unwrap_or_else(|| text.clone());
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).filter(|cut| text.is_char_boundary(*cut)).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(text_chunk(&text[from..cut]));
                from = cut;
            }
            pieces.push(text_chunk(&text[from..]));
            let (steps, _) = read_all(Some(&screen), pieces);
            prop_assert_eq!(joined(&steps), whole);
        }
    }
}
