//! A guardrail's definition: from the API's configuration, to what the engine decides by, and back to what the API shows.

use api_bedrock as api;
use guard::{
    ContentCategory, ContentFilter, DefinitionError, EntityRule, Guardrail, Handling, Mask, Modality, PatternRule, Policy, Strength,
    WordRule,
};
use sensitive::Kind;
use serde::{Deserialize, Serialize};
use wire::Secret;

use crate::refusal::Refusal;

/// What a rule does in each direction, as it was given; absent members have AWS's defaults (enabled, the rule's own action).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Directions {
    input_action: Option<String>,
    output_action: Option<String>,
    input_enabled: Option<bool>,
    output_enabled: Option<bool>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Word {
    text: String,
    #[serde(flatten)]
    directions: Directions,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entity {
    kind: String,
    action: String,
    #[serde(flatten)]
    directions: Directions,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Regex {
    name: String,
    description: Option<String>,
    pattern: String,
    action: String,
    #[serde(flatten)]
    directions: Directions,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Filter {
    category: String,
    input_strength: String,
    output_strength: String,
    input_modalities: Option<Vec<String>>,
    output_modalities: Option<Vec<String>>,
    #[serde(flatten)]
    directions: Directions,
}

/// A definition as it was given: texts of the API's enumerations, so that it is shown as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) blocked_input_messaging: String,
    pub(crate) blocked_outputs_messaging: String,
    words: Vec<Word>,
    /// The managed list PROFANITY.
    profanity: Option<Directions>,
    entities: Vec<Entity>,
    regexes: Vec<Regex>,
    filters: Vec<Filter>,
    /// Tier of the content filters, if it was named.
    content_tier: Option<String>,
}

/// The policies of a create or update call.
pub(crate) struct Configuration {
    pub(crate) topics: Option<api::GuardrailTopicPolicyConfig>,
    pub(crate) content: Option<api::GuardrailContentPolicyConfig>,
    pub(crate) words: Option<api::GuardrailWordPolicyConfig>,
    pub(crate) sensitive: Option<api::GuardrailSensitiveInformationPolicyConfig>,
    pub(crate) grounding: Option<api::GuardrailContextualGroundingPolicyConfig>,
    pub(crate) reasoning: Option<api::GuardrailAutomatedReasoningPolicyConfig>,
    pub(crate) cross_region: Option<api::GuardrailCrossRegionConfig>,
    pub(crate) blocked_input_messaging: String,
    pub(crate) blocked_outputs_messaging: String,
}

macro_rules! directions {
    ($rule:expr, $text:expr) => {
        Directions {
            input_action: $rule.input_action.as_ref().map($text),
            output_action: $rule.output_action.as_ref().map($text),
            input_enabled: $rule.input_enabled,
            output_enabled: $rule.output_enabled,
        }
    };
}

macro_rules! secret_text {
    () => {
        |action| action.as_str().to_owned()
    };
}

impl Configuration {
    /// The definition, when the engine can decide all of it.
    pub(crate) fn into_definition(self) -> Result<Definition, Refusal> {
        for (given, what) in [
            (self.topics.is_some(), "a denied topic (`topicPolicyConfig`)"),
            (self.grounding.is_some(), "contextual grounding (`contextualGroundingPolicyConfig`)"),
            (self.reasoning.is_some(), "automated reasoning (`automatedReasoningPolicyConfig`)"),
            (self.cross_region.is_some(), "a guardrail profile (`crossRegionConfig`)"),
        ] {
            if given {
                return Err(Refusal::unsupported(what));
            }
        }
        let mut definition = Definition {
            blocked_input_messaging: self.blocked_input_messaging,
            blocked_outputs_messaging: self.blocked_outputs_messaging,
            ..Definition::default()
        };
        if let Some(words) = self.words {
            definition.take_words(words)?;
        }
        if let Some(sensitive) = self.sensitive {
            definition.take_sensitive(sensitive);
        }
        if let Some(content) = self.content {
            definition.take_content(content);
        }
        definition.compile()?;
        Ok(definition)
    }
}

impl Definition {
    fn take_words(&mut self, words: api::GuardrailWordPolicyConfig) -> Result<(), Refusal> {
        self.words = words
            .words_config
            .unwrap_or_default()
            .into_iter()
            .map(|word| Word { directions: directions!(word, secret_text!()), text: word.text })
            .collect();
        let mut managed = words.managed_word_lists_config.unwrap_or_default().into_iter();
        self.profanity = managed.next().map(|list| directions!(list, secret_text!()));
        if managed.next().is_some() {
            return Err(Refusal::invalid("The managed word list PROFANITY is given twice."));
        }
        Ok(())
    }

    fn take_sensitive(&mut self, sensitive: api::GuardrailSensitiveInformationPolicyConfig) {
        self.entities = sensitive
            .pii_entities_config
            .unwrap_or_default()
            .into_iter()
            .map(|entity| Entity {
                kind: entity.type_.as_str().to_owned(),
                action: entity.action.as_str().to_owned(),
                directions: directions!(entity, secret_text!()),
            })
            .collect();
        self.regexes = sensitive
            .regexes_config
            .unwrap_or_default()
            .into_iter()
            .map(|regex| Regex {
                directions: directions!(regex, secret_text!()),
                action: regex.action.as_str().to_owned(),
                name: regex.name,
                description: regex.description,
                pattern: regex.pattern,
            })
            .collect();
    }

    fn take_content(&mut self, content: api::GuardrailContentPolicyConfig) {
        let texts = |modalities: Option<Vec<Secret<api::GuardrailModality>>>| {
            modalities.map(|modalities| modalities.iter().map(|modality| modality.as_str().to_owned()).collect())
        };
        self.content_tier = content.tier_config.map(|tier| tier.tier_name.as_str().to_owned());
        self.filters = content
            .filters_config
            .into_iter()
            .map(|filter| Filter {
                directions: directions!(filter, secret_text!()),
                category: filter.type_.as_str().to_owned(),
                input_strength: filter.input_strength.as_str().to_owned(),
                output_strength: filter.output_strength.as_str().to_owned(),
                input_modalities: texts(filter.input_modalities),
                output_modalities: texts(filter.output_modalities),
            })
            .collect();
    }

    /// The engine for this definition.
    pub(crate) fn compile(&self) -> Result<Guardrail, Refusal> {
        Guardrail::compile(self.engine()?).map_err(|error| match error {
            DefinitionError::Unsupported(policy) => Refusal::unsupported(unsupported(policy)),
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
            content_tier: match self.content_tier.as_deref() {
                None | Some("CLASSIC") => guard::Tier::Classic,
                Some(_) => guard::Tier::Standard,
            },
            ..guard::Definition::default()
        })
    }
}

fn unknown(what: &str, text: &str) -> Refusal {
    Refusal::invalid(format!("`{text}` is not a known {what}."))
}

fn unsupported(policy: Policy) -> String {
    match policy {
        Policy::Topics => "a denied topic".to_owned(),
        Policy::ContextualGrounding => "contextual grounding".to_owned(),
        Policy::AutomatedReasoning => "automated reasoning".to_owned(),
        Policy::Images => "the modality IMAGE of a content filter".to_owned(),
        Policy::StandardTier => "the tier STANDARD of the content filters".to_owned(),
        Policy::Content(category) => format!("the content filter {}", category_name(category)),
    }
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
            modalities: modalities.map(|name| if name == "IMAGE" { Modality::Image } else { Modality::Text }).collect(),
        })
    }
}

