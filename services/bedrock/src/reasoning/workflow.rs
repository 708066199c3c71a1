//! Build workflows, of which `IMPORT_POLICY` is definite and runs at once, and the tests that run on what they built.

use ::reasoning::{Finding, aggregate};
use api_bedrock::{
    AutomatedReasoningPolicyBuildLog, AutomatedReasoningPolicyBuildResultAssetManifest,
    AutomatedReasoningPolicyBuildResultAssetManifestEntry, AutomatedReasoningPolicyBuildResultAssetType as AssetType,
    AutomatedReasoningPolicyBuildResultAssets as Assets, AutomatedReasoningPolicyBuildWorkflowStatus as Status,
    AutomatedReasoningPolicyBuildWorkflowSummary, AutomatedReasoningPolicyBuildWorkflowType as Kind,
    AutomatedReasoningPolicyDefinitionQualityReport, AutomatedReasoningPolicyDefinitionTypeValuePair, AutomatedReasoningPolicyTestResult,
    AutomatedReasoningPolicyTestRunResult, AutomatedReasoningPolicyTestRunStatus, CancelAutomatedReasoningPolicyBuildWorkflowInput,
    CancelAutomatedReasoningPolicyBuildWorkflowOutput, DeleteAutomatedReasoningPolicyBuildWorkflowInput,
    DeleteAutomatedReasoningPolicyBuildWorkflowOutput, GetAutomatedReasoningPolicyBuildWorkflowInput,
    GetAutomatedReasoningPolicyBuildWorkflowOutput, GetAutomatedReasoningPolicyBuildWorkflowResultAssetsInput,
    GetAutomatedReasoningPolicyBuildWorkflowResultAssetsOutput, GetAutomatedReasoningPolicyTestResultInput,
    GetAutomatedReasoningPolicyTestResultOutput, ListAutomatedReasoningPolicyBuildWorkflowsInput,
    ListAutomatedReasoningPolicyBuildWorkflowsOutput, ListAutomatedReasoningPolicyTestResultsInput,
    ListAutomatedReasoningPolicyTestResultsOutput, StartAutomatedReasoningPolicyBuildWorkflowInput,
    StartAutomatedReasoningPolicyBuildWorkflowOutput, StartAutomatedReasoningPolicyTestWorkflowInput,
    StartAutomatedReasoningPolicyTestWorkflowOutput,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::{Secret, Timestamp};

use super::policy::page_error;
use super::test_case::{self, TestCase, refuse_stale};
use super::{Source, arn_of, find_draft, finding, versions_key};
use crate::guardrail::sealing::{self, Held};
use crate::refusal::Refusal;

/// Workflows that are kept of a policy.
const WORKFLOWS_MAX: usize = 100;
const PAGE_LENGTH: usize = 100;

/// A finished import.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Workflow {
    id: String,
    source: Held<Source>,
    created_ms: i64,
    updated_ms: i64,
}

impl Record for Workflow {
    const TABLE: Table = Table("bedrock-reasoning-workflow");
    const SCOPE: Scope = Scope::Region;
}

/// What a policy said to a test case.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TestRun {
    case: TestCase,
    findings: Vec<Finding>,
    updated_ms: i64,
}

impl Record for TestRun {
    const TABLE: Table = Table("bedrock-reasoning-test-run");
    const SCOPE: Scope = Scope::Region;
}

fn key(cx: &Call, policy: &str, id: &str) -> Key {
    versions_key(&cx.account, &cx.region, policy).last(id)
}

fn runs_key(cx: &Call, policy: &str, workflow: &str) -> Key {
    versions_key(&cx.account, &cx.region, policy).then(workflow)
}

/// A policy's id and one of its workflows.
async fn find(cx: &mut Call, arn: &str, id: &str) -> Result<(String, Workflow), ApiError> {
    let policy = find_draft(cx, arn).await?;
    let key = key(cx, &policy.id, id);
    let workflow = cx.tx.get::<Workflow>(&key).await?.ok_or_else(|| Refusal::Workflow(id.to_owned()))?;
    Ok((policy.id, workflow))
}

