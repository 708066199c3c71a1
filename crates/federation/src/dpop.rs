//! Proofs of possession (DPoP): a token that says which request its maker's private key was at hand for.
//!
//! Source: RFC 9449, "OAuth 2.0 Demonstrating Proof of Possession", section 4; RFC 7638 for the thumbprint of a key.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certificate::PublicKey;
use serde::Deserialize;

/// Characters of a proof.
const PROOF_LIMIT: usize = 4_096;
/// Characters of a proof's identifier.
const IDENTIFIER_LIMIT: usize = 256;
/// Bytes of a coordinate of P-256.
const COORDINATE: usize = 32;
const TYPE: &str = "dpop+jwt";
const ALGORITHM: &str = "ES256";

/// Why a proof proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DpopError {
    #[error("the text is not a DPoP proof")]
    Malformed,
    #[error("the algorithm or the key of the proof is not supported")]
    Algorithm,
    #[error("the signature of the proof is wrong")]
    Signature,
}

/// A proof whose signature was verified with the key that it names. What request it is for is for the caller to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dpop {
    /// SHA-256 of the public key (RFC 7638), base64url.
    pub thumbprint: String,
    /// `htm`: the method of the request.
    pub method: String,
    /// `htu`: the URL of the request, without query and fragment.
    pub url: String,
    /// `iat`: when it was made, seconds since 1970.
    pub issued_s: i64,
    /// `jti`: no two proofs of a key have the same.
    pub identifier: String,
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Key,
    /// Extensions that must be understood: none is.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Key {
    kty: String,
    crv: String,
    x: String,
    y: String,
    /// A private key has no business here.
    #[serde(default)]
    d: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Claims {
    htm: String,
    htu: String,
    iat: i64,
    jti: String,
}

fn decode(part: &str) -> Result<Vec<u8>, DpopError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| DpopError::Malformed)
}

fn coordinate(text: &str) -> Result<[u8; COORDINATE], DpopError> {
    decode(text)?.try_into().map_err(|_| DpopError::Algorithm)
}

impl Dpop {
    /// Reads a proof and verifies its signature.
    pub fn verify(proof: &str) -> Result<Self, DpopError> {
        if proof.len() > PROOF_LIMIT {
            return Err(DpopError::Malformed);
        }
        let (signed, signature) = proof.rsplit_once('.').ok_or(DpopError::Malformed)?;
        let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.')).ok_or(DpopError::Malformed)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| DpopError::Malformed)?;
        if header.typ != TYPE || header.crit.is_some() || header.jwk.d.is_some() {
            return Err(DpopError::Malformed);
        }
        if header.alg != ALGORITHM || header.jwk.kty != "EC" || header.jwk.crv != "P-256" {
            return Err(DpopError::Algorithm);
        }
        let claims: Claims = serde_json::from_slice(&decode(claims)?).map_err(|_| DpopError::Malformed)?;
        if claims.jti.is_empty() || claims.jti.len() > IDENTIFIER_LIMIT {
            return Err(DpopError::Malformed);
        }
        let (x, y) = (coordinate(&header.jwk.x)?, coordinate(&header.jwk.y)?);
        let signature = decode(signature)?;
        if signature.len() != 2 * COORDINATE || !PublicKey::p256(&x, &y).verifies_fixed(signed.as_bytes(), &signature) {
            return Err(DpopError::Signature);
        }
        Ok(Self { thumbprint: thumbprint(&x, &y), method: claims.htm, url: claims.htu, issued_s: claims.iat, identifier: claims.jti })
    }
}

/// The thumbprint of a key of P-256: the hash of its required members, in order and without white space.
pub fn thumbprint(x: &[u8; COORDINATE], y: &[u8; COORDINATE]) -> String {
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let members = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    struct Holder(EcdsaKeyPair);

    impl Holder {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
        }

        fn header(&self) -> Json {
            let (x, y) = self.0.public_key().as_ref()[1..].split_at(32);
            let key = json!({ "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y) });
            json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": key })
        }

        fn proof(&self, header: &Json, claims: &Json) -> String {
            let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
            let signature = self.0.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
        }
    }

    fn claims() -> Json {
        json!({ "htm": "POST", "htu": "https://localhost/v1/token", "iat": 7, "jti": "a" })
    }

    #[test]
    fn a_proof_names_its_key_and_its_request() {
        let holder = Holder::new();
        let read = Dpop::verify(&holder.proof(&holder.header(), &claims())).unwrap();
        assert_eq!((read.method.as_str(), read.issued_s, read.identifier.as_str()), ("POST", 7, "a"));
        assert_eq!(read.thumbprint.len(), 43);
        let other = Holder::new();
        assert_ne!(read.thumbprint, Dpop::verify(&other.proof(&other.header(), &claims())).unwrap().thumbprint);
    }

    #[test]
    fn a_forged_proof_is_refused() {
        let (holder, thief) = (Holder::new(), Holder::new());
        assert_eq!(Dpop::verify(&thief.proof(&holder.header(), &claims())), Err(DpopError::Signature));
        for (member, value, error) in [
            ("alg", json!("none"), DpopError::Algorithm),
            ("alg", json!("HS256"), DpopError::Algorithm),
            ("typ", json!("jwt"), DpopError::Malformed),
            ("crit", json!(["b64"]), DpopError::Malformed),
        ] {
            let mut header = holder.header();
            header[member] = value;
            assert_eq!(Dpop::verify(&holder.proof(&header, &claims())), Err(error), "{member}");
        }
        let mut with_private_key = holder.header();
        with_private_key["jwk"]["d"] = json!("AA");
        assert_eq!(Dpop::verify(&holder.proof(&with_private_key, &claims())), Err(DpopError::Malformed));
        let mut without = claims();
        without.as_object_mut().unwrap().remove("jti");
        assert_eq!(Dpop::verify(&holder.proof(&holder.header(), &without)), Err(DpopError::Malformed));
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,100}", header in "[ -~]{0,60}", claims in "[ -~]{0,60}") {
            let _ = Dpop::verify(&text);
            let _ = Dpop::verify(&format!("{}.{}.AA", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims)));
        }
    }
}
