//! `CreateSession`: credentials of a role for the holder of a certificate's key.
//!
//! Source: IAM Roles Anywhere User Guide, "CreateSession API", "Trust model" and "Signature verification".

use std::sync::Arc;

use api_rolesanywhere::{AssumedRoleUser, CreateSessionInput, CreateSessionOutput, CredentialResponse, SessionCredentials};
use certificate::{Certificate, ChainError, verify_chain};
use iam::entity::{Entity, RoleRecord};
use iam::identifier::{self, IamArn, assumed_role_arn};
use plane::principal::Session;
use plane::{ApiError, Call, Principal, PrincipalKind, Target};
use policy::MapContext;
use sigv4::RequestParts;
use wire::{Secret, Timestamp, Value};

use crate::attribute_mapping;
use crate::certificate_signature::{self, SignedBy};
use crate::error::RolesAnywhereError;
use crate::profile::ProfileRecord;
use crate::resource::{self, Resource};
use crate::revocation_list;
use crate::subject;
use crate::trust_anchor::TrustAnchorRecord;

/// Name under which what was proved waits for condition keys and handler.
const PROVED: &str = "rolesanywhere.session";
const SERVICE: &str = "rolesanywhere.amazonaws.com";
const BODY_LIMIT: u64 = 1024 * 1024;
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);
/// A session of a certificate whose name has no common name has this one's serial number.
const SESSION_NAME_LENGTH: usize = 64;

/// A certificate that was followed to its anchor, and what it may open.
#[derive(Clone, Debug)]
struct Proved {
    certificate: Certificate,
    profile: ProfileRecord,
    role_arn: String,
    trust_anchor_arn: String,
    tags: Vec<(String, String)>,
    source_identity: Option<String>,
}

fn invalid(text: &str) -> ApiError {
    RolesAnywhereError::Validation(text.to_owned()).into()
}

fn denied(text: &str) -> ApiError {
    RolesAnywhereError::AccessDenied(text.to_owned()).into()
}

/// A parameter that may stand in the body or in the query.
fn parameter(call: &Call, input: &Value, name: &str) -> Option<String> {
    let in_body = input.member(name).and_then(Value::as_str).map(str::to_owned);
    in_body.or_else(|| plane::identify::form_value(call.request.query.as_bytes(), name))
}

/// Account and region of an ARN of this service.
fn place(arn: &str) -> Option<(&str, &str)> {
    let mut parts = arn.splitn(6, ':').skip(2);
    let (service, region, account) = (parts.next()?, parts.next()?, parts.next()?);
    (service == "rolesanywhere" && identifier::is_account_id(account)).then_some((account, region))
}

/// Proves the certificate, makes the service the caller with the certificate's names as tags, and says what must be allowed.
pub(crate) async fn targets(call: &mut Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let proved = match call.recall::<Proved>(PROVED) {
        Some(proved) => proved,
        None => prove(call, input).await?,
    };
    let session = Session { tags: proved.tags.clone(), ..Session::default() };
    call.principal = Arc::new(Principal {
        kind: PrincipalKind::Service { name: SERVICE.to_owned() },
        account: String::new(),
        arn: String::new(),
        principal_id: SERVICE.to_owned(),
        access_key_id: None,
        session: Some(session),
    });
    let mut actions = vec!["sts:AssumeRole"];
    if !proved.tags.is_empty() {
        actions.push("sts:TagSession");
    }
    if proved.source_identity.is_some() {
        actions.push("sts:SetSourceIdentity");
    }
    let role_arn = proved.role_arn.clone();
    call.remember(PROVED, proved);
    Ok(actions.into_iter().map(|action| Target { action: action.to_owned(), resource_arn: role_arn.clone() }).collect())
}

