//! Condition keys of KMS that follow from the request.
//!
//! Source: KMS Developer Guide, "AWS KMS condition keys". Keys that follow from the key itself are in `resource`.

use plane::Call;
use policy::MapContext;
use wire::Value;

use crate::deletion::WINDOW_DAYS_DEFAULT;
use crate::encryption::ALGORITHM;
use crate::key_name::KeyName;
use crate::rotation::DEFAULT_PERIOD_DAYS;

pub(crate) const FROM: &str = "kms:ReEncryptFrom";
pub(crate) const TO: &str = "kms:ReEncryptTo";
/// Under this name the call remembers whether `ReEncrypt` stays with its key.
pub(crate) const SAME_KEY: &str = "kms-re-encrypt-on-same-key";

/// Keys of every call: whose, and through which service.
pub(crate) fn of_call(cx: &Call, keys: &mut MapContext) {
    keys.set("kms:CallerAccount", cx.account.clone());
    if let Some(service) = cx.via.last() {
        let service = service.split('.').next().unwrap_or_default();
        keys.set("kms:ViaService", format!("{service}.{}.amazonaws.com", cx.region));
    }
}

/// Keys that follow from the input.
pub(crate) fn of_request(cx: &Call, input: &Value, keys: &mut MapContext) {
    of_call(cx, keys);
    match cx.operation.name {
        "CreateKey" => of_create_key(input, keys),
        "PutKeyPolicy" => {
            keys.set("kms:BypassPolicyLockoutSafetyCheck", flag(input, "BypassPolicyLockoutSafetyCheck"));
        }
        "ScheduleKeyDeletion" => {
            keys.set("kms:ScheduleKeyDeletionPendingWindowInDays", number(input, "PendingWindowInDays", WINDOW_DAYS_DEFAULT));
        }
        "EnableKeyRotation" => {
            keys.set("kms:RotationPeriodInDays", number(input, "RotationPeriodInDays", DEFAULT_PERIOD_DAYS));
        }
        "CreateGrant" => of_create_grant(cx, input, keys),
        "ListGrants" | "RevokeGrant" => {
            keys.set("kms:GrantIsForAWSResource", (!cx.via.is_empty()).to_string());
        }
        "GenerateMac" | "VerifyMac" => {
            if let Some(algorithm) = text(input, "MacAlgorithm") {
                keys.set("kms:MacAlgorithm", algorithm);
            }
        }
        "ReEncrypt" => {
            if let Some(same) = cx.recall::<bool>(SAME_KEY) {
                keys.set("kms:ReEncryptOnSameKey", same.to_string());
            }
        }
        _ => {}
    }
}

/// Keys that differ between the targets of one call: each side of `ReEncrypt` has its own.
pub(crate) fn of_target(cx: &Call, input: &Value, action: &str, keys: &mut MapContext) {
    let (key_id, algorithm) = match action {
        FROM => ("SourceKeyId", "SourceEncryptionAlgorithm"),
        TO => ("DestinationKeyId", "DestinationEncryptionAlgorithm"),
        _ => ("KeyId", "EncryptionAlgorithm"),
    };
    if let Some(Ok(KeyName::Alias { name, .. })) = text(input, key_id).map(|text| KeyName::parse(text, &cx.region)) {
        keys.set("kms:RequestAlias", name);
    }
    let encrypts = ["kms:Encrypt", "kms:Decrypt", FROM, TO, "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext"];
    if encrypts.contains(&action) {
        keys.set("kms:EncryptionAlgorithm", text(input, algorithm).unwrap_or(ALGORITHM));
    }
}

/// The encryption context that a target is decided with: for condition keys and for the constraints of grants.
pub(crate) fn encryption_context(input: &Value, action: &str) -> Vec<(String, String)> {
    let paths: &[&str] = match action {
        FROM => &["SourceEncryptionContext"],
        TO => &["DestinationEncryptionContext"],
        "kms:CreateGrant" => &["Constraints.EncryptionContextEquals", "Constraints.EncryptionContextSubset"],
        _ => &["EncryptionContext"],
    };
    let mut pairs = Vec::new();
    for path in paths {
        if let Some(Value::Map(entries)) = input.path(path) {
            pairs.extend(entries.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))));
        }
    }
    pairs
}

