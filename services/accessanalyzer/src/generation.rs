//! Policies made of what a principal did.
//!
//! The trail of this server names the action and the resource of every decision, so the answer is exact for what is recorded; no
//! job has to wait. A job is kept so that it can be read again.

use std::collections::BTreeMap;

use api_accessanalyzer::{
    CancelPolicyGenerationInput, CancelPolicyGenerationOutput, CloudTrailProperties, GeneratedPolicy, GeneratedPolicyProperties,
    GeneratedPolicyResult, GetGeneratedPolicyInput, GetGeneratedPolicyOutput, JobDetails, JobStatus, ListPolicyGenerationsInput,
    ListPolicyGenerationsOutput, PolicyGeneration, StartPolicyGenerationInput, StartPolicyGenerationOutput, TrailProperties,
};
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Table;
use wire::Timestamp;

use crate::error::AnalyzerError;
use crate::history::{self, Use};
use crate::paged;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// The longest stretch of time that a policy is made of.
const DAYS_MAX: i64 = 90;

/// A trail that the caller named.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct NamedTrail {
    arn: String,
    regions: Option<Vec<String>>,
    all_regions: Option<bool>,
}

/// A finished job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Generation {
    id: String,
    principal_arn: String,
    started_ms: i64,
    from_ms: i64,
    to_ms: i64,
    trails: Vec<NamedTrail>,
    is_complete: bool,
    /// Resources by action.
    uses: BTreeMap<String, Vec<String>>,
}

impl Record for Generation {
    const TABLE: Table = Table("accessanalyzer-generation");
    const SCOPE: Scope = Scope::Region;
}

fn key(cx: &Call, id: &str) -> Key {
    Key::new(&cx.account, &cx.region).last(id)
}

pub(crate) async fn start_policy_generation(
    cx: &mut Call,
    input: StartPolicyGenerationInput,
) -> Result<StartPolicyGenerationOutput, ApiError> {
    let principal_arn = input.policy_generation_details.principal_arn;
    let account = policy::account_of(&principal_arn).unwrap_or_default();
    let exists = account == cx.account && cx.plane.directory().clone().principal(&mut cx.tx, &principal_arn).await?.is_some();
    if !exists {
        return Err(AnalyzerError::invalid("principalArn", format!("The principal {principal_arn} does not exist in the account.")).into());
    }
    let (from_ms, to_ms, trails) = match input.cloud_trail_details {
        None => (cx.now.0.saturating_sub(DAYS_MAX * DAY_MS), cx.now.0, Vec::new()),
        Some(details) => {
            let to_ms = details.end_time.map_or(cx.now.0, |time| time.0);
            let from_ms = details.start_time.0;
            if from_ms >= to_ms || to_ms.saturating_sub(from_ms) > DAYS_MAX * DAY_MS {
                let message = "The time range must be positive and not longer than 90 days.";
                return Err(AnalyzerError::invalid("startTime", message).into());
            }
            if cx.plane.directory().clone().principal(&mut cx.tx, &details.access_role).await?.is_none() {
                return Err(AnalyzerError::invalid("accessRole", "The access role does not exist.").into());
            }
            let trails = details.trails.into_iter().map(|trail| NamedTrail {
                arn: trail.cloud_trail_arn,
                regions: trail.regions,
                all_regions: trail.all_regions,
            });
            (from_ms, to_ms, trails.collect())
        }
    };
    let (uses, is_complete) = history::uses(&cx.plane, &cx.account, from_ms, to_ms).await?;
    let uses = uses.get(&principal_arn).cloned().unwrap_or_default();
    let uses = uses.into_iter().map(|(action, Use { resources, .. })| (action, resources)).collect();
    let id = cx.random_uuid()?;
    let generation = Generation { id: id.clone(), principal_arn, started_ms: cx.now.0, from_ms, to_ms, trails, is_complete, uses };
    cx.tx.put(&key(cx, &id), &generation)?;
    Ok(StartPolicyGenerationOutput { job_id: id })
}

