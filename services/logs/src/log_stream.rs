//! Log streams.
//!
//! Source: CloudWatch Logs API reference, `CreateLogStream`, `DescribeLogStreams`.

use api_logs::{
    CreateLogStreamInput, CreateLogStreamOutput, DeleteLogStreamInput, DeleteLogStreamOutput, DescribeLogStreamsInput,
    DescribeLogStreamsOutput, LogStream, OrderBy,
};
use plane::{ApiError, Call, Key, Record, Scope};
use serde::{Deserialize, Serialize};
use store::Table;

use crate::error::LogsError;
use crate::listing;
use crate::log_group::{self, LogGroupRecord};
use crate::sweep::Doomed;

/// Items of a page when the caller does not say.
const PAGE: usize = 50;

/// A stream of a group.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LogStreamRecord {
    /// Never used again: a stream of the same name that is made later is another one.
    pub id: String,
    pub name: String,
    pub created_ms: i64,
    #[serde(default)]
    pub first_ms: Option<i64>,
    #[serde(default)]
    pub last_ms: Option<i64>,
    #[serde(default)]
    pub last_ingestion_ms: Option<i64>,
    #[serde(default)]
    pub stored_bytes: u64,
    /// Number of the next batch.
    #[serde(default)]
    pub next_sequence: u64,
}

impl Record for LogStreamRecord {
    const TABLE: Table = Table("logs-stream");
    const SCOPE: Scope = Scope::Region;
}

/// Streams of a group.
pub(crate) fn prefix(account: &str, region: &str, group_id: &str) -> Key {
    Key::new(account, region).then(group_id)
}

/// A name may be longer than a key, and is nobody's who reads the store: its hash stands for it.
pub(crate) fn key(account: &str, region: &str, group_id: &str, name: &str) -> Key {
    prefix(account, region, group_id).last(transparency::merkle::sha256(name.as_bytes()))
}

pub(crate) async fn load(cx: &mut Call, group: &LogGroupRecord, name: &str) -> Result<LogStreamRecord, ApiError> {
    let key = key(&cx.account, &cx.region, &group.id, name);
    cx.tx.get::<LogStreamRecord>(&key).await?.ok_or_else(|| LogsError::StreamMissing.into())
}

pub(crate) fn save(cx: &mut Call, group: &LogGroupRecord, stream: &LogStreamRecord) -> Result<(), ApiError> {
    cx.tx.put(&key(&cx.account, &cx.region, &group.id, &stream.name), stream)
}

pub(crate) async fn all(cx: &mut Call, group: &LogGroupRecord) -> Result<Vec<LogStreamRecord>, ApiError> {
    listing::all(&mut cx.tx, &prefix(&cx.account, &cx.region, &group.id)).await
}

pub(crate) async fn stored_bytes(cx: &mut Call, group: &LogGroupRecord) -> Result<u64, ApiError> {
    Ok(all(cx, group).await?.iter().map(|stream| stream.stored_bytes).sum())
}

pub(crate) async fn create_log_stream(cx: &mut Call, input: CreateLogStreamInput) -> Result<CreateLogStreamOutput, ApiError> {
    let group = log_group::load(cx, &input.log_group_name).await?;
    let stream = LogStreamRecord {
        id: cx.random_uuid()?,
        name: input.log_stream_name,
        created_ms: cx.now.0,
        first_ms: None,
        last_ms: None,
        last_ingestion_ms: None,
        stored_bytes: 0,
        next_sequence: 1,
    };
    let key = key(&cx.account, &cx.region, &group.id, &stream.name);
    if !cx.tx.insert(&key, &stream).await? {
        return Err(LogsError::StreamExists.into());
    }
    Ok(CreateLogStreamOutput {})
}

pub(crate) async fn delete_log_stream(cx: &mut Call, input: DeleteLogStreamInput) -> Result<DeleteLogStreamOutput, ApiError> {
    let group = log_group::load(cx, &input.log_group_name).await?;
    if group.deletion_protected {
        return Err(LogsError::Protected.into());
    }
    let stream = load(cx, &group, &input.log_stream_name).await?;
    let (account, region) = (cx.account.clone(), cx.region.clone());
    cx.tx.delete::<LogStreamRecord>(&key(&account, &region, &group.id, &stream.name));
    let doomed = Doomed { account, group_id: group.id, stream_id: Some(stream.id.clone()) };
    cx.tx.put(&Doomed::key(&region, &stream.id), &doomed)?;
    Ok(DeleteLogStreamOutput {})
}

pub(crate) async fn describe_log_streams(cx: &mut Call, input: DescribeLogStreamsInput) -> Result<DescribeLogStreamsOutput, ApiError> {
    let by_time = input.order_by == Some(OrderBy::LastEventTime);
    if by_time && input.log_stream_name_prefix.is_some() {
        return Err(LogsError::parameter("Cannot order by LastEventTime with a logStreamNamePrefix.").into());
    }
    let group = log_group::load_either(cx, input.log_group_name.as_deref(), input.log_group_identifier.as_deref()).await?;
    let prefix = input.log_stream_name_prefix.unwrap_or_default();
    let descending = input.descending.unwrap_or(false);
    let place = |stream: &LogStreamRecord| {
        if by_time { format!("{:020}\n{}", stream.last_ms.unwrap_or_default(), stream.name) } else { stream.name.clone() }
    };
    let mut streams = all(cx, &group).await?;
    streams.retain(|stream| stream.name.starts_with(&prefix));
    streams.sort_by_cached_key(place);
    if descending {
        streams.reverse();
    }
    let filter = format!("{}\n{prefix}\n{by_time}\n{descending}", group.id);
    let page = (descending, input.next_token.as_deref(), listing::limit(input.limit, PAGE));
    let (shown, next_token) = listing::cut(cx, streams, place, &filter, page)?;
    let arn = group.arn(&cx.region, &cx.account);
    Ok(DescribeLogStreamsOutput { log_streams: Some(shown.into_iter().map(|stream| describe(stream, &arn)).collect()), next_token })
}

fn describe(stream: LogStreamRecord, group_arn: &str) -> LogStream {
    LogStream {
        arn: Some(format!("{group_arn}:log-stream:{}", stream.name)),
        log_stream_name: Some(stream.name),
        creation_time: Some(stream.created_ms),
        first_event_timestamp: stream.first_ms,
        last_event_timestamp: stream.last_ms,
        last_ingestion_time: stream.last_ingestion_ms,
        upload_sequence_token: Some(sequence_token(stream.next_sequence)),
        // As AWS does since 2019: only groups have a size.
        stored_bytes: Some(0),
    }
}

/// Not needed by anybody since 2023, and still given.
pub(crate) fn sequence_token(next_sequence: u64) -> String {
    format!("49{next_sequence:054}")
}
