//! What a call about queries must be allowed to: the stores that the query reads.

use std::collections::BTreeSet;

use plane::{ApiError, Call, Target};
use wire::Value;

use super::query::Query;
use super::{dashboard, event_data_store};

/// The targets of an operation whose input does not name them; `None` for the others.
pub(crate) async fn targets(call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
    let text = |name: &str| input.member(name).and_then(Value::as_str);
    // Another account's stores are read by those whom their policies let in.
    let owner = text("EventDataStoreOwnerAccountId").unwrap_or(&call.account).to_owned();
    let arn = |call: &Call, id: &str| event_data_store::arn(&call.region, &owner, id);
    let action = format!("cloudtrail:{}", call.operation.name);
    let any = vec![Target { action: action.clone(), resource_arn: arn(call, "*") }];
    let stores: Vec<String> = match call.operation.name {
        "StartQuery" => {
            let statement = match (text("QueryStatement"), text("QueryAlias")) {
                (Some(statement), _) => Some(statement.to_owned()),
                // What a widget reads is asked for by its alias as if its statement stood there.
                (None, Some(alias)) => dashboard::widget(call, alias).await?.map(|widget| widget.statement),
                (None, None) => None,
            };
            let named = statement.and_then(|statement| ::lake::stores_of(&statement).ok()).unwrap_or_default();
            named.iter().map(|id| arn(call, id)).collect()
        }
        "CancelQuery" | "DescribeQuery" | "GetQueryResults" => {
            let key = text("QueryId").map(|id| Query::key(&owner, &call.region, id));
            match (key, text("QueryAlias")) {
                (Some(key), _) => call.tx.get::<Query>(&key).await?.map(|query| query.stores).unwrap_or_default(),
                (None, Some(alias)) => {
                    let widget = dashboard::widget(call, alias).await?;
                    let named = widget.and_then(|widget| ::lake::stores_of(&widget.statement).ok()).unwrap_or_default();
                    named.iter().map(|id| arn(call, id)).collect()
                }
                (None, None) => Vec::new(),
            }
        }
        "CreateChannel" => {
            let destinations = match input.member("Destinations") {
                Some(Value::List(items)) => items.as_slice(),
                _ => &[],
            };
            let locations = destinations.iter().filter_map(|destination| destination.member("Location").and_then(Value::as_str));
            let mut targets: Vec<Target> =
                locations.map(|location| Target { action: action.clone(), resource_arn: location.to_owned() }).collect();
            targets.push(Target { action, resource_arn: call.arn("channel/*") });
            return Ok(Some(targets));
        }
        "StartDashboardRefresh" => return dashboard_refresh(call, input).await.map(Some),
        _ => return Ok(None),
    };
    if stores.is_empty() {
        return Ok(Some(any));
    }
    Ok(Some(stores.into_iter().map(|resource_arn| Target { action: action.clone(), resource_arn }).collect()))
}

/// A refresh that someone asks for runs the widgets' queries in their name: the dashboard alone gives nobody what its stores keep from them.
async fn dashboard_refresh(call: &mut Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let reference = input.member("DashboardId").and_then(Value::as_str).unwrap_or("*").to_owned();
    let arn = if reference.starts_with("arn:") { reference.clone() } else { call.arn(&format!("dashboard/{reference}")) };
    let mut targets = vec![Target { action: "cloudtrail:StartDashboardRefresh".to_owned(), resource_arn: arn }];
    let Some(dashboard) = dashboard::found(call, &reference).await? else { return Ok(targets) };
    let statements = dashboard.widgets.iter().filter_map(|widget| ::lake::stores_of(&widget.statement).ok());
    let stores: BTreeSet<String> = statements.flatten().collect();
    targets.extend(stores.iter().map(|id| Target {
        action: "cloudtrail:StartQuery".to_owned(),
        resource_arn: event_data_store::arn(&dashboard.region, &dashboard.account, id),
    }));
    Ok(targets)
}
