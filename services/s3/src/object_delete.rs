//! DeleteObject and DeleteObjects.

use api_s3::{DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error, ObjectIdentifier};
use plane::{ApiError, Call, authorize};
use wire::Timestamp;

use crate::bucket_name::check_key;
use crate::error::{invalid_argument, malformed_xml, no_such_version, precondition_failed};
use crate::record::{Bucket, Object, Version};
use crate::version::{Deleted, VersionId};
use crate::{bucket, version};

/// Keys in one DeleteObjects.
const BATCH_MAX: usize = 1000;

/// What must hold of an object for it to be deleted.
struct Expected<'a> {
    etag: Option<&'a str>,
    modified: Option<Timestamp>,
    size: Option<i64>,
}

impl Expected<'_> {
    fn is_any(&self) -> bool {
        self.etag.is_some() || self.modified.is_some() || self.size.is_some()
    }

    fn check(&self, object: Option<&Object>) -> Result<(), ApiError> {
        let Some(object) = object else {
            // Deleting what is not there succeeds, unless it was expected to be there.
            return if self.is_any() { Err(precondition_failed("If-Match")) } else { Ok(()) };
        };
        if self.etag.is_some_and(|etag| !matches!(etag.trim_matches('"'), "*") && etag.trim_matches('"') != object.etag) {
            return Err(precondition_failed("If-Match"));
        }
        if self.modified.is_some_and(|modified| modified.0.div_euclid(1000) != object.modified_s()) {
            return Err(precondition_failed("x-amz-if-match-last-modified-time"));
        }
        if self.size.is_some_and(|size| u64::try_from(size) != Ok(object.size)) {
            return Err(precondition_failed("x-amz-if-match-size"));
        }
        Ok(())
    }
}

/// Deletes a version, or, where none is named, what is current.
async fn remove(
    cx: &mut Call,
    bucket: &Bucket,
    key: &str,
    id: Option<&VersionId>,
    expected: &Expected<'_>,
    bypass: bool,
) -> Result<Deleted, ApiError> {
    check_key(key)?;
    let Some(id) = id else {
        let object = cx.tx.get::<Object>(&Object::key(bucket, key)).await?;
        expected.check(object.as_ref())?;
        return version::delete_current(cx, bucket, key, object).await;
    };
    if expected.is_any() {
        match version::by_id(&mut cx.tx, bucket, key, id).await? {
            Some((Version::Object(object), _)) => expected.check(Some(&object))?,
            Some((Version::DeleteMarker(_), _)) | None => expected.check(None)?,
        }
    }
    let is_delete_marker = version::delete_version(cx, bucket, key, id, bypass).await?;
    Ok(Deleted { version_id: None, is_delete_marker })
}

/// Whether a deletion may lift a governance retention. The permission is the decision's matter.
fn read_bypass(bucket: &Bucket, bypass: Option<bool>) -> Result<bool, ApiError> {
    if bypass == Some(true) && bucket.object_lock.is_none() {
        return Err(invalid_argument(
            "x-amz-bypass-governance-retention is only applicable to Object Lock enabled buckets.",
            "x-amz-bypass-governance-retention",
            "true",
        ));
    }
    Ok(bypass == Some(true))
}

pub(crate) async fn delete_object(cx: &mut Call, input: DeleteObjectInput) -> Result<DeleteObjectOutput, ApiError> {
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let bypass = read_bypass(&bucket, input.bypass_governance_retention)?;
    let id = VersionId::of(input.version_id.as_deref())?;
    let expected = Expected { etag: input.if_match.as_deref(), modified: input.if_match_last_modified_time, size: input.if_match_size };
    let deleted = remove(cx, &bucket, &input.key, id.as_ref(), &expected, bypass).await?;
    Ok(DeleteObjectOutput {
        delete_marker: deleted.is_delete_marker.then_some(true),
        version_id: input.version_id.or(deleted.version_id),
        ..DeleteObjectOutput::default()
    })
}

