//! From what a caller names to the key record.

use std::sync::Arc;

use plane::{ApiError, Call, Target};

use crate::alias::Alias;
use crate::ciphertext::Blob;
use crate::deletion;
use crate::error::KmsError;
use crate::key::{KeyLocation, KmsKey, location};
use crate::key_name::{KeyName, alias_arn, id_text, key_arn};
use crate::key_state;
use crate::managed_key;

/// Operations that take an alias in place of a key. The others take a key id or key ARN only.
const BY_ALIAS: [&str; 9] = [
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "ListAliases",
    "ReEncrypt",
    "VerifyMac",
];

/// Operations that work on keys of other accounts.
const ACROSS_ACCOUNTS: [&str; 13] = [
    "CreateGrant",
    "Decrypt",
    "DescribeKey",
    "Encrypt",
    "GenerateDataKey",
    "GenerateDataKeyWithoutPlaintext",
    "GenerateMac",
    "GetKeyRotationStatus",
    "ListGrants",
    "ReEncrypt",
    "RetireGrant",
    "RevokeGrant",
    "VerifyMac",
];

/// A key's place, before it is known whether the key exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyPlace {
    pub account: String,
    pub id: String,
}

impl KeyPlace {
    pub(crate) fn arn(&self, region: &str) -> String {
        key_arn(region, &self.account, &self.id)
    }
}

/// Finds the place of a key. A key of another account must exist there: whoever may not use it learns nothing else by asking.
pub(crate) async fn place(cx: &mut Call, key_id: &str, action: &str) -> Result<KeyPlace, ApiError> {
    let region = cx.region.clone();
    let place = match KeyName::parse(key_id, &region)? {
        KeyName::Key { account, id } => KeyPlace { account: account.unwrap_or_else(|| cx.account.clone()), id },
        KeyName::Alias { account, name } => {
            if !BY_ALIAS.contains(&cx.operation.name) {
                return Err(KmsError::KeyIdInvalid(key_id.to_owned()).into());
            }
            let account = account.unwrap_or_else(|| cx.account.clone());
            let found = cx.tx.look_at::<Alias>(&Alias::place(&account, &region, &name)).await?;
            let id = match found {
                Some(alias) => alias.key_id.clone(),
                None if account == cx.account => match managed_key::create_for(cx, &name).await? {
                    Some(key) => key.id,
                    None => return Err(KmsError::AliasMissing(alias_arn(&region, &account, &name)).into()),
                },
                None => return Err(not_accessible(cx, action, &alias_arn(&region, &account, &name)).into()),
            };
            KeyPlace { account, id }
        }
    };
    if place.account != cx.account {
        let exists = find(cx, &place).await?.is_some();
        if !exists || !ACROSS_ACCOUNTS.contains(&cx.operation.name) {
            return Err(not_accessible(cx, action, &place.arn(&region)).into());
        }
    }
    Ok(place)
}

/// The place of the key that a ciphertext names.
pub(crate) async fn place_in_ciphertext(cx: &mut Call, ciphertext: &[u8], action: &str) -> Result<KeyPlace, ApiError> {
    let id = id_text(Blob::parse(ciphertext).ok_or(KmsError::Ciphertext)?.key_id);
    cx.remember(BY_CIPHERTEXT, action.to_owned());
    let region = cx.region.clone();
    if let Some(location) = cx.tx.get::<KeyLocation>(&location(&region, &id)).await? {
        let place = KeyPlace { account: location.account, id };
        if find(cx, &place).await?.is_some() {
            return Ok(place);
        }
    }
    Err(ciphertext_not_accessible(cx, action).into())
}

/// The record of a key, unless its time is over.
pub(crate) async fn find(cx: &mut Call, place: &KeyPlace) -> Result<Option<Arc<KmsKey>>, ApiError> {
    let region = cx.region.clone();
    let Some(key) = cx.tx.look_at::<KmsKey>(&KmsKey::place(&place.account, &region, &place.id)).await? else { return Ok(None) };
    if deletion::is_due(&key, cx.now.0) {
        deletion::delete_now(cx, &key).await?;
        return Ok(None);
    }
    Ok(Some(key))
}

/// The key that a call names.
pub(crate) async fn key(cx: &mut Call, key_id: &str) -> Result<Arc<KmsKey>, ApiError> {
    let action = format!("kms:{}", cx.operation.name);
    let place = place(cx, key_id, &action).await?;
    let arn = place.arn(&cx.region);
    find(cx, &place).await?.ok_or_else(|| KmsError::KeyMissing(arn).into())
}

/// The key that a call names, in a state in which the operation works.
pub(crate) async fn key_to_change(cx: &mut Call, key_id: &str) -> Result<KmsKey, ApiError> {
    let key = key(cx, key_id).await?;
    key_state::check(cx.operation.name, key.state, &key.arn(&cx.region))?;
    Ok(Arc::unwrap_or_clone(key))
}

/// Under this name a call remembers the action whose key only the ciphertext named.
const BY_CIPHERTEXT: &str = "kms-key-named-by-ciphertext";

const WHY: &str = "because the resource does not exist in this Region, no resource-based policies allow access, or a resource-based policy explicitly denies access";

/// The one answer about keys of other accounts that are missing or closed: who asks cannot tell which.
fn not_accessible(cx: &Call, action: &str, arn: &str) -> KmsError {
    KmsError::AccessDenied(format!("User: {} is not authorized to perform: {action} on resource: {arn} {WHY}", cx.principal.arn))
}

/// The one answer about ciphertexts whose key is missing or closed.
fn ciphertext_not_accessible(cx: &Call, action: &str) -> KmsError {
    KmsError::AccessDenied(format!(
        "User: {} is not authorized to perform: {action} on the resource associated with this ciphertext {WHY}",
        cx.principal.arn
    ))
}

/// What a caller is told whom the key of another account refuses: the same as if there were no such key.
pub(crate) fn denied_across_accounts(cx: &Call, target: &Target) -> String {
    let by_ciphertext = cx.recall::<String>(BY_CIPHERTEXT).is_some_and(|action| action == target.action);
    let error = if by_ciphertext {
        ciphertext_not_accessible(cx, &target.action)
    } else {
        not_accessible(cx, &target.action, &target.resource_arn)
    };
    error.to_string()
}
