//! `bailiwick credentials agent`: role credentials for programs on this host, at an endpoint on a loopback address.
//!
//! It answers as the credentials endpoint of a container does, so every AWS SDK finds it by two variables:
//! `AWS_CONTAINER_CREDENTIALS_FULL_URI` and `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`. The role's credentials are in memory only, and are made
//! anew before they end; on disk are a certificate with its key, which open nothing but the role, and the token that keeps other users of the
//! host out.
//!
//! Source: AWS SDKs and Tools Reference Guide, "Container credential provider".

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use certificate::{Certificate, PrivateKey};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use wire::Value;
use zeroize::Zeroizing;

use super::running::CredentialsSource;
use super::{Failure, output};
use crate::client::{Client, ClientError, Credentials, decode};

/// Path of the credentials.
const PATH: &str = "/credentials";
/// Credentials with less than this left are made anew.
const MARGIN: jiff::SignedDuration = jiff::SignedDuration::from_mins(5);
/// A client must have sent its request within this time.
const HEAD_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);
/// Certificates of a chain file.
const CHAIN: usize = 5;
const TOKEN_BYTES: usize = 32;

/// Serve role credentials to programs on this host.
#[derive(clap::Args)]
pub struct Agent {
    /// Where the server is.
    #[arg(long, value_name = "URL", env = "BAILIWICK_ENDPOINT")]
    endpoint: String,
    /// Certificate authority of the server.
    #[arg(long, value_name = "FILE", env = "AWS_CA_BUNDLE")]
    ca_bundle: Option<PathBuf>,
    /// Region of the calls.
    #[arg(long, value_name = "REGION", env = "AWS_REGION", default_value = "us-east-1")]
    region: String,
    /// Role whose credentials are served.
    #[arg(long, value_name = "ARN")]
    role_arn: String,
    /// Trust anchor that the certificate leads to; with it the role is opened by certificate.
    #[arg(long, value_name = "ARN", requires_all = ["profile_arn", "certificate", "private_key"])]
    trust_anchor_arn: Option<String>,
    /// Profile that names the role.
    #[arg(long, value_name = "ARN")]
    profile_arn: Option<String>,
    /// Certificate of this host (PEM).
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// Certificates between it and the trust anchor (PEM).
    #[arg(long, value_name = "FILE")]
    chain: Option<PathBuf>,
    /// Name of the session, where the role is assumed with other credentials.
    #[arg(long, default_value = "bailiwick-agent")]
    session_name: String,
    /// Seconds that each set of credentials lasts.
    #[arg(long, default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(900..=43_200))]
    duration: u32,
    /// Address to listen on: a loopback address.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// File of the token that clients must send; made if it is not there.
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    #[command(flatten)]
    source: CredentialsSource,
}

/// How the role is opened.
enum Opener {
    Certificate { certificate: Box<Certificate>, chain: Vec<Certificate>, key: PrivateKey, trust_anchor_arn: String, profile_arn: String },
    AssumeRole { credentials: Credentials, session_name: String },
}

/// A set of credentials and its end.
struct Issued {
    document: Json,
    expires: jiff::Timestamp,
}

struct Server {
    client: Client,
    opener: Opener,
    role_arn: String,
    duration_s: u32,
    token: Zeroizing<String>,
    /// Held while credentials are made, so that many clients cause one call.
    issued: Mutex<Option<Issued>>,
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::general(format!("`{}` cannot be read: {error}", path.display())))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::general(format!("`{}` cannot be used: {error}", path.display()))
}

/// The token that is in the file, or a new one in a file that only its owner can read.
fn token(path: &Path) -> Result<Zeroizing<String>, Failure> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    if path.exists() {
        let token = Zeroizing::new(read(path)?.trim().to_owned());
        return if token.is_empty() { Err(Failure::general(format!("`{}` holds no token", path.display()))) } else { Ok(token) };
    }
    let mut bytes = Zeroizing::new([0_u8; TOKEN_BYTES]);
    keyring::Randomness::fill(&keyring::SystemRandomness, bytes.as_mut()).map_err(|error| Failure::general(error.to_string()))?;
    let token = Zeroizing::new(hex::encode(bytes.as_ref()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| unusable(path, &error))?;
    file.write_all(token.as_bytes()).map_err(|error| unusable(path, &error))?;
    Ok(token)
}

