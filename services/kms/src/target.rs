//! What must be allowed for a call: which action on which key or alias.

use plane::{ApiError, Call, Target};
use wire::Value;

use crate::alias::Alias;
use crate::condition_key;
use crate::encryption::missing_ciphertext;
use crate::error::KmsError;
use crate::key_name::{KeyName, alias_arn, key_arn};
use crate::{grant, resolve};

/// The targets of an operation that names a key or an alias.
pub(crate) async fn targets(cx: &mut Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    match cx.operation.name {
        "CreateAlias" | "UpdateAlias" | "DeleteAlias" => of_alias(cx, input).await,
        "ReEncrypt" => of_re_encrypt(cx, input).await,
        "RetireGrant" => of_retire_grant(cx, input).await,
        "Decrypt" => {
            let arn = source_arn(cx, input, "KeyId", "kms:Decrypt").await?;
            Ok(vec![Target { action: "kms:Decrypt".to_owned(), resource_arn: arn }])
        }
        name => {
            let action = format!("kms:{name}");
            let arn = key(cx, text(input, "KeyId").unwrap_or_default(), &action).await?;
            Ok(vec![Target { action, resource_arn: arn }])
        }
    }
}

fn text<'a>(input: &'a Value, member: &str) -> Option<&'a str> {
    input.member(member).and_then(Value::as_str)
}

async fn key(cx: &mut Call, key_id: &str, action: &str) -> Result<String, ApiError> {
    let place = resolve::place(cx, key_id, action).await?;
    Ok(place.arn(&cx.region))
}

/// The alias, the key that it points to, and the key that it shall point to: all need the permission.
async fn of_alias(cx: &mut Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let action = format!("kms:{}", cx.operation.name);
    let region = cx.region.clone();
    let name = text(input, "AliasName").unwrap_or_default();
    let mut arns = vec![alias_arn(&region, &cx.account, name)];
    if cx.operation.name != "CreateAlias"
        && let Some(alias) = cx.tx.get::<Alias>(&Alias::place(&cx.account, &region, name)).await?
    {
        arns.push(key_arn(&region, &cx.account, &alias.key_id));
    }
    if let Some(target) = text(input, "TargetKeyId") {
        if matches!(KeyName::parse(target, &region), Ok(KeyName::Alias { .. })) {
            return Err(KmsError::AliasOfAlias.into());
        }
        let arn = key(cx, target, &action).await?;
        if !arns.contains(&arn) {
            arns.push(arn);
        }
    }
    Ok(arns.into_iter().map(|resource_arn| Target { action: action.clone(), resource_arn }).collect())
}

/// ARN of the key that decrypts: as the caller names it, else as the ciphertext does.
async fn source_arn(cx: &mut Call, input: &Value, member: &str, action: &str) -> Result<String, ApiError> {
    if let Some(key_id) = text(input, member) {
        return key(cx, key_id, action).await;
    }
    let Some(Value::Bytes(ciphertext)) = input.member("CiphertextBlob") else { return Err(missing_ciphertext().into()) };
    let place = resolve::place_in_ciphertext(cx, ciphertext, action).await?;
    Ok(place.arn(&cx.region))
}

async fn of_re_encrypt(cx: &mut Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let from = source_arn(cx, input, "SourceKeyId", condition_key::FROM).await?;
    let to = key(cx, text(input, "DestinationKeyId").unwrap_or_default(), condition_key::TO).await?;
    cx.remember(condition_key::SAME_KEY, from == to);
    let target = |action: &str, resource_arn| Target { action: action.to_owned(), resource_arn };
    Ok(vec![target(condition_key::FROM, from), target(condition_key::TO, to)])
}

async fn of_retire_grant(cx: &mut Call, input: &Value) -> Result<Vec<Target>, ApiError> {
    let name = grant::named(cx, text(input, "GrantToken"), text(input, "KeyId"), text(input, "GrantId")).await?;
    let arn = key_arn(&cx.region, &name.account, &name.key_id);
    Ok(vec![Target { action: "kms:RetireGrant".to_owned(), resource_arn: arn }])
}
