//! Reading whole ranges, and pages of lists in either order.

use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Transaction, page};

use crate::error::LogsError;

/// Every record under a prefix, with the rest of its key, in key order.
pub(crate) async fn rows<R: Record>(tx: &mut Transaction, prefix: &Key) -> Result<Vec<(Vec<u8>, R)>, ApiError> {
    let mut records = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = tx.scan::<R>(prefix, after.as_deref(), SCAN_LIMIT).await?;
        let is_last = rows.len() < SCAN_LIMIT as usize;
        after = rows.last().map(|(key, _)| key.to_vec());
        records.extend(rows.into_iter().map(|(key, record)| (key.to_vec(), record)));
        if is_last {
            return Ok(records);
        }
    }
}

pub(crate) async fn all<R: Record>(tx: &mut Transaction, prefix: &Key) -> Result<Vec<R>, ApiError> {
    Ok(rows(tx, prefix).await?.into_iter().map(|(_, record)| record).collect())
}

/// A page of `items`, which are in the order of `key`, ascending or descending.
pub(crate) fn cut<T>(
    cx: &Call,
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    filter: &str,
    (descending, token, limit): (bool, Option<&str>, usize),
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let invalid = || LogsError::parameter("The specified nextToken is invalid.");
    let after = match token {
        Some(token) => {
            let place = page::open(cx, &cx.plane.keyring, filter, token).map_err(|_| invalid())?;
            Some(String::from_utf8(place).map_err(|_| invalid())?)
        }
        None => None,
    };
    let behind = |item: &T| after.as_ref().is_none_or(|after| if descending { key(item) < *after } else { key(item) > *after });
    let mut rest = items.into_iter().filter(behind);
    let shown: Vec<T> = rest.by_ref().take(limit).collect();
    let more = rest.next().is_some();
    let next = match shown.last().filter(|_| more) {
        Some(last) => Some(page::seal(cx, &cx.plane.keyring, filter, key(last).as_bytes())?),
        None => None,
    };
    Ok((shown, next))
}

/// The page size that the caller asked for; the codec has checked its bounds.
pub(crate) fn limit(asked: Option<i32>, default: usize) -> usize {
    asked.and_then(|asked| usize::try_from(asked).ok()).unwrap_or(default).max(1)
}