impl Agent {
    fn opener(&self) -> Result<Opener, Failure> {
        let (Some(trust_anchor_arn), Some(profile_arn), Some(certificate), Some(key)) =
            (&self.trust_anchor_arn, &self.profile_arn, &self.certificate, &self.private_key)
        else {
            return Ok(Opener::AssumeRole { credentials: self.source.read()?, session_name: self.session_name.clone() });
        };
        let read_certificate = Certificate::from_pem(&read(certificate)?, 1).map_err(|error| unusable(certificate, &error))?;
        let read_certificate = read_certificate.into_iter().next().ok_or_else(|| unusable(certificate, &"it is empty"))?;
        let chain = match &self.chain {
            Some(path) => Certificate::from_pem(&read(path)?, CHAIN).map_err(|error| unusable(path, &error))?,
            None => Vec::new(),
        };
        Ok(Opener::Certificate {
            certificate: Box::new(read_certificate),
            chain,
            key: PrivateKey::from_pem(&Zeroizing::new(read(key)?)).map_err(|error| unusable(key, &error))?,
            trust_anchor_arn: trust_anchor_arn.clone(),
            profile_arn: profile_arn.clone(),
        })
    }

    pub async fn run(self) -> Result<(), Failure> {
        if !self.listen.ip().is_loopback() {
            return Err(Failure::general(format!("`{}` is not a loopback address", self.listen)).with_code(2));
        }
        let authority = self.ca_bundle.as_deref().map(read).transpose()?;
        let server = Arc::new(Server {
            client: Client::new(&self.endpoint, &self.region, authority.as_deref())?,
            opener: self.opener()?,
            role_arn: self.role_arn.clone(),
            duration_s: self.duration,
            token: token(&self.token_file)?,
            issued: Mutex::new(None),
        });
        // What cannot be had now is told now, not at the first client's request.
        server.credentials().await?;
        let listener = TcpListener::bind(self.listen).await?;
        let address = listener.local_addr()?;
        output::line(&format!("export AWS_CONTAINER_CREDENTIALS_FULL_URI=http://{address}{PATH}"))?;
        output::line(&format!("export AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE={}", self.token_file.display()))?;
        let mut stop = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    // A connection that broke before it was taken is nothing to us.
                    if let Ok((stream, _)) = accepted {
                        tokio::spawn(serve(Arc::clone(&server), stream));
                    }
                }
                _ = stop.recv() => return Ok(()),
                _ = tokio::signal::ctrl_c() => return Ok(()),
            }
        }
    }
}

async fn serve(server: Arc<Server>, stream: tokio::net::TcpStream) {
    let service = hyper::service::service_fn(move |request: Request<hyper::body::Incoming>| {
        let server = Arc::clone(&server);
        async move { Ok::<_, std::convert::Infallible>(server.answer(request.method(), request.uri().path(), request.headers()).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a client's connection broke");
    }
}

fn reply(status: StatusCode, document: &Json) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-store"));
    response
}

fn problem(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    reply(status, &json!({ "code": code, "message": message }))
}

/// Compares without telling by the time it takes where two texts differ.
fn same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0_u8, |differs, (one, other)| differs | (one ^ other)) == 0
}

