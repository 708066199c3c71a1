//! What is stored, and under which keys.
//!
//! A bucket's name is claimed in the home region (names are unique over all accounts and regions); the bucket, its objects and their bytes
//! are in its own region. Objects hang on the bucket's random id, not on its name: a new bucket of the same name sees nothing of the old.

use std::collections::BTreeMap;

use bytes::Bytes;
use plane::{ApiError, Key, Record, Scope};
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
    const HOLDS_SECRETS: bool = false;
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
    #[serde(default)]
    pub versioning: Versioning,
    /// Object Lock is on, which cannot be taken back.
    #[serde(default)]
    pub object_lock: Option<ObjectLock>,
}

impl Record for Bucket {
    const TABLE: Table = Table("s3-bucket");
    const SCOPE: Scope = Scope::Region;
    const HOLDS_SECRETS: bool = false;
}

impl Bucket {
    pub fn key_of(account: &str, region: &str, name: &str) -> Key {
        Key::new(account, region).last(name)
    }

    pub fn key(&self) -> Key {
        Self::key_of(&self.account, &self.region, &self.name)
    }

    pub fn arn(&self) -> String {
        ["arn:", plane::PARTITION, ":s3:::", &self.name].concat()
    }

    pub fn object_arn(&self, key: &str) -> String {
        ["arn:", plane::PARTITION, ":s3:::", &self.name, "/", key].concat()
    }
}

/// What becomes of an object that is overwritten or deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Versioning {
    /// It goes: versioning was never on.
    #[default]
    Never,
    /// It stays, as a version.
    Enabled,
    /// Versions stay as they are; what is written now is the one `null` version.
    Suspended,
}

/// Object Lock of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectLock {
    /// What a new object is held by when its writer says nothing.
    pub default_retention: Option<DefaultRetention>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DefaultRetention {
    pub mode: RetentionMode,
    pub period: RetentionPeriod,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetentionPeriod {
    Days(u16),
    Years(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetentionMode {
    /// Who has the permission may lift it.
    Governance,
    /// Nobody may, until its end.
    Compliance,
}

/// Until when a version is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retention {
    pub mode: RetentionMode,
    pub until_ms: i64,
}

/// What holds a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    pub retention: Option<Retention>,
    /// `None`: it was never set.
    pub legal_hold: Option<bool>,
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
///
/// Schema 1 was JSON with the bytes in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InlineBlob {
    #[serde(with = "base64_text")]
    pub sealed: Bytes,
}

impl Record for InlineBlob {
    const TABLE: Table = Table("s3-inline-blob");
    const SCHEMA: u8 = 2;
    const SCOPE: Scope = Scope::Region;
    /// It is ciphertext.
    const HOLDS_SECRETS: bool = false;

    fn write(&self, out: &mut Vec<u8>) -> Result<(), ApiError> {
        out.extend_from_slice(&self.sealed);
        Ok(())
    }

    fn read(content: &[u8]) -> Result<Self, ApiError> {
        Ok(Self { sealed: Bytes::copy_from_slice(content) })
    }
}

/// Bytes as text in base64.
mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map(Bytes::from).map_err(serde::de::Error::custom)
    }
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

/// Which of a key's versions this is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionName {
    /// `None`: the `null` version.
    pub id: Option<String>,
    /// Place in the order of the key's versions: the newer one has the higher. Records from before versioning have zero.
    pub sequence: u64,
}

impl VersionName {
    /// As clients see it.
    pub fn shown(&self) -> String {
        self.id.clone().unwrap_or_else(|| "null".to_owned())
    }
}

/// An object: the latest version of its key, where that is no delete marker. Earlier versions, and all delete markers, are [`Version`]s.
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
    #[serde(default)]
    pub version: VersionName,
    #[serde(default)]
    pub lock: Lock,
}

impl Record for Object {
    const TABLE: Table = Table("s3-object");
    const SCOPE: Scope = Scope::Region;
    const HOLDS_SECRETS: bool = false;
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

/// Hides the versions before it: its key has no object.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DeleteMarker {
    pub version: VersionName,
    pub modified_ms: i64,
}

