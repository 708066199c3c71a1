//! The programs that may ask for a code, and where it may be sent.
//!
//! Source: AWS Sign-In API Reference, "CreateOAuth2Token", `clientId`; RFC 8252, "OAuth 2.0 for Native Apps", section 7.3.

use http::Uri;
use plane::ApiError;

use crate::error::invalid_request;

/// Path of the page that shows a code to copy, to which programs on another device send.
const CONFIRMATION: &str = "/v1/sessions/confirmation";
const SAME_DEVICE: &str = "arn:aws:signin:::devtools/same-device";
const CROSS_DEVICE: &str = "arn:aws:signin:::devtools/cross-device";

/// A kind of program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// It runs where the browser does, and listens on a loopback address.
    SameDevice,
    /// It runs elsewhere: the code is shown, and copied by its owner.
    CrossDevice,
}

impl Client {
    /// The client of an id that may have a code sent to this place. `host` is the one that the request came to.
    ///
    /// # Errors
    /// `ValidationException`: there is no such client, or the place is not one of its.
    pub(crate) fn of(client_id: &str, redirect_uri: &str, host: Option<&str>) -> Result<Self, ApiError> {
        let client = Self::of_id(client_id).ok_or_else(|| invalid_request("The client is not known."))?;
        let fits = match client {
            Self::SameDevice => is_loopback(redirect_uri),
            Self::CrossDevice => host.is_some_and(|host| is_confirmation(redirect_uri, host)),
        };
        if fits { Ok(client) } else { Err(invalid_request("The redirect URI is not one of the client's.")) }
    }

    pub(crate) fn of_id(client_id: &str) -> Option<Self> {
        match client_id {
            SAME_DEVICE => Some(Self::SameDevice),
            CROSS_DEVICE => Some(Self::CrossDevice),
            _ => None,
        }
    }

    /// The resource that policies name.
    ///
    /// Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS Signin".
    pub(crate) fn resource(self) -> &'static str {
        match self {
            Self::SameDevice => "oauth2/public-client/localhost",
            Self::CrossDevice => "oauth2/public-client/remote",
        }
    }
}

/// A URL that begins with `http` and has neither user information nor fragment.
fn read(uri: &str) -> Option<Uri> {
    if uri.contains(['#', '@', '\\']) || !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    uri.parse().ok()
}

/// `http://127.0.0.1:PORT/...` or `http://[::1]:PORT/...`: an address, since a name can be made to mean another.
fn is_loopback(uri: &str) -> bool {
    let Some(uri) = read(uri) else { return false };
    uri.scheme_str() == Some("http")
        && matches!(uri.host(), Some("127.0.0.1" | "[::1]"))
        && uri.port_u16().is_some_and(|port| port > 0)
        && uri.query().is_none()
}

fn is_confirmation(uri: &str, host: &str) -> bool {
    let Some(uri) = read(uri) else { return false };
    matches!(uri.scheme_str(), Some("http" | "https"))
        && uri.authority().is_some_and(|authority| authority.as_str().eq_ignore_ascii_case(host))
        && uri.path() == CONFIRMATION
        && uri.query().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_are_sent_to_loopback_addresses_only() {
        for uri in ["http://127.0.0.1:8400/oauth/callback", "http://[::1]:1/"] {
            assert_eq!(Client::of(SAME_DEVICE, uri, None).unwrap(), Client::SameDevice, "{uri}");
        }
        for uri in [
            "https://127.0.0.1:8400/",
            "http://127.0.0.1/",
            "http://127.0.0.1:0/",
            "http://localhost:8400/",
            "http://127.0.0.1.example.com:80/",
            "http://127.0.0.1:80@example.com/",
            "http://127.0.0.2:80/",
            "http://example.com:80/",
            "http://127.0.0.1:80/#fragment",
            "http://127.0.0.1:80/?next=x",
            "http://127.0.0.1:80\\@example.com/",
            "http://127.0.0.1:80/a b",
            "javascript:alert(1)",
            "//127.0.0.1:80/",
            "",
        ] {
            assert!(Client::of(SAME_DEVICE, uri, Some("localhost")).is_err(), "{uri}");
        }
    }

    #[test]
    fn a_code_to_copy_is_shown_by_the_server_itself() {
        let at = "https://signin.example:4566/v1/sessions/confirmation";
        assert_eq!(Client::of(CROSS_DEVICE, at, Some("signin.example:4566")).unwrap(), Client::CrossDevice);
        assert!(Client::of(CROSS_DEVICE, at, Some("other.example:4566")).is_err());
        assert!(Client::of(CROSS_DEVICE, at, None).is_err());
        assert!(Client::of(CROSS_DEVICE, "http://127.0.0.1:8400/", Some("127.0.0.1:8400")).is_err());
        assert!(Client::of(SAME_DEVICE, at, Some("signin.example:4566")).is_err());
        assert!(Client::of("arn:aws:signin:::devtools/other", at, Some("signin.example:4566")).is_err());
    }

    proptest! {
        #[test]
        fn no_text_leads_elsewhere(text in ".{0,80}") {
            prop_assert!(!is_loopback(&text));
        }
    }
}