async fn open(cx: &mut Call, policy: &str, workflow: &Workflow) -> Result<Source, ApiError> {
    let arn = arn_of(&cx.region, &cx.account, policy);
    sealing::open(cx, &arn, workflow.source.clone()).await
}

pub(crate) async fn start_automated_reasoning_policy_build_workflow(
    cx: &mut Call,
    input: StartAutomatedReasoningPolicyBuildWorkflowInput,
) -> Result<StartAutomatedReasoningPolicyBuildWorkflowOutput, ApiError> {
    let policy = find_draft(cx, &input.policy_arn).await?;
    if input.build_workflow_type != Kind::ImportPolicy {
        let kind = input.build_workflow_type.as_str();
        return Err(Refusal::unsupported(format!("a build workflow of the type `{kind}`, which needs a language model")).into());
    }
    let definition = input.source_content.policy_definition;
    let source = definition.map(Source::from).ok_or_else(|| Refusal::invalid("An import needs a policy definition."))?;
    source.compile()?;
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let below = versions_key(&account, &region, &policy.id);
    if cx.tx.scan::<Workflow>(&below, None, SCAN_LIMIT).await?.len() >= WORKFLOWS_MAX {
        return Err(Refusal::quota("build workflows of an automated reasoning policy", WORKFLOWS_MAX).into());
    }
    let (id, held) = if let Some(made) = cx.recall::<(String, Held<Source>)>("workflow") {
        made
    } else {
        let id = cx.random_uuid()?;
        let kms_key = policy.source.kms_key_arn().map(str::to_owned);
        let held = sealing::seal(cx, &arn_of(&region, &account, &policy.id), kms_key.as_deref(), source).await?;
        cx.remember("workflow", (id.clone(), held.clone()));
        (id, held)
    };
    let workflow = Workflow { id: id.clone(), source: held, created_ms: cx.now.0, updated_ms: cx.now.0 };
    cx.tx.put(&key(cx, &policy.id, &id), &workflow)?;
    Ok(StartAutomatedReasoningPolicyBuildWorkflowOutput { policy_arn: input.policy_arn, build_workflow_id: id })
}

pub(crate) async fn get_automated_reasoning_policy_build_workflow(
    cx: &mut Call,
    input: GetAutomatedReasoningPolicyBuildWorkflowInput,
) -> Result<GetAutomatedReasoningPolicyBuildWorkflowOutput, ApiError> {
    let (_, workflow) = find(cx, &input.policy_arn, &input.build_workflow_id).await?;
    Ok(GetAutomatedReasoningPolicyBuildWorkflowOutput {
        policy_arn: input.policy_arn,
        build_workflow_id: workflow.id,
        status: Status::Completed,
        build_workflow_type: Kind::ImportPolicy,
        document_name: None,
        document_content_type: None,
        document_description: None,
        created_at: Timestamp(workflow.created_ms),
        updated_at: Timestamp(workflow.updated_ms),
    })
}

pub(crate) async fn list_automated_reasoning_policy_build_workflows(
    cx: &mut Call,
    input: ListAutomatedReasoningPolicyBuildWorkflowsInput,
) -> Result<ListAutomatedReasoningPolicyBuildWorkflowsOutput, ApiError> {
    let policy = find_draft(cx, &input.policy_arn).await?;
    let below = versions_key(&cx.account, &cx.region, &policy.id);
    let found = cx.tx.scan::<Workflow>(&below, None, SCAN_LIMIT).await?.into_iter().map(|(_, workflow)| workflow).collect();
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page =
        cx.page(found, |workflow: &Workflow| workflow.id.clone(), &policy.id, input.next_token.as_deref(), limit).map_err(page_error)?;
    let summary = |workflow: Workflow| AutomatedReasoningPolicyBuildWorkflowSummary {
        policy_arn: input.policy_arn.clone(),
        build_workflow_id: workflow.id,
        status: Status::Completed,
        build_workflow_type: Kind::ImportPolicy,
        created_at: Timestamp(workflow.created_ms),
        updated_at: Timestamp(workflow.updated_ms),
    };
    Ok(ListAutomatedReasoningPolicyBuildWorkflowsOutput {
        automated_reasoning_policy_build_workflow_summaries: page.items.into_iter().map(summary).collect(),
        next_token: page.next,
    })
}

