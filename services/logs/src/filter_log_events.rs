//! `FilterLogEvents`: a search through streams of a group.
//!
//! Source: CloudWatch Logs API reference, `FilterLogEvents`: a page may be empty and have a token all the same.

use std::collections::BTreeMap;

use api_logs::{FilterLogEventsInput, FilterLogEventsOutput, FilteredLogEvent};
use plane::{ApiError, Call, page};

use crate::chunk::{self, Event, SlotUse, in_slot, slot_in, slot_of, slots, stream_in};
use crate::error::{LogsError, unsupported};
use crate::filter_pattern::FilterPattern;
use crate::get_log_events::{BYTES, EVENTS};
use crate::log_group::{self, LogGroupRecord};
use crate::{listing, log_stream};

/// A page ends after this many bytes or chunks of slots, however few of the events fit.
const SEARCHED_BYTES: u64 = 16 * 1024 * 1024;
const SEARCHED_SLOTS: usize = 5_000;
/// Slot rows read at a time.
const ROWS: u32 = 512;

/// Where a search goes on: in a slot, behind so many of its events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    slot: u64,
    passed: u64,
}

/// A search.
struct Search<'a> {
    group: &'a LogGroupRecord,
    /// Streams that are searched: id and name.
    streams: BTreeMap<String, String>,
    pattern: FilterPattern,
    from_ms: i64,
    /// Exclusive.
    to_ms: i64,
    limit: usize,
}

pub(crate) async fn filter_log_events(cx: &mut Call, input: FilterLogEventsInput) -> Result<FilterLogEventsOutput, ApiError> {
    if input.unmask == Some(true) {
        return Err(unsupported("unmask"));
    }
    if input.start_from_head == Some(false) {
        return Err(unsupported("startFromHead"));
    }
    if input.log_stream_names.is_some() && input.log_stream_name_prefix.is_some() {
        return Err(LogsError::parameter("LogStream name prefix and LogStream names are mutually exclusive parameters.").into());
    }
    let group = log_group::load_either(cx, input.log_group_name.as_deref(), input.log_group_identifier.as_deref()).await?;
    let pattern_text = input.filter_pattern.unwrap_or_default();
    let pattern = FilterPattern::parse(&pattern_text)?;
    let streams = streams(cx, &group, input.log_stream_names.as_deref(), input.log_stream_name_prefix.as_deref()).await?;
    let filter = format!(
        "{}\n{pattern_text}\n{:?}\n{:?}\n{:?}\n{:?}",
        group.id, input.log_stream_names, input.log_stream_name_prefix, input.start_time, input.end_time
    );
    let from_ms = input.start_time.unwrap_or(0).max(group.kept_since_ms(cx.now.0)).max(0);
    let begin = match &input.next_token {
        Some(token) => open_token(cx, &filter, token)?,
        None => Place { slot: slot_of(from_ms), passed: 0 },
    };
    let search = Search {
        group: &group,
        streams,
        pattern,
        from_ms,
        to_ms: input.end_time.unwrap_or(i64::MAX),
        limit: listing::limit(input.limit, EVENTS),
    };
    let (events, next) = search.run(cx, begin).await?;
    let next_token = match next {
        Some(place) => {
            let bytes = [place.slot.to_be_bytes(), place.passed.to_be_bytes()].concat();
            Some(page::seal(cx, &cx.plane.keyring, &filter, &bytes)?)
        }
        None => None,
    };
    // AWS gives an empty list of searched streams since 2022.
    Ok(FilterLogEventsOutput { events: Some(events), searched_log_streams: Some(Vec::new()), next_token })
}

/// The streams that a search names: all, those of these names, or those whose names begin so.
async fn streams(
    cx: &mut Call,
    group: &LogGroupRecord,
    names: Option<&[String]>,
    prefix: Option<&str>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut found = BTreeMap::new();
    if let Some(names) = names {
        for name in names {
            let stream = log_stream::load(cx, group, name).await?;
            found.insert(stream.id, stream.name);
        }
        return Ok(found);
    }
    let prefix = prefix.unwrap_or_default();
    for stream in log_stream::all(cx, group).await? {
        if stream.name.starts_with(prefix) {
            found.insert(stream.id, stream.name);
        }
    }
    Ok(found)
}

