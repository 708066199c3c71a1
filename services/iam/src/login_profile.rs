//! Login profiles: the passwords of users.
//!
//! Source: IAM API Reference, "CreateLoginProfile", "UpdateLoginProfile", "ChangePassword".

use api_iam::{
    ChangePasswordInput, ChangePasswordOutput, CreateLoginProfileInput, CreateLoginProfileOutput, DeleteLoginProfileInput,
    DeleteLoginProfileOutput, GetLoginProfileInput, GetLoginProfileOutput, LoginProfile, UpdateLoginProfileInput, UpdateLoginProfileOutput,
};
use plane::{ApiError, Call, Key, PrincipalKind, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;
use wire::Timestamp;

use crate::entity::{self, UserRecord};
use crate::error::IamError;
use crate::password;
use crate::service_specific_credential::user_of;

/// What the root user is called where a user has a name.
const ROOT: &str = "root";
/// Most passwords that a policy can forbid to use again.
const HISTORY: usize = 24;

/// A user's password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LoginProfileRecord {
    pub hash: String,
    /// Earlier ones, the newest first.
    #[serde(default)]
    pub earlier: Vec<String>,
    pub reset_required: bool,
    pub created_ms: i64,
    pub changed_ms: i64,
}

impl Record for LoginProfileRecord {
    const TABLE: Table = Table("iam.login-profile");
    const SCOPE: Scope = Scope::Home;
}

fn key(account: &str, user_id: &str) -> Key {
    Key::new(account, "").last(user_id)
}

pub(crate) async fn find(tx: &mut Transaction, account: &str, user_id: &str) -> Result<Option<LoginProfileRecord>, ApiError> {
    tx.get(&key(account, user_id)).await
}

/// When a user's password was set last; `None`: the user has none.
pub async fn password_set_ms(tx: &mut Transaction, account: &str, user_id: &str) -> Result<Option<i64>, ApiError> {
    Ok(find(tx, account, user_id).await?.map(|record| record.changed_ms))
}

fn no_profile(user: &UserRecord) -> ApiError {
    IamError::NoSuchEntity(format!("Login Profile for User {} cannot be found.", user.head.name)).into()
}

fn output(user: &UserRecord, record: &LoginProfileRecord) -> LoginProfile {
    LoginProfile {
        user_name: user.head.name.clone(),
        create_date: Timestamp(record.created_ms),
        password_reset_required: Some(record.reset_required),
    }
}

impl LoginProfileRecord {
    /// Sets another password, which the account's policy must take.
    async fn change(&mut self, cx: &mut Call, user: &UserRecord, new: &str, by_owner: bool) -> Result<(), ApiError> {
        let policy = password::policy(&mut cx.tx, &cx.account).await?;
        password::check(policy.as_ref(), &user.head.name, new)?;
        let remembered = policy.as_ref().and_then(|policy| policy.reuse_prevention).and_then(|count| usize::try_from(count).ok());
        // Whoever may set others' passwords may set an old one; the policy binds the owner.
        if let Some(remembered) = remembered.filter(|_| by_owner) {
            for kept in std::iter::once(&self.hash).chain(&self.earlier).take(remembered) {
                if password::verify(kept, new)? {
                    let text = "Policy constraint violation with password reuse prevention during password change.";
                    return Err(IamError::PasswordPolicyViolation(text.to_owned()).into());
                }
            }
        }
        let old = std::mem::replace(&mut self.hash, password::hash(cx.plane.randomness.as_ref(), new)?);
        self.earlier.insert(0, old);
        self.earlier.truncate(HISTORY);
        self.changed_ms = cx.now.0;
        Ok(())
    }
}

/// That the root user may set a password, which it has none of its own to be made here: the task `IAMCreateRootUserPassword` gives it leave.
///
/// Source: IAM User Guide, "Perform a privileged task on an AWS Organizations member account".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct RootPasswordRecord {
    created_ms: i64,
}

impl Record for RootPasswordRecord {
    const TABLE: Table = Table("iam.root-password");
    const SCOPE: Scope = Scope::Home;
}

fn root_key(account: &str) -> Key {
    Key::new(account, "").last("root")
}

/// Whether the root user has a password, or leave to set one.
pub(crate) async fn root_may_sign_in(tx: &mut Transaction, account: &str) -> Result<bool, ApiError> {
    Ok(tx.get::<RootPasswordRecord>(&root_key(account)).await?.is_some())
}

fn root_output(record: &RootPasswordRecord) -> LoginProfile {
    LoginProfile { user_name: ROOT.to_owned(), create_date: Timestamp(record.created_ms), password_reset_required: Some(true) }
}

/// The root user asks about itself.
fn is_about_root(cx: &Call, user_name: Option<&str>) -> bool {
    user_name.is_none() && cx.principal.kind == PrincipalKind::Root
}

async fn root_profile(cx: &mut Call) -> Result<RootPasswordRecord, ApiError> {
    let found = cx.tx.get::<RootPasswordRecord>(&root_key(&cx.account)).await?;
    found.ok_or_else(|| IamError::NoSuchEntity(format!("Login Profile for User {ROOT} cannot be found.")).into())
}

