//! The typed values that condition operators compare: numbers, dates, addresses.

use std::cmp::Ordering;
use std::net::IpAddr;

/// A decimal number of any length, compared by value: `10`, `10.0` and `010` are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decimal<'a> {
    negative: bool,
    /// Digits before the point without leading zeros.
    whole: &'a str,
    /// Digits after the point without trailing zeros.
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(fraction) || whole.len() + fraction.len() == 0 {
            return None;
        }
        let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
        let zero = whole.is_empty() && fraction.is_empty();
        Some(Self { negative: negative && !zero, whole, fraction })
    }
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let magnitude = || {
            (self.whole.len().cmp(&other.whole.len()))
                .then_with(|| self.whole.cmp(other.whole))
                .then_with(|| self.fraction.cmp(other.fraction))
        };
        match (self.negative, other.negative) {
            (false, false) => magnitude(),
            (true, true) => magnitude().reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Nanoseconds since 1970-01-01T00:00:00Z of a date in one of the W3C forms of ISO 8601, or of epoch seconds.
///
/// A date without zone is read as UTC. Four digits are a year, any other run of digits is epoch seconds.
pub fn parse_date(text: &str) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    let text = text.trim();
    if text.len() != 4 && !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return (text.len() <= 19).then(|| text.parse::<i128>().ok().map(|seconds| seconds * SECOND))?;
    }
    let (date, time) = match text.split_once(['T', 't']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4, 9999)?;
    let month = parts.next().map_or(Some(1), |part| number(part, 2, 12))?;
    let day = parts.next().map_or(Some(1), |part| number(part, 2, 31))?;
    if parts.next().is_some() || month == 0 || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let midnight = i128::from(days_from_epoch(year, month, day)) * 86_400 * SECOND;
    match time {
        None => Some(midnight),
        Some(time) => Some(midnight + parse_time(time)?),
    }
}

/// A number of exactly so many digits that is not above a limit.
fn number(text: &str, digits: usize, limit: u32) -> Option<u32> {
    if text.len() != digits || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| *number <= limit)
}

/// Nanoseconds since midnight of `hh:mm[:ss[.f]]` with an optional zone.
fn parse_time(text: &str) -> Option<i128> {
    const SECOND: i128 = 1_000_000_000;
    let (clock, zone_seconds) = match text.find(['Z', 'z', '+', '-']) {
        None => (text, 0),
        Some(at) => {
            let (clock, zone) = text.split_at_checked(at)?;
            (clock, parse_zone(zone)?)
        }
    };
    let mut parts = clock.split(':');
    let hour = number(parts.next()?, 2, 23)?;
    let minute = number(parts.next()?, 2, 59)?;
    let (second, nanoseconds) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (number(seconds, 2, 60)?, 0),
            Some((whole, fraction)) => (number(whole, 2, 60)?, parse_fraction(fraction)?),
        },
    };
    if parts.next().is_some() {
        return None;
    }
    let seconds = i128::from(hour * 3_600 + minute * 60 + second) - i128::from(zone_seconds);
    Some(seconds * SECOND + i128::from(nanoseconds))
}

/// Nanoseconds of the digits after a decimal point; digits beyond the ninth are dropped.
fn parse_fraction(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{text:0<9}").get(..9)?.parse().ok()
}

/// Seconds east of UTC of `Z`, `+hh:mm`, `-hh:mm`, `+hhmm` or `+hh`.
fn parse_zone(text: &str) -> Option<i32> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, offset) = match text.split_at_checked(1)? {
        ("+", offset) => (1, offset),
        ("-", offset) => (-1, offset),
        _ => return None,
    };
    let (hours, minutes) = match offset.len() {
        2 => (offset, "00"),
        4 => offset.split_at_checked(2)?,
        _ => offset.split_once(':')?,
    };
    let seconds = number(hours, 2, 23)? * 3_600 + number(minutes, 2, 59)? * 60;
    Some(sign * i32::try_from(seconds).ok()?)
}

