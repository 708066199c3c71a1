//! The KMS key of a log group: events are under a data key that KMS made for CloudWatch Logs as a principal, and KMS is asked for it at each use.
//!
//! Source: CloudWatch Logs User Guide, "Encrypt log data in CloudWatch Logs using AWS Key Management Service".

use std::collections::BTreeMap;
use std::sync::Arc;

use api_kms::{DataKeySpec, DecryptInput, GenerateDataKeyInput};
use api_logs::{AssociateKmsKeyInput, AssociateKmsKeyOutput, DisassociateKmsKeyInput, DisassociateKmsKeyOutput};
use aws_lc_rs::aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use plane::{ApiError, Call, ServiceCaller};
use serde::{Deserialize, Serialize};
use wire::FromValue as _;
use zeroize::Zeroizing;

use crate::error::{LogsError, unsupported};
use crate::log_group::{self, LogGroupRecord};

/// Name of the one pair in the encryption context.
const CONTEXT: &str = "aws:logs:arn";
/// What a call remembers of the data keys that it has opened, over conflicts.
const OPENED: &str = "logs data keys";

/// A data key of a group, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataKeyRecord {
    pub kms_key_arn: String,
    /// The data key under the KMS key, base64.
    pub data_key: String,
}

/// An opened data key.
#[derive(Clone)]
pub(crate) struct DataKey(Arc<Zeroizing<Vec<u8>>>);

/// Bytes under a data key.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Sealed {
    /// Base64.
    nonce: String,
    /// AES-256-GCM; base64.
    ciphertext: String,
}

impl DataKey {
    fn new(bytes: &[u8]) -> Self {
        Self(Arc::new(Zeroizing::new(bytes.to_vec())))
    }

    /// Seals bytes, bound to their place.
    pub(crate) fn seal(&self, place: &[u8], mut plaintext: Vec<u8>) -> Result<Sealed, ApiError> {
        let sealed = RandomizedNonceKey::new(&AES_256_GCM, &self.0)
            .and_then(|key| key.seal_in_place_append_tag(Aad::from(place), &mut plaintext))
            .map_err(|error| ApiError::internal(&error))?;
        Ok(Sealed { nonce: STANDARD.encode(sealed.as_ref()), ciphertext: STANDARD.encode(plaintext) })
    }

    pub(crate) fn open(&self, place: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        let decoded = |text: &str| STANDARD.decode(text).map_err(|error| ApiError::internal(&error));
        let (nonce, mut bytes) = (decoded(&sealed.nonce)?, Zeroizing::new(decoded(&sealed.ciphertext)?));
        let mut open = || -> Result<usize, Unspecified> {
            let key = RandomizedNonceKey::new(&AES_256_GCM, &self.0)?;
            Ok(key.open_in_place(Nonce::try_assume_unique_for_key(&nonce)?, Aad::from(place), &mut bytes)?.len())
        };
        let length = open().map_err(|error| ApiError::internal(&error))?;
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// The principal that key policies name: each region has its own.
pub fn service_principal(region: &str) -> String {
    format!("logs.{region}.amazonaws.com")
}

fn caller(region: &str, account: &str, group_arn: &str) -> ServiceCaller {
    ServiceCaller { service: service_principal(region).into(), source_arn: group_arn.to_owned(), source_account: account.to_owned() }
}

fn context(group_arn: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(CONTEXT.to_owned(), group_arn.to_owned())])
}

/// A refusal of KMS in the words of CloudWatch Logs.
fn refusal(error: ApiError, group_arn: &str) -> ApiError {
    if error.internal || error.status.is_some_and(|status| status >= 500) {
        return error;
    }
    tracing::debug!(%error, group_arn, "the KMS key of a log group cannot be used");
    LogsError::Key(group_arn.to_owned()).into()
}

/// Puts a group under a KMS key, which CloudWatch Logs must be able to use: for events that come from now on.
pub(crate) async fn associate(cx: &mut Call, group: &mut LogGroupRecord, kms_key: &str) -> Result<(), ApiError> {
    let arn = group.arn(&cx.region, &cx.account);
    let refused = || LogsError::Key(arn.clone());
    let mut parts = kms_key.split(':').skip(2);
    if !kms_key.starts_with("arn:")
        || parts.next() != Some("kms")
        || parts.next() != Some(cx.region.as_str())
        || kms_key.contains(":alias/")
    {
        return Err(refused().into());
    }
    if let Some(at) = group.data_keys.iter().position(|key| key.kms_key_arn == kms_key) {
        open(cx, group, at).await?;
        group.data_key = Some(at);
        return Ok(());
    }
    let key = match cx.recall::<DataKeyRecord>("logs new data key") {
        Some(key) => key,
        None => make(cx, &arn, kms_key).await?,
    };
    cx.remember("logs new data key", key.clone());
    group.data_keys.push(key);
    group.data_key = Some(group.data_keys.len().saturating_sub(1));
    Ok(())
}

