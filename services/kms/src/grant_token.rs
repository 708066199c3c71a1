//! Grant tokens: name a grant without its key. Sealed, so that a token is proof that a grant was made.
//!
//! A grant of ours counts with the next call, so no call needs a token; one that is given must be genuine all the same.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyring::Domain;
use plane::{ApiError, Call};

use crate::error::KmsError;
use crate::grant::Grant;

/// What a token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrantName {
    pub account: String,
    pub key_id: String,
    pub grant_id: String,
}

fn domain(region: &str) -> Domain<'_> {
    Domain::new("kms-grant-token", "", region)
}

/// A token for a grant; another one with each call.
pub(crate) fn issue(cx: &Call, grant: &Grant) -> Result<String, ApiError> {
    let name = [grant.account.as_str(), &grant.key_id, &grant.id].join("/");
    let sealed = cx.plane.keyring.seal(&domain(&cx.region), b"", name.as_bytes()).map_err(|error| ApiError::internal(&error))?;
    Ok(URL_SAFE_NO_PAD.encode(sealed))
}

/// The grant that a token names.
pub(crate) fn open(cx: &Call, token: &str) -> Result<GrantName, KmsError> {
    let sealed = URL_SAFE_NO_PAD.decode(token).map_err(|_| KmsError::GrantToken)?;
    let plain = cx.plane.keyring.open_record(&domain(&cx.region), b"", &sealed).map_err(|_| KmsError::GrantToken)?;
    let text = std::str::from_utf8(&plain).map_err(|_| KmsError::GrantToken)?;
    let parts: Vec<&str> = text.split('/').collect();
    let [account, key_id, grant_id] = parts.as_slice() else { return Err(KmsError::GrantToken) };
    Ok(GrantName { account: (*account).to_owned(), key_id: (*key_id).to_owned(), grant_id: (*grant_id).to_owned() })
}

/// Checks the tokens that a call brings.
pub(crate) fn check_all(cx: &Call, tokens: Option<&[String]>) -> Result<(), KmsError> {
    tokens.unwrap_or_default().iter().try_for_each(|token| open(cx, token).map(|_| ()))
}
