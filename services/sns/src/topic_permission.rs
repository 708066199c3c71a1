//! `AddPermission` and `RemovePermission`: statements of a topic's policy.
//!
//! Source: SNS API reference, `AddPermission`.

use api_sns::{AddPermissionInput, AddPermissionOutput, RemovePermissionInput, RemovePermissionOutput};
use plane::{ApiError, Call};
use serde_json::{Value as Json, json};

use crate::error::SnsError;
use crate::topic;
use crate::topic_attribute::check_policy;

/// What may be given to others.
const ACTIONS: [&str; 8] = [
    "AddPermission",
    "DeleteTopic",
    "GetTopicAttributes",
    "ListSubscriptionsByTopic",
    "Publish",
    "RemovePermission",
    "SetTopicAttributes",
    "Subscribe",
];

/// The policy as JSON, and its statements.
fn statements(text: &str) -> Result<(Json, Vec<Json>), ApiError> {
    let mut document: Json = serde_json::from_str(text)?;
    let statements = match document.get_mut("Statement").map(Json::take) {
        Some(Json::Array(items)) => items,
        Some(item) => vec![item],
        None => Vec::new(),
    };
    Ok((document, statements))
}

fn has_label(statement: &Json, label: &str) -> bool {
    statement.get("Sid").and_then(Json::as_str) == Some(label)
}

pub(crate) async fn add_permission(cx: &mut Call, input: AddPermissionInput) -> Result<AddPermissionOutput, ApiError> {
    let mut topic = topic::load(cx, &input.topic_arn).await?;
    let region = cx.region.clone();
    let is_account = |account: &String| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    if input.aws_account_id.is_empty() || !input.aws_account_id.iter().all(is_account) {
        return Err(SnsError::parameter("AWSAccountId").into());
    }
    if input.action_name.is_empty() || !input.action_name.iter().all(|action| ACTIONS.contains(&action.as_str())) {
        return Err(SnsError::parameter("Policy statement action out of service scope!").into());
    }
    if input.label.is_empty()
        || input.label.len() > 80
        || !input.label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    {
        return Err(SnsError::parameter("Label").into());
    }
    let (mut document, mut statements) = statements(&topic.policy_text(&region))?;
    if statements.iter().any(|statement| has_label(statement, &input.label)) {
        return Err(SnsError::parameter("Statement already exists").into());
    }
    let principals: Vec<String> =
        input.aws_account_id.iter().map(|account| format!("arn:{}:iam::{account}:root", plane::PARTITION)).collect();
    let actions: Vec<String> = input.action_name.iter().map(|action| format!("SNS:{action}")).collect();
    statements.push(json!({ "Sid": input.label, "Effect": "Allow", "Principal": { "AWS": principals }, "Action": actions, "Resource": input.topic_arn }));
    if let Some(members) = document.as_object_mut() {
        members.insert("Statement".to_owned(), Json::Array(statements));
    }
    let text = document.to_string();
    check_policy(&text, &input.topic_arn)?;
    topic.policy = Some(text);
    topic.put(&mut cx.tx, &region)?;
    Ok(AddPermissionOutput {})
}

pub(crate) async fn remove_permission(cx: &mut Call, input: RemovePermissionInput) -> Result<RemovePermissionOutput, ApiError> {
    let mut topic = topic::load(cx, &input.topic_arn).await?;
    let region = cx.region.clone();
    let (mut document, mut statements) = statements(&topic.policy_text(&region))?;
    let before = statements.len();
    statements.retain(|statement| !has_label(statement, &input.label));
    if statements.len() == before {
        return Err(SnsError::parameter("Label Reason: no statement of the policy has it").into());
    }
    if statements.is_empty() {
        // A policy without statements is no policy: the default one holds again, which lets in the owner only.
        topic.policy = None;
    } else {
        if let Some(members) = document.as_object_mut() {
            members.insert("Statement".to_owned(), Json::Array(statements));
        }
        topic.policy = Some(document.to_string());
    }
    topic.put(&mut cx.tx, &region)?;
    Ok(RemovePermissionOutput {})
}
