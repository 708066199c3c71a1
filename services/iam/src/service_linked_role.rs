//! Service-linked roles: roles of AWS's services, which only the service may change.
//!
//! They carry no permissions policy here: a service of this server acts for itself through the plane, not through the role. The role is
//! what its clients look for.
//!
//! Source: IAM User Guide, "Create a service-linked role" and "AWS services that work with IAM"; the names are those that the services
//! document.

use api_iam::{
    CreateServiceLinkedRoleInput, CreateServiceLinkedRoleOutput, DeleteServiceLinkedRoleInput, DeleteServiceLinkedRoleOutput,
    DeletionTaskStatusType, GetServiceLinkedRoleDeletionStatusInput, GetServiceLinkedRoleDeletionStatusOutput, Role,
};
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Table;

use crate::account::{self, Counted};
use crate::entity::{self, Entity, EntityKind, Head, Policies, RoleRecord};
use crate::error::IamError;
use crate::{identifier, role};

const PATH_PREFIX: &str = "/aws-service-role/";

/// Services and their roles; `true`: the service takes a suffix, so an account may have several.
const ROLES: &[(&str, &str, bool)] = &[
    ("access-analyzer.amazonaws.com", "AWSServiceRoleForAccessAnalyzer", false),
    ("agentless.inspector2.amazonaws.com", "AWSServiceRoleForAmazonInspector2Agentless", false),
    ("autoscaling.amazonaws.com", "AWSServiceRoleForAutoScaling", true),
    ("backup.amazonaws.com", "AWSServiceRoleForBackup", false),
    ("bedrock.amazonaws.com", "AWSServiceRoleForAmazonBedrock", false),
    ("cloudtrail.amazonaws.com", "AWSServiceRoleForCloudTrail", false),
    ("config.amazonaws.com", "AWSServiceRoleForConfig", false),
    ("config-multiaccountsetup.amazonaws.com", "AWSServiceRoleForConfigMultiAccountSetup", false),
    ("ecs.amazonaws.com", "AWSServiceRoleForECS", false),
    ("eks.amazonaws.com", "AWSServiceRoleForAmazonEKS", false),
    ("elasticloadbalancing.amazonaws.com", "AWSServiceRoleForElasticLoadBalancing", false),
    ("guardduty.amazonaws.com", "AWSServiceRoleForAmazonGuardDuty", false),
    ("inspector2.amazonaws.com", "AWSServiceRoleForAmazonInspector2", false),
    ("lakeformation.amazonaws.com", "AWSServiceRoleForLakeFormationDataAccess", false),
    ("macie.amazonaws.com", "AWSServiceRoleForAmazonMacie", false),
    ("organizations.amazonaws.com", "AWSServiceRoleForOrganizations", false),
    ("ram.amazonaws.com", "AWSServiceRoleForResourceAccessManager", false),
    ("rds.amazonaws.com", "AWSServiceRoleForRDS", false),
    ("replication.ecr.amazonaws.com", "AWSServiceRoleForECRReplication", false),
    ("rolesanywhere.amazonaws.com", "AWSServiceRoleForRolesAnywhere", false),
    ("securityhub.amazonaws.com", "AWSServiceRoleForSecurityHub", false),
    ("spot.amazonaws.com", "AWSServiceRoleForEC2Spot", false),
    ("ssm.amazonaws.com", "AWSServiceRoleForAmazonSSM", false),
    ("support.amazonaws.com", "AWSServiceRoleForSupport", false),
    ("trustedadvisor.amazonaws.com", "AWSServiceRoleForTrustedAdvisor", false),
];

/// A deletion that was asked for. It is done at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DeletionRecord {
    role_name: String,
}

impl Record for DeletionRecord {
    const TABLE: Table = Table("iam.service-linked-role-deletion");
    const SCOPE: Scope = Scope::Home;
}

fn task_key(account: &str, task_id: &str) -> Key {
    Key::new(account, "").last(task_id)
}

/// Whether only its service may change a role.
pub(crate) fn is_service_linked(role: &RoleRecord) -> bool {
    role.head.path.starts_with(PATH_PREFIX)
}

/// Whether a path is kept for service-linked roles.
pub(crate) fn is_reserved(path: &str) -> bool {
    path.starts_with(PATH_PREFIX)
}

/// The error of a change that only the service may make.
pub(crate) fn check_modifiable<E: Entity>(entity: &E) -> Result<(), IamError> {
    if E::KIND != EntityKind::Role || !is_reserved(&entity.head().path) {
        return Ok(());
    }
    let name = &entity.head().name;
    let text = format!("Cannot perform the operation on the protected role '{name}' - this role is only modifiable by AWS");
    Err(IamError::UnmodifiableEntity(text))
}

