//! A small AWS client for the command line and the demo: it signs with SigV4 and speaks the same wire protocols as any SDK. It has no
//! back door: what it can do, its credentials are allowed to do.

use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use facts::{Operation, Protocol, Service, catalog};
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use sigv4::{Secret, Signer};
use tokio::net::TcpStream;
use wire::{ErrorReply, Value};

/// Largest answer that is read.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;
/// An answer must come within this time.
const TIMEOUT: std::time::Duration = std::time::Duration::from_mins(2);

/// Access keys.
#[derive(Clone)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: zeroize::Zeroizing<String>,
    pub session_token: Option<String>,
}

/// Where the server is.
#[derive(Clone)]
pub struct Client {
    pub authority: String,
    pub region: String,
    tls: Option<Arc<rustls::ClientConfig>>,
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered with an error.
    #[error("{} ({status}): {message}", .code)]
    Service { code: String, message: String, status: u16, request_id: Option<String> },
    #[error("the server at `{0}` cannot be reached: {1}")]
    Unreachable(String, String),
    #[error("the request cannot be made: {0}")]
    Request(String),
    #[error("the answer cannot be read: {0}")]
    Answer(String),
}

/// A whole answer.
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An operation of the facts, by names.
fn operation(service: &str, name: &str) -> Result<(&'static Service, &'static Operation), ClientError> {
    let service = catalog().service(service).ok_or_else(|| ClientError::Request(format!("the service `{service}` is not known")))?;
    let operation = service.operation(name).ok_or_else(|| ClientError::Request(format!("the operation `{name}` is not known")))?;
    Ok((service, operation))
}

impl Client {
    /// `endpoint` is `https://host:port` or `http://host:port`; `authority_pem` the certificate authority to trust for `https`.
    pub fn new(endpoint: &str, region: &str, authority_pem: Option<&str>) -> Result<Self, ClientError> {
        let (scheme, authority) =
            endpoint.split_once("://").ok_or_else(|| ClientError::Request(format!("the endpoint `{endpoint}` is not a URL")))?;
        let tls = match scheme {
            "https" => Some(trust(authority_pem)?),
            "http" => None,
            _ => return Err(ClientError::Request(format!("the scheme of `{endpoint}` is not `http` or `https`"))),
        };
        Ok(Self { authority: authority.trim_end_matches('/').to_owned(), region: region.to_owned(), tls })
    }

    /// Calls an operation by name.
    pub async fn call_named(&self, credentials: &Credentials, service: &str, name: &str, input: &Value) -> Result<Value, ClientError> {
        let (service, operation) = operation(service, name)?;
        let request = self.prepare(service, operation, input, Bytes::new())?;
        let request = self.sign(request, service, credentials, jiff::Timestamp::now())?;
        decode(service, operation, &self.send(request).await?)
    }

    /// An unsigned request.
    pub fn prepare(
        &self,
        service: &'static Service,
        operation: &'static Operation,
        input: &Value,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let encoded = wire::encode_input(protocol(service), service, operation, input);
        let body = if body.is_empty() { Bytes::from(encoded.body) } else { body };
        let target = if encoded.query.is_empty() { encoded.path } else { format!("{}?{}", encoded.path, encoded.query) };
        let method = Method::from_bytes(encoded.method.as_bytes()).map_err(|error| ClientError::Request(error.to_string()))?;
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .body(Full::new(body.clone()))
            .map_err(|error| ClientError::Request(error.to_string()))?;
        let headers = request.headers_mut();
        for (name, value) in encoded.headers {
            headers.append(header_name(&name)?, header_value(&value)?);
        }
        if operation.checksum_required {
            let digest = hex::decode(sigv4::sha256_hex(&body)).map_err(|error| ClientError::Request(error.to_string()))?;
            headers.insert("x-amz-checksum-sha256", header_value(&base64::engine::general_purpose::STANDARD.encode(digest))?);
        }
        headers.insert("host", header_value(&self.authority)?);
        headers.insert("content-length", HeaderValue::from(body.len()));
        headers.insert("user-agent", HeaderValue::from_static(concat!("bailiwick/", env!("CARGO_PKG_VERSION"))));
        // What the body's hash is made of, until the request is signed.
        request.extensions_mut().insert(body);
        Ok(request)
    }

