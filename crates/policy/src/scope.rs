//! Which policies bind a request at all.
//!
//! Source: Organizations User Guide, "Service control policies (SCPs)" and "Resource control policies (RCPs)"; S3 User Guide, "Bucket policies".

use crate::policy_set::PolicySet;
use crate::principal::PrincipalKind;
use crate::request::{Organization, Request};

/// Service prefixes whose resources RCPs bind, in ascending order.
///
/// Source: Organizations User Guide, "List of AWS services that support RCPs", as of autumn 2026.
pub const RCP_SERVICES: [&str; 62] = [
    "aoss",
    "appconfig",
    "appstream",
    "autoscaling",
    "autoscaling-plans",
    "budgets",
    "clouddirectory",
    "cloudfront",
    "cloudsearch",
    "cloudtrail-data",
    "codeartifact",
    "codebuild",
    "codecommit",
    "codepipeline",
    "cognito-identity",
    "cognito-idp",
    "comprehend",
    "comprehendmedical",
    "compute-optimizer",
    "cost-optimization-hub",
    "dax",
    "dsql",
    "dynamodb",
    "ecr",
    "ecr-public",
    "events",
    "firehose",
    "fis",
    "fms",
    "gamelift",
    "health",
    "inspector-scan",
    "kendra",
    "kinesisvideo",
    "kms",
    "logs",
    "memorydb",
    "networkmonitor",
    "notifications",
    "opensearch",
    "pca-connector-ad",
    "personalize",
    "polly",
    "pricing",
    "resource-groups",
    "rolesanywhere",
    "s3",
    "secretsmanager",
    "servicediscovery",
    "signin",
    "sqs",
    "sts",
    "support",
    "swf",
    "textract",
    "timestream-influxdb",
    "transcribe",
    "transfer",
    "translate",
    "wafv2",
    "workspaces",
    "xray",
];

/// Whether RCPs bind the resources of a service.
pub fn supports_resource_control(service: &str) -> bool {
    RCP_SERVICES.binary_search(&service).is_ok()
}

/// Which of the policies bind this request at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope {
    /// The caller's own policies (identity, boundary, session) exist.
    pub(crate) caller: bool,
    pub(crate) service_control: bool,
    pub(crate) resource_control: bool,
    /// Denies of the bucket policy bind; not for the bucket owner's root and the calls that repair the policy.
    pub(crate) resource_denies: bool,
    pub(crate) same_account: bool,
}

impl Scope {
    pub(crate) fn new(request: &Request<'_>, policies: &PolicySet) -> Self {
        let principal = request.principal;
        let caller = principal.is_account_identity();
        let same_account = principal.account.as_deref() == request.resource_account() || is_root_session_of_member(request);
        Self {
            caller,
            service_control: caller
                && !principal.service_linked
                && policies.service_control.is_some()
                && binds(request.organization, principal.account.as_deref()),
            resource_control: !principal.service_linked
                && !request.check.resource.aws_managed_key
                && request.check.action_lower() != "kms:retiregrant"
                && !assumes_service_linked_role(request)
                && supports_resource_control(request.check.service_and_name().0)
                && binds(request.organization, request.resource_account()),
            resource_denies: !(principal.kind == PrincipalKind::Root && same_account && repairs_resource_policy(request)),
            same_account,
        }
    }
}

/// What the owner's root user may do to a resource policy that has locked everybody out: always for buckets (S3 User
/// Guide, "Bucket policies"), for queues in a root session made for that task (IAM User Guide, "Perform a privileged
/// task on a member account").
fn repairs_resource_policy(request: &Request<'_>) -> bool {
    match request.check.action_lower() {
        "s3:getbucketpolicy" | "s3:putbucketpolicy" | "s3:deletebucketpolicy" => true,
        "sqs:getqueueattributes" | "sqs:setqueueattributes" => request.principal.assumed_root,
        _ => false,
    }
}

/// RCPs have no say in who may assume a service-linked role.
fn assumes_service_linked_role(request: &Request<'_>) -> bool {
    request.check.service_and_name().0 == "sts"
        && crate::arn::resource_of(&request.check.resource.arn).is_some_and(|name| name.starts_with("role/aws-service-role/"))
}

/// AssumeRoot reaches into member accounts: being the organization's management account, or its delegated administrator for
/// IAM, is their consent (IAM User Guide, "Centralize root access for member accounts").
fn is_root_session_of_member(request: &Request<'_>) -> bool {
    let Some(organization) = request.organization else {
        return false;
    };
    let administers = |account: &str| {
        account == organization.management_account || organization.root_administrators.iter().any(|administrator| administrator == account)
    };
    request.check.action_lower() == "sts:assumeroot"
        && request.principal.account.as_deref().is_some_and(administers)
        && binds(request.organization, request.resource_account())
}

/// Whether organization policies bind an account. Without facts about the organization whatever policies were
/// handed over do: leaving the facts out must not switch policies off.
fn binds(organization: Option<&Organization>, account: Option<&str>) -> bool {
    organization.is_none_or(|organization| account.is_some_and(|account| organization.binds(account)))
}
