//! What insights are found in, and what was found: `ListInsightsMetricData`, `ListInsightsData`.
//!
//! Source: CloudTrail API reference.

use ::trail::Filter;
use api_cloudtrail::{
    InsightsMetricDataType, ListInsightsDataInput, ListInsightsDataOutput, ListInsightsDataType, ListInsightsMetricDataInput,
    ListInsightsMetricDataOutput,
};
use plane::{ApiError, Call};
use wire::Timestamp;

use crate::error::TrailError;
use crate::insight::Observation;
use crate::insight_selector::InsightKind;
use crate::{lookup, trail};

/// Lengths of an interval, in seconds; the last one when the caller does not say.
const PERIODS: [i64; 3] = [60, 300, 3600];
const MINUTE_MS: i64 = 60_000;
/// How far back values reach when the caller does not say.
const HISTORY_MS: i64 = 24 * 3600 * 1000;
/// Values of one answer.
const VALUES: usize = 21_600;
/// Insights of one page.
const PAGE_LENGTH: usize = 50;

fn parameter(text: &str) -> ApiError {
    TrailError::Parameter(text.to_owned()).into()
}

pub(crate) async fn list_insights_metric_data(
    cx: &mut Call,
    input: ListInsightsMetricDataInput,
) -> Result<ListInsightsMetricDataOutput, ApiError> {
    let kind = InsightKind::of(&input.insight_type)?;
    if (kind == InsightKind::ErrorRate) != input.error_code.is_some() {
        return Err(parameter("ErrorCode is required for ApiErrorRateInsight, and not allowed for other insight types."));
    }
    let trail_arn = match &input.trail_name {
        Some(name) => Some(trail::find(cx, name).await?.arn()),
        None => None,
    };
    let period_s = input.period.map_or(3600, i64::from);
    if !PERIODS.contains(&period_s) {
        return Err(parameter("Period must be 60, 300 or 3600."));
    }
    let end_ms = input.end_time.map_or(cx.now.0, |time| time.0);
    let start_ms = input.start_time.map_or(end_ms.saturating_sub(HISTORY_MS), |time| time.0);
    if start_ms > end_ms {
        return Err(parameter("StartTime cannot be after EndTime."));
    }
    let region = cx.region.clone();
    let state = cx.tx.get::<Observation>(&Observation::key(&cx.account.clone(), &region)).await?.unwrap_or_default();
    let series = state
        .series
        .iter()
        .find(|series| series.source == input.event_source && series.name == input.event_name && series.error == input.error_code);
    let period = period_s.saturating_mul(1000);
    let first = start_ms.div_euclid(period);
    let mut values: std::collections::BTreeMap<i64, u32> = std::collections::BTreeMap::new();
    if input.data_type == Some(InsightsMetricDataType::FillWithZeros) {
        let count = usize::try_from(end_ms.div_euclid(period).saturating_sub(first)).unwrap_or_default();
        if count > VALUES {
            return Err(parameter("The time range has too many intervals: choose a longer period."));
        }
        values.extend((first..=end_ms.div_euclid(period)).map(|interval| (interval, 0)));
    }
    if let Some(series) = series {
        // Hours are kept longer than minutes.
        let hourly = series.hours.iter().map(|(hour, count)| (hour.saturating_mul(60 * MINUTE_MS), *count));
        let by_minute = series.minutes.iter().map(|(minute, count)| (minute.saturating_mul(MINUTE_MS), *count));
        let counts: Vec<(i64, u32)> = if period_s == 3600 { hourly.collect() } else { by_minute.collect() };
        for (time_ms, count) in counts {
            if time_ms.div_euclid(period) >= first && time_ms <= end_ms {
                let value = values.entry(time_ms.div_euclid(period)).or_default();
                *value = value.saturating_add(count);
            }
        }
    }
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(VALUES);
    let filter = format!("{} {} {:?} {start_ms} {period_s}", input.event_source, input.event_name, input.error_code);
    let rows: Vec<(i64, u32)> = values.into_iter().collect();
    let page =
        cx.page(rows, |(interval, _)| format!("{interval:020}"), &filter, input.next_token.as_deref(), limit).map_err(crate::of_page)?;
    Ok(ListInsightsMetricDataOutput {
        trail_arn,
        event_source: Some(input.event_source),
        event_name: Some(input.event_name),
        insight_type: Some(input.insight_type),
        error_code: input.error_code,
        timestamps: Some(page.items.iter().map(|(interval, _)| Timestamp(interval.saturating_mul(period))).collect()),
        values: Some(page.items.iter().map(|(_, count)| f64::from(*count)).collect()),
        next_token: page.next,
    })
}

pub(crate) async fn list_insights_data(cx: &mut Call, input: ListInsightsDataInput) -> Result<ListInsightsDataOutput, ApiError> {
    if input.data_type != ListInsightsDataType::InsightsEvents {
        return Err(parameter("The data type must be InsightsEvents."));
    }
    let trail = trail::find(cx, &input.insight_source).await?;
    if trail.insights.is_empty() {
        return Err(parameter("The insight source does not have Insights enabled."));
    }
    let filter = Filter {
        account: cx.account.clone(),
        start_ms: input.start_time.map(|time| time.0),
        end_ms: input.end_time.map(|time| time.0),
        insights: true,
        ..Filter::default()
    };
    cx.plane.flush().await?;
    let position = cx.plane.regions.position(&cx.region).unwrap_or_default();
    let ledger = std::sync::Arc::clone(cx.plane.ledger(position)?);
    let found = ledger.lookup(&filter, None, VALUES).await.map_err(|error| ApiError::internal(&error))?;
    let dimensions = input.dimensions.unwrap_or_default();
    let wanted = |entry: &::trail::Entry| {
        let details = entry.record.insight_details.as_ref();
        dimensions.iter().all(|(key, value)| match key.as_str() {
            "EventId" => entry.record.event_id == *value,
            "EventName" => details.and_then(|details| details.get("eventName")?.as_str()) == Some(value),
            "EventSource" => details.and_then(|details| details.get("eventSource")?.as_str()) == Some(value),
            _ => false,
        })
    };
    let entries: Vec<::trail::Entry> = found.entries.into_iter().filter(wanted).collect();
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let binding = format!("{} {:?} {:?}", input.insight_source, input.start_time, input.end_time);
    // Newest first, so keys count down.
    let rows: Vec<(usize, ::trail::Entry)> = entries.into_iter().enumerate().collect();
    let page =
        cx.page(rows, |(number, _)| format!("{number:010}"), &binding, input.next_token.as_deref(), limit).map_err(crate::of_page)?;
    let events = page.items.iter().map(|(_, entry)| lookup::event(entry)).collect::<Result<_, _>>()?;
    Ok(ListInsightsDataOutput { events: Some(events), next_token: page.next })
}
