//! Events of what KMS does without a call: a key rotates because its period is over, or is deleted because its waiting time is.
//!
//! Each stands in the commit of its effect. Source: KMS Developer Guide, "Logging AWS KMS API calls": `RotateKey`, `DeleteKey`.

use std::sync::Arc;

use plane::clock::iso8601_s;
use plane::transaction::Abort;
use plane::{ApiError, Plane, Transaction};
use serde_json::Value as Json;
use trail::event::EVENT_VERSION;
use trail::{Entry, Event, EventResource, UserIdentity};

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
    let now_ms = event.now_ms;
    let entry = Entry { record: record(plane, event)?, decision: None };
    let bytes = entry.to_bytes(&plane.sealer(), now_ms).map_err(|error| ApiError::internal(&error))?;
    match tx.commit(vec![(position, bytes)]).await {
        Ok(()) => Ok(true),
        Err(Abort::Conflict) => Ok(false),
        Err(Abort::Failed(error)) => Err(error),
    }
}

fn record(plane: &Plane, event: ServiceEvent<'_>) -> Result<Event, ApiError> {
    let key = event.key;
    Ok(Event {
        event_version: EVENT_VERSION.to_owned(),
        user_identity: UserIdentity {
            identity_type: "AWSService".to_owned(),
            account_id: Some(key.account.clone()),
            invoked_by: Some(ACTOR.to_owned()),
            ..UserIdentity::default()
        },
        event_time: iso8601_s(event.now_ms),
        event_source: "kms.amazonaws.com".to_owned(),
        event_name: event.name.to_owned(),
        aws_region: event.region.to_owned(),
        source_ip_address: ACTOR.to_owned(),
        user_agent: ACTOR.to_owned(),
        error_code: None,
        error_message: None,
        request_parameters: Json::Null,
        response_elements: Json::Null,
        additional_event_data: Some(event.details),
        request_id: plane.random_uuid()?,
        event_id: plane.random_uuid()?,
        read_only: false,
        resources: vec![EventResource {
            account_id: Some(key.account.clone()),
            resource_type: Some(RESOURCE_TYPE.to_owned()),
            arn: key.arn(event.region),
        }],
        event_type: "AwsServiceEvent".to_owned(),
        management_event: true,
        recipient_account_id: key.account.clone(),
        shared_event_id: None,
        vpc_endpoint_id: None,
        event_category: "Management".to_owned(),
        tls_details: None,
    })
}