/// One statement for each service; with placeholders one for each set of resources.
fn document(generation: &Generation, with_resources: bool) -> String {
    let mut groups: BTreeMap<(String, Vec<String>), Vec<&str>> = BTreeMap::new();
    for (action, resources) in &generation.uses {
        let prefix = action.split(':').next().unwrap_or_default().to_owned();
        let mut all: Vec<String> = resources.iter().filter(|_| with_resources).map(|resource| placeholder(resource)).collect();
        all.sort_unstable();
        all.dedup();
        if all.is_empty() {
            all.push("*".to_owned());
        }
        let resources = all;
        groups.entry((prefix, resources)).or_default().push(action);
    }
    let statements: Vec<serde_json::Value> = groups
        .into_iter()
        .map(|((_, resources), actions)| {
            let resource = if resources.len() == 1 { json!(resources.first()) } else { json!(resources) };
            json!({ "Effect": "Allow", "Action": actions, "Resource": resource })
        })
        .collect();
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

/// The template of a resource's ARN, as the service authorization data writes it.
fn placeholder(arn: &str) -> String {
    let Some(prefix) = arn.split(':').nth(2) else { return arn.to_owned() };
    let catalog = facts::catalog();
    let services = catalog.heads().iter().filter(|head| head.iam_prefix == prefix).filter_map(|head| catalog.service(head.id));
    let templates = services
        .flat_map(|service| &service.operations)
        .flat_map(|operation| &operation.authorizations)
        .flat_map(|authorization| &authorization.resources);
    let template =
        templates.filter(|binding| binding.arn.matches(arn)).map(|binding| binding.arn.text).min_by_key(|text| text.matches("${").count());
    template.map_or_else(|| arn.to_owned(), |text| text.replace("${Partition}", plane::PARTITION))
}

pub(crate) async fn get_generated_policy(cx: &mut Call, input: GetGeneratedPolicyInput) -> Result<GetGeneratedPolicyOutput, ApiError> {
    let found = cx.tx.get::<Generation>(&key(cx, &input.job_id)).await?;
    let Some(generation) = found else {
        return Err(AnalyzerError::invalid("jobId", format!("The job {} does not exist.", input.job_id)).into());
    };
    let policy = document(&generation, input.include_resource_placeholders == Some(true));
    let trail = |trail: &NamedTrail| TrailProperties {
        cloud_trail_arn: trail.arn.clone(),
        regions: trail.regions.clone(),
        all_regions: trail.all_regions,
    };
    Ok(GetGeneratedPolicyOutput {
        job_details: JobDetails {
            job_id: generation.id.clone(),
            status: JobStatus::Succeeded,
            started_on: Timestamp(generation.started_ms),
            completed_on: Some(Timestamp(generation.started_ms)),
            job_error: None,
        },
        generated_policy_result: GeneratedPolicyResult {
            properties: GeneratedPolicyProperties {
                is_complete: Some(generation.is_complete),
                principal_arn: generation.principal_arn.clone(),
                cloud_trail_properties: Some(CloudTrailProperties {
                    trail_properties: generation.trails.iter().map(trail).collect(),
                    start_time: Timestamp(generation.from_ms),
                    end_time: Timestamp(generation.to_ms),
                }),
            },
            generated_policies: Some(if generation.uses.is_empty() { Vec::new() } else { vec![GeneratedPolicy { policy }] }),
        },
    })
}

pub(crate) async fn list_policy_generations(
    cx: &mut Call,
    input: ListPolicyGenerationsInput,
) -> Result<ListPolicyGenerationsOutput, ApiError> {
    let prefix = Key::new(&cx.account, &cx.region);
    let rows = cx.tx.scan::<Generation>(&prefix, None, plane::transaction::SCAN_LIMIT).await?;
    let wanted = input.principal_arn.as_deref();
    let jobs: Vec<Generation> = rows
        .into_iter()
        .map(|(_, generation)| generation)
        .filter(|generation| wanted.is_none_or(|wanted| generation.principal_arn == wanted))
        .collect();
    let page = paged::cut(cx, jobs, |job| job.id.clone(), wanted.unwrap_or_default(), input.next_token.as_deref(), input.max_results)?;
    let summary = |job: &Generation| PolicyGeneration {
        job_id: job.id.clone(),
        principal_arn: job.principal_arn.clone(),
        status: JobStatus::Succeeded,
        started_on: Timestamp(job.started_ms),
        completed_on: Some(Timestamp(job.started_ms)),
    };
    Ok(ListPolicyGenerationsOutput { policy_generations: page.items.iter().map(summary).collect(), next_token: page.next })
}

/// A job is finished when it is known; there is nothing to stop.
pub(crate) async fn cancel_policy_generation(
    cx: &mut Call,
    input: CancelPolicyGenerationInput,
) -> Result<CancelPolicyGenerationOutput, ApiError> {
    let known = cx.tx.get::<Generation>(&key(cx, &input.job_id)).await?.is_some();
    if !known {
        return Err(AnalyzerError::invalid("jobId", format!("The job {} does not exist.", input.job_id)).into());
    }
    Ok(CancelPolicyGenerationOutput {})
}
