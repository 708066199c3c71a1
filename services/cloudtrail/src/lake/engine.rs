//! The tables in memory, and what is running on them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use ::lake::{Basin, StopSignal};
use ::trail::Entry;
use plane::{ApiError, Plane};
use serde_json::Value as Json;
use store::Revision;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use super::event_data_store::{Content, EventDataStore};
use super::ingested;

/// Bytes that the tables of one account and region may take.
const BASIN_BYTES: u64 = 512 * 1024 * 1024;
/// Accounts and regions whose tables stay in memory; the one that was used longest ago goes first.
const BASINS_MAX: usize = 4;
/// Log rows read at a time.
const ROWS: u32 = 1_024;

/// Whose tables: account and region.
type Place = (String, String);

/// How far a table has followed its sources.
#[derive(Clone, Debug, Default)]
struct Cursor {
    /// By position of the region: the last log row that was looked at.
    log: BTreeMap<usize, u64>,
    /// By position of the region: the newest time of an event up to there.
    newest_ms: BTreeMap<usize, i64>,
    batch: u64,
    /// What the store was when the table was begun; another one begins anew.
    made_for: String,
}

/// Tables of one account in one region.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    basin: Option<Basin>,
    cursors: HashMap<String, Cursor>,
}

pub(crate) type TablesGuard = OwnedMutexGuard<Tables>;

#[derive(Debug, Default)]
struct Shared {
    tables: HashMap<Place, (u64, Arc<AsyncMutex<Tables>>)>,
    uses: u64,
    running: HashMap<String, StopSignal>,
}

/// What the process keeps for CloudTrail Lake.
#[derive(Debug, Default)]
pub(crate) struct LakeEngine {
    shared: Mutex<Shared>,
}

/// The engine of a plane; it comes with the service `cloudtrail-data`.
pub(crate) fn of(plane: &Arc<Plane>) -> Option<Arc<LakeEngine>> {
    plane.extension::<LakeEngine>("cloudtrail-data")
}

impl LakeEngine {
    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Marks a query as running here. `None`: it is already.
    pub(crate) fn begin(&self, query_id: &str) -> Option<StopSignal> {
        let mut shared = self.shared();
        if shared.running.contains_key(query_id) {
            return None;
        }
        let signal = StopSignal::default();
        shared.running.insert(query_id.to_owned(), signal.clone());
        Some(signal)
    }

    pub(crate) fn end(&self, query_id: &str) {
        self.shared().running.remove(query_id);
    }

    pub(crate) fn stop(&self, query_id: &str) {
        if let Some(signal) = self.shared().running.get(query_id) {
            signal.stop();
        }
    }

    /// The tables of an account in a region, for one query at a time.
    pub(crate) async fn tables(&self, account: &str, region: &str) -> TablesGuard {
        let tables = {
            let mut shared = self.shared();
            shared.uses += 1;
            let now = shared.uses;
            let place = (account.to_owned(), region.to_owned());
            let known = shared.tables.entry(place.clone()).or_default();
            known.0 = now;
            let tables = Arc::clone(&known.1);
            while shared.tables.len() > BASINS_MAX {
                let oldest = shared
                    .tables
                    .iter()
                    .filter(|(other, _)| **other != place)
                    .min_by_key(|(_, (used, _))| *used)
                    .map(|(place, _)| place.clone());
                match oldest {
                    Some(oldest) => shared.tables.remove(&oldest),
                    None => break,
                };
            }
            tables
        };
        tables.lock_owned().await
    }

    /// Forgets everyone's tables but those that are in use.
    pub(crate) fn forget_others(&self) {
        self.shared().tables.retain(|_, (_, tables)| Arc::strong_count(tables) > 1);
    }
}

/// Why a table could not follow its sources.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FillError {
    #[error(transparent)]
    Basin(#[from] ::lake::BasinError),
    #[error("{0}")]
    Api(ApiError),
}

impl From<ApiError> for FillError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

