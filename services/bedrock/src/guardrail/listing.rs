//! Showing guardrails.
//!
//! Source: Bedrock API reference, `GetGuardrail` and `ListGuardrails`.

use api_bedrock::{GetGuardrailInput, GetGuardrailOutput, GuardrailStatus, GuardrailSummary, ListGuardrailsInput, ListGuardrailsOutput};
use plane::page::PageError;
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key};
use wire::{Secret, Timestamp};

use super::sealing::{self, Held};
use super::view::{View, profile_details};
use super::{DRAFT, Draft, Version, arn_of, definition_key, find, version_key, version_number, versions_key};
use crate::refusal::Refusal;

/// Guardrails on one page, when the caller does not say.
const PAGE_LENGTH: usize = 100;

pub(crate) async fn get_guardrail(cx: &mut Call, input: GetGuardrailInput) -> Result<GetGuardrailOutput, ApiError> {
    let draft = find(cx, &input.guardrail_identifier).await?;
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let arn = arn_of(&region, &account, &draft.id);
    let text = input.guardrail_version.unwrap_or_else(|| DRAFT.to_owned());
    let number = version_number(&text)?;
    let missing = || Refusal::GuardrailVersion { id: draft.id.clone(), version: text.clone() };
    let summary = match number {
        None => draft_summary(&draft, &arn),
        Some(number) => {
            let version = cx.tx.get::<Version>(&version_key(&account, &region, &draft.id, number)).await?.ok_or_else(missing)?;
            version_summary(&draft.id, &version, &arn)
        }
    };
    let held = cx.tx.get::<Held>(&definition_key(&account, &region, &draft.id, number)).await?.ok_or_else(missing)?;
    let kms_key_arn = held.kms_key_arn().map(str::to_owned);
    let definition = sealing::open(cx, &arn, held).await?;
    let view = View::from(&definition);
    Ok(GetGuardrailOutput {
        name: summary.name,
        description: summary.description,
        guardrail_id: summary.id,
        guardrail_arn: arn,
        version: summary.version,
        status: summary.status,
        topic_policy: view.topics,
        content_policy: view.content,
        word_policy: view.words,
        sensitive_information_policy: view.sensitive,
        contextual_grounding_policy: view.grounding,
        automated_reasoning_policy: view.reasoning,
        cross_region_details: profile_details(&definition, &region, &account),
        created_at: summary.created_at,
        updated_at: summary.updated_at,
        status_reasons: None,
        failure_recommendations: None,
        blocked_input_messaging: Secret::new(definition.blocked_input_messaging),
        blocked_outputs_messaging: Secret::new(definition.blocked_outputs_messaging),
        kms_key_arn,
    })
}

/// The drafts of all guardrails, or the draft and all versions of one.
pub(crate) async fn list_guardrails(cx: &mut Call, input: ListGuardrailsInput) -> Result<ListGuardrailsOutput, ApiError> {
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let identifier = input.guardrail_identifier.filter(|identifier| !identifier.is_empty());
    let items: Vec<(String, GuardrailSummary)> = if let Some(identifier) = &identifier {
        let draft = find(cx, identifier).await?;
        let arn = arn_of(&region, &account, &draft.id);
        let versions = cx.tx.scan::<Version>(&versions_key(&account, &region, &draft.id), None, SCAN_LIMIT).await?;
        let numbered = versions.iter().map(|(_, version)| (format!("{:08}", version.number), version_summary(&draft.id, version, &arn)));
        std::iter::once((String::new(), draft_summary(&draft, &arn))).chain(numbered).collect()
    } else {
        let drafts = cx.tx.scan::<Draft>(&Key::new(&account, &region), None, SCAN_LIMIT).await?;
        let of = |draft: &Draft| (draft.id.clone(), draft_summary(draft, &arn_of(&region, &account, &draft.id)));
        drafts.iter().map(|(_, draft)| of(draft)).collect()
    };
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let filter = identifier.unwrap_or_default();
    let page = cx.page(items, |(key, _)| key.clone(), &filter, input.next_token.as_deref(), limit).map_err(|error| match error {
        PageError::Token(_) => Refusal::invalid("The nextToken is not one that this list gave.").into(),
        PageError::Failed(error) => error,
    })?;
    Ok(ListGuardrailsOutput { guardrails: page.items.into_iter().map(|(_, summary)| summary).collect(), next_token: page.next })
}

fn draft_summary(draft: &Draft, arn: &str) -> GuardrailSummary {
    GuardrailSummary {
        id: draft.id.clone(),
        arn: arn.to_owned(),
        status: GuardrailStatus::Ready,
        name: Secret::new(draft.name.clone()),
        description: draft.description.clone().map(Secret::new),
        version: DRAFT.to_owned(),
        created_at: Timestamp(draft.created_ms),
        updated_at: Timestamp(draft.updated_ms),
        cross_region_details: None,
    }
}

fn version_summary(id: &str, version: &Version, arn: &str) -> GuardrailSummary {
    GuardrailSummary {
        id: id.to_owned(),
        arn: arn.to_owned(),
        status: GuardrailStatus::Ready,
        name: Secret::new(version.name.clone()),
        description: version.description.clone().map(Secret::new),
        version: version.number.to_string(),
        created_at: Timestamp(version.created_ms),
        updated_at: Timestamp(version.created_ms),
        cross_region_details: None,
    }
}
