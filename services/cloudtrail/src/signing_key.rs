//! Keys that sign digest files: one RSA key pair per region at a time, a new one after [`LIFE_MS`].
//!
//! Source: CloudTrail User Guide, "CloudTrail digest file structure" (SHA256withRSA; the fingerprint is the MD5 of the public key in PKCS#1
//! DER form).

use ::trail::statement::Subject;
use ::trail::{Statement, StatementKind};
use api_cloudtrail::{ListPublicKeysInput, ListPublicKeysOutput, PublicKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use md5::{Digest, Md5};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use transparency::merkle::sha256;
use wire::Timestamp;

use crate::error::TrailError;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// A key signs for so long.
const LIFE_MS: i64 = 90 * DAY_MS;
/// Keys on one page.
const PAGE_LENGTH: usize = 100;

/// A key pair; the record is sealed like every other.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SigningKey {
    pub fingerprint: String,
    /// PKCS#1 DER, hexadecimal.
    public: String,
    /// PKCS#8 DER, hexadecimal.
    private: zeroize::Zeroizing<String>,
    pub start_ms: i64,
    pub end_ms: i64,
}

impl Record for SigningKey {
    const TABLE: Table = Table("cloudtrail-signing-key");
    const SCOPE: Scope = Scope::Region;
}

impl SigningKey {
    fn generate(now_ms: i64) -> Result<Self, ApiError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|error| ApiError::internal(&error))?;
        let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|error| ApiError::internal(&error))?;
        let public = pair.public_key().as_ref();
        Ok(Self {
            fingerprint: hex::encode(Md5::digest(public)),
            public: hex::encode(public),
            private: zeroize::Zeroizing::new(hex::encode(private.as_ref())),
            start_ms: now_ms,
            end_ms: now_ms.saturating_add(LIFE_MS),
        })
    }

    /// What the log says of it, so that no other key can take its place.
    pub(crate) fn statement(&self) -> Result<Statement, ApiError> {
        let public = hex::decode(&self.public).map_err(|error| ApiError::internal(&error))?;
        Ok(Statement::new(StatementKind::SigningKey, self.start_ms, Subject::default(), &self.fingerprint, sha256(&public)))
    }

    /// Signature over the text, hexadecimal.
    pub(crate) fn sign(&self, text: &str) -> Result<String, ApiError> {
        let der = zeroize::Zeroizing::new(hex::decode(self.private.as_str()).map_err(|error| ApiError::internal(&error))?);
        let pair = KeyPair::from_pkcs8(&der).map_err(|error| ApiError::internal(&error))?;
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).map_err(|error| ApiError::internal(&error))?;
        Ok(hex::encode(signature))
    }
}

fn keys(region: &str) -> Key {
    Key::new("", region)
}

/// The key that signs now, and whether it is new: made when there is none, or when the last one's life is over.
pub(crate) async fn current(tx: &mut Transaction, region: &str, now_ms: i64) -> Result<(SigningKey, bool), ApiError> {
    let known = tx.scan::<SigningKey>(&keys(region), None, SCAN_LIMIT).await?;
    // The newest one. It may begin later than now where the clock was set back: then it is in force all the same.
    let newest = known.into_iter().max_by_key(|(_, key)| key.start_ms);
    if let Some((_, key)) = newest.filter(|(_, key)| now_ms < key.end_ms) {
        return Ok((key, false));
    }
    let key = SigningKey::generate(now_ms)?;
    tx.put(&keys(region).last(&key.fingerprint), &key)?;
    Ok((key, true))
}

pub(crate) async fn list_public_keys(cx: &mut Call, input: ListPublicKeysInput) -> Result<ListPublicKeysOutput, ApiError> {
    let end_ms = input.end_time.map_or(cx.now.0, |time| time.0);
    let start_ms = input.start_time.map_or(end_ms, |time| time.0);
    if start_ms > end_ms {
        return Err(TrailError::TimeRange.into());
    }
    let region = cx.region.clone();
    let mut known: Vec<SigningKey> = cx
        .tx
        .scan::<SigningKey>(&keys(&region), None, SCAN_LIMIT)
        .await?
        .into_iter()
        .map(|(_, key)| key)
        .filter(|key| key.start_ms <= end_ms && key.end_ms >= start_ms)
        .collect();
    known.sort_unstable_by(|left, right| left.fingerprint.cmp(&right.fingerprint));
    let filter = format!("{start_ms} {end_ms}");
    let page = cx.page(known, |key| key.fingerprint.clone(), &filter, input.next_token.as_deref(), PAGE_LENGTH).map_err(crate::of_page)?;
    let shown = page.items.into_iter().map(|key| {
        let value = hex::decode(&key.public).map_err(|error| ApiError::internal(&error))?;
        Ok(PublicKey {
            value: Some(value.into()),
            validity_start_time: Some(Timestamp(key.start_ms)),
            validity_end_time: Some(Timestamp(key.end_ms)),
            fingerprint: Some(key.fingerprint),
        })
    });
    Ok(ListPublicKeysOutput { public_key_list: Some(shown.collect::<Result<_, ApiError>>()?), next_token: page.next })
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_signature_verifies_under_the_published_key() {
        let key = SigningKey::generate(0).unwrap();
        let public = hex::decode(&key.public).unwrap();
        assert_eq!(key.fingerprint, hex::encode(Md5::digest(&public)));
        let signature = hex::decode(key.sign("text").unwrap()).unwrap();
        let verifier = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &public);
        assert!(verifier.verify(b"text", &signature).is_ok());
        assert!(verifier.verify(b"other", &signature).is_err());
    }
}
