//! What the owner declares about model servers: where they are, which models they have, what callers may use of them.

use serde::Deserialize;

/// Longest list of each kind.
const ENTRIES_MAX: usize = 256;

/// Everything that is declared.
#[derive(Clone, Debug, Default)]
pub struct ModelSettings {
    pub upstreams: Vec<UpstreamSettings>,
    pub models: Vec<DeclaredModel>,
    pub inference_profiles: Vec<ProfileSettings>,
    pub limits: Vec<LimitSettings>,
    pub budgets: Vec<BudgetSettings>,
    /// Further internal hosts, addresses and networks that may be reached. The hosts of the upstreams may be internal: who declares them means them.
    pub allow_internal: Vec<String>,
    /// The member of a request's metadata that names the person it is about: bodies in the invocation log are sealed under a key of theirs.
    pub data_subject_key: Option<String>,
}

/// Which protocol a model server speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamKind {
    /// OpenAI's chat protocol: vLLM, Ollama, llama.cpp, LM Studio, TGI and others.
    #[default]
    OpenAi,
    /// Anthropic's messages.
    Anthropic,
    /// Amazon Bedrock, or another Bailiwick.
    Bedrock,
}

/// A model server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpstreamSettings {
    pub name: String,
    #[serde(default)]
    pub kind: UpstreamKind,
    /// Up to before `/chat/completions` (`http://127.0.0.1:11434/v1`), `/v1/messages` or `/model/...`.
    pub url: String,
    /// For the signature of a `bedrock` upstream.
    pub region: Option<String>,
    /// Name of the sealed secret that opens it: an API key; of a `bedrock` upstream a bearer key, or `ACCESS_KEY_ID:SECRET_ACCESS_KEY`.
    pub secret: Option<String>,
    /// Environment variable of the server's process that holds the secret instead.
    pub secret_env: Option<String>,
    /// Models that it has, when it does not list them.
    #[serde(default)]
    pub models: Vec<String>,
    /// Until the answer begins.
    #[serde(default = "timeout_ms")]
    pub timeout_ms: u64,
    /// For each part of the answer.
    #[serde(default = "part_timeout_ms")]
    pub part_timeout_ms: u64,
    #[serde(default = "connect_timeout_ms")]
    pub connect_timeout_ms: u64,
    /// Calls under way at once; further ones wait for at most `connect_timeout_ms` and then go elsewhere or fail.
    #[serde(default = "concurrency")]
    pub concurrency: usize,
    /// Tries of one call on this server, when it fails before the answer began.
    #[serde(default = "attempts")]
    pub attempts: u32,
    /// Failures in a row after which the server is not used until it answers a health check.
    #[serde(default = "failures")]
    pub unhealthy_after: u32,
    /// Between two health checks of a server that is not used.
    #[serde(default = "health_interval_ms")]
    pub health_interval_ms: u64,
    /// vLLM loads LoRA adapters at run time (`/v1/load_lora_adapter`). Which S3 place the server sees under which path of its own:
    /// `s3://adapters/team/` as `/mnt/adapters/`. Then models can be imported.
    pub loads_adapters: Option<AdapterFolder>,
}

/// A place in S3 that a model server sees as a folder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterFolder {
    /// `s3://BUCKET/PREFIX`.
    pub s3: String,
    /// The server's path of the same.
    pub path: String,
}

fn timeout_ms() -> u64 {
    120_000
}

fn part_timeout_ms() -> u64 {
    60_000
}

fn connect_timeout_ms() -> u64 {
    5_000
}

fn concurrency() -> usize {
    1_024
}

fn attempts() -> u32 {
    2
}

fn failures() -> u32 {
    3
}

fn health_interval_ms() -> u64 {
    5_000
}

impl UpstreamSettings {
    /// The one server of `--upstream URL`.
    pub fn at(url: &str) -> Self {
        Self {
            name: "upstream".to_owned(),
            kind: UpstreamKind::OpenAi,
            url: url.to_owned(),
            region: None,
            secret: None,
            secret_env: None,
            models: Vec::new(),
            timeout_ms: timeout_ms(),
            part_timeout_ms: part_timeout_ms(),
            connect_timeout_ms: connect_timeout_ms(),
            concurrency: concurrency(),
            attempts: attempts(),
            unhealthy_after: failures(),
            health_interval_ms: health_interval_ms(),
            loads_adapters: None,
        }
    }
}

/// A model under a name of the owner's choice, served by one or several upstreams.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredModel {
    /// The identifier that callers use.
    pub id: String,
    pub provider: Option<String>,
    pub targets: Vec<TargetSettings>,
    /// Other declared models that answer when no target can, in this order.
    #[serde(default)]
    pub fallback: Vec<String>,
    /// Takes images beside text.
    #[serde(default)]
    pub images: bool,
    /// Gives vectors instead of text.
    #[serde(default)]
    pub embeddings: bool,
    /// US dollars per million tokens.
    #[serde(default)]
    pub input_price: f64,
    #[serde(default)]
    pub output_price: f64,
    /// Tokens a minute of one unit of provisioned throughput; without it none can be bought.
    pub unit_tokens_per_minute: Option<u64>,
    /// Model units that can be provisioned altogether.
    #[serde(default)]
    pub units: u32,
}

