//! The ledger: every entry of a store's log, in the log's order, as a leaf of a Merkle tree and in an index for lookups.
//!
//! Both follow from the log alone: the ledger reads it from where it stopped, and writes full bundles of 256 leaves together with the place
//! that it has come to, in one commit that fails when another node was faster. What is not a full bundle yet is in memory and is read again
//! at the next start. So no leaf is there twice and none is left out, whenever the process is killed.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use store::{Batch, CommitError, Expect, Revision, Snapshot, Store, StoreError, Table, Write};
use tokio::sync::Mutex;
use transparency::merkle::{self, Hash};
use transparency::tile::{self, TileGap, TileSubtrees, WIDTH};

use crate::bundle::{Bundle, Place};
use crate::entry::{Entry, EntryError, Sealer};
use crate::leaf::Leaf;
use crate::posting::{self, Cut, Lists};
use crate::statement::Statement;
use crate::tag::{Tag, tags};

/// Log rows read at a time.
const ROWS: u32 = 512;
/// Log rows of one step of pruning.
const PRUNED_ROWS: u32 = 4096;
/// Bundles of one commit.
const BUNDLES: usize = 32;
/// Bundles whose times stand in one row.
const TIMES: u64 = 256;
/// Tiles above the leaves that are kept in memory.
const TILES_KEPT: usize = 4096;

pub(crate) const STATE: Table = Table("trail-ledger");
const BUNDLE: Table = Table("trail-bundle");
const TILE: Table = Table("trail-tile");
const TIME: Table = Table("trail-time");
pub(crate) const POSTING: Table = Table("trail-posting");
const STATE_KEY: &[u8] = b"state";

/// Tiles by level and number.
type Tiles = HashMap<(u8, u64), Arc<Vec<Hash>>>;

/// The ledger cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Entry(#[from] EntryError),
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    #[error("the log has no such leaf or size")]
    Outside,
    #[error(transparent)]
    Note(#[from] transparency::note::NoteError),
}

impl From<TileGap> for LedgerError {
    fn from(gap: TileGap) -> Self {
        match gap {
            TileGap::Missing(level, number) => Self::Damaged(format!("the tile `{number}` of level `{level}` is missing")),
            TileGap::Outside | TileGap::Proof(_) => Self::Outside,
        }
    }
}

/// What pruning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Log rows that went.
    pub rows: u64,
    /// Number of the first leaf whose event may still be there.
    pub first_leaf: u64,
}

/// One run of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    pub level: u8,
    /// First leaf.
    pub start: u64,
    #[serde(default)]
    pub cut: Cut,
}

impl Run {
    fn new(level: u8, start: u64) -> Self {
        Self { level, start, cut: Cut::Fine }
    }
}

/// What is written down: a whole number of bundles.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Written {
    /// Leaves in full bundles.
    pub size: u64,
    /// Log row that the next leaf may be in, and how many of its entries are leaves already.
    revision: u64,
    taken: u32,
    /// Oldest first.
    #[serde(default)]
    pub runs: Vec<Run>,
}

/// A leaf that is not in a full bundle yet.
#[derive(Clone, Debug)]
pub(crate) struct TailLeaf {
    pub place: Place,
    pub leaf: Leaf,
    pub tags: Vec<Tag>,
    pub time_ms: i64,
}

#[derive(Default)]
pub(crate) struct State {
    opened: bool,
    pub written: Written,
    version: Option<Revision>,
    /// Earliest and latest time of each full bundle.
    pub times: Vec<(i64, i64)>,
    /// Partial tile of each level, from level 1.
    edges: Vec<Vec<Hash>>,
    pub tail: Vec<TailLeaf>,
    read_to: u64,
}

/// See the module's documentation. One per store.
pub struct Ledger {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sealer: Arc<dyn Sealer>,
    /// Origin line of the checkpoints.
    pub(crate) origin: String,
    pub(crate) state: Mutex<State>,
    stale: AtomicBool,
    tiles: std::sync::Mutex<Tiles>,
    pub(crate) signing: Mutex<Option<Arc<crate::signed_log::LogKeys>>>,
    pub(crate) last_signed: Mutex<Option<(u64, transparency::SignedNote)>>,
}

impl State {
    pub(crate) fn size(&self) -> u64 {
        self.written.size + self.tail.len() as u64
    }
}

