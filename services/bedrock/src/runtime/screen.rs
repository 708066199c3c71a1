//! The guardrail of a call: loading it, running it, and saying what it found.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use api_bedrock_runtime as api;
use guard::{Action, Assessment, Confidence, Direction, FindingAction, Guardrail, Segment, Strength, WordSource};
use plane::{ApiError, Call};

use super::{elapsed_ms, state};
use crate::guardrail::definition::category_name;
use crate::guardrail::{self, Loaded};
use crate::refusal::Refusal;

/// How much the answer tells of what the guardrail found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trace {
    #[default]
    Disabled,
    /// What was detected.
    Enabled,
    /// Also content filters that detected nothing.
    Full,
}

/// A guardrail that is ready to run for a call.
#[derive(Clone)]
pub(crate) struct Screen {
    pub(crate) guardrail: Arc<Guardrail>,
    pub(crate) id: String,
    arn: String,
    version: String,
    pub(crate) trace: Trace,
}

/// What the guardrail said about one text or several.
pub(crate) struct Screened {
    pub(crate) assessment: Assessment,
    latency_ms: i64,
}

impl Screened {
    pub(crate) fn intervened(&self) -> bool {
        self.assessment.action == Action::Intervened
    }

    /// AWS's words for what happened.
    pub(crate) fn reason(&self) -> &'static str {
        match (self.assessment.is_blocked, self.intervened()) {
            (true, _) => "Guardrail blocked.",
            (false, true) => "Guardrail masked.",
            (false, false) => "No action.",
        }
    }
}

impl Screen {
    /// The guardrail of a model call, if it names one. A guardrail that does not exist fails the call.
    pub(crate) async fn of_call(
        cx: &mut Call,
        identifier: Option<&str>,
        version: Option<&str>,
        trace: Trace,
    ) -> Result<Option<Self>, ApiError> {
        let named = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        match (named(identifier), named(version)) {
            (None, None) => Ok(None),
            (Some(identifier), Some(version)) => {
                let loaded = guardrail::load(cx, &identifier, &version).await?.ok_or(Refusal::GuardrailOfCall)?;
                Self::ready(cx, loaded, trace).map(Some)
            }
            _ => Err(Refusal::GuardrailPair.into()),
        }
    }

    pub(crate) fn ready(cx: &Call, loaded: Loaded, trace: Trace) -> Result<Self, ApiError> {
        let guardrail = state(cx)?.guardrail(&loaded.definition)?;
        Ok(Self { guardrail, id: loaded.id, arn: loaded.arn, version: loaded.version, trace })
    }

    #[cfg(test)]
    pub(crate) fn for_test(definition: &guardrail::definition::Definition, trace: Trace) -> Self {
        let guardrail = Arc::new(definition.compile().unwrap());
        Self {
            guardrail,
            id: "abc123".to_owned(),
            arn: "arn:aws:bedrock:eu-west-1:1:guardrail/abc123".to_owned(),
            version: "1".to_owned(),
            trace,
        }
    }

