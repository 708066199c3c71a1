//! The two forms of time that a signed request carries.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Reads `YYYYMMDDTHHMMSSZ` (the ISO 8601 basic form of `X-Amz-Date`).
pub fn parse_timestamp(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes.get(8) != Some(&b'T') || bytes.get(15) != Some(&b'Z') {
        return None;
    }
    let number = |range: std::ops::Range<usize>| -> Option<i16> {
        let digits = text.get(range)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
        digits.parse().ok()
    };
    let small = |range: std::ops::Range<usize>| number(range).and_then(|value| i8::try_from(value).ok());
    let civil = DateTime::new(number(0..4)?, small(4..6)?, small(6..8)?, small(9..11)?, small(11..13)?, small(13..15)?, 0).ok()?;
    TimeZone::UTC.to_timestamp(civil).ok()
}

/// Writes `YYYYMMDDTHHMMSSZ`.
pub fn format_timestamp(time: Timestamp) -> String {
    let civil = TimeZone::UTC.to_datetime(time);
    format!("{:04}{:02}{:02}T{:02}{:02}{:02}Z", civil.year(), civil.month(), civil.day(), civil.hour(), civil.minute(), civil.second())
}

/// Writes `YYYY-MM-DDTHH:MM:SSZ`, the form in S3's error fields.
pub(crate) fn format_extended(time: Timestamp) -> String {
    TimeZone::UTC.to_datetime(time).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Reads the `Date` header: the basic form, RFC 3339, or the RFC 9110 form (`Sun, 06 Nov 1994 08:49:37 GMT`).
pub(crate) fn parse_date_header(text: &str) -> Option<Timestamp> {
    if text.len() > 40 {
        return None;
    }
    parse_timestamp(text).or_else(|| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())).or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_the_basic_form() {
        let time = parse_timestamp("20150830T123600Z").unwrap();
        assert_eq!(time.as_second(), 1_440_938_160);
        assert_eq!(format_timestamp(time), "20150830T123600Z");
        assert_eq!(format_extended(time), "2015-08-30T12:36:00Z");
        for bad in ["", "20150830T123600", "20151330T123600Z", "+0150830T123600Z", "20150830 123600Z", "2015083éT12360Z"] {
            assert_eq!(parse_timestamp(bad), None, "{bad}");
        }
        assert_eq!(parse_date_header("Sun, 30 Aug 2015 12:36:00 GMT"), Some(time));
        assert_eq!(parse_date_header("yesterday"), None);
    }
}
