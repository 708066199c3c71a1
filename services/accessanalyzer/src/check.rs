//! The policy checks: new access, granted access, public access, and validation.

use access::validation::{self, Step, ValidatedType};
use access::{Analysis, granted_access, new_access, public_access};
use api_accessanalyzer::{
    AccessCheckPolicyType, AccessCheckResourceType, CheckAccessNotGrantedInput, CheckAccessNotGrantedOutput, CheckAccessNotGrantedResult,
    CheckNoNewAccessInput, CheckNoNewAccessOutput, CheckNoNewAccessResult, CheckNoPublicAccessInput, CheckNoPublicAccessOutput,
    CheckNoPublicAccessResult, Location, PathElement, PolicyType, Position, ReasonSummary, Span, ValidatePolicyFinding,
    ValidatePolicyFindingType, ValidatePolicyInput, ValidatePolicyOutput, ValidatePolicyResourceType,
};
use plane::{ApiError, Call};
use policy::{Policy, PolicyKind, ResourceKind};

use crate::error::AnalyzerError;
use crate::paged;

/// The longest document that these operations take, in characters.
pub(crate) const DOCUMENT_CHARACTERS_MAX: usize = 1_000_000;

fn read(text: &str, kind: PolicyKind, field: &'static str) -> Result<Policy, AnalyzerError> {
    if text.len() > DOCUMENT_CHARACTERS_MAX {
        return Err(AnalyzerError::InvalidParameter(format!("The policy document in {field} is too long.")));
    }
    // Stored policies are read leniently; what has no certain meaning is refused here and not analysed.
    let policy = Policy::parse_stored(text, kind);
    match policy.problem() {
        None => Ok(policy),
        Some(problem) => Err(AnalyzerError::InvalidParameter(format!("The policy document in {field} is invalid: {problem}."))),
    }
}

/// Which form a policy document has. A resource policy may leave `Resource` out: then it is read as attached to something.
fn kind_of(policy_type: &AccessCheckPolicyType) -> Result<PolicyKind, AnalyzerError> {
    match policy_type {
        AccessCheckPolicyType::IdentityPolicy => Ok(PolicyKind::Identity),
        AccessCheckPolicyType::ResourcePolicy => Ok(PolicyKind::Resource(ResourceKind::Standard)),
        AccessCheckPolicyType::Other(_) => Err(AnalyzerError::invalid("policyType", "The policy type is not supported.")),
    }
}

/// What is proved; an answer that nobody can prove is none.
fn decided(analysis: &Analysis) -> Result<(), AnalyzerError> {
    match analysis.undecided.first() {
        Some(undecided) if analysis.findings.is_empty() => Err(AnalyzerError::Unprocessable(format!(
            "The statement with index: {} cannot be analyzed: {}.",
            undecided.statement, undecided.reason
        ))),
        _ => Ok(()),
    }
}

fn reasons(analysis: &Analysis, start: &str) -> Vec<ReasonSummary> {
    analysis
        .findings
        .iter()
        .map(|finding| {
            let place = match &finding.sid {
                Some(sid) => format!("sid: {sid}"),
                None => format!("index: {}", finding.statement),
            };
            ReasonSummary {
                description: Some(format!("{start} with {place}.")),
                statement_index: i32::try_from(finding.statement).ok(),
                statement_id: finding.sid.clone(),
            }
        })
        .collect()
}

pub(crate) async fn check_no_new_access(_cx: &mut Call, input: CheckNoNewAccessInput) -> Result<CheckNoNewAccessOutput, ApiError> {
    let kind = kind_of(&input.policy_type)?;
    let new = read(&input.new_policy_document, kind, "newPolicyDocument")?;
    let old = read(&input.existing_policy_document, kind, "existingPolicyDocument")?;
    let analysis = new_access(&new, &old, &[]);
    decided(&analysis)?;
    if analysis.findings.is_empty() {
        return Ok(CheckNoNewAccessOutput {
            result: Some(CheckNoNewAccessResult::Pass),
            message: Some("The updated permissions do not grant new access when compared to the existing policy.".to_owned()),
            reasons: None,
        });
    }
    Ok(CheckNoNewAccessOutput {
        result: Some(CheckNoNewAccessResult::Fail),
        message: Some("The modified permissions grant new access compared to your existing policy.".to_owned()),
        reasons: Some(reasons(&analysis, "New access in the statement")),
    })
}