/// One place where a model is served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TargetSettings {
    pub upstream: String,
    /// The upstream's own name of the model.
    pub model: String,
    #[serde(default = "weight")]
    pub weight: u32,
}

fn weight() -> u32 {
    1
}

/// A system-defined inference profile: several models (or one in several places) under one name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileSettings {
    /// `eu.meta.llama3-8b`.
    pub id: String,
    pub name: Option<String>,
    pub description: Option<String>,
    /// Models that it spreads calls over.
    pub models: Vec<ProfileModel>,
}

/// A model of a profile.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileModel {
    pub model: String,
    #[serde(default = "weight")]
    pub weight: u32,
}

/// How fast callers may go. Every limit that fits a call binds it; each principal has a measure of its own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitSettings {
    /// ARN of principals, with `*`.
    #[serde(default = "anybody")]
    pub principal: String,
    /// Model identifier, with `*`.
    #[serde(default = "anybody")]
    pub model: String,
    pub requests_per_minute: Option<u64>,
    pub tokens_per_minute: Option<u64>,
    /// Calls under way at once.
    pub concurrency: Option<u32>,
}

fn anybody() -> String {
    "*".to_owned()
}

/// How much may be used in a period before calls are refused. All principals that fit share it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BudgetSettings {
    pub name: String,
    #[serde(default = "anybody")]
    pub principal: String,
    #[serde(default = "anybody")]
    pub model: String,
    #[serde(default)]
    pub period: BudgetPeriod,
    pub tokens: Option<u64>,
    pub cost_usd: Option<f64>,
}

/// A calendar period, in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BudgetPeriod {
    Day,
    #[default]
    Month,
}

/// A declaration cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSettings {
    #[error("the list `{0}` has more than {ENTRIES_MAX} entries")]
    TooMany(&'static str),
    #[error("the name `{0}` is declared twice")]
    Twice(String),
    #[error("`{0}` is not a URL of a model server: use `http://HOST:PORT/PATH` or `https://HOST/PATH`")]
    Url(String),
    #[error("the upstream `{0}` of kind `bedrock` needs a region")]
    Region(String),
    #[error("the upstream `{0}` names both a sealed secret and an environment variable")]
    Secret(String),
    #[error("`{setting}` of `{name}` must be from {least} to {most}")]
    Range { name: String, setting: &'static str, least: u64, most: u64 },
    #[error("`{from}` names `{to}`, which is not declared")]
    Unknown { from: String, to: String },
    #[error("the model `{0}` has no target of a weight above zero")]
    NoTarget(String),
    #[error("the {what} `{name}` limits nothing")]
    Empty { what: &'static str, name: String },
    #[error("`{setting}` of `{name}` must be a number of dollars that is not negative")]
    Price { name: String, setting: &'static str },
}

impl ModelSettings {
    /// Whether the declarations fit together.
    pub fn check(&self) -> Result<(), InvalidSettings> {
        for (name, length) in [
            ("upstreams", self.upstreams.len()),
            ("models", self.models.len()),
            ("inference_profiles", self.inference_profiles.len()),
            ("limits", self.limits.len()),
            ("budgets", self.budgets.len()),
        ] {
            if length > ENTRIES_MAX {
                return Err(InvalidSettings::TooMany(name));
            }
        }
        unique(self.upstreams.iter().map(|upstream| upstream.name.as_str()))?;
        let profiles = self.inference_profiles.iter().map(|profile| profile.id.as_str());
        unique(self.models.iter().map(|model| model.id.as_str()).chain(profiles))?;
        unique(self.budgets.iter().map(|budget| budget.name.as_str()))?;
        self.upstreams.iter().try_for_each(check_upstream)?;
        self.models.iter().try_for_each(|model| self.check_model(model))?;
        for profile in &self.inference_profiles {
            for part in &profile.models {
                if !self.models.iter().any(|model| model.id == part.model) {
                    return Err(InvalidSettings::Unknown { from: profile.id.clone(), to: part.model.clone() });
                }
            }
            if !profile.models.iter().any(|part| part.weight > 0) {
                return Err(InvalidSettings::NoTarget(profile.id.clone()));
            }
        }
        for limit in &self.limits {
            if limit.requests_per_minute.is_none() && limit.tokens_per_minute.is_none() && limit.concurrency.is_none() {
                return Err(InvalidSettings::Empty { what: "limit", name: limit.principal.clone() });
            }
        }
        for budget in &self.budgets {
            if budget.tokens.is_none() && budget.cost_usd.is_none() {
                return Err(InvalidSettings::Empty { what: "budget", name: budget.name.clone() });
            }
            check_price(&budget.name, "cost_usd", budget.cost_usd.unwrap_or_default())?;
        }
        Ok(())
    }

    fn check_model(&self, model: &DeclaredModel) -> Result<(), InvalidSettings> {
        let unknown = |to: &str| InvalidSettings::Unknown { from: model.id.clone(), to: to.to_owned() };
        for target in &model.targets {
            if !self.upstreams.iter().any(|upstream| upstream.name == target.upstream) {
                return Err(unknown(&target.upstream));
            }
        }
        if !model.targets.iter().any(|target| target.weight > 0) {
            return Err(InvalidSettings::NoTarget(model.id.clone()));
        }
        for other in &model.fallback {
            if other == &model.id || !self.models.iter().any(|model| &model.id == other) {
                return Err(unknown(other));
            }
        }
        check_price(&model.id, "input_price", model.input_price)?;
        check_price(&model.id, "output_price", model.output_price)
    }
}

fn check_price(name: &str, setting: &'static str, price: f64) -> Result<(), InvalidSettings> {
    if price.is_finite() && price >= 0.0 {
        return Ok(());
    }
    Err(InvalidSettings::Price { name: name.to_owned(), setting })
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), InvalidSettings> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(InvalidSettings::Twice(name.to_owned()));
        }
    }
    Ok(())
}

