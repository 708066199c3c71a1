//! Transfers of an organization's responsibilities (bills) to another one, and accounts in GovCloud. Nothing here bills, and there is one
//! partition: such a thing cannot be made, so there never is one to list, describe, change or end.

use api_organizations::{
    CreateGovCloudAccountInput, CreateGovCloudAccountOutput, DescribeResponsibilityTransferInput, DescribeResponsibilityTransferOutput,
    InviteOrganizationToTransferResponsibilityInput, InviteOrganizationToTransferResponsibilityOutput,
    ListInboundResponsibilityTransfersInput, ListInboundResponsibilityTransfersOutput, ListOutboundResponsibilityTransfersInput,
    ListOutboundResponsibilityTransfersOutput, TerminateResponsibilityTransferInput, TerminateResponsibilityTransferOutput,
    UpdateResponsibilityTransferInput, UpdateResponsibilityTransferOutput,
};
use plane::{ApiError, Call};

use crate::error::OrganizationError;
use crate::organization;

pub(crate) async fn create_gov_cloud_account(
    cx: &mut Call,
    _input: CreateGovCloudAccountInput,
) -> Result<CreateGovCloudAccountOutput, ApiError> {
    organization::load(cx).await?;
    Err(OrganizationError::UnsupportedHere.into())
}

pub(crate) async fn invite_organization_to_transfer_responsibility(
    cx: &mut Call,
    _input: InviteOrganizationToTransferResponsibilityInput,
) -> Result<InviteOrganizationToTransferResponsibilityOutput, ApiError> {
    organization::load(cx).await?;
    Err(OrganizationError::UnsupportedHere.into())
}

pub(crate) async fn describe_responsibility_transfer(
    cx: &mut Call,
    _input: DescribeResponsibilityTransferInput,
) -> Result<DescribeResponsibilityTransferOutput, ApiError> {
    organization::load(cx).await?;
    Err(OrganizationError::TransferNotFound.into())
}

pub(crate) async fn update_responsibility_transfer(
    cx: &mut Call,
    _input: UpdateResponsibilityTransferInput,
) -> Result<UpdateResponsibilityTransferOutput, ApiError> {
    organization::load(cx).await?;
    Err(OrganizationError::TransferNotFound.into())
}

pub(crate) async fn terminate_responsibility_transfer(
    cx: &mut Call,
    _input: TerminateResponsibilityTransferInput,
) -> Result<TerminateResponsibilityTransferOutput, ApiError> {
    organization::load(cx).await?;
    Err(OrganizationError::TransferNotFound.into())
}

pub(crate) async fn list_inbound_responsibility_transfers(
    cx: &mut Call,
    input: ListInboundResponsibilityTransfersInput,
) -> Result<ListInboundResponsibilityTransfersOutput, ApiError> {
    organization::load(cx).await?;
    if input.id.is_some() {
        return Err(OrganizationError::TransferNotFound.into());
    }
    Ok(ListInboundResponsibilityTransfersOutput { responsibility_transfers: Some(Vec::new()), ..Default::default() })
}

pub(crate) async fn list_outbound_responsibility_transfers(
    cx: &mut Call,
    _input: ListOutboundResponsibilityTransfersInput,
) -> Result<ListOutboundResponsibilityTransfersOutput, ApiError> {
    organization::load(cx).await?;
    Ok(ListOutboundResponsibilityTransfersOutput { responsibility_transfers: Some(Vec::new()), ..Default::default() })
}
