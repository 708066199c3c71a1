//! Running the rules and settling overlaps.

use regex_automata::Input;

use crate::context::is_near;
use crate::kind::{Kind, KindSet};
use crate::names;
use crate::rules::{Context, Needs, RULES, Rule, WORDS};

/// Longest text that is searched, bytes.
pub const INPUT_BYTES_MAX: usize = 4 << 20;

/// A text that is too long to search. It is refused, never searched in part.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the text of {bytes} bytes is longer than {INPUT_BYTES_MAX} bytes")]
pub struct InputTooLong {
    /// Its length.
    pub bytes: usize,
}

/// A place with sensitive data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Where it begins, byte offset.
    pub start: usize,
    /// Where it ends, byte offset.
    pub end: usize,
    /// From 0 to 1; set by hand from the shape of the evidence, not calibrated.
    pub confidence: f32,
    /// Whether a rule of the type itself (checksum, range, grammar) holds.
    pub validated: bool,
}

/// Finds the wanted types. Where candidates overlap, one whose own rule holds wins over one without, then the surer, the longer, the earlier, and the
/// first by name.
pub fn find(text: &str, wanted: KindSet) -> Result<Vec<Finding>, InputTooLong> {
    if text.len() > INPUT_BYTES_MAX {
        return Err(InputTooLong { bytes: text.len() });
    }
    let lower = text.to_ascii_lowercase();
    let has = |byte: u8| text.as_bytes().contains(&byte);
    let (digit, at, colon, dash, underscore) = (text.bytes().any(|byte| byte.is_ascii_digit()), has(b'@'), has(b':'), has(b'-'), has(b'_'));
    let mut candidates = Vec::new();
    let present = WORDS.present(&lower);
    for (rule, _) in RULES.iter().zip(present).filter(|(rule, is_present)| *is_present && wanted.contains(rule.kind)) {
        let is_worth_it = match rule.needs {
            Needs::Nothing | Needs::Any(_) => true,
            Needs::Digit => digit,
            Needs::At => at,
            Needs::Colon => colon,
            Needs::Dash => dash,
            Needs::Underscore => underscore,
        };
        if is_worth_it {
            run(rule, text, &lower, &mut candidates);
        }
    }
    if wanted.contains(Kind::Name) {
        candidates.extend(names::find(text, &lower));
    }
    Ok(settle(candidates))
}

fn run(rule: &Rule, text: &str, lower: &str, candidates: &mut Vec<Finding>) {
    let mut captures = rule.regex.create_captures();
    let mut from = 0;
    while from <= text.len() {
        rule.regex.search_captures(&Input::new(text).range(from..), &mut captures);
        let Some(span) = captures.get_group(1) else {
            return;
        };
        // The next search begins behind this finding, not behind the character that ended it: that one may begin the next.
        from = if span.end > from { span.end } else { from + 1 };
        while !text.is_char_boundary(from) && from < text.len() {
            from += 1;
        }
        let Some(found) = text.get(span.start..span.end) else {
            continue;
        };
        let Some(verdict) = (rule.check)(found) else {
            continue;
        };
        let (start, end) = (span.start, span.end - verdict.cut_bytes);
        let raise = match rule.context {
            Context::Required(words) if !is_near(lower, start, end, words) => continue,
            Context::Raises(words) if is_near(lower, start, end, words) => 0.1,
            Context::None | Context::Required(_) | Context::Raises(_) => 0.0,
        };
        let confidence = (verdict.confidence + raise).min(1.0);
        candidates.push(Finding { kind: rule.kind, start, end, confidence, validated: verdict.validated });
    }
}

fn settle(mut candidates: Vec<Finding>) -> Vec<Finding> {
    candidates.sort_by(|left, right| {
        right
            .validated
            .cmp(&left.validated)
            .then(right.confidence.total_cmp(&left.confidence))
            .then((right.end - right.start).cmp(&(left.end - left.start)))
            .then(left.start.cmp(&right.start))
            .then(left.kind.cmp(&right.kind))
    });
    // Kept findings by start: an overlap can only be with the last one that begins before the end of the candidate.
    let mut kept = std::collections::BTreeMap::<usize, Finding>::new();
    for candidate in candidates {
        let overlaps = kept.range(..candidate.end).next_back().is_some_and(|(_, other)| other.end > candidate.start);
        if !overlaps && candidate.end > candidate.start {
            kept.insert(candidate.start, candidate);
        }
    }
    kept.into_values().collect()
}
