//! Tokens that leave: `GetWebIdentityToken`, which says to other services who the caller is here, and `GetDelegatedAccessToken`, for which there
//! are no delegation requests whose tokens could be traded in.
//!
//! Source: STS API Reference, "GetWebIdentityToken"; IAM User Guide, "Understanding token claims" and "Controlling access with IAM policies". The
//! largest payload is not documented; ours keeps a token within what servers take as a header.

use std::sync::Arc;

use api_sts::{GetDelegatedAccessTokenInput, GetDelegatedAccessTokenOutput, GetWebIdentityTokenInput, GetWebIdentityTokenOutput};
use iam::outbound_federation;
use iam::token_key::TokenAlgorithm;
use plane::clock::iso8601_s;
use plane::{ApiError, Call, PrincipalKind, Target};
use policy::MapContext;
use serde_json::{Map, Value as Json, json};
use wire::{Secret, Timestamp, Value};

use crate::error::StsError;
use crate::session;

/// Seconds that a token is good for, unless asked for otherwise.
const DURATION_S: i32 = 300;
/// Claims that are not of the standard are below this one.
const NAMESPACE: &str = "https://sts.amazonaws.com/";
/// Bytes of the claims.
const PAYLOAD_BYTES: usize = 6_144;

/// What must be allowed: the token, and the tags in it.
pub(crate) fn targets(input: &Value) -> Vec<Target> {
    let mut actions = vec!["sts:GetWebIdentityToken"];
    if matches!(input.member("Tags"), Some(Value::List(tags)) if !tags.is_empty()) {
        actions.push("sts:TagGetWebIdentityToken");
    }
    actions.into_iter().map(|action| Target { action: action.to_owned(), resource_arn: "*".to_owned() }).collect()
}

pub(crate) fn condition_keys(input: &Value, keys: &mut MapContext) {
    if let Some(Value::List(audiences)) = input.member("Audience") {
        keys.set_many("sts:IdentityTokenAudience", audiences.iter().filter_map(Value::as_str));
    }
    if let Some(algorithm) = input.member("SigningAlgorithm").and_then(Value::as_str) {
        keys.set("sts:SigningAlgorithm", algorithm);
    }
    let duration_s = match input.member("DurationSeconds") {
        Some(Value::Int(duration_s)) => *duration_s,
        _ => i64::from(DURATION_S),
    };
    keys.set("sts:DurationSeconds", duration_s.to_string());
}

/// The principal behind a session: a role and not its session.
fn subject(cx: &Call) -> String {
    match &cx.principal.kind {
        PrincipalKind::AssumedRole { role_arn, .. } => role_arn.clone(),
        _ => cx.principal.arn.clone(),
    }
}

fn object(pairs: &[(String, String)]) -> Json {
    Json::Object(pairs.iter().map(|(key, value)| (key.clone(), Json::String(value.clone()))).collect())
}

/// What the token says of the caller beyond its name.
async fn identity_claims(cx: &mut Call, request_tags: &[(String, String)]) -> Result<Map<String, Json>, ApiError> {
    let principal = cx.principal.clone();
    let directory = Arc::clone(cx.plane.directory());
    let tags = directory.access(&mut cx.tx, &principal).await?.tags;
    let organization = cx.plane.organization(&cx.account).await?;
    let mut claims = Map::new();
    let mut set = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            claims.insert(name.to_owned(), Json::String(value));
        }
    };
    set("aws_account", Some(cx.account.clone()));
    set("source_region", Some(cx.region.clone()));
    set("org_id", organization.as_ref().map(|view| view.organization.id.clone()));
    set("ou_path", organization.as_ref().and_then(|view| view.organization.path_of(&cx.account)).map(str::to_owned));
    if let Some(session) = &principal.session {
        set("original_session_exp", Some(iso8601_s(session.expires_ms)));
        set("federated_provider", session.federated_provider.clone());
        set("source_identity", session.source_identity.clone());
    }
    if !tags.is_empty() {
        claims.insert("principal_tags".to_owned(), object(&tags));
    }
    if !request_tags.is_empty() {
        claims.insert("request_tags".to_owned(), object(request_tags));
    }
    Ok(claims)
}

pub(crate) async fn get_web_identity_token(cx: &mut Call, input: GetWebIdentityTokenInput) -> Result<GetWebIdentityTokenOutput, ApiError> {
    let Some(algorithm) = TokenAlgorithm::parse(&input.signing_algorithm) else {
        return Err(StsError::ValidationError("The signing algorithm must be RS256 or ES384.".to_owned()).into());
    };
    let request_tags = session::tags_of_input(input.tags)?;
    let issued_s = cx.now.0.div_euclid(1000);
    let expires_s = issued_s.saturating_add(i64::from(input.duration_seconds.unwrap_or(DURATION_S)));
    if cx.principal.session.as_ref().is_some_and(|session| expires_s.saturating_mul(1000) > session.expires_ms) {
        let text = "The requested token duration would extend the session beyond its original expiration time.";
        return Err(StsError::SessionDurationEscalation(text.to_owned()).into());
    }
    let audience = match input.audience.as_slice() {
        [one] => Json::String(one.clone()),
        several => several.iter().cloned().map(Json::String).collect(),
    };
    let mut claims = Map::new();
    claims.insert("aud".to_owned(), audience);
    claims.insert("sub".to_owned(), Json::String(subject(cx)));
    claims.insert("iat".to_owned(), json!(issued_s));
    claims.insert("exp".to_owned(), json!(expires_s));
    claims.insert("jti".to_owned(), Json::String(cx.plane.random_uuid()?));
    claims.insert(NAMESPACE.to_owned(), Json::Object(identity_claims(cx, &request_tags).await?));
    if serde_json::to_vec(&claims)?.len() > PAYLOAD_BYTES {
        let text = "The requested token payload size exceeds the maximum allowed size.";
        return Err(StsError::JwtPayloadSizeExceeded(text.to_owned()).into());
    }
    let account = cx.account.clone();
    let Some(token) = outbound_federation::sign(cx, &account, algorithm, claims).await? else {
        return Err(StsError::OutboundFederationDisabled("Outbound web identity federation is disabled for the account.".to_owned()).into());
    };
    Ok(GetWebIdentityTokenOutput {
        web_identity_token: Some(Secret::new(token)),
        expiration: Some(Timestamp(expires_s.saturating_mul(1000))),
    })
}

pub(crate) async fn get_delegated_access_token(
    _cx: &mut Call,
    _input: GetDelegatedAccessTokenInput,
) -> Result<GetDelegatedAccessTokenOutput, ApiError> {
    Err(StsError::ExpiredTradeInToken("The trade-in token is expired or was never given out.".to_owned()).into())
}
