//! Delivery policies: how often and after which waits a notification is tried again.
//!
//! Source: SNS Developer Guide, "Creating an HTTP/S delivery policy".

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::error::SnsError;

/// Longest wait and most tries. Source: as above.
const DELAY_S: u32 = 3_600;
const RETRIES: u32 = 100;

/// How waits grow between the shortest and the longest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Backoff {
    #[default]
    Linear,
    Arithmetic,
    Geometric,
    Exponential,
}

/// `healthyRetryPolicy`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RetryPolicy {
    #[serde(default = "twenty")]
    pub min_delay_target: u32,
    #[serde(default = "twenty")]
    pub max_delay_target: u32,
    #[serde(default = "three")]
    pub num_retries: u32,
    #[serde(default)]
    pub num_max_delay_retries: u32,
    #[serde(default)]
    pub num_no_delay_retries: u32,
    #[serde(default)]
    pub num_min_delay_retries: u32,
    #[serde(default)]
    pub backoff_function: Backoff,
}

const fn twenty() -> u32 {
    20
}

const fn three() -> u32 {
    3
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            min_delay_target: twenty(),
            max_delay_target: twenty(),
            num_retries: three(),
            num_max_delay_retries: 0,
            num_no_delay_retries: 0,
            num_min_delay_retries: 0,
            backoff_function: Backoff::Linear,
        }
    }
}

impl RetryPolicy {
    fn check(&self) -> Result<(), SnsError> {
        let phases = self.num_no_delay_retries.saturating_add(self.num_min_delay_retries).saturating_add(self.num_max_delay_retries);
        let is_right = self.min_delay_target >= 1
            && self.min_delay_target <= self.max_delay_target
            && self.max_delay_target <= DELAY_S
            && self.num_retries <= RETRIES
            && phases <= self.num_retries;
        if is_right { Ok(()) } else { Err(SnsError::parameter("DeliveryPolicy: the numbers of the retry policy do not fit together")) }
    }

    /// Seconds to wait before the retry of this number, from 1; `None`: there is none.
    pub(crate) fn delay_s(&self, retry: u32) -> Option<u32> {
        if retry == 0 || retry > self.num_retries {
            return None;
        }
        if retry <= self.num_no_delay_retries {
            return Some(0);
        }
        let retry = retry.saturating_sub(self.num_no_delay_retries);
        if retry <= self.num_min_delay_retries {
            return Some(self.min_delay_target);
        }
        let retry = retry.saturating_sub(self.num_min_delay_retries);
        let growing = self
            .num_retries
            .saturating_sub(self.num_no_delay_retries)
            .saturating_sub(self.num_min_delay_retries)
            .saturating_sub(self.num_max_delay_retries);
        if retry > growing {
            return Some(self.max_delay_target);
        }
        let (least, most) = (f64::from(self.min_delay_target), f64::from(self.max_delay_target));
        // From 0 at the first of the growing waits to 1 at the last.
        let at = if growing > 1 { f64::from(retry.saturating_sub(1)) / f64::from(growing.saturating_sub(1)) } else { 0.0 };
        let wait = match self.backoff_function {
            Backoff::Linear => least + (most - least) * at,
            Backoff::Arithmetic => least + (most - least) * at * at,
            Backoff::Geometric | Backoff::Exponential => least * (most / least).powf(at),
        };
        (self.min_delay_target..=self.max_delay_target).rev().find(|seconds| f64::from(*seconds) <= wait + 0.5)
    }
}

/// The policy of a topic or a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeliveryPolicy {
    pub retry: RetryPolicy,
    /// Subscriptions cannot have another.
    pub disable_overrides: bool,
}

fn refused(problem: &dyn std::fmt::Display) -> SnsError {
    SnsError::Parameter(format!("DeliveryPolicy: {problem}"))
}

fn retry_of(json: Option<&Json>) -> Result<RetryPolicy, SnsError> {
    let Some(json) = json.filter(|json| !json.is_null()) else { return Ok(RetryPolicy::default()) };
    let retry: RetryPolicy = serde_json::from_value(json.clone()).map_err(|error| refused(&error))?;
    retry.check().map(|()| retry)
}