/// Each key is decided on its own: what is refused stands in the answer, the rest is done.
pub(crate) async fn delete_objects(cx: &mut Call, input: DeleteObjectsInput) -> Result<DeleteObjectsOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    if input.delete.objects.is_empty() || input.delete.objects.len() > BATCH_MAX {
        return Err(malformed_xml());
    }
    let bucket = bucket::load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let bypass = read_bypass(&bucket, input.bypass_governance_retention)?;
    let is_quiet = input.delete.quiet == Some(true);
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for object in input.delete.objects {
        match delete_one(cx, &bucket, &object, bypass).await {
            Ok(_) if is_quiet => {}
            Ok(done) => deleted.push(DeletedObject {
                delete_marker: done.is_delete_marker.then_some(true),
                delete_marker_version_id: done.version_id.or_else(|| object.version_id.clone()).filter(|_| done.is_delete_marker),
                key: Some(object.key),
                version_id: object.version_id,
            }),
            Err(error) if error.internal => return Err(error),
            Err(error) => errors.push(Error {
                key: Some(object.key),
                version_id: object.version_id,
                code: Some(error.code.into_owned()),
                message: Some(error.message),
            }),
        }
    }
    // Nobody who is not known learns anything of a bucket by a list of refusals.
    if cx.principal.is_anonymous()
        && deleted.is_empty()
        && !errors.is_empty()
        && errors.iter().all(|error| error.code.as_deref() == Some("AccessDenied"))
    {
        return Err(crate::error::access_denied());
    }
    Ok(DeleteObjectsOutput { deleted: Some(deleted), request_charged: None, errors: Some(errors) })
}

async fn delete_one(cx: &mut Call, bucket: &Bucket, object: &ObjectIdentifier, bypass: bool) -> Result<Deleted, ApiError> {
    let arn = bucket.object_arn(&object.key);
    let version_id = object.version_id.as_deref();
    let mut actions = vec![if version_id.is_some() { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" }];
    if bypass {
        actions.push("s3:BypassGovernanceRetention");
    }
    for action in actions {
        if let Some(refusal) = authorize::check_with(cx, action, &arn, &version::question(version_id)).await? {
            return Err(refusal);
        }
    }
    // In a batch, an id that cannot be one is told as one that is not there.
    let id = VersionId::of(version_id).map_err(|_| no_such_version(&object.key, version_id.unwrap_or_default()))?;
    let expected = Expected { etag: object.etag.as_deref(), modified: object.last_modified_time, size: object.size };
    let deleted = remove(cx, bucket, &object.key, id.as_ref(), &expected, bypass).await?;
    cx.touch("AWS::S3::Object", &arn, &bucket.account);
    Ok(deleted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Encryption, Lock, Metadata, VersionName};

    #[test]
    fn an_object_is_deleted_only_as_expected() {
        let object = Object {
            size: 3,
            etag: "abc".to_owned(),
            modified_ms: 10_400,
            pieces: Vec::new(),
            multipart: false,
            encryption: Encryption::Managed { sealed_key: String::new() },
            checksum: None,
            metadata: Metadata::default(),
            tags: Vec::new(),
            version: VersionName::default(),
            lock: Lock::default(),
        };
        let none = Expected { etag: None, modified: None, size: None };
        assert!(none.check(None).is_ok());
        assert!(none.check(Some(&object)).is_ok());
        assert!(Expected { etag: Some("\"abc\""), modified: Some(Timestamp(10_000)), size: Some(3) }.check(Some(&object)).is_ok());
        assert!(Expected { etag: Some("*"), ..none }.check(Some(&object)).is_ok());
        for wrong in [
            Expected { etag: Some("x"), ..none },
            Expected { etag: None, modified: Some(Timestamp(11_000)), size: None },
            Expected { etag: None, modified: None, size: Some(4) },
        ] {
            assert_eq!(wrong.check(Some(&object)).unwrap_err().code, "PreconditionFailed");
            assert_eq!(wrong.check(None).unwrap_err().code, "PreconditionFailed");
        }
    }
}
