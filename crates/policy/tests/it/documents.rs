//! Documents of the world: those of which moto recorded what AWS answers, and the managed policies of AWS.

use std::io::Read as _;

use policy::{Malformation, Policy, PolicyDocument, PolicyKind};
use serde_json::Value;

/// One `{"document": …, "message": … or null}` a line, recorded at AWS by the moto project (Apache-2.0). Three of
/// its valid documents are left out, which were added from templates and not recorded: two have a `Sid` with
/// underscores, which AWS refuses, and one a `null` among its resources.
const RECORDED: &str = include_str!("data/recorded-documents.jsonl");
/// A line each, `{"name": …}`, a tab and the document: AWS's managed policies, as the server carries them.
const MANAGED: &[u8] = include_bytes!("../../../../services/iam/data/aws_managed_policies.gz");

#[test]
fn recorded_documents_earn_the_recorded_answers() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in RECORDED.lines() {
        let recorded: Value = serde_json::from_str(line).unwrap();
        let expected = recorded["message"].as_str();
        let got = Policy::parse(&recorded["document"].to_string(), PolicyKind::Identity).err().map(|error| error.message);
        if got.as_deref() != expected {
            wrong.push(format!("{line}\n  got {got:?}"));
        }
        count += 1;
    }
    assert_eq!(count, 129);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn managed_policies_are_read_checked_and_written_back() {
    let mut text = String::new();
    flate2::read::GzDecoder::new(MANAGED).read_to_string(&mut text).unwrap();
    let mut wrong = Vec::new();
    let (mut count, mut statements) = (0, 0);
    for line in text.lines() {
        let (head, written) = line.split_once('\t').unwrap();
        let head: Value = serde_json::from_str(head).unwrap();
        let name = head["name"].as_str().unwrap();
        match Policy::parse(written, PolicyKind::Identity) {
            // AWS's own may be longer than a customer's.
            Err(error) if error.malformation == Malformation::TooLong => {}
            Err(error) => wrong.push(format!("{name}: {error} ({:?})", error.detail)),
            Ok(_) => {}
        }
        let policy = Policy::parse_stored(written, PolicyKind::Identity);
        if let Some(problem) = policy.problem() {
            wrong.push(format!("{name}: {problem}"));
            continue;
        }
        let document = PolicyDocument::from(&policy);
        let again = Policy::parse_stored(&document.text(), PolicyKind::Identity);
        if again.problem().is_some() || PolicyDocument::from(&again) != document {
            wrong.push(format!("{name}: does not come back"));
        }
        let rewritten: Value = serde_json::from_str(&document.text()).unwrap();
        let original: Value = serde_json::from_str(written).unwrap();
        if normal(&rewritten) != normal(&original) {
            wrong.push(format!("{name}: is written back as something else\n{rewritten:#}\n{original:#}"));
        }
        count += 1;
        statements += policy.statements().len();
    }
    assert!(count > 1_500 && statements > 8_000, "{count} policies, {statements} statements");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The document with one-or-a-list written as lists, and scalars of conditions as texts.
fn normal(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by_key(|(name, _)| name.as_str());
            sorted.into_iter().map(|(name, value)| (name.clone(), normal(value))).collect()
        }
        Value::Array(items) if items.len() == 1 => normal(&items[0]),
        Value::Array(items) => items.iter().map(normal).collect(),
        Value::Bool(_) | Value::Number(_) => Value::String(value.to_string()),
        other => other.clone(),
    }
}
