//! `bailiwick explain`: why a call was allowed or denied.

use serde_json::Value as Json;
use wire::{Struct, Value};

use super::output::{self, Format};
use super::running::{CredentialsSource, Running};
use super::{Failure, Settings};

/// Explain a decision.
#[derive(clap::Args)]
pub struct Explain {
    /// A request id, `last` (the newest denial), or PRINCIPAL-ARN ACTION RESOURCE-ARN.
    #[arg(required = true, num_args = 1..=3, value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    credentials: CredentialsSource,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Explain {
    pub async fn run(self) -> Result<(), Failure> {
        let config = self.settings.resolve()?;
        let client = Running::read(&config.data_dir)?.client()?;
        let credentials = self.credentials.read()?;
        let (operation, members): (_, Vec<(&'static str, &String)>) = match self.what.as_slice() {
            [request_id] => ("ExplainRequest", vec![("RequestId", request_id)]),
            [principal, action, resource] => {
                ("ExplainAccess", vec![("PrincipalArn", principal), ("Action", action), ("ResourceArn", resource)])
            }
            _ => return Err(Failure::general("give a request id, `last`, or a principal, an action and a resource").with_code(2)),
        };
        let mut input = Struct::new();
        for (name, value) in members {
            input.set(name, Value::Str(value.clone()));
        }
        let answer = client.call_named(&credentials, "bailiwick", operation, &Value::Struct(input)).await?;
        let part = |name: &str| match answer.member(name) {
            Some(Value::Document(document)) => document.clone(),
            _ => Json::Null,
        };
        if self.output == Format::Table {
            return output::line(story(&part("Record"), &part("Decision")).trim_end());
        }
        output::document(self.output, &serde_json::json!({ "record": part("Record"), "decision": part("Decision") }))
    }
}

fn text<'a>(json: &'a Json, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or("-")
}

/// The decision as a person reads it: verdict, deciding statement, then every policy that was considered, in order.
pub fn story(record: &Json, decision: &Json) -> String {
    let mut out = String::new();
    if !record.is_null() {
        out += &format!("{} {} by {}\n", text(record, "/eventTime"), text(record, "/eventName"), text(record, "/userIdentity/arn"));
        if let Some(message) = record.get("errorMessage").and_then(Json::as_str) {
            out += &format!("  answered: {}: {message}\n", text(record, "/errorCode"));
        }
    }
    let allowed = decision.get("allowed").and_then(Json::as_bool);
    let verdict = match (allowed, decision.get("explicit").and_then(Json::as_bool)) {
        (Some(true), _) => "ALLOWED".to_owned(),
        (Some(false), Some(true)) => "DENIED by an explicit deny".to_owned(),
        (Some(false), _) => "DENIED: nothing allows it".to_owned(),
        (None, _) => "no policy decision is recorded for this call".to_owned(),
    };
    out += &format!("{verdict}\n");
    if allowed.is_some() {
        out += &format!(
            "  principal  {}\n  action     {}\n  resource   {}\n",
            text(decision, "/principal"),
            text(decision, "/action"),
            text(decision, "/resource")
        );
    }
    if let Some(types) = decision.get("deniedBy").and_then(Json::as_array).filter(|types| !types.is_empty()) {
        let names: Vec<&str> = types.iter().filter_map(Json::as_str).collect();
        out += &format!("  denied by  {}\n", names.join(", "));
    }
    if let Some(deciding) = decision.get("deciding").filter(|deciding| !deciding.is_null()) {
        let index = deciding.get("statementIndex").and_then(Json::as_u64).map_or_else(|| "-".to_owned(), |index| index.to_string());
        let at =
            |pointer: &str| deciding.pointer(pointer).and_then(Json::as_u64).map_or_else(|| "-".to_owned(), |number| number.to_string());
        out += &format!(
            "  decided by statement {index} (sid {}) of {} `{}`, line {} column {} ({})\n",
            text(deciding, "/sid"),
            text(deciding, "/policyType"),
            text(deciding, "/policyId"),
            at("/span/start/line"),
            at("/span/start/column"),
            text(deciding, "/pointer")
        );
    }
    for policy in decision.pointer("/explanation/policies").and_then(Json::as_array).into_iter().flatten() {
        policy_story(policy, &mut out);
    }
    if let Some(change) = decision.get("smallestChange").filter(|change| !change.is_null()) {
        change_story(change, &mut out);
    }
    out
}

/// The change as a diff, with a warning for what it opens besides.
fn change_story(change: &Json, out: &mut String) {
    let edits = change.get("edits").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
    if edits.is_empty() {
        let reason = change.get("none").and_then(Json::as_str).unwrap_or("there is none");
        *out += &format!("no change of policies would allow it: {reason}\n");
        return;
    }
    *out += "smallest change that would allow it now:\n";
    for edit in edits {
        let id = edit.get("policy_id").and_then(Json::as_str).unwrap_or_default();
        *out += &format!("  {} in {} {id}\n", text(edit, "/kind"), text(edit, "/policy_type"));
        for (sign, name) in [('-', "before"), ('+', "after")] {
            if let Some(statement) = edit.get(name).filter(|statement| !statement.is_null()) {
                *out += &format!("    {sign} {statement}\n");
            }
        }
        if let Some(note) = edit.get("note").and_then(Json::as_str) {
            *out += &format!("    note: {note}\n");
        }
    }
    for opened in change.get("also_opens").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
        *out += &format!("  WARNING: it opens more than was asked: {opened}\n");
    }
}

fn policy_story(policy: &Json, out: &mut String) {
    let kind = policy.get("policy_type").or_else(|| policy.get("policyType")).and_then(Json::as_str).unwrap_or("-");
    let id = policy.get("policy_id").or_else(|| policy.get("policyId")).and_then(Json::as_str).unwrap_or("-");
    let outcome =
        policy.get("outcome").map(|outcome| outcome.as_str().map_or_else(|| outcome.to_string(), str::to_owned)).unwrap_or_default();
    *out += &format!("  {kind} `{id}`: {outcome}\n");
    for statement in policy.get("statements").and_then(Json::as_array).into_iter().flatten() {
        let matched = statement.get("matched").and_then(Json::as_bool).unwrap_or_default();
        let failed = statement
            .get("failed")
            .filter(|failed| !failed.is_null())
            .map(|failed| failed.as_str().map_or_else(|| failed.to_string(), str::to_owned));
        let result = if matched { "matches".to_owned() } else { format!("does not match: {}", failed.unwrap_or_default()) };
        *out += &format!(
            "    statement {} {} {result}\n",
            statement.get("index").map(ToString::to_string).unwrap_or_default(),
            text(statement, "/effect")
        );
        for condition in statement.get("conditions").and_then(Json::as_array).into_iter().flatten() {
            let actual = condition
                .get("actual")
                .filter(|actual| !actual.is_null())
                .map_or_else(|| "is missing".to_owned(), |actual| format!("was {actual}"));
            let expected = condition.get("expected").map(ToString::to_string).unwrap_or_default();
            let holds = if condition.get("matched").and_then(Json::as_bool).unwrap_or_default() { "holds" } else { "fails" };
            *out += &format!("      {} {} {expected} {holds}: the key {actual}\n", text(condition, "/operator"), text(condition, "/key"));
        }
    }
}
