//! CloudWatch Logs as a service of the plane.

use async_trait::async_trait;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Handler, Service, Target, Transaction, handler};
use serde_json::{Value as Json, json};
use wire::Value;

use crate::log_group::{GROUP_TYPE, LogGroupRecord};
use crate::{
    absent_settings, encryption, filter_log_events, get_log_events, log_group, log_stream, put_log_events, resource_policy, retention, tag,
    test_metric_filter,
};

const HANDLERS: &[Handler] = &[
    handler!("AssociateKmsKey", encryption::associate_kms_key),
    handler!("CreateLogGroup", log_group::create_log_group),
    handler!("CreateLogStream", log_stream::create_log_stream),
    handler!("DeleteDestination", absent_settings::delete_destination),
    handler!("DeleteLogGroup", log_group::delete_log_group),
    handler!("DeleteLogStream", log_stream::delete_log_stream),
    handler!("DeleteMetricFilter", absent_settings::delete_metric_filter),
    handler!("DeleteQueryDefinition", absent_settings::delete_query_definition),
    handler!("DeleteResourcePolicy", resource_policy::delete_resource_policy),
    handler!("DeleteRetentionPolicy", retention::delete_retention_policy),
    handler!("DeleteSubscriptionFilter", absent_settings::delete_subscription_filter),
    handler!("DescribeAccountPolicies", absent_settings::describe_account_policies),
    handler!("DescribeDeliveries", absent_settings::describe_deliveries),
    handler!("DescribeDeliveryDestinations", absent_settings::describe_delivery_destinations),
    handler!("DescribeDeliverySources", absent_settings::describe_delivery_sources),
    handler!("DescribeDestinations", absent_settings::describe_destinations),
    handler!("DescribeExportTasks", absent_settings::describe_export_tasks),
    handler!("DescribeIndexPolicies", absent_settings::describe_index_policies),
    handler!("DescribeLogGroups", log_group::describe_log_groups),
    handler!("DescribeLogStreams", log_stream::describe_log_streams),
    handler!("DescribeMetricFilters", absent_settings::describe_metric_filters),
    handler!("DescribeQueries", absent_settings::describe_queries),
    handler!("DescribeQueryDefinitions", absent_settings::describe_query_definitions),
    handler!("DescribeResourcePolicies", resource_policy::describe_resource_policies),
    handler!("DescribeSubscriptionFilters", absent_settings::describe_subscription_filters),
    handler!("DisassociateKmsKey", encryption::disassociate_kms_key),
    handler!("FilterLogEvents", filter_log_events::filter_log_events),
    handler!("GetDataProtectionPolicy", absent_settings::get_data_protection_policy),
    handler!("GetLogEvents", get_log_events::get_log_events),
    handler!("ListLogAnomalyDetectors", absent_settings::list_log_anomaly_detectors),
    handler!("ListLogGroups", log_group::list_log_groups),
    handler!("ListTagsForResource", tag::list_tags_for_resource),
    handler!("ListTagsLogGroup", tag::list_tags_log_group),
    handler!("PutLogEvents", put_log_events::put_log_events),
    handler!("PutLogGroupDeletionProtection", log_group::put_log_group_deletion_protection),
    handler!("PutResourcePolicy", resource_policy::put_resource_policy),
    handler!("PutRetentionPolicy", retention::put_retention_policy),
    handler!("TagLogGroup", tag::tag_log_group),
    handler!("TagResource", tag::tag_resource),
    handler!("TestMetricFilter", test_metric_filter::test_metric_filter),
    handler!("UntagLogGroup", tag::untag_log_group),
    handler!("UntagResource", tag::untag_resource),
];

/// The service. Its state is in the records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Logs;

/// The name of the group that an input names, by name or ARN, in the region and account of the name.
fn group_resource(call: &Call, input: &Value) -> Option<String> {
    let text = |member: &str| input.member(member).and_then(Value::as_str);
    let identifier = text("logGroupName").or_else(|| text("logGroupIdentifier")).or_else(|| text("resourceIdentifier"))?;
    let identifier = identifier.strip_suffix(":*").unwrap_or(identifier);
    if identifier.starts_with("arn:") {
        return Some(identifier.to_owned());
    }
    Some(log_group::group_arn(&call.region, &call.account, identifier))
}

#[async_trait]
impl Service for Logs {
    fn id(&self) -> &'static str {
        api_logs::SERVICE
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        HANDLERS
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        let own = |resource_arn: String| Some(vec![Target { action: format!("logs:{}", call.operation.name), resource_arn }]);
        let stream = input.member("logStreamName").and_then(Value::as_str).unwrap_or_default();
        // AWS decides on a group as on its nameless stream: `log-group:NAME:log-stream:`, which `log-group:NAME:*` in policies means.
        Ok(match call.operation.name {
            "DescribeLogGroups" | "ListLogGroups" => own(format!("{}:log-stream:", log_group::group_arn(&call.region, &call.account, ""))),
            "TagResource" | "UntagResource" | "ListTagsForResource" => {
                own(input.member("resourceArn").and_then(Value::as_str).unwrap_or_default().to_owned())
            }
            _ => group_resource(call, input).and_then(|group| own(format!("{group}:log-stream:{stream}"))),
        })
    }

    async fn resource(&self, tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        let group_arn = arn.split_once(":log-stream:").map_or(arn, |(group, _)| group);
        let Some((arn_region, account, name)) = log_group::parse_group_arn(group_arn) else { return Ok(None) };
        if arn_region != region {
            return Ok(None);
        }
        let found: Option<LogGroupRecord> = log_group::find(tx, account, region, name).await?;
        let exists = found.is_some();
        Ok(Some(ResourceAccess {
            account: account.to_owned(),
            tags: found.map(|group| group.tags).unwrap_or_default(),
            policy: resource_policy::of(tx, region, account, &log_group::group_arn(region, account, name)).await?,
            resource_type: exists.then_some(GROUP_TYPE),
            ..ResourceAccess::default()
        }))
    }

    /// Messages are content: they are in no event.
    fn request_parameters(&self, call: &Call, input: &Value) -> Option<Json> {
        let text = |member: &str| input.member(member).and_then(Value::as_str);
        match call.operation.name {
            "PutLogEvents" => Some(json!({ "logGroupName": text("logGroupName"), "logStreamName": text("logStreamName") })),
            "TestMetricFilter" => Some(json!({ "filterPattern": text("filterPattern") })),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_with_types_has_a_handler() {
        let handled: Vec<&str> = HANDLERS.iter().map(|handler| handler.operation).collect();
        assert_eq!(handled, api_logs::OPERATIONS);
    }
}
