//! Digest files and the keys that sign them.
//!
//! Source: CloudTrail User Guide, "CloudTrail digest file structure" and "Custom implementations of CloudTrail log file integrity validation".

use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use md5::{Digest as _, Md5};
use serde::Deserialize;
use transparency::Hash;

use crate::bucket::OpenFile;
use crate::log_view::EvidenceError;

/// Keys that are read.
const KEYS_LIMIT: usize = 10_000;

/// A public key of the trail's region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub fingerprint: String,
    /// PKCS#1 DER.
    pub der: Vec<u8>,
}

impl PublicKey {
    /// Whether the key is the one that the fingerprint stands for.
    pub(crate) fn is_its_fingerprint(&self) -> bool {
        hex::encode(Md5::digest(&self.der)) == self.fingerprint
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct KeyList {
    public_key_list: Vec<ListedKey>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedKey {
    value: String,
    fingerprint: String,
}

/// Keys of a `ListPublicKeys` answer in JSON.
pub fn parse_public_keys(json: &[u8]) -> Result<Vec<PublicKey>, EvidenceError> {
    let list: KeyList = serde_json::from_slice(json).map_err(|error| EvidenceError::Keys(error.to_string()))?;
    let decode = |key: ListedKey| {
        let der = base64::engine::general_purpose::STANDARD.decode(key.value).map_err(|error| EvidenceError::Keys(error.to_string()))?;
        Ok(PublicKey { fingerprint: key.fingerprint, der })
    };
    list.public_key_list.into_iter().take(KEYS_LIMIT).map(decode).collect()
}

/// A digest file, as far as it is checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DigestFile {
    pub digest_end_time: String,
    pub digest_s3_bucket: String,
    pub digest_s3_object: String,
    pub digest_public_key_fingerprint: String,
    pub previous_digest_s3_bucket: Option<String>,
    pub previous_digest_s3_object: Option<String>,
    pub previous_digest_hash_value: Option<String>,
    pub previous_digest_signature: Option<String>,
    pub log_files: Vec<ListedFile>,
}

/// A log file that a digest vouches for.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListedFile {
    pub s3_bucket: String,
    pub s3_object: String,
}

impl ListedFile {
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.s3_bucket, self.s3_object)
    }
}

impl DigestFile {
    pub(crate) fn parse(file: &OpenFile) -> Option<Self> {
        serde_json::from_slice(&file.text).ok()
    }

    pub(crate) fn previous_name(&self) -> Option<String> {
        Some(format!("{}/{}", self.previous_digest_s3_bucket.as_ref()?, self.previous_digest_s3_object.as_ref()?))
    }

    /// Whether the signature (hexadecimal) is the key's over this file.
    pub(crate) fn is_signed(&self, content: &Hash, signature: &str, key: &PublicKey) -> bool {
        let previous = self.previous_digest_signature.as_deref().unwrap_or("null");
        let text =
            format!("{}\n{}/{}\n{}\n{previous}", self.digest_end_time, self.digest_s3_bucket, self.digest_s3_object, hex::encode(content));
        let Ok(signature) = hex::decode(signature) else { return false };
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key.der).verify(text.as_bytes(), &signature).is_ok()
    }
}