/// The policies as `GetGuardrail` shows them.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) content: Option<api::GuardrailContentPolicy>,
    pub(crate) words: Option<api::GuardrailWordPolicy>,
    pub(crate) sensitive: Option<api::GuardrailSensitiveInformationPolicy>,
}

fn secret<T: for<'a> From<&'a str>>(text: Option<&String>) -> Option<Secret<T>> {
    text.map(|text| Secret::new(T::from(text)))
}

fn plain<T: for<'a> From<&'a str>>(text: Option<&String>) -> Option<T> {
    text.map(|text| T::from(text))
}

impl From<&Definition> for View {
    fn from(definition: &Definition) -> Self {
        let words = !definition.words.is_empty() || definition.profanity.is_some();
        let sensitive = !definition.entities.is_empty() || !definition.regexes.is_empty();
        Self {
            content: (!definition.filters.is_empty()).then(|| api::GuardrailContentPolicy {
                filters: Some(definition.filters.iter().map(filter_view).collect()),
                tier: definition
                    .content_tier
                    .as_deref()
                    .map(|tier| api::GuardrailContentFiltersTier { tier_name: Secret::new(tier.into()) }),
            }),
            words: words.then(|| api::GuardrailWordPolicy {
                words: Some(definition.words.iter().map(word_view).collect()),
                managed_word_lists: Some(definition.profanity.iter().map(profanity_view).collect()),
            }),
            sensitive: sensitive.then(|| api::GuardrailSensitiveInformationPolicy {
                pii_entities: Some(definition.entities.iter().map(entity_view).collect()),
                regexes: Some(definition.regexes.iter().map(regex_view).collect()),
            }),
        }
    }
}

