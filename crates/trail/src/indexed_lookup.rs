//! Lookups through the ledger's index.

use bytes::Bytes;
use store::{Revision, Snapshot};
use transparency::tile::WIDTH;

use crate::bundle::Place;
use crate::entry::Entry;
use crate::ledger::{Ledger, LedgerError, POSTING, Run, State, posting_key};
use crate::lookup::{Filter, header_matches, matches};
use crate::posting;
use crate::tag::{ACCOUNT, DENIED, INSIGHT, Tag, tag};

/// Events found, newest first, and where the next page begins.
#[derive(Debug, Default)]
pub struct FoundEvents {
    pub entries: Vec<Entry>,
    /// Number of the last leaf given; the next page is below it. `None`: there is no more.
    pub next: Option<u64>,
}

/// Reads entries by leaf number, keeping what it read last.
struct Reader<'a> {
    ledger: &'a Ledger,
    snapshot: Box<dyn Snapshot>,
    /// Number of a bundle, and its places.
    bundle: Option<(u64, Vec<Place>)>,
    /// Row of the last entry, and all its entries once a second one was asked for.
    row: Option<(u64, Option<Vec<Bytes>>)>,
}

impl<'a> Reader<'a> {
    fn new(ledger: &'a Ledger, snapshot: Box<dyn Snapshot>) -> Self {
        Self { ledger, snapshot, bundle: None, row: None }
    }

    async fn place(&mut self, leaf: u64) -> Result<Place, LedgerError> {
        let number = leaf / WIDTH;
        if self.bundle.as_ref().is_none_or(|(kept, _)| *kept != number) {
            self.bundle = Some((number, self.ledger.places(self.snapshot.as_ref(), number).await?));
        }
        let at = usize::try_from(leaf % WIDTH).map_err(|_| LedgerError::Outside)?;
        self.bundle.as_ref().and_then(|(_, places)| places.get(at).copied()).ok_or(LedgerError::Outside)
    }

    /// `None`: the log is pruned up to here. Events that are far apart are read alone, neighbours with their row: rows that older programs
    /// wrote have thousands.
    async fn entry(&mut self, place: Place) -> Result<Option<Bytes>, LedgerError> {
        let store = &self.ledger.store;
        if self.row.as_ref().is_none_or(|(revision, _)| *revision != place.revision) {
            self.row = Some((place.revision, None));
            return Ok(store.log_entry(Revision(place.revision), place.index).await?);
        }
        if let Some((_, entries @ None)) = &mut self.row {
            let rows = store.log_after(Revision(place.revision.saturating_sub(1)), 1).await?;
            let row = rows.into_iter().find(|row| row.revision.0 == place.revision);
            *entries = Some(row.map(|row| row.entries).unwrap_or_default());
        }
        let entries = self.row.as_ref().and_then(|(_, entries)| entries.as_ref());
        Ok(entries.and_then(|entries| entries.get(usize::try_from(place.index).ok()?).cloned()))
    }
}

/// What of the state a search needs, so that it does not hold the ledger up.
struct View {
    written: u64,
    runs: Vec<Run>,
    times: Vec<(i64, i64)>,
    /// Leaves of the tail that have the tag, newest first.
    tail: Vec<(u64, Place)>,
}

impl View {
    fn of(state: &State, tag: Tag, before: u64) -> Self {
        let first = state.written.size;
        let tagged = state.tail.iter().zip(first..).filter(|(leaf, number)| *number < before && leaf.tags.contains(&tag));
        let mut tail: Vec<(u64, Place)> = tagged.map(|(leaf, number)| (number, leaf.place)).collect();
        tail.reverse();
        Self { written: first, runs: state.written.runs.clone(), times: state.times.clone(), tail }
    }

    /// Whether the leaf's bundle has events of the filter's time.
    fn may_match(&self, leaf: u64, filter: &Filter) -> bool {
        let times = usize::try_from(leaf / WIDTH).ok().and_then(|number| self.times.get(number));
        times.is_none_or(|(earliest, latest)| {
            filter.start_ms.is_none_or(|start| *latest >= start) && filter.end_ms.is_none_or(|end| *earliest <= end)
        })
    }

    /// Whether any bundle of the run has.
    fn run_may_match(&self, run: Run, filter: &Filter) -> bool {
        if filter.start_ms.is_none() && filter.end_ms.is_none() {
            return true;
        }
        let step = usize::try_from(WIDTH).unwrap_or(usize::MAX);
        (run.start..run.start.saturating_add(posting::run_length(run.level))).step_by(step).any(|leaf| self.may_match(leaf, filter))
    }
}

impl Ledger {
    /// Finds events below leaf `before` (`None`: from the newest), at most `limit`.
    pub async fn lookup(&self, filter: &Filter, before: Option<u64>, limit: usize) -> Result<FoundEvents, LedgerError> {
        let wanted = self.wanted_tag(filter)?;
        let before = before.unwrap_or(u64::MAX);
        let (view, snapshot) = {
            let mut state = self.state.lock().await;
            self.catch_up(&mut state).await?;
            // Under the lock, so that the runs that the state names are there.
            (View::of(&state, wanted, before), self.store.snapshot().await?)
        };
        let mut reader = Reader::new(self, snapshot);
        let mut search = Search { filter, limit, found: FoundEvents::default() };
        for (number, place) in &view.tail {
            if !search.take(&mut reader, *number, *place).await? {
                return Ok(search.found);
            }
        }
        for run in view.runs.iter().rev().filter(|run| run.start < before) {
            if !view.run_may_match(*run, filter) {
                continue;
            }
            let block = run.cut.block_of(run.level, wanted);
            let Some(row) = reader.snapshot.get(POSTING, &posting_key(*run, block)).await? else { continue };
            for leaf in posting::find(&row.value, wanted, run.start).into_iter().rev() {
                if leaf >= before.min(view.written) || !view.may_match(leaf, filter) {
                    continue;
                }
                let place = reader.place(leaf).await?;
                if !search.take(&mut reader, leaf, place).await? {
                    return Ok(search.found);
                }
            }
        }
        search.found.next = None;
        Ok(search.found)
    }

    /// The tag that every event of the answer has.
    fn wanted_tag(&self, filter: &Filter) -> Result<Tag, LedgerError> {
        let key = self.sealer.tag_key()?;
        let of = |attribute: &str, value: &str| tag(&key, &filter.account, attribute, value);
        Ok(match &filter.attribute {
            Some((attribute, value)) if attribute == "ReadOnly" => of(attribute, &value.to_ascii_lowercase()),
            Some((attribute, value)) => of(attribute, value),
            None if filter.denied_only => of(DENIED, ""),
            None if filter.insights => of(INSIGHT, ""),
            None => of(ACCOUNT, ""),
        })
    }
}

struct Search<'a> {
    filter: &'a Filter,
    limit: usize,
    found: FoundEvents,
}

impl Search<'_> {
    /// Takes the event if it matches. `false`: the page is full and there is more.
    async fn take(&mut self, reader: &mut Reader<'_>, leaf: u64, place: Place) -> Result<bool, LedgerError> {
        let Some(bytes) = reader.entry(place).await? else { return Ok(true) };
        if !header_matches(self.filter, &bytes)? {
            return Ok(true);
        }
        let entry = Entry::open(&bytes, reader.ledger.sealer.as_ref())?;
        if !matches(self.filter, &entry) {
            return Ok(true);
        }
        if self.found.entries.len() == self.limit {
            return Ok(false);
        }
        self.found.entries.push(entry);
        self.found.next = Some(leaf);
        Ok(true)
    }
}
