//! Screening prompts and answers against a guardrail.
//!
//! What it is: a [`Guardrail`] compiled from a [`Definition`] that mirrors Bedrock's `CreateGuardrail`, and [`Guardrail::assess`], which decides
//! what `ApplyGuardrail` answers. Word lists, sensitive information (entities and regular expressions) and the `PROMPT_ATTACK` filter are decided.
//! What it is not: it does not decide denied topics, contextual grounding, automated reasoning, images, or the categories HATE, INSULTS, SEXUAL,
//! VIOLENCE and MISCONDUCT. A definition with one of them is refused ([`DefinitionError::Unsupported`]), because a guardrail that cannot
//! run must never answer NONE.
//!
//! The prompt-attack detector is a scored set of rules over normalised views of the text. It finds the known shapes of attacks; an adaptive
//! attacker gets past it, as past any detector. Privileges on tools and data are the defence, this is a filter.
//!
//! Invariants: everything runs in time linear in the text; inputs are limited; nothing panics; [`StreamGuard`] gives the same text however its input is split.

mod assess;
mod attack;
mod confidence;
mod content;
mod definition;
mod grounding;
mod guardrail;
mod output_risk;
mod profanity;
mod sentence;
mod stream;
mod topic;
mod words;

pub use assess::{
    Action, Assessment, ContentFinding, Coverage, Direction, EntityFinding, FindingAction, InputTooLong, Qualifier, RegexFinding, Segment,
    Usage, WordFinding, WordSource,
};
pub use attack::{AttackCategories, AttackScore, Provenance, score_prompt_attack};
pub use confidence::Confidence;
pub use content::{CATEGORIES, ContentScore, ContentScores, score_content};
pub use definition::{
    ContentCategory, ContentFilter, Definition, DefinitionError, EntityRule, Handling, Mask, Modality, PatternRule, Policy, Strength, Tier,
    WordRule,
};
pub use grounding::{GroundingScores, score_grounding};
pub use guardrail::Guardrail;
pub use output_risk::{OutputRisk, OutputRiskKind, output_risks};
pub use stream::{StreamGuard, StreamStep};
pub use topic::{Topic, TopicScore};
