//! What a policy says to claims.

use serde::{Deserialize, Serialize};

use crate::formula::{Formula, Proposition, and, not};
use crate::policy::{Policy, Sort};
use crate::solver::{Answer, Model, solve};
use crate::{PolicyError, translation};

/// An answer's statement and what it was read as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// As an expression of the policy's language.
    pub logic: String,
    /// The text that it was read from.
    pub text: String,
}

/// An assignment of values that shows something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Expressions, each the value of one variable.
    pub statements: Vec<String>,
}

/// What is known of claims under premises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// The rules and the premises imply the claims.
    Valid { translation: Translation, supporting_rules: Vec<String>, claims_true: Scenario },
    /// The claims contradict the rules under the premises.
    Invalid { translation: Translation, contradicting_rules: Vec<String> },
    /// The claims may hold or not.
    Satisfiable { translation: Translation, claims_true: Scenario, claims_false: Scenario },
    /// The premises contradict the rules, or the rules each other: anything would follow.
    Impossible { translation: Translation, contradicting_rules: Vec<String> },
    /// The text can be read in several ways.
    TranslationAmbiguous { options: Vec<Translation> },
    /// Undecided within the limits.
    TooComplex,
    /// Nothing in the text is about the policy's variables.
    NoTranslation,
}

/// What a text was read as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Translation {
    pub premises: Vec<Statement>,
    pub claims: Vec<Statement>,
    /// Sentences of the question that say nothing about the variables.
    pub untranslated_premises: Vec<String>,
    /// Sentences of the answer that say nothing about the variables.
    pub untranslated_claims: Vec<String>,
}

/// The kinds of findings in the order in which one stands for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    NoTranslation,
    Valid,
    Satisfiable,
    Invalid,
    Impossible,
    TranslationAmbiguous,
    TooComplex,
}

impl Finding {
    /// Its kind.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Valid { .. } => Verdict::Valid,
            Self::Invalid { .. } => Verdict::Invalid,
            Self::Satisfiable { .. } => Verdict::Satisfiable,
            Self::Impossible { .. } => Verdict::Impossible,
            Self::TranslationAmbiguous { .. } => Verdict::TranslationAmbiguous,
            Self::TooComplex => Verdict::TooComplex,
            Self::NoTranslation => Verdict::NoTranslation,
        }
    }
}

/// The worst of several findings.
pub fn aggregate(findings: &[Finding]) -> Verdict {
    findings.iter().map(Finding::verdict).max().unwrap_or(Verdict::NoTranslation)
}

impl Policy {
    /// Checks an answer, with what the question states as premises.
    pub fn check(&self, query: Option<&str>, answer: &str) -> Vec<Finding> {
        let premises = translation::read(self, query.unwrap_or_default(), translation::Role::Question);
        let claims = translation::read(self, answer, translation::Role::Answer);
        if !claims.options.is_empty() || !premises.options.is_empty() {
            let options = premises
                .options
                .iter()
                .chain(&claims.options)
                .map(|statement| Translation { claims: vec![statement.clone()], ..Translation::default() });
            return vec![Finding::TranslationAmbiguous { options: options.take(2).collect() }];
        }
        if claims.statements.is_empty() {
            return vec![Finding::NoTranslation];
        }
        let translation = Translation {
            premises: premises.statements,
            claims: claims.statements,
            untranslated_premises: premises.untranslated,
            untranslated_claims: claims.untranslated,
        };
        vec![self.decide(translation).unwrap_or(Finding::TooComplex)]
    }

    /// Decides claims that are given as expressions.
    ///
    /// # Errors
    /// An expression that is not in the policy's language.
    pub fn check_claims(&self, premises: &[&str], claims: &[&str]) -> Result<Finding, PolicyError> {
        let stated = |texts: &[&str]| texts.iter().map(|text| Statement { logic: (*text).to_owned(), text: (*text).to_owned() }).collect();
        self.decide(Translation { premises: stated(premises), claims: stated(claims), ..Translation::default() })
    }

