//! Policies of event data stores, channels and dashboards: who in other accounts may use one, and what CloudTrail may do for a dashboard.
//!
//! Source: CloudTrail User Guide, "AWS CloudTrail resource-based policy examples": what such a policy may say, per type of resource; API
//! reference, `PutResourcePolicy`, `GetResourcePolicy`, `DeleteResourcePolicy`.

use api_cloudtrail::{
    DeleteResourcePolicyInput, DeleteResourcePolicyOutput, GetResourcePolicyInput, GetResourcePolicyOutput, PutResourcePolicyInput,
    PutResourcePolicyOutput,
};
use plane::authorize::compiled;
use plane::{ApiError, Call, Key, Record, Scope, Transaction, policy_principal};
use policy::{Attached, Policy, PolicyKind, PolicySource, ResourceKind};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use store::Table;

use super::error::LakeError;
use super::tag;

const KIND: PolicyKind = PolicyKind::Resource(ResourceKind::Standard);
const STATEMENTS_MAX: usize = 20;
const PRINCIPALS_MAX: usize = 50;

/// What others may be allowed on a store.
const STORE_ACTIONS: [&str; 8] = [
    "cloudtrail:StartQuery",
    "cloudtrail:CancelQuery",
    "cloudtrail:ListQueries",
    "cloudtrail:DescribeQuery",
    "cloudtrail:GetQueryResults",
    "cloudtrail:GenerateQuery",
    "cloudtrail:GenerateQueryResultsSummary",
    "cloudtrail:GetEventDataStore",
];
const CHANNEL_ACTIONS: [&str; 1] = ["cloudtrail-data:PutAuditEvents"];
const DASHBOARD_ACTIONS: [&str; 1] = ["cloudtrail:StartDashboardRefresh"];

/// The text of a policy, filed under what it is attached to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LakePolicy {
    text: String,
}

impl Record for LakePolicy {
    const TABLE: Table = Table("cloudtrail-lake-policy");
    const SCOPE: Scope = Scope::Region;
}

/// `kind/name` is the last part of the resource's ARN.
fn key(region: &str, account: &str, kind: &str, name: &str) -> Key {
    Key::new(account, region).then(kind).last(name)
}

/// The policy of a resource, as a decision sees it.
pub(crate) async fn of(tx: &mut Transaction, arn: &str) -> Result<policy::ResourcePolicy, ApiError> {
    let Some((region, account, kind, name)) = tag::parts(arn) else { return Ok(policy::ResourcePolicy::Absent) };
    let Some(stored) = tx.get::<LakePolicy>(&key(region, account, kind, name)).await? else { return Ok(policy::ResourcePolicy::Absent) };
    let policy = compiled(KIND, &stored.text);
    Ok(policy::ResourcePolicy::new(Attached::new(arn.to_owned(), PolicySource::Resource, policy)))
}

/// A resource that goes takes its policy along.
pub(crate) fn forget(tx: &mut Transaction, arn: &str) {
    if let Some((region, account, kind, name)) = tag::parts(arn) {
        tx.delete::<LakePolicy>(&key(region, account, kind, name));
    }
}

/// Where the policy of the caller's resource stands, and what it may allow.
async fn place(cx: &mut Call, arn: &str) -> Result<(Key, &'static [&'static str]), ApiError> {
    let invalid = || LakeError::ResourceArn(arn.to_owned());
    let is_ours = arn.starts_with("arn:") && arn.split(':').nth(2) == Some("cloudtrail");
    let Some((region, account, kind, name)) = tag::parts(arn) else {
        return Err(if is_ours && arn.contains(":trail/") { LakeError::ResourceType(arn.to_owned()) } else { invalid() }.into());
    };
    let actions: &[&str] = match kind {
        "eventdatastore" => &STORE_ACTIONS,
        "channel" => &CHANNEL_ACTIONS,
        _ => &DASHBOARD_ACTIONS,
    };
    let missing = || LakeError::ResourceMissing(arn.to_owned());
    if account != cx.account || region != cx.region || !tag::exists(&mut cx.tx, region, arn).await? {
        return Err(missing().into());
    }
    Ok((key(region, account, kind, name), actions))
}

pub(crate) async fn put_resource_policy(cx: &mut Call, input: PutResourcePolicyInput) -> Result<PutResourcePolicyOutput, ApiError> {
    let (key, actions) = place(cx, &input.resource_arn).await?;
    let text = &input.resource_policy;
    Policy::parse(text, KIND).map_err(|error| LakeError::ResourcePolicy(format!("The resource policy is not valid: {error}")))?;
    let document: Json =
        serde_json::from_str(text).map_err(|_| LakeError::ResourcePolicy("The resource policy is not JSON.".to_owned()))?;
    checked(&document, &input.resource_arn, actions)?;
    let refusal = |principal: &str| LakeError::ResourcePolicy(format!("The principal {principal} is not valid.")).into();
    let stored = policy_principal::stored(cx, text, refusal).await?;
    cx.tx.put(&key, &LakePolicy { text: stored })?;
    Ok(PutResourcePolicyOutput {
        resource_arn: Some(input.resource_arn),
        resource_policy: Some(input.resource_policy),
        delegated_admin_resource_policy: None,
    })
}

