//! Which resources a call is about: the ARNs of users, groups, roles and instance profiles have their paths, which only IAM knows.

use plane::{ApiError, Call, PrincipalKind, Target};
use wire::Value;

use crate::access_key;
use crate::entity::{self, Bounded, Entity, GroupRecord, RoleRecord, UserRecord};
use crate::identifier;
use crate::{instance_profile, server_certificate, service_linked_role, service_specific_credential};

/// Name under which [`targets`] leaves the boundary of the entity for the condition keys.
pub(crate) const BOUNDARY: &str = "iam.boundary";
/// Name under which [`targets`] leaves the service of the service-specific credential that is named.
pub(crate) const CREDENTIAL_SERVICE: &str = "iam.credential-service";

fn text<'a>(input: &'a Value, member: &str) -> Option<&'a str> {
    input.member(member).and_then(Value::as_str)
}

/// What must be allowed for a call whose targets the facts do not tell.
pub(crate) async fn targets(call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
    let Some(authorization) = call.operation.authorizations.first() else { return Ok(None) };
    let action = authorization.action.to_owned();
    let operation = call.operation.name;
    let resource_type = authorization.resources.first().map_or("", |resource| resource.resource_type);
    if operation == "CreateServiceLinkedRole" {
        let service = text(input, "AWSServiceName").unwrap_or_default();
        let resource_arn = service_linked_role::target_arn(&call.account, service, text(input, "CustomSuffix"));
        return Ok(Some(vec![Target { action, resource_arn }]));
    }
    let resource_arn = match operation {
        "GetAccessKeyLastUsed" => key_owner(call, input).await?,
        "SimulatePrincipalPolicy" | "GetContextKeysForPrincipalPolicy" => text(input, "PolicySourceArn").unwrap_or("*").to_owned(),
        "GenerateServiceLastAccessedDetails" | "ListPoliciesGrantingServiceAccess" => text(input, "Arn").unwrap_or("*").to_owned(),
        "GetRoleTemplateVersion" => text(input, "TemplateArn").unwrap_or("*").to_owned(),
        "GetHumanReadableSummary" => text(input, "EntityArn").unwrap_or("*").to_owned(),
        "GetServiceLinkedRoleDeletionStatus" => deleted_role(call, input),
        _ => named(call, input, resource_type).await?,
    };
    if let Some(id) = text(input, "ServiceSpecificCredentialId") {
        credential_service(call, &resource_arn, id).await?;
    }
    let mut targets = vec![Target { action: action.clone(), resource_arn: resource_arn.clone() }];
    if let Some(renamed) = renamed(input, &resource_arn, resource_type) {
        targets.push(Target { action, resource_arn: renamed });
    }
    if operation == "AddRoleToInstanceProfile" {
        targets.push(Target { action: "iam:PassRole".to_owned(), resource_arn: named(call, input, "role").await? });
    }
    Ok(Some(targets))
}

/// The member that names a resource of a type.
fn name_member(resource_type: &str) -> &'static str {
    match resource_type {
        "user" => "UserName",
        "group" => "GroupName",
        "role" => "RoleName",
        "instance-profile" => "InstanceProfileName",
        "server-certificate" => "ServerCertificateName",
        _ => "",
    }
}

/// The role of a deletion task, which is named in the task's id.
fn deleted_role(call: &Call, input: &Value) -> String {
    let task = text(input, "DeletionTaskId").unwrap_or_default();
    let named = task.strip_prefix("task/").and_then(|rest| rest.rsplit_once('/')).and_then(|(role, _)| role.rsplit_once('/'));
    named.map_or_else(|| "*".to_owned(), |(path, name)| identifier::arn(&call.account, "role", &format!("/{path}/"), name))
}

/// ARN of an MFA device: its serial number, or what it will be.
fn device(call: &Call, input: &Value) -> String {
    if let Some(serial) = text(input, "SerialNumber") {
        return if serial.starts_with("arn:") { serial.to_owned() } else { identifier::arn(&call.account, "mfa", "/", serial) };
    }
    let name = text(input, "VirtualMFADeviceName").unwrap_or("*");
    identifier::arn(&call.account, "mfa", text(input, "Path").unwrap_or("/"), name)
}

/// ARN of an OpenID Connect provider: given, or made of its URL.
fn oidc_provider(call: &Call, input: &Value) -> String {
    if let Some(arn) = text(input, "OpenIDConnectProviderArn") {
        return arn.to_owned();
    }
    let url = text(input, "Url").unwrap_or("*");
    identifier::arn(&call.account, "oidc-provider", "/", url.strip_prefix("https://").unwrap_or(url))
}

