//! `PutLogEvents`.
//!
//! Source: CloudWatch Logs API reference, `PutLogEvents` and `RejectedLogEventsInfo`.

use api_logs::{EntityRejectionErrorType, PutLogEventsInput, PutLogEventsOutput, RejectedEntityInfo, RejectedLogEventsInfo};
use plane::{ApiError, Call};

use crate::chunk::{self, Batch, Kept};
use crate::error::LogsError;
use crate::log_group::{self, LogGroupRecord};
use crate::retention::DAY_MS;
use crate::{encryption, log_stream};

const EVENT_BYTES: u64 = 1024 * 1024;
const BATCH_BYTES: u64 = 1_048_576;
const OLDEST_MS: i64 = 14 * DAY_MS;
const NEWEST_MS: i64 = 2 * 60 * 60 * 1000;

pub(crate) async fn put_log_events(cx: &mut Call, input: PutLogEventsInput) -> Result<PutLogEventsOutput, ApiError> {
    let group = log_group::load(cx, &input.log_group_name).await?;
    let mut stream = log_stream::load(cx, &group, &input.log_stream_name).await?;
    let events: Vec<(i64, String)> = input.log_events.into_iter().map(|event| (event.timestamp, event.message)).collect();
    check_sizes(&events)?;
    let (taken, rejected) = sort_out(events, &group, cx.now.0)?;
    if let (Some(first), Some(last)) = (taken.first().map(|event| event.0), taken.last().map(|event| event.0)) {
        let data_key = match group.data_key {
            Some(number) => Some((number, encryption::open(cx, &group, number).await?)),
            None => None,
        };
        let bytes: u64 = taken.iter().map(|event| chunk::size(&event.2)).sum();
        let batch = Batch { group_id: &group.id, stream_id: &stream.id, sequence: stream.next_sequence, ingested_ms: cx.now.0, data_key };
        batch.write(cx, taken).await?;
        stream.first_ms = Some(stream.first_ms.map_or(first, |known| known.min(first)));
        stream.last_ms = Some(stream.last_ms.map_or(last, |known| known.max(last)));
        stream.last_ingestion_ms = Some(cx.now.0);
        stream.stored_bytes = stream.stored_bytes.saturating_add(bytes);
        stream.next_sequence = stream.next_sequence.saturating_add(1);
        log_stream::save(cx, &group, &stream)?;
    }
    Ok(PutLogEventsOutput {
        next_sequence_token: Some(log_stream::sequence_token(stream.next_sequence)),
        rejected_log_events_info: rejected,
        rejected_entity_info: input.entity.map(|_| RejectedEntityInfo { error_type: EntityRejectionErrorType::UnsupportedLogGroupType }),
    })
}

fn check_sizes(events: &[(i64, String)]) -> Result<(), LogsError> {
    let mut total = 0_u64;
    for (_, message) in events {
        let size = chunk::size(message);
        if size > EVENT_BYTES {
            return Err(LogsError::Parameter(format!("Log event too large: {size} bytes exceeds limit of {EVENT_BYTES}")));
        }
        total = total.saturating_add(size);
    }
    if total > BATCH_BYTES {
        return Err(LogsError::Parameter(format!("Upload too large: {total} bytes exceeds limit of {BATCH_BYTES}")));
    }
    if events.windows(2).any(|pair| matches!(pair, [first, second] if first.0 > second.0)) {
        return Err(LogsError::parameter("Log events in a single PutLogEvents request must be in chronological order."));
    }
    Ok(())
}

/// The events that are taken, and what is said of the others. `events` are in order of time.
fn sort_out(
    events: Vec<(i64, String)>,
    group: &LogGroupRecord,
    now_ms: i64,
) -> Result<(Vec<Kept>, Option<RejectedLogEventsInfo>), LogsError> {
    let before = |time_ms: i64| events.iter().take_while(|event| event.0 < time_ms).count();
    let too_old = before(now_ms.saturating_sub(OLDEST_MS));
    let expired = before(group.kept_since_ms(now_ms));
    let new_from = before(now_ms.saturating_add(NEWEST_MS).saturating_add(1));
    let old_to = too_old.max(expired);
    let index = |at: usize| i32::try_from(at).ok();
    let info = RejectedLogEventsInfo {
        too_new_log_event_start_index: if new_from < events.len() { index(new_from) } else { None },
        too_old_log_event_end_index: if too_old > 0 { index(too_old) } else { None },
        expired_log_event_end_index: if expired > 0 { index(expired) } else { None },
    };
    let rejected = old_to > 0 || new_from < events.len();
    let taken: Vec<Kept> = events
        .into_iter()
        .enumerate()
        .filter(|(at, _)| (old_to..new_from).contains(at))
        .map(|(at, (time_ms, message))| Kept(time_ms, u32::try_from(at).unwrap_or(u32::MAX), message))
        .collect();
    if let (Some(first), Some(last)) = (taken.first(), taken.last())
        && last.0.saturating_sub(first.0) > DAY_MS
    {
        return Err(LogsError::parameter("The batch of log events in a single PutLogEvents request cannot span more than 24 hours."));
    }
    Ok((taken, rejected.then_some(info)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000;

    fn group(retention_days: Option<i32>) -> LogGroupRecord {
        let mut group: LogGroupRecord = serde_json::from_value(serde_json::json!({ "id": "1", "name": "g", "created_ms": 0 })).unwrap();
        group.retention_days = retention_days;
        group
    }

    fn events(times: &[i64]) -> Vec<(i64, String)> {
        times.iter().map(|time| (*time, "x".to_owned())).collect()
    }

    #[test]
    fn events_outside_the_window_are_told_apart() {
        let times = [NOW - 15 * DAY_MS, NOW - 4 * DAY_MS, NOW - 1_000, NOW, NOW + NEWEST_MS, NOW + NEWEST_MS + 1];
        let (taken, info) = sort_out(events(&times), &group(Some(3)), NOW).unwrap();
        assert_eq!(taken.iter().map(|event| event.1).collect::<Vec<_>>(), [2, 3, 4]);
        let info = info.unwrap();
        assert_eq!(
            (info.too_old_log_event_end_index, info.expired_log_event_end_index, info.too_new_log_event_start_index),
            (Some(1), Some(2), Some(5))
        );
        let (taken, info) = sort_out(events(&[NOW]), &group(None), NOW).unwrap();
        assert!(taken.len() == 1 && info.is_none());
    }

    #[test]
    fn a_batch_spans_a_day_at_most() {
        assert!(sort_out(events(&[NOW - DAY_MS, NOW]), &group(None), NOW).is_ok());
        assert!(sort_out(events(&[NOW - DAY_MS - 1, NOW]), &group(None), NOW).is_err());
        // Events that are not taken do not count.
        assert!(sort_out(events(&[NOW - 20 * DAY_MS, NOW]), &group(None), NOW).is_ok());
    }

    #[test]
    fn sizes_and_order() {
        assert!(check_sizes(&events(&[2, 1])).is_err() && check_sizes(&events(&[1, 1])).is_ok());
        let large = |length: usize| vec![(1, "x".repeat(length))];
        assert!(check_sizes(&large(1_048_550)).is_ok() && check_sizes(&large(1_048_551)).is_err());
        assert!(check_sizes(&[large(600_000), large(600_000)].concat()).is_err());
    }
}
