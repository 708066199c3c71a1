//! Refreshing dashboards that are due, and the values of their parameters.

use std::collections::BTreeMap;
use std::sync::Arc;

use plane::clock::iso8601_s;
use plane::{ApiError, Plane};
use policy::MapContext;

use super::dashboard::{self, Dashboard};
use super::query::{Query, State};
use super::{query_operations, query_run, round};
use crate::delivery::settle;
use crate::destination;

/// What `$StartTime$` means when nobody says: a day ago.
const RANGE_MS: i64 = 24 * 3_600_000;
const DIGITS: &[u8] = b"0123456789";

/// The values of a widget's parameters: given ones, else those that time gives, else themselves.
pub(crate) fn values(parameters: &[String], given: Option<&BTreeMap<String, String>>, now_ms: i64) -> Vec<String> {
    let value = |parameter: &String| {
        if let Some(value) = given.and_then(|given| given.get(parameter)) {
            return value.clone();
        }
        match parameter.as_str() {
            "$StartTime$" => iso8601_s(now_ms.saturating_sub(RANGE_MS)),
            "$EndTime$" => iso8601_s(now_ms),
            "$Period$" => "hour".to_owned(),
            other => other.to_owned(),
        }
    };
    parameters.iter().map(value).collect()
}

/// Refreshes what is due in the region.
pub(crate) async fn refresh_due(plane: &Arc<Plane>, position: usize, region: &str) -> Result<(), ApiError> {
    let now_ms = plane.clock.now_ms();
    for account in round::accounts(plane, position, region).await? {
        let mut tx = plane.transaction(position);
        for dashboard in dashboard::of_account(&mut tx, &account, region).await? {
            if is_due(&dashboard, now_ms) {
                refresh(plane, position, dashboard, now_ms).await?;
            }
        }
    }
    Ok(())
}

fn is_due(dashboard: &Dashboard, now_ms: i64) -> bool {
    let last = dashboard.refreshed_ms.unwrap_or(dashboard.created_ms);
    dashboard.schedule.as_ref().is_some_and(|schedule| schedule.enabled && last.saturating_add(schedule.period_ms()) <= now_ms)
}

/// Why CloudTrail may not do something for the dashboard by itself. What the owner asks for is the owner's right; what a schedule asks for needs
/// policies of the dashboard and of its stores that let `cloudtrail.amazonaws.com` in.
///
/// Source: CloudTrail User Guide, "Resource-based policy examples for dashboards".
async fn refusal(plane: &Arc<Plane>, dashboard: &Dashboard, operation: &str, arn: &str) -> Result<Option<String>, ApiError> {
    let caller = destination::caller(&dashboard.arn(), &dashboard.account);
    let action = format!("cloudtrail:{operation}");
    let target = (action.as_str(), arn);
    let is_allowed = plane.is_service_allowed(&caller, &dashboard.region, ("cloudtrail", operation), target, &MapContext::new()).await?;
    Ok((!is_allowed).then(|| format!("The resource policy of {arn} does not let CloudTrail call {action}.")))
}

async fn refused_store(plane: &Arc<Plane>, dashboard: &Dashboard, stores: &[String]) -> Result<Option<String>, ApiError> {
    for store in stores {
        if let Some(refusal) = refusal(plane, dashboard, "StartQuery", store).await? {
            return Ok(Some(refusal));
        }
    }
    Ok(None)
}

async fn refresh(plane: &Arc<Plane>, position: usize, mut dashboard: Dashboard, now_ms: i64) -> Result<(), ApiError> {
    let mut random = [0_u8; 19];
    plane.randomness.fill(&mut random).map_err(|error| ApiError::internal(&error))?;
    let refresh_id: String = random.iter().filter_map(|byte| DIGITS.get(usize::from(byte % 10)).map(|digit| char::from(*digit))).collect();
    let mut tx = plane.transaction(position);
    let mut started = Vec::new();
    dashboard.failure = refusal(plane, &dashboard, "StartDashboardRefresh", &dashboard.arn()).await?;
    let widgets = if dashboard.failure.is_none() { dashboard.widgets.as_slice() } else { &[] };
    for widget in widgets {
        let parameters = values(&widget.parameters, None, now_ms);
        let stores =
            match query_operations::check_for(&mut tx, &dashboard.account, &dashboard.region, &widget.statement, &parameters, now_ms).await
            {
                Ok(stores) => stores,
                Err(error) if error.internal => return Err(error),
                Err(error) => {
                    dashboard.failure = Some(error.message);
                    continue;
                }
            };
        if let Some(failure) = refused_store(plane, &dashboard, &stores).await? {
            dashboard.failure = Some(failure);
            continue;
        }
        let query = Query {
            state: State::Queued,
            alias: Some(widget.alias.clone()),
            refresh_id: Some(refresh_id.clone()),
            ..Query::new(plane.random_uuid()?, &dashboard.account, &dashboard.region, widget.statement.clone(), stores, now_ms)
        };
        let query = Query { parameters, ..query };
        query.put(&mut tx)?;
        started.push(query.id);
    }
    dashboard.refresh_id = Some(refresh_id);
    dashboard.refreshed_ms = Some(now_ms);
    dashboard.put(&mut tx)?;
    if settle(tx).await? {
        for id in started {
            query_run::start(plane, &dashboard.region, &dashboard.account, &id);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_values() {
        let parameters = ["$StartTime$".to_owned(), "$EndTime$".to_owned(), "x".to_owned()];
        let given = BTreeMap::from([("$EndTime$".to_owned(), "2026-01-01".to_owned())]);
        assert_eq!(values(&parameters, Some(&given), 86_400_000), ["1970-01-01T00:00:00Z", "2026-01-01", "x"]);
    }
}
