//! `AssumeRoleWithWebIdentity`: the caller bears a token of an OpenID Connect provider and no signature.
//!
//! The token is verified before the decision, since the role's trust policy asks what it says. Who it proves becomes the caller.
//!
//! Source: STS API Reference, "AssumeRoleWithWebIdentity"; IAM User Guide, "Available keys for AWS OIDC federation" and "Pass session tags
//! in AWS STS".

use std::sync::Arc;

use api_sts::{AssumeRoleWithWebIdentityInput, AssumeRoleWithWebIdentityOutput, AssumedRoleUser};
use federation::jwt::Jwt;
use iam::identifier::IamArn;
use iam::oidc_provider::{self, OidcProviderRecord};
use plane::clock::iso8601_s;
use plane::{ApiError, Call, Principal, PrincipalKind, Target};
use policy::MapContext;
use serde_json::Value as Json;
use wire::Value;

use crate::assume_role;
use crate::error::{StsError, unsupported};
use crate::provider_keys::ProviderKeys;
use crate::session::{self, SessionPolicies, SessionTags, Tags};

/// Name under which the verified token waits for condition keys and handler.
const VERIFIED: &str = "sts.web-identity";
/// By how much the clocks of provider and server may differ.
const SKEW_S: i64 = 300;
const TAGS_CLAIM: &str = "https://aws.amazon.com/tags";
const SOURCE_IDENTITY_CLAIM: &str = "https://aws.amazon.com/source_identity";

/// What a verified token says.
#[derive(Clone, Debug)]
struct WebIdentity {
    provider_arn: String,
    /// The issuer without its scheme: prefix of condition keys.
    issuer: String,
    subject: String,
    /// The party that the token was made for: `azp` where it is set, else the audience that is a client of the provider.
    audience: String,
    original_audience: Option<String>,
    methods: Vec<String>,
    email: Option<String>,
    tags: Tags,
    transitive_keys: Vec<String>,
    source_identity: Option<String>,
}

fn invalid_token(text: &str) -> ApiError {
    StsError::InvalidIdentityToken(text.to_owned()).into()
}

/// Verifies the token, makes who it proves the caller, and says what must be allowed.
pub(crate) async fn targets(call: &mut Call, input: &Value, keys: &ProviderKeys) -> Result<Vec<Target>, ApiError> {
    let text = |member: &str| input.member(member).and_then(Value::as_str).unwrap_or_default();
    let role_arn = text("RoleArn").to_owned();
    let arn = IamArn::parse(&role_arn).filter(|arn| arn.resource_type == "role").ok_or_else(|| assume_role::invalid_arn(&role_arn))?;
    // The call happens in the role's account: there it is recorded.
    let account = arn.account.to_owned();
    if iam::account::find(&mut call.tx, &account).await?.is_none() {
        return Err(StsError::AccessDenied("Not authorized to perform sts:AssumeRoleWithWebIdentity".to_owned()).into());
    }
    call.account = account;
    if input.member("ProviderId").is_some() {
        return Err(unsupported("ProviderId"));
    }
    let identity = match call.recall::<WebIdentity>(VERIFIED) {
        Some(identity) => identity,
        None => verify(call, text("WebIdentityToken"), keys).await?,
    };
    call.principal = Arc::new(Principal {
        kind: PrincipalKind::WebIdentity { provider: identity.provider_arn.clone(), user_name: identity.subject.clone() },
        account: String::new(),
        arn: String::new(),
        principal_id: format!("{}:{}:{}", identity.provider_arn, identity.audience, identity.subject),
        access_key_id: None,
        session: None,
    });
    let mut actions = vec!["sts:AssumeRoleWithWebIdentity"];
    if !identity.tags.is_empty() {
        actions.push("sts:TagSession");
    }
    if identity.source_identity.is_some() {
        actions.push("sts:SetSourceIdentity");
    }
    call.remember(VERIFIED, identity);
    Ok(actions.into_iter().map(|action| Target { action: action.to_owned(), resource_arn: role_arn.clone() }).collect())
}

