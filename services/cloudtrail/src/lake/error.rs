//! The errors of CloudTrail Lake. Codes are AWS's; where AWS's words are not documented, ours.

use plane::ApiError;

/// Why a call about event data stores and what belongs to them is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LakeError {
    #[error("The event data store ARN {0} is not valid.")]
    StoreArn(String),
    #[error("The event data store {0} was not found.")]
    StoreMissing(String),
    #[error("An event data store with the name {0} already exists.")]
    StoreExists(String),
    #[error("The account has the maximum number of event data stores, {0}.")]
    TooManyStores(usize),
    #[error("The event data store {0} is inactive.")]
    StoreInactive(String),
    #[error("The event data store {0} is protected from termination. Turn off termination protection, then try again.")]
    StoreProtected(String),
    #[error("The event data store {store} is in the status {status}, which does not allow this.")]
    StoreStatus { store: String, status: &'static str },
    #[error("The event data store {0} does not hold the category of events that this needs.")]
    StoreCategory(String),
    #[error("Channels send events to the event data store {0}.")]
    StoreHasChannels(String),
    #[error("The event data store {0} has an import that has not ended.")]
    StoreHasImport(String),
    #[error("{0}")]
    Parameter(String),
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("{0}")]
    Selectors(String),
    #[error("{0}")]
    Statement(String),
    #[error("The query {0} was not found.")]
    QueryMissing(String),
    #[error("The query {0} has ended.")]
    QueryInactive(String),
    #[error("The account runs the maximum number of queries, {0}.")]
    TooManyQueries(usize),
    #[error("The S3 bucket name {0} is not valid.")]
    BucketName(String),
    #[error("The start of the range is after its end.")]
    DateRange,
    #[error("The import {0} was not found.")]
    ImportMissing(String),
    #[error("The import source is not valid: {0}")]
    ImportSource(String),
    #[error("The account has an import that has not ended.")]
    ImportOngoing,
    #[error("The channel ARN {0} is not valid.")]
    ChannelArn(String),
    #[error("The channel {0} was not found.")]
    ChannelMissing(String),
    #[error("A channel with the name {0} already exists.")]
    ChannelExists(String),
    #[error("The account has the maximum number of channels, {0}.")]
    TooManyChannels(usize),
    #[error("The channel source {0} is not valid.")]
    ChannelSource(String),
    #[error("The dashboard {0} was not found.")]
    DashboardMissing(String),
    #[error("The resource ARN {0} is not valid.")]
    ResourceArn(String),
    #[error("The resource {0} was not found.")]
    ResourceMissing(String),
    #[error("The resource type of {0} has no resource policy.")]
    ResourceType(String),
    #[error("{0}")]
    ResourcePolicy(String),
    #[error("The resource {0} has no resource policy.")]
    ResourcePolicyMissing(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Quota(String),
    #[error("A query cannot be made of this prompt: no template fits it.")]
    Prompt,
    #[error("The KMS key {0} was not found.")]
    KeyMissing(String),
    #[error("The policy of the KMS key {0} does not let CloudTrail use it.")]
    KeyPolicy(String),
    #[error("The token is not one that this listing gave.")]
    Token,
}

impl From<LakeError> for ApiError {
    fn from(error: LakeError) -> Self {
        use LakeError as E;
        let code = match &error {
            E::StoreArn(_) => "EventDataStoreARNInvalidException",
            E::StoreMissing(_) => "EventDataStoreNotFoundException",
            E::StoreExists(_) => "EventDataStoreAlreadyExistsException",
            E::TooManyStores(_) => "EventDataStoreMaxLimitExceededException",
            E::StoreInactive(_) => "InactiveEventDataStoreException",
            E::StoreProtected(_) => "EventDataStoreTerminationProtectedException",
            E::StoreStatus { .. } => "InvalidEventDataStoreStatusException",
            E::StoreCategory(_) => "InvalidEventDataStoreCategoryException",
            E::StoreHasChannels(_) => "ChannelExistsForEDSException",
            E::StoreHasImport(_) => "EventDataStoreHasOngoingImportException",
            E::Parameter(_) => "InvalidParameterException",
            E::Unsupported(_) => "UnsupportedOperationException",
            E::Selectors(_) => "InvalidEventSelectorsException",
            E::Statement(_) => "InvalidQueryStatementException",
            E::QueryMissing(_) => "QueryIdNotFoundException",
            E::QueryInactive(_) => "InactiveQueryException",
            E::TooManyQueries(_) => "MaxConcurrentQueriesException",
            E::BucketName(_) => "InvalidS3BucketNameException",
            E::DateRange => "InvalidDateRangeException",
            E::ImportMissing(_) => "ImportNotFoundException",
            E::ImportSource(_) => "InvalidImportSourceException",
            E::ImportOngoing => "AccountHasOngoingImportException",
            E::ChannelArn(_) => "ChannelARNInvalidException",
            E::ChannelMissing(_) => "ChannelNotFoundException",
            E::ChannelExists(_) => "ChannelAlreadyExistsException",
            E::TooManyChannels(_) => "ChannelMaxLimitExceededException",
            E::ChannelSource(_) => "InvalidSourceException",
            E::DashboardMissing(_) | E::ResourceMissing(_) => "ResourceNotFoundException",
            E::ResourceArn(_) => "ResourceARNNotValidException",
            E::ResourceType(_) => "ResourceTypeNotSupportedException",
            E::ResourcePolicy(_) => "ResourcePolicyNotValidException",
            E::ResourcePolicyMissing(_) => "ResourcePolicyNotFoundException",
            E::Conflict(_) => "ConflictException",
            E::Quota(_) => "ServiceQuotaExceededException",
            E::Prompt => "GenerateResponseException",
            E::KeyMissing(_) => "KmsKeyNotFoundException",
            E::KeyPolicy(_) => "InsufficientEncryptionPolicyException",
            E::Token => "InvalidNextTokenException",
        };
        Self::new(code, error.to_string())
    }
}
