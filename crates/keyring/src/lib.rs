//! Keyring: the root key behind a seal, the key hierarchy under it, and sealed records.
//!
//! Everything at rest is sealed with a key that comes from here, so a sealed keyring means that nothing is readable. This crate knows
//! neither what it seals nor where that is stored.
//!
//! # Hierarchy
//! ```text
//! seal key       from a key file, a passphrase (Argon2id) or the environment; never stored by us beside what it protects
//!   root key     32 random bytes, versioned, wrapped in keyring.json
//!     domain key KBKDF(root key, purpose, account, region): one per kind of data and tenant
//!       message key KBKDF(domain key, N): one per record, N = 16 random bytes
//! ```
//! KBKDF is SP 800-108r1 in counter mode with HMAC-SHA256 (32-bit big-endian counter before the fixed info). No AES-GCM key encrypts more
//! than one message, so the limit of 2^32 random nonces a key does not apply; collisions of N bound a domain key to about 2^48 messages
//! at 2^-32.
//!
//! # Invariants
//! 1. A record opens only under the domain and associated data that it was sealed for.
//! 2. Key bytes are zeroized when dropped and never in `Debug`, an error or a file, except the key file that the operator chose.
//! 3. A wrong seal key is [`KeyringError::WrongSealKey`] and changes nothing; the keyring stays sealed and can be tried again.
//! 4. `keyring.json` is replaced atomically and durably: a crash leaves the old or the new one.
//!
//! # Sealed record, version 1
//! `0x01 | root key version (2) | N (16) | IV (12) | AES-256-GCM ciphertext | tag (16)`: 47 bytes more than the plaintext.
//! * domain key = KBKDF(root key, info = `"bailiwick domain key v1" | lp(purpose) | lp(account) | lp(region)`), `lp(x)` = length (4) | x
//! * message key = KBKDF(domain key, info = `"bailiwick message key v1" | N`)
//! * associated data = `0x01 | root key version (2) | caller's associated data`
//!
//! # Token, version 1
//! Unpadded URL-safe base64 of a sealed record in the domain `("token/" | purpose, "", "")` whose plaintext is
//! `expiry in seconds since the Unix epoch (8) | payload`.
//!
//! # keyring.json, version 1
//! `format` (1), `id` (32 hex digits), `seal` (`provider`, and for a passphrase `passphrase` with `algorithm`, `salt`, `memory_kib`, `passes`,
//! `lanes`) and `roots`: a list of
//! `version` and `wrapped`, hex of `salt (32) | IV (12) | AES-256-GCM ciphertext (32) | tag (16)` with the key
//! KBKDF(seal key, info = `"bailiwick root key wrap v1" | salt`) and the associated data `format (4) | id (16) | version (2)`.

mod derivation;
mod domain;
mod randomness;
mod record;
mod seal;
mod token;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

pub use domain::Domain;
pub use randomness::{Randomness, SeededRandomness, SystemRandomness};
pub use record::{RECORD_NAME_BYTES, SEALED_OVERHEAD_BYTES};
pub use seal::{KEYRING_FILE, PassphraseCost, SealProvider};
pub use token::MAX_TOKEN_BYTES;

use derivation::{DerivationKey, Secret};
use domain::DomainKeys;
use seal::KeyringFile;

/// Why a key is not to be had, or a record does not open.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error("the keyring `{0}` exists already")]
    Exists(PathBuf),
    #[error("there is no keyring `{0}`")]
    Missing(PathBuf),
    #[error("the keyring file cannot be read: {0}")]
    Malformed(String),
    #[error("the keyring has format version `{found}`, but this program reads versions up to `{supported}`: use a newer program")]
    UnsupportedFormat { found: u32, supported: u32 },
    #[error("the keyring is sealed by the provider `{expected}`, not by `{given}`")]
    WrongProvider { expected: String, given: String },
    /// The key file, passphrase or credential does not open this keyring.
    #[error("the seal key does not open this keyring")]
    WrongSealKey,
    #[error("the seal key cannot be had: {0}")]
    SealKey(String),
    #[error("the key file `{path}` has mode `{mode:o}`, but must be readable by its owner alone (0600)")]
    KeyFileMode { path: PathBuf, mode: u32 },
    #[error("`{path}`: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    /// Damaged, or sealed for another domain, associated data or keyring. Deliberately says no more.
    #[error("the sealed record does not open")]
    NotAuthentic,
    #[error("the token has expired")]
    Expired,
    #[error("the system has no randomness")]
    Randomness,
    /// Also: there can be no further root key version.
    #[error("the message is too long to seal")]
    TooLong,
}

/// The unsealed keyring. Cheap to share behind an `Arc`; sealing and opening take 1 to 2 microseconds and never wait on I/O.
pub struct Keyring {
    directory: PathBuf,
    randomness: Arc<dyn Randomness>,
    unsealed: RwLock<Unsealed>,
    /// Held while `keyring.json` is rewritten, which may take a second: sealing and opening go on meanwhile.
    rewriting: Mutex<()>,
}

struct Unsealed {
    file: KeyringFile,
    roots: Vec<(u16, Secret)>,
    domains: DomainKeys,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keyring").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// A keyring whose root key is still wrapped.
#[derive(Debug)]
pub struct SealedKeyring {
    directory: PathBuf,
    file: KeyringFile,
}

impl SealedKeyring {
    /// Reads `keyring.json` of the directory.
    pub fn load(directory: impl Into<PathBuf>) -> Result<Self, KeyringError> {
        let directory = directory.into();
        let file = KeyringFile::read(&directory)?;
        Ok(Self { directory, file })
    }

