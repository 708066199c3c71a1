//! One model server: its client, how many calls it takes at once, whether it is well.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request, Response};
use outbound::{AddressRule, AllowEntry, Client, Limits, ResponseBody};
use plane::ApiError;
use sigv4::Signer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use super::chat::{ChatRequest, ChatResponse, EmbeddingRequest, EmbeddingResponse, ModelList};
use super::chunks::{Chunks, Decoder};
use super::fault::{Failure, status_failure, unavailable};
use super::settings::{UpstreamKind, UpstreamSettings};
use super::sse::EventParser;
use super::{Model, anthropic, converse, openai};

const JSON: &str = "application/json";
/// The version of Anthropic's protocol that is spoken.
const ANTHROPIC_VERSION: &str = "2023-06-01";
/// Largest answer, bytes.
const BODY_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Where sealed secrets are.
#[async_trait]
pub(crate) trait Secrets: Send + Sync {
    async fn secret(&self, name: &str) -> Result<Option<Zeroizing<String>>, ApiError>;
}

/// A server.
pub(crate) struct Server {
    pub(crate) settings: UpstreamSettings,
    /// Without a slash at the end.
    base: String,
    client: Client,
    permits: Arc<Semaphore>,
    /// From the environment.
    secret: Option<Zeroizing<String>>,
    failures: AtomicU32,
    is_down: AtomicBool,
    pub(crate) answered: AtomicU64,
    pub(crate) failed: AtomicU64,
}

impl Server {
    pub(crate) fn new(settings: UpstreamSettings, allow_internal: &[String]) -> Self {
        let host = settings.url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        let entries = allow_internal.iter().chain(host.iter()).filter_map(|name| match name.parse::<AllowEntry>() {
            Ok(entry) => Some(entry),
            Err(error) => {
                // Left out, so that less is reached and not more.
                tracing::error!(%error, "an entry of the list of allowed internal hosts is not used");
                None
            }
        });
        let limits = Limits {
            connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
            head_timeout: Duration::from_millis(settings.timeout_ms),
            part_timeout: Duration::from_millis(settings.part_timeout_ms),
            body_limit_bytes: BODY_BYTES_MAX,
        };
        let secret = settings.secret_env.as_ref().and_then(|name| std::env::var(name).ok()).map(Zeroizing::new);
        Self {
            base: settings.url.trim_end_matches('/').to_owned(),
            client: Client::new(AddressRule::new(entries.collect()), limits),
            permits: Arc::new(Semaphore::new(settings.concurrency)),
            secret,
            failures: AtomicU32::new(0),
            is_down: AtomicBool::new(false),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            settings,
        }
    }

    pub(crate) fn is_well(&self) -> bool {
        !self.is_down.load(Ordering::Relaxed)
    }

