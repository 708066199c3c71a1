//! Users.

use api_iam::{
    CreateUserInput, CreateUserOutput, DeleteUserInput, DeleteUserOutput, GetUserInput, ListUsersInput, ListUsersOutput, UpdateUserInput,
    UpdateUserOutput, User,
};
use plane::{ApiError, Call, PrincipalKind};
use wire::{IntoValue, Struct, Timestamp, Value};

use crate::access_key::must_name_user;
use crate::account::{self, Counted};
use crate::attachment::{boundary_output, set_boundary};
use crate::entity::{self, Entity, EntityKind, Head, Policies, UserRecord};
use crate::error::{delete_conflict, entity_already_exists};
use crate::key_use::last_use;
use crate::{identifier, login_profile, mfa_device, page, service_specific_credential, signing_certificate, ssh_public_key, tags};

/// A user as `GetUser` shows it.
pub(crate) fn output(account: &str, user: &UserRecord) -> User {
    User { permissions_boundary: boundary_output(user.boundary.as_deref()), tags: tags::to_output(&user.tags), ..summary(account, user) }
}

/// A user as lists show it: without boundary and tags.
pub(crate) fn summary(account: &str, user: &UserRecord) -> User {
    User {
        path: user.head.path.clone(),
        user_name: user.head.name.clone(),
        user_id: user.head.id.clone(),
        arn: user.arn(account),
        create_date: Timestamp(user.head.created_ms),
        ..User::default()
    }
}

pub(crate) async fn create_user(cx: &mut Call, input: CreateUserInput) -> Result<CreateUserOutput, ApiError> {
    let tags = tags::from_input(input.tags)?;
    if cx.tx.get::<UserRecord>(&entity::key(&cx.account, &input.user_name)).await?.is_some() {
        return Err(entity_already_exists(EntityKind::User, &input.user_name));
    }
    let id = identifier::unique_id(cx.plane.randomness.as_ref(), identifier::USER)?;
    let mut user = UserRecord {
        head: Head { name: input.user_name, path: input.path.unwrap_or_else(|| "/".to_owned()), id, created_ms: cx.now.0 },
        policies: Policies::default(),
        tags,
        boundary: None,
        group_ids: Vec::new(),
        access_key_ids: Vec::new(),
    };
    if let Some(boundary) = input.permissions_boundary {
        set_boundary(cx, &mut user, Some(&boundary)).await?;
    }
    account::count_up(&mut cx.tx, &cx.account, Counted::Users).await?;
    entity::save_id(&mut cx.tx, &cx.account, &user)?;
    entity::save(&mut cx.tx, &cx.account, &user)?;
    entity::note(cx, "AWS::IAM::User", &user);
    Ok(CreateUserOutput { user: Some(output(&cx.account, &user)) })
}

/// What `GetUser` answers. Root has no name and no path, which the output type requires of a user.
pub(crate) enum UserReply {
    User(User),
    Root { account: String, arn: String, created: Timestamp },
}

impl IntoValue for UserReply {
    fn into_value(self) -> Value {
        let user = match self {
            Self::User(user) => user.into_value(),
            Self::Root { account, arn, created } => {
                let mut root = Struct::new();
                root.set("UserId", Value::Str(account));
                root.set("Arn", Value::Str(arn));
                root.set("CreateDate", Value::Time(created));
                Value::Struct(root)
            }
        };
        let mut output = Struct::new();
        output.set("User", user);
        Value::Struct(output)
    }
}

pub(crate) async fn get_user(cx: &mut Call, input: GetUserInput) -> Result<UserReply, ApiError> {
    let name = match (input.user_name, &cx.principal.kind) {
        (Some(name), _) => name,
        (None, PrincipalKind::User { name, .. }) => name.clone(),
        (None, PrincipalKind::Root) => {
            let account = account::load(&mut cx.tx, &cx.account).await?;
            let arn = identifier::root_arn(&account.id);
            return Ok(UserReply::Root { account: account.id, arn, created: Timestamp(account.created_ms) });
        }
        (None, _) => return Err(must_name_user()),
    };
    let user = entity::read::<UserRecord>(&mut cx.tx, &cx.account, &name).await?;
    let password_last_used = password_last_used(cx, &user).await?;
    Ok(UserReply::User(User { password_last_used, ..output(&cx.account, &user) }))
}

