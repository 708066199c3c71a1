//! Tags of users, roles, managed policies and instance profiles. Tag keys keep their case and compare without it.
//!
//! Source: IAM User Guide, "Tags for AWS Identity and Access Management resources".

use api_iam::{
    ListInstanceProfileTagsInput, ListInstanceProfileTagsOutput, ListPolicyTagsInput, ListPolicyTagsOutput, ListRoleTagsInput,
    ListRoleTagsOutput, ListUserTagsInput, ListUserTagsOutput, Tag, TagInstanceProfileInput, TagInstanceProfileOutput, TagPolicyInput,
    TagPolicyOutput, TagRoleInput, TagRoleOutput, TagUserInput, TagUserOutput, UntagInstanceProfileInput, UntagInstanceProfileOutput,
    UntagPolicyInput, UntagPolicyOutput, UntagRoleInput, UntagRoleOutput, UntagUserInput, UntagUserOutput,
};
use plane::page::Page;
use plane::{ApiError, Call};

use crate::entity::{self, RoleRecord, Tagged, UserRecord};
use crate::error::IamError;
use crate::{instance_profile, managed_policy, page};

type Pairs = Vec<(String, String)>;

/// Whether two tag keys are the same to IAM.
pub fn same_key(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// Tags of a request, checked.
pub fn from_input(tags: Option<Vec<Tag>>) -> Result<Pairs, ApiError> {
    let pairs: Pairs = tags.unwrap_or_default().into_iter().map(|tag| (tag.key, tag.value)).collect();
    check(&pairs)?;
    Ok(pairs)
}

/// Checks tags that a caller gives.
pub fn check(pairs: &[(String, String)]) -> Result<(), IamError> {
    for (at, (key, _)) in pairs.iter().enumerate() {
        if key.to_lowercase().starts_with("aws:") {
            return Err(IamError::InvalidInput("aws: prefixed tag key names are not allowed for external use.".to_owned()));
        }
        if pairs.iter().take(at).any(|(earlier, _)| same_key(earlier, key)) {
            return Err(IamError::InvalidInput("Duplicate tag keys found. Please note that Tag keys are case insensitive.".to_owned()));
        }
    }
    if pairs.len() > plane::tag::LIMIT { Err(too_many()) } else { Ok(()) }
}

fn too_many() -> IamError {
    IamError::LimitExceeded("The number of tags has reached the maximum limit.".to_owned())
}

/// Tags as outputs show them; none at all is no member.
pub fn to_output(pairs: &[(String, String)]) -> Option<Vec<Tag>> {
    (!pairs.is_empty()).then(|| list(pairs))
}

fn list(pairs: &[(String, String)]) -> Vec<Tag> {
    pairs.iter().map(|(key, value)| Tag { key: key.clone(), value: value.clone() }).collect()
}

/// Session tags come before the tags of the principal.
pub fn override_with(tags: &mut Pairs, session: &[(String, String)]) {
    tags.retain(|(key, _)| !session.iter().any(|(other, _)| same_key(key, other)));
    tags.extend_from_slice(session);
}

pub(crate) fn merge(tags: &mut Pairs, new: Vec<Tag>) -> Result<(), ApiError> {
    let new = from_input(Some(new))?;
    let mut merged = tags.clone();
    for (key, value) in new {
        match merged.iter_mut().find(|(existing, _)| same_key(existing, &key)) {
            Some(slot) => *slot = (key, value),
            None => merged.push((key, value)),
        }
    }
    if merged.len() > plane::tag::LIMIT {
        return Err(too_many().into());
    }
    *tags = merged;
    Ok(())
}

pub(crate) fn remove(tags: &mut Pairs, keys: &[String]) {
    tags.retain(|(key, _)| !keys.iter().any(|other| same_key(key, other)));
}

pub(crate) fn cut(
    cx: &Call,
    tagged: &impl Tagged,
    owner: &str,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<Tag>, ApiError> {
    let mut tags = list(tagged.tags());
    let key = |tag: &Tag| tag.key.to_lowercase();
    tags.sort_by_key(key);
    page::cut(cx, tags, key, owner, marker, max_items)
}

pub async fn tag_user(cx: &mut Call, input: TagUserInput) -> Result<TagUserOutput, ApiError> {
    let mut user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, &input.user_name).await?;
    merge(user.tags_mut(), input.tags)?;
    entity::save(&mut cx.tx, &cx.account, &user)?;
    Ok(TagUserOutput {})
}

pub async fn untag_user(cx: &mut Call, input: UntagUserInput) -> Result<UntagUserOutput, ApiError> {
    let mut user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, &input.user_name).await?;
    remove(user.tags_mut(), &input.tag_keys);
    entity::save(&mut cx.tx, &cx.account, &user)?;
    Ok(UntagUserOutput {})
}