async fn verify(call: &mut Call, token: &str, keys: &ProviderKeys) -> Result<WebIdentity, ApiError> {
    let not_a_token = "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)";
    let jwt = Jwt::read(token).map_err(|_| invalid_token(not_a_token))?;
    let issuer = jwt.text("iss").ok_or_else(|| invalid_token("Missing a required claim: iss"))?.to_owned();
    if iam::outbound_federation::is_own(&call.plane, &issuer) {
        return Err(invalid_token("Tokens of outbound identity federation cannot be used to assume a role."));
    }
    let account = call.account.clone();
    let url = issuer.strip_prefix("https://").unwrap_or(&issuer).trim_end_matches('/').to_owned();
    let provider_arn = oidc_provider::arn(&account, &url);
    let Some(provider) = oidc_provider::find(&mut call.tx, &account, &provider_arn).await? else {
        return Err(invalid_token(&format!("No OpenIDConnect provider found in your account for {issuer}")));
    };
    keys.verify(&jwt, &provider.url, call.now.0).await?;
    check_times(&jwt, call.now.0)?;
    let (audience, original_audience) = audience(&jwt, &provider)?;
    let subject = jwt.text("sub").ok_or_else(|| invalid_token("Missing a required claim: sub"))?.to_owned();
    let (tags, transitive_keys) = tags(&jwt)?;
    Ok(WebIdentity {
        provider_arn,
        issuer: url,
        subject,
        audience,
        original_audience,
        methods: jwt.texts("amr"),
        email: jwt.text("email").map(str::to_owned),
        tags,
        transitive_keys,
        source_identity: jwt.text(SOURCE_IDENTITY_CLAIM).map(str::to_owned),
    })
}

fn check_times(jwt: &Jwt, now_ms: i64) -> Result<(), ApiError> {
    let now_s = now_ms.div_euclid(1000);
    let expires_s = jwt.seconds("exp").ok_or_else(|| invalid_token("Missing a required claim: exp"))?;
    let issued_s = jwt.seconds("iat").ok_or_else(|| invalid_token("Missing a required claim: iat"))?;
    if expires_s <= now_s {
        let text = format!(
            "Token expired: current date/time {now_s} must be before the expiration date/time{expires_s} ({})",
            iso8601_s(expires_s.saturating_mul(1000))
        );
        return Err(StsError::ExpiredToken(text).into());
    }
    let begins_s = jwt.seconds("nbf").unwrap_or(issued_s).max(issued_s);
    if begins_s > now_s.saturating_add(SKEW_S) {
        return Err(invalid_token("The ID Token provided is not valid yet."));
    }
    Ok(())
}

/// The audience for the condition keys: `azp` where it is set, else the one that is a client of the provider.
fn audience(jwt: &Jwt, provider: &OidcProviderRecord) -> Result<(String, Option<String>), ApiError> {
    let audiences = jwt.texts("aud");
    let is_client = |id: &&String| provider.client_ids.contains(id);
    let incorrect = || invalid_token("Incorrect token audience");
    match jwt.text("azp").map(str::to_owned) {
        Some(party) => {
            // Either names a client of ours; a token made for somebody else's use of somebody else's client does not.
            if !provider.client_ids.contains(&party) && !audiences.iter().any(|id| provider.client_ids.contains(id)) {
                return Err(incorrect());
            }
            Ok((party, audiences.into_iter().next()))
        }
        None => Ok((audiences.iter().find(is_client).ok_or_else(incorrect)?.clone(), None)),
    }
}

