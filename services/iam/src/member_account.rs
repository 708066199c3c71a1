//! Accounts that an organization makes: without credentials of their own, with a role that the management account may assume.
//!
//! Source: Organizations User Guide, "Accessing member accounts in an organization".

use plane::{ApiError, Call};
use serde_json::json;

use crate::account::{self, AccountRecord, Counted};
use crate::attachment;
use crate::entity::{self, Head, Policies, RoleRecord};
use crate::identifier;
use crate::role::DEFAULT_SESSION_DURATION_S;
use crate::trust;

/// Whether there is an account of this id.
pub async fn exists(cx: &mut Call, account_id: &str) -> Result<bool, ApiError> {
    Ok(account::find(&mut cx.tx, account_id).await?.is_some())
}

/// Makes an account in the transaction of the call. `Ok(false)`: the id is taken.
pub async fn create(cx: &mut Call, account_id: &str, role_name: &str, management_account: &str) -> Result<bool, ApiError> {
    if exists(cx, account_id).await? {
        return Ok(false);
    }
    let record = AccountRecord { id: account_id.to_owned(), created_ms: cx.now.0, alias: None, access_key_ids: Vec::new() };
    account::save(&mut cx.tx, &record)?;
    let document = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": { "AWS": format!("arn:{}:iam::{management_account}:root", plane::PARTITION) },
        "Action": "sts:AssumeRole",
    }]});
    let role = RoleRecord {
        head: Head {
            name: role_name.to_owned(),
            path: "/".to_owned(),
            id: identifier::unique_id(cx.plane.randomness.as_ref(), identifier::ROLE)?,
            created_ms: cx.now.0,
        },
        policies: Policies::default(),
        tags: Vec::new(),
        boundary: None,
        trust: trust::stored(cx, &document.to_string()).await?,
        description: None,
        max_session_duration_s: DEFAULT_SESSION_DURATION_S,
        instance_profiles: Vec::new(),
    };
    account::count_up(&mut cx.tx, account_id, Counted::Roles).await?;
    entity::save_id(&mut cx.tx, account_id, &role)?;
    attachment::attach_administrator(&mut cx.tx, account_id, role)?;
    Ok(true)
}
