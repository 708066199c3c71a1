//! Model invocation logging: what was asked and answered, in the customer's bucket and nowhere else.
//!
//! Source: Bedrock User Guide, "Monitor model invocation using CloudWatch Logs and Amazon S3". Bodies never reach the audit trail. Before
//! they are kept they are masked: what the call's guardrail masked stays masked, and every type of personal data and secret that the
//! `sensitive` engine knows and is sure of is replaced by its name.

pub(crate) mod configuration;
pub(crate) mod delivery;
pub(crate) mod entry;
pub(crate) mod log_group;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use plane::{Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;

/// The principal that delivers.
pub(crate) const SERVICE_PRINCIPAL: &str = "bedrock.amazonaws.com";
/// Entries that wait for delivery; beyond them the oldest are dropped and counted.
const ENTRIES_MAX: usize = 10_000;
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// The configuration of an account in a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoggingConfiguration {
    /// Where files go; none when only CloudWatch Logs is named.
    #[serde(default)]
    pub(crate) bucket: Option<String>,
    #[serde(default)]
    pub(crate) prefix: Option<String>,
    #[serde(default)]
    pub(crate) log_group: Option<LogGroup>,
    pub(crate) text: bool,
    pub(crate) images: bool,
    pub(crate) embeddings: bool,
    /// As given; nothing here makes video or audio.
    pub(crate) video: bool,
    pub(crate) audio: bool,
}

impl Record for LoggingConfiguration {
    const TABLE: Table = Table("bedrock-invocation-logging");
    const SCOPE: Scope = Scope::Region;
}

pub(crate) fn configuration_key(account: &str, region: &str) -> Key {
    Key::new(account, region).last("configuration")
}

/// A log group that entries go to, and the role in which they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogGroup {
    pub(crate) name: String,
    pub(crate) role_arn: String,
    /// Where bodies go that are too large for an event; without it they are left out.
    pub(crate) large_bodies: Option<Place>,
}

/// A place in S3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) prefix: Option<String>,
}

impl Place {
    /// Folder of the log in the bucket, with a slash at its end.
    pub(crate) fn folder(&self, account: &str, region: &str) -> String {
        let prefix = self.prefix.as_ref().map(|prefix| format!("{}/", prefix.trim_end_matches('/'))).unwrap_or_default();
        format!("{prefix}AWSLogs/{account}/BedrockModelInvocationLogs/{region}/")
    }
}

impl LoggingConfiguration {
    /// Where files go.
    pub(crate) fn place(&self) -> Option<Place> {
        self.bucket.clone().map(|bucket| Place { bucket, prefix: self.prefix.clone() })
    }
}

/// An entry that waits.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) request_id: String,
    pub(crate) time_ms: i64,
    /// Whom the bodies are about, where the server is told.
    pub(crate) subject: Option<String>,
    pub(crate) entry: serde_json::Map<String, serde_json::Value>,
    /// What has arrived already, when the other place refused it.
    pub(crate) in_bucket: bool,
    pub(crate) in_log_group: bool,
    bytes: usize,
}

/// Entries on their way. They are in memory until they are delivered; a server that is killed loses those of the last moments, as AWS's
/// best-effort delivery may.
#[derive(Default)]
pub(crate) struct InvocationLog {
    waiting: Mutex<Vec<Waiting>>,
    pub(crate) dropped: AtomicU64,
}

impl InvocationLog {
    pub(crate) fn push(&self, waiting: Waiting) {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(waiting);
        let mut bytes: usize = all.iter().map(|waiting| waiting.bytes).sum();
        while all.len() > ENTRIES_MAX || bytes > BYTES_MAX {
            let oldest = all.remove(0);
            bytes = bytes.saturating_sub(oldest.bytes);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(account = oldest.account, "an entry of the invocation log is dropped: its bucket takes none");
        }
    }

    /// Takes the bodies about a data subject out of what waits.
    pub(crate) fn forget(&self, account: &str, subject: &str) {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for waiting in all.iter_mut().filter(|waiting| waiting.account == account) {
            if waiting.subject.as_deref() == Some(subject) {
                for (part, body) in [("input", "inputBodyJson"), ("output", "outputBodyJson")] {
                    waiting.entry.get_mut(part).and_then(serde_json::Value::as_object_mut).map(|members| members.remove(body));
                }
            }
        }
    }

    /// Everything that waits in a region.
    pub(crate) fn take(&self, region: &str) -> Vec<Waiting> {
        let mut all = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, left) = std::mem::take(&mut *all).into_iter().partition(|waiting| waiting.region == region);
        *all = left;
        taken
    }
}
