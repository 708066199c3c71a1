//! What was found, in the API's form: assessments, traces, usage.

use std::collections::BTreeMap;

use api_bedrock_runtime as api;
use guard::{Assessment, Confidence, ContentFilter, Direction, FindingAction, GroundingKind, Strength, WordSource};
use plane::ApiError;

use super::{Applied, Outcome, Screen, Screened, Trace};
use crate::guardrail::definition::category_name;
use crate::guardrail::enforcement::Origin;
use crate::reasoning::guardrail_finding;

impl Screen {
    /// The assessments of all guardrails, one each, in the order in which they ran.
    pub(crate) fn assessments(&self, screened: &Screened, full: bool) -> Result<Vec<api::GuardrailAssessment>, ApiError> {
        let shown =
            screened.each.iter().filter_map(|outcome| self.applied.get(outcome.applied).map(|applied| applied.assessment(outcome, full)));
        shown.collect()
    }

    /// Usage of all guardrails together.
    pub(crate) fn usage(&self, screened: &Screened) -> api::GuardrailUsage {
        let mut total = api::GuardrailUsage { content_policy_image_units: Some(0), ..api::GuardrailUsage::default() };
        let mut policies = (0, 0);
        for outcome in &screened.each {
            let one = self.applied.get(outcome.applied).map(|applied| applied.usage(outcome)).unwrap_or_default();
            total.topic_policy_units += one.topic_policy_units;
            total.content_policy_units += one.content_policy_units;
            total.word_policy_units += one.word_policy_units;
            total.sensitive_information_policy_units += one.sensitive_information_policy_units;
            total.sensitive_information_policy_free_units += one.sensitive_information_policy_free_units;
            total.contextual_grounding_policy_units += one.contextual_grounding_policy_units;
            policies.0 += one.automated_reasoning_policy_units.unwrap_or_default();
            policies.1 += one.automated_reasoning_policies.unwrap_or_default();
        }
        total.automated_reasoning_policy_units = Some(policies.0);
        total.automated_reasoning_policies = Some(policies.1);
        total
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
        let shown = |screened: &Screened| -> Vec<(String, api::GuardrailAssessment)> {
            let one = |outcome: &Outcome| {
                let applied = self.applied.get(outcome.applied)?;
                // A finding that cannot be shown is left out of the trace; it has had its effect.
                applied.assessment(outcome, full).ok().map(|assessment| (applied.id.clone(), assessment))
            };
            screened.each.iter().filter_map(one).collect()
        };
        let decisive = output.filter(|output| output.intervened()).or(input);
        Some(api::GuardrailTraceAssessment {
            model_output: model_output.map(|text| vec![text.to_owned()]),
            input_assessment: input.map(|input| shown(input).into_iter().collect()),
            output_assessments: output.map(|output| {
                let mut lists: BTreeMap<String, Vec<api::GuardrailAssessment>> = BTreeMap::new();
                for (id, assessment) in shown(output) {
                    lists.entry(id).or_default().push(assessment);
                }
                lists
            }),
            action_reason: decisive.map(|screened| screened.reason().to_owned()),
        })
    }
}

impl Applied {
    fn assessment(&self, outcome: &Outcome, full: bool) -> Result<api::GuardrailAssessment, ApiError> {
        let found = &outcome.assessment;
        let direction = outcome.direction.unwrap_or(Direction::Input);
        let findings = outcome.findings.iter().map(|(arn, finding)| guardrail_finding(finding, arn)).collect::<Result<Vec<_>, _>>()?;
        Ok(api::GuardrailAssessment {
            topic_policy: self.topics(direction, found, full),
            content_policy: self.content(direction, found, full),
            word_policy: words(found),
            sensitive_information_policy: self.sensitive(direction, found, full),
            contextual_grounding_policy: grounding(found),
            automated_reasoning_policy: (!findings.is_empty())
                .then_some(api::GuardrailAutomatedReasoningPolicyAssessment { findings: Some(findings) }),
            invocation_metrics: Some(api::GuardrailInvocationMetrics {
                guardrail_processing_latency: Some(outcome.latency_ms),
                usage: Some(self.usage(outcome)),
                guardrail_coverage: Some(coverage(found)),
            }),
            applied_guardrail_details: Some(api::AppliedGuardrailDetails {
                guardrail_id: Some(self.id.clone()),
                guardrail_version: Some(self.version.clone()),
                guardrail_arn: Some(self.arn.clone()),
                guardrail_origin: Some(self.origins.iter().map(|origin| shown_origin(*origin)).collect()),
                guardrail_ownership: Some(if self.is_foreign {
                    api::GuardrailOwnership::CrossAccount
                } else {
                    api::GuardrailOwnership::SelfValue
                }),
            }),
        })
    }

    fn usage(&self, outcome: &Outcome) -> api::GuardrailUsage {
        let mut usage = usage(&outcome.assessment.usage);
        if !outcome.findings.is_empty() {
            let policies = count(u64::try_from(self.reasoning.len()).unwrap_or(u64::MAX));
            let units = count(outcome.assessment.coverage.guarded_characters.div_ceil(1000).max(1));
            usage.automated_reasoning_policies = Some(policies);
            usage.automated_reasoning_policy_units = Some(units.saturating_mul(policies));
        }
        usage
    }

