//! Secrets of upstreams: sealed records, set by the operator and read when an upstream is called. They never leave the server again but
//! in the header of that call.

use async_trait::async_trait;
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Key, Plane, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use zeroize::Zeroizing;

use crate::upstream::server::Secrets;

/// Longest secret, bytes.
const LENGTH_MAX: usize = 4_096;

#[derive(Clone, Serialize, Deserialize)]
struct UpstreamSecret {
    value: String,
}

impl Record for UpstreamSecret {
    const TABLE: Table = Table("bedrock-upstream-secret");
    const SCOPE: Scope = Scope::Home;
}

fn key(name: &str) -> Key {
    Key::shared().last(name)
}

/// Keeps a secret; the earlier one of this name is gone.
pub fn put_secret(tx: &mut Transaction, name: &str, value: &str) -> Result<(), ApiError> {
    let is_header = value.bytes().all(|byte| (0x20..0x7F).contains(&byte));
    if value.is_empty() || value.len() > LENGTH_MAX || !is_header {
        let message = format!("a secret has 1 to {LENGTH_MAX} visible ASCII characters");
        return Err(ApiError::new("ValidationException", message));
    }
    tx.put(&key(name), &UpstreamSecret { value: value.to_owned() })
}

/// Forgets a secret. `false`: there is none.
pub async fn delete_secret(tx: &mut Transaction, name: &str) -> Result<bool, ApiError> {
    let found = tx.get::<UpstreamSecret>(&key(name)).await?.is_some();
    if found {
        tx.delete::<UpstreamSecret>(&key(name));
    }
    Ok(found)
}

/// Names of all secrets.
pub async fn list_secrets(tx: &mut Transaction) -> Result<Vec<String>, ApiError> {
    let rows = tx.scan::<UpstreamSecret>(&Key::shared(), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(name, _)| String::from_utf8_lossy(&name).into_owned()).collect())
}

#[async_trait]
impl Secrets for Plane {
    async fn secret(&self, name: &str) -> Result<Option<Zeroizing<String>>, ApiError> {
        let found = self.transaction(0).get::<UpstreamSecret>(&key(name)).await?;
        Ok(found.map(|secret| Zeroizing::new(secret.value)))
    }
}
