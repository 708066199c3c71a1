//! What is stored, and under which keys.
//!
//! A bucket's name is claimed in the home region (names are unique over all accounts and regions); the bucket, its objects and their bytes
//! are in its own region. Objects hang on the bucket's random id, not on its name: a new bucket of the same name sees nothing of the old.

use std::collections::BTreeMap;

use plane::{Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::checksum::Algorithm;

/// Who owns a bucket name, and where the bucket is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claim {
    pub account: String,
    pub region: String,
    pub bucket_id: String,
    pub created_ms: i64,
}

impl Record for Claim {
    const TABLE: Table = Table("s3-claim");
    const SCOPE: Scope = Scope::Home;
}

impl Claim {
    pub fn key(bucket: &str) -> Key {
        Key::shared().last(bucket)
    }
}

/// An account's bucket, for `ListBuckets` over all regions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OwnedBucket {
    pub region: String,
    pub created_ms: i64,
}

impl Record for OwnedBucket {
    const TABLE: Table = Table("s3-owned-bucket");
    const SCOPE: Scope = Scope::Home;
}

impl OwnedBucket {
    pub fn prefix(account: &str) -> Key {
        Key::new(account, "")
    }

    pub fn key(account: &str, bucket: &str) -> Key {
        Self::prefix(account).last(bucket)
    }
}

/// A bucket with its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Bucket {
    pub name: String,
    /// Random, part of the keys of its objects.
    pub id: String,
    pub account: String,
    pub region: String,
    pub created_ms: i64,
    pub encryption: DefaultEncryption,
    /// Bucket policy as it was given.
    pub policy: Option<String>,
    pub public_access_block: Option<PublicAccessBlock>,
    /// `BucketOwnerEnforced` is set; `false` after DeleteBucketOwnershipControls.
    pub owner_enforced: bool,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Record for Bucket {
    const TABLE: Table = Table("s3-bucket");
    const SCOPE: Scope = Scope::Region;
}

impl Bucket {
    pub fn key_of(account: &str, region: &str, name: &str) -> Key {
        Key::new(account, region).last(name)
    }

    pub fn key(&self) -> Key {
        Self::key_of(&self.account, &self.region, &self.name)
    }

    pub fn arn(&self) -> String {
        format!("arn:{}:s3:::{}", plane::PARTITION, self.name)
    }

    pub fn object_arn(&self, key: &str) -> String {
        format!("arn:{}:s3:::{}/{key}", plane::PARTITION, self.name)
    }
}

/// How new objects are encrypted when the request does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultEncryption {
    pub kms: bool,
    /// As it was given: id, ARN or alias. `None`: the account's `aws/s3` key.
    pub kms_key: Option<String>,
    pub bucket_key: bool,
    /// New objects may not be encrypted with customers' keys (SSE-C).
    pub customer_keys_blocked: bool,
}

impl Default for DefaultEncryption {
    fn default() -> Self {
        Self { kms: false, kms_key: None, bucket_key: false, customer_keys_blocked: true }
    }
}

/// Block Public Access of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicAccessBlock {
    pub block_public_acls: bool,
    pub ignore_public_acls: bool,
    pub block_public_policy: bool,
    pub restrict_public_buckets: bool,
}

impl PublicAccessBlock {
    /// What new buckets have.
    pub const ALL: Self =
        Self { block_public_acls: true, ignore_public_acls: true, block_public_policy: true, restrict_public_buckets: true };
}

/// One sealed run of bytes in the vault. An uploaded object has one, a multipart object one per part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Name in the vault.
    pub blob: String,
    pub size: u64,
    /// Part number that it was uploaded as; 1 for a plain upload.
    pub number: u16,
    /// The part's checksum in base64, in the object's algorithm.
    #[serde(default)]
    pub checksum: Option<String>,
    /// The bytes are an [`InlineBlob`] of the store and not in the vault.
    #[serde(default)]
    pub inline: bool,
}

/// The ciphertext of a small object, in the store beside its record: one commit instead of a commit and a synced file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InlineBlob {
    /// Base64.
    pub sealed: String,
}

impl Record for InlineBlob {
    const TABLE: Table = Table("s3-inline-blob");
    const SCOPE: Scope = Scope::Region;
}

impl InlineBlob {
    pub fn key(bucket: &Bucket, blob: &str) -> Key {
        Key::new(&bucket.account, &bucket.region).then(&bucket.id).last(blob)
    }
}

/// How an object's data key is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encryption {
    /// SSE-S3: sealed by the keyring. Base64.
    Managed { sealed_key: String },
    /// SSE-KMS: only KMS opens it. Base64.
    Kms {
        key_arn: String,
        encrypted_key: String,
        context: BTreeMap<String, String>,
        bucket_key: bool,
        /// The encryption context as the client gave it, base64.
        given_context: Option<String>,
    },
    /// SSE-C: derived from the customer's key and the salt; `verifier` tells a wrong key from a damaged object. Hex.
    Customer { salt: String, verifier: String },
}

