//! The pipeline: what happens to every call, in order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use facts::{Operation, Protocol, Service as ServiceFacts, ShapeKind, catalog};
use http::{HeaderValue, Response};
use keyring::{Keyring, Randomness};
use serde_json::Value as Json;
use store::Revision;
use trail::{Ledger, Sealer};
use wire::{Encoded, Timestamp, Value};

use crate::audit::{self, Outcome, PendingEvent, TrailSealer};
use crate::authenticate::{self, Authenticated};
use crate::bearer;
use crate::body::{self, Body, BodyError};
use crate::cache::IdentityCache;
use crate::call::Call;
use crate::clock::Clock;
use crate::door::{Door, DoorRequest, DoorSide, MODEL_BODY_BYTES_MAX, Meant};
use crate::error::ApiError;
pub(crate) use crate::head::Head;
use crate::head::Received;
use crate::idempotency;
use crate::identify::{self, Identified, Unidentified};
use crate::organization::{ControlPolicies, NoOrganizations, OrganizationView, Organizations};
use crate::origin::Origin;
use crate::post_form;
use crate::principal::{Directory, Principal};
use crate::public_url::PublicUrl;
use crate::region::Regions;
pub use crate::reply::{body_error, encode_error};
use crate::reply::{checked, error_reply, plain_error, response};
use crate::service::{Handler, Reply, Service};
use crate::transaction::{Abort, Transaction};

/// Runs of a handler before a conflict becomes the caller's problem. Of many callers that change one row, one gets through per commit.
const ATTEMPTS: u32 = 64;
/// Longest step of the back-off between runs grows no further than this attempt's.
const BACKOFF_ATTEMPTS: u32 = 12;
/// Each part of a request body must arrive within this time.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest body of a control-plane call.
const BODY_LIMIT: u64 = 4 * 1024 * 1024;
/// Largest URI that is looked at.
const URI_LIMIT: usize = 16 * 1024;

/// When the event of a call that changed nothing must be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditReads {
    /// Before the reply goes out.
    BeforeReply,
    /// Within [`trail::recorder::INTERVAL`].
    Interval,
}

/// What becomes of a call whose event the audit store does not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuditFailure {
    /// It is refused: no record, no effect.
    #[default]
    Refuse,
    /// A call that changed nothing is answered; its event waits in memory and is lost with the process. A change is refused all the same, because
    /// its event stands in its own commit.
    Continue,
}

/// Settings of the plane.
#[derive(Clone, Debug)]
pub struct PlaneSettings {
    /// Account that calls without a known caller are recorded in.
    pub home_account: String,
    pub audit_reads: AuditReads,
    pub audit_failure: AuditFailure,
    /// How the outside reaches the server.
    pub public_url: PublicUrl,
}

/// Counters for the metrics page.
#[derive(Debug, Default)]
pub struct Counters {
    pub calls: AtomicU64,
    pub denied: AtomicU64,
    pub failed: AtomicU64,
    pub conflicts: AtomicU64,
    pub unauthenticated: AtomicU64,
}

/// A map whose keys are names of our own: nobody can choose them so that they meet, and each call asks several times.
type Static<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The one door, with everything behind it.
pub struct Plane {
    pub settings: PlaneSettings,
    pub regions: Arc<Regions>,
    pub keyring: Arc<Keyring>,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    pub counters: Counters,
    pub(crate) directory: Arc<dyn Directory>,
    organizations: Arc<dyn Organizations>,
    pub(crate) identities: IdentityCache,
    pub(crate) signing_keys: sigv4::KeyCache,
    /// One per region, in the regions' order.
    ledgers: Vec<Arc<Ledger>>,
    sealer: TrailSealer,
    /// Random bytes for identifiers, drawn many at a time: each call needs two and asking the generator costs more than the bytes.
    identifier_bytes: Mutex<Vec<u8>>,
    services: Static<&'static str, Arc<dyn Service>>,
    doors: Vec<Arc<dyn Door>>,
    /// By the prefix of their actions and ARNs.
    by_prefix: Static<&'static str, Vec<Arc<dyn Service>>>,
    handlers: Static<(&'static str, &'static str), Handler>,
}

const UUID_BYTES: usize = 16;
/// Identifiers whose bytes are drawn at once.
const UUIDS_DRAWN: usize = 64;
/// Derived signing keys kept.
const SIGNING_KEYS: usize = 10_000;

