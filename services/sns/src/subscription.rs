//! Subscriptions: asked for, confirmed by the endpoint, ended.
//!
//! Source: SNS API reference, `Subscribe`, `ConfirmSubscription`, `Unsubscribe`.

use api_sns::{
    ConfirmSubscriptionInput, ConfirmSubscriptionOutput, ListSubscriptionsByTopicInput, ListSubscriptionsByTopicOutput,
    ListSubscriptionsInput, ListSubscriptionsOutput, SubscribeInput, SubscribeOutput, Subscription as Shown, UnsubscribeInput,
    UnsubscribeOutput,
};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use transparency::merkle::sha256;

use crate::delivery::{self, Waiting};
use crate::delivery_policy::DeliveryPolicy;
use crate::error::SnsError;
use crate::filter_policy::{FilterPolicy, FilterScope};
use crate::message::{Letter, LetterKind};
use crate::topic::{self, TOPIC_TYPE, TopicRecord};
use crate::{listing, subscription_attribute};

/// Subscriptions of one topic.
const PER_TOPIC: usize = 1_000;
/// A token is good for so long, and a subscription that is not confirmed then is gone.
const PENDING_MS: i64 = 2 * 24 * 60 * 60 * 1000;
const TOKEN_BYTES: usize = 64;
const ENDPOINT_LENGTH: usize = 2_048;
/// What other protocols AWS knows.
const OTHER_PROTOCOLS: [&str; 7] = ["email", "email-json", "sms", "sqs", "application", "lambda", "firehose"];

/// A subscription.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SubscriptionRecord {
    pub id: String,
    pub topic_account: String,
    pub topic_name: String,
    pub topic_id: String,
    /// Who subscribed.
    pub owner: String,
    pub protocol: String,
    pub endpoint: String,
    pub created_ms: i64,
    pub confirmed: bool,
    /// SHA-256 of the token that was sent, hexadecimal.
    pub token_hash: String,
    /// Only with credentials is it ended.
    #[serde(default)]
    pub authenticated_end: bool,
    #[serde(default)]
    pub raw: bool,
    #[serde(default)]
    pub filter: Option<FilterPolicy>,
    #[serde(default)]
    pub filter_scope: FilterScope,
    #[serde(default)]
    pub delivery_policy: Option<DeliveryPolicy>,
}

impl Record for SubscriptionRecord {
    const TABLE: Table = Table("sns-subscription");
    const SCOPE: Scope = Scope::Region;
}

/// Finds the subscriptions of an account, also to topics of others. Written with its subscription.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct OwnedSubscription {
    pub topic_account: String,
    pub topic_name: String,
    pub id: String,
}

impl Record for OwnedSubscription {
    const TABLE: Table = Table("sns-subscription-owner");
    const SCOPE: Scope = Scope::Region;
}

fn place(topic_account: &str, region: &str, topic_name: &str) -> Key {
    Key::new(topic_account, region).then(topic_name)
}

impl SubscriptionRecord {
    pub(crate) fn topic_arn(&self, region: &str) -> String {
        topic::topic_arn(region, &self.topic_account, &self.topic_name)
    }

    pub(crate) fn arn(&self, region: &str) -> String {
        format!("{}:{}", self.topic_arn(region), self.id)
    }

    pub(crate) fn put(&self, tx: &mut Transaction, region: &str) -> Result<(), ApiError> {
        tx.put(&place(&self.topic_account, region, &self.topic_name).last(&self.id), self)?;
        let owned =
            OwnedSubscription { topic_account: self.topic_account.clone(), topic_name: self.topic_name.clone(), id: self.id.clone() };
        tx.put(&Key::new(&self.owner, region).last(self.arn(region)), &owned)
    }

    pub(crate) fn delete(&self, tx: &mut Transaction, region: &str) {
        tx.delete::<SubscriptionRecord>(&place(&self.topic_account, region, &self.topic_name).last(&self.id));
        tx.delete::<OwnedSubscription>(&Key::new(&self.owner, region).last(self.arn(region)));
    }

