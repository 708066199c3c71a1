//! What was read of credentials and attached policies, until a commit changes one of the tables that it came from.
//!
//! Before each use the home store's head is compared with the revision that the cache has seen; new log rows are looked through for
//! the directory's tables. A policy change is therefore in force for the very next request, on every node of a shared store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::{Revision, Store, StoreError, Table};

use crate::organization::OrganizationView;
use crate::principal::{Credential, PrincipalAccess};

/// Entries kept; at the limit everything is dropped (a refill costs a few reads each).
const LIMIT: usize = 120_000;

#[derive(Default)]
struct State {
    seen: Revision,
    credentials: HashMap<String, Arc<Credential>>,
    access: HashMap<String, Arc<PrincipalAccess>>,
    /// By account; `None` where it is in no organization.
    organizations: HashMap<String, Option<Arc<OrganizationView>>>,
}

/// Keyed by access key id: each long-term key and each session has its own.
#[derive(Default)]
pub(crate) struct IdentityCache {
    state: Mutex<State>,
}

impl IdentityCache {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Catches up with the store. Gives the revision that later insertions must name.
    pub(crate) async fn refresh(&self, store: &dyn Store, tables: &[&[Table]]) -> Result<Revision, StoreError> {
        let head = store.newest();
        let mut seen = self.state().seen;
        if head == seen {
            return Ok(seen);
        }
        // A store that was set back (reset, restore) is another one.
        let is_set_back = head < seen;
        if is_set_back {
            seen = head;
        }
        let touched = store.touched_after(seen, tables).await?;
        let stale = is_set_back || touched.is_touched;
        seen = touched.revision;
        let mut state = self.state();
        if stale {
            state.credentials.clear();
            state.access.clear();
            state.organizations.clear();
        }
        if seen > state.seen || stale {
            state.seen = seen;
        }
        Ok(state.seen)
    }

    pub(crate) fn clear(&self) {
        *self.state() = State::default();
    }

    pub(crate) fn credential(&self, access_key_id: &str) -> Option<Arc<Credential>> {
        self.state().credentials.get(access_key_id).cloned()
    }

    pub(crate) fn access(&self, access_key_id: &str) -> Option<Arc<PrincipalAccess>> {
        self.state().access.get(access_key_id).cloned()
    }

    #[expect(clippy::option_option, reason = "known to be in none is not the same as not known")]
    pub(crate) fn organization(&self, account: &str) -> Option<Option<Arc<OrganizationView>>> {
        self.state().organizations.get(account).cloned()
    }

    pub(crate) fn keep_organization(&self, at: Revision, account: &str, view: Option<&Arc<OrganizationView>>) {
        let mut state = self.state();
        if state.seen != at {
            return;
        }
        if state.organizations.len() >= LIMIT {
            state.organizations.clear();
        }
        state.organizations.insert(account.to_owned(), view.cloned());
    }

    /// Keeps what was read at revision `at`; dropped when the cache has moved on meanwhile.
    pub(crate) fn keep_credential(&self, at: Revision, access_key_id: &str, credential: &Arc<Credential>) {
        let mut state = self.state();
        if state.seen != at {
            return;
        }
        if state.credentials.len() >= LIMIT {
            state.credentials.clear();
        }
        state.credentials.insert(access_key_id.to_owned(), Arc::clone(credential));
    }

    pub(crate) fn keep_access(&self, at: Revision, access_key_id: &str, access: &Arc<PrincipalAccess>) {
        let mut state = self.state();
        if state.seen != at {
            return;
        }
        if state.access.len() >= LIMIT {
            state.access.clear();
        }
        state.access.insert(access_key_id.to_owned(), Arc::clone(access));
    }
}
