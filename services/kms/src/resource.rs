//! What is known of a key in a decision: owner, policy, grants, tags, and the condition keys that follow from it.

use std::sync::Arc;

use plane::service::ResourceAccess;
use plane::{ApiError, Transaction};
use policy::{KmsGrant, Policy, PolicyKind};

use crate::ciphertext::EncryptionContext;
use crate::grant::{self, Grant};
use crate::key::{KeyManager, KmsKey, RESOURCE_TYPE};
use crate::key_name::KeyName;
use crate::key_policy;

/// Resource type of an alias in audit events.
const ALIAS_TYPE: &str = "AWS::KMS::Alias";

/// What is known of the key or alias with this ARN. `None`: it is not here, so the identity side decides and the handler says that it is missing.
pub(crate) async fn access(tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
    let (account, id) = match KeyName::parse(arn, region) {
        Ok(KeyName::Key { account: Some(account), id }) => (account, id),
        Ok(KeyName::Alias { account: Some(account), .. }) => {
            return Ok(Some(ResourceAccess { account, resource_type: Some(ALIAS_TYPE), ..ResourceAccess::default() }));
        }
        _ => return Ok(None),
    };
    let Some(key) = tx.look_at::<KmsKey>(&KmsKey::place(&account, region, &id)).await? else { return Ok(None) };
    let mut access = access_without_grants(&key, region, plane::authorize::compiled(PolicyKind::KeyPolicy, &key.policy));
    access.grants = grant::of_key(tx, region, &key).await?.iter().map(in_policy_terms).collect();
    Ok(Some(access))
}

/// As the key policy alone speaks for the key.
pub(crate) fn access_without_grants(key: &KmsKey, region: &str, policy: Arc<Policy>) -> ResourceAccess {
    let one = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
    let mut context = vec![
        one("kms:KeySpec", key.spec.name()),
        one("kms:KeyUsage", key.spec.usage()),
        one("kms:KeyOrigin", "AWS_KMS"),
        one("kms:MultiRegion", "false"),
    ];
    if !key.aliases.is_empty() {
        context.push(("kms:ResourceAliases".to_owned(), key.aliases.clone()));
    }
    ResourceAccess {
        account: key.account.clone(),
        tags: key.tags.clone(),
        policy: key_policy::attached(&key.arn(region), policy),
        aws_managed_key: key.manager == KeyManager::Aws,
        resource_type: Some(RESOURCE_TYPE),
        context,
        ..ResourceAccess::default()
    }
}

/// A grant in the policy engine's terms.
fn in_policy_terms(grant: &Grant) -> KmsGrant {
    let terms = &grant.terms;
    let pairs = |context: &EncryptionContext| context.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    KmsGrant {
        id: grant.id.clone(),
        grantee: terms.grantee.clone(),
        grantee_id: grant.grantee_id.clone(),
        operations: terms.operations.clone(),
        encryption_context_subset: terms.context_subset.as_ref().map(pairs),
        encryption_context_equals: terms.context_equals.as_ref().map(pairs),
        source_arn: None,
        retiring_principal: terms.retiring.clone(),
        retiring_principal_id: grant.retiring_id.clone(),
    }
}