impl Server {
    async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let given = headers.get("authorization").and_then(|token| token.to_str().ok()).unwrap_or_default();
        if !same(given, &self.token) {
            return problem(StatusCode::UNAUTHORIZED, "Unauthorized", "the authorization token is missing or wrong");
        }
        if method != Method::GET || path != PATH {
            return problem(StatusCode::NOT_FOUND, "NotFound", "there is nothing but the credentials");
        }
        match self.credentials().await {
            Ok(document) => reply(StatusCode::OK, &document),
            Err(error) => problem(StatusCode::BAD_GATEWAY, "CredentialsUnavailable", &error.to_string()),
        }
    }

    /// The credentials; made anew when they end soon. Those that are still good are served when no new ones can be had.
    async fn credentials(&self) -> Result<Json, ClientError> {
        let mut issued = self.issued.lock().await;
        let now = jiff::Timestamp::now();
        let left = |issued: &Issued| issued.expires.duration_since(now);
        if let Some(known) = issued.as_ref().filter(|known| left(known) > MARGIN) {
            return Ok(known.document.clone());
        }
        match self.open().await {
            Ok(new) => Ok(issued.insert(new).document.clone()),
            Err(error) => match issued.as_ref().filter(|known| left(known) > jiff::SignedDuration::ZERO) {
                Some(known) => Ok(known.document.clone()),
                None => Err(error),
            },
        }
    }

    async fn open(&self) -> Result<Issued, ClientError> {
        match &self.opener {
            Opener::AssumeRole { credentials, session_name } => {
                let mut input = wire::Struct::new();
                input.set("RoleArn", Value::Str(self.role_arn.clone()));
                input.set("RoleSessionName", Value::Str(session_name.clone()));
                input.set("DurationSeconds", Value::Int(i64::from(self.duration_s)));
                let output = self.client.call_named(credentials, "sts", "AssumeRole", &Value::Struct(input)).await?;
                let names = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"];
                self.issued(output.member("Credentials"), names)
            }
            Opener::Certificate { .. } => {
                let output = self.create_session().await?;
                let first = match output.member("credentialSet") {
                    Some(Value::List(sets)) => sets.first().and_then(|set| set.member("credentials")),
                    _ => None,
                };
                self.issued(first, ["accessKeyId", "secretAccessKey", "sessionToken", "expiration"])
            }
        }
    }

    fn issued(&self, credentials: Option<&Value>, [key, secret, token, expiration]: [&str; 4]) -> Result<Issued, ClientError> {
        let incomplete = || ClientError::Answer("the answer holds no credentials".to_owned());
        let credentials = credentials.ok_or_else(incomplete)?;
        let text = |name: &str| credentials.member(name).and_then(Value::as_str).map(str::to_owned).ok_or_else(incomplete);
        let Some(Value::Time(expires)) = credentials.member(expiration) else { return Err(incomplete()) };
        let expires = jiff::Timestamp::from_millisecond(expires.0).map_err(|error| ClientError::Answer(error.to_string()))?;
        let document = json!({
            "RoleArn": self.role_arn,
            "AccessKeyId": text(key)?,
            "SecretAccessKey": text(secret)?,
            "Token": text(token)?,
            "Expiration": expires.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
        Ok(Issued { document, expires })
    }

    /// Calls `CreateSession`, signed by the certificate's key.
    async fn create_session(&self) -> Result<Value, ClientError> {
        let Opener::Certificate { certificate, chain, key, trust_anchor_arn, profile_arn } = &self.opener else {
            return Err(ClientError::Request("there is no certificate".to_owned()));
        };
        let unusable = |error: &dyn std::fmt::Display| ClientError::Request(error.to_string());
        let service = facts::catalog().service("rolesanywhere").ok_or_else(|| unusable(&"the service is not known"))?;
        let operation = service.operation("CreateSession").ok_or_else(|| unusable(&"the operation is not known"))?;
        let body = json!({
            "durationSeconds": self.duration_s,
            "trustAnchorArn": trust_anchor_arn,
            "profileArn": profile_arn,
            "roleArn": self.role_arn,
        })
        .to_string();
        let time = sigv4::format_timestamp(jiff::Timestamp::now());
        let date = time.get(..8).unwrap_or_default();
        let scope = format!("{date}/{}/rolesanywhere/aws4_request", self.client.region);
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("host", self.client.authority.clone()),
            ("x-amz-date", time.clone()),
            ("x-amz-x509", STANDARD.encode(&certificate.der)),
        ];
        if !chain.is_empty() {
            let chain: Vec<String> = chain.iter().map(|link| STANDARD.encode(&link.der)).collect();
            headers.push(("x-amz-x509-chain", chain.join(",")));
        }
        let mut map = HeaderMap::new();
        for (name, value) in &headers {
            map.insert(*name, HeaderValue::from_str(value).map_err(|error| unusable(&error))?);
        }
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        let signed_headers = names.join(";");
        let parts = sigv4::RequestParts { method: "POST", path: "/sessions", query: "", headers: &map, authority: None };
        let canonical = sigv4::canonical_request_of(&parts, &signed_headers, &sigv4::sha256_hex(body.as_bytes()));
        let algorithm = if key.is_rsa() { "AWS4-X509-RSA-SHA256" } else { "AWS4-X509-ECDSA-SHA256" };
        let to_sign = format!("{algorithm}\n{time}\n{scope}\n{}", sigv4::sha256_hex(&canonical));
        let signature = hex::encode(key.sign(to_sign.as_bytes()).map_err(|error| unusable(&error))?);
        let serial = certificate.serial_decimal();
        let authorization = format!("{algorithm} Credential={serial}/{scope}, SignedHeaders={signed_headers}, Signature={signature}");
        map.insert("authorization", HeaderValue::from_str(&authorization).map_err(|error| unusable(&error))?);
        map.insert("content-length", HeaderValue::from(body.len()));
        let mut request = Request::post("/sessions").body(Full::new(Bytes::from(body))).map_err(|error| unusable(&error))?;
        *request.headers_mut() = map;
        decode(service, operation, &self.client.send(request).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_compare_whole() {
        assert!(same("abc", "abc"));
        assert!(!same("abc", "abd") && !same("abc", "ab") && !same("", "a"));
    }

    #[test]
    fn a_token_is_made_once_and_is_its_owners() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let made = token(&path).unwrap();
        assert_eq!(made.len(), 64);
        assert_eq!(*token(&path).unwrap(), *made);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
