//! Where a trail's files go: the bucket and the key are checked when a trail is made or changed, with CloudTrail as the principal.
//!
//! Source: CloudTrail User Guide, "Amazon S3 bucket policy for CloudTrail" and "Configure AWS KMS key policies for CloudTrail".

use plane::{ApiError, Call, ServiceCaller, authorize};
use policy::MapContext;

use crate::SERVICE_PRINCIPAL;
use crate::error::TrailError;

const PREFIX_LENGTH_MAX: usize = 200;

/// What the caller wants.
pub(crate) struct Destination {
    pub bucket: String,
    pub prefix: Option<String>,
    pub kms_key: Option<String>,
    /// Id of the organization whose accounts are logged.
    pub organization: Option<String>,
}

/// What was found to work.
pub(crate) struct CheckedDestination {
    pub bucket: String,
    pub bucket_region: String,
    pub prefix: Option<String>,
    pub kms_key_arn: Option<String>,
}

/// CloudTrail as a caller, on behalf of a trail.
pub(crate) fn caller(trail_arn: &str, account: &str) -> ServiceCaller {
    ServiceCaller { service: SERVICE_PRINCIPAL.into(), source_arn: trail_arn.to_owned(), source_account: account.to_owned() }
}

pub(crate) async fn check(cx: &mut Call, trail_arn: &str, wanted: Destination) -> Result<CheckedDestination, ApiError> {
    let Destination { bucket, prefix, kms_key, organization } = wanted;
    if prefix.as_ref().is_some_and(|prefix| prefix.len() > PREFIX_LENGTH_MAX || prefix.contains('\0') || prefix.ends_with('/')) {
        return Err(TrailError::Prefix.into());
    }
    let bucket_region = bucket_region(cx, &bucket).await?;
    let caller = caller(trail_arn, &cx.account);
    let plane = std::sync::Arc::clone(&cx.plane);
    let bucket_arn = format!("arn:{}:s3:::{bucket}", plane::PARTITION);
    let folder = prefix.as_ref().map_or_else(String::new, |prefix| format!("{prefix}/"));
    let mut folders = vec![format!("{folder}AWSLogs/{}", cx.account)];
    folders.extend(organization.map(|id| format!("{folder}AWSLogs/{id}/{}", cx.account)));
    let mut keys = MapContext::new();
    let may_look =
        plane.is_service_allowed(&caller, &bucket_region, ("s3", "GetBucketAcl"), ("s3:GetBucketAcl", &bucket_arn), &keys).await?;
    keys.set("s3:x-amz-acl", "bucket-owner-full-control");
    let mut may_write = true;
    for folder in folders {
        let object_arn = format!("{bucket_arn}/{folder}/CloudTrail/{}/check", cx.region);
        may_write &= plane.is_service_allowed(&caller, &bucket_region, ("s3", "PutObject"), ("s3:PutObject", &object_arn), &keys).await?;
    }
    if !may_look || !may_write {
        return Err(TrailError::BucketPolicy(bucket).into());
    }
    let kms_key_arn = match kms_key {
        Some(key) => Some(check_key(cx, &caller, &bucket, &bucket_region, &key).await?),
        None => None,
    };
    Ok(CheckedDestination { bucket, bucket_region, prefix, kms_key_arn })
}

/// The region that the bucket is in, and that it exists.
pub(crate) async fn bucket_region(cx: &mut Call, bucket: &str) -> Result<String, ApiError> {
    let arn = format!("arn:{}:s3:::{bucket}", plane::PARTITION);
    match authorize::resource_access(cx, "s3:GetBucketPolicy", &arn).await {
        Ok(access) if access.account.is_empty() => Err(TrailError::BucketMissing(bucket.to_owned()).into()),
        Ok(_) => Ok(cx.region.clone()),
        // The bucket is in another region, which the redirection names.
        Err(error) => {
            let named = error.headers.iter().find(|(name, _)| *name == "x-amz-bucket-region").map(|(_, region)| region.clone());
            named.ok_or(error)
        }
    }
}

/// The key's ARN, when CloudTrail may make data keys under it for this trail. The key must be in the bucket's region.
async fn check_key(cx: &mut Call, caller: &ServiceCaller, bucket: &str, region: &str, key: &str) -> Result<String, ApiError> {
    let arn = if key.starts_with("arn:") {
        key.to_owned()
    } else if key.starts_with("alias/") {
        format!("arn:{}:kms:{region}:{}:{key}", plane::PARTITION, cx.account)
    } else {
        format!("arn:{}:kms:{region}:{}:key/{key}", plane::PARTITION, cx.account)
    };
    let missing = || TrailError::KeyMissing(key.to_owned());
    let described = cx
        .forward(api_kms::DescribeKeyInput { key_id: arn, grant_tokens: None })
        .await
        .map_err(|error| if error.code == "NotFoundException" { missing().into() } else { error })?;
    let metadata = described.key_metadata.ok_or_else(missing)?;
    let arn = metadata.arn.ok_or_else(missing)?;
    let refused = || TrailError::KeyPolicy { bucket: bucket.to_owned(), key: key.to_owned() };
    if arn.split(':').nth(3) != Some(region) {
        return Err(refused().into());
    }
    let mut keys = MapContext::new();
    keys.set("kms:EncryptionContext:aws:cloudtrail:arn", caller.source_arn.clone());
    keys.set("kms:ViaService", format!("s3.{region}.amazonaws.com"));
    let plane = std::sync::Arc::clone(&cx.plane);
    let target = ("kms:GenerateDataKey", arn.as_str());
    if plane.is_service_allowed(caller, region, ("kms", "GenerateDataKey"), target, &keys).await? { Ok(arn) } else { Err(refused().into()) }
}
