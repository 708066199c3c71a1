//! The account itself: its creation with a root access key, its alias, and the counters behind its quotas.

use std::sync::Arc;

use api_iam::{
    CreateAccountAliasInput, CreateAccountAliasOutput, DeleteAccountAliasInput, DeleteAccountAliasOutput, ListAccountAliasesInput,
    ListAccountAliasesOutput,
};
use plane::transaction::Abort;
use plane::{ApiError, Call, Key, Plane, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::access_key::{self, AccessKeyRecord};
use crate::error::{IamError, quota_exceeded};
use crate::identifier;
use crate::page;

/// Attempts of [`bootstrap`] against concurrent commits.
const ATTEMPTS: u32 = 8;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    pub id: String,
    pub created_ms: i64,
    #[serde(default)]
    pub alias: Option<String>,
    /// Access keys of the root user.
    #[serde(default)]
    pub access_key_ids: Vec<String>,
}

impl Record for AccountRecord {
    const TABLE: Table = Table("iam.account");
    const SCOPE: Scope = Scope::Home;
}

/// Aliases are unique over all accounts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct AliasRecord {
    account: String,
}

impl Record for AliasRecord {
    const TABLE: Table = Table("iam.alias");
    const SCOPE: Scope = Scope::Home;
}

/// The root access key of a new account. It is shown once and cannot be read again.
#[derive(Debug)]
pub struct RootCredentials {
    pub access_key_id: String,
    pub secret_access_key: zeroize::Zeroizing<String>,
}

fn account_key(account: &str) -> Key {
    Key::new(account, "").last("account")
}

/// The account, if it is one of ours.
pub async fn find(tx: &mut Transaction, account: &str) -> Result<Option<AccountRecord>, ApiError> {
    tx.get(&account_key(account)).await
}

/// The account of a call. A caller has been authenticated, so its account exists.
pub async fn load(tx: &mut Transaction, account: &str) -> Result<AccountRecord, ApiError> {
    find(tx, account).await?.ok_or_else(|| ApiError::internal(&format!("the account `{account}` of an authenticated caller is missing")))
}

pub fn save(tx: &mut Transaction, account: &AccountRecord) -> Result<(), ApiError> {
    tx.put(&account_key(&account.id), account)
}

/// Whether the account was made here.
pub async fn account_exists(plane: &Arc<Plane>, account: &str) -> Result<bool, ApiError> {
    Ok(find(&mut plane.transaction(0), account).await?.is_some())
}

/// Makes an account with a generated root access key, once.
///
/// # Errors
/// `InvalidInput` when the id is not twelve digits, `EntityAlreadyExists` when the account is there already.
pub async fn bootstrap(plane: &Arc<Plane>, account_id: &str) -> Result<RootCredentials, ApiError> {
    if !identifier::is_account_id(account_id) {
        return Err(IamError::InvalidInput(format!("the account id `{account_id}` is not twelve digits")).into());
    }
    for _ in 0..ATTEMPTS {
        let mut tx = plane.transaction(0);
        if find(&mut tx, account_id).await?.is_some() {
            return Err(IamError::EntityAlreadyExists(format!("the account `{account_id}` exists already")).into());
        }
        let key = AccessKeyRecord::generate(plane.randomness.as_ref(), account_id, None, plane.now().0)?;
        let account = AccountRecord {
            id: account_id.to_owned(),
            created_ms: plane.now().0,
            alias: None,
            access_key_ids: vec![key.access_key_id.clone()],
        };
        save(&mut tx, &account)?;
        access_key::save(&mut tx, &key)?;
        match tx.commit(Vec::new()).await {
            Ok(()) => {
                return Ok(RootCredentials { access_key_id: key.access_key_id, secret_access_key: zeroize::Zeroizing::new(key.secret) });
            }
            Err(Abort::Conflict) => {}
            Err(Abort::Failed(error)) => return Err(error),
        }
    }
    Err(ApiError::internal(&"the account was not created: too many concurrent changes"))
}

/// How many resources of a kind an account has. A counter and not a scan, so that a creation reads one row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct CountRecord {
    count: usize,
}

impl Record for CountRecord {
    const TABLE: Table = Table("iam.count");
    const SCOPE: Scope = Scope::Home;
}

/// Resources whose number is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    Users,
    Groups,
    Roles,
    Policies,
    InstanceProfiles,
}

