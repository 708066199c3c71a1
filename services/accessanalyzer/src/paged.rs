//! Pages of Access Analyzer.

use plane::page::{Page, PageError};
use plane::{ApiError, Call};

use crate::error::AnalyzerError;

const PAGE_LENGTH: usize = 100;
const PAGE_LENGTH_MAX: usize = 1_000;

/// Cuts a page out of items in the order of their keys.
pub(crate) fn cut<T>(
    cx: &Call,
    items: Vec<T>,
    key: impl Fn(&T) -> String,
    filter: &str,
    token: Option<&str>,
    max_results: Option<i32>,
) -> Result<Page<T>, ApiError> {
    let limit = max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH).clamp(1, PAGE_LENGTH_MAX);
    cx.page(items, key, filter, token, limit).map_err(|error| match error {
        PageError::Token(_) => AnalyzerError::invalid("nextToken", "The pagination token is not valid.").into(),
        PageError::Failed(error) => error,
    })
}
