//! What goes back: outputs and errors as HTTP answers, in the caller's protocol.

use facts::{Operation, Protocol, Service as ServiceFacts};
use http::{HeaderValue, Response};
use wire::{Encoded, ErrorReply, Value};

use crate::body::{self, Body, BodyError};
use crate::error::{ApiError, status_of};

/// A body's failure in the API's terms.
pub fn body_error(error: &BodyError) -> ApiError {
    match error {
        BodyError::Rejected(error) => error.clone(),
        BodyError::TooLarge(limit) => ApiError::new("RequestEntityTooLarge", format!("the body of the request is larger than {limit} bytes")).with_status(413),
        BodyError::Timeout => ApiError::new("RequestTimeout", "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.").with_status(400),
        BodyError::Incomplete => ApiError::new("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header.").with_status(400),
        BodyError::Other(cause) => {
            tracing::debug!(%cause, "a request body broke off");
            ApiError::new("IncompleteBody", "The request body terminated unexpectedly").with_status(400)
        }
    }
}

/// Checks an input that no codec has decoded.
pub(crate) fn checked(service: &'static ServiceFacts, operation: &'static Operation, input: Value) -> Result<Value, ApiError> {
    let violations = operation.input.map(|shape| wire::violations(service, shape, &input)).unwrap_or_default();
    if violations.is_empty() {
        return Ok(input);
    }
    let reply = wire::DecodeError::Validation(violations).to_reply(service);
    Err(ApiError::new(reply.code, reply.message).with_status(reply.status))
}

/// An error with the status that it has in its service.
pub(crate) fn error_reply(service: Option<&'static ServiceFacts>, operation: Option<&'static Operation>, error: &ApiError) -> ErrorReply {
    let status = service.map_or_else(|| error.status.unwrap_or(400), |service| status_of(error, service, operation));
    ErrorReply {
        code: error.code.to_string(),
        message: error.message.clone(),
        status,
        sender_fault: status < 500,
        members: error.members.clone(),
    }
}

/// Encodes an error in the caller's protocol.
pub fn encode_error(
    protocol: Protocol,
    service: Option<&'static ServiceFacts>,
    operation: Option<&'static Operation>,
    error: &ApiError,
    request_id: &str,
    head_only: bool,
) -> Response<Body> {
    let reply = error_reply(service, operation, error);
    let mut encoded = wire::encode_error(protocol, service, &reply, request_id);
    encoded.headers.extend(error.headers.iter().map(|(name, value)| ((*name).into(), value.clone())));
    if head_only {
        encoded.body.clear();
    }
    response(encoded, None)
}

pub(crate) fn response(encoded: Encoded, streamed: Option<Body>) -> Response<Body> {
    let mut response = Response::new(streamed.unwrap_or_else(|| body::full(encoded.body)));
    *response.status_mut() = http::StatusCode::from_u16(encoded.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in encoded.headers {
        let name: &str = name.as_ref();
        if let (Ok(name), Ok(value)) = (http::HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(&value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

pub(crate) fn plain_error(error: &ApiError) -> Response<Body> {
    let mut response = Response::new(body::full(error.message.clone()));
    *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
    response
}
