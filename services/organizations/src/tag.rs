//! Tags of accounts, units, roots, policies and the resource policy.

use api_organizations::{
    ListTagsForResourceInput, ListTagsForResourceOutput, Tag, TagResourceInput, TagResourceOutput, UntagResourceInput, UntagResourceOutput,
};
use plane::tag::TagViolation;
use plane::{ApiError, Call};

use crate::error::OrganizationError;
use crate::identifier::TargetKind;
use crate::organization::{self, Organization};
use crate::policy;

fn violation(violation: TagViolation) -> OrganizationError {
    match violation {
        TagViolation::Duplicate(_) => OrganizationError::Input("DUPLICATE_TAG_KEY", "Tag keys must be unique."),
        TagViolation::Reserved(_) => {
            OrganizationError::Input("INVALID_SYSTEM_TAGS_PARAMETER", "You can't use tag keys that begin with aws:.")
        }
        TagViolation::TooMany => {
            OrganizationError::Constraint("MAX_TAG_LIMIT_EXCEEDED", "You have exceeded the number of tags allowed on this resource.")
        }
    }
}

/// Tags of a request, if they keep the rules.
pub(crate) fn checked(tags: Option<Vec<Tag>>) -> Result<Vec<(String, String)>, OrganizationError> {
    let tags: Vec<(String, String)> = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
    plane::tag::check(&tags).map_err(violation)?;
    Ok(tags)
}

/// The tags of what is not a policy.
fn tags_of<'a>(organization: &'a mut Organization, id: &str) -> Option<&'a mut Vec<(String, String)>> {
    if id.starts_with("rp-") {
        return organization.resource_policy.as_mut().filter(|policy| policy.id == id).map(|policy| &mut policy.tags);
    }
    match TargetKind::of(id) {
        TargetKind::Root => (organization.root.id == id).then_some(&mut organization.root.tags),
        TargetKind::Unit => organization.units.get_mut(id).map(|unit| &mut unit.tags),
        TargetKind::Account => organization.accounts.get_mut(id).map(|account| &mut account.tags),
    }
}

async fn change(
    cx: &mut Call,
    id: &str,
    change: impl FnOnce(&mut Vec<(String, String)>) -> Result<(), OrganizationError>,
) -> Result<(), ApiError> {
    let mut organization = organization::load(cx).await?;
    if id.starts_with("p-") {
        let mut policy = policy::load(cx, &organization, id).await?;
        change(&mut policy.tags)?;
        return policy.put(&mut cx.tx, &organization);
    }
    change(tags_of(&mut organization, id).ok_or(OrganizationError::TargetNotFound)?)?;
    organization.put(&mut cx.tx)
}

pub(crate) async fn tag_resource(cx: &mut Call, input: TagResourceInput) -> Result<TagResourceOutput, ApiError> {
    let new = checked(Some(input.tags))?;
    change(cx, &input.resource_id, |tags| plane::tag::merge(tags, new).map_err(violation)).await?;
    Ok(TagResourceOutput {})
}

pub(crate) async fn untag_resource(cx: &mut Call, input: UntagResourceInput) -> Result<UntagResourceOutput, ApiError> {
    change(cx, &input.resource_id, |tags| {
        plane::tag::remove(tags, &input.tag_keys);
        Ok(())
    })
    .await?;
    Ok(UntagResourceOutput {})
}

pub(crate) async fn list_tags_for_resource(cx: &mut Call, input: ListTagsForResourceInput) -> Result<ListTagsForResourceOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    let id = input.resource_id;
    let mut tags = if id.starts_with("p-") {
        policy::load(cx, &organization, &id).await?.tags
    } else {
        tags_of(&mut organization, &id).ok_or(OrganizationError::TargetNotFound)?.clone()
    };
    tags.sort_unstable();
    let page = crate::paged::cut(cx, tags, |(key, _)| key.clone(), &id, input.next_token, None)?;
    let tags = page.items.into_iter().map(|(key, value)| Tag { key, value });
    Ok(ListTagsForResourceOutput { tags: Some(tags.collect()), next_token: page.next })
}
