//! Tag policies of an organization: which tags a call may not set.
//!
//! A tag policy says nothing about tags that are absent, and nothing about resources whose types it is not enforced for.
//!
//! Source: Organizations User Guide, "Tag policy syntax and examples" and "Enforce tagging consistency".

use policy::Glob;
use serde_json::Value as Json;

use crate::call::Call;
use crate::error::ApiError;

/// The code where the operation's model names none of its own, as SNS and RAM do. From memory of what EC2 answers; not verified against AWS.
const CODE: &str = "TagPolicyViolation";
/// Words that stand for all resource types of a service.
const ALL: [&str; 2] = ["*", "ALL_SUPPORTED"];

/// Refuses tags that the effective policy of the caller's account does not let be set on the resources of the call.
pub(crate) async fn check(call: &Call, tags: &[(String, String)]) -> Result<(), ApiError> {
    if tags.is_empty() || !call.via.is_empty() {
        return Ok(());
    }
    let Some(view) = call.plane.organization(&call.account).await? else { return Ok(()) };
    let Some(policy) = view.tag_policies.get(&call.account) else { return Ok(()) };
    let types = resource_types(call);
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    match violation(policy, call.service.head.iam_prefix, &types, tags) {
        Some(message) => Err(ApiError::new(code(call.service, call.operation), message).with_status(400)),
        None => Ok(()),
    }
}

fn code(service: &'static facts::Service, operation: &'static facts::Operation) -> &'static str {
    let mut names = operation.errors.iter().map(|id| service.shape(*id).name);
    names.find(|name| name.starts_with("TagPolicy")).unwrap_or(CODE)
}

/// Types of the resources that the operation tags: those of its action, or what it is called after (`CreateKey`).
fn resource_types(call: &Call) -> Vec<String> {
    let operation = call.operation;
    let named = operation.authorizations.iter().flat_map(|authorization| authorization.resources.iter());
    let mut types: Vec<String> = named.map(|resource| resource.resource_type.to_lowercase()).collect();
    if types.is_empty()
        && let Some(noun) = operation.name.strip_prefix("Create")
    {
        types.push(noun.to_lowercase());
    }
    types
}

/// One text, or the texts of a list.
fn texts(value: Option<&Json>) -> Vec<&str> {
    match value {
        Some(Json::String(text)) => vec![text],
        Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is_enforced(rule: &Json, service: &str, types: &[&str]) -> bool {
    texts(rule.get("enforced_for")).iter().filter_map(|target| target.split_once(':')).any(|(prefix, resource_type)| {
        prefix == service && (ALL.contains(&resource_type) || types.iter().any(|known| known.eq_ignore_ascii_case(resource_type)))
    })
}

/// What the first tag that is not allowed is told.
fn violation(policy: &Json, service: &str, types: &[&str], tags: &[(String, String)]) -> Option<String> {
    let rules = policy.get("tags").and_then(Json::as_object)?;
    for (name, rule) in rules.iter().filter(|(_, rule)| is_enforced(rule, service, types)) {
        let keys = texts(rule.get("tag_key"));
        let spelled = keys.first().copied().unwrap_or(name);
        let values = rule.get("tag_value").map(|values| texts(Some(values)));
        for (key, value) in tags.iter().filter(|(key, _)| key.eq_ignore_ascii_case(spelled)) {
            if key != spelled {
                return Some(format!("The tag policy does not allow the specified capitalization of the following tag key: '{key}'."));
            }
            if values.as_ref().is_some_and(|values| !values.iter().any(|allowed| Glob::new(allowed).matches(value))) {
                return Some(format!("The tag policy does not allow the specified value for the following tag key: '{key}'."));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn says(rule: &Json, tags: &[(&str, &str)]) -> Option<String> {
        let tags: Vec<(String, String)> = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        violation(&json!({ "tags": { "cost": rule } }), "kms", &["key"], &tags)
    }

    #[test]
    fn values_and_capitalization_of_enforced_types() {
        let rule = json!({ "tag_key": "Cost", "tag_value": ["100", "2*"], "enforced_for": ["kms:key"] });
        for good in [&[][..], &[("other", "x")], &[("Cost", "100")], &[("Cost", "23")]] {
            assert_eq!(says(&rule, good), None, "{good:?}");
        }
        assert!(says(&rule, &[("Cost", "300")]).unwrap().contains("value"));
        assert!(says(&rule, &[("cost", "100")]).unwrap().contains("capitalization"));
    }

    #[test]
    fn the_code_is_the_operations_own_where_it_has_one() {
        let code_of = |service: &str, operation: &str| {
            let service = facts::catalog().service(service).unwrap();
            code(service, service.operation(operation).unwrap())
        };
        assert_eq!(code_of("sns", "CreateTopic"), "TagPolicyException");
        assert_eq!(code_of("kms", "CreateKey"), CODE);
    }

    #[test]
    fn what_is_not_enforced_is_advice() {
        let rule = |enforced: Json| json!({ "tag_key": "Cost", "tag_value": ["1"], "enforced_for": enforced });
        let wrong = [("Cost", "2")];
        for elsewhere in [json!([]), json!(["s3:*"]), json!(["kms:alias"]), json!("kms")] {
            assert_eq!(says(&rule(elsewhere), &wrong), None);
        }
        for here in [json!(["kms:*"]), json!(["kms:ALL_SUPPORTED"]), json!("kms:key")] {
            assert!(says(&rule(here), &wrong).is_some());
        }
        assert_eq!(says(&json!({ "tag_key": "Cost", "enforced_for": ["kms:key"] }), &[("Cost", "any")]), None);
        assert!(says(&json!({ "enforced_for": ["kms:key"] }), &[("COST", "any")]).is_some(), "the rule's own name is the key");
    }
}
