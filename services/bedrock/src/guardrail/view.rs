//! A definition as `GetGuardrail` shows it.

use api_bedrock as api;
use wire::Secret;

use super::definition::{Definition, Directions, Entity, Filter, Grounding, Regex, Topic, Word};

/// The policies as `GetGuardrail` shows them.
#[derive(Default)]
pub(crate) struct View {
    pub(crate) content: Option<api::GuardrailContentPolicy>,
    pub(crate) words: Option<api::GuardrailWordPolicy>,
    pub(crate) sensitive: Option<api::GuardrailSensitiveInformationPolicy>,
    pub(crate) topics: Option<api::GuardrailTopicPolicy>,
    pub(crate) grounding: Option<api::GuardrailContextualGroundingPolicy>,
    pub(crate) reasoning: Option<api::GuardrailAutomatedReasoningPolicy>,
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
            topics: (!definition.topics.is_empty()).then(|| api::GuardrailTopicPolicy {
                topics: definition.topics.iter().map(topic_view).collect(),
                tier: definition.topic_tier.as_deref().map(|tier| api::GuardrailTopicsTier { tier_name: Secret::new(tier.into()) }),
            }),
            grounding: (!definition.grounding.is_empty()).then(|| api::GuardrailContextualGroundingPolicy {
                filters: definition.grounding.iter().map(grounding_view).collect(),
                tier: definition
                    .grounding_tier
                    .as_deref()
                    .map(|tier| api::GuardrailContextualGroundingTier { tier_name: Secret::new(tier.into()) }),
            }),
            reasoning: definition.reasoning.as_ref().map(|reasoning| api::GuardrailAutomatedReasoningPolicy {
                policies: reasoning.policy_arns.clone(),
                confidence_threshold: reasoning.confidence_threshold,
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

fn topic_view(topic: &Topic) -> api::GuardrailTopic {
    api::GuardrailTopic {
        name: Secret::new(topic.name.clone()),
        definition: Secret::new(topic.definition.clone()),
        examples: topic.examples.as_ref().map(|examples| examples.iter().cloned().map(Secret::new).collect()),
        type_: Some(api::GuardrailTopicType::Deny),
        input_action: secret(topic.directions.input_action.as_ref()),
        output_action: secret(topic.directions.output_action.as_ref()),
        input_enabled: topic.directions.input_enabled,
        output_enabled: topic.directions.output_enabled,
    }
}

fn grounding_view(filter: &Grounding) -> api::GuardrailContextualGroundingFilter {
    api::GuardrailContextualGroundingFilter {
        type_: filter.kind.as_str().into(),
        threshold: filter.threshold,
        action: secret(filter.action.as_ref()),
        enabled: filter.enabled,
    }
}

/// Id and ARN of the profile that a definition names.
pub(super) fn profile_details(definition: &Definition, region: &str, account: &str) -> Option<api::GuardrailCrossRegionDetails> {
    let given = definition.profile.as_deref()?;
    let id = given.rsplit('/').next().unwrap_or(given).to_owned();
    let arn = format!("arn:{}:bedrock:{region}:{account}:guardrail-profile/{id}", plane::PARTITION);
    Some(api::GuardrailCrossRegionDetails { guardrail_profile_id: Some(id), guardrail_profile_arn: Some(arn) })
}