async fn create_root_profile(cx: &mut Call, with_password: bool) -> Result<CreateLoginProfileOutput, ApiError> {
    if with_password {
        let text = "A password cannot be given for the root user: its owner sets it by password recovery.";
        return Err(IamError::ValidationError(text.to_owned()).into());
    }
    if root_may_sign_in(&mut cx.tx, &cx.account).await? {
        return Err(IamError::EntityAlreadyExists(format!("Login Profile for user {ROOT} already exists.")).into());
    }
    let record = RootPasswordRecord { created_ms: cx.now.0 };
    cx.tx.put(&root_key(&cx.account), &record)?;
    Ok(CreateLoginProfileOutput { login_profile: root_output(&record) })
}

pub(crate) async fn create_login_profile(cx: &mut Call, input: CreateLoginProfileInput) -> Result<CreateLoginProfileOutput, ApiError> {
    if is_about_root(cx, input.user_name.as_deref()) {
        return create_root_profile(cx, input.password.is_some()).await;
    }
    let user = user_of(cx, input.user_name.as_deref()).await?;
    if find(&mut cx.tx, &cx.account, &user.head.id).await?.is_some() {
        return Err(IamError::EntityAlreadyExists(format!("Login Profile for user {} already exists.", user.head.name)).into());
    }
    let Some(new) = input.password else {
        return Err(IamError::ValidationError("Password is required to create the login profile of an IAM user.".to_owned()).into());
    };
    let policy = password::policy(&mut cx.tx, &cx.account).await?;
    password::check(policy.as_ref(), &user.head.name, &new)?;
    let record = LoginProfileRecord {
        hash: password::hash(cx.plane.randomness.as_ref(), &new)?,
        earlier: Vec::new(),
        reset_required: input.password_reset_required.unwrap_or_default(),
        created_ms: cx.now.0,
        changed_ms: cx.now.0,
    };
    cx.tx.put(&key(&cx.account, &user.head.id), &record)?;
    Ok(CreateLoginProfileOutput { login_profile: output(&user, &record) })
}

async fn load(cx: &mut Call, user_name: Option<&str>) -> Result<(UserRecord, LoginProfileRecord), ApiError> {
    let user = user_of(cx, user_name).await?;
    let record = find(&mut cx.tx, &cx.account, &user.head.id).await?.ok_or_else(|| no_profile(&user))?;
    Ok((user, record))
}

pub(crate) async fn get_login_profile(cx: &mut Call, input: GetLoginProfileInput) -> Result<GetLoginProfileOutput, ApiError> {
    if is_about_root(cx, input.user_name.as_deref()) {
        return Ok(GetLoginProfileOutput { login_profile: root_output(&root_profile(cx).await?) });
    }
    let (user, record) = load(cx, input.user_name.as_deref()).await?;
    Ok(GetLoginProfileOutput { login_profile: output(&user, &record) })
}

pub(crate) async fn update_login_profile(cx: &mut Call, input: UpdateLoginProfileInput) -> Result<UpdateLoginProfileOutput, ApiError> {
    let (user, mut record) = load(cx, Some(&input.user_name)).await?;
    if let Some(new) = input.password {
        record.change(cx, &user, &new, false).await?;
    }
    if let Some(reset_required) = input.password_reset_required {
        record.reset_required = reset_required;
    }
    cx.tx.put(&key(&cx.account, &user.head.id), &record)?;
    Ok(UpdateLoginProfileOutput {})
}

pub(crate) async fn delete_login_profile(cx: &mut Call, input: DeleteLoginProfileInput) -> Result<DeleteLoginProfileOutput, ApiError> {
    if is_about_root(cx, input.user_name.as_deref()) {
        root_profile(cx).await?;
        cx.tx.delete::<RootPasswordRecord>(&root_key(&cx.account));
        return Ok(DeleteLoginProfileOutput {});
    }
    let (user, _) = load(cx, input.user_name.as_deref()).await?;
    cx.tx.delete::<LoginProfileRecord>(&key(&cx.account, &user.head.id));
    Ok(DeleteLoginProfileOutput {})
}

pub(crate) async fn change_password(cx: &mut Call, input: ChangePasswordInput) -> Result<ChangePasswordOutput, ApiError> {
    let PrincipalKind::User { name, .. } = &cx.principal.kind else {
        return Err(IamError::InvalidUserType("Only IAM Users can change their own password.".to_owned()).into());
    };
    let name = name.clone();
    let user = entity::load::<UserRecord>(&mut cx.tx, &cx.account, &name).await?;
    let mut record = find(&mut cx.tx, &cx.account, &user.head.id).await?.ok_or_else(|| no_profile(&user))?;
    let policy = password::policy(&mut cx.tx, &cx.account).await?;
    let ended = password::expires_ms(policy.as_ref(), record.changed_ms).is_some_and(|expires_ms| expires_ms <= cx.now.0);
    if ended && policy.as_ref().is_some_and(|policy| policy.hard_expiry) {
        return Err(IamError::AccessDenied("The password has expired and must be set anew by an administrator.".to_owned()).into());
    }
    if !password::verify(&record.hash, &input.old_password)? {
        return Err(IamError::AccessDenied("The old password is incorrect.".to_owned()).into());
    }
    record.change(cx, &user, &input.new_password, true).await?;
    record.reset_required = false;
    cx.tx.put(&key(&cx.account, &user.head.id), &record)?;
    Ok(ChangePasswordOutput {})
}
