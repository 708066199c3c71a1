//! What no log group and no account has here, because what it would ask for is not done: each `Put...`, `Create...` and `Start...` is refused
//! (`NotImplemented`), so the lists are truthfully empty, and there is nothing to delete. Clients that look at all of an account (Prowler,
//! Terraform) read them.
//!
//! Source: CloudWatch Logs API reference, the operations.

use api_logs::{
    DeleteDestinationInput, DeleteDestinationOutput, DeleteMetricFilterInput, DeleteMetricFilterOutput, DeleteQueryDefinitionInput,
    DeleteQueryDefinitionOutput, DeleteSubscriptionFilterInput, DeleteSubscriptionFilterOutput, DescribeAccountPoliciesInput,
    DescribeAccountPoliciesOutput, DescribeDeliveriesInput, DescribeDeliveriesOutput, DescribeDeliveryDestinationsInput,
    DescribeDeliveryDestinationsOutput, DescribeDeliverySourcesInput, DescribeDeliverySourcesOutput, DescribeDestinationsInput,
    DescribeDestinationsOutput, DescribeExportTasksInput, DescribeExportTasksOutput, DescribeIndexPoliciesInput,
    DescribeIndexPoliciesOutput, DescribeMetricFiltersInput, DescribeMetricFiltersOutput, DescribeQueriesInput, DescribeQueriesOutput,
    DescribeQueryDefinitionsInput, DescribeQueryDefinitionsOutput, DescribeSubscriptionFiltersInput, DescribeSubscriptionFiltersOutput,
    GetDataProtectionPolicyInput, GetDataProtectionPolicyOutput, ListLogAnomalyDetectorsInput, ListLogAnomalyDetectorsOutput,
};
use plane::{ApiError, Call};

use crate::error::LogsError;
use crate::{listing, log_group};

/// An empty list has one page: a token is one that was never issued.
fn first_page(cx: &Call, token: Option<&str>) -> Result<(), ApiError> {
    listing::cut(cx, Vec::<()>::new(), |()| String::new(), "", (false, token, 1)).map(drop)
}

/// The group exists; `None` names none.
async fn check_group(cx: &mut Call, name: Option<&str>) -> Result<(), ApiError> {
    match name {
        Some(name) => log_group::load(cx, name).await.map(drop),
        None => Ok(()),
    }
}

async fn check_identifier(cx: &mut Call, identifier: &str) -> Result<(), ApiError> {
    let name = log_group::name_of(cx, identifier)?;
    check_group(cx, Some(&name)).await
}

fn missing(what: &'static str) -> ApiError {
    LogsError::SettingMissing(what).into()
}

pub(crate) async fn describe_metric_filters(
    cx: &mut Call,
    input: DescribeMetricFiltersInput,
) -> Result<DescribeMetricFiltersOutput, ApiError> {
    if input.metric_name.is_some() != input.metric_namespace.is_some() {
        return Err(LogsError::parameter("metricName and metricNamespace must be specified together.").into());
    }
    check_group(cx, input.log_group_name.as_deref()).await?;
    first_page(cx, input.next_token.as_deref())?;
    Ok(DescribeMetricFiltersOutput { metric_filters: Some(Vec::new()), next_token: None })
}

pub(crate) async fn delete_metric_filter(cx: &mut Call, input: DeleteMetricFilterInput) -> Result<DeleteMetricFilterOutput, ApiError> {
    check_group(cx, Some(&input.log_group_name)).await?;
    Err(missing("metric filter"))
}

pub(crate) async fn describe_subscription_filters(
    cx: &mut Call,
    input: DescribeSubscriptionFiltersInput,
) -> Result<DescribeSubscriptionFiltersOutput, ApiError> {
    check_group(cx, Some(&input.log_group_name)).await?;
    first_page(cx, input.next_token.as_deref())?;
    Ok(DescribeSubscriptionFiltersOutput { subscription_filters: Some(Vec::new()), next_token: None })
}

pub(crate) async fn delete_subscription_filter(
    cx: &mut Call,
    input: DeleteSubscriptionFilterInput,
) -> Result<DeleteSubscriptionFilterOutput, ApiError> {
    check_group(cx, Some(&input.log_group_name)).await?;
    Err(missing("subscription filter"))
}

pub(crate) async fn describe_destinations(cx: &mut Call, input: DescribeDestinationsInput) -> Result<DescribeDestinationsOutput, ApiError> {
    first_page(cx, input.next_token.as_deref())?;
    Ok(DescribeDestinationsOutput { destinations: Some(Vec::new()), next_token: None })
}

