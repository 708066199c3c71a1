//! Policies decide claims: what follows, what contradicts, what is open.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "the whole binary is a test, also the functions that the tests share")]

use proptest::prelude::*;
use reasoning::{Finding, Policy, PolicyDefinition, PolicyError, RuleDefinition, TypeDefinition, VariableDefinition, Verdict, aggregate};

fn variable(name: &str, type_name: &str, description: &str) -> VariableDefinition {
    VariableDefinition { name: name.to_owned(), type_name: type_name.to_owned(), description: description.to_owned() }
}

fn rules(expressions: &[&str]) -> Vec<RuleDefinition> {
    let rule = |(number, expression): (usize, &&str)| RuleDefinition { id: format!("R{number}"), expression: (*expression).to_owned() };
    expressions.iter().enumerate().map(rule).collect()
}

/// Leave of absence: full-time employees with a year of service are eligible; interns never; seniors get thirty days at least.
fn leave() -> PolicyDefinition {
    PolicyDefinition {
        types: vec![TypeDefinition {
            name: "Level".to_owned(),
            values: vec![
                ("INTERN".to_owned(), None),
                ("STAFF".to_owned(), None),
                ("SENIOR".to_owned(), Some("also \"principal\"".to_owned())),
            ],
        }],
        variables: vec![
            variable("is_full_time", "bool", "Whether the employee works full time (\"full-time employee\")."),
            variable("months_of_service", "int", "Complete months since the employee joined (\"tenure\")."),
            variable("level", "Level", "Level of the employee."),
            variable("eligible_for_leave", "bool", "Whether the employee may take leave (\"eligible\")."),
            variable("leave_days", "real", "Days of leave (\"days of leave\")."),
        ],
        rules: rules(&[
            "(=> (and is_full_time (>= months_of_service 12) (not (= level INTERN))) eligible_for_leave)",
            "(=> (or (< months_of_service 12) (= level INTERN)) (not eligible_for_leave))",
            "(=> (= level SENIOR) (>= leave_days 30))",
            "(>= leave_days 0)",
            "(=> (not eligible_for_leave) (= leave_days 0))",
        ]),
    }
}

fn policy() -> Policy {
    Policy::compile(leave()).unwrap()
}

#[test]
fn claims_are_valid_invalid_or_open() {
    let policy = policy();
    let decide = |premises: &[&str], claims: &[&str]| policy.check_claims(premises, claims).unwrap();
    let valid = decide(&["is_full_time", "(= months_of_service 14)", "(= level STAFF)"], &["eligible_for_leave"]);
    let Finding::Valid { supporting_rules, claims_true, .. } = valid else { panic!("it follows") };
    assert_eq!(supporting_rules, ["R0"]);
    assert!(claims_true.statements.contains(&"(= months_of_service 14)".to_owned()));
    let invalid = decide(&["(= months_of_service 11)"], &["eligible_for_leave"]);
    let Finding::Invalid { contradicting_rules, .. } = invalid else { panic!("it contradicts") };
    assert_eq!(contradicting_rules, ["R1"]);
    let open = decide(&["(>= months_of_service 12)", "(= level STAFF)"], &["eligible_for_leave"]);
    let Finding::Satisfiable { claims_false, .. } = open else { panic!("it is open") };
    assert!(claims_false.statements.contains(&"(= is_full_time false)".to_owned()), "{claims_false:?}");
    assert_eq!(decide(&["(= level INTERN)"], &["(= leave_days 0)"]).verdict(), Verdict::Valid);
    assert_eq!(decide(&["(= level SENIOR)"], &["(< leave_days 30)"]).verdict(), Verdict::Invalid);
    assert_eq!(decide(&["(= level SENIOR)"], &["(>= (* 2 leave_days) 60)"]).verdict(), Verdict::Valid);
    let impossible = decide(&["(= level INTERN)", "eligible_for_leave"], &["is_full_time"]);
    let Finding::Impossible { contradicting_rules, .. } = impossible else { panic!("the premises cannot be") };
    assert_eq!(contradicting_rules, ["R1"]);
    assert_eq!(decide(&["(> months_of_service 3)", "(< months_of_service 4)"], &["is_full_time"]).verdict(), Verdict::Impossible);
    assert!(policy.check_claims(&[], &["(= salary 3)"]).is_err());
}

#[test]
fn texts_are_read_where_their_form_allows() {
    let policy = policy();
    let verdict = |query: &str, answer: &str| aggregate(&policy.check(Some(query), answer));
    let query = "I am a full-time employee with a tenure of 14 months and my level is staff. May I go?";
    assert_eq!(verdict(query, "You are eligible for leave."), Verdict::Valid);
    assert_eq!(verdict(query, "You are not eligible for leave."), Verdict::Invalid);
    assert_eq!(verdict("My tenure is 11 months.", "You are eligible for leave."), Verdict::Invalid);
    assert_eq!(verdict("", "You are eligible for leave."), Verdict::Satisfiable);
    assert_eq!(verdict("", "If the level is intern, then you are not eligible."), Verdict::Valid);
    assert_eq!(verdict("", "If the level is principal, you get at least 25 days of leave."), Verdict::Valid);
    assert_eq!(verdict("", "You may be eligible for leave."), Verdict::TranslationAmbiguous);
    assert_eq!(verdict("", "The canteen opens at nine."), Verdict::NoTranslation);
    assert_eq!(verdict("", ""), Verdict::NoTranslation);
}

