//! What is wrong, risky or needless in a policy document: the checks of Access Analyzer's ValidatePolicy.
//!
//! Source: IAM User Guide, "Access Analyzer policy check reference": which code, which type and which text. The checks of
//! SCPs that forbid conditions, `NotAction` and `NotResource` in an Allow are left out: Organizations has lifted those limits.

mod condition;
mod element;
mod resource;
mod statement;
mod variable;

use policy::{Json, Node, Position, Span};

/// The kind of policy that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValidatedType {
    /// Attached to users, groups and roles.
    Identity,
    /// Attached to a resource.
    Resource,
    /// A role's trust policy.
    Trust,
    /// A bucket policy.
    Bucket,
    /// A service control policy.
    ServiceControl,
    /// A resource control policy.
    ResourceControl,
}

impl ValidatedType {
    fn has_principal(self) -> bool {
        matches!(self, Self::Resource | Self::Trust | Self::Bucket | Self::ResourceControl)
    }
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policy does not work.
    Error,
    /// The policy allows what its author may not want.
    SecurityWarning,
    /// The policy may not do what it seems to.
    Warning,
    /// The policy can be simpler.
    Suggestion,
}

impl Severity {
    /// As the API names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::SecurityWarning => "SECURITY_WARNING",
            Self::Warning => "WARNING",
            Self::Suggestion => "SUGGESTION",
        }
    }

    fn anchor(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::SecurityWarning => "security-warning",
            Self::Warning => "general-warning",
            Self::Suggestion => "suggestion",
        }
    }
}

/// A step of the way to an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A member of an object.
    Member(String),
    /// An item of an array.
    Item(usize),
}

/// A finding about a policy document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// How much it weighs.
    pub severity: Severity,
    /// Such as `INVALID_ACTION`.
    pub code: &'static str,
    /// One or two sentences.
    pub details: String,
    /// The way from the document's root.
    pub path: Vec<Step>,
    /// Where it stands.
    pub span: Span,
}

impl Issue {
    /// The page and place of AWS' explanation.
    pub fn link(&self) -> String {
        let code = self.code.to_lowercase().replace('_', "-");
        format!(
            "https://docs.aws.amazon.com/IAM/latest/UserGuide/access-analyzer-reference-policy-checks.html#access-analyzer-reference-policy-checks-{}-{code}",
            self.severity.anchor()
        )
    }
}

/// Characters from the start of a document to a position.
pub fn offset(text: &str, position: Position) -> usize {
    let line = usize::try_from(position.line).unwrap_or_default();
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(|line| line.chars().count()).sum();
    before.saturating_add(usize::try_from(position.column).unwrap_or_default().saturating_sub(1))
}

/// Most findings of one document.
const ISSUES_MAX: usize = 1_000;

/// Checks a document.
pub fn validate(text: &str, kind: ValidatedType) -> Vec<Issue> {
    let mut report = Report { kind, issues: Vec::new(), path: Vec::new() };
    match policy::parse_json(text) {
        Ok(root) => element::document(&mut report, &root, text),
        Err(error) => {
            let position = error.position;
            let span = Span { start: position, end: position };
            let details = if error.problem.contains("twice") {
                // A repeated name is what other readers overlook.
                "Fix the JSON syntax error.".to_owned()
            } else {
                let index = offset(text, position);
                format!("Fix the JSON syntax error at index {index} line {} column {}.", position.line, position.column)
            };
            report.issues.push(Issue { severity: Severity::Error, code: "JSON_SYNTAX_ERROR", details, path: Vec::new(), span });
        }
    }
    report.issues.sort_by_key(|issue| (issue.severity, issue.span.start));
    report.issues.truncate(ISSUES_MAX);
    report.issues
}

/// Collects findings on the walk through a document.
struct Report {
    kind: ValidatedType,
    issues: Vec<Issue>,
    path: Vec<Step>,
}

impl Report {
    fn add(&mut self, severity: Severity, code: &'static str, node: &Node, details: impl Into<String>) {
        if self.issues.len() < ISSUES_MAX {
            self.issues.push(Issue { severity, code, details: details.into(), path: self.path.clone(), span: node.span });
        }
    }

    fn error(&mut self, code: &'static str, node: &Node, details: impl Into<String>) {
        self.add(Severity::Error, code, node, details);
    }

    fn warning(&mut self, code: &'static str, node: &Node, details: impl Into<String>) {
        self.add(Severity::Warning, code, node, details);
    }

    fn security(&mut self, code: &'static str, node: &Node, details: impl Into<String>) {
        self.add(Severity::SecurityWarning, code, node, details);
    }

    fn suggest(&mut self, code: &'static str, node: &Node, details: impl Into<String>) {
        self.add(Severity::Suggestion, code, node, details);
    }

    /// Goes into a member.
    fn within<T>(&mut self, step: Step, walk: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let result = walk(self);
        self.path.pop();
        result
    }

    /// Visits each item of a list, or the one value in place of a list.
    fn each<'n>(&mut self, node: &'n Node, mut walk: impl FnMut(&mut Self, &'n Node)) {
        match &node.value {
            Json::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.within(Step::Item(at), |report| walk(report, item));
                }
            }
            _ => walk(self, node),
        }
    }

    /// Visits a member of an object, if it is there.
    fn member<'n>(&mut self, node: &'n Node, name: &str, walk: impl FnOnce(&mut Self, &'n Node)) {
        if let Some(member) = node.get(name) {
            self.within(Step::Member(name.to_owned()), |report| walk(report, member));
        }
    }
}

/// The strings of an element that is one or a list.
fn texts(node: Option<&Node>) -> impl Iterator<Item = &str> {
    node.map_or(&[][..], Node::one_or_many).iter().filter_map(Node::as_str)
}

fn has_wildcard(text: &str) -> bool {
    text.contains(['*', '?'])
}

#[cfg(test)]
mod tests;
