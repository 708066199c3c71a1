//! Rules for bucket names and object keys.
//!
//! Source: S3 User Guide, "General purpose bucket naming rules", "Naming Amazon S3 objects".

use plane::ApiError;
use wire::Value;

use crate::error::no_such_key;

/// Longest object key in bytes of UTF-8.
pub(crate) const KEY_BYTES_MAX: usize = 1024;

const PREFIXES_RESERVED: [&str; 3] = ["xn--", "sthree-", "amzn-s3-demo-"];
const SUFFIXES_RESERVED: [&str; 5] = ["-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3"];

/// Whether a new bucket may have this name.
pub(crate) fn is_valid(name: &str) -> bool {
    let is_letter_or_digit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    (3..=63).contains(&name.len())
        && name.bytes().all(|byte| is_letter_or_digit(byte) || byte == b'-' || byte == b'.')
        && name.bytes().next().is_some_and(is_letter_or_digit)
        && name.bytes().last().is_some_and(is_letter_or_digit)
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
        && !looks_like_address(name)
        && !PREFIXES_RESERVED.iter().any(|prefix| name.starts_with(prefix))
        && !SUFFIXES_RESERVED.iter().any(|suffix| name.ends_with(suffix))
}

/// Four groups of digits are "formatted as an IP address", also where a group is too large for one.
fn looks_like_address(name: &str) -> bool {
    let groups: Vec<&str> = name.split('.').collect();
    groups.len() == 4 && groups.iter().all(|group| (1..=3).contains(&group.len()) && group.bytes().all(|byte| byte.is_ascii_digit()))
}

pub(crate) fn check(name: &str) -> Result<(), ApiError> {
    if is_valid(name) {
        return Ok(());
    }
    Err(ApiError::new("InvalidBucketName", "The specified bucket is not valid.").with_member("BucketName", Value::Str(name.to_owned())))
}

/// Any text of 1 to 1024 bytes is a key; it is never used as a path.
pub(crate) fn check_key(key: &str) -> Result<(), ApiError> {
    if key.is_empty() {
        return Err(no_such_key(key));
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(ApiError::new("KeyTooLongError", "Your key is too long")
            .with_member("Size", Value::Str(key.len().to_string()))
            .with_member("MaxSizeAllowed", Value::Str(KEY_BYTES_MAX.to_string())));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules() {
        for name in ["abc", "a1b", "my.bucket-1", "123", &"a".repeat(63), "1.2.3.4.5"] {
            assert!(is_valid(name), "{name}");
        }
        let bad = [
            "",
            "ab",
            "Abc",
            "a_b",
            "-ab",
            "ab-",
            ".ab",
            "ab.",
            "a..b",
            "192.168.5.4",
            "999.1.1.1",
            "xn--abc",
            "sthree-a",
            "amzn-s3-demo-x",
            "a-s3alias",
            "a--ol-s3",
            "a.mrap",
            "a--x-s3",
            "a--table-s3",
        ];
        for name in bad {
            assert!(!is_valid(name), "{name}");
        }
        assert!(!is_valid(&"a".repeat(64)));
    }

    #[test]
    fn any_text_is_a_key_up_to_its_length() {
        for key in ["..", "//", "a/../b", "\0", "ü", &"k".repeat(1024)] {
            assert!(check_key(key).is_ok(), "{key:?}");
        }
        assert_eq!(check_key(&"ü".repeat(513)).unwrap_err().code, "KeyTooLongError");
    }
}
