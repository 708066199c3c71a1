//! JSON Web Tokens and the key sets that verify them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certificate::{Digest, PublicKey};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// Characters of a token.
const TOKEN_LIMIT: usize = 20_000;
/// Bytes of a key set.
const KEY_SET_LIMIT: usize = 256 * 1024;
/// Keys of a set.
const KEYS: usize = 100;

/// Why a token proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwtError {
    #[error("the text is not a JSON Web Token")]
    Malformed,
    #[error("the algorithm of the token is not supported")]
    Algorithm,
    #[error("the key set cannot be read")]
    KeySet,
}

/// Signature algorithms that are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Es256,
    Es384,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    /// Extensions that must be understood: none is.
    #[serde(default)]
    crit: Option<Json>,
}

/// A token, read and not yet believed.
#[derive(Clone, Debug)]
pub struct Jwt {
    algorithm: Algorithm,
    pub key_id: Option<String>,
    signed: String,
    signature: Vec<u8>,
    claims: Map<String, Json>,
}

fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(part.trim_end_matches('=')).map_err(|_| JwtError::Malformed)
}

impl Jwt {
    /// Takes a token apart.
    pub fn read(token: &str) -> Result<Self, JwtError> {
        if token.len() > TOKEN_LIMIT {
            return Err(JwtError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(JwtError::Malformed)?;
        let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(JwtError::Malformed)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| JwtError::Malformed)?;
        if header.crit.is_some() {
            return Err(JwtError::Malformed);
        }
        let algorithm = match header.alg.as_str() {
            "RS256" => Algorithm::Rs256,
            "RS384" => Algorithm::Rs384,
            "RS512" => Algorithm::Rs512,
            "ES256" => Algorithm::Es256,
            "ES384" => Algorithm::Es384,
            _ => return Err(JwtError::Algorithm),
        };
        let Ok(Json::Object(claims)) = serde_json::from_slice(&decode(claims)?) else { return Err(JwtError::Malformed) };
        Ok(Self { algorithm, key_id: header.kid, signed: signed.to_owned(), signature: decode(signature)?, claims })
    }

    /// A claim that is a text.
    pub fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    /// A claim that is one text or a list of texts.
    pub fn texts(&self, claim: &str) -> Vec<String> {
        match self.claims.get(claim) {
            Some(Json::String(text)) => vec![text.clone()],
            Some(Json::Array(items)) => items.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        }
    }

    /// A claim that is a time in seconds since 1970; fractions are dropped.
    pub fn seconds(&self, claim: &str) -> Option<i64> {
        let value = self.claims.get(claim)?;
        value.as_i64().or_else(|| value.as_number()?.to_string().split('.').next()?.parse().ok())
    }

    /// A claim of any form.
    pub fn claim(&self, claim: &str) -> Option<&Json> {
        self.claims.get(claim)
    }
}

/// One key of a set.
#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    key: PublicKey,
}

/// The public keys of a provider.
#[derive(Clone, Debug, Default)]
pub struct KeySet(Vec<Key>);

#[derive(Deserialize)]
struct JsonKeySet {
    keys: Vec<JsonKey>,
}

#[derive(Deserialize)]
struct JsonKey {
    #[serde(default)]
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set. Keys of kinds that are not supported are left out.
    pub fn read(bytes: &[u8]) -> Result<Self, JwtError> {
        if bytes.len() > KEY_SET_LIMIT {
            return Err(JwtError::KeySet);
        }
        let set: JsonKeySet = serde_json::from_slice(bytes).map_err(|_| JwtError::KeySet)?;
        let for_signatures = |key: &&JsonKey| key.usage.as_deref().is_none_or(|usage| usage == "sig");
        let keys = set.keys.iter().take(KEYS).filter(for_signatures);
        Ok(Self(keys.filter_map(|key| Some(Key { id: key.kid.clone(), key: public_key(key)? })).collect()))
    }

    /// Whether the set has the key that the token names. A token that names none may be of any.
    pub fn has(&self, key_id: Option<&str>) -> bool {
        key_id.is_none() || self.0.iter().any(|key| key.id.as_deref() == key_id)
    }

