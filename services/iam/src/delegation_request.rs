//! Delegation requests and role templates: how providers of products ask for permissions. This server knows no provider and no template, so
//! what names one is not found, and none is made.
//!
//! Source: IAM API Reference, "CreateDelegationRequest" and its kin.

use api_iam::{
    AcceptDelegationRequestInput, AcceptDelegationRequestOutput, AcquireRoleInput, AcquireRoleOutput, AssociateDelegationRequestInput,
    AssociateDelegationRequestOutput, CreateDelegationRequestInput, CreateDelegationRequestOutput, GetDelegationRequestInput,
    GetDelegationRequestOutput, GetHumanReadableSummaryInput, GetHumanReadableSummaryOutput, GetRoleTemplateVersionInput,
    GetRoleTemplateVersionOutput, ListDelegationRequestsInput, ListDelegationRequestsOutput, RejectDelegationRequestInput,
    RejectDelegationRequestOutput, SendDelegationTokenInput, SendDelegationTokenOutput, UpdateDelegationRequestInput,
    UpdateDelegationRequestOutput,
};
use plane::{ApiError, Call};

use crate::error::IamError;
use crate::page;

fn no_request(id: &str) -> ApiError {
    IamError::NoSuchEntity(format!("The delegation request with id {id} cannot be found.")).into()
}

fn no_template(arn: &str) -> ApiError {
    IamError::NoSuchEntity(format!("The role template {arn} cannot be found.")).into()
}

pub(crate) async fn create_delegation_request(
    _cx: &mut Call,
    _input: CreateDelegationRequestInput,
) -> Result<CreateDelegationRequestOutput, ApiError> {
    let text = "Delegation requests can be made by onboarded product providers only; this server has none.";
    Err(IamError::InvalidInput(text.to_owned()).into())
}

pub(crate) async fn list_delegation_requests(
    cx: &mut Call,
    input: ListDelegationRequestsInput,
) -> Result<ListDelegationRequestsOutput, ApiError> {
    let page = page::cut(cx, Vec::new(), |_| String::new(), "", input.marker.as_deref(), input.max_items)?;
    Ok(ListDelegationRequestsOutput { delegation_requests: Some(page.items), marker: page.next, is_truncated: Some(false) })
}

pub(crate) async fn get_delegation_request(
    _cx: &mut Call,
    input: GetDelegationRequestInput,
) -> Result<GetDelegationRequestOutput, ApiError> {
    Err(no_request(&input.delegation_request_id))
}

pub(crate) async fn accept_delegation_request(
    _cx: &mut Call,
    input: AcceptDelegationRequestInput,
) -> Result<AcceptDelegationRequestOutput, ApiError> {
    Err(no_request(&input.delegation_request_id))
}

pub(crate) async fn associate_delegation_request(
    _cx: &mut Call,
    input: AssociateDelegationRequestInput,
) -> Result<AssociateDelegationRequestOutput, ApiError> {
    Err(no_request(&input.delegation_request_id))
}

pub(crate) async fn reject_delegation_request(
    _cx: &mut Call,
    input: RejectDelegationRequestInput,
) -> Result<RejectDelegationRequestOutput, ApiError> {
    Err(no_request(&input.delegation_request_id))
}

pub(crate) async fn send_delegation_token(_cx: &mut Call, input: SendDelegationTokenInput) -> Result<SendDelegationTokenOutput, ApiError> {
    Err(no_request(&input.delegation_request_id))
}

pub(crate) async fn update_delegation_request(
    _cx: &mut Call,
    input: UpdateDelegationRequestInput,
) -> Result<UpdateDelegationRequestOutput, ApiError> {
    Err(no_request(&input.delegation_request_id))
}

pub(crate) async fn get_human_readable_summary(
    _cx: &mut Call,
    input: GetHumanReadableSummaryInput,
) -> Result<GetHumanReadableSummaryOutput, ApiError> {
    Err(IamError::NoSuchEntity(format!("The entity {} cannot be found.", input.entity_arn)).into())
}

pub(crate) async fn get_role_template_version(
    _cx: &mut Call,
    input: GetRoleTemplateVersionInput,
) -> Result<GetRoleTemplateVersionOutput, ApiError> {
    Err(no_template(&input.template_arn))
}

pub(crate) async fn acquire_role(_cx: &mut Call, input: AcquireRoleInput) -> Result<AcquireRoleOutput, ApiError> {
    Err(no_template(&input.template_arn))
}
