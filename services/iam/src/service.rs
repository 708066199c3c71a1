//! IAM as a service of the plane.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use plane::authorize::compiled;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Handler, Service, Target, Transaction, handler};
use policy::{Attached, MapContext, PolicyKind, PolicySource, ResourcePolicy};
use wire::Value;

use crate::access_key::{create_access_key, delete_access_key, get_access_key_last_used, list_access_keys, update_access_key};
use crate::account::{create_account_alias, delete_account_alias, list_account_aliases};
use crate::account_summary::{get_account_authorization_details, get_account_summary};
use crate::credential_report::{generate_credential_report, get_credential_report};
use crate::directory::Directory;
use crate::entity::{self, Entity, RoleRecord, UserRecord};
use crate::identifier::IamArn;
use crate::{
    attachment, group, inline_policy, instance_profile, managed_policy, role, service_specific_credential, simulation, tags, targets, user,
};

const HANDLERS: &[Handler] = &[
    handler!("AddRoleToInstanceProfile", instance_profile::add_role_to_instance_profile),
    handler!("AddUserToGroup", group::add_user_to_group),
    handler!("AttachGroupPolicy", attachment::attach_group_policy),
    handler!("AttachRolePolicy", attachment::attach_role_policy),
    handler!("AttachUserPolicy", attachment::attach_user_policy),
    handler!("CreateAccessKey", create_access_key),
    handler!("CreateAccountAlias", create_account_alias),
    handler!("CreateGroup", group::create_group),
    handler!("CreateInstanceProfile", instance_profile::create_instance_profile),
    handler!("CreatePolicy", managed_policy::create_policy),
    handler!("CreatePolicyVersion", managed_policy::create_policy_version),
    handler!("CreateRole", role::create_role),
    handler!("CreateServiceSpecificCredential", service_specific_credential::create_service_specific_credential),
    handler!("CreateUser", user::create_user),
    handler!("DeleteAccessKey", delete_access_key),
    handler!("DeleteAccountAlias", delete_account_alias),
    handler!("DeleteGroup", group::delete_group),
    handler!("DeleteGroupPolicy", inline_policy::delete_group_policy),
    handler!("DeleteInstanceProfile", instance_profile::delete_instance_profile),
    handler!("DeletePolicy", managed_policy::delete_policy),
    handler!("DeletePolicyVersion", managed_policy::delete_policy_version),
    handler!("DeleteRole", role::delete_role),
    handler!("DeleteRolePermissionsBoundary", attachment::delete_role_permissions_boundary),
    handler!("DeleteRolePolicy", inline_policy::delete_role_policy),
    handler!("DeleteServiceSpecificCredential", service_specific_credential::delete_service_specific_credential),
    handler!("DeleteUser", user::delete_user),
    handler!("DeleteUserPermissionsBoundary", attachment::delete_user_permissions_boundary),
    handler!("DeleteUserPolicy", inline_policy::delete_user_policy),
    handler!("DetachGroupPolicy", attachment::detach_group_policy),
    handler!("DetachRolePolicy", attachment::detach_role_policy),
    handler!("DetachUserPolicy", attachment::detach_user_policy),
    handler!("GenerateCredentialReport", generate_credential_report),
    handler!("GetAccessKeyLastUsed", get_access_key_last_used),
    handler!("GetAccountAuthorizationDetails", get_account_authorization_details),
    handler!("GetAccountSummary", get_account_summary),
    handler!("GetContextKeysForCustomPolicy", simulation::get_context_keys_for_custom_policy),
    handler!("GetContextKeysForPrincipalPolicy", simulation::get_context_keys_for_principal_policy),
    handler!("GetCredentialReport", get_credential_report),
    handler!("GetGroup", group::get_group),
    handler!("GetGroupPolicy", inline_policy::get_group_policy),
    handler!("GetInstanceProfile", instance_profile::get_instance_profile),
    handler!("GetPolicy", managed_policy::get_policy),
    handler!("GetPolicyVersion", managed_policy::get_policy_version),
    handler!("GetRole", role::get_role),
    handler!("GetRolePolicy", inline_policy::get_role_policy),
    handler!("GetUser", user::get_user),
    handler!("GetUserPolicy", inline_policy::get_user_policy),
    handler!("ListAccessKeys", list_access_keys),
    handler!("ListAccountAliases", list_account_aliases),
    handler!("ListAttachedGroupPolicies", attachment::list_attached_group_policies),
    handler!("ListAttachedRolePolicies", attachment::list_attached_role_policies),
    handler!("ListAttachedUserPolicies", attachment::list_attached_user_policies),
    handler!("ListEntitiesForPolicy", attachment::list_entities_for_policy),
    handler!("ListGroupPolicies", inline_policy::list_group_policies),
    handler!("ListGroups", group::list_groups),
    handler!("ListGroupsForUser", group::list_groups_for_user),
    handler!("ListInstanceProfileTags", tags::list_instance_profile_tags),
    handler!("ListInstanceProfiles", instance_profile::list_instance_profiles),
    handler!("ListInstanceProfilesForRole", instance_profile::list_instance_profiles_for_role),
    handler!("ListPolicies", managed_policy::list_policies),
    handler!("ListPolicyTags", tags::list_policy_tags),
    handler!("ListPolicyVersions", managed_policy::list_policy_versions),
    handler!("ListRolePolicies", inline_policy::list_role_policies),
    handler!("ListRoleTags", tags::list_role_tags),
    handler!("ListRoles", role::list_roles),
    handler!("ListServiceSpecificCredentials", service_specific_credential::list_service_specific_credentials),
    handler!("ListUserPolicies", inline_policy::list_user_policies),
    handler!("ListUserTags", tags::list_user_tags),
    handler!("ListUsers", user::list_users),
    handler!("PutGroupPolicy", inline_policy::put_group_policy),
    handler!("PutRolePermissionsBoundary", attachment::put_role_permissions_boundary),
    handler!("PutRolePolicy", inline_policy::put_role_policy),
    handler!("PutUserPermissionsBoundary", attachment::put_user_permissions_boundary),
    handler!("PutUserPolicy", inline_policy::put_user_policy),
    handler!("RemoveRoleFromInstanceProfile", instance_profile::remove_role_from_instance_profile),
    handler!("RemoveUserFromGroup", group::remove_user_from_group),
    handler!("ResetServiceSpecificCredential", service_specific_credential::reset_service_specific_credential),
    handler!("SetDefaultPolicyVersion", managed_policy::set_default_policy_version),
    handler!("SimulateCustomPolicy", simulation::simulate_custom_policy),
    handler!("SimulatePrincipalPolicy", simulation::simulate_principal_policy),
    handler!("TagInstanceProfile", tags::tag_instance_profile),
    handler!("TagPolicy", tags::tag_policy),
    handler!("TagRole", tags::tag_role),
    handler!("TagUser", tags::tag_user),
    handler!("UntagInstanceProfile", tags::untag_instance_profile),
    handler!("UntagPolicy", tags::untag_policy),
    handler!("UntagRole", tags::untag_role),
    handler!("UntagUser", tags::untag_user),
    handler!("UpdateAccessKey", update_access_key),
    handler!("UpdateAssumeRolePolicy", role::update_assume_role_policy),
    handler!("UpdateGroup", group::update_group),
    handler!("UpdateRole", role::update_role),
    handler!("UpdateRoleDescription", role::update_role_description),
    handler!("UpdateServiceSpecificCredential", service_specific_credential::update_service_specific_credential),
    handler!("UpdateUser", user::update_user),
];

