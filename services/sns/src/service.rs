//! SNS as a service of the plane.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use outbound::AddressRule;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Handler, Service, Target, Transaction, handler};
use serde_json::{Value as Json, json};
use wire::Value;

use crate::delivery::Courier;
use crate::topic::TOPIC_TYPE;
use crate::{publish, subscription, subscription_attribute, tag, topic, topic_attribute, topic_permission};

const HANDLERS: &[Handler] = &[
    handler!("AddPermission", topic_permission::add_permission),
    handler!("ConfirmSubscription", subscription::confirm_subscription),
    handler!("CreateTopic", topic::create_topic),
    handler!("DeleteTopic", topic::delete_topic),
    handler!("GetSubscriptionAttributes", subscription_attribute::get_subscription_attributes),
    handler!("GetTopicAttributes", topic_attribute::get_topic_attributes),
    handler!("ListSubscriptions", subscription::list_subscriptions),
    handler!("ListSubscriptionsByTopic", subscription::list_subscriptions_by_topic),
    handler!("ListTagsForResource", tag::list_tags_for_resource),
    handler!("ListTopics", topic::list_topics),
    handler!("Publish", publish::publish),
    handler!("PublishBatch", publish::publish_batch),
    handler!("RemovePermission", topic_permission::remove_permission),
    handler!("SetSubscriptionAttributes", subscription_attribute::set_subscription_attributes),
    handler!("SetTopicAttributes", topic_attribute::set_topic_attributes),
    handler!("Subscribe", subscription::subscribe),
    handler!("TagResource", tag::tag_resource),
    handler!("Unsubscribe", subscription::unsubscribe),
    handler!("UntagResource", tag::untag_resource),
];
const HIDDEN: &str = "HIDDEN_DUE_TO_SECURITY_REASONS";

/// The service.
pub struct Sns {
    courier: Arc<Courier>,
}

impl Sns {
    /// Brings notifications to public addresses and what `rule` names.
    pub fn new(rule: AddressRule) -> Self {
        Self { courier: Arc::new(Courier::new(rule)) }
    }
}

fn text(input: &Value, member: &str) -> String {
    input.member(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[async_trait]
impl Service for Sns {
    fn id(&self) -> &'static str {
        api_sns::SERVICE
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        HANDLERS
    }

    fn extension(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::clone(&self.courier) as Arc<dyn Any + Send + Sync>)
    }

    fn denied_code(&self) -> Option<&'static str> {
        Some("AuthorizationError")
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        let own = |resource_arn: String| vec![Target { action: format!("sns:{}", call.operation.name), resource_arn }];
        let is_anonymous = call.principal.is_anonymous();
        Ok(match call.operation.name {
            // The token, which only the endpoint got, is the permission; so is the link that every notification brings.
            "ConfirmSubscription" | "Unsubscribe" if is_anonymous => Some(Vec::new()),
            "ConfirmSubscription" => Some(own(text(input, "TopicArn"))),
            "GetSubscriptionAttributes" | "SetSubscriptionAttributes" | "Unsubscribe" => {
                let arn = text(input, "SubscriptionArn");
                let Some((region, account, name, _)) = subscription::parse_arn(&arn) else { return Ok(Some(own("*".to_owned()))) };
                // The topic's owner is asked for the topic; whoever else subscribed to it, for the subscription.
                Some(own(if account == call.account { topic::topic_arn(region, account, name) } else { arn.clone() }))
            }
            _ => None,
        })
    }

    async fn resource(&self, tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        if let Some((arn_region, account, name)) = topic::parse_topic_arn(arn) {
            if arn_region != region {
                return Ok(None);
            }
            let Some(topic) = topic::find(tx, account, region, name).await? else { return Ok(None) };
            return Ok(Some(ResourceAccess {
                account: account.to_owned(),
                policy: topic.access_policy(region),
                tags: topic.tags,
                resource_type: Some(TOPIC_TYPE),
                ..ResourceAccess::default()
            }));
        }
        let Some(subscription) = subscription::find(tx, region, arn).await? else { return Ok(None) };
        Ok(Some(ResourceAccess { account: subscription.owner, ..ResourceAccess::default() }))
    }

    /// Messages and tokens are in no event. Source: SNS Developer Guide, "Logging AWS SNS API calls using AWS CloudTrail".
    fn request_parameters(&self, call: &Call, input: &Value) -> Option<Json> {
        match call.operation.name {
            "Publish" => {
                let arn = input.member("TopicArn").or_else(|| input.member("TargetArn")).and_then(Value::as_str);
                Some(json!({ "topicArn": arn, "message": HIDDEN, "subject": HIDDEN }))
            }
            "PublishBatch" => {
                let Some(Value::List(entries)) = input.member("PublishBatchRequestEntries") else { return None };
                let entries: Vec<Json> = entries.iter().map(|entry| json!({ "id": text(entry, "Id"), "message": HIDDEN })).collect();
                Some(json!({ "topicArn": text(input, "TopicArn"), "publishBatchRequestEntries": entries }))
            }
            "ConfirmSubscription" => Some(json!({ "topicArn": text(input, "TopicArn"), "token": HIDDEN })),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_with_types_has_a_handler() {
        let handled: Vec<&str> = HANDLERS.iter().map(|handler| handler.operation).collect();
        assert_eq!(handled, api_sns::OPERATIONS);
    }
}