fn filter_view(filter: &Filter) -> api::GuardrailContentFilter {
    let modalities =
        |names: &Option<Vec<String>>| names.as_ref().map(|names| names.iter().map(|name| Secret::new(name.as_str().into())).collect());
    api::GuardrailContentFilter {
        type_: filter.category.as_str().into(),
        input_strength: filter.input_strength.as_str().into(),
        output_strength: filter.output_strength.as_str().into(),
        input_modalities: modalities(&filter.input_modalities),
        output_modalities: modalities(&filter.output_modalities),
        input_action: secret(filter.directions.input_action.as_ref()),
        output_action: secret(filter.directions.output_action.as_ref()),
        input_enabled: filter.directions.input_enabled,
        output_enabled: filter.directions.output_enabled,
    }
}

fn word_view(word: &Word) -> api::GuardrailWord {
    api::GuardrailWord {
        text: word.text.clone(),
        input_action: secret(word.directions.input_action.as_ref()),
        output_action: secret(word.directions.output_action.as_ref()),
        input_enabled: word.directions.input_enabled,
        output_enabled: word.directions.output_enabled,
    }
}

fn profanity_view(directions: &Directions) -> api::GuardrailManagedWords {
    api::GuardrailManagedWords {
        type_: api::GuardrailManagedWordsType::Profanity,
        input_action: secret(directions.input_action.as_ref()),
        output_action: secret(directions.output_action.as_ref()),
        input_enabled: directions.input_enabled,
        output_enabled: directions.output_enabled,
    }
}

fn entity_view(entity: &Entity) -> api::GuardrailPiiEntity {
    api::GuardrailPiiEntity {
        type_: entity.kind.as_str().into(),
        action: entity.action.as_str().into(),
        input_action: plain(entity.directions.input_action.as_ref()),
        output_action: plain(entity.directions.output_action.as_ref()),
        input_enabled: entity.directions.input_enabled,
        output_enabled: entity.directions.output_enabled,
    }
}