/// The service. Its state is in the records; the uses of credentials are with the [`Directory`], which is the plane's too.
pub struct Iam {
    directory: Arc<Directory>,
}

impl Iam {
    /// `directory` is the one that the plane was made with.
    pub fn new(directory: Arc<Directory>) -> Self {
        Self { directory }
    }
}

#[async_trait]
impl Service for Iam {
    fn id(&self) -> &'static str {
        api_iam::SERVICE
    }

    fn handlers(&self) -> &'static [Handler] {
        HANDLERS
    }

    fn extension(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::clone(&self.directory) as Arc<dyn Any + Send + Sync>)
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        targets::targets(call, input).await
    }

    async fn resource(&self, tx: &mut Transaction, _region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        let Some(parsed) = IamArn::parse(arn) else { return Ok(None) };
        let account = parsed.account;
        match parsed.resource_type {
            "user" => {
                let user = entity::find::<UserRecord>(tx, account, parsed.name).await?.filter(|user| user.arn(account) == arn);
                Ok(user.map(|user| access(account, "AWS::IAM::User", user.tags)))
            }
            "role" => {
                let role = entity::find::<RoleRecord>(tx, account, parsed.name).await?.filter(|role| role.arn(account) == arn);
                Ok(Some(role_access(account, arn, role)))
            }
            "policy" => {
                let policy = managed_policy::find(tx, arn).await?;
                Ok(policy.map(|policy| access(account, "AWS::IAM::ManagedPolicy", policy.tags)))
            }
            "instance-profile" => {
                let profile = instance_profile::find(tx, account, parsed.name).await?.filter(|profile| profile.arn(account) == arn);
                Ok(profile.map(|profile| access(account, "AWS::IAM::InstanceProfile", profile.tags)))
            }
            _ => Ok(None),
        }
    }

    async fn policy_holders(&self, tx: &mut Transaction, _region: &str, account: &str) -> Result<Vec<String>, ApiError> {
        let roles = entity::all::<RoleRecord>(tx, account).await?;
        Ok(roles.iter().map(|role| role.arn(account)).collect())
    }

    fn condition_keys(&self, call: &Call, input: &Value, keys: &mut MapContext) {
        let text = |member: &str| input.member(member).and_then(Value::as_str);
        // The boundary that the call sets, else the one that the entity has.
        let boundary = text("PermissionsBoundary").map(str::to_owned).or_else(|| call.recall::<String>(targets::BOUNDARY));
        if let Some(boundary) = boundary {
            keys.set("iam:PermissionsBoundary", boundary);
        }
        let names = |word: &str| call.operation.name.starts_with(word);
        if let Some(arn) = text("PolicyArn").filter(|_| names("Attach") || names("Detach")) {
            keys.set("iam:PolicyARN", arn);
        }
        let service = text("ServiceName").map(str::to_owned).or_else(|| call.recall::<String>(targets::CREDENTIAL_SERVICE));
        if let Some(service) = service.filter(|_| call.operation.name.ends_with("ServiceSpecificCredential")) {
            keys.set("iam:ServiceSpecificCredentialServiceName", service);
        }
        if let Some(Value::Int(days)) = input.member("CredentialAgeDays") {
            keys.set("iam:ServiceSpecificCredentialAgeDays", days.to_string());
        }
        if call.operation.name == "AddRoleToInstanceProfile" {
            keys.set("iam:PassedToService", "ec2.amazonaws.com");
        }
    }
}

/// What is known of a resource: its tags, under the names of both worlds.
fn access(account: &str, resource_type: &'static str, tags: Vec<(String, String)>) -> ResourceAccess {
    let context = tags.iter().map(|(key, value)| (format!("iam:ResourceTag/{key}"), vec![value.clone()])).collect();
    ResourceAccess { account: account.to_owned(), tags, resource_type: Some(resource_type), context, ..ResourceAccess::default() }
}

/// A role has a trust policy; one that does not exist cannot be assumed.
fn role_access(account: &str, arn: &str, role: Option<RoleRecord>) -> ResourceAccess {
    let Some(role) = role else {
        return ResourceAccess { account: account.to_owned(), policy: ResourcePolicy::TrustMissing, ..ResourceAccess::default() };
    };
    let attached = Attached::new(arn, PolicySource::Resource, compiled(PolicyKind::Trust, &role.trust));
    ResourceAccess { policy: ResourcePolicy::Trust(attached), ..access(account, "AWS::IAM::Role", role.tags) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_with_types_has_a_handler() {
        let handled: Vec<&str> = HANDLERS.iter().map(|handler| handler.operation).collect();
        assert!(handled.is_sorted());
        assert_eq!(handled, api_iam::OPERATIONS);
    }
}