pub(crate) async fn delete_destination(_cx: &mut Call, _input: DeleteDestinationInput) -> Result<DeleteDestinationOutput, ApiError> {
    Err(missing("destination"))
}

pub(crate) async fn describe_export_tasks(cx: &mut Call, input: DescribeExportTasksInput) -> Result<DescribeExportTasksOutput, ApiError> {
    first_page(cx, input.next_token.as_deref())?;
    Ok(DescribeExportTasksOutput { export_tasks: Some(Vec::new()), next_token: None })
}

pub(crate) async fn describe_query_definitions(
    cx: &mut Call,
    input: DescribeQueryDefinitionsInput,
) -> Result<DescribeQueryDefinitionsOutput, ApiError> {
    first_page(cx, input.next_token.as_deref())?;
    Ok(DescribeQueryDefinitionsOutput { query_definitions: Some(Vec::new()), next_token: None })
}

pub(crate) async fn delete_query_definition(
    _cx: &mut Call,
    _input: DeleteQueryDefinitionInput,
) -> Result<DeleteQueryDefinitionOutput, ApiError> {
    Err(missing("query definition"))
}

pub(crate) async fn describe_queries(cx: &mut Call, input: DescribeQueriesInput) -> Result<DescribeQueriesOutput, ApiError> {
    check_group(cx, input.log_group_name.as_deref()).await?;
    first_page(cx, input.next_token.as_deref())?;
    Ok(DescribeQueriesOutput { queries: Some(Vec::new()), next_token: None })
}

pub(crate) async fn describe_account_policies(
    cx: &mut Call,
    input: DescribeAccountPoliciesInput,
) -> Result<DescribeAccountPoliciesOutput, ApiError> {
    log_group::own_account_only(cx, input.account_identifiers.as_deref(), None)?;
    first_page(cx, input.next_token.as_deref())?;
    Ok(DescribeAccountPoliciesOutput { account_policies: Some(Vec::new()), next_token: None })
}

pub(crate) async fn describe_deliveries(cx: &mut Call, input: DescribeDeliveriesInput) -> Result<DescribeDeliveriesOutput, ApiError> {
    first_page(cx, input.next_token.as_deref())?;
    Ok(DescribeDeliveriesOutput { deliveries: Some(Vec::new()), next_token: None })
}

pub(crate) async fn describe_delivery_sources(
    cx: &mut Call,
    input: DescribeDeliverySourcesInput,
) -> Result<DescribeDeliverySourcesOutput, ApiError> {
    first_page(cx, input.next_token.as_deref())?;
    Ok(DescribeDeliverySourcesOutput { delivery_sources: Some(Vec::new()), next_token: None })
}

pub(crate) async fn describe_delivery_destinations(
    cx: &mut Call,
    input: DescribeDeliveryDestinationsInput,
) -> Result<DescribeDeliveryDestinationsOutput, ApiError> {
    first_page(cx, input.next_token.as_deref())?;
    Ok(DescribeDeliveryDestinationsOutput { delivery_destinations: Some(Vec::new()), next_token: None })
}

pub(crate) async fn describe_index_policies(
    cx: &mut Call,
    input: DescribeIndexPoliciesInput,
) -> Result<DescribeIndexPoliciesOutput, ApiError> {
    for identifier in &input.log_group_identifiers {
        check_identifier(cx, identifier).await?;
    }
    first_page(cx, input.next_token.as_deref())?;
    Ok(DescribeIndexPoliciesOutput { index_policies: Some(Vec::new()), next_token: None })
}

pub(crate) async fn list_log_anomaly_detectors(
    cx: &mut Call,
    input: ListLogAnomalyDetectorsInput,
) -> Result<ListLogAnomalyDetectorsOutput, ApiError> {
    if let Some(arn) = &input.filter_log_group_arn {
        check_identifier(cx, arn).await?;
    }
    first_page(cx, input.next_token.as_deref())?;
    Ok(ListLogAnomalyDetectorsOutput { anomaly_detectors: Some(Vec::new()), next_token: None })
}

/// A group without a policy is answered with its name alone.
pub(crate) async fn get_data_protection_policy(
    cx: &mut Call,
    input: GetDataProtectionPolicyInput,
) -> Result<GetDataProtectionPolicyOutput, ApiError> {
    check_identifier(cx, &input.log_group_identifier).await?;
    Ok(GetDataProtectionPolicyOutput { log_group_identifier: Some(input.log_group_identifier), ..GetDataProtectionPolicyOutput::default() })
}
