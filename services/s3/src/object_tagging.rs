//! Tags of objects.

use api_s3::{
    DeleteObjectTaggingInput, DeleteObjectTaggingOutput, GetObjectTaggingInput, GetObjectTaggingOutput, PutObjectTaggingInput,
    PutObjectTaggingOutput,
};
use plane::{ApiError, Call};

use crate::tag::{self, OBJECT_TAGS_MAX, Tags};
use crate::version::VersionId;
use crate::{bucket, event, version};

pub(crate) async fn put_object_tagging(cx: &mut Call, input: PutObjectTaggingInput) -> Result<PutObjectTaggingOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    let tags = tag::from_api(input.tagging.tag_set);
    tag::check(&tags, OBJECT_TAGS_MAX)?;
    let version_id =
        replace(cx, &input.bucket, &input.key, input.version_id.as_deref(), input.expected_bucket_owner.as_deref(), tags).await?;
    Ok(PutObjectTaggingOutput { version_id })
}

async fn replace(
    cx: &mut Call,
    bucket: &str,
    key: &str,
    version_id: Option<&str>,
    expected_owner: Option<&str>,
    tags: Tags,
) -> Result<Option<String>, ApiError> {
    let bucket = bucket::load(cx, bucket, expected_owner).await?;
    let id = VersionId::of(version_id)?;
    let mut found = version::find(cx, &bucket, key, id.as_ref()).await?;
    found.object.tags = tags;
    let shown = version::shown(&bucket, &found.object.version);
    version::update(cx, &bucket, key, found)?;
    Ok(shown)
}

pub(crate) async fn get_object_tagging(cx: &mut Call, input: GetObjectTaggingInput) -> Result<GetObjectTaggingOutput, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let id = VersionId::of(input.version_id.as_deref())?;
    let object = version::find(cx, &bucket, &input.key, id.as_ref()).await?.object;
    event::note(cx, 0, 0);
    Ok(GetObjectTaggingOutput { version_id: version::shown(&bucket, &object.version), tag_set: tag::to_api(object.tags) })
}

pub(crate) async fn delete_object_tagging(cx: &mut Call, input: DeleteObjectTaggingInput) -> Result<DeleteObjectTaggingOutput, ApiError> {
    let version_id =
        replace(cx, &input.bucket, &input.key, input.version_id.as_deref(), input.expected_bucket_owner.as_deref(), Tags::new()).await?;
    Ok(DeleteObjectTaggingOutput { version_id })
}
