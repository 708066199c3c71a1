//! Key specs that we make keys of, and what each can do.

use serde::{Deserialize, Serialize};

use crate::error::KmsError;

/// Kind of key material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum KeySpec {
    #[serde(rename = "SYMMETRIC_DEFAULT")]
    SymmetricDefault,
    #[serde(rename = "HMAC_224")]
    Hmac224,
    #[serde(rename = "HMAC_256")]
    Hmac256,
    #[serde(rename = "HMAC_384")]
    Hmac384,
    #[serde(rename = "HMAC_512")]
    Hmac512,
}

impl KeySpec {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SymmetricDefault => "SYMMETRIC_DEFAULT",
            Self::Hmac224 => "HMAC_224",
            Self::Hmac256 => "HMAC_256",
            Self::Hmac384 => "HMAC_384",
            Self::Hmac512 => "HMAC_512",
        }
    }

    /// The one usage that keys of this spec have.
    pub(crate) fn usage(self) -> &'static str {
        match self {
            Self::SymmetricDefault => "ENCRYPT_DECRYPT",
            _ => "GENERATE_VERIFY_MAC",
        }
    }

    /// The one algorithm that keys of this spec have.
    pub(crate) fn algorithm(self) -> &'static str {
        match self {
            Self::SymmetricDefault => "SYMMETRIC_DEFAULT",
            Self::Hmac224 => "HMAC_SHA_224",
            Self::Hmac256 => "HMAC_SHA_256",
            Self::Hmac384 => "HMAC_SHA_384",
            Self::Hmac512 => "HMAC_SHA_512",
        }
    }

    /// Length of the key material.
    pub(crate) fn material_bytes(self) -> usize {
        match self {
            Self::Hmac224 => 28,
            Self::SymmetricDefault | Self::Hmac256 => 32,
            Self::Hmac384 => 48,
            Self::Hmac512 => 64,
        }
    }

    pub(crate) fn is_symmetric_encryption(self) -> bool {
        self == Self::SymmetricDefault
    }

    /// The spec and usage that `CreateKey` asks for. Specs that we do not make are refused; nothing is stored for them.
    pub(crate) fn requested(spec: Option<&str>, usage: Option<&str>) -> Result<Self, KmsError> {
        let name = spec.unwrap_or("SYMMETRIC_DEFAULT");
        let made = [Self::SymmetricDefault, Self::Hmac224, Self::Hmac256, Self::Hmac384, Self::Hmac512]
            .into_iter()
            .find(|made| made.name() == name);
        if usage.is_none() && name != "SYMMETRIC_DEFAULT" {
            return Err(KmsError::Validation(
                "You must specify a KeyUsage value for all KMS keys except for symmetric encryption keys.".to_owned(),
            ));
        }
        let made = made.ok_or_else(|| KmsError::Unsupported(format!("keys of the spec `{name}` are not supported")))?;
        match usage {
            Some(usage) if usage != made.usage() => {
                Err(KmsError::Validation(format!("KeyUsage {usage} is not compatible with KeySpec {name}")))
            }
            _ => Ok(made),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requested_specs() {
        let code = |spec, usage| KeySpec::requested(spec, usage).map_err(|error| error.code());
        assert_eq!(code(None, None), Ok(KeySpec::SymmetricDefault));
        assert_eq!(code(Some("SYMMETRIC_DEFAULT"), Some("ENCRYPT_DECRYPT")), Ok(KeySpec::SymmetricDefault));
        assert_eq!(code(Some("HMAC_384"), Some("GENERATE_VERIFY_MAC")), Ok(KeySpec::Hmac384));
        assert_eq!(code(Some("HMAC_384"), None), Err("ValidationException"));
        assert_eq!(code(Some("HMAC_384"), Some("ENCRYPT_DECRYPT")), Err("ValidationException"));
        assert_eq!(code(None, Some("SIGN_VERIFY")), Err("ValidationException"));
        assert_eq!(code(Some("RSA_2048"), Some("SIGN_VERIFY")), Err("UnsupportedOperationException"));
        assert_eq!(code(Some("ML_KEM_768"), Some("ENCAPSULATE_DECAPSULATE")), Err("UnsupportedOperationException"));
    }

    #[test]
    fn stored_names_are_those_of_the_api() {
        for spec in [KeySpec::SymmetricDefault, KeySpec::Hmac224, KeySpec::Hmac256, KeySpec::Hmac384, KeySpec::Hmac512] {
            assert_eq!(serde_json::to_value(spec).unwrap(), spec.name());
        }
    }
}
