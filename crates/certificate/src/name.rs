//! Distinguished names.

use x509_parser::x509::X509Name;

/// A distinguished name: its attributes in order, and its DER, by which names compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Short names (`CN`, `O`; dotted where there is none) with their values, in the order of the certificate.
    pub attributes: Vec<(String, String)>,
    pub der: Vec<u8>,
}

impl Name {
    pub(crate) fn read(name: &X509Name<'_>) -> Self {
        let attributes = name.iter_attributes().map(|attribute| {
            let oid = attribute.attr_type().to_id_string();
            let value = attribute.as_str().map_or_else(|_| hex::encode(attribute.as_slice()), str::to_owned);
            (short(&oid).map_or(oid, str::to_owned), value)
        });
        Self { attributes: attributes.collect(), der: name.as_raw().to_vec() }
    }

    /// `CN=host,OU=unit,O=org`: the last attribute first, as RFC 2253 writes it.
    pub fn rfc2253(&self) -> String {
        let parts: Vec<String> = self.attributes.iter().rev().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        parts.join(",")
    }

    /// All values of an attribute, joined by slashes where there are several.
    pub fn joined(&self, attribute: &str) -> Option<String> {
        let values: Vec<&str> = self.attributes.iter().filter(|(name, _)| name == attribute).map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join("/"))
    }

    /// The attributes that are there, each once.
    pub fn attribute_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &self.attributes {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        names
    }
}

fn escaped(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Short names of RFC 4519 and RFC 2985. Source: IAM Roles Anywhere User Guide, "Trust model", table of attribute specifiers.
fn short(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.42" => "GN",
        "2.5.4.43" => "initials",
        "2.5.4.44" => "generationQualifier",
        "2.5.4.46" => "dnQualifier",
        "2.5.4.65" => "pseudonym",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        "1.2.840.113549.1.9.1" => "E",
        _ => return None,
    })
}
