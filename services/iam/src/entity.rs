//! What users, groups and roles have in common: a name, a path, a unique id, inline policies and attached policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::error::{entity_already_exists, no_such_entity};
use crate::identifier;

/// Kind of an entity that policies are attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntityKind {
    User,
    Group,
    Role,
}

impl EntityKind {
    /// As it stands in ARNs and in messages in the middle of a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        }
    }

    /// As it stands at the beginning of a message and in names of quotas.
    pub fn title(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
            Self::Role => "Role",
        }
    }
}

/// Name and identity of an entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    pub name: String,
    /// Begins and ends with a slash.
    pub path: String,
    /// Unique id: never used again, also when the name is.
    pub id: String,
    pub created_ms: i64,
}

/// Policies of an entity.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    /// Inline documents by name.
    pub inline: BTreeMap<String, String>,
    /// ARNs of managed policies in the order of attachment.
    pub attached: Vec<String>,
}

/// A record of a user, group or role.
pub trait Entity: Record {
    const KIND: EntityKind;
    fn head(&self) -> &Head;
    fn policies(&self) -> &Policies;
    fn policies_mut(&mut self) -> &mut Policies;
    fn set_name(&mut self, name: String);

    fn arn(&self, account: &str) -> String {
        identifier::arn(account, Self::KIND.name(), &self.head().path, &self.head().name)
    }
}

/// Names what was made in the call's event: nobody could ask who made it otherwise.
pub(crate) fn note(cx: &mut Call, resource_type: &str, entity: &impl Entity) {
    let account = cx.account.clone();
    cx.touch(resource_type, &entity.arn(&account), &account);
}

/// A user, group or role that has tags, or another resource of IAM that has.
pub trait Tagged {
    fn tags(&self) -> &[(String, String)];
    fn tags_mut(&mut self) -> &mut Vec<(String, String)>;
}

/// A user or role: what a permissions boundary can be set on.
pub trait Bounded: Entity {
    fn boundary(&self) -> Option<&str>;
    fn boundary_mut(&mut self) -> &mut Option<String>;
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    pub head: Head,
    pub policies: Policies,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    #[serde(default)]
    pub boundary: Option<String>,
    /// Unique ids of its groups.
    #[serde(default)]
    pub group_ids: Vec<String>,
    #[serde(default)]
    pub access_key_ids: Vec<String>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    pub head: Head,
    pub policies: Policies,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoleRecord {
    pub head: Head,
    pub policies: Policies,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    #[serde(default)]
    pub boundary: Option<String>,
    /// The trust policy, with users and roles by unique id (see [`crate::trust`]).
    pub trust: String,
    #[serde(default)]
    pub description: Option<String>,
    pub max_session_duration_s: i32,
    /// Lower-case names of the instance profiles that hold it.
    #[serde(default)]
    pub instance_profiles: Vec<String>,
}

macro_rules! entity {
    ($record:ty, $kind:ident, $table:literal) => {
        impl Record for $record {
            const TABLE: Table = Table($table);
            const SCOPE: Scope = Scope::Home;
            const HOLDS_SECRETS: bool = false;
        }

        impl Entity for $record {
            const KIND: EntityKind = EntityKind::$kind;

            fn head(&self) -> &Head {
                &self.head
            }

            fn policies(&self) -> &Policies {
                &self.policies
            }

            fn policies_mut(&mut self) -> &mut Policies {
                &mut self.policies
            }

            fn set_name(&mut self, name: String) {
                self.head.name = name;
            }
        }
    };
}

entity!(UserRecord, User, "iam.user");
entity!(GroupRecord, Group, "iam.group");
entity!(RoleRecord, Role, "iam.role");

macro_rules! tagged {
    ($record:ty) => {
        impl $crate::entity::Tagged for $record {
            fn tags(&self) -> &[(String, String)] {
                &self.tags
            }

            fn tags_mut(&mut self) -> &mut Vec<(String, String)> {
                &mut self.tags
            }
        }
    };
}
pub(crate) use tagged;

tagged!(UserRecord);
tagged!(RoleRecord);

macro_rules! bounded {
    ($record:ty) => {
        impl Bounded for $record {
            fn boundary(&self) -> Option<&str> {
                self.boundary.as_deref()
            }

            fn boundary_mut(&mut self) -> &mut Option<String> {
                &mut self.boundary
            }
        }
    };
}

bounded!(UserRecord);
bounded!(RoleRecord);

/// Unique ids are unique over all accounts, and policies of one account name those of others.
fn id_key(id: &str) -> Key {
    Key::shared().last(id)
}

/// Where a unique id leads: for policies that hold ids, and for memberships.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdOwner {
    pub account: String,
    pub kind: EntityKind,
    pub name: String,
}