#[test]
fn policies_that_cannot_be_decided_are_refused() {
    let with = |change: &dyn Fn(&mut PolicyDefinition)| {
        let mut definition = leave();
        change(&mut definition);
        Policy::compile(definition).unwrap_err()
    };
    for expression in
        ["(* leave_days months_of_service)", "(= level 3)", "(forall x x)", "(=> is_full_time)", "leave_days", "(= level BOSS)"]
    {
        let error = with(&|definition| definition.rules = rules(&[expression]));
        assert!(matches!(error, PolicyError::Expression(_)), "{expression}: {error}");
    }
    let unknown = with(&|definition| definition.variables.push(variable("x", "Shoe", "")));
    assert_eq!(unknown, PolicyError::UnknownType("Shoe".to_owned()));
    let twice = with(&|definition| definition.variables.push(variable("level", "int", "")));
    assert_eq!(twice, PolicyError::Duplicate("level".to_owned()));
}

#[test]
fn conflicts_and_what_no_rule_mentions_are_found() {
    let mut definition = leave();
    definition.rules.extend([
        RuleDefinition { id: "X".to_owned(), expression: "(= level SENIOR)".to_owned() },
        RuleDefinition { id: "Y".to_owned(), expression: "(< leave_days 30)".to_owned() },
    ]);
    definition.variables.push(variable("spare", "bool", ""));
    let policy = Policy::compile(definition).unwrap();
    assert_eq!(policy.conflicting_rules(), ["R2", "X", "Y"]);
    let unused = policy.unused();
    assert_eq!(unused.variables, ["spare"]);
    assert_eq!(unused.values, [("Level".to_owned(), "STAFF".to_owned())]);
    assert!(self::policy().conflicting_rules().is_empty());
}

#[test]
fn a_thousand_rules_are_decided() {
    let variables = (0..500).map(|number| variable(&format!("step{number}"), "bool", "")).collect();
    let expressions: Vec<String> = (0..499).map(|number| format!("(=> step{number} step{})", number + 1)).collect();
    let expressions: Vec<&str> = expressions.iter().map(String::as_str).collect();
    let policy = Policy::compile(PolicyDefinition { types: Vec::new(), variables, rules: rules(&expressions) }).unwrap();
    let finding = policy.check_claims(&["step400"], &["step405"]).unwrap();
    let Finding::Valid { supporting_rules, .. } = finding else { panic!("it follows") };
    assert_eq!(supporting_rules.len(), 5);
}

/// Decides by trying all values.
fn brute_force(expression: &dyn Fn(bool, bool, i64) -> bool) -> bool {
    [false, true].iter().any(|a| [false, true].iter().any(|b| (-3..=3).any(|n| expression(*a, *b, n))))
}

proptest! {
    /// Over small ranges the verdict is that of trying everything.
    #[test]
    fn the_verdict_is_that_of_trying_everything(bound in -3_i64..=3, factor in -2_i64..=2, flip in any::<bool>(), strict in any::<bool>()) {
        let sign = if strict { "<" } else { "<=" };
        let rule = format!("(=> a (and {} ({sign} (* {factor} n) {bound})))", if flip { "(not b)" } else { "b" });
        let definition = PolicyDefinition {
            types: Vec::new(),
            variables: vec![variable("a", "bool", ""), variable("b", "bool", ""), variable("n", "int", "")],
            rules: rules(&[&rule, "(>= n -3)", "(<= n 3)"]),
        };
        let policy = Policy::compile(definition).unwrap();
        let holds = move |a: bool, b: bool, n: i64| !a || ((b != flip) && if strict { factor * n < bound } else { factor * n <= bound });
        for (claim, says) in [("(and a b)", (&|a, b, _| a && b) as &dyn Fn(bool, bool, i64) -> bool), ("(=> a (>= n 1))", &|a, _, n| !a || n >= 1)] {
            let can = brute_force(&|a, b, n| holds(a, b, n) && says(a, b, n));
            let can_not = brute_force(&|a, b, n| holds(a, b, n) && !says(a, b, n));
            let expected = match (can, can_not) {
                (true, false) => Verdict::Valid,
                (false, true) => Verdict::Invalid,
                _ => Verdict::Satisfiable,
            };
            prop_assert_eq!(policy.check_claims(&[], &[claim]).unwrap().verdict(), expected, "{} {}", rule, claim);
        }
    }

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = policy().check(Some(&text), &text);
    }
}
