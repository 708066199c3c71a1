//! Who calls, and what is attached to them.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;
use crate::transaction::Transaction;

/// An authenticated (or anonymous) caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    pub kind: PrincipalKind,
    /// Twelve digits; empty when anonymous.
    pub account: String,
    /// ARN as policies see it: the user's, the session's, the root's.
    pub arn: String,
    /// `AIDA...`, `AROA...:session`, the account for root.
    pub principal_id: String,
    pub access_key_id: Option<String>,
    pub session: Option<Session>,
}

/// What kind of principal it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PrincipalKind {
    Root,
    User {
        name: String,
        id: String,
    },
    AssumedRole {
        role_name: String,
        role_arn: String,
        role_id: String,
        session_name: String,
    },
    FederatedUser {
        user_arn: String,
        user_name: String,
        user_id: String,
        name: String,
    },
    /// One of our own services acting for itself, for example `cloudtrail.amazonaws.com`.
    Service {
        name: String,
    },
    /// A caller who bears a token of an OpenID Connect provider, in the call that takes it.
    WebIdentity {
        /// ARN of the provider.
        provider: String,
        /// Subject of the token.
        user_name: String,
    },
    /// A caller who bears a SAML assertion, in the call that takes it.
    Saml {
        /// ARN of the provider.
        provider: String,
        /// Subject of the assertion.
        user_name: String,
    },
    Anonymous,
}

/// What temporary credentials carry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub issued_ms: i64,
    pub expires_ms: i64,
    pub mfa_authenticated_ms: Option<i64>,
    /// Inline session policy, as given.
    pub policy: Option<String>,
    /// Managed session policies by ARN.
    pub policy_arns: Vec<String>,
    pub tags: Vec<(String, String)>,
    pub transitive_tag_keys: Vec<String>,
    pub source_identity: Option<String>,
    /// The session came from another session (role chaining).
    pub chained: bool,
    /// ARN of the identity provider that the session began with.
    #[serde(default)]
    pub federated_provider: Option<String>,
    /// `GetSessionToken` or `GetFederationToken` issued it; role sessions have `AssumeRole`.
    pub issuer_operation: String,
}

impl Principal {
    /// Nobody: the call bore no credentials.
    pub fn anonymous() -> Self {
        Self {
            kind: PrincipalKind::Anonymous,
            account: String::new(),
            arn: String::new(),
            principal_id: "ANONYMOUS_PRINCIPAL".to_owned(),
            access_key_id: None,
            session: None,
        }
    }

    /// Whether it is proved by another provider's word and belongs to no account.
    pub fn is_federated_caller(&self) -> bool {
        matches!(self.kind, PrincipalKind::WebIdentity { .. } | PrincipalKind::Saml { .. })
    }

    pub fn is_anonymous(&self) -> bool {
        matches!(self.kind, PrincipalKind::Anonymous)
    }
}

/// What an access key opens.
#[derive(Clone, Debug)]
pub struct Credential {
    /// What signatures are made with; empty for a bearer key.
    pub secret: zeroize::Zeroizing<String>,
    pub principal: Arc<Principal>,
    /// When a long-term credential ends, milliseconds since 1970; a session's end stands in its principal.
    pub expires_ms: Option<i64>,
}

/// Everything attached to a principal that takes part in a decision.
#[derive(Clone, Debug, Default)]
pub struct PrincipalAccess {
    pub identity: Vec<policy::Attached>,
    pub boundary: Option<policy::Attached>,
    /// `None`: no session policies; `Some(empty)`: session policies that allow nothing.
    pub session: Option<Vec<policy::Attached>>,
    /// Effective tags: the principal's own, overridden by session tags.
    pub tags: Vec<(String, String)>,
    pub service_linked: bool,
}

/// An attempt to sign in with a password.
#[derive(Clone, Copy)]
pub struct SignInAttempt<'a> {
    /// Twelve digits.
    pub account: &'a str,
    pub user_name: &'a str,
    pub password: &'a str,
    /// The code of an MFA device, if one was given.
    pub mfa_code: Option<&'a str>,
    pub now_ms: i64,
    pub region: &'a str,
}

/// What an attempt to sign in came to. All refusals cost the same time: only the owner of the account may learn which it was.
#[derive(Clone, Debug)]
pub enum SignIn {
    UnknownAccount,
    UnknownUser {
        account: String,
    },
    /// The password is wrong or there is none, or the MFA code is missing, wrong or used.
    Refused {
        principal: Arc<Principal>,
    },
    /// All is right, and the password has ended so that only an administrator can set another.
    Expired {
        principal: Arc<Principal>,
    },
    Proved(SignedIn),
}

/// Who signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub principal: Arc<Principal>,
    /// Serial number of the MFA device whose code was given.
    pub mfa_device: Option<String>,
    /// The password must be changed before anything else.
    pub must_change_password: bool,
}

/// Where principals are kept: implemented by the IAM service, asked only by the plane.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// The active long-term access key of this id, if there is one.
    async fn credential(&self, tx: &mut Transaction, access_key_id: &str) -> Result<Option<Credential>, ApiError>;
    /// What a long-term bearer key (`ABSK...`) opens, if it is active. The caller compares its end.
    async fn bearer(&self, _tx: &mut Transaction, _token: &str) -> Result<Option<Credential>, ApiError> {
        Ok(None)
    }
    /// Policies and tags of the principal *as they are now*. A user or role that no longer exists has none.
    async fn access(&self, tx: &mut Transaction, principal: &Principal) -> Result<PrincipalAccess, ApiError>;
    /// The user, role session or root of this ARN, for questions about somebody who does not call. A role's ARN gives a session of it.
    async fn principal(&self, _tx: &mut Transaction, _arn: &str) -> Result<Option<Principal>, ApiError> {
        Ok(None)
    }
    /// The unique id that a policy holds in place of the ARN of a user, role or role session; `None`: there is none of exactly this ARN.
    async fn unique_id(&self, _tx: &mut Transaction, _arn: &str) -> Result<Option<String>, ApiError> {
        Ok(None)
    }
    /// The ARN behind such an id, while its owner exists.
    async fn arn_of_unique_id(&self, _tx: &mut Transaction, _id: &str) -> Result<Option<String>, ApiError> {
        Ok(None)
    }
    /// Tables whose change makes cached answers of this directory stale.
    fn tables(&self) -> &'static [store::Table];
    /// Notes that a principal made a signed call (`GetAccessKeyLastUsed`, last use of a role). Kept in memory and written lazily; must not
    /// block.
    fn used(&self, principal: &Principal, service: &'static str, region: &str, now_ms: i64);
    /// The id of the account that has this id or this alias.
    async fn account(&self, _tx: &mut Transaction, _name: &str) -> Result<Option<String>, ApiError> {
        Ok(None)
    }
    /// Checks a user's password and second factor. What was proved is written with the transaction: the code is used up, and the password was
    /// last used now.
    async fn sign_in(&self, _tx: &mut Transaction, _attempt: SignInAttempt<'_>) -> Result<SignIn, ApiError> {
        Ok(SignIn::UnknownAccount)
    }
    /// When the password of a user was set last, milliseconds since 1970; `None`: the user is gone or has none.
    async fn password_set_ms(&self, _tx: &mut Transaction, _principal: &Principal) -> Result<Option<i64>, ApiError> {
        Ok(None)
    }
}
