//! Calls that one of our services makes for itself: a trail delivers its files, a log is written into somebody's bucket.
//!
//! They go the way of every call: authorized against the resource's policies with the service as principal (`aws:SourceArn` and
//! `aws:SourceAccount` name what it works for), recorded, committed. There is no identity that skips the decision.
//!
//! Source: IAM User Guide, "AWS services that work with IAM" and "The confused deputy problem".

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use facts::{Protocol, catalog};
use http::HeaderMap;
use policy::MapContext;
use serde_json::Value as Json;
use wire::{ApiInput, Value};

use crate::audit::{self, Outcome};
use crate::authenticate::Trailers;
use crate::authorize;
use crate::body::{self, Body};
use crate::call::{Call, RequestFacts};
use crate::error::ApiError;
use crate::origin::Origin;
use crate::pipeline::Plane;
use crate::principal::{Principal, PrincipalKind};
use crate::service::Reply;
use crate::transaction::Abort;

/// Runs before a conflict is the service's problem.
const ATTEMPTS: u32 = 16;

/// Which service calls, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceCaller {
    /// `cloudtrail.amazonaws.com`; some have the region in their name.
    pub service: Cow<'static, str>,
    /// The resource that the service works for, for example the trail.
    pub source_arn: String,
    /// The account that owns it.
    pub source_account: String,
}

impl ServiceCaller {
    fn principal(&self) -> Arc<Principal> {
        Arc::new(Principal {
            kind: PrincipalKind::Service { name: self.service.to_string() },
            account: self.source_account.clone(),
            arn: String::new(),
            principal_id: self.service.to_string(),
            access_key_id: None,
            session: None,
        })
    }

    fn request(&self, body: Option<&Bytes>) -> RequestFacts {
        let nowhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let mut headers = HeaderMap::new();
        if let Some(body) = body {
            headers.insert(http::header::CONTENT_LENGTH, body.len().into());
        }
        RequestFacts {
            origin: Arc::new(Origin {
                source: nowhere,
                listener: nowhere,
                // Nothing leaves the process, so nobody can listen: as safe as a TLS session.
                tls: Some(crate::origin::TlsFacts { version: "TLSv1.3", cipher_suite: "in process".to_owned(), key_exchange: None }),
                vpc_endpoint: None,
            }),
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: String::new(),
            host: None,
            headers: Arc::new(headers),
            user_agent: self.service.to_string(),
            authentication_type: "REST-HEADER",
            signed_ms: None,
            content_sha256: None,
            bearer: None,
            trailers: Trailers::default(),
        }
    }
}

impl Plane {
    /// Calls an operation as a service, in a transaction of its own.
    pub async fn call_as_service<I: ApiInput>(
        self: &Arc<Self>,
        caller: &ServiceCaller,
        region: &str,
        input: I,
        body: Option<Bytes>,
    ) -> Result<I::Output, ApiError> {
        self.call_in_service(caller, caller.principal(), region, input, body).await.map(|(output, _)| output)
    }

    /// As [`Plane::call_as_service`], in a role that the service has assumed: an import reads a bucket so. `session_arn` is the session's
    /// ARN (`arn:aws:sts::...:assumed-role/...`). The role's trust policy is asked first, its own policies decide on the call, and
    /// `invokedBy` of the event names the service. Gives the streaming body, too.
    pub async fn call_in_role<I: ApiInput>(
        self: &Arc<Self>,
        caller: &ServiceCaller,
        session_arn: &str,
        region: &str,
        input: I,
    ) -> Result<(I::Output, Option<Body>), ApiError> {
        let refused =
            || ApiError::new("AccessDenied", format!("the service `{}` cannot assume the role of `{session_arn}`", caller.service));
        let position = self.regions.position(region).unwrap_or_default();
        let mut tx = self.transaction(position);
        let principal = self.directory().principal(&mut tx, session_arn).await?.ok_or_else(refused)?;
        let PrincipalKind::AssumedRole { role_arn, .. } = &principal.kind else { return Err(refused()) };
        let target = ("sts:AssumeRole", role_arn.as_str());
        if !self.is_service_allowed(caller, region, ("sts", "AssumeRole"), target, &MapContext::new()).await? {
            return Err(refused());
        }
        self.call_in_service(caller, Arc::new(principal), region, input, None).await
    }

