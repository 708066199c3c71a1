use api_bedrock as api;
use wire::Secret;

use super::super::configuration::Configuration;
use super::super::view::{View, profile_details};
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
    let mut images = filter("HATE", "HIGH", "HIGH");
    images.filters_config[0].input_modalities = Some(vec![Secret::new(api::GuardrailModality::Image)]);
    let images = Configuration { content: Some(images), ..configuration() };
    assert!(images.into_definition().unwrap_err().to_string().starts_with("the modality IMAGE of a content filter is not supported"));
    let mut standard = filter("PROMPT_ATTACK", "HIGH", "NONE");
    standard.tier_config =
        Some(api::GuardrailContentFiltersTierConfig { tier_name: Secret::new(api::GuardrailContentFiltersTierName::Standard) });
    let alone = Configuration { content: Some(standard.clone()), ..configuration() };
    assert!(alone.into_definition().unwrap_err().to_string().starts_with("The STANDARD tier needs a guardrail profile"));
    let profile = api::GuardrailCrossRegionConfig { guardrail_profile_identifier: "us.guardrail.v1:0".to_owned() };
    let with_profile = Configuration { content: Some(standard), cross_region: Some(profile), ..configuration() };
    let details = profile_details(&with_profile.into_definition().unwrap(), "us-east-1", "111122223333").unwrap();
    assert_eq!(
        details.guardrail_profile_arn.as_deref(),
        Some("arn:aws:bedrock:us-east-1:111122223333:guardrail-profile/us.guardrail.v1:0")
    );
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
