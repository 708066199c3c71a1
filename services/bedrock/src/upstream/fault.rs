//! What goes wrong with a model server, in Bedrock's terms.

use http::StatusCode;
use outbound::OutboundError;
use plane::ApiError;
use serde_json::Value as Json;
use wire::Value;

/// Most of an upstream's error text that is passed on, characters.
const ERROR_LENGTH: usize = 500;

/// One try failed before the answer began.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: ApiError,
    /// The request may succeed elsewhere, or later: it is not the request that is wrong.
    pub(crate) may_go_elsewhere: bool,
    /// It speaks against the server's health.
    pub(crate) is_sick: bool,
}

impl Failure {
    /// The request itself is at fault.
    pub(crate) fn of_request(error: ApiError) -> Self {
        Self { error, may_go_elsewhere: false, is_sick: false }
    }

    pub(crate) fn busy() -> Self {
        Self { error: too_many_requests(), may_go_elsewhere: true, is_sick: false }
    }

    pub(crate) fn unreadable() -> Self {
        Self { error: model_error(None, "the model server's answer cannot be read"), may_go_elsewhere: true, is_sick: true }
    }
}

impl From<OutboundError> for Failure {
    fn from(error: OutboundError) -> Self {
        Self { error: outbound_error(&error), may_go_elsewhere: true, is_sick: true }
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::of_request(error.into())
    }
}

/// The message in an error body, whichever of the usual forms it has.
fn error_text(body: &[u8]) -> String {
    let json: Json = serde_json::from_slice(body).unwrap_or_default();
    let message = ["/error/message", "/message", "/Message", "/error", "/detail"].into_iter().find_map(|path| json.pointer(path)?.as_str());
    message.unwrap_or_default().chars().take(ERROR_LENGTH).collect()
}

/// An error status of the upstream.
pub(crate) fn status_failure(status: StatusCode, body: &[u8]) -> Failure {
    let message = error_text(body);
    let failure = |error, may_go_elsewhere, is_sick| Failure { error, may_go_elsewhere, is_sick };
    match status.as_u16() {
        408 | 504 => failure(timed_out(), true, true),
        429 => Failure::busy(),
        503 | 529 => failure(unavailable(&format!("it answers {status}")), true, true),
        // Our own secret is wrong or missing: the caller can do nothing about it and learns nothing of it.
        401 | 403 => failure(unavailable("it refuses this server's own credentials"), true, false),
        400 | 404 | 413 | 422 => {
            let told = ApiError::new("ValidationException", format!("The model returned the following errors: {message}"));
            failure(told, status == StatusCode::NOT_FOUND, false)
        }
        other => failure(model_error(Some(other), "the model server failed"), true, other >= 500),
    }
}

/// A call that did not come through.
pub(crate) fn outbound_error(error: &OutboundError) -> ApiError {
    tracing::warn!(%error, "the model server did not answer");
    match error {
        OutboundError::HeadTimeout(_) | OutboundError::BodyTimeout(_) => timed_out(),
        OutboundError::TooLarge(_) | OutboundError::Broken(_) => model_error(None, "the model server's answer broke off"),
        OutboundError::ConnectTimeout(_)
        | OutboundError::Url(_)
        | OutboundError::Internal { .. }
        | OutboundError::Resolve { .. }
        | OutboundError::Connect { .. }
        | OutboundError::Tls { .. } => unavailable("it cannot be reached"),
    }
}

pub(crate) fn timed_out() -> ApiError {
    ApiError::new("ModelTimeoutException", "Model has timed out in processing the request. Try your request again.").with_status(408)
}

pub(crate) fn unavailable(cause: &str) -> ApiError {
    tracing::warn!(%cause, "the model server is not available");
    ApiError::new("ServiceUnavailableException", format!("The model server is not available: {cause}")).with_status(503)
}

pub(crate) fn too_many_requests() -> ApiError {
    ApiError::new("ThrottlingException", "Too many requests, please wait before trying again.").with_status(429)
}

pub(crate) fn too_many_tokens() -> ApiError {
    ApiError::new("ThrottlingException", "Too many tokens, please wait before trying again.").with_status(429)
}

pub(crate) fn model_error(original_status: Option<u16>, message: &str) -> ApiError {
    let error = ApiError::new("ModelErrorException", message).with_status(424);
    match original_status {
        Some(status) => error.with_member("originalStatusCode", Value::Int(status.into())),
        None => error,
    }
}

/// A failure inside a stream.
pub(crate) fn stream_error(message: &str) -> ApiError {
    ApiError::new("ModelStreamErrorException", message).with_status(424)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_upstream_have_bedrock_codes() {
        let of = |status: u16| status_failure(StatusCode::from_u16(status).unwrap(), b"");
        for (status, code, elsewhere, sick) in [
            (429, "ThrottlingException", true, false),
            (500, "ModelErrorException", true, true),
            (302, "ModelErrorException", true, false),
            (503, "ServiceUnavailableException", true, true),
            (401, "ServiceUnavailableException", true, false),
            (504, "ModelTimeoutException", true, true),
            (400, "ValidationException", false, false),
        ] {
            let failure = of(status);
            assert_eq!((failure.error.code.as_ref(), failure.may_go_elsewhere, failure.is_sick), (code, elsewhere, sick), "{status}");
        }
        let refused = OutboundError::Connect { host: "h".to_owned(), cause: "c".to_owned() };
        assert_eq!(outbound_error(&refused).code, "ServiceUnavailableException");
        assert_eq!(outbound_error(&OutboundError::HeadTimeout(1)).code, "ModelTimeoutException");
        assert_eq!(outbound_error(&OutboundError::HeadTimeout(1)).status, Some(408));
        assert_eq!(error_text(br#"{"error":{"message":"too long"}}"#), "too long");
        assert_eq!(error_text(br#"{"error":"no such model"}"#), "no such model");
        assert_eq!(error_text(b"<html>"), "");
    }
}
