//! Known services with their actions and condition keys.
//!
//! Source: the service authorization data in `data/services.tsv` (see NOTICE): per line a service prefix, its actions, and
//! its condition keys with their types.

use std::collections::HashMap;
use std::sync::OnceLock;

const DATA: &str = include_str!("../data/services.tsv");

/// A service.
#[derive(Debug)]
pub struct Service {
    /// Prefix of its actions, such as `s3`.
    pub prefix: &'static str,
    /// Names of its actions without the prefix, in order.
    pub actions: Vec<&'static str>,
    /// Condition keys of its own with their types, such as `String` or `ArrayOfString`; a tag's name is `${TagKey}`.
    pub keys: Vec<(&'static str, &'static str)>,
}

/// Global condition keys with their types, in lower case.
///
/// Source: IAM User Guide, "AWS global condition context keys".
const GLOBAL_KEYS: [(&str, &str); 61] = [
    ("aws:assumedroot", "Bool"),
    ("aws:calledvia", "ArrayOfString"),
    ("aws:calledviaawsmcp", "String"),
    ("aws:calledviafirst", "String"),
    ("aws:calledvialast", "String"),
    ("aws:chatbotsourcearn", "ARN"),
    ("aws:currenttime", "Date"),
    ("aws:ec2instancesourceprivateipv4", "IPAddress"),
    ("aws:ec2instancesourcevpc", "String"),
    ("aws:epochtime", "Date"),
    ("aws:federatedprovider", "String"),
    ("aws:ismcpserviceaction", "Bool"),
    ("aws:multifactorauthage", "Numeric"),
    ("aws:multifactorauthpresent", "Bool"),
    ("aws:principalaccount", "String"),
    ("aws:principalarn", "ARN"),
    ("aws:principalisawsservice", "Bool"),
    ("aws:principalorgid", "String"),
    ("aws:principalorgpaths", "ArrayOfString"),
    ("aws:principalservicename", "String"),
    ("aws:principalservicenameslist", "ArrayOfString"),
    ("aws:principaltype", "String"),
    ("aws:referer", "String"),
    ("aws:requestedregion", "String"),
    ("aws:resourceaccount", "String"),
    ("aws:resourceorgid", "String"),
    ("aws:resourceorgpaths", "ArrayOfString"),
    ("aws:securetransport", "Bool"),
    ("aws:signinsessionarn", "ARN"),
    ("aws:sourceaccount", "String"),
    ("aws:sourcearn", "ARN"),
    ("aws:sourceidentity", "String"),
    ("aws:sourceip", "IPAddress"),
    ("aws:sourceorgid", "String"),
    ("aws:sourceorgpaths", "ArrayOfString"),
    ("aws:sourceowner", "String"),
    ("aws:sourcevpc", "String"),
    ("aws:sourcevpcarn", "ARN"),
    ("aws:sourcevpce", "String"),
    ("aws:tagkeys", "ArrayOfString"),
    ("aws:tokenissuetime", "Date"),
    ("aws:useragent", "String"),
    ("aws:userid", "String"),
    ("aws:username", "String"),
    ("aws:viaawsmcpservice", "Bool"),
    ("aws:viaawsservice", "Bool"),
    ("aws:viacustomerdomain", "String"),
    ("aws:vpceaccount", "String"),
    ("aws:vpceorgid", "String"),
    ("aws:vpceorgpaths", "ArrayOfString"),
    ("aws:vpcsourceip", "IPAddress"),
    ("codebuild:buildarn", "ARN"),
    ("codebuild:projectarn", "ARN"),
    ("ec2:roledelivery", "Numeric"),
    ("ec2:sourceinstancearn", "ARN"),
    ("glue:credentialissuingservice", "String"),
    ("glue:roleassumedby", "String"),
    ("identitystore:userid", "String"),
    ("lambda:sourcefunctionarn", "ARN"),
    ("ssm:sourceinstancearn", "ARN"),
    ("saml:aud", "String"),
];

/// Global keys that end in the name of a tag, in lower case.
pub(crate) const TAG_KEYS: [&str; 3] = ["aws:principaltag", "aws:requesttag", "aws:resourcetag"];

struct Vocabulary {
    services: Vec<Service>,
    by_prefix: HashMap<&'static str, usize>,
    /// Condition keys in lower case, without the placeholder of a tag's name.
    types: HashMap<String, &'static str>,
}

fn vocabulary() -> &'static Vocabulary {
    static VOCABULARY: OnceLock<Vocabulary> = OnceLock::new();
    VOCABULARY.get_or_init(|| {
        let mut vocabulary = Vocabulary {
            services: Vec::new(),
            by_prefix: HashMap::new(),
            types: HashMap::from(GLOBAL_KEYS.map(|(key, kind)| (key.to_owned(), kind))),
        };
        for line in DATA.lines() {
            let mut columns = line.split('\t');
            let prefix = columns.next().unwrap_or_default();
            let actions = columns.next().unwrap_or_default().split_ascii_whitespace().collect();
            let keys: Vec<(&str, &str)> =
                columns.next().unwrap_or_default().split_ascii_whitespace().filter_map(|key| key.rsplit_once('=')).collect();
            for (key, kind) in &keys {
                let lower = key.to_lowercase();
                let stem = lower.split("${").next().unwrap_or_default();
                vocabulary.types.entry(stem.to_owned()).or_insert(kind);
            }
            vocabulary.by_prefix.insert(prefix, vocabulary.services.len());
            vocabulary.services.push(Service { prefix, actions, keys });
        }
        vocabulary
    })
}

/// All services in order of their prefixes.
pub fn services() -> &'static [Service] {
    &vocabulary().services
}

/// The service of a prefix in lower case.
pub fn service(prefix: &str) -> Option<&'static Service> {
    let vocabulary = vocabulary();
    vocabulary.services.get(*vocabulary.by_prefix.get(prefix)?)
}

/// The type of a condition key, if it is known.
pub fn key_type(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    let types = &vocabulary().types;
    if let Some(known) = types.get(&lower) {
        return Some(known);
    }
    if TAG_KEYS.iter().any(|family| lower.strip_prefix(family).is_some_and(|rest| rest.starts_with('/'))) {
        return Some("String");
    }
    let stem = lower.find(['/', ':']).and_then(|colon| {
        let from = lower.get(colon + 1..)?.find(['/', ':'])?;
        lower.get(..=colon + 1 + from)
    })?;
    types.get(stem).copied()
}

/// Whether AWS documents the key as multivalued. The name is in lower case.
pub(crate) fn is_multivalued(lower: &str) -> bool {
    key_type(lower).is_some_and(|kind| kind.starts_with("ArrayOf"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_keys_are_known() {
        assert!(services().len() > 400);
        assert!(services().is_sorted_by_key(|service| service.prefix));
        assert!(service("s3").unwrap().actions.contains(&"GetObject"));
        assert_eq!(key_type("aws:SourceVpc"), Some("String"));
        assert_eq!(key_type("aws:PrincipalTag/team"), Some("String"));
        assert_eq!(key_type("kms:EncryptionContext:a"), Some("String"));
        assert_eq!(key_type("aws:Nothing"), None);
        assert!(is_multivalued("aws:tagkeys"));
        assert!(GLOBAL_KEYS.iter().all(|(key, _)| *key == key.to_lowercase()));
    }
}
