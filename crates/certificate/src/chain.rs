//! From a leaf to a trust anchor.

use crate::certificate::Certificate;
use crate::revocation::RevocationList;

/// Links of a chain, the leaf and the anchor included.
const LINKS: usize = 6;

/// Why a certificate is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    #[error("the certificate is not an end-entity certificate of version 3")]
    NotEndEntity,
    #[error("the certificate may not make signatures")]
    KeyUsage,
    #[error("the certificate may not authenticate clients")]
    ExtendedKeyUsage,
    #[error("the certificate `{0}` has a critical extension that is not known")]
    UnknownExtension(String),
    #[error("the certificate `{0}` is not valid now")]
    NotValidNow(String),
    #[error("the certificate `{0}` is revoked")]
    Revoked(String),
    #[error("no chain of good signatures leads to a trust anchor")]
    Untrusted,
}

/// Follows `leaf` through `intermediates` to one of `anchors`; gives the anchor's position.
///
/// # Errors
/// Why there is no such way. What is said is of the leaf where the leaf is at fault.
pub fn verify_chain(
    leaf: &Certificate,
    intermediates: &[Certificate],
    anchors: &[Certificate],
    revoked: &[RevocationList],
    now_ms: i64,
) -> Result<usize, ChainError> {
    if !leaf.is_v3 || leaf.is_authority {
        return Err(ChainError::NotEndEntity);
    }
    if !leaf.digital_signature {
        return Err(ChainError::KeyUsage);
    }
    if !leaf.client_authentication {
        return Err(ChainError::ExtendedKeyUsage);
    }
    check_link(leaf, now_ms)?;
    let found = follow(leaf, intermediates, anchors, revoked, now_ms, 0)?;
    found.ok_or(ChainError::Untrusted)
}

fn check_link(certificate: &Certificate, now_ms: i64) -> Result<(), ChainError> {
    if certificate.unknown_critical {
        return Err(ChainError::UnknownExtension(certificate.subject.rfc2253()));
    }
    if !certificate.is_valid_at(now_ms) {
        return Err(ChainError::NotValidNow(certificate.subject.rfc2253()));
    }
    Ok(())
}

/// `below`: authorities between this certificate and the leaf. Each step takes one intermediate out of those that are left, so the
/// search ends; depth is limited besides.
fn follow(
    certificate: &Certificate,
    intermediates: &[Certificate],
    anchors: &[Certificate],
    revoked: &[RevocationList],
    now_ms: i64,
    below: usize,
) -> Result<Option<usize>, ChainError> {
    for (at, anchor) in anchors.iter().enumerate() {
        if may_sign(anchor, certificate, below) && certificate.is_signed_by(anchor) {
            check_link(anchor, now_ms)?;
            check_revoked(certificate, anchor, revoked)?;
            return Ok(Some(at));
        }
    }
    if below.saturating_add(2) >= LINKS {
        return Ok(None);
    }
    for (at, issuer) in intermediates.iter().enumerate() {
        if may_sign(issuer, certificate, below) && certificate.is_signed_by(issuer) {
            check_link(issuer, now_ms)?;
            check_revoked(certificate, issuer, revoked)?;
            let others: Vec<Certificate> =
                intermediates.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other.clone()).collect();
            if let Some(found) = follow(issuer, &others, anchors, revoked, now_ms, below.saturating_add(1))? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

fn may_sign(issuer: &Certificate, certificate: &Certificate, below: usize) -> bool {
    let length = issuer.path_length.is_none_or(|length| usize::try_from(length).is_ok_and(|length| below <= length));
    issuer.subject.der == certificate.issuer.der && issuer.is_authority && issuer.certificate_signing && length
}

fn check_revoked(certificate: &Certificate, issuer: &Certificate, revoked: &[RevocationList]) -> Result<(), ChainError> {
    let names_it = |list: &RevocationList| list.is_of(issuer) && list.revokes(&certificate.serial);
    if revoked.iter().any(names_it) { Err(ChainError::Revoked(certificate.subject.rfc2253())) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
        date_time_ymd,
    };

    use super::*;

    const NOW_MS: i64 = 1_800_000_000_000;

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2040, 1, 1);
        params
    }

    fn authority_params(name: &str, length: Option<u8>) -> CertificateParams {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(length.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }

    fn authority(name: &str, length: Option<u8>) -> CertifiedIssuer<'static, KeyPair> {
        CertifiedIssuer::self_signed(authority_params(name, length), KeyPair::generate().unwrap()).unwrap()
    }

    fn intermediate(name: &str, of: &CertifiedIssuer<'static, KeyPair>) -> CertifiedIssuer<'static, KeyPair> {
        CertifiedIssuer::signed_by(authority_params(name, None), KeyPair::generate().unwrap(), of).unwrap()
    }

    fn read(der: &[u8]) -> Certificate {
        Certificate::from_der(der).unwrap()
    }

    fn leaf(of: &CertifiedIssuer<'static, KeyPair>, change: impl Fn(&mut CertificateParams)) -> Certificate {
        let mut params = params("leaf");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        change(&mut params);
        read(params.signed_by(&KeyPair::generate().unwrap(), of).unwrap().der())
    }

    #[test]
    fn a_chain_leads_to_its_anchor_only() {
        let (root, other) = (authority("root", None), authority("root", None));
        let middle = intermediate("middle", &root);
        let leaf = leaf(&middle, |_| {});
        let (root, other, middle) = (read(root.der()), read(other.der()), read(middle.der()));
        let verify = |between: &[Certificate], anchors: &[Certificate], now| verify_chain(&leaf, between, anchors, &[], now);
        assert_eq!(verify(std::slice::from_ref(&middle), &[other.clone(), root.clone()], NOW_MS), Ok(1));
        assert_eq!(verify(std::slice::from_ref(&middle), std::slice::from_ref(&other), NOW_MS), Err(ChainError::Untrusted));
        assert_eq!(verify(&[], std::slice::from_ref(&root), NOW_MS), Err(ChainError::Untrusted));
        // An intermediate as anchor is an anchor.
        assert_eq!(verify(&[], std::slice::from_ref(&middle), NOW_MS), Ok(0));
        assert!(matches!(verify(&[middle], &[root], 0), Err(ChainError::NotValidNow(_))));
    }

    #[test]
    fn what_a_certificate_may_do_is_asked() {
        let root = authority("root", Some(0));
        let anchor = [read(root.der())];
        let verify = |leaf: &Certificate| verify_chain(leaf, &[], &anchor, &[], NOW_MS);
        assert_eq!(verify(&leaf(&root, |_| {})), Ok(0));
        assert_eq!(verify(&leaf(&root, |params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment])), Err(ChainError::KeyUsage));
        let server = |params: &mut CertificateParams| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        assert_eq!(verify(&leaf(&root, server)), Err(ChainError::ExtendedKeyUsage));
        let authority = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        assert_eq!(verify(&leaf(&root, authority)), Err(ChainError::NotEndEntity));
        // The root may have no authority below it.
        let middle = intermediate("middle", &root);
        let below = leaf(&middle, |_| {});
        assert_eq!(verify_chain(&below, &[read(middle.der())], &anchor, &[], NOW_MS), Err(ChainError::Untrusted));
    }
}
