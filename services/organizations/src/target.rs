//! What a call needs permission for. The organization and all in it belong to the management account; a member reaches it only through the
//! organization's resource policy, or as a delegated administrator who reads.
//!
//! Source: Organizations User Guide, "Managing IAM policies for Organizations" and "Delegated administrator for AWS Organizations".

use ::policy::MapContext;
use plane::{ApiError, Call, Target};
use wire::Value;

use crate::error::OrganizationError;
use crate::handshake;
use crate::organization::{self, Organization};
use crate::policy;

/// Operations about the caller's own account, or about an invitation to it: they need no organization, or only membership.
const OWN: [&str; 7] = [
    "AcceptHandshake",
    "CreateOrganization",
    "DeclineHandshake",
    "DescribeHandshake",
    "DescribeOrganization",
    "LeaveOrganization",
    "ListHandshakesForAccount",
];
/// Every member may see its own effective policy.
const OWN_WITHOUT_TARGET: &str = "DescribeEffectivePolicy";
/// What makes somebody administrator, and what ends everything, is never delegated.
const NEVER_DELEGATED: [&str; 18] = [
    "CancelHandshake",
    "CloseAccount",
    "CreateAccount",
    "CreateGovCloudAccount",
    "DeleteOrganization",
    "DeleteResourcePolicy",
    "DeregisterDelegatedAdministrator",
    "DisableAWSServiceAccess",
    "EnableAWSServiceAccess",
    "EnableAllFeatures",
    "InviteAccountToOrganization",
    "InviteOrganizationToTransferResponsibility",
    "MoveAccount",
    "PutResourcePolicy",
    "RegisterDelegatedAdministrator",
    "RemoveAccountFromOrganization",
    "TerminateResponsibilityTransfer",
    "UpdateResponsibilityTransfer",
];

/// Members of inputs that name something in the organization.
const NAMED: [&str; 12] = [
    "PolicyId",
    "TargetId",
    "AccountId",
    "OrganizationalUnitId",
    "ParentId",
    "ChildId",
    "RootId",
    "ResourceId",
    "HandshakeId",
    "SourceParentId",
    "DestinationParentId",
    "CreateAccountRequestId",
];

pub(crate) async fn targets(call: &mut Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let name = call.operation.name;
    let action = format!("organizations:{name}");
    let account = call.account.clone();
    let anything = || vec![Target { action: action.clone(), resource_arn: "*".to_owned() }];
    if OWN.contains(&name) {
        return own_targets(call, input, &action).await;
    }
    let Some(organization) = organization::of_account(&mut call.tx, &account).await? else {
        // Nothing is there that could be protected; the handler says so.
        return Ok(anything());
    };
    let is_manager = organization.is_management(&account);
    let own_effective =
        name == OWN_WITHOUT_TARGET && input.member("TargetId").and_then(Value::as_str).is_none_or(|target| target == account);
    let reads_as_delegate = call.operation.read_only && organization.delegated.contains_key(&account);
    if !is_manager && (own_effective || reads_as_delegate) {
        return Ok(anything());
    }
    if !is_manager && (organization.resource_policy.is_none() || NEVER_DELEGATED.contains(&name)) {
        return Err(OrganizationError::AccessDenied.into());
    }
    let mut targets = Vec::new();
    for member in NAMED {
        if let Some(id) = input.member(member).and_then(Value::as_str)
            && let Some(resource_arn) = arn(call, &organization, id).await?
            && is_resource_of(name, member)
        {
            targets.push(Target { action: action.clone(), resource_arn });
        }
    }
    if targets.is_empty() {
        targets.push(Target { action, resource_arn: if is_manager { "*".to_owned() } else { organization.arn() } });
    }
    Ok(targets)
}

/// Whether the member names the resource that the action is about; others are only mentioned.
fn is_resource_of(operation: &str, member: &str) -> bool {
    match operation {
        "ListParents" | "ListChildren" | "ListAccountsForParent" | "ListOrganizationalUnitsForParent" | "DescribeCreateAccountStatus" => {
            false
        }
        "DescribeEffectivePolicy" => member == "TargetId",
        _ => member != "CreateAccountRequestId",
    }
}

async fn own_targets(call: &mut Call, input: &Value, action: &str) -> Result<Vec<Target>, ApiError> {
    let mut resource_arn = "*".to_owned();
    if let Some(id) = input.member("HandshakeId").and_then(Value::as_str)
        && let Some(found) = handshake::find(call, id).await?
        && (found.account == call.account || found.management_account == call.account)
    {
        // The invited account decides for itself: the handshake counts as its own.
        resource_arn = handshake::arn(&call.account, &found.organization, "invite", id);
    }
    Ok(vec![Target { action: action.to_owned(), resource_arn }])
}

/// The ARN behind an id. `None`: there is nothing of this id, so only `*` can be asked about.
async fn arn(call: &mut Call, organization: &Organization, id: &str) -> Result<Option<String>, ApiError> {
    if id.starts_with("p-") {
        return Ok(policy::find(&mut call.tx, organization, id).await?.map(|policy| policy.arn(organization)));
    }
    if id.starts_with("h-") {
        let found = handshake::find(call, id).await?.filter(|found| found.organization == organization.id);
        return Ok(found.map(|_| handshake::arn(&organization.management_account, &organization.id, "invite", id)));
    }
    if id.starts_with("rp-") {
        return Ok(organization
            .resource_policy
            .as_ref()
            .filter(|policy| policy.id == id)
            .map(|_| organization.arn_of("resourcepolicy", id)));
    }
    Ok(organization.has_target(id).then(|| organization.target_arn(id)))
}

/// `organizations:PolicyType` and `organizations:ServicePrincipal`.
pub(crate) fn condition_keys(input: &Value, keys: &mut MapContext) {
    let text = |member: &str| input.member(member).and_then(Value::as_str);
    if let Some(kind) = text("PolicyType").or_else(|| text("Type")).or_else(|| text("Filter")) {
        // Transfers have a type, too, which is none of a policy.
        let key = if kind.contains("POLICY") { "organizations:PolicyType" } else { "organizations:TransferType" };
        keys.set(key, kind);
    }
    if let Some(principal) = text("ServicePrincipal") {
        keys.set("organizations:ServicePrincipal", principal);
    }
}
