//! The directory: what the plane asks about credentials and about everything that is attached to a principal.

use std::sync::Arc;

use async_trait::async_trait;
use plane::authorize::compiled;
use plane::transaction::Abort;
use plane::{ApiError, Credential, Plane, Principal, PrincipalAccess, PrincipalKind, Record, SignIn, SignInAttempt, Transaction};
use policy::{Attached, PolicyKind, PolicySource};
use serde_json::json;
use store::Table;
use zeroize::Zeroizing;

use crate::access_key::{self, AccessKeyRecord};
use crate::account::{self, AccountRecord};
use crate::entity::{self, Bounded, Entity, EntityKind, GroupRecord, IdOwner, RoleRecord, UserRecord};
use crate::identifier::{AssumedRoleArn, IamArn, assumed_role_arn};
use crate::key_use::{self, LastUse, Uses};
use crate::managed_policy::{self, ManagedPolicyRecord};
use crate::password::{self, PasswordPolicyRecord};
use crate::service_specific_credential::{self, CredentialRecord};
use crate::{identifier, service_linked_role, sign_in, tags, trust};

/// What stands for the account's password policy where policies are told.
const PASSWORD_POLICY: &str = "account password policy";
/// Uses written in one transaction.
const FLUSH_BATCH: usize = 500;

/// Principals and what is attached to them, read from IAM's records.
#[derive(Default)]
pub struct Directory {
    uses: Uses,
}

impl Directory {
    pub fn new() -> Self {
        Self::default()
    }

    /// The last use of an access key or of a role (by unique id) that is not written down yet.
    pub(crate) fn last_use(&self, subject: &str) -> Option<LastUse> {
        self.uses.get(subject)
    }

    /// When an access key (by its id) or a role (by its unique id) was last used, milliseconds since 1970, as far as is known.
    pub async fn last_used_ms(&self, tx: &mut Transaction, subject: &str) -> Result<Option<i64>, ApiError> {
        let written = key_use::written(tx, subject).await?.map(|last| last.at_ms);
        Ok(self.last_use(subject).map(|last| last.at_ms).max(written))
    }

    /// Writes down when credentials were last used. The server calls it now and then and before it ends; what cannot be written is kept.
    pub async fn flush(&self, plane: &Arc<Plane>) -> Result<(), ApiError> {
        let mut uses: Vec<(String, LastUse)> = self.uses.take().into_iter().collect();
        while !uses.is_empty() {
            let batch = uses.split_off(uses.len().saturating_sub(FLUSH_BATCH));
            let mut tx = plane.transaction(0);
            let written = batch.iter().try_for_each(|(subject, last)| key_use::write(&mut tx, subject, last));
            let outcome = match written {
                Ok(()) => tx.commit(Vec::new()).await,
                Err(error) => Err(Abort::Failed(error)),
            };
            if let Err(abort) = outcome {
                self.uses.give_back(batch.into_iter().chain(uses).collect());
                return match abort {
                    // The next flush tries again.
                    Abort::Conflict => Ok(()),
                    Abort::Failed(error) => Err(error),
                };
            }
        }
        Ok(())
    }
}

#[async_trait]
impl plane::Directory for Directory {
    async fn credential(&self, tx: &mut Transaction, access_key_id: &str) -> Result<Option<Credential>, ApiError> {
        let Some(record) = access_key::find(tx, access_key_id).await?.filter(|record| record.active) else { return Ok(None) };
        let Some(mut principal) = owner(tx, &record).await? else { return Ok(None) };
        principal.access_key_id = Some(record.access_key_id);
        Ok(Some(Credential { secret: Zeroizing::new(record.secret), principal: Arc::new(principal), expires_ms: None }))
    }

    async fn bearer(&self, tx: &mut Transaction, token: &str) -> Result<Option<Credential>, ApiError> {
        let Some((account, record)) = service_specific_credential::by_token(tx, token).await? else { return Ok(None) };
        let Some(mut principal) = user(tx, &account, &record.user_id).await? else { return Ok(None) };
        principal.access_key_id = Some(record.id);
        Ok(Some(Credential { secret: Zeroizing::default(), principal: Arc::new(principal), expires_ms: record.expires_ms }))
    }

    async fn access(&self, tx: &mut Transaction, principal: &Principal) -> Result<PrincipalAccess, ApiError> {
        let account = &principal.account;
        let mut access = match &principal.kind {
            PrincipalKind::User { name, id } => user_access(tx, account, name, id).await?,
            PrincipalKind::FederatedUser { user_arn, user_name, user_id, .. } => {
                let mut access = if *user_arn == identifier::root_arn(account) {
                    PrincipalAccess::default()
                } else {
                    user_access(tx, account, user_name, user_id).await?
                };
                // Without session policies a federated session has no permissions of its own.
                access.session = Some(Vec::new());
                access
            }
            PrincipalKind::AssumedRole { role_name, role_id, .. } => role_access(tx, account, role_name, role_id).await?,
            PrincipalKind::Root
            | PrincipalKind::Service { .. }
            | PrincipalKind::WebIdentity { .. }
            | PrincipalKind::Saml { .. }
            | PrincipalKind::Anonymous => PrincipalAccess::default(),
        };
        if let Some(session) = &principal.session {
            let policies = session_policies(tx, session).await?;
            if !policies.is_empty() {
                access.session = Some(policies);
            }
            tags::override_with(&mut access.tags, &session.tags);
        }
        Ok(access)
    }

