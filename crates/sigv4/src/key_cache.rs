//! A bounded cache of derived keys, so that a warm request costs one HMAC instead of five.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::key::SigningKey;

/// Derived keys by credential (`access key id/date/region/service/aws4_request`). It never holds a secret, only derived keys, which are
/// good for one day, region and service.
///
/// Two generations bound it: a full current generation becomes the old one, and what was in the old one and not used since is dropped.
#[derive(Debug)]
pub struct KeyCache {
    inner: Mutex<Inner>,
    generation_capacity: usize,
}

#[derive(Debug, Default)]
struct Inner {
    current: HashMap<Box<str>, Arc<SigningKey>>,
    old: HashMap<Box<str>, Arc<SigningKey>>,
    epoch: u64,
}

/// The cache's state when a lookup began. An insertion with a ticket from before an invalidation is ignored: else a key whose secret was
/// read just before it was revoked would come back.
#[derive(Clone, Copy, Debug)]
pub struct CacheTicket(u64);

impl KeyCache {
    /// A cache of at most `capacity` keys.
    pub fn new(capacity: usize) -> Self {
        Self { inner: Mutex::default(), generation_capacity: (capacity / 2).max(1) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key of a credential, if it is there. A miss gives the ticket to insert with, taken before the caller reads the secret.
    pub fn get(&self, credential: &str) -> Result<Arc<SigningKey>, CacheTicket> {
        let mut inner = self.lock();
        if let Some(key) = inner.current.get(credential) {
            return Ok(Arc::clone(key));
        }
        let Some((name, key)) = inner.old.remove_entry(credential) else {
            return Err(CacheTicket(inner.epoch));
        };
        self.put(&mut inner, name, Arc::clone(&key));
        Ok(key)
    }

    /// Keeps a key, unless something was invalidated since the ticket was given.
    pub fn insert(&self, ticket: CacheTicket, credential: &str, key: Arc<SigningKey>) {
        let mut inner = self.lock();
        if inner.epoch == ticket.0 {
            self.put(&mut inner, credential.into(), key);
        }
    }

    fn put(&self, inner: &mut Inner, credential: Box<str>, key: Arc<SigningKey>) {
        if inner.current.len() >= self.generation_capacity {
            inner.old = std::mem::take(&mut inner.current);
        }
        inner.current.insert(credential, key);
    }

    /// Forgets all keys of an access key (it was deleted, deactivated, or its session revoked).
    pub fn invalidate(&self, access_key_id: &str) {
        let mut inner = self.lock();
        inner.epoch += 1;
        let keep = |name: &str| name.split('/').next() != Some(access_key_id);
        inner.current.retain(|name, _| keep(name));
        inner.old.retain(|name, _| keep(name));
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.epoch += 1;
        inner.current.clear();
        inner.old.clear();
    }

    /// How many keys are held.
    pub fn len(&self) -> usize {
        let inner = self.lock();
        inner.current.len() + inner.old.len()
    }

    /// Whether no key is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Arc<SigningKey> {
        Arc::new(SigningKey::derive("secret", "20261122", "eu-west-1", "s3"))
    }

    #[test]
    fn stays_within_its_capacity_and_keeps_what_is_used() {
        let cache = KeyCache::new(8);
        for number in 0..100 {
            let name = format!("AKIA{number}/20261122/eu-west-1/s3/aws4_request");
            let Err(ticket) = cache.get(&name) else { panic!("`{name}` cannot be there") };
            cache.insert(ticket, &name, key());
            if number > 0 {
                assert!(cache.get("AKIA0/20261122/eu-west-1/s3/aws4_request").is_ok(), "lost at {number}");
            }
            assert!(cache.len() <= 8);
        }
    }

    #[test]
    fn invalidation_wins_over_an_insertion_under_way() {
        let cache = KeyCache::new(8);
        let Err(ticket) = cache.get("AKIA1/d/r/s/aws4_request") else { panic!("empty cache") };
        cache.insert(ticket, "AKIA1/d/r/s/aws4_request", key());
        cache.insert(ticket, "AKIA10/d/r/s/aws4_request", key());
        cache.invalidate("AKIA1");
        assert!(cache.get("AKIA1/d/r/s/aws4_request").is_err());
        assert!(cache.get("AKIA10/d/r/s/aws4_request").is_ok(), "another key with the same beginning stays");
        cache.insert(ticket, "AKIA1/d/r/s/aws4_request", key());
        assert!(cache.get("AKIA1/d/r/s/aws4_request").is_err(), "a ticket from before the invalidation is void");
    }
}
