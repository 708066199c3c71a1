//! The guardrails of a call: finding them, running them, and saying what they found.
//!
//! A call may have several: the one that it names, the account's and the organization's. They run one after the other, each on what the one
//! before has left, so that a text that passes has passed all of them. The first that blocks gives the message; the others still say what
//! they see.

mod answer;
mod assessment;
mod prompt;
mod record;
mod spotlight;
mod tool;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use guard::{Action, Assessment, Direction, Guardrail, Provenance, Qualifier, Secrets, Segment};
use plane::authorize::Standing;
use plane::call::LateNotes;
use plane::{ApiError, Call};

use super::{elapsed_ms, state};
use crate::guardrail::enforcement::{Enforcement, Mode, Origin};
use crate::guardrail::setting::Settings;
use crate::guardrail::{self, Loaded, enforcement};
use crate::reasoning;
use crate::refusal::Refusal;

pub(crate) use answer::AnswerGuard;
pub(crate) use assessment::coverage;

/// How much the answer tells of what the guardrail found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trace {
    #[default]
    Disabled,
    /// What was detected.
    Enabled,
    /// Also content filters that detected nothing.
    Full,
}

/// What one guardrail looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) system: Mode,
    pub(crate) messages: Mode,
    /// Results of tools, tool definitions, arguments of tool calls.
    pub(crate) tools: bool,
}

/// A guardrail that is ready to run for a call.
pub(crate) struct Applied {
    pub(crate) guardrail: Arc<Guardrail>,
    pub(crate) id: String,
    pub(crate) arn: String,
    pub(crate) version: String,
    pub(crate) origins: Vec<Origin>,
    pub(crate) is_foreign: bool,
    pub(crate) scope: Scope,
    pub(crate) settings: Settings,
    pub(crate) reasoning: Vec<reasoning::Loaded>,
}

/// What the prompt of a call has that matters for its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Context {
    system_prompt: Option<String>,
    sources: Vec<String>,
    query: String,
    /// Whether a part of the prompt is nobody's instruction: a document, a result of a tool.
    is_tainted: bool,
}

/// All guardrails of a call.
pub(crate) struct Screen {
    applied: Vec<Applied>,
    pub(crate) trace: Trace,
    /// Whether the answer may be shown before it is judged as far as the caller may choose that.
    is_async: bool,
    /// The mark of untrusted parts, where a guardrail wants them marked.
    spotlight: Option<String>,
    context: Mutex<Context>,
    notes: LateNotes,
    /// What the caller may do, for tool calls of the answer and for the record; `None` in tests.
    standing: Mutex<Option<Standing>>,
    place: (String, String),
}

/// What the guardrails said about one text or several.
#[derive(Default)]
pub(crate) struct Screened {
    /// All of them together.
    pub(crate) assessment: Assessment,
    each: Vec<Outcome>,
}

/// What one guardrail said.
#[derive(Default)]
pub(crate) struct Outcome {
    applied: usize,
    direction: Option<Direction>,
    assessment: Assessment,
    /// Policy ARN and finding.
    findings: Vec<(String, ::reasoning::Finding)>,
    latency_ms: i64,
}

impl Screened {
    pub(crate) fn intervened(&self) -> bool {
        self.assessment.action == Action::Intervened
    }

    /// AWS's words for what happened.
    pub(crate) fn reason(&self) -> &'static str {
        match (self.assessment.is_blocked, self.intervened()) {
            (true, _) => "Guardrail blocked.",
            (false, true) => "Guardrail masked.",
            (false, false) => "No action.",
        }
    }

    /// Takes over what another run found (a tool call besides the text).
    pub(crate) fn join(&mut self, other: Self) {
        self.assessment.is_blocked |= other.assessment.is_blocked;
        if other.intervened() {
            self.assessment.action = Action::Intervened;
        }
        self.each.extend(other.each);
    }
}

impl Screen {
    /// The guardrails of a model call: the one that it names, and those that it cannot leave out. One that does not exist fails the call.
    pub(crate) async fn of_call(
        cx: &mut Call,
        identifier: Option<&str>,
        version: Option<&str>,
        trace: Trace,
    ) -> Result<Option<Self>, ApiError> {
        let named = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let mut applied: Vec<Applied> = Vec::new();
        match (named(identifier), named(version)) {
            (None, None) => {}
            (Some(identifier), Some(version)) => {
                let loaded = guardrail::load(cx, &identifier, &version).await?.ok_or(Refusal::GuardrailOfCall)?;
                applied.push(Applied::ready(cx, loaded, Origin::Request, Mode::Selective, Mode::Selective).await?);
            }
            _ => return Err(Refusal::GuardrailPair.into()),
        }
        for enforced in enforcement::of_call(cx)? {
            Self::add_enforced(cx, &mut applied, enforced).await?;
        }
        if applied.is_empty() {
            return Ok(None);
        }
        Self::of_applied(cx, applied, trace).await.map(Some)
    }

