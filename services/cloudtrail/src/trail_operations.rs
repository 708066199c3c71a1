//! Making, changing, reading and deleting trails.

use api_cloudtrail::{
    CreateTrailInput, CreateTrailOutput, DeleteTrailInput, DeleteTrailOutput, DescribeTrailsInput, DescribeTrailsOutput, GetTrailInput,
    GetTrailOutput, ListTrailsInput, ListTrailsOutput, StartLoggingInput, StartLoggingOutput, StopLoggingInput, StopLoggingOutput,
    Trail as TrailDescription, TrailInfo, UpdateTrailInput, UpdateTrailOutput,
};
use plane::{ApiError, Call};

use crate::destination::{self, Destination};
use crate::error::TrailError;
use crate::selector::Selectors;
use crate::trail::{self, TRAILS_LIMIT, Trail};
use crate::{log_group, notification, organization, tag, trail_name};

/// Trails on one page of `ListTrails`.
const PAGE_LENGTH: usize = 100;

/// A setting that a trail cannot have here yet: refused, not stored.
fn refuse_unsupported(recursive: Option<bool>) -> Result<(), TrailError> {
    if recursive == Some(false) {
        return Err(TrailError::Unsupported("Events of a trail's own deliveries cannot be left out here."));
    }
    Ok(())
}

pub(crate) async fn create_trail(cx: &mut Call, input: CreateTrailInput) -> Result<CreateTrailOutput, ApiError> {
    trail_name::check(&input.name)?;
    refuse_unsupported(input.recursive_logging)?;
    let existing = trail::of_account(cx).await?;
    if existing.iter().any(|trail| trail.name == input.name && trail.covers(&cx.region)) {
        return Err(TrailError::Exists { name: input.name, account: cx.account.clone() }.into());
    }
    let multi_region = input.is_multi_region_trail.unwrap_or(false);
    let global_service_events = input.include_global_service_events.unwrap_or(true);
    check_combination(multi_region, global_service_events)?;
    if existing.iter().filter(|trail| trail.covers(&cx.region)).count() >= TRAILS_LIMIT {
        return Err(TrailError::TooMany { account: cx.account.clone(), limit: TRAILS_LIMIT, region: cx.region.clone() }.into());
    }
    let tags = tag::checked(input.tags_list.unwrap_or_default())?;
    let arn = trail::arn(&cx.region, &cx.account, &input.name);
    let organization = if input.is_organization_trail == Some(true) { Some(organization::managed(cx).await?) } else { None };
    let wanted = Destination {
        bucket: input.s3_bucket_name,
        prefix: non_empty(input.s3_key_prefix),
        kms_key: non_empty(input.kms_key_id),
        organization: organization.clone(),
    };
    let found = destination::check(cx, &arn, wanted).await?;
    let logs = log_group::Wanted { arn: input.cloud_watch_logs_log_group_arn, role_arn: input.cloud_watch_logs_role_arn };
    let log_group = log_group::check(cx, (&arn, organization.as_deref()), None, logs).await?;
    let topic_arn = match non_empty(input.sns_topic_name) {
        Some(topic) => Some(notification::check(cx, &arn, &topic).await?),
        None => None,
    };
    let trail = Trail {
        id: cx.random_uuid()?,
        name: input.name,
        account: cx.account.clone(),
        home_region: cx.region.clone(),
        bucket: found.bucket,
        bucket_region: found.bucket_region,
        prefix: found.prefix,
        multi_region,
        global_service_events,
        log_file_validation: input.enable_log_file_validation.unwrap_or(false),
        kms_key_arn: found.kms_key_arn,
        selectors: Selectors::default(),
        organization,
        log_group,
        topic_arn,
        insights: Vec::new(),
        tags,
        periods: Vec::new(),
    };
    trail.put(&mut cx.tx)?;
    touch(cx, &trail);
    let shown = trail.describe();
    Ok(CreateTrailOutput {
        name: shown.name,
        s3_bucket_name: shown.s3_bucket_name,
        s3_key_prefix: shown.s3_key_prefix,
        include_global_service_events: shown.include_global_service_events,
        is_multi_region_trail: shown.is_multi_region_trail,
        trail_arn: shown.trail_arn,
        log_file_validation_enabled: shown.log_file_validation_enabled,
        kms_key_id: shown.kms_key_id,
        is_organization_trail: shown.is_organization_trail,
        sns_topic_name: shown.sns_topic_name,
        sns_topic_arn: shown.sns_topic_arn,
        cloud_watch_logs_log_group_arn: shown.cloud_watch_logs_log_group_arn,
        cloud_watch_logs_role_arn: shown.cloud_watch_logs_role_arn,
        ..CreateTrailOutput::default()
    })
}