    fn is_over(&self, now_ms: i64) -> bool {
        !self.confirmed && now_ms.saturating_sub(self.created_ms) > PENDING_MS
    }
}

/// The parts of a subscription's ARN: region, account and name of the topic, id.
pub(crate) fn parse_arn(arn: &str) -> Option<(&str, &str, &str, &str)> {
    let (topic_arn, id) = arn.rsplit_once(':')?;
    let (region, account, name) = topic::parse_topic_arn(topic_arn)?;
    Some((region, account, name, id))
}

pub(crate) async fn find(tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<SubscriptionRecord>, ApiError> {
    let Some((_, account, name, id)) = parse_arn(arn).filter(|(found, ..)| *found == region) else { return Ok(None) };
    tx.get(&place(account, region, name).last(id)).await
}

/// The subscription of an ARN; who may do what with it is decided before.
pub(crate) async fn load(cx: &mut Call, arn: &str) -> Result<SubscriptionRecord, ApiError> {
    if parse_arn(arn).is_none() {
        return Err(SnsError::parameter("SubscriptionArn Reason: An ARN must have at least 6 elements").into());
    }
    let (region, now_ms) = (cx.region.clone(), cx.now.0);
    let found = find(&mut cx.tx, &region, arn).await?.filter(|subscription| !subscription.is_over(now_ms));
    found.ok_or_else(|| SnsError::SubscriptionMissing.into())
}

/// Every subscription of a topic, also those that wait to be confirmed.
pub(crate) async fn of_topic(tx: &mut Transaction, region: &str, topic: &TopicRecord) -> Result<Vec<SubscriptionRecord>, ApiError> {
    listing::all(tx, &place(&topic.account, region, &topic.name)).await
}

fn check_endpoint(protocol: &str, endpoint: Option<&str>) -> Result<String, SnsError> {
    if OTHER_PROTOCOLS.contains(&protocol) {
        return Err(SnsError::Parameter(format!("Protocol Reason: the protocol {protocol} is not supported")));
    }
    if !matches!(protocol, "http" | "https") {
        return Err(SnsError::Parameter(format!("Amazon SNS does not support this protocol string: {protocol}")));
    }
    let endpoint = endpoint.unwrap_or_default();
    if endpoint.strip_prefix(protocol).and_then(|rest| rest.strip_prefix("://")).is_none_or(str::is_empty) {
        return Err(SnsError::parameter("Endpoint must match the specified protocol"));
    }
    let is_url = endpoint.len() <= ENDPOINT_LENGTH && endpoint.parse::<http::Uri>().is_ok_and(|uri| uri.host().is_some());
    if is_url { Ok(endpoint.to_owned()) } else { Err(SnsError::parameter("Endpoint")) }
}

pub(crate) async fn subscribe(cx: &mut Call, input: SubscribeInput) -> Result<SubscribeOutput, ApiError> {
    let topic = topic::load(cx, &input.topic_arn).await?;
    let endpoint = check_endpoint(&input.protocol, input.endpoint.as_deref())?;
    let (region, now_ms) = (cx.region.clone(), cx.now.0);
    let known = of_topic(&mut cx.tx, &region, &topic).await?;
    let attributes = input.attributes.unwrap_or_default();
    let same = |subscription: &&SubscriptionRecord| {
        subscription.protocol == input.protocol
            && subscription.endpoint == endpoint
            && subscription.owner == cx.account
            && !subscription.is_over(now_ms)
    };
    let mut subscription = match known.iter().find(same) {
        Some(found) => {
            let mut changed = found.clone();
            for (name, value) in &attributes {
                subscription_attribute::set(&mut changed, &topic, name, value)?;
            }
            if changed != *found {
                return Err(SnsError::parameter("Attributes Reason: Subscription already exists with different attributes").into());
            }
            changed
        }
        None if known.len() >= PER_TOPIC => return Err(SnsError::TooManySubscriptions.into()),
        None => {
            let mut made = SubscriptionRecord {
                id: cx.random_uuid()?,
                topic_account: topic.account.clone(),
                topic_name: topic.name.clone(),
                topic_id: topic.id.clone(),
                owner: cx.account.clone(),
                protocol: input.protocol,
                endpoint,
                created_ms: now_ms,
                confirmed: false,
                token_hash: String::new(),
                authenticated_end: false,
                raw: false,
                filter: None,
                filter_scope: FilterScope::default(),
                delivery_policy: None,
            };
            for (name, value) in &attributes {
                subscription_attribute::set(&mut made, &topic, name, value)?;
            }
            made
        }
    };
    if !subscription.confirmed {
        ask(cx, &mut subscription)?;
        subscription.put(&mut cx.tx, &region)?;
    }
    cx.touch(TOPIC_TYPE, &input.topic_arn, &topic.account);
    let shown = subscription.confirmed || input.return_subscription_arn == Some(true);
    let arn = if shown { subscription.arn(&region) } else { "pending confirmation".to_owned() };
    Ok(SubscribeOutput { subscription_arn: Some(arn) })
}

/// Sends the endpoint the token that confirms.
fn ask(cx: &mut Call, subscription: &mut SubscriptionRecord) -> Result<(), ApiError> {
    let mut token = [0_u8; TOKEN_BYTES];
    cx.random(&mut token)?;
    let token = hex::encode(token);
    subscription.token_hash = hex::encode(sha256(token.as_bytes()));
    let topic_arn = subscription.topic_arn(&cx.region);
    let letter = Letter {
        message_id: cx.random_uuid()?,
        time_ms: cx.now.0,
        message: format!(
            "You have chosen to subscribe to the topic {topic_arn}.\nTo confirm the subscription, visit the SubscribeURL included in this message."
        ),
        kind: LetterKind::Confirmation { token },
    };
    delivery::send(cx, Waiting::new(subscription, letter))
}

/// What nobody known did is told to the topic's owner, too.
fn tell_owner(cx: &mut Call, account: &str) {
    if cx.principal.is_anonymous() {
        cx.audit.other_accounts.push(account.to_owned());
    }
}

pub(crate) async fn confirm_subscription(cx: &mut Call, input: ConfirmSubscriptionInput) -> Result<ConfirmSubscriptionOutput, ApiError> {
    let topic = topic::load(cx, &input.topic_arn).await?;
    let region = cx.region.clone();
    let authenticated_end = match input.authenticate_on_unsubscribe.as_deref() {
        None | Some("" | "false") => false,
        Some("true") => true,
        Some(_) => return Err(SnsError::parameter("AuthenticateOnUnsubscribe").into()),
    };
    if authenticated_end && cx.principal.is_anonymous() {
        let message = "A signed request is needed to make Unsubscribe need one";
        return Err(SnsError::Unauthorized(message.to_owned()).into());
    }
    let hash = hex::encode(sha256(input.token.as_bytes()));
    let now_ms = cx.now.0;
    let known = of_topic(&mut cx.tx, &region, &topic).await?;
    let mut subscription = known
        .into_iter()
        .find(|subscription| subscription.token_hash == hash && !subscription.is_over(now_ms))
        .ok_or_else(|| SnsError::parameter("Token"))?;
    // A token that is used again confirms the same subscription and changes nothing.
    if !subscription.confirmed {
        subscription.confirmed = true;
        subscription.authenticated_end = authenticated_end;
        subscription.put(&mut cx.tx, &region)?;
    }
    tell_owner(cx, &topic.account);
    cx.touch(TOPIC_TYPE, &input.topic_arn, &topic.account);
    Ok(ConfirmSubscriptionOutput { subscription_arn: Some(subscription.arn(&region)) })
}

pub(crate) async fn unsubscribe(cx: &mut Call, input: UnsubscribeInput) -> Result<UnsubscribeOutput, ApiError> {
    if parse_arn(&input.subscription_arn).is_none() {
        return Err(SnsError::parameter("SubscriptionArn Reason: An ARN must have at least 6 elements").into());
    }
    let region = cx.region.clone();
    // Ending what is not there is no error, as on AWS.
    let Some(subscription) = find(&mut cx.tx, &region, &input.subscription_arn).await? else { return Ok(UnsubscribeOutput {}) };
    if cx.principal.is_anonymous() && (subscription.authenticated_end || !subscription.confirmed) {
        return Err(SnsError::Unauthorized("The subscription is ended by its owner only".to_owned()).into());
    }
    subscription.delete(&mut cx.tx, &region);
    if let Some(mut topic) = topic::find(&mut cx.tx, &subscription.topic_account, &region, &subscription.topic_name).await? {
        topic.subscriptions_deleted = topic.subscriptions_deleted.saturating_add(1);
        topic.put(&mut cx.tx, &region)?;
    }
    tell_owner(cx, &subscription.topic_account);
    cx.touch(TOPIC_TYPE, &subscription.topic_arn(&region), &subscription.topic_account);
    Ok(UnsubscribeOutput {})
}

fn shown(subscription: &SubscriptionRecord, region: &str) -> Shown {
    Shown {
        subscription_arn: Some(if subscription.confirmed { subscription.arn(region) } else { "PendingConfirmation".to_owned() }),
        owner: Some(subscription.owner.clone()),
        protocol: Some(subscription.protocol.clone()),
        endpoint: Some(subscription.endpoint.clone()),
        topic_arn: Some(subscription.topic_arn(region)),
    }
}

pub(crate) async fn list_subscriptions(cx: &mut Call, input: ListSubscriptionsInput) -> Result<ListSubscriptionsOutput, ApiError> {
    let (region, now_ms) = (cx.region.clone(), cx.now.0);
    let mut subscriptions = Vec::new();
    for owned in listing::all::<OwnedSubscription>(&mut cx.tx, &Key::new(&cx.account, &region)).await? {
        subscriptions
            .extend(cx.tx.get::<SubscriptionRecord>(&place(&owned.topic_account, &region, &owned.topic_name).last(&owned.id)).await?);
    }
    subscriptions.retain(|subscription| !subscription.is_over(now_ms));
    let (page, next_token) =
        listing::cut(cx, subscriptions, |subscription| subscription.arn(&region), "subscriptions", input.next_token.as_deref())?;
    Ok(ListSubscriptionsOutput { subscriptions: Some(page.iter().map(|item| shown(item, &region)).collect()), next_token })
}

pub(crate) async fn list_subscriptions_by_topic(
    cx: &mut Call,
    input: ListSubscriptionsByTopicInput,
) -> Result<ListSubscriptionsByTopicOutput, ApiError> {
    let topic = topic::load(cx, &input.topic_arn).await?;
    let (region, now_ms) = (cx.region.clone(), cx.now.0);
    let mut subscriptions = of_topic(&mut cx.tx, &region, &topic).await?;
    subscriptions.retain(|subscription| !subscription.is_over(now_ms));
    let (page, next_token) = listing::cut(cx, subscriptions, |item| item.id.clone(), &input.topic_arn, input.next_token.as_deref())?;
    Ok(ListSubscriptionsByTopicOutput { subscriptions: Some(page.iter().map(|item| shown(item, &region)).collect()), next_token })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_fit_their_protocol() {
        assert_eq!(check_endpoint("https", Some("https://example.com/a?b=c")), Ok("https://example.com/a?b=c".to_owned()));
        for (protocol, endpoint) in [
            ("http", Some("https://example.com")),
            ("https", None),
            ("https", Some("https://")),
            ("email", Some("a@example.com")),
            ("gopher", Some("gopher://x")),
            ("http", Some("http://a b")),
            ("http", Some("http:///path")),
        ] {
            assert!(check_endpoint(protocol, endpoint).is_err(), "{protocol} {endpoint:?}");
        }
    }

    #[test]
    fn arns_of_subscriptions() {
        let arn = "arn:aws:sns:us-east-1:111111111111:news:1-2";
        assert_eq!(parse_arn(arn), Some(("us-east-1", "111111111111", "news", "1-2")));
        assert_eq!(parse_arn("arn:aws:sns:us-east-1:111111111111:news"), None);
    }
}