fn check_upstream(upstream: &UpstreamSettings) -> Result<(), InvalidSettings> {
    let url = upstream.url.parse::<http::Uri>().ok();
    let is_usable =
        url.is_some_and(|url| matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some() && url.query().is_none());
    if !is_usable {
        return Err(InvalidSettings::Url(upstream.url.clone()));
    }
    if upstream.kind == UpstreamKind::Bedrock && upstream.region.is_none() {
        return Err(InvalidSettings::Region(upstream.name.clone()));
    }
    if upstream.secret.is_some() && upstream.secret_env.is_some() {
        return Err(InvalidSettings::Secret(upstream.name.clone()));
    }
    let concurrency = u64::try_from(upstream.concurrency).unwrap_or(u64::MAX);
    for (setting, value, least, most) in [
        ("timeout_ms", upstream.timeout_ms, 1, 3_600_000),
        ("part_timeout_ms", upstream.part_timeout_ms, 1, 3_600_000),
        ("connect_timeout_ms", upstream.connect_timeout_ms, 1, 600_000),
        ("concurrency", concurrency, 1, 100_000),
        ("attempts", upstream.attempts.into(), 1, 10),
        ("unhealthy_after", upstream.unhealthy_after.into(), 1, 1_000),
        ("health_interval_ms", upstream.health_interval_ms, 10, 3_600_000),
    ] {
        if !(least..=most).contains(&value) {
            return Err(InvalidSettings::Range { name: upstream.name.clone(), setting, least, most });
        }
    }
    Ok(())
}

/// Whether `text` fits a pattern in which `*` stands for anything.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<(), InvalidSettings> {
        #[derive(Deserialize)]
        struct File {
            #[serde(default)]
            upstreams: Vec<UpstreamSettings>,
            #[serde(default)]
            models: Vec<DeclaredModel>,
            #[serde(default)]
            limits: Vec<LimitSettings>,
            #[serde(default)]
            inference_profiles: Vec<ProfileSettings>,
        }
        let file: File = serde_json::from_str(text).unwrap();
        ModelSettings {
            upstreams: file.upstreams,
            models: file.models,
            limits: file.limits,
            inference_profiles: file.inference_profiles,
            ..ModelSettings::default()
        }
        .check()
    }

    #[test]
    fn declarations_must_fit_together() {
        let upstream = r#"{"name":"a","url":"http://h/v1"}"#;
        assert_eq!(
            settings(&format!(r#"{{"upstreams":[{upstream}],"models":[{{"id":"m","targets":[{{"upstream":"a","model":"x"}}]}}]}}"#)),
            Ok(())
        );
        for (text, words) in [
            (format!(r#"{{"upstreams":[{upstream},{upstream}]}}"#), "declared twice"),
            (r#"{"upstreams":[{"name":"a","url":"ftp://h"}]}"#.to_owned(), "not a URL"),
            (r#"{"upstreams":[{"name":"a","kind":"bedrock","url":"https://h"}]}"#.to_owned(), "needs a region"),
            (r#"{"upstreams":[{"name":"a","url":"https://h","attempts":0}]}"#.to_owned(), "from 1 to 10"),
            (r#"{"models":[{"id":"m","targets":[{"upstream":"a","model":"x"}]}]}"#.to_owned(), "not declared"),
            (
                format!(r#"{{"upstreams":[{upstream}],"models":[{{"id":"m","targets":[{{"upstream":"a","model":"x","weight":0}}]}}]}}"#),
                "no target",
            ),
            (r#"{"limits":[{"principal":"*"}]}"#.to_owned(), "limits nothing"),
            (r#"{"inference_profiles":[{"id":"p","models":[{"model":"m"}]}]}"#.to_owned(), "not declared"),
        ] {
            let error = settings(&text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("*user/*", "arn:aws:iam::1:user/x", true),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
        }
    }
}
