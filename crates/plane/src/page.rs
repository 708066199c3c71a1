//! Pagination tokens: sealed, bound to caller and filter, so that a token is neither forged nor carried to another list.

use aws_lc_rs::digest;
use keyring::Keyring;

use crate::call::Call;

/// A token is good for a day.
const LIFETIME_S: u64 = 24 * 3600;
/// What the keyring seals these tokens for.
const PURPOSE: &str = "page";

/// The token is not one that this list gave to this caller.
#[derive(Debug, thiserror::Error)]
#[error("the pagination token is invalid or has expired")]
pub struct InvalidToken;

/// What a token is bound to: operation, caller's account and the filter of the list.
fn binding(call: &Call, filter: &str) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [call.service.head.id, call.operation.name, &call.account, &call.region, filter] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref().to_vec()
}

/// Token for the place where the next page begins.
pub fn seal(call: &Call, keyring: &Keyring, filter: &str, place: &[u8]) -> Result<String, crate::ApiError> {
    keyring
        .seal_token(PURPOSE, &binding(call, filter), place, now_s(call).saturating_add(LIFETIME_S))
        .map_err(|error| crate::ApiError::internal(&error))
}

/// The place that a token names.
pub fn open(call: &Call, keyring: &Keyring, filter: &str, token: &str) -> Result<Vec<u8>, InvalidToken> {
    let place = keyring.open_token(PURPOSE, &binding(call, filter), token, now_s(call)).map_err(|_| InvalidToken)?;
    Ok(place.to_vec())
}

fn now_s(call: &Call) -> u64 {
    u64::try_from(call.now.0 / 1000).unwrap_or_default()
}

/// A page of a list that is already in order: `key` names an item's place, `limit` cuts.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl Call {
    /// Cuts a page out of `items` (in order of their keys): begins behind the token's place, at most `limit`, and makes the next token.
    pub fn page<T>(
        &self,
        items: Vec<T>,
        key: impl Fn(&T) -> String,
        filter: &str,
        token: Option<&str>,
        limit: usize,
    ) -> Result<Page<T>, PageError> {
        let after = match token {
            Some(token) => Some(String::from_utf8(open(self, &self.plane.keyring, filter, token)?).map_err(|_| InvalidToken)?),
            None => None,
        };
        let mut rest = items.into_iter().filter(|item| after.as_ref().is_none_or(|after| key(item) > *after));
        let page: Vec<T> = rest.by_ref().take(limit).collect();
        let next = match (page.last(), rest.next()) {
            (Some(last), Some(_)) => Some(seal(self, &self.plane.keyring, filter, key(last).as_bytes())?),
            _ => None,
        };
        Ok(Page { items: page, next })
    }
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error(transparent)]
    Failed(#[from] crate::ApiError),
}