pub(crate) async fn check_access_not_granted(
    _cx: &mut Call,
    input: CheckAccessNotGrantedInput,
) -> Result<CheckAccessNotGrantedOutput, ApiError> {
    let policy = read(&input.policy_document, kind_of(&input.policy_type)?, "policyDocument")?;
    let wanted = input.access.first().cloned().unwrap_or_default();
    let (actions, resources) = (wanted.actions.unwrap_or_default(), wanted.resources.unwrap_or_default());
    if actions.is_empty() && resources.is_empty() {
        return Err(AnalyzerError::InvalidParameter("Specify at least one action or resource in access.".to_owned()).into());
    }
    if let Some(action) = actions.iter().find(|action| *action != "*" && !action.contains(':')) {
        return Err(AnalyzerError::InvalidParameter(format!("The action {action} is invalid.")).into());
    }
    let texts = |list: &'_ [String]| -> Vec<String> { list.to_vec() };
    let (actions, resources) = (texts(&actions), texts(&resources));
    let (action_refs, resource_refs): (Vec<&str>, Vec<&str>) =
        (actions.iter().map(String::as_str).collect(), resources.iter().map(String::as_str).collect());
    let analysis = granted_access(&policy, &action_refs, &resource_refs, &[]);
    decided(&analysis)?;
    let what = if resources.is_empty() {
        "actions"
    } else if actions.is_empty() {
        "resources"
    } else {
        "actions and resources"
    };
    if analysis.findings.is_empty() {
        return Ok(CheckAccessNotGrantedOutput {
            result: Some(CheckAccessNotGrantedResult::Pass),
            message: Some(format!("The policy document does not grant access to perform one or more of the listed {what}.")),
            reasons: None,
        });
    }
    Ok(CheckAccessNotGrantedOutput {
        result: Some(CheckAccessNotGrantedResult::Fail),
        message: Some(format!("The policy document grants access to perform one or more of the listed {what}.")),
        reasons: Some(reasons(&analysis, &format!("One or more of the listed {what} in the statement"))),
    })
}

pub(crate) async fn check_no_public_access(_cx: &mut Call, input: CheckNoPublicAccessInput) -> Result<CheckNoPublicAccessOutput, ApiError> {
    let kind = match input.resource_type {
        AccessCheckResourceType::AwsIamAssumeRolePolicyDocument => PolicyKind::Trust,
        AccessCheckResourceType::AwsS3Bucket => PolicyKind::Resource(ResourceKind::S3Bucket),
        AccessCheckResourceType::AwsKmsKey => PolicyKind::KeyPolicy,
        AccessCheckResourceType::Other(_) => {
            return Err(AnalyzerError::invalid("resourceType", "The resource type is not supported.").into());
        }
        _ => PolicyKind::Resource(ResourceKind::Standard),
    };
    let policy = read(&input.policy_document, kind, "policyDocument")?;
    let analysis = public_access(&policy, &[]);
    decided(&analysis)?;
    if analysis.findings.is_empty() {
        return Ok(CheckNoPublicAccessOutput {
            result: Some(CheckNoPublicAccessResult::Pass),
            message: Some("The resource policy does not grant public access for the given resource type.".to_owned()),
            reasons: None,
        });
    }
    Ok(CheckNoPublicAccessOutput {
        result: Some(CheckNoPublicAccessResult::Fail),
        message: Some("The resource policy grants public access for the given resource type.".to_owned()),
        reasons: Some(reasons(&analysis, "Public access granted in the following statement")),
    })
}

pub(crate) async fn validate_policy(cx: &mut Call, input: ValidatePolicyInput) -> Result<ValidatePolicyOutput, ApiError> {
    let kind = match (&input.policy_type, &input.validate_policy_resource_type) {
        (PolicyType::IdentityPolicy, None) => ValidatedType::Identity,
        (PolicyType::ServiceControlPolicy, None) => ValidatedType::ServiceControl,
        (PolicyType::ResourceControlPolicy, None) => ValidatedType::ResourceControl,
        (PolicyType::ResourcePolicy, Some(ValidatePolicyResourceType::AwsIamAssumeRolePolicyDocument)) => ValidatedType::Trust,
        (PolicyType::ResourcePolicy, Some(ValidatePolicyResourceType::AwsS3Bucket)) => ValidatedType::Bucket,
        (PolicyType::ResourcePolicy, _) => ValidatedType::Resource,
        _ => {
            let message = "The resource type can be specified only for the policy type RESOURCE_POLICY.";
            return Err(AnalyzerError::invalid("validatePolicyResourceType", message).into());
        }
    };
    let text = &input.policy_document;
    if text.len() > DOCUMENT_CHARACTERS_MAX {
        return Err(AnalyzerError::invalid("policyDocument", "The policy document is too long.").into());
    }
    let position = |at: policy::Position| Position {
        line: i32::try_from(at.line).unwrap_or(i32::MAX),
        column: i32::try_from(at.column.saturating_sub(1)).unwrap_or(i32::MAX),
        offset: i32::try_from(validation::offset(text, at)).unwrap_or(i32::MAX),
    };
    let step = |step: &Step| match step {
        Step::Member(name) => PathElement::Value(name.clone()),
        Step::Item(at) => PathElement::Index(i32::try_from(*at).unwrap_or(i32::MAX)),
    };
    let findings: Vec<(usize, ValidatePolicyFinding)> = validation::validate(text, kind)
        .into_iter()
        .map(|issue| ValidatePolicyFinding {
            learn_more_link: issue.link(),
            finding_type: ValidatePolicyFindingType::from(issue.severity.name()),
            issue_code: issue.code.to_owned(),
            locations: vec![Location {
                path: issue.path.iter().map(step).collect(),
                span: Span { start: position(issue.span.start), end: position(issue.span.end) },
            }],
            finding_details: issue.details,
        })
        .enumerate()
        .collect();
    let filter = sigv4::sha256_hex(text.as_bytes());
    let page = paged::cut(cx, findings, |(at, _)| format!("{at:08}"), &filter, input.next_token.as_deref(), input.max_results)?;
    Ok(ValidatePolicyOutput { findings: page.items.into_iter().map(|(_, finding)| finding).collect(), next_token: page.next })
}
