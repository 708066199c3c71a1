//! Seals, records, tokens, rotation, and the committed samples of version 1.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod records;
mod samples;
mod seals;

use std::sync::Arc;

use keyring::{Domain, Keyring, PassphraseCost, SealProvider, SeededRandomness, SystemRandomness};

const DOMAIN: Domain<'static> = Domain { purpose: "secrets", account: "111122223333", region: "eu-central-1" };

fn system() -> Arc<SystemRandomness> {
    Arc::new(SystemRandomness)
}

fn ephemeral() -> Keyring {
    Keyring::ephemeral(system()).unwrap()
}

fn seeded() -> Arc<SeededRandomness> {
    Arc::new(SeededRandomness::new(1))
}

/// Cheap, for tests that are not about the cost.
fn passphrase(text: &str) -> SealProvider {
    SealProvider::Passphrase(text.to_owned().into(), PassphraseCost { memory_kib: 64, passes: 1, lanes: 1 })
}
