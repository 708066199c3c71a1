//! A policy: parsed, compiled, ready to be asked.

use crate::compile::{Compiled, Problem, compile};
use crate::context::Context;
use crate::index::StatementIndex;
use crate::json;
use crate::principal::{GrantClass, Principal};
use crate::request::{Check, Request};
use crate::statement::{Effect, Statement};
use crate::validate::{MalformedPolicy, validate};

/// The resource that a resource-based policy is attached to, where it changes the rules for writing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ResourceKind {
    /// No rules of its own.
    #[default]
    Standard,
    /// An S3 bucket or access point.
    S3Bucket,
}

/// What a policy is attached to. It decides which elements it has, which limits and which texts of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Identity-based, inline or managed.
    Identity,
    /// A managed policy as permissions boundary.
    Boundary,
    /// Passed when a session is made.
    Session,
    /// Attached to a resource.
    Resource(ResourceKind),
    /// Of a role: who may assume it.
    Trust,
    /// Of a KMS key.
    KeyPolicy,
    /// Organizations: service control policy.
    ServiceControl,
    /// Organizations: resource control policy.
    ResourceControl,
    /// Of a VPC endpoint.
    VpcEndpoint,
}

impl PolicyKind {
    pub(crate) fn has_principal(self) -> bool {
        matches!(self, Self::Resource(_) | Self::Trust | Self::KeyPolicy | Self::ResourceControl | Self::VpcEndpoint)
    }

    /// Whether a missing `Resource` means the resource that the policy is attached to.
    pub(crate) fn implies_resource(self) -> bool {
        matches!(self, Self::Resource(_) | Self::Trust | Self::KeyPolicy)
    }
}

/// A compiled policy. Immutable; share it behind an `Arc`.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    kind: PolicyKind,
    id: Option<Box<str>>,
    variables: bool,
    single_statement: bool,
    statements: Box<[Statement]>,
    index: Option<StatementIndex>,
    /// Set for a stored text that could not be read: the policy then denies everything.
    problem: Option<Problem>,
}

/// What one policy says about a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) deny: Option<Hit>,
    pub(crate) allow: Option<(usize, GrantClass)>,
}

/// What denied: a statement, or the policy as a whole because it cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hit {
    Statement(usize),
    Unreadable,
}

impl Policy {
    /// Reads a policy that somebody wants to write, with the checks, limits and texts of AWS.
    pub fn parse(text: &str, kind: PolicyKind) -> Result<Self, MalformedPolicy> {
        let root = validate(text, kind)?;
        match compile(&root, kind) {
            Ok(compiled) => Ok(Self::new(kind, compiled)),
            Err(problem) => Err(MalformedPolicy::unspecific(kind, problem)),
        }
    }

    /// Reads a policy that is in force already. It never fails: a text without certain meaning becomes a policy
    /// that denies everything, because ignoring it could allow what its author denied.
    pub fn parse_stored(text: &str, kind: PolicyKind) -> Self {
        let compiled = json::parse(text).map_err(|error| error.to_string()).and_then(|root| compile(&root, kind));
        match compiled {
            Ok(compiled) => Self::new(kind, compiled),
            Err(problem) => Self {
                kind,
                id: None,
                variables: false,
                single_statement: false,
                statements: Box::default(),
                index: None,
                problem: Some(problem),
            },
        }
    }

    fn new(kind: PolicyKind, compiled: Compiled) -> Self {
        let Compiled { id, variables, single_statement, statements } = compiled;
        Self { kind, id, variables, single_statement, index: StatementIndex::new(&statements), statements, problem: None }
    }

    /// What the policy is attached to.
    pub fn kind(&self) -> PolicyKind {
        self.kind
    }

    /// The `Id` element.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Whether `${…}` is a variable in this policy: whether its version is 2012-10-17.
    pub fn has_variables(&self) -> bool {
        self.variables
    }

    /// Whether `Statement` is a single statement in place of a list.
    pub(crate) fn has_single_statement(&self) -> bool {
        self.single_statement
    }

    /// The JSON Pointer (RFC 6901) of a statement in its document.
    pub fn statement_pointer(&self, index: usize) -> String {
        if self.single_statement { "/Statement".to_owned() } else { format!("/Statement/{index}") }
    }

    /// How many statements deny the request; an unreadable policy counts as one.
    pub(crate) fn denying_statements(&self, request: &Request<'_>) -> usize {
        if self.problem.is_some() {
            return 1;
        }
        self.statements.iter().filter(|statement| statement.effect == Effect::Deny && statement.matches(request).is_some()).count()
    }

    /// The statements in the order of the document.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// Why a stored policy cannot be read and therefore denies everything.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The condition keys that the policy mentions, in conditions and as variables, each once as it is first
    /// written: the answer of GetContextKeysForCustomPolicy.
    pub fn keys_mentioned(&self) -> Vec<&str> {
        let mut seen = std::collections::HashSet::new();
        let mut names = Vec::new();
        for statement in &self.statements {
            let (_, patterns) = statement.resources.patterns();
            let variables = patterns.iter().filter_map(|pattern| pattern.template()).flat_map(crate::template::Template::keys);
            let conditions =
                statement.conditions.iter().flat_map(|condition| std::iter::once(&condition.key).chain(condition.variable_keys()));
            for key in variables.chain(conditions) {
                if seen.insert(&*key.lower) {
                    names.push(&*key.name);
                }
            }
        }
        names
    }

    /// What this policy alone says about a check: `Deny` if a statement denies, else `Allow` if one allows, else nothing.
    /// It is no decision (see [`crate::decide`]); it is for those who compare policies.
    pub fn says(&self, principal: &Principal, check: &Check, context: &dyn Context, has_boundary: bool) -> Option<Effect> {
        let outcome = self.evaluate(&Request::new(principal, check, context, None, has_boundary));
        match (outcome.deny, outcome.allow) {
            (Some(_), _) => Some(Effect::Deny),
            (None, Some(_)) => Some(Effect::Allow),
            (None, None) => None,
        }
    }

    /// What the policy says about a request: the first matching Deny, and the Allow that names the caller closest.
    pub(crate) fn evaluate(&self, request: &Request<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        if self.problem.is_some() {
            outcome.deny = Some(Hit::Unreadable);
            return outcome;
        }
        match &self.index {
            None => {
                for (at, statement) in self.statements.iter().enumerate() {
                    outcome.add(at, statement, request);
                }
            }
            Some(index) => index.for_each(request, |at| {
                if let Some(statement) = self.statements.get(at) {
                    outcome.add(at, statement, request);
                }
            }),
        }
        outcome
    }
}

impl Outcome {
    /// Joins what one statement says. Statements may come in any order and more than once; of several that deny, and
    /// of several allows that name the caller equally closely, the first of the document counts.
    fn add(&mut self, at: usize, statement: &Statement, request: &Request<'_>) {
        match statement.effect {
            Effect::Deny => {
                let later = matches!(self.deny, Some(Hit::Statement(found)) if found <= at);
                if !later && statement.matches(request).is_some() {
                    self.deny = Some(Hit::Statement(at));
                }
            }
            Effect::Allow => {
                if self.allow.is_some_and(|(found, class)| class == GrantClass::Direct && found <= at) {
                    return;
                }
                if let Some(class) = statement.matches(request)
                    && self.allow.is_none_or(|(found, best)| class > best || (class == best && at < found))
                {
                    self.allow = Some((at, class));
                }
            }
        }
    }
}
