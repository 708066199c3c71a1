//! A change of policies as an operation of its service: done in a transaction that is never committed, so that history can be replayed on the state
//! that it would leave.

use std::collections::HashMap;

use plane::organization::ControlPolicies;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, OrganizationView, Principal, PrincipalAccess, Transaction};
use serde_json::{Value as Json, json};

use super::question::resource_access;

/// Operations that change who may do what, and do no more than write records.
const OPERATIONS: [(&str, &[&str]); 4] = [
    (
        "iam",
        &[
            "AddUserToGroup",
            "AttachGroupPolicy",
            "AttachRolePolicy",
            "AttachUserPolicy",
            "CreatePolicyVersion",
            "DeleteGroupPolicy",
            "DeleteRolePermissionsBoundary",
            "DeleteRolePolicy",
            "DeleteUserPermissionsBoundary",
            "DeleteUserPolicy",
            "DetachGroupPolicy",
            "DetachRolePolicy",
            "DetachUserPolicy",
            "PutGroupPolicy",
            "PutRolePermissionsBoundary",
            "PutRolePolicy",
            "PutUserPermissionsBoundary",
            "PutUserPolicy",
            "RemoveUserFromGroup",
            "SetDefaultPolicyVersion",
            "UpdateAssumeRolePolicy",
        ],
    ),
    ("kms", &["PutKeyPolicy"]),
    ("organizations", &["AttachPolicy", "DetachPolicy", "MoveAccount", "UpdatePolicy"]),
    ("s3", &["DeleteBucketPolicy", "PutBucketPolicy"]),
];

/// The state as the operation would leave it.
pub(super) struct Rehearsal {
    tx: Transaction,
    service: String,
    /// Where it would happen; global services are everywhere.
    region: String,
    views: HashMap<String, Option<OrganizationView>>,
}

fn invalid(text: &str) -> ApiError {
    ApiError::new("ValidationException", text)
}

impl Rehearsal {
    pub(super) async fn of(cx: &Call, change: &Json) -> Result<Self, ApiError> {
        let text = |name: &str| change.get(name).and_then(Json::as_str);
        let (Some(service), Some(operation)) = (text("service"), text("operation")) else {
            return Err(invalid("a change has a `service` and an `operation`"));
        };
        if !OPERATIONS.iter().any(|(known, operations)| *known == service && operations.contains(&operation)) {
            return Err(invalid(&format!("`{service}:{operation}` is not an operation that can be rehearsed")));
        }
        let region = text("region").unwrap_or(&cx.region).to_owned();
        let input = change.get("input").cloned().unwrap_or_else(|| json!({}));
        let tx = cx.plane.rehearse(cx, (service, operation), &region, &input).await?;
        Ok(Self { tx, service: service.to_owned(), region, views: HashMap::new() })
    }

    /// Whether it changes what binds all members of an organization.
    pub(super) fn is_of_organization(&self) -> bool {
        self.service == "organizations"
    }

    /// What the principal would have.
    pub(super) async fn access(&mut self, cx: &Call, principal: &Principal) -> Result<PrincipalAccess, ApiError> {
        cx.plane.directory().access(&mut self.tx, principal).await
    }

    async fn view(&mut self, cx: &Call, account: &str) -> Result<Option<OrganizationView>, ApiError> {
        if let Some(known) = self.views.get(account) {
            return Ok(known.clone());
        }
        let view = cx.plane.organizations().view(&mut self.tx, account).await?;
        self.views.insert(account.to_owned(), view.clone());
        Ok(view)
    }

    /// What organizations would say of a caller and an owner; `None`: what they say now.
    pub(super) async fn control(&mut self, cx: &Call, caller: &str, owner: &str) -> Result<Option<ControlPolicies>, ApiError> {
        if !self.is_of_organization() {
            return Ok(None);
        }
        let caller_view = self.view(cx, caller).await?;
        let owner_view = self.view(cx, owner).await?;
        Ok(Some(ControlPolicies::join((caller, caller_view.as_ref()), (owner, owner_view.as_ref()))))
    }

    /// What the resource would have; `None`: what it has now.
    pub(super) async fn resource(&mut self, cx: &Call, region: &str, action: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        let here = self.service == "iam" || (self.region == region && matches!(self.service.as_str(), "kms" | "s3"));
        if here { resource_access(cx, &mut self.tx, region, action, arn).await.map(Some) } else { Ok(None) }
    }
}
