//! One certificate.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::CertificateError;
use crate::name::Name;
use crate::pem;
use crate::public_key::PublicKey;

/// Bytes of one certificate.
const DER_LIMIT: usize = 32 * 1024;
/// Signature algorithms that are good: RSA PKCS #1 and ECDSA over SHA-256, SHA-384 and SHA-512.
const ALGORITHMS: [&str; 6] = [
    "1.2.840.113549.1.1.11",
    "1.2.840.113549.1.1.12",
    "1.2.840.113549.1.1.13",
    "1.2.840.10045.4.3.2",
    "1.2.840.10045.4.3.3",
    "1.2.840.10045.4.3.4",
];

/// A name beside the subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlternativeName {
    Dns(String),
    Uri(String),
    Email(String),
    Directory(Name),
}

/// A certificate, read and not yet believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub der: Vec<u8>,
    pub subject: Name,
    pub issuer: Name,
    /// Big-endian, without leading zeros.
    pub serial: Vec<u8>,
    pub not_before_ms: i64,
    pub not_after_ms: i64,
    pub public_key: PublicKey,
    pub alternative_names: Vec<AlternativeName>,
    /// Version 3.
    pub is_v3: bool,
    pub is_authority: bool,
    /// Authorities that may stand between this one and a leaf.
    pub path_length: Option<u32>,
    /// Absent key usage allows everything.
    pub digital_signature: bool,
    pub certificate_signing: bool,
    pub crl_signing: bool,
    /// Absent extended key usage allows everything.
    pub client_authentication: bool,
    /// An extension is critical and not known here.
    pub unknown_critical: bool,
}

impl Certificate {
    /// Reads one certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        if der.len() > DER_LIMIT {
            return Err(CertificateError::Certificate("it is too large".to_owned()));
        }
        let parsed = parse(der)?;
        let unreadable = |error: &dyn std::fmt::Display| CertificateError::Certificate(error.to_string());
        let spki = parsed.public_key();
        let curve = spki.algorithm.parameters.as_ref().and_then(|parameters| parameters.as_oid().ok()).map(|oid| oid.to_id_string());
        let public_key = PublicKey::new(&spki.algorithm.algorithm.to_id_string(), curve.as_deref(), &spki.subject_public_key.data)?;
        let basic = parsed.basic_constraints().map_err(|error| unreadable(&error))?;
        let usage = parsed.key_usage().map_err(|error| unreadable(&error))?;
        let extended = parsed.extended_key_usage().map_err(|error| unreadable(&error))?;
        let alternative = parsed.subject_alternative_name().map_err(|error| unreadable(&error))?;
        Ok(Self {
            der: der.to_vec(),
            subject: Name::read(parsed.subject()),
            issuer: Name::read(parsed.issuer()),
            serial: parsed.raw_serial().iter().copied().skip_while(|byte| *byte == 0).collect(),
            not_before_ms: parsed.validity().not_before.timestamp().saturating_mul(1000),
            not_after_ms: parsed.validity().not_after.timestamp().saturating_mul(1000),
            public_key,
            alternative_names: alternative
                .map(|names| names.value.general_names.iter().filter_map(alternative_name).collect())
                .unwrap_or_default(),
            is_v3: parsed.version().0 == 2,
            is_authority: basic.as_ref().is_some_and(|basic| basic.value.ca),
            path_length: basic.as_ref().and_then(|basic| basic.value.path_len_constraint),
            digital_signature: usage.as_ref().is_none_or(|usage| usage.value.digital_signature()),
            certificate_signing: usage.as_ref().is_none_or(|usage| usage.value.key_cert_sign()),
            crl_signing: usage.as_ref().is_none_or(|usage| usage.value.crl_sign()),
            client_authentication: extended.as_ref().is_none_or(|usage| usage.value.client_auth || usage.value.any),
            unknown_critical: parsed.extensions().iter().any(|extension| extension.critical && extension.parsed_extension().unsupported()),
        })
    }

    /// The certificates of a PEM text, in order, at most `limit`.
    pub fn from_pem(text: &str, limit: usize) -> Result<Vec<Self>, CertificateError> {
        let blocks = pem::blocks(text)?;
        let certificates: Vec<&pem::PemBlock> = blocks.iter().filter(|block| block.label == "CERTIFICATE").collect();
        if certificates.is_empty() {
            return Err(CertificateError::NoBlock("CERTIFICATE"));
        }
        if certificates.len() > limit {
            return Err(CertificateError::TooMany(limit));
        }
        certificates.into_iter().map(|block| Self::from_der(&block.der)).collect()
    }

    /// Whether `issuer` signed this certificate, with an algorithm that is good.
    pub fn is_signed_by(&self, issuer: &Self) -> bool {
        let (Ok(this), Ok(issuer)) = (parse(&self.der), parse(&issuer.der)) else { return false };
        let algorithm = this.signature_algorithm.algorithm.to_id_string();
        ALGORITHMS.contains(&algorithm.as_str()) && this.verify_signature(Some(issuer.public_key())).is_ok()
    }

    pub fn is_valid_at(&self, now_ms: i64) -> bool {
        self.not_before_ms <= now_ms && now_ms <= self.not_after_ms
    }

    /// The serial number in decimal digits.
    pub fn serial_decimal(&self) -> String {
        let mut digits: Vec<u8> = vec![0];
        for byte in &self.serial {
            let mut carry = u32::from(*byte);
            for digit in &mut digits {
                let value = u32::from(*digit).saturating_mul(256).saturating_add(carry);
                *digit = u8::try_from(value % 10).unwrap_or_default();
                carry = value / 10;
            }
            while carry > 0 {
                digits.push(u8::try_from(carry % 10).unwrap_or_default());
                carry /= 10;
            }
        }
        digits.iter().rev().map(|digit| char::from(b'0'.saturating_add(*digit))).collect()
    }

    pub fn to_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.der)
    }
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(CertificateError::Certificate("bytes follow it".to_owned())),
        Err(error) => Err(CertificateError::Certificate(error.to_string())),
    }
}

