//! Small settings of a bucket: Block Public Access, object ownership, tags.

use api_s3::{
    DeleteBucketOwnershipControlsInput, DeleteBucketOwnershipControlsOutput, DeleteBucketTaggingInput, DeleteBucketTaggingOutput,
    DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput, GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput,
    GetBucketTaggingInput, GetBucketTaggingOutput, GetPublicAccessBlockInput, GetPublicAccessBlockOutput, ObjectOwnership,
    OwnershipControls, OwnershipControlsRule, PublicAccessBlockConfiguration, PutBucketOwnershipControlsInput,
    PutBucketOwnershipControlsOutput, PutBucketTaggingInput, PutBucketTaggingOutput, PutPublicAccessBlockInput, PutPublicAccessBlockOutput,
};
use plane::{ApiError, Call};
use wire::Value;

use crate::bucket::load;
use crate::error::{malformed_xml, not_implemented};
use crate::record::PublicAccessBlock;
use crate::tag;

pub(crate) fn missing(code: &'static str, message: &str, bucket: &str) -> ApiError {
    ApiError::new(code, message).with_member("BucketName", Value::Str(bucket.to_owned()))
}

pub(crate) async fn put_public_access_block(
    cx: &mut Call,
    input: PutPublicAccessBlockInput,
) -> Result<PutPublicAccessBlockOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let given = input.public_access_block_configuration;
    bucket.public_access_block = Some(PublicAccessBlock {
        block_public_acls: given.block_public_acls.unwrap_or_default(),
        ignore_public_acls: given.ignore_public_acls.unwrap_or_default(),
        block_public_policy: given.block_public_policy.unwrap_or_default(),
        restrict_public_buckets: given.restrict_public_buckets.unwrap_or_default(),
    });
    cx.tx.put(&bucket.key(), &bucket)?;
    Ok(PutPublicAccessBlockOutput {})
}

pub(crate) async fn get_public_access_block(
    cx: &mut Call,
    input: GetPublicAccessBlockInput,
) -> Result<GetPublicAccessBlockOutput, ApiError> {
    let bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let block = bucket.public_access_block.ok_or_else(|| {
        missing("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found", &input.bucket)
    })?;
    let configuration = PublicAccessBlockConfiguration {
        block_public_acls: Some(block.block_public_acls),
        ignore_public_acls: Some(block.ignore_public_acls),
        block_public_policy: Some(block.block_public_policy),
        restrict_public_buckets: Some(block.restrict_public_buckets),
    };
    Ok(GetPublicAccessBlockOutput { public_access_block_configuration: Some(configuration) })
}

pub(crate) async fn delete_public_access_block(
    cx: &mut Call,
    input: DeletePublicAccessBlockInput,
) -> Result<DeletePublicAccessBlockOutput, ApiError> {
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    if bucket.public_access_block.take().is_some() {
        cx.tx.put(&bucket.key(), &bucket)?;
    }
    Ok(DeletePublicAccessBlockOutput {})
}

/// The other two ownership settings turn ACLs on, which this server does not have.
pub(crate) async fn put_bucket_ownership_controls(
    cx: &mut Call,
    input: PutBucketOwnershipControlsInput,
) -> Result<PutBucketOwnershipControlsOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let [rule] = input.ownership_controls.rules.as_slice() else { return Err(malformed_xml()) };
    match &rule.object_ownership {
        ObjectOwnership::BucketOwnerEnforced => {}
        ObjectOwnership::BucketOwnerPreferred | ObjectOwnership::ObjectWriter => {
            return Err(not_implemented(&format!("ObjectOwnership: {}", rule.object_ownership)));
        }
        ObjectOwnership::Other(_) => return Err(malformed_xml()),
    }
    bucket.owner_enforced = true;
    cx.tx.put(&bucket.key(), &bucket)?;
    Ok(PutBucketOwnershipControlsOutput {})
}

pub(crate) async fn get_bucket_ownership_controls(
    cx: &mut Call,
    input: GetBucketOwnershipControlsInput,
) -> Result<GetBucketOwnershipControlsOutput, ApiError> {
    let bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    if !bucket.owner_enforced {
        return Err(missing("OwnershipControlsNotFoundError", "The bucket ownership controls were not found", &input.bucket));
    }
    let rules = vec![OwnershipControlsRule { object_ownership: ObjectOwnership::BucketOwnerEnforced }];
    Ok(GetBucketOwnershipControlsOutput { ownership_controls: Some(OwnershipControls { rules }) })
}

/// The setting goes; ACLs stay off all the same.
pub(crate) async fn delete_bucket_ownership_controls(
    cx: &mut Call,
    input: DeleteBucketOwnershipControlsInput,
) -> Result<DeleteBucketOwnershipControlsOutput, ApiError> {
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    bucket.owner_enforced = false;
    cx.tx.put(&bucket.key(), &bucket)?;
    Ok(DeleteBucketOwnershipControlsOutput {})
}

pub(crate) async fn put_bucket_tagging(cx: &mut Call, input: PutBucketTaggingInput) -> Result<PutBucketTaggingOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let tags = tag::from_api(input.tagging.tag_set);
    tag::check(&tags, tag::BUCKET_TAGS_MAX)?;
    bucket.tags = tags;
    cx.tx.put(&bucket.key(), &bucket)?;
    Ok(PutBucketTaggingOutput {})
}

pub(crate) async fn get_bucket_tagging(cx: &mut Call, input: GetBucketTaggingInput) -> Result<GetBucketTaggingOutput, ApiError> {
    let bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    if bucket.tags.is_empty() {
        return Err(missing("NoSuchTagSet", "The TagSet does not exist", &input.bucket));
    }
    Ok(GetBucketTaggingOutput { tag_set: tag::to_api(bucket.tags) })
}

pub(crate) async fn delete_bucket_tagging(cx: &mut Call, input: DeleteBucketTaggingInput) -> Result<DeleteBucketTaggingOutput, ApiError> {
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    bucket.tags.clear();
    cx.tx.put(&bucket.key(), &bucket)?;
    Ok(DeleteBucketTaggingOutput {})
}
