//! `bailiwick diff-access`: what a policy allows that another does not, over all requests.

use std::path::{Path, PathBuf};

use ::access::{Analysis, new_access, vocabulary};
use ::policy::{Policy, PolicyKind, ResourceKind};

use super::Failure;
use super::output::{self, Format};

/// How the documents are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum DocumentType {
    /// Attached to users, groups and roles.
    #[default]
    Identity,
    /// Attached to a resource.
    Resource,
    /// Of a role: who may assume it.
    Trust,
    /// Of a KMS key.
    Key,
    /// Service control policy.
    Scp,
    /// Resource control policy.
    Rcp,
}

impl DocumentType {
    pub fn kind(self) -> PolicyKind {
        match self {
            Self::Identity => PolicyKind::Identity,
            Self::Resource => PolicyKind::Resource(ResourceKind::Standard),
            Self::Trust => PolicyKind::Trust,
            Self::Key => PolicyKind::KeyPolicy,
            Self::Scp => PolicyKind::ServiceControl,
            Self::Rcp => PolicyKind::ResourceControl,
        }
    }
}

/// What a policy allows that another does not: exact, with a request that proves it.
///
/// Exit code 0 if the two allow the same, 3 if one allows more, 1 if it cannot be decided.
#[derive(clap::Args)]
pub struct DiffAccess {
    /// File of the policy as it is; `-` is standard input.
    old: PathBuf,
    /// File of the policy as it would be.
    new: PathBuf,
    /// How both are read.
    #[arg(long = "type", value_enum, default_value_t)]
    document_type: DocumentType,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Reads a policy from a file.
pub fn read(path: &Path, kind: PolicyKind) -> Result<Policy, Failure> {
    let text = read_text(path)?;
    let policy = Policy::parse_stored(&text, kind);
    match policy.problem() {
        None => Ok(policy),
        Some(problem) => Err(Failure::general(format!("the policy `{}` cannot be read: {problem}", path.display())).with_code(2)),
    }
}

/// The text of a file, or of standard input for `-`.
pub fn read_text(path: &Path) -> Result<String, Failure> {
    let read = if path == Path::new("-") { std::io::read_to_string(std::io::stdin()) } else { std::fs::read_to_string(path) };
    read.map_err(|error| Failure::general(format!("`{}` cannot be read: {error}", path.display())).with_code(2))
}

/// Names of all known actions, which witnesses prefer.
pub fn actions() -> Vec<String> {
    let all = vocabulary::services();
    all.iter().flat_map(|service| service.actions.iter().map(|action| format!("{}:{action}", service.prefix))).collect()
}

fn rows(label: &str, analysis: &Analysis) -> Vec<Vec<String>> {
    let found = analysis.findings.iter().map(|finding| {
        let witness = serde_json::to_value(&finding.witness).unwrap_or_default();
        let field = |name: &str| witness.get(name).and_then(|value| value.as_str()).unwrap_or("-").to_owned();
        let keys = finding.witness.context.iter().map(|(key, values)| format!("{key}={}", values.join("|")));
        vec![
            label.to_owned(),
            finding.sid.clone().unwrap_or_else(|| finding.statement.to_string()),
            field("principal"),
            field("action"),
            field("resource"),
            keys.collect::<Vec<_>>().join(" "),
        ]
    });
    let undecided = analysis.undecided.iter().map(|undecided| {
        let dash = || "-".to_owned();
        vec!["unknown".to_owned(), undecided.statement.to_string(), dash(), dash(), dash(), undecided.reason.to_owned()]
    });
    found.chain(undecided).collect()
}

impl DiffAccess {
    pub fn run(self) -> Result<(), Failure> {
        let kind = self.document_type.kind();
        let (old, new) = (read(&self.old, kind)?, read(&self.new, kind)?);
        let actions = actions();
        let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
        let gained = new_access(&new, &old, &actions);
        let lost = new_access(&old, &new, &actions);
        let rows: Vec<Vec<String>> = rows("gained", &gained).into_iter().chain(rows("lost", &lost)).collect();
        output::rows(self.output, &["access", "statement", "principal", "action", "resource", "condition keys"], &rows)?;
        let quiet = |code: u8| Err(Failure::general(String::new()).with_code(code));
        match (gained.findings.is_empty() && lost.findings.is_empty(), rows.is_empty()) {
            (false, _) => quiet(3),
            (true, false) => quiet(1),
            (true, true) => Ok(()),
        }
    }
}
