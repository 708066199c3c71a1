//! What a guardrail is made of.

use sensitive::{Kind, PatternError};

/// Whether and how a finding counts in one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handling {
    /// Whether it is looked for at all.
    pub enabled: bool,
    /// What follows.
    pub action: Mask,
}

impl Handling {
    /// Looked for and blocked.
    pub const BLOCK: Self = Self { enabled: true, action: Mask::Block };
    /// Looked for and masked.
    pub const ANONYMIZE: Self = Self { enabled: true, action: Mask::Anonymize };
    /// Looked for and only reported.
    pub const DETECT: Self = Self { enabled: true, action: Mask::None };
    /// Not looked for.
    pub const OFF: Self = Self { enabled: false, action: Mask::None };
}

/// What follows a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// The whole text is replaced by the blocked message.
    Block,
    /// The finding is replaced by its type. Only for sensitive information.
    Anonymize,
    /// Nothing: it is reported.
    None,
}

/// A word or phrase of up to 100 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WordRule {
    /// The word, compared without regard to case, as a whole word.
    pub text: String,
    /// For prompts.
    pub input: Handling,
    /// For answers.
    pub output: Handling,
}

/// A type of sensitive information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntityRule {
    /// The type.
    pub kind: Kind,
    /// For prompts.
    pub input: Handling,
    /// For answers.
    pub output: Handling,
}

/// A regular expression of the user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternRule {
    /// Its name, which replaces a masked match.
    pub name: String,
    /// The expression, without look-around.
    pub pattern: String,
    /// For prompts.
    pub input: Handling,
    /// For answers.
    pub output: Handling,
}

/// Categories of the content filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ContentCategory {
    Sexual,
    Violence,
    Hate,
    Insults,
    Misconduct,
    PromptAttack,
}

/// How sure a finding must be: `Low` acts on high confidence only, `Medium` on high and medium, `High` on all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Strength {
    None,
    Low,
    Medium,
    High,
}

/// What a content filter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Modality {
    Text,
    Image,
}

/// The tier of a policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Tier {
    #[default]
    Classic,
    Standard,
}

/// A content filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentFilter {
    /// The category.
    pub category: ContentCategory,
    /// The strength for prompts.
    pub input_strength: Strength,
    /// The strength for answers; `None` for prompt attacks.
    pub output_strength: Strength,
    /// Block or detect, for prompts.
    pub input: Handling,
    /// What it looks at.
    pub modalities: Vec<Modality>,
}

/// A policy that this engine cannot decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Policy {
    Topics,
    ContextualGrounding,
    AutomatedReasoning,
    Images,
    StandardTier,
    Content(ContentCategory),
}

/// A guardrail's definition. Source: Bedrock API reference, `CreateGuardrail`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Definition {
    /// What stands in place of a blocked prompt, 1 to 500 characters.
    pub blocked_input_message: String,
    /// What stands in place of a blocked answer, 1 to 500 characters.
    pub blocked_output_message: String,
    /// Up to 10,000 words.
    pub words: Vec<WordRule>,
    /// The managed word list PROFANITY: for prompts and answers.
    pub profanity: Option<(Handling, Handling)>,
    /// Types of sensitive information.
    pub entities: Vec<EntityRule>,
    /// Up to 30 regular expressions.
    pub patterns: Vec<PatternRule>,
    /// Content filters.
    pub content_filters: Vec<ContentFilter>,
    /// The tier of the content filters.
    pub content_tier: Tier,
    /// How many denied topics are configured. More than none is refused.
    pub topic_count: usize,
    /// How many grounding filters are configured. More than none is refused.
    pub grounding_filter_count: usize,
    /// How many automated reasoning policies are configured. More than none is refused.
    pub automated_reasoning_policy_count: usize,
}

