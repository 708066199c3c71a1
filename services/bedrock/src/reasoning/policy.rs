//! Making, changing, showing and deleting policies.

use api_bedrock::{
    AutomatedReasoningPolicySummary, CreateAutomatedReasoningPolicyInput, CreateAutomatedReasoningPolicyOutput,
    DeleteAutomatedReasoningPolicyInput, DeleteAutomatedReasoningPolicyOutput, GetAutomatedReasoningPolicyInput,
    GetAutomatedReasoningPolicyOutput, ListAutomatedReasoningPoliciesInput, ListAutomatedReasoningPoliciesOutput,
    UpdateAutomatedReasoningPolicyInput, UpdateAutomatedReasoningPolicyOutput,
};
use plane::page::PageError;
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key};
use wire::{Secret, Timestamp};

use super::test_case::TestCase;
use super::workflow::{TestRun, Workflow};
use super::{DRAFT, ReasoningPolicy, ReasoningVersion, Source, arn_of, find, find_draft, policy_key, version_key, versions_key};
use crate::guardrail::sealing::{self, Held};
use crate::refusal::Refusal;
use crate::tag;

const ID_ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const ID_LENGTH: usize = 12;
/// Policies of an account in a region.
const POLICIES_MAX: usize = 100;
/// Policies on one page, when the caller does not say.
const PAGE_LENGTH: usize = 100;

pub(crate) async fn create_automated_reasoning_policy(
    cx: &mut Call,
    input: CreateAutomatedReasoningPolicyInput,
) -> Result<CreateAutomatedReasoningPolicyOutput, ApiError> {
    let tags = tag::pairs(input.tags)?;
    let source = input.policy_definition.map(Source::from).unwrap_or_default();
    source.compile()?;
    let (account, region) = (cx.account.clone(), cx.region.clone());
    if cx.tx.scan::<ReasoningPolicy>(&Key::new(&account, &region), None, SCAN_LIMIT).await?.len() >= POLICIES_MAX {
        return Err(Refusal::quota("automated reasoning policies of an account in a region", POLICIES_MAX).into());
    }
    let hash = source.hash()?;
    // A run after a conflict takes the same id, and asks KMS only once.
    let (id, held) = if let Some(made) = cx.recall::<(String, Held<Source>)>("policy") {
        made
    } else {
        let id = cx.random_id(ID_ALPHABET, ID_LENGTH)?;
        let held = sealing::seal(cx, &arn_of(&region, &account, &id), input.kms_key_id.as_deref(), source).await?;
        cx.remember("policy", (id.clone(), held.clone()));
        (id, held)
    };
    let policy = ReasoningPolicy {
        id: id.clone(),
        name: input.name.into_inner(),
        description: input.description.map(Secret::into_inner),
        source: held,
        hash: hash.clone(),
        created_ms: cx.now.0,
        updated_ms: cx.now.0,
        tags,
        last_version: 0,
    };
    if !cx.tx.insert(&policy_key(&account, &region, &id), &policy).await? {
        return Err(ApiError::internal(&"a new policy id is taken"));
    }
    Ok(CreateAutomatedReasoningPolicyOutput {
        policy_arn: arn_of(&region, &account, &id),
        version: DRAFT.to_owned(),
        name: Secret::new(policy.name),
        description: policy.description.map(Secret::new),
        definition_hash: Some(hash),
        created_at: cx.now,
        updated_at: cx.now,
    })
}

pub(crate) async fn update_automated_reasoning_policy(
    cx: &mut Call,
    input: UpdateAutomatedReasoningPolicyInput,
) -> Result<UpdateAutomatedReasoningPolicyOutput, ApiError> {
    let mut policy = find_draft(cx, &input.policy_arn).await?;
    let source = Source::from(input.policy_definition);
    source.compile()?;
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let arn = arn_of(&region, &account, &policy.id);
    policy.hash = source.hash()?;
    policy.source = if let Some(held) = cx.recall::<Held<Source>>("source") {
        held
    } else {
        let kms_key = policy.source.kms_key_arn().map(str::to_owned);
        let held = sealing::seal(cx, &arn, kms_key.as_deref(), source).await?;
        cx.remember("source", held.clone());
        held
    };
    if let Some(name) = input.name {
        policy.name = name.into_inner();
    }
    if let Some(description) = input.description {
        policy.description = Some(description.into_inner());
    }
    policy.updated_ms = cx.now.0;
    cx.tx.put(&policy_key(&account, &region, &policy.id), &policy)?;
    Ok(UpdateAutomatedReasoningPolicyOutput {
        policy_arn: arn,
        name: Secret::new(policy.name),
        definition_hash: policy.hash,
        updated_at: cx.now,
    })
}

pub(crate) async fn get_automated_reasoning_policy(
    cx: &mut Call,
    input: GetAutomatedReasoningPolicyInput,
) -> Result<GetAutomatedReasoningPolicyOutput, ApiError> {
    let (policy, version) = find(cx, &input.policy_arn).await?;
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let shown = |name: String,
                 description: Option<String>,
                 hash: String,
                 version: String,
                 created_ms: i64,
                 updated_ms: i64,
                 kms: Option<String>| {
        GetAutomatedReasoningPolicyOutput {
            policy_arn: input.policy_arn.clone(),
            name: Secret::new(name),
            version,
            policy_id: policy.id.clone(),
            description: description.map(Secret::new),
            definition_hash: hash,
            kms_key_arn: kms,
            created_at: Some(Timestamp(created_ms)),
            updated_at: Timestamp(updated_ms),
        }
    };
    let kms = policy.source.kms_key_arn().map(str::to_owned);
    let Some(number) = version else {
        let (name, description, hash) = (policy.name.clone(), policy.description.clone(), policy.hash.clone());
        return Ok(shown(name, description, hash, DRAFT.to_owned(), policy.created_ms, policy.updated_ms, kms));
    };
    let missing = || Refusal::ReasoningPolicy(input.policy_arn.clone());
    let found = cx.tx.get::<ReasoningVersion>(&version_key(&account, &region, &policy.id, number)).await?.ok_or_else(missing)?;
    Ok(shown(found.name, found.description, found.hash, number.to_string(), found.created_ms, found.created_ms, kms))
}

