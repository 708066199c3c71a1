//! Public keys and what they verify.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use crate::CertificateError;

/// Digest of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digest {
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    P521,
}

/// A public key that signatures can be verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    /// `RSAPublicKey` in DER, or the point.
    bytes: Vec<u8>,
}

impl PublicKey {
    pub(crate) fn new(algorithm: &str, curve: Option<&str>, bytes: &[u8]) -> Result<Self, CertificateError> {
        let kind = match (algorithm, curve) {
            ("1.2.840.113549.1.1.1", _) => Kind::Rsa,
            ("1.2.840.10045.2.1", Some("1.2.840.10045.3.1.7")) => Kind::P256,
            ("1.2.840.10045.2.1", Some("1.3.132.0.34")) => Kind::P384,
            ("1.2.840.10045.2.1", Some("1.3.132.0.35")) => Kind::P521,
            _ => return Err(CertificateError::UnsupportedKey),
        };
        Ok(Self { kind, bytes: bytes.to_vec() })
    }

    /// An RSA key by its numbers, big-endian, as JSON Web Keys have them.
    pub fn rsa(modulus: &[u8], exponent: &[u8]) -> Self {
        let body = [der_integer(modulus), der_integer(exponent)].concat();
        Self { kind: Kind::Rsa, bytes: der_element(0x30, &body) }
    }

    /// A key on the curve P-256 by its coordinates, 32 bytes each.
    pub fn p256(x: &[u8; 32], y: &[u8; 32]) -> Self {
        Self { kind: Kind::P256, bytes: [&[4], &x[..], &y[..]].concat() }
    }

    /// A key on the curve P-384 by its coordinates, 48 bytes each.
    pub fn p384(x: &[u8; 48], y: &[u8; 48]) -> Self {
        Self { kind: Kind::P384, bytes: [&[4], &x[..], &y[..]].concat() }
    }

    pub fn is_rsa(&self) -> bool {
        self.kind == Kind::Rsa
    }

    /// `RSAPublicKey` in DER, or the point.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the signature (PKCS #1 v1.5, or ECDSA in ASN.1) is this key's. RSA keys below 2,048 bits verify nothing.
    pub fn verifies(&self, digest: Digest, message: &[u8], signed: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match (self.kind, digest) {
            (Kind::Rsa, Digest::Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Kind::Rsa, Digest::Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Kind::Rsa, Digest::Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (Kind::P256, Digest::Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
            (Kind::P256, Digest::Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
            (Kind::P256, Digest::Sha512) => &signature::ECDSA_P256_SHA512_ASN1,
            (Kind::P384, Digest::Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
            (Kind::P384, Digest::Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
            (Kind::P384, Digest::Sha512) => &signature::ECDSA_P384_SHA512_ASN1,
            (Kind::P521, Digest::Sha256) => &signature::ECDSA_P521_SHA256_ASN1,
            (Kind::P521, Digest::Sha384) => &signature::ECDSA_P521_SHA384_ASN1,
            (Kind::P521, Digest::Sha512) => &signature::ECDSA_P521_SHA512_ASN1,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signed).is_ok()
    }

    /// Whether an ECDSA signature in the fixed form of JSON Web Signatures (the two numbers, one behind the other) is this key's.
    pub fn verifies_fixed(&self, message: &[u8], signed: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match self.kind {
            Kind::P256 => &signature::ECDSA_P256_SHA256_FIXED,
            Kind::P384 => &signature::ECDSA_P384_SHA384_FIXED,
            Kind::Rsa | Kind::P521 => return false,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signed).is_ok()
    }
}

/// A DER element of any length that fits into memory.
fn der_element(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut element = vec![tag];
    let length = body.len().to_be_bytes();
    let significant: Vec<u8> = length.iter().copied().skip_while(|byte| *byte == 0).collect();
    match (significant.as_slice(), u8::try_from(significant.len())) {
        ([], _) => element.push(0),
        ([short], _) if *short < 0x80 => element.push(*short),
        (long, Ok(count)) => {
            element.push(0x80 | count);
            element.extend_from_slice(long);
        }
        (_, Err(_)) => {}
    }
    element.extend_from_slice(body);
    element
}

/// A non-negative integer.
fn der_integer(number: &[u8]) -> Vec<u8> {
    let mut digits: Vec<u8> = number.iter().copied().skip_while(|byte| *byte == 0).collect();
    if digits.first().is_none_or(|first| *first >= 0x80) {
        digits.insert(0, 0);
    }
    der_element(0x02, &digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_der() {
        assert_eq!(der_integer(&[0, 0, 1]), [2, 1, 1]);
        assert_eq!(der_integer(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(der_integer(&[]), [2, 1, 0]);
        let long = der_integer(&[1; 300]);
        assert_eq!(long[..4], [2, 0x82, 1, 44]);
    }
}
