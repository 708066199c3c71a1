//! The errors of KMS in AWS's own words.

use plane::ApiError;

/// Why a call is refused. The texts are those of AWS where they are known, so they do not follow our own style.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KmsError {
    #[error("Key '{0}' does not exist")]
    KeyMissing(String),
    #[error("Invalid keyId '{0}'")]
    KeyIdInvalid(String),
    #[error("Invalid arn {0}")]
    RegionWrong(String),
    #[error("Invalid arn {0}")]
    ArnInvalid(String),
    #[error("ARN does not refer to a valid principal: {0}")]
    PrincipalMissing(String),
    #[error("Alias {0} is not found.")]
    AliasMissing(String),
    #[error("An alias with the name {0} already exists")]
    AliasExists(String),
    #[error("Alias must start with the prefix \"alias/\". Please see https://docs.aws.amazon.com/kms/latest/developerguide/kms-alias.html")]
    AliasPrefix,
    #[error("{0} is not a valid alias name")]
    AliasName(String),
    #[error("Aliases must refer to keys. Not aliases")]
    AliasOfAlias,
    #[error("The alias name begins with the prefix alias/aws/, which is reserved for AWS managed keys")]
    AliasReserved,
    #[error("{0} is disabled.")]
    Disabled(String),
    #[error("{0} is pending deletion.")]
    PendingDeletion(String),
    #[error("{0} is not pending deletion.")]
    NotPendingDeletion(String),
    #[error("{arn} key usage is {usage} which is not valid for {operation}.")]
    KeyUsage { arn: String, usage: String, operation: String },
    #[error("Algorithm {algorithm} is incompatible with key spec {spec}.")]
    Algorithm { algorithm: String, spec: String },
    #[error("")]
    Ciphertext,
    #[error("")]
    Mac,
    #[error("The key ID in the request does not identify a CMK that can perform this operation.")]
    IncorrectKey,
    #[error("The request would have succeeded, but the DryRun option is set.")]
    DryRun,
    #[error("{0}")]
    Validation(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("{0}")]
    MalformedPolicy(String),
    #[error("The new key policy will not allow you to update the key policy in the future.")]
    PolicyLockout,
    #[error("No such policy exists")]
    PolicyMissing,
    #[error("{0}")]
    Tag(&'static str),
    #[error("{0}")]
    Limit(String),
    #[error("The marker is not valid or has expired")]
    Marker,
    #[error("The grant token is not valid")]
    GrantToken,
    #[error("The grant ID is not valid")]
    GrantId,
    #[error("{0}")]
    AccessDenied(String),
}

impl KmsError {
    /// The error code that the client sees.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::KeyMissing(_) | Self::KeyIdInvalid(_) | Self::RegionWrong(_) | Self::AliasMissing(_) | Self::PolicyMissing => {
                "NotFoundException"
            }
            Self::ArnInvalid(_) | Self::PrincipalMissing(_) => "InvalidArnException",
            Self::AliasExists(_) => "AlreadyExistsException",
            Self::AliasName(_) => "InvalidAliasNameException",
            Self::AliasReserved => "NotAuthorizedException",
            Self::Disabled(_) => "DisabledException",
            Self::PendingDeletion(_) | Self::NotPendingDeletion(_) => "KMSInvalidStateException",
            Self::KeyUsage { .. } | Self::Algorithm { .. } => "InvalidKeyUsageException",
            Self::Ciphertext => "InvalidCiphertextException",
            Self::Mac => "KMSInvalidMacException",
            Self::IncorrectKey => "IncorrectKeyException",
            Self::DryRun => "DryRunOperationException",
            Self::Validation(_) | Self::AliasPrefix | Self::AliasOfAlias => "ValidationException",
            Self::Unsupported(_) => "UnsupportedOperationException",
            Self::MalformedPolicy(_) | Self::PolicyLockout => "MalformedPolicyDocumentException",
            Self::Tag(_) => "TagException",
            Self::Limit(_) => "LimitExceededException",
            Self::Marker => "InvalidMarkerException",
            Self::GrantToken => "InvalidGrantTokenException",
            Self::GrantId => "InvalidGrantIdException",
            Self::AccessDenied(_) => "AccessDeniedException",
        }
    }
}

impl From<KmsError> for ApiError {
    fn from(error: KmsError) -> Self {
        // Every refusal of KMS is status 400; what is 5xx comes from the plane.
        Self::new(error.code(), error.to_string()).with_status(400)
    }
}

/// Why a page cannot be made.
pub(crate) fn of_page(error: plane::page::PageError) -> ApiError {
    match error {
        plane::page::PageError::Token(_) => KmsError::Marker.into(),
        plane::page::PageError::Failed(error) => error,
    }
}
