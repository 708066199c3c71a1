//! Making, changing, reading, deleting and refreshing dashboards.

use api_cloudtrail::{
    CreateDashboardInput, CreateDashboardOutput, DashboardDetail, DashboardStatus, DashboardType, DeleteDashboardInput,
    DeleteDashboardOutput, GetDashboardInput, GetDashboardOutput, ListDashboardsInput, ListDashboardsOutput, RefreshSchedule,
    RefreshScheduleFrequencyUnit, RefreshScheduleStatus, RequestWidget, StartDashboardRefreshInput, StartDashboardRefreshOutput, Tag,
    UpdateDashboardInput, UpdateDashboardOutput,
};
use plane::{ApiError, Call};
use wire::Timestamp;

use super::dashboard::{self, DASHBOARDS_LIMIT, Dashboard, Schedule, Unit, WIDGETS_LIMIT, Widget};
use super::error::LakeError;
use super::{dashboard_refresh, query_operations, query_run, resource_policy, round};
use crate::tag;

const PAGE_LENGTH: usize = 100;

fn schedule(schedule: RefreshSchedule) -> Result<Schedule, ApiError> {
    let invalid = |text: &str| ApiError::new("ValidationException", text);
    let frequency = schedule.frequency.ok_or_else(|| invalid("A refresh schedule needs a frequency."))?;
    let unit = match frequency.unit {
        Some(RefreshScheduleFrequencyUnit::Hours) => Unit::Hours,
        Some(RefreshScheduleFrequencyUnit::Days) => Unit::Days,
        _ => return Err(invalid("The unit of a refresh schedule is HOURS or DAYS.")),
    };
    let value = frequency.value.unwrap_or_default();
    // Source: API reference, `RefreshScheduleFrequency`: 1, 6, 12 or 24 hours; one day.
    let allowed: &[i32] = if unit == Unit::Hours { &[1, 6, 12, 24] } else { &[1] };
    if !allowed.contains(&value) {
        return Err(invalid("A dashboard is refreshed every 1, 6, 12 or 24 hours, or every day."));
    }
    let enabled = !matches!(schedule.status, Some(RefreshScheduleStatus::Disabled));
    Ok(Schedule { unit, value, enabled, time_of_day: schedule.time_of_day })
}

async fn widgets(cx: &mut Call, wanted: Vec<RequestWidget>) -> Result<Vec<Widget>, ApiError> {
    if wanted.len() > WIDGETS_LIMIT {
        return Err(LakeError::Quota(format!("A dashboard has at most {WIDGETS_LIMIT} widgets.")).into());
    }
    let mut made = Vec::with_capacity(wanted.len());
    for widget in wanted {
        let parameters = widget.query_parameters.unwrap_or_default();
        let values = dashboard_refresh::values(&parameters, None, cx.now.0);
        query_operations::check(cx, &widget.query_statement, &values).await?;
        let alias = format!("widget-{}", cx.random_id(b"abcdefghijklmnopqrstuvwxyz0123456789", 12)?);
        made.push(Widget { alias, statement: widget.query_statement, parameters, view: widget.view_properties });
    }
    Ok(made)
}

pub(crate) async fn create_dashboard(cx: &mut Call, input: CreateDashboardInput) -> Result<CreateDashboardOutput, ApiError> {
    let existing = dashboard::of_account(&mut cx.tx, &cx.account.clone(), &cx.region.clone()).await?;
    if existing.iter().any(|dashboard| dashboard.name == input.name) {
        return Err(LakeError::Conflict(format!("A dashboard with the name {} already exists.", input.name)).into());
    }
    if existing.len() >= DASHBOARDS_LIMIT {
        return Err(LakeError::Quota(format!("The account has the maximum number of dashboards, {DASHBOARDS_LIMIT}.")).into());
    }
    if input.name.starts_with("AWSCloudTrail") {
        return Err(ApiError::new("ValidationException", "Names of managed dashboards cannot be given."));
    }
    let tags = tag::checked(input.tags_list.unwrap_or_default())?;
    let schedule = input.refresh_schedule.map(schedule).transpose()?;
    let widgets = widgets(cx, input.widgets.unwrap_or_default()).await?;
    let dashboard = Dashboard {
        name: input.name,
        account: cx.account.clone(),
        region: cx.region.clone(),
        widgets,
        schedule,
        termination_protection: input.termination_protection_enabled.unwrap_or(false),
        created_ms: cx.now.0,
        updated_ms: cx.now.0,
        refresh_id: None,
        refreshed_ms: None,
        failure: None,
        tags,
    };
    dashboard.put(&mut cx.tx)?;
    round::note_account(cx).await?;
    cx.touch("AWS::CloudTrail::Dashboard", &dashboard.arn(), &dashboard.account);
    Ok(CreateDashboardOutput {
        dashboard_arn: Some(dashboard.arn()),
        type_: Some(DashboardType::Custom),
        widgets: Some(dashboard.shown_widgets()),
        tags_list: Some(dashboard.tags.iter().map(|(key, value)| Tag { key: key.clone(), value: Some(value.clone()) }).collect()),
        refresh_schedule: dashboard.schedule.as_ref().map(Schedule::of_api),
        termination_protection_enabled: Some(dashboard.termination_protection),
        name: Some(dashboard.name),
    })
}

