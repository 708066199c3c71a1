//! Key policies.

use api_kms::{GetKeyPolicyInput, GetKeyPolicyOutput, ListKeyPoliciesInput, ListKeyPoliciesOutput, PutKeyPolicyInput, PutKeyPolicyOutput};
use plane::{ApiError, Call, policy_principal};
use policy::{Attached, Malformation, MapContext, Policy, PolicyKind, PolicySource, ResourcePolicy};
use serde_json::json;
use std::sync::Arc;

use crate::error::{KmsError, of_page};
use crate::key::KmsKey;
use crate::{condition_key, resolve, scan};

/// The one name of a key policy.
const NAME: &str = "default";
/// KMS's text for principals that do not exist.
const INVALID_PRINCIPALS: &str = "Policy contains a statement with one or more invalid principals.";
/// Items of a page when the caller does not say.
const LIST_DEFAULT: i32 = 100;

/// The policy of a key that was made without one: the account may do everything, and IAM policies of the account count.
pub(crate) fn default_policy(account: &str) -> String {
    json!({
        "Version": "2012-10-17",
        "Id": "key-default-1",
        "Statement": [{
            "Sid": "Enable IAM User Permissions",
            "Effect": "Allow",
            "Principal": { "AWS": format!("arn:{}:iam::{account}:root", plane::PARTITION) },
            "Action": "kms:*",
            "Resource": "*",
        }],
    })
    .to_string()
}

/// Reads a policy that somebody wants to write.
pub(crate) fn parse(text: &str) -> Result<Policy, KmsError> {
    Policy::parse(text, PolicyKind::KeyPolicy).map_err(|error| match error.malformation {
        Malformation::TooLong => KmsError::Limit(error.message),
        Malformation::Malformed => KmsError::MalformedPolicy(error.message),
        Malformation::InvalidPrincipal => KmsError::MalformedPolicy(INVALID_PRINCIPALS.to_owned()),
    })
}

/// Reads a policy that somebody wants to write, and makes its stored form.
pub(crate) async fn stored(cx: &mut Call, text: &str) -> Result<String, ApiError> {
    parse(text)?;
    policy_principal::stored(cx, text, |_| KmsError::MalformedPolicy(INVALID_PRINCIPALS.to_owned()).into()).await
}

/// A key policy as decisions take it.
pub(crate) fn attached(arn: &str, policy: Arc<Policy>) -> ResourcePolicy {
    ResourcePolicy::Key(Attached::new(arn, PolicySource::Resource, policy))
}

/// Passes when the caller could put a key policy again under `text`. The plane decides, as it would decide that next call.
pub(crate) async fn check_lockout(cx: &mut Call, key: &KmsKey, text: &str) -> Result<(), ApiError> {
    let arn = key.arn(&cx.region);
    let mut access = crate::resource::access_without_grants(key, &cx.region, Arc::new(parse(text)?));
    access.resource_type = None;
    let mut keys = MapContext::new();
    condition_key::of_call(cx, &mut keys);
    if plane::authorize::allowed_under(cx, "kms:PutKeyPolicy", &arn, &access, &keys).await? {
        return Ok(());
    }
    Err(KmsError::PolicyLockout.into())
}

pub(crate) async fn put_key_policy(cx: &mut Call, input: PutKeyPolicyInput) -> Result<PutKeyPolicyOutput, ApiError> {
    let mut key = resolve::key_to_change(cx, &input.key_id).await?;
    check_name(input.policy_name.as_deref())?;
    let policy = stored(cx, &input.policy).await?;
    if !input.bypass_policy_lockout_safety_check.unwrap_or(false) {
        check_lockout(cx, &key, &policy).await?;
    }
    key.policy = policy;
    key.put(&mut cx.tx, &cx.region)?;
    Ok(PutKeyPolicyOutput {})
}

pub(crate) async fn get_key_policy(cx: &mut Call, input: GetKeyPolicyInput) -> Result<GetKeyPolicyOutput, ApiError> {
    let key = resolve::key(cx, &input.key_id).await?;
    check_name(input.policy_name.as_deref())?;
    let policy = policy_principal::shown(cx, &key.policy).await?;
    Ok(GetKeyPolicyOutput { policy: Some(policy), policy_name: Some(NAME.to_owned()) })
}

pub(crate) async fn list_key_policies(cx: &mut Call, input: ListKeyPoliciesInput) -> Result<ListKeyPoliciesOutput, ApiError> {
    let key = resolve::key(cx, &input.key_id).await?;
    let page = cx
        .page(vec![NAME], |name| (*name).to_owned(), &key.id, input.marker.as_deref(), scan::limit(input.limit, LIST_DEFAULT))
        .map_err(of_page)?;
    let policy_names = page.items.into_iter().map(str::to_owned).collect();
    Ok(ListKeyPoliciesOutput { policy_names: Some(policy_names), truncated: Some(page.next.is_some()), next_marker: page.next })
}

fn check_name(name: Option<&str>) -> Result<(), KmsError> {
    match name {
        None | Some(NAME) => Ok(()),
        Some(_) => Err(KmsError::PolicyMissing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_checked_before_they_are_kept() {
        assert!(parse(&default_policy("111111111111")).is_ok());
        for text in [
            "",
            "{",
            "[]",
            r#"{"Version":"2012-10-17"}"#,
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Perhaps","Principal":"*","Action":"kms:*","Resource":"*"}]}"#,
        ] {
            assert_eq!(parse(text).map(|_| ()).map_err(|error| error.code()), Err("MalformedPolicyDocumentException"), "{text}");
        }
        let long = default_policy("111111111111").replace("Enable IAM", &"x".repeat(33_000));
        assert_eq!(parse(&long).map(|_| ()).map_err(|error| error.code()), Err("LimitExceededException"));
    }
}
