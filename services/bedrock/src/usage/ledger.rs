//! Who used how much of which model: counted in memory, added to the store by background work, told by day.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use plane::transaction::{Abort, SCAN_LIMIT};
use plane::{ApiError, Key, Plane, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;

use super::float;

/// Runs of one write before it waits for the next round.
const ATTEMPTS: u32 = 8;
/// Tags of a call that are kept.
const TAGS: usize = 16;

/// Whose use it is, of what, and when.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UsageKey {
    pub account: String,
    pub region: String,
    /// `2026-11-28`.
    pub day: String,
    /// ARN of the caller.
    pub principal: String,
    pub model: String,
    /// Tags of the inference profile and of the session.
    pub tags: Vec<(String, String)>,
}

/// How much.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UsageCount {
    pub calls: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    /// By the prices of the settings.
    pub cost_usd: f64,
}

impl UsageCount {
    fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
        self.cost_usd += other.cost_usd;
    }

    pub(crate) fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// One call. Prices are dollars per million tokens.
    pub(crate) fn of_call(input_tokens: u64, output_tokens: u64, input_price: f64, output_price: f64) -> Self {
        let cost_usd = (float(input_tokens) * input_price + float(output_tokens) * output_price) / 1_000_000.0;
        Self { calls: 1, input_tokens, output_tokens, cost_usd }
    }
}

/// A row of the store.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct UsageRow {
    principal: String,
    model: String,
    tags: Vec<(String, String)>,
    day: String,
    #[serde(flatten)]
    count: UsageCount,
}

impl Record for UsageRow {
    const TABLE: Table = Table("bedrock-usage");
    const SCOPE: Scope = Scope::Region;
}

fn key(usage: &UsageKey) -> Key {
    let mut tags = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for text in usage.tags.iter().flat_map(|(name, value)| [name, value]) {
        tags.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
        tags.update(text.as_bytes());
    }
    let hash = tags.finish();
    let short = hash.as_ref().get(..8).map(hex::encode).unwrap_or_default();
    // Tags may be anybody's words: their hash tells them apart in the key, which is not sealed.
    Key::new(&usage.account, &usage.region).then(&usage.day).then(&usage.principal).then(&usage.model).last(short)
}

/// What is not in the store yet, and sums since the start for the metrics.
#[derive(Default)]
pub(crate) struct Ledger {
    pending: Mutex<BTreeMap<UsageKey, UsageCount>>,
    models: Mutex<BTreeMap<String, UsageCount>>,
}

/// A line of what was used.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageLine {
    pub key: UsageKey,
    pub count: UsageCount,
}

impl Ledger {
    pub(crate) fn add(&self, mut key: UsageKey, count: UsageCount) {
        key.tags.truncate(TAGS);
        self.models.lock().unwrap_or_else(PoisonError::into_inner).entry(key.model.clone()).or_default().add(&count);
        self.pending.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().add(&count);
    }

    /// Sums by model since the start.
    pub(crate) fn by_model(&self) -> Vec<(String, UsageCount)> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner).iter().map(|(model, count)| (model.clone(), *count)).collect()
    }

    /// Adds what is pending to the store. What cannot be written stays pending.
    pub(crate) async fn flush(&self, plane: &Plane) -> Result<(), ApiError> {
        let pending = std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        let mut failure = None;
        for (usage, count) in pending {
            if let Err(error) = write(plane, &usage, &count).await {
                self.pending.lock().unwrap_or_else(PoisonError::into_inner).entry(usage).or_default().add(&count);
                failure = Some(error);
            }
        }
        failure.map_or(Ok(()), Err)
    }
}

async fn write(plane: &Plane, usage: &UsageKey, count: &UsageCount) -> Result<(), ApiError> {
    let position = plane.regions.position(&usage.region).unwrap_or_default();
    let key = key(usage);
    for _ in 0..ATTEMPTS {
        let mut tx = plane.transaction(position);
        let mut row = tx.get::<UsageRow>(&key).await?.unwrap_or_else(|| UsageRow {
            principal: usage.principal.clone(),
            model: usage.model.clone(),
            tags: usage.tags.clone(),
            day: usage.day.clone(),
            count: UsageCount::default(),
        });
        row.count.add(count);
        tx.put(&key, &row)?;
        match tx.commit(Vec::new()).await {
            Ok(()) => return Ok(()),
            Err(Abort::Conflict) => {}
            Err(Abort::Failed(error)) => return Err(error),
        }
    }
    Err(ApiError::internal(&"usage could not be written: other nodes were faster each time"))
}

/// What an account used in a region, from the first day to the last.
pub(crate) async fn usage_of(plane: &Plane, account: &str, region: &str, from: &str, to: &str) -> Result<Vec<UsageLine>, ApiError> {
    let position = plane.regions.position(region).unwrap_or_default();
    let prefix = Key::new(account, region);
    let mut tx = plane.transaction(position);
    let rows = tx.scan_from::<UsageRow>(&prefix, from.as_bytes(), SCAN_LIMIT).await?;
    if rows.len() >= usize::try_from(SCAN_LIMIT).unwrap_or(usize::MAX) {
        return Err(ApiError::new("ValidationException", "the period has too many rows; ask for fewer days"));
    }
    let lines = rows.into_iter().map(|(_, row)| UsageLine {
        key: UsageKey {
            account: account.to_owned(),
            region: region.to_owned(),
            day: row.day,
            principal: row.principal,
            model: row.model,
            tags: row.tags,
        },
        count: row.count,
    });
    Ok(lines.take_while(|line| line.key.day.as_str() <= to).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_per_million_tokens() {
        let count = UsageCount::of_call(1_000_000, 500_000, 2.0, 4.0);
        assert!((count.cost_usd - 4.0).abs() < 1e-9);
        assert_eq!(count.tokens(), 1_500_000);
    }

    #[test]
    fn different_tags_are_different_rows() {
        let usage = |tags: &[(&str, &str)]| UsageKey {
            account: "1".to_owned(),
            region: "r".to_owned(),
            day: "2026-11-28".to_owned(),
            principal: "p".to_owned(),
            model: "m".to_owned(),
            tags: tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let text = |key: Key| String::from_utf8_lossy(key.as_bytes()).into_owned();
        assert_ne!(key(&usage(&[("a", "b=c")])), key(&usage(&[("a=b", "c")])));
        assert!(!text(key(&usage(&[("secret", "canary")]))).contains("canary"));
    }
}
