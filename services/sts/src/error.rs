//! The errors of STS, with AWS's codes and texts.

use plane::ApiError;

/// What STS refuses. Statuses come from the facts by code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StsError {
    #[error("{0}")]
    AccessDenied(String),
    #[error("{0}")]
    ValidationError(String),
    #[error("{0}")]
    InvalidParameterValue(String),
    #[error("{0}")]
    MalformedPolicyDocument(String),
    #[error("{0}")]
    InvalidIdentityToken(String),
    #[error("{0}")]
    IdpCommunicationError(String),
    #[error("{0}")]
    IdpRejectedClaim(String),
    #[error("{0}")]
    ExpiredToken(String),
    #[error("{0}")]
    OutboundFederationDisabled(String),
    #[error("{0}")]
    SessionDurationEscalation(String),
    #[error("{0}")]
    JwtPayloadSizeExceeded(String),
    #[error("{0}")]
    ExpiredTradeInToken(String),
    #[error("Packed policy consumes {0}% of allotted space, please use smaller policy.")]
    PackedPolicyTooLarge(usize),
    #[error("Message is not valid")]
    InvalidAuthorizationMessage,
}

impl From<StsError> for ApiError {
    fn from(error: StsError) -> Self {
        let code = match &error {
            StsError::AccessDenied(_) => "AccessDenied",
            StsError::ValidationError(_) => "ValidationError",
            StsError::InvalidParameterValue(_) => "InvalidParameterValue",
            StsError::MalformedPolicyDocument(_) => "MalformedPolicyDocument",
            StsError::InvalidIdentityToken(_) => "InvalidIdentityToken",
            StsError::IdpCommunicationError(_) => "IDPCommunicationError",
            StsError::IdpRejectedClaim(_) => "IDPRejectedClaim",
            StsError::ExpiredToken(_) => "ExpiredTokenException",
            StsError::OutboundFederationDisabled(_) => "OutboundWebIdentityFederationDisabledException",
            StsError::SessionDurationEscalation(_) => "SessionDurationEscalationException",
            StsError::JwtPayloadSizeExceeded(_) => "JWTPayloadSizeExceededException",
            StsError::ExpiredTradeInToken(_) => "ExpiredTradeInTokenException",
            StsError::PackedPolicyTooLarge(_) => "PackedPolicyTooLarge",
            StsError::InvalidAuthorizationMessage => "InvalidAuthorizationMessageException",
        };
        Self::new(code, error.to_string())
    }
}

/// An MFA code came, and there is no device that could have made it.
pub(crate) fn mfa_failed() -> ApiError {
    let text = "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and \
                associated with this user.";
    StsError::AccessDenied(text.to_owned()).into()
}

/// A parameter that is known and that we do not honour.
pub(crate) fn unsupported(parameter: &str) -> ApiError {
    StsError::ValidationError(format!("the parameter `{parameter}` is not supported")).into()
}
