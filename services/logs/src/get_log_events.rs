//! `GetLogEvents`: one stream, forward or backward.
//!
//! Source: CloudWatch Logs API reference, `GetLogEvents`.

use api_logs::{GetLogEventsInput, GetLogEventsOutput, OutputLogEvent};
use plane::{ApiError, Call};

use crate::chunk::{Event, Reader};
use crate::cursor::{Cursor, Direction};
use crate::error::unsupported;
use crate::{chunk, log_group, log_stream};

/// Events and bytes of a page.
pub(crate) const EVENTS: usize = 10_000;
pub(crate) const BYTES: u64 = 1_048_576;

/// The part of a stream that a caller wants.
struct Window {
    from_ms: i64,
    /// Exclusive.
    to_ms: i64,
}

impl Window {
    fn holds(&self, event: &Event) -> bool {
        (self.from_ms..self.to_ms).contains(&event.at.time_ms)
    }
}

pub(crate) async fn get_log_events(cx: &mut Call, input: GetLogEventsInput) -> Result<GetLogEventsOutput, ApiError> {
    if input.unmask == Some(true) {
        return Err(unsupported("unmask"));
    }
    let group = log_group::load_either(cx, input.log_group_name.as_deref(), input.log_group_identifier.as_deref()).await?;
    let stream = log_stream::load(cx, &group, &input.log_stream_name).await?;
    let window =
        Window { from_ms: input.start_time.unwrap_or(0).max(group.kept_since_ms(cx.now.0)), to_ms: input.end_time.unwrap_or(i64::MAX) };
    let (from, direction) = match &input.next_token {
        Some(token) => Cursor::parse(token, &stream.id)?,
        None if input.start_from_head == Some(true) => (Cursor::at(window.from_ms), Direction::Forward),
        None => (Cursor::at(window.to_ms), Direction::Backward),
    };
    let limit = crate::listing::limit(input.limit, EVENTS);
    let way = match direction {
        Direction::Forward => (from.time_ms.max(window.from_ms), window.to_ms),
        Direction::Backward => (from.time_ms.min(window.to_ms), window.from_ms),
    };
    let mut reader = Reader::new(&group, &stream.id, direction, way);
    let mut events = read(cx, &mut reader, (&window, direction, from), limit).await?;
    if direction == Direction::Backward {
        events.reverse();
    }
    let (before, behind) = match (events.first(), events.last()) {
        (Some(first), Some(last)) => (first.at, last.at.behind()),
        // Nothing there: the same place again, and when it was the end of time, the begin, so that what comes later is found from it.
        _ if from.time_ms == i64::MAX => (Cursor::at(window.from_ms), Cursor::at(window.from_ms)),
        _ => (from, from),
    };
    let shown = |event: Event| OutputLogEvent {
        timestamp: Some(event.at.time_ms),
        message: Some(event.message),
        ingestion_time: Some(event.ingested_ms),
    };
    Ok(GetLogEventsOutput {
        next_forward_token: Some(behind.token(Direction::Forward, &stream.id)),
        next_backward_token: Some(before.token(Direction::Backward, &stream.id)),
        events: Some(events.into_iter().map(shown).collect()),
    })
}

/// Events from a place on, in the order of the direction, at most `limit` and as many as a page holds.
async fn read(
    cx: &mut Call,
    reader: &mut Reader<'_>,
    (window, direction, from): (&Window, Direction, Cursor),
    limit: usize,
) -> Result<Vec<Event>, ApiError> {
    let mut events = Vec::new();
    let mut bytes = 0_u64;
    while events.len() < limit {
        let Some(slot) = reader.next_slot(cx).await? else { break };
        for event in slot {
            let (passed, ended) = match direction {
                Direction::Forward => (event.at < from, event.at.time_ms >= window.to_ms),
                Direction::Backward => (event.at >= from, event.at.time_ms < window.from_ms),
            };
            if ended {
                return Ok(events);
            }
            if passed || !window.holds(&event) {
                continue;
            }
            let size = chunk::size(&event.message);
            if events.len() >= limit || (!events.is_empty() && bytes.saturating_add(size) > BYTES) {
                return Ok(events);
            }
            bytes = bytes.saturating_add(size);
            events.push(event);
        }
    }
    Ok(events)
}
