//! The running server: health and metrics pages, the sealed state, and everything else through the plane.

pub mod assemble;
mod head_timer;
mod issuer_pages;
pub mod jobs;
pub mod ledgers;
pub mod listener;
mod log_export;
pub mod log_pages;
pub mod tls;

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use http::{Method, Request, Response, StatusCode};
use plane::body::{self, Body};
use plane::{Origin, Plane};
use serde_json::json;

use self::jobs::Background;

/// Largest body of an unseal request.
const UNSEAL_LIMIT: u64 = 4096;

/// Tries to open the keyring with a passphrase and to start the plane.
pub type Unseal = Box<dyn Fn(zeroize::Zeroizing<String>) -> futures::BoxFuture<Result<(Arc<Plane>, Background), String>> + Send + Sync>;

/// Futures behind a pointer.
pub mod futures {
    /// A future that may go to another thread.
    pub type BoxFuture<T> = std::pin::Pin<Box<dyn Future<Output = T> + Send>>;
}

/// What answers requests.
pub struct Server {
    /// Empty while sealed.
    plane: OnceLock<Arc<Plane>>,
    /// Empty while sealed, and after the end.
    background: Mutex<Option<Background>>,
    unseal: Option<Unseal>,
    unsealing: tokio::sync::Mutex<()>,
    ephemeral: bool,
}

impl Server {
    /// A server that is ready.
    pub fn open(plane: Arc<Plane>, background: Background, ephemeral: bool) -> Self {
        let background = Mutex::new(Some(background));
        Self { plane: OnceLock::from(plane), background, unseal: None, unsealing: tokio::sync::Mutex::default(), ephemeral }
    }

    /// A server that answers health and unseal only, until the right passphrase comes.
    pub fn sealed(unseal: Unseal) -> Self {
        let background = Mutex::default();
        Self { plane: OnceLock::new(), background, unseal: Some(unseal), unsealing: tokio::sync::Mutex::default(), ephemeral: false }
    }

    pub fn plane(&self) -> Option<&Arc<Plane>> {
        self.plane.get()
    }

    /// Ends the background work.
    pub async fn finish_background(&self, grace: std::time::Duration) {
        let background = self.background.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(background) = background {
            background.finish(grace).await;
        }
    }

    /// Answers one request.
    pub async fn answer(&self, request: Request<Body>, origin: Arc<Origin>) -> Response<Body> {
        let is_get = request.method() == Method::GET || request.method() == Method::HEAD;
        let is_signed = request.headers().contains_key("authorization");
        match request.uri().path() {
            "/health" | "/_localstack/health" | "/_bailiwick/health" if is_get && !is_signed => return self.health(),
            "/_bailiwick/health/live" if is_get => {
                return page(StatusCode::OK, "application/json", json!({ "status": "live" }).to_string());
            }
            "/_bailiwick/health/ready" if is_get => return self.ready(),
            "/_bailiwick/metrics" if is_get => return self.metrics(),
            path if path.starts_with(log_pages::PREFIX) && is_get && !is_signed => {
                if let Some(plane) = self.plane.get() {
                    // Boxed, as the other pages: a future is as large as its largest way, and it is moved for every call.
                    return Box::pin(log_pages::answer(plane, path, request.uri().query().unwrap_or_default())).await;
                }
            }
            path if path.starts_with(iam::outbound_federation::ISSUERS) && is_get && !is_signed => {
                if let Some(plane) = self.plane.get() {
                    return Box::pin(issuer_pages::answer(plane, path)).await;
                }
            }
            path if path.starts_with(sns::CERTIFICATES) && is_get && !is_signed => {
                if let Some(plane) = self.plane.get() {
                    return Box::pin(certificate(plane, path)).await;
                }
            }
            "/_bailiwick/unseal" if request.method() == Method::POST => return Box::pin(self.unseal(request, &origin)).await,
            _ => {}
        }
        match self.plane.get() {
            Some(plane) => plane.answer(request, origin).await,
            None => page(
                StatusCode::SERVICE_UNAVAILABLE,
                "application/json",
                json!({ "__type": "ServiceUnavailable", "message": "the server is sealed" }).to_string(),
            ),
        }
    }

