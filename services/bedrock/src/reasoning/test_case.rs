//! Test cases: an answer, with a question, and what the policy should say to it.

use api_bedrock::{
    AutomatedReasoningCheckResult, AutomatedReasoningPolicyTestCase, CreateAutomatedReasoningPolicyTestCaseInput,
    CreateAutomatedReasoningPolicyTestCaseOutput, DeleteAutomatedReasoningPolicyTestCaseInput,
    DeleteAutomatedReasoningPolicyTestCaseOutput, GetAutomatedReasoningPolicyTestCaseInput, GetAutomatedReasoningPolicyTestCaseOutput,
    ListAutomatedReasoningPolicyTestCasesInput, ListAutomatedReasoningPolicyTestCasesOutput, UpdateAutomatedReasoningPolicyTestCaseInput,
    UpdateAutomatedReasoningPolicyTestCaseOutput,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::{Secret, Timestamp};

use super::policy::page_error;
use super::{find_draft, versions_key};
use crate::refusal::Refusal;

const ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const ID_LENGTH: usize = 12;
/// Test cases of a policy.
const CASES_MAX: usize = 1_000;
const PAGE_LENGTH: usize = 100;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TestCase {
    pub(super) id: String,
    pub(super) answer: String,
    pub(super) query: Option<String>,
    pub(super) expected: String,
    pub(super) confidence_threshold: Option<f64>,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
}

impl Record for TestCase {
    const TABLE: Table = Table("bedrock-reasoning-test-case");
    const SCOPE: Scope = Scope::Region;
}

impl TestCase {
    pub(super) fn to_api(&self) -> AutomatedReasoningPolicyTestCase {
        AutomatedReasoningPolicyTestCase {
            test_case_id: self.id.clone(),
            guard_content: Secret::new(self.answer.clone()),
            query_content: self.query.clone().map(Secret::new),
            expected_aggregated_findings_result: Some(self.expected.as_str().into()),
            created_at: Timestamp(self.created_ms),
            updated_at: Timestamp(self.updated_ms),
            confidence_threshold: self.confidence_threshold,
        }
    }
}

fn key(account: &str, region: &str, policy: &str, id: &str) -> Key {
    versions_key(account, region, policy).last(id)
}

fn expected(result: &AutomatedReasoningCheckResult) -> Result<String, Refusal> {
    match result {
        AutomatedReasoningCheckResult::Other(other) => Err(Refusal::invalid(format!("`{other}` is not a result of a check."))),
        known => Ok(known.as_str().to_owned()),
    }
}

/// A test case of a policy that exists.
pub(super) async fn get(cx: &mut Call, policy: &str, id: &str) -> Result<TestCase, ApiError> {
    let key = key(&cx.account, &cx.region, policy, id);
    Ok(cx.tx.get::<TestCase>(&key).await?.ok_or_else(|| Refusal::TestCase(id.to_owned()))?)
}

/// All test cases of a policy.
pub(super) async fn all(cx: &mut Call, policy: &str) -> Result<Vec<TestCase>, ApiError> {
    let below = versions_key(&cx.account, &cx.region, policy);
    Ok(cx.tx.scan::<TestCase>(&below, None, SCAN_LIMIT).await?.into_iter().map(|(_, case)| case).collect())
}

pub(crate) async fn create_automated_reasoning_policy_test_case(
    cx: &mut Call,
    input: CreateAutomatedReasoningPolicyTestCaseInput,
) -> Result<CreateAutomatedReasoningPolicyTestCaseOutput, ApiError> {
    let policy = find_draft(cx, &input.policy_arn).await?;
    if all(cx, &policy.id).await?.len() >= CASES_MAX {
        return Err(Refusal::quota("test cases of an automated reasoning policy", CASES_MAX).into());
    }
    let id = cx.random_id(ID_ALPHABET, ID_LENGTH)?;
    let case = TestCase {
        id: id.clone(),
        answer: input.guard_content.into_inner(),
        query: input.query_content.map(Secret::into_inner),
        expected: expected(&input.expected_aggregated_findings_result)?,
        confidence_threshold: input.confidence_threshold,
        created_ms: cx.now.0,
        updated_ms: cx.now.0,
    };
    cx.tx.put(&key(&cx.account, &cx.region, &policy.id, &id), &case)?;
    Ok(CreateAutomatedReasoningPolicyTestCaseOutput { policy_arn: input.policy_arn, test_case_id: id })
}

pub(crate) async fn update_automated_reasoning_policy_test_case(
    cx: &mut Call,
    input: UpdateAutomatedReasoningPolicyTestCaseInput,
) -> Result<UpdateAutomatedReasoningPolicyTestCaseOutput, ApiError> {
    let policy = find_draft(cx, &input.policy_arn).await?;
    let mut case = get(cx, &policy.id, &input.test_case_id).await?;
    refuse_stale(case.updated_ms, input.last_updated_at)?;
    case.answer = input.guard_content.into_inner();
    case.query = input.query_content.map(Secret::into_inner);
    case.expected = expected(&input.expected_aggregated_findings_result)?;
    case.confidence_threshold = input.confidence_threshold;
    case.updated_ms = cx.now.0;
    cx.tx.put(&key(&cx.account, &cx.region, &policy.id, &case.id), &case)?;
    Ok(UpdateAutomatedReasoningPolicyTestCaseOutput { policy_arn: input.policy_arn, test_case_id: case.id })
}

/// Refuses a change of what has changed since the caller saw it. Times travel in whole seconds.
pub(super) fn refuse_stale(updated_ms: i64, seen: Timestamp) -> Result<(), Refusal> {
    if updated_ms / 1000 == seen.0 / 1000 {
        return Ok(());
    }
    Err(Refusal::Conflict("It has changed since the given time.".to_owned()))
}

pub(crate) async fn get_automated_reasoning_policy_test_case(
    cx: &mut Call,
    input: GetAutomatedReasoningPolicyTestCaseInput,
) -> Result<GetAutomatedReasoningPolicyTestCaseOutput, ApiError> {
    let policy = find_draft(cx, &input.policy_arn).await?;
    let case = get(cx, &policy.id, &input.test_case_id).await?;
    Ok(GetAutomatedReasoningPolicyTestCaseOutput { policy_arn: input.policy_arn, test_case: case.to_api() })
}

pub(crate) async fn list_automated_reasoning_policy_test_cases(
    cx: &mut Call,
    input: ListAutomatedReasoningPolicyTestCasesInput,
) -> Result<ListAutomatedReasoningPolicyTestCasesOutput, ApiError> {
    let policy = find_draft(cx, &input.policy_arn).await?;
    let cases = all(cx, &policy.id).await?;
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(cases, |case| case.id.clone(), &policy.id, input.next_token.as_deref(), limit).map_err(page_error)?;
    Ok(ListAutomatedReasoningPolicyTestCasesOutput { test_cases: page.items.iter().map(TestCase::to_api).collect(), next_token: page.next })
}

pub(crate) async fn delete_automated_reasoning_policy_test_case(
    cx: &mut Call,
    input: DeleteAutomatedReasoningPolicyTestCaseInput,
) -> Result<DeleteAutomatedReasoningPolicyTestCaseOutput, ApiError> {
    let policy = find_draft(cx, &input.policy_arn).await?;
    let case = get(cx, &policy.id, &input.test_case_id).await?;
    refuse_stale(case.updated_ms, input.last_updated_at)?;
    let key = key(&cx.account, &cx.region, &policy.id, &case.id);
    cx.tx.delete::<TestCase>(&key);
    Ok(DeleteAutomatedReasoningPolicyTestCaseOutput {})
}
