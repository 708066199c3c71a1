//! Keys that sign notifications: one RSA key pair per region at a time, each with a certificate that anybody may fetch.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use plane::{ApiError, Key, Plane, Record, Scope, Transaction};
use rcgen::{CertificateParams, DnType};
use serde::{Deserialize, Serialize};
use store::Table;
use zeroize::Zeroizing;

use crate::listing;

/// Where certificates are: `/_bailiwick/sns/REGION/SimpleNotificationService-ID.pem`.
pub const CERTIFICATES: &str = "/_bailiwick/sns/";
const DAY_MS: i64 = 24 * 3600 * 1000;
/// A key signs for so long; its certificate is valid twice as long, so that late deliveries can still be checked.
const LIFE_MS: i64 = 365 * DAY_MS;

/// A key pair; the record is sealed like every other.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SigningKey {
    id: String,
    region: String,
    /// PKCS#8 DER, hexadecimal.
    private: Zeroizing<String>,
    certificate: String,
    start_ms: i64,
    end_ms: i64,
}

impl Record for SigningKey {
    const TABLE: Table = Table("sns-signing-key");
    const SCOPE: Scope = Scope::Region;
}

fn time_of(time_ms: i64) -> Result<time::OffsetDateTime, ApiError> {
    time::OffsetDateTime::from_unix_timestamp(time_ms / 1000).map_err(|error| ApiError::internal(&error))
}

fn certificate_of(private: &[u8], region: &str, start_ms: i64) -> Result<String, ApiError> {
    let failed = |error: rcgen::Error| ApiError::internal(&error);
    let der = rustls_pki_types::PrivatePkcs8KeyDer::from(private);
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_RSA_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new(vec![format!("sns.{region}.bailiwick.internal")]).map_err(failed)?;
    params.distinguished_name.push(DnType::CommonName, format!("sns.{region}.bailiwick.internal"));
    // Clients' clocks differ.
    params.not_before = time_of(start_ms.saturating_sub(DAY_MS))?;
    params.not_after = time_of(start_ms.saturating_add(LIFE_MS).saturating_add(LIFE_MS))?;
    Ok(params.self_signed(&pair).map_err(failed)?.pem())
}

impl SigningKey {
    fn generate(id: String, region: &str, now_ms: i64) -> Result<Self, ApiError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|error| ApiError::internal(&error))?;
        let private: Pkcs8V1Der<'_> = pair.as_der().map_err(|error| ApiError::internal(&error))?;
        Ok(Self {
            id,
            region: region.to_owned(),
            certificate: certificate_of(private.as_ref(), region, now_ms)?,
            private: Zeroizing::new(hex::encode(private.as_ref())),
            start_ms: now_ms,
            end_ms: now_ms.saturating_add(LIFE_MS),
        })
    }

    /// The end of the certificate's address.
    pub(crate) fn file_name(&self) -> String {
        format!("{}/SimpleNotificationService-{}.pem", self.region, self.id)
    }

    pub(crate) fn sign(&self, text: &str) -> Result<Vec<u8>, ApiError> {
        let der = Zeroizing::new(hex::decode(self.private.as_str()).map_err(|error| ApiError::internal(&error))?);
        let pair = KeyPair::from_pkcs8(&der).map_err(|error| ApiError::internal(&error))?;
        let mut signature = vec![0; pair.public_modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).map_err(|error| ApiError::internal(&error))?;
        Ok(signature)
    }
}

fn keys(region: &str) -> Key {
    Key::new("", region)
}

/// The key that signs now: made when there is none, or when the last one's life is over.
pub(crate) async fn current(plane: &Plane, tx: &mut Transaction, region: &str) -> Result<SigningKey, ApiError> {
    let now_ms = plane.now().0;
    let known = listing::all::<SigningKey>(tx, &keys(region)).await?;
    if let Some(key) = known.into_iter().find(|key| key.start_ms <= now_ms && now_ms < key.end_ms) {
        return Ok(key);
    }
    let key = SigningKey::generate(plane.random_uuid()?.replace('-', ""), region, now_ms)?;
    tx.put(&keys(region).last(&key.id), &key)?;
    Ok(key)
}

/// The certificate at a path below [`CERTIFICATES`], as PEM.
///
/// # Errors
/// When the store cannot answer.
pub async fn certificate(plane: &Plane, path: &str) -> Result<Option<String>, ApiError> {
    let Some((region, file)) = path.strip_prefix(CERTIFICATES).and_then(|rest| rest.split_once('/')) else { return Ok(None) };
    let Some(id) = file.strip_prefix("SimpleNotificationService-").and_then(|rest| rest.strip_suffix(".pem")) else { return Ok(None) };
    let Some(position) = plane.regions.position(region) else { return Ok(None) };
    let key = plane.transaction(position).get::<SigningKey>(&keys(region).last(id)).await?;
    Ok(key.map(|key| key.certificate))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_signature_verifies_under_the_key() {
        let key = SigningKey::generate("id".to_owned(), "us-east-1", 1_790_000_000_000).unwrap();
        assert!(key.certificate.starts_with("-----BEGIN CERTIFICATE-----"));
        let pair = KeyPair::from_pkcs8(&hex::decode(key.private.as_str()).unwrap()).unwrap();
        let verifier = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
        let signature = key.sign("text").unwrap();
        assert!(verifier.verify(b"text", &signature).is_ok() && verifier.verify(b"other", &signature).is_err());
    }
}
