//! Retention and legal hold of single versions.

use api_s3::{
    GetObjectLegalHoldInput, GetObjectLegalHoldOutput, GetObjectRetentionInput, GetObjectRetentionOutput, ObjectLockLegalHold,
    ObjectLockLegalHoldStatus, ObjectLockRetention, PutObjectLegalHoldInput, PutObjectLegalHoldOutput, PutObjectRetentionInput,
    PutObjectRetentionOutput,
};
use plane::{ApiError, Call};
use wire::Timestamp;

use crate::error::{malformed_xml, not_implemented};
use crate::record::{Bucket, Retention};
use crate::version::{Found, VersionId};
use crate::{bucket, event, lock, version};

/// A version in a bucket that has Object Lock.
async fn find(
    cx: &mut Call,
    bucket: &str,
    key: &str,
    version_id: Option<&str>,
    expected_owner: Option<&str>,
) -> Result<(Bucket, Found), ApiError> {
    let bucket = bucket::load(cx, bucket, expected_owner).await?;
    let id = VersionId::of(version_id)?;
    if bucket.object_lock.is_none() {
        return Err(lock::missing_configuration());
    }
    let found = version::find(cx, &bucket, key, id.as_ref()).await?;
    Ok((bucket, found))
}

fn nothing_set() -> ApiError {
    ApiError::new("NoSuchObjectLockConfiguration", "The specified object does not have a ObjectLock configuration")
}

/// See <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectRetention.html>. An empty retention takes away what may be taken away.
pub(crate) async fn put_object_retention(cx: &mut Call, input: PutObjectRetentionInput) -> Result<PutObjectRetentionOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    let (bucket, mut found) =
        find(cx, &input.bucket, &input.key, input.version_id.as_deref(), input.expected_bucket_owner.as_deref()).await?;
    let new = read(input.retention.ok_or_else(malformed_xml)?, cx.now.0)?;
    let bypass = input.bypass_governance_retention == Some(true);
    lock::check_change(found.object.lock.retention, new, cx.now.0, bypass)?;
    found.object.lock.retention = new;
    version::update(cx, &bucket, &input.key, found)?;
    event::note(cx, 0, 0);
    Ok(PutObjectRetentionOutput::default())
}

fn read(retention: ObjectLockRetention, now_ms: i64) -> Result<Option<Retention>, ApiError> {
    if retention.event_hold.is_some() || retention.event_hold_duration.is_some() {
        return Err(not_implemented("EventHold"));
    }
    match (retention.mode, retention.retain_until_date) {
        (None, None) => Ok(None),
        (Some(mode), Some(until)) => {
            let mode = lock::read_mode(&mode).ok_or_else(malformed_xml)?;
            lock::check_future(until, now_ms, "RetainUntilDate")?;
            Ok(Some(Retention { mode, until_ms: until.0 }))
        }
        _ => Err(malformed_xml()),
    }
}

/// See <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectRetention.html>.
pub(crate) async fn get_object_retention(cx: &mut Call, input: GetObjectRetentionInput) -> Result<GetObjectRetentionOutput, ApiError> {
    let (_, found) = find(cx, &input.bucket, &input.key, input.version_id.as_deref(), input.expected_bucket_owner.as_deref()).await?;
    let retention = found.object.lock.retention.ok_or_else(nothing_set)?;
    let shown = ObjectLockRetention {
        mode: Some(lock::shown_mode(retention.mode)),
        retain_until_date: Some(Timestamp(retention.until_ms)),
        ..ObjectLockRetention::default()
    };
    Ok(GetObjectRetentionOutput { retention: Some(shown) })
}

/// See <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectLegalHold.html>.
pub(crate) async fn put_object_legal_hold(cx: &mut Call, input: PutObjectLegalHoldInput) -> Result<PutObjectLegalHoldOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    let (bucket, mut found) =
        find(cx, &input.bucket, &input.key, input.version_id.as_deref(), input.expected_bucket_owner.as_deref()).await?;
    let is_on = match input.legal_hold.and_then(|hold| hold.status) {
        Some(ObjectLockLegalHoldStatus::On) => true,
        Some(ObjectLockLegalHoldStatus::Off) => false,
        None | Some(ObjectLockLegalHoldStatus::Other(_)) => return Err(malformed_xml()),
    };
    found.object.lock.legal_hold = Some(is_on);
    version::update(cx, &bucket, &input.key, found)?;
    event::note(cx, 0, 0);
    Ok(PutObjectLegalHoldOutput::default())
}

/// See <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectLegalHold.html>.
pub(crate) async fn get_object_legal_hold(cx: &mut Call, input: GetObjectLegalHoldInput) -> Result<GetObjectLegalHoldOutput, ApiError> {
    let (_, found) = find(cx, &input.bucket, &input.key, input.version_id.as_deref(), input.expected_bucket_owner.as_deref()).await?;
    let is_on = found.object.lock.legal_hold.ok_or_else(nothing_set)?;
    let status = if is_on { ObjectLockLegalHoldStatus::On } else { ObjectLockLegalHoldStatus::Off };
    Ok(GetObjectLegalHoldOutput { legal_hold: Some(ObjectLockLegalHold { status: Some(status) }) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RetentionMode;
    use api_s3::ObjectLockRetentionMode;

    #[test]
    fn a_retention_is_whole_or_empty() {
        let retention = |mode: Option<&str>, until: Option<i64>| {
            let mode = mode.map(ObjectLockRetentionMode::from);
            read(ObjectLockRetention { mode, retain_until_date: until.map(Timestamp), ..ObjectLockRetention::default() }, 10)
        };
        let code = |mode, until| retention(mode, until).unwrap_err().code.into_owned();
        assert_eq!(retention(None, None).unwrap(), None);
        let held = Retention { mode: RetentionMode::Governance, until_ms: 11 };
        assert_eq!(retention(Some("GOVERNANCE"), Some(11)).unwrap(), Some(held));
        assert_eq!(code(Some("GOVERNANCE"), None), "MalformedXML");
        assert_eq!(code(None, Some(11)), "MalformedXML");
        assert_eq!(code(Some("governance"), Some(11)), "MalformedXML");
        assert_eq!(code(Some("COMPLIANCE"), Some(10)), "InvalidArgument");
    }
}
