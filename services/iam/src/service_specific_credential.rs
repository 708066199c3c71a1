//! Service-specific credentials of users: bearer keys of Bedrock, and the names and passwords of services that know no signatures.
//!
//! A secret is kept as its SHA-256 only: it has 256 random bits, so nothing slower is needed, and it cannot be shown again.
//!
//! Source: IAM API Reference, "CreateServiceSpecificCredential" and its kin; IAM User Guide, "API keys for Amazon Bedrock".

use api_iam::{
    CreateServiceSpecificCredentialInput, CreateServiceSpecificCredentialOutput, DeleteServiceSpecificCredentialInput,
    DeleteServiceSpecificCredentialOutput, ListServiceSpecificCredentialsInput, ListServiceSpecificCredentialsOutput,
    ResetServiceSpecificCredentialInput, ResetServiceSpecificCredentialOutput, ServiceSpecificCredential,
    ServiceSpecificCredentialMetadata, StatusType, UpdateServiceSpecificCredentialInput, UpdateServiceSpecificCredentialOutput,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyring::Randomness;
use plane::bearer::CREDENTIAL_ID_PREFIX;
use plane::{ApiError, Call, Key, PrincipalKind, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::{Secret, Timestamp};
use zeroize::Zeroizing;

use crate::access_key::must_name_user;
use crate::entity::{self, UserRecord};
use crate::error::{IamError, quota_exceeded};
use crate::{identifier, page};

/// Of one user and service. Source: IAM User Guide, "IAM and AWS STS quotas".
const PER_USER_AND_SERVICE: usize = 2;
const BEDROCK: &str = "bedrock.amazonaws.com";
/// Services whose credentials are a user name and a password. This server has neither of them: the credentials open nothing here.
const PASSWORD_SERVICES: [&str; 2] = ["cassandra.amazonaws.com", "codecommit.amazonaws.com"];
const SECRET_BYTES: usize = 32;
const BEARER_PREFIX: &str = "ABSK";
const MILLISECONDS_PER_DAY: i64 = 86_400_000;

/// A service-specific credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CredentialRecord {
    pub id: String,
    pub user_id: String,
    pub service: String,
    /// Service user name, or alias of a bearer key: unique in the account, never changed by a new name of the user.
    pub alias: String,
    pub secret_sha256: String,
    pub active: bool,
    pub created_ms: i64,
    pub expires_ms: Option<i64>,
}

impl Record for CredentialRecord {
    const TABLE: Table = Table("iam.service-specific-credential");
    const SCOPE: Scope = Scope::Home;
}

/// Where an alias leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct AliasRecord {
    user_id: String,
    credential_id: String,
}

impl Record for AliasRecord {
    const TABLE: Table = Table("iam.service-credential-alias");
    const SCOPE: Scope = Scope::Home;
}

fn of_user(account: &str, user_id: &str) -> Key {
    Key::new(account, "").then(user_id)
}

fn alias_key(account: &str, alias: &str) -> Key {
    Key::new(account, "").last(alias)
}

/// A new secret and the hash that is kept of it.
struct NewSecret {
    shown: Zeroizing<String>,
    sha256: String,
}

impl NewSecret {
    /// The secret of a bearer key holds its alias, which holds the account: that is how the key is found when it comes back.
    fn generate(randomness: &dyn Randomness, service: &str, alias: &str) -> Result<Self, ApiError> {
        let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
        randomness.fill(bytes.as_mut()).map_err(|error| ApiError::internal(&error))?;
        let random = Zeroizing::new(STANDARD.encode(bytes.as_ref()));
        let shown = if service == BEDROCK {
            let named = Zeroizing::new(format!("{alias}:{}", random.as_str()));
            Zeroizing::new(format!("{BEARER_PREFIX}{}", STANDARD.encode(named.as_bytes())))
        } else {
            random
        };
        let sha256 = sigv4::sha256_hex(shown.as_bytes());
        Ok(Self { shown, sha256 })
    }
}

impl CredentialRecord {
    fn status(&self, now_ms: i64) -> StatusType {
        match (self.active, self.expires_ms) {
            (_, Some(expires_ms)) if expires_ms <= now_ms => StatusType::Expired,
            (true, _) => StatusType::Active,
            (false, _) => StatusType::Inactive,
        }
    }

