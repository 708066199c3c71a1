//! Tokens that leave: `GetWebIdentityToken` and `GetDelegatedAccessToken`. Neither can be had here: outbound web identity federation cannot be
//! switched on (see `iam`), and there are no delegation requests whose tokens could be traded in.

use api_sts::{GetDelegatedAccessTokenInput, GetDelegatedAccessTokenOutput, GetWebIdentityTokenInput, GetWebIdentityTokenOutput};
use plane::{ApiError, Call};

use crate::error::StsError;

pub(crate) async fn get_web_identity_token(
    _cx: &mut Call,
    _input: GetWebIdentityTokenInput,
) -> Result<GetWebIdentityTokenOutput, ApiError> {
    Err(StsError::OutboundFederationDisabled("Outbound web identity federation is disabled for the account.".to_owned()).into())
}

pub(crate) async fn get_delegated_access_token(
    _cx: &mut Call,
    _input: GetDelegatedAccessTokenInput,
) -> Result<GetDelegatedAccessTokenOutput, ApiError> {
    Err(StsError::ExpiredTradeInToken("The trade-in token is expired or was never given out.".to_owned()).into())
}
