//! A model server that answers at once: what is measured is the way to it. It runs in a thread of its own beside the load.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::Failure;

/// Chunks of a streamed answer.
pub(crate) const CHUNKS: u32 = 200;
/// A prompt that begins so is streamed one chunk and then held until [`Upstream::release`].
pub(crate) const HOLD: &str = "Hold";

const ANSWER: &str = "The quarterly report is ready. Revenue grew in three of four regions, costs stayed flat, and the team \
    suggests that the next review looks at delivery times first.";

type Body = BoxBody<Bytes, Infallible>;

/// The running server.
pub(crate) struct Upstream {
    pub address: SocketAddr,
    held: Arc<AtomicUsize>,
    gate: watch::Sender<bool>,
}

#[derive(Clone)]
struct Shared {
    held: Arc<AtomicUsize>,
    gate: watch::Receiver<bool>,
}

impl Upstream {
    pub(crate) fn start() -> Result<Self, Failure> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        let (gate, seen) = watch::channel(false);
        let held = Arc::new(AtomicUsize::new(0));
        let shared = Shared { held: Arc::clone(&held), gate: seen };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        // It ends with the process.
        std::thread::spawn(move || runtime.block_on(serve(listener, shared)));
        Ok(Self { address, held, gate })
    }

    /// The base that OpenAI's clients take.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Streams that are held now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Lets all held streams go on to their end.
    pub(crate) fn release(&self) {
        self.gate.send_replace(true);
    }
}

async fn serve(listener: std::net::TcpListener, shared: Shared) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    while let Ok((stream, _)) = listener.accept().await {
        // A lost option only costs time.
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        let service = hyper::service::service_fn(move |request| answer(request, shared.clone()));
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, shared: Shared) -> Result<Response<Body>, hyper::Error> {
    if request.uri().path().ends_with("/models") {
        return Ok(whole(&json!({ "object": "list", "data": [{ "id": "bench", "object": "model", "owned_by": "bench" }] })));
    }
    let body = request.into_body().collect().await?.to_bytes();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    if asked.get("stream") != Some(&Value::Bool(true)) {
        let message = json!({ "role": "assistant", "content": ANSWER });
        return Ok(whole(&json!({
            "id": "chatcmpl-bench", "object": "chat.completion", "created": 1, "model": "bench",
            "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
            "usage": { "prompt_tokens": 200, "completion_tokens": 30, "total_tokens": 230 },
        })));
    }
    let is_held = String::from_utf8_lossy(&body).contains(&format!("\"{HOLD}"));
    Ok(streamed(is_held.then_some(shared)))
}

fn whole(value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::from(value.to_string()).boxed());
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn chunk(delta: &Value, finish: Option<&str>) -> Frame<Bytes> {
    let choice = json!({ "index": 0, "delta": delta, "finish_reason": finish });
    let event = json!({ "id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [choice] });
    Frame::data(Bytes::from(format!("data: {event}\n\n")))
}

/// All chunks one after the other; a held one waits after the first.
fn streamed(held: Option<Shared>) -> Response<Body> {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Frame<Bytes>>(1);
    tokio::spawn(async move {
        let mut held = held;
        for number in 0..CHUNKS {
            let word = ANSWER.split(' ').nth(usize::try_from(number).unwrap_or_default() % 20).unwrap_or_default();
            if sender.send(chunk(&json!({ "role": "assistant", "content": format!("{word} ") }), None)).await.is_err() {
                return;
            }
            if let Some(mut shared) = held.take() {
                shared.held.fetch_add(1, Ordering::AcqRel);
                // An error means that the whole program ends.
                let _ = shared.gate.wait_for(|open| *open).await;
                shared.held.fetch_sub(1, Ordering::AcqRel);
            }
        }
        // The reader may have gone.
        let _ = sender.send(chunk(&json!({}), Some("stop"))).await;
        let _ = sender.send(Frame::data(Bytes::from_static(b"data: [DONE]\n\n"))).await;
    });
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|frame| (Ok::<_, Infallible>(frame), receiver))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed());
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/event-stream"));
    response
}
