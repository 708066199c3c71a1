//! `bailiwick backup` and `bailiwick restore`.
//!
//! A backup is a folder: the sealed keyring record, the certificate authority, and per region the store's copy and the object files. It
//! holds ciphertext only: without the seal (key file, passphrase, environment) it opens nothing. A key file is therefore *not* in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use plane::{ApiError, Plane};
use serde::{Deserialize, Serialize};
use wire::{Struct, Value};

use super::running::{CredentialsSource, Running};
use super::{Failure, Settings, output};
use crate::server::assemble::private_folder;

const MANIFEST: &str = "backup.json";
const FORMAT: u32 = 1;
/// Files beside the regions' folders that belong to the state.
const FILES: [&str; 3] = ["keyring.json", "authority.pem", "authority.key.sealed"];

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    regions: Vec<String>,
    /// Revision of the home region's store.
    revision: u64,
}

/// Write a consistent backup of the running server.
#[derive(clap::Args)]
pub struct Backup {
    /// Folder to make, on the server's machine.
    directory: PathBuf,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    credentials: CredentialsSource,
}

impl Backup {
    pub async fn run(self) -> Result<(), Failure> {
        let config = self.settings.resolve()?;
        let client = Running::read(&config.data_dir)?.client()?;
        let directory = std::path::absolute(&self.directory)?;
        let mut input = Struct::new();
        input.set("Directory", Value::Str(directory.display().to_string()));
        let answer = client.call_named(&self.credentials.read()?, "bailiwick", "CreateBackup", &Value::Struct(input)).await?;
        let revision = match answer.member("Revision") {
            Some(Value::Int(revision)) => *revision,
            _ => 0,
        };
        output::line(&format!("backup of revision {revision} is in {}", directory.display()))
    }
}

fn failed(error: &dyn std::fmt::Display) -> ApiError {
    ApiError::new("InvalidStateException", format!("the backup could not be written: {error}"))
}

/// Writes the backup. Objects are copied after the stores: every object that a store's copy names was durable before its commit.
pub async fn write(plane: &Arc<Plane>, data_dir: &Path, directory: &Path) -> Result<u64, ApiError> {
    if !directory.is_absolute() || directory.exists() {
        return Err(failed(&format!("`{}` must be an absolute path that does not exist yet", directory.display())));
    }
    private_folder(directory).map_err(|error| failed(&error))?;
    let mut revision = None;
    for region in plane.regions.iter() {
        let folder = directory.join("regions").join(&region.name);
        private_folder(&folder).map_err(|error| failed(&error))?;
        let at = region.store.backup(&folder.join("state.redb")).await.map_err(|error| failed(&error))?;
        revision.get_or_insert(at.0);
        let (from, to) = (data_dir.join("regions").join(&region.name).join("objects"), folder.join("objects"));
        tokio::task::spawn_blocking(move || copy_tree(&from, &to))
            .await
            .map_err(|error| failed(&error))?
            .map_err(|error| failed(&error))?;
    }
    for name in FILES {
        if data_dir.join(name).exists() {
            std::fs::copy(data_dir.join(name), directory.join(name)).map_err(|error| failed(&error))?;
        }
    }
    let manifest = Manifest {
        format: FORMAT,
        regions: plane.regions.iter().map(|region| region.name.clone()).collect(),
        revision: revision.unwrap_or_default(),
    };
    let manifest = serde_json::to_vec_pretty(&manifest)?;
    // The manifest comes last: a folder without one is no backup.
    std::fs::write(directory.join(MANIFEST), manifest).map_err(|error| failed(&error))?;
    sync(directory).map_err(|error| failed(&error))?;
    Ok(revision.unwrap_or_default())
}

fn sync(directory: &Path) -> std::io::Result<()> {
    std::fs::File::open(directory)?.sync_all()
}

/// Copies a folder; a file that goes away meanwhile was deleted and is not missed.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &target)?;
            continue;
        }
        match std::fs::copy(entry.path(), &target) {
            Ok(_) => std::fs::File::open(&target)?.sync_all()?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    sync(to)
}

/// Make a data folder from a backup.
#[derive(clap::Args)]
pub struct Restore {
    /// Folder of the backup.
    from: PathBuf,
    /// Data folder to make; it must not hold a keyring yet.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

impl Restore {
    pub fn run(self) -> Result<(), Failure> {
        let manifest = std::fs::read(self.from.join(MANIFEST))
            .map_err(|error| Failure::general(format!("`{}` is not a backup: {error}", self.from.display())))?;
        let manifest: Manifest =
            serde_json::from_slice(&manifest).map_err(|error| Failure::general(format!("the backup's manifest is damaged: {error}")))?;
        if manifest.format != FORMAT {
            return Err(Failure::general(format!("the backup has format {}, this program reads {FORMAT}", manifest.format)));
        }
        if self.to.join("keyring.json").exists() {
            return Err(Failure::general(format!("`{}` already holds a server's state", self.to.display()))
                .with_hint("restore into an empty folder"));
        }
        private_folder(&self.to)?;
        for region in &manifest.regions {
            let (from, to) = (self.from.join("regions").join(region), self.to.join("regions").join(region));
            private_folder(&to)?;
            store::RedbStore::restore(&from.join("state.redb"), &to.join("state.redb"))
                .map_err(|error| Failure::general(error.to_string()))?;
            copy_tree(&from.join("objects"), &to.join("objects"))?;
        }
        for name in FILES {
            if self.from.join(name).exists() {
                std::fs::copy(self.from.join(name), self.to.join(name))?;
            }
        }
        output::line(&format!("restored revision {} of {} into {}", manifest.revision, manifest.regions.join(", "), self.to.display()))?;
        output::line("the root key is not part of a backup: put `root.key` there, or give the passphrase or environment that sealed it")
    }
}
