//! Reasoning about IAM policies over *all* requests: what a policy newly allows, whether it grants given access, whether
//! it lets strangers in.
//!
//! It is not an evaluator: `policy` decides single requests, and every request that is found here was put to it. It is not
//! a sampler either: where it finds nothing, there is nothing to find, or it says that it does not know.
//!
//! How: a request is a point in a space of fields (action, resource, caller, condition keys). A statement is a conjunction
//! of tests, each of one field, so a policy is a boolean function of such tests. Sets of texts are regular and are decided by
//! automata; numbers, dates, booleans, bytes and addresses by finitely many representatives; absent and multivalued keys
//! by what the set operators quantify over. The search splits cubes of tests until a request remains or none.
//!
//! The decided fragment:
//! * `Action`, `NotAction`, `Resource`, `NotResource` with any wildcards; `Principal` in every form; `NotPrincipal`
//!   with accounts, ARNs, services and providers.
//! * All condition operators with `IfExists`, `ForAllValues`, `ForAnyValue` and `Null`.
//! * Keys of the caller (`aws:PrincipalArn`, `aws:PrincipalAccount`, `aws:PrincipalType`, `aws:PrincipalIsAWSService`,
//!   `aws:PrincipalServiceName`, `aws:userid`) follow from the caller where the policy names callers. All other keys are
//!   independent of each other, of the action and of the resource.
//! * Keys have several values if AWS documents them so or if a set operator qualifies them; else one.
//!
//! Not decided, and then the answer is "undecided": variables (`${…}`), unless the answer is the same for any value of
//! theirs or a request proves it; keys that are compared both as a text and as a number, date, bytes or address, where no listed
//! value settles it (of booleans every spelling is listed); `NotPrincipal` with unique ids; whatever exceeds the budgets of the search.
//!
//! Invariants:
//! * A finding holds of its witness according to the engine itself.
//! * No finding and nothing undecided: no request of the space has the access.
//! * Time and memory are bounded whatever the policies hold; nothing panics.

mod analysis;
mod caller;
pub mod estate;
mod language;
mod pattern;
mod read;
mod solve;
mod space;
mod typed;
pub mod validation;
pub mod vocabulary;
mod witness;

pub use analysis::{Analysis, Finding, Undecided, Zone, external_access, granted_access, new_access, public_access};
pub use witness::Witness;