    /// Runs the guardrail. Content that it cannot take fails the call.
    pub(crate) fn run(&self, direction: Direction, segments: &[Segment<'_>]) -> Result<Screened, ApiError> {
        let start = Instant::now();
        let assessment = self.guardrail.assess(direction, segments).map_err(|error| too_long(&error))?;
        Ok(Screened { assessment, latency_ms: elapsed_ms(start) })
    }

    /// In the API's form.
    pub(crate) fn assessment(&self, screened: &Screened, full: bool) -> api::GuardrailAssessment {
        let found = &screened.assessment;
        let usage = usage(&found.usage);
        api::GuardrailAssessment {
            topic_policy: None,
            content_policy: self.content(found, full),
            word_policy: words(found),
            sensitive_information_policy: sensitive(found),
            contextual_grounding_policy: None,
            automated_reasoning_policy: None,
            invocation_metrics: Some(api::GuardrailInvocationMetrics {
                guardrail_processing_latency: Some(screened.latency_ms),
                usage: Some(usage),
                guardrail_coverage: Some(coverage(found)),
            }),
            applied_guardrail_details: Some(api::AppliedGuardrailDetails {
                guardrail_id: Some(self.id.clone()),
                guardrail_version: Some(self.version.clone()),
                guardrail_arn: Some(self.arn.clone()),
                guardrail_origin: Some(vec![api::GuardrailOrigin::Request]),
                guardrail_ownership: Some(api::GuardrailOwnership::SelfValue),
            }),
        }
    }

    fn content(&self, found: &Assessment, full: bool) -> Option<api::GuardrailContentPolicyAssessment> {
        let mut filters: Vec<api::GuardrailContentFilter> = found
            .content
            .iter()
            .filter(|finding| full || finding.detected)
            .map(|finding| api::GuardrailContentFilter {
                type_: category_name(finding.category).into(),
                confidence: match finding.confidence {
                    Confidence::None => api::GuardrailContentFilterConfidence::None,
                    Confidence::Low => api::GuardrailContentFilterConfidence::Low,
                    Confidence::Medium => api::GuardrailContentFilterConfidence::Medium,
                    Confidence::High => api::GuardrailContentFilterConfidence::High,
                },
                filter_strength: Some(strength(finding.strength)),
                action: match finding.action {
                    FindingAction::Blocked => api::GuardrailContentPolicyAction::Blocked,
                    FindingAction::Anonymized | FindingAction::None => api::GuardrailContentPolicyAction::None,
                },
                detected: Some(finding.detected),
            })
            .collect();
        if full && found.usage.content_policy_units > 0 {
            let silent = self
                .guardrail
                .definition()
                .content_filters
                .iter()
                .filter(|filter| filter.input.enabled && !found.content.iter().any(|finding| finding.category == filter.category));
            filters.extend(silent.map(|filter| api::GuardrailContentFilter {
                type_: category_name(filter.category).into(),
                confidence: api::GuardrailContentFilterConfidence::None,
                filter_strength: Some(strength(filter.input_strength)),
                action: api::GuardrailContentPolicyAction::None,
                detected: Some(false),
            }));
        }
        (!filters.is_empty()).then_some(api::GuardrailContentPolicyAssessment { filters })
    }

    /// The trace of a model call; `None` when it is off.
    pub(crate) fn trace(
        &self,
        input: Option<&Screened>,
        output: Option<&Screened>,
        model_output: Option<&str>,
    ) -> Option<api::GuardrailTraceAssessment> {
        if self.trace == Trace::Disabled {
            return None;
        }
        let full = self.trace == Trace::Full;
        let shown = |screened: &Screened| self.assessment(screened, full);
        let decisive = output.filter(|output| output.intervened()).or(input);
        Some(api::GuardrailTraceAssessment {
            model_output: model_output.map(|text| vec![text.to_owned()]),
            input_assessment: input.map(|input| BTreeMap::from([(self.id.clone(), shown(input))])),
            output_assessments: output.map(|output| BTreeMap::from([(self.id.clone(), vec![shown(output)])])),
            action_reason: decisive.map(|screened| screened.reason().to_owned()),
        })
    }
}

/// The guardrail cannot look at so much: the call fails.
pub(crate) fn too_long(error: &guard::InputTooLong) -> ApiError {
    Refusal::invalid(format!("The guardrail cannot assess the content: {error}.")).into()
}

fn strength(strength: Strength) -> api::GuardrailContentFilterStrength {
    match strength {
        Strength::None => api::GuardrailContentFilterStrength::None,
        Strength::Low => api::GuardrailContentFilterStrength::Low,
        Strength::Medium => api::GuardrailContentFilterStrength::Medium,
        Strength::High => api::GuardrailContentFilterStrength::High,
    }
}

fn word_action(action: FindingAction) -> api::GuardrailWordPolicyAction {
    match action {
        FindingAction::Blocked => api::GuardrailWordPolicyAction::Blocked,
        FindingAction::Anonymized | FindingAction::None => api::GuardrailWordPolicyAction::None,
    }
}

fn words(found: &Assessment) -> Option<api::GuardrailWordPolicyAssessment> {
    if found.words.is_empty() {
        return None;
    }
    let mut shown = api::GuardrailWordPolicyAssessment::default();
    for finding in &found.words {
        match finding.source {
            WordSource::Custom => shown.custom_words.push(api::GuardrailCustomWord {
                match_: finding.matched.clone(),
                action: word_action(finding.action),
                detected: Some(true),
            }),
            WordSource::Profanity => shown.managed_word_lists.push(api::GuardrailManagedWord {
                match_: finding.matched.clone(),
                type_: api::GuardrailManagedWordType::Profanity,
                action: word_action(finding.action),
                detected: Some(true),
            }),
        }
    }
    Some(shown)
}

fn sensitive_action(action: FindingAction) -> api::GuardrailSensitiveInformationPolicyAction {
    match action {
        FindingAction::Blocked => api::GuardrailSensitiveInformationPolicyAction::Blocked,
        FindingAction::Anonymized => api::GuardrailSensitiveInformationPolicyAction::Anonymized,
        FindingAction::None => api::GuardrailSensitiveInformationPolicyAction::None,
    }
}

fn sensitive(found: &Assessment) -> Option<api::GuardrailSensitiveInformationPolicyAssessment> {
    if found.entities.is_empty() && found.patterns.is_empty() {
        return None;
    }
    let pii_entities = found.entities.iter().map(|finding| api::GuardrailPiiEntityFilter {
        match_: finding.matched.clone(),
        type_: finding.kind.name().into(),
        action: sensitive_action(finding.action),
        detected: Some(true),
    });
    let regexes = found.patterns.iter().map(|finding| api::GuardrailRegexFilter {
        name: Some(finding.name.clone()),
        match_: Some(finding.matched.clone()),
        regex: Some(finding.pattern.clone()),
        action: sensitive_action(finding.action),
        detected: Some(true),
    });
    Some(api::GuardrailSensitiveInformationPolicyAssessment { pii_entities: pii_entities.collect(), regexes: regexes.collect() })
}

fn count(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(crate) fn coverage(found: &Assessment) -> api::GuardrailCoverage {
    api::GuardrailCoverage {
        text_characters: Some(api::GuardrailTextCharactersCoverage {
            guarded: Some(count(found.coverage.guarded_characters)),
            total: Some(count(found.coverage.total_characters)),
        }),
        images: None,
    }
}

pub(crate) fn usage(usage: &guard::Usage) -> api::GuardrailUsage {
    api::GuardrailUsage {
        topic_policy_units: 0,
        content_policy_units: count(usage.content_policy_units),
        word_policy_units: count(usage.word_policy_units),
        sensitive_information_policy_units: count(usage.sensitive_information_policy_units),
        sensitive_information_policy_free_units: count(usage.sensitive_information_policy_free_units),
        contextual_grounding_policy_units: 0,
        content_policy_image_units: Some(0),
        automated_reasoning_policy_units: Some(0),
        automated_reasoning_policies: Some(0),
    }
}
