//! The record of a batch inference job, and the operations on it.
//!
//! Source: Bedrock API reference, `CreateModelInvocationJob`, `GetModelInvocationJob`, `ListModelInvocationJobs` and `StopModelInvocationJob`.

use std::sync::Arc;

use api_bedrock::{
    CreateModelInvocationJobInput, CreateModelInvocationJobOutput, GetModelInvocationJobInput, GetModelInvocationJobOutput,
    ListModelInvocationJobsInput, ListModelInvocationJobsOutput, ModelInvocationJobInputDataConfig, ModelInvocationJobOutputDataConfig,
    ModelInvocationJobS3InputDataConfig, ModelInvocationJobS3OutputDataConfig, ModelInvocationJobStatus, ModelInvocationJobSummary,
    ModelInvocationType, S3InputFormat, SortOrder, StopModelInvocationJobInput, StopModelInvocationJobOutput,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::{Secret, Timestamp};

use super::run;
use crate::inference_profile::{ID_ALPHABET, ID_LENGTH};
use crate::model::{self, Named, resource_arn};
use crate::refusal::{Refusal, of_page};
use crate::runtime;
use crate::s3_data::{Folder, Role};
use crate::tag;

const PAGE_LENGTH: usize = 100;
const KIND: &str = "model-invocation-job";
/// Jobs of a model that are submitted or in progress. Source: AWS General Reference, "Amazon Bedrock endpoints and quotas".
const UNDER_WAY_MAX: usize = 20;
const HOUR_MS: i64 = 3_600_000;
const TIMEOUT_HOURS: i32 = 24;

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stage {
    Submitted,
    Validating,
    Scheduled,
    InProgress,
    Stopping,
    Stopped,
    Completed,
    PartiallyCompleted,
    Failed,
    Expired,
}

impl Stage {
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::Stopped | Self::Completed | Self::PartiallyCompleted | Self::Failed | Self::Expired)
    }

    fn status(self) -> ModelInvocationJobStatus {
        match self {
            Self::Submitted => ModelInvocationJobStatus::Submitted,
            Self::Validating => ModelInvocationJobStatus::Validating,
            Self::Scheduled => ModelInvocationJobStatus::Scheduled,
            Self::InProgress => ModelInvocationJobStatus::InProgress,
            Self::Stopping => ModelInvocationJobStatus::Stopping,
            Self::Stopped => ModelInvocationJobStatus::Stopped,
            Self::Completed => ModelInvocationJobStatus::Completed,
            Self::PartiallyCompleted => ModelInvocationJobStatus::PartiallyCompleted,
            Self::Failed => ModelInvocationJobStatus::Failed,
            Self::Expired => ModelInvocationJobStatus::Expired,
        }
    }
}

/// A place in S3, with the account that its bucket must belong to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) uri: String,
    pub(crate) owner: Option<String>,
}

/// Records of a job, and the tokens of those that were answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) total: u64,
    pub(crate) processed: u64,
    pub(crate) success: u64,
    pub(crate) error: u64,
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
}

/// A file of records, as it was when it was validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InputFile {
    pub(crate) key: String,
    /// The key without the place's prefix.
    pub(crate) name: String,
    pub(crate) etag: Option<String>,
}

/// A job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BatchJob {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) role_arn: String,
    pub(crate) model_id: String,
    pub(crate) is_converse: bool,
    pub(crate) input: Place,
    pub(crate) output: Place,
    pub(crate) kms_key: Option<String>,
    timeout_hours: i32,
    client_request_token: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    submitted_ms: i64,
    pub(crate) updated_ms: i64,
    pub(crate) ended_ms: Option<i64>,
    pub(crate) stage: Stage,
    pub(crate) message: Option<String>,
    pub(crate) counts: Counts,
    /// `None` until the input is validated.
    pub(crate) files: Option<Vec<InputFile>>,
    /// The file and the record in it that come next.
    pub(crate) next: (usize, usize),
    /// Who works on it, and until when that is believed.
    pub(crate) holder: Option<String>,
    pub(crate) held_until_ms: i64,
}

impl Record for BatchJob {
    const TABLE: Table = Table("bedrock-batch-job");
    const SCOPE: Scope = Scope::Region;
}

/// Names the jobs that are not over, so that background work need not look through all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DueJob {
    pub(crate) account: String,
    pub(crate) id: String,
}

impl Record for DueJob {
    const TABLE: Table = Table("bedrock-batch-job-due");
    const SCOPE: Scope = Scope::Region;
}

impl BatchJob {
    pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    pub(crate) fn due_key(region: &str, id: &str) -> Key {
        Key::new("", region).last(id)
    }

    pub(crate) fn arn(&self) -> String {
        resource_arn(&self.region, &self.account, KIND, &self.id)
    }

    pub(crate) fn expires_ms(&self) -> i64 {
        self.submitted_ms.saturating_add(i64::from(self.timeout_hours).saturating_mul(HOUR_MS))
    }

