//! The mechanical rule: from the facts of an operation and its input to the actions and ARNs that must be allowed.

use std::borrow::Cow;

use facts::{Authorization, ResourceBinding};
use wire::Value;

use crate::call::Call;
use crate::service::Target;

/// Most targets of one call; a batch beyond it is refused by its own limits long before.
const TARGETS: usize = 10_000;

/// What must be allowed for this input. Each authorization gives at least one target.
pub(crate) fn targets(call: &Call, input: &Value) -> Vec<Target> {
    let mut targets = Vec::new();
    for authorization in &call.operation.authorizations {
        if !applies(authorization, input) {
            continue;
        }
        let before = targets.len();
        for resource in &authorization.resources {
            for arn in arns(call, resource, input) {
                if targets.len() < TARGETS {
                    targets.push(Target { action: authorization.action.to_owned(), resource_arn: arn });
                }
            }
        }
        if targets.len() == before {
            targets.push(Target { action: authorization.action.to_owned(), resource_arn: "*".to_owned() });
        }
    }
    targets
}

/// Whether the input member that the authorization hangs on is there (or not there).
pub(crate) fn applies(authorization: &Authorization, input: &Value) -> bool {
    let present = |member: &str| values(input, member).is_some_and(|values| !values.is_empty());
    authorization.when_present.is_none_or(present) && authorization.when_absent.is_none_or(|member| !present(member))
}

/// ARNs of one resource type. A required type always gives one (with `*` for what the input does not name); an optional one only when
/// the input names it.
fn arns(call: &Call, resource: &ResourceBinding, input: &Value) -> Vec<String> {
    let mut combinations: Vec<Vec<(&'static str, String)>> = vec![Vec::new()];
    for binding in &resource.variables {
        let found = if binding.member.is_empty() { None } else { values(input, binding.member) };
        let found = match found {
            Some(found) if !found.is_empty() => found,
            _ if resource.required => vec!["*".to_owned()],
            _ => return Vec::new(),
        };
        if binding.may_be_arn && found.iter().any(|value| value.starts_with("arn:")) {
            // The member is the resource itself.
            return found.into_iter().filter(|value| resource.arn.matches(value) || value == "*").collect();
        }
        combinations = combinations
            .into_iter()
            .flat_map(|chosen| found.iter().map(move |value| [chosen.clone(), vec![(binding.variable, value.clone())]].concat()))
            .take(TARGETS)
            .collect();
    }
    combinations.into_iter().map(|chosen| fill(call, resource, &chosen)).collect()
}

fn fill(call: &Call, resource: &ResourceBinding, chosen: &[(&'static str, String)]) -> String {
    resource.arn.fill(|variable| match variable {
        "Partition" => Cow::Borrowed(crate::PARTITION),
        "Region" | "PrimaryRegion" => Cow::Owned(call.region.clone()),
        "Account" | "AccountId" => Cow::Owned(call.account.clone()),
        other => chosen.iter().find(|(name, _)| *name == other).map_or(Cow::Borrowed("*"), |(_, value)| Cow::Owned(value.clone())),
    })
}

/// Values behind a member path; a list on the way gives each item's. `A+B` joins two members (`Path+UserName`).
fn values(input: &Value, path: &str) -> Option<Vec<String>> {
    if let Some((first, second)) = path.split_once('+') {
        let first = values(input, first).and_then(|values| values.into_iter().next()).unwrap_or_default();
        let second = values(input, second)?.into_iter().next()?;
        return Some(vec![format!("{}{second}", first.trim_start_matches('/'))]);
    }
    let mut level = vec![input];
    for name in path.split('.') {
        let mut next = Vec::new();
        for value in level {
            match value {
                Value::List(items) => next.extend(items.iter().filter_map(|item| item.member(name))),
                other => next.extend(other.member(name)),
            }
        }
        level = next;
    }
    let mut found = Vec::new();
    for value in level {
        match value {
            Value::List(items) => found.extend(items.iter().filter_map(text)),
            Value::Map(entries) => found.extend(entries.iter().map(|(key, _)| key.clone())),
            other => found.extend(text(other).or_else(|| matches!(other, Value::Struct(_)).then(String::new))),
        }
    }
    (!found.is_empty()).then_some(found)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Str(text) => Some(text.clone()),
        Value::Int(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// Tags in the input, by the facts' path: a list of `{Key, Value}` structures (whatever their case) or a map.
pub(crate) fn request_tags(input: &Value, path: &str) -> Option<Vec<(String, String)>> {
    match input.path(path)? {
        Value::Map(entries) => Some(entries.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()),
        Value::List(items) => Some(items.iter().filter_map(tag).collect()),
        _ => None,
    }
}

fn tag(item: &Value) -> Option<(String, String)> {
    let fields = item.as_struct()?;
    let member = |names: [&str; 3]| names.iter().find_map(|name| fields.get(name)).and_then(text);
    Some((member(["Key", "TagKey", "key"])?, member(["Value", "TagValue", "value"]).unwrap_or_default()))
}

/// Tag keys that the input wants to remove.
pub(crate) fn tag_keys(input: &Value, path: &str) -> Vec<String> {
    values(input, path).unwrap_or_default()
}
