//! Messages on their way: what is kept in the queue, and the HTTP requests that they become.
//!
//! Source: SNS Developer Guide, "HTTP/HTTPS notification JSON format", "Parsing Amazon SNS message formats", "Verifying the signatures of Amazon
//! SNS messages".

use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use plane::ApiError;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::signing_key::{CERTIFICATES, SigningKey};
use crate::subscription::SubscriptionRecord;
use crate::topic_attribute::SIGNATURE_VERSION;

/// An attribute of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attribute {
    pub data_type: String,
    /// Bytes are base64.
    pub value: String,
}

impl Attribute {
    /// As filter policies see it.
    pub(crate) fn filter_value(&self) -> Json {
        match self.data_type.split('.').next() {
            Some("Number") => self.value.parse::<f64>().ok().map_or(Json::Null, |number| json!(number)),
            Some("String") if self.data_type == "String.Array" => {
                serde_json::from_str::<Json>(&self.value).ok().filter(Json::is_array).unwrap_or(Json::Null)
            }
            Some("String") => Json::String(self.value.clone()),
            // Bytes are not matched.
            _ => Json::Null,
        }
    }
}

/// What a letter is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum LetterKind {
    Confirmation { token: String },
    Notification { subject: Option<String>, attributes: BTreeMap<String, Attribute> },
}

/// A message to one endpoint.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Letter {
    pub message_id: String,
    pub time_ms: i64,
    pub message: String,
    pub kind: LetterKind,
}

fn iso8601_ms(time_ms: i64) -> Result<String, ApiError> {
    let time = jiff::Timestamp::from_millisecond(time_ms).map_err(|error| ApiError::internal(&error))?;
    Ok(format!("{time:.3}"))
}

/// A text inside a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b':' | b'/' => escaped.push(char::from(byte)),
            other => {
                let _ = write!(escaped, "%{other:02X}");
            }
        }
    }
    escaped
}

/// Who sends letters.
pub(crate) struct Sender<'a> {
    pub region: &'a str,
    /// What the letters' links begin with. Not the name that a subscriber called: others are to believe the links.
    pub public_url: &'a str,
    pub key: &'a SigningKey,
}

impl Letter {
    fn type_name(&self) -> &'static str {
        match self.kind {
            LetterKind::Confirmation { .. } => "SubscriptionConfirmation",
            LetterKind::Notification { .. } => "Notification",
        }
    }

    /// The request that brings the letter.
    pub(crate) fn request(&self, subscription: &SubscriptionRecord, sender: &Sender<'_>) -> Result<Request<Bytes>, ApiError> {
        let region = sender.region;
        let is_raw = subscription.raw && matches!(self.kind, LetterKind::Notification { .. });
        let body = if is_raw { self.message.clone() } else { self.body(subscription, sender)?.to_string() };
        let mut request = Request::post(&subscription.endpoint)
            .header("content-type", "text/plain; charset=UTF-8")
            .header("user-agent", "Bailiwick Notification Agent")
            .header("x-amz-sns-message-type", self.type_name())
            .header("x-amz-sns-message-id", &self.message_id)
            .header("x-amz-sns-topic-arn", subscription.topic_arn(region));
        if matches!(self.kind, LetterKind::Notification { .. }) {
            request = request.header("x-amz-sns-subscription-arn", subscription.arn(region));
        }
        if is_raw {
            request = request.header("x-amz-sns-rawdelivery", "true");
        }
        request.body(Bytes::from(body)).map_err(|error| ApiError::internal(&error))
    }

    /// The signed JSON.
    fn body(&self, subscription: &SubscriptionRecord, sender: &Sender<'_>) -> Result<Json, ApiError> {
        let Sender { region, public_url, key } = *sender;
        let topic_arn = subscription.topic_arn(region);
        let timestamp = iso8601_ms(self.time_ms)?;
        let mut members = Map::new();
        let mut set = |name: &str, value: Json| members.insert(name.to_owned(), value);
        set("Type", json!(self.type_name()));
        set("MessageId", json!(self.message_id));
        set("TopicArn", json!(topic_arn));
        set("Message", json!(self.message));
        set("Timestamp", json!(timestamp));
        set("SignatureVersion", json!(SIGNATURE_VERSION));
        set("SigningCertURL", json!(format!("{public_url}{CERTIFICATES}{}", key.file_name())));
        match &self.kind {
            LetterKind::Confirmation { token } => {
                let query = format!("Action=ConfirmSubscription&Version=2010-03-31&TopicArn={}&Token={token}", escaped(&topic_arn));
                set("Token", json!(token));
                set("SubscribeURL", json!(format!("{public_url}/?{query}")));
            }
            LetterKind::Notification { subject, attributes } => {
                if let Some(subject) = subject {
                    set("Subject", json!(subject));
                }
                let arn = escaped(&subscription.arn(region));
                set("UnsubscribeURL", json!(format!("{public_url}/?Action=Unsubscribe&Version=2010-03-31&SubscriptionArn={arn}")));
                if !attributes.is_empty() {
                    let shown = attributes
                        .iter()
                        .map(|(name, attribute)| (name.clone(), json!({ "Type": attribute.data_type, "Value": attribute.value })));
                    set("MessageAttributes", Json::Object(shown.collect()));
                }
            }
        }
        let signature = key.sign(&string_to_sign(&members))?;
        members.insert("Signature".to_owned(), json!(STANDARD.encode(signature)));
        Ok(Json::Object(members))
    }
}

/// The signed members in the order of their names, those that are there.
fn string_to_sign(members: &Map<String, Json>) -> String {
    let mut text = String::new();
    for name in ["Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"] {
        if let Some(value) = members.get(name).and_then(Json::as_str) {
            text.push_str(name);
            text.push('\n');
            text.push_str(value);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed() {
        let members =
            json!({ "Type": "Notification", "MessageId": "1", "TopicArn": "arn", "Message": "text\nmore", "Timestamp": "t", "Other": "x" });
        let text = string_to_sign(members.as_object().unwrap());
        assert_eq!(text, "Message\ntext\nmore\nMessageId\n1\nTimestamp\nt\nTopicArn\narn\nType\nNotification\n");
    }

    #[test]
    fn texts_in_a_query() {
        assert_eq!(escaped("arn:aws:sns:r:1:a-b_c d&"), "arn:aws:sns:r:1:a-b_c%20d%26");
        assert_eq!(iso8601_ms(1_790_000_000_007).unwrap(), "2026-09-21T14:13:20.007Z");
    }
}
