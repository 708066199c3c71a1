//! Numbered versions and their export.

use api_bedrock::{
    CreateAutomatedReasoningPolicyVersionInput, CreateAutomatedReasoningPolicyVersionOutput, ExportAutomatedReasoningPolicyVersionInput,
    ExportAutomatedReasoningPolicyVersionOutput,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call};
use wire::Secret;

use super::{ReasoningVersion, arn_of, find_draft, policy_key, source, version_key, versions_key};
use crate::refusal::Refusal;
use crate::tag;

/// Versions that a policy may have.
const VERSIONS_MAX: usize = 1_000;

pub(crate) async fn create_automated_reasoning_policy_version(
    cx: &mut Call,
    input: CreateAutomatedReasoningPolicyVersionInput,
) -> Result<CreateAutomatedReasoningPolicyVersionOutput, ApiError> {
    let tags = tag::pairs(input.tags)?;
    let mut policy = find_draft(cx, &input.policy_arn).await?;
    if policy.hash != input.last_updated_definition_hash {
        return Err(Refusal::Conflict("The definition of the policy has changed since the given hash.".to_owned()).into());
    }
    let (account, region) = (cx.account.clone(), cx.region.clone());
    if cx.tx.scan::<ReasoningVersion>(&versions_key(&account, &region, &policy.id), None, SCAN_LIMIT).await?.len() >= VERSIONS_MAX {
        return Err(Refusal::quota("versions of an automated reasoning policy", VERSIONS_MAX).into());
    }
    policy.last_version = policy.last_version.saturating_add(1);
    let number = policy.last_version;
    let version = ReasoningVersion {
        number,
        name: policy.name.clone(),
        description: policy.description.clone(),
        source: policy.source.clone(),
        hash: policy.hash.clone(),
        created_ms: cx.now.0,
        tags,
    };
    cx.tx.put(&version_key(&account, &region, &policy.id, number), &version)?;
    cx.tx.put(&policy_key(&account, &region, &policy.id), &policy)?;
    Ok(CreateAutomatedReasoningPolicyVersionOutput {
        policy_arn: arn_of(&region, &account, &policy.id),
        version: number.to_string(),
        name: Secret::new(version.name),
        description: version.description.map(Secret::new),
        definition_hash: version.hash,
        created_at: cx.now,
    })
}

pub(crate) async fn export_automated_reasoning_policy_version(
    cx: &mut Call,
    input: ExportAutomatedReasoningPolicyVersionInput,
) -> Result<ExportAutomatedReasoningPolicyVersionOutput, ApiError> {
    let source = source(cx, &input.policy_arn).await?;
    Ok(ExportAutomatedReasoningPolicyVersionOutput { policy_definition: source.to_api() })
}
