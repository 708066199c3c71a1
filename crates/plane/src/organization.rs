//! What decisions need of organizations: who is a member of which, and the service and resource control policies on the way from the root to
//! an account.
//!
//! The organizations service keeps them and implements [`Organizations`]; the plane asks once per account and keeps the answer until a commit
//! changes one of [`Organizations::tables`], so that a policy binds on the very next call and a call without organization costs a lookup.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use policy::Attached;

use crate::error::ApiError;
use crate::transaction::Transaction;

/// An organization as it is now.
#[derive(Clone, Debug, Default)]
pub struct OrganizationView {
    /// Ids and paths, in the policy engine's form.
    pub organization: Arc<policy::Organization>,
    /// Control policies on the way to each member account. The management account has none: nothing binds it.
    pub members: HashMap<String, MemberPolicies>,
    /// Service control policies of each root, unit and account that has any, by its id. `None`: they are switched off.
    pub service_control: Option<HashMap<String, Vec<Attached>>>,
    /// Every place: root, units and accounts, as `o-id/r-id/ou-id/account`.
    pub entity_paths: HashSet<String>,
    /// Accounts whose principals can do nothing any more.
    pub suspended: HashSet<String>,
    /// Whether it is more than consolidated billing.
    pub all_features: bool,
    /// Service principals with trusted access.
    pub service_access: HashSet<String>,
    /// Delegated administrators by service principal.
    pub delegated_administrators: HashMap<String, HashSet<String>>,
    /// The effective tag policy of each account that has one.
    pub tag_policies: HashMap<String, serde_json::Value>,
    /// The effective Bedrock policy of each account that has one, as `DescribeEffectivePolicy` shows it.
    pub bedrock: HashMap<String, serde_json::Value>,
}

/// Control policies of one member account, in levels from the root to the account.
#[derive(Clone, Debug, Default)]
pub struct MemberPolicies {
    /// `None`: the organization has service control policies switched off.
    pub service_control: Option<Vec<Vec<Attached>>>,
    /// Without the implied `RCPFullAWSAccess`; empty where they are switched off.
    pub resource_control: Vec<Vec<Attached>>,
}

/// Where organizations are kept: implemented by the organizations service, asked only by the plane.
#[async_trait]
pub trait Organizations: Send + Sync + 'static {
    /// The organization that the account is a member of (its management account included), if there is one.
    async fn view(&self, tx: &mut Transaction, account: &str) -> Result<Option<OrganizationView>, ApiError>;
    /// Text of a service control policy of the account's organization, attached or not.
    async fn service_control_policy(&self, _tx: &mut Transaction, _account: &str, _id: &str) -> Result<Option<String>, ApiError> {
        Ok(None)
    }
    /// Tables whose change makes earlier answers stale.
    fn tables(&self) -> &'static [store::Table];
}

/// No organizations: for planes without that service.
pub(crate) struct NoOrganizations;

#[async_trait]
impl Organizations for NoOrganizations {
    async fn view(&self, _tx: &mut Transaction, _account: &str) -> Result<Option<OrganizationView>, ApiError> {
        Ok(None)
    }

    fn tables(&self) -> &'static [store::Table] {
        &[]
    }
}

/// What organizations say in one decision.
#[derive(Clone, Debug, Default)]
pub struct ControlPolicies {
    pub organization: Option<Arc<policy::Organization>>,
    pub service_control: Option<Vec<Vec<Attached>>>,
    pub resource_control: Vec<Vec<Attached>>,
}

impl ControlPolicies {
    /// Whether two accounts belong to one organization.
    pub fn are_together(&self, one: &str, other: &str) -> bool {
        let id = |account: &str| self.organization.as_ref().and_then(|organization| organization.id_of(account));
        id(one).is_some_and(|organization| id(other) == Some(organization))
    }

    /// Joins the organization of the caller with that of the resource's owner.
    pub fn join((caller, caller_view): (&str, Option<&OrganizationView>), (owner, owner_view): (&str, Option<&OrganizationView>)) -> Self {
        let service_control = caller_view.and_then(|view| view.members.get(caller)).and_then(|member| member.service_control.clone());
        let resource_control =
            owner_view.and_then(|view| view.members.get(owner)).map(|member| member.resource_control.clone()).unwrap_or_default();
        let organization = match (caller_view, owner_view) {
            (Some(caller), Some(owner)) if caller.organization.id != owner.organization.id => {
                let mut joined = policy::Organization::clone(&caller.organization);
                joined.foreign = Some(Arc::clone(&owner.organization));
                Some(Arc::new(joined))
            }
            (Some(view), _) | (None, Some(view)) => Some(Arc::clone(&view.organization)),
            (None, None) => None,
        };
        Self { organization, service_control, resource_control }
    }
}