    /// Whether one of the keys made the token's signature; the one that it names, if it names one.
    pub fn verifies(&self, token: &Jwt) -> bool {
        let named = |key: &&Key| token.key_id.is_none() || key.id == token.key_id;
        self.0.iter().filter(named).any(|key| verifies(&key.key, token))
    }
}

fn verifies(key: &PublicKey, token: &Jwt) -> bool {
    let message = token.signed.as_bytes();
    let rsa = |digest| key.is_rsa() && key.verifies(digest, message, &token.signature);
    match token.algorithm {
        Algorithm::Rs256 => rsa(Digest::Sha256),
        Algorithm::Rs384 => rsa(Digest::Sha384),
        Algorithm::Rs512 => rsa(Digest::Sha512),
        // The curve follows from the key; the lengths of both forms differ, so neither is taken for the other.
        Algorithm::Es256 => token.signature.len() == 64 && key.verifies_fixed(message, &token.signature),
        Algorithm::Es384 => token.signature.len() == 96 && key.verifies_fixed(message, &token.signature),
    }
}

fn public_key(key: &JsonKey) -> Option<PublicKey> {
    let number = |text: &Option<String>| decode(text.as_deref()?).ok();
    match (key.kty.as_str(), key.crv.as_deref()) {
        ("RSA", _) => Some(PublicKey::rsa(&number(&key.n)?, &number(&key.e)?)),
        ("EC", Some("P-256")) => Some(PublicKey::p256(&number(&key.x)?.try_into().ok()?, &number(&key.y)?.try_into().ok()?)),
        ("EC", Some("P-384")) => Some(PublicKey::p384(&number(&key.x)?.try_into().ok()?, &number(&key.y)?.try_into().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    struct Issuer(EcdsaKeyPair);

    impl Issuer {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
        }

        fn token(&self, header: &Json, claims: &Json) -> String {
            let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
        }

        fn keys(&self, id: &str) -> KeySet {
            let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
            let key = json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
            KeySet::read(json!({ "keys": [key, { "kty": "oct", "k": "AA" }] }).to_string().as_bytes()).unwrap()
        }
    }

    #[test]
    fn only_the_keys_of_the_issuer_verify() {
        let issuer = Issuer::new();
        let token = issuer.token(&json!({ "alg": "ES256", "kid": "a" }), &json!({ "sub": "x", "aud": ["one", "two"], "exp": 5.7 }));
        let read = Jwt::read(&token).unwrap();
        assert!(issuer.keys("a").verifies(&read));
        assert!(!issuer.keys("b").verifies(&read) && !issuer.keys("b").has(read.key_id.as_deref()));
        assert!(!Issuer::new().keys("a").verifies(&read));
        assert_eq!((read.text("sub"), read.texts("aud").len(), read.seconds("exp")), (Some("x"), 2, Some(5)));
        let altered = token.replace('.', "A.");
        assert!(Jwt::read(&altered).map_or(true, |altered| !issuer.keys("a").verifies(&altered)));
    }

    #[test]
    fn a_token_cannot_choose_to_be_unsigned() {
        let issuer = Issuer::new();
        for algorithm in ["none", "HS256", "es256", "PS256"] {
            let token = issuer.token(&json!({ "alg": algorithm }), &json!({}));
            assert_eq!(Jwt::read(&token).unwrap_err(), JwtError::Algorithm);
        }
        // The right key under another algorithm verifies nothing.
        let token = issuer.token(&json!({ "alg": "RS256" }), &json!({}));
        assert!(!issuer.keys("a").verifies(&Jwt::read(&token).unwrap()));
        assert_eq!(Jwt::read(&issuer.token(&json!({ "alg": "ES256", "crit": ["b64"] }), &json!({}))).unwrap_err(), JwtError::Malformed);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_readers(text in ".{0,100}", header in "[ -~]{0,40}", claims in "[ -~]{0,40}") {
            let _ = Jwt::read(&text);
            let _ = Jwt::read(&format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(&claims)));
            let _ = KeySet::read(claims.as_bytes());
        }
    }
}
