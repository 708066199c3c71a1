//! Organizations: accounts under one management account, units, service and resource control policies that bind on the next call.
//!
//! It keeps the tree and the policies. It decides nothing: the plane does, with what [`View`] gives it.
//!
//! Invariants:
//! 1. An account is in one organization at most. Every change to the tree is one commit.
//! 2. Nothing binds the management account, and nothing that is detached, disabled or deleted binds anybody.
//! 3. A member changes the organization only where its resource policy allows it; what appoints administrators is never delegated.
//! 4. The principals of a closed account can do nothing from the next call on.
//!
//! ## Recorded only
//! Names and addresses of accounts; trusted access of services (no service here waits for it, but delegated administrators need it); AI-services
//! opt-out policies have an effective policy, and nothing here that would use anybody's content.
//!
//! ## Not as AWS does
//! * `CreateAccount` is complete at once; accounts are invited by id only, and there is no mail.
//! * Policy types other than service control, resource control, tag, Bedrock and AI-services opt-out are refused.
//! * A tag that a tag policy forbids is refused with `TagPolicyViolation` unless the operation has a code of its own (SNS, RAM); not verified against AWS.
//! * With invited members, `EnableAllFeatures` is refused: nobody would be asked.
//! * GovCloud accounts and transfers of responsibility to another organization are refused (`UnsupportedAPIEndpointException`); there are none
//!   to list.
//! * Service control policies are on once all features are, as the API reference of `CreateOrganization` says. Live AWS is reported to let
//!   `EnablePolicyType` succeed once all the same (Terraform does so after each creation), so the first one succeeds here and the second does not.
//! * A closed account stays suspended; it does not end after ninety days.

mod account;
mod delegation;
mod effective_policy;
mod error;
mod handshake;
mod identifier;
mod organization;
mod organization_operations;
mod paged;
mod policy;
mod policy_type;
mod policy_validation;
mod responsibility_transfer;
mod tag;
mod target;
mod unit;
mod view;

use ::policy::{Attached, MapContext, Policy, PolicyKind, PolicySource, ResourceKind, ResourcePolicy};
use async_trait::async_trait;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Handler, Service, Target, Transaction, handler};
use wire::Value;

pub use view::View;

/// The service.
pub struct OrganizationsService;

#[async_trait]
impl Service for OrganizationsService {
    fn id(&self) -> &'static str {
        "organizations"
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        HANDLERS
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        target::targets(call, input).await.map(Some)
    }

    async fn resource(&self, tx: &mut Transaction, _region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        let Some(owner) = arn.split(':').nth(4).filter(|owner| owner.len() == 12) else { return Ok(None) };
        let Some(organization) = organization::of_account(tx, owner).await? else { return Ok(None) };
        if !organization.is_management(owner) {
            return Ok(None);
        }
        let policy = organization.resource_policy.as_ref().map_or(ResourcePolicy::Absent, |policy| {
            let kind = PolicyKind::Resource(ResourceKind::Standard);
            let compiled: std::sync::Arc<Policy> = plane::authorize::compiled(kind, &policy.content);
            ResourcePolicy::new(Attached::new(organization.arn_of("resourcepolicy", &policy.id), PolicySource::Resource, compiled))
        });
        let tags = arn.rsplit('/').next().map(|id| tags_of(&organization, id)).unwrap_or_default();
        Ok(Some(ResourceAccess { account: owner.to_owned(), tags, policy, ..ResourceAccess::default() }))
    }

    fn condition_keys(&self, _call: &Call, input: &Value, keys: &mut MapContext) {
        target::condition_keys(input, keys);
    }
}

/// Tags of a root, unit or account.
fn tags_of(organization: &organization::Organization, id: &str) -> Vec<(String, String)> {
    let unit = organization.units.get(id).map(|unit| &unit.tags);
    let account = organization.accounts.get(id).map(|account| &account.tags);
    let root = (organization.root.id == id).then_some(&organization.root.tags);
    unit.or(account).or(root).cloned().unwrap_or_default()
}

