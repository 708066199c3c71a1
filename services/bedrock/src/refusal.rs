//! Why Bedrock refuses a call, in its own codes and words.

use plane::ApiError;

/// A refusal that is the caller's to mend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("The provided model identifier is invalid.")]
    Model,
    #[error("The model arn provided is not found.")]
    ModelNotFound,
    #[error("The guardrail identifier or version provided in the request does not exist.")]
    GuardrailOfCall,
    #[error("The guardrail `{0}` does not exist.")]
    Guardrail(String),
    #[error("Version `{version}` of the guardrail `{id}` does not exist.")]
    GuardrailVersion { id: String, version: String },
    #[error("The guardrail identifier and the guardrail version must be given together.")]
    GuardrailPair,
    #[error("Another guardrail in your account already has this name.")]
    GuardrailName,
    #[error("The resource `{0}` does not exist.")]
    Resource(String),
    #[error("{what} is not supported yet by this server, so it is refused rather than ignored")]
    Unsupported { what: String },
    #[error("The automated reasoning policy `{0}` does not exist.")]
    ReasoningPolicy(String),
    #[error("The test case `{0}` does not exist, or was not run.")]
    TestCase(String),
    #[error("The build workflow `{0}` does not exist.")]
    Workflow(String),
    #[error("The build workflow has no asset of the type `{0}`.")]
    Asset(String),
    #[error("The resource `{0}` has no resource policy.")]
    ResourcePolicy(String),
    #[error("The enforced guardrail configuration `{0}` does not exist.")]
    Enforcement(String),
    #[error("The account has the enforced guardrail configuration `{0}` already: name it to change it.")]
    EnforcementExists(String),
    #[error("An enforced guardrail cannot run, so the call is refused: {0}")]
    EnforcedGuardrail(String),
    #[error("{0}")]
    InUse(String),
    #[error("{0}")]
    Conflict(String),
    #[error("The number of {what} is limited to {limit}.")]
    Quota { what: &'static str, limit: usize },
    #[error("{0}")]
    Invalid(String),
    #[error("{0}")]
    TooManyTags(String),
    #[error("The KMS key of the resource did not open its definition.")]
    Sealed,
}

impl Refusal {
    pub(crate) fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    pub(crate) fn quota(what: &'static str, limit: usize) -> Self {
        Self::Quota { what, limit }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::ModelNotFound
            | Self::Guardrail(_)
            | Self::GuardrailVersion { .. }
            | Self::Resource(_)
            | Self::ResourcePolicy(_)
            | Self::ReasoningPolicy(_)
            | Self::TestCase(_)
            | Self::Workflow(_)
            | Self::Asset(_)
            | Self::Enforcement(_) => "ResourceNotFoundException",
            Self::GuardrailName | Self::EnforcementExists(_) | Self::Conflict(_) => "ConflictException",
            Self::EnforcedGuardrail(_) => "AccessDeniedException",
            Self::InUse(_) => "ResourceInUseException",
            Self::Quota { .. } => "ServiceQuotaExceededException",
            Self::TooManyTags(_) => "TooManyTagsException",
            Self::Model | Self::GuardrailOfCall | Self::GuardrailPair | Self::Unsupported { .. } | Self::Invalid(_) | Self::Sealed => {
                "ValidationException"
            }
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.to_string())
    }
}

/// A page of a list that cannot be made.
pub(crate) fn of_page(error: plane::page::PageError) -> ApiError {
    match error {
        plane::page::PageError::Token(_) => Refusal::invalid("The nextToken is not one that this list gave.").into(),
        plane::page::PageError::Failed(error) => error,
    }
}
