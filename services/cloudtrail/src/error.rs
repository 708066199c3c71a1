//! The errors of trails in AWS's own words, where they are known.

use plane::ApiError;

/// Why a call about a trail is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TrailError {
    #[error("Trail name too short. Minimum allowed length: 3 characters. Specified name length: {0} characters.")]
    NameShort(usize),
    #[error("Trail name too long. Maximum allowed length: 128 characters. Specified name length: {0} characters.")]
    NameLong(usize),
    #[error("Trail name must starts with a letter or number.")]
    NameStart,
    #[error("Trail name must ends with a letter or number.")]
    NameEnd,
    #[error(
        "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), and underscores (_)."
    )]
    NameCharacters,
    #[error("Trail name can not contain adjacent periods (.), hyphens (-) or underscores (_).")]
    NameAdjacent,
    #[error("Trail name can not be an IP address.")]
    NameAddress,
    #[error("{0} is not a valid trail ARN.")]
    Arn(String),
    #[error("Unknown trail: {name} for the user: {account}")]
    Missing { name: String, account: String },
    #[error("Trail {name} already exists for customer: {account}")]
    Exists { name: String, account: String },
    #[error("User: {account} already has {limit} trails in {region}.")]
    TooMany { account: String, limit: usize, region: String },
    #[error("The trail {arn} can only be changed in its home region {region}.")]
    HomeRegion { arn: String, region: String },
    #[error("S3 bucket {0} does not exist!")]
    BucketMissing(String),
    #[error("Incorrect S3 bucket policy is detected for bucket: {0}")]
    BucketPolicy(String),
    #[error("S3 prefix is longer than the allowed 200 characters, or has characters that are not allowed.")]
    Prefix,
    #[error("KMS key {0} does not exist.")]
    KeyMissing(String),
    #[error("Insufficient permissions to access S3 bucket {bucket} or KMS key {key}.")]
    KeyPolicy { bucket: String, key: String },
    #[error("{0}")]
    LogGroup(&'static str),
    #[error("{0}")]
    LogRole(&'static str),
    #[error("The name or ARN of the Amazon SNS topic is not valid.")]
    TopicName,
    #[error("SNS Topic does not exist or the topic policy is incorrect!")]
    TopicPolicy,
    #[error("Cannot set a CloudWatch Logs delivery for this region.")]
    LogsUnavailable,
    #[error("This operation can be performed only by the management account or a delegated administrator of an organization.")]
    NotManagementAccount,
    #[error("Your account is not a member of an organization.")]
    NoOrganization,
    #[error(
        "CloudTrail is not enabled as a trusted service in your organization. Enable trusted access, and then try the operation again."
    )]
    NoServiceAccess,
    #[error("AWS Organizations does not have all features enabled.")]
    NotAllFeatures,
    #[error("Account {0} is not a member of the organization.")]
    NoSuchAccount(String),
    #[error("Account {0} is already registered as a delegated administrator.")]
    AlreadyRegistered(String),
    #[error("Account {0} is not registered as a delegated administrator.")]
    NotRegistered(String),
    #[error("The management account cannot be registered as a delegated administrator.")]
    ManagementDelegate,
    #[error("An organization has at most three delegated administrators for CloudTrail.")]
    TooManyDelegates,
    #[error("{0}")]
    InsightSelectors(&'static str),
    #[error("{0}")]
    Parameter(String),
    #[error("{0}")]
    Unsupported(&'static str),
    #[error("{0}")]
    Combination(&'static str),
    #[error("{0}")]
    Selectors(String),
    #[error("Trail {0} does not have Insights enabled. Edit the trail settings to enable Insights, and then try the operation again.")]
    NoInsights(String),
    #[error("{0}")]
    Tags(&'static str),
    #[error("The tag limit of a trail is 50.")]
    TooManyTags,
    #[error("Resource not found: {0}")]
    ResourceMissing(String),
    #[error("The resource type of {0} is not supported here.")]
    ResourceType(String),
    #[error("Start time cannot be after end time.")]
    TimeRange,
    #[error("The token is not one that this listing gave.")]
    Token,
}

impl From<TrailError> for ApiError {
    fn from(error: TrailError) -> Self {
        use TrailError as E;
        let code = match &error {
            E::NameShort(_) | E::NameLong(_) | E::NameStart | E::NameEnd | E::NameCharacters | E::NameAdjacent | E::NameAddress => {
                "InvalidTrailNameException"
            }
            E::Arn(_) => "CloudTrailARNInvalidException",
            E::Missing { .. } => "TrailNotFoundException",
            E::Exists { .. } => "TrailAlreadyExistsException",
            E::TooMany { .. } => "MaximumNumberOfTrailsExceededException",
            E::HomeRegion { .. } => "InvalidHomeRegionException",
            E::BucketMissing(_) => "S3BucketDoesNotExistException",
            E::BucketPolicy(_) => "InsufficientS3BucketPolicyException",
            E::Prefix => "InvalidS3PrefixException",
            E::KeyMissing(_) => "KmsKeyNotFoundException",
            E::KeyPolicy { .. } => "InsufficientEncryptionPolicyException",
            E::LogGroup(_) => "InvalidCloudWatchLogsLogGroupArnException",
            E::LogRole(_) => "InvalidCloudWatchLogsRoleArnException",
            E::TopicName => "InvalidSnsTopicNameException",
            E::TopicPolicy => "InsufficientSnsTopicPolicyException",
            E::LogsUnavailable => "CloudWatchLogsDeliveryUnavailableException",
            E::NotManagementAccount => "NotOrganizationMasterAccountException",
            E::NoOrganization => "OrganizationsNotInUseException",
            E::NoServiceAccess => "CloudTrailAccessNotEnabledException",
            E::NotAllFeatures => "OrganizationNotInAllFeaturesModeException",
            E::NoSuchAccount(_) => "AccountNotFoundException",
            E::AlreadyRegistered(_) => "AccountRegisteredException",
            E::NotRegistered(_) => "AccountNotRegisteredException",
            E::ManagementDelegate => "CannotDelegateManagementAccountException",
            E::TooManyDelegates => "DelegatedAdminAccountLimitExceededException",
            E::InsightSelectors(_) => "InvalidInsightSelectorsException",
            E::Parameter(_) => "InvalidParameterException",
            E::Unsupported(_) => "UnsupportedOperationException",
            E::Combination(_) => "InvalidParameterCombinationException",
            E::Selectors(_) => "InvalidEventSelectorsException",
            E::NoInsights(_) => "InsightNotEnabledException",
            E::Tags(_) => "InvalidTagParameterException",
            E::TooManyTags => "TagsLimitExceededException",
            E::ResourceMissing(_) => "ResourceNotFoundException",
            E::ResourceType(_) => "ResourceTypeNotSupportedException",
            E::TimeRange => "InvalidTimeRangeException",
            E::Token => "InvalidNextTokenException",
        };
        Self::new(code, error.to_string())
    }
}
