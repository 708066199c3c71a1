//! Pages of Organizations: at most twenty items, tokens by the plane.

use plane::page::{Page, PageError};
use plane::{ApiError, Call};

use crate::error::OrganizationError;

const PAGE_LENGTH: usize = 20;

/// Cuts a page out of items in the order of their keys.
pub(crate) fn cut<T>(
    cx: &Call,
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    filter: &str,
    token: Option<String>,
    max_results: Option<i32>,
) -> Result<Page<T>, ApiError> {
    let limit = max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH).clamp(1, PAGE_LENGTH);
    cx.page(items, key, filter, token.as_deref(), limit).map_err(|error| match error {
        PageError::Token(_) => OrganizationError::Input("INVALID_NEXT_TOKEN", "You specified an invalid value for nextToken.").into(),
        PageError::Failed(error) => error,
    })
}
