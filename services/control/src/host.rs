//! What the binary does for this service.

use async_trait::async_trait;
use plane::ApiError;

/// The root user's keys of a new account.
pub struct AccountKeys {
    pub access_key_id: String,
    pub secret_access_key: zeroize::Zeroizing<String>,
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
    /// Sets everything back to the state after the bootstrap, with the same root keys.
    async fn reset(&self) -> Result<(), ApiError>;
    /// Writes a consistent copy of all stores and the sealed keyring below `directory`, which must not exist. Gives the home store's revision.
    async fn back_up(&self, directory: String) -> Result<u64, ApiError>;
}
