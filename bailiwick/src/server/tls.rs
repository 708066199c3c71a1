//! The embedded certificate authority: made at first start, its key under the seal, its certificates limited by name constraints.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use keyring::{Domain, Keyring};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    NameConstraints, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Days that a server certificate is good for. A new one is made at every start.
const LEAF_DAYS: i64 = 397;
/// Years that the authority is good for.
const AUTHORITY_YEARS: i16 = 10;

/// No certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the certificate authority cannot be made or read: {0}")]
    Authority(String),
    #[error("the certificate authority's file cannot be written: {0}")]
    File(#[from] std::io::Error),
    #[error("the TLS settings are refused: {0}")]
    Settings(#[from] rustls::Error),
}

impl From<rcgen::Error> for TlsError {
    fn from(error: rcgen::Error) -> Self {
        Self::Authority(error.to_string())
    }
}

/// The server's TLS configuration, and the authority's certificate for clients (`AWS_CA_BUNDLE`).
pub struct Tls {
    pub config: Arc<rustls::ServerConfig>,
    pub authority_pem: String,
}

/// Names that our certificates are for: the host, buckets below `s3`, services and buckets below each region. A wildcard needs two labels
/// behind it, so there is no `*.localhost`.
fn names(regions: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "bailiwick.internal", "s3.localhost", "*.s3.localhost"].map(str::to_owned).to_vec();
    names.extend(regions.iter().flat_map(|region| [format!("*.{region}.localhost"), format!("*.s3.{region}.localhost")]));
    names
}

/// Reads the authority from the data folder or makes it, and makes a server certificate.
pub fn prepare(data_dir: &Path, keyring: &Keyring, addresses: &[IpAddr], regions: &[String], now_ms: i64) -> Result<Tls, TlsError> {
    let key_path = data_dir.join("authority.key.sealed");
    let certificate_path = data_dir.join("authority.pem");
    let domain = Domain::new("authority-key", "", "");
    let (authority_pem, authority_key) = if let (Ok(sealed), Ok(pem)) =
        (std::fs::read(&key_path), std::fs::read_to_string(&certificate_path))
    {
        let plain = keyring.open_record(&domain, b"authority", &sealed).map_err(|error| TlsError::Authority(error.to_string()))?;
        (pem, KeyPair::try_from(plain.as_slice())?)
    } else {
        let (pem, key) = make_authority(now_ms)?;
        let sealed = keyring.seal(&domain, b"authority", &key.serialize_der()).map_err(|error| TlsError::Authority(error.to_string()))?;
        std::fs::write(&key_path, sealed)?;
        std::fs::write(&certificate_path, &pem)?;
        (pem, key)
    };
    let issuer = Issuer::new(authority_params(), authority_key);
    let leaf_key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names(regions))?;
    params.distinguished_name.push(DnType::CommonName, "Bailiwick server");
    params.subject_alt_names.extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
    (params.not_before, params.not_after) = validity(now_ms, LEAF_DAYS)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&leaf_key, &issuer)?;
    let chain = vec![leaf.der().clone(), CertificateDer::from(pem_der(&authority_pem)?)];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Tls { config: Arc::new(config), authority_pem })
}

/// What the authority's certificate says, but for its validity.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Bailiwick certificate authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let any_address = |address: IpAddr| match address {
        IpAddr::V4(_) => GeneralSubtree::IpAddress(rcgen::CidrSubnet::V4([0; 4], [0; 4])),
        IpAddr::V6(_) => GeneralSubtree::IpAddress(rcgen::CidrSubnet::V6([0; 16], [0; 16])),
    };
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".to_owned()),
            GeneralSubtree::DnsName("bailiwick.internal".to_owned()),
            any_address(IpAddr::from([0, 0, 0, 0])),
            any_address(IpAddr::from([0_u16; 8])),
        ],
        excluded_subtrees: Vec::new(),
    });
    params
}

fn make_authority(now_ms: i64) -> Result<(String, KeyPair), TlsError> {
    let key = KeyPair::generate()?;
    let mut params = authority_params();
    (params.not_before, params.not_after) = validity(now_ms, i64::from(AUTHORITY_YEARS) * 365)?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key))
}

type Validity = (time::OffsetDateTime, time::OffsetDateTime);

/// From a day ago (clients' clocks differ) for so many days.
fn validity(now_ms: i64, days: i64) -> Result<Validity, TlsError> {
    let now = time::OffsetDateTime::from_unix_timestamp(now_ms / 1000).map_err(|error| TlsError::Authority(error.to_string()))?;
    Ok((now - time::Duration::days(1), now + time::Duration::days(days)))
}

fn pem_der(pem: &str) -> Result<Vec<u8>, TlsError> {
    use rustls_pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).map(|der| der.to_vec()).map_err(|error| TlsError::Authority(error.to_string()))
}