const HANDLERS: &[Handler] = &[
    handler!("AcceptHandshake", handshake::accept_handshake),
    handler!("AttachPolicy", policy::attach_policy),
    handler!("CancelHandshake", handshake::cancel_handshake),
    handler!("CloseAccount", account::close_account),
    handler!("CreateAccount", account::create_account),
    handler!("CreateGovCloudAccount", responsibility_transfer::create_gov_cloud_account),
    handler!("CreateOrganization", organization_operations::create_organization),
    handler!("CreateOrganizationalUnit", unit::create_organizational_unit),
    handler!("CreatePolicy", policy::create_policy),
    handler!("DeclineHandshake", handshake::decline_handshake),
    handler!("DeleteOrganization", organization_operations::delete_organization),
    handler!("DeleteOrganizationalUnit", unit::delete_organizational_unit),
    handler!("DeletePolicy", policy::delete_policy),
    handler!("DeleteResourcePolicy", delegation::delete_resource_policy),
    handler!("DeregisterDelegatedAdministrator", delegation::deregister_delegated_administrator),
    handler!("DescribeAccount", account::describe_account),
    handler!("DescribeCreateAccountStatus", account::describe_create_account_status),
    handler!("DescribeEffectivePolicy", effective_policy::describe_effective_policy),
    handler!("DescribeHandshake", handshake::describe_handshake),
    handler!("DescribeOrganization", organization_operations::describe_organization),
    handler!("DescribeOrganizationalUnit", unit::describe_organizational_unit),
    handler!("DescribePolicy", policy::describe_policy),
    handler!("DescribeResourcePolicy", delegation::describe_resource_policy),
    handler!("DescribeResponsibilityTransfer", responsibility_transfer::describe_responsibility_transfer),
    handler!("DetachPolicy", policy::detach_policy),
    handler!("DisableAWSServiceAccess", delegation::disable_aws_service_access),
    handler!("DisablePolicyType", policy::disable_policy_type),
    handler!("EnableAWSServiceAccess", delegation::enable_aws_service_access),
    handler!("EnableAllFeatures", organization_operations::enable_all_features),
    handler!("EnablePolicyType", policy::enable_policy_type),
    handler!("InviteAccountToOrganization", handshake::invite_account_to_organization),
    handler!("InviteOrganizationToTransferResponsibility", responsibility_transfer::invite_organization_to_transfer_responsibility),
    handler!("LeaveOrganization", account::leave_organization),
    handler!("ListAWSServiceAccessForOrganization", delegation::list_aws_service_access_for_organization),
    handler!("ListAccounts", account::list_accounts),
    handler!("ListAccountsForParent", account::list_accounts_for_parent),
    handler!("ListAccountsWithInvalidEffectivePolicy", policy_validation::list_accounts_with_invalid_effective_policy),
    handler!("ListChildren", unit::list_children),
    handler!("ListCreateAccountStatus", account::list_create_account_status),
    handler!("ListDelegatedAdministrators", delegation::list_delegated_administrators),
    handler!("ListDelegatedServicesForAccount", delegation::list_delegated_services_for_account),
    handler!("ListEffectivePolicyValidationErrors", policy_validation::list_effective_policy_validation_errors),
    handler!("ListHandshakesForAccount", handshake::list_handshakes_for_account),
    handler!("ListHandshakesForOrganization", handshake::list_handshakes_for_organization),
    handler!("ListInboundResponsibilityTransfers", responsibility_transfer::list_inbound_responsibility_transfers),
    handler!("ListOrganizationalUnitsForParent", unit::list_organizational_units_for_parent),
    handler!("ListOutboundResponsibilityTransfers", responsibility_transfer::list_outbound_responsibility_transfers),
    handler!("ListParents", unit::list_parents),
    handler!("ListPolicies", policy::list_policies),
    handler!("ListPoliciesForTarget", policy::list_policies_for_target),
    handler!("ListRoots", unit::list_roots),
    handler!("ListTagsForResource", tag::list_tags_for_resource),
    handler!("ListTargetsForPolicy", policy::list_targets_for_policy),
    handler!("MoveAccount", account::move_account),
    handler!("PutResourcePolicy", delegation::put_resource_policy),
    handler!("RegisterDelegatedAdministrator", delegation::register_delegated_administrator),
    handler!("RemoveAccountFromOrganization", account::remove_account_from_organization),
    handler!("TagResource", tag::tag_resource),
    handler!("TerminateResponsibilityTransfer", responsibility_transfer::terminate_responsibility_transfer),
    handler!("UntagResource", tag::untag_resource),
    handler!("UpdateOrganizationalUnit", unit::update_organizational_unit),
    handler!("UpdatePolicy", policy::update_policy),
    handler!("UpdateResponsibilityTransfer", responsibility_transfer::update_responsibility_transfer),
];
