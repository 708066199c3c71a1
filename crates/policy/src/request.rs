//! One authorization question, with everything that policies may ask about it, and the condition keys that follow
//! from principal, resource, organization and tags by themselves.
//!
//! Source of the keys: IAM User Guide, "AWS global condition context keys"; KMS Developer Guide, "AWS KMS condition
//! keys" for the encryption context.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use crate::arn::{ArnText, resource_of};
use crate::context::{Context, Values};
use crate::principal::{Principal, PrincipalKind};

/// The resource of a check.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// ARN, or `*` for actions that know no resource.
    pub arn: String,
    /// Account that owns it; `None` means the caller's own.
    pub account: Option<String>,
    /// Tags of the resource.
    pub tags: Vec<(String, String)>,
    /// Whether it is an AWS managed KMS key, which RCPs do not bind.
    pub aws_managed_key: bool,
}

/// One authorization that a call needs. A call may need several; all must pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    action: String,
    action_lower: String,
    /// What is acted on.
    pub resource: Resource,
    /// Tags that the request wants to set; `None` if it passes none.
    pub request_tags: Option<Vec<(String, String)>>,
    /// KMS encryption context of the request.
    pub encryption_context: Vec<(String, String)>,
}

impl Check {
    /// A check of an action such as `s3:GetObject` on a resource.
    pub fn new(action: &str, resource: Resource) -> Self {
        Self {
            action: action.to_owned(),
            action_lower: action.to_lowercase(),
            resource,
            request_tags: None,
            encryption_context: Vec::new(),
        }
    }

    /// The same question about another action or resource.
    pub(crate) fn neighbour(&self, action: &str, arn: &str) -> Self {
        let resource = Resource { arn: arn.to_owned(), ..self.resource.clone() };
        Self { action: action.to_owned(), action_lower: action.to_lowercase(), resource, ..self.clone() }
    }

    /// The action as it was given.
    pub fn action(&self) -> &str {
        &self.action
    }

    pub(crate) fn action_lower(&self) -> &str {
        &self.action_lower
    }

    /// The service prefix of the action in lower case, and its name in lower case.
    pub(crate) fn service_and_name(&self) -> (&str, &str) {
        self.action_lower.split_once(':').unwrap_or((&self.action_lower, ""))
    }
}

/// The organization as far as decisions need it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Organization {
    /// Organization id, such as `o-exampleorgid`.
    pub id: String,
    /// The management account, which neither SCPs nor RCPs bind.
    pub management_account: String,
    /// Path of each account, such as `o-exampleorgid/r-ab12/ou-ab12-11111111/`, by account.
    pub paths: HashMap<String, String>,
    /// Delegated administrators for IAM: accounts that may take root sessions in members as the management account may.
    pub root_administrators: Vec<String>,
    /// The organization of the resource's owner, where it is another than the caller's.
    pub foreign: Option<Arc<Organization>>,
}

impl Organization {
    /// Whether the account is a member that organization policies bind.
    pub fn binds(&self, account: &str) -> bool {
        let own = account != self.management_account && self.paths.contains_key(account);
        own || self.foreign.as_ref().is_some_and(|foreign| foreign.binds(account))
    }

    /// Id of the organization that the account belongs to.
    pub fn id_of(&self, account: &str) -> Option<&str> {
        self.of(account).map(|organization| &*organization.id)
    }

    /// Path of the account in its organization.
    pub fn path_of(&self, account: &str) -> Option<&str> {
        self.of(account)?.paths.get(account).map(String::as_str)
    }

    /// The organization, of the two, that the account belongs to.
    fn of(&self, account: &str) -> Option<&Organization> {
        if account == self.management_account || self.paths.contains_key(account) {
            return Some(self);
        }
        self.foreign.as_ref()?.of(account)
    }
}

