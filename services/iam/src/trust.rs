//! Trust policies. Users and roles in their principals are stored by unique id: when one is deleted, the grant is void, also when another
//! of the same name is made; the policy then shows the id.
//!
//! Accounts are stored as they are given: this server cannot know which accounts exist elsewhere.
//!
//! Source: IAM User Guide, "AWS JSON policy elements: Principal".

use std::collections::HashMap;

use plane::{ApiError, Transaction};
use serde_json::Value as Json;

use crate::document;
use crate::entity::{self, Entity, EntityKind, RoleRecord, UserRecord};
use crate::error::IamError;
use crate::identifier::{self, AssumedRoleArn, IamArn, assumed_role_arn};

/// Checks a trust policy and makes its stored form.
pub async fn stored(tx: &mut Transaction, text: &str) -> Result<String, ApiError> {
    document::check_trust(text)?;
    let mut ids = HashMap::new();
    for principal in principals(text) {
        if let Some(id) = id_of(tx, &principal).await? {
            ids.insert(principal, id);
        }
    }
    Ok(replaced(text, &ids))
}

/// A stored trust policy as it is shown: with the ARNs of those that still exist.
pub async fn shown(tx: &mut Transaction, text: &str) -> Result<String, ApiError> {
    let mut arns = HashMap::new();
    for principal in principals(text) {
        if let Some(arn) = arn_of(tx, &principal).await? {
            arns.insert(principal, arn);
        }
    }
    Ok(replaced(text, &arns))
}

fn invalid(principal: &str) -> ApiError {
    IamError::MalformedPolicyDocument(format!("Invalid principal in policy: \"AWS\":\"{principal}\"")).into()
}

/// The stored form of an `AWS` principal; `None`: it stays as it is.
async fn id_of(tx: &mut Transaction, principal: &str) -> Result<Option<String>, ApiError> {
    if principal == "*" || identifier::is_account_id(principal) {
        return Ok(None);
    }
    if let Some(session) = AssumedRoleArn::parse(principal) {
        let role = entity::find::<RoleRecord>(tx, session.account, session.role_name).await?;
        let role = role.ok_or_else(|| invalid(principal))?;
        return Ok(Some(format!("{}:{}", role.head.id, session.session_name)));
    }
    if principal.starts_with(&format!("arn:{}:sts::", plane::PARTITION)) && principal.contains(":federated-user/") {
        return Ok(None);
    }
    if is_unique_id(principal) {
        return match arn_of(tx, principal).await? {
            Some(_) => Ok(None),
            None => Err(invalid(principal)),
        };
    }
    let arn = IamArn::parse(principal).ok_or_else(|| invalid(principal))?;
    let found = match arn.resource_type {
        "root" => return Ok(None),
        "user" => entity::find::<UserRecord>(tx, arn.account, arn.name).await?.map(|user| (user.arn(arn.account), user.head.id)),
        "role" => entity::find::<RoleRecord>(tx, arn.account, arn.name).await?.map(|role| (role.arn(arn.account), role.head.id)),
        _ => None,
    };
    match found {
        Some((found, id)) if found == principal => Ok(Some(id)),
        _ => Err(invalid(principal)),
    }
}

fn is_unique_id(text: &str) -> bool {
    [identifier::USER, identifier::ROLE].iter().any(|prefix| text.starts_with(prefix))
}

/// The ARN behind a stored unique id; `None` when it is none, or when its owner is gone.
async fn arn_of(tx: &mut Transaction, principal: &str) -> Result<Option<String>, ApiError> {
    if !is_unique_id(principal) {
        return Ok(None);
    }
    let (id, session_name) = principal.split_once(':').map_or((principal, None), |(id, session_name)| (id, Some(session_name)));
    let Some(owner) = entity::by_id(tx, id).await? else { return Ok(None) };
    let account = &owner.account;
    Ok(match (owner.kind, session_name) {
        (EntityKind::User, None) => entity::find::<UserRecord>(tx, account, &owner.name).await?.map(|user| user.arn(account)),
        (EntityKind::Role, None) => entity::find::<RoleRecord>(tx, account, &owner.name).await?.map(|role| role.arn(account)),
        (EntityKind::Role, Some(session_name)) => Some(assumed_role_arn(account, &owner.name, session_name)),
        _ => None,
    })
}

/// Each `AWS` principal of a policy.
fn principals(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(mut document) = serde_json::from_str(text) {
        each_principal(&mut document, &mut |principal| found.push(principal.clone()));
    }
    found
}

/// The policy with principals replaced; the text itself when there is nothing to replace.
fn replaced(text: &str, by: &HashMap<String, String>) -> String {
    if by.is_empty() {
        return text.to_owned();
    }
    let Ok(mut document) = serde_json::from_str::<Json>(text) else { return text.to_owned() };
    each_principal(&mut document, &mut |principal| {
        if let Some(other) = by.get(principal) {
            principal.clone_from(other);
        }
    });
    document.to_string()
}

fn each_principal(document: &mut Json, visit: &mut impl FnMut(&mut String)) {
    let Some(statements) = document.get_mut("Statement") else { return };
    for statement in items(statements) {
        let Some(principals) = statement.get_mut("Principal").and_then(|principal| principal.get_mut("AWS")) else { continue };
        for principal in items(principals) {
            if let Json::String(principal) = principal {
                visit(principal);
            }
        }
    }
}

/// The grammar's "one or a list".
fn items(value: &mut Json) -> &mut [Json] {
    match value {
        Json::Array(items) => items,
        single => std::slice::from_mut(single),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111111111111:user/ana","*"],"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"},{"Effect":"Allow","Principal":"*","Action":"sts:TagSession"},{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/ana"},"Action":"sts:AssumeRole"}]}"#;

    #[test]
    fn principals_are_found_and_replaced_in_their_place() {
        assert_eq!(principals(POLICY), ["arn:aws:iam::111111111111:user/ana", "*", "arn:aws:iam::111111111111:user/ana"]);
        let by = HashMap::from([("arn:aws:iam::111111111111:user/ana".to_owned(), "AIDAX".to_owned())]);
        assert_eq!(replaced(POLICY, &by), POLICY.replace("arn:aws:iam::111111111111:user/ana", "AIDAX"));
    }

    #[test]
    fn a_policy_without_names_keeps_its_text() {
        let spaced = POLICY.replace(',', ", ");
        assert_eq!(replaced(&spaced, &HashMap::new()), spaced);
    }
}
