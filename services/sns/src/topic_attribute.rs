//! Attributes of topics.
//!
//! Source: SNS API reference, `SetTopicAttributes`, `GetTopicAttributes`.

use std::collections::BTreeMap;

use api_sns::{GetTopicAttributesInput, GetTopicAttributesOutput, SetTopicAttributesInput, SetTopicAttributesOutput};
use plane::authorize::compiled;
use plane::{ApiError, Call, policy_principal};
use policy::{Attached, Malformation, Policy, PolicyKind, PolicySource, ResourceKind, ResourcePolicy};
use serde_json::json;

use crate::delivery_policy::DeliveryPolicy;
use crate::error::SnsError;
use crate::subscription;
use crate::topic::{self, TOPIC_TYPE, TopicRecord};

const KIND: PolicyKind = PolicyKind::Resource(ResourceKind::Standard);
const POLICY_BYTES: usize = 30 * 1024;
const PRINCIPAL_NOT_FOUND: &str = "Policy Error: PrincipalNotFound";
const DISPLAY_NAME_LENGTH: usize = 100;
/// The one version of signatures that is made.
pub(crate) const SIGNATURE_VERSION: &str = "2";

/// What a topic without a policy of its own has: nobody but the owner's services, whom the condition means.
fn default_policy(arn: &str, account: &str) -> String {
    json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": { "AWS": "*" },
            "Action": ["SNS:GetTopicAttributes", "SNS:SetTopicAttributes", "SNS:AddPermission", "SNS:RemovePermission", "SNS:DeleteTopic",
                "SNS:Subscribe", "SNS:ListSubscriptionsByTopic", "SNS:Publish"],
            "Resource": arn,
            "Condition": { "StringEquals": { "AWS:SourceOwner": account } },
        }],
    })
    .to_string()
}

impl TopicRecord {
    /// The policy that holds.
    pub(crate) fn policy_text(&self, region: &str) -> String {
        self.policy.clone().unwrap_or_else(|| default_policy(&self.arn(region), &self.account))
    }

    /// The same, as a decision sees it.
    pub(crate) fn access_policy(&self, region: &str) -> ResourcePolicy {
        let text = self.policy_text(region);
        ResourcePolicy::new(Attached::new(self.arn(region), PolicySource::Resource, compiled(KIND, &text)))
    }
}

/// A policy that a topic may have: the language's rules, SNS's actions, the topic itself.
pub(crate) fn check_policy(text: &str, arn: &str) -> Result<(), SnsError> {
    if text.len() > POLICY_BYTES {
        return Err(SnsError::parameter("Policy Error: the policy is too long"));
    }
    let policy = Policy::parse(text, KIND).map_err(|error| match error.malformation {
        Malformation::InvalidPrincipal => SnsError::parameter(PRINCIPAL_NOT_FOUND),
        _ => SnsError::Parameter(format!("Policy Error: {}", error.message)),
    })?;
    for statement in policy.statements() {
        let (_, mut actions) = statement.actions();
        if !actions.all(|action| action == "*" || action.to_ascii_lowercase().starts_with("sns:")) {
            return Err(SnsError::parameter("Policy statement action out of service scope!"));
        }
        let (_, mut resources) = statement.resources();
        if !resources.all(|resource| resource == "*" || resource == arn) {
            return Err(SnsError::parameter("Policy Reason: the policy is for this topic only"));
        }
    }
    Ok(())
}

/// The stored form of a policy that [`check_policy`] is still to see.
pub(crate) async fn stored_policy(cx: &mut Call, text: &str) -> Result<String, ApiError> {
    policy_principal::stored(cx, text, |_| SnsError::parameter(PRINCIPAL_NOT_FOUND).into()).await
}

/// What of its deliveries a topic's owner wants logged, and by which role.
///
/// Source: SNS API reference, `SetTopicAttributes` (delivery status logging).
fn is_delivery_log(name: &str) -> bool {
    let kind = ["Application", "Firehose", "HTTP", "Lambda", "SQS"].iter().find_map(|protocol| name.strip_prefix(protocol));
    kind.is_some_and(|kind| matches!(kind, "SuccessFeedbackRoleArn" | "SuccessFeedbackSampleRate" | "FailureFeedbackRoleArn"))
}