/// Everything that a statement is matched against.
pub(crate) struct Request<'a> {
    pub(crate) principal: &'a Principal,
    pub(crate) check: &'a Check,
    pub(crate) context: &'a dyn Context,
    pub(crate) organization: Option<&'a Organization>,
    pub(crate) has_boundary: bool,
    pub(crate) resource: ArnText<'a>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(
        principal: &'a Principal,
        check: &'a Check,
        context: &'a dyn Context,
        organization: Option<&'a Organization>,
        has_boundary: bool,
    ) -> Self {
        Self { principal, check, context, organization, has_boundary, resource: ArnText::new(&check.resource.arn) }
    }

    /// The values of a key. What the context says goes first; what follows from the other facts comes after it.
    pub(crate) fn values(&self, key: &Key) -> Option<Values<'a>> {
        self.context.key(&key.lower).or_else(|| self.derived(&key.known))
    }

    pub(crate) fn resource_account(&self) -> Option<&'a str> {
        self.check.resource.account.as_deref().or(self.principal.account.as_deref())
    }

    fn derived(&self, known: &Known) -> Option<Values<'a>> {
        let principal = self.principal;
        match known {
            Known::Other => None,
            Known::PrincipalArn => principal_arn(principal).map(Values::one),
            Known::PrincipalAccount => match principal.kind {
                PrincipalKind::Anonymous => Some(Values::one("anonymous")),
                _ => principal.account.as_deref().map(Values::one),
            },
            Known::PrincipalType => principal_type(principal).map(Values::one),
            Known::UserId => user_id(principal).map(Values::One),
            Known::UserName => user_name(principal).map(Values::one),
            Known::PrincipalIsAwsService => principal.is_signed().then(|| {
                let service = matches!(principal.kind, PrincipalKind::Service { .. });
                Values::one(if service { "true" } else { "false" })
            }),
            Known::PrincipalServiceName => service_name(principal).map(Values::one),
            Known::PrincipalServiceNamesList => service_name(principal).map(|name| Values::Many(service_names(name))),
            Known::AssumedRoot => principal.assumed_root.then(|| Values::one("true")),
            Known::PrincipalOrgId => self.organization_id(principal.account.as_deref()),
            Known::PrincipalOrgPaths => self.organization_paths(principal.account.as_deref()),
            Known::ResourceAccount => self.resource_account().map(Values::one),
            Known::KmsCallerAccount => {
                let account = principal.account.as_deref()?;
                (self.check.service_and_name().0 == "kms").then(|| Values::one(account))
            }
            Known::S3ResourceAccount => {
                let account = self.resource_account()?;
                (self.check.service_and_name().0 == "s3").then(|| Values::one(account))
            }
            Known::ResourceOrgId => self.organization_id(self.resource_account()),
            Known::ResourceOrgPaths => self.organization_paths(self.resource_account()),
            Known::PrincipalTag(tag) => tag_value(&principal.tags, tag),
            Known::ResourceTag(tag) => tag_value(&self.check.resource.tags, tag),
            Known::ServiceResourceTag { service, tag } => {
                (self.check.service_and_name().0 == &**service).then(|| tag_value(&self.check.resource.tags, tag))?
            }
            Known::RequestTag(tag) => tag_value(self.check.request_tags.as_deref()?, tag),
            Known::TagKeys => names(self.check.request_tags.as_deref()?),
            Known::EncryptionContext(name) => tag_value(&self.check.encryption_context, name),
            Known::EncryptionContextKeys => names(&self.check.encryption_context),
            Known::SecureTransport => Some(Values::one("true")),
        }
    }

    fn organization_id(&self, account: Option<&str>) -> Option<Values<'a>> {
        self.organization?.id_of(account?).map(Values::one)
    }

    fn organization_paths(&self, account: Option<&str>) -> Option<Values<'a>> {
        self.organization?.path_of(account?).map(|path| Values::Many(vec![Cow::Borrowed(path)]))
    }
}

fn principal_arn(principal: &Principal) -> Option<&str> {
    match &principal.kind {
        PrincipalKind::RoleSession { role_arn } => Some(role_arn),
        PrincipalKind::User | PrincipalKind::FederatedUser { .. } | PrincipalKind::Root => Some(&principal.arn),
        _ => None,
    }
}

fn principal_type(principal: &Principal) -> Option<&'static str> {
    match principal.kind {
        PrincipalKind::User => Some("User"),
        PrincipalKind::RoleSession { .. } => Some("AssumedRole"),
        PrincipalKind::FederatedUser { .. } => Some("FederatedUser"),
        PrincipalKind::Root => Some("Account"),
        PrincipalKind::Anonymous => Some("Anonymous"),
        _ => None,
    }
}

fn user_id(principal: &Principal) -> Option<Cow<'_, str>> {
    if let Some(id) = principal.user_id.as_deref() {
        return Some(Cow::Borrowed(id));
    }
    match principal.kind {
        PrincipalKind::Root => principal.account.as_deref().map(Cow::Borrowed),
        PrincipalKind::Anonymous => Some(Cow::Borrowed("anonymous")),
        PrincipalKind::FederatedUser { .. } => {
            let account = principal.account.as_deref()?;
            let (_, name) = principal.arn.rsplit_once('/')?;
            Some(Cow::Owned(format!("{account}:{name}")))
        }
        _ => None,
    }
}

