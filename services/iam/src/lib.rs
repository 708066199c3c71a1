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
//! Descriptions, paths (but in ARNs), account aliases.
//!
//! ## Not as AWS does
//! * Trust policies may name accounts that this server does not have; users and roles must exist.
//! * Of the policies that AWS manages, only those of [`aws_managed`] exist; their texts are our own.
//! * A credential report is complete at once.

pub mod access_key;
pub mod account;
mod account_summary;
pub mod attachment;
pub mod aws_managed;
mod credential_report;
mod directory;
mod document;
pub mod entity;
pub mod error;
mod group;
pub mod identifier;
mod inline_policy;
mod instance_profile;
mod key_use;
pub mod managed_policy;
pub mod member_account;
mod page;
pub mod role;
mod service;
mod service_specific_credential;
mod simulation;
pub mod tags;
mod targets;
pub mod trust;
mod user;

pub use account::{RootCredentials, account_exists, bootstrap};
pub use directory::Directory;
pub use error::IamError;
pub use service::Iam;
