//! From the configuration of a create or update call to a definition.

use api_bedrock as api;
use wire::Secret;

use super::definition::{Definition, Directions, Entity, Filter, Grounding, Reasoning, Regex, Topic, Word};
use crate::refusal::Refusal;

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
        if let Some(topics) = self.topics {
            definition.take_topics(topics);
        }
        if let Some(grounding) = self.grounding {
            definition.take_grounding(grounding);
        }
        definition.reasoning = self
            .reasoning
            .map(|reasoning| Reasoning { policy_arns: reasoning.policies, confidence_threshold: reasoning.confidence_threshold });
        definition.profile = self.cross_region.map(|config| config.guardrail_profile_identifier);
        if definition.has_standard_tier() && definition.profile.is_none() {
            return Err(Refusal::invalid("The STANDARD tier needs a guardrail profile: set `crossRegionConfig`."));
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

    fn take_topics(&mut self, topics: api::GuardrailTopicPolicyConfig) {
        self.topic_tier = topics.tier_config.map(|tier| tier.tier_name.as_str().to_owned());
        self.topics = topics
            .topics_config
            .into_iter()
            .map(|topic| Topic {
                directions: directions!(topic, secret_text!()),
                name: topic.name.into_inner(),
                definition: topic.definition.into_inner(),
                examples: topic.examples.map(|examples| examples.into_iter().map(Secret::into_inner).collect()),
            })
            .collect();
    }

    fn take_grounding(&mut self, grounding: api::GuardrailContextualGroundingPolicyConfig) {
        self.grounding_tier = grounding.tier_config.map(|tier| tier.tier_name.as_str().to_owned());
        self.grounding = grounding
            .filters_config
            .into_iter()
            .map(|filter| Grounding {
                kind: filter.type_.as_str().to_owned(),
                threshold: filter.threshold,
                action: filter.action.map(|action| action.as_str().to_owned()),
                enabled: filter.enabled,
            })
            .collect();
    }
}
