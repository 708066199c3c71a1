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
    account_property, attachment, delegation_request, group, inline_policy, instance_profile, last_accessed, login_profile, managed_policy,
    mfa_device, oidc_provider, organization_access_report, organization_feature, outbound_federation, password, role, saml_provider,
    server_certificate, service_linked_role, service_specific_credential, signing_certificate, simulation, ssh_public_key, tags, targets,
    token_preference, user,
};

const HANDLERS: &[Handler] = &[
    handler!("AcceptDelegationRequest", delegation_request::accept_delegation_request),
    handler!("AcquireRole", delegation_request::acquire_role),
    handler!("AddClientIDToOpenIDConnectProvider", oidc_provider::add_client_id_to_open_id_connect_provider),
    handler!("AddRoleToInstanceProfile", instance_profile::add_role_to_instance_profile),
    handler!("AddUserToGroup", group::add_user_to_group),
    handler!("AssociateDelegationRequest", delegation_request::associate_delegation_request),
    handler!("AttachGroupPolicy", attachment::attach_group_policy),
    handler!("AttachRolePolicy", attachment::attach_role_policy),
    handler!("AttachUserPolicy", attachment::attach_user_policy),
    handler!("ChangePassword", login_profile::change_password),
    handler!("CreateAccessKey", create_access_key),
    handler!("CreateAccountAlias", create_account_alias),
    handler!("CreateDelegationRequest", delegation_request::create_delegation_request),
    handler!("CreateGroup", group::create_group),
    handler!("CreateInstanceProfile", instance_profile::create_instance_profile),
    handler!("CreateLoginProfile", login_profile::create_login_profile),
    handler!("CreateOpenIDConnectProvider", oidc_provider::create_open_id_connect_provider),
    handler!("CreatePolicy", managed_policy::create_policy),
    handler!("CreatePolicyVersion", managed_policy::create_policy_version),
    handler!("CreateRole", role::create_role),
    handler!("CreateSAMLProvider", saml_provider::create_saml_provider),
    handler!("CreateServiceLinkedRole", service_linked_role::create_service_linked_role),
    handler!("CreateServiceSpecificCredential", service_specific_credential::create_service_specific_credential),
    handler!("CreateUser", user::create_user),
    handler!("CreateVirtualMFADevice", mfa_device::create_virtual_mfa_device),
    handler!("DeactivateMFADevice", mfa_device::deactivate_mfa_device),
    handler!("DeleteAccessKey", delete_access_key),
    handler!("DeleteAccountAlias", delete_account_alias),
    handler!("DeleteAccountPasswordPolicy", password::delete_account_password_policy),
    handler!("DeleteGroup", group::delete_group),
    handler!("DeleteGroupPolicy", inline_policy::delete_group_policy),
    handler!("DeleteInstanceProfile", instance_profile::delete_instance_profile),
    handler!("DeleteLoginProfile", login_profile::delete_login_profile),
    handler!("DeleteOpenIDConnectProvider", oidc_provider::delete_open_id_connect_provider),
    handler!("DeletePolicy", managed_policy::delete_policy),
    handler!("DeletePolicyVersion", managed_policy::delete_policy_version),
    handler!("DeleteRole", role::delete_role),
    handler!("DeleteRolePermissionsBoundary", attachment::delete_role_permissions_boundary),
    handler!("DeleteRolePolicy", inline_policy::delete_role_policy),
    handler!("DeleteSAMLProvider", saml_provider::delete_saml_provider),
    handler!("DeleteSSHPublicKey", ssh_public_key::delete_ssh_public_key),
    handler!("DeleteServerCertificate", server_certificate::delete_server_certificate),
    handler!("DeleteServiceLinkedRole", service_linked_role::delete_service_linked_role),
    handler!("DeleteServiceSpecificCredential", service_specific_credential::delete_service_specific_credential),
    handler!("DeleteSigningCertificate", signing_certificate::delete_signing_certificate),
    handler!("DeleteUser", user::delete_user),
    handler!("DeleteUserPermissionsBoundary", attachment::delete_user_permissions_boundary),
    handler!("DeleteUserPolicy", inline_policy::delete_user_policy),
    handler!("DeleteVirtualMFADevice", mfa_device::delete_virtual_mfa_device),
    handler!("DetachGroupPolicy", attachment::detach_group_policy),
    handler!("DetachRolePolicy", attachment::detach_role_policy),
    handler!("DetachUserPolicy", attachment::detach_user_policy),
    handler!("DisableOrganizationsRootCredentialsManagement", organization_feature::disable_organizations_root_credentials_management),
    handler!("DisableOrganizationsRootSessions", organization_feature::disable_organizations_root_sessions),
    handler!("DisableOutboundWebIdentityFederation", outbound_federation::disable_outbound_web_identity_federation),
    handler!("EnableMFADevice", mfa_device::enable_mfa_device),
    handler!("EnableOrganizationsRootCredentialsManagement", organization_feature::enable_organizations_root_credentials_management),
    handler!("EnableOrganizationsRootSessions", organization_feature::enable_organizations_root_sessions),
    handler!("EnableOutboundWebIdentityFederation", outbound_federation::enable_outbound_web_identity_federation),
    handler!("GenerateCredentialReport", generate_credential_report),
    handler!("GenerateOrganizationsAccessReport", organization_access_report::generate_organizations_access_report),
    handler!("GenerateServiceLastAccessedDetails", last_accessed::generate_service_last_accessed_details),
    handler!("GetAccessKeyLastUsed", get_access_key_last_used),
    handler!("GetAccountAuthorizationDetails", get_account_authorization_details),
    handler!("GetAccountPasswordPolicy", password::get_account_password_policy),
    handler!("GetAccountProperties", account_property::get_account_properties),
    handler!("GetAccountSummary", get_account_summary),
    handler!("GetContextKeysForCustomPolicy", simulation::get_context_keys_for_custom_policy),
    handler!("GetContextKeysForPrincipalPolicy", simulation::get_context_keys_for_principal_policy),
    handler!("GetCredentialReport", get_credential_report),
    handler!("GetDelegationRequest", delegation_request::get_delegation_request),
    handler!("GetGroup", group::get_group),
    handler!("GetGroupPolicy", inline_policy::get_group_policy),
    handler!("GetHumanReadableSummary", delegation_request::get_human_readable_summary),
    handler!("GetInstanceProfile", instance_profile::get_instance_profile),
    handler!("GetLoginProfile", login_profile::get_login_profile),
    handler!("GetMFADevice", mfa_device::get_mfa_device),
    handler!("GetOpenIDConnectProvider", oidc_provider::get_open_id_connect_provider),
    handler!("GetOrganizationsAccessReport", organization_access_report::get_organizations_access_report),
    handler!("GetOutboundWebIdentityFederationInfo", outbound_federation::get_outbound_web_identity_federation_info),
    handler!("GetPolicy", managed_policy::get_policy),
    handler!("GetPolicyVersion", managed_policy::get_policy_version),
    handler!("GetRole", role::get_role),
    handler!("GetRolePolicy", inline_policy::get_role_policy),
    handler!("GetRoleTemplateVersion", delegation_request::get_role_template_version),
    handler!("GetSAMLProvider", saml_provider::get_saml_provider),
    handler!("GetSSHPublicKey", ssh_public_key::get_ssh_public_key),
    handler!("GetServerCertificate", server_certificate::get_server_certificate),
    handler!("GetServiceLastAccessedDetails", last_accessed::get_service_last_accessed_details),
    handler!("GetServiceLastAccessedDetailsWithEntities", last_accessed::get_service_last_accessed_details_with_entities),
    handler!("GetServiceLinkedRoleDeletionStatus", service_linked_role::get_service_linked_role_deletion_status),
    handler!("GetUser", user::get_user),
    handler!("GetUserPolicy", inline_policy::get_user_policy),
    handler!("ListAccessKeys", list_access_keys),
    handler!("ListAccountAliases", list_account_aliases),
    handler!("ListAttachedGroupPolicies", attachment::list_attached_group_policies),
    handler!("ListAttachedRolePolicies", attachment::list_attached_role_policies),
    handler!("ListAttachedUserPolicies", attachment::list_attached_user_policies),
    handler!("ListDelegationRequests", delegation_request::list_delegation_requests),
    handler!("ListEntitiesForPolicy", attachment::list_entities_for_policy),
    handler!("ListGroupPolicies", inline_policy::list_group_policies),
    handler!("ListGroups", group::list_groups),
    handler!("ListGroupsForUser", group::list_groups_for_user),
    handler!("ListInstanceProfileTags", tags::list_instance_profile_tags),
    handler!("ListInstanceProfiles", instance_profile::list_instance_profiles),
    handler!("ListInstanceProfilesForRole", instance_profile::list_instance_profiles_for_role),
    handler!("ListMFADeviceTags", mfa_device::list_mfa_device_tags),
    handler!("ListMFADevices", mfa_device::list_mfa_devices),
    handler!("ListOpenIDConnectProviderTags", oidc_provider::list_open_id_connect_provider_tags),
    handler!("ListOpenIDConnectProviders", oidc_provider::list_open_id_connect_providers),
    handler!("ListOrganizationsFeatures", organization_feature::list_organizations_features),
    handler!("ListPolicies", managed_policy::list_policies),
    handler!("ListPoliciesGrantingServiceAccess", last_accessed::list_policies_granting_service_access),
    handler!("ListPolicyTags", tags::list_policy_tags),
    handler!("ListPolicyVersions", managed_policy::list_policy_versions),
    handler!("ListRolePolicies", inline_policy::list_role_policies),
    handler!("ListRoleTags", tags::list_role_tags),
    handler!("ListRoles", role::list_roles),
    handler!("ListSAMLProviderTags", saml_provider::list_saml_provider_tags),
    handler!("ListSAMLProviders", saml_provider::list_saml_providers),
    handler!("ListSSHPublicKeys", ssh_public_key::list_ssh_public_keys),
    handler!("ListServerCertificateTags", server_certificate::list_server_certificate_tags),
    handler!("ListServerCertificates", server_certificate::list_server_certificates),
    handler!("ListServiceSpecificCredentials", service_specific_credential::list_service_specific_credentials),
    handler!("ListSigningCertificates", signing_certificate::list_signing_certificates),
    handler!("ListUserPolicies", inline_policy::list_user_policies),
    handler!("ListUserTags", tags::list_user_tags),
    handler!("ListUsers", user::list_users),
    handler!("ListVirtualMFADevices", mfa_device::list_virtual_mfa_devices),
    handler!("PutAccountProperties", account_property::put_account_properties),
    handler!("PutGroupPolicy", inline_policy::put_group_policy),
    handler!("PutRolePermissionsBoundary", attachment::put_role_permissions_boundary),
    handler!("PutRolePolicy", inline_policy::put_role_policy),
    handler!("PutUserPermissionsBoundary", attachment::put_user_permissions_boundary),
    handler!("PutUserPolicy", inline_policy::put_user_policy),
    handler!("RejectDelegationRequest", delegation_request::reject_delegation_request),
    handler!("RemoveClientIDFromOpenIDConnectProvider", oidc_provider::remove_client_id_from_open_id_connect_provider),
    handler!("RemoveRoleFromInstanceProfile", instance_profile::remove_role_from_instance_profile),
    handler!("RemoveUserFromGroup", group::remove_user_from_group),
    handler!("ResetServiceSpecificCredential", service_specific_credential::reset_service_specific_credential),
    handler!("ResyncMFADevice", mfa_device::resync_mfa_device),
    handler!("SendDelegationToken", delegation_request::send_delegation_token),
    handler!("SetDefaultPolicyVersion", managed_policy::set_default_policy_version),
    handler!("SetSecurityTokenServicePreferences", token_preference::set_security_token_service_preferences),
    handler!("SimulateCustomPolicy", simulation::simulate_custom_policy),
    handler!("SimulatePrincipalPolicy", simulation::simulate_principal_policy),
    handler!("TagInstanceProfile", tags::tag_instance_profile),
    handler!("TagMFADevice", mfa_device::tag_mfa_device),
    handler!("TagOpenIDConnectProvider", oidc_provider::tag_open_id_connect_provider),
    handler!("TagPolicy", tags::tag_policy),
    handler!("TagRole", tags::tag_role),
    handler!("TagSAMLProvider", saml_provider::tag_saml_provider),
    handler!("TagServerCertificate", server_certificate::tag_server_certificate),
    handler!("TagUser", tags::tag_user),
    handler!("UntagInstanceProfile", tags::untag_instance_profile),
    handler!("UntagMFADevice", mfa_device::untag_mfa_device),
    handler!("UntagOpenIDConnectProvider", oidc_provider::untag_open_id_connect_provider),
    handler!("UntagPolicy", tags::untag_policy),
    handler!("UntagRole", tags::untag_role),
    handler!("UntagSAMLProvider", saml_provider::untag_saml_provider),
    handler!("UntagServerCertificate", server_certificate::untag_server_certificate),
    handler!("UntagUser", tags::untag_user),
    handler!("UpdateAccessKey", update_access_key),
    handler!("UpdateAccountPasswordPolicy", password::update_account_password_policy),
    handler!("UpdateAssumeRolePolicy", role::update_assume_role_policy),
    handler!("UpdateDelegationRequest", delegation_request::update_delegation_request),
    handler!("UpdateGroup", group::update_group),
    handler!("UpdateLoginProfile", login_profile::update_login_profile),
    handler!("UpdateOpenIDConnectProviderThumbprint", oidc_provider::update_open_id_connect_provider_thumbprint),
    handler!("UpdateRole", role::update_role),
    handler!("UpdateRoleDescription", role::update_role_description),
    handler!("UpdateSAMLProvider", saml_provider::update_saml_provider),
    handler!("UpdateSSHPublicKey", ssh_public_key::update_ssh_public_key),
    handler!("UpdateServerCertificate", server_certificate::update_server_certificate),
    handler!("UpdateServiceSpecificCredential", service_specific_credential::update_service_specific_credential),
    handler!("UpdateSigningCertificate", signing_certificate::update_signing_certificate),
    handler!("UpdateUser", user::update_user),
    handler!("UploadSSHPublicKey", ssh_public_key::upload_ssh_public_key),
    handler!("UploadServerCertificate", server_certificate::upload_server_certificate),
    handler!("UploadSigningCertificate", signing_certificate::upload_signing_certificate),
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

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
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
                let user = entity::look_at::<UserRecord>(tx, account, parsed.name).await?.filter(|user| user.arn(account) == arn);
                Ok(user.map(|user| access(account, "AWS::IAM::User", user.tags.clone())))
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
            "mfa" => {
                let device = mfa_device::find(tx, account, arn).await?;
                Ok(device.map(|device| access(account, "AWS::IAM::VirtualMFADevice", device.tags)))
            }
            "oidc-provider" => {
                let provider = oidc_provider::find(tx, account, arn).await?;
                Ok(provider.map(|provider| access(account, "AWS::IAM::OIDCProvider", provider.tags)))
            }
            "saml-provider" => {
                let provider = saml_provider::find(tx, account, arn).await?;
                Ok(provider.map(|provider| access(account, "AWS::IAM::SAMLProvider", provider.tags)))
            }
            "server-certificate" => {
                let found = server_certificate::find(tx, account, parsed.name).await?.filter(|found| found.arn(account) == arn);
                Ok(found.map(|found| access(account, "AWS::IAM::ServerCertificate", found.tags)))
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
        if let Some(service) = text("AWSServiceName") {
            keys.set("iam:AWSServiceName", service);
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