/// The drafts of all policies, or the draft and all versions of one.
pub(crate) async fn list_automated_reasoning_policies(
    cx: &mut Call,
    input: ListAutomatedReasoningPoliciesInput,
) -> Result<ListAutomatedReasoningPoliciesOutput, ApiError> {
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let draft = |policy: &ReasoningPolicy| AutomatedReasoningPolicySummary {
        policy_arn: arn_of(&region, &account, &policy.id),
        name: Secret::new(policy.name.clone()),
        description: policy.description.clone().map(Secret::new),
        version: DRAFT.to_owned(),
        policy_id: policy.id.clone(),
        created_at: Timestamp(policy.created_ms),
        updated_at: Timestamp(policy.updated_ms),
    };
    let items: Vec<(String, AutomatedReasoningPolicySummary)> = if let Some(arn) = &input.policy_arn {
        let (policy, _) = find(cx, arn).await?;
        let versions = cx.tx.scan::<ReasoningVersion>(&versions_key(&account, &region, &policy.id), None, SCAN_LIMIT).await?;
        let numbered = versions.into_iter().map(|(_, version)| {
            let summary = AutomatedReasoningPolicySummary {
                policy_arn: format!("{}:{}", arn_of(&region, &account, &policy.id), version.number),
                name: Secret::new(version.name),
                description: version.description.map(Secret::new),
                version: version.number.to_string(),
                policy_id: policy.id.clone(),
                created_at: Timestamp(version.created_ms),
                updated_at: Timestamp(version.created_ms),
            };
            (format!("{:010}", version.number), summary)
        });
        std::iter::once((String::new(), draft(&policy))).chain(numbered).collect()
    } else {
        let policies = cx.tx.scan::<ReasoningPolicy>(&Key::new(&account, &region), None, SCAN_LIMIT).await?;
        policies.iter().map(|(_, policy)| (policy.id.clone(), draft(policy))).collect()
    };
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let filter = input.policy_arn.unwrap_or_default();
    let page = cx.page(items, |(key, _)| key.clone(), &filter, input.next_token.as_deref(), limit).map_err(page_error)?;
    Ok(ListAutomatedReasoningPoliciesOutput {
        automated_reasoning_policy_summaries: page.items.into_iter().map(|(_, summary)| summary).collect(),
        next_token: page.next,
    })
}

/// A page token that is not ours.
pub(super) fn page_error(error: PageError) -> ApiError {
    match error {
        PageError::Token(_) => Refusal::invalid("The nextToken is not one that this list gave.").into(),
        PageError::Failed(error) => error,
    }
}

/// Deletes a version, or a policy with all that belongs to it. Without `force` a policy that has versions or test cases stays.
pub(crate) async fn delete_automated_reasoning_policy(
    cx: &mut Call,
    input: DeleteAutomatedReasoningPolicyInput,
) -> Result<DeleteAutomatedReasoningPolicyOutput, ApiError> {
    let (policy, version) = find(cx, &input.policy_arn).await?;
    let (account, region) = (cx.account.clone(), cx.region.clone());
    if let Some(number) = version {
        let key = version_key(&account, &region, &policy.id, number);
        cx.tx.get::<ReasoningVersion>(&key).await?.ok_or_else(|| Refusal::ReasoningPolicy(input.policy_arn.clone()))?;
        cx.tx.delete::<ReasoningVersion>(&key);
        return Ok(DeleteAutomatedReasoningPolicyOutput {});
    }
    let below = versions_key(&account, &region, &policy.id);
    let versions = cx.tx.scan::<ReasoningVersion>(&below, None, SCAN_LIMIT).await?;
    let cases = cx.tx.scan::<TestCase>(&below, None, SCAN_LIMIT).await?;
    let workflows = cx.tx.scan::<Workflow>(&below, None, SCAN_LIMIT).await?;
    let runs = cx.tx.scan::<TestRun>(&below, None, SCAN_LIMIT).await?;
    if !(versions.is_empty() && cases.is_empty()) && input.force != Some(true) {
        return Err(Refusal::InUse("The policy has versions or test cases: delete them first, or use `force`.".to_owned()).into());
    }
    for (rest, _) in &versions {
        cx.tx.delete::<ReasoningVersion>(&below.clone().last(rest));
    }
    for (rest, _) in &cases {
        cx.tx.delete::<TestCase>(&below.clone().last(rest));
    }
    for (rest, _) in &workflows {
        cx.tx.delete::<Workflow>(&below.clone().last(rest));
    }
    for (rest, _) in &runs {
        cx.tx.delete::<TestRun>(&below.clone().last(rest));
    }
    cx.tx.delete::<ReasoningPolicy>(&policy_key(&account, &region, &policy.id));
    Ok(DeleteAutomatedReasoningPolicyOutput {})
}