fn regex_view(regex: &Regex) -> api::GuardrailRegex {
    api::GuardrailRegex {
        name: regex.name.clone(),
        description: regex.description.clone(),
        pattern: regex.pattern.clone(),
        action: regex.action.as_str().into(),
        input_action: plain(regex.directions.input_action.as_ref()),
        output_action: plain(regex.directions.output_action.as_ref()),
        input_enabled: regex.directions.input_enabled,
        output_enabled: regex.directions.output_enabled,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn configuration() -> Configuration {
        Configuration {
            topics: None,
            content: None,
            words: None,
            sensitive: None,
            grounding: None,
            reasoning: None,
            cross_region: None,
            blocked_input_messaging: "in".to_owned(),
            blocked_outputs_messaging: "out".to_owned(),
        }
    }

    /// Masks e-mail addresses and card numbers, blocks the word `forbidden`.
    pub(crate) fn masking() -> Definition {
        let entity = |kind: &str| api::GuardrailPiiEntityConfig {
            type_: kind.into(),
            action: api::GuardrailSensitiveInformationAction::Anonymize,
            input_action: None,
            output_action: None,
            input_enabled: None,
            output_enabled: None,
        };
        let word = api::GuardrailWordConfig { text: "forbidden".to_owned(), ..api::GuardrailWordConfig::default() };
        Configuration {
            words: Some(api::GuardrailWordPolicyConfig { words_config: Some(vec![word]), managed_word_lists_config: None }),
            sensitive: Some(api::GuardrailSensitiveInformationPolicyConfig {
                pii_entities_config: Some(vec![entity("EMAIL"), entity("CREDIT_DEBIT_CARD_NUMBER")]),
                regexes_config: None,
            }),
            ..configuration()
        }
        .into_definition()
        .unwrap()
    }

    fn filter(kind: &str, input: &str, output: &str) -> api::GuardrailContentPolicyConfig {
        api::GuardrailContentPolicyConfig {
            filters_config: vec![api::GuardrailContentFilterConfig {
                type_: kind.into(),
                input_strength: input.into(),
                output_strength: output.into(),
                input_modalities: None,
                output_modalities: None,
                input_action: None,
                output_action: None,
                input_enabled: None,
                output_enabled: None,
            }],
            tier_config: None,
        }
    }

    #[test]
    fn what_cannot_be_decided_is_refused_by_name() {
        let topics = Configuration { topics: Some(api::GuardrailTopicPolicyConfig::default()), ..configuration() };
        let message = topics.into_definition().unwrap_err().to_string();
        assert!(message.starts_with("a denied topic (`topicPolicyConfig`) is not supported yet"), "{message}");
        let hate = Configuration { content: Some(filter("HATE", "HIGH", "HIGH")), ..configuration() };
        assert!(hate.into_definition().unwrap_err().to_string().starts_with("the content filter HATE is not supported"));
        let mut standard = filter("PROMPT_ATTACK", "HIGH", "NONE");
        standard.tier_config =
            Some(api::GuardrailContentFiltersTierConfig { tier_name: Secret::new(api::GuardrailContentFiltersTierName::Standard) });
        let standard = Configuration { content: Some(standard), ..configuration() };
        assert!(standard.into_definition().unwrap_err().to_string().starts_with("the tier STANDARD"));
        let output = Configuration { content: Some(filter("PROMPT_ATTACK", "HIGH", "HIGH")), ..configuration() };
        assert_eq!(output.into_definition(), Err(Refusal::invalid("The output strength of a PROMPT_ATTACK filter must be NONE.")));
    }

    #[test]
    fn a_definition_is_shown_as_it_was_given_and_survives_storage() {
        let definition = masking();
        let stored: Definition = serde_json::from_slice(&serde_json::to_vec(&definition).unwrap()).unwrap();
        assert_eq!(stored, definition);
        let view = View::from(&definition);
        let words = view.words.unwrap();
        assert_eq!(words.words.unwrap().first().map(|word| word.text.clone()), Some("forbidden".to_owned()));
        assert_eq!(words.managed_word_lists, Some(Vec::new()));
        let entities = view.sensitive.unwrap().pii_entities.unwrap();
        assert_eq!(entities.len(), 2);
        assert!(entities.iter().all(|entity| entity.input_action.is_none() && entity.action.as_str() == "ANONYMIZE"));
        assert!(view.content.is_none());
    }

    #[test]
    fn directions_override_the_rule() {
        let directions = Directions { output_action: Some("NONE".to_owned()), input_enabled: Some(false), ..Directions::default() };
        let (input, output) = directions.handling("BLOCK").unwrap();
        assert_eq!((input.enabled, input.action), (false, Mask::Block));
        assert_eq!((output.enabled, output.action), (true, Mask::None));
    }
}
