//! Delivery: events of the log become files in the trail's bucket.
//!
//! A file's extent and name are committed before it is put, and what was put is committed after: a crash between the two puts the same
//! bytes under the same name again. What the bucket refuses stays in the log and is tried again, later and later; nothing is lost meanwhile.
//!
//! Source: CloudTrail User Guide, "CloudTrail log file examples" (names and folders) and "Finding your CloudTrail log files".

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;

use ::trail::statement::subject;
use ::trail::{Entry, Event, Statement, StatementKind};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use plane::transaction::{Abort, SCAN_LIMIT};
use plane::{ApiError, Key, Plane, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::{Revision, Table};
use transparency::merkle::sha256;
use wire::{FromValue as _, Struct, Value};

use crate::digest::{DigestChain, DigestPeriod};
use crate::log_group_delivery::LogGroupDelivery;
use crate::notification::Notices;
use crate::path;
use crate::trail::{self, Trail};

/// Log rows read at a time.
pub(crate) const ROWS: u32 = 256;
/// A file ends when its events are this large, or this many.
const FILE_BYTES: usize = 4 * 1024 * 1024;
const FILE_EVENTS: usize = 10_000;
/// The place in the log is written down after so many rows without an event for the trail.
pub(crate) const IDLE_ROWS: u64 = 1_000;
/// No event is committed later than this after its time: a call that takes longer was cut off.
const LATE_MS: i64 = 60 * 60 * 1000;
/// Wait after the first failure; doubled with each further one, up to the longest wait.
const RETRY_MS: i64 = 30_000;
const RETRY_MAX_MS: i64 = 3_600_000;
/// Files of one trail in one round; the rest waits for the next.
const ROUND_FILES: usize = 64;

/// How far a trail's delivery in one region has come.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Delivery {
    /// Everything in the log up to here is delivered, or not the trail's.
    pub cursor: u64,
    /// The newest time of an event up to there.
    #[serde(default)]
    pub newest_ms: Option<i64>,
    #[serde(default)]
    pub in_flight: Option<InFlight>,
    #[serde(default)]
    pub attempt_ms: Option<i64>,
    #[serde(default)]
    pub delivered_ms: Option<i64>,
    /// Error code of the last attempt, when it failed.
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub failures: u32,
    /// Not tried again before.
    #[serde(default)]
    pub retry_ms: i64,
    #[serde(default)]
    pub digests: DigestChain,
    #[serde(default)]
    pub notices: Notices,
}

/// A file that is being put.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InFlight {
    /// Last log row that belongs to it.
    pub to: u64,
    pub key: String,
    /// The time in its name, milliseconds since 1970.
    #[serde(default)]
    pub named_ms: i64,
    /// The digest of that time, if it was written without the file meanwhile.
    #[serde(default)]
    pub left_out_of: Option<DigestPeriod>,
}

impl Record for Delivery {
    const TABLE: Table = Table("cloudtrail-delivery");
    const SCOPE: Scope = Scope::Region;
}

impl Delivery {
    pub(crate) fn key(region: &str, trail_id: &str) -> Key {
        Key::new("", region).last(trail_id)
    }

    fn failed(&mut self, now_ms: i64, error: &ApiError) {
        self.attempt_ms = Some(now_ms);
        self.error = Some(error.code.to_string());
        self.retry_ms = now_ms.saturating_add(retry_wait_ms(self.failures));
        self.failures = self.failures.saturating_add(1);
    }

    fn succeeded(&mut self, now_ms: i64) {
        self.attempt_ms = Some(now_ms);
        self.delivered_ms = Some(now_ms);
        self.error = None;
        self.failures = 0;
        self.retry_ms = 0;
    }
}

/// How long to wait after so many failures and one more.
pub(crate) fn retry_wait_ms(failures: u32) -> i64 {
    RETRY_MS.saturating_mul(1_i64.checked_shl(failures.min(16)).unwrap_or(1)).min(RETRY_MAX_MS)
}

