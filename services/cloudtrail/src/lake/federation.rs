//! Federation of event data stores with AWS Glue. There is no Glue Data Catalog here that Athena could query through, so it is refused.

use api_cloudtrail::{DisableFederationInput, DisableFederationOutput, EnableFederationInput, EnableFederationOutput};
use plane::{ApiError, Call};

use super::error::LakeError;
use super::event_data_store;

pub(crate) async fn enable_federation(cx: &mut Call, input: EnableFederationInput) -> Result<EnableFederationOutput, ApiError> {
    event_data_store::find_active(cx, &input.event_data_store).await?;
    Err(LakeError::Unsupported("Lake query federation needs the AWS Glue Data Catalog, which is not served here.").into())
}

/// No store is federated, so there is nothing to disable.
pub(crate) async fn disable_federation(cx: &mut Call, input: DisableFederationInput) -> Result<DisableFederationOutput, ApiError> {
    let store = event_data_store::find_active(cx, &input.event_data_store).await?;
    Err(LakeError::Parameter(format!("Lake query federation is not enabled for the event data store {}.", store.arn())).into())
}
