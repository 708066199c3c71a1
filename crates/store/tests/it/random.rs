//! Random batches against a model, on the engines that live in this process.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use store::{Batch, CommitError, Expect, KeyRange, LogRow, Revision, Row, Store, Table, Write, fingerprint};

use crate::engines;

const TABLES: [Table; 2] = [Table("left"), Table("right")];

#[derive(Clone, Debug)]
enum Step {
    Put { table: usize, key: Vec<u8>, value: u8 },
    Delete { table: usize, key: Vec<u8> },
}

/// A batch; `stale` shifts what it expects, so that it must be refused exactly when the shift matters.
#[derive(Clone, Debug)]
struct Transaction {
    read: (usize, Vec<u8>),
    scan: (usize, Vec<u8>, Option<Vec<u8>>, u32),
    stale: bool,
    steps: Vec<Step>,
    log: Vec<Vec<u8>>,
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(255)], 0..3)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2usize, key(), any::<u8>()).prop_map(|(table, key, value)| Step::Put { table, key, value }),
        1 => (0..2usize, key()).prop_map(|(table, key)| Step::Delete { table, key }),
    ]
}

fn transaction() -> impl Strategy<Value = Transaction> {
    let scan = (0..2usize, key(), proptest::option::of(key()), 0..6u32);
    let log = proptest::collection::vec(any::<Vec<u8>>(), 0..3);
    ((0..2usize, key()), scan, proptest::bool::weighted(0.2), proptest::collection::vec(step(), 0..5), log)
        .prop_map(|(read, scan, stale, steps, log)| Transaction { read, scan, stale, steps, log })
}

#[derive(Default)]
struct Model {
    revision: u64,
    rows: BTreeMap<(usize, Vec<u8>), (u64, u8)>,
    log: Vec<LogRow>,
}

impl Model {
    fn scan(&self, table: usize, start: &[u8], end: Option<&[u8]>, limit: u32) -> Vec<Row> {
        let within = self
            .rows
            .iter()
            .filter(|((in_table, key), _)| *in_table == table && key.as_slice() >= start && end.is_none_or(|end| key.as_slice() < end));
        let row = |((_, key), (version, value)): (&(usize, Vec<u8>), &(u64, u8))| Row {
            key: key.clone().into(),
            version: Revision(*version),
            value: vec![*value].into(),
        };
        within.map(row).take(limit as usize).collect()
    }

    /// The batch of the transaction as it was read at this model, and whether it must be accepted at `now`.
    fn batch(&self, transaction: &Transaction) -> Batch {
        let (table, key) = &transaction.read;
        let version = self.rows.get(&(*table, key.clone())).map(|(version, _)| Revision(*version));
        let (scan_table, start, end, limit) = &transaction.scan;
        let seen = self.scan(*scan_table, start, end.as_deref(), *limit);
        let range = KeyRange { start: start.clone().into(), end: end.clone().map(Bytes::from) };
        let expect = vec![
            Expect::Version { table: TABLES[*table], key: key.clone().into(), version },
            Expect::Range {
                table: TABLES[*scan_table],
                range,
                limit: *limit,
                fingerprint: fingerprint(seen.iter().map(|row| (row.key.as_ref(), row.version))),
            },
        ];
        let writes = transaction.steps.iter().map(|step| match step {
            Step::Put { table, key, value } => Write::Put { table: TABLES[*table], key: key.clone().into(), value: vec![*value].into() },
            Step::Delete { table, key } => Write::Delete { table: TABLES[*table], key: key.clone().into() },
        });
        Batch { expect, writes: writes.collect(), log: transaction.log.iter().cloned().map(Bytes::from).collect() }
    }

    fn holds(&self, batch: &Batch, transaction: &Transaction) -> bool {
        format!("{:?}", self.batch(transaction).expect) == format!("{:?}", batch.expect)
    }

    fn apply(&mut self, transaction: &Transaction, batch: &Batch) {
        if batch.writes.is_empty() && batch.log.is_empty() {
            return;
        }
        self.revision += 1;
        let mut changed = Vec::new();
        for step in &transaction.steps {
            let (Step::Put { table, key, .. } | Step::Delete { table, key }) = step;
            changed.push((TABLES[*table].0.to_owned(), Bytes::from(key.clone())));
            match step {
                Step::Put { value, .. } => self.rows.insert((*table, key.clone()), (self.revision, *value)),
                Step::Delete { .. } => self.rows.remove(&(*table, key.clone())),
            };
        }
        self.log.push(LogRow { revision: Revision(self.revision), entries: batch.log.clone(), changed });
    }
}

async fn behaves_like_the_model(store: &dyn Store, transactions: &[Transaction]) {
    let mut model = Model::default();
    let mut held: Option<(Batch, &Transaction)> = None;
    for transaction in transactions {
        let fresh = model.batch(transaction);
        // A stale transaction was read one step ago; meanwhile another one may have changed what it saw.
        let (batch, of) =
            if transaction.stale { held.take().unwrap_or((fresh.clone(), transaction)) } else { (fresh.clone(), transaction) };
        let expected = model.holds(&batch, of);
        match store.commit(batch.clone()).await {
            Ok(revision) => {
                assert!(expected, "accepted what the model refuses: {of:?}");
                model.apply(of, &batch);
                assert_eq!(revision.0, model.revision);
            }
            Err(CommitError::Conflict) => {
                assert!(!expected, "refused what the model accepts: {of:?}");
            }
            Err(error) => panic!("{error}"),
        }
        held = Some((fresh, transaction));
    }
    let snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.revision().0, model.revision);
    for (index, table) in TABLES.into_iter().enumerate() {
        let all = KeyRange { start: Bytes::new(), end: None };
        let expected = model.scan(index, &[], None, u32::MAX);
        assert_eq!(snapshot.scan(table, &all, u32::MAX).await.unwrap(), expected);
        let mut reversed = snapshot.scan_reverse(table, &all, u32::MAX).await.unwrap();
        reversed.reverse();
        assert_eq!(reversed, expected);
    }
    assert_eq!(store.log_after(Revision(0), u32::MAX).await.unwrap(), model.log);
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn memory(transactions in proptest::collection::vec(transaction(), 0..40)) {
        run(behaves_like_the_model(&*engines::memory().store, &transactions));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn redb(transactions in proptest::collection::vec(transaction(), 0..25)) {
        let engine = engines::redb();
        run(behaves_like_the_model(&*engine.store, &transactions));
    }
}
