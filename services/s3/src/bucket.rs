//! Buckets: made, found, listed, removed.

use std::sync::Arc;

use api_s3::{
    BucketCannedACL, BucketLocationConstraint, CreateBucketInput, CreateBucketOutput, DeleteBucketInput, DeleteBucketOutput,
    GetBucketLocationInput, GetBucketLocationOutput, HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput,
    ObjectOwnership,
};
use plane::page::PageError;
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call};
use wire::{Timestamp, Value};

use crate::acl;
use crate::error::{access_denied, invalid_argument, no_such_bucket, not_implemented, permanent_redirect};
use crate::record::{
    Bucket, Claim, DefaultEncryption, Object, ObjectLock, OwnedBucket, Part, PublicAccessBlock, Upload, Version, Versioning,
};
use crate::{bucket_name, event, storage, tag};

/// The region whose buckets have no location constraint, for historical reasons.
const CLASSIC_REGION: &str = "us-east-1";
/// Buckets in one page of ListBuckets.
const PAGE_MAX: usize = 10_000;
/// Parts of unfinished uploads that a DeleteBucket removes with the bucket.
const PARTS_REMOVED_MAX: usize = 10_000;

/// The bucket of a call: there, in this region, and owned by whom the caller expects.
pub(crate) async fn load(cx: &mut Call, name: &str, expected_owner: Option<&str>) -> Result<Bucket, ApiError> {
    let claim = claim(cx, name).await?;
    if claim.region != cx.region {
        return Err(permanent_redirect(name, &claim.region));
    }
    let key = Bucket::key_of(&claim.account, &claim.region, name);
    let bucket = cx.tx.get::<Bucket>(&key).await?.filter(|bucket| bucket.id == claim.bucket_id).ok_or_else(|| no_such_bucket(name))?;
    check_owner(&bucket.account, expected_owner)?;
    event::note(cx, 0, 0);
    Ok(bucket)
}

async fn claim(cx: &mut Call, name: &str) -> Result<Arc<Claim>, ApiError> {
    cx.tx.look_at::<Claim>(&Claim::key(name)).await?.ok_or_else(|| no_such_bucket(name))
}

fn check_owner(account: &str, expected: Option<&str>) -> Result<(), ApiError> {
    let Some(expected) = expected else { return Ok(()) };
    if expected.len() != 12 || !expected.bytes().all(|byte| byte.is_ascii_digit()) {
        let message = format!("The value of the expected bucket owner parameter must be an AWS Account ID... [{expected}]");
        return Err(ApiError::new("InvalidBucketOwnerAWSAccountID", message));
    }
    if expected == account { Ok(()) } else { Err(access_denied()) }
}

pub(crate) async fn create_bucket(cx: &mut Call, input: CreateBucketInput) -> Result<CreateBucketOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    bucket_name::check(&input.bucket)?;
    refuse_unsupported(&input)?;
    let configuration = input.create_bucket_configuration.unwrap_or_default();
    check_location(&cx.region, configuration.location_constraint.as_ref().map(BucketLocationConstraint::as_str))?;
    if configuration.location.is_some() || configuration.bucket.is_some() {
        return Err(not_implemented("CreateBucketConfiguration.Bucket"));
    }
    let tags = tag::from_api(configuration.tags.unwrap_or_default());
    tag::check(&tags, tag::BUCKET_TAGS_MAX)?;
    if let Some(claim) = cx.tx.get::<Claim>(&Claim::key(&input.bucket)).await? {
        if claim.account != cx.account {
            let message = "The requested bucket name is not available. The bucket namespace is shared by all users of the system. Please select a different name and try again.";
            return Err(ApiError::new("BucketAlreadyExists", message).with_member("BucketName", Value::Str(input.bucket)));
        }
        let is_here = claim.region == cx.region;
        let key = Bucket::key_of(&claim.account, &claim.region, &input.bucket);
        // A claim without a bucket is what a crash between two regions' commits leaves: its owner takes it over.
        let is_whole = !is_here || cx.tx.get::<Bucket>(&key).await?.is_some_and(|bucket| bucket.id == claim.bucket_id);
        if is_whole {
            if is_here && cx.region == CLASSIC_REGION {
                return Ok(created(&input.bucket));
            }
            let message = "Your previous request to create the named bucket succeeded and you already own it.";
            return Err(ApiError::new("BucketAlreadyOwnedByYou", message).with_member("BucketName", Value::Str(input.bucket)));
        }
    }
    // Object Lock needs versions, so both come together.
    let is_locking = input.object_lock_enabled_for_bucket == Some(true);
    let bucket = Bucket {
        name: input.bucket,
        id: cx.random_uuid()?,
        account: cx.account.clone(),
        region: cx.region.clone(),
        created_ms: cx.now.0,
        encryption: DefaultEncryption::default(),
        policy: None,
        public_access_block: Some(PublicAccessBlock::ALL),
        owner_enforced: true,
        tags,
        versioning: if is_locking { Versioning::Enabled } else { Versioning::Never },
        object_lock: is_locking.then(ObjectLock::default),
    };
    let claim = Claim {
        account: bucket.account.clone(),
        region: bucket.region.clone(),
        bucket_id: bucket.id.clone(),
        created_ms: bucket.created_ms,
    };
    cx.tx.put(&Claim::key(&bucket.name), &claim)?;
    cx.tx.put(
        &OwnedBucket::key(&bucket.account, &bucket.name),
        &OwnedBucket { region: bucket.region.clone(), created_ms: bucket.created_ms },
    )?;
    cx.tx.put(&bucket.key(), &bucket)?;
    event::note(cx, 0, 0);
    cx.touch("AWS::S3::Bucket", &bucket.arn(), &bucket.account);
    Ok(created(&bucket.name))
}