fn user_name(principal: &Principal) -> Option<&str> {
    if principal.kind != PrincipalKind::User {
        return None;
    }
    let (_, name) = resource_of(&principal.arn)?.rsplit_once('/')?;
    Some(name)
}

fn service_name(principal: &Principal) -> Option<&str> {
    match &principal.kind {
        PrincipalKind::Service { name } => Some(name),
        _ => None,
    }
}

/// All names of a service principal: one with a region in it belongs to the service without one, too.
fn service_names(name: &str) -> Vec<Cow<'_, str>> {
    let mut names = vec![Cow::Borrowed(name)];
    if let [service, _region, "amazonaws", top @ ..] = name.split('.').collect::<Vec<_>>().as_slice() {
        names.push(Cow::Owned(format!("{service}.amazonaws.{}", top.join("."))));
    }
    names
}

fn tag_value<'a>(tags: &'a [(String, String)], lower_name: &str) -> Option<Values<'a>> {
    tags.iter().find(|(name, _)| equal_ignoring_case(name, lower_name)).map(|(_, value)| Values::one(value))
}

fn names(tags: &[(String, String)]) -> Option<Values<'_>> {
    (!tags.is_empty()).then(|| Values::Many(tags.iter().map(|(name, _)| Cow::Borrowed(name.as_str())).collect()))
}

/// Comparison without case, for all of Unicode and without allocation.
pub(crate) fn equal_ignoring_case(left: &str, right: &str) -> bool {
    if left.is_ascii() && right.is_ascii() {
        return left.eq_ignore_ascii_case(right);
    }
    left.chars().flat_map(char::to_lowercase).eq(right.chars().flat_map(char::to_lowercase))
}

/// The name of a condition key, recognised once when a policy is compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) name: Box<str>,
    pub(crate) lower: Box<str>,
    known: Known,
}

impl Key {
    pub(crate) fn new(name: &str) -> Self {
        let lower = name.to_lowercase();
        Self { name: name.into(), known: Known::from_lower(&lower), lower: lower.into() }
    }
}

/// The keys that are derived; a tag name is held in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    PrincipalArn,
    PrincipalAccount,
    PrincipalType,
    UserId,
    UserName,
    PrincipalIsAwsService,
    PrincipalServiceName,
    PrincipalServiceNamesList,
    AssumedRoot,
    PrincipalOrgId,
    PrincipalOrgPaths,
    ResourceAccount,
    KmsCallerAccount,
    S3ResourceAccount,
    ResourceOrgId,
    ResourceOrgPaths,
    PrincipalTag(Box<str>),
    ResourceTag(Box<str>),
    /// `iam:ResourceTag/…`, `ec2:ResourceTag/…`: the older keys of single services for the tags of their resources.
    ServiceResourceTag {
        service: Box<str>,
        tag: Box<str>,
    },
    RequestTag(Box<str>),
    TagKeys,
    EncryptionContext(Box<str>),
    EncryptionContextKeys,
    SecureTransport,
    Other,
}

impl Known {
    fn from_lower(name: &str) -> Self {
        match name {
            "aws:principalarn" => Self::PrincipalArn,
            "aws:principalaccount" => Self::PrincipalAccount,
            "aws:principaltype" => Self::PrincipalType,
            "aws:userid" => Self::UserId,
            "aws:username" => Self::UserName,
            "aws:principalisawsservice" => Self::PrincipalIsAwsService,
            "aws:principalservicename" => Self::PrincipalServiceName,
            "aws:principalservicenameslist" => Self::PrincipalServiceNamesList,
            "aws:assumedroot" => Self::AssumedRoot,
            "aws:principalorgid" => Self::PrincipalOrgId,
            "aws:principalorgpaths" => Self::PrincipalOrgPaths,
            "aws:resourceaccount" => Self::ResourceAccount,
            "kms:calleraccount" => Self::KmsCallerAccount,
            "s3:resourceaccount" => Self::S3ResourceAccount,
            "aws:resourceorgid" => Self::ResourceOrgId,
            "aws:resourceorgpaths" => Self::ResourceOrgPaths,
            "aws:tagkeys" => Self::TagKeys,
            "kms:encryptioncontextkeys" => Self::EncryptionContextKeys,
            "aws:securetransport" => Self::SecureTransport,
            _ => Self::with_suffix(name),
        }
    }

