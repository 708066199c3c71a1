//! Entries become events of a log group, written in the role that the account names.
//!
//! Source: Bedrock User Guide, "Set up CloudWatch Logs for model invocation logging".

use std::sync::Arc;

use api_logs::{CreateLogStreamInput, InputLogEvent, PutLogEventsInput};
use plane::{ApiError, PARTITION, Plane};

use super::{LogGroup, delivery};

/// The stream that Bedrock writes.
const STREAM: &str = "aws/bedrock/modelinvocations";
/// Name of the session that Bedrock takes.
const SESSION: &str = "BedrockModelInvocationLogging";
/// Bytes and events of a batch, with room below what CloudWatch Logs takes.
const BATCH_BYTES: usize = 1_000_000;
const BATCH_EVENTS: usize = 1_000;
const EVENT_OVERHEAD: usize = 26;

fn session_arn(group: &LogGroup) -> String {
    let account = group.role_arn.split(':').nth(4).unwrap_or_default();
    let role = group.role_arn.rsplit('/').next().unwrap_or_default();
    format!("arn:{PARTITION}:sts::{account}:assumed-role/{role}/{SESSION}")
}

/// Makes the stream; one that is there is as good.
pub(crate) async fn create_stream(plane: &Arc<Plane>, account: &str, region: &str, group: &LogGroup) -> Result<(), ApiError> {
    let input = CreateLogStreamInput { log_group_name: group.name.clone(), log_stream_name: STREAM.to_owned() };
    match plane.call_in_role(&delivery::caller(account, region), &session_arn(group), region, input).await {
        Err(error) if error.code != "ResourceAlreadyExistsException" => Err(error),
        _ => Ok(()),
    }
}

/// Writes messages with their times; gives how many of the first ones arrived, and why the next did not.
pub(crate) async fn put(
    plane: &Arc<Plane>,
    account: &str,
    region: &str,
    group: &LogGroup,
    messages: Vec<(i64, String)>,
) -> (usize, Result<(), ApiError>) {
    let mut arrived = 0;
    let mut rest = messages.into_iter().peekable();
    while rest.peek().is_some() {
        let mut events: Vec<InputLogEvent> = Vec::new();
        let mut bytes = 0_usize;
        while let Some((timestamp, message)) = rest.next_if(|(_, message)| {
            events.is_empty() || (events.len() < BATCH_EVENTS && bytes.saturating_add(message.len()) <= BATCH_BYTES)
        }) {
            bytes = bytes.saturating_add(message.len()).saturating_add(EVENT_OVERHEAD);
            events.push(InputLogEvent { timestamp, message });
        }
        let count = events.len();
        events.sort_by_key(|event| event.timestamp);
        if let Err(error) = put_batch(plane, account, region, group, events).await {
            return (arrived, Err(error));
        }
        arrived += count;
    }
    (arrived, Ok(()))
}

async fn put_batch(
    plane: &Arc<Plane>,
    account: &str,
    region: &str,
    group: &LogGroup,
    log_events: Vec<InputLogEvent>,
) -> Result<(), ApiError> {
    let input = PutLogEventsInput {
        log_group_name: group.name.clone(),
        log_stream_name: STREAM.to_owned(),
        log_events,
        sequence_token: None,
        entity: None,
    };
    let caller = delivery::caller(account, region);
    match plane.call_in_role(&caller, &session_arn(group), region, input.clone()).await {
        Err(error) if error.code == "ResourceNotFoundException" => {
            create_stream(plane, account, region, group).await?;
            plane.call_in_role(&caller, &session_arn(group), region, input).await.map(drop)
        }
        other => other.map(drop),
    }
}
