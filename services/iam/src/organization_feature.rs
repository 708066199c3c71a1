//! Central management of the root users of an organization's member accounts: the two features, and who may switch them.
//!
//! Source: IAM User Guide, "Centrally manage root access for member accounts".

use std::collections::BTreeSet;
use std::sync::Arc;

use api_iam::{
    DisableOrganizationsRootCredentialsManagementInput, DisableOrganizationsRootCredentialsManagementOutput,
    DisableOrganizationsRootSessionsInput, DisableOrganizationsRootSessionsOutput, EnableOrganizationsRootCredentialsManagementInput,
    EnableOrganizationsRootCredentialsManagementOutput, EnableOrganizationsRootSessionsInput, EnableOrganizationsRootSessionsOutput,
    FeatureType, ListOrganizationsFeaturesInput, ListOrganizationsFeaturesOutput,
};
use plane::{ApiError, Call, Key, OrganizationView, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::error::IamError;

/// Service principal that must have trusted access, and whose delegated administrators may act for the management account.
pub const IAM: &str = "iam.amazonaws.com";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OrganizationFeature {
    RootCredentialsManagement,
    RootSessions,
}

/// What an organization has switched on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct FeatureRecord {
    enabled: BTreeSet<OrganizationFeature>,
}

impl Record for FeatureRecord {
    const TABLE: Table = Table("iam.organization-feature");
    const SCOPE: Scope = Scope::Home;
}

fn key(organization_id: &str) -> Key {
    Key::shared().last(organization_id)
}

/// Whether an organization has a feature.
pub async fn is_enabled(tx: &mut Transaction, organization_id: &str, feature: OrganizationFeature) -> Result<bool, ApiError> {
    Ok(tx.get::<FeatureRecord>(&key(organization_id)).await?.is_some_and(|record| record.enabled.contains(&feature)))
}

/// Whether an account may manage the root users of its organization's members.
pub fn may_manage(view: &OrganizationView, account: &str) -> bool {
    view.organization.management_account == account
        || view.delegated_administrators.get(IAM).is_some_and(|accounts| accounts.contains(account))
}

/// The caller's organization, when the caller may ask about its features.
async fn organization(cx: &mut Call) -> Result<Arc<OrganizationView>, ApiError> {
    let account = cx.account.clone();
    let Some(view) = cx.plane.organization(&account).await? else {
        return Err(IamError::OrganizationNotFound("The account is not a member of an organization.".to_owned()).into());
    };
    if !view.all_features {
        let text = "The organization does not have all features enabled.";
        return Err(IamError::OrganizationNotInAllFeaturesMode(text.to_owned()).into());
    }
    if !may_manage(&view, &account) {
        let text = "The account is neither the management account of the organization nor a delegated administrator for IAM.";
        return Err(IamError::AccountNotManagementOrDelegatedAdministrator(text.to_owned()).into());
    }
    if !view.service_access.contains(IAM) {
        let text = "Trusted access for IAM is not enabled in the organization.";
        return Err(IamError::ServiceAccessNotEnabled(text.to_owned()).into());
    }
    Ok(view)
}

/// Switches a feature and gives the organization's id with what is on.
async fn switch(cx: &mut Call, feature: OrganizationFeature, on: bool) -> Result<(String, Vec<FeatureType>), ApiError> {
    let view = organization(cx).await?;
    if on && view.organization.management_account != cx.account {
        let text = "Only the management account of the organization can enable the feature.";
        return Err(IamError::CallerIsNotManagementAccount(text.to_owned()).into());
    }
    let id = view.organization.id.clone();
    let mut record = cx.tx.get::<FeatureRecord>(&key(&id)).await?.unwrap_or_default();
    if on {
        record.enabled.insert(feature);
    } else {
        record.enabled.remove(&feature);
    }
    cx.tx.put(&key(&id), &record)?;
    Ok((id, shown(&record)))
}

fn shown(record: &FeatureRecord) -> Vec<FeatureType> {
    let name = |feature: &OrganizationFeature| match feature {
        OrganizationFeature::RootCredentialsManagement => FeatureType::RootCredentialsManagement,
        OrganizationFeature::RootSessions => FeatureType::RootSessions,
    };
    record.enabled.iter().map(name).collect()
}

pub(crate) async fn list_organizations_features(
    cx: &mut Call,
    _input: ListOrganizationsFeaturesInput,
) -> Result<ListOrganizationsFeaturesOutput, ApiError> {
    let id = organization(cx).await?.organization.id.clone();
    let record = cx.tx.get::<FeatureRecord>(&key(&id)).await?.unwrap_or_default();
    Ok(ListOrganizationsFeaturesOutput { organization_id: Some(id), enabled_features: Some(shown(&record)) })
}

pub(crate) async fn enable_organizations_root_credentials_management(
    cx: &mut Call,
    _input: EnableOrganizationsRootCredentialsManagementInput,
) -> Result<EnableOrganizationsRootCredentialsManagementOutput, ApiError> {
    let (id, enabled) = switch(cx, OrganizationFeature::RootCredentialsManagement, true).await?;
    Ok(EnableOrganizationsRootCredentialsManagementOutput { organization_id: Some(id), enabled_features: Some(enabled) })
}

pub(crate) async fn disable_organizations_root_credentials_management(
    cx: &mut Call,
    _input: DisableOrganizationsRootCredentialsManagementInput,
) -> Result<DisableOrganizationsRootCredentialsManagementOutput, ApiError> {
    let (id, enabled) = switch(cx, OrganizationFeature::RootCredentialsManagement, false).await?;
    Ok(DisableOrganizationsRootCredentialsManagementOutput { organization_id: Some(id), enabled_features: Some(enabled) })
}

pub(crate) async fn enable_organizations_root_sessions(
    cx: &mut Call,
    _input: EnableOrganizationsRootSessionsInput,
) -> Result<EnableOrganizationsRootSessionsOutput, ApiError> {
    let (id, enabled) = switch(cx, OrganizationFeature::RootSessions, true).await?;
    Ok(EnableOrganizationsRootSessionsOutput { organization_id: Some(id), enabled_features: Some(enabled) })
}

pub(crate) async fn disable_organizations_root_sessions(
    cx: &mut Call,
    _input: DisableOrganizationsRootSessionsInput,
) -> Result<DisableOrganizationsRootSessionsOutput, ApiError> {
    let (id, enabled) = switch(cx, OrganizationFeature::RootSessions, false).await?;
    Ok(DisableOrganizationsRootSessionsOutput { organization_id: Some(id), enabled_features: Some(enabled) })
}
