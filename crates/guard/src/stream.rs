//! Answers that arrive piece by piece.

use crate::assess::{Direction, InputTooLong};
use crate::attack::Provenance;
use crate::definition::{Definition, Mask};
use crate::guardrail::{FIRST_PLACE_BYTES, Guardrail, masked};
use crate::judge::{self, Judge, Judgement, Secrets};

/// What is held back, bytes: longer than the longest built-in finding with the words that must stand near it, except findings whose beginning alone
/// is already a finding (URLs), which are held from their beginning.
const HOLD_BYTES: usize = 512;
/// What is held back of an answer whose reader prefers it early: enough for words and most entities, with no time for what needs more.
const SHORT_HOLD_BYTES: usize = 128;
/// Text is scanned whenever so many more bytes have arrived.
const STEP_BYTES: usize = 64;
/// What is kept of the text already released, to see words before a finding and to judge with.
const CONTEXT_BYTES: usize = judge::WINDOW_BYTES;
/// What is looked at before the unreleased text for words, entities and patterns.
const SCANNED_CONTEXT_BYTES: usize = 256;
/// Longest match of a user's expression that fits in what is held back, bytes. With a longer or unbounded one everything is held to the end.
const PATTERN_BYTES_MAX: usize = 256;
/// Longest text that is held, bytes. A stream that must hold more is blocked.
const HELD_BYTES_MAX: usize = 1 << 20;

/// How early an answer is passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StreamPace {
    /// Nothing before it is judged.
    #[default]
    Synchronous,
    /// Sooner: what needs the sense of the text (content filters, topics, leaks) may stop the answer after a part of it was passed on, and
    /// findings longer than what is held may be masked in part only.
    Asynchronous,
}

/// What may be passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamStep {
    /// Text to pass on, masked; the blocked message when this step blocks.
    pub text: String,
    /// Whether the stream is blocked; nothing comes after that.
    pub is_blocked: bool,
    /// Bytes of the blocked message at the end of the text.
    pub message_bytes: usize,
}

/// What the model was told in secret, kept for the length of an answer.
#[derive(Clone, Debug, Default)]
pub struct KeptSecrets {
    /// The system prompt of the call.
    pub system_prompt: Option<String>,
    /// Marks that stand nowhere but in the prompt.
    pub canaries: Vec<String>,
}

/// Screens an answer while it is written. It never passes on a part of a finding that is masked or blocked, and its whole output depends only on the
/// whole input, not on how that was split: scans happen at fixed places of the text.
#[derive(Debug)]
pub struct StreamGuard<'g> {
    guardrail: &'g Guardrail,
    /// From the context before what is not yet released.
    text: String,
    /// Where in `text` the unreleased part begins.
    released: usize,
    /// The length of `text` at which the next scan happens.
    next_scan: usize,
    /// The length of `text` at which it is judged next.
    next_place: usize,
    judges: bool,
    seen: Judgement,
    secrets: KeptSecrets,
    hold_bytes: usize,
    holds_all: bool,
    /// What of the answer stood before `text` and is forgotten, bytes.
    forgotten: usize,
    is_blocked: bool,
}

/// Policies that can only be decided on the whole answer: what passes them cannot be known before its end.
fn needs_the_whole(definition: &Definition) -> bool {
    definition.grounding.iter().any(|rule| rule.output.enabled && rule.output.action == Mask::Block)
}

impl Guardrail {
    /// Whether it has a policy that is decided on a whole answer (contextual grounding that blocks). A [`StreamGuard`] holds such an answer to its end; who
    /// has its sources must assess it whole before the guard is finished.
    pub fn needs_the_whole_answer(&self) -> bool {
        needs_the_whole(self.definition())
    }
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

impl<'g> StreamGuard<'g> {
    /// A guard for one answer.
    pub fn new(guardrail: &'g Guardrail) -> Self {
        Self::with(guardrail, KeptSecrets::default(), StreamPace::Synchronous)
    }

