//! KMS keys: the record, its creation, description and switches.

use std::sync::Arc;

use api_kms::{
    CreateKeyInput, CreateKeyOutput, DescribeKeyInput, DescribeKeyOutput, DisableKeyInput, DisableKeyOutput, EnableKeyInput,
    EnableKeyOutput, KeyListEntry, KeyMetadata, ListKeysInput, ListKeysOutput, UpdateKeyDescriptionInput, UpdateKeyDescriptionOutput,
};
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::error::{KmsError, of_page};
use crate::key_name::{id_bytes, key_arn};
use crate::key_spec::KeySpec;
use crate::key_state::{self, KeyState};
use crate::rotation::{MaterialEntry, Rotation};
use crate::{deletion, grant_token, key_policy, material, resolve, scan, tag};

/// Resource type in audit events.
pub(crate) const RESOURCE_TYPE: &str = "AWS::KMS::Key";
/// Items of a page of `ListKeys` when the caller does not say.
const LIST_DEFAULT: i32 = 100;

/// Who manages a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeyManager {
    #[serde(rename = "CUSTOMER")]
    Customer,
    #[serde(rename = "AWS")]
    Aws,
}

/// A key without its material.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KmsKey {
    pub id: String,
    pub account: String,
    pub description: String,
    pub created_ms: i64,
    pub state: KeyState,
    /// When the key is deleted; set while it is pending deletion.
    pub deletion_ms: Option<i64>,
    pub manager: KeyManager,
    pub spec: KeySpec,
    /// The key policy in its stored form (`plane::policy_principal`).
    pub policy: String,
    pub tags: Vec<(String, String)>,
    /// Names of the aliases that point here, in order: decisions ask for them (`kms:ResourceAliases`).
    pub aliases: Vec<String>,
    /// Grants on the key: most keys have none and are spared the scan.
    pub grant_count: u32,
    /// Oldest first; the last one encrypts.
    pub materials: Vec<MaterialEntry>,
    pub rotation: Rotation,
}

impl Record for KmsKey {
    const TABLE: Table = Table("kms_key");
    const SCOPE: Scope = Scope::Region;
    const HOLDS_SECRETS: bool = false;
}

/// Which account has a key: a ciphertext names its key, not the account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeyLocation {
    pub account: String,
}

impl Record for KeyLocation {
    const TABLE: Table = Table("kms_key_location");
    const SCOPE: Scope = Scope::Region;
    const HOLDS_SECRETS: bool = false;
}

