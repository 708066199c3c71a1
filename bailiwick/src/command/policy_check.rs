//! `bailiwick policy validate` and `bailiwick policy check`: Access Analyzer's checks without a server.

use std::path::PathBuf;

use ::access::validation::{Severity, ValidatedType, validate};
use ::access::{Analysis, granted_access, new_access, public_access};

use super::Failure;
use super::diff_access::{self, DocumentType};
use super::output::{self, Format};
use super::report::{self, Outcome};

/// How findings are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    #[default]
    Table,
    Json,
    Yaml,
    Csv,
    /// For code scanners.
    Sarif,
    /// For test runners.
    Junit,
}

impl Form {
    fn plain(self) -> Option<Format> {
        match self {
            Self::Table => Some(Format::Table),
            Self::Json => Some(Format::Json),
            Self::Yaml => Some(Format::Yaml),
            Self::Csv => Some(Format::Csv),
            Self::Sarif | Self::Junit => None,
        }
    }

    /// Prints outcomes, plain forms as rows.
    pub fn print(self, headers: &[&str], rows: &[Vec<String>], outcomes: &[Outcome]) -> Result<(), Failure> {
        match (self.plain(), self) {
            (Some(format), _) => output::rows(format, headers, rows),
            (None, Self::Sarif) => output::document(Format::Json, &report::sarif(outcomes)),
            (None, _) => output::line(report::junit(outcomes).trim_end()),
        }
    }
}

