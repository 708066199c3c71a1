//! Times as the tables hold them: `YYYY-MM-DD HH:MM:SS.mmm` in UTC, so that their order as texts is their order in time.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// Milliseconds since 1970 of a time in any of the forms that queries and events write. Without a zone it is UTC.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_millisecond());
    }
    let text = text.strip_suffix(" UTC").or_else(|| text.strip_suffix('Z')).unwrap_or(text);
    let civil = text.parse::<DateTime>().ok().or_else(|| text.parse::<Date>().ok().map(|date| date.at(0, 0, 0, 0)));
    // `2026-11-28 10:05`
    let civil = civil.or_else(|| format!("{text}:00").parse::<DateTime>().ok())?;
    civil.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp().as_millisecond())
}

/// The civil time in UTC.
pub(crate) fn civil(time_ms: i64) -> Option<DateTime> {
    Some(jiff::Timestamp::from_millisecond(time_ms).ok()?.to_zoned(TimeZone::UTC).datetime())
}

/// Milliseconds since 1970 of a civil time in UTC.
pub(crate) fn of_civil(civil: DateTime) -> Option<i64> {
    civil.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp().as_millisecond())
}

/// The form of the tables.
pub(crate) fn text(time_ms: i64) -> String {
    civil(time_ms).map(|time| time.strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()).unwrap_or_default()
}

/// The date alone.
pub(crate) fn date_text(time_ms: i64) -> String {
    civil(time_ms).map(|time| time.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        for same in
            ["2026-11-28 10:05:00", "2026-11-28T10:05:00Z", "2026-11-28 10:05:00.000", "2026-11-28 10:05", "2026-11-28T11:05:00+01:00"]
        {
            assert_eq!(parse(same).map(text).as_deref(), Some("2026-11-28 10:05:00.000"), "{same}");
        }
        assert_eq!(parse("2026-11-28").map(text).as_deref(), Some("2026-11-28 00:00:00.000"));
        for wrong in ["", "now", "2026-13-01", "2026-11-28 25:00:00"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(time_ms in 0_i64..4_000_000_000_000) {
            prop_assert_eq!(parse(&text(time_ms)), Some(time_ms));
        }

        #[test]
        fn any_text_is_a_time_or_not(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
