//! One call on its way through the plane: what a handler sees.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use facts::{Operation, Protocol, Service as ServiceFacts};
use http::HeaderMap;
use trail::{Decision, EventResource};
use wire::{ApiInput, Timestamp};

use crate::audit::PendingEvent;
use crate::bearer::BearerTokenType;
use crate::body::Body;
use crate::door::DoorSide;
use crate::error::ApiError;
use crate::origin::Origin;
use crate::pipeline::Plane;
use crate::principal::Principal;
use crate::service_call::ServiceCaller;
use crate::transaction::Transaction;

/// Facts of the HTTP request that a call came by; forwarded calls share their parent's.
#[derive(Debug)]
pub struct RequestFacts {
    pub origin: Arc<Origin>,
    pub method: String,
    /// Raw, percent-encoded.
    pub path: String,
    pub query: String,
    pub host: Option<String>,
    pub headers: Arc<HeaderMap>,
    pub user_agent: String,
    /// `REST-HEADER`, `REST-QUERY-STRING`, `POST` (as `s3:authType` names them), `bearer`, `anonymous`.
    pub authentication_type: &'static str,
    /// When a presigned or header signature was made, milliseconds since 1970.
    pub signed_ms: Option<i64>,
    /// SHA-256 of the payload that the client declared (`x-amz-content-sha256`), as it stands.
    pub content_sha256: Option<String>,
    /// Set when the caller proved itself by a bearer key and not by a signature.
    pub bearer: Option<BearerTokenType>,
    /// Trailers of an `aws-chunked` body, once it was read to its end.
    pub trailers: crate::authenticate::Trailers,
}

/// What the audit event will say beyond what the facts give.
#[derive(Clone, Debug, Default)]
pub struct AuditNotes {
    pub resources: Vec<EventResource>,
    pub additional: serde_json::Map<String, serde_json::Value>,
    /// Replaces the response elements (services that show less than they answer).
    pub response_elements: Option<serde_json::Value>,
    /// Shows what was answered although the call changes nothing: who was given which temporary key would not be known otherwise.
    pub shows_answer: bool,
    /// Replaces who called, where the credentials do not tell (a web identity that asks for a session).
    pub identity: Option<trail::UserIdentity>,
    /// What went wrong in a call that was answered all the same (a sign-in with a wrong password gets its form again).
    pub error_message: Option<String>,
    /// Other accounts that get a copy of the event (owner of the resource).
    pub other_accounts: Vec<String>,
    /// What the service does by itself because of the call (`CreateAccountResult`): each is an event of its own in the same commit, and none if
    /// the call fails.
    pub service_events: Vec<crate::audit::ServiceEvent>,
    /// Notes that are still being made while the handler runs.
    pub late: Option<LateNotes>,
}

/// Notes for `additionalEventData` that somebody without the call makes: whoever screens a prompt, or an answer that still streams. The event takes
/// those that are there when it is made; later ones are left for an event of their own ([`crate::Plane::record_afterwards`]).
#[derive(Clone, Debug, Default)]
pub struct LateNotes(Arc<Mutex<Vec<(String, serde_json::Value)>>>);

impl LateNotes {
    /// Adds an item to the list of this name.
    pub fn push(&self, name: &str, item: serde_json::Value) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name.to_owned(), item));
    }

    /// Takes all notes, as lists by name.
    pub fn take(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut lists: serde_json::Map<String, serde_json::Value> = serde_json::Map::new();
        for (name, item) in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            match lists.get_mut(&name) {
                Some(serde_json::Value::Array(items)) => items.push(item),
                _ => {
                    lists.insert(name, serde_json::Value::Array(vec![item]));
                }
            }
        }
        lists
    }
}

/// A call. Handlers get it by `&mut`: the transaction, the caller, the time, and ways to call other services for the caller.
pub struct Call {
    pub plane: Arc<Plane>,
    pub service: &'static ServiceFacts,
    pub operation: &'static Operation,
    pub protocol: Protocol,
    pub request_id: String,
    pub principal: Arc<Principal>,
    /// Account that the call works in: the caller's.
    pub account: String,
    /// Region that the call works in; the home region for global services.
    pub region: String,
    pub now: Timestamp,
    pub request: Arc<RequestFacts>,
    /// Services that pass the call on for the caller, first to last (`s3.amazonaws.com`); empty for a direct call.
    pub via: Vec<String>,
    /// Set when one of our services calls for itself.
    pub(crate) caller: Option<Arc<ServiceCaller>>,
    pub tx: Transaction,
    pub audit: AuditNotes,
    /// What was decided, for the entry and for `explain`.
    pub(crate) decision: Option<Arc<Decision>>,
    pub(crate) body: Option<Body>,
    /// The protocol that the call came by, when it is not AWS's.
    pub(crate) door: Option<DoorSide>,
    pub(crate) pending: Vec<PendingEvent>,
    /// Events among `pending` that survive a conflict: they belong to remembered work.
    pub(crate) kept: usize,
    memory: HashMap<&'static str, Box<dyn Any + Send + Sync>>,
}

