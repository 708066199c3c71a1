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
    /// Block or detect, for answers.
    pub output: Handling,
    /// What it looks at.
    pub modalities: Vec<Modality>,
}

/// A topic that is not to be talked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRule {
    /// Its name, 1 to 100 characters.
    pub name: String,
    /// What it is about, 1 to 200 characters.
    pub definition: String,
    /// Up to five phrases that are about it, of 1 to 100 characters.
    pub examples: Vec<String>,
    /// For prompts.
    pub input: Handling,
    /// For answers.
    pub output: Handling,
}

/// What an answer is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroundingKind {
    /// The sources: whether they support what the answer says.
    Grounding,
    /// The query: whether the answer is about what was asked.
    Relevance,
}

/// A filter of contextual grounding. It looks at answers only.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroundingRule {
    /// What is compared.
    pub kind: GroundingKind,
    /// The least score that passes, 0 to 0.99.
    pub threshold: f64,
    /// What follows a lower one.
    pub output: Handling,
}

/// A guardrail's definition. Source: Bedrock API reference, `CreateGuardrail`.
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// The tier of the content filters. With `Standard` a prompt-attack filter also looks for the system prompt in answers.
    pub content_tier: Tier,
    /// Up to 30 denied topics.
    pub topics: Vec<TopicRule>,
    /// Up to one filter of each kind.
    pub grounding: Vec<GroundingRule>,
}

/// Why a definition is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum DefinitionError {
    #[error("no filter of this server sees images, so the modality IMAGE is not accepted")]
    Images,
    #[error("the blocked messages must have 1 to 500 characters")]
    BlockedMessage,
    #[error("the word `{word}` must have 1 to 100 characters")]
    Word { word: String },
    #[error("there are more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error("`{name}` stands twice in the definition")]
    Duplicate { name: String },
    #[error("words, topics and filters can only be blocked or detected, not masked")]
    MaskedWord,
    #[error("the output strength of a prompt attack filter must be NONE")]
    PromptAttackOutput,
    #[error("the name of a regular expression must have 1 to 100 characters")]
    PatternName,
    #[error("the regular expression `{name}` is refused: {error}")]
    Pattern { name: String, error: PatternError },
    #[error("the topic `{name}` must have a name of 1 to 100, a definition of 1 to 200 and at most five examples of 1 to 100 characters")]
    Topic { name: String },
    #[error("the threshold of a grounding filter must be from 0 to 0.99")]
    Threshold,
    #[error("the words cannot be compiled")]
    WordsTooLarge,
}

const WORDS_MAX: usize = 10_000;
const PATTERNS_MAX: usize = 30;
const TOPICS_MAX: usize = 30;
const EXAMPLES_MAX: usize = 5;

fn has_length(text: &str, most: usize) -> bool {
    !text.is_empty() && text.chars().nth(most).is_none()
}

impl Definition {
    /// Checks all that needs no compilation.
    pub(crate) fn check(&self) -> Result<(), DefinitionError> {
        if !has_length(&self.blocked_input_message, 500) || !has_length(&self.blocked_output_message, 500) {
            return Err(DefinitionError::BlockedMessage);
        }
        let counts = [
            ("words", WORDS_MAX, self.words.len()),
            ("regular expressions", PATTERNS_MAX, self.patterns.len()),
            ("topics", TOPICS_MAX, self.topics.len()),
        ];
        if let Some((what, limit, _)) = counts.into_iter().find(|(_, limit, count)| count > limit) {
            return Err(DefinitionError::TooMany { what, limit });
        }
        if let Some(rule) = self.words.iter().find(|rule| !has_length(rule.text.trim(), 100)) {
            return Err(DefinitionError::Word { word: rule.text.chars().take(100).collect() });
        }
        if self.patterns.iter().any(|rule| !has_length(&rule.name, 100)) {
            return Err(DefinitionError::PatternName);
        }
        self.check_filters()?;
        self.check_masks()?;
        self.check_duplicates()
    }

    fn check_filters(&self) -> Result<(), DefinitionError> {
        for filter in &self.content_filters {
            if filter.modalities.contains(&Modality::Image) {
                return Err(DefinitionError::Images);
            }
            if filter.category == ContentCategory::PromptAttack && filter.output_strength != Strength::None {
                return Err(DefinitionError::PromptAttackOutput);
            }
        }
        let is_topic = |rule: &TopicRule| {
            has_length(&rule.name, 100)
                && has_length(&rule.definition, 200)
                && rule.examples.len() <= EXAMPLES_MAX
                && rule.examples.iter().all(|example| has_length(example, 100))
        };
        if let Some(rule) = self.topics.iter().find(|rule| !is_topic(rule)) {
            return Err(DefinitionError::Topic { name: rule.name.chars().take(100).collect() });
        }
        if self.grounding.iter().any(|rule| !(0.0..=0.99).contains(&rule.threshold)) {
            return Err(DefinitionError::Threshold);
        }
        Ok(())
    }

    /// Only sensitive information has a place that can be masked.
    fn check_masks(&self) -> Result<(), DefinitionError> {
        let words = self.words.iter().flat_map(|rule| [rule.input, rule.output]);
        let profanity = self.profanity.iter().flat_map(|(input, output)| [*input, *output]);
        let filters = self.content_filters.iter().flat_map(|filter| [filter.input, filter.output]);
        let topics = self.topics.iter().flat_map(|rule| [rule.input, rule.output]);
        let grounding = self.grounding.iter().map(|rule| rule.output);
        if words.chain(profanity).chain(filters).chain(topics).chain(grounding).any(|handling| handling.action == Mask::Anonymize) {
            return Err(DefinitionError::MaskedWord);
        }
        Ok(())
    }

    fn check_duplicates(&self) -> Result<(), DefinitionError> {
        let mut seen = std::collections::HashSet::new();
        let entities = self.entities.iter().map(|rule| rule.kind.name().to_owned());
        let patterns = self.patterns.iter().map(|rule| format!("regex {}", rule.name));
        let filters = self.content_filters.iter().map(|filter| format!("{:?}", filter.category));
        let topics = self.topics.iter().map(|rule| format!("topic {}", rule.name));
        let grounding = self.grounding.iter().map(|rule| format!("{:?}", rule.kind));
        for name in entities.chain(patterns).chain(filters).chain(topics).chain(grounding) {
            if seen.contains(&name) {
                return Err(DefinitionError::Duplicate { name });
            }
            seen.insert(name);
        }
        Ok(())
    }
}
