//! Who somebody is: the caller, the owner of a key, and what an authorization message says.

use api_sts::{
    DecodeAuthorizationMessageInput, DecodeAuthorizationMessageOutput, GetAccessKeyInfoInput, GetAccessKeyInfoOutput,
    GetCallerIdentityInput, GetCallerIdentityOutput,
};
use plane::{ApiError, Call};

use crate::error::StsError;

pub(crate) async fn get_caller_identity(cx: &mut Call, _input: GetCallerIdentityInput) -> Result<GetCallerIdentityOutput, ApiError> {
    let principal = &cx.principal;
    Ok(GetCallerIdentityOutput {
        user_id: Some(principal.principal_id.clone()),
        account: Some(principal.account.clone()),
        arn: Some(principal.arn.clone()),
    })
}

pub(crate) async fn get_access_key_info(cx: &mut Call, input: GetAccessKeyInfoInput) -> Result<GetAccessKeyInfoOutput, ApiError> {
    let id = input.access_key_id;
    let account = if cx.principal.access_key_id.as_deref() == Some(&id) {
        cx.principal.account.clone()
    } else {
        let found = iam::access_key::find(&mut cx.tx, &id).await?;
        found.ok_or_else(|| StsError::ValidationError(format!("the access key id `{id}` is not known")))?.account
    };
    Ok(GetAccessKeyInfoOutput { account: Some(account) })
}

pub(crate) async fn decode_authorization_message(
    cx: &mut Call,
    input: DecodeAuthorizationMessageInput,
) -> Result<DecodeAuthorizationMessageOutput, ApiError> {
    let message = plane::authorize::decode_message(cx, &input.encoded_message).ok_or(StsError::InvalidAuthorizationMessage)?;
    Ok(DecodeAuthorizationMessageOutput { decoded_message: Some(message) })
}
