//! Preconditions of reads, writes and copies.
//!
//! Source: RFC 9110 section 13; S3 User Guide, "Conditional requests".

use plane::{ApiError, Call, authorize};
use wire::Timestamp;

use crate::error::{no_such_key, not_implemented, precondition_failed};
use crate::record::{Bucket, Object};

/// Preconditions of a read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conditions<'a> {
    pub matches: Option<&'a str>,
    pub none_matches: Option<&'a str>,
    pub modified_since: Option<Timestamp>,
    pub unmodified_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    NotModified(&'static str),
    Failed(&'static str),
}

impl Conditions<'_> {
    /// An entity tag wins over a date: dates are coarse.
    pub(crate) fn verdict(&self, etag: &str, modified_s: i64, now_s: i64) -> Verdict {
        let seconds = |time: Timestamp| time.0.div_euclid(1000);
        if self.matches.is_some_and(|expected| !names(expected, etag)) {
            return Verdict::Failed("If-Match");
        }
        if self.matches.is_none() && self.unmodified_since.is_some_and(|since| modified_s > seconds(since)) {
            return Verdict::Failed("If-Unmodified-Since");
        }
        if self.none_matches.is_some_and(|known| names(known, etag)) {
            return Verdict::NotModified("If-None-Match");
        }
        // A date in the future says nothing.
        let is_unmodified = |since| seconds(since) <= now_s && modified_s <= seconds(since);
        if self.none_matches.is_none() && self.modified_since.is_some_and(is_unmodified) {
            return Verdict::NotModified("If-Modified-Since");
        }
        Verdict::Pass
    }

    /// Of a copy's source: there is no 304, what does not hold fails.
    pub(crate) fn check_source(&self, object: &Object, now_ms: i64) -> Result<(), ApiError> {
        match self.verdict(&object.etag, object.modified_s(), now_ms.div_euclid(1000)) {
            Verdict::Pass => Ok(()),
            Verdict::NotModified(condition) | Verdict::Failed(condition) => {
                Err(precondition_failed(&format!("x-amz-copy-source-{condition}")))
            }
        }
    }
}

/// Whether a header of entity tags names this one; `*` names every one.
fn names(header: &str, etag: &str) -> bool {
    header.split(',').map(|tag| tag.trim().trim_start_matches("W/").trim_matches('"')).any(|tag| tag == "*" || tag == etag)
}

/// Preconditions of a write. One that depends on what is there tells something of it: `If-Match` needs the right to read.
pub(crate) async fn check_write(
    cx: &mut Call,
    bucket: &Bucket,
    key: &str,
    if_match: Option<&str>,
    if_none_match: Option<&str>,
    existing: Option<&Object>,
) -> Result<(), ApiError> {
    if if_match.is_some()
        && let Some(refusal) = authorize::check(cx, "s3:GetObject", &bucket.object_arn(key)).await?
    {
        return Err(refusal);
    }
    verdict_of_write(key, if_match, if_none_match, existing)
}

fn verdict_of_write(key: &str, if_match: Option<&str>, if_none_match: Option<&str>, existing: Option<&Object>) -> Result<(), ApiError> {
    match (if_none_match, existing) {
        (Some("*"), Some(_)) => return Err(precondition_failed("If-None-Match")),
        (Some("*") | None, _) => {}
        (Some(_), _) => return Err(not_implemented("If-None-Match")),
    }
    match (if_match, existing) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(no_such_key(key)),
        (Some(expected), Some(object)) if names(expected, &object.etag) => Ok(()),
        (Some(_), Some(_)) => Err(precondition_failed("If-Match")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Encryption, Lock, Metadata, VersionName};

    fn object() -> Object {
        Object {
            size: 0,
            etag: "abc".to_owned(),
            modified_ms: 10_500,
            pieces: Vec::new(),
            multipart: false,
            encryption: Encryption::Managed { sealed_key: String::new() },
            checksum: None,
            metadata: Metadata::default(),
            tags: Vec::new(),
            version: VersionName::default(),
            lock: Lock::default(),
        }
    }

    #[test]
    fn entity_tags_win_over_dates() {
        let none = Conditions::default();
        let at = |seconds: i64| Some(Timestamp(seconds * 1000));
        let verdict = |conditions: Conditions<'_>| conditions.verdict("abc", 10, 100);
        assert_eq!(verdict(none), Verdict::Pass);
        assert_eq!(verdict(Conditions { matches: Some("\"abc\""), ..none }), Verdict::Pass);
        assert_eq!(verdict(Conditions { matches: Some("*"), ..none }), Verdict::Pass);
        assert_eq!(verdict(Conditions { matches: Some("\"x\""), ..none }), Verdict::Failed("If-Match"));
        assert_eq!(verdict(Conditions { matches: Some("abc"), unmodified_since: at(1), ..none }), Verdict::Pass);
        assert_eq!(verdict(Conditions { unmodified_since: at(9), ..none }), Verdict::Failed("If-Unmodified-Since"));
        assert_eq!(verdict(Conditions { unmodified_since: at(10), ..none }), Verdict::Pass);
        assert_eq!(verdict(Conditions { none_matches: Some("\"x\", \"abc\""), ..none }), Verdict::NotModified("If-None-Match"));
        assert_eq!(verdict(Conditions { none_matches: Some("x"), modified_since: at(50), ..none }), Verdict::Pass);
        assert_eq!(verdict(Conditions { modified_since: at(10), ..none }), Verdict::NotModified("If-Modified-Since"));
        assert_eq!(verdict(Conditions { modified_since: at(9), ..none }), Verdict::Pass);
        assert_eq!(verdict(Conditions { modified_since: at(200), ..none }), Verdict::Pass);
    }

    #[test]
    fn writes_may_want_that_nothing_is_there() {
        let object = object();
        let code = |if_match, if_none_match, existing: Option<&Object>| {
            verdict_of_write("k", if_match, if_none_match, existing).err().map(|error| error.code.into_owned())
        };
        assert_eq!(code(None, Some("*"), None), None);
        assert_eq!(code(None, Some("*"), Some(&object)).as_deref(), Some("PreconditionFailed"));
        assert_eq!(code(None, Some("\"abc\""), None).as_deref(), Some("NotImplemented"));
        assert_eq!(code(Some("\"abc\""), None, Some(&object)), None);
        assert_eq!(code(Some("\"x\""), None, Some(&object)).as_deref(), Some("PreconditionFailed"));
        assert_eq!(code(Some("\"abc\""), None, None).as_deref(), Some("NoSuchKey"));
    }

    #[test]
    fn copies_fail_where_reads_say_not_modified() {
        let conditions = Conditions { none_matches: Some("abc"), ..Conditions::default() };
        assert_eq!(conditions.check_source(&object(), 100_000).unwrap_err().code, "PreconditionFailed");
        assert!(Conditions::default().check_source(&object(), 100_000).is_ok());
    }
}