    async fn principal(&self, tx: &mut Transaction, arn: &str) -> Result<Option<Principal>, ApiError> {
        by_arn(tx, arn).await
    }

    async fn unique_id(&self, tx: &mut Transaction, arn: &str) -> Result<Option<String>, ApiError> {
        trust::unique_id(tx, arn).await
    }

    async fn arn_of_unique_id(&self, tx: &mut Transaction, id: &str) -> Result<Option<String>, ApiError> {
        trust::arn_of_unique_id(tx, id).await
    }

    fn tables(&self) -> &'static [Table] {
        const TABLES: [Table; 9] = [
            AccessKeyRecord::TABLE,
            AccountRecord::TABLE,
            UserRecord::TABLE,
            GroupRecord::TABLE,
            RoleRecord::TABLE,
            ManagedPolicyRecord::TABLE,
            IdOwner::TABLE,
            CredentialRecord::TABLE,
            PasswordPolicyRecord::TABLE,
        ];
        &TABLES
    }

    fn used(&self, principal: &Principal, service: &'static str, region: &str, now_ms: i64) {
        let subject = match &principal.kind {
            PrincipalKind::AssumedRole { role_id, .. } => Some(role_id),
            _ if principal.session.is_some() => None,
            _ => principal.access_key_id.as_ref(),
        };
        if let Some(subject) = subject {
            self.uses.note(subject, LastUse { at_ms: now_ms, service: service.to_owned(), region: region.to_owned() });
        }
    }

    async fn account(&self, tx: &mut Transaction, name: &str) -> Result<Option<String>, ApiError> {
        account::of_alias(tx, name).await
    }

    async fn sign_in(&self, tx: &mut Transaction, attempt: SignInAttempt<'_>) -> Result<SignIn, ApiError> {
        sign_in::sign_in(tx, attempt).await
    }

    async fn password_set_ms(&self, tx: &mut Transaction, principal: &Principal) -> Result<Option<i64>, ApiError> {
        sign_in::password_set_ms(tx, principal).await
    }
}

/// The principal that a long-term key belongs to; `None` when it is gone.
async fn owner(tx: &mut Transaction, record: &AccessKeyRecord) -> Result<Option<Principal>, ApiError> {
    let account = &record.account;
    let made =
        |kind, arn, principal_id| Principal { kind, account: account.clone(), arn, principal_id, access_key_id: None, session: None };
    let Some(user_id) = &record.user_id else {
        return Ok(Some(made(PrincipalKind::Root, identifier::root_arn(account), account.clone())));
    };
    user(tx, account, user_id).await
}

/// The user of a unique id; `None` when it is gone.
pub(crate) async fn user(tx: &mut Transaction, account: &str, user_id: &str) -> Result<Option<Principal>, ApiError> {
    let Some(at) = entity::by_id(tx, user_id).await?.filter(|at| at.kind == EntityKind::User && at.account == *account) else {
        return Ok(None);
    };
    let user = entity::find::<UserRecord>(tx, account, &at.name).await?.filter(|user| user.head.id == *user_id);
    Ok(user.map(|user| Principal {
        arn: user.arn(account),
        account: account.to_owned(),
        principal_id: user_id.to_owned(),
        kind: PrincipalKind::User { name: user.head.name, id: user_id.to_owned() },
        access_key_id: None,
        session: None,
    }))
}

/// Who would call under this ARN: a user, root, or a session of a role.
async fn by_arn(tx: &mut Transaction, arn: &str) -> Result<Option<Principal>, ApiError> {
    let session = AssumedRoleArn::parse(arn);
    let (account, resource_type, name) = match (&session, IamArn::parse(arn)) {
        (Some(session), _) => (session.account, "role", session.role_name),
        (None, Some(parsed)) => (parsed.account, parsed.resource_type, parsed.name),
        (None, None) => return Ok(None),
    };
    let made = |kind, arn: String, principal_id| Principal {
        kind,
        account: account.to_owned(),
        arn,
        principal_id,
        access_key_id: None,
        session: None,
    };
    match resource_type {
        "root" if account::find(tx, account).await?.is_some() => Ok(Some(made(PrincipalKind::Root, arn.to_owned(), account.to_owned()))),
        "user" => {
            let user = entity::find::<UserRecord>(tx, account, name).await?.filter(|user| user.arn(account) == arn);
            Ok(user.map(|user| {
                let id = user.head.id;
                made(PrincipalKind::User { name: user.head.name, id: id.clone() }, arn.to_owned(), id)
            }))
        }
        "role" => {
            let role = entity::find::<RoleRecord>(tx, account, name).await?;
            let session_name = session.as_ref().map_or("session", |session| session.session_name);
            Ok(role.filter(|role| session.is_some() || role.arn(account) == arn).map(|role| {
                let kind = PrincipalKind::AssumedRole {
                    role_name: role.head.name.clone(),
                    role_arn: role.arn(account),
                    role_id: role.head.id.clone(),
                    session_name: session_name.to_owned(),
                };
                made(kind, assumed_role_arn(account, name, session_name), format!("{}:{session_name}", role.head.id))
            }))
        }
        _ => Ok(None),
    }
}

