//! Bailiwick's own API, under `/_bailiwick/`: explain a decision, export policies, replay history under another policy, make an account, flush
//! the trail, move the clock, reset, back up, secrets of model servers, use of models, erasure of data subjects.
//!
//! It is a service like the others: signed, authorized (actions `bailiwick:...`), recorded. What would not exist on AWS is limited to the
//! root user of the home account, and what a production server must never do (reset, clock, accounts) to ephemeral servers.
//!
//! Invariant: nothing here reads or changes state but through the plane and the [`Host`].

mod data_subject;
mod explain;
mod export;
mod host;
mod incident;
mod models;
mod replay;

use async_trait::async_trait;
use plane::{ApiError, Call, Handler, PrincipalKind, Reply, Service};
use std::sync::Arc;
use wire::{Struct, Value};

pub use host::{AccountKeys, Host, LoggedBody, UsageLine};

/// The service.
pub struct Control {
    host: Arc<dyn Host>,
}

impl Control {
    pub fn new(host: Arc<dyn Host>) -> Self {
        Self { host }
    }
}

/// Operations that exist on ephemeral servers only.
const EPHEMERAL: [&str; 3] = ["AdvanceClock", "CreateAccount", "Reset"];
/// Operations that any principal with the permission may call; the others are for the home account's root user.
const DELEGABLE: [&str; 8] = [
    "EraseDataSubject",
    "ExplainAccess",
    "ExplainRequest",
    "ExportPolicies",
    "GetIncident",
    "GetModelUsage",
    "OpenLoggedBody",
    "ReplayPolicy",
];

#[async_trait]
impl Service for Control {
    fn id(&self) -> &'static str {
        "bailiwick"
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        &[
            Handler { operation: "AdvanceClock", run: |cx, input| Box::pin(advance_clock(cx, input)) },
            Handler { operation: "CreateAccount", run: |cx, input| Box::pin(create_account(cx, input)) },
            Handler { operation: "CreateBackup", run: |cx, input| Box::pin(create_backup(cx, input)) },
            Handler { operation: "DeleteUpstreamSecret", run: |cx, input| Box::pin(models::delete_upstream_secret(cx, input)) },
            Handler { operation: "EraseDataSubject", run: |cx, input| Box::pin(data_subject::erase_data_subject(cx, input)) },
            Handler { operation: "ExplainAccess", run: |cx, input| Box::pin(explain::explain_access(cx, input)) },
            Handler { operation: "ExplainRequest", run: |cx, input| Box::pin(explain::explain_request(cx, input)) },
            Handler { operation: "ExportPolicies", run: |cx, input| Box::pin(export::export_policies(cx, input)) },
            Handler { operation: "FlushTrail", run: |cx, input| Box::pin(flush_trail(cx, input)) },
            Handler { operation: "GetModelUsage", run: |cx, input| Box::pin(models::get_model_usage(cx, input)) },
            Handler { operation: "ListUpstreamSecrets", run: |cx, input| Box::pin(models::list_upstream_secrets(cx, input)) },
            Handler { operation: "OpenLoggedBody", run: |cx, input| Box::pin(data_subject::open_logged_body(cx, input)) },
            Handler { operation: "PutUpstreamSecret", run: |cx, input| Box::pin(models::put_upstream_secret(cx, input)) },
            Handler { operation: "GetIncident", run: |cx, input| Box::pin(incident::get_incident(cx, input)) },
            Handler { operation: "ReplayPolicy", run: |cx, input| Box::pin(replay::replay_policy(cx, input)) },
            Handler { operation: "Reset", run: |cx, input| Box::pin(reset(cx, input)) },
        ]
    }

    /// The calls' own limits, which no policy can lift.
    async fn targets(&self, call: &mut Call, _input: &Value) -> Result<Option<Vec<plane::Target>>, ApiError> {
        let name = call.operation.name;
        let is_home_root = matches!(call.principal.kind, PrincipalKind::Root) && call.account == call.plane.home_account();
        if !DELEGABLE.contains(&name) && !is_home_root {
            let message = format!("`{name}` is for the root user of account `{}` only", call.plane.home_account());
            return Err(ApiError::new("AccessDeniedException", message).with_status(403));
        }
        if EPHEMERAL.contains(&name) && !self.host.is_ephemeral() {
            return Err(ApiError::new(
                "InvalidStateException",
                format!("`{name}` is answered by a server started with `--ephemeral` only"),
            ));
        }
        Ok(None)
    }

    fn extension(&self) -> Option<Arc<dyn std::any::Any + Send + Sync>> {
        Some(Arc::new(Arc::clone(&self.host)))
    }
}

/// The host behind a call of this service.
fn host(cx: &Call) -> Result<Arc<dyn Host>, ApiError> {
    cx.plane
        .extension::<Arc<dyn Host>>("bailiwick")
        .map(|host| Arc::clone(host.as_ref()))
        .ok_or_else(|| ApiError::internal(&"the control service has no host"))
}

fn reply(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Reply {
    let mut output = Struct::new();
    for (name, value) in fields {
        output.set(name, value);
    }
    Reply { value: Value::Struct(output), body: None, status: None }
}

fn text(input: &Value, member: &str) -> String {
    input.member(member).and_then(Value::as_str).unwrap_or_default().to_owned()
}

async fn advance_clock(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let Some(Value::Int(by_ms)) = input.member("Milliseconds") else { return Err(ApiError::internal(&"the step is missing")) };
    let now = host(cx)?
        .advance_clock(*by_ms)
        .ok_or_else(|| ApiError::new("InvalidStateException", "the server was not started with `--manual-clock`"))?;
    Ok(reply([("Now", Value::Time(wire::Timestamp(now)))]))
}

async fn create_account(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let account = text(&input, "AccountId");
    let keys = host(cx)?.create_account(account.clone()).await?;
    Ok(reply([
        ("AccountId", Value::Str(account)),
        ("AccessKeyId", Value::Str(keys.access_key_id)),
        ("SecretAccessKey", Value::Str(keys.secret_access_key.to_string())),
    ]))
}

async fn create_backup(cx: &mut Call, input: Value) -> Result<Reply, ApiError> {
    let revision = host(cx)?.back_up(text(&input, "Directory")).await?;
    Ok(reply([("Revision", Value::Int(i64::try_from(revision).unwrap_or(i64::MAX)))]))
}

async fn flush_trail(cx: &mut Call, _input: Value) -> Result<Reply, ApiError> {
    cx.plane.flush().await?;
    host(cx)?.deliver_trails().await?;
    Ok(reply([]))
}

async fn reset(cx: &mut Call, _input: Value) -> Result<Reply, ApiError> {
    host(cx)?.reset().await?;
    Ok(reply([]))
}
