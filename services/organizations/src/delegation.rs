//! Trusted services, delegated administrators and the organization's resource policy.

use ::policy::{Policy, PolicyKind, ResourceKind};
use api_organizations::{
    DelegatedAdministrator, DelegatedService, DeleteResourcePolicyInput, DeleteResourcePolicyOutput, DeregisterDelegatedAdministratorInput,
    DeregisterDelegatedAdministratorOutput, DescribeResourcePolicyInput, DescribeResourcePolicyOutput, DisableAWSServiceAccessInput,
    DisableAWSServiceAccessOutput, EnableAWSServiceAccessInput, EnableAWSServiceAccessOutput, EnabledServicePrincipal,
    ListAWSServiceAccessForOrganizationInput, ListAWSServiceAccessForOrganizationOutput, ListDelegatedAdministratorsInput,
    ListDelegatedAdministratorsOutput, ListDelegatedServicesForAccountInput, ListDelegatedServicesForAccountOutput, PutResourcePolicyInput,
    PutResourcePolicyOutput, RegisterDelegatedAdministratorInput, RegisterDelegatedAdministratorOutput, ResourcePolicy,
    ResourcePolicySummary,
};
use plane::{ApiError, Call, policy_principal};
use wire::{Secret, Timestamp};

use crate::error::OrganizationError;
use crate::organization::{self, DelegationPolicy, Organization};
use crate::{account, identifier, paged, tag};

/// Characters of the resource policy. Source: Organizations User Guide, "Quotas and service limits".
const CONTENT_LIMIT: usize = 40_000;

/// Services that can be trusted end so; there is no list of them that would stay true.
fn check_principal(principal: &str) -> Result<(), OrganizationError> {
    let name = principal.strip_suffix(".amazonaws.com").unwrap_or_default();
    let valid = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if valid {
        Ok(())
    } else {
        Err(OrganizationError::Input("UNRECOGNIZED_SERVICE_PRINCIPAL", "You specified an unrecognized service principal."))
    }
}

pub(crate) async fn enable_aws_service_access(
    cx: &mut Call,
    input: EnableAWSServiceAccessInput,
) -> Result<EnableAWSServiceAccessOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    check_principal(&input.service_principal)?;
    let now_ms = cx.now.0;
    organization.service_access.entry(input.service_principal).or_insert(now_ms);
    organization.put(&mut cx.tx)?;
    Ok(EnableAWSServiceAccessOutput {})
}

pub(crate) async fn disable_aws_service_access(
    cx: &mut Call,
    input: DisableAWSServiceAccessInput,
) -> Result<DisableAWSServiceAccessOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    check_principal(&input.service_principal)?;
    if organization.delegated.values().any(|services| services.contains_key(&input.service_principal)) {
        return Err(OrganizationError::Constraint(
            "SERVICE_ACCESS_NOT_DISABLED_DELEGATED_ADMINISTRATOR_EXISTS",
            "The service still has a delegated administrator: deregister it first.",
        )
        .into());
    }
    organization.service_access.remove(&input.service_principal);
    organization.put(&mut cx.tx)?;
    Ok(DisableAWSServiceAccessOutput {})
}

pub(crate) async fn list_aws_service_access_for_organization(
    cx: &mut Call,
    input: ListAWSServiceAccessForOrganizationInput,
) -> Result<ListAWSServiceAccessForOrganizationOutput, ApiError> {
    let services: Vec<(String, i64)> = organization::load(cx).await?.service_access.into_iter().collect();
    let page = paged::cut(cx, services, |(principal, _)| principal.clone(), "services", input.next_token, input.max_results)?;
    let shown = page.items.into_iter().map(|(principal, enabled_ms)| EnabledServicePrincipal {
        service_principal: Some(principal),
        date_enabled: Some(Timestamp(enabled_ms)),
    });
    Ok(ListAWSServiceAccessForOrganizationOutput { enabled_service_principals: Some(shown.collect()), next_token: page.next })
}

pub(crate) async fn register_delegated_administrator(
    cx: &mut Call,
    input: RegisterDelegatedAdministratorInput,
) -> Result<RegisterDelegatedAdministratorOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    check_principal(&input.service_principal)?;
    let member = organization.accounts.get(&input.account_id).ok_or(OrganizationError::AccountNotFound)?;
    if organization.is_management(&input.account_id) {
        return Err(OrganizationError::Constraint(
            "CANNOT_REGISTER_MASTER_AS_DELEGATED_ADMINISTRATOR",
            "You cannot register master account/yourself as delegated administrator for your organization.",
        )
        .into());
    }
    if member.suspended {
        return Err(OrganizationError::Constraint(
            "CANNOT_REGISTER_SUSPENDED_ACCOUNT_AS_DELEGATED_ADMINISTRATOR",
            "You cannot register a suspended account as delegated administrator.",
        )
        .into());
    }
    if !organization.service_access.contains_key(&input.service_principal) {
        return Err(OrganizationError::Constraint(
            "SERVICE_ACCESS_NOT_ENABLED",
            "You must first enable the service for your organization.",
        )
        .into());
    }
    let now_ms = cx.now.0;
    let services = organization.delegated.entry(input.account_id).or_default();
    if services.contains_key(&input.service_principal) {
        return Err(OrganizationError::AlreadyRegistered.into());
    }
    services.insert(input.service_principal, now_ms);
    organization.put(&mut cx.tx)?;
    Ok(RegisterDelegatedAdministratorOutput {})
}