async fn prove(call: &mut Call, input: &Value) -> Result<Proved, ApiError> {
    let body = match call.take_body() {
        Some(body) => plane::body::collect(body, BODY_LIMIT, BODY_TIMEOUT).await.map_err(|error| plane::pipeline::body_error(&error))?,
        None => bytes::Bytes::new(),
    };
    let request = Arc::clone(&call.request);
    let parts =
        RequestParts { method: &request.method, path: &request.path, query: &request.query, headers: &request.headers, authority: None };
    let signed = certificate_signature::verify(&parts, &body, &call.region, call.now.0)?;
    let given = |name: &str| parameter(call, input, name).ok_or_else(|| invalid(&format!("`{name}` is required")));
    let (anchor_arn, profile_arn, role_arn) = (given("trustAnchorArn")?, given("profileArn")?, given("roleArn")?);
    let (account, region) = place(&anchor_arn).ok_or_else(|| invalid("Invalid trust anchor ARN"))?;
    if place(&profile_arn) != Some((account, region)) || region != call.region {
        return Err(invalid("Trust anchor and profile must be of the same account and of the called region"));
    }
    let account = account.to_owned();
    if iam::account::find(&mut call.tx, &account).await?.is_none() {
        return Err(denied("Untrusted certificate. Insufficient certificate"));
    }
    call.account = account;
    let anchor = resource::load::<TrustAnchorRecord>(call, &anchor_arn).await?;
    follow(call, &signed, &anchor).await?;
    let profile = resource::load::<ProfileRecord>(call, &profile_arn).await?;
    if !profile.enabled {
        return Err(denied("Profile is disabled"));
    }
    if !profile.role_arns.contains(&role_arn) {
        return Err(denied(&format!("Unable to assume role for {role_arn}: the profile does not name it")));
    }
    let certificate = signed.certificate;
    Ok(Proved {
        tags: attribute_mapping::tags(&certificate, &profile.mappings),
        source_identity: certificate.subject.joined("CN").map(|name| format!("CN={name}")),
        trust_anchor_arn: anchor.arn(&call.account, &call.region),
        certificate,
        profile,
        role_arn,
    })
}

/// Follows the certificate to the anchor.
async fn follow(call: &mut Call, signed: &SignedBy, anchor: &TrustAnchorRecord) -> Result<(), ApiError> {
    if !anchor.enabled {
        return Err(denied("Trust anchor is disabled"));
    }
    let revoked = revocation_list::of_anchor(call, &anchor.id).await?;
    let anchors = anchor.certificates()?;
    verify_chain(&signed.certificate, &signed.intermediates, &anchors, &revoked, call.now.0).map(drop).map_err(|error| {
        let text = match error {
            ChainError::NotEndEntity | ChainError::KeyUsage | ChainError::ExtendedKeyUsage | ChainError::UnknownExtension(_) => {
                "Untrusted certificate. Insufficient certificate"
            }
            ChainError::NotValidNow(_) => "Untrusted certificate. Certificate is expired or not yet valid",
            ChainError::Revoked(_) => "Untrusted certificate. Certificate revoked",
            ChainError::Untrusted => "Untrusted signing certificate",
        };
        denied(text)
    })
}

pub(crate) fn condition_keys(call: &Call, keys: &mut MapContext) {
    let Some(proved) = call.recall::<Proved>(PROVED) else { return };
    keys.set("aws:SourceArn", proved.trust_anchor_arn);
    keys.set("aws:SourceAccount", call.account.clone());
    if let Some(source_identity) = proved.source_identity {
        keys.set("sts:SourceIdentity", source_identity);
    }
    for (key, value) in &proved.tags {
        keys.set(&format!("aws:RequestTag/{key}"), value.clone());
    }
    if !proved.tags.is_empty() {
        keys.set_many("aws:TagKeys", proved.tags.iter().map(|(key, _)| key.clone()));
    }
}

/// What a caller whom the role does not trust is told.
pub(crate) fn denied_message(call: &Call) -> Option<String> {
    let proved = call.recall::<Proved>(PROVED)?;
    Some(format!("Unable to assume role for {}", proved.role_arn))
}

