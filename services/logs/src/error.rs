//! The errors of CloudWatch Logs in AWS's own words, where they are known.

use plane::ApiError;

/// What is refused. Statuses come from the facts by code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogsError {
    #[error("The specified log group does not exist.")]
    GroupMissing,
    #[error("The specified log stream does not exist.")]
    StreamMissing,
    #[error("The specified resource does not exist.")]
    ResourceMissing,
    #[error("The specified {0} does not exist.")]
    SettingMissing(&'static str),
    #[error("The specified log group already exists")]
    GroupExists,
    #[error("The specified log stream already exists")]
    StreamExists,
    #[error("Policy with name [{0}] does not exist.")]
    PolicyMissing(String),
    #[error("{0}")]
    Parameter(String),
    #[error("The specified KMS key does not exist or is not allowed to be used with LogGroup '{0}'")]
    Key(String),
    #[error("Resource limit exceeded.")]
    Limit,
    #[error("The maximum number of tags on a resource is 50.")]
    TooManyTags,
    #[error("Deletion protection is enabled for the log group. Disable it, and then try the operation again.")]
    Protected,
    #[error("The revision id is not that of the policy: another request has changed it.")]
    Revision,
}

impl LogsError {
    pub(crate) fn parameter(message: impl Into<String>) -> Self {
        Self::Parameter(message.into())
    }
}

impl From<LogsError> for ApiError {
    fn from(error: LogsError) -> Self {
        use LogsError as E;
        let code = match &error {
            E::GroupMissing | E::StreamMissing | E::ResourceMissing | E::SettingMissing(_) | E::PolicyMissing(_) => {
                "ResourceNotFoundException"
            }
            E::GroupExists | E::StreamExists => "ResourceAlreadyExistsException",
            E::Parameter(_) | E::Key(_) => "InvalidParameterException",
            E::Limit => "LimitExceededException",
            E::TooManyTags => "TooManyTagsException",
            E::Protected => "ValidationException",
            E::Revision => "OperationAbortedException",
        };
        Self::new(code, error.to_string())
    }
}

/// A member that is known and that we do not honour.
pub(crate) fn unsupported(member: &str) -> ApiError {
    LogsError::Parameter(format!("the parameter `{member}` is not supported")).into()
}
