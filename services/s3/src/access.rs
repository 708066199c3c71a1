//! What S3 gives to the decision: targets, resources with their policies, condition keys.

use plane::service::ResourceAccess;
use plane::{ApiError, Call, Target, Transaction, authorize};
use policy::{Attached, MapContext, PolicyKind, PolicySource, ResourceKind, ResourcePolicy};
use wire::Value;

use crate::copy_source::CopySource;
use crate::error::permanent_redirect;
use crate::record::{Bucket, Claim, Object, Version};
use crate::tag;
use crate::version::{self, VersionId};

const ARN_PREFIX: &str = "arn:aws:s3:::";
/// What the name of a condition key for a tag of an object begins with.
const EXISTING_TAG: &str = "s3:ExistingObjectTag/";

/// Kind of a bucket's policy.
pub(crate) const BUCKET_POLICY: PolicyKind = PolicyKind::Resource(ResourceKind::S3Bucket);

/// Actions that are asked about a bucket wherever it is, or before it is.
fn works_anywhere(action: &str) -> bool {
    matches!(action, "s3:CreateBucket" | "s3:GetBucketLocation")
}

/// Bucket and key of an ARN. `None`: no bucket is named.
pub(crate) fn parse_arn(arn: &str) -> Option<(&str, Option<&str>)> {
    let path = arn.strip_prefix(ARN_PREFIX)?;
    let (bucket, key) = path.split_once('/').map_or((path, None), |(bucket, key)| (bucket, Some(key)));
    (!bucket.is_empty() && bucket != "*").then_some((bucket, key))
}

/// See [`plane::Service::resource_for`].
pub(crate) async fn resource(tx: &mut Transaction, region: &str, action: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
    let Some((name, key)) = parse_arn(arn) else { return Ok(None) };
    let Some(claim) = tx.look_at::<Claim>(&Claim::key(name)).await? else { return Ok(None) };
    if action == "s3:CreateBucket" {
        // The caller wants a bucket of its own; whose the name is, the handler says.
        return Ok(None);
    }
    let resource_type = Some(if key.is_some() { "AWS::S3::Object" } else { "AWS::S3::Bucket" });
    let context = vec![("s3:ResourceAccount".to_owned(), vec![claim.account.clone()])];
    if claim.region != region {
        if works_anywhere(action) {
            return Ok(Some(ResourceAccess { account: claim.account.clone(), resource_type, context, ..ResourceAccess::default() }));
        }
        return Err(permanent_redirect(name, &claim.region));
    }
    let Some(bucket) = tx.look_at::<Bucket>(&Bucket::key_of(&claim.account, region, name)).await? else { return Ok(None) };
    let mut access = ResourceAccess {
        account: bucket.account.clone(),
        policy: bucket.policy.as_deref().map_or(ResourcePolicy::Absent, |text| attached(&bucket, text)),
        restrict_public_buckets: bucket.public_access_block.is_some_and(|block| block.restrict_public_buckets),
        resource_type,
        context,
        ..ResourceAccess::default()
    };
    if let Some(key) = key
        && let Some(object) = tx.look_at::<Object>(&Object::key(&bucket, key)).await?
    {
        access.context.extend(existing_tags(&object.tags));
    }
    Ok(Some(access))
}

/// See [`plane::Service::narrow`]: tags of the version that is asked for.
pub(crate) async fn narrow(
    tx: &mut Transaction,
    region: &str,
    input: &Value,
    target: &Target,
    found: &mut ResourceAccess,
) -> Result<(), ApiError> {
    let version_id = text(input, "VersionId");
    let copied = copied_version(input, target);
    let Some(version_id) = copied.as_deref().or((!version_id.is_empty()).then_some(version_id)) else { return Ok(()) };
    let Some((name, Some(key))) = parse_arn(&target.resource_arn) else { return Ok(()) };
    found.context.retain(|(name, _)| !name.starts_with(EXISTING_TAG));
    // What is wrong with an id, the handler says to those who may ask.
    let Ok(id) = VersionId::parse(version_id, "versionId") else { return Ok(()) };
    let Some(bucket) = tx.look_at::<Bucket>(&Bucket::key_of(&found.account, region, name)).await? else { return Ok(()) };
    if let Some((Version::Object(object), _)) = version::by_id(tx, &bucket, key, &id).await? {
        found.context.extend(existing_tags(&object.tags));
    }
    Ok(())
}

/// The version that a copy reads, if this target is its source.
fn copied_version(input: &Value, target: &Target) -> Option<String> {
    let source = CopySource::parse(text(input, "CopySource")).ok()?;
    let is_source =
        target.action == "s3:GetObjectVersion" && target.resource_arn == format!("{ARN_PREFIX}{}/{}", source.bucket, source.key);
    source.version_id.filter(|_| is_source)
}

