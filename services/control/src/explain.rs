//! Why a call was allowed or denied: from the trail for past calls, by the engine for calls that have not been made.

use plane::authorize::compiled;
use plane::{ApiError, Call, PrincipalAccess, Reply};
use policy::{Check, MapContext, PolicyKind, PolicySet, Resource};
use serde_json::json;
use trail::Filter;
use wire::Value;

use crate::{reply, text};

/// A call, with those that services made for its caller.
const CALLS_OF_A_REQUEST: usize = 50;

fn document(json: serde_json::Value) -> Value {
    Value::Document(json)
}

/// The record and the decision of one call of the caller's account. `last` is the newest denied one.
pub(crate) async fn explain_request(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let request_id = text(&input, "RequestId");
    cx.plane.flush().await?;
    let wants_last = request_id == "last";
    let filter = Filter {
        account: cx.account.clone(),
        attribute: (!wants_last).then(|| ("RequestId".to_owned(), request_id.clone())),
        denied_only: wants_last,
        ..Filter::default()
    };
    let mut found: Vec<trail::Entry> = Vec::new();
    for position in 0..cx.plane.regions.iter().count() {
        let limit = if wants_last { 1 } else { CALLS_OF_A_REQUEST };
        let page = cx.plane.ledger(position)?.lookup(&filter, None, limit).await.map_err(|error| ApiError::internal(&error))?;
        found.extend(page.entries);
    }
    // Newest first within a region. A call that a service made for the caller bears the same request id; the refused one is the one to
    // explain.
    let newest = found.into_iter().rev().max_by_key(|entry| (entry.is_denied(), entry.record.event_time.clone()));
    let Some(entry) = newest else {
        let message = if wants_last {
            "no denied call is recorded".to_owned()
        } else {
            format!("no call with the request id `{request_id}` is recorded")
        };
        return Err(ApiError::new("ResourceNotFoundException", message));
    };
    let record = serde_json::to_value(&entry.record)?;
    Ok(reply([("Record", document(record)), ("Decision", document(entry.decision.unwrap_or(json!({}))))]))
}

/// Decides a call that has not been made: the principal's policies as they are now, and the resource's.
pub(crate) async fn explain_access(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let (principal_arn, action, resource_arn) = (text(&input, "PrincipalArn"), text(&input, "Action"), text(&input, "ResourceArn"));
    let plane = std::sync::Arc::clone(&cx.plane);
    let not_found = || {
        ApiError::new("ResourceNotFoundException", format!("the principal `{principal_arn}` does not exist in account `{}`", cx.account))
    };
    let principal = plane
        .directory()
        .principal(&mut cx.tx, &principal_arn)
        .await?
        .filter(|principal| principal.account == cx.account)
        .ok_or_else(not_found)?;
    let access: PrincipalAccess = plane.directory().access(&mut cx.tx, &principal).await?;
    let found = plane::authorize::resource_access(cx, &action, &resource_arn).await?;
    let owner = plane::authorize::owner(cx, &resource_arn, &found);
    let check = Check::new(
        &action,
        Resource {
            arn: resource_arn.clone(),
            account: Some(owner.clone()),
            tags: found.tags.clone(),
            aws_managed_key: found.aws_managed_key,
        },
    );
    let mut context = MapContext::new();
    for (name, values) in &found.context {
        context.set_many(name, values.iter().cloned());
    }
    let control = plane.control_policies(&principal.account, &owner).await?;
    let policies = PolicySet {
        identity: access.identity.clone(),
        boundary: access.boundary.clone(),
        session: access.session.clone(),
        service_control: control.service_control,
        resource_control: control.resource_control,
        resource: found.policy.clone(),
        kms_grants: found.grants.clone(),
        s3_restrict_public_buckets: found.restrict_public_buckets,
        ..PolicySet::default()
    };
    let principal = plane::authorize::policy_principal(&principal, &access);
    let explanation = policy::explain(&principal, &check, &policies, &context, control.organization.as_deref());
    let smallest = (!explanation.allowed && explanation.explicit == Some(false)).then(|| smallest_change(&action, &resource_arn));
    Ok(reply([(
        "Decision",
        document(json!({
            "allowed": explanation.allowed,
            "principal": principal_arn,
            "action": action,
            "resource": resource_arn,
            "explicit": explanation.explicit,
            "deniedBy": explanation.denied_by,
            "explanation": explanation,
            "smallestChange": smallest,
        })),
    )]))
}

/// The narrowest statement that would allow an implicitly denied call; it is checked that it parses.
fn smallest_change(action: &str, resource: &str) -> serde_json::Value {
    let statement = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Action": action, "Resource": resource }] });
    let parses = compiled(PolicyKind::Identity, &statement.to_string()).problem().is_none();
    if parses { statement } else { serde_json::Value::Null }
}
