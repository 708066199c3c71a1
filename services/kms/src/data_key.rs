//! Data keys, and random bytes.

use api_kms::{
    DataKeySpec, GenerateDataKeyInput, GenerateDataKeyOutput, GenerateDataKeyWithoutPlaintextInput, GenerateDataKeyWithoutPlaintextOutput,
    GenerateRandomInput, GenerateRandomOutput,
};
use bytes::Bytes;
use plane::{ApiError, Call};
use wire::Secret;
use zeroize::Zeroizing;

use crate::encryption::{USAGE, end_dry_run, refuse_recipient, seal, usable_key};
use crate::error::KmsError;
use crate::grant_token;

/// Most bytes of a data key or of `GenerateRandom`.
const BYTES_MAX: usize = 1024;

/// Length of a data key: exactly one of the two members says it.
fn length(spec: Option<&DataKeySpec>, number_of_bytes: Option<i32>) -> Result<usize, KmsError> {
    let length = match (spec.map(DataKeySpec::as_str), number_of_bytes) {
        (Some("AES_256"), None) => Some(32),
        (Some("AES_128"), None) => Some(16),
        (None, Some(number)) => usize::try_from(number).ok().filter(|number| (1..=BYTES_MAX).contains(number)),
        _ => None,
    };
    length.ok_or_else(|| KmsError::Validation("Please specify either number of bytes or key spec.".to_owned()))
}

fn random(cx: &Call, length: usize) -> Result<Zeroizing<Vec<u8>>, ApiError> {
    let mut bytes = Zeroizing::new(vec![0; length]);
    cx.random(&mut bytes)?;
    Ok(bytes)
}

pub(crate) async fn generate_data_key(cx: &mut Call, input: GenerateDataKeyInput) -> Result<GenerateDataKeyOutput, ApiError> {
    refuse_recipient(input.recipient.as_ref())?;
    grant_token::check_all(cx, input.grant_tokens.as_deref())?;
    let length = length(input.key_spec.as_ref(), input.number_of_bytes)?;
    let key = usable_key(cx, &input.key_id, USAGE).await?;
    end_dry_run(input.dry_run)?;
    let plaintext = random(cx, length)?;
    let sealed = seal(cx, &key, &input.encryption_context.unwrap_or_default(), &plaintext).await?;
    Ok(GenerateDataKeyOutput {
        ciphertext_blob: Some(sealed.ciphertext),
        plaintext: Some(Secret::new(Bytes::copy_from_slice(&plaintext))),
        key_id: Some(key.arn(&cx.region)),
        ciphertext_for_recipient: None,
        key_material_id: Some(sealed.material_id),
    })
}

pub(crate) async fn generate_data_key_without_plaintext(
    cx: &mut Call,
    input: GenerateDataKeyWithoutPlaintextInput,
) -> Result<GenerateDataKeyWithoutPlaintextOutput, ApiError> {
    grant_token::check_all(cx, input.grant_tokens.as_deref())?;
    let length = length(input.key_spec.as_ref(), input.number_of_bytes)?;
    let key = usable_key(cx, &input.key_id, USAGE).await?;
    end_dry_run(input.dry_run)?;
    let plaintext = random(cx, length)?;
    let sealed = seal(cx, &key, &input.encryption_context.unwrap_or_default(), &plaintext).await?;
    Ok(GenerateDataKeyWithoutPlaintextOutput {
        ciphertext_blob: Some(sealed.ciphertext),
        key_id: Some(key.arn(&cx.region)),
        key_material_id: Some(sealed.material_id),
    })
}

pub(crate) async fn generate_random(cx: &mut Call, input: GenerateRandomInput) -> Result<GenerateRandomOutput, ApiError> {
    refuse_recipient(input.recipient.as_ref())?;
    if input.custom_key_store_id.is_some() {
        return Err(KmsError::Unsupported("custom key stores are not supported".to_owned()).into());
    }
    let number = input.number_of_bytes.ok_or_else(|| KmsError::Validation("NumberOfBytes is required.".to_owned()))?;
    let bytes = random(cx, length(None, Some(number))?)?;
    Ok(GenerateRandomOutput { plaintext: Some(Secret::new(Bytes::copy_from_slice(&bytes))), ciphertext_for_recipient: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_data_keys() {
        let ok = |spec: Option<&str>, number| length(spec.map(DataKeySpec::from).as_ref(), number).ok();
        assert_eq!(ok(Some("AES_256"), None), Some(32));
        assert_eq!(ok(Some("AES_128"), None), Some(16));
        assert_eq!(ok(None, Some(1)), Some(1));
        assert_eq!(ok(None, Some(1024)), Some(1024));
        for (spec, number) in
            [(None, None), (Some("AES_256"), Some(32)), (None, Some(0)), (None, Some(-1)), (None, Some(1025)), (Some("DES"), None)]
        {
            assert_eq!(ok(spec, number), None, "{spec:?} {number:?}");
        }
    }
}
