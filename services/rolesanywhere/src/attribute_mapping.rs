//! From the names in a certificate to the tags of a session.
//!
//! Source: IAM Roles Anywhere User Guide, "Trust model" and "Attribute mapping".

use std::collections::BTreeMap;

use certificate::{AlternativeName, Certificate, Name};
use serde::{Deserialize, Serialize};

/// A part of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Field {
    Subject,
    Issuer,
    AlternativeName,
}

impl Field {
    fn prefix(self) -> &'static str {
        match self {
            Self::Subject => "x509Subject",
            Self::Issuer => "x509Issuer",
            Self::AlternativeName => "x509SAN",
        }
    }
}

/// What a profile takes out of a certificate: specifiers by field. A field that is gone gives nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mappings(pub BTreeMap<Field, Vec<String>>);

impl Default for Mappings {
    /// Everything of every field.
    fn default() -> Self {
        let everything = |field| (field, vec!["*".to_owned()]);
        Self([Field::Subject, Field::Issuer, Field::AlternativeName].map(everything).into())
    }
}

/// Longest value of a tag.
const VALUE_LENGTH: usize = 256;

fn of_name(name: &Name, prefix: &str) -> Vec<(String, String)> {
    let value = |attribute: &&str| name.joined(attribute).map(|value| (format!("{prefix}{attribute}"), value));
    name.attribute_names().iter().filter_map(value).collect()
}

/// Specifiers and values of a field.
fn values(certificate: &Certificate, field: Field) -> Vec<(String, String)> {
    match field {
        Field::Subject => of_name(&certificate.subject, ""),
        Field::Issuer => of_name(&certificate.issuer, ""),
        Field::AlternativeName => {
            let mut found: Vec<(String, String)> = Vec::new();
            for name in &certificate.alternative_names {
                // Only the first of each kind counts.
                let values = match name {
                    AlternativeName::Dns(name) => vec![("DNS".to_owned(), name.clone())],
                    AlternativeName::Uri(uri) => vec![("URI".to_owned(), uri.clone())],
                    AlternativeName::Directory(name) => of_name(name, "Name/"),
                    AlternativeName::Email(_) => Vec::new(),
                };
                for (specifier, value) in values {
                    if !found.iter().any(|(known, _)| *known == specifier) {
                        found.push((specifier, value));
                    }
                }
            }
            found
        }
    }
}

/// Session tags of a certificate.
pub(crate) fn tags(certificate: &Certificate, mappings: &Mappings) -> Vec<(String, String)> {
    let mut tags = Vec::new();
    for (field, specifiers) in &mappings.0 {
        let wanted = |specifier: &String| {
            specifiers
                .iter()
                .any(|rule| rule == specifier || rule == "*" || rule.strip_suffix('*').is_some_and(|start| specifier.starts_with(start)))
        };
        for (specifier, value) in values(certificate, *field) {
            if wanted(&specifier) && value.chars().count() <= VALUE_LENGTH {
                tags.push((format!("{}/{specifier}", field.prefix()), value));
            }
        }
    }
    tags.truncate(plane::tag::LIMIT);
    tags
}