pub(crate) async fn deregister_delegated_administrator(
    cx: &mut Call,
    input: DeregisterDelegatedAdministratorInput,
) -> Result<DeregisterDelegatedAdministratorOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    if !organization.accounts.contains_key(&input.account_id) {
        return Err(OrganizationError::AccountNotFound.into());
    }
    let services = organization.delegated.get_mut(&input.account_id).ok_or(OrganizationError::NotRegistered)?;
    services.remove(&input.service_principal).ok_or(OrganizationError::NotRegistered)?;
    if services.is_empty() {
        organization.delegated.remove(&input.account_id);
    }
    organization.put(&mut cx.tx)?;
    Ok(DeregisterDelegatedAdministratorOutput {})
}

pub(crate) async fn list_delegated_administrators(
    cx: &mut Call,
    input: ListDelegatedAdministratorsInput,
) -> Result<ListDelegatedAdministratorsOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let wanted = input.service_principal;
    let mut found: Vec<(String, i64)> = Vec::new();
    for (id, services) in &organization.delegated {
        let since = match &wanted {
            Some(principal) => services.get(principal).copied(),
            None => services.values().min().copied(),
        };
        found.extend(since.map(|since| (id.clone(), since)));
    }
    let filter = wanted.unwrap_or_default();
    let page = paged::cut(cx, found, |(id, _)| id.clone(), &filter, input.next_token, input.max_results)?;
    let shown = page.items.into_iter().filter_map(|(id, since)| administrator(&organization, id, since));
    Ok(ListDelegatedAdministratorsOutput { delegated_administrators: Some(shown.collect()), next_token: page.next })
}

fn administrator(organization: &Organization, id: String, since_ms: i64) -> Option<DelegatedAdministrator> {
    let member = organization.accounts.get(&id)?;
    let (status, state) = account::standing(member);
    Some(DelegatedAdministrator {
        arn: Some(organization.account_arn(&id)),
        id: Some(id),
        email: Some(Secret::new(member.email.clone())),
        name: Some(Secret::new(member.name.clone())),
        status: Some(status),
        state: Some(state),
        joined_method: Some(account::joined(member)),
        joined_timestamp: Some(Timestamp(member.joined_ms)),
        delegation_enabled_date: Some(Timestamp(since_ms)),
    })
}

pub(crate) async fn list_delegated_services_for_account(
    cx: &mut Call,
    input: ListDelegatedServicesForAccountInput,
) -> Result<ListDelegatedServicesForAccountOutput, ApiError> {
    let organization = organization::load(cx).await?;
    if !organization.accounts.contains_key(&input.account_id) {
        return Err(OrganizationError::AccountNotFound.into());
    }
    let services = organization.delegated.get(&input.account_id).ok_or(OrganizationError::NotRegistered)?;
    let services: Vec<(String, i64)> = services.iter().map(|(principal, since)| (principal.clone(), *since)).collect();
    let page = paged::cut(cx, services, |(principal, _)| principal.clone(), &input.account_id, input.next_token, input.max_results)?;
    let shown = page.items.into_iter().map(|(principal, since_ms)| DelegatedService {
        service_principal: Some(principal),
        delegation_enabled_date: Some(Timestamp(since_ms)),
    });
    Ok(ListDelegatedServicesForAccountOutput { delegated_services: Some(shown.collect()), next_token: page.next })
}

async fn describe(cx: &mut Call, organization: &Organization) -> Result<Option<ResourcePolicy>, ApiError> {
    let Some(policy) = &organization.resource_policy else { return Ok(None) };
    let content = policy_principal::shown(cx, &policy.content).await?;
    Ok(Some(ResourcePolicy {
        resource_policy_summary: Some(ResourcePolicySummary {
            id: Some(policy.id.clone()),
            arn: Some(organization.arn_of("resourcepolicy", &policy.id)),
        }),
        content: Some(content),
    }))
}

pub(crate) async fn put_resource_policy(cx: &mut Call, input: PutResourcePolicyInput) -> Result<PutResourcePolicyOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    if input.content.chars().count() > CONTENT_LIMIT {
        return Err(OrganizationError::Constraint(
            "POLICY_CONTENT_LIMIT_EXCEEDED",
            "You have exceeded the maximum size of a policy document.",
        )
        .into());
    }
    if Policy::parse(&input.content, PolicyKind::Resource(ResourceKind::Standard)).is_err() {
        return Err(OrganizationError::MalformedPolicy.into());
    }
    let content = policy_principal::stored(cx, &input.content, |_| OrganizationError::MalformedPolicy.into()).await?;
    let existing = organization.resource_policy.take();
    if existing.is_some() && input.tags.as_ref().is_some_and(|tags| !tags.is_empty()) {
        return Err(OrganizationError::Input(
            "UPDATE_EXISTING_RESOURCE_POLICY_WITH_TAGS_NOT_SUPPORTED",
            "You can only add tags when creating a new resource policy.",
        )
        .into());
    }
    let (id, tags) = match existing {
        Some(existing) => (existing.id, existing.tags),
        None => (identifier::resource_policy(cx)?, tag::checked(input.tags)?),
    };
    organization.resource_policy = Some(DelegationPolicy { id, content, tags });
    organization.put(&mut cx.tx)?;
    Ok(PutResourcePolicyOutput { resource_policy: describe(cx, &organization).await? })
}

pub(crate) async fn describe_resource_policy(
    cx: &mut Call,
    _input: DescribeResourcePolicyInput,
) -> Result<DescribeResourcePolicyOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let policy = describe(cx, &organization).await?.ok_or(OrganizationError::ResourcePolicyNotFound)?;
    Ok(DescribeResourcePolicyOutput { resource_policy: Some(policy) })
}

pub(crate) async fn delete_resource_policy(
    cx: &mut Call,
    _input: DeleteResourcePolicyInput,
) -> Result<DeleteResourcePolicyOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    organization.resource_policy.take().ok_or(OrganizationError::ResourcePolicyNotFound)?;
    organization.put(&mut cx.tx)?;
    Ok(DeleteResourcePolicyOutput {})
}