    /// With `full` also the topics that nothing was near to.
    fn topics(&self, direction: Direction, found: &Assessment, full: bool) -> Option<api::GuardrailTopicPolicyAssessment> {
        let action = |action: FindingAction| match action {
            FindingAction::Blocked => api::GuardrailTopicPolicyAction::Blocked,
            FindingAction::Anonymized | FindingAction::None => api::GuardrailTopicPolicyAction::None,
        };
        let topic = |name: &str, followed: FindingAction, detected: bool| api::GuardrailTopic {
            name: name.to_owned(),
            type_: api::GuardrailTopicType::Deny,
            action: action(followed),
            detected: Some(detected),
        };
        let shown = found.topics.iter().filter(|finding| full || finding.detected);
        let mut topics: Vec<_> = shown.map(|finding| topic(&finding.name, finding.action, finding.detected)).collect();
        if full && found.usage.topic_policy_units > 0 {
            let rules = self.guardrail.definition().topics.iter();
            let silent = rules.filter(|rule| {
                let handling = if direction == Direction::Input { rule.input } else { rule.output };
                handling.enabled && !found.topics.iter().any(|finding| finding.name == rule.name)
            });
            topics.extend(silent.map(|rule| topic(&rule.name, FindingAction::None, false)));
        }
        (!topics.is_empty()).then_some(api::GuardrailTopicPolicyAssessment { topics })
    }

    /// With `full` also the entity types of which there was none; expressions that did not match are never shown.
    fn sensitive(
        &self,
        direction: Direction,
        found: &Assessment,
        full: bool,
    ) -> Option<api::GuardrailSensitiveInformationPolicyAssessment> {
        let entity = |matched: &str, kind: &str, action: FindingAction, detected: bool| api::GuardrailPiiEntityFilter {
            match_: matched.to_owned(),
            type_: kind.into(),
            action: sensitive_action(action),
            detected: Some(detected),
        };
        let mut pii_entities: Vec<_> =
            found.entities.iter().map(|finding| entity(&finding.matched, finding.kind.name(), finding.action, true)).collect();
        if full && found.usage.sensitive_information_policy_units > 0 {
            let rules = self.guardrail.definition().entities.iter();
            let silent = rules.filter(|rule| {
                let handling = if direction == Direction::Input { rule.input } else { rule.output };
                handling.enabled && !found.entities.iter().any(|finding| finding.kind == rule.kind)
            });
            pii_entities.extend(silent.map(|rule| entity("", rule.kind.name(), FindingAction::None, false)));
        }
        let regexes: Vec<_> = found
            .patterns
            .iter()
            .map(|finding| api::GuardrailRegexFilter {
                name: Some(finding.name.clone()),
                match_: Some(finding.matched.clone()),
                regex: Some(finding.pattern.clone()),
                action: sensitive_action(finding.action),
                detected: Some(true),
            })
            .collect();
        (!(pii_entities.is_empty() && regexes.is_empty()))
            .then_some(api::GuardrailSensitiveInformationPolicyAssessment { pii_entities, regexes })
    }

    fn content(&self, direction: Direction, found: &Assessment, full: bool) -> Option<api::GuardrailContentPolicyAssessment> {
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
                .filter(|filter| is_on(direction, filter) && !found.content.iter().any(|finding| finding.category == filter.category));
            filters.extend(silent.map(|filter| api::GuardrailContentFilter {
                type_: category_name(filter.category).into(),
                confidence: api::GuardrailContentFilterConfidence::None,
                filter_strength: Some(strength(if direction == Direction::Input { filter.input_strength } else { filter.output_strength })),
                action: api::GuardrailContentPolicyAction::None,
                detected: Some(false),
            }));
        }
        (!filters.is_empty()).then_some(api::GuardrailContentPolicyAssessment { filters })
    }
}

/// Whether a filter looks at texts of a direction.
fn is_on(direction: Direction, filter: &ContentFilter) -> bool {
    match direction {
        Direction::Input => filter.input.enabled && filter.input_strength != Strength::None,
        Direction::Output => filter.output.enabled && filter.output_strength != Strength::None,
    }
}

fn shown_origin(origin: Origin) -> api::GuardrailOrigin {
    match origin {
        Origin::Request => api::GuardrailOrigin::Request,
        Origin::Account => api::GuardrailOrigin::AccountEnforced,
        Origin::Organization => api::GuardrailOrigin::OrganizationEnforced,
    }
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

/// Scores are shown whenever the filters ran, also when they pass: without them no threshold can be set.
fn grounding(found: &Assessment) -> Option<api::GuardrailContextualGroundingPolicyAssessment> {
    let filters: Vec<api::GuardrailContextualGroundingFilter> = found
        .grounding
        .iter()
        .map(|finding| api::GuardrailContextualGroundingFilter {
            type_: match finding.kind {
                GroundingKind::Grounding => api::GuardrailContextualGroundingFilterType::Grounding,
                GroundingKind::Relevance => api::GuardrailContextualGroundingFilterType::Relevance,
            },
            threshold: finding.threshold,
            score: finding.score,
            action: match finding.action {
                FindingAction::Blocked => api::GuardrailContextualGroundingPolicyAction::Blocked,
                FindingAction::Anonymized | FindingAction::None => api::GuardrailContextualGroundingPolicyAction::None,
            },
            detected: Some(finding.detected),
        })
        .collect();
    (!filters.is_empty()).then_some(api::GuardrailContextualGroundingPolicyAssessment { filters: Some(filters) })
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
        topic_policy_units: count(usage.topic_policy_units),
        content_policy_units: count(usage.content_policy_units),
        word_policy_units: count(usage.word_policy_units),
        sensitive_information_policy_units: count(usage.sensitive_information_policy_units),
        sensitive_information_policy_free_units: count(usage.sensitive_information_policy_free_units),
        contextual_grounding_policy_units: count(usage.contextual_grounding_policy_units),
        content_policy_image_units: Some(0),
        automated_reasoning_policy_units: Some(0),
        automated_reasoning_policies: Some(0),
    }
}
