//! Rules of the packages that we depend on: licences, and no package in two versions beyond a list that may only shrink.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::licence;
use crate::process;

/// The platform whose packages count; other platforms' packages are never built here.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// The rules, from `deny.toml`, which `cargo deny` reads as well.
struct Rules {
    licences: Vec<String>,
    /// Licences of single packages.
    exceptions: Vec<(String, Vec<String>)>,
    /// Packages that may be there in another version too.
    duplicates: BTreeSet<(String, String)>,
}

/// Checks the packages; gives their number.
pub(super) fn check(root: &Path, findings: &mut Vec<String>) -> Result<usize, String> {
    let rules = rules(root)?;
    // Not `cargo metadata`, which also lists packages behind features that nobody turns on.
    let tree = [
        "tree",
        "--workspace",
        "--locked",
        "--target",
        PLATFORM,
        "--edges",
        "normal,build,dev",
        "--prefix",
        "none",
        "--format",
        "{p}\t{l}",
    ];
    let listed = process::output(process::cargo().args(tree))?;
    let packages: BTreeSet<Package> = listed.lines().filter_map(package).collect();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &packages {
        versions.entry(package.name).or_default().insert(package.version);
        check_licence(package, &rules, findings);
    }
    check_duplicates(&versions, &rules, findings);
    Ok(packages.len())
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Package<'a> {
    name: &'a str,
    version: &'a str,
    licence: &'a str,
}

/// Reads `NAME vVERSION (PLACE)<tab>LICENCE (*)`.
fn package(line: &str) -> Option<Package<'_>> {
    let (place, licence) = line.split_once('\t')?;
    let mut words = place.split_whitespace();
    Some(Package { name: words.next()?, version: words.next()?.strip_prefix('v')?, licence: licence.trim_end_matches("(*)").trim() })
}

fn rules(root: &Path) -> Result<Rules, String> {
    let path = root.join("deny.toml");
    let file = std::fs::read_to_string(&path).map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    let rules: toml::Table = file.parse().map_err(|error| format!("`deny.toml` is not valid: {error}"))?;
    let list = |table: &str, name: &str| {
        rules.get(table).and_then(|table| table.get(name)).and_then(toml::Value::as_array).cloned().unwrap_or_default()
    };
    let field = |entry: &toml::Value, name: &str| entry.get(name).and_then(toml::Value::as_str).unwrap_or_default().to_owned();
    let texts = |list: &[toml::Value]| list.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect::<Vec<_>>();
    Ok(Rules {
        licences: texts(&list("licenses", "allow")),
        exceptions: list("licenses", "exceptions")
            .iter()
            .map(|entry| {
                (field(entry, "crate"), entry.get("allow").and_then(toml::Value::as_array).map(|list| texts(list)).unwrap_or_default())
            })
            .collect(),
        duplicates: list("bans", "skip")
            .iter()
            .filter_map(|entry| field(entry, "crate").split_once('@').map(|(name, version)| (name.to_owned(), version.to_owned())))
            .collect(),
    })
}

fn check_licence(package: &Package<'_>, rules: &Rules, findings: &mut Vec<String>) {
    let Package { name, licence: expression, .. } = package;
    let excepted = rules.exceptions.iter().find(|(of, _)| of == *name).map(|(_, licences)| licences.clone()).unwrap_or_default();
    let allowed: Vec<String> = rules.licences.iter().cloned().chain(excepted).collect();
    if !licence::is_satisfied(expression, &allowed) {
        findings.push(format!("package `{name}`: the licence `{expression}` is not in `deny.toml`"));
    }
}

/// With each listed version away, every package has one version; and each listed one is still there.
fn check_duplicates(versions: &BTreeMap<&str, BTreeSet<&str>>, rules: &Rules, findings: &mut Vec<String>) {
    for (name, versions) in versions {
        let counted: Vec<&str> =
            versions.iter().filter(|version| !rules.duplicates.contains(&((*name).to_owned(), (**version).to_owned()))).copied().collect();
        if counted.len() > 1 {
            findings.push(format!(
                "package `{name}` is there in the versions {}: unify them, or list one in `deny.toml` with the reason",
                counted.join(", ")
            ));
        }
    }
    for (name, version) in &rules.duplicates {
        let there = versions.get(name.as_str());
        if !there.is_some_and(|versions| versions.len() > 1 && versions.contains(version.as_str())) {
            findings.push(format!("`deny.toml` lists the duplicate `{name}@{version}`, which is none any more: take it out"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_tree() {
        let read = package("clap_derive v4.6.1 (proc-macro)\tMIT OR Apache-2.0 (*)").unwrap();
        assert_eq!((read.name, read.version, read.licence), ("clap_derive", "4.6.1", "MIT OR Apache-2.0"));
        assert!(package("").is_none());
    }

    #[test]
    fn duplicates_must_be_listed_and_listed_ones_must_be_there() {
        let versions = BTreeMap::from([("a", BTreeSet::from(["1.0.0", "2.0.0"])), ("b", BTreeSet::from(["1.0.0"]))]);
        let listed = |duplicates: &[(&str, &str)]| Rules {
            licences: Vec::new(),
            exceptions: Vec::new(),
            duplicates: duplicates.iter().map(|(name, version)| ((*name).to_owned(), (*version).to_owned())).collect(),
        };
        let count = |rules: &Rules| {
            let mut findings = Vec::new();
            check_duplicates(&versions, rules, &mut findings);
            findings.len()
        };
        assert_eq!(count(&listed(&[])), 1);
        assert_eq!(count(&listed(&[("a", "1.0.0")])), 0);
        assert_eq!(count(&listed(&[("a", "1.0.0"), ("b", "1.0.0")])), 1);
    }
}