/// Name of the role of a service with a suffix.
fn role_name(service: &str, suffix: Option<&str>) -> Result<String, IamError> {
    let known = ROLES.iter().find(|(name, ..)| *name == service);
    let Some((_, name, takes_suffix)) = known else {
        return Err(IamError::InvalidInput(format!("Service-linked roles are not supported for the service {service}.")));
    };
    match suffix {
        None => Ok((*name).to_owned()),
        Some(suffix) if *takes_suffix => Ok(format!("{name}_{suffix}")),
        Some(_) => Err(IamError::InvalidInput(format!("Custom suffix is not allowed for {service}"))),
    }
}

/// ARN of the role that a call makes; with the service's name where it is not known, so that the decision comes first.
pub(crate) fn target_arn(account: &str, service: &str, suffix: Option<&str>) -> String {
    let name = role_name(service, suffix).unwrap_or_else(|_| "*".to_owned());
    identifier::arn(account, "role", &format!("{PATH_PREFIX}{service}/"), &name)
}

pub(crate) async fn create_service_linked_role(
    cx: &mut Call,
    input: CreateServiceLinkedRoleInput,
) -> Result<CreateServiceLinkedRoleOutput, ApiError> {
    let service = input.aws_service_name;
    let name = role_name(&service, input.custom_suffix.as_deref())?;
    if cx.tx.get::<RoleRecord>(&entity::key(&cx.account, &name)).await?.is_some() {
        let text = format!("Service role name {name} has been taken in this account, please try a different suffix.");
        return Err(IamError::InvalidInput(text).into());
    }
    let trust = json!({
        "Version": "2012-10-17",
        "Statement": [{ "Effect": "Allow", "Principal": { "Service": service }, "Action": "sts:AssumeRole" }],
    });
    let record = RoleRecord {
        head: Head {
            name,
            path: format!("{PATH_PREFIX}{service}/"),
            id: identifier::unique_id(cx.plane.randomness.as_ref(), identifier::ROLE)?,
            created_ms: cx.now.0,
        },
        policies: Policies::default(),
        tags: Vec::new(),
        boundary: None,
        trust: trust.to_string(),
        description: input.description,
        max_session_duration_s: role::DEFAULT_SESSION_DURATION_S,
        instance_profiles: Vec::new(),
    };
    account::count_up(&mut cx.tx, &cx.account, Counted::Roles).await?;
    entity::save_id(&mut cx.tx, &cx.account, &record)?;
    entity::save(&mut cx.tx, &cx.account, &record)?;
    let summary = role::summary(cx, &record).await?;
    Ok(CreateServiceLinkedRoleOutput { role: Some(Role { max_session_duration: None, ..summary }) })
}

pub(crate) async fn delete_service_linked_role(
    cx: &mut Call,
    input: DeleteServiceLinkedRoleInput,
) -> Result<DeleteServiceLinkedRoleOutput, ApiError> {
    let record = entity::load::<RoleRecord>(&mut cx.tx, &cx.account, &input.role_name).await?;
    if !is_service_linked(&record) {
        return Err(IamError::NoSuchEntity(format!("The service-linked role with name {} cannot be found.", input.role_name)).into());
    }
    account::count_down(&mut cx.tx, &cx.account, Counted::Roles).await?;
    entity::remove(&mut cx.tx, &cx.account, &record);
    let task_id = format!("task{}{}/{}", record.head.path, record.head.name, cx.plane.random_uuid()?);
    cx.tx.put(&task_key(&cx.account, &task_id), &DeletionRecord { role_name: record.head.name })?;
    Ok(DeleteServiceLinkedRoleOutput { deletion_task_id: task_id })
}

pub(crate) async fn get_service_linked_role_deletion_status(
    cx: &mut Call,
    input: GetServiceLinkedRoleDeletionStatusInput,
) -> Result<GetServiceLinkedRoleDeletionStatusOutput, ApiError> {
    let task_id = input.deletion_task_id;
    let found = cx.tx.get::<DeletionRecord>(&task_key(&cx.account, &task_id)).await?;
    found.ok_or_else(|| IamError::NoSuchEntity(format!("Deletion task id {task_id} cannot be found.")))?;
    Ok(GetServiceLinkedRoleDeletionStatusOutput { status: DeletionTaskStatusType::Succeeded, reason: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_from_services() {
        assert_eq!(role_name("config.amazonaws.com", None).unwrap(), "AWSServiceRoleForConfig");
        assert_eq!(role_name("autoscaling.amazonaws.com", Some("x")).unwrap(), "AWSServiceRoleForAutoScaling_x");
        role_name("config.amazonaws.com", Some("x")).unwrap_err();
        role_name("none.amazonaws.com", None).unwrap_err();
    }
}
