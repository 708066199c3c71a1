//! Which tokens the global endpoint of STS gives out.
//!
//! Source: IAM API Reference, "SetSecurityTokenServicePreferences".

use api_iam::{GlobalEndpointTokenVersion, SetSecurityTokenServicePreferencesInput, SetSecurityTokenServicePreferencesOutput};
use plane::{ApiError, Call};

use crate::account;

/// There is one form of token here, good in every region: what AWS calls version 2. The other is refused.
pub(crate) async fn set_security_token_service_preferences(
    cx: &mut Call,
    input: SetSecurityTokenServicePreferencesInput,
) -> Result<SetSecurityTokenServicePreferencesOutput, ApiError> {
    account::load(&mut cx.tx, &cx.account).await?;
    match input.global_endpoint_token_version {
        GlobalEndpointTokenVersion::V2Token => Ok(SetSecurityTokenServicePreferencesOutput {}),
        other => {
            let text = format!("the token version {other} is not supported: tokens are good in every region");
            Err(crate::error::IamError::ValidationError(text).into())
        }
    }
}