/// An import is done when its start has answered: there is never one to cancel.
pub(crate) async fn cancel_automated_reasoning_policy_build_workflow(
    cx: &mut Call,
    input: CancelAutomatedReasoningPolicyBuildWorkflowInput,
) -> Result<CancelAutomatedReasoningPolicyBuildWorkflowOutput, ApiError> {
    find(cx, &input.policy_arn, &input.build_workflow_id).await?;
    Err(Refusal::invalid("The build workflow is completed and cannot be cancelled.").into())
}

pub(crate) async fn delete_automated_reasoning_policy_build_workflow(
    cx: &mut Call,
    input: DeleteAutomatedReasoningPolicyBuildWorkflowInput,
) -> Result<DeleteAutomatedReasoningPolicyBuildWorkflowOutput, ApiError> {
    let (policy, workflow) = find(cx, &input.policy_arn, &input.build_workflow_id).await?;
    refuse_stale(workflow.updated_ms, input.last_updated_at)?;
    let below = runs_key(cx, &policy, &workflow.id);
    for (rest, _) in cx.tx.scan::<TestRun>(&below, None, SCAN_LIMIT).await? {
        cx.tx.delete::<TestRun>(&below.clone().last(rest));
    }
    let key = key(cx, &policy, &workflow.id);
    cx.tx.delete::<Workflow>(&key);
    Ok(DeleteAutomatedReasoningPolicyBuildWorkflowOutput {})
}

pub(crate) async fn get_automated_reasoning_policy_build_workflow_result_assets(
    cx: &mut Call,
    input: GetAutomatedReasoningPolicyBuildWorkflowResultAssetsInput,
) -> Result<GetAutomatedReasoningPolicyBuildWorkflowResultAssetsOutput, ApiError> {
    let (policy, workflow) = find(cx, &input.policy_arn, &input.build_workflow_id).await?;
    let source = open(cx, &policy, &workflow).await?;
    let assets = match &input.asset_type {
        AssetType::PolicyDefinition => Assets::PolicyDefinition(source.to_api()),
        AssetType::QualityReport => Assets::QualityReport(quality(&source)?),
        // An import changes nothing, so its log has no entries.
        AssetType::BuildLog => Assets::BuildLog(AutomatedReasoningPolicyBuildLog::default()),
        AssetType::AssetManifest => Assets::AssetManifest(AutomatedReasoningPolicyBuildResultAssetManifest {
            entries: [AssetType::PolicyDefinition, AssetType::QualityReport, AssetType::BuildLog]
                .into_iter()
                .map(|asset_type| AutomatedReasoningPolicyBuildResultAssetManifestEntry { asset_type, asset_name: None, asset_id: None })
                .collect(),
        }),
        other => return Err(Refusal::Asset(other.as_str().to_owned()).into()),
    };
    Ok(GetAutomatedReasoningPolicyBuildWorkflowResultAssetsOutput {
        policy_arn: input.policy_arn,
        build_workflow_id: workflow.id,
        build_workflow_assets: Some(assets),
    })
}

fn quality(source: &Source) -> Result<AutomatedReasoningPolicyDefinitionQualityReport, Refusal> {
    let policy = source.compile()?;
    let unused = policy.unused();
    let count = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
    Ok(AutomatedReasoningPolicyDefinitionQualityReport {
        type_count: count(source.types.len()),
        variable_count: count(source.variables.len()),
        rule_count: count(source.rules.len()),
        unused_types: unused.types.into_iter().map(Secret::new).collect(),
        unused_type_values: unused
            .values
            .into_iter()
            .map(|(type_name, value_name)| AutomatedReasoningPolicyDefinitionTypeValuePair {
                type_name: Secret::new(type_name),
                value_name,
            })
            .collect(),
        unused_variables: unused.variables.into_iter().map(Secret::new).collect(),
        conflicting_rules: policy.conflicting_rules(),
        disjoint_rule_sets: policy
            .disjoint_rules()
            .into_iter()
            .map(|(variables, rules)| api_bedrock::AutomatedReasoningPolicyDisjointRuleSet {
                variables: variables.into_iter().map(Secret::new).collect(),
                rules,
            })
            .collect(),
    })
}

