//! Private keys: compared with a certificate's key, and signing for whoever holds one.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair};

use crate::certificate::Certificate;
use crate::{CertificateError, pem};

/// A private key that signs with SHA-256.
pub struct PrivateKey(Kind);

enum Kind {
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
}

impl PrivateKey {
    /// Reads a PEM key: RSA, or on the curve P-256; not encrypted.
    pub fn from_pem(text: &str) -> Result<Self, CertificateError> {
        let blocks = pem::blocks(text)?;
        let block = blocks.iter().find(|block| block.label.ends_with("PRIVATE KEY")).ok_or(CertificateError::NoBlock("PRIVATE KEY"))?;
        let rsa = if block.label == "RSA PRIVATE KEY" { RsaKeyPair::from_der(&block.der) } else { RsaKeyPair::from_pkcs8(&block.der) };
        if let Ok(pair) = rsa {
            return Ok(Self(Kind::Rsa(Box::new(pair))));
        }
        EcdsaKeyPair::from_private_key_der(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &block.der)
            .map(|pair| Self(Kind::P256(Box::new(pair))))
            .map_err(|_| CertificateError::PrivateKey)
    }

    pub fn is_rsa(&self) -> bool {
        matches!(self.0, Kind::Rsa(_))
    }

    /// A signature over the message: PKCS #1 v1.5, or ECDSA in ASN.1.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CertificateError> {
        let randomness = SystemRandom::new();
        match &self.0 {
            Kind::Rsa(pair) => {
                let mut signed = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &randomness, message, &mut signed).map_err(|_| CertificateError::PrivateKey)?;
                Ok(signed)
            }
            Kind::P256(pair) => {
                pair.sign(&randomness, message).map(|signed| signed.as_ref().to_vec()).map_err(|_| CertificateError::PrivateKey)
            }
        }
    }
}

/// Whether a PEM private key (PKCS #8, PKCS #1 or SEC 1, not encrypted) is the certificate's.
///
/// # Errors
/// The text holds no private key that can be read.
pub fn key_pair_matches(certificate: &Certificate, private_key_pem: &str) -> Result<bool, CertificateError> {
    let blocks = pem::blocks(private_key_pem)?;
    let block = blocks.iter().find(|block| block.label.ends_with("PRIVATE KEY")).ok_or(CertificateError::NoBlock("PRIVATE KEY"))?;
    let public = public_part(&block.label, &block.der).ok_or(CertificateError::PrivateKey)?;
    Ok(certificate.public_key.as_bytes() == public)
}

fn public_part(label: &str, der: &[u8]) -> Option<Vec<u8>> {
    let rsa = if label == "RSA PRIVATE KEY" { rsa::KeyPair::from_der(der) } else { rsa::KeyPair::from_pkcs8(der) };
    if let Ok(pair) = rsa {
        return Some(pair.public_key().as_ref().to_vec());
    }
    let curves = [&signature::ECDSA_P256_SHA256_ASN1_SIGNING, &signature::ECDSA_P384_SHA384_ASN1_SIGNING];
    curves.into_iter().find_map(|curve| {
        let pair = EcdsaKeyPair::from_private_key_der(curve, der).ok()?;
        Some(pair.public_key().as_ref().to_vec())
    })
}
