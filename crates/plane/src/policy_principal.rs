//! Users, roles and role sessions that a resource's policy names, as they are stored: by their unique ids. When one is
//! deleted the grant is void, also when another of the same name is made; the policy then shows the id. Users and roles
//! must exist; accounts are stored as they are given, since this server cannot know which exist elsewhere.
//!
//! Source: IAM User Guide, "AWS JSON policy elements: Principal" ("IAM role principals", "IAM user principals").

use std::collections::BTreeMap;
use std::sync::Arc;

use policy::{principal_names, with_principal_names};

use crate::PARTITION;
use crate::call::Call;
use crate::error::ApiError;

/// The stored form of a checked policy. `refusal` says in the service's words that a principal does not exist.
pub async fn stored(cx: &mut Call, text: &str, refusal: impl Fn(&str) -> ApiError) -> Result<String, ApiError> {
    let directory = Arc::clone(cx.plane.directory());
    let mut replacements = BTreeMap::new();
    for name in principal_names(text) {
        if name == "*" || is_root(&name) || is_federated_user(&name) {
            continue;
        }
        if is_account_id(&name) {
            let root = format!("arn:{PARTITION}:iam::{name}:root");
            replacements.insert(name, root);
        } else if is_entity(&name) {
            let id = directory.unique_id(&mut cx.tx, &name).await?.ok_or_else(|| refusal(&name))?;
            replacements.insert(name, id);
        } else if directory.arn_of_unique_id(&mut cx.tx, &name).await?.is_none() {
            // What else names somebody is an id that stands in place of an ARN already.
            return Err(refusal(&name));
        }
    }
    Ok(with_principal_names(text, &replacements))
}

/// A stored policy as it is shown: with the ARNs of those that still exist.
pub async fn shown(cx: &mut Call, text: &str) -> Result<String, ApiError> {
    let directory = Arc::clone(cx.plane.directory());
    let mut replacements = BTreeMap::new();
    for name in principal_names(text) {
        if name == "*" || name.starts_with("arn:") || is_account_id(&name) {
            continue;
        }
        if let Some(arn) = directory.arn_of_unique_id(&mut cx.tx, &name).await? {
            replacements.insert(name, arn);
        }
    }
    Ok(with_principal_names(text, &replacements))
}

/// Twelve digits.
pub fn is_account_id(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|byte| byte.is_ascii_digit())
}

/// What an ARN of the partition's IAM or STS names: `user/ana`, `assumed-role/reader/laptop`, `root`.
fn resource<'a>(name: &'a str, service: &str) -> Option<&'a str> {
    let (account, resource) =
        name.strip_prefix("arn:")?.strip_prefix(PARTITION)?.strip_prefix(&format!(":{service}::"))?.split_once(':')?;
    is_account_id(account).then_some(resource)
}

fn is_root(name: &str) -> bool {
    resource(name, "iam") == Some("root")
}

fn is_federated_user(name: &str) -> bool {
    resource(name, "sts").is_some_and(|resource| resource.starts_with("federated-user/"))
}

fn is_entity(name: &str) -> bool {
    resource(name, "iam").is_some_and(|resource| resource.starts_with("user/") || resource.starts_with("role/"))
        || resource(name, "sts").is_some_and(|resource| resource.starts_with("assumed-role/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert!(is_account_id("111111111111") && !is_account_id("1111111111111") && !is_account_id("AIDA11111111"));
        assert!(
            is_root("arn:aws:iam::111111111111:root") && !is_root("arn:aws:iam::1:root") && !is_root("arn:aws-cn:iam::111111111111:root")
        );
        assert!(is_federated_user("arn:aws:sts::111111111111:federated-user/ana"));
        for name in ["user/ana", "role/a/b"] {
            assert!(is_entity(&format!("arn:aws:iam::111111111111:{name}")), "{name}");
        }
        assert!(is_entity("arn:aws:sts::111111111111:assumed-role/reader/laptop"));
        for name in ["arn:aws:iam::111111111111:group/all", "arn:aws:s3:::b", "arn:aws:sts::111111111111:role/x", "ana", ""] {
            assert!(!is_entity(name), "{name}");
        }
    }
}
