//! Versioning and Object Lock of a bucket.

use api_s3::{
    BucketVersioningStatus, DefaultRetention as ApiRetention, GetBucketVersioningInput, GetBucketVersioningOutput,
    GetObjectLockConfigurationInput, GetObjectLockConfigurationOutput, MFADelete, ObjectLockConfiguration, ObjectLockEnabled,
    ObjectLockRule, PutBucketVersioningInput, PutBucketVersioningOutput, PutObjectLockConfigurationInput, PutObjectLockConfigurationOutput,
};
use plane::{ApiError, Call};
use wire::Value;

use crate::bucket::load;
use crate::error::{invalid_argument, invalid_bucket_state, malformed_xml, not_implemented};
use crate::lock::{self, DAYS_MAX, YEARS_MAX};
use crate::record::{DefaultRetention, ObjectLock, RetentionPeriod, Versioning};

/// See <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketVersioning.html>. MFA delete is refused: nothing here asks for a code.
pub(crate) async fn put_bucket_versioning(cx: &mut Call, input: PutBucketVersioningInput) -> Result<PutBucketVersioningOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    match input.versioning_configuration.mfa_delete {
        None | Some(MFADelete::Disabled) => {}
        Some(MFADelete::Enabled) => return Err(not_implemented("MfaDelete: Enabled")),
        Some(MFADelete::Other(_)) => return Err(malformed_xml()),
    }
    bucket.versioning = match input.versioning_configuration.status {
        Some(BucketVersioningStatus::Enabled) => Versioning::Enabled,
        Some(BucketVersioningStatus::Suspended) if bucket.object_lock.is_some() => {
            return Err(invalid_bucket_state(
                "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.",
            ));
        }
        Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
        Some(BucketVersioningStatus::Other(_)) => return Err(malformed_xml()),
        None => {
            return Err(ApiError::new("IllegalVersioningConfigurationException", "The Versioning element must be specified"));
        }
    };
    cx.tx.put(&bucket.key(), &bucket)?;
    Ok(PutBucketVersioningOutput {})
}

/// See <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketVersioning.html>. Where versioning was never on, the answer is empty.
pub(crate) async fn get_bucket_versioning(cx: &mut Call, input: GetBucketVersioningInput) -> Result<GetBucketVersioningOutput, ApiError> {
    let bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let status = match bucket.versioning {
        Versioning::Never => None,
        Versioning::Enabled => Some(BucketVersioningStatus::Enabled),
        Versioning::Suspended => Some(BucketVersioningStatus::Suspended),
    };
    Ok(GetBucketVersioningOutput { status, ..GetBucketVersioningOutput::default() })
}

/// See <https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObjectLockConfiguration.html>. A bucket that keeps versions may get Object Lock
/// later; it never loses it.
pub(crate) async fn put_object_lock_configuration(
    cx: &mut Call,
    input: PutObjectLockConfigurationInput,
) -> Result<PutObjectLockConfigurationOutput, ApiError> {
    crate::body_digest::check(cx).await?;
    let mut bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    if input.token.is_some() {
        return Err(not_implemented("x-amz-bucket-object-lock-token"));
    }
    let default_retention = read(input.object_lock_configuration.ok_or_else(malformed_xml)?)?;
    if bucket.versioning != Versioning::Enabled {
        return Err(invalid_bucket_state("Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"));
    }
    bucket.object_lock = Some(ObjectLock { default_retention });
    cx.tx.put(&bucket.key(), &bucket)?;
    Ok(PutObjectLockConfigurationOutput::default())
}

fn read(configuration: ObjectLockConfiguration) -> Result<Option<DefaultRetention>, ApiError> {
    if configuration.object_lock_enabled != Some(ObjectLockEnabled::Enabled) {
        return Err(malformed_xml());
    }
    let Some(rule) = configuration.rule else { return Ok(None) };
    let default = rule.default_retention.ok_or_else(malformed_xml)?;
    if default.default_event_hold.is_some() {
        return Err(not_implemented("DefaultEventHold"));
    }
    let mode = default.mode.as_ref().and_then(lock::read_mode).ok_or_else(malformed_xml)?;
    let period = match (default.days, default.years) {
        (Some(days), None) => RetentionPeriod::Days(check_period(days, DAYS_MAX, "Days")?),
        (None, Some(years)) => RetentionPeriod::Years(check_period(years, YEARS_MAX, "Years")?),
        _ => return Err(malformed_xml()),
    };
    Ok(Some(DefaultRetention { mode, period }))
}

