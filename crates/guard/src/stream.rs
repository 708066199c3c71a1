//! Answers that arrive piece by piece.

use crate::assess::{Direction, InputTooLong};
use crate::guardrail::{Guardrail, masked};

/// What is held back, bytes: longer than the longest built-in finding with the words that must stand near it, except findings whose beginning alone
/// is already a finding (URLs), which are held from their beginning.
const HOLD_BYTES: usize = 512;
/// Text is scanned whenever so many more bytes have arrived.
const STEP_BYTES: usize = 64;
/// What is kept of the text already released, to see words before a finding.
const CONTEXT_BYTES: usize = 256;
/// Longest match of a user's expression that fits in what is held back, bytes. With a longer or unbounded one everything is held to the end.
const PATTERN_BYTES_MAX: usize = 256;
/// Longest text that is held, bytes. A stream that must hold more is blocked.
const HELD_BYTES_MAX: usize = 1 << 20;

/// What may be passed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamStep {
    /// Text to pass on, masked; the blocked message when this step blocks.
    pub text: String,
    /// Whether the stream is blocked; nothing comes after that.
    pub is_blocked: bool,
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
    holds_all: bool,
    is_blocked: bool,
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
        let holds_all = !guardrail.patterns_are_shorter_than(PATTERN_BYTES_MAX);
        Self { guardrail, text: String::new(), released: 0, next_scan: HOLD_BYTES + STEP_BYTES, holds_all, is_blocked: false }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// More is held back than can be; the caller must end the answer.
    pub fn push(&mut self, piece: &str) -> Result<StreamStep, InputTooLong> {
        let mut step = StreamStep { text: String::new(), is_blocked: self.is_blocked };
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
            self.release(seen, seen.saturating_sub(HOLD_BYTES), &mut step)?;
        }
        Ok(step)
    }

    /// Ends the answer and gives the rest.
    pub fn finish(mut self) -> Result<StreamStep, InputTooLong> {
        let mut step = StreamStep { text: String::new(), is_blocked: self.is_blocked };
        if !self.is_blocked {
            self.release(self.text.len(), self.text.len(), &mut step)?;
        }
        Ok(step)
    }

    /// Scans the first `seen` bytes and releases up to `until`, or to the beginning of a finding that reaches beyond.
    fn release(&mut self, seen: usize, until: usize, step: &mut StreamStep) -> Result<(), InputTooLong> {
        let visible = self.text.get(..seen).unwrap_or_default();
        let found = self.guardrail.scan(Direction::Output, visible)?;
        if found.blocked_at.is_some() {
            self.is_blocked = true;
            step.is_blocked = true;
            step.text.push_str(self.guardrail.blocked_message(Direction::Output));
            return Ok(());
        }
        let mut until = floor(visible, until);
        let is_cut = |until: usize| found.spans.iter().filter(|span| span.start < until && until < span.end).map(|span| span.start).min();
        while let Some(start) = is_cut(until) {
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
        self.released -= forget;
        self.next_scan = (self.next_scan + STEP_BYTES).saturating_sub(forget);
        Ok(())
    }
}
