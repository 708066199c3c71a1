//! `ApplyGuardrail`: a guardrail without a model.
//!
//! Source: Bedrock API reference, `ApplyGuardrail`.

use api_bedrock_runtime::{
    ApplyGuardrailInput, ApplyGuardrailOutput, GuardrailAction, GuardrailContentBlock, GuardrailContentQualifier, GuardrailContentSource,
    GuardrailImageCoverage, GuardrailOutputContent, GuardrailOutputScope,
};
use guard::{Direction, Qualifier, Segment};
use plane::{ApiError, Call};

use super::screen::{Screen, coverage};
use crate::guardrail;
use crate::refusal::Refusal;

pub(crate) async fn apply_guardrail(cx: &mut Call, input: ApplyGuardrailInput) -> Result<ApplyGuardrailOutput, ApiError> {
    let direction = match &input.source {
        GuardrailContentSource::Input => Direction::Input,
        GuardrailContentSource::Output => Direction::Output,
        GuardrailContentSource::Other(other) => return Err(Refusal::invalid(format!("`{other}` is not a source.")).into()),
    };
    if input.content.is_empty() {
        return Err(Refusal::invalid("There must be at least one content block.").into());
    }
    let missing = || Refusal::GuardrailVersion { id: input.guardrail_identifier.clone(), version: input.guardrail_version.clone() };
    let loaded = guardrail::load(cx, &input.guardrail_identifier, &input.guardrail_version).await?.ok_or_else(missing)?;
    let pass_images = loaded.settings.pass_images;
    let has_grounding = loaded.definition.has_grounding();
    let screen = Screen::of_guardrail(cx, loaded).await?;
    let mut images = 0;
    let mut blocks = Vec::new();
    for content in input.content {
        match block(content)? {
            Some(block) => blocks.push(block),
            None if pass_images => images += 1,
            None => return Err(Refusal::unsupported("an image in the content, which no filter of this server sees,").into()),
        }
    }
    if has_grounding && direction == Direction::Output {
        check_grounding(&blocks)?;
    }
    let segments: Vec<Segment<'_>> = blocks.iter().map(|(text, qualifiers)| Segment::qualified(text, qualifiers)).collect();
    let screened = screen.run(direction, &segments)?;
    let full = input.output_scope == Some(GuardrailOutputScope::Full);
    let mut guarded = coverage(&screened.assessment);
    if images > 0 {
        guarded.images = Some(GuardrailImageCoverage { guarded: Some(0), total: Some(images) });
    }
    Ok(ApplyGuardrailOutput {
        usage: screen.usage(&screened),
        action: if screened.intervened() { GuardrailAction::GuardrailIntervened } else { GuardrailAction::None },
        action_reason: Some(screened.reason().to_owned()),
        outputs: screened.assessment.outputs.iter().map(|text| GuardrailOutputContent { text: Some(text.clone()) }).collect(),
        assessments: screen.assessments(&screened, full)?,
        guardrail_coverage: Some(guarded),
    })
}

/// Longest texts of a grounding check, characters. Source: Bedrock User Guide, "Use contextual grounding check".
const SOURCE_CHARACTERS_MAX: usize = 100_000;
const QUERY_CHARACTERS_MAX: usize = 1_000;
const ANSWER_CHARACTERS_MAX: usize = 5_000;

fn check_grounding(blocks: &[(String, Vec<Qualifier>)]) -> Result<(), Refusal> {
    let has = |qualifiers: &[Qualifier], qualifier| qualifiers.contains(&qualifier);
    let is_guarded = |qualifiers: &[Qualifier]| qualifiers.is_empty() || has(qualifiers, Qualifier::GuardContent);
    let total = |wanted: &dyn Fn(&[Qualifier]) -> bool| -> usize {
        blocks.iter().filter(|(_, qualifiers)| wanted(qualifiers)).map(|(text, _)| text.chars().count()).sum()
    };
    let sources = total(&|qualifiers| has(qualifiers, Qualifier::GroundingSource));
    if sources == 0 {
        return Ok(());
    }
    for (what, length, most) in [
        ("grounding source", sources, SOURCE_CHARACTERS_MAX),
        ("query", total(&|qualifiers| has(qualifiers, Qualifier::Query)), QUERY_CHARACTERS_MAX),
        ("content to guard", total(&is_guarded), ANSWER_CHARACTERS_MAX),
    ] {
        if length > most {
            return Err(Refusal::invalid(format!("The {what} of a contextual grounding check must not be longer than {most} characters.")));
        }
    }
    Ok(())
}

/// A block's text and what it is for; `None` for an image.
fn block(block: GuardrailContentBlock) -> Result<Option<(String, Vec<Qualifier>)>, Refusal> {
    match block {
        GuardrailContentBlock::Text(text) => {
            let qualifiers = text.qualifiers.unwrap_or_default().iter().map(qualifier).collect::<Result<_, _>>()?;
            Ok(Some((text.text, qualifiers)))
        }
        GuardrailContentBlock::Image(_) => Ok(None),
        GuardrailContentBlock::Unknown => Err(Refusal::invalid("A content block must have a text or an image.")),
    }
}

fn qualifier(qualifier: &GuardrailContentQualifier) -> Result<Qualifier, Refusal> {
    match qualifier {
        GuardrailContentQualifier::GroundingSource => Ok(Qualifier::GroundingSource),
        GuardrailContentQualifier::Query => Ok(Qualifier::Query),
        GuardrailContentQualifier::GuardContent => Ok(Qualifier::GuardContent),
        GuardrailContentQualifier::Other(other) => Err(Refusal::invalid(format!("`{other}` is not a qualifier."))),
    }
}
