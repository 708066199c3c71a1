//! An event data store: which events, from when to when, for how long.

use ::lake::Schema;
use api_cloudtrail::{AdvancedEventSelector, AdvancedFieldSelector, BillingMode, EventDataStoreStatus};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use super::error::LakeError;
use super::event_context::EventConfiguration;
use crate::selector::Selectors;
use crate::trail::LoggingPeriod;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// A deleted store can be restored for so long. Source: CloudTrail User Guide, "Event data store lifecycle".
pub(crate) const RESTORABLE_MS: i64 = 7 * DAY_MS;
/// Stores of one account in one region. Source: CloudTrail User Guide, "Quotas in AWS CloudTrail".
pub(crate) const STORES_LIMIT: usize = 10;
/// The category of events that channels take.
pub(crate) const ACTIVITY: &str = "ActivityAuditLog";

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    /// Records of calls that these selectors choose.
    Events(Selectors),
    /// What channels bring.
    Activity { name: Option<String> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    Enabled,
    StoppedIngestion,
    PendingDeletion,
}

impl Status {
    pub(crate) fn of_api(self) -> EventDataStoreStatus {
        match self {
            Self::Enabled => EventDataStoreStatus::Enabled,
            Self::StoppedIngestion => EventDataStoreStatus::StoppedIngestion,
            Self::PendingDeletion => EventDataStoreStatus::PendingDeletion,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Enabled => "ENABLED",
            Self::StoppedIngestion => "STOPPED_INGESTION",
            Self::PendingDeletion => "PENDING_DELETION",
        }
    }
}

/// A customer's key for a store: CloudTrail must be able to open this before it reads the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreKey {
    pub arn: String,
    /// A data key under it, wrapped, base64.
    pub wrapped: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EventDataStore {
    pub id: String,
    pub name: String,
    pub account: String,
    pub region: String,
    pub status: Status,
    pub content: Content,
    pub multi_region: bool,
    pub retention_days: i32,
    /// Events before this time went when a retention was shortened; they do not come back when it is made longer.
    #[serde(default)]
    pub gone_before_ms: Option<i64>,
    pub termination_protection: bool,
    /// One-year extendable pricing, else seven-year fixed pricing.
    pub extendable: bool,
    #[serde(default)]
    pub key: Option<StoreKey>,
    pub created_ms: i64,
    pub updated_ms: i64,
    #[serde(default)]
    pub deleted_ms: Option<i64>,
    /// When live events are taken.
    #[serde(default)]
    pub periods: Vec<LoggingPeriod>,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
    /// What its events show beyond their records.
    #[serde(default)]
    pub configuration: EventConfiguration,
    /// Number that the next ingested batch gets.
    #[serde(default)]
    pub next_batch: u64,
}

impl Record for EventDataStore {
    const TABLE: Table = Table("cloudtrail-lake-store");
    const SCOPE: Scope = Scope::Region;
}

impl EventDataStore {
    pub(crate) fn key(account: &str, region: &str, id: &str) -> Key {
        Key::new(account, region).last(id)
    }

    pub(crate) fn arn(&self) -> String {
        arn(&self.region, &self.account, &self.id)
    }

    pub(crate) fn schema(&self) -> Schema {
        match self.content {
            Content::Events(_) => Schema::CloudTrail,
            Content::Activity { .. } => Schema::ActivityAuditLog,
        }
    }

    pub(crate) fn put(&self, tx: &mut Transaction) -> Result<(), ApiError> {
        tx.put(&Self::key(&self.account, &self.region, &self.id), self)
    }

    /// Events before this time are no longer in the store.
    pub(crate) fn oldest_ms(&self, now_ms: i64) -> i64 {
        now_ms.saturating_sub(i64::from(self.retention_days).saturating_mul(DAY_MS)).max(self.gone_before_ms.unwrap_or(i64::MIN))
    }

