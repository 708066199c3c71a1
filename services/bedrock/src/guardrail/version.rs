//! Numbered versions, and deletion.
//!
//! Source: Bedrock API reference, `CreateGuardrailVersion` and `DeleteGuardrail`.

use api_bedrock::{CreateGuardrailVersionInput, CreateGuardrailVersionOutput, DeleteGuardrailInput, DeleteGuardrailOutput};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call};

use super::resource_policy::GuardrailPolicy;
use super::sealing::Held;
use super::{Draft, NameClaim, Version, definition_key, draft_key, find, name_key, version_key, version_number, versions_key};
use super::{enforcement, resource_policy};
use crate::refusal::Refusal;

/// Versions that a guardrail may have at once.
const VERSIONS_MAX: usize = 20;
/// Largest version number of the API.
const NUMBER_MAX: u32 = 99_999_999;

pub(crate) async fn create_guardrail_version(
    cx: &mut Call,
    input: CreateGuardrailVersionInput,
) -> Result<CreateGuardrailVersionOutput, ApiError> {
    let mut draft = find(cx, &input.guardrail_identifier).await?;
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let missing = || ApiError::internal(&"a guardrail has no definition");
    let held = cx.tx.get::<Held>(&definition_key(&account, &region, &draft.id, None)).await?.ok_or_else(missing)?;
    if draft.last_version >= NUMBER_MAX {
        return Err(Refusal::invalid("The guardrail has no more version numbers.").into());
    }
    let versions = cx.tx.scan::<Version>(&versions_key(&account, &region, &draft.id), None, SCAN_LIMIT).await?;
    if versions.len() >= VERSIONS_MAX {
        return Err(Refusal::quota("versions of a guardrail", VERSIONS_MAX).into());
    }
    draft.last_version += 1;
    let number = draft.last_version;
    let version = Version {
        number,
        name: draft.name.clone(),
        description: input.description.map(wire::Secret::into_inner).or_else(|| draft.description.clone()),
        created_ms: cx.now.0,
    };
    cx.tx.put(&version_key(&account, &region, &draft.id, number), &version)?;
    // The definition is bound to the guardrail, not to the version: a sealed one is copied as it is.
    cx.tx.put(&definition_key(&account, &region, &draft.id, Some(number)), &held)?;
    cx.tx.put(&draft_key(&account, &region, &draft.id), &draft)?;
    Ok(CreateGuardrailVersionOutput { guardrail_id: draft.id, version: number.to_string() })
}

pub(crate) async fn delete_guardrail(cx: &mut Call, input: DeleteGuardrailInput) -> Result<DeleteGuardrailOutput, ApiError> {
    let draft = find(cx, &input.guardrail_identifier).await?;
    let (account, region) = (cx.account.clone(), cx.region.clone());
    if let Some(text) = &input.guardrail_version {
        let missing = || Refusal::GuardrailVersion { id: draft.id.clone(), version: text.clone() };
        let draft_only = || Refusal::invalid("The draft cannot be deleted by itself: leave the version out to delete the guardrail.");
        let number = version_number(text)?.ok_or_else(draft_only)?;
        let key = version_key(&account, &region, &draft.id, number);
        cx.tx.get::<Version>(&key).await?.ok_or_else(missing)?;
        enforcement::refuse_in_use(cx, &draft.id, Some(number)).await?;
        cx.tx.delete::<Version>(&key);
        cx.tx.delete::<Held>(&definition_key(&account, &region, &draft.id, Some(number)));
        return Ok(DeleteGuardrailOutput {});
    }
    enforcement::refuse_in_use(cx, &draft.id, None).await?;
    let versions = cx.tx.scan::<Version>(&versions_key(&account, &region, &draft.id), None, SCAN_LIMIT).await?;
    for (_, version) in versions {
        cx.tx.delete::<Version>(&version_key(&account, &region, &draft.id, version.number));
        cx.tx.delete::<Held>(&definition_key(&account, &region, &draft.id, Some(version.number)));
    }
    cx.tx.delete::<Held>(&definition_key(&account, &region, &draft.id, None));
    cx.tx.delete::<GuardrailPolicy>(&resource_policy::key(&account, &region, &draft.id));
    cx.tx.delete::<NameClaim>(&name_key(&account, &region, &draft.name));
    cx.tx.delete::<Draft>(&draft_key(&account, &region, &draft.id));
    Ok(DeleteGuardrailOutput {})
}
