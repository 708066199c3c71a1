//! The public keys of OpenID Connect providers: fetched through the one outbound client, kept, and fetched again when a token names a key that
//! is not among them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use federation::jwt::{Jwt, KeySet};
use outbound::{AddressRule, Client, Limits};
use plane::ApiError;
use serde::Deserialize;

use crate::error::StsError;

/// Keys are used this long without asking again.
const FRESH_MS: i64 = 3_600_000;
/// Unknown key ids cause a fetch no more often than this, per provider.
const PAUSE_MS: i64 = 2_000;
/// Providers whose keys are kept.
const PROVIDERS: usize = 1_000;
const BODY_LIMIT_BYTES: u64 = 256 * 1024;

struct Known {
    fetched_ms: i64,
    keys: Arc<KeySet>,
}

/// Keys by provider (URL without scheme).
pub struct ProviderKeys {
    client: Client,
    known: Mutex<HashMap<String, Known>>,
}

#[derive(Deserialize)]
struct Configuration {
    issuer: String,
    jwks_uri: String,
}

fn unreachable(error: &dyn std::fmt::Display) -> ApiError {
    tracing::debug!(%error, "the keys of an identity provider were not fetched");
    StsError::IdpCommunicationError("Error communicating with the identity provider.".to_owned()).into()
}

fn no_key() -> ApiError {
    let text = "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation \
                for requirements";
    StsError::InvalidIdentityToken(text.to_owned()).into()
}

impl ProviderKeys {
    /// Fetches through a client that reaches public addresses and what `rule` names.
    pub fn new(rule: AddressRule) -> Self {
        let limits = Limits {
            connect_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_secs(5),
            part_timeout: Duration::from_secs(5),
            body_limit_bytes: BODY_LIMIT_BYTES,
        };
        Self { client: Client::new(rule, limits), known: Mutex::default() }
    }

    /// Passes when one of the provider's keys made the token's signature.
    pub(crate) async fn verify(&self, jwt: &Jwt, provider: &str, now_ms: i64) -> Result<(), ApiError> {
        let keys = self.keys(jwt, provider, now_ms).await?;
        if !keys.has(jwt.key_id.as_deref()) {
            return Err(no_key());
        }
        if keys.verifies(jwt) {
            return Ok(());
        }
        Err(StsError::InvalidIdentityToken("The ID Token provided is not signed by its identity provider.".to_owned()).into())
    }

    fn known(&self, provider: &str) -> Option<(i64, Arc<KeySet>)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(provider).map(|known| (known.fetched_ms, Arc::clone(&known.keys)))
    }

    async fn keys(&self, jwt: &Jwt, provider: &str, now_ms: i64) -> Result<Arc<KeySet>, ApiError> {
        if let Some((fetched_ms, keys)) = self.known(provider) {
            let age_ms = now_ms.saturating_sub(fetched_ms);
            let rotated = !keys.has(jwt.key_id.as_deref()) && age_ms >= PAUSE_MS;
            if age_ms < FRESH_MS && !rotated {
                return Ok(keys);
            }
        }
        let keys = Arc::new(self.fetch(provider).await?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= PROVIDERS {
            known.clear();
        }
        known.insert(provider.to_owned(), Known { fetched_ms: now_ms, keys: Arc::clone(&keys) });
        Ok(keys)
    }

    async fn fetch(&self, provider: &str) -> Result<KeySet, ApiError> {
        let body = self.get(&format!("https://{provider}/.well-known/openid-configuration")).await?;
        let configuration: Configuration = serde_json::from_slice(&body).map_err(|error| unreachable(&error))?;
        // A document of another issuer must not lend its keys to this one.
        if configuration.issuer.trim_end_matches('/') != format!("https://{provider}") || !configuration.jwks_uri.starts_with("https://") {
            return Err(no_key());
        }
        let body = self.get(&configuration.jwks_uri).await?;
        KeySet::read(&body).map_err(|error| unreachable(&error))
    }

    async fn get(&self, url: &str) -> Result<Bytes, ApiError> {
        let request =
            http::Request::get(url).header("accept", "application/json").body(Bytes::new()).map_err(|error| unreachable(&error))?;
        let answer = self.client.send(request).await.map_err(|error| unreachable(&error))?;
        if answer.status() != http::StatusCode::OK {
            return Err(unreachable(&answer.status()));
        }
        answer.into_body().collect().await.map_err(|error| unreachable(&error))
    }
}
