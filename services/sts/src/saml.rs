//! `AssumeRoleWithSAML`: the caller bears a response that a SAML provider signed, and no signature of its own.
//!
//! The response is verified before the decision, since the role's trust policy asks what it says. Who it proves becomes the caller. A response
//! is good once, and for five minutes.
//!
//! Source: STS API Reference, "AssumeRoleWithSAML"; IAM User Guide, "Configure SAML assertions for the authentication response" and "Available
//! keys for SAML-based AWS STS federation".

use std::sync::Arc;

use api_sts::{AssumeRoleWithSAMLInput, AssumeRoleWithSAMLOutput, AssumedRoleUser};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use federation::saml::{self, Assertion, Provider, SamlError};
use iam::identifier::IamArn;
use iam::saml_provider;
use plane::clock::parse_iso8601;
use plane::{ApiError, Call, Key, Principal, PrincipalKind, Record, Scope, Target};
use policy::MapContext;
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Value;

use crate::assume_role;
use crate::error::{StsError, unsupported};
use crate::session::{self, SessionPolicies, SessionTags, Tags};

/// Name under which the verified assertion waits for condition keys and handler.
const VERIFIED: &str = "sts.saml";
const DENIED: &str = "Not authorized to perform sts:AssumeRoleWithSAML";
/// A response must be used within this time.
const LIFETIME_MS: i64 = 5 * 60 * 1000;
/// By how much the provider's clock may be ahead.
const SKEW_MS: i64 = 60 * 1000;
/// Used assertions that are forgotten with each new one, once they are too old to be used again.
const FORGOTTEN: u32 = 20;
const AUDIENCES: [&str; 2] = ["https://signin.aws.amazon.com/saml", "urn:amazon:webservices"];
const ATTRIBUTES: &str = "https://aws.amazon.com/SAML/Attributes/";

/// Attributes that policies may ask for, by the names of the directory schemas. Source: IAM User Guide, table of SAML keys.
const KEYS: [(&str, &str); 12] = [
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.1", "saml:edupersonaffiliation"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.2", "saml:edupersonnickname"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.5", "saml:edupersonprimaryaffiliation"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.6", "saml:edupersonprincipalname"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.7", "saml:edupersonentitlement"),
    ("urn:oid:1.3.6.1.4.1.5923.1.1.1.9", "saml:edupersonscopedaffiliation"),
    ("urn:oid:2.5.4.3", "saml:cn"),
    ("urn:oid:2.5.4.4", "saml:surname"),
    ("urn:oid:2.5.4.42", "saml:givenName"),
    ("urn:oid:2.5.4.45", "saml:x500UniqueIdentifier"),
    ("urn:oid:0.9.2342.19200300.100.1.1", "saml:uid"),
    ("urn:oid:0.9.2342.19200300.100.1.3", "saml:mail"),
];

/// An assertion that was used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct UsedRecord {
    issued_ms: i64,
    id: String,
}

impl Record for UsedRecord {
    const TABLE: Table = Table("sts.used-assertion");
    const SCOPE: Scope = Scope::Home;
}

/// Keys are in order of time, so that the oldest are found first.
fn used_key(account: &str, issued_ms: i64, issuer: &str, id: &str) -> Key {
    Key::new(account, "").then(&format!("{issued_ms:020}")).then(issuer).last(id)
}

/// What a verified response says.
#[derive(Clone, Debug)]
struct SamlIdentity {
    provider_arn: String,
    assertion: Assertion,
    issued_ms: i64,
    recipient: String,
    name_qualifier: String,
    session_name: String,
    duration_s: Option<i32>,
    tags: Tags,
    transitive_keys: Vec<String>,
    source_identity: Option<String>,
}

fn invalid(text: &str) -> ApiError {
    StsError::InvalidIdentityToken(text.to_owned()).into()
}

fn denied() -> ApiError {
    StsError::AccessDenied(DENIED.to_owned()).into()
}