    /// Keeps events for so many days from now on.
    ///
    /// Source: CloudTrail User Guide, "Update an event data store": a shorter period removes what is older.
    pub(crate) fn keep_for(&mut self, days: i32, now_ms: i64) {
        let gone_ms = self.oldest_ms(now_ms);
        self.retention_days = days;
        self.gone_before_ms = Some(gone_ms.max(self.oldest_ms(now_ms)));
    }

    /// Whether live events of this time were taken.
    pub(crate) fn took_at(&self, time_ms: i64) -> bool {
        self.periods.iter().any(|period| period.start_ms <= time_ms && period.stop_ms.is_none_or(|stop_ms| time_ms <= stop_ms))
    }

    pub(crate) fn start(&mut self, now_ms: i64) {
        if self.periods.last().is_none_or(|period| period.stop_ms.is_some()) {
            self.periods.push(LoggingPeriod { start_ms: now_ms, stop_ms: None });
        }
        self.status = Status::Enabled;
    }

    pub(crate) fn stop(&mut self, now_ms: i64) {
        if let Some(period) = self.periods.last_mut()
            && period.stop_ms.is_none()
        {
            period.stop_ms = Some(now_ms);
        }
        self.status = Status::StoppedIngestion;
    }

    pub(crate) fn billing(&self) -> BillingMode {
        if self.extendable { BillingMode::ExtendableRetentionPricing } else { BillingMode::FixedRetentionPricing }
    }

    pub(crate) fn advanced_selectors(&self) -> Vec<AdvancedEventSelector> {
        match &self.content {
            Content::Events(selectors) => selectors.to_advanced().unwrap_or_else(|| vec![management()]),
            Content::Activity { name } => {
                vec![AdvancedEventSelector { name: name.clone(), field_selectors: vec![equals("eventCategory", ACTIVITY)] }]
            }
        }
    }
}

fn equals(field: &str, value: &str) -> AdvancedFieldSelector {
    AdvancedFieldSelector { field: field.to_owned(), equals: Some(vec![value.to_owned()]), ..AdvancedFieldSelector::default() }
}

/// All management events: what a store has without selectors of its own. Source: API reference, `CreateEventDataStore`.
fn management() -> AdvancedEventSelector {
    AdvancedEventSelector {
        name: Some("Default management events".to_owned()),
        field_selectors: vec![equals("eventCategory", "Management")],
    }
}

/// What the selectors of a request choose.
pub(crate) fn content(selectors: Option<Vec<AdvancedEventSelector>>) -> Result<Content, ApiError> {
    let selectors = selectors.filter(|selectors| !selectors.is_empty()).unwrap_or_else(|| vec![management()]);
    let category = |selector: &AdvancedEventSelector| {
        let field = selector.field_selectors.iter().find(|field| field.field == "eventCategory");
        field.and_then(|field| field.equals.as_ref()).and_then(|values| values.first()).cloned().unwrap_or_default()
    };
    let categories: Vec<String> = selectors.iter().map(category).collect();
    if categories.iter().any(|category| matches!(category.as_str(), "ConfigurationItem" | "Evidence" | "Insight")) {
        return Err(LakeError::Unsupported(
            "Event data stores here hold CloudTrail events or events of channels; nothing brings other categories.",
        )
        .into());
    }
    if !categories.iter().any(|category| category == ACTIVITY) {
        return Ok(Content::Events(Selectors::from_advanced(selectors)?));
    }
    match selectors.into_iter().next() {
        Some(only) if categories.len() == 1 && only.field_selectors.len() == 1 => Ok(Content::Activity { name: only.name }),
        _ => {
            Err(LakeError::Selectors("A selector of ActivityAuditLog stands alone, with eventCategory as its only field.".to_owned())
                .into())
        }
    }
}

pub(crate) fn arn(region: &str, account: &str, id: &str) -> String {
    format!("arn:{}:cloudtrail:{region}:{account}:eventdatastore/{id}", plane::PARTITION)
}

