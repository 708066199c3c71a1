//! The mechanical rule: from the facts of an operation and its input to the actions and ARNs that must be allowed.

use facts::{Authorization, Place};
use wire::Value;

use crate::call::Call;
use crate::error::ApiError;
use crate::service::Target;

/// What must be allowed for this input: at least one target for each authorization that applies.
///
/// # Errors
/// When the input names more resources than a call may.
pub(crate) fn targets(call: &Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let place = Place { partition: crate::PARTITION, region: &call.region, account: &call.account };
    let mut targets = Vec::new();
    for authorization in call.operation.authorizations.iter().filter(|authorization| applies(authorization, input)) {
        let found = authorization.targets(place, &|path| values(input, path).unwrap_or_default());
        let found = found.ok_or_else(|| ApiError::new("ValidationException", "the request names too many resources"))?;
        let action = || authorization.action.to_owned();
        if found.is_empty() {
            targets.push(Target { action: action(), resource_arn: "*".to_owned() });
        }
        targets.extend(found.into_iter().map(|target| Target { action: action(), resource_arn: target.arn }));
    }
    Ok(targets)
}

/// Whether the input member that the authorization hangs on is there (or not there).
fn applies(authorization: &Authorization, input: &Value) -> bool {
    let present = |member: &str| values(input, member).is_some_and(|values| !values.is_empty());
    authorization.when_present.is_none_or(present) && authorization.when_absent.is_none_or(|member| !present(member))
}

/// Values behind a member path; a list on the way gives each item's.
fn values(input: &Value, path: &str) -> Option<Vec<String>> {
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