/// Verifies the response, makes who it proves the caller, and says what must be allowed.
pub(crate) async fn targets(call: &mut Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let text = |member: &str| input.member(member).and_then(Value::as_str).unwrap_or_default();
    let role_arn = text("RoleArn").to_owned();
    let arn = IamArn::parse(&role_arn).filter(|arn| arn.resource_type == "role").ok_or_else(|| assume_role::invalid_arn(&role_arn))?;
    let account = arn.account.to_owned();
    if iam::account::find(&mut call.tx, &account).await?.is_none() {
        return Err(denied());
    }
    // The call happens in the role's account: there it is recorded.
    call.account = account;
    let identity = match call.recall::<SamlIdentity>(VERIFIED) {
        Some(identity) => identity,
        None => verify(call, &role_arn, text("PrincipalArn"), text("SAMLAssertion")).await?,
    };
    call.principal = Arc::new(Principal {
        kind: PrincipalKind::Saml { provider: identity.provider_arn.clone(), user_name: identity.assertion.subject.clone() },
        account: String::new(),
        arn: String::new(),
        principal_id: format!("{}:{}", identity.name_qualifier, identity.assertion.subject),
        access_key_id: None,
        session: None,
    });
    let mut actions = vec!["sts:AssumeRoleWithSAML"];
    if !identity.tags.is_empty() {
        actions.push("sts:TagSession");
    }
    if identity.source_identity.is_some() {
        actions.push("sts:SetSourceIdentity");
    }
    call.remember(VERIFIED, identity);
    Ok(actions.into_iter().map(|action| Target { action: action.to_owned(), resource_arn: role_arn.clone() }).collect())
}

async fn verify(call: &mut Call, role_arn: &str, provider_arn: &str, encoded: &str) -> Result<SamlIdentity, ApiError> {
    let account = call.account.clone();
    let Some(record) = saml_provider::find(&mut call.tx, &account, provider_arn).await? else {
        return Err(invalid("Specified provider doesn't exist"));
    };
    let provider = Provider::read(&record.metadata).map_err(|error| ApiError::internal(&error))?;
    let compact: String = encoded.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    let bytes = STANDARD.decode(compact).map_err(|_| invalid("Invalid base64 SAMLResponse"))?;
    let response = String::from_utf8(bytes).map_err(|_| invalid("The SAML response is not UTF-8"))?;
    let assertion = saml::verify(&response, &provider).map_err(|error| match error {
        SamlError::Signature(_) => invalid("Response signature invalid"),
        other => invalid(&other.to_string()),
    })?;
    if assertion.issuer != provider.entity_id {
        return Err(invalid("Issuer not present in specified provider"));
    }
    let now_ms = call.now.0;
    let issued_ms = check_times(&assertion, now_ms)?;
    if record.valid_until_ms <= now_ms {
        return Err(StsError::ExpiredToken("The metadata of the provider has expired".to_owned()).into());
    }
    let recipient = recipient(&assertion, now_ms)?;
    if !assertion.audiences.iter().any(|audience| AUDIENCES.contains(&audience.as_str())) {
        return Err(invalid("The audience of the SAML response is not AWS"));
    }
    if call.tx.get::<UsedRecord>(&used_key(&account, issued_ms, &assertion.issuer, &assertion.id)).await?.is_some() {
        return Err(invalid("The SAML assertion has been used already"));
    }
    if !names_role(&assertion, role_arn, provider_arn) {
        return Err(denied());
    }
    let (tags, transitive_keys) = tags(&assertion)?;
    let one = |name: &str| assertion.values(&format!("{ATTRIBUTES}{name}")).and_then(|values| values.first()).cloned();
    let duration_s = one("SessionDuration").map(|text| text.parse::<i32>().map_err(|_| invalid("SessionDuration is not a number")));
    Ok(SamlIdentity {
        provider_arn: provider_arn.to_owned(),
        issued_ms,
        recipient,
        name_qualifier: name_qualifier(&assertion.issuer, &account, &record.name),
        session_name: session_name(one("RoleSessionName"))?,
        duration_s: duration_s.transpose()?,
        tags,
        transitive_keys,
        source_identity: one("SourceIdentity"),
        assertion,
    })
}

/// When the assertion was made; it must be now, and within its own limits.
fn check_times(assertion: &Assertion, now_ms: i64) -> Result<i64, ApiError> {
    let malformed = || invalid("A time of the SAML response cannot be read");
    let time = |text: &Option<String>| text.as_deref().map(|text| parse_iso8601(text).ok_or_else(malformed)).transpose();
    let issued_ms = parse_iso8601(&assertion.issue_instant).ok_or_else(malformed)?;
    if issued_ms > now_ms.saturating_add(SKEW_MS)
        || time(&assertion.not_before)?.is_some_and(|begins_ms| begins_ms > now_ms.saturating_add(SKEW_MS))
    {
        return Err(invalid("The SAML response is not valid yet"));
    }
    let ended = time(&assertion.not_on_or_after)?.is_some_and(|ends_ms| ends_ms <= now_ms);
    if ended || now_ms.saturating_sub(issued_ms) > LIFETIME_MS {
        return Err(StsError::ExpiredToken("Token must be redeemed within 5 minutes of issuance".to_owned()).into());
    }
    Ok(issued_ms)
}

