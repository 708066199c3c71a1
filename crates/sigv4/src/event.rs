//! Signed events: each event of a stream that a client sends is signed, in a chain from the request's signature.
//!
//! Source: Amazon Transcribe Developer Guide, "Event stream encoding" and "Setting up streaming using HTTP/2"; other services sign events in the same
//! way. What is signed is the `:date` header, as its bytes stand in the frame, and the payload, which is the event's own frame. An event
//! without a payload ends the stream.

use aws_lc_rs::digest::{SHA256, digest};

use crate::chunked::ChunkSeed;
use crate::key::Signature;
use crate::timestamp::format_timestamp;

/// The payload hash of a body of signed events.
pub const SIGNED_EVENTS: &str = "STREAMING-AWS4-HMAC-SHA256-EVENTS";
/// `:date` with its length before it and the type of a timestamp behind it.
const DATE_HEADER: &[u8] = b"\x05:date\x08";

/// Why an event is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("an event's date is not that of the request's scope")]
    Date,
    #[error("the signature of event {0} does not match")]
    Signature(u64),
}

/// What the signatures of events chain from: see [`crate::Claim::event_chain`].
#[derive(Clone, Debug)]
pub struct EventChain {
    seed: ChunkSeed,
    number: u64,
}

impl EventChain {
    /// A chain from a request's signature.
    pub fn new(seed: ChunkSeed) -> Self {
        Self { seed, number: 0 }
    }

    /// The signature of the next event. Not that of the stream's owner, unless the seed's key is.
    pub fn sign(&mut self, time_ms: i64, payload: &[u8]) -> Result<Signature, EventError> {
        let time = jiff::Timestamp::from_millisecond(time_ms).map_err(|_| EventError::Date)?;
        let time = format_timestamp(time);
        // The key is made for one day.
        if time.get(..8) != self.seed.scope.get(..8) {
            return Err(EventError::Date);
        }
        self.seed.time = time;
        let header = [DATE_HEADER, &time_ms.to_be_bytes()].concat();
        self.seed.signature =
            self.seed.key.sign(&self.seed.event_string_to_sign(digest(&SHA256, &header).as_ref(), digest(&SHA256, payload).as_ref()));
        Ok(self.seed.signature)
    }

    /// Checks the next event. After an error the chain is broken: nothing that follows can be right.
    pub fn verify(&mut self, time_ms: i64, payload: &[u8], signature: &[u8]) -> Result<(), EventError> {
        self.number = self.number.saturating_add(1);
        let given = signature.try_into().map(Signature).map_err(|_| EventError::Signature(self.number))?;
        if self.sign(time_ms, payload)? == given { Ok(()) } else { Err(EventError::Signature(self.number)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SigningKey;

    fn chain() -> EventChain {
        let key = SigningKey::derive("example secret key", "19731129", "us-east-1", "testservice");
        let seed = ChunkSeed {
            key,
            time: "19731129T213309Z".to_owned(),
            scope: "19731129/us-east-1/testservice/aws4_request".to_owned(),
            signature: Signature([7; 32]),
        };
        EventChain::new(seed)
    }

    /// 1973-11-29T21:33:09.001234Z.
    const TIME_MS: i64 = 123_456_789_001;

    #[test]
    fn events_are_a_chain() {
        let (mut signer, mut verifier) = (chain(), chain());
        for payload in [b"one".as_slice(), b"two", b""] {
            let signature = signer.sign(TIME_MS, payload).unwrap();
            assert_eq!(verifier.verify(TIME_MS, payload, signature.as_bytes()), Ok(()));
        }
        // The same event again is not the next one.
        let again = chain().sign(TIME_MS, b"one").unwrap();
        assert_eq!(verifier.verify(TIME_MS, b"one", again.as_bytes()), Err(EventError::Signature(4)));
    }

    #[test]
    fn what_was_changed_or_is_of_another_day_is_refused() {
        let signature = chain().sign(TIME_MS, b"one").unwrap();
        let cases: [(i64, &[u8], &[u8]); 4] = [
            (TIME_MS, b"two", signature.as_bytes()),
            (TIME_MS + 1, b"one", signature.as_bytes()),
            (TIME_MS, b"one", &[0; 32]),
            (TIME_MS, b"one", &[]),
        ];
        for (time_ms, payload, signature) in cases {
            assert_eq!(chain().verify(time_ms, payload, signature), Err(EventError::Signature(1)));
        }
        assert_eq!(chain().sign(TIME_MS + 86_400_000, b"one"), Err(EventError::Date));
        assert_eq!(chain().sign(i64::MAX, b"one"), Err(EventError::Date));
    }
}
