//! Roots and organizational units: the tree.

use api_organizations::{
    Child, ChildType, CreateOrganizationalUnitInput, CreateOrganizationalUnitOutput, DeleteOrganizationalUnitInput,
    DeleteOrganizationalUnitOutput, DescribeOrganizationalUnitInput, DescribeOrganizationalUnitOutput, ListChildrenInput,
    ListChildrenOutput, ListOrganizationalUnitsForParentInput, ListOrganizationalUnitsForParentOutput, ListParentsInput, ListParentsOutput,
    ListRootsInput, ListRootsOutput, OrganizationalUnit, Parent, ParentType, PolicyTypeStatus, PolicyTypeSummary, Root as RootDescription,
    UpdateOrganizationalUnitInput, UpdateOrganizationalUnitOutput,
};
use plane::{ApiError, Call};

use crate::error::OrganizationError;
use crate::identifier::{self, TargetKind};
use crate::organization::{self, Organization, Unit};
use crate::policy_type::FULL_AWS_ACCESS;
use crate::{paged, tag};

/// Units of an organization. Source: Organizations User Guide, "Quotas and service limits".
const UNITS_LIMIT: usize = 2_000;

pub(crate) fn describe_root(organization: &Organization) -> RootDescription {
    let types = organization.root.enabled.iter();
    let types = types.map(|kind| PolicyTypeSummary { type_: Some(kind.to_api()), status: Some(PolicyTypeStatus::Enabled) });
    RootDescription {
        id: Some(organization.root.id.clone()),
        arn: Some(organization.target_arn(&organization.root.id)),
        name: Some("Root".to_owned()),
        policy_types: Some(types.collect()),
    }
}

fn describe(organization: &Organization, id: &str, unit: &Unit) -> OrganizationalUnit {
    let lineage = organization.lineage(id);
    OrganizationalUnit {
        id: Some(id.to_owned()),
        arn: Some(organization.target_arn(id)),
        name: Some(unit.name.clone()),
        path: Some(format!("{}/{}/", organization.id, lineage.join("/"))),
    }
}

pub(crate) async fn list_roots(cx: &mut Call, input: ListRootsInput) -> Result<ListRootsOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let page =
        paged::cut(cx, vec![organization], |organization| organization.root.id.clone(), "roots", input.next_token, input.max_results)?;
    Ok(ListRootsOutput { roots: Some(page.items.iter().map(describe_root).collect()), next_token: page.next })
}

pub(crate) async fn create_organizational_unit(
    cx: &mut Call,
    input: CreateOrganizationalUnitInput,
) -> Result<CreateOrganizationalUnitOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    if !organization.is_parent(&input.parent_id) {
        return Err(OrganizationError::ParentNotFound.into());
    }
    if organization.is_too_deep(&input.parent_id) {
        return Err(OrganizationError::Constraint("OU_DEPTH_LIMIT_EXCEEDED", "You have exceeded the allowed depth of nested OUs.").into());
    }
    if organization.units.len() >= UNITS_LIMIT {
        return Err(OrganizationError::Constraint("OU_NUMBER_LIMIT_EXCEEDED", "You have exceeded the allowed number of OUs.").into());
    }
    check_name(&organization, &input.parent_id, &input.name, None)?;
    let tags = tag::checked(input.tags)?;
    let id = identifier::unit(cx, &organization.root.id)?;
    organization.units.insert(id.clone(), Unit { name: input.name, parent: input.parent_id, tags });
    if organization.all_features {
        organization.attach(&id, FULL_AWS_ACCESS);
    }
    organization.put(&mut cx.tx)?;
    let unit = organization.units.get(&id).map(|unit| describe(&organization, &id, unit));
    Ok(CreateOrganizationalUnitOutput { organizational_unit: unit })
}

/// Names are unique among the units of one parent.
fn check_name(organization: &Organization, parent: &str, name: &str, except: Option<&str>) -> Result<(), OrganizationError> {
    let taken = organization.units.iter().any(|(id, unit)| unit.parent == parent && unit.name == name && Some(id.as_str()) != except);
    if taken { Err(OrganizationError::DuplicateUnit) } else { Ok(()) }
}