    /// The one that names the credential: a service user name, or the alias of a bearer key.
    fn names(&self) -> (Option<String>, Option<String>) {
        if self.service == BEDROCK { (None, Some(self.alias.clone())) } else { (Some(self.alias.clone()), None) }
    }

    fn output(&self, user_name: &str, secret: NewSecret, now_ms: i64) -> ServiceSpecificCredential {
        let (service_user_name, service_credential_alias) = self.names();
        let secret = Some(Secret::new(secret.shown.to_string()));
        let (service_password, service_credential_secret) = if self.service == BEDROCK { (None, secret) } else { (secret, None) };
        ServiceSpecificCredential {
            create_date: Timestamp(self.created_ms),
            expiration_date: self.expires_ms.map(Timestamp),
            service_name: self.service.clone(),
            service_user_name,
            service_password,
            service_credential_alias,
            service_credential_secret,
            service_specific_credential_id: self.id.clone(),
            user_name: user_name.to_owned(),
            status: self.status(now_ms),
        }
    }

    fn metadata(&self, user_name: &str, now_ms: i64) -> ServiceSpecificCredentialMetadata {
        let (service_user_name, service_credential_alias) = self.names();
        ServiceSpecificCredentialMetadata {
            user_name: user_name.to_owned(),
            status: self.status(now_ms),
            service_user_name,
            service_credential_alias,
            create_date: Timestamp(self.created_ms),
            expiration_date: self.expires_ms.map(Timestamp),
            service_specific_credential_id: self.id.clone(),
            service_name: self.service.clone(),
        }
    }
}

/// The credentials of a user, in order of their ids.
pub(crate) async fn all_of(tx: &mut Transaction, account: &str, user_id: &str) -> Result<Vec<CredentialRecord>, ApiError> {
    let rows = tx.scan::<CredentialRecord>(&of_user(account, user_id), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, record)| record).collect())
}

async fn find(tx: &mut Transaction, account: &str, user_id: &str, id: &str) -> Result<Option<CredentialRecord>, ApiError> {
    tx.get(&of_user(account, user_id).last(id)).await
}

fn save(tx: &mut Transaction, account: &str, record: &CredentialRecord) -> Result<(), ApiError> {
    tx.put(&of_user(account, &record.user_id).last(&record.id), record)
}

fn no_such_credential(id: &str) -> ApiError {
    IamError::NoSuchEntity(format!("Service specific credential with id {id} cannot be found.")).into()
}

/// The named user; without a name the caller, who must be a user.
pub(crate) async fn user_of(cx: &mut Call, user_name: Option<&str>) -> Result<UserRecord, ApiError> {
    let name = match (user_name, &cx.principal.kind) {
        (Some(name), _) => name.to_owned(),
        (None, PrincipalKind::User { name, .. }) => name.clone(),
        (None, _) => return Err(must_name_user()),
    };
    entity::load(&mut cx.tx, &cx.account, &name).await
}

async fn load(cx: &mut Call, user_name: Option<&str>, id: &str) -> Result<(UserRecord, CredentialRecord), ApiError> {
    let user = user_of(cx, user_name).await?;
    let found = find(&mut cx.tx, &cx.account, &user.head.id, id).await?;
    Ok((user, found.ok_or_else(|| no_such_credential(id))?))
}

/// The service of a credential that a call names, for the decision.
pub(crate) async fn service_of(tx: &mut Transaction, account: &str, user_name: &str, id: &str) -> Result<Option<String>, ApiError> {
    let Some(user) = entity::find::<UserRecord>(tx, account, user_name).await? else { return Ok(None) };
    Ok(find(tx, account, &user.head.id, id).await?.map(|record| record.service))
}

/// `NAME-at-ACCOUNT`, with a number behind the name for all but the first.
async fn free_alias(tx: &mut Transaction, account: &str, user_name: &str) -> Result<String, ApiError> {
    for number in 0_u32.. {
        let plus = if number == 0 { String::new() } else { format!("+{number}") };
        let alias = format!("{user_name}{plus}-at-{account}");
        if tx.get::<AliasRecord>(&alias_key(account, &alias)).await?.is_none() {
            return Ok(alias);
        }
    }
    Err(ApiError::internal(&"no alias is free"))
}

fn check_service(service: &str) -> Result<(), ApiError> {
    if service == BEDROCK || PASSWORD_SERVICES.contains(&service) {
        return Ok(());
    }
    Err(IamError::ServiceNotSupported(format!("The service {service} does not support service specific credentials.")).into())
}

