//! `AssumeRoot`: a task on the root user of a member account, by the organization's management account or a delegated administrator.
//!
//! Source: STS API Reference, "AssumeRoot"; IAM User Guide, "Perform a privileged task on an AWS Organizations member account".

use api_sts::{AssumeRootInput, AssumeRootOutput};
use iam::organization_feature::{self, OrganizationFeature};
use iam::{aws_managed, identifier};
use plane::{ApiError, Call, Principal, PrincipalKind, Target};
use policy::MapContext;
use wire::Value;

use crate::error::{StsError, unsupported};
use crate::session::{self, SessionPolicies, SessionTags};

/// Longest session, and the usual one.
const DURATION_S: i32 = 900;

fn denied(text: &str) -> ApiError {
    StsError::AccessDenied(text.to_owned()).into()
}

/// The member account that a call names, by its id or by the ARN of its root user.
fn target_account(text: &str) -> Option<&str> {
    let id = text
        .strip_prefix("arn:")
        .map_or(Some(text), |_| identifier::IamArn::parse(text).filter(|arn| arn.resource_type == "root").map(|arn| arn.account))?;
    identifier::is_account_id(id).then_some(id)
}

fn task_policy(input: &Value) -> Option<&str> {
    input.member("TaskPolicyArn")?.member("arn")?.as_str()
}

pub(crate) fn targets(call: &Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let named = input.member("TargetPrincipal").and_then(Value::as_str).unwrap_or_default();
    if call.principal.kind == PrincipalKind::Root {
        return Err(denied("Roles may not be assumed by root accounts."));
    }
    // What names no account is told to those only who may do it at all.
    let resource_arn = target_account(named).map_or_else(|| "*".to_owned(), identifier::root_arn);
    Ok(vec![Target { action: "sts:AssumeRoot".to_owned(), resource_arn }])
}

pub(crate) fn condition_keys(input: &Value, keys: &mut MapContext) {
    if let Some(arn) = task_policy(input) {
        keys.set("sts:TaskPolicyArn", arn);
    }
}

/// The features that let a task be done: one of them is enough. To delete credentials is what the management of credentials is for, to look at
/// them is part of both; to give a password again and to unlock policies are privileged actions.
///
/// Source: IAM User Guide, "Centralize root access for member accounts".
fn features(task: &str) -> &'static [OrganizationFeature] {
    match task.rsplit('/').next() {
        Some("IAMAuditRootUserCredentials") => &[OrganizationFeature::RootCredentialsManagement, OrganizationFeature::RootSessions],
        Some("IAMDeleteRootUserCredentials") => &[OrganizationFeature::RootCredentialsManagement],
        _ => &[OrganizationFeature::RootSessions],
    }
}

async fn is_possible(cx: &mut Call, organization: &str, task: &str) -> Result<bool, ApiError> {
    for feature in features(task) {
        if organization_feature::is_enabled(&mut cx.tx, organization, *feature).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) async fn assume_root(cx: &mut Call, input: AssumeRootInput) -> Result<AssumeRootOutput, ApiError> {
    if input.minimum_session_token_size.is_some() {
        return Err(unsupported("MinimumSessionTokenSize"));
    }
    let named = &input.target_principal;
    let invalid = || StsError::ValidationError(format!("{named} is not a valid target principal"));
    let account = target_account(named).map(str::to_owned).ok_or_else(invalid)?;
    if account == cx.account {
        return Err(denied("A privileged task is taken on the root user of a member account, not of one's own."));
    }
    let view = cx.plane.organization(&cx.account).await?;
    let view = view.filter(|view| organization_feature::may_manage(view, &cx.account) && view.members.contains_key(&account));
    let Some(view) = view else {
        return Err(denied("The caller's account does not manage the root users of the target's organization."));
    };
    let task = input.task_policy_arn.arn.unwrap_or_default();
    if !aws_managed::is_root_task(&task) {
        return Err(StsError::ValidationError(format!("{task} is not a task policy for root sessions")).into());
    }
    if view.suspended.contains(&account) {
        return Err(denied("The target account is closed."));
    }
    if !view.service_access.contains(organization_feature::IAM) || !is_possible(cx, &view.organization.id, &task).await? {
        return Err(denied("The feature of central root access that the task belongs to is not enabled for the organization."));
    }
    let principal = Principal {
        kind: PrincipalKind::Root,
        arn: identifier::root_arn(&account),
        principal_id: account.clone(),
        account,
        access_key_id: None,
        session: None,
    };
    // AWS's task policies only deny: what one leaves is what the root user may do, so something has to allow it.
    let everything = format!("arn:{}:iam::aws:policy/AdministratorAccess", plane::PARTITION);
    let policies = SessionPolicies { policy: None, policy_arns: vec![task, everything] };
    let duration_s = input.duration_seconds.unwrap_or(DURATION_S).min(DURATION_S);
    let mut session = session::begin(cx, "AssumeRoot", duration_s, policies, SessionTags::default());
    let source_identity = cx.principal.session.as_ref().and_then(|session| session.source_identity.clone());
    session.source_identity.clone_from(&source_identity);
    Ok(AssumeRootOutput { credentials: Some(session::issue(cx, principal, session)?), source_identity, ..AssumeRootOutput::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_account_or_its_root() {
        assert_eq!(target_account("111111111111"), Some("111111111111"));
        assert_eq!(target_account("arn:aws:iam::111111111111:root"), Some("111111111111"));
        for wrong in ["", "1", "arn:aws:iam::111111111111:user/x", "arn:aws:sts::111111111111:root"] {
            assert_eq!(target_account(wrong), None, "{wrong}");
        }
    }
}