/// A version that is not its key's object: an earlier one, or a delete marker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Version {
    Object(Box<Object>),
    DeleteMarker(DeleteMarker),
}

impl Record for Version {
    const TABLE: Table = Table("s3-version");
    const SCOPE: Scope = Scope::Region;
}

/// Ends the object key in the key of a [`Version`]: less than anything that goes on with the object key (a NUL in it is written `00 FF`).
const END_OF_KEY: [u8; 2] = [0, 1];

impl Version {
    /// All of a bucket.
    pub fn prefix(bucket: &Bucket) -> Key {
        Object::prefix(bucket)
    }

    /// All of an object key, the newest first.
    pub fn prefix_of(bucket: &Bucket, key: &str) -> Key {
        Self::prefix(bucket).last([Self::start_of(key.as_bytes()), END_OF_KEY.to_vec()].concat())
    }

    pub fn key(bucket: &Bucket, key: &str, sequence: u64) -> Key {
        Self::prefix_of(bucket, key).last((u64::MAX - sequence).to_be_bytes())
    }

    /// Where, in the rows of a bucket, those of an object key and of all that begin with it start.
    pub fn start_of(key: &[u8]) -> Vec<u8> {
        let mut start = Vec::with_capacity(key.len());
        for byte in key {
            start.push(*byte);
            if *byte == 0 {
                start.push(0xFF);
            }
        }
        start
    }

    /// Where, in the rows of a bucket, those of an object key start that are older than this.
    pub fn start_behind(key: &str, sequence: u64) -> Vec<u8> {
        let place = sequence.checked_sub(1).map_or([0xFF; 9].to_vec(), |next| (u64::MAX - next).to_be_bytes().to_vec());
        [Self::start_of(key.as_bytes()), END_OF_KEY.to_vec(), place].concat()
    }

    /// Object key and sequence of a row (its key behind [`Version::prefix`]).
    pub fn parse_row(row: &[u8]) -> Option<(String, u64)> {
        let (name, place) = row.split_at_checked(row.len().checked_sub(8)?)?;
        let name = name.strip_suffix(&END_OF_KEY)?;
        let mut key = Vec::with_capacity(name.len());
        let mut rest = name.iter();
        while let Some(byte) = rest.next() {
            key.push(*byte);
            if *byte == 0 {
                rest.next();
            }
        }
        Some((String::from_utf8(key).ok()?, u64::MAX - u64::from_be_bytes(place.try_into().ok()?)))
    }

    pub fn name(&self) -> &VersionName {
        match self {
            Self::Object(object) => &object.version,
            Self::DeleteMarker(marker) => &marker.version,
        }
    }
}

/// Where the `null` version of a key is, when it is a [`Version`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NullVersion {
    pub sequence: u64,
}

impl Record for NullVersion {
    const TABLE: Table = Table("s3-null-version");
    const SCOPE: Scope = Scope::Region;
}

