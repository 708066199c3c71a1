//! Object Lock: what holds a version, who may change that, and what a write asks for. The pure part.
//!
//! The server's clock decides. A clock that steps back holds versions longer, never shorter.
//!
//! Source: S3 User Guide, "Locking objects with Object Lock", "How S3 Object Lock works".

use api_s3::{ObjectLockLegalHoldStatus, ObjectLockMode, ObjectLockRetentionMode};
use jiff::{Timestamp as Instant, ToSpan as _, tz::TimeZone};
use plane::ApiError;
use wire::Timestamp;

use crate::error::{access_denied_because, invalid_argument, invalid_request};
use crate::record::{Bucket, DefaultRetention, Lock, Retention, RetentionMode, RetentionPeriod};

/// Longest default retention: a hundred years.
pub(crate) const YEARS_MAX: u16 = 100;
pub(crate) const DAYS_MAX: u16 = 36_500;
const MODE_HEADER: &str = "x-amz-object-lock-mode";
const UNTIL_HEADER: &str = "x-amz-object-lock-retain-until-date";
const HOLD_HEADER: &str = "x-amz-object-lock-legal-hold";

fn protected() -> ApiError {
    access_denied_because("Access Denied because object protected by object lock.")
}

/// Refuses to do away with a version that is held. `bypass`: the caller may lift a governance retention, and says so.
pub(crate) fn check_free(lock: &Lock, now_ms: i64, bypass: bool) -> Result<(), ApiError> {
    let is_retained = |retention: Retention| retention.until_ms > now_ms && (retention.mode == RetentionMode::Compliance || !bypass);
    if lock.legal_hold == Some(true) || lock.retention.is_some_and(is_retained) { Err(protected()) } else { Ok(()) }
}

/// Refuses a change that holds a version less than it is held now. A compliance retention only ever grows, whoever asks.
pub(crate) fn check_change(old: Option<Retention>, new: Option<Retention>, now_ms: i64, bypass: bool) -> Result<(), ApiError> {
    let Some(old) = old.filter(|old| old.until_ms > now_ms) else { return Ok(()) };
    let is_longer = new.is_some_and(|new| new.mode == old.mode && new.until_ms >= old.until_ms);
    if is_longer || (old.mode == RetentionMode::Governance && bypass) { Ok(()) } else { Err(protected()) }
}

pub(crate) fn missing_configuration() -> ApiError {
    invalid_request("Bucket is missing Object Lock Configuration")
}

/// `requested_lock!(input)`: the lock members of a write.
macro_rules! requested_lock {
    ($input:expr) => {
        $crate::lock::Requested {
            mode: $input.object_lock_mode.as_ref(),
            until: $input.object_lock_retain_until_date,
            legal_hold: $input.object_lock_legal_hold_status.as_ref(),
        }
    };
}
pub(crate) use requested_lock;

/// What the headers of a write say.
#[derive(Clone, Copy)]
pub(crate) struct Requested<'a> {
    pub mode: Option<&'a ObjectLockMode>,
    pub until: Option<Timestamp>,
    pub legal_hold: Option<&'a ObjectLockLegalHoldStatus>,
}

impl Requested<'_> {
    /// The lock that a write asks for, without what the bucket adds.
    pub(crate) fn read(self, bucket: &Bucket, now_ms: i64) -> Result<Lock, ApiError> {
        let is_given = self.mode.is_some() || self.until.is_some() || self.legal_hold.is_some();
        if is_given && bucket.object_lock.is_none() {
            return Err(missing_configuration());
        }
        let both = "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied";
        let retention = match (self.mode, self.until) {
            (None, None) => None,
            (Some(_), None) => return Err(invalid_argument(both, UNTIL_HEADER, "")),
            (None, Some(_)) => return Err(invalid_argument(both, MODE_HEADER, "")),
            (Some(ObjectLockMode::Other(other)), Some(_)) => {
                return Err(invalid_argument("Unknown wormMode directive.", MODE_HEADER, other));
            }
            (Some(mode), Some(until)) => {
                check_future(until, now_ms, UNTIL_HEADER)?;
                let mode = if *mode == ObjectLockMode::Compliance { RetentionMode::Compliance } else { RetentionMode::Governance };
                Some(Retention { mode, until_ms: until.0 })
            }
        };
        let legal_hold = match self.legal_hold {
            None => None,
            Some(ObjectLockLegalHoldStatus::On) => Some(true),
            Some(ObjectLockLegalHoldStatus::Off) => Some(false),
            Some(ObjectLockLegalHoldStatus::Other(other)) => {
                return Err(invalid_argument("Legal Hold must be either of 'ON' or 'OFF'", HOLD_HEADER, other));
            }
        };
        Ok(Lock { retention, legal_hold })
    }
}

