//! The derived signing key and the signature value.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{self, HMAC_SHA256};

/// A key derived for one date, region and service. Cloning is cheap next to deriving; the inner and outer hash states are kept.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// Four nested HMACs over date (`YYYYMMDD`), region, service and `aws4_request`, starting from "AWS4" + secret.
    /// Source: IAM user guide, "Create a signed AWS API request", step 3.
    pub fn derive(secret: &str, date: &str, region: &str, service: &str) -> Self {
        let mut seed = Vec::with_capacity(4 + secret.len());
        seed.extend_from_slice(b"AWS4");
        seed.extend_from_slice(secret.as_bytes());
        let mut key = hmac::Key::new(HMAC_SHA256, &seed);
        seed.fill(0);
        for part in [date, region, service, "aws4_request"] {
            let tag = hmac::sign(&key, part.as_bytes());
            key = hmac::Key::new(HMAC_SHA256, tag.as_ref());
        }
        Self(key)
    }

    /// Signs a string to sign.
    pub fn sign(&self, string_to_sign: &[u8]) -> Signature {
        let mut value = [0; 32];
        value.copy_from_slice(hmac::sign(&self.0, string_to_sign).as_ref());
        Signature(value)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningKey(..)")
    }
}

/// A signature: 32 bytes, written as 64 lower-case hex digits. Comparison takes the same time for all values.
#[derive(Clone, Copy, Debug, Eq)]
pub struct Signature(pub(crate) [u8; 32]);

impl Signature {
    /// Reads 64 hex digits (lower case only: AWS compares texts).
    pub fn parse(text: &str) -> Option<Self> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        let mut value = [0; 32];
        hex::decode_to_slice(text, &mut value).ok()?;
        Some(Self(value))
    }

    /// The 64 hex digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Signature {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The derivation example of the AWS General Reference ("Examples of how to derive a signing key").
    #[test]
    fn derives_the_documented_key() {
        let key = SigningKey::derive("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", "us-east-1", "iam");
        let direct = hmac::Key::new(HMAC_SHA256, &hex::decode("f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d").unwrap());
        assert_eq!(key.sign(b"x").as_bytes(), hmac::sign(&direct, b"x").as_ref());
        assert_eq!(format!("{key:?}"), "SigningKey(..)");
    }

    #[test]
    fn signatures_are_64_lower_case_hex_digits() {
        assert!(Signature::parse(&"a".repeat(64)).is_some());
        for bad in ["a".repeat(63), "a".repeat(66), "A".repeat(64), "g".repeat(64), String::new()] {
            assert!(Signature::parse(&bad).is_none(), "{bad}");
        }
    }
}
