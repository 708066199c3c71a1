//! Tags of guardrails, automated reasoning policies, inference profiles, provisioned throughput, imported and custom models, deployments,
//! asynchronous invocations and batch jobs.

use api_bedrock::{
    ListTagsForResourceInput, ListTagsForResourceOutput, Tag, TagResourceInput, TagResourceOutput, UntagResourceInput, UntagResourceOutput,
};
use plane::service::ResourceAccess;
use plane::tag::{TagViolation, merge, remove};
use plane::{ApiError, Call, Key, Record, Transaction};

use crate::batch::job::BatchJob;
use crate::customization::deployment::Deployment;
use crate::customization::model::{BROUGHT, CustomModel};
use crate::guardrail::{Draft, draft_key, id_of};
use crate::imported_model::ImportedModel;
use crate::inference_profile::Profile;
use crate::provisioned_throughput::Provisioned;
use crate::reasoning::{self, ReasoningPolicy};
use crate::refusal::Refusal;
use crate::runtime::async_invoke::AsyncInvocation;

fn violation(violation: &TagViolation) -> Refusal {
    match violation {
        TagViolation::TooMany => Refusal::TooManyTags(violation.to_string()),
        TagViolation::Duplicate(_) | TagViolation::Reserved(_) => Refusal::invalid(violation.to_string()),
    }
}

fn checked(given: Vec<(String, String)>) -> Result<Vec<(String, String)>, Refusal> {
    let mut kept = Vec::new();
    merge(&mut kept, given).map_err(|error| violation(&error))?;
    Ok(kept)
}

/// Pairs of tags that keep the rules.
pub(crate) fn pairs(tags: Option<Vec<Tag>>) -> Result<Vec<(String, String)>, Refusal> {
    checked(tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect())
}

/// As [`pairs`], for the runtime's type.
pub(crate) fn runtime_pairs(tags: Option<Vec<api_bedrock_runtime::Tag>>) -> Result<Vec<(String, String)>, Refusal> {
    checked(tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect())
}

/// A record with tags.
trait Tagged: Record {
    fn tags(&mut self) -> &mut Vec<(String, String)>;
}

macro_rules! tagged {
    ($($record:ty),*) => { $(impl Tagged for $record {
        fn tags(&mut self) -> &mut Vec<(String, String)> {
            &mut self.tags
        }
    })* };
}

tagged!(Draft, ReasoningPolicy, Profile, Provisioned, ImportedModel, AsyncInvocation, BatchJob, CustomModel, Deployment);

/// What a tag call does.
enum Change {
    List,
    Add(Vec<(String, String)>),
    Remove(Vec<String>),
}

async fn apply<R: Tagged>(tx: &mut Transaction, key: &Key, change: Change) -> Result<Option<Vec<(String, String)>>, ApiError> {
    let Some(mut record) = tx.get::<R>(key).await? else { return Ok(None) };
    match change {
        Change::List => return Ok(Some(std::mem::take(record.tags()))),
        Change::Add(given) => merge(record.tags(), given).map_err(|error| violation(&error))?,
        Change::Remove(names) => remove(record.tags(), &names),
    }
    tx.put(key, &record)?;
    Ok(Some(std::mem::take(record.tags())))
}

/// Type and id in an ARN of the account and region.
fn parts<'a>(account: &str, region: &str, arn: &'a str) -> Option<(&'a str, &'a str)> {
    arn.strip_prefix(&format!("arn:{}:bedrock:{region}:{account}:", plane::PARTITION))?.split_once('/')
}

async fn at(
    tx: &mut Transaction,
    account: &str,
    region: &str,
    arn: &str,
    change: Change,
) -> Result<Option<Vec<(String, String)>>, ApiError> {
    let Some((kind, id)) = parts(account, region, arn) else { return Ok(None) };
    match kind {
        "guardrail" => match id_of(region, account, arn) {
            Some(id) => apply::<Draft>(tx, &draft_key(account, region, id), change).await,
            None => Ok(None),
        },
        "automated-reasoning-policy" => apply::<ReasoningPolicy>(tx, &reasoning::policy_key(account, region, id), change).await,
        "application-inference-profile" => apply::<Profile>(tx, &Profile::key(account, region, id), change).await,
        "provisioned-model" => apply::<Provisioned>(tx, &Provisioned::key(account, region, id), change).await,
        "imported-model" => apply::<ImportedModel>(tx, &ImportedModel::key(account, region, id), change).await,
        "custom-model" => match id.strip_prefix(BROUGHT) {
            Some(id) => apply::<CustomModel>(tx, &CustomModel::key(account, region, id), change).await,
            None => Ok(None),
        },
        "custom-model-deployment" => apply::<Deployment>(tx, &Deployment::key(account, region, id), change).await,
        "model-invocation-job" => apply::<BatchJob>(tx, &BatchJob::key(account, region, id), change).await,
        "async-invoke" => apply::<AsyncInvocation>(tx, &AsyncInvocation::key(account, region, id), change).await,
        _ => Ok(None),
    }
}

/// Owner and tags of a resource other than a guardrail, for the decision about a call.
pub(crate) async fn access(tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
    let mut fields = arn.splitn(6, ':').skip(4);
    let (Some(account), Some(resource)) = (fields.next(), fields.next()) else { return Ok(None) };
    let resource_type = match resource.split_once('/').map(|(kind, _)| kind) {
        Some("application-inference-profile") => "AWS::Bedrock::ApplicationInferenceProfile",
        Some("provisioned-model") => "AWS::Bedrock::ProvisionedModelThroughput",
        Some("imported-model") => "AWS::Bedrock::ImportedModel",
        Some("custom-model") => "AWS::Bedrock::CustomModel",
        Some("custom-model-deployment") => "AWS::Bedrock::CustomModelDeployment",
        Some("model-invocation-job") => "AWS::Bedrock::ModelInvocationJob",
        Some("async-invoke") => "AWS::Bedrock::AsyncInvoke",
        _ => return Ok(None),
    };
    let tags = at(tx, account, region, arn, Change::List).await?.unwrap_or_default();
    Ok(Some(ResourceAccess { account: account.to_owned(), tags, resource_type: Some(resource_type), ..ResourceAccess::default() }))
}

async fn change(cx: &mut Call, arn: &str, change: Change) -> Result<Vec<(String, String)>, ApiError> {
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let found = at(&mut cx.tx, &account, &region, arn, change).await?;
    Ok(found.ok_or_else(|| Refusal::Resource(arn.to_owned()))?)
}

pub(crate) async fn list_tags_for_resource(cx: &mut Call, input: ListTagsForResourceInput) -> Result<ListTagsForResourceOutput, ApiError> {
    let tags = change(cx, &input.resource_arn, Change::List).await?;
    Ok(ListTagsForResourceOutput { tags: Some(tags.into_iter().map(|(key, value)| Tag { key, value }).collect()) })
}

pub(crate) async fn tag_resource(cx: &mut Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
    let given = input.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    change(cx, &input.resource_arn, Change::Add(given)).await?;
    Ok(TagResourceOutput {})
}

pub(crate) async fn untag_resource(cx: &mut Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
    change(cx, &input.resource_arn, Change::Remove(input.tag_keys)).await?;
    Ok(UntagResourceOutput {})
}
