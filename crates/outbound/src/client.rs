//! Sends requests.

use std::error::Error as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;

use crate::address::AddressRule;
use crate::body::ResponseBody;
use crate::connector::{Connector, Resolve, SystemResolver, place};
use crate::error::OutboundError;

/// How long and how much a call may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// For resolving, connecting and the TLS handshake together.
    pub connect_timeout: Duration,
    /// From sending to the head of the answer. A model that does not stream thinks in this time.
    pub head_timeout: Duration,
    /// For each part of the body.
    pub part_timeout: Duration,
    /// For the whole body.
    pub body_limit_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            head_timeout: Duration::from_mins(2),
            part_timeout: Duration::from_mins(1),
            body_limit_bytes: 32 * 1024 * 1024,
        }
    }
}

/// Connections that nobody uses are closed after this time.
const IDLE: Duration = Duration::from_secs(30);
/// Connections to one host that are kept for later.
const IDLE_PER_HOST: usize = 32;

/// The client. Clones share the pool.
#[derive(Clone)]
pub struct Client {
    pool: legacy::Client<Connector, Full<Bytes>>,
    limits: Limits,
}

impl Client {
    /// A client that reaches public addresses and what `rule` names.
    pub fn new(rule: AddressRule, limits: Limits) -> Self {
        Self::with_resolver(rule, limits, Arc::new(SystemResolver))
    }

    /// As [`Client::new`], with another source of addresses.
    pub fn with_resolver(rule: AddressRule, limits: Limits, resolver: Arc<dyn Resolve>) -> Self {
        Self::build(rule, limits, resolver, OnceLock::new())
    }

    fn build(rule: AddressRule, limits: Limits, resolver: Arc<dyn Resolve>, tls: OnceLock<Arc<ClientConfig>>) -> Self {
        let connector = Connector { rule: Arc::new(rule), resolver, timeout: limits.connect_timeout, tls: Arc::new(tls) };
        let pool = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .build(connector);
        Self { pool, limits }
    }

    /// Sends a request and waits for the head of the answer. A redirect is an answer like any other.
    ///
    /// # Errors
    /// The URL cannot be used, the address may not be reached, nobody answers, or not in time.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<ResponseBody>, OutboundError> {
        place(request.uri())?;
        let sending = self.pool.request(request.map(Full::new));
        let timeout_ms = u64::try_from(self.limits.head_timeout.as_millis()).unwrap_or(u64::MAX);
        let answer = tokio::time::timeout(self.limits.head_timeout, sending).await.map_err(|_| OutboundError::HeadTimeout(timeout_ms))?;
        let answer = answer.map_err(|error| cause(&error))?;
        Ok(answer.map(|incoming| ResponseBody::new(incoming, self.limits.part_timeout, self.limits.body_limit_bytes)))
    }
}

/// The connector's own error, if it was one.
fn cause(error: &legacy::Error) -> OutboundError {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<OutboundError>() {
            return error.clone();
        }
        source = error.source();
    }
    OutboundError::Broken(error.source().map_or_else(|| error.to_string(), ToString::to_string))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use rustls::RootCertStore;
    use rustls_pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// Gives other addresses each time.
    struct Rebinding(Vec<SocketAddr>, AtomicUsize);

    #[async_trait]
    impl Resolve for Rebinding {
        async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
            let at = self.1.fetch_add(1, Ordering::SeqCst);
            Ok(self.0.get(at).copied().into_iter().collect())
        }
    }

    fn local() -> AddressRule {
        AddressRule::new(vec!["127.0.0.1".parse().unwrap()])
    }

    fn short() -> Limits {
        Limits {
            head_timeout: Duration::from_millis(200),
            part_timeout: Duration::from_millis(200),
            body_limit_bytes: 1000,
            ..Limits::default()
        }
    }

    async fn read_head(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    /// Serves `answer` to each connection and gives the address.
    async fn server(answer: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    read_head(&mut stream).await;
                    stream.write_all(answer).await.unwrap();
                    // Stays open: the client's limits must end it.
                    let _ = stream.read_u8().await;
                });
            }
        });
        address
    }

    fn get(address: SocketAddr) -> Request<Bytes> {
        Request::get(format!("http://{address}/path")).body(Bytes::new()).unwrap()
    }

    #[tokio::test]
    async fn an_allowed_host_answers() {
        let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
        let answer = Client::new(local(), short()).send(get(address)).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().collect().await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn internal_addresses_are_refused() {
        let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let client = Client::new(AddressRule::default(), short());
        let error = client.send(get(address)).await.unwrap_err();
        assert_eq!(error, OutboundError::Internal { host: "127.0.0.1".to_owned(), address: address.ip() });
    }

    #[tokio::test]
    async fn a_name_that_turns_to_an_internal_address_is_refused() {
        let address = server(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
        // The name is not allowed; only one address is. Then it resolves to another.
        let turned = SocketAddr::new("127.0.0.2".parse().unwrap(), address.port());
        let resolver = Arc::new(Rebinding(vec![address, turned], AtomicUsize::new(0)));
        let client = Client::with_resolver(local(), short(), resolver);
        let request = || Request::get(format!("http://rebinding.example:{}/", address.port())).body(Bytes::new()).unwrap();
        assert_eq!(client.send(request()).await.unwrap().status(), 200);
        let error = client.send(request()).await.unwrap_err();
        assert_eq!(error, OutboundError::Internal { host: "rebinding.example".to_owned(), address: turned.ip() });
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed() {
        let address = server(b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(Client::new(local(), short()).send(get(address)).await.unwrap().status(), 302);
    }

    #[tokio::test]
    async fn waits_and_sizes_have_limits() {
        let silent = server(b"").await;
        let client = Client::new(local(), short());
        assert_eq!(client.send(get(silent)).await.unwrap_err(), OutboundError::HeadTimeout(200));
        let stalled = server(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhel").await;
        let body = client.send(get(stalled)).await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap_err(), OutboundError::BodyTimeout(200));
        let large: &'static [u8] =
            Box::leak([b"HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_vec(), vec![b'a'; 1001]].concat().into_boxed_slice());
        let body = client.send(get(server(large).await)).await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap_err(), OutboundError::TooLarge(1000));
    }

    #[tokio::test]
    async fn nobody_there_is_a_connect_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = Client::new(local(), short()).send(get(address)).await.unwrap_err();
        assert!(matches!(error, OutboundError::Connect { .. }), "{error}");
    }

    #[tokio::test]
    async fn other_schemes_and_user_information_are_refused() {
        let client = Client::new(local(), short());
        for url in ["/relative", "ftp://example.com/", "http://user@127.0.0.1/"] {
            let request = Request::get(url).body(Bytes::new()).unwrap();
            assert_eq!(client.send(request).await.unwrap_err(), OutboundError::Url(url.to_owned()));
        }
    }

    #[tokio::test]
    async fn certificates_are_checked() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let serving = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(serving));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    read_head(&mut stream).await;
                    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
                }
            }
        });
        let request = || Request::get(format!("https://localhost:{}/", address.port())).body(Bytes::new()).unwrap();
        let resolver = || Arc::new(Rebinding(vec![address, address], AtomicUsize::new(0)));
        let client =
            |roots: RootCertStore| Client::build(local(), short(), resolver(), OnceLock::from(crate::tls::trusting(roots).unwrap()));
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        assert_eq!(client(roots).send(request()).await.unwrap().status(), 204);
        let error = client(RootCertStore::empty()).send(request()).await.unwrap_err();
        assert!(matches!(error, OutboundError::Tls { .. }), "{error}");
    }
}
