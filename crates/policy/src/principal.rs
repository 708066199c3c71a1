//! Who calls, and how the `Principal` and `NotPrincipal` elements of a policy name callers.
//!
//! Source: IAM User Guide, "AWS JSON policy elements: Principal" and "NotPrincipal".

/// The kind of caller, with what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalKind {
    /// An IAM user with a long-term key, or with GetSessionToken credentials (see [`Credential`]).
    User,
    /// A session of a role, however it was assumed.
    RoleSession {
        /// ARN of the role, with its path.
        role_arn: String,
    },
    /// A session made by GetFederationToken.
    FederatedUser {
        /// ARN of the user who federated, or of the account's root.
        user_arn: String,
    },
    /// The account's root user, or an AssumeRoot session (see [`Principal::assumed_root`]).
    Root,
    /// An AWS service that calls in its own name.
    Service {
        /// Service principal name, such as `cloudtrail.amazonaws.com`.
        name: String,
    },
    /// A caller without signature.
    Anonymous,
    /// A caller of AssumeRoleWithWebIdentity.
    WebIdentity {
        /// Provider as trust policies name it: a host name, or the ARN of an OIDC provider.
        provider: String,
    },
    /// A caller of AssumeRoleWithSAML.
    Saml {
        /// ARN of the SAML provider.
        provider: String,
    },
}

/// What kind of credentials a user presents. GetSessionToken credentials have limits of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Credential {
    /// Whatever is usual for the kind of principal.
    #[default]
    Ordinary,
    /// Made by GetSessionToken: no IAM calls without MFA, of STS only AssumeRole and GetCallerIdentity.
    SessionToken,
}

/// A caller, with all that decides about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Kind of caller.
    pub kind: PrincipalKind,
    /// Account of the caller; `None` for services, anonymous and federated callers.
    pub account: Option<String>,
    /// ARN of the caller as messages name it; empty if it has none.
    pub arn: String,
    /// Value of `aws:userid`, such as `AIDA…` or `AROA…:session`, where it is known.
    pub user_id: Option<String>,
    /// Canonical user ID of the account, where it is known (S3 bucket policies may name it).
    pub canonical_user_id: Option<String>,
    /// The effective principal and session tags.
    pub tags: Vec<(String, String)>,
    /// Whether the role is a service-linked role, which neither SCPs nor RCPs bind.
    pub service_linked: bool,
    /// Whether this is an AssumeRoot session, bound by its task policy.
    pub assumed_root: bool,
    /// What the caller presented.
    pub credential: Credential,
}

impl Principal {
    /// A caller of an account.
    pub fn new(kind: PrincipalKind, account: impl Into<String>, arn: impl Into<String>) -> Self {
        Self { account: Some(account.into()), arn: arn.into(), ..Self::unaccounted(kind) }
    }

    /// A caller that belongs to no account: a service, an anonymous or a federated caller.
    pub fn unaccounted(kind: PrincipalKind) -> Self {
        Self {
            kind,
            account: None,
            arn: String::new(),
            user_id: None,
            canonical_user_id: None,
            tags: Vec::new(),
            service_linked: false,
            assumed_root: false,
            credential: Credential::Ordinary,
        }
    }

    /// The anonymous caller.
    pub fn anonymous() -> Self {
        Self::unaccounted(PrincipalKind::Anonymous)
    }

    /// Whether the caller is an identity of an account: user, role session, federated user or root.
    pub(crate) fn is_account_identity(&self) -> bool {
        matches!(
            self.kind,
            PrincipalKind::User | PrincipalKind::RoleSession { .. } | PrincipalKind::FederatedUser { .. } | PrincipalKind::Root
        )
    }

    /// Whether the request carries a signature.
    pub(crate) fn is_signed(&self) -> bool {
        self.is_account_identity() || matches!(self.kind, PrincipalKind::Service { .. })
    }
}

/// How closely an Allow of a resource policy names the caller; it decides which other policies still count
/// (IAM User Guide, "How AWS enforcement code logic evaluates requests to allow or deny access").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GrantClass {
    /// The account of the caller is named: the account's own policies must allow too.
    Account,
    /// The role of the session (or the user behind a federated session) is named.
    Role,
    /// The very caller is named, or everybody.
    Direct,
}

