//! IAM Roles Anywhere: credentials of a role for whoever holds the private key of a certificate that an account trusts.
//!
//! It keeps trust anchors, profiles and revocation lists, and answers `CreateSession`, which a certificate signs instead of an access key. It
//! decides nothing: the certificate makes the service the caller, with the certificate's names as its tags, and the plane asks the role's
//! trust policy.
//!
//! Invariants:
//! 1. Nobody gets credentials without a signature by the key of a certificate that leads to an enabled trust anchor, is valid now, is not
//!    on an enabled revocation list of that anchor, and may make signatures and authenticate clients.
//! 2. The role must be one of the profile's, and profile and anchor must be of the account that the call names.
//! 3. Session policies of the profile bind each session.
//!
//! ## Recorded only
//! Names; notification settings (nothing is sent).
//!
//! ## Not as AWS does
//! * Trust anchors are certificate bundles only. AWS Private CA, self-signed repositories, revocation by distribution point and aliases are
//!   refused.

mod attribute_mapping;
mod certificate_signature;
mod create_session;
mod error;
mod notification;
mod profile;
mod resource;
mod revocation_list;
mod service;
mod subject;
mod tag;
mod trust_anchor;

pub use error::RolesAnywhereError;
pub use service::RolesAnywhere;
