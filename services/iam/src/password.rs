//! Passwords: what the account demands of them, and how they are kept.
//!
//! A password is kept as an Argon2id hash. It is checked when its owner signs in (`sign_in`) or changes it.
//!
//! Source: IAM User Guide, "Set an account password policy for IAM users".

use api_iam::{
    DeleteAccountPasswordPolicyInput, DeleteAccountPasswordPolicyOutput, GetAccountPasswordPolicyInput, GetAccountPasswordPolicyOutput,
    PasswordPolicy, UpdateAccountPasswordPolicyInput, UpdateAccountPasswordPolicyOutput,
};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyring::Randomness;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::error::IamError;

const MINIMUM_LENGTH: i32 = 6;
/// Without a policy of the account.
const DEFAULT_LENGTH: usize = 8;
/// Kinds of characters that the default asks for, of the four.
const DEFAULT_KINDS: usize = 3;
/// What counts as a symbol.
const SYMBOLS: &str = "!@#$%^&*()_+-=[]{}|'";
const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;
/// OWASP's least cost for Argon2id: 19 MiB, two passes.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// The password policy of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PasswordPolicyRecord {
    pub minimum_length: i32,
    pub symbols: bool,
    pub numbers: bool,
    pub uppercase: bool,
    pub lowercase: bool,
    /// Every user may change its own password, without a policy that says so.
    pub change_allowed: bool,
    pub max_age_days: Option<i32>,
    pub reuse_prevention: Option<i32>,
    pub hard_expiry: bool,
}

impl Record for PasswordPolicyRecord {
    const TABLE: Table = Table("iam.password-policy");
    const SCOPE: Scope = Scope::Home;
}

fn key(account: &str) -> Key {
    Key::new(account, "").last("policy")
}

/// The account's policy, if it has one.
pub(crate) async fn policy(tx: &mut Transaction, account: &str) -> Result<Option<PasswordPolicyRecord>, ApiError> {
    tx.get(&key(account)).await
}

fn no_policy(account: &str) -> ApiError {
    IamError::NoSuchEntity(format!("The Password Policy with domain name {account} cannot be found.")).into()
}

pub(crate) async fn get_account_password_policy(
    cx: &mut Call,
    _input: GetAccountPasswordPolicyInput,
) -> Result<GetAccountPasswordPolicyOutput, ApiError> {
    let account = cx.account.clone();
    let record = policy(&mut cx.tx, &account).await?.ok_or_else(|| no_policy(&account))?;
    Ok(GetAccountPasswordPolicyOutput {
        password_policy: PasswordPolicy {
            minimum_password_length: Some(record.minimum_length),
            require_symbols: Some(record.symbols),
            require_numbers: Some(record.numbers),
            require_uppercase_characters: Some(record.uppercase),
            require_lowercase_characters: Some(record.lowercase),
            allow_users_to_change_password: Some(record.change_allowed),
            expire_passwords: Some(record.max_age_days.is_some()),
            max_password_age: record.max_age_days,
            password_reuse_prevention: record.reuse_prevention,
            hard_expiry: Some(record.hard_expiry),
        },
    })
}

/// What is not given goes back to its default: the call sets the whole policy.
pub(crate) async fn update_account_password_policy(
    cx: &mut Call,
    input: UpdateAccountPasswordPolicyInput,
) -> Result<UpdateAccountPasswordPolicyOutput, ApiError> {
    let record = PasswordPolicyRecord {
        minimum_length: input.minimum_password_length.unwrap_or(MINIMUM_LENGTH),
        symbols: input.require_symbols.unwrap_or_default(),
        numbers: input.require_numbers.unwrap_or_default(),
        uppercase: input.require_uppercase_characters.unwrap_or_default(),
        lowercase: input.require_lowercase_characters.unwrap_or_default(),
        change_allowed: input.allow_users_to_change_password.unwrap_or_default(),
        max_age_days: input.max_password_age,
        reuse_prevention: input.password_reuse_prevention,
        hard_expiry: input.hard_expiry.unwrap_or_default(),
    };
    cx.tx.put(&key(&cx.account), &record)?;
    Ok(UpdateAccountPasswordPolicyOutput {})
}

pub(crate) async fn delete_account_password_policy(
    cx: &mut Call,
    _input: DeleteAccountPasswordPolicyInput,
) -> Result<DeleteAccountPasswordPolicyOutput, ApiError> {
    let account = cx.account.clone();
    policy(&mut cx.tx, &account).await?.ok_or_else(|| no_policy(&account))?;
    cx.tx.delete::<PasswordPolicyRecord>(&key(&account));
    Ok(DeleteAccountPasswordPolicyOutput {})
}

fn violation(text: &str) -> IamError {
    IamError::PasswordPolicyViolation(text.to_owned())
}