/// ARN of the resource that the input names: with its real path, or as it would be where there is none.
async fn named(call: &mut Call, input: &Value, resource_type: &str) -> Result<String, ApiError> {
    match resource_type {
        "mfa" => return Ok(device(call, input)),
        "oidc-provider" => return Ok(oidc_provider(call, input)),
        _ => {}
    }
    let Some(name) = text(input, name_member(resource_type)) else {
        return Ok(match (resource_type, &call.principal.kind) {
            // Without a user name the caller means itself.
            ("user", PrincipalKind::User { .. } | PrincipalKind::Root) => call.principal.arn.clone(),
            _ => "*".to_owned(),
        });
    };
    let account = call.account.clone();
    if matches!(call.operation.name, "CreateUser" | "CreateGroup" | "CreateRole" | "CreateInstanceProfile" | "UploadServerCertificate") {
        return Ok(identifier::arn(&account, resource_type, text(input, "Path").unwrap_or("/"), name));
    }
    let found = match resource_type {
        "user" => bounded::<UserRecord>(call, &account, name).await?,
        "role" => bounded::<RoleRecord>(call, &account, name).await?,
        "group" => entity::find::<GroupRecord>(&mut call.tx, &account, name).await?.map(|group| group.arn(&account)),
        "server-certificate" => server_certificate::find(&mut call.tx, &account, name).await?.map(|found| found.arn(&account)),
        _ => instance_profile::find(&mut call.tx, &account, name).await?.map(|profile| profile.arn(&account)),
    };
    Ok(found.unwrap_or_else(|| identifier::arn(&account, resource_type, "/", name)))
}

async fn bounded<E: Bounded>(call: &mut Call, account: &str, name: &str) -> Result<Option<String>, ApiError> {
    let Some(entity) = entity::look_at::<E>(&mut call.tx, account, name).await? else { return Ok(None) };
    if let Some(boundary) = entity.boundary() {
        call.remember(BOUNDARY, boundary.to_owned());
    }
    Ok(Some(entity.arn(account)))
}

/// A change of name or path needs the permission on the new ARN too.
fn renamed(input: &Value, arn: &str, resource_type: &str) -> Option<String> {
    let members = ["NewUserName", "NewGroupName", "NewServerCertificateName"];
    let new_name = members.iter().find_map(|member| text(input, member));
    let new_path = text(input, "NewPath");
    if new_name.is_none() && new_path.is_none() {
        return None;
    }
    let parsed = identifier::IamArn::parse(arn)?;
    Some(identifier::arn(parsed.account, resource_type, new_path.unwrap_or(parsed.path), new_name.unwrap_or(parsed.name)))
}

/// Leaves the service of a named credential for the condition keys.
async fn credential_service(call: &mut Call, user_arn: &str, id: &str) -> Result<(), ApiError> {
    let Some(user) = identifier::IamArn::parse(user_arn) else { return Ok(()) };
    if let Some(service) = service_specific_credential::service_of(&mut call.tx, user.account, user.name, id).await? {
        call.remember(CREDENTIAL_SERVICE, service);
    }
    Ok(())
}

async fn key_owner(call: &mut Call, input: &Value) -> Result<String, ApiError> {
    let account = call.account.clone();
    let id = text(input, "AccessKeyId").unwrap_or_default();
    let found = access_key::owner_of(&mut call.tx, &account, id).await?;
    Ok(match found {
        Some((_, Some(user))) => user.arn(&account),
        Some((_, None)) => identifier::root_arn(&account),
        None => identifier::arn(&account, "user", "/", "*"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Struct;

    #[test]
    fn a_new_name_or_path_is_a_second_target() {
        let arn = "arn:aws:iam::111111111111:user/a/ana";
        let mut input = Struct::new();
        assert_eq!(renamed(&Value::Struct(input.clone()), arn, "user"), None);
        input.set("NewUserName", Value::Str("eva".to_owned()));
        assert_eq!(renamed(&Value::Struct(input.clone()), arn, "user").unwrap(), "arn:aws:iam::111111111111:user/a/eva");
        input.set("NewPath", Value::Str("/b/".to_owned()));
        assert_eq!(renamed(&Value::Struct(input), arn, "user").unwrap(), "arn:aws:iam::111111111111:user/b/eva");
    }
}
