//! Protocols of other APIs in front of our operations: OpenAI's and Anthropic's clients call models as they are.
//!
//! A door is a codec and nothing more. It says which operation a request means and makes its input; the request then goes the same way as
//! every other: authenticate, authorize, handle, record. Then the door writes the output, the events or the error in its protocol's form.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use wire::event_stream::{Decoder, Message};
use wire::{ErrorReply, Value};

use crate::body::{self, Body, BodyError};
use crate::error::ApiError;

/// Model calls may have large bodies.
pub(crate) const MODEL_BODY_BYTES_MAX: u64 = 25 * 1024 * 1024;

/// A request at a door.
pub struct DoorRequest<'a> {
    pub method: &'a str,
    pub path: &'a str,
    /// Raw, percent-encoded.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// What a request at a door means.
pub struct Meant {
    /// Id of the service in the facts.
    pub service: &'static str,
    pub operation: &'static str,
    /// The input, or why it cannot be made. Even then the request has a caller and leaves an event.
    pub input: Result<Value, ApiError>,
    pub writer: Arc<dyn AnswerWriter>,
}

/// An answer in the door's protocol.
#[derive(Debug)]
pub struct DoorAnswer {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

/// A protocol.
pub trait Door: Send + Sync + 'static {
    /// Whether requests to this path are in the protocol. `is_keyed`: the request bears a key, or is signed for the door's service.
    fn takes(&self, path: &str, is_keyed: bool) -> bool;
    /// Largest body of a request.
    fn body_bytes_max(&self) -> u64 {
        MODEL_BODY_BYTES_MAX
    }
    /// A page that asks for what a call needs: a form that a browser fills in. It names no operation and reads no state, so it leaves no event.
    fn page(&self, _request: &DoorRequest<'_>) -> Option<DoorAnswer> {
        None
    }
    /// What a request means; `None`: the protocol has no such operation.
    fn read(&self, request: &DoorRequest<'_>) -> Option<Meant>;
    /// An error, in the protocol's form. `status` is ours for it.
    fn error(&self, error: &ErrorReply) -> DoorAnswer;
    /// Name of the header that carries the request's id.
    fn request_id_header(&self) -> &'static str;
}

/// Writes the answer to one request.
pub trait AnswerWriter: Send + Sync + 'static {
    /// A whole answer.
    fn answer(&self, output: &Value) -> DoorAnswer;
    /// A writer of the events of a streamed answer.
    fn stream(&self) -> Box<dyn EventWriter>;
}

/// Writes the events of one stream.
pub trait EventWriter: Send + Sync {
    fn content_type(&self) -> &'static str;
    /// The bytes for a frame of our stream; exceptions are frames, too.
    fn event(&mut self, message: &Message) -> Vec<u8>;
    /// The bytes for the end of the stream.
    fn end(&mut self) -> Vec<u8>;
}

/// A door with the writer for one of its requests.
#[derive(Clone)]
pub(crate) struct DoorSide {
    pub door: Arc<dyn Door>,
    pub writer: Option<Arc<dyn AnswerWriter>>,
}

fn dress(answer: DoorAnswer, request_id: &str, door: &dyn Door, streamed: Option<Body>) -> Response<Body> {
    let mut response = Response::new(streamed.unwrap_or_else(|| body::full(answer.body)));
    *response.status_mut() = http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(door.request_id_header(), value.clone());
        headers.insert("x-amzn-requestid", value);
    }
    response
}

impl DoorSide {
    /// The answer of a call that succeeded.
    pub(crate) fn answer(&self, output: &Value, streamed: Option<Body>, request_id: &str) -> Option<Response<Body>> {
        let writer = self.writer.as_ref()?;
        let Some(streamed) = streamed else { return Some(dress(writer.answer(output), request_id, self.door.as_ref(), None)) };
        let events = writer.stream();
        let content_type = events.content_type();
        let stream = Events { frames: streamed, decoder: Decoder::new(), writer: events, state: Reading::Frames };
        let answer = DoorAnswer { status: 200, content_type, headers: Vec::new(), body: Bytes::new() };
        Some(dress(answer, request_id, self.door.as_ref(), Some(stream.boxed())))
    }

    /// A page of the door.
    pub(crate) fn page(&self, page: DoorAnswer, request_id: &str) -> Response<Body> {
        dress(page, request_id, self.door.as_ref(), None)
    }

    pub(crate) fn error(&self, error: &ErrorReply, request_id: &str) -> Response<Body> {
        dress(self.door.error(error), request_id, self.door.as_ref(), None)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Frames,
    Ended,
}

/// Our frames, read as they come and written as the protocol's events.
struct Events {
    frames: Body,
    decoder: Decoder,
    writer: Box<dyn EventWriter>,
    state: Reading,
}

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        loop {
            if this.state == Reading::Ended {
                return Poll::Ready(None);
            }
            let mut written = Vec::new();
            match ready!(Pin::new(&mut this.frames).poll_frame(context)) {
                Some(Ok(frame)) => {
                    let Ok(bytes) = frame.into_data() else { continue };
                    this.decoder.push(&bytes);
                    loop {
                        match this.decoder.next_message() {
                            Ok(Some(message)) => written.extend(this.writer.event(&message)),
                            Ok(None) => break,
                            Err(error) => {
                                this.state = Reading::Ended;
                                return Poll::Ready(Some(Err(BodyError::Other(error.to_string()))));
                            }
                        }
                    }
                }
                Some(Err(error)) => {
                    this.state = Reading::Ended;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    this.state = Reading::Ended;
                    written.extend(this.writer.end());
                }
            }
            if !written.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from(written)))));
            }
        }
    }
}
