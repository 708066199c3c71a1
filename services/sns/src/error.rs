//! The errors of SNS in AWS's own words, where they are known.

use plane::ApiError;

/// What is refused. Statuses come from the facts by code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnsError {
    #[error("Topic does not exist")]
    TopicMissing,
    #[error("Subscription does not exist")]
    SubscriptionMissing,
    #[error("Resource does not exist")]
    ResourceMissing,
    #[error("Invalid parameter: {0}")]
    Parameter(String),
    #[error("Invalid parameter: {0}")]
    Value(String),
    #[error("{0}")]
    Unauthorized(String),
    #[error("Maximum number of subscriptions of the topic is reached")]
    TooManySubscriptions,
    #[error("Invalid parameter: FilterPolicy: {0}")]
    FilterPolicy(String),
    #[error("Could not complete request: tag quota of per resource exceeded")]
    TooManyTags,
    #[error("The batch request doesn't contain any entries.")]
    EmptyBatch,
    #[error("The batch request contains more entries than permissible.")]
    TooManyEntries,
    #[error("Two or more batch entries in the request have the same Id.")]
    IdsNotDistinct,
    #[error("The Id of a batch entry in a batch request doesn't abide by the specification.")]
    EntryId,
    #[error("The length of all the batch messages put together is more than the limit.")]
    BatchTooLong,
}

impl SnsError {
    pub(crate) fn parameter(message: impl Into<String>) -> Self {
        Self::Parameter(message.into())
    }
}

impl From<SnsError> for ApiError {
    fn from(error: SnsError) -> Self {
        use SnsError as E;
        let code = match &error {
            E::TopicMissing | E::SubscriptionMissing => "NotFound",
            E::ResourceMissing => "ResourceNotFound",
            E::Parameter(_) | E::FilterPolicy(_) => "InvalidParameter",
            E::Value(_) => "ParameterValueInvalid",
            E::Unauthorized(_) => "AuthorizationError",
            E::TooManySubscriptions => "SubscriptionLimitExceeded",
            E::TooManyTags => "TagLimitExceeded",
            E::EmptyBatch => "EmptyBatchRequest",
            E::TooManyEntries => "TooManyEntriesInBatchRequest",
            E::IdsNotDistinct => "BatchEntryIdsNotDistinct",
            E::EntryId => "InvalidBatchEntryId",
            E::BatchTooLong => "BatchRequestTooLong",
        };
        Self::new(code, error.to_string())
    }
}