fn open_token(cx: &Call, filter: &str, token: &str) -> Result<Place, ApiError> {
    let invalid = || LogsError::parameter("The specified nextToken is invalid.");
    let bytes = page::open(cx, &cx.plane.keyring, filter, token).map_err(|_| invalid())?;
    let number = |from: usize| bytes.get(from..from + 8).and_then(|part| part.try_into().ok()).map(u64::from_be_bytes);
    match (number(0), number(8)) {
        (Some(slot), Some(passed)) => Ok(Place { slot, passed }),
        _ => Err(invalid().into()),
    }
}

/// What one page has come to.
#[derive(Default)]
struct Found {
    events: Vec<FilteredLogEvent>,
    bytes: u64,
    searched: u64,
    slots: usize,
}

impl Search<'_> {
    /// Events from a place on, and where the next page begins.
    async fn run(&self, cx: &mut Call, begin: Place) -> Result<(Vec<FilteredLogEvent>, Option<Place>), ApiError> {
        let prefix = slots(&cx.account, &cx.region, &self.group.id);
        let mut found = Found::default();
        let mut start = begin.slot.to_be_bytes().to_vec();
        let mut slot: Option<(u64, Vec<String>)> = None;
        loop {
            let rows = cx.tx.scan_from::<SlotUse>(&prefix, &start, ROWS).await?;
            let is_last = rows.len() < ROWS as usize;
            for (place, _) in &rows {
                let at = slot_in(place);
                if let Some((number, ids)) = slot.take_if(|(number, _)| *number != at)
                    && let Some(next) = self.search_slot(cx, number, &ids, begin, &mut found).await?
                {
                    return Ok((found.events, Some(next)));
                }
                let (_, ids) = slot.get_or_insert_with(|| (at, Vec::new()));
                ids.extend(stream_in(place).filter(|id| self.streams.contains_key(*id)).map(str::to_owned));
            }
            match rows.last() {
                Some((place, _)) if !is_last => start = [place.as_ref(), &[0]].concat(),
                _ => break,
            }
        }
        let next = match slot {
            Some((number, ids)) => self.search_slot(cx, number, &ids, begin, &mut found).await?,
            None => None,
        };
        Ok((found.events, next))
    }

    /// Searches one slot; gives the place where the page ended, if it did.
    async fn search_slot(
        &self,
        cx: &mut Call,
        slot: u64,
        ids: &[String],
        begin: Place,
        found: &mut Found,
    ) -> Result<Option<Place>, ApiError> {
        let begins_behind = chunk::slot_end_ms(slot).saturating_sub(1) < self.from_ms;
        if ids.is_empty() || begins_behind || slot > slot_of(self.to_ms.saturating_sub(1)) {
            return Ok(None);
        }
        if found.slots >= SEARCHED_SLOTS || found.searched >= SEARCHED_BYTES {
            return Ok(Some(Place { slot, passed: if slot == begin.slot { begin.passed } else { 0 } }));
        }
        found.slots += 1;
        let mut events: Vec<(Event, &str)> = Vec::new();
        for id in ids {
            events.extend(in_slot(cx, self.group, id, slot).await?.into_iter().map(|event| (event, id.as_str())));
        }
        events.sort_by(|(first, first_id), (second, second_id)| {
            (first.at.time_ms, first_id, first.at).cmp(&(second.at.time_ms, second_id, second.at))
        });
        let skipped = if slot == begin.slot { begin.passed } else { 0 };
        for (passed, (event, id)) in (0_u64..).zip(events) {
            if passed < skipped {
                continue;
            }
            let size = chunk::size(&event.message);
            found.searched = found.searched.saturating_add(size);
            let is_wanted = (self.from_ms..self.to_ms).contains(&event.at.time_ms);
            if !is_wanted || !self.pattern.matches(&event.message) {
                continue;
            }
            let full = !found.events.is_empty() && found.bytes.saturating_add(size) > BYTES;
            if full || found.events.len() >= self.limit {
                return Ok(Some(Place { slot, passed }));
            }
            found.bytes = found.bytes.saturating_add(size);
            found.events.push(self.shown(event, id));
        }
        Ok(None)
    }

    fn shown(&self, event: Event, stream_id: &str) -> FilteredLogEvent {
        FilteredLogEvent {
            log_stream_name: self.streams.get(stream_id).cloned(),
            timestamp: Some(event.at.time_ms),
            event_id: Some(event.at.digits(stream_id)),
            message: Some(event.message),
            ingestion_time: Some(event.ingested_ms),
        }
    }
}