/// Runs work on the tables where it does not hold up other tasks.
pub(crate) async fn on_tables<T: Send + 'static>(
    mut guard: TablesGuard,
    work: impl FnOnce(&mut Tables) -> T + Send + 'static,
) -> Result<(TablesGuard, T), ApiError> {
    tokio::task::spawn_blocking(move || {
        let done = work(&mut guard);
        (guard, done)
    })
    .await
    .map_err(|error| ApiError::internal(&error))
}

impl Tables {
    pub(crate) fn basin(&mut self) -> Result<&mut Basin, ::lake::BasinError> {
        if self.basin.is_none() {
            self.basin = Some(Basin::new(BASIN_BYTES)?);
        }
        self.basin.as_mut().ok_or_else(|| ::lake::BasinError::Engine("the tables are missing".to_owned()))
    }

    /// Takes all tables away.
    pub(crate) fn clear(&mut self) {
        self.basin = None;
        self.cursors.clear();
    }

    pub(crate) fn forget(&mut self, store: &str) {
        self.cursors.remove(store);
        if let Some(basin) = &mut self.basin
            && basin.drop_table(store).is_err()
        {
            self.clear();
        }
    }
}

/// What a table must hold.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub store: EventDataStore,
    pub source: ::lake::Source,
    /// Only what this query needs, and only of its times: when everything does not fit.
    pub narrow: bool,
}

impl Wanted {
    /// Changes when what the store takes changes: then its table begins anew.
    fn made_for(&self) -> String {
        let selectors = serde_json::to_string(&self.store.content).unwrap_or_default();
        let configuration = serde_json::to_string(&self.store.configuration).unwrap_or_default();
        format!("{selectors} {} {} {configuration}", self.store.multi_region, self.narrow)
    }

    /// `newest_ms`: the newest time up to this event in its log.
    fn takes(&self, account: &str, time_ms: i64, newest_ms: i64, oldest_ms: i64) -> bool {
        // As with trails: after a step of the clock backwards an event belongs where the log has it.
        let was_taken = self.store.took_at(time_ms) || self.store.took_at(newest_ms);
        account == self.store.account && time_ms >= oldest_ms && was_taken && self.in_range(time_ms)
    }

    fn in_range(&self, time_ms: i64) -> bool {
        !self.narrow || (self.source.from_ms.is_none_or(|from| time_ms >= from) && self.source.to_ms.is_none_or(|to| time_ms <= to))
    }
}

/// Brings the store's table up to the end of its sources.
pub(crate) async fn fill(plane: &Arc<Plane>, mut guard: TablesGuard, wanted: &Wanted, stop: &StopSignal) -> Result<TablesGuard, FillError> {
    let id = wanted.store.id.clone();
    let oldest_ms = wanted.store.oldest_ms(plane.clock.now_ms());
    let begun = {
        let (id, wanted) = (id.clone(), wanted.clone());
        let (returned, begun) = on_tables(guard, move |tables| begin(tables, &id, &wanted, oldest_ms)).await?;
        guard = returned;
        begun
    };
    let mut cursor = begun?;
    if matches!(wanted.store.content, Content::Events(_)) {
        let regions: Vec<(usize, String)> = plane.regions.iter().enumerate().map(|(at, region)| (at, region.name.clone())).collect();
        for (position, region) in regions {
            if wanted.store.multi_region || region == wanted.store.region {
                guard = follow_log(plane, guard, wanted, position, oldest_ms, &mut cursor, stop).await?;
            }
        }
    }
    guard = follow_batches(plane, guard, wanted, oldest_ms, &mut cursor, stop).await?;
    if !wanted.narrow {
        guard.cursors.insert(id, cursor);
    }
    Ok(guard)
}

