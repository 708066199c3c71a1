//! Limits on what a batch may carry, the same for every engine so that data moves between them.

use crate::{Batch, CommitError, Expect, StoreError, Table, Write};

/// Longest key, in bytes. PostgreSQL's B-tree takes at most about 2 700 bytes for table name and key together.
pub const MAX_KEY_BYTES: usize = 2_048;
/// Longest table name, in bytes.
pub const MAX_TABLE_NAME_BYTES: usize = 64;
/// Largest value or log entry, in bytes.
pub const MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;
/// Most expectations, writes and log entries of one batch, each.
pub const MAX_BATCH_ITEMS: usize = 20_000;

fn over(message: String) -> CommitError {
    CommitError::Store(StoreError::Limit(message))
}

fn check_key(table: Table, key: &[u8]) -> Result<(), CommitError> {
    let name = table.0;
    if name.is_empty() || name.len() > MAX_TABLE_NAME_BYTES || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(over(format!("table name `{name}` is not 1 to {MAX_TABLE_NAME_BYTES} printable ASCII characters")));
    }
    if key.len() > MAX_KEY_BYTES {
        return Err(over(format!("a key of table `{name}` has {} bytes, more than {MAX_KEY_BYTES}", key.len())));
    }
    Ok(())
}

fn check_value(what: &str, value: &[u8]) -> Result<(), CommitError> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(over(format!("{what} has {} bytes, more than {MAX_VALUE_BYTES}", value.len())));
    }
    Ok(())
}

/// Refuses a batch that some engine could not hold.
pub(crate) fn check(batch: &Batch) -> Result<(), CommitError> {
    let most = batch.expect.len().max(batch.writes.len()).max(batch.log.len());
    if most > MAX_BATCH_ITEMS {
        return Err(over(format!("{most} items in one batch, more than {MAX_BATCH_ITEMS}")));
    }
    for expect in &batch.expect {
        match expect {
            Expect::Version { table, key, .. } => check_key(*table, key)?,
            Expect::Range { table, range, .. } => {
                check_key(*table, &range.start)?;
                check_key(*table, range.end.as_deref().unwrap_or_default())?;
            }
        }
    }
    for write in &batch.writes {
        match write {
            Write::Put { table, key, value } => {
                check_key(*table, key)?;
                check_value("a value", value)?;
            }
            Write::Delete { table, key } => check_key(*table, key)?,
        }
    }
    batch.log.iter().try_for_each(|entry| check_value("a log entry", entry))
}
