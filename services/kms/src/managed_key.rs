//! AWS managed keys: keys that a service of ours uses for the accounts that did not make one of their own.
//!
//! They come into being with their first use. Their policy lets every principal of the account use them, but only through the service.

use plane::{ApiError, Call};
use serde_json::json;

use crate::alias::Alias;
use crate::key::{self, KeyManager, KmsKey, NewKey};
use crate::key_spec::KeySpec;
use crate::rotation::DEFAULT_PERIOD_DAYS;

/// Alias and the service that the key is for.
const MANAGED: [(&str, &str); 1] = [("alias/aws/s3", "s3")];

/// Makes the key behind a reserved alias. `None`: there is no such AWS managed key.
///
/// Asking for the alias is enough, as on AWS: whether the caller may use the key is decided afterwards, and a refused call leaves nothing.
pub(crate) async fn create_for(cx: &mut Call, alias: &str) -> Result<Option<KmsKey>, ApiError> {
    let Some((_, service)) = MANAGED.iter().find(|(name, _)| *name == alias) else { return Ok(None) };
    if cx.account.is_empty() {
        return Ok(None);
    }
    let region = cx.region.clone();
    let new = NewKey {
        description: format!("Default key that protects my {} objects when no other key is defined", service.to_uppercase()),
        manager: KeyManager::Aws,
        spec: KeySpec::SymmetricDefault,
        policy: policy(service, &region, &cx.account),
        tags: Vec::new(),
    };
    let mut key = key::create(cx, new)?;
    key.aliases.push(alias.to_owned());
    key.rotation.enable(DEFAULT_PERIOD_DAYS, cx.now.0);
    key.put(&mut cx.tx, &region)?;
    let alias = Alias { name: alias.to_owned(), key_id: key.id.clone(), created_ms: cx.now.0, updated_ms: cx.now.0 };
    cx.tx.put(&Alias::place(&cx.account, &region, &alias.name), &alias)?;
    Ok(Some(key))
}

/// Source of the form: KMS Developer Guide, "AWS managed keys"; the policy of `aws/s3` as `GetKeyPolicy` shows it.
fn policy(service: &str, region: &str, account: &str) -> String {
    json!({
        "Version": "2012-10-17",
        "Id": format!("auto-{service}-2"),
        "Statement": [
            {
                "Sid": "AllowUseThroughTheService",
                "Effect": "Allow",
                "Principal": { "AWS": "*" },
                "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                "Resource": "*",
                "Condition": { "StringEquals": { "kms:CallerAccount": account, "kms:ViaService": format!("{service}.{region}.amazonaws.com") } },
            },
            {
                "Sid": "AllowReadingOfMetadata",
                "Effect": "Allow",
                "Principal": { "AWS": format!("arn:{}:iam::{account}:root", plane::PARTITION) },
                "Action": ["kms:Describe*", "kms:Get*", "kms:List*"],
                "Resource": "*",
            },
        ],
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_is_one_that_the_policy_engine_accepts() {
        assert!(crate::key_policy::parse(&policy("s3", "eu-central-1", "111111111111")).is_ok());
    }
}
