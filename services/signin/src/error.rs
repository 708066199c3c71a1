//! The errors of AWS Sign-In: a code, and a member `error` that says which of its causes it is.
//!
//! Source: AWS Sign-In API Reference, "CreateOAuth2Token", Errors.

use plane::ApiError;
use wire::Value;

/// Name of the member.
const ERROR: &str = "error";

fn with(code: &'static str, error: &'static str, message: &str) -> ApiError {
    ApiError::new(code, message).with_member(ERROR, Value::Str(error.to_owned()))
}

/// The request is malformed, or does not fit to what it names.
pub(crate) fn invalid_request(message: &str) -> ApiError {
    with("ValidationException", "INVALID_REQUEST", message)
}

/// The code is unknown, used or too old.
pub(crate) fn code_expired() -> ApiError {
    with("AccessDeniedException", "AUTHCODE_EXPIRED", "The authorization code has expired or was used already.")
}

/// The session that began with the sign-in is over.
pub(crate) fn token_expired() -> ApiError {
    with("AccessDeniedException", "TOKEN_EXPIRED", "The refresh token has expired.")
}

/// The user is gone, or its password is not the one of the sign-in any more.
pub(crate) fn credentials_changed() -> ApiError {
    with("AccessDeniedException", "USER_CREDENTIALS_CHANGED", "The credentials of the user have changed since the sign-in.")
}

/// The caller may not have what it asks for, however it is allowed.
pub(crate) fn insufficient_permissions(message: &str) -> ApiError {
    with("AccessDeniedException", "INSUFFICIENT_PERMISSIONS", message)
}

/// More sign-ins wait than can be worked on.
pub(crate) fn rate_exceeded() -> ApiError {
    with("TooManyRequestsError", "rate_exceeded", "Rate exceeded").with_status(429)
}

/// An error of the plane in this service's words.
pub(crate) fn in_own_words(mut error: ApiError) -> ApiError {
    if error.members.iter().any(|(name, _)| name == ERROR) {
        return error;
    }
    let kind = match error.code.as_ref() {
        "AccessDeniedException" => "INSUFFICIENT_PERMISSIONS",
        "ValidationException" => "INVALID_REQUEST",
        "ThrottlingException" => return rate_exceeded(),
        "InternalFailure" => {
            error.code = "InternalServerException".into();
            "server_error"
        }
        _ => return error,
    };
    error.with_member(ERROR, Value::Str(kind.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_says_which_it_is() {
        let kind = |error: ApiError| error.members.into_iter().find_map(|(_, value)| value.as_str().map(str::to_owned));
        let of = |code: &'static str| kind(in_own_words(ApiError::new(code, "")));
        assert_eq!(of("AccessDeniedException").as_deref(), Some("INSUFFICIENT_PERMISSIONS"));
        assert_eq!(of("ValidationException").as_deref(), Some("INVALID_REQUEST"));
        assert_eq!(of("ThrottlingException").as_deref(), Some("rate_exceeded"));
        assert_eq!(of("NotImplemented"), None);
        assert_eq!(kind(in_own_words(token_expired())).as_deref(), Some("TOKEN_EXPIRED"), "what is said stays");
    }
}
