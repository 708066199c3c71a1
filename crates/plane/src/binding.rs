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
    let present = |member: &str| at(input, member).into_iter().any(is_given);
    authorization.when_present.is_none_or(present) && authorization.when_absent.is_none_or(|member| !present(member))
}

/// Whether a member says something: an empty list or map does not, a list of structures (`Tags`) does.
fn is_given(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::List(items) => !items.is_empty(),
        Value::Map(entries) => !entries.is_empty(),
        _ => true,
    }
}

/// The values at a member path; a list on the way gives each item's.
fn at<'a>(input: &'a Value, path: &str) -> Vec<&'a Value> {
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
    level
}

/// Texts at a member path, as ARNs are filled with them.
fn values(input: &Value, path: &str) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for value in at(input, path) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use wire::Struct;

    fn structure(name: &'static str, value: Value) -> Value {
        let mut fields = Struct::new();
        fields.set(name, value);
        Value::Struct(fields)
    }

    #[test]
    fn a_list_of_structures_is_given_and_an_empty_list_is_not() {
        let tag = structure("TagKey", Value::Str("team".to_owned()));
        let given = |input: &Value| at(input, "Tags").into_iter().any(is_given);
        assert!(given(&structure("Tags", Value::List(vec![tag]))));
        assert!(!given(&structure("Tags", Value::List(Vec::new()))));
        assert!(!given(&structure("Other", Value::Bool(true))));
    }

    #[test]
    fn values_of_a_path_through_lists() {
        let items = ["a", "b"].map(|key| structure("Key", Value::Str(key.to_owned()))).to_vec();
        assert_eq!(values(&structure("Objects", Value::List(items)), "Objects.Key"), Some(vec!["a".to_owned(), "b".to_owned()]));
    }
}
