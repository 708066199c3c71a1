//! CloudTrail: the trail that the plane keeps, as its API shows it, and its delivery into customers' buckets.
//!
//! `LookupEvents`; trails of an account or an organization with selectors, delivery to S3 in AWS's layout as the principal
//! `cloudtrail.amazonaws.com` and to CloudWatch Logs in a role, signed digest files that the aws CLI validates, insights into unusual rates of calls and errors, and CloudTrail
//! Lake: event data stores that SQL reads, imports, channels (`cloudtrail-data`), dashboards.
//!
//! Beyond AWS: `LookupEvents` gives data events too. On AWS they are found only where a trail delivers them; here there is one record of
//! everything, and hiding half of it would help nobody.
//!
//! Invariants:
//! 1. Nothing here writes events.
//! 2. An event that a trail selects is delivered at least once: the log is read from where the last delivered file ended, and a file that
//!    cannot be put stays due.
//! 3. A log file is in exactly one digest, and every digest names the one before it, across restarts and steps of the clock. A file that its
//!    bucket took too late for the digest of the time in its name is in a backfill digest; those name each other.
//!
//! ## Not as AWS does
//! * Files are delivered about once a minute instead of five, and at once when the control API asks.
//! * The chain of digests goes on after a stop and a start of logging; AWS begins a new one.
//! * AWS does not say how it finds that a rate is unusual. Here a minute is when it has at least ten calls (or errors), three times the average
//!   of the seven days before, and four standard deviations more than it; the hour after the first call is not judged. Rates that fall are not
//!   reported.
//! * An event data store is a view of the sealed log: deleting it, or its retention, ends what queries see; the log itself goes by the server's
//!   setting ([`prune`]). Under a customer's key it is closed while CloudTrail may not use that key; the log itself is sealed under the server's keys.
//! * Values that are missing are empty texts in the answers of queries, and maps and structures are JSON.
//! * An event data store shows tags and condition keys (`PutEventConfiguration`) for older events, too: they stand in the log beside each record.
//!   Condition keys that tell of organizations (`aws:PrincipalOrgID` and its like) are refused. Aggregated events of trails are not made.
//! * There is no console, so there are no events of signing in to one (`AwsConsoleSignIn`): who signs in does so by an operation of STS, with an
//!   event of its own.
//! * `GenerateQuery` chooses a sample query by the words of the prompt; there is no language model behind it.
//! * A trail's bucket may be in another region than the trail only when that region is configured here.
//!
//! ## Recorded only
//! * `TimeOfDay` of a dashboard's refresh schedule (its frequency counts), and `ViewProperties` of widgets.
//! * The billing mode of an event data store (its limits of retention are enforced).

pub mod delivery;
mod destination;
mod digest;
mod error;
mod event_configuration;
mod insight;
mod insight_metric;
mod insight_selector;
mod lake;
mod log_group;
mod log_group_delivery;
mod lookup;
mod notification;
mod organization;
mod path;
mod retention;
mod selector;
mod selector_operations;
mod signing_key;
mod tag;
mod trail;
mod trail_name;
mod trail_operations;
mod trail_status;

use async_trait::async_trait;
use plane::page::PageError;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Handler, Service, Target, Transaction, handler};
use wire::Value;

pub use delivery::deliver;
pub use lake::put_audit_events::CloudTrailData;
pub use lake::round::lake_round;
pub use retention::{hold, prune};

/// The principal that delivers.
pub(crate) const SERVICE_PRINCIPAL: &str = "cloudtrail.amazonaws.com";

pub(crate) fn of_page(error: PageError) -> ApiError {
    match error {
        PageError::Token(_) => error::TrailError::Token.into(),
        PageError::Failed(error) => error,
    }
}

/// The service.
pub struct CloudTrail;

