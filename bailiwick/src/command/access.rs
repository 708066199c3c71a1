//! `bailiwick who-can`, `what-can` and `escalation`: on an export, or on the running server by its ordinary API.

use std::path::PathBuf;

use ::access::estate::{Ability, Estate, escalations, what_can, who_can};
use serde_json::{Map, Value as Json};
use wire::{Struct, Value};

use super::output::{self, Format};
use super::running::{CredentialsSource, Running};
use super::{Failure, Settings};

/// Pages of identities that are read from a server.
const PAGES_MAX: usize = 10_000;

/// Where the identities come from.
#[derive(clap::Args)]
pub struct Source {
    /// JSON of `aws iam get-account-authorization-details`; without it the running server is asked.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// A resource's policy as `ARN=FILE`; repeatable. Replaces what the export or the server has.
    #[arg(long = "resource-policy", value_name = "ARN=FILE")]
    resource_policies: Vec<String>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    credentials: CredentialsSource,
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

/// Who can do an action on a resource, and under which condition keys.
///
/// Exit code 0, also if nobody can.
#[derive(clap::Args)]
pub struct WhoCan {
    /// Such as `s3:GetObject`.
    action: String,
    /// ARN of the resource, or `*`.
    resource: String,
    #[command(flatten)]
    source: Source,
}

/// What a user or role can do.
#[derive(clap::Args)]
pub struct WhatCan {
    /// ARN of a user or role.
    principal: String,
    #[command(flatten)]
    source: Source,
}

/// Chains by which an identity could come to more: roles, policies, keys.
///
/// Exit code 3 if there is a chain, 0 if there is none.
#[derive(clap::Args)]
pub struct FindEscalation {
    /// To this action instead of everything.
    #[arg(long, requires = "resource")]
    action: Option<String>,
    /// On this resource.
    #[arg(long, requires = "action", value_name = "ARN")]
    resource: Option<String>,
    #[command(flatten)]
    source: Source,
}

impl Source {
    async fn estate(&self) -> Result<Estate, Failure> {
        let json = match &self.export {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Failure::general(format!("the export `{}` cannot be read: {error}", path.display())).with_code(2))?;
                serde_json::from_str(&text).map_err(|error| Failure::general(format!("the export is not JSON: {error}")).with_code(2))?
            }
            None => self.ask().await?,
        };
        let mut estate = Estate::from_json(&json).map_err(|error| Failure::general(error.to_string()).with_code(2))?;
        for given in &self.resource_policies {
            let (arn, path) = given.split_once('=').ok_or_else(|| Failure::general("give `--resource-policy` as ARN=FILE").with_code(2))?;
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::general(format!("`{path}` cannot be read: {error}")).with_code(2))?;
            estate.set_resource_policy(arn, &text);
        }
        Ok(estate)
    }

    /// Reads identities and policies from the running server.
    async fn ask(&self) -> Result<Json, Failure> {
        let config = self.settings.resolve()?;
        let client = Running::read(&config.data_dir)?.client()?;
        let credentials = self.credentials.read()?;
        let exported = client.call_named(&credentials, "bailiwick", "ExportPolicies", &Value::Struct(Struct::new())).await?;
        let mut whole = match exported.member("Export") {
            Some(Value::Document(Json::Object(export))) => export.clone(),
            _ => Map::new(),
        };
        let mut marker: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut input = Struct::new();
            if let Some(marker) = marker.take() {
                input.set("Marker", Value::Str(marker));
            }
            let page = client.call_named(&credentials, "iam", "GetAccountAuthorizationDetails", &Value::Struct(input)).await?;
            for list in ["UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"] {
                let more = page.member(list).map(json).unwrap_or_default();
                let all = whole.entry(list).or_insert_with(|| Json::Array(Vec::new()));
                if let (Json::Array(all), Json::Array(more)) = (all, more) {
                    all.extend(more);
                }
            }
            match page.member("Marker").and_then(Value::as_str) {
                Some(next) => marker = Some(next.to_owned()),
                None => break,
            }
        }
        Ok(Json::Object(whole))
    }
}

/// A value of an answer as JSON.
fn json(value: &Value) -> Json {
    match value {
        Value::Null | Value::Bytes(_) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(value) => Json::from(*value),
        Value::Float(value) => Json::from(*value),
        Value::Str(text) => Json::String(text.clone()),
        Value::Time(time) => Json::from(time.0),
        Value::List(items) => Json::Array(items.iter().map(json).collect()),
        Value::Map(entries) => Json::Object(entries.iter().map(|(name, value)| (name.clone(), json(value))).collect()),
        Value::Struct(fields) => Json::Object(fields.iter().map(|(name, value)| (name.to_owned(), json(value))).collect()),
        Value::Document(json) => json.clone(),
    }
}

fn ability(ability: &Ability) -> String {
    match ability {
        Ability::Yes => "yes".to_owned(),
        Ability::If(keys) => {
            let key = |(name, values): &(String, Vec<String>)| format!("{name}={}", values.join("|"));
            format!("if {}", keys.iter().map(key).collect::<Vec<_>>().join(" and "))
        }
        Ability::No => "no".to_owned(),
        Ability::Unknown => "unknown".to_owned(),
    }
}

impl WhoCan {
    pub async fn run(self) -> Result<(), Failure> {
        let estate = self.source.estate().await?;
        let rows: Vec<Vec<String>> = who_can(&estate, &self.action, &self.resource)
            .into_iter()
            .map(|access| vec![access.principal, ability(&access.ability), access.because])
            .collect();
        output::rows(self.source.output, &["principal", "can", "because"], &rows)
    }
}

impl WhatCan {
    pub async fn run(self) -> Result<(), Failure> {
        let estate = self.source.estate().await?;
        let identity = estate
            .identity(&self.principal)
            .ok_or_else(|| Failure::general(format!("the account has no user or role `{}`", self.principal)))?;
        let rows: Vec<Vec<String>> = what_can(&estate, identity)
            .into_iter()
            .map(|grant| {
                vec![
                    grant.policy,
                    grant.statement.to_string(),
                    grant.actions.join(" "),
                    grant.resources.join(" "),
                    grant.conditions.join(" "),
                    grant.example.unwrap_or_default(),
                    grant.blocked_by.unwrap_or_default(),
                ]
            })
            .collect();
        output::rows(self.source.output, &["policy", "statement", "actions", "resources", "conditions", "for example", "blocked by"], &rows)
    }
}

impl FindEscalation {
    pub async fn run(self) -> Result<(), Failure> {
        let estate = self.source.estate().await?;
        let found = escalations(&estate, self.action.as_deref().zip(self.resource.as_deref()));
        let rows: Vec<Vec<String>> = found
            .iter()
            .map(|escalation| {
                let chain: Vec<String> = escalation.chain.iter().map(|step| format!("{} -> {}", step.by, step.to)).collect();
                vec![escalation.principal.clone(), escalation.chain.len().to_string(), chain.join("; ")]
            })
            .collect();
        output::rows(self.source.output, &["principal", "steps", "chain"], &rows)?;
        if found.is_empty() { Ok(()) } else { Err(Failure::general(String::new()).with_code(3)) }
    }
}