fn begin(tables: &mut Tables, id: &str, wanted: &Wanted, oldest_ms: i64) -> Result<Cursor, ::lake::BasinError> {
    let made_for = wanted.made_for();
    let columns = &wanted.source.columns;
    let known = tables.cursors.remove(id).filter(|cursor| cursor.made_for == made_for);
    let basin = tables.basin()?;
    if let Some(cursor) = known
        && basin.has(id, columns)
    {
        basin.expire(id, oldest_ms)?;
        return Ok(cursor);
    }
    if wanted.narrow {
        basin.begin_narrow(id, columns)?;
    } else {
        basin.begin(id, columns)?;
    }
    Ok(Cursor { made_for, ..Cursor::default() })
}

async fn follow_log(
    plane: &Arc<Plane>,
    mut guard: TablesGuard,
    wanted: &Wanted,
    position: usize,
    oldest_ms: i64,
    cursor: &mut Cursor,
    stop: &StopSignal,
) -> Result<TablesGuard, FillError> {
    let region = plane.regions.at(position)?;
    region.recorder.flush().await.map_err(|error| ApiError::unrecordable(&error))?;
    let store = Arc::clone(&region.store);
    let end = store.head().borrow().0;
    let mut at = cursor.log.get(&position).copied().unwrap_or_default();
    let newest_ms = cursor.newest_ms.entry(position).or_insert(i64::MIN);
    while at < end {
        if stop.is_stopped() {
            return Err(::lake::BasinError::Stopped.into());
        }
        let rows = store.log_after(Revision(at), ROWS).await.map_err(ApiError::from)?;
        let Some(last) = rows.last() else { break };
        at = last.revision.0;
        let sealed: Vec<_> = rows
            .into_iter()
            .flat_map(|row| row.entries)
            .filter(|bytes| {
                Entry::header(bytes).is_ok_and(|header| {
                    *newest_ms = (*newest_ms).max(header.time_ms);
                    wanted.takes(&header.account, header.time_ms, *newest_ms, oldest_ms)
                })
            })
            .collect();
        if sealed.is_empty() {
            continue;
        }
        let (plane, store) = (Arc::clone(plane), wanted.store.clone());
        let (returned, appended) = on_tables(guard, move |tables| {
            let sealer = plane.sealer();
            let mut events: Vec<(Json, usize)> = Vec::with_capacity(sealed.len());
            for bytes in &sealed {
                let entry = Entry::open(bytes, &sealer).map_err(|error| ApiError::internal(&error))?;
                let Content::Events(selectors) = &store.content else { continue };
                if selectors.select(&entry.record) {
                    events.push((store.configuration.event(&entry)?, bytes.len()));
                }
            }
            tables.basin()?.append(&store.id, events.iter().map(|(event, size)| (event, *size)))?;
            Ok::<(), FillError>(())
        })
        .await?;
        guard = returned;
        appended?;
    }
    cursor.log.insert(position, at);
    Ok(guard)
}

async fn follow_batches(
    plane: &Arc<Plane>,
    mut guard: TablesGuard,
    wanted: &Wanted,
    oldest_ms: i64,
    cursor: &mut Cursor,
    stop: &StopSignal,
) -> Result<TablesGuard, FillError> {
    let position = plane.regions.position(&wanted.store.region).unwrap_or_default();
    while cursor.batch < wanted.store.next_batch {
        if stop.is_stopped() {
            return Err(::lake::BasinError::Stopped.into());
        }
        let mut tx = plane.transaction(position);
        let (batches, next) = ingested::from(&mut tx, &wanted.store, cursor.batch).await?;
        if batches.is_empty() {
            break;
        }
        cursor.batch = next;
        let wanted = wanted.clone();
        let (returned, appended) = on_tables(guard, move |tables| {
            let events = batches.iter().flat_map(|batch| &batch.events).filter(|event| {
                let time = event.get("eventTime").and_then(Json::as_str).and_then(plane::clock::parse_iso8601);
                time.is_some_and(|time_ms| time_ms >= oldest_ms && wanted.in_range(time_ms))
            });
            let sized: Vec<(&Json, usize)> = events.map(|event| (event, event.to_string().len())).collect();
            tables.basin()?.append(&wanted.store.id, sized)
        })
        .await?;
        guard = returned;
        appended?;
    }
    Ok(guard)
}