/// One trail in one region, while it is being delivered.
pub(crate) struct Course<'a> {
    pub plane: &'a Arc<Plane>,
    pub position: usize,
    pub region: &'a str,
    pub trail: &'a Trail,
    /// Whose events: the trail's own account, or a member of its organization.
    pub account: &'a str,
    /// Insights, which have files of their own, instead of calls.
    pub insights: bool,
    /// Asked for by the operator: waits are cut short and a digest is written now.
    pub now_please: bool,
}

/// Delivers what is due in a region. `now_please`: also what would wait for its hour or for another try.
pub async fn deliver(plane: &Arc<Plane>, position: usize, now_please: bool) -> Result<(), ApiError> {
    plane.regions.at(position)?.recorder.flush().await.map_err(|error| ApiError::unrecordable(&error))?;
    let region = plane.regions.at(position)?.name.clone();
    let mut tx = plane.transaction(position);
    let trails = trail::all(&mut tx).await?;
    if let Err(error) = crate::insight::observe(plane, position, &trails).await {
        tracing::warn!(%error, region, "insights will be looked for again");
    }
    forget_deleted(plane, position, &region, &trails).await?;
    for trail in trails.iter().filter(|trail| trail.covers(&region) && !trail.periods.is_empty()) {
        for account in accounts(plane, trail).await? {
            for insights in [false, true] {
                let course = Course { plane, position, region: &region, trail, account: &account, insights, now_please };
                if let Err(error) = course.run().await {
                    // One trail's trouble is not another's.
                    tracing::warn!(%error, trail = trail.arn(), "a trail's delivery will be tried again");
                }
            }
        }
    }
    Ok(())
}

/// The accounts whose events a trail delivers, each in files of its own.
async fn accounts(plane: &Arc<Plane>, trail: &Trail) -> Result<Vec<String>, ApiError> {
    let mut accounts = vec![trail.account.clone()];
    if let Some(id) = &trail.organization {
        let view = plane.organization(&trail.account).await?.filter(|view| view.organization.id == *id);
        let mut members: Vec<String> = view.map(|view| view.members.keys().cloned().collect()).unwrap_or_default();
        members.sort_unstable();
        accounts.extend(members);
    }
    Ok(accounts)
}

/// Takes away what was kept for trails that are gone.
async fn forget_deleted(plane: &Arc<Plane>, position: usize, region: &str, trails: &[Trail]) -> Result<(), ApiError> {
    let living: BTreeSet<&[u8]> = trails.iter().map(|trail| trail.id.as_bytes()).collect();
    let mut tx = plane.transaction(position);
    let kept = tx.scan::<Delivery>(&Key::new("", region), None, SCAN_LIMIT).await?;
    for (id, _) in kept.iter().filter(|(id, _)| !living.contains(id.split(|byte| *byte == b'/').next().unwrap_or_default())) {
        tx.delete::<Delivery>(&Key::new("", region).last(id));
    }
    let of_log_groups = tx.scan::<LogGroupDelivery>(&Key::new("", region), None, SCAN_LIMIT).await?;
    for (id, _) in of_log_groups.iter().filter(|(id, _)| !living.contains(id.split(|byte| *byte == b'/').next().unwrap_or_default())) {
        tx.delete::<LogGroupDelivery>(&Key::new("", region).last(id));
    }
    settle(tx).await.map(|_| ())
}

/// Commits what no call asked for. `false`: somebody else was faster.
pub(crate) async fn settle(tx: Transaction) -> Result<bool, ApiError> {
    settle_with(tx, Vec::new()).await
}

/// As [`settle`], with rows for the log in the same commit.
pub(crate) async fn settle_with(tx: Transaction, entries: Vec<(usize, Bytes)>) -> Result<bool, ApiError> {
    if !tx.has_writes() {
        return Ok(true);
    }
    match tx.commit(entries).await {
        Ok(()) => Ok(true),
        Err(Abort::Conflict) => Ok(false),
        Err(Abort::Failed(error)) => Err(error),
    }
}

