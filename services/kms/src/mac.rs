//! GenerateMac, VerifyMac: HMAC keys.

use api_kms::{GenerateMacInput, GenerateMacOutput, VerifyMacInput, VerifyMacOutput};
use aws_lc_rs::hmac;
use bytes::Bytes;
use plane::{ApiError, Call};

use crate::encryption::{end_dry_run, usable_key};
use crate::error::KmsError;
use crate::key::KmsKey;
use crate::key_spec::KeySpec;
use crate::{grant_token, material};

/// Usage of keys that make MACs.
const USAGE: &str = "GENERATE_VERIFY_MAC";

fn check_algorithm(asked: &str, key: &KmsKey) -> Result<(), KmsError> {
    if asked == key.spec.algorithm() {
        return Ok(());
    }
    Err(KmsError::Algorithm { algorithm: asked.to_owned(), spec: key.spec.name().to_owned() })
}

/// The HMAC key; HMAC keys have one material, for they do not rotate.
async fn mac_key(cx: &mut Call, key: &KmsKey) -> Result<hmac::Key, ApiError> {
    let material_id = key.current_material()?.id.clone();
    let material = material::open(cx, key, &material_id).await?;
    Ok(hmac::Key::new(algorithm(key.spec), &material.secret))
}

fn algorithm(spec: KeySpec) -> hmac::Algorithm {
    match spec {
        KeySpec::Hmac224 => hmac::HMAC_SHA224,
        KeySpec::Hmac384 => hmac::HMAC_SHA384,
        KeySpec::Hmac512 => hmac::HMAC_SHA512,
        KeySpec::Hmac256 | KeySpec::SymmetricDefault => hmac::HMAC_SHA256,
    }
}

pub(crate) async fn generate_mac(cx: &mut Call, input: GenerateMacInput) -> Result<GenerateMacOutput, ApiError> {
    grant_token::check_all(cx, input.grant_tokens.as_deref())?;
    let key = usable_key(cx, &input.key_id, USAGE).await?;
    check_algorithm(input.mac_algorithm.as_str(), &key)?;
    end_dry_run(input.dry_run)?;
    let tag = hmac::sign(&mac_key(cx, &key).await?, &input.message);
    Ok(GenerateMacOutput {
        mac: Some(Bytes::copy_from_slice(tag.as_ref())),
        mac_algorithm: Some(input.mac_algorithm),
        key_id: Some(key.arn(&cx.region)),
    })
}

pub(crate) async fn verify_mac(cx: &mut Call, input: VerifyMacInput) -> Result<VerifyMacOutput, ApiError> {
    grant_token::check_all(cx, input.grant_tokens.as_deref())?;
    let key = usable_key(cx, &input.key_id, USAGE).await?;
    check_algorithm(input.mac_algorithm.as_str(), &key)?;
    hmac::verify(&mac_key(cx, &key).await?, &input.message, &input.mac).map_err(|_| KmsError::Mac)?;
    end_dry_run(input.dry_run)?;
    Ok(VerifyMacOutput { key_id: Some(key.arn(&cx.region)), mac_valid: Some(true), mac_algorithm: Some(input.mac_algorithm) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn each_spec_has_its_hash() {
        let mac = |spec| hex::encode(hmac::sign(&hmac::Key::new(algorithm(spec), b"Jefe"), b"what do ya want for nothing?"));
        assert_eq!(mac(KeySpec::Hmac224), "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44");
        assert_eq!(mac(KeySpec::Hmac256), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert!(mac(KeySpec::Hmac384).starts_with("af45d2e376484031617f78d2b58a6b1b"));
        assert!(mac(KeySpec::Hmac512).starts_with("164b7a7bfcf819e2e395fbe73b56e0a3"));
    }
}
