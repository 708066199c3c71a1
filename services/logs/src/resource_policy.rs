//! Resource policies: of the account, which hold for its log groups, and of one log group. They join every decision about the group.
//!
//! Source: CloudWatch Logs API reference, `PutResourcePolicy`.

use api_logs::{
    DeleteResourcePolicyInput, DeleteResourcePolicyOutput, DescribeResourcePoliciesInput, DescribeResourcePoliciesOutput, PolicyScope,
    PutResourcePolicyInput, PutResourcePolicyOutput, ResourcePolicy as Shown,
};
use plane::authorize::compiled;
use plane::{ApiError, Call, Key, Record, Scope, Transaction, policy_principal};
use policy::{Attached, Policy, PolicyKind, PolicySource, ResourceKind, ResourcePolicy};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use store::Table;

use crate::error::LogsError;
use crate::{listing, log_group};

/// Policies of an account in a region, and the length of one. Source: CloudWatch Logs quotas.
const ACCOUNT_LIMIT: usize = 10;
const ACCOUNT_BYTES: usize = 5_120;
const PAGE: usize = 50;
const KIND: PolicyKind = PolicyKind::Resource(ResourceKind::Standard);
const VERSION: &str = "2012-10-17";
const ACCOUNT: &str = "account";
const RESOURCE: &str = "resource";

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LogsPolicy {
    /// Name of a policy of the account, ARN of the group for one of a group.
    pub name: String,
    pub resource_arn: Option<String>,
    pub text: String,
    pub updated_ms: i64,
    pub revision: String,
}

impl Record for LogsPolicy {
    const TABLE: Table = Table("logs-resource-policy");
    const SCOPE: Scope = Scope::Region;
}

fn place(account: &str, region: &str, scope: &str) -> Key {
    Key::new(account, region).then(scope)
}

/// What holds for a group: the account's policies and its own, as one.
pub(crate) async fn of(tx: &mut Transaction, region: &str, account: &str, group_arn: &str) -> Result<ResourcePolicy, ApiError> {
    let mut policies = listing::all::<LogsPolicy>(tx, &place(account, region, ACCOUNT)).await?;
    policies.extend(tx.get::<LogsPolicy>(&place(account, region, RESOURCE).last(group_arn)).await?);
    let mut statements = Vec::new();
    for policy in &policies {
        let document: Json = serde_json::from_str(&policy.text)?;
        match document.get("Statement") {
            Some(Json::Array(items)) => statements.extend(items.iter().cloned()),
            Some(item) => statements.push(item.clone()),
            None => {}
        }
    }
    if statements.is_empty() {
        return Ok(ResourcePolicy::Absent);
    }
    let text = json!({ "Version": VERSION, "Statement": without_ids(statements) }).to_string();
    Ok(ResourcePolicy::new(Attached::new(group_arn, PolicySource::Resource, compiled(KIND, &text))))
}

/// Ids are unique in a policy, not in several.
fn without_ids(mut statements: Vec<Json>) -> Vec<Json> {
    for members in statements.iter_mut().filter_map(Json::as_object_mut) {
        members.remove("Sid");
    }
    statements
}

fn check(text: &str) -> Result<(), LogsError> {
    let policy = Policy::parse(text, KIND).map_err(|error| LogsError::Parameter(error.message))?;
    let document: Json = serde_json::from_str(text).map_err(|error| LogsError::Parameter(error.to_string()))?;
    if document.get("Version").and_then(Json::as_str) != Some(VERSION) {
        return Err(LogsError::Parameter(format!("The policy must have the Version {VERSION}.")));
    }
    for statement in policy.statements() {
        let (_, mut actions) = statement.actions();
        if !actions.all(|action| action == "*" || action.to_ascii_lowercase().starts_with("logs:")) {
            return Err(LogsError::parameter("A resource policy of CloudWatch Logs has actions of CloudWatch Logs only."));
        }
    }
    Ok(())
}

fn shown(policy: LogsPolicy) -> Shown {
    let of_resource = policy.resource_arn.is_some();
    Shown {
        policy_name: (!of_resource).then_some(policy.name),
        policy_document: Some(policy.text),
        last_updated_time: Some(policy.updated_ms),
        policy_scope: Some(if of_resource { PolicyScope::Resource } else { PolicyScope::Account }),
        resource_arn: policy.resource_arn,
        revision_id: Some(policy.revision),
    }
}

/// Where a call's policy is, and the group that it is of.
async fn target(cx: &mut Call, name: Option<String>, arn: Option<String>) -> Result<(Key, String, Option<String>), ApiError> {
    match (name, arn) {
        (Some(name), None) => Ok((place(&cx.account, &cx.region, ACCOUNT).last(&name), name, None)),
        (None, Some(arn)) => {
            if log_group::parse_group_arn(&arn).is_none() {
                return Err(LogsError::parameter("The resource ARN is not that of a log group.").into());
            }
            let name = log_group::name_of(cx, &arn)?;
            let arn = log_group::load(cx, &name).await?.arn(&cx.region, &cx.account);
            Ok((place(&cx.account, &cx.region, RESOURCE).last(&arn), arn.clone(), Some(arn)))
        }
        _ => Err(LogsError::parameter("Exactly one of policyName and resourceArn must be specified.").into()),
    }
}

