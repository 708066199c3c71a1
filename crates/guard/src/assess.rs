//! What an assessment says. The shapes follow Bedrock's `ApplyGuardrail` response.

use sensitive::Kind;

use crate::attack::Confidence;
use crate::definition::{ContentCategory, Strength};

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
}

impl Segment<'_> {
    /// Whether the policies look at it.
    pub fn is_guarded(&self) -> bool {
        self.qualifiers.is_empty() || self.qualifiers.contains(&Qualifier::GuardContent)
    }
}

/// Whether the guardrail stepped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Action {
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
}

/// The outcome. It holds the texts that were found: it goes to a caller who may see them, not into a log.
#[derive(Clone, Debug, PartialEq)]
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
