//! Calls within a call: in its transaction, each decided and recorded as a call of its own.

use std::sync::Arc;

use facts::{Protocol, catalog};
use wire::Value;

use crate::audit::{self, Outcome};
use crate::call::Call;
use crate::error::ApiError;
use crate::pipeline::Plane;
use crate::principal::Principal;

impl Plane {
    /// A call that a service makes for its caller. See [`Call::forward`].
    pub(crate) async fn forward(
        self: &Arc<Self>,
        parent: &mut Call,
        service: &str,
        operation: &str,
        input: Value,
    ) -> Result<Value, ApiError> {
        let mut call = self.child(parent, service, operation, Arc::clone(&parent.principal))?;
        call.via.clone_from(&parent.via);
        call.caller.clone_from(&parent.caller);
        call.via.push(parent.service.head.event_source.to_owned());
        self.run_within(parent, call, input).await
    }

    /// The call of somebody who proved who it is with the parent, and goes on by itself. See [`Call::proceed_as`].
    pub(crate) async fn proceed_as(
        self: &Arc<Self>,
        parent: &mut Call,
        principal: Arc<Principal>,
        service: &str,
        operation: &str,
        input: Value,
    ) -> Result<Value, ApiError> {
        let call = self.child(parent, service, operation, principal)?;
        self.run_within(parent, call, input).await
    }

    /// A call within another, in its transaction.
    fn child(self: &Arc<Self>, parent: &mut Call, service: &str, operation: &str, principal: Arc<Principal>) -> Result<Call, ApiError> {
        let unknown = || ApiError::internal(&format!("the forwarded operation `{service}:{operation}` is not known"));
        let service = catalog().service(service).ok_or_else(unknown)?;
        let operation = service.operation(operation).ok_or_else(unknown)?;
        let fresh = parent.tx.renew();
        let tx = std::mem::replace(&mut parent.tx, fresh);
        let protocol = service.head.protocols.first().copied().unwrap_or(Protocol::Json11);
        Ok(Call::new(
            Arc::clone(self),
            service,
            operation,
            protocol,
            parent.request_id.clone(),
            principal,
            parent.region.clone(),
            parent.now,
            Arc::clone(&parent.request),
            tx,
        ))
    }

    /// Authorizes, handles and records a call within another.
    async fn run_within(self: &Arc<Self>, parent: &mut Call, mut call: Call, input: Value) -> Result<Value, ApiError> {
        let position = self.regions.position(&parent.region).ok_or_else(|| ApiError::internal(&"a call is in no region"))?;
        let parameters = self.parameters(&call, &input);
        let result = match crate::authorize::authorize(&mut call, &input).await {
            Ok(()) => self.handle(&mut call, &input).await.map(|reply| reply.value),
            Err(error) => Err(self.in_own_words(&call, error)),
        };
        let outcome = match &result {
            Ok(value) => Outcome::Done(value),
            Err(error) => Outcome::Failed(error),
        };
        let events = audit::events(&call, position, parameters, &outcome)?;
        parent.tx = call.tx;
        parent.pending.append(&mut call.pending);
        parent.pending.extend(events);
        if parent.decision.is_none() && result.is_err() {
            parent.decision = call.decision;
        }
        result
    }
}
