//! SAML 2.0: metadata of an identity provider, and responses that it signed.
//!
//! A response is believed only as far as a signature reaches: what is read afterwards is the very element that was verified. Signatures over
//! SHA-1 and encrypted assertions are refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certificate::{Certificate, Digest, PublicKey};

use crate::xml::{self, Element, XmlError};

const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";
const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
/// Signing certificates of one provider.
const CERTIFICATES: usize = 10;

/// Why a document proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SamlError {
    #[error(transparent)]
    Xml(#[from] XmlError),
    #[error("the metadata document is not that of an identity provider: {0}")]
    Metadata(&'static str),
    #[error("the response is malformed: {0}")]
    Response(&'static str),
    #[error("the provider reports a failure")]
    Status,
    #[error("the response is not signed by the provider: {0}")]
    Signature(&'static str),
}

/// An identity provider as its metadata describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    pub entity_id: String,
    pub certificates: Vec<Certificate>,
    /// `validUntil`, as it stands.
    pub valid_until: Option<String>,
}

impl Provider {
    /// Reads a metadata document.
    pub fn read(metadata: &str) -> Result<Self, SamlError> {
        let root = xml::parse(metadata)?;
        let entity = root.descendant(METADATA, "EntityDescriptor").ok_or(SamlError::Metadata("it has no `EntityDescriptor`"))?;
        let role = entity.child(METADATA, "IDPSSODescriptor").ok_or(SamlError::Metadata("it has no `IDPSSODescriptor`"))?;
        let entity_id = entity.attribute("entityID").filter(|id| !id.is_empty()).ok_or(SamlError::Metadata("it has no `entityID`"))?;
        let mut certificates = Vec::new();
        for key in role.children(METADATA, "KeyDescriptor").filter(|key| key.attribute("use").is_none_or(|usage| usage == "signing")) {
            let Some(text) = key.descendant(SIGNATURE, "X509Certificate").map(Element::text) else { continue };
            let der = decode(&text).ok_or(SamlError::Metadata("a certificate is not base64"))?;
            certificates.push(Certificate::from_der(&der).map_err(|_| SamlError::Metadata("a certificate cannot be read"))?);
        }
        if certificates.is_empty() || certificates.len() > CERTIFICATES {
            return Err(SamlError::Metadata("it has no signing certificate, or too many"));
        }
        let valid_until = entity.attribute("validUntil").or_else(|| root.attribute("validUntil")).map(str::to_owned);
        Ok(Self { entity_id: entity_id.to_owned(), certificates, valid_until })
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let compact: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    STANDARD.decode(compact).ok()
}

/// What a provider says of somebody; its times are texts, which the asker compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    pub id: String,
    pub issuer: String,
    pub issue_instant: String,
    pub subject: String,
    /// `persistent`, `transient` or a whole URI.
    pub subject_format: Option<String>,
    pub name_qualifier: Option<String>,
    /// Bearer confirmations: recipient and end.
    pub confirmations: Vec<(String, String)>,
    pub not_before: Option<String>,
    pub not_on_or_after: Option<String>,
    pub audiences: Vec<String>,
    /// Values by the attribute's name, in order.
    pub attributes: Vec<(String, Vec<String>)>,
}

impl Assertion {
    /// Values of an attribute.
    pub fn values(&self, name: &str) -> Option<&[String]> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, values)| values.as_slice())
    }
}

/// Verifies a response and reads its assertion.
pub fn verify(response: &str, provider: &Provider) -> Result<Assertion, SamlError> {
    let root = xml::parse(response)?;
    if !root.is(PROTOCOL, "Response") {
        return Err(SamlError::Response("it is no `Response`"));
    }
    if root.descendant(ASSERTION, "EncryptedAssertion").is_some() {
        return Err(SamlError::Response("encrypted assertions are not supported"));
    }
    let status = root.child(PROTOCOL, "Status").and_then(|status| status.child(PROTOCOL, "StatusCode"));
    if status.and_then(|status| status.attribute("Value")) != Some(SUCCESS) {
        return Err(SamlError::Status);
    }
    let mut assertions = root.children(ASSERTION, "Assertion");
    let assertion = assertions.next().ok_or(SamlError::Response("it has no assertion"))?;
    if assertions.next().is_some() {
        return Err(SamlError::Response("it has more than one assertion"));
    }
    // A signature over the response covers the assertion in it. Each signature that is there must be good.
    let mut covered = false;
    for element in [&root, assertion] {
        let mut signatures = element.children(SIGNATURE, "Signature");
        if let Some(signature) = signatures.next() {
            if signatures.next().is_some() {
                return Err(SamlError::Signature("an element has two signatures"));
            }
            verify_signature(&root, element, signature, provider)?;
            covered = true;
        }
    }
    if covered { read(assertion) } else { Err(SamlError::Signature("there is no signature")) }
}

