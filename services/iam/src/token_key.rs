//! The keys that an account's token issuer signs with, and the form in which it publishes them.
//!
//! Source: RFC 7515 (compact serialization), RFC 7517, RFC 7518 sections 3.3, 3.4 and 6.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use plane::{ApiError, Plane};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use zeroize::Zeroizing;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// A key signs for so long.
const LIFE_MS: i64 = 90 * DAY_MS;
/// After that it is published for a while yet: a token lives for an hour at most.
const AFTERLIFE_MS: i64 = DAY_MS;
/// Bytes of a coordinate of P-384.
const COORDINATE: usize = 48;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokenAlgorithm {
    #[serde(rename = "RS256")]
    Rs256,
    #[serde(rename = "ES384")]
    Es384,
}

impl TokenAlgorithm {
    pub const ALL: [Self; 2] = [Self::Rs256, Self::Es384];

    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es384 => "ES384",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A key pair; the record that holds it is sealed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct TokenKey {
    id: String,
    algorithm: TokenAlgorithm,
    /// PKCS#8 DER, base64url.
    private: Zeroizing<String>,
    start_ms: i64,
}

fn internal(error: impl std::fmt::Display) -> ApiError {
    ApiError::internal(&error)
}

fn encoded(value: &impl Serialize) -> Result<String, ApiError> {
    Ok(URL_SAFE_NO_PAD.encode(serde_json::to_vec(value)?))
}

impl TokenKey {
    pub(crate) fn generate(plane: &Plane, algorithm: TokenAlgorithm, now_ms: i64) -> Result<Self, ApiError> {
        Self::of(plane.random_uuid()?, algorithm, now_ms)
    }

    fn of(id: String, algorithm: TokenAlgorithm, start_ms: i64) -> Result<Self, ApiError> {
        let der = match algorithm {
            TokenAlgorithm::Rs256 => {
                let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(internal)?;
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(internal)?;
                Zeroizing::new(der.as_ref().to_vec())
            }
            TokenAlgorithm::Es384 => {
                let pair = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).map_err(internal)?;
                Zeroizing::new(pair.to_pkcs8v1().map_err(internal)?.as_ref().to_vec())
            }
        };
        Ok(Self { id, algorithm, private: Zeroizing::new(URL_SAFE_NO_PAD.encode(der.as_slice())), start_ms })
    }

    /// Whether new tokens of the algorithm are signed with it.
    pub(crate) fn signs(&self, algorithm: TokenAlgorithm, now_ms: i64) -> bool {
        self.algorithm == algorithm && now_ms < self.start_ms.saturating_add(LIFE_MS)
    }

    /// Whether tokens that it signed may still be out.
    pub(crate) fn is_published(&self, now_ms: i64) -> bool {
        now_ms < self.start_ms.saturating_add(LIFE_MS).saturating_add(AFTERLIFE_MS)
    }

    fn der(&self) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        URL_SAFE_NO_PAD.decode(self.private.as_bytes()).map(Zeroizing::new).map_err(internal)
    }

    fn rsa(&self) -> Result<RsaKeyPair, ApiError> {
        RsaKeyPair::from_pkcs8(&self.der()?).map_err(internal)
    }

    fn ecdsa(&self) -> Result<EcdsaKeyPair, ApiError> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &self.der()?).map_err(internal)
    }

    /// A token over the claims.
    pub(crate) fn sign(&self, claims: &Map<String, Json>) -> Result<String, ApiError> {
        let header = json!({ "alg": self.algorithm.name(), "kid": self.id, "typ": "JWT" });
        let signed = format!("{}.{}", encoded(&header)?, encoded(claims)?);
        let signature = match self.algorithm {
            TokenAlgorithm::Rs256 => {
                let pair = self.rsa()?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).map_err(internal)?;
                signature
            }
            TokenAlgorithm::Es384 => self.ecdsa()?.sign(&SystemRandom::new(), signed.as_bytes()).map_err(internal)?.as_ref().to_vec(),
        };
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// The public half, as a JSON Web Key.
    pub(crate) fn public(&self) -> Result<Json, ApiError> {
        let mut jwk = json!({ "kid": self.id, "alg": self.algorithm.name(), "use": "sig" });
        let members = match self.algorithm {
            TokenAlgorithm::Rs256 => {
                let pair = self.rsa()?;
                let (modulus, exponent) =
                    rsa_numbers(pair.public_key().as_ref()).ok_or_else(|| internal("a public key of a token issuer cannot be read"))?;
                json!({ "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus), "e": URL_SAFE_NO_PAD.encode(exponent) })
            }
            TokenAlgorithm::Es384 => {
                let pair = self.ecdsa()?;
                let point = pair.public_key().as_ref().strip_prefix(&[4]).unwrap_or_default();
                let (x, y) = point.split_at_checked(COORDINATE).unwrap_or_default();
                json!({ "kty": "EC", "crv": "P-384", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) })
            }
        };
        if let (Json::Object(jwk), Json::Object(members)) = (&mut jwk, members) {
            jwk.extend(members);
        }
        Ok(jwk)
    }
}

