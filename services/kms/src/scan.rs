//! Reading whole ranges, and the page sizes of lists.

use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Key, Record, Transaction};

/// Items that one scan gives.
const CHUNK: u32 = SCAN_LIMIT;

/// Every record under a prefix, in key order.
pub(crate) async fn all<R: Record>(tx: &mut Transaction, prefix: &Key) -> Result<Vec<R>, ApiError> {
    let mut records = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = tx.scan::<R>(prefix, after.as_deref(), CHUNK).await?;
        let is_last = rows.len() < CHUNK as usize;
        after = rows.last().map(|(key, _)| key.to_vec());
        records.extend(rows.into_iter().map(|(_, record)| record));
        if is_last {
            return Ok(records);
        }
    }
}

/// The page size that the caller asked for; the codec has checked its bounds.
pub(crate) fn limit(asked: Option<i32>, default: i32) -> usize {
    usize::try_from(asked.unwrap_or(default)).unwrap_or(1).max(1)
}
