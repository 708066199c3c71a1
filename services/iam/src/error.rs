//! The errors of IAM, with AWS's codes and texts.

use plane::ApiError;
use plane::page::PageError;

use crate::entity::EntityKind;

/// What IAM refuses. Statuses come from the facts by code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IamError {
    #[error("{0}")]
    NoSuchEntity(String),
    #[error("{0}")]
    EntityAlreadyExists(String),
    #[error("{0}")]
    DeleteConflict(String),
    #[error("{0}")]
    LimitExceeded(String),
    #[error("{0}")]
    MalformedPolicyDocument(String),
    #[error("{0}")]
    InvalidInput(String),
    #[error("{0}")]
    ValidationError(String),
    #[error("{0}")]
    ServiceNotSupported(String),
    #[error("{0}")]
    PolicyEvaluation(String),
    #[error("{0}")]
    ReportNotPresent(String),
    #[error("{0}")]
    ReportExpired(String),
}

impl From<IamError> for ApiError {
    fn from(error: IamError) -> Self {
        let code = match &error {
            IamError::NoSuchEntity(_) => "NoSuchEntity",
            IamError::EntityAlreadyExists(_) => "EntityAlreadyExists",
            IamError::DeleteConflict(_) => "DeleteConflict",
            IamError::LimitExceeded(_) => "LimitExceeded",
            IamError::MalformedPolicyDocument(_) => "MalformedPolicyDocument",
            IamError::InvalidInput(_) => "InvalidInput",
            IamError::ValidationError(_) => "ValidationError",
            IamError::ServiceNotSupported(_) => "NotSupportedService",
            IamError::PolicyEvaluation(_) => "PolicyEvaluation",
            IamError::ReportNotPresent(_) => "ReportNotPresent",
            IamError::ReportExpired(_) => "ReportExpired",
        };
        Self::new(code, error.to_string())
    }
}

/// "The user with name X cannot be found."
pub fn no_such_entity(kind: EntityKind, name: &str) -> ApiError {
    let kind = kind.name();
    IamError::NoSuchEntity(format!("The {kind} with name {name} cannot be found.")).into()
}

/// "User with name X already exists."
pub fn entity_already_exists(kind: EntityKind, name: &str) -> ApiError {
    let kind = kind.title();
    IamError::EntityAlreadyExists(format!("{kind} with name {name} already exists.")).into()
}

/// "Cannot delete entity, must ... first."
pub fn delete_conflict(what: &str) -> ApiError {
    IamError::DeleteConflict(format!("Cannot delete entity, must {what} first.")).into()
}

/// "Cannot exceed quota for X: n"
pub fn quota_exceeded(quota: &str, limit: usize) -> ApiError {
    IamError::LimitExceeded(format!("Cannot exceed quota for {quota}: {limit}")).into()
}

/// A marker that this list did not give.
pub fn page_error(error: PageError) -> ApiError {
    match error {
        PageError::Token(_) => IamError::ValidationError("Invalid Marker.".to_owned()).into(),
        PageError::Failed(error) => error,
    }
}
