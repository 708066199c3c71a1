//! Pages of IAM's lists: `Marker` and `MaxItems`, 100 items when nothing is said.

use plane::page::Page;
use plane::{ApiError, Call};

use crate::error::page_error;

const DEFAULT_ITEMS: usize = 100;

/// One page of `items`, which are in the order of `key`. `filter` is what else the list was asked for: a marker is good for the same
/// question only.
pub(crate) fn cut<T>(
    cx: &Call,
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    filter: &str,
    marker: Option<&str>,
    max_items: Option<i32>,
) -> Result<Page<T>, ApiError> {
    let limit = max_items.and_then(|items| usize::try_from(items).ok()).filter(|items| *items > 0).unwrap_or(DEFAULT_ITEMS);
    cx.page(items, key, filter, marker, limit).map_err(page_error)
}