impl Ledger {
    /// `origin` names the log in its checkpoints, for ever.
    pub fn new(store: Arc<dyn Store>, sealer: Arc<dyn Sealer>, origin: String) -> Self {
        Self {
            store,
            sealer,
            origin,
            state: Mutex::default(),
            stale: AtomicBool::new(false),
            tiles: std::sync::Mutex::default(),
            signing: Mutex::default(),
            last_signed: Mutex::default(),
        }
    }

    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The store was set back: nothing that is in memory counts any more.
    pub fn forget(&self) {
        self.stale.store(true, Ordering::SeqCst);
    }

    /// Takes in what the log has; gives the number of leaves.
    pub async fn advance(&self) -> Result<u64, LedgerError> {
        let mut state = self.state.lock().await;
        self.catch_up(&mut state).await?;
        Ok(state.size())
    }

    pub(crate) async fn catch_up(&self, state: &mut State) -> Result<(), LedgerError> {
        let head = self.store.head().borrow().0;
        if self.stale.swap(false, Ordering::SeqCst) || head < state.read_to {
            *state = State::default();
            self.kept_tiles().clear();
            *self.signing.lock().await = None;
            *self.last_signed.lock().await = None;
        }
        if !state.opened {
            self.open(state).await?;
        }
        while state.read_to < head {
            let rows = self.store.log_after(Revision(state.read_to), ROWS).await?;
            let Some(last) = rows.last().map(|row| row.revision.0) else { break };
            for row in rows {
                for (index, bytes) in row.entries.iter().enumerate() {
                    let place = Place { revision: row.revision.0, index: u32::try_from(index).unwrap_or(u32::MAX) };
                    if place.revision == state.written.revision && place.index < state.written.taken {
                        continue;
                    }
                    state.tail.push(self.leaf(place, bytes)?);
                }
            }
            state.read_to = last;
            self.write_full(state).await?;
        }
        Ok(())
    }

    fn leaf(&self, place: Place, bytes: &[u8]) -> Result<TailLeaf, LedgerError> {
        let header = Entry::header(bytes)?;
        if header.account.is_empty() {
            return Ok(TailLeaf { place, leaf: Leaf::Statement(Statement::parse(bytes)?), tags: Vec::new(), time_ms: header.time_ms });
        }
        if let (Some(hash), Some(tags)) = (Entry::record_hash(bytes), Entry::header_tags(bytes)) {
            return Ok(TailLeaf { place, leaf: Leaf::Event(hash), tags, time_ms: header.time_ms });
        }
        // Written before entries had hashes and tags.
        let open = Entry::open_whole(bytes, self.sealer.as_ref())?;
        let tags = tags(&self.sealer.tag_key()?, &open.entry.record, open.entry.is_denied());
        Ok(TailLeaf { place, leaf: Leaf::Event(merkle::sha256(open.record_json.as_bytes())), tags, time_ms: header.time_ms })
    }

    async fn open(&self, state: &mut State) -> Result<(), LedgerError> {
        let snapshot = self.store.snapshot().await?;
        self.read_written(snapshot.as_ref(), state).await?;
        state.tail.clear();
        // The row that the last bundle ended in may hold more leaves.
        state.read_to = state.written.revision.saturating_sub(1);
        state.opened = true;
        Ok(())
    }

    /// Reads what is written down, not the tail.
    async fn read_written(&self, snapshot: &dyn Snapshot, state: &mut State) -> Result<(), LedgerError> {
        let damaged = |what: &str| LedgerError::Damaged(format!("the {what} cannot be read"));
        let row = snapshot.get(STATE, STATE_KEY).await?;
        state.version = row.as_ref().map(|row| row.version);
        state.written = match row {
            Some(row) => serde_json::from_slice(&row.value).map_err(|_| damaged("state"))?,
            None => Written::default(),
        };
        let bundles = state.written.size / WIDTH;
        state.times.clear();
        for number in 0..bundles.div_ceil(TIMES) {
            let row = snapshot.get(TIME, &number.to_be_bytes()).await?.ok_or_else(|| damaged("times"))?;
            for pair in row.value.as_chunks::<16>().0 {
                let ([earliest, latest], _) = pair.as_chunks::<8>() else { return Err(damaged("times")) };
                state.times.push((i64::from_be_bytes(*earliest), i64::from_be_bytes(*latest)));
            }
        }
        state.edges.clear();
        let mut level = 1_u8;
        loop {
            let length = tile::level_length(state.written.size, level);
            if length == 0 {
                break;
            }
            let width = usize::try_from(length % WIDTH).map_err(|_| damaged("tiles"))?;
            let mut edge = Vec::new();
            if width > 0 {
                edge = self.read_tile(snapshot, level, length / WIDTH).await?;
                edge.truncate(width);
            }
            state.edges.push(edge);
            level = level.saturating_add(1);
        }
        Ok(())
    }