async fn make(cx: &mut Call, arn: &str, kms_key: &str) -> Result<DataKeyRecord, ApiError> {
    let input = GenerateDataKeyInput {
        key_id: kms_key.to_owned(),
        encryption_context: Some(context(arn)),
        number_of_bytes: None,
        key_spec: Some(DataKeySpec::Aes256),
        grant_tokens: None,
        recipient: None,
        dry_run: None,
    };
    let caller = caller(&cx.region, &cx.account, arn);
    let made = cx.plane.call_as_service(&caller, &cx.region, input, None).await.map_err(|error| refusal(error, arn))?;
    let (Some(ciphertext), Some(kms_key_arn)) = (made.ciphertext_blob, made.key_id) else {
        return Err(ApiError::internal(&"a data key came incomplete"));
    };
    Ok(DataKeyRecord { kms_key_arn, data_key: STANDARD.encode(ciphertext) })
}

/// The data key of this number, as KMS gives it now.
pub(crate) async fn open(cx: &mut Call, group: &LogGroupRecord, at: usize) -> Result<DataKey, ApiError> {
    let mut opened = cx.recall::<BTreeMap<usize, DataKey>>(OPENED).unwrap_or_default();
    if let Some(key) = opened.get(&at) {
        return Ok(key.clone());
    }
    let kept = group.data_keys.get(at).ok_or_else(|| ApiError::internal(&"a log group lacks a data key"))?;
    let arn = group.arn(&cx.region, &cx.account);
    let mut input = DecryptInput::from_value(wire::Value::Struct(wire::Struct::new())).map_err(|error| ApiError::internal(&error))?;
    input.ciphertext_blob = Some(Bytes::from(STANDARD.decode(&kept.data_key).map_err(|error| ApiError::internal(&error))?));
    input.encryption_context = Some(context(&arn));
    input.key_id = Some(kept.kms_key_arn.clone());
    let caller = caller(&cx.region, &cx.account, &arn);
    let answer = cx.plane.call_as_service(&caller, &cx.region, input, None).await.map_err(|error| refusal(error, &arn))?;
    let plaintext = answer.plaintext.ok_or_else(|| ApiError::internal(&"a data key came incomplete"))?;
    let key = DataKey::new(&plaintext);
    opened.insert(at, key.clone());
    cx.remember(OPENED, opened);
    Ok(key)
}

/// The group that one of two members names; the other kinds of resources have no key here.
async fn named(cx: &mut Call, name: Option<&str>, identifier: Option<&str>) -> Result<LogGroupRecord, ApiError> {
    match (name, identifier) {
        (Some(name), None) => log_group::load(cx, name).await,
        (None, Some(arn)) if log_group::parse_group_arn(arn).is_some() => {
            let name = log_group::name_of(cx, arn)?;
            log_group::load(cx, &name).await
        }
        (None, Some(_)) => Err(unsupported("resourceIdentifier")),
        _ => Err(LogsError::parameter("Exactly one of logGroupName and resourceIdentifier must be specified.").into()),
    }
}

pub(crate) async fn associate_kms_key(cx: &mut Call, input: AssociateKmsKeyInput) -> Result<AssociateKmsKeyOutput, ApiError> {
    let mut group = named(cx, input.log_group_name.as_deref(), input.resource_identifier.as_deref()).await?;
    associate(cx, &mut group, &input.kms_key_id).await?;
    log_group::save(cx, &group)?;
    Ok(AssociateKmsKeyOutput {})
}

pub(crate) async fn disassociate_kms_key(cx: &mut Call, input: DisassociateKmsKeyInput) -> Result<DisassociateKmsKeyOutput, ApiError> {
    let mut group = named(cx, input.log_group_name.as_deref(), input.resource_identifier.as_deref()).await?;
    // What is under the key stays under it.
    group.data_key = None;
    log_group::save(cx, &group)?;
    Ok(DisassociateKmsKeyOutput {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_open_only_with_their_key_and_place() {
        let key = DataKey::new(&[7; 32]);
        let sealed = key.seal(b"place", b"message".to_vec()).unwrap();
        assert_eq!(key.open(b"place", &sealed).unwrap().as_slice(), b"message");
        assert!(key.open(b"other", &sealed).is_err());
        assert!(DataKey::new(&[8; 32]).open(b"place", &sealed).is_err());
    }
}
