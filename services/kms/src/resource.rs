//! What is known of a key in a decision: owner, policy, grants, tags, and the condition keys that follow from it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use plane::service::ResourceAccess;
use plane::{ApiError, Transaction};
use policy::{KmsGrant, Policy, PolicyKind};

use crate::grant::{self, Grant};
use crate::key::{KeyManager, KmsKey, RESOURCE_TYPE};
use crate::key_name::KeyName;
use crate::key_policy;

/// Compiled policies kept; at the limit everything is dropped.
const POLICIES: usize = 10_000;
/// Resource type of an alias in audit events.
const ALIAS_TYPE: &str = "AWS::KMS::Alias";

/// Compiled key policies by their text, so that a decision does not compile.
#[derive(Default)]
pub(crate) struct CompiledPolicies {
    policies: Mutex<HashMap<String, Arc<Policy>>>,
}

impl CompiledPolicies {
    fn get(&self, text: &str) -> Arc<Policy> {
        let mut policies = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policy) = policies.get(text) {
            return Arc::clone(policy);
        }
        let policy = Arc::new(Policy::parse_stored(text, PolicyKind::KeyPolicy));
        if policies.len() >= POLICIES {
            policies.clear();
        }
        policies.insert(text.to_owned(), Arc::clone(&policy));
        policy
    }
}

/// What is known of the key or alias with this ARN. `None`: it is not here, so the identity side decides and the handler says that it is missing.
pub(crate) async fn access(policies: &CompiledPolicies, tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
    let (account, id) = match KeyName::parse(arn, region) {
        Ok(KeyName::Key { account: Some(account), id }) => (account, id),
        Ok(KeyName::Alias { account: Some(account), .. }) => return Ok(Some(ResourceAccess { account, resource_type: Some(ALIAS_TYPE), ..ResourceAccess::default() })),
        _ => return Ok(None),
    };
    let Some(key) = tx.get::<KmsKey>(&KmsKey::place(&account, region, &id)).await? else { return Ok(None) };
    let mut access = access_without_grants(&key, region, policies.get(&key.policy));
    for grant in grant::of_key(tx, region, &key).await? {
        access.grants.extend(allows(&grant));
    }
    Ok(Some(access))
}

/// As the key policy alone speaks for the key.
pub(crate) fn access_without_grants(key: &KmsKey, region: &str, policy: Arc<Policy>) -> ResourceAccess {
    let one = |name: &str, value: &str| (name.to_owned(), vec![value.to_owned()]);
    let mut context =
        vec![one("kms:KeySpec", key.spec.name()), one("kms:KeyUsage", key.spec.usage()), one("kms:KeyOrigin", "AWS_KMS"), one("kms:MultiRegion", "false")];
    if !key.aliases.is_empty() {
        context.push(("kms:ResourceAliases".to_owned(), key.aliases.clone()));
    }
    ResourceAccess {
        account: key.account.clone(),
        tags: key.tags.clone(),
        policy: Some(key_policy::attached(&key.arn(region), policy)),
        aws_managed_key: key.manager == KeyManager::Aws,
        resource_type: Some(RESOURCE_TYPE),
        context,
        ..ResourceAccess::default()
    }
}

/// A grant in the policy engine's terms: what it allows its grantee, and its retiring principal to retire it.
fn allows(grant: &Grant) -> Vec<KmsGrant> {
    let terms = &grant.terms;
    let pairs = |context: &Option<crate::ciphertext::EncryptionContext>| context.as_ref().map(|context| context.iter().map(|(key, value)| (key.clone(), value.clone())).collect());
    let mut grants = vec![KmsGrant {
        id: grant.id.clone(),
        grantee: terms.grantee.clone(),
        operations: terms.operations.clone(),
        encryption_context_subset: pairs(&terms.context_subset),
        encryption_context_equals: pairs(&terms.context_equals),
        source_arn: None,
    }];
    if let Some(retiring) = &terms.retiring {
        grants.push(KmsGrant { id: grant.id.clone(), grantee: retiring.clone(), operations: vec!["RetireGrant".to_owned()], ..KmsGrant::default() });
    }
    grants
}
