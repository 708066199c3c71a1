//! `ApplyGuardrail`: a guardrail without a model.
//!
//! Source: Bedrock API reference, `ApplyGuardrail`.

use api_bedrock_runtime::{
    ApplyGuardrailInput, ApplyGuardrailOutput, GuardrailAction, GuardrailContentBlock, GuardrailContentQualifier, GuardrailContentSource,
    GuardrailOutputContent, GuardrailOutputScope,
};
use guard::{Direction, Qualifier, Segment};
use plane::{ApiError, Call};

use super::screen::{Screen, Trace, coverage, usage};
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
    let screen = Screen::ready(cx, loaded, Trace::Enabled)?;
    let blocks = input.content.into_iter().map(block).collect::<Result<Vec<_>, _>>()?;
    let segments: Vec<Segment<'_>> = blocks.iter().map(|(text, qualifiers)| Segment { text, qualifiers }).collect();
    let screened = screen.run(direction, &segments)?;
    let full = input.output_scope == Some(GuardrailOutputScope::Full);
    Ok(ApplyGuardrailOutput {
        usage: usage(&screened.assessment.usage),
        action: if screened.intervened() { GuardrailAction::GuardrailIntervened } else { GuardrailAction::None },
        action_reason: Some(screened.reason().to_owned()),
        outputs: screened.assessment.outputs.iter().map(|text| GuardrailOutputContent { text: Some(text.clone()) }).collect(),
        assessments: vec![screen.assessment(&screened, full)],
        guardrail_coverage: Some(coverage(&screened.assessment)),
    })
}

fn block(block: GuardrailContentBlock) -> Result<(String, Vec<Qualifier>), Refusal> {
    match block {
        GuardrailContentBlock::Text(text) => {
            let qualifiers = text.qualifiers.unwrap_or_default().iter().map(qualifier).collect::<Result<_, _>>()?;
            Ok((text.text, qualifiers))
        }
        GuardrailContentBlock::Image(_) => Err(Refusal::unsupported("an image in the content")),
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
