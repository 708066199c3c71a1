//! Asynchronous invocations: the answer goes into the caller's bucket.
//!
//! Source: Bedrock API reference, `StartAsyncInvoke`. The invocation is kept with the call; a task of this process does it at once, and
//! background work does what a process left behind when it ended. Both claim it first, so it is done by one at a time. The object is put as
//! the caller, with the caller's rights as they are then.

use std::sync::Arc;
use std::time::Duration;

use api_bedrock_runtime::{
    AsyncInvokeOutputDataConfig, AsyncInvokeS3OutputDataConfig, AsyncInvokeStatus, AsyncInvokeSummary, GetAsyncInvokeInput,
    GetAsyncInvokeOutput, InvokeModelInput, ListAsyncInvokesInput, ListAsyncInvokesOutput, SortOrder, StartAsyncInvokeInput,
    StartAsyncInvokeOutput,
};
use bytes::Bytes;
use plane::transaction::{Abort, SCAN_LIMIT};
use plane::{ApiError, Call, Key, Plane, Principal, Record, Scope, authorize};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::{FromValue as _, Secret, Struct, Timestamp, Value};

use crate::inference_profile::{ID_ALPHABET, ID_LENGTH};
use crate::invocation_log::SERVICE_PRINCIPAL;
use crate::model::{self, resource_arn};
use crate::refusal::{Refusal, of_page};
use crate::s3_data::Folder;
use crate::tag;

const PAGE_LENGTH: usize = 100;
const KIND: &str = "async-invoke";
/// Who claimed an invocation is believed to work on it for this long.
const CLAIM_MS: i64 = 15 * 60 * 1000;
/// How long a task waits for the commit of its call: looks, and the time between two.
const LOOKS: u32 = 500;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Runs of a write before background work takes over.
const ATTEMPTS: u32 = 8;

/// An invocation.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AsyncInvocation {
    pub(crate) id: String,
    account: String,
    region: String,
    model_id: String,
    /// Sealed with the record, like everything in the store; gone when it is done.
    body: Option<serde_json::Value>,
    s3_uri: String,
    kms_key_id: Option<String>,
    principal: Principal,
    client_request_token: Option<String>,
    pub(crate) tags: Vec<(String, String)>,
    submitted_ms: i64,
    updated_ms: i64,
    ended_ms: Option<i64>,
    failure: Option<String>,
    /// Nobody else works on it before.
    claimed_until_ms: i64,
}

impl Record for AsyncInvocation {
    const TABLE: Table = Table("bedrock-async-invoke");
    const SCOPE: Scope = Scope::Region;
}

/// Names the invocations that are not done, so that background work need not look through all.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Due {
    account: String,
    id: String,
}

impl Record for Due {
    const TABLE: Table = Table("bedrock-async-invoke-due");
    const SCOPE: Scope = Scope::Region;
}

impl AsyncInvocation {
    pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    fn due_key(region: &str, id: &str) -> Key {
        Key::new("", region).last(id)
    }

    fn arn(&self) -> String {
        resource_arn(&self.region, &self.account, KIND, &self.id)
    }

    fn model_arn(&self) -> String {
        if self.model_id.starts_with("arn:") { self.model_id.clone() } else { model::foundation_model_arn(&self.region, &self.model_id) }
    }

    fn status(&self) -> AsyncInvokeStatus {
        match (self.ended_ms, &self.failure) {
            (None, _) => AsyncInvokeStatus::InProgress,
            (Some(_), None) => AsyncInvokeStatus::Completed,
            (Some(_), Some(_)) => AsyncInvokeStatus::Failed,
        }
    }

    fn output(&self) -> AsyncInvokeOutputDataConfig {
        AsyncInvokeOutputDataConfig::S3OutputDataConfig(AsyncInvokeS3OutputDataConfig {
            s3_uri: self.s3_uri.clone(),
            kms_key_id: self.kms_key_id.clone(),
            bucket_owner: None,
        })
    }

    fn summary(&self) -> AsyncInvokeSummary {
        AsyncInvokeSummary {
            invocation_arn: self.arn(),
            model_arn: self.model_arn(),
            client_request_token: self.client_request_token.clone(),
            status: Some(self.status()),
            failure_message: self.failure.clone().map(Secret::new),
            submit_time: Timestamp(self.submitted_ms),
            last_modified_time: Some(Timestamp(self.updated_ms)),
            end_time: self.ended_ms.map(Timestamp),
            output_data_config: self.output(),
        }
    }
}

