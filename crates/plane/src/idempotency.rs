//! Idempotency tokens: the same token with the same input answers what it answered before; with another input it is refused.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Value;

use crate::call::Call;
use crate::error::ApiError;
use crate::record::{Key, Record, Scope};

/// How long a token is remembered.
const LIFETIME_MS: i64 = 24 * 3600 * 1000;

/// A remembered answer, in the bytes of the protocol that the first call spoke.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Remembered {
    request_hash: String,
    expires_ms: i64,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Record for Remembered {
    const TABLE: Table = Table("idempotency");
    const SCOPE: Scope = Scope::Region;
}

/// The key and input hash of a call that bears a token.
pub(crate) struct Token {
    key: Key,
    request_hash: String,
}

/// The call's token, if the facts say that its operation has one and the caller gave it.
pub(crate) fn token(call: &Call, input: &Value) -> Option<Token> {
    let member = call.operation.idempotency_token?;
    let token = input.member(member)?.as_str()?;
    let key =
        Key::new(&call.account, &call.region).then(call.service.head.id).then(call.operation.name).then(&call.principal.arn).last(token);
    let digest = digest::digest(&digest::SHA256, format!("{:?} {input:?}", call.protocol).as_bytes());
    Some(Token { key, request_hash: hex::encode(digest) })
}

/// An earlier answer to this token. A token that was used with other input is an error.
pub(crate) async fn replay(call: &mut Call, token: &Token) -> Result<Option<Remembered>, ApiError> {
    let Some(remembered) = call.tx.get::<Remembered>(&token.key).await? else { return Ok(None) };
    if remembered.expires_ms < call.now.0 {
        return Ok(None);
    }
    if remembered.request_hash != token.request_hash {
        let code = ["IdempotentParameterMismatchException", "IdempotentParameterMismatch", "ConflictException"]
            .into_iter()
            .find(|code| call.operation.errors.iter().any(|id| call.service.shape(*id).name == *code))
            .unwrap_or("ValidationException");
        return Err(ApiError::new(code, "The request uses the same client token as a previous, but non-identical request."));
    }
    Ok(Some(remembered))
}

/// Remembers the answer in the commit of the call's effect.
pub(crate) fn remember(call: &mut Call, token: &Token, answer: &wire::Encoded) -> Result<(), ApiError> {
    let headers = answer.headers.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
    let remembered = Remembered {
        request_hash: token.request_hash.clone(),
        expires_ms: call.now.0.saturating_add(LIFETIME_MS),
        status: answer.status,
        headers,
        body: answer.body.clone(),
    };
    call.tx.put(&token.key, &remembered)
}
