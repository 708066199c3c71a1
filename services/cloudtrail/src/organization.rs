//! Organization trails and their administrators.
//!
//! Source: CloudTrail User Guide, "Creating a trail for an organization" and "Organization delegated administrator".

use api_cloudtrail::{
    DeregisterOrganizationDelegatedAdminInput, DeregisterOrganizationDelegatedAdminOutput, RegisterOrganizationDelegatedAdminInput,
    RegisterOrganizationDelegatedAdminOutput,
};
use api_organizations::{
    DeregisterDelegatedAdministratorInput, DescribeOrganizationInput, ListAWSServiceAccessForOrganizationInput,
    ListDelegatedAdministratorsInput, OrganizationFeatureSet, RegisterDelegatedAdministratorInput,
};
use plane::{ApiError, Call};

use crate::SERVICE_PRINCIPAL;
use crate::error::TrailError;

/// Delegated administrators of an organization. Source: CloudTrail User Guide, "Quotas in AWS CloudTrail".
const DELEGATES_LIMIT: usize = 3;
/// Pages of trusted services that are read.
const PAGES: usize = 50;

/// The id of the organization whose management account calls, when it may have trails for all its accounts.
pub(crate) async fn managed(cx: &mut Call) -> Result<String, ApiError> {
    let plane = std::sync::Arc::clone(&cx.plane);
    let view = plane.organization(&cx.account).await?.ok_or(TrailError::NoOrganization)?;
    if view.organization.management_account != cx.account {
        return Err(TrailError::NotManagementAccount.into());
    }
    let described = cx.forward(DescribeOrganizationInput {}).await?;
    let features = described.organization.and_then(|organization| organization.feature_set);
    if features != Some(OrganizationFeatureSet::All) {
        return Err(TrailError::NotAllFeatures.into());
    }
    if !is_trusted(cx).await? {
        return Err(TrailError::NoServiceAccess.into());
    }
    Ok(view.organization.id.clone())
}

async fn is_trusted(cx: &mut Call) -> Result<bool, ApiError> {
    let mut next_token = None;
    for _ in 0..PAGES {
        let page = cx.forward(ListAWSServiceAccessForOrganizationInput { next_token, max_results: None }).await?;
        let mut principals = page.enabled_service_principals.unwrap_or_default().into_iter();
        if principals.any(|enabled| enabled.service_principal.as_deref() == Some(SERVICE_PRINCIPAL)) {
            return Ok(true);
        }
        next_token = page.next_token;
        if next_token.is_none() {
            break;
        }
    }
    Ok(false)
}

pub(crate) async fn register_organization_delegated_admin(
    cx: &mut Call,
    input: RegisterOrganizationDelegatedAdminInput,
) -> Result<RegisterOrganizationDelegatedAdminOutput, ApiError> {
    managed(cx).await?;
    let account = input.member_account_id;
    let listed = cx
        .forward(ListDelegatedAdministratorsInput {
            service_principal: Some(SERVICE_PRINCIPAL.to_owned()),
            next_token: None,
            max_results: None,
        })
        .await?;
    if listed.delegated_administrators.map_or(0, |delegates| delegates.len()) >= DELEGATES_LIMIT {
        return Err(TrailError::TooManyDelegates.into());
    }
    let register = RegisterDelegatedAdministratorInput { account_id: account.clone(), service_principal: SERVICE_PRINCIPAL.to_owned() };
    cx.forward(register).await.map_err(|error| match error.code.as_ref() {
        "AccountNotFoundException" => TrailError::NoSuchAccount(account).into(),
        "AccountAlreadyRegisteredException" => TrailError::AlreadyRegistered(account).into(),
        "ConstraintViolationException" => TrailError::ManagementDelegate.into(),
        _ => error,
    })?;
    Ok(RegisterOrganizationDelegatedAdminOutput {})
}

pub(crate) async fn deregister_organization_delegated_admin(
    cx: &mut Call,
    input: DeregisterOrganizationDelegatedAdminInput,
) -> Result<DeregisterOrganizationDelegatedAdminOutput, ApiError> {
    managed(cx).await?;
    let account = input.delegated_admin_account_id;
    let deregister = DeregisterDelegatedAdministratorInput { account_id: account.clone(), service_principal: SERVICE_PRINCIPAL.to_owned() };
    cx.forward(deregister).await.map_err(|error| match error.code.as_ref() {
        "AccountNotFoundException" => TrailError::NoSuchAccount(account).into(),
        "AccountNotRegisteredException" => TrailError::NotRegistered(account).into(),
        _ => error,
    })?;
    Ok(DeregisterOrganizationDelegatedAdminOutput {})
}
