//! The verdicts that need the sense of a text: content filters, denied topics, prompt attacks, leaks of the system prompt, grounding.
//!
//! Prompts are judged whole (the detectors go through long texts by windows of their own). Answers are judged at fixed places of the text
//! ([`places`]), each time on the window before the place: the verdict on a streamed answer is then that on the whole answer, whatever the
//! pieces were, and nothing is passed on that such a window has not been judged with.

use std::ops::Range;

use crate::assess::{Assessment, ContentFinding, Direction, FindingAction, GroundingFinding, Place, Qualifier, Segment, TopicFinding};
use crate::attack::{Provenance, score_prompt_attack};
use crate::confidence::Confidence;
use crate::content::score_content;
use crate::definition::{ContentCategory, ContentFilter, Definition, GroundingKind, Handling, Mask, Strength, Tier};
use crate::grounding::score_grounding;
use crate::markdown::{CodeBlocks, is_inline_code};
use crate::output_risk::{OutputRisk, OutputRiskKind, output_risks};
use crate::topic::Topic;

/// Distance of the places at which an answer is judged, bytes.
pub(crate) const STEP_BYTES: usize = 256;
/// What is judged before each place, bytes.
pub(crate) const WINDOW_BYTES: usize = 1024;

/// What a filter or topic has seen so far.
#[derive(Clone, Debug, Default, PartialEq)]
struct Best {
    score: f32,
    confidence: Confidence,
    bytes: Option<Range<usize>>,
}

impl Best {
    fn take(&mut self, score: f32, confidence: Confidence, bytes: Option<Range<usize>>) {
        if score > self.score {
            *self = Self { score, confidence, bytes };
        }
    }
}

/// What the judged policies have seen of a text: one entry per filter and per topic of the definition.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Judgement {
    content: Vec<Best>,
    topics: Vec<Best>,
    code: CodeBlocks,
}

/// The system prompt and the marks in it that must not come back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Secrets<'t> {
    /// The system prompt of the call.
    pub system_prompt: Option<&'t str>,
    /// Marks that stand nowhere but in the prompt.
    pub canaries: &'t [&'t str],
}

/// Confidence that a strength acts on.
fn needed(strength: Strength) -> Option<Confidence> {
    match strength {
        Strength::High => Some(Confidence::Low),
        Strength::Medium => Some(Confidence::Medium),
        Strength::Low => Some(Confidence::High),
        Strength::None => None,
    }
}

pub(crate) fn handling(direction: Direction, input: Handling, output: Handling) -> Handling {
    match direction {
        Direction::Input => input,
        Direction::Output => output,
    }
}

fn strength(direction: Direction, filter: &ContentFilter) -> Strength {
    match direction {
        Direction::Input => filter.input_strength,
        Direction::Output => filter.output_strength,
    }
}

/// The places up to `length` at which an answer is judged: every [`STEP_BYTES`] from `first`, and its end.
pub(crate) fn places(first: usize, length: usize) -> impl Iterator<Item = usize> {
    (first..=length).step_by(STEP_BYTES).chain(std::iter::once(length))
}

/// The policies of a definition that are judged, with what they are compiled to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judge {
    topics: Vec<Topic>,
}

impl Judge {
    pub(crate) fn new(definition: &Definition) -> Self {
        let topic = |rule: &crate::definition::TopicRule| {
            let examples: Vec<&str> = rule.examples.iter().map(String::as_str).collect();
            Topic::compile(&rule.name, &rule.definition, &examples)
        };
        Self { topics: definition.topics.iter().map(topic).collect() }
    }

    /// Whether anything is judged in this direction.
    pub(crate) fn is_needed(definition: &Definition, direction: Direction) -> bool {
        looks_at_content(definition, direction)
            || definition.topics.iter().any(|rule| handling(direction, rule.input, rule.output).enabled)
            || (direction == Direction::Output && looks_for_leaks(definition).is_some())
    }

    pub(crate) fn begin(definition: &Definition) -> Judgement {
        Judgement {
            content: vec![Best::default(); definition.content_filters.len()],
            topics: vec![Best::default(); definition.topics.len()],
            code: CodeBlocks::default(),
        }
    }

