//! Settings and where each came from: flag, environment, file, default.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bedrock::settings::{BudgetSettings, DeclaredModel, LimitSettings, ModelSettings, ProfileSettings, UpstreamSettings};
use serde::Deserialize;

/// Where a setting came from, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginOfSetting {
    Flag,
    Environment,
    File,
    Default,
}

impl OriginOfSetting {
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Environment => "environment",
            Self::File => "file",
            Self::Default => "default",
        }
    }
}

/// A settings file or value cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the configuration file `{path}` cannot be read: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("the configuration file `{path}` is not valid: {cause}")]
    Invalid { path: String, cause: String },
    #[error("`{value}` is not a valid value of `{setting}`: {reason}")]
    Value { setting: &'static str, value: String, reason: String },
}

/// Seconds between two rounds of background work, unless configured.
const BACKGROUND_INTERVAL_S: u64 = 60;

/// The settings that the server runs with.
#[derive(Clone, Debug)]
pub struct Config {
    pub data_dir: PathBuf,
    /// Models that run in this process.
    pub models_dir: PathBuf,
    /// First is the home region.
    pub regions: Vec<String>,
    pub account_id: String,
    pub listen: Vec<Listen>,
    pub store: StoreSetting,
    pub seal: SealSetting,
    pub audit_reads: plane::pipeline::AuditReads,
    pub audit_failure: plane::pipeline::AuditFailure,
    /// Days that events stay in the server's own log; `None`: for ever.
    pub audit_retention_days: Option<i64>,
    /// No later start may shorten that.
    pub audit_retention_compliance: bool,
    /// Between two rounds of background work: delivery of trails, rotation, deletion.
    pub background_interval_s: u64,
    /// OpenAI-compatible base URL, beside what is declared in the file.
    pub upstream: Option<String>,
    /// Model servers, models, limits and budgets of the file. Without any upstream the embedded deterministic responder answers.
    pub models: ModelSettings,
    /// Upstream hosts that may resolve to internal addresses.
    pub allow_internal: Vec<String>,
    /// Where the trail is sent as OpenTelemetry logs, for example `http://collector:4318/v1/logs`.
    pub otlp_logs_url: Option<String>,
    /// The member of a request's metadata that names the person it is about, whose logged bodies are sealed under a key of theirs.
    pub data_subject_key: Option<String>,
    /// Who cosigns the trail's checkpoints.
    pub witnesses: Vec<WitnessSetting>,
    /// Listeners that stand for private endpoints.
    pub private_endpoints: Vec<PrivateEndpoint>,
    /// How the outside reaches the server; where it listens first, unless configured.
    pub public_url: plane::PublicUrl,
    pub origins: BTreeMap<&'static str, (String, OriginOfSetting)>,
}

/// A witness: where it is, and the key that its cosignatures must hold under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessSetting {
    pub url: String,
    pub key: transparency::VerifierKey,
}

/// A private endpoint, as the file names it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PrivateEndpointSetting {
    /// Address of a network that reaches the server nowhere else.
    pub listen: String,
    /// `vpce-...`
    pub id: String,
    /// `vpc-...`
    pub vpc: String,
    /// Account that the endpoint belongs to.
    pub account: String,
    /// File of the endpoint's policy; without one everything may pass.
    pub policy: Option<PathBuf>,
}

/// A listener that stands for a private endpoint: what comes in there has the keys of its network, and its policy has a say.
#[derive(Clone, Debug)]
pub struct PrivateEndpoint {
    pub listen: Listen,
    pub endpoint: plane::origin::VpcEndpoint,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: SocketAddr,
    /// TLS is spoken. On loopback addresses plain HTTP is understood on the same port, told apart by the first byte.
    pub tls: bool,
}

/// Which engine keeps the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreSetting {
    Redb,
    Memory,
    /// PostgreSQL connection string.
    Postgres(String),
}

