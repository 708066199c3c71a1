//! `InvokeGuardrailChecks`: scores without a guardrail. Nothing is blocked or masked.
//!
//! Source: Bedrock API reference, `InvokeGuardrailChecks`. A category's score is the highest over all messages. Prompt attacks are looked for in
//! messages of the user. What is checked for an instruction inside data comes as such a message, too: where its form shows an e-mail, a table, code,
//! markup or records, it is read as data as well.

use api_bedrock_runtime::{
    GuardrailChecksContentBlock, GuardrailChecksContentFilterCategory, GuardrailChecksContentFilterConfig,
    GuardrailChecksContentFilterResult, GuardrailChecksContentFilterResultEntry, GuardrailChecksContentFilterUsage, GuardrailChecksMessage,
    GuardrailChecksPromptAttackCategory, GuardrailChecksPromptAttackConfig, GuardrailChecksPromptAttackResult,
    GuardrailChecksPromptAttackResultEntry, GuardrailChecksPromptAttackUsage, GuardrailChecksResults, GuardrailChecksRole,
    GuardrailChecksSensitiveInformationConfig, GuardrailChecksSensitiveInformationResult, GuardrailChecksSensitiveInformationResultEntry,
    GuardrailChecksSensitiveInformationUsage, GuardrailChecksUsageResults, InvokeGuardrailChecksInput, InvokeGuardrailChecksOutput,
};
use guard::{AttackCategories, ContentCategory, score_content, score_message};
use plane::{ApiError, Call};
use sensitive::{Kind, KindSet};

use crate::refusal::Refusal;

/// Text of all messages, bytes.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Findings of sensitive information that are listed.
const ENTITIES_MAX: usize = 1_000;

/// A text of the request.
struct Checked {
    text: String,
    is_user: bool,
    message: i32,
    content: i32,
}

pub(crate) async fn invoke_guardrail_checks(
    _cx: &mut Call,
    input: InvokeGuardrailChecksInput,
) -> Result<InvokeGuardrailChecksOutput, ApiError> {
    let texts = texts(input.messages)?;
    let checks = input.checks;
    if checks.content_filter.is_none() && checks.prompt_attack.is_none() && checks.sensitive_information.is_none() {
        return Err(Refusal::invalid("At least one check must be given.").into());
    }
    let units = texts.iter().map(|checked| checked.text.chars().count().div_ceil(1000).max(1)).sum::<usize>();
    let units = i32::try_from(units).unwrap_or(i32::MAX);
    Ok(InvokeGuardrailChecksOutput {
        usage: GuardrailChecksUsageResults {
            content_filter: checks.content_filter.as_ref().map(|_| GuardrailChecksContentFilterUsage { text_units: units }),
            prompt_attack: checks.prompt_attack.as_ref().map(|_| GuardrailChecksPromptAttackUsage { text_units: units }),
            sensitive_information: checks
                .sensitive_information
                .as_ref()
                .map(|_| GuardrailChecksSensitiveInformationUsage { text_units: units }),
        },
        results: GuardrailChecksResults {
            content_filter: checks.content_filter.map(|config| content(&config, &texts)).transpose()?,
            prompt_attack: checks.prompt_attack.map(|config| attacks(&config, &texts)).transpose()?,
            sensitive_information: checks.sensitive_information.map(|config| entities(&config, &texts)).transpose()?,
        },
    })
}

fn texts(messages: Vec<GuardrailChecksMessage>) -> Result<Vec<Checked>, Refusal> {
    let mut found = Vec::new();
    let mut bytes = 0;
    for (message, GuardrailChecksMessage { role, content }) in messages.into_iter().enumerate() {
        if let GuardrailChecksRole::Other(other) = &role {
            return Err(Refusal::invalid(format!("`{other}` is not a role.")));
        }
        for (place, block) in content.into_iter().enumerate() {
            let GuardrailChecksContentBlock::Text(text) = block else {
                return Err(Refusal::invalid("A content block must have a text."));
            };
            let text = text.into_inner();
            bytes += text.len();
            let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
            found.push(Checked { text, is_user: role == GuardrailChecksRole::User, message: number(message), content: number(place) });
        }
    }
    if bytes > TEXT_BYTES_MAX {
        return Err(Refusal::invalid(format!("The messages of {bytes} bytes are longer than {TEXT_BYTES_MAX} bytes.")));
    }
    Ok(found)
}

