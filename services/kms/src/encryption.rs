//! Encrypt, Decrypt, ReEncrypt.

use std::sync::Arc;

use api_kms::{
    DecryptInput, DecryptOutput, DryRunModifierType, EncryptInput, EncryptOutput, EncryptionAlgorithmSpec, ReEncryptInput, ReEncryptOutput,
    RecipientInfo,
};
use bytes::Bytes;
use plane::{ApiError, Call};
use wire::Secret;
use zeroize::Zeroizing;

use crate::ciphertext::{self, Blob, EncryptionContext, Place, RANDOM_BYTES};
use crate::error::KmsError;
use crate::key::KmsKey;
use crate::{grant_token, key_state, material, resolve, rotation};

/// Usage of keys that encrypt.
pub(crate) const USAGE: &str = "ENCRYPT_DECRYPT";
/// The algorithm of every key here that encrypts.
pub(crate) const ALGORITHM: &str = "SYMMETRIC_DEFAULT";

/// The key that a call names, fit for use: in a working state and of the right usage.
pub(crate) async fn usable_key(cx: &mut Call, key_id: &str, usage: &str) -> Result<Arc<KmsKey>, ApiError> {
    let key = resolve::key(cx, key_id).await?;
    check_usable(cx, &key, usage)?;
    Ok(key)
}

fn check_usable(cx: &Call, key: &KmsKey, usage: &str) -> Result<(), KmsError> {
    key_state::check(cx.operation.name, key.state, &key.arn(&cx.region))?;
    key.check_usage(usage, &cx.region, cx.operation.name)
}

fn check_algorithm(asked: Option<&EncryptionAlgorithmSpec>, key: &KmsKey) -> Result<(), KmsError> {
    match asked {
        Some(asked) if asked.as_str() != key.spec.algorithm() => {
            Err(KmsError::Algorithm { algorithm: asked.as_str().to_owned(), spec: key.spec.name().to_owned() })
        }
        _ => Ok(()),
    }
}

/// Answers that only an attested enclave could read: there is none here.
pub(crate) fn refuse_recipient(recipient: Option<&RecipientInfo>) -> Result<(), KmsError> {
    match recipient {
        Some(_) => Err(KmsError::Unsupported("the parameter `Recipient` (Nitro Enclaves and NitroTPM) is not supported".to_owned())),
        None => Ok(()),
    }
}

/// Answers a dry run that would have succeeded.
pub(crate) fn end_dry_run(dry_run: Option<bool>) -> Result<(), KmsError> {
    if dry_run == Some(true) { Err(KmsError::DryRun) } else { Ok(()) }
}

/// A message under the key's current material. A rotation that is due comes first.
pub(crate) struct Sealed {
    pub ciphertext: Bytes,
    pub material_id: String,
}

pub(crate) async fn seal(cx: &mut Call, key: &KmsKey, context: &EncryptionContext, plaintext: &[u8]) -> Result<Sealed, ApiError> {
    let rotated = rotate_first(cx, key).await?;
    let key = rotated.as_ref().unwrap_or(key);
    let material_id = key.current_material()?.id.clone();
    let material = material::open(cx, key, &material_id).await?;
    let mut random = [0_u8; RANDOM_BYTES];
    cx.random(&mut random)?;
    let place = Place { account: &key.account, region: &cx.region, context };
    let blob = ciphertext::seal(&material.secret, &key.id_bytes()?, &material.short_id()?, place, &random, plaintext)
        .map_err(|error| ApiError::internal(&error))?;
    Ok(Sealed { ciphertext: blob.into(), material_id })
}

/// Rotates a key that is due and gives its new form. Inside a call that has written already the old material serves once more,
/// because the call's snapshot must stay what it was.
async fn rotate_first(cx: &mut Call, key: &KmsKey) -> Result<Option<KmsKey>, ApiError> {
    if !rotation::is_due(key, cx.now.0) || cx.tx.has_writes() {
        return Ok(None);
    }
    rotation::rotate_if_due(&cx.plane, &cx.region, &key.account, &key.id, cx.now.0).await?;
    cx.tx = cx.tx.renew();
    let place = KmsKey::place(&key.account, &cx.region, &key.id);
    cx.tx.get::<KmsKey>(&place).await
}

/// What a ciphertext holds, if it was made by this key in this context.
async fn open(
    cx: &mut Call,
    key: &KmsKey,
    context: &EncryptionContext,
    ciphertext: &[u8],
) -> Result<(Zeroizing<Vec<u8>>, String), ApiError> {
    let blob = Blob::parse(ciphertext).ok_or(KmsError::Ciphertext)?;
    if *blob.key_id != key.id_bytes()? {
        return Err(KmsError::IncorrectKey.into());
    }
    let found = key.materials.iter().find(|entry| material::short_id(&entry.id).as_ref() == Some(blob.material_id));
    let material_id = found.ok_or(KmsError::Ciphertext)?.id.clone();
    let material = material::open(cx, key, &material_id).await?;
    let place = Place { account: &key.account, region: &cx.region, context };
    let plaintext = blob.open(&material.secret, place).map_err(|_| KmsError::Ciphertext)?;
    Ok((plaintext, material_id))
}

pub(crate) async fn encrypt(cx: &mut Call, input: EncryptInput) -> Result<EncryptOutput, ApiError> {
    grant_token::check_all(cx, input.grant_tokens.as_deref())?;
    let key = usable_key(cx, &input.key_id, USAGE).await?;
    check_algorithm(input.encryption_algorithm.as_ref(), &key)?;
    end_dry_run(input.dry_run)?;
    let context = input.encryption_context.unwrap_or_default();
    let sealed = seal(cx, &key, &context, &input.plaintext).await?;
    Ok(EncryptOutput {
        ciphertext_blob: Some(sealed.ciphertext),
        key_id: Some(key.arn(&cx.region)),
        encryption_algorithm: Some(ALGORITHM.into()),
    })
}

