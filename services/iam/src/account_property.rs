//! Properties of an account: switches of IAM's features, by `Namespace/PropertyName`.
//!
//! Source: IAM API Reference, "PutAccountProperties" and "GetAccountProperties". The one property that they name is `RoleManager/Enabled`.

use std::collections::BTreeMap;

use api_iam::{GetAccountPropertiesInput, GetAccountPropertiesOutput, PutAccountPropertiesInput, PutAccountPropertiesOutput};
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::error::IamError;

/// Properties that there are, with what they are until somebody sets them. All are switches.
const KNOWN: [(&str, &str); 1] = [("RoleManager/Enabled", "false")];

/// What an account has set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct PropertiesRecord {
    properties: BTreeMap<String, String>,
}

impl Record for PropertiesRecord {
    const TABLE: Table = Table("iam.account-property");
    const SCOPE: Scope = Scope::Home;
}

fn key(account: &str) -> Key {
    Key::new(account, "").last("properties")
}

fn invalid(text: String) -> ApiError {
    IamError::InvalidInput(text).into()
}

/// Namespace of a well-formed key: one slash, and something on either side of it.
fn namespace(key: &str) -> Option<&str> {
    key.split_once('/').filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/')).map(|(first, _)| first)
}

/// Refuses what is not one namespace's known switches.
fn check<'a>(properties: impl Iterator<Item = (&'a String, &'a String)>) -> Result<(), String> {
    let mut first = None;
    for (key, value) in properties {
        let found = namespace(key).ok_or_else(|| format!("The property key {key} is not of the form Namespace/PropertyName."))?;
        if *first.get_or_insert(found) != found {
            return Err("All properties of a request must belong to the same namespace.".to_owned());
        }
        if !KNOWN.iter().any(|(known, _)| known == key) {
            return Err(format!("The property key {key} is not known."));
        }
        if !matches!(value.as_str(), "true" | "false") {
            return Err(format!("The value of the property {key} must be true or false."));
        }
    }
    if first.is_none() { Err("At least one property must be given.".to_owned()) } else { Ok(()) }
}

pub(crate) async fn put_account_properties(
    cx: &mut Call,
    input: PutAccountPropertiesInput,
) -> Result<PutAccountPropertiesOutput, ApiError> {
    check(input.properties.iter()).map_err(invalid)?;
    let account = cx.account.clone();
    let mut record = cx.tx.get::<PropertiesRecord>(&key(&account)).await?.unwrap_or_default();
    record.properties.extend(input.properties);
    cx.tx.put(&key(&account), &record)?;
    Ok(PutAccountPropertiesOutput {})
}

pub(crate) async fn get_account_properties(
    cx: &mut Call,
    _input: GetAccountPropertiesInput,
) -> Result<GetAccountPropertiesOutput, ApiError> {
    let account = cx.account.clone();
    let record = cx.tx.get::<PropertiesRecord>(&key(&account)).await?.unwrap_or_default();
    let mut properties: BTreeMap<String, String> = KNOWN.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    properties.extend(record.properties);
    Ok(GetAccountPropertiesOutput { properties: Some(properties.into_iter().collect()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(properties: &[(&str, &str)]) -> Result<(), String> {
        let properties: BTreeMap<String, String> = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        check(properties.iter())
    }

    #[test]
    fn known_switches_of_one_namespace() {
        assert_eq!(checked(&[("RoleManager/Enabled", "true")]), Ok(()));
        for (wrong, why) in [
            (&[][..], "At least one"),
            (&[("RoleManager/Enabled", "yes")], "true or false"),
            (&[("RoleManager/Other", "true")], "not known"),
            (&[("RoleManager", "true")], "of the form"),
            (&[("RoleManager/A/B", "true")], "of the form"),
            (&[("/Enabled", "true")], "of the form"),
            (&[("RoleManager/Enabled", "true"), ("Z/Enabled", "true")], "same namespace"),
        ] {
            let error = checked(wrong).unwrap_err();
            assert!(error.contains(why), "{wrong:?}: {error}");
        }
    }
}
