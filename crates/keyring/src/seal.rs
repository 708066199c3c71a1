//! The seal: where the outermost key comes from, and `keyring.json`, which holds the root keys wrapped under it.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::derivation::{IV_BYTES, Secret};
use crate::{KeyringError, Randomness};

/// Name of the file in the keyring's directory.
pub const KEYRING_FILE: &str = "keyring.json";

const FORMAT: u32 = 1;
const SALT_BYTES: usize = 32;
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Cost of deriving the seal key from a passphrase with Argon2id. The default is the second choice of RFC 9106 (64 MiB, three passes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Default for PassphraseCost {
    fn default() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 }
    }
}

/// Where the seal key comes from.
#[derive(Clone)]
pub enum SealProvider {
    /// A file of mode 0600 with 64 hex digits, made when the keyring is created.
    KeyFile(PathBuf),
    /// What an operator types. The cost counts when sealing; opening uses the recorded one.
    Passphrase(Zeroizing<String>, PassphraseCost),
    /// An environment variable with 64 hex digits, or base64 of 32 bytes.
    Environment(String),
    /// A systemd credential: a file in `$CREDENTIALS_DIRECTORY` with 32 raw bytes, 64 hex digits or base64 of 32 bytes.
    Credential { directory: PathBuf, name: String },
}

impl std::fmt::Debug for SealProvider {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

impl SealProvider {
    /// The credential `bailiwick-root-key` that systemd handed to this process, if any.
    pub fn systemd() -> Option<Self> {
        let directory = std::env::var_os("CREDENTIALS_DIRECTORY")?.into();
        let name = "bailiwick-root-key".to_owned();
        Some(Self::Credential { directory, name })
    }

