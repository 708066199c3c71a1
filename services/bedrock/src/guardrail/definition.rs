//! A guardrail's definition as it is kept, and what the engine decides by.

use guard::{
    ContentCategory, ContentFilter, DefinitionError, EntityRule, GroundingKind, GroundingRule, Guardrail, Handling, Mask, Modality,
    PatternRule, Strength, Tier, TopicRule, WordRule,
};
use sensitive::Kind;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// The tier that needs a guardrail profile.
const STANDARD: &str = "STANDARD";

/// What a rule does in each direction, as it was given; absent members have AWS's defaults (enabled, the rule's own action).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Directions {
    pub(super) input_action: Option<String>,
    pub(super) output_action: Option<String>,
    pub(super) input_enabled: Option<bool>,
    pub(super) output_enabled: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Word {
    pub(super) text: String,
    #[serde(flatten)]
    pub(super) directions: Directions,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entity {
    pub(super) kind: String,
    pub(super) action: String,
    #[serde(flatten)]
    pub(super) directions: Directions,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Regex {
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) pattern: String,
    pub(super) action: String,
    #[serde(flatten)]
    pub(super) directions: Directions,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    pub(super) category: String,
    pub(super) input_strength: String,
    pub(super) output_strength: String,
    pub(super) input_modalities: Option<Vec<String>>,
    pub(super) output_modalities: Option<Vec<String>>,
    #[serde(flatten)]
    pub(super) directions: Directions,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Topic {
    pub(super) name: String,
    pub(super) definition: String,
    pub(super) examples: Option<Vec<String>>,
    #[serde(flatten)]
    pub(super) directions: Directions,
}

/// A filter of contextual grounding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Grounding {
    /// `GROUNDING` or `RELEVANCE`.
    pub(super) kind: String,
    pub(super) threshold: f64,
    pub(super) action: Option<String>,
    pub(super) enabled: Option<bool>,
}

/// Policies whose rules an answer must not contradict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reasoning {
    /// One or two, with or without a version behind them.
    pub(crate) policy_arns: Vec<String>,
    pub(crate) confidence_threshold: Option<f64>,
}

/// A definition as it was given: texts of the API's enumerations, so that it is shown as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) blocked_input_messaging: String,
    pub(crate) blocked_outputs_messaging: String,
    pub(super) words: Vec<Word>,
    /// The managed list PROFANITY.
    pub(super) profanity: Option<Directions>,
    pub(super) entities: Vec<Entity>,
    pub(super) regexes: Vec<Regex>,
    pub(super) filters: Vec<Filter>,
    /// Tier of the content filters, if it was named.
    pub(super) content_tier: Option<String>,
    #[serde(default)]
    pub(super) topics: Vec<Topic>,
    #[serde(default)]
    pub(super) topic_tier: Option<String>,
    #[serde(default)]
    pub(super) grounding: Vec<Grounding>,
    #[serde(default)]
    pub(super) grounding_tier: Option<String>,
    #[serde(default)]
    pub(crate) reasoning: Option<Reasoning>,
    /// The guardrail profile as it was given: an id or an ARN.
    #[serde(default)]
    pub(super) profile: Option<String>,
}

impl Definition {
    /// The engine for this definition.
    pub(crate) fn compile(&self) -> Result<Guardrail, Refusal> {
        Guardrail::compile(self.engine()?).map_err(|error| match error {
            DefinitionError::Images => Refusal::unsupported("the modality IMAGE of a content filter"),
            DefinitionError::PromptAttackOutput => Refusal::invalid("The output strength of a PROMPT_ATTACK filter must be NONE."),
            other => Refusal::invalid(other.to_string()),
        })
    }

    /// In the engine's terms.
    fn engine(&self) -> Result<guard::Definition, Refusal> {
        let words = self.words.iter().map(|word| {
            let (input, output) = word.directions.handling("BLOCK")?;
            Ok(WordRule { text: word.text.clone(), input, output })
        });
        let entities = self.entities.iter().map(|entity| {
            let (input, output) = entity.directions.handling(&entity.action)?;
            let kind = Kind::parse(&entity.kind).ok_or_else(|| unknown("entity type", &entity.kind))?;
            Ok(EntityRule { kind, input, output })
        });
        let patterns = self.regexes.iter().map(|regex| {
            let (input, output) = regex.directions.handling(&regex.action)?;
            Ok(PatternRule { name: regex.name.clone(), pattern: regex.pattern.clone(), input, output })
        });
        Ok(guard::Definition {
            blocked_input_message: self.blocked_input_messaging.clone(),
            blocked_output_message: self.blocked_outputs_messaging.clone(),
            words: words.collect::<Result<_, Refusal>>()?,
            profanity: self.profanity.as_ref().map(|list| list.handling("BLOCK")).transpose()?,
            entities: entities.collect::<Result<_, Refusal>>()?,
            patterns: patterns.collect::<Result<_, Refusal>>()?,
            content_filters: self.filters.iter().map(Filter::engine).collect::<Result<_, _>>()?,
            content_tier: if self.content_tier.as_deref() == Some(STANDARD) { Tier::Standard } else { Tier::Classic },
            topics: self.topics.iter().map(Topic::engine).collect::<Result<_, _>>()?,
            grounding: self.grounding.iter().map(Grounding::engine).collect::<Result<_, _>>()?,
        })
    }