/// Why a definition is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DefinitionError {
    #[error("the policy {0:?} cannot be decided by this server, so it is not accepted")]
    Unsupported(Policy),
    #[error("the blocked messages must have 1 to 500 characters")]
    BlockedMessage,
    #[error("the word `{word}` must have 1 to 100 characters")]
    Word { word: String },
    #[error("there are more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error("`{name}` stands twice in the definition")]
    Duplicate { name: String },
    #[error("words and filters can only be blocked or detected, not masked")]
    MaskedWord,
    #[error("the output strength of a prompt attack filter must be NONE")]
    PromptAttackOutput,
    #[error("the name of a regular expression must have 1 to 100 characters")]
    PatternName,
    #[error("the regular expression `{name}` is refused: {error}")]
    Pattern { name: String, error: PatternError },
    #[error("the words cannot be compiled")]
    WordsTooLarge,
}

const WORDS_MAX: usize = 10_000;
const PATTERNS_MAX: usize = 30;

fn has_length(text: &str, most: usize) -> bool {
    !text.is_empty() && text.chars().nth(most).is_none()
}

impl Definition {
    /// Checks all that needs no compilation.
    pub(crate) fn check(&self) -> Result<(), DefinitionError> {
        self.check_supported()?;
        if !has_length(&self.blocked_input_message, 500) || !has_length(&self.blocked_output_message, 500) {
            return Err(DefinitionError::BlockedMessage);
        }
        for (what, limit, count) in [("words", WORDS_MAX, self.words.len()), ("regular expressions", PATTERNS_MAX, self.patterns.len())] {
            if count > limit {
                return Err(DefinitionError::TooMany { what, limit });
            }
        }
        if let Some(rule) = self.words.iter().find(|rule| !has_length(rule.text.trim(), 100)) {
            return Err(DefinitionError::Word { word: rule.text.chars().take(100).collect() });
        }
        if self.patterns.iter().any(|rule| !has_length(&rule.name, 100)) {
            return Err(DefinitionError::PatternName);
        }
        let word_handlings = self.words.iter().flat_map(|rule| [rule.input, rule.output]);
        let other = self.profanity.iter().flat_map(|(input, output)| [*input, *output]);
        let filters = self.content_filters.iter().map(|filter| filter.input);
        if word_handlings.chain(other).chain(filters).any(|handling| handling.action == Mask::Anonymize) {
            return Err(DefinitionError::MaskedWord);
        }
        self.check_duplicates()
    }

    fn check_supported(&self) -> Result<(), DefinitionError> {
        let unsupported = |policy| Err(DefinitionError::Unsupported(policy));
        if self.topic_count > 0 {
            return unsupported(Policy::Topics);
        }
        if self.grounding_filter_count > 0 {
            return unsupported(Policy::ContextualGrounding);
        }
        if self.automated_reasoning_policy_count > 0 {
            return unsupported(Policy::AutomatedReasoning);
        }
        for filter in &self.content_filters {
            if filter.modalities.contains(&Modality::Image) {
                return unsupported(Policy::Images);
            }
            if filter.category != ContentCategory::PromptAttack {
                return unsupported(Policy::Content(filter.category));
            }
            if filter.output_strength != Strength::None {
                return Err(DefinitionError::PromptAttackOutput);
            }
        }
        if self.content_tier == Tier::Standard {
            return unsupported(Policy::StandardTier);
        }
        Ok(())
    }

    fn check_duplicates(&self) -> Result<(), DefinitionError> {
        let mut seen = std::collections::HashSet::new();
        let entities = self.entities.iter().map(|rule| rule.kind.name().to_owned());
        let patterns = self.patterns.iter().map(|rule| format!("regex {}", rule.name));
        let filters = self.content_filters.iter().map(|filter| format!("{:?}", filter.category));
        for name in entities.chain(patterns).chain(filters) {
            if seen.contains(&name) {
                return Err(DefinitionError::Duplicate { name });
            }
            seen.insert(name);
        }
        Ok(())
    }
}
