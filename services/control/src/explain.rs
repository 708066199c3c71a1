//! Why a call was allowed or denied: from the trail for past calls, by the engine for calls that have not been made.

use plane::organization::ControlPolicies;
use plane::{ApiError, Call, PrincipalAccess, Reply};
use policy::{Check, MapContext, PolicySet, Resource};
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
    let mut decision = entry.decision.map_or(json!({}), std::sync::Arc::unwrap_or_clone);
    if decision.get("allowed") == Some(&json!(false))
        && let Some(change) = change_for_recorded(cx, &decision).await?
        && let Some(members) = decision.as_object_mut()
    {
        members.insert("smallestChange".to_owned(), change);
    }
    Ok(reply([("Record", document(record)), ("Decision", document(decision))]))
}

/// Decides a call that has not been made: the principal's policies as they are now, and the resource's.
pub(crate) async fn explain_access(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let (principal_arn, action, resource_arn) = (text(&input, "PrincipalArn"), text(&input, "Action"), text(&input, "ResourceArn"));
    let case = case(cx, &principal_arn, &action, &resource_arn, MapContext::new()).await?.ok_or_else(|| {
        ApiError::new("ResourceNotFoundException", format!("the principal `{principal_arn}` does not exist in account `{}`", cx.account))
    })?;
    let explanation = policy::explain(&case.principal, &case.check, &case.policies, &case.context, case.organization());
    Ok(reply([(
        "Decision",
        document(json!({
            "allowed": explanation.allowed,
            "principal": principal_arn,
            "action": action,
            "resource": resource_arn,
            "explicit": explanation.explicit,
            "deniedBy": explanation.denied_by,
            "deciding": explanation.deciding.as_ref().map(|deciding| json!({
                "policyType": deciding.policy_type,
                "policyId": deciding.policy_id,
                "statementIndex": deciding.statement_index,
                "sid": deciding.sid,
                "span": deciding.span,
                "pointer": deciding.pointer,
            })),
            "smallestChange": if explanation.allowed { serde_json::Value::Null } else { case.change(&cx.account) },
            "explanation": explanation,
        })),
    )]))
}

/// One question with everything that decides it.
struct Case {
    principal: policy::Principal,
    check: Check,
    policies: PolicySet,
    context: MapContext,
    control: ControlPolicies,
    owner: String,
}

/// The question with the policies as they are now; `None` if the principal does not exist in the caller's account.
async fn case(
    cx: &mut Call,
    principal_arn: &str,
    action: &str,
    resource_arn: &str,
    mut context: MapContext,
) -> Result<Option<Case>, ApiError> {
    let plane = std::sync::Arc::clone(&cx.plane);
    let principal = plane.directory().principal(&mut cx.tx, principal_arn).await?;
    let Some(principal) = principal.filter(|principal| principal.account == cx.account) else { return Ok(None) };
    let access: PrincipalAccess = plane.directory().access(&mut cx.tx, &principal).await?;
    let found = plane::authorize::resource_access(cx, action, resource_arn).await?;
    let owner = plane::authorize::owner(cx, resource_arn, &found);
    let resource = Resource {
        arn: resource_arn.to_owned(),
        account: Some(owner.clone()),
        tags: found.tags.clone(),
        aws_managed_key: found.aws_managed_key,
    };
    for (name, values) in &found.context {
        context.set_many(name, values.iter().cloned());
    }
    let control = plane.control_policies(&principal.account, &owner).await?;
    let policies = PolicySet {
        identity: access.identity.clone(),
        boundary: access.boundary.clone(),
        session: access.session.clone(),
        service_control: control.service_control.clone(),
        resource_control: control.resource_control.clone(),
        resource: plane::authorize::resource_policy(&found.policy, action),
        kms_grants: found.grants.clone(),
        s3_restrict_public_buckets: found.restrict_public_buckets,
        ..PolicySet::default()
    };
    let principal = plane::authorize::policy_principal(&principal, &access);
    Ok(Some(Case { principal, check: Check::new(action, resource), policies, context, control, owner }))
}

impl Case {
    fn organization(&self) -> Option<&policy::Organization> {
        self.control.organization.as_deref()
    }

    /// The smallest change of policies that would allow it, with what it opens besides; or why there is none. Of policies that belong to
    /// another account only the type is told.
    fn change(&self, account: &str) -> serde_json::Value {
        let found = policy::smallest_change(&self.principal, &self.check, &self.policies, &self.context, self.organization());
        let mut change = match found {
            Ok(change) => json!(change),
            Err(reason) => return json!({ "edits": [], "none": reason.to_string() }),
        };
        let foreign = ["resource-based policy", "role trust policy", "resource control policy"];
        if self.owner != account
            && let Some(edits) = change.get_mut("edits").and_then(serde_json::Value::as_array_mut)
        {
            for edit in edits {
                let is_foreign = edit.get("policy_type").and_then(serde_json::Value::as_str).is_some_and(|name| foreign.contains(&name));
                if is_foreign && let Some(members) = edit.as_object_mut() {
                    members.retain(|name, _| matches!(name.as_str(), "kind" | "policy_type"));
                    members.insert("note".to_owned(), json!("the policy belongs to the resource's owner"));
                }
            }
        }
        change
    }
}

/// What would allow a recorded call today, with the condition keys that it had.
async fn change_for_recorded(cx: &mut Call, decision: &serde_json::Value) -> Result<Option<serde_json::Value>, ApiError> {
    let member = |name: &str| decision.get(name).and_then(serde_json::Value::as_str).map(str::to_owned);
    let (Some(principal), Some(action), Some(resource)) = (member("principal"), member("action"), member("resource")) else {
        return Ok(None);
    };
    let mut context = MapContext::new();
    for (name, values) in decision.get("conditionKeys").and_then(serde_json::Value::as_object).into_iter().flatten() {
        let values: Vec<&str> = values.as_array().into_iter().flatten().filter_map(serde_json::Value::as_str).collect();
        match values.as_slice() {
            [] => {}
            [one] => drop(context.set(name, *one)),
            many => drop(context.set_many(name, many.iter().copied())),
        }
    }
    Ok(case(cx, &principal, &action, &resource, context).await?.map(|case| case.change(&cx.account)))
}
