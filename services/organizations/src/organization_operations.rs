//! Making, describing and ending an organization.

use std::collections::{BTreeMap, BTreeSet};

use api_organizations::{
    CreateOrganizationInput, CreateOrganizationOutput, DeleteOrganizationInput, DeleteOrganizationOutput, DescribeOrganizationInput,
    DescribeOrganizationOutput, EnableAllFeaturesInput, EnableAllFeaturesOutput, Organization as OrganizationDescription,
    OrganizationFeatureSet, PolicyTypeStatus, PolicyTypeSummary,
};
use plane::{ApiError, Call};
use wire::Secret;

use crate::error::OrganizationError;
use crate::handshake;
use crate::identifier;
use crate::organization::{self, Member, Membership, Organization, Root, membership_key, organization_key};
use crate::policy_type::FULL_AWS_ACCESS;

pub(crate) fn describe(organization: &Organization) -> OrganizationDescription {
    let management = organization.accounts.get(&organization.management_account);
    let types = organization.root.enabled.iter().filter(|_| organization.all_features);
    let types = types.map(|kind| PolicyTypeSummary { type_: Some(kind.to_api()), status: Some(PolicyTypeStatus::Enabled) });
    OrganizationDescription {
        id: Some(organization.id.clone()),
        arn: Some(organization.arn()),
        feature_set: Some(if organization.all_features {
            OrganizationFeatureSet::All
        } else {
            OrganizationFeatureSet::ConsolidatedBilling
        }),
        master_account_arn: Some(organization.account_arn(&organization.management_account)),
        master_account_id: Some(organization.management_account.clone()),
        master_account_email: management.map(|member| Secret::new(member.email.clone())),
        available_policy_types: Some(types.collect()),
    }
}

pub(crate) async fn create_organization(cx: &mut Call, input: CreateOrganizationInput) -> Result<CreateOrganizationOutput, ApiError> {
    let account = cx.account.clone();
    if organization::of_account(&mut cx.tx, &account).await?.is_some() {
        return Err(OrganizationError::AlreadyInOrganization.into());
    }
    let all_features = !matches!(input.feature_set, Some(OrganizationFeatureSet::ConsolidatedBilling));
    let root = Root { id: identifier::root(cx)?, enabled: BTreeSet::new(), enabled_with_features: false, tags: Vec::new() };
    let management = Member {
        name: "management".to_owned(),
        email: format!("{account}@bailiwick.invalid"),
        parent: root.id.clone(),
        created: false,
        joined_ms: cx.now.0,
        suspended: false,
        tags: Vec::new(),
    };
    let mut organization = Organization {
        id: identifier::organization(cx)?,
        management_account: account.clone(),
        all_features,
        root,
        units: BTreeMap::new(),
        accounts: BTreeMap::from([(account.clone(), management)]),
        attachments: BTreeMap::new(),
        service_access: BTreeMap::new(),
        delegated: BTreeMap::new(),
        resource_policy: None,
    };
    if all_features {
        // Service control policies are on from the beginning, and FullAWSAccess is attached everywhere.
        organization.root.enable_with_features();
        let root = organization.root.id.clone();
        organization.attach(&root, FULL_AWS_ACCESS);
        organization.attach(&account, FULL_AWS_ACCESS);
    }
    cx.tx.put(&membership_key(&account), &Membership { organization: organization.id.clone() })?;
    organization.put(&mut cx.tx)?;
    Ok(CreateOrganizationOutput { organization: Some(describe(&organization)) })
}

pub(crate) async fn describe_organization(
    cx: &mut Call,
    _input: DescribeOrganizationInput,
) -> Result<DescribeOrganizationOutput, ApiError> {
    let organization = organization::load(cx).await?;
    Ok(DescribeOrganizationOutput { organization: Some(describe(&organization)) })
}

pub(crate) async fn delete_organization(cx: &mut Call, _input: DeleteOrganizationInput) -> Result<DeleteOrganizationOutput, ApiError> {
    let organization = organization::load(cx).await?;
    if organization.accounts.len() > 1 {
        return Err(OrganizationError::OrganizationNotEmpty.into());
    }
    crate::policy::delete_all(cx, &organization).await?;
    handshake::delete_all(cx, &organization).await?;
    cx.tx.delete::<Membership>(&membership_key(&organization.management_account));
    cx.tx.delete::<Organization>(&organization_key(&organization.id));
    Ok(DeleteOrganizationOutput {})
}

/// With only created accounts or none invited, nobody has to be asked: the features are on at once, and the handshake says so.
pub(crate) async fn enable_all_features(cx: &mut Call, _input: EnableAllFeaturesInput) -> Result<EnableAllFeaturesOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    if organization.all_features {
        return Err(OrganizationError::HandshakeConstraint(
            "ALREADY_IN_AN_ORGANIZATION",
            "All features are already enabled in the organization.",
        )
        .into());
    }
    let invited = organization.accounts.iter().any(|(id, member)| !member.created && !organization.is_management(id));
    if invited {
        return Err(OrganizationError::Constraint(
            "ALL_FEATURES_MIGRATION_ORGANIZATION_SIZE_LIMIT_EXCEEDED",
            "Invited accounts would have to agree, which is not supported here: remove them, enable all features, and invite them again.",
        )
        .into());
    }
    organization.all_features = true;
    organization.root.enable_with_features();
    let targets: Vec<String> =
        std::iter::once(&organization.root.id).chain(organization.units.keys()).chain(organization.accounts.keys()).cloned().collect();
    for target in targets {
        organization.attach(&target, FULL_AWS_ACCESS);
    }
    organization.put(&mut cx.tx)?;
    let handshake = handshake::all_features(cx, &organization)?;
    Ok(EnableAllFeaturesOutput { handshake: Some(handshake) })
}