pub(crate) async fn create_service_specific_credential(
    cx: &mut Call,
    input: CreateServiceSpecificCredentialInput,
) -> Result<CreateServiceSpecificCredentialOutput, ApiError> {
    let service = input.service_name;
    check_service(&service)?;
    let user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, &input.user_name).await?;
    if input.credential_age_days.is_some() && service != BEDROCK {
        let text = format!("CredentialAgeDays is not supported for the service {service}.");
        return Err(IamError::InvalidInput(text).into());
    }
    let existing = all_of(&mut cx.tx, &cx.account, &user.head.id).await?;
    if existing.iter().filter(|record| record.service == service).count() >= PER_USER_AND_SERVICE {
        return Err(quota_exceeded("ServiceSpecificCredentialsPerUser", PER_USER_AND_SERVICE));
    }
    let alias = free_alias(&mut cx.tx, &cx.account, &user.head.name).await?;
    let secret = NewSecret::generate(cx.plane.randomness.as_ref(), &service, &alias)?;
    let lasts_ms = input.credential_age_days.map(|days| i64::from(days).saturating_mul(MILLISECONDS_PER_DAY));
    let record = CredentialRecord {
        id: identifier::unique_id(cx.plane.randomness.as_ref(), CREDENTIAL_ID_PREFIX)?,
        user_id: user.head.id.clone(),
        service,
        alias,
        secret_sha256: secret.sha256.clone(),
        active: true,
        created_ms: cx.now.0,
        expires_ms: lasts_ms.map(|lasts_ms| cx.now.0.saturating_add(lasts_ms)),
    };
    save(&mut cx.tx, &cx.account, &record)?;
    let alias = AliasRecord { user_id: record.user_id.clone(), credential_id: record.id.clone() };
    cx.tx.put(&alias_key(&cx.account, &record.alias), &alias)?;
    Ok(CreateServiceSpecificCredentialOutput { service_specific_credential: Some(record.output(&user.head.name, secret, cx.now.0)) })
}

pub(crate) async fn list_service_specific_credentials(
    cx: &mut Call,
    input: ListServiceSpecificCredentialsInput,
) -> Result<ListServiceSpecificCredentialsOutput, ApiError> {
    if let Some(service) = &input.service_name {
        check_service(service)?;
    }
    let all_users = input.all_users.unwrap_or_default();
    if all_users && input.user_name.is_some() {
        return Err(IamError::InvalidInput("UserName cannot be specified when AllUsers is true.".to_owned()).into());
    }
    let users = if all_users {
        entity::all::<UserRecord>(&mut cx.tx, &cx.account).await?
    } else {
        vec![user_of(cx, input.user_name.as_deref()).await?]
    };
    let wanted = |record: &CredentialRecord| input.service_name.as_ref().is_none_or(|service| *service == record.service);
    let mut found = Vec::new();
    for user in &users {
        let records = all_of(&mut cx.tx, &cx.account, &user.head.id).await?;
        found.extend(records.iter().filter(|record| wanted(record)).map(|record| record.metadata(&user.head.name, cx.now.0)));
    }
    found.sort_by_key(place);
    let filter = format!("{:?} {:?} {all_users}", input.user_name, input.service_name);
    let page = page::cut(cx, found, place, &filter, input.marker.as_deref(), input.max_items)?;
    Ok(ListServiceSpecificCredentialsOutput {
        service_specific_credentials: Some(page.items),
        is_truncated: Some(page.next.is_some()),
        marker: page.next,
    })
}

fn place(metadata: &ServiceSpecificCredentialMetadata) -> String {
    format!("{}\n{}", metadata.user_name.to_lowercase(), metadata.service_specific_credential_id)
}

pub(crate) async fn update_service_specific_credential(
    cx: &mut Call,
    input: UpdateServiceSpecificCredentialInput,
) -> Result<UpdateServiceSpecificCredentialOutput, ApiError> {
    let (_, mut record) = load(cx, input.user_name.as_deref(), &input.service_specific_credential_id).await?;
    record.active = match input.status {
        StatusType::Active => true,
        StatusType::Inactive => false,
        other => return Err(IamError::InvalidInput(format!("The status {other} cannot be set on a credential.")).into()),
    };
    save(&mut cx.tx, &cx.account, &record)?;
    Ok(UpdateServiceSpecificCredentialOutput {})
}