/// One entry of a `Principal` or `NotPrincipal` element.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PrincipalEntry {
    /// `"*"` as the whole element: everybody.
    Everybody,
    /// `"AWS": "*"`: everybody but federated callers, which only `Federated` names.
    AnyAws,
    /// A 12-digit account, or its root ARN: all of the account.
    Account(Box<str>),
    /// `AWS`: the ARN of a user, role, role session or federated user.
    Arn(Box<str>),
    /// `AIDA…`, `AROA…`: what a stored policy holds in place of an ARN.
    UniqueId(Box<str>),
    /// `Service`: the name of a service principal.
    Service(Box<str>),
    /// `Federated`: a web identity or SAML provider.
    Federated(Box<str>),
    /// `CanonicalUser`: the canonical user id of an account.
    CanonicalUser(Box<str>),
}

impl PrincipalEntry {
    pub(crate) fn aws(text: &str) -> Self {
        if text == "*" {
            return Self::AnyAws;
        }
        if is_account_id(text) {
            return Self::Account(text.into());
        }
        if let Some(account) = root_account(text) {
            return Self::Account(account.into());
        }
        if text.starts_with("arn:") {
            return Self::Arn(text.into());
        }
        Self::UniqueId(text.into())
    }

    /// Whether the entry is a `*`.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Everybody | Self::AnyAws)
    }

    fn class(&self, principal: &Principal) -> Option<GrantClass> {
        let kind = &principal.kind;
        let granted = |matches: bool, class| matches.then_some(class);
        match self {
            Self::Everybody => Some(GrantClass::Direct),
            Self::AnyAws => granted(!matches!(kind, PrincipalKind::WebIdentity { .. } | PrincipalKind::Saml { .. }), GrantClass::Direct),
            Self::Account(account) => {
                let class = match kind {
                    PrincipalKind::Root => GrantClass::Direct,
                    _ => GrantClass::Account,
                };
                granted(principal.account.as_deref() == Some(account), class)
            }
            Self::Arn(arn) => arn_class(arn, principal),
            Self::UniqueId(id) => unique_id_class(id, principal),
            Self::Service(service) => granted(matches!(kind, PrincipalKind::Service { name } if **name == **service), GrantClass::Direct),
            Self::Federated(wanted) => granted(
                matches!(
                    kind,
                    PrincipalKind::WebIdentity { provider } | PrincipalKind::Saml { provider }
                        if **provider == **wanted
                ),
                GrantClass::Direct,
            ),
            Self::CanonicalUser(id) => granted(principal.canonical_user_id.as_deref() == Some(id), GrantClass::Account),
        }
    }
}

/// How an ARN names a caller: its own ARN, or that of the role or user behind the session.
pub(crate) fn arn_class(arn: &str, principal: &Principal) -> Option<GrantClass> {
    if !principal.arn.is_empty() && principal.arn == arn {
        return Some(GrantClass::Direct);
    }
    match &principal.kind {
        PrincipalKind::RoleSession { role_arn: behind } | PrincipalKind::FederatedUser { user_arn: behind } => {
            (behind == arn).then_some(GrantClass::Role)
        }
        _ => None,
    }
}

pub(crate) fn unique_id_class(id: &str, principal: &Principal) -> Option<GrantClass> {
    let user_id = principal.user_id.as_deref()?;
    if user_id == id {
        return Some(GrantClass::Direct);
    }
    let (behind, _) = user_id.split_once(':')?;
    let session = matches!(principal.kind, PrincipalKind::RoleSession { .. });
    (session && behind == id).then_some(GrantClass::Role)
}

/// The compiled `Principal` or `NotPrincipal` element of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalElement {
    /// The element is missing: identity-based policies and SCPs, where the caller is whom the policy is attached to.
    Implied,
    /// `Principal`. Empty for an Allow with `NotPrincipal`, which allows nobody.
    Only(Box<[PrincipalEntry]>),
    /// `NotPrincipal` of a Deny: everybody but those whose whole chain is listed.
    Except(Box<[PrincipalEntry]>),
}

impl PrincipalElement {
    /// How closely the element names the caller, or `None` if it does not.
    pub(crate) fn class(&self, principal: &Principal, has_boundary: bool) -> Option<GrantClass> {
        match self {
            Self::Implied => Some(GrantClass::Direct),
            Self::Only(entries) => entries.iter().filter_map(|entry| entry.class(principal)).max(),
            Self::Except(entries) => (!exempts(entries, principal, has_boundary)).then_some(GrantClass::Direct),
        }
    }
}

