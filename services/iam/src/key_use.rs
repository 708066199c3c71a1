//! When a credential was last used. Uses are counted in memory and written now and then: a read must not cost a write.
//!
//! Source: IAM User Guide, "Get last used information": it may lag behind, for minutes to hours at AWS, for the flush interval here.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::directory::Directory;

/// Credentials whose use is kept in memory between two flushes.
const LIMIT: usize = 100_000;

/// When and where a credential was last used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastUse {
    pub at_ms: i64,
    /// Prefix of the service in actions.
    pub service: String,
    pub region: String,
}

impl Record for LastUse {
    const TABLE: Table = Table("iam.last-use");
    const SCOPE: Scope = Scope::Home;
}

fn key(subject: &str) -> Key {
    Key::shared().last(subject)
}

/// Uses that are not written yet, by access key id or unique id of a role.
#[derive(Default)]
pub(crate) struct Uses {
    pending: Mutex<HashMap<String, LastUse>>,
}

impl Uses {
    fn pending(&self) -> std::sync::MutexGuard<'_, HashMap<String, LastUse>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, subject: &str, last: LastUse) {
        let mut pending = self.pending();
        if let Some(known) = pending.get_mut(subject) {
            if known.at_ms <= last.at_ms {
                *known = last;
            }
        } else if pending.len() < LIMIT {
            // Beyond the limit a use waits for the next flush: the answer is late, not wrong.
            pending.insert(subject.to_owned(), last);
        }
    }

    pub(crate) fn get(&self, subject: &str) -> Option<LastUse> {
        self.pending().get(subject).cloned()
    }

    /// Everything noted since the last call.
    pub(crate) fn take(&self) -> HashMap<String, LastUse> {
        std::mem::take(&mut *self.pending())
    }

    /// Gives back what could not be written; newer uses win.
    pub(crate) fn give_back(&self, uses: HashMap<String, LastUse>) {
        for (subject, last) in uses {
            self.note(&subject, last);
        }
    }
}

pub(crate) fn write(tx: &mut Transaction, subject: &str, last: &LastUse) -> Result<(), ApiError> {
    tx.put(&key(subject), last)
}

/// The last use that is written down.
pub(crate) async fn written(tx: &mut Transaction, subject: &str) -> Result<Option<LastUse>, ApiError> {
    tx.get(&key(subject)).await
}

/// When the access key or role was last used, as far as is known.
pub(crate) async fn last_use(cx: &mut Call, subject: &str) -> Result<Option<LastUse>, ApiError> {
    if let Some(last) = cx.plane.extension::<Directory>(api_iam::SERVICE).and_then(|directory| directory.last_use(subject)) {
        return Ok(Some(last));
    }
    cx.tx.get(&key(subject)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(at_ms: i64) -> LastUse {
        LastUse { at_ms, service: "s3".to_owned(), region: "eu-central-1".to_owned() }
    }

    #[test]
    fn the_newest_use_wins_also_when_an_older_one_comes_back() {
        let uses = Uses::default();
        uses.note("a", last(5));
        uses.note("a", last(3));
        assert_eq!(uses.get("a"), Some(last(5)));
        let taken = uses.take();
        assert_eq!(uses.get("a"), None);
        uses.note("a", last(9));
        uses.give_back(taken);
        assert_eq!(uses.get("a"), Some(last(9)));
    }
}