pub async fn list_user_tags(cx: &mut Call, input: ListUserTagsInput) -> Result<ListUserTagsOutput, ApiError> {
    let user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, &input.user_name).await?;
    let page = cut(cx, &user, &user.head.id, input.marker.as_deref(), input.max_items)?;
    Ok(ListUserTagsOutput { tags: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}

pub async fn tag_role(cx: &mut Call, input: TagRoleInput) -> Result<TagRoleOutput, ApiError> {
    let mut role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    merge(role.tags_mut(), input.tags)?;
    entity::save(&mut cx.tx, &cx.account, &role)?;
    Ok(TagRoleOutput {})
}

pub async fn untag_role(cx: &mut Call, input: UntagRoleInput) -> Result<UntagRoleOutput, ApiError> {
    let mut role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    remove(role.tags_mut(), &input.tag_keys);
    entity::save(&mut cx.tx, &cx.account, &role)?;
    Ok(UntagRoleOutput {})
}

pub async fn list_role_tags(cx: &mut Call, input: ListRoleTagsInput) -> Result<ListRoleTagsOutput, ApiError> {
    let role = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    let page = cut(cx, &role, &role.head.id, input.marker.as_deref(), input.max_items)?;
    Ok(ListRoleTagsOutput { tags: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}

pub async fn tag_policy(cx: &mut Call, input: TagPolicyInput) -> Result<TagPolicyOutput, ApiError> {
    let mut policy = managed_policy::load_own(cx, &input.policy_arn).await?;
    merge(policy.tags_mut(), input.tags)?;
    managed_policy::save(cx, &policy)?;
    Ok(TagPolicyOutput {})
}

pub async fn untag_policy(cx: &mut Call, input: UntagPolicyInput) -> Result<UntagPolicyOutput, ApiError> {
    let mut policy = managed_policy::load_own(cx, &input.policy_arn).await?;
    remove(policy.tags_mut(), &input.tag_keys);
    managed_policy::save(cx, &policy)?;
    Ok(UntagPolicyOutput {})
}

pub async fn list_policy_tags(cx: &mut Call, input: ListPolicyTagsInput) -> Result<ListPolicyTagsOutput, ApiError> {
    let policy = managed_policy::load_own(cx, &input.policy_arn).await?;
    let page = cut(cx, &policy, &input.policy_arn, input.marker.as_deref(), input.max_items)?;
    Ok(ListPolicyTagsOutput { tags: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}

pub async fn tag_instance_profile(cx: &mut Call, input: TagInstanceProfileInput) -> Result<TagInstanceProfileOutput, ApiError> {
    let mut profile = instance_profile::load(cx, &input.instance_profile_name).await?;
    merge(profile.tags_mut(), input.tags)?;
    instance_profile::save(cx, &profile)?;
    Ok(TagInstanceProfileOutput {})
}

pub async fn untag_instance_profile(cx: &mut Call, input: UntagInstanceProfileInput) -> Result<UntagInstanceProfileOutput, ApiError> {
    let mut profile = instance_profile::load(cx, &input.instance_profile_name).await?;
    remove(profile.tags_mut(), &input.tag_keys);
    instance_profile::save(cx, &profile)?;
    Ok(UntagInstanceProfileOutput {})
}

pub async fn list_instance_profile_tags(
    cx: &mut Call,
    input: ListInstanceProfileTagsInput,
) -> Result<ListInstanceProfileTagsOutput, ApiError> {
    let profile = instance_profile::load(cx, &input.instance_profile_name).await?;
    let page = cut(cx, &profile, &profile.head.id, input.marker.as_deref(), input.max_items)?;
    Ok(ListInstanceProfileTagsOutput { tags: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, value: &str) -> (String, String) {
        (key.to_owned(), value.to_owned())
    }

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: key.to_owned(), value: value.to_owned() }
    }

    #[test]
    fn keys_compare_without_case() {
        let mut tags = vec![pair("Team", "a"), pair("stage", "prod")];
        merge(&mut tags, vec![tag("TEAM", "b")]).unwrap();
        assert_eq!(tags, [pair("TEAM", "b"), pair("stage", "prod")]);
        assert_eq!(merge(&mut tags, vec![tag("x", ""), tag("X", "")]).unwrap_err().code, "InvalidInput");
        assert_eq!(merge(&mut tags, vec![tag("AWS:x", "")]).unwrap_err().code, "InvalidInput");
        override_with(&mut tags, &[pair("team", "c")]);
        assert_eq!(tags, [pair("stage", "prod"), pair("team", "c")]);
        remove(&mut tags, &["STAGE".to_owned()]);
        assert_eq!(tags, [pair("team", "c")]);
    }

    #[test]
    fn a_resource_has_at_most_fifty_tags() {
        let mut tags: Pairs = (0..49).map(|number| pair(&number.to_string(), "")).collect();
        assert_eq!(merge(&mut tags, vec![tag("a", ""), tag("b", "")]).unwrap_err().code, "LimitExceeded");
        assert_eq!(tags.len(), 49);
    }
}
