//! Topics.
//!
//! Source: SNS API reference, `CreateTopic`, `DeleteTopic`, `ListTopics`.

use std::collections::BTreeMap;

use api_sns::{CreateTopicInput, CreateTopicOutput, DeleteTopicInput, DeleteTopicOutput, ListTopicsInput, ListTopicsOutput, Topic};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::delivery_policy::DeliveryPolicy;
use crate::error::SnsError;
use crate::{listing, subscription, tag, topic_attribute};

const NAME_LENGTH: usize = 256;
pub(crate) const TOPIC_TYPE: &str = "AWS::SNS::Topic";

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TopicRecord {
    /// Never used again: a topic of the same name that is made later is another one.
    pub id: String,
    pub name: String,
    pub account: String,
    pub created_ms: i64,
    #[serde(default)]
    pub display_name: String,
    /// As it was given; without one the default policy holds.
    #[serde(default)]
    pub policy: Option<String>,
    #[serde(default)]
    pub delivery_policy: Option<DeliveryPolicy>,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    #[serde(default)]
    pub subscriptions_deleted: u64,
}

impl Record for TopicRecord {
    const TABLE: Table = Table("sns-topic");
    const SCOPE: Scope = Scope::Region;
}

/// The ARN of a topic.
pub fn topic_arn(region: &str, account: &str, name: &str) -> String {
    format!("arn:{}:sns:{region}:{account}:{name}", plane::PARTITION)
}

/// Region, account and name in the ARN of a topic.
pub fn parse_topic_arn(arn: &str) -> Option<(&str, &str, &str)> {
    let mut parts = arn.split(':');
    let (scheme, partition, service) = (parts.next()?, parts.next()?, parts.next()?);
    let found = (parts.next()?, parts.next()?, parts.next()?);
    let is_topic = scheme == "arn" && partition == plane::PARTITION && service == "sns" && parts.next().is_none() && is_name(found.2);
    is_topic.then_some(found)
}

pub(crate) fn is_name(name: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=NAME_LENGTH).contains(&name.len()) && name.bytes().all(is_part)
}

pub(crate) fn key(account: &str, region: &str, name: &str) -> Key {
    Key::new(account, region).last(name)
}

impl TopicRecord {
    pub(crate) fn arn(&self, region: &str) -> String {
        topic_arn(region, &self.account, &self.name)
    }

    pub(crate) fn put(&self, tx: &mut Transaction, region: &str) -> Result<(), ApiError> {
        tx.put(&key(&self.account, region, &self.name), self)
    }
}

pub(crate) async fn find(tx: &mut Transaction, account: &str, region: &str, name: &str) -> Result<Option<TopicRecord>, ApiError> {
    tx.get(&key(account, region, name)).await
}

/// The topic of an ARN, whoever owns it: who may do what with it is decided before.
pub(crate) async fn load(cx: &mut Call, arn: &str) -> Result<TopicRecord, ApiError> {
    let (region, account, name) = parse_topic_arn(arn).ok_or_else(|| SnsError::parameter("TopicArn"))?;
    if region != cx.region {
        return Err(SnsError::parameter("TopicArn").into());
    }
    find(&mut cx.tx, account, region, name).await?.ok_or_else(|| SnsError::TopicMissing.into())
}

fn check_name(name: &str) -> Result<(), SnsError> {
    if let Some(stem) = name.strip_suffix(".fifo")
        && is_name(stem)
    {
        return Err(SnsError::parameter("Topic Name Reason: FIFO topics are not supported"));
    }
    if is_name(name) { Ok(()) } else { Err(SnsError::parameter("Topic Name")) }
}

