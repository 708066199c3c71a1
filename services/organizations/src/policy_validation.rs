//! What is wrong with effective management policies. Each policy is well formed when it is stored; inheritance can still make one of them that is
//! not.
//!
//! Source: Organizations API Reference, "ListEffectivePolicyValidationErrors" and "EffectivePolicyValidationError" (the one error code that it
//! names is `ELEMENTS_TOO_MANY`; the other two are ours); Organizations User Guide, "Tag policy syntax" and "AI services opt-out policy syntax".

use api_organizations::{
    EffectivePolicyType, EffectivePolicyValidationError, ListAccountsWithInvalidEffectivePolicyInput,
    ListAccountsWithInvalidEffectivePolicyOutput, ListEffectivePolicyValidationErrorsInput, ListEffectivePolicyValidationErrorsOutput,
};
use plane::{ApiError, Call};
use serde_json::Value as Json;

use crate::account;
use crate::effective_policy::effective;
use crate::error::OrganizationError;
use crate::organization::{self, Organization};
use crate::paged;
use crate::policy;
use crate::policy_type::PolicyKind;

/// One thing that is wrong, with the names of the members that lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    code: &'static str,
    message: String,
    path: Vec<String>,
}

/// What an element must be.
struct Element {
    /// Its name, at the end of a path of `depth` members.
    name: &'static str,
    depth: usize,
    /// Values that there are; empty: any.
    values: &'static [&'static str],
}

/// Elements that have one value, by kind of policy.
fn single_elements(kind: PolicyKind) -> &'static [Element] {
    match kind {
        PolicyKind::Tag => &[Element { name: "tag_key", depth: 3, values: &[] }],
        PolicyKind::AiServicesOptOut => &[Element { name: "opt_out_policy", depth: 3, values: &["optIn", "optOut"] }],
        _ => &[],
    }
}

/// Walks an effective policy and names what cannot be.
fn problems(kind: PolicyKind, effective: &Json) -> Vec<Problem> {
    let mut found = Vec::new();
    walk(single_elements(kind), effective, &mut Vec::new(), &mut found);
    found
}

fn walk(elements: &[Element], value: &Json, path: &mut Vec<String>, found: &mut Vec<Problem>) {
    if let Json::Object(members) = value {
        for (name, value) in members {
            path.push(name.clone());
            walk(elements, value, path, found);
            path.pop();
        }
        return;
    }
    let Some(name) = path.last() else { return };
    let Some(element) = elements.iter().find(|element| element.name == name && element.depth == path.len()) else { return };
    let values: Vec<&str> = match value {
        Json::Array(values) => values.iter().filter_map(Json::as_str).collect(),
        other => other.as_str().into_iter().collect(),
    };
    let problem = match values.as_slice() {
        [] => Some(("ELEMENTS_TOO_FEW", format!("The element {name} has no value left, and needs one."))),
        [value] if element.values.is_empty() || element.values.contains(value) => None,
        [value] => Some(("INVALID_VALUE", format!("The element {name} cannot have the value {value}."))),
        _ => Some(("ELEMENTS_TOO_MANY", format!("The element {name} has {} values, and may have one.", values.len()))),
    };
    if let Some((code, message)) = problem {
        found.push(Problem { code, message, path: path.clone() });
    }
}

/// Whether a policy's text says anything at a path.
fn speaks_of(content: &str, path: &[String]) -> bool {
    let Ok(policy) = serde_json::from_str::<Json>(content) else { return false };
    path.iter().try_fold(&policy, |value, name| value.get(name)).is_some()
}

async fn contributors(
    cx: &mut Call,
    organization: &Organization,
    kind: PolicyKind,
    account: &str,
    path: &[String],
) -> Result<Vec<String>, ApiError> {
    let mut found = Vec::new();
    for place in organization.lineage(account) {
        let ids: Vec<String> = organization.attached(&place).cloned().collect();
        for id in ids {
            let policy = policy::find(&mut cx.tx, organization, &id).await?.filter(|policy| policy.kind == kind);
            if policy.is_some_and(|policy| speaks_of(&policy.content, path)) && !found.contains(&id) {
                found.push(id);
            }
        }
    }
    Ok(found)
}

/// The organization, and a policy type that is enabled in it.
async fn enabled(cx: &mut Call, policy_type: &EffectivePolicyType) -> Result<(Organization, PolicyKind), ApiError> {
    let organization = organization::load(cx).await?;
    let kind = PolicyKind::from_effective(policy_type)?;
    if !organization.root.enabled.contains(&kind) {
        return Err(OrganizationError::EffectivePolicyNotFound.into());
    }
    Ok((organization, kind))
}