impl Record for IdOwner {
    const TABLE: Table = Table("iam.id");
    const SCOPE: Scope = Scope::Home;
}

/// Names compare without case: one lower-case form is the key.
pub fn key(account: &str, name: &str) -> Key {
    Key::new(account, "").last(name.to_lowercase())
}

/// The entity of this name, if there is one. A name that differs in case only is another name to a reader.
pub async fn find<E: Entity>(tx: &mut Transaction, account: &str, name: &str) -> Result<Option<E>, ApiError> {
    let found = tx.get::<E>(&key(account, name)).await?;
    Ok(found.filter(|entity| entity.head().name == name))
}

/// As [`find`], for who only reads.
pub async fn look_at<E: Entity>(tx: &mut Transaction, account: &str, name: &str) -> Result<Option<Arc<E>>, ApiError> {
    let found = tx.look_at::<E>(&key(account, name)).await?;
    Ok(found.filter(|entity| entity.head().name == name))
}

/// The entity of this name, or the error that says that there is none.
pub async fn load<E: Entity>(tx: &mut Transaction, account: &str, name: &str) -> Result<E, ApiError> {
    find(tx, account, name).await?.ok_or_else(|| no_such_entity(E::KIND, name))
}

/// As [`load`], for who only reads.
pub async fn read<E: Entity>(tx: &mut Transaction, account: &str, name: &str) -> Result<Arc<E>, ApiError> {
    look_at(tx, account, name).await?.ok_or_else(|| no_such_entity(E::KIND, name))
}

/// Writes an entity back.
pub fn save<E: Entity>(tx: &mut Transaction, account: &str, entity: &E) -> Result<(), ApiError> {
    tx.put(&key(account, &entity.head().name), entity)
}

/// Notes where a unique id leads; again after a change of the name.
pub fn save_id<E: Entity>(tx: &mut Transaction, account: &str, entity: &E) -> Result<(), ApiError> {
    let head = entity.head();
    let owner = IdOwner { account: account.to_owned(), kind: E::KIND, name: head.name.clone() };
    tx.put(&id_key(&head.id), &owner)
}

/// Removes an entity and its id.
pub fn remove<E: Entity>(tx: &mut Transaction, account: &str, entity: &E) {
    tx.delete::<E>(&key(account, &entity.head().name));
    tx.delete::<IdOwner>(&id_key(&entity.head().id));
}

/// Whose id it is; `None` when the entity is gone.
pub async fn by_id(tx: &mut Transaction, id: &str) -> Result<Option<IdOwner>, ApiError> {
    tx.get(&id_key(id)).await
}

/// All entities of a kind, in order of their lower-case names.
pub async fn all<E: Entity>(tx: &mut Transaction, account: &str) -> Result<Vec<E>, ApiError> {
    let rows = tx.scan::<E>(&Key::new(account, ""), None, plane::transaction::SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, entity)| entity).collect())
}

/// Gives an entity another name, unless that is taken. It keeps its id: policies that name it by id and memberships stay with it.
/// The caller saves it.
pub async fn rename<E: Entity>(cx: &mut Call, entity: &mut E, name: String) -> Result<(), ApiError> {
    let same = name.to_lowercase() == entity.head().name.to_lowercase();
    if !same && cx.tx.get::<E>(&key(&cx.account, &name)).await?.is_some() {
        return Err(entity_already_exists(E::KIND, &name));
    }
    remove(&mut cx.tx, &cx.account, entity);
    entity.set_name(name);
    save_id(&mut cx.tx, &cx.account, entity)
}