/// What unseals the root key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealSetting {
    /// A key file in the data folder, made at first start with mode 0600.
    KeyFile,
    /// A passphrase, given in `BAILIWICK_PASSPHRASE` or through `bailiwick unseal`.
    Passphrase,
    /// `BAILIWICK_ROOT_KEY` or the systemd credential `bailiwick-root-key`.
    Environment,
}

/// One layer of settings; absent members fall through to the next.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    pub data_dir: Option<PathBuf>,
    pub models_dir: Option<PathBuf>,
    pub regions: Option<Vec<String>>,
    pub account_id: Option<String>,
    pub listen: Option<Vec<String>>,
    pub store: Option<String>,
    pub seal: Option<String>,
    pub audit_reads: Option<String>,
    pub audit_failure: Option<String>,
    pub audit_retention: Option<String>,
    pub background_interval_s: Option<u64>,
    pub upstream: Option<String>,
    pub allow_internal: Option<Vec<String>>,
    pub otlp_logs_url: Option<String>,
    pub data_subject_key: Option<String>,
    pub witnesses: Option<Vec<String>>,
    pub public_url: Option<String>,
    /// In the file only.
    #[serde(default)]
    pub private_endpoints: Vec<PrivateEndpointSetting>,
    #[serde(default)]
    pub upstreams: Vec<UpstreamSettings>,
    #[serde(default)]
    pub models: Vec<DeclaredModel>,
    #[serde(default)]
    pub inference_profiles: Vec<ProfileSettings>,
    #[serde(default)]
    pub limits: Vec<LimitSettings>,
    #[serde(default)]
    pub budgets: Vec<BudgetSettings>,
}

/// The layer of the environment.
pub fn environment() -> Layer {
    let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let list = |name: &str| text(name).map(|value| value.split(',').map(|part| part.trim().to_owned()).collect());
    Layer {
        data_dir: text("BAILIWICK_DATA_DIR").map(PathBuf::from),
        models_dir: text("BAILIWICK_MODELS_DIR").map(PathBuf::from),
        regions: list("BAILIWICK_REGIONS"),
        account_id: text("BAILIWICK_ACCOUNT_ID"),
        listen: list("BAILIWICK_LISTEN"),
        store: text("BAILIWICK_STORE"),
        seal: text("BAILIWICK_SEAL"),
        audit_reads: text("BAILIWICK_AUDIT_READS"),
        audit_failure: text("BAILIWICK_AUDIT_FAILURE"),
        audit_retention: text("BAILIWICK_AUDIT_RETENTION"),
        // What is not a number is refused below, like every number out of bounds.
        background_interval_s: text("BAILIWICK_BACKGROUND_INTERVAL_S").map(|value| value.parse().unwrap_or(0)),
        upstream: text("BAILIWICK_UPSTREAM"),
        allow_internal: list("BAILIWICK_ALLOW_INTERNAL"),
        otlp_logs_url: text("BAILIWICK_OTLP_LOGS_URL"),
        data_subject_key: text("BAILIWICK_DATA_SUBJECT_KEY"),
        witnesses: list("BAILIWICK_WITNESSES"),
        public_url: text("BAILIWICK_PUBLIC_URL"),
        ..Layer::default()
    }
}

/// The layer of a TOML file. Unknown keys are an error.
pub fn file(path: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: path.display().to_string(), cause })?;
    toml::from_str(&text).map_err(|cause| ConfigError::Invalid { path: path.display().to_string(), cause: cause.to_string() })
}

struct Layers {
    flags: Layer,
    environment: Layer,
    file: Layer,
    origins: BTreeMap<&'static str, (String, OriginOfSetting)>,
}

impl Layers {
    fn pick<T: Clone + std::fmt::Debug>(&mut self, setting: &'static str, of: impl Fn(&Layer) -> Option<T>, default: T) -> T {
        let found =
            [(&self.flags, OriginOfSetting::Flag), (&self.environment, OriginOfSetting::Environment), (&self.file, OriginOfSetting::File)]
                .into_iter()
                .find_map(|(layer, origin)| of(layer).map(|value| (value, origin)));
        let (value, origin) = found.unwrap_or((default, OriginOfSetting::Default));
        self.origins.insert(setting, (format!("{value:?}"), origin));
        value
    }
}