/// Session tags that the token carries.
fn tags(jwt: &Jwt) -> Result<(Tags, Vec<String>), ApiError> {
    let Some(claim) = jwt.claim(TAGS_CLAIM) else { return Ok((Vec::new(), Vec::new())) };
    let malformed = || invalid_token("The session tags of the token are malformed.");
    let principal_tags = claim.get("principal_tags").and_then(Json::as_object).ok_or_else(malformed)?;
    let mut tags = Tags::new();
    for (key, values) in principal_tags {
        let value = match values {
            Json::Array(values) if values.len() == 1 => values.first().and_then(Json::as_str),
            Json::String(value) => Some(value.as_str()),
            _ => None,
        };
        tags.push((key.clone(), value.ok_or_else(malformed)?.to_owned()));
    }
    iam::tags::check(&tags).map_err(|error| StsError::InvalidParameterValue(error.to_string()))?;
    let keys = claim.get("transitive_tag_keys").and_then(Json::as_array).cloned().unwrap_or_default();
    Ok((tags, keys.iter().filter_map(Json::as_str).map(str::to_owned).collect()))
}

/// What the token says, under the keys that trust policies ask by.
pub(crate) fn condition_keys(call: &Call, input: &Value, keys: &mut MapContext) {
    if let Some(name) = input.member("RoleSessionName").and_then(Value::as_str) {
        keys.set("sts:RoleSessionName", name);
    }
    let Some(identity) = call.recall::<WebIdentity>(VERIFIED) else { return };
    let mut set = |name: &str, value: &str| {
        keys.set(&format!("{}:{name}", identity.issuer), value);
    };
    set("sub", &identity.subject);
    set("aud", &identity.audience);
    if let Some(audience) = &identity.original_audience {
        set("oaud", audience);
    }
    if let Some(email) = &identity.email {
        set("email", email);
    }
    if !identity.methods.is_empty() {
        keys.set_many(&format!("{}:amr", identity.issuer), identity.methods.iter().cloned());
    }
    keys.set("aws:FederatedProvider", identity.provider_arn.clone());
    if let Some(source_identity) = &identity.source_identity {
        keys.set("sts:SourceIdentity", source_identity.clone());
    }
    if !identity.transitive_keys.is_empty() {
        keys.set_many("sts:TransitiveTagKeys", identity.transitive_keys.iter().cloned());
    }
    session::tag_keys(&identity.tags, keys);
}

pub(crate) async fn assume_role_with_web_identity(
    cx: &mut Call,
    input: AssumeRoleWithWebIdentityInput,
) -> Result<AssumeRoleWithWebIdentityOutput, ApiError> {
    let identity = cx.recall::<WebIdentity>(VERIFIED).ok_or_else(|| ApiError::internal(&"a call without a verified token was allowed"))?;
    if input.minimum_session_token_size.is_some() {
        return Err(unsupported("MinimumSessionTokenSize"));
    }
    let (account, role) = assume_role::role(cx, &input.role_arn).await?;
    let duration_s = assume_role::duration(input.duration_seconds, role.max_session_duration_s, false)?;
    let policies = SessionPolicies::of_input(cx, &account, input.policy, input.policy_arns).await?;
    let packed_policy_size = session::packed_size(&policies, &identity.tags)?;
    let tags = SessionTags::chained(None, identity.tags, identity.transitive_keys)?;
    let principal = assume_role::principal(account, &role, input.role_arn, &input.role_session_name);
    let assumed = AssumedRoleUser { assumed_role_id: principal.principal_id.clone(), arn: principal.arn.clone() };
    let mut session = session::begin(cx, "AssumeRoleWithWebIdentity", duration_s, policies, tags);
    session.chained = false;
    session.source_identity.clone_from(&identity.source_identity);
    session.federated_provider = Some(identity.provider_arn.clone());
    Ok(AssumeRoleWithWebIdentityOutput {
        credentials: Some(session::issue(cx, principal, session)?),
        subject_from_web_identity_token: Some(identity.subject),
        assumed_role_user: Some(assumed),
        packed_policy_size,
        provider: Some(identity.provider_arn),
        audience: Some(identity.audience),
        source_identity: identity.source_identity,
        ..AssumeRoleWithWebIdentityOutput::default()
    })
}
