//! A policy: types, variables, rules.

use std::collections::HashMap;

use crate::PolicyError;
use crate::expression::{self, Expression};
use crate::formula::{self, Formula};

/// What a variable can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Boolean,
    Integer,
    Real,
    /// The number of the type.
    Enumeration(usize),
}

/// A type of one's own: a name and its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeDefinition {
    pub name: String,
    /// Value and what it means.
    pub values: Vec<(String, Option<String>)>,
}

/// A variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableDefinition {
    pub name: String,
    /// `bool`, `int`, `real`, `number`, or the name of a type.
    pub type_name: String,
    /// What it stands for. Phrases in quotation marks are names that texts use for it.
    pub description: String,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleDefinition {
    pub id: String,
    pub expression: String,
}

/// The source of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyDefinition {
    pub types: Vec<TypeDefinition>,
    pub variables: Vec<VariableDefinition>,
    pub rules: Vec<RuleDefinition>,
}

/// A rule that was understood.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) formula: Formula,
}

/// A policy that can be asked.
#[derive(Clone, Debug)]
pub struct Policy {
    definition: PolicyDefinition,
    sorts: Vec<Sort>,
    by_name: HashMap<String, usize>,
    pub(crate) rules: Vec<Rule>,
}

/// Most types, variables, values of a type and rules.
const TYPES_MAX: usize = 150;
const VARIABLES_MAX: usize = 600;
const VALUES_MAX: usize = 150;
const RULES_MAX: usize = 1_500;

impl Policy {
    /// Checks the types of everything.
    ///
    /// # Errors
    /// The first thing that is not right.
    pub fn compile(definition: PolicyDefinition) -> Result<Self, PolicyError> {
        let counts = [
            ("types", TYPES_MAX, definition.types.len()),
            ("variables", VARIABLES_MAX, definition.variables.len()),
            ("rules", RULES_MAX, definition.rules.len()),
            ("values of a type", VALUES_MAX, definition.types.iter().map(|kind| kind.values.len()).max().unwrap_or_default()),
        ];
        if let Some((what, limit, _)) = counts.into_iter().find(|(_, limit, count)| count > limit) {
            return Err(PolicyError::TooMany { what, limit });
        }
        let mut made = Self { definition, sorts: Vec::new(), by_name: HashMap::new(), rules: Vec::new() };
        made.name_types()?;
        made.name_variables()?;
        let mut ids = std::collections::HashSet::new();
        for rule in &made.definition.rules {
            if !ids.insert(rule.id.clone()) {
                return Err(PolicyError::Duplicate(rule.id.clone()));
            }
            let formula = made.formula(&rule.expression)?;
            made.rules.push(Rule { id: rule.id.clone(), formula });
        }
        Ok(made)
    }

    fn name_types(&self) -> Result<(), PolicyError> {
        let mut names = std::collections::HashSet::new();
        for kind in &self.definition.types {
            if !names.insert(kind.name.as_str()) {
                return Err(PolicyError::Duplicate(kind.name.clone()));
            }
            let mut values = std::collections::HashSet::new();
            if let Some((twice, _)) = kind.values.iter().find(|(value, _)| !values.insert(value.as_str())) {
                return Err(PolicyError::Duplicate(twice.clone()));
            }
        }
        Ok(())
    }

    fn name_variables(&mut self) -> Result<(), PolicyError> {
        for (place, variable) in self.definition.variables.iter().enumerate() {
            let sort = match variable.type_name.to_ascii_lowercase().as_str() {
                "bool" | "boolean" => Sort::Boolean,
                "int" | "integer" => Sort::Integer,
                "real" | "number" | "decimal" => Sort::Real,
                _ => {
                    let kind = self.definition.types.iter().position(|kind| kind.name == variable.type_name);
                    Sort::Enumeration(kind.ok_or_else(|| PolicyError::UnknownType(variable.type_name.clone()))?)
                }
            };
            self.sorts.push(sort);
            if self.by_name.insert(variable.name.clone(), place).is_some() {
                return Err(PolicyError::Duplicate(variable.name.clone()));
            }
        }
        Ok(())
    }

    /// The formula of an expression over the policy's variables.
    pub(crate) fn formula(&self, text: &str) -> Result<Formula, PolicyError> {
        formula::truth(self, &expression::parse(text)?)
    }

