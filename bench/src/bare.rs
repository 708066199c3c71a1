//! The bare HTTP stack: a server that reads a request and answers bytes that stand ready. It has the libraries, the settings, the runtime and the allocator of
//! Bailiwick's listener and nothing of what comes behind it: what a call costs there is what no server on this machine can spare.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};

use crate::Failure;

/// As `bailiwick/src/server/listener.rs` has them.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
const HEADERS: usize = 128;
const HEAD_BYTES: usize = 64 * 1024;

/// Serves until the process is ended. Each answer has a body of this length.
pub(crate) async fn serve(address: SocketAddr, answer_bytes: usize) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await.map_err(|error| error.to_string())?;
    let answer = Bytes::from(vec![b' '; answer_bytes]);
    loop {
        let (stream, _) = listener.accept().await.map_err(|error| error.to_string())?;
        tokio::spawn(converse(stream, answer.clone()));
    }
}

async fn converse(stream: TcpStream, answer: Bytes) {
    // A lost option only costs time.
    let _ = stream.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| read(request, answer.clone()));
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .half_close(true);
    // A client that goes away is no failure.
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

async fn read(request: Request<Incoming>, answer: Bytes) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut body = request.into_body();
    // What does not arrive is not answered for long: the client ends the run.
    while let Some(Ok(_)) = body.frame().await {}
    let mut response = Response::new(Full::new(answer));
    response.headers_mut().insert("content-type", HeaderValue::from_static("text/xml"));
    Ok(response)
}