impl Course<'_> {
    pub(crate) fn now_ms(&self) -> i64 {
        self.plane.clock.now_ms()
    }

    fn key(&self) -> Key {
        let id = &self.trail.id;
        match (self.account == self.trail.account, self.insights) {
            (true, false) => Delivery::key(self.region, id),
            (false, false) => Delivery::key(self.region, &format!("{id}/{}", self.account)),
            (_, true) => Delivery::key(self.region, &format!("{id}/{}/insight", self.account)),
        }
    }

    /// The state as it is now, in a transaction that writes it.
    pub(crate) async fn open(&self) -> Result<(Transaction, Delivery), ApiError> {
        let mut tx = self.plane.transaction(self.position);
        let found = tx.get::<Delivery>(&self.key()).await?;
        let delivery = match found {
            Some(delivery) => delivery,
            None => Delivery { cursor: self.first_row().await?, ..Delivery::default() },
        };
        Ok((tx, delivery))
    }

    pub(crate) async fn close(&self, tx: Transaction, delivery: &Delivery) -> Result<bool, ApiError> {
        self.close_with(tx, delivery, &[]).await
    }

    /// As [`Self::close`], with statements for the log in the same commit: a file counts as delivered exactly when the log says so.
    pub(crate) async fn close_with(&self, mut tx: Transaction, delivery: &Delivery, statements: &[Statement]) -> Result<bool, ApiError> {
        tx.put(&self.key(), delivery)?;
        let entries = statements.iter().map(|statement| (self.position, statement.to_bytes())).collect();
        settle_with(tx, entries).await
    }

    /// A log row that is surely before the first event of the time when logging was first on.
    async fn first_row(&self) -> Result<u64, ApiError> {
        // The log is in the order of commits and an event has the time at which its call began: a row behind the start may hold older ones.
        self.row_before(self.trail.periods.first().map_or(i64::MAX, |period| period.start_ms)).await
    }

    /// A log row that is surely before the first event of a time.
    pub(crate) async fn row_before(&self, time_ms: i64) -> Result<u64, ApiError> {
        let surely_before_ms = if time_ms == i64::MAX { time_ms } else { time_ms.saturating_sub(LATE_MS) };
        let store = Arc::clone(&self.plane.regions.at(self.position)?.store);
        let mut before = None;
        loop {
            let rows = store.log_before(before, ROWS).await?;
            let Some(last) = rows.last() else { return Ok(0) };
            before = Some(last.revision);
            for row in &rows {
                let older =
                    row.entries.first().is_some_and(|entry| Entry::header(entry).is_ok_and(|header| header.time_ms < surely_before_ms));
                if older {
                    return Ok(row.revision.0);
                }
            }
        }
    }

    async fn run(&self) -> Result<(), ApiError> {
        if self.insights && self.trail.insights.is_empty() {
            return Ok(());
        }
        for _ in 0..ROUND_FILES {
            if !self.deliver_file().await? {
                break;
            }
        }
        let told = self.notify().await;
        // A log group that takes nothing must not keep digests from being written.
        let to_log_group = self.deliver_to_log_group().await;
        if self.trail.log_file_validation && !self.insights {
            self.deliver_digests().await?;
        }
        told.and(to_log_group)
    }

    /// Delivers the next file. `false`: there is none, or it must wait.
    async fn deliver_file(&self) -> Result<bool, ApiError> {
        let (tx, mut delivery) = self.open().await?;
        if delivery.retry_ms > self.now_ms() && !self.now_please {
            return Ok(false);
        }
        let content = self.collect(&delivery).await?;
        if content.is_empty() && delivery.in_flight.is_none() {
            if content.to.saturating_sub(delivery.cursor) >= IDLE_ROWS {
                delivery.cursor = content.to;
                delivery.newest_ms = content.newest_seen_ms;
                self.close(tx, &delivery).await?;
            }
            return Ok(false);
        }
        let in_flight = if let Some(in_flight) = delivery.in_flight.clone() {
            in_flight
        } else {
            let named_ms = self.now_ms();
            let in_flight = InFlight {
                to: content.to,
                key: path::log_file(self.plane, self.trail, (self.account, self.region), self.insights, named_ms)?,
                named_ms,
                left_out_of: None,
            };
            delivery.in_flight = Some(in_flight.clone());
            if !self.close(tx, &delivery).await? {
                return Ok(true);
            }
            in_flight
        };
        let plain = content.json();
        let result = self.put(&in_flight.key, gzip(&plain)?, BTreeMap::new()).await;
        let (tx, mut delivery) = self.open().await?;
        let Some(current) = delivery.in_flight.take_if(|current| current.key == in_flight.key) else {
            // Another node has finished it.
            return Ok(true);
        };
        let mut statements = Vec::new();
        let delivered = match result {
            Ok(()) => {
                let name = format!("{}/{}", self.trail.bucket, in_flight.key);
                statements.push(Statement::new(StatementKind::LogFile, self.now_ms(), subject(&self.trail.arn()), &name, sha256(&plain)));
                delivery.succeeded(self.now_ms());
                delivery.cursor = in_flight.to;
                delivery.newest_ms = content.newest_seen_ms;
                if self.trail.topic_arn.is_some() {
                    delivery.notices.keys.push(in_flight.key.clone());
                }
                if self.trail.log_file_validation && !self.insights {
                    delivery.digests.add(content.delivered(self.trail, in_flight.key, &plain), current.left_out_of);
                }
                true
            }
            Err(error) => {
                delivery.in_flight = Some(current);
                delivery.failed(self.now_ms(), &error);
                false
            }
        };
        self.close_with(tx, &delivery, &statements).await?;
        Ok(delivered)
    }

    /// Events for the trail in the log rows behind those that are delivered: up to where the file in flight ends, or as many as a file holds.
    ///
    /// An event belongs to a logging period by its time, or by the newest time before it in the log: a clock that steps back leaves no event out
    /// that came after the start of logging.
    async fn collect(&self, delivery: &Delivery) -> Result<Content, ApiError> {
        let (after, to) = (delivery.cursor, delivery.in_flight.as_ref().map(|file| file.to));
        let store = Arc::clone(&self.plane.regions.at(self.position)?.store);
        let end = to.unwrap_or_else(|| store.head().borrow().0);
        let sealer = self.plane.sealer();
        let mut content = Content { to: after, newest_seen_ms: delivery.newest_ms, ..Content::default() };
        while content.to < end {
            let rows = store.log_after(Revision(content.to), ROWS).await?;
            if rows.is_empty() {
                break;
            }
            for row in rows {
                let full = to.is_none() && (content.bytes >= FILE_BYTES || content.events.len() >= FILE_EVENTS);
                if row.revision.0 > end || full {
                    return Ok(content);
                }
                for bytes in &row.entries {
                    let header = Entry::header(bytes).map_err(|error| ApiError::internal(&error))?;
                    let newest_ms = content.newest_seen_ms.map_or(header.time_ms, |newest| newest.max(header.time_ms));
                    content.newest_seen_ms = Some(newest_ms);
                    let is_logged = self.trail.logged_at(header.time_ms) || self.trail.logged_at(newest_ms);
                    if header.account != self.account || !is_logged {
                        continue;
                    }
                    let open = Entry::open_whole(bytes, &sealer).map_err(|error| ApiError::internal(&error))?;
                    if self.is_for_trail(&open.entry.record) {
                        content.add(open.record_json, header.time_ms);
                    }
                }
                content.to = row.revision.0;
            }
        }
        Ok(content)
    }

    pub(crate) fn is_for_trail(&self, event: &Event) -> bool {
        if (event.event_category == "Insight") != self.insights {
            return false;
        }
        if self.insights {
            let kind = event.insight_details.as_ref().and_then(|details| details.get("insightType")?.as_str());
            return self.trail.insights.iter().any(|selector| Some(selector.kind.name()) == kind);
        }
        let global = || facts::catalog().heads().iter().any(|head| head.global && head.event_source == event.event_source);
        self.trail.selectors.select(event) && (self.trail.global_service_events || !global())
    }

    /// Puts an object into the trail's bucket, as CloudTrail.
    pub(crate) async fn put(&self, key: &str, body: Bytes, metadata: BTreeMap<String, String>) -> Result<(), ApiError> {
        let mut input = Struct::new();
        let mut set = |name: &'static str, value: &str| input.set(name, Value::Str(value.to_owned()));
        set("Bucket", &self.trail.bucket);
        set("Key", key);
        set("ACL", "bucket-owner-full-control");
        set("ContentType", "application/json");
        set("ContentEncoding", "gzip");
        if let Some(arn) = &self.trail.kms_key_arn {
            let context = serde_json::json!({ "aws:cloudtrail:arn": self.trail.arn() }).to_string();
            set("ServerSideEncryption", "aws:kms");
            set("SSEKMSKeyId", arn);
            set("SSEKMSEncryptionContext", &base64::Engine::encode(&base64::engine::general_purpose::STANDARD, context));
        }
        if !metadata.is_empty() {
            input.set("Metadata", Value::Map(metadata.into_iter().map(|(name, value)| (name, Value::Str(value))).collect()));
        }
        let input = api_s3::PutObjectInput::from_value(Value::Struct(input)).map_err(|error| ApiError::internal(&error))?;
        let caller = crate::destination::caller(&self.trail.arn(), &self.trail.account);
        self.plane.call_as_service(&caller, &self.trail.bucket_region, input, Some(body)).await.map(|_| ())
    }
}

