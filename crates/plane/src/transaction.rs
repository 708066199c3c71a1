//! The optimistic transaction that a handler works in: reads a snapshot, buffers writes, commits once.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use keyring::{Domain, Keyring};
use store::{Batch, CommitError, Expect, KeyRange, Snapshot, Table, Write};

use crate::error::ApiError;
use crate::record::{Key, Record, Scope, decode, encode};
use crate::record_cache::Opened;
use crate::region::Regions;

/// Rows that one scan may give.
pub const SCAN_LIMIT: u32 = 10_000;

/// Position of a row: region, table, key.
type Place = (usize, Table, Bytes);

/// A buffered write; `None` deletes.
type Buffered = Option<Written>;

/// A record that is to be written.
#[derive(Clone)]
struct Written {
    /// Its bytes before sealing.
    plain: Vec<u8>,
    /// Who seals them.
    account: String,
    /// The record itself, where it holds no secret.
    record: Option<Opened>,
}

impl Written {
    fn decoded<R: Record>(&self) -> Result<Arc<R>, ApiError> {
        match &self.record {
            Some(record) => typed(record),
            None => decode(&self.plain).map(Arc::new),
        }
    }
}

/// A record that a commit writes, as it will be in its row.
struct Renewed {
    row: (Table, Bytes),
    sealed: Bytes,
    record: Opened,
}

/// Reads remember versions; `commit` checks them. See the crate documentation, invariant 4.
pub struct Transaction {
    regions: Arc<Regions>,
    keyring: Arc<Keyring>,
    /// Position of the call's region.
    region: usize,
    snapshots: BTreeMap<usize, Box<dyn Snapshot>>,
    expect: Vec<(usize, Expect)>,
    writes: BTreeMap<Place, Buffered>,
    /// Records that were read by key, opened: the resolver, the decision and the handler of a call often ask for the same ones.
    /// `None` where the row is missing.
    opened: BTreeMap<Place, Option<Opened>>,
}

/// Why a transaction did not commit.
#[derive(Debug)]
pub enum Abort {
    /// Somebody else was faster: run again.
    Conflict,
    Failed(ApiError),
}

impl From<ApiError> for Abort {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl Transaction {
    pub fn new(regions: Arc<Regions>, keyring: Arc<Keyring>, region: usize) -> Self {
        Self { regions, keyring, region, snapshots: BTreeMap::new(), expect: Vec::new(), writes: BTreeMap::new(), opened: BTreeMap::new() }
    }

    /// A fresh transaction over the same places.
    pub fn renew(&self) -> Self {
        Self::new(Arc::clone(&self.regions), Arc::clone(&self.keyring), self.region)
    }

    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    fn place(&self, scope: Scope) -> usize {
        match scope {
            Scope::Home => 0,
            Scope::Region => self.region,
        }
    }

    async fn snapshot(&mut self, place: usize) -> Result<&dyn Snapshot, ApiError> {
        if !self.snapshots.contains_key(&place) {
            let snapshot = self.regions.at(place)?.store.snapshot().await?;
            self.snapshots.insert(place, snapshot);
        }
        self.snapshots.get(&place).map(AsRef::as_ref).ok_or_else(|| ApiError::internal(&"a snapshot is missing"))
    }

    /// The record, as this transaction sees it.
    pub async fn get<R: Record>(&mut self, key: &Key) -> Result<Option<R>, ApiError> {
        Ok(self.look_at::<R>(key).await?.map(Arc::unwrap_or_clone))
    }

    /// As [`Transaction::get`], for who only reads: nothing is copied.
    pub async fn look_at<R: Record>(&mut self, key: &Key) -> Result<Option<Arc<R>>, ApiError> {
        let at = (self.place(R::SCOPE), R::TABLE, key.to_bytes());
        if let Some(buffered) = self.writes.get(&at) {
            return buffered.as_ref().map(Written::decoded).transpose();
        }
        let place = at.0;
        if let Some(opened) = self.opened.get(&at) {
            return opened.as_ref().map(typed).transpose();
        }
        let row = self.snapshot(place).await?.get(R::TABLE, &at.2).await?;
        let version = row.as_ref().map(|row| row.version);
        self.expect.push((place, Expect::Version { table: R::TABLE, key: at.2.clone(), version }));
        let opened = row.map(|row| self.open::<R>(key.account(), &at, &row.value)).transpose()?;
        let record = opened.as_ref().map(typed).transpose();
        self.opened.insert(at, opened);
        record
    }