impl Config {
    /// Joins the layers: flags over environment over file over defaults.
    pub fn resolve(flags: Layer, environment: Layer, file: Layer) -> Result<Self, ConfigError> {
        let mut layers = Layers { flags, environment, file, origins: BTreeMap::new() };
        let data_dir = layers.pick("data_dir", |layer| layer.data_dir.clone(), PathBuf::from(".bailiwick"));
        let models_dir = layers.pick("models_dir", |layer| layer.models_dir.clone(), data_dir.join("models"));
        let regions = layers.pick("regions", |layer| layer.regions.clone(), vec!["us-east-1".to_owned()]);
        let account_id = layers.pick("account_id", |layer| layer.account_id.clone(), "123456789012".to_owned());
        let listen = layers.pick("listen", |layer| layer.listen.clone(), vec!["https://127.0.0.1:4566".to_owned()]);
        let store = layers.pick("store", |layer| layer.store.clone(), "redb".to_owned());
        let seal = layers.pick("seal", |layer| layer.seal.clone(), "key-file".to_owned());
        let audit_reads = layers.pick("audit_reads", |layer| layer.audit_reads.clone(), "interval".to_owned());
        let audit_failure = layers.pick("audit_failure", |layer| layer.audit_failure.clone(), "refuse".to_owned());
        let audit_retention = layers.pick("audit_retention", |layer| layer.audit_retention.clone(), "forever".to_owned());
        let background_interval_s = layers.pick("background_interval_s", |layer| layer.background_interval_s, BACKGROUND_INTERVAL_S);
        let upstream = layers.pick("upstream", |layer| layer.upstream.clone().map(Some), None);
        let allow_internal = layers.pick("allow_internal", |layer| layer.allow_internal.clone(), Vec::new());
        let otlp_logs_url = layers.pick("otlp_logs_url", |layer| layer.otlp_logs_url.clone().map(Some), None);
        let data_subject_key = layers.pick("data_subject_key", |layer| layer.data_subject_key.clone().map(Some), None);
        let witnesses = layers.pick("witnesses", |layer| layer.witnesses.clone(), Vec::new());
        let public_url = layers.pick("public_url", |layer| layer.public_url.clone().map(Some), None);
        let private_endpoints = std::mem::take(&mut layers.file.private_endpoints);
        let models = declared(std::mem::take(&mut layers.file), upstream.as_deref())?;
        for (name, count) in [
            ("private_endpoints", private_endpoints.len()),
            ("upstreams", models.upstreams.len()),
            ("models", models.models.len()),
            ("inference_profiles", models.inference_profiles.len()),
            ("limits", models.limits.len()),
            ("budgets", models.budgets.len()),
        ] {
            let origin = if count == 0 { OriginOfSetting::Default } else { OriginOfSetting::File };
            layers.origins.insert(name, (format!("{count} declared"), origin));
        }
        let mut origins = layers.origins;
        // A connection string may hold a password.
        if let Some((shown, _)) = origins.get_mut("store").filter(|(shown, _)| shown.contains("postgres")) {
            "\"postgres://…\"".clone_into(shown);
        }
        Ok(Self {
            data_dir,
            models_dir,
            regions: check_regions(regions)?,
            account_id: check_account(account_id)?,
            listen: listen.iter().map(|text| parse_listen(text)).collect::<Result<_, _>>()?,
            store: parse_store(store)?,
            seal: parse_seal(seal)?,
            audit_reads: parse_audit_reads(audit_reads)?,
            audit_failure: parse_audit_failure(&audit_failure)?,
            audit_retention_days: parse_audit_retention(audit_retention.strip_suffix(COMPLIANCE).unwrap_or(&audit_retention))?,
            audit_retention_compliance: audit_retention.ends_with(COMPLIANCE),
            background_interval_s: check_background_interval(background_interval_s)?,
            upstream,
            models,
            allow_internal,
            otlp_logs_url: otlp_logs_url.map(check_otlp).transpose()?,
            data_subject_key,
            witnesses: witnesses.iter().map(|text| parse_witness(text)).collect::<Result<_, _>>()?,
            private_endpoints: private_endpoints.into_iter().map(private_endpoint).collect::<Result<_, _>>()?,
            public_url: public_url.as_deref().map(check_public_url).transpose()?.unwrap_or_default(),
            origins,
        })
    }
}

