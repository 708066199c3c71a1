//! Byte ranges of reads and copies.
//!
//! Source: RFC 9110 section 14; S3 serves one range a request and ignores what it cannot read as one.

use std::ops::Range;

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// No range, or nothing that is one: the whole object.
    Whole,
    Part(Range<u64>),
    /// A range that no byte of the object lies in.
    Unsatisfiable,
}

/// Reads a `Range` header for an object of `size` bytes.
pub(crate) fn parse(header: &str, size: u64) -> Wanted {
    let Some(spec) = header.trim().strip_prefix("bytes=") else { return Wanted::Whole };
    let Some((first, last)) = spec.trim().split_once('-') else { return Wanted::Whole };
    if first.is_empty() {
        return match number(last) {
            Some(0) => Wanted::Unsatisfiable,
            Some(_) if size == 0 => Wanted::Unsatisfiable,
            Some(length) => Wanted::Part(size.saturating_sub(length)..size),
            None => Wanted::Whole,
        };
    }
    let Some(first) = number(first) else { return Wanted::Whole };
    let end = if last.is_empty() {
        size
    } else {
        match number(last) {
            Some(last) if last >= first => last.saturating_add(1).min(size),
            _ => return Wanted::Whole,
        }
    };
    if first >= size { Wanted::Unsatisfiable } else { Wanted::Part(first..end) }
}

/// Reads `x-amz-copy-source-range`, which must be `bytes=FIRST-LAST`.
pub(crate) fn parse_copy(header: &str) -> Option<Range<u64>> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then(|| first..last.saturating_add(1))
}

/// Digits only: `u64::from_str` would take a sign, too.
fn number(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranges_are_read_as_s3_reads_them() {
        assert_eq!(parse("bytes=0-4", 10), Wanted::Part(0..5));
        assert_eq!(parse("bytes=5-", 10), Wanted::Part(5..10));
        assert_eq!(parse("bytes=5-99", 10), Wanted::Part(5..10));
        assert_eq!(parse("bytes=-3", 10), Wanted::Part(7..10));
        assert_eq!(parse("bytes=-30", 10), Wanted::Part(0..10));
        assert_eq!(parse("bytes=10-", 10), Wanted::Unsatisfiable);
        assert_eq!(parse("bytes=-0", 10), Wanted::Unsatisfiable);
        assert_eq!(parse("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(parse("bytes=-1", 0), Wanted::Unsatisfiable);
        for ignored in ["bytes=4-2", "bytes=0-1,3-4", "items=0-1", "bytes=", "bytes=-", "bytes=+1-2", "0-1"] {
            assert_eq!(parse(ignored, 10), Wanted::Whole, "{ignored}");
        }
        assert_eq!(parse("bytes=0-18446744073709551615", 10), Wanted::Part(0..10));
        assert_eq!(parse("bytes=99999999999999999999999-", 10), Wanted::Unsatisfiable);
    }

    #[test]
    fn copy_ranges_need_both_ends() {
        assert_eq!(parse_copy("bytes=0-9"), Some(0..10));
        assert_eq!(parse_copy("bytes=9-0"), None);
        assert_eq!(parse_copy("bytes=0-"), None);
        assert_eq!(parse_copy("0-9"), None);
    }

    proptest! {
        #[test]
        fn a_part_lies_within_the_object(header in "(bytes=)?[0-9]{0,22}-[0-9]{0,22}", size: u64) {
            if let Wanted::Part(range) = parse(&header, size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
        }
    }
}
