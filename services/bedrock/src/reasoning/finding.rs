//! Findings in the forms of the two APIs, which differ in the name of one member.

use ::reasoning::{Finding, Scenario, Statement, Translation, Verdict};
use api_bedrock::AutomatedReasoningCheckFinding;
use api_bedrock_runtime::GuardrailAutomatedReasoningFinding;
use plane::ApiError;
use wire::{FromValue, Struct, Value};

/// The API's name of a verdict.
pub(super) fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::NoTranslation => "NO_TRANSLATION",
        Verdict::Valid => "VALID",
        Verdict::Satisfiable => "SATISFIABLE",
        Verdict::Invalid => "INVALID",
        Verdict::Impossible => "IMPOSSIBLE",
        Verdict::TranslationAmbiguous => "TRANSLATION_AMBIGUOUS",
        Verdict::TooComplex => "TOO_COMPLEX",
    }
}

/// A finding as test results show it.
pub(super) fn check_finding(finding: &Finding, policy_arn: &str) -> Result<AutomatedReasoningCheckFinding, ApiError> {
    AutomatedReasoningCheckFinding::from_value(value(finding, policy_arn, "id")).map_err(|error| ApiError::internal(&error))
}

/// A finding as assessments show it.
pub(crate) fn guardrail_finding(finding: &Finding, policy_arn: &str) -> Result<GuardrailAutomatedReasoningFinding, ApiError> {
    GuardrailAutomatedReasoningFinding::from_value(value(finding, policy_arn, "identifier")).map_err(|error| ApiError::internal(&error))
}

fn structure(members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut made = Struct::new();
    for (name, member) in members {
        made.set(name, member);
    }
    Value::Struct(made)
}

fn statement(statement: &Statement) -> Value {
    structure([("logic", Value::Str(statement.logic.clone())), ("naturalLanguage", Value::Str(statement.text.clone()))])
}

fn scenario(scenario: &Scenario) -> Value {
    let statements = scenario.statements.iter().map(|logic| structure([("logic", Value::Str(logic.clone()))]));
    structure([("statements", Value::List(statements.collect()))])
}

fn translation(translation: &Translation) -> Value {
    let statements = |list: &[Statement]| Value::List(list.iter().map(statement).collect());
    let texts = |list: &[String]| Value::List(list.iter().map(|text| structure([("text", Value::Str(text.clone()))])).collect());
    structure([
        ("premises", statements(&translation.premises)),
        ("claims", statements(&translation.claims)),
        ("untranslatedPremises", texts(&translation.untranslated_premises)),
        ("untranslatedClaims", texts(&translation.untranslated_claims)),
        // Texts are read by fixed forms: what is read is read surely.
        ("confidence", Value::Float(1.0)),
    ])
}

fn value(finding: &Finding, policy_arn: &str, rule_name: &'static str) -> Value {
    let rules = |ids: &[String]| {
        let rule = |id: &String| structure([(rule_name, Value::Str(id.clone())), ("policyVersionArn", Value::Str(policy_arn.to_owned()))]);
        Value::List(ids.iter().map(rule).collect())
    };
    let (name, content) = match finding {
        Finding::Valid { translation: read, supporting_rules, claims_true } => (
            "valid",
            structure([
                ("translation", translation(read)),
                ("claimsTrueScenario", scenario(claims_true)),
                ("supportingRules", rules(supporting_rules)),
            ]),
        ),
        Finding::Invalid { translation: read, contradicting_rules } => {
            ("invalid", structure([("translation", translation(read)), ("contradictingRules", rules(contradicting_rules))]))
        }
        Finding::Satisfiable { translation: read, claims_true, claims_false } => (
            "satisfiable",
            structure([
                ("translation", translation(read)),
                ("claimsTrueScenario", scenario(claims_true)),
                ("claimsFalseScenario", scenario(claims_false)),
            ]),
        ),
        Finding::Impossible { translation: read, contradicting_rules } => {
            ("impossible", structure([("translation", translation(read)), ("contradictingRules", rules(contradicting_rules))]))
        }
        Finding::TranslationAmbiguous { options } => {
            let option = |read: &Translation| structure([("translations", Value::List(vec![translation(read)]))]);
            ("translationAmbiguous", structure([("options", Value::List(options.iter().map(option).collect()))]))
        }
        Finding::TooComplex => ("tooComplex", structure([])),
        Finding::NoTranslation => ("noTranslations", structure([])),
    };
    structure([(name, content)])
}

#[cfg(test)]
mod tests {
    use wire::IntoValue as _;

    use super::*;

    #[test]
    fn findings_have_the_form_of_both_apis() {
        let read = Translation { claims: vec![Statement { logic: "a".to_owned(), text: "A holds.".to_owned() }], ..Translation::default() };
        let found = Finding::Invalid { translation: read, contradicting_rules: vec!["R1".to_owned()] };
        let shown = guardrail_finding(&found, "arn:p").unwrap().into_value();
        assert_eq!(shown.path("invalid.translation.confidence"), Some(&Value::Float(1.0)));
        let checked = check_finding(&found, "arn:p").unwrap();
        let AutomatedReasoningCheckFinding::Invalid(invalid) = checked else { panic!("an invalid finding is expected") };
        assert_eq!(invalid.contradicting_rules.unwrap()[0].id.as_deref(), Some("R1"));
        for finding in [Finding::TooComplex, Finding::NoTranslation, Finding::TranslationAmbiguous { options: Vec::new() }] {
            assert!(guardrail_finding(&finding, "arn:p").is_ok() && check_finding(&finding, "arn:p").is_ok());
        }
    }
}