fn created(name: &str) -> CreateBucketOutput {
    CreateBucketOutput { location: Some(format!("/{name}")), bucket_arn: Some(format!("arn:{}:s3:::{name}", plane::PARTITION)) }
}

fn refuse_unsupported(input: &CreateBucketInput) -> Result<(), ApiError> {
    if input.bucket_namespace.as_ref().is_some_and(|namespace| namespace.as_str() != "global") {
        return Err(not_implemented("x-amz-bucket-namespace"));
    }
    match &input.object_ownership {
        None | Some(ObjectOwnership::BucketOwnerEnforced) => {}
        Some(ObjectOwnership::Other(other)) => {
            return Err(invalid_argument("Invalid x-amz-object-ownership header", "x-amz-object-ownership", other));
        }
        Some(_) => return Err(not_implemented("x-amz-object-ownership")),
    }
    let has_grants = [&input.grant_full_control, &input.grant_read, &input.grant_read_acp, &input.grant_write, &input.grant_write_acp]
        .into_iter()
        .any(Option::is_some);
    match &input.acl {
        Some(BucketCannedACL::Other(other)) => return Err(invalid_argument("", "x-amz-acl", other)),
        Some(BucketCannedACL::Private) | None if !has_grants => {}
        _ => {
            let message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting";
            return Err(ApiError::new("InvalidBucketAclWithObjectOwnership", message));
        }
    }
    Ok(())
}

/// Whether the constraint is that of the endpoint's region.
fn check_location(region: &str, constraint: Option<&str>) -> Result<(), ApiError> {
    let incompatible = |name: &str| {
        let message = format!("The {name} location constraint is incompatible for the region specific endpoint this request was sent to.");
        Err(ApiError::new("IllegalLocationConstraintException", message))
    };
    match constraint.filter(|constraint| !constraint.is_empty()) {
        None if region == CLASSIC_REGION => Ok(()),
        None => incompatible("unspecified"),
        Some(CLASSIC_REGION) => Err(ApiError::new("InvalidLocationConstraint", "The specified location-constraint is not valid")
            .with_member("LocationConstraint", Value::Str(CLASSIC_REGION.to_owned()))),
        Some("EU") if region == "eu-west-1" => Ok(()),
        Some(constraint) if constraint == region => Ok(()),
        Some(constraint) => incompatible(constraint),
    }
}

pub(crate) async fn delete_bucket(cx: &mut Call, input: DeleteBucketInput) -> Result<DeleteBucketOutput, ApiError> {
    let bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    if !cx.tx.scan::<Object>(&Object::prefix(&bucket), None, 1).await?.is_empty() {
        return Err(not_empty(&bucket.name));
    }
    if bucket.versioning != Versioning::Never && !cx.tx.scan::<Version>(&Version::prefix(&bucket), None, 1).await?.is_empty() {
        let message = "The bucket you tried to delete is not empty. You must delete all versions in the bucket.";
        return Err(ApiError { message: message.to_owned(), ..not_empty(&bucket.name) });
    }
    remove_uploads(cx, &bucket).await?;
    cx.tx.delete::<Claim>(&Claim::key(&bucket.name));
    cx.tx.delete::<OwnedBucket>(&OwnedBucket::key(&bucket.account, &bucket.name));
    cx.tx.delete::<Bucket>(&bucket.key());
    Ok(DeleteBucketOutput {})
}

fn not_empty(name: &str) -> ApiError {
    ApiError::new("BucketNotEmpty", "The bucket you tried to delete is not empty").with_member("BucketName", Value::Str(name.to_owned()))
}