pub(crate) fn check_future(until: Timestamp, now_ms: i64, argument: &str) -> Result<(), ApiError> {
    if until.0 > now_ms {
        return Ok(());
    }
    Err(invalid_argument("The retain until date must be in the future!", argument, &plane::clock::iso8601_s(until.0)))
}

/// What holds an object from its making: what its writer asked for, else the bucket's default from now on.
pub(crate) fn of_new_object(asked: Lock, bucket: &Bucket, now_ms: i64) -> Result<Lock, ApiError> {
    let default = bucket.object_lock.as_ref().and_then(|lock| lock.default_retention.as_ref());
    match (asked.retention, default) {
        (None, Some(default)) => {
            let until_ms = end(default, now_ms).ok_or_else(|| ApiError::internal(&"a default retention has no end"))?;
            Ok(Lock { retention: Some(Retention { mode: default.mode, until_ms }), ..asked })
        }
        _ => Ok(asked),
    }
}

/// Years are those of the calendar.
fn end(default: &DefaultRetention, now_ms: i64) -> Option<i64> {
    let now = Instant::from_millisecond(now_ms).ok()?.to_zoned(TimeZone::UTC);
    let span = match default.period {
        RetentionPeriod::Days(days) => i64::from(days).days(),
        RetentionPeriod::Years(years) => i64::from(years).years(),
    };
    Some(now.checked_add(span).ok()?.timestamp().as_millisecond())
}

/// Whether a write to the bucket holds its object, so that its bytes must come with a digest.
pub(crate) fn is_holding(asked: &Lock, bucket: &Bucket) -> bool {
    *asked != Lock::default() || bucket.object_lock.as_ref().is_some_and(|lock| lock.default_retention.is_some())
}

pub(crate) fn shown_mode(mode: RetentionMode) -> ObjectLockRetentionMode {
    match mode {
        RetentionMode::Governance => ObjectLockRetentionMode::Governance,
        RetentionMode::Compliance => ObjectLockRetentionMode::Compliance,
    }
}