pub(crate) async fn update_dashboard(cx: &mut Call, input: UpdateDashboardInput) -> Result<UpdateDashboardOutput, ApiError> {
    let mut dashboard = dashboard::find(cx, &input.dashboard_id).await?;
    if let Some(wanted) = input.widgets {
        dashboard.widgets = widgets(cx, wanted).await?;
    }
    if let Some(wanted) = input.refresh_schedule {
        dashboard.schedule = Some(schedule(wanted)?);
    }
    if let Some(protection) = input.termination_protection_enabled {
        dashboard.termination_protection = protection;
    }
    dashboard.updated_ms = cx.now.0;
    dashboard.put(&mut cx.tx)?;
    Ok(UpdateDashboardOutput {
        dashboard_arn: Some(dashboard.arn()),
        type_: Some(DashboardType::Custom),
        widgets: Some(dashboard.shown_widgets()),
        refresh_schedule: dashboard.schedule.as_ref().map(Schedule::of_api),
        termination_protection_enabled: Some(dashboard.termination_protection),
        created_timestamp: Some(Timestamp(dashboard.created_ms)),
        updated_timestamp: Some(Timestamp(dashboard.updated_ms)),
        name: Some(dashboard.name),
    })
}

pub(crate) async fn get_dashboard(cx: &mut Call, input: GetDashboardInput) -> Result<GetDashboardOutput, ApiError> {
    let dashboard = dashboard::find(cx, &input.dashboard_id).await?;
    let status = if dashboard.updated_ms > dashboard.created_ms { DashboardStatus::Updated } else { DashboardStatus::Created };
    Ok(GetDashboardOutput {
        dashboard_arn: Some(dashboard.arn()),
        type_: Some(DashboardType::Custom),
        status: Some(status),
        widgets: Some(dashboard.shown_widgets()),
        refresh_schedule: dashboard.schedule.as_ref().map(Schedule::of_api),
        created_timestamp: Some(Timestamp(dashboard.created_ms)),
        updated_timestamp: Some(Timestamp(dashboard.updated_ms)),
        last_refresh_id: dashboard.refresh_id,
        last_refresh_failure_reason: dashboard.failure,
        termination_protection_enabled: Some(dashboard.termination_protection),
    })
}

pub(crate) async fn list_dashboards(cx: &mut Call, input: ListDashboardsInput) -> Result<ListDashboardsOutput, ApiError> {
    let mut dashboards = dashboard::of_account(&mut cx.tx, &cx.account.clone(), &cx.region.clone()).await?;
    // There are no managed dashboards here.
    dashboards.retain(|dashboard| {
        input.type_.as_ref().is_none_or(|wanted| *wanted == DashboardType::Custom)
            && input.name_prefix.as_ref().is_none_or(|prefix| dashboard.name.starts_with(prefix.as_str()))
    });
    let filter = format!("{:?} {:?}", input.type_, input.name_prefix);
    let limit = input.max_results.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(PAGE_LENGTH);
    let page =
        cx.page(dashboards, |dashboard| dashboard.name.clone(), &filter, input.next_token.as_deref(), limit).map_err(crate::of_page)?;
    let shown = page
        .items
        .into_iter()
        .map(|dashboard| DashboardDetail { dashboard_arn: Some(dashboard.arn()), type_: Some(DashboardType::Custom) });
    Ok(ListDashboardsOutput { dashboards: Some(shown.collect()), next_token: page.next })
}

pub(crate) async fn delete_dashboard(cx: &mut Call, input: DeleteDashboardInput) -> Result<DeleteDashboardOutput, ApiError> {
    let dashboard = dashboard::find(cx, &input.dashboard_id).await?;
    if dashboard.termination_protection {
        return Err(LakeError::Conflict(format!("The dashboard {} is protected from termination.", dashboard.arn())).into());
    }
    cx.tx.delete::<Dashboard>(&Dashboard::key(&dashboard.account, &dashboard.region, &dashboard.name));
    resource_policy::forget(&mut cx.tx, &dashboard.arn());
    Ok(DeleteDashboardOutput {})
}

pub(crate) async fn start_dashboard_refresh(
    cx: &mut Call,
    input: StartDashboardRefreshInput,
) -> Result<StartDashboardRefreshOutput, ApiError> {
    let mut dashboard = dashboard::find(cx, &input.dashboard_id).await?;
    let refresh_id = match cx.recall::<String>("refresh") {
        Some(id) => id,
        None => cx.random_id(b"0123456789", 19)?,
    };
    cx.remember("refresh", refresh_id.clone());
    let mut started = Vec::with_capacity(dashboard.widgets.len());
    for widget in &dashboard.widgets {
        let id = cx.random_uuid()?;
        let parameters = dashboard_refresh::values(&widget.parameters, input.query_parameter_values.as_ref(), cx.now.0);
        let start = query_operations::Start {
            id: id.clone(),
            owner: cx.account.clone(),
            statement: widget.statement.clone(),
            parameters,
            target: None,
            alias: Some(widget.alias.clone()),
            refresh_id: Some(refresh_id.clone()),
        };
        query_operations::start(cx, start).await?;
        started.push(id);
    }
    dashboard.refresh_id = Some(refresh_id.clone());
    dashboard.refreshed_ms = Some(cx.now.0);
    dashboard.failure = None;
    dashboard.put(&mut cx.tx)?;
    for id in started {
        query_run::start(&cx.plane, &cx.region, &cx.account, &id);
    }
    Ok(StartDashboardRefreshOutput { refresh_id: Some(refresh_id) })
}