impl Call {
    #[expect(clippy::too_many_arguments, reason = "made in two places of the plane only, each of which has all of it at hand")]
    pub(crate) fn new(
        plane: Arc<Plane>,
        service: &'static ServiceFacts,
        operation: &'static Operation,
        protocol: Protocol,
        request_id: String,
        principal: Arc<Principal>,
        region: String,
        now: Timestamp,
        request: Arc<RequestFacts>,
        tx: Transaction,
    ) -> Self {
        Self {
            plane,
            service,
            operation,
            protocol,
            request_id,
            account: principal.account.clone(),
            principal,
            region,
            now,
            request,
            via: Vec::new(),
            caller: None,
            tx,
            audit: AuditNotes::default(),
            decision: None,
            body: None,
            door: None,
            pending: Vec::new(),
            kept: 0,
            memory: HashMap::new(),
        }
    }

    /// A call of the same caller, for questions that come up when this one has answered (a stream goes on). It commits nothing and leaves no
    /// event of its own.
    pub(crate) fn detached(&self) -> Self {
        let mut detached = Self::new(
            Arc::clone(&self.plane),
            self.service,
            self.operation,
            self.protocol,
            self.request_id.clone(),
            Arc::clone(&self.principal),
            self.region.clone(),
            self.now,
            Arc::clone(&self.request),
            self.tx.renew(),
        );
        detached.via.clone_from(&self.via);
        detached.caller.clone_from(&self.caller);
        detached
    }

    /// Forgets what a run did that met a conflict; the next one begins on the newest state.
    pub(crate) fn begin_again(&mut self) {
        self.tx = self.tx.renew();
        self.pending.truncate(self.kept);
        self.audit = AuditNotes::default();
        // It is decided again; what was decided before is not more that the call needs.
        self.decision = None;
    }

    /// The request body of an operation that streams; can be taken once.
    pub fn take_body(&mut self) -> Option<Body> {
        self.body.take()
    }

    /// What an earlier run of this handler did outside the transaction, so that a run after a conflict does not do it again.
    pub fn recall<T: Clone + 'static>(&self, name: &'static str) -> Option<T> {
        self.memory.get(name).and_then(|memory| memory.downcast_ref::<T>()).cloned()
    }

    /// Keeps the result of work outside the transaction (a staged body, a data key) over conflicts, together with the events of the
    /// calls that were made for it.
    pub fn remember<T: Clone + Send + Sync + 'static>(&mut self, name: &'static str, value: T) {
        self.memory.insert(name, Box::new(value));
        self.kept = self.pending.len();
    }

    /// An ARN of this call's service in its account; global services have no region in their ARNs.
    pub fn arn(&self, resource: &str) -> String {
        let region = if self.service.head.global { "" } else { &self.region };
        format!("arn:{}:{}:{}:{}:{}", crate::PARTITION, self.service.head.iam_prefix, region, self.account, resource)
    }

    /// Notes a resource for the audit event.
    pub fn touch(&mut self, resource_type: &str, arn: &str, account: &str) {
        let resource =
            EventResource { account_id: Some(account.to_owned()), resource_type: Some(resource_type.to_owned()), arn: arn.to_owned() };
        if !self.audit.resources.contains(&resource) {
            self.audit.resources.push(resource);
        }
    }

    /// `len` random bytes.
    pub fn random(&self, bytes: &mut [u8]) -> Result<(), ApiError> {
        self.plane.randomness.fill(bytes).map_err(|error| ApiError::internal(&error))
    }

    /// An identifier of `length` characters out of `alphabet`, for example of an access key.
    pub fn random_id(&self, alphabet: &[u8], length: usize) -> Result<String, ApiError> {
        let mut id = String::with_capacity(length);
        // Bytes beyond the largest multiple of the alphabet's length are dropped, so that every character is equally likely.
        let bound = 256 - 256 % alphabet.len().max(1);
        while id.len() < length {
            let mut bytes = [0_u8; 32];
            self.random(&mut bytes)?;
            let characters = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < bound);
            id.extend(
                characters
                    .filter_map(|byte| alphabet.get(byte % alphabet.len().max(1)).map(|character| char::from(*character)))
                    .take(length - id.len()),
            );
        }
        Ok(id)
    }

    /// A version-4 UUID.
    pub fn random_uuid(&self) -> Result<String, ApiError> {
        self.plane.random_uuid()
    }

    /// Calls another service *as the caller*: authorized against the other service's policies with `aws:ViaAWSService`, recorded as a call
    /// of its own, in this call's transaction. `cx.forward(GenerateDataKeyInput { .. })`.
    pub async fn forward<I: ApiInput>(&mut self, input: I) -> Result<I::Output, ApiError> {
        let plane = Arc::clone(&self.plane);
        // A handler calls a handler: the future must be boxed to have a size.
        let output = Box::pin(plane.forward(self, I::SERVICE, I::OPERATION, input.into_value())).await?;
        crate::service::typed(output)
    }

    /// Goes on as a principal that this call has proved (who signed in with a password asks for a code): a call of its own, decided and recorded
    /// as if it came by the same request, in this call's transaction. Nothing of the request proved the principal but this call's handler, so it
    /// must have.
    pub async fn proceed_as<I: ApiInput>(&mut self, principal: Arc<Principal>, input: I) -> Result<I::Output, ApiError> {
        let plane = Arc::clone(&self.plane);
        let output = Box::pin(plane.proceed_as(self, principal, I::SERVICE, I::OPERATION, input.into_value())).await?;
        crate::service::typed(output)
    }
}