async fn user_access(tx: &mut Transaction, account: &str, name: &str, id: &str) -> Result<PrincipalAccess, ApiError> {
    // The name of a session's user may have changed since; the id has not.
    let name = match entity::by_id(tx, id).await? {
        Some(at) if at.kind == EntityKind::User && at.account == account => at.name,
        _ => name.to_owned(),
    };
    let Some(user) = entity::find::<UserRecord>(tx, account, &name).await?.filter(|user| user.head.id == id) else {
        return Ok(PrincipalAccess::default());
    };
    let mut access = bounded_access(tx, &user).await?;
    access.tags.clone_from(&user.tags);
    if password::policy(tx, account).await?.is_some_and(|policy| policy.change_allowed) {
        let text = change_allowed(&user.arn(account));
        access.identity.push(Attached::new(PASSWORD_POLICY, PolicySource::None, compiled(PolicyKind::Identity, &text)));
    }
    for group_id in &user.group_ids {
        let Some(at) = entity::by_id(tx, group_id).await? else { continue };
        if let Some(group) = entity::find::<GroupRecord>(tx, account, &at.name).await? {
            access.identity.extend(attached(tx, &group).await?);
        }
    }
    Ok(access)
}

/// What every user may do when the account's password policy lets users change their passwords.
///
/// Source: IAM User Guide, "Permit IAM users to change their own passwords".
fn change_allowed(user_arn: &str) -> String {
    let statement = |action: &str, resource: &str| json!({ "Effect": "Allow", "Action": action, "Resource": resource });
    let statements = [statement("iam:ChangePassword", user_arn), statement("iam:GetAccountPasswordPolicy", "*")];
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

async fn role_access(tx: &mut Transaction, account: &str, name: &str, id: &str) -> Result<PrincipalAccess, ApiError> {
    let Some(role) = entity::find::<RoleRecord>(tx, account, name).await?.filter(|role| role.head.id == id) else {
        return Ok(PrincipalAccess::default());
    };
    let mut access = bounded_access(tx, &role).await?;
    access.tags.clone_from(&role.tags);
    access.service_linked = service_linked_role::is_service_linked(&role);
    Ok(access)
}

async fn bounded_access<E: Bounded>(tx: &mut Transaction, entity: &E) -> Result<PrincipalAccess, ApiError> {
    let boundary = match entity.boundary() {
        Some(arn) => Some(managed(tx, arn, PolicyKind::Boundary).await?),
        None => None,
    };
    Ok(PrincipalAccess { identity: attached(tx, entity).await?, boundary, ..PrincipalAccess::default() })
}

/// Inline and managed policies of an entity, compiled.
pub(crate) async fn attached<E: Entity>(tx: &mut Transaction, entity: &E) -> Result<Vec<Attached>, ApiError> {
    let source = match E::KIND {
        EntityKind::User => PolicySource::User,
        EntityKind::Group => PolicySource::Group,
        EntityKind::Role => PolicySource::Role,
    };
    let policies = entity.policies();
    let mut all: Vec<Attached> =
        policies.inline.iter().map(|(name, text)| Attached::new(name.as_str(), source, compiled(PolicyKind::Identity, text))).collect();
    for arn in &policies.attached {
        all.push(managed(tx, arn, PolicyKind::Identity).await?);
    }
    Ok(all)
}

/// A managed policy in its default version. One that is gone denies everything: what it denied must not become allowed.
pub(crate) async fn managed(tx: &mut Transaction, arn: &str, kind: PolicyKind) -> Result<Attached, ApiError> {
    let found = managed_policy::default_document(tx, arn).await?;
    let source = if managed_policy::is_aws_managed(arn) { PolicySource::AwsManaged } else { PolicySource::UserManaged };
    Ok(Attached::new(arn, source, compiled(kind, found.as_deref().unwrap_or_default())))
}

async fn session_policies(tx: &mut Transaction, session: &plane::principal::Session) -> Result<Vec<Attached>, ApiError> {
    let mut policies: Vec<Attached> = session
        .policy
        .iter()
        .map(|text| Attached::new("session policy", PolicySource::None, compiled(PolicyKind::Session, text)))
        .collect();
    for arn in &session.policy_arns {
        policies.push(managed(tx, arn, PolicyKind::Session).await?);
    }
    Ok(policies)
}