    async fn read_tile(&self, snapshot: &dyn Snapshot, level: u8, number: u64) -> Result<Vec<Hash>, LedgerError> {
        let missing = || LedgerError::Damaged(format!("the tile `{number}` of level `{level}` is missing"));
        let row = snapshot.get(TILE, &tile_key(level, number)).await?.ok_or_else(missing)?;
        tile::split_tile(&row.value).map_err(|_| missing())
    }

    /// Writes the full bundles of the tail down.
    async fn write_full(&self, state: &mut State) -> Result<(), LedgerError> {
        let width = usize::try_from(WIDTH).unwrap_or(usize::MAX);
        while state.tail.len() >= width {
            let bundles = (state.tail.len() / width).min(BUNDLES);
            let Batches { batch, written, times, edges } = batch(state, bundles)?;
            match self.store.commit(batch).await {
                Ok(revision) => {
                    state.tail.drain(..bundles * width);
                    state.written = written;
                    state.times = times;
                    state.edges = edges;
                    state.version = Some(revision);
                }
                Err(CommitError::Conflict) => {
                    // Another node wrote them. What it took is no longer the tail.
                    let snapshot = self.store.snapshot().await?;
                    self.read_written(snapshot.as_ref(), state).await?;
                    let (revision, taken) = (state.written.revision, state.written.taken);
                    state.tail.retain(|leaf| (leaf.place.revision, leaf.place.index) >= (revision, taken));
                }
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Joins runs of the index while there are enough of a level. `false`: there was nothing to do.
    pub async fn compact(&self) -> Result<bool, LedgerError> {
        let Some(runs) = ripe(&self.state.lock().await.written.runs) else { return Ok(false) };
        let Some(first) = runs.first().copied() else { return Ok(false) };
        let level = first.level + 1;
        let snapshot = self.store.snapshot().await?;
        let mut writes = Vec::new();
        let joined = Run::new(level, first.start);
        // Blocks that hold the same tags, as far as the coarsest cut among the runs tells them apart.
        let coarsest = runs.iter().map(|run| run.cut.bits(run.level)).min().unwrap_or_default();
        for common in 0..1_u32 << coarsest {
            let mut blocks = Vec::with_capacity(runs.len());
            for run in &runs {
                let finer = run.cut.bits(run.level) - coarsest;
                for block in common << finer..(common + 1) << finer {
                    // A block without a list is not written.
                    let row = snapshot.get(POSTING, &posting_key(*run, block)).await?;
                    blocks.extend(row.map(|row| (run.start, row.value.to_vec())));
                    writes.push(Write::Delete { table: POSTING, key: posting_key(*run, block).into() });
                }
            }
            for (number, block) in posting::merge(&blocks, level, joined.start) {
                writes.push(Write::Put { table: POSTING, key: posting_key(joined, number).into(), value: block.into() });
            }
        }
        let mut state = self.state.lock().await;
        let mut written = state.written.clone();
        let Some(at) = written.runs.iter().position(|run| *run == first) else { return Ok(true) };
        if written.runs.get(at..at + runs.len()) != Some(runs.as_slice()) {
            return Ok(true);
        }
        written.runs.splice(at..at + runs.len(), [joined]);
        writes.push(state_row(&written)?);
        let expect = vec![Expect::Version { table: STATE, key: Bytes::from_static(STATE_KEY), version: state.version }];
        match self.store.commit(Batch { expect, writes, log: Vec::new() }).await {
            Ok(revision) => {
                state.written = written;
                state.version = Some(revision);
                Ok(true)
            }
            // Another node is at it.
            Err(CommitError::Conflict) => Ok(false),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// Takes away events that are older than a time: rows of the store's log, from the beginning, in whole bundles, and never a row from
    /// revision `keep_from` on. **Kept for ever** are the hash of every leaf, the statements, all tiles and the time range of each bundle, so
    /// checkpoints, inclusion and consistency proofs of every size stay as they are. What goes is the events' sealed bodies, with accounts,
    /// times and tags in their headers, and the runs of the index that speak of them alone.
    pub async fn prune(&self, before_ms: i64, keep_from: Revision) -> Result<Pruned, LedgerError> {
        let (bound, first_leaf) = {
            let mut state = self.state.lock().await;
            self.catch_up(&mut state).await?;
            let bundles = state.times.iter().take_while(|(_, latest)| *latest < before_ms).count() as u64;
            let snapshot = self.store.snapshot().await?;
            // The row that the last full bundle ends in may hold leaves that are in none yet.
            let old = if bundles * WIDTH < state.written.size {
                let first = self.bundle(snapshot.as_ref(), bundles).await?.places.first().copied();
                first.ok_or_else(|| LedgerError::Damaged(format!("the bundle `{bundles}` is empty")))?.revision
            } else {
                state.written.revision
            };
            let bound = old.min(keep_from.0);
            (bound, self.first_leaf_from(snapshot.as_ref(), bound, bundles).await?)
        };
        let mut pruned = Pruned { rows: 0, first_leaf };
        loop {
            let gone = self.store.prune_log(Revision(bound), PRUNED_ROWS).await?;
            pruned.rows += gone;
            if gone < u64::from(PRUNED_ROWS) {
                break;
            }
        }
        if pruned.rows > 0 {
            self.forget_runs(first_leaf).await?;
        }
        Ok(pruned)
    }

    /// Number of the first leaf, of those in the first bundles, that is in a log row from a revision on.
    async fn first_leaf_from(&self, snapshot: &dyn Snapshot, revision: u64, bundles: u64) -> Result<u64, LedgerError> {
        let (mut low, mut high) = (0, bundles);
        while low < high {
            let middle = low + (high - low) / 2;
            let places = self.bundle(snapshot, middle).await?.places;
            if places.last().is_some_and(|place| place.revision < revision) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        if low == bundles {
            return Ok(low * WIDTH);
        }
        let places = self.bundle(snapshot, low).await?.places;
        Ok(low * WIDTH + places.partition_point(|place| place.revision < revision) as u64)
    }

    /// Takes away the runs of the index that speak only of leaves below this one.
    async fn forget_runs(&self, first_leaf: u64) -> Result<(), LedgerError> {
        let mut state = self.state.lock().await;
        let mut written = state.written.clone();
        let is_over = |run: &Run| run.start.saturating_add(posting::run_length(run.level)) <= first_leaf;
        let over: Vec<Run> = written.runs.iter().copied().filter(is_over).collect();
        if over.is_empty() {
            return Ok(());
        }
        written.runs.retain(|run| !is_over(run));
        let mut writes: Vec<Write> = over
            .iter()
            .flat_map(|run| (0..run.cut.block_count(run.level)).map(|block| posting_key(*run, block)))
            .map(|key| Write::Delete { table: POSTING, key: key.into() })
            .collect();
        writes.push(state_row(&written)?);
        let expect = vec![Expect::Version { table: STATE, key: Bytes::from_static(STATE_KEY), version: state.version }];
        match self.store.commit(Batch { expect, writes, log: Vec::new() }).await {
            Ok(revision) => {
                state.written = written;
                state.version = Some(revision);
                Ok(())
            }
            // Another node is at it; a run that stays is in nobody's way.
            Err(CommitError::Conflict) => Ok(()),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    fn kept_tiles(&self) -> std::sync::MutexGuard<'_, Tiles> {
        self.tiles.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Where the leaves of a full bundle are in the log.
    pub(crate) async fn places(&self, snapshot: &dyn Snapshot, number: u64) -> Result<Vec<Place>, LedgerError> {
        let missing = || LedgerError::Damaged(format!("the bundle `{number}` is missing"));
        let row = snapshot.get(BUNDLE, &number.to_be_bytes()).await?.ok_or_else(missing)?;
        Bundle::places(&row.value).ok_or_else(missing)
    }

    /// A full bundle.
    pub(crate) async fn bundle(&self, snapshot: &dyn Snapshot, number: u64) -> Result<Bundle, LedgerError> {
        let missing = || LedgerError::Damaged(format!("the bundle `{number}` is missing"));
        let row = snapshot.get(BUNDLE, &number.to_be_bytes()).await?.ok_or_else(missing)?;
        Bundle::parse(&row.value).ok_or_else(missing)
    }

    /// Hashes of a tile in the tree of what the state holds, partial ones with what they have.
    pub(crate) async fn tile(&self, state: &State, snapshot: &dyn Snapshot, level: u8, number: u64) -> Result<Arc<Vec<Hash>>, LedgerError> {
        let full = tile::level_length(state.written.size, level) / WIDTH;
        if level == 0 {
            let hashes = match number.cmp(&full) {
                std::cmp::Ordering::Less => self.bundle(snapshot, number).await?.leaf_hashes(),
                std::cmp::Ordering::Equal => state.tail.iter().map(|leaf| leaf.leaf.hash()).collect(),
                std::cmp::Ordering::Greater => return Err(LedgerError::Outside),
            };
            return Ok(Arc::new(hashes));
        }
        if number >= full {
            let edge = state.edges.get(usize::from(level) - 1).filter(|edge| number == full && !edge.is_empty());
            return edge.map(|edge| Arc::new(edge.clone())).ok_or(LedgerError::Outside);
        }
        if let Some(kept) = self.kept_tiles().get(&(level, number)) {
            return Ok(Arc::clone(kept));
        }
        let hashes = Arc::new(self.read_tile(snapshot, level, number).await?);
        let mut kept = self.kept_tiles();
        if kept.len() >= TILES_KEPT {
            kept.clear();
        }
        kept.insert((level, number), Arc::clone(&hashes));
        Ok(hashes)
    }

    /// Computes over tiles, fetching each one that the computation asks for.
    pub(crate) async fn over_tiles<T>(
        &self,
        state: &State,
        compute: impl Fn(&mut TileSubtrees<'_>) -> Result<T, TileGap>,
    ) -> Result<T, LedgerError> {
        let snapshot = self.store.snapshot().await?;
        let mut tiles = Tiles::new();
        loop {
            let result = {
                let find = |level, number| tiles.get(&(level, number)).cloned();
                compute(&mut TileSubtrees { tile: &find })
            };
            match result {
                Err(TileGap::Missing(level, number)) if !tiles.contains_key(&(level, number)) => {
                    let hashes = self.tile(state, snapshot.as_ref(), level, number).await?;
                    tiles.insert((level, number), hashes);
                }
                result => return Ok(result?),
            }
        }
    }
}

/// The writes that turn the tail's first full bundles into rows.
fn batch(state: &State, bundles: usize) -> Result<Batches, LedgerError> {
    let width = usize::try_from(WIDTH).unwrap_or(usize::MAX);
    let mut written = state.written.clone();
    let (mut times, mut edges) = (state.times.clone(), state.edges.clone());
    let mut writes = Vec::new();
    let put = |table: Table, key: Vec<u8>, value: Vec<u8>| Write::Put { table, key: key.into(), value: value.into() };
    let mut changed: std::collections::BTreeMap<(u8, u64), Vec<Hash>> = std::collections::BTreeMap::new();
    for leaves in state.tail.chunks_exact(width).take(bundles) {
        let number = written.size / WIDTH;
        let bundle = Bundle::new(leaves.iter().map(|leaf| (leaf.leaf, leaf.place)));
        writes.push(put(BUNDLE, number.to_be_bytes().to_vec(), bundle.to_bytes()));
        let earliest = leaves.iter().map(|leaf| leaf.time_ms).min().unwrap_or_default();
        times.push((earliest, leaves.iter().map(|leaf| leaf.time_ms).max().unwrap_or_default()));
        add_to_edges(&mut edges, merkle::root(leaves.iter().map(|leaf| leaf.leaf.hash())), number, &mut changed);
        let mut lists = Lists::new();
        for (leaf, place) in leaves.iter().zip(written.size..) {
            leaf.tags.iter().for_each(|tag| lists.entry(*tag).or_default().push(place));
        }
        let run = Run::new(0, written.size);
        writes.push(put(POSTING, posting_key(run, 0), posting::encode(&lists, run.start)));
        written.runs.push(run);
        written.size += WIDTH;
        let last = leaves.last().ok_or(LedgerError::Outside)?.place;
        (written.revision, written.taken) = (last.revision, last.index.saturating_add(1));
    }
    for ((level, number), hashes) in changed {
        writes.push(put(TILE, tile_key(level, number), hashes.concat()));
    }
    let first = state.written.size / WIDTH / TIMES;
    for number in first..(written.size / WIDTH).div_ceil(TIMES) {
        let from = usize::try_from(number * TIMES).map_err(|_| LedgerError::Outside)?;
        let row: Vec<u8> = times
            .iter()
            .skip(from)
            .take(usize::try_from(TIMES).unwrap_or(usize::MAX))
            .flat_map(|(earliest, latest)| [earliest.to_be_bytes(), latest.to_be_bytes()].concat())
            .collect();
        writes.push(put(TIME, number.to_be_bytes().to_vec(), row));
    }
    writes.push(state_row(&written)?);
    let expect = vec![Expect::Version { table: STATE, key: Bytes::from_static(STATE_KEY), version: state.version }];
    Ok(Batches { batch: Batch { expect, writes, log: Vec::new() }, written, times, edges })
}

/// The leaves that a store knows without any key: of events that are pruned, as the tree was written down; of the others, from its log, so that
/// a log which was altered behind the tree's back is told by its root.
pub async fn all_leaves(store: &dyn Store) -> Result<Vec<Leaf>, LedgerError> {
    let mut after = Revision(0);
    let mut leaves = Vec::new();
    loop {
        let rows = store.log_after(after, ROWS).await?;
        let Some(last) = rows.last() else { return Ok(leaves) };
        if after.0 == 0 {
            let first = rows.first().map_or(0, |row| row.revision.0);
            leaves = pruned_leaves(store, first).await?;
        }
        after = last.revision;
        for bytes in rows.iter().flat_map(|row| &row.entries) {
            leaves.push(match Entry::record_hash(bytes) {
                Some(hash) => Leaf::Event(hash),
                None => Leaf::Statement(Statement::parse(bytes)?),
            });
        }
    }
}

/// The written leaves of log rows before a revision.
async fn pruned_leaves(store: &dyn Store, before: u64) -> Result<Vec<Leaf>, LedgerError> {
    let damaged = |what: &str| LedgerError::Damaged(format!("the {what} cannot be read"));
    let snapshot = store.snapshot().await?;
    let Some(row) = snapshot.get(STATE, STATE_KEY).await? else { return Ok(Vec::new()) };
    let written: Written = serde_json::from_slice(&row.value).map_err(|_| damaged("state"))?;
    let mut leaves = Vec::new();
    for number in 0..written.size / WIDTH {
        let row = snapshot.get(BUNDLE, &number.to_be_bytes()).await?.ok_or_else(|| damaged("bundle"))?;
        let bundle = Bundle::parse(&row.value).ok_or_else(|| damaged("bundle"))?;
        for (entry, place) in tile::split_bundle(&bundle.entries).map_err(|_| damaged("bundle"))?.into_iter().zip(&bundle.places) {
            if place.revision >= before {
                return Ok(leaves);
            }
            leaves.push(Leaf::parse(entry)?);
        }
    }
    Ok(leaves)
}

struct Batches {
    batch: Batch,
    written: Written,
    times: Vec<(i64, i64)>,
    edges: Vec<Vec<Hash>>,
}

fn state_row(written: &Written) -> Result<Write, LedgerError> {
    let value = serde_json::to_vec(written).map_err(|error| LedgerError::Damaged(error.to_string()))?;
    Ok(Write::Put { table: STATE, key: Bytes::from_static(STATE_KEY), value: value.into() })
}

/// The oldest runs of one level that are enough to be joined.
fn ripe(runs: &[Run]) -> Option<Vec<Run>> {
    (0..posting::TOP_LEVEL).find_map(|level| {
        let of_level: Vec<Run> = runs.iter().copied().filter(|run| run.level == level).collect();
        of_level.get(..posting::FAN).map(<[Run]>::to_vec)
    })
}

fn tile_key(level: u8, number: u64) -> Vec<u8> {
    [&[level], number.to_be_bytes().as_slice()].concat()
}

pub(crate) fn posting_key(run: Run, block: u32) -> Vec<u8> {
    [&[run.level], run.start.to_be_bytes().as_slice(), block.to_be_bytes().as_slice()].concat()
}

/// Adds the root of a full tile of leaves to the levels above; notes each tile that changed.
fn add_to_edges(edges: &mut Vec<Vec<Hash>>, hash: Hash, number: u64, changed: &mut std::collections::BTreeMap<(u8, u64), Vec<Hash>>) {
    let (mut hash, mut number) = (hash, number);
    for level in 1..u8::MAX {
        let place = usize::from(level) - 1;
        if edges.len() <= place {
            edges.push(Vec::new());
        }
        let Some(edge) = edges.get_mut(place) else { return };
        edge.push(hash);
        changed.insert((level, number / WIDTH), edge.clone());
        if (edge.len() as u64) < WIDTH {
            return;
        }
        hash = merkle::root(edge.iter().copied());
        edge.clear();
        number /= WIDTH;
    }
}
