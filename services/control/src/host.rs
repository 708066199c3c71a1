//! What the binary does for this service.

use async_trait::async_trait;
use plane::{ApiError, Transaction};

/// The root user's keys of a new account.
pub struct AccountKeys {
    pub access_key_id: String,
    pub secret_access_key: zeroize::Zeroizing<String>,
}

/// What a principal used of a model on a day.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageLine {
    /// `2026-11-28`.
    pub day: String,
    pub region: String,
    pub principal: String,
    pub model: String,
    pub tags: Vec<(String, String)>,
    pub calls: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost_usd: f64,
}

/// A body of a log entry, sealed under the key of a data subject.
pub struct LoggedBody {
    pub data_subject_id: String,
    pub request_id: String,
    /// `input` or `output`.
    pub part: String,
    pub sealed: String,
}

/// The process around the plane.
#[async_trait]
pub trait Host: Send + Sync + 'static {
    /// State is kept in memory and gone at exit.
    fn is_ephemeral(&self) -> bool;
    /// Moves the manual clock; gives the new time, milliseconds since 1970. `None`: the clock is the machine's.
    fn advance_clock(&self, by_ms: i64) -> Option<i64>;
    /// Makes a further account with generated root keys.
    async fn create_account(&self, account_id: String) -> Result<AccountKeys, ApiError>;
    /// Delivers what the log holds to every trail's bucket, with a digest where a trail has them.
    async fn deliver_trails(&self) -> Result<(), ApiError>;
    /// Keeps the secret of an upstream.
    fn put_upstream_secret(&self, tx: &mut Transaction, name: &str, value: &str) -> Result<(), ApiError>;
    /// Forgets the secret of an upstream. `false`: there is none.
    async fn delete_upstream_secret(&self, tx: &mut Transaction, name: &str) -> Result<bool, ApiError>;
    /// Names of all secrets of upstreams.
    async fn upstream_secrets(&self, tx: &mut Transaction) -> Result<Vec<String>, ApiError>;
    /// What an account used of models from the first day to the last, in all regions.
    async fn model_usage(&self, account: &str, from: &str, to: &str) -> Result<Vec<UsageLine>, ApiError>;
    /// Forgets the key of a data subject of an account; gives the subject's id, and whether there was a key.
    async fn erase_data_subject(&self, tx: &mut Transaction, account: &str, subject: &str) -> Result<(String, bool), ApiError>;
    /// Opens a body of the invocation log. `None`: the subject's key is gone.
    async fn open_logged_body(&self, tx: &mut Transaction, account: &str, body: LoggedBody) -> Result<Option<String>, ApiError>;
    /// Sets everything back to the state after the bootstrap, with the same root keys.
    async fn reset(&self) -> Result<(), ApiError>;
    /// Writes a consistent copy of all stores and the sealed keyring below `directory`, which must not exist. Gives the home store's revision.
    async fn back_up(&self, directory: String) -> Result<u64, ApiError>;
}
