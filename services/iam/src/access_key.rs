//! Long-term access keys of users and of the root user.

use api_iam::{
    AccessKey, AccessKeyLastUsed, AccessKeyMetadata, CreateAccessKeyInput, CreateAccessKeyOutput, DeleteAccessKeyInput,
    DeleteAccessKeyOutput, GetAccessKeyLastUsedInput, GetAccessKeyLastUsedOutput, ListAccessKeysInput, ListAccessKeysOutput, StatusType,
    UpdateAccessKeyInput, UpdateAccessKeyOutput,
};
use keyring::Randomness;
use plane::{ApiError, Call, Key, PrincipalKind, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::{Secret, Timestamp};

use crate::account::{self, AccountRecord};
use crate::entity::{self, UserRecord};
use crate::error::{IamError, quota_exceeded};
use crate::key_use::last_use;
use crate::{identifier, page};

/// Access keys of one user. Source: IAM User Guide, "IAM and AWS STS quotas".
pub const PER_USER: usize = 2;

/// A long-term access key. The record is sealed at rest, as all are; the secret leaves it only to verify signatures and once, when the
/// key is made.
#[derive(Clone, Serialize, Deserialize)]
pub struct AccessKeyRecord {
    pub access_key_id: String,
    pub account: String,
    /// Unique id of the user; `None`: the account's root.
    pub user_id: Option<String>,
    pub secret: String,
    pub active: bool,
    pub created_ms: i64,
}

impl Record for AccessKeyRecord {
    const TABLE: Table = Table("iam.access-key");
    const SCOPE: Scope = Scope::Home;
}

impl AccessKeyRecord {
    pub fn generate(randomness: &dyn Randomness, account: &str, user_id: Option<String>, now_ms: i64) -> Result<Self, ApiError> {
        Ok(Self {
            access_key_id: identifier::access_key_id(randomness, identifier::ACCESS_KEY)?,
            account: account.to_owned(),
            user_id,
            secret: identifier::secret_access_key(randomness)?.to_string(),
            active: true,
            created_ms: now_ms,
        })
    }

    pub fn status(&self) -> StatusType {
        if self.active { StatusType::Active } else { StatusType::Inactive }
    }
}

/// Key ids are unique over all accounts: a request names nothing else.
fn key(access_key_id: &str) -> Key {
    Key::shared().last(access_key_id)
}

pub async fn find(tx: &mut Transaction, access_key_id: &str) -> Result<Option<AccessKeyRecord>, ApiError> {
    tx.get(&key(access_key_id)).await
}

pub fn save(tx: &mut Transaction, record: &AccessKeyRecord) -> Result<(), ApiError> {
    tx.put(&key(&record.access_key_id), record)
}

fn remove(tx: &mut Transaction, access_key_id: &str) {
    tx.delete::<AccessKeyRecord>(&key(access_key_id));
}

/// Whose keys a call is about.
enum Owner {
    Root(AccountRecord),
    User(UserRecord),
}

impl Owner {
    /// The named user; without a name the caller, who must be a user or root.
    async fn of(cx: &mut Call, user_name: Option<&str>) -> Result<Self, ApiError> {
        let name = match (user_name, &cx.principal.kind) {
            (Some(name), _) => name.to_owned(),
            (None, PrincipalKind::User { name, .. }) => name.clone(),
            (None, PrincipalKind::Root) => return account::load(&mut cx.tx, &cx.account).await.map(Self::Root),
            (None, _) => return Err(must_name_user()),
        };
        entity::load(&mut cx.tx, &cx.account, &name).await.map(Self::User)
    }

    fn user_id(&self) -> Option<String> {
        match self {
            Self::Root(_) => None,
            Self::User(user) => Some(user.head.id.clone()),
        }
    }

    /// Root has no user name.
    fn user_name(&self) -> Option<String> {
        match self {
            Self::Root(_) => None,
            Self::User(user) => Some(user.head.name.clone()),
        }
    }

    fn key_ids(&self) -> &[String] {
        match self {
            Self::Root(account) => &account.access_key_ids,
            Self::User(user) => &user.access_key_ids,
        }
    }

    fn key_ids_mut(&mut self) -> &mut Vec<String> {
        match self {
            Self::Root(account) => &mut account.access_key_ids,
            Self::User(user) => &mut user.access_key_ids,
        }
    }

    fn save(&self, cx: &mut Call) -> Result<(), ApiError> {
        match self {
            Self::Root(account) => account::save(&mut cx.tx, account),
            Self::User(user) => entity::save(&mut cx.tx, &cx.account, user),
        }
    }

    async fn key(&self, cx: &mut Call, access_key_id: &str) -> Result<AccessKeyRecord, ApiError> {
        if !self.key_ids().iter().any(|id| id == access_key_id) {
            return Err(no_such_key(access_key_id));
        }
        find(&mut cx.tx, access_key_id).await?.ok_or_else(|| no_such_key(access_key_id))
    }
}

/// A session has no keys or user data of its own.
pub fn must_name_user() -> ApiError {
    IamError::ValidationError("Must specify userName when calling with non-User credentials".to_owned()).into()
}

fn no_such_key(access_key_id: &str) -> ApiError {
    IamError::NoSuchEntity(format!("The Access Key with id {access_key_id} cannot be found.")).into()
}

pub async fn create_access_key(cx: &mut Call, input: CreateAccessKeyInput) -> Result<CreateAccessKeyOutput, ApiError> {
    let mut owner = Owner::of(cx, input.user_name.as_deref()).await?;
    if owner.key_ids().len() >= PER_USER {
        return Err(quota_exceeded("AccessKeysPerUser", PER_USER));
    }
    let record = AccessKeyRecord::generate(cx.plane.randomness.as_ref(), &cx.account, owner.user_id(), cx.now.0)?;
    if find(&mut cx.tx, &record.access_key_id).await?.is_some() {
        return Err(ApiError::internal(&"a generated access key id exists already"));
    }
    save(&mut cx.tx, &record)?;
    owner.key_ids_mut().push(record.access_key_id.clone());
    owner.save(cx)?;
    let status = record.status();
    Ok(CreateAccessKeyOutput {
        access_key: AccessKey {
            user_name: owner.user_name().unwrap_or_default(),
            access_key_id: record.access_key_id,
            status,
            secret_access_key: Secret::new(record.secret),
            create_date: Some(Timestamp(record.created_ms)),
        },
    })
}

pub async fn list_access_keys(cx: &mut Call, input: ListAccessKeysInput) -> Result<ListAccessKeysOutput, ApiError> {
    let owner = Owner::of(cx, input.user_name.as_deref()).await?;
    let mut keys = Vec::new();
    for id in owner.key_ids() {
        let record = owner.key(cx, id).await?;
        keys.push(AccessKeyMetadata {
            user_name: owner.user_name(),
            status: Some(record.status()),
            access_key_id: Some(record.access_key_id),
            create_date: Some(Timestamp(record.created_ms)),
        });
    }
    let id = |key: &AccessKeyMetadata| key.access_key_id.clone().unwrap_or_default();
    keys.sort_by_key(id);
    let page = page::cut(cx, keys, id, owner.user_name().as_deref().unwrap_or_default(), input.marker.as_deref(), input.max_items)?;
    Ok(ListAccessKeysOutput { access_key_metadata: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}

pub async fn update_access_key(cx: &mut Call, input: UpdateAccessKeyInput) -> Result<UpdateAccessKeyOutput, ApiError> {
    let owner = Owner::of(cx, input.user_name.as_deref()).await?;
    let mut record = owner.key(cx, &input.access_key_id).await?;
    record.active = match input.status {
        StatusType::Active => true,
        StatusType::Inactive => false,
        other => return Err(IamError::InvalidInput(format!("The status {other} cannot be set on an access key.")).into()),
    };
    save(&mut cx.tx, &record)?;
    Ok(UpdateAccessKeyOutput {})
}

pub async fn delete_access_key(cx: &mut Call, input: DeleteAccessKeyInput) -> Result<DeleteAccessKeyOutput, ApiError> {
    let mut owner = Owner::of(cx, input.user_name.as_deref()).await?;
    let record = owner.key(cx, &input.access_key_id).await?;
    owner.key_ids_mut().retain(|id| *id != record.access_key_id);
    owner.save(cx)?;
    remove(&mut cx.tx, &record.access_key_id);
    Ok(DeleteAccessKeyOutput {})
}

/// The user behind a key of this account, with the key. `None` as user: root.
pub async fn owner_of(
    tx: &mut Transaction,
    account: &str,
    access_key_id: &str,
) -> Result<Option<(AccessKeyRecord, Option<UserRecord>)>, ApiError> {
    let Some(record) = find(tx, access_key_id).await?.filter(|record| record.account == account) else { return Ok(None) };
    let Some(user_id) = &record.user_id else { return Ok(Some((record, None))) };
    let user = match entity::by_id(tx, user_id).await? {
        Some(owner) => entity::find::<UserRecord>(tx, account, &owner.name).await?,
        None => None,
    };
    Ok(user.map(|user| (record, Some(user))))
}

pub async fn get_access_key_last_used(cx: &mut Call, input: GetAccessKeyLastUsedInput) -> Result<GetAccessKeyLastUsedOutput, ApiError> {
    let account = cx.account.clone();
    let found = owner_of(&mut cx.tx, &account, &input.access_key_id).await?;
    let Some((record, user)) = found else { return Err(no_such_key(&input.access_key_id)) };
    let last_used = match last_use(cx, &record.access_key_id).await? {
        Some(used) => AccessKeyLastUsed { last_used_date: Some(Timestamp(used.at_ms)), service_name: used.service, region: used.region },
        None => AccessKeyLastUsed { last_used_date: None, service_name: "N/A".to_owned(), region: "N/A".to_owned() },
    };
    Ok(GetAccessKeyLastUsedOutput { user_name: user.map(|user| user.head.name), access_key_last_used: Some(last_used) })
}
