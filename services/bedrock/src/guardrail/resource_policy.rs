//! Policies of guardrails: who in other accounts may use one.
//!
//! Source: Bedrock User Guide, "Resource-based policies for guardrails": the actions are `bedrock:ApplyGuardrail` and `bedrock:GetGuardrail`, the
//! resource is the guardrail. Policies of other resource types (custom models, knowledge bases) are not supported yet and refused.

use api_bedrock::{
    DeleteResourcePolicyInput, DeleteResourcePolicyOutput, GetResourcePolicyInput, GetResourcePolicyOutput, PutResourcePolicyInput,
    PutResourcePolicyOutput,
};
use plane::authorize::compiled;
use plane::{ApiError, Call, Key, Record, Scope, Transaction, policy_principal};
use policy::{Attached, Policy, PolicyKind, PolicySource, ResourceKind, ResourcePolicy};
use serde::{Deserialize, Serialize};
use store::Table;

use super::{Draft, arn_of, draft_key, id_of};
use crate::refusal::Refusal;

/// The text of a guardrail's policy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct GuardrailPolicy {
    pub(crate) text: String,
}

impl Record for GuardrailPolicy {
    const TABLE: Table = Table("bedrock-guardrail-policy");
    const SCOPE: Scope = Scope::Region;
}

pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
    Key::new(account, region).last(id)
}

/// The policy of a guardrail, as a decision sees it.
pub(crate) async fn of(tx: &mut Transaction, region: &str, account: &str, id: &str) -> Result<ResourcePolicy, ApiError> {
    let Some(stored) = tx.get::<GuardrailPolicy>(&key(account, region, id)).await? else { return Ok(ResourcePolicy::Absent) };
    let policy = compiled(PolicyKind::Resource(ResourceKind::Standard), &stored.text);
    Ok(ResourcePolicy::new(Attached::new(arn_of(region, account, id), PolicySource::Resource, policy)))
}

/// The guardrail that the ARN of such a call names.
async fn guardrail(cx: &mut Call, arn: &str) -> Result<Draft, ApiError> {
    let (region, account) = (cx.region.clone(), cx.account.clone());
    if arn.splitn(6, ':').nth(5).is_some_and(|resource| !resource.starts_with("guardrail/")) {
        return Err(Refusal::unsupported("a policy of a resource other than a guardrail").into());
    }
    let id = id_of(&region, &account, arn).filter(|_| arn.starts_with("arn:")).ok_or_else(|| Refusal::Resource(arn.to_owned()))?;
    Ok(cx.tx.get::<Draft>(&draft_key(&account, &region, id)).await?.ok_or_else(|| Refusal::Resource(arn.to_owned()))?)
}

pub(crate) async fn put_resource_policy(cx: &mut Call, input: PutResourcePolicyInput) -> Result<PutResourcePolicyOutput, ApiError> {
    let draft = guardrail(cx, &input.resource_arn).await?;
    let malformed = |problem: &dyn std::fmt::Display| Refusal::invalid(format!("The resource policy is malformed: {problem}"));
    Policy::parse(&input.resource_policy, PolicyKind::Resource(ResourceKind::Standard)).map_err(|error| malformed(&error))?;
    check_statements(&input.resource_policy, &input.resource_arn)?;
    let (region, account) = (cx.region.clone(), cx.account.clone());
    let refusal =
        |principal: &str| Refusal::invalid(format!("The resource policy is malformed: the principal `{principal}` is not valid")).into();
    let text = policy_principal::stored(cx, &input.resource_policy, refusal).await?;
    cx.tx.put(&key(&account, &region, &draft.id), &GuardrailPolicy { text })?;
    Ok(PutResourcePolicyOutput { resource_arn: Some(input.resource_arn) })
}

/// Statements may speak of this guardrail only, and of its use only.
fn check_statements(text: &str, arn: &str) -> Result<(), Refusal> {
    let document: serde_json::Value = serde_json::from_str(text).map_err(|_| Refusal::invalid("The resource policy is not JSON."))?;
    let list = |value: Option<&serde_json::Value>| match value {
        Some(serde_json::Value::Array(items)) => items.clone(),
        Some(item) => vec![item.clone()],
        None => Vec::new(),
    };
    for statement in list(document.get("Statement")) {
        for forbidden in ["NotAction", "NotResource", "NotPrincipal"] {
            if statement.get(forbidden).is_some() {
                return Err(Refusal::invalid(format!("The policy of a guardrail cannot use `{forbidden}`.")));
            }
        }
        let allowed = ["bedrock:ApplyGuardrail", "bedrock:GetGuardrail"];
        if let Some(action) =
            list(statement.get("Action")).iter().find(|action| !action.as_str().is_some_and(|action| allowed.contains(&action)))
        {
            return Err(Refusal::invalid(format!("The action {action} cannot stand in the policy of a guardrail.")));
        }
        let is_this = |resource: &serde_json::Value| {
            resource
                .as_str()
                .is_some_and(|resource| resource == arn || resource.strip_prefix(arn).is_some_and(|rest| rest.starts_with(':')))
        };
        if let Some(resource) = list(statement.get("Resource")).iter().find(|resource| !is_this(resource)) {
            return Err(Refusal::invalid(format!("The resource {resource} is not this guardrail.")));
        }
    }
    Ok(())
}

pub(crate) async fn get_resource_policy(cx: &mut Call, input: GetResourcePolicyInput) -> Result<GetResourcePolicyOutput, ApiError> {
    let draft = guardrail(cx, &input.resource_arn).await?;
    let (region, account) = (cx.region.clone(), cx.account.clone());
    let missing = || Refusal::ResourcePolicy(input.resource_arn.clone());
    let stored = cx.tx.get::<GuardrailPolicy>(&key(&account, &region, &draft.id)).await?.ok_or_else(missing)?;
    let text = policy_principal::shown(cx, &stored.text).await?;
    Ok(GetResourcePolicyOutput { resource_policy: Some(text) })
}

pub(crate) async fn delete_resource_policy(
    cx: &mut Call,
    input: DeleteResourcePolicyInput,
) -> Result<DeleteResourcePolicyOutput, ApiError> {
    let draft = guardrail(cx, &input.resource_arn).await?;
    let (region, account) = (cx.region.clone(), cx.account.clone());
    let key = key(&account, &region, &draft.id);
    cx.tx.get::<GuardrailPolicy>(&key).await?.ok_or_else(|| Refusal::ResourcePolicy(input.resource_arn.clone()))?;
    cx.tx.delete::<GuardrailPolicy>(&key);
    Ok(DeleteResourcePolicyOutput {})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_speak_of_the_use_of_this_guardrail() {
        let arn = "arn:aws:bedrock:us-east-1:111122223333:guardrail/abc";
        let policy = |action: &str, resource: &str| {
            format!(r#"{{"Statement":[{{"Effect":"Allow","Principal":"*","Action":"{action}","Resource":"{resource}"}}]}}"#)
        };
        assert_eq!(check_statements(&policy("bedrock:ApplyGuardrail", arn), arn), Ok(()));
        assert_eq!(check_statements(&policy("bedrock:ApplyGuardrail", &format!("{arn}:1")), arn), Ok(()));
        assert!(check_statements(&policy("bedrock:DeleteGuardrail", arn), arn).is_err());
        assert!(check_statements(&policy("bedrock:ApplyGuardrail", "*"), arn).is_err());
        assert!(check_statements(&policy("bedrock:ApplyGuardrail", &format!("{arn}d")), arn).is_err());
    }
}
