//! `bailiwick incident`: what was screened in a model call, by which filter, and what followed.

use serde_json::Value as Json;
use wire::{Struct, Value};

use super::output::{self, Format};
use super::running::{CredentialsSource, Running};
use super::{Failure, Settings};

/// Show what the guardrails saw in a request: filters, places, decisions, principal, model and events. Texts are never recorded.
#[derive(clap::Args)]
pub struct Incident {
    /// The request id of a model call.
    #[arg(value_name = "REQUEST")]
    request_id: String,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    credentials: CredentialsSource,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

impl Incident {
    pub async fn run(self) -> Result<(), Failure> {
        let config = self.settings.resolve()?;
        let client = Running::read(&config.data_dir)?.client()?;
        let credentials = self.credentials.read()?;
        let mut input = Struct::new();
        input.set("RequestId", Value::Str(self.request_id));
        let answer = client.call_named(&credentials, "bailiwick", "GetIncident", &Value::Struct(input)).await?;
        let incident = match answer.member("Incident") {
            Some(Value::Document(document)) => document.clone(),
            _ => Json::Null,
        };
        if self.output == Format::Table {
            return output::line(story(&incident).trim_end());
        }
        output::document(self.output, &incident)
    }
}

fn text<'a>(json: &'a Json, pointer: &str) -> &'a str {
    json.pointer(pointer).and_then(Json::as_str).unwrap_or("-")
}

fn items<'a>(json: &'a Json, pointer: &str) -> impl Iterator<Item = &'a Json> {
    json.pointer(pointer).and_then(Json::as_array).into_iter().flatten()
}

/// The incident as a person reads it.
fn story(incident: &Json) -> String {
    let mut out = format!(
        "{} {}\n  decision   {}\n  principal  {}\n  model      {}\n",
        text(incident, "/time"),
        text(incident, "/requestId"),
        text(incident, "/decision"),
        text(incident, "/principal"),
        text(incident, "/model")
    );
    for event in items(incident, "/events") {
        out += &format!("  event      {} {} {}\n", text(event, "/eventId"), text(event, "/eventName"), text(event, "/errorCode"));
    }
    for screening in items(incident, "/screenings") {
        let subject = screening.get("guardrailArn").or_else(|| screening.get("tool")).and_then(Json::as_str).unwrap_or("-");
        out += &format!("  {} {} by {subject}", text(screening, "/direction"), text(screening, "/decision"));
        if let Some(version) = screening.get("guardrailVersion").and_then(Json::as_str) {
            out += &format!(" version {version}");
        }
        out.push('\n');
        for finding in items(screening, "/findings") {
            let span = finding.get("span").filter(|span| !span.is_null());
            let place = span.map_or_else(String::new, |span| {
                let number = |name: &str| span.get(name).map(ToString::to_string).unwrap_or_default();
                format!(" at text {} bytes {}-{}", number("segment"), number("begin"), number("end"))
            });
            out += &format!("    {} {} {}{place}\n", text(finding, "/policy"), text(finding, "/type"), text(finding, "/action"));
        }
        for hash in items(screening, "/contentSha256").filter_map(Json::as_str) {
            out += &format!("    sha256 {hash}\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_story_names_filters_and_places() {
        let incident = json!({
            "time": "2026-01-01T00:00:00Z", "requestId": "r", "decision": "BLOCKED", "principal": "arn:p", "model": "m",
            "events": [{ "eventId": "e", "eventName": "Converse" }],
            "screenings": [{
                "guardrailArn": "arn:g", "guardrailVersion": "1", "direction": "INPUT", "decision": "BLOCKED", "contentSha256": ["ab"],
                "findings": [{ "policy": "word", "type": "CUSTOM", "action": "BLOCKED", "span": { "segment": 0, "begin": 2, "end": 9 } }],
            }],
        });
        let story = story(&incident);
        assert!(story.contains("INPUT BLOCKED by arn:g version 1\n    word CUSTOM BLOCKED at text 0 bytes 2-9\n    sha256 ab"), "{story}");
    }
}