    /// Whether answers are compared with their sources.
    pub(crate) fn has_grounding(&self) -> bool {
        !self.grounding.is_empty()
    }

    /// Whether a policy has the tier that AWS runs across regions.
    pub(super) fn has_standard_tier(&self) -> bool {
        [&self.content_tier, &self.topic_tier, &self.grounding_tier].into_iter().any(|tier| tier.as_deref() == Some(STANDARD))
    }
}

impl Topic {
    fn engine(&self) -> Result<TopicRule, Refusal> {
        let (input, output) = self.directions.handling("BLOCK")?;
        Ok(TopicRule {
            name: self.name.clone(),
            definition: self.definition.clone(),
            examples: self.examples.clone().unwrap_or_default(),
            input,
            output,
        })
    }
}

impl Grounding {
    fn engine(&self) -> Result<GroundingRule, Refusal> {
        let kind = match self.kind.as_str() {
            "GROUNDING" => GroundingKind::Grounding,
            "RELEVANCE" => GroundingKind::Relevance,
            other => return Err(unknown("grounding filter", other)),
        };
        let directions = Directions { output_action: self.action.clone(), output_enabled: self.enabled, ..Directions::default() };
        Ok(GroundingRule { kind, threshold: self.threshold, output: directions.handling("BLOCK")?.1 })
    }
}

fn unknown(what: &str, text: &str) -> Refusal {
    Refusal::invalid(format!("`{text}` is not a known {what}."))
}

/// The API's name of a category.
pub(crate) fn category_name(category: ContentCategory) -> &'static str {
    match category {
        ContentCategory::Sexual => "SEXUAL",
        ContentCategory::Violence => "VIOLENCE",
        ContentCategory::Hate => "HATE",
        ContentCategory::Insults => "INSULTS",
        ContentCategory::Misconduct => "MISCONDUCT",
        ContentCategory::PromptAttack => "PROMPT_ATTACK",
    }
}

impl Directions {
    /// Handling for input and output; `action` is the rule's own.
    fn handling(&self, action: &str) -> Result<(Handling, Handling), Refusal> {
        let one = |given: Option<&String>, enabled: Option<bool>| {
            let action = match given.map_or(action, String::as_str) {
                "BLOCK" => Mask::Block,
                "ANONYMIZE" => Mask::Anonymize,
                "NONE" => Mask::None,
                other => return Err(unknown("action", other)),
            };
            Ok(Handling { enabled: enabled.unwrap_or(true), action })
        };
        Ok((one(self.input_action.as_ref(), self.input_enabled)?, one(self.output_action.as_ref(), self.output_enabled)?))
    }
}

impl Filter {
    fn engine(&self) -> Result<ContentFilter, Refusal> {
        let strength = |text: &str| match text {
            "NONE" => Ok(Strength::None),
            "LOW" => Ok(Strength::Low),
            "MEDIUM" => Ok(Strength::Medium),
            "HIGH" => Ok(Strength::High),
            other => Err(unknown("strength", other)),
        };
        let category = match self.category.as_str() {
            "SEXUAL" => ContentCategory::Sexual,
            "VIOLENCE" => ContentCategory::Violence,
            "HATE" => ContentCategory::Hate,
            "INSULTS" => ContentCategory::Insults,
            "MISCONDUCT" => ContentCategory::Misconduct,
            "PROMPT_ATTACK" => ContentCategory::PromptAttack,
            other => return Err(unknown("content filter", other)),
        };
        let modalities = self.input_modalities.iter().chain(&self.output_modalities).flatten();
        Ok(ContentFilter {
            category,
            input_strength: strength(&self.input_strength)?,
            output_strength: strength(&self.output_strength)?,
            input: self.directions.handling("BLOCK")?.0,
            output: self.directions.handling("BLOCK")?.1,
            modalities: modalities.map(|name| if name == "IMAGE" { Modality::Image } else { Modality::Text }).collect(),
        })
    }
}

#[cfg(test)]
#[path = "definition_test.rs"]
pub(crate) mod tests;
