//! Outbound web identity federation: an account as the issuer of tokens that other services believe.
//!
//! An account's issuer is a URL below this server's public one. What it signs with is kept here, sealed like every record; who may read are
//! `sts`, to sign, and the pages of discovery, which show the public halves. Switching the feature off stops new tokens and nothing else:
//! tokens that are out stay verifiable until they end, and the issuer is the same when it is switched on again.
//!
//! Source: IAM User Guide, "Federating AWS identities to external services"; IAM API Reference, "EnableOutboundWebIdentityFederation" and its kin;
//! OpenID Connect Discovery 1.0; RFC 7517 and 7518.

use api_iam::{
    DisableOutboundWebIdentityFederationInput, DisableOutboundWebIdentityFederationOutput, EnableOutboundWebIdentityFederationInput,
    EnableOutboundWebIdentityFederationOutput, GetOutboundWebIdentityFederationInfoInput, GetOutboundWebIdentityFederationInfoOutput,
};
use plane::{ApiError, Call, Key, Plane, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use store::Table;

use crate::error::IamError;
use crate::token_key::{TokenAlgorithm, TokenKey};

/// Where the issuers are on this server.
pub const ISSUERS: &str = "/_bailiwick/issuer/";

/// What an account signs tokens with. Key: the account.
#[derive(Clone, Serialize, Deserialize)]
struct IssuerRecord {
    id: String,
    enabled: bool,
    keys: Vec<TokenKey>,
}

impl Record for IssuerRecord {
    const TABLE: Table = Table("iam.token-issuer");
    const SCOPE: Scope = Scope::Home;
}

/// Whose an issuer is. Key: the issuer's id.
#[derive(Clone, Serialize, Deserialize)]
struct IssuerOwner {
    account: String,
}

impl Record for IssuerOwner {
    const TABLE: Table = Table("iam.token-issuer-owner");
    const SCOPE: Scope = Scope::Home;
}

fn key(account: &str) -> Key {
    Key::new(account, "").last("issuer")
}

fn owner_key(id: &str) -> Key {
    Key::shared().last(id)
}

/// The URL of an issuer, which its tokens name.
fn url(plane: &Plane, id: &str) -> Result<String, ApiError> {
    let public = plane.public_url().ok_or_else(|| ApiError::internal(&"the server does not know its public URL yet"))?;
    Ok(format!("{public}{ISSUERS}{id}"))
}

/// Whether a URL is that of one of our own issuers.
pub fn is_own(plane: &Plane, issuer: &str) -> bool {
    plane.public_url().and_then(|public| issuer.strip_prefix(public)).is_some_and(|path| path.starts_with(ISSUERS))
}

async fn enabled(tx: &mut Transaction, account: &str) -> Result<Option<IssuerRecord>, ApiError> {
    Ok(tx.get::<IssuerRecord>(&key(account)).await?.filter(|issuer| issuer.enabled))
}

/// A token of an account's issuer over claims: `iss` is added. `None`: the account has the feature switched off.
pub async fn sign(
    cx: &mut Call,
    account: &str,
    algorithm: TokenAlgorithm,
    mut claims: Map<String, Json>,
) -> Result<Option<String>, ApiError> {
    let Some(mut issuer) = enabled(&mut cx.tx, account).await? else { return Ok(None) };
    claims.insert("iss".to_owned(), Json::String(url(&cx.plane, &issuer.id)?));
    let now_ms = cx.now.0;
    if let Some(key) = issuer.keys.iter().find(|key| key.signs(algorithm, now_ms)) {
        return key.sign(&claims).map(Some);
    }
    let fresh = TokenKey::generate(&cx.plane, algorithm, now_ms)?;
    let token = fresh.sign(&claims)?;
    issuer.keys.retain(|key| key.is_published(now_ms));
    issuer.keys.push(fresh);
    cx.tx.put(&key(account), &issuer)?;
    Ok(Some(token))
}

async fn of_id(plane: &Plane, id: &str) -> Result<Option<IssuerRecord>, ApiError> {
    let mut tx = plane.transaction(0);
    let Some(owner) = tx.get::<IssuerOwner>(&owner_key(id)).await? else { return Ok(None) };
    tx.get::<IssuerRecord>(&key(&owner.account)).await
}

/// The discovery document of an issuer.
pub async fn discovery(plane: &Plane, id: &str) -> Result<Option<Json>, ApiError> {
    let Some(issuer) = of_id(plane, id).await? else { return Ok(None) };
    let url = url(plane, &issuer.id)?;
    Ok(Some(json!({
        "issuer": url,
        "jwks_uri": format!("{url}/.well-known/jwks.json"),
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": TokenAlgorithm::ALL.map(TokenAlgorithm::name),
        "claims_supported": ["aud", "exp", "iat", "iss", "jti", "sub", "https://sts.amazonaws.com/"],
    })))
}

/// The public keys of an issuer: those that sign, and those whose tokens may still be out.
pub async fn key_set(plane: &Plane, id: &str) -> Result<Option<Json>, ApiError> {
    let Some(issuer) = of_id(plane, id).await? else { return Ok(None) };
    let now_ms = plane.now().0;
    let keys = issuer.keys.iter().filter(|key| key.is_published(now_ms)).map(TokenKey::public).collect::<Result<Vec<Json>, _>>()?;
    Ok(Some(json!({ "keys": keys })))
}

fn disabled() -> ApiError {
    IamError::FeatureDisabled("Outbound web identity federation is disabled for the account.".to_owned()).into()
}

pub(crate) async fn enable_outbound_web_identity_federation(
    cx: &mut Call,
    _input: EnableOutboundWebIdentityFederationInput,
) -> Result<EnableOutboundWebIdentityFederationOutput, ApiError> {
    let account = cx.account.clone();
    let mut issuer = match cx.tx.get::<IssuerRecord>(&key(&account)).await? {
        Some(issuer) if issuer.enabled => {
            let text = "Outbound web identity federation is already enabled for the account.";
            return Err(IamError::FeatureEnabled(text.to_owned()).into());
        }
        Some(issuer) => issuer,
        None => {
            let id = cx.random_uuid()?;
            cx.tx.put(&owner_key(&id), &IssuerOwner { account: account.clone() })?;
            IssuerRecord { id, enabled: false, keys: Vec::new() }
        }
    };
    issuer.enabled = true;
    for algorithm in TokenAlgorithm::ALL {
        if !issuer.keys.iter().any(|key| key.signs(algorithm, cx.now.0)) {
            issuer.keys.push(TokenKey::generate(&cx.plane, algorithm, cx.now.0)?);
        }
    }
    cx.tx.put(&key(&account), &issuer)?;
    Ok(EnableOutboundWebIdentityFederationOutput { issuer_identifier: Some(url(&cx.plane, &issuer.id)?) })
}

pub(crate) async fn get_outbound_web_identity_federation_info(
    cx: &mut Call,
    _input: GetOutboundWebIdentityFederationInfoInput,
) -> Result<GetOutboundWebIdentityFederationInfoOutput, ApiError> {
    let account = cx.account.clone();
    let issuer = enabled(&mut cx.tx, &account).await?.ok_or_else(disabled)?;
    Ok(GetOutboundWebIdentityFederationInfoOutput { issuer_identifier: Some(url(&cx.plane, &issuer.id)?), jwt_vending_enabled: Some(true) })
}

pub(crate) async fn disable_outbound_web_identity_federation(
    cx: &mut Call,
    _input: DisableOutboundWebIdentityFederationInput,
) -> Result<DisableOutboundWebIdentityFederationOutput, ApiError> {
    let account = cx.account.clone();
    let mut issuer = enabled(&mut cx.tx, &account).await?.ok_or_else(disabled)?;
    issuer.enabled = false;
    cx.tx.put(&key(&account), &issuer)?;
    Ok(DisableOutboundWebIdentityFederationOutput {})
}
