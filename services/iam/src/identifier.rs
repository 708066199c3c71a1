//! Identifiers: unique ids, access key ids and secrets, ARNs.
//!
//! Source: IAM User Guide, "IAM identifiers".

use keyring::Randomness;
use plane::ApiError;
pub use plane::policy_principal::is_account_id;
use plane::session::{KEY_ID_ALPHABET, SECRET_ALPHABET};
use zeroize::Zeroizing;

/// Random characters behind the prefix of a unique id.
const UNIQUE_ID_LENGTH: usize = 17;
/// Random characters behind the prefix of an access key id.
const ACCESS_KEY_ID_LENGTH: usize = 16;
const SECRET_LENGTH: usize = 40;

/// Prefixes of unique ids.
pub const USER: &str = "AIDA";
pub const ROLE: &str = "AROA";
pub const GROUP: &str = "AGPA";
pub const POLICY: &str = "ANPA";
pub const INSTANCE_PROFILE: &str = "AIPA";
/// Prefix of long-term access keys.
pub const ACCESS_KEY: &str = "AKIA";
/// Prefix of temporary access keys.
pub const SESSION_KEY: &str = "ASIA";

/// A new unique id of the kind that `prefix` names.
pub fn unique_id(randomness: &dyn Randomness, prefix: &str) -> Result<String, ApiError> {
    characters(randomness, KEY_ID_ALPHABET, UNIQUE_ID_LENGTH).map(|rest| format!("{prefix}{rest}"))
}

/// A new access key id: 80 random bits behind `prefix`.
pub fn access_key_id(randomness: &dyn Randomness, prefix: &str) -> Result<String, ApiError> {
    characters(randomness, KEY_ID_ALPHABET, ACCESS_KEY_ID_LENGTH).map(|rest| format!("{prefix}{rest}"))
}

/// A new secret access key.
pub fn secret_access_key(randomness: &dyn Randomness) -> Result<Zeroizing<String>, ApiError> {
    characters(randomness, SECRET_ALPHABET, SECRET_LENGTH).map(Zeroizing::new)
}

/// Random characters of an alphabet whose length divides 256, so that each is equally likely.
fn characters(randomness: &dyn Randomness, alphabet: &[u8], length: usize) -> Result<String, ApiError> {
    let mut bytes = Zeroizing::new(vec![0_u8; length]);
    randomness.fill(&mut bytes).map_err(|error| ApiError::internal(&error))?;
    let character = |byte: &u8| alphabet.get(usize::from(*byte) % alphabet.len().max(1));
    Ok(bytes.iter().filter_map(character).map(|character| char::from(*character)).collect())
}

/// ARN of an IAM resource: `resource_type` with the path and name behind it.
pub fn arn(account: &str, resource_type: &str, path: &str, name: &str) -> String {
    // Joined and not formatted: every call makes some.
    ["arn:", plane::PARTITION, ":iam::", account, ":", resource_type, path, name].concat()
}

/// ARN of an account's root.
pub fn root_arn(account: &str) -> String {
    format!("arn:{}:iam::{account}:root", plane::PARTITION)
}

/// An IAM ARN taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IamArn<'a> {
    pub account: &'a str,
    /// `user`, `role`, `policy`, ...; `root` has neither path nor name.
    pub resource_type: &'a str,
    /// What stands between type and name, with its slashes: `/` or `/a/b/`.
    pub path: &'a str,
    pub name: &'a str,
}

impl<'a> IamArn<'a> {
    /// `None`: it is no ARN of an IAM resource in our partition.
    pub fn parse(arn: &'a str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let mut next = || parts.next();
        let (prefix, partition, service, region) = (next()?, next()?, next()?, next()?);
        let (account, resource) = (next()?, next()?);
        if prefix != "arn" || partition != plane::PARTITION || service != "iam" || !region.is_empty() {
            return None;
        }
        if !(is_account_id(account) || account == "aws") {
            return None;
        }
        if resource == "root" {
            return Some(Self { account, resource_type: "root", path: "", name: "" });
        }
        let slash = resource.find('/')?;
        let (resource_type, rest) = resource.split_at_checked(slash)?;
        let (path, name) = rest.split_at_checked(rest.rfind('/')?.checked_add(1)?)?;
        (!name.is_empty()).then_some(Self { account, resource_type, path, name })
    }
}

