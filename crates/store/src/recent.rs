//! What the newest commits changed, in memory: whoever follows the change feed need not read log rows that are full of events.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::{Batch, ChangedRow, Revision, Table, Write};

/// Commits that are kept. Who is further behind reads the log.
const ROWS: usize = 4096;
/// Changed keys that are kept, of all rows together.
const KEYS: usize = 4 * ROWS;

/// A commit's revision and the tables and keys that it changed.
type Changes = (Revision, Vec<(Table, Bytes)>);

/// The changes of the newest commits, without a gap.
#[derive(Debug, Default)]
pub(crate) struct RecentChanges(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Oldest first, each revision one after the last.
    rows: VecDeque<Changes>,
    keys: usize,
}

impl RecentChanges {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a commit, in the order of revisions.
    pub(crate) fn add(&self, revision: Revision, batch: &Batch) {
        let changed: Vec<_> = batch
            .writes
            .iter()
            .map(|write| {
                let (Write::Put { table, key, .. } | Write::Delete { table, key }) = write;
                (*table, key.clone())
            })
            .collect();
        let mut kept = self.kept();
        if kept.rows.back().is_some_and(|(last, _)| last.0.saturating_add(1) != revision.0) {
            *kept = Kept::default();
        }
        kept.keys = kept.keys.saturating_add(changed.len());
        kept.rows.push_back((revision, changed));
        while (kept.rows.len() > ROWS || kept.keys > KEYS)
            && let Some((_, gone)) = kept.rows.pop_front()
        {
            kept.keys = kept.keys.saturating_sub(gone.len());
        }
    }

    /// Nobody knows any more what the newest commits were.
    pub(crate) fn forget(&self) {
        *self.kept() = Kept::default();
    }

    /// The rows after a revision and up to `head`, at most `limit`; `None` when not all of them are here.
    pub(crate) fn after(&self, after: Revision, head: Revision, limit: u32) -> Option<Vec<ChangedRow>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let named = |changed: &[(Table, Bytes)]| changed.iter().map(|(table, key)| (table.0.to_owned(), key.clone())).collect();
        let row = |(revision, changed): &Changes| ChangedRow { revision: *revision, changed: named(changed) };
        self.kept().after(after, head).map(|rows| rows.take(limit).map(row).collect())
    }

    /// Whether one of these rows changed one of the tables; `None` when not all of them are here.
    pub(crate) fn touch(&self, after: Revision, head: Revision, tables: &[&[Table]]) -> Option<bool> {
        let is_watched = |(table, _): &(Table, Bytes)| tables.iter().any(|tables| tables.contains(table));
        self.kept().after(after, head).map(|mut rows| rows.any(|(_, changed)| changed.iter().any(is_watched)))
    }
}

impl Kept {
    fn after(&self, after: Revision, head: Revision) -> Option<impl Iterator<Item = &Changes>> {
        let count = usize::try_from(head.0.saturating_sub(after.0)).ok()?;
        let skip = match self.rows.front() {
            _ if count == 0 => 0,
            Some((first, _)) => usize::try_from(after.0.saturating_add(1).checked_sub(first.0)?).ok()?,
            None => return None,
        };
        if self.rows.len().checked_sub(skip)? < count {
            return None;
        }
        Some(self.rows.iter().skip(skip).take(count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Table, Write};

    fn batch(key: &'static str) -> Batch {
        let write = Write::Delete { table: Table("t"), key: Bytes::from_static(key.as_bytes()) };
        Batch { writes: vec![write], ..Batch::default() }
    }

    fn revisions(recent: &RecentChanges, after: u64, head: u64, limit: u32) -> Option<Vec<u64>> {
        Some(recent.after(Revision(after), Revision(head), limit)?.iter().map(|row| row.revision.0).collect())
    }

    #[test]
    fn only_what_is_whole_is_answered() {
        let recent = RecentChanges::default();
        assert_eq!(revisions(&recent, 3, 3, 9), Some(vec![]));
        assert_eq!(revisions(&recent, 3, 4, 9), None, "nothing is known of a commit before the process began");
        for revision in 5..8 {
            recent.add(Revision(revision), &batch("k"));
        }
        assert_eq!(revisions(&recent, 4, 7, 9), Some(vec![5, 6, 7]));
        assert_eq!(revisions(&recent, 5, 7, 1), Some(vec![6]));
        assert_eq!(revisions(&recent, 4, 6, 9), Some(vec![5, 6]), "what nobody was told of yet is left out");
        assert_eq!(revisions(&recent, 3, 7, 9), None, "a row before the first one that is kept");
        assert_eq!(revisions(&recent, 6, 8, 9), None, "a row that was not added");
        assert_eq!(recent.after(Revision(6), Revision(7), 9).unwrap()[0].changed, vec![("t".to_owned(), Bytes::from_static(b"k"))]);
        let touch = |after, head, table| recent.touch(Revision(after), Revision(head), &[&[Table("o")], &[Table(table)]]);
        assert_eq!((touch(5, 7, "t"), touch(5, 7, "u"), touch(7, 7, "t")), (Some(true), Some(false), Some(false)));
        assert_eq!((touch(3, 7, "u"), touch(6, 8, "u")), (None, None), "what is not all here may have changed anything");
        recent.add(Revision(9), &batch("k"));
        assert_eq!(revisions(&recent, 6, 9, 9), None, "a gap makes everything before it unknown");
        assert_eq!(revisions(&recent, 8, 9, 9), Some(vec![9]));
        recent.forget();
        assert_eq!(revisions(&recent, 8, 9, 9), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let recent = RecentChanges::default();
        let large = Batch { writes: (0..100).flat_map(|_| batch("k").writes).collect(), ..Batch::default() };
        for revision in 1..=1_000 {
            recent.add(Revision(revision), &large);
        }
        let counted = || {
            let kept = recent.kept();
            (kept.rows.len(), kept.keys)
        };
        let (rows, keys) = counted();
        assert!(keys <= KEYS && keys == rows * 100, "{rows} rows, {keys} keys");
        for revision in 1_001..=10_000 {
            recent.add(Revision(revision), &batch("k"));
        }
        assert_eq!(counted(), (ROWS, ROWS));
        assert_eq!(revisions(&recent, 9_998, 10_000, 9), Some(vec![9_999, 10_000]));
    }
}
