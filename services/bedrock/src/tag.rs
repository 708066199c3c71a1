//! Tags of guardrails and of automated reasoning policies.

use api_bedrock::{
    ListTagsForResourceInput, ListTagsForResourceOutput, Tag, TagResourceInput, TagResourceOutput, UntagResourceInput, UntagResourceOutput,
};
use plane::tag::{TagViolation, merge, remove};
use plane::{ApiError, Call, Key};

use crate::guardrail::{Draft, draft_key, id_of};
use crate::reasoning::{self, ReasoningPolicy};
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

/// What an ARN of a tag call names.
enum Tagged {
    Guardrail(Draft),
    Reasoning(Key, ReasoningPolicy),
}

impl Tagged {
    async fn find(cx: &mut Call, arn: &str) -> Result<Self, ApiError> {
        let missing = || Refusal::Resource(arn.to_owned());
        if let Some((key, policy)) = reasoning::tagged(cx, arn).await? {
            return Ok(Self::Reasoning(key, policy));
        }
        let id = id_of(&cx.region, &cx.account, arn).ok_or_else(missing)?.to_owned();
        let key = draft_key(&cx.account, &cx.region, &id);
        Ok(Self::Guardrail(cx.tx.get::<Draft>(&key).await?.ok_or_else(missing)?))
    }

    fn tags(&mut self) -> &mut Vec<(String, String)> {
        match self {
            Self::Guardrail(draft) => &mut draft.tags,
            Self::Reasoning(_, policy) => &mut policy.tags,
        }
    }

    fn put(&self, cx: &mut Call) -> Result<(), ApiError> {
        match self {
            Self::Guardrail(draft) => cx.tx.put(&draft_key(&cx.account, &cx.region, &draft.id), draft),
            Self::Reasoning(key, policy) => cx.tx.put(key, policy),
        }
    }
}

pub(crate) async fn list_tags_for_resource(cx: &mut Call, input: ListTagsForResourceInput) -> Result<ListTagsForResourceOutput, ApiError> {
    let mut tagged = Tagged::find(cx, &input.resource_arn).await?;
    let tags = std::mem::take(tagged.tags()).into_iter().map(|(key, value)| Tag { key, value }).collect();
    Ok(ListTagsForResourceOutput { tags: Some(tags) })
}

pub(crate) async fn tag_resource(cx: &mut Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
    let mut tagged = Tagged::find(cx, &input.resource_arn).await?;
    let given = input.tags.into_iter().map(|tag| (tag.key, tag.value)).collect();
    merge(tagged.tags(), given).map_err(|error| violation(&error))?;
    tagged.put(cx)?;
    Ok(TagResourceOutput {})
}

pub(crate) async fn untag_resource(cx: &mut Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
    let mut tagged = Tagged::find(cx, &input.resource_arn).await?;
    remove(tagged.tags(), &input.tag_keys);
    tagged.put(cx)?;
    Ok(UntagResourceOutput {})
}