    /// Opens the value of a row, unless it is known to be opened already.
    fn open<R: Record>(&self, account: &str, (place, table, key): &Place, sealed: &[u8]) -> Result<Opened, ApiError> {
        let cache = self.regions.opened(*place).filter(|_| !R::HOLDS_SECRETS).map(|cache| (cache, (*table, key.clone())));
        if let Some(opened) = cache.as_ref().and_then(|(cache, row)| cache.get(row, sealed)) {
            return Ok(opened);
        }
        let opened: Opened = Arc::new(open::<R>(&self.keyring, account, key, sealed)?);
        if let Some((cache, row)) = cache {
            cache.keep(row, sealed, &opened);
        }
        Ok(opened)
    }

    /// Writes a record, new or not.
    pub fn put<R: Record>(&mut self, key: &Key, record: &R) -> Result<(), ApiError> {
        let place = self.place(R::SCOPE);
        let plain = encode(record)?;
        let record: Option<Opened> = if R::HOLDS_SECRETS { None } else { Some(Arc::new(record.clone())) };
        self.writes.insert((place, R::TABLE, key.to_bytes()), Some(Written { plain, account: key.account().to_owned(), record }));
        Ok(())
    }

    /// Writes a record that must not exist yet. `Ok(false)`: it does, and nothing was written.
    pub async fn insert<R: Record>(&mut self, key: &Key, record: &R) -> Result<bool, ApiError> {
        if self.get::<R>(key).await?.is_some() {
            return Ok(false);
        }
        self.put(key, record)?;
        Ok(true)
    }

    pub fn delete<R: Record>(&mut self, key: &Key) {
        let place = self.place(R::SCOPE);
        self.writes.insert((place, R::TABLE, key.to_bytes()), None);
    }

    /// Records whose key begins with `prefix`, in key order, from `after` (exclusive; the rest of the key behind the prefix), at most
    /// `limit`. Gives the rest of each key with its record.
    pub async fn scan<R: Record>(&mut self, prefix: &Key, after: Option<&[u8]>, limit: u32) -> Result<Vec<(Bytes, R)>, ApiError> {
        let mut start = prefix.as_bytes().to_vec();
        if let Some(after) = after {
            start.extend_from_slice(after);
            start.push(0);
        }
        self.scan_range(prefix, start.into(), limit).await
    }

    /// As [`Transaction::scan`], from `start` (inclusive; the rest of the key behind the prefix).
    pub async fn scan_from<R: Record>(&mut self, prefix: &Key, start: &[u8], limit: u32) -> Result<Vec<(Bytes, R)>, ApiError> {
        let mut from = prefix.as_bytes().to_vec();
        from.extend_from_slice(start);
        self.scan_range(prefix, from.into(), limit).await
    }

    /// As [`Transaction::scan`], from the end: what is before `before` (the rest of the key behind the prefix), in reverse key order. It is for calls that
    /// read: rows are as the snapshot has them, without what this transaction wrote, and the commit does not compare them.
    pub async fn scan_reverse<R: Record>(&mut self, prefix: &Key, before: &[u8], limit: u32) -> Result<Vec<(Bytes, R)>, ApiError> {
        let place = self.place(R::SCOPE);
        let end = Bytes::from([prefix.as_bytes(), before].concat());
        let range = KeyRange { start: prefix.to_bytes(), end: Some(end) };
        let rows = self.snapshot(place).await?.scan_reverse(R::TABLE, &range, limit.min(SCAN_LIMIT)).await?;
        let skip = prefix.as_bytes().len();
        let opened = rows.iter().map(|row| {
            let record = open::<R>(&self.keyring, prefix.account(), &row.key, &row.value)?;
            Ok((row.key.slice(skip.min(row.key.len())..), record))
        });
        opened.collect()
    }

