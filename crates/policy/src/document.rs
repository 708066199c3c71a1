//! Policies as documents again: what a compiled policy says, written out, so that it can be changed and read anew.
//!
//! The round trip keeps the meaning, not the layout: an account principal comes back as the ARN of its root, a single
//! statement as a list of one.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

use crate::policy::Policy;
use crate::principal::{PrincipalElement, PrincipalEntry};
use crate::statement::{Effect, ResourceElement, Statement};

/// A policy document, ready to be written as JSON in the usual order of elements.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyDocument {
    /// Whether the version is 2012-10-17, which has variables; else it is 2008-10-17.
    pub variables: bool,
    /// The `Id` element.
    pub id: Option<String>,
    /// The statements in order.
    pub statements: Vec<StatementDocument>,
}

/// A statement of a [`PolicyDocument`].
#[derive(Debug, Clone, PartialEq)]
pub struct StatementDocument {
    /// `Sid`.
    pub sid: Option<String>,
    /// `Effect`.
    pub effect: Effect,
    /// `Principal` or `NotPrincipal`.
    pub principal: PrincipalElement,
    /// `Action` or `NotAction`.
    pub actions: Values,
    /// `Resource` or `NotResource`; `None` if the statement has neither.
    pub resources: Option<Values>,
    /// The conditions in order.
    pub conditions: Vec<ConditionDocument>,
}

/// The values of an element or of its negation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Values {
    /// Whether it is `NotAction` or `NotResource`.
    pub negated: bool,
    /// The values as they are written.
    pub list: Vec<String>,
}

/// One key under one operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConditionDocument {
    /// Operator with prefix and suffix.
    pub operator: String,
    /// Condition key.
    pub key: String,
    /// Its values.
    pub values: Vec<String>,
}

impl Values {
    pub(crate) fn only(value: impl Into<String>) -> Self {
        Self { negated: false, list: vec![value.into()] }
    }

    pub(crate) fn except(value: impl Into<String>) -> Self {
        Self { negated: true, list: vec![value.into()] }
    }

    pub(crate) fn is_everything(&self) -> bool {
        !self.negated && self.list == ["*"]
    }
}

impl PolicyDocument {
    pub(crate) fn empty() -> Self {
        Self { variables: true, id: None, statements: Vec::new() }
    }

    /// The document as JSON text.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl From<&Policy> for PolicyDocument {
    fn from(policy: &Policy) -> Self {
        Self {
            variables: policy.has_variables(),
            id: policy.id().map(str::to_owned),
            statements: policy.statements().iter().map(StatementDocument::from).collect(),
        }
    }
}

impl From<&Statement> for StatementDocument {
    fn from(statement: &Statement) -> Self {
        let (negated, actions) = statement.actions();
        let actions = Values { negated, list: actions.map(str::to_owned).collect() };
        let (negated, patterns) = statement.resources.patterns();
        let list = patterns.iter().map(|pattern| pattern.written.to_string()).collect();
        let implied = matches!(statement.resources, ResourceElement::Implied);
        let conditions = statement.conditions().iter().map(|condition| ConditionDocument {
            operator: condition.operator_name().to_owned(),
            key: condition.key().to_owned(),
            values: condition.values().map(str::to_owned).collect(),
        });
        Self {
            sid: statement.sid().map(str::to_owned),
            effect: statement.effect(),
            principal: statement.principals().clone(),
            actions,
            resources: (!implied).then_some(Values { negated, list }),
            conditions: conditions.collect(),
        }
    }
}

impl Serialize for PolicyDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("Version", if self.variables { "2012-10-17" } else { "2008-10-17" })?;
        if let Some(id) = &self.id {
            map.serialize_entry("Id", id)?;
        }
        map.serialize_entry("Statement", &self.statements)?;
        map.end()
    }
}

