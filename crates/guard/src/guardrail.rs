//! The compiled guardrail and its decision.

use std::ops::Range;

use sensitive::{Finding, KindSet, UserPattern};

use crate::assess::{
    Action, Assessment, Direction, EntityFinding, FindingAction, InputTooLong, Place, RegexFinding, Segment, Usage, WordFinding, WordSource,
};
use crate::definition::{Definition, DefinitionError, Handling, Mask};
use crate::judge::{self, Judge, Judgement, Secrets};
use crate::profanity::PROFANITY;
use crate::words::{WordMatcher, fold};

/// Most text of one assessment, bytes.
const INPUT_BYTES_MAX: usize = 1 << 20;
/// The first place at which an answer is judged, bytes; streams have it in common with whole texts.
pub(crate) const FIRST_PLACE_BYTES: usize = 576;
/// Most findings of one kind that are listed. Beyond it everything is still masked or blocked, only the list ends.
const LISTED_MAX: usize = 1_000;

/// A guardrail that is ready to decide.
#[derive(Clone, Debug)]
pub struct Guardrail {
    definition: Definition,
    words: Option<WordMatcher>,
    patterns: Vec<UserPattern>,
    judge: Judge,
}

/// A part of a text to be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MaskedSpan {
    pub(crate) range: Range<usize>,
    pub(crate) label: String,
}

/// What was found in one segment.
#[derive(Default)]
pub(crate) struct SegmentFindings {
    pub(crate) words: Vec<WordFinding>,
    pub(crate) entities: Vec<EntityFinding>,
    pub(crate) patterns: Vec<RegexFinding>,
    pub(crate) masks: Vec<MaskedSpan>,
    /// The places of what blocks the whole text.
    pub(crate) blocks: Vec<Range<usize>>,
    /// Every finding's place, whatever follows.
    pub(crate) spans: Vec<Range<usize>>,
}

fn action_of(handling: Handling) -> FindingAction {
    match handling.action {
        Mask::Block => FindingAction::Blocked,
        Mask::Anonymize => FindingAction::Anonymized,
        Mask::None => FindingAction::None,
    }
}

impl SegmentFindings {
    fn note(&mut self, range: Range<usize>, handling: Handling, label: impl FnOnce() -> String) {
        match handling.action {
            Mask::Block => self.blocks.push(range.clone()),
            Mask::Anonymize => self.masks.push(MaskedSpan { range: range.clone(), label: label() }),
            Mask::None => {}
        }
        self.spans.push(range);
    }

    /// Names the segment that the findings stand in.
    fn set_segment(&mut self, segment: usize) {
        let words = self.words.iter_mut().map(|finding| &mut finding.place);
        let entities = self.entities.iter_mut().map(|finding| &mut finding.place);
        let patterns = self.patterns.iter_mut().map(|finding| &mut finding.place);
        words.chain(entities).chain(patterns).for_each(|place| place.segment = segment);
    }

    /// Moves all places: the text was a part of a longer one.
    pub(crate) fn shift(&mut self, by: usize) {
        let moved = |range: &mut Range<usize>| *range = range.start + by..range.end + by;
        self.masks.iter_mut().for_each(|mask| moved(&mut mask.range));
        self.spans.iter_mut().chain(&mut self.blocks).for_each(moved);
    }

    /// Sorts the masks and joins those that overlap, so that no part of a finding is left over.
    fn settle(&mut self) {
        self.masks.sort_by(|left, right| {
            left.range.start.cmp(&right.range.start).then(right.range.end.cmp(&left.range.end)).then(left.label.cmp(&right.label))
        });
        let mut joined: Vec<MaskedSpan> = Vec::with_capacity(self.masks.len());
        for mask in self.masks.drain(..) {
            match joined.last_mut() {
                Some(last) if mask.range.start < last.range.end => {
                    last.range.end = last.range.end.max(mask.range.end);
                }
                _ => joined.push(mask),
            }
        }
        self.masks = joined;
    }
}