    /// The provider's name in `keyring.json`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::KeyFile(_) => "key-file",
            Self::Passphrase(..) => "passphrase",
            Self::Environment(_) => "environment",
            Self::Credential { .. } => "credential",
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealRecord {
    provider: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    passphrase: Option<PassphraseRecord>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PassphraseRecord {
    algorithm: String,
    salt: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrappedRoot {
    version: u16,
    wrapped: String,
}

/// The content of `keyring.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyringFile {
    format: u32,
    id: String,
    seal: SealRecord,
    roots: Vec<WrappedRoot>,
}

/// Read before the rest, which a newer format may have changed.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

fn malformed(what: impl Into<String>) -> KeyringError {
    KeyringError::Malformed(what.into())
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> KeyringError + '_ {
    |source| KeyringError::Io { path: path.to_owned(), source }
}

impl KeyringFile {
    pub(crate) fn read(directory: &Path) -> Result<Self, KeyringError> {
        let path = directory.join(KEYRING_FILE);
        let bytes = match read_limited(&path) {
            Err(KeyringError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                return Err(KeyringError::Missing(path));
            }
            other => other?,
        };
        let FormatOnly { format: found } = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if found == 0 || found > FORMAT {
            return Err(KeyringError::UnsupportedFormat { found, supported: FORMAT });
        }
        let file: Self = serde_json::from_slice(&bytes).map_err(|error| malformed(error.to_string()))?;
        if file.roots.is_empty() || !file.roots.is_sorted_by(|left, right| left.version < right.version) {
            return Err(malformed("root key versions are missing or out of order"));
        }
        Ok(file)
    }

    pub(crate) fn create(
        directory: &Path,
        provider: &SealProvider,
        roots: &[(u16, Secret)],
        randomness: &dyn Randomness,
    ) -> Result<Self, KeyringError> {
        let path = directory.join(KEYRING_FILE);
        if path.exists() {
            return Err(KeyringError::Exists(path));
        }
        let file = Self::ephemeral(randomness)?.wrap(provider, roots, randomness)?;
        file.write(directory)?;
        Ok(file)
    }

    pub(crate) fn ephemeral(randomness: &dyn Randomness) -> Result<Self, KeyringError> {
        let mut id = [0; 16];
        randomness.fill(&mut id)?;
        Ok(Self { format: FORMAT, id: hex::encode(id), seal: SealRecord { provider: String::new(), passphrase: None }, roots: Vec::new() })
    }

    pub(crate) fn is_ephemeral(&self) -> bool {
        self.roots.is_empty()
    }

    pub(crate) fn id(&self) -> String {
        self.id.clone()
    }

    pub(crate) fn provider(&self) -> &str {
        &self.seal.provider
    }

    /// Wraps the roots anew and replaces the file. `keep_seal` leaves the passphrase's salt and cost as they are.
    pub(crate) fn rewrap(
        &self,
        directory: &Path,
        provider: &SealProvider,
        roots: &[(u16, Secret)],
        keep_seal: bool,
        randomness: &dyn Randomness,
    ) -> Result<Self, KeyringError> {
        let file = if keep_seal {
            let key = self.seal_key(provider)?;
            self.wrap_under(&key, self.seal.clone(), roots, randomness)?
        } else {
            self.wrap(provider, roots, randomness)?
        };
        file.write(directory)?;
        Ok(file)
    }

    fn wrap(&self, provider: &SealProvider, roots: &[(u16, Secret)], randomness: &dyn Randomness) -> Result<Self, KeyringError> {
        let mut seal = SealRecord { provider: provider.name().to_owned(), passphrase: None };
        let key = match provider {
            SealProvider::Passphrase(passphrase, cost) => {
                let mut salt = [0; SALT_BYTES];
                randomness.fill(&mut salt)?;
                let record = PassphraseRecord {
                    algorithm: "argon2id".to_owned(),
                    salt: hex::encode(salt),
                    memory_kib: cost.memory_kib,
                    passes: cost.passes,
                    lanes: cost.lanes,
                };
                let key = passphrase_key(passphrase, &record)?;
                seal.passphrase = Some(record);
                key
            }
            SealProvider::KeyFile(path) => {
                create_key_file(path, randomness)?;
                stored_key(provider)?
            }
            SealProvider::Environment(_) | SealProvider::Credential { .. } => stored_key(provider)?,
        };
        self.wrap_under(&key, seal, roots, randomness)
    }

    fn wrap_under(
        &self,
        key: &Secret,
        seal: SealRecord,
        roots: &[(u16, Secret)],
        randomness: &dyn Randomness,
    ) -> Result<Self, KeyringError> {
        let wrap_root = |(version, root): &(u16, Secret)| {
            let mut random = [0; SALT_BYTES + IV_BYTES];
            randomness.fill(&mut random)?;
            let (salt, iv) = random.split_first_chunk::<SALT_BYTES>().ok_or(KeyringError::Randomness)?;
            let iv: [u8; IV_BYTES] = iv.try_into().map_err(|_| KeyringError::Randomness)?;
            let mut body = root.bytes().to_vec();
            let tag = wrapping_key(key, salt)?.seal_in_place(iv, &self.wrap_associated_data(*version)?, &mut body)?;
            Ok(WrappedRoot { version: *version, wrapped: hex::encode([random.as_slice(), &body, &tag].concat()) })
        };
        let roots = roots.iter().map(wrap_root).collect::<Result<_, KeyringError>>()?;
        Ok(Self { format: self.format, id: self.id.clone(), seal, roots })
    }

    fn wrap_associated_data(&self, version: u16) -> Result<Vec<u8>, KeyringError> {
        let id = hex::decode(&self.id).ok().filter(|id| id.len() == 16).ok_or_else(|| malformed("`id` is not 32 hex digits"))?;
        Ok([self.format.to_be_bytes().as_slice(), &id, &version.to_be_bytes()].concat())
    }

    /// The root keys, if the provider's key is the right one.
    pub(crate) fn unwrap_roots(&self, provider: &SealProvider) -> Result<Vec<(u16, Secret)>, KeyringError> {
        let key = self.seal_key(provider)?;
        let unwrap_root = |root: &WrappedRoot| {
            let bytes = hex::decode(&root.wrapped).map_err(|_| malformed("a wrapped root key is not hex"))?;
            let short = || malformed("a wrapped root key is too short");
            let (salt, rest) = bytes.split_first_chunk::<SALT_BYTES>().ok_or_else(short)?;
            let (iv, body) = rest.split_first_chunk::<IV_BYTES>().ok_or_else(short)?;
            let opened = wrapping_key(&key, salt)?.open(*iv, &self.wrap_associated_data(root.version)?, body);
            let opened = opened.map_err(|_| KeyringError::WrongSealKey)?;
            let secret = Secret::from_slice(&opened).ok_or_else(|| malformed("a root key does not have 32 bytes"))?;
            Ok((root.version, secret))
        };
        self.roots.iter().map(unwrap_root).collect()
    }

    fn seal_key(&self, provider: &SealProvider) -> Result<Secret, KeyringError> {
        if provider.name() != self.seal.provider {
            let expected = self.seal.provider.clone();
            return Err(KeyringError::WrongProvider { expected, given: provider.name().to_owned() });
        }
        match (provider, &self.seal.passphrase) {
            (SealProvider::Passphrase(passphrase, _), Some(record)) => passphrase_key(passphrase, record),
            (SealProvider::Passphrase(..), None) => Err(malformed("the passphrase's salt and cost are missing")),
            _ => stored_key(provider),
        }
    }

    /// New file, synced, renamed over the old one, directory synced.
    fn write(&self, directory: &Path) -> Result<(), KeyringError> {
        let path = directory.join(KEYRING_FILE);
        let partial = directory.join("keyring.json.partial");
        let mut text = serde_json::to_vec_pretty(self).map_err(|error| malformed(error.to_string()))?;
        text.push(b'\n');
        std::fs::create_dir_all(directory).map_err(io(directory))?;
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io(&partial)(error));
            }
            _ => {}
        }
        write_private(&partial, &text)?;
        std::fs::rename(&partial, &path).map_err(io(&path))?;
        sync_directory(directory)
    }
}