/// Whether a `NotPrincipal` list leaves the caller out. The whole chain must be listed: the account, the role and
/// the session for a session, the account and the user for a user. A caller with a permissions boundary is never
/// left out.
fn exempts(entries: &[PrincipalEntry], principal: &Principal, has_boundary: bool) -> bool {
    if has_boundary && principal.is_account_identity() {
        return false;
    }
    let listed = |wanted: GrantClass| entries.iter().any(|entry| !entry.is_wildcard() && entry.class(principal) == Some(wanted));
    if entries.iter().any(|entry| entry.is_wildcard() && entry.class(principal).is_some()) {
        return true;
    }
    match principal.kind {
        PrincipalKind::User | PrincipalKind::FederatedUser { .. } => listed(GrantClass::Direct) && listed(GrantClass::Account),
        PrincipalKind::RoleSession { .. } => listed(GrantClass::Direct) && listed(GrantClass::Role) && listed(GrantClass::Account),
        _ => listed(GrantClass::Direct),
    }
}

pub(crate) fn is_account_id(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The account of an `arn:PARTITION:iam::ACCOUNT:root`.
fn root_account(arn: &str) -> Option<&str> {
    let rest = arn.strip_prefix("arn:")?;
    let (_partition, rest) = rest.split_once(':')?;
    let account = rest.strip_prefix("iam::")?.strip_suffix(":root")?;
    is_account_id(account).then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Principal {
        let mut principal = Principal::new(
            PrincipalKind::RoleSession { role_arn: "arn:aws:iam::111111111111:role/p/trainer".to_owned() },
            "111111111111",
            "arn:aws:sts::111111111111:assumed-role/trainer/s",
        );
        principal.user_id = Some("AROAEXAMPLE:s".to_owned());
        principal
    }

    fn user() -> Principal {
        Principal::new(PrincipalKind::User, "111111111111", "arn:aws:iam::111111111111:user/ana")
    }

    #[test]
    fn classes_of_grants() {
        for (entry, principal, expected) in [
            ("*", user(), Some(GrantClass::Direct)),
            ("111111111111", user(), Some(GrantClass::Account)),
            ("arn:aws:iam::111111111111:root", user(), Some(GrantClass::Account)),
            ("222222222222", user(), None),
            ("arn:aws:iam::111111111111:user/ana", user(), Some(GrantClass::Direct)),
            ("arn:aws:iam::111111111111:user/Ana", user(), None),
            ("arn:aws:iam::111111111111:user/*", user(), None),
            ("arn:aws:iam::111111111111:role/p/trainer", session(), Some(GrantClass::Role)),
            ("arn:aws:sts::111111111111:assumed-role/trainer/s", session(), Some(GrantClass::Direct)),
            ("arn:aws:sts::111111111111:assumed-role/trainer/t", session(), None),
            ("AROAEXAMPLE", session(), Some(GrantClass::Role)),
            ("AROAOTHER", session(), None),
            ("*", Principal::anonymous(), Some(GrantClass::Direct)),
            ("*", Principal::unaccounted(PrincipalKind::WebIdentity { provider: "accounts.google.com".to_owned() }), None),
        ] {
            assert_eq!(PrincipalEntry::aws(entry).class(&principal), expected, "{entry}");
        }
    }

    #[test]
    fn not_principal_needs_the_whole_chain() {
        let entries = |list: &[&str]| -> Vec<PrincipalEntry> { list.iter().map(|text| PrincipalEntry::aws(text)).collect() };
        let account = "111111111111";
        let role = "arn:aws:iam::111111111111:role/p/trainer";
        let own = "arn:aws:sts::111111111111:assumed-role/trainer/s";
        let ana = "arn:aws:iam::111111111111:user/ana";
        assert!(exempts(&entries(&[account, role, own]), &session(), false));
        assert!(!exempts(&entries(&[account, role, own]), &session(), true));
        assert!(!exempts(&entries(&[account, role]), &session(), false));
        assert!(!exempts(&entries(&[role, own]), &session(), false));
        assert!(exempts(&entries(&[account, ana]), &user(), false));
        assert!(!exempts(&entries(&[ana]), &user(), false));
        assert!(!exempts(&entries(&[account]), &user(), false));
    }
}
