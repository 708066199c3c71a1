//! The configuration's operations.
//!
//! Source: Bedrock API reference, `PutModelInvocationLoggingConfiguration`.

use std::sync::Arc;

use api_bedrock::{
    DeleteModelInvocationLoggingConfigurationInput, DeleteModelInvocationLoggingConfigurationOutput,
    GetModelInvocationLoggingConfigurationInput, GetModelInvocationLoggingConfigurationOutput, LoggingConfig,
    PutModelInvocationLoggingConfigurationInput, PutModelInvocationLoggingConfigurationOutput, S3Config,
};
use plane::{ApiError, Call};

use super::{LoggingConfiguration, configuration_key, delivery};
use crate::refusal::Refusal;

pub(crate) async fn put_model_invocation_logging_configuration(
    cx: &mut Call,
    input: PutModelInvocationLoggingConfigurationInput,
) -> Result<PutModelInvocationLoggingConfigurationOutput, ApiError> {
    let config = input.logging_config;
    if config.cloud_watch_config.is_some() {
        return Err(Refusal::unsupported("delivery of the invocation log to CloudWatch Logs").into());
    }
    let target = config.s3_config.ok_or_else(|| Refusal::invalid("The logging configuration names no destination."))?;
    let configuration = LoggingConfiguration {
        bucket: target.bucket_name,
        prefix: target.key_prefix.filter(|prefix| !prefix.is_empty()),
        text: config.text_data_delivery_enabled.unwrap_or(true),
        images: config.image_data_delivery_enabled.unwrap_or(true),
        embeddings: config.embedding_data_delivery_enabled.unwrap_or(true),
        video: config.video_data_delivery_enabled.unwrap_or(true),
        audio: config.audio_data_delivery_enabled.unwrap_or(true),
    };
    let plane = Arc::clone(&cx.plane);
    if let Err(error) = delivery::check(&plane, &cx.account, &cx.region, &configuration).await {
        tracing::debug!(%error, "the destination of an invocation log cannot be written to");
        let message = format!(
            "Failed to validate permissions for the S3 bucket `{}`: {}. Verify the bucket, its policy and its key's policy.",
            configuration.bucket, error.code
        );
        return Err(Refusal::invalid(message).into());
    }
    cx.tx.put(&configuration_key(&cx.account, &cx.region), &configuration)?;
    Ok(PutModelInvocationLoggingConfigurationOutput {})
}

pub(crate) async fn get_model_invocation_logging_configuration(
    cx: &mut Call,
    _: GetModelInvocationLoggingConfigurationInput,
) -> Result<GetModelInvocationLoggingConfigurationOutput, ApiError> {
    let found = cx.tx.get::<LoggingConfiguration>(&configuration_key(&cx.account, &cx.region)).await?;
    let logging_config = found.map(|configuration| LoggingConfig {
        cloud_watch_config: None,
        s3_config: Some(S3Config { bucket_name: configuration.bucket, key_prefix: configuration.prefix }),
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
