//! Tags of trails.

use api_cloudtrail::{AddTagsInput, AddTagsOutput, ListTagsInput, ListTagsOutput, RemoveTagsInput, RemoveTagsOutput, ResourceTag, Tag};
use plane::tag::TagViolation;
use plane::{ApiError, Call};

use crate::error::TrailError;
use crate::lake;
use crate::trail::{self, Trail};

fn violation(violation: TagViolation) -> TrailError {
    match violation {
        TagViolation::Duplicate(_) => TrailError::Tags("Tag keys must be unique."),
        TagViolation::Reserved(_) => TrailError::Tags("Tag keys cannot begin with aws:."),
        TagViolation::TooMany => TrailError::TooManyTags,
    }
}

/// Tags of a request, if they keep the rules.
pub(crate) fn checked(tags: Vec<Tag>) -> Result<Vec<(String, String)>, TrailError> {
    let tags: Vec<(String, String)> = tags.into_iter().map(|tag| (tag.key, tag.value.unwrap_or_default())).collect();
    plane::tag::check(&tags).map_err(violation)?;
    Ok(tags)
}

/// The trail of an ARN; names are not taken here.
async fn resource(cx: &mut Call, arn: &str, to_change: bool) -> Result<Trail, ApiError> {
    if !arn.starts_with("arn:") {
        return Err(TrailError::Arn(arn.to_owned()).into());
    }
    if !arn.contains(":trail/") {
        return Err(TrailError::ResourceType(arn.to_owned()).into());
    }
    let found = if to_change { trail::find_to_change(cx, arn).await } else { trail::find(cx, arn).await };
    found.map_err(|error| if error.code == "TrailNotFoundException" { TrailError::ResourceMissing(arn.to_owned()).into() } else { error })
}

pub(crate) async fn add_tags(cx: &mut Call, input: AddTagsInput) -> Result<AddTagsOutput, ApiError> {
    if lake::tag::is_of_lake(&input.resource_id) {
        let new = checked(input.tags_list)?;
        lake::tag::with_tags(cx, &input.resource_id, |tags| plane::tag::merge(tags, new).map_err(|error| violation(error).into())).await?;
        return Ok(AddTagsOutput {});
    }
    let mut trail = resource(cx, &input.resource_id, true).await?;
    plane::tag::merge(&mut trail.tags, checked(input.tags_list)?).map_err(violation)?;
    trail.put(&mut cx.tx)?;
    Ok(AddTagsOutput {})
}

pub(crate) async fn remove_tags(cx: &mut Call, input: RemoveTagsInput) -> Result<RemoveTagsOutput, ApiError> {
    // A tag goes when its key fits, and its value where one is given.
    let stays = |(key, value): &(String, String)| {
        let fits = |gone: &Tag| gone.key == *key && gone.value.as_ref().is_none_or(|wanted| wanted.is_empty() || wanted == value);
        !input.tags_list.iter().any(fits)
    };
    if lake::tag::is_of_lake(&input.resource_id) {
        let remove = |tags: &mut Vec<(String, String)>| {
            tags.retain(stays);
            Ok(())
        };
        lake::tag::with_tags(cx, &input.resource_id, remove).await?;
        return Ok(RemoveTagsOutput {});
    }
    let mut trail = resource(cx, &input.resource_id, true).await?;
    trail.tags.retain(stays);
    trail.put(&mut cx.tx)?;
    Ok(RemoveTagsOutput {})
}

pub(crate) async fn list_tags(cx: &mut Call, input: ListTagsInput) -> Result<ListTagsOutput, ApiError> {
    let mut shown = Vec::with_capacity(input.resource_id_list.len());
    for arn in input.resource_id_list {
        let tags = if lake::tag::is_of_lake(&arn) {
            lake::tag::with_tags(cx, &arn, |tags| Ok(tags.clone())).await?
        } else {
            resource(cx, &arn, false).await?.tags
        };
        let tags = tags.into_iter().map(|(key, value)| Tag { key, value: Some(value) });
        shown.push(ResourceTag { resource_id: Some(arn), tags_list: Some(tags.collect()) });
    }
    Ok(ListTagsOutput { resource_tag_list: Some(shown), next_token: None })
}