/// Sets one attribute.
pub(crate) fn set(topic: &mut TopicRecord, region: &str, name: &str, value: &str) -> Result<(), ApiError> {
    let refused = |reason: &str| Err(SnsError::Parameter(format!("Attributes Reason: {reason}")).into());
    match name {
        "DisplayName" => {
            if value.chars().count() > DISPLAY_NAME_LENGTH || value.chars().any(char::is_control) {
                return refused("DisplayName has at most 100 characters");
            }
            value.clone_into(&mut topic.display_name);
        }
        "Policy" => {
            if value.is_empty() {
                topic.policy = None;
            } else {
                check_policy(value, &topic.arn(region))?;
                topic.policy = Some(value.to_owned());
            }
        }
        "DeliveryPolicy" => {
            topic.delivery_policy = if value.is_empty() { None } else { Some(DeliveryPolicy::of_topic(value)?) };
        }
        "SignatureVersion" if value == SIGNATURE_VERSION => {}
        "SignatureVersion" if value == "1" => return refused("SignatureVersion 1 needs SHA-1, with which nothing is signed here"),
        "TracingConfig" if value == "PassThrough" => {}
        "KmsMasterKeyId" if value.is_empty() => {}
        "FifoTopic" if value == "false" => {}
        // Terraform says of every protocol that nothing is logged of its deliveries, which is so.
        _ if is_delivery_log(name) && matches!(value, "" | "0") => {}
        _ if is_delivery_log(name) => return refused("the status of deliveries is not logged here"),
        "KmsMasterKeyId" | "FifoTopic" | "TracingConfig" => return refused(&format!("{name} with the value {value} is not supported")),
        _ => return Err(SnsError::parameter("AttributeName").into()),
    }
    Ok(())
}

pub(crate) async fn set_topic_attributes(cx: &mut Call, input: SetTopicAttributesInput) -> Result<SetTopicAttributesOutput, ApiError> {
    let mut topic = topic::load(cx, &input.topic_arn).await?;
    let region = cx.region.clone();
    let mut value = input.attribute_value.unwrap_or_default();
    if input.attribute_name == "Policy" {
        value = stored_policy(cx, &value).await?;
    }
    set(&mut topic, &region, &input.attribute_name, &value)?;
    topic.put(&mut cx.tx, &region)?;
    cx.touch(TOPIC_TYPE, &input.topic_arn, &topic.account);
    Ok(SetTopicAttributesOutput {})
}

pub(crate) async fn get_topic_attributes(cx: &mut Call, input: GetTopicAttributesInput) -> Result<GetTopicAttributesOutput, ApiError> {
    let topic = topic::load(cx, &input.topic_arn).await?;
    let region = cx.region.clone();
    let subscriptions = subscription::of_topic(&mut cx.tx, &region, &topic).await?;
    let confirmed = subscriptions.iter().filter(|subscription| subscription.confirmed).count();
    let effective = topic.delivery_policy.clone().unwrap_or_default();
    let policy = policy_principal::shown(cx, &topic.policy_text(&region)).await?;
    let mut attributes = BTreeMap::new();
    for (name, value) in [
        ("TopicArn", input.topic_arn),
        ("Owner", topic.account.clone()),
        ("Policy", policy),
        ("DisplayName", topic.display_name.clone()),
        ("SignatureVersion", SIGNATURE_VERSION.to_owned()),
        ("TracingConfig", "PassThrough".to_owned()),
        ("SubscriptionsConfirmed", confirmed.to_string()),
        ("SubscriptionsPending", subscriptions.len().saturating_sub(confirmed).to_string()),
        ("SubscriptionsDeleted", topic.subscriptions_deleted.to_string()),
        ("EffectiveDeliveryPolicy", effective.topic_text()),
    ] {
        attributes.insert(name.to_owned(), value);
    }
    if let Some(policy) = &topic.delivery_policy {
        attributes.insert("DeliveryPolicy".to_owned(), policy.topic_text());
    }
    Ok(GetTopicAttributesOutput { attributes: Some(attributes) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_is_one_that_the_policy_engine_accepts() {
        let arn = "arn:aws:sns:us-east-1:111111111111:t";
        assert_eq!(check_policy(&default_policy(arn, "111111111111"), arn), Ok(()));
        assert!(check_policy(&default_policy(arn, "111111111111"), "arn:aws:sns:us-east-1:111111111111:other").is_err());
    }
}
