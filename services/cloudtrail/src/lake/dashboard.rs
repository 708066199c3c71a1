//! A dashboard: widgets, each a query, and when they are refreshed.

use std::collections::BTreeMap;

use api_cloudtrail::{
    RefreshSchedule, RefreshScheduleFrequency, RefreshScheduleFrequencyUnit, RefreshScheduleStatus, Widget as WidgetDescription,
};
use plane::transaction::SCAN_LIMIT;
use plane::{ApiError, Call, Key, Record, Scope, Transaction};
use serde::{Deserialize, Serialize};
use store::Table;

use super::error::LakeError;

/// Source: CloudTrail User Guide, "Quotas in AWS CloudTrail".
pub(crate) const DASHBOARDS_LIMIT: usize = 100;
pub(crate) const WIDGETS_LIMIT: usize = 10;
const HOUR_MS: i64 = 3_600_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Widget {
    pub alias: String,
    pub statement: String,
    pub parameters: Vec<String>,
    pub view: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Unit {
    Hours,
    Days,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Schedule {
    pub unit: Unit,
    pub value: i32,
    pub enabled: bool,
    /// `HH:MM`, for days.
    pub time_of_day: Option<String>,
}

impl Schedule {
    /// Time from one refresh to the next.
    pub(crate) fn period_ms(&self) -> i64 {
        i64::from(self.value) * if self.unit == Unit::Hours { HOUR_MS } else { 24 * HOUR_MS }
    }

    pub(crate) fn of_api(&self) -> RefreshSchedule {
        RefreshSchedule {
            frequency: Some(RefreshScheduleFrequency {
                unit: Some(if self.unit == Unit::Hours { RefreshScheduleFrequencyUnit::Hours } else { RefreshScheduleFrequencyUnit::Days }),
                value: Some(self.value),
            }),
            status: Some(if self.enabled { RefreshScheduleStatus::Enabled } else { RefreshScheduleStatus::Disabled }),
            time_of_day: self.time_of_day.clone(),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Dashboard {
    pub name: String,
    pub account: String,
    pub region: String,
    pub widgets: Vec<Widget>,
    #[serde(default)]
    pub schedule: Option<Schedule>,
    pub termination_protection: bool,
    pub created_ms: i64,
    pub updated_ms: i64,
    #[serde(default)]
    pub refresh_id: Option<String>,
    #[serde(default)]
    pub refreshed_ms: Option<i64>,
    #[serde(default)]
    pub failure: Option<String>,
    #[serde(default)]
    pub tags: Vec<(String, String)>,
}

impl Record for Dashboard {
    const TABLE: Table = Table("cloudtrail-lake-dashboard");
    const SCOPE: Scope = Scope::Region;
}

impl Dashboard {
    pub(crate) fn key(account: &str, region: &str, name: &str) -> Key {
        Key::new(account, region).last(name)
    }

    pub(crate) fn arn(&self) -> String {
        format!("arn:{}:cloudtrail:{}:{}:dashboard/{}", plane::PARTITION, self.region, self.account, self.name)
    }

    pub(crate) fn put(&self, tx: &mut Transaction) -> Result<(), ApiError> {
        tx.put(&Self::key(&self.account, &self.region, &self.name), self)
    }

    pub(crate) fn shown_widgets(&self) -> Vec<WidgetDescription> {
        let shown = |widget: &Widget| WidgetDescription {
            query_alias: Some(widget.alias.clone()),
            query_statement: Some(widget.statement.clone()),
            query_parameters: (!widget.parameters.is_empty()).then(|| widget.parameters.clone()),
            view_properties: Some(widget.view.clone()),
        };
        self.widgets.iter().map(shown).collect()
    }
}

pub(crate) async fn of_account(tx: &mut Transaction, account: &str, region: &str) -> Result<Vec<Dashboard>, ApiError> {
    let rows = tx.scan::<Dashboard>(&Key::new(account, region), None, SCAN_LIMIT).await?;
    Ok(rows.into_iter().map(|(_, dashboard)| dashboard).collect())
}

/// The caller's dashboard, by name or ARN.
pub(crate) async fn find(cx: &mut Call, reference: &str) -> Result<Dashboard, ApiError> {
    found(cx, reference).await?.ok_or_else(|| LakeError::DashboardMissing(reference.to_owned()).into())
}

/// The same, where a missing one is no error.
pub(crate) async fn found(cx: &mut Call, reference: &str) -> Result<Option<Dashboard>, ApiError> {
    let own = format!("arn:{}:cloudtrail:{}:{}:dashboard/", plane::PARTITION, cx.region, cx.account);
    let name = if reference.starts_with("arn:") { reference.strip_prefix(&own) } else { Some(reference) };
    let Some(name) = name else { return Ok(None) };
    let key = Dashboard::key(&cx.account, &cx.region, name);
    cx.tx.get::<Dashboard>(&key).await
}

/// The widget of an alias, in any dashboard of the caller.
pub(crate) async fn widget(cx: &mut Call, alias: &str) -> Result<Option<Widget>, ApiError> {
    let dashboards = of_account(&mut cx.tx, &cx.account.clone(), &cx.region.clone()).await?;
    Ok(dashboards.into_iter().flat_map(|dashboard| dashboard.widgets).find(|widget| widget.alias == alias))
}