/// Look for errors, risks and needless parts in policies.
///
/// Exit code 0 without errors and security warnings, 3 with one, 2 if a file cannot be read.
#[derive(clap::Args)]
pub struct Validate {
    /// Policy files; `-` is standard input.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What the policies are attached to.
    #[arg(long = "type", value_enum, default_value_t)]
    document_type: DocumentType,
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

impl Validate {
    pub fn run(self) -> Result<(), Failure> {
        let kind = match self.document_type {
            DocumentType::Identity => ValidatedType::Identity,
            DocumentType::Resource | DocumentType::Key => ValidatedType::Resource,
            DocumentType::Trust => ValidatedType::Trust,
            DocumentType::Scp => ValidatedType::ServiceControl,
            DocumentType::Rcp => ValidatedType::ResourceControl,
        };
        let (mut rows, mut outcomes, mut bad) = (Vec::new(), Vec::new(), false);
        for file in &self.files {
            let name = file.display().to_string();
            let issues = validate(&diff_access::read_text(file)?, kind);
            if issues.is_empty() {
                outcomes.push(Outcome { file: name.clone(), name: "valid".to_owned(), problem: None, level: "note", line: None });
            }
            for issue in issues {
                bad |= matches!(issue.severity, Severity::Error | Severity::SecurityWarning);
                let at = issue.span.start;
                rows.push(vec![
                    format!("{name}:{}:{}", at.line, at.column),
                    issue.severity.name().to_owned(),
                    issue.code.to_owned(),
                    issue.details.clone(),
                ]);
                let level = match issue.severity {
                    Severity::Error => "error",
                    Severity::SecurityWarning | Severity::Warning => "warning",
                    Severity::Suggestion => "note",
                };
                outcomes.push(Outcome {
                    file: name.clone(),
                    name: issue.code.to_owned(),
                    problem: Some(issue.details),
                    level,
                    line: Some(at.line),
                });
            }
        }
        self.output.print(&["place", "type", "code", "details"], &rows, &outcomes)?;
        if bad { Err(Failure::general(String::new()).with_code(3)) } else { Ok(()) }
    }
}

/// Prove that a policy does not give some access.
///
/// Exit code 0 if it is proved (PASS), 3 if it is refuted (FAIL), 1 if it cannot be decided, 2 if a file cannot be read.
#[derive(clap::Subcommand)]
pub enum Check {
    /// The new policy allows nothing that the old one does not.
    NewAccess {
        /// File of the policy as it would be.
        new: PathBuf,
        /// File of the policy as it is.
        old: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// The policy allows none of the actions on any of the resources.
    Granted {
        /// File of the policy.
        policy: PathBuf,
        /// An action, wildcards allowed; repeatable.
        #[arg(long = "action")]
        actions: Vec<String>,
        /// A resource, wildcards allowed; repeatable.
        #[arg(long = "resource")]
        resources: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// The policy lets no strangers in.
    Public {
        /// File of the resource's policy.
        policy: PathBuf,
        #[command(flatten)]
        how: How,
    },
}

/// How a check reads and prints.
#[derive(clap::Args)]
pub struct How {
    /// How the documents are read.
    #[arg(long = "type", value_enum, default_value_t)]
    document_type: DocumentType,
    #[arg(short, long, value_enum, default_value_t)]
    output: Form,
}

impl Check {
    pub fn run(self) -> Result<(), Failure> {
        let actions = diff_access::actions();
        let known: Vec<&str> = actions.iter().map(String::as_str).collect();
        let (file, how, analysis) = match self {
            Self::NewAccess { new, old, how } => {
                let kind = how.document_type.kind();
                let analysis = new_access(&diff_access::read(&new, kind)?, &diff_access::read(&old, kind)?, &known);
                (new, how, analysis)
            }
            Self::Granted { policy, actions, resources, how } => {
                if actions.is_empty() && resources.is_empty() {
                    return Err(Failure::general("give an `--action` or a `--resource`").with_code(2));
                }
                let read = diff_access::read(&policy, how.document_type.kind())?;
                let refs = |list: &'_ [String]| -> Vec<String> { list.to_vec() };
                let (actions, resources) = (refs(&actions), refs(&resources));
                let wanted_actions: Vec<&str> = actions.iter().map(String::as_str).collect();
                let wanted_resources: Vec<&str> = resources.iter().map(String::as_str).collect();
                (policy, how, granted_access(&read, &wanted_actions, &wanted_resources, &known))
            }
            Self::Public { policy, how } => {
                let document_type = if how.document_type == DocumentType::Identity { DocumentType::Resource } else { how.document_type };
                let read = diff_access::read(&policy, document_type.kind())?;
                (policy, how, public_access(&read, &known))
            }
        };
        report_analysis(&file.display().to_string(), how.output, &analysis)
    }
}

fn report_analysis(file: &str, form: Form, analysis: &Analysis) -> Result<(), Failure> {
    let mut rows = Vec::new();
    let mut outcomes = Vec::new();
    for finding in &analysis.findings {
        let witness = serde_json::to_string(&finding.witness).unwrap_or_default();
        rows.push(vec!["FAIL".to_owned(), finding.statement.to_string(), witness.clone()]);
        let problem = Some(format!("statement {} allows {witness}", finding.statement));
        outcomes.push(Outcome { file: file.to_owned(), name: "access".to_owned(), problem, level: "error", line: None });
    }
    for undecided in &analysis.undecided {
        rows.push(vec!["UNKNOWN".to_owned(), undecided.statement.to_string(), undecided.reason.to_owned()]);
        let problem = Some(format!("statement {} cannot be decided: {}", undecided.statement, undecided.reason));
        outcomes.push(Outcome { file: file.to_owned(), name: "undecided".to_owned(), problem, level: "warning", line: None });
    }
    if analysis.is_clear() {
        rows.push(vec!["PASS".to_owned(), "-".to_owned(), "-".to_owned()]);
        outcomes.push(Outcome { file: file.to_owned(), name: "access".to_owned(), problem: None, level: "note", line: None });
    }
    form.print(&["result", "statement", "request"], &rows, &outcomes)?;
    let quiet = |code: u8| Err(Failure::general(String::new()).with_code(code));
    match (analysis.findings.is_empty(), analysis.undecided.is_empty()) {
        (false, _) => quiet(3),
        (true, false) => quiet(1),
        (true, true) => Ok(()),
    }
}
