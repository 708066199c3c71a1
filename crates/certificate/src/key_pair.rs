//! Private keys, looked at only to compare them with a certificate's key.

use aws_lc_rs::rsa;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _};

use crate::certificate::Certificate;
use crate::{CertificateError, pem};

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
