//! Tags of guardrails.

use api_bedrock::{
    ListTagsForResourceInput, ListTagsForResourceOutput, Tag, TagResourceInput, TagResourceOutput, UntagResourceInput, UntagResourceOutput,
};
use plane::tag::{TagViolation, merge, remove};
use plane::{ApiError, Call};

use crate::guardrail::{Draft, draft_key, id_of};
use crate::refusal::Refusal;

fn violation(violation: &TagViolation) -> Refusal {
    match violation {
        TagViolation::TooMany => Refusal::TooManyTags(violation.to_string()),
        TagViolation::Duplicate(_) | TagViolation::Reserved(_) => Refusal::invalid(violation.to_string()),
    }
}

/// Pairs of tags that keep the rules.
pub(crate) fn pairs(tags: Option<Vec<Tag>>) -> Result<Vec<(String, String)>, Refusal> {
    let mut kept = Vec::new();
    let given = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
    merge(&mut kept, given).map_err(|error| violation(&error))?;
    Ok(kept)
}

/// The guardrail that an ARN of a tag call names.
async fn tagged(cx: &mut Call, arn: &str) -> Result<Draft, ApiError> {
    let missing = || Refusal::Resource(arn.to_owned());
    let id = id_of(&cx.region, &cx.account, arn).ok_or_else(missing)?.to_owned();
    let key = draft_key(&cx.account, &cx.region, &id);
    Ok(cx.tx.get::<Draft>(&key).await?.ok_or_else(missing)?)
}

pub(crate) async fn list_tags_for_resource(cx: &mut Call, input: ListTagsForResourceInput) -> Result<ListTagsForResourceOutput, ApiError> {
    let draft = tagged(cx, &input.resource_arn).await?;
    let tags = draft.tags.into_iter().map(|(key, value)| Tag { key, value }).collect();
    Ok(ListTagsForResourceOutput { tags: Some(tags) })
}

pub(crate) async fn tag_resource(cx: &mut Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
    let mut draft = tagged(cx, &input.resource_arn).await?;
    let given = input.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    merge(&mut draft.tags, given).map_err(|error| violation(&error))?;
    cx.tx.put(&draft_key(&cx.account, &cx.region, &draft.id), &draft)?;
    Ok(TagResourceOutput {})
}

pub(crate) async fn untag_resource(cx: &mut Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
    let mut draft = tagged(cx, &input.resource_arn).await?;
    remove(&mut draft.tags, &input.tag_keys);
    cx.tx.put(&draft_key(&cx.account, &cx.region, &draft.id), &draft)?;
    Ok(UntagResourceOutput {})
}