impl Plane {
    pub fn new(
        settings: PlaneSettings,
        regions: Arc<Regions>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        randomness: Arc<dyn Randomness>,
        directory: Arc<dyn Directory>,
        services: Vec<Arc<dyn Service>>,
    ) -> Self {
        let handlers = services
            .iter()
            .flat_map(|service| service.handlers().iter().map(|handler| ((service.id(), handler.operation), *handler)))
            .collect();
        let sealer = TrailSealer::new(Arc::clone(&keyring));
        let ledgers = regions
            .iter()
            .map(|region| {
                let origin = format!("bailiwick/{}/{}", keyring.id(), region.name);
                Arc::new(Ledger::new(Arc::clone(&region.store), Arc::new(sealer.clone()), origin))
            })
            .collect();
        let mut by_prefix: Static<_, Vec<_>> = Static::default();
        for service in &services {
            if let Some(head) = catalog().head(service.id()) {
                by_prefix.entry(head.iam_prefix).or_default().push(Arc::clone(service));
            }
        }
        let doors = services.iter().flat_map(|service| service.doors()).collect();
        Self {
            doors,
            settings,
            regions,
            keyring,
            clock,
            randomness,
            counters: Counters::default(),
            directory,
            organizations: Arc::new(NoOrganizations),
            identifier_bytes: Mutex::default(),
            identities: IdentityCache::default(),
            signing_keys: sigv4::KeyCache::new(SIGNING_KEYS),
            ledgers,
            sealer,
            services: services.into_iter().map(|service| (service.id(), service)).collect(),
            by_prefix,
            handlers,
        }
    }

    /// The same plane with organizations.
    #[must_use]
    pub fn with_organizations(mut self, organizations: Arc<dyn Organizations>) -> Self {
        self.organizations = organizations;
        self
    }

    /// Where organizations are kept.
    pub fn organizations(&self) -> &Arc<dyn Organizations> {
        &self.organizations
    }

    /// Catches the caches up with the store; gives the revision that they are at.
    pub(crate) async fn refresh_identities(&self) -> Result<Revision, ApiError> {
        let tables = [self.directory.tables(), self.organizations.tables()];
        Ok(self.identities.refresh(self.regions.at(0)?.store.as_ref(), &tables).await?)
    }

    /// The organization of an account as it is now.
    pub async fn organization(&self, account: &str) -> Result<Option<Arc<OrganizationView>>, ApiError> {
        if account.is_empty() {
            return Ok(None);
        }
        let at = self.refresh_identities().await?;
        if let Some(known) = self.identities.organization(account) {
            return Ok(known);
        }
        // Read apart from the call's transaction: what binds a call does not conflict with what it does.
        let view = self.organizations.view(&mut self.transaction(0), account).await?.map(Arc::new);
        self.identities.keep_organization(at, account, view.as_ref());
        Ok(view)
    }

    /// What organizations say of a caller of one account and a resource of another, or of the same.
    pub async fn control_policies(&self, caller: &str, owner: &str) -> Result<ControlPolicies, ApiError> {
        let caller_view = self.organization(caller).await?;
        let owner_view = if owner == caller { caller_view.clone() } else { self.organization(owner).await? };
        Ok(ControlPolicies::join((caller, caller_view.as_deref()), (owner, owner_view.as_deref())))
    }

    pub fn home_account(&self) -> &str {
        &self.settings.home_account
    }

    /// How the outside reaches the server, once that is known.
    pub fn public_url(&self) -> Option<&str> {
        self.settings.public_url.get()
    }

    pub fn services(&self) -> impl Iterator<Item = &Arc<dyn Service>> {
        self.services.values()
    }

    /// The services whose resources have this prefix in their ARNs.
    pub(crate) fn services_of(&self, prefix: &str) -> &[Arc<dyn Service>] {
        self.by_prefix.get(prefix).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn service(&self, id: &str) -> Option<&Arc<dyn Service>> {
        self.services.get(id)
    }

    pub fn directory(&self) -> &Arc<dyn Directory> {
        &self.directory
    }

    /// State of a service, for its handlers. See [`Service::extension`].
    pub fn extension<T: Send + Sync + 'static>(&self, service: &str) -> Option<Arc<T>> {
        self.services.get(service)?.extension()?.downcast::<T>().ok()
    }

    pub fn now(&self) -> Timestamp {
        Timestamp(self.clock.now_ms())
    }

