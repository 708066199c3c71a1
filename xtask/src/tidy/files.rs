//! Rules of the tracked files: size, names, text that must not be there.

use std::path::Path;
use std::process::Command;

use crate::process;

/// Longest file that is kept by hand.
const LINES_MAX: usize = 900;
/// Files whose text is looked at.
const TEXT: [&str; 14] = ["rs", "py", "md", "toml", "sh", "json", "js", "ts", "css", "html", "yml", "yaml", "txt", "cfg"];
/// Names that say nothing.
const BANNED_NAMES: [&str; 8] = ["util", "utils", "helper", "helpers", "misc", "common", "stuff", "shared"];
/// Notes of unfinished work; they belong in an issue. Spelled in two parts, so that this file passes.
const UNFINISHED: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
/// Places of the machine that a file was written on, and hosts of package registries: the clients' settings name those.
const PLACES: [&str; 9] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("registry.", "npmjs.org"),
    concat!("proxy.", "golang.org"),
];

/// Checks every tracked file; gives their number.
pub(super) fn check(root: &Path, findings: &mut Vec<String>) -> Result<usize, String> {
    let listed =
        process::output(Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root))?;
    let paths: Vec<&str> = listed.split('\0').filter(|path| !path.is_empty()).collect();
    for path in &paths {
        check_name(path, findings);
        // A file that is deleted and not yet committed has no text.
        let Ok(bytes) = std::fs::read(root.join(path)) else { continue };
        if is_text(path)
            && let Ok(text) = std::str::from_utf8(&bytes)
        {
            check_text(path, text, findings);
        }
    }
    Ok(paths.len())
}

fn is_text(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').is_none_or(|(_, extension)| TEXT.contains(&extension))
}

/// Written by `cargo xtask codegen`, or data: of others that tests read, texts that detectors learn from, what they learnt.
fn is_generated(path: &str) -> bool {
    (path.starts_with("facts/") && path.rsplit('.').next() == Some("json"))
        || path.starts_with("crates/api-")
        || path.contains("/tests/it/data/")
        || path.starts_with("crates/guard-train/grammar/")
        || path.starts_with("crates/guard-train/dev/")
        || path.starts_with("crates/guard/weights/")
}

fn check_name(path: &str, findings: &mut Vec<String>) {
    for part in path.split('/') {
        let stem = part.split('.').next().unwrap_or(part);
        if BANNED_NAMES.contains(&stem) {
            findings.push(format!("{path}: the name `{stem}` says nothing of what is in it"));
        }
    }
}

fn check_text(path: &str, text: &str, findings: &mut Vec<String>) {
    let lines = text.lines().count();
    if lines > LINES_MAX && !is_generated(path) {
        findings.push(format!("{path}: {lines} lines, at most {LINES_MAX}: split it by resource or rule"));
    }
    if is_crate_root(path) && !text.starts_with("//!") {
        findings.push(format!("{path}: a crate opens with what it is for (`//!`)"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        for place in PLACES.iter().filter(|place| stands_alone(line, place)) {
            findings.push(format!("{path}:{number}: `{place}` is a place of one machine or registry"));
        }
        for mark in UNFINISHED.iter().filter(|mark| line.contains(*mark) && !is_generated(path)) {
            findings.push(format!("{path}:{number}: `{mark}` in a source; finish it or open an issue"));
        }
    }
}

/// The place begins a path or a host, and is not the end of a longer one (`/network/`, `s3/work/`).
fn stands_alone(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !place.starts_with('/')
            || before.is_none_or(|character| !character.is_alphanumeric() && !matches!(character, '/' | '.' | '}' | ':' | '-' | '_'))
    })
}

fn is_crate_root(path: &str) -> bool {
    path.ends_with("src/lib.rs") || path.ends_with("src/main.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        check_name(path, &mut found);
        check_text(path, text, &mut found);
        found
    }

    #[test]
    fn a_good_file_has_no_findings() {
        assert_eq!(findings("crates/wire/src/lib.rs", "//! Codecs.\n"), Vec::<String>::new());
        assert_eq!(findings("a/b.md", concat!("arn:aws:iam::1:role/wo", "rk/x and s3://b/wo", "rk/")), Vec::<String>::new());
    }

    #[test]
    fn every_rule_finds() {
        assert_eq!(findings("crates/a/src/utils.rs", "").len(), 1);
        assert_eq!(findings("crates/helpers/src/lib.rs", "fn a() {}").len(), 2);
        assert_eq!(findings("a.rs", &"x\n".repeat(901)).len(), 1);
        assert_eq!(findings("a.rs", concat!("// TO", "DO later")).len(), 1);
        assert_eq!(findings("a.py", concat!("open('/wo", "rk/x')")).len(), 1);
        assert_eq!(findings("a.toml", concat!("url = \"https://pypi", ".org\"")).len(), 1);
    }
}