/// A stored checksum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredChecksum {
    pub algorithm: Algorithm,
    /// Base64, with `-N` behind it when it is composite.
    pub value: String,
    pub composite: bool,
}

/// The headers that S3 gives back as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub cache_control: Option<String>,
    pub content_disposition: Option<String>,
    pub content_encoding: Option<String>,
    pub content_language: Option<String>,
    pub content_type: Option<String>,
    pub expires: Option<String>,
    /// `x-amz-meta-*`, without the prefix.
    #[serde(default)]
    pub user: BTreeMap<String, String>,
}

/// An object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Object {
    pub size: u64,
    /// Without quotation marks.
    pub etag: String,
    pub modified_ms: i64,
    pub pieces: Vec<Piece>,
    /// Made by CompleteMultipartUpload: its parts can be asked for.
    pub multipart: bool,
    pub encryption: Encryption,
    pub checksum: Option<StoredChecksum>,
    pub metadata: Metadata,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Record for Object {
    const TABLE: Table = Table("s3-object");
    const SCOPE: Scope = Scope::Region;
}

impl Object {
    pub fn prefix(bucket: &Bucket) -> Key {
        Key::new(&bucket.account, &bucket.region).then(&bucket.id)
    }

    pub fn key(bucket: &Bucket, key: &str) -> Key {
        Self::prefix(bucket).last(key)
    }

    /// HTTP dates know no fractions of a second.
    pub fn modified_s(&self) -> i64 {
        self.modified_ms.div_euclid(1000)
    }
}

/// A multipart upload under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Upload {
    pub object_key: String,
    pub initiated_ms: i64,
    /// ARN of who began it.
    pub initiator: String,
    pub encryption: Encryption,
    pub checksum_algorithm: Option<Algorithm>,
    pub checksum_composite: bool,
    pub metadata: Metadata,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Record for Upload {
    const TABLE: Table = Table("s3-upload");
    const SCOPE: Scope = Scope::Region;
}

impl Upload {
    pub fn prefix(bucket: &Bucket) -> Key {
        Key::new(&bucket.account, &bucket.region).then(&bucket.id)
    }

    pub fn key(bucket: &Bucket, upload_id: &str) -> Key {
        Self::prefix(bucket).last(upload_id)
    }

    /// The algorithm that its parts are summed with, asked for or not.
    pub fn algorithm(&self) -> Algorithm {
        self.checksum_algorithm.unwrap_or(Algorithm::Crc64nvme)
    }
}

/// A part of an upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Part {
    pub blob: String,
    pub size: u64,
    /// Without quotation marks.
    pub etag: String,
    pub modified_ms: i64,
    /// In the upload's algorithm, base64.
    pub checksum: String,
}

impl Record for Part {
    const TABLE: Table = Table("s3-part");
    const SCOPE: Scope = Scope::Region;
}

impl Part {
    pub fn prefix(bucket: &Bucket, upload_id: &str) -> Key {
        Key::new(&bucket.account, &bucket.region).then(&bucket.id).then(upload_id)
    }

    pub fn key(bucket: &Bucket, upload_id: &str, number: u16) -> Key {
        Self::prefix(bucket, upload_id).last(number.to_be_bytes())
    }
}

/// Says that a blob of the vault is in use. A blob without it is an orphan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UsedBlob {
    pub bucket_id: String,
}

impl Record for UsedBlob {
    const TABLE: Table = Table("s3-used-blob");
    const SCOPE: Scope = Scope::Region;
}

impl UsedBlob {
    pub fn key(region: &str, blob: &str) -> Key {
        Key::new("", region).last(blob)
    }
}

/// A blob that nothing uses; it is deleted some time after `since_ms`, so that reads under way end well.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnusedBlob {
    pub since_ms: i64,
}

impl Record for UnusedBlob {
    const TABLE: Table = Table("s3-unused-blob");
    const SCOPE: Scope = Scope::Region;
}

impl UnusedBlob {
    pub fn prefix(region: &str) -> Key {
        Key::new("", region)
    }

    pub fn key(region: &str, blob: &str) -> Key {
        Self::prefix(region).last(blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 0.1 wrote it before small objects went into the store.
    #[test]
    fn pieces_of_older_records_are_in_the_vault() {
        let piece: Piece =
            serde_json::from_str(r#"{"blob":"00112233445566778899aabbccddeeff","size":4096,"number":1,"checksum":null}"#).unwrap();
        assert!(!piece.inline);
        assert_eq!((piece.size, piece.number), (4096, 1));
    }
}