    /// Calls under way.
    pub(crate) fn under_way(&self) -> usize {
        self.settings.concurrency.saturating_sub(self.permits.available_permits())
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let waiting = Arc::clone(&self.permits).acquire_owned();
        match tokio::time::timeout(Duration::from_millis(self.settings.connect_timeout_ms), waiting).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Failure::busy()),
        }
    }

    /// Learns from how a try went; a server that fails too often is asked for its health until it answers.
    pub(crate) fn learn<T>(self: &Arc<Self>, tried: &Result<T, Failure>) {
        let Some(failure) = tried.as_ref().err() else {
            self.answered.fetch_add(1, Ordering::Relaxed);
            self.failures.store(0, Ordering::Relaxed);
            return;
        };
        self.failed.fetch_add(1, Ordering::Relaxed);
        if !failure.is_sick {
            return;
        }
        let in_a_row = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if in_a_row >= self.settings.unhealthy_after && !self.is_down.swap(true, Ordering::Relaxed) {
            tracing::warn!(upstream = self.settings.name, failures = in_a_row, "a model server is not used until it answers again");
            tokio::spawn(watch(Arc::downgrade(self), Duration::from_millis(self.settings.health_interval_ms)));
        }
    }

    async fn probe(&self) -> bool {
        let path = match self.settings.kind {
            UpstreamKind::OpenAi => "/models",
            UpstreamKind::Anthropic => "/v1/models",
            UpstreamKind::Bedrock => "/",
        };
        let Ok(request) = Request::get(format!("{}{path}", self.base)).body(Bytes::new()) else { return false };
        // Without our secret: whoever answers at all, be it with a refusal, is there.
        self.client.send(request).await.is_ok_and(|answer| answer.status().as_u16() < 500)
    }

    async fn secret(&self, secrets: &dyn Secrets) -> Result<Option<Zeroizing<String>>, Failure> {
        let Some(name) = &self.settings.secret else { return Ok(self.secret.clone()) };
        let found = secrets.secret(name).await.map_err(Failure::of_request)?;
        // Calling without the secret would only tell the other side about our prompt.
        let missing = || Failure { error: unavailable("its secret is not set"), may_go_elsewhere: true, is_sick: false };
        found.ok_or_else(missing).map(Some)
    }

    async fn send(
        &self,
        secrets: &dyn Secrets,
        method: Method,
        path: &str,
        body: Bytes,
        accept: &'static str,
    ) -> Result<Response<ResponseBody>, Failure> {
        let invalid = |error: &dyn std::fmt::Display| Failure::of_request(ApiError::internal(error));
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(CONTENT_TYPE, JSON)
            .header(ACCEPT, accept)
            .body(body)
            .map_err(|error| invalid(&error))?;
        if let Some(secret) = self.secret(secrets).await? {
            self.authorize(&mut request, &secret).map_err(|cause| invalid(&cause))?;
        }
        if self.settings.kind == UpstreamKind::Anthropic {
            request.headers_mut().insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
        }
        let answer = self.client.send(request).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap_or_default();
        Err(status_failure(status, &body))
    }

    fn authorize(&self, request: &mut Request<Bytes>, secret: &str) -> Result<(), &'static str> {
        let value = |text: &str| {
            let mut value = HeaderValue::from_str(text).map_err(|_| "the secret of an upstream cannot stand in a header")?;
            value.set_sensitive(true);
            Ok::<_, &'static str>(value)
        };
        match (self.settings.kind, secret.split_once(':')) {
            (UpstreamKind::Anthropic, _) => drop(request.headers_mut().insert("x-api-key", value(secret)?)),
            (UpstreamKind::Bedrock, Some((access_key_id, secret))) => self.sign(request, access_key_id, secret)?,
            _ => drop(request.headers_mut().insert(AUTHORIZATION, value(&format!("Bearer {secret}"))?)),
        }
        Ok(())
    }

    fn sign(&self, request: &mut Request<Bytes>, access_key_id: &str, secret: &str) -> Result<(), &'static str> {
        let signer = Signer {
            access_key_id: access_key_id.to_owned(),
            secret: sigv4::Secret::new(secret),
            session_token: None,
            region: self.settings.region.clone().unwrap_or_default(),
            service: "bedrock".to_owned(),
        };
        let (method, path) = (request.method().as_str().to_owned(), request.uri().path().to_owned());
        let hash = sigv4::sha256_hex(request.body());
        let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let host = HeaderValue::from_str(&authority).map_err(|_| "the host of an upstream cannot stand in a header")?;
        request.headers_mut().insert(HOST, host);
        let signed = signer.sign(&method, &path, "", request.headers_mut(), &hash, jiff::Timestamp::now());
        signed.map(drop).map_err(|_| "a request to an upstream cannot be signed")
    }

    async fn whole(&self, secrets: &dyn Secrets, path: &str, body: Bytes) -> Result<Bytes, Failure> {
        let answer = self.send(secrets, Method::POST, path, body, JSON).await?;
        Ok(answer.into_body().collect().await?)
    }

    /// A whole answer.
    pub(crate) async fn chat(&self, secrets: &dyn Secrets, request: &ChatRequest) -> Result<ChatResponse, Failure> {
        let _permit = self.permit().await?;
        match self.settings.kind {
            UpstreamKind::OpenAi => {
                let (path, body) = openai::encode(request)?;
                openai::decode(request, &self.whole(secrets, path, body).await?)
            }
            UpstreamKind::Anthropic => anthropic::decode(&self.whole(secrets, "/v1/messages", anthropic::encode(request)?).await?),
            UpstreamKind::Bedrock => {
                let path = converse::path(&request.model, "converse");
                converse::decode(&self.whole(secrets, &path, converse::encode(request)?).await?)
            }
        }
    }

    /// A streamed answer, once its head is there.
    pub(crate) async fn stream(&self, secrets: &dyn Secrets, request: &ChatRequest) -> Result<Chunks, Failure> {
        let permit = self.permit().await?;
        let parser = EventParser::default();
        let (path, body, decoder, accept) = match self.settings.kind {
            UpstreamKind::OpenAi => {
                let (path, body) = openai::encode(request)?;
                let decoder = if request.raw { Decoder::Text(parser) } else { Decoder::OpenAi(parser) };
                (path.to_owned(), body, decoder, "text/event-stream")
            }
            UpstreamKind::Anthropic => {
                let decoder = Decoder::Anthropic(parser, anthropic::Stream::default());
                ("/v1/messages".to_owned(), anthropic::encode(request)?, decoder, "text/event-stream")
            }
            UpstreamKind::Bedrock => {
                let path = converse::path(&request.model, "converse-stream");
                (path, converse::encode(request)?, Decoder::Converse(Box::default()), "application/vnd.amazon.eventstream")
            }
        };
        let answer = self.send(secrets, Method::POST, &path, body, accept).await?;
        Ok(Chunks::remote(answer.into_body(), decoder, permit))
    }

    /// Vectors of texts.
    pub(crate) async fn embed(&self, secrets: &dyn Secrets, request: &EmbeddingRequest) -> Result<EmbeddingResponse, Failure> {
        if self.settings.kind != UpstreamKind::OpenAi {
            let refused = crate::refusal::Refusal::unsupported("embeddings of a model server that does not speak OpenAI's protocol");
            return Err(Failure::of_request(refused.into()));
        }
        let _permit = self.permit().await?;
        let body = self.whole(secrets, "/embeddings", Bytes::from(serde_json::to_vec(request)?)).await?;
        let answer: EmbeddingResponse = serde_json::from_slice(&body).map_err(|_| Failure::unreadable())?;
        if answer.data.len() == request.input.len() { Ok(answer) } else { Err(Failure::unreadable()) }
    }

    /// How many tokens a request has, by the server's own tokenizer; `None` when it does not count.
    pub(crate) async fn count_tokens(&self, secrets: &dyn Secrets, request: &ChatRequest) -> Result<Option<i64>, Failure> {
        let _permit = self.permit().await?;
        match self.settings.kind {
            UpstreamKind::Anthropic => {
                let body = self.whole(secrets, "/v1/messages/count_tokens", anthropic::encode_count(request)?).await?;
                anthropic::decode_count(&body).map(Some)
            }
            UpstreamKind::Bedrock => {
                let path = converse::path(&request.model, "count-tokens");
                anthropic::decode_count(&self.whole(secrets, &path, converse::encode_count(request)?).await?).map(Some)
            }
            UpstreamKind::OpenAi => self.tokenize(secrets, request).await,
        }
    }

    /// vLLM counts at `/tokenize`, beside its `/v1`. Who does not know the path does not count.
    async fn tokenize(&self, secrets: &dyn Secrets, request: &ChatRequest) -> Result<Option<i64>, Failure> {
        let Some(root) = self.base.strip_suffix("/v1") else { return Ok(None) };
        let body = serde_json::json!({ "model": request.model, "messages": request.messages, "tools": request.tools });
        let mut request = Request::post(format!("{root}/tokenize")).header(CONTENT_TYPE, JSON);
        if let Some(secret) = self.secret(secrets).await? {
            request = request.header(AUTHORIZATION, format!("Bearer {}", secret.as_str()));
        }
        let request =
            request.body(Bytes::from(serde_json::to_vec(&body)?)).map_err(|error| Failure::of_request(ApiError::internal(&error)))?;
        let answer = self.client.send(request).await?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let body = answer.into_body().collect().await?;
        Ok(serde_json::from_slice::<serde_json::Value>(&body).ok().and_then(|json| json.get("count").and_then(serde_json::Value::as_i64)))
    }

    /// The models that it has: as declared, else as it lists them.
    pub(crate) async fn models(&self, secrets: &dyn Secrets) -> Result<Vec<Model>, Failure> {
        let declared = &self.settings.models;
        if !declared.is_empty() || self.settings.kind == UpstreamKind::Bedrock {
            let model = |id: &String| Model { id: id.clone(), provider: self.settings.name.clone() };
            return Ok(declared.iter().map(model).collect());
        }
        let path = if self.settings.kind == UpstreamKind::Anthropic { "/v1/models" } else { "/models" };
        let answer =
            self.send(secrets, Method::GET, path, Bytes::new(), JSON).await.map_err(|failure| match failure.error.code.as_ref() {
                "ValidationException" => Failure { error: unavailable("it does not list its models"), ..failure },
                _ => failure,
            })?;
        let body = answer.into_body().collect().await?;
        let unreadable = |_| Failure { error: unavailable("its list of models cannot be read"), may_go_elsewhere: true, is_sick: true };
        let list: ModelList = serde_json::from_slice(&body).map_err(unreadable)?;
        let provider = |owner: Option<String>| owner.filter(|owner| !owner.is_empty()).unwrap_or_else(|| "upstream".to_owned());
        Ok(list.data.into_iter().map(|model| Model { id: model.id, provider: provider(model.owned_by) }).collect())
    }

    /// Loads or unloads a LoRA adapter (vLLM).
    pub(crate) async fn adapter(&self, secrets: &dyn Secrets, name: &str, path: Option<&str>) -> Result<(), Failure> {
        let (operation, body) = match path {
            Some(path) => ("/load_lora_adapter", serde_json::json!({ "lora_name": name, "lora_path": path })),
            None => ("/unload_lora_adapter", serde_json::json!({ "lora_name": name })),
        };
        self.whole(secrets, operation, Bytes::from(serde_json::to_vec(&body)?)).await.map(drop)
    }
}

/// Asks a server for its health until it answers or is gone.
async fn watch(server: Weak<Server>, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let Some(server) = server.upgrade() else { return };
        if server.probe().await {
            tracing::info!(upstream = server.settings.name, "a model server answers again");
            server.failures.store(0, Ordering::Relaxed);
            server.is_down.store(false, Ordering::Relaxed);
            return;
        }
    }
}