/// The text with the masks in place of what they cover. `masks` are sorted and apart.
pub(crate) fn masked(text: &str, masks: &[MaskedSpan]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for mask in masks {
        out.push_str(text.get(from..mask.range.start).unwrap_or_default());
        out.push('{');
        out.push_str(&mask.label);
        out.push('}');
        from = mask.range.end;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

impl Guardrail {
    /// Compiles a definition.
    ///
    /// # Errors
    /// What is wrong with it, or which of its policies cannot be decided here.
    pub fn compile(definition: Definition) -> Result<Self, DefinitionError> {
        definition.check()?;
        let profanity = definition.profanity.iter().flat_map(|_| PROFANITY.split_whitespace());
        let all = definition.words.iter().map(|rule| rule.text.as_str()).chain(profanity);
        let words = if definition.words.is_empty() && definition.profanity.is_none() {
            None
        } else {
            Some(WordMatcher::new(all).ok_or(DefinitionError::WordsTooLarge)?)
        };
        let patterns = definition
            .patterns
            .iter()
            .map(|rule| UserPattern::compile(&rule.pattern).map_err(|error| DefinitionError::Pattern { name: rule.name.clone(), error }))
            .collect::<Result<_, _>>()?;
        let judge = Judge::new(&definition);
        Ok(Self { definition, words, patterns, judge })
    }

    /// The definition.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The message in place of what is blocked.
    pub fn blocked_message(&self, direction: Direction) -> &str {
        match direction {
            Direction::Input => &self.definition.blocked_input_message,
            Direction::Output => &self.definition.blocked_output_message,
        }
    }

    /// Decides about some content.
    pub fn assess(&self, direction: Direction, segments: &[Segment<'_>]) -> Result<Assessment, InputTooLong> {
        self.assess_with(direction, segments, Secrets::default())
    }

    /// As [`Guardrail::assess`], for an answer that may give away what the model was told in secret.
    pub fn assess_with(&self, direction: Direction, segments: &[Segment<'_>], secrets: Secrets<'_>) -> Result<Assessment, InputTooLong> {
        let bytes = segments.iter().map(|segment| segment.text.len()).sum();
        if bytes > INPUT_BYTES_MAX {
            return Err(InputTooLong { bytes, limit_bytes: INPUT_BYTES_MAX });
        }
        let mut assessment = Assessment::default();
        let mut outputs = Vec::with_capacity(segments.len());
        let mut is_masked = false;
        for (number, segment) in segments.iter().enumerate() {
            let characters = u64::try_from(segment.text.chars().count()).unwrap_or(u64::MAX);
            assessment.coverage.total_characters += characters;
            if !segment.is_guarded() {
                outputs.push(segment.text.to_owned());
                continue;
            }
            assessment.coverage.guarded_characters += characters;
            self.count_units(direction, characters.div_ceil(1000).max(1), &mut assessment.usage);
            let mut found = self.scan(direction, segment.text)?;
            found.set_segment(number);
            assessment.is_blocked |= !found.blocks.is_empty();
            is_masked |= !found.masks.is_empty();
            outputs.push(masked(segment.text, &found.masks));
            assessment.words.extend(found.words);
            assessment.entities.extend(found.entities);
            assessment.patterns.extend(found.patterns);
            self.judge_segment(direction, segment, secrets).report(&self.definition, direction, number, &mut assessment);
        }
        if direction == Direction::Output {
            assessment.usage.contextual_grounding_policy_units = judge::ground(&self.definition, segments, &mut assessment);
        }
        if assessment.is_blocked {
            outputs = vec![self.blocked_message(direction).to_owned()];
        }
        if assessment.is_blocked || is_masked {
            assessment.action = Action::Intervened;
            assessment.outputs = outputs;
        }
        assessment.words.truncate(LISTED_MAX);
        assessment.entities.truncate(LISTED_MAX);
        assessment.patterns.truncate(LISTED_MAX);
        Ok(assessment)
    }

    fn judge_segment(&self, direction: Direction, segment: &Segment<'_>, secrets: Secrets<'_>) -> Judgement {
        let mut seen = Judge::begin(&self.definition);
        if !Judge::is_needed(&self.definition, direction) && !self.looks_for_attacks(direction) {
            return seen;
        }
        match direction {
            Direction::Input => {
                self.judge.judge(&self.definition, direction, segment.provenance, (segment.text, 0), secrets, &mut seen);
            }
            Direction::Output => self.judge.judge_answer(&self.definition, segment.text, FIRST_PLACE_BYTES, secrets, &mut seen),
        }
        seen
    }

    fn looks_for_attacks(&self, direction: Direction) -> bool {
        direction == Direction::Input && !self.definition.content_filters.is_empty()
    }

    pub(crate) fn judge(&self) -> &Judge {
        &self.judge
    }

    fn count_units(&self, direction: Direction, units: u64, usage: &mut Usage) {
        let definition = &self.definition;
        if self.words.is_some() {
            usage.word_policy_units += units;
        }
        if !definition.entities.is_empty() {
            usage.sensitive_information_policy_units += units;
        }
        if !definition.patterns.is_empty() {
            usage.sensitive_information_policy_free_units += units;
        }
        if self.looks_for_attacks(direction) || (!definition.content_filters.is_empty() && Judge::is_needed(definition, direction)) {
            usage.content_policy_units += units;
        }
        if definition.topics.iter().any(|rule| judge::handling(direction, rule.input, rule.output).enabled) {
            usage.topic_policy_units += units;
        }
    }

    /// Finds words, entities and patterns in one text.
    pub(crate) fn scan(&self, direction: Direction, text: &str) -> Result<SegmentFindings, InputTooLong> {
        let mut found = SegmentFindings::default();
        self.scan_words(direction, text, &mut found);
        self.scan_entities(direction, text, &mut found)?;
        self.scan_patterns(direction, text, &mut found);
        found.settle();
        Ok(found)
    }

    fn scan_words(&self, direction: Direction, text: &str, found: &mut SegmentFindings) {
        let Some(matcher) = &self.words else { return };
        let folded = fold(text);
        let pick = |input: Handling, output: Handling| {
            if direction == Direction::Input { input } else { output }
        };
        for (place, range) in matcher.find(&folded) {
            let (source, handling) = match self.definition.words.get(place) {
                Some(rule) => (WordSource::Custom, pick(rule.input, rule.output)),
                None => match self.definition.profanity {
                    Some((input, output)) => (WordSource::Profanity, pick(input, output)),
                    None => continue,
                },
            };
            if !handling.enabled {
                continue;
            }
            let matched = text.get(range.clone()).unwrap_or_default();
            found.note(range.clone(), handling, String::new);
            let is_listed = found.words.iter().take(LISTED_MAX).any(|known| known.matched == matched && known.source == source);
            if !is_listed && found.words.len() < LISTED_MAX {
                let place = Place { segment: 0, bytes: range.clone() };
                found.words.push(WordFinding { matched: matched.to_owned(), source, place, action: action_of(handling) });
            }
        }
    }

    fn scan_entities(&self, direction: Direction, text: &str, found: &mut SegmentFindings) -> Result<(), InputTooLong> {
        let handling_of = |finding: &Finding| {
            let rule = self.definition.entities.iter().find(|rule| rule.kind == finding.kind)?;
            Some(if direction == Direction::Input { rule.input } else { rule.output })
        };
        let wanted: KindSet = self
            .definition
            .entities
            .iter()
            .filter(|rule| if direction == Direction::Input { rule.input.enabled } else { rule.output.enabled })
            .map(|rule| rule.kind)
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let too_long = |error: sensitive::InputTooLong| InputTooLong { bytes: error.bytes, limit_bytes: sensitive::INPUT_BYTES_MAX };
        for finding in sensitive::find(text, wanted).map_err(too_long)? {
            let Some(handling) = handling_of(&finding) else {
                continue;
            };
            let range = finding.start..finding.end;
            if found.entities.len() < LISTED_MAX {
                found.entities.push(EntityFinding {
                    matched: text.get(range.clone()).unwrap_or_default().to_owned(),
                    kind: finding.kind,
                    confidence: finding.confidence,
                    place: Place { segment: 0, bytes: range.clone() },
                    action: action_of(handling),
                });
            }
            found.note(range, handling, || finding.kind.name().to_owned());
        }
        Ok(())
    }

    fn scan_patterns(&self, direction: Direction, text: &str, found: &mut SegmentFindings) {
        for (rule, pattern) in self.definition.patterns.iter().zip(&self.patterns) {
            let handling = if direction == Direction::Input { rule.input } else { rule.output };
            if !handling.enabled {
                continue;
            }
            for range in pattern.find(text) {
                if found.patterns.len() < LISTED_MAX {
                    found.patterns.push(RegexFinding {
                        matched: text.get(range.clone()).unwrap_or_default().to_owned(),
                        name: rule.name.clone(),
                        pattern: rule.pattern.clone(),
                        place: Place { segment: 0, bytes: range.clone() },
                        action: action_of(handling),
                    });
                }
                found.note(range, handling, || rule.name.clone());
            }
        }
    }

    /// Whether a stream can be judged piece by piece: no user pattern can match more than `bytes`.
    pub(crate) fn patterns_are_shorter_than(&self, bytes: usize) -> bool {
        self.patterns.iter().all(|pattern| pattern.longest_match_bytes().is_some_and(|longest| longest <= bytes))
    }
}
