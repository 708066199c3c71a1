//! `GetTrailStatus`: what delivery in this region has come to.

use api_cloudtrail::{GetTrailStatusInput, GetTrailStatusOutput};
use plane::clock::iso8601_s;
use plane::{ApiError, Call};
use wire::Timestamp;

use crate::delivery::Delivery;
use crate::log_group_delivery::LogGroupDelivery;
use crate::trail;

pub(crate) async fn get_trail_status(cx: &mut Call, input: GetTrailStatusInput) -> Result<GetTrailStatusOutput, ApiError> {
    let trail = trail::find(cx, &input.name).await?;
    let region = cx.region.clone();
    let delivery = cx.tx.get::<Delivery>(&Delivery::key(&region, &trail.id)).await?.unwrap_or_default();
    let logs_key = LogGroupDelivery::status_key(&region, &trail.id, &trail.account);
    let logs = cx.tx.get::<LogGroupDelivery>(&logs_key).await?.filter(|_| trail.log_group.is_some()).unwrap_or_default();
    let last = trail.periods.last();
    let started_ms = last.map(|period| period.start_ms);
    // The latest stop, also of an earlier period.
    let stopped_ms = trail.periods.iter().rev().find_map(|period| period.stop_ms);
    let text = |time_ms: Option<i64>| time_ms.map(iso8601_s).unwrap_or_default();
    Ok(GetTrailStatusOutput {
        is_logging: Some(trail.is_logging()),
        latest_delivery_error: delivery.error.clone(),
        latest_delivery_time: delivery.delivered_ms.map(Timestamp),
        start_logging_time: started_ms.map(Timestamp),
        stop_logging_time: stopped_ms.map(Timestamp),
        latest_digest_delivery_time: delivery.digests.delivered_ms.map(Timestamp),
        latest_digest_delivery_error: delivery.digests.error.clone(),
        latest_cloud_watch_logs_delivery_time: logs.delivered_ms.map(Timestamp),
        latest_cloud_watch_logs_delivery_error: logs.error,
        latest_delivery_attempt_time: Some(text(delivery.attempt_ms)),
        latest_delivery_attempt_succeeded: Some(text(delivery.delivered_ms)),
        latest_notification_error: delivery.notices.error.clone(),
        latest_notification_time: delivery.notices.notified_ms.map(Timestamp),
        latest_notification_attempt_time: Some(text(delivery.notices.attempt_ms)),
        latest_notification_attempt_succeeded: Some(text(delivery.notices.notified_ms)),
        time_logging_started: Some(text(started_ms)),
        time_logging_stopped: Some(text(stopped_ms)),
    })
}
