//! A client that takes as little of the processor as it can: the server that is measured runs on the same cores.
//!
//! One connection, one request at a time, written as bytes that were made and signed beforehand and are signed anew every [`RESIGNED_AFTER`]. It reads no more
//! of an answer than its status, its length and its end, and it knows no other body than one of a declared length.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Failure;
use crate::load::{self, Caller};
use crate::scenario::Scenario;
use crate::target::Target;

/// A signature of a header is good for five minutes at least; a new one each second is what a client that reuses them may do.
const RESIGNED_AFTER: Duration = Duration::from_secs(1);
/// Headers of an answer.
const HEADERS: usize = 64;
/// An answer's head.
const HEAD_BYTES: usize = 16 * 1024;
/// What is read at a time.
const BUFFER_BYTES: usize = 64 * 1024;

pub(crate) struct KeepAlive {
    address: SocketAddr,
    signer: sigv4::Signer,
    scenario: &'static Scenario,
    path: String,
    content: Bytes,
    signed: Option<Instant>,
    request: Vec<u8>,
    stream: TcpStream,
    buffer: Vec<u8>,
    answer_bytes: usize,
}

/// The head of an answer, and where its body begins.
struct AnswerHead {
    status: u16,
    length: usize,
    body_at: usize,
    is_last: bool,
}

impl KeepAlive {
    pub(crate) async fn open(target: &Target, scenario: &'static Scenario, number: usize) -> Result<Self, Failure> {
        Ok(Self {
            address: target.address,
            signer: target.signer(scenario.service),
            scenario,
            path: scenario.path.replace("{n}", &number.to_string()),
            content: scenario.body.bytes(),
            signed: None,
            request: Vec::new(),
            stream: connect(target.address).await?,
            buffer: vec![0; BUFFER_BYTES],
            answer_bytes: 0,
        })
    }

    /// Makes the bytes of the request, when the last ones are old.
    fn sign(&mut self) -> Result<(), Failure> {
        if self.signed.is_some_and(|signed| signed.elapsed() < RESIGNED_AFTER) {
            return Ok(());
        }
        let headers = self.scenario.headers.iter();
        let headers = headers.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect();
        let made = load::request(self.address, &self.scenario.method, &self.path, headers, self.content.clone(), Some(&self.signer))?;
        self.request.clear();
        self.request.extend_from_slice(format!("{} {} HTTP/1.1\r\n", made.method(), self.path).as_bytes());
        for (name, value) in made.headers() {
            self.request.extend_from_slice(name.as_str().as_bytes());
            self.request.extend_from_slice(b": ");
            self.request.extend_from_slice(value.as_bytes());
            self.request.extend_from_slice(b"\r\n");
        }
        self.request.extend_from_slice(b"\r\n");
        self.request.extend_from_slice(&self.content);
        self.signed = Some(Instant::now());
        Ok(())
    }

    /// Reads to the end of the answer's head; gives it, and how many bytes are in the buffer.
    async fn head(&mut self) -> Result<(AnswerHead, usize), Failure> {
        let mut filled = 0;
        loop {
            let room = self.buffer.get_mut(filled..).ok_or("the buffer is full")?;
            let read = self.stream.read(room).await.map_err(|error| error.to_string())?;
            if read == 0 || filled > HEAD_BYTES {
                return Err("the connection ended within an answer".to_owned());
            }
            filled += read;
            if let Some(head) = parse(self.buffer.get(..filled).unwrap_or_default())? {
                return Ok((head, filled));
            }
        }
    }

    /// Reads the rest of the body. Gives what stands in the buffer of it: an error's words.
    async fn body(&mut self, head: &AnswerHead, filled: usize) -> Result<String, Failure> {
        let text = self.buffer.get(head.body_at..filled).unwrap_or_default();
        let (mut left, text) =
            (head.length.saturating_sub(text.len()), String::from_utf8_lossy(text.get(..512).unwrap_or(text)).into_owned());
        while left > 0 {
            let read = self.stream.read(&mut self.buffer).await.map_err(|error| error.to_string())?;
            if read == 0 {
                return Err("the connection ended within an answer".to_owned());
            }
            left = left.saturating_sub(read);
        }
        Ok(text)
    }
}

impl Caller for KeepAlive {
    async fn call(&mut self) -> Result<(), Failure> {
        self.sign()?;
        self.stream.write_all(&self.request).await.map_err(|error| error.to_string())?;
        let (head, filled) = self.head().await?;
        let text = self.body(&head, filled).await?;
        if !(200..300).contains(&head.status) {
            return Err(format!("{}: {text}", head.status));
        }
        self.answer_bytes = head.length;
        if head.is_last {
            self.stream = connect(self.address).await?;
        }
        Ok(())
    }

    fn answer_bytes(&self) -> usize {
        self.answer_bytes
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, Failure> {
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    Ok(stream)
}

/// The head of an answer; `None` while it is not whole.
fn parse(bytes: &[u8]) -> Result<Option<AnswerHead>, Failure> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(body_at) = answer.parse(bytes).map_err(|error| error.to_string())? else { return Ok(None) };
    let value = |name: &str| {
        let header = answer.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    let length = value("content-length").and_then(|length| length.parse().ok()).ok_or("an answer does not say how long it is")?;
    let is_last = value("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(Some(AnswerHead { status: answer.code.unwrap_or_default(), length, body_at, is_last }))
}