    async fn add_enforced(cx: &mut Call, applied: &mut Vec<Applied>, enforced: Enforcement) -> Result<(), ApiError> {
        let same = |known: &&mut Applied| known.arn == enforced.guardrail_arn && known.version == enforced.version;
        if let Some(known) = applied.iter_mut().find(same) {
            // One run serves both; it looks at what the stricter of the two looks at.
            known.origins.push(enforced.origin);
            known.scope.system = known.scope.system.stricter(enforced.system);
            known.scope.messages = known.scope.messages.stricter(enforced.messages);
            known.scope.tools = known.settings.screen_tools.unwrap_or(true);
            return Ok(());
        }
        let missing = || Refusal::EnforcedGuardrail(format!("`{}:{}` does not exist", enforced.guardrail_arn, enforced.version));
        let loaded = guardrail::load(cx, &enforced.guardrail_arn, &enforced.version).await?.ok_or_else(missing)?;
        if loaded.definition.reasoning.is_some() {
            return Err(Refusal::EnforcedGuardrail("a guardrail with automated reasoning cannot be enforced".to_owned()).into());
        }
        applied.push(Applied::ready(cx, loaded, enforced.origin, enforced.system, enforced.messages).await?);
        Ok(())
    }

    /// One guardrail, for `ApplyGuardrail`.
    pub(crate) async fn of_guardrail(cx: &mut Call, loaded: Loaded) -> Result<Self, ApiError> {
        let applied = Applied::ready(cx, loaded, Origin::Request, Mode::Selective, Mode::Selective).await?;
        Self::of_applied(cx, vec![applied], Trace::Enabled).await
    }

    async fn of_applied(cx: &mut Call, applied: Vec<Applied>, trace: Trace) -> Result<Self, ApiError> {
        let notes = LateNotes::default();
        cx.audit.late = Some(notes.clone());
        let wants_marks = applied.iter().any(|applied| applied.settings.spotlight);
        let spotlight = if wants_marks { Some(spotlight::mark(cx)?) } else { None };
        let standing = Mutex::new(Some(Standing::of(cx).await?));
        let place = (cx.region.clone(), cx.account.clone());
        Ok(Self { applied, trace, is_async: false, spotlight, context: Mutex::default(), notes, standing, place })
    }

    /// The answer may be shown before it is judged to its end. What is enforced is never judged late.
    pub(crate) fn asynchronous(mut self, is_async: bool) -> Self {
        self.is_async = is_async && self.applied.iter().all(|applied| applied.origins == [Origin::Request]);
        self
    }

    /// Whether images and documents may pass: every guardrail must have been declared so, because none of them sees any.
    pub(crate) fn passes_images(&self) -> bool {
        self.applied.iter().all(|applied| applied.settings.pass_images)
    }

    #[cfg(test)]
    pub(crate) fn for_test(definition: &guardrail::definition::Definition, trace: Trace) -> Self {
        let applied = Applied {
            guardrail: Arc::new(definition.compile().unwrap()),
            id: "abc123".to_owned(),
            arn: "arn:aws:bedrock:eu-west-1:1:guardrail/abc123".to_owned(),
            version: "1".to_owned(),
            origins: vec![Origin::Request],
            is_foreign: false,
            scope: Scope { system: Mode::Selective, messages: Mode::Selective, tools: false },
            settings: Settings::default(),
            reasoning: Vec::new(),
        };
        Self {
            applied: vec![applied],
            trace,
            is_async: false,
            spotlight: None,
            context: Mutex::default(),
            notes: LateNotes::default(),
            standing: Mutex::default(),
            place: ("eu-west-1".to_owned(), "1".to_owned()),
        }
    }

    #[cfg(test)]
    pub(crate) fn with_settings(mut self, settings: Settings, mode: Mode) -> Self {
        for applied in &mut self.applied {
            applied.settings = settings;
            applied.scope = Scope { system: mode, messages: mode, tools: settings.screen_tools.unwrap_or_default() };
        }
        self.spotlight = settings.spotlight.then(|| "mark".to_owned());
        self
    }

