//! Tags of keys.

use std::sync::Arc;

use api_kms::{
    ListResourceTagsInput, ListResourceTagsOutput, Tag, TagResourceInput, TagResourceOutput, UntagResourceInput, UntagResourceOutput,
};
use plane::tag::TagViolation;
use plane::{ApiError, Call};

use crate::error::{KmsError, of_page};
use crate::{resolve, scan};

/// Items of a page when the caller does not say, and at most.
const LIST_DEFAULT: i32 = 50;

fn violation(violation: TagViolation) -> KmsError {
    KmsError::Tag(match violation {
        TagViolation::Duplicate(_) => "Duplicate tag keys",
        TagViolation::Reserved(_) => "Tags beginning with aws: are reserved",
        TagViolation::TooMany => "Too many tags",
    })
}

/// Tags of a request, if they keep the rules.
pub(crate) fn checked(tags: Vec<Tag>) -> Result<Vec<(String, String)>, KmsError> {
    let tags: Vec<(String, String)> = tags.into_iter().map(|tag| (tag.tag_key, tag.tag_value)).collect();
    plane::tag::check(&tags).map_err(violation)?;
    Ok(tags)
}

pub(crate) async fn tag_resource(cx: &mut Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
    let mut key = resolve::key_to_change(cx, &input.key_id).await?;
    plane::tag::merge(&mut key.tags, checked(input.tags)?).map_err(violation)?;
    key.put(&mut cx.tx, &cx.region)?;
    Ok(TagResourceOutput {})
}

pub(crate) async fn untag_resource(cx: &mut Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
    let mut key = resolve::key_to_change(cx, &input.key_id).await?;
    plane::tag::remove(&mut key.tags, &input.tag_keys);
    key.put(&mut cx.tx, &cx.region)?;
    Ok(UntagResourceOutput {})
}

pub(crate) async fn list_resource_tags(cx: &mut Call, input: ListResourceTagsInput) -> Result<ListResourceTagsOutput, ApiError> {
    let mut key = Arc::unwrap_or_clone(resolve::key(cx, &input.key_id).await?);
    key.tags.sort_unstable();
    let limit = scan::limit(Some(input.limit.unwrap_or(LIST_DEFAULT).min(LIST_DEFAULT)), LIST_DEFAULT);
    let page = cx.page(key.tags, |(name, _)| name.clone(), &key.id, input.marker.as_deref(), limit).map_err(of_page)?;
    let tags = page.items.into_iter().map(|(tag_key, tag_value)| Tag { tag_key, tag_value }).collect();
    Ok(ListResourceTagsOutput { tags: Some(tags), truncated: Some(page.next.is_some()), next_marker: page.next })
}
