//! Insights: unusual rates of calls and errors, found in the events as they come.
//!
//! Calls are counted by operation and minute, errors by operation, code and minute. When a minute is over it is compared with the average of the
//! seven days before; the first unusual one starts an insight, the first usual one after it ends it. Both are events of their own.
//!
//! Source of the events' form: CloudTrail User Guide, "CloudTrail record contents for Insights events for trails".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ::trail::{Entry, Event};
use plane::audit::InsightEvent;
use plane::transaction::Abort;
use plane::{ApiError, Key, Plane, Record, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use store::{Revision, Table};

use crate::insight_selector::InsightKind;
use crate::trail::Trail;

const MINUTE_MS: i64 = 60_000;
const HOUR_MINUTES: i64 = 60;
/// The average is that of so many minutes before.
const BASELINE_MINUTES: i64 = 7 * 24 * 60;
/// Minutes that are kept one by one, for metrics and for the rest of the hour.
const MINUTES_KEPT: i64 = 24 * 60;
/// Hours that are kept.
const HOURS_KEPT: i64 = 28 * 24;
/// Operations that are watched in one account and region; of more, those that were called last.
const SERIES_LIMIT: usize = 500;
/// Rows of the log in one round.
const ROUND_ROWS: u64 = 50_000;
const ROWS: u32 = 256;
/// A rate below this is never unusual.
const LEAST_COUNT: u32 = 10;
/// How many times the average an unusual rate is.
const LEAST_RATIO: f64 = 3.0;
/// Standard deviations (of a Poisson process) above the average.
const DEVIATIONS: f64 = 4.0;
/// Nothing is judged before so many minutes were seen.
const LEAST_OBSERVED: i64 = 60;
/// Callers, programs and codes that an insight names, each.
const ATTRIBUTIONS: usize = 5;

/// What is known of one account's calls in one region.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Observation {
    /// The log is counted up to here.
    cursor: u64,
    /// The first minute that was watched.
    since: i64,
    /// Minutes up to here are judged.
    closed: i64,
    pub series: Vec<Series>,
}

impl Record for Observation {
    const TABLE: Table = Table("cloudtrail-insight");
    const SCOPE: Scope = Scope::Region;
}

impl Observation {
    pub(crate) fn key(account: &str, region: &str) -> Key {
        Key::new(account, region).last("insight")
    }
}

/// One operation, or one of its errors.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Series {
    pub source: String,
    pub name: String,
    /// `None`: calls are counted.
    pub error: Option<String>,
    pub minutes: BTreeMap<i64, u32>,
    pub hours: BTreeMap<i64, u32>,
    /// Who called in the minutes that are not judged yet: attribute, value, count.
    #[serde(default)]
    who: BTreeMap<i64, Callers>,
    #[serde(default)]
    open: Option<Open>,
}

type Callers = BTreeMap<String, BTreeMap<String, u32>>;

/// An insight that goes on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Open {
    start: i64,
    shared_event_id: String,
    baseline: f64,
    baseline_minutes: i64,
    count: u32,
    minutes: u32,
    who: Callers,
}

