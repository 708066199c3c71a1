//! Time is injected: a test or `--manual-clock` can move it.

use std::sync::atomic::{AtomicI64, Ordering};

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }
}

/// The machine's clock plus an offset.
#[derive(Debug, Default)]
pub struct ManualClock {
    offset_ms: AtomicI64,
}

impl ManualClock {
    /// Moves the clock, forward or (as a machine's clock may step) back, and gives the new time.
    pub fn advance(&self, by_ms: i64) -> i64 {
        self.offset_ms.fetch_add(by_ms, Ordering::SeqCst);
        self.now_ms()
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        SystemClock.now_ms() + self.offset_ms.load(Ordering::SeqCst)
    }
}

/// `2026-11-22T21:28:55Z`.
pub fn iso8601_s(time_ms: i64) -> String {
    // Every event has one: jiff's own form of a time without a fraction is this one, and writes it without reading a format.
    jiff::Timestamp::from_second(time_ms.div_euclid(1000)).map(|time| time.to_string()).unwrap_or_default()
}

/// A time as the details of service events have it, in UTC: `Sep 16, 2020 9:20:50 PM`.
pub fn detail_time(time_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(time_ms).map(|time| time.strftime("%b %-d, %Y %-I:%M:%S %p").to_string()).unwrap_or_default()
}

/// Milliseconds since 1970 of a time as [`iso8601_s`] writes it.
pub fn parse_iso8601(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