    /// Whether an expression is one of this policy's language.
    pub fn understands(&self, text: &str) -> Result<(), PolicyError> {
        self.formula(text).map(|_| ())
    }

    /// The source.
    pub fn definition(&self) -> &PolicyDefinition {
        &self.definition
    }

    pub(crate) fn variable(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn variable_name(&self, variable: usize) -> &str {
        self.definition.variables.get(variable).map_or("", |variable| &variable.name)
    }

    pub(crate) fn sort(&self, variable: usize) -> Option<Sort> {
        self.sorts.get(variable).copied()
    }

    pub(crate) fn sorts(&self) -> &[Sort] {
        &self.sorts
    }

    /// A value by its name, alone or as `Type.VALUE`; the first type that has it.
    pub(crate) fn value(&self, name: &str) -> Option<(usize, usize)> {
        let qualified = name.split_once('.').and_then(|(kind, value)| {
            let kind = self.definition.types.iter().position(|known| known.name == kind)?;
            Some((kind, self.value_of(kind, value)?))
        });
        qualified.or_else(|| (0..self.definition.types.len()).find_map(|kind| Some((kind, self.value_of(kind, name)?))))
    }

    pub(crate) fn value_of(&self, kind: usize, name: &str) -> Option<usize> {
        self.definition.types.get(kind)?.values.iter().position(|(value, _)| value == name)
    }

    pub(crate) fn value_name(&self, kind: usize, value: usize) -> Option<&str> {
        self.definition.types.get(kind)?.values.get(value).map(|(name, _)| name.as_str())
    }

    pub(crate) fn value_count(&self, kind: usize) -> usize {
        self.definition.types.get(kind).map_or(0, |kind| kind.values.len())
    }

    /// Names of variables, types and values that no rule mentions.
    pub fn unused(&self) -> Unused {
        let mut mentioned = std::collections::HashSet::new();
        for rule in &self.definition.rules {
            if let Ok(parsed) = expression::parse(&rule.expression) {
                atoms(&parsed, &mut mentioned);
            }
        }
        let unused_variables: Vec<String> = self
            .definition
            .variables
            .iter()
            .filter(|variable| !mentioned.contains(&variable.name))
            .map(|variable| variable.name.clone())
            .collect();
        let is_typed = |name: &str| self.definition.variables.iter().any(|variable| variable.type_name == name);
        let values =
            self.definition.types.iter().flat_map(|kind| kind.values.iter().map(move |(value, _)| (kind.name.clone(), value.clone())));
        Unused {
            types: self.definition.types.iter().map(|kind| kind.name.clone()).filter(|name| !is_typed(name)).collect(),
            values: values.filter(|(kind, value)| !mentioned.contains(value) && !mentioned.contains(&format!("{kind}.{value}"))).collect(),
            variables: unused_variables,
        }
    }
}

impl Policy {
    /// Rules that share no variable with the others, with their variables; empty when all hang together.
    pub fn disjoint_rules(&self) -> Vec<(Vec<String>, Vec<String>)> {
        let mut sets: Vec<(std::collections::BTreeSet<String>, Vec<String>)> = Vec::new();
        for rule in &self.definition.rules {
            let mut mentioned = std::collections::HashSet::new();
            if let Ok(parsed) = expression::parse(&rule.expression) {
                atoms(&parsed, &mut mentioned);
            }
            let mut variables: std::collections::BTreeSet<String> =
                mentioned.into_iter().filter(|name| self.by_name.contains_key(name)).collect();
            let mut ids = vec![rule.id.clone()];
            let (joined, apart): (Vec<_>, Vec<_>) = sets.into_iter().partition(|(known, _)| !known.is_disjoint(&variables));
            for (known, rules) in joined {
                variables.extend(known);
                ids.splice(0..0, rules);
            }
            sets = apart;
            sets.push((variables, ids));
        }
        if sets.len() < 2 {
            return Vec::new();
        }
        sets.into_iter().map(|(variables, rules)| (variables.into_iter().collect(), rules)).collect()
    }
}

fn atoms(expression: &Expression, found: &mut std::collections::HashSet<String>) {
    match expression {
        Expression::Atom(name) => {
            found.insert(name.clone());
        }
        Expression::List(items) => items.iter().for_each(|item| atoms(item, found)),
    }
}

/// What a policy names and no rule mentions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unused {
    pub types: Vec<String>,
    /// Type and value.
    pub values: Vec<(String, String)>,
    pub variables: Vec<String>,
}