/// ARN of a role session.
pub fn assumed_role_arn(account: &str, role_name: &str, session_name: &str) -> String {
    format!("arn:{}:sts::{account}:assumed-role/{role_name}/{session_name}", plane::PARTITION)
}

/// The ARN of a role session taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AssumedRoleArn<'a> {
    pub account: &'a str,
    pub role_name: &'a str,
    pub session_name: &'a str,
}

impl<'a> AssumedRoleArn<'a> {
    /// `None`: it is no ARN of a role session in our partition.
    pub fn parse(arn: &'a str) -> Option<Self> {
        let rest = arn.strip_prefix("arn:")?.strip_prefix(plane::PARTITION)?.strip_prefix(":sts::")?;
        let (account, resource) = rest.split_once(':')?;
        let (role_name, session_name) = resource.strip_prefix("assumed-role/")?.split_once('/')?;
        Some(Self { account, role_name, session_name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyring::SystemRandomness;

    #[test]
    fn ids_have_the_documented_form() {
        let randomness = SystemRandomness;
        let user = unique_id(&randomness, USER).unwrap();
        assert_eq!(user.len(), 21);
        assert!(user.starts_with("AIDA"));
        let key = access_key_id(&randomness, ACCESS_KEY).unwrap();
        assert_eq!(key.len(), 20);
        assert!(key.bytes().all(|byte| KEY_ID_ALPHABET.contains(&byte)));
        let secret = secret_access_key(&randomness).unwrap();
        assert_eq!(secret.len(), 40);
        assert_ne!(*secret, *secret_access_key(&randomness).unwrap());
    }

    #[test]
    fn every_character_is_equally_likely() {
        assert_eq!(256 % KEY_ID_ALPHABET.len(), 0);
        assert_eq!(256 % SECRET_ALPHABET.len(), 0);
    }

    #[test]
    fn arns_are_taken_apart() {
        let parse = IamArn::parse;
        let role = parse("arn:aws:iam::111111111111:role/a/b/reader").unwrap();
        assert_eq!((role.account, role.resource_type, role.path, role.name), ("111111111111", "role", "/a/b/", "reader"));
        let policy = parse("arn:aws:iam::aws:policy/AdministratorAccess").unwrap();
        assert_eq!((policy.account, policy.path), ("aws", "/"));
        assert_eq!(parse("arn:aws:iam::111111111111:root").unwrap().resource_type, "root");
        for wrong in [
            "",
            "arn:aws:iam::111111111111:role/",
            "arn:aws:iam::111111111111:role",
            "arn:aws:iam:eu-west-1:111111111111:role/x",
            "arn:aws:s3::111111111111:role/x",
            "arn:aws-cn:iam::111111111111:role/x",
            "arn:aws:iam::1:role/x",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(arn("111111111111", "role", "/a/b/", "reader"), "arn:aws:iam::111111111111:role/a/b/reader");
    }

    #[test]
    fn sessions_are_taken_apart() {
        let session = AssumedRoleArn::parse("arn:aws:sts::111111111111:assumed-role/reader/ana").unwrap();
        assert_eq!((session.account, session.role_name, session.session_name), ("111111111111", "reader", "ana"));
        assert!(AssumedRoleArn::parse("arn:aws:sts::111111111111:federated-user/ana").is_none());
        assert_eq!(assumed_role_arn("111111111111", "reader", "ana"), "arn:aws:sts::111111111111:assumed-role/reader/ana");
    }
}
