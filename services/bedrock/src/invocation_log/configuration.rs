//! The configuration's operations.
//!
//! Source: Bedrock API reference, `PutModelInvocationLoggingConfiguration`.

use std::sync::Arc;

use api_bedrock::{
    CloudWatchConfig, DeleteModelInvocationLoggingConfigurationInput, DeleteModelInvocationLoggingConfigurationOutput,
    GetModelInvocationLoggingConfigurationInput, GetModelInvocationLoggingConfigurationOutput, LoggingConfig,
    PutModelInvocationLoggingConfigurationInput, PutModelInvocationLoggingConfigurationOutput, S3Config,
};
use plane::{ApiError, Call, authorize};

use super::{LogGroup, LoggingConfiguration, Place, configuration_key, delivery, log_group};
use crate::refusal::Refusal;

fn place(config: S3Config) -> Place {
    Place { bucket: config.bucket_name, prefix: config.key_prefix.filter(|prefix| !prefix.is_empty()) }
}

fn shown(place: Place) -> S3Config {
    S3Config { bucket_name: place.bucket, key_prefix: place.prefix }
}

async fn check_place(cx: &mut Call, place: &Place) -> Result<(), ApiError> {
    let plane = Arc::clone(&cx.plane);
    if let Err(error) = delivery::check(&plane, &cx.account, &cx.region, place).await {
        tracing::debug!(%error, "the destination of an invocation log cannot be written to");
        let message = format!(
            "Failed to validate permissions for the S3 bucket `{}`: {}. Verify the bucket, its policy and its key's policy.",
            place.bucket, error.code
        );
        return Err(Refusal::invalid(message).into());
    }
    Ok(())
}

/// The log group, when the caller may pass the role and Bedrock can write in it.
async fn checked_log_group(cx: &mut Call, target: CloudWatchConfig) -> Result<LogGroup, ApiError> {
    let group =
        LogGroup { name: target.log_group_name, role_arn: target.role_arn, large_bodies: target.large_data_delivery_s3_config.map(place) };
    let refused = || {
        Refusal::invalid(format!(
            "Failed to validate permissions for log group: {}, with role: {}. Verify the IAM role permissions are correct.",
            group.name, group.role_arn
        ))
    };
    if !group.role_arn.starts_with(&format!("arn:{}:iam::{}:role/", plane::PARTITION, cx.account)) {
        return Err(refused().into());
    }
    if let Some(refusal) = authorize::check(cx, "iam:PassRole", &group.role_arn).await? {
        return Err(refusal);
    }
    let plane = Arc::clone(&cx.plane);
    if let Err(error) = log_group::create_stream(&plane, &cx.account, &cx.region, &group).await {
        tracing::debug!(%error, "the log group of an invocation log cannot be written to");
        return Err(refused().into());
    }
    Ok(group)
}

pub(crate) async fn put_model_invocation_logging_configuration(
    cx: &mut Call,
    input: PutModelInvocationLoggingConfigurationInput,
) -> Result<PutModelInvocationLoggingConfigurationOutput, ApiError> {
    let config = input.logging_config;
    if config.s3_config.is_none() && config.cloud_watch_config.is_none() {
        return Err(Refusal::invalid("The logging configuration names no destination.").into());
    }
    let place = config.s3_config.map(place);
    let log_group = match config.cloud_watch_config {
        Some(target) => Some(checked_log_group(cx, target).await?),
        None => None,
    };
    for place in place.iter().chain(log_group.as_ref().and_then(|group| group.large_bodies.as_ref())) {
        check_place(cx, place).await?;
    }
    let (bucket, prefix) = place.map_or((None, None), |place| (Some(place.bucket), place.prefix));
    let configuration = LoggingConfiguration {
        bucket,
        prefix,
        log_group,
        text: config.text_data_delivery_enabled.unwrap_or(true),
        images: config.image_data_delivery_enabled.unwrap_or(true),
        embeddings: config.embedding_data_delivery_enabled.unwrap_or(true),
        video: config.video_data_delivery_enabled.unwrap_or(true),
        audio: config.audio_data_delivery_enabled.unwrap_or(true),
    };
    cx.tx.put(&configuration_key(&cx.account, &cx.region), &configuration)?;
    Ok(PutModelInvocationLoggingConfigurationOutput {})
}

pub(crate) async fn get_model_invocation_logging_configuration(
    cx: &mut Call,
    _: GetModelInvocationLoggingConfigurationInput,
) -> Result<GetModelInvocationLoggingConfigurationOutput, ApiError> {
    let found = cx.tx.get::<LoggingConfiguration>(&configuration_key(&cx.account, &cx.region)).await?;
    let logging_config = found.map(|configuration| LoggingConfig {
        s3_config: configuration.place().map(shown),
        cloud_watch_config: configuration.log_group.map(|group| CloudWatchConfig {
            log_group_name: group.name,
            role_arn: group.role_arn,
            large_data_delivery_s3_config: group.large_bodies.map(shown),
        }),
        text_data_delivery_enabled: Some(configuration.text),
        image_data_delivery_enabled: Some(configuration.images),
        embedding_data_delivery_enabled: Some(configuration.embeddings),
        video_data_delivery_enabled: Some(configuration.video),
        audio_data_delivery_enabled: Some(configuration.audio),
    });
    Ok(GetModelInvocationLoggingConfigurationOutput { logging_config })
}

pub(crate) async fn delete_model_invocation_logging_configuration(
    cx: &mut Call,
    _: DeleteModelInvocationLoggingConfigurationInput,
) -> Result<DeleteModelInvocationLoggingConfigurationOutput, ApiError> {
    let key = configuration_key(&cx.account, &cx.region);
    // Deleting what is not there is no error, as on AWS.
    if cx.tx.get::<LoggingConfiguration>(&key).await?.is_some() {
        cx.tx.delete::<LoggingConfiguration>(&key);
    }
    Ok(DeleteModelInvocationLoggingConfigurationOutput {})
}