/// Scores have four digits: more would only look exact.
fn rounded(score: f32) -> f64 {
    (f64::from(score.clamp(0.0, 1.0)) * 10_000.0).round() / 10_000.0
}

fn content(config: &GuardrailChecksContentFilterConfig, texts: &[Checked]) -> Result<GuardrailChecksContentFilterResult, Refusal> {
    let scores: Vec<_> = texts.iter().map(|checked| score_content(&checked.text)).collect();
    let entry = |category: &GuardrailChecksContentFilterCategory| {
        let wanted = match category {
            GuardrailChecksContentFilterCategory::Violence => ContentCategory::Violence,
            GuardrailChecksContentFilterCategory::Hate => ContentCategory::Hate,
            GuardrailChecksContentFilterCategory::Sexual => ContentCategory::Sexual,
            GuardrailChecksContentFilterCategory::Misconduct => ContentCategory::Misconduct,
            GuardrailChecksContentFilterCategory::Insults => ContentCategory::Insults,
            GuardrailChecksContentFilterCategory::Other(other) => {
                return Err(Refusal::invalid(format!("`{other}` is not a category.")));
            }
        };
        let score = scores.iter().filter_map(|scores| scores.get(wanted)).map(|found| found.score).fold(0.0, f32::max);
        Ok(GuardrailChecksContentFilterResultEntry { category: category.clone(), severity_score: rounded(score) })
    };
    let results = config.categories.iter().map(|config| entry(&config.category)).collect::<Result<_, _>>()?;
    Ok(GuardrailChecksContentFilterResult { results })
}

fn attacks(config: &GuardrailChecksPromptAttackConfig, texts: &[Checked]) -> Result<GuardrailChecksPromptAttackResult, Refusal> {
    let mut best = AttackCategories::default();
    for checked in texts.iter().filter(|checked| checked.is_user) {
        let found = score_message(&checked.text);
        best.jailbreak = best.jailbreak.max(found.jailbreak);
        best.prompt_injection = best.prompt_injection.max(found.prompt_injection);
        best.prompt_leakage = best.prompt_leakage.max(found.prompt_leakage);
    }
    let entry = |category: &GuardrailChecksPromptAttackCategory| {
        let score = match category {
            GuardrailChecksPromptAttackCategory::Jailbreak => best.jailbreak,
            GuardrailChecksPromptAttackCategory::PromptInjection => best.prompt_injection,
            GuardrailChecksPromptAttackCategory::PromptLeakage => best.prompt_leakage,
            GuardrailChecksPromptAttackCategory::Other(other) => {
                return Err(Refusal::invalid(format!("`{other}` is not a category.")));
            }
        };
        Ok(GuardrailChecksPromptAttackResultEntry { category: category.clone(), severity_score: rounded(score) })
    };
    let results = config.categories.iter().map(|config| entry(&config.category)).collect::<Result<_, _>>()?;
    Ok(GuardrailChecksPromptAttackResult { results })
}

fn entities(
    config: &GuardrailChecksSensitiveInformationConfig,
    texts: &[Checked],
) -> Result<GuardrailChecksSensitiveInformationResult, Refusal> {
    let kinds = config.entities.iter().map(|entity| {
        let name = entity.type_.as_str();
        Kind::parse(name).ok_or_else(|| Refusal::invalid(format!("`{name}` is not a known entity type.")))
    });
    let wanted: KindSet = kinds.collect::<Result<_, _>>()?;
    let mut results = Vec::new();
    for checked in texts {
        let found = sensitive::find(&checked.text, wanted).map_err(|error| Refusal::invalid(error.to_string()))?;
        for finding in found {
            // Offsets of the API count characters.
            let offset = |bytes: usize| {
                let characters = checked.text.get(..bytes).unwrap_or_default().chars().count();
                i32::try_from(characters).unwrap_or(i32::MAX)
            };
            results.push(GuardrailChecksSensitiveInformationResultEntry {
                type_: finding.kind.name().into(),
                confidence_score: rounded(finding.confidence),
                begin_offset: offset(finding.start),
                end_offset: offset(finding.end),
                message_index: checked.message,
                content_index: checked.content,
            });
        }
    }
    let truncated = results.len() > ENTITIES_MAX;
    results.truncate(ENTITIES_MAX);
    Ok(GuardrailChecksSensitiveInformationResult { results, truncated: Some(truncated) })
}