/// Who a session of the role is.
fn principal(account: String, role: &RoleRecord, role_arn: String, session_name: String) -> Principal {
    Principal {
        arn: assumed_role_arn(&account, &role.head.name, &session_name),
        principal_id: format!("{}:{session_name}", role.head.id),
        kind: PrincipalKind::AssumedRole { role_name: role.head.name.clone(), role_arn, role_id: role.head.id.clone(), session_name },
        account,
        access_key_id: None,
        session: None,
    }
}

fn session_name(proved: &Proved, asked: Option<String>) -> Result<String, ApiError> {
    match asked {
        Some(_) if !proved.profile.accepts_session_name => Err(invalid("The profile does not accept a role session name")),
        Some(name) => Ok(name),
        None => Ok(hex::encode(&proved.certificate.serial).chars().take(SESSION_NAME_LENGTH).collect()),
    }
}

pub(crate) async fn create_session(cx: &mut Call, input: CreateSessionInput) -> Result<CreateSessionOutput, ApiError> {
    let proved = cx.recall::<Proved>(PROVED).ok_or_else(|| ApiError::internal(&"a call without a proved certificate was allowed"))?;
    let account = cx.account.clone();
    let named = IamArn::parse(&proved.role_arn).filter(|arn| arn.account == account).map(|arn| arn.name.to_owned());
    let found = match named {
        Some(name) => iam::entity::find::<RoleRecord>(&mut cx.tx, &account, &name).await?,
        None => None,
    };
    let role = found.filter(|role| role.arn(&account) == proved.role_arn);
    let role = role.ok_or_else(|| denied(&format!("Unable to assume role for {}", proved.role_arn)))?;
    // The shortest of what is asked for, what the profile gives and what the role allows.
    let asked_s = input.duration_seconds.unwrap_or(proved.profile.duration_s);
    let duration_s = asked_s.min(proved.profile.duration_s).min(role.max_session_duration_s);
    let session_name = session_name(&proved, input.role_session_name)?;
    let subject_arn = subject::note(cx, &proved.certificate, input.instance_properties.unwrap_or_default()).await?;
    let issued_ms = cx.now.0.div_euclid(1000).saturating_mul(1000);
    let session = Session {
        issued_ms,
        expires_ms: issued_ms.saturating_add(i64::from(duration_s).saturating_mul(1000)),
        policy: proved.profile.session_policy.clone(),
        policy_arns: proved.profile.managed_policy_arns.clone(),
        tags: proved.tags.clone(),
        source_identity: proved.source_identity.clone(),
        issuer_operation: "CreateSession".to_owned(),
        ..Session::default()
    };
    let mut principal = principal(account, &role, proved.role_arn.clone(), session_name);
    let randomness = cx.plane.randomness.as_ref();
    let access_key_id = identifier::access_key_id(randomness, identifier::SESSION_KEY)?;
    let secret = identifier::secret_access_key(randomness)?;
    principal.access_key_id = Some(access_key_id.clone());
    let expiration = Timestamp(session.expires_ms);
    principal.session = Some(session);
    let issued = plane::session::issue(&cx.plane.keyring, access_key_id, secret, &principal)?;
    cx.touch("AWS::RolesAnywhere::TrustAnchor", &proved.trust_anchor_arn, &cx.account.clone());
    let response = CredentialResponse {
        assumed_role_user: Some(AssumedRoleUser { arn: Some(principal.arn), assumed_role_id: Some(principal.principal_id) }),
        credentials: Some(SessionCredentials {
            access_key_id: Some(issued.access_key_id),
            expiration: Some(expiration),
            secret_access_key: Some(Secret::new(issued.secret_access_key.to_string())),
            session_token: Some(Secret::new(issued.session_token)),
        }),
        packed_policy_size: None,
        role_arn: Some(proved.role_arn),
        source_identity: proved.source_identity,
    };
    Ok(CreateSessionOutput { credential_set: Some(vec![response]), subject_arn: Some(subject_arn) })
}