    /// A version-4 UUID.
    pub fn random_uuid(&self) -> Result<String, ApiError> {
        let mut drawn = self.identifier_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.len() < UUID_BYTES {
            drawn.resize(UUID_BYTES * UUIDS_DRAWN, 0);
            if let Err(error) = self.randomness.fill(&mut drawn) {
                drawn.clear();
                return Err(ApiError::internal(&error));
            }
        }
        let at = drawn.len() - UUID_BYTES;
        let mut bytes = [0_u8; UUID_BYTES];
        bytes.copy_from_slice(drawn.get(at..).unwrap_or_default());
        drawn.truncate(at);
        Ok(uuid(bytes))
    }

    /// Drops everything cached: the store was set back.
    pub fn forget(&self) {
        self.identities.clear();
        self.signing_keys.clear();
        self.ledgers.iter().for_each(|ledger| ledger.forget());
    }

    /// The ledger of a region's trail. Positions come from [`Regions::position`].
    pub fn ledger(&self, position: usize) -> Result<&Arc<Ledger>, ApiError> {
        self.ledgers.get(position).ok_or_else(|| ApiError::internal(&"a region position is out of range"))
    }

    /// Seals and opens audit entries.
    pub fn sealer(&self) -> TrailSealer {
        self.sealer.clone()
    }

    /// A transaction for work that no call asked for (bootstrap, jobs).
    pub fn transaction(&self, region: usize) -> Transaction {
        Transaction::new(Arc::clone(&self.regions), Arc::clone(&self.keyring), region)
    }

