//! Aliases: names of keys within an account and region.

use api_kms::{
    AliasListEntry, CreateAliasInput, CreateAliasOutput, DeleteAliasInput, DeleteAliasOutput, ListAliasesInput, ListAliasesOutput,
    UpdateAliasInput, UpdateAliasOutput,
};
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::error::{KmsError, of_page};
use crate::key::KmsKey;
use crate::key_name::{ALIAS, alias_arn};
use crate::{resolve, scan};

/// Names that only we give.
pub(crate) const RESERVED: &str = "alias/aws/";
/// Aliases of one key.
const LIMIT: usize = 50;
/// Items of a page when the caller does not say, and at most.
const LIST_DEFAULT: i32 = 50;
const LIST_MAX: i32 = 100;

/// A name that points to a key of the same account and region.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Alias {
    /// With the prefix `alias/`.
    pub name: String,
    pub key_id: String,
    pub created_ms: i64,
    pub updated_ms: i64,
}

impl Record for Alias {
    const TABLE: Table = Table("kms_alias");
    const SCOPE: Scope = Scope::Region;
    const HOLDS_SECRETS: bool = false;
}

impl Alias {
    pub(crate) fn place(account: &str, region: &str, name: &str) -> Key {
        Key::new(account, region).last(name)
    }
}

/// Checks a name that a caller gives to an alias operation.
pub(crate) fn check_name(name: &str) -> Result<(), KmsError> {
    if name.starts_with(RESERVED) {
        return Err(KmsError::AliasReserved);
    }
    let Some(rest) = name.strip_prefix(ALIAS) else { return Err(KmsError::AliasPrefix) };
    let is_name = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-'));
    if is_name { Ok(()) } else { Err(KmsError::AliasName(name.to_owned())) }
}

pub(crate) async fn create_alias(cx: &mut Call, input: CreateAliasInput) -> Result<CreateAliasOutput, ApiError> {
    check_name(&input.alias_name)?;
    let region = cx.region.clone();
    let mut key = resolve::key_to_change(cx, &input.target_key_id).await?;
    let alias = Alias { name: input.alias_name, key_id: key.id.clone(), created_ms: cx.now.0, updated_ms: cx.now.0 };
    if !cx.tx.insert(&Alias::place(&cx.account, &region, &alias.name), &alias).await? {
        return Err(KmsError::AliasExists(alias_arn(&region, &cx.account, &alias.name)).into());
    }
    add(&mut key, &region, alias.name)?;
    key.put(&mut cx.tx, &region)?;
    Ok(CreateAliasOutput {})
}

pub(crate) async fn update_alias(cx: &mut Call, input: UpdateAliasInput) -> Result<UpdateAliasOutput, ApiError> {
    check_name(&input.alias_name)?;
    let region = cx.region.clone();
    let mut alias = get(cx, &input.alias_name).await?;
    let mut new = resolve::key_to_change(cx, &input.target_key_id).await?;
    if new.id != alias.key_id {
        if let Some(mut old) = cx.tx.get::<KmsKey>(&KmsKey::place(&cx.account, &region, &alias.key_id)).await? {
            if old.spec.usage() != new.spec.usage() {
                return Err(KmsError::Validation(format!(
                    "The alias cannot move from a key with the usage {} to one with the usage {}",
                    old.spec.usage(),
                    new.spec.usage()
                ))
                .into());
            }
            old.aliases.retain(|name| *name != alias.name);
            old.put(&mut cx.tx, &region)?;
        }
        add(&mut new, &region, alias.name.clone())?;
        new.put(&mut cx.tx, &region)?;
    }
    alias.key_id = new.id;
    alias.updated_ms = cx.now.0;
    cx.tx.put(&Alias::place(&cx.account, &region, &alias.name), &alias)?;
    Ok(UpdateAliasOutput {})
}

pub(crate) async fn delete_alias(cx: &mut Call, input: DeleteAliasInput) -> Result<DeleteAliasOutput, ApiError> {
    check_name(&input.alias_name)?;
    let region = cx.region.clone();
    let alias = get(cx, &input.alias_name).await?;
    if let Some(mut key) = cx.tx.get::<KmsKey>(&KmsKey::place(&cx.account, &region, &alias.key_id)).await? {
        key.aliases.retain(|name| *name != alias.name);
        key.put(&mut cx.tx, &region)?;
    }
    cx.tx.delete::<Alias>(&Alias::place(&cx.account, &region, &alias.name));
    Ok(DeleteAliasOutput {})
}

pub(crate) async fn list_aliases(cx: &mut Call, input: ListAliasesInput) -> Result<ListAliasesOutput, ApiError> {
    let region = cx.region.clone();
    let of_key = match &input.key_id {
        Some(key_id) => Some(resolve::key(cx, key_id).await?.id.clone()),
        None => None,
    };
    let mut aliases = scan::all::<Alias>(&mut cx.tx, &Key::new(&cx.account, &region)).await?;
    aliases.retain(|alias| of_key.as_ref().is_none_or(|id| alias.key_id == *id));
    let limit = scan::limit(Some(input.limit.unwrap_or(LIST_DEFAULT).min(LIST_MAX)), LIST_DEFAULT);
    let filter = of_key.unwrap_or_default();
    let page = cx.page(aliases, |alias| alias.name.clone(), &filter, input.marker.as_deref(), limit).map_err(of_page)?;
    let aliases = page.items.into_iter().map(|alias| entry(&region, &cx.account, alias)).collect();
    Ok(ListAliasesOutput { aliases: Some(aliases), truncated: Some(page.next.is_some()), next_marker: page.next })
}

fn entry(region: &str, account: &str, alias: Alias) -> AliasListEntry {
    AliasListEntry {
        alias_arn: Some(alias_arn(region, account, &alias.name)),
        alias_name: Some(alias.name),
        target_key_id: Some(alias.key_id),
        creation_date: Some(Timestamp(alias.created_ms)),
        last_updated_date: Some(Timestamp(alias.updated_ms)),
    }
}

/// The alias of the caller's account.
pub(crate) async fn get(cx: &mut Call, name: &str) -> Result<Alias, ApiError> {
    let region = cx.region.clone();
    let found = cx.tx.get::<Alias>(&Alias::place(&cx.account, &region, name)).await?;
    found.ok_or_else(|| KmsError::AliasMissing(alias_arn(&region, &cx.account, name)).into())
}

fn add(key: &mut KmsKey, region: &str, name: String) -> Result<(), KmsError> {
    if key.aliases.len() >= LIMIT {
        return Err(KmsError::Limit(format!("{} has {LIMIT} aliases, which is the limit", key.arn(region))));
    }
    key.aliases.push(name);
    key.aliases.sort_unstable();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, expected) in [
            ("alias/a", Ok(())),
            ("alias/Team-1/key_2", Ok(())),
            ("a", Err("ValidationException")),
            ("alias/", Err("InvalidAliasNameException")),
            ("alias/a:b", Err("InvalidAliasNameException")),
            ("alias/aws/s3", Err("NotAuthorizedException")),
            ("alias/awsome", Ok(())),
        ] {
            assert_eq!(check_name(name).map_err(|error| error.code()), expected, "{name}");
        }
    }
}