pub(crate) async fn put_resource_policy(cx: &mut Call, input: PutResourcePolicyInput) -> Result<PutResourcePolicyOutput, ApiError> {
    let text = input.policy_document.ok_or_else(|| LogsError::parameter("policyDocument must be specified."))?;
    check(&text)?;
    let stored = policy_principal::stored(cx, &text, |_| LogsError::parameter("Invalid principal in policy").into()).await?;
    let (key, name, resource_arn) = target(cx, input.policy_name, input.resource_arn).await?;
    if resource_arn.is_none() && text.len() > ACCOUNT_BYTES {
        return Err(LogsError::Parameter(format!("The policy of an account has at most {ACCOUNT_BYTES} characters.")).into());
    }
    let known = cx.tx.get::<LogsPolicy>(&key).await?;
    if input.expected_revision_id.is_some() && input.expected_revision_id != known.as_ref().map(|policy| policy.revision.clone()) {
        return Err(LogsError::Revision.into());
    }
    if known.is_none() && resource_arn.is_none() {
        let others = listing::all::<LogsPolicy>(&mut cx.tx, &place(&cx.account, &cx.region, ACCOUNT)).await?;
        if others.len() >= ACCOUNT_LIMIT {
            return Err(LogsError::Limit.into());
        }
    }
    let policy = LogsPolicy { name, resource_arn, text: stored, updated_ms: cx.now.0, revision: cx.random_uuid()? };
    cx.tx.put(&key, &policy)?;
    Ok(PutResourcePolicyOutput { revision_id: Some(policy.revision.clone()), resource_policy: Some(shown(LogsPolicy { text, ..policy })) })
}

pub(crate) async fn describe_resource_policies(
    cx: &mut Call,
    input: DescribeResourcePoliciesInput,
) -> Result<DescribeResourcePoliciesOutput, ApiError> {
    let of_resource = input.resource_arn.is_some() || input.policy_scope == Some(PolicyScope::Resource);
    let scope = if of_resource { RESOURCE } else { ACCOUNT };
    let mut policies = listing::all::<LogsPolicy>(&mut cx.tx, &place(&cx.account, &cx.region, scope)).await?;
    if let Some(arn) = &input.resource_arn {
        let arn = arn.strip_suffix(":*").unwrap_or(arn);
        policies.retain(|policy| policy.name == arn);
    }
    let filter = format!("{scope}\n{:?}", input.resource_arn);
    let page = (false, input.next_token.as_deref(), listing::limit(input.limit, PAGE));
    let (items, next_token) = listing::cut(cx, policies, |policy| policy.name.clone(), &filter, page)?;
    let mut resource_policies = Vec::with_capacity(items.len());
    for policy in items {
        let text = policy_principal::shown(cx, &policy.text).await?;
        resource_policies.push(shown(LogsPolicy { text, ..policy }));
    }
    Ok(DescribeResourcePoliciesOutput { resource_policies: Some(resource_policies), next_token })
}

pub(crate) async fn delete_resource_policy(
    cx: &mut Call,
    input: DeleteResourcePolicyInput,
) -> Result<DeleteResourcePolicyOutput, ApiError> {
    let (key, name, _) = target(cx, input.policy_name, input.resource_arn).await?;
    let known = cx.tx.get::<LogsPolicy>(&key).await?.ok_or(LogsError::PolicyMissing(name))?;
    if input.expected_revision_id.is_some_and(|revision| revision != known.revision) {
        return Err(LogsError::Revision.into());
    }
    cx.tx.delete::<LogsPolicy>(&key);
    Ok(DeleteResourcePolicyOutput {})
}

/// Takes away the policy of a group that is deleted.
pub(crate) fn forget(cx: &mut Call, group_arn: &str) {
    let key = place(&cx.account, &cx.region, RESOURCE).last(group_arn);
    cx.tx.delete::<LogsPolicy>(&key);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_checked() {
        let policy = |version: &str, action: &str| {
            json!({ "Version": version, "Statement": [{ "Effect": "Allow", "Principal": { "Service": "es.amazonaws.com" }, "Action": action,
                "Resource": "arn:aws:logs:*" }] })
            .to_string()
        };
        assert!(check(&policy(VERSION, "logs:PutLogEvents")).is_ok());
        assert!(check(&policy("2008-10-17", "logs:PutLogEvents")).is_err());
        assert!(check(&policy(VERSION, "s3:GetObject")).is_err());
        assert!(check("{}").is_err());
    }
}
