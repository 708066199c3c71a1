//! What has no attribute of its own, flattened: `requestParameters.tags[].key` to the values, joined by commas.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

/// Nesting that is flattened; deeper values stand as JSON.
const DEPTH_MAX: usize = 32;

/// Flattens a record without the members at `mapped`, which are dotted paths as the result has them.
pub(crate) fn flatten(record: &Json, mapped: &[&str]) -> Map<String, Json> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    walk(record, String::new(), mapped, DEPTH_MAX, &mut found);
    found.into_iter().map(|(path, values)| (path, Json::String(values.join(",")))).collect()
}

fn walk(value: &Json, path: String, mapped: &[&str], depth: usize, found: &mut BTreeMap<String, Vec<String>>) {
    if mapped.contains(&path.as_str()) {
        return;
    }
    match value {
        Json::Null => {}
        Json::Object(members) if depth > 0 => {
            for (name, value) in members {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                walk(value, path, mapped, depth - 1, found);
            }
        }
        Json::Array(items) if depth > 0 => {
            for item in items {
                walk(item, format!("{path}[]"), mapped, depth - 1, found);
            }
        }
        Json::String(text) => found.entry(path).or_default().push(text.clone()),
        other => found.entry(path).or_default().push(other.to_string()),
    }
}
