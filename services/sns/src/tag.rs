//! Tags of topics.

use api_sns::{
    ListTagsForResourceInput, ListTagsForResourceOutput, Tag, TagResourceInput, TagResourceOutput, UntagResourceInput, UntagResourceOutput,
};
use plane::tag::{self, TagViolation};
use plane::{ApiError, Call};

use crate::error::SnsError;
use crate::topic::{self, TopicRecord};

pub(crate) type Tags = Vec<(String, String)>;

fn violation(violation: &TagViolation) -> SnsError {
    match violation {
        TagViolation::TooMany => SnsError::TooManyTags,
        other => SnsError::Parameter(format!("Tags Reason: {other}")),
    }
}

fn pairs(tags: Vec<Tag>) -> Tags {
    tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

/// Tags of a request, checked.
pub(crate) fn from_input(tags: Option<Vec<Tag>>) -> Result<Tags, ApiError> {
    let mut checked = Tags::new();
    tag::merge(&mut checked, pairs(tags.unwrap_or_default())).map_err(|error| violation(&error))?;
    Ok(checked)
}

/// The topic of an ARN, in this family's words.
async fn load(cx: &mut Call, arn: &str) -> Result<TopicRecord, ApiError> {
    topic::load(cx, arn).await.map_err(|error| if error.code == "NotFound" { SnsError::ResourceMissing.into() } else { error })
}

pub(crate) async fn tag_resource(cx: &mut Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
    let mut topic = load(cx, &input.resource_arn).await?;
    tag::merge(&mut topic.tags, pairs(input.tags)).map_err(|error| violation(&error))?;
    let region = cx.region.clone();
    topic.put(&mut cx.tx, &region)?;
    Ok(TagResourceOutput {})
}

pub(crate) async fn untag_resource(cx: &mut Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
    let mut topic = load(cx, &input.resource_arn).await?;
    tag::remove(&mut topic.tags, &input.tag_keys);
    let region = cx.region.clone();
    topic.put(&mut cx.tx, &region)?;
    Ok(UntagResourceOutput {})
}

pub(crate) async fn list_tags_for_resource(cx: &mut Call, input: ListTagsForResourceInput) -> Result<ListTagsForResourceOutput, ApiError> {
    let topic = load(cx, &input.resource_arn).await?;
    let tags = topic.tags.into_iter().map(|(key, value)| Tag { key, value });
    Ok(ListTagsForResourceOutput { tags: Some(tags.collect()) })
}