    /// Judges a text, or a window of one that begins at byte `offset`.
    pub(crate) fn judge(
        &self,
        definition: &Definition,
        direction: Direction,
        provenance: Provenance,
        (text, offset): (&str, usize),
        secrets: Secrets<'_>,
        so_far: &mut Judgement,
    ) {
        let moved = |span: Option<Range<usize>>| span.map(|span| span.start + offset..span.end + offset);
        if looks_at_content(definition, direction) {
            let scores = score_content(text);
            for (filter, best) in definition.content_filters.iter().zip(&mut so_far.content) {
                if let Some(found) = scores.get(filter.category) {
                    best.take(found.score, found.confidence, moved(found.span.clone()));
                }
            }
        }
        for (filter, best) in definition.content_filters.iter().zip(&mut so_far.content) {
            if filter.category != ContentCategory::PromptAttack {
                continue;
            }
            if direction == Direction::Input && filter.input.enabled && filter.input_strength != Strength::None {
                let attack = score_prompt_attack(text, provenance);
                best.take(attack.score, attack.confidence, moved(attack.span));
            }
            if direction == Direction::Output && looks_for_leaks(definition).is_some() {
                so_far.code.read(text, offset);
                for risk in output_risks(text, secrets.system_prompt, secrets.canaries) {
                    let confidence = risk_confidence(&risk, (text, offset), &so_far.code);
                    best.take(risk_score(confidence), confidence, moved(Some(risk.span)));
                }
            }
        }
        for ((rule, topic), best) in definition.topics.iter().zip(&self.topics).zip(&mut so_far.topics) {
            if handling(direction, rule.input, rule.output).enabled {
                let found = topic.score(text);
                best.take(found.score, found.confidence, moved(found.span));
            }
        }
    }

    /// Judges an answer at all its places. `first` is the first of them.
    pub(crate) fn judge_answer(&self, definition: &Definition, text: &str, first: usize, secrets: Secrets<'_>, so_far: &mut Judgement) {
        for place in places(first, text.len()) {
            let (window, offset) = window_before(text, place);
            self.judge(definition, Direction::Output, Provenance::User, (window, offset), secrets, so_far);
        }
    }
}

/// The text before a place, and where it begins.
pub(crate) fn window_before(text: &str, place: usize) -> (&str, usize) {
    let end = text.floor_char_boundary(place);
    let start = text.floor_char_boundary(end.saturating_sub(WINDOW_BYTES));
    (text.get(start..end).unwrap_or_default(), start)
}

fn looks_at_content(definition: &Definition, direction: Direction) -> bool {
    definition.content_filters.iter().any(|filter| {
        filter.category != ContentCategory::PromptAttack
            && handling(direction, filter.input, filter.output).enabled
            && strength(direction, filter) != Strength::None
    })
}

/// How sure it is that a risk of an answer is the other end of an attack. Links and markup in code are shown as written and do nothing; an image from
/// elsewhere that carries no data is ordinary; keys and passwords are the business of the filter for sensitive information.
fn risk_confidence(risk: &OutputRisk, (window, offset): (&str, usize), code: &CodeBlocks) -> Confidence {
    match risk.kind {
        OutputRiskKind::SystemPromptLeak | OutputRiskKind::Canary => risk.confidence,
        OutputRiskKind::UnsafeLink | OutputRiskKind::UnsafeMarkup if risk.confidence > Confidence::Low => {
            let is_code =
                code.contains(&(risk.span.start + offset..risk.span.end + offset)) || is_inline_code(window, &risk.span, offset == 0);
            if is_code { Confidence::None } else { risk.confidence }
        }
        OutputRiskKind::UnsafeLink | OutputRiskKind::UnsafeMarkup | OutputRiskKind::Secret => Confidence::None,
    }
}

fn risk_score(confidence: Confidence) -> f32 {
    match confidence {
        Confidence::High => 1.0,
        Confidence::Medium => 0.7,
        Confidence::Low | Confidence::None => 0.0,
    }
}

/// The filter that looks for the system prompt, and for links and markup that carry data away, in answers: prompt attacks in the tier STANDARD, whose categories have leakage.
fn looks_for_leaks(definition: &Definition) -> Option<&ContentFilter> {
    let is_attack = |filter: &&ContentFilter| filter.category == ContentCategory::PromptAttack && filter.input.enabled;
    definition.content_filters.iter().find(is_attack).filter(|_| definition.content_tier == Tier::Standard)
}

impl Judgement {
    /// Whether something was seen for which the text is blocked.
    pub(crate) fn blocks(&self, definition: &Definition, direction: Direction) -> bool {
        let content = definition.content_filters.iter().zip(&self.content);
        let topics = definition.topics.iter().zip(&self.topics);
        content
            .filter(|(filter, best)| detected(definition, direction, filter, best))
            .any(|(filter, _)| filter_handling(direction, filter).action == Mask::Block)
            || topics
                .filter(|(rule, best)| is_topic(handling(direction, rule.input, rule.output), best))
                .any(|(rule, _)| handling(direction, rule.input, rule.output).action == Mask::Block)
    }