fn days_in_month(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar: years counted from March, so that a leap day ends one.
fn days_from_epoch(year: u32, month: u32, day: u32) -> i64 {
    let (year, month) = (i64::from(year), i64::from(month));
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days_before_month = (153 * month + 2) / 5;
    365 * year + leap_days + days_before_month + i64::from(day) - 1 - 719_468
}

/// A block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    network: IpAddr,
    prefix_bits: u32,
}

impl Cidr {
    /// Reads `address/bits`, or a bare address, which means that address alone.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let network: IpAddr = address.parse().ok()?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        let prefix_bits = bits.unwrap_or(width);
        (prefix_bits <= width).then_some(Self { network, prefix_bits })
    }

    /// Whether the address lies in the block; addresses of the other family never do.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match (self.network, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                self.prefix_bits == 0 || differing >> (32 - self.prefix_bits) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differing = network.to_bits() ^ address.to_bits();
                self.prefix_bits == 0 || differing >> (128 - self.prefix_bits) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        let order = |left: &str, right: &str| Some(Decimal::parse(left)?.cmp(&Decimal::parse(right)?));
        assert_eq!(order("10", "10.0"), Some(Ordering::Equal));
        assert_eq!(order("010", "10"), Some(Ordering::Equal));
        assert_eq!(order("-0", "0"), Some(Ordering::Equal));
        assert_eq!(order("9", "10"), Some(Ordering::Less));
        assert_eq!(order("-9", "-10"), Some(Ordering::Greater));
        assert_eq!(order("-1", "1"), Some(Ordering::Less));
        assert_eq!(order("0.5", ".50"), Some(Ordering::Equal));
        assert_eq!(order("1.05", "1.5"), Some(Ordering::Less));
        assert_eq!(order("9007199254740993", "9007199254740992"), Some(Ordering::Greater));
        for text in ["", ".", "a", "1e3", "1.2.3", "--1", "1 2"] {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn dates() {
        let seconds = |text| parse_date(text).map(|nanoseconds| nanoseconds / 1_000_000_000);
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2026-11-22T12:00:00Z"), Some(1_795_348_800));
        assert_eq!(seconds("2026-11-22T14:00:00+02:00"), seconds("2026-11-22T12:00Z"));
        assert_eq!(seconds("2026-11-22"), seconds("2026-11-22T00:00:00Z"));
        assert_eq!(seconds("2026-11"), seconds("2026-11-01"));
        assert_eq!(seconds("2026"), seconds("2026-01-01"));
        assert_eq!(seconds("1795348800"), Some(1_795_348_800));
        assert_eq!(seconds("2024-02-29"), Some(1_709_164_800));
        assert_eq!(parse_date("2026-01-01T00:00:00.5Z").unwrap() - parse_date("2026-01-01T00:00:00Z").unwrap(), 500_000_000);
        for text in ["", "x", "2026-13", "2026-02-29", "2026-1-1", "2026-01-01T", "2026-01-01T25:00Z", "-5", "99999999999999999999"] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn address_blocks() {
        let contains = |block: &str, address: &str| Cidr::parse(block).is_some_and(|cidr| cidr.contains(address.parse().unwrap()));
        assert!(contains("203.0.113.0/24", "203.0.113.255"));
        assert!(contains("203.0.113.77/24", "203.0.113.1"));
        assert!(!contains("203.0.113.0/24", "203.0.114.0"));
        assert!(contains("203.0.113.1", "203.0.113.1"));
        assert!(!contains("203.0.113.1", "203.0.113.2"));
        assert!(contains("0.0.0.0/0", "8.8.8.8"));
        assert!(!contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("2001:DB8:1234:5678::/64", "2001:db8:1234:5678::9"));
        assert!(!contains("2001:db8::1", "2001:db8::2"));
        assert!(contains("::/0", "::1"));
        assert!(Cidr::parse("1.2.3.4/33").is_none());
        assert!(Cidr::parse("1.2.3/8").is_none());
    }
}
