//! The organization: its root, units, accounts and what is attached to them, in one record, so that every change to the tree is atomic.

use std::collections::{BTreeMap, BTreeSet};

use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::error::OrganizationError;
use crate::identifier::TargetKind;
use crate::policy_type::PolicyKind;

/// Levels of units below the root. Source: Organizations User Guide, "Quotas and service limits".
const DEPTH_LIMIT: usize = 5;

/// Which organization an account is in. Key: the account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Membership {
    pub organization: String,
}

impl Record for Membership {
    const TABLE: Table = Table("organizations-membership");
    const SCOPE: Scope = Scope::Home;
}

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Organization {
    pub id: String,
    pub management_account: String,
    /// `false`: consolidated billing only, which has no policies.
    pub all_features: bool,
    pub root: Root,
    #[serde(default)]
    pub units: BTreeMap<String, Unit>,
    /// Every account, the management account included.
    pub accounts: BTreeMap<String, Member>,
    /// Policy ids by target: root, unit or account.
    #[serde(default)]
    pub attachments: BTreeMap<String, BTreeSet<String>>,
    /// Trusted service access: service principal and when it was enabled.
    #[serde(default)]
    pub service_access: BTreeMap<String, i64>,
    /// Delegated administrators: account, then service principal and when.
    #[serde(default)]
    pub delegated: BTreeMap<String, BTreeMap<String, i64>>,
    #[serde(default)]
    pub resource_policy: Option<DelegationPolicy>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Root {
    pub id: String,
    #[serde(default)]
    pub enabled: BTreeSet<PolicyKind>,
    /// Service control policies are on because all features are; nobody has switched them on or off since.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub enabled_with_features: bool,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unit {
    pub name: String,
    pub parent: String,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    pub name: String,
    pub email: String,
    pub parent: String,
    /// Made by `CreateAccount`, else invited.
    pub created: bool,
    pub joined_ms: i64,
    /// Closed: its principals can do nothing.
    #[serde(default)]
    pub suspended: bool,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

/// The organization's resource policy: what members may do without being the management account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DelegationPolicy {
    pub id: String,
    pub content: String,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Record for Organization {
    const TABLE: Table = Table("organizations-organization");
    const SCOPE: Scope = Scope::Home;
}

pub(crate) fn membership_key(account: &str) -> Key {
    Key::shared().last(account)
}

pub(crate) fn organization_key(id: &str) -> Key {
    Key::shared().last(id)
}

/// The organization of an account.
pub(crate) async fn of_account(tx: &mut Transaction, account: &str) -> Result<Option<Organization>, ApiError> {
    match tx.get::<Membership>(&membership_key(account)).await? {
        Some(membership) => tx.get::<Organization>(&organization_key(&membership.organization)).await,
        None => Ok(None),
    }
}

/// The organization of the caller. Who may do what with it has been decided before (see `target`).
pub(crate) async fn load(cx: &mut Call) -> Result<Organization, ApiError> {
    let account = cx.account.clone();
    of_account(&mut cx.tx, &account).await?.ok_or_else(|| OrganizationError::NotInUse.into())
}

impl Root {
    /// What having all features switches on.
    pub(crate) fn enable_with_features(&mut self) {
        self.enabled_with_features = self.enabled.insert(PolicyKind::ServiceControl);
    }
}

impl Organization {
    pub(crate) fn put(&self, tx: &mut Transaction) -> Result<(), ApiError> {
        tx.put(&organization_key(&self.id), self)
    }

    /// ARN of something of this organization: `arn:aws:organizations::MANAGEMENT:KIND/o-id/...`.
    pub(crate) fn arn_of(&self, kind: &str, rest: &str) -> String {
        format!("arn:{}:organizations::{}:{kind}/{}/{rest}", plane::PARTITION, self.management_account, self.id)
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:{}:organizations::{}:organization/{}", plane::PARTITION, self.management_account, self.id)
    }

    pub(crate) fn account_arn(&self, account: &str) -> String {
        self.arn_of("account", account)
    }

    /// ARN of a root, a unit or an account.
    pub(crate) fn target_arn(&self, id: &str) -> String {
        match TargetKind::of(id) {
            TargetKind::Root => self.arn_of("root", id),
            TargetKind::Unit => self.arn_of("ou", id),
            TargetKind::Account => self.account_arn(id),
        }
    }

    /// Whether a root, unit or account of this id is in the organization.
    pub(crate) fn has_target(&self, id: &str) -> bool {
        match TargetKind::of(id) {
            TargetKind::Root => self.root.id == id,
            TargetKind::Unit => self.units.contains_key(id),
            TargetKind::Account => self.accounts.contains_key(id),
        }
    }

    pub(crate) fn is_parent(&self, id: &str) -> bool {
        self.root.id == id || self.units.contains_key(id)
    }

    fn parent_of(&self, id: &str) -> Option<&str> {
        match TargetKind::of(id) {
            TargetKind::Root => None,
            TargetKind::Unit => self.units.get(id).map(|unit| unit.parent.as_str()),
            TargetKind::Account => self.accounts.get(id).map(|account| account.parent.as_str()),
        }
    }

    pub(crate) fn parent(&self, id: &str) -> Option<&str> {
        self.parent_of(id)
    }

    /// The target and everything above it, from the root down.
    pub(crate) fn lineage(&self, id: &str) -> Vec<String> {
        let mut lineage = vec![id.to_owned()];
        // A chain is never longer than the deepest tree, whatever the record says.
        for _ in 0..=DEPTH_LIMIT + 1 {
            let Some(parent) = lineage.last().and_then(|last| self.parent_of(last)) else { break };
            lineage.push(parent.to_owned());
        }
        lineage.reverse();
        lineage
    }

    /// `o-id/r-id/ou-id/`, as `aws:PrincipalOrgPaths` shows an account's place.
    pub(crate) fn path(&self, account: &str) -> String {
        let lineage = self.lineage(account);
        let above = lineage.split_last().map(|(_, above)| above.join("/")).unwrap_or_default();
        format!("{}/{above}/", self.id)
    }

    /// Whether a unit may be made below this parent.
    pub(crate) fn is_too_deep(&self, parent: &str) -> bool {
        // The root is a level of the lineage, but no unit.
        self.lineage(parent).len() > DEPTH_LIMIT
    }

    pub(crate) fn is_management(&self, account: &str) -> bool {
        self.management_account == account
    }

    /// Attached policies of a target.
    pub(crate) fn attached(&self, target: &str) -> impl Iterator<Item = &String> {
        self.attachments.get(target).into_iter().flatten()
    }

    pub(crate) fn attach(&mut self, target: &str, policy: &str) -> bool {
        self.attachments.entry(target.to_owned()).or_default().insert(policy.to_owned())
    }

    /// Delegated administrators for a service.
    pub(crate) fn delegates_of(&self, service: &str) -> Vec<String> {
        self.delegated.iter().filter(|(_, services)| services.contains_key(service)).map(|(account, _)| account.clone()).collect()
    }

    /// Takes an account out of the tree.
    pub(crate) fn forget_account(&mut self, account: &str) {
        self.accounts.remove(account);
        self.attachments.remove(account);
        self.delegated.remove(account);
    }
}

#[cfg(test)]
pub(crate) fn sample() -> Organization {
    let member = |parent: &str| Member {
        name: "a".to_owned(),
        email: "a@example.com".to_owned(),
        parent: parent.to_owned(),
        created: true,
        joined_ms: 0,
        suspended: false,
        tags: Vec::new(),
    };
    let unit = |parent: &str| Unit { name: "u".to_owned(), parent: parent.to_owned(), tags: Vec::new() };
    Organization {
        id: "o-0123456789".to_owned(),
        management_account: "111111111111".to_owned(),
        all_features: true,
        root: Root { id: "r-abcd".to_owned(), enabled: BTreeSet::new(), enabled_with_features: false, tags: Vec::new() },
        units: BTreeMap::from([("ou-abcd-1".to_owned(), unit("r-abcd")), ("ou-abcd-2".to_owned(), unit("ou-abcd-1"))]),
        accounts: BTreeMap::from([("111111111111".to_owned(), member("r-abcd")), ("222222222222".to_owned(), member("ou-abcd-2"))]),
        attachments: BTreeMap::new(),
        service_access: BTreeMap::new(),
        delegated: BTreeMap::new(),
        resource_policy: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lineage_and_paths() {
        let organization = sample();
        assert_eq!(organization.lineage("222222222222"), ["r-abcd", "ou-abcd-1", "ou-abcd-2", "222222222222"]);
        assert_eq!(organization.path("222222222222"), "o-0123456789/r-abcd/ou-abcd-1/ou-abcd-2/");
        assert_eq!(organization.path("111111111111"), "o-0123456789/r-abcd/");
        assert!(!organization.is_too_deep("ou-abcd-2"));
        assert!(organization.has_target("r-abcd") && !organization.has_target("ou-abcd-9") && !organization.has_target("333333333333"));
    }

    #[test]
    fn a_stored_organization_stays_readable() {
        let stored = include_str!("../tests/samples/organization-1.json");
        let organization: Organization = serde_json::from_str(stored).unwrap();
        assert_eq!(organization.path("222222222222"), "o-0123456789/r-abcd/ou-abcd-1/");
    }
}