    fn input_config(&self) -> ModelInvocationJobInputDataConfig {
        ModelInvocationJobInputDataConfig::S3InputDataConfig(ModelInvocationJobS3InputDataConfig {
            s3_input_format: Some(S3InputFormat::Jsonl),
            s3_uri: self.input.uri.clone(),
            s3_bucket_owner: self.input.owner.clone(),
        })
    }

    fn output_config(&self) -> ModelInvocationJobOutputDataConfig {
        ModelInvocationJobOutputDataConfig::S3OutputDataConfig(ModelInvocationJobS3OutputDataConfig {
            s3_uri: self.output.uri.clone(),
            s3_encryption_key_id: self.kms_key.clone(),
            s3_bucket_owner: self.output.owner.clone(),
        })
    }

    fn summary(&self) -> ModelInvocationJobSummary {
        // Before the records are counted there is nothing to tell.
        let count = |number: u64| self.files.as_ref().map(|_| i64::try_from(number).unwrap_or(i64::MAX));
        ModelInvocationJobSummary {
            job_arn: self.arn(),
            job_name: self.name.clone(),
            model_id: self.model_id.clone(),
            client_request_token: self.client_request_token.clone(),
            role_arn: self.role_arn.clone(),
            status: Some(self.stage.status()),
            message: self.message.clone().map(Secret::new),
            submit_time: Timestamp(self.submitted_ms),
            last_modified_time: Some(Timestamp(self.updated_ms)),
            end_time: self.ended_ms.map(Timestamp),
            input_data_config: self.input_config(),
            output_data_config: self.output_config(),
            vpc_config: None,
            timeout_duration_in_hours: Some(self.timeout_hours),
            job_expiration_time: Some(Timestamp(self.expires_ms())),
            model_invocation_type: Some(if self.is_converse { ModelInvocationType::Converse } else { ModelInvocationType::InvokeModel }),
            total_record_count: count(self.counts.total),
            processed_record_count: count(self.counts.processed),
            success_record_count: count(self.counts.success),
            error_record_count: count(self.counts.error),
        }
    }
}

async fn all(cx: &mut Call) -> Result<Vec<BatchJob>, ApiError> {
    let rows = cx.tx.scan::<BatchJob>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, job)| job).collect())
}

pub(crate) async fn create_model_invocation_job(
    cx: &mut Call,
    input: CreateModelInvocationJobInput,
) -> Result<CreateModelInvocationJobOutput, ApiError> {
    let state = runtime::state(cx)?;
    if input.vpc_config.is_some() {
        return Err(Refusal::unsupported("batch inference through a VPC").into());
    }
    let ModelInvocationJobInputDataConfig::S3InputDataConfig(source) = input.input_data_config else {
        return Err(Refusal::invalid("The input data configuration names no S3 location.").into());
    };
    let ModelInvocationJobOutputDataConfig::S3OutputDataConfig(target) = input.output_data_config else {
        return Err(Refusal::invalid("The output data configuration names no S3 location.").into());
    };
    Folder::parse(&source.s3_uri)?;
    Folder::parse(&target.s3_uri)?;
    let is_converse = match &input.model_invocation_type {
        None | Some(ModelInvocationType::InvokeModel) => false,
        Some(ModelInvocationType::Converse) => true,
        Some(ModelInvocationType::Other(other)) => return Err(Refusal::invalid(format!("`{other}` is not an invocation type.")).into()),
    };
    if let Some(S3InputFormat::Other(other)) = &source.s3_input_format {
        return Err(Refusal::invalid(format!("`{other}` is not an input format.")).into());
    }
    let is_profile = |id: &str| state.gateway.profile(id).is_some();
    if matches!(model::parse(&cx.region, &cx.account, &input.model_id, is_profile), Ok(Named::Provisioned(_))) {
        return Err(Refusal::invalid("Batch inference is not supported for provisioned models.").into());
    }
    model::resolve(cx, &state, &input.model_id).await?;
    let tags = tag::pairs(input.tags)?;
    let under_way = all(cx).await?.iter().filter(|job| !job.stage.is_over() && job.model_id == input.model_id).count();
    if under_way >= UNDER_WAY_MAX {
        return Err(Refusal::quota("batch inference jobs of a model that are submitted or in progress", UNDER_WAY_MAX).into());
    }
    let id = if let Some(id) = cx.recall::<String>("batch") {
        id
    } else {
        let id = cx.random_id(ID_ALPHABET, ID_LENGTH)?;
        cx.remember("batch", id.clone());
        id
    };
    let job_arn = resource_arn(&cx.region, &cx.account, KIND, &id);
    Role::assumable(cx, &input.role_arn, &job_arn).await?;
    let job = BatchJob {
        id: id.clone(),
        name: input.job_name,
        account: cx.account.clone(),
        region: cx.region.clone(),
        role_arn: input.role_arn,
        model_id: input.model_id,
        is_converse,
        input: Place { uri: source.s3_uri, owner: source.s3_bucket_owner },
        output: Place { uri: target.s3_uri, owner: target.s3_bucket_owner },
        kms_key: target.s3_encryption_key_id,
        timeout_hours: input.timeout_duration_in_hours.unwrap_or(TIMEOUT_HOURS),
        client_request_token: input.client_request_token,
        tags,
        submitted_ms: cx.now.0,
        updated_ms: cx.now.0,
        ended_ms: None,
        stage: Stage::Submitted,
        message: None,
        counts: Counts::default(),
        files: None,
        next: (0, 0),
        holder: None,
        held_until_ms: 0,
    };
    cx.tx.put(&BatchJob::key(&cx.account, &cx.region, &id), &job)?;
    cx.tx.put(&BatchJob::due_key(&cx.region, &id), &DueJob { account: cx.account.clone(), id: id.clone() })?;
    if cx.recall::<()>("begun").is_none() {
        cx.remember("begun", ());
        run::begin(Arc::clone(&cx.plane), cx.region.clone(), cx.account.clone(), id);
    }
    Ok(CreateModelInvocationJobOutput { job_arn: job.arn() })
}