impl KmsKey {
    pub(crate) fn place(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    pub(crate) fn arn(&self, region: &str) -> String {
        key_arn(region, &self.account, &self.id)
    }

    pub(crate) fn put(&self, tx: &mut Transaction, region: &str) -> Result<(), ApiError> {
        tx.put(&Self::place(&self.account, region, &self.id), self)
    }

    /// The material that encrypts.
    pub(crate) fn current_material(&self) -> Result<&MaterialEntry, ApiError> {
        self.materials.last().ok_or_else(|| ApiError::internal(&format!("the key `{}` has no material", self.id)))
    }

    /// The 16 bytes that the ciphertext carries.
    pub(crate) fn id_bytes(&self) -> Result<[u8; 16], ApiError> {
        id_bytes(&self.id).ok_or_else(|| ApiError::internal(&format!("the key id `{}` is not a UUID", self.id)))
    }

    /// Passes when keys of this usage do the operation.
    pub(crate) fn check_usage(&self, usage: &str, region: &str, operation: &str) -> Result<(), KmsError> {
        if self.spec.usage() == usage {
            return Ok(());
        }
        Err(KmsError::KeyUsage { arn: self.arn(region), usage: self.spec.usage().to_owned(), operation: operation.to_owned() })
    }

    /// Everything that `DescribeKey` shows.
    pub(crate) fn metadata(&self, region: &str) -> KeyMetadata {
        let symmetric = self.spec.is_symmetric_encryption();
        let algorithm = self.spec.algorithm();
        KeyMetadata {
            aws_account_id: Some(self.account.clone()),
            key_id: self.id.clone(),
            arn: Some(self.arn(region)),
            creation_date: Some(Timestamp(self.created_ms)),
            enabled: Some(self.state == KeyState::Enabled),
            description: Some(self.description.clone()),
            key_usage: Some(self.spec.usage().into()),
            key_state: Some(self.state.name().into()),
            deletion_date: self.deletion_ms.map(Timestamp),
            origin: Some("AWS_KMS".into()),
            key_manager: Some(if self.manager == KeyManager::Aws { "AWS" } else { "CUSTOMER" }.into()),
            customer_master_key_spec: Some(self.spec.name().into()),
            key_spec: Some(self.spec.name().into()),
            encryption_algorithms: symmetric.then(|| vec![algorithm.into()]),
            mac_algorithms: (!symmetric).then(|| vec![algorithm.into()]),
            multi_region: Some(false),
            // AWS names it for symmetric encryption keys only: others cannot rotate.
            current_key_material_id: self.materials.last().filter(|_| symmetric).map(|material| material.id.clone()),
            ..KeyMetadata::default()
        }
    }
}

/// What a new key begins with.
pub(crate) struct NewKey {
    pub description: String,
    pub manager: KeyManager,
    pub spec: KeySpec,
    pub policy: String,
    pub tags: Vec<(String, String)>,
}

/// Makes a key with its first material, in the call's account and region.
pub(crate) fn create(cx: &mut Call, new: NewKey) -> Result<KmsKey, ApiError> {
    let NewKey { description, manager, spec, policy, tags } = new;
    let region = cx.region.clone();
    let mut key = KmsKey {
        id: cx.random_uuid()?,
        account: cx.account.clone(),
        description,
        created_ms: cx.now.0,
        state: KeyState::Enabled,
        deletion_ms: None,
        manager,
        spec,
        policy,
        tags,
        aliases: Vec::new(),
        grant_count: 0,
        materials: Vec::new(),
        rotation: Rotation::default(),
    };
    let id = material::generate(&cx.plane, &mut cx.tx, &region, &key)?;
    key.materials.push(MaterialEntry { id, created_ms: cx.now.0, rotated_by: None });
    key.put(&mut cx.tx, &region)?;
    cx.tx.put(&location(&region, &key.id), &KeyLocation { account: key.account.clone() })?;
    Ok(key)
}

pub(crate) fn location(region: &str, id: &str) -> Key {
    Key::new("", region).last(id)
}

pub(crate) async fn create_key(cx: &mut Call, input: CreateKeyInput) -> Result<CreateKeyOutput, ApiError> {
    refuse_unsupported(&input)?;
    let old_name = input.customer_master_key_spec.as_ref().map(api_kms::CustomerMasterKeySpec::as_str);
    let new_name = input.key_spec.as_ref().map(api_kms::KeySpec::as_str);
    if let (Some(old), Some(new)) = (old_name, new_name)
        && old != new
    {
        return Err(KmsError::Validation(
            "You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.".to_owned(),
        )
        .into());
    }
    let spec = KeySpec::requested(new_name.or(old_name), input.key_usage.as_ref().map(api_kms::KeyUsageType::as_str))?;
    let tags = tag::checked(input.tags.unwrap_or_default())?;
    let is_default = input.policy.is_none();
    let policy = input.policy.unwrap_or_else(|| key_policy::default_policy(&cx.account));
    let bypass = is_default || input.bypass_policy_lockout_safety_check.unwrap_or(false);
    let policy = key_policy::stored(cx, &policy).await?;
    let new = NewKey { description: input.description.unwrap_or_default(), manager: KeyManager::Customer, spec, policy, tags };
    let key = create(cx, new)?;
    let arn = key.arn(&cx.region);
    if !bypass {
        key_policy::check_lockout(cx, &key, &key.policy).await?;
    }
    let account = key.account.clone();
    cx.touch(RESOURCE_TYPE, &arn, &account);
    Ok(CreateKeyOutput { key_metadata: Some(key.metadata(&cx.region)) })
}

/// Key kinds that we do not make. Nothing is stored for them.
fn refuse_unsupported(input: &CreateKeyInput) -> Result<(), KmsError> {
    let refuse = |what: &str| Err(KmsError::Unsupported(format!("{what} are not supported")));
    if input.multi_region == Some(true) {
        return refuse("multi-Region keys");
    }
    if input.custom_key_store_id.is_some() || input.xks_key_id.is_some() {
        return refuse("custom key stores");
    }
    match input.origin.as_ref().map(api_kms::OriginType::as_str) {
        None | Some("AWS_KMS") => Ok(()),
        Some(origin) => refuse(&format!("keys of the origin `{origin}`")),
    }
}

pub(crate) async fn describe_key(cx: &mut Call, input: DescribeKeyInput) -> Result<DescribeKeyOutput, ApiError> {
    grant_token::check_all(cx, input.grant_tokens.as_deref())?;
    let key = resolve::key(cx, &input.key_id).await?;
    Ok(DescribeKeyOutput { key_metadata: Some(key.metadata(&cx.region)) })
}

pub(crate) async fn list_keys(cx: &mut Call, input: ListKeysInput) -> Result<ListKeysOutput, ApiError> {
    // Keys of other accounts come by resource shares, of which there are none.
    let own = input.resource_owners.is_none_or(|owners| owners.iter().any(|owner| owner.as_str() == "SELF"));
    let region = cx.region.clone();
    let mut keys = if own { scan::all::<KmsKey>(&mut cx.tx, &Key::new(&cx.account, &region)).await? } else { Vec::new() };
    keys.retain(|key| !deletion::is_due(key, cx.now.0));
    let filter = if own { "SELF" } else { "OTHER" };
    let page =
        cx.page(keys, |key| key.id.clone(), filter, input.marker.as_deref(), scan::limit(input.limit, LIST_DEFAULT)).map_err(of_page)?;
    let keys = page.items.iter().map(|key| KeyListEntry { key_id: Some(key.id.clone()), key_arn: Some(key.arn(&region)) }).collect();
    Ok(ListKeysOutput { keys: Some(keys), truncated: Some(page.next.is_some()), next_marker: page.next })
}

pub(crate) async fn update_key_description(
    cx: &mut Call,
    input: UpdateKeyDescriptionInput,
) -> Result<UpdateKeyDescriptionOutput, ApiError> {
    let mut key = resolve::key_to_change(cx, &input.key_id).await?;
    key.description = input.description;
    key.put(&mut cx.tx, &cx.region)?;
    Ok(UpdateKeyDescriptionOutput {})
}

pub(crate) async fn enable_key(cx: &mut Call, input: EnableKeyInput) -> Result<EnableKeyOutput, ApiError> {
    set_state(cx, &input.key_id, KeyState::Enabled).await?;
    Ok(EnableKeyOutput {})
}

pub(crate) async fn disable_key(cx: &mut Call, input: DisableKeyInput) -> Result<DisableKeyOutput, ApiError> {
    set_state(cx, &input.key_id, KeyState::Disabled).await?;
    Ok(DisableKeyOutput {})
}

async fn set_state(cx: &mut Call, key_id: &str, state: KeyState) -> Result<(), ApiError> {
    let mut key = Arc::unwrap_or_clone(resolve::key(cx, key_id).await?);
    key_state::check(cx.operation.name, key.state, &key.arn(&cx.region))?;
    key.state = state;
    key.put(&mut cx.tx, &cx.region)
}
