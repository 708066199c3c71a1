//! `Publish` and `PublishBatch`: a message goes into the queue of each subscription that takes it.
//!
//! Source: SNS API reference, `Publish`, `PublishBatch`.

use std::collections::{BTreeMap, BTreeSet};

use api_sns::{
    BatchResultErrorEntry, MessageAttributeValue, PublishBatchInput, PublishBatchOutput, PublishBatchResultEntry, PublishInput,
    PublishOutput,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plane::{ApiError, Call};
use serde_json::Value as Json;

use crate::delivery::{self, Waiting};
use crate::error::SnsError;
use crate::message::{Attribute, Letter, LetterKind};
use crate::subscription::{self, SubscriptionRecord};
use crate::topic::{self, TOPIC_TYPE, TopicRecord};

/// Bytes of a message with its attributes, and of a batch.
const BYTES: usize = 256 * 1024;
const SUBJECT_LENGTH: usize = 100;
const ENTRIES: usize = 10;
const ENTRY_ID_LENGTH: usize = 80;

/// A message as it is published.
struct Message {
    text: String,
    /// By protocol, when the structure is JSON.
    by_protocol: Option<BTreeMap<String, String>>,
    subject: Option<String>,
    attributes: BTreeMap<String, Attribute>,
}

/// The members that `Publish` and the entries of a batch have in common.
struct Given {
    message: String,
    subject: Option<String>,
    structure: Option<String>,
    attributes: Option<BTreeMap<String, MessageAttributeValue>>,
    group: Option<String>,
    deduplication: Option<String>,
}

impl Given {
    fn size(&self) -> usize {
        let attributes = self.attributes.iter().flatten().map(|(name, value)| {
            let bytes = value.binary_value.as_ref().map_or(0, bytes::Bytes::len);
            name.len() + value.data_type.len() + value.string_value.as_ref().map_or(0, String::len) + bytes
        });
        self.message.len() + attributes.sum::<usize>()
    }

    fn check(self) -> Result<Message, SnsError> {
        if self.group.is_some() || self.deduplication.is_some() {
            return Err(SnsError::parameter(
                "MessageGroupId Reason: The request includes MessageGroupId parameter that is not valid for this topic type",
            ));
        }
        if self.message.is_empty() {
            return Err(SnsError::parameter("Empty message"));
        }
        if self.size() > BYTES {
            return Err(SnsError::parameter("Message too long"));
        }
        let subject = self.subject.filter(|subject| !subject.is_empty());
        if subject.as_ref().is_some_and(|subject| !is_subject(subject)) {
            return Err(SnsError::parameter("Subject"));
        }
        let by_protocol = match self.structure.as_deref() {
            None | Some("") => None,
            Some("json") => Some(by_protocol(&self.message)?),
            Some(_) => return Err(SnsError::parameter("MessageStructure")),
        };
        let attributes = self.attributes.unwrap_or_default().into_iter().map(|(name, value)| {
            let attribute = attribute(&name, value)?;
            Ok((name, attribute))
        });
        Ok(Message { text: self.message, by_protocol, subject, attributes: attributes.collect::<Result<_, _>>()? })
    }
}

/// Source: SNS API reference, `Publish`: ASCII that begins with a letter, digit or mark, without line breaks, shorter than 100 characters.
fn is_subject(subject: &str) -> bool {
    subject.len() <= SUBJECT_LENGTH && subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && !subject.starts_with(' ')
}

/// The texts for each protocol of a structured message.
fn by_protocol(message: &str) -> Result<BTreeMap<String, String>, SnsError> {
    let refused = || SnsError::parameter("Message Structure - JSON message body failed to parse");
    let json: Json = serde_json::from_str(message).map_err(|_| refused())?;
    let members = json.as_object().ok_or_else(refused)?;
    let texts: BTreeMap<String, String> =
        members.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    if texts.contains_key("default") {
        Ok(texts)
    } else {
        Err(SnsError::parameter("Message Structure - No default entry in JSON message body"))
    }
}

fn attribute(name: &str, value: MessageAttributeValue) -> Result<Attribute, SnsError> {
    let refused = |reason: &str| SnsError::Value(format!("The message attribute '{name}' {reason}"));
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_name = (1..=256).contains(&name.len()) && name.bytes().all(is_part) && !name.starts_with('.') && !name.ends_with('.');
    let lower = name.to_ascii_lowercase();
    if !is_name || name.contains("..") || lower.starts_with("aws.") || lower.starts_with("amazon.") {
        return Err(refused("has a name that is not allowed."));
    }
    let kind = value.data_type.split('.').next().unwrap_or_default().to_owned();
    let text = match (kind.as_str(), value.string_value, value.binary_value) {
        ("String" | "Number", Some(text), None) if !text.is_empty() => text,
        ("Binary", None, Some(bytes)) if !bytes.is_empty() => STANDARD.encode(bytes),
        ("String" | "Number" | "Binary", ..) => return Err(refused("must contain a non-empty value of its type.")),
        _ => {
            return Err(refused(
                "has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String.",
            ));
        }
    };
    if kind == "Number" && text.parse::<f64>().map_or(true, |number| !number.is_finite()) {
        return Err(refused("is no number."));
    }
    Ok(Attribute { data_type: value.data_type, value: text })
}

/// Puts a message into the queues; gives its id.
fn send(cx: &mut Call, message: &Message, subscriptions: &[SubscriptionRecord]) -> Result<String, ApiError> {
    let message_id = cx.random_uuid()?;
    for subscription in subscriptions.iter().filter(|subscription| subscription.confirmed) {
        let takes =
            |filter: &crate::filter_policy::FilterPolicy| filter.takes(subscription.filter_scope, &message.text, &message.attributes);
        if subscription.filter.as_ref().is_some_and(|filter| !takes(filter)) {
            continue;
        }
        let text = match &message.by_protocol {
            Some(texts) => texts.get(&subscription.protocol).or_else(|| texts.get("default")).cloned().unwrap_or_default(),
            None => message.text.clone(),
        };
        let letter = Letter {
            message_id: message_id.clone(),
            time_ms: cx.now.0,
            message: text,
            kind: LetterKind::Notification { subject: message.subject.clone(), attributes: message.attributes.clone() },
        };
        delivery::send(cx, Waiting::new(subscription, letter))?;
    }
    Ok(message_id)
}

async fn topic_of(cx: &mut Call, arn: &str) -> Result<(TopicRecord, Vec<SubscriptionRecord>), ApiError> {
    let topic = topic::load(cx, arn).await?;
    let region = cx.region.clone();
    let subscriptions = subscription::of_topic(&mut cx.tx, &region, &topic).await?;
    cx.touch(TOPIC_TYPE, arn, &topic.account);
    Ok((topic, subscriptions))
}

pub(crate) async fn publish(cx: &mut Call, input: PublishInput) -> Result<PublishOutput, ApiError> {
    if input.phone_number.is_some() {
        return Err(SnsError::parameter("PhoneNumber Reason: messages to phones are not supported").into());
    }
    let ((Some(arn), None) | (None, Some(arn))) = (input.topic_arn, input.target_arn) else {
        return Err(SnsError::parameter("TopicArn or TargetArn Reason: exactly one is needed").into());
    };
    let given = Given {
        message: input.message,
        subject: input.subject,
        structure: input.message_structure,
        attributes: input.message_attributes,
        group: input.message_group_id,
        deduplication: input.message_deduplication_id,
    };
    let (_, subscriptions) = topic_of(cx, &arn).await?;
    let message = given.check()?;
    let message_id = send(cx, &message, &subscriptions)?;
    Ok(PublishOutput { message_id: Some(message_id), sequence_number: None })
}

pub(crate) async fn publish_batch(cx: &mut Call, input: PublishBatchInput) -> Result<PublishBatchOutput, ApiError> {
    let (_, subscriptions) = topic_of(cx, &input.topic_arn).await?;
    let entries = input.publish_batch_request_entries;
    let is_id = |id: &str| {
        (1..=ENTRY_ID_LENGTH).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    if entries.is_empty() {
        return Err(SnsError::EmptyBatch.into());
    }
    if entries.len() > ENTRIES {
        return Err(SnsError::TooManyEntries.into());
    }
    if !entries.iter().all(|entry| is_id(&entry.id)) {
        return Err(SnsError::EntryId.into());
    }
    if entries.iter().map(|entry| entry.id.as_str()).collect::<BTreeSet<_>>().len() != entries.len() {
        return Err(SnsError::IdsNotDistinct.into());
    }
    let given: Vec<(String, Given)> = entries
        .into_iter()
        .map(|entry| {
            let given = Given {
                message: entry.message,
                subject: entry.subject,
                structure: entry.message_structure,
                attributes: entry.message_attributes,
                group: entry.message_group_id,
                deduplication: entry.message_deduplication_id,
            };
            (entry.id, given)
        })
        .collect();
    if given.iter().map(|(_, given)| given.size()).sum::<usize>() > BYTES {
        return Err(SnsError::BatchTooLong.into());
    }
    let (mut successful, mut failed) = (Vec::new(), Vec::new());
    for (id, given) in given {
        match given.check() {
            Ok(message) => {
                let message_id = send(cx, &message, &subscriptions)?;
                successful.push(PublishBatchResultEntry { id: Some(id), message_id: Some(message_id), sequence_number: None });
            }
            Err(error) => {
                let error = ApiError::from(error);
                failed.push(BatchResultErrorEntry { id, code: error.code.into_owned(), message: Some(error.message), sender_fault: true });
            }
        }
    }
    Ok(PublishBatchOutput { successful: Some(successful), failed: Some(failed) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_have_rules() {
        assert!(is_subject("Deploy done") && is_subject(&"x".repeat(100)));
        for bad in ["two\nlines", "Grüße", " first", &"x".repeat(101)] {
            assert!(!is_subject(bad), "{bad}");
        }
    }

    #[test]
    fn structured_messages_have_a_default() {
        assert_eq!(by_protocol(r#"{"default":"a","http":"b","x":1}"#).unwrap().len(), 2);
        assert!(by_protocol(r#"{"http":"b"}"#).is_err() && by_protocol("[]").is_err() && by_protocol("x").is_err());
    }

    #[test]
    fn attributes_have_a_type_and_a_value() {
        let value = |kind: &str, text: Option<&str>| MessageAttributeValue {
            data_type: kind.to_owned(),
            string_value: text.map(str::to_owned),
            binary_value: None,
        };
        assert!(attribute("a", value("String", Some("x"))).is_ok() && attribute("a", value("Number.int", Some("1e3"))).is_ok());
        for (name, kind, text) in [
            ("a", "String", None),
            ("a", "String", Some("")),
            ("a", "Text", Some("x")),
            ("a", "Number", Some("x")),
            ("AWS.a", "String", Some("x")),
            ("a b", "String", Some("x")),
            ("a", "Binary", Some("x")),
        ] {
            assert!(attribute(name, value(kind, text)).is_err(), "{name} {kind} {text:?}");
        }
    }
}
