//! From a parsed document to compiled statements.
//!
//! Compilation is strict about meaning and lenient about style: whatever it does not understand is a problem, so
//! that a misspelt `Condition` never widens a policy, but texts and limits are the business of `validate`.

use crate::condition::{Condition, Operator};
use crate::json::{Json, Node};
use crate::policy::PolicyKind;
use crate::principal::{PrincipalElement, PrincipalEntry};
use crate::statement::{ActionElement, ActionPattern, Effect, ResourceElement, ResourcePattern, Statement};

/// Most statements that a document may have; far above what any size limit lets through.
const STATEMENTS_MAX: usize = 10_000;

/// Why a document has no certain meaning: a lower-case phrase.
pub(crate) type Problem = String;

pub(crate) struct Compiled {
    pub(crate) id: Option<Box<str>>,
    pub(crate) variables: bool,
    pub(crate) single_statement: bool,
    pub(crate) statements: Box<[Statement]>,
}

pub(crate) fn compile(root: &Node, kind: PolicyKind) -> Result<Compiled, Problem> {
    let members = root.as_object().ok_or("the document is not an object")?;
    for (name, _) in members {
        if !matches!(name.as_str(), "Version" | "Id" | "Statement") {
            return Err(format!("unknown element `{name}`"));
        }
    }
    let variables = has_variables(root.get("Version"))?;
    let list = root.get("Statement").ok_or("`Statement` is missing")?;
    let single_statement = list.as_object().is_some();
    let list = list.one_or_many();
    if list.len() > STATEMENTS_MAX {
        return Err(format!("more than {STATEMENTS_MAX} statements"));
    }
    let statements = list.iter().map(|node| statement(node, kind, variables)).collect::<Result<Vec<_>, _>>()?;
    Ok(Compiled { id: root.get("Id").and_then(Node::as_str).map(Into::into), variables, single_statement, statements: statements.into() })
}

/// Whether the version of the policy language has variables.
fn has_variables(version: Option<&Node>) -> Result<bool, Problem> {
    match version.map(Node::as_str) {
        None | Some(Some("2008-10-17")) => Ok(false),
        Some(Some("2012-10-17")) => Ok(true),
        Some(_) => Err("unknown `Version`".to_owned()),
    }
}

fn statement(node: &Node, kind: PolicyKind, variables: bool) -> Result<Statement, Problem> {
    let members = node.as_object().ok_or("a statement is not an object")?;
    for (name, _) in members {
        if !is_statement_element(name) {
            return Err(format!("unknown statement element `{name}`"));
        }
    }
    let effect = match node.get("Effect").and_then(Node::as_str) {
        Some("Allow") => Effect::Allow,
        Some("Deny") => Effect::Deny,
        _ => return Err("`Effect` is neither `Allow` nor `Deny`".to_owned()),
    };
    let sid = match node.get("Sid") {
        None => None,
        Some(sid) => Some(sid.as_str().ok_or("`Sid` is not a string")?.into()),
    };
    Ok(Statement {
        sid,
        effect,
        principal: principal(node, kind, effect)?,
        actions: actions(node)?,
        resources: resources(node, kind, variables)?,
        conditions: conditions(node.get("Condition"), variables)?,
        span: node.span,
    })
}

pub(crate) fn is_statement_element(name: &str) -> bool {
    matches!(name, "Sid" | "Effect" | "Principal" | "NotPrincipal" | "Action" | "NotAction" | "Resource" | "NotResource" | "Condition")
}

/// The element of which one form or its negation may be present.
fn either<'a>(node: &'a Node, name: &str, negation: &str) -> Result<Option<(bool, &'a Node)>, Problem> {
    match (node.get(name), node.get(negation)) {
        (Some(_), Some(_)) => Err(format!("both `{name}` and `{negation}`")),
        (Some(element), None) => Ok(Some((false, element))),
        (None, Some(element)) => Ok(Some((true, element))),
        (None, None) => Ok(None),
    }
}

fn strings<'a>(node: &'a Node, name: &str) -> Result<Vec<&'a str>, Problem> {
    node.one_or_many().iter().map(|item| item.as_str().ok_or_else(|| format!("a value of `{name}` is not a string"))).collect()
}

