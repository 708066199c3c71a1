//! Refresh tokens: a sealed note of who signed in, for the holder of one private key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyring::{Domain, Keyring};
use plane::ApiError;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::signed_in_user::SignedInUser;

/// What AWS's own begin with.
///
/// Source: AWS Sign-In API Reference, "RevokeOAuth2TokenWithIAM", `token`.
const PREFIX: &str = "ASOR";
const FORMAT: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Content {
    format: u8,
    client_id: String,
    user: SignedInUser,
}

fn domain() -> Domain<'static> {
    Domain::new("signin-refresh-token", "", "")
}

/// A token that is good with the key of this thumbprint only.
pub(crate) fn seal(keyring: &Keyring, thumbprint: &str, client_id: &str, user: &SignedInUser) -> Result<String, ApiError> {
    let content = Content { format: FORMAT, client_id: client_id.to_owned(), user: user.clone() };
    let plain = Zeroizing::new(serde_json::to_vec(&content)?);
    let sealed = keyring.seal(&domain(), thumbprint.as_bytes(), &plain).map_err(|error| ApiError::internal(&error))?;
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(sealed)))
}

/// Who signed in; `None`: the token is not ours, or not of this key or client.
pub(crate) fn open(keyring: &Keyring, thumbprint: &str, client_id: &str, token: &str) -> Option<SignedInUser> {
    let sealed = URL_SAFE_NO_PAD.decode(token.strip_prefix(PREFIX)?).ok()?;
    let plain = Zeroizing::new(keyring.open_record(&domain(), thumbprint.as_bytes(), &sealed).ok()?);
    let content: Content = serde_json::from_slice(&plain).ok()?;
    (content.format == FORMAT && content.client_id == client_id).then_some(content.user)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use keyring::SystemRandomness;
    use proptest::prelude::*;

    use super::*;

    fn user() -> SignedInUser {
        // The longest names that IAM has.
        let arn = format!("arn:aws:iam::111111111111:user/{}/{}", "p".repeat(510), "n".repeat(64));
        SignedInUser {
            account: "111111111111".to_owned(),
            arn,
            id: "AIDAAAAAAAAAAAAAAAAAA".to_owned(),
            signed_in_ms: 1_800_000_000_000,
            mfa_ms: Some(1_800_000_000_000),
            password_set_ms: 1_800_000_000_000,
        }
    }

    #[test]
    fn a_token_is_good_with_its_key_and_client_only() {
        let keyring = Keyring::ephemeral(Arc::new(SystemRandomness)).unwrap();
        let token = seal(&keyring, "key", "client", &user()).unwrap();
        assert!(token.len() <= 2_048, "the model's limit: {}", token.len());
        assert_eq!(open(&keyring, "key", "client", &token), Some(user()));
        assert_eq!(open(&keyring, "other", "client", &token), None);
        assert_eq!(open(&keyring, "key", "other", &token), None);
        let other = Keyring::ephemeral(Arc::new(SystemRandomness)).unwrap();
        assert_eq!(open(&other, "key", "client", &token), None);
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "(ASOR)?[ -~]{0,100}") {
            let keyring = Keyring::ephemeral(Arc::new(SystemRandomness)).unwrap();
            prop_assert!(open(&keyring, "key", "client", &text).is_none());
        }
    }
}
