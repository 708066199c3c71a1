//! Certificate revocation lists.

use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use crate::certificate::Certificate;
use crate::{CertificateError, pem};

/// Bytes of one list.
const DER_LIMIT: usize = 300 * 1024;

/// A revocation list, read; whose it is shows only against an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList {
    der: Vec<u8>,
    issuer_der: Vec<u8>,
    /// Serial numbers, without leading zeros, sorted.
    serials: Vec<Vec<u8>>,
}

impl RevocationList {
    /// Reads a list in DER or PEM.
    pub fn read(bytes: &[u8]) -> Result<Self, CertificateError> {
        if bytes.len() > DER_LIMIT.saturating_mul(2) {
            return Err(CertificateError::RevocationList("it is too large".to_owned()));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("-----BEGIN ") => {
                let blocks = pem::blocks(text)?;
                let block = blocks.iter().find(|block| block.label == "X509 CRL").ok_or(CertificateError::NoBlock("X509 CRL"))?;
                Self::from_der(&block.der)
            }
            _ => Self::from_der(bytes),
        }
    }

    fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > DER_LIMIT {
            return Err(CertificateError::RevocationList("it is too large".to_owned()));
        }
        let (_, parsed) = CertificateRevocationList::from_der(der).map_err(|error| CertificateError::RevocationList(error.to_string()))?;
        let serial = |raw: &[u8]| raw.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<u8>>();
        let mut serials: Vec<Vec<u8>> = parsed.iter_revoked_certificates().map(|revoked| serial(revoked.raw_serial())).collect();
        serials.sort_unstable();
        Ok(Self { der: der.to_vec(), issuer_der: parsed.issuer().as_raw().to_vec(), serials })
    }

    /// Whether the issuer made this list. A list that is older than it should be still revokes what it names.
    pub fn is_of(&self, issuer: &Certificate) -> bool {
        if self.issuer_der != issuer.subject.der || !issuer.crl_signing {
            return false;
        }
        let Ok((_, parsed)) = CertificateRevocationList::from_der(&self.der) else { return false };
        let Ok((_, by)) = x509_parser::certificate::X509Certificate::from_der(&issuer.der) else { return false };
        parsed.verify_signature(by.public_key()).is_ok()
    }

    pub fn revokes(&self, serial: &[u8]) -> bool {
        self.serials.binary_search_by(|known| known.as_slice().cmp(serial)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = RevocationList::read(&bytes);
        }
    }
}
