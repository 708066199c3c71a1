//! Identifiers in AWS's forms. Source: Organizations API reference, the patterns of the id members.

use plane::{ApiError, Call};

const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
const DIGITS: &[u8] = b"0123456789";

fn id(cx: &Call, prefix: &str, length: usize) -> Result<String, ApiError> {
    Ok(format!("{prefix}{}", cx.random_id(LETTERS, length)?))
}

pub(crate) fn organization(cx: &Call) -> Result<String, ApiError> {
    id(cx, "o-", 10)
}

pub(crate) fn root(cx: &Call) -> Result<String, ApiError> {
    id(cx, "r-", 4)
}

/// `ou-` and the root's part, then the unit's own.
pub(crate) fn unit(cx: &Call, root_id: &str) -> Result<String, ApiError> {
    id(cx, &format!("ou-{}-", root_id.trim_start_matches("r-")), 8)
}

pub(crate) fn policy(cx: &Call) -> Result<String, ApiError> {
    id(cx, "p-", 8)
}

pub(crate) fn handshake(cx: &Call) -> Result<String, ApiError> {
    id(cx, "h-", 10)
}

pub(crate) fn create_account_request(cx: &Call) -> Result<String, ApiError> {
    id(cx, "car-", 32)
}

pub(crate) fn resource_policy(cx: &Call) -> Result<String, ApiError> {
    id(cx, "rp-", 8)
}

/// Twelve digits, the first not zero.
pub(crate) fn account(cx: &Call) -> Result<String, ApiError> {
    Ok(format!("{}{}", cx.random_id(DIGITS.get(1..).unwrap_or(DIGITS), 1)?, cx.random_id(DIGITS, 11)?))
}

/// A target of policies by the form of its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Root,
    Unit,
    Account,
}

impl TargetKind {
    pub(crate) fn of(id: &str) -> Self {
        if id.starts_with("r-") {
            Self::Root
        } else if id.starts_with("ou-") {
            Self::Unit
        } else {
            Self::Account
        }
    }
}
