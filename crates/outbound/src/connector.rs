//! Makes connections: resolves a host, checks each address, connects to one that passed.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::address::AddressRule;
use crate::error::OutboundError;
use crate::tls;

/// Where addresses of hosts come from.
#[async_trait]
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of `host`.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The resolver of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// Makes connections for the pool.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) rule: Arc<AddressRule>,
    pub(crate) resolver: Arc<dyn Resolve>,
    pub(crate) timeout: Duration,
    /// Loaded with the first TLS connection: most servers talk to a model on the same machine and never need it.
    pub(crate) tls: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = OutboundError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, OutboundError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let timeout_ms = u64::try_from(connector.timeout.as_millis()).unwrap_or(u64::MAX);
            let connecting = tokio::time::timeout(connector.timeout, connector.connect(&uri));
            connecting.await.map_err(|_| OutboundError::ConnectTimeout(timeout_ms))?
        })
    }
}

impl Connector {
    async fn connect(&self, uri: &Uri) -> Result<Stream, OutboundError> {
        let (host, is_tls, port) = place(uri)?;
        let stream = self.connect_tcp(host, port).await?;
        if !is_tls {
            return Ok(Stream::Plain(TokioIo::new(stream)));
        }
        let failed = |cause: String| OutboundError::Tls { host: host.to_owned(), cause };
        let configuration = if let Some(configuration) = self.tls.get() {
            Arc::clone(configuration)
        } else {
            let loaded = tls::configuration().map_err(|error| failed(error.to_string()))?;
            Arc::clone(self.tls.get_or_init(|| loaded))
        };
        let name = ServerName::try_from(host.to_owned()).map_err(|error| failed(error.to_string()))?;
        let stream = TlsConnector::from(configuration).connect(name, stream).await.map_err(|error| failed(error.to_string()))?;
        Ok(Stream::Tls(Box::new(TokioIo::new(stream))))
    }

    async fn connect_tcp(&self, host: &str, port: u16) -> Result<TcpStream, OutboundError> {
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => self
                .resolver
                .resolve(host, port)
                .await
                .map_err(|error| OutboundError::Resolve { host: host.to_owned(), cause: error.to_string() })?,
        };
        let mut failure = OutboundError::Resolve { host: host.to_owned(), cause: "it has no address".to_owned() };
        for address in addresses {
            if !self.rule.allows(host, address.ip()) {
                failure = OutboundError::Internal { host: host.to_owned(), address: address.ip() };
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => {
                    // Small requests must not wait for an acknowledgement; without the option they are only slower.
                    let _ = stream.set_nodelay(true);
                    return Ok(stream);
                }
                Err(error) => failure = OutboundError::Connect { host: host.to_owned(), cause: error.to_string() },
            }
        }
        Err(failure)
    }
}

/// Host (without brackets), whether over TLS, and port of a URL.
pub(crate) fn place(uri: &Uri) -> Result<(&str, bool, u16), OutboundError> {
    let invalid = || OutboundError::Url(uri.to_string());
    let is_tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        _ => return Err(invalid()),
    };
    let authority = uri.authority().ok_or_else(invalid)?;
    let host = authority.host();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    if host.is_empty() || authority.as_str().contains('@') {
        return Err(invalid());
    }
    Ok((host, is_tls, authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 })))
}

/// A connection, plain or not.
pub(crate) enum Stream {
    Plain(TokioIo<TcpStream>),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(context, buffer),
        }
    }
}

impl Write for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(context),
        }
    }
}
