//! `CreateOAuth2Token`: credentials for a code, and again for a refresh token.
//!
//! The caller bears no signature. Code or token and the proof that comes with it are verified before the decision, and who signed in becomes the
//! caller.
//!
//! Source: AWS Sign-In API Reference, "CreateOAuth2Token"; RFC 7636, section 4.6.

use std::sync::Arc;

use api_signin::{AccessToken, CreateOAuth2TokenInput, CreateOAuth2TokenOutput, CreateOAuth2TokenResponseBody};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use federation::dpop::Dpop;
use keyring::Domain;
use plane::principal::Session;
use plane::session::{KEY_ID_ALPHABET, SECRET_ALPHABET};
use plane::{ApiError, Call, Principal, Target};
use policy::MapContext;
use serde_json::json;
use wire::{Secret, Value};
use zeroize::Zeroizing;

use crate::client::Client;
use crate::error::{code_expired, invalid_request};
use crate::signed_in_user::SignedInUser;
use crate::{authorization_code, proof, refresh_token};

/// Fifteen minutes: how long credentials last.
const CREDENTIALS_S: i64 = 900;
/// Prefix of the access key ids of temporary credentials.
const ACCESS_KEY_PREFIX: &str = "ASIA";
const ACCESS_KEY_CHARACTERS: usize = 16;
const SECRET_CHARACTERS: usize = 40;
/// Name under which what was verified waits for the handler.
const GRANT: &str = "signin.grant";

/// What a code or a refresh token gives a right to.
#[derive(Clone, Debug)]
struct Grant {
    user: SignedInUser,
    principal: Principal,
    proof: Dpop,
}

fn text<'a>(body: &'a Value, member: &str) -> Option<&'a str> {
    body.member(member).and_then(Value::as_str)
}

fn required<'a>(body: &'a Value, member: &str) -> Result<&'a str, ApiError> {
    text(body, member).ok_or_else(|| invalid_request(&format!("{member} is required for this grant type.")))
}

/// Verifies what the caller bears, makes who signed in the caller, and says what must be allowed.
pub(crate) async fn targets(call: &mut Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let body = input.member("tokenInput").ok_or_else(|| invalid_request("tokenInput is required."))?;
    let client_id = text(body, "clientId").unwrap_or_default();
    let client = Client::of_id(client_id).ok_or_else(|| invalid_request("The client is not known."))?;
    let proof = proof::verify(call)?;
    let user = match text(body, "grantType") {
        Some("authorization_code") => of_code(call, body, client_id).await?,
        Some("refresh_token") => {
            let token = required(body, "refreshToken")?;
            let user = refresh_token::open(&call.plane.keyring, &proof.thumbprint, client_id, token);
            user.ok_or_else(|| invalid_request("The refresh token is not valid."))?
        }
        _ => return Err(invalid_request("The grant type is not supported.")),
    };
    // From here on the call is told to the account of who signed in, whatever comes of it.
    call.account.clone_from(&user.account);
    let principal = user.principal(call).await?;
    call.principal = Arc::new(principal.clone());
    call.remember(GRANT, Grant { user, principal, proof });
    Ok(vec![Target { action: "signin:CreateOAuth2Token".to_owned(), resource_arn: call.arn(client.resource()) }])
}

async fn of_code(call: &mut Call, body: &Value, client_id: &str) -> Result<SignedInUser, ApiError> {
    let (code, redirect_uri, verifier) = (required(body, "code")?, required(body, "redirectUri")?, required(body, "codeVerifier")?);
    let record = authorization_code::find(&mut call.tx, code).await?.ok_or_else(code_expired)?;
    call.account.clone_from(&record.user.account);
    if record.expires_ms <= call.now.0 {
        return Err(code_expired());
    }
    if record.client_id != client_id || record.redirect_uri != redirect_uri {
        return Err(invalid_request("The code was given to another client."));
    }
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref());
    if constant_time::verify_slices_are_equal(challenge.as_bytes(), record.code_challenge.as_bytes()).is_err() {
        return Err(invalid_request("The code verifier does not match the code challenge."));
    }
    Ok(record.user)
}

