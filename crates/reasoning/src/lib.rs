//! Automated reasoning: policies of typed variables and rules, and the decision whether claims follow from them.
//!
//! What it is for: `AutomatedReasoningPolicy` of Amazon Bedrock. A [`Policy`] is compiled from a [`PolicyDefinition`]; [`Policy::check`] reads the
//! statements of an answer and *decides* them: the verdict is a proof or a counterexample, not a score. The logic is propositional with
//! enumerations and linear arithmetic over integers and reals.
//! What it is not: a language model. Texts are read only where their form allows it (see the module `translation`); everything else is
//! [`Finding::NoTranslation`], never a guess. Products of variables, quantifiers, texts and dates as values are refused when a policy is made.
//!
//! Invariants: arithmetic is exact; a question that takes too many steps is [`Finding::TooComplex`], never answered; nothing panics; everything
//! has limits.

mod check;
mod expression;
mod formula;
mod policy;
mod rational;
mod simplex;
mod solver;
mod translation;

pub use check::{Finding, Scenario, Statement, Translation, Verdict, aggregate};
pub use policy::{Policy, PolicyDefinition, RuleDefinition, TypeDefinition, Unused, VariableDefinition};

/// Why a policy or an expression is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PolicyError {
    #[error("{0}")]
    Expression(String),
    #[error("the type `{0}` is not defined")]
    UnknownType(String),
    #[error("`{0}` stands twice in the policy")]
    Duplicate(String),
    #[error("there are more than {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
}
