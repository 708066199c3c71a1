//! Session tokens: temporary credentials without a record. Everything that a session is stands sealed in its token.

use std::sync::Arc;

use keyring::{Domain, Keyring};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::ApiError;
use crate::principal::{Credential, Principal};

/// Version of the token's content.
const FORMAT: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Content {
    format: u8,
    secret: String,
    principal: Principal,
}

/// New temporary credentials.
pub struct Issued {
    pub access_key_id: String,
    pub secret_access_key: Zeroizing<String>,
    pub session_token: String,
}

/// Letters of access key ids.
pub const KEY_ID_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Letters of secrets and tokens.
pub const SECRET_ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn domain() -> Domain<'static> {
    Domain::new("session-token", "", "")
}

/// Seals a session into a token. The principal's `access_key_id` and `session` must be set.
pub fn issue(keyring: &Keyring, access_key_id: String, secret: Zeroizing<String>, principal: &Principal) -> Result<Issued, ApiError> {
    use base64::Engine as _;
    let content = Content { format: FORMAT, secret: secret.to_string(), principal: principal.clone() };
    let plain = Zeroizing::new(serde_json::to_vec(&content)?);
    let sealed = keyring.seal(&domain(), access_key_id.as_bytes(), &plain).map_err(|error| ApiError::internal(&error))?;
    let session_token = base64::engine::general_purpose::STANDARD.encode(sealed);
    Ok(Issued { access_key_id, secret_access_key: secret, session_token })
}

/// Opens a token that came with `access_key_id`. `None`: it is not one of ours, or not of this key.
pub fn open(keyring: &Keyring, access_key_id: &str, token: &str) -> Option<Credential> {
    use base64::Engine as _;
    let sealed = base64::engine::general_purpose::STANDARD.decode(token).ok()?;
    let plain = Zeroizing::new(keyring.open_record(&domain(), access_key_id.as_bytes(), &sealed).ok()?);
    let content: Content = serde_json::from_slice(&plain).ok()?;
    if content.format != FORMAT {
        return None;
    }
    Some(Credential { secret: Zeroizing::new(content.secret), principal: Arc::new(content.principal), expires_ms: None })
}