    fn health(&self) -> Response<Body> {
        let Some(plane) = self.plane.get() else {
            return page(
                StatusCode::SERVICE_UNAVAILABLE,
                "application/json",
                json!({ "status": "sealed", "version": env!("CARGO_PKG_VERSION") }).to_string(),
            );
        };
        let mut services: Vec<&str> = plane.services().map(|service| service.id()).collect();
        services.sort_unstable();
        let services: serde_json::Map<String, serde_json::Value> =
            services.into_iter().map(|id| (id.to_owned(), json!("available"))).collect();
        let health = json!({ "status": "ready", "services": services, "edition": "bailiwick", "ephemeral": self.ephemeral, "version": env!("CARGO_PKG_VERSION") });
        page(StatusCode::OK, "application/json", health.to_string())
    }

    fn ready(&self) -> Response<Body> {
        let (status, word) =
            if self.plane.get().is_some() { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "sealed") };
        page(status, "application/json", json!({ "status": word }).to_string())
    }

    fn metrics(&self) -> Response<Body> {
        let mut text = String::new();
        let sealed = u8::from(self.plane.get().is_none());
        let _ = writeln!(text, "# TYPE bailiwick_sealed gauge\nbailiwick_sealed {sealed}");
        if let Some(plane) = self.plane.get() {
            let counters = &plane.counters;
            for (name, help, counter) in [
                ("calls", "Requests that came to the plane.", &counters.calls),
                ("denied", "Calls that a policy denied.", &counters.denied),
                ("failed", "Calls that failed for another reason.", &counters.failed),
                ("conflicts", "Runs of a handler that a faster one made void.", &counters.conflicts),
                ("unauthenticated", "Requests refused before they became calls.", &counters.unauthenticated),
            ] {
                let value = counter.load(Ordering::Relaxed);
                let _ = writeln!(
                    text,
                    "# HELP bailiwick_{name}_total {help}\n# TYPE bailiwick_{name}_total counter\nbailiwick_{name}_total {value}"
                );
            }
            for region in plane.regions.iter() {
                let _ = writeln!(text, "bailiwick_store_revision{{region=\"{}\"}} {}", region.name, region.store.head().borrow().0);
            }
        }
        if let Some(plane) = self.plane.get() {
            text.push_str(&bedrock::metrics(plane));
        }
        page(StatusCode::OK, "text/plain; version=0.0.4", text)
    }

    async fn unseal(&self, request: Request<Body>, origin: &Origin) -> Response<Body> {
        let answer = |status, message: &str| page(status, "application/json", json!({ "message": message }).to_string());
        if origin.tls.is_none() && !origin.source_ip().is_loopback() {
            return answer(StatusCode::FORBIDDEN, "a passphrase is taken over TLS or from this machine only");
        }
        let Some(unseal) = &self.unseal else { return answer(StatusCode::BAD_REQUEST, "the server has no passphrase seal") };
        // One try at a time: guessing costs a full key derivation each.
        let _turn = self.unsealing.lock().await;
        if self.plane.get().is_some() {
            return answer(StatusCode::OK, "the server is unsealed");
        }
        let Ok(passphrase) = body::collect(request.into_body(), UNSEAL_LIMIT, plane::pipeline::BODY_TIMEOUT).await else {
            return answer(StatusCode::BAD_REQUEST, "the passphrase could not be read");
        };
        let Ok(passphrase) = String::from_utf8(passphrase.to_vec()) else {
            return answer(StatusCode::BAD_REQUEST, "the passphrase is not UTF-8");
        };
        match unseal(zeroize::Zeroizing::new(passphrase)).await {
            Ok((plane, background)) => {
                let _ = self.plane.set(plane);
                *self.background.lock().unwrap_or_else(PoisonError::into_inner) = Some(background);
                answer(StatusCode::OK, "the server is unsealed")
            }
            Err(message) => answer(StatusCode::FORBIDDEN, &message),
        }
    }
}

/// A certificate that checks signatures of notifications.
async fn certificate(plane: &Plane, path: &str) -> Response<Body> {
    match sns::certificate(plane, path).await {
        Ok(Some(pem)) => page(StatusCode::OK, "application/x-pem-file", pem),
        Ok(None) => page(StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "not found\n".to_owned()),
        Err(error) => {
            tracing::error!(%error, "a certificate cannot be served");
            page(StatusCode::INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", "the certificate cannot be read\n".to_owned())
        }
    }
}

fn page(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", http::HeaderValue::from_static(kind));
    response
}
