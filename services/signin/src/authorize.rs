//! `AuthorizeOAuth2Access`: who has signed in gets a code for the program that asked.

use api_signin::{AuthorizeOAuth2AccessInput, AuthorizeOAuth2AccessOutput};
use plane::{ApiError, Call, Target};
use policy::MapContext;
use wire::{Secret, Value};

use crate::authorization_code::{self, AuthorizationCodeRecord, LIFETIME_MS};
use crate::client::Client;
use crate::error::invalid_request;
use crate::signed_in_user::SignedInUser;

fn text<'a>(input: &'a Value, member: &str) -> &'a str {
    input.member(member).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn targets(call: &Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let client = Client::of_id(text(input, "clientId")).ok_or_else(|| invalid_request("The client is not known."))?;
    Ok(vec![Target { action: "signin:AuthorizeOAuth2Access".to_owned(), resource_arn: call.arn(client.resource()) }])
}

pub(crate) fn condition_keys(input: &Value, keys: &mut MapContext) {
    keys.set("signin:OAuthClientId", text(input, "clientId"));
    keys.set("signin:OAuthRedirectUri", text(input, "redirectUri"));
}

pub(crate) async fn authorize_oauth2_access(
    cx: &mut Call,
    input: AuthorizeOAuth2AccessInput,
) -> Result<AuthorizeOAuth2AccessOutput, ApiError> {
    let user = SignedInUser::of_caller(cx).await?;
    Client::of(&input.client_id, &input.redirect_uri, cx.request.host.as_deref())?;
    let record = AuthorizationCodeRecord {
        user,
        client_id: input.client_id,
        redirect_uri: input.redirect_uri,
        code_challenge: input.code_challenge,
        expires_ms: cx.now.0.saturating_add(LIFETIME_MS),
    };
    let code = authorization_code::create(cx, &record).await?;
    Ok(AuthorizeOAuth2AccessOutput { code: Secret::new(code) })
}