pub(crate) async fn list_accounts_with_invalid_effective_policy(
    cx: &mut Call,
    input: ListAccountsWithInvalidEffectivePolicyInput,
) -> Result<ListAccountsWithInvalidEffectivePolicyOutput, ApiError> {
    let (organization, kind) = enabled(cx, &input.policy_type).await?;
    let mut invalid = Vec::new();
    for (id, member) in &organization.accounts {
        let effective = effective(&mut cx.tx, &organization, kind, id).await?;
        if effective.is_some_and(|effective| !problems(kind, &effective).is_empty()) {
            invalid.push(account::describe(&organization, id, member));
        }
    }
    let place = |account: &api_organizations::Account| account.id.clone().unwrap_or_default();
    let page = paged::cut(cx, invalid, place, &input.policy_type.to_string(), input.next_token, input.max_results)?;
    Ok(ListAccountsWithInvalidEffectivePolicyOutput {
        accounts: Some(page.items),
        policy_type: Some(input.policy_type),
        next_token: page.next,
    })
}

pub(crate) async fn list_effective_policy_validation_errors(
    cx: &mut Call,
    input: ListEffectivePolicyValidationErrorsInput,
) -> Result<ListEffectivePolicyValidationErrorsOutput, ApiError> {
    let (organization, kind) = enabled(cx, &input.policy_type).await?;
    let id = input.account_id;
    if !organization.accounts.contains_key(&id) {
        return Err(OrganizationError::AccountNotFound.into());
    }
    let effective = effective(&mut cx.tx, &organization, kind, &id).await?.ok_or(OrganizationError::EffectivePolicyNotFound)?;
    let mut errors = Vec::new();
    for problem in problems(kind, &effective) {
        let contributing_policies = contributors(cx, &organization, kind, &id, &problem.path).await?;
        errors.push(EffectivePolicyValidationError {
            error_code: Some(problem.code.to_owned()),
            error_message: Some(problem.message),
            path_to_error: Some(format!("$.{}", problem.path.join("."))),
            contributing_policies: Some(contributing_policies),
        });
    }
    let place = |error: &EffectivePolicyValidationError| error.path_to_error.clone().unwrap_or_default();
    errors.sort_by_key(place);
    let filter = format!("{id} {}", input.policy_type);
    let page = paged::cut(cx, errors, place, &filter, input.next_token, input.max_results)?;
    Ok(ListEffectivePolicyValidationErrorsOutput {
        path: Some(format!("{}{id}/", organization.path(&id))),
        account_id: Some(id),
        policy_type: Some(input.policy_type),
        evaluation_timestamp: Some(cx.now),
        next_token: page.next,
        effective_policy_validation_errors: Some(page.items),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(kind: PolicyKind, effective: &Json) -> Vec<(&'static str, String)> {
        problems(kind, effective).into_iter().map(|problem| (problem.code, problem.path.join("."))).collect()
    }

    #[test]
    fn an_element_of_one_value_has_one() {
        let tags = |key: Json| json!({ "tags": { "cost": { "tag_key": key, "tag_value": ["100", "200"] } } });
        assert_eq!(codes(PolicyKind::Tag, &tags(json!("Cost"))), []);
        assert_eq!(codes(PolicyKind::Tag, &tags(json!(["Cost"]))), []);
        assert_eq!(codes(PolicyKind::Tag, &tags(json!(["Cost", "cost"]))), [("ELEMENTS_TOO_MANY", "tags.cost.tag_key".to_owned())]);
        assert_eq!(codes(PolicyKind::Tag, &tags(json!([]))), [("ELEMENTS_TOO_FEW", "tags.cost.tag_key".to_owned())]);
        // A tag may be called like an element.
        assert_eq!(codes(PolicyKind::Tag, &json!({ "tags": { "tag_key": { "tag_value": ["a", "b"] } } })), []);
    }

    #[test]
    fn one_opts_in_or_out() {
        let policy = |value: &str| json!({ "services": { "default": { "opt_out_policy": value } } });
        assert_eq!(codes(PolicyKind::AiServicesOptOut, &policy("optOut")), []);
        let path = "services.default.opt_out_policy".to_owned();
        assert_eq!(codes(PolicyKind::AiServicesOptOut, &policy("maybe")), [("INVALID_VALUE", path)]);
    }

    #[test]
    fn who_speaks_of_an_element() {
        let path = ["tags", "cost", "tag_key"].map(str::to_owned);
        assert!(speaks_of(r#"{"tags":{"cost":{"tag_key":{"@@append":["x"]}}}}"#, &path));
        assert!(!speaks_of(r#"{"tags":{"cost":{"tag_value":{"@@append":["x"]}}}}"#, &path));
    }
}
