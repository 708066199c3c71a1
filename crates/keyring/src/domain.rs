//! Domains: which kind of data, of which tenant, where. Each has its own key.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::KeyringError;
use crate::derivation::{DerivationKey, Secret};

/// Domain keys kept in memory; when there are more, the cache starts anew (a derivation takes about a microsecond).
const MAX_CACHED_DOMAINS: usize = 65_536;

/// What a record is sealed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Domain<'a> {
    /// The kind of data, such as a table's name. Constant, never reused for something else.
    pub purpose: &'a str,
    /// Account id, or empty for what belongs to no account.
    pub account: &'a str,
    /// Region, or empty for what is global.
    pub region: &'a str,
}

impl<'a> Domain<'a> {
    pub fn new(purpose: &'a str, account: &'a str, region: &'a str) -> Self {
        Self { purpose, account, region }
    }

    /// Each part with its length before it, so that no two domains give the same bytes.
    fn info(&self) -> Vec<u8> {
        let mut info = Vec::with_capacity(96);
        info.extend_from_slice(b"bailiwick domain key v1");
        for part in [self.purpose, self.account, self.region] {
            info.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            info.extend_from_slice(part.as_bytes());
        }
        info
    }
}

/// Root key version and derivation info.
type KeyName = (u16, Vec<u8>);

#[derive(Debug, Default)]
pub(crate) struct DomainKeys {
    keys: RwLock<HashMap<KeyName, Arc<DerivationKey>>>,
}

impl DomainKeys {
    pub(crate) fn get(&self, version: u16, root: &Secret, domain: &Domain<'_>) -> Result<Arc<DerivationKey>, KeyringError> {
        let name = (version, domain.info());
        if let Some(key) = self.keys.read().unwrap_or_else(PoisonError::into_inner).get(&name) {
            return Ok(key.clone());
        }
        let key = Arc::new(root.derive(&name.1)?.derivation_key());
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MAX_CACHED_DOMAINS {
            keys.clear();
        }
        keys.insert(name, key.clone());
        Ok(key)
    }
}