/// When the user last signed in with its password.
async fn password_last_used(cx: &mut Call, user: &UserRecord) -> Result<Option<Timestamp>, ApiError> {
    Ok(last_use(cx, &user.head.id).await?.map(|last| Timestamp(last.at_ms)))
}

pub(crate) async fn list_users(cx: &mut Call, input: ListUsersInput) -> Result<ListUsersOutput, ApiError> {
    let prefix = input.path_prefix.unwrap_or_else(|| "/".to_owned());
    let mut users = entity::all::<UserRecord>(&mut cx.tx, &cx.account).await?;
    users.retain(|user| user.head.path.starts_with(&prefix));
    let place = |user: &UserRecord| user.head.name.to_lowercase();
    let page = page::cut(cx, users, place, &prefix, input.marker.as_deref(), input.max_items)?;
    let mut users = Vec::with_capacity(page.items.len());
    for user in &page.items {
        let password_last_used = password_last_used(cx, user).await?;
        users.push(User { password_last_used, ..summary(&cx.account, user) });
    }
    Ok(ListUsersOutput { users, is_truncated: Some(page.next.is_some()), marker: page.next })
}

/// A new name keeps the unique id: policies that name the user by id, memberships and keys stay with it.
pub(crate) async fn update_user(cx: &mut Call, input: UpdateUserInput) -> Result<UpdateUserOutput, ApiError> {
    let mut user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, &input.user_name).await?;
    if let Some(path) = input.new_path {
        user.head.path = path;
    }
    if let Some(name) = input.new_user_name.filter(|name| *name != user.head.name) {
        entity::rename(cx, &mut user, name).await?;
    }
    entity::save(&mut cx.tx, &cx.account, &user)?;
    Ok(UpdateUserOutput {})
}

pub(crate) async fn delete_user(cx: &mut Call, input: DeleteUserInput) -> Result<DeleteUserOutput, ApiError> {
    let mut user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, &input.user_name).await?;
    if !user.access_key_ids.is_empty() {
        return Err(delete_conflict("delete access keys"));
    }
    if !user.policies.attached.is_empty() {
        return Err(delete_conflict("detach all policies"));
    }
    if !user.policies.inline.is_empty() {
        return Err(delete_conflict("delete policies"));
    }
    if !user.group_ids.is_empty() {
        return Err(delete_conflict("remove users from group"));
    }
    let (account, id) = (cx.account.clone(), user.head.id.clone());
    if login_profile::find(&mut cx.tx, &account, &id).await?.is_some() {
        return Err(delete_conflict("delete login profile"));
    }
    if !mfa_device::of_owner(&mut cx.tx, &account, &id).await?.is_empty() {
        return Err(delete_conflict("delete MFA device"));
    }
    if !signing_certificate::all_of(&mut cx.tx, &account, &id).await?.is_empty() {
        return Err(delete_conflict("delete signing certificates"));
    }
    if !ssh_public_key::all_of(&mut cx.tx, &account, &id).await?.is_empty() {
        return Err(delete_conflict("delete SSH public keys"));
    }
    if !service_specific_credential::all_of(&mut cx.tx, &cx.account, &user.head.id).await?.is_empty() {
        return Err(delete_conflict("delete service specific credentials"));
    }
    set_boundary(cx, &mut user, None).await?;
    account::count_down(&mut cx.tx, &cx.account, Counted::Users).await?;
    entity::remove(&mut cx.tx, &cx.account, &user);
    Ok(DeleteUserOutput {})
}