fn of_create_key(input: &Value, keys: &mut MapContext) {
    let spec = text(input, "KeySpec").or_else(|| text(input, "CustomerMasterKeySpec")).unwrap_or("SYMMETRIC_DEFAULT");
    keys.set("kms:KeySpec", spec);
    keys.set("kms:KeyUsage", text(input, "KeyUsage").unwrap_or("ENCRYPT_DECRYPT"));
    keys.set("kms:KeyOrigin", text(input, "Origin").unwrap_or("AWS_KMS"));
    keys.set("kms:MultiRegion", flag(input, "MultiRegion"));
    keys.set("kms:BypassPolicyLockoutSafetyCheck", flag(input, "BypassPolicyLockoutSafetyCheck"));
}

fn of_create_grant(cx: &Call, input: &Value, keys: &mut MapContext) {
    keys.set("kms:GrantIsForAWSResource", (!cx.via.is_empty()).to_string());
    if let Some(Value::List(operations)) = input.member("Operations") {
        keys.set_many("kms:GrantOperations", operations.iter().filter_map(Value::as_str));
    }
    for (member, key) in [("GranteePrincipal", "kms:GranteePrincipal"), ("RetiringPrincipal", "kms:RetiringPrincipal")] {
        if let Some(principal) = text(input, member) {
            keys.set(key, principal);
        }
    }
    let kinds = ["EncryptionContextEquals", "EncryptionContextSubset"];
    let present: Vec<&str> = kinds.into_iter().filter(|kind| input.path(&format!("Constraints.{kind}")).is_some()).collect();
    if !present.is_empty() {
        keys.set_many("kms:GrantConstraintType", present);
    }
}

fn text<'a>(input: &'a Value, member: &str) -> Option<&'a str> {
    input.member(member).and_then(Value::as_str)
}

fn flag(input: &Value, member: &str) -> String {
    matches!(input.member(member), Some(Value::Bool(true))).to_string()
}

fn number(input: &Value, member: &str, default: i32) -> String {
    match input.member(member) {
        Some(Value::Int(number)) => number.to_string(),
        _ => default.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::Context;
    use wire::Struct;

    fn structure(members: &[(&'static str, Value)]) -> Value {
        let mut fields = Struct::new();
        for (name, value) in members {
            fields.set(name, value.clone());
        }
        Value::Struct(fields)
    }

    fn map(key: &str, value: &str) -> Value {
        Value::Map(vec![(key.to_owned(), Value::Str(value.to_owned()))])
    }

    #[test]
    fn each_side_of_a_re_encryption_has_its_own_context() {
        let input = structure(&[("SourceEncryptionContext", map("a", "1")), ("DestinationEncryptionContext", map("b", "2"))]);
        let pair = |key: &str, value: &str| vec![(key.to_owned(), value.to_owned())];
        assert_eq!(encryption_context(&input, FROM), pair("a", "1"));
        assert_eq!(encryption_context(&input, TO), pair("b", "2"));
        assert_eq!(encryption_context(&input, "kms:Encrypt"), []);
    }

    #[test]
    fn the_context_of_a_grant_is_that_of_its_constraints() {
        let input = structure(&[("Constraints", structure(&[("EncryptionContextSubset", map("a", "1"))]))]);
        assert_eq!(encryption_context(&input, "kms:CreateGrant"), [("a".to_owned(), "1".to_owned())]);
    }

    #[test]
    fn keys_of_a_creation_have_defaults() {
        let mut keys = MapContext::new();
        of_create_key(&structure(&[("KeyUsage", Value::Str("GENERATE_VERIFY_MAC".to_owned()))]), &mut keys);
        let value = |name: &str| keys.key(name).map(|values| values.iter().map(str::to_owned).collect::<Vec<_>>().concat());
        assert_eq!(value("kms:keyspec").as_deref(), Some("SYMMETRIC_DEFAULT"));
        assert_eq!(value("kms:keyusage").as_deref(), Some("GENERATE_VERIFY_MAC"));
        assert_eq!(value("kms:keyorigin").as_deref(), Some("AWS_KMS"));
        assert_eq!(value("kms:bypasspolicylockoutsafetycheck").as_deref(), Some("false"));
    }
}
