//! The IAM policy language: parse, validate, compile, evaluate, explain.
//!
//! A pure library: no I/O, no clock, no other crate of this project. It is *not* an authenticator and knows no
//! service: who calls, which actions and resources a call needs and which condition keys it carries is for the
//! caller to say ([`Principal`], [`Check`], [`Context`]).
//!
//! ```
//! use std::sync::Arc;
//! use policy::{Attached, Check, MapContext, Policy, PolicyKind, PolicySet, PolicySource, Principal, PrincipalKind, Resource};
//!
//! let text = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:Get*","Resource":"*"}]}"#;
//! let policy = Arc::new(Policy::parse(text, PolicyKind::Identity).unwrap());
//! let ana = Principal::new(PrincipalKind::User, "111111111111", "arn:aws:iam::111111111111:user/ana");
//! let resource = Resource { arn: "arn:aws:s3:::b/k".to_owned(), ..Resource::default() };
//! let policies = PolicySet {
//!     identity: vec![Attached::new("reader", PolicySource::User, policy)],
//!     ..PolicySet::default()
//! };
//! let decision = policy::decide(&ana, &Check::new("s3:GetObject", resource), &policies, &MapContext::new(), None);
//! assert!(decision.allowed);
//! ```
//!
//! The order of the decision is data: [`RULES`], and [`SIDES`] for which sides must allow, each with the page of the AWS documentation that says
//! so. A compiled policy files its statements by action and by what their resources begin with; a decision visits only those that can match.
//! Condition keys are asked of the [`Context`] when a statement needs them, never before.
//!
//! Invariants:
//! * What is not allowed is denied; an explicit deny beats every allow.
//! * A stored policy that cannot be read denies everything; no error ever allows.
//! * Nothing panics, and the time of an evaluation is bounded by the lengths of policies and values.
//! * [`decide`] and [`explain`] follow the same code: an explanation cannot tell another story than the decision.

mod arn;
mod candidate;
pub mod cases;
mod change;
mod compile;
mod condition;
mod context;
mod decision;
mod document;
mod explain;
mod glob;
mod index;
mod json;
mod kms_grant;
mod opinion;
mod place;
mod policy;
mod policy_set;
mod principal;
mod principal_name;
mod probe;
mod public_access;
mod request;
mod rule;
mod scope;
mod service_principal;
mod statement;
mod template;
mod validate;
mod value;

pub use arn::{account_of, resource_of};
pub use change::{Change, Edit, EditKind, NoChange, smallest_change};
pub use condition::{Comparison, Condition, Operator, OperatorFamily, SetOperator};
pub use context::{Context, MapContext, Values};
pub use decision::{Decision, StatementRef, decide};
pub use document::{ConditionDocument, PolicyDocument, StatementDocument, Values as DocumentValues};
pub use explain::{
    ConditionTrace, DecidingStatement, Element, Explanation, PolicyOutcome, PolicyTrace, StatementTrace, explain, missing_keys,
};
pub use glob::Glob;
pub use json::{DOCUMENT_BYTES_MAX, Json, JsonError, Node, Position, Span, parse as parse_json};
pub use kms_grant::KmsGrant;
pub use policy::{Policy, PolicyKind, ResourceKind};
pub use policy_set::{Attached, PolicySet, PolicySource, PolicyType, ResourcePolicy};
pub use principal::{Credential, GrantClass, Principal, PrincipalElement, PrincipalEntry, PrincipalKind};
pub use principal_name::{principal_names, with_principal_names};
pub use request::{Check, Organization, Resource, key_values};
pub use rule::{RULES, Rule, SIDES, Sides, Standing};
pub use scope::{RCP_SERVICES, supports_resource_control};
pub use service_principal::is_service_principal;
pub use statement::{Effect, Statement};
pub use template::{PatternPart, pattern_parts};
pub use validate::{Malformation, MalformedPolicy, SizeLimit, characters_without_white_space};
pub use value::parse_date;