pub(crate) async fn start_async_invoke(cx: &mut Call, input: StartAsyncInvokeInput) -> Result<StartAsyncInvokeOutput, ApiError> {
    let AsyncInvokeOutputDataConfig::S3OutputDataConfig(target) = input.output_data_config else {
        return Err(Refusal::invalid("The output data configuration names no S3 location.").into());
    };
    let folder = Folder::parse(&target.s3_uri)?;
    if target.bucket_owner.is_some_and(|owner| owner != cx.account) {
        return Err(Refusal::unsupported("a bucket of another account").into());
    }
    let state = super::state(cx)?;
    model::resolve(cx, &state, &input.model_id).await?;
    // Who may not write the answer learns it now and not from a failed invocation.
    let object = format!("arn:{}:s3:::{}/{}", plane::PARTITION, folder.bucket, folder.key("output.json"));
    if let Some(refusal) = authorize::check(cx, "s3:PutObject", &object).await? {
        return Err(refusal);
    }
    let id = if let Some(id) = cx.recall::<String>("id") {
        id
    } else {
        let id = cx.random_id(ID_ALPHABET, ID_LENGTH)?;
        cx.remember("id", id.clone());
        let (plane, region, account, id_of_task) = (Arc::clone(&cx.plane), cx.region.clone(), cx.account.clone(), id.clone());
        tokio::spawn(async move { run_when_committed(&plane, &account, &region, &id_of_task).await });
        id
    };
    let invocation = AsyncInvocation {
        id: id.clone(),
        account: cx.account.clone(),
        region: cx.region.clone(),
        model_id: input.model_id,
        body: Some(input.model_input.into_inner()),
        s3_uri: target.s3_uri,
        kms_key_id: target.kms_key_id,
        principal: cx.principal.as_ref().clone(),
        client_request_token: input.client_request_token,
        tags: tag::runtime_pairs(input.tags)?,
        submitted_ms: cx.now.0,
        updated_ms: cx.now.0,
        ended_ms: None,
        failure: None,
        claimed_until_ms: 0,
    };
    cx.tx.put(&AsyncInvocation::key(&cx.account, &cx.region, &id), &invocation)?;
    cx.tx.put(&AsyncInvocation::due_key(&cx.region, &id), &Due { account: cx.account.clone(), id })?;
    Ok(StartAsyncInvokeOutput { invocation_arn: invocation.arn() })
}

async fn run_when_committed(plane: &Arc<Plane>, account: &str, region: &str, id: &str) {
    let position = plane.regions.position(region).unwrap_or_default();
    let key = AsyncInvocation::key(account, region, id);
    for _ in 0..LOOKS {
        tokio::time::sleep(LOOK_EVERY).await;
        match plane.transaction(position).get::<AsyncInvocation>(&key).await {
            Ok(Some(_)) => {
                if let Err(error) = run(plane, position, account, id).await {
                    tracing::warn!(%error, "an asynchronous invocation is left to background work");
                }
                return;
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "an asynchronous invocation cannot be looked for"),
        }
    }
}

/// Does what is due in a region: invocations that a process left behind.
pub(crate) async fn run_due(plane: &Arc<Plane>, position: usize) -> Result<(), ApiError> {
    let region = plane.regions.at(position)?.name.clone();
    let due = plane.transaction(position).scan::<Due>(&Key::new("", &region), None, SCAN_LIMIT).await?;
    for (_, Due { account, id }) in due {
        run(plane, position, &account, &id).await?;
    }
    Ok(())
}

/// Claims an invocation, does it, and writes how it ended. Nothing happens when somebody else has claimed it.
async fn run(plane: &Arc<Plane>, position: usize, account: &str, id: &str) -> Result<(), ApiError> {
    let region = plane.regions.at(position)?.name.clone();
    let key = AsyncInvocation::key(account, &region, id);
    let mut tx = plane.transaction(position);
    let Some(mut invocation) = tx.get::<AsyncInvocation>(&key).await? else { return Ok(()) };
    let now_ms = plane.clock.now_ms();
    if invocation.ended_ms.is_some() || invocation.claimed_until_ms > now_ms {
        return Ok(());
    }
    invocation.claimed_until_ms = now_ms.saturating_add(CLAIM_MS);
    tx.put(&key, &invocation)?;
    match tx.commit(Vec::new()).await {
        Ok(()) => {}
        Err(Abort::Conflict) => return Ok(()),
        Err(Abort::Failed(error)) => return Err(error),
    }
    let failure = work(plane, &invocation).await.err().map(|error| error.message);
    for _ in 0..ATTEMPTS {
        let mut tx = plane.transaction(position);
        let Some(mut current) = tx.get::<AsyncInvocation>(&key).await? else { return Ok(()) };
        let now_ms = plane.clock.now_ms();
        current.updated_ms = now_ms;
        current.ended_ms = Some(now_ms);
        current.failure.clone_from(&failure);
        current.body = None;
        tx.put(&key, &current)?;
        tx.delete::<Due>(&AsyncInvocation::due_key(&region, id));
        match tx.commit(Vec::new()).await {
            Ok(()) => return Ok(()),
            Err(Abort::Conflict) => {}
            Err(Abort::Failed(error)) => return Err(error),
        }
    }
    Err(ApiError::internal(&"the end of an asynchronous invocation could not be written"))
}