/// Modulus and exponent of a PKCS#1 public key: a sequence of two positive integers.
fn rsa_numbers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, _) = element(der, 0x30)?;
    let (modulus, rest) = element(sequence, 0x02)?;
    let (exponent, _) = element(rest, 0x02)?;
    let unsigned = |number: &'_ [u8]| number.iter().position(|byte| *byte != 0);
    Some((modulus.get(unsigned(modulus)?..)?, exponent.get(unsigned(exponent)?..)?))
}

/// Content of the DER element of a tag at the beginning, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
        (bytes.iter().try_fold(0_usize, |length, byte| length.checked_mul(256)?.checked_add(usize::from(*byte)))?, rest)
    };
    (found == tag).then(|| rest.split_at_checked(length)).flatten()
}

#[cfg(test)]
mod tests {
    use federation::jwt::{Jwt, KeySet};

    use super::*;

    fn claims(subject: &str) -> Map<String, Json> {
        json!({ "sub": subject }).as_object().unwrap().clone()
    }

    #[test]
    fn a_token_verifies_under_the_published_key_and_no_other() {
        for algorithm in TokenAlgorithm::ALL {
            let key = TokenKey::of("k1".to_owned(), algorithm, 0).unwrap();
            let other = TokenKey::of("k1".to_owned(), algorithm, 0).unwrap();
            let set = |key: &TokenKey| KeySet::read(json!({ "keys": [key.public().unwrap()] }).to_string().as_bytes()).unwrap();
            let token = key.sign(&claims("me")).unwrap();
            let jwt = Jwt::read(&token).unwrap();
            assert_eq!((jwt.key_id.as_deref(), jwt.text("sub")), (Some("k1"), Some("me")));
            assert!(set(&key).verifies(&jwt), "{algorithm:?}");
            assert!(!set(&other).verifies(&jwt), "{algorithm:?}");
        }
    }

    #[test]
    fn a_key_signs_ninety_days_and_is_shown_a_day_more() {
        let key = TokenKey::of("k".to_owned(), TokenAlgorithm::Es384, 0).unwrap();
        assert!(key.signs(TokenAlgorithm::Es384, LIFE_MS - 1) && !key.signs(TokenAlgorithm::Es384, LIFE_MS));
        assert!(!key.signs(TokenAlgorithm::Rs256, 0));
        assert!(key.is_published(LIFE_MS + DAY_MS - 1) && !key.is_published(LIFE_MS + DAY_MS));
    }

    #[test]
    fn elements() {
        assert_eq!(element(&[2, 1, 7, 9], 2), Some((&[7][..], &[9][..])));
        assert_eq!(element(&[2, 0x81, 1, 7], 2), Some((&[7][..], &[][..])));
        for wrong in [&[][..], &[2], &[2, 5, 1], &[3, 1, 7], &[2, 0x89, 1]] {
            assert_eq!(element(wrong, 2), None, "{wrong:?}");
        }
    }
}
