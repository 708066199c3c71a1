//! KMS grants: allows that are attached to a key, one grantee each.
//!
//! Source: KMS Developer Guide, "Grants in AWS KMS"; KMS API Reference, "GrantConstraints".

use crate::principal::{GrantClass, PrincipalEntry, PrincipalKind, arn_class, unique_id_class};
use crate::request::{Key, Request, equal_ignoring_case};

/// A grant of a KMS key, with the constraints that limit it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KmsGrant {
    /// Grant id, for explanations.
    pub id: String,
    /// ARN of the grantee, or name of a service principal.
    pub grantee: String,
    /// Unique id of a grantee that is a user, a role or a session of one. It counts, not the ARN: the next of that name gets nothing.
    pub grantee_id: Option<String>,
    /// Operations such as `Decrypt`.
    pub operations: Vec<String>,
    /// Pairs that the request's encryption context must include.
    pub encryption_context_subset: Option<Vec<(String, String)>>,
    /// Pairs that the request's encryption context must consist of.
    pub encryption_context_equals: Option<Vec<(String, String)>>,
    /// ARN of the resource on whose behalf the request must be made.
    pub source_arn: Option<String>,
    /// ARN of who may retire the grant.
    pub retiring_principal: Option<String>,
    /// The same of the retiring principal.
    pub retiring_principal_id: Option<String>,
}

/// Operations that the encryption context constraints do not bind: those that have no encryption context.
const WITHOUT_ENCRYPTION_CONTEXT: [&str; 8] =
    ["describekey", "retiregrant", "creategrant", "getpublickey", "sign", "verify", "generatemac", "verifymac"];

impl KmsGrant {
    /// How closely the grant names the caller if it allows the request, else `None`.
    pub(crate) fn class(&self, request: &Request<'_>) -> Option<GrantClass> {
        let (service, operation) = request.check.service_and_name();
        if let Some(retiring) = &self.retiring_principal
            && (service, operation) == ("kms", "retiregrant")
            && let Some(class) = named_class(retiring, self.retiring_principal_id.as_deref(), request)
        {
            return Some(class);
        }
        let class = named_class(&self.grantee, self.grantee_id.as_deref(), request)?;
        let listed = self.operations.iter().any(|listed| {
            let listed = listed.strip_prefix("kms:").unwrap_or(listed);
            listed.eq_ignore_ascii_case(operation)
        });
        (service == "kms" && listed && self.constraints_hold(operation, request)).then_some(class)
    }

    fn constraints_hold(&self, operation: &str, request: &Request<'_>) -> bool {
        if let Some(wanted) = &self.source_arn
            && operation != "retiregrant"
        {
            let actual = request.values(&Key::new("aws:SourceArn"));
            if !actual.is_some_and(|values| values.iter().any(|value| value == wanted)) {
                return false;
            }
        }
        if WITHOUT_ENCRYPTION_CONTEXT.contains(&operation) {
            return true;
        }
        let actual = &request.check.encryption_context;
        let subset = |wanted: &[(String, String)]| wanted.iter().all(|pair| has_pair(actual, pair));
        self.encryption_context_subset.as_deref().is_none_or(subset)
            && self.encryption_context_equals.as_deref().is_none_or(|wanted| wanted.len() == actual.len() && subset(wanted))
    }
}

/// How a grantee or retiring principal names the caller: a service, an account, or an ARN.
fn named_class(named: &str, id: Option<&str>, request: &Request<'_>) -> Option<GrantClass> {
    let principal = request.principal;
    match (&principal.kind, PrincipalEntry::aws(named)) {
        (PrincipalKind::Service { name }, _) => (name == named).then_some(GrantClass::Direct),
        (kind, PrincipalEntry::Account(account)) => {
            let class = match kind {
                PrincipalKind::Root => GrantClass::Direct,
                _ => GrantClass::Account,
            };
            (principal.account.as_deref() == Some(&*account)).then_some(class)
        }
        // The id of a federated user says nothing of the user behind it.
        (PrincipalKind::FederatedUser { .. }, _) => arn_class(named, principal),
        _ => id.map_or_else(|| arn_class(named, principal), |id| unique_id_class(id, principal)),
    }
}

/// In a constraint the key of a pair compares without case, its value with case.
fn has_pair(pairs: &[(String, String)], (key, value): &(String, String)) -> bool {
    pairs.iter().any(|(name, actual)| equal_ignoring_case(name, key) && actual == value)
}
