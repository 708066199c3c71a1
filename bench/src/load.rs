//! The load: clients that each keep one connection open and call again as soon as they are answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use sigv4::Signer;

use crate::Failure;
use crate::keep_alive::KeepAlive;
use crate::scenario::Scenario;
use crate::target::Target;

/// How hard and how long.
pub(crate) struct Pace {
    pub clients: usize,
    pub time: Duration,
}

/// What came out.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub calls_per_second: f64,
    pub median: Duration,
    pub p99: Duration,
    /// Processor time of the server for one call.
    pub cpu: Duration,
    /// Length of an answer's body.
    pub answer_bytes: usize,
}

/// Whether something answers an unsigned GET at the address with 200.
pub(crate) async fn answers(address: SocketAddr, path: &str) -> bool {
    let Ok(mut sender) = connect(address).await else { return false };
    let Ok(request) = Request::get(path).header("host", address.to_string()).body(Full::default()) else { return false };
    sender.send_request(request).await.is_ok_and(|answer| answer.status() == 200)
}

/// A connection over HTTP/1.1 that is opened again when the server ended it.
pub(crate) struct Wire {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Wire {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { address, sender: connect(address).await? })
    }

    /// Sends one request; gives the whole body of an answer that is a success.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Bytes, Failure> {
        if self.sender.ready().await.is_err() {
            self.sender = connect(self.address).await?;
        }
        let answer = self.sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        if status.is_success() { Ok(body) } else { Err(format!("{status}: {}", String::from_utf8_lossy(&body))) }
    }
}

/// Somebody who calls again and again.
pub(crate) trait Caller: Send + 'static {
    fn call(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Length of the last answer's body, where that is known.
    fn answer_bytes(&self) -> usize {
        0
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = tokio::net::TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    Ok(sender)
}

/// One client's connection.
pub(crate) struct Connection {
    number: usize,
    signers: HashMap<&'static str, Signer>,
    wire: Wire,
}

/// Services that are called.
const SERVICES: [&str; 4] = ["iam", "kms", "s3", "bedrock"];

impl Connection {
    pub(crate) async fn open(target: &Target, number: usize) -> Result<Self, Failure> {
        let signers = SERVICES.into_iter().map(|service| (service, target.signer(service))).collect();
        Ok(Self { number, signers, wire: Wire::open(target.address).await? })
    }

    /// Calls once; gives the answer's body.
    pub(crate) async fn call(&mut self, scenario: &Scenario) -> Result<Bytes, Failure> {
        let path = scenario.path.replace("{n}", &self.number.to_string());
        self.send(scenario.service, &scenario.method, &path, scenario.headers, scenario.body.bytes()).await
    }

    pub(crate) async fn send(
        &mut self,
        service: &str,
        method: &Method,
        path: &str,
        headers: &[(&'static str, &'static str)],
        body: Bytes,
    ) -> Result<Bytes, Failure> {
        let signer = self.signers.get(service).ok_or("there is no signer for the service")?;
        let headers = headers.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
        let request = request(self.wire.address, method, path, headers, body, Some(signer))?;
        self.wire.send(request).await
    }
}

/// A request, signed when there is a signer.
pub(crate) fn request(
    address: SocketAddr,
    method: &Method,
    path: &str,
    mut headers: HeaderMap,
    body: Bytes,
    signer: Option<&Signer>,
) -> Result<Request<Full<Bytes>>, Failure> {
    headers.insert("host", HeaderValue::from_str(&address.to_string()).map_err(|error| error.to_string())?);
    headers.insert("content-length", HeaderValue::from(body.len()));
    if let Some(signer) = signer {
        let hash = sigv4::sha256_hex(&body);
        signer.sign(method.as_str(), path, "", &mut headers, &hash, jiff::Timestamp::now()).map_err(|error| error.to_string())?;
    }
    let mut request = Request::builder().method(method).uri(path).body(Full::new(body)).map_err(|error| error.to_string())?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Measures one scenario, after one call of each client that does not count. All clients are on one thread: none of them waits for another, and what
/// passes between threads would be taken from the server.
pub(crate) fn run(target: &Target, scenario: &'static Scenario, pace: &Pace) -> Result<Measured, Failure> {
    let clients = scenario.clients.unwrap_or(pace.clients);
    let measured = async {
        let mut callers = Vec::with_capacity(clients);
        for number in 0..clients {
            let mut caller = KeepAlive::open(target, scenario, number).await?;
            caller.call().await?;
            callers.push(caller);
        }
        measure(target, callers, pace.time).await
    };
    let on_one_thread = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        runtime.block_on(measured)
    };
    std::thread::scope(|scope| scope.spawn(on_one_thread).join()).map_err(|_| "the load's thread has panicked".to_owned())?
}

/// Measures callers that are all ready.
pub(crate) async fn measure(target: &Target, callers: Vec<impl Caller>, time: Duration) -> Result<Measured, Failure> {
    let answer_bytes = callers.first().map(Caller::answer_bytes).unwrap_or_default();
    let cpu_before = target.cpu()?;
    let begun = Instant::now();
    let end = begun + time;
    let callers: Vec<_> = callers.into_iter().map(|caller| tokio::spawn(until(caller, end))).collect();
    let mut times = Vec::new();
    for caller in callers {
        times.extend(caller.await.map_err(|error| error.to_string())??);
    }
    let (took, cpu) = (begun.elapsed(), target.cpu()?.saturating_sub(cpu_before));
    times.sort_unstable();
    let count = u32::try_from(times.len()).map_err(|error| error.to_string())?;
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default();
    Ok(Measured {
        calls_per_second: f64::from(count) / took.as_secs_f64(),
        median: at(50),
        p99: at(99),
        cpu: cpu / count.max(1),
        answer_bytes,
    })
}

async fn until(mut caller: impl Caller, end: Instant) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    loop {
        let begun = Instant::now();
        if begun >= end {
            return Ok(times);
        }
        caller.call().await?;
        times.push(begun.elapsed());
    }
}
