//! Lists of grants.

use std::sync::Arc;

use api_kms::{GrantConstraints, GrantListEntry, ListGrantsInput, ListGrantsOutput, ListRetirableGrantsInput, ListRetirableGrantsOutput};
use plane::{ApiError, Call};
use wire::Timestamp;

use crate::error::{KmsError, of_page};
use crate::grant::{Grant, Retirable, of_key};
use crate::key_name::key_arn;
use crate::{resolve, scan};

/// Items of a page when the caller does not say, and at most.
const DEFAULT: i32 = 50;
const MAX: i32 = 100;

pub(crate) async fn list_grants(cx: &mut Call, input: ListGrantsInput) -> Result<ListGrantsOutput, ApiError> {
    let region = cx.region.clone();
    let key = resolve::key(cx, &input.key_id).await?;
    let mut grants = of_key(&mut cx.tx, &region, &key).await?;
    if let Some(id) = &input.grant_id {
        grants.retain(|grant| grant.id == *id);
        if grants.is_empty() {
            return Err(KmsError::GrantId.into());
        }
    }
    show_principals(cx, &mut grants).await?;
    if let Some(grantee) = &input.grantee_principal {
        grants.retain(|grant| grant.terms.grantee == *grantee);
    }
    if input.grantee_service_principal.is_some() {
        // No grant is ever made to a service principal.
        grants.clear();
    }
    let filter = format!("{} {:?} {:?}", key.id, input.grant_id, input.grantee_principal);
    let page = cx.page(grants, |grant| grant.id.clone(), &filter, input.marker.as_deref(), limit(input.limit)).map_err(of_page)?;
    let entries = page.items.into_iter().map(|grant| entry(&region, grant)).collect();
    Ok(ListGrantsOutput { grants: Some(entries), truncated: Some(page.next.is_some()), next_marker: page.next })
}

/// Grants that a principal of the caller's account may retire, on keys of any account.
pub(crate) async fn list_retirable_grants(cx: &mut Call, input: ListRetirableGrantsInput) -> Result<ListRetirableGrantsOutput, ApiError> {
    let region = cx.region.clone();
    if input.retiring_service_principal.is_some() {
        return Err(KmsError::Unsupported("grants to service principals are not supported".to_owned()).into());
    }
    let principal = input.retiring_principal.ok_or_else(|| KmsError::Validation("RetiringPrincipal must be specified.".to_owned()))?;
    let mut grants = Vec::new();
    if principal.split(':').nth(4) == Some(cx.account.as_str()) {
        for found in scan::all::<Retirable>(&mut cx.tx, &Retirable::range(&principal, &region)).await? {
            let place = Grant::range(&found.account, &region, &found.key_id).last(&found.grant_id);
            grants.extend(cx.tx.get::<Grant>(&place).await?);
        }
    } else if principal.split(':').count() < 6 {
        return Err(KmsError::ArnInvalid(principal).into());
    }
    show_principals(cx, &mut grants).await?;
    let place = |grant: &Grant| [grant.account.as_str(), &grant.key_id, &grant.id].join("/");
    let page = cx.page(grants, place, &principal, input.marker.as_deref(), limit(input.limit)).map_err(of_page)?;
    let entries = page.items.into_iter().map(|grant| entry(&region, grant)).collect();
    Ok(ListRetirableGrantsOutput { grants: Some(entries), truncated: Some(page.next.is_some()), next_marker: page.next })
}

/// Principals as they are now: under another name, or, when they are gone, by their ids.
async fn show_principals(cx: &mut Call, grants: &mut [Grant]) -> Result<(), ApiError> {
    let directory = Arc::clone(cx.plane.directory());
    for grant in grants {
        if let Some(id) = &grant.grantee_id {
            grant.terms.grantee = directory.arn_of_unique_id(&mut cx.tx, id).await?.unwrap_or_else(|| id.clone());
        }
        if let Some(id) = &grant.retiring_id {
            grant.terms.retiring = Some(directory.arn_of_unique_id(&mut cx.tx, id).await?.unwrap_or_else(|| id.clone()));
        }
    }
    Ok(())
}

fn limit(asked: Option<i32>) -> usize {
    scan::limit(Some(asked.unwrap_or(DEFAULT).min(MAX)), DEFAULT)
}

fn entry(region: &str, grant: Grant) -> GrantListEntry {
    let terms = grant.terms;
    let is_constrained = terms.context_subset.is_some() || terms.context_equals.is_some();
    GrantListEntry {
        key_id: Some(key_arn(region, &grant.account, &grant.key_id)),
        grant_id: Some(grant.id),
        // AWS answers an empty name for a grant without one.
        name: Some(terms.name.unwrap_or_default()),
        creation_date: Some(Timestamp(grant.created_ms)),
        grantee_principal: Some(terms.grantee),
        retiring_principal: terms.retiring,
        issuing_account: Some(grant.issuing_account),
        operations: Some(terms.operations.iter().map(|operation| operation.as_str().into()).collect()),
        constraints: is_constrained.then_some(GrantConstraints {
            encryption_context_subset: terms.context_subset,
            encryption_context_equals: terms.context_equals,
            source_arn: None,
        }),
        ..GrantListEntry::default()
    }
}
