//! Attributes of subscriptions.
//!
//! Source: SNS API reference, `SetSubscriptionAttributes`, `GetSubscriptionAttributes`.

use std::collections::BTreeMap;

use api_sns::{
    GetSubscriptionAttributesInput, GetSubscriptionAttributesOutput, SetSubscriptionAttributesInput, SetSubscriptionAttributesOutput,
};
use plane::{ApiError, Call};

use crate::delivery_policy::DeliveryPolicy;
use crate::error::SnsError;
use crate::filter_policy::{FilterPolicy, FilterScope};
use crate::subscription::{self, SubscriptionRecord};
use crate::topic::{self, TopicRecord};

/// Sets one attribute.
pub(crate) fn set(subscription: &mut SubscriptionRecord, topic: &TopicRecord, name: &str, value: &str) -> Result<(), ApiError> {
    match name {
        "RawMessageDelivery" => {
            subscription.raw = match value {
                "true" => true,
                "false" => false,
                _ => {
                    return Err(SnsError::Parameter(format!(
                        "Attributes Reason: RawMessageDelivery: Invalid value [{value}]. Must be true or false."
                    ))
                    .into());
                }
            };
        }
        "FilterPolicy" => subscription.filter = if value.is_empty() || value == "{}" { None } else { Some(FilterPolicy::parse(value)?) },
        "FilterPolicyScope" => {
            subscription.filter_scope = match value {
                "MessageAttributes" => FilterScope::MessageAttributes,
                "MessageBody" => FilterScope::MessageBody,
                _ => {
                    return Err(SnsError::Parameter(format!(
                        "FilterPolicyScope: Invalid value [{value}]. Please use either MessageBody or MessageAttributes"
                    ))
                    .into());
                }
            };
        }
        "DeliveryPolicy" => {
            if topic.delivery_policy.as_ref().is_some_and(|policy| policy.disable_overrides) && !value.is_empty() {
                return Err(SnsError::parameter("DeliveryPolicy: the topic disables the policies of its subscriptions").into());
            }
            subscription.delivery_policy = if value.is_empty() { None } else { Some(DeliveryPolicy::of_subscription(value)?) };
        }
        "RedrivePolicy" | "SubscriptionRoleArn" | "ReplayPolicy" if value.is_empty() => {}
        "RedrivePolicy" | "SubscriptionRoleArn" | "ReplayPolicy" => {
            return Err(SnsError::Parameter(format!("{name} Reason: the attribute is not supported")).into());
        }
        _ => return Err(SnsError::parameter("AttributeName").into()),
    }
    if let Some(filter) = &subscription.filter {
        filter.check_scope(subscription.filter_scope)?;
    }
    Ok(())
}

pub(crate) async fn set_subscription_attributes(
    cx: &mut Call,
    input: SetSubscriptionAttributesInput,
) -> Result<SetSubscriptionAttributesOutput, ApiError> {
    let mut subscription = subscription::load(cx, &input.subscription_arn).await?;
    let region = cx.region.clone();
    let found = topic::find(&mut cx.tx, &subscription.topic_account, &region, &subscription.topic_name).await?;
    let topic = found.ok_or(SnsError::TopicMissing)?;
    set(&mut subscription, &topic, &input.attribute_name, input.attribute_value.as_deref().unwrap_or_default())?;
    subscription.put(&mut cx.tx, &region)?;
    Ok(SetSubscriptionAttributesOutput {})
}

pub(crate) async fn get_subscription_attributes(
    cx: &mut Call,
    input: GetSubscriptionAttributesInput,
) -> Result<GetSubscriptionAttributesOutput, ApiError> {
    let subscription = subscription::load(cx, &input.subscription_arn).await?;
    let region = cx.region.clone();
    let topic = topic::find(&mut cx.tx, &subscription.topic_account, &region, &subscription.topic_name).await?;
    let flag = |flag: bool| flag.to_string();
    let mut attributes: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in [
        ("SubscriptionArn", input.subscription_arn),
        ("TopicArn", subscription.topic_arn(&region)),
        ("Owner", subscription.owner.clone()),
        ("Protocol", subscription.protocol.clone()),
        ("Endpoint", subscription.endpoint.clone()),
        ("PendingConfirmation", flag(!subscription.confirmed)),
        ("ConfirmationWasAuthenticated", flag(subscription.authenticated_end)),
        ("RawMessageDelivery", flag(subscription.raw)),
    ] {
        attributes.insert(name.to_owned(), value);
    }
    if let Some(filter) = &subscription.filter {
        attributes.insert("FilterPolicy".to_owned(), filter.text().to_owned());
        attributes.insert("FilterPolicyScope".to_owned(), subscription.filter_scope.name().to_owned());
    }
    if let Some(policy) = &subscription.delivery_policy {
        attributes.insert("DeliveryPolicy".to_owned(), policy.subscription_text());
    }
    let effective = subscription.delivery_policy.clone().or_else(|| topic.and_then(|topic| topic.delivery_policy)).unwrap_or_default();
    attributes.insert("EffectiveDeliveryPolicy".to_owned(), effective.subscription_text());
    Ok(GetSubscriptionAttributesOutput { attributes: Some(attributes) })
}