    fn decide(&self, translation: Translation) -> Result<Finding, PolicyError> {
        let formulas =
            |statements: &[Statement]| statements.iter().map(|statement| self.formula(&statement.logic)).collect::<Result<Vec<_>, _>>();
        let premises = and(formulas(&translation.premises)?);
        let claims = and(formulas(&translation.claims)?);
        let counter = not(claims.clone());
        let rules: Vec<&Formula> = self.rules.iter().map(|rule| &rule.formula).collect();
        let ask = |further: &[&Formula]| solve(self, &rules.iter().copied().chain(further.iter().copied()).collect::<Vec<_>>());
        match ask(&[&premises]) {
            Answer::Unknown => return Ok(Finding::TooComplex),
            Answer::Unsatisfiable => {
                return Ok(Finding::Impossible { contradicting_rules: self.core(&[&premises]), translation });
            }
            Answer::Satisfiable(_) => {}
        }
        let claims_true = match ask(&[&premises, &claims]) {
            Answer::Unknown => return Ok(Finding::TooComplex),
            Answer::Unsatisfiable => {
                return Ok(Finding::Invalid { contradicting_rules: self.core(&[&premises, &claims]), translation });
            }
            Answer::Satisfiable(model) => self.scenario(&model),
        };
        Ok(match ask(&[&premises, &counter]) {
            Answer::Unknown => Finding::TooComplex,
            Answer::Unsatisfiable => Finding::Valid { supporting_rules: self.core(&[&premises, &counter]), translation, claims_true },
            Answer::Satisfiable(model) => Finding::Satisfiable { translation, claims_true, claims_false: self.scenario(&model) },
        })
    }

    /// The rules that the contradiction with `further` needs: leaving out any of them lifts it.
    fn core(&self, further: &[&Formula]) -> Vec<String> {
        let mut needed: Vec<_> = self.rules.iter().collect();
        let mut place = 0;
        // Halves first, so that a thousand rules that have nothing to do with it go quickly.
        let mut step = needed.len().div_ceil(2).max(1);
        while !needed.is_empty() {
            let end = (place + step).min(needed.len());
            let mut fewer = needed.clone();
            fewer.drain(place..end);
            let formulas: Vec<&Formula> = fewer.iter().map(|rule| &rule.formula).chain(further.iter().copied()).collect();
            if solve(self, &formulas) == Answer::Unsatisfiable {
                needed = fewer;
            } else {
                place = end;
            }
            if place < needed.len() {
                continue;
            }
            if step == 1 {
                break;
            }
            step = step.div_ceil(2);
            place = 0;
        }
        needed.iter().map(|rule| rule.id.clone()).collect()
    }

    /// Rules that contradict each other, if any do.
    pub fn conflicting_rules(&self) -> Vec<String> {
        let rules: Vec<&Formula> = self.rules.iter().map(|rule| &rule.formula).collect();
        if solve(self, &rules) == Answer::Unsatisfiable { self.core(&[]) } else { Vec::new() }
    }

    fn scenario(&self, model: &Model) -> Scenario {
        let mut statements = Vec::new();
        for (variable, sort) in self.sorts().iter().enumerate() {
            let name = quoted(self.variable_name(variable));
            let stated = match sort {
                Sort::Boolean => model.propositions.get(&Proposition::Boolean(variable)).map(|value| format!("(= {name} {value})")),
                Sort::Integer | Sort::Real => model.numbers.get(&variable).map(|number| format!("(= {name} {number})")),
                Sort::Enumeration(kind) => (0..self.value_count(*kind))
                    .find(|value| model.propositions.get(&Proposition::Value(variable, *value)) == Some(&true))
                    .and_then(|value| self.value_name(*kind, value))
                    .map(|value| format!("(= {name} {})", quoted(value))),
            };
            statements.extend(stated);
        }
        Scenario { statements }
    }
}

pub(crate) fn quoted(name: &str) -> String {
    if name.contains(|character: char| character.is_whitespace() || "()".contains(character)) {
        format!("|{name}|")
    } else {
        name.to_owned()
    }
}
