//! How long CheckNoNewAccess takes over a folder of identity-based policies, and how many of its questions it decides.
//!
//! `cargo run --release -p access --example corpus -- FOLDER`. For each policy it asks whether the policy gives anything beyond itself, what it
//! gives beyond itself without its last statement, and what it gives with one more deny and one wider resource.

use std::io::Write as _;
use std::time::{Duration, Instant};

use policy::{DocumentValues, Effect, Policy, PolicyDocument, PolicyKind, StatementDocument};

struct Asked {
    name: String,
    question: &'static str,
    took: Duration,
    findings: usize,
    undecided: usize,
}

fn read(document: &PolicyDocument) -> Policy {
    Policy::parse_stored(&document.text(), PolicyKind::Identity)
}

/// Variants of a policy, each as new and old.
fn questions(policy: &Policy) -> Vec<(&'static str, Policy, Policy)> {
    let document = PolicyDocument::from(policy);
    let mut shorter = document.clone();
    shorter.statements.pop();
    let mut wider = document.clone();
    if let Some(resources) = wider.statements.first_mut().and_then(|statement| statement.resources.as_mut()) {
        resources.list.push("arn:aws:s3:::wider/*".to_owned());
    }
    let mut denying = document.clone();
    denying.statements.push(StatementDocument {
        sid: None,
        effect: Effect::Deny,
        principal: policy::PrincipalElement::Implied,
        actions: DocumentValues { negated: false, list: vec!["*:Delete*".to_owned()] },
        resources: Some(DocumentValues { negated: false, list: vec!["*".to_owned()] }),
        conditions: Vec::new(),
    });
    vec![
        ("itself", read(&document), read(&document)),
        ("shorter", read(&document), read(&shorter)),
        ("wider", read(&wider), read(&document)),
        ("less denied", read(&document), read(&denying)),
        ("more denied", read(&denying), read(&document)),
    ]
}

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).ok_or_else(|| std::io::Error::other("name a folder of policies"))?;
    let mut asked = Vec::new();
    let mut files: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    files.sort_by_key(std::fs::DirEntry::path);
    for file in &files {
        let policy = Policy::parse_stored(&std::fs::read_to_string(file.path())?, PolicyKind::Identity);
        for (question, new, old) in questions(&policy) {
            let start = Instant::now();
            let analysis = access::new_access(&new, &old, &[]);
            asked.push(Asked {
                name: file.file_name().to_string_lossy().into_owned(),
                question,
                took: start.elapsed(),
                findings: analysis.findings.len(),
                undecided: analysis.undecided.len(),
            });
        }
    }
    asked.sort_by_key(|asked| asked.took);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{} policies, {} questions", files.len(), asked.len())?;
    for (name, share) in [("median", 500), ("p90", 900), ("p99", 990), ("p99.9", 999), ("max", 1_000)] {
        let at = (asked.len() * share / 1_000).min(asked.len().saturating_sub(1));
        if let Some(asked) = asked.get(at) {
            writeln!(out, "{name:7} {:9.3} ms  {} ({})", asked.took.as_secs_f64() * 1e3, asked.name, asked.question)?;
        }
    }
    let undecided: Vec<&Asked> = asked.iter().filter(|asked| asked.undecided > 0).collect();
    writeln!(out, "undecided: {}, with findings: {}", undecided.len(), asked.iter().filter(|asked| asked.findings > 0).count())?;
    for asked in undecided.iter().rev().take(10) {
        writeln!(out, "  {} ({}) {:.3} ms", asked.name, asked.question, asked.took.as_secs_f64() * 1e3)?;
    }
    Ok(())
}