    /// Name of the provider that sealed it: `key-file`, `passphrase`, `environment` or `credential`.
    pub fn provider(&self) -> &str {
        self.file.provider()
    }

    /// Opens the keyring. On an error it is as sealed as before and can be tried again.
    pub fn unseal(&self, provider: &SealProvider, randomness: Arc<dyn Randomness>) -> Result<Keyring, KeyringError> {
        let roots = self.file.unwrap_roots(provider)?;
        let unsealed = Unsealed { file: self.file.clone(), roots, domains: DomainKeys::default() };
        Ok(Keyring::assemble(self.directory.clone(), randomness, unsealed))
    }
}

impl Keyring {
    fn assemble(directory: PathBuf, randomness: Arc<dyn Randomness>, unsealed: Unsealed) -> Self {
        Self { directory, randomness, unsealed: RwLock::new(unsealed), rewriting: Mutex::new(()) }
    }

    /// Makes a new root key and its `keyring.json`; refuses to replace one. A key file that is missing is made too.
    pub fn create(directory: impl Into<PathBuf>, provider: &SealProvider, randomness: Arc<dyn Randomness>) -> Result<Self, KeyringError> {
        let directory = directory.into();
        let root = Secret::random(&*randomness)?;
        let roots = vec![(1, root)];
        let file = KeyringFile::create(&directory, provider, &roots, &*randomness)?;
        Ok(Self::assemble(directory, randomness, Unsealed { file, roots, domains: DomainKeys::default() }))
    }

    /// Opens an existing keyring.
    pub fn open(directory: impl Into<PathBuf>, provider: &SealProvider, randomness: Arc<dyn Randomness>) -> Result<Self, KeyringError> {
        SealedKeyring::load(directory)?.unseal(provider, randomness)
    }

    /// A keyring that lives in memory alone: for ephemeral servers and tests.
    pub fn ephemeral(randomness: Arc<dyn Randomness>) -> Result<Self, KeyringError> {
        let roots = vec![(1, Secret::random(&*randomness)?)];
        let file = KeyringFile::ephemeral(&*randomness)?;
        let unsealed = Unsealed { file, roots, domains: DomainKeys::default() };
        Ok(Self::assemble(PathBuf::new(), randomness, unsealed))
    }

    /// Whether the directory holds a keyring.
    pub fn exists(directory: &Path) -> bool {
        directory.join(KEYRING_FILE).exists()
    }

    /// Random name of this keyring, 32 hex digits: lets a store remember which keyring it belongs to.
    pub fn id(&self) -> String {
        self.read().file.id()
    }

    /// Version of the root key that new records are sealed under.
    pub fn root_version(&self) -> u16 {
        self.read().roots.last().map_or(0, |(version, _)| *version)
    }

    /// Adds a root key version and seals under it from now on. Older records stay readable. `provider` must be the present seal.
    pub fn rotate_root(&self, provider: &SealProvider) -> Result<u16, KeyringError> {
        self.rewrite(provider, true)
    }

    /// Wraps the root keys under another seal (or the same one with a fresh salt). `provider` is the new seal; a missing key file is made.
    pub fn change_seal(&self, provider: &SealProvider) -> Result<(), KeyringError> {
        self.rewrite(provider, false).map(|_| ())
    }

    fn rewrite(&self, provider: &SealProvider, rotate: bool) -> Result<u16, KeyringError> {
        let _one_at_a_time = self.rewriting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut file, mut roots) = {
            let unsealed = self.read();
            (unsealed.file.clone(), unsealed.roots.clone())
        };
        let is_ephemeral = file.is_ephemeral();
        if rotate && !is_ephemeral {
            file.unwrap_roots(provider)?;
        }
        let last = roots.last().map_or(0, |(version, _)| *version);
        let version = if rotate { last.checked_add(1).ok_or(KeyringError::TooLong)? } else { last };
        if rotate {
            roots.push((version, Secret::random(&*self.randomness)?));
        }
        if !is_ephemeral {
            file = file.rewrap(&self.directory, provider, &roots, rotate, &*self.randomness)?;
        }
        let mut unsealed = self.unsealed.write().unwrap_or_else(PoisonError::into_inner);
        unsealed.file = file;
        unsealed.roots = roots;
        Ok(version)
    }

    /// A key of a domain that stays the same whatever happens to the root key: derived from its first version. For what cannot be made again
    /// after a rotation, such as the tags of an index; never for sealing.
    pub fn fixed_key(&self, domain: &Domain<'_>) -> Result<zeroize::Zeroizing<[u8; 32]>, KeyringError> {
        let first = self.read().roots.first().map(|(version, _)| *version);
        let (_, key) = self.domain_key(domain, first)?;
        let derived = key.derive(&[b"bailiwick fixed key v1"]);
        derived.bytes().try_into().map(zeroize::Zeroizing::new).map_err(|_| KeyringError::NotAuthentic)
    }

    /// Random bytes from the keyring's source.
    pub fn random<const N: usize>(&self) -> Result<[u8; N], KeyringError> {
        let mut out = [0; N];
        self.randomness.fill(&mut out)?;
        Ok(out)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Unsealed> {
        self.unsealed.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of a domain under a root key version; `None` is the newest.
    fn domain_key(&self, domain: &Domain<'_>, version: Option<u16>) -> Result<(u16, Arc<DerivationKey>), KeyringError> {
        let unsealed = self.read();
        let found = match version {
            None => unsealed.roots.last(),
            Some(version) => unsealed.roots.iter().find(|(number, _)| *number == version),
        };
        let (version, root) = found.ok_or(KeyringError::NotAuthentic)?;
        Ok((*version, unsealed.domains.get(*version, root, domain)?))
    }
}
