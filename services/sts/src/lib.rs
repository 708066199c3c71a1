//! STS: temporary credentials.
//!
//! A session has no record: all that it is stands sealed in its token (see `plane::session`). What its user or role may do is read anew
//! at every call, so a change there reaches sessions that are out already. This is the one service that imports another of its floor:
//! roles are IAM's, and only IAM reads them.
//!
//! Invariants:
//! 1. Nobody gets credentials that may do more than the plane allowed: the trust policy, the caller's policies and the passed tags and
//!    source identity are separate targets of the decision.
//! 2. What a session inherits (transitive tags, source identity) cannot be changed or lost along a chain.
//! 3. An MFA code is good once: it is used up in the commit of the call that it proves.
//! 4. A token of an identity provider is verified before the role's trust policy is asked; what it says is believed under that
//!    provider's name only.
//! 5. A SAML response is good once and for five minutes: that it was used is written with the session that it opened.
//!
//! ## Not as AWS does
//! * The packed size of a session is measured by our own, uncompressed form.
//! * `GetWebIdentityToken` is available at the global endpoint, too. Its payload has at most 6,144 bytes; AWS documents no figure.
//! * `ProvidedContexts` and `MinimumSessionTokenSize` are refused.
//! * `GetAccessKeyInfo` knows long-term keys and the caller's own session key; other session keys leave no record.

mod assume_role;
mod assume_root;
mod error;
mod federation_token;
mod identity;
mod mfa;
mod outbound_token;
mod provider_keys;
mod saml;
mod service;
mod session;
mod session_token;
mod web_identity;

pub use error::StsError;
pub use provider_keys::ProviderKeys;
pub use service::Sts;