impl NullVersion {
    pub fn key(bucket: &Bucket, key: &str) -> Key {
        Object::key(bucket, key)
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
    /// What the object will be held by, as it was asked for.
    #[serde(default)]
    pub lock: Lock,
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

    /// As version 0.1 wrote small objects, and as they are written since.
    #[test]
    fn bytes_of_small_objects_are_read_from_both_schemas() {
        let old = InlineBlob::upgrade(1, serde_json::from_str(r#"{"sealed":"AAEC/w=="}"#).unwrap()).unwrap();
        let old: InlineBlob = serde_json::from_value(old).unwrap();
        assert_eq!(old.sealed.as_ref(), [0, 1, 2, 255]);
        let mut written = Vec::new();
        old.write(&mut written).unwrap();
        assert_eq!(written, [0, 1, 2, 255]);
        assert_eq!(InlineBlob::read(&written).unwrap(), old);
    }

    const BUCKET: &str = r#"{"name":"models","id":"0b1e","account":"111111111111","region":"eu-central-1","created_ms":1,
        "encryption":{"kms":false,"kms_key":null,"bucket_key":false,"customer_keys_blocked":true},"policy":null,
        "public_access_block":null,"owner_enforced":true}"#;
    const OBJECT: &str = r#"{"size":3,"etag":"900150983cd24fb0d6963f7d28e17f72","modified_ms":1700000000000,
        "pieces":[{"blob":"00112233445566778899aabbccddeeff","size":3,"number":1,"checksum":null,"inline":true}],"multipart":false,
        "encryption":{"Managed":{"sealed_key":"AA=="}},"checksum":null,"metadata":{"cache_control":null,"content_disposition":null,
        "content_encoding":null,"content_language":null,"content_type":null,"expires":null}}"#;

    /// As version 0.1 wrote buckets and objects before there were versions of objects.
    #[test]
    fn objects_of_older_records_are_null_versions_that_nothing_holds() {
        let bucket: Bucket = serde_json::from_str(BUCKET).unwrap();
        assert_eq!((bucket.versioning, bucket.object_lock), (Versioning::Never, None));
        let object: Object = serde_json::from_str(OBJECT).unwrap();
        assert_eq!((object.version.shown().as_str(), object.version.sequence), ("null", 0));
        assert_eq!(object.lock, Lock::default());
    }

    /// As the first version with versions of objects writes them.
    #[test]
    fn versions_are_read_as_they_were_written() {
        let bucket = BUCKET.replace(
            r#""owner_enforced":true"#,
            r#""owner_enforced":true,"tags":[],"versioning":"Enabled","object_lock":{"default_retention":{"mode":"Compliance","period":{"Years":7}}}"#,
        );
        let bucket: Bucket = serde_json::from_str(&bucket).unwrap();
        assert_eq!(bucket.versioning, Versioning::Enabled);
        let held = DefaultRetention { mode: RetentionMode::Compliance, period: RetentionPeriod::Years(7) };
        assert_eq!(bucket.object_lock, Some(ObjectLock { default_retention: Some(held) }));
        let object = OBJECT.replace(
            r#""checksum":null,"metadata""#,
            r#""checksum":null,"tags":[],"version":{"id":"AAABi8-4xwA","sequence":7},"lock":{"retention":{"mode":"Governance","until_ms":9},"legal_hold":true},"metadata""#,
        );
        let Version::Object(object) = serde_json::from_str(&format!(r#"{{"Object":{object}}}"#)).unwrap() else { panic!("an object") };
        assert_eq!((object.version.shown().as_str(), object.version.sequence), ("AAABi8-4xwA", 7));
        let retention = Some(Retention { mode: RetentionMode::Governance, until_ms: 9 });
        assert_eq!(object.lock, Lock { retention, legal_hold: Some(true) });
        let marker = r#"{"DeleteMarker":{"version":{"id":null,"sequence":8},"modified_ms":5}}"#;
        let Version::DeleteMarker(marker) = serde_json::from_str(marker).unwrap() else { panic!("a delete marker") };
        assert_eq!((marker.version.shown().as_str(), marker.version.sequence, marker.modified_ms), ("null", 8, 5));
    }

    #[test]
    fn rows_of_versions_are_in_the_order_of_keys_and_newest_first() {
        let bucket: Bucket = serde_json::from_str(BUCKET).unwrap();
        let ordered = [("a", 9), ("a", 2), ("a", 0), ("a\0", 1), ("a\0b", 1), ("a\u{1}", 3), ("ab", 1), ("b", 1)];
        let rows: Vec<Key> = ordered.iter().map(|(key, sequence)| Version::key(&bucket, key, *sequence)).collect();
        assert!(rows.is_sorted());
        let prefix = Version::prefix(&bucket);
        let rest = |row: &Key| row.as_bytes().strip_prefix(prefix.as_bytes()).unwrap().to_vec();
        for (row, (key, sequence)) in rows.iter().zip(ordered) {
            assert_eq!(Version::parse_row(&rest(row)), Some((key.to_owned(), sequence)));
            assert!(Version::start_of(key.as_bytes()) <= rest(row));
            assert!(Version::start_behind(key, sequence) > rest(row));
            assert!(rows.iter().all(|other| (rest(other) >= Version::start_behind(key, sequence)) == (other > row)));
        }
        assert_eq!(Version::parse_row(b"a"), None);
    }
}