fn principal(node: &Node, kind: PolicyKind, effect: Effect) -> Result<PrincipalElement, Problem> {
    let element = either(node, "Principal", "NotPrincipal")?;
    let Some((negated, element)) = element else {
        if kind.has_principal() {
            return Err("`Principal` is missing".to_owned());
        }
        return Ok(PrincipalElement::Implied);
    };
    if !kind.has_principal() {
        return Err("`Principal` in a policy that is attached to its principal".to_owned());
    }
    let entries = principal_entries(element)?.into();
    Ok(match (negated, effect) {
        (false, _) => PrincipalElement::Only(entries),
        (true, Effect::Deny) => PrincipalElement::Except(entries),
        // Allowing everybody but a few is not supported; such a statement must never allow anybody.
        (true, Effect::Allow) => PrincipalElement::Only(Box::default()),
    })
}

pub(crate) fn principal_entries(element: &Node) -> Result<Vec<PrincipalEntry>, Problem> {
    if let Some(text) = element.as_str() {
        return match text {
            "*" => Ok(vec![PrincipalEntry::Everybody]),
            _ => Err("a principal that is neither `*` nor an object".to_owned()),
        };
    }
    let members = element.as_object().ok_or("a principal that is neither `*` nor an object")?;
    let mut entries = Vec::new();
    for (name, list) in members {
        let make: fn(&str) -> PrincipalEntry = match name.as_str() {
            "AWS" => PrincipalEntry::aws,
            "Service" => |text| PrincipalEntry::Service(text.into()),
            "Federated" => |text| PrincipalEntry::Federated(text.into()),
            "CanonicalUser" => |text| PrincipalEntry::CanonicalUser(text.into()),
            _ => return Err(format!("unknown kind of principal `{name}`")),
        };
        entries.extend(strings(list, name)?.into_iter().map(make));
    }
    Ok(entries)
}

fn actions(node: &Node) -> Result<ActionElement, Problem> {
    let (negated, element) = either(node, "Action", "NotAction")?.ok_or("`Action` is missing")?;
    let patterns = strings(element, "Action")?;
    Ok(ActionElement { negated, patterns: patterns.into_iter().map(ActionPattern::new).collect() })
}

fn resources(node: &Node, kind: PolicyKind, variables: bool) -> Result<ResourceElement, Problem> {
    let Some((negated, element)) = either(node, "Resource", "NotResource")? else {
        if kind.implies_resource() {
            return Ok(ResourceElement::Implied);
        }
        return Err("`Resource` is missing".to_owned());
    };
    let patterns = strings(element, "Resource")?.into_iter().map(|text| ResourcePattern::new(text, variables)).collect();
    Ok(if negated { ResourceElement::Except(patterns) } else { ResourceElement::Only(patterns) })
}

fn conditions(element: Option<&Node>, variables: bool) -> Result<Box<[Condition]>, Problem> {
    let Some(element) = element else {
        return Ok(Box::default());
    };
    let mut conditions = Vec::new();
    let operators = element.as_object().ok_or("`Condition` is not an object")?;
    for (operator_name, keys) in operators {
        let keys = keys.as_object().ok_or_else(|| format!("`{operator_name}` is not an object"))?;
        for (key, values) in keys {
            let operator = Operator::parse(operator_name).ok_or_else(|| format!("unknown condition operator `{operator_name}`"))?;
            let span = values.span;
            let values = condition_values(values)?;
            conditions.push(Condition::new(operator_name, operator, key, values, variables, span));
        }
    }
    Ok(conditions.into())
}

/// Strings, numbers and booleans are values; quotation marks are optional for the latter two.
fn condition_values(node: &Node) -> Result<Vec<String>, Problem> {
    node.one_or_many()
        .iter()
        .map(|item| match &item.value {
            Json::String(text) | Json::Number(text) => Ok(text.clone()),
            Json::Bool(value) => Ok(value.to_string()),
            _ => Err("a condition value that is neither string, number nor boolean".to_owned()),
        })
        .collect()
}