pub(crate) async fn start_automated_reasoning_policy_test_workflow(
    cx: &mut Call,
    input: StartAutomatedReasoningPolicyTestWorkflowInput,
) -> Result<StartAutomatedReasoningPolicyTestWorkflowOutput, ApiError> {
    let (policy, workflow) = find(cx, &input.policy_arn, &input.build_workflow_id).await?;
    let engine = open(cx, &policy, &workflow).await?.compile()?;
    let cases = match &input.test_case_ids {
        None => test_case::all(cx, &policy).await?,
        Some(ids) => {
            let mut named = Vec::new();
            for id in ids {
                named.push(test_case::get(cx, &policy, id).await?);
            }
            named
        }
    };
    for case in cases {
        let findings = engine.check(case.query.as_deref(), &case.answer);
        let key = runs_key(cx, &policy, &workflow.id).last(&case.id);
        cx.tx.put(&key, &TestRun { case, findings, updated_ms: cx.now.0 })?;
    }
    Ok(StartAutomatedReasoningPolicyTestWorkflowOutput { policy_arn: input.policy_arn })
}

fn result(run: &TestRun, arn: &str) -> Result<AutomatedReasoningPolicyTestResult, ApiError> {
    let verdict = finding::verdict_name(aggregate(&run.findings));
    let passed = verdict == run.case.expected;
    Ok(AutomatedReasoningPolicyTestResult {
        test_case: run.case.to_api(),
        policy_arn: arn.to_owned(),
        test_run_status: AutomatedReasoningPolicyTestRunStatus::Completed,
        test_findings: Some(run.findings.iter().map(|found| finding::check_finding(found, arn)).collect::<Result<_, _>>()?),
        test_run_result: Some(if passed {
            AutomatedReasoningPolicyTestRunResult::Passed
        } else {
            AutomatedReasoningPolicyTestRunResult::Failed
        }),
        aggregated_test_findings_result: Some(verdict.into()),
        updated_at: Timestamp(run.updated_ms),
    })
}

pub(crate) async fn get_automated_reasoning_policy_test_result(
    cx: &mut Call,
    input: GetAutomatedReasoningPolicyTestResultInput,
) -> Result<GetAutomatedReasoningPolicyTestResultOutput, ApiError> {
    let (policy, workflow) = find(cx, &input.policy_arn, &input.build_workflow_id).await?;
    let key = runs_key(cx, &policy, &workflow.id).last(&input.test_case_id);
    let run = cx.tx.get::<TestRun>(&key).await?.ok_or_else(|| Refusal::TestCase(input.test_case_id.clone()))?;
    Ok(GetAutomatedReasoningPolicyTestResultOutput { test_result: result(&run, &input.policy_arn)? })
}

pub(crate) async fn list_automated_reasoning_policy_test_results(
    cx: &mut Call,
    input: ListAutomatedReasoningPolicyTestResultsInput,
) -> Result<ListAutomatedReasoningPolicyTestResultsOutput, ApiError> {
    let (policy, workflow) = find(cx, &input.policy_arn, &input.build_workflow_id).await?;
    let below = runs_key(cx, &policy, &workflow.id);
    let runs = cx.tx.scan::<TestRun>(&below, None, SCAN_LIMIT).await?.into_iter().map(|(_, run)| run).collect();
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(runs, |run: &TestRun| run.case.id.clone(), &workflow.id, input.next_token.as_deref(), limit).map_err(page_error)?;
    Ok(ListAutomatedReasoningPolicyTestResultsOutput {
        test_results: page.items.iter().map(|run| result(run, &input.policy_arn)).collect::<Result<_, _>>()?,
        next_token: page.next,
    })
}
