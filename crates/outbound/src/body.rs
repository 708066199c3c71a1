//! The body of an answer, read part by part.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use crate::error::OutboundError;

/// What is still to come of an answer. Dropping it ends the exchange.
#[derive(Debug)]
pub struct ResponseBody {
    incoming: Incoming,
    part_timeout: Duration,
    left_bytes: u64,
    limit_bytes: u64,
}

impl ResponseBody {
    pub(crate) fn new(incoming: Incoming, part_timeout: Duration, limit_bytes: u64) -> Self {
        Self { incoming, part_timeout, left_bytes: limit_bytes, limit_bytes }
    }

    /// The next part; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, OutboundError> {
        let timeout_ms = u64::try_from(self.part_timeout.as_millis()).unwrap_or(u64::MAX);
        loop {
            let frame = tokio::time::timeout(self.part_timeout, self.incoming.frame()).await;
            let Some(frame) = frame.map_err(|_| OutboundError::BodyTimeout(timeout_ms))? else { return Ok(None) };
            let frame = frame.map_err(|error| OutboundError::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue };
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            self.left_bytes = self.left_bytes.checked_sub(length).ok_or(OutboundError::TooLarge(self.limit_bytes))?;
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }

    /// The rest as a whole.
    pub async fn collect(mut self) -> Result<Bytes, OutboundError> {
        let mut whole = BytesMut::new();
        while let Some(part) = self.next().await? {
            whole.extend_from_slice(&part);
        }
        Ok(whole.freeze())
    }
}