/// The ciphertext of a decryption, the key that the caller named for it, and whether only permissions are tried.
struct Source<'a> {
    ciphertext: Option<&'a [u8]>,
    key_id: Option<&'a str>,
    action: &'static str,
}

impl<'a> Source<'a> {
    fn new(
        ciphertext: Option<&'a Bytes>,
        key_id: Option<&'a str>,
        action: &'static str,
        dry_run: Option<bool>,
        modifiers: Option<&[DryRunModifierType]>,
    ) -> Result<Self, KmsError> {
        let ignores = modifiers.unwrap_or_default().iter().any(|modifier| modifier.as_str() == "IGNORE_CIPHERTEXT");
        if ignores && dry_run != Some(true) {
            return Err(KmsError::Validation("DryRunModifiers can be specified only together with DryRun.".to_owned()));
        }
        if ciphertext.is_none() && !ignores {
            return Err(missing_ciphertext());
        }
        Ok(Self { ciphertext: ciphertext.filter(|_| !ignores).map(AsRef::as_ref), key_id, action })
    }

    async fn key(&self, cx: &mut Call) -> Result<Arc<KmsKey>, ApiError> {
        let key = match (self.key_id, self.ciphertext) {
            (Some(key_id), _) => resolve::key(cx, key_id).await?,
            (None, Some(ciphertext)) => {
                let place = resolve::place_in_ciphertext(cx, ciphertext, self.action).await?;
                let arn = place.arn(&cx.region);
                resolve::find(cx, &place).await?.ok_or(KmsError::KeyMissing(arn))?
            }
            (None, None) => return Err(KmsError::Validation("A key must be specified when the ciphertext is ignored.".to_owned()).into()),
        };
        if let Some(ciphertext) = self.ciphertext {
            let blob = Blob::parse(ciphertext).ok_or(KmsError::Ciphertext)?;
            if key.id_bytes()? != *blob.key_id {
                return Err(KmsError::IncorrectKey.into());
            }
        }
        check_usable(cx, &key, USAGE)?;
        Ok(key)
    }

    /// Opens the ciphertext; `None` when only permissions are tried.
    async fn open(
        &self,
        cx: &mut Call,
        key: &KmsKey,
        context: &EncryptionContext,
    ) -> Result<Option<(Zeroizing<Vec<u8>>, String)>, ApiError> {
        match self.ciphertext {
            Some(ciphertext) => open(cx, key, context, ciphertext).await.map(Some),
            None => Ok(None),
        }
    }
}

/// What the codec says of a member that is required unless `IGNORE_CIPHERTEXT` is asked for.
pub(crate) fn missing_ciphertext() -> KmsError {
    KmsError::Validation(
        "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null".to_owned(),
    )
}

pub(crate) async fn decrypt(cx: &mut Call, input: DecryptInput) -> Result<DecryptOutput, ApiError> {
    refuse_recipient(input.recipient.as_ref())?;
    grant_token::check_all(cx, input.grant_tokens.as_deref())?;
    let source = Source::new(
        input.ciphertext_blob.as_ref(),
        input.key_id.as_deref(),
        "kms:Decrypt",
        input.dry_run,
        input.dry_run_modifiers.as_deref(),
    )?;
    let key = source.key(cx).await?;
    check_algorithm(input.encryption_algorithm.as_ref(), &key)?;
    let opened = source.open(cx, &key, &input.encryption_context.unwrap_or_default()).await?;
    end_dry_run(input.dry_run)?;
    let (plaintext, material_id) = opened.ok_or(KmsError::Ciphertext)?;
    Ok(DecryptOutput {
        key_id: Some(key.arn(&cx.region)),
        plaintext: Some(Secret::new(Bytes::copy_from_slice(&plaintext))),
        encryption_algorithm: Some(ALGORITHM.into()),
        ciphertext_for_recipient: None,
        key_material_id: Some(material_id),
    })
}

pub(crate) async fn re_encrypt(cx: &mut Call, input: ReEncryptInput) -> Result<ReEncryptOutput, ApiError> {
    grant_token::check_all(cx, input.grant_tokens.as_deref())?;
    let source = Source::new(
        input.ciphertext_blob.as_ref(),
        input.source_key_id.as_deref(),
        "kms:ReEncryptFrom",
        input.dry_run,
        input.dry_run_modifiers.as_deref(),
    )?;
    let from = source.key(cx).await?;
    check_algorithm(input.source_encryption_algorithm.as_ref(), &from)?;
    let to = usable_key(cx, &input.destination_key_id, USAGE).await?;
    check_algorithm(input.destination_encryption_algorithm.as_ref(), &to)?;
    let opened = source.open(cx, &from, &input.source_encryption_context.unwrap_or_default()).await?;
    end_dry_run(input.dry_run)?;
    let (plaintext, source_material_id) = opened.ok_or(KmsError::Ciphertext)?;
    let sealed = seal(cx, &to, &input.destination_encryption_context.unwrap_or_default(), &plaintext).await?;
    Ok(ReEncryptOutput {
        ciphertext_blob: Some(sealed.ciphertext),
        source_key_id: Some(from.arn(&cx.region)),
        key_id: Some(to.arn(&cx.region)),
        source_encryption_algorithm: Some(ALGORITHM.into()),
        destination_encryption_algorithm: Some(ALGORITHM.into()),
        source_key_material_id: Some(source_material_id),
        destination_key_material_id: Some(sealed.material_id),
    })
}