/// The recipient of a confirmation that is good now and made for AWS.
fn recipient(assertion: &Assertion, now_ms: i64) -> Result<String, ApiError> {
    let is_aws = |recipient: &str| {
        recipient == AUDIENCES[0]
            || recipient
                .strip_prefix("https://")
                .and_then(|rest| rest.strip_suffix(".signin.aws.amazon.com/saml"))
                .is_some_and(|region| !region.contains('/'))
    };
    let good = |(recipient, ends): &&(String, String)| is_aws(recipient) && parse_iso8601(ends).is_some_and(|ends_ms| ends_ms > now_ms);
    let found = assertion.confirmations.iter().find(good);
    found
        .map(|(recipient, _)| recipient.clone())
        .ok_or_else(|| invalid("The SAML response has no bearer confirmation for AWS that is valid now"))
}

/// Whether the assertion's `Role` attribute pairs the role with the provider, in either order.
fn names_role(assertion: &Assertion, role_arn: &str, provider_arn: &str) -> bool {
    let values = assertion.values(&format!("{ATTRIBUTES}Role")).unwrap_or_default();
    values.iter().filter_map(|value| value.split_once(',')).any(|(one, other)| {
        let (one, other) = (one.trim(), other.trim());
        (one == role_arn && other == provider_arn) || (one == provider_arn && other == role_arn)
    })
}

fn session_name(given: Option<String>) -> Result<String, ApiError> {
    let name = given.ok_or_else(|| invalid("RoleSessionName is required in AuthnResponse"))?;
    let letters = |character: char| character.is_ascii_alphanumeric() || "_+=,.@-".contains(character);
    if (2..=64).contains(&name.len()) && name.chars().all(letters) {
        return Ok(name);
    }
    Err(invalid("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"))
}

/// Tells subjects of one provider and account from those of others.
fn name_qualifier(issuer: &str, account: &str, provider_name: &str) -> String {
    let text = format!("{issuer}{account}/{provider_name}");
    STANDARD.encode(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()))
}

fn tags(assertion: &Assertion) -> Result<(Tags, Vec<String>), ApiError> {
    let prefix = format!("{ATTRIBUTES}PrincipalTag:");
    let mut tags = Tags::new();
    for (name, values) in &assertion.attributes {
        let Some(key) = name.strip_prefix(&prefix) else { continue };
        let [value] = values.as_slice() else { return Err(invalid("A session tag of the SAML response has not one value")) };
        tags.push((key.to_owned(), value.clone()));
    }
    iam::tags::check(&tags).map_err(|error| StsError::InvalidParameterValue(error.to_string()))?;
    Ok((tags, assertion.values(&format!("{ATTRIBUTES}TransitiveTagKeys")).unwrap_or_default().to_vec()))
}

/// What the response says, under the keys that trust policies ask by.
pub(crate) fn condition_keys(call: &Call, keys: &mut MapContext) {
    let Some(identity) = call.recall::<SamlIdentity>(VERIFIED) else { return };
    let assertion = &identity.assertion;
    keys.set("saml:aud", identity.recipient.clone());
    keys.set("saml:iss", assertion.issuer.clone());
    keys.set("saml:sub", assertion.subject.clone());
    keys.set("saml:namequalifier", identity.name_qualifier.clone());
    let document = identity.provider_arn.split(':').skip(4).collect::<Vec<_>>().join("/").replace("saml-provider/", "");
    keys.set("saml:doc", document);
    if let Some(format) = &assertion.subject_format {
        keys.set("saml:sub_type", format.clone());
    }
    for (attribute, key) in KEYS {
        if let Some(values) = assertion.values(attribute) {
            keys.set_many(key, values.iter().cloned());
        }
    }
    keys.set("aws:FederatedProvider", identity.provider_arn.clone());
    keys.set("sts:RoleSessionName", identity.session_name.clone());
    if let Some(source_identity) = &identity.source_identity {
        keys.set("sts:SourceIdentity", source_identity.clone());
    }
    if !identity.transitive_keys.is_empty() {
        keys.set_many("sts:TransitiveTagKeys", identity.transitive_keys.iter().cloned());
    }
    session::tag_keys(&identity.tags, keys);
}

/// Notes that the assertion was used, and forgets some that nobody can use again.
async fn use_up(cx: &mut Call, identity: &SamlIdentity) -> Result<(), ApiError> {
    let account = cx.account.clone();
    let oldest = cx.tx.scan::<UsedRecord>(&Key::new(&account, ""), None, FORGOTTEN).await?;
    let issuer = identity.assertion.issuer.as_str();
    for (_, used) in oldest.iter().filter(|(_, used)| cx.now.0.saturating_sub(used.issued_ms) > LIFETIME_MS.saturating_mul(2)) {
        cx.tx.delete::<UsedRecord>(&used_key(&account, used.issued_ms, issuer, &used.id));
    }
    let record = UsedRecord { issued_ms: identity.issued_ms, id: identity.assertion.id.clone() };
    cx.tx.put(&used_key(&account, identity.issued_ms, issuer, &record.id), &record)
}

