//! Screening prompts and answers against a guardrail.
//!
//! What it is: a [`Guardrail`] compiled from a [`Definition`] that mirrors Bedrock's `CreateGuardrail`, and [`Guardrail::assess`], which decides
//! what `ApplyGuardrail` answers: words, sensitive information (entities and regular expressions), content filters in both directions, prompt
//! attacks, denied topics, contextual grounding.
//! What it is not: it sees no images (a definition that asks for it is refused, because a guardrail that cannot run must never answer NONE), and
//! it proves nothing: claims of a policy are decided in the crate `reasoning`.
//!
//! Every detector misses things, and an adaptive attacker gets past it. Privileges on tools and data are the defence, this is a filter.
//!
//! Invariants: everything runs in time linear in the text; inputs are limited; nothing panics; [`StreamGuard`] gives the same text however its input is
//! split, and blocks what [`Guardrail::assess`] blocks.

mod assess;
mod attack;
mod confidence;
mod content;
mod definition;
mod grounding;
mod guardrail;
mod judge;
mod markdown;
pub mod model;
mod output_risk;
mod profanity;
mod sentence;
mod stream;
mod topic;
mod words;

pub use assess::{
    Action, Assessment, ContentFinding, Coverage, Direction, EntityFinding, FindingAction, GroundingFinding, InputTooLong, Place,
    Qualifier, RegexFinding, Segment, TopicFinding, Usage, WordFinding, WordSource,
};
pub use attack::{AttackCategories, AttackScore, Provenance, bears_material, score_message, score_prompt_attack};
pub use confidence::Confidence;
pub use content::{CATEGORIES, ContentScore, ContentScores, score_content};
pub use definition::{
    ContentCategory, ContentFilter, Definition, DefinitionError, EntityRule, GroundingKind, GroundingRule, Handling, Mask, Modality,
    PatternRule, Strength, Tier, TopicRule, WordRule,
};
pub use grounding::{GroundingScores, score_grounding};
pub use guardrail::Guardrail;
pub use judge::Secrets;
pub use output_risk::{OutputRisk, OutputRiskKind, output_risks};
pub use stream::{KeptSecrets, StreamGuard, StreamPace, StreamStep};
pub use topic::{Topic, TopicScore};