pub(crate) async fn create_topic(cx: &mut Call, input: CreateTopicInput) -> Result<CreateTopicOutput, ApiError> {
    check_name(&input.name)?;
    if input.data_protection_policy.is_some_and(|policy| !policy.is_empty()) {
        return Err(SnsError::parameter("DataProtectionPolicy Reason: data protection is not supported").into());
    }
    let (account, region) = (cx.account.clone(), cx.region.clone());
    let arn = topic_arn(&region, &account, &input.name);
    let mut given = input.attributes.unwrap_or_default();
    if let Some(policy) = given.get_mut("Policy") {
        *policy = topic_attribute::stored_policy(cx, policy).await?;
    }
    let tags = tag::from_input(input.tags)?;
    if let Some(known) = find(&mut cx.tx, &account, &region, &input.name).await? {
        same_again(known, &given, &tags, &region)?;
        return Ok(CreateTopicOutput { topic_arn: Some(arn) });
    }
    let mut topic = TopicRecord {
        id: cx.random_uuid()?,
        name: input.name,
        account: account.clone(),
        created_ms: cx.now.0,
        display_name: String::new(),
        policy: None,
        delivery_policy: None,
        tags,
        subscriptions_deleted: 0,
    };
    for (name, value) in &given {
        topic_attribute::set(&mut topic, &region, name, value)?;
    }
    topic.put(&mut cx.tx, &region)?;
    cx.touch(TOPIC_TYPE, &arn, &account);
    Ok(CreateTopicOutput { topic_arn: Some(arn) })
}

/// A topic may be made again with what it has.
fn same_again(known: TopicRecord, given: &BTreeMap<String, String>, tags: &[(String, String)], region: &str) -> Result<(), ApiError> {
    let mut changed = known.clone();
    for (name, value) in given {
        topic_attribute::set(&mut changed, region, name, value)?;
    }
    if changed != known {
        return Err(SnsError::parameter("Attributes Reason: Topic already exists with different attributes").into());
    }
    if tags.iter().any(|tag| !known.tags.contains(tag)) {
        return Err(SnsError::parameter("Tags Reason: Topic already exists with different tags").into());
    }
    Ok(())
}

pub(crate) async fn delete_topic(cx: &mut Call, input: DeleteTopicInput) -> Result<DeleteTopicOutput, ApiError> {
    let (region, account, name) = parse_topic_arn(&input.topic_arn).ok_or_else(|| SnsError::parameter("TopicArn"))?;
    if region != cx.region {
        return Err(SnsError::parameter("TopicArn").into());
    }
    // Deleting what is not there is no error, as on AWS.
    if let Some(topic) = find(&mut cx.tx, account, region, name).await? {
        for subscription in subscription::of_topic(&mut cx.tx, region, &topic).await? {
            subscription.delete(&mut cx.tx, region);
        }
        cx.tx.delete::<TopicRecord>(&key(account, region, name));
        cx.touch(TOPIC_TYPE, &input.topic_arn, account);
    }
    Ok(DeleteTopicOutput {})
}

pub(crate) async fn list_topics(cx: &mut Call, input: ListTopicsInput) -> Result<ListTopicsOutput, ApiError> {
    let region = cx.region.clone();
    let topics = listing::all::<TopicRecord>(&mut cx.tx, &Key::new(&cx.account, &region)).await?;
    let (shown, next_token) = listing::cut(cx, topics, |topic| topic.name.clone(), "topics", input.next_token.as_deref())?;
    let topics = shown.iter().map(|topic| Topic { topic_arn: Some(topic.arn(&region)) });
    Ok(ListTopicsOutput { topics: Some(topics.collect()), next_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_topics() {
        let arn = topic_arn("us-east-1", "111111111111", "news");
        assert_eq!(parse_topic_arn(&arn), Some(("us-east-1", "111111111111", "news")));
        for bad in
            ["news", "arn:aws:sns:us-east-1:1", &format!("{arn}:subscription"), "arn:aws:sns:us-east-1:1:a b", "arn:aws:sqs:us-east-1:1:a"]
        {
            assert_eq!(parse_topic_arn(bad), None, "{bad}");
        }
        assert!(check_name("a.fifo").is_err() && check_name("a.b").is_err() && check_name("A-b_9").is_ok() && check_name("").is_err());
    }
}