/// Whether a password is as the account's policy, or the default one, wants it.
pub(crate) fn check(policy: Option<&PasswordPolicyRecord>, user_name: &str, password: &str) -> Result<(), IamError> {
    let lower = password.chars().any(|character| character.is_ascii_lowercase());
    let upper = password.chars().any(|character| character.is_ascii_uppercase());
    let number = password.chars().any(|character| character.is_ascii_digit());
    let symbol = password.chars().any(|character| SYMBOLS.contains(character));
    let length = password.chars().count();
    let Some(policy) = policy else {
        if length < DEFAULT_LENGTH {
            return Err(violation(&format!("Password should have a minimum length of {DEFAULT_LENGTH}")));
        }
        if [lower, upper, number, symbol].iter().filter(|kind| **kind).count() < DEFAULT_KINDS {
            let text = "Password should have at least three of the following character types: uppercase letters, lowercase letters, \
                        numbers, symbols";
            return Err(violation(text));
        }
        if password.eq_ignore_ascii_case(user_name) {
            return Err(violation("Password should not be the same as the user name"));
        }
        return Ok(());
    };
    if length < usize::try_from(policy.minimum_length).unwrap_or_default() {
        return Err(violation(&format!("Password should have a minimum length of {}", policy.minimum_length)));
    }
    for (required, present, what) in [
        (policy.symbols, symbol, "symbol"),
        (policy.numbers, number, "number"),
        (policy.uppercase, upper, "uppercase letter"),
        (policy.lowercase, lower, "lowercase letter"),
    ] {
        if required && !present {
            return Err(violation(&format!("Password should have at least one {what}")));
        }
    }
    Ok(())
}

/// When a password that was set at `changed_ms` ends.
pub(crate) fn expires_ms(policy: Option<&PasswordPolicyRecord>, changed_ms: i64) -> Option<i64> {
    let days = policy?.max_age_days?;
    Some(changed_ms.saturating_add(i64::from(days).saturating_mul(MILLISECONDS_PER_DAY)))
}

fn derive(password: &str, salt: &[u8]) -> Result<String, ApiError> {
    let failed = |error: argon2::Error| ApiError::internal(&format!("a password was not hashed: {error}"));
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(HASH_BYTES)).map_err(failed)?;
    let mut hash = [0_u8; HASH_BYTES];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password.as_bytes(), salt, &mut hash).map_err(failed)?;
    Ok(format!("{}${}", STANDARD.encode(salt), STANDARD.encode(hash)))
}

/// The kept form of a password: salt and hash.
pub(crate) fn hash(randomness: &dyn Randomness, password: &str) -> Result<String, ApiError> {
    let mut salt = [0_u8; SALT_BYTES];
    randomness.fill(&mut salt).map_err(|error| ApiError::internal(&error))?;
    derive(password, &salt)
}

/// Whether a kept form is of this password.
pub(crate) fn verify(kept: &str, password: &str) -> Result<bool, ApiError> {
    let salt = kept.split_once('$').and_then(|(salt, _)| STANDARD.decode(salt).ok());
    let salt = salt.ok_or_else(|| ApiError::internal(&"a kept password cannot be read"))?;
    Ok(derive(password, &salt)? == kept)
}

#[cfg(test)]
mod tests {
    use keyring::SystemRandomness;

    use super::*;

    fn strict() -> PasswordPolicyRecord {
        PasswordPolicyRecord {
            minimum_length: 10,
            symbols: true,
            numbers: true,
            uppercase: true,
            lowercase: true,
            change_allowed: false,
            max_age_days: Some(1),
            reuse_prevention: None,
            hard_expiry: false,
        }
    }

    #[test]
    fn each_demand_is_told() {
        let policy = strict();
        let text = |password: &str| check(Some(&policy), "ana", password).map_err(|error| error.to_string());
        assert_eq!(text("Abcdefgh1!"), Ok(()));
        for (password, end) in [
            ("Abc1!", "length of 10"),
            ("Abcdefghi1", "one symbol"),
            ("Abcdefghi!", "one number"),
            ("abcdefghi1!", "uppercase letter"),
            ("ABCDEFGHI1!", "lowercase letter"),
        ] {
            assert!(text(password).unwrap_err().ends_with(end), "{password}");
        }
        assert_eq!(expires_ms(Some(&policy), 0), Some(MILLISECONDS_PER_DAY));
    }

    #[test]
    fn the_default_wants_three_kinds() {
        check(None, "ana", "abcdefG1").unwrap();
        check(None, "ana", "abcdefg1").unwrap_err();
        check(None, "ana", "aB1!").unwrap_err();
        check(None, "Ana-1234", "ana-1234").unwrap_err();
    }

    #[test]
    fn only_the_password_opens_its_hash() {
        let kept = hash(&SystemRandomness, "a password").unwrap();
        assert!(verify(&kept, "a password").unwrap());
        assert!(!verify(&kept, "another").unwrap());
        assert_ne!(kept, hash(&SystemRandomness, "a password").unwrap());
    }
}