/// Uploads under way end with their bucket.
async fn remove_uploads(cx: &mut Call, bucket: &Bucket) -> Result<(), ApiError> {
    let uploads = cx.tx.scan::<Upload>(&Upload::prefix(bucket), None, SCAN_LIMIT).await?;
    let mut removed = 0;
    for (upload_id, _) in uploads {
        let upload_id = String::from_utf8_lossy(&upload_id).into_owned();
        let parts = cx.tx.scan::<Part>(&Part::prefix(bucket, &upload_id), None, SCAN_LIMIT).await?;
        removed += parts.len();
        if removed > PARTS_REMOVED_MAX {
            return Err(not_empty(&bucket.name));
        }
        for (number, part) in parts {
            storage::release(cx, bucket, &part.blob)?;
            cx.tx.delete::<Part>(&Part::prefix(bucket, &upload_id).last(number));
        }
        cx.tx.delete::<Upload>(&Upload::key(bucket, &upload_id));
    }
    Ok(())
}

pub(crate) async fn head_bucket(cx: &mut Call, input: HeadBucketInput) -> Result<HeadBucketOutput, ApiError> {
    let bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(HeadBucketOutput {
        bucket_arn: Some(bucket.arn()),
        bucket_region: Some(bucket.region),
        access_point_alias: Some(false),
        ..HeadBucketOutput::default()
    })
}

/// Also answered for buckets of other regions: clients ask to learn where to go.
pub(crate) async fn get_bucket_location(cx: &mut Call, input: GetBucketLocationInput) -> Result<GetBucketLocationOutput, ApiError> {
    let claim = claim(cx, &input.bucket).await?;
    check_owner(&claim.account, input.expected_bucket_owner.as_deref())?;
    event::note(cx, 0, 0);
    let location_constraint = (claim.region != CLASSIC_REGION).then(|| BucketLocationConstraint::from(claim.region.as_str()));
    Ok(GetBucketLocationOutput { location_constraint })
}

pub(crate) async fn list_buckets(cx: &mut Call, input: ListBucketsInput) -> Result<ListBucketsOutput, ApiError> {
    let limit = match input.max_buckets {
        None => PAGE_MAX,
        Some(wanted) => usize::try_from(wanted).ok().filter(|wanted| (1..=PAGE_MAX).contains(wanted)).ok_or_else(|| {
            invalid_argument("Argument max-buckets must be an integer between 1 and 10000", "max-buckets", &wanted.to_string())
        })?,
    };
    let prefix = input.prefix.clone().unwrap_or_default();
    let filter = format!("{prefix}\0{}", input.bucket_region.as_deref().unwrap_or_default());
    let mut found = Vec::new();
    let mut after: Option<bytes::Bytes> = None;
    let account = cx.account.clone();
    loop {
        let rows = cx.tx.scan::<OwnedBucket>(&OwnedBucket::prefix(&account), after.as_deref(), SCAN_LIMIT).await?;
        let is_last = rows.len() < SCAN_LIMIT as usize;
        after = rows.last().map(|(name, _)| name.clone());
        found.extend(rows.into_iter().map(|(name, bucket)| (String::from_utf8_lossy(&name).into_owned(), bucket)));
        if is_last {
            break;
        }
    }
    found.retain(|(name, bucket)| name.starts_with(&prefix) && input.bucket_region.as_ref().is_none_or(|region| *region == bucket.region));
    let page =
        cx.page(found, |(name, _)| name.clone(), &filter, input.continuation_token.as_deref(), limit).map_err(|error| match error {
            PageError::Token(_) => invalid_argument(
                "The continuation token provided is incorrect",
                "continuation-token",
                input.continuation_token.as_deref().unwrap_or_default(),
            ),
            PageError::Failed(error) => error,
        })?;
    let is_paged =
        input.max_buckets.is_some() || input.prefix.is_some() || input.bucket_region.is_some() || input.continuation_token.is_some();
    let buckets = page
        .items
        .into_iter()
        .map(|(name, bucket)| api_s3::Bucket {
            bucket_arn: Some(format!("arn:{}:s3:::{name}", plane::PARTITION)),
            name: Some(name),
            creation_date: Some(Timestamp(bucket.created_ms)),
            bucket_region: is_paged.then_some(bucket.region),
        })
        .collect();
    event::note(cx, 0, 0);
    Ok(ListBucketsOutput { buckets: Some(buckets), owner: Some(acl::owner(&account)), continuation_token: page.next, prefix: input.prefix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_constraint_is_the_endpoints_region() {
        let code = |region, constraint| check_location(region, constraint).err().map(|error| error.code.into_owned());
        assert_eq!(code("us-east-1", None), None);
        assert_eq!(code("eu-central-1", Some("eu-central-1")), None);
        assert_eq!(code("eu-west-1", Some("EU")), None);
        assert_eq!(code("eu-central-1", None).as_deref(), Some("IllegalLocationConstraintException"));
        assert_eq!(code("eu-central-1", Some("eu-west-1")).as_deref(), Some("IllegalLocationConstraintException"));
        assert_eq!(code("us-east-1", Some("us-east-1")).as_deref(), Some("InvalidLocationConstraint"));
    }
}