impl Serialize for StatementDocument {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(sid) = &self.sid {
            map.serialize_entry("Sid", sid)?;
        }
        map.serialize_entry("Effect", &self.effect)?;
        match &self.principal {
            PrincipalElement::Implied => {}
            // An Allow with `NotPrincipal` allows nobody, and that is how it was compiled.
            PrincipalElement::Only(entries) if entries.is_empty() => map.serialize_entry("NotPrincipal", "*")?,
            PrincipalElement::Only(entries) => map.serialize_entry("Principal", &Principals(entries))?,
            PrincipalElement::Except(entries) => map.serialize_entry("NotPrincipal", &Principals(entries))?,
        }
        map.serialize_entry(if self.actions.negated { "NotAction" } else { "Action" }, &OneOrMany(&self.actions.list))?;
        if let Some(resources) = &self.resources {
            map.serialize_entry(if resources.negated { "NotResource" } else { "Resource" }, &OneOrMany(&resources.list))?;
        }
        if !self.conditions.is_empty() {
            map.serialize_entry("Condition", &Conditions(&self.conditions))?;
        }
        map.end()
    }
}

struct OneOrMany<'a>(&'a [String]);

impl Serialize for OneOrMany<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            [one] => one.serialize(serializer),
            many => many.serialize(serializer),
        }
    }
}

struct Principals<'a>(&'a [PrincipalEntry]);

impl Serialize for Principals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.contains(&PrincipalEntry::Everybody) {
            return "*".serialize(serializer);
        }
        let mut map = serializer.serialize_map(None)?;
        for kind in ["AWS", "Service", "Federated", "CanonicalUser"] {
            let list: Vec<String> = self.0.iter().map(named).filter(|(name, _)| *name == kind).map(|(_, text)| text).collect();
            if !list.is_empty() {
                map.serialize_entry(kind, &OneOrMany(&list))?;
            }
        }
        map.end()
    }
}

/// The kind and the text of an entry.
fn named(entry: &PrincipalEntry) -> (&'static str, String) {
    match entry {
        PrincipalEntry::Everybody | PrincipalEntry::AnyAws => ("AWS", "*".to_owned()),
        PrincipalEntry::Account(account) => ("AWS", format!("arn:aws:iam::{account}:root")),
        PrincipalEntry::Arn(text) | PrincipalEntry::UniqueId(text) => ("AWS", text.to_string()),
        PrincipalEntry::Service(name) => ("Service", name.to_string()),
        PrincipalEntry::Federated(provider) => ("Federated", provider.to_string()),
        PrincipalEntry::CanonicalUser(id) => ("CanonicalUser", id.to_string()),
    }
}

struct Conditions<'a>(&'a [ConditionDocument]);

impl Serialize for Conditions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (at, condition) in self.0.iter().enumerate() {
            let first = self.0.iter().position(|other| other.operator == condition.operator);
            if first == Some(at) {
                map.serialize_entry(&condition.operator, &Keys(self.0, &condition.operator))?;
            }
        }
        map.end()
    }
}

/// The keys under one operator.
struct Keys<'a>(&'a [ConditionDocument], &'a str);

impl Serialize for Keys<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let under = self.0.iter().filter(|condition| condition.operator == self.1);
        serializer.collect_map(under.map(|condition| (&condition.key, OneOrMany(&condition.values))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{PolicyKind, ResourceKind};

    #[test]
    fn documents_come_back_with_their_meaning() {
        let kind = PolicyKind::Resource(ResourceKind::Standard);
        let text = r#"{"Version":"2012-10-17","Id":"x","Statement":[{"Sid":"a","Effect":"Deny","NotPrincipal":{"AWS":["arn:aws:iam::111111111111:root","arn:aws:iam::111111111111:user/ana"],"Service":"sns.amazonaws.com"},"NotAction":["s3:Get*","s3:Put*"],"NotResource":"arn:aws:s3:::b/${aws:username}","Condition":{"StringEquals":{"aws:SourceVpc":["a","b"],"aws:PrincipalTag/T":"n"},"Bool":{"aws:SecureTransport":"true"}}},{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}"#;
        let policy = Policy::parse(text, kind).unwrap();
        let written = PolicyDocument::from(&policy).text();
        assert_eq!(written, text);
        assert_eq!(PolicyDocument::from(&Policy::parse_stored(&written, kind)), PolicyDocument::from(&policy));
    }
}