/// What the file declares about models, checked together with the upstream of the flag.
fn declared(file: Layer, upstream: Option<&str>) -> Result<ModelSettings, ConfigError> {
    let declared = ModelSettings {
        upstreams: file.upstreams,
        models: file.models,
        inference_profiles: file.inference_profiles,
        limits: file.limits,
        budgets: file.budgets,
        allow_internal: Vec::new(),
        data_subject_key: None,
    };
    let mut all = declared.clone();
    all.upstreams.extend(upstream.map(UpstreamSettings::at));
    all.check().map_err(|error| invalid("upstreams, models, inference_profiles, limits, budgets", "", &error.to_string()))?;
    Ok(declared)
}

fn invalid(setting: &'static str, value: &str, reason: &str) -> ConfigError {
    ConfigError::Value { setting, value: value.to_owned(), reason: reason.to_owned() }
}

fn check_regions(regions: Vec<String>) -> Result<Vec<String>, ConfigError> {
    let is_name = |name: &str| {
        !name.is_empty() && name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if regions.is_empty() {
        return Err(invalid("regions", "", "at least one region is needed"));
    }
    for (at, region) in regions.iter().enumerate() {
        if !is_name(region) {
            return Err(invalid("regions", region, "a region name has lower-case letters, digits and hyphens, at most 32"));
        }
        if regions.iter().take(at).any(|earlier| earlier == region) {
            return Err(invalid("regions", region, "the region is given twice"));
        }
    }
    Ok(regions)
}

/// Twelve digits.
pub fn check_account(account: String) -> Result<String, ConfigError> {
    if account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(account);
    }
    Err(invalid("account_id", &account, "an account id has twelve digits"))
}

fn parse_listen(text: &str) -> Result<Listen, ConfigError> {
    let (tls, address) = match text.split_once("://") {
        Some(("https", address)) => (true, address),
        Some(("http", address)) => (false, address),
        _ => return Err(invalid("listen", text, "use `https://ADDRESS:PORT` or `http://ADDRESS:PORT`")),
    };
    let address: SocketAddr = address.trim_end_matches('/').parse().map_err(|_| invalid("listen", text, "the address is not IP:PORT"))?;
    if !tls && !address.ip().is_loopback() {
        return Err(invalid("listen", text, "plain HTTP is served on loopback addresses only"));
    }
    Ok(Listen { address, tls })
}

fn parse_store(text: String) -> Result<StoreSetting, ConfigError> {
    match text.as_str() {
        "redb" => Ok(StoreSetting::Redb),
        "memory" => Ok(StoreSetting::Memory),
        url if url.starts_with("postgres://") || url.starts_with("postgresql://") => Ok(StoreSetting::Postgres(text)),
        _ => Err(invalid("store", &text, "use `redb`, `memory` or a `postgres://` URL")),
    }
}

fn parse_seal(text: String) -> Result<SealSetting, ConfigError> {
    match text.as_str() {
        "key-file" => Ok(SealSetting::KeyFile),
        "passphrase" => Ok(SealSetting::Passphrase),
        "environment" => Ok(SealSetting::Environment),
        _ => Err(invalid("seal", &text, "use `key-file`, `passphrase` or `environment`")),
    }
}

