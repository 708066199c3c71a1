//! Definitions at rest, of guardrails and of automated reasoning policies: as they are (every record is sealed below), or under a data key of
//! the caller's KMS key.

use std::collections::BTreeMap;

use api_kms::{DataKeySpec, DecryptInput, GenerateDataKeyInput};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use plane::{ApiError, Call};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use wire::FromValue as _;

use super::definition::Definition;
use crate::refusal::Refusal;

/// Names of the one pair in the encryption context.
const GUARDRAIL_CONTEXT: &str = "aws:bedrock:guardrail-arn";
const REASONING_CONTEXT: &str = "aws:bedrock:automated-reasoning-policy-arn";

/// A definition as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Held<D = Definition> {
    Plain(D),
    Sealed(Sealed),
}

/// A definition under a data key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub(crate) kms_key_arn: String,
    /// The data key under the KMS key, base64.
    data_key: String,
    /// Base64.
    nonce: String,
    /// AES-256-GCM over the definition's JSON, bound to the guardrail's ARN; base64.
    ciphertext: String,
}

impl<D> Held<D> {
    pub(crate) fn kms_key_arn(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Sealed(sealed) => Some(&sealed.kms_key_arn),
        }
    }
}

fn context(arn: &str) -> BTreeMap<String, String> {
    let name = if arn.contains(":automated-reasoning-policy/") { REASONING_CONTEXT } else { GUARDRAIL_CONTEXT };
    BTreeMap::from([(name.to_owned(), arn.to_owned())])
}

/// Seals a definition under the caller's KMS key, asked for a data key in the caller's name.
pub(crate) async fn seal<D: Serialize>(cx: &mut Call, arn: &str, kms_key_id: Option<&str>, definition: D) -> Result<Held<D>, ApiError> {
    let Some(kms_key_id) = kms_key_id else { return Ok(Held::Plain(definition)) };
    let answer = cx
        .forward(GenerateDataKeyInput {
            key_id: kms_key_id.to_owned(),
            encryption_context: Some(context(arn)),
            number_of_bytes: None,
            key_spec: Some(DataKeySpec::Aes256),
            grant_tokens: None,
            recipient: None,
            dry_run: None,
        })
        .await
        .map_err(kms_refusal)?;
    let (Some(plaintext), Some(ciphertext), Some(kms_key_arn)) = (answer.plaintext, answer.ciphertext_blob, answer.key_id) else {
        return Err(ApiError::internal(&"a data key came incomplete"));
    };
    let json = serde_json::to_vec(&definition)?;
    let (nonce, sealed) = encrypt(&plaintext, arn, json).map_err(|error| ApiError::internal(&error))?;
    Ok(Held::Sealed(Sealed {
        kms_key_arn,
        data_key: STANDARD.encode(ciphertext),
        nonce: STANDARD.encode(nonce),
        ciphertext: STANDARD.encode(sealed),
    }))
}

/// The definition; one under a KMS key is opened in the caller's name.
pub(crate) async fn open<D: DeserializeOwned>(cx: &mut Call, arn: &str, held: Held<D>) -> Result<D, ApiError> {
    let sealed = match held {
        Held::Plain(definition) => return Ok(definition),
        Held::Sealed(sealed) => sealed,
    };
    let decoded = |text: &str| STANDARD.decode(text).map_err(|error| ApiError::internal(&error));
    let mut input = DecryptInput::from_value(wire::Value::Struct(wire::Struct::new())).map_err(|error| ApiError::internal(&error))?;
    input.ciphertext_blob = Some(Bytes::from(decoded(&sealed.data_key)?));
    input.encryption_context = Some(context(arn));
    input.key_id = Some(sealed.kms_key_arn.clone());
    let plaintext = cx.forward(input).await.map_err(kms_refusal)?.plaintext.ok_or(Refusal::Sealed)?;
    let json = decrypt(&plaintext, arn, &decoded(&sealed.nonce)?, decoded(&sealed.ciphertext)?).map_err(|_| Refusal::Sealed)?;
    Ok(serde_json::from_slice(&json)?)
}

/// A refusal of KMS in Bedrock's codes: a denial stays one, a key that cannot be used makes the request invalid.
fn kms_refusal(error: ApiError) -> ApiError {
    if error.internal || error.status.is_some_and(|status| status >= 500) {
        return error;
    }
    if error.code == "AccessDeniedException" {
        return error.with_status(403);
    }
    Refusal::invalid(format!("The KMS key of the resource cannot be used: {}: {}", error.code, error.message)).into()
}

type Unspecified = aws_lc_rs::error::Unspecified;

fn encrypt(key: &[u8], arn: &str, mut plaintext: Vec<u8>) -> Result<([u8; NONCE_LEN], Vec<u8>), Unspecified> {
    let nonce = RandomizedNonceKey::new(&AES_256_GCM, key)?.seal_in_place_append_tag(Aad::from(arn), &mut plaintext)?;
    Ok((*nonce.as_ref(), plaintext))
}

fn decrypt(key: &[u8], arn: &str, nonce: &[u8], mut ciphertext: Vec<u8>) -> Result<Vec<u8>, Unspecified> {
    let nonce = Nonce::try_assume_unique_for_key(nonce)?;
    let length = RandomizedNonceKey::new(&AES_256_GCM, key)?.open_in_place(nonce, Aad::from(arn), &mut ciphertext)?.len();
    ciphertext.truncate(length);
    Ok(ciphertext)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_kms_are_told_in_bedrocks_codes() {
        let denied = kms_refusal(ApiError::new("AccessDeniedException", "no").with_status(400));
        assert_eq!((denied.code.as_ref(), denied.status), ("AccessDeniedException", Some(403)));
        assert_eq!(kms_refusal(ApiError::new("DisabledException", "off")).code, "ValidationException");
        assert_eq!(kms_refusal(ApiError::new("KMSInternalException", "x").with_status(500)).status, Some(500));
    }

    #[test]
    fn a_sealed_definition_opens_only_with_its_key_and_arn() {
        let (nonce, sealed) = encrypt(&[7; 32], "arn:a", b"definition".to_vec()).unwrap();
        assert!(!sealed.windows(10).any(|window| window == b"definition"));
        assert_eq!(decrypt(&[7; 32], "arn:a", &nonce, sealed.clone()).unwrap(), b"definition");
        assert!(decrypt(&[7; 32], "arn:b", &nonce, sealed.clone()).is_err());
        assert!(decrypt(&[8; 32], "arn:a", &nonce, sealed).is_err());
    }
}
