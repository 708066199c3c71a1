//! How many wrong passwords are taken: from one source, and for one user.
//!
//! What is counted lies in a fixed number of rows, by keyed hashes of names and addresses: guesses of names that nobody has fill no store, and what
//! somebody types where a name belongs is not written down. Two users may share a row, one pair in 65,536.

use std::net::IpAddr;

use aws_lc_rs::hmac;
use keyring::Domain;
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;

/// Failures of a user within the window.
const USER_FAILURES: u32 = 10;
/// Failures of a source within the window.
const SOURCE_FAILURES: u32 = 100;
/// Fifteen minutes from the first failure.
pub(crate) const WINDOW_MS: i64 = 15 * 60 * 1000;
/// Bytes of the hash that names a row.
const ROW_BYTES: usize = 2;

/// Failures since the window began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailuresRecord {
    since_ms: i64,
    count: u32,
}

impl Record for FailuresRecord {
    const TABLE: Table = Table("signin.failures");
    const SCOPE: Scope = Scope::Home;
}

impl FailuresRecord {
    /// What counts now: nothing, when the window is over.
    fn at(self, now_ms: i64) -> Self {
        if now_ms.saturating_sub(self.since_ms) >= WINDOW_MS { Self { since_ms: now_ms, count: 0 } } else { self }
    }

    fn and_one(self) -> Self {
        Self { count: self.count.saturating_add(1), ..self }
    }
}

/// The rows of one attempt.
pub(crate) struct Throttle {
    user: Key,
    source: Key,
}

/// The address that counts: of IPv6, the network that one customer has.
fn source_of(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => address.segments().iter().take(4).map(|part| format!("{part:x}")).collect::<Vec<_>>().join(":"),
    }
}

impl Throttle {
    /// `account` is an id, or what was typed where one belongs.
    pub(crate) fn of(cx: &Call, account: &str, user_name: &str) -> Result<Self, ApiError> {
        let key = cx.plane.keyring.fixed_key(&Domain::new("signin-throttle", "", "")).map_err(|error| ApiError::internal(&error))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
        let row = |kind: &str, name: &str| {
            let tag = hmac::sign(&key, format!("{kind}\0{name}").as_bytes());
            Key::shared().then(kind).last(tag.as_ref().get(..ROW_BYTES).unwrap_or_default())
        };
        Ok(Self {
            user: row("user", &format!("{}\0{}", account.to_lowercase(), user_name.to_lowercase())),
            source: row("source", &source_of(cx.request.origin.source_ip())),
        })
    }

    async fn read(cx: &mut Call, key: &Key) -> Result<FailuresRecord, ApiError> {
        Ok(cx.tx.get::<FailuresRecord>(key).await?.unwrap_or_default().at(cx.now.0))
    }

    /// Whether the attempt comes too soon after too many others.
    pub(crate) async fn is_full(&self, cx: &mut Call) -> Result<bool, ApiError> {
        Ok(Self::read(cx, &self.user).await?.count >= USER_FAILURES || Self::read(cx, &self.source).await?.count >= SOURCE_FAILURES)
    }

    /// Counts a failure, in the commit of the attempt.
    pub(crate) async fn count(&self, cx: &mut Call) -> Result<(), ApiError> {
        for key in [&self.user, &self.source] {
            let failures = Self::read(cx, key).await?.and_one();
            cx.tx.put(key, &failures)?;
        }
        Ok(())
    }

    /// Who has signed in begins anew; the source does not, since one user's success says nothing of its other guesses.
    pub(crate) async fn forgive(&self, cx: &mut Call) -> Result<(), ApiError> {
        if cx.tx.get::<FailuresRecord>(&self.user).await?.is_some() {
            cx.tx.delete::<FailuresRecord>(&self.user);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_and_the_next_begins() {
        let failures = FailuresRecord { since_ms: 1_000, count: USER_FAILURES };
        assert_eq!(failures.at(1_000 + WINDOW_MS - 1), failures);
        assert_eq!(failures.at(1_000 + WINDOW_MS).count, 0);
        assert_eq!(failures.at(1_000 + WINDOW_MS).and_one(), FailuresRecord { since_ms: 1_000 + WINDOW_MS, count: 1 });
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let of = |text: &str| source_of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