impl Series {
    fn add(&mut self, minute: i64, event: &Event) {
        let count = self.minutes.entry(minute).or_default();
        *count = count.saturating_add(1);
        let count = self.hours.entry(minute.div_euclid(HOUR_MINUTES)).or_default();
        *count = count.saturating_add(1);
        let callers = self.who.entry(minute).or_default();
        let attributes = [
            ("userIdentityArn", event.user_identity.arn.as_deref()),
            ("userAgent", Some(event.user_agent.as_str())),
            ("errorCode", Some(event.error_code.as_deref().unwrap_or("null"))),
        ];
        for (attribute, value) in attributes {
            let Some(value) = value else { continue };
            let count = callers.entry(attribute.to_owned()).or_default().entry(value.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Average per minute before `minute`, and of how many minutes.
    fn baseline(&self, minute: i64, since: i64) -> (f64, i64) {
        let hour = minute.div_euclid(HOUR_MINUTES);
        let first = minute.saturating_sub(BASELINE_MINUTES).max(since);
        let whole = self.hours.range(first.div_euclid(HOUR_MINUTES)..hour).map(|(_, count)| *count);
        let begun = self.minutes.range(hour.saturating_mul(HOUR_MINUTES)..minute).map(|(_, count)| *count);
        let total = whole.chain(begun).fold(0_u32, u32::saturating_add);
        let minutes = minute.saturating_sub(first).max(1);
        (f64::from(total) / f64::from(i32::try_from(minutes).unwrap_or(i32::MAX)), minutes)
    }

    fn forget(&mut self, now: i64) {
        self.minutes = self.minutes.split_off(&now.saturating_sub(MINUTES_KEPT));
        self.hours = self.hours.split_off(&now.div_euclid(HOUR_MINUTES).saturating_sub(HOURS_KEPT));
    }
}

fn is_unusual(count: u32, baseline: f64) -> bool {
    let rate = f64::from(count);
    count >= LEAST_COUNT && rate > baseline * LEAST_RATIO && rate > baseline + DEVIATIONS * baseline.sqrt()
}

/// The beginning or the end of an insight.
#[derive(Clone, Debug, PartialEq)]
struct Change {
    minute: i64,
    shared_event_id: String,
    details: Json,
}

impl Observation {
    /// Counts an event for what is watched.
    fn count(&mut self, event: &Event, minute: i64, watched: &Watched) {
        let of_category = |kind: InsightKind| watched.contains(&(kind, event.management_event));
        // Of management events only those that change something have a call rate.
        if of_category(InsightKind::CallRate) && !(event.management_event && event.read_only) {
            self.add(event, None, minute);
        }
        if of_category(InsightKind::ErrorRate)
            && let Some(code) = &event.error_code
        {
            self.add(event, Some(code), minute);
        }
    }

    /// Adds the event to its series, a new one if need be.
    fn add(&mut self, event: &Event, error: Option<&String>, minute: i64) {
        let is_it =
            |series: &&mut Series| series.source == event.event_source && series.name == event.event_name && series.error.as_ref() == error;
        if let Some(series) = self.series.iter_mut().find(is_it) {
            series.add(minute, event);
            return;
        }
        if self.series.len() >= SERIES_LIMIT {
            let oldest = self.series.iter().enumerate().min_by_key(|(_, series)| series.minutes.keys().next_back().copied());
            if let Some((oldest, _)) = oldest {
                self.series.remove(oldest);
            }
        }
        let mut series =
            Series { source: event.event_source.clone(), name: event.event_name.clone(), error: error.cloned(), ..Series::default() };
        series.add(minute, event);
        self.series.push(series);
    }

    /// Judges the minutes before `now`.
    fn close(&mut self, now: i64, new_id: &mut dyn FnMut() -> Result<String, ApiError>) -> Result<Vec<Change>, ApiError> {
        let mut changes = Vec::new();
        let first = self.closed.saturating_add(1).max(now.saturating_sub(MINUTES_KEPT));
        let since = self.since;
        for series in &mut self.series {
            // Minutes in which nothing happened matter only while an insight is open, and then the first one ends it.
            let mut minutes: BTreeSet<i64> = series.minutes.range(first..now).map(|(minute, _)| *minute).collect();
            minutes.extend(minutes.clone().into_iter().map(|minute| minute.saturating_add(1)).filter(|minute| *minute < now));
            if series.open.is_some() && first < now {
                minutes.insert(first);
            }
            for minute in minutes {
                series.judge(minute, since, new_id, &mut changes)?;
            }
            series.who = series.who.split_off(&now);
            series.forget(now);
        }
        self.closed = now.saturating_sub(1).max(self.closed);
        changes.sort_by_key(|change| change.minute);
        Ok(changes)
    }
}

impl Series {
    fn judge(
        &mut self,
        minute: i64,
        since: i64,
        new_id: &mut dyn FnMut() -> Result<String, ApiError>,
        changes: &mut Vec<Change>,
    ) -> Result<(), ApiError> {
        let count = self.minutes.get(&minute).copied().unwrap_or_default();
        let who = self.who.remove(&minute).unwrap_or_default();
        if let Some(mut open) = self.open.take() {
            if is_unusual(count, open.baseline) {
                open.take(count, who);
                self.open = Some(open);
            } else {
                changes.push(self.change("End", minute, &open));
            }
            return Ok(());
        }
        let (baseline, baseline_minutes) = self.baseline(minute, since);
        if minute.saturating_sub(since) < LEAST_OBSERVED || !is_unusual(count, baseline) {
            return Ok(());
        }
        let mut open = Open { start: minute, shared_event_id: new_id()?, baseline, baseline_minutes, ..Open::default() };
        open.take(count, who);
        changes.push(self.change("Start", minute, &open));
        self.open = Some(open);
        Ok(())
    }

    fn change(&self, state: &str, minute: i64, open: &Open) -> Change {
        let kind = if self.error.is_some() { InsightKind::ErrorRate } else { InsightKind::CallRate };
        let average = f64::from(open.count) / f64::from(open.minutes.max(1));
        let mut statistics = json!({
            "baseline": { "average": open.baseline },
            "insight": { "average": average },
            "insightDuration": open.minutes,
            "baselineDuration": open.baseline_minutes,
        });
        if state == "Start"
            && let Some(members) = statistics.as_object_mut()
        {
            members.insert("insightDuration".to_owned(), json!(1));
        }
        let mut details = json!({
            "state": state,
            "eventSource": self.source,
            "eventName": self.name,
            "insightType": kind.name(),
            "insightContext": { "statistics": statistics, "attributions": open.attributions() },
        });
        if let (Some(code), Some(members)) = (&self.error, details.as_object_mut()) {
            members.insert("errorCode".to_owned(), json!(code));
        }
        Change { minute, shared_event_id: open.shared_event_id.clone(), details }
    }
}

impl Open {
    fn take(&mut self, count: u32, who: Callers) {
        self.count = self.count.saturating_add(count);
        self.minutes = self.minutes.saturating_add(1);
        for (attribute, values) in who {
            let known = self.who.entry(attribute).or_default();
            for (value, count) in values {
                let total = known.entry(value).or_default();
                *total = total.saturating_add(count);
            }
        }
    }

    fn attributions(&self) -> Vec<Json> {
        let minutes = f64::from(self.minutes.max(1));
        self.who
            .iter()
            .map(|(attribute, values)| {
                let mut values: Vec<(&String, &u32)> = values.iter().collect();
                values.sort_by(|left, right| right.1.cmp(left.1).then(left.0.cmp(right.0)));
                let top = values.into_iter().take(ATTRIBUTIONS);
                let insight: Vec<Json> =
                    top.map(|(value, count)| json!({ "value": value, "average": f64::from(*count) / minutes })).collect();
                json!({ "attribute": attribute, "insight": insight, "baseline": [] })
            })
            .collect()
    }
}

/// Kinds of insight, each with whether of management (else data) events.
type Watched = BTreeSet<(InsightKind, bool)>;

/// What the trails that log in this region want, by account.
fn watched(trails: &[Trail], region: &str) -> BTreeMap<String, Watched> {
    let mut wanted: BTreeMap<String, Watched> = BTreeMap::new();
    for trail in trails.iter().filter(|trail| trail.covers(region) && trail.is_logging()) {
        for selector in &trail.insights {
            let of_account = wanted.entry(trail.account.clone()).or_default();
            of_account.extend(selector.management.then_some((selector.kind, true)));
            of_account.extend(selector.data.then_some((selector.kind, false)));
        }
    }
    wanted
}

/// Counts what is new in the log of a region and judges the minutes that are over.
pub(crate) async fn observe(plane: &Arc<Plane>, position: usize, trails: &[Trail]) -> Result<(), ApiError> {
    let region = plane.regions.at(position)?.name.clone();
    for (account, watched) in watched(trails, &region) {
        // Somebody else was faster: the next round counts on.
        observe_account(plane, position, (&account, &region), &watched).await?;
    }
    Ok(())
}

async fn observe_account(plane: &Arc<Plane>, position: usize, (account, region): (&str, &str), watched: &Watched) -> Result<(), ApiError> {
    let store = Arc::clone(&plane.regions.at(position)?.store);
    let head = store.head().borrow().0;
    let now_ms = plane.clock.now_ms();
    let now = now_ms.div_euclid(MINUTE_MS);
    let key = Observation::key(account, region);
    let mut tx = plane.transaction(position);
    let before = tx.get::<Observation>(&key).await?;
    let mut state =
        before.unwrap_or_else(|| Observation { cursor: head, since: now, closed: now.saturating_sub(1), ..Observation::default() });
    let sealer = plane.sealer();
    let end = head.min(state.cursor.saturating_add(ROUND_ROWS));
    while state.cursor < end {
        let rows = store.log_after(Revision(state.cursor), ROWS).await?;
        let Some(last) = rows.last() else { break };
        let last = last.revision.0;
        for bytes in rows.iter().flat_map(|row| &row.entries) {
            let header = Entry::header(bytes).map_err(|error| ApiError::internal(&error))?;
            if header.account != account {
                continue;
            }
            let event = Entry::open(bytes, &sealer).map_err(|error| ApiError::internal(&error))?.record;
            if event.event_category != "Insight" && event.event_type == "AwsApiCall" {
                state.count(&event, header.time_ms.div_euclid(MINUTE_MS), watched);
            }
        }
        state.cursor = last;
    }
    // What is still unread may belong to minutes that look over.
    let changes = if state.cursor >= head { state.close(now, &mut || plane.random_uuid())? } else { Vec::new() };
    let mut entries = Vec::with_capacity(changes.len());
    for change in changes {
        entries.push(plane.insight_event(InsightEvent {
            account: account.to_owned(),
            region: region.to_owned(),
            now_ms: change.minute.saturating_mul(MINUTE_MS).min(now_ms),
            shared_event_id: change.shared_event_id,
            details: change.details,
        })?);
    }
    tx.put(&key, &state)?;
    match tx.commit(entries).await {
        Ok(()) | Err(Abort::Conflict) => Ok(()),
        Err(Abort::Failed(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, read_only: bool, error: Option<&str>) -> Event {
        serde_json::from_value(json!({
            "eventVersion": "1.11", "userIdentity": { "type": "IAMUser", "arn": "arn:aws:iam::1:user/ana" }, "eventTime": "2026-11-23T00:00:00Z",
            "eventSource": "iam.amazonaws.com", "eventName": name, "awsRegion": "us-east-1", "sourceIPAddress": "127.0.0.1", "userAgent": "cli",
            "requestParameters": null, "responseElements": null, "eventID": "e", "readOnly": read_only, "errorCode": error,
            "eventType": "AwsApiCall", "managementEvent": true, "recipientAccountId": "111111111111", "eventCategory": "Management",
        }))
        .unwrap()
    }

    /// Counts per minute in, changes out.
    fn run(counts: &[(i64, u32)], until: i64, event: &Event) -> Vec<Json> {
        let watched = Watched::from([(InsightKind::CallRate, true), (InsightKind::ErrorRate, true)]);
        let mut state = Observation { since: 1000, closed: 999, ..Observation::default() };
        let mut found = Vec::new();
        let mut number = 0;
        for now in 1000..=until {
            for (_, count) in counts.iter().filter(|(minute, _)| *minute == now) {
                (0..*count).for_each(|_| state.count(event, now, &watched));
            }
            let changes = state.close(now, &mut || {
                number += 1;
                Ok(format!("id-{number}"))
            });
            found.extend(changes.unwrap().into_iter().map(|change| json!([change.minute, change.shared_event_id, change.details])));
        }
        found
    }

    #[test]
    fn a_burst_starts_an_insight_and_its_end_ends_it() {
        let steady: Vec<(i64, u32)> = (1000..1200).map(|minute| (minute, 2)).chain([(1200, 60), (1201, 80)]).chain([(1202, 2)]).collect();
        let found = run(&steady, 1210, &event("CreateUser", false, None));
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((&found[0][0], &found[0][2]["state"]), (&json!(1200), &json!("Start")));
        assert_eq!((&found[1][0], &found[1][2]["state"]), (&json!(1202), &json!("End")));
        assert_eq!(found[0][1], found[1][1], "both share an id");
        let details = &found[1][2];
        assert_eq!(details["insightType"], "ApiCallRateInsight");
        let statistics = &details["insightContext"]["statistics"];
        assert_eq!(statistics["insight"]["average"], 70.0);
        assert_eq!(statistics["insightDuration"], 2);
        assert!((statistics["baseline"]["average"].as_f64().unwrap() - 2.0).abs() < 0.2, "{statistics}");
        assert_eq!(details["insightContext"]["attributions"][2]["insight"][0]["value"], "arn:aws:iam::1:user/ana");
    }

    #[test]
    fn usual_rates_reads_and_the_first_hour_are_silent() {
        let burst = [(1100, 100)];
        assert_eq!(run(&burst, 1110, &event("GetUser", true, None)), Vec::<Json>::new());
        assert_eq!(run(&[(1010, 100)], 1110, &event("CreateUser", false, None)), Vec::<Json>::new());
        let steady: Vec<(i64, u32)> = (1000..1300).map(|minute| (minute, 30)).collect();
        // The first judged minute has been steady for an hour.
        assert_eq!(run(&steady, 1310, &event("CreateUser", false, None)), Vec::<Json>::new());
        assert_eq!(run(&[(1100, 9)], 1110, &event("CreateUser", false, None)), Vec::<Json>::new());
    }

    #[test]
    fn errors_of_reads_are_watched_by_their_code() {
        let found = run(&[(1100, 50)], 1110, &event("GetUser", true, Some("AccessDenied")));
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0][2]["insightType"], "ApiErrorRateInsight");
        assert_eq!(found[0][2]["errorCode"], "AccessDenied");
    }
}
