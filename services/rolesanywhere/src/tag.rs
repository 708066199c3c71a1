//! Tags of trust anchors, profiles, revocation lists and subjects.

use api_rolesanywhere::{
    ListTagsForResourceInput, ListTagsForResourceOutput, Tag, TagResourceInput, TagResourceOutput, UntagResourceInput, UntagResourceOutput,
};
use plane::{ApiError, Call};
use wire::Secret;

use crate::error::RolesAnywhereError;
use crate::profile::ProfileRecord;
use crate::resource::{self, Resource};
use crate::revocation_list::RevocationListRecord;
use crate::subject::SubjectRecord;
use crate::trust_anchor::TrustAnchorRecord;

pub(crate) type Tags = Vec<(String, String)>;

/// Tags of a resource. Source: IAM Roles Anywhere quotas.
const LIMIT: usize = 50;

/// Tags of a request, checked.
pub(crate) fn from_input(tags: Option<Vec<Tag>>) -> Result<Tags, ApiError> {
    let mut checked = Tags::new();
    merge(&mut checked, tags.unwrap_or_default())?;
    Ok(checked)
}

fn merge(tags: &mut Tags, new: Vec<Tag>) -> Result<(), ApiError> {
    for tag in new {
        let (key, value) = (tag.key.into_inner(), tag.value.into_inner());
        match tags.iter_mut().find(|(known, _)| *known == key) {
            Some(known) => known.1 = value,
            None => tags.push((key, value)),
        }
    }
    if tags.len() > LIMIT {
        return Err(RolesAnywhereError::TooManyTags(format!("a resource has at most {LIMIT} tags")).into());
    }
    Ok(())
}

/// Kind of the resource that an ARN of ours names.
pub(crate) fn kind_of(arn: &str) -> Option<&str> {
    let resource = arn.splitn(6, ':').nth(5).filter(|_| arn.contains(":rolesanywhere:"))?;
    resource.split_once('/').map(|(kind, _)| kind)
}

async fn change<R: Resource>(cx: &mut Call, arn: &str, change: impl FnOnce(&mut Tags) -> Result<(), ApiError>) -> Result<(), ApiError> {
    let mut record = resource::load::<R>(cx, arn).await?;
    change(record.tags_mut())?;
    resource::save(cx, &record)
}

fn no_such(arn: &str) -> ApiError {
    RolesAnywhereError::ResourceNotFound(format!("Resource {arn} not found")).into()
}

pub(crate) async fn tag_resource(cx: &mut Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
    let arn = input.resource_arn;
    let add = |tags: &mut Tags| merge(tags, input.tags);
    match kind_of(&arn) {
        Some(TrustAnchorRecord::KIND) => change::<TrustAnchorRecord>(cx, &arn, add).await?,
        Some(ProfileRecord::KIND) => change::<ProfileRecord>(cx, &arn, add).await?,
        Some(RevocationListRecord::KIND) => change::<RevocationListRecord>(cx, &arn, add).await?,
        Some(SubjectRecord::KIND) => change::<SubjectRecord>(cx, &arn, add).await?,
        _ => return Err(no_such(&arn)),
    }
    Ok(TagResourceOutput {})
}

pub(crate) async fn untag_resource(cx: &mut Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
    let arn = input.resource_arn;
    let keys: Vec<String> = input.tag_keys.into_iter().map(Secret::into_inner).collect();
    let drop = |tags: &mut Tags| {
        tags.retain(|(key, _)| !keys.contains(key));
        Ok(())
    };
    match kind_of(&arn) {
        Some(TrustAnchorRecord::KIND) => change::<TrustAnchorRecord>(cx, &arn, drop).await?,
        Some(ProfileRecord::KIND) => change::<ProfileRecord>(cx, &arn, drop).await?,
        Some(RevocationListRecord::KIND) => change::<RevocationListRecord>(cx, &arn, drop).await?,
        Some(SubjectRecord::KIND) => change::<SubjectRecord>(cx, &arn, drop).await?,
        _ => return Err(no_such(&arn)),
    }
    Ok(UntagResourceOutput {})
}

pub(crate) async fn list_tags_for_resource(cx: &mut Call, input: ListTagsForResourceInput) -> Result<ListTagsForResourceOutput, ApiError> {
    let arn = input.resource_arn;
    let tags = match kind_of(&arn) {
        Some(TrustAnchorRecord::KIND) => resource::load::<TrustAnchorRecord>(cx, &arn).await?.tags,
        Some(ProfileRecord::KIND) => resource::load::<ProfileRecord>(cx, &arn).await?.tags,
        Some(RevocationListRecord::KIND) => resource::load::<RevocationListRecord>(cx, &arn).await?.tags,
        Some(SubjectRecord::KIND) => resource::load::<SubjectRecord>(cx, &arn).await?.tags,
        _ => return Err(no_such(&arn)),
    };
    let shown = tags.into_iter().map(|(key, value)| Tag { key: Secret::new(key), value: Secret::new(value) });
    Ok(ListTagsForResourceOutput { tags: Some(shown.collect()) })
}
