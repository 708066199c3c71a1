//! Reading whole ranges, and pages of lists.

use plane::page::PageError;
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Transaction};

use crate::error::SnsError;

/// Items of a page. Source: SNS API reference, `ListTopics`.
const PAGE: usize = 100;

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

/// A page of `items`, which are in the order of `key`.
pub(crate) fn cut<T>(
    cx: &Call,
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    filter: &str,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let token = token.filter(|token| !token.is_empty());
    let page = cx.page(items, key, filter, token, PAGE).map_err(|error| match error {
        PageError::Token(_) => SnsError::parameter("NextToken").into(),
        PageError::Failed(error) => error,
    })?;
    Ok((page.items, page.next))
}
