//! Settings that no bucket here has, because what they would ask for is not done: `Put...` of each is refused (`NotImplemented`), so reading them says
//! truthfully that there are none, and deleting them changes nothing. Clients that look at a whole bucket (Terraform, Prowler) read them all.
//!
//! Source: S3 API reference, the operations and "Error responses".

use api_s3::{
    DeleteBucketCorsInput, DeleteBucketCorsOutput, DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, DeleteBucketReplicationInput,
    DeleteBucketReplicationOutput, DeleteBucketWebsiteInput, DeleteBucketWebsiteOutput, GetBucketAccelerateConfigurationInput,
    GetBucketAccelerateConfigurationOutput, GetBucketCorsInput, GetBucketCorsOutput, GetBucketLifecycleConfigurationInput,
    GetBucketLifecycleConfigurationOutput, GetBucketLoggingInput, GetBucketLoggingOutput, GetBucketNotificationConfigurationInput,
    GetBucketNotificationConfigurationOutput, GetBucketReplicationInput, GetBucketReplicationOutput, GetBucketRequestPaymentInput,
    GetBucketRequestPaymentOutput, GetBucketWebsiteInput, GetBucketWebsiteOutput, ListBucketAnalyticsConfigurationsInput,
    ListBucketAnalyticsConfigurationsOutput, ListBucketIntelligentTieringConfigurationsInput,
    ListBucketIntelligentTieringConfigurationsOutput, ListBucketInventoryConfigurationsInput, ListBucketInventoryConfigurationsOutput,
    ListBucketMetricsConfigurationsInput, ListBucketMetricsConfigurationsOutput, Payer,
};
use plane::{ApiError, Call};

use crate::bucket::load;
use crate::bucket_settings::missing;

/// The bucket exists and belongs to whom the caller expects.
async fn check(cx: &mut Call, bucket: &str, expected_owner: Option<&str>) -> Result<(), ApiError> {
    load(cx, bucket, expected_owner).await.map(drop)
}

pub(crate) async fn get_bucket_cors(cx: &mut Call, input: GetBucketCorsInput) -> Result<GetBucketCorsOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Err(missing("NoSuchCORSConfiguration", "The CORS configuration does not exist", &input.bucket))
}

pub(crate) async fn get_bucket_lifecycle_configuration(
    cx: &mut Call,
    input: GetBucketLifecycleConfigurationInput,
) -> Result<GetBucketLifecycleConfigurationOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Err(missing("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", &input.bucket))
}

pub(crate) async fn get_bucket_replication(
    cx: &mut Call,
    input: GetBucketReplicationInput,
) -> Result<GetBucketReplicationOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Err(missing("ReplicationConfigurationNotFoundError", "The replication configuration was not found", &input.bucket))
}

pub(crate) async fn get_bucket_website(cx: &mut Call, input: GetBucketWebsiteInput) -> Result<GetBucketWebsiteOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Err(missing("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration", &input.bucket))
}

pub(crate) async fn get_bucket_accelerate_configuration(
    cx: &mut Call,
    input: GetBucketAccelerateConfigurationInput,
) -> Result<GetBucketAccelerateConfigurationOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(GetBucketAccelerateConfigurationOutput::default())
}

pub(crate) async fn get_bucket_logging(cx: &mut Call, input: GetBucketLoggingInput) -> Result<GetBucketLoggingOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(GetBucketLoggingOutput::default())
}

pub(crate) async fn get_bucket_notification_configuration(
    cx: &mut Call,
    input: GetBucketNotificationConfigurationInput,
) -> Result<GetBucketNotificationConfigurationOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(GetBucketNotificationConfigurationOutput::default())
}

pub(crate) async fn get_bucket_request_payment(
    cx: &mut Call,
    input: GetBucketRequestPaymentInput,
) -> Result<GetBucketRequestPaymentOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(GetBucketRequestPaymentOutput { payer: Some(Payer::BucketOwner) })
}

pub(crate) async fn list_bucket_analytics_configurations(
    cx: &mut Call,
    input: ListBucketAnalyticsConfigurationsInput,
) -> Result<ListBucketAnalyticsConfigurationsOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(ListBucketAnalyticsConfigurationsOutput { is_truncated: Some(false), ..Default::default() })
}

pub(crate) async fn list_bucket_intelligent_tiering_configurations(
    cx: &mut Call,
    input: ListBucketIntelligentTieringConfigurationsInput,
) -> Result<ListBucketIntelligentTieringConfigurationsOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(ListBucketIntelligentTieringConfigurationsOutput { is_truncated: Some(false), ..Default::default() })
}

pub(crate) async fn list_bucket_inventory_configurations(
    cx: &mut Call,
    input: ListBucketInventoryConfigurationsInput,
) -> Result<ListBucketInventoryConfigurationsOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(ListBucketInventoryConfigurationsOutput { is_truncated: Some(false), ..Default::default() })
}

pub(crate) async fn list_bucket_metrics_configurations(
    cx: &mut Call,
    input: ListBucketMetricsConfigurationsInput,
) -> Result<ListBucketMetricsConfigurationsOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(ListBucketMetricsConfigurationsOutput { is_truncated: Some(false), ..Default::default() })
}

pub(crate) async fn delete_bucket_cors(cx: &mut Call, input: DeleteBucketCorsInput) -> Result<DeleteBucketCorsOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(DeleteBucketCorsOutput {})
}

pub(crate) async fn delete_bucket_lifecycle(
    cx: &mut Call,
    input: DeleteBucketLifecycleInput,
) -> Result<DeleteBucketLifecycleOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(DeleteBucketLifecycleOutput {})
}

pub(crate) async fn delete_bucket_replication(
    cx: &mut Call,
    input: DeleteBucketReplicationInput,
) -> Result<DeleteBucketReplicationOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(DeleteBucketReplicationOutput {})
}

pub(crate) async fn delete_bucket_website(cx: &mut Call, input: DeleteBucketWebsiteInput) -> Result<DeleteBucketWebsiteOutput, ApiError> {
    check(cx, &input.bucket, input.expected_bucket_owner.as_deref()).await?;
    Ok(DeleteBucketWebsiteOutput {})
}
