//! Notification: a topic is told of each log file that a trail has delivered.
//!
//! Source: CloudTrail User Guide, "Configuring Amazon SNS notifications for CloudTrail" and "Amazon SNS topic policy for CloudTrail".

use plane::{ApiError, Call};
use policy::MapContext;
use serde::{Deserialize, Serialize};
use serde_json::json;
use wire::{FromValue as _, Struct, Value};

use crate::delivery::{Course, retry_wait_ms};
use crate::destination;
use crate::error::TrailError;

/// Files that one message names.
const FILES: usize = 100;
const NAME_LENGTH: usize = 256;

/// Files of which the topic is not told yet, and how the last try went.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Notices {
    pub keys: Vec<String>,
    #[serde(default)]
    pub attempt_ms: Option<i64>,
    #[serde(default)]
    pub notified_ms: Option<i64>,
    /// Error code of the last attempt, when it failed.
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    failures: u32,
    #[serde(default)]
    retry_ms: i64,
}

/// The ARN of the topic that a caller names by name or ARN, when CloudTrail may publish there.
pub(crate) async fn check(cx: &mut Call, trail_arn: &str, topic: &str) -> Result<String, ApiError> {
    let arn = match topic.strip_prefix("arn:") {
        Some(_) => topic.to_owned(),
        None => format!("arn:{}:sns:{}:{}:{topic}", plane::PARTITION, cx.region, cx.account),
    };
    let parts: Vec<&str> = arn.split(':').collect();
    let [_, partition, "sns", region, _, name] = parts.as_slice() else { return Err(TrailError::TopicName.into()) };
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let is_name = (1..=NAME_LENGTH).contains(&name.len()) && name.bytes().all(is_part);
    if *partition != plane::PARTITION || !is_name || cx.plane.regions.position(region).is_none() {
        return Err(TrailError::TopicName.into());
    }
    let caller = destination::caller(trail_arn, &cx.account);
    let plane = std::sync::Arc::clone(&cx.plane);
    let may = plane.is_service_allowed(&caller, region, ("sns", "Publish"), ("sns:Publish", &arn), &MapContext::new()).await?;
    if may { Ok(arn) } else { Err(TrailError::TopicPolicy.into()) }
}

impl Course<'_> {
    /// Tells the topic of the files that it has not been told of.
    pub(crate) async fn notify(&self) -> Result<(), ApiError> {
        let Some(topic) = &self.trail.topic_arn else { return Ok(()) };
        loop {
            let (_, delivery) = self.open().await?;
            let told: Vec<String> = delivery.notices.keys.iter().take(FILES).cloned().collect();
            if told.is_empty() || (delivery.notices.retry_ms > self.now_ms() && !self.now_please) {
                return Ok(());
            }
            let result = self.publish(topic, &told).await;
            let (tx, mut delivery) = self.open().await?;
            let now_ms = self.now_ms();
            let notices = &mut delivery.notices;
            notices.attempt_ms = Some(now_ms);
            let failed = result.err();
            match &failed {
                None => {
                    notices.keys.retain(|key| !told.contains(key));
                    notices.notified_ms = Some(now_ms);
                    notices.error = None;
                    notices.failures = 0;
                    notices.retry_ms = 0;
                }
                Some(error) => {
                    notices.error = Some(error.code.to_string());
                    notices.retry_ms = now_ms.saturating_add(retry_wait_ms(notices.failures));
                    notices.failures = notices.failures.saturating_add(1);
                }
            }
            self.close(tx, &delivery).await?;
            if let Some(error) = failed {
                tracing::debug!(%error, trail = self.trail.arn(), "the topic of a trail will be told later");
                return Ok(());
            }
        }
    }

    async fn publish(&self, topic: &str, keys: &[String]) -> Result<(), ApiError> {
        let region = topic.split(':').nth(3).unwrap_or_default();
        let message = json!({ "s3Bucket": self.trail.bucket, "s3ObjectKey": keys }).to_string();
        let mut input = Struct::new();
        input.set("TopicArn", Value::Str(topic.to_owned()));
        input.set("Message", Value::Str(message));
        let input = api_sns::PublishInput::from_value(Value::Struct(input)).map_err(|error| ApiError::internal(&error))?;
        let caller = destination::caller(&self.trail.arn(), &self.trail.account);
        self.plane.call_as_service(&caller, region, input, None).await.map(drop)
    }
}
