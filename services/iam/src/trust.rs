//! Trust policies, and the unique ids that policies hold in place of users and roles.
//!
//! Source: IAM User Guide, "AWS JSON policy elements: Principal"; "IAM identifiers".

use plane::{ApiError, Call, Transaction, policy_principal};

use crate::document;
use crate::entity::{self, Entity, EntityKind, RoleRecord, UserRecord};
use crate::error::IamError;
use crate::identifier::{self, AssumedRoleArn, IamArn, assumed_role_arn};

/// Checks a trust policy and makes its stored form.
pub async fn stored(cx: &mut Call, text: &str) -> Result<String, ApiError> {
    document::check_trust(text)?;
    let refusal =
        |principal: &str| IamError::MalformedPolicyDocument(format!("Invalid principal in policy: \"AWS\":\"{principal}\"")).into();
    policy_principal::stored(cx, text, refusal).await
}

/// The id behind the ARN of a user, a role or a session of a role.
pub(crate) async fn unique_id(tx: &mut Transaction, arn: &str) -> Result<Option<String>, ApiError> {
    if let Some(session) = AssumedRoleArn::parse(arn) {
        let role = entity::find::<RoleRecord>(tx, session.account, session.role_name).await?;
        return Ok(role.map(|role| format!("{}:{}", role.head.id, session.session_name)));
    }
    let Some(parsed) = IamArn::parse(arn) else { return Ok(None) };
    let account = parsed.account;
    let found = match parsed.resource_type {
        "user" => entity::find::<UserRecord>(tx, account, parsed.name).await?.map(|user| (user.arn(account), user.head.id)),
        "role" => entity::find::<RoleRecord>(tx, account, parsed.name).await?.map(|role| (role.arn(account), role.head.id)),
        _ => None,
    };
    // A name is unique without its path; the policy must have the whole ARN.
    Ok(found.filter(|(found, _)| found == arn).map(|(_, id)| id))
}

/// The ARN behind a stored unique id; `None` when it is none, or when its owner is gone.
pub(crate) async fn arn_of_unique_id(tx: &mut Transaction, id: &str) -> Result<Option<String>, ApiError> {
    if ![identifier::USER, identifier::ROLE].iter().any(|prefix| id.starts_with(prefix)) {
        return Ok(None);
    }
    let (id, session_name) = id.split_once(':').map_or((id, None), |(id, session_name)| (id, Some(session_name)));
    let Some(owner) = entity::by_id(tx, id).await? else { return Ok(None) };
    let account = &owner.account;
    Ok(match (owner.kind, session_name) {
        (EntityKind::User, None) => entity::find::<UserRecord>(tx, account, &owner.name).await?.map(|user| user.arn(account)),
        (EntityKind::Role, None) => entity::find::<RoleRecord>(tx, account, &owner.name).await?.map(|role| role.arn(account)),
        (EntityKind::Role, Some(session_name)) => Some(assumed_role_arn(account, &owner.name, session_name)),
        _ => None,
    })
}