    /// Signs a prepared request as of `now`.
    pub fn sign(
        &self,
        mut request: Request<Full<Bytes>>,
        service: &'static Service,
        credentials: &Credentials,
        now: jiff::Timestamp,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let signer = Signer {
            access_key_id: credentials.access_key_id.clone(),
            secret: Secret::new(credentials.secret_access_key.as_str()),
            session_token: credentials.session_token.clone(),
            region: if service.head.global { "us-east-1".to_owned() } else { self.region.clone() },
            service: service.head.signing_name.to_owned(),
        };
        let body = request.extensions().get::<Bytes>().cloned().unwrap_or_default();
        let hash = sigv4::sha256_hex(&body);
        let (method, path, query) =
            (request.method().as_str().to_owned(), request.uri().path().to_owned(), request.uri().query().unwrap_or_default().to_owned());
        signer.sign(&method, &path, &query, request.headers_mut(), &hash, now).map_err(|error| ClientError::Request(error.to_string()))?;
        Ok(request)
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        tokio::time::timeout(TIMEOUT, self.exchange(request)).await.unwrap_or_else(|_| Err(self.unreachable(&"no answer in time")))
    }

    fn unreachable(&self, cause: &dyn std::fmt::Display) -> ClientError {
        ClientError::Unreachable(self.authority.clone(), cause.to_string())
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, ClientError> {
        let stream = TcpStream::connect(&self.authority).await.map_err(|error| self.unreachable(&error))?;
        let Some(tls) = &self.tls else { return converse(stream, request).await };
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host).trim_matches(['[', ']']).to_owned();
        let name = rustls_pki_types::ServerName::try_from(host).map_err(|error| ClientError::Request(error.to_string()))?;
        let stream =
            tokio_rustls::TlsConnector::from(Arc::clone(tls)).connect(name, stream).await.map_err(|error| self.unreachable(&error))?;
        converse(stream, request).await
    }
}

/// The protocol that we speak to a service: its first that is not CBOR.
pub fn protocol(service: &'static Service) -> Protocol {
    service.head.protocols.iter().copied().find(|protocol| *protocol != Protocol::RpcV2Cbor).unwrap_or(Protocol::Json11)
}

/// The output of an answer, or its error.
pub fn decode(service: &'static Service, operation: &'static Operation, answer: &Answer) -> Result<Value, ClientError> {
    if answer.status >= 300 {
        let ErrorReply { code, message, .. } = wire::decode_error(protocol(service), service, answer.status, &answer.headers, &answer.body);
        let request_id = ["x-amzn-requestid", "x-amz-request-id"]
            .iter()
            .find_map(|name| answer.headers.get(*name))
            .and_then(|id| id.to_str().ok())
            .map(str::to_owned);
        return Err(ClientError::Service { code, message, status: answer.status, request_id });
    }
    wire::decode_output(protocol(service), service, operation, answer.status, &answer.headers, &answer.body)
        .map_err(|error| ClientError::Answer(error.to_string()))
}

async fn converse<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, ClientError>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let broken = |error: hyper::Error| ClientError::Answer(error.to_string());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(broken)?;
    let (head, body) = response.into_parts();
    let body = http_body_util::Limited::new(body, ANSWER_LIMIT)
        .collect()
        .await
        .map_err(|error| ClientError::Answer(error.to_string()))?
        .to_bytes();
    driver.abort();
    Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
}

fn trust(authority_pem: Option<&str>) -> Result<Arc<rustls::ClientConfig>, ClientError> {
    use rustls_pki_types::pem::PemObject as _;
    let refused = |error: &dyn std::fmt::Display| ClientError::Request(format!("the certificate authority cannot be used: {error}"));
    let pem = authority_pem.ok_or_else(|| refused(&"none is given; name its file with `--ca-bundle`"))?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_pki_types::CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| refused(&error))?;
        roots.add(certificate).map_err(|error| refused(&error))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(|error| refused(&error))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

fn header_name(name: &str) -> Result<HeaderName, ClientError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|error| ClientError::Request(error.to_string()))
}

fn header_value(value: &str) -> Result<HeaderValue, ClientError> {
    HeaderValue::from_str(value).map_err(|error| ClientError::Request(error.to_string()))
}
