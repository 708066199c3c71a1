//! One compiled statement: which requests it speaks about.

use crate::arn::ArnPattern;
use crate::condition::Condition;
use crate::glob::{Glob, push_pattern};
use crate::json::Span;
use crate::principal::{GrantClass, Principal, PrincipalElement};
use crate::request::Request;
use crate::template::{Template, has_variable_before_resource};

/// What a statement does with the requests it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub enum Effect {
    /// The request is allowed, unless something denies it.
    Allow,
    /// The request is denied, whatever allows it.
    Deny,
}

/// A compiled statement, with its place in the document.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    pub(crate) sid: Option<Box<str>>,
    pub(crate) effect: Effect,
    pub(crate) principal: PrincipalElement,
    pub(crate) actions: ActionElement,
    pub(crate) resources: ResourceElement,
    pub(crate) conditions: Box<[Condition]>,
    pub(crate) span: Span,
}

impl Statement {
    /// The `Sid`, if the statement has one.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// Allow or Deny.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Where the statement stands in its document.
    pub fn span(&self) -> Span {
        self.span
    }

    /// The values of `Action` or `NotAction` as they are written; `true` says that it is `NotAction`.
    pub fn actions(&self) -> (bool, impl Iterator<Item = &str>) {
        let written = self.actions.patterns.iter().map(|pattern| &*pattern.written);
        (self.actions.negated, written)
    }

    /// The values of `Resource` or `NotResource` as they are written (none if the element is missing); `true` says
    /// that it is `NotResource`.
    pub fn resources(&self) -> (bool, impl Iterator<Item = &str>) {
        let (negated, patterns) = self.resources.patterns();
        (negated, patterns.iter().map(|pattern| &*pattern.written))
    }

    /// Whether the statement has neither `Resource` nor `NotResource`: it speaks about whatever the policy is
    /// attached to.
    pub fn implies_resource(&self) -> bool {
        matches!(self.resources, ResourceElement::Implied)
    }

    /// `Principal` or `NotPrincipal`.
    pub fn principals(&self) -> &PrincipalElement {
        &self.principal
    }

    /// How closely the statement's `Principal` or `NotPrincipal` names the caller (a statement without either names everybody).
    pub fn names(&self, principal: &Principal, has_boundary: bool) -> Option<GrantClass> {
        self.principal.class(principal, has_boundary)
    }

    /// The conditions in the order of the document; all must hold.
    pub fn conditions(&self) -> &[Condition] {
        &self.conditions
    }

    /// How closely the statement names the caller if it matches the request, else `None`.
    pub(crate) fn matches(&self, request: &Request<'_>) -> Option<GrantClass> {
        if !self.actions.matches(request.check.action_lower()) {
            return None;
        }
        let class = self.principal.class(request.principal, request.has_boundary)?;
        if !self.resources.matches(request) {
            return None;
        }
        self.conditions.iter().all(|condition| condition.matches(request)).then_some(class)
    }
}

/// `Action` or `NotAction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActionElement {
    pub(crate) negated: bool,
    pub(crate) patterns: Box<[ActionPattern]>,
}

impl ActionElement {
    pub(crate) fn matches(&self, action_lower: &str) -> bool {
        let listed = self.patterns.iter().any(|pattern| pattern.glob.matches(action_lower));
        listed != self.negated
    }
}

/// An action pattern; actions compare without case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ActionPattern {
    pub(crate) written: Box<str>,
    pub(crate) lower: Box<str>,
    glob: Glob,
}

impl ActionPattern {
    pub(crate) fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        Self { written: text.into(), glob: Glob::new(&lower), lower: lower.into() }
    }
}

/// `Resource`, `NotResource`, or neither: then the policy's own resource is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ResourceElement {
    Implied,
    Only(Box<[ResourcePattern]>),
    Except(Box<[ResourcePattern]>),
}

impl ResourceElement {
    pub(crate) fn patterns(&self) -> (bool, &[ResourcePattern]) {
        match self {
            Self::Implied => (false, &[]),
            Self::Only(patterns) => (false, patterns),
            Self::Except(patterns) => (true, patterns),
        }
    }

    /// What the resources that the element can match begin with; every one begins with the empty text.
    pub(crate) fn beginnings(&self) -> impl Iterator<Item = &[u8]> {
        let (everything, patterns): (_, &[ResourcePattern]) = match self {
            Self::Implied | Self::Except(_) => (Some(&[][..]), &[]),
            Self::Only(patterns) => (None, patterns),
        };
        everything.into_iter().chain(patterns.iter().filter_map(ResourcePattern::beginning))
    }

    pub(crate) fn matches(&self, request: &Request<'_>) -> bool {
        let any = |patterns: &[ResourcePattern]| patterns.iter().any(|pattern| pattern.matches(request));
        match self {
            Self::Implied => true,
            Self::Only(patterns) => any(patterns),
            Self::Except(patterns) => !any(patterns),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ResourcePattern {
    pub(crate) written: Box<str>,
    form: ResourceForm,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum ResourceForm {
    Arn(ArnPattern),
    Template(Template),
    /// A variable where none may be: it matches nothing.
    Nothing,
}

impl ResourcePattern {
    pub(crate) fn new(text: &str, variables: bool) -> Self {
        let form = if variables && has_variable_before_resource(text) {
            ResourceForm::Nothing
        } else if let Some(template) = variables.then(|| Template::parse(text)).flatten() {
            ResourceForm::Template(template)
        } else {
            let mut tokens = Vec::new();
            push_pattern(&mut tokens, text);
            ResourceForm::Arn(ArnPattern::from_tokens(&tokens))
        };
        Self { written: text.into(), form }
    }

    fn matches(&self, request: &Request<'_>) -> bool {
        match &self.form {
            ResourceForm::Nothing => false,
            ResourceForm::Arn(pattern) => pattern.matches(&request.resource),
            ResourceForm::Template(template) => {
                template.tokens(request).is_some_and(|tokens| ArnPattern::from_tokens(&tokens).matches(&request.resource))
            }
        }
    }

    /// What every resource begins with that the pattern matches; `None` if it matches nothing.
    fn beginning(&self) -> Option<&[u8]> {
        match &self.form {
            ResourceForm::Nothing => None,
            ResourceForm::Arn(pattern) => Some(pattern.literal()),
            ResourceForm::Template(template) => Some(template.literal()),
        }
    }

    pub(crate) fn template(&self) -> Option<&Template> {
        match &self.form {
            ResourceForm::Template(template) => Some(template),
            _ => None,
        }
    }
}