    fn context(&self) -> Context {
        self.context.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs the guardrails over content of which each looks at the same. Content that one cannot take fails the call.
    pub(crate) fn run(&self, direction: Direction, segments: &[Segment<'_>]) -> Result<Screened, ApiError> {
        let texts: Vec<String> = segments.iter().map(|segment| segment.text.to_owned()).collect();
        self.run_each(direction, texts, |_, place| segments.get(place).map(|segment| (segment.qualifiers, segment.provenance)))
    }

    /// Runs the guardrails one after the other. `segment` says what a guardrail makes of a text; `None` leaves it out.
    fn run_each<'q>(
        &self,
        direction: Direction,
        mut texts: Vec<String>,
        segment: impl Fn(&Applied, usize) -> Option<(&'q [Qualifier], Provenance)>,
    ) -> Result<Screened, ApiError> {
        let context = self.context();
        let mut screened = Screened::default();
        for (number, applied) in self.applied.iter().enumerate() {
            let start = Instant::now();
            let mut places = Vec::new();
            let mut segments: Vec<Segment<'_>> = Vec::new();
            for (place, text) in texts.iter().enumerate() {
                if let Some((qualifiers, provenance)) = segment(applied, place) {
                    places.push(place);
                    segments.push(Segment { text, qualifiers, provenance });
                }
            }
            if direction == Direction::Output {
                segments.extend(context.sources.iter().map(|source| Segment::qualified(source, &[Qualifier::GroundingSource])));
                if !context.query.is_empty() {
                    segments.push(Segment::qualified(&context.query, &[Qualifier::Query]));
                }
            }
            let mark = self.spotlight.as_deref();
            let canaries: Vec<&str> = mark.into_iter().collect();
            let secrets = Secrets { system_prompt: context.system_prompt.as_deref(), canaries: &canaries };
            let assessment = applied.guardrail.assess_with(direction, &segments, secrets).map_err(|error| too_long(&error))?;
            let findings = applied.reason(direction, &segments, &context);
            self.note(record::screening(applied, direction, &segments, &assessment, &findings));
            if assessment.action == Action::Intervened && !assessment.is_blocked {
                for (place, masked) in places.iter().zip(&assessment.outputs) {
                    if let Some(text) = texts.get_mut(*place) {
                        text.clone_from(masked);
                    }
                }
            }
            screened.add(Outcome { applied: number, direction: Some(direction), assessment, findings, latency_ms: elapsed_ms(start) });
        }
        if screened.intervened() && !screened.assessment.is_blocked {
            screened.assessment.outputs = texts;
        }
        Ok(screened)
    }

    fn note(&self, item: serde_json::Value) {
        self.notes.push("guardrailScreenings", item);
    }

    /// Records what was found since the call's event was made: the rest of a stream.
    pub(crate) async fn record_rest(&self) {
        let recorded = record::write(&self.standing, self.notes.take()).await;
        if let Err(error) = recorded {
            tracing::error!(%error, "the screening of a streamed answer could not be recorded");
        }
    }
}

impl Screened {
    fn add(&mut self, outcome: Outcome) {
        let found = &outcome.assessment;
        if found.action == Action::Intervened {
            self.assessment.action = Action::Intervened;
        }
        if found.is_blocked && !self.assessment.is_blocked {
            self.assessment.is_blocked = true;
            self.assessment.outputs.clone_from(&found.outputs);
        }
        self.assessment.words.extend(found.words.iter().cloned());
        self.assessment.entities.extend(found.entities.iter().cloned());
        self.assessment.patterns.extend(found.patterns.iter().cloned());
        self.assessment.content.extend(found.content.iter().cloned());
        self.assessment.topics.extend(found.topics.iter().cloned());
        self.assessment.grounding.extend(found.grounding.iter().cloned());
        if self.each.is_empty() {
            self.assessment.coverage = found.coverage;
            self.assessment.usage = found.usage;
        }
        self.each.push(outcome);
    }
}

impl Applied {
    async fn ready(cx: &mut Call, loaded: Loaded, origin: Origin, system: Mode, messages: Mode) -> Result<Self, ApiError> {
        let guardrail = state(cx)?.guardrail(&loaded.definition)?;
        let reasoning = reasoning::load(cx, &loaded.definition).await?;
        let tools = loaded.settings.screen_tools.unwrap_or(origin != Origin::Request);
        Ok(Self {
            guardrail,
            id: loaded.id,
            arn: loaded.arn,
            version: loaded.version,
            origins: vec![origin],
            is_foreign: loaded.is_foreign,
            scope: Scope { system, messages, tools },
            settings: loaded.settings,
            reasoning,
        })
    }

    /// Asks the automated reasoning policies about an answer.
    fn reason(&self, direction: Direction, segments: &[Segment<'_>], context: &Context) -> Vec<(String, ::reasoning::Finding)> {
        if direction == Direction::Input || self.reasoning.is_empty() {
            return Vec::new();
        }
        let guarded: Vec<&str> = segments.iter().filter(|segment| segment.is_guarded()).map(|segment| segment.text).collect();
        let answer = guarded.join("\n");
        let asked: Vec<&str> =
            segments.iter().filter(|segment| segment.qualifiers.contains(&Qualifier::Query)).map(|segment| segment.text).collect();
        let query = if asked.is_empty() { context.query.clone() } else { asked.join("\n") };
        let check = |loaded: &reasoning::Loaded| {
            let found = loaded.policy.check((!query.is_empty()).then_some(query.as_str()), &answer);
            found.into_iter().map(|finding| (loaded.arn.clone(), finding)).collect::<Vec<_>>()
        };
        self.reasoning.iter().flat_map(check).collect()
    }
}

/// The guardrail cannot look at so much: the call fails.
pub(crate) fn too_long(error: &guard::InputTooLong) -> ApiError {
    Refusal::invalid(format!("The guardrail cannot assess the content: {error}.")).into()
}