    fn with_suffix(name: &str) -> Self {
        type Make = fn(Box<str>) -> Known;
        const FAMILIES: [(&str, Make); 4] = [
            ("aws:principaltag/", Known::PrincipalTag),
            ("aws:resourcetag/", Known::ResourceTag),
            ("aws:requesttag/", Known::RequestTag),
            ("kms:encryptioncontext:", Known::EncryptionContext),
        ];
        if let Some(known) = FAMILIES.iter().find_map(|(prefix, make)| Some(make(name.strip_prefix(prefix)?.into()))) {
            return known;
        }
        match name.split_once(":resourcetag/") {
            Some((service, tag)) => Self::ServiceResourceTag { service: service.into(), tag: tag.into() },
            None => Self::Other,
        }
    }
}

/// The values that a key has in a request: those of the context, else those that follow from principal, resource,
/// organization and tags. Use it to show a request's context, for example in DecodeAuthorizationMessage.
pub fn key_values<'a>(
    name: &str,
    principal: &'a Principal,
    check: &'a Check,
    context: &'a dyn Context,
    organization: Option<&'a Organization>,
) -> Option<Values<'a>> {
    Request::new(principal, check, context, organization, false).values(&Key::new(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::MapContext;

    fn value(name: &str, principal: &Principal, check: &Check) -> Option<Vec<String>> {
        let mut context = MapContext::new();
        context.set("aws:SourceIp", "203.0.113.9");
        let organization = Organization {
            id: "o-1".to_owned(),
            management_account: "100000000001".to_owned(),
            paths: HashMap::from([("111111111111".to_owned(), "o-1/r-1/ou-1/".to_owned())]),
            ..Organization::default()
        };
        key_values(name, principal, check, &context, Some(&organization)).map(|values| values.iter().map(str::to_owned).collect())
    }

    #[test]
    fn derived_keys() {
        let mut session = Principal::new(
            PrincipalKind::RoleSession { role_arn: "arn:aws:iam::111111111111:role/p/r".to_owned() },
            "111111111111",
            "arn:aws:sts::111111111111:assumed-role/r/s",
        );
        session.tags.push(("Team".to_owned(), "NLP".to_owned()));
        let mut check = Check::new(
            "s3:PutObject",
            Resource {
                arn: "arn:aws:s3:::b/k".to_owned(),
                account: Some("222222222222".to_owned()),
                tags: vec![("Stage".to_owned(), "prod".to_owned())],
                aws_managed_key: false,
            },
        );
        check.request_tags = Some(vec![("cost".to_owned(), "1".to_owned())]);
        check.encryption_context = vec![("Project".to_owned(), "x".to_owned())];
        for (name, expected) in [
            ("aws:PrincipalArn", Some("arn:aws:iam::111111111111:role/p/r")),
            ("AWS:PRINCIPALACCOUNT", Some("111111111111")),
            ("aws:PrincipalType", Some("AssumedRole")),
            ("aws:username", None),
            ("aws:PrincipalIsAWSService", Some("false")),
            ("aws:PrincipalServiceName", None),
            ("aws:AssumedRoot", None),
            ("aws:PrincipalOrgID", Some("o-1")),
            ("aws:PrincipalOrgPaths", Some("o-1/r-1/ou-1/")),
            ("aws:ResourceAccount", Some("222222222222")),
            ("aws:ResourceOrgID", None),
            ("aws:PrincipalTag/team", Some("NLP")),
            ("aws:ResourceTag/stage", Some("prod")),
            ("aws:RequestTag/Cost", Some("1")),
            ("aws:TagKeys", Some("cost")),
            ("kms:EncryptionContext:project", Some("x")),
            ("kms:EncryptionContextKeys", Some("Project")),
            ("aws:SecureTransport", Some("true")),
            ("aws:SourceIp", Some("203.0.113.9")),
            ("aws:SourceVpc", None),
        ] {
            let expected = expected.map(|text| vec![text.to_owned()]);
            assert_eq!(value(name, &session, &check), expected, "{name}");
        }
    }

    #[test]
    fn callers_without_account() {
        let check = Check::new("s3:GetObject", Resource::default());
        let anonymous = Principal::anonymous();
        let one = |name, principal: &Principal| value(name, principal, &check).map(|v| v.concat());
        assert_eq!(one("aws:PrincipalAccount", &anonymous).as_deref(), Some("anonymous"));
        assert_eq!(one("aws:PrincipalIsAWSService", &anonymous), None);
        assert_eq!(one("aws:PrincipalArn", &anonymous), None);
        let service = Principal::unaccounted(PrincipalKind::Service { name: "config.amazonaws.com".to_owned() });
        assert_eq!(one("aws:PrincipalIsAWSService", &service).as_deref(), Some("true"));
        assert_eq!(one("aws:PrincipalServiceName", &service).as_deref(), Some("config.amazonaws.com"));
    }
}
