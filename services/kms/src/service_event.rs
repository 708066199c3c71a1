//! Events of what KMS does without a call: a key rotates because its period is over, or is deleted because its waiting time is.
//!
//! Each stands in the commit of its effect. Source: KMS Developer Guide, "Logging AWS KMS API calls": `RotateKey`, `DeleteKey`.

use std::sync::Arc;

use plane::transaction::Abort;
use plane::{ApiError, Plane, Transaction};
use serde_json::{Value as Json, json};
use trail::EventResource;

use crate::key::{KmsKey, RESOURCE_TYPE};

/// Who acts, in AWS's words.
const ACTOR: &str = "AWS Internal";

/// What happened to which key.
pub(crate) struct ServiceEvent<'a> {
    pub name: &'static str,
    pub key: &'a KmsKey,
    pub region: &'a str,
    pub now_ms: i64,
    pub details: Json,
}

pub(crate) fn position(plane: &Plane, region: &str) -> Result<usize, ApiError> {
    plane.regions.position(region).ok_or_else(|| ApiError::internal(&format!("the region `{region}` is not configured")))
}

/// Commits the transaction with its event. `Ok(false)`: somebody else changed the key meanwhile, nothing was done.
pub(crate) async fn commit(plane: &Arc<Plane>, tx: Transaction, position: usize, event: ServiceEvent<'_>) -> Result<bool, ApiError> {
    let key = event.key;
    let entry = plane.service_event(plane::audit::ServiceEvent {
        source: "kms.amazonaws.com",
        actor: ACTOR,
        name: event.name,
        account: key.account.clone(),
        region: event.region.to_owned(),
        now_ms: event.now_ms,
        additional: Some(event.details),
        details: Some(json!({ "keyId": key.id })),
        resources: vec![EventResource {
            account_id: Some(key.account.clone()),
            resource_type: Some(RESOURCE_TYPE.to_owned()),
            arn: key.arn(event.region),
        }],
    })?;
    debug_assert_eq!(entry.0, position, "the event stands beside its effect");
    match tx.commit(vec![entry]).await {
        Ok(()) => Ok(true),
        Err(Abort::Conflict) => Ok(false),
        Err(Abort::Failed(error)) => Err(error),
    }
}
