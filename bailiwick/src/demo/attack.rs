//! Step 5: what must fail, and how.

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::Full;
use jiff::SignedDuration;
use zeroize::Zeroizing;

use super::lockdown::get_object;
use super::stage::{Stage, known, object, text};
use crate::client::{ClientError, Credentials};
use crate::command::Failure;

/// No credentials, a wrong secret, a stale date, a changed body, the wrong principal.
pub async fn signatures(stage: &mut Stage) -> Result<(), Failure> {
    let administrator = stage.administrator.clone();
    let (kms, list_keys) = known("kms", "ListKeys")?;
    let request = stage.client.prepare(kms, list_keys, &object([]), Bytes::new())?;
    let anonymous = stage.send(kms, list_keys, request).await;
    stage.prove_refused("without credentials", anonymous, "MissingAuthenticationTokenException", 400, &["Missing Authentication Token"])?;

    let wrong = Credentials { secret_access_key: Zeroizing::new("wrong".repeat(8)), ..administrator.clone() };
    let request = stage.client.prepare(kms, list_keys, &object([]), Bytes::new())?;
    let request = stage.client.sign(request, kms, &wrong, jiff::Timestamp::now())?;
    let refused = stage.send(kms, list_keys, request).await;
    stage.prove_refused("with a wrong secret", refused, "InvalidSignatureException", 400, &["signature we calculated does not match"])?;

    let request = stage.client.prepare(kms, list_keys, &object([]), Bytes::new())?;
    let past = jiff::Timestamp::now().checked_sub(SignedDuration::from_mins(6)).map_err(|error| Failure::general(error.to_string()))?;
    let request = stage.client.sign(request, kms, &administrator, past)?;
    let refused = stage.send(kms, list_keys, request).await;
    stage.prove_refused(
        "with a date six minutes old",
        refused,
        "InvalidSignatureException",
        400,
        &["Signature expired", "is now earlier than"],
    )?;

    let (_, encrypt) = known("kms", "Encrypt")?;
    let input = object([("KeyId", text(&stage.key_arn)), ("Plaintext", wire::Value::Bytes(Bytes::from_static(b"harmless")))]);
    let request = stage.client.prepare(kms, encrypt, &input, Bytes::new())?;
    let request = stage.client.sign(request, kms, &administrator, jiff::Timestamp::now())?;
    let changed = Bytes::from(format!("{{\"KeyId\":\"{}\",\"Plaintext\":\"Zm9yZ2Vk\"}}", stage.key_arn));
    let (mut head, _) = request.into_parts();
    head.headers.insert("content-length", HeaderValue::from(changed.len()));
    let refused = stage.send(kms, encrypt, http::Request::from_parts(head, Full::new(changed))).await;
    stage.prove_refused(
        "with a signed head and another body",
        refused,
        "InvalidSignatureException",
        400,
        &["signature we calculated does not match"],
    )?;

    let scientist = stage.scientist.clone();
    let input = object([("KeyId", text(&stage.key_arn)), ("Plaintext", wire::Value::Bytes(Bytes::from_static(b"x")))]);
    let refused = stage.call(&scientist, "kms", "Encrypt", input).await;
    stage.prove_refused(
        "from the wrong principal",
        refused,
        "AccessDeniedException",
        400,
        &["user/data-scientist", "kms:Encrypt", "no resource-based policy allows"],
    )
}

/// A disabled key makes the object unreadable, also for those who may use it.
pub async fn disabled_key(stage: &mut Stage) -> Result<(), Failure> {
    let (administrator, app) = (stage.administrator.clone(), stage.app.clone());
    stage.call(&administrator, "kms", "DisableKey", object([("KeyId", text(&stage.key_arn))])).await?;
    match get_object(stage, &app).await {
        Err(ClientError::Service { code, message, status, .. }) => {
            let as_documented = code == "KMS.DisabledException" && status == 400;
            stage.prove("once the key is disabled the object can no longer be read", as_documented, format!("{status} {code}: {message}"))
        }
        Err(error) => stage.prove("once the key is disabled the object can no longer be read", false, error.to_string()),
        Ok(_) => stage.prove("once the key is disabled the object can no longer be read", false, "it was read"),
    }
}
