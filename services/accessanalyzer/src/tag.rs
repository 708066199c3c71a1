//! Tags of analyzers.

use std::collections::BTreeMap;

use api_accessanalyzer::{
    ListTagsForResourceInput, ListTagsForResourceOutput, TagResourceInput, TagResourceOutput, UntagResourceInput, UntagResourceOutput,
};
use plane::tag::TagViolation;
use plane::{ApiError, Call};

use crate::analyzer::load_by_arn;
use crate::error::AnalyzerError;

fn violation(violation: TagViolation) -> AnalyzerError {
    AnalyzerError::invalid("tags", violation.to_string())
}

/// Tags of a request, if they keep the rules.
pub(crate) fn checked(tags: BTreeMap<String, String>) -> Result<Vec<(String, String)>, AnalyzerError> {
    let tags: Vec<(String, String)> = tags.into_iter().collect();
    plane::tag::check(&tags).map_err(violation)?;
    Ok(tags)
}

pub(crate) async fn tag_resource(cx: &mut Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
    let mut analyzer = load_by_arn(cx, &input.resource_arn).await?;
    plane::tag::merge(&mut analyzer.tags, checked(input.tags)?).map_err(violation)?;
    analyzer.put(&mut cx.tx)?;
    Ok(TagResourceOutput {})
}

pub(crate) async fn untag_resource(cx: &mut Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
    let mut analyzer = load_by_arn(cx, &input.resource_arn).await?;
    plane::tag::remove(&mut analyzer.tags, &input.tag_keys);
    analyzer.put(&mut cx.tx)?;
    Ok(UntagResourceOutput {})
}

pub(crate) async fn list_tags_for_resource(cx: &mut Call, input: ListTagsForResourceInput) -> Result<ListTagsForResourceOutput, ApiError> {
    let analyzer = load_by_arn(cx, &input.resource_arn).await?;
    Ok(ListTagsForResourceOutput { tags: Some(analyzer.tags.into_iter().collect()) })
}