/// All stores of the account in the region.
pub(crate) async fn of_account(tx: &mut Transaction, account: &str, region: &str) -> Result<Vec<EventDataStore>, ApiError> {
    let rows = tx.scan::<EventDataStore>(&Key::new(account, region), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, store)| store).collect())
}

/// The id behind an ARN of the caller's account and region, or the id itself.
pub(crate) fn id_of(cx: &Call, reference: &str) -> Result<String, LakeError> {
    id_in(&cx.region, &cx.account, reference)
}

fn id_in(of_region: &str, of_account: &str, reference: &str) -> Result<String, LakeError> {
    if !reference.starts_with("arn:") {
        let is_id = reference.len() == 36 && reference.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        return if is_id { Ok(reference.to_ascii_lowercase()) } else { Err(LakeError::StoreArn(reference.to_owned())) };
    }
    let mut parts = reference.splitn(6, ':').skip(2);
    let (service, region, account, resource) = (parts.next(), parts.next(), parts.next(), parts.next());
    let id = resource.and_then(|resource| resource.strip_prefix("eventdatastore/")).filter(|id| !id.is_empty());
    match (service, id) {
        (Some("cloudtrail"), Some(id)) if region == Some(of_region) && account == Some(of_account) => Ok(id.to_ascii_lowercase()),
        (Some("cloudtrail"), Some(_)) => Err(LakeError::StoreMissing(reference.to_owned())),
        _ => Err(LakeError::StoreArn(reference.to_owned())),
    }
}

/// The store that a caller names; also one that waits for its deletion.
pub(crate) async fn find(cx: &mut Call, reference: &str) -> Result<EventDataStore, ApiError> {
    let id = id_of(cx, reference)?;
    let key = EventDataStore::key(&cx.account, &cx.region, &id);
    cx.tx.get::<EventDataStore>(&key).await?.ok_or_else(|| LakeError::StoreMissing(reference.to_owned()).into())
}

/// As [`find`], for what a store's policy may let others do: a whole ARN may name another account's store. The decision has asked its policy.
pub(crate) async fn find_shared(cx: &mut Call, reference: &str) -> Result<EventDataStore, ApiError> {
    let mut parts = reference.splitn(6, ':').skip(3);
    match (parts.next(), parts.next()) {
        (Some(region), Some(account)) if region == cx.region && account != cx.account && account.len() == 12 => {
            find_of(cx, account, reference).await
        }
        _ => find(cx, reference).await,
    }
}

/// As [`find_shared`]; a store that waits for its deletion is inactive.
pub(crate) async fn find_shared_active(cx: &mut Call, reference: &str) -> Result<EventDataStore, ApiError> {
    let store = find_shared(cx, reference).await?;
    if store.status == Status::PendingDeletion { Err(LakeError::StoreInactive(store.arn()).into()) } else { Ok(store) }
}

/// As [`find`], of an account that the decision has been about.
async fn find_of(cx: &mut Call, owner: &str, reference: &str) -> Result<EventDataStore, ApiError> {
    let id = id_in(&cx.region, owner, reference)?;
    let key = EventDataStore::key(owner, &cx.region, &id);
    cx.tx.get::<EventDataStore>(&key).await?.ok_or_else(|| LakeError::StoreMissing(reference.to_owned()).into())
}

/// As [`find_active`], of an account that the decision has been about.
pub(crate) async fn find_active_of(cx: &mut Call, owner: &str, reference: &str) -> Result<EventDataStore, ApiError> {
    let store = find_of(cx, owner, reference).await?;
    if store.status == Status::PendingDeletion { Err(LakeError::StoreInactive(store.arn()).into()) } else { Ok(store) }
}

/// As [`find`]; a store that waits for its deletion is inactive.
pub(crate) async fn find_active(cx: &mut Call, reference: &str) -> Result<EventDataStore, ApiError> {
    let store = find(cx, reference).await?;
    if store.status == Status::PendingDeletion { Err(LakeError::StoreInactive(store.arn()).into()) } else { Ok(store) }
}