#[async_trait]
impl Service for CloudTrail {
    fn id(&self) -> &'static str {
        "cloudtrail"
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        &[
            handler!("AddTags", tag::add_tags),
            handler!("CreateTrail", trail_operations::create_trail),
            handler!("DeleteTrail", trail_operations::delete_trail),
            handler!("DeregisterOrganizationDelegatedAdmin", organization::deregister_organization_delegated_admin),
            handler!("DescribeTrails", trail_operations::describe_trails),
            handler!("GetEventSelectors", selector_operations::get_event_selectors),
            handler!("GetInsightSelectors", insight_selector::get_insight_selectors),
            handler!("GetTrail", trail_operations::get_trail),
            handler!("GetTrailStatus", trail_status::get_trail_status),
            handler!("ListInsightsData", insight_metric::list_insights_data),
            handler!("ListInsightsMetricData", insight_metric::list_insights_metric_data),
            handler!("ListPublicKeys", signing_key::list_public_keys),
            handler!("ListTags", tag::list_tags),
            handler!("ListTrails", trail_operations::list_trails),
            handler!("LookupEvents", lookup::lookup_events),
            handler!("PutEventSelectors", selector_operations::put_event_selectors),
            handler!("PutInsightSelectors", insight_selector::put_insight_selectors),
            handler!("RegisterOrganizationDelegatedAdmin", organization::register_organization_delegated_admin),
            handler!("RemoveTags", tag::remove_tags),
            handler!("StartLogging", trail_operations::start_logging),
            handler!("StopLogging", trail_operations::stop_logging),
            handler!("UpdateTrail", trail_operations::update_trail),
            handler!("CreateChannel", lake::channel_operations::create_channel),
            handler!("GetChannel", lake::channel_operations::get_channel),
            handler!("ListChannels", lake::channel_operations::list_channels),
            handler!("UpdateChannel", lake::channel_operations::update_channel),
            handler!("DeleteChannel", lake::channel_operations::delete_channel),
            handler!("CreateDashboard", lake::dashboard_operations::create_dashboard),
            handler!("UpdateDashboard", lake::dashboard_operations::update_dashboard),
            handler!("GetDashboard", lake::dashboard_operations::get_dashboard),
            handler!("ListDashboards", lake::dashboard_operations::list_dashboards),
            handler!("DeleteDashboard", lake::dashboard_operations::delete_dashboard),
            handler!("StartDashboardRefresh", lake::dashboard_operations::start_dashboard_refresh),
            handler!("CreateEventDataStore", lake::event_data_store_operations::create_event_data_store),
            handler!("UpdateEventDataStore", lake::event_data_store_operations::update_event_data_store),
            handler!("GetEventDataStore", lake::event_data_store_operations::get_event_data_store),
            handler!("ListEventDataStores", lake::event_data_store_operations::list_event_data_stores),
            handler!("DeleteEventDataStore", lake::event_data_store_operations::delete_event_data_store),
            handler!("RestoreEventDataStore", lake::event_data_store_operations::restore_event_data_store),
            handler!("StartEventDataStoreIngestion", lake::event_data_store_operations::start_event_data_store_ingestion),
            handler!("StopEventDataStoreIngestion", lake::event_data_store_operations::stop_event_data_store_ingestion),
            handler!("EnableFederation", lake::federation::enable_federation),
            handler!("DisableFederation", lake::federation::disable_federation),
            handler!("StartImport", lake::import_operations::start_import),
            handler!("GetImport", lake::import_operations::get_import),
            handler!("ListImports", lake::import_operations::list_imports),
            handler!("StopImport", lake::import_operations::stop_import),
            handler!("ListImportFailures", lake::import_operations::list_import_failures),
            handler!("StartQuery", lake::query_operations::start_query),
            handler!("DescribeQuery", lake::query_operations::describe_query),
            handler!("GetQueryResults", lake::query_operations::get_query_results),
            handler!("CancelQuery", lake::query_operations::cancel_query),
            handler!("ListQueries", lake::query_operations::list_queries),
            handler!("SearchSampleQueries", lake::sample_query::search_sample_queries),
            handler!("PutResourcePolicy", lake::resource_policy::put_resource_policy),
            handler!("GetResourcePolicy", lake::resource_policy::get_resource_policy),
            handler!("DeleteResourcePolicy", lake::resource_policy::delete_resource_policy),
            handler!("PutEventConfiguration", event_configuration::put_event_configuration),
            handler!("GetEventConfiguration", event_configuration::get_event_configuration),
            handler!("GenerateQuery", lake::sample_query::generate_query),
        ]
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        lake::target::targets(call, input).await
    }

    async fn resource(&self, tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        match lake::tag::access(tx, region, arn).await? {
            Some(access) => Ok(Some(access)),
            None => trail::access(tx, arn).await,
        }
    }
}