fn check_otlp(url: String) -> Result<String, ConfigError> {
    let is_url = url.parse::<http::Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    if is_url {
        Ok(url)
    } else {
        Err(invalid("otlp_logs_url", &url, "use the URL of a collector, such as `http://127.0.0.1:4318/v1/logs`"))
    }
}

fn private_endpoint(setting: PrivateEndpointSetting) -> Result<PrivateEndpoint, ConfigError> {
    let wrong = |value: &str, reason: &str| invalid("private_endpoints", value, reason);
    let is_id = |text: &str, prefix: &str| {
        let is_hex = |rest: &str| (8..=17).contains(&rest.len()) && rest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        text.strip_prefix(prefix).is_some_and(is_hex)
    };
    if !is_id(&setting.id, "vpce-") || !is_id(&setting.vpc, "vpc-") {
        return Err(wrong(&setting.id, "give `id` as `vpce-` and `vpc` as `vpc-`, each with 8 to 17 hexadecimal digits"));
    }
    let policy = match &setting.policy {
        Some(path) => {
            let shown = path.display().to_string();
            let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::Unreadable { path: shown.clone(), cause })?;
            let policy = policy::Policy::parse(&text, policy::PolicyKind::VpcEndpoint).map_err(|error| wrong(&shown, &error.message))?;
            Some(policy::Attached::new(setting.id.as_str(), policy::PolicySource::None, std::sync::Arc::new(policy)))
        }
        None => None,
    };
    let endpoint = plane::origin::VpcEndpoint { id: setting.id, vpc_id: setting.vpc, account: check_account(setting.account)?, policy };
    Ok(PrivateEndpoint { listen: parse_listen(&setting.listen)?, endpoint })
}

/// Scheme, host and path only: it is put before names, and compared.
fn check_public_url(url: &str) -> Result<plane::PublicUrl, ConfigError> {
    let is_base = |uri: &http::Uri| match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(_)) => uri.query().is_none(),
        (Some("http"), Some(host)) => uri.query().is_none() && matches!(host, "localhost" | "127.0.0.1" | "[::1]"),
        _ => false,
    };
    if url.parse::<http::Uri>().is_ok_and(|uri| is_base(&uri)) && !url.contains(['#', '@']) {
        return Ok(plane::PublicUrl::new(url));
    }
    Err(invalid("public_url", url, "use `https://HOST`, with a port or path as needed; plain HTTP is for loopback addresses"))
}

fn parse_witness(text: &str) -> Result<WitnessSetting, ConfigError> {
    let (key, url) = text.rsplit_once('@').ok_or_else(|| invalid("witnesses", text, "use `NAME+ID+KEY@URL`"))?;
    let key = transparency::VerifierKey::parse(key).map_err(|error| invalid("witnesses", text, &error.to_string()))?;
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return Err(invalid("witnesses", text, "the URL begins with `https://` or `http://`"));
    }
    Ok(WitnessSetting { url: url.to_owned(), key })
}

fn check_background_interval(seconds: u64) -> Result<u64, ConfigError> {
    if (1..=3600).contains(&seconds) {
        return Ok(seconds);
    }
    Err(invalid("background_interval_s", &seconds.to_string(), "use a number of seconds from 1 to 3600"))
}

fn parse_audit_reads(text: String) -> Result<plane::pipeline::AuditReads, ConfigError> {
    match text.as_str() {
        "before-reply" => Ok(plane::pipeline::AuditReads::BeforeReply),
        "interval" => Ok(plane::pipeline::AuditReads::Interval),
        _ => Err(invalid("audit_reads", &text, "use `before-reply` or `interval`")),
    }
}

fn parse_audit_failure(text: &str) -> Result<plane::pipeline::AuditFailure, ConfigError> {
    match text {
        "refuse" => Ok(plane::pipeline::AuditFailure::Refuse),
        "continue" => Ok(plane::pipeline::AuditFailure::Continue),
        _ => Err(invalid("audit_failure", text, "use `refuse` or `continue`")),
    }
}