    async fn call_in_service<I: ApiInput>(
        self: &Arc<Self>,
        caller: &ServiceCaller,
        principal: Arc<Principal>,
        region: &str,
        input: I,
        body: Option<Bytes>,
    ) -> Result<(I::Output, Option<Body>), ApiError> {
        let input = input.into_value();
        let mut call = self.service_call(caller, region, I::SERVICE, I::OPERATION, body.as_ref())?;
        call.account.clone_from(&principal.account);
        call.principal = principal;
        self.run_for_service::<I>(call, input, body).await
    }

    /// Calls an operation as somebody for whom one of our services works later, or whose role it has taken: authorized as that principal,
    /// through the service, recorded, in a transaction of its own. Gives the body of an operation that streams, too.
    pub async fn call_as_principal<I: ApiInput>(
        self: &Arc<Self>,
        principal: Arc<Principal>,
        service_name: &'static str,
        region: &str,
        input: I,
        body: Option<Bytes>,
    ) -> Result<(I::Output, Option<Body>), ApiError> {
        let input = input.into_value();
        // Only the form of the request is the service's; the principal is replaced before anything is decided.
        let form =
            ServiceCaller { service: Cow::Borrowed(service_name), source_arn: String::new(), source_account: principal.account.clone() };
        let mut call = self.service_call(&form, region, I::SERVICE, I::OPERATION, body.as_ref())?;
        call.account.clone_from(&principal.account);
        call.principal = principal;
        call.caller = None;
        call.via.push(service_name.to_owned());
        self.run_for_service::<I>(call, input, body).await
    }

    /// Authorizes, handles and records, again after a conflict.
    async fn run_for_service<I: ApiInput>(
        self: &Arc<Self>,
        mut call: Call,
        input: Value,
        body: Option<Bytes>,
    ) -> Result<(I::Output, Option<Body>), ApiError> {
        let position = self.regions.position(&call.region).unwrap_or_default();
        let parameters = self.parameters(&call, &input);
        for _ in 0..ATTEMPTS {
            call.body = body.clone().map(body::full);
            match self.attempt_for_service(&mut call, &input, &parameters, position).await {
                Ok(reply) => return Ok((crate::service::typed(reply.value)?, reply.body)),
                Err(Abort::Conflict) => call.begin_again(),
                Err(Abort::Failed(error)) => {
                    let events = audit::events(&call, position, parameters, &Outcome::Failed(&error))?;
                    call.pending.extend(events);
                    self.record(std::mem::take(&mut call.pending)).await?;
                    return Err(error);
                }
            }
        }
        Err(ApiError::new("ThrottlingException", "Rate exceeded"))
    }

    /// Whether a service may do something: asked when a setting that needs it is made, so that the caller learns of it at once. It is part of
    /// the caller's call and leaves no event of its own.
    pub async fn is_service_allowed(
        self: &Arc<Self>,
        caller: &ServiceCaller,
        region: &str,
        operation: (&str, &str),
        target: (&str, &str),
        keys: &MapContext,
    ) -> Result<bool, ApiError> {
        let (action, arn) = target;
        let mut call = self.service_call(caller, region, operation.0, operation.1, None)?;
        let access = authorize::resource_access(&mut call, action, arn).await?;
        authorize::allowed_under(&mut call, action, arn, &access, keys).await
    }

    fn service_call(
        self: &Arc<Self>,
        caller: &ServiceCaller,
        region: &str,
        service: &str,
        operation: &str,
        body: Option<&Bytes>,
    ) -> Result<Call, ApiError> {
        let unknown = || ApiError::internal(&format!("the operation `{service}:{operation}` is not known"));
        let service = catalog().service(service).ok_or_else(unknown)?;
        let operation = service.operation(operation).ok_or_else(unknown)?;
        let position = self.regions.position(region).ok_or_else(unknown)?;
        let protocol = service.head.protocols.first().copied().unwrap_or(Protocol::Json11);
        let mut call = Call::new(
            Arc::clone(self),
            service,
            operation,
            protocol,
            self.random_uuid()?,
            caller.principal(),
            region.to_owned(),
            self.now(),
            Arc::new(caller.request(body)),
            self.transaction(position),
        );
        call.caller = Some(Arc::new(caller.clone()));
        Ok(call)
    }

    async fn attempt_for_service(
        self: &Arc<Self>,
        call: &mut Call,
        input: &Value,
        parameters: &Json,
        position: usize,
    ) -> Result<Reply, Abort> {
        authorize::authorize(call, input).await?;
        let reply = self.handle(call, input).await?;
        let events = audit::events(call, position, parameters.clone(), &Outcome::Done(&reply.value))?;
        let fresh = call.tx.renew();
        let tx = std::mem::replace(&mut call.tx, fresh);
        self.commit(call, tx, events).await?;
        Ok(reply)
    }
}