pub(crate) fn condition_keys(input: &Value, keys: &mut MapContext) {
    let Some(body) = input.member("tokenInput") else { return };
    for (key, member) in
        [("signin:OAuthClientId", "clientId"), ("signin:OAuthGrantType", "grantType"), ("signin:OAuthRedirectUri", "redirectUri")]
    {
        if let Some(value) = text(body, member) {
            keys.set(key, value);
        }
    }
}

pub(crate) async fn create_oauth2_token(cx: &mut Call, input: CreateOAuth2TokenInput) -> Result<CreateOAuth2TokenOutput, ApiError> {
    let Grant { user, principal, proof } =
        cx.recall::<Grant>(GRANT).ok_or_else(|| ApiError::internal(&"a call without a verified grant was allowed"))?;
    proof::use_up(cx, &proof).await?;
    let request = input.token_input;
    let id_token = match &request.code {
        Some(code) if request.grant_type == "authorization_code" => {
            authorization_code::use_up(&mut cx.tx, code);
            Some(Secret::new(id_token(cx, &request.client_id, &user)?))
        }
        _ => None,
    };
    let (access_token, expires_in) = credentials(cx, &user, principal)?;
    let refresh_token = refresh_token::seal(&cx.plane.keyring, &proof.thumbprint, &request.client_id, &user)?;
    Ok(CreateOAuth2TokenOutput {
        token_output: CreateOAuth2TokenResponseBody {
            access_token: Secret::new(access_token),
            token_type: "aws_sigv4".to_owned(),
            expires_in,
            refresh_token: Secret::new(refresh_token),
            id_token,
        },
    })
}

/// Credentials that end in fifteen minutes, or with the session.
fn credentials(cx: &Call, user: &SignedInUser, mut principal: Principal) -> Result<(AccessToken, i32), ApiError> {
    let now_ms = cx.now.0;
    let lasts_s = user.ends_ms().saturating_sub(now_ms).div_euclid(1000).clamp(1, CREDENTIALS_S);
    let access_key_id = format!("{ACCESS_KEY_PREFIX}{}", cx.random_id(KEY_ID_ALPHABET, ACCESS_KEY_CHARACTERS)?);
    let secret = Zeroizing::new(cx.random_id(SECRET_ALPHABET, SECRET_CHARACTERS)?);
    principal.access_key_id = Some(access_key_id.clone());
    principal.session = Some(Session {
        issued_ms: now_ms,
        expires_ms: now_ms.saturating_add(lasts_s.saturating_mul(1000)),
        mfa_authenticated_ms: user.mfa_ms,
        issuer_operation: cx.operation.name.to_owned(),
        ..Session::default()
    });
    let issued = plane::session::issue(&cx.plane.keyring, access_key_id, secret, &principal)?;
    let token = AccessToken {
        access_key_id: issued.access_key_id,
        secret_access_key: issued.secret_access_key.to_string(),
        session_token: issued.session_token,
    };
    Ok((token, i32::try_from(lasts_s).unwrap_or_default()))
}

/// A token that says who signed in, for the program to read. It gets it from us, over the connection that it trusts, and nobody else is shown it;
/// so its signature is one that only we can check.
fn id_token(cx: &Call, client_id: &str, user: &SignedInUser) -> Result<String, ApiError> {
    let now_s = cx.now.0.div_euclid(1000);
    let header = json!({ "alg": "HS256", "typ": "JWT" });
    let claims = json!({
        "iss": format!("https://signin.{}.amazonaws.com", cx.region),
        "sub": user.arn,
        "aud": client_id,
        "iat": now_s,
        "exp": now_s.saturating_add(CREDENTIALS_S),
        "auth_time": user.signed_in_ms.div_euclid(1000),
    });
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let key = cx.plane.keyring.fixed_key(&Domain::new("signin-id-token", "", "")).map_err(|error| ApiError::internal(&error))?;
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()), signed.as_bytes());
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref())))
}
