//! Request and response bodies.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
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

/// Unread bytes of a refused request that are read all the same, so that its connection lives on.
const DRAINED_BYTES_MAX: u64 = 1024 * 1024;
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// A request whose body comes back when nobody reads it to its end.
pub(crate) fn lend(request: http::Request<Body>) -> (http::Request<Body>, Remainder) {
    let home = Arc::new(Mutex::new(None));
    let request = request.map(|body| Lent { body: Some(body), home: Arc::clone(&home) }.boxed());
    (request, Remainder(home))
}

/// What is left of a lent body.
pub(crate) struct Remainder(Arc<Mutex<Option<Body>>>);

impl Remainder {
    /// Reads what is left, if that is little. `false`: bytes are still to come.
    pub(crate) async fn drain(self) -> bool {
        let left = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = left else { return true };
        if http_body::Body::size_hint(&body).lower() > DRAINED_BYTES_MAX {
            return false;
        }
        let all = async {
            let mut seen = 0_u64;
            while let Ok(Some(data)) = next(&mut body, DRAIN_TIMEOUT).await {
                seen = seen.saturating_add(data.len() as u64);
                if seen > DRAINED_BYTES_MAX {
                    return false;
                }
            }
            http_body::Body::is_end_stream(&body)
        };
        tokio::time::timeout(DRAIN_TIMEOUT, all).await.unwrap_or(false)
    }
}

struct Lent {
    body: Option<Body>,
    home: Arc<Mutex<Option<Body>>>,
}

impl Drop for Lent {
    fn drop(&mut self) {
        let unread = self.body.take().filter(|body| !http_body::Body::is_end_stream(body));
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = unread;
    }
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(body) = self.body.as_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// Reads a whole body of at most `limit` bytes; each part must arrive within `timeout`.
pub async fn collect(mut body: Body, limit: u64, timeout: Duration) -> Result<Bytes, BodyError> {
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
pub async fn next(body: &mut Body, timeout: Duration) -> Result<Option<Bytes>, BodyError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_borrower_leaves_is_drained() {
        let (request, remainder) = lend(http::Request::new(full("left")));
        drop(request);
        assert!(remainder.drain().await);
        let (request, remainder) = lend(http::Request::new(full("read")));
        assert_eq!(collect(request.into_body(), 10, DRAIN_TIMEOUT).await.unwrap(), "read");
        assert!(remainder.drain().await);
        let (request, remainder) = lend(http::Request::new(full(vec![0; 2 * 1024 * 1024])));
        drop(request);
        assert!(!remainder.drain().await);
    }
}
