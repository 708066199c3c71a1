//! What an assessment says. The shapes follow Bedrock's `ApplyGuardrail` response.

use std::ops::Range;

use sensitive::Kind;

use crate::attack::Provenance;
use crate::confidence::Confidence;
use crate::definition::{ContentCategory, GroundingKind, Strength};

/// Which way the text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A prompt.
    Input,
    /// An answer.
    Output,
}

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Qualifier {
    GroundingSource,
    Query,
    GuardContent,
}

/// A piece of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment<'t> {
    /// The text.
    pub text: &'t str,
    /// What it is for. A segment that is only a grounding source or a query is not guarded.
    pub qualifiers: &'t [Qualifier],
    /// Whose words they are.
    pub provenance: Provenance,
}

/// Where a finding stands: the number of the segment and the bytes in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Place {
    /// The segment, from 0.
    pub segment: usize,
    /// The bytes of its text.
    pub bytes: Range<usize>,
}

impl<'t> Segment<'t> {
    /// A user's or a model's text that is guarded.
    pub fn of(text: &'t str) -> Self {
        Self { text, qualifiers: &[], provenance: Provenance::User }
    }

    /// A text with the purpose that the caller gave it. A source is nobody's instruction.
    pub fn qualified(text: &'t str, qualifiers: &'t [Qualifier]) -> Self {
        let is_source = qualifiers.contains(&Qualifier::GroundingSource);
        Self { text, qualifiers, provenance: if is_source { Provenance::Data } else { Provenance::User } }
    }

    /// Whether the policies look at it.
    pub fn is_guarded(&self) -> bool {
        self.qualifiers.is_empty() || self.qualifiers.contains(&Qualifier::GuardContent)
    }
}

/// Whether the guardrail stepped in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
    #[default]
    None,
    Intervened,
}

/// What followed a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum FindingAction {
    Blocked,
    Anonymized,
    None,
}

/// Where a word came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum WordSource {
    Custom,
    Profanity,
}

/// A word that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordFinding {
    /// The text as it stood there.
    pub matched: String,
    /// Its list.
    pub source: WordSource,
    /// Where it stands.
    pub place: Place,
    /// What followed.
    pub action: FindingAction,
}

/// Sensitive information that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct EntityFinding {
    /// The text as it stood there.
    pub matched: String,
    /// Its type.
    pub kind: Kind,
    /// How sure the detector is, 0 to 1.
    pub confidence: f32,
    /// Where it stands.
    pub place: Place,
    /// What followed.
    pub action: FindingAction,
}

/// A match of a regular expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegexFinding {
    /// The text as it stood there.
    pub matched: String,
    /// The name of the expression.
    pub name: String,
    /// The expression.
    pub pattern: String,
    /// Where it stands.
    pub place: Place,
    /// What followed.
    pub action: FindingAction,
}

/// The result of a content filter that found something.
#[derive(Clone, Debug, PartialEq)]
pub struct ContentFinding {
    /// The category.
    pub category: ContentCategory,
    /// The confidence band.
    pub confidence: Confidence,
    /// The strength that is configured.
    pub strength: Strength,
    /// The score, 0 to 1.
    pub score: f32,
    /// Whether the confidence reaches the strength.
    pub detected: bool,
    /// What spoke most, if it has a place.
    pub place: Option<Place>,
    /// What followed.
    pub action: FindingAction,
}

/// A denied topic that something was near to.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicFinding {
    /// The topic.
    pub name: String,
    /// How near, 0 to 1.
    pub score: f32,
    /// Whether it is the topic.
    pub detected: bool,
    /// What spoke most, if it has a place.
    pub place: Option<Place>,
    /// What followed.
    pub action: FindingAction,
}

/// How an answer compares with its sources or its query.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundingFinding {
    /// What was compared.
    pub kind: GroundingKind,
    /// The least score that passes.
    pub threshold: f64,
    /// From 0 to 1.
    pub score: f64,
    /// Whether the score is below the threshold.
    pub detected: bool,
    /// What followed.
    pub action: FindingAction,
}

/// How much was looked at, characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Looked at.
    pub guarded_characters: u64,
    /// Given.
    pub total_characters: u64,
}

/// Text units of 1,000 characters by policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Usage {
    pub word_policy_units: u64,
    pub sensitive_information_policy_units: u64,
    /// Regular expressions are free of charge at AWS and counted apart.
    pub sensitive_information_policy_free_units: u64,
    pub content_policy_units: u64,
    pub topic_policy_units: u64,
    pub contextual_grounding_policy_units: u64,
}

/// The outcome. It holds the texts that were found: it goes to a caller who may see them, not into a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assessment {
    /// Whether the guardrail stepped in.
    pub action: Action,
    /// Whether everything is replaced by the blocked message.
    pub is_blocked: bool,
    /// The blocked message, or every segment with its findings masked; empty when the guardrail did not step in.
    pub outputs: Vec<String>,
    /// Words.
    pub words: Vec<WordFinding>,
    /// Sensitive information.
    pub entities: Vec<EntityFinding>,
    /// Regular expressions.
    pub patterns: Vec<RegexFinding>,
    /// Content filters that saw something, also below their strength.
    pub content: Vec<ContentFinding>,
    /// Denied topics that something was near to.
    pub topics: Vec<TopicFinding>,
    /// Grounding filters that ran.
    pub grounding: Vec<GroundingFinding>,
    /// How much was looked at.
    pub coverage: Coverage,
    /// Text units.
    pub usage: Usage,
}

/// More text than an assessment takes.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the content of {bytes} bytes is longer than {limit_bytes} bytes")]
pub struct InputTooLong {
    /// Given.
    pub bytes: usize,
    /// Allowed.
    pub limit_bytes: usize,
}
