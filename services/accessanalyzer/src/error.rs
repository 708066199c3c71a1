//! The errors of Access Analyzer.

use plane::ApiError;
use wire::Value;

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnalyzerError {
    #[error("The specified resource could not be found.")]
    NotFound { resource_type: &'static str, id: String },
    #[error("A resource with the same name already exists.")]
    Exists { resource_type: &'static str, id: String },
    #[error("The maximum number of resources of this type is reached.")]
    QuotaExceeded { resource_type: &'static str, id: String },
    #[error("{message}")]
    Invalid { field: &'static str, message: String },
    #[error("{0}")]
    NotSupported(&'static str),
    #[error("{0}")]
    InvalidParameter(String),
    #[error("{0}")]
    Unprocessable(String),
}

impl AnalyzerError {
    pub(crate) fn analyzer(id: &str) -> Self {
        Self::NotFound { resource_type: "analyzer", id: id.to_owned() }
    }

    pub(crate) fn finding(id: &str) -> Self {
        Self::NotFound { resource_type: "finding", id: id.to_owned() }
    }

    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Self::Invalid { field, message: message.into() }
    }
}

fn text(value: impl Into<String>) -> Value {
    Value::Str(value.into())
}

impl From<AnalyzerError> for ApiError {
    fn from(error: AnalyzerError) -> Self {
        let message = error.to_string();
        let of_resource = |code: &'static str, resource_type: &str, id: String| {
            Self::new(code, message.clone()).with_member("resourceType", text(resource_type)).with_member("resourceId", text(id))
        };
        match error {
            AnalyzerError::NotFound { resource_type, id } => of_resource("ResourceNotFoundException", resource_type, id),
            AnalyzerError::Exists { resource_type, id } => of_resource("ConflictException", resource_type, id),
            AnalyzerError::QuotaExceeded { resource_type, id } => of_resource("ServiceQuotaExceededException", resource_type, id),
            AnalyzerError::Invalid { field, message } => {
                let mut entry = wire::Struct::new();
                entry.set("name", text(field));
                entry.set("message", text(message.clone()));
                Self::new("ValidationException", message)
                    .with_member("reason", text("fieldValidationFailed"))
                    .with_member("fieldList", Value::List(vec![Value::Struct(entry)]))
            }
            AnalyzerError::NotSupported(message) => Self::new("ValidationException", message).with_member("reason", text("notSupported")),
            AnalyzerError::InvalidParameter(message) => Self::new("InvalidParameterException", message),
            AnalyzerError::Unprocessable(message) => Self::new("UnprocessableEntityException", message),
        }
    }
}
