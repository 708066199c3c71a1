//! Accepts connections, tells TLS from plain HTTP by the first byte, and hands requests to a service function.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use plane::Origin;
use plane::body::{Body, BodyError};
use plane::origin::{TlsFacts, VpcEndpoint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use super::Server;
use super::head_timer::HeadTimer;

/// A client must finish the TLS handshake, and each request head, within this time.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// First byte of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Connections served at once on one listener.
const CONNECTIONS: usize = 8192;
/// Headers of one request, and bytes that they may take together.
const HEADERS: usize = 128;
const HEAD_BYTES: usize = 64 * 1024;
/// Requests that one HTTP/2 connection may have under way.
const STREAMS: u32 = 256;

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    pub address: SocketAddr,
    tls: Option<tokio_rustls::TlsAcceptor>,
    /// Plain HTTP is understood too.
    plain: bool,
    /// The private endpoint that it stands for.
    endpoint: Option<VpcEndpoint>,
}

impl Listener {
    pub async fn bind(address: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) -> std::io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        let plain = address.ip().is_loopback();
        Ok(Self { socket, address, tls: tls.map(Into::into), plain, endpoint: None })
    }

    /// The same listener, standing for a private endpoint.
    #[must_use]
    pub fn of_endpoint(self, endpoint: Option<VpcEndpoint>) -> Self {
        Self { endpoint, ..self }
    }

    /// Serves until `stop` changes; connections then finish what they began.
    pub async fn serve(self, server: Arc<Server>, mut stop: watch::Receiver<bool>) {
        let limit = Arc::new(Semaphore::new(CONNECTIONS));
        let listener = Arc::new(self);
        loop {
            let Ok(permit) = Arc::clone(&limit).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = listener.socket.accept() => accepted,
                _ = stop.changed() => return,
            };
            let (stream, source) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors: give connections time to end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let (server, listener, stop) = (Arc::clone(&server), Arc::clone(&listener), stop.clone());
            tokio::spawn(async move {
                listener.connection(stream, source, server, stop).await;
                drop(permit);
            });
        }
    }

    async fn connection(&self, stream: TcpStream, source: SocketAddr, server: Arc<Server>, stop: watch::Receiver<bool>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "no-delay cannot be set");
        }
        let mut first = [0_u8; 1];
        let Ok(Ok(1)) = tokio::time::timeout(HEAD_TIMEOUT, stream.peek(&mut first)).await else { return };
        let is_tls = first == [TLS_HANDSHAKE];
        let listener = stream.local_addr().unwrap_or(self.address);
        let vpc_endpoint = self.endpoint.clone();
        match &self.tls {
            Some(acceptor) if is_tls => {
                let Ok(Ok(stream)) = tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await else { return };
                let tls = tls_facts(stream.get_ref().1);
                converse(stream, Origin { source, listener, tls, vpc_endpoint }, server, stop).await;
            }
            _ if !is_tls && self.plain => converse(stream, Origin { source, listener, tls: None, vpc_endpoint }, server, stop).await,
            _ => tracing::debug!(%source, "a connection spoke neither TLS nor allowed plain HTTP"),
        }
    }
}

fn tls_facts(session: &rustls::ServerConnection) -> Option<TlsFacts> {
    let version = match session.protocol_version()? {
        rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3",
        rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2",
        _ => return None,
    };
    let suite = format!("{:?}", session.negotiated_cipher_suite()?.suite());
    // rustls says TLS13_AES_128_GCM_SHA256, the registry (and CloudTrail) TLS_AES_128_GCM_SHA256.
    // CloudTrail writes the classical groups in small letters, and `X25519MLKEM768`.
    let key_exchange = session.negotiated_key_exchange_group().map(|group| match group.name() {
        rustls::NamedGroup::X25519 => "x25519".to_owned(),
        other => format!("{other:?}"),
    });
    Some(TlsFacts { version, cipher_suite: suite.replacen("TLS13_", "TLS_", 1), key_exchange })
}

async fn converse<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    origin: Origin,
    server: Arc<Server>,
    mut stop: watch::Receiver<bool>,
) {
    let origin = Arc::new(origin);
    let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
        let (server, origin) = (Arc::clone(&server), Arc::clone(&origin));
        async move { Ok::<_, std::convert::Infallible>(server.answer(request.map(boxed), origin).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(HeadTimer::default())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS)
        .max_buf_size(HEAD_BYTES)
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(65_536)
        .keep_alive_interval(Duration::from_mins(1));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = %error, "a connection ended with an error");
    }
}

fn boxed(body: Incoming) -> Body {
    body.map_err(|error| {
        if error.is_incomplete_message() || error.is_canceled() { BodyError::Incomplete } else { BodyError::Other(error.to_string()) }
    })
    .boxed()
}