impl Counted {
    fn name(self) -> &'static str {
        match self {
            Self::Users => "UsersPerAccount",
            Self::Groups => "GroupsPerAccount",
            Self::Roles => "RolesPerAccount",
            Self::Policies => "PoliciesPerAccount",
            Self::InstanceProfiles => "InstanceProfilesPerAccount",
        }
    }

    /// Default quota. Source: IAM User Guide, "IAM and AWS STS quotas".
    pub fn quota(self) -> usize {
        match self {
            Self::Users => 5_000,
            Self::Groups => 300,
            Self::Roles | Self::InstanceProfiles => 1_000,
            Self::Policies => 1_500,
        }
    }
}

fn count_key(account: &str, counted: Counted) -> Key {
    Key::new(account, "").last(counted.name())
}

/// How many there are.
pub async fn count(tx: &mut Transaction, account: &str, counted: Counted) -> Result<usize, ApiError> {
    Ok(tx.get::<CountRecord>(&count_key(account, counted)).await?.unwrap_or_default().count)
}

/// One more, unless the quota is full.
pub async fn count_up(tx: &mut Transaction, account: &str, counted: Counted) -> Result<(), ApiError> {
    let count = count(tx, account, counted).await?;
    if count >= counted.quota() {
        return Err(quota_exceeded(counted.name(), counted.quota()));
    }
    tx.put(&count_key(account, counted), &CountRecord { count: count.saturating_add(1) })
}

/// One less.
pub async fn count_down(tx: &mut Transaction, account: &str, counted: Counted) -> Result<(), ApiError> {
    let count = count(tx, account, counted).await?;
    tx.put(&count_key(account, counted), &CountRecord { count: count.saturating_sub(1) })
}

fn alias_key(alias: &str) -> Key {
    Key::shared().last(alias)
}

/// The id of the account that has this id or this alias.
pub(crate) async fn of_alias(tx: &mut Transaction, name: &str) -> Result<Option<String>, ApiError> {
    if let Some(account) = find(tx, name).await? {
        return Ok(Some(account.id));
    }
    Ok(tx.get::<AliasRecord>(&alias_key(name)).await?.map(|alias| alias.account))
}

/// An account has one alias: a new one replaces the old one.
pub async fn create_account_alias(cx: &mut Call, input: CreateAccountAliasInput) -> Result<CreateAccountAliasOutput, ApiError> {
    let alias = input.account_alias;
    let mut account = load(&mut cx.tx, &cx.account).await?;
    let owner = cx.tx.get::<AliasRecord>(&alias_key(&alias)).await?;
    if owner.is_some_and(|owner| owner.account != account.id) {
        return Err(IamError::EntityAlreadyExists(format!("The account alias {alias} already exists.")).into());
    }
    if let Some(old) = account.alias.replace(alias.clone()) {
        cx.tx.delete::<AliasRecord>(&alias_key(&old));
    }
    cx.tx.put(&alias_key(&alias), &AliasRecord { account: account.id.clone() })?;
    save(&mut cx.tx, &account)?;
    Ok(CreateAccountAliasOutput {})
}

pub async fn delete_account_alias(cx: &mut Call, input: DeleteAccountAliasInput) -> Result<DeleteAccountAliasOutput, ApiError> {
    let mut account = load(&mut cx.tx, &cx.account).await?;
    if account.alias.as_deref() != Some(&input.account_alias) {
        return Err(IamError::NoSuchEntity(format!("The account alias {} does not exist.", input.account_alias)).into());
    }
    account.alias = None;
    cx.tx.delete::<AliasRecord>(&alias_key(&input.account_alias));
    save(&mut cx.tx, &account)?;
    Ok(DeleteAccountAliasOutput {})
}

pub async fn list_account_aliases(cx: &mut Call, input: ListAccountAliasesInput) -> Result<ListAccountAliasesOutput, ApiError> {
    let account = load(&mut cx.tx, &cx.account).await?;
    let aliases: Vec<String> = account.alias.into_iter().collect();
    let page = page::cut(cx, aliases, String::clone, "", input.marker.as_deref(), input.max_items)?;
    Ok(ListAccountAliasesOutput { account_aliases: page.items, is_truncated: Some(page.next.is_some()), marker: page.next })
}
