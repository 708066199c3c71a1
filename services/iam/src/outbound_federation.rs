//! Outbound web identity federation: tokens that this server would sign for other services. It cannot be switched on here (that operation is
//! answered as not implemented), so it is off.
//!
//! Source: IAM API Reference, "GetOutboundWebIdentityFederationInfo".

use api_iam::{
    DisableOutboundWebIdentityFederationInput, DisableOutboundWebIdentityFederationOutput, GetOutboundWebIdentityFederationInfoInput,
    GetOutboundWebIdentityFederationInfoOutput,
};
use plane::{ApiError, Call};

use crate::error::IamError;

fn disabled() -> ApiError {
    IamError::FeatureDisabled("Outbound web identity federation is disabled for the account.".to_owned()).into()
}

pub(crate) async fn get_outbound_web_identity_federation_info(
    _cx: &mut Call,
    _input: GetOutboundWebIdentityFederationInfoInput,
) -> Result<GetOutboundWebIdentityFederationInfoOutput, ApiError> {
    Err(disabled())
}

pub(crate) async fn disable_outbound_web_identity_federation(
    _cx: &mut Call,
    _input: DisableOutboundWebIdentityFederationInput,
) -> Result<DisableOutboundWebIdentityFederationOutput, ApiError> {
    Err(disabled())
}
