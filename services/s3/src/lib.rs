//! Amazon S3: buckets and objects, always encrypted, decided by policies.
//!
//! What it is not: access control lists (they are off in every bucket, as AWS makes new ones), lifecycle, replication, static websites, access
//! points, storage classes other than `STANDARD`, copies between regions, MFA delete, event holds. What asks for one of these is refused.
//!
//! # Invariants
//! 1. Every object has a data key of its own. Its bytes reach the disk sealed and durable before the record that names them is committed.
//! 2. A data key under SSE-KMS is made and opened by KMS *for the caller*: who may not use the key, or finds it disabled, does not read.
//! 3. A body that breaks off, has the wrong length or does not match a declared digest leaves no object.
//! 4. An object key is data: never a path, never part of a name on disk.
//! 5. What is not there is told only to those who may list the bucket.
//! 6. Bytes of a version are given up in one place, which refuses while a lock holds them: no call and no background work leads past it.
//!
//! # How bytes and records stay together
//! A write stages its bytes in the vault, then the transaction commits the object's record with a note that its blobs are in use. A conflict
//! runs the handler again without the body. Bytes that nothing uses (overwritten, deleted, left by a crash) are deleted by [`sweep_orphans`].
//! An object of up to 16 KiB has no blob: its ciphertext is a record beside its own, in the same commit. One synced commit is several times
//! cheaper than a commit and a synced file.
//!
//! # Versions
//! The latest version of a key is its object; earlier versions and delete markers are records of their own beside it. So a current object is
//! read, written and listed as in a bucket without versions. Objects from before versioning are `null` versions as they are.
//!
//! # Object Lock
//! The server's clock decides when a retention ends. It binds everybody who comes by the API, the root users included. It does not bind who
//! has the machine: setting the clock forward, or deleting the store and the objects' folder, needs no permission of ours. An ephemeral server
//! that is set back forgets everything, held or not. A bucket with Object Lock keeps versions for good, and Object Lock is never turned off.
//!
//! # Choices
//! * A change of a governance retention's mode needs the bypass, also to compliance: governance says that its settings are not altered without.
//! * Years of a default retention are those of the calendar.
//! * `ListObjectVersions` gives all versions of a page before its delete markers; AWS mixes the two elements.
//! * Bucket Keys change the encryption context (the bucket's ARN instead of the object's). Data keys are not cached: each write asks KMS.
//! * Tags of buckets do not take part in decisions, as at AWS while attribute-based access is off for a bucket.
//! * `ListBucket` is asked for when a key is missing, without the condition keys of a list.
//!
//! ## Recorded only
//! `RequestPayer`, `MFA` and `ConfirmRemoveSelfBucketAccess` are accepted and have no effect, as on a bucket that is not requester-pays and has
//! no MFA delete. `Tags` of buckets are stored and shown.

mod access;
mod acl;
mod body_digest;
mod bucket;
mod bucket_absent_settings;
mod bucket_encryption;
mod bucket_name;
mod bucket_policy;
mod bucket_settings;
mod bucket_versioning;
mod checksum;
mod checksum_members;
mod condition;
mod copy_source;
mod encryption;
mod error;
mod event;
mod listing;
mod lock;
mod metadata;
mod multipart_complete;
mod multipart_part;
mod multipart_upload;
mod object_attributes;
mod object_copy;
mod object_delete;
mod object_get;
mod object_list;
mod object_lock;
mod object_put;
mod object_tagging;
mod range;
pub mod record;
mod storage;
mod sweep;
mod tag;
mod url;
mod version;
mod version_list;

pub use sweep::{Swept, UNUSED_MS, sweep_orphans};

use async_trait::async_trait;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Handler, Service, Target, Transaction, handler, streaming_handler};
use policy::MapContext;
use wire::Value;