    /// Answers one HTTP request.
    pub async fn answer(self: &Arc<Self>, request: http::Request<Body>, origin: Arc<Origin>) -> Response<Body> {
        self.counters.calls.fetch_add(1, Ordering::Relaxed);
        let request_id = match self.random_uuid() {
            Ok(id) => id,
            Err(error) => return plain_error(&error),
        };
        let (request, remainder) = body::lend(request);
        let mut received = Received::new(request, origin);
        let mut response = match self.receive(&mut received, &request_id).await {
            Ok(response) => response,
            Err(refusal) => Box::pin(self.refuse(&received, *refusal, &request_id)).await,
        };
        drop(received);
        // A connection with unread bytes on it cannot carry another request, and the client must know.
        if !remainder.drain().await {
            response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    async fn receive(self: &Arc<Self>, received: &mut Received, request_id: &str) -> Result<Response<Body>, Box<Refusal>> {
        if received.head.path.len() + received.head.query.len() > URI_LIMIT {
            return Err(Refusal::before(ApiError::new("RequestURITooLong", "the URI of the request is too long").with_status(414)));
        }
        let claim = authenticate::claim(&received.head);
        if let Some(door) = self.door_of(&received.head, claim.as_ref().ok()) {
            drop(claim);
            // Boxed, as other ways that few calls go: a future is as large as its largest way, and it is moved more than once.
            return Box::pin(self.receive_at_door(received, door, request_id)).await;
        }
        let (head, incoming) = (&received.head, &mut received.body);
        if post_form::is_upload(head)
            && let Some(incoming) = incoming.take()
        {
            return Box::pin(self.receive_upload(head, incoming, request_id)).await;
        }
        let form = form(head, incoming).await.map_err(|error| Refusal::before(body_error(&error)))?;
        let identified = self.identify(head, &claim, form.as_deref()).map_err(Refusal::unidentified)?;
        let region = self.region_of(&identified).map_err(|error| Refusal::identified(&identified, error, None))?;
        let known = |error: ApiError| Refusal::identified(&identified, error, None);
        let streams = streaming_input(identified.service, identified.operation);
        let mut body = read_body(incoming, &identified, form, streams).await.map_err(|error| known(body_error(&error)))?;
        let authenticated = authenticate::authenticate(self, head, incoming, claim, &identified, &mut body)
            .await
            .map_err(|failure| Refusal::identified(&identified, failure.error, failure.principal))?;
        let Authenticated { principal, access_key_id, request, stream } = authenticated;
        if access_key_id.is_some() {
            self.directory.used(&principal, identified.service.head.iam_prefix, &region, self.clock.now_ms());
        }
        let position = self.regions.position(&region).unwrap_or_default();
        let mut call = Box::new(Call::new(
            Arc::clone(self),
            identified.service,
            identified.operation,
            identified.protocol,
            request_id.to_owned(),
            principal,
            region,
            self.now(),
            Arc::new(request),
            self.transaction(position),
        ));
        // Handlers see the body of a call that does not stream, too: S3 declares digests of it in headers.
        call.body = stream.or_else(|| body.clone().map(body::full));
        // Who may not call without a signature learns nothing of what is wrong with the call. S3's resource policies may allow anybody.
        if call.principal.is_anonymous() && !call.operation.unsigned && call.service.head.signing_name != "s3" {
            let error = crate::authorize::anonymous(&call);
            return Ok(Box::pin(self.finish_failed(call, Json::Null, error, position)).await);
        }
        let decoded = {
            let parts = head.parts(identified.host_label.as_deref());
            wire::decode_input(
                identified.protocol,
                identified.service,
                identified.operation,
                &parts,
                &identified.labels,
                body.as_deref().unwrap_or_default(),
            )
        };
        match decoded {
            Ok(input) => Ok(self.run(call, input, position).await),
            Err(error) => {
                let reply = error.to_reply(identified.service);
                let error = ApiError {
                    code: reply.code.into(),
                    message: reply.message,
                    status: Some(reply.status),
                    members: reply.members,
                    headers: Vec::new(),
                    internal: false,
                };
                Ok(Box::pin(self.finish_failed(call, Json::Null, error, position)).await)
            }
        }
    }

    /// What the request means. A bearer key has no scope that could say it: its services' paths do.
    fn identify(
        &self,
        head: &Head,
        claim: &Result<sigv4::Claim<'_>, sigv4::SignatureError>,
        form: Option<&[u8]>,
    ) -> Result<Identified, Unidentified> {
        let parts = head.parts(None);
        let is_region = |name: &str| self.regions.position(name).is_some();
        if let Some(token) = bearer::token(&head.headers) {
            let in_host = head.host.as_deref().and_then(|host| identify::host_facts(host, is_region).region);
            let region = in_host.or_else(|| bearer::region_of(token));
            let hints = identify::Hints { signing_name: Some(bearer::SIGNING_NAME.to_owned()), region };
            if let Ok(identified) = identify::identify(&parts, head.host.as_deref(), &hints, form, is_region) {
                return Ok(identified);
            }
        }
        let hints = claim.as_ref().ok().map(authenticate::hints).or_else(|| authenticate::certificate_hints(head)).unwrap_or_default();
        identify::identify(&parts, head.host.as_deref(), &hints, form, is_region)
    }

    /// The door whose protocol the request is in.
    fn door_of(&self, head: &Head, claim: Option<&sigv4::Claim<'_>>) -> Option<Arc<dyn Door>> {
        let signed_for = claim.map(|claim| claim.scope().service);
        if signed_for.is_some_and(|service| service != bearer::SIGNING_NAME) {
            // Other services have paths of the same form (`/v1/report/list`); the signature says which is meant.
            return None;
        }
        let is_region = |name: &str| self.regions.position(name).is_some();
        if head.host.as_deref().is_some_and(|host| identify::host_facts(host, is_region).bucket.is_some()) {
            // An object may have any key.
            return None;
        }
        let is_keyed = bearer::token(&head.headers).or_else(|| bearer::api_key(&head.headers)).is_some() || signed_for.is_some();
        self.doors.iter().find(|door| door.takes(&head.path, is_keyed)).cloned()
    }

    /// A request in another API's protocol: the door says what it means, then it is a call like any other.
    async fn receive_at_door(
        self: &Arc<Self>,
        received: &mut Received,
        door: Arc<dyn Door>,
        request_id: &str,
    ) -> Result<Response<Body>, Box<Refusal>> {
        received.door = Some(Arc::clone(&door));
        let Received { head, body: incoming, .. } = received;
        // Clients that know no other header send their key here.
        if bearer::token(&head.headers).is_none()
            && let Some(Ok(mut value)) = bearer::api_key(&head.headers).map(|key| HeaderValue::from_str(&format!("Bearer {key}")))
        {
            value.set_sensitive(true);
            let headers = Arc::make_mut(&mut head.headers);
            headers.remove("x-api-key");
            headers.insert(http::header::AUTHORIZATION, value);
        }
        let collected = match incoming.take() {
            Some(body) => body::collect(body, door.body_bytes_max(), BODY_TIMEOUT).await,
            None => Ok(Bytes::new()),
        };
        let content = collected.map_err(|error| Refusal::before(body_error(&error)))?;
        let request = DoorRequest { method: &head.method, path: &head.path, query: &head.query, headers: &head.headers, body: &content };
        if let Some(page) = door.page(&request) {
            return Ok(DoorSide { door, writer: None }.page(page, request_id));
        }
        let unknown = || {
            let message = format!("there is no {} {}", head.method, head.path);
            Refusal::before(ApiError::new("UnknownOperationException", message).with_status(404))
        };
        let Meant { service, operation, input, writer } = door.read(&request).ok_or_else(unknown)?;
        let service = catalog().service(service).ok_or_else(unknown)?;
        let operation = service.operation(operation).ok_or_else(unknown)?;
        let claim = authenticate::claim(head);
        let is_region = |name: &str| self.regions.position(name).is_some();
        let in_host = head.host.as_deref().and_then(|host| identify::host_facts(host, is_region).region);
        let signed_for = || match bearer::token(&head.headers) {
            Some(token) => bearer::region_of(token),
            None => claim.as_ref().ok().map(|claim| claim.scope().region.to_owned()),
        };
        let identified = Identified {
            service,
            operation,
            protocol: Protocol::RestJson,
            labels: wire::Labels::default(),
            host_label: None,
            region: in_host.or_else(signed_for),
        };
        let region = self.region_of(&identified).map_err(|error| Refusal::identified(&identified, error, None))?;
        let mut nothing = None;
        let mut body = Some(content);
        let Authenticated { principal, access_key_id, request, .. } =
            authenticate::authenticate(self, head, &mut nothing, claim, &identified, &mut body)
                .await
                .map_err(|failure| Refusal::identified(&identified, failure.error, failure.principal))?;
        if access_key_id.is_some() {
            self.directory.used(&principal, service.head.iam_prefix, &region, self.clock.now_ms());
        }
        let position = self.regions.position(&region).unwrap_or_default();
        let mut call = Box::new(Call::new(
            Arc::clone(self),
            service,
            operation,
            identified.protocol,
            request_id.to_owned(),
            principal,
            region,
            self.now(),
            Arc::new(request),
            self.transaction(position),
        ));
        call.door = Some(DoorSide { door, writer: Some(writer) });
        if call.principal.is_anonymous() && !call.operation.unsigned {
            let error = crate::authorize::anonymous(&call);
            return Ok(self.finish_failed(call, Json::Null, error, position).await);
        }
        match input.and_then(|input| checked(service, operation, input)) {
            Ok(input) => Ok(self.run(call, input, position).await),
            Err(error) => Ok(self.finish_failed(call, Json::Null, error, position).await),
        }
    }

    /// A browser's form upload: it becomes a `PutObject` that goes the way of every call.
    async fn receive_upload(self: &Arc<Self>, head: &Head, incoming: Body, request_id: &str) -> Result<Response<Body>, Box<Refusal>> {
        let is_region = |name: &str| self.regions.position(name).is_some();
        let host = head.host.as_deref().map(|host| identify::host_facts(host, is_region)).unwrap_or_default();
        let in_path = head.path.trim_matches('/');
        let bucket = host.bucket.clone().unwrap_or_else(|| in_path.to_owned());
        let s3 = catalog().service("s3").and_then(|service| service.operation("PutObject").map(|put| (service, put)));
        let Some((service, put)) =
            s3.filter(|_| !bucket.is_empty() && !bucket.contains('/') && (host.bucket.is_none() || in_path.is_empty()))
        else {
            return Err(Refusal::before(
                ApiError::new("MethodNotAllowed", "The specified method is not allowed against this resource.").with_status(405),
            ));
        };
        let region = host.region.unwrap_or_else(|| self.regions.iter().next().map(|region| region.name.clone()).unwrap_or_default());
        let identified = Identified {
            service,
            operation: put,
            protocol: Protocol::RestXml,
            labels: wire::Labels::default(),
            host_label: None,
            region: Some(region.clone()),
        };
        let upload = post_form::read(head, incoming).await.map_err(|error| Refusal::identified(&identified, error, None))?;
        let accepted = post_form::accept(self, service, put, &bucket, upload)
            .await
            .map_err(|failure| Refusal::identified(&identified, failure.error, failure.principal))?;
        let position = self.regions.position(&region).unwrap_or_default();
        let request = Arc::new(head.facts("POST", accepted.signed_ms));
        let mut call = Box::new(Call::new(
            Arc::clone(self),
            service,
            put,
            Protocol::RestXml,
            request_id.to_owned(),
            accepted.principal,
            region,
            self.now(),
            request,
            self.transaction(position),
        ));
        call.body = Some(accepted.file);
        Ok(accepted.answer.dress(self.run(call, accepted.input, position).await))
    }

    /// The region that the call works in: the home for global services, else that of the scope or host. A region that is not configured is
    /// refused with the signature, whose scope names it; without a signature it is the home.
    fn region_of(&self, identified: &Identified) -> Result<String, ApiError> {
        let home = &self.regions.at(0)?.name;
        let region = identified.region.as_ref().filter(|name| !identified.service.head.global && self.regions.position(name).is_some());
        Ok(region.unwrap_or(home).clone())
    }

    /// Authorizes, handles, records; again after a conflict. The call is boxed: a future holds what it is given twice, and is moved itself.
    async fn run(self: &Arc<Self>, mut call: Box<Call>, input: Value, region: usize) -> Response<Body> {
        let parameters = self.parameters(&call, &input);
        for attempt in 1..=ATTEMPTS {
            match self.attempt(&mut call, &input, &parameters, region).await {
                Ok(response) => return response,
                Err(Abort::Failed(error)) => return Box::pin(self.finish_failed(call, parameters, error, region)).await,
                Err(Abort::Conflict) => {
                    self.counters.conflicts.fetch_add(1, Ordering::Relaxed);
                    call.begin_again();
                    tokio::time::sleep(backoff(attempt, self.randomness.as_ref())).await;
                }
            }
        }
        let error =
            ApiError::new("ThrottlingException", "Rate exceeded").with_status(if call.protocol == Protocol::RestXml { 503 } else { 400 });
        Box::pin(self.finish_failed(call, parameters, error, region)).await
    }

    async fn attempt(self: &Arc<Self>, call: &mut Call, input: &Value, parameters: &Json, region: usize) -> Result<Response<Body>, Abort> {
        crate::authorize::authorize(call, input).await?;
        let token = idempotency::token(call, input);
        if let Some(token) = &token
            && let Some(earlier) = idempotency::replay(call, token).await?
        {
            let encoded = Encoded {
                status: earlier.status,
                headers: earlier.headers.into_iter().map(|(name, value)| (name.into(), value)).collect(),
                body: earlier.body,
            };
            let events = audit::events(call, region, parameters.clone(), &Outcome::Done(&Value::Null))?;
            let tx = std::mem::replace(&mut call.tx, self.transaction(region));
            self.commit(call, tx, events).await?;
            return Ok(response(encoded, None));
        }
        let reply = self.handle(call, input).await?;
        let events = audit::events(call, region, parameters.clone(), &Outcome::Done(&reply.value))?;
        if let Some(door) = call.door.clone() {
            let tx = std::mem::replace(&mut call.tx, self.transaction(region));
            self.commit(call, tx, events).await?;
            let missing = || ApiError::internal(&"a door has no writer for its answer");
            return Ok(door.answer(&reply.value, reply.body, &call.request_id).ok_or_else(missing)?);
        }
        let mut encoded = wire::encode_output(call.protocol, call.service, call.operation, &reply.value, &call.request_id);
        if let Some(status) = reply.status {
            encoded.status = status;
        }
        if let Some(token) = &token
            && reply.body.is_none()
        {
            idempotency::remember(call, token, &encoded)?;
        }
        let tx = std::mem::replace(&mut call.tx, self.transaction(region));
        self.commit(call, tx, events).await?;
        Ok(response(encoded, reply.body))
    }

    pub(crate) async fn handle(self: &Arc<Self>, call: &mut Call, input: &Value) -> Result<Reply, ApiError> {
        let Some(handler) = self.handlers.get(&(call.service.head.id, call.operation.name)) else {
            return Err(ApiError::not_implemented(call.service, call.operation));
        };
        (handler.run)(call, input.clone()).await
    }

    /// Commits the call's writes with its events, those of its own outcome last; a call without writes hands its events to the recorder. What is
    /// not committed has not happened, so then the events of that outcome are gone, too.
    pub(crate) async fn commit(&self, call: &mut Call, tx: Transaction, outcome: Vec<PendingEvent>) -> Result<(), Abort> {
        let before = call.pending.len();
        call.pending.extend(outcome);
        let done = self.commit_pending(call, tx).await;
        if done.is_err() {
            call.pending.truncate(before);
        }
        done
    }

    async fn commit_pending(&self, call: &mut Call, tx: Transaction) -> Result<(), Abort> {
        if tx.has_writes() {
            let sealer = self.sealer();
            let entries = call.pending.iter().map(|event| seal(&sealer, event)).collect::<Result<Vec<_>, _>>()?;
            tx.commit(entries).await?;
            call.pending.clear();
            return Ok(());
        }
        let pending = std::mem::take(&mut call.pending);
        self.record(pending).await.map_err(Abort::Failed)
    }

    /// Records events that are not part of a commit. When they cannot be recorded, the call is refused.
    pub(crate) async fn record(&self, pending: Vec<PendingEvent>) -> Result<(), ApiError> {
        let sealer = self.sealer();
        let mut touched = Vec::new();
        for event in &pending {
            let (region, entry) = seal(&sealer, event)?;
            let recorder = &self.regions.at(region)?.recorder;
            if let Err(error) = recorder.record(entry.clone()).await {
                if self.settings.audit_failure == AuditFailure::Refuse {
                    return Err(ApiError::unrecordable(&error));
                }
                recorder.keep(entry).await.map_err(|error| ApiError::unrecordable(&error))?;
            }
            touched.push(region);
        }
        if self.settings.audit_reads == AuditReads::BeforeReply && self.settings.audit_failure == AuditFailure::Refuse {
            touched.sort_unstable();
            touched.dedup();
            for region in touched {
                self.regions.at(region)?.recorder.flush().await.map_err(|error| ApiError::unrecordable(&error))?;
            }
        }
        Ok(())
    }

    /// Everything handed to the recorders before is durable when this returns.
    pub async fn flush(&self) -> Result<(), ApiError> {
        for region in self.regions.iter() {
            region.recorder.flush().await.map_err(|error| ApiError::unrecordable(&error))?;
        }
        Ok(())
    }

    /// The error as the call's service tells it.
    pub(crate) fn in_own_words(&self, call: &Call, error: ApiError) -> ApiError {
        match self.service(call.service.head.id) {
            Some(service) => service.error(error),
            None => error,
        }
    }

    /// Records a refusal and encodes it. The handler's writes are gone; events of calls that it made for the caller stay.
    async fn finish_failed(&self, mut call: Box<Call>, parameters: Json, error: ApiError, region: usize) -> Response<Body> {
        let error = self.in_own_words(&call, error);
        if error.code.starts_with("AccessDenied") || error.code == "UnauthorizedOperation" {
            self.counters.denied.fetch_add(1, Ordering::Relaxed);
        } else {
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
        }
        let recorded = match audit::events(&call, region, parameters, &Outcome::Failed(&error)) {
            Ok(events) => {
                call.pending.extend(events);
                let pending = std::mem::take(&mut call.pending);
                self.record(pending).await
            }
            Err(error) => Err(error),
        };
        let error = recorded.err().unwrap_or(error);
        if let Some(door) = &call.door {
            return door.error(&error_reply(Some(call.service), Some(call.operation), &error), &call.request_id);
        }
        encode_error(call.protocol, Some(call.service), Some(call.operation), &error, &call.request_id, call.request.method == "HEAD")
    }

    /// Refuses a request that never became a call: it has no operation, or nobody proved to have sent it. It is recorded all the same.
    async fn refuse(self: &Arc<Self>, received: &Received, refusal: Refusal, request_id: &str) -> Response<Body> {
        self.counters.unauthenticated.fetch_add(1, Ordering::Relaxed);
        let head_only = received.head.method == "HEAD";
        let door = received.door.clone().map(|door| DoorSide { door, writer: None });
        let Some(service) = refusal.service else {
            if let Some(door) = door {
                return door.error(&error_reply(None, None, &refusal.error), request_id);
            }
            return encode_error(refusal.protocol, None, None, &refusal.error, request_id, head_only);
        };
        let principal = refusal.principal.unwrap_or_else(|| Arc::new(Principal::anonymous()));
        let region = refusal.region.as_deref().and_then(|name| self.regions.position(name)).unwrap_or_default();
        let name = self.regions.at(region).map(|region| region.name.clone()).unwrap_or_default();
        let error = match refusal.operation {
            Some(operation) => {
                let request = Arc::new(received.head.facts("anonymous", None));
                let mut call = Box::new(Call::new(
                    Arc::clone(self),
                    service,
                    operation,
                    refusal.protocol,
                    request_id.to_owned(),
                    principal,
                    name,
                    self.now(),
                    request,
                    self.transaction(region),
                ));
                call.door = door;
                return self.finish_failed(call, Json::Null, refusal.error, region).await;
            }
            None => refusal.error,
        };
        encode_error(refusal.protocol, Some(service), None, &error, request_id, head_only)
    }

    pub(crate) fn parameters(&self, call: &Call, input: &Value) -> Json {
        self.service(call.service.head.id)
            .and_then(|service| service.request_parameters(call, input))
            .unwrap_or_else(|| audit::elements(call.service, call.operation.input, input))
    }
}

fn seal(sealer: &dyn Sealer, event: &PendingEvent) -> Result<(usize, Bytes), ApiError> {
    let entry =
        event.entry.to_bytes_decided(sealer, event.time_ms, event.decision.as_deref()).map_err(|error| ApiError::unrecordable(&error))?;
    Ok((event.region, entry))
}

/// The operation's input is a stream of events, or has a streaming blob: the handler reads the body itself. Only S3 has such blobs: elsewhere the
/// signature covers the hash of the body, which no header tells beforehand.
fn streaming_input(service: &'static ServiceFacts, operation: &'static Operation) -> bool {
    if authenticate::takes_events(service, operation) {
        return true;
    }
    if service.head.signing_name != "s3" {
        return false;
    }
    let Some(input) = operation.input else { return false };
    service.members(input).iter().any(|member| matches!(service.shape(member.shape).kind, ShapeKind::Blob { streaming: true }))
}

/// The body of a form-encoded POST to `/`: query protocols name their operation there.
async fn form(head: &Head, body: &mut Option<Body>) -> Result<Option<Bytes>, BodyError> {
    let is_form = head.method == "POST"
        && head.path == "/"
        && head.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if !is_form || head.headers.contains_key("x-amz-target") {
        return Ok(None);
    }
    match body.take() {
        Some(body) => body::collect(body, BODY_LIMIT, BODY_TIMEOUT).await.map(Some),
        None => Ok(None),
    }
}

/// The whole body of a call that does not stream; `None` when the handler will read it.
async fn read_body(
    body: &mut Option<Body>,
    identified: &Identified,
    form: Option<Bytes>,
    streams: bool,
) -> Result<Option<Bytes>, BodyError> {
    if streams {
        return Ok(None);
    }
    if let Some(form) = form {
        return Ok(Some(form));
    }
    let limit = if identified.service.head.id == "bedrock-runtime" { MODEL_BODY_BYTES_MAX } else { BODY_LIMIT };
    let Some(body) = body.take() else { return Ok(Some(Bytes::new())) };
    body::collect(body, limit, BODY_TIMEOUT).await.map(Some)
}

/// Why a request did not become a call.
struct Refusal {
    protocol: Protocol,
    service: Option<&'static ServiceFacts>,
    operation: Option<&'static Operation>,
    region: Option<String>,
    principal: Option<Arc<Principal>>,
    error: ApiError,
}

impl Refusal {
    fn before(error: ApiError) -> Box<Self> {
        Box::new(Self { protocol: Protocol::RestXml, service: None, operation: None, region: None, principal: None, error })
    }

    fn unidentified(cause: Unidentified) -> Box<Self> {
        let error = ApiError::new(cause.code, cause.message).with_status(cause.status);
        Box::new(Self { protocol: cause.protocol, service: cause.service, operation: None, region: cause.region, principal: None, error })
    }

    fn identified(identified: &Identified, error: ApiError, principal: Option<Arc<Principal>>) -> Box<Self> {
        Box::new(Self {
            protocol: identified.protocol,
            service: Some(identified.service),
            operation: Some(identified.operation),
            region: identified.region.clone(),
            principal,
            error,
        })
    }
}

/// Grows with the attempts, up to a bound, with jitter, so that two callers do not meet again and again.
fn backoff(attempt: u32, randomness: &dyn Randomness) -> Duration {
    let attempt = attempt.min(BACKOFF_ATTEMPTS);
    let mut jitter = [0_u8; 1];
    // Without randomness there is no jitter, which is only slower.
    let _ = randomness.fill(&mut jitter);
    Duration::from_micros(u64::from(attempt) * 200 + u64::from(jitter.first().copied().unwrap_or_default()) * 8 * u64::from(attempt))
}

fn uuid(mut bytes: [u8; UUID_BYTES]) -> String {
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = (*version & 0x0F) | 0x40;
    *variant = (*variant & 0x3F) | 0x80;
    let mut digits = [0_u8; 2 * UUID_BYTES];
    // The buffer has two digits for each byte, so this does not fail.
    let _ = hex::encode_to_slice(bytes, &mut digits);
    let digits = std::str::from_utf8(&digits).unwrap_or_default();
    let mut text = String::with_capacity(36);
    let mut rest = digits;
    for length in [8, 4, 4, 4, 12] {
        let (group, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if !text.is_empty() {
            text.push('-');
        }
        text.push_str(group);
        rest = after;
    }
    text
}