/// A new secret under the same id, alias and end; the old one opens nothing from here on.
pub(crate) async fn reset_service_specific_credential(
    cx: &mut Call,
    input: ResetServiceSpecificCredentialInput,
) -> Result<ResetServiceSpecificCredentialOutput, ApiError> {
    let (user, mut record) = load(cx, input.user_name.as_deref(), &input.service_specific_credential_id).await?;
    let secret = NewSecret::generate(cx.plane.randomness.as_ref(), &record.service, &record.alias)?;
    record.secret_sha256.clone_from(&secret.sha256);
    save(&mut cx.tx, &cx.account, &record)?;
    Ok(ResetServiceSpecificCredentialOutput { service_specific_credential: Some(record.output(&user.head.name, secret, cx.now.0)) })
}

pub(crate) async fn delete_service_specific_credential(
    cx: &mut Call,
    input: DeleteServiceSpecificCredentialInput,
) -> Result<DeleteServiceSpecificCredentialOutput, ApiError> {
    let (_, record) = load(cx, input.user_name.as_deref(), &input.service_specific_credential_id).await?;
    cx.tx.delete::<CredentialRecord>(&of_user(&cx.account, &record.user_id).last(&record.id));
    cx.tx.delete::<AliasRecord>(&alias_key(&cx.account, &record.alias));
    Ok(DeleteServiceSpecificCredentialOutput {})
}

/// Account and alias that a bearer key names.
fn named(token: &str) -> Option<(String, String)> {
    let decoded = Zeroizing::new(STANDARD.decode(token.strip_prefix(BEARER_PREFIX)?).ok()?);
    let (alias, _) = std::str::from_utf8(&decoded).ok()?.rsplit_once(':')?;
    let (_, account) = alias.rsplit_once("-at-")?;
    identifier::is_account_id(account).then(|| (account.to_owned(), alias.to_owned()))
}

/// The active credential of a bearer key of Bedrock, with its account.
pub(crate) async fn by_token(tx: &mut Transaction, token: &str) -> Result<Option<(String, CredentialRecord)>, ApiError> {
    let Some((account, alias)) = named(token) else { return Ok(None) };
    let Some(owner) = tx.get::<AliasRecord>(&alias_key(&account, &alias)).await? else { return Ok(None) };
    let found = find(tx, &account, &owner.user_id, &owner.credential_id).await?;
    // Hashes are compared, so the time it takes tells nothing of the secret.
    let sha256 = sigv4::sha256_hex(token.as_bytes());
    let opened = found.filter(|record| record.active && record.service == BEDROCK && record.secret_sha256 == sha256);
    Ok(opened.map(|record| (account, record)))
}

#[cfg(test)]
mod tests {
    use keyring::SystemRandomness;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bearer_key_names_its_alias_and_account() {
        let secret = NewSecret::generate(&SystemRandomness, BEDROCK, "a-at-b+1-at-111111111111").unwrap();
        assert!(secret.shown.starts_with("ABSK"));
        assert_eq!(named(&secret.shown), Some(("111111111111".to_owned(), "a-at-b+1-at-111111111111".to_owned())));
        assert_eq!(secret.sha256, sigv4::sha256_hex(secret.shown.as_bytes()));
        assert_eq!(named("ABSK"), None);
        assert_eq!(named(&format!("ABSK{}", STANDARD.encode("a-at-1:x"))), None);
    }

    #[test]
    fn an_expired_credential_says_so_whatever_its_status() {
        let record = |active, expires_ms| CredentialRecord {
            id: String::new(),
            user_id: String::new(),
            service: BEDROCK.to_owned(),
            alias: String::new(),
            secret_sha256: String::new(),
            active,
            created_ms: 0,
            expires_ms,
        };
        assert_eq!(record(false, Some(5)).status(5), StatusType::Expired);
        assert_eq!(record(true, Some(5)).status(4), StatusType::Active);
        assert_eq!(record(false, None).status(4), StatusType::Inactive);
    }

    proptest! {
        #[test]
        fn no_token_breaks_the_reader(text in ".{0,100}", bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = named(&text);
            let _ = named(&format!("ABSK{}", STANDARD.encode(bytes)));
        }
    }
}