    /// A guard for one answer that may give away what the model was told in secret, at a pace.
    pub fn with(guardrail: &'g Guardrail, secrets: KeptSecrets, pace: StreamPace) -> Self {
        let hold_bytes = if pace == StreamPace::Synchronous { HOLD_BYTES } else { SHORT_HOLD_BYTES };
        let definition = guardrail.definition();
        Self {
            guardrail,
            text: String::new(),
            released: 0,
            next_scan: hold_bytes + STEP_BYTES,
            next_place: FIRST_PLACE_BYTES,
            judges: Judge::is_needed(definition, Direction::Output),
            seen: Judge::begin(definition),
            secrets,
            hold_bytes,
            holds_all: !guardrail.patterns_are_shorter_than(PATTERN_BYTES_MAX) || needs_the_whole(definition),
            forgotten: 0,
            is_blocked: false,
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// More is held back than can be; the caller must end the answer.
    pub fn push(&mut self, piece: &str) -> Result<StreamStep, InputTooLong> {
        let mut step = StreamStep { is_blocked: self.is_blocked, ..StreamStep::default() };
        if self.is_blocked {
            return Ok(step);
        }
        self.text.push_str(piece);
        if self.text.len() - self.released > HELD_BYTES_MAX {
            return Err(InputTooLong { bytes: self.text.len() - self.released, limit_bytes: HELD_BYTES_MAX });
        }
        while !self.holds_all && !self.is_blocked && self.text.len() >= self.next_scan {
            // A character that is cut by the place of the scan waits for the next one.
            let seen = floor(&self.text, self.next_scan);
            if self.next_scan == self.next_place {
                self.judge_at(self.next_place);
                self.next_place += judge::STEP_BYTES;
            }
            self.release(seen, seen.saturating_sub(self.hold_bytes), &mut step)?;
        }
        Ok(step)
    }

    /// Ends the answer and gives the rest.
    pub fn finish(mut self) -> Result<StreamStep, InputTooLong> {
        let mut step = StreamStep { is_blocked: self.is_blocked, ..StreamStep::default() };
        if self.is_blocked {
            return Ok(step);
        }
        // Nothing has been judged yet of an answer that was held; of another the end is left.
        while self.holds_all && self.next_place <= self.text.len() {
            self.judge_at(self.next_place);
            self.next_place += judge::STEP_BYTES;
        }
        self.judge_at(self.text.len());
        self.release(self.text.len(), self.text.len(), &mut step)?;
        Ok(step)
    }

    /// Judges the window before a place of `text`.
    fn judge_at(&mut self, place: usize) {
        if !self.judges {
            return;
        }
        let canaries: Vec<&str> = self.secrets.canaries.iter().map(String::as_str).collect();
        let secrets = Secrets { system_prompt: self.secrets.system_prompt.as_deref(), canaries: &canaries };
        let (window, start) = judge::window_before(&self.text, place);
        let window = (window, start + self.forgotten);
        let definition = self.guardrail.definition();
        self.guardrail.judge().judge(definition, Direction::Output, Provenance::User, window, secrets, &mut self.seen);
    }

    /// Scans the first `seen` bytes and releases up to `until`, or to the beginning of a finding that reaches beyond.
    fn release(&mut self, seen: usize, until: usize, step: &mut StreamStep) -> Result<(), InputTooLong> {
        let scanned_from = floor(&self.text, self.released.saturating_sub(SCANNED_CONTEXT_BYTES));
        let visible = self.text.get(..seen).unwrap_or_default();
        let mut found = self.guardrail.scan(Direction::Output, visible.get(scanned_from..).unwrap_or_default())?;
        found.shift(scanned_from);
        // What begins where the context was cut may be the end of another word or number.
        let is_whole = |range: &std::ops::Range<usize>| range.start > scanned_from || self.forgotten == 0;
        found.spans.retain(is_whole);
        found.blocks.retain(is_whole);
        found.masks.retain(|mask| is_whole(&mask.range));
        // What is found near the end of what is seen may become something else with the next piece: it counts when it is about to be released.
        let is_due = |range: &std::ops::Range<usize>| range.start < until && range.end > self.released;
        if found.blocks.iter().any(is_due) || self.seen.blocks(self.guardrail.definition(), Direction::Output) {
            self.is_blocked = true;
            step.is_blocked = true;
            let message = self.guardrail.blocked_message(Direction::Output);
            step.text.push_str(message);
            step.message_bytes = message.len();
            return Ok(());
        }
        let mut until = floor(visible, until);
        let cut_by = |until: usize| found.spans.iter().filter(|span| span.start < until && until < span.end).map(|span| span.start).min();
        while let Some(start) = cut_by(until) {
            until = start;
        }
        let until = until.max(self.released);
        let mut masks: Vec<_> = found.masks.into_iter().filter(|mask| mask.range.end > self.released && mask.range.start < until).collect();
        for mask in &mut masks {
            // What was released before stays as it is; the rest of the finding is masked.
            mask.range = mask.range.start.max(self.released) - self.released..mask.range.end.min(until) - self.released;
        }
        step.text.push_str(&masked(visible.get(self.released..until).unwrap_or_default(), &masks));
        self.released = until;
        let forget = floor(&self.text, self.released.saturating_sub(CONTEXT_BYTES));
        self.text.drain(..forget);
        self.forgotten += forget;
        self.released -= forget;
        self.next_scan = (self.next_scan + STEP_BYTES).saturating_sub(forget);
        self.next_place = self.next_place.saturating_sub(forget);
        Ok(())
    }
}
