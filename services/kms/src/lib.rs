//! AWS KMS: symmetric and HMAC keys that never leave the server, with the policies and grants that decide who uses them.
//!
//! It decides nothing about a caller: the plane does, with what [`Kms`] tells it of a key (policy, grants, tags, condition keys).
//! It stores no key that it cannot use: other key specs, imported material, custom key stores, multi-Region keys and Nitro recipients are
//! refused with `UnsupportedOperationException`.
//!
//! # Invariants
//! 1. Key material is in a record of its own, sealed once more within the sealed record, opened for one operation and wiped after it.
//! 2. Every message has its own AES key; see `ciphertext` for the format. A blob of any material that a key ever had opens until the key
//!    is deleted, and never after.
//! 3. A key whose waiting time is over is gone for every call, also before the job has deleted it.
//! 4. Rotations and deletions by the clock stand in one commit with their events.
//! 5. What a caller learns about keys and ciphertexts of other accounts does not depend on whether they exist.
//!
//! ## Recorded only
//! Nothing: every setting that is taken has its effect.
//!
//! ## Differences from AWS
//! * Grants count at once; grant tokens are checked and otherwise not needed. A key has at most 5,000 grants (AWS: 50,000).
//! * Principals in grants are checked for their form, not for their existence.
//! * There is no quota on keys per account.

mod alias;
mod ciphertext;
mod condition_key;
mod data_key;
mod deletion;
mod encryption;
mod error;
mod event;
mod grant;
mod grant_list;
mod grant_token;
mod key;
mod key_name;
mod key_policy;
mod key_spec;
mod key_state;
mod mac;
mod managed_key;
mod material;
mod resolve;
mod resource;
mod rotation;
mod scan;
mod service_event;
mod tag;
mod target;

use async_trait::async_trait;
use plane::service::ResourceAccess;
use plane::{ApiError, Call, Handler, Service, Target, Transaction, handler};
use policy::MapContext;
use wire::Value;

pub use deletion::delete_due;
pub use rotation::rotate_due;

/// Operations with their functions.
const HANDLERS: &[Handler] = &[
    handler!("CancelKeyDeletion", deletion::cancel_key_deletion),
    handler!("CreateAlias", alias::create_alias),
    handler!("CreateGrant", grant::create_grant),
    handler!("CreateKey", key::create_key),
    handler!("Decrypt", encryption::decrypt),
    handler!("DeleteAlias", alias::delete_alias),
    handler!("DescribeKey", key::describe_key),
    handler!("DisableKey", key::disable_key),
    handler!("DisableKeyRotation", rotation::disable_key_rotation),
    handler!("EnableKey", key::enable_key),
    handler!("EnableKeyRotation", rotation::enable_key_rotation),
    handler!("Encrypt", encryption::encrypt),
    handler!("GenerateDataKey", data_key::generate_data_key),
    handler!("GenerateDataKeyWithoutPlaintext", data_key::generate_data_key_without_plaintext),
    handler!("GenerateMac", mac::generate_mac),
    handler!("GenerateRandom", data_key::generate_random),
    handler!("GetKeyPolicy", key_policy::get_key_policy),
    handler!("GetKeyRotationStatus", rotation::get_key_rotation_status),
    handler!("ListAliases", alias::list_aliases),
    handler!("ListGrants", grant_list::list_grants),
    handler!("ListKeyPolicies", key_policy::list_key_policies),
    handler!("ListKeyRotations", rotation::list_key_rotations),
    handler!("ListKeys", key::list_keys),
    handler!("ListResourceTags", tag::list_resource_tags),
    handler!("ListRetirableGrants", grant_list::list_retirable_grants),
    handler!("PutKeyPolicy", key_policy::put_key_policy),
    handler!("ReEncrypt", encryption::re_encrypt),
    handler!("RetireGrant", grant::retire_grant),
    handler!("RevokeGrant", grant::revoke_grant),
    handler!("RotateKeyOnDemand", rotation::rotate_key_on_demand),
    handler!("ScheduleKeyDeletion", deletion::schedule_key_deletion),
    handler!("TagResource", tag::tag_resource),
    handler!("UntagResource", tag::untag_resource),
    handler!("UpdateAlias", alias::update_alias),
    handler!("UpdateKeyDescription", key::update_key_description),
    handler!("VerifyMac", mac::verify_mac),
];

/// The service as the plane takes it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kms;

#[async_trait]
impl Service for Kms {
    fn id(&self) -> &'static str {
        "kms"
    }

    // Else whoever names the service compiles all its handlers once more.
    #[inline(never)]
    fn handlers(&self) -> &'static [Handler] {
        HANDLERS
    }

    async fn targets(&self, call: &mut Call, input: &Value) -> Result<Option<Vec<Target>>, ApiError> {
        target::targets(call, input).await.map(Some)
    }

    async fn resource(&self, tx: &mut Transaction, region: &str, arn: &str) -> Result<Option<ResourceAccess>, ApiError> {
        resource::access(tx, region, arn).await
    }

    async fn policy_holders(&self, tx: &mut Transaction, region: &str, account: &str) -> Result<Vec<String>, ApiError> {
        let keys = scan::all::<key::KmsKey>(tx, &plane::Key::new(account, region)).await?;
        Ok(keys.iter().map(|key| key.arn(region)).collect())
    }

    fn condition_keys(&self, call: &Call, input: &Value, keys: &mut MapContext) {
        condition_key::of_request(call, input, keys);
    }

    fn target_keys(&self, call: &Call, input: &Value, target: &Target, keys: &mut MapContext) {
        condition_key::of_target(call, input, &target.action, keys);
    }

    fn encryption_context(&self, _call: &Call, input: &Value, target: &Target) -> Vec<(String, String)> {
        condition_key::encryption_context(input, &target.action)
    }

    fn request_parameters(&self, call: &Call, input: &Value) -> Option<serde_json::Value> {
        Some(event::request_parameters(call, input))
    }

    fn denied_message(&self, call: &Call, target: &Target, owner: &str) -> Option<String> {
        (owner != call.account).then(|| resolve::denied_across_accounts(call, target))
    }
}