fn verify_signature(root: &Element, element: &Element, signature: &Element, provider: &Provider) -> Result<(), SamlError> {
    let fault = SamlError::Signature;
    let info = signature.child(SIGNATURE, "SignedInfo").ok_or(fault("there is no `SignedInfo`"))?;
    let method = info.child(SIGNATURE, "CanonicalizationMethod").ok_or(fault("there is no canonicalization method"))?;
    if method.attribute("Algorithm") != Some(EXCLUSIVE) {
        return Err(fault("the canonicalization method is not supported"));
    }
    let mut references = info.children(SIGNATURE, "Reference");
    let reference = references.next().filter(|_| references.next().is_none()).ok_or(fault("there must be one reference"))?;
    // The signature must be of the element that it stands in, and of no other with the same name.
    let id = element.attribute("ID").filter(|id| !id.is_empty()).ok_or(fault("the signed element has no `ID`"))?;
    if reference.attribute("URI") != Some(&format!("#{id}")) || root.count_id(id) != 1 {
        return Err(fault("the reference is not to the element that it stands in"));
    }
    let mut inclusive = String::new();
    for transform in reference.child(SIGNATURE, "Transforms").into_iter().flat_map(Element::elements) {
        match transform.attribute("Algorithm") {
            Some(ENVELOPED) => {}
            Some(EXCLUSIVE) => inclusive = inclusive_prefixes(transform),
            _ => return Err(fault("a transform is not supported")),
        }
    }
    let prefixes: Vec<&str> = inclusive.split_ascii_whitespace().collect();
    let canonical = element.canonical(Some((SIGNATURE, "Signature")), &prefixes);
    let algorithm = reference.child(SIGNATURE, "DigestMethod").and_then(|method| method.attribute("Algorithm"));
    let algorithm = match algorithm {
        Some("http://www.w3.org/2001/04/xmlenc#sha256") => &aws_lc_rs::digest::SHA256,
        Some("http://www.w3.org/2001/04/xmldsig-more#sha384") => &aws_lc_rs::digest::SHA384,
        Some("http://www.w3.org/2001/04/xmlenc#sha512") => &aws_lc_rs::digest::SHA512,
        _ => return Err(fault("the digest method is not supported")),
    };
    let given = reference.child(SIGNATURE, "DigestValue").map(Element::text).and_then(|text| decode(&text));
    if given.as_deref() != Some(aws_lc_rs::digest::digest(algorithm, canonical.as_bytes()).as_ref()) {
        return Err(fault("the digest does not match"));
    }
    let value = signature.child(SIGNATURE, "SignatureValue").map(Element::text).and_then(|text| decode(&text));
    let value = value.ok_or(fault("there is no signature value"))?;
    let named = info.child(SIGNATURE, "SignatureMethod").and_then(|method| method.attribute("Algorithm")).unwrap_or_default();
    let inclusive = inclusive_prefixes(method);
    let prefixes: Vec<&str> = inclusive.split_ascii_whitespace().collect();
    let message = info.canonical(None, &prefixes);
    let good = |key: &PublicKey| signed_by(key, named, message.as_bytes(), &value);
    if provider.certificates.iter().any(|certificate| good(&certificate.public_key)) {
        return Ok(());
    }
    Err(fault("no key of the provider made it"))
}

fn inclusive_prefixes(method: &Element) -> String {
    let list = method.child(EXCLUSIVE, "InclusiveNamespaces").and_then(|list| list.attribute("PrefixList"));
    list.unwrap_or_default().to_owned()
}

fn signed_by(key: &PublicKey, algorithm: &str, message: &[u8], value: &[u8]) -> bool {
    let Some(name) = algorithm.strip_prefix("http://www.w3.org/2001/04/xmldsig-more#") else { return false };
    match name {
        "rsa-sha256" => key.is_rsa() && key.verifies(Digest::Sha256, message, value),
        "rsa-sha384" => key.is_rsa() && key.verifies(Digest::Sha384, message, value),
        "rsa-sha512" => key.is_rsa() && key.verifies(Digest::Sha512, message, value),
        // XML signatures have the two numbers one behind the other.
        "ecdsa-sha256" => value.len() == 64 && key.verifies_fixed(message, value),
        "ecdsa-sha384" => value.len() == 96 && key.verifies_fixed(message, value),
        _ => false,
    }
}

