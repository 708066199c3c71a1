//! The three ways in which AWS protocols write a point in time.

use facts::TimestampFormat;
use jiff::Timestamp as Instant;
use jiff::civil::DateTime;
use jiff::fmt::{rfc2822, temporal};
use jiff::tz::TimeZone;

use crate::value::Timestamp;

/// 9999-12-31T23:59:59Z; AWS accepts nothing later.
const LAST_S: f64 = 253_402_300_799.0;

/// Reads ISO 8601, HTTP dates and epoch seconds, whichever the text is.
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    if let Ok(instant) = text.parse::<Instant>() {
        return Some(Timestamp(instant.as_millisecond()));
    }
    if text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E'))
        && let Ok(seconds) = text.parse::<f64>()
    {
        return from_seconds(seconds);
    }
    // A time without a zone is UTC.
    if let Ok(civil) = text.parse::<DateTime>() {
        return civil.to_zoned(TimeZone::UTC).ok().map(|zoned| Timestamp(zoned.timestamp().as_millisecond()));
    }
    rfc2822::DateTimeParser::new().parse_timestamp(text).ok().map(|instant| Timestamp(instant.as_millisecond()))
}

/// Epoch seconds, rounded to milliseconds; `None` outside the years that AWS accepts.
pub(crate) fn from_seconds(seconds: f64) -> Option<Timestamp> {
    if !seconds.is_finite() || seconds.abs() > LAST_S {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "rounded and within ±2.6e14, checked above")]
    let milliseconds = (seconds * 1000.0).round() as i64;
    Some(Timestamp(milliseconds))
}

/// Epoch seconds with milliseconds as the fraction.
pub(crate) fn to_seconds(timestamp: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 ms, far beyond the year 9999")]
    let milliseconds = timestamp.0 as f64;
    milliseconds / 1000.0
}

pub(crate) fn format(timestamp: Timestamp, format: TimestampFormat) -> String {
    let instant = Instant::from_millisecond(timestamp.0).unwrap_or(Instant::UNIX_EPOCH);
    let is_whole = timestamp.0.rem_euclid(1000) == 0;
    match format {
        // As the formats below write it, without reading a format: most answers have one.
        TimestampFormat::Iso8601 if is_whole && timestamp.0 >= 0 => instant.to_string(),
        TimestampFormat::Rfc822 if timestamp.0 >= 0 => http_date(instant),
        TimestampFormat::Iso8601 if timestamp.0 >= 0 => MILLISECONDS.timestamp_to_string(&instant),
        TimestampFormat::Iso8601 if is_whole => instant.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        TimestampFormat::Iso8601 => instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        TimestampFormat::Rfc822 => instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(),
        TimestampFormat::UnixTimestamp if is_whole => (timestamp.0.div_euclid(1000)).to_string(),
        TimestampFormat::UnixTimestamp => to_seconds(timestamp).to_string(),
    }
}

/// `2014-04-29T18:30:38.007Z`.
const MILLISECONDS: temporal::DateTimePrinter = temporal::DateTimePrinter::new().precision(Some(3));

/// `Tue, 29 Apr 2014 18:30:38 GMT`, of a time from 1970 on.
fn http_date(instant: Instant) -> String {
    rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&instant).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_ways_write_what_the_formats_write() {
        for seconds in (0..253_402_207_200_i64).step_by(86_400 * 397 + 12_345).chain([951_782_399, 253_402_207_199]) {
            for milliseconds in [seconds * 1000, seconds * 1000 + 7] {
                let instant = Instant::from_millisecond(milliseconds).unwrap();
                let text = |shape| format(Timestamp(milliseconds), shape);
                let pattern = if milliseconds % 1000 == 0 { "%Y-%m-%dT%H:%M:%SZ" } else { "%Y-%m-%dT%H:%M:%S.%3fZ" };
                assert_eq!(text(TimestampFormat::Iso8601), instant.strftime(pattern).to_string());
                assert_eq!(text(TimestampFormat::Rfc822), instant.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
            }
        }
    }

    #[test]
    fn every_format_reads_back() {
        for milliseconds in [0_i64, 1_700_000_000_000, 1_700_000_000_123, -1_000, 951_782_400_000] {
            for format in [TimestampFormat::Iso8601, TimestampFormat::UnixTimestamp, TimestampFormat::Rfc822] {
                let whole = format == TimestampFormat::Rfc822;
                let timestamp = Timestamp(if whole { milliseconds - milliseconds.rem_euclid(1000) } else { milliseconds });
                let text = super::format(timestamp, format);
                assert_eq!(parse(&text), Some(timestamp), "{text}");
            }
        }
    }

    #[test]
    fn known_texts() {
        assert_eq!(parse("2014-04-29T18:30:38Z"), Some(Timestamp(1_398_796_238_000)));
        assert_eq!(parse("2014-04-29T18:30:38"), Some(Timestamp(1_398_796_238_000)));
        assert_eq!(parse("2014-04-29T18:30:38+01:00"), Some(Timestamp(1_398_792_638_000)));
        assert_eq!(parse("2014-04-29"), Some(Timestamp(1_398_729_600_000)));
        assert_eq!(parse("Tue, 29 Apr 2014 18:30:38 GMT"), Some(Timestamp(1_398_796_238_000)));
        assert_eq!(parse("1398796238.5"), Some(Timestamp(1_398_796_238_500)));
        assert_eq!(parse("1e300"), None);
        assert_eq!(parse("yesterday"), None);
    }
}