/// See [`plane::Service::target_keys`]: the version that a copy reads is no member of its own.
pub(crate) fn target_keys(input: &Value, target: &Target, keys: &mut MapContext) {
    if let Some(version_id) = copied_version(input, target) {
        keys.set("s3:versionid", version_id);
    }
}

fn existing_tags(tags: &tag::Tags) -> impl Iterator<Item = (String, Vec<String>)> {
    tags.iter().map(|(name, value)| (format!("{EXISTING_TAG}{name}"), vec![value.clone()]))
}

fn attached(bucket: &Bucket, text: &str) -> ResourcePolicy {
    ResourcePolicy::new(Attached::new(bucket.arn(), PolicySource::Resource, authorize::compiled(BUCKET_POLICY, text)))
}

/// See [`plane::Service::targets`]: copies also read, batches ask for each key in the handler.
pub(crate) fn targets(call: &Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
    match call.operation.name {
        "CopyObject" | "UploadPartCopy" => copy_targets(input).map(Some),
        "PutObject" | "CreateMultipartUpload" => Ok(Some(write_targets(input))),
        "DeleteObjects" => Ok(Some(Vec::new())),
        _ => Ok(None),
    }
}

fn text<'a>(input: &'a Value, name: &str) -> &'a str {
    input.member(name).and_then(Value::as_str).unwrap_or_default()
}

/// What the source of a copy needs, then what writing needs.
fn copy_targets(input: &Value) -> Result<Vec<Target>, ApiError> {
    let source = CopySource::parse(text(input, "CopySource"))?;
    let read = if source.version_id.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
    let resource_arn = format!("{ARN_PREFIX}{}/{}", source.bucket, source.key);
    let mut targets = vec![Target { action: read.to_owned(), resource_arn }];
    targets.extend(write_targets(input));
    Ok(targets)
}

/// Members of a write that need an action of their own.
const WRITE_ACTIONS: [(&str, &str); 9] = [
    ("ACL", "s3:PutObjectAcl"),
    ("GrantFullControl", "s3:PutObjectAcl"),
    ("GrantRead", "s3:PutObjectAcl"),
    ("GrantReadACP", "s3:PutObjectAcl"),
    ("GrantWriteACP", "s3:PutObjectAcl"),
    ("Tagging", "s3:PutObjectTagging"),
    ("ObjectLockMode", "s3:PutObjectRetention"),
    ("ObjectLockRetainUntilDate", "s3:PutObjectRetention"),
    ("ObjectLockLegalHoldStatus", "s3:PutObjectLegalHold"),
];

/// What writing an object needs. To leave the owner of the bucket full control grants nothing to anybody else: the policies that AWS gives for
/// log delivery and for uploads by other accounts allow `s3:PutObject` with that ACL and nothing more.
///
/// Source: S3 User Guide, "Required permissions for Amazon S3 API operations" and "Bucket policy examples".
fn write_targets(input: &Value) -> Vec<Target> {
    let resource_arn = format!("{ARN_PREFIX}{}/{}", text(input, "Bucket"), text(input, "Key"));
    let target = |action: &str| Target { action: action.to_owned(), resource_arn: resource_arn.clone() };
    let mut targets = vec![target("s3:PutObject")];
    for (member, action) in WRITE_ACTIONS {
        let given = input.member(member).is_some_and(|value| *value != Value::Null);
        let harmless = member == "ACL" && text(input, member) == "bucket-owner-full-control";
        if given && !harmless && !targets.iter().any(|target| target.action == action) {
            targets.push(target(action));
        }
    }
    targets
}

/// Input members whose value is a condition key as it stands.
const MEMBER_KEYS: [(&str, &str); 26] = [
    ("Prefix", "s3:prefix"),
    ("Delimiter", "s3:delimiter"),
    ("MaxKeys", "s3:max-keys"),
    ("VersionId", "s3:versionid"),
    ("ACL", "s3:x-amz-acl"),
    ("GrantFullControl", "s3:x-amz-grant-full-control"),
    ("GrantRead", "s3:x-amz-grant-read"),
    ("GrantReadACP", "s3:x-amz-grant-read-acp"),
    ("GrantWrite", "s3:x-amz-grant-write"),
    ("GrantWriteACP", "s3:x-amz-grant-write-acp"),
    ("CopySource", "s3:x-amz-copy-source"),
    ("MetadataDirective", "s3:x-amz-metadata-directive"),
    ("ServerSideEncryption", "s3:x-amz-server-side-encryption"),
    ("SSEKMSKeyId", "s3:x-amz-server-side-encryption-aws-kms-key-id"),
    ("SSECustomerAlgorithm", "s3:x-amz-server-side-encryption-customer-algorithm"),
    ("StorageClass", "s3:x-amz-storage-class"),
    ("WebsiteRedirectLocation", "s3:x-amz-website-redirect-location"),
    ("ObjectOwnership", "s3:x-amz-object-ownership"),
    ("IfMatch", "s3:if-match"),
    ("IfNoneMatch", "s3:if-none-match"),
    ("ObjectLockMode", "s3:object-lock-mode"),
    ("ObjectLockRetainUntilDate", "s3:object-lock-retain-until-date"),
    ("ObjectLockLegalHoldStatus", "s3:object-lock-legal-hold"),
    ("Retention.Mode", "s3:object-lock-mode"),
    ("Retention.RetainUntilDate", "s3:object-lock-retain-until-date"),
    ("LegalHold.Status", "s3:object-lock-legal-hold"),
];

