//! `bailiwick usage`: what principals used of which models, as a table, JSON or CSV.

use serde_json::Value as Json;
use wire::{Struct, Value};

use super::output::{self, Format};
use super::running::CredentialsSource;
use super::upstream::call;
use super::{Failure, Settings};

/// What principals used of which models, with its cost.
#[derive(clap::Args)]
pub struct Usage {
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    credentials: CredentialsSource,
    /// First day, `YYYY-MM-DD`; today unless given.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Last day, `YYYY-MM-DD`; today unless given.
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Comma-separated values, a line per day, region, principal, model and set of tags.
    #[arg(long)]
    csv: bool,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

const HEADERS: [&str; 9] = ["day", "region", "principal", "model", "tags", "calls", "input_tokens", "output_tokens", "cost_usd"];

impl Usage {
    pub async fn run(self) -> Result<(), Failure> {
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let mut input = Struct::new();
        input.set("From", Value::Str(self.from.unwrap_or_else(|| today.clone())));
        input.set("To", Value::Str(self.to.unwrap_or(today)));
        let answer = call(&self.settings, &self.credentials, "GetModelUsage", input).await?;
        let Some(Value::Document(usage)) = answer.member("Usage") else { return Err(Failure::general("the answer has no usage")) };
        let rows: Vec<Vec<String>> = usage.as_array().into_iter().flatten().map(row).collect();
        if self.csv {
            output::line(&HEADERS.join(","))?;
            for row in rows {
                output::line(&row.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(","))?;
            }
            return Ok(());
        }
        output::rows(self.output, &HEADERS, &rows)
    }
}

fn row(line: &Json) -> Vec<String> {
    let field = |name: &str| match line.get(name) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Object(tags)) => {
            let tag = |(key, value): (&String, &Json)| format!("{key}={}", value.as_str().unwrap_or_default());
            tags.iter().map(tag).collect::<Vec<_>>().join(";")
        }
        Some(other) => other.to_string(),
        None => String::new(),
    };
    ["day", "region", "principal", "model", "tags", "calls", "inputTokens", "outputTokens", "costUsd"]
        .iter()
        .map(|name| field(name))
        .collect()
}

/// A field of CSV. Spreadsheets take what begins with certain signs for a formula: those are led by an apostrophe.
fn quoted(field: &str) -> String {
    let is_formula = field.starts_with(['=', '+', '@', '\t']) || (field.starts_with('-') && field.parse::<f64>().is_err());
    let field = if is_formula { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_csv_are_quoted_and_no_formulas() {
        assert_eq!(quoted("a"), "a");
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
        assert_eq!(quoted("-1.5"), "-1.5");
    }
}
