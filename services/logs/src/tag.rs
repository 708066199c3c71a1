//! Tags of log groups, by the older and the newer operations.

use std::collections::BTreeMap;

use api_logs::{
    ListTagsForResourceInput, ListTagsForResourceOutput, ListTagsLogGroupInput, ListTagsLogGroupOutput, TagLogGroupInput,
    TagLogGroupOutput, TagResourceInput, TagResourceOutput, UntagLogGroupInput, UntagLogGroupOutput, UntagResourceInput,
    UntagResourceOutput,
};
use plane::tag::{self, TagViolation};
use plane::{ApiError, Call};

use crate::error::LogsError;
use crate::log_group::{self, LogGroupRecord};

pub(crate) type Tags = Vec<(String, String)>;

fn violation(violation: &TagViolation) -> LogsError {
    match violation {
        TagViolation::TooMany => LogsError::TooManyTags,
        other => LogsError::Parameter(other.to_string()),
    }
}

/// Tags of a request, checked.
pub(crate) fn from_map(map: BTreeMap<String, String>) -> Result<Tags, ApiError> {
    let mut tags = Tags::new();
    tag::merge(&mut tags, map.into_iter().collect()).map_err(|error| violation(&error))?;
    Ok(tags)
}

fn add(cx: &mut Call, mut group: LogGroupRecord, tags: BTreeMap<String, String>) -> Result<(), ApiError> {
    tag::merge(&mut group.tags, tags.into_iter().collect()).map_err(|error| violation(&error))?;
    log_group::save(cx, &group)
}

fn remove(cx: &mut Call, mut group: LogGroupRecord, keys: &[String]) -> Result<(), ApiError> {
    tag::remove(&mut group.tags, keys);
    log_group::save(cx, &group)
}

/// The group that an ARN names; other resources have no tags here.
async fn group_of(cx: &mut Call, arn: &str) -> Result<LogGroupRecord, ApiError> {
    if log_group::parse_group_arn(arn).is_none() {
        return Err(LogsError::ResourceMissing.into());
    }
    let name = log_group::name_of(cx, arn)?;
    log_group::load(cx, &name).await
}

pub(crate) async fn tag_log_group(cx: &mut Call, input: TagLogGroupInput) -> Result<TagLogGroupOutput, ApiError> {
    let group = log_group::load(cx, &input.log_group_name).await?;
    add(cx, group, input.tags)?;
    Ok(TagLogGroupOutput {})
}

pub(crate) async fn untag_log_group(cx: &mut Call, input: UntagLogGroupInput) -> Result<UntagLogGroupOutput, ApiError> {
    let group = log_group::load(cx, &input.log_group_name).await?;
    remove(cx, group, &input.tags)?;
    Ok(UntagLogGroupOutput {})
}

pub(crate) async fn list_tags_log_group(cx: &mut Call, input: ListTagsLogGroupInput) -> Result<ListTagsLogGroupOutput, ApiError> {
    let group = log_group::load(cx, &input.log_group_name).await?;
    Ok(ListTagsLogGroupOutput { tags: Some(group.tags.into_iter().collect()) })
}

pub(crate) async fn tag_resource(cx: &mut Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
    let group = group_of(cx, &input.resource_arn).await?;
    add(cx, group, input.tags)?;
    Ok(TagResourceOutput {})
}

pub(crate) async fn untag_resource(cx: &mut Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
    let group = group_of(cx, &input.resource_arn).await?;
    remove(cx, group, &input.tag_keys)?;
    Ok(UntagResourceOutput {})
}

pub(crate) async fn list_tags_for_resource(cx: &mut Call, input: ListTagsForResourceInput) -> Result<ListTagsForResourceOutput, ApiError> {
    let group = group_of(cx, &input.resource_arn).await?;
    Ok(ListTagsForResourceOutput { tags: Some(group.tags.into_iter().collect()) })
}