const DAY_MS: i64 = 24 * 3_600_000;

/// Days that a version would be held, a begun one counted: a policy that limits them must not be passed by an hour.
fn remaining_days(until_ms: i64, now_ms: i64) -> i64 {
    let remaining_ms = until_ms.saturating_sub(now_ms);
    remaining_ms.div_euclid(DAY_MS) + i64::from(remaining_ms.rem_euclid(DAY_MS) > 0)
}

const CREATING: [&str; 5] = ["PutObject", "CopyObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"];

/// See [`plane::Service::condition_keys`]. Source: Service Authorization Reference, "Condition keys for Amazon S3".
pub(crate) fn condition_keys(call: &Call, input: &Value, keys: &mut MapContext) {
    request_keys(call, keys);
    for (member, key) in MEMBER_KEYS {
        match input.path(member) {
            Some(Value::Str(text)) => {
                keys.set(key, text.clone());
            }
            Some(Value::Int(number)) => {
                keys.set(key, number.to_string());
            }
            Some(Value::Time(time)) => {
                keys.set(key, plane::clock::iso8601_s(time.0));
            }
            _ => {}
        }
    }
    for member in ["ObjectLockRetainUntilDate", "Retention.RetainUntilDate"] {
        if let Some(Value::Time(until)) = input.path(member) {
            keys.set("s3:object-lock-remaining-retention-days", remaining_days(until.0, call.now.0).to_string());
        }
    }
    if let Some(location) = input.path("CreateBucketConfiguration.LocationConstraint").and_then(Value::as_str) {
        keys.set("s3:LocationConstraint", location);
    }
    if CREATING.contains(&call.operation.name) {
        keys.set("s3:ObjectCreationOperation", call.operation.name);
    }
    if matches!(call.operation.name, "PutObject" | "CopyObject" | "CreateMultipartUpload" | "PutObjectTagging") {
        let tags = tag::of_input(input);
        if !tags.is_empty() {
            keys.set_many("s3:RequestObjectTagKeys", tags.iter().map(|(key, _)| key.clone()));
        }
        for (key, value) in tags {
            keys.set(&format!("s3:RequestObjectTag/{key}"), value);
        }
    }
}

/// What follows from the request itself, whatever the operation.
fn request_keys(call: &Call, keys: &mut MapContext) {
    let request = &call.request;
    if let Some(signed_ms) = request.signed_ms {
        keys.set("s3:authType", request.authentication_type);
        keys.set("s3:signatureversion", "AWS4-HMAC-SHA256");
        keys.set("s3:signatureAge", call.now.0.saturating_sub(signed_ms).max(0).to_string());
    }
    if let Some(digest) = &request.content_sha256 {
        keys.set("s3:x-amz-content-sha256", digest.clone());
    }
    if let Some(tls) = &request.origin.tls {
        keys.set("s3:TlsVersion", tls.version.trim_start_matches("TLSv"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_begun_day_of_retention_counts() {
        assert_eq!(remaining_days(5 * DAY_MS, 0), 5);
        assert_eq!(remaining_days(5 * DAY_MS + 1, 0), 6);
        assert_eq!(remaining_days(1, 0), 1);
        assert_eq!(remaining_days(0, 3 * DAY_MS), -3);
    }

    #[test]
    fn arns_name_a_bucket_and_perhaps_a_key() {
        assert_eq!(parse_arn("arn:aws:s3:::b"), Some(("b", None)));
        assert_eq!(parse_arn("arn:aws:s3:::b/a//b/*"), Some(("b", Some("a//b/*"))));
        assert_eq!(parse_arn("arn:aws:s3:::b/"), Some(("b", Some(""))));
        assert_eq!(parse_arn("arn:aws:s3:::*"), None);
        assert_eq!(parse_arn("arn:aws:kms:eu-central-1:1:key/x"), None);
    }
}