pub(crate) async fn assume_role_with_saml(cx: &mut Call, input: AssumeRoleWithSAMLInput) -> Result<AssumeRoleWithSAMLOutput, ApiError> {
    let identity =
        cx.recall::<SamlIdentity>(VERIFIED).ok_or_else(|| ApiError::internal(&"a call without a verified response was allowed"))?;
    if input.minimum_session_token_size.is_some() {
        return Err(unsupported("MinimumSessionTokenSize"));
    }
    use_up(cx, &identity).await?;
    let (account, role) = assume_role::role(cx, &input.role_arn).await?;
    // The shorter of what is asked for and what the response gives.
    let asked_s = match (input.duration_seconds, identity.duration_s) {
        (Some(asked), Some(given)) => Some(asked.min(given)),
        (asked, given) => asked.or(given),
    };
    let duration_s = assume_role::duration(asked_s, role.max_session_duration_s, false)?;
    let policies = SessionPolicies::of_input(cx, &account, input.policy, input.policy_arns).await?;
    let packed_policy_size = session::packed_size(&policies, &identity.tags)?;
    let tags = SessionTags::chained(None, identity.tags, identity.transitive_keys)?;
    let principal = assume_role::principal(account, &role, input.role_arn, &identity.session_name);
    let assumed = AssumedRoleUser { assumed_role_id: principal.principal_id.clone(), arn: principal.arn.clone() };
    let mut session = session::begin(cx, "AssumeRoleWithSAML", duration_s, policies, tags);
    session.chained = false;
    session.source_identity.clone_from(&identity.source_identity);
    session.federated_provider = Some(identity.provider_arn);
    Ok(AssumeRoleWithSAMLOutput {
        credentials: Some(session::issue(cx, principal, session)?),
        assumed_role_user: Some(assumed),
        packed_policy_size,
        subject: Some(identity.assertion.subject),
        subject_type: identity.assertion.subject_format,
        issuer: Some(identity.assertion.issuer),
        audience: Some(identity.recipient),
        name_qualifier: Some(identity.name_qualifier),
        source_identity: identity.source_identity,
        ..AssumeRoleWithSAMLOutput::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assertion() -> Assertion {
        Assertion {
            id: "x".to_owned(),
            issuer: "https://id.example".to_owned(),
            issue_instant: "2026-11-28T12:00:00Z".to_owned(),
            subject: "ana".to_owned(),
            subject_format: None,
            name_qualifier: None,
            confirmations: vec![(AUDIENCES[0].to_owned(), "2026-11-28T12:05:00Z".to_owned())],
            not_before: None,
            not_on_or_after: None,
            audiences: Vec::new(),
            attributes: vec![(format!("{ATTRIBUTES}Role"), vec!["arn:role , arn:provider".to_owned()])],
        }
    }

    #[test]
    fn an_assertion_is_good_for_five_minutes() {
        let issued_ms = parse_iso8601("2026-11-28T12:00:00Z").unwrap();
        assert_eq!(check_times(&assertion(), issued_ms).unwrap(), issued_ms);
        check_times(&assertion(), issued_ms + LIFETIME_MS).unwrap();
        assert_eq!(check_times(&assertion(), issued_ms + LIFETIME_MS + 1).unwrap_err().code, "ExpiredTokenException");
        assert_eq!(check_times(&assertion(), issued_ms - SKEW_MS - 1).unwrap_err().code, "InvalidIdentityToken");
        let ended = Assertion { not_on_or_after: Some("2026-11-28T12:00:00Z".to_owned()), ..assertion() };
        assert_eq!(check_times(&ended, issued_ms).unwrap_err().code, "ExpiredTokenException");
        assert!(recipient(&assertion(), issued_ms).is_ok() && recipient(&assertion(), issued_ms + LIFETIME_MS).is_err());
    }

    #[test]
    fn the_role_is_paired_with_the_provider_in_either_order() {
        assert!(names_role(&assertion(), "arn:role", "arn:provider"));
        assert!(names_role(&assertion(), "arn:provider", "arn:role"));
        assert!(!names_role(&assertion(), "arn:role", "arn:other"));
    }

    #[test]
    fn session_names_have_a_form() {
        session_name(Some("ana@example.com".to_owned())).unwrap();
        for wrong in [None, Some("a".to_owned()), Some("a b".to_owned())] {
            session_name(wrong).unwrap_err();
        }
    }
}
