//! `ConsoleLogin`: password and second factor, and what follows.
//!
//! Source: CloudTrail User Guide, "AWS Management Console sign-in events", for the event.

use std::sync::Arc;

use api_iam::ChangePasswordInput;
use api_signin::{AuthorizationRequest, AuthorizeOAuth2AccessInput, ConsoleLoginInput, ConsoleLoginOutput};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use plane::audit::HIDDEN;
use plane::{ApiError, Call, Principal, PrincipalKind, SignIn, SignInAttempt, SignedIn};
use serde_json::json;
use trail::UserIdentity;
use wire::{Secret, percent_encoded};

use crate::client::Client;
use crate::error::rate_exceeded;
use crate::service::Gate;
use crate::signed_in_user::{SignedInUser, is_closed};
use crate::throttle::Throttle;

/// Longest text of a field that is looked at; longer ones are wrong.
const FIELD_BYTES_MAX: usize = 256;
const FAILED: &str = "Failed authentication";
const UNKNOWN_USER: &str = "No username found in supplied account";
const INCORRECT: &str = "Your authentication information is incorrect. Please try again.";
const TOO_MANY: &str = "Too many attempts. Please try again later.";
const EXPIRED: &str = "Your password has expired. An administrator must set a new one.";
const MUST_CHANGE: &str =
    "You must choose a new password. Enter your old password again, a new MFA code if you have a device, and the new password.";

/// How the page goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// To the program, with a code or an error.
    Redirect,
    /// The code is shown.
    Confirmation,
    /// The form again.
    Refused,
    ChangePassword,
    Throttled,
}

impl Outcome {
    pub(crate) const ALL: [Self; 5] = [Self::Redirect, Self::Confirmation, Self::Refused, Self::ChangePassword, Self::Throttled];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Redirect => "Redirect",
            Self::Confirmation => "Confirmation",
            Self::Refused => "Refused",
            Self::ChangePassword => "ChangePassword",
            Self::Throttled => "Throttled",
        }
    }
}

fn again(outcome: Outcome, message: &str) -> ConsoleLoginOutput {
    ConsoleLoginOutput { outcome: outcome.name().to_owned(), message: Some(message.to_owned()), ..ConsoleLoginOutput::default() }
}

fn field(value: Option<&str>) -> &str {
    value.map(str::trim).filter(|value| value.len() <= FIELD_BYTES_MAX).unwrap_or_default()
}

pub(crate) async fn console_login(cx: &mut Call, input: ConsoleLoginInput) -> Result<ConsoleLoginOutput, ApiError> {
    let authorization = &input.authorization;
    Client::of(&authorization.client_id, &authorization.redirect_uri, cx.request.host.as_deref())?;
    let gate = cx.plane.extension::<Gate>(api_signin::SERVICE).ok_or_else(|| ApiError::internal(&"sign-in has no gate"))?;
    // Hashing a password costs memory and time on purpose: one at a time, and not too many that wait.
    let _turn = gate.enter().await.ok_or_else(rate_exceeded)?;
    note(cx, authorization, "Failure", None);
    let (account, user_name) = (field(input.account.as_deref()), field(input.user_name.as_deref()));
    let directory = Arc::clone(cx.plane.directory());
    let known = directory.account(&mut cx.tx, account).await?;
    if let Some(known) = &known {
        // Whatever comes of it, it is told to the account.
        cx.account.clone_from(known);
    }
    let account = known.as_deref().unwrap_or(account);
    let throttle = Throttle::of(cx, account, user_name)?;
    if throttle.is_full(cx).await? {
        cx.audit.error_message = Some(FAILED.to_owned());
        cx.audit.identity = Some(nobody(known.clone()));
        return Ok(again(Outcome::Throttled, TOO_MANY));
    }
    match attempt(cx, &input, account, user_name).await? {
        Ok(signed_in) => proceed(cx, input, signed_in, &throttle).await,
        Err(message) => {
            throttle.count(cx).await?;
            Ok(again(Outcome::Refused, message))
        }
    }
}