pub(crate) async fn update_trail(cx: &mut Call, input: UpdateTrailInput) -> Result<UpdateTrailOutput, ApiError> {
    let mut trail = trail::find_to_change(cx, &input.name).await?;
    refuse_unsupported(input.recursive_logging)?;
    trail.multi_region = input.is_multi_region_trail.unwrap_or(trail.multi_region);
    trail.global_service_events = input.include_global_service_events.unwrap_or(trail.global_service_events);
    check_combination(trail.multi_region, trail.global_service_events)?;
    trail.log_file_validation = input.enable_log_file_validation.unwrap_or(trail.log_file_validation);
    trail.organization = match input.is_organization_trail {
        Some(true) => Some(organization::managed(cx).await?),
        Some(false) => None,
        None => trail.organization,
    };
    // An empty text takes a setting away; an absent one leaves it.
    let wanted = Destination {
        bucket: input.s3_bucket_name.unwrap_or(trail.bucket),
        prefix: input.s3_key_prefix.map_or(trail.prefix, |prefix| non_empty(Some(prefix))),
        kms_key: input.kms_key_id.map_or(trail.kms_key_arn, |key| non_empty(Some(key))),
        organization: trail.organization.clone(),
    };
    let arn = trail::arn(&trail.home_region, &trail.account, &trail.name);
    let found = destination::check(cx, &arn, wanted).await?;
    let logs = log_group::Wanted { arn: input.cloud_watch_logs_log_group_arn, role_arn: input.cloud_watch_logs_role_arn };
    trail.log_group = log_group::check(cx, (&arn, trail.organization.as_deref()), trail.log_group, logs).await?;
    trail.topic_arn = match input.sns_topic_name {
        None => trail.topic_arn,
        Some(topic) if topic.is_empty() => None,
        Some(topic) => Some(notification::check(cx, &arn, &topic).await?),
    };
    trail.bucket = found.bucket;
    trail.bucket_region = found.bucket_region;
    trail.prefix = found.prefix;
    trail.kms_key_arn = found.kms_key_arn;
    trail.put(&mut cx.tx)?;
    touch(cx, &trail);
    let shown = trail.describe();
    Ok(UpdateTrailOutput {
        name: shown.name,
        s3_bucket_name: shown.s3_bucket_name,
        s3_key_prefix: shown.s3_key_prefix,
        include_global_service_events: shown.include_global_service_events,
        is_multi_region_trail: shown.is_multi_region_trail,
        trail_arn: shown.trail_arn,
        log_file_validation_enabled: shown.log_file_validation_enabled,
        kms_key_id: shown.kms_key_id,
        is_organization_trail: shown.is_organization_trail,
        sns_topic_name: shown.sns_topic_name,
        sns_topic_arn: shown.sns_topic_arn,
        cloud_watch_logs_log_group_arn: shown.cloud_watch_logs_log_group_arn,
        cloud_watch_logs_role_arn: shown.cloud_watch_logs_role_arn,
        ..UpdateTrailOutput::default()
    })
}

fn check_combination(multi_region: bool, global_service_events: bool) -> Result<(), TrailError> {
    if multi_region && !global_service_events {
        return Err(TrailError::Combination("Multi-Region trail must include global service events."));
    }
    Ok(())
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn touch(cx: &mut Call, trail: &Trail) {
    cx.touch("AWS::CloudTrail::Trail", &trail.arn(), &trail.account);
}

pub(crate) async fn delete_trail(cx: &mut Call, input: DeleteTrailInput) -> Result<DeleteTrailOutput, ApiError> {
    let trail = trail::find_to_change(cx, &input.name).await?;
    trail.delete(&mut cx.tx);
    touch(cx, &trail);
    Ok(DeleteTrailOutput {})
}

pub(crate) async fn get_trail(cx: &mut Call, input: GetTrailInput) -> Result<GetTrailOutput, ApiError> {
    let trail = trail::find(cx, &input.name).await?;
    Ok(GetTrailOutput { trail: Some(trail.describe()) })
}

pub(crate) async fn describe_trails(cx: &mut Call, input: DescribeTrailsInput) -> Result<DescribeTrailsOutput, ApiError> {
    let shadows = input.include_shadow_trails.unwrap_or(true);
    let names = input.trail_name_list.unwrap_or_default();
    let region = cx.region.clone();
    let is_shown = |trail: &Trail| trail.home_region == region || (shadows && trail.covers(&region));
    let shown: Vec<TrailDescription> = trail::visible(cx)
        .await?
        .iter()
        .filter(|trail| is_shown(trail) && (names.is_empty() || names.iter().any(|name| *name == trail.name || *name == trail.arn())))
        .map(Trail::describe)
        .collect();
    Ok(DescribeTrailsOutput { trail_list: Some(shown) })
}

pub(crate) async fn list_trails(cx: &mut Call, input: ListTrailsInput) -> Result<ListTrailsOutput, ApiError> {
    let mut trails = trail::visible(cx).await?;
    trails.sort_by_cached_key(Trail::arn);
    let page = cx.page(trails, Trail::arn, "trails", input.next_token.as_deref(), PAGE_LENGTH).map_err(crate::of_page)?;
    let trails = page.items.into_iter().map(|trail| TrailInfo {
        trail_arn: Some(trail.arn()),
        name: Some(trail.name),
        home_region: Some(trail.home_region),
    });
    Ok(ListTrailsOutput { trails: Some(trails.collect()), next_token: page.next })
}

pub(crate) async fn start_logging(cx: &mut Call, input: StartLoggingInput) -> Result<StartLoggingOutput, ApiError> {
    let mut trail = trail::find_to_change(cx, &input.name).await?;
    if !trail.is_logging() {
        trail.start(cx.now.0);
        trail.put(&mut cx.tx)?;
    }
    touch(cx, &trail);
    Ok(StartLoggingOutput {})
}

pub(crate) async fn stop_logging(cx: &mut Call, input: StopLoggingInput) -> Result<StopLoggingOutput, ApiError> {
    let mut trail = trail::find_to_change(cx, &input.name).await?;
    trail.stop(cx.now.0);
    trail.put(&mut cx.tx)?;
    touch(cx, &trail);
    Ok(StopLoggingOutput {})
}
