//! The errors of IAM, with AWS's codes and texts.

use plane::ApiError;
use plane::page::PageError;

use crate::entity::EntityKind;

macro_rules! errors {
    ($($name:ident = $code:literal,)*) => {
        /// What IAM refuses. Statuses come from the facts by code.
        #[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
        pub enum IamError {
            $(#[error("{0}")] $name(String),)*
        }

        impl From<IamError> for ApiError {
            fn from(error: IamError) -> Self {
                let code = match &error {
                    $(IamError::$name(_) => $code,)*
                };
                Self::new(code, error.to_string())
            }
        }
    };
}

errors! {
    AccessDenied = "AccessDenied",
    AccountNotManagementOrDelegatedAdministrator = "AccountNotManagementOrDelegatedAdministratorException",
    CallerIsNotManagementAccount = "CallerIsNotManagementAccountException",
    DeleteConflict = "DeleteConflict",
    DuplicateCertificate = "DuplicateCertificate",
    DuplicateSshPublicKey = "DuplicateSSHPublicKey",
    EntityAlreadyExists = "EntityAlreadyExists",
    FeatureDisabled = "FeatureDisabled",
    FeatureEnabled = "FeatureEnabled",
    InvalidAuthenticationCode = "InvalidAuthenticationCode",
    InvalidInput = "InvalidInput",
    InvalidPublicKey = "InvalidPublicKey",
    InvalidUserType = "InvalidUserType",
    KeyPairMismatch = "KeyPairMismatch",
    LimitExceeded = "LimitExceeded",
    MalformedCertificate = "MalformedCertificate",
    MalformedPolicyDocument = "MalformedPolicyDocument",
    NoSuchEntity = "NoSuchEntity",
    OpenIdIdpCommunicationError = "OpenIdIdpCommunicationError",
    OrganizationNotFound = "OrganizationNotFoundException",
    OrganizationNotInAllFeaturesMode = "OrganizationNotInAllFeaturesModeException",
    PasswordPolicyViolation = "PasswordPolicyViolation",
    PolicyEvaluation = "PolicyEvaluation",
    ReportExpired = "ReportExpired",
    ReportNotPresent = "ReportNotPresent",
    ServiceAccessNotEnabled = "ServiceAccessNotEnabledException",
    ServiceNotSupported = "NotSupportedService",
    UnmodifiableEntity = "UnmodifiableEntity",
    UnrecognizedPublicKeyEncoding = "UnrecognizedPublicKeyEncoding",
    ValidationError = "ValidationError",
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