fn alternative_name(name: &GeneralName<'_>) -> Option<AlternativeName> {
    Some(match name {
        GeneralName::DNSName(name) => AlternativeName::Dns((*name).to_owned()),
        GeneralName::URI(uri) => AlternativeName::Uri((*uri).to_owned()),
        GeneralName::RFC822Name(address) => AlternativeName::Email((*address).to_owned()),
        GeneralName::DirectoryName(name) => AlternativeName::Directory(Name::read(name)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;
    use crate::key_pair_matches;

    #[test]
    fn a_certificate_is_read() {
        let mut params = CertificateParams::new(vec!["host.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "host");
        params.distinguished_name.push(DnType::OrganizationName, "a, b");
        params.serial_number = Some(vec![1, 0, 0].into());
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let read = &Certificate::from_pem(&made.pem(), 1).unwrap()[0];
        assert_eq!(read.subject.joined("CN").unwrap(), "host");
        assert!(read.subject.rfc2253().contains("O=a\\, b"));
        assert_eq!(read.serial_decimal(), "65536");
        assert_eq!(read.alternative_names, [AlternativeName::Dns("host.example".to_owned())]);
        assert!(read.is_signed_by(read) && !read.is_authority);
        assert!(key_pair_matches(read, &key.serialize_pem()).unwrap());
        assert!(!key_pair_matches(read, &KeyPair::generate().unwrap().serialize_pem()).unwrap());
        assert_eq!(key_pair_matches(read, "x"), Err(CertificateError::NoBlock("PRIVATE KEY")));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Certificate::from_der(&bytes);
        }

        #[test]
        fn no_altered_byte_breaks_the_reader(at in 0_usize..400, with in any::<u8>()) {
            let made = CertificateParams::new(vec!["a".to_owned()]).unwrap().self_signed(&KeyPair::generate().unwrap()).unwrap();
            let mut der = made.der().to_vec();
            if let Some(byte) = der.get_mut(at) {
                *byte = with;
            }
            if let Ok(read) = Certificate::from_der(&der) {
                let _ = read.is_signed_by(&read);
            }
        }
    }
}