pub(crate) async fn update_organizational_unit(
    cx: &mut Call,
    input: UpdateOrganizationalUnitInput,
) -> Result<UpdateOrganizationalUnitOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    let id = input.organizational_unit_id;
    let parent = organization.units.get(&id).ok_or(OrganizationError::UnitNotFound)?.parent.clone();
    if let Some(name) = input.name {
        check_name(&organization, &parent, &name, Some(&id))?;
        if let Some(unit) = organization.units.get_mut(&id) {
            unit.name = name;
        }
        organization.put(&mut cx.tx)?;
    }
    let unit = organization.units.get(&id).map(|unit| describe(&organization, &id, unit));
    Ok(UpdateOrganizationalUnitOutput { organizational_unit: unit })
}

pub(crate) async fn delete_organizational_unit(
    cx: &mut Call,
    input: DeleteOrganizationalUnitInput,
) -> Result<DeleteOrganizationalUnitOutput, ApiError> {
    let mut organization = organization::load(cx).await?;
    let id = input.organizational_unit_id;
    if !organization.units.contains_key(&id) {
        return Err(OrganizationError::UnitNotFound.into());
    }
    let has_children = organization.units.values().any(|unit| unit.parent == id) || organization.accounts.values().any(|a| a.parent == id);
    if has_children {
        return Err(OrganizationError::UnitNotEmpty.into());
    }
    organization.units.remove(&id);
    organization.attachments.remove(&id);
    organization.put(&mut cx.tx)?;
    Ok(DeleteOrganizationalUnitOutput {})
}

pub(crate) async fn describe_organizational_unit(
    cx: &mut Call,
    input: DescribeOrganizationalUnitInput,
) -> Result<DescribeOrganizationalUnitOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let id = input.organizational_unit_id;
    let unit = organization.units.get(&id).ok_or(OrganizationError::UnitNotFound)?;
    Ok(DescribeOrganizationalUnitOutput { organizational_unit: Some(describe(&organization, &id, unit)) })
}

pub(crate) async fn list_organizational_units_for_parent(
    cx: &mut Call,
    input: ListOrganizationalUnitsForParentInput,
) -> Result<ListOrganizationalUnitsForParentOutput, ApiError> {
    let organization = organization::load(cx).await?;
    if !organization.is_parent(&input.parent_id) {
        return Err(OrganizationError::ParentNotFound.into());
    }
    let ids: Vec<String> = organization.units.iter().filter(|(_, unit)| unit.parent == input.parent_id).map(|(id, _)| id.clone()).collect();
    let page = paged::cut(cx, ids, Clone::clone, &input.parent_id, input.next_token, input.max_results)?;
    let units = page.items.iter().filter_map(|id| organization.units.get(id).map(|unit| describe(&organization, id, unit)));
    Ok(ListOrganizationalUnitsForParentOutput { organizational_units: Some(units.collect()), next_token: page.next })
}

pub(crate) async fn list_children(cx: &mut Call, input: ListChildrenInput) -> Result<ListChildrenOutput, ApiError> {
    let organization = organization::load(cx).await?;
    if !organization.is_parent(&input.parent_id) {
        return Err(OrganizationError::ParentNotFound.into());
    }
    let ids: Vec<String> = match input.child_type {
        ChildType::Account => {
            organization.accounts.iter().filter(|(_, account)| account.parent == input.parent_id).map(|(id, _)| id.clone()).collect()
        }
        ChildType::OrganizationalUnit => {
            organization.units.iter().filter(|(_, unit)| unit.parent == input.parent_id).map(|(id, _)| id.clone()).collect()
        }
        ChildType::Other(_) => return Err(OrganizationError::Input("INVALID_ENUM", "You specified an invalid child type.").into()),
    };
    let filter = format!("{} {}", input.parent_id, input.child_type.as_str());
    let page = paged::cut(cx, ids, Clone::clone, &filter, input.next_token, input.max_results)?;
    let children = page.items.into_iter().map(|id| Child { id: Some(id), type_: Some(input.child_type.clone()) });
    Ok(ListChildrenOutput { children: Some(children.collect()), next_token: page.next })
}

pub(crate) async fn list_parents(cx: &mut Call, input: ListParentsInput) -> Result<ListParentsOutput, ApiError> {
    let organization = organization::load(cx).await?;
    let parent = organization.parent(&input.child_id).ok_or(OrganizationError::ChildNotFound)?;
    let kind = if TargetKind::of(parent) == TargetKind::Root { ParentType::Root } else { ParentType::OrganizationalUnit };
    Ok(ListParentsOutput { parents: Some(vec![Parent { id: Some(parent.to_owned()), type_: Some(kind) }]), next_token: None })
}