/// Members beside those that are known, and those that are not honoured.
fn only(json: &Json, known: &[&str]) -> Result<(), SnsError> {
    let members = json.as_object().ok_or_else(|| refused(&"an object is expected"))?;
    match members.iter().find(|(name, value)| !known.contains(&name.as_str()) && !value.is_null()) {
        Some((name, _)) => Err(refused(&format!("`{name}` is not supported"))),
        None => Ok(()),
    }
}

impl DeliveryPolicy {
    /// Reads `{"http": {"defaultHealthyRetryPolicy": {...}, "disableSubscriptionOverrides": false}}`.
    pub(crate) fn of_topic(text: &str) -> Result<Self, SnsError> {
        let json: Json = serde_json::from_str(text).map_err(|error| refused(&error))?;
        only(&json, &["http"])?;
        let http = json.get("http").ok_or_else(|| refused(&"`http` is missing"))?;
        only(http, &["defaultHealthyRetryPolicy", "disableSubscriptionOverrides"])?;
        let disable_overrides = match http.get("disableSubscriptionOverrides") {
            None | Some(Json::Null) => false,
            Some(flag) => flag.as_bool().ok_or_else(|| refused(&"`disableSubscriptionOverrides` is true or false"))?,
        };
        Ok(Self { retry: retry_of(http.get("defaultHealthyRetryPolicy"))?, disable_overrides })
    }

    /// Reads `{"healthyRetryPolicy": {...}}`.
    pub(crate) fn of_subscription(text: &str) -> Result<Self, SnsError> {
        let json: Json = serde_json::from_str(text).map_err(|error| refused(&error))?;
        only(&json, &["healthyRetryPolicy"])?;
        Ok(Self { retry: retry_of(json.get("healthyRetryPolicy"))?, disable_overrides: false })
    }

    pub(crate) fn topic_text(&self) -> String {
        json!({ "http": { "defaultHealthyRetryPolicy": self.retry, "disableSubscriptionOverrides": self.disable_overrides } }).to_string()
    }

    pub(crate) fn subscription_text(&self) -> String {
        json!({ "healthyRetryPolicy": self.retry }).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_policy_there_are_three_retries() {
        let retry = RetryPolicy::default();
        assert_eq!([0, 1, 2, 3, 4].map(|number| retry.delay_s(number)), [None, Some(20), Some(20), Some(20), None]);
    }

    #[test]
    fn waits_go_through_the_phases() {
        let text = r#"{"healthyRetryPolicy":{"minDelayTarget":10,"maxDelayTarget":40,"numRetries":7,"numNoDelayRetries":1,
            "numMinDelayRetries":1,"numMaxDelayRetries":1,"backoffFunction":"linear"}}"#;
        let policy = DeliveryPolicy::of_subscription(text).unwrap();
        let waits: Vec<_> = (1..=8).map(|number| policy.retry.delay_s(number)).collect();
        assert_eq!(waits, [Some(0), Some(10), Some(10), Some(20), Some(30), Some(40), Some(40), None]);
        assert_eq!(DeliveryPolicy::of_subscription(&policy.subscription_text()), Ok(policy));
    }

    #[test]
    fn waits_grow_with_every_function() {
        for function in [Backoff::Linear, Backoff::Arithmetic, Backoff::Geometric, Backoff::Exponential] {
            let retry = RetryPolicy { max_delay_target: 600, num_retries: 10, backoff_function: function, ..RetryPolicy::default() };
            let waits: Vec<_> = (1..=10).map(|number| retry.delay_s(number).unwrap()).collect();
            assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]), "{waits:?}");
            assert_eq!((waits.first(), waits.last()), (Some(&20), Some(&600)));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for bad in [
            "",
            "{}",
            "[]",
            r#"{"http":{"defaultThrottlePolicy":{"maxReceivesPerSecond":1}}}"#,
            r#"{"http":{"defaultHealthyRetryPolicy":{"numRetries":101}}}"#,
            r#"{"http":{"defaultHealthyRetryPolicy":{"minDelayTarget":50,"maxDelayTarget":20}}}"#,
            r#"{"http":{"defaultHealthyRetryPolicy":{"numRetries":1,"numNoDelayRetries":2}}}"#,
            r#"{"http":{"defaultHealthyRetryPolicy":{"other":1}}}"#,
        ] {
            assert!(DeliveryPolicy::of_topic(bad).is_err(), "{bad}");
        }
    }
}
