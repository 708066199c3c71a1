//! The policies that stand beside the identities of an account: those of its resources, and those of its organization.

use plane::{ApiError, Call, Reply};
use policy::{Attached, PolicyDocument};
use serde_json::{Value as Json, json};
use wire::Value;

use crate::reply;

fn document(attached: &Attached) -> Json {
    serde_json::to_value(PolicyDocument::from(&*attached.policy)).unwrap_or_default()
}

/// Everything of the caller's account, in the form that `access::estate` reads beside GetAccountAuthorizationDetails.
pub(crate) async fn export_policies(cx: &mut Call, _input: Value) -> Result<Reply, ApiError> {
    let plane = std::sync::Arc::clone(&cx.plane);
    let mut resources: Vec<Json> = Vec::new();
    for (position, region) in plane.regions.iter().enumerate() {
        let mut tx = plane.transaction(position);
        for service in plane.services() {
            // Roles come with the identities, and the same from every region.
            if service.id() == "iam" {
                continue;
            }
            for arn in service.policy_holders(&mut tx, &region.name, &cx.account).await? {
                let Some(found) = service.resource(&mut tx, &region.name, &arn).await? else { continue };
                if let Some(attached) = found.policy.attached() {
                    resources.push(json!({ "Arn": arn, "Account": cx.account, "Policy": document(attached) }));
                }
            }
        }
    }
    let control = plane.control_policies(&cx.account, &cx.account).await?;
    let levels: Vec<Vec<Json>> = control
        .service_control
        .unwrap_or_default()
        .iter()
        .map(|level| level.iter().map(|attached| json!({ "Id": attached.id, "Policy": document(attached) })).collect())
        .collect();
    let export = json!({
        "AccountId": cx.account,
        "OrganizationId": control.organization.map(|organization| organization.id.clone()),
        "ResourcePolicies": resources,
        "ServiceControlPolicies": levels,
    });
    Ok(reply([("Export", Value::Document(export))]))
}
