//! Names of the objects that a trail delivers.
//!
//! Source: CloudTrail User Guide, "CloudTrail log file name format" and "CloudTrail digest file structure".

use plane::{ApiError, Plane};

use crate::trail::Trail;

const SUFFIX_LENGTH: usize = 16;
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef";

/// Year, month, day, hour, minute and second as AWS's names have them.
struct Parts {
    folder: String,
    minute: String,
    second: String,
}

fn parts(time_ms: i64) -> Result<Parts, ApiError> {
    let time = jiff::Timestamp::from_millisecond(time_ms).map_err(|error| ApiError::internal(&error))?;
    Ok(Parts {
        folder: time.strftime("%Y/%m/%d").to_string(),
        minute: time.strftime("%Y%m%dT%H%MZ").to_string(),
        second: time.strftime("%Y%m%dT%H%M%SZ").to_string(),
    })
}

/// A new log file's key; its last part is random, so that no two are the same.
pub(crate) fn log_file(
    plane: &Plane,
    trail: &Trail,
    (account, region): (&str, &str),
    insights: bool,
    now_ms: i64,
) -> Result<String, ApiError> {
    let mut random = [0_u8; SUFFIX_LENGTH];
    plane.randomness.fill(&mut random).map_err(|error| ApiError::internal(&error))?;
    let suffix: String = random.iter().filter_map(|byte| LETTERS.get(usize::from(byte % 32)).map(|letter| char::from(*letter))).collect();
    let Parts { folder, minute, .. } = parts(now_ms)?;
    let kind = if insights { "CloudTrail-Insight" } else { "CloudTrail" };
    Ok(format!("{}{account}/{kind}/{region}/{folder}/{account}_{kind}_{region}_{minute}_{suffix}.json.gz", trail.logs_prefix()))
}

/// The key of the digest that ends at this time.
pub(crate) fn digest(trail: &Trail, place: (&str, &str), end_ms: i64) -> Result<String, ApiError> {
    Ok(format!("{}.json.gz", digest_stem(trail, place, end_ms)?))
}

/// The key of the digest of files that came too late for the digest that ends at this time.
pub(crate) fn backfill_digest(trail: &Trail, place: (&str, &str), end_ms: i64) -> Result<String, ApiError> {
    Ok(format!("{}_backfill.json.gz", digest_stem(trail, place, end_ms)?))
}

fn digest_stem(trail: &Trail, (account, region): (&str, &str), end_ms: i64) -> Result<String, ApiError> {
    let Parts { folder, second, .. } = parts(end_ms)?;
    let (name, home) = (&trail.name, &trail.home_region);
    Ok(format!(
        "{}{account}/CloudTrail-Digest/{region}/{folder}/{account}_CloudTrail-Digest_{region}_{name}_{home}_{second}",
        trail.logs_prefix()
    ))
}
