//! Who signed in, and when: what a code and a refresh token stand for.

use std::sync::Arc;

use plane::principal::Session;
use plane::{ApiError, Call, Principal, SignedIn};
use serde::{Deserialize, Serialize};

use crate::error::{credentials_changed, insufficient_permissions, token_expired};

/// Twelve hours: how long a sign-in lasts.
///
/// Source: AWS CLI User Guide, "Login for AWS local development using console credentials".
pub(crate) const SESSION_MS: i64 = 12 * 3600 * 1000;
/// The operation that a session of this kind begins with.
const ISSUER: &str = "ConsoleLogin";

/// A user who signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SignedInUser {
    pub account: String,
    pub arn: String,
    /// The user's unique id: another user of the same name is another user.
    pub id: String,
    pub signed_in_ms: i64,
    /// When a second factor was proved.
    pub mfa_ms: Option<i64>,
    /// When the password was set that was used.
    pub password_set_ms: i64,
}

impl SignedInUser {
    /// The user who proved to be it with this call.
    pub(crate) async fn now(cx: &mut Call, signed_in: &SignedIn) -> Result<Self, ApiError> {
        let principal = &signed_in.principal;
        let directory = Arc::clone(cx.plane.directory());
        let set_ms = directory.password_set_ms(&mut cx.tx, principal).await?;
        Ok(Self {
            account: principal.account.clone(),
            arn: principal.arn.clone(),
            id: principal.principal_id.clone(),
            signed_in_ms: cx.now.0,
            mfa_ms: signed_in.mfa_device.as_ref().map(|_| cx.now.0),
            password_set_ms: set_ms.ok_or_else(credentials_changed)?,
        })
    }

    /// The user behind the caller of an operation that only who signed in may call. Credentials of no kind bear such a session.
    pub(crate) async fn of_caller(cx: &mut Call) -> Result<Self, ApiError> {
        let principal = Arc::clone(&cx.principal);
        let session = principal.session.as_ref().filter(|session| session.issuer_operation == ISSUER && principal.access_key_id.is_none());
        let Some(session) = session else {
            return Err(insufficient_permissions("Only who has signed in with a password can authorize access."));
        };
        let directory = Arc::clone(cx.plane.directory());
        let set_ms = directory.password_set_ms(&mut cx.tx, &principal).await?;
        Ok(Self {
            account: principal.account.clone(),
            arn: principal.arn.clone(),
            id: principal.principal_id.clone(),
            signed_in_ms: session.issued_ms,
            mfa_ms: session.mfa_authenticated_ms,
            password_set_ms: set_ms.ok_or_else(credentials_changed)?,
        })
    }

    pub(crate) fn ends_ms(&self) -> i64 {
        self.signed_in_ms.saturating_add(SESSION_MS)
    }

    /// The user as the caller of what follows the sign-in.
    pub(crate) fn session(&self) -> Session {
        Session {
            issued_ms: self.signed_in_ms,
            expires_ms: self.ends_ms(),
            mfa_authenticated_ms: self.mfa_ms,
            issuer_operation: ISSUER.to_owned(),
            ..Session::default()
        }
    }

    /// The user as it is now.
    ///
    /// # Errors
    /// `AccessDeniedException` when the session is over, the user is gone or has another password, or its account is closed.
    pub(crate) async fn principal(&self, call: &mut Call) -> Result<Principal, ApiError> {
        if self.ends_ms() <= call.now.0 {
            return Err(token_expired());
        }
        let directory = Arc::clone(call.plane.directory());
        let found = directory.principal(&mut call.tx, &self.arn).await?.filter(|principal| principal.principal_id == self.id);
        let principal = found.ok_or_else(credentials_changed)?;
        if directory.password_set_ms(&mut call.tx, &principal).await? != Some(self.password_set_ms) {
            return Err(credentials_changed());
        }
        if is_closed(call, &self.account).await? {
            return Err(insufficient_permissions("The account is suspended."));
        }
        Ok(Principal { session: Some(self.session()), ..principal })
    }
}

/// Whether the account's principals can do nothing any more.
pub(crate) async fn is_closed(call: &Call, account: &str) -> Result<bool, ApiError> {
    Ok(call.plane.organization(account).await?.is_some_and(|view| view.suspended.contains(account)))
}
