//! The pieces of a streamed answer, whichever protocol they came by.

use std::collections::VecDeque;

use outbound::ResponseBody;
use plane::ApiError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::chat::{ChatChunk, TextCompletion};
use super::fault::{outbound_error, stream_error};
use super::sse::EventParser;
use super::{anthropic, converse};

/// The data of the last event of a chat stream.
const DONE: &str = "[DONE]";

/// Reads a protocol's stream. Bytes come in any pieces.
pub(super) enum Decoder {
    OpenAi(EventParser),
    /// Pieces of `/completions`.
    Text(EventParser),
    Anthropic(EventParser, anthropic::Stream),
    Converse(Box<converse::Stream>),
}

/// What bytes made.
#[derive(Debug, Default)]
pub(super) struct Decoded {
    pub(super) chunks: Vec<ChatChunk>,
    /// The protocol's own mark of the end was met.
    pub(super) is_done: bool,
}

impl Decoder {
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Decoded, ApiError> {
        match self {
            Self::OpenAi(parser) => events(parser, bytes, |event| serde_json::from_str(event).map_err(|_| unreadable())),
            Self::Text(parser) => events(parser, bytes, |event| {
                let piece: TextCompletion = serde_json::from_str(event).map_err(|_| unreadable())?;
                Ok(super::openai::chunk_of_text(piece))
            }),
            Self::Anthropic(parser, stream) => {
                let mut decoded = Decoded::default();
                for event in parser.push(bytes).map_err(|error| stream_error(&error.to_string()))? {
                    let (chunk, is_done) = stream.read(&event)?;
                    decoded.chunks.extend(chunk);
                    decoded.is_done |= is_done;
                }
                Ok(decoded)
            }
            Self::Converse(stream) => stream.push(bytes),
        }
    }
}

fn unreadable() -> ApiError {
    stream_error("an event of the model server cannot be read")
}

fn events(parser: &mut EventParser, bytes: &[u8], read: impl Fn(&str) -> Result<ChatChunk, ApiError>) -> Result<Decoded, ApiError> {
    let mut decoded = Decoded::default();
    for event in parser.push(bytes).map_err(|error| stream_error(&error.to_string()))? {
        if event.trim() == DONE {
            decoded.is_done = true;
            break;
        }
        decoded.chunks.push(read(&event)?);
    }
    Ok(decoded)
}

enum Source {
    Remote { body: ResponseBody, decoder: Decoder, _permit: OwnedSemaphorePermit },
    Ready,
    Local(mpsc::Receiver<Result<ChatChunk, ApiError>>),
}

/// A streamed answer. Dropping it ends the exchange with the model server.
pub(crate) struct Chunks {
    source: Source,
    queue: VecDeque<ChatChunk>,
    ended: bool,
    /// A reason to stop was told: the answer is whole even if the server then closes without a mark.
    finished: bool,
}

impl Chunks {
    pub(super) fn remote(body: ResponseBody, decoder: Decoder, permit: OwnedSemaphorePermit) -> Self {
        Self { source: Source::Remote { body, decoder, _permit: permit }, queue: VecDeque::new(), ended: false, finished: false }
    }

    /// Pieces that are all there.
    pub(super) fn ready(chunks: Vec<ChatChunk>) -> Self {
        Self { source: Source::Ready, queue: chunks.into(), ended: true, finished: true }
    }

    pub(super) fn local(receiver: mpsc::Receiver<Result<ChatChunk, ApiError>>) -> Self {
        Self { source: Source::Local(receiver), queue: VecDeque::new(), ended: false, finished: true }
    }

    /// The next piece; `None` after the last. A stream that ends before the answer does is an error.
    pub(crate) async fn next(&mut self) -> Result<Option<ChatChunk>, ApiError> {
        loop {
            if let Some(chunk) = self.queue.pop_front() {
                self.finished |= chunk.choices.iter().any(|choice| choice.finish_reason.is_some());
                return Ok(Some(chunk));
            }
            if self.ended {
                return Ok(None);
            }
            match &mut self.source {
                Source::Ready => self.ended = true,
                Source::Local(receiver) => match receiver.recv().await {
                    Some(chunk) => self.queue.push_back(chunk?),
                    None => self.ended = true,
                },
                Source::Remote { body, decoder, .. } => match body.next().await.map_err(|error| outbound_error(&error))? {
                    Some(bytes) => {
                        let decoded = decoder.push(&bytes)?;
                        self.queue.extend(decoded.chunks);
                        self.ended = decoded.is_done;
                    }
                    None if self.finished => self.ended = true,
                    None => return Err(stream_error("the model server's answer ended before it was complete")),
                },
            }
        }
    }
}
