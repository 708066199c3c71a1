//! Every condition key of the facts is given by somebody, or listed as given by nobody.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// `key reason` a line; may only shrink.
const LIST: &str = "crates/plane/unprovided_condition_keys.txt";
/// Where keys are given: the engine derives some, the plane and the services give the others.
const SOURCES: [&str; 3] = ["crates/policy/src", "crates/plane/src", "services"];

/// Checks the list against facts and sources.
pub(super) fn check(root: &Path, findings: &mut Vec<String>) -> Result<(), String> {
    let keys = keys(root)?;
    let mut sources = String::new();
    for folder in SOURCES {
        read_all(&root.join(folder), &mut sources)?;
    }
    let sources = sources.to_lowercase();
    let listed: BTreeSet<String> = read(&root.join(LIST))?.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    for key in &keys {
        match (is_given(key, &sources), listed.contains(key)) {
            (true, true) => findings.push(format!("{LIST}: `{key}` is given now; take it off the list")),
            (false, false) => findings.push(format!("the condition key `{key}` is given by nobody and not in {LIST}")),
            _ => {}
        }
    }
    findings.extend(listed.difference(&keys).map(|key| format!("{LIST}: no action has the condition key `{key}`")));
    Ok(())
}

/// Keys of services in the facts; global ones are the plane's.
fn keys(root: &Path) -> Result<BTreeSet<String>, String> {
    let mut keys = BTreeSet::new();
    for path in files(&root.join("facts"), "json")? {
        let facts: serde_json::Value = serde_json::from_str(&read(&path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        let lists = facts.get("condition_keys").and_then(serde_json::Value::as_object);
        let named = lists.into_iter().flatten().filter_map(|(_, list)| list.as_array()).flatten().filter_map(serde_json::Value::as_str);
        keys.extend(named.filter(|key| !key.starts_with("aws:")).map(|key| key.replace(' ', "")));
    }
    Ok(keys)
}

/// Whether the name stands in a source; of a family of keys (`kms:EncryptionContext:${…}`) what is before the variable.
fn is_given(key: &str, sources: &str) -> bool {
    let lower = key.to_lowercase();
    if lower.contains(":resourcetag/") {
        // The engine derives these for every service.
        return true;
    }
    let fixed = lower.split(['$', '<']).next().unwrap_or_default();
    let (quoted, family) = (format!("\"{fixed}\""), format!("\"{fixed}"));
    if fixed == lower { sources.contains(&quoted) } else { sources.contains(&family) || sources.contains(fixed) }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn files(folder: &Path, ending: &str) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    Ok(paths.filter(|path| path.extension().is_some_and(|found| found == ending)).collect())
}

fn read_all(folder: &Path, text: &mut String) -> Result<(), String> {
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        if path.is_dir() {
            read_all(&path, text)?;
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&read(&path)?);
        }
    }
    Ok(())
}