/// What goes into one file.
#[derive(Default)]
struct Content {
    /// Last log row looked at.
    to: u64,
    events: Vec<String>,
    bytes: usize,
    oldest_ms: Option<i64>,
    newest_ms: Option<i64>,
    /// Newest time of anything looked at.
    newest_seen_ms: Option<i64>,
}

impl Content {
    fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// `json` is the record as the log's tree has hashed it.
    fn add(&mut self, json: String, time_ms: i64) {
        self.bytes += json.len();
        self.events.push(json);
        self.oldest_ms = Some(self.oldest_ms.map_or(time_ms, |oldest| oldest.min(time_ms)));
        self.newest_ms = Some(self.newest_ms.map_or(time_ms, |newest| newest.max(time_ms)));
    }

    fn json(&self) -> Vec<u8> {
        format!("{{\"Records\":[{}]}}", self.events.join(",")).into_bytes()
    }

    fn delivered(&self, trail: &Trail, key: String, plain: &[u8]) -> DeliveredFile {
        DeliveredFile {
            bucket: trail.bucket.clone(),
            key,
            hash: sha256_hex(plain),
            oldest_ms: self.oldest_ms.unwrap_or_default(),
            newest_ms: self.newest_ms.unwrap_or_default(),
        }
    }
}

/// A file that waits for the digest that vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeliveredFile {
    pub bucket: String,
    pub key: String,
    /// SHA-256 of the uncompressed content, hexadecimal.
    pub hash: String,
    pub oldest_ms: i64,
    pub newest_ms: i64,
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(sha256(bytes))
}

pub(crate) fn gzip(plain: &[u8]) -> Result<Bytes, ApiError> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 4), Compression::default());
    encoder.write_all(plain).and_then(|()| encoder.finish()).map(Bytes::from).map_err(|error| ApiError::internal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_end() {
        let mut delivery = Delivery::default();
        let error = ApiError::new("AccessDenied", "no");
        let mut waits = Vec::new();
        for _ in 0..10 {
            delivery.failed(1_000, &error);
            waits.push(delivery.retry_ms - 1_000);
        }
        assert_eq!(waits.first(), Some(&RETRY_MS));
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(waits.last(), Some(&RETRY_MAX_MS));
        assert_eq!(delivery.error.as_deref(), Some("AccessDenied"));
        delivery.succeeded(5_000);
        assert_eq!((delivery.error, delivery.failures, delivery.retry_ms), (None, 0, 0));
    }
}
