//! Making and changing guardrails.
//!
//! Source: Bedrock API reference, `CreateGuardrail` and `UpdateGuardrail`. Statuses between (CREATING, UPDATING) are never seen: the change
//! is done when the call answers.

use api_bedrock::{CreateGuardrailInput, CreateGuardrailOutput, UpdateGuardrailInput, UpdateGuardrailOutput};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call};

use super::configuration::Configuration;
use super::sealing::{self, Held};
use super::{DRAFT, Draft, NameClaim, arn_of, definition_key, draft_key, find, name_key};
use crate::reasoning;
use crate::refusal::Refusal;
use crate::tag;

/// Letters of guardrail ids, which have twelve.
const ID_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID_LENGTH: usize = 12;
/// Guardrails of an account in a region.
const GUARDRAILS_MAX: usize = 100;

pub(crate) async fn create_guardrail(cx: &mut Call, input: CreateGuardrailInput) -> Result<CreateGuardrailOutput, ApiError> {
    let tags = tag::pairs(input.tags)?;
    let definition = Configuration {
        topics: input.topic_policy_config,
        content: input.content_policy_config,
        words: input.word_policy_config,
        sensitive: input.sensitive_information_policy_config,
        grounding: input.contextual_grounding_policy_config,
        reasoning: input.automated_reasoning_policy_config,
        cross_region: input.cross_region_config,
        blocked_input_messaging: input.blocked_input_messaging.into_inner(),
        blocked_outputs_messaging: input.blocked_outputs_messaging.into_inner(),
    }
    .into_definition()?;
    let (account, region) = (cx.account.clone(), cx.region.clone());
    if cx.tx.scan::<Draft>(&plane::Key::new(&account, &region), None, SCAN_LIMIT).await?.len() >= GUARDRAILS_MAX {
        return Err(Refusal::quota("guardrails of an account in a region", GUARDRAILS_MAX).into());
    }
    reasoning::check(cx, &definition).await?;
    // A run after a conflict takes the same id, and asks KMS only once.
    let (id, held) = if let Some(made) = cx.recall::<(String, Held)>("guardrail") {
        made
    } else {
        let id = cx.random_id(ID_ALPHABET, ID_LENGTH)?;
        let arn = arn_of(&cx.region, &cx.account, &id);
        let held = sealing::seal(cx, &arn, input.kms_key_id.as_deref(), definition).await?;
        cx.remember("guardrail", (id.clone(), held.clone()));
        (id, held)
    };
    let arn = arn_of(&cx.region, &cx.account, &id);
    let name = input.name.into_inner();
    if !cx.tx.insert(&name_key(&account, &region, &name), &NameClaim { id: id.clone() }).await? {
        return Err(Refusal::GuardrailName.into());
    }
    let draft = Draft {
        id: id.clone(),
        name,
        description: input.description.map(wire::Secret::into_inner),
        created_ms: cx.now.0,
        updated_ms: cx.now.0,
        tags,
        last_version: 0,
    };
    if !cx.tx.insert(&draft_key(&account, &region, &id), &draft).await? {
        return Err(ApiError::internal(&"a new guardrail id is taken"));
    }
    cx.tx.put(&definition_key(&account, &region, &id, None), &held)?;
    cx.touch("AWS::Bedrock::Guardrail", &arn, &account);
    Ok(CreateGuardrailOutput { guardrail_id: id, guardrail_arn: arn, version: DRAFT.to_owned(), created_at: cx.now })
}

/// Replaces the draft. Without `kmsKeyId` the key stays what it was: a definition does not lose its protection by being left out.
pub(crate) async fn update_guardrail(cx: &mut Call, input: UpdateGuardrailInput) -> Result<UpdateGuardrailOutput, ApiError> {
    let mut draft = find(cx, &input.guardrail_identifier).await?;
    let definition = Configuration {
        topics: input.topic_policy_config,
        content: input.content_policy_config,
        words: input.word_policy_config,
        sensitive: input.sensitive_information_policy_config,
        grounding: input.contextual_grounding_policy_config,
        reasoning: input.automated_reasoning_policy_config,
        cross_region: input.cross_region_config,
        blocked_input_messaging: input.blocked_input_messaging.into_inner(),
        blocked_outputs_messaging: input.blocked_outputs_messaging.into_inner(),
    }
    .into_definition()?;
    reasoning::check(cx, &definition).await?;
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let arn = arn_of(&region, &account, &draft.id);
    let key = definition_key(&account, &region, &draft.id, None);
    let before = cx.tx.get::<Held>(&key).await?;
    let kms_key = input.kms_key_id.as_deref().or_else(|| before.as_ref().and_then(Held::kms_key_arn));
    let held = if let Some(held) = cx.recall::<Held>("definition") {
        held
    } else {
        let held = sealing::seal(cx, &arn, kms_key, definition).await?;
        cx.remember("definition", held.clone());
        held
    };
    let name = input.name.into_inner();
    if name != draft.name {
        if !cx.tx.insert(&name_key(&account, &region, &name), &NameClaim { id: draft.id.clone() }).await? {
            return Err(Refusal::GuardrailName.into());
        }
        cx.tx.delete::<NameClaim>(&name_key(&account, &region, &draft.name));
        draft.name = name;
    }
    draft.description = input.description.map(wire::Secret::into_inner);
    draft.updated_ms = cx.now.0;
    cx.tx.put(&draft_key(&account, &region, &draft.id), &draft)?;
    cx.tx.put(&key, &held)?;
    Ok(UpdateGuardrailOutput { guardrail_id: draft.id, guardrail_arn: arn, version: DRAFT.to_owned(), updated_at: cx.now })
}