/// Checks the attempt. A refusal is noted for the event, and the words for whoever tried are given.
async fn attempt(
    cx: &mut Call,
    input: &ConsoleLoginInput,
    account: &str,
    user_name: &str,
) -> Result<Result<SignedIn, &'static str>, ApiError> {
    let password = input.password.as_deref().map(String::as_str).filter(|password| password.len() <= FIELD_BYTES_MAX).unwrap_or_default();
    let code = Some(field(input.mfa_code.as_deref().map(String::as_str))).filter(|code| !code.is_empty());
    let (plane, region) = (Arc::clone(&cx.plane), cx.region.clone());
    let question = SignInAttempt { account, user_name, password, mfa_code: code, now_ms: cx.now.0, region: &region };
    let found = plane.directory().sign_in(&mut cx.tx, question).await?;
    if code.is_some() {
        cx.audit.additional.insert("MFAUsed".to_owned(), json!("Yes"));
    }
    let (principal, error, message) = match found {
        SignIn::Proved(signed_in) if !is_closed(cx, &signed_in.principal.account).await? => return Ok(Ok(signed_in)),
        SignIn::Proved(signed_in) => (Some(signed_in.principal), FAILED, INCORRECT),
        SignIn::Refused { principal } => (Some(principal), FAILED, INCORRECT),
        SignIn::Expired { principal } => (Some(principal), FAILED, EXPIRED),
        SignIn::UnknownUser { account } => {
            cx.account.clone_from(&account);
            cx.audit.identity = Some(nobody(Some(account)));
            (None, UNKNOWN_USER, INCORRECT)
        }
        SignIn::UnknownAccount => {
            cx.audit.identity = Some(nobody(None));
            (None, FAILED, INCORRECT)
        }
    };
    if let Some(principal) = principal {
        cx.account.clone_from(&principal.account);
        cx.audit.identity = Some(not_proved(&principal));
    }
    cx.audit.error_message = Some(error.to_owned());
    Ok(Err(message))
}

/// Who signed in goes on: with a new password if one is due, then to the program.
async fn proceed(
    cx: &mut Call,
    input: ConsoleLoginInput,
    signed_in: SignedIn,
    throttle: &Throttle,
) -> Result<ConsoleLoginOutput, ApiError> {
    let principal = Arc::clone(&signed_in.principal);
    cx.account.clone_from(&principal.account);
    let mut user = SignedInUser::now(cx, &signed_in).await?;
    if signed_in.must_change_password {
        if let Some(message) = change_password(cx, &input, &user, &principal).await? {
            cx.audit.error_message = Some(FAILED.to_owned());
            cx.audit.identity = Some(not_proved(&principal));
            return Ok(again(Outcome::ChangePassword, &message));
        }
        user = SignedInUser::now(cx, &signed_in).await?;
    }
    throttle.forgive(cx).await?;
    cx.principal = Arc::clone(&principal);
    note(cx, &input.authorization, "Success", signed_in.mfa_device.as_deref());
    let caller = Arc::new(Principal { session: Some(user.session()), ..Principal::clone(&principal) });
    let asked = input.authorization;
    let state = asked.state.clone();
    let redirect_uri = asked.redirect_uri.clone();
    let client = Client::of_id(&asked.client_id);
    let code = cx.proceed_as(caller, authorization(asked)).await;
    let answer = match code {
        Ok(output) => ("code", output.code.into_inner()),
        Err(error) if error.code.starts_with("AccessDenied") => ("error", "access_denied".to_owned()),
        Err(error) => return Err(error),
    };
    Ok(match (client, answer) {
        (Some(Client::CrossDevice), ("code", code)) => confirmation(&code, state.as_deref()),
        (Some(Client::CrossDevice), _) => again(Outcome::Refused, "You are not allowed to authorize this program."),
        (_, (name, value)) => redirect(&redirect_uri, name, &value, state.as_deref()),
    })
}

