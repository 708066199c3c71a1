//! IAM: users, groups, roles, their policies and credentials; and the directory that the plane asks about them.
//!
//! It keeps identities and documents. It decides nothing: the plane does, on the policy engine, with what [`Directory`] gives it.
//!
//! Invariants:
//! 1. An account begins with a generated root access key ([`bootstrap`]); there is no default credential.
//! 2. A unique id is never used again. What names a principal by id (trust policies, sessions) does not reach another of the same name.
//! 3. What is attached to a principal is read as it is now; a policy that is gone or cannot be read denies.
//! 4. A secret leaves the store to verify signatures, and once when its key is made.
//!
//! ## Recorded only
//! Descriptions, paths (but in ARNs), account aliases; thumbprints of OpenID Connect providers (their certificates are checked against the
//! machine's trust store); SSH public keys, signing and server certificates (checked when they come in; no service here uses them);
//! service-specific credentials of CodeCommit and Keyspaces; that a password must be reset or has expired (nothing here signs in with one,
//! but a hard expiry refuses its change); the property `RoleManager/Enabled` (there are no role templates to acquire roles from).
//!
//! ## Not as AWS does
//! * Trust policies may name accounts that this server does not have; users and roles must exist.
//! * Of the policies that AWS manages, only those of [`aws_managed`] exist; their texts are our own.
//! * A credential report and a last-accessed job are complete at once; last-accessed data follows every action, not only those that AWS
//!   tracks.
//! * Service-linked roles have no permissions policy: services act for themselves through the plane.
//! * MFA devices are virtual ones. The root user has access keys and devices; a login profile of its own is leave to set a
//!   password, which nobody can set here, so no root user signs in.
//! * There are no delegation requests and no role templates: what names one is not found.
//! * The issuer of an account's tokens is this server, under its setting `public_url`; its keys change every ninety days.

pub mod access_key;
pub mod account;
mod account_property;
mod account_summary;
pub mod attachment;
pub mod aws_managed;
mod credential_report;
mod delegation_request;
mod directory;
mod document;
pub mod entity;
pub mod error;
mod group;
pub mod identifier;
mod inline_policy;
mod instance_profile;
mod key_use;
mod last_accessed;
mod login_profile;
pub mod managed_policy;
pub mod member_account;
pub mod mfa_device;
pub mod oidc_provider;
mod organization_access_report;
pub mod organization_feature;
pub mod outbound_federation;
mod page;
mod password;
mod qr_code;
pub mod role;
pub mod saml_provider;
mod server_certificate;
mod service;
mod service_linked_role;
mod service_specific_credential;
mod sign_in;
mod signing_certificate;
mod simulation;
mod ssh_public_key;
pub mod tags;
mod targets;
pub mod token_key;
mod token_preference;
mod totp;
pub mod trust;
mod user;

pub use account::{RootCredentials, account_exists, bootstrap};
pub use directory::Directory;
pub use error::IamError;
pub use login_profile::password_set_ms;
pub use service::Iam;
