//! Puts the parts together: keyring, stores, object backends, services, plane.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use control::{AccountKeys, Host};
use keyring::{Keyring, KeyringError, PassphraseCost, SealProvider, SealedKeyring, SystemRandomness};
use objects::{LocalBackend, ObjectVault};
use plane::{ApiError, Clock, ManualClock, Plane, PlaneSettings, RegionState, Regions, Service, SystemClock};
use store::{MemoryState, MemoryStore, PostgresConfig, PostgresStore, RedbStore, Store};
use tokio::sync::OnceCell;
use trail::Recorder;

use crate::config::{Config, SealSetting, StoreSetting};

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the keyring cannot be opened: {0}")]
    Keyring(#[from] KeyringError),
    #[error("the store of region `{region}` cannot be opened: {cause}")]
    Store { region: String, cause: String },
    #[error("the object folder of region `{region}` cannot be opened: {cause}")]
    Objects { region: String, cause: String },
    #[error("the state folder `{path}` cannot be used: {cause}")]
    Folder { path: String, cause: std::io::Error },
    #[error("{0}")]
    Api(#[from] ApiError),
    #[error("{0}")]
    Config(#[from] crate::config::ConfigError),
    #[error("the setting `{0}` needs a passphrase: set `BAILIWICK_PASSPHRASE` or unseal the running server with `bailiwick unseal`")]
    Passphrase(&'static str),
}

/// The parts that live as long as the process.
pub struct Assembly {
    /// Work that goes on beside the calls.
    pub background: super::jobs::Background,
    pub plane: Arc<Plane>,
    /// Root keys of the home account, when this start made them.
    pub root_keys: Option<AccountKeys>,
}

/// How the process is to run beyond its settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mode {
    pub ephemeral: bool,
    pub manual_clock: bool,
}

/// Makes a folder that only its owner can read.
pub fn private_folder(path: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|cause| StartError::Folder { path: path.display().to_string(), cause })
}

/// The seal that the settings name. `passphrase` is what an operator gave.
pub fn seal_provider(config: &Config, passphrase: Option<zeroize::Zeroizing<String>>) -> Result<SealProvider, StartError> {
    match config.seal {
        SealSetting::KeyFile => Ok(SealProvider::KeyFile(config.data_dir.join("root.key"))),
        SealSetting::Passphrase => {
            passphrase.map(|text| SealProvider::Passphrase(text, PassphraseCost::default())).ok_or(StartError::Passphrase("seal"))
        }
        SealSetting::Environment => {
            Ok(SealProvider::systemd().unwrap_or_else(|| SealProvider::Environment("BAILIWICK_ROOT_KEY".to_owned())))
        }
    }
}

/// Whether the server must start sealed: there is a keyring under a passphrase, and no passphrase yet.
pub fn starts_sealed(config: &Config, mode: Mode) -> bool {
    !mode.ephemeral
        && config.seal == SealSetting::Passphrase
        && std::env::var_os("BAILIWICK_PASSPHRASE").is_none()
        && Keyring::exists(&config.data_dir)
}

/// Opens the keyring, or makes it at the first start.
pub fn open_keyring(config: &Config, mode: Mode, passphrase: Option<zeroize::Zeroizing<String>>) -> Result<Keyring, StartError> {
    let randomness = Arc::new(SystemRandomness);
    if mode.ephemeral {
        return Ok(Keyring::ephemeral(randomness)?);
    }
    let passphrase = passphrase.or_else(|| std::env::var("BAILIWICK_PASSPHRASE").ok().map(zeroize::Zeroizing::new));
    let provider = seal_provider(config, passphrase)?;
    if Keyring::exists(&config.data_dir) {
        return Ok(SealedKeyring::load(&config.data_dir)?.unseal(&provider, randomness)?);
    }
    Ok(Keyring::create(&config.data_dir, &provider, randomness)?)
}

/// A region's store with, for ephemeral servers, the handle that sets it back.
struct OpenStore {
    store: Arc<dyn Store>,
    memory: Option<Arc<MemoryStore>>,
}

async fn open_store(config: &Config, mode: Mode, region: &str, folder: &Path) -> Result<OpenStore, StartError> {
    let failed = |cause: &dyn std::fmt::Display| StartError::Store { region: region.to_owned(), cause: cause.to_string() };
    match &config.store {
        StoreSetting::Postgres(url) if !mode.ephemeral => {
            let settings = PostgresConfig::new(url, format!("bailiwick_{}", region.replace('-', "_"))).map_err(|error| failed(&error))?;
            let store = PostgresStore::connect(settings).await.map_err(|error| failed(&error))?;
            Ok(OpenStore { store: Arc::new(store), memory: None })
        }
        StoreSetting::Redb if !mode.ephemeral => {
            let store = RedbStore::open(folder.join("state.redb")).map_err(|error| failed(&error))?;
            Ok(OpenStore { store: Arc::new(store), memory: None })
        }
        _ => {
            let memory = Arc::new(MemoryStore::new());
            Ok(OpenStore { store: Arc::clone(&memory) as Arc<dyn Store>, memory: Some(memory) })
        }
    }
}

/// Opens everything and starts the plane; at the first start the home account is made.
pub async fn assemble(config: &Config, mode: Mode, keyring: Keyring) -> Result<Assembly, StartError> {
    let mut regions = Vec::with_capacity(config.regions.len());
    let mut memories = Vec::new();
    for region in &config.regions {
        let folder = config.data_dir.join("regions").join(region);
        private_folder(&folder)?;
        let opened = open_store(config, mode, region, &folder).await?;
        let backend = LocalBackend::open(folder.join("objects"))
            .map_err(|cause| StartError::Objects { region: region.clone(), cause: cause.to_string() })?;
        let recorder = Recorder::start(Arc::clone(&opened.store));
        memories.extend(opened.memory);
        regions.push(RegionState {
            name: region.clone(),
            store: opened.store,
            vault: Arc::new(ObjectVault::new(Arc::new(backend))),
            recorder,
        });
    }
    let manual = mode.manual_clock.then(|| Arc::new(ManualClock::default()));
    let clock: Arc<dyn Clock> = match &manual {
        Some(clock) => Arc::clone(clock) as Arc<dyn Clock>,
        None => Arc::new(SystemClock),
    };
    let process = Arc::new(Process {
        plane: OnceCell::new(),
        ephemeral: mode.ephemeral,
        clock: manual,
        memories: if mode.ephemeral { memories } else { Vec::new() },
        bootstrap: OnceCell::new(),
        data_dir: config.data_dir.clone(),
    });
    let settings = PlaneSettings {
        home_account: config.account_id.clone(),
        audit_reads: config.audit_reads,
        audit_failure: config.audit_failure,
        public_url: config.public_url.clone(),
    };
    let directory = Arc::new(iam::Directory::new());
    let plane = Plane::new(
        settings,
        Arc::new(Regions::new(regions)?),
        Arc::new(keyring),
        clock,
        Arc::new(SystemRandomness),
        Arc::clone(&directory) as Arc<dyn plane::Directory>,
        services(config, Arc::clone(&process) as Arc<dyn Host>, Arc::clone(&directory)),
    );
    let plane = Arc::new(plane.with_organizations(Arc::new(organizations::View)));
    let _ = process.plane.set(Arc::clone(&plane));
    let root_keys = if iam::account_exists(&plane, &config.account_id).await? {
        None
    } else {
        Some(process.create_account(config.account_id.clone()).await?)
    };
    if mode.ephemeral {
        let states = process.memories.iter().map(|memory| memory.clone_state()).collect();
        let _ = process.bootstrap.set(states);
    }
    let export = super::log_export::LogExport::of(config)?;
    if config.audit_failure == plane::pipeline::AuditFailure::Continue {
        record_setting(&plane, "SetAuditFailure", serde_json::json!({ "auditFailure": "continue" })).await?;
    }
    cloudtrail::hold(&plane, config.audit_retention_days, config.audit_retention_compliance).await?;
    if config.audit_retention_compliance || config.audit_retention_days.is_some() {
        let days = config.audit_retention_days;
        let setting = if config.audit_retention_compliance {
            serde_json::json!({ "days": days, "mode": "COMPLIANCE" })
        } else {
            serde_json::json!({ "days": days })
        };
        record_setting(&plane, "SetAuditRetention", setting).await?;
    }
    let witnesses = super::ledgers::Witnesses::new(config.witnesses.clone(), &config.allow_internal);
    sns::start(&plane);
    let background = super::jobs::start(
        &plane,
        std::time::Duration::from_secs(config.background_interval_s),
        witnesses,
        export,
        config.audit_retention_days,
    );
    Ok(Assembly { background, plane, root_keys })
}

/// A server that goes on without its audit store, or does not keep events for ever, says so in the trail, each time that it starts.
async fn record_setting(plane: &Arc<Plane>, name: &'static str, details: serde_json::Value) -> Result<(), StartError> {
    let region = plane.regions.at(0)?.name.clone();
    let (position, entry) = plane.service_event(plane::audit::ServiceEvent {
        source: "bailiwick.internal",
        actor: "bailiwick.internal",
        name,
        account: plane.home_account().to_owned(),
        region,
        now_ms: plane.now().0,
        additional: None,
        details: Some(details),
        resources: Vec::new(),
    })?;
    let recorder = &plane.regions.at(position)?.recorder;
    recorder.record(entry).await.map_err(|error| ApiError::unrecordable(&error))?;
    Ok(recorder.flush().await.map_err(|error| ApiError::unrecordable(&error))?)
}

/// Every service with handlers.
fn services(config: &Config, host: Arc<dyn Host>, directory: Arc<iam::Directory>) -> Vec<Arc<dyn Service>> {
    vec![
        Arc::new(iam::Iam::new(directory)),
        Arc::new(sts::Sts::new(sts::ProviderKeys::new(crate::upstream::reachable(config)))),
        Arc::new(kms::Kms),
        Arc::new(logs::Logs),
        Arc::new(s3::S3),
        Arc::new(signin::SignInService::default()),
        Arc::new(sns::Sns::new(crate::upstream::reachable(config))),
        Arc::new(bedrock::Bedrock),
        Arc::new(bedrock::BedrockRuntime::new(crate::upstream::models(config), crate::local_model::load(&config.models_dir))),
        Arc::new(cloudtrail::CloudTrail),
        Arc::new(cloudtrail::CloudTrailData::new()),
        Arc::new(organizations::OrganizationsService),
        Arc::new(rolesanywhere::RolesAnywhere),
        Arc::new(accessanalyzer::AccessAnalyzer),
        Arc::new(control::Control::new(host)),
    ]
}

/// What the control service asks of the process.
struct Process {
    plane: OnceCell<Arc<Plane>>,
    ephemeral: bool,
    clock: Option<Arc<ManualClock>>,
    memories: Vec<Arc<MemoryStore>>,
    bootstrap: OnceCell<Vec<MemoryState>>,
    data_dir: PathBuf,
}

impl Process {
    fn plane(&self) -> Result<&Arc<Plane>, ApiError> {
        self.plane.get().ok_or_else(|| ApiError::internal(&"the plane has not started"))
    }
}

#[async_trait]
impl Host for Process {
    fn is_ephemeral(&self) -> bool {
        self.ephemeral
    }

    fn advance_clock(&self, by_ms: i64) -> Option<i64> {
        self.clock.as_ref().map(|clock| clock.advance(by_ms))
    }

    async fn create_account(&self, account_id: String) -> Result<AccountKeys, ApiError> {
        let keys = iam::bootstrap(self.plane()?, &account_id).await?;
        Ok(AccountKeys {
            access_key_id: keys.access_key_id,
            secret_access_key: zeroize::Zeroizing::new(keys.secret_access_key.to_string()),
        })
    }

    async fn deliver_trails(&self) -> Result<(), ApiError> {
        let plane = self.plane()?;
        for position in 0..plane.regions.iter().count() {
            cloudtrail::deliver(plane, position, true).await?;
            bedrock::deliver(plane, position).await?;
        }
        Ok(())
    }

    fn put_upstream_secret(&self, tx: &mut plane::Transaction, name: &str, value: &str) -> Result<(), ApiError> {
        bedrock::put_secret(tx, name, value)
    }

    async fn delete_upstream_secret(&self, tx: &mut plane::Transaction, name: &str) -> Result<bool, ApiError> {
        bedrock::delete_secret(tx, name).await
    }

    async fn upstream_secrets(&self, tx: &mut plane::Transaction) -> Result<Vec<String>, ApiError> {
        bedrock::list_secrets(tx).await
    }

    async fn erase_data_subject(&self, tx: &mut plane::Transaction, account: &str, subject: &str) -> Result<(String, bool), ApiError> {
        bedrock::erase_data_subject(self.plane()?, tx, account, subject).await
    }

    async fn open_logged_body(
        &self,
        tx: &mut plane::Transaction,
        account: &str,
        body: control::LoggedBody,
    ) -> Result<Option<String>, ApiError> {
        let control::LoggedBody { data_subject_id, request_id, part, sealed } = body;
        bedrock::open_logged_body(tx, account, &bedrock::SealedBody { data_subject_id, request_id, part, sealed }).await
    }

    async fn model_usage(&self, account: &str, from: &str, to: &str) -> Result<Vec<control::UsageLine>, ApiError> {
        let plane = self.plane()?;
        let mut lines = Vec::new();
        for region in plane.regions.iter() {
            for line in bedrock::usage_of(plane, account, &region.name, from, to).await? {
                lines.push(control::UsageLine {
                    day: line.key.day,
                    region: line.key.region,
                    principal: line.key.principal,
                    model: line.key.model,
                    tags: line.key.tags,
                    calls: line.count.calls,
                    input_tokens: line.count.input_tokens,
                    output_tokens: line.count.output_tokens,
                    cost_usd: line.count.cost_usd,
                });
            }
        }
        Ok(lines)
    }

    async fn reset(&self) -> Result<(), ApiError> {
        let plane = self.plane()?;
        // Events on their way would otherwise arrive after the reset.
        plane.flush().await?;
        let states =
            self.bootstrap.get().ok_or_else(|| ApiError::new("InvalidStateException", "there is no bootstrap state to go back to"))?;
        for (memory, state) in self.memories.iter().zip(states) {
            memory.restore_state(state);
        }
        plane.forget();
        Ok(())
    }

    async fn back_up(&self, directory: String) -> Result<u64, ApiError> {
        let plane = self.plane()?;
        if self.ephemeral {
            return Err(ApiError::new("InvalidStateException", "an ephemeral server keeps nothing to back up"));
        }
        plane.flush().await?;
        crate::command::backup::write(plane, &self.data_dir, Path::new(&directory)).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::config::Layer;

    /// The facts say which operations work, the tables which handlers there are. Neither may promise what the other does not have.
    #[test]
    fn every_implemented_operation_has_a_handler_and_no_other_has() {
        let config = Config::resolve(Layer::default(), Layer::default(), Layer::default()).unwrap();
        let process = Process {
            plane: OnceCell::new(),
            ephemeral: true,
            clock: None,
            memories: Vec::new(),
            bootstrap: OnceCell::new(),
            data_dir: PathBuf::new(),
        };
        let mut handled: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for service in services(&config, Arc::new(process), Arc::new(iam::Directory::new())) {
            let names: BTreeSet<&str> = service.handlers().iter().map(|handler| handler.operation).collect();
            assert_eq!(names.len(), service.handlers().len(), "`{}` has two handlers for one operation", service.id());
            handled.insert(service.id(), names);
        }
        for head in facts::catalog().heads() {
            let service = facts::catalog().service(head.id).unwrap();
            let implemented: BTreeSet<&str> =
                service.operations.iter().filter(|operation| operation.implemented).map(|operation| operation.name).collect();
            assert_eq!(implemented, handled.remove(head.id).unwrap_or_default(), "implemented and handled operations of `{}`", head.id);
        }
        assert_eq!(handled, BTreeMap::new(), "services that the facts do not know");
    }
}