pub(crate) async fn get_resource_policy(cx: &mut Call, input: GetResourcePolicyInput) -> Result<GetResourcePolicyOutput, ApiError> {
    let (key, _) = place(cx, &input.resource_arn).await?;
    let missing = || LakeError::ResourcePolicyMissing(input.resource_arn.clone());
    let stored = cx.tx.get::<LakePolicy>(&key).await?.ok_or_else(missing)?;
    Ok(GetResourcePolicyOutput {
        resource_arn: Some(input.resource_arn),
        resource_policy: Some(policy_principal::shown(cx, &stored.text).await?),
        delegated_admin_resource_policy: None,
    })
}

pub(crate) async fn delete_resource_policy(
    cx: &mut Call,
    input: DeleteResourcePolicyInput,
) -> Result<DeleteResourcePolicyOutput, ApiError> {
    let (key, _) = place(cx, &input.resource_arn).await?;
    cx.tx.get::<LakePolicy>(&key).await?.ok_or_else(|| LakeError::ResourcePolicyMissing(input.resource_arn.clone()))?;
    cx.tx.delete::<LakePolicy>(&key);
    Ok(DeleteResourcePolicyOutput {})
}

/// One thing or a list of things.
fn list(value: Option<&Json>) -> Vec<&Json> {
    match value {
        Some(Json::Array(items)) => items.iter().collect(),
        Some(item) => vec![item],
        None => Vec::new(),
    }
}

/// The `AWS` principals of a policy that says only what the policy of such a resource may say.
fn checked(document: &Json, arn: &str, actions: &[&str]) -> Result<Vec<String>, LakeError> {
    let refused = |words: String| Err(LakeError::ResourcePolicy(words));
    let statements = list(document.get("Statement"));
    if statements.is_empty() || statements.len() > STATEMENTS_MAX {
        return refused(format!("A resource policy has 1 to {STATEMENTS_MAX} statements."));
    }
    let mut named = Vec::new();
    for statement in statements {
        if let Some(element) = ["NotAction", "NotResource", "NotPrincipal"].iter().find(|name| statement.get(**name).is_some()) {
            return refused(format!("A resource policy cannot use {element}."));
        }
        let wrong = list(statement.get("Action")).into_iter().find(|action| !action.as_str().is_some_and(|name| actions.contains(&name)));
        if let Some(action) = wrong {
            return refused(format!("The action {action} cannot stand in the policy of {arn}."));
        }
        if let Some(resource) = list(statement.get("Resource")).into_iter().find(|resource| resource.as_str() != Some(arn)) {
            return refused(format!("The resource {resource} is not the one that the policy is attached to."));
        }
        let principals = principals(statement.get("Principal"));
        if principals.is_empty() || principals.len() > PRINCIPALS_MAX {
            return refused(format!("A statement has 1 to {PRINCIPALS_MAX} principals."));
        }
        named.extend(principals.into_iter().filter(|(kind, _)| kind == "AWS").map(|(_, name)| name));
    }
    Ok(named)
}

/// Kind and name of each principal of a statement.
fn principals(element: Option<&Json>) -> Vec<(String, String)> {
    match element {
        Some(Json::String(anyone)) => vec![("AWS".to_owned(), anyone.clone())],
        Some(Json::Object(kinds)) => kinds
            .iter()
            .flat_map(|(kind, names)| list(Some(names)).into_iter().map(move |name| (kind, name)))
            .filter_map(|(kind, name)| Some((kind.clone(), name.as_str()?.to_owned())))
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:cloudtrail:us-east-1:111122223333:channel/0f0f0f0f-0000-4000-8000-000000000000";

    fn statement(change: &Json) -> Json {
        let mut statement = serde_json::json!({
            "Effect": "Allow", "Principal": { "AWS": "444455556666" }, "Action": "cloudtrail-data:PutAuditEvents", "Resource": ARN,
        });
        for (name, value) in change.as_object().unwrap() {
            statement[name] = value.clone();
        }
        statement
    }

    fn outcome(statements: Vec<Json>) -> Result<Vec<String>, LakeError> {
        checked(&serde_json::json!({ "Statement": statements }), ARN, &CHANNEL_ACTIONS)
    }

    #[test]
    fn a_policy_says_what_its_resource_may_be_used_for() {
        assert_eq!(outcome(vec![statement(&serde_json::json!({}))]), Ok(vec!["444455556666".to_owned()]));
        for change in [
            serde_json::json!({ "Action": "cloudtrail:*" }),
            serde_json::json!({ "Action": ["cloudtrail-data:PutAuditEvents", "cloudtrail:DeleteChannel"] }),
            serde_json::json!({ "Resource": "*" }),
            serde_json::json!({ "NotAction": "cloudtrail:DeleteChannel" }),
            serde_json::json!({ "Principal": { "AWS": [] } }),
        ] {
            assert!(outcome(vec![statement(&change)]).is_err(), "{change}");
        }
        assert!(outcome(Vec::new()).is_err());
        assert!(outcome(vec![statement(&serde_json::json!({})); STATEMENTS_MAX + 1]).is_err());
        let many: Vec<String> = (0..=PRINCIPALS_MAX).map(|number| format!("{number:012}")).collect();
        assert!(outcome(vec![statement(&serde_json::json!({ "Principal": { "AWS": many } }))]).is_err());
    }
}