/// Presets, each a few days longer than its name may mean: six months are at least 183 days in the EU AI Act's Articles 19 and 26(6).
const RETENTIONS: [(&str, Option<i64>); 5] =
    [("6-months", Some(184)), ("1-year", Some(366)), ("7-years", Some(2557)), ("10-years", Some(3653)), ("forever", None)];

/// Behind a preset: held in compliance mode.
const COMPLIANCE: &str = "-compliance";

fn parse_audit_retention(text: &str) -> Result<Option<i64>, ConfigError> {
    let found = RETENTIONS.iter().find(|(name, _)| *name == text);
    found.map(|(_, days)| *days).ok_or_else(|| {
        invalid(
            "audit_retention",
            text,
            "use `6-months`, `1-year`, `7-years`, `10-years` or `forever`, perhaps with `-compliance` behind it",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_win_over_environment_over_file() {
        let layer = |account: &str| Layer { account_id: Some(account.to_owned()), ..Layer::default() };
        let config = Config::resolve(layer("111111111111"), layer("222222222222"), layer("333333333333")).unwrap();
        assert_eq!(config.account_id, "111111111111");
        assert_eq!(config.origins["account_id"].1, OriginOfSetting::Flag);
        let config = Config::resolve(Layer::default(), layer("222222222222"), layer("333333333333")).unwrap();
        assert_eq!(config.account_id, "222222222222");
        assert_eq!(config.origins["regions"].1, OriginOfSetting::Default);
    }

    #[test]
    fn plain_http_stays_on_loopback() {
        assert!(parse_listen("http://127.0.0.1:0").is_ok());
        assert!(parse_listen("http://0.0.0.0:80").is_err());
        assert!(parse_listen("https://0.0.0.0:443").is_ok());
        assert!(parse_listen("127.0.0.1:1").is_err());
    }

    #[test]
    fn a_public_url_is_scheme_host_and_path() {
        for good in ["https://bailiwick.example", "https://bailiwick.example:8443/aws/", "http://127.0.0.1:4566"] {
            assert!(check_public_url(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "bailiwick.example",
            "http://bailiwick.example",
            "https://b.example/?x=1",
            "https://b.example/#x",
            "https://a@b.example",
            "ftp://b",
        ] {
            assert!(check_public_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_private_endpoint_has_the_names_of_its_network() {
        let setting = |id: &str, vpc: &str, account: &str| PrivateEndpointSetting {
            listen: "https://127.0.0.1:0".to_owned(),
            id: id.to_owned(),
            vpc: vpc.to_owned(),
            account: account.to_owned(),
            policy: None,
        };
        let good = private_endpoint(setting("vpce-0123456789abcdef0", "vpc-01234567", "111111111111")).unwrap();
        assert_eq!((good.endpoint.vpc_id.as_str(), good.endpoint.policy), ("vpc-01234567", None));
        for (id, vpc, account) in [
            ("vpce-x", "vpc-01234567", "111111111111"),
            ("vpc-01234567", "vpc-01234567", "111111111111"),
            ("vpce-01234567", "vpce-01234567", "111111111111"),
            ("vpce-01234567", "vpc-01234567", "1"),
        ] {
            assert!(private_endpoint(setting(id, vpc, account)).is_err(), "{id} {vpc} {account}");
        }
        let missing = PrivateEndpointSetting {
            policy: Some("/nowhere/policy.json".into()),
            ..setting("vpce-01234567", "vpc-01234567", "111111111111")
        };
        assert!(matches!(private_endpoint(missing), Err(ConfigError::Unreadable { .. })));
    }

    #[test]
    fn retention_has_presets() {
        assert_eq!(parse_audit_retention("7-years").unwrap(), Some(2557));
        assert_eq!(parse_audit_retention("forever").unwrap(), None);
        assert!(parse_audit_retention("90").is_err() && parse_audit_retention("").is_err());
    }

    #[test]
    fn unknown_keys_of_a_file_are_refused() {
        assert!(toml::from_str::<Layer>("acount_id = \"1\"").is_err());
    }
}
