//! Sign-in with a password: what the plane's directory says of an attempt.
//!
//! Source: IAM User Guide, "How IAM users sign in to AWS" and "Set an account password policy for IAM users".

use std::sync::Arc;

use plane::{ApiError, Principal, PrincipalKind, SignIn, SignInAttempt, SignedIn, Transaction};

use crate::account;
use crate::entity::{self, UserRecord};
use crate::key_use::{self, LastUse};
use crate::login_profile::{self, LoginProfileRecord};
use crate::mfa_device::{self, MfaProof};
use crate::{directory, password};

/// Prefix of the action that a sign-in is told under.
const SERVICE: &str = "signin";
/// What is hashed against where there is no password: no password has a hash of zeros.
const NO_PASSWORD: &str = "AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

/// Checks an attempt. Root users have no password here, so nobody signs in as one.
pub(crate) async fn sign_in(tx: &mut Transaction, attempt: SignInAttempt<'_>) -> Result<SignIn, ApiError> {
    let account = account::find(tx, attempt.account).await?.map(|account| account.id);
    let found = match &account {
        Some(account) => entity::find::<UserRecord>(tx, account, attempt.user_name).await?,
        None => None,
    };
    let profile = match (&account, &found) {
        (Some(account), Some(user)) => login_profile::find(tx, account, &user.head.id).await?,
        _ => None,
    };
    // Always one hash: the time must not tell who exists.
    let is_right = password::verify(profile.as_ref().map_or(NO_PASSWORD, |profile| &profile.hash), attempt.password)?;
    let Some(account) = account else { return Ok(SignIn::UnknownAccount) };
    let Some(user) = found else { return Ok(SignIn::UnknownUser { account }) };
    let Some(principal) = directory::user(tx, &account, &user.head.id).await?.map(Arc::new) else {
        return Ok(SignIn::UnknownUser { account });
    };
    let Some(profile) = profile.filter(|_| is_right) else { return Ok(SignIn::Refused { principal }) };
    let Ok(mfa_device) = second_factor(tx, &account, &user.head.id, attempt).await? else { return Ok(SignIn::Refused { principal }) };
    let state = PasswordState::of(tx, &account, &profile, attempt.now_ms).await?;
    if state == PasswordState::Ended {
        return Ok(SignIn::Expired { principal });
    }
    let used = LastUse { at_ms: attempt.now_ms, service: SERVICE.to_owned(), region: attempt.region.to_owned() };
    key_use::write(tx, &user.head.id, &used)?;
    Ok(SignIn::Proved(SignedIn { principal, mfa_device, must_change_password: state == PasswordState::MustChange }))
}

/// The factor is missing, wrong or used.
struct NotProved;

/// The device whose code was given; `None`: the user has no device, so none is asked for.
async fn second_factor(
    tx: &mut Transaction,
    account: &str,
    user_id: &str,
    attempt: SignInAttempt<'_>,
) -> Result<Result<Option<String>, NotProved>, ApiError> {
    let devices = mfa_device::of_owner(tx, account, user_id).await?;
    if devices.is_empty() {
        return Ok(Ok(None));
    }
    let Some(code) = attempt.mfa_code else { return Ok(Err(NotProved)) };
    for device in devices {
        if mfa_device::prove(tx, account, user_id, &device.serial, code, attempt.now_ms).await? == MfaProof::Proved {
            return Ok(Ok(Some(device.serial)));
        }
    }
    Ok(Err(NotProved))
}

/// What the account's password policy says of a password that is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PasswordState {
    Good,
    /// It has ended, or was set for the user to change it.
    MustChange,
    /// It has ended, and the policy lets nobody but an administrator set another (`HardExpiry`).
    Ended,
}

impl PasswordState {
    async fn of(tx: &mut Transaction, account: &str, profile: &LoginProfileRecord, now_ms: i64) -> Result<Self, ApiError> {
        let policy = password::policy(tx, account).await?;
        let ended = password::expires_ms(policy.as_ref(), profile.changed_ms).is_some_and(|expires_ms| expires_ms <= now_ms);
        Ok(match (ended, policy.is_some_and(|policy| policy.hard_expiry)) {
            (true, true) => Self::Ended,
            (true, false) => Self::MustChange,
            (false, _) if profile.reset_required => Self::MustChange,
            (false, _) => Self::Good,
        })
    }
}

/// When the password of a user was set last; `None`: the user is gone or has none.
pub(crate) async fn password_set_ms(tx: &mut Transaction, principal: &Principal) -> Result<Option<i64>, ApiError> {
    let PrincipalKind::User { id, .. } = &principal.kind else { return Ok(None) };
    if directory::user(tx, &principal.account, id).await?.is_none() {
        return Ok(None);
    }
    login_profile::password_set_ms(tx, &principal.account, id).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_opens_what_has_none() {
        for given in ["", "a password", NO_PASSWORD] {
            assert!(!password::verify(NO_PASSWORD, given).unwrap());
        }
    }
}
