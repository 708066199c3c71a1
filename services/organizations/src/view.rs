//! The organization as decisions need it. See [`plane::Organizations`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ::policy::{Attached, PolicySource};
use async_trait::async_trait;
use plane::authorize::compiled;
use plane::organization::MemberPolicies;
use plane::{ApiError, OrganizationView, Organizations, Record, Transaction};
use store::Table;

use crate::effective_policy::effective;
use crate::organization::{self, Membership, Organization};
use crate::policy::{self as stored, OrganizationPolicy};
use crate::policy_type::PolicyKind;

/// Service whose delegated administrators manage the root users of members.
const ROOT_ADMINISTRATION: &str = "iam.amazonaws.com";

/// Reads organizations for the plane.
pub struct View;

/// Compiled policies of one target.
type Levels = HashMap<String, Vec<Attached>>;

#[async_trait]
impl Organizations for View {
    async fn view(&self, tx: &mut Transaction, account: &str) -> Result<Option<OrganizationView>, ApiError> {
        let Some(organization) = organization::of_account(tx, account).await? else { return Ok(None) };
        let service_control = attached(tx, &organization, PolicyKind::ServiceControl).await?;
        let resource_control = attached(tx, &organization, PolicyKind::ResourceControl).await?;
        let levels = |account: &str, attached: &Levels| {
            let lineage = organization.lineage(account);
            lineage.iter().map(|place| attached.get(place).cloned().unwrap_or_default()).collect::<Vec<_>>()
        };
        let enabled = |kind: PolicyKind| organization.all_features && organization.root.enabled.contains(&kind);
        let members = organization
            .accounts
            .keys()
            .filter(|account| !organization.is_management(account))
            .map(|account| {
                let policies = MemberPolicies {
                    service_control: enabled(PolicyKind::ServiceControl).then(|| levels(account, &service_control)),
                    resource_control: if enabled(PolicyKind::ResourceControl) { levels(account, &resource_control) } else { Vec::new() },
                };
                (account.clone(), policies)
            })
            .collect();
        let suspended: HashSet<String> =
            organization.accounts.iter().filter(|(_, member)| member.suspended).map(|(account, _)| account.clone()).collect();
        let paths = organization.accounts.keys().map(|account| (account.clone(), organization.path(account))).collect();
        let engine = ::policy::Organization {
            id: organization.id.clone(),
            management_account: organization.management_account.clone(),
            paths,
            root_administrators: organization.delegates_of(ROOT_ADMINISTRATION),
            foreign: None,
        };
        let mut delegated_administrators: HashMap<String, HashSet<String>> = HashMap::new();
        for (account, services) in &organization.delegated {
            for service in services.keys() {
                delegated_administrators.entry(service.clone()).or_default().insert(account.clone());
            }
        }
        let bedrock = effective_of_all(tx, &organization, PolicyKind::Bedrock).await?;
        let tag_policies = effective_of_all(tx, &organization, PolicyKind::Tag).await?;
        Ok(Some(OrganizationView {
            organization: Arc::new(engine),
            members,
            service_control: enabled(PolicyKind::ServiceControl).then_some(service_control),
            entity_paths: entity_paths(&organization),
            suspended,
            all_features: organization.all_features,
            service_access: organization.service_access.keys().cloned().collect(),
            delegated_administrators,
            tag_policies,
            bedrock,
        }))
    }

    async fn service_control_policy(&self, tx: &mut Transaction, account: &str, id: &str) -> Result<Option<String>, ApiError> {
        let Some(organization) = organization::of_account(tx, account).await? else { return Ok(None) };
        let found = stored::find(tx, &organization, id).await?.filter(|policy| policy.kind == PolicyKind::ServiceControl);
        Ok(found.map(|policy| policy.content))
    }

    fn tables(&self) -> &'static [Table] {
        &[Membership::TABLE, Organization::TABLE, OrganizationPolicy::TABLE]
    }
}

/// The effective management policy of each account that has one.
async fn effective_of_all(
    tx: &mut Transaction,
    organization: &Organization,
    kind: PolicyKind,
) -> Result<HashMap<String, serde_json::Value>, ApiError> {
    let mut all = HashMap::new();
    if organization.all_features && organization.root.enabled.contains(&kind) {
        for account in organization.accounts.keys() {
            if let Some(policy) = effective(tx, organization, kind, account).await? {
                all.insert(account.clone(), policy);
            }
        }
    }
    Ok(all)
}

/// Root, units and accounts by their whole path.
fn entity_paths(organization: &Organization) -> HashSet<String> {
    let places = std::iter::once(&organization.root.id).chain(organization.units.keys()).chain(organization.accounts.keys());
    places.map(|place| format!("{}/{}", organization.id, organization.lineage(place).join("/"))).collect()
}

/// Compiled policies of a kind by target, in the order of their ids.
async fn attached(tx: &mut Transaction, organization: &Organization, kind: PolicyKind) -> Result<Levels, ApiError> {
    let Some(engine_kind) = kind.engine_kind() else { return Ok(Levels::new()) };
    let mut levels = Levels::new();
    for (target, ids) in &organization.attachments {
        for id in ids {
            let Some(policy) = stored::find(tx, organization, id).await?.filter(|policy| policy.kind == kind) else { continue };
            let attached = Attached::new(policy.arn(organization), PolicySource::None, compiled(engine_kind, &policy.content));
            levels.entry(target.clone()).or_default().push(attached);
        }
    }
    Ok(levels)
}