    async fn scan_range<R: Record>(&mut self, prefix: &Key, start: Bytes, limit: u32) -> Result<Vec<(Bytes, R)>, ApiError> {
        let place = self.place(R::SCOPE);
        let range = KeyRange { start, end: prefix.range_end() };
        let inside = |key: &Bytes| *key >= range.start && range.end.as_ref().is_none_or(|end| key < end);
        let buffered: Vec<(Bytes, Buffered)> = self
            .writes
            .iter()
            .filter(|((at, table, key), _)| *at == place && *table == R::TABLE && inside(key))
            .map(|((_, _, key), value)| (key.clone(), value.clone()))
            .collect();
        // Buffered deletions hide stored rows: read that many more.
        let wanted = limit.min(SCAN_LIMIT);
        let read = wanted.saturating_add(u32::try_from(buffered.len()).unwrap_or(u32::MAX));
        let rows = self.snapshot(place).await?.scan(R::TABLE, &range, read).await?;
        let fingerprint = store::fingerprint(rows.iter().map(|row| (row.key.as_ref(), row.version)));
        self.expect.push((place, Expect::Range { table: R::TABLE, range, limit: read, fingerprint }));
        let mut merged: BTreeMap<Bytes, R> = BTreeMap::new();
        let hidden: std::collections::BTreeSet<&Bytes> = buffered.iter().map(|(key, _)| key).collect();
        for row in &rows {
            if !hidden.contains(&row.key) {
                merged.insert(row.key.clone(), open::<R>(&self.keyring, prefix.account(), &row.key, &row.value)?);
            }
        }
        for (key, value) in &buffered {
            if let Some(written) = value {
                merged.insert(key.clone(), written.decoded::<R>().map(Arc::unwrap_or_clone)?);
            }
        }
        let skip = prefix.as_bytes().len();
        Ok(merged.into_iter().take(wanted as usize).map(|(key, record)| (key.slice(skip.min(key.len())..), record)).collect())
    }

    /// Commits. `events` are the sealed audit entries per region position; they stand in the commit of that region.
    ///
    /// A transaction that writes in two places (a claim in the home region, the resource in its own) commits the home first: a crash
    /// between the two leaves a claim without a resource, which the owner's next attempt takes over.
    pub async fn commit(mut self, events: Vec<(usize, Bytes)>) -> Result<(), Abort> {
        let mut batches: BTreeMap<usize, Batch> = BTreeMap::new();
        let mut renewed: BTreeMap<usize, Vec<Renewed>> = BTreeMap::new();
        for ((place, table, key), value) in std::mem::take(&mut self.writes) {
            let write = match value {
                Some(Written { plain, account, record }) => {
                    let sealed = seal(&self.keyring, table, &account, &key, &plain)?;
                    if let Some(record) = record {
                        renewed.entry(place).or_default().push(Renewed { row: (table, key.clone()), sealed: sealed.clone(), record });
                    }
                    Write::Put { table, value: sealed, key }
                }
                None => Write::Delete { table, key },
            };
            batches.entry(place).or_default().writes.push(write);
        }
        for (place, expect) in std::mem::take(&mut self.expect) {
            // Places that are only read are not validated: a decision on them was taken on a consistent snapshot.
            if let Some(batch) = batches.get_mut(&place) {
                batch.expect.push(expect);
            }
        }
        for (place, entry) in events {
            batches.entry(place).or_default().log.push(entry);
        }
        // What was read is not read again, and an engine need not keep apart from it what it writes.
        self.snapshots.clear();
        for (place, batch) in batches {
            self.regions.at(place)?.store.commit(batch).await.map_err(|error| match error {
                CommitError::Conflict => Abort::Conflict,
                CommitError::Store(error) => Abort::Failed(ApiError::unrecordable(&error)),
            })?;
            // Who reads the rows next finds them opened.
            for Renewed { row, sealed, record } in renewed.remove(&place).into_iter().flatten() {
                if let Some(cache) = self.regions.opened(place) {
                    cache.renew(row, &sealed, &record);
                }
            }
        }
        Ok(())
    }
}

/// The record of a table. A table belongs to one type.
fn typed<R: Record>(opened: &Opened) -> Result<Arc<R>, ApiError> {
    Arc::clone(opened).downcast::<R>().map_err(|_| ApiError::internal(&"a table is read as two types"))
}

fn domain(account: &str) -> Domain<'_> {
    Domain::new("record", account, "")
}

/// Binds a value to its row: a row cannot be moved to another key or table.
fn associated_data(table: Table, key: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(table.0.len() + 1 + key.len());
    data.extend_from_slice(table.0.as_bytes());
    data.push(0);
    data.extend_from_slice(key);
    data
}

fn seal(keyring: &Keyring, table: Table, account: &str, key: &[u8], plain: &[u8]) -> Result<Bytes, ApiError> {
    keyring.seal(&domain(account), &associated_data(table, key), plain).map(Into::into).map_err(|error| ApiError::internal(&error))
}

fn open<R: Record>(keyring: &Keyring, account: &str, key: &[u8], sealed: &[u8]) -> Result<R, ApiError> {
    let (domain, data) = (domain(account), associated_data(R::TABLE, key));
    if R::HOLDS_SECRETS {
        return decode(&keyring.open_record(&domain, &data, sealed).map_err(|error| ApiError::internal(&error))?);
    }
    decode(&keyring.open_unwiped(&domain, &data, sealed).map_err(|error| ApiError::internal(&error))?)
}