/// A job by its id or ARN.
async fn find(cx: &mut Call, identifier: &str) -> Result<BatchJob, ApiError> {
    let prefix = resource_arn(&cx.region, &cx.account, KIND, "");
    let missing = || Refusal::Resource(identifier.to_owned());
    let id = match identifier.strip_prefix(&prefix) {
        Some(id) => id,
        None if identifier.starts_with("arn:") => return Err(missing().into()),
        None => identifier,
    };
    let key = BatchJob::key(&cx.account, &cx.region, id);
    Ok(cx.tx.get::<BatchJob>(&key).await?.ok_or_else(missing)?)
}

pub(crate) async fn get_model_invocation_job(
    cx: &mut Call,
    input: GetModelInvocationJobInput,
) -> Result<GetModelInvocationJobOutput, ApiError> {
    let job = find(cx, &input.job_identifier).await?.summary();
    Ok(GetModelInvocationJobOutput {
        job_arn: job.job_arn,
        job_name: Some(job.job_name),
        model_id: job.model_id,
        client_request_token: job.client_request_token,
        role_arn: job.role_arn,
        status: job.status,
        message: job.message,
        submit_time: job.submit_time,
        last_modified_time: job.last_modified_time,
        end_time: job.end_time,
        input_data_config: job.input_data_config,
        output_data_config: job.output_data_config,
        vpc_config: None,
        timeout_duration_in_hours: job.timeout_duration_in_hours,
        job_expiration_time: job.job_expiration_time,
        model_invocation_type: job.model_invocation_type,
        total_record_count: job.total_record_count,
        processed_record_count: job.processed_record_count,
        success_record_count: job.success_record_count,
        error_record_count: job.error_record_count,
    })
}

pub(crate) async fn list_model_invocation_jobs(
    cx: &mut Call,
    input: ListModelInvocationJobsInput,
) -> Result<ListModelInvocationJobsOutput, ApiError> {
    let ascending = input.sort_order == Some(SortOrder::Ascending);
    let is_wanted = |job: &BatchJob| {
        input.submit_time_after.is_none_or(|after| job.submitted_ms > after.0)
            && input.submit_time_before.is_none_or(|before| job.submitted_ms < before.0)
            && input.status_equals.as_ref().is_none_or(|status| *status == job.stage.status())
            && input.name_contains.as_ref().is_none_or(|part| job.name.contains(part.as_str()))
    };
    let mut items: Vec<(String, ModelInvocationJobSummary)> = all(cx)
        .await?
        .into_iter()
        .filter(is_wanted)
        .map(|job| {
            let place = if ascending { job.submitted_ms } else { i64::MAX - job.submitted_ms };
            (format!("{place:020}{}", job.id), job.summary())
        })
        .collect();
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(items, |(key, _)| key.clone(), "", input.next_token.as_deref(), limit).map_err(of_page)?;
    let summaries = page.items.into_iter().map(|(_, summary)| summary).collect();
    Ok(ListModelInvocationJobsOutput { next_token: page.next, invocation_job_summaries: Some(summaries) })
}

pub(crate) async fn stop_model_invocation_job(
    cx: &mut Call,
    input: StopModelInvocationJobInput,
) -> Result<StopModelInvocationJobOutput, ApiError> {
    let mut job = find(cx, &input.job_identifier).await?;
    if job.stage.is_over() {
        let message = format!("The job `{}` cannot be stopped: its status is {}.", job.id, job.stage.status().as_str());
        return Err(Refusal::Conflict(message).into());
    }
    if job.stage != Stage::Stopping {
        // Whoever works on it sees this with its next look, and writes what there is.
        job.stage = Stage::Stopping;
        job.updated_ms = cx.now.0;
        cx.tx.put(&BatchJob::key(&cx.account, &cx.region, &job.id), &job)?;
    }
    Ok(StopModelInvocationJobOutput {})
}
