//! The errors of Organizations in AWS's own words, where they are known.

use plane::ApiError;
use wire::Value;

/// Why a call is refused. `Constraint`, `Input` and `HandshakeConstraint` carry AWS's reason code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OrganizationError {
    #[error("Your account is not a member of an organization.")]
    NotInUse,
    #[error("The provided account is already a member of an organization.")]
    AlreadyInOrganization,
    #[error("To delete an organization you must first remove all member accounts (except the master).")]
    OrganizationNotEmpty,
    #[error("You specified an account that doesn't exist.")]
    AccountNotFound,
    #[error("You specified an organizational unit that doesn't exist.")]
    UnitNotFound,
    #[error("You specified a root that doesn't exist.")]
    RootNotFound,
    #[error("You specified a parent that doesn't exist.")]
    ParentNotFound,
    #[error("You specified a child that doesn't exist.")]
    ChildNotFound,
    #[error("You specified a source parent that doesn't exist.")]
    SourceParentNotFound,
    #[error("You specified a destination parent that doesn't exist.")]
    DestinationParentNotFound,
    #[error("You specified a target that doesn't exist.")]
    TargetNotFound,
    #[error("You specified a policy that doesn't exist.")]
    PolicyNotFound,
    #[error("You specified an effective policy that doesn't exist.")]
    EffectivePolicyNotFound,
    #[error("You specified a resource policy that doesn't exist.")]
    ResourcePolicyNotFound,
    #[error("You specified a request that doesn't exist.")]
    CreateAccountStatusNotFound,
    #[error("You specified a handshake that doesn't exist.")]
    HandshakeNotFound,
    #[error("The handshake is already in the state {0}.")]
    HandshakeAlreadyInState(&'static str),
    #[error("You can't change a handshake that is {0}.")]
    HandshakeTransition(&'static str),
    #[error("A handshake with the same action and target already exists.")]
    DuplicateHandshake,
    #[error("An OU with the same name already exists.")]
    DuplicateUnit,
    #[error(
        "The specified OU is not empty. Move all accounts to another root or to other OUs, remove all child OUs, and try the operation again."
    )]
    UnitNotEmpty,
    #[error("That account is already present in the specified destination.")]
    DuplicateAccount,
    #[error("One or more policies with the same name already exist.")]
    DuplicatePolicy,
    #[error("The selected policy is already attached to the specified target.")]
    DuplicateAttachment,
    #[error("The policy isn't attached to the specified target in the specified root.")]
    NotAttached,
    #[error(
        "The policy is attached to one or more entities. You must detach it from all roots, OUs, and accounts before performing this operation."
    )]
    PolicyInUse,
    #[error("The specified policy type is already enabled.")]
    TypeAlreadyEnabled,
    #[error("This operation can be performed only for enabled policy types.")]
    TypeNotEnabled,
    #[error(
        "You can't use the specified policy type with the feature set currently enabled for your organization, or this server doesn't have it."
    )]
    TypeNotAvailable,
    #[error("The provided policy document does not meet the requirements of the specified policy type.")]
    MalformedPolicy,
    #[error(
        "You can't remove the management account from an organization. If you want the management account to become a member account in another organization, you must first delete the current organization of the management account."
    )]
    ManagementCannotLeave,
    #[error("The provided account is already a delegated administrator for your organization.")]
    AlreadyRegistered,
    #[error("The provided account is not a registered delegated administrator for your organization.")]
    NotRegistered,
    #[error("The account is already closed.")]
    AlreadyClosed,
    #[error("You specified a responsibility transfer that doesn't exist.")]
    TransferNotFound,
    #[error("This action isn't available in the current AWS Region.")]
    UnsupportedHere,
    #[error("You don't have permissions to access this resource.")]
    AccessDenied,
    #[error("{1}")]
    Constraint(&'static str, &'static str),
    #[error("{1}")]
    HandshakeConstraint(&'static str, &'static str),
    #[error("{1}")]
    Input(&'static str, &'static str),
}

impl OrganizationError {
    fn code(&self) -> &'static str {
        use OrganizationError as E;
        match self {
            E::NotInUse => "AWSOrganizationsNotInUseException",
            E::AlreadyInOrganization => "AlreadyInOrganizationException",
            E::OrganizationNotEmpty => "OrganizationNotEmptyException",
            E::AccountNotFound => "AccountNotFoundException",
            E::UnitNotFound => "OrganizationalUnitNotFoundException",
            E::RootNotFound => "RootNotFoundException",
            E::ParentNotFound => "ParentNotFoundException",
            E::ChildNotFound => "ChildNotFoundException",
            E::SourceParentNotFound => "SourceParentNotFoundException",
            E::DestinationParentNotFound => "DestinationParentNotFoundException",
            E::TargetNotFound => "TargetNotFoundException",
            E::PolicyNotFound => "PolicyNotFoundException",
            E::EffectivePolicyNotFound => "EffectivePolicyNotFoundException",
            E::ResourcePolicyNotFound => "ResourcePolicyNotFoundException",
            E::CreateAccountStatusNotFound => "CreateAccountStatusNotFoundException",
            E::HandshakeNotFound => "HandshakeNotFoundException",
            E::HandshakeAlreadyInState(_) => "HandshakeAlreadyInStateException",
            E::HandshakeTransition(_) => "InvalidHandshakeTransitionException",
            E::DuplicateHandshake => "DuplicateHandshakeException",
            E::DuplicateUnit => "DuplicateOrganizationalUnitException",
            E::UnitNotEmpty => "OrganizationalUnitNotEmptyException",
            E::DuplicateAccount => "DuplicateAccountException",
            E::DuplicatePolicy => "DuplicatePolicyException",
            E::DuplicateAttachment => "DuplicatePolicyAttachmentException",
            E::NotAttached => "PolicyNotAttachedException",
            E::PolicyInUse => "PolicyInUseException",
            E::TypeAlreadyEnabled => "PolicyTypeAlreadyEnabledException",
            E::TypeNotEnabled => "PolicyTypeNotEnabledException",
            E::TypeNotAvailable => "PolicyTypeNotAvailableForOrganizationException",
            E::MalformedPolicy => "MalformedPolicyDocumentException",
            E::ManagementCannotLeave => "MasterCannotLeaveOrganizationException",
            E::AlreadyRegistered => "AccountAlreadyRegisteredException",
            E::NotRegistered => "AccountNotRegisteredException",
            E::AlreadyClosed => "AccountAlreadyClosedException",
            E::TransferNotFound => "ResponsibilityTransferNotFoundException",
            E::UnsupportedHere => "UnsupportedAPIEndpointException",
            E::AccessDenied => "AccessDeniedException",
            E::Constraint(..) => "ConstraintViolationException",
            E::HandshakeConstraint(..) => "HandshakeConstraintViolationException",
            E::Input(..) => "InvalidInputException",
        }
    }
}

impl From<OrganizationError> for ApiError {
    fn from(error: OrganizationError) -> Self {
        use OrganizationError as E;
        let api = Self::new(error.code(), error.to_string());
        match error {
            E::Constraint(reason, _) | E::HandshakeConstraint(reason, _) | E::Input(reason, _) => {
                api.with_member("Reason", Value::Str(reason.to_owned()))
            }
            _ => api,
        }
    }
}
