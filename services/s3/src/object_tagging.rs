//! Tags of objects.

use api_s3::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput, PutObjectTaggingInput,
    PutObjectTaggingOutput,
};
use plane::{ApiError, Call};

use crate::object_get::{check_version, find};
use crate::record::Object;
use crate::tag::{self, OBJECT_TAGS_MAX, Tags};
use crate::{bucket, event};

pub(crate) async fn put_object_tagging(cx: &mut Call, input: PutObjectTaggingInput) -> Result<PutObjectTaggingOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    let tags = tag::from_api(input.tagging.tag_set);
    tag::check(&tags, OBJECT_TAGS_MAX)?;
    replace(cx, &input.bucket, &input.key, input.version_id.as_deref(), input.expected_bucket_owner.as_deref(), tags).await?;
    Ok(PutObjectTaggingOutput::default())
}

async fn replace(
    cx: &mut Call,
    bucket: &str,
    key: &str,
    version_id: Option<&str>,
    expected_owner: Option<&str>,
    tags: Tags,
) -> Result<(), ApiError> {
    let bucket = bucket::load(cx, bucket, expected_owner).await?;
    check_version(version_id)?;
    let mut object = find(cx, &bucket, key).await?;
    object.tags = tags;
    cx.tx.put(&Object::key(&bucket, key), &object)
}

pub(crate) async fn get_object_tagging(cx: &mut Call, input: GetObjectTaggingInput) -> Result<GetObjectTaggingOutput, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    check_version(input.version_id.as_deref())?;
    let object = find(cx, &bucket, &input.key).await?;
    event::note(cx, 0, 0);
    Ok(GetObjectTaggingOutput { version_id: None, tag_set: tag::to_api(object.tags) })
}

pub(crate) async fn delete_object_tagging(cx: &mut Call, input: DeleteObjectTaggingInput) -> Result<DeleteObjectTaggingOutput, ApiError> {
    replace(cx, &input.bucket, &input.key, input.version_id.as_deref(), input.expected_bucket_owner.as_deref(), Tags::new()).await?;
    Ok(DeleteObjectTaggingOutput::default())
}