/// Invokes the model and puts the answer, both as the caller.
async fn work(plane: &Arc<Plane>, invocation: &AsyncInvocation) -> Result<(), ApiError> {
    let principal = Arc::new(invocation.principal.clone());
    let body = serde_json::to_vec(invocation.body.as_ref().unwrap_or(&serde_json::Value::Null))?;
    let mut input = Struct::new();
    input.set("modelId", Value::Str(invocation.model_id.clone()));
    input.set("body", Value::Bytes(Bytes::from(body)));
    let input = InvokeModelInput::from_value(Value::Struct(input)).map_err(|error| ApiError::internal(&error))?;
    let (answer, _) = plane.call_as_principal(Arc::clone(&principal), SERVICE_PRINCIPAL, &invocation.region, input, None).await?;
    let folder = Folder::parse(&invocation.s3_uri)?;
    let mut put = Struct::new();
    let mut set = |name: &'static str, value: &str| put.set(name, Value::Str(value.to_owned()));
    set("Bucket", &folder.bucket);
    set("Key", &folder.key(&format!("{}/output.json", invocation.id)));
    set("ContentType", "application/json");
    if let Some(key) = &invocation.kms_key_id {
        set("ServerSideEncryption", "aws:kms");
        set("SSEKMSKeyId", key);
    }
    let put = api_s3::PutObjectInput::from_value(Value::Struct(put)).map_err(|error| ApiError::internal(&error))?;
    let content = answer.body.into_inner();
    plane.call_as_principal(principal, SERVICE_PRINCIPAL, &invocation.region, put, Some(content)).await.map(drop)
}

pub(crate) async fn get_async_invoke(cx: &mut Call, input: GetAsyncInvokeInput) -> Result<GetAsyncInvokeOutput, ApiError> {
    let missing = || Refusal::invalid(format!("The invocation `{}` does not exist.", input.invocation_arn));
    let prefix = resource_arn(&cx.region, &cx.account, KIND, "");
    let id = input.invocation_arn.strip_prefix(&prefix).ok_or_else(missing)?;
    let key = AsyncInvocation::key(&cx.account, &cx.region, id);
    let summary = cx.tx.get::<AsyncInvocation>(&key).await?.ok_or_else(missing)?.summary();
    Ok(GetAsyncInvokeOutput {
        invocation_arn: summary.invocation_arn,
        model_arn: summary.model_arn,
        client_request_token: summary.client_request_token,
        status: summary.status.unwrap_or(AsyncInvokeStatus::InProgress),
        failure_message: summary.failure_message,
        submit_time: summary.submit_time,
        last_modified_time: summary.last_modified_time,
        end_time: summary.end_time,
        output_data_config: summary.output_data_config,
    })
}

pub(crate) async fn list_async_invokes(cx: &mut Call, input: ListAsyncInvokesInput) -> Result<ListAsyncInvokesOutput, ApiError> {
    let rows = cx.tx.scan::<AsyncInvocation>(&Key::new(&cx.account, &cx.region), None, SCAN_LIMIT).await?;
    let ascending = input.sort_order == Some(SortOrder::Ascending);
    let is_wanted = |invocation: &AsyncInvocation| {
        input.submit_time_after.is_none_or(|after| invocation.submitted_ms > after.0)
            && input.submit_time_before.is_none_or(|before| invocation.submitted_ms < before.0)
            && input.status_equals.as_ref().is_none_or(|status| *status == invocation.status())
    };
    let mut items: Vec<(String, AsyncInvokeSummary)> = rows
        .into_iter()
        .map(|(_, invocation)| invocation)
        .filter(is_wanted)
        .map(|invocation| {
            let place = if ascending { invocation.submitted_ms } else { i64::MAX - invocation.submitted_ms };
            (format!("{place:020}{}", invocation.id), invocation.summary())
        })
        .collect();
    items.sort_by(|one, other| one.0.cmp(&other.0));
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page = cx.page(items, |(key, _)| key.clone(), "", input.next_token.as_deref(), limit).map_err(of_page)?;
    let summaries = page.items.into_iter().map(|(_, summary)| summary).collect();
    Ok(ListAsyncInvokesOutput { next_token: page.next, async_invoke_summaries: Some(summaries) })
}
