//! Sign-in as a service of the plane.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use plane::door::Door;
use plane::{ApiError, Call, Handler, Service, Target, handler};
use policy::MapContext;
use tokio::sync::{Semaphore, SemaphorePermit};
use wire::Value;

use crate::door::SignInDoor;
use crate::{authorize, console_login, error, token};

/// Sign-ins that are worked on or wait.
const WAITING: usize = 64;

const HANDLERS: &[Handler] = &[
    handler!("AuthorizeOAuth2Access", authorize::authorize_oauth2_access),
    handler!("ConsoleLogin", console_login::console_login),
    handler!("CreateOAuth2Token", token::create_oauth2_token),
];

/// Lets one sign-in after the other check its password.
pub(crate) struct Gate {
    waiting: Semaphore,
    working: Semaphore,
}

/// A place in the gate, until it is dropped.
pub(crate) struct Turn<'a> {
    _waiting: SemaphorePermit<'a>,
    _working: SemaphorePermit<'a>,
}

impl Gate {
    fn new() -> Self {
        Self { waiting: Semaphore::new(WAITING), working: Semaphore::new(1) }
    }

    /// Waits for its turn; `None`: too many wait.
    pub(crate) async fn enter(&self) -> Option<Turn<'_>> {
        let waiting = self.waiting.try_acquire().ok()?;
        let working = self.working.acquire().await.ok()?;
        Some(Turn { _waiting: waiting, _working: working })
    }
}

/// The service. Its state is in the records; the gate is the process's own.
pub struct SignInService {
    gate: Arc<Gate>,
}

impl Default for SignInService {
    fn default() -> Self {
        Self { gate: Arc::new(Gate::new()) }
    }
}

#[async_trait]
impl Service for SignInService {
    fn id(&self) -> &'static str {
        api_signin::SERVICE
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        HANDLERS
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        match call.operation.name {
            "AuthorizeOAuth2Access" => authorize::targets(call, input).map(Some),
            "CreateOAuth2Token" => token::targets(call, input).await.map(Some),
            _ => Ok(None),
        }
    }

    fn condition_keys(&self, call: &Call, input: &Value, keys: &mut MapContext) {
        match call.operation.name {
            "AuthorizeOAuth2Access" => authorize::condition_keys(input, keys),
            "CreateOAuth2Token" => token::condition_keys(input, keys),
            _ => {}
        }
    }

    /// CloudTrail shows none for a sign-in.
    fn request_parameters(&self, call: &Call, _input: &Value) -> Option<serde_json::Value> {
        (call.operation.name == "ConsoleLogin").then_some(serde_json::Value::Null)
    }

    fn event_type(&self, call: &Call) -> &'static str {
        if call.operation.name == "ConsoleLogin" { "AwsConsoleSignIn" } else { "AwsApiCall" }
    }

    fn error(&self, error: ApiError) -> ApiError {
        error::in_own_words(error)
    }

    fn doors(&self) -> Vec<Arc<dyn Door>> {
        vec![Arc::new(SignInDoor)]
    }

    fn extension(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        Some(Arc::clone(&self.gate) as Arc<dyn Any + Send + Sync>)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_with_types_has_a_handler() {
        let handled: Vec<&str> = HANDLERS.iter().map(|handler| handler.operation).collect();
        assert_eq!(handled, api_signin::OPERATIONS);
    }
}
