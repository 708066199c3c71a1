//! Request and response bodies.

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};

use crate::error::ApiError;

/// A body of either direction.
pub type Body = BoxBody<Bytes, BodyError>;

/// A body broke off or is not what was promised.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the connection ended before the body did")]
    Incomplete,
    #[error("the body took too long")]
    Timeout,
    #[error("the body is larger than `{0}` bytes")]
    TooLarge(u64),
    /// The bytes are not those that were signed.
    #[error("{}", .0.message)]
    Rejected(ApiError),
    #[error("{0}")]
    Other(String),
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// Reads a whole body of at most `limit` bytes; each part must arrive within `timeout`.
pub async fn collect(mut body: Body, limit: u64, timeout: std::time::Duration) -> Result<Bytes, BodyError> {
    let mut parts = BytesMut::new();
    while let Some(data) = next(&mut body, timeout).await? {
        if (parts.len() as u64).saturating_add(data.len() as u64) > limit {
            return Err(BodyError::TooLarge(limit));
        }
        if parts.is_empty() && http_body::Body::is_end_stream(&body) {
            return Ok(data);
        }
        parts.extend_from_slice(&data);
    }
    Ok(parts.freeze())
}

/// The next data of a body; `None` at its end.
pub async fn next(body: &mut Body, timeout: std::time::Duration) -> Result<Option<Bytes>, BodyError> {
    loop {
        let frame = tokio::time::timeout(timeout, body.frame()).await.map_err(|_| BodyError::Timeout)?;
        let Some(frame) = frame else { return Ok(None) };
        if let Ok(data) = frame?.into_data()
            && !data.is_empty()
        {
            return Ok(Some(data));
        }
    }
}