fn read(assertion: &Element) -> Result<Assertion, SamlError> {
    let missing = SamlError::Response;
    let text = |element: &Element, local: &'static str| element.child(ASSERTION, local).map(Element::text);
    let attribute = |name: &'static str| assertion.attribute(name).map(str::to_owned);
    let subject = assertion.child(ASSERTION, "Subject").ok_or(missing("the assertion has no subject"))?;
    let name = subject.child(ASSERTION, "NameID").ok_or(missing("the subject has no `NameID`"))?;
    let confirmations = subject
        .children(ASSERTION, "SubjectConfirmation")
        .filter(|confirmation| confirmation.attribute("Method") == Some(BEARER))
        .filter_map(|confirmation| confirmation.child(ASSERTION, "SubjectConfirmationData"))
        .filter_map(|data| Some((data.attribute("Recipient")?.to_owned(), data.attribute("NotOnOrAfter")?.to_owned())))
        .collect();
    let conditions = assertion.child(ASSERTION, "Conditions");
    let audiences = conditions
        .into_iter()
        .flat_map(|conditions| conditions.children(ASSERTION, "AudienceRestriction"))
        .flat_map(|restriction| restriction.children(ASSERTION, "Audience"))
        .map(Element::text)
        .collect();
    let attributes = assertion
        .children(ASSERTION, "AttributeStatement")
        .flat_map(|statement| statement.children(ASSERTION, "Attribute"))
        .filter_map(|attribute| {
            let values = attribute.children(ASSERTION, "AttributeValue").map(Element::text).collect();
            Some((attribute.attribute("Name")?.to_owned(), values))
        })
        .collect();
    let format = name.attribute("Format").map(|format| format.strip_prefix("urn:oasis:names:tc:SAML:2.0:nameid-format:").unwrap_or(format));
    Ok(Assertion {
        id: attribute("ID").ok_or(missing("the assertion has no `ID`"))?,
        issuer: text(assertion, "Issuer").ok_or(missing("the assertion has no issuer"))?,
        issue_instant: attribute("IssueInstant").ok_or(missing("the assertion has no `IssueInstant`"))?,
        subject: name.text(),
        subject_format: format.map(str::to_owned),
        name_qualifier: name.attribute("NameQualifier").map(str::to_owned),
        confirmations,
        not_before: conditions.and_then(|conditions| conditions.attribute("NotBefore")).map(str::to_owned),
        not_on_or_after: conditions.and_then(|conditions| conditions.attribute("NotOnOrAfter")).map(str::to_owned),
        audiences,
        attributes,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn provider() -> Provider {
        Provider { entity_id: "https://id.example".to_owned(), certificates: Vec::new(), valid_until: None }
    }

    fn response(content: &str) -> String {
        format!(
            r#"<p:Response xmlns:p="{PROTOCOL}" xmlns:a="{ASSERTION}"><p:Status><p:StatusCode Value="{SUCCESS}"/></p:Status>{content}</p:Response>"#
        )
    }

    #[test]
    fn an_unsigned_response_proves_nothing() {
        let unsigned = response(r#"<a:Assertion ID="x"/>"#);
        assert_eq!(verify(&unsigned, &provider()), Err(SamlError::Signature("there is no signature")));
        assert_eq!(verify(&response(""), &provider()), Err(SamlError::Response("it has no assertion")));
        assert!(matches!(verify(&response("<a:Assertion/><a:Assertion/>"), &provider()), Err(SamlError::Response(_))));
        assert!(matches!(verify(&response("<a:EncryptedAssertion/>"), &provider()), Err(SamlError::Response(_))));
        assert!(matches!(verify("<x/>", &provider()), Err(SamlError::Response(_))));
    }

    #[test]
    fn metadata_must_be_an_identity_providers() {
        for text in ["<x/>", &format!(r#"<EntityDescriptor xmlns="{METADATA}" entityID="x"/>"#), "nonsense"] {
            Provider::read(text).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "[ -~]{0,80}") {
            let _ = verify(&response(&text), &provider());
            let _ = Provider::read(&text);
        }
    }
}