    /// Adds what was seen to an assessment.
    pub(crate) fn report(&self, definition: &Definition, direction: Direction, segment: usize, assessment: &mut Assessment) {
        let place = |best: &Best| best.bytes.clone().map(|bytes| Place { segment, bytes });
        for (filter, best) in definition.content_filters.iter().zip(&self.content) {
            let handling = filter_handling(direction, filter);
            let is_off = !handling.enabled || (effective_strength(definition, direction, filter) == Strength::None);
            if is_off || best.confidence == Confidence::None {
                continue;
            }
            let detected = detected(definition, direction, filter, best);
            let blocks = detected && handling.action == Mask::Block;
            assessment.is_blocked |= blocks;
            assessment.content.push(ContentFinding {
                category: filter.category,
                confidence: best.confidence,
                strength: effective_strength(definition, direction, filter),
                score: best.score,
                detected,
                place: place(best),
                action: if blocks { FindingAction::Blocked } else { FindingAction::None },
            });
        }
        for (rule, best) in definition.topics.iter().zip(&self.topics) {
            let handling = handling(direction, rule.input, rule.output);
            if !handling.enabled || best.confidence == Confidence::None {
                continue;
            }
            let detected = is_topic(handling, best);
            let blocks = detected && handling.action == Mask::Block;
            assessment.is_blocked |= blocks;
            assessment.topics.push(TopicFinding {
                name: rule.name.clone(),
                score: best.score,
                detected,
                place: place(best),
                action: if blocks { FindingAction::Blocked } else { FindingAction::None },
            });
        }
    }
}

/// What follows a prompt attack is said for prompts only; a leak in an answer is the other end of one.
fn filter_handling(direction: Direction, filter: &ContentFilter) -> Handling {
    if filter.category == ContentCategory::PromptAttack { filter.input } else { handling(direction, filter.input, filter.output) }
}

fn effective_strength(definition: &Definition, direction: Direction, filter: &ContentFilter) -> Strength {
    if filter.category == ContentCategory::PromptAttack && (direction == Direction::Input || looks_for_leaks(definition).is_some()) {
        return filter.input_strength;
    }
    strength(direction, filter)
}

fn detected(definition: &Definition, direction: Direction, filter: &ContentFilter, best: &Best) -> bool {
    filter_handling(direction, filter).enabled
        && needed(effective_strength(definition, direction, filter)).is_some_and(|needed| best.confidence >= needed)
}

/// A topic has no strength: medium confidence is enough.
fn is_topic(handling: Handling, best: &Best) -> bool {
    handling.enabled && best.confidence >= Confidence::Medium
}

/// Compares an answer with its sources and its query. Without a source, or a query, the filter has nothing to compare with and does not run.
pub(crate) fn ground(definition: &Definition, segments: &[Segment<'_>], assessment: &mut Assessment) -> u64 {
    let with =
        |qualifier: Qualifier| segments.iter().filter(move |segment| segment.qualifiers.contains(&qualifier)).map(|segment| segment.text);
    let sources: Vec<&str> = with(Qualifier::GroundingSource).collect();
    let query: Vec<&str> = with(Qualifier::Query).collect();
    let query = query.join("\n");
    let answer: Vec<&str> = segments.iter().filter(|segment| segment.is_guarded()).map(|segment| segment.text).collect();
    let answer = answer.join("\n");
    let rules = definition.grounding.iter().filter(|rule| rule.output.enabled);
    let rules: Vec<_> = rules
        .filter(|rule| match rule.kind {
            GroundingKind::Grounding => !sources.is_empty(),
            GroundingKind::Relevance => !query.is_empty(),
        })
        .collect();
    if rules.is_empty() || answer.is_empty() {
        return 0;
    }
    let scores = score_grounding(&sources, (!query.is_empty()).then_some(query.as_str()), &answer);
    for rule in rules {
        let score = match rule.kind {
            GroundingKind::Grounding => f64::from(scores.grounding),
            GroundingKind::Relevance => f64::from(scores.relevance.unwrap_or(1.0)),
        };
        let detected = score < rule.threshold;
        let blocks = detected && rule.output.action == Mask::Block;
        assessment.is_blocked |= blocks;
        assessment.grounding.push(GroundingFinding {
            kind: rule.kind,
            threshold: rule.threshold,
            score,
            detected,
            action: if blocks { FindingAction::Blocked } else { FindingAction::None },
        });
    }
    let characters = sources.iter().map(|text| text.chars().count()).sum::<usize>() + query.chars().count() + answer.chars().count();
    u64::try_from(characters).unwrap_or(u64::MAX).div_ceil(1000)
}