/// Changes the password in the user's name; the words for the form when it was not changed.
async fn change_password(
    cx: &mut Call,
    input: &ConsoleLoginInput,
    user: &SignedInUser,
    principal: &Principal,
) -> Result<Option<String>, ApiError> {
    let new = input.new_password.as_deref().map(String::as_str).filter(|new| !new.is_empty() && new.len() <= FIELD_BYTES_MAX);
    let (Some(old), Some(new)) = (input.password.as_deref(), new) else { return Ok(Some(MUST_CHANGE.to_owned())) };
    let caller = Arc::new(Principal { session: Some(user.session()), ..principal.clone() });
    let change = ChangePasswordInput { old_password: Secret::new(old.clone()), new_password: Secret::new(new.to_owned()) };
    match cx.proceed_as(caller, change).await {
        Ok(_) => Ok(None),
        Err(error) if error.internal => Err(error),
        Err(error) => Ok(Some(error.message)),
    }
}

fn authorization(asked: AuthorizationRequest) -> AuthorizeOAuth2AccessInput {
    AuthorizeOAuth2AccessInput {
        client_id: asked.client_id,
        code_challenge: asked.code_challenge,
        code_challenge_method: asked.code_challenge_method,
        redirect_uri: asked.redirect_uri,
        response_type: asked.response_type,
        scope: asked.scope,
        state: asked.state,
    }
}

fn redirect(uri: &str, name: &str, value: &str, state: Option<&str>) -> ConsoleLoginOutput {
    let mut location = format!("{uri}?{name}={}", percent_encoded(value));
    if let Some(state) = state {
        location.push_str(&format!("&state={}", percent_encoded(state)));
    }
    ConsoleLoginOutput {
        outcome: Outcome::Redirect.name().to_owned(),
        location: Some(Secret::new(location)),
        ..ConsoleLoginOutput::default()
    }
}

/// What is copied to a program on another device: the AWS CLI reads it in this form.
fn confirmation(code: &str, state: Option<&str>) -> ConsoleLoginOutput {
    let text = format!("state={}&code={}", percent_encoded(state.unwrap_or_default()), percent_encoded(code));
    ConsoleLoginOutput {
        outcome: Outcome::Confirmation.name().to_owned(),
        verification_code: Some(Secret::new(STANDARD.encode(text))),
        ..ConsoleLoginOutput::default()
    }
}

/// What the event says beside who it was.
fn note(cx: &mut Call, authorization: &AuthorizationRequest, outcome: &str, mfa_device: Option<&str>) {
    cx.audit.identity = None;
    cx.audit.error_message = None;
    cx.audit.response_elements = Some(json!({ "ConsoleLogin": outcome }));
    let mut insert = |name: &str, value: &str| cx.audit.additional.insert(name.to_owned(), json!(value));
    insert("LoginTo", &authorization.redirect_uri);
    insert("MobileVersion", "No");
    insert("MFAUsed", if mfa_device.is_some() { "Yes" } else { "No" });
    if let Some(serial) = mfa_device {
        insert("MFAIdentifier", serial);
    }
}

/// A user of the account who did not prove to be it.
fn not_proved(principal: &Principal) -> UserIdentity {
    let name = match &principal.kind {
        PrincipalKind::User { name, .. } => Some(name.clone()),
        _ => None,
    };
    UserIdentity {
        identity_type: "IAMUser".to_owned(),
        principal_id: Some(principal.principal_id.clone()),
        account_id: Some(principal.account.clone()),
        access_key_id: Some(String::new()),
        user_name: name,
        ..UserIdentity::default()
    }
}

/// A name that nobody has: it may be a password that was typed in the wrong field.
fn nobody(account: Option<String>) -> UserIdentity {
    UserIdentity {
        identity_type: "IAMUser".to_owned(),
        account_id: account,
        access_key_id: Some(String::new()),
        user_name: Some(HIDDEN.to_owned()),
        ..UserIdentity::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_of_the_page_is_added_to_the_place() {
        let output = redirect("http://127.0.0.1:1/callback", "code", "a&b", Some("x y\r\n"));
        assert_eq!(output.location.unwrap().as_str(), "http://127.0.0.1:1/callback?code=a%26b&state=x%20y%0D%0A");
    }

    #[test]
    fn a_code_to_copy_bears_its_state() {
        let code = confirmation("12-abc", Some("s")).verification_code.unwrap();
        assert_eq!(STANDARD.decode(code.as_bytes()).unwrap(), b"state=s&code=12-abc");
    }
}