const HANDLERS: &[Handler] = &[
    handler!("AbortMultipartUpload", multipart_upload::abort_multipart_upload),
    handler!("CompleteMultipartUpload", multipart_complete::complete_multipart_upload),
    handler!("CopyObject", object_copy::copy_object),
    handler!("CreateBucket", bucket::create_bucket),
    handler!("CreateMultipartUpload", multipart_upload::create_multipart_upload),
    handler!("DeleteBucket", bucket::delete_bucket),
    handler!("DeleteBucketCors", bucket_absent_settings::delete_bucket_cors),
    handler!("DeleteBucketEncryption", bucket_encryption::delete_bucket_encryption),
    handler!("DeleteBucketLifecycle", bucket_absent_settings::delete_bucket_lifecycle),
    handler!("DeleteBucketOwnershipControls", bucket_settings::delete_bucket_ownership_controls),
    handler!("DeleteBucketPolicy", bucket_policy::delete_bucket_policy),
    handler!("DeleteBucketReplication", bucket_absent_settings::delete_bucket_replication),
    handler!("DeleteBucketTagging", bucket_settings::delete_bucket_tagging),
    handler!("DeleteBucketWebsite", bucket_absent_settings::delete_bucket_website),
    handler!("DeleteObject", object_delete::delete_object),
    handler!("DeleteObjectTagging", object_tagging::delete_object_tagging),
    handler!("DeleteObjects", object_delete::delete_objects),
    handler!("DeletePublicAccessBlock", bucket_settings::delete_public_access_block),
    handler!("GetBucketAccelerateConfiguration", bucket_absent_settings::get_bucket_accelerate_configuration),
    handler!("GetBucketAcl", acl::get_bucket_acl),
    handler!("GetBucketCors", bucket_absent_settings::get_bucket_cors),
    handler!("GetBucketEncryption", bucket_encryption::get_bucket_encryption),
    handler!("GetBucketLifecycleConfiguration", bucket_absent_settings::get_bucket_lifecycle_configuration),
    handler!("GetBucketLocation", bucket::get_bucket_location),
    handler!("GetBucketLogging", bucket_absent_settings::get_bucket_logging),
    handler!("GetBucketNotificationConfiguration", bucket_absent_settings::get_bucket_notification_configuration),
    handler!("GetBucketOwnershipControls", bucket_settings::get_bucket_ownership_controls),
    handler!("GetBucketPolicy", bucket_policy::get_bucket_policy),
    handler!("GetBucketPolicyStatus", bucket_policy::get_bucket_policy_status),
    handler!("GetBucketReplication", bucket_absent_settings::get_bucket_replication),
    handler!("GetBucketRequestPayment", bucket_absent_settings::get_bucket_request_payment),
    handler!("GetBucketTagging", bucket_settings::get_bucket_tagging),
    handler!("GetBucketVersioning", bucket_versioning::get_bucket_versioning),
    handler!("GetBucketWebsite", bucket_absent_settings::get_bucket_website),
    streaming_handler!("GetObject", object_get::get_object),
    handler!("GetObjectAcl", acl::get_object_acl),
    handler!("GetObjectAttributes", object_attributes::get_object_attributes),
    handler!("GetObjectLegalHold", object_lock::get_object_legal_hold),
    handler!("GetObjectLockConfiguration", bucket_versioning::get_object_lock_configuration),
    handler!("GetObjectRetention", object_lock::get_object_retention),
    handler!("GetObjectTagging", object_tagging::get_object_tagging),
    handler!("GetPublicAccessBlock", bucket_settings::get_public_access_block),
    handler!("HeadBucket", bucket::head_bucket),
    streaming_handler!("HeadObject", object_get::head_object),
    handler!("ListBucketAnalyticsConfigurations", bucket_absent_settings::list_bucket_analytics_configurations),
    handler!("ListBucketIntelligentTieringConfigurations", bucket_absent_settings::list_bucket_intelligent_tiering_configurations),
    handler!("ListBucketInventoryConfigurations", bucket_absent_settings::list_bucket_inventory_configurations),
    handler!("ListBucketMetricsConfigurations", bucket_absent_settings::list_bucket_metrics_configurations),
    handler!("ListBuckets", bucket::list_buckets),
    handler!("ListMultipartUploads", multipart_upload::list_multipart_uploads),
    handler!("ListObjectVersions", version_list::list_object_versions),
    handler!("ListObjects", object_list::list_objects),
    handler!("ListObjectsV2", object_list::list_objects_v2),
    handler!("ListParts", multipart_part::list_parts),
    handler!("PutBucketEncryption", bucket_encryption::put_bucket_encryption),
    handler!("PutBucketOwnershipControls", bucket_settings::put_bucket_ownership_controls),
    handler!("PutBucketPolicy", bucket_policy::put_bucket_policy),
    handler!("PutBucketTagging", bucket_settings::put_bucket_tagging),
    handler!("PutBucketVersioning", bucket_versioning::put_bucket_versioning),
    handler!("PutObject", object_put::put_object),
    handler!("PutObjectLegalHold", object_lock::put_object_legal_hold),
    handler!("PutObjectLockConfiguration", bucket_versioning::put_object_lock_configuration),
    handler!("PutObjectRetention", object_lock::put_object_retention),
    handler!("PutObjectTagging", object_tagging::put_object_tagging),
    handler!("PutPublicAccessBlock", bucket_settings::put_public_access_block),
    handler!("UploadPart", multipart_part::upload_part),
    handler!("UploadPartCopy", multipart_part::upload_part_copy),
];

/// The service.
#[derive(Clone, Copy, Debug, Default)]
pub struct S3;

#[async_trait]
impl Service for S3 {
    fn id(&self) -> &'static str {
        "s3"
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        HANDLERS
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        access::targets(call, input)
    }

    async fn resource(&self, tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        access::resource(tx, region, "", arn).await
    }

    async fn resource_for(&self, tx: &mut Transaction, region: &str, action: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        access::resource(tx, region, action, arn).await
    }

    async fn policy_holders(&self, tx: &mut Transaction, region: &str, account: &str) -> Result<Vec<String>, ApiError> {
        let buckets = tx.scan::<record::Bucket>(&plane::Key::new(account, region), None, plane::transaction::SCAN_LIMIT).await?;
        Ok(buckets.into_iter().map(|(_, bucket)| format!("arn:{}:s3:::{}", plane::PARTITION, bucket.name)).collect())
    }

    async fn narrow(&self, call: &mut Call, input: &Value, target: &Target, found: &mut ResourceAccess) -> Result<(), ApiError> {
        let region = call.region.clone();
        access::narrow(&mut call.tx, &region, input, target, found).await
    }

    fn target_keys(&self, _call: &Call, input: &Value, target: &Target, keys: &mut MapContext) {
        access::target_keys(input, target, keys);
    }

    fn condition_keys(&self, call: &Call, input: &Value, keys: &mut MapContext) {
        access::condition_keys(call, input, keys);
    }

    fn request_parameters(&self, call: &Call, input: &Value) -> Option<serde_json::Value> {
        Some(event::request_parameters(call, input))
    }
}