pub(crate) fn read_mode(mode: &ObjectLockRetentionMode) -> Option<RetentionMode> {
    match mode {
        ObjectLockRetentionMode::Governance => Some(RetentionMode::Governance),
        ObjectLockRetentionMode::Compliance => Some(RetentionMode::Compliance),
        ObjectLockRetentionMode::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{DefaultEncryption, ObjectLock, Versioning};

    const COMPLIANCE: RetentionMode = RetentionMode::Compliance;
    const GOVERNANCE: RetentionMode = RetentionMode::Governance;

    fn until(mode: RetentionMode, until_ms: i64) -> Option<Retention> {
        Some(Retention { mode, until_ms })
    }

    fn bucket(object_lock: Option<ObjectLock>) -> Bucket {
        Bucket {
            name: "models".to_owned(),
            id: "id".to_owned(),
            account: "111111111111".to_owned(),
            region: "eu-central-1".to_owned(),
            created_ms: 0,
            encryption: DefaultEncryption::default(),
            policy: None,
            public_access_block: None,
            owner_enforced: true,
            tags: Vec::new(),
            versioning: Versioning::Enabled,
            object_lock,
        }
    }

    #[test]
    fn what_is_held_stays() {
        let free = |retention, legal_hold, bypass| check_free(&Lock { retention, legal_hold }, 10, bypass).is_ok();
        assert!(free(None, None, false) && free(None, Some(false), false));
        assert!(!free(None, Some(true), false) && !free(None, Some(true), true));
        assert!(free(until(COMPLIANCE, 10), None, false), "it ends at its date");
        assert!(!free(until(COMPLIANCE, 11), None, false) && !free(until(COMPLIANCE, 11), None, true));
        assert!(!free(until(GOVERNANCE, 11), None, false) && free(until(GOVERNANCE, 11), None, true));
        assert!(!free(until(GOVERNANCE, 11), Some(true), true), "a bypass lifts no legal hold");
    }

    #[test]
    fn retention_only_grows_unless_governance_is_bypassed() {
        let allowed = |old, new, bypass| check_change(old, new, 10, bypass).is_ok();
        for bypass in [false, true] {
            assert!(allowed(None, until(COMPLIANCE, 20), bypass));
            assert!(
                allowed(until(COMPLIANCE, 20), until(COMPLIANCE, 20), bypass)
                    && allowed(until(COMPLIANCE, 20), until(COMPLIANCE, 21), bypass)
            );
            assert!(!allowed(until(COMPLIANCE, 20), until(COMPLIANCE, 19), bypass));
            assert!(!allowed(until(COMPLIANCE, 20), until(GOVERNANCE, 30), bypass));
            assert!(!allowed(until(COMPLIANCE, 20), None, bypass));
            assert!(allowed(until(COMPLIANCE, 10), None, bypass), "what has ended holds nothing");
            assert!(allowed(until(GOVERNANCE, 20), until(GOVERNANCE, 30), bypass));
            for less in [None, until(GOVERNANCE, 15), until(COMPLIANCE, 30)] {
                assert_eq!(allowed(until(GOVERNANCE, 20), less, bypass), bypass);
            }
        }
    }

    #[test]
    fn headers_of_a_write_come_together() {
        let locking = bucket(Some(ObjectLock::default()));
        let (mode, on) = (ObjectLockMode::Compliance, ObjectLockLegalHoldStatus::On);
        let (bad_mode, bad_hold) = (ObjectLockMode::Other("X".to_owned()), ObjectLockLegalHoldStatus::Other("on".to_owned()));
        let at = |time| Some(Timestamp(time));
        let read = |bucket: &Bucket, mode, until, legal_hold| Requested { mode, until, legal_hold }.read(bucket, 10);
        let message = |mode, until, hold| read(&locking, mode, until, hold).unwrap_err().message;
        assert_eq!(read(&bucket(None), None, None, None).unwrap(), Lock::default());
        assert_eq!(read(&bucket(None), None, None, Some(&on)).unwrap_err().code, "InvalidRequest");
        let asked = read(&locking, Some(&mode), at(11), Some(&on)).unwrap();
        assert_eq!(asked, Lock { retention: until(COMPLIANCE, 11), legal_hold: Some(true) });
        assert!(message(Some(&mode), None, None).contains("must both be supplied"));
        assert!(message(None, at(11), None).contains("must both be supplied"));
        assert_eq!(message(Some(&bad_mode), at(11), None), "Unknown wormMode directive.");
        assert_eq!(message(Some(&mode), at(10), None), "The retain until date must be in the future!");
        assert!(message(None, None, Some(&bad_hold)).starts_with("Legal Hold"));
    }

    #[test]
    fn the_default_counts_from_the_objects_making() {
        let with = |period| bucket(Some(ObjectLock { default_retention: Some(DefaultRetention { mode: COMPLIANCE, period }) }));
        let day = 86_400_000;
        let made = |bucket: &Bucket, asked| of_new_object(asked, bucket, 5).unwrap().retention;
        assert_eq!(made(&with(RetentionPeriod::Days(2)), Lock::default()), until(COMPLIANCE, 5 + 2 * day));
        // Of the years from 1970 on, 1972 is the first with a day more.
        assert_eq!(made(&with(RetentionPeriod::Years(3)), Lock::default()), until(COMPLIANCE, 5 + (3 * 365 + 1) * day));
        let asked = Lock { retention: until(GOVERNANCE, 9), legal_hold: None };
        assert_eq!(made(&with(RetentionPeriod::Days(2)), asked), until(GOVERNANCE, 9));
        assert_eq!(made(&bucket(Some(ObjectLock::default())), Lock::default()), None);
        assert!(end(&DefaultRetention { mode: COMPLIANCE, period: RetentionPeriod::Years(YEARS_MAX) }, 4_000_000_000_000).is_some());
        assert!(is_holding(&Lock::default(), &with(RetentionPeriod::Days(2))));
        assert!(!is_holding(&Lock::default(), &bucket(Some(ObjectLock::default()))));
        assert!(is_holding(&asked, &bucket(Some(ObjectLock::default()))));
    }
}
