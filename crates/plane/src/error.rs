//! What a call answers when it does not succeed.

use std::borrow::Cow;

use facts::{Operation, Service};
use wire::Value;

/// An error in the API's own terms: the code and message that the client sees.
#[derive(Clone, Debug)]
pub struct ApiError {
    pub code: Cow<'static, str>,
    pub message: String,
    /// `None`: the status that the facts give to the code, else 400.
    pub status: Option<u16>,
    /// Further members of the error structure (`Resource`, `BucketName`, ...).
    pub members: Vec<(String, Value)>,
    /// Further headers of the answer (`x-amz-bucket-region`): what a reply to HEAD can say.
    pub headers: Vec<(&'static str, String)>,
    /// The server's own fault: the cause goes to the log, not to the client.
    pub internal: bool,
}

impl ApiError {
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), status: None, members: Vec::new(), headers: Vec::new(), internal: false }
    }

    pub fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    pub fn with_member(mut self, name: &str, value: Value) -> Self {
        self.members.push((name.to_owned(), value));
        self
    }

    pub fn with_header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// An unexpected failure of ours. `cause` is logged; the client learns nothing of it.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal failure");
        Self {
            code: "InternalFailure".into(),
            message: "The request processing has failed because of an unknown error, exception or failure.".to_owned(),
            status: Some(500),
            members: Vec::new(),
            headers: Vec::new(),
            internal: true,
        }
    }

    /// The answer of an operation that has no handler.
    pub fn not_implemented(service: &Service, operation: &Operation) -> Self {
        let message = format!(
            "the operation `{}` of `{}` is recognised, authorized and recorded, but Bailiwick does not implement it yet",
            operation.name, service.head.id
        );
        Self::new("NotImplemented", message).with_status(501)
    }

    /// Nothing can be recorded, so nothing is done.
    pub fn unrecordable(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a call is refused because its event cannot be recorded");
        Self::new("ServiceUnavailable", "the call was refused because its audit event cannot be recorded").with_status(503)
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for ApiError {}

impl From<store::StoreError> for ApiError {
    fn from(error: store::StoreError) -> Self {
        Self::internal(&error)
    }
}

impl From<serde_json::Error> for ApiError {
    fn from(error: serde_json::Error) -> Self {
        Self::internal(&error)
    }
}

/// Status of an error: its own, else the facts', else 400.
pub fn status_of(error: &ApiError, service: &'static Service, operation: Option<&'static Operation>) -> u16 {
    if let Some(status) = error.status {
        return status;
    }
    let of_shape = |shape: &facts::Shape| {
        shape
            .error
            .as_ref()
            .filter(|facts| facts.code == error.code || shape.name == error.code)
            .map(|facts| facts.status.unwrap_or(if facts.sender_fault { 400 } else { 500 }))
    };
    operation
        .and_then(|operation| operation.errors.iter().find_map(|id| of_shape(service.shape(*id))))
        .or_else(|| service.shapes.iter().find_map(of_shape))
        .unwrap_or_else(|| {
            if error.code.starts_with("AccessDenied")
                && !matches!(service.head.protocols.first(), Some(facts::Protocol::Json10 | facts::Protocol::Json11))
            {
                403
            } else {
                400
            }
        })
}
