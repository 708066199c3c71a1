//! Any text as a rule of a policy, and as an answer that a policy is asked about.
#![no_main]

use libfuzzer_sys::fuzz_target;
use reasoning::{Policy, PolicyDefinition, RuleDefinition, VariableDefinition};

fuzz_target!(|text: &str| {
    let variable = |name: &str, type_name: &str| VariableDefinition {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        description: String::new(),
    };
    let definition = |expression: &str| PolicyDefinition {
        types: Vec::new(),
        variables: vec![variable("eligible", "bool"), variable("age", "int")],
        rules: vec![RuleDefinition { id: "R".to_owned(), expression: expression.to_owned() }],
    };
    let _ = Policy::compile(definition(text));
    if let Ok(policy) = Policy::compile(definition("(=> (< age 18) (not eligible))")) {
        let _ = policy.check(Some(text), text);
    }
});