fn wrapping_key(key: &Secret, salt: &[u8; SALT_BYTES]) -> Result<Secret, KeyringError> {
    key.derive(&[b"bailiwick root key wrap v1".as_slice(), salt].concat())
}

fn passphrase_key(passphrase: &str, record: &PassphraseRecord) -> Result<Secret, KeyringError> {
    // The record is a file's content: a huge cost must not take the machine down.
    if record.algorithm != "argon2id" || record.memory_kib > 4 * 1024 * 1024 || record.passes > 100 || record.lanes > 64 {
        return Err(malformed("the passphrase's algorithm or cost is not supported"));
    }
    let salt = hex::decode(&record.salt).map_err(|_| malformed("the passphrase's salt is not hex"))?;
    let bad_cost = |error: argon2::Error| malformed(format!("the passphrase's cost is not valid: {error}"));
    let parameters = argon2::Params::new(record.memory_kib, record.passes, record.lanes, Some(32)).map_err(bad_cost)?;
    let mut key = Zeroizing::new([0; 32]);
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, parameters);
    argon2.hash_password_into(passphrase.as_bytes(), &salt, key.as_mut()).map_err(bad_cost)?;
    Secret::from_slice(key.as_ref()).ok_or(KeyringError::WrongSealKey)
}

/// The key of a provider that keeps the key itself.
fn stored_key(provider: &SealProvider) -> Result<Secret, KeyringError> {
    let (bytes, place) = match provider {
        SealProvider::KeyFile(path) => {
            check_mode(path)?;
            (read_limited(path)?, format!("the key file `{}`", path.display()))
        }
        SealProvider::Environment(name) => {
            let value = std::env::var(name).map_err(|_| KeyringError::SealKey(format!("the environment variable `{name}` is not set")))?;
            (Zeroizing::new(value.into_bytes()), format!("the environment variable `{name}`"))
        }
        SealProvider::Credential { directory, name } => (read_limited(&directory.join(name))?, format!("the credential `{name}`")),
        SealProvider::Passphrase(..) => {
            return Err(KeyringError::SealKey("a passphrase needs its recorded salt".to_owned()));
        }
    };
    parse_key(&bytes).ok_or_else(|| KeyringError::SealKey(format!("{place} holds neither 64 hex digits nor base64 of 32 bytes")))
}

fn parse_key(bytes: &[u8]) -> Option<Secret> {
    if bytes.len() == 32 {
        return Secret::from_slice(bytes);
    }
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let decoded = match text.len() {
        64 => hex::decode(text).ok(),
        _ => base64::engine::general_purpose::STANDARD.decode(text).ok(),
    };
    Secret::from_slice(&Zeroizing::new(decoded?))
}

fn read_limited(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let file = std::fs::File::open(path).map_err(io(path))?;
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(io(path))?;
    Ok(bytes)
}

/// Makes the key file if there is none; an existing one is used as it is.
fn create_key_file(path: &Path, randomness: &dyn Randomness) -> Result<(), KeyringError> {
    let key = Secret::random(randomness)?;
    let mut text = Zeroizing::new(hex::encode(key.bytes()));
    text.push('\n');
    match write_private(path, text.as_bytes()) {
        Err(KeyringError::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_directory(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))),
    }
}

/// A new file (`O_EXCL`) of mode 0600, synced.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), KeyringError> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(io(path))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(io(path))
}

fn sync_directory(directory: &Path) -> Result<(), KeyringError> {
    std::fs::File::open(directory).and_then(|directory| directory.sync_all()).map_err(io(directory))
}

#[cfg(unix)]
fn check_mode(path: &Path) -> Result<(), KeyringError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map_err(io(path))?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyringError::KeyFileMode { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path) -> Result<(), KeyringError> {
    Ok(())
}
