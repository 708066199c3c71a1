//! The errors of Roles Anywhere.

use plane::ApiError;

/// What is refused. Statuses come from the facts by code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RolesAnywhereError {
    #[error("{0}")]
    AccessDenied(String),
    #[error("{0}")]
    ResourceNotFound(String),
    #[error("{0}")]
    TooManyTags(String),
    #[error("{0}")]
    Validation(String),
}

impl From<RolesAnywhereError> for ApiError {
    fn from(error: RolesAnywhereError) -> Self {
        let code = match &error {
            RolesAnywhereError::AccessDenied(_) => "AccessDeniedException",
            RolesAnywhereError::ResourceNotFound(_) => "ResourceNotFoundException",
            RolesAnywhereError::TooManyTags(_) => "TooManyTagsException",
            RolesAnywhereError::Validation(_) => "ValidationException",
        };
        Self::new(code, error.to_string())
    }
}

/// A member that is known and that we do not honour.
pub(crate) fn unsupported(member: &str) -> ApiError {
    RolesAnywhereError::Validation(format!("the parameter `{member}` is not supported")).into()
}
