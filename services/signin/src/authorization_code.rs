//! Codes: what the page gives to the program that opened it.

use aws_lc_rs::digest::{SHA256, digest};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::signed_in_user::SignedInUser;

/// Ten minutes: the longest that RFC 6749, section 4.1.2, recommends.
pub(crate) const LIFETIME_MS: i64 = 10 * 60 * 1000;
/// Random characters of a code.
const LENGTH: usize = 43;
/// Codes that ended are taken away, so many with each new one.
const FORGOTTEN: u32 = 10;

/// A code that was not used yet, under its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AuthorizationCodeRecord {
    pub user: SignedInUser,
    pub client_id: String,
    pub redirect_uri: String,
    /// SHA-256 of the verifier, base64url.
    pub code_challenge: String,
    pub expires_ms: i64,
}

impl Record for AuthorizationCodeRecord {
    const TABLE: Table = Table("signin.authorization-code");
    const SCOPE: Scope = Scope::Home;
}

/// Keys are in order of time, so that those that ended are found.
fn ended_at(expires_ms: i64) -> String {
    format!("{expires_ms:020}")
}

fn key(code: &str) -> Option<Key> {
    let (expires, random) = code.split_once('-')?;
    let expires_ms: i64 = expires.parse().ok().filter(|expires_ms| *expires_ms >= 0)?;
    (random.len() == LENGTH).then(|| Key::shared().then(&ended_at(expires_ms)).last(digest(&SHA256, code.as_bytes()).as_ref()))
}

/// Makes a code for the record.
pub(crate) async fn create(cx: &mut Call, record: &AuthorizationCodeRecord) -> Result<String, ApiError> {
    let random = cx.random_id(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", LENGTH)?;
    let code = format!("{}-{random}", record.expires_ms);
    forget_ended(cx).await?;
    let key = key(&code).ok_or_else(|| ApiError::internal(&"a code has not its own form"))?;
    cx.tx.put(&key, record)?;
    Ok(code)
}

async fn forget_ended(cx: &mut Call) -> Result<(), ApiError> {
    let before = ended_at(cx.now.0);
    let ended = cx.tx.scan_reverse::<AuthorizationCodeRecord>(&Key::shared(), before.as_bytes(), FORGOTTEN).await?;
    for (rest, _) in ended {
        cx.tx.delete::<AuthorizationCodeRecord>(&Key::shared().last(&rest));
    }
    Ok(())
}

/// What the code stands for, if it was not used.
pub(crate) async fn find(tx: &mut Transaction, code: &str) -> Result<Option<AuthorizationCodeRecord>, ApiError> {
    match key(code) {
        Some(key) => tx.get(&key).await,
        None => Ok(None),
    }
}

/// Uses the code up.
pub(crate) fn use_up(tx: &mut Transaction, code: &str) {
    if let Some(key) = key(code) {
        tx.delete::<AuthorizationCodeRecord>(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_of_the_first_version_is_read() {
        let text = r#"{"user":{"account":"111111111111","arn":"arn:aws:iam::111111111111:user/ana","id":"AIDA","signed_in_ms":1,
            "mfa_ms":null,"password_set_ms":0},"client_id":"arn:aws:signin:::devtools/same-device",
            "redirect_uri":"http://127.0.0.1:1/","code_challenge":"x","expires_ms":2}"#;
        let record: AuthorizationCodeRecord = serde_json::from_str(text).unwrap();
        assert_eq!((record.user.id.as_str(), record.expires_ms), ("AIDA", 2));
    }

    #[test]
    fn only_the_form_of_a_code_is_looked_up() {
        assert!(key(&format!("12-{}", "a".repeat(LENGTH))).is_some());
        for code in ["", "12", "12-a", "x-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "-1-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert!(key(code).is_none(), "{code}");
        }
    }
}