fn check_period(given: i32, limit: u16, name: &str) -> Result<u16, ApiError> {
    let refused = |message: &str| invalid_argument(message, name, &given.to_string());
    if given <= 0 {
        return Err(refused("Default retention period must be a positive integer value."));
    }
    u16::try_from(given).ok().filter(|period| *period <= limit).ok_or_else(|| refused("Default retention period too large."))
}

/// See <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObjectLockConfiguration.html>.
pub(crate) async fn get_object_lock_configuration(
    cx: &mut Call,
    input: GetObjectLockConfigurationInput,
) -> Result<GetObjectLockConfigurationOutput, ApiError> {
    let bucket = load(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    let object_lock = bucket.object_lock.ok_or_else(|| {
        ApiError::new("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket")
            .with_member("BucketName", Value::Str(input.bucket))
    })?;
    Ok(GetObjectLockConfigurationOutput { object_lock_configuration: Some(write(&object_lock)) })
}

fn write(object_lock: &ObjectLock) -> ObjectLockConfiguration {
    let rule = object_lock.default_retention.as_ref().map(|default| {
        let (days, years) = match default.period {
            RetentionPeriod::Days(days) => (Some(i32::from(days)), None),
            RetentionPeriod::Years(years) => (None, Some(i32::from(years))),
        };
        let mode = Some(lock::shown_mode(default.mode));
        ObjectLockRule { default_retention: Some(ApiRetention { mode, days, years, ..ApiRetention::default() }) }
    });
    ObjectLockConfiguration { object_lock_enabled: Some(ObjectLockEnabled::Enabled), rule }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::RetentionMode;
    use api_s3::ObjectLockRetentionMode;

    fn configuration(mode: &str, days: Option<i32>, years: Option<i32>) -> ObjectLockConfiguration {
        let default = ApiRetention { mode: Some(ObjectLockRetentionMode::from(mode)), days, years, ..ApiRetention::default() };
        ObjectLockConfiguration {
            object_lock_enabled: Some(ObjectLockEnabled::Enabled),
            rule: Some(ObjectLockRule { default_retention: Some(default) }),
        }
    }

    #[test]
    fn a_default_has_a_mode_and_one_period() {
        let held = DefaultRetention { mode: RetentionMode::Compliance, period: RetentionPeriod::Years(100) };
        assert_eq!(read(configuration("COMPLIANCE", None, Some(100))).unwrap(), Some(held.clone()));
        let written = write(&ObjectLock { default_retention: Some(held.clone()) });
        assert_eq!(read(written).unwrap(), Some(held));
        let none = ObjectLockConfiguration { object_lock_enabled: Some(ObjectLockEnabled::Enabled), rule: None };
        assert_eq!(read(none).unwrap(), None);
        let code = |configuration| read(configuration).unwrap_err().code.into_owned();
        for malformed in [
            configuration("COMPLIANCE", Some(1), Some(1)),
            configuration("COMPLIANCE", None, None),
            configuration("compliance", Some(1), None),
            ObjectLockConfiguration { object_lock_enabled: None, rule: None },
            ObjectLockConfiguration { object_lock_enabled: None, ..configuration("GOVERNANCE", Some(1), None) },
        ] {
            assert_eq!(code(malformed), "MalformedXML");
        }
        for period in [(Some(0), None), (Some(-1), None), (Some(36_501), None), (None, Some(0)), (None, Some(101)), (Some(i32::MAX), None)]
        {
            assert_eq!(code(configuration("GOVERNANCE", period.0, period.1)), "InvalidArgument", "{period:?}");
        }
    }
}
